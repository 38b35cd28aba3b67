"""One side of a fit on Spark: where its vectors lie, and how the other side gets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.threads import Threads
from recsys.models.als.sweep import (
    HALF_EXPONENT,
    START_SCALE,
    aligned_zeros,
    basis_of,
    gram,
    halved,
    turn,
)
from recsys.spark.blocks import Cut, block_path, read_array, write_array
from recsys.spark.exchange import (
    Broadcasted,
    Filed,
    Mapped,
    Vectors,
    in_float32,
    whole_path,
)
from recsys.spark.half_sweep import Sums, Turn, run
from recsys.spark.pairs import SideName
from recsys.vectors import FloatMatrix

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass
class Turned:
    """A side turned into the eigenbasis of its Gram matrix, as the solve of the other needs it."""

    vectors: Vectors
    basis: FloatMatrix
    eigenvalues: NDArray[np.float64]
    penalty: float  # of its rows as they are now


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
    sums : Sums
        What the executors found when they solved them, where it is not sent whole.
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
        rng, total = np.random.default_rng(seed), np.zeros((self.width, self.width))
        self.solved, longest = self.named(0), 0.0
        for block in range(len(self.cut)):
            first, last = self.cut.rows(block)
            vectors = aligned_zeros(last - first, self.width)
            drawn = rng.random((last - first, self.factors), dtype=np.float32)
            vectors[:, : self.factors] = START_SCALE * drawn
            write_array(block_path(self.folder, block, self.solved), vectors)
            total += gram(vectors, np.ones(len(vectors), dtype=np.float32), pool)
            longest = max(longest, float(np.linalg.norm(vectors, axis=1).max(initial=0)))
        self.sums = Sums(0.0, 0.0, longest, total)

    def named(self, epoch: int) -> str:
        """Return the name of its solved rows of an epoch."""
        return f"{self.name}-{epoch:04}"

    def turned(self, pool: Threads, name: str, *, in_halves: bool) -> Turned:
        """Turn its solved rows, round them, and give them to the executors under a name."""
        if self.is_whole or self.sums is None:
            found = self._turned_here(name, pool, in_halves)
        else:
            found = self._turned_there(name, self.sums, in_halves)
        self.shipped = found.vectors
        return found

    def _turned_here(self, name: str, pool: Threads, in_halves: bool) -> Turned:
        vectors, scales = self.rows(), self._row_scales("dense_scale")
        eigenvalues, basis = basis_of(gram(vectors, scales, pool), self.factors)
        turn(vectors, basis, pool)
        sent: NDArray[Any] = vectors
        scale = 1.0
        if in_halves:
            sent, scale = halved(vectors, pool)
        squares = np.einsum("ij,ij->i", vectors, vectors)
        penalty = float(self._row_scales("regularization").astype(np.float64) @ squares)
        return Turned(self.sent(name, sent, scale), basis, eigenvalues, penalty)

    def _turned_there(self, name: str, sums: Sums, in_halves: bool) -> Turned:
        eigenvalues, basis = basis_of(sums.gram, self.factors)
        # No turn makes an entry larger than the norm of its row.
        longest, scale = sums.longest, 1.0
        if in_halves and 0 < longest < np.inf:
            scale = float(np.ldexp(1.0, HALF_EXPONENT - int(np.frexp(longest)[1])))
        solved = Filed(self.solved, str(self.folder), self.cut, 1.0)
        work = Turn(
            str(self.packed), solved, str(self.folder), name, basis, scale if in_halves else None
        )
        penalty = run(self.spark, self.cut, work).penalty
        return Turned(Filed(name, str(self.folder), self.cut, scale), basis, eigenvalues, penalty)

    def sent(self, name: str, rows: NDArray[Any], scale: float) -> Broadcasted | Mapped:
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
