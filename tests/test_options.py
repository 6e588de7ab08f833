# SPDX-License-Identifier: MIT
"""The command line of ourofs, and the life of its daemon from the fork to the last write."""
import fcntl
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile

import pytest
from conftest import BOUND_S, LOOKS_INSIDE, is_locked, is_mounted, take_away, wait_until, waits_for_an_answer

TEXT = '{:config {:a 1}}'
SAVED = b'{"a": 2}\n'


@pytest.fixture
def place(disk):
    """A memory and an empty directory to mount on."""
    (disk / 'memory.edn').write_text(TEXT)
    (disk / 'mnt').mkdir()
    yield disk
    if is_mounted(disk / 'mnt'):
        subprocess.run(['fusermount3', '-u', '-z', str(disk / 'mnt')], timeout=BOUND_S)


@pytest.fixture
def ourofs(binary, place):
    def run(*args):
        return subprocess.run([str(binary('ourofs')), *args], cwd=place, text=True,
                              capture_output=True, timeout=BOUND_S)
    return run


def mount_of(path):
    """(mount options, type, source, options of the file system) as the kernel has them."""
    for line in pathlib.Path('/proc/self/mountinfo').read_text().splitlines():
        fields, more = (part.split(' ') for part in line.split(' - '))
        if unescape(fields[4]) == str(path):
            return fields[5].split(','), more[0], unescape(more[1]), more[2].split(',')
    return pytest.fail(f'{path} is not mounted')


def unescape(text):
    return re.sub(r'\\([0-7]{3})', lambda m: chr(int(m[1], 8)), text)


def end_of(pid):
    """Waits for the end of a process that is no child of ours, and of all its threads."""
    def gone():
        try:
            tasks = [task.read_text() for task in pathlib.Path(f'/proc/{pid}/task').glob('*/stat')]
        except (FileNotFoundError, ProcessLookupError):
            return False  # one has just ended: look again
        return all(task.rpartition(')')[2].startswith(' Z ') for task in tasks)
    wait_until(gone, f'the end of {pid}')


def daemon_of(store):
    return int((store / 'lock').read_text())


def unmount(place, store='memory.eav'):
    pid = daemon_of(place / store)
    take_away(place / 'mnt')
    end_of(pid)


# ---- words ----

@pytest.mark.parametrize('args', [['-h'], ['--help'], ['memory.edn', '--help', 'nowhere', '-x']])
def test_help(ourofs, args):
    done = ourofs(*args)
    assert done.returncode == 0
    assert done.stdout.startswith('usage: ourofs [options] MEMORY.EDN MOUNTPOINT\n')
    assert '-o scratch_max=SIZE' in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr == ''


@pytest.mark.parametrize('args', [['-V'], ['--version']])
def test_version(ourofs, args):
    done = ourofs(*args)
    assert done.returncode == 0
    assert re.fullmatch(r'ourofs \d+\.\d+\.\d+\nlibfuse \d+\.\d+\.\d+\n', done.stdout)
    assert done.stderr == ''


