# SPDX-License-Identifier: MIT
"""Plays a script on a mount of which one call fails, and says how what is there afterwards is not as it must be.

    fault = Fault(build_dir, m)
    said = fault.play(script, tree, at=3, side='fails', error=errno.EIO)

What was acknowledged is there, what was refused was refused with an errno and is there or not, as a whole; then all
goes on as if nothing had been, at the latest after a remount. Both stores are read without ourofs.
"""
import errno
import json
import os
import re
import subprocess

import pytest

import callpoint
import tree_model
from conftest import is_mounted, take_away, wait_until

# ---- which calls, and how they fail ----

ERRORS = {
    'open': ['EIO', 'EMFILE', 'ENOSPC'], 'creat': ['EIO'],
    'read': ['EIO', 'EINTR', 'short'], 'pread': ['EIO', 'EINTR', 'short'],
    'write': ['EIO', 'ENOSPC', 'EDQUOT', 'EINTR', 'short', 'done'],
    'pwrite': ['EIO', 'ENOSPC', 'EDQUOT', 'EINTR', 'short', 'done'],
    'fsync': ['EIO', 'ENOSPC', 'done'], 'fdatasync': ['EIO', 'ENOSPC', 'done'], 'syncfs': ['EIO'],
    'rename': ['EIO', 'ENOSPC', 'EDQUOT', 'done'], 'unlink': ['EIO', 'EDQUOT', 'done'], 'mkdir': ['EIO', 'ENOSPC'],
    'ftruncate': ['EIO', 'EINTR'], 'fallocate': ['EIO', 'ENOSPC', 'EINTR'],
    'mmap': ['ENOMEM'], 'inotify': ['ENOSPC'],
}


def errors_of(call):
    """The longest name that the call's begins with says them."""
    known = [name for name in ERRORS if call.startswith(name)]
    return ERRORS[max(known, key=len)] if known else ['EIO']


def words_of(error):
    if error == 'short':
        return {'side': 'short'}
    if error == 'done':
        return {'side': 'done', 'error': errno.EIO}
    return {'side': 'fails', 'error': getattr(errno, error)}


