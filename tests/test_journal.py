# SPDX-License-Identifier: MIT
"""The journal on disk: torn tails, damage, missing segments, full disks, one sync for many."""
import errno
import os
import shutil
import subprocess

import pytest

import journal_driver
from conftest import fill_disk
from journal_driver import HEAD, HEADER, Journal, encode, records
from memory_driver import Memory, Refused

MIB = 1 << 20


@pytest.fixture
def probe(binary):
    return binary('memory_probe')


@pytest.fixture
def journal_probe(binary):
    return binary('journal_probe')


@pytest.fixture
def memory(probe, tmp_path):
    (tmp_path / 'memory.edn').write_text('{:a 0}')
    m = Memory(probe, tmp_path)
    yield m
    m.kill()


def segments(m):
    return journal_driver.segments(m.store)


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
    data = journal_driver.content(segments(memory)[0])
    starts = [record.offset for record in records(data)]
    assert len(starts) == 3
    # every byte of the last record, and a few of what is before
    for cut in [0, 1, HEADER - 1, HEADER, HEADER + 1, starts[1], *range(starts[2], len(data))]:
        whole = sum(record.offset + record.size <= cut for record in records(data))
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
    data = journal_driver.content(segments(memory)[0])
    last = records(data)[-1].offset
    for at in range(last, len(data)):
        bad = bytearray(data)
        bad[at] ^= 0x40
        with open_copy(probe, memory, tmp_path, bytes(bad)) as m:
            assert m.read('a.json') == b'1'


def test_damage_in_the_middle_is_told_with_its_place(memory, probe, tmp_path):
    for i in (1, 2, 3):
        memory.put('a.json', b'%d' % i)
    memory.kill()
    data = journal_driver.content(segments(memory)[0])
    name = segments(memory)[0].name
    second = records(data)[1].offset
    for at in (second, second + 4, second + 12, second + 29, second + 33, second + HEAD + 3):
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
    data = journal_driver.content(segments(memory)[0])
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


def test_a_full_disk(probe, tmp_path, small_disk):
    """Many changes until nothing goes any more: those that were told to be stored are, the others are not."""
    (tmp_path / 'memory.edn').write_text('{:a 0}')
    os.symlink(small_disk('256k'), tmp_path / 'memory.eav')
    with Memory(probe, tmp_path) as m:
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


@pytest.mark.preload
def test_room_again_after_a_full_disk(probe, binary, tmp_path, small_disk):
    """Every way to change something fails and changes nothing, and works once there is room."""
    small = [chr(letter) for letter in range(ord('d'), ord('z') + 1)]
    (tmp_path / 'memory.edn').write_text(
        '{:a 0, :b 1, :presence/s {"x" {}}, %s}' % ' '.join(f':{name} 0' for name in small))
    os.symlink(small_disk('1m'), tmp_path / 'memory.eav')
    large = b'"%s"' % (b'y' * 5000)
    late = tmp_path / 'late.fdatasync'  # with it begins what brings the stores up to the journal, and makes room there
    env = dict(os.environ, LD_PRELOAD=str(binary('laggard.so')), OUROFS_LAGGARD=str(tmp_path / 'late'))
    with Memory(probe, tmp_path, env=env) as m:
        late.touch()
        m.put('a.json', b'1')
        fill_disk(m.store / 'ballast')
        # the room that the journal has already: to the last byte that a deletion needs
        for fill in ([('put', 'b.json', b'[%d, "%s"]' % (i, b'z' * 5000)) for i in range(200)],
                     [('put', 'b.json', b'[%d, 0]' % i) for i in range(200)],
                     [('delete', f'{name}.json') for name in small]):
            with pytest.raises(Refused) as refused:
                for change in fill:
                    m.call(*change)
            assert refused.value.errno == errno.ENOSPC
        before = {path: (m.stat(path), m.read(path)) for path, kind in m.walk().items() if kind == 0}
        size = m.health().journal_bytes
        changes = [('put', 'a.json', large), ('put', 'new.json', large), ('delete', 'a.json'),
                   ('rename', 'a.json', 'c.json', 0), ('rename', 'a.json', 'b.json', 2),
                   ('rename_directory', 'presence/s', 'presence/t'),
                   ('attributes', 'a.json', 0o600, 7)]
        for change in changes:
            with pytest.raises(Refused) as refused:
                m.call(*change)
            assert refused.value.errno == errno.ENOSPC, change
            assert m.health().journal_bytes == size
            assert sum(len(journal_driver.content(path)) for path in segments(m)) == size
            assert {path: (m.stat(path), m.read(path))
                    for path, kind in m.walk().items() if kind == 0} == before
        (m.store / 'ballast').unlink()
        late.unlink()
        m.put('a.json', large)
        m.put('new.json', large)
        m.call('delete', 'b.json')
        names = set(m.names())
        m.crash()
        assert set(m.names()) == names and names & {'new.json', 'b.json'} == {'new.json'}
        assert (m.read('a.json'), m.read('new.json')) == (large, large)
        m.call('sync')
        assert segments(m) == []


