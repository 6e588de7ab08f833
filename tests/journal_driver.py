# SPDX-License-Identifier: MIT
"""Drives tests/c/journal_probe.c, and knows how the journal's files look."""
import collections
import contextlib
import errno
import fcntl
import os
import struct
import subprocess

HEADER = 16
HEAD = 36
MARK = 0x31524a4f
KINDS = ('', 'put', 'delete', 'rename', 'exchange', 'directory rename', 'directory removal', 'attributes',
         'outside adoption', 'mode', 'lost records')
LOST = KINDS.index('lost records')
Record = collections.namedtuple('Record', 'offset size sequence kind payload')
Answer = collections.namedtuple('Answer', 'last bytes syncs')


class Refused(Exception):
    def __init__(self, code, reason):
        super().__init__(f'{errno.errorcode.get(-code, code)}: {reason}')
        self.errno = -code
        self.reason = reason


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def encode(sequence, kind, payload):
    head = struct.pack('<IIQqII', MARK, len(payload), sequence, 1700000000, 5, kind)
    return head + struct.pack('<I', crc32c(head + payload)) + payload


def records(data):
    """The records of a segment that is whole, with or without room behind them."""
    found = []
    at = HEADER
    while at < len(data) and any(data[at:]):
        mark, length, sequence, _, _, kind, check = struct.unpack_from('<IIQqIII', data, at)
        payload = data[at + HEAD:at + HEAD + length]
        assert mark == MARK and (length > 10000 or check == crc32c(data[at:at + 32] + payload))
        found.append(Record(at, HEAD + length, sequence, KINDS[kind], payload))
        at += HEAD + length
    return found


def content(path):
    """A segment's bytes without the room that a killed daemon leaves; damage is content."""
    data = path.read_bytes()
    at = HEADER
    while at + HEAD <= len(data) and struct.unpack_from('<I', data, at)[0] == MARK:
        at += HEAD + struct.unpack_from('<I', data, at + 4)[0]
    return data[:max(at, len(data.rstrip(b'\0')))]


def segments(store):
    return sorted(path for path in (store / 'journal').iterdir() if path.suffix == '.log')


@contextlib.contextmanager
def held(store):
    """Nothing is trimmed meanwhile, as while a backup is made: else it goes 50 ms after it came."""
    fd = os.open(store / 'journal', os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


class Journal:
    """One probe with the journal of a store open; replayed: [(sequence, bytes, kind)]."""

    def __init__(self, probe, store, watermark=0):
        store.mkdir(exist_ok=True)
        self.store = store
        self.replayed = []
        self.process = subprocess.Popen([probe, str(store), str(watermark)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        while True:
            first, second, rest = self.process.stdout.readline().rstrip('\n').split(' ', 2)
            if first == 'open':
                break
            content, kind = rest.split(' ', 1)
            assert content == 'whole'
            self.replayed.append((int(first), int(second), kind))
        if second != '0':
            self.kill()
            raise Refused(int(second), rest)

    def call(self, *words):
        self.process.stdin.write(' '.join(map(str, words)) + '\n')
        self.process.stdin.flush()
        line = self.process.stdout.readline().rstrip('\n')
        assert line, f'the probe died of {self.process.wait()}'
        ret, last, size, syncs, reason = line.split(' ', 4)
        if ret != '0':
            raise Refused(int(ret), reason)
        return Answer(int(last), int(size), int(syncs))

    def append(self, count=1, size=100, kind='put'):
        for _ in range(count):
            self.call('append', KINDS.index(kind), size)

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
