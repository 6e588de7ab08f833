# SPDX-License-Identifier: MIT
"""Writers, a renamer, a migrator and readers on one mount, who keep books of what was acknowledged, and seen.

    storm = Storm(m, seed)
    storm.begin()
    storm.kill()        # the daemon
    storm.end()         # all of them have got an error, or were right till then
    storm.compare()     # on the next mount: nothing lost, torn, stale or risen again
"""
import bisect
import errno
import itertools
import json
import os
import random
import signal
import threading
import time

import tree_model
from conftest import BOUND_S

GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO)
WRITERS, READERS = 4, 2
FOREVER = float('inf')
ABSENT = None
BALL = b'{"ball": 1}'
WORDS = [('all', '.migrate')] * 6 + [('pause', '.migrate'), ('resume', '.migrate')] * 2 + [('stop', '.migrate')] + \
    [(mode, '.mode') for mode in ('edn-only', 'dual-write', 'datalevin-first', 'force datalevin-only')]


def content_of(path):
    try:
        with open(path, 'rb', buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read()
    except FileNotFoundError:
        return ABSENT
    assert len(content) == size, f'{path}: {len(content)} bytes, st_size {size}'
    return content


def operate(mnt, word, control):
    """Says a word to /.migrate or /.mode. Returns whether it was taken: it may not be the time for it."""
    try:
        tree_model.write(mnt / control, word.encode())
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EINVAL):
            raise
        return False
    return True


class History:
    """Of what one thread at a time changes: its states, how far they were begun, acknowledged and seen."""

    def __init__(self, state):
        self.lock = threading.Lock()
        self.changes = 0  # ever acknowledged
        self.goes_on_from(state)

    def change(self, state, call, *args):
        self.states.append(state)
        call(*args)
        self.acknowledged = len(self.states) - 1
        self.changes += 1

    @property
    def last(self):
        return self.states[-1]

    def since(self):
        return max(self.acknowledged, self.seen)

    def check(self, what, seen, since):
        """Was it so at any time from then on? What someone has seen once stays, acknowledged or not."""
        states = self.states[since:]
        assert seen in states, f'{what}: {brief(seen)} is none of {[brief(state) for state in states]}' + \
            (', but was before' if seen in self.states else '')
        with self.lock:
            self.seen = max(self.seen, since + states.index(seen))

    def goes_on_from(self, state):
        self.states, self.acknowledged, self.seen = [state], 0, 0


class Register:
    """A document that many write: each save with when it began, and was acknowledged or seen."""

    def __init__(self, content):
        self.clock = itertools.count(1)
        self.lock = threading.Lock()
        self.changes = 0
        self.goes_on_from(content)

    def change(self, content, call, *args):
        with self.lock:
            self.saves[content] = [next(self.clock), FOREVER]
        call(*args)
        with self.lock:
            self.changes += 1
            self.took_place(self.saves[content])

    def took_place(self, save):
        if save[1] == FOREVER:
            save[1] = next(self.clock)
            # Who began later than the latest of those that had ended is not followed by any of them.
            self.ended.append(save[1])
            self.latest_begin.append(max(self.latest_begin[-1], save[0]))

    def since(self):
        return next(self.clock)

    def check(self, what, seen, since):
        with self.lock:
            assert seen in self.saves, f'{what}: {brief(seen)} was never saved'
            known = bisect.bisect_left(self.ended, since)
            assert self.saves[seen][1] > self.latest_begin[known - 1], \
                f'{what}: {brief(seen)} was replaced by a later save'
            self.took_place(self.saves[seen])

    def goes_on_from(self, content):
        now = next(self.clock)
        self.saves = {content: [now, now + 0.5]}
        self.ended = [now + 0.5]
        self.latest_begin = [now]


def brief(state):
    return state if state is ABSENT or len(state) < 60 else (state[:40], len(state))


