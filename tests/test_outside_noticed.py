# SPDX-License-Identifier: MIT
"""What others write to memory.edn is noticed without being asked, through every cache."""
import os
import time

import pytest

import edn_reader
from conftest import fill_disk
from outside import bad_files, conflicts, health, keys, read, soon
from rival import write_in_place


@pytest.fixture
def open_fd(mount):  # closed before the mount that it is in ends
    opened = []

    def open_one(path):
        opened.append(os.open(path, os.O_RDONLY))
        return opened[-1]
    yield open_one
    for fd in opened:
        os.close(fd)


def test_changes_are_seen_without_a_write(mount, rival, open_fd):
    m = mount('{:changed 1 :gone 1 :presence/s {"changed" 1 "gone" 1} :presence/t {"only" 1}}')
    rival.open(m.edn)
    news = [m.mnt / 'new.json', m.mnt / 'deep/er/new.json', m.mnt / 'presence/s/new.json',
            m.mnt / 'presence/new/x.json']
    changed = [m.mnt / 'changed.json', m.mnt / 'presence/s/changed.json']
    gone = [m.mnt / 'gone.json', m.mnt / 'presence/s/gone.json', m.mnt / 'presence/t/only.json',
            m.mnt / 'presence/t']
    assert [read(path) for path in news] == [None] * 4  # the kernel remembers that, too
    assert [read(path) for path in changed] == ['1\n'] * 2
    assert all(path.exists() for path in gone)
    held = [open_fd(path) for path in changed]
    directory = open_fd(m.mnt / 'presence/s')
    for key in (':changed', ':new', ':deep/er/new'):
        rival.put(key, '22')
    for member in ('"changed"', '"new"'):
        rival.put_member(':presence/s', member, '22')
    rival.put_member(':presence/new', '"x"', '22')
    rival.remove(':gone')
    rival.remove_member(':presence/s', '"gone"')
    rival.remove(':presence/t')
    soon(lambda: [read(path) for path in news + changed] == ['22\n'] * 6, 'the new values')
    soon(lambda: not any(path.exists() for path in gone), 'what was deleted to be gone')
    assert sorted(os.listdir(directory)) == ['changed.json', 'new.json']
    assert [os.pread(fd, 10, 0) for fd in held] == [b'1\n'] * 2  # never a mix


