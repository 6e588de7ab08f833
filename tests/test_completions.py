# SPDX-License-Identifier: MIT
"""What bash and zsh offer behind the programs' names: asked as the shells ask, held against the help."""
import os
import re
import shutil
import subprocess

import pytest

from conftest import TOP

FOLDER = TOP / '.packaging' / 'completions'
MODES = {'edn-only', 'dual-write', 'datalevin-first', 'datalevin-only'}


@pytest.fixture
def path(binary):
    return os.pathsep.join([str(binary(name).parent) for name in ('ourofs', 'ourofsctl')] + [os.environ['PATH']])


@pytest.fixture
def offered(path, tmp_path):
    """offered('ourofsctl', 'mode', '') -> what may stand for the last word."""
    def ask(*words):
        script = f'''. "{FOLDER}/{words[0]}.bash"
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _{words[0]}
            [ ${{#COMPREPLY[@]}} = 0 ] || printf '%s\\n' "${{COMPREPLY[@]}}"'''
        done = subprocess.run(['bash', '-c', script, 'bash', *words], capture_output=True, text=True,
                              cwd=tmp_path, env=os.environ | {'PATH': path})
        assert (done.returncode, done.stderr) == (0, ''), done.stderr
        return set(done.stdout.split())
    return ask


def help_of(binary, program, *args):
    return subprocess.run([str(binary(program)), *args, '-h'], check=True, capture_output=True, text=True).stdout


def test_commands_and_their_options(binary, offered):
    text = help_of(binary, 'ourofsctl')
    commands = set(re.findall(r'^    ([a-z][a-z-]*)\b', text, re.MULTILINE))
    assert {'status', 'import', 'to-edn'} <= commands
    assert offered('ourofsctl', '') == commands | {'--help', '--version'}
    assert offered('ourofsctl', 'st') == {'status'}
    for command in commands:
        flags = set(re.findall(r'(?<![\w-])--?[a-z][\w-]*', help_of(binary, 'ourofsctl', command).split('\n\n', 1)[1]))
        assert offered('ourofsctl', command, '-') == flags | {'--help'}


def test_operands(offered, tmp_path):
    (tmp_path / 'mnt').mkdir()
    (tmp_path / 'memory.edn').write_text('{}')
    assert offered('ourofsctl', 'mode', 'mnt', '') == MODES
    assert offered('ourofsctl', 'mode', '--json', 'mnt', 'd') == MODES - {'edn-only'}
    assert offered('ourofsctl', 'migrate', 'mnt', 'p') == {'projects', 'pause'}
    assert offered('ourofsctl', 'status', '') == {'mnt'}
    assert offered('ourofsctl', 'check', '') == {'mnt', 'memory.edn'}
    assert offered('ourofsctl', 'export', '--edn', '') == {'mnt', 'memory.edn'}
    assert offered('ourofsctl', 'export', '--edn', 'memory.edn', '') == {'mnt'}
    assert offered('ourofsctl', 'sync', 'mnt', '') == set()


def test_options_of_a_mount(binary, offered, tmp_path):
    text = help_of(binary, 'ourofs')
    words = set(re.findall(r'-o ([a-z_]+=?)', text)) - {'with'}
    assert {'mode=', 'ro', 'scratch_max='} <= words
    told = offered('ourofs', '-o', '')
    assert words <= told and {'noatime', 'nofail', 'fsname='} <= told and 'x-*' not in told
    assert offered('ourofs', '-o', 'ro,sto') == {'ro,store='}
    assert offered('ourofs', '-o', 'mode', '=', 'dat') == {'datalevin-first', 'datalevin-only'}
    assert offered('ourofs', '-o', 'ro,control', '=') == {'hidden', 'listed'}
    flags = set(re.findall(r'(?<![\w-])--?[a-zA-Z][a-z]*(?![\w-])', text.split('options, ')[1]))
    assert {'-f', '--version', '-o'} <= flags
    assert offered('ourofs', '-') == flags
    (tmp_path / 'memory.edn').write_text('{}')
    assert offered('ourofs', '-f', 'mem') == {'memory.edn'}
    (tmp_path / 'state').mkdir()
    assert offered('ourofs', '-o', 'store', '=', '') == {'state'}
    assert offered('ourofs', '-o', 'ro,mapping', '=', '') == {'state', 'memory.edn'}


@pytest.mark.parametrize('program', ['ourofs', 'ourofsctl'])
def test_zsh(program):
    if not shutil.which('zsh'):
        pytest.skip('zsh is not installed')
    done = subprocess.run(['zsh', '-n', FOLDER / f'_{program}'], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.style
def test_shellcheck():
    if not shutil.which('shellcheck'):
        pytest.skip('shellcheck is not installed')
    subprocess.run(['shellcheck', '-s', 'bash', *FOLDER.glob('*.bash')], check=True)
