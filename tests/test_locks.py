# SPDX-License-Identifier: MIT
"""flock and fcntl locks through the mount: one document's over all its versions, as POSIX wants them.

Each actor is a process of its own (fcntl locks belong to processes), told what to do over a pipe.
"""
import fcntl
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from conftest import BOUND_S, is_mounted, wait_until

ACTOR = r'''
import errno, fcntl, os, signal, struct, sys
FLOCK = 'hhqqi4x'  # struct flock of 64-bit Linux
files = {}
class Alarm(Exception):
    pass
def on_alarm(number, frame):
    raise Alarm
signal.signal(signal.SIGALRM, on_alarm)
def open_(name, path, mode):
    files[name] = os.open(path, os.O_RDWR if mode == 'rw' else os.O_RDONLY)
    return os.fstat(files[name]).st_ino
def close(name):
    os.close(files.pop(name))
def ask(name, command, kind, start, length):
    kind = {'r': fcntl.F_RDLCK, 'w': fcntl.F_WRLCK, 'u': fcntl.F_UNLCK}[kind]
    asked = struct.pack(FLOCK, kind, os.SEEK_SET, int(start), int(length), 0)
    return struct.unpack(FLOCK, fcntl.fcntl(files[name], command, asked))
def set_(name, kind, start=0, length=0):
    ask(name, fcntl.F_SETLK, kind, start, length)
def wait(name, kind, start=0, length=0):
    ask(name, fcntl.F_SETLKW, kind, start, length)
def ofd(name, kind, start=0, length=0):
    ask(name, 37, kind, start, length)  # F_OFD_SETLK
def get(name, kind, start=0, length=0):
    kind, _, start, length, pid = ask(name, fcntl.F_GETLK, kind, start, length)
    kind = {fcntl.F_RDLCK: 'r', fcntl.F_WRLCK: 'w', fcntl.F_UNLCK: 'u'}[kind]
    return kind if kind == 'u' else f'{kind} {start} {length} {pid}'
def flock(name, *how):
    fcntl.flock(files[name], sum(getattr(fcntl, 'LOCK_' + word.upper()) for word in how))
commands = dict(open=open_, close=close, set=set_, wait=wait, ofd=ofd, get=get, flock=flock)
print('ready', flush=True)
for line in sys.stdin:
    verb, *words = line.rstrip('\n').split('\t')
    try:
        answer = commands[verb](*words)
        print('ok' if answer is None else answer, flush=True)
    except Alarm:
        print('interrupted', flush=True)
    except OSError as error:
        name = errno.errorcode[error.errno]
        print('EDEADLK' if error.errno == errno.EDEADLK else name, flush=True)
'''


def settle(m):
    """Until the daemon has dealt with all it was sent: a request that waits then is one it keeps."""
    def asleep():
        states = [task.read_text().rpartition(')')[2].split()[0]
                  for task in pathlib.Path(f'/proc/{m.proc.pid}/task').glob('*/stat')]
        return set(states) == {'S'}

    def quiet():
        try:
            return asleep()
        except (FileNotFoundError, ProcessLookupError):
            return False  # a thread has just ended: look again
    wait_until(quiet, 'the daemon to sleep')


