# SPDX-License-Identifier: MIT
"""/.metrics: Prometheus's text format to the letter, and counters that count what was done."""
import fcntl
import os
import threading

import pytest

import metrics_reader
from outside import soon
from shell import sh


def metrics(m):
    return metrics_reader.read((m.mnt / '.metrics').read_text())


def value(found, name, **labels):
    metric = found[name if name in found else name.rsplit('_', 1)[0]]
    return metric.samples.get((name, tuple(sorted(labels.items()))), 0)


def grows(m, act, count, name, **labels):
    """Does it grow by count while act() runs? An operation is counted behind its answer."""
    before = metrics(m)
    act()

    def more():
        after = metrics(m)
        metrics_reader.check_grown(before, after)
        return value(after, name, **labels) - value(before, name, **labels)
    soon(lambda: more() >= count, f'{name} {labels} to grow by {count}')
    assert more() == count


def test_the_format(mount, example):
    m = mount(example)
    found = metrics(m)
    assert {'ourofs_operations_total', 'ourofs_operation_duration_seconds', 'ourofs_reads_total',
            'ourofs_read_fallbacks_total', 'ourofs_rejected_saves_total', 'ourofs_commits_total',
            'ourofs_journal_bytes', 'ourofs_edn_rewrites_total', 'ourofs_backlog_changes',
            'ourofs_migration_entities', 'ourofs_entities', 'ourofs_mode', 'ourofs_scratch_bytes',
            'ourofs_open_handles', 'ourofs_uptime_seconds', 'ourofs_build_info'} <= set(found)
    sh(m, 'cat *.json > /dev/null; echo 1 > new.json; rm new.json; echo x > scratch; ls -R > /dev/null')
    after = metrics(m)
    metrics_reader.check_grown(found, after)
    assert value(after, 'ourofs_uptime_seconds') > value(found, 'ourofs_uptime_seconds')


@pytest.mark.parametrize('text', [
    'a 1\n', '# HELP a b\na 1\n', '# HELP a b\n# TYPE a gauge\n', '# HELP a b\n# TYPE a counter\na 1\n',
    '# HELP a b\n# TYPE a gauge\na 1\na 1\n', '# HELP a b\n# TYPE a gauge\na{b="\\x"} 1\n',
    '# HELP a b\n# TYPE a gauge\na{b="1",} 1\n', '# HELP a b\n# TYPE a gauge\na 1', 'x',
    '# HELP a b\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n',
    '# HELP a b\n# TYPE a histogram\na_bucket{le="+Inf"} 2\na_sum 1\na_count 1\n'])
def test_the_reader_is_strict(text):
    with pytest.raises((AssertionError, ValueError)):
        metrics_reader.read(text)


def test_operations(mount):
    m = mount('{:config {:a 1}}')
    path = m.mnt / 'config.json'
    name = 'ourofs_operations_total'

    def refused():
        with pytest.raises(OSError):
            path.write_text('{"a":')
    grows(m, refused, 1, name, operation='flush', result='EBADMSG')
    grows(m, refused, 1, 'ourofs_rejected_saves_total')
    grows(m, lambda: (m.mnt / 'none.json').exists(), 1, name, operation='lookup', result='ENOENT')
    grows(m, lambda: (m.mnt / 'd').mkdir(), 1, name, operation='mkdir', result='ok')
    grows(m, lambda: (m.mnt / 'd').rmdir(), 1, 'ourofs_operation_duration_seconds_count', operation='rmdir')
    # answered by another thread, behind the kernel's cache
    grows(m, lambda: path.unlink(), 1, name, operation='unlink', result='ok')

    fd = os.open(m.mnt / '.mode', os.O_WRONLY)

    def bad_word():
        with pytest.raises(OSError):
            os.write(fd, b'bogus')
    grows(m, bad_word, 1, name, operation='write', result='EINVAL')
    os.close(fd)


