# SPDX-License-Identifier: MIT
"""What someone else writes to memory.edn: every case of the three-way merge, and how soon it is seen.

base is the value in the last file that the other one wrote (at first, as found), ours the committed one,
theirs the one in its new file; absence is a value of each.
"""
import collections
import json
import os
import subprocess

import pytest

import edn_reader
from outside import conflicts, put_back, read
from rival import write_in_place

ABSENT = None
FILLER = ' '.join(f':filler/f{i} {i}' for i in range(100))


def edn_value(n):
    return '{:v %d, :of #{1 :two "3"}, :x 1.5}' % n


def json_value(n):
    return '{"x": 1.5, "v": %d, "of": {"#set": ["3", ":two", 1]}}' % n


class Document:
    name = 'document'
    values = (ABSENT, 1, 2, 3)

    @staticmethod
    def key(case):
        return f':row/{case}'

    @staticmethod
    def path(case):
        return f'row/{case}.json'

    @classmethod
    def theirs(cls, rival, case, value):
        if value is ABSENT:
            rival.remove(cls.key(case))
        else:
            rival.put(cls.key(case), edn_value(value))

    @classmethod
    def ours(cls, m, case, value):
        path = m.mnt / cls.path(case)
        if value is ABSENT:
            path.unlink()
        else:
            path.write_text(json_value(value))

    @classmethod
    def shown(cls, m, case):
        try:
            text = (m.mnt / cls.path(case)).read_text()
        except FileNotFoundError:
            return ABSENT
        return dict(edn_reader.read_json(text)[1])['kw', 'v'][1]

    @classmethod
    def saved(cls, keys, case):
        value = keys.get(('kw', cls.key(case)[1:]))
        return value and dict(value[1])['kw', 'v'][1]


class Member(Document):
    name = 'member'

    @staticmethod
    def path(case):
        return f'presence/s/{case}.json'

    @staticmethod
    def theirs(rival, case, value):
        if value is ABSENT:
            rival.remove_member(':presence/s', f'"{case}"')
        else:
            rival.put_member(':presence/s', f'"{case}"', edn_value(value))

    @staticmethod
    def saved(keys, case):
        value = dict(keys['kw', 'presence/s'][1]).get(('str', case))
        return value and dict(value[1])['kw', 'v'][1]


class Collection:
    """The bare key, {}: there or not."""
    name = 'collection'
    values = (ABSENT, 0)

    @staticmethod
    def path(case):
        return f'presence/{case}'

    @staticmethod
    def theirs(rival, case, value):
        if value is ABSENT:
            rival.remove(f':presence/{case}')
        else:
            rival.put(f':presence/{case}', '{}')

    @classmethod
    def ours(cls, m, case, value):
        path = m.mnt / cls.path(case)
        if value is ABSENT:
            path.rmdir()
            return
        path.mkdir()
        (path / 'first.json').write_text('1')
        (path / 'first.json').unlink()

    @classmethod
    def shown(cls, m, case):
        return 0 if (m.mnt / cls.path(case)).is_dir() else ABSENT

    @staticmethod
    def saved(keys, case):
        value = keys.get(('kw', f'presence/{case}'))
        assert value in (None, ('map', frozenset()))
        return value and 0


Case = collections.namedtuple('Case', 'kind base ours theirs')
KINDS = (Document, Member, Collection)
ROWS = ('the same', 'stale', 'adopted', 'conflict')


def row_of(case):
    if case.theirs == case.ours:
        return 'the same'
    if case.theirs == case.base:
        return 'stale'
    return 'adopted' if case.ours == case.base else 'conflict'


def is_canonical(case):
    """Of values that are only renamed, one case is enough: new ones come in order."""
    met = 0
    for value in case[1:]:
        if value and value > met + 1:
            return False
        met = max(met, value or 0)
    return True


def cases(row):
    """{name: Case} of every triple of values that falls into the row."""
    found = {}
    for kind in KINDS:
        for base in kind.values:
            for ours in kind.values:
                for theirs in kind.values:
                    case = Case(kind, base, ours, theirs)
                    if row_of(case) == row and is_canonical(case):
                        word = '-'.join('none' if v is ABSENT else str(v) for v in case[1:])
                        found[f'{kind.name}-{word}'] = case
    return found


