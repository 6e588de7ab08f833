# SPDX-License-Identifier: MIT
"""memory.edn as text: what changes is what was changed, and nothing else does."""
import base64
import errno
import fcntl
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading

import pytest
from conftest import TESTS, examples, wait_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CASES = TESTS / 'cases' / 'ednfile' / 'edits.txt'


def hexed(arg):
    if arg is None:
        return '-'
    return (arg if isinstance(arg, bytes) else arg.encode()).hex()


def unhexed(word):
    return b'' if word == '.' else bytes.fromhex(word)


class EdnError(Exception):
    def __init__(self, code, line, column, text):
        super().__init__(f'{code} {line}:{column}: {text}')
        self.code, self.line, self.column, self.text = code, line, column, text


class Probe:
    def __init__(self, command):
        # What is freed is to be freed, also under AddressSanitizer: memory is measured here.
        options = os.environ.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=0'
        self.proc = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     env=os.environ | {'ASAN_OPTIONS': options})

    def ask(self, name, *args):
        line = ' '.join((name, *(hexed(arg) for arg in args))) + '\n'
        self.proc.stdin.write(line.encode())
        self.proc.stdin.flush()
        answer = self.proc.stdout.readline().decode().split()
        assert answer, f'the probe ended at: {line}'
        return answer

    def do(self, name, *args):
        answer = self.ask(name, *args)
        code = int(answer[0])
        if code < 0:
            raise EdnError(code, int(answer[1]), int(answer[2]), unhexed(answer[3]).decode())
        return code

    def open(self, path, *patience):
        return self.do('open', os.fspath(path), *patience)

    def get(self, key, member=None, slot=None):
        answer = self.ask('get', key, member, slot)
        code = int(answer[0])
        if code < 0:
            raise EdnError(code, 0, 0, '')
        self.slot = int(answer[1])
        return unhexed(answer[2]).decode()

    def each(self, key=None):
        words = self.ask('each', key)
        assert len(words) % 2 == 1, words[-1]
        texts = [unhexed(word).decode() for word in words[1:]]
        return list(zip(texts[::2], texts[1::2]))

    def text(self):
        answer = self.ask('text')
        assert answer[0] == '0'
        return unhexed(answer[1])

    def info(self):
        exists, mode, size, unreadable, trailing = self.ask('info')[1:]
        return {'exists': exists == '1', 'mode': int(mode, 8), 'size': int(size),
                'unreadable': int(unreadable), 'trailing': int(trailing)}

    def memory(self):
        return int(self.ask('memory')[1])

    def end(self):
        self.proc.stdin.close()
        assert self.proc.wait(60) == 0
        self.proc.stdout.close()


@pytest.fixture
def probe(binary):
    started = Probe([binary('ednfile_probe')])
    yield started
    started.end()


@pytest.fixture
def file(tmp_path):
    return tmp_path / 'memory.edn'


# ---- cases ----

def read_cases():
    cases = []
    for block in re.split(r'^== ', CASES.read_text(encoding='utf-8'), flags=re.MULTILINE)[1:]:
        name, _, rest = block.partition('\n')
        parts = re.split(r'^((?:-- .*\n)+)', rest, maxsplit=1, flags=re.MULTILINE)
        before, ops, after = parts
        ops = [op.split(' ', 1) for op in re.findall(r'^-- (.*)$', ops, flags=re.MULTILINE)]
        cases.append((name, before.removesuffix('\n'), ops, after.removesuffix('\n').rstrip('\n')))
    return cases


# ---- the index that is kept ----

INDEXED_BYTES = 4 << 20  # smaller ones are scanned each time


def rows(probe):
    """The shape, and the entries."""
    return probe.ask('rows')[1:]


@pytest.mark.parametrize('before, ops', [pytest.param(*case[1:3], id=case[0]) for case in read_cases()])
def test_the_kept_index_says_what_a_scan_does(probe, file, tmp_path, before, ops):
    """Also of what was edited, in the layout that it gets, and it finds every key."""
    probe.do('index-dir', os.fspath(tmp_path))
    file.write_text(f'{before}\n;{"x" * INDEXED_BYTES}')
    probe.open(file, None, 'index')
    for op, args in ops:
        try:
            probe.do(op, *(None if arg == '-' else arg for arg in args.split(' | ')))
        except EdnError:
            pass
    probe.do('rewrite')
    probe.do('keep')
    probe.open(file)
    assert not probe.do('indexed')
    scanned = rows(probe)
    shown = probe.each()
    probe.open(file, None, 'index')
    assert probe.do('indexed')
    assert rows(probe) == scanned
    assert probe.each() == shown
    assert all(probe.get(key) == text for key, text in shown)
    index = (tmp_path / 'edn.index').stat()
    probe.do('keep')
    assert (tmp_path / 'edn.index').stat().st_mtime_ns == index.st_mtime_ns, 'it was there already'


