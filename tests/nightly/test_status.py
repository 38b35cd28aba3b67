"""`recsys status`: what is served, what the last nights did, and what needs a person."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import recsys
from recsys.config import settings_from
from recsys.errors import DataError, StoreError
from recsys.nightly import run_night, status
from recsys.nightly.night import only_night
from recsys.nightly.run import new_run, now_of
from recsys.store import find_version, publish
from tests.command_line import run
from tests.nightly.nights import settings_of, write_days
from tests.store.releases import small_release


def test_all_is_well_until_something_is_not(tmp_path: Path) -> None:
    write_days(tmp_path / "log")
    store = tmp_path / "store"
    with pytest.raises(StoreError, match="expected a folder"):
        status(store)
    report = run_night(settings_of(tmp_path))
    found = status(store)
    assert (found.current, found.versions, found.needs) == (report.version, 1, ())
    assert found.newest_event == report.facts("ingest")["newest_event"]
    assert [(one.run, one.result) for one in found.nights] == [(report.run, "done")]

    done = run("status", "--store", str(store))
    assert done.returncode == 0, done.stderr
    _store, *lines = done.stdout.splitlines()  # whose path may be long
    assert max(map(len, lines)) <= 80
    assert "all is well" in done.stdout
    assert str(report.version) in done.stdout

    (store / "versions" / "notes.txt").write_text("mine")
    path = find_version(store).folder / "serving" / "items" / "embeddings.npy"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    done = run("status", "--store", str(store), "--json")
    assert done.returncode == 1
    needs = json.loads(done.stdout)["needs"]
    assert any("embeddings.npy" in one for one in needs)
    assert any("notes.txt" in one for one in needs)


def test_a_disk_that_became_read_only_needs_a_person(tmp_path: Path) -> None:
    write_days(tmp_path / "log")
    run_night(settings_of(tmp_path))
    program = f"{sys.executable} -m recsys status --store store"
    mounted = f"mount --bind store store && mount -o remount,bind,ro store && {program}"
    alone = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"]).returncode:
        pytest.skip("mounting needs a user namespace")
    done = subprocess.run([*alone, "sh", "-c", mounted], cwd=tmp_path, capture_output=True)
    assert (done.returncode, b"read-only here: no night can publish" in done.stdout) == (1, True)


def test_a_file_in_the_place_of_all_versions_is_named(tmp_path: Path) -> None:
    (tmp_path / "versions").touch()
    with pytest.raises(StoreError, match="versions: expected a folder of versions, got a file"):
        status(tmp_path)


def test_the_newest_event_is_known_without_a_night(tmp_path: Path) -> None:
    log = pa.table(
        {
            "user_id": [1, 1, 2],
            "item_id": [1, 2, 2],
            "timestamp": [1_700_000_000, 1_700_000_060, 1_700_000_100],
        }
    )
    settings = settings_from({"evaluation": {"split": "none"}, "gates": {"enabled": False}})
    recsys.train(recsys.read_log(log), tmp_path, settings=settings)
    assert status(tmp_path).newest_event == "2023-11-14T22:15:00+00:00"


def test_a_night_that_failed_needs_a_person(tmp_path: Path) -> None:
    write_days(tmp_path / "log")
    run_night(settings_of(tmp_path))
    for path in (tmp_path / "log").iterdir():
        path.unlink()
    with pytest.raises(DataError):
        run_night(settings_of(tmp_path))
    (need,) = status(tmp_path / "store").needs
    assert ": failed: " in need


def test_a_night_that_was_killed_is_not_said_to_run(tmp_path: Path) -> None:
    write_days(tmp_path / "log")
    store = tmp_path / "store"
    run_night(settings_of(tmp_path))
    run = new_run(store, now_of(store), None)  # as a night that is killed in its first stage
    with only_night(store):
        assert [one.result for one in status(store).nights] == ["running", "done"]
        assert status(store).needs == ()
    found = status(store)
    assert [one.result for one in found.nights] == ["killed", "done"]
    (need,) = found.needs
    assert run.name in need
    assert "in its stage ingest" in need


def test_nights_that_cannot_be_read_need_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    publish(tmp_path, small_release())

    def forbidden(path: Path) -> Iterator[Path]:
        if path.name == "runs":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path)

    real = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", forbidden)
    (need,) = status(tmp_path).needs
    assert "runs: cannot be read now: Permission denied" in need
    (tmp_path / "runs").rmdir()
    (tmp_path / "runs").touch()
    (need,) = status(tmp_path).needs
    assert "runs: expected a folder, got a file" in need


@pytest.mark.parametrize("damage", [b"\x00", None])
def test_a_damaged_current_needs_a_person(tmp_path: Path, damage: bytes | None) -> None:
    write_days(tmp_path / "log")
    run_night(settings_of(tmp_path))
    path = tmp_path / "store" / "CURRENT"
    path.unlink()
    if damage:
        path.write_bytes(damage)
    found = status(tmp_path / "store")
    assert found.current is None
    assert len(found.needs) == 1
