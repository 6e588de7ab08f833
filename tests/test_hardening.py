# SPDX-License-Identifier: MIT
"""What a mount keeps from other users, and what the daemon can't do even where it wants to."""
import ctypes
import errno
import json
import os
import pathlib
import shutil
import signal
import stat
import statistics
import subprocess

import pytest

from conftest import is_mounted, wait_until
from namespace import NOBODY, good, inside, installed, place  # noqa: F401 (fixtures)
from outside import health, read, saved, soon

SYS_LANDLOCK_CREATE_RULESET = 444  # on every architecture


def landlock_version():
    """0: this kernel has none, or keeps it from us."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(libc.syscall(SYS_LANDLOCK_CREATE_RULESET, None, 0, 1), 0)


LANDLOCK = landlock_version()
needs_landlock = pytest.mark.skipif(LANDLOCK < 2, reason=f'Landlock is too old here, or missing: version {LANDLOCK}')


def bits(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


# ---- permission bits that give a user's power to another ----

SETID = stat.S_ISUID | stat.S_ISGID


def assert_no_setid(top):
    seen = [top, *(os.path.join(where, name) for where, below, files in os.walk(top) for name in below + files)]
    assert not [path for path in seen if bits(path) & SETID]
    return len(seen)


def test_no_file_is_setuid(mount):
    """Neither as it is shown nor as it lies on the disk, by whatever way it comes."""
    m = mount('{:config 1 :presence/s {"u" 1}}')
    before = os.umask(0)
    try:
        for name in ('made', 'new.json'):
            os.close(os.open(m.mnt / name, os.O_CREAT | os.O_WRONLY, 0o6755))
        os.mkdir(m.mnt / 'dir', 0o6755)
        os.mkdir(m.mnt / 'dir/.below', 0o6755)
    finally:
        os.umask(before)
    for name in ('made', 'new.json', 'config.json', 'presence/s', 'presence/s/u.json', 'dir'):
        (m.mnt / name).chmod(0o6755)
        assert bits(m.mnt / name) == 0o755, name
    os.rename(m.mnt / 'config.json', m.mnt / 'config.bak')
    (m.mnt / 'made').write_text('2')
    os.rename(m.mnt / 'made', m.mnt / 'made.json')
    (m.mnt / 'made.json').chmod(0o6711)
    m.sync()
    assert assert_no_setid(m.mnt) >= 8
    # what an older version, or its owner by hand, has left there
    (m.store / 'scratch/config.bak').chmod(0o4755)
    m.remount()
    assert assert_no_setid(m.mnt) >= 8
    (m.mnt / 'config.bak').chmod(0o755)
    assert assert_no_setid(m.store) > 8


# ---- modes in the state directory ----

@pytest.mark.parametrize('umask', [0, 0o077])
def test_modes_of_the_store(mount, umask):
    """Nothing is for others, whatever umask the daemon was started with."""
    m = mount.prepare('{:config {:a 1} :b 1}', ('edn_delay=1',))
    m.edn.chmod(0o640)
    before = os.umask(umask)
    try:
        m.mount()
    finally:
        os.umask(before)
    (m.mnt / 'config.json').write_text('{"a": 2}')
    (m.mnt / 'swap').write_text('x')
    (m.mnt / 'swap').chmod(0o644)
    (m.mnt / 'empty.json').touch()
    (m.mnt / 'empty.json').chmod(0o640)
    with pytest.raises(OSError):
        (m.mnt / 'b.json').write_text('{')
    m.edn.write_text('{:config {:a 3} :b 1}')
    soon(lambda: (m.mnt / '.conflicts/config.json').exists(), 'the conflict')
    soon(lambda: ':a 2' in m.edn_text(), 'what stands to be put back')
    m.edn.write_text('{:config')
    soon(lambda: list(m.base.glob('memory.edn.bad-*')), 'the broken file to be set aside')
    m.sync()
    assert bits(m.edn) == 0o640
    assert [bits(path) for path in m.base.glob('memory.edn.bad-*')] == [0o640]
    m.unmount()
    shown = {'scratch/swap': 0o644, 'scratch/empty.json': 0o640}
    seen = {os.path.relpath(os.path.join(where, name), m.store): bits(os.path.join(where, name))
            for where, below, files in os.walk(m.store) for name in below + files}
    assert bits(m.store) == 0o700
    assert {'data.mdb', 'lock', 'journal', 'rejected/b.json.why', 'conflicts/config.json', *shown} <= set(seen)
    for name, mode in seen.items():
        assert mode == shown.get(name, 0o700 if (m.store / name).is_dir() else 0o600), name


@pytest.mark.parametrize('mode', [0o600, 0o640, 0o644])
def test_memory_edn_keeps_its_mode(mount, mode):
    m = mount.prepare('{:a 1}', ('edn_delay=1',))
    m.edn.chmod(mode)
    m.mount()
    (m.mnt / 'a.json').write_text('2')
    m.sync()
    assert (m.edn_text(), bits(m.edn), bits(m.mnt / 'a.json')) == ('{:a 2}', mode, mode)


def test_a_store_made_by_hand_becomes_its_owners_alone(mount):
    m = mount.prepare('{:a 1}')
    m.store.mkdir()
    m.store.chmod(0o755)
    m.mount()
    assert bits(m.store) == 0o700
    m.store.chmod(0o775)
    m.remount()
    assert bits(m.store) == 0o700


def test_a_directory_with_other_things_in_it_keeps_its_mode(mount):
    m = mount.prepare('{:a 1}')
    m.store.mkdir()
    (m.store / 'thesis.tex').write_text('')
    m.store.chmod(0o755)
    m.mount()
    assert bits(m.store) == 0o755
    m.unmount()
    assert [name for name in os.listdir(m.store) if bits(m.store / name) & 0o077] == ['thesis.tex']


# ---- what others put in the way ----

@pytest.mark.parametrize('what', ['link', 'pipe'])
@pytest.mark.parametrize('name', ['lock', 'data.mdb', 'lock.mdb', 'data.mdb.closed', 'saved', 'saved/data.mdb',
                                  'saved/lock.mdb', 'journal', 'journal/*', 'scratch', 'staging', 'rejected'])
def test_planted_in_the_store(mount, name, what):
    """It is not written through, and nobody waits for a pipe's other end."""
    m = mount('{:a 1}', 'edn_delay=60000')
    (m.mnt / 'a.json').write_text('2')
    if name.startswith('journal'):
        m.kill()
    else:
        m.unmount()
    path = next(m.store.glob(name))
    victim = m.base / 'victim'
    if path.is_dir():
        shutil.copytree(path, victim)
        shutil.rmtree(path)
    else:
        path.rename(victim)
    (path.symlink_to(victim) if what == 'link' else os.mkfifo(path))

    def look():
        tops = [victim, *victim.rglob('*')]
        return {str(top): (os.lstat(top).st_mtime_ns, top.is_dir() or top.read_bytes()) for top in tops}
    before = look()
    m.expect_stderr('.')
    m.spawn()

    def settled():
        return m.proc.poll() is not None or os.path.ismount(m.mnt)
    wait_until(settled, 'a mount or its refusal')
    if m.proc.poll() is None:  # it could do without
        assert (m.mnt / 'a.json').read_text() == '2'
        (m.mnt / 'a.json').write_text('3')
        m.sync()
        m.unmount()
    else:
        assert m.proc.returncode == 1
        m.proc = None
    assert look() == before


