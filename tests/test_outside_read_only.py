# SPDX-License-Identifier: MIT
"""What someone else writes to memory.edn while a mount that only reads shows it: shown, and nothing on the disk changes."""
import json
import os
import pathlib
import re

import pytest

from conftest import wait_until
from outside import bad_files, names, read, soon
from rival import write_in_place

TEXT = '{:config {:a 1} :gone 1 :presence/s1 {"alice" {:n 1} "bob" {:n 2}} :other [1 2]}'
CHANGED = '{:config {:a 2} :came "x" :presence/s1 {"alice" {:n 3} "carol" {:n 4}} :other [1 2]}'
MODES = ['datalevin-first', 'dual-write', 'edn-only']


def files(directory):
    """Of each file below: what it is, and what it holds. A reader's lock file is opened, not written."""
    found = {}
    for at, _, inside in os.walk(directory):
        for name in inside:
            path = os.path.join(at, name)
            st = os.stat(path)
            with open(path, 'rb') as file:
                found[path] = (st.st_ino, st.st_mtime_ns, st.st_mode, file.read())
    return found


@pytest.fixture
def reader(mount):
    """reader(mode, text) -> a mount with ro, of a memory that had been mounted and migrated before."""
    def make(mode, text=TEXT):
        m = mount(text, f'mode={mode}')
        if mode == 'datalevin-first':
            (m.mnt / '.migrate').write_text('all')
            wait_until(lambda: json.loads((m.mnt / '.migrate').read_text())['state'] == 'done', 'the migration')
        m.remount('ro')
        return m
    return make


def check_changed(m):
    """The kernel is told of a name at a time."""
    soon(lambda: read(m.mnt / 'config.json') == '{\n  "a": 2\n}\n', 'the change')
    soon(lambda: not (m.mnt / 'gone.json').exists(), 'the one that went')
    soon(lambda: read(m.mnt / 'presence/s1/alice.json') == '{\n  "n": 3\n}\n', "a member's change")
    assert read(m.mnt / 'came.json') == '"x"\n'
    assert sorted(os.listdir(m.mnt / 'presence/s1')) == ['alice.json', 'carol.json']
    assert read(m.mnt / 'other.json') == '[\n  1,\n  2\n]\n'


@pytest.mark.parametrize('mode', MODES)
def test_what_others_write_is_shown(reader, mode):
    m = reader(mode)
    before = files(m.store)
    assert read(m.mnt / 'config.json') == '{\n  "a": 1\n}\n'
    assert read(m.mnt / 'gone.json') == '1\n'
    assert not (m.mnt / 'came.json').exists()
    write_in_place(m.edn, CHANGED)
    check_changed(m)
    soon(lambda: 'outside-change' in (m.mnt / '.events').read_text(), 'it to be told')
    write_in_place(m.edn, TEXT)
    soon(lambda: read(m.mnt / 'gone.json') == '1\n', 'the change back')
    soon(lambda: read(m.mnt / 'config.json') == '{\n  "a": 1\n}\n', 'all of it')
    write_in_place(m.edn, CHANGED)
    check_changed(m)
    with pytest.raises(OSError):
        (m.mnt / 'config.json').write_text('{}')
    m.unmount()
    assert files(m.store) == before
    assert m.edn_text() == CHANGED


def test_without_a_store(mount):
    """Nor is one made."""
    m = mount(TEXT, 'ro')
    assert read(m.mnt / 'config.json') == '{\n  "a": 1\n}\n'
    write_in_place(m.edn, CHANGED)
    check_changed(m)
    m.unmount()
    assert not m.store.exists()
    assert m.edn_text() == CHANGED


def test_what_was_written_while_nothing_was_mounted(reader):
    m = reader('datalevin-first')
    m.unmount()
    write_in_place(m.edn, CHANGED)
    m.remount('ro')
    check_changed(m)
    write_in_place(m.edn, TEXT)
    soon(lambda: read(m.mnt / 'gone.json') == '1\n', 'the change back')


def test_the_next_mount_finds_it_too(reader):
    m = reader('datalevin-first')
    write_in_place(m.edn, CHANGED)
    check_changed(m)
    m.remount('rw')
    check_changed(m)
    (m.mnt / 'config.json').write_text('{"a": 5}')
    m.sync()
    assert ':config {:a 5}' in m.edn_text()


