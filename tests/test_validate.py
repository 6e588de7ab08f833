# SPDX-License-Identifier: MIT
"""/.validate: what differs between memory.edn and the EAV store is told, and nothing else."""
import errno
import json
import os
import threading

import pytest
from conftest import wait_until
from eav_plant import Planting
from eav_store import CODES, name_of
from modes_driver import Writers, switch

KINDS = ('only_edn', 'only_eav', 'different', 'index_without_datom', 'datom_without_index', 'damaged')
TEXT = '''{:config {:a 1 :tags #{:x :y}} :seen 3 :notes/x [1 2]
 :presence/s1 {"alice" {:b 2} "bob" 5} :presence/bare {}}'''


def state(m):
    return json.loads((m.mnt / '.validate').read_text())


def ended(m):
    found = state(m)
    return found if found['state'] != 'running' else None


def validate(m):
    """A whole run; what it found."""
    (m.mnt / '.validate').write_text('run\n')
    found = wait_until(lambda: ended(m), 'the validation to end')
    assert found['state'] == 'done' and found['error'] is None, found
    assert found['compared'] == found['total']
    assert tuple(found['kinds']) == KINDS
    assert sum(found['kinds'].values()) == found['differences']
    assert len(found['first']) == min(found['differences'], 100)
    assert found['started'] <= found['ended']
    return found


def rows(found):
    return {(row['kind'], row['path'], row['attribute']) for row in found['first']}


def begin(mount, text=TEXT, mode='datalevin-first'):
    """Both stores hold it all."""
    m = mount(text, 'mode=datalevin-only', 'force', 'edn_delay=5')
    if mode != 'datalevin-only':
        switch(m, mode)
    m.sync()
    return m


def plant(m, change):
    """Does it to the store at rest; then the same mode again."""
    m.sync()
    m.unmount()
    with Planting(m.store) as p:
        change(p)
    m.remount('edn_delay=5')


# ---- agreement ----

def test_none_has_run(mount):
    assert state(mount()) == {
        'state': 'idle', 'total': 0, 'compared': 0, 'differences': 0, 'kinds': dict.fromkeys(KINDS, 0),
        'first': [], 'started': None, 'ended': None, 'error': None}


@pytest.mark.parametrize('mode', ['dual-write', 'datalevin-first', 'datalevin-only'])
def test_every_family_of_keys_agrees(mount, example, mode):
    m = begin(mount, example, mode)
    found = validate(m)
    assert found['differences'] == 0 and found['total'] > 20
    (m.mnt / 'config.json').write_text('{"other": [1, {"#set": [1, 2]}]}')
    assert validate(m)['differences'] == (mode == 'datalevin-only')
    m.unmount()


def test_what_is_not_migrated_is_in_edn_alone(mount):
    m = mount(TEXT)
    found = validate(m)
    assert found['total'] == found['differences'] == found['kinds']['only_edn'] == 7
    assert rows(found) == {('only_edn', path, None) for path in (
        'config.json', 'seen.json', 'notes/x.json', 'presence/s1', 'presence/s1/alice.json',
        'presence/s1/bob.json', 'presence/bare')}
    assert {row['path']: row['key'] for row in found['first']}['presence/s1/alice.json'] == \
        '[:presence/s1 "alice"]'
    (m.mnt / 'seen.json').write_text('4')
    assert validate(m)['differences'] == 6


def test_another_layout_of_the_same_values_is_no_difference(mount):
    m = begin(mount)
    m.edn.write_text('{:presence/bare {} :presence/s1 {"bob" 5, "alice" #:b{}, "alice2" 1},'
                     ':notes/x [1, 2], :seen 3, :config {:tags #{:y :x}, :a 1}}')
    wait_until(lambda: (m.mnt / 'presence/s1/alice2.json').exists(), 'the outside change')
    assert validate(m)['differences'] == 0


def test_only_a_hundred_are_named(mount):
    m = mount('{' + ' '.join(f':k/{i} {i}' for i in range(1500)) + '}')
    found = validate(m)
    assert found['differences'] == 1500 and len(found['first']) == 100


# ---- differences ----

def forget(name):
    def change(p):
        number = p.number(name)
        for part, _ in p.datoms(name):
            p.del_eav(number, part)
            p.del_ave(number, part)
        del p.eav[number.to_bytes(8, 'big')]
        del p.documents[p.key(name)]
    return change


