"""A service that refreshes its store between two nights."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.nightly import run_night, run_refresh
from recsys.service import Service
from recsys.service.refresher import Refresher, refresh_metrics
from tests.nightly.nights import settings_of, write_days
from tests.nightly.test_refresh import write_new
from tests.service.asking import get, post
from tests.service.servers import PATIENCE, serving

REPORT = {
    "version": "v",
    "seconds": 0.5,
    "stages": [
        {"name": "fold_in", "facts": {"users": 2}},
        {"name": "publish", "facts": {"version": "v"}},
    ],
}


def refresher(program: str, folder: Path) -> Refresher:
    made = Refresher((), 60.0, folder)
    made._command = [sys.executable, "-c", program]
    return made


def test_what_became_of_refreshes_is_logged_and_counted(tmp_path: Path, caplog) -> None:
    caplog.set_level("INFO", "recsys.service")
    idle = {**REPORT, "stages": [{"name": "publish", "facts": {"nothing_new": True}}]}
    programs = [
        f"print({json.dumps(REPORT)!r})",
        f"print({json.dumps(idle)!r})",
        "import sys; print('{\"a\": 1}', file=sys.stderr); sys.exit('recsys: no disk')",
        "print('no report')",
        "import os; os.kill(os.getpid(), 9)",
    ]
    one = refresher("", tmp_path)
    for program in programs:
        one._command[-1] = program
        one.refresh()
    facts = [record.facts for record in caplog.records]
    results = ["published", "nothing_new", "failed", "failed", "failed"]
    assert [fact["result"] for fact in facts] == results
    assert facts[0] == {"result": "published", "version": "v", "seconds": 0.5, "users": 2}
    assert facts[2]["error"] == "recsys: no disk"
    assert facts[4]["error"] == "it was ended by SIGKILL"
    text = "".join(refresh_metrics(tmp_path))
    for result, n in (("published", 1), ("nothing_new", 1), ("failed", 3)):
        assert f'recsys_service_refreshes_total{{result="{result}"}} {n}.0' in text
    assert "recsys_service_last_refresh_timestamp_seconds" in text
    assert not list(refresh_metrics(tmp_path / "another"))


def test_it_stops_what_runs(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    one = refresher(f"open({str(runs)!r}, 'w'); import time; time.sleep(600)", tmp_path)
    one._seconds = 0.0
    with one:
        while not runs.exists():
            time.sleep(0.01)
    assert one._process is not None
    assert one._process.returncode is not None
    assert not one._thread.is_alive()


def test_a_server_takes_up_what_its_refresh_publishes(tmp_path: Path) -> None:
    pytest.importorskip("granian", reason="make install brings what serves")
    write_days(tmp_path / "log")
    run_night(settings_of(tmp_path))
    write_new(tmp_path)
    options = ("--store", tmp_path / "store", "--set", "service.refresh_minutes=0.01")
    with serving(*options) as server:
        end = time.monotonic() + PATIENCE
        answer: tuple[int, bytes] = (0, b"")
        while answer[0] != 200:
            answer = server.get("/v1/users/u60/recommendations?on_unknown=raise&k=3")
            assert answer[0] in (200, 404)
            assert time.monotonic() < end
            time.sleep(0.05)
        assert json.loads(answer[1])["source"] == "personal"


def test_events_count_after_a_refresh_as_before(tmp_path: Path) -> None:
    """No item is new: a user whom the version knew gets the list of before the refresh."""
    write_days(tmp_path / "log")
    settings = settings_of(tmp_path)
    settings = replace(settings, gates=replace(settings.gates, enabled=False))
    run_night(settings)
    service = Service(tmp_path / "store", events=settings.events).open()
    pairs = [("u1", "i5"), ("u1", "i6"), ("new", "i0"), ("new", "i4"), ("new", "i4")]
    events = [{"user_id": user, "item_id": item} for user, item in pairs]
    assert post(service, "/v1/events", {"events": events}).json()["added"] == 5

    def lists() -> list[dict[str, Any]]:
        users = ("u1", "u2", "new")
        return [get(service, f"/v1/users/{user}/recommendations", k=30).json() for user in users]

    before = lists()
    assert [one["source"] for one in before] == ["fold_in", "personal", "fold_in"]
    report = run_refresh(settings)
    assert report.facts("fold_in") == {
        "users": 1,
        "items": 0,
        "pairs": 4,
        "users_left_out": 0,
        "described": 0,
    }
    service._refresh()
    for old, new in zip(before, lists(), strict=True):
        assert (new["version"], new["source"]) == (report.version, old["source"])
        assert [one["item_id"] for one in new["items"]] == [one["item_id"] for one in old["items"]]
        scores = [[one["score"] for one in found["items"]] for found in (old, new)]
        np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-5)
    service.live.stop()
