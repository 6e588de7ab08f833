#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Damages what is on disk, at random: nothing wrong may be served as right, and all comes back. By hand:

    tests/corruption.py [-n ROUNDS] [-b BUILD] [--seed N] [--one ROUND] [--keep]

A round takes a store that was left by an unmount or a kill, in one of the modes, whose content is known; damages
one of its files (before the mount, or below it), and mounts it. What is read is right, or an error, and where it is
older than what was saved, health says so. What is refused is mended by ourofsctl check --repair. Then it works on, and the
next mount, the check and readers of their own (eav_store.py, edn_reader.py) find all of it.
"""
import argparse
import collections
import errno
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import traceback

import edn_reader
import eav_store
from conftest import Mount, find_build, is_mounted, wait_until
from modes_driver import mode_of
from outside import health, saved

PAGE = 4096
MODES = ('edn-only', 'dual-write', 'datalevin-first', 'datalevin-only')
ENDS = ('unmounted', 'killed')
TEXT = '''{:config {:theme :dark} :seen 3 :notes/x [1 2]
 :presence/s1 {"alice" {:b 2} "bob" 5} :gone "old" :big %s}''' % json.dumps('x' * 9000)
SCRATCH = 'notes/draft.txt'
LISTING = '/'
INDEX_KINDS = {'index_without_datom', 'datom_without_index', 'damaged'}


def value_of(content):
    return edn_reader.read_json(content.decode())


def brief(value):
    return str(value)[:100]


def read_all(m):
    """path -> value or error; LISTING: that of a directory, of which the rest is not known then."""
    found = {}
    for where, _, names in os.walk(m.mnt, onerror=lambda error: found.update({LISTING: error})):
        for name in names:
            path = os.path.relpath(os.path.join(where, name), m.mnt)
            if path.endswith('.json'):
                try:
                    found[path] = value_of((m.mnt / path).read_bytes())
                except OSError as error:
                    found[path] = error
    return found


class Left:
    """A store as it is left: kept/, what it must show, and what its documents were before."""

    def __init__(self, program, base, mode, end):
        self.mode, self.end = mode, end
        self.kept = base / f'{mode}-{end}'
        self.kept.mkdir()
        m = Mount(program, self.kept, TEXT, (f'mode={mode}', 'force', 'edn_delay=5'), ())
        m.mount()
        self.before = collections.defaultdict(list)
        self.note(m)
        for word in ('one', 'two'):
            self.furnish(m, word)
            m.sync()
            self.note(m)
        if end == 'killed':
            self.furnish(m, 'three')
            self.note(m)
        self.expected = read_all(m)
        self.scratch = (m.mnt / SCRATCH).read_bytes()
        m.kill() if end == 'killed' else m.unmount()

    def note(self, m):
        for path, value in read_all(m).items():
            self.before[path].append(value)

    @staticmethod
    def furnish(m, word):
        (m.mnt / 'config.json').write_text('{ "theme":\t":light", "word": "%s" }' % word)
        (m.mnt / 'notes/x.json').write_text('["%s",  4]' % word)
        (m.mnt / SCRATCH).write_text('scratch ' * 1000)
        (m.mnt / f'presence/{word}').mkdir()
        (m.mnt / f'presence/{word}/carol.json').write_text('{"deep": {"er": [":k", "%s"]}}' % ('v' * 600))
        (m.mnt / 'presence/s1/alice.json').write_text('{"n": "%s"}' % word)
        (m.mnt / 'big.json').write_text(json.dumps({'pad': word + 'y' * 20_000}))
        if word == 'one':
            (m.mnt / 'gone.json').unlink()
            (m.mnt / 'presence/s1/bob.json').rename(m.mnt / 'moved.json')
        if word == 'two':
            (m.mnt / 'presence/one/carol.json').unlink()
        for i in range(40):
            (m.mnt / f'many-{i}.json').write_text('{"n": %d, "word": "%s", "pad": "%s"}' % (i, word, 'z' * 200))

    def copy(self, program, base):
        base.mkdir()
        m = Mount(program, base, None, ('edn_delay=5',), ())
        shutil.copy2(self.kept / 'memory.edn', m.edn)
        shutil.copytree(self.kept / 'store', m.store)  # by copy2: times are kept, numbers are not
        return m


# ---- damage ----

def flip_bit(dice, data, at):
    data[at] ^= 1 << dice.randrange(8)


def set_block(dice, data, at):
    length = min(dice.choice((1, 2, 4, 8, 64, 512, PAGE)), len(data) - at)
    data[at:at + length] = dice.choice((bytes(length), b'\xff' * length, dice.randbytes(length)))


def move_page(dice, data, at):
    """A write that went elsewhere."""
    page, other = at // PAGE * PAGE, dice.randrange(len(data)) // PAGE * PAGE
    data[page:page + PAGE] = data[other:other + PAGE]


def place(dice, data):
    """Anywhere; more often in what rules the rest: the heads of pages, and what is dense."""
    at = dice.randrange(len(data))
    if dice.random() < 0.3:
        return min(at // PAGE * PAGE + dice.randrange(64), len(data) - 1)
    if dice.random() < 0.1:
        return dice.randrange(min(len(data), 2 * PAGE))
    return at


def spoil(dice, path):
    """Some damage somewhere in the file, in place. Says what."""
    data = bytearray(path.read_bytes())
    if not data or dice.random() < 0.1:
        size = dice.choice((0, len(data) // 2, max(0, len(data) - 1), len(data) // 2 // PAGE * PAGE,
                            len(data) + 1, len(data) + 10 * PAGE, dice.randrange(len(data) + 1)))
        os.truncate(path, size)
        return f'{len(data)} bytes made {size}'
    said = []
    for _ in range(dice.choice((1, 1, 1, 2, 5, 20))):
        at = place(dice, data)
        change = dice.choice((flip_bit, flip_bit, set_block, move_page))
        change(dice, data, at)
        said.append(f'{change.__name__} at {at}')
    with open(path, 'r+b') as file:  # the very file, which a daemon may have mapped
        file.write(data)
    return ', '.join(said)


def choose(dice, store):
    """One of the files that hold something; the stores most often."""
    weights = {'data.mdb': 4, 'saved/data.mdb': 4}
    names = sorted(os.path.relpath(path, store) for path in store.rglob('*')
                   if path.is_file() and path.name not in ('lock', 'lock.mdb'))
    return dice.choices(names, [weights.get(name, 3 if name.startswith('journal/') else 1) for name in names])[0]


# ---- a round ----

class Round:
    def __init__(self, left, m, dice, tool):
        self.left, self.m, self.dice, self.tool = left, m, dice, tool
        self.live = dice.random() < 0.2
        self.file = self.said = self.outcome = ''
        self.lost = False  # a repair by hand, or one that was told of, may have lost what was saved last

    def check(self, *options):
        return subprocess.run([self.tool, 'check', *options, str(self.m.store)], capture_output=True, text=True)

    def damage(self):
        self.file = choose(self.dice, self.m.store)
        self.said = spoil(self.dice, self.m.store / self.file)

    def mount(self):
        """False: refused, with an error that names a file."""
        m = self.m
        m.spawn()
        wait_until(lambda: m.proc.poll() is not None or is_mounted(m.mnt), 'the mount, or none')
        if m.proc.poll() is None:
            return True
        assert m.proc.returncode == 1, f'ended with {m.proc.returncode}: {m.stderr()}'
        assert 'data.mdb' in m.stderr() or 'journal/' in m.stderr(), m.stderr()
        return False

    def may_refuse(self):
        return self.file.startswith('journal/') or \
            (self.file == 'data.mdb' and self.left.mode == 'datalevin-only')

    def compare(self, found, status, expected):
        """Of each document what was saved last, or an error; what is older only where health says so."""
        for path in found.keys() | expected.keys():
            seen, wanted = found.get(path), expected.get(path)
            if isinstance(seen, OSError) or seen == wanted or (seen is None and LISTING in found):
                continue
            assert seen is None or seen in self.left.before[path], f'{path}: never saved: {brief(seen)}'
            # a journal that is cut short looks like one that was being written
            assert status != 'healthy' or self.lost or self.file.startswith('journal/'), f'{path}: {brief(seen)}, not {brief(wanted)}, and all is well'
            self.lost = True

    def look(self, expected):
        """What is read, before and after the memory has come to rest."""
        m = self.m
        found = read_all(m)
        said = health(m)
        self.compare(found, said['status'], expected)

    def rest(self):
        """The stores are well again; what stays is told of a store that was made anew."""
        def rests():
            said = health(self.m)
            return not [c for c in said['causes'] if c['cause'] != 'saved-remade'] and \
                not (said['eav']['state'] == 'being brought up')
        wait_until(rests, f'the stores to be well: {self.m.mnt}', 20)

    def work(self, expected):
        m = self.m
        (m.mnt / 'after.json').write_text('{"saved": "afterwards"}')
        (m.mnt / 'config.json').write_text('{"saved": "again"}')
        expected['after.json'] = value_of(b'{"saved": "afterwards"}')
        expected['config.json'] = value_of(b'{"saved": "again"}')

    def validate(self):
        if mode_of(self.m) == 'edn-only':
            return
        (self.m.mnt / '.validate').write_text('run')
        wait_until(lambda: json.loads((self.m.mnt / '.validate').read_text())['state'] != 'running', 'the validation')
        report = json.loads((self.m.mnt / '.validate').read_text())
        if self.lost and self.file.startswith('journal/'):
            return  # the EAV store may have had the record that was lost
        fine = ('only_edn', 'only_eav', 'different') if mode_of(self.m) == 'datalevin-only' else ('only_edn',)
        bad = [row for row in report['first'] if row['kind'] not in fine]
        assert report['state'] == 'done', report
        if not bad:
            return
        # nothing of the indexes is served as a document's value: the comparison finds it, and the repair mends it
        assert self.file == 'data.mdb' and {row['kind'] for row in bad} <= INDEX_KINDS, bad[:3]
        self.outcome += ', validated'
        m = self.m
        m.unmount()
        done = self.check('--repair')
        assert done.returncode == 1, done.stdout + done.stderr
        assert self.mount(), m.stderr()

    def readers(self, expected):
        """By others than ourofs."""
        done = self.check()
        assert done.returncode == 0, done.stdout[:500] + done.stderr
        if (self.m.store / 'data.mdb').exists():
            eav_store.Store(self.m.store)
        if self.mode != 'datalevin-only':
            assert saved(self.m)['after'] == expected['after.json']

    def run(self):
        m, expected = self.m, dict(self.left.expected)
        if not self.live:
            self.damage()
        mounted = self.mount()
        if self.live:
            assert mounted, m.stderr()
            self.damage()
            return self.run_live(expected)
        if not mounted:
            assert self.may_refuse(), m.stderr()
            self.outcome = 'refused'
            done = self.check('--repair')
            if 'another version' in done.stderr:  # a bit of the digit that says so: nobody touches that
                return
            assert done.returncode in (0, 1), done.stdout + done.stderr
            self.lost = True
            assert self.mount(), m.stderr()
        self.go_on(expected)

    def go_on(self, expected):
        m = self.m
        m.expected.append('data.mdb|journal/|lacks the last changes')
        self.look(expected)
        assert self.file.startswith('scratch/') or (m.mnt / SCRATCH).read_bytes() == self.left.scratch
        self.rest()
        self.look(expected)
        expected = read_all(m) if self.lost else expected
        self.work(expected)
        self.validate()
        self.outcome += ', older' if self.lost and not self.outcome else ''
        if sorted(m.store.rglob('*.bad-*')):
            self.outcome += ', made anew'
        self.mode = mode_of(m)
        assert self.lost or self.mode == self.left.mode
        for _ in range(2):
            m.unmount()
            self.readers(expected)
            assert self.mount(), m.stderr()
            self.look(expected)
            assert health(m)['status'] == 'healthy', health(m)
        m.unmount()

    def run_live(self, expected):
        """Below a mount: what is read is right or an error, and so it is after the next mount."""
        m = self.m
        try:
            self.compare(read_all(m), 'healthy', expected)
            self.work(expected)
            self.compare(read_all(m), 'healthy', expected)
        except OSError as error:
            assert error.errno == errno.EIO or m.wait_exit() < 0, f'alive, and {error}'
        if self.dice.random() < 0.5 and m.proc.poll() is None:
            m.one_more_request()
            subprocess.run(['fusermount3', '-u', str(m.mnt)], check=True)
        if m.proc.poll() is None and is_mounted(m.mnt):
            m.proc.kill()
        status = m.wait_exit()
        self.outcome = f'live, ended with {status}'
        m.expected += ['Assertion'] if status < 0 else []
        self.lost = status not in (0, -9) or self.file.startswith('journal/')
        if is_mounted(m.mnt):
            subprocess.run(['fusermount3', '-u', '-z', str(m.mnt)], check=True)
        if not self.mount():
            assert self.may_refuse(), m.stderr()
            self.outcome += ', then refused'
            assert self.check('--repair').returncode in (0, 1)
            self.lost = True
            assert self.mount(), m.stderr()
        self.left_live(expected)

    def left_live(self, expected):
        outcome = self.outcome
        # what was saved while the daemon died may be there or not
        for path in ('after.json', 'config.json'):
            self.left.before[path] += [value for value in (expected.get(path),) if value not in self.left.before[path]]
        self.outcome = ''
        self.go_on(expected)
        self.outcome = outcome + self.outcome

    def end(self, keep):
        m = self.m
        if m.proc and m.proc.poll() is None:
            m.proc.kill()
            m.proc.wait()
        if is_mounted(m.mnt):
            subprocess.run(['fusermount3', '-u', '-z', str(m.mnt)])
        if not keep:
            shutil.rmtree(m.base)


class Corruption:
    """Stores as they are left, made once."""

    def __init__(self, program, tool, base):
        self.program, self.tool, self.base = program, tool, base
        self.left = {}

    def round(self, seed, number, keep=False):
        """Returns the round; a failure of it is in round.failure."""
        dice = random.Random(f'{seed} {number}')
        which = dice.choice(MODES), dice.choice(ENDS)
        if which not in self.left:
            self.left[which] = Left(self.program, self.base, *which)
        left = self.left[which]
        made = Round(left, left.copy(self.program, self.base / f'r{number}'), dice, self.tool)
        made.failure = None
        try:
            made.run()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            made.failure = error
        made.end(keep and made.failure)
        return made


def tell(number, made):
    return (f'{number}: {made.left.mode} {made.left.end}{" live" if made.live else ""}: {made.file}: '
            f'{made.said[:200]}: {made.outcome or "right"}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('-n', '--rounds', type=int, default=1000)
    parser.add_argument('-b', '--build', type=pathlib.Path)
    parser.add_argument('-d', '--directory', default='/var/tmp', help='where the stores are')
    parser.add_argument('--seed', type=int, default=random.randrange(10**9))
    parser.add_argument('--one', type=int, help='this round alone')
    parser.add_argument('--keep', action='store_true', help='leave the files of a round that failed')
    options = parser.parse_args()
    build = (options.build or find_build()).resolve()
    print(f'--seed {options.seed}', flush=True)
    base = pathlib.Path(tempfile.mkdtemp(prefix='ourofs-corruption-', dir=options.directory))
    corruption = Corruption(build / 'fs' / 'ourofs', build / 'store' / 'ourofsctl', base)
    outcomes, failed = collections.Counter(), 0
    for number in range(options.rounds) if options.one is None else [options.one]:
        made = corruption.round(options.seed, number, options.keep)
        outcomes[made.file.split('/')[0], made.outcome or 'right', bool(made.failure)] += 1
        if made.failure:
            failed += 1
            print('FAILED', tell(number, made), flush=True)
            traceback.print_exception(made.failure, limit=-3, file=sys.stdout)
            sys.stdout.flush()
    for (file, outcome, failure), count in sorted(outcomes.items()):
        print(f'{count:6} {file}: {outcome}{" FAILED" if failure else ""}')
    if not (options.keep and failed):
        shutil.rmtree(base)
    return bool(failed)


if __name__ == '__main__':
    sys.exit(main())
