# SPDX-License-Identifier: MIT
"""A script of system calls, run in a mount and in a real directory: what each call said, to compare.

    def script(side):
        side.do('create', os.mkdir, 'd')          # notes 'create': None, or the errno's name
        side.note('entries', sorted(os.listdir('d')))

    compare(mount, script)

Each run is a process of its own in the directory, which may be another user's.
"""
import ctypes
import errno
import os
import pickle
import shutil
import stat
import sys
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.readdir.restype = ctypes.c_void_p
LIBC.opendir.restype = ctypes.c_void_p
LIBC.telldir.restype = ctypes.c_long
NOREPLACE, EXCHANGE, WHITEOUT = 1, 2, 4
CWD = -100


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def renameat2(old, new, flags):
    checked(LIBC.renameat2(CWD, os.fsencode(old), CWD, os.fsencode(new), flags))


def fallocate(fd, flags, offset, length):
    """Of the kernel: posix_fallocate(3) writes where a file system has none."""
    checked(LIBC.fallocate(fd, flags, ctypes.c_long(offset), ctypes.c_long(length)))


def write(path, content):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        if content:
            os.write(fd, content)
    finally:
        os.close(fd)


def read(path):
    with open(path, 'rb', buffering=0) as file:
        return file.read()


def tree(top='.'):
    """Everything below: {path: its content, or what it is}."""
    found = {}
    for where, directories, files in os.walk(top):
        for name in directories + files:
            path = os.path.join(where, name)
            kind = stat.S_IFMT(os.lstat(path).st_mode)
            found[os.path.relpath(path, top)] = read(path) if kind == stat.S_IFREG else kind
    return found


class Side:
    """Where a script runs, and what it noted."""

    def __init__(self):
        self.notes = []

    def note(self, name, value):
        assert name not in dict(self.notes), f'{name} was noted already'
        self.notes.append((name, value))

    def do(self, name, function, *args, **named):
        """Calls, notes the errno or what came back, and returns that."""
        result = None
        try:
            result = function(*args, **named)
            self.note(name, None if isinstance(result, os.stat_result) else result)
        except OSError as error:
            self.note(name, errno.errorcode[error.errno])
        return result

    def opened(self, name, path, flags, mode=0o644, **named):
        """Opens and notes how that went, but not the number. None, where it did not."""
        fd = None
        try:
            fd = os.open(path, flags, mode, **named)
            self.note(name, 'open')
        except OSError as error:
            self.note(name, errno.errorcode[error.errno])
        return fd


def run(directory, script, uid=None):
    """What the script noted, run in the directory by a child that may be another user."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reader)
            os.chdir(directory)
            os.umask(0o022)
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            side = Side()
            script(side)
            with os.fdopen(writer, 'wb') as out:
                pickle.dump(side.notes, out)
            status = 0
        except BaseException:  # the parent says that it failed
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, 'rb') as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f'the script failed in {directory}'
    return dict(pickle.loads(said))


def differences(ours, theirs, intended):
    """As text. intended: {name: (what a mount says, why)}, each of which must be met."""
    said = []
    for name, value in theirs.items():
        wanted = intended[name][0] if name in intended else value
        if name in intended and wanted == value:
            said.append(f'{name}: a real directory says {value!r} as well')
        if ours.get(name) != wanted:
            said.append(f'{name}: {ours.get(name)!r}, a real directory {value!r}'
                        + (f', intended {wanted!r}' if name in intended else ''))
    said += [f'{name}: {ours[name]!r}, a real directory nothing' for name in ours if name not in theirs]
    said += [f'{name}: intended, and not met' for name in intended if name not in theirs]
    return said


def real_directory(m, owner=None):
    """Beside the mount, on the same disk as its store."""
    path = m.base / 'real'
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(0o755)
    if owner is not None:
        os.chown(path, owner, owner)
    return path


def compare(m, script, intended=None, uid=None, owner=None):
    """Runs a script on both sides; fails on what differs and is not intended."""
    theirs = run(real_directory(m, owner), script, uid)
    ours = run(m.mnt, script, uid)
    said = differences(ours, theirs, intended or {})
    assert not said, '\n'.join(said)


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)
