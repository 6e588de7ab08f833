#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How long after another program has written memory.edn its change is seen in the mount.

    tests/bench/outside_bench.py [--build build] [--keys 1000 20000 160000] [--json FILE]

The kernel knows all that is there (a walk with stat), one document changes, the file is written in place as Clojure's spit
does, or beside and renamed. From its close or rename until a read of that document has it; beside it, how long it takes to
copy the file. Medians. Works on the disk that holds the build.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

from peers import TOP, Peer, generated

KEY = ':bench-outside/n'
NAME = 'bench-outside/n.json'


def in_place(edn, text):
    with open(edn, 'wb') as file:
        file.write(text)


def by_rename(edn, text):
    beside = edn.with_name('beside')
    beside.write_bytes(text)
    os.rename(beside, edn)


def wait_for(path, content):
    start = time.perf_counter()
    while path.read_bytes() != content:
        time.sleep(0.0005)
    return time.perf_counter() - start


def copied(base, text):
    """The file without anyone who looks: written, and read."""
    start = time.perf_counter()
    in_place(base / 'copy', text)
    (base / 'copy').read_bytes()
    return time.perf_counter() - start


def measure(build, base, keys, rounds):
    whole = generated(build, keys).read_bytes()
    edn = base / 'memory.edn'

    def text(number):
        return b'{%s %d\n' % (KEY.encode(), number) + whole[1:]

    in_place(edn, text(0))
    mount = Peer('ourofs', base, build / 'fs/ourofs', '-f', '-o', f'store={base}/store', edn)
    mount.start()
    number = 0
    found = {name: [] for name in ('in place', 'by rename', 'copy')}
    try:
        for _ in range(rounds):
            subprocess.run(['find', mount.mnt, '-size', '+1000000k'], check=True)
            for write in (in_place, by_rename):
                number += 1
                write(edn, text(number))
                taken = wait_for(mount.mnt / NAME, b'%d\n' % number)
                found[write.__name__.replace('_', ' ')].append(taken * 1000)
                time.sleep(0.1 + 2 * taken)  # after a merge it rests as long as that took
            found['copy'].append(copied(base, text(number)) * 1000)
    finally:
        mount.stop()
    return {name: round(statistics.median(taken), 1) for name, taken in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=TOP / 'build')
    parser.add_argument('--keys', type=int, nargs='+', default=[1000, 20000, 160000])
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--json', type=pathlib.Path)
    args = parser.parse_args()
    build = args.build.resolve()
    found = {}
    for keys in args.keys:
        base = pathlib.Path(tempfile.mkdtemp(prefix='outside-bench-', dir=build))
        try:
            found[keys] = measure(build, base, keys, args.rounds)
        finally:
            shutil.rmtree(base)
        print(f'a change in {keys:,} keys is seen, ms: ' +
              ', '.join(f'{name} {taken}' for name, taken in found[keys].items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(found) + '\n')


if __name__ == '__main__':
    main()
