# SPDX-License-Identifier: MIT
"""Saves through the mount beside a program that never reads memory.edn again, at random: nothing saved here is lost.

Whatever he writes, what was saved here stands until it is changed here (all values differ, so that he can't come upon the
same). What is mounted is what is in memory.edn, and what the next mount shows. OUROFS_OUTSIDE_SEEDS says how many
sequences are tried.
"""
import os
import random

import pytest

import edn_reader
from conftest import examples
from outside import keys, read, soon
from rival import write_by_rename, write_in_place

SEEDS = int(os.environ.get('OUROFS_OUTSIDE_SEEDS', examples(12)))
STEPS = 25
FILLER = keys(30)  # who leaves most out is not believed
KEYS = 'presence/s', 'presence/t', 'presence', 'config', 'a', 'a/b'
MEMBERS = 'x', 'y', 'z'


def may_be_collection(key):
    return key.startswith('presence/')


def documents_of(text):
    """Path -> content, as memory.edn has it."""
    found = {}
    for (_, key), (kind, value) in edn_reader.memory(text).items():
        if kind == 'map':
            found |= {f'{key}/{member}.json': str(n) for (_, member), (_, n) in value}
        elif key in KEYS:
            found[f'{key}.json'] = str(value)
    return found


def documents_in(m):
    found = {}
    for directory, directories, files in os.walk(m.mnt):
        directories[:] = [name for name in directories if not name.startswith('.')]
        for name in files:
            path = os.path.relpath(os.path.join(directory, name), m.mnt)
            if not name.startswith('.') and (os.path.dirname(path) or path[:-5] in KEYS):
                found[path] = read(m.mnt / path).strip()
    return found


class Theirs:
    """The other program's memory."""

    def __init__(self, rng, number):
        self.rng, self.number = rng, number
        self.memory = {key: self.value(key) for key in KEYS if rng.random() < 0.6}
        self.mark = 0

    def value(self, key):
        if may_be_collection(key) and self.rng.random() < 0.6:
            return {member: self.number() for member in MEMBERS if self.rng.random() < 0.5}
        return self.number()

    def change(self):
        for key in self.rng.sample(KEYS, self.rng.randint(1, 3)):
            value = self.memory.get(key)
            if value is not None and self.rng.random() < 0.25:
                del self.memory[key]
            elif isinstance(value, dict) and self.rng.random() < 0.6:
                member = self.rng.choice(MEMBERS)
                self.memory[key] = {name: n for name, n in value.items() if name != member}
                if member not in value or self.rng.random() < 0.6:
                    self.memory[key][member] = self.number()
            else:
                self.memory[key] = self.value(key)
        self.mark += 1

    def text(self):
        def edn(value):
            return '{%s}' % ' '.join(f'"{k}" {n}' for k, n in value.items()) if isinstance(value, dict) else value
        return '{%s :mark %d %s}' % (FILLER, self.mark,
                                     ' '.join(f':{key} {edn(value)}' for key, value in self.memory.items()))


class Ours:
    """What was done through the mount, and not undone since: path -> content, or None for what was removed."""

    def __init__(self, rng, number, m, theirs):
        self.rng, self.number, self.m, self.theirs = rng, number, m, theirs
        self.stands = {}

    def left(self, path):
        """His file has it, so that he would bring it back."""
        self.stands.pop(path, None)
        if path in documents_of(self.theirs.text()):
            self.stands[path] = None

    def save(self):
        key = self.rng.choice(KEYS)
        path, at = f'{key}.json', self.m.mnt / key
        if may_be_collection(key) and (at.exists() or not (self.m.mnt / path).exists() and self.rng.random() < 0.5):
            path = f'{key}/{self.rng.choice(MEMBERS)}.json'
        (self.m.mnt / path).parent.mkdir(parents=True, exist_ok=True)
        self.stands[path] = str(1_000_000 + self.number())
        (self.m.mnt / path).write_text(self.stands[path])

    def remove(self):
        for path in self.some(1):
            (self.m.mnt / path).unlink()
            self.left(path)

    def rename(self):
        for source, target in zip(*[iter(self.some(2))] * 2):
            content = read(self.m.mnt / source).strip()
            (self.m.mnt / source).rename(self.m.mnt / target)
            self.left(source)
            self.stands[target] = content
            if documents_of(self.theirs.text()).get(target) == content:
                del self.stands[target]  # changed back: it is as it was before anything was done here

    def some(self, count):
        there = sorted(documents_in(self.m))
        return self.rng.sample(there, count) if len(there) >= count else []

    def change(self):
        self.rng.choices([self.save, self.remove, self.rename], [5, 2, 2])[0]()

    def agree(self):
        """What is in neither is nobody's any more."""
        there = documents_of(self.theirs.text())
        self.stands = {path: content for path, content in self.stands.items() if content or path in there}

    def check(self):
        def lost():
            try:
                return {path: (content, read(self.m.mnt / path)) for path, content in self.stands.items()
                        if (read(self.m.mnt / path) or '').strip() != (content or '')}
            except OSError as error:  # it went while it was looked for
                return error
        soon(lambda: not lost(), f'what was saved here, of which is missing: {lost()}')
        self.m.sync()
        assert documents_in(self.m) == documents_of(self.m.edn_text())


@pytest.mark.parametrize('seed', range(SEEDS))
def test_what_was_saved_here_stands(mount, seed):
    rng = random.Random(seed)
    numbers = iter(range(1_000_000))
    theirs = Theirs(rng, lambda: next(numbers))
    m = mount(theirs.text(), f'mode={rng.choice(["edn-only", "dual-write", "datalevin-first"])}', 'edn_delay=5')
    ours = Ours(rng, lambda: next(numbers), m, theirs)
    for _ in range(STEPS):
        for _ in range(rng.randint(0, 3)):
            ours.change()
        theirs.change()
        ours.agree()
        away = rng.random() < 0.2
        if away:
            m.unmount()
        rng.choice([write_in_place, write_by_rename])(m.edn, theirs.text())
        if away:
            m.mount()
        soon(lambda: read(m.mnt / 'mark.json') == f'{theirs.mark}\n', 'the change')
        ours.check()
    before = documents_in(m)
    m.remount()
    assert documents_in(m) == before
