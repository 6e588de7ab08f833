# SPDX-License-Identifier: MIT
"""Others leave memory.edn cut, broken or emptied: what was served stays served, and nothing is lost."""
import os
import re
import stat
import threading
import time

import pytest

from outside import Watch, bad_files, conflicts, health, keys, names, read, saved, soon
from rival import write_in_place

SETTLE_S = 2  # a file is broken when no byte of it changed for so long


# ---- writers that lack most of it ----

def test_a_rival_that_starts_empty(mount, rival):
    m = mount('{%s}' % keys(20))
    rival.open(m.edn)
    (m.mnt / 'ours.json').write_text('1')
    rival.wipe()
    rival.save_now()
    wiped = m.edn_text()
    m.sync()
    everything = sorted([f'k{i}.json' for i in range(20)] + ['ours.json', 'learning'])
    assert names(m) == everything
    assert len(rival.read(m.edn)) == 22
    assert bad_files(m) == [wiped]
    assert health(m)['status'] == 'degraded' and 'bad-' in ' '.join(health(m)['reasons'])
    assert conflicts(m) == {}
    # From now on that file is what it wrote last: what it lacks is stale, what it adds is adopted.
    rival.put(':k3', '"new"')
    rival.put_member(':learning/tag-index', '"two words"', '#{"id"}')
    rival.save_now()
    m.sync()
    assert names(m) == everything
    assert read(m.mnt / 'k3.json') == '3\n' and list(conflicts(m)) == ['k3.json']
    assert os.listdir(m.mnt / 'learning/tag-index') == ['two words.json']
    assert len(bad_files(m)) == 1
    m.remount()
    assert names(m) == everything


@pytest.mark.parametrize('down', ['unmounted', 'killed'])
def test_a_file_emptied_while_nobody_looks(mount, down):
    """What was saved here is put back; of the rest no copy exists."""
    m = mount('{%s}' % keys(20))
    for i in range(20):
        (m.mnt / f'k{i}.json').write_text('"ours"')
    m.sync()
    (m.unmount if down == 'unmounted' else m.kill)()
    write_in_place(m.edn, '#:learning{:tag-index {}}')
    m.mount()
    m.sync()
    assert names(m) == sorted([f'k{i}.json' for i in range(20)] + ['learning'])
    assert {read(m.mnt / f'k{i}.json') for i in range(20)} == {'"ours"'}
    assert bad_files(m) == ['#:learning{:tag-index {}}']


@pytest.mark.parametrize('down', ['unmounted', 'killed'])
def test_a_file_emptied_while_the_eav_store_has_it_all(mount, down):
    m = mount('{%s :presence/s {"ada" {:user/name "Ada"}}}' % keys(20))
    for mode in ('edn-only', 'datalevin-first'):
        (m.mnt / '.mode').write_text(mode)
    m.sync()
    (m.mnt / 'k3.json').unlink()
    (m.mnt / 'k4.json').write_text('"ours"')
    (m.unmount if down == 'unmounted' else m.kill)()
    write_in_place(m.edn, '{:k5 "theirs" :new 1}')
    m.mount()
    m.sync()
    everything = {f'k{i}.json' for i in range(20) if i != 3} | {'new.json', 'presence'}
    assert names(m) == sorted(everything)
    assert [read(m.mnt / f'k{i}.json') for i in (4, 5, 6)] == ['"ours"', '"theirs"\n', '6\n']
    assert os.listdir(m.mnt / 'presence/s') == ['ada.json']
    assert len(saved(m)) == len(everything)
    assert bad_files(m) == ['{:k5 "theirs" :new 1}']
    assert health(m)['eav']['state'] == 'ready' and conflicts(m) == {}
    m.remount()
    assert names(m) == sorted(everything)


@pytest.mark.parametrize('count, lacking, adopted', [
    (8, 8, True), (9, 9, False), (20, 10, True), (20, 11, False), (100, 50, True), (100, 51, False)])