def wanted(points, most):
    """OUROFS_FAULTS: all, or the name of one error."""
    return points if 'OUROFS_FAULTS' in os.environ else points[::-(-len(points) // most)]


def points_of_files(calls):
    """Each call and each way that it can fail: (words for people, words for callpoint.h)."""
    return [((n, call, error), {'at': n, **words_of(error)}) for n, call in enumerate(calls, 1)
            for error in errors_of(call) if os.environ.get('OUROFS_FAULTS', 'all') in ('all', error)]


def points_of_memory(places):
    return [(place, {'at': place.split(' ')[1], 'side': 'fails', 'error': errno.ENOMEM}) for place in places]


def log(*words):
    """At once: a long run need not be waited for."""
    if 'OUROFS_FAULTS_LOG' in os.environ:
        with open(os.environ['OUROFS_FAULTS_LOG'], 'a', encoding='utf-8') as file:
            print(*words, file=file)


# ---- a mount ----

GONE = (errno.ENOTCONN, errno.ECONNABORTED)


class Wrong(Exception):
    """What may never be, whatever fails."""


class Fault:
    def __init__(self, build_dir, m, ctl):
        """m is mounted once and unmounted."""
        self.build_dir = build_dir
        self.m = m
        self.ctl = ctl
        self.counts = m.base / 'counts'
        self.kept = callpoint.Kept(m)
        self.refused = []
        self.counts_memory = False
        self.bearable = set()  # causes of bad health that need not end
        m.expect_stderr('.')

    def calls(self, script, tree, **words):
        """All calls of a run in which none fails."""
        said = self.play(script, tree, **words)
        assert not said, said
        return callpoint.counted(self.counts).calls

    def play_all(self, name, script, tree, count, most):
        """Each call on files, or each place that asks for memory, fails in its turn; in CI `most` of them."""
        points = (points_of_files if count == 'calls' else points_of_memory)(self.calls(script, tree, count=count))
        points = wanted(points, most)
        failures = []
        for point, words in points:
            said = self.play(script, tree, count=count, **words)
            if said:
                failures.append((point, self.call(words['at']), said))
                log(name, *failures[-1])
        log(name, count, os.environ.get('OUROFS_FAULTS'), f'{len(points)} points, {len(failures)} failures')
        assert not failures, '\n'.join([f'{len(failures)} of {len(points)} points'] + [str(one) for one in failures])

    def play(self, script, tree, **words):
        """Returns what was wrong, a line each."""
        self.kept.restore('first')
        self.counts.unlink(missing_ok=True)
        self.m.env = callpoint.environment(self.build_dir, self.counts, below=self.m.base, **words)
        self.refused = []
        self.counts_memory = words['count'] == 'memory'
        self.m.log.unlink(missing_ok=True)
        try:
            tree = self.serve(script, tree)
            tree = self.serve([('save', 'again.json', b'1'), ('sync',)], tree)
            self.m.env = None
            tree = self.serve([('save', 'at-last.json', b'2'), ('sync',)], tree, well=True)
            self.look_offline(tree)
        except Wrong as wrong:
            self.give_up()
            return [str(wrong), *self.refused, *self.m.stderr().splitlines()[-5:]]
        return []

    def give_up(self):
        if self.m.proc.poll() is None:
            self.m.proc.kill()
            self.m.wait_exit()
        if is_mounted(self.m.mnt):
            subprocess.run(['fusermount3', '-u', '-z', str(self.m.mnt)], check=True)

    def call(self, number):
        """What failed in truth: from run to run their order differs a little."""
        calls = callpoint.counted(self.counts).calls
        return calls[number - 1] if isinstance(number, int) and number <= len(calls) else number

    def met(self):
        return callpoint.counted(self.counts).met

    # ---- while it is mounted ----

    def serve(self, script, tree, well=False):
        """well: nothing may fail."""
        m = self.m
        refused = len(self.refused)
        m.spawn()
        wait_until(lambda: m.proc.poll() is not None or is_mounted(m.mnt), 'the mount')
        if m.proc.poll() is not None:
            self.expect_end('the mount')
            if well:
                raise Wrong(f'can not be mounted any more: {m.stderr()[-1000:]}')
            return tree
        for operation in script:
            tree = self.perform(operation, tree)
        if well and len(self.refused) > refused:
            raise Wrong(f'fails when nothing does any more: {self.refused[refused:]}')
        self.settle()
        self.compare(tree)
        try:
            take_away(m.mnt, m.proc)
        except subprocess.CalledProcessError as error:
            raise Wrong(error.stderr) from error
        if m.wait_exit() != 0:
            self.expect_end('the unmount')
            if well:
                raise Wrong(f'ended with {m.proc.returncode} when nothing failed: {m.stderr()[-1000:]}')
        return tree

    def expect_end(self, what):
        """It may end where a call failed, by itself, and with a reason."""
        if self.m.proc.returncode < 0:
            raise Wrong(f'died of signal {-self.m.proc.returncode} in {what}')
        if self.m.proc.returncode == 0 or not self.met() or not self.m.stderr():
            raise Wrong(f'{what} ended with {self.m.proc.returncode}: {self.m.stderr()!r}')
        self.refused.append(f'{what}: {self.m.stderr().splitlines()[-1]}')

    def perform(self, operation, tree):
        try:
            then = tree.after(operation)
        except KeyError:
            return tree  # on what an operation that was refused had to make
        try:
            tree_model.perform(self.m.mnt, operation)
        except OSError as error:
            return self.judge(operation, tree, error)
        return then

    def judge(self, operation, tree, error):
        name = ' '.join(word for word in operation[:3] if isinstance(word, str))
        self.refused.append(f'{name}: {error.strerror}')
        if self.m.proc.poll() is not None or error.errno in GONE or not self.met():
            raise Wrong(f'{name}: {error}, status {self.m.proc.poll()}')
        found = self.look()
        for may_be in (tree, tree.after(operation), *tree.amid(operation, found), *self.begun(operation, tree)):
            if not self.differences(may_be, found):
                return may_be
        raise Wrong(f'{name} left something half done: {tree.differences(found)}')

    @staticmethod
    def begun(operation, tree):
        """A file that was made, and could not be written."""
        if operation[0] in ('save', 'save_synced') and operation[1] not in tree.files:
            return [tree.after(('touch', operation[1]))]
        return []

    def differences(self, tree, found):
        said = tree.differences(found)
        if self.counts_memory:  # a directory's mode and time are left to chance then (fs/settle.c)
            said = [line for line in said if not re.search('/: mode [0-7]+, not mode', line)]
        return said

    def look(self):
        """The call that fails may be one of these, too."""
        try:
            return tree_model.look(self.m.mnt)
        except OSError as error:
            self.refused.append(f'looking at it: {error}')
        try:
            return tree_model.look(self.m.mnt)
        except OSError as error:
            raise Wrong(f'can not be looked at: {error}') from None

    def compare(self, tree):
        said = self.differences(tree, self.look())
        if said:
            raise Wrong(f'not as it was acknowledged: {said}')

    def health(self):
        try:
            return json.loads((self.m.mnt / '.health').read_text())
        except OSError as error:
            return {'status': error.strerror, 'causes': [{'cause': None}]}

    def settle(self):
        """One call failed: in a while all is well, and it says so; or that it is to be mounted again."""
        def is_settled():
            said = self.health()
            if 'change-cut-short' in json.dumps(said):
                self.refused.append('a change was cut short')
                return True
            if said['status'] != 'healthy' and not {cause['cause'] for cause in said['causes']} <= self.bearable:
                return False
            try:
                self.m.sync()
            except OSError as error:
                self.refused.append(f'sync: {error.strerror}')
                return False
            return True
        try:
            wait_until(is_settled, 'health', 20)
        except pytest.fail.Exception as failed:
            raise Wrong(f'never well again: {self.health()}') from failed

    # ---- on the disk ----

    def look_offline(self, tree):
        found = tree_model.memory_of(self.m.edn_text())
        if found != tree.memory():
            raise Wrong(f'memory.edn: {self.m.edn_text()[:2000]}')
        said = tree_model.compare_stores(self.m)
        if said:
            raise Wrong(f'the EAV store: {said}')
        checked = subprocess.run([self.ctl, 'check', str(self.m.store)], capture_output=True, text=True)
        if checked.returncode:
            raise Wrong(f'check: {checked.returncode} {checked.stdout}{checked.stderr}')
        left = [path.name for path in self.m.base.iterdir() if path.name.startswith('memory.edn')]
        if left != ['memory.edn']:
            raise Wrong(f'left beside memory.edn: {left}')
