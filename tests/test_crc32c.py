# SPDX-License-Identifier: MIT
"""CRC32C: the vectors of RFC 3720, and every way to compute it against the definition."""
import random
import subprocess

import pytest

# RFC 3720, appendix B.4 (which prints the bytes in the order of transmission), and the check value
# of the catalogue of parametrised CRC algorithms.
READ_COMMAND = bytes.fromhex('01c00000000000000000000000000000140000000000040000000014000000182800'
                             '0000000000000200000000000000')
VECTORS = [
    (bytes(32), 0x8a9136aa),
    (b'\xff' * 32, 0x62a8ab43),
    (bytes(range(32)), 0x46dd794e),
    (bytes(reversed(range(32))), 0x113fdb5c),
    (READ_COMMAND, 0xd9963a56),
    (b'123456789', 0xe3069283),
    (b'', 0),
]


def by_definition(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


@pytest.fixture(scope='module')
def ways(binary):
    """ways(data, cut): what each way says of data."""
    process = subprocess.Popen([binary('crc32c_probe')], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)

    def ask(data, cut=0):
        process.stdin.write(f'{data.hex()} {cut}\n')
        process.stdin.flush()
        said = dict(word.split('=') for word in process.stdout.readline().split())
        return {name: int(value, 16) for name, value in said.items()}
    yield ask
    process.stdin.close()
    assert process.wait() == 0
    process.stdout.close()


@pytest.mark.parametrize('data, expected', VECTORS, ids=lambda v: str(v)[:12])
def test_known_vectors(ways, data, expected):
    said = ways(data, len(data) // 2)
    assert {'portable', 'pieces'} <= set(said) and set(said.values()) == {expected}


def test_every_way_agrees_with_the_definition(ways):
    dice = random.Random(3720)
    for length in [*range(70), 255, 256, 257, 4095, 4096]:
        data = dice.randbytes(length)
        expected = by_definition(data)
        for cut in {0, length // 3, length}:
            assert set(ways(data, cut).values()) == {expected}, (length, cut)


def test_the_processors_instruction_is_used_where_there_is_one(ways):
    with open('/proc/cpuinfo') as info:
        flags = set(info.read().split())
    assert ('sse4.2' in ways(b'')) == ('sse4_2' in flags)
    assert ('armv8-crc' in ways(b'')) == ('crc32' in flags)
