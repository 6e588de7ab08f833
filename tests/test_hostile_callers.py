# SPDX-License-Identifier: MIT
"""Callers that take too much, and files that were laid where the daemon writes: nothing is harmed, nobody else notices.

Names, depths, sizes and contents are in test_hostile.py, documents that take much in test_bombs.py, control files and
far offsets in test_posix.py.
"""
import contextlib
import errno
import json
import os
import re
import resource
import stat
import subprocess

import pytest

from conftest import wait_until
from test_bombs import height_kb
from test_hostile import errno_of, save

MEMORY = '{:config {:v 1}, :presence/s1 {"alice" {:n 1}}}'
PATH_MAX = 4096


# ---- paths ----

def long_path(length, end):
    """Of so many bytes, with names of at most 200."""
    names = []
    while length > 400:
        names.append('d' * 199)
        length -= 200
    return '/'.join([*names, 'n' * (length - len(end)) + end]) if length <= 255 else \
        '/'.join([*names, 'd' * (length - 201), 'n' * (200 - len(end)) + end])


@pytest.mark.parametrize('end', ['.json', '.txt'])
def test_the_longest_path(mount, end):
    """4,095 bytes from the mount's root: as long as the kernel takes one, and longer than any path to the store."""
    m = mount(MEMORY)
    path = long_path(PATH_MAX - 1, end)
    top = path.split('/')[0]
    before = os.getcwd()
    os.chdir(m.mnt)
    try:
        os.makedirs(os.path.dirname(path))
        save(path, b'[1, 2]')
        assert len(path) == 4095
        with open(path, 'rb') as file:
            assert file.read() == b'[1, 2]'
        assert errno_of(os.stat, path + 'x') == 'ENAMETOOLONG'
        os.rename(path, 'short.tmp')
        os.rename('short.tmp', path)
        os.rename(top, 'e' * 199)
        os.rename('e' * 199, top)
        assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
        os.chdir(before)
        m.remount()
        os.chdir(m.mnt)
        with open(path, 'rb') as file:
            assert file.read() == b'[1, 2]'
        save(path, b'[3]')
        if end == '.json':
            assert errno_of(save, path, b'[') in ('EBADMSG', None)
            assert os.getxattr(path, 'user.ourofs.key') == b':' + os.fsencode(path.removesuffix(end))
        os.unlink(path)
        os.removedirs(os.path.dirname(path))
        assert sorted(os.listdir()) == ['config.json', 'presence']
    finally:
        os.chdir(before)


# ---- keys ----

KEYS = ['..', '.', '../../etc/passwd', '/', '//', 'a//b', '.mode', '.health', '.git/config', 'a\\u0000b', '\\u0000', 'a\\nb',
        '\x1b[31mred', '\x1b]0;title\x07', '\x9b31m', '\u202egpj', 'CON', '-rf', '~', '$(id)', '`id`', ' ', '%2F', '%00', '%~']


def seeded():
    members = ' '.join(f'"{key}" {i}' for i, key in enumerate(KEYS))
    return '{%s :presence/s {%s}}' % (' '.join(f'"{key}" {100 + i}' for i, key in enumerate(KEYS)), members)


def assert_harmless(top):
    """Every name below is one that can do nothing; returns the numbers in the files."""
    found = []
    for where, folders, files in os.walk(top):
        for name in folders + files:
            assert not re.search(r'[\x00-\x1f\x7f/]', name) and not name.startswith('.') and len(os.fsencode(name)) <= 255
        for name in files:
            with open(os.path.join(where, name), encoding='utf-8') as file:
                found.append(json.load(file))
    return sorted(found)


def test_keys_of_both_stores(mount, binary):
    """Keys that would be the parent, a control file, a terminal's escape, wherever they come from."""
    m = mount(seeded())
    numbers = sorted([*range(len(KEYS)), *range(100, 100 + len(KEYS))])
    (m.mnt / '.migrate').write_text('all')
    wait_until(lambda: json.loads((m.mnt / '.migrate').read_text())['state'] == 'done', 'the migration')
    for top in (m.mnt, m.mnt / '.store/edn', m.mnt / '.store/datalevin'):
        assert assert_harmless(top) == numbers, top
    (m.mnt / '.mode').write_text('datalevin-only')
    m.edn.write_text('{}')
    m.remount()
    assert assert_harmless(m.mnt) == numbers
    for where, _, files in os.walk(m.mnt):
        for name in files:
            path = os.path.join(where, name)
            assert errno_of(save, path, b'nonsense \x1b[31m') in ('EBADMSG', None)
    control = (m.mnt / '.errors').read_bytes() + (m.mnt / '.events').read_bytes() + (m.mnt / '.health').read_bytes()
    done = subprocess.run([binary('ourofsctl'), 'status', m.mnt], capture_output=True, check=True)
    for said in (control, done.stdout + done.stderr):
        assert not re.search(rb'[\x00-\x08\x0b-\x1f\x7f]', said), re.search(rb'.{40}[\x00-\x08\x0b-\x1f\x7f].{40}', said)
    assert assert_harmless(m.mnt) == numbers
    assert (m.mnt / '.mode').read_text() == 'datalevin-only\n'
    assert sorted(os.listdir(m.base)) == ['memory.edn', 'mnt', 'stderr', 'store']


