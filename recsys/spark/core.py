"""Minimum counts on Spark: users and items with too few of the others are left out."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.settings import LogSettings
from recsys.spark.numbering import Numbered, in_order

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True, eq=False)
class Core:
    """What is left of a log: its events by their new rows, and who has these."""

    events: DataFrame
    users: Numbered
    items: Numbered


def require_counts(settings: LogSettings) -> bool:
    """Whether the settings ask for minimum counts."""
    return settings.min_user_items > 1 or settings.min_item_users > 1


def core_of(
    events: DataFrame, users: Numbered, items: Numbered, settings: LogSettings, folder: Path
) -> Core | None:
    """Return what `keep_minimum_counts` leaves on one machine; None where nothing is left."""
    pairs = _kept(events.select("user_idx", "item_idx").distinct(), folder / "core-0")
    least = {"user_idx": settings.min_user_items, "item_idx": settings.min_item_users}
    n_before, number = -1, 0
    while True:
        enough = [
            pairs.groupBy(side).count().where(f"count >= {n}").select(side)
            for side, n in least.items()
        ]
        for one in enough:
            pairs = pairs.join(one, one.columns, "left_semi")
        number += 1
        pairs = _kept(pairs, folder / f"core-{number}")
        shutil.rmtree(folder / f"core-{number - 1}", ignore_errors=True)
        n = pairs.count()
        if n == 0:
            return None
        if not settings.k_core or n == n_before:
            break
        n_before = n
    new_users = in_order(pairs.selectExpr("user_idx AS id").distinct(), folder / "users-left")
    new_items = in_order(pairs.selectExpr("item_idx AS id").distinct(), folder / "items-left")
    shutil.rmtree(folder / f"core-{number}", ignore_errors=True)
    left = events
    for side, new in (("user_idx", new_users), ("item_idx", new_items)):
        rows = new.rows.selectExpr(f"raw AS {side}", "idx AS new_idx")
        left = left.join(rows, side).drop(side).withColumnRenamed("new_idx", side)
    return Core(left, _renumbered(users, new_users), _renumbered(items, new_items))


def _kept(frame: DataFrame, folder: Path) -> DataFrame:
    """Write a frame and read it back, so that each round begins from files."""
    frame.write.mode("overwrite").parquet(str(folder))
    return frame.sparkSession.read.schema(frame.schema).parquet(str(folder))


def _renumbered(old: Numbered, new: Numbered) -> Numbered:
    rows = new.rows.selectExpr("raw AS idx", "idx AS new_idx")
    ids = old.ids.join(rows, "idx").selectExpr("id", "new_idx AS idx")
    return Numbered(ids, ids.withColumnRenamed("id", "raw"), new.n)
