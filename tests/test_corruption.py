# SPDX-License-Identifier: MIT
"""What is damaged on disk is never served as right, and is made anew of what the other stores hold."""
import errno
import json
import os
import shutil
import struct

import pytest

import corruption
from conftest import examples
from modes_driver import compare_eav, look, mode_of, source, work
from outside import health, soon
from test_check_stores import mdb, named_root, rows, set_note, set_number, zero_page

TEXT = '{:config {:a 1} :seen 3 :notes/x [1 2] :presence/s1 {"alice" {:b 2} "bob" 5}}'
# Each round is a store, a mode, a kind of damage, and three mounts: a third of a second.
ROUNDS = int(os.environ.get('OUROFS_CORRUPTIONS', examples(24)))


def test_random_damage(binary, mount_base):
    base = mount_base / 'corruption'
    base.mkdir()
    try:
        made = corruption.Corruption(binary('ourofs'), binary('ourofsctl'), base)
        for number in range(ROUNDS):
            done = made.round(0, number)
            assert not done.failure, f'{corruption.tell(number, done)}: {done.failure}'
    finally:
        shutil.rmtree(base)


@pytest.fixture
def used(mount):
    """used(mode) -> an unmounted store that was in use, and what it showed."""
    def make(mode):
        m = mount(TEXT, f'mode={mode}', 'force', 'edn_delay=5')
        work(m, 'one')
        m.sync()
        seen = look(m)
        m.unmount()
        m.options = ('edn_delay=5',)
        return m, seen
    return make


def events(m, name):
    return [event for event in map(json.loads, (m.mnt / '.events').read_text().splitlines())
            if event['event'] == name]


def healthy(m):
    soon(lambda: health(m)['status'] == 'healthy', f'the memory to be healthy: {health(m)["reasons"]}')


def bad_files(m, folder=''):
    return sorted((m.store / folder).glob('data.mdb.bad-*'))


@pytest.mark.parametrize('mode', ['dual-write', 'datalevin-first'])
def test_the_eav_store_is_made_anew(used, mode):
    m, seen = used(mode)
    zero_page(mdb(m.store), named_root(mdb(m.store), b'eav'))
    damaged = mdb(m.store).read_bytes()
    m.mount()
    assert look(m) == seen
    healthy(m)
    assert look(m) == seen and mode_of(m) == mode
    bad, = bad_files(m)
    assert bad.read_bytes() == damaged
    event, = events(m, 'store-remade')
    assert event['store'] == 'eav' and bad.name in event['detail'] and 'page' in event['detail']
    assert 'was damaged, and is made anew' in (m.mnt / '.errors').read_text()
    m.unmount()
    compare_eav(m, seen, whole=True)


@pytest.mark.parametrize('mode, folder', [
    ('edn-only', 'saved'), ('datalevin-first', 'saved'), ('datalevin-first', '')])
def test_a_note_that_was_damaged(used, mode, folder):
    """By a watermark that is too high, what was acknowledged would be passed over."""
    m, _ = used(mode)
    m.mount()
    (m.mnt / 'config.json').write_text('{"late": true}')
    seen = {path: file.content for path, file in look(m).items()}
    m.kill()
    set_note(m.store / folder, b'watermark', struct.pack('=Q', 1 << 40), sealed=False)
    m.mount()
    assert {path: file.content for path, file in look(m).items()} == seen
    soon(lambda: bad_files(m, folder), 'it to be made anew')
    assert mode_of(m) == mode


def test_a_making_that_was_cut_short_goes_on(used):
    m, seen = used('datalevin-first')
    (m.store / 'data.mdb').unlink()
    set_number(m.store / 'saved', b'eav', 2)
    m.mount()
    healthy(m)
    assert look(m) == seen
    m.unmount()
    compare_eav(m, seen, whole=True)
    assert dict(rows(m.store / 'saved', b'ourofs'))[b'eav'] == struct.pack('=Q', 1)


def test_a_few_of_the_damaged_are_kept(used):
    m, seen = used('datalevin-first')
    for number in range(5):
        shutil.copy(mdb(m.store), m.store / f'data.mdb.bad-{number}')
    zero_page(mdb(m.store), named_root(mdb(m.store), b'documents'))
    m.mount()
    healthy(m)
    kept = bad_files(m)
    assert [path.name for path in kept][1:] == ['data.mdb.bad-3', 'data.mdb.bad-4'] and len(kept) == 3


@pytest.mark.parametrize('mode', corruption.MODES)
@pytest.mark.parametrize('damage', ['root', 'cut', 'gone'])
def test_what_is_saved_is_made_anew(used, mode, damage):
    """In a store that was unmounted nothing of a value is lost, and the mode is not either."""
    m, seen = used(mode)
    path = mdb(m.store, 'saved')
    if damage == 'root':
        zero_page(path, named_root(path, b'documents'))
    else:
        os.truncate(path, 0 if damage == 'gone' else 8192)
    m.mount()
    assert corruption.read_all(m) == {
        path: corruption.value_of(file.content) for path, file in seen.items() if path.endswith('.json')}
    assert mode_of(m) == mode
    assert len(bad_files(m, 'saved')) == 1 and events(m, 'store-remade')[0]['store'] == 'saved'
    known = damage == 'root'
    soon(lambda: [cause['cause'] for cause in health(m)['causes']] == ([] if known else ['saved-remade']),
         'nothing but what may be lost to be told')
    work(m, 'two')
    seen = look(m)
    m.remount()
    assert look(m) == seen and health(m)['status'] == 'healthy'


@pytest.mark.parametrize('mode', ['dual-write', 'datalevin-first'])
def test_the_eav_store_is_cut_below_a_mount(used, mode):
    """What is behind the end of a mapped file can't be read: nobody tries."""
    m, seen = used(mode)
    m.mount()
    assert look(m) == seen
    os.truncate(mdb(m.store), 8192)
    assert look(m) == seen
    work(m, 'two')
    seen = look(m)
    soon(lambda: bad_files(m), 'it to be noticed')
    healthy(m)
    assert look(m) == seen and len(bad_files(m)) == 1
    m.unmount()
    compare_eav(m, seen, whole=True)


def test_another_writes_to_the_eav_store_below_a_mount(used):
    """Before anything is built on it, it is looked at."""
    m, seen = used('datalevin-first')
    m.mount()
    zero_page(mdb(m.store), named_root(mdb(m.store), b'eav'))
    (m.mnt / 'config.json').write_text('{"next": "write"}')
    m.sync()
    healthy(m)
    assert len(bad_files(m)) == 1
    soon(lambda: source(m, 'config.json') == 'eav', 'it to be in the EAV store')
    m.unmount()


@pytest.mark.parametrize('mode', corruption.MODES)
def test_what_is_saved_is_cut_below_a_mount(used, mode):
    """Values are served, changes of what can't be known any more refused, and the next mount has all."""
    m, seen = used(mode)
    m.mount()
    os.truncate(mdb(m.store, 'saved'), 8192)
    expected = {path: corruption.value_of(file.content) for path, file in seen.items() if path.endswith('.json')}
    assert corruption.read_all(m) == expected
    with pytest.raises(OSError) as caught:
        (m.mnt / 'config.json').write_text('{"saved": "later"}')
    assert caught.value.errno == errno.EIO
    assert 'saved-damaged' in [cause['cause'] for cause in health(m)['causes']]
    m.kill()
    m.mount()
    assert corruption.read_all(m) == expected and mode_of(m) == mode
