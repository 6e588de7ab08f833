# SPDX-License-Identifier: MIT
"""Documents made to take much: whatever their shape, memory and time are in proportion to their bytes, and small."""
import errno
import json
import os
import re
import resource
import signal
import subprocess

import pytest

import callpoint
from conftest import status_kb, wait_until
from modes_driver import mode_of, switch
from outside import conflicts
from rival import write_in_place
from test_hostile import errno_of, save
from test_migrate import ended, migrate
from test_validate import validate

pytestmark = pytest.mark.usefixtures('lazy_malloc')
MEMORY = '{:config {:v 1}, :presence/s1 {"alice" {:n 1}}}'
MIB = 1 << 20
VALUES_MIN = 65536  # so many a document may have whatever doc_max is


def height_kb(pid):
    """The most memory that a process ever had."""
    return status_kb(pid, 'VmHWM')


def repeated(unit, size):
    return b'[' + b','.join([unit] * (size // (len(unit) + 1))) + b']'


def keys(size, value):
    return b','.join(b'"k%d":%s' % (i, value) for i in range(size // (11 + len(value))))


def nested(before, size, after, depth=500):
    """So deep, and in the innermost most of what there is."""
    return before * depth + repeated(b'1', size - (len(before) + len(after)) * depth) + after * depth


# ---- memory ----

BOMB = 5 * MIB  # what one takes is in proportion to its size

BOMBS = {
    'scalars': (lambda: repeated(b'1', BOMB), None),
    'empty lists': (lambda: repeated(b'[]', BOMB), None),
    'nested': (lambda: repeated(b'[' * 500 + b']' * 500, BOMB), None),
    'keys': (lambda: b'{%s}' % keys(BOMB, b'1'), None),
    'keys of maps': (lambda: b'{%s}' % keys(BOMB, b'{}'), None),
    'scalars of an attribute': (lambda: b'{"a":%s}' % repeated(b'1', BOMB), None),
    'scalars in a key': (lambda: b'{"#%s":1}' % repeated(b'1', BOMB), None),
    'escapes': (lambda: repeated(b'"\\n"', BOMB), None),
    'tags': (lambda: repeated(b'{"#uuid":"1-1-1-1-1"}', BOMB), None),
    'digits': (lambda: b'{"#dec": "%s"}' % (b'9' * BOMB), None),
    'no symbol': (lambda: b'{"#sym":"%s"}' % repeated(b'1', BOMB), 'EBADMSG'),
    'equal elements': (lambda: b'{"#set":%s}' % repeated(b'1', BOMB), 'EBADMSG'),
    'too deep': (lambda: b'{"a":' * (BOMB // 5), 'EBADMSG'),
    'a key twice, at the end': (lambda: b'{%s,"k0":1}' % keys(BOMB, b'1'), 'EBADMSG'),
    'zeros': (lambda: bytes(BOMB), 'EBADMSG'),
    'too many': (lambda: repeated(b'1', 2 * BOMB), 'EFBIG'),
}


@pytest.mark.busy
@pytest.mark.parametrize('bomb', BOMBS)
def test_what_a_bomb_takes(mount, bomb):
    """Until it has arrived in both stores; and what remains then is the bytes, not what they took on the way."""
    m = mount(MEMORY)
    data, got = BOMBS[bomb]
    data = data()
    before = height_kb(m.proc.pid)
    assert errno_of(save, m.mnt / 'config.json', data) == got
    m.sync()
    assert height_kb(m.proc.pid) - before < 18 * BOMB >> 10
    assert status_kb(m.proc.pid, 'RssAnon') < 6 * BOMB >> 10
    assert (m.mnt / 'config.json').stat().st_size == (13 if got else len(data))
    assert json.loads((m.mnt / 'presence/s1/alice.json').read_text()) == {'n': 1}


# ---- how many values ----

ITEMS = b','.join([b'1'] * VALUES_MIN)
TOO_MANY = {
    'items': b'[%s,1]',
    'in a member': b'{"a":[%s]}',
    'in a key': b'{"#[%s]":1}',
    'in a set of lists': b'{"#set":[[%s]]}',
    'discarded in a key': b'{"#[#_[%s]]":1}',
}


def test_as_many_values_as_there_may_be(mount):
    m = mount(MEMORY, 'doc_max=512K')
    save(m.mnt / 'config.json', b'[%s]' % ITEMS)
    m.sync()
    assert (m.mnt / 'config.json').read_bytes() == b'[%s]' % ITEMS
    assert m.edn_text().startswith('{:config [1 1 1 ')


@pytest.mark.parametrize('where', TOO_MANY)
def test_more_values_than_there_may_be(mount, where):
    m = mount(MEMORY, 'doc_max=512K')
    assert errno_of(save, m.mnt / 'config.json', TOO_MANY[where] % ITEMS) == 'EFBIG'
    assert 'config.json: more than 65536 values' in (m.mnt / '.errors').read_text()
    assert (m.mnt / '.rejected/config.json').read_bytes() == TOO_MANY[where] % ITEMS
    assert json.loads((m.mnt / 'config.json').read_text()) == {'v': 1}


def test_a_larger_doc_max_allows_more_values(mount):
    m = mount(MEMORY, 'doc_max=1M')
    save(m.mnt / 'config.json', b'[%s,1]' % ITEMS)
    assert errno_of(save, m.mnt / 'config.json', repeated(b'1', MIB - 2)) == 'EFBIG'
    assert f'more than {MIB // 12} values' in (m.mnt / '.errors').read_text()


# ---- time ----

SLOW = 2 * MIB
BOMBS_OF_TIME = {
    'sets in sets': ('to-edn', lambda: nested(b'{"#set":[%s,' % b','.join(b'%d' % i for i in range(13)), SLOW, b']}')),
    'few sets in sets': ('to-edn', lambda: nested(b'{"#set":[[],', SLOW, b']}')),
    'equal sets': ('to-json', lambda: b'#{%s %s}' % ((nested(b'#{0 ', SLOW // 2, b'}'),) * 2)),
    'a day that is out of sight': ('to-edn', lambda: repeated(b'{"#inst":"9999-12-31T23:59:59-23:59"}', SLOW)),
    'doubles of the smallest': ('to-edn', lambda: repeated(b'1.2345678901234567e-310', SLOW)),
}


def processor_seconds(command, text):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(command, input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode in (0, 1), done.stderr
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


@pytest.mark.busy
@pytest.mark.parametrize('bomb', BOMBS_OF_TIME)
def test_how_long_a_bomb_takes(binary, bomb):
    """No more than some times what as many small numbers do: those here took a hundred times as much and more."""
    command, data = BOMBS_OF_TIME[bomb]
    plain = processor_seconds([binary('ourofsctl'), command], repeated(b'123456789', 4 * SLOW))
    assert processor_seconds([binary('ourofsctl'), command], data()) < 5 * plain + 0.1


# ---- what memory.edn holds ----

@pytest.mark.parametrize('depth', [10, 1000])
def test_indentation_stays_in_proportion(mount, depth):
    """Each of 100,000 numbers, on a line of its own, would be indented by 2,000 blanks."""
    text = '[' * depth + ' '.join(['1'] * 100_000) + ']' * depth
    m = mount('{:config %s}' % text)
    shown = (m.mnt / 'config.json').read_text()
    assert len(shown) == (m.mnt / 'config.json').stat().st_size
    found = re.sub(r'\s', '', shown)
    assert found == '[' * depth + ','.join(['1'] * 100_000) + ']' * depth
    assert (shown == found + '\n') == (depth == 1000)
    assert shown.endswith(']\n')


DOC_MAX = 512 << 10
FOREIGN = 6 * MIB


def spaced(unit, size):
    return unit * (size // len(unit))


def counted(form, size):
    return b' '.join(form % i for i in range(size // (len(form) + 5)))


# What no save could bring there, whatever makes it large.
FOREIGN_BOMBS = {
    'scalars': lambda: b'[%s]' % spaced(b'1 ', FOREIGN),
    'nested': lambda: b'[%s]' % spaced(b'[' * 500 + b'1 ' * 50 + b']' * 500, FOREIGN),
    'deep, then wide': lambda: b'[' * 1000 + spaced(b'1 ', FOREIGN) + b']' * 1000,
    'a set': lambda: b'#{%s}' % counted(b'%d', FOREIGN),
    'a map': lambda: b'{%s}' % counted(b':k%d 1', FOREIGN),
    'a map that could be a learning': lambda: b'{:x "learning" %s}' % counted(b':k%d 1', FOREIGN),
    'a key': lambda: b'{[%s] 1}' % spaced(b'1 ', FOREIGN),
    'an element of a set': lambda: b'#{#{%s}}' % counted(b'%d', FOREIGN),
    'a discard': lambda: b'[#_[%s] 1]' % spaced(b'1 ', FOREIGN),
    'a string': lambda: b'"%s"' % spaced(b'a', FOREIGN),
    'escapes': lambda: b'"%s"' % spaced(b'\\n', FOREIGN),
    'a tag': lambda: b'#a/%s 1' % spaced(b'b', FOREIGN),
    'a keyword': lambda: b':%s' % spaced(b'b', FOREIGN),
    'digits': lambda: b'[%sN 1]' % spaced(b'9', FOREIGN),
    'a decimal': lambda: b'%sM' % spaced(b'9', FOREIGN),
    'tags': lambda: b'[%s]' % spaced(b'#uuid "00000001-0001-0001-0001-000000000001" ', FOREIGN),
    'few bytes, many values': lambda: b'[%s]' % spaced(b'[]', 2 * VALUES_MIN + 2),
    'large as JSON': lambda: b'"%s"' % spaced(b'\x01', DOC_MAX // 4),
    'a key that is large as JSON': lambda: b'{"%s" 1}' % spaced(b'\x01', DOC_MAX // 4),
}


def foreign(bomb, n=1):
    return b'{:config %s ; stays\n, :presence/s1 {"alice" {:n %d}}}' % (bomb, n)


def told(m, key=b':config'):
    return (m.mnt / '.errors').read_bytes().count(key + b": can't be read: ")


def holds(m, bomb):
    m.sync()
    return bomb in m.edn.read_bytes()


def check_listed(m, bomb):
    """It is there, and is not read; the others are."""
    path = m.mnt / 'config.json'
    before = told(m)
    assert path.stat().st_size == len(bomb)
    for _ in range(2):
        assert errno_of(path.read_bytes) == 'EFBIG'
    assert told(m) == before + 1
    done = subprocess.run(['grep', '-rh', '"n"', '.'], cwd=m.mnt, capture_output=True, text=True, check=False)
    assert done.stdout == '  "n": 1\n' and re.fullmatch(r'grep: \./config\.json: File too large\n', done.stderr)
    for tool in (['ls', '-lR'], ['find', '.', '-size', '+0'], ['du', '-a']):
        assert 'config.json' in subprocess.run(tool, cwd=m.mnt, capture_output=True, text=True, check=True).stdout
    store = m.mnt / '.store/edn/config.json'
    assert store.stat().st_size == len(bomb)
    assert errno_of(store.read_bytes) == 'EFBIG'


def check_stores(m):
    """It is not for the EAV store, which takes all else, and can't take over."""
    migrate(m, 'all')
    found = ended(m)
    assert (found['state'], found['done'], found['failed']) == ('done', found['total'] - 1, 1)
    assert found['failures'] == [{'key': ':config', 'error': 'larger than doc_max allows'}]
    found = validate(m)
    assert [(row['kind'], row['path']) for row in found['first']] == [('only_edn', 'config.json')]
    mode = mode_of(m)
    for word in ('datalevin-only', 'force datalevin-only'):
        assert errno_of((m.mnt / '.mode').write_text, word) == 'EBUSY'
    assert 'larger than doc_max allows, and in memory.edn alone (:config)' in (m.mnt / '.errors').read_text()
    assert mode_of(m) == mode


def check_changed(m, shape, bomb):
    """What needs no look into it can be done with it."""
    path = m.mnt / 'config.json'
    path.chmod(0o600)
    os.utime(path, (1, 1))
    save(m.mnt / 'presence/s1/alice.json', b'{"n": 3}')
    assert holds(m, bomb) and b'{:n 3}' in m.edn.read_bytes() and b'; stays\n' in m.edn.read_bytes()
    assert (path.stat().st_mode & 0o777, path.stat().st_mtime) == (0o600, 1)
    path.rename(m.mnt / 'other.json')
    assert errno_of((m.mnt / 'other.json').read_bytes) == 'EFBIG'
    assert holds(m, b':other ' + bomb)
    assert height_kb(m.proc.pid) < limit_kb(shape, bomb)
    m.kill()
    m.mount()
    assert errno_of((m.mnt / 'other.json').read_bytes) == 'EFBIG'
    assert errno_of((m.mnt / 'other.json').rename, m.mnt / 'scratch') == 'EFBIG'
    save(m.mnt / 'other.json', b'{"v": 2}')
    assert (m.mnt / 'other.json').read_bytes() == b'{"v": 2}'
    assert not holds(m, bomb)


def limit_kb(shape, bomb):
    """The file and what it is put together from; not what a value takes, but for 12 bytes of each key of a map or set."""
    return (16 * MIB + (7 if 'set' in shape or 'map' in shape else 5) * len(bomb)) >> 10


@pytest.mark.busy
@pytest.mark.parametrize('shape, mode', [
    *((shape, 'datalevin-first') for shape in FOREIGN_BOMBS),
    *((shape, mode) for shape in ('scalars', 'large as JSON') for mode in ('dual-write', 'edn-only'))])
def test_what_another_program_put_there(mount, shape, mode):
    bomb = FOREIGN_BOMBS[shape]()
    m = mount(foreign(bomb), f'doc_max={DOC_MAX}', f'mode={mode}')
    check_listed(m, bomb)
    if mode != 'edn-only':
        check_stores(m)
    check_changed(m, shape, bomb)
    assert height_kb(m.proc.pid) < limit_kb(shape, bomb)


@pytest.mark.busy
@pytest.mark.parametrize('shape', [
    'scalars', 'nested', 'a set', 'a key', 'a string', 'few bytes, many values', 'large as JSON'])
def test_what_another_program_puts_there_meanwhile(mount, shape):
    """Over a value that the EAV store has, which is not served in its place; deleted at last."""
    bomb = FOREIGN_BOMBS[shape]()
    m = mount(foreign(b'{:v 1}'), f'doc_max={DOC_MAX}')
    switch(m, 'edn-only')
    switch(m, 'datalevin-first')
    path = m.mnt / 'config.json'
    write_in_place(m.edn, foreign(bomb))
    wait_until(lambda: path.stat().st_size == len(bomb), 'the change to be seen')
    m.sync()
    check_listed(m, bomb)
    check_stores(m)
    write_in_place(m.edn, foreign(bomb, 2))
    wait_until(lambda: json.loads((m.mnt / 'presence/s1/alice.json').read_text()) == {'n': 2}, 'the next')
    assert holds(m, bomb)
    path.unlink()
    assert not holds(m, bomb)
    assert height_kb(m.proc.pid) < limit_kb(shape, bomb)


@pytest.mark.busy
def test_a_conflict_with_what_is_not_shown(mount):
    """It is kept as it stands there."""
    bomb = FOREIGN_BOMBS['scalars']()
    m = mount(foreign(b'{:v 1}'), f'doc_max={DOC_MAX}', 'edn_delay=60000')
    save(m.mnt / 'config.json', b'{"v": 2}')
    write_in_place(m.edn, foreign(bomb))
    wait_until(lambda: conflicts(m), 'the conflict')
    assert conflicts(m) == {'config.json': bomb.decode()}
    assert json.loads((m.mnt / 'config.json').read_text()) == {'v': 2}
    assert not holds(m, bomb)


@pytest.mark.busy
@pytest.mark.preload
def test_what_memory_edn_does_not_hold_is_not_left_out(mount, binary, build_dir):
    """A tool knows no doc_max: what it was killed over comes to the EAV store, which has it alone."""
    bomb = FOREIGN_BOMBS['scalars']()
    m = mount(MEMORY, f'doc_max={DOC_MAX}')
    switch(m, 'datalevin-only')
    m.unmount()
    news = m.base / 'news.edn'
    news.write_bytes(foreign(bomb))
    counts = m.base / 'counts'
    env = callpoint.environment(build_dir, counts, 2, 'after', only='pwritev')  # header, record
    done = subprocess.run([binary('ourofsctl'), 'import', m.store, news], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    for _ in range(2):
        m.mount()
        m.sync()
        assert (m.mnt / 'config.json').read_bytes().count(b'1') == bomb.count(b'1')
        m.kill()


def test_what_was_saved_can_be_read_when_it_was_printed_again(mount):
    """An instant is longer in EDN than it may be in JSON."""
    text = b'[%s]' % b','.join([b'{"#inst":"2020"}'] * (VALUES_MIN // 3))
    m = mount(MEMORY, 'doc_max=512K')
    save(m.mnt / 'config.json', text)
    m.sync()
    again = m.edn.read_bytes().replace(b'} }', b'}, }').replace(b'" #inst', b'"  #inst')
    assert len(again) > DOC_MAX and again != m.edn.read_bytes()
    write_in_place(m.edn, again.replace(b':n 1', b':n 2'))
    wait_until(lambda: json.loads((m.mnt / 'presence/s1/alice.json').read_text()) == {'n': 2}, 'the change')
    assert (m.mnt / 'config.json').read_bytes() == text


# ---- keys of which nothing is kept ----

MANY = b'1 ' * VALUES_MIN
VERDICTS = {
    'fine': (b'{[%s 1] 1, [%s 2] 2, #{(%s) 1N} 3}' % (MANY, MANY, MANY), None),
    'deep where it is discarded': (b'{[%s #_%s%s] 1}' % (MANY, b'[' * 600, b']' * 600), None),
    'equal': (b'{[%s 1] 1\n (%s 1N) 2}' % (MANY, MANY), '2:2: a key that the map has already'),
    'equal, without what is discarded': (b'{[%s 1] 1\n [%s #_[2] 1] 2}' % (MANY, MANY), '2:2: a key that the map has already'),
    'equal tags': (b'#{#a [%s]\n #a (%s)}' % (MANY, MANY), '2:2: an element that the set has already'),
    'equal inside': (b'{[%s\n #{1 #inst "2020" 1}] 1}' % MANY, '2:19: an element that the set has already'),
    'equal sets inside': (b'{[%s\n #{#{1 "\\t"} #{"\t" 1}}] 1}' % MANY, '2:14: an element that the set has already'),
    'equal names inside': (b'{[%s\n #:a{:b 1 :a/b 2}] 1}' % MANY, '2:11: a key that the map has already'),
    'no value': (b'{[%s\n {1 2 3}] 1}' % MANY, 'the last key of the map has no value'),
    'no form': (b'{[%s\n 01x] 1}' % MANY, '2:2: '),
    'cut': (b'{[%s' % MANY, 'the text ends'),
    'deep': (b'{[%s\n %s%s] 1}' % (MANY, b'[' * 1100, b']' * 1100), 'nested deeper than 1024 levels'),
}


@pytest.mark.parametrize('shape', VERDICTS)
def test_the_verdict_on_a_large_key(binary, tmp_path, shape):
    text, cause = VERDICTS[shape]
    (tmp_path / 'memory.edn').write_bytes(b'{:config\n %s}' % text.replace(b'\n', b'  '))
    (tmp_path / 'lines.edn').write_bytes(text if text.startswith(b'{') else b'{:config %s}' % text)
    for name in ('memory.edn', 'lines.edn'):
        done = subprocess.run([binary('ourofsctl'), 'check', tmp_path / name], capture_output=True, text=True,
                              check=False)
        assert (done.returncode == 0) == (cause is None), done
    assert (cause or '') in done.stdout + done.stderr


KEYS = {
    'a vector': lambda: b'[%s]' % (b'1 ' * MIB),
    'a set': lambda: b'#{[%s] "\\t" 2N}' % (b'1 ' * MIB),
    'a string': lambda: b'"%s\\t"' % (b'a' * MIB),
    'with empty ones': lambda: b'#{[%s] [""] [] #{} #{""}}' % (b'1 ' * MIB),
}


@pytest.mark.parametrize('shape', KEYS)
def test_a_large_key_of_the_memory(mount, shape):
    key = KEYS[shape]()
    m = mount(b'{:a 1, %s {:v 1} ; stays\n, :presence/s1 {%s {:v 2}, "alice" 3}}' % (key, key))
    name, = (path for path in m.mnt.iterdir() if path.suffix == '.json' and path.name != 'a.json')
    member, = (path for path in (m.mnt / 'presence/s1').iterdir() if path.name != 'alice.json')
    assert json.loads(name.read_bytes()) == {'v': 1} and json.loads(member.read_bytes()) == {'v': 2}
    save(name, b'{"v": 3}')
    save(member, b'{"v": 4}')
    assert holds(m, key + b' {:v 3} ; stays\n') and holds(m, key + b' {:v 4}')
    m.remount()
    assert name.read_bytes() == b'{"v": 3}' and member.read_bytes() == b'{"v": 4}'
    write_in_place(m.edn, m.edn.read_bytes().replace(b'"alice" 3', b'"alice" 4'))
    wait_until(lambda: (m.mnt / 'presence/s1/alice.json').read_bytes() == b'4\n', 'the change')
    migrate(m, 'all')
    assert ended(m)['failed'] == 0
    assert validate(m)['differences'] == 0
    name.unlink()
    member.unlink()
    assert not holds(m, key)
    assert m.edn.read_bytes().startswith(b'{:a 1')


@pytest.mark.parametrize('where', [b'{%s {:v 1} :a 2}', b'{:presence/s1 {%s {:v 1}} :a 2}'])
def test_a_key_too_large_to_change(mount, where):
    """No name could make it."""
    m = mount(where % (b'"%s\\n"' % (b'a' * 5 * MIB)))
    before = m.edn.read_bytes()
    file, = (path for path in m.mnt.rglob('*.json') if path.name != 'a.json')
    for change in (lambda: save(file, b'{"v": 2}'), lambda: file.chmod(0o600), lambda: os.utime(file, (1, 1)),
                   lambda: file.rename(m.mnt / 'b.json'), lambda: file.rename(m.mnt / 'a.json'),
                   lambda: (m.mnt / 'a.json').rename(file)):
        assert errno_of(change) == 'EFBIG'
    assert 'its key is larger than' in (m.mnt / '.errors').read_text()
    m.remount()
    assert json.loads(file.read_bytes()) == {'v': 1}
    m.sync()
    assert m.edn.read_bytes() == before
    file.unlink()
    m.sync()
    assert m.edn.stat().st_size < 100


@pytest.mark.busy
def test_what_looks_like_many_entries_in_the_middle_of_a_value(mount):
    """There a large file is read from, too."""
    bomb = b'[%s]' % spaced(b'{} :a ', 24 * MIB)
    m = mount(foreign(bomb), f'doc_max={DOC_MAX}')
    assert height_kb(m.proc.pid) < limit_kb('a value', bomb) - (2 * len(bomb) >> 10)
    assert errno_of((m.mnt / 'config.json').read_bytes) == 'EFBIG'
    assert json.loads((m.mnt / 'presence/s1/alice.json').read_text()) == {'n': 1}
