# SPDX-License-Identifier: MIT
"""What system calls say: the same script in a mount and in a real directory; what differs is listed with its reason."""
import contextlib
import ctypes
import errno
import fcntl
import itertools
import mmap
import os
import pathlib
import random
import re
import select
import shutil
import struct
import time

import pytest

from conftest import wait_until
from posix_side import (CWD, EXCHANGE, LIBC, NOREPLACE, WHITEOUT, checked, compare,
                        differences, fallocate, mode, read, real_directory, renameat2, run, tree, write)

pytestmark = pytest.mark.forks

# ---- rename: everything over everything ----

KINDS = {
    'nothing': ('{}', lambda path: None),
    'document': ('{}.json', lambda path: write(path, b'{"a": 1}')),
    'empty': ('{}.json', lambda path: write(path, b'')),
    'scratch': ('{}', lambda path: write(path, b'[1]')),
    'directory': ('{}', os.mkdir),
    'namespace': ('{}', lambda path: (os.mkdir(path), write(path + '/k.json', b'1'))),
    'folder': ('{}', lambda path: (os.mkdir(path), write(path + '/file', b'2'))),
    'collection': ('presence/{}', lambda path: (os.mkdir(path), write(path + '/m.json', b'3'))),
    'emptied': ('presence/{}', lambda path: (os.mkdir(path), write(path + '/m.json', b'3'),
                                             os.unlink(path + '/m.json'))),
    'dotted': ('.{}', lambda path: (os.mkdir(path), write(path + '/x.json', b'no'))),
}


def rename_script(old_kind, new_kind, flags):
    def script(side):
        paths = []
        for stem, kind in (('old', old_kind), ('new', new_kind)):
            pattern, make = KINDS[kind]
            path = pattern.format(stem)
            os.makedirs('presence', exist_ok=True)
            make(path)
            paths.append(path)
        side.do('rename', renameat2, *paths, flags)
        side.note('tree', tree())
    return script



DOTTED = ('EXDEV', 'below a dot directory *.json are scratch files: mv copies')
NO_KEY = ('EXDEV', 'the key of a collection comes with its first member and stays: it is no namespace')
NO_EXCHANGE = ('EINVAL', 'two documents or two scratch files are exchanged in one step, nothing else can')
EMPTY = ('EBADMSG', 'emptying a document is refused')
DIRECTORIES = ('directory', 'namespace', 'folder', 'collection', 'emptied')


def intended_of_rename(old, new, flags):
    if flags == EXCHANGE:
        return None if 'nothing' in (old, new) or old == new in ('document', 'scratch') else NO_EXCHANGE
    if flags == NOREPLACE and new != 'nothing':
        return None
    if (old, new) == ('empty', 'document'):
        return EMPTY
    if (old == 'dotted' and new in ('nothing', *DIRECTORIES)) or (old in DIRECTORIES and new == 'dotted'):
        return DOTTED
    return NO_KEY if old == 'emptied' and new in ('nothing', 'directory') else None


@pytest.mark.parametrize('flags', [0, NOREPLACE, EXCHANGE])
def test_rename_of_everything_over_everything(mount, flags):
    m = mount('{}')
    wrong = []
    for old, new in itertools.product(KINDS, KINDS):
        script = rename_script(old, new, flags)
        theirs = run(real_directory(m), script)
        ours = run(m.mnt, script)
        intended = intended_of_rename(old, new, flags)
        if intended:  # and nothing happened, which flags that exclude each other show
            theirs['tree'] = run(real_directory(m), rename_script(old, new, NOREPLACE | EXCHANGE))['tree']
            intended = {'rename': intended}
        wrong += [f'{old} over {new}: {line}' for line in differences(ours, theirs, intended or {})]
        for name in os.listdir(m.mnt):
            shutil.rmtree(m.mnt / name) if (m.mnt / name).is_dir() else (m.mnt / name).unlink()
    assert not wrong, '\n'.join(wrong)


# ---- paths ----

LONG = 'n' * 250
PATHS = {
    'empty': '', 'missing': 'missing', 'below missing': 'missing/x', 'below a document': 'doc.json/x',
    'below a scratch file': 'file/x', 'below a document, json': 'doc.json/x.json', 'document with a slash': 'doc.json/',
    'scratch file with a slash': 'file/', 'directory with a slash': 'dir/', 'missing with a slash': 'missing/',
    'missing document with a slash': 'missing.json/',
    'directory': 'dir', 'full directory': 'full', 'dot': '.', 'dot dot': 'dir/..', 'dot below': 'dir/.',
    'dot of a document': 'doc.json/.', 'dot dot of a document': 'doc.json/..',
    '255': 'n' * 255, '256': 'n' * 256, '255 json': LONG + '.json', '256 json': LONG + 'x.json',
    'below 256': 'n' * 256 + '/x', '4095': './' * 2047 + 'x', '4096': './' * 2048, '4094 slashes': 'dir' + '/' * 4000,
    'document by 4095': './' * 2043 + 'doc.json', 'double slash': 'dir//x', 'dot dot dot': '...',
    'document': 'doc.json', 'scratch file': 'file', 'directory below': 'full/dir', 'key below': 'full/key.json',
    'blank': ' ', 'newline': 'a\nb', 'tilde': 'doc.json~',
}


def close_after(function, *args, **named):
    os.close(function(*args, **named))


PATH_CALLS = {
    'stat': os.stat, 'lstat': os.lstat, 'statvfs': lambda path: bool(os.statvfs(path)),
    'access': lambda path: os.access(path, os.F_OK), 'chmod': lambda path: os.chmod(path, 0o755),
    'chown': lambda path: os.chown(path, 0, 0), 'utime': lambda path: os.utime(path, (1, 1)),
    'truncate': lambda path: os.truncate(path, 8), 'readlink': os.readlink, 'listdir': lambda path: len(os.listdir(path)),
    'chdir': lambda path: [os.chdir(path), os.fchdir(CWD_FD[0])][:0], 'getxattr': lambda path: os.getxattr(path, 'user.none'),
    'open': lambda path: close_after(os.open, path, os.O_RDONLY),
    'open write': lambda path: close_after(os.open, path, os.O_WRONLY),
    'open directory': lambda path: close_after(os.open, path, os.O_DIRECTORY),
    'open create directory': lambda path: close_after(os.open, path, os.O_DIRECTORY | os.O_CREAT),
    'open exclusive': lambda path: close_after(os.open, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL),
    'open create': lambda path: close_after(os.open, path, os.O_WRONLY | os.O_CREAT),
    'open create nofollow': lambda path: close_after(os.open, path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW),
    'open create path': lambda path: close_after(os.open, path, os.O_PATH),
    'mkdir': os.mkdir, 'rmdir': os.rmdir, 'unlink': os.unlink,
    'rename from': lambda path: os.rename(path, 'new'), 'rename to': lambda path: os.rename('file2', path),
    'rename document to': lambda path: os.rename('doc2.json', path),
    'rename directory to': lambda path: os.rename('dir2', path),
    'rename into itself': lambda path: os.rename('full', 'full/dir/' + path),
    'noreplace': lambda path: renameat2('file2', path, NOREPLACE),
    'exchange': lambda path: renameat2('file2', path, EXCHANGE),
    'link from': lambda path: os.link(path, 'new'), 'link to': lambda path: os.link('file2', path),
    'symlink': lambda path: os.symlink('file2', path), 'mkfifo': os.mkfifo,
    'mknod': lambda path: os.mknod(path, 0o100644),
}
CWD_FD = []


