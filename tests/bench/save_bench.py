#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a save costs on a mount: with the EAV store, without it, and beside the bare disk.

    tests/bench/save_bench.py [--build build] [--saves 2000]

One mount in edn-only and one in datalevin-first, both at once, are written to in turns, so that
whatever else the machine does meets both alike. Medians; close to close is from one close() to the next
of a loop that opens, writes and closes. Works on the disk that holds the build.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
MODES = ('edn-only', 'datalevin-first')
TURN = 50  # saves until it is the other's turn


def document(number):
    return json.dumps({'user/id': f'u{number % 7}', 'n': number, 'tags': {'#set': [':a', 'b']},
                       'text': 'x' * 200}).encode()


class Mount:
    def __init__(self, build, base, mode):
        self.mnt = base / f'{mode}-mnt'
        self.mnt.mkdir()
        edn = base / f'{mode}.edn'
        edn.write_text('{}')
        self.daemon = subprocess.Popen([build / 'fs/ourofs', '-f', '-o',
                                        f'store={base}/{mode}-store,mode={mode}', edn, self.mnt])
        while not os.path.ismount(self.mnt):
            assert self.daemon.poll() is None, 'the mount failed'
            time.sleep(0.001)
        (self.mnt / 'presence/s1').mkdir(parents=True)
        self.count = 0

    def health(self):
        return json.loads((self.mnt / '.health').read_text())

    def save(self, sync=False):
        """Seconds of the whole, and of the fsync alone."""
        self.count += 1
        start = time.perf_counter()
        fd = os.open(self.mnt / f'presence/s1/u{self.count % 100}.json',
                     os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(fd, document(self.count))
        middle = time.perf_counter()
        if sync:
            os.fsync(fd)
        synced = time.perf_counter()
        os.close(fd)
        return time.perf_counter() - start, synced - middle

    def sync(self):
        (self.mnt / '.sync').write_text('1')

    def close(self):
        subprocess.run(['fusermount3', '-u', self.mnt], check=True)
        self.daemon.wait()


def append_and_sync(path, count):
    """The bare disk: seconds of an append and an fdatasync of as many bytes."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    taken = []
    for number in range(count):
        start = time.perf_counter()
        os.write(fd, document(number))
        os.fdatasync(fd)
        taken.append(time.perf_counter() - start)
    os.close(fd)
    return taken


def row(name, value):
    print(f'{name:56} {value}', flush=True)


def microseconds(samples):
    return round(statistics.median(samples) * 1e6, 1)


def close_to_close(mounts, saves):
    taken = {mode: [] for mode in MODES}
    for turn in range(saves // TURN):
        for mode in MODES if turn % 2 else MODES[::-1]:
            taken[mode] += [mounts[mode].save()[0] for _ in range(TURN)]
    for mode in MODES:
        row(f'save, close to close, {mode}, us', microseconds(taken[mode]))
    row('... ratio', round(statistics.median(taken[MODES[1]]) / statistics.median(taken[MODES[0]]), 3))


def synced(mounts, base, saves):
    taken = {mode: [] for mode in MODES}
    bare = []
    for _ in range(saves // TURN):
        bare += append_and_sync(base / 'bare', TURN)
        for mode in MODES:
            taken[mode] += [mounts[mode].save(sync=True)[1] for _ in range(TURN)]
    row('append + fdatasync on the same disk, us', microseconds(bare))
    for mode in MODES:
        row(f'fsync of a saved document, {mode}, us', microseconds(taken[mode]))
        row('... ratio', round(statistics.median(taken[mode]) / statistics.median(bare), 2))


def write_many(mnt, mine, count, start):
    start.wait()
    for number in range(count):
        with open(mnt / f'presence/s1/w{mine}-{number % 100}.json', 'wb', buffering=0) as file:
            file.write(document(number))


def throughput(mount, writers, saves):
    start = multiprocessing.Barrier(writers + 1)
    people = [multiprocessing.Process(target=write_many, args=(mount.mnt, mine, saves // writers, start))
              for mine in range(writers)]
    for one in people:
        one.start()
    start.wait()
    began = time.perf_counter()
    for one in people:
        one.join()
    return saves / (time.perf_counter() - began)


def rates(mounts, saves, rounds=3):
    for writers in (1, 8):
        found = {mode: [] for mode in MODES}
        for _ in range(rounds):
            for mode in MODES:
                found[mode].append(throughput(mounts[mode], writers, saves))
        for mode in MODES:
            row(f'saves a second, {writers} writer{"s"[:writers > 1]}, {mode}',
                round(statistics.median(found[mode])))


def commits(mount, saves=1000):
    mount.sync()
    before = mount.health()['eav']['commits']
    for _ in range(saves):
        mount.save()
    mount.sync()
    row(f'LMDB commits for {saves} saves', mount.health()['eav']['commits'] - before)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=TOP / 'build')
    parser.add_argument('--saves', type=int, default=2000)
    args = parser.parse_args()
    build = args.build.resolve()
    base = pathlib.Path(tempfile.mkdtemp(prefix='save-bench-', dir=build))
    mounts = {}
    try:
        for mode in MODES:
            mounts[mode] = Mount(build, base, mode)
        close_to_close(mounts, args.saves)
        synced(mounts, base, args.saves // 4)
        rates(mounts, args.saves)
        commits(mounts['datalevin-first'])
    finally:
        for mount in mounts.values():
            mount.close()
        shutil.rmtree(base)


if __name__ == '__main__':
    main()
