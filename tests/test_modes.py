# SPDX-License-Identifier: MIT
"""The four modes on a mount: where reads come from, what writes change, and every switch between them."""
import errno
import itertools
import os
import random
import threading

import pytest

import callpoint
from modes_driver import Writers, compare_eav, crash, in_edn, in_eav, in_mount, look, mode_of, \
    remount, source, switch, work
from outside import conflicts, health
from rival import write_in_place

MODES = ('edn-only', 'dual-write', 'datalevin-first', 'datalevin-only')
SWITCHES = list(itertools.permutations(MODES, 2))
TEXT = '''{:config {:a 1} ; of the house
 :gone "old" :seen 3 :notes/x [1 2] :presence/s1 {"alice" {:b 2} "bob" 5} :presence/bare {}}'''


def begin(mount, mode, text=TEXT, delay=5):
    """A mount in that mode, entered from the beginning."""
    return mount(text, f'mode={mode}', 'force', f'edn_delay={delay}')


def refuse(m, word, code):
    """The switch fails; its line of /.errors."""
    before, edn = mode_of(m), m.edn.read_bytes()
    with pytest.raises(OSError) as caught:
        (m.mnt / '.mode').write_text(word)
    assert caught.value.errno == code
    assert mode_of(m) == before and m.edn.read_bytes() == edn
    return (m.mnt / '.errors').read_text().splitlines()[-1]


# ---- the table ----

@pytest.mark.parametrize('mode', MODES)
def test_reads_come_from(mount, mode):
    m = begin(mount, mode)
    assert mode_of(m) == mode and health(m)['mode'] == mode
    first = source(m, 'config.json')
    (m.mnt / 'config.json').write_text('{"a": 2}')
    assert source(m, 'config.json') in ('overlay', 'edn' if mode in MODES[:2] else 'eav')
    m.sync()
    assert first == {'datalevin-only': 'eav'}.get(mode, 'edn')  # of three it was never brought to EAV
    for path in ('notes/x.json', 'presence/s1/alice.json'):
        assert source(m, path) == first
    assert source(m, 'config.json') == ('edn' if mode in MODES[:2] else 'eav')


@pytest.mark.parametrize('mode', MODES)
def test_writes_change(mount, mode):
    m = begin(mount, mode)
    m.sync()
    before = m.edn.read_bytes()
    work(m, 'one')
    (m.mnt / 'gone.json').unlink()
    (m.mnt / 'presence/s1/bob.json').unlink()
    (m.mnt / 'seen.json').rename(m.mnt / 'was-seen.json')
    m.sync()
    seen = look(m)
    if mode == 'datalevin-only':
        assert m.edn.read_bytes() == before
    else:
        assert in_edn(m) == in_mount(m)
    m.unmount()
    if mode == 'edn-only':
        assert not (m.store / 'data.mdb').exists()
        return
    compare_eav(m, seen, whole=mode == 'datalevin-only')
    written = in_eav(m.store)
    assert {'config.json', 'one.json', 'presence/one/ann.json', 'presence/one/dan.json',
            'notes/one/y.json', 'was-seen.json'} <= written.keys()


# ---- every switch ----

@pytest.mark.parametrize('new', MODES[:3])
@pytest.mark.parametrize('ways', ['', 'unmount', 'kill'])
def test_layout_of_memory_edn_stays(mount, new, ways):
    """Comments and order survive a time in which the file was left alone."""
    m = begin(mount, 'datalevin-only')
    (m.mnt / 'gone.json').write_text('"new"')
    m.sync()
    if ways:
        getattr(m, ways)()
        m.options = ('edn_delay=5',)
        m.mount()
    switch(m, new)
    if ways == 'kill':
        crash(m)
    (m.mnt / 'seen.json').write_text('4')
    m.sync()
    assert m.edn_text() == TEXT.replace('"old"', '"new"').replace(':seen 3', ':seen 4')


@pytest.mark.parametrize('old,new', SWITCHES)
def test_switch_keeps_all(mount, old, new):
    m = begin(mount, old)
    work(m, 'one')
    (m.mnt / 'gone.json').unlink()
    (m.mnt / 'presence/s1/bob.json').unlink()
    (m.mnt / 'presence/bare').rmdir()
    seen = look(m)
    switch(m, new)
    assert look(m) == seen
    if new != 'datalevin-only':
        m.sync()
        assert in_edn(m) == in_mount(m)
    work(m, 'two')
    (m.mnt / 'one.json').unlink()
    seen = look(m)
    crash(m)
    assert mode_of(m) == new and look(m) == seen
    m.unmount()
    if new != 'edn-only':
        compare_eav(m, seen, whole='datalevin-only' in (old, new) or old == 'edn-only')
    m.mount()
    assert mode_of(m) == new and look(m) == seen
    switch(m, old)
    assert look(m) == seen
    work(m, 'three')
    seen = look(m)
    if old != 'datalevin-only':
        m.sync()
        assert in_edn(m) == in_mount(m)
    remount(m)
    assert mode_of(m) == old and look(m) == seen


