# SPDX-License-Identifier: MIT
"""The EAV store: documents and datoms in LMDB, held against an independent reader of its layout."""
import collections
import datetime
import errno
import json
import math
import os
import random
import shutil
import struct
import subprocess
import tempfile
import uuid

import eav_store
import lmdb
import pytest
from conftest import examples
from eav_store import CODES, Store, name_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

NAMES = {code: name for name, code in CODES.items()}
EPOCH = datetime.datetime(1970, 1, 1)
MANY_MAX = 65536
COLLECTION, DELETED, HAS_MTIME, BASE_EXISTS = 1, 2, 4, 8
WRITES = ['write', 'write-prepared']  # with the same outcome

Datom = collections.namedtuple('Datom', 'entity name attribute type value')
Stat = collections.namedtuple('Stat', 'entities datoms file_bytes map_bytes commits added removed')


class EavError(Exception):
    def __init__(self, code, reason):
        super().__init__(f'{errno.errorcode.get(-code, code)}: {reason}')
        self.errno, self.reason = -code, reason


def hexed(arg):
    if arg is None:
        return '-'
    if isinstance(arg, int):
        return str(arg)
    return 'x' + (arg if isinstance(arg, bytes) else os.fsencode(arg)).hex()


def unhexed(word):
    return bytes.fromhex(word[1:])


def decoded(kind, word):
    """A value of the probe's as eav_store has it."""
    kind = NAMES[int(kind)]
    if kind in ('nil', 'false', 'true'):
        return kind, {'nil': None, 'false': False, 'true': True}[kind]
    if kind in ('long', 'instant'):
        return kind, int(word)
    return kind, struct.unpack('=d', unhexed(word))[0] if kind == 'double' else unhexed(word)


def record_of(words):
    flags = int(words[0])
    hashes = unhexed(words[8])
    return eav_store.Record(
        unhexed(words[2]), unhexed(words[1]).decode(), bool(flags & COLLECTION),
        bool(flags & DELETED), bool(flags & HAS_MTIME), bool(flags & BASE_EXISTS),
        *map(int, words[3:8]), hashes[:16], hashes[16:32], hashes[32:], int(words[9]))


class Eav:
    """One probe process with one store open."""

    def __init__(self, command, directory, read_only=False, map_bytes=0):
        self.directory = directory
        self.options = (int(read_only), map_bytes)
        self.proc = subprocess.Popen([command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     text=True)
        try:
            self.open()
        except EavError:
            self.end()
            raise

    def send(self, name, *args):
        self.proc.stdin.write(' '.join((name, *map(hexed, args))) + '\n')
        self.proc.stdin.flush()

    def call(self, name, *args):
        self.send(name, *args)
        line = self.proc.stdout.readline()
        assert line, f'the probe died of {self.proc.wait()} in {name} {args}'
        code, *words = line.split()
        if int(code) < 0:
            raise EavError(int(code), unhexed(words[-1]).decode())
        self.code = int(code)
        return words

    def open(self):
        self.call('open', os.fspath(self.directory), *self.options)

    def end(self):
        self.proc.stdin.close()
        status = self.proc.wait()
        self.proc.stdout.close()
        assert status == 0

    def kill(self):
        self.proc.kill()
        self.proc.wait()
        self.proc.stdin.close()
        self.proc.stdout.close()

    def item(self, name, data=b'', edn=None, flags=0, kind='cache', mode=0o600, mtime_ns=0, ino=0,
             version=0, transaction=0, hashes=bytes(48)):
        self.call('item', name, flags, kind, data, edn, mode, mtime_ns, ino, version, transaction,
                  hashes)

    def put(self, name, *args, **words):
        self.item(name, *args, **words)
        self.call('write')

    def remove(self, name):
        self.call('item', name)
        self.call('write')

    def get(self, name):
        return record_of(self.call('get', name))

    def names(self, start=b'', stop=None):
        """[(name, whether its header is good)]"""
        words = self.call('each', start, *([stop] if stop else []))
        return [(unhexed(words[i]), words[i + 1] == '1') for i in range(0, len(words), 2)]

    def found(self, *words):
        words = self.call(*words)
        return [Datom(int(words[i]), unhexed(words[i + 1]), unhexed(words[i + 2]),
                      *decoded(words[i + 3], words[i + 4])) for i in range(0, len(words), 5)]

    def datoms(self, name):
        return self.found('datoms', name)

    def range(self, attribute, low=None, high=None):
        return self.found('range', attribute, low, high)

    def types(self):
        words = self.call('types')
        return {unhexed(words[i]).decode(): int(words[i + 1]) for i in range(0, len(words), 2)}

    def stat(self):
        return Stat(*map(int, self.call('stat')))


@pytest.fixture
def eav(binary, tmp_path):
    """eav(**options) -> Eav, in tmp_path"""
    opened = []

    def make(**options):
        opened.append(Eav(binary('eav_probe'), options.pop('directory', tmp_path), **options))
        return opened[-1]
    yield make
    for one in opened:
        if one.proc.poll() is None:
            one.end()


@pytest.fixture(scope='module')
def shared(binary):
    """One process for all examples of a property; fresh() gives it an empty store."""
    base = tempfile.mkdtemp(prefix='ourofs-eav-')

    class Shared(Eav):
        count = 0

        def fresh(self):
            self.call('close')
            shutil.rmtree(self.directory)
            Shared.count += 1
            self.directory = os.path.join(base, str(Shared.count))
            os.mkdir(self.directory)
            self.open()
            return self
    os.mkdir(os.path.join(base, '0'))
    one = Shared(binary('eav_probe'), os.path.join(base, '0'), map_bytes=1 << 20)
    yield one
    one.end()
    shutil.rmtree(base)


many = settings(max_examples=examples(200), suppress_health_check=[
    HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large])


# ---- values: what is put as EDN, and the typed value that is to be found ----

def string_edn(text):
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'


def double_edn(number):
    if math.isnan(number):
        return '##NaN'
    if math.isinf(number):
        return '##Inf' if number > 0 else '##-Inf'
    return repr(number)


def instant_edn(when):
    return f'#inst "{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}-00:00"'.replace(
        '"' + f'{when:%Y}', '"' + f'{when.year:04}')


def milliseconds(when):
    return (when - EPOCH) // datetime.timedelta(milliseconds=1)


Value = collections.namedtuple('Value', 'edn typed json')

PIECES = ['', 'a', 'b', 'é', '\0', '\0\0', '\x01', '\x7f', '漢', '😀', 'a' * 480, 'a' * 600]
texts = st.one_of(
    st.text(st.characters(blacklist_categories=['Cs']), max_size=8),
    st.lists(st.sampled_from(PIECES), max_size=3).map(''.join))
keywords = st.lists(st.sampled_from(['a', 'b', 'z', 'x' * 490]), min_size=1, max_size=3).map(
    ''.join)


def string(text):
    return Value(string_edn(text), ('string', text.encode()), None)


def plain_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(',', ':'))


