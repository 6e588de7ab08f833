# SPDX-License-Identifier: MIT
"""Everything at once, and ends amid it: whatever the daemon's sanitizer, or its check of the order of locks, reports fails the test.

OUROFS_RACES_SECONDS says how long, 8 without. A build with ThreadSanitizer is for this test alone: -m tsan.
"""
import os
import signal
import subprocess
import sys
import threading

import pytest

from conftest import BOUND_S, TESTS

ROUNDS = round(float(os.environ.get('OUROFS_RACES_SECONDS', '8')) / 2)
ROLES = {'writer': 4, 'reader': 2, 'watcher': 2, 'commander': 1, 'switcher': 1, 'rival': 1}


class Load:
    """The roles of race_load.py, each a process whose directory is the mount."""

    def __init__(self, m, seed):
        self.processes = [
            subprocess.Popen([sys.executable, TESTS / 'race_load.py', role, f'{seed}-{number}', m.edn],
                             cwd=m.mnt, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for role, count in ROLES.items() for number in range(count)]

    def end(self):
        """How much each has done. They end by themselves where the mount is gone, too."""
        for process in self.processes:
            process.stdin.close()
        done = [int(process.stdout.read()) for process in self.processes]
        assert [process.wait(BOUND_S) for process in self.processes] == [0] * len(done)
        return done


def leave(m, load):
    done = load.end()
    subprocess.run(['fusermount3', '-u', str(m.mnt)], check=True, timeout=BOUND_S)
    return done


def terminate(m, load):
    m.proc.send_signal(signal.SIGTERM)
    return load.end()


def detach(m, load):
    subprocess.run(['fusermount3', '-u', '-z', str(m.mnt)], check=True, timeout=BOUND_S)
    return load.end()


@pytest.mark.tsan
def test_everything_at_once(mount, binary, example):
    m = mount.prepare(example, ('edn_delay=20',))
    done = 0
    for number in range(ROUNDS):
        m.mount()
        load = Load(m, number)
        threading.Event().wait(2)
        done += sum((terminate, detach, leave)[number % 3](m, load))
        assert m.wait_exit() == 0
        m.check_stderr()
    assert done > 0
    check = subprocess.run([binary('ourofsctl'), 'check', m.store], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr
