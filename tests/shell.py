# SPDX-License-Identifier: MIT
"""Shell commands in a mount, and what memory.edn holds afterwards."""
import os
import subprocess

import edn_reader
from conftest import BOUND_S


class Done:
    def __init__(self, run):
        self.status = run.returncode
        self.out = run.stdout.decode(errors='surrogateescape')
        self.err = run.stderr.decode(errors='surrogateescape')

    def __repr__(self):
        return f'status {self.status}, stdout {self.out!r}, stderr {self.err!r}'


def environment(m):
    """A home of its own, so that no one's settings change what a tool does."""
    home = m.base / 'home'
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ('PATH', 'TMPDIR') if name in os.environ}
    return kept | {'HOME': str(home), 'LC_ALL': 'C.UTF-8', 'SHELL': '/bin/sh', 'TERM': 'xterm',
                   'BASE': str(m.base), 'MNT': str(m.mnt)}


def sh(m, script, status=0, cwd=None):
    """Runs a script of bash in the mount; $BASE is a real directory beside it. status: None is any."""
    done = Done(subprocess.run(['bash', '-c', script], cwd=cwd or m.mnt, env=environment(m),
                               stdin=subprocess.DEVNULL, capture_output=True, timeout=BOUND_S))
    assert status is None or done.status == status, f'{script}\n{done}'
    return done


def memory(m):
    """What memory.edn holds once everything is written, by key."""
    m.sync()
    return edn_reader.memory(m.edn_text())


def holds(m, key, text):
    """Is the value of key in memory.edn the one that this EDN says?"""
    found = memory(m).get(edn_reader.read(key))
    expected = edn_reader.read(text)
    assert found == expected, f'{key} is {found}, not {expected}'


def shown(path):
    """The EDN value that a file stands for."""
    return edn_reader.read_json(path.read_text(encoding='utf-8', errors='surrogatepass'))


def names(directory):
    return sorted(os.listdir(directory))
