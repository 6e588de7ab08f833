# SPDX-License-Identifier: MIT
"""ourofsctl backup, export, import: copies that hold what was acknowledged, and all or nothing."""
import json
import mmap
import os
import re
import shutil
import signal
import subprocess

import pytest

import callpoint
import edn_reader
from conftest import fill_disk, wait_until
from modes_driver import Writers, look

TEXT = '''{:config {:a 1} ; of the house
 :presence/s1 {"ann" {:b 2} "ben" 5} :notes/x [1 2] :collab-session/c {:x #{1 2}} "text" nil}'''
MODES = ('edn-only', 'dual-write', 'datalevin-first', 'datalevin-only')


@pytest.fixture
def ctl(binary):
    def run(command, *args, status=0, env=None):
        done = subprocess.run([str(binary('ourofsctl')), command, *map(str, args)],
                              capture_output=True, text=True, env=env and os.environ | env)
        assert done.returncode == status, f'{done.stdout}\n{done.stderr}'
        return done.stdout if status == 0 else done.stderr
    return run


def value_of(text):
    return edn_reader.read(text)


def documents(m):
    return {path: (file.content, file.mode) for path, file in look(m).items() if path.endswith('.json')}


def mount_copy(mount, copy):
    """What a backup holds, mounted: as a user would, but with the state where the copy has it."""
    m = mount.prepare(None)
    m.edn, m.store = copy / 'memory.edn', copy / 'memory.eav'
    return m.mount()


# ---- backup ----

@pytest.mark.parametrize('mode', MODES)
def test_a_backup_is_mounted_as_it_is(mount, ctl, mode):
    m = mount(TEXT, f'mode={mode}', 'force', 'edn_delay=60000')
    (m.mnt / 'config.json').write_text('{ "a":\t2 }')
    (m.mnt / 'config.json').chmod(0o640)
    (m.mnt / 'notes/x.json').unlink()
    (m.mnt / 'presence/s1/ben.json').rename(m.mnt / 'presence/s1/carl.json')
    (m.mnt / 'draft.txt').write_text('scratch')
    subprocess.run(['tee', m.mnt / 'refused.json'], input=b'{', capture_output=True)
    seen = documents(m)
    copy = m.base / 'copy'
    ctl('backup', m.store, copy)
    assert oct(copy.stat().st_mode)[-3:] == '700' and {p.name for p in copy.iterdir()} == {
        'memory.edn', 'memory.eav'}
    assert not [p for p in (copy / 'memory.eav').rglob('*')
                if p.stat().st_mode & 0o77 and 'scratch' not in p.parts]
    (m.mnt / 'config.json').unlink()
    other = mount_copy(mount, copy)
    assert documents(other) == seen
    assert (other.mnt / '.mode').read_text() == mode + '\n'
    assert (other.mnt / 'draft.txt').read_text() == 'scratch'
    assert (other.mnt / '.rejected/refused.json').read_text() == '{'
    health = json.loads((other.mnt / '.health').read_text())
    assert (health['edn']['outside_changes'], health['edn']['conflicts']) == (0, 0)
    assert health['status'] == 'healthy'


@pytest.mark.parametrize('mode', ('datalevin-first', 'datalevin-only'))
def test_backups_while_others_write(mount, ctl, mode):
    """What was acknowledged before the backup began is in it, as that or as something newer; nothing is torn."""
    m = mount(TEXT, f'mode={mode}', 'force', 'edn_delay=5')
    with Writers(m) as writers:
        for number in range(6):
            wait_until(lambda n=number: sum(map(len, writers.books)) > n, 'some saves')
            before = [dict(book) for book in writers.books]
            copy = m.base / f'copy{number}'
            ctl('backup', m.store, copy)
            after = [dict(book) for book in writers.books]
            other = mount_copy(mount, copy)
            for mine, (old, new) in enumerate(zip(before, after)):
                for path, content in old.items():
                    there = other.mnt / path
                    # gone or newer: only if it was written to again
                    if new.get(path) == content:
                        assert there.exists() and int(there.read_bytes()) >= int(content)
            for file in other.mnt.rglob('w*.json'):
                assert re.fullmatch(rb'\d*', file.read_bytes())
            assert json.loads((other.mnt / '.health').read_text())['edn']['conflicts'] == 0
            other.unmount()
            assert 'no problem' in ctl('check', copy / 'memory.eav')


