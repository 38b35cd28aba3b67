"""A log on Spark is the log on one machine: counts, rejects, rows, weights, order."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.logs import LogSettings
from tests.spark.logs import NOON, read_locally, read_on_spark, require_same

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = 86_400


def events(n: int, seed: int, *, users: int = 40, items: int = 30) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "user_id": [f"u{one}" for one in random.integers(users, size=n)],
            "item_id": random.integers(items, size=n),
            "event": random.choice(["view", "buy", "look"], size=n),
            "value": random.lognormal(0, 2, size=n).astype(np.float32),
            "timestamp": NOON - random.integers(90 * DAY, size=n),
        }
    )


WEIGHED: list[dict[str, Any]] = [
    {"half_life_days": 20.0, "events": {"view": 1.0, "buy": 3.0, "*": 0.0}},
    {"duplicates": "last", "min_user_items": 20, "min_item_users": 22, "k_core": True},
    {"duplicates": "max", "min_item_users": 24, "value_scale": "log"},
    {"duplicates": "count", "min_value": 0.5},
]


@pytest.mark.parametrize("settings", WEIGHED, ids=lambda one: next(iter(one)))
def test_weights_and_rows_are_those_of_one_machine(
    spark: "SparkSession", tmp_path: Path, settings: dict[str, Any]
) -> None:
    log = [str(tmp_path / f"{n}.parquet") for n in range(2)]
    for seed, path in enumerate(log):
        pq.write_table(events(1_500, seed), path)
    how = LogSettings(**settings)
    found = read_on_spark(spark, log, how, tmp_path / "work")
    require_same(found, read_locally(log, how), how.popular_half_life_days)
