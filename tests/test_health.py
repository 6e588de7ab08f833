# SPDX-License-Identifier: MIT
"""/.health: each cause has a word for programs, a time and a text, and goes when it is mended."""
import json
import re
import shutil

import pytest

from conftest import fill_disk, take_away
from outside import health, soon
from test_degraded import Failing, failing, used, write_foreign  # noqa: F401 (fixtures)


def causes(m):
    """{word: severity}; everything about them is in order."""
    said = health(m)
    found = {row['cause']: row['severity'] for row in said['causes']}
    assert len(found) == len(said['causes'])
    assert said['reasons'] == [row['detail'] for row in said['causes']] and all(said['reasons'])
    for row in said['causes']:
        assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', row['since'])
    worst = 'unhealthy' if 'unhealthy' in found.values() else 'degraded' if found else 'healthy'
    assert said['status'] == worst
    return found


def since(m, cause):
    return next(row['since'] for row in health(m)['causes'] if row['cause'] == cause)


def become(m, **expected):
    expected = {cause.replace('_', '-'): severity for cause, severity in expected.items()}
    soon(lambda: causes(m) == expected, f'{expected}, not {causes(m)}')


def test_healthy(mount):
    m = mount('{:config 1 :presence/s1 {"alice" 1 "bob" 2}}')
    assert causes(m) == {}
    (m.mnt / 'presence/s1/alice.json').write_text('3')
    m.sync()
    said = health(m)
    assert said['edn']['types'] == {'cache': 1, 'presence': 2}
    assert said['eav']['types'] == {'presence': 1}
    assert said['migration'] == {'state': 'idle', 'total': 0, 'done': 0, 'failed': 0, 'skipped': 0}
    assert said['store_directory'] == str(m.store) and said['edn']['path'] == str(m.edn)
    (m.mnt / '.migrate').write_text('all')
    soon(lambda: health(m)['migration']['state'] == 'done', 'the migration')
    assert health(m)['migration']['done'] == health(m)['migration']['total']
    assert health(m)['eav']['types'] == health(m)['edn']['types']


def test_types_follow_every_change(mount):
    """They are counted once, and then kept up."""
    learning = {'learning/id': 'l', 'learning/title': 'x'}
    m = mount('{:config 1 :u/old #:learning{:id 1} :n/a #:a{:learning/id 2} :n/b {:learning/ids 1} '
              ':n/c [:learning/id] :presence/s1 {"alice" 1 "bob" 2}}', 'edn_delay=0')

    def both_are(**expected):
        m.sync()
        said = health(m)
        assert said['edn']['types'] == said['eav']['types'] == expected

    (m.mnt / '.migrate').write_text('all')
    soon(lambda: health(m)['migration']['state'] == 'done', 'the migration')
    both_are(cache=3, learning=2, presence=2)
    (m.mnt / 'config.json').write_text(json.dumps(learning))
    both_are(cache=2, learning=3, presence=2)
    (m.mnt / 'n/b.json').rename(m.mnt / 'presence/s1/carol.json')
    (m.mnt / 'config.json').write_text('"learning/id"')
    both_are(cache=2, learning=2, presence=3)
    (m.mnt / 'presence/s1').rename(m.mnt / 'presence/s2')
    (m.mnt / 'n').rename(m.mnt / 'ops')
    both_are(learning=1, cache=1, operations=2, presence=3)
    (m.mnt / 'presence/s2/bob.json').unlink()
    (m.mnt / 'config.json').unlink()
    both_are(learning=1, operations=2, presence=2)
    text = m.edn.read_text().replace('#:learning{:id 1}', '1').replace('[:learning/id]', '{:more 1}')
    m.edn.write_text(text.replace('{', '{:o/new {:learning/id 3} ', 1))
    soon((m.mnt / 'o/new.json').exists, 'the change by another')
    both_are(cache=1, learning=1, operations=2, presence=2)
    m.unmount()
    m.mount()
    both_are(cache=1, learning=1, operations=2, presence=2)


