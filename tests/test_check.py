# SPDX-License-Identifier: MIT
"""ourofsctl check: every problem of a journal is told with its place, and mended without loss of what is good."""
import random
import re
import shutil
import subprocess

import pytest

import journal_driver
from conftest import examples, fill_disk
from journal_driver import HEAD, HEADER, LOST, Journal, content, encode, records, segments
from memory_driver import Memory


@pytest.fixture
def check(binary):
    """check(store, *options): (exit status, lines of stdout but for the count, stderr)."""
    def run(store, *options):
        done = subprocess.run([binary('ourofsctl'), 'check', *options, str(store)],
                              capture_output=True, text=True)
        lines = done.stdout.splitlines()
        if done.returncode != 2:
            count = lines.pop().rpartition(': ')[2].split()[0]
            found = [line for line in lines if '; as it was' not in line]
            assert int(count.replace('no', '0')) == len(found)
        return done.returncode, lines, done.stderr
    return run


@pytest.fixture
def probe(binary):
    return binary('journal_probe')


@pytest.fixture
def store(probe, tmp_path):
    """Three segments: records 1-4, 5-8, 9-12, of 100 bytes each."""
    path = tmp_path / 'store'
    with Journal(probe, path) as j:
        for _ in range(3):
            j.append(4)
            j.call('rotate')
    path.chmod(0o700)
    return path


def header(first):
    return b'ourofsJ2' + first.to_bytes(8, 'little')


def snapshot(store):
    return {path.name: content(path) for path in (store / 'journal').iterdir()}


def replayed(probe, store, watermark=0):
    with Journal(probe, store, watermark) as j:
        return [sequence for sequence, _, _ in j.replayed]


def mend_and_verify(check, probe, store, lines, kept):
    """A check finds lines and changes nothing; a repair says the same; what is left is fine."""
    before = snapshot(store)
    assert check(store) == (1, lines, '')
    assert snapshot(store) == before
    status, said, complaint = check(store, '--repair')
    assert (status, complaint) == (1, '')
    assert [line for line in said if '; as it was' not in line] == lines
    after = snapshot(store)
    for line in said:
        found = re.fullmatch(r'journal/(\S+): (mended|removed); as it was, it is journal/(\1\.damaged-\d+)',
                             line)
        if found:
            assert after[found[3]] == before[found[1]]
            assert (found[2] == 'mended') == (found[1] in after)
    changed = {name for name, data in before.items() if after.get(name) != data}
    assert changed == {name.split('.damaged')[0] for name in after if '.damaged-' in name}
    assert not [name for name in after if name.endswith('.mended')]
    assert check(store) == (0, [], '')
    assert check(store, '--repair') == (0, [], '')
    assert snapshot(store) == after
    assert replayed(probe, store) == kept


def test_a_good_journal_is_fine(check, probe, store):
    before = snapshot(store)
    assert check(store) == (0, [], '')
    assert check('--repair', store) == (0, [], '')
    assert snapshot(store) == before
    shutil.rmtree(store / 'journal')
    (store / 'journal').mkdir()
    assert check(store) == (0, [], '')


@pytest.mark.parametrize('number', range(3))
def test_damage_to_any_record_loses_that_record(check, probe, store, number):
    path = segments(store)[0]
    data = bytearray(content(path))
    record = records(data)[number]
    for at in (record.offset, record.offset + 5, record.offset + 30, record.offset + HEAD + 50):
        bad = bytearray(data)
        bad[at] ^= 4
        path.write_bytes(bad)
        lost = number + 1
        mend_and_verify(check, probe, store,
                        [f'journal/{path.name}:{record.offset}: a damaged record: record {lost} is lost'],
                        [n for n in range(1, 13) if n != lost])
        gap = records(content(path))[number]
        assert gap.kind == 'lost records' and gap.sequence == lost
        assert gap.payload == lost.to_bytes(8, 'little') * 2
        path.write_bytes(data)


def test_damage_to_the_end_of_a_segment_and_the_begin_of_the_next(check, probe, store):
    first, second, third = segments(store)
    data = content(first)
    fourth = records(data)[3]
    first.write_bytes(data[:fourth.offset + 7])
    data = bytearray(content(second))
    data[0:HEADER + 3] = bytes(HEADER + 3)
    second.write_bytes(data)
    mend_and_verify(check, probe, store, [
        f'journal/{first.name}:{fourth.offset}: a damaged record: record 4 is lost',
        f"journal/{second.name}:0: the segment's header is damaged",
        f'journal/{second.name}:{HEADER}: a damaged record: record 5 is lost',
    ], [1, 2, 3, 6, 7, 8, 9, 10, 11, 12])
    with Journal(probe, store) as j:
        j.append(2)
    assert replayed(probe, store)[-2:] == [13, 14]


