# SPDX-License-Identifier: MIT
"""Texts to try EDN readers with: a seeded generator of forms, and mutations of any text."""
import random

NAMES = ['a', 'b', 'ab', 'x1', '1', '_', '-', '+', '.', '/', 'a.b', "a'b", 'a#', 'nil', 'true', 'é', '×',
         'user', '+1', '-a', '.5', 'a:b', ':', '%', '', '\u0085', 'ж', '漢', '😀', '\u00a0', 'a\x01', '٣']
NUMBERS = ['0', '1', '-1', '+1', '-0', '00', '017', '08', '1N', '0N', '-0N', '0x1F', '0xg', '2r101', '36rZZ',
           '37r1', '24rN', '1.', '1.0', '1.50', '-0.0', '0.0', '1e3', '1E-3', '1e400', '1e-400', '1M', '1.0M',
           '1.00M', '-0.0M', '1E+5M', '100e-2M', '0e10M', '1e-10M', '1e2147483648M', '22/7', '4/2', '-4/6', '0/5',
           '1/0', '9223372036854775807', '9223372036854775808', '-9223372036854775808', '-9223372036854775809',
           '9223372036854775808/2', '18446744073709551616/9223372036854775808', '123456789012345678901234567890',
           '0x123456789abcdef0123456789', '0.1', '123456.789', '9007199254740993', '5e-324', '1.7976931348623157e308',
           '2.2250738585072014E-308', '5.684341886080802e-14', '1a', '1.2.3', '1e', '123456789012345678', '1٣',
           '12345678901234567890123456789/98765432109876543210987654321', '1267650600228229401496703205376/1024']
CHARS = ['\\a', '\\newline', '\\space', '\\tab', '\\return', '\\formfeed', '\\backspace', '\\u0041', '\\u00e9',
         '\\uD800', '\\o101', '\\o400', '\\\\', '\\;', '\\(', '\\é', '\\😀', '\\u', '\\o', '\\ab', '\\,', '\\"']
ESCAPES = ['\\n', '\\t', '\\\\', '\\"', '\\b', '\\f', '\\r', '\\u0041', '\\uD83D\\uDE00', '\\uD800', '\\uDC00', '\\101',
           '\\0', '\\377', '\\400', '\\8', '\\x', '\\u12', '\\u٣000', '\\uD83D']
PLAIN = ['a', 'b', ' ', 'é', '漢', '😀', '\n', ';', '{', '\x00', '\x7f', 'long enough to pass sixteen bytes', ':k', "'"]
INSTANTS = ['2020', '2020-02-29', '2019-02-29', '2020-01-01T00:00:00Z', '2020-01-01T12:34:56.789+01:30', '2020-01:00',
            '1582-10-10', '0000-01-01', '9999-12-31T23:59:60-23:59', '1500-03-01T00:00+01:00', '2020-01-01T24', '2020-13',
            '1969-12-31T23:59:59.9999', '2020-01-01T00:59:60']
UUIDS = ['1-2-3-4-5', '00000000-0000-0000-0000-000000000000', 'AbC-0-0-0-FFFFFFFFFFFF', '1-2-3-4', '+1-2-3-4-5',
         'f81d4fae-7dec-11d0-a765-00a0c91e6bf6', '8000000000000000-0-0-0-0']
SPACES = [' ', ' ', ' ', ' ', ', ', '\n', '\t', '\x1c', '\u2028', '\u3000', ' ;c\n', ';ж\r', '', ' #_x ', ' #_ #_ [1] :y ']
INSERTS = list('()[]{}"\\;^#:_/\'@`~,. \n\r0123456789abnNMerx-+%|<=') + ['#_', '#:', '##', '\\u', '\u0085', '\u00a0', '\u2028',
                                                                     '漢', '😀', '٣', '\x00', '\x1f']


