#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A mount in mixed use for a long time: is what it takes of the machine still the same at the end? By hand:

    tests/soak.py [-m MINUTES] [-b BUILD] [-d DIRECTORY] [--seed N]

Two writers (two_writers.py; the rival is Clojure), and a visitor: who looks at everything, edits scratch
files, is refused, switches modes, migrates, validates, backs up, unmounts, and kills. Each minute it prints
a line of figures; at the end both stores must hold what was written, and a check find nothing. It is calm: about
a fifth of a core.
"""
import argparse
import concurrent.futures
import errno
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import metrics_reader
import tree_model
from conftest import TESTS, Mount, find_build, is_mounted, wait_until
from outside import bad_files, conflicts, read, saved, soon
from rival import Rival
from two_writers import DIRECTORIES, Ours, check_shared, expected_of, left_by, of_one_writer, rival_writes

KEYS = 1000
MODES = ['edn-only', 'dual-write', 'datalevin-first', 'force datalevin-only']
OURS_PAUSE_S, RIVAL_PAUSE_S, VISITS_PAUSE_S = 0.2, 2, 2
FIGURES = ('minute', 'cpu%', 'rss_kb', 'anon_kb', 'files', 'threads', 'journal', 'eav', 'saved', 'scratch', 'edn', 'nodes',
           'handles', 'age_s', 'mode')


class Visitor:
    """All that is done with a mount but writing documents. One thing at a time."""

    def __init__(self, m, ctl, writers, rng):
        self.m, self.ctl_program, self.writers, self.rng = m, str(ctl), writers, rng
        self.visits = {}
        self.mount_number = 0
        self.often = [self.look, self.edit_scratch, self.refuse, self.controls, self.crowd]
        self.rarely = [self.switch, self.switch, self.migrate, self.migrate, self.validate, self.backup, self.big]

    def visit(self):
        what = self.rng.choice(self.often if self.rng.random() < 0.8 else self.rarely)
        self.count(what.__name__)
        what()

    def count(self, name):
        self.visits[name] = self.visits.get(name, 0) + 1

    def ctl(self, *args):
        done = subprocess.run([self.ctl_program, *map(str, args)], capture_output=True, text=True)
        assert done.returncode == 0, f'{args}: {done.returncode}: {done.stdout}{done.stderr}'
        return done.stdout

    def control(self, name):
        return json.loads((self.m.mnt / name).read_text())

    # -- often --

    def look(self):
        """While others write: what goes away on the way is none of its business."""
        for where, _, names in os.walk(self.m.mnt):
            for name in names:
                read_if_there(os.path.join(where, name))

    def edit_scratch(self):
        path = self.m.mnt / f'notes{self.rng.randrange(5)}.txt'
        tree_model.write(path, os.urandom(self.rng.randrange(300_000)))
        with path.open('r+b') as file:
            file.seek(self.rng.randrange(1_000_000))
            file.write(b'there')
            file.truncate(self.rng.randrange(1_000_000))
            os.fsync(file.fileno())
        path.rename(self.m.mnt / f'notes{self.rng.randrange(5)}.txt')
        for left in self.m.mnt.glob('notes*.txt'):
            if self.rng.random() < 0.3:
                left.unlink()

    def refuse(self):
        path = self.m.mnt / f'ours/bad{self.rng.randrange(150)}.json'
        try:
            tree_model.write(path, b'{"unfinished": ' * self.rng.randrange(1, 100))
            raise AssertionError(f'{path} was saved')
        except OSError as error:
            assert error.errno == errno.EBADMSG, error
        path.unlink(missing_ok=True)

    def controls(self):
        for name in ('.health', '.metrics', '.events', '.errors', '.help', '.validate', '.migrate', '.mode'):
            (self.m.mnt / name).read_bytes()
        assert self.control('.health')['status'] == 'healthy', self.control('.health')

    def crowd(self):
        """Directories with documents and scratch files come, are renamed, and go."""
        top, other = self.m.mnt / 'crowd', self.m.mnt / 'moved'
        for number in range(30):
            where = top / f'd{number % 3}'
            where.mkdir(parents=True, exist_ok=True)
            tree_model.write(where / f'k{number}.json', b'[%d]' % number)
            tree_model.write(where / f'k{number}.txt', b'%d' % number)
        top.rename(other)
        shutil.rmtree(other)

    # -- rarely --

    def switch(self):
        (self.m.mnt / '.mode').write_text(self.rng.choice(MODES))

    def migrate(self):
        for word in ('all', 'pause', 'resume'):
            try:
                (self.m.mnt / '.migrate').write_text(word)
            except OSError as error:  # the mode takes none, or it has ended
                assert error.errno in (errno.EBUSY, errno.EINVAL), error
        wait_until(lambda: self.control('.migrate')['state'] != 'running', 'the migration')
        assert not self.control('.migrate')['failed'], self.control('.migrate')

    def validate(self):
        try:
            (self.m.mnt / '.validate').write_text('run')
        except OSError as error:
            assert error.errno == errno.ENODEV, error  # only one store is open
        wait_until(lambda: self.control('.validate')['state'] != 'running', 'the validation')

    def backup(self):
        to = self.m.base / 'backup'
        self.ctl('backup', self.m.store, to)
        self.ctl('check', to / 'memory.eav')
        shutil.rmtree(to)

    def big(self):
        path = self.m.mnt / 'big.json'
        tree_model.write(path, b'"%s"' % (b'x' * self.rng.randrange(4_000_000)))
        path.unlink()

    def remount(self):
        """Or a kill, by turns. The rival goes on meanwhile."""
        for writer in self.writers:
            writer.end()
        self.mount_number += 1
        if self.mount_number % 3 == 0:
            self.m.kill()
        else:
            self.m.unmount()
            self.ctl('check', self.m.store)
        self.m.mount()
        for writer in self.writers:
            writer.begin()


def read_if_there(path):
    try:
        with open(path, 'rb') as file:
            file.read()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise


class Figures:
    def __init__(self, m):
        self.m = m
        self.begin = self.last = time.monotonic()
        self.pid, self.cpu = m.proc.pid, 0

    def process(self):
        words = pathlib.Path(f'/proc/{self.m.proc.pid}/stat').read_text().rpartition(')')[2].split()
        status = dict(line.split(':', 1) for line in
                      pathlib.Path(f'/proc/{self.m.proc.pid}/status').read_text().splitlines())
        return (int(words[11]) + int(words[12])) / os.sysconf('SC_CLK_TCK'), status

    def line(self):
        now = time.monotonic()
        cpu, status = self.process()
        percent = '-' if self.pid != self.m.proc.pid else round(100 * (cpu - self.cpu) / (now - self.last))
        metrics = metrics_reader.read((self.m.mnt / '.metrics').read_text())

        def value(name):
            return int(next(iter(metrics[f'ourofs_{name}'].samples.values())))
        figures = (round((now - self.begin) / 60), percent, int(status['VmRSS'].split()[0]),
                   int(status['RssAnon'].split()[0]), len(os.listdir(f'/proc/{self.m.proc.pid}/fd')),
                   int(status['Threads']), value('journal_bytes'), allocated(self.m.store / 'data.mdb'),
                   allocated(self.m.store / 'saved'), value('scratch_bytes'), self.m.edn.stat().st_size,
                   value('nodes'), value('open_handles'), value('uptime_seconds'),
                   (self.m.mnt / '.mode').read_text().strip())
        self.last, self.pid, self.cpu = now, self.m.proc.pid, cpu
        return figures


def allocated(path):
    files = [path] if path.is_file() else [file for file in path.rglob('*') if file.is_file()]
    return sum(file.stat().st_blocks * 512 for file in files)


def show(row):
    print(*(f'{word!s:>10}' for word in row), flush=True)


def use(m, visitor, minutes, remounts, rival_ended):
    """Returns when the time is over, or somebody has failed."""
    figures = Figures(m)
    end = time.monotonic() + minutes * 60
    next_line = next_remount = time.monotonic() + 60
    show(FIGURES)
    while time.monotonic() < end and not rival_ended():
        if time.monotonic() > next_line:
            show(figures.line())
            next_line += 60
        if time.monotonic() > next_remount:
            visitor.remount()
            next_remount += minutes * 60 / remounts
        visitor.visit()
        threading.Event().wait(visitor.rng.random() * 2 * VISITS_PAUSE_S)


def compare(m, visitor, rival, theirs):
    """As test_rival.py does, with both stores brought to agree."""
    writers = visitor.writers
    (m.mnt / '.mode').write_text('force datalevin-only')
    (m.mnt / '.mode').write_text('dual-write')
    soon(lambda: 'rival/last' in (saved(m) or {}), 'its last write')
    for path in m.mnt.glob('notes*.txt'):
        path.unlink()
    m.sync()
    expected, found = expected_of(writers, rival), of_one_writer(rival.read(m.edn))
    wrong = {key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)}
    assert not wrong, sorted((key, found.get(key), expected.get(key)) for key in wrong)[:5]
    check_shared(m, rival.read(m.edn), writers[0].shared, theirs)
    ours = left_by(writers)
    assert {path: read(m.mnt / path) for path in ours} == ours
    assert bad_files(m) == [], bad_files(m)
    print('conflicts:', len(conflicts(m)), ' saves:', sum(writer.saves for writer in writers), ' visits:',
          visitor.visits)
    print('validate:', visitor.ctl('validate', m.mnt).strip())
    m.unmount()
    print('check:', visitor.ctl('check', m.store).strip())
    assert not tree_model.compare_stores(m)


def soak(m, ctl, options):
    m.mount()
    rival = Rival()
    rival.open(m.edn, seed=options.seed)
    for directory in DIRECTORIES:
        (m.mnt / directory).mkdir()
    rng = random.Random(options.seed)
    writers = [Ours(m, seed, OURS_PAUSE_S) for seed in range(3)]
    visitor = Visitor(m, ctl, writers, rng)
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        theirs = pool.submit(rival_writes, rival, random.Random(rng.random()), stop, RIVAL_PAUSE_S)
        for writer in writers:
            writer.begin()
        try:
            use(m, visitor, options.minutes, options.remounts, theirs.done)
        finally:
            stop.set()
            for writer in writers:
                writer.stop.set()
        for writer in writers:
            writer.end()
        compare(m, visitor, rival, theirs.result())
    rival.quit()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('-m', '--minutes', type=float, default=60)
    parser.add_argument('-r', '--remounts', type=int, default=6, help='how many in that time, the first after a minute')
    parser.add_argument('-b', '--build', type=pathlib.Path)
    parser.add_argument('-d', '--directory', default='/var/tmp', help='where the memory is')
    parser.add_argument('--seed', type=int, default=random.randrange(10**9))
    options = parser.parse_args()
    build = (options.build or find_build()).resolve()
    print(f'--seed {options.seed}')
    text = subprocess.run([sys.executable, str(TESTS / 'bench' / 'gen_memory.py'), '--keys', str(KEYS)],
                          check=True, capture_output=True, text=True).stdout
    base = pathlib.Path(tempfile.mkdtemp(prefix='ourofs-soak-', dir=options.directory))
    m = Mount(build / 'fs' / 'ourofs', base, text, (), ())
    try:
        soak(m, build / 'store' / 'ourofsctl', options)
    except BaseException:
        print(f'what is there is left in {base}', m.stderr(), sep='\n')
        m.give_up()
        if is_mounted(m.mnt):
            subprocess.run(['fusermount3', '-u', '-z', str(m.mnt)], check=False)
        raise
    print('\n'.join(m.close()) or 'well')


if __name__ == '__main__':
    main()
