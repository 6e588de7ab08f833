# SPDX-License-Identifier: MIT
"""Reads an EAV store (STORE/data.mdb) as store/eav.h describes it, with Python and its lmdb alone.

    documents(store) -> {(key, member or None): Record}
    datoms(store)    -> {(key, member or None): {(attribute, (type, value)), ...}}

Keys, members and attributes are canonical EDN text, bytes. Every invariant of the layout is asserted on
the way: checksums, the order of keys, both indexes against each other, the numbers' rows. A value is (type, value):

    ('nil', None) ('false', False) ('true', True) ('long', int) ('double', repr(float)) ('instant', milliseconds)
    ('uuid', 16 bytes) ('keyword', bytes) ('string', bytes) ('json', bytes)
"""
import collections
import functools
import pathlib
import struct

import lmdb

FORMAT = 2
KEY_MAX, NAME_CUT, DATOM_CUT = 511, 495, 487
MASK = (1 << 64) - 1
SECRET = (0x2d358dccaa6c78a5, 0x8bb84b93962eacc9, 0x4b33a62ed433d4a3, 0x4d5a2da51de1aa47)
PAIR = struct.Struct('<QQ')
HEADER = struct.Struct('=QIIQQQQqII16s16s16sQQII')
MAGIC = 0x31564145
TYPES = {0x01: 'nil', 0x02: 'false', 0x03: 'true', 0x10: 'long', 0x11: 'double', 0x18: 'instant',
         0x19: 'uuid', 0x20: 'keyword', 0x21: 'string', 0x30: 'json'}
CODES = {name: code for code, name in TYPES.items()}

Record = collections.namedtuple(
    'Record', 'bytes type collection deleted has_mtime base_exists mode mtime_ns ino version '
              'transaction text_hash identity base entity')


# ---- hashes ----

def fold(a, b):
    product = a * b
    return (product & MASK) ^ (product >> 64)


@functools.lru_cache(maxsize=256)  # the same large documents come again and again
def hash64(data, seed):
    def word(at, size):
        return int.from_bytes(data[at:at + size], 'little')

    h = seed ^ fold(seed ^ SECRET[0], SECRET[1])
    at = max(len(data) - 1, 0) // 16 * 16
    left = len(data) - at
    for a, b in PAIR.iter_unpack(data[:at]):
        h = fold(a ^ SECRET[1], b ^ h)
    if left > 8:
        h = fold(word(at, 8) ^ SECRET[2], word(at + 8, left - 8) ^ h)
    elif left:
        h = fold(word(at, left) ^ SECRET[2], h ^ SECRET[3])
    return fold(h ^ SECRET[1], len(data) ^ SECRET[0])


def hash128(data):
    return struct.pack('>QQ', hash64(data, 0x6f75726f66733031), hash64(data, 0x6f75726f66733032))


def cut(whole, size):
    """What stands for a name or a datom in a key."""
    return whole if len(whole) < size + 16 else whole[:size] + hash128(whole)


def crc32c(crc, data):
    crc ^= 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def seal(notes):
    """What the note "check" is to be, of (name, value) in order."""
    crc = 0
    for name, value in notes:
        if name not in (b'format', b'check'):
            crc = crc32c(crc, struct.pack('=II', len(name), len(value)) + name + value)
    return struct.pack('=I', crc)


# ---- values ----

def encode_text(text):
    return text.replace(b'\0', b'\0\xff') + b'\0\0'


def decode_text(data):
    """(text, what follows it)"""
    text = b''
    while True:
        plain, nul, data = data.partition(b'\0')
        assert nul and data and data[0] in (0, 0xff), 'a text without an end'
        text += plain
        if data[0] == 0:
            return text, data[1:]
        text += b'\0'
        data = data[1:]


def decode_double(data):
    bits = int.from_bytes(data, 'big')
    bits = bits ^ (1 << 63) if bits >> 63 else bits ^ MASK
    return struct.unpack('>d', bits.to_bytes(8, 'big'))[0]


def decode_value(data):
    kind, rest = TYPES[data[0]], data[1:]
    if kind in ('nil', 'false', 'true'):
        assert not rest
        return kind, {'nil': None, 'false': False, 'true': True}[kind]
    if kind in ('long', 'instant'):
        assert len(rest) == 8
        return kind, int.from_bytes(rest, 'big') - (1 << 63)
    if kind == 'double':
        assert len(rest) == 8
        return kind, repr(decode_double(rest))  # as text: -0.0 is not 0.0, and nan is nan
    if kind == 'uuid':
        assert len(rest) == 16
        return kind, rest
    text, rest = decode_text(rest)
    assert not rest
    return kind, text


