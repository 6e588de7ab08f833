# SPDX-License-Identifier: MIT
"""Random sequences of what programs do to files, beside a model that says what must be there after each."""
import ctypes
import errno
import json
import os
import random
import stat

import pytest

import edn_reader
from conftest import wait_until

LIBC = ctypes.CDLL(None, use_errno=True)
NOREPLACE, EXCHANGE = 1, 2
DIRECTORIES = ['n', 'n/m', 'presence', 'presence/s1', 'presence/s2', '.d']
DOCUMENTS = ['a.json', 'b.json', 'n/c.json', 'n/m/d.json', 'n/a.json', 'presence/s1/x.json',
             'presence/s1/:y.json', 'presence/s1/two words.json', 'presence/s2/x.json']
SCRATCH = ['t', 'a.json~', 'n/.u.json.swp', 'n/m/4913', 'presence/s1/w~', '.d/v.json', '.d/a.json']
COLLECTIONS = ('presence/s1', 'presence/s2')
ATTEMPTS = int(os.environ.get('OUROFS_MODEL_SEEDS', '6'))


def is_document(path):
    return path in DOCUMENTS


def is_json(content):
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


class File:
    def __init__(self, content, mode, mtime=None):
        self.content, self.mode, self.mtime = content, mode, mtime


class Model:
    """What is there, by path. A document without content is an empty new file, in no memory yet."""

    def __init__(self):
        self.files = {}
        self.born = set()  # collections that have had a member

    def put(self, path, content):
        """Returns the errno that close gives, or 0."""
        there = self.files.get(path)
        if is_document(path) and not content:
            if there is None:
                self.files[path] = File(b'', 0o644)
            return 0  # emptying is refused where nobody hears it
        if is_document(path) and not is_json(content):
            return errno.EBADMSG
        self.files[path] = File(content, there.mode if there else 0o644)
        return 0

    def rename(self, old, new, flags):
        source, target = self.files.get(old), self.files.get(new)
        if source is None or flags == EXCHANGE and target is None:
            return errno.ENOENT
        if flags == NOREPLACE and target is not None:
            return errno.EEXIST
        if old == new:
            return 0
        if flags == EXCHANGE:
            if is_document(old) != is_document(new):
                return errno.EINVAL
            if is_document(old) and not (source.content and target.content):
                return errno.EINVAL
            self.files[old], self.files[new] = target, source
            return 0
        if is_document(new):
            if not source.content and target is not None and target.content:
                return errno.EBADMSG
            if source.content and not is_json(source.content):
                return errno.EBADMSG
        self.files[new] = self.files.pop(old)
        return 0

    def unlink(self, path):
        return 0 if self.files.pop(path, None) else errno.ENOENT

    def memory(self):
        keys = {}
        for path, file in self.files.items():
            if not is_document(path) or not file.content:
                continue
            value = edn_reader.read_json(file.content.decode())
            where, name = os.path.split(path[:-5])
            if where in COLLECTIONS:
                self.born.add(where)
                member = ('kw', name[1:]) if name[0] == ':' else ('str', name)
                keys.setdefault(('kw', where), {})[member] = value
            else:
                keys['kw', path[:-5]] = value
        for where in self.born:
            keys.setdefault(('kw', where), {})
        return {key: ('map', frozenset(value.items())) if isinstance(value, dict) else value
                for key, value in keys.items()}


def outcome(call, *args):
    try:
        call(*args)
    except OSError as error:
        return error.errno
    return 0


def renameat2(old, new, flags):
    if LIBC.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), f'{old} -> {new}, flags {flags}')


