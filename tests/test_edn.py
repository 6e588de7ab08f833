# SPDX-License-Identifier: MIT
"""EDN against Clojure itself: the reader, the scanner, the printers, through tests/c/edn_probe.c."""
import base64
import collections
import json
import pathlib
import random
import re
import subprocess
import sys

import pytest

import edn_texts
from conftest import examples

CASES = pathlib.Path(__file__).parent / 'cases' / 'edn'

Read = collections.namedtuple('Read', 'end printed canonical identity readable self_check lenient')
Error = collections.namedtuple('Error', 'code line column truncated message')
Entry = collections.namedtuple('Entry', 'key value depth type lenient')
Scan = collections.namedtuple('Scan', 'count open close end lenient prefix entries')

# Clojure reads these; ourofs refuses them, as no text stands for the value, or reads as another value, as
# its own print does (what pr-str prints for a keyword with a slash in its name, and none in its namespace).
KNOWN = {'#:a{_/nil 1}', '#:a{_/-1 2}', '#:a{:_/b/c 1}', '#:/{:b 1}'}


def unhex(field):
    assert field[0] == 'x'
    return bytes.fromhex(field[1:])


def span(field):
    offset, length = field.split('+')
    return slice(int(offset), int(offset) + int(length))


def parse_error(fields):
    code, line, column, truncated, message = fields
    return Error(int(code), int(line), int(column), truncated == '1', unhex(message).decode())


def parse_read(fields):
    if fields[0] == 'error':
        return parse_error(fields[1:])
    end, printed, canonical, identity, readable, self_check, lenient = fields[1:]
    return Read(int(end), unhex(printed), unhex(canonical), identity, readable == '1', self_check, lenient == '1')


def parse_scan(fields):
    assert fields[0] != 'DIFFERENT', ' '.join(fields)
    if fields[0] == 'error':
        return parse_error(fields[1:])
    head, rest = fields[1:7], fields[7:]
    entries = [Entry(span(rest[i]), span(rest[i + 1]), int(rest[i + 2]), int(rest[i + 3]), rest[i + 4] == '1')
               for i in range(0, len(rest), 5)]
    return Scan(*map(int, head[:4]), head[4] == '1', unhex(head[5]), entries)


@pytest.fixture(scope='session')
def probe(binary):
    """probe(texts) -> [(Read or Error, Scan or Error)]; texts are str or bytes."""
    def ask(texts, depth=1024):
        texts = [text.encode() if isinstance(text, str) else text for text in texts]
        done = subprocess.run([binary('edn_probe'), str(depth)], capture_output=True,
                              input=b''.join(b'%d\n%s' % (len(text), text) for text in texts))
        assert (done.returncode, done.stderr) == (0, b'')
        answers = []
        for line in done.stdout.decode().splitlines():
            read, scan = line.split(' | ')
            answers.append((parse_read(read.split()), parse_scan(scan.split())))
        assert len(answers) == len(texts)
        return answers
    return ask


