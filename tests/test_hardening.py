# SPDX-License-Identifier: MIT
"""What a mount keeps from other users, and what the daemon can't do even where it wants to."""
import os
import stat


def bits(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


# ---- permission bits that give a user's power to another ----

SETID = stat.S_ISUID | stat.S_ISGID


def assert_no_setid(top):
    seen = [top, *(os.path.join(where, name) for where, below, files in os.walk(top) for name in below + files)]
    assert not [path for path in seen if bits(path) & SETID]
    return len(seen)


def test_no_file_is_setuid(mount):
    """Neither as it is shown nor as it lies on the disk, by whatever way it comes."""
    m = mount('{:config 1 :presence/s {"u" 1}}')
    before = os.umask(0)
    try:
        for name in ('made', 'new.json'):
            os.close(os.open(m.mnt / name, os.O_CREAT | os.O_WRONLY, 0o6755))
        os.mkdir(m.mnt / 'dir', 0o6755)
        os.mkdir(m.mnt / 'dir/.below', 0o6755)
    finally:
        os.umask(before)
    for name in ('made', 'new.json', 'config.json', 'presence/s', 'presence/s/u.json', 'dir'):
        (m.mnt / name).chmod(0o6755)
        assert bits(m.mnt / name) == 0o755, name
    os.rename(m.mnt / 'config.json', m.mnt / 'config.bak')
    (m.mnt / 'made').write_text('2')
    os.rename(m.mnt / 'made', m.mnt / 'made.json')
    (m.mnt / 'made.json').chmod(0o6711)
    m.sync()
    assert assert_no_setid(m.mnt) >= 8
    # what an older version, or its owner by hand, has left there
    (m.store / 'scratch/config.bak').chmod(0o4755)
    m.remount()
    assert assert_no_setid(m.mnt) >= 8
    (m.mnt / 'config.bak').chmod(0o755)
    assert assert_no_setid(m.store) > 8
