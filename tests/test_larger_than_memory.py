"""A log whose columns are mapped from files gives the same version, to the last bit."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import recsys
from recsys.base import mapped
from recsys.base.locks import share
from recsys.base.mapped import folder_of
from recsys.evaluation.held_out import NOT_DRAWN
from recsys.logs import Interactions, read_log, summarize


def table() -> pa.Table:
    """Events in no order of time, most of which repeat a pair, some of one second."""
    rng = np.random.default_rng(0)
    n = 6000
    return pa.table(
        {
            "user_id": [f"u{one}" for one in (200 * rng.random(n) ** 1.5).astype(int)],
            "item_id": [f"i{one}" for one in (150 * rng.random(n) ** 2).astype(int)],
            "timestamp": 1_700_000_000 + 3600 * rng.integers(0, 3000, n),
            "value": rng.integers(1, 6, n),
        }
    )


@pytest.fixture
def both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> tuple[Interactions, Interactions]:
    """The same log, in memory and mapped."""
    monkeypatch.setattr(mapped, "_SMALL", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    settings: dict[str, Any] = getattr(request, "param", {})
    return tuple(read_log(table(), max_memory=most, **settings) for most in ("1GB", "1kB"))


@pytest.mark.parametrize(
    "both",
    [
        {},
        {"duplicates": "last", "half_life_days": 10.0},
        {"duplicates": "max"},
        {"duplicates": "count", "columns": {"timestamp": ""}},
    ],
    indirect=True,
)
def test_what_is_made_of_a_log(both: tuple[Interactions, Interactions], tmp_path: Path) -> None:
    plain, large = both
    assert folder_of(plain.weight) is None
    assert folder_of(large.weight) == folder_of(large.user_items().indices) == tmp_path
    for one in ("user_idx", "item_idx", "weight", "timestamp"):
        np.testing.assert_array_equal(getattr(plain, one), getattr(large, one))
    for name in ("indptr", "indices", "data"):
        a, b = (getattr(one.user_items(), name) for one in both)
        np.testing.assert_array_equal(a, b)
    recent = [one.recent_popularity(30.0) for one in both]
    assert recent[0] is None or (recent[0] == recent[1]).all()
    assert summarize(plain).to_dict() == summarize(large).to_dict()


def test_training_on_it_publishes_the_same_files(
    both: tuple[Interactions, Interactions], tmp_path: Path
) -> None:
    versions = [
        recsys.train(log, tmp_path / name, model=recsys.ALS(8, iterations=2))
        for log, name in zip(both, ("plain", "large"), strict=True)
    ]
    files, others = ({k: v.sha256 for k, v in one.manifest.files.items()} for one in versions)
    assert files == others
    metrics = [one.manifest.metrics["als"].to_dict() for one in versions]
    assert metrics[0] == metrics[1]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["large", "plain"]


def test_what_a_killed_process_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("left", "held", "new"):
        (tmp_path / f"recsys-reading-{name}").mkdir()
        (tmp_path / f"recsys-reading-{name}" / "1.parquet").touch()
    for name in ("left", "held"):
        os.utime(tmp_path / f"recsys-reading-{name}", (0, 0))
    descriptor = os.open(tmp_path / "recsys-reading-held", os.O_RDONLY)
    share(descriptor)
    read_log(table().slice(0, 10))
    os.close(descriptor)
    assert {one.name for one in tmp_path.iterdir()} == {"recsys-reading-held", "recsys-reading-new"}


def test_a_large_test_draws_its_users(both: tuple[Interactions, Interactions]) -> None:
    train, test = recsys.split_by_time(both[1])
    model = recsys.ALS(8, iterations=2).fit(train)
    everybody, some = (recsys.evaluate(model, train, test, most_users=n) for n in (10**6, 50))
    assert NOT_DRAWN not in everybody.left_out
    assert some.n_users == 50
    assert some.left_out[NOT_DRAWN] == everybody.n_users - 50
    drawn = np.isin(everybody.user_idx, some.user_idx)
    for name, values in some.per_user.items():
        np.testing.assert_array_equal(values, everybody.per_user[name][drawn], name)
    ordered = {k: v for k, v in everybody.left_out.items() if k != NOT_DRAWN}
    assert ordered == {k: v for k, v in some.left_out.items() if k != NOT_DRAWN}
