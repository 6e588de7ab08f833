# SPDX-License-Identifier: MIT
"""Everyday tools that write, with their own settings: what they save is in memory.edn, and nothing else."""
import json
import os
import shutil
import stat
import subprocess

import pytest

import edn_reader
from shell import holds, memory, names, sh, shown

CONFIG = '{\n  "theme": ":light",\n  "size": 12\n}\n'
DARK = '{\n  "theme": ":dark",\n  "size": 12\n}\n'
OTHERS = ' :presence/s1 {"alice" {:user/name "Alice"}}\n :count 3}\n'
MEMORY = '{:config {:theme :light, :size 12} ; how it looks\n' + OTHERS
EDITED = '{:config {:theme :dark, :size 12} ; how it looks\n' + OTHERS

# Each edits config.json in its own way; what it leaves beside the file is named behind it.
EDITS = {
    'sed -i': ('sed -i s/light/dark/ config.json',),
    'sed -i.bak': ('sed -i.bak s/light/dark/ config.json', 'config.json.bak'),
    'perl -i': ('perl -pi -e s/light/dark/ config.json',),
    'perl -i.orig': ('perl -pi.orig -e s/light/dark/ config.json', 'config.json.orig'),
    'jq and mv': ('jq ".theme = \\":dark\\"" config.json > tmp && mv tmp config.json',),
    'jq and sponge': ('jq ".theme = \\":dark\\"" config.json | sponge config.json',),
    '>': ('sed s/light/dark/ config.json > $BASE/new; cat $BASE/new > config.json',),
    '> of a builtin': ('text=$(sed s/light/dark/ config.json); echo "$text" > config.json',),
    '>|': ('set -C; text=$(sed s/light/dark/ config.json); printf "%s\\n" "$text" >| config.json',),
    'exec 3>': ('text=$(sed s/light/dark/ config.json); exec 3> config.json; echo "$text" >&3; exec 3>&-',),
    '1<>': ('printf "{\\n  \\"theme\\": \\":dark\\",\\n  \\"size\\": 12\\n} " 1<> config.json',),
    'here document': ('cat > config.json <<END\n' + DARK + 'END',),
    'tee': ('sed s/light/dark/ config.json > tmp; tee config.json < tmp > /dev/null; rm tmp',),
    'dd': ('sed s/light/dark/ config.json > tmp; dd if=tmp of=config.json status=none; rm tmp',),
    'dd in small blocks': ('sed s/light/dark/ config.json > tmp; '
                           'dd if=tmp of=config.json bs=5 status=none; rm tmp',),
    'cp': ('sed s/light/dark/ config.json > $BASE/new; cp $BASE/new config.json',),
    'cp -p': ('sed s/light/dark/ config.json > $BASE/new; cp -p $BASE/new config.json',),
    'cp --remove-destination': ('sed s/light/dark/ config.json > $BASE/new; '
                                'cp --remove-destination $BASE/new config.json',),
    'cp -b': ('sed s/light/dark/ config.json > $BASE/new; cp -b $BASE/new config.json', 'config.json~'),
    'mv from another disk': ('sed s/light/dark/ config.json > $BASE/new; mv $BASE/new config.json',),
    'mv from a document': ('sed s/light/dark/ config.json > b.json; mv b.json config.json',),
    'install': ('sed s/light/dark/ config.json > $BASE/new; install -m 600 $BASE/new config.json',),
    'rsync': ('sed s/light/dark/ config.json > $BASE/config.json; rsync -a $BASE/config.json .',),
    'rsync --inplace': ('sed s/light/dark/ config.json > $BASE/config.json; '
                        'rsync -a --inplace $BASE/config.json .',),
    'rsync of many': ('mkdir $BASE/t; cp -a . $BASE/t; sed -i s/light/dark/ $BASE/t/config.json; '
                      'rsync -a --delete $BASE/t/ ./',),
    'tar x': ('mkdir $BASE/t; sed s/light/dark/ config.json > $BASE/t/config.json; '
              'tar c -C $BASE/t . | tar x',),
    'tar x --overwrite': ('mkdir $BASE/t; sed s/light/dark/ config.json > $BASE/t/config.json; '
                          'tar c -C $BASE/t config.json | tar x --overwrite',),
    'python': ('python3 -c \'import json\nv = json.load(open("config.json"))\nv["theme"] = ":dark"\n'
               'json.dump(v, open("config.json", "w"))\'',),
    'python r+': ('python3 -c \'with open("config.json", "r+") as f:\n t = f.read()\n f.seek(0)\n'
                  ' f.write(t.replace("light", "dark"))\n f.truncate()\'',),
    'python replace': ('python3 -c \'import os\nt = open("config.json").read()\n'
                       'open("new", "w").write(t.replace("light", "dark"))\n'
                       'os.replace("new", "config.json")\'',),
    'python mmap': ('python3 -c \'import mmap\nwith open("new", "w+b") as f:\n'
                    ' f.truncate(len(open("config.json").read()) - 1)\n m = mmap.mmap(f.fileno(), 0)\n'
                    ' m[:] = open("config.json", "rb").read().replace(b"light", b"dark")\n m.flush()\'\n'
                    'mv new config.json',),
    'perl': ('perl -e \'open(F, "+<", "config.json"); undef $/; $t = <F>; $t =~ s/light/dark/; '
             'seek(F, 0, 0); print F $t; truncate(F, tell(F)); close(F) or die\'',),
    'awk': ('awk \'{ sub("light", "dark"); print > "new" }\' config.json; mv new config.json',),
    'ex': ('vim -u NONE -es -c %s/light/dark/ -c x config.json',),
    'git apply': ('sed s/light/dark/ config.json > $BASE/new; ! diff -u --label a/config.json '
                  '--label b/config.json config.json $BASE/new > $BASE/diff; git apply $BASE/diff',),
    'sort -o': ('sort -o config.json <<END\n{"size": 12, "theme": ":dark"}\nEND',),
    'truncate and >>': ('truncate -s -1 config.json; sed s/light/dark/ config.json > $BASE/new; '
                        'cp $BASE/new config.json; echo >> config.json',),
    'rm and cp': ('sed s/light/dark/ config.json > tmp; rm config.json; cp tmp config.json; rm tmp',),
    'fsync before the end': ('sed s/light/dark/ config.json > tmp; '
                             'dd if=tmp of=config.json conv=fsync status=none; rm tmp',),
    'dd conv=notrunc': ('printf "{\\n  \\"theme\\":  \\":dark\\"," > $BASE/t; '
                        'dd if=$BASE/t of=config.json conv=notrunc status=none',),
    'base64': ('sed s/light/dark/ config.json | base64 | base64 -d > tmp; mv tmp config.json',),
}

