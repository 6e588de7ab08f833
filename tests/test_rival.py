# SPDX-License-Identifier: MIT
"""Two writers for a long time: the mount, and a rival that read memory.edn once and never again.

OUROFS_RIVAL_SECONDS says how long, 20 without.
"""
import os
import random
import threading

import edn_reader
from outside import bad_files, conflicts, read, saved, soon
from two_writers import DIRECTORIES, SHARED, Ours, check_shared, expected_of, left_by, of_one_writer, rival_writes

SECONDS = float(os.environ.get('OUROFS_RIVAL_SECONDS', '20'))


def check_last_words(m, rival):
    """With both quiet it can be told: where both held the same, the rival's is taken, else it is kept."""
    held = {key[1]: value for key, value in rival.dump().items()}
    expected = {}
    for name in SHARED:
        shown = read(m.mnt / f'{name}.json')
        ours = None if shown is None else edn_reader.read_json(shown)
        expected[name] = (ours, ours == held.get(name))
        rival.put(f':{name}', '"last word"')
    rival.save_now()
    m.sync()
    for name, (ours, same) in expected.items():
        value = edn_reader.read_json(read(m.mnt / f'{name}.json'))
        assert value == (('str', 'last word') if same else ours), name
        if not same:
            assert conflicts(m)[f'{name}.json'] == '"last word"\n'


def test_two_writers_for_a_long_time(mount, rival):
    m = mount('{:still {:a 1} :presence/still {"x" 1}}', 'edn_delay=20')
    rival.open(m.edn, seed=7)
    for directory in DIRECTORIES:
        (m.mnt / directory).mkdir()
    writers = [Ours(m, seed) for seed in range(3)]
    stop = threading.Event()
    threading.Timer(SECONDS, stop.set).start()
    for writer in writers:
        writer.begin()
    try:
        theirs = rival_writes(rival, random.Random(8), stop)
    finally:
        for writer in writers:
            writer.stop.set()
        for writer in writers:
            writer.end()
    # Its last write may have gone to a file that was replaced meanwhile: that is noticed a little later.
    soon(lambda: 'rival/last' in (saved(m) or {}), 'its last write')
    m.sync()
    ours = left_by(writers)
    expected = expected_of(writers, rival)
    assert of_one_writer(rival.read(m.edn)) == expected
    check_shared(m, rival.read(m.edn), writers[0].shared, theirs)
    for (key, member), value in expected.items():
        if key.startswith('rival/'):
            assert edn_reader.read_json(read(m.mnt / f'{key}.json')) == value
    assert {path: read(m.mnt / path) for path in ours} == ours
    assert bad_files(m) == []
    assert sum(writer.saves for writer in writers) > SECONDS and len(expected) > 50
    check_last_words(m, rival)
    m.kill()
    m.mount()
    assert {path: read(m.mnt / path) for path in ours} == ours