def test_a_cleanly_cut_or_missing_segment_leaves_a_gap(check, probe, store):
    first, second, third = segments(store)
    data = content(first)
    first.write_bytes(data[:records(data)[2].offset])
    second.unlink()
    mend_and_verify(check, probe, store,
                    [f'journal/{third.name}:0: what was before is missing: records 3 to 8 are lost'],
                    [1, 2, 9, 10, 11, 12])
    assert [path.name for path in segments(store)] == [f'{n:016x}.log' for n in (1, 3, 9)]
    assert [record.kind for record in records(segments(store)[1].read_bytes())] == ['lost records']


def test_a_missing_first_segment(check, probe, store):
    segments(store)[0].unlink()
    name = segments(store)[0].name
    mend_and_verify(check, probe, store,
                    [f'journal/{name}:0: what was before is missing: records 1 to 4 are lost'],
                    list(range(5, 13)))


def test_a_segment_without_anything_good(check, probe, store):
    second = segments(store)[1]
    second.write_bytes(header(5) + b'\xff' * 1000)
    mend_and_verify(check, probe, store,
                    [f'journal/{second.name}:{HEADER}: a damaged record: records 5 to 8 are lost'],
                    [1, 2, 3, 4, 9, 10, 11, 12])
    for emptied, line in ((header(5), f'{HEADER}: no record: records 5 to 8 are lost'),
                          (b'', None)):
        second.write_bytes(emptied)
        lines = [f'journal/{second.name}:{line}'] if line else [
            f"journal/{second.name}:0: the segment's header is cut",
            f'journal/{second.name}:{HEADER}: no record: records 5 to 8 are lost']
        for name in snapshot(store):
            if '.damaged-' in name:
                (store / 'journal' / name).unlink()
        mend_and_verify(check, probe, store, lines, [1, 2, 3, 4, 9, 10, 11, 12])


def test_a_torn_tail_is_told_and_cut(check, probe, store):
    last = segments(store)[2]
    data = content(last)
    end = records(data)[3]
    for torn in (data[:-1], data[:end.offset + 3], data[:-1] + b'?',
                 data[:end.offset] + bytes(5000) + b'?'):
        for name in snapshot(store):
            if '.damaged-' in name:
                (store / 'journal' / name).unlink()
        last.write_bytes(torn)
        mend_and_verify(check, probe, store,
                        [f'journal/{last.name}:{end.offset}: a torn tail'], list(range(1, 12)))


def test_what_is_in_the_stores_does_no_harm(check, binary, tmp_path):
    """The watermark is read from the store: what all have passed is lost without loss."""
    (tmp_path / 'memory.edn').write_text('{}')
    with Memory(binary('memory_probe'), tmp_path) as m:
        for i in range(3):
            m.put('a.json', b'%d' % i)
        journal = {path: content(path) for path in segments(m.store)}
        m.call('sync')
        m.kill()
        path, data = journal.popitem()
        bad = bytearray(data)
        bad[records(data)[1].offset + 40] ^= 1
        path.write_bytes(bad)
        status, lines, _ = check(m.store, '--repair')
        assert (status, len(lines)) == (1, 2)
        assert lines[0].endswith(': a damaged record: record 2 is lost, but the stores have it')
        m.start()
        assert m.read('a.json') == b'2'


def test_records_out_of_sequence_are_cut(check, probe, store):
    first = segments(store)[0]
    data = content(first)
    cuts = [record.offset for record in records(data)] + [len(data)]
    one, two, three, four = (data[a:b] for a, b in zip(cuts, cuts[1:]))
    first.write_bytes(header(1) + one + two + one + three + four)
    mend_and_verify(check, probe, store,
                    [f'journal/{first.name}:{cuts[2]}: a record out of sequence'], list(range(1, 13)))
    first.write_bytes(header(1) + one + three + four)
    mend_and_verify(check, probe, store,
                    [f'journal/{first.name}:{cuts[1]}: what was before is missing: record 2 is lost'],
                    [1, *range(3, 13)])
    # what belongs to the next segment
    first.write_bytes(data + encode(5, 1, b'other'))
    mend_and_verify(check, probe, store,
                    [f'journal/{first.name}:{len(data)}: a record out of sequence'],
                    list(range(1, 13)))


