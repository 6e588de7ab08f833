#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a million entities cost: time a name, and memory of the daemon.

    tests/bench/million_bench.py [--build build] [--json FILE]

Two memories of a million members, in 10,000 collections and in one, are brought to the EAV store and mounted
again. The one is listed (`ls -f`), both are walked with stat, and read at random; the kernel is told to forget all
names (as root); after a remount they are read at random, in turns with a store of 5,000 files. The floor (null_fs.c)
shows as many names, and does the same. Memory is told as resident set and, of that, what is no file's page: once the text
of memory.edn was put away, at its height, and when all is forgotten.
"""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

from peers import Ourofs, Peer, status_kb

TOP = pathlib.Path(__file__).resolve().parents[2]
MANY, ONE, SMALL = (10_000, 100), (1, 1_000_000), (20, 250)
READS = 5_000
ROUNDS = 5


class Shaped:
    """A peer that shows so many collections of so many members each."""

    def __init__(self, build, shape, top, *args):
        super().__init__(*args)
        self.shape = shape
        self.top = self.mnt / top
        self.bench = build / 'tests/files_bench'

    def read_us(self, seed):
        """Of one of READS files chosen at random."""
        pick = random.Random(seed)
        paths = [f'session-{pick.randrange(self.shape[0])}/user-{pick.randrange(self.shape[1])}.json'
                 for _ in range(READS)]
        told = subprocess.run([self.bench, self.top, 'read'], input='\n'.join(paths), check=True,
                              stdout=subprocess.PIPE, text=True).stdout
        return float(told.split()[1]) / 1000

    def entry_us(self, command):
        start = time.monotonic()
        subprocess.run(command, cwd=self.top, shell=True, check=True, stdout=subprocess.DEVNULL)
        return (time.monotonic() - start) * 1e6 / (self.shape[0] * self.shape[1])


class Million(Shaped, Ourofs):
    def __init__(self, base, build, shape):
        name = f'{shape[0]}x{shape[1]}'
        source = base / f'{name}-source.edn'
        with open(source, 'w') as out:
            subprocess.run([sys.executable, TOP / 'tests/bench/gen_memory.py', '--collections', str(shape[0]),
                            '--members', str(shape[1])], check=True, stdout=out)
        super().__init__(build, shape, 'presence', base, build, source, name)
        self.start()
        self.migrate()

    def mb(self, field):
        return status_kb(self.daemon.pid, field) / 1024


class Floor(Shaped, Peer):
    def __init__(self, base, build, shape):
        super().__init__(build, shape, '', f'floor-{shape[0]}x{shape[1]}', base, build / 'tests/null_fs', *shape)
        self.start()


def wait_for_calm(peer):
    """Until its memory falls no further."""
    before = peer.mb('RssAnon')
    while True:
        time.sleep(1)
        now = peer.mb('RssAnon')
        if now >= before:
            return
        before = now


class Bench:
    def __init__(self):
        self.rows = {}

    def row(self, name, value):
        self.rows[name] = round(value, 2)
        print(f'{name:60} {value:.2f}', flush=True)

    def memory(self, peer, when, field='VmRSS'):
        self.row(f'{peer.name}, {when}, MB', peer.mb(field))
        if field == 'VmRSS':
            self.row(f'{peer.name}, ... not of files, MB', peer.mb('RssAnon'))

    def times(self, peer):
        if peer.shape == ONE:
            self.row(f'{peer.name}, `ls -f`, us an entry', peer.entry_us('ls -f session-0'))
        self.row(f'{peer.name}, walk with stat, us an entry', peer.entry_us('find . -size +0'))
        self.row(f'{peer.name}, the same again', peer.entry_us('find . -size +0'))
        self.row(f'{peer.name}, read, us', peer.read_us(0))

    def cold(self, peer, small):
        cold = {peer: [], small: []}
        for seed in range(ROUNDS):
            for one, us in cold.items():
                one.remount()
                us.append(one.read_us(seed))
        self.row(f'{peer.name}, read, cold, us', statistics.median(cold[peer]))
        self.row(f'{peer.name}, ... as a multiple of {small.name}\'s',
                 statistics.median(a / b for a, b in zip(*cold.values())))

    def run(self, peer, small):
        peer.remount()
        wait_for_calm(peer)
        self.memory(peer, 'mounted')
        self.times(peer)
        self.memory(peer, 'walked')
        self.memory(peer, 'at its height since', 'VmHWM')
        try:
            pathlib.Path('/proc/sys/vm/drop_caches').write_text('2')
        except PermissionError:
            print('not root: the kernel forgets nothing', file=sys.stderr)
        else:
            wait_for_calm(peer)
            self.memory(peer, 'forgotten')
        self.cold(peer, small)

    def run_floor(self, floor, small):
        self.times(floor)
        self.cold(floor, small)


def with_both(base, build, make, run):
    """In turns with a small one, which is a peer of the same kind."""
    small = make(base, build, SMALL)
    try:
        for shape in MANY, ONE:
            peer = make(base, build, shape)
            try:
                run(peer, small)
            finally:
                peer.stop()
    finally:
        small.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=TOP / 'build')
    parser.add_argument('--json', type=pathlib.Path)
    args = parser.parse_args()
    build = args.build.resolve()
    bench = Bench()
    with tempfile.TemporaryDirectory(prefix='million-', dir=build) as base:
        with_both(pathlib.Path(base), build, Million, bench.run)
        with_both(pathlib.Path(base), build, Floor, bench.run_floor)
    if args.json:
        args.json.write_text(json.dumps(bench.rows, indent=1) + '\n')


if __name__ == '__main__':
    main()
