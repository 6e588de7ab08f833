# SPDX-License-Identifier: MIT
"""Each place that asks for memory gets none once, below the mount: what is answered is right, or says so.

CI takes a part of the places; OUROFS_FAULTS=all takes all (see test_faults.py).
"""
import errno
import os
import shutil
import struct
import subprocess

import pytest

import callpoint
import eav_store
import edn_reader
import faults
import journal_driver
from conftest import TESTS

pytestmark = pytest.mark.preload


class Layer:
    """A probe, what is written to its stdin, and how its stdout is cut into answers."""

    def __init__(self, program, build_dir, directory):
        self.program = program
        self.args = []
        self.greets = False  # a line before it is asked anything
        self.build_dir = build_dir
        self.directory = directory
        self.counts = directory / 'counts'

    def run(self, said, **words):
        """(answers, what of memory was asked for)"""
        self.counts.unlink(missing_ok=True)
        env = callpoint.environment(self.build_dir, self.counts, count='memory', **words)
        done = subprocess.run([self.program, *self.args], input=said, env=env, capture_output=True)
        assert done.returncode >= 0, f'died of signal {-done.returncode}'
        return done.stdout, callpoint.counted(self.counts).calls

    def talk(self, lines, **words):
        """The same, a line after the other, until one is refused: what comes then may need what it was for."""
        self.counts.unlink(missing_ok=True)
        env = callpoint.environment(self.build_dir, self.counts, count='memory', **words)
        answers = b''
        with subprocess.Popen([self.program, *self.args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env,
                              bufsize=0) as probe:
            if self.greets and not probe.stdout.readline().startswith(b'open 0'):
                lines = b''
            for line in lines.split(b'\n')[:-1]:
                try:
                    probe.stdin.write(line + b'\n')
                except BrokenPipeError:
                    break  # it has ended by itself
                answer = probe.stdout.readline()
                answers += answer
                if not answer or answer.startswith(b'-'):
                    break
        assert probe.returncode >= 0, f'died of signal {-probe.returncode}'
        return answers, callpoint.counted(self.counts).calls

    def places(self, said):
        """Those that are asked by each run: (words for people, words for callpoint.h)."""
        return faults.points_of_memory(self.run(said)[1])


@pytest.fixture
def layer(binary, build_dir, tmp_path):
    return lambda name: Layer(binary(name), build_dir, tmp_path)


def play_all(layer, name, said, judge, before=None):
    """judge(stdout) -> what is wrong with it. before(): makes what the probe keeps its state in."""
    before, run = (before, layer.talk) if before else (lambda: None, layer.run)
    before()
    places = faults.wanted(layer.places(said), 15)
    failures = []
    for place, words in places:
        before()
        try:
            wrong = judge(run(said, **words)[0])
        except AssertionError as died:
            wrong = [str(died)]
        if wrong:
            failures.append((place, wrong))
            faults.log(name, *failures[-1])
    faults.log(name, f'{len(places)} places, {len(failures)} failures')
    assert not failures, '\n'.join([f'{len(failures)} of {len(places)} places'] + [str(one) for one in failures])


def compare(expected, answers, is_error):
    """Of those that the probe gave before it ended, all but one are right, and that one says so."""
    wrong = [f'{answer[:300]}, not {right[:300]}' for right, answer in zip(expected, answers)
             if answer != right and not is_error(answer)]
    return wrong + [f'{len(answers)} answers, not {len(expected)}'] * (len(answers) > len(expected))


# ---- mapping/ ----

TEXTS = [line.split('\t=>\t')[0] for line in (TESTS / 'cases/json/values.txt').read_text().split('\n')
         if line and not line.startswith(';;')]
DOCUMENTS = [line.split('\t=>\t')[-1] for line in (TESTS / 'cases/json/values.txt').read_text().split('\n')
             if line and not line.startswith(';;')]


def test_edn(layer):
    """The probe's own test of itself may fail for lack of memory, too: it is left out."""
    texts = [text.encode() for text in [*TEXTS, (TESTS / 'cases/example.edn').read_text()]]
    said = b''.join(b'%d\n%s' % (len(text), text) for text in texts)
    probe = layer('edn_probe')

    def answers(out):
        found = []
        for line in out.decode().split('\n')[:-1]:
            read, _, scan = line.partition(' | ')
            words = read.split(' ')
            found += [' '.join(words[:6]) if words[0] == 'ok' else read, scan]
        return found

    expected = answers(probe.run(said)[0])
    play_all(probe, 'edn', said, lambda out: compare(
        expected, answers(out), lambda one: one.startswith(f'error {-errno.ENOMEM} ')))


def test_json(layer):
    asked = [(operation, text) for text in TEXTS for operation in 'jdi'] + [
        (operation, text) for text in DOCUMENTS for operation in 'er']
    frames = [operation.encode() + text.encode() for operation, text in asked]
    said = b''.join(struct.pack('<I', len(frame)) + frame for frame in frames)
    probe = layer('json_probe')

    def answers(out):
        found, at = [], 0
        while at + 4 <= len(out):
            size = struct.unpack_from('<I', out, at)[0]
            found.append(out[at + 4:at + 4 + size])
            at += 4 + size
        return found

    expected = answers(probe.run(said)[0])
    assert len(expected) == len(frames)
    play_all(probe, 'json', said, lambda out: compare(
        expected, answers(out), lambda one: one[:1] in b'-!'))


def test_path(layer):
    keys = [':config', ':presence/s1', '"a b"', 'nil', '[1 2]', ':presence/a/b', '#{1}', ':x/' + 'y' * 300, '{:b 1 :a 2}']
    paths = ['config.json', 'presence/s1/alice.json', "'a b.json", '#nil.json', 'presence/%2f.json', 'a%2Fb.json']
    asked = [('key', '0', key) for key in keys] + [('key', '1', key) for key in keys[:2]] + [
        ('key-text', '0', key) for key in keys] + [('member', '0', key) for key in keys] + [
        ('member-text', '0', key) for key in keys] + [('canonical', key) for key in keys] + [
        ('parse', path) for path in paths] + [('scratch', path) for path in paths] + [
        ('match', key) for key in ('presence/s1', 'config')] + [('schema', '{"x/**" {:type x :shape :collection}}')]
    said = '\n'.join(' '.join([verb, *(arg.encode().hex() for arg in args)]) for verb, *args in asked).encode() + b'\n'
    probe = layer('path_probe')
    expected = probe.run(said)[0].split(b'\n')[:-1]
    assert len(expected) == len(asked)
    play_all(probe, 'path', said, lambda out: compare(
        expected, out.split(b'\n')[:-1], lambda one: one.startswith(b'error')))


# ---- store/ ----

EDN = '{:a 1 ; one\n :b {"x" [1] "y" 2}\n :c "text"}\n'


def test_ednfile(layer, tmp_path):
    """Whatever it did not do: the file is one that can be read, and what it was not asked about is in it."""
    path = tmp_path / 'memory.edn'
    asked = [('open', str(path)), ('put', ':a', None, '{:new 2}'), ('put', ':b', '"z"', '3'), ('delete', ':c', None),
             ('rename', ':b', '"x"', ':b', '"w"'), ('exchange', ':a', None, ':b', '"y"'), ('each', None), ('each', ':b'),
             ('text',), ('rewrite',), ('put', ':d', None, '4'), ('begin',), ('put', ':d', None, '5'), ('write',), ('end',),
             ('get', ':d', None, None), ('rewrite',), ('info',), ('close',)]
    said = '\n'.join(' '.join([name, *('-' if arg is None else arg.encode().hex() for arg in args)])
                     for name, *args in asked).encode() + b'\n'
    probe = layer('ednfile_probe')

    def judge(out):
        held = edn_reader.memory(path.read_text())
        wrong = [] if ('kw', 'b') in held and ('kw', 'a') in held else [path.read_text()]
        left = [entry.name for entry in tmp_path.iterdir() if entry.name not in ('memory.edn', 'counts')]
        return wrong + [f'left: {left}'] * bool(left)

    play_all(probe, 'ednfile', said, judge, lambda: path.write_text(EDN))


def test_journal(layer, tmp_path):
    """What was appended is replayed, and no more than was to be."""
    store = tmp_path / 'store'
    said = b'append 1 100\nappend 1 100\nsync\nrotate\nappend 1 100\nappend 2 10\ntrim 2\nretract\nappend 1 9\nsync\n'
    probe = layer('journal_probe')
    probe.args, probe.greets = [store, '0'], True

    def judge(out):
        acknowledged = max([int(line.split()[1]) for line in out.split(b'\n') if line.startswith(b'0 ')], default=0)
        with journal_driver.Journal(probe.program, store, watermark=2) as journal:
            replayed = [one[0] for one in journal.replayed]
            journal.append()
        return [] if replayed == list(range(3, acknowledged + 1)) else [f'{replayed}, not up to {acknowledged}']

    def before():
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir()

    play_all(probe, 'journal', said, judge, before)


def test_eav(layer, tmp_path):
    """Whatever it did not do: each invariant of the layout holds, and the next run does all of it."""
    store = tmp_path / 'store'

    def hexed(arg):
        return str(arg) if isinstance(arg, int) else '-' if arg is None else 'x' + arg.hex()

    def item(key, edn, data):
        return ('item', eav_store.name_of(key), 0, b'cache', data, edn, 0o600, 0, 0, 1, 1, bytes(48))

    asked = [('open', os.fsencode(store), 0, 0), item(b':a', b'{:x 1 :y "text" :z #{:p :q}}', b'{}'),
             item(b':' + b'k' * 600, b'{:long "%s"}' % (b'v' * 600), b'[]'), ('note', b'watermark', bytes(8)), ('write',),
             item(b':a', b'{:x 2 :y nil}', b'{"x":2}'), ('write',), ('get', eav_store.name_of(b':a')), ('each', None),
             ('types',), ('stat',), ('datoms', eav_store.name_of(b':a')), ('close',)]
    said = '\n'.join(' '.join([name, *map(hexed, args)]) for name, *args in asked).encode() + b'\n'
    probe = layer('eav_probe')

    def judge(out):
        try:
            eav_store.Store(store)
        except eav_store.lmdb.Error:
            pass  # nothing was written yet
        probe.run(said)
        found = eav_store.Store(store)
        return [] if len(found.records) == 2 else [f'{len(found.records)} records']

    def before():
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir()

    play_all(probe, 'eav', said, judge, before)
