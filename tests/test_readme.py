# SPDX-License-Identifier: MIT
"""The README's transcripts are what really happens."""
import re

import pytest
from conftest import TOP

import console

BLOCKS = re.findall(r'```console\n(.*?)```', (TOP / 'README.md').read_text(), re.DOTALL)


def test_there_are_transcripts():
    assert len(BLOCKS) >= 2 and all(console.steps_of(block) for block in BLOCKS)


@pytest.mark.parametrize('block', BLOCKS, ids=range(len(BLOCKS)))
def test_transcript(block, disk, binary):
    said, happened = console.run(block, disk, binary)
    assert happened == said