def decode_datom(datom):
    attribute, rest = decode_text(datom)
    return attribute, decode_value(rest)


def entity_id(name):
    """A name (entity_id_name) as (key, member or None)."""
    assert name[:1] in (b'D', b'M')
    size = int.from_bytes(name[1:5], 'big')
    key, member = name[5:5 + size], name[5 + size:]
    assert len(key) == size and (name[:1] == b'M' or not member)
    return key, member if name[:1] == b'M' else None


def name_of(key, member=None):
    kind = b'D' if member is None else b'M'
    return kind + len(key).to_bytes(4, 'big') + key + (member or b'')


# ---- the store ----

def decode_document(key, value):
    """(name, Record)"""
    (check, magic, flags, entity, transaction, version, ino, seconds, nanoseconds, mode, text_hash,
     identity, base, bytes_check, bytes_len, name_len, type_len) = HEADER.unpack_from(value)
    assert magic == MAGIC and flags < 16
    at = HEADER.size
    name, at = value[at:at + name_len], at + name_len
    kind, at = value[at:at + type_len], at + type_len
    assert check == hash64(value[8:at], hash64(key, 0)), 'a damaged header'
    data = value[at:]
    assert len(data) == bytes_len and bytes_check == hash64(data, entity), 'damaged bytes'
    assert bool(name) == (len(key) == KEY_MAX)
    name = name or key
    assert cut(name, NAME_CUT) == key
    return name, Record(data, kind.decode(), bool(flags & 1), bool(flags & 2), bool(flags & 4),
                        bool(flags & 8), mode, seconds * 10**9 + nanoseconds, ino, version,
                        transaction, text_hash, identity, base, entity)


class Store:
    """All of it, read at one moment; by hand where documents() and datoms() are not enough."""

    def __init__(self, store):
        env = lmdb.open(str(pathlib.Path(store)), readonly=True, lock=False, max_dbs=8,
                        create=False)
        try:
            with env.begin() as txn:
                self.notes, self.documents_rows, self.eav_rows, self.ave_rows = (
                    list(txn.cursor(env.open_db(name, txn, create=False)))
                    for name in (b'ourofs', b'documents', b'eav', b'ave'))
                assert sorted(key for key, _ in txn.cursor()) == [
                    b'ave', b'documents', b'eav', b'ourofs']
        finally:
            env.close()
        sealed = seal(self.notes)
        self.notes = dict(self.notes)
        assert self.notes.get(b'check', sealed) == sealed, 'damaged notes'
        assert struct.unpack('=I', self.notes[b'format']) == (FORMAT,)
        self.records = dict(decode_document(key, value) for key, value in self.documents_rows)
        self.check_numbers()
        self.entity_datoms = self.check_eav()
        self.check_ave()

    def check_numbers(self):
        rows = {int.from_bytes(key, 'big'): value for key, value in self.eav_rows if len(key) == 8}
        assert rows == {record.entity: cut(name, NAME_CUT) for name, record in self.records.items()}
        following, = struct.unpack('=Q', self.notes.get(b'next_entity', struct.pack('=Q', 1)))
        assert all(0 < number < following for number in rows)

    @staticmethod
    def datom(part, value):
        """The whole datom of a key's part and the value beside it."""
        if len(part) < DATOM_CUT + 16:
            assert value == b''
            return part
        assert len(part) == DATOM_CUT + 16 and cut(value, DATOM_CUT) == part
        return value

    def check_eav(self):
        found = {record.entity: set() for record in self.records.values()}
        for key, value in self.eav_rows:
            if len(key) > 8:
                found[int.from_bytes(key[:8], 'big')].add(self.datom(key[8:], value))
        return found

    def check_ave(self):
        rows = [(self.datom(key[:-8], value), int.from_bytes(key[-8:], 'big'))
                for key, value in self.ave_rows]
        assert len(rows) == len(set(rows))
        assert set(rows) == {(datom, number) for number, datoms in self.entity_datoms.items()
                             for datom in datoms}
        # in the order of values, but for those that share all their bytes up to the cut
        short = [row for row in rows if len(row[0]) < DATOM_CUT]
        assert short == sorted(short)


def documents(store):
    return {entity_id(name): record for name, record in Store(store).records.items()}


def datoms(store):
    opened = Store(store)
    return {entity_id(name): {decode_datom(datom) for datom in opened.entity_datoms[record.entity]}
            for name, record in opened.records.items()}