def initial(found):
    """A memory with the base of every case, and enough besides that no writer seems to have begun empty."""
    rows = ' '.join(f':row/{name} {edn_value(case.base)}' for name, case in found.items()
                    if case.kind is Document and case.base)
    members = ' '.join(f'"{name}" {edn_value(case.base)}' for name, case in found.items()
                       if case.kind is Member and case.base)
    bare = ' '.join(f':presence/{name} {{}}' for name, case in found.items()
                    if case.kind is Collection and case.base is not ABSENT)
    return '{%s\n :presence/s {"still" 1 %s}\n %s %s}' % (FILLER, members, rows, bare)


def change_ours(m, found):
    for name, case in found.items():
        if case.ours != case.base:
            case.kind.ours(m, name, case.ours)


def change_theirs(rival, found):
    for name, case in found.items():
        if case.theirs != case.base:
            case.kind.theirs(rival, name, case.theirs)
    rival.put(':filler/f0', '"written by the rival"')
    rival.save_now()


def both_change(m, rival, found, when):
    rival.open(m.edn)
    change_ours(m, found)
    if when == 'before our rewrite':
        change_theirs(rival, found)
    elif when == 'after our rewrite':
        m.sync()
        change_theirs(rival, found)
    elif when == 'after our unmount':
        m.unmount()
        change_theirs(rival, found)
        m.mount()
    else:
        if when == 'after our rewrite and kill':
            m.sync()
        m.kill()
        change_theirs(rival, found)
        m.mount()
    m.sync()


def check(m, rival, found):
    """Mount, conflicts, and memory.edn as Clojure reads it are as the table says."""
    final = {name: case.theirs if row_of(case) == 'adopted' else case.ours
             for name, case in found.items()}
    assert {name: case.kind.shown(m, name) for name, case in found.items()} == final
    keys = rival.read(m.edn)
    assert {name: case.kind.saved(keys, name) for name, case in found.items()} == final
    assert keys['kw', 'filler/f0'] == ('str', 'written by the rival')
    assert {path: edn_reader.read_json(text) for path, text in conflicts(m).items()} == {
        case.kind.path(name): edn_reader.read(edn_value(case.theirs))
        for name, case in found.items() if row_of(case) == 'conflict' and case.theirs}


WHEN = ['before our rewrite', 'after our rewrite', 'after our unmount', 'after our kill',
        'after our rewrite and kill']


@pytest.mark.parametrize('when', WHEN)
@pytest.mark.parametrize('row', ROWS)
def test_three_ways(mount, rival, row, when):
    found = cases(row)
    m = mount(initial(found), f'edn_delay={60000 if when.startswith("before") else 10}')
    both_change(m, rival, found, when)
    check(m, rival, found)
    counted = put_back(m)
    assert counted == (len(found) if row == 'stale' else 0)
    # What it wrote is the base from now on: its copy, written again, is stale where ours won.
    rival.save_now()
    m.sync()
    check(m, rival, found)
    assert put_back(m) - counted == (len(found) if row in ('stale', 'conflict') else 0)
    m.remount()
    check(m, rival, found)


def test_the_table_is_whole():
    assert {row: len(cases(row)) for row in ROWS} == \
        {'the same': 2 * 5 + 4, 'stale': 2 * 3 + 2, 'adopted': 2 * 3 + 2, 'conflict': 2 * 4}


# ---- what ourofs itself wrote since ----

