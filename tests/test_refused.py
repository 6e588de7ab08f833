# SPDX-License-Identifier: MIT
"""Saves of what is no document: the old one stays, the tool is told where it listens, /.rejected tells all."""
import contextlib
import errno
import json
import mmap
import os
import re
import stat
import subprocess
import threading

import pytest

import edn_reader
from conftest import wait_until
from shell import holds, memory, names, sh

OLD = '{\n  "theme": ":light"\n}\n'
BAD = '{"theme": oops}\n'
GOOD = '{"theme": ":dark"}\n'
MEMORY = '{:config {:theme :light} ; kept\n :count 3}\n'

# How the new content, $BASE/src, gets to config.json; what the tool says when it is refused (None: it
# can't hear of it). "unlinks": it removes the old file first, and shows what it does.
WAYS = {
    'cat >': ('cat $BASE/src > config.json', 'Bad message'),
    'echo of the shell >': ('IFS= read -r t < $BASE/src; echo "$t" > config.json', None),
    'printf of the shell >': ('IFS= read -r t < $BASE/src; printf "%s\\n" "$t" > config.json', None),
    '/bin/echo >': ('/bin/echo "$(cat $BASE/src)" > config.json', 'Bad message'),
    'cp': ('cp $BASE/src config.json', 'Bad message'),
    'cp -p': ('cp -p $BASE/src config.json', 'Bad message'),
    'cp --remove-destination': ('cp --remove-destination $BASE/src config.json', 'Bad message',
                                'unlinks'),
    'mv of a scratch file': ('cp $BASE/src t; mv t config.json || { rm t; exit 1; }', 'Bad message'),
    'mv from another disk': ('cp $BASE/src $BASE/t; mv $BASE/t config.json', 'Bad message', 'unlinks'),
    'install': ('install $BASE/src config.json', 'Bad message', 'unlinks'),
    'tee': ('tee config.json < $BASE/src > /dev/null', 'Bad message'),
    'dd': ('dd if=$BASE/src of=config.json status=none', 'Bad message'),
    'dd conv=fsync': ('dd if=$BASE/src of=config.json status=none conv=fsync', 'Bad message'),
    'sed -i': ('sed -i -e "1r $BASE/src" -e d config.json', 'Bad message'),
    'perl -i': ('perl -i -ne \'if ($. == 1) { open S, "<", "$ENV{BASE}/src"; print <S> }\' config.json',
                'Bad message'),
    'perl': ('perl -e \'open S, "<", "$ENV{BASE}/src"; open F, ">", "config.json"; print F <S>; '
             'close F or die "$!"\'', 'Bad message'),
    'jq and mv': ('jq -nj "input" --rawfile x $BASE/src -R < $BASE/src > t; echo >> t; '
                  'mv t config.json || { rm t; exit 1; }', 'Bad message'),
    'sponge': ('sponge config.json < $BASE/src', 'Bad message'),
    'rsync': ('cp $BASE/src $BASE/config.json; rsync -I $BASE/config.json .', 'Bad message'),
    'rsync --inplace': ('cp $BASE/src $BASE/config.json; rsync -I --inplace $BASE/config.json .',
                        'Bad message|failed to set times|error'),
    'tar x': ('mkdir -p $BASE/t; cp $BASE/src $BASE/t/config.json; tar c -C $BASE/t config.json | tar x',
              'Bad message', 'unlinks'),
    'tar x --overwrite': ('mkdir -p $BASE/t; cp $BASE/src $BASE/t/config.json; '
                          'tar c -C $BASE/t config.json | tar x --overwrite', 'Bad message'),
    'python with': ('python3 -c \'import os\nwith open("config.json", "w") as f:\n'
                    ' f.write(open(os.environ["BASE"] + "/src").read())\'', 'Bad message'),
    'python without close': ('python3 -c \'import os\nopen("config.json", "w").write('
                             'open(os.environ["BASE"] + "/src").read())\'', None),
    'python fsync': ('python3 -c \'import os\nf = open("config.json", "w")\n'
                     'f.write(open(os.environ["BASE"] + "/src").read())\nf.flush()\n'
                     'os.fsync(f.fileno())\'', 'Bad message'),
    'python replace': ('cp $BASE/src t; python3 -c \'import os\nos.replace("t", "config.json")\' '
                       '|| { rm t; exit 1; }', 'Bad message'),
    'python r+': ('python3 -c \'import os\nwith open("config.json", "r+") as f:\n'
                  ' f.truncate()\n f.write(open(os.environ["BASE"] + "/src").read())\'', 'Bad message'),
    'exec 3>': ('exec 3> config.json; cat $BASE/src >&3; status=$?; exec 3>&-; exit $status',
                'Bad message'),
    'awk': ('awk \'{ print > "config.json" }\' $BASE/src', None),
    'sort -o': ('sort -o config.json $BASE/src', 'Bad message'),
    'xargs and tee': ('cat $BASE/src | xargs -0 printf %s | tee config.json', 'Bad message'),
    'curl-like pipe': ('cat $BASE/src | cat > config.json', 'Bad message'),
    'vim -es': ('vim -u NONE -es -c "%!cat $BASE/src" -c w! -c q! config.json', None),
    'git checkout': ('export GIT_DIR=$BASE/git GIT_WORK_TREE=$MNT; git init -q; b=$(git hash-object -w $BASE/src); '
                     'git update-index --add --cacheinfo 100644,$b,config.json; '
                     'git checkout-index -f config.json', None, 'unlinks'),  # it ignores close's error
}


