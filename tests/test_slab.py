# SPDX-License-Identifier: MIT
"""Objects in slabs: none lies in another, and a slab goes back to the system with its last."""
import subprocess

import pytest


@pytest.mark.parametrize('seed', range(1, 6))
def test_objects_that_come_and_go(binary, seed):
    said = subprocess.run([binary('slab_probe'), str(seed), '400000'], check=True, stdout=subprocess.PIPE, text=True)
    most, height, kept = map(int, said.stdout.split())
    assert most > 20000
    if b'__asan_init' not in binary('slab_probe').read_bytes():  # else malloc has them all
        assert height > 2000 and kept < 200
