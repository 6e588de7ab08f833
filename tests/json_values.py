# SPDX-License-Identifier: MIT
"""Random EDN values for the JSON codec: texts of every type, nested, with all that is odd about each."""
import re

from hypothesis import strategies as st

NAME_START = 'abzAZ*!_?<>=&$%|éя好'
NAME = NAME_START + "0159-+.#':"


def named(first, rest=NAME):
    """Names of keywords and symbols: no colon at the end, no two in a row."""
    return st.builds(lambda a, b: re.sub(':+', ':', a + b).rstrip(':'),
                     st.sampled_from(first), st.text(st.sampled_from(rest), max_size=6))


def keywords():
    name = named(NAME_START)
    odd = st.sampled_from([':/', ':1', ':1/a', ":'a", ':#a', ':a/b/c', ':p/:session-1', ':+1',
                           ':.5', ':-', ':nil', ':true', ':set', ':#set', ":':a", ':a/#b'])
    return st.one_of(name.map(':{}'.format), st.builds(':{}/{}'.format, name, name), odd)


def lenient_words():
    return st.sampled_from([':a/1', ':a/b/1', ':embed-token/0ab', '::x', '::x/y', ':a@b', 'a/1',
                            ':mail/a@b.c', 'a~b'])


def symbols():
    name = named(NAME_START)
    odd = st.sampled_from(['/', '-', '+', '.', '.5', '-.5', "'a", "':a", 'a/b/c', 'nil?', 'set',
                           'map', '_foo', '<a', 'true1', 'a#b', '+a', '-a', 'int', 'sym'])
    return st.one_of(name.filter(lambda text: text not in ('nil', 'true', 'false')),
                     st.builds('{}/{}'.format, name, name), odd)


def integers():
    edges = [2**53, 2**53 - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64, 0, 1, 10**30]
    number = st.one_of(st.integers(), st.sampled_from(edges + [-edge for edge in edges]))
    return st.one_of(st.builds('{}{}'.format, number, st.sampled_from(['', '', 'N'])),
                     st.sampled_from(['+5', '-0', '0x1F', '017', '36rZZ', '2r101', '-0N', '0N']))


def double_text(real):
    if real != real:
        return '##NaN'
    if real in (float('inf'), float('-inf')):
        return '##Inf' if real > 0 else '##-Inf'
    return repr(real)


def doubles():
    edges = [1e300, 1.5e300, 1e32, 1.1e32, 1.1e31, 1e16, 1.5e16, 1e15, 1e21, 5e-324, 1e-5, 1e-4,
             2.0**-44, 2.0**53, 2.0**-1022, 1.7976931348623157e308, 123456.789, 0.1, -0.0,
             1.2345678901234567e31, 9.999999999999999e32]
    return st.one_of(st.floats(), st.sampled_from(edges), st.integers(-10**6, 10**6).map(float),
                     st.integers(-10**5, 10**5).map(lambda cents: cents / 100)).map(double_text)


def decimals():
    number = st.decimals(allow_nan=False, allow_infinity=False, places=3)
    odd = ['1.50M', '1.5M', '0M', '0.00M', '1E+50M', '1e-7M', '1.M', '-1.10M',
           '12345678901234567890.5M']
    return st.one_of(number.map('{:f}M'.format), st.sampled_from(odd))


def ratios():
    return st.builds('{}/{}'.format, st.integers(-10**20, 10**20), st.integers(1, 10**20))


def characters():
    odd = ['\\newline', '\\space', '\\tab', '\\return', '\\backspace', '\\formfeed', '\\u0000',
           '\\u00e9', '\\o101', '\\"', '\\\\', '\\:', "\\'", '\\#', '\\;', '\\(']
    plain = st.characters(min_codepoint=33, max_codepoint=0xffff, blacklist_categories=('Cs',))
    return st.one_of(st.sampled_from(odd), plain.map('\\{}'.format))


def quoted(text):
    """With escapes only where they must be: lone surrogates, quotes, backslashes."""
    out = []
    for char in text:
        if 0xd800 <= ord(char) <= 0xdfff:
            out.append(f'\\u{ord(char):04x}')
        else:
            out.append('\\' + char if char in '"\\' else char)
    return '"' + ''.join(out) + '"'


def strings(surrogates):
    some = st.characters(blacklist_categories=() if surrogates else ('Cs',))
    tricky = st.text(st.sampled_from("'#:/a1. ,"), max_size=6)
    named_like = st.builds('{}{}'.format, st.text("'", max_size=3), keywords())
    odd = st.sampled_from(['\0', 'a\0b', '\x1f', '\x7f', '\r\n', '😀', '\ufeff'])
    return st.one_of(st.text(some), tricky, named_like, odd).map(quoted)


def tagged_scalars():
    instants = st.datetimes().map(
        lambda t: f'#inst "{t.year:04}-{t.month:02}-{t.day:02}T{t.hour:02}:{t.minute:02}:'
                  f'{t.second:02}.{t.microsecond // 1000:03}-00:00"')
    return st.one_of(instants, st.uuids().map('#uuid "{}"'.format),
                     st.sampled_from(['#inst "2020"', '#inst "2020-02-29T23:59:59Z"']))


def scalars(lenient, surrogates):
    kinds = [st.sampled_from(['nil', 'true', 'false']), integers(), doubles(), decimals(), ratios(),
             characters(), strings(surrogates), keywords(), symbols(), tagged_scalars()]
    return st.one_of(kinds + ([lenient_words()] if lenient else []))


def tags():
    return st.sampled_from(['my/tag', 'a', 'set', 'list', 'map', 'tag', 'int', 'float', 'dec',
                            'ratio', 'char', 'sym', 'kw', 'a/set', 'instant', "a'b", 'é', 'a.b/c'])


def collections(inner):
    items = st.lists(inner, max_size=5)
    unique = st.lists(inner, max_size=5, unique=True)
    entries = st.dictionaries(st.one_of(inner, keywords(), symbols()), inner, max_size=5)
    return st.one_of(
        items.map(lambda texts: '[' + ' '.join(texts) + ']'),
        items.map(lambda texts: '(' + ' '.join(texts) + ')'),
        unique.map(lambda texts: '#{' + ' '.join(texts) + '}'),
        entries.map(lambda d: '{' + ', '.join(f'{k} {v}' for k, v in d.items()) + '}'),
        st.builds('{{{} {}}}'.format, symbols(), inner),
        st.builds('#{} {}'.format, tags(), inner))


def values(lenient=True, surrogates=True):
    """EDN texts. Some hold two equal keys or elements (1 and 1N), which no reader takes."""
    return st.recursive(scalars(lenient, surrogates), collections, max_leaves=12)
