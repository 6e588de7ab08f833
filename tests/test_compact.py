# SPDX-License-Identifier: MIT
"""What large documents leave behind in LMDB's files is given back at an unmount."""
import subprocess

import lmdb

BIG = 5_000_000  # two of them: more than is left alone


def sizes(m):
    return [(m.store / name).stat().st_size for name in ('data.mdb', 'saved/data.mdb')]


def use(m):
    """A lot of space that is used no more."""
    for number in range(2):
        (m.mnt / f'big{number}.json').write_text('"%s"' % ('x' * BIG))
    m.sync()
    for number in range(2):
        (m.mnt / f'big{number}.json').unlink()
    m.sync()
    assert min(sizes(m)) > 2 * BIG


def check(m, binary):
    subprocess.run([binary('ourofsctl'), 'check', m.store], check=True)


def test_free_pages_are_given_back(mount, binary):
    m = mount('{:a 1 :presence/s {"x" {:b 2}}}')
    (m.mnt / 'a.json').write_text('[ 3]')
    use(m)
    m.unmount()
    assert max(sizes(m)) < 1_000_000
    check(m, binary)
    m.mount()
    assert (m.mnt / 'a.json').read_text() == '[ 3]'
    assert (m.mnt / 'presence/s/x.json').read_text()
    (m.mnt / 'a.json').write_text('[ 4]')
    m.kill()
    m.mount()
    assert (m.mnt / 'a.json').read_text() == '[ 4]'
    m.unmount()
    check(m, binary)


def test_a_store_in_use_is_left_alone(mount, binary):
    """By a backup, say, which reads the file."""
    m = mount('{:a 1}')
    use(m)
    with lmdb.open(str(m.store / 'saved'), readonly=True, max_dbs=4) as reader:
        m.unmount()
        assert sizes(m)[0] < 1_000_000 < sizes(m)[1]
        assert reader.stat()['entries']
    check(m, binary)
    m.mount()
    m.unmount()
    assert max(sizes(m)) < 1_000_000
    check(m, binary)


def test_what_a_kill_left_of_it_goes(mount):
    m = mount('{:a 1}')
    m.kill()
    left = [m.store / 'data.mdb.compacted', m.store / 'saved/data.mdb.compacted']
    for path in left:
        path.write_bytes(b'x' * 10_000)
    m.mount()
    assert not any(path.exists() for path in left)
    assert (m.mnt / 'a.json').read_text() == '1\n'
