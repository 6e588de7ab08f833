#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""README's table of what tests/bench/run found: tests/bench/readme.py FILE.json"""
import json
import pathlib
import sys

PEERS = ('ourofs', 'floor', 'floor, journal', 'passthrough_ll', 'strict', 'strict on disk')


def number(value):
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def cell(row, peer):
    if peer not in row['peers']:
        return ''
    ratio = row['ratios'].get(peer)
    return number(row['peers'][peer]['median']) + (f' ({ratio:.2f}x)' if ratio else '')


def line(cells):
    return '| ' + ' | '.join(cells) + ' |'


def main():
    found = json.loads(pathlib.Path(sys.argv[1]).read_text())
    print(line(['', *PEERS]))
    print(line(['---', *['---:'] * len(PEERS)]))
    for row in found['files']:
        others = [f'{peer} {cell(row, peer)}' for peer in row['peers'] if peer not in PEERS]
        name = f'{row["name"]}, {row["unit"]}' + (f'; {", ".join(others)}' if others else '')
        print(line([name, *(cell(row, peer) for peer in PEERS)]))
    print()
    for row in found['migrate']:
        print(line([row['name'], f'{number(row["median"])} {row["unit"]}'.strip()]))
    for name, value in found.items():
        if not isinstance(value, list):
            print(line([name, str(value)]))


if __name__ == '__main__':
    main()
