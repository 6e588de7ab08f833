# SPDX-License-Identifier: MIT
"""A memory.edn that is too big to be held in memory."""
import json
import os
import pathlib
import re
import threading

import pytest

from conftest import FORGETS, LOOKS_INSIDE, status_kb, wait_until

MIB = 1 << 20
LINES = 20_000


def big(count=LINES):
    """Some 20 MB, with comments, which a rewrite keeps."""
    entries = [f' ; {i} ;\n :notes/n{i} {{:note/text "{chr(97 + i % 26) * 1000}" :note/n {i}}}' for i in range(count)]
    return '{' + '\n'.join(entries) + '}\n'


def mapped_mb(pid):
    """What is mapped of files without a name."""
    text = pathlib.Path(f'/proc/{pid}/maps').read_text()
    found = re.findall(r'^(\w+)-(\w+) r--s .*\(deleted\)$', text, re.M)
    return sum(int(end, 16) - int(begin, 16) for begin, end in found) / MIB


def anonymous_mb(pid):
    return status_kb(pid, 'RssAnon') / 1024


def note(m, i):
    return (m.mnt / f'notes/n{i}.json').read_text()


@LOOKS_INSIDE
@pytest.mark.parametrize('mode', ['edn-only', 'datalevin-first'])
def test_its_text_is_kept_in_a_file(mount, mode):
    text = big()
    m = mount(text, f'mode={mode}')
    wait_until(lambda: mapped_mb(m.proc.pid) > 19, 'the text to be put away')
    assert m.edn_text() == text
    for i in (0, 1, LINES // 2, LINES - 1):
        assert f'"note/n": {i}' in note(m, i)
    (m.mnt / 'notes/n7.json').write_text('{"note/n": -7}\n')
    (m.mnt / 'notes/n9.json').rename(m.mnt / 'notes/m9.json')
    m.sync()
    was = re.search(r' :notes/n7 (.*)', text)[1]
    assert m.edn_text() == text.replace(f':notes/n7 {was}', ':notes/n7 {:note/n -7}').replace(':notes/n9 ', ':notes/m9 ')
    assert f'"note/n": {LINES - 1}' in note(m, LINES - 1)


@LOOKS_INSIDE
def test_another_file_takes_its_place(mount):
    m = mount(big())
    wait_until(lambda: mapped_mb(m.proc.pid) > 19, 'the text to be put away')
    m.edn.write_text(big().replace(':note/n 5}', ':note/n 55555}'))
    wait_until(lambda: '55555' in note(m, 5), 'the change to be seen')
    wait_until(lambda: 19 < mapped_mb(m.proc.pid) < 25, 'the new text to take the place of the old one')
    assert '"note/n": 19999' in note(m, 19999)


def test_no_room_for_it(small_disk, mount):
    disk = small_disk('4m')
    m = mount(big(), f'store={disk}/store', 'mode=edn-only')
    (m.mnt / 'notes/n1.json').write_text('{"note/n": 1}\n')
    m.sync()
    assert mapped_mb(m.proc.pid) == 0
    assert '"note/n": 19999' in note(m, 19999)
    wait_until(lambda: anonymous_mb(m.proc.pid) > 19, 'the text to be read')


def mount_again(m):
    m.unmount()
    m.mount()


def test_the_same_stat_is_not_the_same_text(mount):
    """Written in place, as many bytes, the times set back: what is read is what is there."""
    m = mount(big(6000).replace(':note/n 5999}', ':note/n 9989}'), 'edn_delay=0')
    (m.mnt / '.migrate').write_text('all')
    wait_until(lambda: json.loads((m.mnt / '.migrate').read_text())['state'] == 'done', 'the migration')
    mount_again(m)
    (m.mnt / 'notes/n7.json').write_text('{"note/n": -7}\n')
    (m.mnt / 'presence/s').mkdir(parents=True)
    (m.mnt / 'presence/s/x.json').write_text('1')
    for change in range(3):
        mount_again(m)
        assert json.loads(note(m, 7)) == {'note/n': -7}
        assert (m.mnt / 'presence/s/x.json').read_text() == '1'
        assert len(os.listdir(m.mnt / 'notes')) == 6000
        assert (m.store / 'edn.index').exists()
        m.unmount()
        before = m.edn.stat()
        with open(m.edn, 'r+b') as file:
            at = m.edn.read_bytes().index(b':note/n %d}' % (9989 + change))
            file.seek(at)
            file.write(b':note/n %d}' % (9990 + change))
        os.utime(m.edn, ns=(before.st_atime_ns, before.st_mtime_ns))
        m.mount()
        assert json.loads(note(m, 5999))['note/n'] == 9990 + change


def test_killed_it_is_read_anew(mount):
    """The index is of the last unmount."""
    m = mount(big(6000), 'edn_delay=0')
    mount_again(m)
    (m.mnt / 'notes/n7.json').write_text('{"note/n": -7}\n')
    (m.mnt / 'notes/n8.json').unlink()
    m.sync()
    m.kill()
    m.mount()
    assert json.loads(note(m, 7)) == {'note/n': -7}
    assert len(os.listdir(m.mnt / 'notes')) == 5999


@pytest.mark.usefixtures('lazy_malloc')
@pytest.mark.busy  # and what a sanitizer keeps is its own
@pytest.mark.parametrize('threads', [1, 8])
def test_what_large_documents_leave_behind(mount, threads):
    """Whoever served them: no thread keeps as much as they took."""
    m = mount('{}', 'edn_delay=3600000')

    def use(name):
        for size in (8_000_000, 100_000):
            (m.mnt / f'{name}.json').write_bytes(b'"%s"' % (b'x' * size))
            assert len((m.mnt / f'{name}.json').read_bytes()) == size + 2
    users = [threading.Thread(target=use, args=(f'd{n}',)) for n in range(threads)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    m.sync()
    wait_until(lambda: anonymous_mb(m.proc.pid) < (20 if threads == 1 else 100), 'memory to be given back')


COLLECTIONS, MEMBERS = 300, 100


def sessions():
    return '{' + ', '.join(
        f':presence/s{s} {{' + ', '.join(f'"m{n}" {{:n {n}}}' for n in range(MEMBERS)) + '}' for s in range(COLLECTIONS)) + '}'


def walk(m):
    return sum(len([entry.stat() for entry in os.scandir(session)]) for session in os.scandir(m.mnt / 'presence'))


@FORGETS
@pytest.mark.usefixtures('lazy_malloc')
@pytest.mark.busy  # and what a sanitizer keeps is its own
def test_what_nobody_looks_at_leaves_memory(mount):
    m = mount(sessions())
    (m.mnt / '.migrate').write_text('all')
    wait_until(lambda: json.loads((m.mnt / '.migrate').read_text())['state'] == 'done', 'the migration')
    mount_again(m)
    before = anonymous_mb(m.proc.pid)
    assert walk(m) == COLLECTIONS * MEMBERS
    full = anonymous_mb(m.proc.pid)
    assert full > before + 3
    m.forget(COLLECTIONS)
    wait_until(lambda: anonymous_mb(m.proc.pid) < (before + full) / 2, 'half of the memory to be given back')
    assert walk(m) == COLLECTIONS * MEMBERS
    assert anonymous_mb(m.proc.pid) < full + 2


@FORGETS
@pytest.mark.parametrize('mode', ['edn-only', 'datalevin-first', 'datalevin-only'])
def test_a_member_whose_collection_is_away(mount, mode):
    """It is found by its own name: what was made, changed, moved and deleted, before both stores have it and behind that."""
    m = mount(sessions(), 'edn_delay=600000')
    (m.mnt / '.mode').write_text('force datalevin-first')
    if mode != 'datalevin-first':
        (m.mnt / '.mode').write_text('force ' + mode)
    session = m.mnt / 'presence/s5'
    (session / 'new.json').write_text('{"n": 1}\n')
    (session / 'm6.json').write_text('{"n": 66}\n')
    (session / 'm7.json').unlink()
    (session / 'm8.json').rename(session / 'moved.json')
    expected = {'new': '{"n": 1}\n', 'm6': '{"n": 66}\n', 'moved': '{\n  "n": 8\n}\n', 'm9': '{\n  "n": 9\n}\n',
                'm7': None, 'm8': None, 'm100': None}
    for settle in (lambda: None, m.sync, lambda: mount_again(m)):
        settle()
        for name, text in expected.items():
            m.forget(COLLECTIONS)
            path = session / f'{name}.json'
            if text is None:
                assert not path.exists()
            else:
                assert path.read_text() == text and path.stat().st_size == len(text)


@FORGETS
def test_a_member_that_another_program_changes_unseen(mount):
    text = sessions()
    m = mount(text)
    (m.mnt / '.mode').write_text('force datalevin-first')
    m.sync()
    m.forget(COLLECTIONS)
    m.edn.write_text(text.replace('"m5" {:n 5}, ', '', 1).replace('"m6" {:n 6}', '"m6" {:n -6}', 1))
    wait_until(lambda: (m.mnt / 'presence/s0/m6.json').read_text() == '{\n  "n": -6\n}\n', 'the change')
    m.forget(COLLECTIONS)
    assert not (m.mnt / 'presence/s0/m5.json').exists()
    assert (m.mnt / 'presence/s1/m5.json').exists()


@FORGETS
@pytest.mark.usefixtures('lazy_malloc')
@pytest.mark.busy
def test_one_of_many_alone(mount):
    """To read it costs no index of the others."""
    count = 100_000
    m = mount('{:presence/s {' + ', '.join(f'"m{n}" {{:n {n}}}' for n in range(count)) + '}}')
    (m.mnt / '.migrate').write_text('all')
    wait_until(lambda: json.loads((m.mnt / '.migrate').read_text())['state'] == 'done', 'the migration')
    mount_again(m)
    before = anonymous_mb(m.proc.pid)
    for n in range(0, count, count // 50):
        assert json.loads((m.mnt / f'presence/s/m{n}.json').read_text()) == {'n': n}
    assert anonymous_mb(m.proc.pid) < before + 4
    assert not (m.mnt / f'presence/s/m{count}.json').exists()
    assert anonymous_mb(m.proc.pid) > before + 4


@FORGETS
@pytest.mark.parametrize('mode', ['edn-only', 'datalevin-first', 'datalevin-only'])
def test_what_comes_back_is_what_went(mount, mode):
    """Members that were made, changed and deleted before, also while memory.edn lacks all of that."""
    m = mount(sessions(), 'edn_delay=600000')
    if mode != 'datalevin-first':
        (m.mnt / '.mode').write_text('force ' + mode)
    session = m.mnt / 'presence/s5'
    assert walk(m) == COLLECTIONS * MEMBERS
    (session / 'new.json').write_text('{"n": 1}\n')
    (session / 'm6.json').write_text('{"n": 66}\n')
    (session / 'm7.json').unlink()
    (session / 'm8.json').rename(session / 'moved.json')
    (m.mnt / 'presence/s6/m9.json').rename(session / 'm9.json')
    inodes = {entry.name: entry.inode() for entry in os.scandir(session)}
    names = {f'm{n}.json' for n in range(MEMBERS)} - {'m7.json', 'm8.json'} | {'new.json', 'moved.json'}
    assert set(inodes) == names
    total = json.loads((m.mnt / '.health').read_text())
    for _ in range(2):
        m.forget(COLLECTIONS)
        assert json.loads((m.mnt / '.health').read_text())['edn'] == total['edn']
        assert {entry.name: entry.inode() for entry in os.scandir(session)} == inodes
        assert (session / 'm6.json').read_text() == '{"n": 66}\n'
        assert not (session / 'm7.json').exists()
        assert json.loads((session / 'm9.json').read_text()) == {'n': 9}
    m.forget(COLLECTIONS)
    (session / 'm7.json').write_text('{"n": 77}\n')
    m.forget(COLLECTIONS)
    assert walk(m) == COLLECTIONS * MEMBERS
    m.sync()
    mount_again(m)
    assert walk(m) == COLLECTIONS * MEMBERS
    assert (session / 'm7.json').read_text() == '{"n": 77}\n'
