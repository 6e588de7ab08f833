# SPDX-License-Identifier: MIT
"""One call of the system fails, each in its turn: of those on files, and of those that ask for memory.

A library in front of the daemon (tests/c/callpoint.h) counts them. Every time the same script is played on a copy
of the same store (faults.py). CI takes a part of the points; OUROFS_FAULTS=all takes all, and says what it finds in OUROFS_FAULTS_LOG, a file.
"""
import errno
import json
import os
import signal

import pytest

import callpoint
import faults
import tree_model
from conftest import is_mounted, wait_until
from outside import health, soon
from test_big import mapped_mb

pytestmark = pytest.mark.preload

FIRST = '''{:config {:theme :dark} ; of the house
 :notes/x [1 2]
 :presence/s1 {"alice" {:b 2} :kw 5}}
'''

OTHER = {'datalevin-first': 'edn-only', 'edn-only': 'datalevin-first', 'dual-write': 'edn-only'}


def script(mode):
    return [
        ('save', 'config.json', b'{"theme": ":light"}'),
        ('mkdir', 'garden'),
        ('save', 'garden/bed.json', b'{"rows": 4}'),
        ('save', 'presence/s1/carol.json', b'{"d": {"#set": [1, 2]}}'),
        ('save_synced', 'notes/x.json', b'[3]'),
        ('fsync', 'notes'),
        ('save', 'new.json.tmp', b'{"by": "rename"}\n'),
        ('rename', 'new.json.tmp', 'new.json'),
        ('rename', 'garden', 'field'),
        ('chmod', 'config.json', 0o600),
        ('unlink', 'presence/s1/alice.json'),
        ('sync',),
        ('exchange', 'config.json', 'new.json'),
        ('mode', OTHER[mode]),
        ('save', 'alone.json', b'{"in": "one"}'),
        *([] if mode != 'edn-only' else [('migrate', 'all')]),
        ('mode', mode),
        ('save', 'big.json', json.dumps({'pad': 'x' * 300_000}).encode()),
        *([] if mode == 'edn-only' else [('migrate', 'all')]),
        ('rename', 'field/bed.json', 'field/bed.json~'),
        ('unlink', 'field/bed.json~'),
        ('save_synced', 'last.json', b'1'),
    ]


@pytest.fixture
def fault(mount, build_dir, binary):
    def make(mode):
        m = mount.prepare(FIRST, (f'mode={mode}', 'edn_delay=5')).mount()
        tree = tree_model.look(m.mnt, FIRST)
        m.unmount()
        m.options = ('edn_delay=5',)
        fault = faults.Fault(build_dir, m, binary('ourofsctl'))
        fault.kept.keep('first')
        return fault, tree
    return make


# ---- files ----

@pytest.mark.parametrize('mode', OTHER)
def test_files(fault, mode):
    fault, tree = fault(mode)
    fault.play_all(mode, script(mode), tree, 'calls', 15)


# ---- memory ----

@pytest.mark.parametrize('mode', ['datalevin-first', 'edn-only'])
def test_memory(fault, mode):
    """Each place that asks for it gets none, the first time."""
    fault, tree = fault(mode)
    fault.play_all(mode, script(mode), tree, 'memory', 10)


# ---- calls that once were a fault of ours ----

class Chosen:
    """A mount of which the n-th call of a kind from now on is to fail."""

    def __init__(self, mount, build_dir, only, at=1, mode='datalevin-first', side='fails', error=errno.EIO,
                 mounted=True):
        """at: 'all' until end(). mounted: from when it serves on."""
        self.m = m = mount.prepare(FIRST, (f'mode={mode}', 'edn_delay=5'))
        self.counts = m.base / 'counts'
        start, self.finish = m.base / 'begin', m.base / 'end'
        m.env = callpoint.environment(build_dir, self.counts, at, side, count='calls', below=m.base, only=only,
                                      end=self.finish, error=error, **({'start': start} if mounted else {}))
        self.late = m.base / 'late'  # while it is there, the kernel is told of no stale name (laggard.c)
        m.env['LD_PRELOAD'] += f' {build_dir}/tests/laggard.so'
        m.env['OUROFS_LAGGARD'] = str(self.late)
        m.expect_stderr('.')
        m.mount()
        m.sync()
        start.touch()

    def end(self):
        self.finish.touch()

    def met(self):
        return callpoint.counted(self.counts).met


@pytest.fixture
def chosen(mount, build_dir):
    made = []

    def make(*args, **words):
        made.append(Chosen(mount, build_dir, *args, **words))
        return made[-1]
    yield make
    for one in made:
        one.late.unlink(missing_ok=True)


