# SPDX-License-Identifier: MIT
"""From one store to the other and back, as an operator goes: mount, browse, migrate, validate, cut over, return.

Clojure says at each station whether the memory is what it should be; the daemon is killed twice on the way.
OUROFS_STATION_KEYS says how many keys the memory has: 12,000 without.
"""
import json
import os
import shutil
import subprocess
import sys

import pytest

from conftest import TESTS, wait_until

KEYS = int(os.environ.get('OUROFS_STATION_KEYS', '12000'))

# Arguments: the memory as it was found, then pairs of a station's file and the changes since, one map
# {:assoc {key value} :dissoc [key]} each. Changes add up.
AGREES = '''
(require '[clojure.edn :as edn])
(defn read-file [file] (edn/read-string (slurp file)))
(let [[found & stations] *command-line-args*]
  (loop [expected (read-file found), stations (partition 2 stations)]
    (when-let [[file changes] (first stations)]
      (let [{:keys [assoc dissoc]} (edn/read-string changes)
            expected (apply clojure.core/dissoc (merge expected assoc) dissoc)
            there (read-file file)]
        (println file (if (= expected there) "agrees"
                        (->> (into (set (keys expected)) (keys there))
                             (remove #(= (get expected % ::none) (get there % ::none)))
                             (take 5) pr-str (str "differs at "))))
        (recur expected (rest stations))))))
'''


class Station:
    """One mount and its copies of what Clojure is to be asked about."""

    def __init__(self, mount, binary, text):
        self.m = mount(text)
        self.ctl_program = str(binary('ourofsctl'))
        self.asked = []
        self.found = self.m.base / 'found.edn'
        self.found.write_text(text)

    def ctl(self, command, *args, status=0):
        done = subprocess.run([self.ctl_program, command, *args], capture_output=True, text=True)
        assert done.returncode == status, f'{command} {args}: {done.stdout}{done.stderr}'
        return done.stdout

    def control(self, name):
        return json.loads((self.m.mnt / name).read_text())

    def put(self, name, json_text):
        (self.m.mnt / name).write_text(json_text)

    def crash(self):
        self.m.kill()
        self.m.mount()

    def ask(self, name, source, changes):
        """source (a file, or None: what export says) is to be what was found, changed so."""
        file = self.m.base / f'{name}.edn'
        if source:
            shutil.copyfile(source, file)
        else:
            self.ctl('export', str(self.m.store), str(file), '--edn', str(self.m.edn))
        self.asked += [str(file), changes]

    def answers(self):
        program = self.m.base / 'agrees.clj'
        program.write_text(AGREES)
        done = subprocess.run(['clojure', str(program), str(self.found), *self.asked],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


def make_memory():
    return subprocess.run([sys.executable, str(TESTS / 'bench' / 'gen_memory.py'), '--keys', str(KEYS)],
                          check=True, capture_output=True, text=True).stdout


@pytest.mark.oracle
def test_there_and_back_with_two_kills(mount, binary):
    s = Station(mount, binary, make_memory())
    mnt = s.m.mnt

    # browse, and work
    assert len(list((mnt / 'presence').iterdir())) > 10
    (mnt / 'station').mkdir()
    s.put('station/one.json', '{"at": 1}')
    s.m.sync()
    s.ask('mounted', s.m.edn, '{:assoc {:station/one {:at 1}}}')

    # migrate, killed on the way: it goes on by itself
    (mnt / '.migrate').write_text('all')
    wait_until(lambda: s.control('.migrate')['done'] > KEYS // 20, 'the migration to be on its way')
    s.put('station/two.json', '{"at": 2}')
    s.crash()
    s.ctl('migrate', str(mnt), 'all', '--wait')
    migration = s.control('.migrate')
    assert migration['state'] == 'done' and migration['failed'] == 0

    # both agree, and Clojure with both
    s.ctl('sync', str(mnt))
    validation = json.loads(s.ctl('validate', str(mnt), '--json'))
    assert validation['differences'] == 0 and validation['compared'] > KEYS
    s.ask('migrated', s.m.edn, '{:assoc {:station/two {:at 2}}}')
    assert subprocess.run(['diff', '-rq', str(mnt / '.store/edn'), str(mnt / '.store/datalevin')],
                          capture_output=True, text=True).stdout == ''

    # cut over, work, killed
    s.ctl('mode', str(mnt), 'datalevin-only')
    s.put('station/one.json', '{"at": ":cut-over"}')
    (mnt / 'station/two.json').unlink()
    s.crash()
    assert (mnt / '.mode').read_text() == 'datalevin-only\n'
    assert (mnt / 'station/one.json').read_text() == '{"at": ":cut-over"}'
    s.ask('cut-over', None, '{:assoc {:station/one {:at :cut-over}} :dissoc [:station/two]}')

    # and back
    s.ctl('mode', str(mnt), 'edn-only')
    s.put('station/three.json', '{"at": 3}')
    s.m.sync()
    s.ask('back', s.m.edn, '{:assoc {:station/three {:at 3}}}')
    s.ctl('unmount', str(mnt))
    s.m.wait_exit()

    assert [line.rpartition('/')[2] for line in s.answers()] == [
        f'{name}.edn agrees' for name in ('mounted', 'migrated', 'cut-over', 'back')]