@pytest.mark.parametrize('other', MODES[1:])
def test_same_value_in_other_bytes(mount, other):
    """While one store was left alone: value and hash are as they were there, bytes, mode and time are not."""
    m = begin(mount, other)
    for name in ('a', 'b', 'c', 'd'):
        (m.mnt / f'{name}.json').write_text('{"v": 1}')
    m.sync()
    switch(m, 'edn-only')
    (m.mnt / 'a.json').write_text('{"v":\n1}\n')
    (m.mnt / 'b.json').chmod(0o600)
    os.utime(m.mnt / 'c.json', ns=(0, 10**18))
    (m.mnt / 'd.json').rename(m.mnt / 'other.json')
    (m.mnt / 'other.json').rename(m.mnt / 'd.json')
    (m.mnt / 'a.json').rename(m.mnt / 'e.json')
    (m.mnt / 'e.json').rename(m.mnt / 'a.json')
    m.sync()
    seen = look(m)
    for mode in (other, 'edn-only', 'datalevin-only', 'datalevin-first'):
        switch(m, mode)
        assert look(m) == seen, mode
    remount(m)
    assert look(m) == seen
    m.unmount()
    compare_eav(m, seen, whole=True)


@pytest.mark.parametrize('seed', range(2))
def test_deleted_stays_deleted(mount, seed):
    """Through any switch, remount and kill."""
    rng = random.Random(seed)
    m = begin(mount, 'datalevin-first')
    switch(m, 'datalevin-only')  # all of it is in both
    gone = set()
    for number in range(10):
        for name in (f'k{number}.json', f'presence/s{number}/x.json', f'presence/t{number}/x.json'):
            (m.mnt / name).parent.mkdir(exist_ok=True)
            (m.mnt / name).write_text(f'[{number}]')
    mode = 'datalevin-only'
    for number in range(10):
        if rng.random() < 0.5:
            m.sync()
        (m.mnt / f'k{number}.json').unlink()
        (m.mnt / f'presence/s{number}/x.json').unlink()
        (m.mnt / f'presence/t{number}/x.json').unlink()
        (m.mnt / f'presence/t{number}').rmdir()
        gone |= {f'k{number}.json', f'presence/s{number}/x.json', f'presence/t{number}'}
        mode = rng.choice([other for other in MODES if other != mode])
        [lambda: None, lambda: remount(m), lambda: crash(m)][rng.randrange(3)]()
        switch(m, mode)
        [lambda: None, lambda: remount(m), lambda: crash(m)][rng.randrange(3)]()
        assert not gone & look(m).keys(), (number, mode)
        if mode != 'datalevin-only':
            m.sync()
            assert in_edn(m) == in_mount(m)


# ---- memory.edn is written while it is left alone ----

@pytest.mark.parametrize('new', MODES[:3])
@pytest.mark.parametrize('down', ['', 'unmount', 'kill'])
def test_written_by_others_meanwhile(mount, new, down):
    m = begin(mount, 'datalevin-only', '{:theirs 1 :stale 1 :both 1 :deleted 1 :alone 1 :cut 1 '
              ':cut-and-changed 1 :presence/s1 {"x" 1 "y" 1}}')
    (m.mnt / 'stale.json').write_text('2')
    (m.mnt / 'both.json').write_text('2')
    (m.mnt / 'deleted.json').unlink()
    (m.mnt / 'presence/s1/y.json').write_text('2')
    (m.mnt / 'presence/s2').mkdir()
    (m.mnt / 'presence/s2/z.json').write_text('2')
    (m.mnt / 'cut-and-changed.json').write_text('2')
    m.sync()
    if down:
        getattr(m, down)()
    write_in_place(m.edn, '{:theirs 3 :stale 1 :both 3 :deleted 1 :alone 1 :new 3 '
                   ':presence/s1 {"x" 3 "y" 1 "w" 3} :presence/s3 {"v" 3}}')
    if down:
        m.options = ('edn_delay=5',)
        m.mount()
    assert (m.mnt / 'theirs.json').read_text() == '1\n'
    assert not (m.mnt / 'new.json').exists()
    switch(m, new)
    m.sync()
    expected = {'theirs': 3, 'stale': 2, 'both': 2, 'alone': 1, 'new': 3, 'cut-and-changed': 2}
    members = {'s1': {'x': 3, 'y': 2, 'w': 3}, 's2': {'z': 2}, 's3': {'v': 3}}
    shown = {path: int(file.content) for path, file in look(m).items() if path.endswith('.json')}
    assert shown == {**{f'{key}.json': n for key, n in expected.items()},
                     **{f'presence/{session}/{member}.json': n for session, all_of in members.items()
                        for member, n in all_of.items()}}
    assert in_edn(m) == in_mount(m)
    assert {path: text.strip() for path, text in conflicts(m).items()} == {'both.json': '3'}
    remount(m)
    assert {path: int(file.content) for path, file in look(m).items() if path.endswith('.json')} == shown
    switch(m, 'edn-only' if new != 'edn-only' else 'datalevin-first')
    assert {path: int(file.content) for path, file in look(m).items() if path.endswith('.json')} == shown