def test_unreadable_keys(mount):
    tokens = ' '.join(f':embed-token/{number}ab {number}' for number in range(30))
    m = mount('{:config 1 ' + tokens + ' :presence/s1 {"a" :x/1}}')
    assert causes(m) == {'edn-unreadable-keys': 'degraded'}
    edn = health(m)['edn']
    assert edn['unreadable_keys'] == 31 and len(edn['unreadable']) == 20
    assert edn['unreadable'][3] == {'key': ':embed-token/3ab', 'path': 'embed-token/3ab.json'}
    began = since(m, 'edn-unreadable-keys')
    soon(lambda: health(m)['uptime_s'] >= 2, 'two seconds')
    assert since(m, 'edn-unreadable-keys') == began
    # the names may be tokens: others than the owner get the numbers of /.metrics alone
    assert (m.mnt / '.health').stat().st_mode & 0o077 == 0
    for number in range(30):
        (m.mnt / f'embed-token/{number}ab.json').unlink()
    m.sync()
    assert [row['path'] for row in health(m)['edn']['unreadable']] == ['presence/s1']
    (m.mnt / 'presence/s1/a.json').unlink()
    m.sync()
    assert causes(m) == {}
    text = m.edn_text()
    m.edn.write_text(text.replace(':presence/s1 {', ':presence/s1 {"b" #my/tag 1 '))
    soon(lambda: (m.mnt / 'presence/s1/b.json').exists(), 'the tag')
    assert [row['path'] for row in health(m)['edn']['unreadable']] == ['presence/s1']
    (m.mnt / 'presence/s1/b.json').write_text('1')
    m.sync()
    assert causes(m) == {} and health(m)['edn']['unreadable'] == []


def test_trailing_bytes(mount):
    m = mount('{:config 1} {:ignored 2}')
    assert causes(m) == {'edn-trailing-bytes': 'degraded'}


@pytest.mark.parametrize('text', ['{:k0', '{:k1 1}'])
def test_set_aside(mount, text):
    """Broken, or most of it left out."""
    m = mount('{' + ' '.join(f':k{number} 1' for number in range(30)) + '}')
    m.edn.write_text(text)
    become(m, edn_set_aside='degraded')


@pytest.mark.parametrize('mode, severity', [
    ('edn-only', 'unhealthy'), ('dual-write', 'degraded'), ('datalevin-first', 'degraded')])
def test_memory_edn_can_not_be_written(small_disk, mount, mode, severity):
    """The disk that it is on is full; the other store's is not."""
    disk = small_disk('1m')
    m = mount.prepare('{:config 1}', (f'mode={mode}', 'edn_delay=5'))
    m.edn = disk / 'memory.edn'
    m.edn.write_text('{:config 1}')
    m.mount()
    fill_disk(disk / 'ballast')
    (m.mnt / 'big.json').write_text('"' + 'x' * 20000 + '"')
    become(m, edn_write_failed=severity)
    assert health(m)['edn']['error'] and 'space' in health(m)['edn']['error']
    assert json.loads((m.mnt / 'big.json').read_text()) == 'x' * 20000
    assert any(json.loads(line)['event'] == 'store-degraded'
               for line in (m.mnt / '.events').read_text().splitlines())
    assert 'memory.edn fails' in (m.mnt / '.errors').read_text()
    (disk / 'ballast').unlink()
    m.sync()
    become(m)
    said = [json.loads(line) for line in (m.mnt / '.events').read_text().splitlines()]
    assert [row['store'] for row in said if row['event'] == 'store-recovered'] == ['edn']
    assert health(m)['edn']['error'] is None


