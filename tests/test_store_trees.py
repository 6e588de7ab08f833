# SPDX-License-Identifier: MIT
"""/.store/edn/ and /.store/datalevin/: each store by itself, file by file."""
import errno
import json
import os
import shutil
import stat
import subprocess

import pytest
from conftest import wait_until
from eav_plant import Planting
from eav_store import name_of
from modes_driver import Writers, look, switch, work
from test_validate import TEXT, begin, forget, plant

STORES = ('edn', 'datalevin')
KEYS = ['config.json', 'notes/x.json', 'presence/s1/alice.json', 'presence/s1/bob.json', 'seen.json']


def tree(m, store):
    return m.mnt / '.store' / store


def files(top):
    """{path: bytes} and the directories"""
    found, directories = {}, set()
    for where, names, below in os.walk(top, onerror=fail):
        there = os.path.relpath(where, top)
        directories |= {os.path.normpath(f'{there}/{name}') for name in names}
        for name in below:
            path = os.path.normpath(f'{there}/{name}')
            found[path] = (top / path).read_bytes()
            assert os.stat(top / path).st_size == len(found[path])
    return found, directories


def fail(error):
    raise error


def diff(m):
    """The lines of diff -rq, with the mount's part of the paths cut off."""
    done = subprocess.run(['diff', '-rq', 'edn', 'datalevin'], cwd=m.mnt / '.store',
                          capture_output=True, text=True)
    assert done.returncode in (0, 1) and not done.stderr, done.stderr
    assert bool(done.stdout) == done.returncode
    return done.stdout.splitlines()


def served(m):
    """The memory's own files and directories."""
    seen = look(m)
    return ({path: file.content for path, file in seen.items() if stat.S_ISREG(file.mode)},
            {path for path, file in seen.items() if stat.S_ISDIR(file.mode)})


# ---- what is in them ----

def test_they_are_reached_and_not_listed(mount):
    m = mount(TEXT)
    assert '.store' not in os.listdir(m.mnt)
    assert sorted(os.listdir(m.mnt / '.store')) == sorted(STORES)
    for path in ('other', 'edn.json', 'edn/nothing.json', 'edn/config.json/x', 'datalevin/presence'):
        assert not (m.mnt / '.store' / path).exists()
    m.remount('control=listed')
    assert '.store' in os.listdir(m.mnt)
    assert '.store/' in (m.mnt / '.help').read_text()


@pytest.mark.parametrize('mode', ['dual-write', 'datalevin-first', 'datalevin-only'])
def test_both_are_as_the_memory(mount, example, mode):
    m = begin(mount, example, mode)
    assert diff(m) == []
    assert files(tree(m, 'edn')) == files(tree(m, 'datalevin')) == served(m)


@pytest.mark.parametrize('mode', ['dual-write', 'datalevin-first'])
def test_they_follow_every_kind_of_change(mount, mode):
    m = begin(mount, mode=mode)
    for word in ('one', 'two'):
        assert diff(m) == []  # from here on what is indexed has to be kept up
        work(m, word)
        assert diff(m) == []
    (m.mnt / 'presence/one').rename(m.mnt / 'presence/uno')
    (m.mnt / 'presence/s1/bob.json').unlink()
    (m.mnt / 'presence/s1/alice.json').unlink()
    assert diff(m) == []
    (m.mnt / 'presence/s1').rmdir()
    (m.mnt / 'seen.json').rename(m.mnt / 'was seen.txt')
    assert diff(m) == []
    assert files(tree(m, 'datalevin')) == files(tree(m, 'edn'))
    assert {path for path in served(m)[0] if path.endswith('.json')} == \
        files(tree(m, 'datalevin'))[0].keys()
    m.sync()
    assert diff(m) == []


def test_bytes_are_those_that_were_saved(mount):
    m = begin(mount)
    (m.mnt / 'config.json').write_bytes(b'{ "a":\t[1,\n2] }')
    os.utime(m.mnt / 'config.json', ns=(0, 1_500_000_000_123_456_789))
    (m.mnt / 'config.json').chmod(0o640)
    for turn in range(2):
        for store in STORES:
            path = tree(m, store) / 'config.json'
            assert path.read_bytes() == b'{ "a":\t[1,\n2] }'
            assert path.stat().st_mtime_ns == 1_500_000_000_123_456_789
            assert stat.S_IMODE(path.stat().st_mode) == 0o640
        m.sync()


def test_another_layout_of_the_same_values_is_no_difference(mount):
    """It was never saved: the bytes are those that the EAV store has printed."""
    m = begin(mount)
    text = ('{:presence/bare {} :presence/s1 {"bob" 5, "alice" {:b 2}}, :fresh {:b 1},'
            ':notes/x [1, 2], :seen 3, :config {:tags #{:y :x}, :a 1}}')
    m.edn.write_text(text)
    wait_until(lambda: (m.mnt / 'fresh.json').exists(), 'the outside change')
    assert diff(m) == []
    switch(m, 'datalevin-only')
    m.edn.write_text(text.replace('{:tags #{:y :x}, :a 1}', '{:a 1 :tags #{:x :y}}'))
    assert diff(m) == []


