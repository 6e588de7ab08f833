# SPDX-License-Identifier: MIT
"""Scratch files are real files: all of POSIX, kept over kills, capped, and one rename away from a save."""
import ctypes
import errno
import fcntl
import json
import mmap
import os
import pathlib
import random
import shutil
import stat
import subprocess
import threading

import pytest

import edn_reader
from conftest import FORGETS, LIBC, wait_until
from shell import holds, memory, names, sh

NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
PRUNE_MAX = 64  # fs/prune.h
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
PLACES = ['notes.txt', '.hidden', '.json', '.git/objects/x.json', 'beds/plan.md', 'new dir/file',
          'presence/s1/.alice.json.swp', 'config.json~', '4913', 'sedAbC123', '#config.json#']


def renameat2(old, new, flags):
    if LIBC.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def fallocate(fd, mode, offset, length):
    if LIBC.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@pytest.mark.parametrize('place', PLACES)
def test_where_scratch_is(mount, place):
    """Any name without .json, any dotfile, everything below a dot directory."""
    text = '{:config 1 :beds/north 2 :presence/s1 {"alice" 3}}'
    m = mount(text)
    path = m.mnt / place
    path.parent.mkdir(parents=True, exist_ok=True)
    data = bytes(range(256)) * 3
    path.write_bytes(data)
    assert path.read_bytes() == data
    assert path.name in names(path.parent)
    m.kill()
    m.remount()
    assert path.read_bytes() == data
    assert (m.store / 'scratch' / place).read_bytes() == data
    m.sync()
    assert m.edn_text() == text
    sh(m, f'rm "{place}"')
    assert not path.exists()
    m.unmount()
    assert m.edn_text() == text


class Pair:
    """The same operations on a scratch file and on a real one: both must show the same."""

    def __init__(self, mounted, real):
        self.fds = [os.open(path, os.O_RDWR | os.O_CREAT, 0o644) for path in (mounted, real)]
        self.paths = (mounted, real)

    def each(self, call):
        ours, theirs = (call(fd) for fd in self.fds)
        assert ours == theirs
        return ours

    def close(self):
        for fd in self.fds:
            os.close(fd)


def random_operation(rng, pair):
    offset, length = rng.randrange(300000), rng.randrange(1, 60000)
    data = rng.randbytes(length)
    kind = rng.choice('wwwwrrrrtamfpz')

    def append(fd):
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        written = os.write(fd, data)
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)
        return written

    def mapped(fd):
        size = os.fstat(fd).st_size
        if not size:
            return None
        with mmap.mmap(fd, size) as view:
            end = min(size, offset + length)
            if end > offset:
                view[offset:end] = data[:end - offset]
            return view[:100], view[-100:]

    if kind == 'w':
        pair.each(lambda fd: os.pwrite(fd, data, offset))
    elif kind == 'r':
        pair.each(lambda fd: os.pread(fd, length, offset))
    elif kind == 't':
        pair.each(lambda fd: os.ftruncate(fd, offset))
    elif kind == 'a':
        pair.each(append)
    elif kind == 'm':
        pair.each(mapped)
    elif kind == 'f':
        pair.each(lambda fd: fallocate(fd, 0, offset, length))
    elif kind == 'p':
        pair.each(lambda fd: fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length))
    else:
        pair.each(os.fsync)
    pair.each(lambda fd: os.fstat(fd).st_size)


@pytest.mark.parametrize('seed', range(4))
def test_any_operations_do_what_a_real_file_does(mount, seed):
    m = mount('{}')
    rng = random.Random(seed)
    pair = Pair(m.mnt / 'scratch', m.base / 'real')
    for number in range(250):
        random_operation(rng, pair)
        if number % 50 == 49:
            pair.each(lambda fd: os.pread(fd, 400000, 0))
            assert (m.mnt / 'scratch').read_bytes() == (m.base / 'real').read_bytes()
    pair.close()
    m.kill()
    m.remount()
    assert (m.mnt / 'scratch').read_bytes() == (m.base / 'real').read_bytes()
    assert (m.mnt / 'scratch').stat().st_size == (m.base / 'real').stat().st_size


def test_sparse_files(mount):
    m = mount('{}', 'scratch_max=1M')
    path = m.mnt / 'sparse'
    with open(path, 'w+b') as file:
        os.pwrite(file.fileno(), b'start', 0)
        os.ftruncate(file.fileno(), 1 << 26)
        os.pwrite(file.fileno(), b'end', (1 << 26) - 3)
        assert os.fstat(file.fileno()).st_size == 1 << 26
        assert os.pread(file.fileno(), 8, 0) == b'start\0\0\0'
        assert os.pread(file.fileno(), 8, 1 << 25) == bytes(8)
        real = m.store / 'scratch/sparse'
        with open(real, 'rb') as below:
            for whence in (os.SEEK_DATA, os.SEEK_HOLE):
                for at in (0, 4096, 1 << 25, (1 << 26) - 5):
                    assert os.lseek(file.fileno(), at, whence) == os.lseek(below.fileno(), at, whence)
            with pytest.raises(OSError) as error:
                os.lseek(file.fileno(), 1 << 26, os.SEEK_DATA)
            assert error.value.errno == errno.ENXIO
    assert path.stat().st_blocks * 512 < 1 << 20
    sh(m, 'cp --sparse=always sparse copy && cmp sparse copy && test $(du -k copy | cut -f1) -lt 1000')


