"""Stores on file systems that lack locks, flush of folders, or rights: named, and supported."""

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.serving import open as open_store
from recsys.store import activate, prune, publish, require_writable, rollback, verify, versions
from tests.store.releases import small_release

ROOT = Path(__file__).parents[2]
LAST = "prune without locks"


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


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that takes calls away from a child process."""
    path = tmp_path_factory.mktemp("library") / "lacking.so"
    source = ROOT / "tests" / "faults" / "lacking.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this way to lack calls")
@pytest.mark.parametrize("lacks", ["flock fsync chmod", "exclusive"])
def test_all_commands_on_a_file_system_that_lacks(
    tmp_path: Path, library: Path, lacks: str
) -> None:
    """In processes whose own calls fail, while the oldest version is open."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.lacking", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LD_PRELOAD": str(library), "LACKS": lacks},
    )
    assert done.returncode == 0
    *lines, end = map(json.loads, done.stdout.splitlines())
    assert {line["name"]: line["code"] for line in lines if line["code"]} == {}, lines
    by_name = {line["name"]: line for line in lines}
    before, after, forced = (by_name[one]["versions"] for one in ("verify", "prune", LAST))
    assert end["current"] in forced
    if lacks == "exclusive":  # a descriptor for writing says what is open
        assert by_name["prune"]["held"]
        assert len(after) < len(before)
        assert "its file system has no" not in by_name["nightly"]["err"]
        return
    assert after == before  # as anyone may have them open
    assert "recsys prune --without-locks deletes it all the same" in by_name["prune"]["err"]
    assert len(forced) < len(before)
    for what in ("locks", "flush of folders", "rights of files"):
        named, trained = f"no {what} (", '"stage": "train"'
        night = by_name["nightly"]["err"]
        assert 0 < night.index(named) < night.index(trained)
        assert named in by_name["train"]["err"]