def test_a_damaged_index_is_not_used(probe, file, tmp_path):
    probe.do('index-dir', os.fspath(tmp_path))
    file.write_text(f'{{:a 1 "b" [2] 3 {{}}}};{"x" * INDEXED_BYTES}')
    probe.open(file, None, 'index')
    probe.do('keep')
    index = tmp_path / 'edn.index'
    good = index.read_bytes()
    for damaged in [good[:at] + bytes([good[at] ^ 1 << at % 8]) + good[at + 1:] for at in range(len(good))] + [
            good[:at] for at in range(0, len(good), 7)]:
        index.write_bytes(damaged)
        probe.open(file, None, 'index')
        assert not probe.do('indexed')
        assert probe.get(':a') == '1'
    index.unlink()
    os.mkfifo(index)
    probe.open(file, None, 'index')
    assert probe.get('3') == '{}' and not probe.do('indexed')
    index.unlink()
    index.mkdir()
    probe.do('keep')
    assert sorted(os.listdir(tmp_path)) == ['edn.index', 'memory.edn'], 'the new one went'


@pytest.mark.parametrize('name, before, ops, after',
                         [pytest.param(*case, id=case[0]) for case in read_cases()])
def test_edit(probe, file, name, before, ops, after):
    file.write_text(before)
    probe.open(file)
    failed = ''
    for op, args in ops:
        try:
            probe.do(op, *(None if arg == '-' else arg for arg in args.split(' | ')))
        except EdnError as error:
            failed = f'!! {error.code}'
    if failed:
        assert failed == after
        assert probe.text().decode() == before
        return
    assert not after.startswith('!!'), 'no error'
    assert probe.text().decode() == after
    shown = probe.each()
    probe.do('rewrite')
    assert file.read_text() == after
    probe.do('close')
    probe.open(file)
    assert probe.each() == shown


# ---- reading ----

def test_reads_entries_in_order(probe, file):
    file.write_text('{:b 1, "a\\u0062" {:x [1 ; c\n 2]}, nil 3, [1,2] #{4}}')
    probe.open(file)
    assert probe.each() == [(':b', '1'), ('"ab"', '{:x [1 ; c\n 2]}'), ('nil', '3'),
                            ('[1 2]', '#{4}')]
    assert probe.do('count') == 4
    assert probe.get('"ab"') == '{:x [1 ; c\n 2]}'
    with pytest.raises(EdnError) as error:
        probe.get('"a"')
    assert error.value.code == -errno.ENOENT


def test_members(probe, file):
    file.write_text('{:presence/s #:user{:a 1, "b" 2}, :presence/v [1], :config {:a 1}}')
    probe.open(file)
    assert [probe.do('collection', key) for key in (':presence/s', ':presence/v', ':config', ':x')
            ] == [1, 0, 0, 0]
    assert probe.each(':presence/s') == [(':user/a', '1'), ('"b"', '2')]
    assert probe.get(':presence/s', ':user/a') == '1'
    assert probe.get(':presence/s') == '#:user{:a 1, "b" 2}'
    assert probe.do('count', ':presence/s') == 2
    for key, member in ((':presence/s', ':a'), (':presence/v', '1'), (':none', ':a')):
        with pytest.raises(EdnError) as error:
            probe.get(key, member)
        assert error.value.code == -errno.ENOENT


def large(count=17_000):
    """Entries of some 17 MiB, which are read in two halves at once."""
    return [(f':notes/n{i}', f'{{:note/text "{{{i}" :note/n [{i}], :note/more #{{"{"}" * 960}"}}}}') for i in range(count)]


def as_file(entries):
    return '{' + ', '.join(map(' '.join, entries)) + '}'


def test_a_large_file(probe, file):
    entries = large()
    file.write_text(as_file(entries))
    probe.open(file)
    assert probe.do('count') == len(entries)
    for key, value in entries[::50] + entries[-1:]:
        assert probe.get(key) == value
    probe.do('put', ':notes/n8500', None, '1')
    probe.do('delete', ':notes/n16999')
    probe.do('rewrite')
    entries[8500] = (':notes/n8500', '1')
    assert file.read_text() == as_file(entries[:-1])


def test_a_large_collection(probe, file):
    entries = large()
    file.write_text(f'{{:a 1, :presence/s {as_file(entries)}, :z #{{2}}}}')
    probe.open(file)
    assert (probe.do('count'), probe.do('count', ':presence/s'), probe.get(':z')) == (3, len(entries), '#{2}')
    for key, value in entries[::50] + entries[-1:]:
        assert probe.get(':presence/s', key) == value


@pytest.mark.parametrize('tail, at, message', [
    (', :notes/n3 1}', 2, 'a key that the map has already: :notes/n3'),
    (', :b "', 6, 'the text ends inside a string'),
    (', :b]}', 4, 'unmatched ]: the map that begins at 1:1 needs }'),
])
def test_a_large_file_that_is_broken(probe, file, tail, at, message):
    text = as_file(large())[:-1]
    file.write_text(text + tail)
    with pytest.raises(EdnError) as error:
        probe.open(file)
    assert (error.value.line, error.value.column, error.value.text) == (1, len(text) + at + 1, message)