LONGS = [0, 1, -1, 2**63 - 1, -2**63, 255, 256, -256]
DOUBLES = [0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, -5e-324, 1.0, -1.0, 1e300]
values = {
    'nil': st.just(Value('nil', ('nil', None), 'null')),
    'boolean': st.booleans().map(
        lambda b: Value(str(b).lower(), (str(b).lower(), b), str(b).lower())),
    'long': st.one_of(st.sampled_from(LONGS), st.integers(-2**63, 2**63 - 1)).map(
        lambda n: Value(str(n), ('long', n), None)),
    'double': st.one_of(st.sampled_from(DOUBLES), st.floats()).map(
        lambda d: Value(double_edn(d), ('double', d), None)),
    'instant': st.datetimes(datetime.datetime(1583, 1, 1)).map(
        lambda t: Value(instant_edn(t), ('instant', milliseconds(t)), None)),
    'uuid': st.uuids().map(lambda u: Value(f'#uuid "{u}"', ('uuid', u.bytes), None)),
    'keyword': keywords.map(lambda k: Value(':' + k, ('keyword', k.encode()), plain_json(':' + k))),
    'string': texts.map(string),
}
ODD = [('5N', '{"#int":"5N"}'), ('1.50M', '{"#dec":"1.50"}'), ('22/7', '{"#ratio":"22/7"}'),
       ('\\a', '{"#char":"a"}'), ('foo/bar', '{"#sym":"foo/bar"}')]
odd_scalars = st.sampled_from(ODD).map(lambda pair: Value(pair[0], ('json', pair[1].encode()),
                                                          pair[1]))
NESTED = [('{}', '{}'), ('[]', '[]'), ('#{}', '{"#set":[]}'), ('()', '{"#list":[]}'),
          ('[[1 2] 3]', '[[1,2],3]'), ('{:a/b [nil {"two words" 1.5}]}',
                                       '{"a/b":[null,{"two words":1.5}]}'),
          ('#my/tag 1', '{"#my/tag":1}'), ('[#my/tag 1]', '[{"#my/tag":1}]'),
          (f'[[{string_edn("n" * 700)}]]', plain_json([['n' * 700]]))]
nested = st.sampled_from(NESTED).map(lambda pair: Value(pair[0], ('json', pair[1].encode()),
                                                        pair[1]))
scalars = st.one_of(*values.values(), odd_scalars)