@pytest.mark.parametrize('kind', [Document, Member])
@pytest.mark.parametrize('last', [4, ABSENT])
def test_a_copy_of_a_value_of_ours_is_stale(mount, rival, kind, last):
    """The rival boots after our first save; two more follow before it writes what it has."""
    m = mount('{%s :presence/s {"still" 1 "x" %s} :row/x %s}' % (FILLER, edn_value(1), edn_value(1)))
    kind.ours(m, 'x', 2)
    m.sync()
    rival.open(m.edn)
    kind.ours(m, 'x', 3)
    m.sync()
    kind.ours(m, 'x', last)
    m.sync()
    rival.put(':other', '1')
    rival.save_now()
    m.sync()
    assert kind.shown(m, 'x') == kind.saved(rival.read(m.edn), 'x') == last
    assert (m.mnt / 'other.json').read_text() == '1\n'
    assert conflicts(m) == {}
    assert put_back(m) == 1


@pytest.mark.parametrize('kind', [Document, Member])
def test_what_was_made_and_deleted_does_not_come_back(mount, rival, kind):
    """The rival booted between the two, and still has what it never wrote itself."""
    m = mount('{%s :row/still 1 :presence/s {"still" 1}}' % FILLER)
    kind.ours(m, 'x', 2)
    m.sync()
    rival.open(m.edn)
    kind.ours(m, 'x', ABSENT)
    m.sync()
    rival.put(':other', '1')
    rival.save_now()
    m.sync()
    assert kind.shown(m, 'x') is kind.saved(rival.read(m.edn), 'x') is ABSENT
    assert (m.mnt / 'other.json').read_text() == '1\n'


@pytest.mark.parametrize('kind', [Document, Member])
@pytest.mark.parametrize('base', [1, ABSENT])
def test_what_was_changed_and_changed_back_is_his(mount, rival, kind, base):
    there = '' if base is ABSENT else edn_value(base)
    m = mount('{%s :presence/s {"still" 1 %s} :row/still 1 %s}' %
              (FILLER, there and f'"x" {there}', there and f':row/x {there}'))
    rival.open(m.edn)
    for value in (2, base):
        kind.ours(m, 'x', value)
        m.sync()
    kind.theirs(rival, 'x', 3)
    rival.save_now()
    m.sync()
    assert kind.shown(m, 'x') == kind.saved(rival.read(m.edn), 'x') == 3
    assert conflicts(m) == {}


@pytest.mark.parametrize('last', [2, 3])
def test_a_time_without_memory_edn_is_no_write_of_his(mount, rival, last):
    """What stands in memory.edn when it is looked at again was left there by us; his copy is older."""
    m = mount('{%s :row/x %s}' % (FILLER, edn_value(1)))
    rival.open(m.edn)
    Document.ours(m, 'x', 2)
    (m.mnt / '.mode').write_text('force datalevin-only')
    Document.ours(m, 'x', last)
    (m.mnt / '.mode').write_text('datalevin-first')
    rival.put(':other', '1')
    rival.save_now()
    m.sync()
    assert Document.shown(m, 'x') == Document.saved(rival.read(m.edn), 'x') == last
    assert read(m.mnt / 'other.json') == '1\n'
    assert conflicts(m) == {}


def test_what_was_saved_for_both_stores_is_in_both(mount):
    """Also when one of them is left alone right after."""
    m = mount('{:a 1}', 'edn_delay=60000')
    (m.mnt / 'a.json').write_text('2')
    (m.mnt / '.mode').write_text('force datalevin-only')
    assert m.edn_text() == '{:a 2}'
    (m.mnt / 'a.json').write_text('3')
    m.sync()
    assert m.edn_text() == '{:a 2}'


def test_the_same_value_of_another_type_is_a_change(mount):
    """1 is not 1.0, a list no vector; the order of maps and sets and NaN's odd equality are no change."""
    m = mount('{:a 1 :b [1] :c "x" :same {:s #{1 2} :n ##NaN} :t 1N}')
    versions = (m.mnt / 'same.json').stat()
    write_in_place(m.edn, '{:same {:n ##NaN, :s #{2 1}} :t 1 :c :x :b (1) :a 1.0}')
    m.sync()
    shown = {name: json.loads((m.mnt / f'{name}.json').read_text()) for name in 'abct'}
    assert shown == {'a': {'#float': '1.0'}, 'b': {'#list': [1]}, 'c': ':x', 't': 1}
    after = (m.mnt / 'same.json').stat()
    assert (after.st_mtime_ns, after.st_ino) == (versions.st_mtime_ns, versions.st_ino)