def test_an_operation_that_takes_long(mount):
    """The time is that until the answer, also where another thread gives it."""
    m = mount('{:config 1}', 'edn_delay=60000')
    (m.mnt / 'config.json').write_text('2')
    before = metrics(m)
    (m.mnt / '.sync').write_text('1')
    after = metrics(m)
    took = value(after, 'ourofs_operation_duration_seconds_sum', operation='write') - \
        value(before, 'ourofs_operation_duration_seconds_sum', operation='write')
    assert took > 0
    assert value(after, 'ourofs_edn_rewrites_total') - value(before, 'ourofs_edn_rewrites_total') == 1
    assert value(after, 'ourofs_backlog_changes', store='edn') == 0
    assert value(after, 'ourofs_edn_last_rewrite_seconds') > 0


def test_a_lock_that_is_waited_for(mount):
    m = mount('{:config 1}')
    name = 'ourofs_operations_total'

    def try_it():
        with open(m.mnt / 'config.json') as one, open(m.mnt / 'config.json') as other:
            fcntl.flock(one, fcntl.LOCK_EX)
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    grows(m, try_it, 1, name, operation='flock', result='EAGAIN')


def test_reads_by_source(mount):
    m = mount('{:config {:a 1} :other 2}', 'edn_delay=60000')

    def drop_and_read(*names):
        def run():
            for name in names:
                fd = os.open(m.mnt / name, os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.read(fd, 100)
                os.close(fd)
        return run
    grows(m, drop_and_read('config.json'), 1, 'ourofs_reads_total', source='edn')
    grows(m, drop_and_read('other.json'), 1, 'ourofs_read_fallbacks_total')
    (m.mnt / 'config.json').write_text('{"a": 2}')
    m.sync()
    grows(m, drop_and_read('config.json'), 1, 'ourofs_reads_total', source='eav')
    (m.mnt / '.mode').write_text('edn-only')
    grows(m, drop_and_read('other.json'), 0, 'ourofs_read_fallbacks_total')


def test_gauges(mount):
    m = mount('{:a 1 :b 2}')
    before = metrics(m)
    assert value(before, 'ourofs_entities', store='edn') == 2
    assert [value(before, 'ourofs_mode', mode=mode)
            for mode in ('edn-only', 'dual-write', 'datalevin-first', 'datalevin-only')] == [0, 0, 1, 0]
    handles = value(before, 'ourofs_open_handles')
    with open(m.mnt / 'a.json'), open(m.mnt / 'b.json'):
        assert value(metrics(m), 'ourofs_open_handles') == handles + 2
    (m.mnt / 'scratch').write_bytes(b'x' * 5000)
    assert value(metrics(m), 'ourofs_scratch_bytes') >= 5000
    (m.mnt / 'c.json').write_text('3')
    assert value(metrics(m), 'ourofs_commits_total') == value(before, 'ourofs_commits_total') + 1
    assert value(metrics(m), 'ourofs_events_total', event='memory/save') == 1
    m.sync()
    (m.mnt / '.migrate').write_text('all')
    soon(lambda: value(metrics(m), 'ourofs_migration_state', state='done'), 'the migration')
    assert value(metrics(m), 'ourofs_migration_entities', state='total') >= 3
    assert value(metrics(m), 'ourofs_entities', store='eav') == 3
    assert all(value(metrics(m), 'ourofs_store_up', store=store) == 1
               for store in ('edn', 'eav', 'saved', 'journal', 'memory'))


def test_under_load(mount):
    """Each print is well-formed and no counter falls, whatever goes on beside."""
    m = mount('{}', 'edn_delay=10')
    stop = threading.Event()
    done = [0, 0, 0]

    def write(number):
        while not stop.is_set():
            (m.mnt / f'w{number}.json').write_text(str(done[number]))
            done[number] += 1
    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(done))]
    for thread in threads:
        thread.start()
    try:
        before = metrics(m)
        for _ in range(60):
            after = metrics(m)
            metrics_reader.check_grown(before, after)
            before = after
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert value(metrics(m), 'ourofs_events_total', event='memory/save') == sum(done)
