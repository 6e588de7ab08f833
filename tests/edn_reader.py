# SPDX-License-Identifier: MIT
"""A second opinion on EDN and its JSON: a small reader of both, which shares no code with ourofs.

Values are tuples that are equal where Clojure's values are equal in type, too: ('int', 1) is neither
('bigint', 1) nor ('float', '1.0'); a map is ('map', frozenset of pairs), so order does not count.
It reads what the suite's memories hold, without judging: whether Clojure takes a text is for the tests
that ask Clojure itself.
"""
import json
import re
import sys
import unicodedata

sys.setrecursionlimit(20000)  # of 512 levels each takes a few frames

TOKEN = re.compile(r'''
    (?P<gap>[\s,]+|;[^\n]*)
  | (?P<string>"[^"\\]*(?:\\.[^"\\]*)*")
  | (?P<char>\\.[^\s,"()\[\]{};\\]*)
  | (?P<open>\#\{|[(\[{])
  | (?P<close>[)\]}])
  | (?P<discard>\#_)
  | (?P<prefix>\#:[^\s{]+)
  | (?P<symbolic>\#\#[^\s,"()\[\]{};\\]+)
  | (?P<tag>\#[^\s,"()\[\]{};\\]+)
  | (?P<meta>\^)
  | (?P<word>[^\s,"()\[\]{};\\]+)
''', re.VERBOSE | re.DOTALL)

CLOSES = {'(': ')', '[': ']', '{': '}', '#{': '}'}
ESCAPES = {'n': '\n', 't': '\t', 'r': '\r', 'b': '\b', 'f': '\f', '"': '"', '\\': '\\'}
CHARACTERS = {'newline': '\n', 'space': ' ', 'tab': '\t', 'return': '\r', 'backspace': '\b',
              'formfeed': '\f'}
LONG = range(-2**63, 2**63)


def unescape(text):
    def one(match):
        code = match[1]
        if code[0] == 'u':
            return chr(int(code[1:], 16))
        return ESCAPES[code] if code in ESCAPES else chr(int(code, 8))
    plain = re.sub(r'\\(u[0-9a-fA-F]{4}|[0-7]{1,3}|.)', one, text, flags=re.DOTALL)
    return plain.encode('utf-16', 'surrogatepass').decode('utf-16', 'surrogatepass')


def integer(number, big=False):
    return ('bigint' if big or number not in LONG else 'int', number)


def real(number):
    return ('float', repr(float(number)))


def decimal(text):
    return ('dec', text.lower().lstrip('+'))


def word(text):
    """A keyword, symbol, number or name of a constant."""
    if text in ('nil', 'true', 'false'):
        return (text,)
    if text[0] == ':':
        return ('kw', text[1:])
    if re.fullmatch(r'[-+]?(0|[1-9]\d*)N?', text):
        return integer(int(text.rstrip('N')), text[-1] == 'N')
    if re.fullmatch(r'[-+]?\d+/\d+', text):
        return ('ratio', *map(int, text.split('/')))
    if re.fullmatch(r'[-+]?\d+(\.\d*)?([eE][-+]?\d+)?M', text):
        return decimal(text[:-1])
    if re.fullmatch(r'[-+]?\d+(\.\d*)?([eE][-+]?\d+)?', text):
        return real(text)
    assert not text[0].isdigit(), f'a number that this reader does not know: {text}'
    return ('sym', text)


def character(text):
    if text in CHARACTERS:
        return ('char', CHARACTERS[text])
    if re.fullmatch(r'u[0-9a-fA-F]{4}', text):
        return ('char', chr(int(text[1:], 16)))
    assert len(text) == 1, text
    return ('char', text)


SYMBOLIC = {'##Inf': ('float', 'inf'), '##-Inf': ('float', '-inf'), '##NaN': ('float', 'nan')}


def tagged(name, value):
    if name == 'uuid' and value[0] == 'str':
        return (name, value[1].lower())
    if name == 'inst' and value[0] == 'str':
        return (name, value[1] + '2000-01-01T00:00:00.000-00:00'[len(value[1]):])
    return ('tag', name, value)


