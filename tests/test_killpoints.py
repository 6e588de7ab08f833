# SPDX-License-Identifier: MIT
"""SIGKILL at each call by which the daemon changes the disk: what was acknowledged is there afterwards.

A library in front of the daemon (tests/c/callpoint.h) counts those calls and kills it at the n-th: before
it, behind it, or when half of what it was to write is written. Every time the same script is played on a copy
of the same store until the mount dies; then it is mounted again and compared with a model.
CI takes a part of the points; OUROFS_KILLPOINTS=all takes all.
"""
import errno
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

import callpoint
import edn_reader
import tree_model
from conftest import BOUND_S, is_mounted, take_away, wait_until
from rival import write_by_rename, write_in_place

pytestmark = pytest.mark.preload

POINTS = 60  # of each series, unless all are wanted
SIDES = ['before', 'after', 'torn']
WRITES = ('write', 'pwrite', 'copy_file_range')
GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)

FIRST = '''{:config {:theme :dark} ; of the house
 :notes/x [1 2]
 :notes/deep/y "why"
 :presence/s1 {"alice" {:b 2} :kw 5}
 :presence/s2 {"bob" {:c 3}}}
'''


def big(letter):
    return json.dumps({'pad': letter * 1_000_000}).encode()


# An operation of tree_model a line. `written` waits until memory.edn says what the model does.
SCRIPT = [
    ('save', 'config.json', b'{"theme": ":light"}'),
    ('save', 'new.json', b'[1, 2]'),
    ('mkdir', 'garden'),
    ('save', 'garden/bed.json', b'{"rows": 4}'),
    ('chmod', 'garden', 0o750),
    ('save', 'presence/s1/carol.json', b'{"d": {"#set": [1, 2]}}'),
    ('written',),
    ('save', 'new.json.tmp', b'{"by": "rename"}\n'),
    ('rename', 'new.json.tmp', 'new.json'),
    ('save', 'big.json', big('x')),
    ('chmod', 'config.json', 0o600),
    ('utime', 'config.json', 1_600_000_000_123_456_789),
    ('written',),
    ('save', 'big.json', big('y')),
    ('rename', 'new.json', 'garden/new.json'),
    ('exchange', 'config.json', 'garden/bed.json'),
    ('save_synced', 'notes/x.json', b'[3]'),
    ('fsync', 'notes'),
    ('rename', 'garden', 'field'),
    ('rename', 'presence/s1', 'presence/s9'),
    ('sync',),
    ('mode', 'edn-only'),
    ('mkdir', 'private'),
    ('chmod', 'private', 0o700),
    ('mkdir', 'private/inner'),
    ('chmod', 'private/inner', 0o711),
    ('save', 'private/inner/notes.txt', b'no document'),
    ('save', 'private/inner/key.json', b'{"k": 1}'),
    ('rename', 'private', 'other'),
    ('mode', 'dual-write'),
    ('rename', 'field/new.json', 'field/new.json~'),
    ('save', 'field/new.json', b'{"saved": "as vim does"}'),
    ('unlink', 'field/new.json~'),
    ('touch', 'empty.json'),
    ('save', 'empty.json', b'"full"'),
    ('touch', 'still-empty.json'),
    ('chmod', 'notes/deep', 0o700),
    ('rename', 'notes/deep/y.json', 'presence/s2/y.json'),
    ('rmdir', 'notes/deep'),
    ('written',),
    ('mode', 'datalevin-only'),
    ('unlink', 'presence/s9/alice.json'),
    ('unlink', 'presence/s9/:kw.json'),
    ('unlink', 'presence/s9/carol.json'),
    ('rmdir', 'presence/s9'),
    ('unlink', 'big.json'),
    ('save', 'big.json', b'"small"'),
    ('rename', 'big.json', 'field/bed.json'),
    ('mode', 'datalevin-first'),
    ('unlink', 'presence/s2/bob.json'),
    ('sync',),
    ('unlink', 'other/inner/key.json'),
    ('unlink', 'other/inner/notes.txt'),
    ('save', 'last.json', b'1'),
    ('mkdir', 'empty'),
]


# What is in memory.edn alone goes to the EAV store, while it changes and another program writes that file.
MIGRATION = [
    ('migrate', 'all'),
    ('save', 'config.json', b'{"theme": ":amid"}'),
    ('unlink', 'notes/x.json'),
    ('migrated',),
    ('sync',),
    ('outside', 'presence/s2/eve.json', b'5\n'),
    ('outside', 'plain.json', b'6\n'),
    ('rename', 'config.json', 'notes/config.json'),
    ('sync',),
    ('outside', 'notes/deep/y.json', None),
    ('outside', 'plain.json', b'7\n'),
    ('migrate', ':notes/config'),
    ('migrated',),
]


class Daemon:
    """One mount whose daemon can be told where to die."""

    def __init__(self, mount, build_dir):
        self.mount = mount
        self.m = mount.prepare(FIRST, ('edn_delay=10',))
        self.build_dir = build_dir
        self.kept = callpoint.Kept(self.m)
        self.counts = self.m.base / 'killpoints'
        self.signal = self.m.base / 'begin'

    def keep(self, name):
        """What is on disk now, for start()."""
        self.kept.keep(name)

    def restore(self, name):
        self.kept.restore(name)
        for path in (self.counts, self.signal):
            path.unlink(missing_ok=True)

    def arm(self, at=0, side='before', now=False):
        """Counts from the next start on, or else from begin() on."""
        start = {} if now else {'start': self.signal}
        self.m.env = callpoint.environment(self.build_dir, self.counts, at, side, **start)

    def begin(self):
        self.signal.touch()

    def calls(self):
        """The calls that were counted: 'pwritev 0000000001.log'."""
        return callpoint.counted(self.counts).calls

    def is_killed(self):
        return self.m.proc.poll() == -signal.SIGKILL

    def may_come_up(self):
        """Mounts where the daemon may die on the way there; True when it serves."""
        self.m.spawn()
        wait_until(lambda: self.m.proc.poll() is not None or is_mounted(self.m.mnt), 'the mount')
        try:
            os.stat(self.m.mnt / 'config.json')
        except OSError as error:
            self.expect_death(error)
        if self.m.proc.poll() is None:
            return True
        self.m.kill()  # it may have died behind the mount, which is left then
        return False

    def expect_death(self, error):
        """An error is right only where the daemon is dead."""
        if not isinstance(error, FileNotFoundError) and error.errno not in GONE:
            raise error
        try:
            assert self.m.proc.wait(BOUND_S) == -signal.SIGKILL, f'ended by itself after {error}'
        except subprocess.TimeoutExpired:
            raise error from None

    def is_written(self, tree):
        return tree_model.memory_of(self.m.edn_text()) == tree.memory()

    def is_migrated(self, _):
        try:
            return json.loads((self.m.mnt / '.migrate').read_text())['state'] not in ('running', 'paused')
        except OSError as error:
            return self.expect_death(error)

    def write_outside(self, tree):
        """As one who has read what is there, and writes all of it: by rename, or in place."""
        text = edn_reader.text_of(('map', frozenset(tree.memory().items())))
        write = write_by_rename if len(tree.files) % 2 else write_in_place
        write(self.m.edn, text)

    def play(self, tree, script):
        """Until the end or the daemon's death. Returns what was acknowledged and what was in flight."""
        for operation in script:
            if operation in self.WAITS:
                wait_until(lambda: self.is_killed() or self.WAITS[operation](self, tree), operation[0])
                continue
            if operation[0] == 'outside':
                tree = tree.after(operation)
                self.write_outside(tree)
                continue
            try:
                tree_model.perform(self.m.mnt, operation)
            except OSError as error:
                self.expect_death(error)
                return tree, operation
            tree = tree.after(operation)
            self.take_time(tree, operation)
        return tree, None

    def take_time(self, tree, operation):
        """The time that a save got is as acknowledged as its bytes, once it was seen."""
        if operation[0] in ('save', 'save_synced', 'touch'):
            try:
                mtime = os.stat(self.m.mnt / operation[1]).st_mtime_ns
            except OSError as error:
                self.expect_death(error)
                return
            tree.files[operation[1]] = tree.files[operation[1]]._replace(mtime=mtime)

    WAITS = {('written',): is_written, ('migrated',): is_migrated}

    def unmount(self):
        """Which the daemon need not survive."""
        if not self.is_killed():
            take_away(self.m.mnt, self.m.proc)
        assert self.m.wait_exit() in (0, -signal.SIGKILL)
        self.m.kill()

    def recover(self, tree, in_flight):
        """Mounts without the library and compares. Returns how it is not as it must be, and what it is."""
        self.m.env = None
        self.m.mount()
        found = tree_model.look(self.m.mnt)
        may_be = [tree]
        if in_flight:
            may_be += [tree.after(in_flight), *tree.amid(in_flight, found)]
        differences = [one.differences(found) for one in may_be]
        right = [one for one, said in zip(may_be, differences) if not said]
        said = [] if right else min(differences, key=len)
        self.m.sync()
        if (self.m.mnt / '.mode').read_text() == 'datalevin-only\n':
            (self.m.mnt / '.mode').write_text('datalevin-first')
        self.m.unmount()
        if right and not any(self.is_written(one) for one in right):
            said = [f'memory.edn: {self.m.edn_text()[:2000]}']
        return said + tree_model.compare_stores(self.m), right[0] if right else tree


