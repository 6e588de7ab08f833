# SPDX-License-Identifier: MIT
"""The tree on a real mount: every key at its path, and what may be made, moved and removed there."""
import collections
import errno
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

import edn_reader
from conftest import TESTS
from shell import holds, memory, names, sh, shown

OUROBOROS = (TESTS / 'cases' / 'memory-ouroboros.edn').read_text()

EXAMPLE_FILES = '''\
#42.json
#[:row 3].json
#nil.json
a string for a key.json
ada/water-in-the-morning-1770903000000-17.json
beds/north.json
beds/north/trellis.json
bram/peas-want-a-net-1770903100000-4.json
builder-sessions/ada/ada%2Fproject-spring-1770900000000%2Fempathy-1770900600000.json
calls.json
comments/:session-101/comment-1770901500000-4711.json
comments/:session-101/comment-1770901600000-0815.json
config.json
deleted/old-idea-1.json
embed-token/0ddba11e0ddba11e0ddba11e0ddba11e0ddba11e0ddba11e0ddba11e0ddba11e.json
embed-token/c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00.json
favourites.json
first-harvest.json
greenhouse-id.json
greeting.json
learning/index/#nil.json
learning/index/ada.json
learning/index/bram.json
learning/review-index/#nil.json
learning/review-index/ada.json
learning/tag-index/@shed.json
learning/tag-index/peas%2Fbeans.json
learning/tag-index/slow & steady.json
learning/tag-index/water.json
learning/tag-index/🌱.json
learning/wal.json
notifications/last-ada.json
offline-queue/:session-101.json
ops/:session-101.json
plots.json
presence/:session-101/:ada.json
presence/:session-101/:bram.json
presence/garden-ada/project-spring-1770900000000/ada.json
presence/garden-ada/project-spring-1770900000000/zoë@example.org.json
projects/ada/ada%2Fproject-garden--190747648.json
projects/ada/ada%2Fproject-spring-1770900000000.json
review/ada/water-in-the-morning-1770903000000-17.json
review/bram/peas-want-a-net-1770903100000-4.json
scale.json
session-snapshot/:session-101.json
shopping.json
sowing-calendar.json
versions/:session-101/v-1770902100000.json
webhook/deadbeefdeadbeefdeadbeefdeadbeef.json
winner.json
'''.splitlines()

COLLECTIONS = re.compile(r'presence/.|projects/.|builder-sessions/.|comments/.|versions/.|'
                         r'learning/(tag-index|index|review-index)$', re.DOTALL)


def files_below(top):
    """Every file as {path: Path}, by walking as any program does."""
    return {str(pathlib.Path(where, name).relative_to(top)): pathlib.Path(where, name)
            for where, _, found in os.walk(top) for name in found}


def directories_below(top):
    return {str(pathlib.Path(where, name).relative_to(top))
            for where, found, _ in os.walk(top) for name in found}


def is_collection(key, value):
    return key[0] == 'kw' and value[0] == 'map' and COLLECTIONS.match(key[1]) is not None


def entities(keys):
    """Each document of a memory as (key, member or None): value."""
    found = {}
    for key, value in keys.items():
        if is_collection(key, value):
            found.update({(key, member): inner for member, inner in value[1]})
        else:
            found[key, None] = value
    return found


def entity_of(path):
    """The key, and the member in a collection, that a file's attributes name."""
    key = edn_reader.read(os.getxattr(path, 'user.ourofs.key').decode())
    if key[0] == 'vec' and len(key) == 3 and key[1][0] == 'kw' and COLLECTIONS.match(key[1][1]):
        return key[1], key[2]
    return key, None


def test_every_family_at_its_path(mount, example):
    m = mount(example)
    assert sorted(files_below(m.mnt)) == EXAMPLE_FILES
    above = {str(parent) for name in EXAMPLE_FILES for parent in pathlib.Path(name).parents}
    assert directories_below(m.mnt) == above - {'.'} | {'presence/:session-102'}


def plain_path(key, member):
    """Where a keyword or text of harmless characters belongs."""
    if key[0] == 'kw' and member is None:
        return key[1] + '.json'
    if key[0] == 'kw' and member[0] == 'str':
        return f"{key[1]}/{member[1].replace('/', '%2F')}.json"
    if key[0] == 'kw' and member[0] == 'kw':
        mark = '' if key[1].startswith('learning/') else ':'
        return f'{key[1]}/{mark}{member[1]}.json'
    return None


@pytest.mark.parametrize('case', ['example', 'ouroboros'])
def test_every_value_as_json(mount, example, case):
    text = example if case == 'example' else OUROBOROS
    m = mount(text)
    expected = entities(edn_reader.memory(text))
    found = {}
    for name, path in files_below(m.mnt).items():
        json.loads(path.read_text())
        entity = entity_of(path)
        assert entity not in found, name
        found[entity] = shown(path)
        assert plain_path(*entity) in (name, None)
    assert found.keys() == expected.keys()
    wrong = [entity for entity in expected if found[entity] != expected[entity]]
    assert not wrong
    m.unmount()
    assert m.edn_text() == text