@pytest.mark.parametrize('how', EDITS)
def test_edit(mount, how):
    script, *left = EDITS[how]
    m = mount(MEMORY, 'edn_delay=60000')  # an editor's moment between the old file and the new one may be long
    before = names(m.mnt)
    assert sh(m, f'set -e; {script}').err == ''
    assert shown(m.mnt / 'config.json') == edn_reader.read('{:theme :dark, :size 12}')
    assert names(m.mnt) == sorted(before + left)
    assert (m.mnt / '.errors').read_text() == ''
    text = (m.mnt / 'config.json').read_bytes()
    holds(m, ':config', '{:theme :dark, :size 12}')
    if 'rm and' not in how and 'remove' not in how:
        assert m.edn_text() in (EDITED, EDITED.replace(':theme :dark, :size 12',
                                                       ':size 12, :theme :dark'))
    m.remount()
    assert (m.mnt / 'config.json').read_bytes() == text


@pytest.mark.parametrize('how', ['cp $BASE/new new.json', 'cp -p $BASE/new new.json',
                                 'cat $BASE/new > new.json', 'mv $BASE/new new.json',
                                 'install -m 640 $BASE/new new.json', 'tee new.json < $BASE/new',
                                 'dd if=$BASE/new of=new.json status=none',
                                 'cp $BASE/new t; mv t new.json', 'touch new.json; cp $BASE/new new.json',
                                 'cat $BASE/new >> new.json', 'rsync -a $BASE/new new.json',
                                 'cp -r $BASE/new new.json', 'sponge new.json < $BASE/new',
                                 'python3 -c \'open("new.json", "x").write(open("../new").read())\''])
def test_new_file(mount, how):
    m = mount('{:old 1}')
    sh(m, f'echo \'{{"a": {{"#set": [1, 2]}}}}\' > $BASE/new; set -e; {how}')
    assert memory(m) == edn_reader.memory('{:old 1 :new {:a #{1 2}}}')
    assert names(m.mnt) == ['new.json', 'old.json']
    m.remount()
    assert (m.mnt / 'new.json').read_text() == '{"a": {"#set": [1, 2]}}\n'