def test_slots_last_as_long_as_the_text(probe, file):
    def slot(*entry):
        probe.get(*entry)
        return probe.slot

    file.write_text('{:presence/s {:a 1, :b 2}, :c 3}')
    probe.open(file)
    for entry in ((':presence/s', ':a'), (':presence/s', ':b'), (':presence/s', None), (':c', None)):
        assert slot(*entry) == 0
        probe.get(*entry, '7')
    probe.do('put', ':d', None, '4')
    assert slot(':c') == 7
    assert slot(':presence/s') == 7
    probe.do('rename', ':c', None, ':e', None)
    assert slot(':e') == 7
    probe.do('put', ':presence/s', ':a', '9')
    assert slot(':presence/s', ':a') == 0
    assert slot(':presence/s', ':b') == 7
    assert slot(':presence/s') == 0
    probe.do('put', ':e', None, '3')
    assert slot(':e') == 7  # the same text
    probe.do('put', ':e', None, '4')
    assert slot(':e') == 0


def test_what_clojure_could_not_read_is_counted(probe, file):
    file.write_text('{:a/1 1, :b 2, :presence/s {"x" :c/2}} ; end\n more\n')
    probe.open(file)
    info = probe.info()
    assert (info['unreadable'], info['trailing']) == (2, 4)
    probe.do('put', ':presence/s', '"x"', '1')
    assert probe.info()['unreadable'] == 1
    probe.do('rename', ':a/1', None, ':a/b', None)
    assert probe.info()['unreadable'] == 0
    probe.do('put', ':b', None, '[:d/3]')
    assert probe.info()['unreadable'] == 1
    probe.do('delete', ':b', None)
    assert probe.info()['unreadable'] == 0
    probe.do('put', ':presence/s', '"x"', '[#my/tag 1 #inst "2020"]')
    assert probe.info()['unreadable'] == 1
    probe.do('put', ':presence/s', '"y"', '#my/tag 1')
    probe.do('put', ':presence/s', '"x"', '#inst "2020"')
    assert probe.info()['unreadable'] == 1
    probe.do('delete', ':presence/s', '"y"')
    assert probe.info()['unreadable'] == 0


@pytest.mark.parametrize('text, line, column', [
    ('', None, None), ('{:a 1\n :b }', 2, 5), ('[1]', None, None), ('{:a 1 :a 2}', None, None),
    ('{:a "x', None, None)])
def test_a_broken_file_is_reported_and_left_alone(probe, file, text, line, column):
    file.write_text(text)
    before = file.stat()
    with pytest.raises(EdnError) as error:
        probe.open(file)
    assert error.value.code == -errno.EBADMSG
    assert error.value.line > 0
    if line:
        assert error.value.line == line
    assert file.read_text() == text
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert os.listdir(file.parent) == ['memory.edn']


def test_a_half_written_file_is_waited_for(probe, file):
    whole = '{:a "' + 'x' * 100_000 + '"}'
    file.write_text(whole[:60_000])
    started = threading.Event()

    def go_on():
        started.wait(60)
        with file.open('r+') as f:
            f.seek(0)
            f.write(whole[:80_000])
            f.flush()
            f.write(whole[80_000:])

    def begin():
        started.set()

    writer = threading.Thread(target=go_on)
    writer.start()
    timer = threading.Timer(0.2, begin)  # the probe is waiting by then, or reads the whole: both do
    timer.start()
    probe.open(file, 'patient')
    writer.join()
    assert probe.each() == [(':a', whole[4:-1])]


def test_a_rival_that_writes_all_the_time_is_read_whole(probe, file):
    stop = threading.Event()
    texts = ['{:n %d, :pad "%s"}' % (n, 'x' * n * 997) for n in range(60)]

    def write():
        n = 0
        while not stop.is_set():
            n = (n + 1) % len(texts)
            file.write_text(texts[n])  # truncates in place, as Ouroboros does
            stop.wait(0.03)

    file.write_text(texts[0])
    rival = threading.Thread(target=write)
    rival.start()
    try:
        for _ in range(20):
            probe.open(file, 'patient')
            assert probe.text().decode() in texts
            probe.do('close')
    finally:
        stop.set()
        rival.join()


@pytest.mark.parametrize('make', [
    lambda path: path.mkdir(), lambda path: os.mkfifo(path),
    lambda path: path.symlink_to('/dev/null')])
def test_what_is_no_file_is_refused(probe, file, make):
    make(file)
    with pytest.raises(EdnError) as error:
        probe.open(file)
    assert error.value.code == -errno.EINVAL


def test_symbolic_links_in_a_circle(probe, file):
    file.symlink_to('memory.edn')
    with pytest.raises(EdnError) as error:
        probe.open(file)
    assert error.value.code == -errno.ELOOP


# ---- writing ----