def ask_clojure(pairs):
    """Of each text and what was printed for it (or None): 'ok', 'ok same', 'ok different..', 'error'."""
    lines = [' '.join(base64.b64encode(part).decode() for part in pair if part is not None) for pair in pairs]
    done = subprocess.run(['clojure', CASES / 'oracle.clj'], input='\n'.join(lines) + '\n',
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert len(answers) == len(pairs)
    return answers


def load_cases():
    cases = []
    for line in (CASES / 'texts.txt').read_text().splitlines():
        if line and not line.startswith('#'):
            text, at = json.JSONDecoder().raw_decode(line)
            cases.append((text, line[at + 1:at + 3], line[at + 4:]))
    return cases


def test_cases(probe):
    cases = load_cases()
    assert len(cases) > 400
    for (text, relation, expected), (read, _) in zip(cases, probe([case[0] for case in cases])):
        if relation in ('=>', '~~'):
            assert isinstance(read, Read), (text, read)
            assert read.canonical.decode() == json.loads(expected), text
            assert read.lenient == (relation == '~~'), text
        else:
            assert isinstance(read, Error), (text, read)
            assert f'{read.line}:{read.column} {read.message}' == expected, text
            assert read.truncated == (relation == '..'), text


def check_agreement(texts, answers):
    """The scanner and the reader, and what is printed and what was read, in every answer."""
    for text, (read, scan) in zip(texts, answers):
        if isinstance(read, Error):
            assert scan == read, text
            continue
        assert read.self_check == 'same', text
        if isinstance(scan, Error):
            assert scan.message.startswith('the top level is '), (text, scan)
            continue
        assert scan.end == read.end, text
        assert scan.count == len(scan.entries), text


def test_reader_and_scanner_agree(probe):
    texts = edn_texts.forms_and_mutations(1, examples(30000), [case[0] for case in load_cases()])
    answers = probe(texts)
    check_agreement(texts, answers)
    assert sum(isinstance(scan, Scan) for _, scan in answers) > examples(4000)


def test_entries_are_what_is_read(probe):
    """The spans of a scan, each read alone and put together again, are the map that was read."""
    texts = edn_texts.forms_and_mutations(2, examples(6000))
    maps = [(text.encode(), read, scan) for text, (read, scan) in zip(texts, probe(texts))
            if isinstance(scan, Scan)]
    assert len(maps) > examples(500)
    rebuilt = []
    for text, _, scan in maps:
        prefix = b'#:' + scan.prefix if scan.prefix else b''
        parts = b'\n'.join(text[entry.key] + b'\n' + text[entry.value] for entry in scan.entries)
        rebuilt.append(prefix + b'{' + parts + b'\n}')
    values = [text[entry.value] for text, _, scan in maps for entry in scan.entries]
    for (text, read, _), (again, _) in zip(maps, probe(rebuilt)):
        assert again.identity == read.identity, text
    for value, (read, _) in zip(values, probe(values)):
        assert read.end == len(value), value


@pytest.mark.oracle
def test_clojure_agrees(probe):
    cases = [case[0] for case in load_cases()]
    texts = [text for text in cases if text not in KNOWN] + edn_texts.forms_and_mutations(3, 5000, cases)
    texts = [text for text in texts if not re.search(r'_/[^ ]*/', text)]
    answers = probe(texts)
    check_agreement(texts, answers)
    verdicts = ask_clojure([(text.encode(), read.canonical if isinstance(read, Read) else None)
                            for text, (read, _) in zip(texts, answers)])
    count = collections.Counter()
    for text, (read, _), verdict in zip(texts, answers, verdicts):
        if isinstance(read, Error):
            assert verdict == 'error' or 'no text can stand for' in read.message, (text, read)
        elif read.lenient:  # a word in it, or what #:ns{} makes of one, is unreadable for Clojure
            assert verdict.startswith(('error', 'ok')), (text, verdict)
        else:
            assert verdict == 'ok same', (text, read, verdict)
        count[verdict] += 1
    assert count['ok same'] > 1500 and count['error'] > 1500


@pytest.mark.oracle
def test_clojure_prints_alike(probe):
    """Doubles and decimals take the very layout that pr-str gives them."""
    forms = edn_texts.Forms(4)
    numbers = [repr(forms.random.uniform(-1, 1) * 10.0 ** forms.random.randrange(-30, 30)) for _ in range(300)]
    numbers += [repr(float(forms.random.randrange(10 ** 9)) / 10 ** forms.random.randrange(10)) for _ in range(300)]
    numbers += ['%d.%dE%dM' % (forms.random.randrange(1000), forms.random.randrange(1000), forms.random.randrange(-12, 12))
                for _ in range(300)]
    script = '(prn (mapv pr-str (clojure.edn/read-string "[%s]")))' % ' '.join(numbers)
    done = subprocess.run(['clojure', '-e', script], capture_output=True, text=True)
    printed = json.loads(done.stdout.replace('" "', '", "'))
    for number, (read, _), expected in zip(numbers, probe(numbers), printed):
        ours = read.printed.decode()
        # Java 17 says some doubles with a digit more than they need.
        assert ours == expected or (float(ours) == float(expected) and len(ours) < len(expected)), number


def test_doubles_are_the_nearest(probe):
    """Of all lengths and exponents, and of those the middles between two doubles and what is next to them."""
    from fractions import Fraction
    random = edn_texts.Forms(8).random
    texts = [f'{random.getrandbits(random.randrange(1, 80))}e{random.randrange(-345, 310)}' for _ in range(2000)]
    for _ in range(500):
        exponent = random.randrange(-60, 60)
        middle = (random.getrandbits(52) | 1 << 52) * 2 + 1
        scaled = Fraction(middle) * Fraction(2) ** exponent
        digits = len(str(int(scaled))) if scaled >= 1 else 0
        for places in (17 - digits, 18 - digits, 120):
            number = int(scaled * Fraction(10) ** places)
            texts += [f'{number + more}e{-places}' for more in (-1, 0, 1)]
    texts = [text for text in texts if abs(float(text)) != float('inf')]
    for text, (read, _) in zip(texts, probe(texts)):
        assert float(read.canonical) == float(text), text


def test_doubles_are_shortest(probe):
    forms = edn_texts.Forms(5)
    values = [forms.random.uniform(-1, 1) * 10.0 ** forms.random.randrange(-320, 308) for _ in range(5000)]
    values += [2.0 ** exponent for exponent in range(-1074, 1024)]
    for value, (read, _) in zip(values, probe([repr(value) for value in values])):
        ours = read.printed.decode()
        assert float(ours) == value
        digits = [re.sub(r'[eE].*|[-.]', '', text).strip('0') for text in (ours, repr(value))]
        assert len(digits[0]) <= max(len(digits[1]), 2), (ours, value)


# What opens a level (or more), and how many.
NESTING = {'[': 1, '(': 1, '{0 ': 1, '{': 1, '#{': 1, '#a ': 1, '#_': 1, '^': 1, '#^': 1, '#:a{0 ': 1, '##': 1, '#:': 1,
           '#{[': 2, '{0 #{': 2, '[#_': 2, '^a [': 2, '#a ^b [': 3}


@pytest.mark.parametrize('opening', NESTING)
def test_deep_nesting(probe, opening):
    """One level too many is an error that says so, and no amount of them is more than that."""
    times = 1024 // NESTING[opening]
    (fits, _), *deeper = probe([opening * times, opening * (times + 1), opening * 300000, '{:k ' + opening * 300000])
    assert fits.message != 'nested deeper than 1024 levels'
    for read, scan in deeper:
        assert read.message == scan.message == 'nested deeper than 1024 levels'


def test_nesting_that_fits(probe):
    def nested(levels):
        return '[' * levels + ']' * levels
    fits, too_deep, in_map, in_map_too_deep = probe(
        [nested(1024), nested(1025), '{:a %s}' % nested(1023), '{:a %s}' % nested(1024)])
    assert fits[0].self_check == 'same' and not fits[0].readable  # as it is deeper than what may be saved
    assert too_deep[0].message == 'nested deeper than 1024 levels'
    assert in_map[1].entries[0].depth == 1023
    assert in_map_too_deep[0] == in_map_too_deep[1]
    assert probe([nested(512)])[0][0].readable and not probe([nested(513)])[0][0].readable


def test_large(probe):
    """Sizes at which anything quadratic would not end."""
    count = 100000
    texts = [
        '#{%s}' % ' '.join(map(str, range(count))),
        '{%s}' % ' '.join(f':k{i} {i}' for i in range(count)),
        '{%s}' % ' '.join(f'[{i}] #{{{i} "{i}"}}' for i in range(count)),
        '{%s :k7 1}' % ' '.join(f':k{i} {i}' for i in range(count)),
        '{:a #{%s [7]}}' % ' '.join(f'[{i}]' for i in range(count)),
        '{:a #:b{%s :b/k7 1}}' % ' '.join(f':k{i} {i}' for i in range(count)),
        '{:a "%s"}' % ('x' * 10 ** 6),
        '{:a "%s"}' % ('\\n' * 10 ** 6),
        '{:a "%s"}' % ('漢' * 10 ** 6),
        '{:a %s}' % ('1' * 10 ** 6),
        '{:a %s.5e3}' % ('1' * 10 ** 6),
        '{:a %s.5M}' % ('1' * 10 ** 6),
        '{:%s 1}' % ('a' * 10 ** 6),
        '{:a ' + '#_1 ' * 10 ** 6 + '2}',
    ]
    answers = probe(texts)
    check_agreement(texts, answers)
    for i, (read, scan) in enumerate(answers):
        if i in (3, 4, 5):
            assert 'already' in read.message
        else:
            assert isinstance(read, Read) and (i == 0 or isinstance(scan, Scan))
    assert answers[1][1].count == answers[2][1].count == count


MANY = 1024  # EDN_MANY of mapping/edn_many.h
SPELLINGS = {  # of the key i, and another of the same
    'integers': ('%d', '%dN'),
    'vectors': ('[%d]', '(%d)'),
    'strings': ('"k%d"', '"\\u006b%d"'),
    'words': (':k%d', ':k%d'),
    'sets': ('#{:a %d}', '#{%dN :a}'),
    'in a namespace': (':k%d', ':n/k%d'),
}


@pytest.mark.parametrize('spelling', SPELLINGS)
@pytest.mark.parametrize('kind', ['{%s}', '{:in {%s}}', '[#{:out {%s}}]', '{{%s} 1}', '#{%s}'])
def test_the_first_of_many_that_is_there_twice(probe, spelling, kind):
    usual, other = SPELLINGS[spelling]
    is_map = kind != '#{%s}'
    if spelling == 'in a namespace' and is_map:
        kind = kind.replace('{%s', '#:n{%s')
    elif spelling == 'in a namespace':
        other = usual
    rng = random.Random(f'{spelling} {kind}')
    texts, expected = [], []
    for count in (MANY - 1, MANY, MANY + 1, MANY + 30, 3 * MANY):
        for twice in (0, 1, 2, 5):
            keys = [usual % i for i in rng.sample(range(10 ** 6), count)]
            places = sorted(rng.sample(range(1, count), twice))
            for place in places:
                keys[place] = other % int(re.search(r'[0-9]+', keys[rng.randrange(place)].replace('006b', ''))[0])
            before = ''.join(key + (' 0 ' if is_map else ' ') for key in keys[:places[0]]) if places else ''
            texts.append(kind % ' '.join(key + ' 0' * is_map for key in keys))
            expected.append(kind.index('%s') + len(before) if places else None)
    answers = probe(texts)
    check_agreement(texts, answers)
    for place, text, (read, _) in zip(expected, texts, answers):
        if place is None:
            assert isinstance(read, Read), text
        else:
            assert 'already' in read.message and (read.line, read.column) == (1, place + 1), text


def test_arithmetic_is_bounded(probe):
    digits = '7' * 5000
    for text in (f'0x{digits}', f'{digits}/3', f'3/{digits}', f'36r{digits}'):
        assert 'more than 4096 digits' in probe([text])[0][0].message
    read, _ = probe([f'[{digits} {digits}N 0x{"f" * 4096} {"7" * 4096}/{"3" * 4096}]'])[0]
    sys.set_int_max_str_digits(20000)
    assert read.canonical.decode() == f'[{digits}N {digits}N {int("f" * 4096, 16)}N 7/3]'


def test_the_biggest_ratios(probe):
    """Of thousands of digits: such that the steps of Euclid's algorithm are many, few, or alike."""
    from fractions import Fraction
    sys.set_int_max_str_digits(20000)
    forms = edn_texts.Forms(7)
    before, fibonacci = 1, 1
    while len(str(fibonacci)) < 3000:
        before, fibonacci = fibonacci, before + fibonacci
    pairs = [(fibonacci, before), (before, fibonacci), (3 ** 2000 * fibonacci, 3 ** 2000 * before), (10 ** 4095, 10 ** 4095 - 1),
             (2 ** 9000, 2 ** 13000 - 1), (2 ** 9000 * 7, 2 ** 9600), (2 ** 4096 + 1, 2 ** 4064), (0, fibonacci)]
    for bits in (97, 130, 1000, 6000, 6000):
        common = forms.random.getrandbits(bits)
        pairs.append((common * forms.random.getrandbits(bits), common * (forms.random.getrandbits(bits) | 1)))
    for (over, under), (read, _) in zip(pairs, probe([f'{over}/{under}' for over, under in pairs])):
        assert read.canonical.decode().rstrip('N') == str(Fraction(over, under)), (over, under)


def test_big_ratios(probe):
    from fractions import Fraction
    forms = edn_texts.Forms(6)
    for _ in range(examples(20)):
        pairs = []
        for _ in range(50):
            common = forms.random.getrandbits(forms.random.randrange(1, 300)) | 1
            pairs.append((common * forms.random.getrandbits(forms.random.randrange(1, 400)),
                          common * (forms.random.getrandbits(forms.random.randrange(1, 400)) | 1)))
        for (over, under), (read, _) in zip(pairs, probe([f'-{over}/{under}' for over, under in pairs])):
            exact = Fraction(-over, under)
            ours = read.canonical.decode().rstrip('N')
            assert Fraction(ours) == exact and ours == str(exact), (over, under)


@pytest.mark.parametrize('text, place', [
    (b'{:a "\xff"}', (1, 6)), (b'{:a \xc3\xa9\xc3}', (1, 6)), (b'{;\xed\xa0\x80\n:a 1}', (1, 3)), (b'\xf0\x80\x80\x80', (1, 1)),
    (b'{"\xd0\xb6\n\xd0\xb6\xc0\xaf" 1}', (2, 2)), (b'[\\\xe2\x28]', (1, 3)), (b'#\xff 1', (1, 2)), (b'"\\\xff"', (1, 3)),
    (b'{:a 1, \xa0 2}', (1, 8)), (b'"\\u00\xff0"', (1, 6))])
def test_malformed_utf8_is_an_error(probe, text, place):
    read, scan = probe([text])[0]
    assert 'malformed UTF-8' in read.message and (read.line, read.column) == place
    assert scan == read and not read.truncated


def test_text_cut_anywhere_is_truncated(probe):
    """Whatever a writer that is not done has written so far is known as that."""
    whole = '{:k/w "é\\u00e9\\n" #inst "2020" [1.5e3 \\newline 22/7 0x1F], ;c\n #:ns{:a #{##Inf 漢}, ^{:m 1} b #uuid "1-2-3-4-5"} 1}'.encode()
    cut = [whole[:end] for end in range(len(whole))]
    for text, (read, scan) in zip(cut, probe(cut)):
        assert isinstance(read, Error) and read.truncated, text
        assert scan == read, text
    assert isinstance(probe([whole])[0][1], Scan)


def test_top_level(probe):
    texts = ['[1]', '42', 'nil', 'sym', '', '#inst "2020"', '^:a [1]', '{:a 1} {', '^:m {:a 1}', '#_1 #:a {:b 1}', '\ufeff{}']
    messages = [getattr(scan, 'message', 'a map') for _, scan in probe(texts)]
    assert messages == [
        'the top level is a vector, not a map', 'the top level is an integer, not a map', 'the top level is nil, not a map',
        'the top level is a symbol, not a map', 'the text ends where a form should be',
        'the top level is a tagged value, not a map', 'the top level is a vector, not a map', 'a map', 'a map', 'a map',
        'the top level is a symbol, not a map: it begins with a byte order mark']


def test_entries(probe):
    text = '#_0 #:ns{ ;c\n:a 1, ^:m b ^:n [#{1}] #_:x/1 "s" #foo [2] :c/1 nil} rest'
    _, scan = probe([text])[0]
    assert scan.prefix == b'ns' and scan.lenient and text[scan.open - 1] == '{' and text[scan.close:scan.end] == '}'
    assert [(text[e.key], text[e.value], e.depth, e.lenient) for e in scan.entries] == [
        (':a', '1', 0, False), ('b', '^:n [#{1}]', 2, False), ('"s"', '#foo [2]', 2, False), (':c/1', 'nil', 0, True)]


def test_identity_knows_types(probe):
    """Values that differ in any way but the order of maps and sets have different identities."""
    distinct = ['1', '1N', '1.0', '1M', '1.0M', '1.00M', '1/2', '"1"', '\\1', ':1', 'a', ':a', '"a"', '\\a', 'nil', 'false',
                'true', '[]', '()', '#{}', '{}', '[1]', '(1)', '#{1}', '{1 1}', '[1 2]', '[2 1]', '[[1] 2]', '[1 [2]]', '{1 2}',
                '{2 1}', '[1 1]', '0.0', '-0.0', '##NaN', '##Inf', '##-Inf', '#a 1', '#b 1', '#a [1]', '[a 1]', '[nil]', '[nil nil]',
                '#inst "2020"', '#inst "2021"', '#{1 #{2}}', '#{2 #{1}}', '{1 {2 3}}', '{2 {1 3}}', '{1 2 3 4}', '{1 4 3 2}']
    identities = [read.identity for read, _ in probe(distinct)]
    assert len(set(identities)) == len(distinct)
    same = [('#{1 2 3}', '#{3 1 2}'), ('{1 2 3 4}', '{3 4 1 2}'), ('#inst "2020"', '#inst "2020-01-01T01:00+01:00"'), ('4/2', '2'),
            ('{:a/b 1}', '#:a{:b 1}'), ('^:m [1]', '[1]'), ('"\\u0061"', '"a"'), ('1e3', '1000.0')]
    for a, b in same:
        (x, _), (y, _) = probe([a, b])
        assert (x.identity, x.canonical) == (y.identity, y.canonical), (a, b)


def test_identity_is_stable(probe):
    """It is on disk: whoever changes it changes the format."""
    read, _ = probe(['{:a/b [1 2.5 "é" \\x nil true 1N 1.50M 22/7], (sym) #{#a 1 #inst "2020"}}'])[0]
    assert read.identity == IDENTITY


IDENTITY = 'b5c5b83617ad070e53a676015a12ff8b'