class Actor:
    def __init__(self):
        self.process = subprocess.Popen([sys.executable, '-c', ACTOR], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self.answer() == 'ready'

    def begin(self, *words):
        self.process.stdin.write('\t'.join(str(word) for word in words) + '\n')
        self.process.stdin.flush()

    def answer(self):
        return self.process.stdout.readline().strip()

    def __call__(self, *words):
        self.begin(*words)
        return self.answer()

    def blocks_in(self, *words):
        """Begins what must wait, and returns once the kernel waits for the filesystem's answer."""
        self.begin(*words)
        where = pathlib.Path(f'/proc/{self.process.pid}/wchan')
        wait_until(lambda: 'request' in where.read_text() or 'fuse' in where.read_text(),
                   f'{words} to wait')

    def end(self):
        self.process.kill()
        self.process.communicate(timeout=BOUND_S)


@pytest.fixture
def actors():
    made = []

    def make(count):
        made.extend(Actor() for _ in range(count))
        return made[-count:]
    yield make
    for actor in made:
        actor.end()


@pytest.fixture
def locked(mount):
    """A mount with two documents."""
    return mount('{:config {:a 1}, :other {:b 2}}')


def opened(actor, path, mode='rw', name='f'):
    assert actor('open', name, path, mode).isdigit()


def save(path, text):
    path.write_text(text)
    assert path.read_text() == text


def take(actor, kind):
    """The whole file, exclusively, without waiting."""
    return actor('flock', 'f', 'ex', 'nb') if kind == 'flock' else actor('set', 'f', 'w')


def take_waiting(kind):
    return ('flock', 'f', 'ex') if kind == 'flock' else ('wait', 'f', 'w')


def give(actor, kind):
    return actor('flock', 'f', 'un') if kind == 'flock' else actor('set', 'f', 'u')


BOTH = pytest.mark.parametrize('kind', ['flock', 'fcntl'])


@BOTH
def test_a_lock_is_the_documents_over_its_versions(locked, actors, kind):
    path = locked.mnt / 'config.json'
    old, new = actors(2)
    opened(old, path)
    assert take(old, kind) == 'ok'
    for number in range(3):
        save(path, f'{{"a": {number}}}')
        opened(new, path)
        assert take(new, kind) == 'EAGAIN'
        assert new('close', 'f') == 'ok'
    opened(new, path)
    assert give(old, kind) == 'ok'
    assert take(new, kind) == 'ok'
    assert take(old, kind) == 'EAGAIN'


@BOTH
def test_a_save_by_rename_keeps_the_lock(locked, actors, kind):
    path = locked.mnt / 'config.json'
    old, new = actors(2)
    opened(old, path)
    assert take(old, kind) == 'ok'
    (locked.mnt / 'config.json.tmp').write_text('{"a": 5}')
    (locked.mnt / 'config.json.tmp').rename(path)
    opened(new, path)
    assert take(new, kind) == 'EAGAIN'


@BOTH
def test_documents_do_not_share_locks(locked, actors, kind):
    one, two = actors(2)
    opened(one, locked.mnt / 'config.json')
    opened(two, locked.mnt / 'other.json')
    assert take(one, kind) == 'ok'
    assert take(two, kind) == 'ok'


@BOTH
def test_who_waits_is_served_when_the_lock_is_given_up(locked, actors, kind):
    path = locked.mnt / 'config.json'
    holder, *waiters = actors(4)
    for actor in (holder, *waiters):
        opened(actor, path)
    assert take(holder, kind) == 'ok'
    for waiter in waiters:
        waiter.blocks_in(*take_waiting(kind))
        settle(locked)  # so that the next asks later
    save(path, '{"a": 2}')  # waiting holds up no one else
    for waiter in waiters:
        assert give(holder, kind) == 'ok'
        assert waiter.answer() == 'ok'  # in the order of asking
        holder = waiter


def test_many_waiters_hold_no_thread(mount, actors):
    """More of them than there are threads to serve requests."""
    m = mount('{:config 1}', 'max_threads=2')
    path = m.mnt / 'config.json'
    holder, *waiters = actors(9)
    for actor in (holder, *waiters):
        opened(actor, path, 'ro')
    assert take(holder, 'flock') == 'ok'
    for waiter in waiters:
        waiter.blocks_in('flock', 'f', 'sh')
    save(path, '2')
    assert give(holder, 'flock') == 'ok'
    assert {waiter.answer() for waiter in waiters} == {'ok'}  # sharers all at once


@BOTH
def test_a_signal_interrupts_waiting(locked, actors, kind):
    path = locked.mnt / 'config.json'
    holder, waiter, other = actors(3)
    for actor in (holder, waiter, other):
        opened(actor, path)
    assert take(holder, kind) == 'ok'
    waiter.blocks_in(*take_waiting(kind))
    waiter.process.send_signal(signal.SIGALRM)
    assert waiter.answer() == 'interrupted'
    assert give(holder, kind) == 'ok'
    assert take(other, kind) == 'ok'  # and is forgotten


@BOTH
def test_a_killed_waiter_is_forgotten(locked, actors, kind):
    path = locked.mnt / 'config.json'
    holder, waiter, other = actors(3)
    for actor in (holder, waiter, other):
        opened(actor, path)
    assert take(holder, kind) == 'ok'
    waiter.blocks_in(*take_waiting(kind))
    waiter.end()
    assert give(holder, kind) == 'ok'
    assert take(other, kind) == 'ok'


@BOTH
@pytest.mark.parametrize('mode', ['rw', 'ro'])
def test_a_killed_holder_gives_up(locked, actors, kind, mode):
    """Of readers the kernel flushes nothing, so an end without RELEASE's help would keep the lock."""
    path = locked.mnt / 'config.json'
    holder, waiter = actors(2)
    opened(holder, path, mode)
    opened(waiter, path)
    assert holder(*(('flock', 'f', 'sh') if kind == 'flock' else ('set', 'f', 'r'))) == 'ok'
    waiter.blocks_in(*take_waiting(kind))
    holder.end()
    assert waiter.answer() == 'ok'


@pytest.mark.parametrize('mode', ['rw', 'ro'])
def test_closing_gives_up(locked, actors, mode):
    path = locked.mnt / 'config.json'
    holder, other = actors(2)
    opened(holder, path, mode)
    opened(other, path)
    for command in (('set', 'f', 'r'), ('flock', 'f', 'sh'), ('ofd', 'f', 'r')):
        assert holder(*command) == 'ok'
        assert take(other, 'flock' if command[0] == 'flock' else 'fcntl') == 'EAGAIN'
        other.blocks_in(*take_waiting('flock' if command[0] == 'flock' else 'fcntl'))
        assert holder('close', 'f') == 'ok'
        assert other.answer() == 'ok'
        assert give(other, 'flock' if command[0] == 'flock' else 'fcntl') == 'ok'
        opened(holder, path, mode)


def test_closing_any_descriptor_gives_up_fcntl_locks(locked, actors):
    """POSIX's trap: also one through which nothing was locked. Writers' ends are told to us."""
    path = locked.mnt / 'config.json'
    holder, other = actors(2)
    opened(holder, path)
    opened(holder, path, name='g')
    opened(other, path)
    assert holder('set', 'f', 'w') == 'ok'
    assert holder('close', 'g') == 'ok'
    assert take(other, 'fcntl') == 'ok'


def test_an_open_file_shares_its_flock_with_no_other(locked, actors):
    path = locked.mnt / 'config.json'
    actor, = actors(1)
    opened(actor, path, name='f')
    opened(actor, path, name='g')
    assert actor('flock', 'f', 'ex', 'nb') == 'ok'
    assert actor('flock', 'g', 'sh', 'nb') == 'EAGAIN'
    assert actor('ofd', 'f', 'w') == 'ok'
    assert actor('ofd', 'g', 'r') == 'EAGAIN'


def test_the_two_kinds_do_not_meet(locked, actors):
    path = locked.mnt / 'config.json'
    one, two = actors(2)
    opened(one, path)
    opened(two, path)
    assert take(one, 'flock') == 'ok'
    assert take(two, 'fcntl') == 'ok'


def test_flocks_change_their_kind(locked, actors):
    path = locked.mnt / 'config.json'
    one, two, three = actors(3)
    for actor in (one, two, three):
        opened(actor, path)
    assert one('flock', 'f', 'ex', 'nb') == 'ok'
    two.blocks_in('flock', 'f', 'sh')
    assert one('flock', 'f', 'sh', 'nb') == 'ok'  # down: lets sharers in
    assert two.answer() == 'ok'
    assert one('flock', 'f', 'ex', 'nb') == 'EAGAIN'  # up: the old one is lost, as on Linux
    three.blocks_in('flock', 'f', 'ex')
    assert two('flock', 'f', 'un') == 'ok'
    assert three.answer() == 'ok'


def test_two_who_change_up_do_not_block_each_other(locked, actors):
    path = locked.mnt / 'config.json'
    one, two = actors(2)
    opened(one, path)
    opened(two, path)
    assert one('flock', 'f', 'sh') == 'ok'
    assert two('flock', 'f', 'sh') == 'ok'
    one.blocks_in('flock', 'f', 'ex')
    assert two('flock', 'f', 'ex') == 'ok'  # one has given up its share to wait
    assert give(two, 'flock') == 'ok'
    assert one.answer() == 'ok'


def test_ranges_are_cut_and_joined(locked, actors):
    path = locked.mnt / 'config.json'
    one, two = actors(2)
    opened(one, path)
    opened(two, path)
    pid = one.process.pid
    assert one('set', 'f', 'w', 0, 100) == 'ok'
    assert one('set', 'f', 'u', 40, 20) == 'ok'  # two pieces
    assert two('get', 'f', 'w', 30, 10) == f'w 0 40 {pid}'
    assert two('get', 'f', 'w', 40, 20) == 'u'
    assert two('get', 'f', 'w', 60, 1) == f'w 60 40 {pid}'
    assert two('set', 'f', 'w', 40, 20) == 'ok'
    assert two('set', 'f', 'w', 39, 1) == 'EAGAIN'
    assert two('set', 'f', 'u') == 'ok'
    assert one('set', 'f', 'w', 40, 20) == 'ok'  # one piece again
    assert two('get', 'f', 'r', 50, 1) == f'w 0 100 {pid}'
    assert one('set', 'f', 'r', 10, 10) == 'ok'  # a weaker piece in the middle
    assert two('get', 'f', 'r', 10, 10) == 'u'
    assert two('get', 'f', 'w', 10, 10) == f'r 10 10 {pid}'
    assert two('set', 'f', 'r', 10, 10) == 'ok'
    assert one('set', 'f', 'w', 10, 10) == 'EAGAIN'  # up again is not to be had
    assert two('get', 'f', 'w', 10, 10) == f'r 10 10 {pid}'  # and changed nothing
    assert one('set', 'f', 'u', 50, 0) == 'ok'  # to the end of all files
    assert two('get', 'f', 'w', 50, 0) == 'u'
    assert one('set', 'f', 'w', 2**62, 0) == 'ok'
    assert two('get', 'f', 'w', 2**63 - 1, 1) == f'w {2**62} 0 {pid}'
    assert two('get', 'f', 'w', 2**62 - 1, 1) == 'u'
    assert one('get', 'f', 'w') == f'r 10 10 {two.process.pid}'  # its own do not count


def test_a_weaker_range_lets_waiters_in(locked, actors):
    path = locked.mnt / 'config.json'
    one, two = actors(2)
    opened(one, path)
    opened(two, path)
    assert one('set', 'f', 'w', 0, 10) == 'ok'
    two.blocks_in('wait', 'f', 'r', 5, 10)
    assert one('set', 'f', 'r', 0, 10) == 'ok'
    assert two.answer() == 'ok'


def test_deadlocks_are_found(locked, actors):
    """Around three processes and two documents."""
    a, b, c = actors(3)
    for actor in (a, b, c):
        opened(actor, locked.mnt / 'config.json')
        opened(actor, locked.mnt / 'other.json', name='g')
    assert a('set', 'f', 'w', 0, 1) == 'ok'
    assert b('set', 'g', 'w', 0, 1) == 'ok'
    assert c('set', 'f', 'w', 1, 1) == 'ok'
    a.blocks_in('wait', 'g', 'w', 0, 1)
    b.blocks_in('wait', 'f', 'w', 1, 1)
    settle(locked)
    assert c('wait', 'f', 'r', 0, 1) == 'EDEADLK'
    assert c('set', 'f', 'u') == 'ok'
    assert b.answer() == 'ok'
    assert b('set', 'g', 'u') == 'ok'
    assert a.answer() == 'ok'


@BOTH
def test_the_daemon_ends_though_someone_waits(mount, actors, kind):
    m = mount('{:config 1}')
    holder, waiter = actors(2)
    opened(holder, m.mnt / 'config.json')
    opened(waiter, m.mnt / 'config.json')
    assert take(holder, kind) == 'ok'
    waiter.blocks_in(*take_waiting(kind))
    m.proc.send_signal(signal.SIGTERM)
    assert m.wait_exit() == 0
    wait_until(lambda: not is_mounted(m.mnt), 'the unmount')
    assert waiter.answer() in ('ENOTCONN', 'ECONNABORTED', 'ENOLCK', 'EIO')


def test_scratch_files_have_locks_too(locked, actors):
    path = locked.mnt / 'notes.txt'
    path.write_text('x')
    one, two = actors(2)
    opened(one, path)
    opened(two, path)
    for kind in ('flock', 'fcntl'):
        assert take(one, kind) == 'ok'
        assert take(two, kind) == 'EAGAIN'


def test_a_thousand_ranges(locked, actors):
    """In one process, as a database locks: every other byte, then one lock over them all."""
    other, = actors(1)
    opened(other, locked.mnt / 'config.json')
    with open(locked.mnt / 'config.json', 'r+b', buffering=0) as file:
        for at in range(0, 2000, 2):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
        assert other('set', 'f', 'w', 1998, 1) == 'EAGAIN'
        assert other('set', 'f', 'w', 1999, 1) == 'ok'
        assert other('set', 'f', 'u') == 'ok'
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 2000, 0)
        assert other('get', 'f', 'r', 1999, 1).startswith('w 0 2000 ')
        fcntl.lockf(file, fcntl.LOCK_UN, 1999, 1)
        assert other('set', 'f', 'w', 1, 1999) == 'ok'


