# SPDX-License-Identifier: MIT
"""Looks at what became of memory.edn, and of the mount, after others wrote to it."""
import json
import os
import threading

import edn_reader
from conftest import wait_until

SEEN_S = 10  # what is noticed without being asked is seen by then, on a busy machine too


def soon(condition, what):
    wait_until(condition, what, SEEN_S)


def keys(count, first=0):
    return ' '.join(f':k{i} {i}' for i in range(first, count))


def read(path):
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def names(m):
    return sorted(os.listdir(m.mnt))


def bad_files(m):
    return [path.read_text() for path in sorted(m.edn.resolve().parent.glob('memory.edn.bad-*'))]


def conflicts(m):
    """What /.conflicts holds, by path."""
    top = m.mnt / '.conflicts'
    return {os.path.relpath(os.path.join(where, name), top): open(os.path.join(where, name)).read()
            for where, _, files in os.walk(top) for name in files}


def health(m):
    return json.loads((m.mnt / '.health').read_text())


def put_back(m):
    return health(m)['edn']['stale_put_back']


def saved(m):
    """memory.edn by keyword, or None while it is not whole."""
    try:
        return {key[1]: value for key, value in edn_reader.memory(m.edn_text()).items()}
    except (AssertionError, OSError):
        return None


class Watch:
    """A thread that reads the same documents over and over, for as long as the with statement lasts."""

    def __init__(self, m, allowed):
        self.m, self.allowed = m, allowed
        self.wrong = []
        self.rounds = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.is_set():
            for name, texts in self.allowed.items():
                text = read(self.m.mnt / name)
                if text not in texts:
                    self.wrong.append((name, text))
            self.rounds += 1

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        assert not self.wrong, self.wrong
        assert self.rounds
