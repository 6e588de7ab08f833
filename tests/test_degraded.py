# SPDX-License-Identifier: MIT
"""A store that fails: what was saved is read, what is saved is kept, and all of it comes to the store again."""
import errno
import hashlib
import os

import lmdb
import pytest

from conftest import fill_disk, is_mounted, take_away, wait_until
from modes_driver import Writers, compare_eav, crash, in_edn, in_mount, look, mode_of, source, \
    switch, work
from outside import conflicts, health, soon

TEXT = '{:config {:a 1} :seen 3 :notes/x [1 2] :presence/s1 {"alice" {:b 2} "bob" 5}}'


def remount(m, *options):
    m.remount(*(options or ('edn_delay=5',)))


def reasons(m, status='degraded'):
    said = health(m)
    assert said['status'] == status, said
    return ' '.join(said['reasons'])


def become(m, status):
    soon(lambda: health(m)['status'] == status, f'{status}: {health(m)["reasons"]}')


def is_trimmed(m):
    """The journal's segments go while a store fails."""
    soon(lambda: health(m)['journal']['bytes'] < 10_000, 'the journal to be trimmed')


def settled(m):
    """Both stores hold what the mount shows, and nothing is out of order."""
    become(m, 'healthy')
    m.sync()
    assert in_edn(m) == in_mount(m)
    seen = look(m)
    m.unmount()
    compare_eav(m, seen, whole=False)
    m.options = ('edn_delay=5',)
    m.mount()
    assert look(m) == seen
    return seen


# ---- another program's ----

def write_foreign(path):
    """A data.mdb that is none of ours. Returns what it holds."""
    for name in ('data.mdb', 'lock.mdb'):
        (path / name).unlink(missing_ok=True)
    with lmdb.open(str(path), max_dbs=2) as env:
        with env.begin(write=True) as txn:
            txn.put(b'their', b'value', db=env.open_db(b'theirs', txn))
    return digest(path)


def digest(path):
    return hashlib.sha256((path / 'data.mdb').read_bytes()).hexdigest()


@pytest.fixture
def used(mount):
    """used(mode) -> an unmounted store that was in use in that mode, and what it showed."""
    def make(mode, *options):
        m = mount(TEXT, f'mode={mode}', 'force', 'edn_delay=5', *options)
        work(m, 'one')
        m.sync()
        seen = look(m)
        m.unmount()
        m.options = ('edn_delay=5', *options)
        return m, seen
    return make


@pytest.mark.parametrize('mode', ['dual-write', 'datalevin-first'])
def test_another_programs(used, mode):
    m, seen = used(mode)
    foreign = write_foreign(m.store)
    m.expect_stderr('another program')
    m.mount()
    assert 'another program' in reasons(m)
    assert look(m) == seen and source(m, 'config.json') == 'edn'
    work(m, 'two')
    seen = look(m)
    with pytest.raises(OSError) as caught:
        (m.mnt / '.mode').write_text('datalevin-only')
    assert caught.value.errno == errno.EBUSY and mode_of(m) == mode
    with pytest.raises(OSError):
        (m.mnt / '.mode').write_text('force datalevin-only')
    assert mode_of(m) == mode and look(m) == seen
    is_trimmed(m)
    crash(m)
    assert look(m) == seen
    m.sync()
    assert in_edn(m) == in_mount(m)
    (m.mnt / '.mode').write_text('edn-only')
    assert not reasons(m, 'healthy')
    remount(m)
    assert look(m) == seen
    m.unmount()
    assert digest(m.store) == foreign
    for name in ('data.mdb', 'lock.mdb'):
        (m.store / name).unlink()
    m.mount()
    switch(m, mode)
    assert look(m) == seen
    settled(m)


def test_another_programs_goes_away(used):
    """While it is mounted: within about a second all is there."""
    m, seen = used('datalevin-first')
    write_foreign(m.store)
    m.mount()
    work(m, 'two')
    seen = look(m)
    for name in ('data.mdb', 'lock.mdb'):
        (m.store / name).unlink()
    become(m, 'healthy')
    assert look(m) == seen
    switch(m, 'datalevin-only')
    assert look(m) == seen