def paths_script(call):
    """Each path is tried on a tree made anew where the last call changed it."""
    def make():
        for name in os.listdir('.'):
            shutil.rmtree(name) if os.path.isdir(name) else os.unlink(name)
        for name in ('dir', 'dir2', 'full', 'full/dir'):
            os.mkdir(name)
        for name in ('doc.json', 'doc2.json', 'full/key.json'):
            write(name, b'{"a": 1}')
        for name in ('file', 'file2'):
            write(name, b'{"b": 1}')

    def script(side):
        CWD_FD[:] = [os.open('.', os.O_PATH)]
        make()
        before = tree()
        for name, path in PATHS.items():
            side.do(name, PATH_CALLS[call], path)
            after = tree()
            if after != before:
                side.note(f'{name}, then', after)
                make()
    return script


NO_LINKS = ('EPERM', 'hard links, devices, fifos, symlinks by users: EPERM')
NO_DIRECTORY = ('EINVAL', "a directory's name can't end in .json")


def intended_of_paths(call, theirs):
    """Where a real directory let something be done that a mount has to refuse."""
    intended = {}
    for name in PATHS:
        if theirs[name] is not None:
            continue
        if call in ('link from', 'link to', 'symlink', 'mkfifo', 'mknod'):
            intended[name] = NO_LINKS
        elif call in ('mkdir', 'rename directory to') and PATHS[name].rstrip('/').endswith('.json'):
            intended[name] = NO_DIRECTORY
        elif call == 'rename directory to' and name == 'dot dot dot':
            intended[name] = DOTTED
        elif call == 'exchange' and theirs['scratch file'] is None and name != 'scratch file':
            intended[name] = NO_EXCHANGE
    return intended


@pytest.mark.parametrize('call', PATH_CALLS)
def test_paths_of_all_kinds(mount, call):
    m = mount('{}')
    theirs = run(real_directory(m), paths_script(call))
    intended = intended_of_paths(call, theirs)
    expected = {name: said for name, said in theirs.items() if name.removesuffix(', then') not in intended}
    expected.update({name: theirs[name] for name in intended})
    said = differences(run(m.mnt, paths_script(call)), expected, intended)
    assert not said, '\n'.join(said)


# ---- opening, reading, writing ----

NAMES = ['doc.json', 'file']


def on_both_kinds(intended=None):
    """A script of a side and a name, on a document and on a scratch file. intended: by the name."""
    def decorate(script):
        @pytest.mark.parametrize('name', NAMES)
        def test(mount, name):
            compare(mount('{}'), lambda side: script(side, name), (intended or {}).get(name))
        return test
    return decorate


def pieces(side, label, fd):
    """What the descriptor can do."""
    side.do(f'{label}: read', os.pread, fd, 100, 0)
    side.do(f'{label}: write', os.pwrite, fd, b'{"a": 2}', 0)
    side.do(f'{label}: truncate', os.ftruncate, fd, 8)
    side.do(f'{label}: chmod', os.fchmod, fd, 0o640)
    side.do(f'{label}: utime', os.utime, fd, (5, 6))
    side.do(f'{label}: sync', os.fsync, fd)
    side.do(f'{label}: allocate', lambda: LIBC.fallocate(fd, 1, ctypes.c_long(0), ctypes.c_long(0)) and ctypes.get_errno())
    side.note(f'{label}: stat', [getattr(os.fstat(fd), key) for key in ('st_mode', 'st_size', 'st_nlink', 'st_uid')])
    side.do(f'{label}: flags', lambda: fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_APPEND | os.O_PATH))
    side.do(f'{label}: close', os.close, fd)


OPENINGS = {
    'reading': os.O_RDONLY, 'writing': os.O_WRONLY, 'both': os.O_RDWR, 'path': os.O_PATH, 'appending': os.O_RDWR | os.O_APPEND,
    'path for writing': os.O_PATH | os.O_RDWR, 'no following': os.O_RDWR | os.O_NOFOLLOW, 'sync': os.O_RDWR | os.O_SYNC,
    'dsync': os.O_WRONLY | os.O_DSYNC, 'nonblock': os.O_RDWR | os.O_NONBLOCK, 'noatime': os.O_RDONLY | os.O_NOATIME,
    'create': os.O_RDWR | os.O_CREAT, 'exclusive': os.O_RDWR | os.O_CREAT | os.O_EXCL, 'exclusive only': os.O_RDWR | os.O_EXCL,
    'directory': os.O_RDONLY | os.O_DIRECTORY, 'neither': os.O_ACCMODE, 'largefile': os.O_RDWR | 0o100000,
    'async': os.O_RDWR | os.O_ASYNC, 'create for reading': os.O_RDONLY | os.O_CREAT,
    'truncating': os.O_RDWR | os.O_TRUNC, 'create and truncate': os.O_RDWR | os.O_CREAT | os.O_TRUNC,
}


@on_both_kinds()
def test_opening(side, name):
    for label, flags in OPENINGS.items():
        write(name, b'{"a": 1}')
        os.chmod(name, 0o644)
        fd = side.opened(label, name, flags)
        if fd is not None:
            pieces(side, label, fd)
        side.note(f'{label}: after', (read(name), mode(name)))
        os.unlink(name)
        fd = side.opened(f'{label}, nothing there', name, flags, 0o604)
        if fd is not None:
            pieces(side, f'{label}, nothing there', fd)
            side.note(f'{label}, nothing there: after', (read(name), mode(name)))
            os.unlink(name)


NO_TEMPORARY = {'temporary': ('ENOTSUP', 'no file without a name: programs make one with a name instead')}


@on_both_kinds({name: NO_TEMPORARY for name in NAMES})
def test_opening_a_directory(side, name):
    os.mkdir('dir')
    write('dir/' + name, b'{"a": 1}')
    for label, flags in OPENINGS.items():
        fd = side.opened(label, 'dir', flags)
        if fd is not None:
            side.do(f'{label}: read', os.read, fd, 10)
            side.do(f'{label}: write', os.write, fd, b'x')
            side.do(f'{label}: truncate', os.ftruncate, fd, 0)
            side.do(f'{label}: list', os.listdir, fd)
            side.do(f'{label}: chmod', os.fchmod, fd, 0o711)
            side.do(f'{label}: sync', os.fsync, fd)
            side.do(f'{label}: seek', os.lseek, fd, 0, os.SEEK_SET)
            side.do(f'{label}: map', lambda fd=fd: mmap.mmap(fd, 10, prot=mmap.PROT_READ) and None)
            os.close(fd)
    side.opened('temporary', 'dir', os.O_TMPFILE | os.O_RDWR)


