"""Arrays in files without a name: they follow what they are made of, and leave nothing behind."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recsys.base import mapped as module
from recsys.base.errors import DataError
from recsys.base.mapped import (
    ascends,
    beside,
    disk_folder,
    folder_of,
    made_of,
    mapped,
    parts,
    room,
    taken,
)


def test_an_array_lies_where_its_source_does(tmp_path: Path) -> None:
    source = mapped(tmp_path, 10, np.int32)
    large, small = (beside(source[2:], n, np.float32) for n in (1 << 20, 10))
    assert folder_of(large.reshape(2, -1)[1]) == tmp_path
    assert folder_of(small) is None
    assert folder_of(beside(np.zeros(3), 1 << 20, np.float32)) is None
    assert folder_of(room(tmp_path, (1024, 256), np.float64)) == tmp_path
    assert (large == 0).all()
    assert list(tmp_path.iterdir()) == []  # no file has a name


def test_parts_of_an_array_make_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SMALL", 0)
    plain = np.random.default_rng(0).integers(0, 9, 100)
    source = mapped(tmp_path, 100, np.int64)
    source[:] = plain
    marks, rows = plain > 3, np.arange(0, 100, 7)
    assert [len(plain[part]) for part in parts(100, 40)] == [40, 40, 20]
    monkeypatch.setattr(module, "parts", lambda n: parts(n, 7))
    for made, expected in (
        (taken(source, marks), plain[marks]),
        (taken(source, rows), plain[rows]),
        (taken(source, slice(5, 50)), plain[5:50]),
        (made_of(source, np.add, source, dtype=np.float32), 2.0 * plain),
    ):
        np.testing.assert_array_equal(made, expected)
    assert folder_of(taken(source, marks)) == tmp_path
    assert folder_of(taken(np.arange(9), source)) == tmp_path  # where the rows lie


@pytest.mark.parametrize(
    ("numbers", "expected"), [([], True), ([1], True), ([1, 1, 2], True), ([1, 3, 2], False)]
)
def test_ascends(numbers: list[int], expected: bool) -> None:
    assert ascends(np.array(numbers, dtype=np.int64)) is expected


def test_ascends_looks_across_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "parts", lambda n: parts(n, 2))
    assert ascends(np.array([1, 2, 3, 4, 5]))
    assert not ascends(np.array([1, 2, 3, 4, 0]))
    assert not ascends(np.array([1, 5, 4, 6]))


DISK, MEMORY = "/dev/sda / ext4 rw 0 0", "tmpfs {} tmpfs rw 0 0"


@pytest.mark.parametrize(
    ("mounts", "given", "is_usual"),
    [
        ((DISK,), "", True),
        ((DISK, MEMORY.format(module._USUAL)), "", False),
        ((DISK, MEMORY.format(module._USUAL)), str(module._USUAL), True),
        ((MEMORY.format("/"),), "", True),  # there is no disk
        ((), "", True),
    ],
)
def test_temporary_files_lie_on_a_disk(
    mounts: tuple[str, ...],
    given: str,
    is_usual: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "mounts").write_text("\n".join(mounts))
    monkeypatch.setenv("TMPDIR", given)
    monkeypatch.setattr("tempfile.tempdir", str(module._USUAL))
    expected = module._USUAL if is_usual else module._ON_DISK
    assert disk_folder(tmp_path / "mounts") == expected


def test_a_full_disk_is_an_error_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"0\.8 GB of free space in .*, got less; .*log.max_memory"):
        mapped(tmp_path, 100_000_000, np.int64)


def test_a_killed_process_leaves_no_file(tmp_path: Path) -> None:
    program = (
        "import sys, numpy; from pathlib import Path; from recsys.base.mapped import mapped;"
        "mapped(Path(sys.argv[1]), 1000, numpy.int64)[:] = 1; print('there', flush=True);"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []
