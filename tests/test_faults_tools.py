# SPDX-License-Identifier: MIT
"""One call of ourofsctl fails, each in its turn, or it is killed there: nothing is lost or half-made.

CI takes a part of the calls; OUROFS_FAULTS=all takes all (see test_faults.py).
"""
import errno
import shutil
import signal
import subprocess

import pytest

import callpoint
import edn_reader
import faults

pytestmark = pytest.mark.preload

FIRST = '{:config {:a 1} ; of the house\n :presence/s1 {"ann" {:b 2} "ben" 5} :notes/x [1 2]}'
NEWS = '{:config {:a 3} :presence/s1 {"zoe" {:c 3}} :new/key #{:x}}'
MERGED = '{:config {:a 3} :presence/s1 {"ann" {:b 2} "ben" 5 "zoe" {:c 3}} :notes/x [1 2] :new/key #{:x} :saved/last "k"}'


def value_of(text):
    return edn_reader.read(text)


BEFORE = value_of('{:config {:a 1} :presence/s1 {"ann" {:b 2} "ben" 5} :notes/x [1 2] :saved/last "k"}')


class Tool:
    """A store, as it was when its daemon was killed, for one run of ourofsctl after the other."""

    def __init__(self, m, program, build_dir):
        self.m = m
        self.program = str(program)
        self.build_dir = build_dir
        self.counts = m.base / 'counts'
        self.out = m.base / 'out'  # where what the command makes goes
        self.kept = callpoint.Kept(m)
        self.news = m.base / 'news.edn'
        self.news.write_text(NEWS)

    def run(self, *words, env=None):
        return subprocess.run([self.program, *map(str, words)], env=env, capture_output=True, text=True)

    def fresh(self):
        self.kept.restore('first')
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        self.counts.unlink(missing_ok=True)

    def failing(self, command, **words):
        """What it left, as (run, met)."""
        self.fresh()
        done = self.run(*command, env=callpoint.environment(self.build_dir, self.counts, below=self.m.base, **words))
        return done, callpoint.counted(self.counts).met

    def holds(self):
        done = self.run('export', self.m.store)
        return value_of(done.stdout) if done.returncode == 0 else done.stderr

    def whole(self, *values):
        """Of what is in the store."""
        held = self.holds()
        if held not in values:
            return [f'the store holds {held}']
        checked = self.run('check', self.m.store)
        said = [] if checked.returncode == 0 else [f'check: {checked.stdout}{checked.stderr}']
        left = {path.name for path in self.m.base.iterdir()} - {
            'memory.edn', 'store', 'mnt', 'stderr', 'first', 'out', 'counts', 'news.edn'}
        return said + [f'left behind: {left}'] * bool(left)


@pytest.fixture
def tool(mount, binary, build_dir):
    m = mount.prepare(FIRST, ('edn_delay=5',)).mount()
    (m.mnt / 'saved').mkdir()
    (m.mnt / 'saved/last.json').write_text('"j"')
    m.sync()
    (m.mnt / 'saved/last.json').write_text('"k"')
    m.kill()
    made = Tool(m, binary('ourofsctl'), build_dir)
    made.kept.keep('first')
    return made


def judge_export(tool, done):
    made = sorted(path.name for path in tool.out.iterdir())
    said = [] if made == ['all.edn'] or (done.returncode and not made) else [f'made {made}']
    if made == ['all.edn'] and value_of((tool.out / 'all.edn').read_text()) != BEFORE:
        said.append('made something else')
    return said + tool.whole(BEFORE)


def judge_backup(tool, done):
    made = sorted(path.name for path in tool.out.iterdir())
    said = [] if made == ['copy'] or (done.returncode and not made) else [f'made {made}']
    if made == ['copy']:
        copied = tool.run('export', tool.out / 'copy/memory.eav')
        if copied.returncode or value_of(copied.stdout) != BEFORE:
            said.append(f'copied {copied}')
    return said + tool.whole(BEFORE)


def judge_import(after):
    def judge(tool, done):
        return tool.whole(after) if done.returncode == 0 else tool.whole(after, BEFORE)
    return judge


def judge_repair(tool, done):
    """It can be done once more."""
    again = tool.run('check', '--repair', tool.m.store)
    said = [] if again.returncode in (0, 1) else [f'again: {again}']
    return said + tool.whole(BEFORE)


def commands(tool):
    store, out = tool.m.store, tool.out
    return {
        'export': (['export', store, out / 'all.edn'], judge_export, (0, 2)),
        'backup': (['backup', store, out / 'copy'], judge_backup, (0, 2)),
        'import': (['import', store, tool.news], judge_import(value_of(MERGED)), (0, 2)),
        'replace': (['import', '--replace', store, tool.news], judge_import(value_of(NEWS)), (0, 2)),
        'check': (['check', store], lambda tool, done: tool.whole(BEFORE), (0, 1, 2)),
        'repair': (['check', '--repair', store], judge_repair, (0, 1, 2)),
    }