@pytest.mark.parametrize('way', WAYS)
def test_refused(mount, way):
    script, told, *unlinks = WAYS[way]
    m = mount(MEMORY)
    (m.base / 'src').write_text(BAD)
    done = sh(m, script, status=None)
    if told:
        assert done.status != 0 and re.search(told, done.err), done
    else:
        assert way in ('vim -es', 'awk') or (done.status, done.err) == (0, '')
    assert (m.mnt / '.rejected/config.json').read_text() == BAD
    why = (m.mnt / '.rejected/config.json.why').read_text()
    assert re.fullmatch(r'1:11: .+\n', why)
    assert (m.mnt / '.errors').read_text().endswith(f' config.json: {why}')
    assert names(m.mnt / '.rejected') == ['config.json', 'config.json.why']
    m.sync()
    if unlinks:
        assert names(m.mnt) == ['count.json']
        assert edn_reader.memory(m.edn_text()) == edn_reader.memory('{:count 3}')
    else:
        assert (m.mnt / 'config.json').read_text() == OLD
        assert [name for name in names(m.mnt) if name != 'config.json~'] == \
            ['config.json', 'count.json']
        assert m.edn_text() == MEMORY
    (m.base / 'src').write_text(GOOD)
    assert sh(m, script, status=None).err == ''
    assert (m.mnt / 'config.json').read_text() == GOOD
    assert names(m.mnt / '.rejected') == []
    holds(m, ':config', '{:theme :dark}')


NEW_WAYS = ['cat >', 'echo of the shell >', 'cp', 'mv of a scratch file', 'mv from another disk',
            'install', 'tee', 'dd', 'rsync', 'tar x', 'python with', 'python without close', 'sponge']


@pytest.mark.parametrize('way', NEW_WAYS)
def test_refused_as_a_new_file(mount, way):
    """What was never a document leaves no trace but in /.rejected."""
    m = mount('{:count 3}')
    (m.base / 'src').write_text(BAD)
    sh(m, WAYS[way][0], status=None)
    # the kernel tells of the last close without waiting for an answer
    wait_until(lambda: names(m.mnt) == ['count.json'], 'the new file to be gone')
    assert not (m.mnt / 'config.json').exists()
    assert (m.mnt / '.rejected/config.json').read_text() == BAD
    m.remount()
    assert names(m.mnt) == ['count.json']
    assert m.edn_text() == '{:count 3}'
    (m.base / 'src').write_text(GOOD)
    sh(m, WAYS[way][0])
    assert names(m.mnt / '.rejected') == []
    holds(m, ':config', '{:theme :dark}')


EMPTYINGS = {
    ': >': (': > config.json', None), '>': ('> config.json', None),
    'cp /dev/null': ('cp /dev/null config.json', None),
    'truncate': ('truncate -s 0 config.json', 'Bad message'),
    'python truncate': ('python3 -c \'import os\nos.truncate("config.json", 0)\'', 'Bad message'),
    'python w': ('python3 -c \'open("config.json", "w").close()\'', None),
    'python r+': ('python3 -c \'with open("config.json", "r+") as f: f.truncate(0)\'', 'Bad message'),
    'dd': ('dd if=/dev/null of=config.json status=none', None),
    'mv': (': > t; mv t config.json || { rm t; exit 1; }', 'Bad message'),
    'mv of an empty new file': ('touch t.json; mv t.json config.json || { rm t.json; exit 1; }',
                                'Bad message'),
    'blanks': ('printf " \\n" | tee config.json', 'Bad message'),
}