def test_fallocate(mount):
    m = mount('{}', 'scratch_max=1M')
    with open(m.mnt / 'file', 'w+b') as file:
        fd = file.fileno()
        fallocate(fd, 0, 0, 100000)
        assert os.fstat(fd).st_size == 100000
        fallocate(fd, KEEP_SIZE, 0, 200000)
        assert os.fstat(fd).st_size == 100000
        os.pwrite(fd, b'x' * 100000, 0)
        fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 4096, 8192)
        assert os.pread(fd, 20000, 0) == b'x' * 4096 + bytes(8192) + b'x' * 7712
        with pytest.raises(OSError) as error:
            fallocate(fd, 0, 0, 2 << 20)
        assert error.value.errno == errno.ENOSPC
    with open(m.mnt / 'a.json', 'w+b') as file, pytest.raises(OSError) as error:
        fallocate(file.fileno(), 0, 0, 100)
    assert error.value.errno == errno.EOPNOTSUPP
    (m.mnt / 'a.json').unlink(missing_ok=True)


def test_copy_file_range(mount):
    m = mount('{:config {:a 1}}')
    data = random.Random(0).randbytes(3 << 20)
    (m.mnt / 'from').write_bytes(data)
    (m.base / 'outside').write_bytes(data)

    def copy(source, target, size):
        with open(source, 'rb') as a, open(target, 'wb') as b:
            done = 0
            while done < size:
                got = os.copy_file_range(a.fileno(), b.fileno(), size - done)
                assert got > 0
                done += got
    copy(m.mnt / 'from', m.mnt / 'to', len(data))
    assert (m.mnt / 'to').read_bytes() == data
    with open(m.mnt / 'to', 'r+b') as file, open(m.mnt / 'from', 'rb') as source:
        os.copy_file_range(source.fileno(), file.fileno(), 1000, 5, 70000)
    assert (m.mnt / 'to').read_bytes()[70000:71000] == data[5:1005]
    text = (m.mnt / 'config.json').read_bytes()
    copy(m.mnt / 'config.json', m.mnt / 'text', len(text))
    assert (m.mnt / 'text').read_bytes() == text
    (m.mnt / 'text').write_text('{"a": 2}')
    copy(m.mnt / 'text', m.mnt / 'config.json', 8)
    holds(m, ':config', '{:a 2}')


def test_mmap_shared_by_processes(mount):
    m = mount('{}')
    (m.mnt / 'shared').write_bytes(bytes(8192))
    with open(m.mnt / 'shared', 'r+b') as file:
        view = mmap.mmap(file.fileno(), 0)
        view[5000:5005] = b'hello'
        script = ('import mmap\nwith open("shared", "r+b") as f:\n v = mmap.mmap(f.fileno(), 0)\n'
                  ' assert v[5000:5005] == b"hello"\n v[:3] = b"you"')
        subprocess.run(['python3', '-c', script], cwd=m.mnt, check=True)
        assert view[:3] == b'you'
        view.flush()
        view.close()
    assert (m.store / 'scratch/shared').read_bytes()[:3] == b'you'


def test_unlinked_while_open(mount):
    m = mount('{:config 1}')
    path = m.mnt / 'file'
    path.write_text('before')
    fd = os.open(path, os.O_RDWR)
    again = os.open(path, os.O_RDONLY)
    path.unlink()
    assert not path.exists() and names(m.mnt) == ['config.json']
    assert os.pread(fd, 10, 0) == b'before'
    os.pwrite(fd, b'after!', 0)
    os.ftruncate(fd, 5)
    assert os.pread(again, 10, 0) == b'after'
    assert (os.fstat(fd).st_size, os.fstat(fd).st_nlink) == (5, 0)
    os.fchmod(fd, 0o600)
    os.utime(fd, (5, 5))
    assert (stat.S_IMODE(os.fstat(again).st_mode), os.fstat(again).st_mtime) == (0o600, 5)
    path.write_text('another')
    assert os.pread(fd, 10, 0) == b'after'
    os.close(fd)
    assert os.pread(again, 10, 0) == b'after'
    os.close(again)
    assert path.read_text() == 'another'


def test_renamed_while_open(mount):
    m = mount('{:beds/north 1}')
    path = m.mnt / 'file'
    with open(path, 'w+') as file:
        file.write('one')
        file.flush()
        os.rename(path, m.mnt / 'beds/other')
        file.write(' two')
        file.flush()
        assert (m.mnt / 'beds/other').read_text() == 'one two'
        (m.mnt / 'third').write_text('replaces')
        os.rename(m.mnt / 'third', m.mnt / 'beds/other')
        assert os.pread(file.fileno(), 20, 0) == b'one two'
        assert os.fstat(file.fileno()).st_nlink == 0
    assert (m.mnt / 'beds/other').read_text() == 'replaces'
    assert names(m.mnt) == ['beds']


def test_an_empty_document_in_the_place_of_a_scratch_file(mount):
    m = mount('{:config 1}')
    for make in (m.mnt / 'new.json').touch, lambda: (m.mnt / 'new.json').open('w'):
        (m.mnt / 'file').write_text('what was there')
        with (m.mnt / 'file').open() as old:
            made = make()
            os.rename(m.mnt / 'new.json', m.mnt / 'file')
            assert (m.mnt / 'file').read_text() == ''
            (m.mnt / 'file').write_text('new')
            assert old.read() == 'what was there'
        if made:
            made.write('[1]')
            made.close()
            wait_until(lambda: (m.mnt / 'file').read_text() == '[1]', 'what was written to it before')


