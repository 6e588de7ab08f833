#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Does memory grow with what is done? A day's worth of operations, and what the daemon holds after each million.

    tests/bench/memory_profile.py [--build build] [--millions 10] [--json FILE]

Reads, stats, lists, saves in each way and fsyncs of 5,000 documents, by one thread and by four, from files_bench.c.
An operation is a request of the kernel's, as /.metrics counts them.
"""
import argparse
import json
import pathlib
import re
import shutil
import sys
import tempfile

from files_bench import Bench, small_memory
from peers import Ourofs, status_kb

TOP = pathlib.Path(__file__).resolve().parents[2]
WORKS = [('read', 1), ('list', 1), ('read', 1, 4), ('stat', 1), ('save', 300), ('sync', 50, 4), ('read', 1, 2)]
FIELDS = ('RssAnon', 'VmRSS')


class Documents:
    """What Bench.ask wants to know of peers."""

    def __init__(self, mnt):
        self.paths = sorted(str(path.relative_to(mnt)) for path in (mnt / 'presence').rglob('*.json'))


def operations(mnt):
    return sum(int(float(line.rsplit(' ', 1)[1])) for line in (mnt / '.metrics').read_text().splitlines()
               if line.startswith('ourofs_operations_total{'))


def holds(pid):
    """What the process holds, by name."""
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    figures = {f'{field} kB': status_kb(pid, field) for field in FIELDS}
    figures['descriptors'] = len(list(pathlib.Path(f'/proc/{pid}/fd').iterdir()))
    figures['threads'] = int(re.search(r'Threads:\s+(\d+)', status)[1])
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--build', type=pathlib.Path, default=TOP / 'build')
    parser.add_argument('--millions', type=float, default=10)
    parser.add_argument('--json', type=pathlib.Path)
    args = parser.parse_args()
    build = args.build.resolve()
    bench = Bench(build, 1)
    base = pathlib.Path(tempfile.mkdtemp(prefix='profile-', dir=build))
    edn = base / 'memory.edn'
    edn.write_text(small_memory())
    mount = Ourofs(base, build, edn).start()
    rows = []
    try:
        mount.migrate()
        documents = Documents(mount.mnt)
        done = 0
        while done < args.millions * 1e6:
            for work in WORKS:
                bench.ask(documents, mount.mnt, *work)
            done = operations(mount.mnt)
            if done >= len(rows) * 1e6:
                mount.settle()
                rows.append({'operations': done, **holds(mount.daemon.pid),
                             'store kB': sum(path.stat().st_blocks for path in
                                             (base / 'ourofs-store').rglob('*')) // 2})
                print('  '.join(f'{name} {value:,}' for name, value in rows[-1].items()), flush=True)
    finally:
        mount.stop()
        shutil.rmtree(base)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + '\n')


if __name__ == '__main__':
    sys.exit(main())
