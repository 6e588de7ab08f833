# SPDX-License-Identifier: MIT
"""The examples of documents: "$ command" and what it prints, run as they stand.

A line of "..." stands for any lines, "..." within a line for anything in it.
"""
import os
import re
import shutil
import subprocess

from conftest import TESTS, is_mounted


def steps_of(text):
    return [step.split('\n', 1) for step in re.split(r'^\$ ', text, flags=re.MULTILINE)[1:]]


def pattern_of(output):
    """A regular expression for what is said to be printed."""
    lines = re.escape(output).replace(r'\.\.\.', '...')
    lines = re.sub(r'^\.\.\.\\?\n', '(?:.*\n)*', lines, flags=re.MULTILINE)
    return lines.replace('...', '.*')


def run(text, disk, binary):
    """Runs the text's commands where memory.edn is the example, and mnt an empty directory.

    Returns what is said to happen and what happened, which are equal where it fits.
    """
    shutil.copy(TESTS / 'cases' / 'example.edn', disk / 'memory.edn')
    (disk / 'mnt').mkdir()
    environment = {**os.environ, 'LC_ALL': 'C.UTF-8',
                   'PATH': f'{binary("ourofs").parent}:{binary("ourofsctl").parent}:{os.environ["PATH"]}'}
    said, happened = '', ''
    try:
        for command, output in steps_of(text):
            done = subprocess.run(['bash', '-c', command], cwd=disk, env=environment, text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
            fit = re.fullmatch(pattern_of(output), done.stdout)
            said += f'$ {command}\n{output}'
            happened += f'$ {command}\n{output if fit else done.stdout}'
    finally:
        if is_mounted(disk / 'mnt'):
            subprocess.run(['fusermount3', '-u', '-z', str(disk / 'mnt')], check=True)
    return said, happened
