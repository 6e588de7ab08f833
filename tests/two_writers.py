# SPDX-License-Identifier: MIT
"""What two writers of one memory do for a long time, and what must be there at the end.

Ours saves through the mount; rival_writes() lets a rival (rival.py) write memory.edn that read it once, and
never again. Some keys are written by both.
"""
import json
import random
import threading
import time

import edn_reader
from outside import conflicts, read

SHARED = [f's{i}' for i in range(4)]
DIRECTORIES = ['ours', 'ours/deep', 'presence/ours']


class Ours:
    """A thread that saves, deletes and renames through the mount, and knows what must be there at the end."""

    def __init__(self, m, seed, pause_s=0.01):
        self.m, self.seed, self.pause_s = m, seed, pause_s
        self.rng = random.Random(seed)
        self.left = {}    # path -> text, of what only we write
        self.shared = {}  # path -> text that we wrote last
        self.saves = 0
        self.failure = None
        self.stop = threading.Event()
        self.thread = None

    def text(self):
        self.saves += 1
        return json.dumps({'by': ':ours', 'n': [self.seed, self.saves],
                           'pad': 'p\u00e9' * self.rng.randrange(800)})

    def path(self):
        directory = self.rng.choice(['ours', *DIRECTORIES])  # twice as often
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
                self.stop.wait(self.rng.random() * self.pause_s)
        except BaseException as failure:
            self.failure = failure
            raise

    def begin(self):
        self.stop.clear()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def end(self):
        self.stop.set()
        self.thread.join()
        if self.failure:
            raise self.failure


def rival_writes(rival, rng, stop, pause_s=0.2):
    """Bursts of random changes of its own, now and then one of a key that both write. Returns its last words on those."""
    shared = {}
    while not stop.is_set():
        rival.random(rng.randrange(1, 20))
        if rng.random() < 0.5:
            name = rng.choice(SHARED)
            shared[f'{name}.json'] = f'{{:by :rival :n {len(shared)} :t {time.monotonic_ns()}}}'
            rival.put(f':{name}', shared[f'{name}.json'])
        if rng.random() < 0.1:
            rival.save_now()
        stop.wait(rng.random() * pause_s)
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
    for key, value in memory.items():
        name = key[1] if key[0] == 'kw' else str(key)
        if name.startswith('presence/') and value[0] == 'map':
            found |= {(name, member): inner for member, inner in value[1]}
        elif name not in SHARED:
            found[name, None] = value
    return found


def left_by(writers):
    return {path: text for writer in writers for path, text in writer.left.items()}


def expected_of(writers, rival):
    """What of_one_writer() must find in memory.edn."""
    ours = {key_of(path): edn_reader.read_json(text) for path, text in left_by(writers).items()}
    return ours | of_one_writer(rival.dump())


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
