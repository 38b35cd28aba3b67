"""Pairs packed once: each block of rows as a CSR matrix in files, weights as ALS fits them.

A half-sweep maps the files: no pair travels again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.threads import ranges_of_equal_work
from recsys.models.als.gram import CHUNK
from recsys.models.als.sweep import Side, items_at, users_at_zero, weighted
from recsys.models.protocol import power_of_counts
from recsys.spark.arrow import map_in_arrow, one_row
from recsys.spark.blocks import Cut, block_path, make_folder, read_array, write_block
from recsys.spark.pairs import SideName, pairs_of_block

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys.models import ALS

PAIRS_PER_BLOCK = 16_000_000
_DONE = "block int, n_pairs long"
_DONE_SCHEMA = pa.schema({"block": pa.int32(), "n_pairs": pa.int64()})
_FEW_CHUNKS = 16  # of CHUNK rows in a block: below, edges stay where the work is equal


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
    folder, pairs : Path
        Of the blocks, and of the parts.
    counts_of_columns : Broadcast of int32 (n_columns,), or None
        Pairs of each row of the other side; None where no exponent asks.
    of_users : float
        Sum of the dense scales of all users, for items.
    is_compact : bool
        Whether a block names the columns that it has, and numbers them anew: where the other side
        is exchanged in blocks.
    """

    als: ALS
    side: SideName
    folder: Path
    pairs: Path
    parts: list[int]
    cut: Cut
    n_columns: int
    mean_weight: float
    counts_of_columns: Any
    of_users: float
    is_compact: bool


def pack(spark: SparkSession, packing: Packing) -> int:
    """Pack the pairs into files, by block; return how many there are."""
    make_folder(packing.folder)
    n_blocks = len(packing.cut)
    blocks = spark.range(0, n_blocks, numPartitions=n_blocks)
    done = map_in_arrow(blocks, partial(_pack_blocks, packing=packing), _DONE).toArrow()
    return int(sum(done["n_pairs"].to_pylist()))


def _pack_blocks(batches: Iterator[pa.RecordBatch], packing: Packing) -> Iterator[pa.RecordBatch]:
    """Pack the blocks whose numbers come; runs in the executors."""
    for batch in batches:
        for block in batch.column(0).to_pylist():
            users, items, weight = pairs_of_block(packing.pairs, packing.parts, packing.side, block)
            first, last = packing.cut.rows(block)
            rows, columns = (users, items) if packing.side == "users" else (items, users)
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


def _user_side(matrix: sp.csr_array, packing: Packing) -> Side:
    if packing.als.item_exponent == 0:
        popularity = np.ones(packing.n_columns, dtype=np.int32)
    else:
        popularity = packing.counts_of_columns.value
    return users_at_zero(packing.als, weighted(packing.als, matrix, popularity), 0)


def _item_side(matrix: sp.csr_array, packing: Packing) -> Side:
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
