# SPDX-License-Identifier: MIT
"""The README's transcript is what really happens."""
import fcntl
import os
import re
import shutil
import subprocess

from conftest import TESTS, TOP, is_mounted, wait_until


def transcript():
    text = re.search(r'```console\n(.*?)```', (TOP / 'README.md').read_text(), re.DOTALL)[1]
    steps = re.split(r'^\$ ', text, flags=re.MULTILINE)[1:]
    return [step.split('\n', 1) for step in steps]


def is_locked(path):
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_transcript(disk, binary):
    shutil.copy(TESTS / 'cases' / 'example.edn', disk / 'memory.edn')
    (disk / 'mnt').mkdir()
    environment = {**os.environ, 'LC_ALL': 'C.UTF-8',
                   'PATH': f'{binary("ourofs").parent}:{os.environ["PATH"]}'}
    said, happened = '', ''
    try:
        for command, output in transcript():
            done = subprocess.run(['bash', '-c', command], cwd=disk, env=environment, text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
            said += f'$ {command}\n{output}'
            happened += f'$ {command}\n{done.stdout}'
    finally:
        if is_mounted(disk / 'mnt'):
            subprocess.run(['fusermount3', '-u', '-z', str(disk / 'mnt')], check=True)
        lock = disk / 'memory.eav' / 'lock'
        if lock.exists():
            wait_until(lambda: not is_locked(lock), 'ourofs to end after its unmount')
    assert happened == said