def test_another_programs_after_datalevin_only(used):
    """What is newer than memory.edn may be in there: refused, unless one says so."""
    m, seen = used('datalevin-only')
    foreign = write_foreign(m.store)
    edn = m.edn.read_bytes()
    m.expect_stderr('.')
    for options in ((), ('ro',), ('mode=datalevin-first',), ('mode=edn-only',)):
        m.options = options
        m.spawn()
        assert m.wait_exit() != 0
        assert 'force' in m.stderr().splitlines()[-1]
        assert digest(m.store) == foreign and m.edn.read_bytes() == edn
    m.options = ('mode=edn-only', 'force', 'edn_delay=5')
    m.mount()
    assert mode_of(m) == 'edn-only'
    (m.mnt / 'new.json').write_text('1')
    seen = look(m)
    remount(m)
    assert look(m) == seen and mode_of(m) == 'edn-only'
    m.unmount()
    assert digest(m.store) == foreign


@pytest.mark.parametrize('mode', ['dual-write', 'datalevin-first'])
def test_left_alone(used, mode):
    m, seen = used(mode)
    foreign = write_foreign(m.store)
    remount(m, 'mode=edn-only', 'edn_delay=5')
    assert not reasons(m, 'healthy') and look(m) == seen and mode_of(m) == 'edn-only'
    work(m, 'two')
    seen = look(m)
    crash(m)
    assert look(m) == seen and mode_of(m) == 'edn-only'
    m.unmount()
    assert digest(m.store) == foreign


# ---- damaged ----

def damage(m):
    """Of every copy of a document in the EAV store one byte is flipped; it is still JSON."""
    data = bytearray((m.store / 'data.mdb').read_bytes())
    at, found = -1, 0
    while (at := data.find(b'"a":\t"one"', at + 1)) >= 0:
        data[at + 6] ^= 1
        found += 1
    assert found
    (m.store / 'data.mdb').write_bytes(data)


def test_damaged_documents(used):
    """Served from memory.edn, and written anew."""
    m, seen = used('datalevin-first')
    damage(m)
    m.mount()
    assert look(m) == seen
    become(m, 'healthy')
    assert look(m) == seen
    soon(lambda: source(m, 'config.json') == 'eav', 'the document to be written anew')
    settled(m)


def test_damaged_documents_alone(used):
    """Nothing else has them: no mount shows what was not saved."""
    m, seen = used('datalevin-only')
    damage(m)
    m.options = ()
    m.spawn()
    wait_until(lambda: m.proc.poll() is not None or is_mounted(m.mnt), 'the mount, or none')
    if m.proc.poll() is None:
        assert look(m) == seen
    else:
        m.expect_stderr('EAV store')
        assert m.proc.poll() == 1 and 'config' in m.stderr()
        m.options = ('force', 'mode=edn-only')
        m.mount()
        assert look(m) == seen


