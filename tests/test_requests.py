# SPDX-License-Identifier: MIT
"""What the kernel has to ask for: a request costs more than what is done for it."""
import os

import pytest

import metrics_reader

COUNT = 100  # the kernel keeps a directory's attributes for a second: nothing here takes one


def requests(m, *operations):
    metric = metrics_reader.read((m.mnt / '.metrics').read_text())['ourofs_operations_total']
    return sum(number for (_, labels), number in metric.samples.items()
               if dict(labels)['operation'] in operations)


def asked(m, act, *operations):
    before = requests(m, *operations)
    act()
    return requests(m, *operations) - before


@pytest.fixture
def documents(mount):
    m = mount('{:config 1}')
    paths = [m.mnt / f'd{number}.json' for number in range(COUNT)]

    def write(text=b'[1, 2, 3]'):
        for path in paths:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # open() looks at what it opened
            os.write(fd, text)
            os.close(fd)

    def read():
        for path in paths:
            assert path.read_text() == '[1, 2, 3]'

    def look():
        with os.scandir(m.mnt) as entries:
            found = {entry.name: entry.stat() for entry in entries}
        assert all(found[path.name].st_size == path.stat().st_size for path in paths)
    m.write, m.read, m.look = write, read, look
    return m


def test_a_new_document(documents):
    """The directory's attributes, which the kernel forgets when a name comes; not the document's own."""
    assert asked(documents, documents.write, 'getattr') < COUNT * 3 // 2


def test_a_document_that_is_written_again(documents):
    documents.write()
    documents.look()
    documents.write(b'[]')
    assert asked(documents, lambda: documents.write(b'[1]'), 'getattr', 'lookup') < COUNT


def test_saved_by_a_rename(documents):
    """The kernel looks up both names before it renames, and has the inode of the one for the other behind that."""
    documents.write()

    def save():
        for number in range(COUNT):
            (documents.mnt / 'new').write_text('[1, 2, 3]')
            os.rename(documents.mnt / 'new', documents.mnt / f'd{number}.json')
    assert asked(documents, lambda: (save(), documents.read()), 'lookup') < COUNT * 5 // 2


def test_attributes_of_many_that_were_never_listed(mount):
    """They come with the names, as many as there are, and not each with a lookup of its own."""
    m = mount('{:presence/s {%s}}' % ' '.join(f'"u{number}" {number}' for number in range(20 * COUNT)))

    def look():
        names = os.listdir(m.mnt / 'presence/s')
        assert len(names) == 20 * COUNT
        assert all(os.stat(m.mnt / 'presence/s' / name).st_size for name in names)
    assert asked(m, look, 'getattr', 'lookup') < COUNT


@pytest.mark.parametrize('before', ['listed', 'read', 'written', 'set', 'renamed'])
def test_a_list_with_attributes(documents, before):
    """Once the kernel was told all of them it is told no more, but what it has lost meanwhile."""
    documents.write()
    documents.look()
    if before == 'read':
        documents.read()
    elif before == 'written':
        documents.write(b'[1, 2]')
    for number in range(COUNT):
        path = documents.mnt / f'd{number}.json'
        if before == 'set':
            os.utime(path, (1, 1))
        elif before == 'renamed':
            os.rename(path, documents.mnt / 'other.json')
            os.rename(documents.mnt / 'other.json', path)
    assert asked(documents, documents.look, 'getattr') < COUNT
    assert asked(documents, documents.look, 'getattr', 'lookup') < COUNT