# ---- links ----

@pytest.mark.parametrize('what', ['link', 'dangling', 'pipe', 'directory'])
def test_planted_at_memory_edns_temporary(mount, what):
    """Leftovers of a rewrite are looked for by their name: nothing is written or removed through one that is none."""
    m = mount.prepare(MEMORY, ('edn_delay=1',))
    victim = m.base / 'victim'
    victim.write_text('precious')
    planted = [m.base / f'.memory.edn.ourofs-{"abcdef"[i:] + "ABCDEF"[:i]}' for i in range(6)]
    for path in planted:
        if what == 'pipe':
            os.mkfifo(path)
        elif what == 'directory':
            path.mkdir()
            (path / 'inside').write_text('precious')
        else:
            path.symlink_to(victim if what == 'link' else m.base / 'nowhere')
    m.mount()
    (m.mnt / 'config.json').write_text('{"v": 2}')
    m.sync()
    assert ':config {:v 2}' in m.edn_text() and not m.edn.is_symlink()
    assert victim.read_text() == 'precious' and not (m.base / 'nowhere').exists()
    assert what != 'directory' or (planted[0] / 'inside').read_text() == 'precious'


# ---- memory ----

@pytest.mark.busy
def test_writers_take_no_more_than_their_room(mount):
    """What is being written is in memory: many who write a byte far out can't take all of it."""
    m = mount('{:a 1}')
    fds = [os.open(m.mnt / f'far-{i}.json', os.O_WRONLY | os.O_CREAT) for i in range(16)]
    outcomes = []
    for fd in fds:
        try:
            outcomes.append(os.pwrite(fd, b'1', 30 << 20))
        except OSError as error:
            outcomes.append(error.errno)
    assert outcomes[0] == 1 and outcomes[-1] == errno.ENOSPC and set(outcomes) == {1, errno.ENOSPC}
    assert height_kb(m.proc.pid) < 512 << 10
    for fd in fds:
        os.ftruncate(fd, 0)
        os.close(fd)
    (m.mnt / 'a.json').write_bytes(b'"%s"' % (b'x' * (20 << 20)))  # there is room again
    m.unmount()
    assert m.edn_text().startswith('{:a "xx')


# ---- too many ----

