# SPDX-License-Identifier: MIT
"""Migration in the background: what /.migrate says and takes, that it goes on, and that it never overtakes a save."""
import errno
import json
import os
import pathlib

import pytest

from conftest import LOOKS_INSIDE, fill_disk, status_kb, wait_until
from eav_store import documents
from modes_driver import Writers, mode_of, source, switch

TEXT = '''{:config {:a 1} :presence/s1 {"ann" {:b 2} "ben" 5} :collab-session/c1 {:x 1} :ops/s1 [1 2]
 :projects/ada {"ada/p" {:project/name "p"}} :ada/water-1-a {:learning/id "ada/water-1-a" :learning/title "w"}
 :review/ada/water-1 {:level 1} :learning/index {:ada ["ada/water-1-a"]} "text" nil}'''
SESSIONS = {'presence/s1/ann.json', 'presence/s1/ben.json', 'collab-session/c1.json', 'ops/s1.json'}
PROJECTS = {'projects/ada/ada%2Fp.json'}
LEARNINGS = {'ada/water-1-a.json', 'review/ada/water-1.json', 'learning/index/ada.json'}
REST = {'config.json', "'text.json"}
FIRST = ('presence', 'session', 'operations', 'builder-session', 'session-snapshot', 'comment', 'version')


def progress(m):
    return json.loads((m.mnt / '.migrate').read_text())


def migrate(m, word):
    (m.mnt / '.migrate').write_text(word)


def ended(m):
    """Waits for the end; what was seen on the way never goes back."""
    seen = [progress(m)]

    def over():
        seen.append(progress(m))
        return seen[-1]['state'] not in ('running', 'paused')
    wait_until(over, 'the migration to end')
    for one, other in zip(seen, seen[1:]):
        assert one['done'] <= other['done'] and one['failed'] <= other['failed']
        assert other['done'] + other['failed'] <= other['total']
    return seen[-1]


def refused(m, word, code):
    with pytest.raises(OSError) as caught:
        migrate(m, word)
    assert caught.value.errno == code
    return (m.mnt / '.errors').read_text().splitlines()[-1]


def migrated(m):
    """The paths that are served by the EAV store."""
    m.sync()
    paths = [path.relative_to(m.mnt).as_posix() for path in m.mnt.rglob('*.json')]
    return {path for path in paths if source(m, path) == 'eav'}


def files(m):
    """By the key as the mount tells it: the bytes of every document."""
    return {os.getxattr(path, 'user.ourofs.key'): path.read_bytes() for path in m.mnt.rglob('*.json')}


def check_eav(m, seen):
    """After the unmount: the EAV store, as a reader of its own sees it, has what files() saw, and only that."""
    found = {b'[%s %s]' % id_ if id_[1] is not None else id_[0]: record.bytes
             for id_, record in documents(m.store).items() if not record.collection}
    assert found == seen


# ---- words ----

@pytest.mark.parametrize('word, expected', [
    ('all', SESSIONS | PROJECTS | LEARNINGS | REST), ('sessions\n', SESSIONS), ('projects', PROJECTS),
    (' learnings ', LEARNINGS), (':config', {'config.json'}), ('"text"', {"'text.json"}),
    (':presence/s1', {'presence/s1/ann.json', 'presence/s1/ben.json'})])
def test_words(mount, word, expected):
    m = mount(TEXT)
    assert progress(m)['state'] == 'idle' and not migrated(m)
    migrate(m, word)
    end = ended(m)
    assert end['state'] == 'done' and end['what'] == word.strip() and end['error'] is None
    assert end['done'] == end['total'] == sum(row['done'] for row in end['types'].values())
    assert (end['failed'], end['failures'], end['skipped']) == (0, [], 0)
    assert end['started'] and end['ended']
    assert migrated(m) == expected
    migrate(m, word)
    end = ended(m)
    assert end['state'] == 'done' and end['skipped'] == end['done'] == end['total']


@pytest.mark.parametrize('word', ['\n', 'everything', ':gone', ':bad key', '"half', ':a :b', 'al\0l', 'pause',
                                  'resume', 'stop', ':' + 'k' * 600, 'x' * 100_000])
def test_bad_words(mount, word):
    m = mount(TEXT)
    assert '.migrate' in refused(m, word, errno.EINVAL)
    assert progress(m)['state'] == 'idle' and not migrated(m)


def test_where_no_eav_store_is_written(mount):
    m = mount(TEXT, 'mode=edn-only')
    assert 'edn-only' in refused(m, 'all', errno.EBUSY)
    m.remount('ro')
    with pytest.raises(OSError) as caught:
        migrate(m, 'all')
    assert caught.value.errno == errno.EROFS
    assert progress(m)['state'] == 'idle'


def test_all_of_it_lets_datalevin_only_in(mount):
    m = mount(TEXT)
    with pytest.raises(OSError):
        (m.mnt / '.mode').write_text('datalevin-only')
    migrate(m, 'all')
    ended(m)
    (m.mnt / '.mode').write_text('datalevin-only')
    assert mode_of(m) == 'datalevin-only'
    seen = files(m)
    m.unmount()
    check_eav(m, seen)