@pytest.mark.parametrize('new', MODES[:3])
@pytest.mark.parametrize('others', [False, True])
def test_changed_often_meanwhile(mount, new, others):
    """More often than is remembered, at last to what it was when the other writer wrote."""
    m = begin(mount, 'dual-write', '{:a 1 :b 1}')
    (m.mnt / 'a.json').write_text('2')
    (m.mnt / 'b.json').write_text('2')
    (m.mnt / 'c.json').write_text('2')
    (m.mnt / 'd.json').write_text('2')
    m.sync()
    switch(m, 'datalevin-only')
    for number in range(3, 30):
        for name in 'abcd':
            (m.mnt / f'{name}.json').write_text(str(number))
    (m.mnt / 'a.json').write_text('1')
    (m.mnt / 'c.json').unlink()
    seen = look(m)
    if others:
        write_in_place(m.edn, m.edn_text().rstrip().removesuffix('}') + ' :e 1}')
    switch(m, new)
    if others:
        assert (m.mnt / 'e.json').read_text() == '1\n'
        (m.mnt / 'e.json').unlink()
    assert look(m) == seen and not conflicts(m)
    m.sync()
    assert in_edn(m) == in_mount(m)


def test_others_delete_memory_edn_meanwhile(mount):
    """A file that is missing lacks everything: it is not taken for a deletion of all."""
    m = begin(mount, 'datalevin-only', '{%s}' % ' '.join(f':k{n} {n}' for n in range(20)))
    m.edn.unlink()
    switch(m, 'dual-write')
    m.sync()
    assert len(look(m)) == 20 and in_edn(m) == in_mount(m)


# ---- refused ----

def test_refused(mount):
    m = begin(mount, 'edn-only')
    assert 'edn-only' in refuse(m, 'datalevin-only', errno.EBUSY)
    for word in ('bogus', 'force', '\n', 'DUAL-WRITE', 'edn-only dual-write', '\0', 'x' * 5000):
        refuse(m, word, errno.EINVAL)
    switch(m, 'dual-write')  # which brings all of it to the EAV store
    (m.mnt / '.mode').write_text(':datalevin-only \n')
    assert mode_of(m) == 'datalevin-only'


@pytest.mark.parametrize('mode', ['dual-write', 'datalevin-first'])
def test_not_migrated(mount, mode):
    m = begin(mount, mode)
    line = refuse(m, 'datalevin-only', errno.EBUSY)
    assert 'force datalevin-only' in line and 'entities are' in line
    (m.mnt / '.mode').write_text('force datalevin-only')
    assert mode_of(m) == 'datalevin-only'
    seen = look(m)
    m.unmount()
    compare_eav(m, seen, whole=True)


def test_one_is_not_migrated(mount):
    m = begin(mount, 'dual-write', '{:a 1}')
    assert '1 entity is' in refuse(m, 'datalevin-only', errno.EBUSY)
    (m.mnt / 'a.json').write_text('2')
    (m.mnt / '.mode').write_text('datalevin-only')
    assert mode_of(m) == 'datalevin-only' and source(m, 'a.json') == 'eav'


# ---- -o mode ----

@pytest.mark.parametrize('old,new', SWITCHES)
def test_mode_of_a_mount(mount, old, new):
    """-o mode= is a switch as any other; without it the mode is as it was."""
    m = begin(mount, old)
    work(m, 'one')
    seen = look(m)
    m.remount(f'mode={new}', 'force', 'edn_delay=5')
    assert mode_of(m) == new and look(m) == seen
    crash(m)
    assert mode_of(m) == new and look(m) == seen


