# SPDX-License-Identifier: MIT
"""ourofsctl check: damage that was planted in a store is found, mended, and nothing is missing afterwards.

Each kind of damage is a function of the store's directory. It is planted in four stores: as it is left by an
unmount and by a kill, and in the mode that keeps both stores up to date and the one that uses the EAV store alone.
"""
import json
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess

import lmdb
import pytest

import callpoint
import edn_reader
import eav_store
import journal_driver
from conftest import examples, fill_disk, wait_until
from memory_driver import DOCUMENT, Memory, Refused
from modes_driver import look, mode_of
from outside import conflicts, health

PAGE = 4096
TEXT = '''{:config {:theme :dark} :seen 3 :notes/x [1 2] ; as found
 :presence/s1 {"alice" {:b 2} "bob" 5} :gone "old" :big %s}''' % json.dumps('x' * 9000)


# ---- what a store has in it

def open_env(path):
    return lmdb.open(str(path), max_dbs=8, map_size=1 << 26)


def edit(path, table, change):
    """change(txn, database) in one transaction."""
    env = open_env(path)
    with env.begin(write=True) as txn:
        change(txn, env.open_db(table, txn, create=False))
    env.close()


def rows(path, table):
    env = open_env(path)
    with env.begin() as txn:
        found = list(txn.cursor(env.open_db(table, txn, create=False)))
    env.close()
    return found


CONFIG = eav_store.name_of(b':config')
NOTES = eav_store.name_of(b':notes/x')


def flip(path, table, key, at):
    def change(txn, database):
        value = bytearray(txn.get(key, db=database))
        value[at] ^= 4
        txn.put(key, bytes(value), db=database)
    edit(path, table, change)


def swap(path, table, one, other):
    def change(txn, database):
        first, second = txn.get(one, db=database), txn.get(other, db=database)
        txn.put(one, second, db=database)
        txn.put(other, first, db=database)
    edit(path, table, change)


def set_note(path, note, value, sealed=True):
    def change(txn, database):
        txn.put(note, value, db=database)
        if sealed:
            txn.put(b'check', eav_store.seal(list(txn.cursor(database))), db=database)
    edit(path, b'ourofs', change)


def set_number(path, note, number):
    set_note(path, note, struct.pack('=Q', number))


def datom_rows(store, table):
    """Without those of the numbers alone."""
    return [key for key, _ in rows(store, table) if len(key) > 8]


def delete(path, table, key):
    edit(path, table, lambda txn, database: txn.delete(key, db=database))


def put(path, table, key, value):
    edit(path, table, lambda txn, database: txn.put(key, value, db=database))


def patch(path, at, data):
    with open(path, 'r+b') as file:
        file.seek(at)
        file.write(data)


def header_of(data, page):
    """(number, flags, lower)"""
    number, _, flags, lower = struct.unpack_from('=QHHH', data, page * PAGE)
    return number, flags, lower


def root_of(path, tree):
    """Of the free pages' tree (0) or the main one (1), by the newer header."""
    data = path.read_bytes()
    meta = max((0, PAGE), key=lambda at: struct.unpack_from('=Q', data, at + 16 + 128)[0])
    return struct.unpack_from('=Q', data, meta + 16 + 24 + 48 * tree + 40)[0]


def root_offset(path, table):
    """Where the main tree says which page is the root of a named table."""
    data = path.read_bytes()
    main = root_of(path, 1) * PAGE
    count = (header_of(data, root_of(path, 1))[2] - 16) // 2
    for i in range(count):
        at = main + struct.unpack_from('=H', data, main + 16 + 2 * i)[0]
        size = struct.unpack_from('=H', data, at + 6)[0]
        if data[at + 8:at + 8 + size] == table:
            return at + 8 + size + 40
    raise AssertionError(table)


def named_root(path, table):
    return struct.unpack_from('=Q', path.read_bytes(), root_offset(path, table))[0]


# ---- damage

def eav_number_row(store):
    number = eav_store.Store(store).records[CONFIG].entity
    put(store, b'eav', struct.pack('>Q', number), NOTES)


