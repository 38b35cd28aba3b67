"""Stores on file systems that lack locks, flush of folders, or rights: named, and supported."""

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from recsys.serving import open as open_store
from recsys.store import activate, prune, publish, require_writable, rollback, verify, versions
from tests.store.releases import small_release


def failing(number: int):
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def without_fsync(number: int):
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    return fsync


LACKING = [
    ("ENOLCK", fcntl, "flock", failing, "locks"),
    ("EOPNOTSUPP", fcntl, "flock", failing, "locks"),
    ("EINVAL", os, "fsync", without_fsync, "flush of folders"),
    ("ENOTSUP", os, "fsync", without_fsync, "flush of folders"),
    ("EPERM", os, "chmod", failing, "rights of files"),
    ("EOPNOTSUPP", os, "chmod", failing, "rights of files"),
]


@pytest.mark.filterwarnings("ignore:.*its file system has no")
@pytest.mark.parametrize(("name", "module", "call", "lack", "what"), LACKING)
def test_a_store_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module, call: str, lack, what: str
) -> None:
    monkeypatch.setattr(module, call, lack(getattr(errno, name)))
    with pytest.warns(RuntimeWarning, match=f"its file system has no {what}"):
        require_writable(tmp_path)
    published = [publish(tmp_path, small_release(seed=seed)) for seed in range(4)]
    assert rollback(tmp_path).name == published[2].name
    activate(tmp_path, published[3].name)
    assert verify(tmp_path).name == open_store(tmp_path).version == published[3].name
    if call != "flock":
        assert len(prune(tmp_path, 2).deleted) == 2
        return
    with pytest.warns(RuntimeWarning, match="so a reader may have it open"):
        done = prune(tmp_path, 2)
    assert done.deleted == ()
    assert list(done.kept.values()).count("perhaps open") == 2
    assert len(prune(tmp_path, 2, without_locks=True).deleted) == 2
    assert len(versions(tmp_path)) == 2


def test_a_full_disk_is_no_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "versions").mkdir()
    monkeypatch.setattr(os, "fsync", without_fsync(errno.EIO))
    with pytest.raises(Exception, match="Input/output error"):
        publish(tmp_path, small_release())