def test_a_key_that_becomes_a_collection_and_back(mount, rival):
    """:presence/r as nil is a document, as a map a directory."""
    m = mount('{:presence/r nil :a 1}')
    rival.open(m.edn)
    assert (m.mnt / 'presence/r.json').read_text() == 'null\n'
    rival.put_member(':presence/r', '"x"', '1')
    rival.save_now()
    m.sync()
    assert os.listdir(m.mnt / 'presence') == ['r']
    assert (m.mnt / 'presence/r/x.json').read_text() == '1\n'
    (m.mnt / 'presence/r/y.json').write_text('2')
    rival.put(':presence/r', 'nil')
    rival.save_now()
    m.sync()
    # Its x is gone, and our y stands where its nil would be.
    assert os.listdir(m.mnt / 'presence/r') == ['y.json']
    assert rival.read(m.edn)['kw', 'presence/r'] == edn_reader.read('{"y" 2}')


def test_what_was_removed_while_nobody_looked_is_forgotten(mount, rival):
    """Little by little, so that no file lacks most of what the one before it had."""
    names = [f'x{i}' for i in range(16)]
    m = mount('{:row/still 1}', 'mode=edn-only')
    for name in names:
        (m.mnt / f'row/{name}.json').write_text('1')
    gone = []
    for name in ('still', *names[:12]):
        m.unmount()
        rival.open(m.edn)
        rival.put(':row/new', str(len(gone)))
        rival.remove(f':row/{name}')
        rival.save_now()
        gone.append(name)
        m.mount()
        shown = {path.stem for path in (m.mnt / 'row').iterdir()}
        assert shown == {'new', 'still', *names} - set(gone)


def test_both_stores_have_all_that_was_saved(mount, binary):
    """Nothing is left of what was adopted and then removed while nobody looked."""
    m = mount('{:presence/s {"still" 1}}')
    write_in_place(m.edn, '{:presence/s {"still" 1 "x" 2}}')
    m.sync()
    m.unmount()
    write_in_place(m.edn, '{:presence/s {"still" 1}}')
    m.mount()
    (m.mnt / '.mode').write_text('force datalevin-only')
    m.unmount()
    subprocess.run([binary('ourofsctl'), 'check', m.store], check=True)


def test_a_directory_that_another_took_the_place_of_is_as_it_was(mount):
    """An empty collection instead of an empty collection: nothing of what he has not is news."""
    m = mount('{%s :presence/s1 {} :presence/s2 {}}' % FILLER)
    (m.mnt / 'presence/s1').rename(m.mnt / 'presence/s2')
    m.sync()
    assert m.edn_text().endswith(' :presence/s2 {}}')
    write_in_place(m.edn, '{%s}' % FILLER)
    m.sync()
    assert m.edn_text() == '{%s}' % FILLER


def test_a_directory_that_is_no_collection_takes_the_place_of_one(mount):
    m = mount('{:presence/s1 {}}')
    (m.mnt / 'new').mkdir()
    (m.mnt / 'new').rename(m.mnt / 'presence/s1')
    m.sync()
    assert m.edn_text() == '{}'
    assert list((m.mnt / 'presence').iterdir()) == [m.mnt / 'presence/s1']


def test_a_collection_that_he_removed_while_memory_edn_was_left_alone_is_gone(mount, rival):
    """A member that was changed here before, which he has seen, does not keep it."""
    m = mount('{%s :presence/s1 {"x" 1}}' % FILLER)
    (m.mnt / 'presence/s1/x.json').write_text('2')
    (m.mnt / '.mode').write_text('force datalevin-only')
    assert m.edn_text().endswith(':presence/s1 {"x" 2}}')
    write_in_place(m.edn, '{%s}' % FILLER)
    (m.mnt / '.mode').write_text('datalevin-first')
    assert m.edn_text() == '{%s}' % FILLER
    assert not (m.mnt / 'presence/s1').exists()