@pytest.mark.parametrize('way', EMPTYINGS)
def test_emptying_a_document_is_refused(mount, way):
    script, told = EMPTYINGS[way]
    m = mount(MEMORY)
    done = sh(m, script, status=None)
    assert told is None and done.status == 0 or re.search(told, done.err) and done.status != 0, done
    assert (m.mnt / 'config.json').read_text() == OLD
    assert (m.mnt / '.rejected/config.json').read_text().strip() == ''
    assert (m.mnt / '.rejected/config.json.why').read_text() != ''
    assert ' config.json: ' in (m.mnt / '.errors').read_text()
    assert names(m.mnt) == ['config.json', 'count.json']
    m.unmount()
    assert m.edn_text() == MEMORY


# ---- what is refused, and with which reason ----

REFUSALS = {
    'no JSON': (b'hello', '1:1: '),
    'the second line': (b'{\n  "a": 1,\n  "b": }\n', '3:8: '),
    'cut': (b'{"a": [1, 2', ':'),
    'more than one value': (b'1 2', '1:3: '),
    'a comma too much': (b'[1,]', '1:4: '),
    'single quotes': (b"{'a': 1}", '1:2: '),
    'a comment': (b'// no\n1', '1:1: '),
    'a duplicate key': (b'{"a": 1, "a": 2}', '1:10: '),
    'a duplicate in a set': (b'{"#set": [1, 1]}', ':'),
    '1 and 1N': (b'{"#set": [1, {"#int": "1N"}]}', ':'),
    'invalid UTF-8': (b'"\xff"', '1:2: '),
    'a lone surrogate byte': (b'"\xed\xa0\x80"', '1:2: '),
    'a control character': (b'"a\nb"', ':'),
    'NUL': (b'1\x00', '1:2: '),
    'an overflow': (b'1e400', '1:1: '),
    'a malformed marker': (b'{"#set": 3}', ':'),
    'a bad int': (b'{"#int": "1.5"}', ':'),
    'a bad keyword as key': (b'{":two words": 1}', '1:2: '),
    'an unreadable keyword': (b'{"#kw": "a/1"}', ':'),
    'an unknown tag': (b'{"#my/tag": 1}', ':'),
    'too deep': (b'[' * 513 + b']' * 513, ':'),
    'a byte order mark': (b'\xef\xbb\xbf1', '1:1: '),
    'NaN': (b'NaN', '1:1: '),
    'a leading zero': (b'01', ':'),
}


@pytest.mark.parametrize('case', REFUSALS)
def test_reasons(mount, case):
    text, position = REFUSALS[case]
    m = mount(MEMORY)
    with pytest.raises(OSError) as error:
        (m.mnt / 'config.json').write_bytes(text)
    assert error.value.errno == errno.EBADMSG
    why = (m.mnt / '.rejected/config.json.why').read_text()
    assert re.match(r'[1-9]\d*:[1-9]\d*: ' if position == ':' else position, why), why
    assert len(why) > 8 and why.endswith('\n') and why.count('\n') == 1
    assert (m.mnt / '.rejected/config.json').read_bytes() == text
    assert (m.mnt / 'config.json').read_text() == OLD


def test_what_is_taken(mount):
    m = mount('{}')
    for name, text in (('deep', '[' * 512 + ']' * 512), ('nul', '"\\u0000"'), ('zero', '-0'),
                       ('big', '{"#int": "123456789012345678901234567890"}'), ('crlf', '[1,\r\n2]\r\n'),
                       ('surrogate', '"\\ud800"'), ('utf8', '"😀é"'), ('inst', '{"#inst": "2020"}'),
                       ('uuid', '{"#uuid": "0abcdef0-0000-0000-0000-000000000000"}'),
                       ('literal', 'null'), ('spaces', '  true  ')):
        (m.mnt / f'{name}.json').write_text(text, newline='')
        assert (m.mnt / f'{name}.json').read_bytes().decode() == text, name
    keys = memory(m)
    assert keys['kw', 'nul'] == ('str', '\0')
    assert keys['kw', 'zero'] == ('float', '-0.0')
    assert keys['kw', 'big'] == ('bigint', 123456789012345678901234567890)