# ---- differences ----

def test_what_is_not_migrated_is_in_edn_alone(mount):
    m = mount(TEXT)
    assert files(tree(m, 'edn')) == served(m)
    assert files(tree(m, 'datalevin')) == ({}, set())
    (m.mnt / 'seen.json').write_text('4')
    assert files(tree(m, 'datalevin')) == ({'seen.json': b'4'}, set())
    assert diff(m) == [f'Only in edn: {name}' for name in ('config.json', 'notes', 'presence')]


def test_they_follow_a_migration(mount):
    """Which changes the EAV store and nothing else."""
    m = mount(TEXT)
    assert files(tree(m, 'datalevin')) == ({}, set())
    (m.mnt / '.migrate').write_text('all')
    wait_until(lambda: json.loads((m.mnt / '.migrate').read_text())['state'] == 'done',
               'the migration to end')
    assert diff(m) == [] and files(tree(m, 'datalevin')) == served(m)


def test_a_document_that_the_eav_store_lost(mount):
    m = begin(mount)
    plant(m, forget(name_of(b':presence/s1', b'"alice"')))
    assert diff(m) == ['Only in edn/presence/s1: alice.json']
    assert json.loads((tree(m, 'edn') / 'presence/s1/alice.json').read_text()) == {'b': 2}


def test_another_value_in_the_eav_store(mount):
    m = begin(mount)
    plant(m, lambda p: p.header(name_of(b':seen'), data=b'4', identity=bytes(16)))
    assert diff(m) == ['Files edn/seen.json and datalevin/seen.json differ']


def test_a_damaged_document_can_be_found_and_not_read(mount):
    m = begin(mount)
    plant(m, lambda p: p.flip(name_of(b':config'), -1))
    assert 'config.json' in os.listdir(tree(m, 'datalevin'))
    with pytest.raises(OSError) as caught:
        (tree(m, 'datalevin') / 'config.json').read_bytes()
    assert caught.value.errno == errno.EIO
    assert (tree(m, 'edn') / 'config.json').exists()
    assert (m.mnt / 'config.json').exists()


def test_memory_edn_that_is_left_alone_is_the_file_as_it_stands(mount):
    m = begin(mount, mode='datalevin-only')
    assert diff(m) == []
    (m.mnt / 'seen.json').write_text('4')
    (m.mnt / 'new.json').write_text('1')
    (m.mnt / 'notes/x.json').unlink()
    (m.mnt / 'notes').rmdir()
    assert diff(m) == ['Only in datalevin: new.json', 'Only in edn: notes',
                       'Files edn/seen.json and datalevin/seen.json differ']
    m.edn.write_text('{:seen 4 :presence/s2 {"cid" {}}}')
    assert files(tree(m, 'edn')) == ({'seen.json': b'4', 'presence/s2/cid.json': b'{}\n'},
                                     {'presence', 'presence/s2'})
    m.edn.unlink()
    assert files(tree(m, 'edn')) == ({}, set())
    m.edn.write_text('{:broken')
    with pytest.raises(OSError) as caught:
        os.listdir(tree(m, 'edn'))
    assert caught.value.errno == errno.EIO
    assert '.store/edn' in (m.mnt / '.errors').read_text()
    assert sorted(files(tree(m, 'datalevin'))[0]) == sorted(
        [*(path for path in KEYS if not path.startswith('notes')), 'new.json'])


def test_a_mode_without_eav_store(mount):
    m = mount(TEXT, 'mode=edn-only')
    assert files(tree(m, 'edn')) == served(m)
    with pytest.raises(OSError) as caught:
        os.listdir(tree(m, 'datalevin'))
    assert caught.value.errno == errno.ENODEV
    assert 'keeps the EAV store closed' in (m.mnt / '.errors').read_text()
    switch(m, 'dual-write')
    assert diff(m) == []
    switch(m, 'edn-only')
    with pytest.raises(OSError):
        os.listdir(tree(m, 'datalevin'))
    (m.mnt / 'later.json').write_text('1')
    switch(m, 'dual-write')
    assert diff(m) == [] and (tree(m, 'datalevin') / 'later.json').read_text() == '1'


# ---- as any tree of files ----

