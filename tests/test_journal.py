# SPDX-License-Identifier: MIT
"""The journal on disk: torn tails, damage, missing segments, full disks, one sync for many."""
import errno
import os
import shutil
import struct

import pytest

from memory_driver import Memory, Refused

RECORD = 40
HEADER = 16


@pytest.fixture
def probe(binary):
    return binary('memory_probe')


@pytest.fixture
def memory(probe, tmp_path):
    (tmp_path / 'memory.edn').write_text('{:a 0}')
    m = Memory(probe, tmp_path)
    yield m
    m.kill()


def segments(m):
    return sorted((m.store / 'journal').iterdir())


def records(data):
    """Offsets of the records in a segment."""
    at = HEADER
    while at < len(data):
        mark, length, _ = struct.unpack_from('<IIQ', data, at)
        assert mark == 0x31524a4f
        yield at, length
        at += RECORD + length


def open_copy(probe, m, tmp_path, journal):
    """What a mount finds when the only segment holds these bytes."""
    other = tmp_path / 'copy'
    shutil.rmtree(other, ignore_errors=True)
    shutil.copytree(m.store, other / 'memory.eav')
    shutil.copy(m.edn, other / 'memory.edn')
    name, = (p.name for p in (other / 'memory.eav' / 'journal').iterdir())
    (other / 'memory.eav' / 'journal' / name).write_bytes(journal)
    return Memory(probe, other)


def test_a_torn_tail_is_cut_at_any_byte(memory, probe, tmp_path):
    for i in (1, 2, 3):
        memory.put('a.json', b'%d' % i)
    memory.kill()
    data = segments(memory)[0].read_bytes()
    starts = [at for at, _ in records(data)]
    assert len(starts) == 3
    # every byte of the last record, and a few of what is before
    for cut in [0, 1, HEADER - 1, HEADER, HEADER + 1, starts[1], *range(starts[2], len(data))]:
        whole = sum(at + RECORD + length <= cut for at, length in records(data))
        with open_copy(probe, memory, tmp_path, data[:cut]) as m:
            assert m.read('a.json') == (b'%d' % whole if whole else b'0\n')
            if cut % 16:
                continue
            m.put('b.json', b'7')
            m.crash()
            assert m.read('a.json') == (b'%d' % whole if whole else b'0\n')
            assert m.read('b.json') == b'7'


def test_a_flipped_byte_in_the_last_record_is_a_torn_tail(memory, probe, tmp_path):
    memory.put('a.json', b'1')
    memory.put('a.json', b'2')
    memory.kill()
    data = segments(memory)[0].read_bytes()
    last = list(records(data))[-1][0]
    for at in range(last, len(data)):
        bad = bytearray(data)
        bad[at] ^= 0x40
        with open_copy(probe, memory, tmp_path, bytes(bad)) as m:
            assert m.read('a.json') == b'1'


def test_damage_in_the_middle_is_told_with_its_place(memory, probe, tmp_path):
    for i in (1, 2, 3):
        memory.put('a.json', b'%d' % i)
    memory.kill()
    data = segments(memory)[0].read_bytes()
    name = segments(memory)[0].name
    second = [at for at, _ in records(data)][1]
    for at in (second, second + 4, second + 12, second + 33, second + RECORD + 3):
        bad = bytearray(data)
        bad[at] ^= 0x40
        with pytest.raises(Refused) as refused:
            open_copy(probe, memory, tmp_path, bytes(bad))
        assert refused.value.errno == errno.EBADMSG
        assert f'journal/{name}:{second}: ' in refused.value.reason
        assert (tmp_path / 'copy' / 'memory.eav' / 'journal' / name).read_bytes() == bytes(bad)


def test_unwritten_pages_are_a_torn_tail(memory, probe, tmp_path):
    memory.put('a.json', b'1')
    memory.kill()
    data = segments(memory)[0].read_bytes()
    with open_copy(probe, memory, tmp_path, data + bytes(8192)) as m:
        assert m.read('a.json') == b'1'
        m.put('a.json', b'2')
        m.crash()
        assert m.read('a.json') == b'2'


