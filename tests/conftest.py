# SPDX-License-Identifier: MIT
"""Fixtures of the suite: where the build is, and real mounts that clean up after themselves.

    def test_something(mount):
        m = mount('{:config {:a 1}}', 'edn_delay=10')
        assert (m.mnt / 'config.json').read_text() == ...
        m.remount()

Whatever a daemon prints on stderr that a test did not announce (m.expect_stderr) fails the test, and
so does an exit status other than 0; no mount outlives its test.
"""
import collections
import ctypes
import errno
import fcntl
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib

import hypothesis
import pytest

TESTS = pathlib.Path(__file__).resolve().parent
TOP = TESTS.parent
MNT_FORCE = 1
# A sanitizer's pass has one of so many parameters and examples, as the plain one has all of them.
ONE_OF = int(os.environ.get('OUROFS_ONE_OF', '1'))
BOUND_S = 60  # how long to wait for what must happen: generous, as sanitizers and CI are slow


def pytest_configure(config):
    config.addinivalue_line('markers', 'oracle: compares with Clojure itself (starts a JVM)')
    config.addinivalue_line('markers', 'preload: puts a library in front of the daemon (no sanitizer may)')
    config.addinivalue_line('markers', 'busy: so much at once that a sanitizer makes it too slow')
    config.addinivalue_line('markers', 'tsan: for a build with ThreadSanitizer, which has no other')
    config.addinivalue_line('markers', 'style: looks at the source, not at what was built')
    config.addinivalue_line('markers', 'forks: copies this process, hundreds of times')
    # No example may fail for being slow: sanitizers and busy machines are.
    hypothesis.settings.register_profile('suite', deadline=None, print_blob=True, max_examples=examples(100))
    hypothesis.settings.load_profile('suite')


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):  # pylint: disable=unused-argument
    """As many as there are processors have a third of them idle: tests wait much."""
    return min(len(os.sched_getaffinity(0)) + 1, 4)


def examples(count):
    """How many of these are tried in this pass."""
    return -(-count // ONE_OF)


def left_out(items):
    """Of each function all its parameters but each ONE_OF-th, by which every value of several is met; from where to count
    is the function's own, so that they have not all the same mode."""
    of_function = collections.defaultdict(list)
    for item in items:
        of_function[item.nodeid.split('[')[0]].append(item)
    return {item for name, alike in of_function.items() for number, item in enumerate(alike)
            if (number + zlib.crc32(name.encode())) % min(ONE_OF, len(alike))}


def pytest_collection_modifyitems(config, items):
    out = left_out(items)
    config.hook.pytest_deselected(items=list(out))
    items[:] = [item for item in items if item not in out]
    # A fork takes the longer the more memory there is, and a suite that ran has half a gigabyte: 40 ms instead of 5.
    items.sort(key=lambda item: item.get_closest_marker('forks') is None)


def waits_for_an_answer(process):
    """Is it in a request to a filesystem like ours?"""
    return 'request' in pathlib.Path(f'/proc/{process.pid}/wchan').read_text()


def wait_until(condition, what, bound_s=BOUND_S):
    """Polls until condition() is true and returns its value; fails the test after bound_s."""
    pause = threading.Event()
    end = time.monotonic() + bound_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f'waited {bound_s} s for: {what}')
        pause.wait(0.005)


def find_build():
    named = os.environ.get('OUROFS_BUILD')
    if named:
        return pathlib.Path(named).resolve()
    built = [path.parent for path in TOP.glob('build*/build.ninja')]
    if not built:
        pytest.exit('no build directory: set OUROFS_BUILD or run `meson setup build`', 2)
    return max(built, key=lambda path: (path / 'build.ninja').stat().st_mtime)


@pytest.fixture(scope='session')
def build_dir():
    return find_build()


@pytest.fixture(scope='session')
def binary(build_dir):
    """binary(name): the path of an executable that the build made."""
    def find(name):
        for folder in ('fs', 'store', 'mapping', 'tests'):
            for path in sorted((build_dir / folder).rglob(name)):
                if path.is_file() and os.access(path, os.X_OK):
                    return path
        return pytest.fail(f'{name} is not built below {build_dir}')
    return find