class Storm:
    def __init__(self, m, seed):
        self.m = m
        self.rng = random.Random(seed)
        self.numbers = itertools.count(1)
        self.killed_at = None
        self.stop = threading.Event()
        self.failures = []
        self.threads = []
        self.reads = self.words = 0
        self.returned_s = []  # of each caller, after its daemon was killed
        for name in ('notes', 'presence', 'there'):
            (m.mnt / name).mkdir()
        for number in range(WRITERS):
            (m.mnt / f'presence/s{number}').mkdir()
        for path, content in (('shared.json', b'{}'), ('ball.json', BALL), ('one.json', b'1'),
                              ('other.json', b'2'), ('there/in.json', b'3'), ('there/too.json', b'4')):
            (m.mnt / path).write_bytes(content)
        self.shared = Register(b'{}')
        self.own = [{path: History(ABSENT) for path in
                     (f'w{n}.json', f'notes/w{n}.json', f'presence/s{n}/:w.json')}
                    for n in range(WRITERS)]
        # What the renamer moves: where it is, as compare() finds it.
        self.ball = History('ball.json')
        self.pair = History('12')
        self.directory = History('there')

    @property
    def acknowledged(self):
        return self.shared.changes + sum(book.changes for own in self.own for book in own.values()) + \
            self.ball.changes + self.pair.changes + self.directory.changes

    # -- who is at work --

    def save(self, path, rng, synced=False):
        number = next(self.numbers)
        pad = 'x' * rng.choice([0, 100, 5000, 200_000])
        content = json.dumps({'number': number, 'pad': pad}).encode()
        return content, tree_model.write, self.m.mnt / path, content, synced

    def save_by_rename(self, path, rng, mine):
        content, write, _, _, synced = self.save(path, rng, True)
        temporary = self.m.mnt / os.path.dirname(path) / f'.w{mine}.tmp'
        write(temporary, content, synced)
        return content, os.rename, temporary, self.m.mnt / path

    def write(self, mine, rng):
        path, history = rng.choice(list(self.own[mine].items()))
        how = rng.randrange(8)
        if how == 0 and history.last is not ABSENT:
            history.change(ABSENT, os.unlink, self.m.mnt / path)
        elif how == 1:
            self.shared.change(*self.save_by_rename('shared.json', rng, mine))
        elif how == 2:
            self.shared.change(*self.save('shared.json', rng))
        elif how == 3:
            history.change(*self.save_by_rename(path, rng, mine))
        else:
            history.change(*self.save(path, rng, synced=how == 4))

    def rename(self, rng):
        how = rng.randrange(4)
        if how == 0:
            to = 'here' if self.directory.last == 'there' else 'there'
            self.directory.change(to, os.rename, self.m.mnt / self.directory.last, self.m.mnt / to)
        elif how == 1:
            self.pair.change(self.pair.last[::-1], tree_model.exchange, self.m.mnt / 'one.json',
                             self.m.mnt / 'other.json')
        else:
            to = rng.choice([name for name in self.ball_names() if name != self.ball.last])
            self.ball.change(to, os.rename, self.m.mnt / self.ball.last, self.m.mnt / to)

    @staticmethod
    def ball_names():
        return ['ball.json', 'notes/ball.json', 'presence/s0/ball.json', 'presence/s1/:ball.json']

    def books(self):
        yield 'shared.json', self.shared
        for own in self.own:
            yield from own.items()

    def read(self, rng):
        path, book = rng.choice(list(self.books()))
        since = book.since()
        try:
            seen = content_of(self.m.mnt / path)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            # On its way to an open the kernel looks a name up again once; when it was replaced once more
            # meanwhile, the error is the reader's, who may try again.
            return
        if path != 'shared.json' and seen == b'':
            seen = ABSENT  # a new one on its way
        book.check(path, seen, since)
        self.reads += 1

    def operate(self, rng):
        self.words += operate(self.m.mnt, *rng.choice(WORDS))
        self.stop.wait(rng.uniform(0, 0.02))

    def work(self, step, *args):
        try:
            while not self.stop.is_set():
                step(*args)
        except OSError as error:
            if not (self.killed_at and error.errno in GONE):
                self.failures.append(f'{step.__name__}: {error}')
        except AssertionError as error:
            self.failures.append(f'{step.__name__}: {error}; {self.testimony()}')
        if self.killed_at:
            self.returned_s.append(time.monotonic() - self.killed_at)

    def testimony(self):
        """Of a mount that was wrong: what it says of itself, if it still does."""
        try:
            contents = {path: brief(content_of(self.m.mnt / path)) for path, _ in self.books()}
            return f'now {contents}, {(self.m.mnt / ".mode").read_text()}' + \
                '\n'.join((self.m.mnt / '.events').read_text().splitlines()[-20:])
        except OSError as error:
            return f'and now {error}'

    def begin(self):
        self.killed_at = None
        self.stop.clear()
        steps = [(self.write, mine, self.fresh()) for mine in range(WRITERS)]
        steps += [(self.rename, self.fresh()), (self.operate, self.fresh())] + [(self.read, self.fresh()) for _ in range(READERS)]
        self.threads = [threading.Thread(target=self.work, args=step, daemon=True) for step in steps]
        for thread in self.threads:
            thread.start()

    def fresh(self):
        return random.Random(self.rng.random())

    def kill(self):
        self.killed_at = time.monotonic()
        self.m.proc.send_signal(signal.SIGKILL)

    def end(self):
        """Before the mount is taken away: nobody may write to the directory below it."""
        self.stop.set()
        for thread in self.threads:
            thread.join(BOUND_S)
            if thread.is_alive():
                self.failures.append('someone hangs')
                self.m.give_up()
        assert not self.failures, '\n'.join(self.failures)

    # -- afterwards --

    def found_directory(self):
        there = [name for name in ('there', 'here') if (self.m.mnt / name).is_dir()]
        contents = {path: (self.m.mnt / there[0] / path).read_bytes() for path in
                    os.listdir(self.m.mnt / there[0])}
        assert contents == {'in.json': b'3', 'too.json': b'4'}, f'{there}: {contents}'
        return ' and '.join(there)

    def found_ball(self):
        return ' and '.join(name for name in self.ball_names()
                            if content_of(self.m.mnt / name) == BALL)

    def found_pair(self):
        return ''.join((self.m.mnt / name).read_text() for name in ('one.json', 'other.json'))

    def compare(self):
        found = [(path, book, content_of(self.m.mnt / path)) for path, book in self.books()]
        found += [('the ball', self.ball, self.found_ball()), ('the pair', self.pair, self.found_pair()),
                  ('the directory', self.directory, self.found_directory())]
        for what, book, seen in found:
            book.check(what, seen, book.since())
            book.goes_on_from(seen)
