# SPDX-License-Identifier: MIT
"""A document's content changes as a whole: nobody sees a draft, a mix, or nothing at all."""
import json
import mmap
import os
import subprocess
import threading

import pytest

MEMORY = '{:config {:v 1}, :presence/s1 {"alice" {:user/name "Alice"}}}'

# A long run: OUROFS_ISOLATION_CHECKS=5000000 pytest tests/test_isolation.py
CHECKS = int(os.environ.get('OUROFS_ISOLATION_CHECKS', '40000'))


@pytest.mark.parametrize('size', [220, 1000000])
def test_writers_and_readers(mount, binary, size):
    m = mount(MEMORY)
    checks = CHECKS if size < 10000 else CHECKS // 40
    run = subprocess.run([binary('isolation'), m.mnt / 'config.json', str(size), str(checks)],
                         stdout=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 0, run.stdout
    looks, saves = (int(word) for word in run.stdout.split() if word.isdigit())
    assert looks >= checks and saves > 0


def test_last_close_wins(mount):
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    first = open(path, 'w')
    second = open(path, 'w')
    second.write('{"v": "second"}\n')
    first.write('{"v": "first"}\n')
    assert json.loads(path.read_text()) == {'v': 1}
    second.close()
    assert json.loads(path.read_text()) == {'v': 'second'}
    first.close()
    assert json.loads(path.read_text()) == {'v': 'first'}
    m.sync()
    assert ':v "first"' in m.edn_text()


def test_a_held_reader_keeps_its_version(mount):
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    before = path.read_bytes()
    with open(path, 'rb') as held:
        size = os.fstat(held.fileno()).st_size
        view = mmap.mmap(held.fileno(), 0, prot=mmap.PROT_READ)
        path.write_text('{"v": "much longer than it was before"}\n')
        assert held.read() == before
        assert os.fstat(held.fileno()).st_size == size == len(before)
        assert view[:] == before
        view.close()
    assert json.loads(path.read_text())['v'].startswith('much')


def test_reader_opened_before_first_read(mount):
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    before = path.read_bytes()
    os.posix_fadvise(fd := os.open(path, os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)
    path.write_text('{"v": 2}')
    path.write_text('{"v": 3}')
    assert os.read(fd, 1000) == before
    os.close(fd)


def test_truncate_is_not_seen(mount):
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    before = path.read_bytes()
    writer = open(path, 'w')
    assert path.read_bytes() == before
    assert path.stat().st_size == len(before)
    writer.write('{"v"')
    writer.flush()
    assert path.read_bytes() == before
    assert os.fstat(writer.fileno()).st_size == 4
    writer.write(': 2}')
    writer.close()
    assert json.loads(path.read_text()) == {'v': 2}


def test_writer_reads_its_own(mount):
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    with open(path, 'r+') as both:
        assert json.loads(both.read()) == {'v': 1}
        both.seek(0)
        both.write('{"v": 7}')
        both.truncate()
        both.flush()
        both.seek(0)
        assert json.loads(both.read()) == {'v': 7}
        os.fsync(both.fileno())
        assert json.loads(path.read_text()) == {'v': 7}


def test_fstat_of_writer_is_stat_after_commit(mount):
    m = mount(MEMORY)
    for name in ('config.json', 'new.json'):
        path = m.mnt / name
        with open(path, 'w') as writer:
            writer.write('{"n": 1}\n')
            writer.flush()
            during = os.fstat(writer.fileno())
        after = path.stat()
        for field in ('st_ino', 'st_size', 'st_mtime_ns', 'st_mode', 'st_uid', 'st_nlink'):
            assert getattr(during, field) == getattr(after, field), (name, field)


def test_through_a_magic_link(mount):
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    with open(path) as reader:
        again = f'/proc/self/fd/{reader.fileno()}'
        assert json.load(open(again)) == {'v': 1}
        with open(again, 'w') as writer:
            writer.write('{"v": "by link"}')
        assert json.load(open(again)) in ({'v': 1}, {'v': 'by link'})
    assert json.loads(path.read_text()) == {'v': 'by link'}


def test_unlinked_but_open(mount):
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    before = path.read_bytes()
    with open(path, 'rb') as reader, open(path, 'r+b') as writer:
        path.unlink()
        assert not path.exists()
        assert reader.read() == before
        writer.write(b'{"v": "nobody can see this"}')
    assert not path.exists()
    m.sync()
    assert ':config' not in m.edn_text()


def test_replaced_while_a_writer_is_at_it(mount):
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    with open(path, 'w') as writer:
        writer.write('{"v": "late"}')
        (m.mnt / 'tmp~').write_text('{"v": "renamed"}')
        os.rename(m.mnt / 'tmp~', path)
    assert json.loads(path.read_text()) == {'v': 'renamed'}


def test_renamed_while_a_writer_is_at_it(mount):
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    done = threading.Event()
    with open(path, 'w') as writer:
        # Somebody else renames it: the draft is not his to judge, and follows the file.
        subprocess.run(['mv', path, m.mnt / 'moved.json'], check=True)
        writer.write('{"v": "followed"}')
        done.set()
    assert json.loads((m.mnt / 'moved.json').read_text()) == {'v': 'followed'}
    assert not path.exists()


def test_caches_are_never_stale(mount):
    """Reads through warm caches right after each kind of change."""
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    other = m.mnt / 'other.json'

    def warm():
        return path.stat().st_size, path.read_text()

    def change_in_place(text):
        path.write_text(text)

    def change_by_rename(text):
        (m.mnt / '.new').write_text(text)
        os.rename(m.mnt / '.new', path)

    def change_by_other_document(text):
        other.write_text(text)
        os.rename(other, path)

    def change_by_truncate(text):
        path.write_text(text + ' ' * 50)
        warm()
        os.truncate(path, len(text))

    def change_by_delete(text):
        path.unlink()
        path.write_text(text)

    def change_by_append(text):
        with open(path, 'a') as writer:
            writer.truncate(0)
            writer.write(text)

    def change_by_fsync(text):
        with open(path, 'w') as writer:
            writer.write(text)
            writer.flush()
            os.fsync(writer.fileno())
            assert warm() == (len(text), text)

    for n in range(5):
        for change in (change_in_place, change_by_rename, change_by_other_document,
                       change_by_truncate, change_by_delete, change_by_append, change_by_fsync):
            warm()
            text = json.dumps({'n': n, 'how': change.__name__, 'pad': 'x' * n})
            change(text)
            assert warm() == (len(text), text), change.__name__


def test_outside_changes_reach_warm_caches(mount):
    """memory.edn rewritten by someone else is taken over with the next sync, whatever is cached."""
    m = mount('{:config {:v 1}, :gone 1, :presence/s1 {"alice" {:n 1}}}')
    config = m.mnt / 'config.json'
    alice = m.mnt / 'presence' / 's1' / 'alice.json'
    for path in (config, alice, m.mnt / 'gone.json'):
        path.read_text()
    with open(config) as held:
        m.edn.write_text('{:config {:v 2}, :new 5, :presence/s1 {"alice" {:n 2}, "bob" {:n 3}}}')
        m.sync()
        assert json.loads(held.read()) == {'v': 1}
    assert json.loads(config.read_text()) == {'v': 2}
    assert json.loads(alice.read_text()) == {'n': 2}
    assert json.loads((m.mnt / 'new.json').read_text()) == 5
    assert sorted(os.listdir(alice.parent)) == ['alice.json', 'bob.json']
    assert not (m.mnt / 'gone.json').exists()
