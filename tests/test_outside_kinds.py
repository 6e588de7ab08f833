# SPDX-License-Identifier: MIT
"""Where a document stands here and a collection there, or the other way around: one of them stands, and the other is kept."""
import os
import shutil

import pytest

import edn_reader
from outside import conflicts, keys, read, soon

FILLER = keys(30)
DOCUMENT, COLLECTION = 'presence/s.json', 'presence/s'


def save(content):
    def do(m):
        (m.mnt / 'presence').mkdir(exist_ok=True)
        (m.mnt / DOCUMENT).write_text(content)
    return do


def save_member(content):
    def do(m):
        (m.mnt / COLLECTION).mkdir(parents=True, exist_ok=True)
        (m.mnt / COLLECTION / 'a.json').write_text(content)
    return do


def delete(m):
    (m.mnt / DOCUMENT).unlink()


def become_collection(m):
    delete(m)
    save_member('5')(m)


def become_document(m):
    shutil.rmtree(m.mnt / COLLECTION)
    save('"s"')(m)


def nothing(_):
    pass


KEPT_A = {DOCUMENT: '{\n  "\'a": 1\n}\n'}
KEPT_AB = {DOCUMENT: '{\n  "\'a": 2,\n  "\'b": 3\n}\n'}
# the last file of theirs, what was done here, theirs -> what is served, what is kept
CASES = {
    'ours saved': ('1', save('"s"'), '{"a" 1}', '"s"', KEPT_A),
    'ours new': ('', save('"s"'), '{"a" 1}', '"s"', KEPT_A),
    'ours new, theirs empty': ('', save('"s"'), '{}', '"s"', {DOCUMENT: '{}\n'}),
    'ours unchanged': ('1', nothing, '{"a" 1}', {'a': '1\n'}, {}),
    'ours deleted': ('1', delete, '{"a" 1}', {'a': '1\n'}, {}),
    'ours a document by now, theirs as it was': ('{"a" 1}', become_document, '{"a" 1}', '"s"', {}),
    'ours a document by now, theirs changed': ('{"a" 1}', become_document, '{"a" 2 "b" 3}', '"s"', KEPT_AB),
    'our member saved': ('{"a" 1}', save_member('5'), '7', {'a': '5'}, {DOCUMENT: '7\n'}),
    'our member new': ('', save_member('5'), '7', {'a': '5'}, {DOCUMENT: '7\n'}),
    'our member unchanged': ('{"a" 1}', nothing, '7', '7\n', {}),
    'ours a collection by now, theirs as it was': ('1', become_collection, '1', {'a': '5'}, {}),
    'ours a collection by now, theirs changed': ('1', become_collection, '2', {'a': '5'}, {DOCUMENT: '2\n'}),
}


def text_of(value, other):
    return '{%s :other %d %s}' % (FILLER, other, value and f':presence/s {value}')


def shown(m):
    """The document's content, or that of each member. Never both."""
    members = {path.stem: read(path) for path in (m.mnt / COLLECTION).iterdir()} if (m.mnt / COLLECTION).exists() else None
    document = read(m.mnt / DOCUMENT)
    assert document is None or members is None
    return members if document is None else document


def saved(m):
    value = {key[1]: value for key, value in edn_reader.memory(m.edn_text()).items()}['presence/s']
    if value[0] == 'map':
        return {member[1]: str(number[1]) for member, number in value[1]}
    return f'"{value[1]}"' if value[0] == 'str' else str(value[1])


def stripped(content):
    if isinstance(content, dict):
        return {name: text.strip() for name, text in content.items()}
    return content.strip()


@pytest.mark.parametrize('mounted', [True, False], ids=['mounted', 'not mounted'])
@pytest.mark.parametrize('mode', ['datalevin-first', 'edn-only'])
@pytest.mark.parametrize('case', CASES)
def test_one_of_them_stands(mount, case, mode, mounted):
    base, ours, theirs, served, kept = CASES[case]
    m = mount(text_of(base, 0), f'mode={mode}')
    ours(m)
    m.sync()
    for round_ in (1, 2):  # he has not read what stands here, and writes his own again
        if not mounted:
            m.unmount()
        m.edn.write_text(text_of(theirs, round_))
        if not mounted:
            m.mount()
        soon(lambda round_=round_: read(m.mnt / 'other.json') == f'{round_}\n', 'the change')
        soon(lambda: not os.path.exists(m.mnt / (COLLECTION if isinstance(served, str) else DOCUMENT)), 'one of them')
        assert shown(m) == served and conflicts(m) == kept
        m.sync()
        assert saved(m) == stripped(served)
    m.remount()
    assert shown(m) == served and conflicts(m) == kept
