"""After damage: what is damaged is never chosen, and a fault of the moment is not damage."""

import errno
import io
import os
import shutil
import subprocess
import warnings
from pathlib import Path

import pyarrow as pa
import pytest

import recsys
from recsys.base.durable import sha256_of
from recsys.cli.store import versions_command
from recsys.errors import (
    CorruptVersionError,
    GateFailedError,
    UnreadableError,
    VersionNotFoundError,
)
from recsys.monitoring import Gates
from recsys.nightly import status
from recsys.serving import open as open_store
from recsys.store import (
    Content,
    Parent,
    Version,
    activate,
    align_with_current,
    current,
    damage_of,
    describe_versions,
    find_version,
    parent_of,
    prune,
    publish,
    rollback,
    version_before,
    versions,
)
from tests.command_line import run, run_program
from tests.store.releases import small_release

ROOT = Path(__file__).parents[2]
CODES = "serving/index/codes.npy"


def flip(version: Version, name: str = CODES) -> None:
    """Flip one bit in the middle of a file."""
    path = version.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def quiet_parent_of(store: Path) -> Parent:
    with warnings.catch_warnings(action="ignore"):
        return parent_of(store)


def four(store: Path) -> list[Version]:
    """A, B, C and D, published one after the other; C was damaged before D was published."""
    a, b, c = (publish(store, small_release(seed=seed)) for seed in range(3))
    flip(c)
    with pytest.warns(RuntimeWarning, match=f"passed over {c.name}.*codes.npy"):
        d = publish(store, small_release(seed=3))
    return [a, b, c, d]


def test_after_c_was_damaged_and_d_was_published(tmp_path: Path) -> None:
    a, b, c, d = four(tmp_path)
    assert d.manifest.parent == b.name  # the last one that was sound
    assert version_before(tmp_path) == b.name
    with pytest.warns(RuntimeWarning, match=f"{c.name}.*damaged"):
        done = prune(tmp_path, 1)
    assert done.deleted == (c.name,)
    assert dict(done.kept) == {
        d.name: "current",
        b.name: "rollback",
        a.name: "another is damaged",
    }
    for version in (a, b, d):
        assert damage_of(version) is None
    assert prune(tmp_path, 1).deleted == (a.name,)  # now that all are sound again
    assert rollback(tmp_path).name == current(tmp_path) == b.name


def test_a_rollback_passes_over_the_damaged(tmp_path: Path) -> None:
    _, b, c, _ = four(tmp_path)
    with pytest.warns(RuntimeWarning, match=f"passed over {c.name}"):
        assert rollback(tmp_path).name == b.name
    assert current(tmp_path) == b.name


def test_the_command_line_says_what_was_passed_over(tmp_path: Path) -> None:
    _, b, c, d = four(tmp_path)
    listed = run("versions", "--store", str(tmp_path))
    assert f"damaged: {c.name}: " in listed.stderr
    assert CODES in listed.stderr
    done = run("rollback", "--store", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, f"current: {b.name}\n")
    assert f"recsys: warning: passed over {c.name}: " in done.stderr
    done = run("activate", c.name, "--store", str(tmp_path))
    assert done.returncode == 1
    assert CODES in done.stderr
    rows = {row["version"]: row for row in describe_versions(tmp_path)}
    assert [name for name, row in rows.items() if "damaged" in row] == [c.name]
    assert d.name in rows


