# SPDX-License-Identifier: MIT
"""memory.edn in the hands of others: rewritten, replaced, removed, at any moment and by any way."""
import json
import os
import threading
import time

import pytest

import edn_reader
from outside import bad_files, conflicts, health, keys, names, read, saved, soon
from rival import write_by_rename, write_in_place


# ---- both at once, all the time ----

@pytest.mark.parametrize('size', [10, 100_000])
def test_two_writers_in_a_tight_loop(mount, size):
    """It truncates and writes without a pause, we rewrite as often as we may; neither loses its last word."""
    m = mount('{:ours 0 :theirs 0 :pad "%s"}' % ('x' * size), 'edn_delay=1')
    written = [0]
    stop = threading.Event()

    def write():
        while not stop.is_set():
            written[0] += 1
            write_in_place(m.edn, '{:ours 0 :theirs %d :pad "%s"}' % (written[0], 'x' * size))

    writer = threading.Thread(target=write)
    writer.start()
    saves = 0
    end = time.monotonic() + 2
    try:
        while time.monotonic() < end:
            saves += 1
            (m.mnt / 'ours.json').write_text(str(saves))
            (m.mnt / f'new{saves % 50}.json').write_text(str(saves))
    finally:
        stop.set()
        writer.join()
    soon(lambda: read(m.mnt / 'theirs.json') == f'{written[0]}\n', 'its last word')
    m.sync()
    now = saved(m)
    assert now['ours'] == ('int', saves) and now['theirs'] == ('int', written[0])
    assert read(m.mnt / 'ours.json') == str(saves)
    assert {now[f'new{i % 50}'] for i in range(max(1, saves - 49), saves + 1)} == \
        {('int', i) for i in range(max(1, saves - 49), saves + 1)}
    assert len(now['pad'][1]) == size
    assert bad_files(m) == [] and conflicts(m) == {}


# ---- replaced and removed ----

def test_replaced_by_rename(mount):
    m = mount('{:a 1 :b 1}', 'edn_delay=10')
    for n in range(2, 6):  # each is another inode, and watched in its turn
        write_by_rename(m.edn, '{:a %d :b %d}' % (1, n))
        soon(lambda n=n: read(m.mnt / 'b.json') == f'{n}\n', 'the change')
        write_in_place(m.edn, '{:a %d :b %d}' % (1, n * 100))
        soon(lambda n=n: read(m.mnt / 'b.json') == f'{n * 100}\n', 'the change in place')
        (m.mnt / 'a.json').write_text(str(n))
        m.sync()
        assert m.edn_text() == '{:a %d :b %d}' % (n, n * 100)
    assert conflicts(m) == {}


def test_moved_away_and_back(mount):
    m = mount('{%s}' % keys(20))
    away = m.edn.with_name('away')
    m.edn.rename(away)
    soon(m.edn.exists, 'memory.edn to be written again')
    assert len(names(m)) == len(saved(m)) == 20
    write_in_place(away, '{%s :late 1}' % keys(20))
    away.rename(m.edn)
    soon(lambda: read(m.mnt / 'late.json') == '1\n', 'the change')
    assert bad_files(m) == []


@pytest.mark.parametrize('down', [False, True])
def test_removed(mount, down):
    """Nobody deletes what is in a file by removing the file, be it much or little."""
    for count in (20, 8, 1):
        m = mount('{%s}' % keys(count))
        for i in range(count):
            (m.mnt / f'k{i}.json').write_text('"saved here"')
        m.sync()
        write_in_place(m.edn, m.edn_text() + '\n')  # from now on it is the other's
        m.sync()
        if down:
            m.unmount()
        m.edn.unlink()
        if down:
            m.mount()
        m.sync()
        assert len(names(m)) == count
        (m.mnt / 'k0.json').write_text('"ours"')
        m.sync()
        assert len(saved(m)) == count
        assert saved(m)['k0'] == ('str', 'ours')


# ---- writers that hold the file we replaced ----

