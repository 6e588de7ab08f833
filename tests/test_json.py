# SPDX-License-Identifier: MIT
"""The lossless JSON codec: every EDN value goes to JSON and comes back as the very same value."""
import base64
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import json_values
from conftest import examples

CASES = pathlib.Path(__file__).parent / 'cases' / 'json'
FEW = settings(max_examples=examples(100))


class Refused(Exception):
    """What the codec says of a wrong text, and whether more text could mend it."""

    def __init__(self, answer):
        super().__init__(answer[1:])
        self.truncated = answer[0] == 'T'


class Probe:
    """A running json_probe: one request, one answer."""

    def __init__(self, program):
        self.proc = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, operation, text):
        payload = text if isinstance(text, bytes) else text.encode()
        frame = operation.encode() + payload
        self.proc.stdin.write(struct.pack('<I', len(frame)) + frame)
        self.proc.stdin.flush()
        head = self.proc.stdout.read(4)
        assert len(head) == 4, f'the probe ended: {self.proc.wait()}'
        answer = self.proc.stdout.read(struct.unpack('<I', head)[0])
        verdict, rest = answer[:1], answer[1:].decode()
        assert verdict in (b'+', b'-'), f'{operation} {payload!r}: {rest}'
        if verdict == b'-':
            raise Refused(rest)
        return rest

    def refusal(self, operation, text):
        with pytest.raises(Refused) as caught:
            answer = self.ask(operation, text)
            pytest.fail(f'{text!r} was taken as {answer!r}')
        return caught.value

    def close(self):
        self.proc.stdin.close()
        assert self.proc.wait(60) == 0
        self.proc.stdout.close()


@pytest.fixture(scope='module')
def probe(binary):
    probe = Probe(binary('json_probe'))
    yield probe
    probe.close()


def lines_of(name):
    text = (CASES / name).read_text()
    return [line for line in text.split('\n') if line and not line.startswith(';;')]


def pairs_of(name):
    pairs = [line.split('\t=>\t') for line in lines_of(name)]
    assert len(pairs) > 10
    return pairs


# ---- the table

@pytest.mark.parametrize('edn, shown', pairs_of('values.txt'))
def test_value(probe, edn, shown):
    assert probe.ask('j', edn) == shown
    probe.ask('i', edn)
    assert probe.ask('r', shown) == shown
    assert probe.ask('j', probe.ask('e', shown)) == shown


@pytest.mark.parametrize('text, edn', pairs_of('readings.txt'))
def test_reading(probe, text, edn):
    assert probe.ask('j', edn) == probe.ask('r', text)
    assert probe.ask('e', text) == edn or edn.startswith('#')


@pytest.mark.parametrize('text, cause', pairs_of('refused.txt'))
def test_refused(probe, text, cause):
    refused = probe.refusal('e', text)
    assert str(refused).startswith(cause)
    assert not refused.truncated


@pytest.mark.parametrize('text', lines_of('cut.txt'))
def test_cut(probe, text):
    assert probe.refusal('e', text).truncated


@pytest.mark.parametrize('text', lines_of('hopeless.txt'))
def test_hopeless(probe, text):
    assert not probe.refusal('e', text).truncated


def test_every_prefix_of_a_document_is_whole_or_cut(probe):
    """Also at bytes within characters and escapes."""
    texts = [shown for _, shown in pairs_of('values.txt')]
    texts += [text for text, _ in pairs_of('readings.txt')]
    cut = 0
    for text in texts:
        whole = text.encode()
        for end in range(len(whole)):
            try:
                probe.ask('e', whole[:end])
            except Refused as refused:
                assert refused.truncated, whole[:end]
                cut += 1
    assert cut > 1000


@pytest.mark.parametrize('edn, key', [
    (':user/id', 'user/id'), ('"alice"', "'alice"), ('"two words"', 'two words'), ('nil', '#nil'),
    (':42', '42'), (':#a', ':#a'), ('"#a"', "'#a"), ('[1 2]', '#[1 2]'), ('""', ''),
    ('#{3 1 2}', '##{1 2 3}'), ('{:b 1, :a 2}', '#{:a 2, :b 1}'), (':a/1', '#:a/1'),
    ('"\\ud800"', None), ('"a\nb"', 'a\nb'), ('foo', '#foo'), ("\"'\"", "''"),
])
def test_key(probe, edn, key):
    if key is None:
        with pytest.raises(UnicodeDecodeError):  # the key's text holds it as WTF-8
            probe.ask('k', edn)
        return
    assert probe.ask('k', edn) == key
    back = probe.ask('K', key)
    assert probe.ask('s', probe.ask('j', back) + '\0' + probe.ask('j', edn)) == 'same'