def test_memory_edn_becomes_a_link(mount):
    """Whoever may write to its directory does not lead the daemon to what they may not read or write."""
    m = mount('{:a 1 :b 1}', 'edn_delay=1')
    secret = m.base / 'secret'
    secret.write_text('{:a 1 :stolen 1}')
    kept = m.base / 'kept'
    m.edn.rename(kept)
    m.edn.symlink_to(secret)
    (m.mnt / 'a.json').write_text('2')
    soon(lambda: health(m)['status'] == 'degraded', 'memory.edn to fail')
    assert 'symbolic link' in ' '.join(health(m)['reasons'])
    assert read(m.mnt / 'stolen.json') is None and read(m.mnt / 'a.json') == '2'
    assert secret.read_text() == '{:a 1 :stolen 1}' and m.edn.is_symlink()
    kept.rename(m.edn)
    soon(lambda: health(m)['status'] == 'healthy', 'it to be well again')
    m.sync()
    assert saved(m) == {'a': ('int', 2), 'b': ('int', 1)}


# ---- a state directory that someone else has put there ----

def plant_directory(path):
    path.mkdir(mode=0o777)
    os.chown(path, NOBODY, NOBODY)


def plant_link(path):
    """To what is root's own."""
    (path.parent / 'private').mkdir(mode=0o700)
    path.symlink_to(path.parent / 'private')
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@pytest.mark.skipif(os.getuid() != 0, reason='gives files to another user, which only root may')
@pytest.mark.parametrize('plant', [plant_directory, plant_link])
def test_a_planted_store_is_refused(mount, plant):
    """Who may make files beside memory.edn, as in /tmp, does not get what is saved."""
    m = mount.prepare('{:a 1}')
    m.base.chmod(0o1777)
    m.command = lambda: [str(m.program), '-f', str(m.edn), str(m.mnt)]
    store = m.base / 'memory.eav'
    plant(store)
    m.spawn()
    assert m.wait_exit() == 1
    m.proc = None
    m.expect_stderr(f'^ourofs: {store}: the store belongs to another user$')
    m.check_stderr()
    assert m.stderr() and os.listdir(store) == []
    # whose the directory is may have it so in any case
    os.chown(m.base, NOBODY, NOBODY)
    m.mount()
    assert 'lock' in os.listdir(store)


