"""Publishers die, disks fill up, readers read on: for real, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from recsys.serving import open as open_store
from recsys.serving import recommend
from recsys.store import current, find_version, pin, publish, rollback, verify, versions
from tests.command_line import run_module, start_module
from tests.forks import GOT_THROUGH
from tests.store.releases import small_release

ROOT = Path(__file__).parents[2]


def lines_of_process(mode: str, store: Path) -> list[dict]:
    """Have a process of its own work, whose own forks are cheaper, and which prints to a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.faults", mode, str(store)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        timeout=900,
    )
    assert done.returncode == 0
    return [json.loads(line) for line in done.stdout.splitlines()]


def lines_of(mode: str, store: Path) -> list[dict]:
    """Have a fork of the server work, which costs no start of Python."""
    done = run_module("tests.store.faults", mode, store, timeout=900)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_publisher_killed_before_any_of_its_file_operations(tmp_path: Path) -> None:
    """CURRENT opens and answers after every kill, and the next publish goes through."""
    first = publish(tmp_path, small_release()).name
    reports = lines_of_process("kill", tmp_path)
    *killed, last = reports
    assert len(killed) > 20
    assert {line["ended"] for line in killed} == {-signal.SIGKILL}
    assert last["ended"] == GOT_THROUGH
    served = first
    for line in killed:
        # Each version was verified by the reporter when it was first visible, before it answered.
        assert line["current"] == line["answered"] in line["versions"]
        assert line["items"] == 3
        if line["current"] != served:  # killed after it had replaced CURRENT
            assert line["current"] == line["versions"][0]
            served = line["current"]
    assert last["current"] == last["answered"] == current(tmp_path) != served
    visible = {path.name for path in (tmp_path / "versions").iterdir()}
    assert visible == set(last["versions"])  # and nothing half-made is left
    for name in visible:
        verify(tmp_path, name)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of four versions; the second is current, the first one is pinned."""
    store = tmp_path_factory.mktemp("four") / "store"
    names = [publish(store, small_release(seed=seed)).name for seed in range(4)]
    rollback(store)
    rollback(store)
    pin(store, names[0])
    return store


@pytest.mark.parametrize("what", ["activate", "rollback", "pin", "unpin", "prune"])
def test_a_writer_killed_before_any_of_its_file_operations(four: Path, what: str) -> None:
    """Either nothing has happened or all of it, whole versions answer, and a prune goes through."""
    names = sorted(version.name for version in versions(four))
    lines = lines_of(f"kill-{what}", four)
    reports = [line for line in lines if "ended" in line]
    assert [line["ended"] for line in reports[:-1]] == [-signal.SIGKILL] * (len(reports) - 1)
    assert reports[-1]["ended"] == GOT_THROUGH
    assert len(reports) > 5
    old = {"current": names[1], "before": names[0], "pinned": names[:1]}
    new = (
        old
        | {
            "activate": {"current": names[3], "before": names[1]},
            "rollback": {"current": names[0], "before": None},
            "pin": {"pinned": [names[0], names[2]]},
            "unpin": {"pinned": []},
            "prune": {},
        }[what]
    )
    for line in reports:
        assert {key: line[key] for key in old} in (old, new)
        assert line["current"] == line["answered"] == line["activated"]
        assert line["items"] == 3
        assert set(names) - set(line["versions"]) <= ({names[2]} if what == "prune" else set())
    assert {key: reports[0][key] for key in old} == old
    assert {key: reports[-1][key] for key in old} == new
    pruned = [line for line in lines if "pruned" in line]
    assert len(pruned) == len(reports)
    for line, after in zip(reports, pruned, strict=True):  # and nothing half deleted is left
        keeps = {line["current"], line["before"], names[3], *line["pinned"]}
        assert set(after["left"]) == keeps - {None}


def test_an_exporter_killed_before_any_of_its_file_operations(four: Path) -> None:
    """There is a whole folder or none."""
    *killed, last = lines_of("export", four)
    assert last["ended"] == GOT_THROUGH
    assert set(last["files"]) == {
        *(f"{kind}.npy" for kind in ("users", "items")),
        *(f"{kind}_ids.jsonl" for kind in ("users", "items")),
        "export.json",
    }
    assert len(killed) >= 7
    for line in killed:
        assert line["ended"] == -signal.SIGKILL
        assert line["files"] in ({}, last["files"])


def test_readers_open_while_others_are_activated_and_theirs_is_pruned(four: Path) -> None:
    """At every step of opening: the answer is of the old version, which then stays, or the new."""
    names = sorted(version.name for version in versions(four))
    *lines, last = lines_of("reader", four)
    assert last == {"ended": 0}
    assert len(lines) > 20
    for line in lines:
        assert line["items"] == [3, 3, 3]
        assert line["title"] == "Title 1"
        assert line["there"]
    answered = [line["answered"] for line in lines]
    assert set(answered) == {names[0], names[2]}
    first_held = answered.index(names[0])
    assert set(answered[first_held:]) == {names[0]}


def test_a_disk_that_is_full_at_any_size(tmp_path: Path) -> None:
    first = publish(tmp_path, small_release()).name
    lines = lines_of_process("full", tmp_path)
    refused = [line for line in lines if "refused" in line]
    reports = [line for line in lines if "ended" in line]
    assert len(refused) >= 4
    for line in refused:
        assert line["error"].startswith(f"store {tmp_path}: expected to ")
        assert "its disk has space left" in line["error"]
    for line in reports:
        assert line["ended"] == GOT_THROUGH
        assert line["current"] == line["answered"]
        assert line["debris"] == []
        assert line["items"] == 3
    assert reports[0]["current"] == first
    assert lines[-2] == {"published": 10**9}
    assert reports[-1]["current"] != first


@contextmanager
def publishing(mode: str, store: Path) -> Iterator[BaseProcess]:
    """Let a fork of the server publish while the block runs, and to its end."""
    err = store.with_name(f"{store.name}.err")
    process = start_module("tests.store.faults", mode, store, err=err)
    yield process
    process.join(900)
    assert process.exitcode == 0, err.read_text()


def test_readers_see_whole_versions_while_others_publish(tmp_path: Path) -> None:
    publish(tmp_path, small_release())
    served = []
    with publishing("loop", tmp_path) as process:
        while process.is_alive():
            recommender = open_store(tmp_path)
            answer = recommender.recommend("u1", 3)
            assert len(answer) == 3
            served.append(answer.version)
    assert len(versions(tmp_path)) == 13
    assert open_store(tmp_path).version == find_version(tmp_path).name
    changes = [
        name for name, before in zip(served, [None, *served], strict=False) if name != before
    ]
    assert len(changes) == len(set(changes)), "CURRENT went back"


def test_readers_read_on_while_versions_are_published_and_pruned(tmp_path: Path) -> None:
    publish(tmp_path, small_release())
    with publishing("pruning-loop", tmp_path) as process:
        while process.is_alive():
            assert len(open_store(tmp_path).recommend("u1", 3)) == 3
            assert len(recommend("nobody", 3, store=tmp_path)) == 3
    assert len(versions(tmp_path)) <= 4  # those that were open here for the last prune


def test_two_publishers_at_once_both_get_through(tmp_path: Path) -> None:
    publish(tmp_path, small_release())
    with publishing("loop", tmp_path), publishing("loop", tmp_path):
        pass
    assert len(versions(tmp_path)) == 25
    assert current(tmp_path) in {version.name for version in versions(tmp_path)}