def test_how_much_may_be_deleted_at_once(mount, count, lacking, adopted):
    """More than half and more than 8: that is no deletion."""
    m = mount('{%s}' % keys(count))
    write_in_place(m.edn, '{%s}' % keys(count, first=lacking))
    m.sync()
    assert len(names(m)) == (count - lacking if adopted else count)
    assert len(saved(m)) == len(names(m))
    assert len(bad_files(m)) == (0 if adopted else 1)


def test_what_we_deleted_is_not_lacking(mount, rival):
    """Nor do keys of ours that it never knew count: only what its last file held."""
    m = mount('{%s}' % keys(20))
    rival.open(m.edn)
    for i in range(30):
        (m.mnt / f'ours{i}.json').write_text('1')
    m.sync()
    for i in range(3):
        rival.remove(f':k{i}')
    rival.save_now()
    m.sync()
    assert len(names(m)) == len(saved(m)) == 47
    assert bad_files(m) == []


# ---- half-written and broken files ----

@pytest.mark.parametrize('save', [False, True])
def test_a_half_written_file_is_never_served(mount, save):
    """Empty for 0.25 s, cut for as long twice, then whole, while a save of ours may be due."""
    m = mount('{:b 1, %s}' % keys(300), 'edn_delay=10')
    whole = '{:b 2, %s, :new 1}' % keys(300)
    allowed = {'k1.json': ['1\n'], 'k299.json': ['299\n'], 'b.json': ['1\n', '2\n'],
               'new.json': [None, '1\n'], 'ours.json': [None, '', '5']}  # a new file is empty at first
    with Watch(m, allowed):
        writer = threading.Thread(target=write_in_place,
                                  args=(m.edn, whole, len(whole) * 2 // 3, 0.25))
        writer.start()
        if save:
            (m.mnt / 'ours.json').write_text('5')
        writer.join()
        m.sync()
        assert read(m.mnt / 'b.json') == '2\n' and read(m.mnt / 'new.json') == '1\n'
    assert bad_files(m) == [] and conflicts(m) == {}
    assert len(saved(m)) == 302 + save


@pytest.mark.parametrize('text', ['{:a 1 :b', '', 'no map', '{:a 1 :a 2}', '{:a #foo}'])
def test_a_broken_file_is_set_aside(mount, text):
    m = mount('{:a 1 :b 2}', 'edn_delay=10')
    with Watch(m, {'a.json': ['1\n'], 'b.json': ['2\n']}):
        write_in_place(m.edn, text)
        start = time.monotonic()
        soon(lambda: bad_files(m) == [text], 'the broken file to be set aside')
        assert time.monotonic() - start > SETTLE_S * 0.8
        soon(lambda: m.edn.exists() and m.edn_text() == '{:a 1 :b 2}', 'the good state')
    (m.mnt / 'a.json').write_text('3')
    m.sync()
    assert m.edn_text() == '{:a 3 :b 2}'


def test_what_was_broken_is_told(mount):
    """Where, why, and what it is called now; in the log not why, which may name a key."""
    m = mount('{:a 1 :b 2}', 'edn_delay=10', 'loglevel=warning')
    m.expect_stderr('broken at 2:1: set aside as')
    write_in_place(m.edn, '{:a 1\n:a 2}')
    soon(lambda: read(m.mnt / '.errors'), 'a line in .errors')
    name = next(m.base.glob('memory.edn.bad-*')).name
    line = f'memory.edn was changed by another writer: broken at 2:1: set aside as {name}'
    assert read(m.mnt / '.errors').endswith(f' {line}\n')
    soon(lambda: f'ourofs: {line}\n' in m.stderr(), 'it in the log')
    cause, = health(m)['causes']
    assert cause['cause'] == 'edn-set-aside'
    assert re.search(rf'broken: it is kept beside as {name}: 2:1: .*:a$', cause['detail'])


@pytest.mark.parametrize('removed', [False, True])
def test_what_lacked_most_is_told(mount, removed):
    m = mount('{' + ' '.join(f':k{number} 1' for number in range(30)) + '}', 'edn_delay=10')
    if removed:
        m.edn.unlink()
    else:
        write_in_place(m.edn, '{:k1 1}')
    soon(lambda: read(m.mnt / '.errors'), 'a line in .errors')
    names = [path.name for path in m.base.glob('memory.edn.bad-*')]
    if removed:
        assert read(m.mnt / '.errors').endswith(' was removed: written again\n') and not names
        soon(m.edn.exists, 'it to be written again')
    else:
        cause, = health(m)['causes']
        assert read(m.mnt / '.errors').endswith(f' lacked most: set aside as {names[0]}\n')
        assert cause['detail'] == f'another writer left most of memory.edn out: it is kept beside as {names[0]}'
        (m.base / names[0]).unlink()  # someone saw to it
    assert health(m)['status'] == 'healthy'


@pytest.mark.parametrize('removed', [False, True])
def test_whose_it_was_it_stays(mount, removed):
    """Also where there is no file any more from which to tell: who else reads it can go on."""
    m = mount.prepare('{:a 1}', ('edn_delay=10',))
    os.chown(m.edn, 12, 34)
    m.edn.chmod(0o640)
    m.mount()
    if removed:
        m.edn.unlink()
    else:
        write_in_place(m.edn, '{:a 1 :b')
    soon(lambda: m.edn.exists() and m.edn_text().strip() == '{:a 1}', 'the good state')
    st = m.edn.stat()
    assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (12, 34, 0o640)


def test_waiting_for_a_writer_is_no_work(mount):
    """Rewriting takes a tenth of the time; what it waited for a broken file to change does not count."""
    m = mount('{:a 1 :b 2}', 'edn_delay=10')
    start = time.monotonic()
    write_in_place(m.edn, '{:a 1 :b')
    soon(lambda: bad_files(m) and m.edn.exists() and m.edn_text() == '{:a 1 :b 2}', 'the good state')
    waited = time.monotonic() - start
    start = time.monotonic()
    write_in_place(m.edn, '{:a 1 :b 3}')
    soon(lambda: read(m.mnt / 'b.json') == '3\n', 'the change')
    assert waited > SETTLE_S * 0.8 and time.monotonic() - start < 4 * waited


def test_a_slow_writer_is_waited_for(mount):
    """Longer than a broken file is, but never that long without a byte."""
    m = mount('{:a 1 :b 2}', 'edn_delay=10')
    whole = '{:a 1 :b 22222}'
    with Watch(m, {'a.json': ['1\n'], 'b.json': ['2\n', '22222\n']}):
        write_in_place(m.edn, whole, piece=3, pause_s=0.6)
        soon(lambda: read(m.mnt / 'b.json') == '22222\n', 'the change')
    assert bad_files(m) == []


def test_a_broken_file_at_the_mount_is_an_error(mount):
    status, stderr = mount.refused('{:a 1\n :b')
    assert status == 1 and re.search(r'\b2:\d+: ', stderr)


@pytest.mark.parametrize('mode', ['datalevin-first', 'edn-only'])
def test_what_is_written_after_a_removed_file_came_back(mount, mode):
    """Nobody wrote that it lacks anything: who changes a value goes against nothing, and an old copy is one as before."""
    m = mount('{:a 1 :b 1 %s}' % keys(30), f'mode={mode}')
    (m.mnt / 'b.json').write_text('2')
    m.sync()
    for n in (4, 5):
        m.edn.unlink()
        soon(lambda: m.edn.exists() and 'k29' in saved(m), 'the file to be back')
        write_in_place(m.edn, '{:a %d :b 1 %s}' % (n, keys(30)))
        soon(lambda n=n: read(m.mnt / 'a.json') == f'{n}\n', 'the change')
        m.sync()
        assert read(m.mnt / 'b.json') == '2' and conflicts(m) == {}
        assert saved(m)['a'] == ('int', n) and saved(m)['b'] == ('int', 2)
    m.remount()
    assert read(m.mnt / 'a.json') == '5\n' and read(m.mnt / 'b.json') == '2' and conflicts(m) == {}
