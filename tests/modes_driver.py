# SPDX-License-Identifier: MIT
"""What the tests of modes and of failing stores do to a mount, and what they look at."""
import itertools
import json
import os
import random
import stat
import threading
from typing import NamedTuple

import eav_store
import tree_model


def mode_of(m):
    return (m.mnt / '.mode').read_text().rstrip('\n')


def switch(m, mode):
    (m.mnt / '.mode').write_text(('force ' if mode == 'datalevin-only' else '') + mode + '\n')
    assert mode_of(m) == mode


def remount(m):
    """In no mode that is named: it is as it was left."""
    return m.remount('edn_delay=5')


def crash(m):
    m.kill()
    m.options = ('edn_delay=5',)
    m.mount()


def source(m, path):
    return os.getxattr(m.mnt / path, 'user.ourofs.source').decode()


class Seen(NamedTuple):
    content: bytes
    mode: int
    mtime: int
    ino: int


def look(m):
    """Every file and directory, as far as a switch must not change it."""
    found = {}
    for where, directories, names in os.walk(m.mnt):
        there = os.path.relpath(where, m.mnt)
        for name in directories + names:
            path = os.path.normpath(f'{there}/{name}')
            st = os.stat(m.mnt / path)
            is_file = stat.S_ISREG(st.st_mode)
            found[path] = Seen((m.mnt / path).read_bytes() if is_file else b'', st.st_mode,
                               st.st_mtime_ns if is_file else 0, st.st_ino)
    return found


def in_edn(m):
    return tree_model.memory_of(m.edn_text())


def in_mount(m):
    """What memory.edn must hold: as the mount shows it."""
    return tree_model.look(m.mnt, m.edn_text()).memory()


def in_eav(store):
    """The documents of the EAV store by path; the daemon is not there."""
    found = {}
    for (key, member), record in eav_store.documents(store).items():
        path = key.decode()[1:] + ('' if member is None else '/' + json.loads(member))
        if not record.deleted and not record.collection:
            found[path + '.json'] = record
    return found


def compare_eav(m, seen, whole):
    """seen: look() before the unmount. whole: nothing may be missing."""
    found = in_eav(m.store)
    files = {path: file for path, file in seen.items() if path.endswith('.json')}
    assert found.keys() <= files.keys()
    assert not whole or found.keys() == files.keys()
    for path, record in found.items():
        file = files[path]
        assert (path, record.bytes, record.mode, record.ino) == (
            path, file.content, stat.S_IMODE(file.mode), file.ino)
        assert not record.has_mtime or record.mtime_ns == file.mtime


def work(m, word):
    """Every kind of change. What is deleted is deleted."""
    m_config, session = m.mnt / 'config.json', m.mnt / f'presence/{word}'
    m_config.write_text('{ "a":\t"%s" }' % word)
    m_config.chmod(0o640)
    os.utime(m_config, ns=(0, 1_500_000_000_123_456_789 + len(word)))
    (m.mnt / f'{word}.json').write_text('{"#set": [":x", "%s"]}  \n' % word)
    (m.mnt / f'{word}-gone.json').write_text('1')
    (m.mnt / f'{word}-gone.json').unlink()
    session.mkdir()
    for name in ('ann', 'ben', 'cid'):
        (session / f'{name}.json').write_text('{"who": "%s"}' % name)
    (session / 'ben.json').unlink()
    (session / 'cid.json').rename(session / 'dan.json')
    (m.mnt / f'notes/{word}').mkdir()
    (m.mnt / f'notes/{word}/y.json').write_text('[null]')
    (m.mnt / f'presence/bare-{word}').mkdir()
    (m.mnt / f'presence/bare-{word}/one.json').write_text('1')
    (m.mnt / f'presence/bare-{word}/one.json').unlink()
    (m.mnt / f'presence/gone-{word}').mkdir()
    (m.mnt / f'presence/gone-{word}/one.json').write_text('1')
    (m.mnt / f'presence/gone-{word}/one.json').unlink()
    (m.mnt / f'presence/gone-{word}').rmdir()


class Writers:
    """Save, delete and rename documents of their own until the end of the with statement."""

    def __init__(self, m, count=4):
        self.m = m
        self.stop = threading.Event()
        self.books = [{} for _ in range(count)]
        self.flying = [None] * count  # what may have been done and may not
        self.failures = []
        self.killed = False
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(count)]

    def run(self, mine):
        rng, book = random.Random(mine), self.books[mine]
        try:
            for number in itertools.count():
                if self.stop.is_set():
                    return
                name = f'w{mine}-{rng.randrange(20)}.json'
                path = (f'presence/w{mine}/' if rng.random() < 0.5 else '') + name
                self.flying[mine] = (path, b'%d' % number)
                if path in book and rng.random() < 0.3:
                    self.flying[mine] = (path, None)
                    (self.m.mnt / path).unlink()
                    del book[path]
                else:
                    (self.m.mnt / path).write_bytes(b'%d' % number)
                    book[path] = b'%d' % number
                self.flying[mine] = None
        except OSError as error:
            if not self.killed:
                self.failures.append(error)

    def __enter__(self):
        for mine in range(len(self.books)):
            (self.m.mnt / f'presence/w{mine}').mkdir(parents=True, exist_ok=True)
        for thread in self.threads:
            thread.start()
        return self

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures

    def __exit__(self, *_):
        self.stop.set()
        self.end()

    def compare(self):
        expected = {path: content for book in self.books for path, content in book.items()}
        found = {path: file.content for path, file in look(self.m).items() if path.endswith('.json')}
        for path, content in filter(None, self.flying):
            if found.get(path) == content:
                expected.pop(path, None)
                found.pop(path, None)
            elif path not in expected and path in found and found[path] == b'':
                del found[path]  # created, and not saved
        assert found == expected, {path: (found.get(path), expected.get(path))
                                   for path in found.keys() | expected.keys()
                                   if found.get(path) != expected.get(path)}
