"""One side of a fit on Spark: where its vectors lie, and how the other side gets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.aligned import aligned_zeros
from recsys.base.threads import Threads
from recsys.models.als.basis import Basis, Dense, Outline, basis_of, choose, diagonal
from recsys.models.als.gram import Gram, GramPart, gram, gram_parts, joined, total_of, turn
from recsys.models.als.rounding import is_in_bytes, longest_of, units_of
from recsys.models.als.sweep import START_SCALE
from recsys.spark.blocks import Cut, block_path, read_array, write_array
from recsys.spark.exchange import (
    Broadcasted,
    Filed,
    Mapped,
    Vectors,
    in_float32,
    whole_path,
)
from recsys.spark.half_sweep import Sums, Turn, round_for_executors, run
from recsys.spark.pairs import SideName
from recsys.vectors import FloatMatrix

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass
class Given:
    """A side as the solve of the other needs it, turned into its eigenbasis or not."""

    vectors: Vectors
    basis: FloatMatrix | None  # that turned it
    dense: Dense


@dataclass
class SparkSide:
    """Users or items of a fit.

    Parameters
    ----------
    packed, folder : Path
        Of its blocks of pairs, and of its vectors.
    is_whole : bool
        Whether its vectors are sent to the executors whole; else they stay in files by block.
    is_local : bool
        Whether the executors are on the machine of the driver.
    solved : str
        Name of the files of its rows as they were solved last, float32.
    sums : Sums or None
        What the executors found when they solved them; see `known`.
    shipped : Vectors or None
        Its rows as the other side got them last: where its next solve begins.
    """

    spark: SparkSession
    name: SideName
    cut: Cut
    packed: Path
    folder: Path
    factors: int
    width: int
    is_whole: bool
    is_local: bool
    solved: str = ""
    sums: Sums | None = None
    shipped: Vectors | None = None
    _of_rows: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def at_random(self, seed: int, pool: Threads) -> None:
        """Write the rows where a fit begins, those of a fit on one machine, block by block."""
        rng = np.random.default_rng(seed)
        self.solved, longest = self.named(0), 0.0
        parts: list[GramPart] = []
        for block in range(len(self.cut)):
            first, last = self.cut.rows(block)
            vectors = aligned_zeros(last - first, self.width)
            drawn = rng.random((last - first, self.factors), dtype=np.float32)
            vectors[:, : self.factors] = START_SCALE * drawn
            write_array(block_path(self.folder, block, self.solved), vectors)
            if not self.is_whole:
                ones = np.ones(len(vectors), dtype=np.float32)
                parts = joined(parts + gram_parts(vectors, ones, pool, first))
            longest = max(longest, float(np.linalg.norm(vectors, axis=1).max(initial=0)))
        total = np.empty(0) if self.is_whole else total_of(parts, self.width)
        self.sums = Sums(0.0, 0.0, longest, total)

    def named(self, epoch: int) -> str:
        """Return the name of its solved rows of an epoch."""
        return f"{self.name}-{epoch:04}"

    def known(self, pool: Threads) -> Sums:
        """Return what is known of its rows; the Gram matrix of those sent whole is made here."""
        if not self.solved:  # at zero
            return Sums(0.0, 0.0, 0.0, np.zeros((self.width, self.width)))
        if self.sums is None or not self.sums.gram.size:
            rows = self.rows()
            sums = self.sums or Sums(0.0, 0.0, longest_of(rows), np.empty(0))
            self.sums = replace(sums, gram=gram(rows, self._row_scales("dense_scale"), pool))
        return self.sums

    def _outline(self, pool: Threads) -> Outline:
        means = (self._row_scales(name).mean() for name in ("dense_scale", "regularization"))
        return Outline(self.known(pool).gram, *map(float, means))

    def given(
        self, rows: SparkSide, pool: Threads, name: str, unobserved_weight: float, into: Basis
    ) -> Given:
        """Turn its solved rows, or not, round them, and give them to the executors under a name.

        `rows` is the other side, which the tasks turn likewise.
        """
        outlines = self._outline(pool), rows._outline(pool)
        choice = choose(*outlines, unobserved_weight, self.factors, into)
        self.sums = replace(self.known(pool), gram=choice.of_fixed)
        self.shipped = self._turned(name, choice.basis, pool, choice.of_fixed)
        return Given(self.shipped, choice.basis, choice.dense)

    def given_exactly(self, pool: Threads, name: str, unobserved_weight: float) -> Given:
        """Turn its solved rows into their eigenbasis, and give them to the executors in float32."""
        eigenvalues, basis = basis_of(self.known(pool).gram, self.factors)
        self.shipped = self._turned(name, basis, pool, None)
        return Given(self.shipped, basis, diagonal(eigenvalues, unobserved_weight))

    def _turned(
        self, name: str, basis: FloatMatrix | None, pool: Threads, gram: Gram | None
    ) -> Vectors:
        """Turn its solved rows; round them, if a Gram matrix is given, as a fit elsewhere does."""
        longest = None if gram is None else self.known(pool).longest
        is_coarse = gram is not None and is_in_bytes(self.cut.n_rows, self.width)
        units = units_of(gram) if gram is not None and is_coarse else None
        if not self.is_whole:
            solved = Filed(self.solved, str(self.folder), self.cut, 1.0)
            work = Turn(solved, str(self.folder), name, basis, longest, units)
            run(self.spark, self.cut, work)
            return Filed(name, str(self.folder), self.cut, work.scale)
        vectors = self.rows()
        if basis is not None:
            turn(vectors, basis, pool)
        return self.sent(name, *round_for_executors(vectors, longest, units, pool))

    def sent(self, name: str, rows: NDArray[Any], scale: float) -> Vectors:
        """Send rows to the executors whole; those on this machine map one file."""
        if self.is_local:
            write_array(whole_path(self.folder, name), rows)
            return Mapped(name, str(self.folder), self.cut, scale)
        handle = self.spark.sparkContext.broadcast(rows)
        return Broadcasted(name, f"{self.folder}/{name}", handle, self.cut, scale)

    def rows(self) -> FloatMatrix:
        """Return its solved rows, (n_rows, width)."""
        rows = aligned_zeros(self.cut.n_rows, self.width)
        for block, part in self.parts(self.solved):
            first, last = self.cut.rows(block)
            rows[first:last] = part
        return rows

    def parts(self, name: str) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield its rows by block, mapped."""
        for block in range(len(self.cut)):
            yield block, read_array(block_path(self.folder, block, name))

    def _row_scales(self, name: str) -> NDArray[np.float32]:
        """Return a number for each row, from its packed blocks."""
        if name not in self._of_rows:
            blocks = range(len(self.cut))
            self._of_rows[name] = np.concatenate(
                [read_array(block_path(self.packed, block, name)) for block in blocks]
            )
        return self._of_rows[name]


def keep(vectors: Vectors, side: SparkSide) -> None:
    """Write what was broadcast to a file, where it is for the next start."""
    if isinstance(vectors, Broadcasted):
        write_array(whole_path(side.folder, vectors.name), vectors.handle.value)


def in_files(side: SparkSide, name: str, scale: float) -> Mapped | Filed:
    """Return vectors that were kept, as files."""
    kind = Mapped if side.is_whole else Filed
    return kind(name, str(side.folder), side.cut, scale)


def kept(side: SparkSide, name: str, scale: float) -> Vectors:
    """Return vectors that were kept, as the executors get them."""
    found = in_files(side, name, scale)
    if isinstance(found, Filed) or side.is_local:
        return found
    return side.sent(name, np.array(read_array(found.path)), scale)


def whole(side: SparkSide, vectors: Vectors) -> FloatMatrix:
    """Return rows of float32, without padding."""
    rows = np.empty((side.cut.n_rows, side.factors), dtype=np.float32)
    for block in range(len(side.cut)):
        first, last = side.cut.rows(block)
        rows[first:last] = in_float32(vectors.block(block), vectors.scale)[:, : side.factors]
    return rows
