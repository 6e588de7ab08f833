# SPDX-License-Identifier: MIT
"""/.errors, and what is written to control files: no word of any size or kind does more than fail, and say so."""
import errno
import json
import os
import random
import re
import threading

import pytest

from conftest import wait_until
from outside import conflicts, soon
from shell import sh

LINE = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (.+)')


def errors(m):
    found = [LINE.fullmatch(line) for line in (m.mnt / '.errors').read_text(errors='replace').splitlines()]
    assert all(found)
    return [line[1] for line in found]


def write(path, data):
    """One write(2); the errno, or 0."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, data)
        return 0
    except OSError as error:
        return error.errno
    finally:
        os.close(fd)


ODD = [b'\n', b' ', b'\0', b'bogus', b'edn-only\0', b'all\0', b'run\0', b'\0stop', b'edn-only edn-only', b'\xff\xfe\x00\x01', b'%s%n%x',
       'ümläut'.encode(), b'a' * 4095, b'a' * 4096, b'a' * 4097, b'a' * 65537, b'\n' * 131072,
       b'[' * (1 << 20), b'{' * (1 << 20), b'"' + b'x' * (1 << 20), random.Random(1).randbytes(1 << 20),
       b'force', b'force ', b':', b'::all', b':a//b', b':a :b', b'(', b'run run', b'all,sessions']


@pytest.mark.parametrize('name', ['.mode', '.migrate', '.validate'])
def test_odd_words(mount, name):
    m = mount('{:config 1}')
    before = (m.mnt / '.mode').read_text()
    for number, data in enumerate(ODD):
        assert write(m.mnt / name, data) == errno.EINVAL, data[:20]
        said = errors(m)
        assert len(said) == number + 1, data[:20]
        assert said[-1].startswith(f'{name}: ') and len(said[-1]) < 500
    assert (m.mnt / '.mode').read_text() == before and (m.mnt / 'config.json').read_text() == '1\n'


def test_nothing_is_written(mount):
    m = mount('{:config 1}')
    for name in ('.mode', '.migrate', '.validate', '.sync'):
        assert write(m.mnt / name, b'') == 0
        sh(m, f': > {name}; truncate -s 0 {name}')
    assert errors(m) == [] and (m.mnt / '.mode').read_text() == 'datalevin-first\n'


def test_sync_takes_anything(mount):
    m = mount('{:config 1}')
    for data in ODD:
        assert write(m.mnt / '.sync', data) == 0
    assert errors(m) == []


def test_the_last_hundred(mount):
    m = mount('{:config 1}')
    for number in range(130):
        with pytest.raises(OSError):
            (m.mnt / f'k{number}.json').write_text('oops')
    said = errors(m)
    assert len(said) == 100
    assert [line.split(':')[0] for line in said] == [f'k{number}.json' for number in range(30, 130)]
    assert all('1:1: ' in line for line in said)


def test_names_are_fit_for_a_terminal(mount):
    m = mount('{}')
    for name in ('a\x1b[31m.json', 'b\nc.json'):
        with pytest.raises(OSError):
            (m.mnt / name).write_text('1')
    said = errors(m)
    assert len(said) == 2 and '\\x1b' in said[0] and '\\x0a' in said[1]


@pytest.mark.parametrize('count', [1, 150])
def test_conflicts_of_a_mount(mount, count):
    """What was edited while nothing was mounted: told to who mounts, once, and each of it where there is room."""
    m = mount('{%s}' % ' '.join(f':k{number} 1' for number in range(count)), 'edn_delay=10')
    for number in range(count):
        (m.mnt / f'k{number}.json').write_text('2')
    m.sync()
    m.unmount()
    m.edn.write_text(m.edn_text().replace(' 2', ' 3'))
    m.options = (*m.options, 'loglevel=info')
    m.expect_stderr('.')
    m.mount()
    conflict = "another writer's value is kept in .conflicts"
    assert errors(m) == [f':k{number}: {conflict}' for number in range(min(count, 100))]
    said = [line for line in m.stderr().splitlines() if ' is mounted on ' not in line]
    assert sum(conflict in line for line in said) in (1, 2)  # one a second
    assert said[-1] == f'ourofs: memory.edn was changed by another writer: adopted 0, stale 0, conflicts {count}'
    assert conflicts(m) == {f'k{number}.json': '3\n' for number in range(count)}
    event, = (json.loads(line) for line in (m.mnt / '.events').read_text().splitlines() if 'outside-change' in line)
    assert event['detail'] == f'adopted 0, stale 0, conflicts {count}'


def test_background_errors(mount):
    """What no caller is told."""
    m = mount('{:a 1 :b 2}', 'edn_delay=60000')
    (m.mnt / 'a.json').write_text('10')
    m.edn.write_text('{:a 11 :b 2}')
    soon(lambda: errors(m), 'the conflict')
    assert errors(m) == [":a: another writer's value is kept in .conflicts"]
    soon(lambda: ':a 10' in m.edn_text(), 'what stands to be put back')
    m.edn.write_text('{:a')
    soon(lambda: len(errors(m)) == 2, 'the broken file')
    assert 'memory.edn.bad-' in errors(m)[1]


def test_many_at_once(mount):
    """Writers of all control files beside readers: no one waits for ever, no line is torn."""
    m = mount('{:config 1}', 'edn_delay=10')
    stop = threading.Event()
    seen = []

    def bother(name, data):
        while not stop.is_set():
            seen.append(write(m.mnt / name, data))
    jobs = [('.mode', b'bogus'), ('.mode', b'dual-write'), ('.mode', b'edn-only'), ('.sync', b'x'),
            ('.migrate', b'all'), ('.migrate', b'stop'), ('.validate', b'run'), ('.validate', b'\0')]
    threads = [threading.Thread(target=bother, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: errors(m) and len(seen) > 300, 'writes')
        for _ in range(20):
            errors(m)
            for name in ('.mode', '.sync', '.migrate', '.validate', '.help', '.health', '.metrics'):
                with open(m.mnt / name, 'rb') as file:
                    assert len(file.read()) == os.fstat(file.fileno()).st_size, name
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    # ENODEV: there is no EAV store to migrate to in edn-only
    assert set(seen) <= {0, errno.EINVAL, errno.EBUSY, errno.ENODEV}, set(seen)
    (m.mnt / 'config.json').write_text('2')
