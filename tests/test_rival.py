# SPDX-License-Identifier: MIT
"""Two writers for a long time: the mount, and a rival that read memory.edn once and never again.

OUROFS_RIVAL_SECONDS says how long, 20 without.
"""
import json
import os
import random
import threading
import time

import edn_reader
from outside import bad_files, conflicts, read, saved, soon

SECONDS = float(os.environ.get('OUROFS_RIVAL_SECONDS', '20'))
SHARED = [f's{i}' for i in range(4)]


class Ours:
    """A thread that saves, deletes and renames through the mount, and knows what must be there at the end."""

    def __init__(self, m, seed):
        self.m, self.seed = m, seed
        self.rng = random.Random(seed)
        self.left = {}    # path -> text, of what only we write
        self.shared = {}  # path -> text that we wrote last
        self.saves = 0
        self.failure = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def text(self):
        self.saves += 1
        return json.dumps({'by': ':ours', 'n': [self.seed, self.saves],
                           'pad': 'p\u00e9' * self.rng.randrange(800)})

    def path(self):
        directory = self.rng.choice(['ours', 'ours/deep', 'presence/ours'])
        return f'{directory}/w{self.seed}-{self.rng.randrange(30)}.json'

    def put(self, path, text):
        """In place or by rename, as editors do."""
        if self.rng.random() < 0.5:
            (self.m.mnt / path).write_text(text)
            return
        draft = self.m.mnt / f'draft{self.seed}'
        draft.write_text(text)
        draft.rename(self.m.mnt / path)

    def step(self):
        kind = self.rng.randrange(10)
        path = self.path()
        if kind < 6:
            text = self.text()
            self.put(path, text)
            self.left[path] = text
        elif kind == 6 and self.left:
            gone = self.rng.choice(sorted(self.left))
            (self.m.mnt / gone).unlink()
            del self.left[gone]
        elif kind == 7 and self.left:
            old = self.rng.choice(sorted(self.left))
            (self.m.mnt / old).rename(self.m.mnt / path)
            self.left[path] = self.left.pop(old)
        elif kind == 8 and not self.seed:
            path = f'{self.rng.choice(SHARED)}.json'
            self.shared[path] = self.text()
            self.put(path, self.shared[path])
        else:
            own = self.rng.choice(sorted(self.left) or [None])
            assert own is None or read(self.m.mnt / own) == self.left[own], own

    def run(self):
        try:
            while not self.stop.is_set():
                self.step()
                self.stop.wait(self.rng.random() * 0.01)
        except BaseException as failure:
            self.failure = failure
            raise

    def end(self):
        self.stop.set()
        self.thread.join()
        if self.failure:
            raise self.failure


def rival_writes(m, rival, rng, seconds):
    """Bursts of random changes of its own, now and then one of a key that both write."""
    shared = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rival.random(rng.randrange(1, 20))
        if rng.random() < 0.5:
            name = rng.choice(SHARED)
            shared[f'{name}.json'] = f'{{:by :rival :n {len(shared)} :t {time.monotonic_ns()}}}'
            rival.put(f':{name}', shared[f'{name}.json'])
        if rng.random() < 0.1:
            rival.save_now()
        time.sleep(rng.random() * 0.2)
    rival.put(':rival/last', '"written"')
    rival.save_now()
    return shared


def key_of(path):
    """Of our paths: keyword and member."""
    path = path.removesuffix('.json')
    if path.startswith('presence/'):
        directory, member = path.rsplit('/', 1)
        return directory, ('str', member)
    return path, None


def of_one_writer(memory):
    """{(key, member): value} of what only one of the two writes, members of collections one by one."""
    found = {}
    for (_, key), value in memory.items():
        if key.startswith('presence/') and value[0] == 'map':
            found |= {(key, member): inner for member, inner in value[1]}
        elif key not in SHARED:
            found[key, None] = value
    return found


def check_shared(m, memory, ours, theirs):
    """Each is what one of the two wrote last, and nothing else was kept as a conflict."""
    assert set(conflicts(m)) <= {f'{name}.json' for name in SHARED}
    for name in SHARED:
        path = f'{name}.json'
        last = [edn_reader.read_json(ours[path])] if path in ours else []
        last += [edn_reader.read(theirs[path])] if path in theirs else []
        value = memory.get(('kw', name))
        assert value in (last or [None]), name
        shown = read(m.mnt / path)
        assert value == (shown and edn_reader.read_json(shown)), name


def check_last_words(m, rival):
    """With both quiet it can be told: where both held the same, the rival's is taken, else it is kept."""
    held = {key[1]: value for key, value in rival.dump().items()}
    expected = {}
    for name in SHARED:
        shown = read(m.mnt / f'{name}.json')
        ours = None if shown is None else edn_reader.read_json(shown)
        expected[name] = (ours, ours == held.get(name))
        rival.put(f':{name}', '"last word"')
    rival.save_now()
    m.sync()
    for name, (ours, same) in expected.items():
        value = edn_reader.read_json(read(m.mnt / f'{name}.json'))
        assert value == (('str', 'last word') if same else ours), name
        if not same:
            assert conflicts(m)[f'{name}.json'] == '"last word"\n'


def test_two_writers_for_a_long_time(mount, rival):
    m = mount('{:still {:a 1} :presence/still {"x" 1}}', 'edn_delay=20')
    rival.open(m.edn, seed=7)
    for directory in ('ours', 'ours/deep', 'presence/ours'):
        (m.mnt / directory).mkdir()
    writers = [Ours(m, seed) for seed in range(3)]
    for writer in writers:
        writer.thread.start()
    try:
        theirs = rival_writes(m, rival, random.Random(8), SECONDS)
    finally:
        for writer in writers:
            writer.stop.set()
        for writer in writers:
            writer.end()
    # Its last write may have gone to a file that was replaced meanwhile: that is noticed a little later.
    soon(lambda: 'rival/last' in (saved(m) or {}), 'its last write')
    m.sync()
    ours = {path: text for writer in writers for path, text in writer.left.items()}
    expected = {key_of(path): edn_reader.read_json(text) for path, text in ours.items()}
    expected |= of_one_writer(rival.dump())
    assert of_one_writer(rival.read(m.edn)) == expected
    check_shared(m, rival.read(m.edn), writers[0].shared, theirs)
    for (key, member), value in expected.items():
        if key.startswith('rival/'):
            assert edn_reader.read_json(read(m.mnt / f'{key}.json')) == value
    assert {path: read(m.mnt / path) for path in ours} == ours
    assert bad_files(m) == []
    assert sum(writer.saves for writer in writers) > SECONDS and len(expected) > 50
    check_last_words(m, rival)
    m.kill()
    m.mount()
    assert {path: read(m.mnt / path) for path in ours} == ours