@pytest.fixture(scope='session')
def example():
    """A small memory with every family of keys, as text."""
    return (TESTS / 'cases' / 'example.edn').read_text()


@pytest.fixture(scope='session')
def many():
    """A memory of 20,000 keys, as text: migrating it takes more than one transaction."""
    return subprocess.run([sys.executable, str(TESTS / 'bench' / 'gen_memory.py'), '--keys', '20000'],
                          check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope='session')
def mount_base(build_dir):
    """A directory on a real disk. Not below /tmp, where vim makes no backups and tmpfs may be."""
    parent = build_dir
    if build_dir.is_relative_to('/tmp'):
        parent = pathlib.Path('/var/tmp')
    base = pathlib.Path(tempfile.mkdtemp(prefix='ourofs-test-', dir=parent))
    yield base
    base.rmdir()  # each test has emptied its own; what is left is a mount that could not be removed


LIBC = ctypes.CDLL(None, use_errno=True)
MS_NOSUID, MS_NODEV, MS_REMOUNT = 2, 4, 32
FORGETS = pytest.mark.skipif(os.geteuid() != 0, reason='lets the kernel forget, which only root may')
# A daemon lets nobody else look at its memory and its descriptors.
LOOKS_INSIDE = pytest.mark.skipif(os.geteuid() != 0, reason='looks into a daemon, which only root may')


def status_kb(pid, field):
    """What a process holds: VmRSS, VmHWM, RssAnon ..."""
    return int(re.search(rf'{field}:\s+(\d+) kB', pathlib.Path(f'/proc/{pid}/status').read_text())[1])


def is_locked(path):
    """A daemon holds its store's lock until it has written everything."""
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.fixture
def lazy_malloc(monkeypatch):
    """Memory that nobody has used takes none: `meson test` has malloc write to all that it gives."""
    monkeypatch.delenv('MALLOC_PERTURB_', raising=False)


@pytest.fixture
def disk(mount_base):
    """A fresh directory on a real disk, for tests without a mount; or with daemons of their own."""
    path = pathlib.Path(tempfile.mkdtemp(prefix='d-', dir=mount_base))
    yield path
    for lock in path.rglob('lock'):
        wait_until(lambda lock=lock: not is_locked(lock), 'ourofs to end after its unmount')
    shutil.rmtree(path)


@pytest.fixture
def small_disk(tmp_path):
    """small_disk('1m') -> a directory on a disk of that size, where mounting one is allowed."""
    made = []

    def make(size):
        path = tmp_path / f'disk{len(made)}'
        path.mkdir()
        if os.system(f'mount -t tmpfs -o size={size} tmpfs {path} 2>/dev/null'):
            pytest.skip('mounting a tmpfs is not allowed here')
        made.append(path)
        return path
    yield make
    for path in made:
        os.system(f'umount -l {path}')


def fill_disk(path):
    """A file at path takes all the room that there is."""
    with open(path, 'wb', buffering=0) as ballast:
        for size in (65536, 4096):
            try:
                while ballast.write(bytes(size)):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC


def is_mounted(path):
    """Told by the mount table, which never blocks on a daemon that does not answer."""
    wanted = os.fspath(path)
    for line in pathlib.Path('/proc/self/mountinfo').read_text().splitlines():
        at = re.sub(r'\\([0-7]{3})', lambda m: chr(int(m[1], 8)), line.split(' ')[4])
        if at == wanted:
            return True
    return False


def held_by(process):
    """What /proc/PID says that it has open or mapped, and where it stands."""
    for link in [process / 'cwd', *(process / 'fd').iterdir()]:
        try:
            yield os.readlink(link)
        except FileNotFoundError:  # closed since
            pass
    yield from (line.split(maxsplit=5)[-1] for line in (process / 'maps').read_text().splitlines())


def holders(mnt):
    """Who keeps it busy: (pid, command, what)."""
    found = []
    for process in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            command = (process / 'comm').read_text().strip()
            found += [(int(process.name), command, what) for what in held_by(process)
                      if f'{what}/'.startswith(f'{mnt}/')]
        except OSError:  # it has ended, or is not ours to look at
            pass
    return found


class Busy:
    def __init__(self, mnt):
        self.mnt = mnt

    def __str__(self):
        return f'{self.mnt}, kept busy by {holders(self.mnt)}'


