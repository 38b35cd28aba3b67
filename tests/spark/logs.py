"""A log read by both engines, as rows that can be compared."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from recsys.config import Settings
from recsys.logs import Interactions, LogSettings, RowCounts, read_log, summarize
from recsys.settings import DataSettings
from recsys.spark import SparkLog, read

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NOON = 1_700_000_000
LATER = NOON + 86_400


def read_on_spark(
    spark: "SparkSession", log: Sequence[str], settings: LogSettings, folder: Path, **how: Any
) -> SparkLog:
    data = DataSettings(log=list(log))
    return read(Settings(data=data, log=settings), spark, folder=folder, now=LATER, **how)


def read_locally(log: Sequence[str], settings: LogSettings, **how: Any) -> Interactions:
    return read_log([*map(str, log)], settings, now=LATER, **how)


def without_place(counts: Any) -> Any:
    """Counts without the name of the rejects file, which each reader has its own of."""
    return replace(counts, rejects_file=None) if isinstance(counts, RowCounts) else counts


def require_same(found: SparkLog, log: Interactions, recent: float) -> None:
    """Compare all that a log is, row by row."""
    assert without_place(found.row_counts) == without_place(log.row_counts)
    for name in ("columns", "is_rooted", "notes"):
        assert getattr(found.row_counts, name) == getattr(log.row_counts, name), name
    summary, of_one = found.summary, summarize(log)
    assert summary is not None
    for name in ("events", "users", "items", "window", "days", "hours", "row_counts"):
        assert without_place(getattr(summary, name)) == without_place(getattr(of_one, name)), name
    assert summary.mean_weight == pytest.approx(of_one.mean_weight)
    users = dict(sorted(map(tuple, found.users.collect())))
    items = sorted(map(tuple, found.items.collect()))
    assert users == dict(enumerate(log.users.values.to_pylist()))
    assert [one[:2] for one in items] == list(enumerate(log.items.values.to_pylist()))
    assert (found.n_users, found.n_items) == (len(log.users), len(log.items))
    expected = log.user_items()
    table = found.pairs.orderBy("user_idx", "item_idx").toArrow()
    rows = np.repeat(np.arange(expected.shape[0]), np.diff(expected.indptr))
    np.testing.assert_array_equal(table["user_idx"].to_numpy(), rows)
    np.testing.assert_array_equal(table["item_idx"].to_numpy(), expected.indices)
    np.testing.assert_array_equal(table["weight"].to_numpy(), expected.data)  # bit by bit
    counts = np.bincount(expected.indices, minlength=expected.shape[1])
    np.testing.assert_array_equal([one[2] for one in items], counts)
    popular = log.recent_popularity(recent)
    if popular is None:
        assert {one[3] for one in items} == {None}
    else:
        np.testing.assert_allclose(np.array([one[3] for one in items]), popular, rtol=1e-6)
