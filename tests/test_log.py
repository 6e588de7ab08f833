# SPDX-License-Identifier: MIT
"""What the daemon says, by level: with -f on its standard error. Never what is in a document."""
import re

import pytest

from conftest import wait_until
from outside import soon


def lines(m):
    return [re.sub('^ourofs: ', '', line) for line in m.stderr().splitlines()]


def logged(m, pattern):
    return wait_until(lambda: any(re.search(pattern, line) for line in lines(m)), f'{pattern} in the log')


def busy(mount, *options):
    """A mount whose file was changed, and broken, by another, after a switch of the mode."""
    m = mount('{:config {:secret "hunter2"} :embed-token/hunter2 1}', 'edn_delay=60000', *options)
    m.expect_stderr('.')
    (m.mnt / 'config.json').write_text('{"secret": "hunter2", "a": 1}')
    (m.mnt / 'embed-token/hunter2.json').write_text('2')
    with pytest.raises(OSError):
        (m.mnt / 'config.json').write_text('{"hunter2": }')
    (m.mnt / '.mode').write_text('dual-write')
    m.edn.write_text('{:config {:secret "hunter2" :a 2} :embed-token/hunter2 3}')
    soon(lambda: (m.mnt / '.conflicts/config.json').exists(), 'the conflict')
    soon(lambda: ':a 1' in m.edn_text(), 'what stands to be put back')
    m.edn.write_text('{:config "hunter2')
    soon(lambda: 'bad-' in (m.mnt / '.errors').read_text(), 'the broken file to be set aside')
    m.unmount()
    assert 'hunter2' not in m.stderr()
    assert all(line.startswith('ourofs: ') for line in m.stderr().splitlines())
    return m


CHANGES = ['is mounted on', 'is unmounted from', 'mode is changed from datalevin-first',
           'changed by another writer: adopted 0, stale 0, conflicts 2']
LOSSES = [r"^another writer's value is kept in .conflicts \(/.errors tells more\)", 'memory.edn.bad-']


@pytest.mark.parametrize('level', ['error', 'warning', 'info', 'debug'])
def test_levels(mount, level):
    m = busy(mount, f'loglevel={level}')
    for pattern in CHANGES:
        assert any(re.search(pattern, line) for line in lines(m)) == (level in ('info', 'debug')), pattern
    for pattern in LOSSES:
        assert any(re.search(pattern, line) for line in lines(m)) == (level != 'error'), pattern


def test_the_default_is_warning(mount):
    m = mount.prepare('{:config 1}')
    m.command = lambda: [str(m.program), '-f', '-o', f'store={m.store}', str(m.edn), str(m.mnt)]
    m.expect_stderr('.')
    m.mount()
    m.edn.write_text('{:config')
    logged(m, 'memory.edn.bad-')
    m.unmount()
    assert len(lines(m)) == 1


@pytest.mark.parametrize('value', ['', 'quiet', 'INFO', '3'])
def test_other_words_are_refused(mount, value):
    status, said = mount.refused('{}', f'loglevel={value}')
    assert 'loglevel=' in said
