# SPDX-License-Identifier: MIT
"""Other writers of memory.edn: Ouroboros's ways in real Clojure (rival.clj), and its single steps.

    def test_something(mount, rival):
        m = mount('{:a 1}')
        rival.open(m.edn)             # boots: reads the file, for the last time
        rival.put(':b', '{:c 2}')     # in its own memory; in the file 100 ms later
        rival.save_now()              # ... or at once
"""
import os
import subprocess
import time

import edn_reader
from conftest import TESTS


def edn_string(text):
    return '"%s"' % str(text).replace('\\', '\\\\').replace('"', '\\"')


class Rival:
    """One JVM for many tests; open() is a boot of it over another file."""

    def __init__(self):
        # Its output as UTF-8 whatever the locale is.
        environment = os.environ | {'LC_ALL': 'C.UTF-8'}
        self.proc = subprocess.Popen(['clojure', TESTS / 'rival.clj'], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, env=environment, encoding='utf-8')

    def call(self, command, *forms):
        line = ' '.join((command, *forms))
        assert '\n' not in line
        self.proc.stdin.write(line + '\n')
        self.proc.stdin.flush()
        answer = self.proc.stdout.readline().rstrip('\n')
        assert answer and not answer.startswith('error'), f'{line}: {answer or "the rival has ended"}'
        return answer

    def open(self, path, seed=0):
        self.call('open', edn_string(path))
        self.call('seed', str(seed))

    def put(self, key, value):
        self.call('assoc', key, value)

    def put_member(self, key, member, value):
        self.call('update-in', f'[{key}]', 'assoc', member, value)

    def update_in(self, path, function, *args):
        self.call('update-in', path, function, *args)

    def remove(self, key):
        self.call('dissoc', key)

    def remove_member(self, key, member):
        self.call('update-in', f'[{key}]', 'dissoc', member)

    def random(self, count):
        self.call('random', str(count))

    def save_now(self):
        self.call('save-now')

    def settle(self):
        """Returns when no write of its own is under way or to come."""
        self.call('settle')

    def reload(self):
        self.call('reload')

    def wipe(self):
        """A boot that starts empty, and saves that."""
        self.call('wipe')

    def dump(self):
        """What it holds, as edn_reader.memory() has it."""
        return edn_reader.memory(self.call('dump'))

    def read(self, path):
        """What clojure.edn reads in a file."""
        return edn_reader.memory(self.call('read', edn_string(path)))

    def quit(self):
        self.proc.communicate('quit\n', timeout=30)


def write_in_place(path, text, piece=8192, pause_s=0.0):
    """What spit does: the file is there and empty, then cut, then whole. pause_s: after each step."""
    data = text if isinstance(text, bytes) else text.encode()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        time.sleep(pause_s)
        for start in range(0, len(data), piece):
            os.write(fd, data[start:start + piece])
            time.sleep(pause_s)
    finally:
        os.close(fd)


def write_by_rename(path, text):
    other = path.with_name('other')
    other.write_text(text)
    other.rename(path)
