# SPDX-License-Identifier: MIT
"""A strict reader of Prometheus's text format: what promtool's check wants, and what its server reads."""
import re

NAME = r'[a-zA-Z_:][a-zA-Z0-9_:]*'
SAMPLE = re.compile(rf'({NAME})(?:\{{(.*)\}})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)')
TYPES = ('counter', 'gauge', 'histogram')
UNESCAPED = {'\\\\': '\\', '\\"': '"', '\\n': '\n'}


def read_labels(text):
    labels, at = {}, 0
    while at < len(text):
        found = LABEL.match(text, at)
        assert found, f'bad labels: {text}'
        assert found[1] not in labels, f'twice: {text}'
        labels[found[1]] = re.sub(r'\\.', lambda one: UNESCAPED[one[0]], found[2])
        at = found.end()
    assert not text.endswith(','), text
    return labels


class Metric:
    def __init__(self, name, kind, text):
        self.name, self.kind, self.help = name, kind, text
        self.samples = {}

    def takes(self, name):
        if self.kind == 'histogram':
            return name in (f'{self.name}_bucket', f'{self.name}_sum', f'{self.name}_count')
        return name == self.name

    def check(self):
        assert self.samples, f'{self.name} has no sample'
        assert self.name.endswith('_total') == (self.kind == 'counter'), self.name
        assert self.help.strip(), f'{self.name} has no help'
        if self.kind == 'counter':
            assert all(value >= 0 for value in self.samples.values())
        if self.kind == 'histogram':
            self.check_histogram()

    def check_histogram(self):
        series = {}
        for (name, labels), value in self.samples.items():
            rest = tuple(pair for pair in labels if pair[0] != 'le')
            one = series.setdefault(rest, {'bucket': []})
            part = name.removeprefix(f'{self.name}_')
            if part == 'bucket':
                one['bucket'].append((float(dict(labels)['le']), value))
            else:
                one[part] = value
        for rest, one in series.items():
            bounds = [bound for bound, _ in one['bucket']]
            counts = [count for _, count in one['bucket']]
            assert bounds == sorted(set(bounds)) and bounds[-1] == float('inf'), rest
            assert counts == sorted(counts), f'{rest}: buckets are not cumulative'
            assert counts[-1] == one['count'] and one['sum'] >= 0, rest
            assert one['count'] or not one['sum'], rest


def read(text):
    """{name: Metric}"""
    assert text.endswith('\n') and '\n\n' not in text and '\r' not in text
    metrics, current, helped = {}, None, None
    for line in text.splitlines():
        if line.startswith('# HELP '):
            _, _, name, words = line.split(' ', 3)
            assert re.fullmatch(NAME, name) and name not in metrics, f'{name}: not one group'
            helped = (name, words)
        elif line.startswith('# TYPE '):
            _, _, name, kind = line.split(' ')
            assert kind in TYPES and helped and helped[0] == name, line
            current = metrics[name] = Metric(name, kind, helped[1])
        else:
            found = SAMPLE.fullmatch(line)
            assert found, f'no sample: {line}'
            assert current and current.takes(found[1]), f'{line}: no group of its own'
            key = (found[1], tuple(sorted(read_labels(found[2] or '').items())))
            assert key not in current.samples, f'twice: {line}'
            current.samples[key] = float(found[3])
    for metric in metrics.values():
        metric.check()
    return metrics


def check_grown(before, after):
    """No counter falls, and none that was there goes away."""
    for name, metric in before.items():
        assert after[name].kind == metric.kind
        for key, value in metric.samples.items():
            assert key in after[name].samples
            assert metric.kind == 'gauge' or after[name].samples[key] >= value, key