def test_each_change_is_seen_soon(mount, rival):
    """Many one after the other, each through caches that were warm; the time from write to sight."""
    m = mount('{:n 0 %s}' % keys(100))
    rival.open(m.edn)
    took = []
    for n in range(1, 10):
        assert read(m.mnt / 'n.json') == f'{n - 1}\n'
        assert read(m.mnt / f'new{n}.json') is None
        rival.put(':n', str(n))
        rival.put(f':new{n}', '1')
        rival.save_now()
        start = time.monotonic()
        soon(lambda n=n: read(m.mnt / 'n.json') == f'{n}\n', 'the change')
        took.append(time.monotonic() - start)
        assert read(m.mnt / f'new{n}.json') == '1\n'
    assert sorted(took)[len(took) // 2] < 1


def test_stale_copies_are_put_back_without_being_asked(mount, rival):
    m = mount('{:a 1 :b 1}', 'edn_delay=10')
    rival.open(m.edn)
    (m.mnt / 'a.json').write_text('2')
    m.sync()
    for n in range(5):
        rival.put(':b', str(n))
        rival.save_now()
        soon(lambda n=n: edn_reader.memory(m.edn_text() or '{}') ==
             {('kw', 'a'): ('int', 2), ('kw', 'b'): ('int', n)}, 'our value to be back')
    assert read(m.mnt / 'a.json') == '2'
    assert conflicts(m) == {}


def leave_out(m, directory):
    """Another program's memory.edn has nothing in it. What has come may be seen before the kernel is told of all that has
    gone: nobody is held up until then."""
    write_and_see(m, '{:other 1}', m.mnt / 'other.json', '1\n')
    soon(lambda: not (m.mnt / directory).exists(), f'{directory} to be gone')


def write_and_see(m, text, path, content):
    """Another program's memory.edn, as it is seen at the path."""
    m.edn.write_text(text)
    soon(lambda: read(path) == content, f'{content} at {path.name}')


@pytest.mark.parametrize('found, directory', [(':notes/a %s', 'notes'), (':presence/s {"a" %s}', 'presence/s')])
@pytest.mark.parametrize('mode', ['r+', 'w'])
def test_a_writer_whose_directory_goes_and_comes_back(mount, found, directory, mode):
    """What he saves is what is read from then on: there is one file of that name, wherever he has it from."""
    m = mount('{%s}' % (found % 1))
    document = m.mnt / directory / 'a.json'
    assert read(document) == '1\n'
    with open(document, mode) as writer:
        leave_out(m, directory)
        write_and_see(m, '{%s}' % (found % 2), document, '2\n')
        writer.write('3\n')
    assert read(document) == '3\n'
    m.sync()
    assert edn_reader.memory(m.edn_text()) == edn_reader.memory('{%s}' % (found % 3))


def test_a_writer_whose_directory_is_removed_after_it_was_gone(mount):
    """As with any file that was in a directory that is gone, what he writes is nobody's."""
    m = mount('{:notes/a 1}')
    document = m.mnt / 'notes/a.json'
    with open(document, 'r+') as writer:
        leave_out(m, 'notes')
        (m.mnt / 'notes').mkdir()
        (m.mnt / 'notes').rmdir()
        write_and_see(m, '{:notes/a 2}', document, '2\n')
        writer.write('3\n')
    assert read(document) == '2\n'
    m.sync()
    assert edn_reader.memory(m.edn_text()) == edn_reader.memory('{:notes/a 2}')


@pytest.fixture
def full(small_disk, mount):
    """A mount that could not write to memory.edn for lack of room so often that it will not try again soon; what the file
    holds; what takes the room."""
    disk = small_disk('1m')
    text = '{:config 1 :filler "%s"}' % ('x' * 100_000)
    m = mount.prepare(text, ('edn_delay=5',))
    m.edn = disk / 'memory.edn'
    m.edn.write_text(text)
    m.mount()
    fill_disk(disk / 'ballast')
    (m.mnt / 'ours.json').write_text('1')
    for _ in range(5):  # each try rests twice as long as the one before
        with pytest.raises(OSError, match='No space'):
            m.sync()
    return m, text, disk / 'ballast'


def test_a_change_while_memory_edn_can_not_be_written(full):
    """It is seen, which is no sign that memory.edn can be written."""
    m, text, ballast = full
    for n in (2, 3):
        write_in_place(m.edn, text.replace(':config 1', f':config {n}'))
        soon(lambda n=n: read(m.mnt / 'config.json') == f'{n}\n', 'the change')
        assert health(m)['status'] == 'degraded'
        assert 'space' in health(m)['edn']['error']
    ballast.unlink()
    m.sync()
    soon(lambda: ':ours 1' in m.edn_text() and health(m)['status'] == 'healthy', 'good health')


def test_a_broken_file_while_memory_edn_can_not_be_written(full):
    """It is set aside, and memory.edn is there again at once if there is room by then."""
    m, text, ballast = full
    ballast.unlink()
    write_in_place(m.edn, text[:1000])
    soon(lambda: bad_files(m) == [text[:1000]], 'the file to be set aside')
    soon(lambda: m.edn.exists() and ':ours 1' in m.edn_text(), 'another one')
    assert ':config 1 ' in m.edn_text()


def test_a_file_that_is_removed_while_it_can_not_be_written(full):
    m, _, ballast = full
    ballast.unlink()
    m.edn.unlink()
    soon(lambda: m.edn.exists() and ':ours 1' in m.edn_text(), 'another one')
