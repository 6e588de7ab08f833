# SPDX-License-Identifier: MIT
"""The control files amid a migration, a validation and writers: each read is one moment's, and nothing hangs."""
import json
import os
import threading

import pytest

from conftest import wait_until
from modes_driver import Writers
from shell import sh

JSON = ('.health', '.migrate', '.validate')
TEXT = ('.mode', '.metrics', '.errors', '.sync', '.help')


class Readers:
    """Read every control file over and over; what they find wrong ends them."""

    def __init__(self, m):
        self.m, self.failures, self.rounds = m, [], 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(2)]

    def read(self, name):
        fd = os.open(self.m.mnt / name, os.O_RDONLY)
        try:
            size = os.fstat(fd).st_size
            content = b''.join(iter(lambda: os.read(fd, 1 << 16), b''))
            if name != '.events':  # which grows, and forgets
                assert size == len(content), f'{name}: {size} and {len(content)}'
                assert os.pread(fd, 50, 0) == content[:50]
            return content
        finally:
            os.close(fd)

    def run(self):
        try:
            while not self.stop.is_set():
                for name in JSON:
                    json.loads(self.read(name))
                for name in TEXT:
                    assert self.read(name).endswith(b'\n') or name == '.errors'
                for line in filter(None, self.read('.events').splitlines()):
                    assert 'event' in json.loads(line)
                migration = json.loads(self.read('.migrate'))
                assert migration['done'] + migration['failed'] <= migration['total']
                assert migration['done'] == sum(row['done'] for row in migration['types'].values())
                self.rounds += 1
        except BaseException as failure:
            self.failures.append(failure)
            raise

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.busy
@pytest.mark.parametrize('listed', (False, True))
def test_everything_at_once(mount, many, listed):
    m = mount(many, *(['control=listed'] if listed else []))
    with Writers(m), Readers(m) as readers:
        for name, word in (('.migrate', 'all'), ('.validate', 'run')):
            (m.mnt / name).write_text(word)
        sh(m, 'find presence -name "*.json" | wc -l | grep -q "^[0-9]...$"')
        sh(m, 'grep -rl "user/name" presence | head -n 3 | wc -l | grep -q 3')
        if listed:
            sh(m, 'mkdir $BASE/copy && cp .[a-z]* $BASE/copy/ 2>/dev/null; test -s $BASE/copy/.events')
            sh(m, 'rsync -a --include="/.[a-z]*" --exclude="*" ./ $BASE/copy2/ && test -s $BASE/copy2/.health')
        wait_until(lambda: readers.failures or json.loads(readers.read('.migrate'))['state'] == 'done',
                   'the migration')
        wait_until(lambda: readers.failures or json.loads(readers.read('.validate'))['state'] == 'done',
                   'the validation')
        wait_until(lambda: readers.failures or readers.rounds > 5, 'readers')
    assert not readers.failures