def test_a_backup_that_gets_no_time(mount, ctl, binary):
    """What came into the journal while it waited, and is in both stores, is there for it all the same."""
    m = mount(TEXT, 'edn_delay=5')
    (m.mnt / 'config.json').write_text('0')
    m.sync()
    command = [str(binary('ourofsctl')), 'backup', str(m.store), str(m.base / 'copy')]
    copied = m.base / 'copy.partial/memory.eav/data.mdb'
    stopped = 0

    def is_under_way():
        """What is in it, and behind it, is known. LMDB writes two pages while the daemon can't write."""
        try:
            return copied.stat().st_size > 2 * mmap.PAGESIZE
        except FileNotFoundError:
            return False
    while stopped < 5:
        shutil.rmtree(m.base / 'copy', ignore_errors=True)
        with subprocess.Popen(command) as backup:
            while not is_under_way() and backup.poll() is None:
                pass
            backup.send_signal(signal.SIGSTOP)
            stopped += backup.poll() is None
            for number in range(1, 5):
                (m.mnt / 'config.json').write_text(f'{number}')
                m.sync()
            backup.send_signal(signal.SIGCONT)
            while backup.poll() is None:
                (m.mnt / 'config.json').write_text('4')
        assert backup.returncode == 0
    assert 'no problem' in ctl('check', m.base / 'copy/memory.eav')
    assert value_of(ctl('export', m.base / 'copy/memory.eav'))
    (m.mnt / 'config.json').write_text('5')
    m.sync()
    assert len(os.listdir(m.store / 'journal')) <= 1


def test_backups_of_a_large_memory(mount, ctl, many):
    """Segments of the journal come and go while the EAV store is copied."""
    m = mount(many, 'edn_delay=60000')
    ctl('migrate', m.mnt, 'all', '--wait')
    with Writers(m):
        for number in range(4):
            ctl('backup', m.store, m.base / f'copy{number}')
    other = mount_copy(mount, m.base / 'copy3')
    assert len(list((other.mnt / 'presence').rglob('*.json'))) >= len(re.findall(r':presence/', many)) // 2
    other.unmount()
    assert 'no problem' in ctl('check', m.base / 'copy3/memory.eav')


def test_a_backup_goes_where_nothing_is(mount, ctl, disk, small_disk):
    m = mount(TEXT)
    (disk / 'there').write_text('1')
    assert 'not empty' in ctl('backup', m.store, disk, status=2)
    assert [p.name for p in disk.iterdir()] == ['there']
    assert 'no store' in ctl('backup', disk, disk / 'copy', status=2)
    small = small_disk('32k')
    assert 'No space' in ctl('backup', m.store, small / 'copy', status=2)
    assert not list(small.iterdir())
    (m.base / 'copy.partial').mkdir()
    assert 'was killed' in ctl('backup', m.store, m.base / 'copy', status=2)
    (m.mnt / 'sub').mkdir()
    (m.mnt / 'sub/file').touch()
    for inside in ('bk', 'scratch/bk', 'scratch/sub/bk'):
        assert 'in the store itself' in ctl('backup', m.store, m.store / inside, status=2)
        assert not list(m.store.rglob('bk*'))
    (m.base / 'copy.partial').rmdir()
    (m.base / 'copy').mkdir()
    ctl('backup', m.store, f'{m.base}/copy/')
    assert sorted(os.listdir(m.base / 'copy')) == ['memory.eav', 'memory.edn']


