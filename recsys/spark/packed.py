"""Pairs packed once: each block of rows as a CSR matrix in files, weights as ALS fits them.

The pairs of a partition are cut by block in Python, so that what Spark shuffles are a few large
binary values and no rows of 12 bytes. A half-sweep maps the files: no pair travels again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.threads import ranges_of_equal_work
from recsys.models.als.sweep import CHUNK, items_at, users_at_zero, weighted
from recsys.models.protocol import power_of_counts
from recsys.spark.arrow import map_in_arrow, one_row
from recsys.spark.blocks import Cut, block_path, make_folder, read_array, write_block

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from recsys.models import ALS

SideName = Literal["users", "items"]
PAIRS_PER_BLOCK = 16_000_000
_PAIRS_AT_ONCE = 4_000_000  # of a partition, cut by block
_CHUNKS = "block int, rows binary, columns binary, weight binary"
_DONE = "block int, n_pairs long"
_FEW_CHUNKS = 16  # of CHUNK rows in a block: below, edges stay where the work is equal


@dataclass(frozen=True, eq=False)
class Population:
    """What is known of all pairs before they are packed.

    Parameters
    ----------
    user_counts, item_counts : ndarray of int32
        Pairs of each user and of each item.
    mean_weight : float
        By which weights are divided, as `recsys.models.protocol.mean_weight_of` has it.
    """

    user_counts: NDArray[np.int32]
    item_counts: NDArray[np.int32]
    mean_weight: float

    @property
    def n_pairs(self) -> int:
        """All pairs."""
        return int(self.item_counts.sum(dtype=np.int64))

    def counts(self, side: SideName) -> NDArray[np.int32]:
        """Return the pairs of each row of a side."""
        return self.user_counts if side == "users" else self.item_counts


def population_of(pairs: DataFrame, n_users: int, n_items: int) -> Population:
    """Count the pairs of every row, and take the mean of their weights."""
    from pyspark.sql.functions import mean

    of_users = _counted(pairs, "user_idx", n_users)
    of_items = _counted(pairs, "item_idx", n_items)
    found = pairs.select(mean(pairs["weight"].cast("double"))).first()
    average = 1.0 if found is None or found[0] is None else float(found[0])
    return Population(of_users, of_items, 1.0 if abs(average - 1) < 1e-6 else average)


def _counted(pairs: DataFrame, column: str, n_rows: int) -> NDArray[np.int32]:
    table = pairs.groupBy(column).count().toArrow()
    counts = np.zeros(n_rows, dtype=np.int32)
    counts[table[column].to_numpy()] = table["count"].to_numpy()
    return counts


def cut_of(counts: NDArray[np.int32], n_tasks: int) -> Cut:
    """Cut rows into blocks of equal work: as many as there are tasks at a time, or a multiple.

    Where blocks are long, they are whole chunks of the sums of a Gram matrix, so that these are
    those of a fit on one machine.
    """
    indptr = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    n_rounds = max(1, -(-int(indptr[-1]) // (PAIRS_PER_BLOCK * n_tasks)))
    ranges = ranges_of_equal_work(indptr, n_rounds * n_tasks)
    edges = np.array([first for first, _ in ranges] + [len(counts)])
    if len(counts) >= _FEW_CHUNKS * CHUNK * len(ranges):
        edges[1:-1] = np.rint(edges[1:-1] / CHUNK) * CHUNK
    return Cut(tuple(int(edge) for edge in np.unique(edges)))


@dataclass(frozen=True, eq=False)
class Packing:
    """What a task knows that packs blocks of one side.

    Parameters
    ----------
    of_others : ndarray of float32, or None
        What the exponent of the other side makes of its counts; None where it is 0.
    of_users : float
        Sum of the dense scales of all users, for items.
    is_compact : bool
        Whether a block names the columns that it has, and numbers them anew: where the other side
        is exchanged in blocks.
    """

    als: ALS
    side: SideName
    folder: Path
    cut: Cut
    n_columns: int
    mean_weight: float
    counts_of_columns: Any  # Broadcast of int32 (n_columns,), or None where no exponent asks
    of_users: float
    is_compact: bool


def pack(pairs: DataFrame, packing: Packing) -> int:
    """Pack the pairs into files, by block; return how many there are."""
    make_folder(packing.folder)
    row, column = ("user_idx", "item_idx") if packing.side == "users" else ("item_idx", "user_idx")
    chosen = pairs.select(row, column, "weight")
    chunks = map_in_arrow(chosen, partial(_cut_pairs, cut=packing.cut), _CHUNKS)
    n_blocks = len(packing.cut)
    by_block = (
        chunks.repartitionById(n_blocks, chunks["block"])
        if hasattr(chunks, "repartitionById")  # Spark 4.1
        else chunks.repartition(n_blocks, "block")
    )
    done = map_in_arrow(
        by_block.sortWithinPartitions("block"), partial(_pack_blocks, packing=packing), _DONE
    )
    found = done.toArrow()
    for block in set(range(n_blocks)) - set(found["block"].to_pylist()):  # rows without pairs
        first, last = packing.cut.rows(block)
        empty = sp.csr_array((last - first, packing.n_columns), dtype=np.float32)
        write_block(packing.folder, block, _arrays_of(empty, packing))
    return int(sum(found["n_pairs"].to_pylist()))


def _cut_pairs(batches: Iterator[pa.RecordBatch], cut: Cut) -> Iterator[pa.RecordBatch]:
    """Gather pairs and cut them by block; runs in the executors."""
    kept: list[pa.RecordBatch] = []
    n_kept = 0
    for batch in batches:
        kept.append(batch)
        n_kept += batch.num_rows
        if n_kept >= _PAIRS_AT_ONCE:
            yield from _by_block(kept, cut)
            kept, n_kept = [], 0
    if n_kept:
        yield from _by_block(kept, cut)


def _by_block(batches: list[pa.RecordBatch], cut: Cut) -> Iterator[pa.RecordBatch]:
    table = pa.Table.from_batches(batches)
    rows, columns, weight = (column.to_numpy() for column in table.columns)
    blocks = cut.blocks_of(rows)
    order = np.argsort(blocks, kind="stable")
    ends = np.searchsorted(blocks[order], np.arange(len(cut) + 1))
    for block in range(len(cut)):
        some = order[ends[block] : ends[block + 1]]
        if len(some):
            yield one_row(
                _CHUNK_SCHEMA,
                block,
                rows[some].astype(np.int32).tobytes(),
                columns[some].astype(np.int32).tobytes(),
                weight[some].astype(np.float32).tobytes(),
            )


def _pack_blocks(batches: Iterator[pa.RecordBatch], packing: Packing) -> Iterator[pa.RecordBatch]:
    """Write the blocks whose chunks come, in order; runs in the executors."""
    chunks = (
        (int(batch[0][row].as_py()), [column[row].as_buffer() for column in batch.columns[1:]])
        for batch in batches
        for row in range(batch.num_rows)
    )
    for block, of_block in groupby(chunks, key=lambda chunk: chunk[0]):
        parts = [buffers for _, buffers in of_block]
        rows, columns, weight = (
            np.concatenate([np.frombuffer(buffers[place], dtype) for buffers in parts])
            for place, dtype in enumerate((np.int32, np.int32, np.float32))
        )
        first, last = packing.cut.rows(block)
        matrix = sp.coo_array(
            (weight, (rows - first, columns)), shape=(last - first, packing.n_columns)
        ).tocsr()
        matrix.sort_indices()
        write_block(packing.folder, block, _arrays_of(matrix, packing))
        yield one_row(_DONE_SCHEMA, block, matrix.nnz)


def _arrays_of(matrix: sp.csr_array, packing: Packing) -> dict[str, NDArray[Any]]:
    """Return the arrays of a block, its weights as they are fitted."""
    raw = matrix.data
    data = raw if packing.mean_weight == 1 else _divided(raw, packing.mean_weight)
    divided = sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    side = _user_side(divided, packing) if packing.side == "users" else _item_side(divided, packing)
    columns, needed = side.matrix.indices.astype(np.int32, copy=False), np.empty(0, np.int32)
    if packing.is_compact:
        needed, compact = np.unique(columns, return_inverse=True)
        columns = compact.astype(np.int32)
    arrays = {
        "indptr": matrix.indptr.astype(np.int64),
        "columns": columns,
        "needed": needed,
        "weight": side.matrix.data.astype(np.float32, copy=False),
        "regularization": side.regularization,
        "dense_scale": side.dense_scale,
    }
    if packing.side == "users":
        arrays |= (
            {"seen": matrix.indices.astype(np.int32, copy=False)} if packing.is_compact else {}
        )
        arrays |= {} if (raw == 1).all() else {"seen_weight": raw}
    return arrays


def _divided(weight: NDArray[np.float32], mean: float) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.maximum(weight / mean, np.finfo(np.float32).tiny)
    return found.astype(np.float32)


def _user_side(matrix: sp.csr_array, packing: Packing) -> Any:
    if packing.als.item_exponent == 0:
        popularity = np.ones(packing.n_columns, dtype=np.int32)
    else:
        popularity = packing.counts_of_columns.value
    return users_at_zero(packing.als, weighted(packing.als, matrix, popularity), 0)


def _item_side(matrix: sp.csr_array, packing: Packing) -> Any:
    """Return a side of items, weighted by the factors of `weighted` in its order."""
    als, per_item = packing.als, np.diff(matrix.indptr)
    data = matrix.data**als.weight_exponent
    if als.user_exponent != 0:
        of_users = power_of_counts(packing.counts_of_columns.value, -als.user_exponent)
        data = data * of_users[matrix.indices]
    if als.item_exponent != 0:
        data = data * np.repeat(power_of_counts(per_item, -als.item_exponent), per_item)
    weights = sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    nowhere = np.empty((0, 0), dtype=np.float32)
    return items_at(als, nowhere, weights, np.array([packing.of_users], dtype=np.float32))


@dataclass(frozen=True, eq=False)
class PackedBlock:
    """The mapped arrays of a block."""

    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    weight: NDArray[np.float32]
    regularization: NDArray[np.float32]
    dense_scale: NDArray[np.float32]
    needed: NDArray[np.int32]  # rows of the other side; empty: all of them

    @classmethod
    def open(cls, folder: Path, block: int) -> PackedBlock:
        """Map the arrays of a block."""
        names = cls.__dataclass_fields__
        return cls(**{name: read_array(block_path(folder, block, name)) for name in names})


_CHUNK_SCHEMA = pa.schema(
    {"block": pa.int32(), "rows": pa.binary(), "columns": pa.binary(), "weight": pa.binary()}
)
_DONE_SCHEMA = pa.schema({"block": pa.int32(), "n_pairs": pa.int64()})
