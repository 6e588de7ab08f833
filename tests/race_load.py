# SPDX-License-Identifier: MIT
"""One of those who use a mount all at once: `race_load.py ROLE SEED`, in its root, until stdin ends or the mount.

What they do succeeds or not, as the others have it; nobody looks at what comes of it here. All names are relative, so
that nothing lands below a mountpoint that is none any more.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import pathlib
import random
import re
import select
import sys

DIRECTORIES = ['.', 'notes', 'notes/deep', 'presence/s1', 'presence/s2', 'review']
GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.ESHUTDOWN, errno.EIO)
MODES = ('edn-only', 'dual-write', 'datalevin-first', 'force datalevin-only')
RENAME_EXCHANGE = 2
AT_FDCWD = -100

libc = ctypes.CDLL(None, use_errno=True)


def write(path, text, flags=os.O_TRUNC):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o640)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def read(path):
    with open(path, 'rb') as file:
        return file.read()


def exchange(one, other):
    if libc.renameat2(AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), 'exchange')


class Role:
    def __init__(self, rng, edn):
        self.rng, self.edn, self.count = rng, edn, 0

    def path(self):
        return f'{self.rng.choice(DIRECTORIES)}/k{self.rng.randrange(6)}.json'

    def text(self):
        self.count += 1
        pad = 'p' * self.rng.choice((0, 10, 10, 5000, 100000))
        return '{"n": %d, "of": {"#set": [1, ":two"]}, "pad": "%s"}\n' % (self.count, pad)

    def step(self):
        self.rng.choice(self.steps)(self)


class Writer(Role):
    def save(self):
        write(self.path(), self.text())

    def save_by_rename(self):
        draft = f'{self.rng.choice(DIRECTORIES)}/.draft{self.rng.randrange(4)}'
        write(draft, self.text())
        os.rename(draft, self.path())

    def save_in_parts(self):
        fd = os.open(self.path(), os.O_RDWR | os.O_CREAT)
        try:
            text = self.text().encode()
            os.ftruncate(fd, 0)
            os.write(fd, text[:7])
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(fd, text[7:])
            os.fsync(fd)
            os.utime(fd, ns=(0, 1_500_000_000_000_000_000 + self.count))
            os.fchmod(fd, 0o600)
        finally:
            os.close(fd)

    def save_what_is_refused(self):
        write(self.path(), '{"n": ')

    def unlink(self):
        os.unlink(self.path())

    def rename(self):
        os.rename(self.path(), self.path())

    def exchange(self):
        exchange(self.path(), self.path())

    def leave(self):
        os.rename(self.path(), f'{self.rng.choice(DIRECTORIES)}/aside')

    def directories(self):
        directory = f'{self.rng.choice(DIRECTORIES)}/d{self.rng.randrange(2)}'
        if self.rng.random() < 0.4:
            os.mkdir(directory)
        elif self.rng.random() < 0.4:
            write(f'{directory}/x.json', self.text())
        elif self.rng.random() < 0.5:
            os.unlink(f'{directory}/x.json')
        else:
            os.rmdir(directory)

    def move_directory(self):
        one, other = self.rng.sample(['notes', 'notes2', 'presence/s1', 'presence/s3', 'review', 'notes/deep'], 2)
        os.rename(one, other)

    def make_again(self):
        os.makedirs(self.rng.choice(DIRECTORIES))

    def sync(self):
        fd = os.open(self.rng.choice(DIRECTORIES), os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    steps = [save] * 6 + [save_by_rename] * 3 + [save_in_parts] * 2 + [rename] * 2 + [
        save_what_is_refused, unlink, exchange, leave, directories, move_directory, make_again, sync]


class Reader(Role):
    def read(self):
        read(self.path())

    def hold(self):
        with open(self.path(), 'rb') as file:
            file.read(3)
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
                view[:]
            os.fstat(file.fileno())
            file.read()

    def look(self):
        path = self.path()
        os.stat(path)
        os.getxattr(path, 'user.ourofs.source')

    def list(self):
        for where, _, names in os.walk(self.rng.choice(DIRECTORIES)):
            for name in names:
                os.stat(f'{where}/{name}')

    steps = [read] * 6 + [hold, look, list]


class Watcher(Role):
    """Of the control files."""

    events = None

    def read(self):
        read(self.rng.choice(['.health', '.metrics', '.events', '.errors', '.migrate', '.validate', '.mode', '.sync']))

    def follow(self):
        self.events = self.events or open('.events', 'rb')
        self.events.read()

    def walk(self):
        for where, _, names in os.walk(self.rng.choice(['.store/edn', '.store/datalevin', '.rejected', '.conflicts'])):
            for name in names:
                read(f'{where}/{name}')

    steps = [read] * 8 + [follow, walk]


class Commander(Role):
    def migrate(self):
        write('.migrate', self.rng.choice(['all', 'sessions', 'pause', 'resume', 'stop']), 0)

    def validate(self):
        write('.validate', self.rng.choice(['run', 'run', 'stop']), 0)

    def sync(self):
        write('.sync', '1', 0)

    steps = [migrate, validate, sync]


class Switcher(Role):
    def switch(self):
        write('.mode', self.rng.choice(MODES), 0)

    steps = [switch]


class Rival(Role):
    """Rewrites memory.edn: what it read a while ago, with changes of its own."""

    def __init__(self, *args):
        super().__init__(*args)
        self.read_again()

    def read_again(self):
        self.known = self.edn.read_bytes()

    def changed(self):
        others = re.sub(rb' :rival/k[0-9]+ [0-9]+', b'', self.known[:self.known.rfind(b'}')] or b'{')
        self.count += 1
        return others + b''.join(b' :rival/k%d %d' % (i, self.count + i) for i in range(4)) + b'}\n'

    def in_place(self):
        with open(self.edn, 'r+b', buffering=0) as file:
            file.truncate(0)
            file.write(self.changed())

    def by_rename(self):
        other = self.edn.with_name(f'rival-{os.getpid()}')
        other.write_bytes(self.changed())
        other.rename(self.edn)

    def broken(self):
        with open(self.edn, 'r+b', buffering=0) as file:
            file.truncate(0)
            file.write(b'{:half ')

    steps = [read_again] * 4 + [in_place] * 3 + [by_rename] * 2 + [broken]


PAUSES_S = {Writer: 0, Reader: 0, Watcher: 0.01, Commander: 0.05, Switcher: 0.1, Rival: 0.2}
ROLES = {role.__name__.lower(): role for role in PAUSES_S}


def main(name, seed, edn):
    role = ROLES[name](random.Random(f'{name}{seed}'), edn)
    done = 0
    while not select.select([sys.stdin], [], [], PAUSES_S[type(role)])[0]:
        try:
            role.step()
            done += 1
        except ValueError:
            pass  # mmap of an empty file
        except OSError as error:
            if error.errno in GONE:
                break
    print(done)


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]))