@pytest.mark.preload
def test_a_backup_that_is_killed(mount, ctl, binary, build_dir):
    """Whatever call it dies at: the copy has its name when it is whole."""
    m = mount(TEXT)
    (m.mnt / 'config.json').write_text('{"a": 2}')
    counts, at, status = m.base / 'counts', 0, None
    while status != 0:
        at += 1
        counts.write_bytes(b'')
        shutil.rmtree(m.base / 'copy.partial', ignore_errors=True)
        armed = callpoint.environment(build_dir, counts, at, 'after')
        status = subprocess.run([str(binary('ourofsctl')), 'backup', str(m.store), str(m.base / 'copy')],
                                capture_output=True, env=armed).returncode
        assert status in (0, -signal.SIGKILL)
        if (m.base / 'copy').exists():
            assert value_of(ctl('export', m.base / 'copy/memory.eav')) == value_of(TEXT.replace('{:a 1}', '{:a 2}'))
            shutil.rmtree(m.base / 'copy')
        else:
            assert status != 0
    assert at > 10


def test_where_memory_edn_is_gone(mount, ctl):
    m = mount(TEXT, 'mode=datalevin-only', 'force')
    m.edn.unlink()
    expected = value_of(TEXT)
    assert value_of(ctl('export', m.store)) == expected
    ctl('backup', m.store, m.base / 'copy')
    assert os.listdir(m.base / 'copy') == ['memory.eav']
    assert value_of(ctl('export', m.base / 'copy/memory.eav')) == expected
    assert 'No such file' in ctl('export', '--edn', m.edn, m.store, status=2)


@pytest.mark.parametrize('edn, store', [
    ('garden.edn', 'garden.eav'), ('garden.json', 'garden.json.eav'), ('memory.edn', 'state')])
def test_which_memory_edn_a_store_is_of(mount, ctl, edn, store):
    m = mount.prepare('{:of :garden}')
    (m.base / 'memory.edn').rename(m.base / edn)
    m.edn, m.store = m.base / edn, m.base / store
    m.mount()
    # another memory's, and a mountpoint's
    if edn != 'memory.edn':
        (m.base / 'memory.edn').write_text('{:of :house}')
        (m.base / 'garden').mkdir()
    assert value_of(ctl('export', m.store)) == value_of('{:of :garden}')
    ctl('backup', m.store, m.base / 'copy')
    assert value_of((m.base / 'copy/memory.edn').read_text()) == value_of('{:of :garden}')
    m.unmount()
    (m.base / 'news.edn').write_text('{:new 1}')
    ctl('import', m.store, m.base / 'news.edn')
    assert value_of(m.edn_text()) == value_of('{:of :garden :new 1}')


def test_a_memory_edn_that_is_elsewhere(mount, ctl):
    """What it alone has is not taken for gone."""
    m = mount(TEXT)
    m.unmount()
    elsewhere = m.base / 'elsewhere'
    elsewhere.mkdir()
    store = m.store.rename(elsewhere / 'memory.eav')
    (m.base / 'news.edn').write_text(NEWS)
    for command in (('export', store), ('backup', store, m.base / 'copy'), ('import', store, m.base / 'news.edn')):
        assert '--edn FILE says where' in ctl(*command, status=2)
    assert os.listdir(elsewhere) == ['memory.eav'] and not (m.base / 'copy').exists()
    assert value_of(ctl('export', '--edn', m.edn, store)) == value_of(TEXT)


def test_a_memory_that_is_new(mount, ctl):
    m = mount(None)
    assert ctl('export', m.store) == '{}\n'
    m.unmount()
    (m.base / 'news.edn').write_text(NEWS)
    ctl('import', m.store, m.base / 'news.edn')
    assert value_of(m.edn_text()) == value_of(NEWS)


# ---- export ----