@pytest.mark.parametrize('args, reason', [
    ([], 'MEMORY.EDN is missing'),
    (['memory.edn'], 'MOUNTPOINT is missing'),
    (['', 'mnt'], 'MEMORY.EDN is empty'),
    (['memory.edn', 'mnt', 'more'], "unexpected argument 'more'"),
    (['memory.edn', 'mnt', '--', '-f'], "unexpected argument '-f'"),
    (['-x'], "unknown option '-x'"),
    (['-fx'], "unknown option '-x'"),
    (['--foo'], "unknown option '--foo'"),
    (['--debug'], "unknown option '--debug'"),
    (['memory.edn', 'mnt', '-o'], "option '-o' needs a value"),
    (['-o', 'foo'], "unknown option '-o foo'"),
    (['-o', 'ro,foo=1'], "unknown option '-o foo=1'"),
    (['-o', 'r'], "unknown option '-o r'"),
    (['-o', 'help'], "unknown option '-o help'"),
    (['-o', 'remount'], "option 'remount': unmount and mount again"),
    (['-o', 'ro=1'], "option 'ro' takes no value"),
    (['-o', 'uid'], "option 'uid' needs a value"),
    (['-o', 'store='], "option 'store=' needs a value"),
    (['-o', 'uid=root'], "option 'uid=root': a numeric id is expected"),
    (['-o', 'gid=4294967295'], "option 'gid=4294967295': a numeric id is expected"),
    (['-o', 'uid=-1'], "option 'uid=-1': a numeric id is expected"),
    (['-o', 'umask=8'], 'octal permission bits'),
    (['-o', 'umask=1000'], 'octal permission bits'),
    (['-o', 'edn_delay=1s'], 'a number up to 3600000 is expected'),
    (['-o', 'edn_delay=99999999999999999999999'], 'a number up to 3600000 is expected'),
    (['-o', 'doc_max=1T'], 'a size is expected'),
    (['-o', 'doc_max=K'], 'a size is expected'),
    (['-o', 'doc_max=0'], 'the size is out of range'),
    (['-o', 'doc_max=9000000000G'], 'the size is out of range'),
    (['-o', 'max_threads=0'], 'at least 1 is expected'),
    (['-o', 'control=maybe'], "'listed' or 'hidden' is expected"),
    (['-o', 'mode=dual'],
     "unknown mode 'dual': 'edn-only', 'dual-write', 'datalevin-first' or 'datalevin-only' is expected"),
    (['-o', 'mode=sideways'], "unknown mode 'sideways'"),
    (['nowhere/memory.edn', 'mnt'], '/nowhere/memory.edn: No such file or directory'),
    (['memory.edn', 'mnt', '-o', 'store=nowhere/x'], '/nowhere/x: No such file or directory'),
])
def test_usage_errors(ourofs, place, args, reason):
    done = ourofs(*args)
    assert done.returncode == 1
    assert done.stdout == ''
    assert re.fullmatch(r'ourofs: .* \(see `ourofs --help`\)\n', done.stderr)
    assert reason in done.stderr
    assert sorted(path.name for path in place.iterdir()) == ['memory.edn', 'mnt']


def test_a_long_option_is_no_overflow(ourofs):
    for word in ('x' * 100000, 'store=' + 'x' * 100000, 'x,' * 50000):
        done = ourofs('memory.edn', 'mnt', '-o', word)
        assert done.returncode == 1
        assert done.stderr.startswith('ourofs: ') and len(done.stderr) < 300


# ---- what is checked before anything is touched ----

def refused(done, reason):
    assert done.returncode == 1
    assert done.stdout == ''
    assert done.stderr.startswith('ourofs: ') and done.stderr.count('\n') == 1
    assert reason in done.stderr


@pytest.mark.parametrize('front', [[], ['-f']])
def test_mountpoints_that_can_not_be(ourofs, place, front):
    refused(ourofs(*front, 'memory.edn', 'nowhere'), '/nowhere: No such file or directory')
    refused(ourofs(*front, 'memory.edn', 'memory.edn'), '/memory.edn: not a directory')
    (place / 'mnt' / '.hidden').write_text('')
    refused(ourofs(*front, 'memory.edn', 'mnt'), '/mnt: not empty')
    refused(ourofs(*front, 'mnt/memory.edn', 'mnt', '-o', 'nonempty'),
            '/mnt/memory.edn: lies below the mountpoint')
    refused(ourofs(*front, 'memory.edn', 'mnt', '-o', 'nonempty,store=mnt/store'),
            '/mnt/store: lies below the mountpoint')
    (place / 'state' / 'scratch' / 'm').mkdir(parents=True)
    refused(ourofs(*front, 'memory.edn', 'state/scratch/m', '-o', 'store=state'),
            '/state/scratch/m: lies in the state directory')
    (place / 'link').symlink_to('mnt')
    refused(ourofs(*front, 'link/memory.edn', 'mnt', '-o', 'nonempty'), 'below the mountpoint')
    assert not (place / 'memory.eav').exists()


def test_nonempty_mounts_over_what_is_there(ourofs, place):
    (place / 'mnt' / 'below').write_text('')
    assert ourofs('memory.edn', 'mnt', '-o', 'nonempty').returncode == 0
    assert sorted(os.listdir(place / 'mnt')) == ['config.json']
    refused(ourofs('memory.edn', 'mnt'), '/mnt: a filesystem is mounted there already')
    unmount(place)
    assert os.listdir(place / 'mnt') == ['below']


