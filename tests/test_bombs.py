# SPDX-License-Identifier: MIT
"""Documents made to take much: whatever their shape, memory and time are in proportion to their bytes, and small."""
import errno
import json
import os
import re
import resource
import subprocess

import pytest

from conftest import status_kb
from test_hostile import errno_of, save

MEMORY = '{:config {:v 1}, :presence/s1 {"alice" {:n 1}}}'
MIB = 1 << 20
VALUES_MIN = 65536  # so many a document may have whatever doc_max is


def height_kb(pid):
    """The most memory that a process ever had."""
    return status_kb(pid, 'VmHWM')


def repeated(unit, size):
    return b'[' + b','.join([unit] * (size // (len(unit) + 1))) + b']'


def keys(size, value):
    return b','.join(b'"k%d":%s' % (i, value) for i in range(size // (11 + len(value))))


def nested(before, size, after, depth=500):
    """So deep, and in the innermost most of what there is."""
    return before * depth + repeated(b'1', size - (len(before) + len(after)) * depth) + after * depth


# ---- memory ----

@pytest.fixture(autouse=True)
def untouched(monkeypatch):
    """Memory that nobody has used takes none: `meson test` has malloc write to all that it gives."""
    monkeypatch.delenv('MALLOC_PERTURB_', raising=False)


BOMB = 5 * MIB  # what one takes is in proportion to its size

BOMBS = {
    'scalars': (lambda: repeated(b'1', BOMB), None),
    'empty lists': (lambda: repeated(b'[]', BOMB), None),
    'nested': (lambda: repeated(b'[' * 500 + b']' * 500, BOMB), None),
    'keys': (lambda: b'{%s}' % keys(BOMB, b'1'), None),
    'keys of maps': (lambda: b'{%s}' % keys(BOMB, b'{}'), None),
    'scalars of an attribute': (lambda: b'{"a":%s}' % repeated(b'1', BOMB), None),
    'scalars in a key': (lambda: b'{"#%s":1}' % repeated(b'1', BOMB), None),
    'escapes': (lambda: repeated(b'"\\n"', BOMB), None),
    'tags': (lambda: repeated(b'{"#uuid":"1-1-1-1-1"}', BOMB), None),
    'digits': (lambda: b'{"#dec": "%s"}' % (b'9' * BOMB), None),
    'no symbol': (lambda: b'{"#sym":"%s"}' % repeated(b'1', BOMB), 'EBADMSG'),
    'equal elements': (lambda: b'{"#set":%s}' % repeated(b'1', BOMB), 'EBADMSG'),
    'too deep': (lambda: b'{"a":' * (BOMB // 5), 'EBADMSG'),
    'a key twice, at the end': (lambda: b'{%s,"k0":1}' % keys(BOMB, b'1'), 'EBADMSG'),
    'zeros': (lambda: bytes(BOMB), 'EBADMSG'),
    'too many': (lambda: repeated(b'1', 2 * BOMB), 'EFBIG'),
}


@pytest.mark.busy
@pytest.mark.parametrize('bomb', BOMBS)
def test_what_a_bomb_takes(mount, bomb):
    """Until it has arrived in both stores; and what remains then is the bytes, not what they took on the way."""
    m = mount(MEMORY)
    data, got = BOMBS[bomb]
    data = data()
    before = height_kb(m.proc.pid)
    assert errno_of(save, m.mnt / 'config.json', data) == got
    m.sync()
    assert height_kb(m.proc.pid) - before < 18 * BOMB >> 10
    assert status_kb(m.proc.pid, 'RssAnon') < 6 * BOMB >> 10
    assert (m.mnt / 'config.json').stat().st_size == (13 if got else len(data))
    assert json.loads((m.mnt / 'presence/s1/alice.json').read_text()) == {'n': 1}


# ---- how many values ----

ITEMS = b','.join([b'1'] * VALUES_MIN)
TOO_MANY = {
    'items': b'[%s,1]',
    'in a member': b'{"a":[%s]}',
    'in a key': b'{"#[%s]":1}',
    'in a set of lists': b'{"#set":[[%s]]}',
    'discarded in a key': b'{"#[#_[%s]]":1}',
}


def test_as_many_values_as_there_may_be(mount):
    m = mount(MEMORY, 'doc_max=512K')
    save(m.mnt / 'config.json', b'[%s]' % ITEMS)
    m.sync()
    assert (m.mnt / 'config.json').read_bytes() == b'[%s]' % ITEMS
    assert m.edn_text().startswith('{:config [1 1 1 ')


@pytest.mark.parametrize('where', TOO_MANY)
def test_more_values_than_there_may_be(mount, where):
    m = mount(MEMORY, 'doc_max=512K')
    assert errno_of(save, m.mnt / 'config.json', TOO_MANY[where] % ITEMS) == 'EFBIG'
    assert 'config.json: more than 65536 values' in (m.mnt / '.errors').read_text()
    assert (m.mnt / '.rejected/config.json').read_bytes() == TOO_MANY[where] % ITEMS
    assert json.loads((m.mnt / 'config.json').read_text()) == {'v': 1}


def test_a_larger_doc_max_allows_more_values(mount):
    m = mount(MEMORY, 'doc_max=1M')
    save(m.mnt / 'config.json', b'[%s,1]' % ITEMS)
    assert errno_of(save, m.mnt / 'config.json', repeated(b'1', MIB - 2)) == 'EFBIG'
    assert f'more than {MIB // 12} values' in (m.mnt / '.errors').read_text()


# ---- time ----

SLOW = 2 * MIB
BOMBS_OF_TIME = {
    'sets in sets': ('to-edn', lambda: nested(b'{"#set":[%s,' % b','.join(b'%d' % i for i in range(13)), SLOW, b']}')),
    'few sets in sets': ('to-edn', lambda: nested(b'{"#set":[[],', SLOW, b']}')),
    'equal sets': ('to-json', lambda: b'#{%s %s}' % ((nested(b'#{0 ', SLOW // 2, b'}'),) * 2)),
    'a day that is out of sight': ('to-edn', lambda: repeated(b'{"#inst":"9999-12-31T23:59:59-23:59"}', SLOW)),
    'doubles of the smallest': ('to-edn', lambda: repeated(b'1.2345678901234567e-310', SLOW)),
}


def processor_seconds(command, text):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode in (0, 1), done.stderr
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


@pytest.mark.busy
@pytest.mark.parametrize('bomb', BOMBS_OF_TIME)
def test_how_long_a_bomb_takes(binary, bomb):
    """No more than some times what as many small numbers do: those here took a hundred times as much and more."""
    command, data = BOMBS_OF_TIME[bomb]
    plain = processor_seconds([binary('ourofsctl'), command], repeated(b'123456789', 4 * SLOW))
    assert processor_seconds([binary('ourofsctl'), command], data()) < 5 * plain + 0.1


# ---- what memory.edn holds ----

@pytest.mark.parametrize('depth', [10, 1000])
def test_indentation_stays_in_proportion(mount, depth):
    """Each of 100,000 numbers, on a line of its own, would be indented by 2,000 blanks."""
    text = '[' * depth + ' '.join(['1'] * 100_000) + ']' * depth
    m = mount('{:config %s}' % text)
    shown = (m.mnt / 'config.json').read_text()
    assert len(shown) == (m.mnt / 'config.json').stat().st_size
    found = re.sub(r'\s', '', shown)
    assert found == '[' * depth + ','.join(['1'] * 100_000) + ']' * depth
    assert (shown == found + '\n') == (depth == 1000)
    assert shown.endswith(']\n')
