"""The events of a log on Spark: which are used, how they weigh, and what each pair weighs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from recsys.logs.decay import decayed, freshness
from recsys.logs.merging import merged
from recsys.logs.order import last_of_each
from recsys.settings import DuplicatePolicy, LogSettings
from recsys.spark.arrow import map_in_arrow
from recsys.spark.numbering import Numbered, raw_type
from recsys.spark.staged import SIDES, StagedPart, kind_of_ids, path_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS_AT_ONCE = 1 << 20  # that are merged, and those of their last user
_PAIRS = pa.schema(
    [
        ("user_idx", pa.int32()),
        ("item_idx", pa.int32()),
        ("weight", pa.float32()),
        ("fresh", pa.float64()),
    ]
)
PAIRS = "user_idx int, item_idx int, weight float, fresh double"
"""A pair, its weight, and what its user counts in the recent popularity of the item."""


def used_rows(spark: SparkSession, staged: Sequence[StagedPart], folder: Path) -> DataFrame:
    """Return the rows that are used, as they were classified, in any order.

    user_id, item_id, weight, seconds, nanos, and their place in the log: part and line.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for one in staged:
        types = tuple("long" if kind_of_ids(one, side) == "integer" else "string" for side in SIDES)
        alike.setdefault(types, []).append(str(path_of(folder, "rows", one.part)))
    wanted = [f"{raw_type(staged, side)}({side}_id) AS {side}_id" for side in SIDES]
    frames = [
        spark.read.schema(
            f"user_id {user}, item_id {item}, weight float, seconds long, nanos int, "
            "outcome short, line long"
        )
        .parquet(*paths)
        .where("outcome = 0")
        .selectExpr(
            *(one.replace("long(", "bigint(") for one in wanted),
            *("weight", "seconds", "nanos"),
            "int(left(_metadata.file_name, 6)) AS part",
            "line",
        )
        for (user, item), paths in alike.items()
    ]
    return reduce(lambda a, b: a.unionByName(b), frames)


def encoded(rows: DataFrame, users: Numbered, items: Numbered) -> DataFrame:
    """Return the events by row: user_idx, item_idx, weight, seconds, nanos, part, line."""
    user_rows = users.rows.selectExpr("raw AS user_id", "idx AS user_idx")
    item_rows = items.rows.selectExpr("raw AS item_id", "idx AS item_idx")
    found = rows.join(item_rows, "item_id").join(user_rows, "user_id")
    return found.drop("user_id", "item_id")


@dataclass(frozen=True)
class Weighing:
    """How the events of a pair become one weight; as `Interactions` has it."""

    n_items: int
    duplicates: DuplicatePolicy
    half_life_days: float | None
    end: int | None  # from which age is counted back, by half_life_days
    popular_half_life_days: float
    popular_end: int | None  # likewise; None in a log without time
    is_rooted: bool  # whether the fourth root of each weight is taken

    @classmethod
    def of(
        cls,
        settings: LogSettings,
        n_items: int,
        end_of: Callable[[float], int] | None,
        *,
        is_rooted: bool,
    ) -> Weighing:
        """Return that of a log; `end_of` a half-life is None in a log without time."""
        half_life, popular = settings.half_life_days, settings.popular_half_life_days
        return cls(
            n_items,
            settings.duplicates,
            half_life,
            None if half_life is None or end_of is None else end_of(half_life),
            popular,
            None if end_of is None else end_of(popular),
            is_rooted,
        )


def pairs_of(events: DataFrame, weighing: Weighing) -> DataFrame:
    """Return each pair once, see `PAIRS`: all events of a user are merged in one task, in order."""
    order = ["user_idx", "seconds", "nanos", "part", "line"]
    by_user = events.repartition("user_idx").sortWithinPartitions(*order)
    columns = by_user.select("user_idx", "item_idx", "weight", "seconds")
    return map_in_arrow(columns, partial(_merge_all, weighing=weighing), PAIRS)


def _merge_all(batches: Iterator[pa.RecordBatch], weighing: Weighing) -> Iterator[pa.RecordBatch]:
    for table in whole_users(batches, ROWS_AT_ONCE):
        yield merge(table, weighing)


def whole_users(batches: Iterator[pa.RecordBatch], n_rows: int) -> Iterator[pa.Table]:
    """Yield the rows of sorted batches in tables of about so many, no user cut."""
    held: list[pa.RecordBatch] = []
    n_held = 0
    for batch in batches:
        held.append(batch)
        n_held += batch.num_rows
        if n_held < n_rows:
            continue
        table = pa.Table.from_batches(held)
        users = table["user_idx"].to_numpy()
        first = int(np.searchsorted(users, users[-1]))  # of the last user, who may go on
        if first:
            yield table.slice(0, first)
        held = table.slice(first).to_batches()
        n_held = table.num_rows - first
    if n_held:
        yield pa.Table.from_batches(held)


def merge(table: pa.Table, weighing: Weighing) -> pa.RecordBatch:
    """Merge the events of some users, in order, into pairs."""
    user, item, weight = (table[name].to_numpy() for name in ("user_idx", "item_idx", "weight"))
    first = int(user[0])
    user = user - first
    shape = (int(user[-1]) + 1, weighing.n_items)
    seconds = None if weighing.popular_end is None else table["seconds"].to_numpy()
    weight = np.ones_like(weight) if weighing.duplicates == "count" else weight
    if weighing.is_rooted:
        weight = np.sqrt(np.sqrt(weight))
    if seconds is not None and weighing.half_life_days is not None and weighing.end is not None:
        weight = decayed(weight, seconds, weighing.end, weighing.half_life_days)
    matrix = merged(user, item, weight, seconds, weighing.duplicates, shape)
    rows = np.repeat(np.arange(shape[0], dtype=np.int32), np.diff(matrix.indptr))
    fresh = pa.nulls(matrix.nnz, pa.float64())
    if seconds is not None and weighing.popular_end is not None:
        latest = last_of_each(user.astype(np.int64) * shape[1] + item, seconds)
        fresh = pa.array(
            freshness(seconds[latest], weighing.popular_end, weighing.popular_half_life_days)
        )
    columns = [rows + first, matrix.indices.astype(np.int32), matrix.data]
    return pa.RecordBatch.from_arrays([*map(pa.array, columns), fresh], schema=_PAIRS)