def test_the_header_of_what_was_saved(chosen):
    """LMDB takes nothing any more when it could not write that: the environment is opened again."""
    one = chosen('pwrite store/saved/data.mdb')
    m = one.m
    (m.mnt / 'config.json').write_text('{"a":\t2}')
    wait_until(one.met, 'the call to fail')
    (m.mnt / 'notes/x.json').write_text('[4]')
    m.sync()
    assert (m.mnt / 'config.json').read_text() == '{"a":\t2}'
    assert (m.mnt / 'presence/s1/alice.json').read_text()
    wait_until(lambda: health(m)['status'] == 'healthy', 'health')
    m.remount()
    assert (m.mnt / 'config.json').read_text() == '{"a":\t2}'


@pytest.mark.parametrize('late', [False, True])
def test_the_old_name_of_what_was_saved_by_a_rename(chosen, late):
    """It is there still, so the rename has not succeeded."""
    one = chosen('unlinkat store/scratch/one.json.tmp')
    m = one.m
    if late:
        one.late.touch()
    (m.mnt / 'one.json.tmp').write_text('1\n')
    with pytest.raises(OSError) as caught:
        (m.mnt / 'one.json.tmp').rename(m.mnt / 'one.json')
    assert caught.value.errno == errno.EIO
    assert (m.mnt / 'one.json').read_text() == (m.mnt / 'one.json.tmp').read_text() == '1\n'
    assert 'old name' in (m.mnt / '.errors').read_text()
    (m.mnt / 'one.json.tmp').rename(m.mnt / 'one.json')
    assert not (m.mnt / 'one.json.tmp').exists() and (m.mnt / 'one.json').read_text() == '1\n'


def test_a_scratch_file_that_is_there_although_the_disk_said_no(chosen):
    """It is whole: what is cleaned up after a failure is not at its name."""
    one = chosen('renameat store/scratch/config.json~', side='done')
    m = one.m
    before = (m.mnt / 'config.json').read_bytes()
    (m.mnt / 'config.json').rename(m.mnt / 'config.json~')
    assert one.met()
    assert (m.mnt / 'config.json~').read_bytes() == before
    assert not (m.mnt / 'config.json').exists()


def test_a_new_file_whose_save_failed(chosen):
    """Unlike one that was refused it may be saved after all, when its descriptor goes: nobody hears that it is not there before."""
    one = chosen('pwritev64 store/journal', error=errno.ENOSPC)
    path = one.m.mnt / 'one.json'
    with pytest.raises(OSError) as caught:
        path.write_text('1\n')
    assert caught.value.errno == errno.ENOSPC and one.met()
    path.unlink(missing_ok=True)
    one.m.sync()
    assert not path.exists() and ':one' not in one.m.edn_text()


def test_a_journal_that_can_not_be_synced(chosen):
    """What was to be safe is brought to the stores, which are synced by themselves; it is no reason to refuse."""
    one = chosen('fdatasync store/journal')
    m = one.m
    with open(m.mnt / 'config.json', 'w', encoding='utf-8') as file:
        file.write('{"a":\t2}')
        file.flush()
        os.fsync(file.fileno())
    assert one.met()
    m.kill()
    for segment in (m.store / 'journal').iterdir():
        segment.unlink()  # it may have lost anything
    m.env = None
    m.mount()
    assert (m.mnt / 'config.json').read_text() == '{"a":\t2}'


def test_a_switch_that_the_journal_can_not_be_synced_for(chosen):
    """It is done, and the EAV store is used."""
    one = chosen('fdatasync store/journal', mode='edn-only')
    m = one.m
    (m.mnt / '.mode').write_text('datalevin-first')
    assert one.met()
    assert health(m)['mode'] == 'datalevin-first' and health(m)['eav']['state'] == 'ready'
    assert os.getxattr(m.mnt / 'config.json', 'user.ourofs.source') == b'eav'


def test_a_store_that_could_not_be_made(chosen):
    """Nothing of it is left, which the next one would stumble over."""
    one = chosen('pwrite store/data.mdb', mode='edn-only', side='short')
    m = one.m
    with pytest.raises(OSError):
        (m.mnt / '.mode').write_text('datalevin-first')
    assert one.met()
    (m.mnt / '.mode').write_text('datalevin-first')
    assert os.getxattr(m.mnt / 'config.json', 'user.ourofs.source') == b'eav'


def test_it_is_watched_from_the_start(mount):
    """However long the delay is after which memory.edn is first rewritten."""
    m = mount(FIRST, 'edn_delay=3600000')
    m.edn.write_text(m.edn_text().replace(':dark', ':light'))
    soon(lambda: ':light' in (m.mnt / 'config.json').read_text(), 'the change to be seen')


