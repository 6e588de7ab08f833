# SPDX-License-Identifier: MIT
"""The manual pages say what the programs do."""
import re
import shutil
import subprocess

import pytest
from conftest import TOP

PAGES = sorted((TOP / 'man').glob('*.[1-9]'))


def plain(page):
    """The page's text without mdoc's escapes."""
    text = (TOP / 'man' / page).read_text()
    return text.replace('\\(dq', '"').replace('\\(aq', "'").replace('\\&', '').replace('\\e', '\\')


@pytest.mark.skipif(not shutil.which('mandoc'), reason='mandoc is not installed')
@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_mandoc_has_no_complaint(page):
    done = subprocess.run(['mandoc', '-T', 'lint', '-W', 'style', str(page)],
                          capture_output=True, text=True)
    # Which other pages are installed is the machine's affair.
    said = [line for line in (done.stdout + done.stderr).splitlines()
            if 'referenced manual not found' not in line and 'mandoc.db' not in line]
    assert not said


def test_built_in_patterns_are_those_of_the_page():
    table = (TOP / 'mapping' / 'schema.c').read_text()
    rows = re.findall(r'\{"([^"]+)", "([^"]+)", (true|false), SCHEMA_(STRING|KEYWORD)\}', table)
    assert len(rows) > 10
    said = re.findall(r'^\.It Li ":(\S+)" Ta (\S.*?) Ta (\S+)$', plain('ourofs.5'), re.MULTILINE)

    def shape(collection, member):
        if collection == 'false':
            return 'document'
        return 'collection, members keyword' if member == 'KEYWORD' else 'collection'
    assert said == [(pattern, shape(collection, member), kind)
                    for pattern, kind, collection, member in rows]
