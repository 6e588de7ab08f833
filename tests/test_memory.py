# SPDX-License-Identifier: MIT
"""The memory below the mount: commits, kills, reopenings, outside changes, refusals."""
import errno
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis.stateful import (RuleBasedStateMachine, initialize, invariant, rule,
                                 run_state_machine_as_test)

import edn_reader
from conftest import examples, wait_until
from memory_driver import DIRECTORY, DOCUMENT, EXCHANGE, NOREPLACE, Memory, Refused


@pytest.fixture
def probe(binary):
    return binary('memory_probe')


@pytest.fixture
def memory(probe, tmp_path):
    """memory(edn, **options) opens one on a memory.edn of that text."""
    opened = []

    def open_one(edn=None, **options):
        if edn is not None:
            (tmp_path / 'memory.edn').write_bytes(edn if isinstance(edn, bytes) else edn.encode())
        opened.append(Memory(probe, tmp_path, **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.kill()


def refusal(code):
    class Check:
        def __enter__(self):
            return self

        def __exit__(self, kind, value, _):
            assert kind is Refused, f'not refused with {errno.errorcode[code]}: {value}'
            assert value.errno == code, value
            self.reason = value.reason
            return True
    return Check()


def conflicts(m):
    top = m.store / 'conflicts'
    return {str(p.relative_to(top)): p.read_text() for p in top.rglob('*') if p.is_file()}


# ---- a random life against a model ----

DOCUMENTS = ['config.json', 'a.json', "'text.json", '#42.json', 'notes/x.json', 'notes/y.json',
             'notes/deep/z.json', 'presence/s1/alice.json', 'presence/s1/bob.json',
             'presence/s1/:kw.json', 'presence/s1/sub/carol.json', 'presence/s2/alice.json',
             'presence/s3.json']
DIRECTORIES = ['notes', 'notes/deep', 'presence/s1', 'presence/s1/sub', 'presence/s2',
               'presence/s9', 'other']
COLLECTIONS = ['presence/s1', 'presence/s1/sub', 'presence/s2', 'presence/s9']
BYTES = [b'{"a": 1}', b'{"a":1}\n', b'[1, 2, {"#set": [1, 2]}]', b'"text"', b'{}', b'null',
         b'{"b": [1.5, {"c": ":kw"}], "\'s": {"#int": "5N"}}', b'[' + b'7, ' * 3000 + b'7]']


def parent(path):
    return path.rpartition('/')[0]


def value_of(data):
    return json.loads(data)


class Life(RuleBasedStateMachine):
    probe = None  # set by the test

    @initialize()
    def begin(self):
        self.directory = tempfile.mkdtemp(prefix='ourofs-memory-')
        with open(os.path.join(self.directory, 'memory.edn'), 'w') as f:
            f.write(';; first\n{:config {:a 1}, ; a comment\n :notes/x [1 2]\n'
                    ' :presence/s1 {"alice" {:b 2} :kw 5}\n :presence/s2 {}}\n')
        os.chmod(f.name, 0o640)
        self.memory = Memory(self.probe, self.directory)
        self.keyed = {'presence/s1', 'presence/s2'}
        self.documents = {}
        for path in ('config.json', 'notes/x.json', 'presence/s1/alice.json',
                     'presence/s1/:kw.json'):
            stat = self.memory.stat(path)
            assert stat.mode == 0o640
            self.documents[path] = (self.memory.read(path), stat)

    def teardown(self):
        if hasattr(self, 'memory'):
            self.memory.kill()
            shutil.rmtree(self.directory)

    # -- the model --

    def directories(self):
        found = set()
        for path in list(self.documents) + [k + '/x' for k in self.keyed]:
            while path := parent(path):
                found.add(path)
        return found

    def blocked(self, path, data):
        """The error of a document coming to be at path."""
        if path == 'presence/s3.json':
            return errno.EISDIR if value_of(data).__class__ is dict and \
                not is_marker(data) else 0
        return 0

    def remember(self, path):
        self.documents[path] = (self.memory.read(path), self.memory.stat(path))

    # -- the rules --

    @rule(path=st.sampled_from(DOCUMENTS), data=st.sampled_from(BYTES),
          mode=st.sampled_from([None, 0o600, 0o444]),
          mtime=st.sampled_from([None, 1, 1_600_000_000_123_456_789]))
    def put(self, path, data, mode, mtime):
        error = self.blocked(path, data)
        if error:
            with refusal(error):
                self.memory.put(path, data, mode, mtime)
            return
        before = self.documents.get(path)
        stat, unchanged = self.memory.put(path, data, mode, mtime)
        assert unchanged == (before is not None and before[0] == data)
        assert stat.size == len(data)
        assert stat.mode == (mode if mode is not None else before[1].mode if before else 0o640)
        assert mtime is None or stat.mtime == mtime
        if before:
            assert stat.ino == before[1].ino
            assert (stat.version == before[1].version) == unchanged
        else:
            assert stat.ino not in {s.ino for _, s in self.documents.values()}
        self.documents[path] = (data, stat)
        if parent(path) in COLLECTIONS:
            self.keyed.add(parent(path))

    @rule(path=st.sampled_from(DOCUMENTS))
    def delete(self, path):
        if path in self.documents:
            self.memory.call('delete', path)
            del self.documents[path]
        else:
            with refusal(errno.ENOENT):
                self.memory.call('delete', path)

    @rule(source=st.sampled_from(DOCUMENTS), goal=st.sampled_from(DOCUMENTS),
          flags=st.sampled_from([0, 0, NOREPLACE, EXCHANGE]))
    def rename(self, source, goal, flags):
        def move():
            self.memory.call('rename', source, goal, flags)
        there = self.documents.get(goal)
        error = errno.ENOENT if source not in self.documents or \
            (flags == EXCHANGE and not there) else 0
        if not error and source != goal:
            if flags == NOREPLACE and there:
                error = errno.EEXIST
            else:
                error = self.blocked(goal, self.documents[source][0])
                if not error and flags == EXCHANGE:
                    error = self.blocked(source, there[0])
        if error:
            with refusal(error):
                move()
            return
        move()
        if source == goal:
            return
        self.documents[goal] = self.documents.pop(source)
        if flags == EXCHANGE:
            self.documents[source] = there
        if parent(goal) in COLLECTIONS:
            self.keyed.add(parent(goal))

    @rule(source=st.sampled_from(DIRECTORIES), goal=st.sampled_from(DIRECTORIES))
    def rename_directory(self, source, goal):
        there = self.directories()
        moved = {p: goal + p[len(source):] for p in self.documents
                 if p.startswith(source + '/')}
        keyed = {k for k in self.keyed if k == source or k.startswith(source + '/')}
        if source not in there or source == goal or goal.startswith(source + '/') or \
                any(d.startswith(goal + '/') for d in there) or \
                any(p.startswith(goal + '/') for p in self.documents):
            return
        if not goal.startswith('presence/') and any(
                parent(p) == k for k in keyed for p in moved) is False and keyed:
            with refusal(errno.EXDEV):
                self.memory.call('rename_directory', source, goal)
            return
        inos = {p: self.memory.stat(p).ino for p in [source]}
        try:
            self.memory.call('rename_directory', source, goal)
        except Refused as refused:
            assert refused.errno == errno.EXDEV, refused
            return
        for old, new in moved.items():
            self.documents[new] = self.documents.pop(old)
        self.keyed -= keyed
        collection = goal.startswith('presence/')
        if collection:
            self.keyed |= {goal + k[len(source):] for k in keyed}
            self.keyed |= {parent(new) for new in moved.values()}
        assert self.memory.stat(goal).ino == inos[source]

    @rule(path=st.sampled_from(COLLECTIONS + ['notes', 'nothing']))
    def remove_directory(self, path):
        there = self.directories()
        error = errno.ENOENT if path not in there else \
            errno.ENOTEMPTY if any(parent(p) == path for p in set(self.documents) | there) else 0
        if error:
            with refusal(error):
                self.memory.call('remove_directory', path)
        else:
            self.memory.call('remove_directory', path)
            self.keyed.remove(path)

    @rule(path=st.sampled_from(DOCUMENTS), mode=st.sampled_from([None, 0o400, 0o777]),
          mtime=st.sampled_from([None, 5, 1_700_000_000_000_000_001]))
    def attributes(self, path, mode, mtime):
        if path not in self.documents:
            with refusal(errno.ENOENT):
                self.memory.call('attributes', path, mode, mtime)
            return
        data, stat = self.documents[path]
        self.memory.call('attributes', path, mode, mtime)
        self.documents[path] = (data, stat._replace(
            mode=stat.mode if mode is None else mode,
            mtime=stat.mtime if mtime is None else mtime))

    @rule()
    def sync(self):
        self.memory.call('sync')
        assert self.memory.health().pending == 0
        with tempfile.TemporaryDirectory() as other:
            shutil.copy(self.memory.edn, os.path.join(other, 'memory.edn'))
            with Memory(self.probe, other) as fresh:
                assert fresh.walk() == self.memory.walk()
                for path, (data, _) in self.documents.items():
                    assert value_of(fresh.read(path)) == value_of(data)

    @rule()
    def crash(self):
        self.memory.crash()
        self.compare()

    @rule()
    def reopen(self):
        self.memory.reopen()
        self.compare()

    def compare(self):
        for path, (data, stat) in self.documents.items():
            assert self.memory.read(path) == data
            now = self.memory.stat(path)
            assert now == stat._replace(version=now.version)
        inos = [row[2] for d in self.directories() | {''} for row in self.memory.list(d)]
        assert len(inos) == len(set(inos))

    @invariant()
    def listing(self):
        if not hasattr(self, 'memory'):
            return
        expected = {p: DOCUMENT for p in self.documents}
        expected.update({d: DIRECTORY for d in self.directories()})
        assert self.memory.walk() == expected
        for path, (data, stat) in self.documents.items():
            assert self.memory.stat(path) == stat
            assert stat.size == len(data)


def is_marker(data):
    value = value_of(data)
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith('#')


def test_life(probe):
    class One(Life):
        pass
    One.probe = probe
    run_state_machine_as_test(One, settings=hypothesis.settings(
        max_examples=examples(25), stateful_step_count=30, deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck)))


# ---- names ----

@pytest.mark.parametrize('path, code', [
    ('50%2f.json', errno.EINVAL), ("'two words.json", errno.EINVAL), ('notes/a@b.json', errno.EINVAL),
    ('embed-token/0ab.json', errno.EINVAL), ('presence/s/::x.json', errno.EINVAL),
    ('plain', errno.EINVAL)])
def test_names_that_are_refused(memory, path, code):
    m = memory('{:config {:a 1}}')
    try:
        m.call('may', path)
        kind = 0
    except Refused as refused:
        kind = refused.errno
    with refusal(code):
        m.put(path, b'{}')
    assert kind in (code, 0) and (kind == code or path == 'plain')


def test_a_document_is_renamed_as_no_directory(memory):
    m = memory('{:config 1}')
    for goal in ('config.json', 'other'):
        with refusal(errno.ENOTDIR):
            m.call('rename_directory', 'config.json', goal)


def test_a_number_equal_to_a_key_is_refused(memory):
    m = memory('{1 :a, :presence/s {[1] 5}}')
    with refusal(errno.EEXIST):
        m.put('#1N.json', b'1')
    with refusal(errno.EEXIST):
        m.call('may', '#1N.json')
    with refusal(errno.EEXIST):
        m.put('presence/s/#(1).json', b'1')
    m.call('delete', '#1.json')
    m.put('#1N.json', b'1')
    m.call('sync')
    assert m.edn.read_text() == '{:presence/s {[1] 5}, 1N 1}'


def test_a_map_where_a_collection_belongs(memory):
    m = memory('{:presence/v [1]}')
    with refusal(errno.EISDIR):
        m.put('presence/s1.json', b'{"a": 1}')
    m.put('presence/s1/a.json', b'1')
    with refusal(errno.EISDIR):
        m.put('presence/s1.json', b'[1]')
    with refusal(errno.ENOTDIR):
        m.put('presence/v/a.json', b'[1]')
    m.call('delete', 'presence/v.json')
    m.put('presence/v/a.json', b'[1]')
    m.call('sync')
    assert m.edn.read_text() == '{:presence/s1 {"a" 1}, :presence/v {"a" [1]}}'


def test_shortened_names_are_found_and_written(memory):
    session = 'x' * 300
    m = memory('{:presence/%s {"a" 1} :%s 2}' % (session, 'y' * 300))
    directory = 'presence/' + m.names('presence')[0]
    m.put(directory + '/a.json', b'3')
    m.put(directory + '/b.json', b'4')
    m.put([n for n in m.names() if n.startswith('y')][0], b'5')
    m.crash()
    assert m.read(directory + '/b.json') == b'4'
    m.call('delete', directory + '/a.json')
    m.call('sync')
    assert m.edn.read_text() == '{:presence/%s {"b" 4} :%s 5}' % (session, 'y' * 300)


# ---- what Ouroboros could not read ----

LENIENT = (b'{:embed-token/0ab {:token/permissions [:a/1 :b]} ; one\n'
           b' :beds/north {:soil #soil/mix {:a #{s/1}}} ; two\n'
           b' :presence/s {:m/1 1, "t" #old/tag 5} :presence/::k {"a" 1} [:c/1 #vec/tag []] 6 :x 1}')
LENIENT_PATHS = ['embed-token/0ab.json', 'beds/north.json', 'presence/s/#:m%2F1.json',
                 'presence/s/t.json', 'presence/::k/a.json', '#[:c%2F1 #vec%2Ftag []].json']


def documents(m):
    return {path: m.read(path) for path, kind in m.walk().items() if kind == DOCUMENT}


def check_new_tokens_are_refused(m, path='x.json'):
    for value in (b'{"#kw": "a/2"}', b'{"#kw": "s/1"}', b'{"#sym": "s/2"}',
                  b'{"#sym": "a/1"}', b'{"#soil/other": 1}', b'[{"#kw": "a/1"}, {"#kw": "a/2"}]',
                  b'{"#mix": {"#kw": "a/1"}}', b'{"a": {"#old/tag": {"#soil/mixed": 1}}}'):
        with refusal(errno.EBADMSG) as refused:
            m.put(path, value)
        assert "clojure.edn " in refused.reason, value
        with refusal(errno.EBADMSG):
            m.call('check', path, value)
    for name in ('embed-token/0ac.json', 'presence/s/#:m%2F2.json', 'presence/::l/a.json',
                 '#[:c%2F2].json', '#[#vec%2Ftags []].json'):
        with refusal(errno.EINVAL):
            m.call('may', name)
        with refusal(errno.EINVAL):
            m.put(name, b'1')
    with refusal(errno.EINVAL):
        m.call('may', 'presence/::l')


def test_lenient_values_are_kept_and_not_added(memory):
    m = memory(LENIENT)
    data = m.read('embed-token/0ab.json')
    m.put('embed-token/0ab.json', data.replace(b'":b"', b'":c"'))
    with refusal(errno.EBADMSG) as refused:
        m.put('embed-token/0ab.json', data.replace(b'a/1', b'a/2'))
    assert ':a/2' in refused.reason
    check_new_tokens_are_refused(m)
    check_new_tokens_are_refused(m, 'embed-token/0ab.json')
    assert sorted(documents(m)) == sorted(LENIENT_PATHS + ['x.json'])


@pytest.mark.parametrize('meanwhile', [None, 'sync', 'crash'])
def test_what_memory_edn_held_is_saved_again(memory, meanwhile):
    """As tar does, which unlinks each file that it extracts."""
    m = memory(LENIENT)
    before = documents(m)
    for path in LENIENT_PATHS:
        m.call('delete', path)
        if meanwhile:
            m.call(meanwhile) if meanwhile == 'sync' else m.crash()
        m.call('may', path)
        m.call('check', path, before[path])
        m.put(path, before[path])
    assert documents(m) == before
    check_new_tokens_are_refused(m)
    m.call('sync')
    if meanwhile is None:
        assert m.edn.read_bytes() == LENIENT
    m.reopen()
    assert documents(m) == before


def test_all_that_was_held_comes_back_after_a_rewrite_without_it(memory):
    m = memory(LENIENT)
    before = documents(m)
    for path in LENIENT_PATHS:
        m.call('delete', path)
    m.call('remove_directory', 'presence/s')
    m.call('remove_directory', 'presence/::k')
    m.call('sync')
    assert m.edn.read_bytes() == b'{:x 1}'
    check_new_tokens_are_refused(m)
    m.call('may', 'presence/::k')
    for path in LENIENT_PATHS:
        m.put(path, before[path])
    assert documents(m) == before
    # what a replay brings is held, too, though the file lacks it
    m.crash()
    for path in LENIENT_PATHS:
        m.call('delete', path)
    m.call('sync')
    for path in LENIENT_PATHS:
        m.put(path, before[path])
    assert documents(m) == before


def test_what_memory_edn_held_is_renamed_away_and_back(memory):
    m = memory(LENIENT)
    before = documents(m)
    for number, path in enumerate(LENIENT_PATHS):
        m.call('rename', path, f'away{number}.json', 0)
    m.call('rename_directory', 'presence/::k', 'presence/k')
    m.call('sync')
    m.call('rename_directory', 'presence/k', 'presence/::k')
    for number, path in enumerate(LENIENT_PATHS):
        m.call('rename', f'away{number}.json', path, 0)
    assert documents(m) == before
    m.call('rename_directory', 'presence/::k', 'presence/k')
    m.call('sync')
    m.call('rename_directory', 'presence/k', 'presence/::k')
    assert documents(m) == before
    with refusal(errno.EXDEV):
        m.call('rename_directory', 'presence/::k', 'presence/::l')
    m.reopen()
    assert documents(m) == before


def test_what_others_bring_is_held_from_then_on(memory):
    m = memory('{:x 1}')
    m.edn.write_bytes(LENIENT)
    m.call('sync')
    before = documents(m)
    assert sorted(before) == sorted(LENIENT_PATHS + ['x.json'])
    m.edn.write_bytes(b'{:x 1}')
    m.call('sync')
    assert m.names() == ['x.json']
    for path in LENIENT_PATHS:
        m.put(path, before[path])
    assert documents(m) == before
    check_new_tokens_are_refused(m)


def test_what_an_earlier_mount_held_is_not_held(memory):
    m = memory(LENIENT)
    data = m.read('beds/north.json')
    m.call('delete', 'beds/north.json')
    m.reopen()
    with refusal(errno.EBADMSG):
        m.put('beds/north.json', data)
    check_new_tokens_are_refused(m)


def test_tokens_inside_namespaced_maps_and_keys_are_held(memory):
    m = memory('#:n{:1 {:a 1} :b #:m{:2 5, _/c 6} :c {[#k/t 1] 2} :d ^{:e/1 1} [] :f 7}')
    before = documents(m)
    for path in before:
        m.call('delete', path)
    m.call('sync')
    for path, data in before.items():
        m.put(path, data)
    assert documents(m) == before
    for token in (b'{"#kw": "e/1"}', b'{"#kw": "n/2"}', b'{"#kw": "m/1"}', b'{"#k/u": 1}'):
        with refusal(errno.EBADMSG):
            m.put('x.json', token)


def test_a_value_saved_again_over_its_deletion_keeps_its_layout(memory):
    text = '{:a {:x 1,,,:y #{2   3}} ; one\n :presence/s {"m"   [1   2]} :b 1}'
    m = memory(text)
    for path in ('a.json', 'presence/s/m.json'):
        data = json.dumps(json.loads(m.read(path))).encode()
        m.call('delete', path)
        m.put(path, data)
        assert m.read(path) == data
    m.call('sync')
    assert m.edn.read_text() == text


def test_depth(memory):
    deep = b'[' * 600 + b']' * 600
    m = memory('{:deep %s :x 1}' % deep.decode())
    with refusal(errno.EBADMSG):
        m.put('x.json', deep)
    m.put('x.json', b'[' * 512 + b']' * 512)
    m.put('deep.json', b'[' * 590 + b']' * 590)
    with refusal(errno.EBADMSG):
        m.put('deep.json', b'[' * 601 + b']' * 601)


def test_depth_of_what_was_deleted(memory):
    deep = b'[' * 600 + b']' * 600
    m = memory('{:deep %s :x 1 :presence/s {"a" %s}}' % (deep.decode(), deep.decode()))
    for path in ('deep.json', 'presence/s/a.json'):
        m.call('delete', path)
        with refusal(errno.EBADMSG) as refused:
            m.put(path, b'[' + deep + b']')
        assert 'deeper' in refused.reason
        with refusal(errno.EBADMSG):
            m.put('x.json', deep)
        m.put(path, deep)
        m.call('delete', path)
        m.call('sync')
        with refusal(errno.EBADMSG):
            m.put(path, deep)


def test_size(memory):
    m = memory('{}', doc_max=100)
    m.put('x.json', b'"' + b'a' * 98 + b'"')
    with refusal(errno.EFBIG):
        m.put('x.json', b'"' + b'a' * 99 + b'"')


# ---- places ----

def test_places_in_the_file_are_kept(memory):
    m = memory('{:a 1 ; one\n :b 2 ; two\n :c 3}')
    m.call('delete', 'b.json')
    m.put('b.json', b'20')
    m.call('rename', 'a.json', 'z.json', 0)
    m.put('c.json', b' 3 ')
    m.call('sync')
    assert m.edn.read_text() == '{:z 1 ; one\n :b 20 ; two\n :c 3}'
    assert m.read('c.json') == b' 3 '


@pytest.mark.parametrize('kill', [False, True])
@pytest.mark.parametrize('source, goal, expected', [
    ('new.json', 'config.json', '{:config {:new [1]} ; how\n :b 2 ; two\n'
                                ' :presence/s {"x" 1 ; x\n "y" 2} ; s\n :c 3}'),
    ('config.json', 'b.json', '{:b {:a 1} ; two\n :presence/s {"x" 1 ; x\n "y" 2} ; s\n :c 3\n :new {:new [1]}}'),
    ('presence/s/y.json', 'presence/s/x.json',
     '{:config {:a 1} ; how\n :b 2 ; two\n :presence/s {"x" 2 ; x\n } ; s\n :c 3\n :new {:new [1]}}'),
    ('new.json', 'presence/s/x.json',
     '{:config {:a 1} ; how\n :b 2 ; two\n :presence/s {"x" {:new [1]} ; x\n "y" 2} ; s\n :c 3}'),
    ('presence/s/x.json', 'b.json',
     '{:config {:a 1} ; how\n :b 1 ; two\n :presence/s {"y" 2} ; s\n :c 3\n :new {:new [1]}}'),
    ('new.json', 'other.json', '{:config {:a 1} ; how\n :b 2 ; two\n'
                               ' :presence/s {"x" 1 ; x\n "y" 2} ; s\n :c 3\n :other {:new [1]}}'),
])
def test_a_document_renamed_over_another_takes_its_place(memory, source, goal, expected, kill):
    m = memory('{:config {:a 1} ; how\n :b 2 ; two\n :presence/s {"x" 1 ; x\n "y" 2} ; s\n :c 3}')
    m.put('new.json', b'{"new":[1]}', 0o600, 77)
    before, data = m.stat(source), m.read(source)
    m.call('rename', source, goal, 0)
    if kill:
        m.crash()
        m.crash()
    assert m.read(goal) == data
    assert m.stat(goal)._replace(version=0) == before._replace(version=0)
    with refusal(errno.ENOENT):
        m.stat(source)
    m.call('sync')
    text = m.edn.read_text()
    assert text == expected
    m.reopen()
    assert m.read(goal) == data and m.edn.read_text() == text


def test_editors_that_save_by_renaming_change_one_key(memory):
    text = '{:config {:theme :light, :size 12} ; how it looks\n :count 3}\n'
    m = memory(text)
    for value, way in enumerate(('over', 'backup', 'unlink', 'swap', 'over')):
        m.put('b.json', b'{"theme": ":light", "size": %d}' % value)
        if way == 'backup':
            m.call('delete', 'config.json')  # renamed to a name that is no key's
        elif way == 'unlink':
            m.call('delete', 'config.json')
        if way == 'swap':
            m.call('rename', 'b.json', 'config.json', EXCHANGE)
            m.call('delete', 'b.json')
        else:
            m.call('rename', 'b.json', 'config.json', 0)
        m.call('sync')
        assert m.edn.read_text() == text.replace('12', str(value)), way
        m.crash()


def test_a_renamed_collection_keeps_its_place_and_layout(memory):
    m = memory('{:presence/s1 {"a" 1 ; one\n "b" 2} :x 1}')
    m.call('rename_directory', 'presence/s1', 'presence/s2')
    m.call('sync')
    assert m.edn.read_text() == '{:presence/s2 {"a" 1 ; one\n "b" 2} :x 1}'


@pytest.mark.parametrize('source, goal, text', [
    ('learning/index', 'presence/s9', '{:presence/s9 {"ada" [1]} :x 1}'),
    ('presence/s1', 'learning/index', '{:learning/index {:alice 2} :x 1}'),
])
def test_members_of_a_renamed_collection_are_of_its_kind(memory, source, goal, text):
    """The same names, for which the one has keywords and the other strings: no member is there twice."""
    m = memory('{:x 1 :learning/index {:ada [1]}}' if source == 'learning/index' else
               '{:x 1 :presence/s1 {"alice" 2}}')
    m.call('rename_directory', source, goal)
    m.call('sync')
    assert edn_reader.read(m.edn.read_text()) == edn_reader.read(text)
    m.reopen()
    assert edn_reader.read(m.edn.read_text()) == edn_reader.read(text)
    assert len(documents(m)) == 2


def test_attributes_do_not_rewrite_the_file(memory):
    m = memory('{:a 1}')
    before = os.stat(m.edn)
    m.call('attributes', 'a.json', 0o600, 77)
    m.call('sync')
    after = os.stat(m.edn)
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    m.reopen()
    assert m.stat('a.json')[1::4] == (0o600, 77)


def test_what_was_never_saved_shows_when_it_was_first_seen(memory):
    m = memory('{:a 1 :b 2}')
    first = os.stat(m.edn).st_mtime_ns
    assert m.stat('a.json').mtime == m.stat('').mtime == first
    m.put('b.json', b'3')
    m.reopen()
    assert os.stat(m.edn).st_mtime_ns != first
    assert m.stat('a.json').mtime == first


def test_an_inode_number_that_moved_away_is_not_given_again(memory):
    m = memory('{:a 1 :notes/x 2}')
    a, notes = m.stat('a.json').ino, m.stat('notes').ino
    m.call('rename', 'a.json', 'b.json', 0)
    m.call('rename_directory', 'notes', 'texts')
    m.reopen()
    assert (m.stat('b.json').ino, m.stat('texts').ino) == (a, notes)
    m.call('close')
    m.end()
    # the other writer takes over what was renamed, and only then makes keys of the old names
    m.edn.write_text(m.edn.read_text()[:-1] + ' :new 1}')
    m.start()
    m.call('close')
    m.end()
    m.edn.write_text(m.edn.read_text()[:-1] + ' :a 5 :notes/x 6}')
    m.start()
    assert m.stat('a.json').ino != a and m.stat('notes').ino != notes


# ---- kills, full disks, locks ----

def test_nothing_acknowledged_is_lost(memory):
    m = memory('{:a 1}', delay_ms=0)
    for i in range(30):
        m.put(f'n/d{i % 7}.json', str(i).encode())
        m.crash()
        assert m.read(f'n/d{i % 7}.json') == str(i).encode()
    m.call('sync')
    assert m.health().pending == 0


def test_a_second_daemon_is_refused(memory, probe, tmp_path):
    m = memory('{:a 1}')
    with refusal(errno.EBUSY) as refused:
        Memory(probe, tmp_path)
    assert f'(pid {m.process.pid})' in refused.reason
    m.kill()
    Memory(probe, tmp_path).kill()


def test_another_programs_database_is_left_alone(memory, tmp_path):
    store = tmp_path / 'memory.eav'
    saved = store / 'saved'
    saved.mkdir(parents=True)
    (saved / 'data.mdb').write_bytes(b'something else' * 1000)
    with refusal(errno.EINVAL) as refused:
        memory('{:a 1}')
    assert 'saved/data.mdb belongs to another program' in refused.reason
    assert (saved / 'data.mdb').read_bytes() == b'something else' * 1000
    assert not (saved / 'lock.mdb').exists()


def test_a_full_disk_refuses_and_recovers(memory):
    m = memory('{:a 1}', delay_ms=3_600_000)
    m.put('a.json', b'2')
    m.call('limit', 3000)
    with refusal(errno.EFBIG):
        m.put('b.json', b'"' + b'x' * 8000 + b'"')
    assert m.names() == ['a.json']
    m.put('c.json', b'3')
    m.crash()
    assert m.names() == ['a.json', 'c.json']


def test_a_failed_rewrite_keeps_everything_pending(memory):
    m = memory('{:a 1}')
    m.put('b.json', b'2')
    m.call('limit', 0)
    with refusal(errno.EFBIG):
        m.call('sync')
    assert m.health().edn_error == -errno.EFBIG
    assert m.health().pending == 1
    assert m.edn.read_text() == '{:a 1}'
    m.call('limit', None)
    m.call('sync')
    assert m.health().edn_error == 0
    assert m.edn.read_text() == '{:a 1, :b 2}'


def test_read_only(memory, tmp_path):
    m = memory('{:a 1}', read_only=True)
    assert m.read('a.json') == b'1\n'
    for call in (('put', 'a.json', b'2'), ('delete', 'a.json'), ('rename', 'a.json', 'b.json', 0),
                 ('attributes', 'a.json', 0o600, None), ('remove_directory', 'a')):
        with refusal(errno.EROFS):
            m.call(*call)
    assert sorted(os.listdir(tmp_path)) == ['memory.edn']


def test_read_only_shows_what_is_pending(memory, probe, tmp_path):
    m = memory('{:a 1}')
    m.put('a.json', b'[2 ]')
    m.kill()
    before = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
    with Memory(probe, tmp_path, read_only=True) as reader:
        assert reader.read('a.json') == b'[2 ]'
        reader.call('close')
    assert before == {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}


# ---- memory.edn belongs to others too ----

def test_outside_changes_are_merged(memory):
    m = memory('{:a 1 :b 2 :c 3 :d 4 :presence/s {"x" 1 "y" 2}}')
    version = m.stat('b.json').version
    m.put('a.json', b'10')
    m.put('presence/s/x.json', b'10')
    m.call('delete', 'c.json')
    m.edn.write_text('{:a 1 :b 20 :c 3 :e 5 :presence/s {"x" 5 "z" 3}}')
    m.call('sync')
    assert m.health().outside == 1
    assert m.walk() == {
        'a.json': 0, 'b.json': 0, 'e.json': 0, 'presence': 1, 'presence/s': 1,
        'presence/s/x.json': 0, 'presence/s/z.json': 0}
    assert m.read('b.json') == b'20\n' and m.stat('b.json').version != version
    assert m.read('a.json') == m.read('presence/s/x.json') == b'10'
    assert m.edn.read_text() == '{:a 10 :b 20 :e 5 :presence/s {"x" 10 "z" 3}}'
    assert conflicts(m) == {'presence/s/x.json': '5\n'}
    before = m.walk()
    m.crash()
    assert m.walk() == before


def test_the_same_in_another_layout_is_no_change(memory):
    m = memory('{:a {:x 1 :y 2} :b 2}')
    m.put('a.json', b'{"y": 2, "x": 1}')
    m.call('sync')
    m.edn.write_text('{:b 2, :a {:y 2, :x 1}}')
    m.call('sync')
    assert m.read('a.json') == b'{"y": 2, "x": 1}'
    m.reopen()
    assert m.read('a.json') == b'{"y": 2, "x": 1}'
    assert conflicts(m) == {}


def test_a_file_changed_between_mounts_under_pending_changes(memory):
    m = memory('{:a 1 :b 2 :c 3}')
    m.put('a.json', b'10')
    m.put('a.json', b'11')
    m.put('b.json', b'20')
    m.kill()
    m.edn.write_text('{:a 10 :b 5 :c 6}')
    m.start()
    assert [m.read(f'{n}.json') for n in 'abc'] == [b'11', b'20', b'6\n']
    assert conflicts(m) == {'b.json': '5\n'}


def test_a_broken_file_is_set_aside(memory, tmp_path):
    m = memory('{:a 1 :b 2}')
    m.put('a.json', b'3')
    m.edn.write_text('{:a 1 :b')
    m.call('sync')
    assert m.edn.read_text() == '{:a 3 :b 2}'
    assert [p.read_text() for p in tmp_path.glob('memory.edn.bad-*')] == ['{:a 1 :b']


def test_a_writer_that_started_empty_deletes_nothing(memory, tmp_path):
    keys = ' '.join(f':k{i} {i}' for i in range(20))
    m = memory('{%s}' % keys)
    m.edn.write_text('#:learning{:tag-index {}}')
    m.call('sync')
    assert len(m.names()) == 21
    assert m.read('k7.json') == b'7\n'
    assert len(list(tmp_path.glob('memory.edn.bad-*'))) == 1
    m.call('sync')
    m.reopen()
    assert len(m.names()) == 21


def test_more_than_the_first_map_of_the_database(memory):
    m = memory('{}')
    data = {f'd{i}.json': b'"%s"' % (bytes([97 + i]) * 6_000_000) for i in range(12)}
    for path, text in data.items():
        m.put(path, text)
    m.call('sync')
    assert m.health().journal_bytes == 0
    m.reopen()
    for path, text in data.items():
        assert m.read(path) == text


def test_the_delay_is_kept_without_being_asked(memory):
    m = memory('{:a 1}', delay_ms=10)
    m.put('a.json', b'2')
    wait_until(lambda: m.edn.read_text() == '{:a 2}', 'the rewrite')
    wait_until(lambda: not list((m.store / 'journal').iterdir()), 'the journal to be trimmed')


def test_many_threads_see_whole_documents(memory):
    m = memory('{:presence/s {"a" [0 0]}}', delay_ms=0)
    m.call('storm', 2000)
    before = {path: m.read(path) for path, kind in m.walk().items() if kind == DOCUMENT}
    m.crash()
    assert {path: m.read(path) for path, kind in m.walk().items() if kind == DOCUMENT} == before


def test_outside_changes_amid_many_threads(memory):
    """The merge compares while others write; what they write meanwhile stands."""
    m = memory('{:presence/s {"a" [0 0]} :outside 0 :still {:a 1}}', delay_ms=0)
    failed = []

    def rage():
        try:
            m.call('storm', 500)
        except Refused as error:
            failed.append(error)
    storm = threading.Thread(target=rage)
    storm.start()
    number = 0
    while storm.is_alive() or number < 5:
        number += 1
        text = re.sub(r':outside \d+', f':outside {number}', m.edn.read_text())
        text = text.replace(':still {:a 1}', ':still {:a  1}' if number % 2 else ':still {:a 1}')
        other = m.edn.with_name('other')
        other.write_text(text)
        other.rename(m.edn)
    storm.join()
    assert not failed
    m.call('sync')
    assert m.health().outside > 0 and m.health().edn_error == 0
    assert m.read('outside.json') == b'%d\n' % number
    assert value_of(m.read('still.json')) == {'a': 1}
    before = documents(m)
    m.call('sync')
    m.crash()
    assert documents(m) == before


def test_types_and_keys(memory):
    m = memory('{:presence/s {"a" 1 "b" 2} :x 1 :u/l {:learning/id "l"} nil 4}')
    assert m.call('describe', 'presence/s/a.json') == ['x' + b'[:presence/s "a"]'.hex(), 'presence', 'edn']
    assert m.call('describe', 'u/l.json') == ['x' + b':u/l'.hex(), 'learning', 'edn']
    words = m.call('types')
    assert dict(zip(words[::2], words[1::2])) == {'presence': '2', 'cache': '2', 'learning': '1'}


def test_valgrind(probe, tmp_path):
    if not shutil.which('valgrind') or b'__asan' in open(probe, 'rb').read():
        pytest.skip('valgrind is absent, or the probe checks itself')
    (tmp_path / 'memory.edn').write_text('{:a 1 :presence/s {"x" 1}}')
    hexed = lambda s: 'x' + s.encode().hex()
    script = [f'open {hexed(str(tmp_path / "memory.edn"))} {hexed(str(tmp_path / "st"))} 0 0']
    script += [f'put {hexed(f"n/d{i}.json")} {hexed("[1, {}]")}' for i in range(5)]
    script += [f'rename_directory {hexed("n")} {hexed("m")}', f'delete {hexed("m/d1.json")}',
               f'rename_directory {hexed("presence/s")} {hexed("presence/t")}',
               f'rename {hexed("m/d2.json")} {hexed("a.json")} 0', f'list {hexed("m")}', 'sync',
               f'attributes {hexed("a.json")} 256 5', 'close']
    done = subprocess.run(['valgrind', '-q', '--error-exitcode=9', '--leak-check=full', probe],
                          input='\n'.join(script) + '\n', capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if not line.startswith('0')] == []


# ---- the EAV store fails for a while ----

def test_saved_while_the_eav_store_fails(memory):
    """What is newer than the store that failed is no change of another's: it stands, without a conflict."""
    m = memory('{:a "in memory.edn" :b 1}')
    m.call('switch', 'force datalevin-only')
    m.put('a.json', b'"in the EAV store"')
    m.put('b.json', b'2')
    m.call('sync')
    m.call('limit', 3000)
    m.put('a.json', b'"in memory.edn"')  # back to what memory.edn has
    m.put('b.json', b'3')
    with refusal(errno.EFBIG):
        m.call('sync')
    time.sleep(2.5)  # it is tried again once a second
    assert m.read('a.json') == b'"in memory.edn"'
    m.call('limit', None)
    time.sleep(1.5)
    m.call('sync')
    assert m.read('a.json') == b'"in memory.edn"'
    assert m.read('b.json') == b'3'
    assert conflicts(m) == {}
    m.crash()
    assert m.read('a.json') == b'"in memory.edn"'
    assert m.read('b.json') == b'3'


def source(m, path):
    return m.call('describe', path)[2]


def wait_for_source(m, path, wanted):
    def there():
        m.read(path)
        return source(m, path) == wanted
    wait_until(there, f'{path} comes from {wanted}')


def test_what_was_damaged_in_the_eav_store_is_written_again(memory):
    m = memory('{}')
    m.put('a.json', b'"MARK"')
    m.put('b.json', b'2')
    m.call('sync')
    assert source(m, 'a.json') == 'eav'
    m.call('close')
    m.end()
    data = (m.store / 'data.mdb').read_bytes()
    assert b'"MARK"' in data
    (m.store / 'data.mdb').write_bytes(data.replace(b'"MARK"', b'"MaRK"'))
    m.start()
    assert m.read('a.json') == b'"MARK"'
    wait_for_source(m, 'a.json', 'eav')
    assert m.read('a.json') == b'"MARK"'
    m.call('switch', 'datalevin-only')
    m.reopen()
    assert m.read('a.json') == b'"MARK"'


def test_made_while_the_eav_store_fails(memory):
    """It gets there when the store is back, without another save."""
    m = memory('{:never-saved 1}', delay_ms=1)
    m.put('many.json', json.dumps({'many': list(range(20_000))}).encode())
    m.call('sync')
    assert (m.store / 'saved' / 'data.mdb').stat().st_size < 500_000
    assert (m.store / 'data.mdb').stat().st_size > 1_000_000
    m.call('limit', 1_000_000)
    made = json.dumps({'made': list(range(5_000))}).encode()
    m.put('made.json', made)
    m.call('sync')  # memory.edn has it
    assert source(m, 'made.json') == 'edn'
    m.call('limit', None)
    wait_for_source(m, 'made.json', 'eav')
    assert m.read('made.json') == made
    assert source(m, 'never-saved.json') == 'edn'


def test_killed_behind_what_was_written_to_a_replaced_file(memory):
    """It was merged, and memory.edn could not be rewritten: nothing else has it but the store."""
    big = '"%s"' % ('x' * 400_000)
    m = memory('{:kept 1 :gone 1 :ours 1 :big %s}' % big, delay_ms=1)
    m.call('switch', 'edn-only')
    with open(m.edn, 'r+') as rival:
        m.put('ours.json', b'2')
        m.call('sync')
        m.call('limit', 300_000)
        rival.truncate()
        rival.write('{:kept "his" :ours 1 :new 3 :big %s}' % big)
        rival.flush()
        wait_until(lambda: 'new.json' in m.names(), 'the merge')
        with refusal(errno.EFBIG):
            m.call('sync')
    m.crash()
    assert m.names() == ['big.json', 'kept.json', 'new.json', 'ours.json']
    assert m.read('kept.json') == b'"his"\n'
    assert m.read('ours.json') == b'2'
    m.call('sync')
    m.crash()
    assert m.names() == ['big.json', 'kept.json', 'new.json', 'ours.json']


def test_touched_after_a_rewrite_that_failed(memory):
    """What could not be written is not what memory.edn is."""
    m = memory('{:a 1 :big "%s"}' % ('x' * 400_000), delay_ms=1)
    m.call('sync')
    m.call('limit', 300_000)
    m.put('a.json', b'2')
    with refusal(errno.EFBIG):
        m.call('sync')
    os.utime(m.edn)
    with refusal(errno.EFBIG):
        m.call('sync')
    assert m.health().outside == 0
    m.call('limit', None)
    m.call('sync')
    assert m.edn.read_text().startswith('{:a 2 ')
    assert m.health().outside == 0


def test_older_copy_of_the_eav_store(memory):
    """saved knows that it goes further: the copy is compared with memory.edn, not believed."""
    m = memory('{}')
    m.put('a.json', b'1')
    m.put('gone.json', b'1')
    m.call('close')
    m.end()
    older = (m.store / 'data.mdb').read_bytes()
    m.start()
    m.put('a.json', b'2')
    m.put('b.json', b'3')
    m.call('delete', 'gone.json')
    m.call('sync')
    m.reopen()
    m.put('c.json', b'4')
    m.call('close')
    m.end()
    (m.store / 'data.mdb').write_bytes(older)
    m.start()
    assert m.read('a.json') == b'2'
    m.call('switch', 'datalevin-only')
    m.reopen()
    assert m.names() == ['a.json', 'b.json', 'c.json']
    assert m.read('a.json') == b'2'
