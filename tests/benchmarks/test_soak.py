"""The soak of benchmarks.soak, for a few seconds: nothing fails, mixes or gets lost."""

from pathlib import Path

import pytest

from benchmarks.soak import Soak, run, served
from recsys.settings import IndexSettings
from recsys.store import publish

pytest.importorskip("granian", reason="make install brings what serves")


def test_a_service_takes_up_versions_while_it_answers(tmp_path: Path) -> None:
    soak = Soak(tmp_path / "store", 0, 3.0, 60.0, 20.0, 0.8, n_users=300, n_items=200)
    publish(soak.store, soak.release(0), IndexSettings(kind="exact"))
    soak.write_log()
    with served(soak.store, 2) as (pid, soak.port):
        run(soak, pid)
    assert soak.failures == []
    assert soak.n_lost() == 0
    assert soak.n_requests
    assert soak.n_acknowledged == soak.n_lists_after_events > 0
    assert len(soak.numbers) > 1  # answers of several versions were seen
    (refused,) = (
        line for line in soak.metrics.splitlines() if line.startswith("recsys_service_refused")
    )
    assert refused.endswith(" 0.0")


def test_the_soak_sees_what_is_wrong(tmp_path: Path) -> None:
    soak = Soak(tmp_path, 0, 1.0, 1.0, 1.0, 1.0)
    items = [{"item_id": "i1", "title": "i1 of 3"}, {"item_id": "i2", "title": "i2 of 4"}]
    soak._check("/a", {"x-recsys-version": "v3"}, {"version": "v3", "items": items})
    soak._check("/b", {"x-recsys-version": "v5"}, {"version": "v6", "items": []})
    soak._check("/c", {"x-recsys-version": "v3"}, {"version": "v3", "items": items[:1]})
    soak._check("/d", {"x-recsys-version": "v3"}, {"version": "v3", "items": items[1:]})
    assert [one.partition(":")[0] for one in soak.failures] == ["/a", "/b", "/d"]