@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('mounted', (True, False))
def test_export(mount, ctl, mode, mounted):
    m = mount(TEXT, f'mode={mode}', 'force', 'edn_delay=60000')
    (m.mnt / 'config.json').write_text('{"a": {"#ratio": "22/7"}}')
    (m.mnt / 'presence/s1/ben.json').unlink()
    if not mounted:
        m.unmount()
    expected = value_of(TEXT.replace('{:a 1}', '{:a 22/7}').replace('"ben" 5', ''))
    assert value_of(ctl('export', m.store)) == expected
    out = m.base / 'out.edn'
    assert ctl('export', m.store, out) == ''
    assert value_of(out.read_text()) == expected and oct(out.stat().st_mode)[-3:] == '600'
    assert 'of the store itself' in ctl('export', m.store, m.edn, status=2)


def test_a_mapping_file(mount, ctl):
    m = mount('{:x/y {:a 1}}')
    m.unmount()
    mapping = m.base / 'map.edn'
    mapping.write_text('{"x/**" {:type x :shape :collection}}')
    assert value_of(ctl('export', '--mapping', mapping, m.store)) == value_of('{:x/y {:a 1}}')
    mapping.write_text('{"x/**" {:type}}')
    assert re.search(r'map\.edn:1:\d+: ', ctl('export', '--mapping', mapping, m.store, status=2))
    assert 'map.edn: No such file' in ctl('export', '--mapping', f'{m.base}/no/map.edn', m.store, status=2)


def test_export_to_a_full_disk(mount, ctl, small_disk):
    m = mount(TEXT)
    small = small_disk('64k')
    (small / 'out.edn').write_text('{:old 1}')
    fill_disk(small / 'ballast')
    assert 'No space' in ctl('export', m.store, small / 'out.edn', status=2)
    assert (small / 'out.edn').read_text() == '{:old 1}'


# ---- import ----

NEWS = '{:config {:a 2} :presence/s1 {"ann" {:b 2} "zoe" {:c 3}} :new/key #{:x} :notes/x [1 2]}'


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('replace', (False, True))
def test_import(mount, ctl, mode, replace):
    m = mount(TEXT, f'mode={mode}', 'force')
    news = m.base / 'news.edn'
    news.write_text(NEWS)
    assert f'pid {m.proc.pid}' in ctl('import', m.store, news, status=2)
    m.unmount()
    flags = ['--replace'] if replace else []
    before = m.edn.read_bytes()
    counts = '2 added, 1 changed, %d removed' % (3 if replace else 0)
    said = ctl('import', '--dry-run', *flags, m.store, news)
    assert said.splitlines()[-1].endswith(counts) and 'added :new/key' in said
    assert m.edn.read_bytes() == before
    report = json.loads(ctl('import', '-n', '--json', *flags, m.store, news))
    assert report['added'] == {'count': 2, 'first': ['[:presence/s1 "zoe"]', ':new/key']}
    assert ctl('import', *flags, m.store, news).strip() == counts
    expected = value_of(NEWS) if replace else value_of(
        TEXT.replace('{:a 1}', '{:a 2}').replace('"ben" 5', '"ben" 5 "zoe" {:c 3} ').replace(
            '"text"', ':new/key #{:x} "text"'))
    assert value_of(ctl('export', m.store)) == expected
    if mode != 'datalevin-only':
        assert value_of(m.edn_text()) == expected
    assert 'no problem' in ctl('check', m.store)
    m.mount()
    assert (m.mnt / '.mode').read_text() == mode + '\n'
    assert (m.mnt / 'presence/s1/ben.json').exists() != replace


@pytest.mark.parametrize('text, said', [
    ('{:a 1 :a 2}', r'news\.edn:1:7: .*:a'), ('[1]', r'news\.edn:1:1: '), ('{:a/1 2}', 'could not read'),
    ('{:x ' + '[' * 600 + ']' * 600 + '}', r'news\.edn:1:\d+: '), ('{:x 1', r'news\.edn:1:')])
