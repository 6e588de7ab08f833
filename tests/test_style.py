# SPDX-License-Identifier: MIT
"""What the house rules ask of the source and a machine can see."""
import os
import re
import shutil
import subprocess

import pytest
from conftest import TOP

pytestmark = pytest.mark.style

LAYERS = ('mapping', 'store', 'fs')
TOP_LEVEL = {'fs', 'store', 'mapping', 'tests', 'man', 'meson.build', 'README.md', 'LICENSE',
             'quickstart'}
BANNED = re.compile(r'\b(sprintf|vsprintf|strcpy|strcat|strtok|gets)\s*\(')
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)


def tracked():
    listed = subprocess.run(['git', '-C', str(TOP), 'ls-files', '-z'], capture_output=True)
    if listed.returncode == 0:
        names = listed.stdout.decode().split('\0')
        return [name for name in names if name and (TOP / name).exists()]
    # A tarball has no history; there every file counts that is not hidden or built.
    return [str(path.relative_to(TOP)) for path in TOP.rglob('*')
            if path.is_file() and not re.match(r'\.|build|mnt/|memory\.',
                                               str(path.relative_to(TOP)))]


def sources():
    return sorted(name for name in tracked() if name.endswith(('.c', '.h')))


def text_of(name):
    return (TOP / name).read_text()


def without_comments(text):
    return re.sub(r'/\*.*?\*/|//[^\n]*', ' ', text, flags=re.DOTALL)


def test_top_level_is_fixed():
    top = {name.split('/')[0] for name in tracked()}
    assert {name for name in top if not name.startswith('.')} <= TOP_LEVEL


def test_sources_name_their_licence():
    missing = [name for name in sources()
               if not text_of(name).startswith('/* SPDX-License-Identifier: MIT */\n')]
    assert not missing


def test_no_banned_calls():
    found = [f'{name}: {match[0]}' for name in sources()
             for match in BANNED.finditer(without_comments(text_of(name)))]
    assert not found


def headers_of(layer):
    return {name.split('/')[-1] for name in sources()
            if name.startswith(layer + '/') and name.endswith('.h')}


def test_layers_include_only_what_is_below():
    layer_of = {header: layer for layer in LAYERS for header in headers_of(layer)}
    assert layer_of, 'no headers found'
    wrong = []
    for name in sources():
        folder = name.split('/')[0]
        if folder not in LAYERS:
            continue
        allowed = LAYERS[:LAYERS.index(folder) + 1]
        for quote, header in INCLUDE.findall(text_of(name)):
            if quote == '"' and layer_of.get(header) not in allowed:
                wrong.append(f'{name} includes "{header}"')
            if quote == '<' and 'fuse' in header and folder != 'fs':
                wrong.append(f'{name} includes <{header}>')
            if quote == '<' and folder == 'mapping' and header in ('lmdb.h', 'cjson/cJSON.h'):
                wrong.append(f'{name} includes <{header}>')
    assert not wrong


def test_text_files_end_cleanly():
    """UTF-8, a final newline, no blanks at the end of a line, no tabs to indent Python."""
    wrong = []
    for name in tracked():
        if name.startswith('tests/cases/') or name.startswith('tests/fuzz/corpus'):
            continue
        text = text_of(name)
        if text and not text.endswith('\n'):
            wrong.append(f'{name}: no newline at the end')
        for number, line in enumerate(text.split('\n'), 1):
            if line.rstrip(' \t\r') != line:
                wrong.append(f'{name}:{number}: blanks at the end')
            if name.endswith(('.py', 'meson.build')) and line.startswith('\t'):
                wrong.append(f'{name}:{number}: a tab')
    assert not wrong


@pytest.mark.skipif(not shutil.which('clang-format'), reason='clang-format is not installed')
def test_clang_format():
    done = subprocess.run(['clang-format', '--dry-run', '-Werror', *sources()], cwd=TOP,
                          capture_output=True, text=True)
    wrong = sorted({line.split(':')[0] for line in done.stderr.splitlines() if ': error:' in line})
    assert done.returncode == 0, f'run clang-format -i on: {" ".join(wrong)}\n{done.stderr[:4000]}'


@pytest.mark.skipif(not shutil.which('clang-tidy'), reason='clang-tidy is not installed')
def test_clang_tidy(build_dir):
    """One process a file, as many at once as there are processors."""
    units = [name for name in sources()
             if name.endswith('.c') and name.split('/')[0] in LAYERS]
    database = (build_dir / 'compile_commands.json').read_text()
    known = [name for name in units if f'{name}"' in database]
    assert known == units, 'not compiled: ' + ' '.join(sorted(set(units) - set(known)))
    done = subprocess.run(
        ['xargs', '-0', '-n', '1', '-P', str(os.cpu_count() or 1),
         'clang-tidy', '--quiet', '-p', str(build_dir)],
        input='\0'.join(units), cwd=TOP, capture_output=True, text=True)
    findings = [line for line in done.stdout.splitlines() if re.search(r': (warning|error): ', line)]
    assert done.returncode == 0 and not findings, '\n'.join(findings) or done.stderr[-4000:]