@contextlib.contextmanager
def descriptors(count):
    """So many may be open here and in what is started meanwhile, which may allow itself more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f'no more than {hard} files may be open')
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_five_thousand_handles(mount):
    """Documents, scratch files and directories: each opened one serves, and what comes next still can be opened."""
    with descriptors(1024):  # as most sessions have it
        m = mount(MEMORY)
    paths = [m.mnt / 'config.json', m.mnt / 'presence/s1/alice.json', m.mnt / 'notes.txt', m.mnt / 'presence']
    paths[2].write_text('scratch')
    with descriptors(5100):
        fds = []
        try:
            for i in range(5000):
                fds.append(os.open(paths[i % 4], os.O_RDONLY if i % 8 else os.O_RDWR))
            for i, fd in enumerate(fds):
                assert os.listdir(fd) if i % 4 == 3 else os.pread(fd, 100, 0)
            (m.mnt / 'config.json').write_text('{"v": 2}')
            (m.mnt / 'new.tmp').write_text('x')
            m.sync()
        finally:
            for fd in fds:
                os.close(fd)
    assert json.loads((m.mnt / 'config.json').read_text()) == {'v': 2}


def test_handles_up_to_the_limit(mount):
    """Who holds all the files that the daemon may open is refused more, and keeps nobody from saving."""
    m = mount(MEMORY, 'edn_delay=1')
    (m.mnt / 'notes.txt').write_text('scratch')
    subprocess.run(['prlimit', '--pid', str(m.proc.pid), '--nofile=300:300'], check=True)
    fds = []
    with pytest.raises(OSError) as error:
        while len(fds) < 300:
            fds.append(os.open(m.mnt / 'notes.txt', os.O_RDONLY))
    assert error.value.errno == errno.ENFILE and len(fds) > 100
    assert errno_of(save, m.mnt / 'more.txt', b'x') == 'ENFILE' and not (m.mnt / 'more.txt').exists()
    (m.mnt / 'config.json').write_text('{"v": 2}')
    (m.mnt / 'presence/s1/alice.json').rename(m.mnt / 'presence/s1/bob.json')
    m.edn.write_text(m.edn_text().replace('{', '{:theirs 1, ', 1))
    wait_until((m.mnt / 'theirs.json').exists, 'the other writer to be merged')
    m.sync()
    assert ':config {:v 2}' in m.edn_text() and json.loads((m.mnt / '.health').read_text())['status'] == 'healthy'
    for fd in fds:
        os.close(fd)
    wait_until(lambda: errno_of(save, m.mnt / 'more.txt', b'x') is None, 'the files to be closed')


def test_thousands_of_scratch_files(mount):
    m = mount(MEMORY)
    folder = m.mnt / 'many.tmp'
    folder.mkdir()
    for i in range(3000):
        os.close(os.open(folder / f'f{i}', os.O_CREAT | os.O_WRONLY))
    assert len(os.listdir(folder)) == 3000
    m.remount()
    assert sum(entry.stat().st_size == 0 for entry in os.scandir(folder)) == 3000
    for i in range(3000):
        os.unlink(folder / f'f{i}')
    folder.rmdir()
    assert sorted(os.listdir(m.mnt)) == ['config.json', 'presence']


# ---- other users ----

@pytest.mark.skipif(os.getuid() != 0, reason='makes devices, which only root may')
def test_no_devices(mount):
    m = mount(MEMORY)
    for where in ('', 'presence/s1/', '.dot/'):
        if where == '.dot/':
            (m.mnt / '.dot').mkdir()
        for kind in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK):
            for name in ('dev', 'dev.json'):
                assert errno_of(os.mknod, m.mnt / (where + name), kind | 0o666, os.makedev(1, 3)) == 'EPERM'
                assert not (m.mnt / (where + name)).exists()
    # one that was laid into the store by hand is not shown
    os.mknod(m.store / 'scratch/null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert 'null' not in os.listdir(m.mnt)
    assert errno_of(os.open, m.mnt / 'null', os.O_RDONLY) == 'ENOENT'


# What another user tries in the directory that it stands in, and how each ends.
OTHER = r'''
import errno, os, sys
def tried(call, *args, **more):
    try:
        got = call(*args, **more)
    except OSError as error:
        return errno.errorcode[error.errno]
    if type(got) is int:
        os.close(got)
    return 'ok'
def truncate(path):
    os.truncate(path, os.stat(path).st_size)
for folder in sorted(os.listdir('.')):
    print(folder, 'list', tried(os.listdir, folder), 'create', tried(os.open, folder + '/made' + sys.argv[1], os.O_CREAT | os.O_RDONLY),
          'mkdir', tried(os.mkdir, folder + '/below'))
    for bits in sys.argv[2:]:
        path = folder + '/f' + bits + sys.argv[1]
        print(path, [tried(*call) for call in (
            (os.stat, path), (os.open, path, os.O_RDONLY), (os.open, path, os.O_RDWR), (os.open, path, os.O_WRONLY),
            (truncate, path), (os.chmod, path, 0o777), (os.chown, path, 65534, 65534), (os.utime, path),
            (os.utime, path, (1, 1)), (os.getxattr, path, 'user.ourofs.no'),
            (os.rename, path, folder + '/g' + bits + sys.argv[1]), (os.rename, folder + '/g' + bits + sys.argv[1], path),
            (os.unlink, path))])
'''


def furnish(top, end):
    names = []
    for bits in (0o600, 0o640, 0o644, 0o604, 0o666, 0o602, 0o000):
        names.append(f'{bits:o}')
    for bits in (0o700, 0o711, 0o744, 0o755, 0o777, 0o1777):
        folder = top / f'd{bits:o}'
        folder.mkdir()
        for name in names:
            (folder / f'f{name}{end}').write_text('{"secret": 1}')
            (folder / f'f{name}{end}').chmod(int(name, 8))
        folder.chmod(bits)
    return names


def as_other(top, end, names):
    done = subprocess.run(['/usr/bin/python3', '-c', OTHER, end, *names], cwd=top, user=65534, group=65534, extra_groups=[],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(os.getuid() != 0, reason='becomes another user, which only root may')
@pytest.mark.parametrize('end', ['.json', '.txt'])
def test_another_user_may_what_permission_bits_say(mount, end):
    """As in a directory of the disk, for documents and for scratch files, and nothing of it is bent by who mounts."""
    m = mount('{}', 'allow_other')
    real = m.base / 'real'
    real.mkdir()
    m.mnt.chmod(0o755)
    names = furnish(m.mnt, end)
    assert furnish(real, end) == names
    got, expected = as_other(m.mnt, end, names), as_other(real, end, names)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine == theirs
    assert sum('EACCES' in line for line in got) > 20
