"""Locks between processes, also where the file system has none of its own."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.base.locks import HeldError, has_flock, only_writer, state_of

ROOT = Path(__file__).parents[2]


def without_flock(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(_descriptor: object, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("name", ["", "ENOLCK", "EOPNOTSUPP", "ENOSYS", "EBADF"])
def test_one_writer_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name:
        without_flock(getattr(errno, name), monkeypatch)
    lock = tmp_path / "lock"
    with only_writer(lock):
        assert has_flock(lock) == (not name)
        with pytest.raises(HeldError), only_writer(lock, wait=False):
            pass
    with only_writer(lock, wait=False):
        pass
    assert not (tmp_path / "lock.held").exists()


def test_the_lock_file_of_a_dead_process_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import errno, fcntl, os, sys; from pathlib import Path\n"
        "def flock(*_): raise OSError(errno.ENOLCK, 'no locks')\n"
        "fcntl.flock = flock\n"
        "from recsys.base.locks import only_writer\n"
        "with only_writer(Path(sys.argv[1])): os._exit(0)"
    )
    lock = tmp_path / "lock"
    subprocess.run([sys.executable, "-c", program, str(lock)], cwd=ROOT, check=True)
    assert (tmp_path / "lock.held").exists()
    without_flock(errno.ENOLCK, monkeypatch)
    with only_writer(lock, wait=False):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_what_another_shares_is_held_as_nfs_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There an exclusive lock needs a descriptor for writing, else the answer is EBADF."""
    real = fcntl.flock

    def as_nfs(descriptor: int, operation: int) -> None:
        is_readonly = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        if operation & fcntl.LOCK_EX and is_readonly:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        real(descriptor, operation)

    path = tmp_path / "manifest.json"
    path.write_text("{}")
    path.chmod(0o444)
    reader = os.open(path, os.O_RDONLY)
    real(reader, fcntl.LOCK_SH)
    monkeypatch.setattr(fcntl, "flock", as_nfs)
    with state_of(path) as held:
        assert held == "held"
    os.close(reader)
    with state_of(path) as held:
        assert held == "free"
    assert path.stat().st_mode & 0o777 == 0o444
    without_flock(errno.ENOLCK, monkeypatch)
    with state_of(path) as held:
        assert held == "unknown"