def take_away(mnt, daemon=None):
    """`fusermount3 -u`; again while the mount is busy, unless the test or the daemon keeps it so: CalledProcessError.

    Whoever looks up a path that leads there (df, find, those who look at /proc/PID/fd) keeps a mount for that moment, and
    what a program started may end a little later than it. Neither can be waited for otherwise.
    """
    def gone():
        done = subprocess.run(['fusermount3', '-u', str(mnt)], capture_output=True, text=True, timeout=BOUND_S)
        if done.returncode == 0:
            return True
        ours = [holder for holder in holders(mnt) if holder[0] in (os.getpid(), daemon and daemon.pid)]
        if ours or 'busy' not in done.stderr:
            raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout, f'{done.stderr.strip()} {ours}')
        return False
    wait_until(gone, Busy(mnt))


class Mount:
    """A daemon in the foreground over base/memory.edn, its state in base/store, at base/mnt."""

    def __init__(self, program, base, text, options, args):
        self.program = program
        self.base = base
        self.edn = base / 'memory.edn'
        self.store = base / 'store'
        self.mnt = base / 'mnt'
        self.log = base / 'stderr'
        self.options = options
        self.args = args
        self.proc = None
        self.env = None  # of the daemon: the suite's own
        self.expected = []
        self.mnt.mkdir()
        if text is not None:
            self.edn.write_bytes(text if isinstance(text, bytes) else text.encode())

    def command(self):
        # What a store that fails has to say is for the tests that look at it: tests/test_log.py.
        quiet = () if any(word.startswith('loglevel=') for word in self.options) else ('loglevel=error',)
        options = ','.join((f'store={self.store}', *quiet, *self.options))
        return [str(self.program), '-f', *self.args, '-o', options, str(self.edn), str(self.mnt)]

    def spawn(self):
        with self.log.open('ab') as log:
            self.proc = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)

    def mount(self):
        self.spawn()

        def mounted():
            if self.proc.poll() is not None:
                pytest.fail(f'ourofs ended with {self.proc.returncode}: {self.stderr()}')
            return is_mounted(self.mnt)
        wait_until(mounted, f'{self.mnt} to be mounted')
        os.stat(self.mnt)  # answered: the daemon serves
        return self

    def stderr(self):
        return self.log.read_text(errors='replace') if self.log.exists() else ''

    def expect_stderr(self, pattern):
        """Lines of stderr that match this regular expression are no surprise."""
        self.expected.append(pattern)

    def check_stderr(self):
        lines = [line for line in self.stderr().splitlines()
                 if not any(re.search(pattern, line) for pattern in self.expected)]
        assert not lines, 'unexpected on the stderr of ourofs:\n' + '\n'.join(lines)

    def edn_text(self):
        return self.edn.read_text(encoding='utf-8', errors='surrogateescape')

    def sync(self):
        """Returns when memory.edn holds everything that was committed."""
        (self.mnt / '.sync').write_bytes(b'1\n')

    def gauge(self, name):
        return int(re.search(rf'^ourofs_{name} (\d+)', (self.mnt / '.metrics').read_text(), re.M)[1])

    def forget(self, at_most):
        """Lets the kernel forget all names that nobody uses, as it does where memory is short: a remount does, and of
        this mount alone. Needs root. At most so many nodes are left."""
        def forgets():
            if LIBC.mount(None, os.fsencode(self.mnt), None, MS_REMOUNT | MS_NOSUID | MS_NODEV, None):
                raise OSError(ctypes.get_errno(), 'remount')
            return self.gauge('nodes') <= at_most
        wait_until(forgets, 'the kernel to forget')

    def wait_exit(self):
        try:
            return self.proc.wait(BOUND_S)
        except subprocess.TimeoutExpired:
            return pytest.fail(f'ourofs still runs {BOUND_S} s after its unmount')

    def one_more_request(self):
        """libfuse keeps an INTERRUPT that came too late until the next request, and leaks it where none comes."""
        try:
            os.statvfs(self.mnt)
        except OSError:
            pass

    def unmount(self):
        """Unmounts, waits for the daemon's end, and holds it to status 0 and a quiet stderr."""
        self.one_more_request()
        take_away(self.mnt, self.proc)
        status = self.wait_exit()
        self.check_stderr()
        assert status == 0, f'ourofs ended with {status}'

    def kill(self):
        """SIGKILL, as a crash: nothing is flushed. remount() goes on from what is on disk."""
        self.proc.send_signal(signal.SIGKILL)
        self.wait_exit()
        if is_mounted(self.mnt):
            subprocess.run(['fusermount3', '-u', '-z', str(self.mnt)], check=True, timeout=BOUND_S)
        self.check_stderr()

    def remount(self, *options):
        """Mounts the same files again; options, when given, replace those of before."""
        if self.proc.poll() is None:
            self.unmount()
        if options:
            self.options = options
        return self.mount()

    def close(self):
        """At the end of the test: unmounts by all means, and reports what was not as it should be."""
        problems = []
        if is_mounted(self.mnt):
            self.one_more_request()
            try:
                take_away(self.mnt, self.proc)
            except (subprocess.CalledProcessError, pytest.fail.Exception) as error:
                problems.append(f'still in use at the end: {getattr(error, "stderr", error)}')
                subprocess.run(['fusermount3', '-u', '-z', str(self.mnt)], timeout=BOUND_S)
        if self.proc is not None:
            try:
                status = self.proc.wait(BOUND_S)
                if status not in (0, -signal.SIGKILL):
                    problems.append(f'ourofs ended with {status}')
            except subprocess.TimeoutExpired:
                problems.append('ourofs did not end after its unmount; killed')
                self.proc.kill()
                self.proc.wait(BOUND_S)
        try:
            self.check_stderr()
        except AssertionError as error:
            problems.append(str(error))
        if not is_mounted(self.mnt):
            shutil.rmtree(self.base, ignore_errors=True)
        return problems

    def give_up(self):
        """A test that hangs in the filesystem is unblocked, and fails: MNT_FORCE aborts every request.

        By no other program: on its way there a child closes files of this mount, and hangs itself.
        """
        self.proc.kill()
        LIBC.umount2(os.fsencode(self.mnt), MNT_FORCE)