LAYOUTS = ['{}', ' {:a 1} ', '{:a 1}\n', '#:a{:b 1 ,, :c 2 ;x\n}', '; c\n\n{;a\n:a;b\n1;c\n}\n;d\n x {',
           '{"a"1"b"2}', '{#_a :b ^:m {} ^{:x 1} [2] #_ #_ c d 3}', '#:n {:a #:m{:b 1}}', '{:a 1,,,}']


@pytest.mark.parametrize('text', LAYOUTS)
def test_a_rewrite_without_change_is_the_same_bytes(probe, file, text):
    file.write_text(text)
    probe.open(file)
    for key, _ in probe.each():
        probe.ask('each', key)  # cut in pieces
    probe.do('rewrite')
    assert file.read_text() == text


def test_real_memories_are_the_same_bytes_after_a_rewrite(probe, file):
    for path in sorted((TESTS / 'cases').glob('*.edn')):
        file.write_bytes(path.read_bytes())
        probe.open(file)
        for key, _ in probe.each():
            probe.ask('each', key)
        probe.do('rewrite')
        probe.do('close')
        assert file.read_bytes() == path.read_bytes(), path


def test_a_missing_file_is_made_by_the_first_write(probe, file):
    probe.open(file)
    assert probe.info()['exists'] is False
    assert not probe.do('changed')
    probe.do('put', ':a', None, '1')
    assert not file.exists()
    probe.do('rewrite')
    assert file.read_text() == '{:a 1}\n'
    assert file.stat().st_mode & 0o7777 == 0o600
    assert probe.info() == {'exists': True, 'mode': 0o600, 'size': 7, 'unreadable': 0, 'trailing': 0}


def test_mode_and_attributes_are_kept(probe, file):
    file.write_text('{:a 1}')
    file.chmod(0o640)
    os.setxattr(file, 'user.note', b'kept')
    if os.geteuid() == 0:
        os.chown(file, 12, 34)
    before = file.stat()
    probe.open(file)
    probe.do('put', ':a', None, '2')
    probe.do('rewrite')
    after = file.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino
    assert os.getxattr(file, 'user.note') == b'kept'


def test_a_file_that_was_removed_comes_back_as_it_was(probe, file):
    file.write_text('{:a 1}')
    file.chmod(0o644)
    probe.open(file)
    file.unlink()
    with pytest.raises(EdnError) as error:
        probe.do('rewrite')
    assert error.value.code == -errno.EAGAIN and not file.exists()
    probe.do('missing')
    probe.do('rewrite')
    assert file.read_text() == '{:a 1}'
    assert file.stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize('there', [True, False])
def test_a_symbolic_link_is_written_through(probe, tmp_path, there):
    (tmp_path / 'real').mkdir()
    (tmp_path / 'links').mkdir()
    real = tmp_path / 'real' / 'm.edn'
    link = tmp_path / 'links' / 'memory.edn'
    (tmp_path / 'links' / 'second').symlink_to('../real/m.edn')
    link.symlink_to('second')
    if there:
        real.write_text('{}\n')
    probe.open(link)
    probe.do('put', ':a', None, '1')
    probe.do('rewrite')
    assert real.read_text() == '{:a 1}\n'
    assert os.readlink(link) == 'second'
    assert os.listdir(real.parent) == ['m.edn']
    assert not probe.do('changed')


def test_a_snapshot_is_not_touched_by_what_comes_after(probe, file):
    file.write_text('{' + ', '.join(f':k{n} {n}' for n in range(100)) + ', :presence/s {"a" 1}}')
    probe.open(file)
    probe.do('put', ':k1', None, '"first"')
    probe.do('put', ':presence/s', '"b"', '2')
    then = probe.text()
    probe.do('begin')
    probe.do('put', ':k1', None, '"second"')
    probe.do('put', ':presence/s', '"b"', '3')
    for n in range(2, 100):
        probe.do('delete', f':k{n}', None)
    probe.do('put', ':presence/s', None, '{}')
    now = probe.text()
    probe.do('write')
    assert file.read_bytes() == then
    probe.do('end')
    assert probe.text() == now
    probe.do('rewrite')
    assert file.read_bytes() == now == b'{:k0 0, :k1 "second", :presence/s {}}'