def same_value(typed):
    """NaN is one value, and -0.0 is not 0.0: as text they can be compared and be in sets."""
    kind, value = typed
    if kind != 'double':
        return typed
    return kind, repr(math.nan if math.isnan(float(value)) else float(value))


def order(typed):
    """Where a value stands among others."""
    kind, value = typed
    if value is None:
        return CODES[kind], 0, 0, 0
    if kind == 'double':
        if math.isnan(value):
            return CODES[kind], 1, 0, 0
        return CODES[kind], 0, value, math.copysign(1, value)
    return CODES[kind], 0, value, 0


ATTRIBUTES = [':a', ':user/name', '"text"', '[1 2]', '5', 'nil', ':' + 'k' * 480, ':' + 'k' * 700,
              ':' + 'k' * 700 + 'b', '"' + 'k' * 511 + '"']


@st.composite
def maps(draw):
    """(EDN text, {(attribute, typed value)})"""
    entries, datoms = [], set()
    for attribute in draw(st.lists(st.sampled_from(ATTRIBUTES), unique=True, max_size=6)):
        shape = draw(st.sampled_from(['one', 'one', 'nested', 'vector', 'list', 'set']))
        if shape in ('one', 'nested'):
            value = draw(scalars if shape == 'one' else nested)
            entries.append(f'{attribute} {value.edn}')
            datoms.add((attribute.encode(), same_value(value.typed)))
            continue
        items = draw(st.lists(scalars, min_size=1, max_size=6))
        if shape == 'set':  # 5 and 5N would be equal there, and 0.0 and -0.0
            items = [item for item in items if item.typed[0] not in ('json', 'double')] or [
                string('x')]
            items = list({item.typed: item for item in items}.values())
        opening, closing = {'vector': '[]', 'list': '()', 'set': ('#{', '}')}[shape]
        entries.append(f'{attribute} {opening}{" ".join(item.edn for item in items)}{closing}')
        datoms.update((attribute.encode(), same_value(item.typed)) for item in items)
    return '{' + ', '.join(entries) + '}', frozenset(datoms)


def stored_datoms(store):
    return {name: {(attribute, same_value(typed)) for attribute, typed in datoms}
            for name, datoms in eav_store.datoms(store).items()}


# ---- documents ----

def test_what_is_put_is_read(eav, tmp_path):
    e = eav()
    hashes = bytes(range(48))
    name = name_of(b':presence/s1', b'"alice"')
    e.put(name, b'{"a": 1}\n', '{:a 1 :b "x"}', flags=HAS_MTIME | BASE_EXISTS, kind='presence',
          mode=0o640, mtime_ns=1_700_000_000_123_456_789, ino=77, version=3, transaction=2**40,
          hashes=hashes)
    expected = eav_store.Record(b'{"a": 1}\n', 'presence', False, False, True, True, 0o640,
                                1_700_000_000_123_456_789, 77, 3, 2**40, hashes[:16],
                                hashes[16:32], hashes[32:], 1)
    assert e.get(name) == expected
    assert eav_store.documents(tmp_path) == {(b':presence/s1', b'"alice"'): expected}
    assert eav_store.datoms(tmp_path) == {
        (b':presence/s1', b'"alice"'): {(b':a', ('long', 1)), (b':b', ('string', b'x'))}}
    assert [(d.name, d.attribute, d.value) for d in e.datoms(name)] == [
        (name, b':a', 1), (name, b':b', b'x')]
    e.call('close')
    e.open()
    assert e.get(name) == expected
    for call in e.get, e.datoms:
        with pytest.raises(EavError) as refused:
            call(name_of(b':presence/s1', b'"bob"'))
        assert refused.value.errno == errno.ENOENT
    assert os.stat(tmp_path / 'data.mdb').st_mode & 0o777 == 0o600


def test_headers_alone_leave_the_datoms(eav, tmp_path):
    e = eav()
    name = name_of(b':a')
    e.put(name, b'1', '{:a 1}')
    e.put(name, b'1', None, mode=0o400)
    assert e.get(name).mode == 0o400
    assert eav_store.datoms(tmp_path) == {(b':a', None): {(b':a', ('long', 1))}}
    e.put(name, b'[]', '[1 2]')
    assert eav_store.datoms(tmp_path) == {(b':a', None): set()}


@pytest.mark.parametrize('flags', [COLLECTION, DELETED])
def test_collections_and_tombstones_have_no_datoms(eav, tmp_path, flags):
    e = eav()
    name = name_of(b':a')
    e.put(name, b'1', '{:a 1}')
    number = e.get(name).entity
    e.put(name, b'', '{:a 1}', flags=flags)
    assert eav_store.datoms(tmp_path) == {(b':a', None): set()}
    assert e.types() == {}
    e.put(name, b'1', '{:a 2}')
    assert e.get(name).entity == number
    assert eav_store.datoms(tmp_path) == {(b':a', None): {(b':a', ('long', 2))}}


