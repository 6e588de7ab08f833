# SPDX-License-Identifier: MIT
"""One call fails while a mount does what it does seldom: begins from an index that it has kept, looks into a collection
for the first time, makes a damaged store anew, or a large one small.

CI takes a part of the points; OUROFS_FAULTS=all takes all (see test_faults.py).
"""
import struct
from typing import Callable, NamedTuple, Optional

import pytest

import faults
import tree_model
from test_check_stores import mdb, named_root, set_note, zero_page

pytestmark = pytest.mark.preload

FIRST = '{:config {:a 1} ; of the house\n :notes/x [1 2] :presence/s1 {"alice" {:b 2} :kw 5}}'
COLLECTIONS = '{:config 1 %s}' % ' '.join(
    f':presence/s{n} {{"a" {n} :kw {{:b {n}}} "c d" [{n}]}}' for n in range(1, 9))
INDEXED = '{;%s\n%s' % ('x' * (4 << 20), FIRST[1:])  # EDNINDEX_FROM_BYTES

USUAL = [
    ('look_at', 'config.json'),
    ('save', 'config.json', b'{"a": 2}'),
    ('sync',),
    ('unlink', 'notes/x.json'),
    ('save_synced', 'presence/s1/bob.json', b'3'),
]
EACH_THE_FIRST = [  # that looks into its collection
    ('look_at', 'presence/s1'),
    ('look_at', 'presence/s2/a.json'),
    ('save', 'presence/s3/new.json', b'1'),
    ('unlink', 'presence/s4/:kw.json'),
    ('rename', 'presence/s5/a.json', 'presence/s6/from5.json'),
    ('rename', 'presence/s7', 'presence/s9'),
    ('mkdir', 'presence/s8/inner'),
    ('sync',),
]
LARGE = b'"%s"' % (b'x' * (4 << 20))
COME_AND_GONE = [
    ('save', 'one.json', LARGE),
    ('save', 'two.json', LARGE),
    ('sync',),
    ('unlink', 'one.json'),
    ('unlink', 'two.json'),
    ('sync',),
    ('save', 'config.json', b'{"a": 2}'),
]


def spoil_eav(store):
    zero_page(mdb(store), named_root(mdb(store), b'eav'))


def spoil_saved(store):
    zero_page(mdb(store, 'saved'), named_root(mdb(store, 'saved'), b'documents'))


def spoil_note(part):
    return lambda store: set_note(store / part, b'watermark', struct.pack('=Q', 1 << 40), sealed=False)


class Situation(NamedTuple):
    text: str
    script: list
    mode: str = 'datalevin-first'
    spoil: Optional[Callable] = None


SITUATIONS = {
    'collections': Situation(COLLECTIONS, EACH_THE_FIRST),
    'collections, edn-only': Situation(COLLECTIONS, EACH_THE_FIRST, 'edn-only'),
    'index': Situation(INDEXED, USUAL),
    'compacted': Situation(FIRST, COME_AND_GONE),
    'eav': Situation(FIRST, USUAL, spoil=spoil_eav),
    'eav, dual-write': Situation(FIRST, USUAL, 'dual-write', spoil_eav),
    'eav, a note': Situation(FIRST, USUAL, spoil=spoil_note('')),
    'saved': Situation(FIRST, USUAL, spoil=spoil_saved),
    'saved, edn-only': Situation(FIRST, USUAL, 'edn-only', spoil_saved),
    'saved, a note': Situation(FIRST, USUAL, spoil=spoil_note('saved')),
}


@pytest.fixture
def fault(mount, build_dir, binary):
    def make(situation):
        m = mount.prepare(situation.text, (f'mode={situation.mode}', 'edn_delay=5')).mount()
        (m.mnt / 'config.json').write_text('"in each store"\n')
        m.sync()
        tree = tree_model.look(m.mnt, situation.text)
        m.unmount()
        m.options = ('edn_delay=5',)
        fault = faults.Fault(build_dir, m, binary('ourofsctl'))
        if situation.spoil:
            situation.spoil(m.store)
            fault.bearable = {'saved-remade'}
            # when a value was first seen is in saved alone
            tree.files = {path: file._replace(mtime=None) for path, file in tree.files.items()}
        fault.kept.keep('first')
        return fault, tree
    return make


@pytest.mark.parametrize('name', SITUATIONS)
def test_files(fault, name):
    made, tree = fault(SITUATIONS[name])
    made.play_all(name, SITUATIONS[name].script, tree, 'calls', 2)


@pytest.mark.parametrize('name', ['collections', 'index', 'compacted', 'eav', 'saved'])
def test_memory(fault, name):
    made, tree = fault(SITUATIONS[name])
    made.play_all(name, SITUATIONS[name].script, tree, 'memory', 2)
