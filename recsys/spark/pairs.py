"""Pairs of a log as arrays in files: what Spark hands over once, cut by blocks of both sides.

Each part of the pairs is written twice, in the order of the blocks of users and in that of items,
with where each block begins: what a shuffle does, on storage that all executors see anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.spark.arrow import map_in_arrow, one_row
from recsys.spark.blocks import Cut, block_path, make_folder, read_array, write_block

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SideName = Literal["users", "items"]
_PAIRS_PER_PART = 8_000_000
_PARTS_PER_PARTITION = 100_000  # at most; numbers of parts tell the partition
_PART = "part long, n_pairs long, weight double"
_PART_SCHEMA = pa.schema({"part": pa.int64(), "n_pairs": pa.int64(), "weight": pa.float64()})
_COLUMNS: dict[SideName, str] = {"users": "user_idx", "items": "item_idx"}


@dataclass(frozen=True, eq=False)
class Pairs:
    """All pairs of a log, in parts.

    Parameters
    ----------
    parts : list of int
        Numbers of the parts.
    user_counts, item_counts : ndarray of int32
        Pairs of each user and of each item.
    mean_weight : float
        By which weights are divided, as `recsys.models.protocol.mean_weight_of` has it.
    """

    folder: Path
    parts: list[int]
    user_counts: NDArray[np.int32]
    item_counts: NDArray[np.int32]
    mean_weight: float

    @property
    def n(self) -> int:
        """How many there are."""
        return int(self.item_counts.sum(dtype=np.int64))

    def counts(self, side: SideName) -> NDArray[np.int32]:
        """Return the pairs of each row of a side."""
        return self.user_counts if side == "users" else self.item_counts


@dataclass(frozen=True)
class _Shape:
    folder: str
    n_users: int
    n_items: int


def write_pairs(frame: DataFrame, folder: Path, n_users: int, n_items: int) -> Pairs:
    """Write the pairs of a DataFrame (user_idx, item_idx, weight), and count them."""
    make_folder(folder)
    columns = frame.select("user_idx", "item_idx", "weight")
    shape = _Shape(str(folder), n_users, n_items)
    found = map_in_arrow(columns, partial(_write_parts, shape=shape), _PART).toArrow()
    parts = sorted(found["part"].to_pylist())
    counts = [np.zeros(n, dtype=np.int32) for n in (n_users, n_items)]
    for part in parts:
        for total, side in zip(counts, _COLUMNS, strict=True):
            total += read_array(block_path(folder, part, f"{side}-counts"))
    n_pairs = sum(found["n_pairs"].to_pylist())
    mean = sum(found["weight"].to_pylist()) / n_pairs if n_pairs else 1.0
    return Pairs(folder, parts, counts[0], counts[1], 1.0 if abs(mean - 1) < 1e-6 else mean)


def _write_parts(batches: Iterator[pa.RecordBatch], shape: _Shape) -> Iterator[pa.RecordBatch]:
    """Write the pairs of a partition, part by part; runs in the executors."""
    from pyspark import TaskContext

    context = TaskContext.get()
    number = (context.partitionId() if context else 0) * _PARTS_PER_PARTITION
    for table in _gathered(batches):
        users, items, weight = (column.to_numpy() for column in table.columns)
        arrays = {
            "users": users.astype(np.int32, copy=False),
            "items": items.astype(np.int32, copy=False),
            "weight": weight.astype(np.float32, copy=False),
            "users-counts": np.bincount(users, minlength=shape.n_users).astype(np.int32),
            "items-counts": np.bincount(items, minlength=shape.n_items).astype(np.int32),
        }
        write_block(Path(shape.folder), number, arrays)
        total = float(arrays["weight"].sum(dtype=np.float64))
        yield one_row(_PART_SCHEMA, number, len(weight), total)
        number += 1


def _gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield tables of about as many pairs as a part has."""
    kept: list[pa.RecordBatch] = []
    n_kept = 0
    for batch in batches:
        kept.append(batch)
        n_kept += batch.num_rows
        if n_kept >= _PAIRS_PER_PART:
            yield pa.Table.from_batches(kept)
            kept, n_kept = [], 0
    if n_kept:
        yield pa.Table.from_batches(kept)


def cut_parts(spark: SparkSession, pairs: Pairs, cuts: dict[SideName, Cut]) -> None:
    """Write each part in the order of the blocks of both sides."""
    blocks = spark.createDataFrame([(part,) for part in pairs.parts], "part long")
    each = blocks.repartition(max(1, len(pairs.parts)))
    work = partial(_cut_parts, folder=pairs.folder, cuts=cuts)
    map_in_arrow(each, work, _PART).toArrow()


def _cut_parts(
    batches: Iterator[pa.RecordBatch], folder: Path, cuts: dict[SideName, Cut]
) -> Iterator[pa.RecordBatch]:
    """Cut the parts whose numbers come; runs in the executors."""
    for batch in batches:
        for part in batch.column(0).to_pylist():
            arrays: dict[str, NDArray[Any]] = {
                name: read_array(block_path(folder, part, name)) for name in _PAIR
            }
            for side, cut in cuts.items():
                write_block(folder, part, _in_blocks(arrays, side, cut))
            yield one_row(_PART_SCHEMA, part, 0, 0.0)


def _in_blocks(
    arrays: Mapping[str, NDArray[Any]], side: SideName, cut: Cut
) -> dict[str, NDArray[Any]]:
    """Return pairs in the order of the blocks of a side, and where each block starts."""
    blocks = cut.blocks_of(arrays[side]).astype(np.uint16)  # which sort by counting
    order = np.argsort(blocks, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(blocks, minlength=len(cut)))])
    cut_up = {f"{name}-by-{side}": array[order] for name, array in arrays.items()}
    return {**cut_up, f"starts-by-{side}": starts}


_PAIR = ("users", "items", "weight")


def pairs_of_block(
    folder: Path, parts: list[int], side: SideName, block: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Return the users, the items and the weights of the pairs in a block of one side."""
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in _PAIR}
    for part in parts:
        starts = read_array(block_path(folder, part, f"starts-by-{side}"))
        for name, arrays in found.items():
            array = read_array(block_path(folder, part, f"{name}-by-{side}"))
            arrays.append(array[starts[block] : starts[block + 1]])
    users, items, weight = (np.concatenate(found[name]) for name in _PAIR)
    return users, items, weight