def test_deep_finds_what_a_quick_look_passes_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a version above 32 MB, of whose large files only the sizes are looked at."""
    _, b, c, d = four(tmp_path)
    monkeypatch.setattr("recsys.store.sound.MAX_CHECKED_BYTES", 0)
    with monkeypatch.context() as nothing_is_read:
        nothing_is_read.setattr("recsys.store.sound.sha256_of", pytest.fail)
        quick = describe_versions(tmp_path)
    deep = describe_versions(tmp_path, deep=True)
    rollbacks = [[row["version"] for row in rows if row["rollback"]] for rows in (quick, deep)]
    assert rollbacks == [[c.name], [b.name]]  # as far as each has looked
    sizes = [facts.bytes for facts in find_version(tmp_path, d.name).manifest.files.values()]
    assert quick[0]["unread_bytes"] == sum(sizes)
    assert not any("damaged" in row for row in quick)
    assert [row["version"] for row in deep if "damaged" in row] == [c.name]
    assert {row["unread_bytes"] for row in deep} == {0}
    versions_command(tmp_path)
    assert "only the sizes were checked: --deep reads every byte" in capsys.readouterr().err
    versions_command(tmp_path, deep=True)
    said = capsys.readouterr().err
    assert CODES in said
    assert "only the sizes" not in said
    assert status(tmp_path).unread_bytes == sum(row["unread_bytes"] for row in quick)
    assert any(CODES in need for need in status(tmp_path, deep=True).needs)


def test_what_cannot_be_read_now_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, b, *_ = four(tmp_path)

    def crowded(path: Path) -> str:
        if b.name in str(path):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
        return sha256_of(path)

    monkeypatch.setattr("recsys.store.sound.sha256_of", crowded)
    monkeypatch.setattr("recsys.base.reading._PAUSES", ())
    rows = {row["version"]: row for row in describe_versions(tmp_path)}
    assert "EMFILE" in rows[b.name]["unreadable"]
    assert "damaged" not in rows[b.name]
    assert any("EMFILE" in need for need in status(tmp_path).needs)


def test_versions_are_listed_where_current_is_damaged(tmp_path: Path) -> None:
    four(tmp_path)
    (tmp_path / "CURRENT").write_text("nonsense\n")
    listed = run("versions", "--store", str(tmp_path))
    assert listed.returncode == 0
    assert "CURRENT: expected the name of a version, got 'nonsense'" in listed.stderr
    found = status(tmp_path)
    assert found.versions == 4
    assert found.store_bytes > 0


def test_damage_in_the_window_does_not_count(tmp_path: Path) -> None:
    a, b, c, d = four(tmp_path)
    with pytest.warns(RuntimeWarning, match="it is damaged"):
        done = prune(tmp_path, 2)
    assert done.deleted == ()
    assert done.kept[c.name] == "damaged"
    assert done.kept[a.name] == "another is damaged"
    assert {version.name for version in versions(tmp_path)} == {one.name for one in (a, b, c, d)}


def test_no_version_is_deleted_where_all_are_damaged(tmp_path: Path) -> None:
    published = [publish(tmp_path, small_release(seed=seed)) for seed in range(3)]
    for version in published:
        flip(version)
    with pytest.warns(RuntimeWarning, match="it is damaged"):
        assert prune(tmp_path, 1).deleted == ()


def test_no_sound_version_to_roll_back_to(tmp_path: Path) -> None:
    first, second = (publish(tmp_path, small_release(seed=seed)) for seed in range(2))
    flip(first)
    with pytest.raises(VersionNotFoundError, match=r"none that is still there; .*codes\.npy"):
        rollback(tmp_path)
    assert current(tmp_path) == second.name


def test_a_damaged_version_is_not_activated(tmp_path: Path) -> None:
    first, second = (publish(tmp_path, small_release(seed=seed)) for seed in range(2))
    flip(first, "users.parquet")
    with pytest.raises(CorruptVersionError, match=r"users\.parquet"):
        activate(tmp_path, first.name, force=True)
    assert current(tmp_path) == second.name


def test_a_release_is_aligned_with_the_last_sound_version(tmp_path: Path) -> None:
    first, second = (publish(tmp_path, small_release(seed=seed)) for seed in range(2))
    flip(second, "users.parquet")
    with pytest.warns(RuntimeWarning, match="passed over"):
        aligned = align_with_current(tmp_path, small_release())
    assert aligned.alignment["parent"] == first.name
    assert aligned.space_id == first.manifest.space_id


def test_a_store_without_any_manifest_refuses(tmp_path: Path) -> None:
    version = publish(tmp_path, small_release())
    flip(version, "manifest.json")
    with (
        pytest.warns(RuntimeWarning, match="passed over"),
        pytest.raises(GateFailedError, match=r"got only damaged ones: .*gates\.enabled = false"),
    ):
        publish(tmp_path, small_release(seed=1), gate=Gates())
    assert current(tmp_path) == version.name
    with pytest.warns(RuntimeWarning, match="passed over"):
        publish(tmp_path, small_release(seed=1))


def test_a_manifest_that_compares_nothing_refuses(tmp_path: Path) -> None:
    """These manifests hold no summary of a log."""
    version = publish(tmp_path, small_release())
    flip(version)
    with (
        pytest.warns(RuntimeWarning, match="passed over"),
        pytest.raises(GateFailedError, match=f"nothing could be compared with .*{version.name}"),
    ):
        publish(tmp_path, small_release(seed=1, metrics={}), gate=Gates())


def test_where_the_store_does_not_say_what_was_current(tmp_path: Path) -> None:
    first, second = (publish(tmp_path, small_release(seed=seed)) for seed in range(2))
    (tmp_path / "CURRENT").write_text("nonsense")
    (tmp_path / "ACTIVATIONS").unlink()
    with pytest.warns(RuntimeWarning, match="passed over CURRENT"):
        assert parent_of(tmp_path).name == second.name
    flip(second)
    assert quiet_parent_of(tmp_path).name == first.name


OPENING = """
import errno, os, sys, warnings
import recsys
from recsys.base import reading
warnings.simplefilter("error")
store, number, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
real, left = os.open, [times]
def broken(path, *args, **kwargs):
    if left[0] and str(path).endswith("manifest.json"):
        left[0] -= 1
        raise OSError(number, os.strerror(number), str(path))
    return real(path, *args, **kwargs)