def another_value(p):
    """A number for a number, as a whole: what is in the store agrees with itself."""
    rival, name = p.fields(name_of(b':other')), name_of(b':seen')
    p.header(name, data=b'4', identity=rival['identity'], text_hash=rival['text_hash'])


def test_a_document_that_the_eav_store_lost(mount):
    m = begin(mount)
    plant(m, forget(name_of(b':presence/s1', b'"alice"')))
    assert rows(validate(m)) == {('only_edn', 'presence/s1/alice.json', None)}


def test_a_document_that_memory_edn_lacks(mount):
    m = begin(mount, TEXT[:-1] + ' :gone {:a 1}}')
    gone = {}

    def keep(p):
        gone.update(number=p.number(name), row=p.documents[p.key(name)], datoms=p.datoms(name))
    name = name_of(b':gone')
    plant(m, keep)
    (m.mnt / 'gone.json').unlink()

    def put_back(p):
        number = gone['number']
        p.documents[p.key(name)] = gone['row']
        p.eav[number.to_bytes(8, 'big')] = p.key(name)
        for part, beside in gone['datoms']:
            p.put_eav(number, part, beside)
            p.put_ave(number, part, beside)
    plant(m, put_back)
    assert rows(validate(m)) == {('only_eav', 'gone.json', None)}


def test_different_values(mount):
    m = begin(mount, TEXT[:-1] + ' :other 4}')
    plant(m, another_value)
    assert rows(validate(m)) == {('different', 'seen.json', None)}


def test_an_integer_is_not_a_double(mount):
    m = begin(mount, '{:a 1.0 :b {:x #{1 2}} :c 0.5}', 'datalevin-only')
    m.edn.write_text('{:a 1 :b {:x [1 2]} :c 0.50}')
    assert rows(validate(m)) == {('different', 'a.json', None), ('different', 'b.json', None)}


def test_index_entries(mount):
    m = begin(mount)
    config, alice = name_of(b':config'), name_of(b':presence/s1', b'"alice"')

    def change(p):
        p.put_ave(p.number(config), p.datom(b':more', CODES['nil'])[0])
        part = p.datoms(alice)[0][0]
        p.del_eav(p.number(alice), part)
        p.del_ave(p.number(alice), part)
    plant(m, change)
    assert rows(validate(m)) == {('index_without_datom', 'config.json', ':more'),
                                 ('datom_without_index', 'presence/s1/alice.json', ':b')}


def test_damage(mount):
    m = begin(mount)

    def change(p):
        p.flip(name_of(b':config'), -1)
        p.flip(name_of(b':seen'), 40)
    plant(m, change)
    found = validate(m)
    assert rows(found) == {('damaged', 'config.json', None), ('damaged', 'seen.json', None)}
    # the first read takes it from memory.edn, and has the store mended
    assert json.loads((m.mnt / 'config.json').read_text())['a'] == 1
    m.sync()
    assert wait_until(lambda: validate(m)['differences'] == 0, 'the store to be mended')


def test_memory_edn_that_is_left_alone_is_the_file_as_it_stands(mount):
    m = begin(mount, mode='datalevin-only')
    assert validate(m)['differences'] == 0
    (m.mnt / 'seen.json').write_text('4')
    (m.mnt / 'new.json').write_text('1')
    (m.mnt / 'notes/x.json').unlink()
    assert rows(validate(m)) == {('different', 'seen.json', None), ('only_eav', 'new.json', None),
                                 ('only_edn', 'notes/x.json', None)}
    m.edn.write_text('{:config {:tags #{:x :y} :a 1} :seen 4 :new 1 '
                     ':presence/s1 {"alice" {:b 2} "bob" 5} :presence/bare {}}')
    assert validate(m)['differences'] == 0
    m.edn.unlink()
    assert validate(m)['kinds']['only_eav'] == 7
    m.edn.write_text('{:config')
    (m.mnt / '.validate').write_text('run')
    found = wait_until(lambda: ended(m), 'the validation to fail')
    assert found['state'] == 'failed' and found['error'].startswith('memory.edn:1:9:')


# ---- while others work ----

