"""Gram matrices whose bits depend on the rows alone: not on threads, nor on how rows are cut.

Sums of floats depend on their order. Here it is that of a binary tree over chunks of rows, whose
shape follows from the numbers of the rows: whoever has a run of rows sums what lies whole in it,
and who puts runs together goes on in the same tree.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.base.threads import Threads
from recsys.vectors import FloatMatrix, FloatVector

Gram = NDArray[np.float64]

CHUNK = 2048  # rows of a matrix that one thread multiplies at a time
RUN = 512  # rows that are turned, or whose pulls are made, at a time; they stay in a cache
_FEWEST = 4  # rows of a product: 512 numbers wide, fewer were added up in another order
_N_TASKS = 64  # of the threads, at least, where there are as many chunks


class GramPart(NamedTuple):
    """A node of the tree: the sum of chunks ``number << level .. ((number + 1) << level) - 1``."""

    level: int
    number: int
    total: NDArray[np.floating]  # (width, width), float32 of a chunk


def gram(vectors: FloatMatrix, scale: FloatVector, pool: Threads) -> Gram:
    """Return ``F' diag(scale) F``, float64 (width, width)."""
    return total_of(gram_parts(vectors, scale, pool), vectors.shape[1])


def gram_parts(
    vectors: FloatMatrix, scale: FloatVector, pool: Threads, first_row: int = 0
) -> list[GramPart]:
    """Return the largest parts that lie in these rows, the first of which has a number."""
    is_scaled = bool((scale != 1).any())
    end = first_row + len(vectors)

    def part_of(number: int) -> GramPart:
        rows = slice(max(number * CHUNK - first_row, 0), (number + 1) * CHUNK - first_row)
        chunk = vectors[rows]
        if is_scaled:
            chunk = chunk * np.sqrt(scale[rows, None])
        # NumPy sees the symmetry, and does half the work.
        return GramPart(0, number, chunk.T @ chunk)

    first, last = first_row // CHUNK, -(-end // CHUNK)
    run = 1 << (max((last - first) // _N_TASKS, 1).bit_length() - 1)  # chunks of a task

    def work(start: int) -> list[GramPart]:
        return joined(map(part_of, range(max(start, first), min(start + run, last))))

    starts = range(first - first % run, last, run)
    return joined(part for parts in pool.map(work, starts) for part in parts)


def joined(parts: Iterable[GramPart]) -> list[GramPart]:
    """Add up, in the order of rows, all parts that are halves of another."""
    found: list[GramPart] = []
    for part in parts:
        found.append(part)
        while len(found) > 1 and _are_halves(*found[-2:]):
            left, right = found[-2:]
            total = np.add(left.total, right.total, dtype=np.float64)
            found[-2:] = [GramPart(left.level + 1, left.number // 2, total)]
    return found


def _are_halves(left: GramPart, right: GramPart) -> bool:
    are_beside = left.number % 2 == 0 and right.number == left.number + 1
    return are_beside and left.level == right.level


def total_of(parts: Iterable[GramPart], width: int) -> Gram:
    """Return the sum of all rows, (width, width), of their joined parts."""
    total = np.zeros((width, width))
    for part in reversed(list(parts)):
        total += part.total
    return total


def product(rows: FloatMatrix, matrix: FloatMatrix, out: FloatMatrix | None = None) -> FloatMatrix:
    """Return ``rows @ matrix``; a row has the same bits whichever rows are beside it.

    BLAS multiplies a few rows by other instructions, with other last bits, so there are four.
    """
    if len(rows) >= _FEWEST or not len(rows):
        found: FloatMatrix = np.matmul(rows, matrix, out=out)
        return found
    few: FloatMatrix = (np.resize(rows, (_FEWEST, rows.shape[1])) @ matrix)[: len(rows)]
    if out is None:
        return few
    out[:] = few
    return out


def turn(vectors: FloatMatrix, basis: FloatMatrix, pool: Threads) -> None:
    """Multiply by the basis in place, run by run, so that no second matrix is needed."""

    def work(start: int) -> None:
        run = vectors[start : start + RUN]
        run[:] = product(run, basis)

    pool.map(work, range(0, len(vectors), RUN))
