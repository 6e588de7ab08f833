# SPDX-License-Identifier: MIT
"""A model of what is below a mount, and operations as data that are done to both.

An operation is a tuple, its name first: ('save', 'a.json', b'1'). perform(mnt, operation) does it to a
mount, tree.after(operation) returns the tree that must be there then, and tree.amid(operation, found) what
may be there as well when the daemon was killed in its midst.
"""
import ctypes
import functools
import os
import stat
from typing import NamedTuple, Optional

import lmdb

import eav_store
import edn_reader

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, EXCHANGE = -100, 2
COLLECTIONS = 'presence/'  # below it directories are collections


class File(NamedTuple):
    content: bytes
    mode: int
    mtime: Optional[int] = None  # None: not known


def is_document(path):
    return path.endswith('.json') and not any(name.startswith('.') for name in path.split('/'))


def below(path, directory):
    return path.startswith(directory + '/')


@functools.lru_cache(maxsize=1000)
def value_of(content):
    return edn_reader.read_json(content.decode())


@functools.lru_cache(maxsize=100)
def memory_of(text):
    """A memory.edn as a dict of its keys."""
    return edn_reader.memory(text)


class Tree:
    def __init__(self, files=(), directories=(), born=()):
        self.files = dict(files)
        self.directories = dict(directories)  # path: mode
        self.born = set(born)  # collections that have a key

    def copy(self):
        return Tree(self.files, self.directories, self.born)

    def after(self, operation):
        tree = self.copy()
        getattr(tree, operation[0], lambda *_: None)(*operation[1:])
        return tree

    # -- what changes --

    def save(self, path, content):
        there = self.files.get(path)
        self.put(path, File(content, there.mode if there else 0o644))

    def save_synced(self, path, content):
        self.save(path, content)

    def touch(self, path):
        self.put(path, self.files.get(path) or File(b'', 0o644))

    def put(self, path, file):
        self.files[path] = file
        parent = os.path.dirname(path)
        if is_document(path) and file.content and below(parent, COLLECTIONS[:-1]):
            self.born.add(parent)

    def unlink(self, path):
        del self.files[path]

    def rename(self, old, new):
        if old in self.files:
            self.put(new, self.files.pop(old))
            return
        for mine in (self.files, self.directories):
            for path in [path for path in mine if path == old or below(path, old)]:
                mine[new + path[len(old):]] = mine.pop(path)
        self.born = {new + path[len(old):] if path == old or below(path, old) else path
                     for path in self.born}

    def exchange(self, one, other):
        self.files[one], self.files[other] = self.files[other], self.files[one]

    def mode(self, _):
        pass

    def migrate(self, _):
        pass

    def outside(self, path, content):
        """Another program's file has this; content None: no such key. Directories that nothing is in go with it.

        What was never saved here may be shown as old as that file from now on.
        """
        self.files = {name: file._replace(mtime=None) for name, file in self.files.items()}
        if content is not None:
            self.put(path, File(content, self.files[path].mode if path in self.files else 0o644))
            return
        del self.files[path]
        above = os.path.dirname(path)
        while above and not any(below(other, above) for other in [*self.files, *self.directories]):
            del self.directories[above]
            above = os.path.dirname(above)

    def mkdir(self, path):
        self.directories[path] = 0o755

    def rmdir(self, path):
        del self.directories[path]
        self.born.discard(path)

    def chmod(self, path, mode):
        if path in self.directories:
            self.directories[path] = mode
        else:
            self.files[path] = self.files[path]._replace(mode=mode)

    def utime(self, path, mtime):
        self.files[path] = self.files[path]._replace(mtime=mtime)

    # -- what may be there after a kill --

    def amid(self, operation, found):
        """Scratch files are not saved as a whole; a document that leaves or enters scratch is there twice."""
        name, *rest = operation
        if name in ('save', 'save_synced', 'touch') and not is_document(rest[0]):
            there = found.files.get(rest[0])
            if there and rest[1].startswith(there.content):
                return [self.after(('save', rest[0], there.content))]
        if name == 'rename' and rest[0] in self.files and is_document(rest[0]) != is_document(rest[1]):
            both = self.after(operation)
            both.files[rest[0]] = self.files[rest[0]]
            return [both]
        return self.gaps(operation, found)

    def gaps(self, operation, found):
        """What is not yet as it should be after a kill: goes when it is."""
        name, *rest = operation
        if name in ('save', 'save_synced'):
            # A directory's mode follows its first key in commits of their own.
            open_to_all = self.after(operation)
            for path in self.directories:
                if below(rest[0], path) and found.directories.get(path) == 0o755:
                    open_to_all.directories[path] = 0o755
            return [open_to_all]
        if name == 'rename' and rest[0] in self.directories:
            # Of a directory's rename scratch files come first, then all keys in one commit.
            torn = self.copy()
            moved = self.after(operation)
            for path in [path for path in self.files if below(path, rest[0]) and not is_document(path)]:
                torn.files[rest[1] + path[len(rest[0]):]] = torn.files.pop(path)
            torn.directories.update({path: mode for path, mode in moved.directories.items()
                                     if path in found.directories})
            return [torn]
        return []

    # -- comparing --

    def differences(self, found):
        """How the tree that was found is not this one, as text."""
        said = []
        for path in sorted(set(self.files) | set(found.files)):
            ours, theirs = self.files.get(path), found.files.get(path)
            if ours and theirs and ours.mtime is None:
                theirs = theirs._replace(mtime=None)
            if ours != theirs:
                said.append(f'{path}: {shown(theirs)}, not {shown(ours)}')
        for path in sorted(set(self.directories) | set(found.directories)):
            ours, theirs = self.directories.get(path), found.directories.get(path)
            if ours != theirs:
                said.append(f'{path}/: {shown(theirs)}, not {shown(ours)}')
        return said

    def memory(self):
        """What memory.edn must hold, as edn_reader reads it."""
        keys = {('kw', path): {} for path in self.born}
        for path, file in self.files.items():
            if not is_document(path) or not file.content:
                continue
            value = value_of(file.content)
            where, name = os.path.split(path[:-len('.json')])
            if below(where, COLLECTIONS[:-1]):
                keys['kw', where]['kw' if name[0] == ':' else 'str', name.lstrip(':')] = value
            else:
                keys['kw', path[:-len('.json')]] = value
        return {key: ('map', frozenset(value.items())) if isinstance(value, dict) else value
                for key, value in keys.items()}