@pytest.mark.parametrize('mode', ['dual-write', 'datalevin-first'])
def test_writers_make_no_difference(mount, mode):
    m = begin(mount, '{' + ' '.join(f':k/{i} {{:a {i}}}' for i in range(2000)) + '}', mode)
    with Writers(m) as writers:
        for _ in range(8):
            assert validate(m)['differences'] == 0
        writers.end()
    assert validate(m)['differences'] == 0


@pytest.mark.parametrize('folder, there', [('notes', False), ('notes', True), ('notes/deep', False)])
def test_a_namespace_that_becomes_a_collection(mount, folder, there):
    """Its documents become members, and the first member makes the key in both stores."""
    m = begin(mount, '{:other 1}')
    os.makedirs(m.mnt / folder)
    for name in 'abc':
        (m.mnt / folder / f'{name}.json').write_text('1')
    os.makedirs(m.mnt / ('presence/s1' if there else 'presence'))
    os.rename(m.mnt / 'notes', m.mnt / 'presence/s1')
    m.sync()
    assert validate(m)['differences'] == 0
    switch(m, 'datalevin-only')
    m.remount()
    for name in 'abc':
        os.unlink(m.mnt / f'presence/s1{folder.removeprefix("notes")}/{name}.json')
    m.remount()
    assert os.listdir(m.mnt / f'presence/s1{folder.removeprefix("notes")}') == []


def test_a_difference_is_seen_among_writers(mount):
    m = begin(mount, '{:other 4 :seen 3 ' + ' '.join(f':k/{i} {{:a {i}}}' for i in range(500)) + '}')
    plant(m, another_value)
    with Writers(m):
        assert rows(validate(m)) == {('different', 'seen.json', None)}


def test_it_is_an_event(mount):
    m = mount(TEXT)

    def told():
        events = map(json.loads, (m.mnt / '.events').read_text().splitlines())
        return [event for event in events if event['event'] == 'validation-completed']
    validate(m)
    event, = wait_until(told, 'the event')
    assert event['count'] == 7 and event['duration_ms'] > 0


# ---- words ----

def refused(m, word):
    with pytest.raises(OSError) as caught:
        (m.mnt / '.validate').write_text(word)
    return caught.value.errno, (m.mnt / '.errors').read_text().splitlines()[-1]


def test_words(mount):
    m = mount(TEXT)
    for word in ('walk', 'run away', 'runs', '\n'):
        code, line = refused(m, word)
        assert code == errno.EINVAL and '.validate' in line and 'run or stop' in line
    assert state(m)['state'] == 'idle'
    (m.mnt / '.validate').write_text('stop\n')
    assert state(m)['state'] == 'idle'


def test_a_mode_without_eav_store_has_nothing_to_compare(mount):
    m = mount(TEXT, 'mode=edn-only')
    code, line = refused(m, 'run')
    assert code == errno.ENODEV and 'edn-only' in line


def many(mount):
    return begin(mount, '{' + ' '.join(f':k/{i} {{:a {i} :b [1 2 3] :c {{:d "{i}"}}}}'
                                       for i in range(30000)) + '}', 'datalevin-only')


def test_stop_and_unmount_end_it(mount):
    m = many(mount)
    (m.mnt / '.validate').write_text('run')
    assert refused(m, 'run')[0] == errno.EBUSY
    (m.mnt / '.validate').write_text('stop')
    found = wait_until(lambda: ended(m), 'the validation to stop')
    assert found['state'] == 'stopped' and found['ended']
    (m.mnt / '.validate').write_text('run')
    m.unmount()
    m.mount()
    assert state(m)['state'] == 'idle'
    assert validate(m)['differences'] == 0


def test_a_switch_of_the_mode_ends_it(mount):
    m = many(mount)
    (m.mnt / '.validate').write_text('run')
    (m.mnt / '.mode').write_text('edn-only')
    found = wait_until(lambda: ended(m), 'the validation to end')
    assert found['state'] in ('failed', 'done')
    assert found['state'] == 'done' or found['error']


def test_many_ask_at_once(mount):
    """One begins it, the others are told that it runs."""
    m = begin(mount)
    codes = []

    def ask():
        try:
            fd = os.open(m.mnt / '.validate', os.O_WRONLY)
            try:
                os.write(fd, b'run')
                codes.append(0)
            finally:
                os.close(fd)
        except OSError as error:
            codes.append(error.errno)
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(codes) <= {0, errno.EBUSY} and 0 in codes
    wait_until(lambda: ended(m), 'the validation to end')
