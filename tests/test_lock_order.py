# SPDX-License-Identifier: MIT
"""What the check of the order of locks (store/lock_order.h) lets pass, and what it ends the process for.

A build for debugging has it in the daemon: there every other test is one of the order as well.
"""
import json
import re
import signal
import subprocess

import pytest

from conftest import TOP

FINE = ('in_order', 'tried', 'of_one_rank', 'again_where_it_may', 'waits')
REFUSED = {
    'out_of_order': 'memory.switching is taken under pace.mutex',
    'under_a_reader': 'memory.switching is taken under memory.lock',
    'readers_nest': 'memory.lock is taken under memory.lock',
    'of_one_rank_downwards': 'document.commit is taken under document.commit',
    'again': 'pace.mutex is taken under pace.mutex',
    'waits_under_another': 'fs.lock is held while another thread is waited for',
    'not_held': 'memory.switching is let go by a thread that does not hold it',
    'without_rank': 'a lock has no rank',
}


def probe(binary, case):
    done = subprocess.run([binary('lock_probe'), case], capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize('case', FINE)
def test_what_is_fine(binary, case):
    assert probe(binary, case) == (0, '')


@pytest.mark.parametrize('case', REFUSED)
def test_what_is_refused(binary, case):
    status, stderr = probe(binary, case)
    assert status == -signal.SIGABRT
    assert stderr.splitlines()[0] == f'lock order: {REFUSED[case]}'


def test_a_release_has_nothing_of_it(binary, build_dir):
    options = json.loads((build_dir / 'meson-info' / 'intro-buildoptions.json').read_text())
    debug = next(option['value'] for option in options if option['name'] == 'debug')
    symbols = subprocess.run(['nm', binary('ourofs')], capture_output=True, text=True, check=True).stdout
    assert ('__wrap_pthread_mutex_lock' in symbols, 'lock_order_add' in symbols) == (debug, debug)


@pytest.mark.style
def test_every_lock_has_a_rank():
    """Made elsewhere, it would be found only when a build for debugging takes it; so would a call that is not watched."""
    build = (TOP / 'store' / 'meson.build').read_text()
    watched = set(re.findall(r"'((?:mutex|rwlock)_\w+)'", build))
    assert len(watched) == 8
    other = []
    for path in (path for folder in ('fs', 'store', 'mapping') for path in (TOP / folder).glob('*.[ch]')):
        text = path.read_text()
        other += [f'{path.name}: {call}' for call in re.findall(r'\bpthread_((?:mutex|rwlock|spin|barrier)_\w+)\(', text)
                  if call not in watched]
        other += [f'{path.name}: {word}' for word in re.findall(
            r'PTHREAD_(?:MUTEX|RWLOCK)_INITIALIZER|\bmtx_\w+|\bsem_(?:init|wait)\b', text)]
    assert sorted(set(other)) == ['lock_order.c: mutex_init', 'lock_order.c: rwlock_init']