def test_what_memory_holds_already_is_taken(mount):
    """A tag or keyword that would poison memory.edn is let through where it stands there already."""
    m = mount('{:a {:soil #soil/mix {:x 1}, :kw :a/1} :b 1}')
    value = json.loads((m.mnt / 'a.json').read_text())
    value['more'] = 5
    (m.mnt / 'a.json').write_text(json.dumps(value))
    holds(m, ':a', '{:soil #soil/mix {:x 1}, :kw :a/1, :more 5}')
    with pytest.raises(OSError) as error:
        (m.mnt / 'b.json').write_text('{"#other/tag": 1}')
    assert error.value.errno == errno.EBADMSG


def test_too_large(mount):
    m = mount('{:a "old"}', 'doc_max=64K')
    (m.mnt / 'a.json').write_text(json.dumps('x' * 60000))
    for change in (lambda: (m.mnt / 'a.json').write_text(json.dumps('x' * 70000)),
                   lambda: os.truncate(m.mnt / 'a.json', 70000),
                   lambda: (m.mnt / 'new.json').write_text(json.dumps('x' * 70000))):
        with pytest.raises(OSError) as error:
            change()
        assert error.value.errno == errno.EFBIG
    (m.mnt / 'scratch').write_text(json.dumps('x' * 70000))
    with pytest.raises(OSError) as error:
        os.rename(m.mnt / 'scratch', m.mnt / 'a.json')
    assert error.value.errno == errno.EFBIG
    assert json.loads((m.mnt / 'a.json').read_text()) == 'x' * 60000
    assert names(m.mnt) == ['a.json', 'new.json', 'scratch']  # as touch leaves it
    assert (m.mnt / 'new.json').stat().st_size == 0


def test_too_large_in_pieces(mount):
    """What was not taken is why the rest is no document: close says so, too."""
    m = mount('{:a "old"}', 'doc_max=64K')
    fd = os.open(m.mnt / 'a.json', os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b'"' + b'x' * 40000)
    with pytest.raises(OSError) as write_error:
        os.write(fd, b'x' * 40000 + b'"')
    with pytest.raises(OSError) as close_error:
        os.close(fd)
    assert (write_error.value.errno, close_error.value.errno) == (errno.EFBIG, errno.EFBIG)
    assert (m.mnt / '.rejected/a.json.why').read_text().endswith('larger than doc_max, 65536 bytes\n')
    assert (m.mnt / 'a.json').read_text() == '"old"\n'
    fd = os.open(m.mnt / 'a.json', os.O_WRONLY | os.O_TRUNC)
    with pytest.raises(OSError):
        os.write(fd, b'x' * 80000)
    os.ftruncate(fd, 0)
    os.write(fd, b'[')
    with pytest.raises(OSError) as close_error:
        os.close(fd)
    assert close_error.value.errno == errno.EBADMSG


# ---- when and whom a verdict reaches ----

def test_readers_see_the_old_one_throughout(mount):
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    for piece in (b'{"the', b'me": ', b'oops}'):
        os.write(fd, piece)
        assert path.read_text() == OLD
        assert path.stat().st_size == len(OLD)
    with pytest.raises(OSError) as error:
        os.fsync(fd)
    assert error.value.errno == errno.EBADMSG
    assert path.read_text() == OLD
    assert (m.mnt / '.rejected/config.json').read_text() == '{"theme": oops}'
    os.ftruncate(fd, 0)
    os.pwrite(fd, b'{"theme": ":dark"}', 0)
    os.close(fd)
    assert path.read_text() == '{"theme": ":dark"}'
    assert names(m.mnt / '.rejected') == []
    assert (m.mnt / '.errors').read_text() == ''


def test_a_dup_is_not_the_end(mount):
    """A shell's redirection: open, dup2, close, then it writes."""
    m = mount(MEMORY)
    fd = os.open(m.mnt / 'config.json', os.O_WRONLY | os.O_TRUNC)
    copy = os.dup(fd)
    os.close(fd)
    assert names(m.mnt / '.rejected') == []
    os.write(copy, b'{"theme": ":dark"}')
    os.close(copy)
    holds(m, ':config', '{:theme :dark}')
    assert (m.mnt / '.errors').read_text() == ''


