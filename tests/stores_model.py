# SPDX-License-Identifier: MIT
"""What must be in the mount, in memory.edn and in the EAV store after any sequence of changes: a model.

Entities are (key, member): the text of a keyword, and of a string, or None. A collection is one as well, by
its bare existence, and its members are others. Values are numbers, no two alike, of which json_of and
edn_of make real values; absence is None.
"""
import errno
import os

import edn_reader

NOREPLACE, EXCHANGE = 1, 2
THERE = 0  # the value of a collection

# Are there modes to switch to, and an EAV store to look at?
MODES = True

COLLECTIONS = ('presence/s1', 'presence/s2', 'presence/:s/t')
NAMESPACES = ('n', 'n/m', 'p')
DIRECTORIES = (*NAMESPACES, 'presence', 'presence/:s', *COLLECTIONS)
DOCUMENTS = ('a.json', 'b.json', 'n/c.json', 'n/d.json', 'n/m/c.json', 'p/c.json',
             *(f'{collection}/{name}.json' for collection in COLLECTIONS for name in ('x', 'two words')))


def json_of(n):
    return ('%d', '"text %d"', '{"n": %d, "tags": {"#set": [":a", "b"]}}', '[%d, null, {"#list": []}]',
            '{"#dec": "%d.50"}')[n % 5] % n


def edn_of(n):
    return ('%d', '"text %d"', '{:tags #{"b" :a} :n %d}', '[%d nil ()]', '%d.50M')[n % 5] % n


def entity_of(path):
    directory, name = os.path.split(path.removesuffix('.json'))
    return (directory, name) if directory in COLLECTIONS else (path.removesuffix('.json'), None)


def path_of(entity):
    key, member = entity
    if key in COLLECTIONS and member is None:
        return key
    return f'{key}.json' if member is None else f'{key}/{member}.json'


def print_edn(entities):
    """A memory.edn of these entities."""
    text = []
    for (key, member), n in sorted(entities.items(), key=str):
        if key in COLLECTIONS and member is None:
            members = ' '.join(f'"{inner}" {edn_of(value)}' for (of, inner), value in
                               sorted(entities.items(), key=str) if of == key and inner is not None)
            text.append(f':{key} {{{members}}}')
        elif key not in COLLECTIONS:
            text.append(f':{key} {edn_of(n)}')
    return '{%s}' % ', '.join(text)


