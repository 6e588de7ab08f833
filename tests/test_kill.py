# SPDX-License-Identifier: MIT
"""SIGKILL under load: nobody hangs, nothing that was acknowledged is lost.

At chosen calls instead of chosen moments: test_killpoints.py. OUROFS_KILLS=1000 for a long run (with -s it tells its figures).
"""
import json
import os
import random
import signal
import statistics
import subprocess
import threading
import time

import pytest

import tree_model
from conftest import BOUND_S, wait_until
from kill_storm import Storm

KILLS = int(os.environ.get('OUROFS_KILLS', '50'))
CYCLES = 25  # of one memory


@pytest.mark.parametrize('cycle', range(6))
def test_callers_return(mount, binary, cycle):
    """Whoever waits for an answer gets an error, also while the kernel was being told of a commit."""
    m = mount('{:config {:v 1}}')
    load = subprocess.Popen([binary('isolation'), m.mnt / 'config.json', '220', '100000000'],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(20 * cycle + 1):  # so many saves later
            seen = (m.mnt / 'config.json').read_bytes()
            wait_until(lambda: (m.mnt / 'config.json').read_bytes() != seen, 'a save')
        m.kill()
        load.wait(BOUND_S)
    finally:
        load.kill()
        load.wait()
    m.remount()
    assert set(json.loads((m.mnt / 'config.json').read_text())) in ({'v'}, {'v', 'pad'})


def until_it_fails(step, *args):
    try:
        while True:
            step(*args)
    except OSError:
        pass


@pytest.mark.parametrize('cycle', range(6))
def test_callers_return_from_a_crash(mount, cycle):
    """By a signal that dumps core, or would: as SIGBUS, which a failing disk below LMDB's map gives."""
    m = mount('{}')
    (m.mnt / 'd').mkdir()
    saves = []

    def save(name):
        tree_model.write(m.mnt / 'd' / f'.{name}', b'%d' % len(saves))
        os.rename(m.mnt / 'd' / f'.{name}', m.mnt / 'd' / f'{name}.json')
        saves.append(name)
    # A directory is locked while it is synced, and for whoever tells the kernel of a name in it.
    steps = [(tree_model.fsync, m.mnt / 'd')] * 3 + [(save, f'x{n}') for n in range(5)]
    threads = [threading.Thread(target=until_it_fails, args=step, daemon=True) for step in steps]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(saves) > 30 * cycle, 'saves')
    m.proc.send_signal(signal.SIGABRT)
    for thread in threads:
        thread.join(BOUND_S)
    hang = [thread for thread in threads if thread.is_alive()]
    if hang:
        m.give_up()
    assert not hang
    assert m.wait_exit() == -signal.SIGABRT
    m.kill()
    m.remount()
    assert {path.name[:2] for path in (m.mnt / 'd').glob('*.json')} >= set(saves)


def kill_amid(storm, after_s):
    """The moment is a random one, so it is no condition that is waited for."""
    storm.begin()
    threading.Event().wait(after_s)
    storm.kill()
    storm.end()
    storm.m.kill()


def compare_stores(m):
    """By readers of their own, in a mode in which both stores hold everything."""
    (m.mnt / '.mode').write_text('force datalevin-only')
    (m.mnt / '.mode').write_text('dual-write')
    m.sync()
    text = m.edn_text()
    assert tree_model.memory_of(text) == tree_model.look(m.mnt, text).memory()
    m.unmount()
    assert not tree_model.compare_stores(m)
    m.mount()


@pytest.mark.parametrize('seed', range(max(2, KILLS // CYCLES)))
def test_random_kills(mount, seed):
    """Half of them amid rewrites of memory.edn, half with everything in the journal alone."""
    found = ' '.join(f':m/k{n} {{:n {n}}}' for n in range(150))  # to be migrated
    m = mount.prepare(f'{{:config {{:v 0}} {found}}}',
                      ('edn_delay=5' if seed % 2 else 'edn_delay=3600000',)).mount()
    rng = random.Random(seed)
    storm = Storm(m, seed)
    remounted_s = []
    for cycle in range(CYCLES):
        kill_amid(storm, rng.uniform(0, 0.15))
        begin = time.monotonic()
        m.mount()
        remounted_s.append(time.monotonic() - begin)
        storm.compare()
        if cycle % 8 == 0:
            compare_stores(m)
    assert storm.acknowledged > CYCLES
    print(f'{CYCLES} kills, {storm.acknowledged} changes, {storm.reads} reads, {storm.words} words;',
          f'callers return after {in_ms(storm.returned_s)}, a remount takes {in_ms(remounted_s)}')


def in_ms(times_s):
    return f'{statistics.median(times_s) * 1000:.0f} ms, at most {max(times_s) * 1000:.0f}'
