# SPDX-License-Identifier: MIT
"""The EAV store held against itself: every kind of planted damage is found, and nothing is where there is none."""
import collections
import struct
import subprocess

import pytest
from eav_plant import Planting
from eav_store import CODES, encode_text, name_of

Problem = collections.namedtuple('Problem', 'kind number name attribute what')

ALICE = name_of(b':presence/s1', b'"alice"')
CONFIG = name_of(b':config')
LONG = name_of(b':' + b'k' * 700)
TEXT = ('{:config {:a 1, :tags #{:x :y "z"}, :deep {:z {:q 1, :p [1 {:m 2, :l 3}]}, :a #{{:i 1, :h 2} 3}}} '
        ':seen 3 :presence/s1 {"alice" {:b 2, :long "' + 'x' * 900 + '"} "bob" 5} :presence/bare {} '
        ':' + 'k' * 700 + ' {:c 1}}')


@pytest.fixture
def check(binary):
    def run(store):
        done = subprocess.run([binary('eav_check_probe'), store], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, (done.returncode, done.stderr)
        return [Problem(kind, int(number), bytes.fromhex(name[1:]), bytes.fromhex(attribute[1:]).decode(), what)
                for kind, number, name, attribute, what in
                (line.split(' ', 4) for line in done.stdout.splitlines())]
    return run


@pytest.fixture
def store(mount):
    """One in which everything is, and that was left in order."""
    m = mount(TEXT, 'mode=datalevin-only', 'force', 'edn_delay=5')
    (m.mnt / 'fresh.json').write_text('{"b": 2, "nested": {"y": 1, "x": {"d": 1, "c": 2}}}')
    (m.mnt / 'gone.json').write_text('{"b": 2}')
    m.sync()
    (m.mnt / 'gone.json').unlink()
    m.sync()
    m.unmount()
    return m.store


def test_a_store_in_order_has_no_problem(store, check):
    assert check(store) == []


def test_every_family_of_keys_is_in_order(mount, example, check):
    m = mount(example, 'mode=datalevin-only', 'force')
    m.unmount()
    assert check(m.store) == []


def test_a_map_that_memory_edn_has_in_another_order_is_no_problem(mount, check):
    """The bytes are as they were saved, the datoms of what another writer made of the same value."""
    m = mount('{}', 'mode=dual-write', 'edn_delay=5')
    (m.mnt / 'a.json').write_text('{"n": {"x": {"r": 1, "s": 2}, "y": {"#set": [1, 2]}}, '
                                  '"s": [[1], {"b": 1, "c": 2}]}')
    m.sync()
    (m.mnt / '.mode').write_text('edn-only\n')
    m.unmount()
    m.edn.write_text('{:a {:s [[1] {:c 2 :b 1}] :n {:y #{2 1} :x {:s 2 :r 1}}}}')
    m.remount('mode=edn-only', 'edn_delay=5')
    (m.mnt / 'a.json').chmod(0o640)
    (m.mnt / '.mode').write_text('dual-write\n')
    m.sync()
    m.unmount()
    assert check(m.store) == []


def test_many_documents_are_looked_at_in_slices(mount, check):
    text = '{' + ' '.join(f':k/{i} {{:a {i} :b "{i}"}}' for i in range(7000)) + '}'
    m = mount(text, 'mode=datalevin-only', 'force')
    m.unmount()
    assert check(m.store) == []
    with Planting(m.store) as p:
        for i in range(0, 7000, 7):
            part = p.datom(b':a', CODES['long'], (i + (1 << 63)).to_bytes(8, 'big'))[0]
            p.del_ave(p.number(name_of(b':k/%d' % i)), part)
    found = check(m.store)
    assert {p.name for p in found} == {name_of(b':k/%d' % i) for i in range(0, 7000, 7)}
    assert len(found) == 1000 and {p.kind for p in found} == {'datom_without_index'}


# ---- damage: what is planted, and what must be told of it ----

def header_bit(p):
    p.flip(ALICE, 40)
    return {('damaged', ALICE, '')}


def header_bit_of_a_long_name(p):
    p.flip(LONG, 40)
    return {('damaged', LONG, '')}


def document_bit(p):
    p.flip(ALICE, -1)
    return {('damaged', ALICE, '')}


def no_json(p):
    p.header(CONFIG, data=b'{')
    return {('damaged', CONFIG, '')}


def another_value(p):
    p.header(name_of(b':seen'), data=b'4')
    return {('damaged', name_of(b':seen'), '')}


def swapped_rows(p):
    a, b = p.key(ALICE), p.key(CONFIG)
    p.documents[a], p.documents[b] = p.documents[b], p.documents[a]
    return {('damaged', ALICE, ''), ('damaged', CONFIG, '')}


def number_of_another(p):
    p.header(name_of(b':seen'), entity=p.number(CONFIG))
    return {('damaged', name_of(b':seen'), ''), ('damaged', b'', '')}


def number_without_row(p):
    del p.eav[p.number(ALICE).to_bytes(8, 'big')]
    return {('damaged', ALICE, ''), ('index_without_datom', b'', ':b'),
            ('index_without_datom', b'', ':long')}


def number_of_nobody(p):
    p.eav[(99).to_bytes(8, 'big')] = b'Dnobody'
    p.notes[b'next_entity'] = struct.pack('=Q', 100)
    return {('damaged', b'', '')}


def next_number_behind(p):
    p.notes[b'next_entity'] = struct.pack('=Q', 2)
    return {('damaged', b'', '')}


def datom_gone_from_both(p):
    for part, _ in p.datoms(ALICE):
        p.del_eav(p.number(ALICE), part)
        p.del_ave(p.number(ALICE), part)
    return {('datom_without_index', ALICE, ':b'), ('datom_without_index', ALICE, ':long')}


def datom_gone_from_eav(p):
    part = p.datoms(ALICE)[0][0]
    p.del_eav(p.number(ALICE), part)
    return {('datom_without_index', ALICE, ':b'), ('index_without_datom', ALICE, ':b')}


def datom_gone_from_ave(p):
    for part, _ in p.datoms(ALICE):
        p.del_ave(p.number(ALICE), part)
    return {('datom_without_index', ALICE, ':b'), ('datom_without_index', ALICE, ':long')}


def datom_too_many(p):
    part, beside = p.datom(b':more', CODES['string'], encode_text(b'y' * 900))
    p.put_eav(p.number(CONFIG), part, beside)
    p.put_ave(p.number(CONFIG), part, beside)
    return {('index_without_datom', CONFIG, ':more')}


def datom_too_many_in_ave(p):
    p.put_ave(p.number(CONFIG), p.datom(b':more', CODES['nil'])[0])
    return {('index_without_datom', CONFIG, ':more')}


def datom_of_a_collection(p):
    bare = name_of(b':presence/bare')
    part = p.datom(b':more', CODES['nil'])[0]
    p.put_eav(p.number(bare), part)
    p.put_ave(p.number(bare), part)
    return {('index_without_datom', bare, ':more')}


def datom_of_nobody(p):
    p.put_ave(77, p.datom(b':more', CODES['nil'])[0])
    p.notes[b'next_entity'] = struct.pack('=Q', 100)
    return {('index_without_datom', b'', ':more')}


def another_nested_value(p):
    old = next(part for part, _ in p.datoms(name_of(b':fresh')) if part.startswith(b':nested'))
    number = p.number(name_of(b':fresh'))
    part = p.datom(b':nested', CODES['json'], encode_text(b'{"y":1,"x":{"d":1,"c":3}}'))[0]
    p.del_eav(number, old)
    p.del_ave(number, old)
    p.put_eav(number, part)
    p.put_ave(number, part)
    return {('datom_without_index', name_of(b':fresh'), ':nested'),
            ('index_without_datom', name_of(b':fresh'), ':nested')}


def what_is_beside_a_cut_datom(p):
    part, beside = p.datoms(ALICE)[1]
    p.put_ave(p.number(ALICE), part, beside[:-3] + b'y\0\0')
    return {('damaged', b'', ''), ('datom_without_index', ALICE, ':long')}


def row_that_is_no_datom(p):
    p.ave[b'short'] = b''
    p.put_ave(p.number(CONFIG), b'no attribute')
    p.put_ave(p.number(CONFIG), p.datom(b':more', 0x77)[0])
    return {('damaged', b'', '')}


PLANTS = [header_bit, header_bit_of_a_long_name, document_bit, no_json, another_value, swapped_rows,
          number_of_another, number_without_row, number_of_nobody, next_number_behind,
          datom_gone_from_both, datom_gone_from_eav, datom_gone_from_ave, datom_too_many,
          datom_too_many_in_ave, datom_of_a_collection, datom_of_nobody, another_nested_value,
          what_is_beside_a_cut_datom, row_that_is_no_datom]


@pytest.mark.parametrize('plant', PLANTS, ids=lambda plant: plant.__name__)
def test_damage_is_found(store, check, plant):
    with Planting(store) as p:
        expected = plant(p)
    found = {(problem.kind, problem.name, problem.attribute) for problem in check(store)}
    if plant is header_bit_of_a_long_name:  # the name was in it
        assert {kind for kind, _, _ in found} == {'damaged'} and len(found) == 1
    else:
        assert found == expected
