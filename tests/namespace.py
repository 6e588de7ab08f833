# SPDX-License-Identifier: MIT
"""Scripts in a namespace of mounts in which the installed tree lies over /usr/local and the test's lines
are /etc/fstab, so that nothing of it is seen outside. For `from namespace import inside, installed, place`.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from conftest import BOUND_S

NOBODY = 65534
TEXT = '{:config {:a 1}}'

# ended: waits for the daemon's end: it holds the lock until both stores are written.
# as_nobody: runs a command as a user who may mount. Leak checkers need more than such a one may.
HELPERS = f'''
ended() {{ flock "${{1:-memory.eav}}/lock" true; }}
as_nobody() {{ env -u ASAN_OPTIONS setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "$@"; }}
'''


@pytest.fixture(scope='session')
def installed(build_dir, tmp_path_factory):
    """The directory that stands for the prefix in what was installed."""
    destination = tmp_path_factory.mktemp('installed')
    subprocess.run(['meson', 'install', '-C', str(build_dir), '--no-rebuild',
                    '--destdir', str(destination)], check=True, capture_output=True)
    return next(destination.rglob('bin/ourofs')).parent.parent


@pytest.fixture
def place():
    """A memory and a mountpoint that a user other than root reaches."""
    base = pathlib.Path(tempfile.mkdtemp(prefix='ourofs-test-', dir='/var/tmp'))
    base.chmod(0o755)
    (base / 'memory.edn').write_text(TEXT)
    (base / 'mnt').mkdir()
    yield base
    shutil.rmtree(base)


@pytest.fixture
def inside(installed, place):
    """inside(script, fstab='') -> what bash said of it in the namespace."""
    def run(script, fstab=''):
        (place / 'fstab').write_text(fstab)
        return subprocess.run(
            ['unshare', '-m', 'bash', '-ec',
             f'mount --bind {installed} /usr/local\n'
             f'mount --bind {place}/fstab /etc/fstab\n'
             f'trap "umount -l {place}/mnt 2>/dev/null || true" EXIT\n{HELPERS}{script}'],
            cwd=place, text=True, capture_output=True, timeout=5 * BOUND_S,
            env={**os.environ, 'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'})
    if subprocess.run(['unshare', '-m', 'true'], capture_output=True).returncode:
        pytest.skip('a namespace of mounts is not allowed here')
    return run


def good(done):
    assert (done.returncode, done.stderr) == (0, '')
    return done.stdout