@pytest.mark.parametrize('key', [':two words', ':', '#', '#1 2', '#[', b'\xff', b'a\xed\xa0'])
def test_text_that_is_no_key(probe, key):
    assert ':' not in str(probe.refusal('K', key)).split(' ')[0]  # no position


# ---- what no line of a case file can hold

@pytest.mark.parametrize('text, cause', [
    (b'\xef\xbb\xbf1', '1:1: a JSON value'),  # a byte order mark
    (b'"a\x00b"', '1:3: a control character'),
    (b'"a\nb"', '1:3: a control character'),
    (b'"a\tb"', '1:3: a control character'),
    (b'"a\x1fb"', '1:3: a control character'),
    (b'\x00', '1:1: a JSON value'),
    (b'1\x00', '1:2: more text'),
    (b'1\x0c', '1:2: more text'),
    (b'\x0b1', '1:1: a JSON value'),
    (b'\xc2\xa01', '1:1: a JSON value'),  # NBSP
    (b'"\xff"', '1:2: invalid UTF-8'),
    (b'"\x80"', '1:2: invalid UTF-8'),
    (b'"\xc0\x80"', '1:2: invalid UTF-8'),  # overlong NUL
    (b'"\xe0\x80\xaf"', '1:2: invalid UTF-8'),
    (b'"\xf0\x80\x80\xaf"', '1:2: invalid UTF-8'),
    (b'"\xed\xa0\x80"', '1:2: invalid UTF-8'),  # a surrogate
    (b'"\xf4\x90\x80\x80"', '1:2: invalid UTF-8'),  # past U+10FFFF
    (b'"\xf5\x80\x80\x80"', '1:2: invalid UTF-8'),
    (b'"\xe4\xb8"', '1:2: invalid UTF-8'),
    (b'"\xe4\xb8a"', '1:2: invalid UTF-8'),
    (b'{"\xff":1}', '1:3: invalid UTF-8'),
    ('\n\n ["é😀", x]'.encode(), '3:9: a JSON value'),  # columns are code points
    ('{\r\n"é": 1,\r\n "é":2}'.encode(), '3:2: duplicate key'),
])
def test_bytes_refused(probe, text, cause):
    refused = probe.refusal('e', text)
    assert str(refused).startswith(cause)
    assert not refused.truncated


@pytest.mark.parametrize('text', [
    b'', b' ', b'\n\t\r ', b'"\xe4', b'"\xe4\xb8', b'"\xf0\x9f\x98', b'"\xf4\x8f', b'"\xed\x9f'])
def test_bytes_cut(probe, text):
    assert probe.refusal('e', text).truncated


@pytest.mark.parametrize('text', [b'"\xe0\x80', b'"\xf4\x90', b'"\xed\xa0', b'"\xc0', b'"\xff'])
def test_bytes_hopeless(probe, text):
    assert not probe.refusal('e', text).truncated


@pytest.mark.parametrize('text, edn', [
    (b'"\x7f"', '"\x7f"'), ('"\u2028\u2029\ufeff\uffff\U0010ffff"'.encode(),
                            '"\u2028\u2029\ufeff\uffff\U0010ffff"'),
    (b'\r\n\t [\r\n\t ] \r\n\t ', '[]'),
])
def test_bytes_taken(probe, text, edn):
    assert probe.ask('e', text) == edn


def test_document_is_laid_out_as_jq_does(probe):
    edn = '{:a [1 {:b "x"} []], "c d" #{:k}, nil {}, :t #a/b (1), :i 5N, :m {foo 1}, :g #tag :x}'
    shown = probe.ask('d', edn)
    assert shown == json.dumps(json.loads(shown), indent=2) + '\n'
    assert shown.startswith('{\n  "a": [\n    1,\n    {\n      "b": "x"\n    },\n    []\n  ],\n')


# ---- nesting, size

