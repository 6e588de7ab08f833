#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A memory.edn of any size, as Ouroboros writes it: one line, every family of keys, seeded.

    tests/bench/gen_memory.py [--keys 160000] [--seed 1] > memory.edn
    tests/bench/gen_memory.py --collections 10000 --members 100 > memory.edn

160,000 keys make about 100 MB. Like there, maps are printed with and without #:ns{}. With --collections there is
nothing but so many sessions' presence, of so many members each.
"""
import argparse
import random
import sys

WORDS = ('snapshot typed reducers lazy backlog cursor replay идемпотентный resolver 你好 webhook trace '
         'eager index migrations «quoted» tiny café dynamic transducer peace mind \\"said\\" 👤 '
         'batch sockets inline offline').split()
TAGS = ['clojure', 'e-mail@work', 'two words', 'a/b', '🔥', 'ops', 'review', 'ui']
USERS = ['alice', 'bob', 'davidwu', 'guest', 'зоя']


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.clock = 1_795_386_950_000
        self.number = 0
        self.families = [
            (46, self.learning), (30, self.review), (6, self.presence), (5, self.session_snapshot),
            (3, self.comments), (2, self.versions), (2, self.ops), (1, self.offline_queue),
            (2, self.embed_token), (1, self.webhook), (1, self.projects), (1, self.builder_sessions),
            (1, self.notification), (1, self.deleted), (1, self.other)]

    def now(self):
        self.clock += self.random.randrange(1, 5000)
        return self.clock

    def text(self, low, high):
        count = self.random.randrange(low, high)
        return '"' + ' '.join(self.random.choice(WORDS) for _ in range(count)) + '"'

    def user(self):
        return self.random.choice(USERS)

    def hexadecimal(self, digits):
        return f'{self.random.getrandbits(digits * 4):0{digits}x}'

    def slug(self):
        self.number += 1
        return f'{self.random.choice(USERS[:4])}/entry-{self.number}-{self.now()}'

    def session(self):
        self.number += 1
        kind = self.random.randrange(3)
        if kind == 0:
            return f':session-{self.number}'
        return f'empathy-{self.user()}/project-x-{self.number}' if kind == 1 else f's{self.number}'

    def map(self, ns, entries):
        """A map whose keys are all of one namespace, in one of the two ways to print it."""
        if self.random.random() < 0.5:
            return f'#:{ns}{{' + ', '.join(f':{key} {value}' for key, value in entries) + '}'
        return '{' + ', '.join(f':{ns}/{key} {value}' for key, value in entries) + '}'

    def instant(self):
        return f'"2026-11-22T22:35:{self.random.randrange(60):02d}.{self.random.randrange(10**9):09d}Z"'

    def learning(self):
        slug = self.slug()
        tags = ' '.join(f'"{tag}"' for tag in self.random.sample(TAGS, self.random.randrange(4)))
        return f':{slug}', self.map('learning', [
            ('tags', '#{' + tags + '}'), ('merged-count', self.random.randrange(4)),
            ('last-applied', 'nil'), ('applied-count', self.random.randrange(9)),
            ('created', self.instant()), ('title', self.text(3, 9)), ('status', ':active'),
            ('examples', '[{:file "src/queue.clj", :line %d}]' % self.random.randrange(999)),
            ('transfers', '["onboarding"]'), ('confidence', round(self.random.random(), 2)),
            ('id', f'"{slug}"'), ('pattern', '"template-usage"'), ('user', f'"{self.user()}"'),
            ('insights', f'[{self.text(12, 40)} {self.text(10, 30)}]'),
            ('code-snippets', f'({self.text(4, 20)})'), ('category', '"customer-understanding"')])

    def review(self):
        slug = self.slug()
        return f':review/{slug}', (
            f'{{:learning-id "{slug}", :level {self.random.randrange(1, 5)}, '
            f':scheduled-at {self.now()}, :created {self.now()}}}')

    def presence(self):
        members = []
        for n in range(self.random.randrange(4)):
            key = f':user-{n}' if self.random.random() < 0.5 else f'"user {n}"'
            members.append(key + ' ' + self.map('user', [
                ('id', key), ('name', self.text(1, 3)), ('color', '"#FFEAA7"'), ('avatar', '"👤"'),
                ('joined-at', self.now())]))
        return f':presence/{self.session()}', '{' + ', '.join(members) + '}'

    def collection(self, number, members):
        return f':presence/session-{number}', '{' + ', '.join(
            f'"user-{n}" {{:id "user-{n}", :name "User {n}", :joined-at {self.now()}}}' for n in range(members)) + '}'

    def comments(self):
        members = [f'"comment-{self.now()}-{n}" ' + self.map('comment', [
            ('id', f'"c{n}"'), ('text', self.text(5, 30)), ('author', f'"{self.user()}"'),
            ('item-id', f'"item-{n}"'), ('parent-id', 'nil'), ('created-at', self.now()),
            ('resolved?', 'false')]) for n in range(self.random.randrange(1, 6))]
        return f':comments/{self.session()}', '{' + ', '.join(members) + '}'

    def versions(self):
        members = [f'"v-{self.now()}" ' + self.map('version', [
            ('id', f'"v{n}"'), ('label', self.text(1, 4)), ('description', 'nil'),
            ('state', self.canvas(self.random.randrange(1, 12))), ('created-by', f'"{self.user()}"'),
            ('created-at', self.now())]) for n in range(self.random.randrange(1, 4))]
        return f':versions/{self.session()}', '{' + ', '.join(members) + '}'

    def canvas(self, items):
        notes = ', '.join(f'"item-{n}" ' + self.map('item', [
            ('content', self.text(3, 20)),
            ('position', '{:x %d, :y %r}' % (self.random.randrange(900), self.random.random() * 900))])
            for n in range(items))
        return f'{{:canvas/items {{{notes}}}, :ui {{:zoom 1.25, :sel #{{"item-1"}}}}}}'

    def ops(self):
        ops = [self.map('op', [
            ('id', n), ('type', ':add-note'), ('target', f':note-{n}'), ('data', self.canvas(1)),
            ('user-id', f'"{self.user()}"'), ('timestamp', self.now())])
            for n in range(self.random.randrange(1, 20))]
        return f':ops/{self.session()}', '[' + ' '.join(ops) + ']'

    def offline_queue(self):
        queue = [self.map('op', [
            ('id', f'"op-{n}-{self.now()}"'), ('type', ':update'), ('data', '{:k [1 2.5 nil]}'),
            ('user-id', 'nil'), ('queued-at', self.now()), ('status', ':pending'), ('attempts', 0)])
            for n in range(self.random.randrange(1, 8))]
        return f':offline-queue/{self.session()}', '[' + ' '.join(queue) + ']'

    def session_snapshot(self):
        return f':session-snapshot/{self.session()}', self.map('snapshot', [
            ('session-id', ':session-1'), ('user-id', ':user-4'), ('state', self.canvas(2)),
            ('saved-at', self.now()), ('version', 1)])

    def embed_token(self):
        value = 'a' + self.hexadecimal(63)  # one that starts with a digit is unreadable
        return f':embed-token/{value}', self.map('token', [
            ('value', f'"{value}"'), ('user-id', f'"{self.user()}"'), ('permissions', '[:read]'),
            ('created-at', self.instant()), ('expires-at', self.instant()), ('active?', 'true')])

    def webhook(self):
        value = 'b' + self.hexadecimal(31)
        return f':webhook/{value}', self.map('webhook', [
            ('id', f'"{value}"'), ('url', '"https://example.org/hook?x=1;y=2"'),
            ('events', '#{:note/added :note/removed}'), ('secret', f'"{self.hexadecimal(40)}"')])

    def projects(self):
        self.number += 1
        members = [f'"u/project-x-{self.now()}" ' + self.map('project', [
            ('id', f'"p{n}"'), ('name', self.text(1, 5)), ('description', self.text(5, 20)),
            ('owner', f'"{self.user()}"'), ('status', ':active'), ('created-at', self.instant())])
            for n in range(self.random.randrange(1, 5))]
        return f':projects/user-{self.number}', '{' + ', '.join(members) + '}'

    def builder_sessions(self):
        self.number += 1
        members = [f'"empathy-u/p-{self.now()}" ' + self.map('session', [
            ('id', f'"b{n}"'), ('type', ':empathy'), ('state', ':active'),
            ('data', self.canvas(self.random.randrange(2, 15)))])
            for n in range(self.random.randrange(1, 4))]
        return f':builder-sessions/user-{self.number}', '{' + ', '.join(members) + '}'

    def notification(self):
        self.number += 1
        return (f':notifications/last-user-{self.number}',
                f'{{:timestamp {self.now()}, :due-count {self.random.randrange(9)}}}')

    def deleted(self):
        return f':deleted/{self.slug()}', f'{{:deleted-at {self.now()}}}'

    def other(self):
        self.number += 1
        key = self.random.choice([f'"remembered {self.number}"', f':note-{self.number}',
                                  str(self.number), f'[:cache {self.number}]'])
        return key, self.random.choice(['nil', '22/7', '1.10M', '##Inf', '\\newline', '(a b)',
                                        '#inst "2026-11-22T22:35:50.317-00:00"', '[1N 0.5 -3]'])

    def index(self, ids):
        by_tag = ', '.join(f'"{tag}" #{{{" ".join(self.random.sample(ids, min(len(ids), 400)))}}}'
                           for tag in TAGS)
        half = len(ids) // 2
        return [(':learning/tag-index', f'{{{by_tag}}}'),
                (':learning/index', f'{{:alice [{" ".join(ids[:half])}], nil ({" ".join(ids[half:])})}}'),
                (':learning/review-index', '{:alice #{' + ' '.join(ids[:400]) + '}, nil nil}'),
                (':learning/wal', '{:op :create, :user :alice, :id "x", :timestamp %d}' % self.now())]

    def entries(self, keys):
        weights = [weight for weight, _ in self.families]
        makers = [maker for _, maker in self.families]
        ids = []
        for maker in self.random.choices(makers, weights, k=keys - 4):
            key, value = maker()
            if maker == self.learning:
                ids.append(f'"{key[1:]}"')
            yield key, value
        yield from self.index(ids)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--keys', type=int, default=160_000)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--collections', type=int)
    parser.add_argument('--members', type=int, default=100)
    args = parser.parse_args()
    sys.stdout.reconfigure(encoding='utf-8')
    sys.stdout.write('{')
    maker = Generator(args.seed)
    entries = (maker.entries(args.keys) if args.collections is None else
               (maker.collection(n, args.members) for n in range(args.collections)))
    for n, (key, value) in enumerate(entries):
        sys.stdout.write(f'{", " if n else ""}{key} {value}')
    sys.stdout.write('}')


if __name__ == '__main__':
    main()
