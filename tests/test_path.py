# SPDX-License-Identifier: MIT
"""Keys, paths and patterns: mapping/path.h and mapping/schema.h, through tests/c/path_probe.c."""
import pathlib
import re
import subprocess

import pytest
from hypothesis import assume, example, given, settings, strategies as st

from conftest import examples

CASES = pathlib.Path(__file__).parent / 'cases' / 'path'
PLAIN_KEYWORD = (':learning/index', ':learning/review-index')


class Place:
    def __init__(self, kind, collection, lenient, key, member, reason):
        self.kind = kind.decode()
        self.collection = collection == b'1'
        self.lenient = lenient == b'1'
        self.key = key
        self.member = member
        self.reason = reason.decode(errors='replace')


class Probe:
    """One process for all questions: a line out, a line back."""

    def __init__(self, program):
        self.proc = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self):
        self.proc.stdin.close()
        self.proc.stdout.close()
        assert self.proc.wait(60) == 0

    def ask(self, verb, *args):
        """The answers, or None and the reason in self.reason."""
        line = ' '.join([verb] + [raw(arg).hex() or '-' for arg in args])
        self.proc.stdin.write(line.encode() + b'\n')
        self.proc.stdin.flush()
        answer = self.proc.stdout.readline()
        assert answer.endswith(b'\n'), f'the probe died of: {line}'
        if answer.startswith(b'error '):
            self.reason = answer[len('error '):-1].decode(errors='replace')
            return None
        words = answer.split()
        assert words[0] == b'ok'
        return [b'' if word == b'-' else bytes.fromhex(word.decode()) for word in words[1:]]

    def canonical(self, edn):
        """The key's one text, or None where the text is no EDN."""
        answer = self.ask('canonical', edn)
        return answer and answer[0]

    def key(self, edn, directory=False):
        return self.ask('key', '1' if directory else '0', edn)[0]

    def member(self, collection, edn):
        return self.ask('member', '1' if raw(collection).decode() in PLAIN_KEYWORD else '0', edn)[0]

    def parse(self, path):
        return Place(*self.ask('parse', path))

    def match(self, keyword):
        pattern, kind, collection, member, prefix = self.ask('match', keyword)
        return (pattern.decode(), kind.decode(), collection == b'1',
                'keyword' if member == b'1' else 'string', int(prefix))


def raw(text):
    return text if isinstance(text, bytes) else text.encode()


@pytest.fixture(scope='module')
def probe(binary):
    made = Probe(binary('path_probe'))
    yield made
    made.close()


@pytest.fixture
def schema(probe):
    """The probe with the built-in table, which the test may add to."""
    probe.ask('reset')
    yield probe
    probe.ask('reset')


# ---- the case files ----

def cases(name):
    rows = []
    for line in (CASES / name).read_text().split('\n'):
        if not line or line.startswith('# '):
            continue
        data = re.sub(rb'<(.)\*(\d+)>', lambda m: m[1] * int(m[2]), line.encode())
        data = re.sub(rb'\t', b'\xfe', data)  # before <09> becomes one; no case holds FE
        data = re.sub(rb'<([0-9A-F]{2})>', lambda m: bytes.fromhex(m[1].decode()), data)
        rows.append(data.split(b'\xfe'))
    assert len(rows) > 10
    return rows


@pytest.mark.parametrize('edn,kind,path', cases('keys.txt'))
def test_key_case(probe, edn, kind, path):
    key = probe.canonical(edn)
    assert key is not None, probe.reason
    assert probe.key(edn, kind == b'map') == path
    assert probe.ask('key-text', '1' if kind == b'map' else '0', key) == [path]
    place = probe.parse(path)
    assert place.kind in ('document', 'directory'), place.reason
    assert place.key == key and place.member == b''


@pytest.mark.parametrize('edn,member,path', cases('members.txt'))
def test_member_case(probe, edn, member, path):
    directory, _, name = path.rpartition(b'/')
    canonical = probe.canonical(member)
    assert probe.key(edn, True) == directory
    assert probe.member(edn, member) == name
    plain = '1' if edn.decode() in PLAIN_KEYWORD else '0'
    assert probe.ask('member-text', plain, canonical) == [name]
    place = probe.parse(path)
    assert (place.kind, place.key, place.member) == ('member', edn, canonical), place.reason


