#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a migration takes, and what it takes from others: entities a second, memory, and reads and saves meanwhile.

    tests/bench/migrate_bench.py [--build build] [--keys 160000] [--rounds 3]

Each round mounts a memory.edn whose EAV store is empty, and migrates all of it. Reads and saves are of documents in
turn, each opened anew, and are timed alike before the migration and while it runs. Medians of the rounds; works on
the disk that holds the build.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile
import time

from peers import generated, status_kb

TOP = pathlib.Path(__file__).resolve().parents[2]
IDLE = 4000     # operations before the migration
POLL = 50       # operations until it is asked how far the migration is
PAUSE = 0.0005  # between two of them: people, not a load of their own
LOOK = 0.05     # between two looks where nobody else is there: for 2 ms after each the migration makes way


FOUND = []


def rows(name, values, unit):
    FOUND.append({'name': name, 'median': round(statistics.median(values), 2), 'unit': unit})
    print(f'{name:48} {statistics.median(values):12,.{0 if unit else 2}f} {unit}', flush=True)


def percentile(samples, which):
    return sorted(samples)[int(len(samples) * which / 100)] * 1e6


class Round:
    def __init__(self, build, edn, base):
        self.base = base
        self.mnt = base / 'mnt'
        self.mnt.mkdir()
        shutil.copyfile(edn, base / 'memory.edn')
        # memory.edn is rewritten once in a round at most: saves are measured, not that
        self.daemon = subprocess.Popen([build / 'fs/ourofs', '-f', '-o', f'store={base}/store,edn_delay=60000',
                                        base / 'memory.edn', self.mnt])
        while not os.path.ismount(self.mnt):
            assert self.daemon.poll() is None, 'the mount failed'
            time.sleep(0.001)
        self.paths = [path for path in (self.mnt / 'presence').rglob('*.json')]
        random.Random(1).shuffle(self.paths)
        self.at = 0

    def close(self):
        subprocess.run(['fusermount3', '-u', self.mnt], check=True)
        self.daemon.wait()

    def progress(self):
        return json.loads((self.mnt / '.migrate').read_text())

    def anonymous_mb(self):
        return status_kb(self.daemon.pid, 'RssAnon') / 1024

    def cpu_s(self):
        """Of all its threads, those that have ended included."""
        fields = pathlib.Path(f'/proc/{self.daemon.pid}/stat').read_text().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def next_path(self):
        self.at += 1
        return self.paths[self.at % len(self.paths)]

    def read(self):
        path = self.next_path()
        start = time.perf_counter()
        fd = os.open(path, os.O_RDONLY)
        os.read(fd, 1 << 20)
        os.close(fd)
        return time.perf_counter() - start

    def save(self):
        path = self.next_path()
        start = time.perf_counter()
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
        os.write(fd, b'{"n": %d}' % self.at)
        os.close(fd)
        return time.perf_counter() - start

    def some(self, taken):
        for number in range(POLL):
            if number % 10:
                taken['read'].append(self.read())
            else:
                taken['save'].append(self.save())
            time.sleep(PAUSE)


def lmdb_alone(build, base):
    """Entities a second of LMDB, which puts the rows that the migration has just made."""
    (base / 'raw').mkdir()
    found = subprocess.run([build / 'tests/lmdb_bench', base / 'store/data.mdb', base / 'raw'], check=True,
                           stdout=subprocess.PIPE, text=True)
    return float(found.stdout)


def alone(build, edn, base):
    """
    Entities a second, microseconds of processor for one, MB that the daemon grew by at its height; and how
    many LMDB can put a second.
    """
    mount = Round(build, edn, base)
    try:
        before = peak = mount.anonymous_mb()
        start, cpu = time.monotonic(), mount.cpu_s()
        (mount.mnt / '.migrate').write_text('all')
        while (now := mount.progress())['state'] == 'running':
            peak = max(peak, mount.anonymous_mb())
            time.sleep(LOOK)
        seconds = time.monotonic() - start
        assert now['state'] == 'done' and now['done'] == now['total'], now
        found = now['total'] / seconds, (mount.cpu_s() - cpu) / now['total'] * 1e6, peak - before
    finally:
        mount.close()
    return *found, lmdb_alone(build, base)


def used(build, edn, base):
    """Samples before and meanwhile, and entities a second."""
    mount = Round(build, edn, base)
    idle = {'read': [], 'save': []}
    busy = {'read': [], 'save': []}
    try:
        for _ in range(IDLE // POLL):
            mount.some(idle)
        (mount.mnt / '.migrate').write_text('all')
        while (now := mount.progress())['state'] == 'running':
            mount.some(busy)
        assert now['state'] == 'done', now
        return idle, busy, now['rate']
    finally:
        mount.close()


def rounds(args, edn, of):
    for _ in range(args.rounds):
        base = pathlib.Path(tempfile.mkdtemp(prefix='migrate-bench-', dir=edn.parent))
        try:
            yield of(args.build, edn, base)
        finally:
            shutil.rmtree(base)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=TOP / 'build')
    parser.add_argument('--keys', type=int, default=160000)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--json', type=pathlib.Path)
    args = parser.parse_args()
    args.build = args.build.resolve()
    edn = generated(args.build, args.keys)
    rates, cpu, grown, raw = zip(*rounds(args, edn, alone))
    rows('migration, nobody else', rates, 'entities/s')
    rows('... the same puts by LMDB alone', raw, 'entities/s')
    rows('... processor time for an entity, all threads', cpu, 'us')
    rows('... memory for it at its height', grown, 'MB')
    idle, busy, rates = zip(*rounds(args, edn, used))
    rows('migration, with a reader and writer', rates, 'entities/s')
    for what in ('read', 'save'):
        for which in (50, 99):
            rows(f'{what}, p{which}, before', [percentile(one[what], which) for one in idle], 'us')
            rows(f'{what}, p{which}, meanwhile', [percentile(one[what], which) for one in busy], 'us')
    rows('read, p99, meanwhile, times that before', [percentile(b['read'], 99) / percentile(i['read'], 99)
                                                     for i, b in zip(idle, busy)], '')
    if args.json:
        args.json.write_text(json.dumps(FOUND, indent=1) + '\n')


if __name__ == '__main__':
    main()
