#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes what the fuzz targets start from: tests/fuzz/seeds.py DIRECTORY makes DIRECTORY/fuzz_edn/ and so on.

From the case files of the suite, cut into the pieces that each target takes. The same at every call.
"""
import hashlib
import json
import pathlib
import re
import struct
import sys
import tempfile

import lmdb

CASES = pathlib.Path(__file__).resolve().parent.parent / 'cases'


def families():
    """The entries of the example: each begins a line, one blank deep; comments are on lines of their own."""
    text = re.sub(r'^ *;.*\n', '', (CASES / 'example.edn').read_text(), flags=re.MULTILINE)
    return [entry.strip() for entry in re.split(r'\n (?=[:"#\d])', text.strip().removesuffix('}')) if entry.strip(' {;')]


def lines_of(name, separator='\t'):
    for line in (CASES / name).read_text().splitlines():
        if line.strip() and not line.startswith((';;', '#\t', '# ')):
            yield line.split(separator)


def edn_seeds():
    yield from ('{' + family + '}' for family in families())
    for line in (CASES / 'edn' / 'texts.txt').read_text().splitlines():
        if line.startswith('"'):
            text = json.JSONDecoder().raw_decode(line)[0]
            yield text.encode('utf-8', 'surrogatepass')


def json_seeds():
    for edn, _, shown in (row for row in lines_of('json/values.txt') if len(row) == 3):
        yield from (edn, shown)
    for name in ('readings', 'refused', 'cut', 'hopeless'):
        yield from (row[0] for row in lines_of(f'json/{name}.txt'))
    yield from ('{' + family + '}' for family in families())


def path_seeds():
    yield from ('\0' + row[0] for row in lines_of('path/places.txt'))
    yield from ('\0' + row[2] for row in lines_of('path/keys.txt') if len(row) == 3)
    yield from ('\1' + row[0] for row in lines_of('path/keys.txt'))
    yield from ('\1' + row[1] for row in lines_of('path/members.txt') if len(row) == 3)
    yield '\2[{:keys :notes/* :members :string :type "note"}]'


def journal_seeds():
    """Programs of its steps (fuzz_journal.c), and bytes."""
    yield bytes([0])
    for op in range(8):
        yield bytes([1, 0 | 8 << 3, *b'abcdefgh', op | 2 << 3, *b'xy', 1 | 4 << 3, *b'more'])
        yield bytes([1, 0 | 3 << 3, *b'one', 6, op | 31 << 3, *bytes(31), 0 | 3 << 3, *b'two'])
    yield bytes([0]) + struct.pack('<QQ', 1, 2) * 20


FOUND = (
    # a directory of documents becomes a collection, which the EAV store lacked
    b'\xa8\1\x2d\0\0\0\0\0\x40\nproject\xa8\1\x2d\0\0\0\0\0\x40\nprojects\2\n\xf7\x16learnins\2\n\xf7\x16learning\x08\0',
    # a collection is renamed to one whose members' names are of another kind, and they were there twice
    b'\xd2\x1f\x01\x00\x04\x00\x00\x00\x00\x00\x00\x00.json\xd2\x1f{"#int":'
    b'\x00\x04\x00\x00\x00\x00\x00\x00\x00.json\xd2\x1f{"#int":")-922000571242214\x00}85"-922000571242214\x00}8580\x0e"\x14',
)


def memory_seeds():
    """Programs of fuzz_memory.c: each step alone and after some puts, in each memory."""
    puts = b''.join(bytes([0, path, 3 * path, 0]) for path in range(12))
    for memory in range(4):
        for step in range(23):
            for argument in (3, 255):
                yield bytes([memory]) + puts[:16] + bytes([step, argument, 1, 2, 7, 14])
        yield bytes([memory]) + puts + bytes([21, 4, 128, 0, 1, 5, 0, 0, 2, 9, 0, 14])
        for mode in range(6):
            yield bytes([memory, 15, mode]) + puts[:20] + bytes([18, 1, 17, 20, 15, (mode + 2) % 5, 17, 14])
    yield from FOUND
    for row in list(lines_of('json/values.txt'))[::3]:
        body = row[-1].encode()[:200]
        yield bytes([1, 0, 230, 11]) + b'config.json' + bytes([210, len(body)]) + body + bytes([0, 14, 20])


def env_pages_seeds():
    for count, size in ((0, 1), (3, 10), (60, 100), (5, 5000)):
        with tempfile.TemporaryDirectory() as directory:
            with lmdb.open(directory, max_dbs=4, map_size=1 << 20) as env:
                table = env.open_db(b'documents')
                with env.begin(write=True) as txn:
                    for i in range(count):
                        txn.put(b'key %03d' % i, bytes([i]) * size, db=table)
            yield (pathlib.Path(directory) / 'data.mdb').read_bytes()


TARGETS = {'fuzz_edn': edn_seeds, 'fuzz_json': json_seeds, 'fuzz_path': path_seeds,
           'fuzz_journal': journal_seeds, 'fuzz_memory': memory_seeds, 'fuzz_env_pages': env_pages_seeds}


def write(top):
    for target, seeds in TARGETS.items():
        (top / target).mkdir(parents=True, exist_ok=True)
        for seed in seeds():
            data = seed.encode() if isinstance(seed, str) else seed
            (top / target / hashlib.sha1(data).hexdigest()).write_bytes(data)


if __name__ == '__main__':
    write(pathlib.Path(sys.argv[1]))