def sought(side, label, fd, *where):
    os.lseek(fd, 2, os.SEEK_SET)
    side.do(f'{label} {where}', os.lseek, fd, *where)


@on_both_kinds()
def test_seeking(side, name):
    write(name, b'{"a": 1}')
    for label, flags in (('reading', os.O_RDONLY), ('writing', os.O_RDWR)):
        fd = os.open(name, flags)
        for whence in range(7):
            for offset in (0, 3, 7, 8, 9, 100, -1, -8, -9, 2**43, -2**63, -2**43):
                sought(side, label, fd, offset, whence)
        os.lseek(fd, 0, os.SEEK_SET)
        for offset in (0, 5, 8, 9, 2**40, 2**63 - 5, -1):
            side.do(f'{label}: pread {offset}', os.pread, fd, 4, offset)
        os.close(fd)


def vector(fd, offset, flags):
    buffers = [bytearray(3), bytearray(100)]
    return os.preadv(fd, buffers, offset, flags), bytes(buffers[0])


@on_both_kinds()
def test_moving_bytes(side, name):
    """Every way in which the kernel moves bytes from and to a file."""
    write(name, b'{"a": 1, "b": [1, 2, 3]}')
    source = os.open(name, os.O_RDONLY)
    write('to', b'')
    target = os.open('to', os.O_RDWR)
    side.do('preadv', vector, source, 2, 0)
    side.do('preadv2', vector, source, 2, os.RWF_HIPRI)
    side.do('sendfile', os.sendfile, target, source, 0, 100)
    side.note('sent', read('to'))
    side.do('sendfile with offset', os.sendfile, target, source, 5, 3)
    side.do('sendfile past the end', os.sendfile, target, source, 500, 3)
    reader, writer = os.pipe()
    side.do('splice to a pipe', os.splice, source, writer, 100, offset_src=3)
    side.do('splice from a pipe', os.splice, reader, target, 100, offset_dst=1)
    side.note('spliced', read('to'))
    side.do('copy_file_range', os.copy_file_range, source, target, 10, 1, 40)
    side.do('copy_file_range past the end', os.copy_file_range, source, target, 10, 100, 40)
    side.do('copy_file_range into itself', os.copy_file_range, target, target, 10, 0, 5)
    side.do('copy_file_range into a reader', os.copy_file_range, target, source, 10, 0, 50)
    side.note('copied', read('to'))
    os.close(target)
    target = os.open('to', os.O_WRONLY | os.O_APPEND)
    side.do('copy_file_range to the end', os.copy_file_range, source, target, 10)
    side.do('sendfile to the end', os.sendfile, target, source, 0, 10)
    side.do('splice to the end', lambda: (os.write(writer, b'x'), os.splice(reader, target, 1)))
    os.close(target)
    os.close(source)


@on_both_kinds()
def test_writing(side, name):
    write(name, b'{"a": 1}')
    fd = os.open(name, os.O_RDWR)
    side.do('pwritev', os.pwritev, fd, [b'{"a"', b': 12', b'}'], 0)
    side.note('after pwritev', os.pread(fd, 100, 0))
    side.do('pwritev2 append', os.pwritev, fd, [b' '], 0, 16)
    side.note('after append', os.pread(fd, 100, 0))
    side.do('pwritev2 sync', os.pwritev, fd, [b'{"a": 123}'], 0, os.RWF_SYNC)
    side.do('pwritev2 dsync', os.pwritev, fd, [b'{"a": 124}'], 0, os.RWF_DSYNC)
    side.do('nothing', os.write, fd, b'')
    side.do('negative', os.pwrite, fd, b'x', -1)
    side.do('at the largest offset', os.pwrite, fd, b'xx', 2**63 - 2)
    side.do('truncate to less than nothing', os.ftruncate, fd, -1)
    side.do('sync', os.fsync, fd)
    side.do('datasync', os.fdatasync, fd)
    side.do('advise', os.posix_fadvise, fd, 0, 0, os.POSIX_FADV_DONTNEED)
    side.do('readahead', lambda: LIBC.readahead(fd, ctypes.c_long(0), ctypes.c_size_t(100)))
    side.do('range', lambda: LIBC.sync_file_range(fd, ctypes.c_long(0), ctypes.c_long(0), 7))
    side.do('fs', lambda: LIBC.syncfs(fd))
    side.do('grow', os.ftruncate, fd, 14)
    side.note('grown', os.pread(fd, 100, 0))
    side.do('spaces', os.pwrite, fd, b'    ', 10)
    side.note('size', os.fstat(fd).st_size)
    side.do('dup', lambda: os.close(os.dup(fd)))
    side.do('close', os.close, fd)
    side.note('content', read(name))
    side.do('truncate by name', os.truncate, name, 10)
    side.note('truncated', read(name))
    side.do('truncate less than nothing', os.truncate, name, -5)
    side.do('the same size', os.truncate, name, 10)