@pytest.mark.parametrize('mode', ['datalevin-first', 'datalevin-only'])
@pytest.mark.parametrize('part', [0.5, 0.9])
def test_cut_short(used, mode, part):
    """Of a file that lacks its end no byte is looked at: that would be a SIGBUS."""
    m, seen = used(mode)
    whole = (m.store / 'data.mdb').read_bytes()
    os.truncate(m.store / 'data.mdb', int(len(whole) * part) // 4096 * 4096)
    m.options = ('edn_delay=5',)
    if mode == 'datalevin-only':
        m.expect_stderr('data.mdb')
        m.spawn()
        assert m.wait_exit() == 1
        assert 'cut' in m.stderr()
    else:
        m.mount()
        assert look(m) == seen
        work(m, 'two')
        seen = look(m)
        settled(m)
        bad, = m.store.glob('data.mdb.bad-*')
        assert bad.read_bytes() == whole[:bad.stat().st_size]
        return
    (m.store / 'data.mdb').write_bytes(whole)
    m.mount()
    assert look(m) == seen


@pytest.mark.parametrize('mode', ['edn-only', 'datalevin-first', 'datalevin-only'])
def test_store_renamed(used, mode):
    """Below a mount: it goes on where it is."""
    m, seen = used(mode)
    m.mount()
    away = m.store.with_name('away')
    m.store.rename(away)
    work(m, 'two')
    (m.mnt / 'draft.txt').write_text('scratch')
    m.sync()
    seen = look(m)
    m.kill()
    away.rename(m.store)
    m.mount()
    assert look(m) == seen
    if mode == 'datalevin-first':
        settled(m)


# ---- the EAV store fails ----

class Failing:
    """A daemon whose EAV store fails while begin() says so."""

    def __init__(self, m, build_dir):
        self.m = m
        self.path = m.base / 'fail'
        m.env = dict(os.environ, LD_PRELOAD=str(build_dir / 'tests' / 'failpoint.so'),
                     OUROFS_FAILPOINT=str(self.path))

    def begin(self, *kinds):
        for kind in kinds:
            self.path.with_suffix(f'.{kind}').touch()

    def end(self):
        for path in self.path.parent.glob('fail.*'):
            path.unlink()


@pytest.fixture
def failing(used, build_dir):
    def make(mode, *options):
        m, seen = used(mode, *options)
        fail = Failing(m, build_dir)
        m.mount()
        assert look(m) == seen
        return m, fail
    return make


KINDS = [('get',), ('put',), ('commit',), ('put', 'commit', 'get', 'open')]


@pytest.mark.preload
@pytest.mark.parametrize('number', range(len(KINDS)))
@pytest.mark.parametrize('then', ['', 'kill', 'kill while it fails', 'unmount while it fails'])
def test_eav_fails(failing, number, then):
    mode, kinds = ('datalevin-first', 'dual-write')[number % 2], KINDS[number]
    m, fail = failing(mode)
    before = look(m)
    fail.begin(*kinds)
    assert look(m) == before
    work(m, 'two')
    (m.mnt / 'one.json').unlink()
    (m.mnt / 'config.json').chmod(0o600)
    seen = look(m)
    become(m, 'degraded')
    assert 'EAV store' in reasons(m) and health(m)['mode'] == mode
    assert look(m) == seen and source(m, 'config.json') in ('edn', 'overlay')
    m.sync()
    assert in_edn(m) == in_mount(m) and look(m) == seen
    is_trimmed(m)
    if 'while' in then:
        crash(m) if 'kill' in then else remount(m)
        assert look(m) == seen
        become(m, 'degraded')
        (m.mnt / 'three.json').write_text('3')
        (m.mnt / 'two.json').unlink()
        seen = look(m)
    fail.end()
    if then == 'kill':
        crash(m)
    become(m, 'healthy')
    assert look(m) == seen
    assert settled(m) == seen
    switch(m, 'datalevin-only')
    assert look(m) == seen
    m.unmount()
    compare_eav(m, seen, whole=True)


@pytest.mark.preload
@pytest.mark.parametrize('kinds', [('put',), ('commit',), ('put', 'commit', 'get', 'open')])
@pytest.mark.parametrize('then', ['', 'kill'])
def test_eav_fails_alone(failing, kinds, then):
    """In datalevin-only: the journal holds what it can't take."""
    m, fail = failing('datalevin-only')
    fail.begin(*kinds)
    work(m, 'two')
    (m.mnt / 'one.json').unlink()
    seen = look(m)
    become(m, 'unhealthy')
    (m.mnt / 'three.json').write_text('3')
    seen = look(m)
    with pytest.raises(OSError):
        m.sync()
    if then:
        m.kill()
    fail.end()
    if then:
        m.mount()
    become(m, 'healthy')
    m.sync()
    assert look(m) == seen
    m.unmount()
    compare_eav(m, seen, whole=True)
    m.mount()
    assert look(m) == seen
    switch(m, 'datalevin-first')
    assert settled(m) == seen


@pytest.mark.preload
@pytest.mark.parametrize('then', ['', 'kill'])
def test_eav_fails_after_it_was_alone(failing, then):
    """What was saved while it was the only store is no news when it is back."""
    m, fail = failing('datalevin-only')
    for name in ('gone', 'changed', 'replaced'):
        (m.mnt / f'{name}.json').write_text('"alone"')
    switch(m, 'datalevin-first')
    fail.begin('put', 'commit')
    (m.mnt / 'gone.json').unlink()
    (m.mnt / 'changed.json').write_text('"later"')
    (m.mnt / 'config.json').rename(m.mnt / 'replaced.json')
    become(m, 'degraded')
    m.sync()
    seen = look(m)
    if then:
        m.kill()
    fail.end()
    if then:
        m.mount()
    assert settled(m) == seen and not conflicts(m)


@pytest.mark.preload
def test_eav_fails_at_a_switch(failing):
    """It is refused, and nothing changed; or, away from it, done."""
    m, fail = failing('datalevin-first')
    seen = look(m)
    fail.begin('commit', 'put')
    for word in ('datalevin-only', 'force datalevin-only'):
        with pytest.raises(OSError):
            (m.mnt / '.mode').write_text(word)
        assert mode_of(m) == 'datalevin-first' and look(m) == seen
    switch(m, 'edn-only')
    work(m, 'two')
    seen = look(m)
    with pytest.raises(OSError):
        (m.mnt / '.mode').write_text('datalevin-first')
    assert mode_of(m) == 'edn-only' and look(m) == seen and not reasons(m, 'healthy')
    crash(m)
    assert mode_of(m) == 'edn-only' and look(m) == seen
    fail.end()
    switch(m, 'datalevin-first')
    assert settled(m) == seen


@pytest.mark.preload
def test_eav_flickers(failing):
    """It fails and is back, again and again, while others write."""
    m, fail = failing('datalevin-first')
    for path in look(m):
        if path.endswith('.json'):
            (m.mnt / path).unlink()
    with Writers(m) as writers:
        for number in range(4):
            fail.begin(*KINDS[number])
            become(m, 'degraded')
            fail.end()
            become(m, 'healthy')
    writers.compare()
    settled(m)
    writers.compare()


@pytest.mark.preload
@pytest.mark.parametrize('mode', ['edn-only', 'dual-write', 'datalevin-first', 'datalevin-only'])
def test_a_header_is_lost_while_names_are_listed(failing, mode):
    """The kernel keeps what it is told of each: that is so, or it is told nothing."""
    m, fail = failing(mode)
    session = m.mnt / 'presence/listed'
    session.mkdir(parents=True)
    for number in range(100):
        (session / f'm{number}.json').write_text('{"n":     %d}' % number)
        (session / f'm{number}.json').chmod(0o640)
    m.sync()
    look(m)
    remount(m)
    fail.begin('renew')
    for entry in os.scandir(session):
        assert entry.stat().st_size == len(entry.name) + 5
        assert entry.stat().st_mode & 0o777 == 0o640
    assert not reasons(m, 'healthy')
    fail.end()


# ---- memory.edn fails ----

@pytest.fixture
def sealed():
    """sealed(directory): nothing can be made in it, by root neither."""
    made = []

    def seal(path, closed=True):
        if os.system(f'chattr {"+" if closed else "-"}i {path} 2>/dev/null'):
            pytest.skip('chattr +i is not allowed here')
        made.append(path)
    yield seal
    for path in made:
        os.system(f'chattr -i {path} 2>/dev/null')


@pytest.mark.parametrize('opened', [False, True])
def test_a_scratch_file_that_is_saved_and_stays(mount, sealed, opened):
    """By a rename that says so: it is there under both names, and each is what it was."""
    m = mount('{:config 1}')
    (m.mnt / 'new').write_text('[1]')
    file = open(m.mnt / 'new' if opened else os.devnull)
    sealed(m.store / 'scratch')
    with pytest.raises(PermissionError):
        (m.mnt / 'new').rename(m.mnt / 'config.json')
    assert (m.mnt / 'config.json').read_text() == (m.mnt / 'new').read_text() == '[1]'
    sealed(m.store / 'scratch', closed=False)
    (m.mnt / 'new').write_text('[1, 2]')
    assert file.read() == ('[1, 2]' if opened else '')
    file.close()
    assert (m.mnt / 'config.json').read_text() == '[1]'
    (m.mnt / 'new').rename(m.mnt / 'config.json')
    assert (m.mnt / 'config.json').read_text() == '[1, 2]'
    m.sync()


def place_edn(m, path):
    m.edn = path / 'memory.edn'
    m.edn.write_text(TEXT)


@pytest.mark.parametrize('mode', ['edn-only', 'dual-write', 'datalevin-first'])
@pytest.mark.parametrize('then', ['', 'kill', 'kill while it fails', 'unmount while it fails'])
def test_edn_directory_is_read_only(sealed, mount, mode, then):
    m = mount.prepare(None, (f'mode={mode}', 'edn_delay=5'))
    (m.base / 'edn').mkdir()
    place_edn(m, m.base / 'edn')
    m.mount()
    work(m, 'one')
    m.sync()
    sealed(m.edn.parent)
    before = m.edn.read_bytes()
    work(m, 'two')
    (m.mnt / 'one.json').unlink()
    status = 'unhealthy' if mode == 'edn-only' else 'degraded'
    become(m, status)
    assert 'memory.edn' in reasons(m, status)
    for number in range(100):
        (m.mnt / f'k{number}.json').write_text('"%s"' % ('x' * 1000))
    is_trimmed(m)
    with pytest.raises(OSError):
        m.sync()
    seen = look(m)
    m.expect_stderr('memory.edn')
    if then == 'kill while it fails':
        crash(m)
    elif then:
        take_away(m.mnt, m.proc)
        assert m.wait_exit() != 0  # it could not bring memory.edn up
        m.options = ('edn_delay=5',)
        m.mount()
    assert look(m) == seen and m.edn.read_bytes() == before
    sealed(m.edn.parent, False)
    if then == 'kill':
        crash(m)
    m.sync()
    become(m, 'healthy')
    assert look(m) == seen and in_edn(m) == in_mount(m)
    remount(m)
    assert look(m) == seen


def test_edn_disk_is_full(small_disk, mount):
    disk = small_disk('256k')
    m = mount.prepare(None, ('edn_delay=5',))
    place_edn(m, disk)
    m.mount()
    work(m, 'one')
    (m.mnt / 'big.json').write_text('"%s"' % ('x' * 300_000))
    become(m, 'degraded')
    assert 'space' in reasons(m)
    work(m, 'two')
    seen = look(m)
    is_trimmed(m)
    crash(m)
    assert look(m) == seen
    become(m, 'degraded')
    assert [path.name for path in disk.iterdir()] == ['memory.edn']  # nothing half-written is left
    (m.mnt / 'big.json').unlink()
    m.sync()
    become(m, 'healthy')
    assert in_edn(m) == in_mount(m)
    del seen['big.json']
    assert look(m) == seen


# ---- STORE's disk is full ----

@pytest.mark.parametrize('mode', ['edn-only', 'datalevin-first', 'datalevin-only'])
@pytest.mark.parametrize('then', ['', 'kill'])
def test_store_disk_is_full(small_disk, mount, mode, then):
    disk = small_disk('4m')
    m = mount.prepare(TEXT, (f'mode={mode}', 'force', 'edn_delay=5'))
    m.store = disk / 'store'
    m.mount()
    work(m, 'one')
    m.sync()
    fill_disk(disk / 'ballast')
    saved, refused = look(m), []
    for number in range(200):
        path = f'k{number}.json'
        try:
            (m.mnt / path).write_text('"%s"' % ('x' * 20_000))
        except OSError as error:
            assert error.errno == errno.ENOSPC
            refused.append(path)
    assert refused
    with pytest.raises(OSError) as caught:
        (m.mnt / 'config.json').write_text('"%s"' % ('y' * 100_000))
    assert caught.value.errno == errno.ENOSPC
    seen = {path: file for path, file in look(m).items() if file.content or not path.startswith('k')}
    assert saved.items() <= seen.items()
    if then:
        crash(m)
        assert seen.items() <= look(m).items()
    (disk / 'ballast').unlink()
    become(m, 'healthy')
    assert seen.items() <= look(m).items()
    for path in refused:
        (m.mnt / path).write_text('"now"')
    work(m, 'two')
    m.sync()
    seen = look(m)
    if mode != 'datalevin-only':
        assert in_edn(m) == in_mount(m)
    remount(m)
    assert look(m) == seen