def test_mode_of_a_mount_refused(mount):
    m = begin(mount, 'dual-write')
    m.unmount()
    m.options = ('mode=datalevin-only',)
    m.spawn()
    assert m.wait_exit() != 0
    assert 'force' in m.stderr()
    m.expect_stderr('.')
    m.options = ()
    m.mount()
    assert mode_of(m) == 'dual-write'


@pytest.mark.parametrize('mode', MODES)
def test_read_only(mount, mode):
    """Also over what only the journal holds."""
    m = begin(mount, mode, delay=3_600_000)
    work(m, 'one')
    seen = look(m)
    m.kill()
    for _ in range(2):
        m.options = ('ro',)
        m.mount()
        assert mode_of(m) == mode
        assert {path: file._replace(mode=0) for path, file in look(m).items()} == {
            path: file._replace(mode=0) for path, file in seen.items()}
        with pytest.raises(OSError) as caught:
            (m.mnt / '.mode').write_text(MODES[0])
        assert caught.value.errno == errno.EROFS
        remount(m)
        m.unmount()


# ---- all at once ----

def test_switches_while_others_write(mount):
    m = begin(mount, 'datalevin-first', '{}')
    with Writers(m) as writers:
        for mode in ('edn-only', 'dual-write', 'datalevin-only', 'edn-only', 'datalevin-only',
                     'datalevin-first', 'datalevin-only', 'dual-write', 'edn-only', 'datalevin-first'):
            switch(m, mode)
    writers.compare()
    m.sync()
    assert in_edn(m) == in_mount(m)
    switch(m, 'datalevin-only')
    writers.compare()
    seen = look(m)
    m.unmount()
    compare_eav(m, seen, whole=True)


def test_two_switches_at_once(mount):
    m = begin(mount, 'datalevin-first')
    work(m, 'one')
    seen = look(m)
    wrong = []

    def switch_often(words):
        for word in words * 4:
            try:
                (m.mnt / '.mode').write_text(word)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    wrong.append(error)
    threads = [threading.Thread(target=switch_often, args=(words,)) for words in (
        ['edn-only', 'datalevin-first'], ['force datalevin-only', 'dual-write'], ['datalevin-only'])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and mode_of(m) in MODES and look(m) == seen
    crash(m)
    assert look(m) == seen


# ---- kills ----

@pytest.mark.parametrize('seed', range(2))
def test_killed_amid_switches(mount, seed):
    """The old mode or the new one, and everything that was acknowledged."""
    rng = random.Random(seed)
    m = begin(mount, 'datalevin-first', '{}')
    for _ in range(6):
        before = mode_of(m)
        mode = rng.choice([other for other in MODES if other != before])
        writers = Writers(m, 2)
        with writers:
            thread = threading.Thread(target=outcome, args=(m, mode))
            threading.Event().wait(rng.uniform(0, 0.03))
            thread.start()
            threading.Event().wait(rng.uniform(0, 0.03))
            writers.killed = True
            m.proc.kill()
            m.wait_exit()
            thread.join()
            writers.end()
        crash(m)
        assert mode_of(m) in (before, mode)
        writers.compare()
        for path in look(m):
            if path.endswith('.json'):
                (m.mnt / path).unlink()


def outcome(m, mode):
    try:
        switch(m, mode)
    except OSError:
        pass


@pytest.mark.preload
@pytest.mark.parametrize('old,new', SWITCHES)
def test_killed_at_each_step(mount, build_dir, old, new):
    """At a few of the calls that a switch changes the disk by (callpoint.h)."""
    m = begin(mount, old)
    counts, start = m.base / 'killpoints', m.base / 'begin'
    work(m, 'one')
    seen = look(m)
    point, last = 0, None
    while last is None or point <= last:
        m.unmount()
        for path in (counts, start):
            path.unlink(missing_ok=True)
        m.options = ('edn_delay=5',)
        m.env = callpoint.environment(build_dir, counts, point, ('before', 'after')[point % 2], start=start)
        m.mount()
        m.sync()
        start.touch()
        outcome(m, new)
        if point == 0:
            last = callpoint.count(counts)
            m.env = None
            crash(m)
            assert mode_of(m) == new
        else:
            m.proc.kill()  # where there were fewer calls than at first
            m.env = None
            crash(m)
        assert mode_of(m) in (old, new) and look(m) == seen, point
        switch(m, old)
        assert look(m) == seen, point
        m.sync()
        point += 1 + last // 3
