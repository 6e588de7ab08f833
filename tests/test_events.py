# SPDX-License-Identifier: MIT
"""/.events: what happened, as lines of JSON; a handle's stream grows, its offsets stay, nothing is silently lost."""
import json
import os
import re
import subprocess
import threading

import pytest

from conftest import wait_until
from outside import soon
from shell import sh

KEPT, RING = 1000, 4000


def events(m):
    return [json.loads(line) for line in (m.mnt / '.events').read_text().splitlines()]


def named(m, name):
    return [event for event in events(m) if event['event'] == name]


class Reader:
    """An open handle, read on from where it stands."""

    def __init__(self, m):
        self.fd = os.open(m.mnt / '.events', os.O_RDONLY)
        self.text = b''

    def more(self, size=1 << 17):
        while data := os.read(self.fd, size):
            self.text += data
        return [json.loads(line) for line in self.text.splitlines() if line]

    def close(self):
        os.close(self.fd)


@pytest.fixture
def reader():
    made = []

    def make(m):
        made.append(Reader(m))
        return made[-1]
    yield make
    for one in made:
        one.close()


def test_what_is_told(mount):
    m = mount('{:config {:a 1} :presence/s1 {"alice" 1}}')
    (m.mnt / 'config.json').read_text()
    (m.mnt / 'config.json').write_text('{"secret": "hunter2"}')
    (m.mnt / 'presence/s1/bob.json').write_text('"hunter2"')
    (m.mnt / 'config.json').rename(m.mnt / 'other.json')
    with pytest.raises(OSError):
        (m.mnt / 'other.json').write_text('{"hunter2": oops}')
    (m.mnt / 'presence/s1/bob.json').unlink()
    m.sync()
    (m.mnt / '.mode').write_text('dual-write')
    found = events(m)
    for event in found:
        assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z', event['time'])
        assert event['mode'] in ('datalevin-first', 'dual-write')
    told = [(event['event'], event.get('key')) for event in found if event['event'] != 'edn-rewritten']
    assert told[0] == ('memory/get', ':config') and found[0]['store'] == 'edn'
    assert [one for one in told if one[0] != 'memory/get'] == [
        ('memory/save', ':config'), ('memory/save', '[:presence/s1 "bob"]'), ('memory/rename', ':config'),
        ('rejected', ':other'), ('memory/delete', '[:presence/s1 "bob"]'), ('mode-changed', None)]
    assert {event['store'] for event in named(m, 'memory/save')} == {'both'}
    assert all(event['duration_ms'] > 0 for event in named(m, 'memory/save'))
    assert named(m, 'memory/rename')[0]['detail'] == ':other'
    refused, = named(m, 'rejected')
    assert (refused['error'], refused['detail']) == ('EBADMSG', '1:13')
    assert named(m, 'mode-changed')[0]['detail'] == 'datalevin-first'
    assert named(m, 'mode-changed')[0]['mode'] == 'dual-write'
    assert named(m, 'edn-rewritten') and named(m, 'edn-rewritten')[0]['count'] > 0
    assert 'hunter2' not in (m.mnt / '.events').read_text()


def test_another_writer(mount):
    m = mount('{:a 1 :b 2 :c 3}', 'edn_delay=60000')
    (m.mnt / 'a.json').write_text('10')
    m.edn.write_text('{:a 11 :b 22 :d 4}')
    change, = soon(lambda: named(m, 'outside-change'), 'the change to be told') or named(m, 'outside-change')
    assert change['count'] == 3 and change['detail'] == 'adopted 3, stale 0, conflicts 1'
    assert [event['key'] for event in named(m, 'conflict')] == [':a']
    soon(lambda: ':a 10' in m.edn_text(), 'what stands to be put back')
    m.edn.write_text('{:broken')
    soon(lambda: len(named(m, 'outside-change')) == 2, 'the broken file to be told')
    assert named(m, 'outside-change')[1]['error'] == 'EBADMSG'
    said = (m.mnt / '.errors').read_text()
    assert 'memory.edn.bad-' in said and ':a: ' in said


def test_a_handle_grows(mount, reader):
    m = mount('{}')
    one = reader(m)
    assert one.more() == [] and os.fstat(one.fd).st_size == 0
    for number in range(5):
        (m.mnt / f'k{number}.json').write_text('1')
        assert os.fstat(one.fd).st_size > len(one.text)
        assert f':k{number}' in {event.get('key') for event in one.more()}
    m.sync()
    one.more()
    assert os.fstat(one.fd).st_size == len(one.text)
    assert os.pread(one.fd, 1 << 20, 0) == one.text
    assert b''.join(os.pread(one.fd, 7, at) for at in range(0, len(one.text), 7)) == one.text
    assert os.pread(one.fd, 10, len(one.text) + 5) == b''


