"""How the vectors that a half-sweep reads are rounded: to half precision, or to whole numbers.

Rows wait for the columns that they read, more than for arithmetic, so few bytes of each are read.
Where those of a side fit a cache in half precision, that is enough. Those of a larger side are
read from memory, and are rounded to a whole number of 8 bits for each factor. Its unit is a power
of two of the factor, near the root of its mean square, times one of the row, so that the largest
number of a row is from 64 to 127. The loss was measured to be at most 3e-4 higher.

As units are powers of two, float16 holds the same numbers, and the rows that are solved with one
or the other are the same, bit by bit: a fit on Spark, whose executors take parts of a side, sends
float16 of the numbers of a side that is rounded so.
"""

from math import frexp, ldexp
from typing import NamedTuple

import numpy as np

from recsys.base.aligned import aligned_zeros
from recsys.base.jit import compiled
from recsys.base.simd import N_LANES, larger, largest, load, same, store
from recsys.base.threads import Threads
from recsys.models.als.columns import Fixed, Floats
from recsys.models.als.gram import CHUNK, Gram
from recsys.vectors import FloatMatrix

_CACHED = 1 << 22  # bytes of a side in half precision that a cache may be expected to hold
_HALF_EXPONENT = 15  # float16 goes up to 2^16
_LEAST_HALF = -24  # exponent of the least number of float16
_LEAST_UNIT = -10  # exponent of the least unit of a factor, the largest of which is 1

_compile = compiled(fastmath=True)


class Grid(NamedTuple):
    """What whole numbers are multiplied by."""

    scales: Floats  # (n_rows,): of each row
    units: Floats  # (2, width): of each factor, and one over it


class RoundedSide(NamedTuple):
    """The vectors of a side as the other reads them."""

    columns: Fixed  # (n_rows, width), uint16 for float16, or int8
    scale: float = 1.0  # what numbers of half precision are multiplied by
    grid: Grid | None = None  # of int8


def is_in_bytes(n_rows: int, width: int) -> bool:
    """Return whether a side is rounded to whole numbers, of all its rows and their padded width."""
    return 2 * n_rows * width > _CACHED


def round_side(
    vectors: FloatMatrix,
    longest: float,
    gram: Gram,
    pool: Threads,
    room: RoundedSide | None = None,
) -> RoundedSide:
    """Round the vectors of a side in place; return them as they are read.

    `longest` is the norm of the longest of them, `gram` their Gram matrix, `room` what was returned
    for the side before, whose memory is taken again.
    """
    if not is_in_bytes(*vectors.shape):
        return RoundedSide(*halved(vectors, longest, pool, None if room is None else room.columns))
    columns, grid = on_grid(vectors, longest, units_of(gram), pool, room)
    return RoundedSide(columns, grid=grid)


def units_of(gram: Gram) -> Floats:
    """Return the unit of each factor, and one over it, (2, width), from a Gram matrix."""
    size = np.sqrt(np.diag(gram).clip(min=0))
    largest = size.max(initial=0)
    if not 0 < largest < np.inf:
        return np.ones((2, len(gram)), dtype=np.float32)
    exponents = np.maximum(np.frexp(size / largest)[1], _LEAST_UNIT)
    exponents[size == 0] = 0  # as they are of padding
    units: Floats = np.ldexp(1.0, np.stack([exponents, -exponents])).astype(np.float32)
    return units


def on_grid(
    vectors: FloatMatrix,
    longest: float,
    units: Floats,
    pool: Threads,
    room: RoundedSide | None = None,
) -> tuple[Fixed, Grid]:
    """Round vectors to whole numbers in place; return these, and what they are multiplied by."""
    if room is None or room.grid is None:
        columns: Fixed = aligned_zeros(len(vectors), vectors.shape[1], np.int8)
        scales = np.zeros(len(vectors), dtype=np.float32)
    else:
        columns, scales = room.columns, room.grid.scales
    # With this the least number that is not 0 is one of float16.
    least = ldexp(1.0, _LEAST_HALF - _LEAST_UNIT) / scale_of_halves(longest)

    def work(start: int) -> None:
        last = min(start + CHUNK, len(vectors))
        round_rows(vectors, units, least, start, last, columns, scales)

    pool.map(work, range(0, len(vectors), CHUNK))
    return columns, Grid(scales, units)


@_compile
def round_rows(
    vectors: Floats,  # (n_rows, width)
    units: Floats,  # (2, width)
    least: float,
    first: int,
    last: int,
    columns: Fixed,  # out, int8 (n_rows, width)
    scales: Floats,  # out, (n_rows,), at least `least`
) -> None:
    """Round rows ``first..last-1`` to whole numbers times a scale and the units, and in place."""
    for row in range(first, last):
        sizes = same(np.float32(0))
        for f in range(0, vectors.shape[1], N_LANES):
            sizes = larger(sizes, load(vectors, (row, f)) * load(units, (1, f)))
        size = largest(sizes)
        exponent = frexp(size)[1] - 7
        if size > ldexp(127.4, exponent):  # else from 64 to 127 units of the row
            exponent += 1
        scale = np.float32(max(ldexp(1.0, exponent), least))
        scales[row] = scale
        up, down = same(np.float32(1) / scale), same(scale)
        for f in range(0, vectors.shape[1], N_LANES):
            store(columns, (row, f), load(vectors, (row, f)) * load(units, (1, f)) * up)
            store(vectors, (row, f), load(columns, (row, f)) * load(units, (0, f)) * down)


def halved(
    vectors: FloatMatrix, longest: float, pool: Threads, room: Fixed | None = None
) -> tuple[Fixed, float]:
    """Round vectors to half precision in place; return them in it, and what they are multiplied by.

    `longest` is the norm of the longest of them, `room` an array of their shape to write them to.
    """
    scale = scale_of_halves(longest)
    halves = aligned_zeros(len(vectors), vectors.shape[1], np.uint16) if room is None else room
    pool.map(
        lambda start: halve_rows(vectors, scale, start, min(start + CHUNK, len(vectors)), halves),
        range(0, len(vectors), CHUNK),
    )
    return halves, scale


@_compile
def halve_rows(
    vectors: Floats,  # (n_rows, width)
    scale: float,
    first: int,
    last: int,
    halves: Fixed,  # out, uint16 (n_rows, width)
) -> None:
    """Round rows ``first..last-1`` to half precision: in place, and into `halves` times `scale`.

    `scale` is a power of two that takes the largest of the vectors near the largest of float16.
    """
    up, down = same(np.float32(scale)), same(np.float32(1 / scale))
    for row in range(first, last):
        for f in range(0, vectors.shape[1], N_LANES):
            store(halves, (row, f), load(vectors, (row, f)) * up)
            store(vectors, (row, f), load(halves, (row, f)) * down)


def scale_of_halves(longest: float) -> float:
    """Return the power of two that takes a norm near the largest number of float16.

    No entry exceeds the norm of the longest vector, in any basis, and entries down to 1e-8 of it
    keep some digits.
    """
    exponent = _HALF_EXPONENT - np.frexp(longest)[1] if 0 < longest < np.inf else 0
    return float(np.ldexp(1.0, exponent))


def longest_of(vectors: FloatMatrix) -> float:
    """Return the norm of the longest vector."""
    squares = np.einsum("ij,ij->i", vectors, vectors)
    return float(np.sqrt(squares.max(initial=0)))