@on_both_kinds()
def test_mapping(side, name):
    write(name, b'{"a": 1}')
    fd = os.open(name, os.O_RDWR)
    reader = os.open(name, os.O_RDONLY)
    with mmap.mmap(reader, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as private:
        private[1:4] = b'xyz'
        side.note('private', private[:])
        side.note('untouched', read(name))
    with mmap.mmap(reader, 0, mmap.MAP_SHARED, mmap.PROT_READ) as shared:
        side.note('shared', shared[:])
    side.do('shared writable of a reader', lambda: mmap.mmap(reader, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) and None)
    side.do('beyond the end', lambda: LIBC.mmap(None, ctypes.c_size_t(8192), 1, 1, reader, ctypes.c_long(4096)) and None)
    side.do('unaligned', lambda: LIBC.mmap(None, ctypes.c_size_t(8), 1, 1, reader, ctypes.c_long(7)))
    os.close(reader)
    with mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as private:
        private[:] = b'{"p": 9}'
    side.note('private of a writer', os.pread(fd, 100, 0))
    os.pwrite(fd, b'{"a": 5}', 0)
    os.close(fd)
    side.note('content', read(name))


# ---- removed while open ----

OWN_DRAFT = 'a writer has a draft of his own, which nobody else sees before its verdict'
NUMBER = "a directory's number is its path's, so that it is the same after a remount"


@on_both_kinds({'doc.json': {
    'reader: read': (b'{"a": 1}', OWN_DRAFT), 'by its descriptor': (b'{"a": 1}', OWN_DRAFT),
    'reader: stat': ([0o100644, 8, 0, os.getuid()], OWN_DRAFT)}})
def test_unlinked_while_open(side, name):
    write(name, b'{"a": 1}')
    fd = os.open(name, os.O_RDWR)
    reader = os.open(name, os.O_RDONLY)
    number = os.fstat(reader).st_ino
    os.unlink(name)
    side.do('unlink again', os.unlink, name)
    for label, each in (('writer', fd), ('reader', reader)):
        side.note(f'{label}: links', os.fstat(each).st_nlink)
        side.note(f'{label}: number', os.fstat(each).st_ino == number)
        pieces(side, label, os.dup(each))
    side.do('by its descriptor', lambda: read(f'/proc/self/fd/{reader}'))
    side.do('link', lambda: os.readlink(f'/proc/self/fd/{reader}').endswith(f'/{name} (deleted)'))
    write(name, b'{"b": 2}')
    side.note('another one', (read(name), os.stat(name).st_ino == number))
    side.do('old', os.pread, fd, 100, 0)
    os.pwrite(fd, b'{"c": 3}', 0)
    side.do('close', os.close, fd)
    side.note('content', read(name))
    side.do('reader closes', os.close, reader)


@on_both_kinds()
def test_replaced_while_open(side, name):
    write(name, b'{"a": 1}')
    write('x' + name, b'{"b": 2}')
    held = os.open(name, os.O_RDONLY)
    os.rename('x' + name, name)
    side.note('links', os.fstat(held).st_nlink)
    side.do('read', os.pread, held, 100, 0)
    side.note('content', read(name))
    side.note('other', os.fstat(held).st_ino == os.stat(name).st_ino)
    os.close(held)
    held = os.open(name, os.O_RDONLY)
    os.rename(name, 'y' + name)
    side.note('renamed', (os.fstat(held).st_nlink, os.fstat(held).st_ino == os.stat('y' + name).st_ino))
    side.do('read on', os.pread, held, 100, 0)
    if name == 'file':  # of a document's version, that is not the current one, the kernel forgets the name
        side.do('link', lambda: os.readlink(f'/proc/self/fd/{held}').endswith(f'/y{name}'))
    os.close(held)


@on_both_kinds()
def test_a_directory_that_is_removed_while_in_use(side, name):
    os.mkdir('dir')
    write('dir/' + name, b'{"a": 1}')
    os.unlink('dir/' + name)
    fd = os.open('dir', os.O_RDONLY | os.O_DIRECTORY)
    os.chdir('dir')
    os.rmdir('../dir')
    side.do('links', lambda: os.fstat(fd).st_nlink)
    side.do('list', os.listdir, fd)
    side.do('list here', os.listdir, '.')
    side.do('stat', os.stat, '.')
    side.do('up', lambda: os.path.samestat(os.stat('..'), os.stat(f'/proc/self/fd/{fd}/..')))
    side.do('where', os.getcwd)
    side.do('create', lambda: os.close(os.open(name, os.O_CREAT | os.O_WRONLY)))
    side.do('create by descriptor', lambda: os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=fd)))
    side.do('mkdir', os.mkdir, 'x')
    side.do('mkdir by descriptor', os.mkdir, 'x', dir_fd=fd)
    side.do('rename into', os.rename, '../missing', 'y')
    side.do('open', lambda: os.open(name, os.O_RDONLY))
    side.do('unlink', os.unlink, name)
    side.do('chmod', os.fchmod, fd, 0o700)
    side.do('utime', os.utime, fd, (1, 1))
    side.do('sync', os.fsync, fd)
    side.do('dot', os.rmdir, '.')
    os.mkdir('../dir')
    side.do('of the same name', os.listdir, fd)
    write('../dir/' + name, b'[]')
    side.do('of the same name, with a file', os.listdir, fd)
    side.do('not that one', os.stat, name)
    side.do('nor by descriptor', lambda: os.stat(name, dir_fd=fd))
    side.do('create again', lambda: os.close(os.open('x' + name, os.O_CREAT | os.O_WRONLY, dir_fd=fd)))
    side.do('mkdir again', os.mkdir, 'sub', dir_fd=fd)
    side.do('unlink by descriptor', os.unlink, name, dir_fd=fd)
    side.note('others', os.listdir('../dir'))
    os.close(fd)


@on_both_kinds({name: {'number': (False, NUMBER)} for name in NAMES})
def test_a_directory_that_moves_while_in_use(side, name):
    os.mkdir('dir')
    os.mkdir('dir/sub')
    write('dir/sub/' + name, b'{"a": 1}')
    fd = os.open('dir/sub', os.O_RDONLY)
    held = os.open('dir/sub/' + name, os.O_RDWR)
    number = os.stat('dir').st_ino
    os.rename('dir', 'moved')
    side.note('number', os.stat('moved').st_ino == number)
    side.do('list', os.listdir, fd)
    side.do('read', os.pread, held, 100, 0)
    side.do('create', lambda: os.close(os.open('x' + name, os.O_CREAT | os.O_WRONLY, dir_fd=fd)))
    os.pwrite(held, b'{"a": 2}', 0)
    os.close(held)
    side.note('there', tree())
    side.do('into itself', os.rename, 'moved', 'moved/sub/x')
    side.do('onto its parent', os.rename, 'moved/sub', 'moved')
    os.mkdir('dir')
    side.do('not empty', os.rename, 'moved/sub', 'dir')
    side.note('then', tree())
    os.close(fd)


@on_both_kinds()
def test_a_directory_that_is_replaced_while_in_use(side, name):
    os.mkdir('old')
    os.mkdir('new')
    write('old/' + name, b'{"a": 1}')
    fd = os.open('new', os.O_RDONLY)
    os.chdir('new')
    os.rename('../old', '../new')
    side.note('links', (os.fstat(fd).st_nlink, os.stat('.').st_nlink))
    side.note('lists', (os.listdir(fd), os.listdir('.'), os.listdir('../new')))
    side.do('create', lambda: os.close(os.open('x' + name, os.O_CREAT | os.O_WRONLY)))
    side.do('stat', os.stat, name)
    os.close(fd)


# ---- times ----

def times(path):
    st = os.stat(path) if isinstance(path, int) else os.lstat(path)
    return st.st_mtime_ns, st.st_ctime_ns


def moved(side, label, path, function, *args):
    """Which of mtime and ctime of path a call moves. Clocks tick between two calls, however coarse they are."""
    before = times(path)
    start = time.clock_gettime_ns(REALTIME_COARSE)
    while time.clock_gettime_ns(REALTIME_COARSE) == start:
        pass
    function(*args)
    after = times(path)
    side.note(label, ['mtime' * (after[0] != before[0]), 'ctime' * (after[1] != before[1])])


