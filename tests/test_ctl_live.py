# SPDX-License-Identifier: MIT
"""ourofsctl on a mount: what it prints, what it returns, that it waits, and whom it names."""
import json
import pathlib
import re
import signal
import subprocess

import pytest

from conftest import is_mounted, wait_until
from modes_driver import mode_of
from terminal import Terminal

TEXT = '{:config {:a 1} :presence/s1 {"ann" {:b 2} "ben" 5} :learning/index {:ada ["x"]} :notes/x [1]}'


@pytest.fixture
def ctl(binary):
    def run(command, *args, status=0):
        done = subprocess.run([str(binary('ourofsctl')), command, *map(str, args)],
                              capture_output=True, text=True)
        assert done.returncode == status, f'{done.stdout}\n{done.stderr}'
        assert (status == 2) == bool(done.stderr)
        return done.stderr if status == 2 else done.stdout
    return run


# ---- each command ----

def test_status(mount, ctl):
    m = mount(TEXT)
    shown = ctl('status', m.mnt)
    assert len(shown.splitlines()) < 40 and max(map(len, shown.splitlines())) < 200
    for label, text in (('mode', 'datalevin-first'), ('health', 'healthy'), ('EAV store', 'ready'),
                        ('mount', f'{m.mnt}, process {m.proc.pid}')):
        assert re.search(rf'^{label} +{re.escape(text)}', shown, re.M), shown
    assert json.loads(ctl('status', '--json', m.mnt))['pid'] == m.proc.pid
    subprocess.run(['tee', m.mnt / 'config.json'], input=b'{', capture_output=True)
    assert 'config.json' in ctl('status', m.mnt)
    ctl('migrate', m.mnt, 'all', '--wait')
    assert re.search(r'^migration +all: done, 7 of 7', ctl('status', m.mnt), re.M)


def test_any_path_in_the_mount_will_do(mount, ctl):
    m = mount(TEXT)
    for path in ('presence', 'presence/s1/ann.json', '.'):
        assert ctl('mode', m.mnt / path) == 'datalevin-first\n'


def test_mode(mount, ctl):
    m = mount(TEXT)
    assert json.loads(ctl('mode', m.mnt, '--json')) == {'mode': 'datalevin-first'}
    assert ctl('mode', m.mnt, 'dual-write') == 'dual-write\n' == mode_of(m) + '\n'
    assert 'no such mode' in ctl('mode', m.mnt, 'single', status=2)
    assert 'not in the EAV store' in ctl('mode', m.mnt, 'datalevin-only', status=2)
    assert mode_of(m) == 'dual-write'
    assert ctl('mode', '--force', m.mnt, 'datalevin-only') == 'datalevin-only\n'


def test_migrate(mount, ctl):
    m = mount(TEXT)
    assert 'no migration' in ctl('migrate', m.mnt)
    assert ctl('migrate', m.mnt, 'sessions', '--wait').splitlines()[-1] == 'sessions: done, 3 of 3 entities'
    done = json.loads(ctl('migrate', m.mnt, 'all', '--wait', '--json'))
    assert (done['state'], done['done'], done['skipped'], done['failed']) == ('done', 7, 3, 0)
    assert '3 of them were there already' in ctl('migrate', m.mnt)
    assert ctl('migrate', m.mnt, ':config', '-w').startswith(':config: done, 1 of 1')
    assert 'no such thing' in ctl('migrate', m.mnt, 'everything', status=2)
    assert 'no migration is running' in ctl('migrate', m.mnt, 'pause', status=2)


def test_validate(mount, ctl):
    m = mount(TEXT)
    ctl('migrate', m.mnt, 'all', '--wait')
    assert ctl('validate', m.mnt).splitlines()[-1] == '7 entities compared, no difference'
    m.unmount()
    m.remount('mode=datalevin-only')
    (m.mnt / 'config.json').write_text('{"a": 2}')
    (m.mnt / 'new.json').write_text('1')
    shown = ctl('validate', m.mnt, status=1)
    assert '2 differences' in shown and ':config' in shown and ':new' in shown
    found = json.loads(ctl('validate', m.mnt, '--json', status=1))
    assert found['differences'] == 2 and found['kinds']['only_eav'] == 1 == found['kinds']['different']
    m.remount('mode=edn-only', 'force')
    assert 'edn-only' in ctl('validate', m.mnt, status=2)


def test_sync(mount, ctl):
    m = mount(TEXT, 'edn_delay=60000')
    (m.mnt / 'config.json').write_text('{"a": 7}')
    assert ':a 7' not in m.edn_text()
    assert ctl('sync', m.mnt) == ''
    assert ':a 7' in m.edn_text()


# ---- unmount ----