@pytest.mark.parametrize('row', cases('places.txt'), ids=lambda row: repr(row[0])[:60])
def test_place_case(probe, row):
    path, kind, key, member, flags = (row + [b'', b'', b''])[:5]
    place = probe.parse(path)
    assert place.kind == kind.decode(), place.reason
    assert (place.key, place.member) == (key, member)
    assert place.collection == (b'collection' in flags)
    assert place.lenient == (b'lenient' in flags)
    if place.kind == 'none':
        assert place.reason and place.reason != 'no reason'


def test_root(probe):
    place = probe.parse('')
    assert (place.kind, place.key, place.collection) == ('directory', b'', False)


@pytest.mark.parametrize('name,scratch', [
    ('a.json', False), ('a.json~', True), ('.a.json', True), ('.json', True), ('', True),
    ('a', True), ('a.json.swp', True), ('a.JSON', True), ('%2Ea.json', False)])
def test_scratch_name(probe, name, scratch):
    assert probe.ask('scratch', name) == [b'1' if scratch else b'0']


# ---- properties ----

WORDS = ['a', 'b', 'x', 'json', '.json', '.', '..', '%', '%2F', '%2E', '%41', '%~', '~', '/', '/',
         '//', ':', "'", '#', '@', '-', '_', '0', '7', '\x00', '\x01', '\x1b', '\x7f', 'é', '日', '😀',
         '\x85', '\ufeff', 'presence', 'presence/', 'learning/tag-index', 'learning/index/',
         'embed-token/', '.git', 'nil', 'true', '1N', '##NaN', '%~0123456789abcdef',
         'long' * 50, '長' * 79, '%' * 80]
ENDS = re.compile(r'[\s,;"^()\[\]{}\\`\x1c-\x1f\u1680\u2000-\u200a\u2028\u2029\u205f\u3000]')

words = st.lists(st.sampled_from(WORDS), max_size=6).map(''.join)
anything = st.text(st.characters(blacklist_categories=['Cs']), max_size=40)
hostile = st.one_of(words, words, anything, st.builds(lambda a, b: a + b, words, anything))
tokens = hostile.map(lambda text: ENDS.sub('', text))


def edn_string(text):
    return '"' + text.replace('\\', '\\\\').replace('"', '\\"') + '"'


strings = st.one_of(
    hostile.map(edn_string),
    st.builds(lambda text, unit: edn_string(text)[:-1] + f'\\u{unit:04x}"', hostile,
              st.integers(0xd800, 0xdfff)))
scalars = st.one_of(
    tokens.map(lambda text: ':' + text), tokens.map(lambda text: ':' + text), strings, strings,
    tokens, st.sampled_from(['nil', 'true', 'false', '##NaN', '##Inf', '##-Inf', '-0.0', '1e300']),
    st.integers().map(str), st.integers().map(lambda n: f'{n}N'),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda n: f'{n}M'),
    st.builds(lambda a, b: f'{a}/{b}', st.integers(), st.integers(1)),
    st.characters(min_codepoint=33, max_codepoint=0xd7ff).map(lambda c: '\\' + c),
    st.datetimes().map(lambda t: f'#inst "{t.isoformat(timespec="milliseconds")}"'),
    st.uuids().map(lambda u: f'#uuid "{u}"'))
keys = st.recursive(scalars, lambda inner: st.one_of(
    st.lists(inner, max_size=3).map(lambda items: f'[{" ".join(items)}]'),
    st.lists(inner, max_size=3).map(lambda items: f'({" ".join(items)})'),
    st.lists(inner, max_size=3).map(lambda items: f'#{{{" ".join(items)}}}'),
    st.lists(st.tuples(inner, inner), max_size=2).map(
        lambda pairs: '{' + ' '.join(f'{k} {v}' for k, v in pairs) + '}'),
    inner.map(lambda value: f'#my/tag {value}')), max_leaves=5)
collections = st.one_of(
    st.sampled_from([':presence/s1', ':learning/tag-index', *PLAIN_KEYWORD]),
    tokens.map(lambda text: ':presence/' + text))
COUNT = settings(max_examples=examples(300))


def check_names(path):
    assert path and not path.startswith(b'/')
    for name in path.split(b'/'):
        assert 1 <= len(name) <= 255 and b'\0' not in name and name not in (b'.', b'..')
        assert not name.startswith(b'.')
        name.decode('utf-8', 'strict')
    assert not any(name.endswith(b'.json') for name in path.split(b'/')[:-1])


def is_cut(path):
    return b'%~' in path