@on_both_kinds()
def test_times_of_a_directory(side, name):
    os.mkdir('dir')
    os.mkdir('other')
    path = 'dir/' + name
    moved(side, 'create', 'dir', write, path, b'[1]')
    moved(side, 'write', 'dir', write, path, b'[2]')
    moved(side, 'chmod below', 'dir', os.chmod, path, 0o600)
    moved(side, 'utime below', 'dir', os.utime, path, (1, 1))
    moved(side, 'truncate below', 'dir', os.truncate, path, 3)
    moved(side, 'read below', 'dir', read, path)
    moved(side, 'list', 'dir', os.listdir, 'dir')
    moved(side, 'rename within', 'dir', os.rename, path, 'dir/x' + name)
    moved(side, 'rename away', 'dir', os.rename, 'dir/x' + name, 'other/' + name)
    moved(side, 'rename here', 'other', os.rename, 'other/' + name, path)
    moved(side, 'mkdir', 'dir', os.mkdir, 'dir/sub')
    moved(side, 'below below', 'dir', write, 'dir/sub/' + name, b'[1]')
    moved(side, 'unlink below below', 'dir', os.unlink, 'dir/sub/' + name)
    moved(side, 'rmdir', 'dir', os.rmdir, 'dir/sub')
    write('dir/z' + name, b'[1]')
    moved(side, 'replace', 'dir', os.rename, path, 'dir/z' + name)
    moved(side, 'unlink', 'dir', os.unlink, 'dir/z' + name)
    moved(side, 'chmod', 'dir', os.chmod, 'dir', 0o700)
    moved(side, 'utime', 'dir', os.utime, 'dir', (1, 1))
    moved(side, 'rename', 'dir', os.rename, 'dir', 'dir')
    moved(side, 'root', '.', os.mkdir, 'dir2')


NO_CTIME = "a document's ctime is its mtime: what others see of it is its content, its mtime and its mode"
NO_OWNER = (['', ''], 'owner is the mounting user: saying so again changes nothing')


@on_both_kinds({'file': {'chown to the same': NO_OWNER}, 'doc.json': {
    'chown to the same': NO_OWNER,
    **{name: (['', ''], NO_CTIME) for name in ('chmod', 'chmod to the same', 'fchmod')}}})
def test_times_of_a_file(side, name):
    write(name, b'[1]')
    write('x' + name, b'[1]')
    moved(side, 'write', name, write, name, b'[2]')
    moved(side, 'the same bytes', name, write, name, b'[2]')
    moved(side, 'append nothing', name, lambda: os.close(os.open(name, os.O_WRONLY | os.O_APPEND)))
    moved(side, 'truncate', name, os.truncate, name, 3)
    moved(side, 'grow', name, lambda: write(name, b'[2, 3]'))
    moved(side, 'read', name, read, name)
    moved(side, 'utime', name, os.utime, name, (1, 1))
    moved(side, 'chmod', name, os.chmod, name, 0o600)
    moved(side, 'chmod to the same', name, os.chmod, name, 0o600)
    moved(side, 'chown to the same', name, os.chown, name, os.getuid(), -1)
    before = os.stat(name).st_mtime_ns
    os.rename(name, 'y' + name)
    side.note('rename', os.stat('y' + name).st_mtime_ns == before)
    os.rename('y' + name, name)
    fd = os.open(name, os.O_RDWR)
    moved(side, 'pwrite', fd, os.pwrite, fd, b'[4]   ', 0)
    moved(side, 'ftruncate', fd, os.ftruncate, fd, 3)
    moved(side, 'futimens', fd, os.utime, fd, (7, 8))
    moved(side, 'fchmod', fd, os.fchmod, fd, 0o640)
    moved(side, 'fsync', fd, os.fsync, fd)
    moved(side, 'close', name, os.close, fd)
    side.note('kept', (os.stat(name).st_mtime, mode(name)))


REALTIME_COARSE = 5
OMIT, NOW = (1 << 30) - 2, (1 << 30) - 1


def utimensat(path, atime, mtime, flags=0):
    pair = (ctypes.c_long * 4)(*atime, *mtime)
    checked(LIBC.utimensat(CWD, os.fsencode(path) if path else None, pair, flags))


@on_both_kinds()
def test_setting_times(side, name):
    os.mkdir('dir')
    write(name, b'{"a": 1}')
    for path in (name, 'dir'):
        for label, atime, mtime in (
                ('ns', (5, 123456789), (6, 987654321)), ('only mtime', (0, OMIT), (7, 1)),
                ('only atime', (8, 1), (0, OMIT)), ('neither', (0, OMIT), (0, OMIT)),
                ('past', (-100, 5), (-200, 7)), ('1901', (-2**31 + 1, 0), (-2**31 + 1, 999999999)),
                ('2038', (2**31, 0), (2**31 + 5, 0)), ('2100', (4102444800, 0), (4102444800, 1)),
                ('too many ns', (0, 10**9), (0, 10**9)), ('negative ns', (0, -1), (0, 0))):
            side.do(f'{path}: {label}', utimensat, path, atime, mtime)
            side.note(f'{path}: {label}: mtime', os.stat(path).st_mtime_ns)
        utimensat(path, (0, OMIT), (5, 0))
        now = time.time()
        side.do(f'{path}: now', utimensat, path, (0, NOW), (0, NOW))
        side.note(f'{path}: is now', abs(os.stat(path).st_mtime - now) < 100)
        side.do(f'{path}: unknown flag', utimensat, path, (1, 0), (1, 0), 0x400000)


# ---- owners and others ----

OWNER, OTHER = 1000, 1001


def family(name):
    """What an owner makes for others to try."""
    write('open-' + name, b'[1]')
    os.chmod('open-' + name, 0o666)
    write('shown-' + name, b'[1]')
    os.chmod('shown-' + name, 0o644)
    write('secret-' + name, b'[1]')
    os.chmod('secret-' + name, 0o600)
    write('read-only-' + name, b'[1]')
    os.chmod('read-only-' + name, 0o444)
    write('nothing-' + name, b'[1]')
    os.chmod('nothing-' + name, 0)
    for folder, bits in (('open', 0o777), ('sticky', 0o1777), ('closed', 0o700), ('listed', 0o744), ('entered', 0o711)):
        os.mkdir(folder)
        write(f'{folder}/{name}', b'[1]')
        os.chmod(f'{folder}/{name}', 0o666)
        os.chmod(folder, bits)


FILE_CALLS = {
    'read': read, 'write': lambda path: close_after(os.open, path, os.O_WRONLY),
    'create': lambda path: close_after(os.open, path, os.O_RDWR | os.O_CREAT),
    'truncate': lambda path: os.truncate(path, 3), 'chmod': lambda path: os.chmod(path, 0o666),
    'chown': lambda path: os.chown(path, OTHER, -1), 'chgrp': lambda path: os.chown(path, -1, 0),
    'utime': lambda path: os.utime(path, (1, 1)), 'touch': os.utime,
    'access r': lambda path: os.access(path, os.R_OK), 'access w': lambda path: os.access(path, os.W_OK),
    'access x': lambda path: os.access(path, os.X_OK), 'access f': lambda path: os.access(path, os.F_OK),
    'effective': lambda path: os.access(path, os.R_OK | os.W_OK, effective_ids=True), 'stat': os.stat,
    'list xattr': lambda path: os.listxattr(path)[:0],
    'noatime': lambda path: close_after(os.open, path, os.O_RDONLY | os.O_NOATIME),
    'exec': lambda path: os.execv(path, [path]),
}