def test_a_draft_that_comes_to_where_its_document_went(mount):
    """The kernel learns that there is another file."""
    m = mount('{:config 1}')
    with open(m.mnt / 'config.json', 'r+') as file:
        file.write('[1, 2, 3]')
        file.flush()
        subprocess.run(['mv', m.mnt / 'config.json', m.mnt / 'config.json~'], check=True)
        wait_until(lambda: (m.mnt / 'config.json~').stat().st_size == 2, 'what it left')
        assert (m.mnt / 'config.json~').read_text() == '1\n'
    wait_until(lambda: (m.mnt / 'config.json~').read_text() == '[1, 2, 3]', 'the draft')
    assert (m.mnt / 'config.json~').stat().st_size == 9


def test_saved_by_a_rename_while_open(mount):
    """What is written to it then goes nowhere, but it is the file of that name to whoever has it open."""
    m = mount('{:config 1}')
    for new, old in ('new', 'new.json'), ('config.tmp', 'config.json'):
        with open(m.mnt / new, 'w+') as file:
            file.write('[1]')
            file.flush()
            os.rename(m.mnt / new, m.mnt / old)
            (m.mnt / old).chmod(0o640)
            os.utime(m.mnt / old, (7, 7))
            assert (stat.S_IMODE((m.mnt / old).stat().st_mode), (m.mnt / old).stat().st_mtime) == (0o640, 7)
            os.fchmod(file.fileno(), 0o600)
            os.utime(file.fileno(), (8, 8))
            for found in os.fstat(file.fileno()), (m.mnt / old).stat():
                assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o600, 8)
            file.write(', 2')
            file.flush()
            assert (m.mnt / old).read_text() == '[1]'
            os.truncate(m.mnt / old, 3)
            assert os.fstat(file.fileno()).st_size == 6
            (m.mnt / old).write_text('[3]')
            (m.mnt / old).unlink()
            os.fchmod(file.fileno(), 0o644)
            assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o644
        assert names(m.mnt) == ['config.json'] * (old != 'config.json')


def test_opened_while_it_is_saved_by_renames_of_open_files(mount):
    """The kernel has the inode of a file that is none of the document's, until it is told; it looks the name up once more."""
    m = mount('{:config [0]}')
    failures, over = [], threading.Event()

    def use(flags):
        try:
            while not over.is_set():
                os.close(os.open(m.mnt / 'config.json', flags))
        except OSError as error:
            failures.append(error)
    users = [threading.Thread(target=use, args=[flags]) for flags in (os.O_RDONLY, os.O_RDONLY, os.O_RDWR, os.O_WRONLY)]
    for user in users:
        user.start()
    for number in range(300):
        with open(m.mnt / 'new', 'w') as file:
            file.write(f'[{number}]')
            file.flush()
            os.rename(m.mnt / 'new', m.mnt / 'config.json')
    over.set()
    for user in users:
        user.join()
    assert not failures
    assert (m.mnt / 'config.json').read_text() == '[299]'


def test_saved_by_a_rename_and_by_its_inode(mount):
    """The kernel's inode of the scratch file is the document's from then on."""
    m = mount('{:config 1}')
    (m.mnt / 'new').write_text('[1]')
    path = os.open(m.mnt / 'new', os.O_PATH)
    os.rename(m.mnt / 'new', m.mnt / 'config.json')
    by_inode = pathlib.Path(f'/proc/self/fd/{path}')
    number = subprocess.check_output(['ls', '-i', m.mnt / 'config.json'])  # asks the kernel for nothing else
    for found in os.stat(path), (m.mnt / 'config.json').stat():
        assert found.st_ino == int(number.split()[0]) == next(entry.inode() for entry in os.scandir(m.mnt))
    assert by_inode.read_text() == '[1]'
    by_inode.write_text('[1, 2]')
    assert (m.mnt / 'config.json').read_text() == '[1, 2]'
    os.close(path)
    m.remount()
    assert (m.mnt / 'config.json').read_text() == '[1, 2]'


def test_times_modes_and_owners(mount):
    m = mount('{}')
    path = m.mnt / 'file'
    path.write_text('x')
    os.utime(path, ns=(10**18 + 1, 10**18 + 999999999))
    path.chmod(0o751)
    ino = path.stat().st_ino
    m.remount()
    found = path.stat()
    assert (found.st_mtime_ns, found.st_atime_ns) == (10**18 + 999999999, 10**18 + 1)
    assert (stat.S_IMODE(found.st_mode), found.st_ino, found.st_nlink) == (0o751, ino, 1)
    os.rename(path, m.mnt / 'moved')
    assert (m.mnt / 'moved').stat().st_ino == ino
    assert (m.mnt / 'moved').stat().st_mtime_ns == 10**18 + 999999999
    (m.mnt / 'run').write_text('#!/bin/sh\necho ran\n')
    (m.mnt / 'run').chmod(0o755)
    assert sh(m, './run').out == 'ran\n'


def test_open_modes(mount):
    m = mount('{}')
    path = m.mnt / 'file'
    with pytest.raises(FileNotFoundError):
        os.open(path, os.O_RDWR)
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o200)
    os.write(fd, b'0123456789')
    with pytest.raises(OSError) as error:
        os.read(fd, 1)
    assert error.value.errno == errno.EBADF
    os.close(fd)
    with pytest.raises(FileExistsError):
        os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    path.chmod(0o644)
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(OSError):
        os.write(fd, b'x')
    os.close(fd)
    os.close(os.open(path, os.O_RDWR | os.O_TRUNC))
    assert path.stat().st_size == 0
    fds = [os.open(path, os.O_WRONLY | os.O_APPEND) for _ in range(3)]
    for number in range(30):
        os.write(fds[number % 3], b'%02d' % number)
    for fd in fds:
        os.close(fd)
    assert path.read_bytes() == b''.join(b'%02d' % number for number in range(30))
    with pytest.raises(OSError) as error:
        os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    assert error.value.errno == errno.ENOTDIR