@pytest.mark.parametrize('after_s', [0, 1, 3])
@pytest.mark.parametrize('pause_s', [0, 0.4])
def test_a_writer_of_the_replaced_file(mount, after_s, pause_s):
    """Opened before our rename, written after it, later even than we look without a writer."""
    m = mount('{:a 1 :b 1}', 'edn_delay=10')
    fd = os.open(m.edn, os.O_WRONLY)
    try:
        before = os.fstat(fd).st_ino
        (m.mnt / 'a.json').write_text('2')
        m.sync()
        assert m.edn.stat().st_ino != before
        time.sleep(after_s)
        os.ftruncate(fd, 0)
        time.sleep(pause_s)
        text = b'{:a 1 :b 7 :late {:x 1}}'
        os.write(fd, text[:10])
        time.sleep(pause_s)
        os.write(fd, text[10:])
    finally:
        os.close(fd)
    soon(lambda: read(m.mnt / 'b.json') == '7\n', 'what landed in the replaced file')
    assert json.loads(read(m.mnt / 'late.json')) == {'x': 1}
    m.sync()
    assert edn_reader.memory(m.edn_text()) == edn_reader.memory('{:a 2 :b 7 :late {:x 1}}')
    assert read(m.mnt / 'a.json') == '2'
    assert conflicts(m) == {} and bad_files(m) == []


def test_a_writer_of_a_file_replaced_twice(mount):
    m = mount('{:a 1 :b 1 :c 1}', 'edn_delay=10')
    held = []
    for n in (2, 3):
        held.append(os.open(m.edn, os.O_WRONLY))
        (m.mnt / 'a.json').write_text(str(n))
        m.sync()
    for fd, text in zip(held, (b'{:a 1 :b 2 :c 1}', b'{:a 2 :b 2 :c 2}')):
        os.ftruncate(fd, 0)
        os.write(fd, text)
        os.close(fd)
        soon(lambda text=text: read(m.mnt / 'b.json') == '2\n', 'what landed there')
    soon(lambda: read(m.mnt / 'c.json') == '2\n', 'what landed in the other')
    m.sync()
    assert m.edn_text() == '{:a 3 :b 2 :c 2}'
    assert conflicts(m) == {}


# ---- what size and time don't tell ----