def test_replaced_texts_do_not_pile_up(probe, file):
    size = 4_000_000
    value = '"' + 'x' * (size // 100) + '"'
    file.write_text('{' + ', '.join(f':k{n} {value}' for n in range(100)) + '}')
    probe.open(file)
    for turn in range(3):
        for n in range(100):
            probe.do('put', f':k{n}', None, f'[{turn} {value}]')
        probe.do('rewrite')
    start = probe.memory()
    for turn in range(10):
        for n in range(100):
            probe.do('put', f':k{n}', None, f'[{turn} {value}]')
        probe.do('rewrite')
        assert file.read_text() == '{' + ', '.join(
            f':k{n} [{turn} {value}]' for n in range(100)) + '}'
    assert probe.memory() < start + 2 * size
    for n in range(1, 100):
        probe.do('delete', f':k{n}', None)
    probe.do('rewrite')
    assert probe.get(':k0') == f'[9 {value}]'
    assert probe.each() == [(':k0', f'[9 {value}]')]


def test_many_entries_come_and_go(probe, file):
    file.write_text('{}')
    probe.open(file)
    many = 20_000
    for n in range(many):
        probe.do('put', f':k/{n}x', None, str(n))
    assert probe.do('count') == many
    for n in range(many - 1, many // 2, -1):  # from behind
        probe.do('delete', f':k/{n}x', None)
    for n in range(1, many // 2 + 1):
        probe.do('delete', f':k/{n}x', None)
    assert probe.text() == b'{:k/0x 0}'
    probe.do('put', '[1]', None, '2')
    assert probe.text() == b'{:k/0x 0, [1] 2}'


# ---- others at the file ----

def rewrite_in_place(path):
    path.write_bytes(path.read_bytes()[::-1])


def replace(path):
    other = path.with_name('other')
    other.write_bytes(path.read_bytes())
    other.rename(path)


@pytest.mark.parametrize('change', [
    rewrite_in_place, replace, pathlib.Path.unlink, lambda path: path.write_text('{:longer 1}'),
    lambda path: os.utime(path, ns=(5, 5))])
@pytest.mark.parametrize('own_write', [False, True])
def test_changes_by_others_are_seen(probe, file, change, own_write):
    file.write_text('{:a 1}')
    probe.open(file)
    if own_write:
        probe.do('rewrite')
    assert not probe.do('changed')
    # A clock of the kernel's tick stamps files: until it has moved, no change could be told.
    stamp = file.stat().st_ctime_ns
    probe_file = file.with_name('tick')
    wait_until(lambda: probe_file.write_text('') == 0 and probe_file.stat().st_ctime_ns > stamp,
               'the clock of the filesystem to move')
    change(file)
    assert probe.do('changed')


def test_leftovers_of_a_kill_are_removed(probe, file, tmp_path):
    file.write_text('{}')
    victim = tmp_path / 'victim'
    victim.write_text('precious')
    gone = tmp_path / '.memory.edn.ourofs-abcDE9'
    gone.write_text('{:half')
    kept = [tmp_path / name for name in (
        '.memory.edn.ourofs-abc', '.memory.edn.ourofs-abcDE9x', '.memory.edn.ourofs-abcD-9',
        '.other.edn.ourofs-abcDE9', 'memory.edn.ourofs-abcDE9', '.memory.edn.ourofs-locked')]
    for path in kept:
        path.write_text('')
    planted = tmp_path / '.memory.edn.ourofs-abcDEF'
    planted.symlink_to('victim')
    with kept[-1].open() as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        probe.open(file)
    assert not gone.exists()
    assert all(path.exists() for path in kept)
    assert planted.is_symlink()
    assert victim.read_text() == 'precious'


def test_a_killed_writer_leaves_the_old_file(binary, file):
    """Whatever the moment, memory.edn is one whole state, and the next open tidies up."""
    texts = {n: ('{:n %d, :pad "%s"}' % (n, 'x' * 3_000_000)).encode() for n in range(4)}
    file.write_bytes(texts[0])
    for n in range(1, 4):
        victim = Probe([binary('ednfile_probe')])
        victim.open(file)
        victim.do('put', ':n', None, str(n))
        victim.proc.stdin.write(b'rewrite\n')
        victim.proc.stdin.flush()
        if n > 1:
            wait_until(lambda: [name for name in os.listdir(file.parent) if 'ourofs-' in name]
                       or file.read_bytes() == texts[n], 'the rewrite to begin')
        victim.proc.send_signal(signal.SIGKILL)
        victim.proc.wait()
        victim.proc.stdin.close()
        victim.proc.stdout.close()
        assert file.read_bytes() in texts.values()
    after = Probe([binary('ednfile_probe')])
    after.open(file)
    assert os.listdir(file.parent) == ['memory.edn']
    after.end()


# ---- disks that fail ----

@pytest.fixture
def small_disk(binary, tmp_path):
    """A probe in a mount namespace of its own, with a disk of 256 KiB; the path for both sides."""
    inside = tmp_path / 'mnt'
    inside.mkdir()
    script = (f'mount -t tmpfs -o size=256k tmpfs {inside} && exec {binary("ednfile_probe")}')
    command = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', script]
    tried = subprocess.run(command, input=b'', capture_output=True)
    if tried.returncode != 0:
        pytest.skip(f'no namespaces here: {tried.stderr.decode().strip()}')
    started = Probe(command)
    started.ask('memory')  # it runs: the disk is mounted
    started.outside = pathlib.Path(f'/proc/{started.proc.pid}/root{inside}')
    started.inside = inside
    yield started
    started.end()


def test_a_full_disk_leaves_the_old_file(small_disk):
    path = small_disk.inside / 'memory.edn'
    outside = small_disk.outside / 'memory.edn'
    outside.write_text('{:a 1}')
    small_disk.open(path)
    small_disk.do('put', ':b', None, '"' + 'x' * 300_000 + '"')
    with pytest.raises(EdnError) as error:
        small_disk.do('rewrite')
    assert error.value.code == -errno.ENOSPC
    assert outside.read_text() == '{:a 1}'
    assert os.listdir(small_disk.outside) == ['memory.edn']
    assert not small_disk.do('changed')
    small_disk.do('put', ':b', None, '2')
    small_disk.do('rewrite')
    assert outside.read_text() == '{:a 1, :b 2}'


def test_a_read_only_directory(binary, tmp_path):
    folder = tmp_path / 'folder'
    folder.mkdir()
    file = folder / 'memory.edn'
    file.write_text('{:a 1}')
    folder.chmod(0o555)
    powerless = ['setpriv', '--bounding-set', '-all', '--inh-caps', '-all']
    started = Probe([*(powerless if os.geteuid() == 0 else []), binary('ednfile_probe')])
    started.open(file)
    started.do('put', ':a', None, '2')
    with pytest.raises(EdnError) as error:
        started.do('rewrite')
    assert error.value.code == -errno.EACCES
    assert file.read_text() == '{:a 1}'
    folder.chmod(0o755)
    started.do('rewrite')
    assert file.read_text() == '{:a 2}'
    started.end()


def test_a_directory_that_can_not_be_listed(binary, tmp_path):
    folder = tmp_path / 'folder'
    folder.mkdir()
    file = folder / 'memory.edn'
    file.write_text('{:a 1}')
    folder.chmod(0o333)
    powerless = ['setpriv', '--bounding-set', '-all', '--inh-caps', '-all']
    started = Probe([*(powerless if os.geteuid() == 0 else []), binary('ednfile_probe')])
    started.open(file)
    started.do('put', ':a', None, '2')
    started.do('rewrite')
    folder.chmod(0o755)
    assert file.read_text() == '{:a 2}'
    started.end()


def test_what_became_a_directory_is_not_replaced(probe, file):
    file.write_text('{:a 1}')
    probe.open(file)
    file.unlink()
    file.mkdir()
    with pytest.raises(EdnError) as error:
        probe.do('rewrite')
    assert error.value.code == -errno.EINVAL
    assert os.listdir(file.parent) == ['memory.edn']


# ---- any map, any layout, any changes ----

# Canonical text, and the ways in which a file may write it.
KEYS = {':a': [':a'], ':b/c': [':b/c'], ':presence/s': [':presence/s'], ':projects/u': [':projects/u'],
        '"x"': ['"x"', '"\\u0078"', '"\\170"'], '"a\\nb"': ['"a\\nb"', '"a\nb"'], '""': ['""'],
        '1': ['1', '+1', '0x1', '01'], '2N': ['2N'], '1.5': ['1.5', '15e-1'], 'nil': ['nil'],
        '[1 2]': ['[1 2]', '[1,2]', '[1 ;c\n2]'], '(a b)': ['(a b)'], '#{1 2}': ['#{1 2}', '#{2 1}'],
        '{:n/a 1}': ['{:n/a 1}', '#:n{:a 1}', '{:n/a,1}'], 'sym': ['sym'], 'n/sym': ['n/sym'],
        '\\a': ['\\a', '\\u0061'], '\\(': ['\\('], '\\,': ['\\,'], '"é"': ['"é"'], ':é': [':é'],
        '#my/tag [1]': ['#my/tag [1]', '#my/tag[1]'], 'true': ['true'],
        '#uuid "11111111-2222-3333-4444-555555555555"':
            ['#uuid "11111111-2222-3333-4444-555555555555"']}
SCALARS = ['1', '"x"', ':k', 'sym', 'nil', '-1.5', '\\(', '\\,', '\\a', '[1 2]', '[]', '#{a}',
           '(1 ; c\n)', '^:m [1]', '^{:a 1} {:x 2}', '#:u{:x 1}', '#my/tag 1', '#_x 5N', '1/2', '"a;b"']
MAPS = (':presence/s', ':projects/u', ':a')
BLANKS = [' ', ', ', ',', '\n', '\n ', ',\n  ', '  ', '\n\n ', '\t', '\r\n', '\u2003']
THINGS = ['; c@\n', ';@\r\n', '#_d@ ', '#_[d@] ', '#_"d@"', '#_ #_ d@ \\a ', ' ; } c@\n ']


@st.composite
def gaps(draw, number, keyed=None):
    """Blanks around comments and discards that all have numbers of their own."""
    parts = []
    for _ in range(draw(st.integers(0, 2))):
        parts.append(draw(st.sampled_from(BLANKS)))
        parts.append(draw(st.sampled_from(THINGS)).replace('@', str(next(number))))
    text = ''.join(parts) + draw(st.sampled_from(BLANKS))
    if keyed is not None and keyed[0] in '[({#' and draw(st.integers(0, 5)) == 0:
        if keyed[0] != '#' or keyed[1] == '{':
            text += '^:meta '
    return text


@st.composite
def map_texts(draw, number, depth=0):
    """(text, [(canonical key, value text, inner entries or None)])"""
    entries = []
    text = '{'
    names = draw(st.lists(st.sampled_from(sorted(KEYS)), max_size=6 if depth else 9, unique=True))
    for n, canonical in enumerate(names):
        key = draw(st.sampled_from(KEYS[canonical]))
        gap = draw(gaps(number, key))
        if (not n and '^' not in gap and draw(st.booleans())) or (
                n and draw(st.booleans()) and value[-1] in ')]}' and value[-2:-1] != '\\'):
            gap = ''
        inner = None
        if not depth and canonical in MAPS and draw(st.integers(0, 3)):
            value, inner = draw(map_texts(number, 1))
        else:
            value = draw(st.sampled_from(SCALARS))
        mid = draw(gaps(number)) if draw(st.integers(0, 4)) == 0 else ' '
        if key[-1] in '])}"' and draw(st.booleans()) and key[0] != '\\':
            mid = ''
        text += gap + key + mid + value
        value = strip_lead(value)
        entries.append((canonical, value, inner))
    text += draw(gaps(number)) if draw(st.booleans()) else ''
    return text + '}', entries


def strip_lead(value):
    """What stands before a value (a discard) is no part of it."""
    return value.removeprefix('#_x ')


def numbers():
    n = 100
    while True:
        yield n
        n += 1


@st.composite
def files(draw):
    text, entries = draw(map_texts(numbers()))
    head = draw(st.sampled_from(['', ' ', '; head\n', '#_gone ', '\n\n']))
    foot = draw(st.sampled_from(['', '\n', ' ; end', '\n{:second 1}', ' )(']))
    return head + text + foot, entries


ENTRY_KEYS = st.sampled_from(sorted(KEYS))
PLACES = st.one_of(st.tuples(ENTRY_KEYS, st.none()),
                   st.tuples(st.sampled_from(MAPS), ENTRY_KEYS))
NEW_VALUES = st.sampled_from(['1', ':v', '"new"', '{}', '{:p 1}', '[a]', 'sym', '\\;', '#{1}'])
OPS = st.lists(st.one_of(
    st.tuples(st.just('put'), PLACES, NEW_VALUES), st.tuples(st.just('delete'), PLACES),
    st.tuples(st.just('rename'), PLACES, PLACES), st.tuples(st.just('exchange'), PLACES, PLACES)),
    max_size=12)


class Moved(str):
    """A collection that was moved as a whole: its layout is the file's, only Clojure judges it."""


class Model:
    """What the operations mean, on ordered maps. A value is its text, or {member: text}."""

    def __init__(self, entries):
        self.top = {key: value if inner is None else {k: v for k, v, _ in inner}
                    for key, value, inner in entries}

    def room(self, place, make=False):
        key, member = place
        if member is None:
            return self.top, key
        if key not in self.top:
            if not make:
                return None, member
            self.top[key] = {}
        value = self.top[key]
        if not isinstance(value, dict):
            parsed = self.as_map(value)
            if parsed is None:
                raise NotADirectoryError
            self.top[key] = value = parsed
        return value, member

    @staticmethod
    def as_map(text):
        if isinstance(text, Moved):
            return dict(text.members)
        return {'{}': {}, '{:p 1}': {':p': '1'}, '^{:a 1} {:x 2}': {':x': '2'},
                '#:u{:x 1}': {':u/x': '1'}}.get(text)

    def find(self, place):
        room, name = self.room(place)
        if room is None or name not in room:
            raise FileNotFoundError
        return room, name

    def put(self, place, text):
        room, name = self.room(place, make=True)
        room[name] = text

    def delete(self, place):
        try:
            room, name = self.find(place)
        except NotADirectoryError:
            raise FileNotFoundError from None
        del room[name]

    def rename(self, place, to):
        try:
            room, name = self.find(place)
        except NotADirectoryError:
            raise FileNotFoundError from None
        if place == to:
            return
        if place[0] == to[0] and (place[1] is None) != (to[1] is None):
            raise FileExistsError if place[1] is not None else IsADirectoryError
        other, to_name = self.room(to, make=True)
        if to_name in other:
            raise FileExistsError
        if other is room:
            items = [(to_name if key == name else key, value) for key, value in room.items()]
            room.clear()
            room.update(items)
        else:
            value = room.pop(name)
            other[to_name] = value if to[1] is None else as_text(value)

    def exchange(self, place, to):
        try:
            room, name = self.find(place)
            other, to_name = self.find(to)
        except NotADirectoryError:
            raise FileNotFoundError from None
        if place == to:
            return
        if place[0] == to[0] and (place[1] is None) != (to[1] is None):
            raise IsADirectoryError
        a, b = room[name], other[to_name]
        room[name] = b if place[1] is None else as_text(b)
        other[to_name] = a if to[1] is None else as_text(a)


def as_text(value):
    if not isinstance(value, dict):
        return value
    text = Moved('{' + '\n '.join(f'{key} {text}\n' for key, text in value.items()) + '}')
    text.members = value
    return text


ERRORS = {FileNotFoundError: errno.ENOENT, FileExistsError: errno.EEXIST,
          NotADirectoryError: errno.ENOTDIR, IsADirectoryError: errno.EINVAL}


def apply(model, op, *args):
    """The same on the model; the errno it should give."""
    before = {key: dict(value) if isinstance(value, dict) else value
              for key, value in model.top.items()}
    try:
        getattr(model, op)(*args)
    except tuple(ERRORS) as error:
        model.top = before
        return -ERRORS[type(error)]
    return 0


def flat(args):
    return [word for arg in args for word in (arg if isinstance(arg, tuple) else (arg,))]


def check_in_clojure(pairs, tmp_path):
    """Each pair of texts has to read as equal values."""
    data = tmp_path / 'pairs'
    data.write_text(''.join(base64.b64encode(text.encode()).decode() + '\n'
                            for pair in pairs for text in pair))
    script = tmp_path / 'compare.clj'
    script.write_text('''
(require '[clojure.edn :as edn] '[clojure.string :as str])
(defn text [line] (String. (.decode (java.util.Base64/getDecoder) ^String line) "UTF-8"))
(defn value [line] (edn/read-string {:default (fn [tag v] [::tag tag v])} (text line)))
(doseq [[a b] (partition 2 (str/split-lines (slurp (first *command-line-args*))))]
  (let [read (try (value a) (catch Throwable e (.getMessage e)))]
    (when-not (= read (value b))
      (println (pr-str (text a)) "reads as" (pr-str read) "and not" (pr-str (value b))))))
(println "compared")''')
    run = subprocess.run(['clojure', str(script), str(data)], capture_output=True, text=True)
    assert run.stdout == 'compared\n', run.stdout + run.stderr


@pytest.mark.skipif(not shutil.which('clojure'), reason='no clojure here')
@pytest.mark.oracle
def test_any_changes_of_any_map(probe, tmp_path):
    """Against a model, step by step; and by clojure.edn, all in one go."""
    file = tmp_path / 'memory.edn'
    pairs = []

    @settings(max_examples=examples(250), suppress_health_check=list(HealthCheck))
    @given(files(), OPS)
    def run(made, ops):
        text, entries = made
        file.write_bytes(text.encode())
        os.utime(file, (1, 1))  # settled: it need not be looked at twice
        probe.open(file)
        try:
            assert probe.text().decode() == text
            model = Model(entries)
            for op, *args in ops:
                expected = apply(model, op, *args)
                assert int(probe.ask(op, *flat(args))[0]) == expected, (op, args)
                check_shown(model)
            probe.do('rewrite')
            after = file.read_bytes().decode()
            # A value that moves to another key takes the discards in it along: the order may differ.
            found = re.findall(r'#_ ?(?:#_ )?[\["]?d(\d+)', after)
            assert sorted(found) == sorted(kept_discards(text, after))
        finally:
            probe.do('close')
        probe.open(file)
        check_shown(model)
        probe.do('close')
        pairs.append((after, as_text({key: as_text(value) for key, value in model.top.items()})))

    def check_shown(model):
        assert [key for key, _ in probe.each()] == list(model.top)
        for key, value in model.top.items():
            if isinstance(value, dict):
                shown = probe.each(key)
                assert [member for member, _ in shown] == list(value)
                assert all(isinstance(value[member], Moved) or text == value[member]
                           for member, text in shown)
            elif not isinstance(value, Moved):
                assert probe.get(key) == value

    run()
    check_in_clojure(pairs, tmp_path)


def kept_discards(before, after):
    """Those of the top level stay in their order; only a replaced value takes its own along."""
    kept = set(re.findall(r'd(\d+)', after))
    return [n for n in re.findall(r'#_ ?(?:#_ )?[\["]?d(\d+)', before) if n in kept]


@settings(max_examples=examples(200), suppress_health_check=list(HealthCheck))
@given(made=files(), data=st.data())
def test_one_edit_leaves_all_other_bytes(probe, tmp_path_factory, made, data):
    """The text before and behind the edited value stands as it stood."""
    text, entries = made
    if not entries:
        return
    file = tmp_path_factory.getbasetemp() / 'one-edit.edn'
    file.write_bytes(text.encode())
    os.utime(file, (1, 1))
    key, value, _ = data.draw(st.sampled_from(entries))
    probe.open(file)
    old = probe.get(key)
    probe.do('put', key, None, '"a value that is nowhere"')
    probe.do('rewrite')
    probe.do('close')
    after = file.read_bytes().decode()
    left, _, right = after.partition('"a value that is nowhere"')
    start = len(os.path.commonprefix((text, left)))
    assert left[start:] in ('', ' ')
    rest = text[start:]
    assert rest.endswith(right) or rest.endswith(right.removeprefix(' '))
    gone = rest[:len(rest) - len(right)] if rest.endswith(right) else (
        rest[:len(rest) - len(right) + 1])
    assert gone in (old, '^:meta ' + old)