def test_a_repaired_journal_can_be_damaged_again(check, probe, store):
    """A gap's own record is damaged: the gap is found once more."""
    first = segments(store)[0]
    data = bytearray(content(first))
    second, third, _ = records(bytes(data))[1:]
    data[second.offset] ^= 1
    data[third.offset] ^= 1
    first.write_bytes(data)
    kept = [1, *range(4, 13)]
    line = f'journal/{first.name}:{second.offset}: a damaged record: records 2 to 3 are lost'
    mend_and_verify(check, probe, store, [line], kept)
    data = bytearray(content(first))
    data[second.offset + 40] ^= 1
    first.write_bytes(data)
    status, lines, _ = check(store, '--repair')
    assert (status, lines[0]) == (1, line)
    assert replayed(probe, store) == kept
    # a gap that says nonsense, under a good checksum, is damage, too
    for payload in (b'', bytes(16), (2).to_bytes(8, 'little') + b'\xff' * 8,
                    (3).to_bytes(8, 'little') * 2):
        whole = content(first)
        gap = records(whole)[1]
        first.write_bytes(whole[:gap.offset] + encode(2, LOST, payload) +
                          whole[gap.offset + gap.size:])
        with pytest.raises(journal_driver.Refused):
            Journal(probe, store)
        status, lines, _ = check(store, '--repair')
        assert (status, lines[0]) == (1, line)
        assert replayed(probe, store) == kept


def test_any_damage_can_be_mended(check, probe, store):
    """At random: what is left opens, in order, and lacks no record that was not hit."""
    dice = random.Random(1)
    whole = snapshot(store)
    for _ in range(examples(60)):
        shutil.rmtree(store / 'journal')
        (store / 'journal').mkdir()
        hit = set()
        for name, data in whole.items():
            bad = bytearray(data)
            for _ in range(dice.choice((0, 0, 1, 1, 2))):
                at = dice.randrange(len(bad))
                length = dice.choice((1, 3, 60, 300))
                kind = dice.randrange(3)
                for record in records(data):
                    if record.offset < at + length and at < record.offset + record.size:
                        hit.add(record.sequence)
                bad[at:at + length] = (bytes(length), dice.randbytes(length), b'\xff' * length)[kind]
            (store / 'journal' / name).write_bytes(bad)
        found, lines, complaint = check(store, '--repair')
        assert found == (1 if lines else 0) and not complaint
        assert check(store) == (0, [], '')
        kept = replayed(probe, store)
        assert kept == sorted(kept) and set(range(1, 13)) - hit <= set(kept), (hit, kept, lines)


# ---- what is not for it

def test_a_store_in_use_is_refused(check, binary, tmp_path):
    (tmp_path / 'memory.edn').write_text('{}')
    with Memory(binary('memory_probe'), tmp_path) as m:
        m.put('a.json', b'1')
        m.call('sync')
        before = snapshot(m.store)
        for options in ((), ('--repair',)):
            status, lines, complaint = check(m.store, *options)
            assert (status, lines) == (2, [])
            assert f'in use by ourofs (pid {m.process.pid})' in complaint
        assert snapshot(m.store) == before
        m.kill()
        assert check(m.store) == (0, [], '')


def test_what_is_no_store(check, tmp_path):
    for options in ((), ('--repair',)):
        for path in (tmp_path / 'missing', tmp_path, '/dev/null'):
            status, lines, complaint = check(path, *options)
            assert (status, lines) == (2, []) and complaint.startswith(f'ourofsctl: {path}: ')
    assert list(tmp_path.iterdir()) == []


def test_another_versions_journal_is_not_touched(check, store):
    path = segments(store)[1]
    path.write_bytes(content(path).replace(b'ourofsJ2', b'ourofsJ3'))
    before = snapshot(store)
    for options in ((), ('--repair',)):
        status, lines, complaint = check(store, *options)
        assert (status, lines) == (2, []) and 'another version' in complaint
    assert snapshot(store) == before


def test_a_full_disk_leaves_the_segment(check, probe, tmp_path, small_disk):
    store = small_disk('128k') / 'store'
    with Journal(probe, store) as j:
        j.append(5, size=10000)
    store.chmod(0o700)
    path, = segments(store)
    data = bytearray(content(path))
    data[HEADER + 50] ^= 1
    path.write_bytes(data)
    fill_disk(store / 'ballast')
    before = snapshot(store)
    status, _, complaint = check(store, '--repair')
    assert status == 2 and 'No space left on device' in complaint
    assert snapshot(store) == before
    (store / 'ballast').unlink()
    assert check(store, '--repair')[0] == 1
    assert replayed(probe, store) == [2, 3, 4, 5]
