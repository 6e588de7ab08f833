# SPDX-License-Identifier: MIT
"""What is handed out: the tarball of `ninja dist` and the package for Debian.

Both are made from the source, whatever was built, and so belong to the tests of style.
"""
import os
import re
import shutil
import subprocess
import tarfile

import pytest
from conftest import TOP

pytestmark = pytest.mark.style


def git(*args):
    return subprocess.run(['git', '-C', str(TOP), *args], capture_output=True, text=True)


def version():
    return re.search(r"version: '([^']+)'", (TOP / 'meson.build').read_text())[1]


@pytest.mark.skipif(git('rev-parse', '--show-prefix').stdout != '\n', reason='not a checkout of git')
def test_dist_holds_what_git_does(tmp_path):
    name = f'ourofs-{version()}'
    subprocess.run(['git', 'clone', '-q', str(TOP), str(tmp_path / 'clone')], check=True)
    subprocess.run(['meson', 'setup', 'build'], cwd=tmp_path / 'clone', check=True, capture_output=True)
    subprocess.run(['meson', 'dist', '-C', 'build', '--no-tests', '--formats', 'gztar'],
                   cwd=tmp_path / 'clone', check=True, capture_output=True)
    with tarfile.open(tmp_path / 'clone' / 'build' / 'meson-dist' / f'{name}.tar.gz') as tar:
        held = {member.name for member in tar if not member.isdir()}
    assert held == {f'{name}/{path}' for path in git('ls-tree', '-r', '--name-only', 'HEAD').stdout.split('\n')[:-1]}


@pytest.fixture(scope='module')
def package(tmp_path_factory):
    if not shutil.which('dh'):
        pytest.skip('debhelper is not installed')
    out = tmp_path_factory.mktemp('package')
    done = subprocess.run([str(TOP / '.packaging' / 'build-deb'), str(out)],
                          env={**os.environ, 'DEBFULLNAME': 'Ada', 'DEBEMAIL': 'ada@debian.org'},
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')
    made = list(out.iterdir())
    assert [str(path) for path in made] == done.stdout.split()
    return made[0]


def test_the_package_leaves_the_tree_alone(package):
    assert not (TOP / 'debian').exists()


def test_the_package_runs_and_depends_on_what_it_needs(package, tmp_path):
    subprocess.run(['dpkg-deb', '-x', str(package), str(tmp_path)], check=True)
    said = subprocess.run([str(tmp_path / 'usr/bin/ourofs'), '-V'], capture_output=True, text=True)
    assert said.stdout.startswith(f'ourofs {version()}\n')
    for name in ('usr/share/man/man1/ourofs.1.gz', 'usr/share/man/man5/ourofs.5.gz',
                 'usr/share/man/man1/ourofsctl.1.gz', 'usr/bin/ourofsctl',
                 'usr/lib/systemd/system/ourofs@.service', 'usr/lib/systemd/user/ourofs@.service'):
        assert (tmp_path / name).is_file(), name
    depends = subprocess.run(['dpkg-deb', '-f', str(package), 'Depends'], capture_output=True, text=True).stdout
    assert {'fuse3', 'libcjson1', 'libfuse3-3', 'liblmdb0'} <= set(re.findall(r'[\w-]+(?= \()', depends))
    unit = (tmp_path / 'usr/lib/systemd/system/ourofs@.service').read_text()
    assert 'ExecStart=/usr/bin/ourofs ' in unit and '@BINDIR@' not in unit


@pytest.mark.skipif(not shutil.which('lintian'), reason='lintian is not installed')
def test_lintian_has_no_complaint(package):
    done = subprocess.run(['lintian', '--allow-root', '-I', str(package)], capture_output=True, text=True)
    assert [line for line in done.stdout.splitlines() if re.match('[EWI]: ', line)] == []
    assert done.returncode == 0


@pytest.mark.skipif(not shutil.which('shellcheck'), reason='shellcheck is not installed')
def test_shellcheck_has_no_complaint():
    scripts = ['quickstart', '.ci/run', '.packaging/build-deb']
    done = subprocess.run(['shellcheck', *scripts], cwd=TOP, capture_output=True, text=True)
    assert done.stdout == ''