@pytest.fixture
def mount(binary, mount_base):
    """mount(text='{}', *options, args=()) -> Mount. Each option is one word of -o."""
    mounts = []
    timers = []

    def make(text='{}', options=(), args=()):
        base = pathlib.Path(tempfile.mkdtemp(prefix='m-', dir=mount_base))
        made = Mount(binary('ourofs'), base, text, options, args)
        mounts.append(made)
        return made

    def start(made):
        made.mount()
        timers.append(threading.Timer(5 * BOUND_S, made.give_up))
        timers[-1].daemon = True
        timers[-1].start()
        return made

    def factory(text='{}', *options, args=()):
        return start(make(text, options, args))

    def refused(text='{}', *options, args=()):
        """Expects that the mount fails; returns (exit status, stderr)."""
        made = make(text, options, args)
        made.spawn()
        status = wait_until(lambda: None if made.proc.poll() is None else (made.proc.returncode,),
                            'ourofs to refuse the mount')[0]
        made.proc = None
        made.expected.append('')
        assert status != 0
        return status, made.stderr()

    factory.refused = refused
    factory.prepare = make
    factory.start = start
    yield factory
    for timer in timers:
        timer.cancel()
    problems = [problem for made in reversed(mounts) for problem in made.close()]
    assert not problems, '\n'.join(problems)


@pytest.fixture(scope='session')
def rival():
    """The other writer of memory.edn (rival.py): one for all tests, each opens it on its own file."""
    if not shutil.which('clojure'):
        pytest.skip('Clojure is not installed')
    from rival import Rival  # it imports from here
    started = Rival()
    yield started
    started.quit()


@pytest.fixture
def mount_late(mount, binary):
    """mount_late(text, *options) -> a mount, and the file while which is there things are late (tests/c/laggard.c)."""
    def make(text, *options):
        m = mount.prepare(text, options)
        late = m.base / 'late'
        m.env = dict(os.environ, LD_PRELOAD=str(binary('laggard.so')), OUROFS_LAGGARD=str(late))
        return mount.start(m), late
    return make


@pytest.fixture
def laggard(mount_late):
    return mount_late('{}')