def test_no_watch_is_to_be_had(chosen):
    """As when the user's inotify watches are used up: it says so, and looks by itself."""
    one = chosen('inotify_add_watch', at='all', error=errno.ENOSPC, mounted=False)
    m = one.m
    assert [cause['cause'] for cause in health(m)['causes']] == ['edn-unwatched']
    m.edn.write_text(m.edn_text().replace(':dark', ':light'))
    soon(lambda: ':light' in (m.mnt / 'config.json').read_text(), 'the change to be seen')
    m.edn.write_text(m.edn_text().replace(':light', ':blue'))
    (m.mnt / 'notes/x.json').write_text('[5]')
    m.sync()
    assert ':blue' in (m.mnt / 'config.json').read_text()
    assert ':blue' in m.edn_text() and ':notes/x [5]' in m.edn_text()
    one.end()
    soon(lambda: health(m)['status'] == 'healthy', 'it to be watched')
    m.edn.write_text(m.edn_text().replace(':blue', ':red'))
    soon(lambda: ':red' in (m.mnt / 'config.json').read_text(), 'the change to be seen')


@pytest.mark.parametrize('at', range(1, 5))
def test_a_store_that_can_not_be_opened_at_the_start(mount, build_dir, at):
    """Then it is not mounted, instead of being confined to where it can keep nothing."""
    m = mount.prepare(FIRST, ('edn_delay=5',)).mount()
    m.unmount()
    counts = m.base / 'counts'
    m.env = callpoint.environment(build_dir, counts, at, 'fails', count='calls', below=m.base, only='open64 store',
                                  error=errno.EMFILE)
    m.expect_stderr('.')
    m.spawn()
    wait_until(lambda: m.proc.poll() is not None or is_mounted(m.mnt), 'the mount')
    if is_mounted(m.mnt):
        (m.mnt / 'notes/x.json').unlink()
        assert (m.mnt / 'notes').is_dir() and callpoint.counted(counts).met
    else:
        assert m.wait_exit() > 0 and 'store: Too many open files' in m.stderr()
        m.env = None
        m.mount()


@pytest.mark.parametrize('side', ['fails', 'short'])
@pytest.mark.parametrize('at', [1, 2])
def test_a_large_file_that_is_read_in_two_halves(mount, build_dir, at, side):
    """Of which one can't be, or comes in pieces."""
    m = mount.prepare('{%s}' % ' '.join(f':n{i} "{"a" * 999}"' for i in range(17_000)))
    m.env = callpoint.environment(build_dir, m.base / 'counts', at, side, count='calls', below=m.base,
                                  only='pread64 memory.edn', error=errno.EIO)
    if side == 'fails':
        m.expect_stderr('.')
        m.spawn()
        assert m.wait_exit() > 0 and 'reading it: Input/output error' in m.stderr()
        m.env = None
    m.mount()
    assert len((m.mnt / 'n16999.json').read_text()) == len((m.mnt / 'n0.json').read_text()) == 1002
    assert sum(1 for _ in m.mnt.iterdir()) == 17_000


@pytest.mark.parametrize('side', ['fails', 'short'])
def test_a_large_text_that_was_put_away(mount, build_dir, side):
    """What is written anew of it is read from there: not at once, or in pieces."""
    text = '{%s}' % ' '.join(f':n{i} "{"a" * 999}"' for i in range(17_000))
    m = mount.prepare(text, ('edn_delay=5',))
    m.env = callpoint.environment(build_dir, m.base / 'counts', 3, side, count='calls', below=m.base,
                                  only='pread64 store/#', error=errno.EIO)
    m.mount()
    wait_until(lambda: mapped_mb(m.proc.pid) > 16, 'the text to be put away')
    if side == 'fails':
        m.expect_stderr('reading what is to be written: Input/output error')
    (m.mnt / 'n8.json').write_text('1')
    wait_until(lambda: callpoint.counted(m.base / 'counts').met, 'the one to be met')
    wait_until(lambda: m.edn_text() == text.replace(f':n8 "{"a" * 999}"', ':n8 1'), 'the save to be in memory.edn')
    soon(lambda: health(m)['status'] == 'healthy', 'health')
    assert not list(m.base.glob('.memory.edn.ourofs-*'))


@pytest.mark.parametrize('path', ['store/data.mdb', 'store/saved/data.mdb'])
def test_a_store_that_was_being_made_when_it_was_killed(mount, build_dir, path):
    """With half of what it begins with."""
    m = mount.prepare(FIRST, ('edn_delay=5',))
    m.env = callpoint.environment(build_dir, m.base / 'counts', 1, 'torn', below=m.base, only=f'pwrite {path}')
    m.spawn()
    assert m.wait_exit() == -signal.SIGKILL and (m.base / path).stat().st_size == 4096
    m.env = None
    m.mount()
    assert (m.mnt / 'config.json').read_text()
    soon(lambda: health(m)['eav']['state'] == 'ready', 'the EAV store')
    m.remount()
    assert health(m)['status'] == 'healthy'