def judge(tool, done, met, allowed, how):
    if done.returncode not in allowed:
        return [f'status {done.returncode}: {done.stdout}{done.stderr}']
    said = how(tool, done)
    if done.returncode == 2 and not done.stderr.startswith('ourofsctl: '):
        said.append(f'no reason: {done.stderr!r}')
    if done.returncode == 2 and not met:
        said.append(f'failed without a reason: {done.stderr!r}')
    return said


def play_all(tool, name, count, points):
    command, how, allowed = commands(tool)[name]
    failures = []
    for point, words in points:
        done, met = tool.failing(command, count=count, **words)
        said = judge(tool, done, met, allowed, how)
        if said:
            failures.append((point, said, done.stderr))
            faults.log(name, *failures[-1])
    faults.log(name, count, f'{len(points)} points, {len(failures)} failures')
    assert not failures, '\n'.join([f'{len(failures)} of {len(points)} points'] + [str(one) for one in failures])


NAMES = ['export', 'backup', 'import', 'replace', 'check', 'repair']


def begin(tool, name):
    """What is damaged first, to be repaired."""
    if name == 'repair':
        segment = sorted((tool.m.base / 'first/store/journal').iterdir())[-1]
        segment.write_bytes(segment.read_bytes() + b'torn')


def calls(tool, name, count):
    done, _ = tool.failing(commands(tool)[name][0], count=count)
    assert done.returncode == (1 if name == 'repair' else 0), done
    return callpoint.counted(tool.counts).calls


@pytest.mark.parametrize('name', NAMES)
def test_files(tool, name):
    begin(tool, name)
    play_all(tool, name, 'calls', faults.wanted(faults.points_of_files(calls(tool, name, 'calls')), 12))


@pytest.mark.parametrize('name', NAMES)
def test_memory(tool, name):
    begin(tool, name)
    play_all(tool, name, 'memory', faults.wanted(faults.points_of_memory(calls(tool, name, 'memory')), 12))


def judge_killed(tool, name):
    """Nothing is lost in between, and it can be done once more, to the same end."""
    command, how, allowed = commands(tool)[name]
    after = {'import': [value_of(MERGED)], 'replace': [value_of(NEWS)]}.get(name, [])
    held = tool.holds()
    said = [] if held in (BEFORE, *after) else [f'the store holds {held}']
    shutil.rmtree(tool.out / 'copy.partial', ignore_errors=True)
    shutil.rmtree(tool.out / 'copy', ignore_errors=True)  # whole, and it makes none where something is
    done = tool.run(*command)
    return said + judge(tool, done, False, [status for status in allowed if status < 2], how)


@pytest.mark.parametrize('name', [name for name in NAMES if name != 'check'])  # which changes nothing
def test_kills(tool, name):
    """At the calls by which it changes the disk."""
    begin(tool, name)
    points = [(n, call, side) for n, call in enumerate(calls(tool, name, 'changes'), 1)
              for side in ('before', 'after', 'torn') if side != 'torn' or call.startswith(('write', 'pwrite', 'copy'))]
    failures = []
    for n, call, side in faults.wanted(points, 12):
        done, met = tool.failing(commands(tool)[name][0], count='changes', at=n, side=side)
        # its threads may bring in one change what were two when they were counted
        assert done.returncode == (-signal.SIGKILL if met else name == 'repair'), (call, done)
        said = judge_killed(tool, name)
        if said:
            failures.append((n, call, side, said))
    assert not failures, '\n'.join(map(str, failures))


# ---- calls that once were a fault of ours ----

def test_a_backup_of_a_file_that_can_not_be_opened(tool):
    """It is no backup without memory.edn."""
    done, met = tool.failing(['backup', tool.m.store, tool.out / 'copy'], count='calls', only='open64 memory.edn', at=1,
                             side='fails', error=errno.EIO)
    assert met and done.returncode == 2 and 'memory.edn: Input/output error' in done.stderr
    assert not list(tool.out.iterdir())


def test_a_backup_whose_directory_can_not_be_opened(tool):
    done, met = tool.failing(['backup', tool.m.store, tool.out / 'copy'], count='calls', at=1, side='fails',
                             only='openat64 out/copy.partial', error=errno.EMFILE)
    assert met and done.returncode == 2 and not list(tool.out.iterdir())


def test_a_lock_that_is_half_written(tool):
    done, met = tool.failing(['import', tool.m.store, tool.news], count='calls', only='pwrite64 store/lock', at=1,
                             side='short')
    assert met and done.returncode == 2 and 'cannot write the lock: No space' in done.stderr