def eav_other_value(store):
    """Both indexes agree on what the document does not say."""
    number = eav_store.Store(store).records[CONFIG].entity
    datom = eav_store.encode_text(b':theme') + bytes([0x20]) + eav_store.encode_text(b'pink')
    put(store, b'eav', struct.pack('>Q', number) + datom, b'')
    put(store, b'ave', datom + struct.pack('>Q', number), b'')


def eav_nobodys_datom(store):
    datom = eav_store.encode_text(b':theme') + bytes([0x02])
    put(store, b'eav', struct.pack('>Q', 10**6) + datom, b'')
    put(store, b'ave', datom + struct.pack('>Q', 10**6), b'')


def eav_entity_gone(store):
    """The document is, its datoms are not."""
    delete(store, b'documents', CONFIG)


def mdb(store, part=''):
    return pathlib.Path(store) / part / 'data.mdb'


def zero_page(path, page):
    patch(path, page * PAGE, bytes(PAGE))


def cut_file(path, part):
    os.truncate(path, int(path.stat().st_size * part) // PAGE * PAGE)


def saved_ino(store):
    """Two documents with one inode number, under good checksums."""
    found = dict(rows(store / 'saved', b'documents'))
    head = bytearray(found[NOTES])
    head[32:40] = found[CONFIG][32:40]
    put(store / 'saved', b'documents', NOTES, without_checks(head))


def without_checks(record):
    """As the first versions wrote it."""
    record = bytearray(record)
    record[12] &= ~32
    record[28:32] = record[116:120] = bytes(4)
    return bytes(record)


def saved_other_value(store):
    """Bytes that are those of another value, in a record of the first versions."""
    record = without_checks(dict(rows(store / 'saved', b'documents'))[CONFIG])
    put(store / 'saved', b'documents', CONFIG, record.replace(b'light', b'night'))


def own_loop(store, part):
    """The tree of a table is the one that lists the tables."""
    path = mdb(store, part)
    patch(path, root_offset(path, b'documents'), struct.pack('=Q', root_of(path, 1)))


def nodes_of(data, page):
    """Where the entries of a page begin."""
    count = (header_of(data, page)[2] - 16) // 2
    return [page * PAGE + at for at in struct.unpack_from(f'={count}H', data, page * PAGE + 16)]


def leaf_of(path, table, flags=0):
    """Offset of an entry with these flags, in a leaf of a table."""
    data = path.read_bytes()
    pages = [named_root(path, table)]
    while pages:
        page = pages.pop()
        for at in nodes_of(data, page):
            low, high, found, _ = struct.unpack_from('=HHHH', data, at)
            if header_of(data, page)[1] == 1:  # a branch
                pages.append(low | high << 16 | found << 32)
            elif found == flags:
                return at
    raise AssertionError(table)


def set_flags(path, flags):
    """Of an entry of a document's: LMDB would take what follows for a tree of its own, and dies of that."""
    patch(path, leaf_of(path, b'documents') + 4, struct.pack('=H', flags))


def grow_value(path):
    """What stands on pages of its own takes one more, which is another's: it would be given away with them."""
    node = leaf_of(path, b'documents', flags=1)
    data = path.read_bytes()
    size, = struct.unpack_from('=H', data, node + 6)
    page, = struct.unpack_from('=Q', data, node + 8 + size)
    count, = struct.unpack_from('=I', data, page * PAGE + 12)
    patch(path, page * PAGE + 12, struct.pack('=I', count + 1))


def shift_entry(path):
    """Into the gap before the others: taking it out would move as much as there is memory."""
    page = leaf_of(path, b'documents') // PAGE
    lower, = struct.unpack_from('=H', path.read_bytes(), page * PAGE + 12)
    patch(path, page * PAGE + 16, struct.pack('=H', lower))


def shorten_entry(path):
    """It says to be smaller than it is."""
    at = leaf_of(path, b'documents')
    size, = struct.unpack_from('=H', path.read_bytes(), at)
    patch(path, at, struct.pack('=H', size - 8))


def renumber(path):
    """The state before the last commit says that it is the newest one."""
    data = path.read_bytes()
    numbers = [struct.unpack_from('=Q', data, at + 16 + 128)[0] for at in (0, PAGE)]
    older = numbers.index(min(numbers))
    patch(path, older * PAGE + 16 + 128, struct.pack('=Q', min(numbers) | 1 << 20))


EAV = {
    'an entry that is to be a tree': lambda s: set_flags(mdb(s), 4),
    'pages that are used twice': lambda s: grow_value(mdb(s)),
    'an entry in the gap of its page': lambda s: shift_entry(mdb(s)),
    'an entry that is too short': lambda s: shorten_entry(mdb(s)),
    'the state before the last commit': lambda s: renumber(mdb(s)),
    'a bit of a note': lambda s: set_note(s, b'watermark', struct.pack('=Q', 1 << 40), sealed=False),
    'a bit of a header': lambda s: flip(s, b'documents', CONFIG, 20),
    'a bit of a document': lambda s: flip(s, b'documents', CONFIG, -2),
    'a bit of a checksum': lambda s: flip(s, b'documents', NOTES, 0),
    'an index by value that lacks a datom': lambda s: delete(s, b'ave', datom_rows(s, b'ave')[0]),
    'an index by entity that lacks a datom': lambda s: delete(s, b'eav', datom_rows(s, b'eav')[0]),
    'an index by value with one more': lambda s: put(
        s, b'ave', eav_store.encode_text(b':zz') + b'\x03' + struct.pack('>Q', 1), b''),
    'an index by entity with one more': lambda s: put(
        s, b'eav', struct.pack('>Q', 1) + eav_store.encode_text(b':zz') + b'\x03', b''),
    'a row that is no datom': lambda s: put(s, b'ave', b'nonsense!', b''),
    'a number that leads elsewhere': eav_number_row,
    'another value in both indexes': eav_other_value,
    'datoms of nobody': eav_nobodys_datom,
    'a document that is gone': eav_entity_gone,
    'documents that changed places': lambda s: swap(s, b'documents', CONFIG, NOTES),
    'numbers that will be given twice': lambda s: set_number(s, b'next_entity', 1),
    'a watermark ahead of the journal': lambda s: set_number(s, b'watermark', 10**9),
    'a file cut in half': lambda s: cut_file(mdb(s), 0.5),
    'a file that lacks its last page': lambda s: os.truncate(mdb(s), mdb(s).stat().st_size - PAGE),
    'its first header zeroed': lambda s: zero_page(mdb(s), 0),
    'its second header zeroed': lambda s: zero_page(mdb(s), 1),
    'both its headers zeroed': lambda s: patch(mdb(s), 0, bytes(2 * PAGE)),
    'a root zeroed': lambda s: zero_page(mdb(s), named_root(mdb(s), b'documents')),
    'the main root zeroed': lambda s: zero_page(mdb(s), root_of(mdb(s), 1)),
    'a root that is another table\'s': lambda s: own_loop(s, ''),
    'another file in its place': lambda s: mdb(s).write_bytes(b'{"no": "database"}\n' * 1000),
    'offsets that lead out of a page': lambda s: patch(
        mdb(s), named_root(mdb(s), b'documents') * PAGE + 16, b'\xff\x7f' * 2),
    'keys out of order': lambda s: reverse_keys(mdb(s), named_root(mdb(s), b'eav')),
}


def reverse_keys(path, page):
    data = path.read_bytes()
    count = (header_of(data, page)[2] - 16) // 2
    at = page * PAGE + 16
    offsets = struct.unpack_from(f'={count}H', data, at)
    patch(path, at, struct.pack(f'={count}H', *reversed(offsets)))


SAVED = {
    'an entry that is to be a tree': lambda s: set_flags(mdb(s, 'saved'), 4),
    'the state before the last commit': lambda s: renumber(mdb(s, 'saved')),
    'a bit of a note': lambda s: set_note(s / 'saved', b'mode', struct.pack('=Q', 1), sealed=False),
    'a bit of a record': lambda s: flip(s / 'saved', b'documents', CONFIG, 40),
    'a bit of saved bytes': lambda s: flip(s / 'saved', b'documents', CONFIG, -2),
    'records that changed places': lambda s: swap(s / 'saved', b'documents', CONFIG, NOTES),
    'the bytes of another value': saved_other_value,
    'an inode number twice': saved_ino,
    'inode numbers that will be given twice': lambda s: set_number(s / 'saved', b'next_ino', 7),
    'a watermark ahead of the journal': lambda s: set_number(s / 'saved', b'watermark', 10**9),
    'a note of another size': lambda s: set_note(s / 'saved', b'version', b'seven'),
    'a mode that there is none of': lambda s: set_number(s / 'saved', b'mode', 44),
    'an epoch of before': lambda s: set_number(s / 'saved', b'epoch', 0),
    'a file cut in half': lambda s: cut_file(mdb(s, 'saved'), 0.5),
    'its first header zeroed': lambda s: zero_page(mdb(s, 'saved'), 0),
    'both its headers zeroed': lambda s: patch(mdb(s, 'saved'), 0, bytes(2 * PAGE)),
    'a root zeroed': lambda s: zero_page(mdb(s, 'saved'), named_root(mdb(s, 'saved'), b'documents')),
    'a root that is another table\'s': lambda s: own_loop(s, 'saved'),
    'no file': lambda s: mdb(s, 'saved').unlink(),
}


# ---- the stores

STATES = ('unmounted', 'killed')
MODES = ('datalevin-first', 'datalevin-only')


def furnish(m):
    (m.mnt / 'config.json').write_text('{ "theme":\t":light", "tags": {"#set": [1, 2]} }')
    (m.mnt / 'notes/x.json').write_text('[3,  4]')
    (m.mnt / 'presence/s1/carol.json').write_text('{"deep": {"er": [":k", "' + 'v' * 600 + '"]}}')
    (m.mnt / 'gone.json').unlink()
    (m.mnt / 'presence/s1/bob.json').rename(m.mnt / 'moved.json')
    (m.mnt / 'big.json').write_text(json.dumps({'pad': 'y' * 20_000}))
    for i in range(60):
        (m.mnt / f'many-{i}.json').write_text('{"n": %d, "pad": "%s"}' % (i, 'z' * 200))
    os.chmod(m.mnt / 'notes/x.json', 0o640)
    m.sync()


def work_on(m):
    """What the journal has when the daemon is killed, and maybe no store as yet."""
    (m.mnt / 'late.json').write_text('{"late": true}')
    (m.mnt / 'many-7.json').write_text('{"n": "changed"}')
    (m.mnt / 'many-8.json').unlink()


@pytest.fixture(scope='module')
def furnished():
    """Stores as they are left, made once: (mode, state) -> (directory, what the mount showed)."""
    made = {}
    yield made
    for path, _ in made.values():
        shutil.rmtree(path)


@pytest.fixture
def damaged(mount, furnished, mount_base):
    """damaged(mode, state): a mount that is to come, on a copy of such a store, and what it must show."""
    def make(mode, state):
        if (mode, state) not in furnished:
            m = mount(TEXT, f'mode={mode}', 'force', 'edn_delay=5')
            furnish(m)
            if state == 'killed':
                with journal_driver.held(m.store):
                    work_on(m)
                    seen = look(m)
                    m.kill()
            else:
                seen = look(m)
                m.unmount()
            kept = mount_base / f'kept-{mode}-{state}'
            shutil.copytree(m.store, kept / 'store')
            shutil.copy2(m.edn, kept / 'memory.edn')
            furnished[mode, state] = kept, seen
        kept, seen = furnished[mode, state]
        m = mount.prepare(TEXT, ('edn_delay=5',))
        shutil.copytree(kept / 'store', m.store)
        shutil.copy2(kept / 'memory.edn', m.edn)
        return m, seen
    return make


@pytest.fixture
def check(binary):
    """check(path, *options): (exit status, lines)."""
    def run(path, *options):
        done = subprocess.run([binary('ourofsctl'), 'check', *options, str(path)],
                              capture_output=True, text=True)
        assert done.returncode in (0, 1) and not done.stderr, done
        return done.returncode, done.stdout.splitlines()
    return run


def files_of(store):
    return {path.relative_to(store): path.read_bytes() for path in sorted(store.rglob('*'))
            if path.is_file() and path.name not in ('lock', 'lock.mdb')}


def mend(check, store, name):
    """Found, and changed by a repair only; afterwards nothing is found, and what was is kept."""
    before = files_of(store)
    status, lines = check(store)
    assert status == 1 and [line for line in lines if line.startswith(name + ':')], lines
    assert files_of(store) == before
    status, listed = check(store, '--json')
    problems = json.loads('\n'.join(listed))
    assert status == 1 and len(problems) == len(lines) - 1
    assert {problem['file'] for problem in problems} >= {name}
    status, said = check(store, '--repair')
    assert status == 1 and set(lines) <= set(said)
    after = files_of(store)
    if pathlib.Path(name) in before:
        kept, = [path for path in after if str(path).startswith(name + '.bad-')]
        assert after[kept] == before[pathlib.Path(name)]
    assert not (store / 'mending').exists()
    for options in ((), ('--repair',)):
        status, lines = check(store, *options)
        assert (status, lines) == (0, [f'{store}: no problem'])
    assert files_of(store) == after
    return said


def values(seen):
    return {path: edn_reader.read_json(file.content.decode())
            for path, file in seen.items() if path.endswith('.json')}


def serves(m, check, mode, seen, exactly):
    m.mount()
    found = look(m)
    assert found.keys() == seen.keys()
    if exactly:
        assert found == seen
    assert values(found) == values(seen)
    assert mode_of(m) == mode and not conflicts(m)
    (m.mnt / 'after.json').write_text('{"saved": "afterwards"}')
    m.sync()
    assert health(m)['status'] == 'healthy'
    found = look(m)
    m.unmount()
    assert check(m.store) == (0, [f"{m.store}: no problem"])
    m.mount()
    assert look(m) == found


@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('damage', EAV)
def test_damage_to_the_eav_store(damaged, check, mode, state, damage):
    m, seen = damaged(mode, state)
    EAV[damage](m.store)
    mend(check, m.store, 'data.mdb')
    serves(m, check, mode, seen, exactly=True)


@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('damage', SAVED)
def test_damage_to_what_is_saved(damaged, check, mode, state, damage):
    """What saved alone has is lost with it: modes of directories, and which mode was in use."""
    if damage == 'a watermark ahead of the journal' and state == 'unmounted':
        pytest.skip('there is no journal, and the watermark does no harm')
    m, seen = damaged(mode, state)
    SAVED[damage](m.store)
    mend(check, m.store, 'saved/data.mdb')
    lost = damage in ('both its headers zeroed', 'no file', 'a mode that there is none of', 'a root zeroed',
                      "a root that is another table's", 'a file cut in half')
    m.mount()
    mode = mode_of(m) if lost else mode
    assert mode in MODES
    m.unmount()
    serves(m, check, mode, seen, exactly=False)


def test_a_document_that_the_eav_store_alone_lacks(damaged, check):
    """All of it is gone, so that only what is saved tells."""
    m, seen = damaged('datalevin-only', 'unmounted')
    number = eav_store.Store(m.store).records[CONFIG].entity
    for key in [key for key, _ in rows(m.store, b'eav') if key[:8] == struct.pack('>Q', number)]:
        delete(m.store, b'eav', key)
    for key in [key for key, _ in rows(m.store, b'ave') if key[-8:] == struct.pack('>Q', number)]:
        delete(m.store, b'ave', key)
    delete(m.store, b'documents', CONFIG)
    said = mend(check, m.store, 'data.mdb')
    assert said[0] == 'data.mdb: :config: the document is not there, and was saved'
    serves(m, check, 'datalevin-only', seen, exactly=True)


@pytest.mark.parametrize('repair', [(), ('--repair',)])
def test_what_the_eav_store_has_deleted_before_it_is_told(mount, check, repair):
    """It is written before what is saved: a kill, or a copy, finds it ahead, and the journal knows of what."""
    m = mount(TEXT)
    (m.mnt / '.mode').write_text('force datalevin-only')
    saved = m.store / 'saved/data.mdb'
    for name in ('gone', 'moved', 'lost', 'kept'):
        (m.mnt / f'{name}.json').write_text('{"n": 1}\n')
    m.sync()
    with journal_driver.held(m.store):
        before = saved.read_bytes()
        (m.mnt / 'gone.json').unlink()
        (m.mnt / 'moved.json').rename(m.mnt / 'there.json')
        m.sync()
        m.kill()
    saved.write_bytes(before)
    assert check(m.store, *repair) == (0, [f'{m.store}: no problem'])
    delete(m.store, b'documents', eav_store.name_of(b':lost'))
    assert any(':lost: the document is not there, and was saved' in line for line in check(m.store)[1])
    check(m.store, '--repair')
    m.mount()
    assert not {'gone.json', 'moved.json'} & set(os.listdir(m.mnt))
    assert all((m.mnt / f'{name}.json').read_text() == '{"n": 1}\n' for name in ('there', 'lost', 'kept'))


@pytest.mark.parametrize('mode', MODES)
def test_damage_to_the_journal(damaged, check, mode):
    """Of a killed daemon's: what the stores have is served, and of what they lack all but the damaged record."""
    m, seen = damaged(mode, 'killed')
    kept = m.base / 'kept'
    shutil.copytree(m.store, kept)
    edn = m.edn.read_bytes()
    found = 0
    for segment in sorted((kept / 'journal').iterdir()):
        for record in journal_driver.records(segment.read_bytes()):
            shutil.rmtree(m.store)
            shutil.copytree(kept, m.store)
            m.edn.write_bytes(edn)
            data = bytearray(segment.read_bytes())
            data[record.offset + 50] ^= 1
            (m.store / 'journal' / segment.name).write_bytes(data)
            status, lines = check(m.store, '--repair')
            assert status == 1 and lines[0].startswith(f'journal/{segment.name}:{record.offset}: ')
            assert check(m.store)[0] == 0
            m.mount()
            now, before = values(look(m)), values(seen)
            assert len([path for path in now.keys() | before.keys()
                        if now.get(path) != before.get(path)]) <= 1
            m.unmount()
            found += 1
    assert found >= 3


def test_an_eav_store_that_is_gone(damaged, check):
    """It was used alone."""
    m, seen = damaged('datalevin-only', 'unmounted')
    mdb(m.store).unlink()
    mend(check, m.store, 'data.mdb')
    serves(m, check, 'datalevin-only', seen, exactly=True)


def test_a_read_only_mount_of_a_damaged_record_says_what_to_do(damaged, check):
    m, _ = damaged('datalevin-first', 'killed')
    flip(m.store / 'saved', b'documents', CONFIG, 40)
    m.options = ('ro',)
    m.expect_stderr('ourofsctl check tells more')
    m.spawn()
    assert m.wait_exit() == 1 and 'saved/data.mdb is damaged' in m.stderr()
    m.proc = None
    assert check(m.store, '--repair')[0] == 1
    m.mount()


def test_damaged_bytes_are_not_served(damaged):
    """The value is, as memory.edn has it, where nothing else has the bytes."""
    m, seen = damaged('datalevin-first', 'unmounted')
    flip(m.store, b'documents', CONFIG, -2)
    flip(m.store / 'saved', b'documents', CONFIG, -2)
    m.options = ('edn_delay=5', 'mode=edn-only')
    m.mount()
    assert values(look(m)) == values(seen)
    assert (m.mnt / 'config.json').read_bytes() != seen['config.json'].content


@pytest.mark.parametrize('mode', MODES)
def test_damage_to_both(damaged, check, mode):
    """What is good in either is enough."""
    m, seen = damaged(mode, 'unmounted')
    flip(m.store, b'documents', CONFIG, -2)
    flip(m.store / 'saved', b'documents', NOTES, 40)
    status, lines = check(m.store, '--repair')
    assert status == 1 and {line.split(':')[0] for line in lines[:-1]} == {
        'data.mdb', 'saved/data.mdb'}
    assert check(m.store)[0] == 0
    serves(m, check, mode, seen, exactly=False)


def spoil(dice, path):
    """Some damage, anywhere in the file."""
    data = bytearray(path.read_bytes())
    for _ in range(dice.choice((1, 1, 2, 5))):
        at, length = dice.randrange(len(data)), dice.choice((1, 1, 4, 200, PAGE))
        if dice.random() < 0.5:  # where what matters is dense: the heads of pages
            at = at // PAGE * PAGE + dice.randrange(64)
        length = min(length, len(data) - at)
        kind = dice.randrange(4)
        if kind == 0:
            data[at] ^= 1 << dice.randrange(8)
        else:
            data[at:at + length] = (bytes(length), dice.randbytes(length), b'\xff' * length)[kind - 1]
    if dice.random() < 0.1:
        data = data[:dice.randrange(len(data))]
    path.write_bytes(data)


def read_all(memory):
    return {path: edn_reader.read_json(memory.read(path).decode())
            for path, kind in memory.walk().items() if kind == DOCUMENT}


@pytest.mark.parametrize('file', ['data.mdb', 'saved/data.mdb'])
def test_no_damage_kills(binary, check, tmp_path, file):
    """Of any damage in one of the files neither the memory nor the check dies; and values survive it."""
    dice = random.Random(file)
    (tmp_path / 'memory.edn').write_text(TEXT)
    with Memory(binary('memory_probe'), tmp_path) as m:
        for i in range(150):
            m.put(f'many-{i}.json', b'{"n": %d, "tags": [":a%d", "%s"]}' % (i, i, b'z' * 150))
        m.put('large.json', json.dumps(['y' * 500] * 60).encode())
        expected = read_all(m)
        m.call('close')
        m.end()
        edn, kept = m.edn.read_bytes(), tmp_path / 'kept'
        m.store.rename(kept)
        for _ in range(examples(60)):
            shutil.rmtree(m.store, ignore_errors=True)
            shutil.copytree(kept, m.store)
            m.edn.write_bytes(edn)
            spoil(dice, m.store / file)
            try:
                m.start()
            except Refused:
                assert file != 'data.mdb'
            else:
                assert read_all(m) == expected
                m.kill()
            found = check(m.store)
            assert check(m.store, '--repair')[0] == found[0]
            assert check(m.store) == (0, [f'{m.store}: no problem'])
            m.start()
            assert read_all(m) == expected
            m.kill()


def test_a_mode_for_others(damaged, check):
    m, _ = damaged('datalevin-first', 'unmounted')
    m.store.chmod(0o755)
    assert check(m.store) == (1, ['.: others than its owner may use it (mode 0755)',
                                  f'{m.store}: 1 problem'])
    assert check(m.store, '--repair')[0] == 1
    assert m.store.stat().st_mode & 0o777 == 0o700 and check(m.store)[0] == 0
    shutil.rmtree(m.store / 'scratch')
    (m.store / 'scratch').write_text('')
    assert check(m.store)[1][0] == 'scratch: it is no directory'


# ---- a repair that ends early

def killed_repair(binary, build_dir, store, counts, at, side):
    """The number of calls by which it changed the disk, until it was killed at one of them."""
    counts.unlink(missing_ok=True)
    env = callpoint.environment(build_dir, counts, at, side)
    done = subprocess.run([binary('ourofsctl'), 'check', '--repair', store], env=env,
                          capture_output=True)
    assert done.returncode == (-signal.SIGKILL if at else 1), done
    return callpoint.count(counts)


@pytest.mark.preload
@pytest.mark.parametrize('side', ['before', 'after', 'torn'])
@pytest.mark.parametrize('mode', MODES)
def test_a_repair_that_is_killed(binary, build_dir, damaged, check, tmp_path, mode, side):
    """At each call by which it changes the disk: it can be run again, and nothing is missing."""
    m, seen = damaged(mode, 'killed')
    flip(m.store, b'documents', CONFIG, -2)
    flip(m.store / 'saved', b'documents', NOTES, 40)
    zero_page(mdb(m.store), named_root(mdb(m.store), b'eav'))
    segment = sorted((m.store / 'journal').iterdir())[-1]
    segment.write_bytes(segment.read_bytes() + b'torn')
    kept = m.base / 'kept'
    m.store.rename(kept)
    shutil.copy2(m.edn, m.base / 'memory.kept')

    def restore():
        shutil.rmtree(m.store, ignore_errors=True)
        shutil.copytree(kept, m.store)
        shutil.copy2(m.base / 'memory.kept', m.edn)

    restore()
    count = killed_repair(binary, build_dir, m.store, tmp_path / 'counts', 0, side)
    step = 1 if os.environ.get('OUROFS_KILLPOINTS') == 'all' else max(1, count // 20)
    for at in range(1 + len(side) % step, count + 1, step):
        restore()
        try:
            killed_repair(binary, build_dir, m.store, tmp_path / 'counts', at, side)
        except AssertionError:
            if side != 'torn':  # of which not every call has a midst
                raise
        check(m.store, '--repair')
        assert check(m.store) == (0, [f'{m.store}: no problem'])
        m.mount()
        assert values(look(m)) == values(seen), at
        m.unmount()


def test_a_full_disk(binary, damaged, small_disk, check):
    """The store is as it was, and can be repaired when there is room."""
    m, _ = damaged('datalevin-first', 'unmounted')
    flip(m.store, b'documents', CONFIG, -2)
    flip(m.store / 'saved', b'documents', CONFIG, 40)
    store = small_disk('2m') / 'store'
    shutil.copytree(m.store, store)
    fill_disk(store.parent / 'ballast')
    before = files_of(store)
    done = subprocess.run([binary('ourofsctl'), 'check', '--repair', store], capture_output=True,
                          text=True)
    assert done.returncode == 2 and 'No space left on device' in done.stderr
    assert files_of(store) == before and not (store / 'mending').exists()
    (store.parent / 'ballast').unlink()
    mend(check, store, 'saved/data.mdb')


def test_a_store_in_use_is_refused(binary, damaged):
    m, _ = damaged('datalevin-first', 'unmounted')
    m.mount()
    done = subprocess.run([binary('ourofsctl'), 'check', '--repair', m.store], capture_output=True,
                          text=True)
    assert done.returncode == 2 and f'in use by ourofs (pid {m.proc.pid})' in done.stderr


# ---- memory.edn

EDN = [
    ('{:a 1}', []),
    ('{:a :b/1\n :c/2 "é"}', ['1:5: clojure.edn can\'t read the keyword :b/1', '2:2: clojure.edn']),
    ('{"é" #my/tag [1]}', ['1:7: clojure.edn has no reader for the tag #my/tag']),
    ('#:n{:a 1 :2 3}', ["1:10: clojure.edn can't read this key or its value"]),
    ('{:a 1}\n; fine\n {:b 2}', ['3:2: 6 bytes are behind the first form']),
    ('{:a 1\n :b 2 :a 3}', ['2:7: a key that the map has already']),
    ('{1 2, 1N 3}', ['1:7: a key that the map has already']),
    ('{:a 1', ['1:6: ']),
    ('[:a 1]', ['1:1: the top level is a vector, not a map']),
    ('{:deep %s}' % ('[' * 600 + ']' * 600), ['1:2: its value is nested 600 levels deep']),
]


@pytest.mark.parametrize('text, problems', EDN)
def test_memory_edn(binary, tmp_path, text, problems):
    path = tmp_path / 'memory.edn'
    path.write_text(text)
    done = subprocess.run([binary('ourofsctl'), 'check', path], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert done.returncode == (1 if problems else 0) and len(lines) == len(problems) + 1
    for line, problem in zip(lines, problems):
        assert line.startswith(f'{path}:{problem}')
    done = subprocess.run([binary('ourofsctl'), 'check', '--repair', path], capture_output=True,
                          text=True)
    assert done.returncode == 2 and 'only a store can be repaired' in done.stderr
    assert path.read_text() == text


# ---- which files a mount examines ----

@pytest.mark.parametrize('folder', ['.', 'saved'])
def test_what_was_closed_well_is_known_by_its_stat(mount, folder):
    """A mount looks at each page of what was not left as its last writer closed it."""
    m = mount('{:config {:a 1}}', 'mode=datalevin-first')
    (m.mnt / 'config.json').write_text('{"a": 2}')
    word, data = m.store / folder / 'data.mdb.closed', m.store / folder / 'data.mdb'
    assert not word.exists()
    m.unmount()
    assert word.exists()
    m.mount()
    assert not word.exists()
    m.kill()
    assert not word.exists()
    m.mount()
    m.unmount()
    # damage that leaves size and mtime as they were
    st = data.stat()
    with open(data, 'r+b') as file:
        for page in range(2, st.st_size // 4096):
            file.seek(page * 4096 + 12)
            file.write(b'\xff' * 4)
    os.utime(data, ns=(st.st_atime_ns, st.st_mtime_ns))
    m.mount()
    assert (m.mnt / 'config.json').read_text() == '{"a": 2}'
    wait_until(lambda: list(data.parent.glob('data.mdb.bad-*')), 'it to be made anew')