def test_appending(mount):
    m = mount('{:log [1]}')
    sh(m, 'echo >> log.json; echo "  " >> log.json')
    assert (m.mnt / 'log.json').read_text() == '[\n  1\n]\n\n  \n'
    m.sync()
    assert m.edn_text() == '{:log [1]}'
    with open(m.mnt / 'log.json', 'r+') as log:
        log.seek(0)
        log.truncate()
        log.write('[1')
        log.flush()
        os.lseek(log.fileno(), 0, os.SEEK_END)
        log.write(', 2]')
    holds(m, ':log', '[1 2]')


def test_append_mode_writes_at_the_end(mount):
    m = mount('{:log [1]}')
    fd = os.open(m.mnt / 'log.json', os.O_RDWR | os.O_APPEND)
    os.ftruncate(fd, 0)
    os.write(fd, b'[1, ')
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, b'2]')
    assert os.pread(fd, 100, 0) == b'[1, 2]'
    os.close(fd)
    holds(m, ':log', '[1 2]')


# ---- moving documents ----

def test_mv_within_and_across_namespaces(mount):
    m = mount('{:config {:a 1} :b/c 2}')
    (m.mnt / 'config.json').write_text('{"a":    1}')
    sh(m, 'mv config.json settings.json')
    assert memory(m) == edn_reader.memory('{:settings {:a 1} :b/c 2}')
    sh(m, 'mv settings.json b/')
    assert memory(m) == edn_reader.memory('{:b/settings {:a 1} :b/c 2}')
    sh(m, 'mv b/settings.json config.json')
    assert memory(m) == edn_reader.memory('{:config {:a 1} :b/c 2}')
    assert (m.mnt / 'config.json').read_text() == '{"a":    1}'
    sh(m, 'mv config.json b/c.json')
    assert memory(m) == edn_reader.memory('{:b/c {:a 1}}')
    assert names(m.mnt) == ['b'] and names(m.mnt / 'b') == ['c.json']


def test_mv_between_collections(mount):
    m = mount('{:presence/s1 {"alice" {:user/name "A"}} :presence/s2 {:bob 2}}')
    sh(m, 'mv presence/s1/alice.json presence/s2/')
    assert memory(m) == edn_reader.memory(
        '{:presence/s1 {} :presence/s2 {"alice" {:user/name "A"} :bob 2}}')
    sh(m, 'mv presence/s2/:bob.json bob.json; mv presence/s2/alice.json presence/s1/:alice.json')
    assert memory(m) == edn_reader.memory(
        '{:presence/s1 {:alice {:user/name "A"}} :presence/s2 {} :bob 2}')
    sh(m, 'mv bob.json "presence/s2/two words.json"')
    assert memory(m) == edn_reader.memory(
        '{:presence/s1 {:alice {:user/name "A"}} :presence/s2 {"two words" 2}}')


def test_mv_keeps_what_a_file_is(mount):
    m = mount('{:config {:a 1} :presence/s1 {}}')
    path = m.mnt / 'config.json'
    path.write_text('{"a" : 1}')
    path.chmod(0o600)
    os.utime(path, ns=(10**18, 10**18 + 123456789))
    before = path.stat()
    new = m.mnt / 'presence/s1/:c.json'
    os.rename(path, new)

    def same(stat_result):
        return [getattr(stat_result, field) for field in
                ('st_ino', 'st_size', 'st_mode', 'st_mtime_ns', 'st_uid', 'st_nlink')]
    assert same(new.stat()) == same(before)
    m.remount()
    assert same(new.stat()) == same(before)
    assert new.read_text() == '{"a" : 1}'
    holds(m, ':presence/s1', '{:c {:a 1}}')


def test_mv_n_u_and_backup(mount):
    m = mount('{:a 1 :b 2}')
    sh(m, 'mv -n a.json b.json', status=None)
    assert memory(m) == edn_reader.memory('{:a 1 :b 2}')
    sh(m, 'mv -b a.json b.json')
    assert names(m.mnt) == ['b.json', 'b.json~']
    assert (m.mnt / 'b.json~').read_text() == '2\n'
    assert memory(m) == edn_reader.memory('{:b 1}')
    sh(m, 'mv b.json~ a.json')
    assert memory(m) == edn_reader.memory('{:a 2 :b 1}')