def test_appending_by_many_processes(mount):
    m = mount('{}')
    sh(m, 'for i in 1 2 3 4 5; do (for j in $(seq 100); do echo $i $j >> log; done) & done; wait')
    lines = (m.mnt / 'log').read_text().splitlines()
    assert sorted(lines) == sorted(f'{i} {j}' for i in range(1, 6) for j in range(1, 101))


# ---- directories ----

def test_scratch_directories(mount):
    m = mount('{:config 1}')
    sh(m, 'mkdir -p work/deep/er && echo x > work/deep/er/file && mkdir .dot && echo 1 > .dot/a.json')
    m.remount()
    assert names(m.mnt) == ['.dot', 'config.json', 'work']
    assert (m.mnt / '.dot/a.json').read_text() == '1\n'
    (m.mnt / '.dot/a.json').write_text('not JSON at all')
    (m.mnt / '.dot/50%.json').write_text('nor a name of a key')
    with pytest.raises(OSError) as error:
        (m.mnt / 'work').rmdir()
    assert error.value.errno == errno.ENOTEMPTY
    sh(m, 'mv work .dot/ && mv .dot .other && rm .other/work/deep/er/file && rmdir -p .other/work/deep/er '
       '2>/dev/null; ls -A .other', status=0)
    assert names(m.mnt / '.other') == ['50%.json', 'a.json']
    sh(m, 'rm -r .other')
    m.sync()
    assert m.edn_text() == '{:config 1}'
    assert names(m.mnt) == ['config.json']
    assert names(m.store / 'scratch') == []


def test_a_key_below_a_scratch_directory(mount):
    """A directory is one thing, whatever it holds: keys, scratch files, or both."""
    m = mount('{}')
    sh(m, 'mkdir notes; echo draft > notes/todo.txt; echo 1 > notes/a.json')
    assert names(m.mnt / 'notes') == ['a.json', 'todo.txt']
    holds(m, ':notes/a', '1')
    (m.mnt / 'notes/a.json').unlink()
    assert names(m.mnt / 'notes') == ['todo.txt']
    with pytest.raises(OSError):
        (m.mnt / 'notes').rmdir()
    (m.mnt / 'notes/todo.txt').unlink()
    (m.mnt / 'notes').rmdir()
    assert names(m.mnt) == []


def test_a_scratch_file_makes_way_for_a_key(mount):
    """A directory of a key that comes from outside moves the scratch file of its name aside."""
    m = mount('{:config 1}')
    (m.mnt / 'notes').write_text('mine')
    m.unmount()
    m.edn.write_text('{:config 1 :notes/a 2}')
    m.remount()
    assert (m.mnt / 'notes/a.json').read_text() == '2\n'
    assert (m.mnt / 'notes~').read_text() == 'mine'
    assert names(m.mnt) == ['config.json', 'notes', 'notes~']


def test_a_scratch_file_makes_way_at_once(mount):
    """Also where the kernel has its name at hand."""
    m = mount('{:config 1}')
    (m.mnt / 'notes').write_text('mine')
    assert (m.mnt / 'notes').is_file()
    m.edn.write_text('{:config 1 :notes/a 2}')
    wait_until(lambda: (m.mnt / 'notes').is_dir(), 'the directory of the key')
    assert (m.mnt / 'notes/a.json').read_text() == '2\n'
    assert (m.mnt / 'notes~').read_text() == 'mine'


def test_a_scratch_file_makes_way_to_a_free_name(mount):
    """What a user keeps beside it stays, also for who has it open."""
    m = mount('{:config 1}')
    (m.mnt / 'notes~').write_text('an older one')
    (m.mnt / 'notes').write_text('mine')
    with open(m.mnt / 'notes~') as older:
        m.edn.write_text('{:config 1 :notes/a 2}')
        wait_until(lambda: (m.mnt / 'notes').is_dir(), 'the directory of the key')
        assert older.read() == 'an older one'
    for name, text in ('notes~', 'an older one'), ('notes~~', 'mine'):
        assert ((m.mnt / name).stat().st_size, (m.mnt / name).read_text()) == (len(text), text)


def test_a_scratch_file_is_asked_for_while_a_key_comes(mount):
    """To the kernel it becomes no directory, which would take it from those who have it open."""
    m = mount('{:config 1}')
    (m.mnt / 'notes').write_text('mine')
    with open(m.mnt / 'notes') as file:
        m.edn.write_text('{:config 1 :notes/a 2 %s}' % ' '.join(f':k{number} 1' for number in range(20000)))

        def came():
            for mode in (0o600, 0o640) * 50:
                os.fchmod(file.fileno(), mode)
            return (m.mnt / 'notes').is_dir()
        wait_until(came, 'the directory of the key')
        assert file.read() == 'mine'
        assert os.fstat(file.fileno()).st_size == 4
    assert (m.mnt / 'notes~').read_text() == 'mine'


def test_a_key_below_a_scratch_file(mount):
    m = mount('{}')
    (m.mnt / 'notes').write_text('mine')
    with pytest.raises(NotADirectoryError):
        (m.mnt / 'notes/a.json').write_text('1')
    with pytest.raises(FileExistsError):
        (m.mnt / 'notes').mkdir()


# ---- the cap ----