OPEN_CLOSE = [
    ('[', ']', '[', ']'), ('(', ')', '{"#list":[', ']}'), ('#{', '}', '{"#set":[', ']}'),
    ('{:a ', '}', '{"a":', '}'), ('{a ', '}', '{"#map":[[{"#sym":"a"},', ']]}'),
    ('#a ', '', '{"#a":', '}'), ('#set ', '', '{"#tag":["set",', ']}'),
    ('{1 1, :a ', '}', '{"#1":1,"a":', '}'), ('{set ', ', :a 1}', '{"#set":', ',"a":1}'),
    ('{int [', '], :a 1}', '{"#int":[', '],"a":1}'),
    ('{map [[1 ', ']], :a 1}', '{"#map":[[1,', ']],"a":1}'),
    ('{int {kw ', ', :b 1}, :a 1}', '{"#int":{"#kw":', ',"b":1},"a":1}'),
    ('{tag ["x" ', '], :a 1}', '{"#tag":["\'x",', '],"a":1}'),
]
SCALARS = [('1', '1'), ('5N', '{"#int":"5N"}'), (':a/1', '{"#kw":"a/1"}')]


@pytest.mark.parametrize('begin, end, json_begin, json_end', OPEN_CLOSE)
@pytest.mark.parametrize('scalar, json_scalar', SCALARS)
def test_nesting_is_counted_as_edn_does(probe, begin, end, json_begin, json_end, scalar,
                                        json_scalar):
    """The deepest that the EDN reader takes is the deepest that the JSON reader takes."""
    json_end = json_end.replace("'x", 'x')
    for depth in range(100, 520):
        edn = begin * depth + scalar + end * depth
        text = json_begin * depth + json_scalar + json_end * depth
        try:
            assert probe.ask('e', text)
            taken = True
        except Refused as refused:
            assert 'nested' in str(refused)
            taken = False
        if not taken:
            assert 'deep' in str(probe.refusal('j', edn))
            assert depth > 120
            break
        if depth > 505 or depth in (127, 128, 170, 171, 255, 256, 257):
            probe.ask('i', edn)
    else:
        pytest.fail('no bound')


def test_nesting_counts_keys(probe):
    def nested(depth):
        return '[' * depth + ']' * depth
    probe.ask('i', '[{%s 1}]' % nested(510))
    probe.ask('e', '[{"#%s": 1}]' % nested(510))
    assert 'deep' in str(probe.refusal('e', '[{"#%s": 1}]' % nested(511)))
    assert 'nested' in str(probe.refusal('e', '{"#set":[{"#%s":1}],"a":1}' % nested(510)))
    probe.ask('e', '{"#set":[{"#%s":1}],"a":1}' % nested(509))
    probe.ask('e', '{"#set":[{"#%s":1}]}' % nested(510))


@pytest.mark.parametrize('begin', ['[', '{"a":', '{"#set":[', '{"#int":', '{"#int":[', '{"#map":[[',
                                   '{"#inst":', '{"#tag":[', '{"#tag":["a",', '{"#a":'])
def test_hostile_nesting_is_refused(probe, begin):
    assert 'nested' in str(probe.refusal('e', begin * 200_000))


@pytest.mark.parametrize('text', [
    '{%s}' % ','.join(f'"k{i}":{i}' for i in range(100_000)),
    '{%s}' % ','.join(f'"#[{i}]":{i}' for i in range(100_000)),
    '{"#set":[%s]}' % ','.join(map(str, range(100_000))),
    '{"#set":[%s]}' % ','.join(f'[{i}]' for i in range(100_000)),
    '{"#map":[%s]}' % ','.join(f'[{i},{i}]' for i in range(100_000)),
    '[%s]' % ','.join(['""'] * 300_000),
    '"%s"' % ('\\u00e9' * 300_000),
    '{"#int":"%s"}' % ('9' * 300_000 + 'N'),
    '0.%s' % ('3' * 300_000),
], ids=lambda text: text[:12])
def test_large_values_are_kept(probe, text):
    assert probe.ask('s', text + '\0' + probe.ask('r', text)) == 'same'


def test_last_of_many_is_a_duplicate(probe):
    keys = ','.join(f'"k{i}":{i}' for i in range(50_000))
    refused = probe.refusal('e', '{%s,\n"k777":1}' % keys)
    assert str(refused).startswith('2:1: duplicate key')
    items = ','.join(map(str, range(50_000)))
    refused = probe.refusal('e', '{"#set":[%s,\n {"#int":"777N"}]}' % items)
    assert str(refused).startswith('2:2: duplicate element')


# ---- properties

def read_or_assume(probe, operation, edn):
    """Texts whose parts happen to collide (1 and 1N in a set) are no values."""
    try:
        return probe.ask(operation, edn)
    except Refused as refused:
        assume('already' not in str(refused))
        raise


