# SPDX-License-Identifier: MIT
"""Damages an EAV store (STORE/data.mdb) as a test says, with Python's lmdb alone; no daemon has it.

    with Planting(store) as p:
        del p.ave[p.ave_key(name, part)]        # p.documents p.eav p.ave p.notes are dictionaries on disk
        p.header(name, entity=7)                # a header with other fields and a checksum that is right
"""
import contextlib
import pathlib
import struct

import eav_store
import lmdb
from eav_store import DATOM_CUT, HEADER, KEY_MAX, NAME_CUT, cut, hash64

FIELDS = ('check magic flags entity transaction version ino seconds nanoseconds mode text_hash identity '
          'base bytes_check bytes_len name_len type_len').split()


class Table:
    """A named database of a transaction, as a dictionary of bytes."""

    def __init__(self, txn, handle):
        self.txn, self.handle = txn, handle

    def __getitem__(self, key):
        value = self.txn.get(key, db=self.handle)
        if value is None:
            raise KeyError(key)
        return bytes(value)

    def __setitem__(self, key, value):
        assert self.txn.put(key, value, db=self.handle)

    def __delitem__(self, key):
        assert self.txn.delete(key, db=self.handle), f'{key!r} is not there'

    def items(self):
        return list(self.txn.cursor(db=self.handle))


class Planting(contextlib.AbstractContextManager):
    def __init__(self, store):
        path = pathlib.Path(store)
        size = max(1 << 26, 4 * (path / 'data.mdb').stat().st_size)
        self.env = lmdb.open(str(path), lock=False, max_dbs=8, create=False, map_size=size)
        tables = [self.env.open_db(name, create=False)
                  for name in (b'ourofs', b'documents', b'eav', b'ave')]
        self.txn = self.env.begin(write=True)
        self.notes, self.documents, self.eav, self.ave = (Table(self.txn, t) for t in tables)

    def __exit__(self, kind, *_):
        if kind:
            self.txn.abort()
        else:
            self.notes[b'check'] = eav_store.seal(self.notes.items())
            self.txn.commit()
        self.env.close()

    # ---- documents ----

    @staticmethod
    def key(name):
        return cut(name, NAME_CUT)

    def fields(self, name):
        return dict(zip(FIELDS, HEADER.unpack_from(self.documents[self.key(name)])))

    def number(self, name):
        return self.fields(name)['entity']

    def header(self, name, data=None, **changed):
        """Puts other fields into a header, and other bytes behind it; the checksums are right."""
        key, value = self.key(name), self.documents[self.key(name)]
        fields = {**self.fields(name), **changed}
        tail = value[HEADER.size:len(value) - self.fields(name)['bytes_len']]
        data = value[HEADER.size + len(tail):] if data is None else data
        fields['bytes_len'] = len(data)
        fields['bytes_check'] = hash64(data, fields['entity'])
        packed = HEADER.pack(*(fields[field] for field in FIELDS))
        check = hash64(packed[8:] + tail, hash64(key, 0))
        self.documents[key] = struct.pack('=Q', check) + packed[8:] + tail + data

    def flip(self, name, at):
        """One bit of a document's row: at counts from its beginning, or from its end."""
        row = bytearray(self.documents[self.key(name)])
        row[at] ^= 1
        self.documents[self.key(name)] = bytes(row)

    # ---- datoms ----

    def datoms(self, name):
        """[(part of the key, what stands beside it)] of the index by entity"""
        number = self.number(name).to_bytes(8, 'big')
        return [(key[8:], value) for key, value in self.eav.items()
                if key[:8] == number and len(key) > 8]

    @staticmethod
    def datom(attribute, code, value=b''):
        """(part, beside) of a datom that is written by hand; code is an eav_type's, value encoded."""
        whole = eav_store.encode_text(attribute) + bytes([code]) + value
        part = cut(whole, DATOM_CUT)
        return part, b'' if part == whole else whole

    def put_eav(self, number, part, beside=b''):
        self.eav[number.to_bytes(8, 'big') + part] = beside

    def put_ave(self, number, part, beside=b''):
        self.ave[part + number.to_bytes(8, 'big')] = beside

    def del_eav(self, number, part):
        del self.eav[number.to_bytes(8, 'big') + part]

    def del_ave(self, number, part):
        del self.ave[part + number.to_bytes(8, 'big')]


assert len(FIELDS) == len(HEADER.unpack(bytes(HEADER.size))) and KEY_MAX == 511