@pytest.mark.parametrize('content', [b'', b'[1', b'oops'])
def test_attributes_before_what_is_refused_is_released(mount, content):
    """RELEASE comes some time after close(2): whoever closed has not got the draft any more."""
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    copy = os.dup(fd)  # keeps RELEASE from coming
    os.write(fd, content)
    with pytest.raises(OSError) if content else contextlib.nullcontext():
        os.close(fd)
    path.chmod(0o640)
    os.utime(path, (5, 5))
    with contextlib.suppress(OSError):
        os.close(copy)
    wait_until(lambda: path.stat().st_size == len(OLD), 'RELEASE')
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime) == (0o640, 5)


@pytest.mark.parametrize('script', [
    "{ /bin/echo '{'; /bin/true; /bin/echo '}'; } > f.json",
    "(/bin/echo '{'; /bin/echo '}') > f.json",
    "{ echo '{'; echo '}'; } > f.json",
    "exec 3> f.json; echo '{' >&3; /bin/true; echo '}' >&3; exec 3>&-",
    "exec 3> f.json; /bin/echo '{' >&3; /bin/echo '}' >&3; exec 3>&-",
    "exec > f.json; echo '{'; /bin/echo; echo '}'",
    "echo '{' > $BASE/a; echo '}' > $BASE/b; (cat $BASE/a; cat $BASE/b) > f.json",
    "for x in '{' '}'; do echo $x; done > f.json",
    "echo '{}' | while read x; do /bin/echo $x; done > f.json",
    "python3 -c 'import subprocess\nwith open(\"f.json\", \"w\") as f:\n"
    " subprocess.run([\"echo\", \"{\"], stdout=f)\n subprocess.run([\"echo\", \"}\"], stdout=f)'",
    "python3 -c 'import subprocess\nf = open(\"f.json\", \"w\")\n"
    "p = subprocess.Popen([\"cat\"], stdin=subprocess.PIPE, stdout=f)\nf.close()\n"
    "p.communicate(b\"{}\")'",
    "python3 -c 'import os\nfd = os.open(\"f.json\", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)\n"
    "if os.fork():\n os.wait(); os.write(fd, b\"}\"); os.close(fd)\n"
    "else: os.write(fd, b\"{\"); os._exit(0)'",
    "(echo '{'; exec /bin/echo '}') > f.json",
    "mkfifo $BASE/p; (cat $BASE/p > f.json &) ; echo '{}' > $BASE/p; while [ ! -s f.json ]; do :; done",
])
@pytest.mark.parametrize('there', [False, True])
def test_pieces_by_several_processes(mount, script, there):
    """Descriptors that children inherit and flush when they end: nobody is told of an error."""
    m = mount('{:f {:old 1}}' if there else '{}')
    done = sh(m, script)
    assert done.err == ''
    holds(m, ':f', '{}')
    assert names(m.mnt) == ['f.json']
    assert names(m.mnt / '.rejected') == []
    assert (m.mnt / '.errors').read_text() == ''


def test_a_valid_prefix_is_committed_first(mount):
    """The known limit: each process that ends says that the document is whole so far."""
    m = mount(MEMORY)
    sh(m, "(/bin/echo '[1]'; /bin/echo '[2]') > count.json", status=None)
    assert (m.mnt / 'count.json').read_text() == '[1]\n'
    assert (m.mnt / '.rejected/count.json').read_text() == '[1]\n[2]\n'
    holds(m, ':count', '[1]')


def test_a_child_is_told_what_nothing_can_mend(mount):
    m = mount(MEMORY)
    fd = os.open(m.mnt / 'config.json', os.O_WRONLY | os.O_TRUNC)
    for text, status in (('{"a": ', 0), ('}', 1)):
        run = subprocess.run(['cat'], input=text.encode(), stdout=fd, capture_output=False,
                             stderr=subprocess.PIPE)
        assert run.returncode == status, run
    assert (m.mnt / 'config.json').read_text() == OLD
    with pytest.raises(OSError):
        os.write(fd, b'x')
        os.close(fd)
    assert (m.mnt / '.rejected/config.json').read_text() == '{"a": }x'