def test_sizes_are_those_of_what_is_read(mount):
    m = mount(OUROBOROS)
    for name, path in files_below(m.mnt).items():
        before = path.stat()
        data = path.read_bytes()
        assert (before.st_size, before.st_nlink, stat.S_IFMT(before.st_mode)) == \
            (len(data), 1, stat.S_IFREG), name
        assert path.stat().st_size == len(data)


def test_types_in_attributes(mount, example):
    m = mount(example)
    types = collections.Counter(os.getxattr(path, 'user.ourofs.type').decode()
                                for path in files_below(m.mnt).values())
    assert types['learning'] == 2
    assert types['presence'] == 4
    assert types['tag'] == 5
    assert types['embed-token'] == 2
    assert os.getxattr(m.mnt / 'presence/:session-101', 'user.ourofs.key') == \
        b':presence/:session-101'


@pytest.mark.parametrize('case', ['example', 'ouroboros'])
def test_inode_numbers_are_unique_and_stay(mount, example, case):
    m = mount(example if case == 'example' else OUROBOROS)

    def numbers():
        found = {name: os.stat(m.mnt / name).st_ino
                 for name in [*files_below(m.mnt), *directories_below(m.mnt)]}
        listed = {entry.name: entry.inode() for entry in os.scandir(m.mnt)}
        assert listed == {name: found[name] for name in listed}
        return found
    before = numbers()
    assert len(set(before.values())) == len(before)
    m.remount()
    assert numbers() == before


READERS = {
    'find': 'test $(find . -type f -name "*.json" | wc -l) = 50',
    'find -type d': 'test $(find . -mindepth 1 -type d | wc -l) = 31',
    'ls -la': 'ls -la . presence/* learning/tag-index; test $(ls -A | wc -l) = 32',
    'ls -laR': 'ls -laR . > $BASE/listing; test $(grep -c "[.]json$" $BASE/listing) = 50',
    'grep -r': 'grep -rl "Spring beds" . | grep -x "./projects/ada/ada%2Fproject-spring-1770900000000.json"',
    'du': 'test $(du -s --apparent-size -B1 . | cut -f1) -gt 5000; du -ah > /dev/null',
    'tar c': 'tar cf $BASE/a.tar . && tar df $BASE/a.tar',
    'cp -a and diff -r': 'cp -a . $BASE/copy && diff -r . $BASE/copy',
    'cp -r': 'cp -r . $BASE/copy2 && diff -r . $BASE/copy2',
    'wc': 'cat plots.json winner.json | wc -l | grep -x 2; test $(wc -c < plots.json) = 3',
    'jq': 'jq -e ".price == {\\"#dec\\": \\"1.50\\"}" config.json; find . -name "*.json" -exec jq . {} + > /dev/null',
    'head and tail': 'test "$(head -c 1 config.json)$(tail -c 2 config.json)" = "{}"',
    'sha256sum': 'find . -type f -exec sha256sum {} + > $BASE/sums && sha256sum -c --quiet $BASE/sums',
    'cmp': 'cmp plots.json plots.json; ! cmp -s plots.json scale.json',
    'stat': 'test "$(stat -c %s-%F plots.json)" = "3-regular file"',
    'file': 'test -f plots.json -a -r plots.json -a -w plots.json -a -d presence -a ! -e nothing.json',
    'shell patterns': 'set -- presence/*/*.json; test $# = 2; set -- learning/tag-index/*; test $# = 5',
    'xargs': 'find . -name "*.json" -print0 | xargs -0 cat | wc -c',
    'df': 'df . | tail -n 1 | grep -q mnt',
    'getfattr': 'getfattr --only-values -n user.ourofs.key config.json | grep -x :config',
    'rsync out': 'rsync -a ./ $BASE/out/ && diff -r . $BASE/out',
}


@pytest.mark.parametrize('tool', READERS)
def test_reading_tools_change_nothing(mount, example, tool):
    m = mount(example)
    sh(m, f'set -e -o pipefail; {READERS[tool]}')
    m.unmount()
    assert m.edn_text() == example


# ---- writing what is there already ----

