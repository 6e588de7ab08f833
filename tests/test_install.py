# SPDX-License-Identifier: MIT
"""What `meson install` puts in place, as mount(8), fstab(5) and systemd find it there."""
import os
import re
import shutil

import pytest
from namespace import NOBODY, TEXT, good, inside, installed, place  # noqa: F401


def test_everything_is_in_place(installed):
    files = {str(path.relative_to(installed)) for path in installed.rglob('*') if path.is_file()}
    assert {'bin/ourofs', 'bin/ourofsctl', 'share/man/man1/ourofs.1', 'share/man/man1/ourofsctl.1',
            'share/man/man5/ourofs.5', 'lib/systemd/system/ourofs@.service',
            'lib/systemd/user/ourofs@.service'} <= files
    assert not [name for name in files if '_probe' in name or '_bench' in name or name.endswith('.a')]
    for name in ('bin/ourofs', 'bin/ourofsctl'):
        assert (installed / name).stat().st_mode & 0o777 == 0o755


def test_mount_finds_it_by_its_type(inside, place):
    said = good(inside('''
        mount -t fuse.ourofs -o noatime,nosuid,_netdev,mode=dual-write memory.edn mnt
        findmnt -n -o SOURCE,FSTYPE,OPTIONS mnt
        cat mnt/.mode
        echo '{"a": 2}' > mnt/config.json
        umount mnt
        ended'''))
    first, mode = said.splitlines()
    source, kind, options = first.split()
    assert (source, kind, mode) == (f'{place}/memory.edn', 'fuse.ourofs', 'dual-write')
    assert {'rw', 'noatime', 'nosuid'} <= set(options.split(','))
    assert (place / 'memory.edn').read_text() == '{:config {:a 2}}'


@pytest.mark.parametrize('options, shown, absent', [
    ('noauto', 'rw', 'noexec'),
    ('noauto,ro,umask=077', 'ro', 'rw'),
    ('user,exec,suid,dev,sync,noauto', 'rw,sync', 'noexec,nosuid,nodev'),
    ('users,noauto,nofail', 'rw,nosuid,nodev,noexec', 'ro'),
    ('_netdev,x-systemd.automount,x-systemd.idle-timeout=1min,x-gvfs-show,comment=mine,noauto', 'rw', 'ro'),
    ('owner,group,nodiratime,relatime,lazytime,nodev,noexec,noauto,silent,nosymfollow', 'noexec,nodev', 'ro'),
    ('defaults,mode=edn-only,control=listed,allow_other,noauto', 'allow_other', 'ro'),
    ('auto,iversion,loud,mand,strictatime,dirsync', 'dirsync', 'ro'),
])
def test_a_line_of_fstab(inside, place, options, shown, absent):
    # what is opened with ro has been mounted before: it makes no store
    said = good(inside('''
        ourofs memory.edn mnt; umount mnt; ended
        mount mnt
        cat mnt/config.json
        findmnt -n -o OPTIONS mnt
        umount mnt
        ended''', f'{place}/memory.edn {place}/mnt fuse.ourofs {options} 0 0\n'))
    *content, line = said.splitlines()
    assert ''.join(''.join(content).split()) == '{"a":1}'
    assert set(shown.split(',')) <= set(line.split(','))
    assert not set(absent.split(',')) & set(line.split(','))


def test_a_line_with_blanks_in_its_paths(inside, place):
    (place / 'my memory.edn').write_text(TEXT)
    (place / 'my mnt').mkdir()
    good(inside('''
        mount "$PWD/my mnt"; cat "my mnt/config.json"; umount "my mnt"; ended "my memory.eav"''',
                f'{place}/my\\040memory.edn {place}/my\\040mnt fuse.ourofs noauto 0 0\n'))


def test_a_user_mounts_what_fstab_lets_them(inside, place):
    (place / 'memory.edn').chmod(0o600)
    for path in (place, place / 'memory.edn', place / 'mnt'):
        os.chown(path, NOBODY, NOBODY)
    said = good(inside(f'''
        mknod -m 666 fuse c 10 229 && mount --bind fuse /dev/fuse # some machines keep it to root
        as_nobody mount {place}/mnt
        as_nobody stat -c %u mnt/config.json
        cat mnt/config.json >/dev/null 2>&1 || echo not for root
        as_nobody umount {place}/mnt
        ended''', f'{place}/memory.edn {place}/mnt fuse.ourofs noauto,user 0 0\n'))
    assert said == f'{NOBODY}\nnot for root\n'