def test_a_thread_opens_and_another_writes(mount):
    m = mount(MEMORY)
    opened = []
    opener = threading.Thread(target=lambda: opened.append(
        os.open(m.mnt / 'config.json', os.O_WRONLY | os.O_TRUNC)))
    opener.start()
    opener.join()
    os.write(opened[0], b'oops')
    with pytest.raises(OSError) as error:
        os.close(opened[0])
    assert error.value.errno == errno.EBADMSG


def test_many_threads_hear_their_own_verdict(mount):
    m = mount('{}')
    told = {}

    def save(number):
        try:
            (m.mnt / f'f{number}.json').write_text('[' if number % 2 else '[]')
            told[number] = 0
        except OSError as error:
            told[number] = error.errno
    threads = [threading.Thread(target=save, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == {number: errno.EBADMSG if number % 2 else 0 for number in range(40)}
    assert len(names(m.mnt)) == 20


def test_mmap_writes_are_judged_too(mount):
    """A shared mapping of a document can't be made or commits as a whole; it never mixes."""
    m = mount('{:a "xxxx"}')
    with open(m.mnt / 'a.json', 'r+b') as file:
        try:
            view = mmap.mmap(file.fileno(), 0)
        except OSError as error:
            assert error.errno == errno.ENODEV
            return
        view[1:5] = b'yyyy'
        view.flush()
        view.close()
    assert (m.mnt / 'a.json').read_text() in ('"xxxx"\n', '"yyyy"\n')


# ---- how long refused bytes are kept ----

def refuse(path, text=BAD):
    with pytest.raises(OSError) as error:
        path.write_text(text)
    assert error.value.errno == errno.EBADMSG


def test_putting_back_the_old_bytes_clears_nothing(mount):
    m = mount(MEMORY)
    path = m.mnt / 'config.json'
    kept = m.mnt / '.rejected/config.json'
    refuse(path)
    path.write_text(OLD)
    assert kept.read_text() == BAD
    os.rename(path, m.mnt / 'config.json~')
    refuse(path, 'worse')
    assert kept.read_text() == 'worse'
    os.rename(m.mnt / 'config.json~', path)
    assert (path.read_text(), kept.read_text()) == (OLD, 'worse')
    m.remount()
    assert kept.read_text() == 'worse'
    path.write_text(GOOD)
    assert names(m.mnt / '.rejected') == []


def test_a_later_refusal_takes_the_place_of_an_earlier_one(mount):
    m = mount(MEMORY)
    refuse(m.mnt / 'config.json')
    refuse(m.mnt / 'config.json', '{\n\n oops')
    assert (m.mnt / '.rejected/config.json').read_text() == '{\n\n oops'
    assert (m.mnt / '.rejected/config.json.why').read_text().startswith('3:2: ')
    assert names(m.mnt / '.rejected') == ['config.json', 'config.json.why']
    assert (m.mnt / '.errors').read_text().count(' config.json: ') == 2


def test_below_directories(mount):
    m = mount('{:presence/:s1 {"a b" 1} :review/x/y 2}')
    refuse(m.mnt / 'presence/:s1/a b.json')
    refuse(m.mnt / 'review/x/y.json')
    found = sorted(str(path.relative_to(m.mnt / '.rejected'))
                   for path in (m.mnt / '.rejected').rglob('*') if path.is_file())
    assert found == ['presence/:s1/a b.json', 'presence/:s1/a b.json.why', 'review/x/y.json',
                     'review/x/y.json.why']
    (m.mnt / 'review/x/y.json').write_text('3')
    (m.mnt / 'presence/:s1/a b.json').write_text('3')
    assert names(m.mnt / '.rejected') == []


def test_the_last_100_are_kept(mount):
    m = mount('{}')
    for number in range(103):
        refuse(m.mnt / f'f{number:03}.json', f'bad {number}')
    kept = [f'f{number:03}.json' for number in range(3, 103)]
    assert names(m.mnt / '.rejected') == sorted(kept + [name + '.why' for name in kept])
    assert (m.mnt / '.errors').read_text().count('\n') == 100
    m.remount()
    assert len(names(m.mnt / '.rejected')) == 200
    refuse(m.mnt / 'f200.json')
    assert names(m.mnt / '.rejected')[0] == 'f004.json'
    assert (m.mnt / '.rejected/f102.json').read_text() == 'bad 102'


def test_rejected_is_read_only(mount):
    m = mount(MEMORY)
    refuse(m.mnt / 'config.json')
    kept = m.mnt / '.rejected/config.json'
    for change in (lambda: kept.write_text('1'), kept.unlink, lambda: os.truncate(kept, 0),
                   lambda: (m.mnt / '.rejected/new').write_text('1'),
                   lambda: (m.mnt / '.rejected/dir').mkdir(), (m.mnt / '.rejected').rmdir,
                   lambda: os.rename(kept, m.mnt / 'x'), lambda: kept.chmod(0o644),
                   lambda: os.rename(m.mnt / 'count.json', m.mnt / '.rejected/count.json'),
                   lambda: os.utime(kept)):
        with pytest.raises(OSError) as error:
            change()
        assert error.value.errno in (errno.EROFS, errno.EPERM, errno.EACCES)
    assert kept.read_text() == BAD
    sh(m, 'cp -r .rejected $BASE/out; sed s/oops/1/ .rejected/config.json > config.json')
    assert (m.base / 'out/config.json').read_text() == BAD
    assert names(m.mnt / '.rejected') == []


def test_refusals_survive_a_kill(mount):
    m = mount(MEMORY)
    refuse(m.mnt / 'config.json')
    m.kill()
    m.remount()
    assert (m.mnt / '.rejected/config.json').read_text() == BAD
    assert (m.mnt / 'config.json').read_text() == OLD


# ---- empty new files ----

def test_touch_makes_a_draft(mount):
    m = mount('{:old 1}')
    path = m.mnt / 'new.json'
    sh(m, 'touch new.json')
    assert (path.stat().st_size, path.read_bytes()) == (0, b'')
    assert names(m.mnt) == ['new.json', 'old.json']
    assert memory(m) == edn_reader.memory('{:old 1}')
    number = path.stat().st_ino
    with open(path, 'rb') as reader, open(path, 'ab') as writer:
        assert os.fstat(reader.fileno()).st_ino == os.fstat(writer.fileno()).st_ino == number
    assert {entry.name: entry.inode() for entry in os.scandir(m.mnt)}['new.json'] == number
    m.remount()
    assert (path.stat().st_size, path.read_bytes()) == (0, b'')
    m.kill()
    m.remount()
    assert names(m.mnt) == ['new.json', 'old.json']
    assert names(m.mnt / '.rejected') == []
    number = path.stat().st_ino
    path.write_text('[1]')
    assert (path.read_text(), path.stat().st_ino) == ('[1]', number)
    holds(m, ':new', '[1]')
    m.remount()
    assert names(m.mnt) == ['new.json', 'old.json']
    path.unlink()
    m.remount()
    assert names(m.mnt) == ['old.json']


def test_an_empty_new_file_survives_a_kill(mount):
    """Its close has said so; the kernel tells of the end of the handle some time later."""
    m = mount('{}')
    for number in range(30):
        (m.mnt / f'{number}.json').touch()
        open(m.mnt / f'w{number}.json', 'w').close()
        m.kill()
        m.remount()
        assert (m.mnt / f'{number}.json').exists() and (m.mnt / f'w{number}.json').exists()
    assert len(names(m.mnt)) == 60
    m.sync()
    assert m.edn_text() == '{}'


def test_drafts_like_files(mount):
    m = mount('{:old 1 :presence/s1 {}}')
    sh(m, 'touch -d 2001-02-03 a.json; chmod 600 a.json; touch presence/s1/bob.json; : > c.json; '
       'cp /dev/null d.json; : > t; mv t e.json; install /dev/null f.json; truncate -s 0 g.json')
    assert names(m.mnt) == ['a.json', 'c.json', 'd.json', 'e.json', 'f.json', 'g.json', 'old.json',
                            'presence']
    assert (m.mnt / 'a.json').stat().st_mtime == 981158400
    assert (m.mnt / 'a.json').stat().st_mode & 0o777 == 0o600
    sh(m, 'mv a.json b.json; rm c.json; echo 1 > presence/s1/bob.json; cp d.json h.json; mv e.json e')
    assert names(m.mnt) == ['b.json', 'd.json', 'e', 'f.json', 'g.json', 'h.json', 'old.json',
                            'presence']
    assert memory(m) == edn_reader.memory('{:old 1 :presence/s1 {"bob" 1}}')
    with pytest.raises(FileExistsError):
        os.open(m.mnt / 'b.json', os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    (m.mnt / 'b.json').write_text('2')
    assert (m.mnt / 'b.json').stat().st_mode & 0o777 == 0o600
    m.remount()
    assert (m.mnt / 'b.json').read_text() == '2'
    assert (m.mnt / 'd.json').read_bytes() == b''
    sh(m, 'rm d.json e f.json g.json h.json; mkdir sub; touch sub/x.json; rm -r sub')
    assert names(m.mnt) == ['b.json', 'old.json', 'presence']
    assert (m.mnt / '.errors').read_text() == ''


def test_a_draft_that_gets_bad_content_stays_a_draft(mount):
    m = mount('{}')
    sh(m, 'touch new.json')
    refuse(m.mnt / 'new.json')
    assert (m.mnt / 'new.json').read_bytes() == b''
    assert (m.mnt / '.rejected/new.json').read_text() == BAD
    m.remount()
    assert (m.mnt / 'new.json').read_bytes() == b''
    (m.mnt / 'new.json').write_text('{}')
    assert names(m.mnt / '.rejected') == []
    holds(m, ':new', '{}')


def test_a_new_file_is_seen_while_it_is_written(mount):
    m = mount('{}')
    fd = os.open(m.mnt / 'new.json', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640)
    os.write(fd, b'[1')
    assert names(m.mnt) == ['new.json']
    assert (m.mnt / 'new.json').read_bytes() == b''
    m.sync()
    assert m.edn_text() == '{}'
    os.write(fd, b']')
    os.close(fd)
    assert (m.mnt / 'new.json').read_bytes() == b'[1]'
    holds(m, ':new', '[1]')


def test_an_unlinked_draft_is_discarded(mount):
    m = mount(MEMORY)
    with open(m.mnt / 'config.json', 'w') as file:
        file.write(BAD)
        (m.mnt / 'config.json').unlink()
    with open(m.mnt / 'count.json', 'w') as file:
        file.write('7')
        sh(m, 'echo 8 > t; mv t count.json')
    assert (m.mnt / 'count.json').read_text() == '8\n'
    assert names(m.mnt) == ['count.json']
    assert names(m.mnt / '.rejected') == []
    assert memory(m) == edn_reader.memory('{:count 8}')


def test_what_was_refused_is_not_there_for_who_made_it(mount):
    """As soon as close has said so: RELEASE, with which the draft goes, comes a moment later."""
    m = mount('{:presence/s1 {"alice" 1}}')
    for number in range(300):
        path = m.mnt / f'new-{number}.json'
        with pytest.raises(OSError):
            path.write_text('{"a": ')
        assert not path.exists() and path.name not in os.listdir(m.mnt)
        with pytest.raises(FileNotFoundError):
            os.rename(path, m.mnt / 'other.json')
        with path.open('x') as file:  # it can be made anew
            file.write(str(number))
        assert path.read_text() == str(number)


def test_a_directory_in_which_all_was_refused_can_go(mount):
    m = mount('{:a 1}')
    for number in range(100):
        directory = m.mnt / f'notes{number}'
        directory.mkdir()
        with pytest.raises(OSError):
            (directory / 'new.json').write_text('{"a": ')
        directory.rmdir()


def refused(action, *args):
    with pytest.raises(OSError) as caught:
        action(*args)
    return caught.value.errno == errno.EBADMSG


def test_who_goes_on_behind_a_refusal(mount):
    """Of two descriptors of one open file the close of one is no end: what the other writes is seen, and saved."""
    m = mount('{:a 1}')
    path = m.mnt / 'new.json'
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o640)
    os.write(fd, b'{"a": ')
    assert path.exists()
    assert refused(os.close, os.dup(fd)) and not path.exists()
    os.write(fd, b'[')
    assert path.exists() and names(m.mnt) == ['a.json', 'new.json']
    assert refused(os.close, os.dup(fd)) and not path.exists()
    os.ftruncate(fd, 6)
    assert path.exists()
    os.pwrite(fd, b'1}', 6)
    os.close(fd)
    assert path.read_text() == '{"a": 1}' and path.stat().st_mode & 0o777 == 0o640
    m.sync()
    assert m.edn_text() == '{:a 1, :new {:a 1}}'