@COUNT
@given(edn=keys, directory=st.booleans())
@example(':', True).via('the shortest keyword')
@example('"' + 'é' * 200 + '"', False).via('cut')
def test_keys_read_back(probe, edn, directory):
    key = probe.canonical(edn)
    assume(key is not None)
    path = probe.key(edn, directory)
    check_names(path)
    assert probe.ask('key-text', '1' if directory else '0', key) == [path]
    place = probe.parse(path)
    if is_cut(path):
        assert (place.kind, place.key) == ('cut', b'')
        return
    assert place.kind == ('document' if path.endswith(b'.json') else 'directory'), place.reason
    assert (place.key, place.member) == (key, b'')
    if not path.endswith(b'.json'):
        assert directory and place.collection
    elif place.collection:
        assert not directory


@COUNT
@given(collection=collections, edn=keys)
def test_members_read_back(probe, collection, edn):
    key, member = probe.canonical(collection), probe.canonical(edn)
    assume(key is not None and member is not None and probe.match(key[1:])[2])
    name = probe.member(key, edn)
    path = probe.key(key, True) + b'/' + name
    check_names(path)
    assert b'/' not in name and name.endswith(b'.json')
    place = probe.parse(path)
    if is_cut(path):
        assert (place.kind, place.key, place.member) == ('cut', b'', b'')
        return
    assert (place.kind, place.key, place.member) == ('member', key, member), place.reason
    assert not place.collection


def twins(text):
    """Keys that a careless rule would give one name."""
    token = ENDS.sub('', text)
    variants = [text, ':' + text, "'" + text, '#' + text, '.' + text, '%2E' + text, '%' + text,
                text + '.json', text.replace('/', '%2F'), text.replace('%', '%25'), text + '/',
                '/' + text, text.replace('/', '//'), text.upper(), text + '~', 'presence/' + text,
                'presence%2F' + text, 'presence/s1/' + text, text[:-1] + 'x', text + text[-1:]]
    found = [edn_string(variant) for variant in variants]
    found += [':' + ENDS.sub('', variant) for variant in variants]
    found += [token, f'[{token}]', f'[:{token}]', f'[{edn_string(text)}]', f'({token})',
              f'#{{{token}}}', f'\\{token}', f'{token}N', f'{token}.0', f'{token}M',
              f'#my/tag {token}', edn_string(f'[{token}]'), edn_string(f'"{text}"'),
              edn_string(f'#{{{token}}}'), 'nil', ':nil', '"nil"', '"#nil"']
    return found


@settings(max_examples=examples(120))
@given(text=hostile, collection=collections)
@example('a' * 250, ':presence/s1').via('names that are cut alike')
@example('長' * 90, ':learning/index').via('names that are cut alike')
@example('1', ':presence/s1').via('numbers')
def test_two_keys_never_share_a_path(probe, text, collection):
    """Documents, collections and the members of one collection, all in one tree."""
    seen = {}

    def note(path, what):
        check_names(path)
        assert seen.setdefault(path, what) == what, f'{what} and {seen[path]} are both {path}'

    inside = probe.canonical(collection)
    if inside is None or not probe.match(inside[1:])[2]:
        inside = b':presence/s1'
    base = probe.key(inside, True)
    for edn in twins(text):
        key = probe.canonical(edn)
        if key is None:
            continue
        file, folder = probe.key(edn), probe.key(edn, True)
        note(file, (key, None))
        if folder != file:
            note(folder, (key, 'directory'))
        note(base + b'/' + probe.member(inside, edn), (inside, key))
    assert len(seen) > 10


@settings(max_examples=examples(200))
@given(text=tokens, other=tokens)
def test_canonical_texts_are_the_values(probe, text, other):
    """What tells two keys apart above, their canonical texts, agrees with edn_identical."""
    for a in (f':{text}', edn_string(text), f'[{text}]'):
        for b in (f':{other}', edn_string(other), f'[{other}]', f'[ {text}]'):
            one, two = probe.canonical(a), probe.canonical(b)
            if one is not None and two is not None:
                assert (one == two) == (probe.ask('same', a, b) == [b'1'])


