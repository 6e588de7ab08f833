# SPDX-License-Identifier: MIT
"""The filesystems that are measured side by side, as daemons that are mounted and unmounted."""
import json
import os
import pathlib
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = pathlib.Path('/usr/share/doc/libfuse3-dev/examples')
DESCRIPTORS = 1 << 19  # passthrough_ll holds one for each file it was asked for


def raise_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    want = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (want, hard))


def generated(build, keys):
    """A memory.edn of every family of keys, so many of them; made once, beside the build."""
    edn = build / 'bench' / f'memory-{keys}.edn'
    edn.parent.mkdir(exist_ok=True)
    if not edn.exists():
        with open(edn, 'w') as out:
            subprocess.run([sys.executable, TOP / 'tests/bench/gen_memory.py', '--keys', str(keys)],
                           check=True, stdout=out)
    return edn


def status_kb(pid, field):
    """What a process holds: VmRSS, or RssAnon, without what is mapped, which is the page cache's."""
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    return int(re.search(rf'{field}:\s+(\d+) kB', status)[1])


class Peer:
    """A daemon in the foreground on a mountpoint of its own below base."""

    def __init__(self, name, base, *command):
        self.name = name
        self.mnt = base / f'{name}-mnt'
        self.mnt.mkdir(exist_ok=True)
        self.command = [str(word) for word in command] + [str(self.mnt)]
        self.daemon = None

    def start(self):
        self.daemon = subprocess.Popen(self.command, preexec_fn=raise_descriptors)
        while not os.path.ismount(self.mnt):
            if self.daemon.poll() is not None:
                raise RuntimeError(f'{self.name}: the mount failed')
            time.sleep(0.001)
        return self

    def stop(self):
        if self.daemon:
            subprocess.run(['fusermount3', '-u', self.mnt], check=True)
            self.daemon.wait()
            self.daemon = None

    def remount(self):
        """Nothing is in the kernel's caches of it any more, nor in the daemon's."""
        self.stop()
        self.start()

    def settle(self):
        """Work that goes on behind what was asked is done."""

    def cpu_ns(self):
        """What the threads that it has now have run."""
        return sum(int(path.read_text().split()[0])
                   for path in pathlib.Path(f'/proc/{self.daemon.pid}/task').glob('*/schedstat'))


class Ourofs(Peer):
    def __init__(self, base, build, edn, name='ourofs', options=''):
        copy = base / f'{name}.edn'
        shutil.copyfile(edn, copy)
        super().__init__(name, base, build / 'fs/ourofs', '-f',
                         '-o', f'store={base}/{name}-store{options and "," + options}', copy)

    def settle(self):
        (self.mnt / '.sync').write_text('1')

    def health(self):
        return json.loads((self.mnt / '.health').read_text())

    def migrate(self):
        (self.mnt / '.migrate').write_text('all')
        while (now := json.loads((self.mnt / '.migrate').read_text()))['state'] == 'running':
            time.sleep(0.01)
        if now['state'] != 'done':
            raise RuntimeError(f'the migration ended as {now}')
        self.settle()


def build_passthrough(base):
    """libfuse's own example, from the documentation of its package; None where that is not installed."""
    packed = EXAMPLES / 'passthrough_ll.c.gz'
    if packed.exists():
        source = base / 'passthrough_ll.c'
        source.write_bytes(subprocess.run(['zcat', packed], check=True, capture_output=True).stdout)
    else:
        source = EXAMPLES / 'passthrough_ll.c'
    if not source.exists():
        return None
    flags = subprocess.run(['pkg-config', '--cflags', '--libs', 'fuse3'], check=True,
                           capture_output=True, text=True).stdout
    binary = base / 'passthrough_ll'
    subprocess.run(['cc', '-O2', '-w', '-o', binary, source, f'-I{EXAMPLES}', *shlex.split(flags)],
                   check=True)
    return binary


class Peers:
    """ourofs over edn, and over copies of its files passthrough_ll on tmpfs and the floor.

    As a context: what is mounted is unmounted at its end, and all of it removed.
    """

    def __init__(self, build, edn, migrated=True):
        self.build = build
        self.base = pathlib.Path(tempfile.mkdtemp(prefix='peers-', dir=build))
        self.memory = pathlib.Path(tempfile.mkdtemp(prefix='ourofs-bench-', dir='/dev/shm'))
        self.all = []
        try:
            self.ourofs = self.add(Ourofs(self.base, build, edn))
            if migrated:
                self.ourofs.migrate()
            self.plain = self.memory / 'plain'
            subprocess.run(['cp', '-a', self.ourofs.mnt, self.plain], check=True)
            self.floor = self.add(Peer('floor', self.base, build / 'tests/null_fs', self.plain))
            self.binary = build_passthrough(self.base)
            self.passthrough = self.add_passthrough('passthrough_ll', self.plain)
        except BaseException:
            self.close()
            raise
        self.disk = self.base / 'disk'
        self.disk.mkdir()
        self.paths = sorted(str(path.relative_to(self.plain))
                            for path in self.plain.rglob('*.json') if path.is_file())
        (self.disk / self.paths[0]).parent.mkdir(parents=True, exist_ok=True)

    def add(self, peer):
        self.all.append(peer.start())
        return peer

    def add_passthrough(self, name, source, options=''):
        return self.binary and self.add(
            Peer(name, self.base, self.binary, '-f', '-o',
                 f'source={source},cache=always,timeout=600,max_threads=10{options and "," + options}'))

    def add_savers(self):
        """Peers for what is saved: the floor with a journal; and passthrough_ll with ourofs's mount options, for which
        the kernel asks more often, over tmpfs and over the disk."""
        self.add(Peer('floor, journal', self.base, self.build / 'tests/null_fs', '-j', self.base / 'journal', self.plain))
        for name, source in (('strict', self.plain), ('strict on disk', self.disk)):
            self.add_passthrough(name, source, 'xattr,default_permissions')

    def drop_savers(self):
        for peer in self.some('floor, journal', 'strict', 'strict on disk'):
            peer.stop()
            self.all.remove(peer)

    def some(self, *names):
        """Those of these names that there are."""
        return [peer for peer in self.all if peer.name in names]

    def close(self):
        """Each is unmounted that can be; where one can't, what it is mounted on stays."""
        failures = []
        for peer in self.all:
            try:
                peer.stop()
            except subprocess.CalledProcessError as error:
                failures.append(f'{peer.name}: {error}')
        if failures:
            raise RuntimeError(f'{"; ".join(failures)} ({self.base} and {self.memory} are left)')
        shutil.rmtree(self.base)
        shutil.rmtree(self.memory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
