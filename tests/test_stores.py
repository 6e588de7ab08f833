# SPDX-License-Identifier: MIT
"""Random changes, switches of the mode, other writers, remounts and kills: all is as the model says.

OUROFS_STORES_EXAMPLES says how many sequences are tried; OUROFS_STORES_SHRINK: one that fails is shrunk.
"""
import ctypes
import importlib
import os
import shutil
import subprocess
import threading

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, \
    run_state_machine_as_test

import edn_reader
from conftest import BOUND_S, examples
from outside import conflicts
from rival import write_in_place
from stores_model import COLLECTIONS, DIRECTORIES, DOCUMENTS, EXCHANGE, MODES, NAMESPACES, NOREPLACE, \
    THERE, Model, edn_of, entity_of, json_of, path_of, print_edn, read_values, values_of

EXAMPLES = int(os.environ.get('OUROFS_STORES_EXAMPLES', examples(60)))
# Shrinking takes minutes: by OUROFS_STORES_SHRINK.
PHASES = [phase for phase in Phase if phase.name not in
          ('explain', '' if os.environ.get('OUROFS_STORES_SHRINK') else 'shrink')]
LIBC = ctypes.CDLL(None, use_errno=True)
WORDS = ('edn-only', 'dual-write', 'datalevin-first', 'datalevin-only')

some_document = st.sampled_from(DOCUMENTS)
some_file = st.integers(0, len(DOCUMENTS) - 1)  # of those that are there; see Stores.file
some_directory = st.sampled_from(DIRECTORIES)
some_pair = st.one_of(*(st.tuples(st.sampled_from(kind), st.sampled_from(kind))
                        for kind in (NAMESPACES, COLLECTIONS)))
some_changes = st.dictionaries(
    st.sampled_from([entity_of(path) for path in DOCUMENTS] +
                    [(key, None) for key in COLLECTIONS]), st.booleans(), min_size=1, max_size=3)
BEGINNINGS = [{}, {('a', None): 1, ('n/c', None): 2, ('presence/s1', None): THERE,
                   ('presence/s1', 'x'): 3, ('presence/s2', None): THERE}]


def outcome(call, *args):
    try:
        call(*args)
    except OSError as error:
        return error.errno
    return 0


def renameat2(old, new, flags):
    if LIBC.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags):
        raise OSError(ctypes.get_errno(), f'{old} -> {new}, flags {flags}')


def shown_value(path):
    try:
        return edn_reader.read_json(path.read_text())
    except FileNotFoundError:
        return None


