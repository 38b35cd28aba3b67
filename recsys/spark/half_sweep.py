"""Half a sweep of ALS as a job of Spark: tasks solve blocks of rows with the compiled solver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import isqrt
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from recsys.base.aligned import aligned_zeros
from recsys.base.threads import Threads, threads
from recsys.models.als.basis import Dense
from recsys.models.als.columns import Fixed, Floats
from recsys.models.als.gram import Gram, GramPart, gram_parts, joined, total_of, turn
from recsys.models.als.rounding import halved, on_grid, scale_of_halves
from recsys.models.als.sweep import Side, solve_side
from recsys.spark.arrow import map_in_arrow, one_row
from recsys.spark.blocks import Cut, block_path, write_array
from recsys.spark.exchange import Vectors, in_float32
from recsys.spark.packed import PackedBlock
from recsys.vectors import FloatMatrix

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_FOUND = (
    "block int, loss double, penalty double, longest double, "
    "parts array<struct<level:int,number:int,total:binary>>"
)
_PART = {"level": pa.int32(), "number": pa.int32(), "total": pa.binary()}
_SCHEMA = pa.schema(
    {
        "block": pa.int32(),
        "loss": pa.float64(),
        "penalty": pa.float64(),
        "longest": pa.float64(),
        "parts": pa.list_(pa.struct(_PART)),
    }
)
_MOST_AT_DRIVER = 32  # parts of a sum that the driver adds up; more are added up by executors first


@dataclass(frozen=True, eq=False)
class Sums:
    """What is known of the rows of a side.

    Parameters
    ----------
    loss, penalty : float
        Of rows that were solved: the observed part of their loss, and their penalty.
    longest : float
        Norm of the longest row.
    gram : ndarray of float64, shape (width, width)
        Sum of ``X' diag(scale) X``; empty where nobody asked.
    """

    loss: float
    penalty: float
    longest: float
    gram: Gram


class Found(NamedTuple):
    """What tasks find of the rows that they worked on: as in `Sums`, the Gram matrix in parts."""

    loss: float = 0.0
    penalty: float = 0.0
    longest: float = 0.0
    parts: Sequence[GramPart] = ()


@dataclass(frozen=True, eq=False)
class Solve:
    """The rows of one side are solved, those of the other are fixed.

    Parameters
    ----------
    packed : str
        Folder of the blocks.
    cut : Cut
        How the side is cut into them.
    out, name : str
        Folder and name of the files of solved rows, float32.
    begin : Vectors or None
        Where rows begin; None: at zero.
    basis : ndarray of float32, shape (width, width), or None
        What turns them first, as it turned the other side; None: nothing does.
    """

    packed: str
    cut: Cut
    out: str
    name: str
    fixed: Vectors
    begin: Vectors | None
    basis: FloatMatrix | None
    dense: Dense
    steps: int
    tolerance: float
    wants_gram: bool

    def __call__(self, block: int, pool: Threads) -> Found:
        """Solve the rows of a block, and write them."""
        packed = PackedBlock.open(Path(self.packed), block)
        n_rows, width = len(packed.dense_scale), len(self.dense.spectrum)
        if self.begin is None:
            vectors = aligned_zeros(n_rows, width)
        else:
            vectors = in_float32(self.begin.block(block), self.begin.scale)
            if self.basis is not None:
                turn(vectors, self.basis, pool)
        columns = self.fixed.take(packed.needed)
        side = Side(
            _matrix(packed, len(columns)), vectors, packed.regularization, packed.dense_scale
        )
        loss = solve_side(
            side, columns, self.dense, pool,
            scale=self.fixed.scale, steps=self.steps, tolerance=self.tolerance,
        )  # fmt: skip
        write_array(block_path(Path(self.out), block, self.name), vectors)
        parts: Sequence[GramPart] = ()
        if self.wants_gram:
            parts = gram_parts(vectors, packed.dense_scale, pool, self.cut.rows(block)[0])
        return Found(loss, side.penalty, side.longest, parts)


def _matrix(packed: PackedBlock, n_columns: int) -> sp.csr_array:
    """Return a block as a matrix; SciPy would look through all of it, so only parts are given."""
    matrix = sp.csr_array((len(packed.dense_scale), n_columns), dtype=np.float32)
    matrix.indptr, matrix.indices, matrix.data = packed.indptr, packed.columns, packed.weight
    return matrix


@dataclass(frozen=True, eq=False)
class Turn:
    """Solved rows are turned into the eigenbasis of their Gram matrix, and rounded for the others.

    Parameters
    ----------
    basis : ndarray of float32, shape (width, width), or None
        None: they stay in the basis in which they are.
    longest : float or None
        Norm of the longest row of the side; None: they stay float32.
    units : ndarray of float32, shape (2, width), or None
        Those of the whole numbers that rows are rounded to first; None: they are not.
    """

    solved: Vectors
    out: str
    name: str
    basis: FloatMatrix | None
    longest: float | None
    units: Floats | None

    @property
    def scale(self) -> float:
        """What the files hold is so many times the rows."""
        return 1.0 if self.longest is None else scale_of_halves(self.longest)

    def __call__(self, block: int, pool: Threads) -> Found:
        """Turn the rows of a block, and write them."""
        vectors = in_float32(self.solved.block(block), 1.0)
        if self.basis is not None:
            turn(vectors, self.basis, pool)
        columns, _ = round_for_executors(vectors, self.longest, self.units, pool)
        write_array(block_path(Path(self.out), block, self.name), columns)
        return Found()


def round_for_executors(
    vectors: FloatMatrix, longest: float | None, units: Floats | None, pool: Threads
) -> tuple[Fixed, float]:
    """Round vectors in place as `Turn` says; return what executors read, and its scale."""
    if longest is None:
        return vectors, 1.0
    if units is not None:
        on_grid(vectors, longest, units, pool)
    return halved(vectors, longest, pool)


def run(spark: SparkSession, cut: Cut, work: Solve | Turn) -> Sums:
    """Run work on all blocks, and add up what it finds, in the order of the blocks."""
    n_blocks = len(cut)
    blocks = spark.range(0, n_blocks, numPartitions=n_blocks)
    rows = map_in_arrow(blocks, partial(_work_on, work=work), _FOUND)
    if n_blocks > _MOST_AT_DRIVER and isinstance(work, Solve) and work.wants_gram:
        rows = _added_in_groups(rows, n_blocks)
    found = _added(rows.toArrow().to_pylist())
    width = found.parts[0].total.shape[0] if found.parts else 0
    return Sums(found.loss, found.penalty, found.longest, total_of(found.parts, width))


def _work_on(batches: Iterator[pa.RecordBatch], work: Solve | Turn) -> Iterator[pa.RecordBatch]:
    """Work on the blocks whose numbers come; runs in the executors, one thread a task."""
    with threads(1) as pool:
        for batch in batches:
            for block in batch.column(0).to_pylist():
                yield _row_of(block, work(block, pool))


def _added_in_groups(found: DataFrame, n_blocks: int) -> DataFrame:
    """Add up runs of blocks in the executors: the middle of a tree whose root is the driver."""
    n_groups = isqrt(n_blocks - 1) + 1
    per_group = -(-n_blocks // n_groups)
    group = (found["block"] / per_group).cast("int")
    grouped = found.repartition(n_groups, group)
    return map_in_arrow(grouped, partial(_add_group, per_group=per_group), _FOUND)


def _add_group(batches: Iterator[pa.RecordBatch], per_group: int) -> Iterator[pa.RecordBatch]:
    rows = [row for batch in batches for row in batch.to_pylist()]
    for group in sorted({row["block"] // per_group for row in rows}):
        inside = [row for row in rows if row["block"] // per_group == group]
        yield _row_of(inside[0]["block"], _added(inside))


def _added(rows: list[dict[str, Any]]) -> Found:
    rows = sorted(rows, key=itemgetter("block"))
    loss, penalty = (float(sum(row[name] for row in rows)) for name in ("loss", "penalty"))
    parts = joined(_part_of(part) for row in rows for part in row["parts"])
    return Found(loss, penalty, max(row["longest"] for row in rows), parts)


def _part_of(sent: dict[str, Any]) -> GramPart:
    total = np.frombuffer(sent["total"])
    width = isqrt(total.size)
    return GramPart(sent["level"], sent["number"], total.reshape(width, width))


def _sent(part: GramPart) -> dict[str, Any]:
    total = part.total.astype(np.float64)
    return {"level": part.level, "number": part.number, "total": total.tobytes()}


def _row_of(block: int, found: Found) -> pa.RecordBatch:
    parts = [_sent(part) for part in found.parts]
    return one_row(_SCHEMA, block, found.loss, found.penalty, found.longest, parts)