PIECES = [b'a', b'.json', b'.', b'/', b'/', b'%2F', b'%2f', b'%25', b'%2E', b'%41', b'%', b'%01',
          b'%00', b'\x01', b':', b"'", b'#', b'[1 2]', b'{', b'"', b' ', b'\xff', b'\xc3', b'\xa9',
          b'\xed\xa0\x80', '日'.encode(), b'presence/s1/', b'learning/index/', b'presence', b'~',
          b'%~0123456789abcdef', b'x' * 232, b'x' * 240, b'.git/', b'0', b'nil', b'1', b'@', b',']
paths = st.one_of(
    st.binary(max_size=60), st.binary(max_size=60).map(lambda path: path + b'.json'),
    st.lists(st.sampled_from(PIECES), max_size=8).map(b''.join),
    st.lists(st.sampled_from(PIECES), max_size=8).map(lambda parts: b''.join(parts) + b'.json'))


@settings(max_examples=examples(1000))
@given(path=paths)
def test_accepted_paths_print_back(probe, path):
    place = probe.parse(path)
    if place.kind in ('none', 'scratch', 'cut'):
        assert (place.key, place.member, place.collection) == (b'', b'', False)
    if place.kind == 'document':
        assert probe.key(place.key) == path
        assert probe.canonical(place.key) == place.key
    elif place.kind == 'member':
        printed = probe.key(place.key, True) + b'/' + probe.member(place.key, place.member)
        assert printed == path
        assert probe.canonical(place.member) == place.member
    elif place.kind == 'directory' and path and place.collection:
        assert probe.key(place.key, True) == path
    elif place.kind == 'directory' and path and probe.match(place.key[1:])[4] == 0:
        below = probe.key(place.key + b'/below')
        assert below == path + b'/below.json'
    elif place.kind == 'none':
        assert place.reason and place.reason != 'no reason'


@COUNT
@given(edn=keys)
def test_root_names_follow_the_rule_of_object_keys(probe, edn):
    """Decoded, the name of a key that is one name is its JSON object key, but for its two exceptions."""
    key = probe.canonical(edn)
    assume(key is not None)
    path = probe.key(edn)
    assume(b'/' not in path and not is_cut(path))
    text = re.sub(rb'%([0-9A-F]{2})', lambda m: bytes.fromhex(m[1].decode()), path[:-len('.json')])
    expected = probe.ask('json-key', edn)[0]
    if key == b'""':
        expected = b"'"
    elif key.startswith(b'"') and b'\\ud' in key.lower():
        expected = b'#' + key
    assert text == expected


def test_cut_names(probe):
    """Full but for a character's or an escape's end, and told apart by what was cut off."""
    for tail in ('', 'x', 'é', '長', '😀', '%', '%%', '\x01'):
        for fill in ('a', 'é', '長', '😀', '%'):
            base = 'a' * 200 + (fill * 80)
            one, two = probe.key(edn_string(base + tail + 'y')), probe.key(
                edn_string(base + tail + 'z'))
            assert one != two
            for path in (one, two):
                assert 252 <= len(path) <= 255
                assert re.search(rb'%~[0-9a-f]{16}\.json$', path)
                path.decode()
                assert not re.search(rb'%.?%~', path)
                assert probe.parse(path).kind == 'cut'


def test_longest_names_are_whole(probe):
    for length, cut in ((250, False), (251, True)):
        path = probe.key(':' + 'k' * length)
        assert len(path) == 255 and is_cut(path) == cut
    for length, cut in ((255, False), (256, True)):
        folder = probe.key(':' + 'k' * length + '/a')
        assert len(folder) == 255 + len('/a.json') and is_cut(folder) == cut
    siblings = {probe.key(f':{"k" * 300}/{name}').split(b'/')[0] for name in 'abc'}
    assert len(siblings) == 1


def test_huge_keys(probe):
    """As long as a document may be: names stay names."""
    for edn in (':' + 'a/' * 50000 + 'b', ':' + '/' * 100000, '"' + '%' * 100000 + '"',
                ':presence/' + 'a/' * 50000 + 'b', '[' + '1 ' * 100000 + ']'):
        path = probe.key(edn)
        assert path.endswith(b'.json')
        check_names(path)


# ---- the table ----