# ---- what the daemon took from itself ----

def status(pid, word):
    lines = pathlib.Path(f'/proc/{pid}/status').read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f'{word}:'))


def children_of(pid):
    return pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split()


def has_ended(pid):
    """It may be a zombie that nobody has waited for yet."""
    return not os.path.exists(f'/proc/{pid}/exe')


def guardian_of(pid):
    (child,) = children_of(pid)
    assert status(child, 'Name') == 'ourofs-guardian'
    return int(child)


@pytest.mark.parametrize('options', [(), ('ro',), ('clone_fd',)])
def test_no_new_privileges(mount, options):
    """No thread of it gains any by what it executes; the guardian, which executes fusermount3, does."""
    m = mount('{:a 1}')
    m.remount(*options)
    assert (m.mnt / 'a.json').read_text() == '1\n'
    tasks = os.listdir(f'/proc/{m.proc.pid}/task')
    assert len(tasks) > 1 and {status(task, 'NoNewPrivs') for task in tasks} == {'1'}
    assert status(guardian_of(m.proc.pid), 'NoNewPrivs') == '0'


# Where the kernel's Landlock is older it can't be forbidden.
SINCE = {'cut-outside': 3, 'connect': 4}


@needs_landlock
@pytest.mark.preload
def test_what_a_confined_daemon_can_do(mount, binary, tmp_path):
    m = mount.prepare('{:a 1}')
    outside = tmp_path / 'outside'
    outside.mkdir()
    (outside / 'secret').write_text('secret')
    report = m.base / 'report'
    m.env = {**os.environ, 'LD_PRELOAD': str(binary('captive.so')), 'OUROFS_CAPTIVE': str(report),
             'OUROFS_CAPTIVE_IN': str(m.store), 'OUROFS_CAPTIVE_OUT': str(outside)}
    m.mount()
    (m.mnt / 'a.json').write_text('2')
    m.sync()
    libc = ctypes.CDLL(None)

    def lines_of(task):
        return [line.split()[1:] for line in report.read_text().splitlines() if line.split()[0] == task]
    tasks = pathlib.Path(f'/proc/{m.proc.pid}/task')
    tried = 0
    for task in os.listdir(tasks):
        libc.tgkill(m.proc.pid, int(task), signal.SIGUSR2)
        wait_until(lambda task=task: ['execute', str(errno.EACCES)] in lines_of(task) or not (tasks / task).exists(),
                   'all attempts')
        if ['execute', str(errno.EACCES)] not in lines_of(task):
            continue  # a thread that ended meanwhile
        tried += 1
        codes = {name: int(code) for name, code in lines_of(task)}
        assert len(codes) == 19 and codes.pop('read-inside') == 0
        forbidden = {name: code for name, code in codes.items() if LANDLOCK >= SINCE.get(name, 0)}
        assert set(forbidden.values()) <= {errno.EACCES, errno.EPERM, errno.EXDEV}, forbidden
    assert tried > 2 and lines_of(str(m.proc.pid))
    assert os.listdir(outside) == ['secret'] and (LANDLOCK < 3 or (outside / 'secret').read_text() == 'secret')
    assert not [path for path in m.store.rglob('*') if not path.is_dir() and not path.is_file()]
    (m.mnt / 'a.json').write_text('3')
    m.unmount()
    assert m.edn_text() == '{:a 3}'