SAME_IN_CLOJURE = r'''
(require '[clojure.edn :as edn] '[clojure.string :as string])
(declare same?)
(defn matches? [as bs]
  (and (= (count as) (count bs))
       (empty? (reduce (fn [left b]
                         (let [i (first (keep-indexed #(when (same? %2 b) %1) left))]
                           (if i (into (subvec left 0 i) (subvec left (inc i))) (reduced [:no]))))
                       (vec as) bs))))
(defn kind [a] (cond (map? a) :map (vector? a) :vector (set? a) :set (sequential? a) :list))
(defn same? [a b]
  (cond (not= (kind a) (kind b)) false
        (map? a) (if (every? #(or (keyword? %) (string? %)) (concat (keys a) (keys b)))
                   (and (= (set (keys a)) (set (keys b))) (every? #(same? (a %) (b %)) (keys a)))
                   (matches? (map vec a) (map vec b)))
        (set? a) (matches? a b)
        (sequential? a) (and (= (count a) (count b)) (every? true? (map same? a b)))
        (tagged-literal? a) (and (tagged-literal? b) (= (:tag a) (:tag b)) (same? (:form a) (:form b)))
        :else (and (= (class a) (class b)) (= (pr-str a) (pr-str b)))))
;; The one keyword that Clojure can't read is given a letter in front, in both.
(defn load-memory [file]
  (edn/read-string {:default tagged-literal}
    (string/replace (slurp file) ":embed-token/0" ":embed-token/x0")))
(doseq [[a b] (partition 2 *command-line-args*)]
  (println (same? (load-memory a) (load-memory b)) (count (load-memory b))))
'''

ONTO_ITSELF = {
    'cp': 'for f; do cp "$f" x && cp x "$f"; done',
    'a detour over another value': 'for f; do cp "$f" x && echo 0 > "$f" && cp x "$f"; done',
    'jq': 'for f; do jq -c . "$f" > x && mv x "$f"; done',
    'python': 'python3 -c \'import json, sys\nfor f in sys.argv[1:]:\n v = json.load(open(f))\n '
              'with open(f, "w") as to:\n  json.dump(v, to, indent=4)\' "$@"',
}