@pytest.mark.parametrize('keyword,pattern,kind,collection,member', [
    ('presence/s1', 'presence/**', 'presence', True, 'string'),
    ('presence/a/b/c', 'presence/**', 'presence', True, 'string'),
    ('presence/:s1', 'presence/**', 'presence', True, 'string'),
    ('presence', '', '', False, 'string'),
    ('presence/', '', '', False, 'string'),
    ('presence//a', '', '', False, 'string'),
    ('presence2/a', '', '', False, 'string'),
    ('collab-session/a', 'collab-session/**', 'session', False, 'string'),
    ('projects/a', 'projects/**', 'project', True, 'string'),
    ('builder-sessions/a', 'builder-sessions/**', 'builder-session', True, 'string'),
    ('comments/a', 'comments/**', 'comment', True, 'string'),
    ('versions/a', 'versions/**', 'version', True, 'string'),
    ('ops/a/b', 'ops/**', 'operations', False, 'string'),
    ('offline-queue/a', 'offline-queue/**', 'operations', False, 'string'),
    ('learning/tag-index', 'learning/tag-index', 'tag', True, 'string'),
    ('learning/index', 'learning/index', 'learning-index', True, 'keyword'),
    ('learning/review-index', 'learning/review-index', 'learning-index', True, 'keyword'),
    ('learning/wal', 'learning/wal', 'wal', False, 'string'),
    ('learning/index/x', '', '', False, 'string'),
    ('review/a/b', 'review/**', 'review', False, 'string'),
    ('deleted/a', 'deleted/**', 'deleted', False, 'string'),
    ('embed-token/0ab', 'embed-token/*', 'embed-token', False, 'string'),
    ('embed-token/a/b', '', '', False, 'string'),
    ('webhook/a', 'webhook/*', 'webhook', False, 'string'),
    ('notifications/last-a', 'notifications/*', 'notifications', False, 'string'),
    ('session-snapshot/:s', 'session-snapshot/**', 'session-snapshot', False, 'string'),
    ('optimistic/a', 'optimistic/**', 'optimistic', False, 'string'),
])
def test_built_in_rows(schema, keyword, pattern, kind, collection, member):
    assert schema.match(keyword)[:4] == (pattern, kind, collection, member)


@pytest.mark.parametrize('key,value,kind', [
    (':alice/x-1-2', '{:learning/id "alice/x-1-2"}', 'learning'),
    (':alice/x-1-2', '#:learning{:id 1}', 'learning'),
    (':alice/x-1-2', '{"learning/id" 1}', 'cache'),
    (':alice/x-1-2', '[:learning/id]', 'cache'),
    (':alice/x-1-2', '', 'cache'),
    (':review/x', '{:learning/id 1}', 'review'),
    (':presence/x', '[]', 'presence'),
    ('nil', '{:learning/id nil}', 'learning'),
    ('"presence/x"', '{}', 'cache'),
    ('presence/x', '{}', 'cache'),
    ('[:presence/x]', '1', 'cache'),
])
def test_types(schema, key, value, kind):
    assert schema.ask('type', key, value) == [kind.encode()]


def test_added_rows_go_first(schema):
    assert schema.ask('schema', '''{"sprint/plan" {:type sprint-plan :shape :collection :member :keyword}
        :sprint/** {:type :sprint, :shape collection} ; a comment
        "presence/lobby" {:type "lobby" :shape "document"}}, ; and its end''') == []
    assert schema.match('sprint/plan')[:4] == ('sprint/plan', 'sprint-plan', True, 'keyword')
    assert schema.match('sprint/1/2')[:4] == ('sprint/**', 'sprint', True, 'string')
    assert schema.match('presence/lobby')[:3] == ('presence/lobby', 'lobby', False)
    assert schema.match('presence/s1')[2]
    assert schema.key(':presence/lobby', True) == b'presence/lobby.json'
    assert schema.key(':sprint/plan/x') == b'sprint/plan%2Fx.json'
    assert schema.ask('schema', '{"sprint/plan" {:type later :shape :document}}') == []
    assert schema.match('sprint/plan')[:3] == ('sprint/plan', 'later', False)


def test_a_row_may_hide_a_part_of_a_collection(schema):
    """The prefix that is no collection is passed over, not the end of the search."""
    assert schema.ask('schema', '{"presence/x" {:type lobby :shape :document}}') == []
    assert schema.match('presence/x/y/z')[4] == len('presence/x/y')
    assert schema.key(':presence/x/y/z') == b'presence/x/y%2Fz.json'
    assert schema.parse('presence/x/y%2Fz.json').key == b':presence/x/y/z'
    assert schema.key(':presence/x/y') == b'presence/x/y.json'
    assert schema.parse('presence/x/y.json').collection
    assert schema.parse('presence/x/y/m.json').member == b'"m"'


