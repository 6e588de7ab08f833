# SPDX-License-Identifier: MIT
"""After a change from outside the kernel knows what is there, whatever it knew before: names, kinds and content."""
import json
import os
import random

import pytest

from outside import keys, soon

KEYS = 'config', 'a', 'a/b', 'a/c', 'presence', 'presence/s1', 'presence/s2', 'projects/x', 'other/y', 'other/z'
MEMBERS = 'alice', 'bob', 'carol'
SCRATCH = 'presence/s1', 'presence/s3', 'a', 'other/y', 'notes'  # names that are directories' at times
FILLER = keys(100)  # who leaves most out is not believed


def is_collection(value):
    return isinstance(value, dict)


def random_value(rng, key):
    number = rng.randrange(100)
    if key.startswith('presence/') and rng.random() < 0.7:
        return {member: rng.randrange(100) for member in MEMBERS if rng.random() < 0.5}
    return number


def change(rng, memory):
    memory = dict(memory)
    for key in rng.sample(KEYS, rng.randint(1, 4)):
        value = memory.get(key)
        if value is not None and rng.random() < 0.3:
            del memory[key]
        elif is_collection(value) and rng.random() < 0.6:
            member = rng.choice(MEMBERS)
            memory[key] = {name: n for name, n in value.items() if name != member}
            if rng.random() < 0.6:
                memory[key][member] = rng.randrange(100)
        else:
            memory[key] = random_value(rng, key)
    return memory


def edn(value):
    if is_collection(value):
        return '{%s}' % ' '.join(f'"{name}" {n}' for name, n in value.items())
    return str(value)


def text_of(memory):
    return '{%s %s}' % (FILLER, ' '.join(f':{key} {edn(value)}' for key, value in memory.items()))


def expected(memory):
    """Path -> content, or None for a directory."""
    found = {}
    for key, value in memory.items():
        if is_collection(value):
            found[key] = None
            found |= {f'{key}/{name}.json': f'{n}\n' for name, n in value.items()}
        else:
            found[f'{key}.json'] = f'{value}\n'
    for path in list(found):
        while path := os.path.dirname(path):
            found[path] = None
    return found


def seen(m, scratch):
    """The same as it is mounted, and all of it is known to the kernel from then on. Without the directories that are
    there for scratch files alone."""
    found = {}
    for directory, directories, files in os.walk(m.mnt):
        for name in directories + files:
            path = os.path.join(directory, name)
            rel = os.path.relpath(path, m.mnt)
            if not name.startswith(('.', 'k')) and name.endswith('.json'):
                with open(path) as file:
                    found[rel] = file.read()
            elif not name.startswith('.') and os.path.isdir(path):
                found[rel] = None
    return {path: content for path, content in found.items()
            if content or path not in scratch or any(other.startswith(f'{path}/') for other in found)}


def what_was_seen(m, scratch):
    try:
        return seen(m, scratch)
    except OSError as error:  # it went while it was looked for
        return error


def changes(m):
    return json.loads((m.mnt / '.health').read_text())['edn']['outside_changes']


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('mode', ['datalevin-first', 'edn-only'])
def test_all_of_it_is_known(mount, mode, seed):
    rng = random.Random(seed)
    memory = {key: random_value(rng, key) for key in KEYS[::2]}
    m = mount(text_of(memory), f'mode={mode}')
    scratch = set()
    for _ in range(40):
        assert what_was_seen(m, scratch) == expected(memory)
        if rng.random() < 0.3:
            path = m.mnt / rng.choice(SCRATCH)
            if not path.exists() and path.parent.exists():
                path.write_text('scratch')
                scratch.add(os.path.relpath(path.parent, m.mnt))
        before, memory = memory, change(rng, memory)
        if memory == before:
            continue
        count = changes(m)
        m.edn.write_text(text_of(memory))
        soon(lambda count=count: changes(m) > count, 'the change')
        soon(lambda memory=memory: what_was_seen(m, scratch) == expected(memory),
             'what is there')


def test_more_than_is_listed(mount):
    """So much that it is not told path by path."""
    def text(n):
        return '{%s}' % ' '.join(f':{"long" * 40}/k{i} {n}' for i in range(30_000))

    m = mount(text(1))
    known = [m.mnt / ('long' * 40) / f'k{i}.json' for i in (0, 1, 2, 29_999)]
    for n in (2, 3):
        assert [path.read_text() for path in known] == [f'{n - 1}\n'] * 4
        m.edn.write_text(text(n))
        soon(lambda n=n: [path.read_text() for path in known] == [f'{n}\n'] * 4, 'all of it')


def test_a_directory_that_is_renamed_meanwhile(mount):
    """While what else was changed is looked at, which takes a while: what is in it is found where it is by then."""
    same = ' '.join(f':same/k{i} 1' for i in range(20_000))

    def text(n):
        return '{%s %s :b/x %d}' % (same, ' '.join(f':a/k{i} {n}' for i in range(10_000)), n)

    m = mount(text(1), 'mode=edn-only')
    (m.mnt / 'c').mkdir()
    for directory in ('a', 'same'):
        for path in (m.mnt / directory).iterdir():
            path.stat()
    assert (m.mnt / 'b/x.json').read_text() == '1\n'
    count = changes(m)
    m.edn.write_text(text(2))
    soon(lambda: any(b':b/x' in log.read_bytes() for log in (m.store / 'journal').iterdir()), 'the change')
    os.rename(m.mnt / 'b', m.mnt / 'c')
    soon(lambda: changes(m) > count, 'the change to be told')
    soon(lambda: (m.mnt / 'c/x.json').read_text() == '2\n', 'what is there')


@pytest.mark.parametrize('mode', ['datalevin-first', 'edn-only'])
def test_a_value_in_another_order(mount, mode):
    """It is equal, and another document: pages of both in one would be none. The EAV store keeps the one that it has."""
    numbers = list(range(2000))

    def text(mark):
        return '{%s :a {%s} :mark %d}' % (FILLER, ' '.join(f':k{n} {n}' for n in numbers), mark)

    def document():
        return '{\n%s\n}\n' % ',\n'.join(f'  "k{n}": {n}' for n in numbers)

    m = mount(text(0), f'mode={mode}')
    documents = [document()]
    assert (m.mnt / 'a.json').read_text() == document()
    for mark in (1, 2, 3):
        random.Random(mark).shuffle(numbers)
        documents.append(document())
        m.edn.write_text(text(mark))
        soon(lambda mark=mark: (m.mnt / 'mark.json').read_text() == f'{mark}\n', 'the change')
        if mode == 'edn-only':
            soon(lambda: (m.mnt / 'a.json').read_text() == document(), 'the order')
        assert (m.mnt / 'a.json').read_text() in documents
    (m.mnt / 'a.json').write_text('{"b": 1, "a": 2}')
    m.sync()
    count = changes(m)
    m.edn.write_text('{%s :a {:a 2, :b 1} :mark 4}' % FILLER)
    soon(lambda: changes(m) > count, 'the change')
    assert (m.mnt / 'a.json').read_text() == '{"b": 1, "a": 2}'  # bytes that were saved are what is read