@needs_landlock
def test_another_directory_in_the_place_of_memory_edns(mount):
    """It is the directory that is meant, not its name: what comes in its place is out of reach, and said to be."""
    m = mount.prepare(None, ('edn_delay=1',))
    m.edn = m.base / 'here' / 'memory.edn'
    m.edn.parent.mkdir()
    m.edn.write_text('{:a 1}')
    m.mount()
    other = m.base / 'other'
    other.mkdir()
    (other / 'memory.edn').write_text('{:a 1 :stolen 1}')
    m.edn.parent.rename(m.base / 'gone')
    m.edn.parent.symlink_to(other)
    (m.mnt / 'a.json').write_text('2')
    soon(lambda: 'Permission denied' in ' '.join(health(m)['reasons']), 'memory.edn to fail')
    assert read(m.mnt / 'stolen.json') is None and read(m.mnt / 'a.json') == '2'
    assert os.listdir(other) == ['memory.edn'] and (other / 'memory.edn').read_text() == '{:a 1 :stolen 1}'
    m.edn.parent.unlink()
    (m.base / 'gone').rename(m.edn.parent)
    soon(lambda: health(m)['status'] == 'healthy', 'it to be well again')
    m.sync()
    assert m.edn_text() == '{:a 2}'


def test_a_daemon_whose_guardian_was_killed(mount):
    """It serves on, and says of the end what is left to do."""
    m = mount('{:a 1}')
    os.kill(guardian_of(m.proc.pid), signal.SIGKILL)
    (m.mnt / 'a.json').write_text('2')
    m.proc.send_signal(signal.SIGTERM)
    assert m.wait_exit() == 1
    m.proc = None
    m.expect_stderr(f'^ourofs: {m.mnt}: .*fusermount3 -u -z')
    m.check_stderr()
    assert m.stderr() and is_mounted(m.mnt) and m.edn_text() == '{:a 2}'


@pytest.mark.parametrize('options', [(), ('auto_unmount',)])
def test_a_guardian_that_comes_late(mount, options):
    """It leaves the next mount alone: aborts it not, and waits for no answer of it."""
    m = mount('{:a 1}', *options)
    guardian = guardian_of(m.proc.pid)
    helpers = children_of(guardian)  # the fusermount3 of auto_unmount, which does look at what is mounted
    os.kill(guardian, signal.SIGSTOP)
    m.kill()
    m.mount()
    m.proc.send_signal(signal.SIGSTOP)
    try:
        os.kill(guardian, signal.SIGCONT)
        wait_until(lambda: has_ended(guardian), 'its end')
    finally:
        m.proc.send_signal(signal.SIGCONT)
    wait_until(lambda: all(has_ended(pid) for pid in helpers), 'the end of fusermount3')
    assert (m.mnt / 'a.json').read_text() == '1\n'
    m.unmount()


# ---- the end of a mount, which a confined daemon can't bring about itself ----

# Waits for all processes of the mount, the guardian included, and for a mount that goes by itself.
LAST = '''
pid=$(cat memory.eav/lock); guardian=$(pgrep -P $pid)
gone() { while [ -e /proc/$1/exe ]; do :; done; } # or a zombie that nobody has waited for yet
mounted() { grep -q " $PWD/mnt " /proc/self/mountinfo; }
'''
ENDS = {
    'a signal': 'kill $pid; gone $pid; gone $guardian; ! mounted',
    'a signal to the group': 'kill $guardian $pid; gone $pid; gone $guardian; ! mounted',
    'fusermount3': 'as_user fusermount3 -u mnt; gone $pid; gone $guardian',
    'ourofsctl': 'as_user ourofsctl unmount mnt; ! [ -e /proc/$guardian/exe ]',
    'a signal while it is in use': '''
        mkfifo go; as_user sh -c 'exec 5<mnt/config.json; echo > opened; cat go' &
        while ! [ -s opened ]; do :; done
        kill $pid; gone $pid; gone $guardian; ! mounted; echo > go; wait''',
    'SIGKILL': '''
        kill -9 $pid; gone $pid; gone $guardian
        ! as_user cat mnt/config.json 2>/dev/null
        mounted
        as_user fusermount3 -u -z mnt''',
    'auto_unmount': 'kill -9 $pid; gone $pid; gone $guardian; while mounted; do :; done',
}


