# SPDX-License-Identifier: MIT
"""What system calls say: the same script in a mount and in a real directory; what differs is listed with its reason."""
import ctypes
import errno
import fcntl
import itertools
import mmap
import os
import select
import shutil
import struct

import pytest

from posix_side import (CWD, EXCHANGE, LIBC, NOREPLACE, WHITEOUT, checked, compare,
                        differences, mode, read, real_directory, renameat2, run, tree, write)

# ---- rename: everything over everything ----

KINDS = {
    'nothing': ('{}', lambda path: None),
    'document': ('{}.json', lambda path: write(path, b'{"a": 1}')),
    'empty': ('{}.json', lambda path: write(path, b'')),
    'scratch': ('{}', lambda path: write(path, b'[1]')),
    'directory': ('{}', os.mkdir),
    'namespace': ('{}', lambda path: (os.mkdir(path), write(path + '/k.json', b'1'))),
    'folder': ('{}', lambda path: (os.mkdir(path), write(path + '/file', b'2'))),
    'collection': ('presence/{}', lambda path: (os.mkdir(path), write(path + '/m.json', b'3'))),
    'emptied': ('presence/{}', lambda path: (os.mkdir(path), write(path + '/m.json', b'3'),
                                             os.unlink(path + '/m.json'))),
    'dotted': ('.{}', lambda path: (os.mkdir(path), write(path + '/x.json', b'no'))),
}


def rename_script(old_kind, new_kind, flags):
    def script(side):
        paths = []
        for stem, kind in (('old', old_kind), ('new', new_kind)):
            pattern, make = KINDS[kind]
            path = pattern.format(stem)
            os.makedirs('presence', exist_ok=True)
            make(path)
            paths.append(path)
        side.do('rename', renameat2, *paths, flags)
        side.note('tree', tree())
    return script



DOTTED = ('EXDEV', 'below a dot directory *.json are scratch files: mv copies')
NO_KEY = ('EXDEV', 'the key of a collection comes with its first member and stays: it is no namespace')
NO_EXCHANGE = ('EINVAL', 'two documents or two scratch files are exchanged in one step, nothing else can')
EMPTY = ('EBADMSG', 'emptying a document is refused')
DIRECTORIES = ('directory', 'namespace', 'folder', 'collection', 'emptied')


def intended_of_rename(old, new, flags):
    if flags == EXCHANGE:
        return None if 'nothing' in (old, new) or old == new in ('document', 'scratch') else NO_EXCHANGE
    if flags == NOREPLACE and new != 'nothing':
        return None
    if (old, new) == ('empty', 'document'):
        return EMPTY
    if (old == 'dotted' and new in ('nothing', *DIRECTORIES)) or (old in DIRECTORIES and new == 'dotted'):
        return DOTTED
    return NO_KEY if old == 'emptied' and new in ('nothing', 'directory') else None


@pytest.mark.parametrize('flags', [0, NOREPLACE, EXCHANGE])
def test_rename_of_everything_over_everything(mount, flags):
    m = mount('{}')
    wrong = []
    for old, new in itertools.product(KINDS, KINDS):
        script = rename_script(old, new, flags)
        theirs = run(real_directory(m), script)
        ours = run(m.mnt, script)
        intended = intended_of_rename(old, new, flags)
        if intended:  # and nothing happened, which flags that exclude each other show
            theirs['tree'] = run(real_directory(m), rename_script(old, new, NOREPLACE | EXCHANGE))['tree']
            intended = {'rename': intended}
        wrong += [f'{old} over {new}: {line}' for line in differences(ours, theirs, intended or {})]
        for name in os.listdir(m.mnt):
            shutil.rmtree(m.mnt / name) if (m.mnt / name).is_dir() else (m.mnt / name).unlink()
    assert not wrong, '\n'.join(wrong)