class Reader:
    def __init__(self, text):
        self.text = text
        self.at = 0
        self.start = 0  # of the token that was read last

    def token(self):
        while True:
            match = TOKEN.match(self.text, self.at)
            assert match, f'no token at {self.at}: {self.text[self.at:self.at + 40]!r}'
            self.start = self.at
            self.at = match.end()
            if match.lastgroup == 'discard':
                self.value()
            elif match.lastgroup != 'gap':
                return match.lastgroup, match[0]

    def items(self, close):
        found = []
        while True:
            kind, text = self.token()
            if kind == 'close':
                assert text == close, f'{text} at {self.start}'
                return found
            start = self.start
            found.append((self.of(kind, text), start, self.at))

    def collection(self, text, namespace=None):
        values = [value for value, _, _ in self.items(CLOSES[text])]
        if text == '(':
            return ('list', *values)
        if text == '[':
            return ('vec', *values)
        if text == '#{':
            return ('set', frozenset(values))
        keys = values[::2]
        if namespace:
            keys = [self.qualified(key, namespace) for key in keys]
        return ('map', frozenset(zip(keys, values[1::2], strict=True)))

    @staticmethod
    def qualified(key, namespace):
        if key[0] not in ('kw', 'sym'):
            return key
        if key[1].startswith('_/'):
            return (key[0], key[1][2:])
        return key if '/' in key[1] else (key[0], f'{namespace}/{key[1]}')

    def of(self, kind, text):
        if kind == 'open':
            return self.collection(text)
        if kind == 'string':
            return ('str', unescape(text[1:-1]))
        if kind == 'char':
            return character(text[1:])
        if kind == 'prefix':
            opened = self.token()
            assert opened == ('open', '{'), opened
            return self.collection('{', text[2:])
        if kind == 'symbolic':
            return SYMBOLIC[text]
        if kind == 'tag':
            return tagged(text[1:], self.value())
        if kind == 'meta':
            self.value()
            return self.value()
        assert kind == 'word', f'{kind} {text!r} at {self.start}'
        return word(text)

    def value(self):
        return self.of(*self.token())

    def entries(self):
        """Of a map without a prefix: [(key, value, where the value starts, where it ends)]."""
        opened = self.token()
        assert opened == ('open', '{'), opened
        items = self.items('}')
        return [(key[0], *value) for key, value in zip(items[::2], items[1::2], strict=True)]


def read(text):
    return Reader(text).value()


def memory(text):
    """The first form of a memory.edn, as a dict of its keys."""
    kind, pairs = read(text)
    assert kind == 'map'
    return dict(pairs)


# ---- the way back ----

BRACKETS = {'list': '(%s)', 'vec': '[%s]', 'set': '#{%s}'}


def text_of(value):
    """EDN of the commoner types."""
    kind, *rest = value
    if kind in BRACKETS:
        return BRACKETS[kind] % ' '.join(map(text_of, *rest if kind == 'set' else [rest]))
    if kind == 'map':
        return '{%s}' % ' '.join(f'{text_of(key)} {text_of(inner)}' for key, inner in rest[0])
    if kind == 'str':
        return '"%s"' % rest[0].replace('\\', '\\\\').replace('"', '\\"')
    assert kind in ('kw', 'int', 'float', 'nil', 'true', 'false'), kind
    return f':{rest[0]}' if kind == 'kw' else str(rest[0]) if rest else kind


# ---- the JSON of a document ----

def is_keyword(text):
    """Is ':' + text one keyword token of clojure.edn? (What the suite's memories need of that rule.)"""
    if not text or re.search(r'[\s,"()\[\]{};\\^@`~]', text):
        return False
    if any(unicodedata.category(char) in ('Cc', 'Cs') for char in text):
        return False
    if text.startswith(':') or text.endswith((':', '/')) and text != '/' or '::' in text:
        return False
    if '/' in text and text != '/':
        namespace, name = text.split('/', 1)
        return bool(namespace) and not namespace.endswith(':') and not name[0].isdigit() and \
            '//' not in text
    return True


def is_symbol(text):
    return re.match(r'[-+.]?[\d#:\']|(nil|true|false)$', text) is None and is_keyword(text)


def json_string(text):
    quotes = len(text) - len(text.lstrip("'"))
    if text[quotes:quotes + 1] == ':' and is_keyword(text[quotes + 1:]):
        return ('str', text[1:]) if quotes else ('kw', text[1:])
    return ('str', text)


def json_key(text):
    if text.startswith("'"):
        return ('str', text[1:])
    if text.startswith('#'):
        return read(text[1:])
    if text.startswith(':'):
        assert is_keyword(text[1:]), text
        return ('kw', text[1:])
    return ('kw', text) if is_keyword(text) else ('str', text)


def marker(name, value):
    if name == 'int':
        return integer(int(value.rstrip('N')), value.endswith('N'))
    if name == 'float':
        return {'Inf': real('inf'), '-Inf': real('-inf'), 'NaN': real('nan')}.get(value) or \
            real(value)
    if name == 'dec':
        return decimal(value)
    if name == 'ratio':
        return ('ratio', *map(int, value.split('/')))
    if name == 'set':
        return ('set', frozenset(map(json_value, value)))
    if name == 'list':
        return ('list', *map(json_value, value))
    if name == 'map':
        return ('map', frozenset((json_value(k), json_value(v)) for k, v in value))
    if name in ('char', 'sym', 'kw'):
        return (name, value)
    if name == 'tag':
        return ('tag', value[0], json_value(value[1]))
    return tagged(name, json_value(value))


class Object(list):
    """A JSON object as its pairs."""


def json_value(value):
    if value is None or isinstance(value, bool):
        return ({None: 'nil', True: 'true', False: 'false'}[value],)
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return real(value)
    if isinstance(value, str):
        return json_string(value)
    if not isinstance(value, Object):
        return ('vec', *map(json_value, value))
    if len(value) == 1 and value[0][0].startswith('#') and is_symbol(value[0][0][1:]):
        return marker(value[0][0][1:], value[0][1])
    pairs = [(json_key(key), json_value(inner)) for key, inner in value]
    assert len(dict(pairs)) == len(pairs), 'an object names a key twice'
    return ('map', frozenset(pairs))


def read_json(text):
    """The EDN value that a document stands for."""
    return json_value(json.loads(text, object_pairs_hook=Object))
