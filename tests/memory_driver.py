# SPDX-License-Identifier: MIT
"""Drives tests/c/memory_probe.c: the memory without a mount."""
import collections
import errno
import os
import pathlib
import subprocess

Stat = collections.namedtuple('Stat', 'kind mode ino version size mtime')
Health = collections.namedtuple(
    'Health', 'keys entities directories pending journal_bytes rewrites outside edn_error lenient')
DOCUMENT, DIRECTORY = 0, 1
NOREPLACE, EXCHANGE = 1, 2


class Refused(Exception):
    def __init__(self, code, reason):
        super().__init__(f'{errno.errorcode.get(-code, code)}: {reason}')
        self.errno = -code
        self.reason = reason


def word(value):
    if value is None:
        return '-'
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (str, pathlib.Path)):
        value = os.fsencode(value)
    return 'x' + value.hex()


def text(hexed):
    return bytes.fromhex(hexed[1:])


class Memory:
    """One probe process with one memory open."""

    def __init__(self, probe, directory, delay_ms=3_600_000, read_only=False, doc_max=0, env=None):
        self.directory = pathlib.Path(directory)
        self.edn = self.directory / 'memory.edn'
        self.store = self.directory / 'memory.eav'
        self.options = (delay_ms, int(read_only), doc_max)
        self.probe = probe
        self.env = env
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [self.probe], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.env)
        try:
            self.call('open', self.edn, self.store, *self.options)
        except Refused:
            self.end()
            raise

    def call(self, *words):
        self.process.stdin.write(words[0] + ' ' + ' '.join(map(word, words[1:])) + '\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f'the probe died of {self.process.wait()} in {words}'
        status, _, rest = line.rstrip('\n').partition(' ')
        if status != '0':
            raise Refused(int(status), rest)
        return rest.split()

    def end(self):
        """Ends the process in the ordinary way, which closes the memory."""
        self.process.stdin.close()
        status = self.process.wait()
        self.process.stdout.close()
        assert status == 0
        self.process = None

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None

    def reopen(self):
        self.call('close')
        self.end()
        self.start()

    def crash(self):
        self.kill()
        self.start()

    @staticmethod
    def stat_of(words):
        return Stat(*map(int, words[:6]))

    def stat(self, path):
        return self.stat_of(self.call('stat', path))

    def read(self, path):
        return text(self.call('read', path)[6])

    def put(self, path, data, mode=None, mtime=None):
        words = self.call('put', path, data, mode, mtime)
        return self.stat_of(words), words[6] == '1'

    def list(self, path=''):
        words = self.call('list', path)
        return [(text(words[i]).decode(), int(words[i + 1]), int(words[i + 2]))
                for i in range(0, len(words), 3)]

    def names(self, path=''):
        return [name for name, _, _ in self.list(path)]

    def walk(self, path=''):
        """Every path below, with its kind."""
        found = {}
        for name, kind, _ in self.list(path):
            below = f'{path}/{name}' if path else name
            found[below] = kind
            if kind == DIRECTORY:
                found.update(self.walk(below))
        return found

    def health(self):
        return Health(*map(int, self.call('health')))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