def test_unmount_waits_for_the_end(mount, ctl):
    m = mount(TEXT, 'edn_delay=60000')
    (m.mnt / 'config.json').write_text('{"a": 8}')
    assert ctl('unmount', m.mnt) == ''
    # nobody has waited for the child yet: it has ended all the same
    assert m.proc.poll() == 0 and not is_mounted(m.mnt)
    assert ':a 8' in m.edn_text()
    assert 'no ourofs is mounted there' in ctl('unmount', m.mnt, status=2)


def test_unmount_says_who_uses_it(mount, ctl):
    m = mount(TEXT)
    with open(m.mnt / 'config.json') as held:
        reader = subprocess.Popen(['sleep', '1000'], stdin=held)
        worker = subprocess.Popen(['sleep', '1000'], cwd=m.mnt / 'presence')
    try:
        said = ctl('unmount', m.mnt, status=2)
        assert 'is in use' in said and is_mounted(m.mnt)
        assert f'sleep (process {reader.pid}) has open {m.mnt}/config.json' in said
        assert f'sleep (process {worker.pid}) works in {m.mnt}/presence' in said
        assert 'ourofsctl (process' not in said
        ctl('unmount', '--lazy', m.mnt)
        assert not is_mounted(m.mnt) and m.proc.poll() is None
    finally:
        for process in (reader, worker):
            process.kill()
            process.wait()
    assert m.wait_exit() == 0


def test_unmount_from_within(mount, binary):
    m = mount(TEXT)
    subprocess.run([str(binary('ourofsctl')), 'unmount', '.'], cwd=m.mnt / 'presence', check=True)
    assert m.proc.poll() == 0 and not is_mounted(m.mnt)


def test_unmount_without_fusermount3(mount, ctl, monkeypatch, tmp_path):
    """What it has to say stands in front; nobody is in use of anything."""
    m = mount(TEXT)
    failing = tmp_path / 'fusermount3'
    failing.write_text('#!/bin/sh\necho "there is no table" >&2; exit 1\n')
    failing.chmod(0o755)
    with monkeypatch.context() as changed:
        changed.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')
        said = ctl('unmount', m.mnt, status=2)
    assert said.startswith('there is no table\n') and 'could not be unmounted' in said and 'is in use' not in said
    assert is_mounted(m.mnt)


def test_what_is_no_mount(mount, ctl, disk):
    m = mount(TEXT)
    assert 'no ourofs is mounted there' in ctl('status', disk, status=2)
    assert 'No such file' in ctl('sync', disk / 'gone', status=2)
    m.proc.send_signal(signal.SIGKILL)
    m.wait_exit()
    said = ctl('status', m.mnt, status=2)
    if is_mounted(m.mnt):
        assert f'`fusermount3 -u -z {m.mnt}` mends it' in said
        subprocess.run(['fusermount3', '-u', '-z', str(m.mnt)], check=True)


def test_a_long_path_does_not_hide_the_cause(ctl, disk):
    said = ctl('status', f'{disk}/{"ä" * 100}/{"./" * 400}gone', status=2)
    assert said.startswith('ourofsctl: /') and said.endswith(': No such file or directory\n')
    assert ' ... ' in said and len(said) < 600


# ---- at a terminal ----

@pytest.mark.preload
def test_bar(mount_late, binary, many):
    m, late = mount_late(many)
    late = late.with_name('late.fdatasync')
    late.write_text('store/data.mdb')  # so that it is not done before anyone has looked
    with Terminal(m, [str(binary('ourofsctl')), 'migrate', str(m.mnt), 'all', '--wait']) as terminal:
        try:
            raw = terminal.wait_for(r'\rmigrating \[#*-+\] +\d+%  [\d,]+ of [\d,]+')
        finally:
            late.unlink()
        assert terminal.wait_exit() == 0
    raw += terminal.raw.decode()
    assert raw.splitlines()[-1].startswith('all: done')
    assert max(len(line) for line in re.split(r'[\r\n]', raw)) <= 150


def handles(pid, number):
    caught = re.search(r'SigCgt:\s+([0-9a-f]+)', pathlib.Path(f'/proc/{pid}/status').read_text())[1]
    return int(caught, 16) >> (number - 1) & 1


def test_interrupted_it_goes_on(mount, binary, many):
    m = mount(many)
    watching = subprocess.Popen([str(binary('ourofsctl')), 'migrate', str(m.mnt), 'all', '--wait'],
                                stdout=subprocess.PIPE, text=True)
    # from when it has begun it would end by the signal, and soon after that it says so
    wait_until(lambda: json.loads((m.mnt / '.migrate').read_text())['state'] != 'idle', 'it to begin')
    wait_until(lambda: watching.poll() is not None or handles(watching.pid, signal.SIGINT), 'it to watch')
    watching.send_signal(signal.SIGINT)
    said = watching.communicate()[0]
    assert watching.returncode == -signal.SIGINT and 'goes on' in said or 'done' in said
    wait_until(lambda: json.loads((m.mnt / '.migrate').read_text())['state'] == 'done', 'it to go on')
