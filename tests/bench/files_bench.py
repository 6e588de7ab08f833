#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What operations on files cost on a mount, beside other filesystems.

    tests/bench/files_bench.py [--build build] [--rounds 9] [--json FILE] [GROUP ...]

The peers are libfuse's passthrough_ll over tmpfs, with the kernel's caches on; the floor (null_fs.c),
which answers from memory and looks for nothing, and once more with a journal that it appends to; and
the disk that holds the build. All hold the same files, and are measured in turns, with files_bench.c or
with people's tools. A row is the median of the rounds; +- is how far half of them are from it; a ratio is
of rates, so that more is better. ourofs is in its default mode and durability.
"""
import argparse
import json
import pathlib
import resource
import subprocess
import time

import table
from peers import Ourofs, Peers, generated

TOP = pathlib.Path(__file__).resolve().parents[2]
DIRECTORIES, MEMBERS = 20, 250
SAVES = 300         # of a round
SYNCS = 100
PACE = 100          # saves a second beside readers
IDLE_S = 10
TOOL_KEYS = 20000
TOOLS = {'grep -r': 'grep -r no-such-word . || true',
         'find -size +0': 'find . -size +0',
         'tar c': 'tar c .',
         'jq .': "find . -name '*.json' -print0 | xargs -0 jq ."}


def small_memory():
    """Documents of some 220 bytes."""
    sessions = []
    for session in range(DIRECTORIES):
        members = ' '.join(
            f'"m{member:03}" {{:user/id "m{member:03}" :user/name "Ada of the {session}th" '
            f':user/status :active :n {member} :text "{"x" * 90}" :tags #{{:a :b}}}}'
            for member in range(MEMBERS))
        sessions.append(f':presence/s{session:02} {{{members}}}')
    return '{' + '\n'.join(sessions) + '}'


class Bench:
    def __init__(self, build, rounds):
        self.build = build
        self.rounds = rounds
        self.rows = []

    def row(self, *args, **kwargs):
        self.rows.append(table.Row(*args, **kwargs))
        return self.rows[-1]

    def ask(self, peers, where, work, *args):
        """{what: us} of files_bench.c."""
        done = subprocess.run([self.build / 'tests/files_bench', where, work, *map(str, args)],
                              input='\n'.join(peers.paths), check=True, stdout=subprocess.PIPE, text=True)
        return {what: float(ns) / 1000 for what, ns in map(str.split, done.stdout.splitlines())}

    def in_turns(self, peers):
        """Each peer once a round; who begins changes."""
        for number in range(self.rounds):
            at = number % len(peers)
            yield from peers[at:] + peers[:at]

    def warm(self, peers):
        rows = {'read': self.row('open, read, close', goals={'floor': 0.9, 'passthrough_ll': 1.3}),
                'stat': self.row('stat', goals={'floor': 0.9}),
                'list': self.row('readdir and stat, an entry', goals={'passthrough_ll': 5})}
        for peer in peers.all:
            for work in rows:
                self.ask(peers, peer.mnt, work)
        for peer in self.in_turns(peers.all):
            for work, row in rows.items():
                row.add(peer.name, self.ask(peers, peer.mnt, work)[work])

    def cold(self, peers):
        """After a remount. Where an entity is only in memory.edn, it is printed as JSON when it is read."""
        eav = self.row('open, read, close, cold, in the EAV store', goals={'floor': 0.7})
        edn = self.row('open, read, close, cold, only in memory.edn', goals={'floor': 0.5})
        listed = self.row('readdir and stat, an entry, cold', goals={'passthrough_ll': 5})
        other = peers.add(Ourofs(peers.base, self.build, self.edn, name='edn'))
        for peer in self.in_turns(peers.all):
            peer.remount()
            us = self.ask(peers, peer.mnt, 'read')['read']
            if peer is not other:
                eav.add(peer.name, us)
                peer.remount()
                listed.add(peer.name, self.ask(peers, peer.mnt, 'list')['list'])
            if peer is not peers.ourofs:
                edn.add('ourofs' if peer is other else peer.name, us)
        other.stop()
        peers.all.remove(other)

    def saves(self, peers):
        rows = {'create': self.row('create', goals={'passthrough_ll': 1}),
                'overwrite': self.row('overwrite', goals={'passthrough_ll': 1}),
                'rename': self.row('save by rename', goals={'passthrough_ll': 0.9}),
                'unlink': self.row('unlink', goals={'passthrough_ll': 1})}
        peers.add_savers()
        writers = peers.some('ourofs', 'floor', 'floor, journal', 'passthrough_ll', 'strict', 'strict on disk')
        for peer in self.in_turns(writers):
            for what, us in self.ask(peers, peer.mnt, 'save', SAVES).items():
                rows[what].add(peer.name, us)
            peer.settle()
        peers.drop_savers()

    def syncs(self, peers):
        row = self.row('fsync of a written document', goals={'append, fdatasync': 1 / 1.3})
        alone = self.row('a save that is fsynced')
        many = self.row('8 writers that fsync, from one to the next', goals={'one writer': 4})
        peers.add_savers()
        for _ in range(self.rounds):
            row.add('append, fdatasync', self.ask(peers, peers.disk, 'append', SYNCS)['append'])
            for peer in peers.some('ourofs', 'floor, journal', 'strict on disk'):
                one = self.ask(peers, peer.mnt, 'sync', SYNCS)
                row.add(peer.name, one['fsync'])
                alone.add(peer.name, one['synced'])
                many.add(peer.name, self.ask(peers, peer.mnt, 'sync', SYNCS, 8)['synced'])
            many.add('one writer', alone.samples['ourofs'][-1])
        peers.drop_savers()

    def threads(self, peers):
        rows = {1: self.row('open, read, close, 1 thread', goals={'floor': 0.9})}
        for threads in (2, 4, 8):
            rows[threads] = self.row(f'... {threads} threads, from one to the next', goals={'floor': 0.9})
        beside = self.row(f'... 2 threads, beside {PACE} saves a second',
                          goals={'2 threads alone': 0.75, 'passthrough_ll': 1})
        for peer in self.in_turns(peers.all):
            for threads, row in rows.items():
                row.add(peer.name, self.ask(peers, peer.mnt, 'read', 1, threads)['read'])
            if peer.name != 'floor':
                beside.add(peer.name, self.ask(peers, peer.mnt, 'beside', PACE, 2)['beside'])
            if peer is peers.ourofs:
                beside.add('2 threads alone', rows[2].samples['ourofs'][-1])

    def idle(self, peers):
        row = self.row(f'processor time of an idle mount in {IDLE_S} s')
        peers.ourofs.settle()
        before = peers.ourofs.cpu_ns()
        time.sleep(IDLE_S)
        row.add('ourofs', (peers.ourofs.cpu_ns() - before) / 1000)

    def tools(self, _):
        """Over a memory of every family of keys, as large as passthrough_ll has descriptors for: it keeps one of each."""
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with Peers(self.build, generated(self.build, min(TOOL_KEYS, descriptors * 2 // 3))) as peers:
            for name, command in TOOLS.items():
                row = self.row(f'`{name}`, {len(peers.paths):,} files', unit='ms', goals={'passthrough_ll': 1.3})
                for peer in peers.all:
                    self.tool(peer, command)
                for peer in self.in_turns(peers.all):
                    row.add(peer.name, self.tool(peer, command))

    @staticmethod
    def tool(peer, command):
        start = time.monotonic()
        subprocess.run(['sh', '-c', f'({command}) | cat > /dev/null'], cwd=peer.mnt, check=True)
        return (time.monotonic() - start) * 1000

    def run(self, groups):
        (self.build / 'bench').mkdir(exist_ok=True)
        self.edn = self.build / 'bench' / 'small.edn'
        self.edn.write_text(small_memory())
        with Peers(self.build, self.edn) as peers:
            print(f'{len(peers.paths)} files of {(peers.plain / peers.paths[0]).stat().st_size} bytes')
            for group in groups:
                told = len(self.rows)
                getattr(self, group)(peers)
                for row in self.rows[told:]:
                    print(row, flush=True)


GROUPS = ('warm', 'saves', 'cold', 'syncs', 'threads', 'idle', 'tools')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('groups', nargs='*', metavar='GROUP', help=', '.join(GROUPS))
    parser.add_argument('--build', type=pathlib.Path, default=TOP / 'build')
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--json', type=pathlib.Path)
    args = parser.parse_args()
    wrong = set(args.groups) - set(GROUPS)
    if wrong:
        parser.error(f'no such group: {", ".join(sorted(wrong))}')
    bench = Bench(args.build.resolve(), args.rounds)
    bench.run(args.groups or GROUPS)
    if args.json:
        args.json.write_text(json.dumps([row.as_json() for row in bench.rows], indent=1) + '\n')


if __name__ == '__main__':
    main()