@pytest.fixture
def daemon(mount, build_dir):
    return Daemon(mount, build_dir)


def points(calls, side, most=POINTS):
    """Which of the calls to die at."""
    found = [n for n, call in enumerate(calls, 1)
             if side != 'torn' or call.startswith(WRITES)]
    if os.environ.get('OUROFS_KILLPOINTS') == 'all':
        return found
    stride = -(-len(found) // most)
    return found[SIDES.index(side) % stride::stride]


def try_all(daemon, side, play, most=POINTS):
    """play(at) -> (tree, in flight) for each point, and what the next mount makes of it."""
    play(0)
    calls = daemon.calls()
    failures = []
    for n in points(calls, side, most):
        tree, in_flight = play(n)
        done = daemon.calls()
        said, _ = daemon.recover(tree, in_flight)
        if said:
            failures.append((n, (done + ['?'] * n)[n - 1], in_flight and in_flight[:2], said))
    report(failures)


def report(failures):
    assert not failures, '\n'.join(
        [f'{len(failures)} points'] +
        [f'{n}, {call}, {operation}: {said}' for n, call, operation, said in failures[:20]])


@pytest.fixture
def first(daemon):
    """What is below the mount at first; kept under that name."""
    daemon.m.mount()
    tree = tree_model.look(daemon.m.mnt, FIRST)
    daemon.m.unmount()
    daemon.keep('first')
    return tree


def play_script(daemon, first, at, side, script=None):
    daemon.restore('first')
    daemon.arm(at, side)
    daemon.m.mount()
    daemon.begin()
    ends_with = daemon.play(first, script or SCRIPT)
    daemon.unmount()
    return ends_with


@pytest.mark.parametrize('side', SIDES)
def test_script(daemon, first, side):
    """Killed while it serves, rewrites memory.edn, and ends."""
    try_all(daemon, side, lambda at: play_script(daemon, first, at, side))


@pytest.mark.parametrize('side', SIDES)
def test_migration(daemon, first, side):
    """Killed while it migrates, and takes over what another program wrote."""
    try_all(daemon, side, lambda at: play_script(daemon, first, at, side, MIGRATION), most=15)


@pytest.mark.parametrize('side', SIDES)
@pytest.mark.parametrize('written', [False, True])
def test_recovery(daemon, first, written, side):
    """Killed while it brings up what an earlier kill has left, with much of it in the journal or little."""
    daemon.m.options = ('edn_delay=20' if written else 'edn_delay=3600000',)
    daemon.m.mount()
    tree, _ = daemon.play(first, [operation for operation in SCRIPT if written or operation not in
                                  [('written',), ('sync',)]])
    daemon.m.kill()
    daemon.keep('second')

    def play(at):
        daemon.restore('second')
        daemon.arm(at, side, now=True)
        if daemon.may_come_up():
            daemon.play(tree, [('sync',)])
            daemon.unmount()
        return tree, None
    try_all(daemon, side, play)


def begin(daemon, before=lambda: None):
    """A mount that leaves memory.edn alone, and what it calls from here on."""
    daemon.restore('first')
    daemon.m.options = ('edn_delay=3600000',)
    daemon.arm()
    daemon.m.mount()
    before()
    daemon.begin()


def calls_of(daemon, *operation):
    before = len(daemon.calls())
    tree_model.perform(daemon.m.mnt, operation)
    return daemon.calls()[before:]


def commit_in(calls, start=0):
    """Where the record is written."""
    return next(at for at in range(start, len(calls)) if calls[at].startswith('pwritev') and calls[at].endswith('.log'))


def test_scratch_is_synced(daemon, first):
    """Not kills, but power cuts: which calls there are, and in which order (see tests/powercut.py)."""
    begin(daemon)
    calls = calls_of(daemon, 'rename', 'config.json', 'config.json~')
    renamed = [call.split(' ')[0] for call in calls].index('renameat')
    committed = commit_in(calls)
    assert any(call.startswith('fsync ') for call in calls[:renamed])
    assert 'fsync scratch' in calls[renamed:committed]
    calls_of(daemon, 'mkdir', 'garden')
    assert 'syncfs scratch' in calls_of(daemon, 'sync')
    assert not any(call.startswith('syncfs') for call in calls_of(daemon, 'sync'))
    calls_of(daemon, 'rename', 'config.json~', 'garden/config~')
    assert 'fsync garden' in calls_of(daemon, 'fsync', 'garden')


def wait_for_tick(path):
    """Until a new file is younger than what there is: their clock stands still for some milliseconds each time."""
    now = time.time_ns()

    def is_younger():
        path.unlink(missing_ok=True)
        path.touch()
        return path.stat().st_mtime_ns > now
    wait_until(is_younger, 'the clock')


def is_synced(daemon, operation, gone):
    """Is the record on disk before that name goes?"""
    calls = calls_of(daemon, *operation)
    committed = commit_in(calls)
    left = calls.index(f'unlinkat {gone}')
    return any(call.startswith('fdatasync') and call.endswith('.log') for call in calls[committed:left])


@pytest.mark.parametrize('promised', [True, False])
def test_what_the_memory_takes_over_is_synced(daemon, first, promised):
    """Before the real name goes that a sync had promised: a power cut would take both otherwise."""
    begin(daemon, lambda: wait_for_tick(daemon.m.base / 'tick'))

    def perform(*operation):
        tree_model.perform(daemon.m.mnt, operation)

    for operation in [('mkdir', 'garden'), ('save', 'plan', b'1'), ('touch', 'empty.json'), ('touch', 'full.json'),
                      ('save', 'other', b'2'), ('sync',) if promised else ('mkdir', 'unsynced')]:
        perform(*operation)
    for operation, gone in [(('save', 'garden/bed.json', b'3'), 'garden'),
                            (('rename', 'plan', 'plan.json'), 'plan'),
                            (('save', 'empty.json', b'4'), 'empty.json'),
                            (('rename', 'other', 'full.json'), 'full.json')]:
        assert is_synced(daemon, operation, gone) == promised


def test_a_directory_that_stays_is_on_disk_before_what_empties_it(daemon, first):
    """Its record is in a part of the journal that was made, or grew, behind it."""
    begin(daemon)
    for operation in [('mkdir', 'garden'), ('sync',), ('save', 'garden/bed.json', b'3'), ('save', 'config.json', b'4')]:
        tree_model.perform(daemon.m.mnt, operation)
    calls = calls_of(daemon, 'unlink', 'garden/bed.json')
    made = calls.index('mkdirat garden')
    committed = commit_in(calls, made)
    assert not any(call.startswith('fallocate') for call in calls[made:committed]), calls
    assert any(call.startswith('openat') and call.endswith('.log') for call in calls[made:committed]), calls


def test_what_a_document_became_is_synced(daemon, first):
    """It may have been on disk as the document."""
    begin(daemon)
    tree_model.perform(daemon.m.mnt, ('rename', 'config.json', 'config.json~'))
    assert is_synced(daemon, ('rename', 'config.json~', 'again.json'), 'config.json~')


SAME_IN_CLOJURE = '''
(require '[clojure.edn :as edn] '[clojure.string :as string])
(doseq [[a b] (partition 2 *command-line-args*)]
  (println (= (edn/read-string (slurp a)) (edn/read-string (slurp b)))))
'''


@pytest.mark.oracle
def test_clojure_reads_the_same(daemon, first, tmp_path):
    """Of a sample of the points: what the recovered memory.edn says to Clojure."""
    play_script(daemon, first, 0, 'before')
    files = []
    for at in range(5, len(daemon.calls()), 12):
        said, tree = daemon.recover(*play_script(daemon, first, at, 'before'))
        assert not said
        files += [tmp_path / f'{at}.expected', tmp_path / f'{at}.edn']
        files[-2].write_text(edn_reader.text_of(('map', frozenset(tree.memory().items()))))
        shutil.copy(daemon.m.edn, files[-1])
    program = tmp_path / 'same.clj'
    program.write_text(SAME_IN_CLOJURE)
    run = subprocess.run(['clojure', program, *files], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ['true'] * (len(files) // 2), run.stderr
