"""A file and a folder are as before, or whole, at whatever point a process is killed."""

import os
import signal
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from recsys.base.durable import (
    appear,
    appearing,
    identity_of,
    moment_of,
    replace_text,
    replaced,
    sha256_of,
    stamp_of,
)
from tests.forks import GOT_THROUGH, in_fork, kill_before_operation


def test_a_writer_killed_before_any_of_its_file_operations(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_text(path, "old")

    def die(n: int) -> None:
        kill_before_operation(n, str(tmp_path))
        replace_text(path, "new")

    found, ended, n = [], -signal.SIGKILL, 0
    while ended == -signal.SIGKILL:
        n += 1
        ended = in_fork(lambda n=n: die(n))
        found.append(path.read_text())
    assert ended == GOT_THROUGH
    assert n > 3
    assert found == ["old\n"] * (n - 1) + ["new\n"]
    assert [*tmp_path.iterdir()] == [path]  # the unfinished file of a killed process was replaced


@pytest.mark.parametrize("many_writers", [False, True])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_block_that_fails_changes_nothing(
    tmp_path: Path, error: type[BaseException], many_writers: bool
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with replaced(path, many_writers=many_writers) as aside:
            aside.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_many_writers_do_not_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replaced(path, many_writers=True) as ours:
        ours.write_text("ours")

        def other() -> None:
            with replaced(path, many_writers=True) as theirs:
                theirs.write_text("theirs")

        assert in_fork(other) == GOT_THROUGH
        assert path.read_text() == "theirs"
    assert path.read_text() == "ours"


def test_a_file_aside_is_hidden_from_who_collects_by_the_end_of_a_name(tmp_path: Path) -> None:
    with replaced(tmp_path / "night.prom") as aside:
        aside.write_text("x")
        assert aside.parent == tmp_path
        assert aside.name.startswith(".")
        assert not [*tmp_path.glob("*.prom")]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target, aside = tmp_path / "new" / "folder", tmp_path / "new" / ".folder"

    def die(n: int) -> None:
        kill_before_operation(n, str(tmp_path))
        with appearing(target, aside) as folder:
            (folder / "inside").mkdir()
            (folder / "inside" / "a").write_text("a")
            (folder / "b").write_text("b")

    ended, n = -signal.SIGKILL, 0
    while ended == -signal.SIGKILL:
        n += 1
        assert not target.exists()
        ended = in_fork(lambda n=n: die(n))
    assert ended == GOT_THROUGH
    assert n > 5
    assert sorted(path.name for path in target.rglob("*")) == ["a", "b", "inside"]
    assert [*target.parent.iterdir()] == [target]


def test_a_folder_whose_block_fails_is_gone(tmp_path: Path) -> None:
    def fail() -> None:
        with appearing(tmp_path / "f", tmp_path / ".f") as folder:
            (folder / "a").write_text("a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not [*tmp_path.iterdir()]


def test_all_is_on_the_disk_before_a_name_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note_fsync(descriptor: int) -> None:
        done.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def note_rename(source: Path, target: Path, **options: int) -> None:
        done.append(f"-> {Path(target).name}")
        rename(source, target, **options)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    monkeypatch.setattr(os, "replace", note_rename)
    replace_text(tmp_path / "file", "text")
    assert done == [".file.new", "-> file", tmp_path.name]
    done.clear()
    aside = tmp_path / "aside"
    (aside / "inside").mkdir(parents=True)
    (aside / "inside" / "a").write_text("a")
    appear(aside, tmp_path / "folder")
    assert sorted(done[:3]) == ["a", "aside", "inside"]
    assert done[3:] == ["-> folder", tmp_path.name]


def test_a_file_that_was_written_again_has_another_identity(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace_text(path, "a")
    before, status = identity_of(path), path.stat()
    assert identity_of(path) == before
    replace_text(path, "b")  # as long, and given the same time
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert identity_of(path) != before
    with pytest.raises(FileNotFoundError):
        identity_of(tmp_path / "none")


def test_stamps_sort_by_time_and_lead_back() -> None:
    moment = datetime(2026, 11, 20, 2, 0, 1, tzinfo=UTC)
    assert stamp_of(moment) == "20261120T020001Z"
    assert stamp_of(moment.astimezone(timezone(timedelta(hours=5)))) == stamp_of(moment)
    assert moment_of(stamp_of(moment)) == moment
    assert stamp_of(moment) < stamp_of(moment + timedelta(seconds=1))


def test_the_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file").startswith("ba7816bf8f01cfea")