def test_a_mount_on_a_full_disk(mount, small_disk):
    """close tells of it, the old document stays, and once there is room the same save works."""
    disk = small_disk('3m')
    m = mount.prepare('{:a {:n 0}}', ('edn_delay=3600000',))
    m.store = disk / 'store'
    m.mount()
    path = m.mnt / 'a.json'
    path.write_text('{"n": 1}')
    before = path.read_bytes()
    fill_disk(disk / 'ballast')
    large = b'{"n": "%s"}' % (b'z' * 300000)  # more than what the journal has taken in advance
    for _ in range(3):
        with pytest.raises(OSError) as refused:
            path.write_bytes(large)
        assert refused.value.errno == errno.ENOSPC
        assert path.read_bytes() == before
    (disk / 'ballast').unlink()
    path.write_bytes(large)
    m.kill()
    m.remount()
    assert path.read_bytes() == large
    m.sync()
    assert 'zzz' in m.edn_text()
    m.unmount()


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


# ---- records

def test_each_record_says_what_it_is_about(memory):
    expected = []

    def did(kind, *call):
        memory.call(*call)
        expected.append(kind)
    with journal_driver.held(memory.store):
        did('put', 'put', 'a.json', b'1')
        did('put', 'put', 'b.json', b'2')
        did('attributes', 'attributes', 'a.json', 0o600, 7)
        did('attributes', 'put', 'a.json', b'1')  # the same bytes: a new time
        did('rename', 'rename', 'a.json', 'c.json', 0)
        did('rename', 'rename', 'b.json', 'c.json', 0)
        did('put', 'put', 'b.json', b'3')
        did('exchange', 'rename', 'b.json', 'c.json', 2)
        did('delete', 'delete', 'b.json')
        did('put', 'put', 'presence/s/x.json', b'{}')
        did('attributes', 'attributes', 'presence/s', 0o700, 7)
        did('directory rename', 'rename_directory', 'presence/s', 'presence/t')
        did('delete', 'delete', 'presence/t/x.json')
        did('directory removal', 'remove_directory', 'presence/t')
        memory.kill()
    found = [record for path in segments(memory) for record in records(journal_driver.content(path))]
    assert [record.kind for record in found] == expected
    assert [record.sequence for record in found] == list(range(1, len(expected) + 1))


def test_every_byte_of_a_record_is_under_its_checksum(journal_probe, tmp_path):
    with Journal(journal_probe, tmp_path) as j:
        j.append(3, size=9, kind='mode')
    path, = journal_driver.segments(tmp_path)
    data = journal_driver.content(path)
    second = records(data)[1]
    for at in range(second.offset, second.offset + second.size):
        for bit in (1, 0x80):
            bad = bytearray(data)
            bad[at] ^= bit
            path.write_bytes(bad)
            with pytest.raises(journal_driver.Refused) as refused:
                Journal(journal_probe, tmp_path)
            assert refused.value.reason == f'journal/{path.name}:{second.offset}: a damaged record'
    path.write_bytes(data)
    with Journal(journal_probe, tmp_path) as j:
        assert j.replayed == [(1, 9, 'mode'), (2, 9, 'mode'), (3, 9, 'mode')]