CONTENDER = r'''
import fcntl, mmap, os, sys
path, shared, kind = sys.argv[1:]
with open(shared, 'r+b') as file:
    counter = mmap.mmap(file.fileno(), 8)
for _ in range(300):
    file = os.open(path, os.O_RDWR)
    if kind == 'flock':
        fcntl.flock(file, fcntl.LOCK_EX)
    else:
        fcntl.lockf(file, fcntl.LOCK_EX)
    value = int.from_bytes(counter[:], 'little')
    os.sched_yield()
    counter[:] = (value + 1).to_bytes(8, 'little')
    os.close(file)
'''


@BOTH
def test_contenders_exclude_each_other(locked, kind):
    """Closing is what gives up here, and open files come and go: their RELEASE may be late."""
    shared = locked.base / 'shared'
    shared.write_bytes(bytes(8))
    contenders = [subprocess.Popen([sys.executable, '-c', CONTENDER, locked.mnt / 'config.json',
                                    shared, kind]) for _ in range(6)]
    assert [contender.wait(BOUND_S) for contender in contenders] == [0] * 6
    assert int.from_bytes(shared.read_bytes(), 'little') == 6 * 300


LOCKING = {'flock': fcntl.flock, 'fcntl': fcntl.lockf}


@BOTH
def test_who_has_the_lock_has_the_document_as_it_is(locked, kind):
    """What was saved between open and lock is what is read, written over and looked at behind it."""
    path = locked.mnt / 'config.json'
    for change in (lambda fd: os.pwrite(fd, b'3', 2), lambda fd: os.ftruncate(fd, 4)):
        path.write_text('[1]\n')
        fd = os.open(path, os.O_RDWR)
        assert os.pread(fd, 100, 0) == b'[1]\n'
        path.write_text('[22]')
        path.write_text('[22]\n ')
        LOCKING[kind](fd, fcntl.LOCK_EX)
        assert os.fstat(fd).st_size == 6
        assert os.pread(fd, 100, 0) == b'[22]\n '
        change(fd)
        LOCKING[kind](fd, fcntl.LOCK_EX)  # what it wrote itself stays
        seen = os.pread(fd, 100, 0)
        os.close(fd)
        assert path.read_bytes() == seen in (b'[23]\n ', b'[22]')


COUNTER = r'''
import fcntl, os, sys
path, kind, synced = sys.argv[1:]
for _ in range(50):
    with open(path, 'r+') as file:
        (fcntl.flock if kind == 'flock' else fcntl.lockf)(file, fcntl.LOCK_EX)
        value = int(file.read()) + 1
        file.seek(0)
        file.truncate()
        file.write(str(value))
        if synced == 'True':
            file.flush()
            os.fsync(file.fileno())
'''


@BOTH
@pytest.mark.parametrize('synced', [True, False])
def test_nothing_is_lost_under_a_lock(mount, kind, synced):
    """Read, changed and saved by several, each of whom gives the lock up as he closes the file."""
    m = mount('{:n 0}')
    counters = [subprocess.Popen([sys.executable, '-c', COUNTER, m.mnt / 'n.json', kind, str(synced)])
                for _ in range(4)]
    assert [counter.wait(BOUND_S) for counter in counters] == [0] * 4
    assert (m.mnt / 'n.json').read_text() == '200'