def test_a_file_that_is_refused(mount, ctl, text, said):
    m = mount(TEXT)
    m.unmount()
    before = m.edn.read_bytes()
    (m.base / 'news.edn').write_text(text)
    assert re.search(said, ctl('import', m.store, m.base / 'news.edn', status=1))
    assert m.edn.read_bytes() == before
    m.mount()
    assert (m.mnt / 'config.json').read_text() == '{\n  "a": 1\n}\n'


@pytest.mark.parametrize('flags', [[], ['--replace'], ['--dry-run']])
def test_a_file_that_is_not_there(mount, ctl, flags):
    m = mount(TEXT)
    m.unmount()
    assert 'nwes.edn: No such file' in ctl('import', *flags, m.store, m.base / 'nwes.edn', status=2)
    assert value_of(ctl('export', m.store)) == value_of(TEXT)


def test_no_key_speaks_to_the_terminal(mount, ctl):
    m = mount('{}')
    m.unmount()
    (m.base / 'news.edn').write_text('{"\x1b[31mred" 1}')
    assert ctl('import', '-n', m.store, m.base / 'news.edn').splitlines()[0] == 'added "?[31mred"'
    report = json.loads(ctl('import', '-n', '--json', m.store, m.base / 'news.edn'))
    assert report['added']['first'] == ['"\x1b[31mred"']


def test_what_changes_its_kind(mount, ctl):
    m = mount('{:presence/s1 {"ann" 1} :presence/s2 nil}')
    m.unmount()
    (m.base / 'news.edn').write_text('{:presence/s1 [1] :presence/s2 {"zoe" 2}}')
    ctl('import', m.store, m.base / 'news.edn')
    assert value_of(m.edn_text()) == value_of('{:presence/s1 [1] :presence/s2 {"zoe" 2}}')
    m.mount()
    assert (m.mnt / 'presence/s1.json').read_text() == '[\n  1\n]\n'
    assert (m.mnt / 'presence/s2/zoe.json').read_text() == '2\n'


def test_a_file_that_was_set_aside_and_was_meant(mount, ctl):
    text = '{%s}' % ' '.join(f':k{i} {i}' for i in range(40))
    m = mount(text, 'edn_delay=5')
    m.edn.write_text('{:only 1}')
    bad = wait_until(lambda: list(m.base.glob('memory.edn.bad-*')), 'it to be set aside')[0]
    m.unmount()
    ctl('import', '--replace', m.store, bad)
    assert value_of(m.edn_text()) == value_of('{:only 1}')
    m.mount()
    assert os.listdir(m.mnt) == ['only.json']


@pytest.mark.preload
def test_killed_at_any_call(mount, ctl, binary, build_dir):
    """All of it is there, or nothing, whatever call the import dies at."""
    m = mount(TEXT)
    m.unmount()
    (m.base / 'news.edn').write_text(NEWS)
    for name in ('memory.edn', 'store'):
        source = m.base / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, m.base / f'{name}.first')
    counts, outcomes, status = m.base / 'counts', [], None
    while status != 0:
        shutil.rmtree(m.store)
        shutil.copytree(m.base / 'store.first', m.store)
        shutil.copyfile(m.base / 'memory.edn.first', m.edn)
        counts.write_bytes(b'')
        armed = callpoint.environment(build_dir, counts, len(outcomes) + 1, 'torn')
        status = subprocess.run([str(binary('ourofsctl')), 'import', '--replace', str(m.store),
                                 str(m.base / 'news.edn')], capture_output=True, env=armed).returncode
        assert status in (0, -signal.SIGKILL)
        found = value_of(ctl('export', m.store))
        assert found in (value_of(TEXT), value_of(NEWS)), f'killed at call {len(outcomes) + 1}'
        outcomes.append(found == value_of(NEWS))
    # once it is there it stays, from the commit on
    assert outcomes == sorted(outcomes) and len(outcomes) > 10 and outcomes[-1]