def test_another_versions_segment_is_left_alone(journal_probe, tmp_path):
    with Journal(journal_probe, tmp_path) as j:
        j.append()
    path, = journal_driver.segments(tmp_path)
    data = journal_driver.content(path)
    path.write_bytes(data.replace(b'ourofsJ2', b'ourofsJ1'))
    with pytest.raises(journal_driver.Refused) as refused:
        Journal(journal_probe, tmp_path)
    assert refused.value.errno == errno.EPROTO and 'another version' in refused.value.reason
    assert path.read_bytes() == data.replace(b'ourofsJ2', b'ourofsJ1')


# ---- segments

def test_segments_rotate_by_size(journal_probe, disk):
    with Journal(journal_probe, disk) as j:
        j.append(130, size=MIB)
        paths = journal_driver.segments(disk)
        assert [path.name for path in paths] == [f'{n:016x}.log' for n in (1, 64, 127)]
        assert all(path.stat().st_size <= 64 * MIB for path in paths)
        assert j.call('disk').bytes == sum(len(journal_driver.content(path)) for path in paths)
        # one sync reaches all of them, and what is synced and closed is not synced again
        assert j.call('sync').syncs == 3
        j.append()
        assert j.call('sync').syncs == 4
        j.call('trim', 125)
        assert journal_driver.segments(disk) == paths[1:]
        j.call('trim', 126)
        assert journal_driver.segments(disk) == paths[2:]
        j.call('trim', 131)  # the current one stays
        assert journal_driver.segments(disk) == paths[2:]
    with Journal(journal_probe, disk, watermark=126) as j:
        assert [sequence for sequence, _, _ in j.replayed] == [127, 128, 129, 130, 131]
        j.append()
        assert j.call('sync').syncs == 2
        j.call('rotate')
        j.call('trim', 132)
        assert journal_driver.segments(disk) == []


def test_room_is_taken_in_advance_and_given_back(journal_probe, binary, disk):
    """Behind the last record of a killed daemon's, zeros are no damage; otherwise there are none."""
    size = 256 << 10
    with Journal(journal_probe, disk) as j:
        j.append(3)
        path, = journal_driver.segments(disk)
        assert path.stat().st_size == size and j.call('disk').bytes == len(journal_driver.content(path))
        j.append(size=size)
        assert path.stat().st_size == 2 * size
        j.call('rotate')
        assert path.stat().st_size == j.call('disk').bytes
        j.append()
    first, second = journal_driver.segments(disk)
    assert second.stat().st_size == size
    with first.open('ab') as file:
        file.write(bytes(5000))  # a power loss after the next one was on disk, before the cut was
    subprocess.run([binary('ourofsctl'), 'check', disk], check=True)
    with Journal(journal_probe, disk) as j:
        assert [sequence for sequence, _, _ in j.replayed] == [1, 2, 3, 4, 5]
        assert all(path.read_bytes() == journal_driver.content(path) for path in (first, second))
        j.append()
        j.close()
    third = journal_driver.segments(disk)[2]
    assert third.read_bytes() == journal_driver.content(third)


def test_behind_a_barrier_a_segment_grows(journal_probe, disk):
    """What was there before it has its room; what comes behind it is in a file that was made since, or grows with it."""
    def sizes():
        return [path.stat().st_size for path in journal_driver.segments(disk)]

    def lengths():
        return [len(journal_driver.content(path)) for path in journal_driver.segments(disk)]

    size = 256 << 10
    with Journal(journal_probe, disk) as j:
        j.append()
        assert sizes() == [size]
        j.call('barrier')
        assert sizes() == [size]
        for count in (1, 2):
            j.append(count)
            assert sizes() == lengths() and len(sizes()) == 2
            j.call('barrier')
        j.call('rotate')
        j.append()
        assert sizes() == lengths() and len(sizes()) == 3
        j.call('rotate')
        j.append()
        assert sizes()[:3] == lengths()[:3] and sizes()[3:] == [size]
    with Journal(journal_probe, disk) as j:
        assert [sequence for sequence, _, _ in j.replayed] == [1, 2, 3, 4, 5, 6]