def test_stars(schema):
    assert schema.ask('schema', '''{"team/*/notes" {:type note :shape :collection}
        "*/x/*" {:type any :shape :document}}''') == []
    assert schema.match('team/a/notes')[:3] == ('team/*/notes', 'note', True)
    assert schema.match('team/a/b/notes')[:2] == ('', '')
    assert schema.match('team/a/notes/b')[4] == len('team/a/notes')
    assert schema.match('t/x/u')[:2] == ('*/x/*', 'any')
    assert schema.key(':team/a/notes/b/c') == b'team/a/notes%2Fb%2Fc.json'
    assert schema.parse('team/a/notes/b/c.json').kind == 'none'
    assert schema.parse('team/a/notes/b.json').kind == 'member'


def test_everything_a_collection(schema):
    assert schema.ask('schema', '{"**" {:type all :shape :collection}}') == []
    assert schema.key(':a/b/c', True) == b'a/b/c'
    assert schema.key(':a/b/c') == b'a%2Fb%2Fc.json'
    assert schema.parse('a%2Fb%2Fc.json').key == b':a/b/c'
    assert schema.key(':a/1') == b'#:a%2F1.json'
    assert schema.parse('#:a%2F1.json').key == b':a/1'
    assert schema.parse('a/b.json').member == b'"b"'


@pytest.mark.parametrize('text,reason', [
    ('', ''),
    ('{', ''),
    ('[]', 'not a map of patterns'),
    ('{} {}', 'text behind the map'),
    ('{} x', 'text behind the map'),
    ('{1 {:type a :shape :document}}', 'a pattern is a string'),
    ('{"a/**" 1}', 'row "a/**": a row is a map'),
    ('{"a/**" {:shape :document}}', 'row "a/**": :type is missing'),
    ('{"a/**" {:type a}}', 'row "a/**": :shape is missing'),
    ('{"a/**" {:type 7 :shape :document}}', ':type is not a word'),
    ('{"a/**" {:type "" :shape :document}}', ':type is empty'),
    ('{"a/**" {:type "two words" :shape :document}}', ':type holds more than letters'),
    ('{"a/**" {:type "\x00" :shape :document}}', ':type holds more than letters'),
    ('{"a/**" {:type a/b :shape :document}}', ':type holds more than letters'),
    ('{"a/**" {:type ' + 'a' * 65 + ' :shape :document}}', ':type is empty or too long'),
    ('{"a/**" {:type a :shape :directory}}', ':shape is neither'),
    ('{"a/**" {:type a :shape :collection :member :number}}', ':member is neither'),
    ('{"a/**" {:type a :shape :document :member :string}}', ':member is for collections'),
    ('{"a/**" {:type a :shape :document :size 1}}', 'no other key: :size'),
    ('{"a/**" {:type a "type" b :shape :document}}', 'given twice'),
    ('{"a/**" {:type a :shape :document 1 2}}', 'no other key'),
    ('{"" {:type a :shape :document}}', 'no empty segment'),
    ('{"a//b" {:type a :shape :document}}', 'no empty segment'),
    ('{"a/" {:type a :shape :document}}', 'no empty segment'),
    ('{":a/**" {:type a :shape :document}}', 'without its colon'),
    ('{"a/**/b" {:type a :shape :document}}', '** can only be the last'),
    ('{"a/b*" {:type a :shape :document}}', '* stands for a whole segment'),
    ('{"a/***" {:type a :shape :document}}', '* stands for a whole segment'),
    ('{"a\nb" {:type a :shape :document}}', 'row "a\\nb": no keyword can match'),
    ('{"a" {:type "\n" :shape :document}}', ':type holds more than letters'),
    ('{"a" {"\n" a :shape :document}}', 'no other key'),
    ('{"a b/**" {:type a :shape :document}}', 'no keyword can match'),
    ('{"a" {:type a :shape :document} :a {:type a :shape :document}}', 'given twice'),
])
def test_mapping_errors(schema, text, reason):
    before = schema.match('a/x'), schema.match('presence/s1')
    assert schema.ask('schema', text) is None
    assert reason in schema.reason
    assert (schema.match('a/x'), schema.match('presence/s1')) == before


def test_too_many_rows(schema):
    rows = ' '.join(f'"r{i}" {{:type a :shape :document}}' for i in range(1001))
    assert schema.ask('schema', '{' + rows + '}') is None
    assert 'more than 1000 rows' in schema.reason