class Run:
    def __init__(self, m, seed):
        self.m = m
        self.rng = random.Random(seed)
        self.model = Model()
        self.held = []  # (descriptor, what it was opened on)
        self.done = []  # for who has to find out what went wrong

    def content(self):
        kind = self.rng.randrange(10)
        if kind < 6:
            value = {'n': self.rng.randrange(1000), 'tags': {'#set': [':a', 'b' * kind * 50]}}
            return json.dumps(value, indent=kind or None).encode()
        return [b'', b'[1', b'oops', b'7\n'][kind - 6]

    def path(self):
        return self.rng.choice(DOCUMENTS + SCRATCH if self.rng.random() < 0.3 else DOCUMENTS[:5]
                               + SCRATCH[:2])

    def step(self, *what):
        self.done.append(what)

    def same(self, ours, expected):
        assert ours == expected, f'{ours}, not {expected}, after {self.done[-25:]}'

    def write(self):
        path, content = self.path(), self.content()
        how = self.rng.choice(['w', 'r+', 'pieces', 'fsync'])
        self.step('write', how, path, content)
        there = self.m.mnt / path
        if how != 'w' and path not in self.model.files or not content:
            how = 'w'

        def save():
            with open(there, 'wb' if how == 'w' else 'r+b', buffering=0) as file:
                if how != 'w':
                    file.truncate(0)
                for piece in (content[:5], content[5:]) if how == 'pieces' else (content,):
                    file.write(piece)
                if how == 'fsync':
                    os.fsync(file.fileno())
        self.same(outcome(save), self.model.put(path, content))
        if is_document(path) and not is_json(content):
            self.wait_for_release()

    def wait_for_release(self):
        """It comes behind close, and what was refused is there until then."""
        wait_until(lambda: self.m.gauge('open_handles') == len(self.held), 'RELEASE')

    def rename(self):
        old, new = self.path(), self.path()
        flags = self.rng.choice([0, 0, 0, 0, NOREPLACE, EXCHANGE])
        self.step('rename', old, new, flags)
        self.same(outcome(renameat2, self.m.mnt / old, self.m.mnt / new, flags),
                  self.model.rename(old, new, flags))

    def unlink(self):
        path = self.path()
        self.step('unlink', path)
        self.same(outcome(os.unlink, self.m.mnt / path), self.model.unlink(path))

    def attributes(self):
        path = self.path()
        file = self.model.files.get(path)
        mode, mtime = self.rng.choice([0o600, 0o644, 0o664]), self.rng.randrange(10**18, 10**18 * 2)
        self.step('attributes', path, mode, mtime)
        expected = 0 if file else errno.ENOENT
        self.same(outcome(os.chmod, self.m.mnt / path, mode), expected)
        if self.rng.random() < 0.5:
            self.same(outcome(lambda: os.utime(self.m.mnt / path, ns=(mtime, mtime))), expected)
            if file:
                file.mtime = mtime
        if file:
            file.mode = mode

    def hold(self):
        path = self.path()
        if is_document(path) and path in self.model.files and self.model.files[path].content:
            self.step('hold', path)
            self.held.append((os.open(self.m.mnt / path, os.O_RDONLY), self.model.files[path].content,
                              path))

    def check_held(self):
        for fd, content, path in self.held:
            self.step('read what was held', path)
            self.same(os.pread(fd, 10000, 0), content)
            self.same(os.fstat(fd).st_size, len(content))

    def let_go(self):
        self.check_held()
        for fd, _, _ in self.held:
            os.close(fd)
        self.held = []

    def look(self):
        self.check_held()
        found = {os.path.relpath(os.path.join(where, name), self.m.mnt)
                 for where, _, names in os.walk(self.m.mnt) for name in names}
        self.same(found, set(self.model.files))
        for path, file in self.model.files.items():
            self.step('read', path)
            self.same((self.m.mnt / path).read_bytes(), file.content)
            st = (self.m.mnt / path).stat()
            self.same((st.st_size, stat.S_IMODE(st.st_mode)), (len(file.content), file.mode))
            if file.mtime is not None:
                self.same(st.st_mtime_ns, file.mtime)

    def sync(self):
        self.step('sync')
        self.m.sync()
        self.same(edn_reader.memory(self.m.edn_text()), self.model.memory())

    def remount(self):
        self.let_go()
        self.step('remount')
        self.m.remount()
        self.look()

    def kill(self):
        self.let_go()
        self.step('kill')
        self.m.kill()
        self.m.remount()
        self.look()
        self.sync()

    def go(self, steps):
        common = [self.write] * 8 + [self.rename] * 8 + [self.unlink] * 2 + [self.attributes] * 2 + \
            [self.hold] * 2 + [self.look, self.sync]
        for _ in range(steps):
            self.rng.choice(common)()
            self.model.memory()  # takes note of the collections that were born
            if self.rng.random() < 0.01:
                self.rng.choice([self.remount, self.kill])()
        self.look()
        self.sync()
        self.let_go()


def run_random_changes(m, seed):
    for directory in DIRECTORIES:
        (m.mnt / directory).mkdir()
    run = Run(m, seed)
    try:
        run.go(200)
    finally:
        for fd, _, _ in run.held:
            os.close(fd)


@pytest.mark.parametrize('seed', range(ATTEMPTS))
def test_random_changes(mount, seed):
    run_random_changes(mount('{}', 'edn_delay=5'), seed)


@pytest.mark.preload
@pytest.mark.parametrize('seed', range(ATTEMPTS))
def test_random_changes_while_the_kernel_is_told_late(laggard, seed):
    """Its requests find what it knows behind what is; RELEASE comes late, too."""
    m, late = laggard
    late.with_name('late.jitter').touch()
    run_random_changes(m, seed)