class Forms:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *choices):
        return self.random.choice(choices)

    def word(self):
        name = self.random.choice(NAMES)
        if self.random.random() < 0.4:
            name = self.random.choice(NAMES) + '/' + name
        return name

    def string(self):
        parts = PLAIN if self.random.random() < 0.6 else PLAIN + ESCAPES
        return '"' + ''.join(self.random.choice(parts) for _ in range(self.random.randrange(5))) + '"'

    def atom(self):
        kind = self.random.random()
        if kind < 0.35:
            return ':' + (self.word() if kind < 0.25 else self.pick('a', 'b', 'c', 'd', 'e/f'))
        if kind < 0.45:
            return self.word() or 'a'
        if kind < 0.65:
            return self.random.choice(NUMBERS)
        if kind < 0.85:
            return self.string()
        if kind < 0.9:
            return self.random.choice(CHARS)
        return self.pick('nil', 'true', 'false', '##Inf', '##-Inf', '##NaN', '## Inf', '##x')

    def items(self, depth, count):
        return ''.join(self.form(depth - 1) + (self.random.choice(SPACES) or ' ') for _ in range(count))

    def collection(self, depth):
        kind = self.random.randrange(5)
        count = self.random.randrange(5) if self.random.random() < 0.9 else self.random.randrange(30)
        if kind == 0:
            return '[' + self.items(depth, count) + ']'
        if kind == 1:
            return '(' + self.items(depth, count) + ')'
        if kind == 2:
            return '#{' + self.items(depth, count) + '}'
        prefix = '' if kind == 3 else '#:' + (self.pick('a', 'a', 'user', "b'", '1', 'é', 'a:b') + self.pick('', '', ' ', ',', ';'))
        return prefix + '{' + self.items(depth, 2 * count) + '}'

    def prefixed(self, depth):
        kind = self.random.random()
        if kind < 0.25:
            return self.pick('^', '#^') + self.form(min(depth - 1, 1)) + self.pick('', ' ') + self.form(depth - 1)
        if kind < 0.4:
            return '#inst ' + self.pick('', '#_a') + '"' + self.random.choice(INSTANTS) + '"'
        if kind < 0.55:
            return '#uuid"' + self.random.choice(UUIDS) + '"'
        if kind < 0.75:
            return '#_' + self.form(depth - 1) + ' ' + self.form(depth - 1)
        return '#' + self.pick('a', 'foo/bar', 'é', 'foo/1', 'inst', 'nil', 'b') + self.pick(' ', '') + self.form(depth - 1)

    def form(self, depth=3):
        kind = self.random.random()
        if depth <= 0 or kind < 0.45:
            return self.atom()
        return self.collection(depth) if kind < 0.85 else self.prefixed(depth)

    def text(self):
        space = self.random.choice(SPACES)
        if self.random.random() < 0.7:
            return space + '{' + self.items(3, 2 * self.random.randrange(6)) + '}' + self.pick('', ' rest')
        return space + self.form(4)

    def mutate(self, text):
        for _ in range(self.random.randrange(1, 4)):
            at = self.random.randrange(len(text) + 1)
            end = min(len(text), at + self.random.randrange(1, 4))
            kind = self.random.randrange(5)
            if kind == 0:
                text = text[:at] + text[end:]
            elif kind == 1:
                text = text[:at] + self.random.choice(INSERTS) + text[at:]
            elif kind == 2:
                text = text[:at] + self.random.choice(INSERTS) + text[end:]
            elif kind == 3:
                text = text[:at] + text[at:end] + text[at:]
            else:
                text = text[:at] if self.random.random() < 0.3 else text[at:] + text[:at]
        return text


def forms_and_mutations(seed, count, others=()):
    """count texts: half of them as made, half mutated; others (texts) are among what is mutated."""
    forms = Forms(seed)
    texts = []
    for i in range(count // 2):
        text = forms.text()
        texts.append(text)
        texts.append(forms.mutate(forms.random.choice(others) if others and i % 3 == 0 else text))
    return texts