def test_numbers_are_not_given_twice(eav):
    e = eav()
    e.put(name_of(b':a'), b'1')
    e.remove(name_of(b':a'))
    e.remove(name_of(b':never'))
    e.put(name_of(b':b'), b'1')
    assert e.get(name_of(b':b')).entity == 2


@pytest.mark.parametrize('write', WRITES)
def test_one_name_twice_in_a_batch_is_written_in_order(eav, tmp_path, write):
    e = eav()
    for i in range(40):
        e.item(name_of(b':a%d' % (i % 3)), b'%d' % i, '{:a %d}' % i)
    e.call('item', name_of(b':a1'))
    e.call(write)
    assert {key: r.bytes for key, r in eav_store.documents(tmp_path).items()} == {
        (b':a0', None): b'39', (b':a2', None): b'38'}
    assert eav_store.datoms(tmp_path)[b':a2', None] == {(b':a', ('long', 38))}


def test_types_are_counted(eav):
    e = eav()
    for i in range(30):
        e.item(name_of(b':d%d' % i), b'1', kind=['presence', 'cache', 'learning'][i % 3])
    e.item(name_of(b':d0'), b'1', kind='cache')
    e.item(name_of(b':p'), flags=COLLECTION, kind='presence')
    e.call('write')
    assert e.types() == {'presence': 9, 'cache': 11, 'learning': 10}
    assert e.stat().entities == 31


def test_notes_are_of_the_same_transaction(eav, tmp_path):
    e = eav()
    e.item(name_of(b':a'), b'1')
    e.call('note', 'watermark', b'12345678')
    e.proc.stdin.flush()
    e.call('write')
    assert unhexed(e.call('noted', 'watermark', 8)[0]) == b'12345678'
    for size, code in ((4, errno.EINVAL), (8, errno.ENOENT)):
        with pytest.raises(EavError) as refused:
            e.call('noted', 'watermark' if size == 4 else 'other', size)
        assert refused.value.errno == code
    assert Store(tmp_path).notes[b'watermark'] == b'12345678'


names_that_share = st.builds(
    lambda size, end: b'D' + b'n' * size + end,
    st.sampled_from([0, 1, 490, 493, 494, 495, 505, 509, 510, 511, 600, 2000]),
    st.sampled_from([b'', b'a', b'b', b'ab', b'\0', b'\xff', b'b' * 16, b'a' * 17]))


