# SPDX-License-Identifier: MIT
"""Who serves requests (fs/loop.h): one thread as a rule, others where it waits, none while there is nothing to do."""
import contextlib
import os
import pathlib
import subprocess
import time

import pytest

from conftest import wait_until, waits_for_an_answer

TEXT = '{:config {:a 1} :presence/s {"bob" {:n 1}}}'


def tasks(m):
    return list(pathlib.Path(f'/proc/{m.proc.pid}/task').iterdir())


def switches(m):
    """How often threads of the mount have given up a processor: each that wakes does once more."""
    found = {}
    for task in tasks(m):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            fields = dict(line.split(':', 1) for line in (task / 'status').read_text().splitlines())
            found[task.name] = int(fields['voluntary_ctxt_switches'])
    return found


class Held:
    """Callers whose requests wait in the daemon until go_on(), each on a thread of its own there."""

    def __init__(self, m, late, call, commands):
        self.file = late.with_name(f'late.{call}')
        self.file.touch()
        self.callers = [subprocess.Popen(command.split(), cwd=m.mnt) for command in commands]
        try:
            wait_until(lambda: all(map(waits_for_an_answer, self.callers)), 'the kernel to wait for answers')
        except BaseException:
            self.file.unlink()
            raise

    def go_on(self):
        self.file.unlink()
        assert [caller.wait() for caller in self.callers] == [0] * len(self.callers)


def all_is_served(m):
    assert (m.mnt / 'config.json').read_text()
    (m.mnt / 'config.json').write_text('{"a": 2}')
    assert (m.mnt / 'config.json').read_text() == '{"a": 2}'
    assert os.listdir(m.mnt / 'presence/s') == ['bob.json']


def directories(m, count):
    """In which scratch directories are made: the kernel lets only one be made in a directory at a time."""
    for number in range(count):
        (m.mnt / f'd{number}').mkdir()
    return [f'mkdir d{number}/late' for number in range(count)]


@pytest.mark.preload
@pytest.mark.parametrize('count', [1, 2, 9])
def test_requests_that_wait_hold_up_no_other(mount_late, count):
    """Ten threads by default: what does not say that it waits is seen by the watchdog, as often as there are threads."""
    m, late = mount_late(TEXT)
    commands = directories(m, count)
    held = Held(m, late, 'mkdirat', commands)
    try:
        all_is_served(m)
    finally:
        held.go_on()
    all_is_served(m)
    assert all((m.mnt / f'd{number}' / 'late').is_dir() for number in range(count))


@pytest.mark.preload
def test_a_wait_for_the_disk_holds_up_no_other(mount_late):
    m, late = mount_late(TEXT)
    names = ['a', 'b', 'c']
    for name in names:
        (m.mnt / name).write_text('x')
    held = Held(m, late, 'fdatasync', [f'sync -d {name}' for name in names])
    try:
        all_is_served(m)
    finally:
        held.go_on()


@pytest.mark.preload
def test_after_all_threads_waited(mount_late):
    """With none left requests wait; who has answered first serves them, and goes on as the only one."""
    m, late = mount_late(TEXT)
    commands = directories(m, 10)
    held = Held(m, late, 'mkdirat', commands)
    with subprocess.Popen(['cat', 'config.json'], cwd=m.mnt, stdout=subprocess.PIPE) as reader:
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                reader.wait(0.5)
        finally:
            held.go_on()
        assert reader.stdout.read()
    all_is_served(m)


@pytest.mark.preload
def test_when_no_thread_can_be_started(mount_late):
    """Others wait, and no longer than until one can be."""
    m, late = mount_late(TEXT)
    commands = directories(m, 3)
    threads = late.with_name('late.threads')
    threads.touch()
    held = Held(m, late, 'mkdirat', commands)
    time.sleep(0.3)
    threads.unlink()
    try:
        all_is_served(m)
    finally:
        held.go_on()


@pytest.mark.preload
def test_threads_that_have_nothing_to_do_end(mount_late):
    """But those that are to be kept."""
    m, late = mount_late(TEXT, 'max_idle_threads=2')
    commands = directories(m, 8)
    all_is_served(m)
    before = len(tasks(m))
    held = Held(m, late, 'mkdirat', commands)
    try:
        wait_until(lambda: len(tasks(m)) >= before + 7, 'a thread for each')
    finally:
        held.go_on()
    wait_until(lambda: len(tasks(m)) <= before + 1, 'threads to end')
    all_is_served(m)
    for command in commands:
        subprocess.run(command.replace('mkdir', 'rmdir').split(), cwd=m.mnt, check=True)
    again = Held(m, late, 'mkdirat', commands)
    try:
        all_is_served(m)
    finally:
        again.go_on()


def test_nothing_runs_without_requests(mount):
    m = mount(TEXT)
    all_is_served(m)
    m.sync()

    def rests():
        before = switches(m)
        time.sleep(1)
        return switches(m) == before
    wait_until(rests, 'a second in which no thread wakes')
    all_is_served(m)


# ---- waiting awake (fs/linger.h) ----

@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason='takes two processors')
@pytest.mark.parametrize('pause_us, alone, requests, found', [
    (0, 1, 1_000_000, 'awake'),
    (0, 0, 5_000, 'asleep'),
    (2000, 1, 300, 'asleep'),
], ids=['one after the other', 'served by several', 'late'])
def test_who_waits_awake(build_dir, pause_us, alone, requests, found):
    """Only beside a caller on another processor who asks all the time; and a moment later nobody does."""
    said = subprocess.run([build_dir / 'tests/linger_probe', *map(str, (pause_us, alone, requests))],
                          check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    assert said[0] == found
    assert int(said[1]) < 1000
