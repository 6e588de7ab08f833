# SPDX-License-Identifier: MIT
"""A program that dies at a chosen call, or sees it fail (tests/c/callpoint.h): its environment, and what was counted."""
import os
import shutil
from typing import NamedTuple

RECORD_BYTES = 128


class Counted(NamedTuple):
    calls: list  # 'pwritev 0000000001.log'; of memory: 'malloc PLACE WHERE ...'
    met: bool  # was it come by the one that was meant


def environment(build_dir, counts, at=0, side='before', **more):
    """counts: the file to count into. more: the other words of callpoint.h, in lower case."""
    words = {'at': at, 'side': side, **more}
    return dict(os.environ, LD_PRELOAD=str(build_dir / 'tests' / 'callpoint.so'), OUROFS_CALLPOINT=str(counts),
                **{f'OUROFS_CALLPOINT_{name.upper()}': str(value) for name, value in words.items()})


def count(counts):
    with open(counts, 'rb') as file:
        return int.from_bytes(file.read(8), 'little')


def counted(counts):
    data = counts.read_bytes()
    total = min(int.from_bytes(data[:8], 'little'), len(data) // RECORD_BYTES - 1)
    calls = [data[n * RECORD_BYTES:(n + 1) * RECORD_BYTES].split(b'\0')[0].decode()
             for n in range(1, total + 1)]
    return Counted(calls, int.from_bytes(data[8:16], 'little') > 0)


class Kept:
    """Copies of what a mount has on disk, by name."""

    def __init__(self, m):
        self.m = m

    def keep(self, name):
        kept = self.m.base / name
        kept.mkdir()
        shutil.copytree(self.m.store, kept / 'store')
        shutil.copy2(self.m.edn, kept / 'memory.edn')

    def restore(self, name):
        kept = self.m.base / name
        shutil.rmtree(self.m.store, ignore_errors=True)
        shutil.copytree(kept / 'store', self.m.store)
        shutil.copy2(kept / 'memory.edn', self.m.edn)