@pytest.mark.oracle
def test_values_written_onto_themselves(mount, example, tmp_path):
    """Copies, detours and round trips through JSON libraries leave every value as it was."""
    files = []
    for text in (example, OUROBOROS):
        original = tmp_path / f'{len(files)}.edn'
        original.write_text(text)
        for how, script in ONTO_ITSELF.items():
            m = mount(text)
            subprocess.run(['bash', '-c', f'set -e; {script}; rm -f x', how, *files_below(m.mnt)], cwd=m.mnt, check=True)
            assert edn_reader.memory(text) == memory(m), how
            m.unmount()
            if how == 'cp':
                assert m.edn_text() == text
            files += [original, m.edn]
    program = tmp_path / 'same.clj'
    program.write_text(SAME_IN_CLOJURE)
    run = subprocess.run(['clojure', program, *files], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == \
        ['true 40'] * len(ONTO_ITSELF) + ['true 109'] * len(ONTO_ITSELF), run.stderr


def spans(text):
    """Where the values that documents stand for are in the text: {(key, member): (start, end)}."""
    found = {}
    for key, value, start, end in edn_reader.Reader(text).entries():
        found[key, None] = (start, end)
        if is_collection(key, value):
            inner = edn_reader.Reader(text)
            inner.at = start
            found.update({(key, member): (begin, after)
                          for member, _, begin, after in inner.entries()})
    return found


def test_an_edit_changes_the_bytes_of_its_value_only(mount, example):
    m = mount(example)
    before = example
    for name, path in files_below(m.mnt).items():
        start, end = spans(before)[entity_of(path)]
        path.write_text(json.dumps({'edited': name}))
        m.sync()
        after = m.edn_text()
        assert after.startswith(before[:start]) and after.endswith(before[end:]), name
        assert after[start:len(after) - len(before[end:])] == \
            f'{{:edited {json.dumps(name, ensure_ascii=False)}}}'
        before = after


def test_adding_and_removing_keeps_the_rest(mount, example):
    m = mount(example)
    (m.mnt / 'new.json').write_text('[1, 2]')
    (m.mnt / 'presence/:session-101/:cleo.json').write_text('{"user/name": "Cleo"}')
    m.sync()
    keys = edn_reader.memory(m.edn_text())
    assert keys['kw', 'new'] == edn_reader.read('[1 2]')
    (m.mnt / 'new.json').unlink()
    (m.mnt / 'presence/:session-101/:cleo.json').unlink()
    m.sync()
    assert edn_reader.memory(m.edn_text()) == edn_reader.memory(example)
    assert [line for line in example.splitlines() if ';;' in line] == \
        [line for line in m.edn_text().splitlines() if ';;' in line]


# ---- names ----

def rows_of(case):
    for line in (TESTS / 'cases/path' / case).read_text().splitlines():
        if line and not line.startswith('# '):
            yield [re.sub(r'<([0-9A-F]{2})>', lambda m: chr(int(m[1], 16)), word)
                   for word in line.split('\t')]


def test_names_of_keys_of_all_types(mount):
    """Each key of the path cases comes from memory.edn to its path, and by its path into memory.edn."""
    rows = [(key, path) for key, kind, path in rows_of('keys.txt')
            if kind == '-' and key not in ('(1 2)', ':presence/a/b/c', ':presence/s1',
                                           ':presence/x.json', ':learning/tag-index')]
    text = '{' + '\n'.join(f'{key} {number}' for number, (key, _) in enumerate(rows)) + '}'
    m = mount(text)
    assert {name: path.read_text() for name, path in files_below(m.mnt).items()} == \
        {path: f'{number}\n' for number, (_, path) in enumerate(rows)}

    empty = mount('{}')
    made = []
    for number, (key, name) in enumerate(rows):
        path = empty.mnt / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_text(str(number))
            made.append((key, number))
        except OSError as error:
            assert error.errno == errno.EINVAL, (key, error)
            assert not path.exists()
    assert memory(empty) == edn_reader.memory(
        '{' + '\n'.join(f'{key} {number}' for key, number in made) + '}')
    assert len(made) > len(rows) - 20


def test_members_of_all_types(mount):
    rows = [row for row in rows_of('members.txt') if row[0] != ':presence/a.json']
    keys = collections.defaultdict(dict)
    for number, (key, member, _) in enumerate(rows):
        keys[key][member] = number
    text = '{' + '\n'.join(
        f'{key} {{' + ' '.join(f'{member} {number}' for member, number in members.items()) + '}'
        for key, members in keys.items()) + '}'
    m = mount(text)
    assert {name: path.read_text() for name, path in files_below(m.mnt).items()} == \
        {path: f'{number}\n' for number, (_, _, path) in enumerate(rows)}
    m.unmount()
    assert m.edn_text() == text


NO_NAMES = ['50%2f.json', '%41.json', "'two words.json", 'review/2024.json', 'notes/a@b.json',
            b'\xff.json', b'a\xc3.json', 'a%.json', ':config.json', 'config%2ejson.json',
            'notes/two words.json', 'notes/a;b.json', 'presence/s/:user%2F1.json',
            "presence/s/'alice.json", 'presence/s/%61lice.json', '#1.50.json', '#[1,2].json',
            '#.json', 'a%2Fb.json', 'presence%2Fs1.json', 'my dir/x.json', 'a\x01.json',
            'learning/index/:alice.json', 'projects/my projects/x.json']


@pytest.mark.parametrize('name', NO_NAMES, ids=repr)
def test_names_that_are_no_keys(mount, name):
    m = mount('{:presence/s {} :learning/index {} :config 1}')
    path = os.path.join(os.fsencode(m.mnt), os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    (m.mnt / 'good.json').write_text('1')
    (m.mnt / 'scratch').write_text('1')
    (m.mnt / 'folder').mkdir()
    for ask in (os.stat, os.unlink, lambda p: os.open(p, os.O_RDONLY), lambda p: os.truncate(p, 0)):
        with pytest.raises(FileNotFoundError):
            ask(path)
    for make in (lambda: os.open(path, os.O_WRONLY | os.O_CREAT),
                 lambda: os.rename(m.mnt / 'good.json', path),
                 lambda: os.rename(m.mnt / 'scratch', path),
                 lambda: os.mkdir(path), lambda: os.rename(m.mnt / 'folder', path)):
        lines = (m.mnt / '.errors').read_bytes().count(b'\n')
        with pytest.raises(OSError) as error:
            make()
        assert error.value.errno == errno.EINVAL
        assert (m.mnt / '.errors').read_bytes().count(b'\n') == lines + 1
    assert (m.mnt / 'good.json').read_text() == '1'
    assert not os.path.lexists(path)


def test_what_memory_has_already_may_be_edited(mount):
    """Keys that Clojure can't read are not let in, but those in memory.edn are served."""
    m = mount('{:embed-token/0ab 1 :notes/a@b {:x 1}}')
    (m.mnt / 'embed-token/0ab.json').write_text('2')
    (m.mnt / 'notes/a@b.json').write_text('{"x": 2}')
    holds(m, ':embed-token/0ab', '2')
    (m.mnt / 'notes/a@b.json').unlink()
    m.sync()
    assert m.edn_text() == '{:embed-token/0ab 2}'


def test_lengths_of_names(mount):
    m = mount('{}')
    for name in ('x' * 250 + '.json', 's' * 255, 'é' * 127 + 's', 'é' * 125 + '.json'):
        (m.mnt / name).write_text('1')
        assert (m.mnt / name).read_text() == '1'
        for change in (lambda long: long.write_text('1'), lambda long: long.mkdir(), os.stat,
                       lambda long: os.rename(m.mnt / name, long)):
            with pytest.raises(OSError) as error:
                change(m.mnt / ('x' + name))
            assert error.value.errno == errno.ENAMETOOLONG
    assert len(names(m.mnt)) == 4
    (m.mnt / ('d' * 255)).mkdir()
    (m.mnt / ('d' * 255) / ('y' * 250 + '.json')).write_text('2')
    holds(m, ':' + 'd' * 255 + '/' + 'y' * 250, '2')


def test_keys_longer_than_names(mount):
    long = 'k' * 300
    m = mount(f'{{:{long} 1 :{long}x 2 :{long}/b 3 :presence/s1 {{"{long}" 4}}}}')
    found = {path.read_text(): path for path in files_below(m.mnt).values()}
    assert sorted(found) == ['1\n', '2\n', '3\n', '4\n']
    for path in found.values():
        assert len(os.fsencode(path.name)) <= 255
    for value, key in (('1\n', f':{long}'), ('2\n', f':{long}x'), ('3\n', f':{long}/b'),
                       ('4\n', f'[:presence/s1 "{long}"]')):
        assert os.getxattr(found[value], 'user.ourofs.key').decode() == key
    assert re.search(r'%~[0-9a-f]{16}\.json$', found['1\n'].name)
    assert re.search(r'%~[0-9a-f]{16}$', found['3\n'].parent.name)
    found['1\n'].write_text('11')
    found['4\n'].write_text('44')
    found['2\n'].unlink()
    assert memory(m) == edn_reader.memory(f'{{:{long} 11 :{long}/b 3 :presence/s1 {{"{long}" 44}}}}')
    with pytest.raises(OSError) as error:
        found['2\n'].write_text('2')
    assert error.value.errno == errno.EINVAL


def test_reserved_names(mount):
    m = mount('{:config 1}')
    for name in ('.by', '.search', '.since', '.at', '.history', '.snap', '.tx',
                 '.knowledge', '.query'):
        path = m.mnt / name
        for make in (lambda: path.write_text('1'), path.mkdir,
                     lambda: os.rename(m.mnt / 'config.json', path)):
            with pytest.raises(OSError) as error:
                make()
            assert error.value.errno in (errno.EPERM, errno.EACCES), name
        assert not path.exists()
    (m.mnt / '.other').write_text('scratch')
    (m.mnt / 'presence').mkdir()
    (m.mnt / 'presence/.store').write_text('scratch')
    assert (m.mnt / 'config.json').read_text() == '1\n'


# ---- collections ----

def test_a_collection_comes_with_its_first_member(mount):
    m = mount('{}')
    (m.mnt / 'presence').mkdir()
    (m.mnt / 'presence/s1').mkdir()
    m.sync()
    assert m.edn_text() == '{}'
    (m.mnt / 'presence/s1/alice.json').write_text('{"user/name": "Alice"}')
    holds(m, ':presence/s1', '{"alice" {:user/name "Alice"}}')
    (m.mnt / 'presence/s1/alice.json').unlink()
    holds(m, ':presence/s1', '{}')
    assert names(m.mnt / 'presence/s1') == []
    (m.mnt / 'presence/s1').rmdir()
    m.sync()
    assert m.edn_text() == '{}'
    assert names(m.mnt / 'presence') == []
    (m.mnt / 'presence').rmdir()
    assert names(m.mnt) == []


def test_an_empty_collection_stays_over_a_remount(mount):
    m = mount('{:presence/s1 {"alice" 1} :presence/s2 {}}')
    (m.mnt / 'presence/s1/alice.json').unlink()
    m.remount()
    assert m.edn_text() == '{:presence/s1 {} :presence/s2 {}}'
    assert names(m.mnt / 'presence') == ['s1', 's2']
    (m.mnt / 'presence/s2').rmdir()
    m.remount()
    assert m.edn_text() == '{:presence/s1 {}}'


def test_a_map_where_a_collection_belongs(mount):
    m = mount('{:presence/s1 {"alice" 1}}')
    path = m.mnt / 'presence/foo.json'
    with pytest.raises(IsADirectoryError):
        path.write_text('{"alice": 1}')
    assert not path.exists()
    (m.mnt / 'tmp').write_text('{"alice": 1}')
    with pytest.raises(IsADirectoryError):
        os.rename(m.mnt / 'tmp', path)
    path.write_text('[1, 2]')
    holds(m, ':presence/foo', '[1 2]')
    with pytest.raises(IsADirectoryError):
        path.write_text('{}')
    holds(m, ':presence/foo', '[1 2]')
    assert path.read_text() == '[1, 2]'


def test_one_key_is_not_both_document_and_collection(mount):
    m = mount('{:presence/s1 {"alice" 1} :presence/s2 [1]}')
    (m.mnt / 'presence/s2').mkdir()
    for name in ('s1.json', 's2/alice.json'):
        with pytest.raises(OSError) as error:
            (m.mnt / 'presence' / name).write_text('[1]')
        assert error.value.errno in (errno.EEXIST, errno.EISDIR, errno.ENOTDIR)
        assert not (m.mnt / 'presence' / name).exists()
    m.sync()
    assert m.edn_text() == '{:presence/s1 {"alice" 1} :presence/s2 [1]}'


def test_equal_keys_are_one(mount):
    """What Clojure's = takes for a key that is there can't come in beside it."""
    m = mount('{[1 2] 1 1.0M 2 42 3 :learning/index {nil 1}}')
    for name in ('#(1 2).json', '#1.00M.json', '#42N.json'):
        with pytest.raises(FileExistsError):
            (m.mnt / name).write_text('9')
        assert not (m.mnt / name).exists()
    (m.mnt / '#42.0.json').write_text('4')
    assert memory(m) == edn_reader.memory('{[1 2] 1 1.0M 2 42 3 42.0 4 :learning/index {nil 1}}')


def test_members_and_further_keys_in_one_directory(mount):
    m = mount('{:presence/a {"x" 1} :presence/a/b {"y" 2}}')
    assert names(m.mnt / 'presence/a') == ['b', 'x.json']
    sh(m, 'rm -r presence/a/b')
    m.sync()
    assert m.edn_text() == '{:presence/a {"x" 1}}'


# ---- directories ----

def test_mkdir_and_rmdir(mount, example):
    m = mount(example)
    with pytest.raises(FileExistsError):
        (m.mnt / 'presence').mkdir()
    with pytest.raises(FileExistsError):
        (m.mnt / 'config.json').mkdir()
    with pytest.raises(OSError) as error:
        (m.mnt / 'foo.json').mkdir()
    assert error.value.errno == errno.EINVAL
    for name in ('presence', 'presence/:session-101', 'beds/north', 'learning'):
        with pytest.raises(OSError) as error:
            (m.mnt / name).rmdir()
        assert error.value.errno == errno.ENOTEMPTY
    assert 'not empty' not in (m.mnt / '.errors').read_text()
    with pytest.raises(NotADirectoryError):
        (m.mnt / 'config.json').rmdir()
    with pytest.raises(FileNotFoundError):
        (m.mnt / 'nowhere').rmdir()
    with pytest.raises(IsADirectoryError):
        (m.mnt / 'presence').unlink()
    with pytest.raises(FileNotFoundError):
        (m.mnt / 'nowhere/x.json').write_text('1')
    with pytest.raises(NotADirectoryError):
        (m.mnt / 'config.json/x.json').write_text('1')
    m.unmount()
    assert m.edn_text() == example


def test_an_emptied_namespace_stays(mount):
    m = mount('{:a/b/c 1 :d 2}')
    (m.mnt / 'a/b/c.json').unlink()
    assert names(m.mnt / 'a') == ['b'] and names(m.mnt / 'a/b') == []
    m.remount()
    assert names(m.mnt / 'a/b') == []
    (m.mnt / 'a/b').rmdir()
    (m.mnt / 'a').rmdir()
    m.remount()
    assert names(m.mnt) == ['d.json']
    assert m.edn_text() == '{:d 2}'


@pytest.mark.parametrize('victim, gone', [
    ('ada', [':ada/water-in-the-morning-1770903000000-17']),
    ('presence/:session-101', [':presence/:session-101']),
    ('presence/:session-102', [':presence/:session-102']),
    ('presence', [':presence/:session-101', ':presence/:session-102',
                  ':presence/garden-ada/project-spring-1770900000000']),
    ('beds', [':beds/north', ':beds/north/trellis']),
    ('learning', [':learning/index', ':learning/review-index', ':learning/tag-index',
                  ':learning/wal']),
    ('builder-sessions projects', [':builder-sessions/ada', ':projects/ada']),
])
def test_rm_r(mount, example, victim, gone):
    m = mount(example)
    sh(m, f'rm -r {victim}')
    assert not any((m.mnt / name).exists() for name in victim.split())
    m.unmount()
    keys = edn_reader.memory(example)
    for key in gone:
        del keys[edn_reader.read(key)]
    assert edn_reader.memory(m.edn_text()) == keys


def test_rm_rf_everything(mount):
    m = mount(OUROBOROS)
    sh(m, 'rm -rf ./*')
    assert names(m.mnt) == []
    m.unmount()
    assert edn_reader.memory(m.edn_text()) == {}


def test_find_delete(mount, example):
    m = mount(example)
    sh(m, 'find . -mindepth 1 -delete')
    assert memory(m) == {}
    assert (m.mnt / '.mode').read_text() == 'datalevin-first\n'


def test_mkdir_p_and_a_key_below(mount):
    m = mount('{}')
    sh(m, 'mkdir -p a/b/c && echo 1 > a/b/c/d.json && echo 2 > a/b.json')
    assert memory(m) == edn_reader.memory('{:a/b/c/d 1 :a/b 2}')


def test_times_of_directories(mount):
    """A directory's time is that of the last change of its own names, whoever keeps them."""
    m = mount('{:a/b/c 1}')
    sh(m, 'mkdir -p x/y/z presence/s1; touch -d 2001-02-03 a a/b x x/y x/y/z presence presence/s1')

    def touched():
        found = {name for name in ('a', 'a/b', 'x', 'x/y', 'x/y/z', 'presence', 'presence/s1')
                 if (m.mnt / name).stat().st_mtime != 981158400}
        for name in found:
            os.utime(m.mnt / name, (981158400, 981158400))
        return found

    for script, changed in (
            ('echo 1 > x/y/z/f.json', {'x/y/z'}), ('echo 2 > x/y/z/f.json', set()),
            ('rm x/y/z/f.json', {'x/y/z'}), ('echo 1 > presence/s1/m.json', {'presence/s1'}),
            ('echo 1 > x/y/z/t; mv x/y/z/t x/y/z/f.json', {'x/y/z'}),
            ('echo 2 > a/b/c.json', set()), ('mv a/b/c.json a/c.json', {'a', 'a/b'}),
            ('rm presence/s1/m.json', {'presence/s1'}), ('touch x/y/e.json', {'x/y'}),
            ('echo 1 > x/y/e.json', set()), ('mkdir x/new; rmdir x/new', {'x'})):
        sh(m, script)
        m.remount()  # what the kernel knows may be a second old
        assert touched() == changed, script


# ---- renaming directories ----

def test_rename_of_a_namespace(mount, example):
    m = mount(example)
    before = {name: path.read_bytes() for name, path in files_below(m.mnt / 'beds').items()}
    os.rename(m.mnt / 'beds', m.mnt / 'plots-of-land')
    assert not (m.mnt / 'beds').exists()
    assert {name: path.read_bytes()
            for name, path in files_below(m.mnt / 'plots-of-land').items()} == before
    m.kill()
    m.remount()
    assert {name: path.read_bytes()
            for name, path in files_below(m.mnt / 'plots-of-land').items()} == before
    keys = memory(m)
    old = edn_reader.memory(example)
    assert keys['kw', 'plots-of-land/north'] == old['kw', 'beds/north']
    assert keys['kw', 'plots-of-land/north/trellis'] == old['kw', 'beds/north/trellis']
    assert ('kw', 'beds/north') not in keys and len(keys) == len(old)


def test_rename_of_a_collection(mount, example):
    m = mount(example)
    old = edn_reader.memory(example)
    os.rename(m.mnt / 'presence/:session-101', m.mnt / 'presence/:session-9')
    os.rename(m.mnt / 'presence/:session-102', m.mnt / 'presence/empty')
    os.rename(m.mnt / 'projects/ada', m.mnt / 'projects/grace')
    keys = memory(m)
    assert keys['kw', 'presence/:session-9'] == old['kw', 'presence/:session-101']
    assert keys['kw', 'presence/empty'] == ('map', frozenset())
    assert keys['kw', 'projects/grace'] == old['kw', 'projects/ada']
    assert len(keys) == len(old)


def test_rename_of_a_collection_across_families(mount):
    m = mount('{:presence/s1 {"a" 1 "b" 2} :notes/x {:y 1} :notes/z 3}')
    os.rename(m.mnt / 'presence/s1', m.mnt / 'notes/s1')
    assert memory(m) == edn_reader.memory('{:notes/s1/a 1 :notes/s1/b 2 :notes/x {:y 1} :notes/z 3}')
    os.rename(m.mnt / 'notes', m.mnt / 'presence/s2')
    assert memory(m) == edn_reader.memory(
        '{:presence/s2/s1 {"a" 1 "b" 2} :presence/s2 {"x" {:y 1} "z" 3}}')


@pytest.mark.parametrize('old, new', [
    ('presence/s1', 'notes/s1'),         # "two words" can be no keyword
    ('beds', 'my dir'),                  # no keyword either
    ('beds', '.beds'),                   # scratch
    ('learning', 'teaching'),            # a/b is no segment
    ('presence', 'absence'),
])
def test_rename_of_a_directory_to_where_no_keys_are(mount, old, new):
    text = '{:presence/s1 {"two words" 1} :beds/north 2 :learning/tag-index {"a b" 3} :learning/wal 4}'
    m = mount(text)
    (m.mnt / 'notes').mkdir()
    before = files_below(m.mnt)
    with pytest.raises(OSError) as error:
        os.rename(m.mnt / old, m.mnt / new)
    assert error.value.errno == errno.EXDEV
    assert files_below(m.mnt) == before
    m.sync()
    assert m.edn_text() == text


def test_mv_copies_where_rename_can_not(mount):
    m = mount('{:beds/north 2 :beds/south {:a 1}}')
    sh(m, 'mkdir .old && mv beds .old/')
    assert names(m.mnt / '.old/beds') == ['north.json', 'south.json']
    m.sync()
    assert m.edn_text() == '{}'
    sh(m, 'mv .old/beds .')
    assert memory(m) == edn_reader.memory('{:beds/north 2 :beds/south {:a 1}}')


def test_rename_of_directories_onto_things(mount):
    m = mount('{:a/x 1 :b/y 2 :c 3 :presence/s1 {"m" 1} :presence/s2 {}}')

    def fails(old, new, number):
        with pytest.raises(OSError) as error:
            os.rename(m.mnt / old, m.mnt / new)
        assert error.value.errno == number
    fails('a', 'b', errno.ENOTEMPTY)
    fails('a', 'c.json', errno.ENOTDIR)
    fails('c.json', 'a', errno.EISDIR)
    fails('a', 'a/inside', errno.EINVAL)
    fails('a', 'a.json', errno.EINVAL)
    fails('nowhere', 'b', errno.ENOENT)
    (m.mnt / 'empty').mkdir()
    os.rename(m.mnt / 'a', m.mnt / 'empty')
    os.rename(m.mnt / 'presence/s1', m.mnt / 'presence/s2')
    assert memory(m) == edn_reader.memory('{:empty/x 1 :b/y 2 :c 3 :presence/s2 {"m" 1}}')
    assert names(m.mnt) == ['b', 'c.json', 'empty', 'presence']


def test_scratch_files_move_with_their_directory(mount):
    m = mount('{:a/x 1}')
    (m.mnt / 'a/notes.txt').write_text('scratch')
    (m.mnt / 'a/sub').mkdir()
    (m.mnt / 'a/sub/deep.txt').write_text('deep')
    os.rename(m.mnt / 'a', m.mnt / 'b')
    assert files_below(m.mnt).keys() == {'b/x.json', 'b/notes.txt', 'b/sub/deep.txt'}
    assert (m.mnt / 'b/sub/deep.txt').read_text() == 'deep'
    assert not (m.mnt / 'a').exists()
    sh(m, 'rm -r b')
    m.remount()
    assert names(m.mnt) == []


# ---- what users may not do ----

def test_links_and_devices(mount):
    m = mount('{:config 1}')
    config, new = m.mnt / 'config.json', m.mnt / 'new'
    for make in (lambda: os.symlink('config.json', new), lambda: os.link(config, new),
                 lambda: os.mkfifo(new), lambda: os.symlink('x', m.mnt / 'new.json'),
                 lambda: os.link(config, m.mnt / 'new.json'),
                 lambda: os.mknod(new, stat.S_IFCHR | 0o600, os.makedev(1, 3))):
        with pytest.raises(PermissionError) as error:
            make()
        assert error.value.errno == errno.EPERM
    assert names(m.mnt) == ['config.json']


def test_owner(mount):
    m = mount('{:config 1}')
    (m.mnt / 'scratch').write_text('')
    for path in (m.mnt / 'config.json', m.mnt / 'scratch', m.mnt):
        found = path.stat()
        assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())
        os.chown(path, os.getuid(), os.getgid())
        os.chown(path, -1, -1)
        with pytest.raises(PermissionError):
            os.chown(path, 12345, -1)
        with pytest.raises(PermissionError):
            os.chown(path, -1, 12345)
        assert path.stat().st_uid == os.getuid()


def test_extended_attributes_are_read_only(mount):
    m = mount('{:config 1 :presence/s1 {"alice" {}}}')
    path = m.mnt / 'config.json'
    for change in (lambda: os.setxattr(path, 'user.mine', b'1'),
                   lambda: os.setxattr(path, 'user.ourofs.key', b':other'),
                   lambda: os.removexattr(path, 'user.ourofs.key')):
        with pytest.raises(OSError):
            change()
    assert os.getxattr(path, 'user.ourofs.key') == b':config'
    assert os.getxattr(m.mnt / 'presence/s1/alice.json', 'user.ourofs.key') == \
        b'[:presence/s1 "alice"]'
    with pytest.raises(OSError) as error:
        os.getxattr(path, 'user.nothing')
    assert error.value.errno == errno.ENODATA


def test_modes_follow_memory_edn(mount):
    m = mount('{:config 1 :presence/s1 {"alice" 1}}')
    m.unmount()
    for mode, directory in ((0o600, 0o700), (0o640, 0o750), (0o664, 0o775)):
        m.edn.chmod(mode)
        m.remount()
        assert stat.S_IMODE((m.mnt / 'config.json').stat().st_mode) == mode
        assert stat.S_IMODE((m.mnt / 'presence/s1/alice.json').stat().st_mode) == mode
        assert stat.S_IMODE((m.mnt / 'presence').stat().st_mode) == directory
        m.unmount()


def test_a_missing_memory_is_an_empty_one(mount):
    m = mount(None)
    assert names(m.mnt) == []
    assert not m.edn.exists()
    (m.mnt / 'first.json').write_text('{"a": 1}')
    m.sync()
    assert edn_reader.memory(m.edn_text()) == edn_reader.memory('{:first {:a 1}}')
    shutil.rmtree(m.mnt / 'nothing', ignore_errors=True)