def test_a_stale_mount_is_named(ourofs, place):
    assert ourofs('memory.edn', 'mnt').returncode == 0
    pid = daemon_of(place / 'memory.eav')
    os.kill(pid, signal.SIGKILL)
    end_of(pid)
    advice = f'`fusermount3 -u -z {place}/mnt` mends it'
    refused(ourofs('memory.edn', 'mnt'), advice)
    subprocess.run(advice.split('`')[1].split(' '), check=True, timeout=BOUND_S)
    assert ourofs('memory.edn', 'mnt').returncode == 0
    unmount(place)


@pytest.mark.parametrize('front', [[], ['-f']])
def test_a_broken_memory_is_never_mounted(ourofs, place, front):
    (place / 'memory.edn').write_text('{:a 1\n :b #{1 1}}')
    refused(ourofs(*front, 'memory.edn', 'mnt'), f'ourofs: {place}/memory.edn:2:')
    assert not is_mounted(place / 'mnt')
    assert (place / 'memory.edn').read_text() == '{:a 1\n :b #{1 1}}'
    # what it had begun to make; in the foreground it may not remove the directory itself
    assert not list(place.glob('memory.eav/*')) and (front or not (place / 'memory.eav').exists())


def test_an_empty_file_is_no_memory(ourofs, place):
    (place / 'memory.edn').write_text('')
    refused(ourofs('memory.edn', 'mnt'), f'ourofs: {place}/memory.edn:1:1: the file is empty, and a memory of nothing is {{}}')


def test_a_store_outlives_a_broken_memory(ourofs, place):
    assert ourofs('memory.edn', 'mnt').returncode == 0
    (place / 'mnt' / 'config.json').write_bytes(SAVED)
    unmount(place)
    whole = (place / 'memory.edn').read_text()
    (place / 'memory.edn').write_text('{:a')
    refused(ourofs('memory.edn', 'mnt'), f'ourofs: {place}/memory.edn:1:')
    (place / 'memory.edn').write_text(whole)
    assert ourofs('memory.edn', 'mnt').returncode == 0
    assert (place / 'mnt' / 'config.json').read_bytes() == SAVED
    unmount(place)


def test_a_memory_has_one_daemon(ourofs, place):
    assert ourofs('memory.edn', 'mnt').returncode == 0
    (place / 'other').mkdir()
    (place / 'link.edn').symlink_to('memory.edn')
    for name in ('memory.edn', 'link.edn'):
        refused(ourofs(name, 'other'), str(daemon_of(place / 'memory.eav')))
    assert not is_mounted(place / 'other')
    unmount(place)


def waits_for(process, lock):
    """It has the file open, which another holds."""
    def is_open():
        try:
            return any(os.path.samefile(file, lock) for file in pathlib.Path(f'/proc/{process.pid}/fd').iterdir())
        except FileNotFoundError:  # one that was closed again
            return False
    wait_until(is_open, 'it to come upon the lock')


@LOOKS_INSIDE
@pytest.mark.parametrize('front', [(), ('-o', 'ro')])
def test_one_that_ends_is_waited_for(binary, ourofs, place, front):
    lock = place / 'memory.eav' / 'lock'
    assert ourofs('memory.edn', 'mnt').returncode == 0
    unmount(place)
    with lock.open('r+') as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(f'{os.getpid()} ends\n')
        held.flush()
        with subprocess.Popen([str(binary('ourofs')), '-f', *front, 'memory.edn', 'mnt'], cwd=place) as waiting:
            waits_for(waiting, lock)
            assert waiting.poll() is None and not is_mounted(place / 'mnt')
            fcntl.flock(held, fcntl.LOCK_UN)
            wait_until(lambda: is_mounted(place / 'mnt'), 'the mount')
            if not front:
                assert daemon_of(place / 'memory.eav') == waiting.pid
            take_away(place / 'mnt')
            assert waiting.wait() == 0


def test_one_that_ends_says_so(ourofs, place):
    """It takes its time here: another writer may be half way."""
    lock = place / 'memory.eav' / 'lock'
    assert ourofs('memory.edn', 'mnt', '-o', 'edn_delay=3600000').returncode == 0
    (place / 'mnt' / 'config.json').write_bytes(SAVED)
    (place / 'memory.edn').write_text('{:config')
    pid = daemon_of(place / 'memory.eav')
    take_away(place / 'mnt')
    wait_until(lambda: lock.read_text() == f'{pid} ends\n' or not is_locked(lock), 'its end to be told')
    assert ourofs('memory.edn', 'mnt').returncode == 0
    assert daemon_of(place / 'memory.eav') != pid and (place / 'mnt' / 'config.json').read_bytes() == SAVED
    unmount(place)