def permissions(side, name):
    for path in [f'{kind}-{name}' for kind in ('open', 'shown', 'secret', 'read-only', 'nothing')]:
        for label, call in FILE_CALLS.items():
            side.do(f'{path}: {label}', call, path)
    for folder in ('open', 'sticky', 'closed', 'listed', 'entered'):
        side.do(f'{folder}: list', lambda folder=folder: sorted(os.listdir(folder)))
        for label, call in FILE_CALLS.items():
            side.do(f'{folder}: {label}', call, f'{folder}/{name}')
        side.do(f'{folder}: chmod it', os.chmod, folder, 0o777)
        side.do(f'{folder}: enter', lambda folder=folder: (os.chdir(folder), os.chdir('..')) and None)
        side.do(f'{folder}: make', lambda folder=folder: close_after(os.open, f'{folder}/x{name}', os.O_WRONLY | os.O_CREAT))
        side.do(f'{folder}: mkdir', os.mkdir, f'{folder}/sub')
        side.do(f'{folder}: rename within', os.rename, f'{folder}/{name}', f'{folder}/y{name}')
        side.do(f'{folder}: rename back', os.rename, f'{folder}/y{name}', f'{folder}/{name}')
        side.do(f'{folder}: rename out', os.rename, f'{folder}/{name}', f'z{folder}{name}')
        side.do(f'{folder}: rename in', os.rename, f'open-{name}', f'{folder}/open-{name}')
        side.do(f'{folder}: rename out again', os.rename, f'{folder}/open-{name}', f'open-{name}')
        side.do(f'{folder}: unlink', os.unlink, f'{folder}/{name}')
        side.do(f'{folder}: rmdir below', os.rmdir, f'{folder}/sub')
        side.do(f'{folder}: rmdir', os.rmdir, folder)
    side.do('make', lambda: close_after(os.open, 'new' + name, os.O_WRONLY | os.O_CREAT))


@pytest.mark.skipif(os.getuid() != 0, reason='needs other users')
@pytest.mark.parametrize('who', [OWNER, OTHER])
@pytest.mark.parametrize('name', NAMES)
def test_owners_and_others(mount, name, who):
    m = mount('{}', 'allow_other', f'uid={OWNER}', f'gid={OWNER}')
    real = real_directory(m, OWNER)
    for top in (m.mnt, real):
        run(top, lambda side: family(name), OWNER)
    intended = {'sticky: rmdir below': ('EPERM', 'owner is the mounting user, of what others make, too')}
    said = differences(run(m.mnt, lambda side: permissions(side, name), who),
                       run(real, lambda side: permissions(side, name), who), intended if who == OTHER else {})
    assert not said, '\n'.join(said)


# ---- reading directories ----

class Stream:
    """readdir(3) and what goes with it."""

    def __init__(self, path):
        self.dir = ctypes.c_void_p(LIBC.opendir(os.fsencode(path)))
        assert self.dir

    def next(self):
        entry = LIBC.readdir(self.dir)
        return os.fsdecode(ctypes.string_at(entry + 19)) if entry else None

    def rest(self):
        return list(iter(self.next, None))

    def tell(self):
        return LIBC.telldir(self.dir)

    def seek(self, where):
        LIBC.seekdir(self.dir, ctypes.c_long(where))

    def rewind(self):
        LIBC.rewinddir(self.dir)

    def close(self):
        LIBC.closedir(self.dir)


PLACES = {'documents': ('', '.json'), 'members': ('presence/s1/', '.json'), 'both kinds': ('', None)}


def entry_name(number, suffix):
    return f'n{number}' + (suffix if suffix is not None else '.json' * (number % 2))


def mount_of_many(mount, folder, suffix):
    """A directory of 5,000 entries."""
    numbers = range(1 if suffix is None else 0, 5000, 2 if suffix is None else 1)
    if folder:
        text = '{:presence/s1 {' + ' '.join(f'"n{number}" {number}' for number in numbers) + '}}'
    else:
        text = '{' + ' '.join(f':n{number} {number}' for number in numbers) + '}'
    m = mount(text)
    if suffix is None:
        for number in range(0, 5000, 2):
            write(m.mnt / entry_name(number, suffix), b'1')
    return m.mnt / folder


@pytest.mark.parametrize('place', PLACES)
def test_reading_a_directory_that_changes(mount, place):
    """None of the untouched is missed, and none met twice, while others come, go and get new names."""
    folder, suffix = PLACES[place]
    top = mount_of_many(mount, folder, suffix)
    assert set(os.listdir(top)) == {entry_name(number, suffix) for number in range(5000)}
    stream = Stream(top)
    met = [stream.next() for _ in range(700)]
    places = []
    for number in range(0, 5000, 7):
        name = entry_name(number, suffix)
        renamed = entry_name(number + 1, suffix)
        os.unlink(top / name)
        os.rename(top / renamed, top / f'renamed-{renamed}')
        write(top / f'x{name}', b'2')
        places.append(stream.tell())
        met.append(stream.next())
    met += stream.rest()
    assert len(met) == len(set(met))
    assert {entry_name(number, suffix) for number in range(5000) if number % 7 > 1} <= set(met)
    for number in (len(places) - 1, 3):
        stream.seek(places[number])
        assert stream.rest() == met[700 + number:]
    stream.rewind()
    again = stream.rest()
    stream.close()
    assert sorted(again) == sorted([*os.listdir(top), '.', '..'])
    assert not {entry_name(number, suffix) for number in range(0, 5000, 7)} & set(again)


def test_each_place_is_found_again(mount):
    """In any order: of names that share much with their neighbours, or nothing, and of the longest."""
    stems = ['a' * n for n in (*range(1, 40), 250, 251)] + ['ä', 'b.json.', 'json', '~', *(f'long{"x" * 240}{n}' for n in range(40))]
    members = [stem for stem in stems if len(stem.encode()) <= 250]
    m = mount('{:presence/s1 {' + ' '.join(f'"{member}" 1' for member in members) + '}}')
    top = m.mnt / 'presence/s1'
    for stem in stems:
        write(top / stem, b'1')
    names = [*(member + '.json' for member in members), *stems, '.', '..']
    stream = Stream(top)
    places = [(stream.tell(), stream.next()) for _ in names]
    assert stream.next() is None
    assert sorted(name for _, name in places) == sorted(names)
    random.Random(1).shuffle(places)
    for where, name in places:
        stream.seek(where)
        assert stream.next() == name
    stream.close()


def test_removing_while_reading(mount):
    """As rm -r does it: each entry that is read is removed at once."""
    top = mount_of_many(mount, *PLACES['both kinds'])
    stream = Stream(top)
    for name in iter(stream.next, None):
        if name not in ('.', '..'):
            os.unlink(top / name)
    stream.close()
    assert os.listdir(top) == []


