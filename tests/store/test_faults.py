"""Publishers die, disks fill up, readers read on: for real, in processes of their own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from recsys.serving import open as open_store
from recsys.store import current, find_version, publish, versions
from tests.store.faults import GOT_THROUGH
from tests.store.releases import small_release

ROOT = Path(__file__).parents[2]


def start(mode: str, store: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.faults", mode, str(store)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


def lines_of(mode: str, store: Path) -> list[dict]:
    process = start(mode, store)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return [json.loads(line) for line in output.splitlines()]


def test_a_publisher_killed_before_any_of_its_file_operations(tmp_path: Path) -> None:
    """CURRENT opens and answers after every kill, and the next publish goes through."""
    first = publish(tmp_path, small_release()).name
    reports = lines_of("kill", tmp_path)
    *killed, last = reports
    assert len(killed) > 20
    assert {line["ended"] for line in killed} == {-signal.SIGKILL}
    assert last["ended"] == GOT_THROUGH
    served = first
    for line in killed:
        # Each version that is visible was verified by the reporter before it answered.
        assert line["current"] == line["answered"] in line["versions"]
        assert line["items"] == 3
        if line["current"] != served:  # dead after it had put CURRENT in place
            assert line["current"] == line["versions"][0]
            served = line["current"]
    assert last["current"] == last["answered"] == current(tmp_path) != served
    visible = {path.name for path in (tmp_path / "versions").iterdir()}
    assert visible == set(last["versions"])  # and nothing half-made is left


def test_a_disk_that_is_full_at_any_size(tmp_path: Path) -> None:
    first = publish(tmp_path, small_release()).name
    lines = lines_of("full", tmp_path)
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


def test_readers_see_whole_versions_while_others_publish(tmp_path: Path) -> None:
    publish(tmp_path, small_release())
    process = start("loop", tmp_path)
    served = []
    while process.poll() is None:
        recommender = open_store(tmp_path)
        answer = recommender.recommend("u1", 3)
        assert len(answer) == 3
        served.append(answer.version)
    assert process.returncode == 0
    assert process.stdout is not None
    process.stdout.close()
    assert len(versions(tmp_path)) == 13
    assert open_store(tmp_path).version == find_version(tmp_path).name
    changes = [
        name for name, before in zip(served, [None, *served], strict=False) if name != before
    ]
    assert len(changes) == len(set(changes)), "CURRENT went back"


def test_two_publishers_at_once_both_get_through(tmp_path: Path) -> None:
    publish(tmp_path, small_release())
    processes = [start("loop", tmp_path) for _ in range(2)]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert len(versions(tmp_path)) == 25
    assert current(tmp_path) in {version.name for version in versions(tmp_path)}