os.open = broken
{what}
"""


def faulty(store: Path, number: int, times: int, what: str) -> subprocess.CompletedProcess[str]:
    program = OPENING.replace("{what}", what)
    return run_program(program, store, str(number), str(times), cwd=ROOT)


@pytest.mark.parametrize("name", ["EMFILE", "ENOMEM", "EIO", "EACCES"])
def test_a_fault_of_the_moment_is_named_and_starts_no_fall_back(tmp_path: Path, name: str) -> None:
    first, second = (publish(tmp_path, small_release(seed=seed)) for seed in range(2))
    number = getattr(errno, name)
    done = faulty(tmp_path, number, 99, "print(recsys.open(store).version)")
    assert "UnreadableError" in done.stderr
    assert f"({name})" in done.stderr
    assert first.name not in done.stdout
    done = faulty(tmp_path, number, 2, "print(recsys.open(store).version)")
    if name == "EACCES":  # which does not pass within a second
        assert "UnreadableError" in done.stderr
    else:
        assert done.stdout == f"{second.name}\n"


@pytest.mark.parametrize("name", ["EMFILE", "EIO", "EACCES"])
def test_a_fault_of_the_moment_switches_no_gate_off(tmp_path: Path, name: str) -> None:
    version = publish(tmp_path, small_release())
    what = (
        "from tests.store.releases import small_release\n"
        "recsys.store.publish(store, small_release(seed=1), gate=recsys.monitoring.Gates())"
    )
    done = faulty(tmp_path, getattr(errno, name), 99, what)
    assert f"({name})" in done.stderr
    assert [one.name for one in versions(tmp_path)] == [version.name] == [current(tmp_path)]


@pytest.mark.parametrize("kind", ["manifest.json", "serving/users/ids.arrow", CODES])
def test_too_many_open_files_are_no_damage(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file at a time: whatever opens it, the error names it, and says that it is not damage."""
    version = publish(tmp_path, small_release())

    def broken(real):
        def opened(path, *args, **kwargs):
            if str(path).endswith(kind):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))
            return real(path, *args, **kwargs)

        return opened

    monkeypatch.setattr("recsys.base.reading._PAUSES", ())
    monkeypatch.setattr(os, "open", broken(os.open))
    monkeypatch.setattr("recsys.store.content.check_quickly", lambda *_: None)
    monkeypatch.setattr(io, "open", broken(io.open))
    monkeypatch.setattr(pa, "memory_map", broken(pa.memory_map))
    with pytest.raises(UnreadableError, match=rf"{kind}: cannot be read now: .*\(EMFILE\)"):
        Content.of(version)


def test_the_one_line_call_does_not_stay_with_a_fall_back(tmp_path: Path) -> None:
    """The version before stands in for a damaged one; a fault of the moment is an error."""
    publish(tmp_path, small_release())
    second = publish(tmp_path, small_release(seed=1))
    program = (
        "for n in range(2):\n"
        "    try: print(recsys.recommend('u1', 3, store=store).version)\n"
        "    except recsys.UnreadableError as error: print(error.number)\n"
    )
    done = faulty(tmp_path, errno.EIO, 4, program)
    assert done.stdout.split() == [str(errno.EIO), second.name], done.stderr


def test_too_many_files_are_open(tmp_path: Path) -> None:
    """For true: the limit is reached while the version is opened, and later it is not."""
    version = publish(tmp_path, small_release())
    program = (
        "import resource, sys, recsys, os\n"
        "recsys.open(sys.argv[1])\n"
        "soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "n = len(os.listdir('/proc/self/fd'))\n"
        "for more in range(40):\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (n + more, hard))\n"
        "    try: print(recsys.open(sys.argv[1]).version)\n"
        "    except recsys.UnreadableError as error: print(error.number)\n"
    )
    done = run_program(program, tmp_path, cwd=ROOT)
    found = done.stdout.split()
    assert set(found) == {str(errno.EMFILE), version.name}, done.stderr
    assert found[-1] == version.name


