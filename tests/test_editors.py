# SPDX-License-Identifier: MIT
"""vim, nano and emacs on a terminal, with their own settings: good saves, refused saves, what is left."""
import os
import shutil
import stat

import pytest

import edn_reader
from shell import holds, memory, names, sh, shown
from terminal import Terminal

MEMORY = ('{:config {:theme :light, :size 12} ; how it looks\n'
          ' :presence/s1 {"alice" {:user/name "Alice"}}\n'
          ' :embed-token/0ab {:token/active? true}}\n')
GOOD = b'{\n  "theme": ":light",\n  "size": 12\n}\n'

VIMS = {'vim': ['vim'], 'vim -u NONE': ['vim', '-u', 'NONE'],
        'vim with every file': ['vim', '-c', 'set backup undofile'],
        'vim -n': ['vim', '-n'], 'vim backupcopy': ['vim', '-c', 'set backupcopy=yes'],
        'vim nocompatible fsync': ['vim', '-N', '-u', 'NONE', '--cmd', 'set fsync']}
NANO = pytest.mark.skipif(not shutil.which('nano'), reason='nano is not installed')
EMACS = pytest.mark.skipif(not shutil.which('emacs'), reason='emacs is not installed')


def left_by(editor, name):
    """What an editor is known to leave beside a file that it saved."""
    if editor == 'vim with every file':
        return [f'.{name}.un~', f'{name}~']
    return [f'{name}~'] if editor == 'emacs' else []


def vim(m, how, name):
    editor = Terminal(m, [*VIMS[how], name])
    editor.wait_for(r'"[^"]*(json|tmp)"')  # the name and size of the file, when it is read
    return editor


def emacs_on(m, name):
    """It leaves what it was compiling when it is ended, in its TMPDIR, below which it would make no backups."""
    left = m.base / 'tmp'
    left.mkdir(exist_ok=True)
    return Terminal(m, ['emacs', '-nw', '--no-splash', name], TERM='rxvt', TMPDIR=str(left))  # rxvt: it asks no questions


def emacs(m, name, text):
    editor = emacs_on(m, name)
    editor.wait_for(text)
    return editor