def test_a_user_lets_others_in_only_where_fuse_conf_says_so(inside, place):
    for path in (place, place / 'memory.edn', place / 'mnt'):
        os.chown(path, NOBODY, NOBODY)
    done = inside(f'''
        mknod -m 666 fuse c 10 229 && mount --bind fuse /dev/fuse
        touch conf && mount --bind conf /etc/fuse.conf
        as_nobody ourofs -o allow_other memory.edn mnt && exit 9
        echo user_allow_other > conf
        as_nobody ourofs -o allow_other memory.edn mnt
        cat mnt/.mode
        as_nobody fusermount3 -u mnt
        ended''')
    assert (done.returncode, done.stdout) == (0, 'datalevin-first\n')
    assert "option allow_other only allowed if 'user_allow_other' is set" in done.stderr
    assert f'ourofs: {place}/mnt: cannot mount on it' in done.stderr


def test_mount_tells_why_not(inside, place):
    line = f'{place}/memory.edn {place}/mnt fuse.ourofs noauto,colour=red 0 0\n'
    done = inside('mount mnt', line)
    assert done.returncode != 0
    assert "ourofs: unknown option '-o colour=red'" in done.stderr
    (place / 'memory.edn').write_text('{:a')
    done = inside('mount mnt', line.replace(',colour=red', ''))
    assert done.returncode != 0
    assert f'ourofs: {place}/memory.edn:1:' in done.stderr


def test_remounting_is_explained(inside):
    done = inside('''
        mount -t fuse.ourofs memory.edn mnt
        mount -o remount,ro mnt && exit 9
        mount -i -o remount,ro mnt
        ! touch mnt/config.json
        umount mnt
        ended''')
    assert done.returncode == 0, done.stderr
    assert "option 'remount': unmount and mount again" in done.stderr
    assert 'Read-only file system' in done.stderr


@pytest.mark.skipif(not shutil.which('systemd-analyze'), reason='systemd-analyze is not installed')
@pytest.mark.parametrize('manager', ['system', 'user'])
def test_systemd_accepts_the_unit(inside, manager):
    done = inside(f'XDG_RUNTIME_DIR=$PWD systemd-analyze verify --{manager} --man=no /usr/local/lib/systemd/{manager}/ourofs@.service')
    said = [line for line in done.stderr.splitlines() if 'ourofs' in line]
    assert (done.returncode, said) == (0, [])


def test_the_unit_hides_no_mount(installed):
    """What gives a service mounts of its own, and what refuses it openat2(2)."""
    unit = (installed / 'lib/systemd/system/ourofs@.service').read_text()
    assert not re.findall(r'^(?:Protect|Private|Read|Inaccessible|Bind|Dynamic|Mount|RestrictSUID)\w+=.*$', unit,
                          re.MULTILINE)


@pytest.mark.parametrize('manager', ['system', 'user'])
def test_what_the_unit_does(inside, installed, place, manager):
    """Its commands, run in a unit's order by hand, with a daemon that was killed in between."""
    unit = (installed / 'lib/systemd' / manager / 'ourofs@.service').read_text()
    command = dict(re.findall(r'^(Exec\w+)=-?(.*)$', unit, re.MULTILINE))
    (place / 'store').mkdir(mode=0o700)
    said = good(inside(f'''
        MEMORY=$PWD/memory.edn MOUNTPOINT=$PWD/mnt OPTIONS=store=$PWD/store
        start() {{ {command['ExecStartPre']} || true; {command['ExecStart']}; }}
        start
        kill -9 $(cat store/lock); ended store
        {command['ExecStopPost']} || true
        start
        cat mnt/.mode
        {command['ExecStop']} >/dev/null 2>&1 || kill $(cat store/lock)
        ended store
        {command['ExecStopPost']} || true'''))
    assert said == 'datalevin-first\n'