# ---- the way there ----

def test_sessions_come_first(mount, many):
    m = mount(many)
    migrate(m, 'all')
    partial = 0
    while (now := progress(m))['state'] == 'running':
        behind = [row for name, row in now['types'].items() if name in FIRST and row['done'] < row['total']]
        ahead = [name for name in ('cache', 'webhook', 'embed-token', 'notifications')
                 if now['types'].get(name, {}).get('done')]
        assert not (behind and ahead)
        partial += 0 < now['done'] < now['total']
    assert now['state'] == 'done' and now['done'] == now['total'] and partial


def begin_paused(m):
    """It may have ended before it is told to pause; then the next one does."""
    while True:
        migrate(m, 'all')
        try:
            return migrate(m, 'pause')
        except OSError as error:
            assert error.errno == errno.EINVAL and progress(m)['state'] == 'done'


def test_pause_resume_stop(mount, many):
    m = mount(many)
    begin_paused(m)
    assert progress(m)['state'] == 'paused'
    assert 'paused' in refused(m, 'sessions', errno.EBUSY)
    refused(m, 'pause', errno.EINVAL)
    m.remount()
    assert progress(m)['state'] == 'paused'
    (m.mnt / 'config.json').write_text('{"saved": "while paused"}')
    migrate(m, 'resume')
    end = ended(m)
    assert end['state'] == 'done' and end['done'] == end['total']
    assert (m.mnt / 'config.json').read_text() == '{"saved": "while paused"}'
    begin_paused(m)
    migrate(m, 'stop')
    assert progress(m)['state'] == 'stopped'
    m.remount()
    assert progress(m)['state'] == 'idle'


def test_goes_on_after_kills(mount, many):
    m = mount(many)
    migrate(m, 'all')
    for _ in range(3):
        m.kill()
        m.mount()
        if progress(m)['state'] == 'idle':  # it was done before
            break
        assert progress(m)['what'] == 'all'
        wait_until(lambda: progress(m)['done'] or progress(m)['state'] == 'done', 'it to go on')
    if progress(m)['state'] != 'idle':
        assert ended(m)['state'] == 'done'
    seen = files(m)
    m.unmount()
    check_eav(m, seen)


def test_an_unmount_in_the_middle(mount, many):
    m = mount(many)
    migrate(m, 'all')
    m.remount()
    assert progress(m)['state'] in ('running', 'done', 'idle')
    if progress(m)['state'] == 'running':
        ended(m)
    seen = files(m)
    m.unmount()
    check_eav(m, seen)


def test_writers_meanwhile(mount, many):
    """Saves, renames and deletions of what is being migrated: the newest is in both stores at the end."""
    m = mount(many)
    targets = sorted((m.mnt / 'presence').rglob('*.json'))[:400]
    with Writers(m) as writers:
        for round_ in range(4):
            migrate(m, 'all')
            for number, path in enumerate(targets):
                if not path.exists():
                    continue
                if number % 7 == round_:
                    path.unlink()
                else:
                    path.write_text('{"round": %d, "of": %d}' % (round_, number))
            assert ended(m)['state'] == 'done'
    for path, content in ((path, content) for book in writers.books for path, content in book.items()):
        assert (m.mnt / path).read_bytes() == content
    for number, path in enumerate(targets):
        gone = number % 7 < 4
        assert path.exists() != gone
        assert gone or json.loads(path.read_text()) == {'round': 3, 'of': number}
    switch(m, 'datalevin-only')  # which is refused while they differ
    seen = files(m)
    m.unmount()
    check_eav(m, seen)


def test_a_switch_of_the_mode_in_the_middle(mount, many):
    m = mount(many)
    migrate(m, 'all')
    switch(m, 'edn-only')
    end = ended(m)
    assert end['state'] in ('failed', 'done') and (end['state'] == 'done' or 'edn-only' in end['error'])
    m.remount()
    assert progress(m)['state'] == 'idle'  # there is nothing that it could do
    switch(m, 'datalevin-first')
    switch(m, 'datalevin-only')
    assert mode_of(m) == 'datalevin-only'


# ---- what is told of it ----

def told(m):
    rows = [json.loads(line) for line in (m.mnt / '.events').read_text().splitlines()]
    return [row for row in rows if row['event'].startswith('migration-')]


def test_events(mount, many):
    m = mount(many)
    total = len(in_mount_names(m))
    begin_paused(m)
    migrate(m, 'resume')
    end = ended(m)
    rows = told(m)
    assert [row['event'] for row in rows if row['event'] not in ('migration-progress', 'migration-started')] in (
        ['migration-paused', 'migration-completed'], ['migration-completed', 'migration-paused', 'migration-completed'])
    assert 'migration-started' in [row['event'] for row in rows[:-1]]
    assert rows[-1]['count'] == end['total'] >= total and rows[-1]['duration_ms'] > 0
    assert rows[-1]['detail'] == f'all, {end["done"]} done'
    migrate(m, ':learning/wal')
    ended(m)
    assert told(m)[-1]['key'] == ':learning/wal' and told(m)[-1]['detail'] == '1 done'
    begin_paused(m)
    migrate(m, 'stop')
    assert told(m)[-1]['event'] == 'migration-stopped'