@on_both_kinds()
def test_entries(side, name):
    os.mkdir('dir')
    os.mkdir('dir/sub')
    write('dir/' + name, b'[1]')
    with os.scandir('dir') as entries:
        side.note('types', sorted((entry.name, entry.is_dir(), entry.is_file(),
                                   entry.inode() == os.lstat(entry.path).st_ino) for entry in entries))
    stream = Stream('dir')
    write('dir/x' + name, b'[2]')
    stream.rest()
    stream.rewind()
    side.note('names', sorted(stream.rest()))
    side.note('at the end', (stream.next(), stream.next()))
    stream.close()
    side.note('links', [os.stat('dir/' + name).st_nlink, os.stat('dir').st_nlink > 0])
    st = os.statvfs('dir')
    side.note('statvfs', (st.f_namemax, st.f_bsize, st.f_frsize, st.f_bavail <= st.f_blocks > 0, st.f_files > 0))
    side.note('fstatvfs', os.statvfs(os.open('dir', os.O_RDONLY)).f_namemax)
    side.note('pathconf', [os.pathconf('dir', which) for which in ('PC_NAME_MAX', 'PC_PATH_MAX', 'PC_PIPE_BUF')])
    for size in (0, 1, 512, 513, 4096, 5000):
        write('dir/' + name, b' ' * (size - 1) + b'1' if size else b'1')
        with opened('dir/' + name) as fd:
            os.fsync(fd)  # while ext4 allocates blocks it counts them nowhere for a moment
        st = os.stat('dir/' + name)
        side.note(f'blocks of {size}', (st.st_size, st.st_blocks * 512 >= size, st.st_blksize))


# ---- extended attributes ----

@contextlib.contextmanager
def opened(path, flags=os.O_RDONLY):
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def set_xattr(path, name, value=b'x', flags=0, **named):
    os.setxattr(path, name, value, flags, **named)


@pytest.mark.parametrize('name', NAMES + ['presence/s1'])
def test_extended_attributes(mount, name):
    """They are ourofs's own: what is read says so, and nothing can be set."""
    m = mount('{:doc 1 :presence/s1 {}}')
    write(m.mnt / 'file', b'1')
    path = m.mnt / name
    assert os.listxattr(path) == []  # of what can't be set, copies would fail

    def said(function, *args):
        try:
            return function(*args)
        except OSError as error:
            return errno.errorcode[error.errno]
    with opened(path) as fd:
        for target in (path, fd):
            for kind in ('user.x', 'user.ourofs.key', 'trusted.x', 'system.x', 'security.x'):
                # of these the kernel asks nobody, but for root
                refusal = 'EPERM' if os.getuid() and kind in ('trusted.x', 'security.x') else 'ENOTSUP'
                assert said(set_xattr, target, kind) == refusal, kind
                assert said(os.removexattr, target, kind) == refusal, kind
            assert said(os.getxattr, target, 'user.none') == 'ENODATA'
            assert said(os.getxattr, target, 'user.' + 'x' * 300) == 'ERANGE'
    if name != 'file':
        small = ctypes.create_string_buffer(2)
        assert LIBC.getxattr(os.fsencode(path), b'user.ourofs.key', small, ctypes.c_size_t(2)) == -1
        assert ctypes.get_errno() == errno.ERANGE
        size = LIBC.getxattr(os.fsencode(path), b'user.ourofs.key', None, ctypes.c_size_t(0))
        assert size == len(os.getxattr(path, 'user.ourofs.key'))


# ---- inotify ----

EVENTS = {0x2: 'modify', 0x4: 'attrib', 0x8: 'close write', 0x40: 'moved from', 0x80: 'moved to', 0x100: 'create',
          0x200: 'delete', 0x400: 'delete self', 0x800: 'move self', 0x4000: 'overflow', 0x8000: 'ignored'}


def watched(side, label, fd, *calls):
    """The kinds of events by name that calls bring about, each once."""
    for function, *args in calls:
        function(*args)
    found = set()
    while select.select([fd], [], [], 0)[0]:
        said = os.read(fd, 65536)
        while said:
            _, mask, _, length = struct.unpack_from('iIII', said)
            name = said[16:16 + length].rstrip(b'\0').decode()
            found.update((word, name) for bit, word in EVENTS.items() if mask & bit)
            said = said[16 + length:]
    side.note(label, sorted(found))


def all_closed():
    """In a mount: the kernel tells of a last close without waiting, and until then the next writer has another inode."""
    if not os.path.exists('.metrics'):
        return True
    with open('.metrics', encoding='utf-8') as file:
        return 'ourofs_open_handles 0\n' in file.read()


@on_both_kinds()
def test_inotify(side, name):
    """What is done through the mount is seen by those who watch it."""
    os.mkdir('dir')
    path = 'dir/' + name
    fd = checked(LIBC.inotify_init1(os.O_NONBLOCK))
    checked(LIBC.inotify_add_watch(fd, b'dir', sum(EVENTS) & 0xfff))
    watched(side, 'create', fd, (write, path, b'[1]'))
    watched(side, 'write', fd, (write, path, b'[2]'))
    watched(side, 'attributes', fd, (os.chmod, path, 0o600), (os.utime, path, (1, 1)))
    watched(side, 'rename', fd, (os.rename, path, 'dir/x' + name))
    watched(side, 'replace', fd, (write, path, b'[3]'), (os.rename, path, 'dir/x' + name))
    watched(side, 'read', fd, (read, 'dir/x' + name))
    watched(side, 'directory', fd, (os.mkdir, 'dir/sub'), (os.rmdir, 'dir/sub'))
    watched(side, 'delete', fd, (os.unlink, 'dir/x' + name))
    watched(side, 'self', fd, (os.rmdir, 'dir'))
    write(name, b'[1]')
    wait_until(all_closed, 'the last close')
    checked(LIBC.inotify_add_watch(fd, os.fsencode(name), 0x2 | 0x4 | 0x8))
    watched(side, 'file by itself', fd, (write, name, b'[2]'))
    wait_until(all_closed, 'the last close')
    watched(side, 'and again', fd, (write, name, b'[3]'))


# ---- locks ----

OFD_GETLK, OFD_SETLK = 36, 37


def record(kind, start, length, pid=0):
    return struct.pack('hhqqi4x', kind, os.SEEK_SET, start, length, pid)


def set_record(fd, command, kind, start, length):
    fcntl.fcntl(fd, command, record(kind, start, length))


def held(fd, kind, start, length, command=OFD_GETLK):
    """Who is in the way: (kind, start, length), and the pid where there is one."""
    said = struct.unpack('hhqqi4x', fcntl.fcntl(fd, command, record(kind, start, length)))
    return 'free' if said[0] == fcntl.F_UNLCK else (said[0], *said[2:4], said[4] == -1 or said[4] == os.getpid())