@pytest.mark.skipif(os.getuid() != 0, reason='becomes another user, which only root may')
@pytest.mark.parametrize('user, options', [('root', 'rw'), ('nobody', 'rw'), ('nobody', 'allow_other')])
@pytest.mark.parametrize('end', ENDS)
def test_ends_of_a_mount(inside, place, user, options, end):  # noqa: F811
    """The daemon saves all it has, nobody hangs, and no process stays behind."""
    if end == 'auto_unmount' and (user, options) == ('nobody', 'rw'):
        pytest.skip('fusermount3 does not do it where it may not look, as root may not here')
    options = f'{options},edn_delay=3600000' + (',auto_unmount' if end == 'auto_unmount' else '')
    if user == 'nobody':
        for path in (place, place / 'memory.edn', place / 'mnt'):
            os.chown(path, NOBODY, NOBODY)
    good(inside(f'''
        mknod -m 666 fuse c 10 229 && mount --bind fuse /dev/fuse
        echo user_allow_other > conf && mount --bind conf /etc/fuse.conf
        as_user() {{ {'as_nobody' if user == 'nobody' else ''} "$@"; }}
        as_user ourofs -o {options} memory.edn mnt
        {LAST}
        as_user sh -c \'echo "{{\\"a\\": 2}}" > mnt/config.json\'
        {ENDS[end]}
        ended
        as_user ourofs memory.edn mnt
        as_user grep -q 2 mnt/config.json
        as_user fusermount3 -u mnt; ended'''))
    assert (place / 'memory.edn').read_text() == '{:config {:a 2}}'
    assert (place / 'memory.edn').stat().st_uid == (NOBODY if user == 'nobody' else 0)


# ---- what the compiler and the linker add ----

@pytest.fixture(scope='session')
def hardened(build_dir):
    """What meson was told; a sanitizer has ways of its own."""
    rows = json.loads((build_dir / 'meson-info/intro-buildoptions.json').read_text())
    options = {row['name']: row['value'] for row in rows}
    if options['b_sanitize'] != 'none':
        pytest.skip('built with a sanitizer')
    return options


@pytest.mark.skipif(not shutil.which('readelf'), reason='readelf is not installed')
@pytest.mark.parametrize('name', ['ourofs', 'ourofsctl'])
def test_programs_are_hardened(binary, hardened, name):
    def readelf(what, path=binary(name)):
        return subprocess.run(['readelf', '-W', what, str(path)], check=True, capture_output=True, text=True).stdout
    headers, dynamic, symbols = readelf('-l'), readelf('-d'), readelf('--dyn-syms')
    assert 'PIE' in dynamic and 'BIND_NOW' in dynamic and 'TEXTREL' not in dynamic
    assert 'GNU_RELRO' in headers and '__stack_chk_fail' in symbols
    (stack,) = (line for line in headers.splitlines() if 'GNU_STACK' in line)
    assert stack.split()[-2] == 'RW'
    assert ' LOAD ' in headers and ' RWE ' not in headers
    if hardened['optimization'] not in ('0', 'g'):
        assert '__snprintf_chk' in symbols
    if os.uname().machine == 'x86_64':  # of a program the C library's own start has a say, so look at what is ours
        objects = list(binary(name).parent.glob(f'{name}.p/*.o'))
        assert objects and all('IBT' in readelf('-n', path) for path in objects)


@pytest.mark.preload  # a sanitizer has faults of its own
def test_the_confined_daemon_knows_what_is_mapped(mount):
    """Pages of the stores are given back where they are many, not at each list of a directory."""
    def faults():
        return int((pathlib.Path('/proc') / str(m.proc.pid) / 'stat').read_text().rsplit(')', 1)[1].split()[7])

    m = mount('{}')
    path = m.mnt / 'config.json'
    path.write_text('{"a": 1}')
    m.sync()
    rounds = 200

    def look():
        before = faults()
        for _ in range(rounds):
            os.listdir(m.mnt)
            assert os.getxattr(path, 'user.ourofs.key') == b':config'
        return faults() - before
    # the kernel takes pages away itself now and then
    assert statistics.median(look() for _ in range(9)) < rounds