def test_memories_side_by_side(ourofs, place):
    names = [f'memory{i}' for i in range(3)]
    for name in names:
        (place / f'{name}.edn').write_text(f'{{:name "{name}"}}')
        (place / name).mkdir()
        assert ourofs(f'{name}.edn', name).returncode == 0
    try:
        assert len({daemon_of(place / f'{name}.eav') for name in names}) == 3
        for name in names:
            assert (place / name / 'name.json').read_text() == f'"{name}"\n'
            (place / name / 'name.json').write_text(f'"new {name}"')
    finally:
        for name in names:
            pid = daemon_of(place / f'{name}.eav')
            take_away(place / name)
            end_of(pid)
    assert [(place / f'{name}.edn').read_text() for name in names] == \
        [f'{{:name "new {name}"}}' for name in names]


# ---- the unmount ----

def test_a_mount_in_use_stays_and_a_lazy_unmount_ends_with_its_last_user(ourofs, place):
    assert ourofs('memory.edn', 'mnt', '-o', 'edn_delay=3600000').returncode == 0
    pid = daemon_of(place / 'memory.eav')
    with (place / 'mnt' / 'config.json').open('wb') as file:
        busy = subprocess.run(['fusermount3', '-u', str(place / 'mnt')], capture_output=True,
                              text=True, timeout=BOUND_S)
        assert busy.returncode != 0 and 'busy' in busy.stderr
        assert is_mounted(place / 'mnt')
        subprocess.run(['fusermount3', '-u', '-z', str(place / 'mnt')], check=True, timeout=BOUND_S)
        assert not is_mounted(place / 'mnt')
        assert os.listdir(place / 'mnt') == []
        file.write(SAVED)
        os.kill(pid, 0)
    end_of(pid)
    assert (place / 'memory.edn').read_text() == '{:config {:a 2}}'


def test_mapping_errors_have_a_place(ourofs, place):
    (place / 'mapping.edn').write_text('[1\n}')
    refused(ourofs('memory.edn', 'mnt', '-o', 'mapping=mapping.edn'), f'{place}/mapping.edn:2:')
    refused(ourofs('memory.edn', 'mnt', '-o', 'mapping=absent.edn'),
            f'{place}/absent.edn: No such file or directory')
    refused(ourofs('memory.edn', 'mnt', '-o', 'mapping=mnt'), f'{place}/mnt: Is a directory')


# ---- the daemon ----

def test_background(ourofs, place):
    done = ourofs('memory.edn', 'mnt')  # returns: the daemon has let go of these pipes
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    pid = daemon_of(place / 'memory.eav')
    assert os.getsid(pid) == pid
    (place / 'mnt' / 'config.json').write_bytes(SAVED)
    unmount(place)
    assert (place / 'memory.edn').read_text() == '{:config {:a 2}}'


@LOOKS_INSIDE
def test_the_background_keeps_nothing(ourofs, place):
    assert ourofs('memory.edn', 'mnt').returncode == 0
    pid = daemon_of(place / 'memory.eav')
    assert os.readlink(f'/proc/{pid}/cwd') == '/'
    for fd in range(3):
        assert os.readlink(f'/proc/{pid}/fd/{fd}') == '/dev/null'
    unmount(place)


def test_a_missing_memory_is_empty(ourofs, place):
    (place / 'memory.edn').unlink()
    done = ourofs('memory.edn', 'mnt')
    assert done.returncode == 0
    assert done.stderr == f'ourofs: {place}/memory.edn is not there: it is an empty memory, which the first save makes\n'
    assert os.listdir(place / 'mnt') == []
    unmount(place)
    assert ourofs('memory.edn', 'mnt').stderr == ''  # it is known by now
    (place / 'mnt' / 'config.json').write_bytes(SAVED)
    unmount(place)
    assert (place / 'memory.edn').read_text().strip() == '{:config {:a 2}}'
    assert stat.S_IMODE((place / 'memory.edn').stat().st_mode) == 0o600
    assert stat.S_IMODE((place / 'memory.eav').stat().st_mode) == 0o700