def test_it_keeps_the_last_thousand(mount, reader):
    m = mount('{}', 'edn_delay=60000')
    for number in range(KEPT + 50):
        (m.mnt / 'k.json').write_text(str(number))
    found = events(m)
    assert len(found) == KEPT and {event['event'] for event in found} == {'memory/save'}
    assert len((m.mnt / '.events').read_bytes()) == (m.mnt / '.events').stat().st_size


@pytest.mark.parametrize('size', [1, 100, 1 << 17])
def test_a_reader_that_lags(mount, reader, size):
    """What it lost is one line that says how many; each line before and after is whole."""
    m = mount('{}', 'edn_delay=60000')
    one = reader(m)
    for number in range(10):
        (m.mnt / 'k.json').write_text(str(number))
    if size > 1:
        one.more(size)
    else:
        one.text += os.read(one.fd, 11)  # the middle of a line
    before = len([line for line in one.text.split(b'\n') if line.endswith(b'}')])
    for number in range(RING + 200):
        (m.mnt / 'k.json').write_text(f'[{number}]')
    promised = os.fstat(one.fd).st_size
    while data := os.read(one.fd, size if size > 1 else 1000):
        one.text += data
    assert len(one.text) == promised
    lines = [line.rstrip(b' ') for line in one.text.split(b'\n')]
    whole = [json.loads(line) for line in lines if line.endswith(b'}')]
    assert [line for line in lines if line and not line.endswith(b'}')] == ([lines[0]] if size == 1 else [])
    lost, = [event for event in whole if event['event'] == 'events-lost']
    after = len(whole) - before - 1
    assert RING - 5 < after <= RING and lost['count'] == 10 + RING + 200 - before - after
    at = os.lseek(one.fd, 0, os.SEEK_CUR)
    assert os.fstat(one.fd).st_size == at
    (m.mnt / 'last.json').write_text('1')
    assert [event['key'] for event in map(json.loads, os.pread(one.fd, 1 << 17, at).splitlines())] == [':last']
    # what is gone is a hole of empty lines
    assert not os.pread(one.fd, 5, 0).strip()


def test_tail(mount):
    m = mount('{:config 1}')
    tail = subprocess.Popen(['tail', '-n', '+1', '-s', '0.05', '-f', str(m.mnt / '.events')],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        for number in range(3):
            (m.mnt / f'k{number}.json').write_text('1')
            while f':k{number}'.encode() not in (line := tail.stdout.readline()):
                assert json.loads(line)
    finally:
        tail.kill()
        said = tail.communicate()[1]
    assert b'truncated' not in said and b'replaced' not in said


def test_readers_beside_writers(mount):
    """cat ends, and every line it shows is whole."""
    m = mount('{}', 'edn_delay=10')
    stop = threading.Event()

    def write(number):
        turn = 0
        while not stop.is_set():
            (m.mnt / f'w{number}.json').write_text(str(turn))
            turn += 1
    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            for line in sh(m, 'cat .events').out.splitlines():
                json.loads(line)
            for name in ('.health', '.errors', '.help', '.metrics'):
                with open(m.mnt / name, 'rb') as file:
                    assert len(file.read()) == os.fstat(file.fileno()).st_size, name
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_whole_mount_is_copied(mount, example):
    """With the control files in the listings: nothing hangs, nothing trips over them."""
    m = mount(example, 'control=listed')
    (m.mnt / 'config.json').write_text('{"a": 1}')
    sh(m, 'cp -r . $BASE/copy && test -s $BASE/copy/.events && test -s $BASE/copy/.health')
    sh(m, 'rsync -a ./ $BASE/copy2/ && test -s $BASE/copy2/.events && test -s $BASE/copy2/.help')
    sh(m, 'grep -r memory/save . | grep -q .events')
    sh(m, 'find . -type f -size +0 | grep -q .events')
    sh(m, 'tar cf $BASE/all.tar --exclude=.health --exclude=.metrics .')  # which tell the time


def test_a_second_handle_of_one_open_file(mount, reader):
    m = mount('{}')
    one = reader(m)
    (m.mnt / 'k.json').write_text('1')
    again = os.open(f'/proc/self/fd/{one.fd}', os.O_RDONLY)
    assert os.read(again, 1 << 17) == os.read(one.fd, 1 << 17) != b''
    os.close(again)
    wait_until(lambda: os.fstat(one.fd).st_size, 'its size')