class Stores(RuleBasedStateMachine):
    def __init__(self, mount, rival):
        super().__init__()
        self.mount, self.rival = mount, rival
        self.m = None
        self.n = 10  # the last value that was given to anything
        self.held = {}  # the other writer's memory
        self.writers = []  # open files, each with its path, or None where it has none any more

    @initialize(beginning=st.sampled_from(BEGINNINGS), furnished=st.booleans())
    def start(self, beginning, furnished):
        self.m = self.mount.prepare(print_edn(beginning), ('edn_delay=5',))
        self.timer = threading.Timer(2 * BOUND_S, self.m.give_up)
        self.timer.daemon = True
        self.timer.start()
        self.m.mount()
        self.model = Model(beginning, 'datalevin-first' if MODES else 'edn-only')
        self.held = dict(beginning)
        for path in DIRECTORIES if furnished else ():
            self.mkdir(path)

    def new_value(self):
        self.n += 1
        return self.n

    def same(self, got, expected):
        assert got == expected

    # ---- through the mount ----

    def put(self, path, by_rename):
        n = self.new_value()
        there = self.m.mnt / path

        def save():
            if not by_rename:
                there.write_text(json_of(n))
                return
            draft = self.m.mnt / 'draft'
            draft.write_text(json_of(n))
            try:
                draft.rename(there)
            except OSError:
                draft.unlink()
                raise
        got = outcome(save)
        self.same(got, self.model.put(path, n))
        if not got and by_rename:
            self.end_writers(path)

    def file(self, number):
        there = sorted(self.model.files())
        return there[number % len(there)] if there else DOCUMENTS[number]

    @rule(path=some_document, by_rename=st.booleans())
    def put_anywhere(self, path, by_rename):
        self.put(path, by_rename)

    @rule(number=some_file, by_rename=st.booleans())
    def put_again(self, number, by_rename):
        self.put(self.file(number), by_rename)

    @rule(number=some_file)
    def delete(self, number):
        path = self.file(number)
        got = outcome(os.unlink, self.m.mnt / path)
        self.same(got, self.model.delete(path))
        if not got:
            self.end_writers(path)

    @rule(number=some_file, new=some_document, flags=st.sampled_from([0, 0, NOREPLACE, EXCHANGE]))
    def rename(self, number, new, flags):
        old = self.file(number)
        got = outcome(renameat2, self.m.mnt / old, self.m.mnt / new, flags)
        self.same(got, self.model.rename(old, new, flags))
        if not got and old != new:
            if flags != EXCHANGE:
                self.end_writers(new)
            moved = {old: new, new: old}
            for writer in self.writers:
                writer[1] = moved.get(writer[1], writer[1])

    def mkdir(self, path):
        self.same(outcome(os.mkdir, self.m.mnt / path), self.model.mkdir(path))

    @rule(path=some_directory)
    def make_directory(self, path):
        self.mkdir(path)

    @rule(path=some_directory)
    def rmdir(self, path):
        got = outcome(os.rmdir, self.m.mnt / path)
        self.same(got, self.model.rmdir(path))
        if not got:
            self.end_writers(path + '/')

    @rule(pair=some_pair)
    def rename_directory(self, pair):
        old, new = pair
        got = outcome(os.rename, self.m.mnt / old, self.m.mnt / new)
        self.same(got, self.model.rename_directory(old, new))
        if not got and old != new:
            self.end_writers(new + '/')
            for writer in self.writers:
                if writer[1] and writer[1].startswith(old + '/'):
                    writer[1] = new + writer[1][len(old):]

    # ---- files that stay open, whatever becomes of them ----

    def end_writers(self, gone):
        for writer in self.writers:
            if writer[1] and (writer[1] == gone or gone.endswith('/') and writer[1].startswith(gone)):
                writer[1] = None

    @rule(number=some_file)
    def open_writer(self, number):
        path = self.file(number)
        if path in self.model.files() and len(self.writers) < 3:
            self.writers.append([os.open(self.m.mnt / path, os.O_RDWR), path])

    @rule(saves=st.booleans())
    def close_writer(self, saves):
        if not self.writers:
            return
        fd, path = self.writers.pop(0)
        n = self.new_value()
        try:
            if saves:
                os.ftruncate(fd, 0)
                os.pwrite(fd, json_of(n).encode(), 0)
        finally:
            os.close(fd)
        if saves and path:
            self.model.commit(path, n)

    def leave_files(self):
        while self.writers:
            os.close(self.writers.pop()[0])

    # ---- the other writer ----

    def shown(self, entity):
        """The value of an entity in the mount, as the model has them; a directory may be no collection."""
        path = self.m.mnt / path_of(entity)
        if not path_of(entity).endswith('.json'):
            self.m.sync()
            return THERE if entity in read_values(edn_reader.memory(self.m.edn_text())) else None
        value = shown_value(path)
        numbers = [n for n in range(1, self.n + 1) if value == edn_reader.read(edn_of(n))]
        return numbers[0] if numbers else None

    def boot_rival(self):
        self.m.sync()
        self.held = self.model.in_file()

    @rule()
    def reboot_of_the_rival(self):
        self.boot_rival()

    def change_held(self, changes):
        for (key, member), keep in sorted(changes.items(), key=str):
            if key in COLLECTIONS and member is None and not keep:
                self.held = {entity: n for entity, n in self.held.items() if entity[0] != key}
            elif not keep:
                self.held.pop((key, member), None)
            elif key in COLLECTIONS and member is None:
                self.held[key, None] = THERE
            else:
                self.held[key, member] = self.new_value()
                if member is not None:
                    self.held[key, None] = THERE

    @rule(changes=some_changes, down=st.sampled_from(['', '', '', 'unmount', 'kill']))
    def rival_saves(self, changes, down):
        """All that it holds, in place, however old; while the daemon is there or is not."""
        self.save_held(changes, down)

    @rule(path=some_directory, of_writer=st.booleans(), back=st.booleans())
    def rival_empties_a_directory(self, path, of_writer, back):
        if of_writer and self.writers and self.writers[0][1]:
            path = os.path.dirname(self.writers[0][1]) or path
        self.boot_rival()
        gone = [entity for entity in sorted(self.held, key=str) if f'{path_of(entity)}/'.startswith(f'{path}/')]
        if gone:
            self.save_held(dict.fromkeys(gone, False), '')
        if gone and back:
            self.save_held(dict.fromkeys(gone, True), '')

    def save_held(self, changes, down):
        self.change_held(changes)
        if down:
            self.leave_files()
            getattr(self.m, down)()
        before = self.m.edn.read_text()
        write_in_place(self.m.edn, print_edn(self.held))
        if down:
            self.m.mount()
        self.m.sync()
        if before == print_edn(self.held):
            return  # nobody can tell
        if self.model.frozen is not None:
            self.model.frozen, self.model.is_theirs = dict(self.held), True
            return
        self.model.merge(self.held, self.shown, bool(down))
        self.forget_directories()

    def forget_directories(self):
        """One that the other writer emptied may go or stay."""
        gone = {path for path in self.model.directories if not (self.m.mnt / path).exists()}
        assert not any(self.model.below(path) - gone for path in gone)
        assert not any((path, None) in self.model.now for path in gone)
        self.model.directories -= gone

    # ---- the daemon ----

    @rule()
    def sync(self):
        self.m.sync()
        self.compare_stores(edn_reader.memory(self.m.edn_text()))

    def check(self):
        """However the daemon ended: ourofsctl finds nothing wrong with the store."""
        program = self.m.program.parent.parent / 'store' / 'ourofsctl'
        done = subprocess.run([program, 'check', self.m.store], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ''), done.stdout

    @rule()
    def remount(self):
        self.leave_files()
        self.m.unmount()
        self.check()
        self.m.mount()

    @rule()
    def kill(self):
        self.leave_files()
        self.m.kill()
        self.check()
        self.m.mount()

    @precondition(lambda self: MODES)
    @rule(mode=st.sampled_from(WORDS), forced=st.booleans())
    def switch(self, mode, forced):
        forced = forced and mode == 'datalevin-only'
        word = f'force {mode}' if forced else mode
        expected = self.model.switch(mode, forced, self.shown)
        got = outcome((self.m.mnt / '.mode').write_text, word + '\n')
        assert got in expected
        if not got:
            left = self.model.mode == 'datalevin-only' != mode
            self.model.entered(mode, self.shown)
            if left:
                self.forget_directories()
        assert (self.m.mnt / '.mode').read_text() == self.model.mode + '\n'

    # ---- comparing ----

    @invariant()
    def mount_is_as_the_model(self):
        if self.m is None:
            return
        # by name first: a listing has the kernel ask for what it took for known
        for entity, n in self.model.now.items():
            path = path_of(entity)
            if not path.endswith('.json'):
                continue
            text = (self.m.mnt / path).read_text()
            if entity in self.model.exact:
                self.same((path, text), (path, json_of(n)))
            self.same((path, edn_reader.read_json(text)), (path, edn_reader.read(edn_of(n))))
        files, directories = set(), set()
        for where, below, names in os.walk(self.m.mnt):
            there = os.path.relpath(where, self.m.mnt)
            directories |= {os.path.normpath(f'{there}/{name}') for name in below}
            files |= {os.path.normpath(f'{there}/{name}') for name in names}
        self.same(files, self.model.files())
        self.same(directories, self.model.directories)

    def compare_stores(self, memory):
        self.same(read_values(memory), values_of(self.model.in_file()))
        kept = {path: edn_reader.read_json(text) for path, text in conflicts(self.m).items()}
        self.same(kept, {path: edn_reader.read(edn_of(n))
                         for path, n in self.model.conflicts.items()})
        if MODES and self.model.mode != 'edn-only':
            self.compare_eav()

    def compare_eav(self):
        """All that was brought there and nothing else; a bare collection may be there sooner."""
        found = {}
        for name, record in importlib.import_module('eav_store').documents(self.m.store).items():
            key, member = (text and edn_reader.read(text.decode())[1] for text in name)
            if not record.deleted:
                found[key, member] = ('map', frozenset()) if record.collection else \
                    edn_reader.read_json(record.bytes.decode())
        expected = values_of(self.model.now)
        assert found.items() <= expected.items()
        bare = {(key, None) for key in COLLECTIONS}
        self.same(found.keys() - bare - self.model.maybe_in_eav, self.model.in_eav - bare)

    def teardown(self):
        if self.m is None:
            return
        try:
            self.leave_files()
            self.m.sync()
            self.compare_stores(self.rival.read(self.m.edn))
            self.m.unmount()
            self.check()
        finally:
            self.timer.cancel()
            self.m.close()
            shutil.rmtree(self.m.base, ignore_errors=True)


def test_random_changes_of_all_stores(mount, rival):
    run_state_machine_as_test(
        lambda: Stores(mount, rival),
        settings=settings(max_examples=EXAMPLES, derandomize='OUROFS_STORES_EXAMPLES' not in os.environ,
                          stateful_step_count=40, phases=PHASES,
                          suppress_health_check=list(HealthCheck)))