@pytest.mark.parametrize('args', [[], ['-s']])
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_it_in_good_order(mount, number, args):
    m = mount(TEXT, 'edn_delay=3600000', args=args)
    (m.mnt / 'config.json').write_bytes(SAVED)
    assert m.edn_text() == TEXT
    m.proc.send_signal(number)
    assert m.wait_exit() == 0
    assert not is_mounted(m.mnt)
    assert m.edn_text() == '{:config {:a 2}}'


CALLER = '''
import os, sys
name, text = sys.argv[1:]
fd = os.open(name, os.O_WRONLY | os.O_TRUNC) if text else -1
left = memoryview(text.replace('LONG', '1,' * 4000000).encode())
while left:
    left = left[os.write(fd, left):]
print('ready', flush=True)
sys.stdin.read()
try:
    os.close(fd) if text else os.mkdir(name)
except OSError as error:
    print(error)
'''


@pytest.mark.skipif(os.getuid() != 0 and not os.path.ismount('/sys/fs/fuse/connections'),
                    reason='fusectl is not mounted, without which only root can end a connection')
def test_a_signal_while_requests_wait_for_one_another(mount):
    """To say that a save made a name stale takes its directory: here one has it who waits for an answer, and gets none."""
    m = mount('{:config {:a 1} :long 1}', 'max_threads=1')
    reader = (m.mnt / 'config.json').open('rb')  # so that the save is of another node
    callers = [subprocess.Popen([sys.executable, '-c', CALLER, name, text], cwd=m.mnt, text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
               for name, text in (('config.json', '{"a": 2}'), ('long.json', '[LONG2]'), ('new', ''))]
    for caller in callers:
        assert caller.stdout.readline() == 'ready\n'
    journal = m.store / 'journal'

    def written():
        return sum(path.stat().st_size for path in journal.iterdir())
    before = written()
    m.proc.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, m.proc.pid, os.WSTOPPED)  # until then a thread may answer
    for caller in callers:
        caller.stdin.close()
        wait_until(lambda caller=caller: waits_for_an_answer(caller), 'the kernel to wait for an answer')
    m.proc.send_signal(signal.SIGCONT)
    wait_until(lambda: written() > before, 'the first save')
    m.proc.send_signal(signal.SIGTERM)  # the second one takes a moment, and the third request comes too late
    assert m.wait_exit() == 0
    assert [caller.wait(BOUND_S) for caller in callers] == [0, 0, 0]
    reader.close()
    assert '{:a 2}' in m.edn_text()


def test_a_last_write_that_fails_is_told_and_kept(mount):
    m = mount(TEXT, 'edn_delay=3600000')
    (m.mnt / 'config.json').write_bytes(SAVED)
    m.edn.unlink()
    m.edn.mkdir()
    m.proc.send_signal(signal.SIGTERM)
    assert m.wait_exit() == 1
    m.expect_stderr(f'^ourofs: {m.edn}: ')
    m.expect_stderr(f'^ourofs: {m.edn} lacks the last changes: they are kept in {m.store}, and ')
    m.check_stderr()
    assert f'kept in {m.store}' in m.stderr()
    m.edn.rmdir()
    m.edn.write_text(TEXT)
    m.mount()
    assert (m.mnt / 'config.json').read_bytes() == SAVED
    m.unmount()
    assert m.edn_text() == '{:config {:a 2}}'


def test_debug_prints_requests(mount):
    m = mount(TEXT, args=['-d'])
    m.expect_stderr('^ourofs: ')
    m.unmount()
    assert 'opcode: INIT' in m.stderr()


# ---- options that the kernel sees ----

@pytest.mark.parametrize('name', ['memory.edn', 'a b.edn', 'a,b\\c.edn', 'ü#\\054.edn'])
def test_the_mount_table_names_the_memory(ourofs, place, name):
    (place / name).write_text(TEXT)
    assert ourofs(name, 'mnt').returncode == 0
    _, kind, source, _ = mount_of(place / 'mnt')
    assert (kind, source) == ('fuse.ourofs', str(place / name))
    unmount(place, name.replace('.edn', '.eav'))