@settings(max_examples=examples(600))
@given(edn=json_values.values())
def test_edn_to_json_to_edn_is_the_identity(probe, edn):
    read_or_assume(probe, 'i', edn)
    shown = probe.ask('j', edn)
    assert probe.ask('j', probe.ask('e', shown)) == shown


@FEW
@given(edn=json_values.values())
def test_python_round_trip_keeps_the_value(probe, edn):
    for operation in 'jd':
        shown = read_or_assume(probe, operation, edn)
        loaded = json.loads(shown)
        for again in (json.dumps(loaded), json.dumps(loaded, ensure_ascii=False, indent=1)):
            try:
                again.encode()
            except UnicodeEncodeError:  # a lone surrogate, which only an escape can say
                continue
            assert probe.ask('s', f'{shown}\0{again}') == 'same'


@FEW
@given(key=json_values.values(), rest=st.sampled_from(['', ' :other 1', ' set 1', ' "b" 1']))
def test_keys_of_any_type(probe, key, rest):
    read_or_assume(probe, 'i', '{%s\n 1%s}' % (key, rest))


@FEW
@given(text=st.text(st.sampled_from("'#:/a1. \"\\(),é\ud800\u3000"), max_size=8))
def test_any_text_is_kept_as_string_and_key(probe, text):
    escaped = ''.join(f'\\u{ord(c):04x}' for c in text)
    probe.ask('i', f'["{escaped}" {{"{escaped}" 1}} {{"{escaped}" 1 :b 2}} #a "{escaped}"]')


def plain_json():
    key = st.text().filter(lambda text: text[:1] not in ('#', "'", ':'))
    scalar = (st.none() | st.booleans() | st.integers() |
              st.floats(allow_nan=False, allow_infinity=False) | st.text())
    return st.recursive(scalar, lambda inner: st.lists(inner) | st.dictionaries(key, inner), max_leaves=20)


def unmarked(value):
    """Numbers back from their markers, as a JSON tool would count them."""
    if isinstance(value, list):
        return [unmarked(item) for item in value]
    if not isinstance(value, dict):
        return value
    if '#int' in value:
        return int(value['#int'].rstrip('N'))
    if '#float' in value:
        return float(value['#float'])
    return {key: unmarked(inner) for key, inner in value.items()}


def exact(value):
    """Tells 1 from 1.0 from true, 0.0 from -0.0."""
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, dict):
        return {key: exact(inner) for key, inner in value.items()}
    sign = math.copysign(1, value) if isinstance(value, float) else 0
    return (type(value).__name__, value, sign)


@FEW
@given(value=plain_json())
def test_plain_json_keeps_its_value(probe, value):
    text = json.dumps(value)
    shown = probe.ask('r', text)
    assert exact(unmarked(json.loads(shown))) == exact(value)
    assert probe.ask('s', f'{text}\0{shown}') == 'same'


@FEW
@given(value=plain_json(), data=st.data())
def test_damaged_json_is_judged_as_python_does(probe, value, data):
    """What Python refuses is refused. (It takes NaN, Infinity and duplicate keys; we don't.)"""
    text = json.dumps(value, ensure_ascii=False).encode('utf-8', 'replace')
    at = data.draw(st.integers(0, len(text)))
    junk = data.draw(st.sampled_from([b'', b',', b'"', b'}', b']', b'{', b'[', b'0', b'-', b'.',
                                      b'e', b':', b'\\', b'\n', b'\xff', b'\x00', b'true']))
    text = text[:at] + junk + text[at + data.draw(st.integers(0, 2)):]
    try:
        json.loads(text.decode())
    except ValueError:
        probe.refusal('e', text)


class Judge(Exception):
    """Text that ourofs refuses, and RFC 8259 does not."""


def whole_object(pairs):
    """RFC 8259 leaves it open what a name means that comes twice; names that begin so are markers, or said in full."""
    if len({key for key, _ in pairs}) < len(pairs) or any(key[:1] in ('#', ':', "'") for key, _ in pairs):
        raise Judge
    return dict(pairs)


def finite(text):
    if math.isinf(value := float(text)):
        raise Judge
    return value


def no_constant(text):
    raise ValueError(text)


def integer(text):
    """A zero keeps its sign, which only a double has."""
    return -0.0 if text == '-0' else int(text)