# ---- what goes wrong ----

@pytest.fixture
def failing(mount, build_dir):
    """A mount whose EAV store fails as tests/c/failpoint.c says, and where it looks."""
    def make(text):
        m = mount.prepare(text)
        path = m.base / 'fail'
        m.env = dict(os.environ, LD_PRELOAD=str(build_dir / 'tests' / 'failpoint.so'), OUROFS_FAILPOINT=str(path))
        m.mount()
        return m, path
    return make


@pytest.mark.preload
def test_one_that_fails_is_listed(failing, many):
    """What is beside it is migrated, and it is when nothing is in the way any more."""
    m, path = failing(many.rstrip()[:-1] + ' :presence/bad {"one" 1 "zwei" 2}}')
    path.with_suffix('.key').write_text('zwei')
    migrate(m, 'all')
    end = ended(m)
    assert end['state'] == 'done' and end['failed'] == 1 == end['types']['presence']['failed']
    assert end['done'] == end['total'] - 1 and end['skipped'] == 0
    assert [failure['key'] for failure in end['failures']] == ['[:presence/bad "zwei"]']
    assert end['failures'][0]['error']
    assert told(m)[-1]['detail'].endswith('1 failed')
    assert source(m, 'presence/bad/one.json') == 'eav'
    assert source(m, 'presence/bad/zwei.json') == 'edn'
    with pytest.raises(OSError) as caught:
        (m.mnt / '.mode').write_text('datalevin-only')
    assert caught.value.errno == errno.EBUSY
    line = (m.mnt / '.errors').read_text().splitlines()[-1]
    assert ':presence/bad zwei' in line or ':presence/bad "zwei"' in line
    assert '/.migrate' in line
    path.with_suffix('.key').unlink()
    migrate(m, 'all')
    end = ended(m)
    assert end['failed'] == 0 and end['skipped'] == end['total'] - 1
    switch(m, 'datalevin-only')
    seen = files(m)
    m.unmount()
    check_eav(m, seen)


@pytest.mark.preload
@pytest.mark.parametrize('kind', ['put', 'commit', 'get'])
@pytest.mark.parametrize('word', ['all', 'resume', None])
def test_a_store_that_fails(failing, kind, word):
    """Nothing is lost; it goes on when it is told to, or at the next mount."""
    m, path = failing(TEXT)
    path.with_suffix('.' + kind).touch()
    migrate(m, 'all')
    end = ended(m)
    if kind != 'get':  # which says that what is there is damaged, and nothing is
        assert end['state'] == 'failed' and end['error'] and end['done'] == 0
        assert told(m)[-1]['event'] == 'migration-failed' and told(m)[-1]['detail'].endswith(end['error'])
        assert end['error'] in (m.mnt / '.errors').read_text()
    (m.mnt / 'config.json').write_text('{"saved": "meanwhile"}')
    path.with_suffix('.' + kind).unlink()
    if word and end['state'] == 'failed':
        wait_until(lambda: json.loads((m.mnt / '.health').read_text())['status'] == 'healthy', 'the store to be well')
        migrate(m, word)
    elif end['state'] == 'failed':
        m.remount()
    if progress(m)['state'] != 'idle':
        assert ended(m)['state'] == 'done'
    assert (m.mnt / 'config.json').read_text() == '{"saved": "meanwhile"}'
    m.sync()
    switch(m, 'datalevin-only')
    seen = files(m)
    m.unmount()
    check_eav(m, seen)


@LOOKS_INSIDE
@pytest.mark.usefixtures('lazy_malloc')
@pytest.mark.busy  # and what a sanitizer keeps is its own
def test_what_is_there_already_does_not_stay_in_memory(mount, many):
    """It is read, and not written: the pages of a chunk are given back all the same."""
    m = mount(many)
    migrate(m, 'all')
    assert ended(m)['state'] == 'done'
    m.remount()
    pathlib.Path(f'/proc/{m.proc.pid}/clear_refs').write_text('5')  # VmHWM begins anew
    before = status_kb(m.proc.pid, 'VmRSS')
    migrate(m, 'all')
    assert ended(m)['state'] == 'done'
    grown = status_kb(m.proc.pid, 'VmHWM') - before
    assert grown << 10 < next(m.store.rglob('data.mdb')).stat().st_size // 2


def test_disk_full(mount, small_disk, many):
    disk = small_disk('24m')
    m = mount.prepare(many)
    m.store = disk / 'store'
    m.mount()
    fill_disk(disk / 'ballast')
    migrate(m, 'all')
    end = ended(m)
    assert end['state'] == 'failed' and 'No space' in end['error']
    assert len(in_mount_names(m)) > 100
    m.unmount()
    (disk / 'ballast').unlink()
    os.system(f'mount -o remount,size=400m {disk}')
    m.mount()
    assert ended(m)['state'] == 'done'  # goes on by itself
    seen = files(m)
    m.unmount()
    check_eav(m, seen)


def in_mount_names(m):
    return [name for _, _, names in os.walk(m.mnt) for name in names]