def test_what_lies_among_the_versions_stops_nothing(tmp_path: Path) -> None:
    kept = [publish(tmp_path, small_release(seed=seed)) for seed in range(2)]
    folder = tmp_path / "versions"
    outside = tmp_path / "outside"
    shutil.copytree(kept[0].folder, outside)
    shutil.rmtree(kept[0].folder)
    kept[0].folder.symlink_to(outside)
    (folder / ".staging-x").write_text("stray")
    (folder / "20200101T000000Z-00000000").write_text("a file")
    (folder / "notes.txt").write_text("mine")
    assert len(versions(tmp_path)) == 2
    names = (".staging-x", "20200101T000000Z-00000000", "notes.txt", kept[0].name)
    needs = " ".join(status(tmp_path).needs)
    assert all(f"{name}: expected a " in needs for name in names)
    with pytest.warns(RuntimeWarning, match=r"\.staging-x: expected a folder .* got a file"):
        publish(tmp_path, small_release(seed=2))
    for keep, reason in ((3, "newest 3"), (1, "symlink")):
        with pytest.warns(RuntimeWarning) as warned:
            done = prune(tmp_path, keep)
        assert done.kept[kept[0].name] == reason
        said = " ".join(str(one.message) for one in warned)
        assert [said.count(f"{name}: expected a ") for name in names] == [1, 1, 1, 1]
    assert (folder / "notes.txt").read_text() == "mine"
    assert outside.is_dir()


def test_a_version_that_was_renamed_is_damaged_for_all(tmp_path: Path) -> None:
    first, second = (publish(tmp_path, small_release(seed=seed)) for seed in range(2))
    renamed = second.folder.with_name(f"{second.name[:-8]}00000000")
    second.folder.rename(renamed)
    (tmp_path / "CURRENT").write_text(renamed.name)
    assert "must keep its name" in describe_versions(tmp_path)[0]["damaged"]
    with pytest.warns(RuntimeWarning, match=f"serving version {first.name}"):
        assert open_store(tmp_path).version == first.name


def test_a_version_of_another_user_stays_and_stops_nothing(tmp_path: Path) -> None:
    """Published by root, whose folders this process may not write."""
    names = [publish(tmp_path, small_release(seed=seed)).name for seed in range(3)]
    foreign = tmp_path / "versions" / names[0]
    program = (
        "import sys, warnings; from recsys.store import prune, publish\n"
        "from tests.faults.harness import drop_capabilities\n"
        "from tests.store.releases import small_release\n"
        "drop_capabilities(); warnings.simplefilter('always')\n"
        "print(prune(sys.argv[1], 1).kept); publish(sys.argv[1], small_release(seed=9))\n"
        "prune(sys.argv[1], 1)"
    )
    for path in [foreign, *(path for path in foreign.rglob("*") if path.is_dir())]:
        path.chmod(0o555)
    trash = tmp_path / "versions" / ".trash-20200101T000000Z-00000000"
    trash.mkdir()
    (trash / "file").write_text("left")
    trash.chmod(0o555)
    done = run_program(program, tmp_path, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "'of another user'" in done.stdout
    assert "cannot be deleted" in done.stderr
    assert "this user may not delete its files" in done.stderr
    assert foreign.is_dir()
    assert len(versions(tmp_path)) == 3


def test_a_file_that_a_reader_on_another_machine_holds_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS renames it to .nfs..., and refuses to delete it while it is open."""
    trash = tmp_path / "versions" / ".trash-20200101T000000Z-00000000"
    trash.mkdir(parents=True)
    (trash / ".nfs0001").write_text("open")
    real = os.unlink

    def busy(path, *args, **kwargs):
        if str(path).endswith(".nfs0001"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        real(path, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", busy)
        with pytest.warns(RuntimeWarning, match=r"\.nfs0001: Device or resource busy"):
            publish(tmp_path, small_release())
        with pytest.warns(RuntimeWarning, match=r"\.nfs0001"):
            assert prune(tmp_path, 1).deleted == ()
        assert any(".nfs0001: a reader on another" in need for need in status(tmp_path).needs)
    publish(tmp_path, small_release(seed=1))
    assert not trash.exists()


def test_serving_and_the_parent_of_a_night_fall_back_to_the_same(tmp_path: Path) -> None:
    _, b, c, d = four(tmp_path)
    flip(d)
    with pytest.warns(RuntimeWarning, match=f"serving version {b.name}"):
        assert open_store(tmp_path).version == quiet_parent_of(tmp_path).name == b.name
    assert [one.name for one in quiet_parent_of(tmp_path).passed_over] == [d.name, c.name]
    assert recsys.versions(tmp_path)
