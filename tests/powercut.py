#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Cuts the power below ourofs: what was synced must be there afterwards. As root, by hand:

    tests/powercut.py [-n CYCLES] [-b BUILD] [--seed N] [--big] [ext4|xfs ...]

The memory and its store are on a file system in an image. While writers save, sync and take note of what
was acknowledged (outside of it), that file system is shut down without flushing its log, which
is what a power cut does to it; then it is mounted again, ourofs on it, and all is compared.
"""
import argparse
import fcntl
import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading

import tree_model
from conftest import BOUND_S, find_build, is_mounted, wait_until
from kill_storm import ABSENT, History, content_of

SHUTDOWN = 2 << 30 | 4 << 16 | ord('X') << 8 | 125  # _IOR('X', 125, uint32_t), ext4's and XFS's
NO_LOG_FLUSH = 2
IMAGE_BYTES = 400 << 20
MAKE = {'ext4': ['mkfs.ext4', '-q', '-F'], 'xfs': ['mkfs.xfs', '-q', '-f']}
CHECK = {'ext4': ['e2fsck', '-f', '-n'], 'xfs': ['xfs_repair', '-n']}
WRITERS = 3
BIG_BYTES = 17 << 20


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Disk:
    def __init__(self, kind, base):
        self.kind = kind
        self.image = base / 'image'
        self.at = base / 'disk'
        self.at.mkdir()
        with self.image.open('wb') as file:
            file.truncate(IMAGE_BYTES)
        run(*MAKE[kind], str(self.image))

    def mount(self):
        run('mount', '-o', 'loop', str(self.image), str(self.at))

    def unmount(self):
        """The guardian of a daemon that was killed has its files mapped a moment longer."""
        wait_until(lambda: subprocess.run(['umount', str(self.at)], stderr=subprocess.DEVNULL).returncode == 0,
                   f'the unmount of {self.at}')
        # A copy of the mount in someone's new namespace would keep what was shut down, and be met again.
        wait_until(lambda: not subprocess.run(['losetup', '-j', str(self.image)], check=True, capture_output=True).stdout,
                   'the image to be nobody\'s')

    def cut(self):
        fd = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack('I', NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def check(self):
        done = subprocess.run([*CHECK[self.kind], str(self.image)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


class Daemon:
    def __init__(self, program, base, disk):
        self.mnt = base / 'mnt'
        self.mnt.mkdir()
        self.edn = disk.at / 'memory.edn'
        self.log = base / 'stderr'
        self.command = [str(program), '-f', '-o', f'edn_delay=20,store={disk.at / "store"}', str(self.edn),
                        str(self.mnt)]

    def mount(self):
        with self.log.open('ab') as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        wait_until(lambda: self.process.poll() is not None or is_mounted(self.mnt), 'the mount')
        assert self.process.poll() is None, self.log.read_text()

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait(BOUND_S)
        if is_mounted(self.mnt):
            run('fusermount3', '-u', '-z', str(self.mnt))


class Writer:
    """Its own files and what of them is known to be on disk."""

    def __init__(self, mnt, number, rng):
        self.mnt = mnt
        self.rng = rng
        self.directory = f'd{number}'
        self.number = 0
        self.documents = {f'{self.directory}/a.json': History(ABSENT),
                          f'presence/{self.directory}/m.json': History(ABSENT)}
        self.plain = History(ABSENT)   # a root's document, which memory.edn itself is asked for
        self.plain_path = f'p{number}.json'
        self.scratch = History(ABSENT)
        self.backup = History((ABSENT, ABSENT))  # a document, and the scratch file that it is renamed to
        self.made = 0
        self.ideas = 0
        for where in (self.directory, f'presence/{self.directory}'):
            os.makedirs(mnt / where)

    def content(self):
        self.number += 1
        return b'{"number": %d, "pad": "%s"}' % (self.number, b'x' * self.rng.choice([0, 5000, 100_000]))

    def sync_name(self, path):
        tree_model.fsync((self.mnt / path).parent)

    def sync_all(self):
        (self.mnt / '.sync').write_bytes(b'1\n')

    def by_rename(self, path, content):
        temporary = self.mnt / os.path.dirname(path) / '.tmp'
        tree_model.write(temporary, content, True)
        os.rename(temporary, self.mnt / path)
        self.sync_name(path)

    def gone(self, path):
        os.unlink(self.mnt / path)
        self.sync_name(path)

    def save_document(self):
        path, book = self.rng.choice(list(self.documents.items()))
        content = self.content()
        how = self.rng.randrange(6)
        if how == 0 and book.last is not ABSENT:
            book.change(ABSENT, self.gone, path)
        elif how == 1:
            book.change(content, self.by_rename, path, content)
        elif how == 2:  # nothing is promised yet
            book.states.append(content)
            tree_model.write(self.mnt / path, content)
        else:
            book.change(content, tree_model.write, self.mnt / path, content, True)

    def save_plain(self):
        content = self.content()

        def save():
            tree_model.write(self.mnt / self.plain_path, content)
            self.sync_all()
        self.plain.change(content, save)

    def save_scratch(self):
        content = self.content()
        self.scratch.change(content, self.by_rename, f'{self.directory}/notes.txt', content)

    def set_aside(self):
        """As editors do: the backup is for a moment the only copy."""
        path, aside = (self.mnt / self.directory / name for name in ('b.json', 'b.json~'))
        content = self.content()

        def rename():
            os.rename(path, aside)
            if self.rng.random() < 0.5:
                self.sync_all()
            else:
                self.sync_name(aside)
        if self.backup.last[0] is ABSENT:
            self.backup.change((content, self.backup.last[1]), tree_model.write, path, content, True)
        else:
            self.backup.change((ABSENT, self.backup.last[0]), rename)

    def make_directory(self):
        os.mkdir(self.mnt / self.directory / f'made{self.made}')
        self.sync_all()
        self.made += 1

    def fill_or_empty(self):
        """A directory that is promised, though not what comes to be in it."""
        if not self.made:
            return
        path = self.mnt / self.directory / f'made{self.rng.randrange(self.made)}/in.json'
        if path.exists():
            path.unlink()
        else:
            tree_model.write(path, b'1')

    def note_idea(self):
        tree_model.write(self.mnt / self.directory / f'idea{self.ideas}', b'1')
        self.sync_all()
        self.ideas += 1

    def keep_idea(self):
        """Until that is promised either name may have it. The last one's sync may have been cut: empty, it is no document."""
        name = self.mnt / self.directory / f'idea{self.rng.randrange(self.ideas + 1)}'
        if name.exists() and name.stat().st_size:
            os.rename(name, f'{name}.json')

    def step(self):
        self.rng.choice([self.save_document] * 5 + [
            self.save_plain, self.save_scratch, self.set_aside, self.make_directory, self.fill_or_empty, self.note_idea,
            self.keep_idea])()

    def books(self):
        return [*self.documents.items(), (self.plain_path, self.plain),
                (f'{self.directory}/notes.txt', self.scratch)]

    def promises(self):
        return [book.acknowledged for _, book in self.books()], self.backup.acknowledged, self.made, self.ideas

    def take_back(self, promises):
        for (_, book), acknowledged in zip(self.books(), promises[0]):
            book.acknowledged = acknowledged
        self.backup.acknowledged, self.made, self.ideas = promises[1:]

    def compare_backup(self):
        seen = tuple(content_of(self.mnt / self.directory / name) for name in ('b.json', 'b.json~'))
        may_be = self.backup.states[self.backup.acknowledged:]
        # Amid the rename both names have it.
        may_be += [(now[1], now[1]) for now in may_be[1:]]
        assert seen in may_be, f'{self.directory}/b.json and its backup: {short(seen)}, not {short(may_be)}'
        self.backup.goes_on_from(seen if seen[0] != seen[1] else (seen[0], ABSENT))
        if seen[0] == seen[1] and seen[0] is not ABSENT:
            os.unlink(self.mnt / self.directory / 'b.json~')

    def compare(self):
        for path, book in self.books():
            seen = content_of(self.mnt / path)
            book.check(path, seen, book.acknowledged)
            book.goes_on_from(seen)
        self.compare_backup()
        for number in range(self.made):
            assert (self.mnt / self.directory / f'made{number}').is_dir(), f'made{number} is lost'
        while (self.mnt / self.directory / f'made{self.made}').is_dir():
            self.made += 1
        for number in range(self.ideas):
            assert any((self.mnt / self.directory / f'idea{number}{end}').exists() for end in ('', '.json')), \
                f'idea{number} is lost'

    def compare_edn(self, keys):
        value = keys.get(('kw', self.plain_path[:-len('.json')]), ABSENT)
        values = [state and tree_model.value_of(state) for state in self.plain.states[self.plain.acknowledged:]]
        assert value in values, f'memory.edn has an old {self.plain_path}'