def test_a_missing_segment_is_told(memory):
    memory.put('a.json', b'1')
    memory.call('limit', 0)  # what follows can't reach memory.edn
    with pytest.raises(Refused):
        memory.call('sync')
    memory.call('limit', None)
    memory.put('a.json', b'2')
    memory.kill()
    first, second = segments(memory)
    first.unlink()
    with pytest.raises(Refused) as refused:
        memory.start()
    assert refused.value.errno == errno.EBADMSG
    assert 'journal: records 1 to 1 are missing' in refused.value.reason
    assert second.exists()


def test_segments_go_when_memory_edn_has_them(memory):
    for i in range(20):
        memory.put('a.json', b'%d' % i)
    assert memory.health().journal_bytes > 0
    memory.call('sync')
    assert segments(memory) == [] and memory.health().journal_bytes == 0
    memory.put('a.json', b'[1]')
    memory.crash()
    assert memory.read('a.json') == b'[1]'


def test_replaying_what_memory_edn_holds_already_changes_nothing(memory, probe, tmp_path):
    """A kill after the rename, before the watermark: every record is applied a second time."""
    memory.put('a.json', b'1')
    memory.put('presence/s/x.json', b'1')
    memory.call('rename_directory', 'presence/s', 'presence/t')
    memory.call('delete', 'presence/t/x.json')
    memory.call('remove_directory', 'presence/t')
    memory.put('presence/t.json', b'[5 ]')
    memory.put('b.json', b'1')
    memory.call('rename', 'b.json', 'c.json', 0)
    memory.put('b.json', b'2')
    memory.call('rename', 'b.json', 'c.json', 2)
    memory.call('attributes', 'c.json', 0o600, 7)
    before = {path: (memory.stat(path), memory.read(path))
              for path, kind in memory.walk().items() if kind == 0}
    store = tmp_path / 'before'
    shutil.copytree(memory.store, store)
    memory.call('sync')
    entries = sorted(memory.edn.read_text().strip('{}').split(', '))
    memory.kill()
    shutil.rmtree(memory.store)
    store.rename(memory.store)
    memory.start()
    assert {path: (memory.stat(path), memory.read(path))
            for path, kind in memory.walk().items() if kind == 0} == before
    memory.call('sync')
    assert sorted(memory.edn.read_text().strip('{}').split(', ')) == entries
    assert not (memory.store / 'conflicts').exists()


def test_a_full_disk(probe, tmp_path):
    """A real one, where mounting a small tmpfs is allowed."""
    disk = tmp_path / 'disk'
    disk.mkdir()
    if os.system(f'mount -t tmpfs -o size=256k tmpfs {disk} 2>/dev/null'):
        pytest.skip('mounting a tmpfs is not allowed here')
    try:
        (tmp_path / 'memory.edn').write_text('{:a 0}')
        os.symlink(disk, tmp_path / 'memory.eav')
        m = Memory(probe, tmp_path)
        stored = {}
        refused = 0
        for i in range(200):
            data = b'"%d %s"' % (i, b'x' * 3000)
            try:
                m.put(f'd{i}.json', data)
                stored[f'd{i}.json'] = data
            except Refused as error:
                assert error.errno == errno.ENOSPC
                refused += 1
        assert stored and refused
        m.crash()
        assert set(m.names()) == {'a.json', *stored}
        for path, data in stored.items():
            assert m.read(path) == data
        m.kill()
    finally:
        os.system(f'umount -l {disk}')


def test_fsync_syncs_the_journal_once(memory, probe, tmp_path):
    """What is synced already, or is in memory.edn, needs no second fdatasync."""
    trace = tmp_path / 'trace'
    wrapper = tmp_path / 'traced'
    if not shutil.which('strace') or os.system('strace -o /dev/null true 2>/dev/null'):
        pytest.skip('strace is absent, or not allowed here')
    wrapper.write_text(f'#!/bin/sh\nexec strace -f -e trace=fdatasync -o {trace} {probe}\n')
    wrapper.chmod(0o700)
    memory.kill()
    with Memory(wrapper, tmp_path) as m:
        m.call('sync')
        start = trace.read_text().count('fdatasync(')
        m.put('a.json', b'1')
        m.call('fsync')
        assert trace.read_text().count('fdatasync(') == start + 1
        m.call('fsync')
        assert trace.read_text().count('fdatasync(') == start + 1
        m.call('close')