@pytest.mark.preload
@pytest.mark.parametrize('mode, severity', [('datalevin-first', 'degraded'), ('datalevin-only', 'unhealthy')])
def test_the_eav_store_fails(failing, mode, severity):  # noqa: F811
    m, fail = failing(mode)
    fail.begin('put', 'open')
    (m.mnt / 'new.json').write_text('1')
    become(m, eav_failed=severity)
    began = since(m, 'eav-failed')
    soon(lambda: len((m.mnt / '.events').read_text()) and causes(m), 'more attempts')
    told = [json.loads(line)['event'] for line in (m.mnt / '.events').read_text().splitlines()]
    assert told.count('store-degraded') == 1 and since(m, 'eav-failed') == began
    fail.end()
    become(m)
    told = [json.loads(line)['event'] for line in (m.mnt / '.events').read_text().splitlines()]
    assert told.count('store-degraded') == told.count('store-recovered') == 1


def test_both_stores_fail(small_disk, used):  # noqa: F811
    """Then none has what is committed, but for the state directory."""
    disk = small_disk('1m')
    m, _ = used('datalevin-first')
    write_foreign(m.store)
    shutil.copy(m.edn, disk / 'memory.edn')
    m.edn = disk / 'memory.edn'
    m.mount()
    become(m, eav_failed='degraded')
    fill_disk(disk / 'ballast')
    (m.mnt / 'big.json').write_text('"' + 'x' * 20000 + '"')
    become(m, eav_failed='unhealthy', edn_write_failed='unhealthy')
    (disk / 'ballast').unlink()
    m.sync()
    become(m, eav_failed='degraded')


def test_the_journal_can_not_be_written(mount, small_disk):
    disk = small_disk('8m')
    m = mount.prepare('{:config 1}', ('edn_delay=5', 'mode=edn-only'))
    m.store = disk / 'store'
    m.mount()
    fill_disk(disk / 'ballast')
    with pytest.raises(OSError, match='No space'):
        for number in range(10_000):
            (m.mnt / 'big.json').write_text('"' + 'x' * 60000 + f'{number}"')
    soon(lambda: causes(m).get('journal-write-failed') == 'unhealthy', 'the cause')
    assert 'the journal fails' in (m.mnt / '.errors').read_text()
    (disk / 'ballast').unlink()
    become(m)  # without another save
    (m.mnt / 'small.json').write_text('1')
    become(m)


def test_the_state_directory_is_moved_and_removed(mount):
    m = mount('{:config 1}')
    away = m.store.with_name('away')
    m.store.rename(away)
    assert causes(m) == {'store-directory-moved': 'degraded'}
    away.rename(m.store)
    assert causes(m) == {}
    m.expect_stderr('.')
    shutil.rmtree(m.store)
    soon(lambda: causes(m).get('store-directory-gone') == 'unhealthy', 'the cause')
    m.kill()
    shutil.rmtree(m.store, ignore_errors=True)


@pytest.mark.preload
def test_a_change_is_cut_short(mount, build_dir):
    """For lack of memory in the middle of it: no more are taken, and the next mount has it whole."""
    m = mount.prepare('{:config 1}', ('edn_delay=60000',))
    fail = Failing(m, build_dir)
    m.mount()
    text = '"' + 'x' * 300_000 + '"'
    broken = False
    for number in range(1, 60):
        fail.path.with_suffix('.malloc').write_text(str(number))
        try:
            (m.mnt / f'k{number}.json').write_text(text)
        except OSError:
            pass
        fail.end()
        if broken := 'change-cut-short' in causes(m):
            break
    assert broken, 'no allocation was in the middle of a change'
    assert causes(m)['change-cut-short'] == 'unhealthy'
    with pytest.raises(OSError):
        (m.mnt / 'config.json').write_text('2')
    assert (m.mnt / 'config.json').read_text() == '1\n'
    m.expect_stderr('.')
    take_away(m.mnt, m.proc)
    m.wait_exit()
    m.env = None
    m.mount()
    assert causes(m) == {}
    assert (m.mnt / f'k{number}.json').read_text() == text