def judge_by_rfc_8259(text):
    """The value, or ValueError; Judge where ourofs may refuse it. Python's reader takes three words more than the RFC."""
    return json.loads(text.decode('utf-8'), parse_constant=no_constant, parse_int=integer, parse_float=finite, object_pairs_hook=whole_object)


PIECES = ['', ',', '"', '}', ']', '{', '[', '0', '-', '.', 'e', 'E+', ':', '\\', '\n', '\t', '\r', '\f', '\xa0', '\0', 'true',
          'null', 'NaN', 'Infinity', '\\u00e9', '\\ud83d\\ude00', '\\udc00', '\\u', '\\/', '\\x', '1e5', '-0', '01', '1.',
          '\x7f', '\u2028', '\ufeff', '//', "'"]
edits = st.lists(st.tuples(st.integers(0), st.integers(0, 2), st.sampled_from(PIECES)), max_size=3)


@settings(max_examples=examples(400))
@given(value=plain_json(), compact=st.booleans(), escaped=st.booleans(), changes=edits)
def test_any_text_is_judged_as_rfc_8259_does(probe, value, compact, escaped, changes):
    """In both directions, and with the same value: Python's reader is the judge."""
    text = json.dumps(value, ensure_ascii=escaped, indent=None if compact else 1)
    for at, cut, piece in changes:
        at %= len(text) + 1
        text = text[:at] + piece + text[at + cut:]
    data = text.encode('utf-8', 'replace')
    try:
        expected = judge_by_rfc_8259(data)
    except Judge:
        return
    except ValueError:
        probe.refusal('e', data)
        return
    assert exact(unmarked(json.loads(probe.ask('r', data)))) == exact(expected), data


@pytest.mark.skipif(not shutil.which('jq'), reason='jq is not installed')
def test_jq_round_trip_keeps_the_value(probe):
    shown = []

    @settings(max_examples=examples(400), database=None)
    @given(edn=json_values.values(surrogates=False))
    def collect(edn):
        shown.append(read_or_assume(probe, 'j', edn))
    collect()
    shown += [text for _, text in pairs_of('values.txt') if '\\ud' not in text]
    done = subprocess.run(['jq', '-c', '.'], input='\n'.join(shown).encode(), capture_output=True)
    assert done.returncode == 0, done.stderr
    rewritten = done.stdout.decode().rstrip('\n').split('\n')
    assert len(rewritten) == len(shown) > examples(400)
    for before, after in zip(shown, rewritten):
        assert probe.ask('s', f'{before}\0{after}') == 'same', (before, after)


# ---- the judge

ORACLE = r'''
(require '[clojure.edn :as edn])
(defn text [b64] (String. (.decode (java.util.Base64/getDecoder) ^String b64) "UTF-8"))
(declare same?)
(defn kind [x]
  (cond (map? x) :map (set? x) :set (vector? x) :vector (seq? x) :list :else (class x)))
(defn same-double? [a b] (= (Double/doubleToLongBits a) (Double/doubleToLongBits b)))
(defn same-entry? [a b] (and (same? (key a) (key b)) (same? (val a) (val b))))
(defn same? [a b]
  (and (= (kind a) (kind b))
       (case (kind a)
         :map (and (= (count a) (count b)) (every? (fn [e] (some #(same-entry? e %) b)) a))
         :set (and (= (count a) (count b)) (every? (fn [x] (some #(same? x %) b)) a))
         (:vector :list) (and (= (count a) (count b)) (every? true? (map same? a b)))
         (cond (instance? Double a) (same-double? a b)
               (tagged-literal? a) (and (= (:tag a) (:tag b)) (same? (:form a) (:form b)))
               :else (and (= a b) (= (hash a) (hash b)))))))
(defn parse [t] (edn/read-string {:default tagged-literal} t))
(doseq [line (line-seq (java.io.BufferedReader. *in*))]
  (let [[a b] (map text (.split ^String line " "))]
    (println (try (if (same? (parse a) (parse b)) "same" "different")
                  (catch Throwable e (str "error " (.getMessage e)))))))
'''


