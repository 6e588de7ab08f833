# SPDX-License-Identifier: MIT
"""The manual pages say what the programs do."""
import os
import re
import shutil
import subprocess

import pytest
from conftest import TOP

import console

PAGES = sorted((TOP / 'man').glob('*.[1-9]'))


def plain(page):
    """The page's text without mdoc's escapes."""
    text = (TOP / 'man' / page).read_text()
    return text.replace('\\(dq', '"').replace('\\(aq', "'").replace('\\&', '').replace('\\e', '\\')


@pytest.mark.skipif(not shutil.which('mandoc'), reason='mandoc is not installed')
@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_mandoc_has_no_complaint(page):
    done = subprocess.run(['mandoc', '-T', 'lint', '-W', 'style', str(page)],
                          capture_output=True, text=True)
    # Which other pages are installed is the machine's affair.
    said = [line for line in (done.stdout + done.stderr).splitlines()
            if 'referenced manual not found' not in line and 'mandoc.db' not in line]
    assert not said


@pytest.mark.skipif(not shutil.which('man'), reason='man is not installed')
@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_the_page_fits_a_terminal(page):
    """groff puts what is too wide for the last column of a table below it, word for word."""
    done = subprocess.run(['man', '--warnings=break', '-l', str(page)], capture_output=True, text=True,
                          env={**os.environ, 'MANWIDTH': '80', 'LC_ALL': 'C.UTF-8'})
    assert (done.returncode, done.stderr) == (0, '')


EXAMPLES = [(page.name, block)
            for page in PAGES
            for block in re.findall(r'^\.Bd -literal.*?\n(\$ .*?)^\.Ed', plain(page.name), re.DOTALL | re.MULTILINE)]


def test_each_page_has_examples():
    assert {page for page, _ in EXAMPLES} == {page.name for page in PAGES}


@pytest.mark.parametrize('page, block', EXAMPLES, ids=[page for page, _ in EXAMPLES])
def test_examples_of_the_page(page, block, disk, binary):
    said, happened = console.run(block, disk, binary)
    assert happened == said


def test_built_in_patterns_are_those_of_the_page():
    table = (TOP / 'mapping' / 'schema.c').read_text()
    rows = re.findall(r'\{"([^"]+)", "([^"]+)", (true|false), SCHEMA_(STRING|KEYWORD)\}', table)
    assert len(rows) > 10
    said = re.findall(r'^\.It Li ":(\S+)" Ta (\S.*?) Ta (\S+)$', plain('ourofs.5'), re.MULTILINE)

    def shape(collection, member):
        if collection == 'false':
            return 'document'
        return 'collection, members keyword' if member == 'KEYWORD' else 'collection'
    assert said == [(pattern, shape(collection, member), kind)
                    for pattern, kind, collection, member in rows]


def test_every_control_file_has_its_place_in_the_page():
    table = (TOP / 'fs' / 'control.c').read_text().split('CONTROLS[] = {')[1].split('\n};')[0]
    names = re.findall(r'^\t\{"(\.\w+)"', table, re.MULTILINE)
    assert {'.mode', '.help'} <= set(names)
    page = plain('ourofs.5').split('.Sh CONTROL FILES')[1].split('.Sh ')[0]
    said = re.findall(r'^\.It Pa /(\.\w+)$', page, re.MULTILINE)
    assert said == names


def options_of_help(text):
    """'-f', '--help' and the words of -o, from the lines of the table and the lists below it."""
    table, *lists = text.split('options, ')[1].split('\n\n')
    words = [word for line in table.splitlines()[1:] for word in line[4:28].split()]
    for named in lists:
        words += named.split(':\n')[1].split()
    return {re.sub(r'[=*,].*', '', word) for word in words} - {'-o'}


def options_of_page(text):
    """What stands behind the macros Fl and Cm in the section OPTIONS."""
    said = set()
    for line in text.split('.Sh OPTIONS\n')[1].split('.Sh ')[0].splitlines():
        macro = None
        for word in line[1:].split() if line.startswith('.') else ():
            if re.fullmatch('[A-Z][a-z]', word):
                macro = word
            elif macro in ('Fl', 'Cm') and re.match(r'[\w-]', word):
                said.add('-' + word if macro == 'Fl' else word)
    return said - {'-o'}


def test_options_of_the_page_are_those_of_the_help(binary):
    done = subprocess.run([str(binary('ourofs')), '-h'], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr
    helped = options_of_help(done.stdout)
    assert {'-f', '--help', 'store', 'noatime'} <= helped
    assert options_of_page(plain('ourofs.1')) == helped


@pytest.mark.parametrize('page', ['ourofs.1', 'ourofsctl.1'])
def test_diagnostics_of_the_page_are_in_the_source(page):
    """All of a message that is no placeholder, in capitals, and no other program's."""
    code = ''.join(path.read_text() for folder in ('fs', 'store') for path in sorted((TOP / folder).glob('*.c')))
    code = re.sub(r'"\s*"', '', code)
    listed = plain(page).split('.Sh DIAGNOSTICS')[1].split('.Sh ')[0]
    messages = re.findall(r'^\.It "(?!fusermount3)(.*)"$', listed, re.MULTILINE)
    assert len(messages) >= 5
    for message in messages:
        for part in re.split(r'\b[A-Z]+\b|cause', message):
            assert part.strip(': ') in code, message


def commands_of_help(text):
    """[command, its flags, its operands], from "    NAME OPERANDS  help" and the flags below it."""
    commands = []
    for line in text.split('\n\n')[1].splitlines():
        flag = re.match(r' {8}(?:-(\w), )?--([\w-]+)', line)
        if flag:
            commands[-1][1].append(flag.groups())
        else:
            name, operands = re.match(r' {4}([a-z-]+)((?: \[?[A-Z.]+\]?)*) ', line).groups()
            commands.append([name, [], operands.split()])
    return commands


def commands_of_page(text):
    commands = []
    for line in re.findall(r'^\.It Cm (.+)$', text, re.MULTILINE):
        flags = re.findall(r'Oo Fl (?:(\w) , )?-([\w-]+)(?: Ar \w+)? Oc', line)
        operands = re.sub(r'Op Ar (\S+)', r'[\1]', re.sub(r'Oo .*? Oc', '', line)).replace(' Ar ', ' ').split()
        commands.append([operands[0], [(short or None, long) for short, long in flags], operands[1:]])
    return commands


def test_commands_of_the_page_are_those_of_the_help(binary):
    """Each with its flags and operands, in the same order."""
    done = subprocess.run([str(binary('ourofsctl')), '-h'], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr
    helped = commands_of_help(done.stdout)
    assert ['migrate', [(None, 'json'), ('w', 'wait')], ['MOUNTPOINT', '[WHAT]']] in helped
    page = plain('ourofsctl.1')
    assert commands_of_page(page) == helped
    assert options_of_page(page) == {'-h', '--help', '-V', '--version'}
    options = re.findall(r'^    (-\w), (--[\w-]+)', done.stdout, re.MULTILINE)
    assert options == [('-h', '--help'), ('-V', '--version')]