@pytest.mark.parametrize('options, there, absent', [
    ('', 'rw nosuid nodev default_permissions', 'allow_other noexec'),
    ('ro', 'ro default_permissions', 'rw'),
    ('ro,rw', 'rw', 'ro'),
    ('rw,noexec,noatime,sync,dirsync', 'noexec noatime sync dirsync', 'ro'),
    pytest.param('allow_other', 'allow_other', 'ro', marks=pytest.mark.skipif(
        os.getuid() != 0, reason='lets others in, which /etc/fuse.conf leaves to root')),
    ('defaults,user,users,nofail,_netdev,noauto,x-systemd.automount,relatime,user=me,,', 'rw', 'ro'),
])
def test_options_for_the_kernel(ourofs, place, options, there, absent):
    (place / 'memory.eav').mkdir(0o700)
    args = ['-o', options] if options else []
    assert ourofs('memory.edn', 'mnt').returncode == 0  # a store to read
    unmount(place)
    done = ourofs('memory.edn', 'mnt', *args)
    assert (done.returncode, done.stderr) == (0, '')
    of_mount, _, _, of_fs = mount_of(place / 'mnt')
    assert set(there.split()) <= {*of_mount, *of_fs}
    assert not set(absent.split()) & {*of_mount, *(word for word in of_fs if word != 'rw')}
    take_away(place / 'mnt')