def test_rm(mount):
    m = mount('{:a 1 :b/c 2 :d 3}')
    sh(m, 'rm a.json b/c.json; ! rm a.json 2>/dev/null; rm -f a.json')
    m.sync()
    assert m.edn_text() == '{:d 3}'
    sh(m, 'unlink d.json')
    m.kill()
    m.remount()
    assert names(m.mnt) == ['b']
    m.sync()
    assert m.edn_text() == '{}'


# ---- times and modes ----

def test_touch_chmod_and_find_newer(mount):
    m = mount('{:a 1 :b 2 :c 3}')
    sh(m, 'touch -d "2001-02-03 04:05:06.789 UTC" a.json && touch -r a.json b.json && chmod 640 b.json')
    times = {name: (m.mnt / f'{name}.json').stat().st_mtime_ns for name in 'abc'}
    assert times['a'] == times['b'] == 981173106789000000
    assert sh(m, 'find . -name "*.json" -newer a.json').out == './c.json\n'
    assert sh(m, 'find . -newermt 2020-01-01 -type f').out == './c.json\n'
    assert sh(m, 'find . -perm 640').out == './b.json\n'
    sh(m, 'touch a.json')
    assert sh(m, 'find . -name "*.json" -newer c.json').out == './a.json\n'
    m.sync()
    assert m.edn_text() == '{:a 1 :b 2 :c 3}'
    m.remount()
    assert (m.mnt / 'b.json').stat().st_mtime_ns == 981173106789000000
    assert stat.S_IMODE((m.mnt / 'b.json').stat().st_mode) == 0o640
    sh(m, 'chmod u-w b.json; chmod +x c.json; touch -d 2005-05-05 b')
    assert oct(stat.S_IMODE((m.mnt / 'b.json').stat().st_mode)) == '0o440'