@pytest.mark.parametrize('when', ['mounted', 'unmounted', 'killed'])
def test_same_size_and_time(mount, when):
    """As a rewrite within one tick of the clock leaves them."""
    m = mount('{:a 1 :b 1}')
    (m.mnt / 'a.json').write_text('2')
    m.sync()
    if when != 'mounted':
        (m.unmount if when == 'unmounted' else m.kill)()
    before = m.edn.stat()
    write_in_place(m.edn, '{:a 2 :b 3}')
    os.utime(m.edn, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = m.edn.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == \
        (before.st_size, before.st_mtime_ns, before.st_ino)
    if when != 'mounted':
        m.mount()
    soon(lambda: read(m.mnt / 'b.json') == '3\n', 'the change')
    (m.mnt / 'a.json').write_text('4')
    m.sync()
    assert m.edn_text() == '{:a 4 :b 3}'


def test_a_new_time_is_no_change(mount):
    m = mount('{:a 1 :b 1}')
    (m.mnt / 'a.json').write_text('2')
    m.sync()
    changes = health(m)['edn']['outside_changes']
    os.utime(m.edn)
    m.sync()
    write_by_rename(m.edn, m.edn_text())  # a backup that is put back: the very bytes
    m.sync()
    assert health(m)['edn']['outside_changes'] == changes
    assert m.edn_text() == '{:a 2 :b 1}'


# ---- symbolic links ----

@pytest.fixture
def linked(mount):
    """memory.edn is a link into another directory."""
    m = mount.prepare(None, ('edn_delay=10',))
    m.real = m.base / 'elsewhere' / 'memory.edn'
    m.real.parent.mkdir()
    m.real.write_text('{:a 1 :b 1}')
    m.edn.symlink_to('elsewhere/memory.edn')
    return m.mount()


def test_a_symbolic_link(linked):
    m = linked
    write_in_place(m.edn, '{:a 1 :b 2}')
    soon(lambda: read(m.mnt / 'b.json') == '2\n', 'a change through the link')
    (m.mnt / 'a.json').write_text('5')
    m.sync()
    assert m.edn.is_symlink() and m.real.read_text() == '{:a 5 :b 2}'
    write_by_rename(m.real, '{:a 5 :b 3}')
    soon(lambda: read(m.mnt / 'b.json') == '3\n', 'a change behind the link')
    write_in_place(m.real, '{:a')
    soon(lambda: bad_files(m) == ['{:a'], 'the broken file to be set aside')
    soon(lambda: m.real.exists() and m.real.read_text() == '{:a 5 :b 3}', 'the good state')
    assert m.edn.is_symlink()


def test_a_link_that_is_set_to_another_file(linked):
    m = linked
    other = m.base / 'other.edn'
    other.write_text('{:a 1 :b 9}')
    link = m.base / 'link'
    link.symlink_to('other.edn')
    m.unmount()  # it is followed once, at the mount
    link.rename(m.edn)
    m.mount()
    assert read(m.mnt / 'b.json') == '9\n'
    (m.mnt / 'a.json').write_text('7')
    m.sync()
    assert other.read_text() == '{:a 7 :b 9}' and m.real.read_text() == '{:a 1 :b 1}'


# ---- its text ----

BY_HAND = '''; my memory
{:a 1 ; one

 :b   {:x 1, :y [1,2]}   #_ :not-this
 #_[gone]
 :presence/s {"u" {:n 1} ; u
              "v" {:n 2}}}
; the end
'''


def test_comments_and_layout_stay(mount):
    """Of its text, all but the values that are put back or changed."""
    m = mount(BY_HAND)
    (m.mnt / 'a.json').write_text('2')
    (m.mnt / 'presence/s/u.json').write_text('"u"')
    m.sync()
    ours = BY_HAND.replace(':a 1', ':a 2').replace('{:n 1}', '"u"')
    assert m.edn_text() == ours
    theirs = BY_HAND.replace(':y [1,2]', ':y  [3]').replace('; u', '; their u').replace(
        '; the end', ' ; the new end')
    write_in_place(m.edn, theirs)
    m.sync()
    assert m.edn_text() == theirs.replace(':a 1', ':a 2').replace('{:n 1}', '"u"')
    assert json.loads(read(m.mnt / 'b.json')) == {'x': 1, 'y': [3]}


def test_what_was_adopted_survives_a_kill(mount):
    m = mount('{:a 1 :b 1}', 'edn_delay=60000')
    (m.mnt / 'a.json').write_text('2')
    write_in_place(m.edn, '{:a 1 :b 2 :c 3}')
    soon(lambda: read(m.mnt / 'c.json') == '3\n', 'the change')
    m.kill()
    m.mount()
    assert [read(m.mnt / f'{name}.json') for name in 'abc'] == ['2', '2\n', '3\n']
    m.sync()
    assert edn_reader.memory(m.edn_text()) == edn_reader.memory('{:a 2 :b 2 :c 3}')
    assert conflicts(m) == {}


# ---- in the instant of our own rename ----

@pytest.fixture
def about_to_rename(laggard):
    """A mount that has looked at memory.edn for the last time before it replaces it, and what makes it go on."""
    m, late = laggard
    hold = late.with_name(f'{late.name}.renameat2')

    def make(removed=False):
        hold.touch()
        if removed:
            m.edn.unlink()
        (m.mnt / 'ours.json').write_text('1')
        soon(late.with_name(f'{late.name}.waits').exists, 'the rename')
        return m, hold.unlink
    yield make
    hold.unlink(missing_ok=True)


@pytest.mark.preload
@pytest.mark.parametrize('removed', [False, True])
@pytest.mark.parametrize('write', [write_by_rename, write_in_place])
def test_a_file_that_comes_in_the_instant_of_our_rename(about_to_rename, removed, write):
    m, go_on = about_to_rename(removed)
    write(m.edn, '{:theirs 2}')
    go_on()
    soon(lambda: read(m.mnt / 'theirs.json') == '2\n', 'theirs')
    m.sync()
    assert saved(m) == {'ours': ('int', 1), 'theirs': ('int', 2)}
    assert [path.name for path in m.edn.parent.iterdir() if 'ourofs-' in path.name] == []


@pytest.mark.preload
def test_what_is_no_file_comes_in_the_instant_of_our_rename(about_to_rename):
    m, go_on = about_to_rename()
    m.edn.unlink()
    m.edn.mkdir()
    go_on()
    soon(lambda: health(m)['status'] == 'degraded', 'bad health')
    assert m.edn.is_dir()
    m.edn.rmdir()
    m.sync()
    assert saved(m) == {'ours': ('int', 1)}
    assert [path.name for path in m.edn.parent.iterdir() if 'ourofs-' in path.name] == []