def changes(top):
    file, directory = top / 'config.json', top / 'presence/s1'
    return [lambda: file.write_text('1'), lambda: os.truncate(file, 0), file.unlink,
            lambda: file.chmod(0o777), lambda: os.utime(file), directory.rmdir,
            lambda: (directory / 'new.json').write_text('1'), (directory / 'sub').mkdir,
            lambda: file.rename(top / 'other.json'), lambda: directory.rename(top / 'other'),
            lambda: (top / 'new').mkdir(), lambda: (top / 'scratch.txt').write_text('1'),
            lambda: directory.chmod(0o777), lambda: file.rename(top.parent.parent / 'y.json'),
            lambda: os.rename(top.parent.parent / 'seen.json', top / 'seen.json'),
            lambda: os.close(os.open(file, os.O_RDONLY | os.O_TRUNC)),
            lambda: os.close(os.open(file, os.O_RDWR))]


@pytest.mark.parametrize('store', STORES)
def test_nothing_can_be_written(mount, store):
    m = begin(mount)
    before = files(tree(m, store)), served(m)
    for number, change in enumerate(changes(tree(m, store))):
        with pytest.raises(OSError) as caught:
            change()
        assert (number, caught.value.errno) == (number, errno.EROFS)
    for change in ((m.mnt / '.store/x').mkdir, (m.mnt / '.store').rmdir, tree(m, store).rmdir,
                   lambda: (m.mnt / '.store').rename(m.mnt / 'store')):
        with pytest.raises(OSError) as caught:
            change()
        assert caught.value.errno == errno.EROFS
    assert (files(tree(m, store)), served(m)) == before


@pytest.mark.parametrize('store', STORES)
def test_tools(mount, example, store, tmp_path):
    m = begin(mount, example)
    top, content = tree(m, store), files(tree(m, store))

    def run(*words):
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done
        return done.stdout
    assert len(run('find', str(top), '-type', 'f').splitlines()) == len(content[0])
    run('cp', '-a', str(top), str(tmp_path / 'copy'))
    assert files(tmp_path / 'copy') == content
    run('tar', '-C', str(top), '-cf', str(tmp_path / 'all.tar'), '.')
    (tmp_path / 'out').mkdir()
    run('tar', '-C', str(tmp_path / 'out'), '-xf', str(tmp_path / 'all.tar'))
    assert files(tmp_path / 'out') == content
    assert run('grep', '-rl', 'e', str(top)).count('\n') == sum(b'e' in data for data in content[0].values())
    entry = {e.name: e.inode() for e in os.scandir(top)}
    assert entry == {name: os.stat(top / name).st_ino for name in entry}
    inos = [os.stat(top / path).st_ino for paths in content for path in paths]
    assert len(set(inos)) == len(inos)


def test_an_open_file_stays_as_it_was(mount):
    m = begin(mount)
    with open(tree(m, 'datalevin') / 'seen.json', 'rb', buffering=0) as file:
        (m.mnt / 'seen.json').write_text('"a longer one"')
        assert file.read() == b'3\n'
        m.sync()
        (m.mnt / 'seen.json').unlink()
        assert os.pread(file.fileno(), 100, 0) == b'3\n'
    assert not (tree(m, 'datalevin') / 'seen.json').exists()


def test_names_that_are_cut(mount):
    long = 'k' * 300
    m = begin(mount, '{:' + long + ' 1 :presence/s {"' + long + '" 2} :a/' + long + '/b 3 "text" 4 [1] 5}')
    assert diff(m) == []
    assert files(tree(m, 'datalevin')) == served(m)
    for path in served(m)[0]:
        (m.mnt / path).write_text('6')
    assert diff(m) == [] and set(files(tree(m, 'datalevin'))[0].values()) == {b'6'}
    for path in served(m)[0]:
        (m.mnt / path).unlink()
    assert files(tree(m, 'datalevin'))[0] == {}


def test_while_writers_work(mount):
    """Every look is at some moment: no error, and in the end no difference."""
    m = begin(mount)
    with Writers(m) as writers:
        for _ in range(30):
            for store in STORES:
                for where, _, names in os.walk(tree(m, store)):
                    for name in names:
                        try:
                            with open(os.path.join(where, name), 'rb') as file:
                                assert json.loads(file.read()) is not None
                        except FileNotFoundError:
                            pass
        writers.end()
    assert diff(m) == []
    assert files(tree(m, 'datalevin'))[0] == \
        {path: data for path, data in served(m)[0].items() if path.endswith('.json')}


def test_a_read_only_mount_shows_them(mount):
    m = begin(mount)
    m.remount('ro')
    assert diff(m) == [] and sorted(files(tree(m, 'edn'))[0]) == KEYS
    m.unmount()
    with Planting(m.store) as p:
        forget(name_of(b':seen'))(p)
    m.mount()
    assert diff(m) == ['Only in edn: seen.json']


def test_nothing_is_left_behind(mount):
    """An index that is there when the store goes: at a switch, at an unmount, at a kill."""
    m = begin(mount, mode='datalevin-only')
    assert diff(m) == []
    switch(m, 'datalevin-first')
    assert diff(m) == []
    m.kill()
    m.mount()
    assert diff(m) == []
    shutil.copytree(tree(m, 'datalevin'), m.base / 'copy')
    m.unmount()