def test_a_save_keeps_the_mode_and_sets_the_time(mount):
    m = mount('{:a 1}')
    path = m.mnt / 'a.json'
    path.chmod(0o600)
    os.utime(path, (1000, 1000))
    path.write_text('2')
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_mtime > 10**9
    (m.mnt / 'new.json').write_text('1')
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((m.mnt / 'new.json').stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize('how', ['cp -p $BASE/f.json f.json', 'rsync -t $BASE/f.json .',
                                 'tar c -C $BASE f.json | tar x', 'mv $BASE/f.json .',
                                 'cp -a $BASE/f.json f.json', 'install -p -m 604 $BASE/f.json f.json',
                                 'cp -p $BASE/f.json t; mv t f.json'])
@pytest.mark.parametrize('there', [False, True])
def test_times_that_a_copy_sets(mount, how, there):
    m = mount('{:f 1}' if there else '{}')
    source = m.base / 'f.json'
    source.write_text('{"copied": true}')
    source.chmod(0o604)
    os.utime(source, ns=(10**18, 1234567890123456789))
    sh(m, how)
    found = (m.mnt / 'f.json').stat()
    # tar and rsync without -p leave the mode of what was there; the archive holds whole seconds.
    assert found.st_mtime_ns in (1234567890123456789, 1234567890000000000)
    if 'rsync' not in how and 'tar' not in how:
        assert stat.S_IMODE(found.st_mode) == 0o604
    m.remount()
    after = (m.mnt / 'f.json').stat()
    assert (after.st_mtime_ns, after.st_mode, after.st_ino) == \
        (found.st_mtime_ns, found.st_mode, found.st_ino)
    holds(m, ':f', '{:copied true}')


def test_truncate(mount):
    m = mount('{:a [1 2]}')
    (m.mnt / 'a.json').write_text('12345')
    sh(m, 'truncate -s 3 a.json')
    holds(m, ':a', '123')
    os.truncate(m.mnt / 'a.json', 2)
    holds(m, ':a', '12')
    assert sh(m, 'truncate -s 9 a.json', status=1).err  # NULs are no JSON
    assert (m.mnt / 'a.json').read_text() == '12'


def test_split_and_reassemble(mount, example):
    m = mount(example)
    sh(m, 'set -e; split -b 40 config.json part.; cat part.* > copy.json; rm part.*; cmp config.json copy.json')
    assert memory(m)['kw', 'copy'] == memory(m)['kw', 'config']


# ---- whole trees ----

# What no tool can bring into an empty memory: a keyword that Clojure can't read, a value with a tag of
# a user's, and the key of a collection that has no member.
LEFT_OUT = {('kw', 'embed-token/' + '0ddba11e' * 8), ('kw', 'beds/north'),
            ('kw', 'presence/:session-102')}


def without(keys):
    return {key: value for key, value in keys.items() if key not in LEFT_OUT}


INTO_EMPTY = {
    'tar': 'tar c -C $BASE/tree . | tar x',
    'cp -a': 'cp -a $BASE/tree/. .',
    'cp -r': 'cp -r $BASE/tree/* .',
    'rsync -a': 'rsync -a $BASE/tree/ ./',
    'mv': 'mv $BASE/tree/* .',
    'git clone': 'git init -q -b main $BASE/tree && cd $BASE/tree && git add -A && '
                 'git -c user.name=a -c user.email=b commit -qm all && cd $MNT && '
                 'git clone -q $BASE/tree . ',
    'unzip': 'python3 -m zipfile -c $BASE/z.zip $BASE/tree/* && python3 -m zipfile -e $BASE/z.zip .',
}


def tree_of(mount, text, tree):
    """A mount's files as real ones; what can't be brought in is left out."""
    m = mount(text)
    shutil.copytree(m.mnt, tree, copy_function=shutil.copy2)
    m.unmount()
    for path in (*tree.glob('embed-token/0*'), tree / 'beds/north.json'):
        path.unlink()
    return tree


@pytest.mark.parametrize('how', INTO_EMPTY)
def test_a_tree_into_an_empty_memory(mount, example, how):
    m = mount('{}')
    tree = tree_of(mount, example, m.base / 'tree')
    expected = {str(path.relative_to(tree)): path.read_bytes()
                for path in tree.rglob('*.json') if path.is_file()}
    times = {str(path.relative_to(tree)): path.stat().st_mtime_ns for path in tree.rglob('*.json')}
    done = sh(m, f'set -e -o pipefail; {INTO_EMPTY[how]}')
    assert done.err == ''
    found = {str(path.relative_to(m.mnt)): path.read_bytes() for path in m.mnt.rglob('*.json')
             if '.git/' not in str(path)}
    assert found == expected
    if how in ('cp -a', 'rsync -a', 'mv'):
        assert {name: (m.mnt / name).stat().st_mtime_ns for name in times} == times
    assert memory(m) == without(edn_reader.memory(example))
    assert (m.mnt / '.errors').read_text() == ''


def test_a_tree_over_itself(mount, example):
    """tar unlinks each file before it writes it again; within edn_delay that is an update."""
    m = mount(example, 'edn_delay=5000')
    shutil.copytree(m.mnt, m.base / 'tree')
    for how in ('tar c -C $BASE/tree . | tar x', 'cp -a $BASE/tree/. .', 'rsync -aI $BASE/tree/ ./'):
        sh(m, how)
        m.sync()
        assert m.edn_text() == example, how


def test_rsync_has_nothing_to_do_the_second_time(mount, example):
    m = mount(example)
    sh(m, 'mkdir $BASE/out; rsync -a ./ $BASE/out/')
    assert sh(m, 'rsync -a --delete --itemize-changes ./ $BASE/out/').out == ''
    other = mount('{:gone 1}')
    tree = tree_of(mount, example, other.base / 'tree')
    assert sh(other, 'rsync -a --delete --itemize-changes $BASE/tree/ ./').out.count('>f') == \
        len(list(tree.rglob('*.json')))
    assert sh(other, 'rsync -a --delete --itemize-changes $BASE/tree/ ./').out == ''
    other.remount()
    assert sh(other, 'rsync -ac --delete --itemize-changes $BASE/tree/ ./').out == ''
    assert memory(other) == without(edn_reader.memory(example))
    (tree / 'config.json').unlink()
    (tree / 'plots.json').write_text('43')
    lines = sh(other, 'rsync -a --delete --itemize-changes $BASE/tree/ ./').out.splitlines()
    assert len([line for line in lines if not line.startswith('.d')]) == 2
    keys = memory(other)
    assert keys['kw', 'plots'] == ('int', 43) and ('kw', 'config') not in keys


# ---- git ----

GIT = 'export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b; set -e; '


@pytest.mark.parametrize('place', ['outside', 'inside'])
def test_git(mount, example, place):
    m = mount(example)

    def git(script):
        there = 'export GIT_DIR=$BASE/repo GIT_WORK_TREE=$MNT; ' if place == 'outside' else ''
        done = sh(m, GIT + there + script)
        assert 'warning' not in done.err and 'error' not in done.err, done
        return done.out

    git('git init -q -b main . ; git add -A; git commit -qm first')
    assert git('git status --porcelain') == ''
    assert len(git('git ls-files -z').split('\0')) - 1 == 50
    sh(m, 'echo 43 > plots.json; rm winner.json; echo 1 > new.json; mv scale.json beds/')
    assert sorted(git('git status --porcelain').splitlines()) == [
        ' D scale.json', ' D winner.json', ' M plots.json', '?? beds/scale.json', '?? new.json']
    git('git add -A; git commit -qm second')
    changed = memory(m)
    git('git checkout -q HEAD~1')
    assert memory(m) == edn_reader.memory(example)
    assert git('git status --porcelain') == ''
    git('git checkout -q main')
    assert memory(m) == changed
    git('git stash -q 2>/dev/null || true; echo 44 > plots.json; git stash -q')
    assert memory(m) == changed
    git('git stash pop -q')
    assert memory(m)['kw', 'plots'] == ('int', 44)
    git('git reset -q --hard HEAD~1; git fsck --strict; git gc -q')
    assert memory(m) == edn_reader.memory(example)
    m.remount()
    assert git('git status --porcelain') == ''
    assert git('git log --format=%s') == 'first\n'
    git('git rm -q greeting.json; git commit -qm third; git revert --no-edit HEAD')
    assert memory(m) == edn_reader.memory(example)
    if place == 'inside':
        m.kill()
        m.remount()
        git('git fsck --strict; rm -rf .git')
        assert '.git' not in names(m.mnt)
    assert edn_reader.memory(m.edn_text()) == edn_reader.memory(example)


def test_git_branches_merge(mount):
    m = mount('{:a {:x 1} :b 2}')
    sh(m, GIT + 'git init -q -b main; git add -A; git commit -qm base; git checkout -q -b side; '
       'echo 3 > b.json; git commit -qam side; git checkout -q main; echo "{\\"x\\": 2}" > a.json; '
       'git commit -qam main; git merge -q --no-edit side')
    assert memory(m) == edn_reader.memory('{:a {:x 2} :b 3}')
    assert sh(m, 'git status --porcelain').out == ''


# ---- programs ----

def test_python_round_trips(mount, example):
    """json.load and json.dump, whatever the layout: no value becomes another."""
    m = mount(example)
    for path in sorted(m.mnt.rglob('*.json')):
        for options in ({}, {'indent': 1}, {'ensure_ascii': False}, {'separators': (',', ':')},
                        {'sort_keys': True}):
            before = shown(path)
            value = json.loads(path.read_text())
            with open(path, 'w') as file:
                json.dump(value, file, **options)
            assert shown(path) == before
    assert memory(m) == edn_reader.memory(example)


def test_many_writers_at_once(mount):
    m = mount('{:count 0}')
    script = ('import sys\nfor n in range(20):\n for name in ("own" + sys.argv[1], "shared"):\n'
              '  with open(f"{name}.json", "w") as f: f.write(f"[{n}, {sys.argv[1]}]")\n')
    running = [subprocess.Popen(['python3', '-c', script, str(number)], cwd=m.mnt)
               for number in range(6)]
    assert [process.wait() for process in running] == [0] * 6
    keys = memory(m)
    assert len(keys) == 8
    for number in range(6):
        assert keys['kw', f'own{number}'] == edn_reader.read(f'[19 {number}]')
    assert keys['kw', 'shared'][1] == ('int', 19)


def test_locks_serialize_read_modify_write(mount):
    m = mount('{:count 0 :lock nil}')
    script = ('import fcntl\nfor n in range(25):\n with open("lock.json", "r+") as f:\n'
              '  {lock}(f, fcntl.LOCK_EX)\n  with open("count.json") as g: v = int(g.read())\n'
              '  with open("count.json", "w") as g: g.write(str(v + 1))\n')
    for lock, total in (('fcntl.flock', 100), ('fcntl.lockf', 200)):
        running = [subprocess.Popen(['python3', '-c', script.format(lock=lock)], cwd=m.mnt)
                   for _ in range(4)]
        assert [process.wait() for process in running] == [0] * 4
        holds(m, ':count', str(total))


def test_flock_of_the_shell(mount):
    m = mount('{:count 0}')
    sh(m, 'for i in 1 2 3 4 5; do (flock count.json sh -c '
       '"n=\\$(cat count.json); echo \\$((n + 1)) > count.json") & done; wait')
    holds(m, ':count', '5')