def text_of(path):
    """Without complaint while an editor has renamed the file away."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ''


def nano(m, name):
    editor = Terminal(m, ['nano', name])
    editor.wait_for(r'Read \d+ lines')
    return editor


def vim_edit(m, how, name, old, new):
    with vim(m, how, name) as editor:
        editor.type(f':%s/{old}/{new}/\r:wq\r')
        assert editor.wait_exit() == 0


def emacs_edit(m, name, old, new):
    with emacs(m, name, old) as editor:
        editor.type(f'\x1bxreplace-string\r{old}\r{new}\r\x18\x13')
        editor.wait_until(lambda: new in text_of(m.mnt / name), 'the save')
        editor.type('\x18\x03')
        assert editor.wait_exit() == 0


def nano_edit(m, name, old, new):
    with nano(m, name) as editor:
        for keys, shows in (('\x1br', 'to replace'), (f'{old}\r', 'with'),
                            (f'{new}\r', 'this instance'), ('a', 'Replaced'), ('\x0f', 'DOS Format')):
            editor.type(keys)
            editor.wait_for(shows)
        editor.type('\r')  # to the question for the name
        editor.wait_until(lambda: new in text_of(m.mnt / name), 'the save')
        editor.type('\x18')
        assert editor.wait_exit() == 0


EDITORS = [*VIMS, pytest.param('nano', marks=NANO), pytest.param('emacs', marks=EMACS)]


def edit(m, how, name, old, new):
    if how == 'nano':
        nano_edit(m, name, old, new)
    elif how == 'emacs':
        emacs_edit(m, name, old, new)
    else:
        vim_edit(m, how, name, old, new)


@pytest.mark.parametrize('how', EDITORS)
def test_edit(mount, how):
    m = mount(MEMORY, 'edn_delay=5000')
    (m.mnt / 'config.json').chmod(0o640)
    edit(m, how, 'config.json', 'light', 'dark')
    assert (m.mnt / 'config.json').read_bytes() == GOOD.replace(b'light', b'dark')
    assert names(m.mnt) == sorted(['config.json', 'embed-token', 'presence',
                                   *left_by(how, 'config.json')])
    assert stat.S_IMODE((m.mnt / 'config.json').stat().st_mode) == 0o640
    m.sync()
    assert m.edn_text() == MEMORY.replace(':light', ':dark')
    assert (m.mnt / '.errors').read_text() == ''
    edit(m, how, 'presence/s1/alice.json', 'Alice', 'Alicia')
    holds(m, ':presence/s1', '{"alice" {:user/name "Alicia"}}')
    edit(m, how, 'config.json', '12', '14')
    holds(m, ':config', '{:theme :dark :size 14}')
    m.remount()
    assert shown(m.mnt / 'config.json') == edn_reader.read('{:theme :dark :size 14}')
    assert names(m.mnt / 'presence/s1') == sorted(['alice.json', *left_by(how, 'alice.json')])


@pytest.mark.parametrize('how', EDITORS)
def test_edit_of_a_key_that_clojure_can_not_read(mount, how):
    m = mount(MEMORY, 'edn_delay=5000')
    edit(m, how, 'embed-token/0ab.json', 'true', 'false')
    assert (m.mnt / '.errors').read_text() == ''
    m.sync()
    assert m.edn_text() == MEMORY.replace('true', 'false')


@pytest.mark.parametrize('how', [*VIMS, pytest.param('nano', marks=NANO),
                                 pytest.param('emacs', marks=EMACS)])
def test_new_file(mount, how):
    m = mount('{:old 1}')
    if how == 'nano':
        with Terminal(m, ['nano', 'new.json']) as editor:
            editor.wait_for('New File')
            editor.type('{"a": ":b"}\r\x0f')
            editor.wait_for('DOS Format')
            editor.type('\r')
            editor.wait_until(lambda: text_of(m.mnt / 'new.json'), 'the save')
            editor.type('\x18')
            assert editor.wait_exit() == 0
    elif how == 'emacs':
        with emacs_on(m, 'new.json') as editor:
            editor.wait_for('New file')
            editor.type('{"a": ":b"}\r\x18\x13')
            editor.wait_until(lambda: text_of(m.mnt / 'new.json'), 'the save')
            editor.type('\x18\x03')
            assert editor.wait_exit() == 0
    else:
        with vim(m, how, 'new.json') as editor:
            editor.type('i{"a": ":b"}\x1b:wq\r')
            assert editor.wait_exit() == 0
    holds(m, ':new', '{:a :b}')
    assert [name for name in names(m.mnt) if not name.endswith('un~')] == ['new.json', 'old.json']


# ---- refused saves ----

def check_refused(m, name, bad):
    """The old value is served, what was refused is kept with its reason."""
    assert (m.mnt / name).read_bytes() == GOOD
    rejected = m.mnt / '.rejected' / name
    assert rejected.read_bytes() == bad
    assert (m.mnt / f'.rejected/{name}.why').read_text().startswith('2:')
    assert f' {name}: 2:' in (m.mnt / '.errors').read_text()
    m.sync()  # not before: an editor's rename takes the key from its place for a moment
    assert m.edn_text() == MEMORY


@pytest.mark.parametrize('how', VIMS)
def test_vim_refused(mount, how):
    """vim sees the error, and puts back what was there: that clears nothing. The next good save does."""
    m = mount(MEMORY, 'edn_delay=3600000')
    bad = GOOD.replace(b'":light"', b'light')
    copies = how in ('vim -u NONE', 'vim backupcopy')  # the backup is not renamed, but copied back
    with vim(m, how, 'config.json') as editor:
        editor.type(':%s/":light"/light/\r:w\r')
        editor.wait_for(r'E\d+:|E\d+ ')
        check_refused(m, 'config.json', bad)
        editor.type('\r:%s/light/":dark"/\r:w\r')
        if copies:
            editor.wait_for(r'y/n')  # it put the old bytes back itself, and wonders who did
            editor.type('y')
        editor.wait_until(lambda: 'dark' in text_of(m.mnt / 'config.json'), 'the good save')
        assert names(m.mnt / '.rejected') == []
        editor.type(':q!\r')
        editor.wait_exit()
    holds(m, ':config', '{:theme :dark :size 12}')
    left = ['config.json~'] if copies else left_by(how, 'config.json')
    assert names(m.mnt) == sorted(['config.json', 'embed-token', 'presence', *left])


@pytest.mark.parametrize('how', VIMS)
def test_vim_gives_up(mount, how):
    m = mount(MEMORY, 'edn_delay=3600000')
    (m.mnt / 'config.json').chmod(0o600)
    ino = (m.mnt / 'config.json').stat().st_ino
    bad = GOOD.replace(b'":light"', b'light')
    with vim(m, how, 'config.json') as editor:
        editor.type(':%s/":light"/light/\r:w\r')
        editor.wait_for(r'E\d+:|E\d+ ')
        editor.type('\r:q!\r')
        editor.wait_exit()
    check_refused(m, 'config.json', bad)
    assert ino and stat.S_IMODE((m.mnt / 'config.json').stat().st_mode) == 0o600
    m.remount()
    assert (m.mnt / 'config.json').read_bytes() == GOOD
    assert (m.mnt / '.rejected/config.json').read_bytes() == bad
    (m.mnt / 'config.json').write_text('{"theme": ":dark"}')
    assert names(m.mnt / '.rejected') == []


@NANO
def test_nano_refused(mount):
    m = mount(MEMORY, 'edn_delay=3600000')
    with nano(m, 'config.json') as editor:
        editor.type('\x1b[B\x0b"theme": light,\r\x0f')  # line down, cut, type anew, write out
        editor.wait_for('DOS Format')
        editor.type('\r')
        editor.wait_for('Bad message')
        check_refused(m, 'config.json', b'{\n"theme": light,\n  "size": 12\n}\n')
        editor.type('\x18')
        editor.wait_for('Save modified buffer')
        editor.type('n')
        assert editor.wait_exit() == 0
    assert (m.mnt / 'config.json').read_bytes() == GOOD
    assert names(m.mnt) == ['config.json', 'embed-token', 'presence']


@EMACS
def test_emacs_refused(mount):
    m = mount(MEMORY, 'edn_delay=3600000')
    with emacs(m, 'config.json', 'light') as editor:
        editor.type('\x1bxreplace-string\r":light"\rlight\r\x18\x13')
        editor.wait_for('Write error')
        check_refused(m, 'config.json', GOOD.replace(b'":light"', b'light'))
        editor.type('\x1b<\x1bxreplace-string\rlight\r":dark"\r\x18\x13')
        editor.wait_for('Save anyway')  # it took the refused file's time for its own
        editor.type('yes\r')
        editor.wait_until(lambda: 'dark' in text_of(m.mnt / 'config.json'), 'the good save')
        editor.type('\x18\x03')
        editor.wait_exit()
    holds(m, ':config', '{:theme :dark :size 12}')
    assert names(m.mnt / '.rejected') == []


# ---- what editors leave when they are killed ----

def test_vim_recovers_after_a_kill_of_everything(mount):
    """The swap file is scratch: it is there after a crash, and vim -r brings the text back."""
    m = mount(MEMORY)
    with vim(m, 'vim', 'config.json') as editor:
        editor.type(':%s/light/dark/\r:preserve\r')
        editor.wait_for('preserved')
        m.kill()
        m.remount()
        assert '.config.json.swp' in names(m.mnt)
        assert (m.mnt / 'config.json').read_bytes() == GOOD
    with Terminal(m, ['vim', '-r', 'config.json']) as editor:
        editor.wait_for('Recovery completed|ENTER')
        editor.type('\r:wq\r')
        editor.wait_exit()
    sh(m, 'rm -f .config.json.swp')
    holds(m, ':config', '{:theme :dark :size 12}')


def test_a_vim_killed_while_the_file_is_away(mount):
    """Between vim's rename to f~ and its save the document is a scratch file: no kill loses it."""
    m = mount(MEMORY)
    os.rename(m.mnt / 'config.json', m.mnt / 'config.json~')
    m.kill()
    m.remount()
    assert (m.mnt / 'config.json~').read_bytes() == GOOD
    assert ('kw', 'config') not in memory(m)
    os.rename(m.mnt / 'config.json~', m.mnt / 'config.json')
    assert (m.mnt / 'config.json').read_bytes() == GOOD
    holds(m, ':config', '{:theme :light :size 12}')