class Model:
    def __init__(self, entities, mode='datalevin-first'):
        self.now = dict(entities)
        self.exact = set()       # entities whose bytes are the ones that were saved
        self.directories = set()
        self.base = dict(entities)
        self.own = {}            # entity -> values that we gave it since base
        self.conflicts = {}      # path -> value
        self.frozen = None       # memory.edn while it is left alone
        self.is_theirs = False   # ... and was written by the other one since
        self.mode = mode
        self.in_eav = set()
        self.maybe_in_eav = set()  # taken over while nobody was there to see the change
        self.arrive_all()

    # ---- values ----

    def set(self, entity, n, exact=True):
        """By a change through the mount."""
        if n == self.now.get(entity):
            return
        self.own.setdefault(entity, set()).add(n)
        self.assign(entity, n)
        if n and exact:
            self.exact.add(entity)

    def assign(self, entity, n):
        self.exact.discard(entity)
        if n is None:
            self.now.pop(entity, None)
            self.in_eav.discard(entity)
            self.maybe_in_eav.discard(entity)
        else:
            self.now[entity] = n
            self.note_eav(entity)

    def note_eav(self, entity):
        if self.mode != 'edn-only':
            self.in_eav.add(entity)
            self.maybe_in_eav.discard(entity)

    def arrive_all(self):
        """The directories of all keys are there."""
        for entity in self.now:
            path = path_of(entity)
            if not path.endswith('.json'):
                self.directories.add(path)
            while path := os.path.dirname(path):
                self.directories.add(path)

    def make_collection(self, path):
        collection = os.path.dirname(path)
        if collection in COLLECTIONS and (collection, None) not in self.now:
            self.set((collection, None), THERE)

    def files(self):
        return {path_of(entity) for entity in self.now if path_of(entity).endswith('.json')}

    def below(self, directory):
        inside = self.files() | self.directories
        return {path for path in inside if path.startswith(directory + '/')}

    # ---- changes through the mount: each returns the errno that it gives ----

    def has_parent(self, path):
        return os.path.dirname(path) in self.directories | {''}

    def put(self, path, n):
        if not self.has_parent(path):
            return errno.ENOENT
        self.make_collection(path)
        self.set(entity_of(path), n)
        return 0

    def commit(self, path, n):
        """By who has it open: whatever became of it meanwhile, it is there again."""
        self.make_collection(path)
        self.set(entity_of(path), n)
        self.arrive_all()

    def delete(self, path):
        if path not in self.files():
            return errno.ENOENT
        self.set(entity_of(path), None)
        return 0

    def move(self, old, new):
        source, target = entity_of(old), entity_of(new)
        n, exact = self.now[source], source in self.exact
        self.set(source, None)
        self.make_collection(new)
        self.set(target, n, exact)

    def rename(self, old, new, flags):
        files = self.files()
        if not (self.has_parent(old) and self.has_parent(new)) or old not in files:
            return errno.ENOENT
        if flags == EXCHANGE and new not in files:
            return errno.ENOENT
        if flags == NOREPLACE and new in files:
            return errno.EEXIST
        if old == new:
            return 0
        if flags == EXCHANGE:
            a, b = entity_of(old), entity_of(new)
            was = self.now[a], self.now[b], a in self.exact, b in self.exact
            self.set(a, was[1], was[3])
            self.set(b, was[0], was[2])
        else:
            self.move(old, new)
        return 0

    def mkdir(self, path):
        if path in self.directories:
            return errno.EEXIST
        if not self.has_parent(path):
            return errno.ENOENT
        self.directories.add(path)
        return 0

    def rmdir(self, path):
        if path not in self.directories:
            return errno.ENOENT
        if self.below(path):
            return errno.ENOTEMPTY
        self.directories.discard(path)
        self.set((path, None), None)
        return 0

    def rename_directory(self, old, new):
        if old not in self.directories or not self.has_parent(new):
            return errno.ENOENT
        if new.startswith(old + '/'):
            return errno.EINVAL
        if old == new:
            return 0
        if new in self.directories and self.below(new):
            return errno.ENOTEMPTY
        inside = self.below(old)
        self.directories -= {old, *inside}
        self.directories |= {new} | {new + path[len(old):] for path in inside
                                     if not path.endswith('.json')}
        self.set((new, None), self.now.get((old, None)))
        self.set((old, None), None)
        for path in sorted(inside):
            if path.endswith('.json'):
                self.move(path, new + path[len(old):])
        return 0

    # ---- memory.edn and its other writer ----

    def in_file(self):
        """What memory.edn holds after a sync."""
        return dict(self.now if self.frozen is None else self.frozen)

    def merge(self, theirs, shown, down=False):
        """The other's file is taken over. shown(entity): the value in the mount, where two are right."""
        adopted = {}
        for entity in {*self.now, *theirs, *self.base}:
            now, base, new = (values.get(entity) for values in (self.now, self.base, theirs))
            own = self.own.get(entity, set())
            if now == new or new == base:
                continue
            if now != base:
                if new not in own and new:
                    self.conflicts[path_of(entity)] = new
            elif new not in own or shown(entity) == new:
                # a value of ours that came and went may be a change of theirs, or a stale copy
                adopted[entity] = new
        for entity, n in adopted.items():
            known = entity in self.in_eav
            self.assign(entity, n)
            if down and not known and entity in self.in_eav:
                self.in_eav.discard(entity)
                self.maybe_in_eav.add(entity)
        for key, member in list(self.now):
            if key in COLLECTIONS and member is not None:
                self.now.setdefault((key, None), THERE)
        self.arrive_all()
        self.base = dict(theirs)
        self.own = {entity: {self.now.get(entity)} for entity in {*self.now, *theirs}
                    if self.now.get(entity) != theirs.get(entity)}

    # ---- modes ----

    def is_whole_in_eav(self):
        """True, False, or None where it depends on when a bare collection counts."""
        left = self.now.keys() - self.in_eav
        if not left:
            return True
        sure = {(key, member) for key, member in left - self.maybe_in_eav
                if member is not None or key not in COLLECTIONS}
        return False if sure else None

    def switch(self, mode, forced, shown):
        """The errnos that are right; the caller says by entered() that the mode is the new one."""
        if mode != 'datalevin-only' or forced or self.mode == mode:
            return {0}
        if self.mode == 'edn-only':
            return {0, errno.EBUSY}  # refused by how it stands, or brought up on leaving
        return {True: {0}, False: {errno.EBUSY}, None: {0, errno.EBUSY}}[self.is_whole_in_eav()]

    def entered(self, mode, shown):
        if mode == self.mode:
            return
        was, self.mode = self.mode, mode
        if was == 'edn-only' or mode == 'datalevin-only':
            self.in_eav = set(self.now)
            self.maybe_in_eav = set()
        if mode == 'datalevin-only':
            self.frozen, self.is_theirs = dict(self.now), False
            self.common = dict(self.now)
        elif was == 'datalevin-only':
            theirs, self.frozen = self.frozen, None
            if not self.is_theirs:
                return
            # what the other's last file had before may be an old copy, or a change back to it
            self.own = {entity: (self.own.get(entity, set()) | {self.base.get(entity)}) -
                        {self.common.get(entity)}
                        for entity in {*self.own, *self.base, *self.common}}
            self.base = self.common
            self.merge(theirs, shown)


def read_values(memory):
    """What edn_reader.memory() found, by entity, as values to compare."""
    found = {}
    for (_, key), value in memory.items():
        if key in COLLECTIONS and value[0] == 'map':
            found[key, None] = ('map', frozenset())
            found |= {(key, member[1]): inner for member, inner in value[1]}
        else:
            found[key, None] = value
    return found


def values_of(entities):
    """The same of the model's."""
    return {entity: ('map', frozenset()) if n == THERE else edn_reader.read(edn_of(n))
            for entity, n in entities.items()}