@many
@given(st.sets(names_that_share, max_size=30), names_that_share)
def test_names_come_in_order_whatever_their_length(shared, names, start):
    e = shared.fresh()
    for name in names:
        e.item(name, name)
    e.call('write')
    assert e.names() == [(name, True) for name in sorted(names)]
    assert e.names(start) == [(name, True) for name in sorted(names) if name >= start]
    assert all(e.get(name).bytes == name for name in names)
    if names:
        stop = sorted(names)[len(names) // 2]
        assert e.names(b'', stop) == [(name, True) for name in sorted(names) if name <= stop]
        assert e.code == 77  # the callback's own


# ---- datoms ----

@many
@given(st.lists(maps(), max_size=5))
def test_the_datoms_of_maps_are_read_by_another_program(shared, documents):
    e = shared.fresh()
    expected = {}
    for i, (edn, datoms) in enumerate(documents):
        e.item(name_of(b':d%d' % i), b'{}', edn)
        expected[b':d%d' % i, None] = datoms
    e.call('write')
    assert stored_datoms(e.directory) == expected
    for (key, _), datoms in expected.items():
        found = [(d.attribute, same_value((d.type, d.value))) for d in e.datoms(name_of(key))]
        assert set(found) == datoms and len(found) == len(datoms)


def value_lists():
    kinds = [st.lists(kind, min_size=1, max_size=30) for kind in values.values()]
    return st.one_of(*kinds, st.lists(st.one_of(scalars, nested), min_size=1, max_size=30))


def bound(value):
    return 'j' + value.json if value.typed[0] == 'json' else value.edn


@many
@given(value_lists(), st.sampled_from(ATTRIBUTES), st.data())
@example([Value(double_edn(d), ('double', d), None) for d in DOUBLES], ':a', None)
@example([Value(str(n), ('long', n), None) for n in LONGS], ':a', None)
@example([string('s' * 480 + end) for end in ('', '\0', '\0\0', '\x01', 'a', 'a' * 600, 'b', 'b' * 20,
                                              'a' * 601, 'c' * 5000)], ':a', None)
def test_a_range_is_in_the_order_of_values(shared, found, attribute, data):
    e = shared.fresh()
    for i, value in enumerate(found):
        e.item(name_of(b':d%04d' % i), b'{}', f'{{{attribute} {value.edn} :z 1 :A 2}}')
    e.call('write')
    numbers = {d: e.get(name_of(b':d%04d' % d)).entity for d in range(len(found))}
    expected = sorted((order(value.typed), numbers[i], name_of(b':d%04d' % i),
                       same_value(value.typed)) for i, value in enumerate(found))

    def told(datoms):
        assert {d.attribute for d in datoms} <= {attribute.encode()}
        return [(order((d.type, d.value)), d.entity, d.name, same_value((d.type, d.value)))
                for d in datoms]
    assert told(e.range(attribute)) == expected
    if data is None:
        low, high = sorted(found[:2], key=lambda value: order(value.typed))
    else:
        low, high = data.draw(st.sampled_from(found)), data.draw(st.sampled_from(found))
    first, last = order(low.typed), order(high.typed)
    assert told(e.range(attribute, bound(low), bound(high))) == [
        row for row in expected if first <= row[0] <= last]
    assert told(e.range(attribute, bound(low))) == [row for row in expected if first <= row[0]]
    assert told(e.range(attribute, None, bound(high))) == [
        row for row in expected if row[0] <= last]


@pytest.mark.parametrize('text, ms', [
    ('1970', 0), ('1969-12-31T23:59:59.999Z', -1), ('2020-02-29T12:34:56.789+01:30', 1582974296789),
    ('1582-10-15', -12219292800000), ('1582-10-04', -12219379200000),
    ('0000-01-01', -62167392000000), ('9999-12-31T23:59:59.999Z', 253402300799999)])
def test_instants_are_milliseconds_as_java_counts(eav, tmp_path, text, ms):
    e = eav()
    e.put(name_of(b':a'), b'1', f'{{:at #inst "{text}"}}')
    assert eav_store.datoms(tmp_path)[b':a', None] == {(b':at', ('instant', ms))}


def test_uuids_are_sixteen_bytes(eav, tmp_path):
    e = eav()
    one = uuid.UUID('f81d4fae-7dec-11d0-a765-00a0c91e6bf6')
    e.put(name_of(b':a'), b'1', f'{{:id #uuid "{str(one).upper()}"}}')
    assert eav_store.datoms(tmp_path)[b':a', None] == {(b':id', ('uuid', one.bytes))}


def test_a_vector_of_very_many_is_one_datom(eav, tmp_path):
    e = eav()
    for count in (MANY_MAX, MANY_MAX + 1):
        e.put(name_of(b':a'), b'1', '{:v [' + ' '.join(map(str, range(count))) + ']}')
        found = eav_store.datoms(tmp_path)[b':a', None]
        if count == MANY_MAX:
            assert found == {(b':v', ('long', i)) for i in range(count)}
        else:
            assert found == {(b':v', ('json', plain_json(list(range(count))).encode()))}


def test_very_many_elements_of_several_vectors(eav, tmp_path):
    """In whatever order: as many as one vector may have, and else each is one datom."""
    e = eav()
    half = list(range(MANY_MAX // 2))
    vectors = {'v': half, 'w': half, 'x': [], 'y': 1}
    for more in ([], [1]):
        vectors['x'] = more
        for names in ('vwxy', 'yxwv'):
            e.put(name_of(b':a'), b'1', '{%s}' % ' '.join(
                f':{n} {json.dumps(vectors[n]).replace(",", "")}' for n in names))
            found = eav_store.datoms(tmp_path)[b':a', None]
            if more:
                assert found == {(b':y', ('long', 1)), (b':x', ('json', b'[1]')),
                                 *((b':' + n, ('json', plain_json(half).encode())) for n in (b'v', b'w'))}
            else:
                assert found == {(b':y', ('long', 1)), (b':x', ('json', b'[]')),
                                 *((b':' + n, ('long', i)) for n in (b'v', b'w') for i in half)}


def test_a_map_of_very_many_attributes_has_no_datoms(eav, tmp_path):
    e = eav()
    for count in (MANY_MAX, MANY_MAX + 1, 1):
        e.put(name_of(b':a'), b'1', '{%s}' % ' '.join(f':k{i} 1' for i in range(count)))
        found = eav_store.datoms(tmp_path).get((b':a', None), set())
        assert len(found) == (count if count <= MANY_MAX else 0)


@pytest.mark.parametrize('write', WRITES)
def test_large_values_of_one_batch(eav, tmp_path, write):
    """Those that the index does not copy: of several entities, one of them twice, one of them gone again."""
    e = eav()
    for name, value in ((b':a', 'a'), (b':b', 'b'), (b':a', 'c'), (b':d', 'd')):
        e.item(name_of(name), b'1', '{:k "%s" :l [["%s"]]}' % (value * 200_000, value * 100_000))
    e.call('item', name_of(b':d'))
    e.call(write)
    assert eav_store.datoms(tmp_path) == {(name, None): {
        (b':k', ('string', value * 200_000)), (b':l', ('json', b'[["%s"]]' % (value * 100_000)))}
        for name, value in ((b':a', b'c'), (b':b', b'b'))}


@pytest.mark.parametrize('write', WRITES)
def test_one_batch_of_values_that_begin_alike(eav, tmp_path, write):
    """However long what keys have in common is, and where one ends: of each, the last word in the batch counts."""
    dice = random.Random(1)
    texts = [('x' * size + tail) for size in range(40)
             for tail in ('', 'y', 'z' * 600, '\x00', '\x00\x00', '\x00y', '\x01', '\x7f')]
    e = eav()
    last = {}
    for i in range(2000):
        name = b':d%d' % dice.randrange(300)
        values = {f':{"k" * dice.randrange(1, 20)}': dice.choice(texts) for _ in range(dice.randrange(9))}
        e.item(name_of(name), b'1', '{%s}' % ' '.join(f'{k} {string_edn(v)}' for k, v in values.items()))
        last[name, None] = {(k.encode(), ('string', v.encode())) for k, v in values.items()}
    e.call(write)
    assert eav_store.datoms(tmp_path) == last


@pytest.mark.parametrize('write', WRITES)
def test_long_attributes_and_values_are_kept_whole(eav, tmp_path, write):
    e = eav()
    base = 'x' * 3000
    datoms = set()
    for i in range(20):
        e.item(name_of(b':d%d' % i), b'1', f'{{:{base}{i} {string_edn(base + str(i))}}}')
        datoms.add((f':{base}{i}'.encode(), ('string', f'{base}{i}'.encode())))
    e.call(write)
    assert set().union(*eav_store.datoms(tmp_path).values()) == datoms
    e.put(name_of(b':d3'), b'1', f'{{:{base}3 {string_edn(base + "new")}}}')
    assert eav_store.datoms(tmp_path)[b':d3', None] == {
        (f':{base}3'.encode(), ('string', f'{base}new'.encode()))}
    for i in range(20):
        e.remove(name_of(b':d%d' % i))
    assert e.stat().datoms == 0 and e.stat().entities == 0
    assert eav_store.documents(tmp_path) == {}


# ---- updates ----

KEYS = [(b':a', None), (b':b', None), (b':b', b'"m"'), (b':b', b'""'), (b':' + b'l' * 600, None),
        (b':' + b'l' * 600, b'"' + b'm' * 600 + b'"')]


@st.composite
def changes(draw):
    """(key, what) where what is a document, one without its value, a flag, or None: a removal."""
    key = draw(st.sampled_from(KEYS))
    what = draw(st.sampled_from(['map', 'map', 'map', 'other', 'header', 'flag', 'remove']))
    if what == 'map':
        return key, what, draw(maps())
    if what == 'other':
        return key, what, (draw(scalars).edn, frozenset())
    return key, what, draw(st.sampled_from([COLLECTION, DELETED])) if what == 'flag' else None


def apply(model, key, what, detail):
    """The model after a change: {key: (bytes, flags, datoms)}"""
    before = model.get(key, (b'', 0, frozenset()))
    if what == 'remove':
        model.pop(key, None)
    elif what == 'flag':
        model[key] = (b'', detail, frozenset())
    elif what == 'header':
        model[key] = (b'header', 0, before[2])
    else:
        model[key] = (detail[0].encode(), 0, detail[1])


def send(e, key, what, detail):
    name = name_of(*key)
    if what == 'remove':
        e.call('item', name)
    elif what == 'flag':
        e.item(name, flags=detail)
    elif what == 'header':
        e.item(name, b'header')
    else:
        e.item(name, detail[0].encode(), detail[0])


@many
@given(st.lists(st.tuples(st.sampled_from(WRITES), st.lists(changes(), max_size=4)), max_size=12))
def test_random_changes_leave_just_the_datoms_of_the_documents(shared, batches):
    """Each way: eav_store holds both indexes against each other. Only what differs is written."""
    e = shared.fresh()
    model = {}
    for write, batch in batches:
        stat, added, removed = e.stat(), 0, 0
        for change in batch:
            key = change[0]
            before = model.get(key, (b'', 0, frozenset()))[2]
            apply(model, *change)
            after = model.get(key, (b'', 0, frozenset()))[2]
            added += len(after - before)
            removed += len(before - after)
            send(e, *change)
        e.call(write)
        now = e.stat()
        assert (now.added - stat.added, now.removed - stat.removed) == (added, removed)
        assert (now.entities, now.datoms) == (
            len(model), sum(len(datoms) for _, _, datoms in model.values()))
        assert stored_datoms(e.directory) == {key: datoms for key, (_, _, datoms) in model.items()}
        assert {key: (r.bytes, r.collection | r.deleted << 1)
                for key, r in eav_store.documents(e.directory).items()} == {
                    key: (data, flags) for key, (data, flags, _) in model.items()}


def test_an_update_writes_few_pages_of_a_big_entity(eav, tmp_path):
    e = eav()
    name = name_of(b':big')

    def document(changed):
        return '{' + ' '.join(f':k{i:05} {i if i != changed else -1}' for i in range(20000)) + '}'

    def pages():
        data = (tmp_path / 'data.mdb').read_bytes()
        return [data[at:at + 4096] for at in range(0, len(data), 4096)]
    e.put(name, b'{}', document(None))
    before = pages()
    e.put(name, b'{}', document(777))
    after = pages()
    written = sum(old != new for old, new in zip(before, after)) + len(after) - len(before)
    assert len(before) > 300 and written < 40
    assert len(eav_store.datoms(tmp_path)[b':big', None]) == 20000


# ---- the environment ----

def test_the_map_grows_while_readers_read(eav, tmp_path):
    e = eav(map_bytes=1 << 16)
    assert e.stat().map_bytes == 1 << 16
    rounds, = e.call('storm', 6, 2, 400, 20_000)
    assert int(rounds) > 20
    stat = e.stat()
    assert stat.map_bytes > stat.file_bytes > 2 * 400 * 20_000
    assert stat.entities == 800 and stat.commits == 800
    e.end()
    e = eav()
    assert len(e.names()) == 800


@pytest.mark.parametrize('write', WRITES)
def test_a_batch_far_larger_than_the_map_is_one_transaction(eav, tmp_path, write):
    e = eav(map_bytes=1 << 16)
    for i in range(2000):
        e.item(name_of(b':d%d' % i), b'x' * 3000, f'{{:i {i} :s "{"y" * 1000}"}}')
    e.call(write)
    assert e.stat().commits == 1 and e.stat().added == 4000
    assert len(eav_store.documents(tmp_path)) == 2000


def test_a_kill_leaves_whole_transactions(eav, tmp_path):
    """Pairs of documents are written together; what was acknowledged is there."""
    e = eav(map_bytes=1 << 16)
    for turn in range(8):
        done = -1
        for i in range(1 + turn * 3):
            for half in (b'a', b'b'):
                e.item(name_of(b':%d-%d' % (turn, i), half), b'%d' % i * 3000, f'{{:i {i}}}')
            e.call('write')
            done = i
        for half in (b'a', b'b'):
            e.item(name_of(b':%d-last' % turn, half), b'z' * 100_000, '{:i [1 2 3]}')
        e.send('write')
        e.kill()
        found = eav_store.datoms(tmp_path)
        for i in [*range(done + 1), 'last']:
            halves = [found.get((f':{turn}-{i}'.encode(), half)) for half in (b'a', b'b')]
            assert halves[0] == halves[1]
            assert halves[0] is not None or i == 'last'
        e = eav()


def test_another_programs_lmdb_is_left_alone(eav, tmp_path):
    with lmdb.open(str(tmp_path), max_dbs=4) as env, env.begin(write=True) as txn:
        txn.put(b'x', b'y', db=env.open_db(b'datalevin', txn))
    (tmp_path / 'lock.mdb').unlink()
    before = (tmp_path / 'data.mdb').read_bytes()
    for read_only in (False, True):
        with pytest.raises(EavError) as refused:
            eav(read_only=read_only)
        assert refused.value.errno == errno.EINVAL
        assert refused.value.reason == (
            'data.mdb belongs to another program: choose another store')
    assert (tmp_path / 'data.mdb').read_bytes() == before
    assert not (tmp_path / 'lock.mdb').exists()


@pytest.mark.parametrize('junk', [b'something else' * 1000, b'x', bytes(8192)])
def test_what_is_no_lmdb_is_left_alone(eav, tmp_path, junk):
    (tmp_path / 'data.mdb').write_bytes(junk)
    with pytest.raises(EavError) as refused:
        eav()
    assert refused.value.errno == errno.EUCLEAN
    assert (tmp_path / 'data.mdb').read_bytes() == junk
    assert not (tmp_path / 'lock.mdb').exists()


@pytest.mark.parametrize('found', [1, 3])
def test_another_format_is_left_alone(eav, tmp_path, found):
    eav().end()
    with lmdb.open(str(tmp_path), max_dbs=4) as env, env.begin(write=True) as txn:
        txn.put(b'format', struct.pack('=I', found), db=env.open_db(b'ourofs', txn))
    before = (tmp_path / 'data.mdb').read_bytes()
    with pytest.raises(EavError) as refused:
        eav()
    assert refused.value.errno == errno.EINVAL
    assert refused.value.reason == f'data.mdb has format {found}, this ourofs writes 2'
    assert (tmp_path / 'data.mdb').read_bytes() == before


def test_reading_only_makes_and_changes_nothing(eav, tmp_path):
    e = eav(read_only=True)
    assert e.names() == [] and e.types() == {} and e.range(':a') == []
    assert e.stat() == (0,) * 7
    with pytest.raises(EavError) as refused:
        e.put(name_of(b':a'), b'1')
    assert refused.value.errno == errno.EROFS
    assert os.listdir(tmp_path) == []
    e.end()
    e = eav()
    e.put(name_of(b':a'), b'1', '{:a 1}')
    e.end()
    (tmp_path / 'lock.mdb').unlink()
    before = (tmp_path / 'data.mdb').read_bytes()
    e = eav(read_only=True)
    assert e.get(name_of(b':a')).bytes == b'1' and len(e.range(':a')) == 1
    with pytest.raises(EavError):
        e.put(name_of(b':b'), b'1')
    e.end()
    assert sorted(os.listdir(tmp_path)) == ['data.mdb', 'data.mdb.closed']
    assert (tmp_path / 'data.mdb').read_bytes() == before


# ---- damage ----

def flip(path, mark, at=0):
    """Turns one bit of every copy of a marked place: a page that was copied on write has older ones."""
    data = bytearray(path.read_bytes())
    found = data.find(mark)
    assert found >= 0
    while found >= 0:
        data[found + at] ^= 1
        found = data.find(mark, found + 1)
    path.write_bytes(data)


@pytest.mark.parametrize('size', [40, 20_000])
@pytest.mark.parametrize('name', [name_of(b':a'), name_of(b':' + b'a' * 700)],
                         ids=['short', 'long'])
def test_a_flipped_bit_of_a_document_is_seen(eav, tmp_path, size, name):
    e = eav()
    e.put(name, b'MARK' + b'x' * size, '{:a 1 :b [1 2]}')
    e.put(name_of(b':z'), b'good', '{:a 1}')
    e.end()
    flip(tmp_path / 'data.mdb', b'MARK' + b'x' * size, size)
    e = eav()
    with pytest.raises(EavError) as refused:
        e.get(name)
    assert refused.value.errno == errno.EIO
    assert e.get(name_of(b':z')).bytes == b'good'
    assert e.names() == sorted([(name, True), (name_of(b':z'), True)])
    e.put(name, b'new', '{:b [2 3]}')
    assert e.get(name).bytes == b'new'
    assert len(Store(tmp_path).records) == 2


@pytest.mark.parametrize('name', [name_of(b':a'), name_of(b':' + b'a' * 700)],
                         ids=['short', 'long'])
def test_a_damaged_header_is_seen_and_mended_by_the_next_save(eav, tmp_path, name):
    e = eav()
    for i in range(20):
        e.put(name_of(b':other%d' % i), b'1', '{:a 1}')
    e.put(name, b'1', '{:a 1 :b [1 2]}', kind='MARKED')
    number = e.get(name).entity
    e.end()
    flip(tmp_path / 'data.mdb', b'MARKED')
    e = eav()
    with pytest.raises(EavError) as refused:
        e.get(name)
    assert refused.value.errno == errno.EIO
    seen = dict(e.names())
    assert len(seen) == 21 and [good for good in seen.values()].count(False) == 1
    assert seen.get(name, None) is False or len(name) > 511
    assert [d.name for d in e.range(':b')] == [b'', b'']
    e.put(name, b'new', '{:b [2 3]}')
    assert e.get(name).entity == number
    assert eav_store.datoms(tmp_path)[eav_store.entity_id(name)] == {
        (b':b', ('long', 2)), (b':b', ('long', 3))}
    assert [d.name for d in e.range(':b')] == [name, name]


def test_a_damaged_index_is_an_error_not_a_wrong_answer(eav, tmp_path):
    e = eav()
    e.put(name_of(b':a'), b'1', f'{{:a "{"x" * 700}MARK"}}')
    e.end()
    flip(tmp_path / 'data.mdb', b'MARK')
    e = eav()
    for call in (e.range, ':a'), (e.datoms, name_of(b':a')):
        with pytest.raises(EavError) as refused:
            call[0](call[1])
        assert refused.value.errno == errno.EIO