@pytest.mark.parametrize('args', [['ourofs#{edn}', '{mnt}'], ['{edn}', '{mnt}', '-t', 'fuse.ourofs']])
def test_fstab(binary, place, args):
    """As mount(8) calls it for a line of fstab."""
    edn, mnt = place / 'memory.edn', place / 'mnt'
    path = f'{binary("ourofs").parent}:{os.environ["PATH"]}:/usr/sbin:/sbin'
    done = subprocess.run(
        ['mount.fuse3', *(arg.format(edn=edn, mnt=mnt) for arg in args),
         '-o', 'rw,nosuid,noauto,x-systemd.requires=y,umask=077'],
        env={**os.environ, 'PATH': path}, text=True, capture_output=True, timeout=BOUND_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    assert mount_of(mnt)[1:3] == ('fuse.ourofs', str(edn))
    unmount(place)


# ---- options that the files show ----

@pytest.mark.skipif(os.getuid() != 0, reason='looks at what is shown as another user\'s, which only root may')
def test_owner_and_umask(mount):
    m = mount(TEXT, 'uid=1234', 'gid=4321', 'umask=0227')
    m.edn.chmod(0o644)
    for path in (m.mnt, m.mnt / 'config.json'):
        st = path.stat()
        assert (st.st_uid, st.st_gid) == (1234, 4321)
        assert stat.S_IMODE(st.st_mode) & 0o227 == 0
    assert stat.S_IMODE((m.mnt / 'config.json').stat().st_mode) & 0o440 == 0o440


@pytest.mark.skipif(os.getuid() != 0, reason='becomes another user, which only root may')
def test_other_users_get_as_far_as_permissions_say(binary, example):
    """And never to what names keys: those may be tokens."""
    base = pathlib.Path(tempfile.mkdtemp(prefix='ourofs-test-', dir='/var/tmp'))
    base.chmod(0o755)
    mnt = base / 'mnt'
    mnt.mkdir()
    (base / 'memory.edn').write_text(example)
    (base / 'memory.edn').chmod(0o644)

    def other(script):
        return subprocess.run(
            ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', 'sh', '-c', script],
            cwd=base, capture_output=True, text=True, timeout=BOUND_S)
    try:
        done = subprocess.run([str(binary('ourofs')), str(base / 'memory.edn'), str(mnt),
                               '-o', 'allow_other'], capture_output=True, timeout=BOUND_S)
        assert (done.returncode, done.stderr) == (0, b'')
        subprocess.run(['sh', '-c', 'echo bad > mnt/plots.json'], cwd=base, timeout=BOUND_S)
        (mnt / 'config.json').chmod(0o600)
        (mnt / 'drawer').mkdir(mode=0o700)
        (mnt / 'drawer' / 'a.json').write_text('1')
        for path in ('plots.json', '.mode', '.metrics', '.sync', '.help'):
            assert other(f'cat mnt/{path}').returncode == 0, path
        for command in ('cat mnt/config.json', 'cat mnt/drawer/a.json', 'cat mnt/.errors',
                        'cat mnt/.health', 'cat mnt/.events',
                        'ls mnt/.rejected', 'cat mnt/.rejected/plots.json.why', 'ls mnt/.conflicts',
                        'echo edn-only > mnt/.mode', 'echo > mnt/.sync', 'echo 1 > mnt/plots.json',
                        'rm -f mnt/plots.json', 'mkdir mnt/new', 'touch mnt/new.json',
                        'mv mnt/plots.json mnt/p.json', 'chmod 666 mnt/config.json'):
            done = other(command)
            assert done.returncode != 0, command
            assert re.search('Permission denied|Operation not permitted|cannot create', done.stderr)
        (mnt / 'drawer').chmod(0o755)
        assert other('cat mnt/drawer/a.json').stdout == '1'
        assert (mnt / '.mode').read_text() == 'datalevin-first\n'
    finally:
        pid = daemon_of(base / 'memory.eav')
        subprocess.run(['fusermount3', '-u', '-z', str(mnt)], check=True, timeout=BOUND_S)
        end_of(pid)
        shutil.rmtree(base)


def test_control_files_take_the_umask(mount):
    m = mount(TEXT, 'umask=0077')
    for name in ('.mode', '.health', '.errors'):
        assert stat.S_IMODE((m.mnt / name).stat().st_mode) & 0o077 == 0


def test_owner_is_who_mounts(mount):
    st = (mount(TEXT).mnt / 'config.json').stat()
    assert (st.st_uid, st.st_gid) == (os.getuid(), os.getgid())


def test_read_only(mount):
    m = mount(TEXT)
    m.remount('ro')
    with pytest.raises(OSError, match='Read-only file system'):
        (m.mnt / 'config.json').write_bytes(SAVED)
    assert m.edn_text() == TEXT


def test_read_only_switches_no_mode(ourofs, place):
    assert ourofs('memory.edn', 'mnt').returncode == 0
    unmount(place)
    refused(ourofs('memory.edn', 'mnt', '-o', 'ro,mode=edn-only'),
            "the mode is datalevin-first, and a read-only mount can't switch it to edn-only")
    assert not is_mounted(place / 'mnt')
    assert ourofs('memory.edn', 'mnt', '-o', 'ro,mode=datalevin-first').returncode == 0
    for name in ('.mode', '.sync', 'config.json', 'scratch'):
        with pytest.raises(OSError, match='Read-only file system'):
            (place / 'mnt' / name).write_bytes(SAVED)
    assert (place / 'mnt' / '.mode').read_text() == 'datalevin-first\n'
    assert (place / 'mnt' / '.health').read_text()
    unmount(place)


def test_doc_max(mount):
    m = mount(TEXT, 'doc_max=1K')
    (m.mnt / 'a.json').write_text('"' + 'x' * 1000 + '"')
    with pytest.raises(OSError):
        (m.mnt / 'b.json').write_text('"' + 'x' * 1100 + '"')
    m.sync()
    assert ':b ' not in m.edn_text()


def test_scratch_max(mount):
    m = mount(TEXT, 'scratch_max=64K')
    (m.mnt / 'small.txt').write_bytes(b'x' * 30000)
    with pytest.raises(OSError, match='No space left'):
        (m.mnt / 'large.txt').write_bytes(b'x' * 100000)


def test_control_files_are_listed_on_request(mount):
    assert '.health' not in os.listdir(mount(TEXT).mnt)
    assert '.health' in os.listdir(mount(TEXT, 'control=listed').mnt)


def test_edn_delay(mount):
    m = mount(TEXT, 'edn_delay=0')
    (m.mnt / 'config.json').write_bytes(SAVED)
    wait_until(lambda: m.edn_text() == '{:config {:a 2}}', 'the rewrite of memory.edn')


def test_store_and_escapes(ourofs, place):
    assert ourofs('memory.edn', 'mnt', '-ostore=a\\,b\\\\c\\040d').returncode == 0
    unmount(place, 'a,b\\c d')
    assert not (place / 'memory.eav').exists()


def test_mapping(mount, disk):
    (disk / 'mapping.edn').write_text('{}')
    m = mount(TEXT, f'mapping={disk}/mapping.edn')
    assert (m.mnt / 'config.json').exists()


def test_letters_may_be_joined(ourofs, place):
    done = ourofs('-so', 'mode=edn-only,force', '-o', 'max_threads=3,max_idle_threads=2,clone_fd',
                  'memory.edn', 'mnt')
    assert (done.returncode, done.stderr) == (0, '')
    assert (place / 'mnt' / '.mode').read_text() == 'edn-only\n'
    unmount(place)