def test_the_cap(mount):
    m = mount('{:config 1}', 'scratch_max=256K')
    (m.mnt / 'a').write_bytes(b'a' * 200000)
    with pytest.raises(OSError) as error:
        (m.mnt / 'b').write_bytes(b'b' * 100000)
    assert error.value.errno == errno.ENOSPC
    (m.mnt / 'b').unlink()
    with open(m.mnt / 'a', 'r+b') as file:
        file.write(b'c' * 200000)  # overwriting takes no more
    (m.mnt / 'config.json').write_text('[' + '1,' * 100000 + '2]')  # documents are not capped
    m.remount()
    with pytest.raises(OSError) as error:
        (m.mnt / 'b').write_bytes(b'b' * 100000)
    assert error.value.errno == errno.ENOSPC
    os.truncate(m.mnt / 'a', 100000)
    (m.mnt / 'b').write_bytes(b'b' * 100000)
    os.rename(m.mnt / 'b', m.mnt / 'a')
    (m.mnt / 'b').write_bytes(b'b' * 100000)
    for name in ('a', 'b'):
        (m.mnt / name).unlink()
    for _ in range(5):
        (m.mnt / 'a').write_bytes(b'a' * 200000)
        (m.mnt / 'a').unlink()
        (m.mnt / '.d').mkdir()
        (m.mnt / '.d/x.json').write_bytes(b'a' * 200000)
        shutil.rmtree(m.mnt / '.d')
        fd = os.open(m.mnt / 'a', os.O_CREAT | os.O_RDWR)
        os.write(fd, b'a' * 200000)
        (m.mnt / 'a').unlink()
        os.close(fd)


def test_unlinked_bytes_count_while_they_are_open(mount):
    """What an open file still takes of the disk is not free yet."""
    m = mount('{}', 'scratch_max=256K')
    fds = []
    try:
        with pytest.raises(OSError) as error:
            for _ in range(20):
                fds.append(os.open(m.mnt / 'a', os.O_CREAT | os.O_RDWR))
                os.write(fds[-1], b'a' * 50000)
                (m.mnt / 'a').unlink()
    finally:
        for fd in fds:
            os.close(fd)
    assert error.value.errno == errno.ENOSPC
    assert 4 <= len(fds) <= 7
    (m.mnt / 'a').unlink(missing_ok=True)
    (m.mnt / 'b').write_bytes(b'b' * 200000)


def test_bytes_of_a_file_that_an_empty_document_replaces(mount):
    """They count once, though it is open meanwhile."""
    m = mount('{}', 'scratch_max=256K')
    for make in (lambda: (m.mnt / 'new.json').touch(), lambda: (m.mnt / 'new.json').open('w')):
        for _ in range(5):
            (m.mnt / 'a').write_bytes(b'a' * 50000)
            with (m.mnt / 'a').open():
                made = make()
                os.rename(m.mnt / 'new.json', m.mnt / 'a')
            if made:
                made.close()
    with pytest.raises(OSError) as error:
        (m.mnt / 'b').write_bytes(b'b' * 300000)
    assert error.value.errno == errno.ENOSPC
    (m.mnt / 'b').write_bytes(b'b' * 200000)


def test_bytes_of_an_unlinked_file_are_free_after_its_close(mount):
    m = mount('{}', 'scratch_max=256K')
    for _ in range(5):
        with open(m.mnt / 'a', 'w+b', buffering=0) as file:
            (m.mnt / 'a').unlink()
            file.write(b'a' * 100000)
    (m.mnt / 'b').write_bytes(b'b' * 100000)
    (m.mnt / 'b').write_bytes(b'b' * 100000)
    (m.mnt / 'c').write_bytes(b'c' * 100000)
    with open(m.mnt / 'b', 'r+b', buffering=0) as file:
        os.rename(m.mnt / 'c', m.mnt / 'b')
        file.truncate(0)
        file.write(b'd' * 100000)
    for _ in range(5):
        (m.mnt / 'c').write_bytes(b'c' * 100000)
        os.rename(m.mnt / 'c', m.mnt / 'b')
    assert json.loads((m.mnt / '.health').read_text())['scratch_bytes'] < 110000


def test_a_document_that_finds_no_room_in_scratch(mount):
    m = mount('{:config "' + 'x' * 5000 + '"}', 'scratch_max=8K')
    (m.mnt / 'a').write_bytes(b'a' * 8000)
    with pytest.raises(OSError) as error:
        os.rename(m.mnt / 'config.json', m.mnt / 'config.json~')
    assert error.value.errno == errno.ENOSPC
    assert (m.mnt / 'config.json').read_text() == '"' + 'x' * 5000 + '"\n'
    assert names(m.mnt) == ['a', 'config.json']


# ---- renames from one side to the other ----

def test_scratch_becomes_a_document_and_back(mount):
    m = mount('{:old 1}')
    scratch, document = m.mnt / 'file', m.mnt / 'config.json'
    scratch.write_text('{"a":   1}')
    scratch.chmod(0o640)
    os.utime(scratch, ns=(10**18, 10**18 + 5))
    os.rename(scratch, document)
    assert names(m.mnt) == ['config.json', 'old.json']
    assert document.read_text() == '{"a":   1}'
    found = document.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o640, 10**18 + 5)
    holds(m, ':config', '{:a 1}')
    os.rename(document, scratch)
    assert scratch.read_text() == '{"a":   1}'
    found = scratch.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o640, 10**18 + 5)
    assert memory(m) == edn_reader.memory('{:old 1}')
    m.kill()
    m.remount()
    assert scratch.read_text() == '{"a":   1}'
    os.rename(scratch, m.mnt / 'old.json')
    assert memory(m) == edn_reader.memory('{:old {:a 1}}')
    assert names(m.store / 'scratch') == []


