# SPDX-License-Identifier: MIT
"""SIGKILL under load: nobody hangs, nothing that was acknowledged is lost."""
import json
import subprocess

import pytest

from conftest import BOUND_S, wait_until


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


def test_what_was_acknowledged_is_there(mount):
    m = mount('{:config {:v 0}}', 'edn_delay=20')
    acknowledged = 0
    for _ in range(5):
        for _ in range(40):
            (m.mnt / 'config.json').write_text(json.dumps({'v': acknowledged + 1}))
            (m.mnt / f'n{acknowledged + 1}.json').write_text(str(acknowledged + 1))
            acknowledged += 1
        m.kill()
        m.remount()
        assert json.loads((m.mnt / 'config.json').read_text()) == {'v': acknowledged}
        assert sum(1 for _ in m.mnt.glob('n*.json')) == acknowledged
    m.sync()
    assert f':config {{:v {acknowledged}}}' in m.edn_text()