def test_room_that_a_disk_does_not_have(journal_probe, small_disk):
    """What fits is appended, to the last byte; no part of the room remains."""
    disk = small_disk('128k')
    with Journal(journal_probe, disk) as j:
        with pytest.raises(journal_driver.Refused) as refused:
            j.append(200, size=1000)
        assert refused.value.errno == errno.ENOSPC
        path, = journal_driver.segments(disk)
        size = path.stat().st_size
        assert size > 64 << 10 and j.call('disk').bytes == size == len(journal_driver.content(path))
    with Journal(journal_probe, disk) as j:
        assert len(j.replayed) == (size - HEADER) // (HEAD + 1000)


def test_a_record_with_an_unwritten_sector_is_torn(journal_probe, tmp_path):
    """A power loss may leave later sectors and not earlier ones; what was synced is before all of them."""
    with Journal(journal_probe, tmp_path) as j:
        j.append(4, size=2000)
    path, = journal_driver.segments(tmp_path)
    data = path.read_bytes()
    second = records(data)[1]
    starts = range((second.offset + 511) // 512 * 512, second.offset + second.size - 511, 512)
    assert len(starts) == 2
    for start in starts:
        for segment in journal_driver.segments(tmp_path):
            segment.unlink()
        path.write_bytes(data[:start] + bytes(512) + data[start + 512:])
        with Journal(journal_probe, tmp_path) as j:
            assert j.replayed == [(1, 2000, 'put')]
            j.append()
        with Journal(journal_probe, tmp_path) as j:
            assert j.replayed == [(1, 2000, 'put'), (2, 100, 'put')]
    journal_driver.segments(tmp_path)[1].unlink()
    start = starts[0]
    for zeros, follower in ((511, b''), (512, b'ourofsJ2' + (5).to_bytes(8, 'little') + encode(5, 1, b'good'))):
        bad = data[:start] + bytes(zeros) + data[start + zeros:]
        path.write_bytes(bad)
        if follower:
            path.with_name(f'{5:016x}.log').write_bytes(follower)
        with pytest.raises(journal_driver.Refused) as refused:
            Journal(journal_probe, tmp_path)
        assert refused.value.reason == f'journal/{path.name}:{second.offset}: a damaged record'
        assert path.read_bytes() == bad


def test_a_record_larger_than_a_segment_has_one_of_its_own(journal_probe, disk):
    with Journal(journal_probe, disk) as j:
        j.append()
        j.append(size=70 * MIB)
        j.append()
        assert len(journal_driver.segments(disk)) == 3
    with Journal(journal_probe, disk) as j:
        assert j.replayed == [(1, 100, 'put'), (2, 70 * MIB, 'put'), (3, 100, 'put')]


def test_a_record_taken_back_gives_its_number_to_the_next(journal_probe, tmp_path):
    with Journal(journal_probe, tmp_path) as j:
        j.append(2)
        j.call('sync')
        j.call('retract')
        j.append(size=5)
        before = j.call('disk').syncs
        assert j.call('sync').syncs == before + 1  # another record, though of the same number
    with Journal(journal_probe, tmp_path) as j:
        assert j.replayed == [(1, 100, 'put'), (2, 5, 'put')]


def test_a_new_segments_name_reaches_the_disk_before_the_old_ones_end(journal_probe, tmp_path):
    """A power loss: nothing of this was synced, so it is a torn tail, not damage."""
    for rest in (b'', bytes(10), bytes(8192), b'ourofsJ2' + (3).to_bytes(8, 'little'),
                 b'ourofsJ2' + (3).to_bytes(8, 'little') + bytes(100)):
        shutil.rmtree(tmp_path / 'journal', ignore_errors=True)
        with Journal(journal_probe, tmp_path) as j:
            j.append(2)
        path, = journal_driver.segments(tmp_path)
        os.truncate(path, len(journal_driver.content(path)) - 1)
        path.with_name(f'{3:016x}.log').write_bytes(rest)
        with Journal(journal_probe, tmp_path) as j:
            assert j.replayed == [(1, 100, 'put')]
            assert journal_driver.segments(tmp_path) == [path]
            j.append(2)
        with Journal(journal_probe, tmp_path) as j:
            assert [sequence for sequence, _, _ in j.replayed] == [1, 2, 3]


def test_nothing_of_two_segments_reached_the_disk(journal_probe, tmp_path):
    (tmp_path / 'journal').mkdir()
    for rest in (b'', b'ourof', b'ourofsJ2' + (1).to_bytes(8, 'little')):
        (tmp_path / 'journal' / f'{1:016x}.log').write_bytes(rest)
        (tmp_path / 'journal' / f'{2:016x}.log').write_bytes(b'ourofsJ2' + (2).to_bytes(8, 'little'))
        with Journal(journal_probe, tmp_path) as j:
            assert j.replayed == [] and journal_driver.segments(tmp_path) == []


def test_a_segment_that_holds_what_another_has_is_refused(journal_probe, tmp_path):
    with Journal(journal_probe, tmp_path) as j:
        j.append(3)
    path, = journal_driver.segments(tmp_path)
    again = records(path.read_bytes())[1]
    path.with_name(f'{2:016x}.log').write_bytes(
        b'ourofsJ2' + (2).to_bytes(8, 'little') + path.read_bytes()[again.offset:])
    with pytest.raises(journal_driver.Refused) as refused:
        Journal(journal_probe, tmp_path)
    assert refused.value.errno == errno.EBADMSG
    assert refused.value.reason.startswith(f'journal/{2:016x}.log:0: ')


# ---- syncs

def test_many_syncs_share_a_few(journal_probe, disk):
    """On a disk that takes 20 ms a sync, so that 8 threads meet."""
    threads, rounds = 8, 10
    with Journal(journal_probe, disk) as j:
        j.append()
        j.call('disk', 20000, 0)
        syncs = j.call('storm', threads, rounds).syncs
        assert rounds <= syncs <= threads * rounds // 3
    with Journal(journal_probe, disk) as j:
        assert len(j.replayed) == 1 + threads * rounds


def test_a_failed_sync_stays_told_until_the_records_are_elsewhere(journal_probe, tmp_path):
    with Journal(journal_probe, tmp_path) as j:
        j.append(2)
        j.call('disk', 0, errno.EIO)
        with pytest.raises(journal_driver.Refused) as refused:
            j.call('sync')
        assert refused.value.errno == errno.EIO
        j.call('disk', 0, 0)
        with pytest.raises(journal_driver.Refused):  # the kernel may have dropped the pages
            j.call('sync')
        j.call('trim', 1)
        with pytest.raises(journal_driver.Refused):
            j.call('sync')
        j.call('trim', 2)
        j.call('sync')
        j.append()
        assert j.call('sync').syncs == 1


def test_a_segment_that_could_not_be_synced_takes_no_more_records(journal_probe, tmp_path):
    """A later sync of it may succeed, and says nothing of the pages that the kernel gave up."""
    with Journal(journal_probe, tmp_path / 'store') as j:
        j.append()
        j.call('disk', 0, errno.EIO)
        with pytest.raises(journal_driver.Refused):
            j.call('sync')
        j.call('disk', 0, 0)
        j.append()
        first, second = journal_driver.segments(j.store)
        with pytest.raises(journal_driver.Refused):
            j.call('sync')
        j.call('trim', 1)
        assert journal_driver.segments(j.store) == [second]
        assert j.call('sync').syncs == 1


def test_one_without_records_is_written_anew(journal_probe, tmp_path):
    with Journal(journal_probe, tmp_path / 'store') as j:
        j.append()
        j.call('rotate')
        j.append()
        j.call('disk', 0, errno.EIO)
        with pytest.raises(journal_driver.Refused):
            j.call('sync')
        j.call('disk', 0, 0)
        j.call('retract')
        second = journal_driver.segments(j.store)[1]
        second.write_bytes(bytes(len(second.read_bytes())))  # what the kernel may have left of it
        j.append()
        assert [record.sequence for record in records(second.read_bytes())] == [2]
        assert journal_driver.segments(j.store)[1] == second
        with pytest.raises(journal_driver.Refused):
            j.call('sync')  # the first one is not on disk
        j.call('trim', 1)
        j.call('sync')
    with Journal(journal_probe, tmp_path / 'store', watermark=1) as j:
        assert [replayed[0] for replayed in j.replayed] == [2]