@pytest.mark.parametrize('end', ['unmount', 'kill', 'fsync', 'another writer', 'rename', 'many'])
def test_directories_for_saves_by_rename(mount, end):
    """They stay for the next save, and are not taken for anyone's own."""
    m = mount('{:review/a/x 1}', 'edn_delay=10')
    directory, real = m.mnt / 'review/a', m.store / 'scratch'
    for _ in range(3):
        (directory / 'x.tmp').write_text('1')
        os.rename(directory / 'x.tmp', directory / 'x.json')
    assert names(directory) == ['x.json'] and names(real / 'review/a') == []
    if end == 'unmount':
        m.unmount()
    elif end == 'kill':
        m.kill()
        assert names(real / 'review/a') == []
        m.remount()
    elif end == 'fsync':
        fd = os.open(directory, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    elif end == 'another writer':
        m.sync()
        m.edn.write_text('{:config 1}')
        wait_until(lambda: names(m.mnt) == ['config.json'], 'the keys to be gone')
    elif end == 'rename':
        os.rename(directory, m.mnt / 'review/b')
        assert names(m.mnt / 'review') == ['b']
    else:
        for number in range(PRUNE_MAX):
            (m.mnt / f'learning-{number}').mkdir()
            (m.mnt / f'learning-{number}/y.tmp').write_text('1')
            os.rename(m.mnt / f'learning-{number}/y.tmp', m.mnt / f'learning-{number}/y.json')
    assert 'review' not in names(real)


def test_a_document_over_a_scratch_file(mount):
    m = mount('{:a 1}')
    (m.mnt / 'file').write_text('was here')
    with open(m.mnt / 'file') as held:
        os.rename(m.mnt / 'a.json', m.mnt / 'file')
        assert (m.mnt / 'file').read_text() == '1\n'
        assert held.read() == 'was here'
    assert memory(m) == {}


def test_an_open_document_that_becomes_scratch(mount):
    m = mount('{:a {:x 1}}')
    with open(m.mnt / 'a.json') as reader:
        os.rename(m.mnt / 'a.json', m.mnt / 'a~')
        assert reader.read() == (m.mnt / 'a~').read_text()
    (m.mnt / 'a.json').write_text('[2]')
    assert (m.mnt / 'a~').read_text() == '{\n  "x": 1\n}\n'
    holds(m, ':a', '[2]')


def test_an_open_scratch_file_that_is_saved(mount):
    """mv while a writer has it open: what he writes afterwards can't reach the document unjudged."""
    m = mount('{}')
    with open(m.mnt / 'file', 'w') as writer:
        writer.write('{"a": 1}')
        writer.flush()
        os.rename(m.mnt / 'file', m.mnt / 'a.json')
        assert (m.mnt / 'a.json').read_text() == '{"a": 1}'
        writer.write('garbage')
    assert (m.mnt / 'a.json').read_text() == '{"a": 1}'
    holds(m, ':a', '{:a 1}')


def test_noreplace(mount):
    m = mount('{:a 1 :b 2}')
    (m.mnt / 's').write_text('3')
    (m.mnt / 't').write_text('4')
    (m.mnt / 'dir').mkdir()
    there = names(m.mnt)
    for old in ('a.json', 's', 'dir'):
        for new in there:
            if new != old:
                with pytest.raises(FileExistsError):
                    renameat2(m.mnt / old, m.mnt / new, NOREPLACE)
    assert names(m.mnt) == there
    renameat2(m.mnt / 'a.json', m.mnt / 'c.json', NOREPLACE)
    renameat2(m.mnt / 's', m.mnt / 'd.json', NOREPLACE)
    renameat2(m.mnt / 'b.json', m.mnt / 'u', NOREPLACE)
    renameat2(m.mnt / 't', m.mnt / 'v', NOREPLACE)
    renameat2(m.mnt / 'dir', m.mnt / 'dir2', NOREPLACE)
    assert names(m.mnt) == ['c.json', 'd.json', 'dir2', 'u', 'v']
    assert memory(m) == edn_reader.memory('{:c 1 :d 3}')


def test_exchange(mount):
    m = mount('{:a {:x 1} :b/c [2] :presence/s1 {"alice" 3}}')
    (m.mnt / 'a.json').write_text('{"x":1}')
    numbers = [(m.mnt / name).stat().st_ino for name in ('a.json', 'b/c.json')]
    renameat2(m.mnt / 'a.json', m.mnt / 'b/c.json', EXCHANGE)
    assert ((m.mnt / 'a.json').read_text(), (m.mnt / 'b/c.json').read_text()) == \
        ('[\n  2\n]\n', '{"x":1}')
    assert [(m.mnt / name).stat().st_ino for name in ('b/c.json', 'a.json')] == numbers
    renameat2(m.mnt / 'a.json', m.mnt / 'presence/s1/alice.json', EXCHANGE)
    assert memory(m) == edn_reader.memory('{:a 3 :b/c {:x 1} :presence/s1 {"alice" [2]}}')
    m.kill()
    m.remount()
    assert ((m.mnt / 'a.json').read_text(), (m.mnt / 'b/c.json').read_text()) == ('3\n', '{"x":1}')
    (m.mnt / 's').write_text('s')
    (m.mnt / 't').write_text('t')
    renameat2(m.mnt / 's', m.mnt / 't', EXCHANGE)
    assert ((m.mnt / 's').read_text(), (m.mnt / 't').read_text()) == ('t', 's')
    with pytest.raises(FileNotFoundError):
        renameat2(m.mnt / 's', m.mnt / 'nothing', EXCHANGE)
    with pytest.raises(FileNotFoundError):
        renameat2(m.mnt / 'a.json', m.mnt / 'nothing.json', EXCHANGE)


def test_attributes_right_behind_a_rename(mount):
    """The kernel has moved its inodes when rename returns: what comes next must reach the right file."""
    m = mount('{:a 1 :b [2]}')
    a, b, scratch = m.mnt / 'a.json', m.mnt / 'b.json', m.mnt / 'scratch'
    for _ in range(300):
        a.chmod(0o644)
        b.chmod(0o644)
        renameat2(a, b, EXCHANGE)
        b.chmod(0o600)
        assert (stat.S_IMODE(a.stat().st_mode), stat.S_IMODE(b.stat().st_mode)) == (0o644, 0o600)
        assert (a.stat().st_size, b.stat().st_size) == (len(a.read_text()), len(b.read_text()))
    for number in range(300):
        os.rename(a, scratch)
        scratch.chmod(0o640)
        os.utime(scratch, (5, number))
        assert (stat.S_IMODE(scratch.stat().st_mode), scratch.stat().st_mtime) == (0o640, number)
        os.rename(scratch, a)
        a.chmod(0o600)
        os.utime(a, (5, number + 1))
        assert (stat.S_IMODE(a.stat().st_mode), a.stat().st_mtime) == (0o600, number + 1)


def times_of(m, *names):
    return [os.stat(m.mnt / name).st_mtime_ns for name in names]


@pytest.mark.parametrize('where', ['notes', 'presence/s1', 'notes/deep'])
def test_the_times_above_a_first_and_a_last_document(mount, where):
    """Only the directory in which a name comes or goes gets a new time, whoever keeps it: the memory or scratch."""
    m = mount('{:notes/x 1 :presence/s0 {"ann" 1} :other/y 2}'.replace(f':{where}/x 1', ''), 'edn_delay=3600000')
    (m.mnt / where).mkdir(parents=True, exist_ok=True)
    above = ['.', *(str(path) for path in pathlib.Path(where).parents if str(path) != '.')]
    for name in above:
        os.utime(m.mnt / name, ns=(5, 10**18))
    before = times_of(m, *above)

    def unmoved(what):
        for step in (lambda: None, lambda: (m.kill(), m.mount()), m.sync, m.remount):
            step()
            assert times_of(m, *above) == before, what
    (m.mnt / where / 'a.json').write_text('1')
    unmoved('the first one')
    (m.mnt / where / 'a.json').rename(m.mnt / where / 'b.json')
    (m.mnt / where / 'b.json').unlink()
    unmoved('the last one')
    (m.mnt / where / 'x').write_text('2')
    (m.mnt / where / 'x').rename(m.mnt / where / 'x.json')
    unmoved('the first one, renamed')
    (m.mnt / where / 'x.json').rename(m.mnt / where / 'x')
    unmoved('the last one, renamed')
    (m.mnt / where / 'x').unlink()
    (m.mnt / where).rmdir()
    assert times_of(m, str(pathlib.Path(where).parent)) != before[-1:]
    assert times_of(m, *above[:-1]) == before[:-1]


def test_exchange_of_a_document_and_a_scratch_file(mount):
    """Either both change or nothing does."""
    m = mount('{:a 1}')
    (m.mnt / 's').write_text('2')
    try:
        renameat2(m.mnt / 'a.json', m.mnt / 's', EXCHANGE)
    except OSError as error:
        assert error.errno == errno.EINVAL
        expected = ('1\n', '2')
    else:
        expected = ('2', '1\n')
    assert ((m.mnt / 'a.json').read_text(), (m.mnt / 's').read_text()) == expected
    holds(m, ':a', expected[0])


def test_unknown_flags(mount):
    m = mount('{:a 1}')
    (m.mnt / 's').write_text('2')
    for old, new in (('a.json', 'b.json'), ('s', 't')):
        with pytest.raises(OSError) as error:
            renameat2(m.mnt / old, m.mnt / new, WHITEOUT)
        assert error.value.errno in (errno.EINVAL, errno.EPERM)
    assert names(m.mnt) == ['a.json', 's']


def test_rename_onto_itself(mount):
    m = mount('{:a 1}')
    (m.mnt / 's').write_text('2')
    for name in ('a.json', 's'):
        os.rename(m.mnt / name, m.mnt / name)
    assert ((m.mnt / 'a.json').read_text(), (m.mnt / 's').read_text()) == ('1\n', '2')


def test_what_is_planted_below_the_store(mount, tmp_path):
    """Links in STORE/scratch lead nowhere: they are not shown and not followed."""
    m = mount('{:a 1}')
    outside = tmp_path / 'secret'
    outside.write_text('secret')
    (tmp_path / 'dir').mkdir()
    (m.mnt / 'ok').write_text('ok')
    (m.store / 'scratch/link').symlink_to(outside)
    (m.store / 'scratch/.dir').symlink_to(tmp_path / 'dir')
    os.mkfifo(m.store / 'scratch/fifo')
    assert names(m.mnt) == ['a.json', 'ok']
    for name in ('link', '.dir/x', 'fifo'):
        with pytest.raises(OSError):
            (m.mnt / name).read_text()
        with pytest.raises(OSError):
            (m.mnt / name).write_text('over')
    assert outside.read_text() == 'secret'
    assert names(tmp_path / 'dir') == []


def test_a_build_tool_at_work(mount):
    """Many small files, temporaries and renames, as compilers and make do."""
    m = mount('{}')
    (m.mnt / 'src').mkdir()
    (m.mnt / 'src/hello.c').write_text('#include <stdio.h>\nint main(void) { puts("hello"); }\n')
    (m.mnt / 'src/Makefile').write_text('hello: hello.o\n\tcc -o $@ $^\n')
    if not shutil.which('make'):
        assert sh(m, 'cd src && cc -c hello.c && cc -o hello hello.o && ./hello').out == 'hello\n'
    else:
        assert sh(m, 'cd src && make -s && ./hello && make -q').out == 'hello\n'
    sh(m, 'rm -r src')
    assert names(m.mnt) == [] and names(m.store / 'scratch') == []


def test_sqlite(mount):
    """A database with its journal and locks, on a file that is none of ours."""
    m = mount('{}')
    script = ('import sqlite3, sys\nd = sqlite3.connect("data.db", timeout=30)\n'
              'd.execute("create table if not exists t (a)")\n'
              'for i in range(20):\n with d: d.execute("insert into t values (?)", (i,))\n')
    subprocess.run(['python3', '-c', script], cwd=m.mnt, check=True)
    running = [subprocess.Popen(['python3', '-c', script], cwd=m.mnt) for _ in range(3)]
    assert [process.wait() for process in running] == [0] * 3
    m.kill()
    m.remount()
    count = ('import sqlite3\nd = sqlite3.connect("data.db")\n'
             'print(d.execute("select count(*) from t").fetchone()[0], '
             'd.execute("pragma integrity_check").fetchone()[0])')
    assert sh(m, f"python3 -c '{count}'").out == '80 ok\n'


class Late:
    """A shell's command, of which a call of the daemon does not begin."""

    def __init__(self, m, late, call, command):
        self.file = late.with_name(f'{late.name}.{call}')
        self.file.touch()
        self.process = subprocess.Popen(['sh', '-c', command], cwd=m.mnt)
        wait_until(late.with_name(f'{late.name}.waits').exists, f'{call} to be waited in')

    def go_on(self):
        self.file.unlink()
        assert self.process.wait() == 0


@pytest.mark.preload
def test_a_sync_while_another_is_at_it(laggard):
    """What both are to bring to the disk is there when either returns."""
    m, late = laggard
    (m.mnt / 'made').mkdir()
    first = Late(m, late, 'syncfs', 'echo > .sync')
    with subprocess.Popen(['sh', '-c', 'echo > .sync'], cwd=m.mnt) as second:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(0.5)
        finally:
            first.go_on()
        assert second.wait() == 0


@pytest.mark.preload
def test_a_sync_before_a_change_that_had_begun(laggard):
    """It is the next one's."""
    m, late = laggard
    (m.mnt / 'd').mkdir()
    mkdir = Late(m, late, 'mkdirat', 'mkdir d/late')
    m.sync()
    mkdir.go_on()
    late.with_name('late.waits').unlink()
    Late(m, late, 'syncfs', 'echo > .sync').go_on()


@pytest.mark.preload
@FORGETS
def test_a_directory_that_is_forgotten_before_the_kernel_is_told_of_a_name_in_it(laggard):
    """Its number is nobody else's until then."""
    m, late = laggard
    document = m.mnt / 'd/a.json'
    m.edn.write_text('{:d/a 1}')
    wait_until(document.exists, 'the document to be seen')
    late.touch()
    try:
        m.edn.write_text('{:d/a 2}')
        wait_until(lambda: document.read_text().strip() == '2', 'the change to be seen')
        m.forget(4)  # but for a directory or two
        for number in range(50):
            (m.mnt / f'x{number}').touch()
            assert (m.mnt / f'x{number}').exists()
    finally:
        late.unlink()
    for text in '12':
        (m.mnt / 'last.json').write_text(text)  # is told behind all that
    m.check_stderr()


@pytest.mark.preload
@pytest.mark.parametrize('moved_on', [False, True])
@pytest.mark.parametrize('another', [False, True])
@pytest.mark.parametrize('held', [None, 'r', 'r+'])  # written and closed is 'r+', until RELEASE has come
@pytest.mark.parametrize('when', ['late', 'late.renamed'])
def test_attributes_while_the_kernel_is_not_told_of_a_rename(laggard, moved_on, another, held, when):
    """Until it is told, the kernel has the document's inode at the scratch file's name."""
    m, late = laggard
    late = late.with_name(when)
    document, scratch = m.mnt / 'a.json', m.mnt / 'a'
    document.write_text('1')
    document.stat()  # from here on the kernel asks for the name no more
    with open(document if held else os.devnull, held or 'r'):
        late.touch()
        try:
            os.rename(document, scratch)
            if another:
                document.write_text('2')
            if moved_on:
                os.rename(scratch, m.mnt / 'b')
                scratch = m.mnt / 'b'
            os.chmod(scratch, 0o640)
            os.utime(scratch, (5, 5))
        finally:
            late.unlink()
    for path in (scratch, m.store / 'scratch' / scratch.name):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime) == (0o640, 5)
    if another:
        assert stat.S_IMODE(document.stat().st_mode) != 0o640 and document.stat().st_mtime != 5


@pytest.mark.preload
def test_a_writer_who_never_came_back_by_the_name(laggard):
    """He was sent to look again by a name that had another file: the next save by it goes where the name is by then."""
    m, late = laggard
    (m.mnt / 'a.json').write_text('1')
    (m.mnt / 'b.json').write_text('2')
    (m.mnt / 'a.json').stat()
    late.touch()
    try:
        os.rename(m.mnt / 'a.json', m.mnt / 't')
        (m.mnt / 'a.json').write_text('3')
        (m.mnt / 't').write_text('scratch')  # the kernel has the document's inode there, and opens that first
    finally:
        late.unlink()
    (m.mnt / 'a.json').stat()
    renameat2(m.mnt / 'a.json', m.mnt / 'b.json', EXCHANGE)
    (m.mnt / 'a.json').write_text('4')
    assert [(m.mnt / name).read_text().strip() for name in ('a.json', 'b.json', 't')] == ['4', '3', 'scratch']
    holds(m, ':a', '4')
    holds(m, ':b', '3')
