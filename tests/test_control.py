# SPDX-License-Identifier: MIT
"""The control files: reachable and not listed, real sizes, errors where an echo shows them."""
import errno
import json
import os
import stat
import threading

import pytest

from shell import names, sh

CONTROLS = ['.errors', '.events', '.health', '.help', '.metrics', '.migrate', '.mode', '.sync', '.validate']


@pytest.mark.parametrize('name', CONTROLS)
def test_reading(mount, example, name):
    m = mount(example)
    path = m.mnt / name
    with open(path, 'rb') as file:
        found = os.fstat(file.fileno())
        data = file.read()
    assert stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_ino
    assert data or name in ('.errors', '.events')
    if name not in ('.health', '.metrics'):  # they tell the time
        assert path.stat().st_size == len(data) == len(path.read_bytes())
        assert sh(m, f'cat {name}; wc -c < {name}').out == f'{data.decode()}{len(data)}\n'
    assert path.stat().st_size > 0 or name in ('.errors', '.events')


def test_not_listed(mount, example):
    m = mount(example)
    assert not [name for name in names(m.mnt) if name.startswith('.')]
    sh(m, 'cp -r . $BASE/copy && rsync -a ./ $BASE/copy2/ && test -z "$(find . -name ".*" -type f)"')
    assert not [name for name in names(m.base / 'copy') if name.startswith('.')]


def test_listed(mount, example):
    m = mount(example, 'control=listed')
    assert [name for name in names(m.mnt) if name.startswith('.')] == \
        sorted(['.conflicts', '.rejected', '.store', *CONTROLS])
    for entry in os.scandir(m.mnt):
        if entry.name.startswith('.'):
            assert entry.is_dir() == (entry.name in ('.conflicts', '.rejected', '.store'))
            assert entry.inode() == entry.stat().st_ino == os.stat(entry.path).st_ino
    sh(m, 'ls -la > /dev/null; cat .mode')


def test_mode(mount):
    m = mount('{:config 1}')
    assert (m.mnt / '.mode').read_text() == 'datalevin-first\n'
    for word in ('edn-only', ':edn-only', 'edn-only  \n', 'edn-only\n'):
        (m.mnt / '.mode').write_text(word)
        assert (m.mnt / '.mode').read_text() == 'edn-only\n'
    for word in ('bogus', 'edn', 'edn-only x', '', 'EDN-ONLY', 'edn-only\n\nx', 'force'):
        done = sh(m, f'echo "{word}" > .mode', status=1)
        assert 'Invalid argument' in done.err, word
    with pytest.raises(OSError) as error:
        (m.mnt / '.mode').write_text('bogus')
    assert error.value.errno == errno.EINVAL
    assert (m.mnt / '.mode').read_text() == 'edn-only\n'
    for word in ('dual-write', ':datalevin-first', 'datalevin-only', 'edn-only'):
        sh(m, f'echo {word} > .mode && test "$(cat .mode)" = {word.lstrip(":")}')


def test_health(mount, example):
    m = mount(example)
    health = json.loads((m.mnt / '.health').read_text())
    assert health['status'] == 'degraded'  # the example has a token that Clojure can't read
    assert len(health['reasons']) == 1
    assert (health['mode'], health['pid']) == ('datalevin-first', m.proc.pid)
    assert health['edn']['keys'] == 40 and health['edn']['entities'] == 50
    assert health['edn']['types']['learning'] == 2 and health['edn']['unreadable_keys'] == 2
    assert sum(health['edn']['types'].values()) == 50
    other = mount('{:config 1}')
    health = json.loads((other.mnt / '.health').read_text())
    assert (health['status'], health['reasons'], health['journal']['pending']) == ('healthy', [], 0)
    (other.mnt / 'new.json').write_text('1')
    other.sync()
    health = json.loads((other.mnt / '.health').read_text())
    assert (health['edn']['keys'], health['edn']['rewrites'], health['rejected']) == (2, 1, 0)
    assert health['edn']['last_rewrite'] and health['edn']['error'] is None
    with pytest.raises(OSError):
        (other.mnt / 'new.json').write_text('oops')
    (other.mnt / 'scratch').write_bytes(b'x' * 10000)
    health = json.loads((other.mnt / '.health').read_text())
    assert health['rejected'] == 1 and health['scratch_bytes'] >= 10000


def test_sync(mount):
    m = mount('{:config 1}', 'edn_delay=60000')
    (m.mnt / 'config.json').write_text('2')
    assert m.edn_text() == '{:config 1}'
    sh(m, 'echo 1 > .sync')
    assert m.edn_text() == '{:config 2}'
    (m.mnt / 'config.json').write_text('3')
    (m.mnt / '.sync').write_text('x')
    assert m.edn_text() == '{:config 3}'
    (m.mnt / 'config.json').write_text('4')
    assert '1' in (m.mnt / '.sync').read_text()
    m.unmount()
    assert m.edn_text() == '{:config 4}'


def test_sync_by_many_at_once(mount):
    m = mount('{}', 'edn_delay=60000')

    def save_and_sync(number):
        for turn in range(5):
            (m.mnt / f'f{number}.json').write_text(str(turn))
            m.sync()
            assert f':f{number} {turn}' in m.edn_text()
            done.append(number)
    done = []
    threads = [threading.Thread(target=save_and_sync, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 40


def test_help_names_every_control_file(mount):
    m = mount('{}')
    text = (m.mnt / '.help').read_text()
    for name in (*CONTROLS, '.rejected/', '.conflicts/', '.store/'):
        assert f' {name} ' in text


def test_a_handle_reads_one_snapshot(mount):
    m = mount('{:config 1}')
    with pytest.raises(OSError):
        (m.mnt / 'config.json').write_text('oops')
    fd = os.open(m.mnt / '.errors', os.O_RDONLY)
    before = os.pread(fd, 1000, 0)
    with pytest.raises(OSError):
        (m.mnt / 'config.json').write_text('{"again')
    assert os.pread(fd, 1000, 0) == before
    assert b''.join(os.pread(fd, 7, at) for at in range(0, len(before), 7)) == before
    os.close(fd)
    assert len((m.mnt / '.errors').read_bytes()) > len(before)


def test_what_control_files_are_not(mount):
    m = mount('{:config 1}')
    for name in CONTROLS:
        path = m.mnt / name
        for change in (path.unlink, lambda: os.rename(path, m.mnt / 'x'), path.mkdir,
                       lambda: os.rename(m.mnt / 'config.json', path), lambda: path.chmod(0o777),
                       lambda: os.truncate(path, 5) if name in ('.errors', '.events', '.help', '.health', '.metrics')
                       else path.unlink()):
            with pytest.raises(OSError) as error:
                change()
            assert error.value.errno in (errno.EPERM, errno.EACCES, errno.EEXIST, errno.EROFS)
        assert path.exists()
    for name in ('.health', '.errors', '.events', '.help', '.metrics'):
        with pytest.raises(PermissionError):
            os.open(m.mnt / name, os.O_WRONLY)
    assert names(m.mnt / '.rejected') == names(m.mnt / '.conflicts') == []
    assert (m.mnt / 'config.json').read_text() == '1\n'


def test_only_at_the_root(mount):
    m = mount('{:a/b 1}')
    assert not (m.mnt / 'a/.mode').exists()
    (m.mnt / 'a/.mode').write_text('scratch')
    assert (m.mnt / 'a/.mode').read_text() == 'scratch'
    assert (m.mnt / '.mode').read_text() == 'datalevin-first\n'
