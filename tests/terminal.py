# SPDX-License-Identifier: MIT
"""A person at a terminal: programs that want one run on a pty, and are waited for by what they show."""
import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from conftest import BOUND_S, wait_until
from shell import environment

ESCAPES = re.compile(r'\x1b(\[[0-9;?>=!]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][0-9A-B]|[=>78MDEHc])')


def kill(process):
    try:
        os.kill(int(process.name), signal.SIGKILL)
    except ProcessLookupError:
        pass
    return process


class Terminal:
    def __init__(self, m, command, **variables):
        self.command = command
        self.mnt = os.fspath(m.mnt)
        self.shown = ''  # what was written since the last wait, without escape sequences
        self.raw = b''
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 30, 150, 0, 0))
        self.process = subprocess.Popen(
            command, cwd=m.mnt, env=environment(m) | {'TERM': 'xterm'} | variables,
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        wait_until(lambda: not [kill(process) for process in pathlib.Path('/proc').glob('[0-9]*')
                                if self.works_here(process)],
                   'what the program started to leave the mount')

    def works_here(self, process):
        """Does it stand in the mount? emacs starts compilers, which would end later than it."""
        try:
            return os.readlink(process / 'cwd').startswith(self.mnt)
        except OSError:
            return False

    def read(self, bound_s):
        """Takes in what the program writes; false at its end."""
        if not select.select([self.master], [], [], bound_s)[0]:
            return True
        try:
            self.raw += os.read(self.master, 65536)
        except OSError:  # EIO: nobody has the terminal any more
            return False
        self.shown = ESCAPES.sub('', self.raw.decode(errors='replace'))
        return True

    def wait_for(self, pattern):
        """Until this regular expression is on the screen; only what comes after counts next time."""
        end = time.monotonic() + BOUND_S
        while not re.search(pattern, self.shown):
            if not self.read(1) or time.monotonic() > end:
                pytest.fail(f'{self.command} never showed {pattern!r}, but:\n{self.shown}')
        found, self.shown, self.raw = self.shown, '', b''
        return found

    def type(self, keys):
        os.write(self.master, keys.encode())

    def wait_until(self, condition, what):
        """For programs that redraw only what changed: until the file shows it."""
        end = time.monotonic() + BOUND_S
        while not condition():
            self.read(0.01)
            if time.monotonic() > end:
                pytest.fail(f'{self.command}: waited for {what}; the terminal showed\n{self.shown}')

    def wait_exit(self):
        end = time.monotonic() + BOUND_S
        while True:
            ended, before = self.process.poll() is not None, len(self.raw)
            if not self.read(0.2) or ended and len(self.raw) == before:  # its last words may come with its end
                break
            if time.monotonic() > end:
                pytest.fail(f'{self.command} did not end; it showed\n{self.shown}')
        return self.process.wait(BOUND_S)