def short(thing):
    return [short(part) for part in thing] if isinstance(thing, (list, tuple)) else thing and thing[:24]


class Cut:
    """The writers at work until the power goes."""

    def __init__(self, writers):
        self.writers = writers
        self.off = False
        self.failures = []

    def work(self, writer):
        try:
            while not self.off:
                promises = writer.promises()
                writer.step()
                # Where the power is cut an fsync never returns. Amid a shutdown it may, and nothing be there:
                # so it is with plain files on both file systems.
                if self.off:
                    writer.take_back(promises)
        except OSError as error:
            if not self.off:
                self.failures.append(f'{writer.directory}: {error}')

    def go(self, after_s, disk, daemon):
        threads = [threading.Thread(target=self.work, args=(writer,), daemon=True)
                   for writer in self.writers]
        for thread in threads:
            thread.start()
        threading.Event().wait(after_s)
        self.off = True
        disk.cut()
        daemon.end(signal.SIGKILL)
        for thread in threads:
            thread.join(BOUND_S)
        assert not self.failures, self.failures


def cycles(kind, count, program, base, rng, ballast):
    disk = Disk(kind, base)
    disk.mount()
    daemon = Daemon(program, base, disk)
    daemon.edn.write_text('{:config {:v 1} ;%s\n}\n' % ('x' * ballast))
    daemon.mount()
    writers = [Writer(daemon.mnt, number, random.Random(rng.random())) for number in range(WRITERS)]
    writers[0].sync_all()
    try:
        for cycle in range(count):
            Cut(writers).go(rng.uniform(0.02, 0.6), disk, daemon)
            disk.unmount()
            disk.mount()
            disk_text = daemon.edn.read_text()
            daemon.mount()
            wrong = []
            for check in [lambda w=w: w.compare_edn(tree_model.memory_of(disk_text)) for w in writers] + \
                    [w.compare for w in writers]:
                try:
                    check()
                except AssertionError as error:
                    wrong.append(str(error))
            writers[0].sync_all()
            print(f'{kind} {cycle + 1}/{count}: {sum(w.number for w in writers)} saves so far',
                  *wrong, sep='\n  ', flush=True)
            if wrong:
                return 1
            text = daemon.edn.read_text()
            assert tree_model.memory_of(text) == tree_model.look(daemon.mnt, text).memory()
    finally:
        daemon.end(signal.SIGTERM)
        disk.unmount()
    disk.check()
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('kinds', nargs='*', metavar='ext4|xfs', default=[])
    parser.add_argument('-n', '--cycles', type=int, default=20)
    parser.add_argument('-b', '--build', type=pathlib.Path)
    parser.add_argument('-d', '--directory', default='/var/tmp', help='where the images are')
    parser.add_argument('--big', action='store_true', help='a memory.edn so big that its text is kept in a file')
    parser.add_argument('--seed', type=int, default=random.randrange(10**9))
    options = parser.parse_args()
    program = (options.build or find_build()).resolve() / 'fs' / 'ourofs'
    print(f'--seed {options.seed}')
    failed = 0
    for kind in options.kinds or sorted(MAKE):
        with tempfile.TemporaryDirectory(prefix='ourofs-powercut-', dir=options.directory) as base:
            failed |= cycles(kind, options.cycles, program, pathlib.Path(base), random.Random(options.seed),
                             BIG_BYTES if options.big else 0)
    return failed


if __name__ == '__main__':
    sys.exit(main())