def flocks(fd):
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@on_both_kinds({'doc.json': {'lease': (0, 'a reader has a version, which no writer can change')}})
def test_locks_of_descriptors(side, name):
    """Open file description locks, and how they meet those of processes.

    No close waits for the kernel to tell a FUSE filesystem of it (RELEASE), which gives them up.
    """
    write(name, b'{"a": 1}')
    one, two = os.open(name, os.O_RDWR), os.open(name, os.O_RDWR)
    third = os.open(name, os.O_RDONLY)
    side.do('lock', set_record, one, OFD_SETLK, fcntl.F_WRLCK, 0, 10)
    side.do('again', set_record, one, OFD_SETLK, fcntl.F_WRLCK, 5, 10)
    side.do('another', set_record, two, OFD_SETLK, fcntl.F_WRLCK, 14, 1)
    side.do('behind', set_record, two, OFD_SETLK, fcntl.F_WRLCK, 15, 0)
    side.do('in the way', held, two, fcntl.F_RDLCK, 3, 4)
    side.do('not in its own way', held, one, fcntl.F_RDLCK, 3, 4)
    side.do('a process is another', set_record, one, fcntl.F_SETLK, fcntl.F_WRLCK, 0, 1)
    side.do('in the way of a process', held, one, fcntl.F_RDLCK, 0, 1, fcntl.F_GETLK)
    side.do('a reader may not write', set_record, third, OFD_SETLK, fcntl.F_WRLCK, 100, 1)
    side.do('unlock a piece', set_record, one, OFD_SETLK, fcntl.F_UNLCK, 2, 2)
    side.do('the piece', set_record, third, OFD_SETLK, fcntl.F_RDLCK, 2, 2)
    side.do('shared', set_record, two, OFD_SETLK, fcntl.F_RDLCK, 3, 1)
    side.do('not to write', set_record, two, OFD_SETLK, fcntl.F_WRLCK, 3, 1)
    copy = os.dup(one)
    os.close(one)
    side.do('still held by its copy', held, two, fcntl.F_WRLCK, 0, 1)
    os.close(copy)
    side.do('given up', wait_until, lambda: held(two, fcntl.F_WRLCK, 0, 1) == 'free', 'the lock to be given up')
    side.do('pid must be 0', lambda: fcntl.fcntl(two, OFD_SETLK, record(fcntl.F_WRLCK, 0, 1, 5)))
    side.do('negative length', set_record, two, OFD_SETLK, fcntl.F_WRLCK, 10, -5)
    side.do('before the start', set_record, two, OFD_SETLK, fcntl.F_WRLCK, 1, -5)
    side.do('unknown kind', set_record, two, OFD_SETLK, 7, 0, 1)
    side.do('flock', fcntl.flock, two, fcntl.LOCK_EX)
    side.do('flock another', fcntl.flock, third, fcntl.LOCK_SH | fcntl.LOCK_NB)
    side.do('flock of nothing', fcntl.flock, third, 0)
    side.do('lease', fcntl.fcntl, third, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    os.close(two)
    side.do('flock now', wait_until, lambda: flocks(third), 'the lock to be given up')
    os.close(third)


# ---- too much of it ----

HUGE = [1 << 40, (1 << 62), 2**63 - 4096]


@pytest.mark.parametrize('name', NAMES)
def test_sizes_that_no_disk_holds(mount, name):
    """A write or truncate far out is an errno at once or a hole, and the daemon has not grown."""
    m = mount('{:doc {:a 1}}')
    write(m.mnt / 'file', b'{"a": 1}')

    def resident_kib():
        status = (pathlib.Path('/proc') / str(m.proc.pid) / 'status').read_text()
        return int(re.search(r'VmRSS:\s+(\d+)', status)[1])
    before = resident_kib()
    with opened(m.mnt / name, os.O_RDWR) as fd:
        for size in HUGE:
            for call in (lambda size=size: os.ftruncate(fd, size), lambda size=size: os.pwrite(fd, b'x', size),
                         lambda size=size: fallocate(fd, 0, 0, size), lambda size=size: fallocate(fd, 0, size, 4096),
                         lambda size=size: os.copy_file_range(fd, fd, 4, 0, size)):
                try:
                    call()
                except OSError as error:
                    assert error.errno in (errno.EFBIG, errno.ENOSPC, errno.EINVAL, errno.EOVERFLOW,
                                           errno.EOPNOTSUPP), (size, error)
        os.ftruncate(fd, 8)
        assert os.pread(fd, 100, 0) == (m.mnt / name).read_bytes()[:8]
        os.pwrite(fd, b'{"a": 2}', 0)
    wait_until(lambda: resident_kib() - before < 16384, 'the draft to be freed')
    assert (m.mnt / name).read_bytes() == b'{"a": 2}'
    assert os.stat(m.mnt / name).st_blocks * 512 < 1 << 20


CONTROLS = ['.mode', '.health', '.metrics', '.events', '.errors', '.migrate', '.validate', '.sync', '.help']


@pytest.mark.parametrize('control', CONTROLS)
def test_writes_of_all_sizes_to_a_control_file(mount, control):
    """An errno or success, in bounded time; the mount lives and means what it said."""
    m = mount('{:config {:a 1}}')
    path = m.mnt / control
    contents = [b'', b'x', b'\n', b'\0', b'\xff', b'x' * 4096, b'\0' * 4096, b'x' * (1 << 20), b' ' * (1 << 20),
                b'edn-only' + b' ' * (1 << 20), b'%s%n' * 100, b':' * 4096, b'force ' * 1000, b'all\0', b'run' + b'\n' * 9000]
    for content in contents:
        for offset in (0, 1, 4096, 1 << 40):
            for flags in (os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_TRUNC):
                try:
                    with opened(path, flags) as fd:
                        done = os.pwrite(fd, content, offset)
                    assert 0 <= done <= len(content)
                except OSError as error:
                    assert error.errno in (errno.EINVAL, errno.EACCES, errno.EBUSY, errno.EPERM, errno.E2BIG), error
    for call in (lambda: os.truncate(path, 5), lambda: os.truncate(path, 1 << 50), lambda: os.chmod(path, 0o777),
                 lambda: os.utime(path), lambda: os.unlink(path), lambda: os.rename(path, m.mnt / 'x'),
                 lambda: os.rename(m.mnt / 'config.json', path), lambda: os.mkdir(path / 'x'), lambda: os.listdir(path),
                 lambda: os.chown(path, 5, 5), lambda: os.link(path, m.mnt / 'y'), lambda: os.rmdir(path),
                 lambda: os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)), lambda: os.mkdir(path),
                 lambda: os.setxattr(path, 'user.x', b'y'), lambda: os.mknod(path)):
        try:
            call()
        except OSError:
            pass
    assert path.is_file() and path.read_bytes() is not None
    assert (m.mnt / '.health').read_bytes().startswith(b'{')
    (m.mnt / 'config.json').write_text('{"a": 2}')
    m.remount()
    assert (m.mnt / 'config.json').read_text() == '{"a": 2}'
    assert set(os.listdir(m.mnt)) == {'config.json'}
