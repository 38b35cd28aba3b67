"""Nights that are killed, short of disk, without rights, misled by the clock, started twice."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from recsys.serving import open as open_store
from recsys.store import current, find_version, verify, versions
from tests.command_line import run, run_module, start_module
from tests.disks import small_disk
from tests.faults.readers import publish_number
from tests.forks import GOT_THROUGH
from tests.nightly.nights import journal_of, write_days

ROOT = Path(__file__).parents[2]
KILLS = os.environ.get("RECSYS_KILLS", "3")  # `make faults` has 200
FULL = os.environ.get("RECSYS_FULL", "3")  # the same, more than there are writes
PARTS = int(os.environ.get("RECSYS_PARTS", "4"))  # of a file; there 10
PUBLISHED = os.environ.get("RECSYS_PUBLISHED", "25")  # versions beside a reader; there 200
SEED = os.environ.get("RECSYS_KILLS_SEED", "0")
RECSYS = [sys.executable, "-m", "recsys"]
HOURS = 6 * 3600  # seconds that `make faults` may take


def lines_of(what: str, folder: Path, *more: str) -> list[dict]:
    done = run_module("tests.faults.harness", what, folder, *more, timeout=HOURS)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def answers(line: dict) -> bool:
    """Whether a reader found only whole versions, and an answer of the current one."""
    return line.get("n") == 3 and line["current"] == line["answered"] in line["versions"]


def a_night(place: Path) -> list[str]:
    config = place / "night.toml"
    config.write_text(
        '[data]\nlog = "log"\n[model]\nfactors = 4\n[index]\nkind = "exact"\n'
        '[nightly]\nstore = "store"\nlog_file = "night.jsonl"\nlog_level = "debug"\n'
        "keep = 2\nreuse_unchanged = false\n"
    )
    return ["nightly", "--config", str(config), "--json"]


def test_nights_killed_at_random_moments(tmp_path: Path) -> None:
    first, *lines = lines_of("kill", tmp_path, KILLS, SEED)
    assert answers(first)
    kills = [line for line in lines if line["fault"] == "kill"]
    nights = [line for line in lines if line["fault"] == "next"]
    assert sum(line["ended"] == -signal.SIGKILL for line in kills) >= int(KILLS)
    assert {line["ended"] for line in kills} <= {-signal.SIGKILL, GOT_THROUGH}
    assert all(map(answers, lines)), [line for line in lines if not answers(line)]
    assert {line["ended"] for line in nights} == {GOT_THROUGH}
    assert {tuple(line["left"]) for line in nights} == {()}
    served = [first["current"], *(line["current"] for line in lines)]
    assert served == sorted(served), "CURRENT went back"


def test_a_night_killed_between_its_version_and_current(tmp_path: Path) -> None:
    first, killed, after = lines_of("current", tmp_path)
    assert killed["ended"] == -signal.SIGKILL
    assert after["ended"] == GOT_THROUGH
    assert all(map(answers, (first, killed, after)))
    assert killed["current"] == first["current"]
    assert len(killed["versions"]) == 2  # whole, and not served
    assert after["versions"] == killed["versions"]  # not published twice
    assert after["current"] == after["versions"][0]


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path, 8) as disk:
        lines = lines_of("full", disk, FULL)
    errors = [line["error"] for line in lines if "error" in line]
    looks = [line for line in lines if "fault" in line]
    full = [line for line in looks if line["fault"] == "full"]
    assert sum(line["ended"] != GOT_THROUGH for line in full) == len(errors) >= len(full) / 2
    for error in errors:
        assert "its disk has space left" in error, error
    assert all(map(answers, looks)), [line for line in looks if not answers(line)]
    assert {line["ended"] for line in looks if line["fault"] == "next"} == {GOT_THROUGH}


def test_a_right_that_is_lost(tmp_path: Path) -> None:
    lines = lines_of("forbidden", tmp_path)
    errors = [line["error"] for line in lines if "error" in line]
    looks = [line for line in lines if "fault" in line]
    assert len(errors) == 4
    for error in errors:
        assert "Permission denied" in error
        assert str(tmp_path / "store") in error
    assert all(map(answers, looks)), [line for line in looks if not answers(line)]
    assert {line["ended"] for line in looks if line["fault"] == "next"} == {GOT_THROUGH}


def test_a_clock_that_is_set_back(tmp_path: Path) -> None:
    """By ten years, for one night: the log is not in the future, and names do not go back."""
    write_days(tmp_path / "log")
    library = tmp_path / "clock.so"
    source = str(ROOT / "tests" / "faults" / "clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    set_back = {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(-10 * 365 * 86_400)}
    names = []
    for is_back in (False, True, False):
        done = (
            subprocess.run(
                [*RECSYS, *a_night(tmp_path)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                env={**os.environ, **set_back},
            )
            if is_back
            else run(*a_night(tmp_path))
        )
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        (ingest,) = [one for one in report["stages"] if one["name"] == "ingest"]
        assert ingest["facts"]["rejected"] == 0
        names.append(report["version"])
        assert current(tmp_path / "store") == report["version"]
    years = [line["time"][:4] for line in journal_of(tmp_path) if line["event"] == "started"]
    assert int(years[0]) - min(map(int, years)) == 10  # the clock was really back
    assert names == sorted(names)
    assert [version.name for version in versions(tmp_path / "store")] == names[:0:-1]


def test_two_nights_at_once(tmp_path: Path) -> None:
    write_days(tmp_path / "log")
    night = a_night(tmp_path)
    config = tmp_path / "night.toml"
    config.write_text(config.read_text().replace('log_file = "night.jsonl"\n', ""))
    first = subprocess.Popen(
        [*RECSYS, *night], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert first.stderr is not None
    for line in first.stderr:
        if json.loads(line)["stage"] == "train":
            break
    first.send_signal(signal.SIGSTOP)
    second = run(*night)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    journal, sentence = second.stderr.splitlines()
    assert json.loads(journal)["event"] == "refused"
    assert sentence == (
        f"recsys: store {tmp_path / 'store'}: expected no other night, got one that runs in "
        f"process {first.pid}; let it end, or stop it with SIGTERM"
    )
    first.communicate(timeout=300)
    assert first.returncode == 0
    assert len(versions(tmp_path / "store")) == 1


def test_readers_never_see_a_mix_of_versions(tmp_path: Path) -> None:
    """While versions are published and the one before is pruned at once."""
    publish_number(tmp_path, 1)
    err = tmp_path.with_name(f"{tmp_path.name}.err")
    publisher = start_module("tests.faults.readers", tmp_path, PUBLISHED, err=err)
    seen = [0]
    while publisher.is_alive():
        recommender = open_store(tmp_path)
        listed = list(recommender.recommend("u1", 3))
        number = int(recommender.describe(listed[0].item_id)["title"])
        # A user of one version and items of another would multiply to something else.
        assert [score for _, score in listed] == [4 * number**2] * 3
        again = [score for _, score in recommender.recommend("u2", 3)]
        assert again == [4 * number**2] * 3
        seen.append(number)
    assert publisher.exitcode == 0, err.read_text()
    assert seen == sorted(seen)
    assert len(set(seen)) > 10


@pytest.fixture(scope="module")
def after_a_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("night")
    write_days(place / "log")
    for _ in range(2):
        assert run(*a_night(place)).returncode == 0
    return place


def test_every_region_of_every_file(after_a_night: Path) -> None:
    """A bit is flipped in each part of each file, and it is cut there: `verify` names the file.

    A reader of CURRENT gets an answer all the same: from the version before, with a warning.
    """
    store = after_a_night / "store"
    folder = find_version(store).folder
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        for part in range(PARTS):
            place = part * len(content) // PARTS
            for damaged in (flipped(content, place), content[:place]):
                rewrite(path, damaged)
                with pytest.raises(Exception, match=f"{path.name}:"):
                    verify(store)
                assert is_served(store, path.name)
        rewrite(path, content)
    verify(store)


def is_served(store: Path, damaged: str) -> bool:
    """Whether a list comes from the current version, or from another with the reason."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        recommender = open_store(store)
    has_warned = any(f"{damaged}:" in str(warning.message) for warning in warned)
    assert has_warned or recommender.version == current(store)
    return len(recommender.recommend("u1", 3)) == 3


@pytest.mark.parametrize("name", ["users.parquet", "manifest.json", "../../CURRENT"])
def test_the_night_after_a_damage_mends_it(after_a_night: Path, name: str) -> None:
    store = after_a_night / "store"
    path = (find_version(store).folder / name).resolve()
    content = path.read_bytes()
    rewrite(path, flipped(content, len(content) // 2))
    done = run(*a_night(after_a_night))
    assert done.returncode == 0, done.stderr
    assert verify(store).name == json.loads(done.stdout)["version"]
    assert len(open_store(store).recommend("u1", 3)) == 3


def flipped(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)