@pytest.mark.oracle
@pytest.mark.skipif(not shutil.which('clojure'), reason='Clojure is not installed')
def test_clojure_reads_the_same_value_back(probe, tmp_path):
    texts = []

    @settings(max_examples=examples(1000), database=None)
    @given(edn=json_values.values(lenient=False))
    def collect(edn):
        texts.append((edn, probe.ask('e', read_or_assume(probe, 'j', edn))))
    collect()
    for edn, shown in pairs_of('values.txt'):
        if '#kw' not in shown and 'a/1' not in shown and '#:' not in shown:
            texts.append((edn, probe.ask('e', shown)))
    script = tmp_path / 'oracle.clj'
    script.write_text(ORACLE)
    lines = [' '.join(base64.b64encode(text.encode()).decode() for text in pair)
             for pair in texts]
    done = subprocess.run(['clojure', str(script)], input='\n'.join(lines) + '\n',
                          capture_output=True, text=True)
    verdicts = done.stdout.splitlines()
    assert done.returncode == 0 and len(verdicts) == len(texts) > examples(1000), done.stderr
    wrong = [(verdict, *pair) for verdict, pair in zip(verdicts, texts) if verdict != 'same']
    assert not wrong


# ---- ourofsctl to-json, to-edn

@pytest.fixture(scope='module')
def ctl(binary):
    def run(*args, stdin=b''):
        return subprocess.run([binary('ourofsctl'), *args], capture_output=True,
                              input=stdin if isinstance(stdin, bytes) else stdin.encode())
    return run


@pytest.mark.parametrize('text', ['example.edn', 'memory-ouroboros.edn'])
def test_filters_keep_whole_memories(probe, ctl, text):
    edn = (CASES.parent / text).read_bytes()
    to_json = ctl('to-json', stdin=edn)
    assert (to_json.returncode, to_json.stderr) == (0, b'')
    assert to_json.stdout.decode() == probe.ask('d', edn)
    to_edn = ctl('to-edn', stdin=to_json.stdout)
    assert (to_edn.returncode, to_edn.stderr) == (0, b'')
    assert to_edn.stdout.decode() == probe.ask('e', to_json.stdout) + '\n'
    probe.ask('i', edn)


def test_filter_says_where_a_text_is_wrong(ctl):
    done = ctl('to-edn', stdin='{"a": 1,\n "a": 2}')
    assert (done.returncode, done.stdout) == (1, b'')
    assert done.stderr == b'ourofsctl: 2:2: duplicate key\n'
    done = ctl('to-json', stdin='{:a 1\n :b}')
    assert (done.returncode, done.stdout) == (1, b'')
    assert done.stderr.startswith(b'ourofsctl: 2:')
    for command in ('to-json', 'to-edn'):
        done = ctl(command)
        assert (done.returncode, done.stdout) == (1, b'')
        assert done.stderr.startswith(b'ourofsctl: 1:1: ')


@pytest.mark.parametrize('rest, silent', [
    ('', True), (' \n', True), (', ; comment', True), ('#_[1 2]', True), ('\n;', True),
    (' 2', False), (']', False), ('{', False), ('#_', False), (' ; c\n 0', False), ('#a', False)])
def test_filter_ignores_what_follows_the_first_form_and_says_so(ctl, rest, silent):
    done = ctl('to-json', stdin='[1]' + rest)
    assert (done.returncode, done.stdout) == (0, b'[\n  1\n]\n')
    assert (done.stderr == b'') == silent


def test_filter_takes_lenient_and_deep_values(ctl):
    deep = '[' * 1024 + ':a/1' + ']' * 1024 + '\n'
    assert ctl('to-edn', stdin=ctl('to-json', stdin=deep).stdout).stdout.decode() == deep


def test_filter_that_can_not_run(ctl, binary):
    for args in ((), ('no-such',), ('--no-such',), ('to-json', 'file'), ('to-edn', '-x')):
        done = ctl(*args)
        assert (done.returncode, done.stdout) == (2, b'')
        assert done.stderr
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([binary('ourofsctl'), 'to-edn'], input=b'1', stdout=full,
                              stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == b"ourofsctl: can't write to standard output: No space left on device\n"
    folder = os.open('/', os.O_RDONLY)
    done = subprocess.run([binary('ourofsctl'), 'to-json'], stdin=folder, capture_output=True)
    os.close(folder)
    assert done.returncode == 2
    assert done.stderr == b"ourofsctl: can't read standard input: Is a directory\n"


def test_help_and_version(ctl):
    for args in (('-h',), ('--help',), ('to-json', '--help')):
        done = ctl(*args)
        assert (done.returncode, done.stderr) == (0, b'')
        assert b'to-json' in done.stdout and (b'to-edn' in done.stdout) == (len(args) == 1)
    for option in ('-V', '--version'):
        done = ctl(option)
        assert (done.returncode, done.stderr) == (0, b'')
        assert done.stdout.startswith(b'ourofsctl ')
