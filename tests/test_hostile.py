# SPDX-License-Identifier: MIT
"""Names, sizes, depths and contents chosen to do harm: each an errno and a reason, nothing harmed."""
import errno
import json
import os
import re
import subprocess

import pytest

MEMORY = '{:config {:v 1}, :presence/s1 {"alice" {:n 1}}}'


def errno_of(action, *args):
    try:
        action(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def save(path, content):
    with open(path, 'wb') as file:
        file.write(content)


def reason(m, path):
    return (m.mnt / '.rejected' / (path + '.why')).read_text()


@pytest.mark.parametrize('folder', [b'', b'presence/s1/', b'notes/', b'.dot/'])
def test_names_of_every_byte(mount, folder):
    m = mount(MEMORY)
    base = os.fsencode(m.mnt) + b'/'
    if folder and not os.path.isdir(base + folder):
        os.mkdir(base + folder)
    made = set()
    for byte in range(1, 256):
        if byte == ord('/'):
            continue
        for name in (b'a' + bytes([byte]) + b'b.json', bytes([byte]) + b'.json', bytes([byte])):
            if name == b'.':
                continue
            got = errno_of(save, base + folder + name, b'1\n')
            assert got in (None, 'EINVAL'), (name, got)
            if got is None:
                made.add(name)
            else:
                assert errno_of(os.stat, base + folder + name) == 'ENOENT'
    assert made <= set(os.listdir(base + folder))
    for name in made:
        with open(base + folder + name, 'rb') as file:
            assert file.read() == b'1\n'
    m.remount()
    assert made <= set(os.listdir(base + folder))
    for name in made:
        os.unlink(base + folder + name)
    assert not made & set(os.listdir(base + folder))


def test_names_of_the_longest(mount):
    m = mount(MEMORY)
    for stem in ('n' * 250, 'é' * 125):
        save(m.mnt / (stem + '.json'), b'1')
        assert (m.mnt / (stem + '.json')).read_text() == '1'
        assert errno_of(save, m.mnt / (stem + 'x.json'), b'1') == 'ENAMETOOLONG'
        assert errno_of(os.stat, m.mnt / (stem + 'x.json')) == 'ENAMETOOLONG'
    assert errno_of(os.mkdir, m.mnt / ('d' * 256)) == 'ENAMETOOLONG'
    assert errno_of(os.rename, m.mnt / 'config.json', m.mnt / ('d' * 251 + '.json')) == 'ENAMETOOLONG'
    assert errno_of(os.rename, m.mnt / 'config.json', m.mnt / ('s' * 256)) == 'ENAMETOOLONG'
    assert json.loads((m.mnt / 'config.json').read_text()) == {'v': 1}


def test_keys_that_would_be_something_else(mount):
    """Keys that try to be the parent, a control file, a terminal's escape, or longer than a name."""
    long = 'k' * 300
    m = mount('{:.. 1, :.mode 2, "../x" 3, "a\\nb" 4, "\x1b[31mred" 5, "🔥/🔥" 6, "." 7, "..", 8, :' + long +
              ' 9, :presence/.. {"../../etc" 10, ".git" 11}, "' + 'é' * 300 + '" 12, "" 13}')
    found = {}
    for folder, _, files in os.walk(m.mnt):
        for name in files:
            path = os.path.join(folder, name)
            assert len(os.fsencode(name)) <= 255
            assert not re.search(r'[\x00-\x1f\x7f]', name)
            found[json.loads(open(path).read())] = os.path.relpath(path, m.mnt)
    assert sorted(found) == list(range(1, 14))
    assert found[1] == '%2E..json' and found[2] == '%2Emode.json'
    assert (m.mnt / '.mode').read_text() == 'datalevin-first\n'
    for path in found.values():
        key = os.getxattr(m.mnt / path, 'user.ourofs.key')
        assert key
        save(m.mnt / path, b'"changed"')
    m.remount()
    assert all((m.mnt / path).read_text() == '"changed"' for path in found.values())


@pytest.mark.parametrize('depth, got', [(512, None), (513, 'EBADMSG'), (100000, 'EBADMSG')])
def test_depth_of_what_is_saved(mount, depth, got):
    m = mount(MEMORY)
    before = (m.mnt / 'config.json').read_bytes()
    text = b'[' * depth + b']' * depth
    assert errno_of(save, m.mnt / 'config.json', text) == got
    assert (m.mnt / 'config.json').read_bytes() == (before if got else text)
    if got:
        assert re.match(r'1:513: .*deep', reason(m, 'config.json'))


@pytest.mark.parametrize('depth, mounts', [(1024, True), (1025, False), (1000000, False)])
def test_depth_of_what_is_loaded(mount, binary, disk, depth, mounts):
    text = '{:deep ' + '[' * (depth - 1) + ']' * (depth - 1) + '}'
    if mounts:
        m = mount(text)
        assert (m.mnt / 'deep.json').read_text().count('[') == depth - 1
        return
    (disk / 'memory.edn').write_text(text)
    (disk / 'mnt').mkdir()
    done = subprocess.run([binary('ourofs'), '-f', disk / 'memory.edn', disk / 'mnt'],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r'memory\.edn:1:\d+: .*deep', done.stderr), done.stderr
    assert (disk / 'memory.edn').read_text() == text


def test_size_of_what_is_saved(mount):
    m = mount(MEMORY)
    before = (m.mnt / 'config.json').read_bytes()
    piece = b'x' * (1 << 20)
    with open(m.mnt / 'config.json', 'wb', buffering=0) as file:
        file.write(b'"')
        for _ in range(31):
            file.write(piece)
        with pytest.raises(OSError) as error:
            for _ in range(2):
                file.write(piece)
        assert error.value.errno == errno.EFBIG
        with pytest.raises(OSError) as error:
            os.ftruncate(file.fileno(), 1 << 40)
        assert error.value.errno == errno.EFBIG
        os.ftruncate(file.fileno(), 0)
        os.pwrite(file.fileno(), before, 0)
    assert (m.mnt / 'config.json').read_bytes() == before
    big = b'"' + b'y' * (30 << 20) + b'"'
    save(m.mnt / 'big.json', big)
    assert (m.mnt / 'big.json').read_bytes() == big


def test_a_large_scratch_file_does_not_become_a_document(mount):
    m = mount(MEMORY)
    with open(m.mnt / 'big.tmp', 'wb') as file:
        file.truncate(33 << 20)
    assert errno_of(os.rename, m.mnt / 'big.tmp', m.mnt / 'config.json') == 'EFBIG'
    assert json.loads((m.mnt / 'config.json').read_text()) == {'v': 1}
    assert (m.mnt / 'big.tmp').stat().st_size == 33 << 20


BAD = {
    'a raw NUL': b'"a\0b"',
    'NULs behind': b'{"a": 1}\0\0\0',
    'invalid UTF-8': b'"\xff"',
    'an overlong form': b'"\xc0\xaf"',
    'a surrogate in UTF-8': b'"\xed\xa0\x80"',
    'a BOM': b'\xef\xbb\xbf{}',
    'two values': b'{} {}',
    'a comma too many': b'{"a": 1,}',
    'a comment': b'{} // why',
    'single quotes': b"{'a': 1}",
    'NaN': b'NaN',
    'a double that overflows': b'1e400',
    'a key twice': b'{"a": 1, "a": 2}',
    'keys that Clojure takes for one': b'{"#1": 1, "#1N": 2}',
    'a keyword that Clojure can\'t read': b'{"#kw": "a/1"}',
    'a symbol that Clojure can\'t read': b'{"#sym": "a@b"}',
    'a tag that Clojure can\'t read': b'{"#my/tag": 1}',
    'a malformed marker': b'{"#set": 3}',
    'a set with one thing twice': b'{"#set": [1, 1]}',
    'a key that is none': b'{":two words": 1}',
    'no instant': b'{"#inst": "yesterday"}',
    'nothing': b'',
    'white space': b' \n',
}


@pytest.mark.parametrize('what', BAD)
def test_contents_that_are_no_document(mount, what):
    m = mount(MEMORY)
    before = (m.mnt / 'config.json').read_bytes()
    edn = m.edn_text()
    assert errno_of(save, m.mnt / 'config.json', BAD[what]) in ('EBADMSG', None)
    assert (m.mnt / 'config.json').read_bytes() == before
    assert (m.mnt / '.rejected' / 'config.json').read_bytes() == BAD[what]
    assert re.match(r'(\d+:\d+: )?\S', reason(m, 'config.json'))
    assert 'config.json: ' in (m.mnt / '.errors').read_text()
    m.sync()
    assert m.edn_text() == edn


GOOD = {
    'an escaped NUL': b'"a\\u0000b"',
    'a lone surrogate': b'"\\ud800"',
    'a pair': b'"\\ud83d\\ude00"',
    'white space around': b' \n\t{ "a" : 1 } \r\n',
    'a key of spaces': b'{"two words": 1}',
    'all the markers': b'[{"#set": [1]}, {"#list": []}, {"#char": "a"}, {"#sym": "a/b"}, {"#ratio": "22/7"}]',
}


@pytest.mark.parametrize('what', GOOD)
def test_contents_that_are_kept(mount, what):
    m = mount(MEMORY)
    save(m.mnt / 'config.json', GOOD[what])
    assert (m.mnt / 'config.json').read_bytes() == GOOD[what]
    m.remount()
    assert (m.mnt / 'config.json').read_bytes() == GOOD[what]


def test_many_open_handles(mount):
    m = mount(MEMORY)
    paths = [m.mnt / 'config.json', m.mnt / 'presence' / 's1' / 'alice.json', m.mnt / 'notes.txt']
    paths[2].write_text('scratch')
    files = [open(paths[i % 3], 'rb') for i in range(900)]
    writers = [open(paths[0], 'r+b') for _ in range(50)]
    assert all(file.read() for file in files)
    for file in writers + files:
        file.close()
    assert json.loads(paths[0].read_text()) == {'v': 1}