def test_a_stale_writer(mount):
    """Who writes what it had before does not know what was saved here: that is shown, and memory.edn left as it is."""
    m = mount(TEXT)
    (m.mnt / 'config.json').write_text('{"a": 7}')
    m.remount('ro')
    write_in_place(m.edn, TEXT.replace(':gone 1', ':came 1'))
    soon((m.mnt / 'came.json').exists, 'the change')
    assert read(m.mnt / 'config.json') == '{"a": 7}'
    assert not (m.mnt / 'gone.json').exists()
    assert ':config {:a 1}' in m.edn_text()


def test_a_conflict(mount):
    """What the next mount will show; theirs is in memory.edn, where they wrote it."""
    m = mount(TEXT)
    (m.mnt / 'config.json').write_text('{"a": 7}')
    m.remount('ro')
    before = files(m.store)
    write_in_place(m.edn, TEXT.replace('{:a 1}', '{:a 8}').replace(':gone 1', ':came 1'))
    soon((m.mnt / 'came.json').exists, 'the change')
    assert read(m.mnt / 'config.json') == '{"a": 7}'
    m.unmount()
    assert files(m.store) == before
    assert '{:a 8}' in m.edn_text()


@pytest.mark.parametrize('text', ['{:config {:a 1', ''])
def test_a_broken_file(reader, text):
    """What was shown stays; the file stays where it is, and when it is whole again it is shown."""
    m = reader('datalevin-first')
    write_in_place(m.edn, text)
    soon(lambda: 'degraded' in (m.mnt / '.health').read_text(), 'bad health')
    assert read(m.mnt / 'config.json') == '{\n  "a": 1\n}\n'
    assert 'memory.edn' in (m.mnt / '.health').read_text()
    assert m.edn_text() == text and bad_files(m) == []
    write_in_place(m.edn, CHANGED)
    check_changed(m)
    soon(lambda: 'degraded' not in (m.mnt / '.health').read_text(), 'good health')


@pytest.mark.parametrize('how', ['emptied', 'removed'])
def test_a_file_that_lacks_most(reader, how):
    many = '{%s}' % ' '.join(f':k{number} {number}' for number in range(40))
    m = reader('datalevin-first', many)
    if how == 'removed':
        m.edn.unlink()
    else:
        write_in_place(m.edn, '{:k1 100}')
    soon(lambda: 'degraded' in (m.mnt / '.health').read_text(), 'bad health')
    assert len(names(m)) == 40
    assert bad_files(m) == []
    write_in_place(m.edn, many.replace('{', '{:came 1 '))
    soon((m.mnt / 'came.json').exists, 'the change')
    assert len(names(m)) == 41
    soon(lambda: 'degraded' not in (m.mnt / '.health').read_text(), 'good health')


@pytest.mark.parametrize('what', ['directory', 'fifo', 'link to itself'])
def test_no_file_any_more(reader, what):
    """Nothing is lost by that, which the unmount says by its status."""
    m = reader('datalevin-first')
    m.edn.unlink()
    if what == 'directory':
        m.edn.mkdir()
    elif what == 'fifo':
        os.mkfifo(m.edn)
    else:
        m.edn.symlink_to(m.edn)
    soon(lambda: 'degraded' in (m.mnt / '.health').read_text(), 'bad health')
    assert "can't be written" not in (m.mnt / '.health').read_text()
    assert read(m.mnt / 'config.json') == '{\n  "a": 1\n}\n'
    m.unmount()
    assert 'the last changes' not in m.stderr()
    m.expected.append('')
    m.edn.rmdir() if what == 'directory' else m.edn.unlink()
    write_in_place(m.edn, TEXT)


@pytest.mark.busy  # and a sanitizer keeps for long what is freed
def test_keys_that_come_and_go(reader):
    """What is gone takes no memory, however many there were. (Where most go at once, they are not taken for gone.)"""
    kept = ' '.join(f':kept{i} {i}' for i in range(1500))
    m = reader('datalevin-first', '{%s}' % kept)

    def resident_kb():
        return int(re.search(r'VmRSS:\s+(\d+)', pathlib.Path(f'/proc/{m.proc.pid}/status').read_text())[1])

    def turn(number):
        write_in_place(m.edn, '{%s %s}' % (kept, ' '.join(f':k{number}-{i} {i}' for i in range(1000))))
        # as long as it takes: on a busy machine a merge of so much, and the rest behind it, are seconds
        wait_until((m.mnt / f'k{number}-999.json').exists, 'the change')
    for number in range(5):
        turn(number)
    before = resident_kb()
    for number in range(5, 35):
        turn(number)
    assert resident_kb() < before + 6000