def shown(thing):
    if isinstance(thing, File):
        head = thing.content[:40]
        return f'{head!r} ({len(thing.content)} bytes, mode {thing.mode:o}, mtime {thing.mtime})'
    return 'absent' if thing is None else f'mode {thing:o}'


def look(mnt, text=None):
    """What is below mnt. text: its memory.edn, which says which collections have a key."""
    tree = Tree()
    pending = ['']
    while pending:
        where = pending.pop()
        with os.scandir(os.path.join(mnt, where)) as entries:
            for entry in entries:
                path = os.path.join(where, entry.name)
                st = os.lstat(entry.path)
                if stat.S_ISDIR(st.st_mode):
                    tree.directories[path] = stat.S_IMODE(st.st_mode)
                    pending.append(path)
                else:
                    with open(entry.path, 'rb', buffering=0) as file:
                        content = file.read()
                    assert len(content) == st.st_size, f'{path}: {len(content)}, st_size {st.st_size}'
                    tree.files[path] = File(content, stat.S_IMODE(st.st_mode), st.st_mtime_ns)
    if text is not None:
        tree.born = {key[1] for key, value in memory_of(text).items()
                     if key[0] == 'kw' and key[1].startswith(COLLECTIONS) and value[0] == 'map'}
    return tree


def compare_stores(m):
    """How the stores of a mount differ after its last unmount, as text: what the EAV store has, if it is in use."""
    with lmdb.open(str(m.store / 'saved'), readonly=True, lock=False, max_dbs=4) as saved:
        with saved.begin() as txn:
            if not txn.get(b'mode', db=saved.open_db(b'ourofs', txn, create=False))[0]:
                return []
    edn = edn_reader.memory(m.edn_text())
    said = []
    for (key, member), record in eav_store.documents(m.store).items():
        there = edn.get(edn_reader.read(key.decode()))
        if member is not None:
            there = dict(there[1]).get(edn_reader.read(member.decode())) if there else None
        if record.deleted and there is None:  # a kill may leave a tombstone, which the next switch takes
            continue
        if record.collection:
            if not there or there[0] != 'map':
                said.append(f'{key}: a collection, in memory.edn {there}')
        elif there != edn_reader.read_json(record.bytes.decode()):
            said.append(f'{key} {member}: {record.bytes[:100]}, in memory.edn {there}')
    return said


# ---- to a mount ----

def write(path, content, sync=False):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        done = 0
        while done < len(content):
            done += os.write(fd, content[done:])
        if sync:
            os.fsync(fd)
    except BaseException:
        try:
            os.close(fd)
        except OSError:
            pass
        raise
    os.close(fd)


def fsync(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def exchange(one, other):
    if LIBC.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), EXCHANGE):
        raise OSError(ctypes.get_errno(), f'exchanging {one} and {other}')


def look_at(path):
    """A file, or what is in a directory."""
    if os.path.isdir(path):
        os.listdir(path)
    else:
        with open(path, 'rb') as file:
            file.read()


def perform(mnt, operation):
    """Raises OSError where the mount refuses or is gone."""
    name, *rest = operation
    at = [os.path.join(mnt, word) if isinstance(word, str) else word for word in rest]
    if name in ('rename', 'exchange'):
        {'rename': os.rename, 'exchange': exchange}[name](*at)
    elif name in ('save', 'save_synced'):
        write(*at, sync=name == 'save_synced')
    elif name == 'touch':
        write(at[0], b'')
    elif name == 'utime':
        os.utime(at[0], ns=(at[1], at[1]))
    elif name == 'fsync':
        fsync(at[0])
    elif name == 'sync':
        write(os.path.join(mnt, '.sync'), b'1\n')
    elif name in ('mode', 'migrate'):
        write(os.path.join(mnt, '.' + name), rest[0].encode())
    else:
        {'look_at': look_at, 'unlink': os.unlink, 'mkdir': os.mkdir, 'rmdir': os.rmdir, 'chmod': os.chmod}[name](*at)
