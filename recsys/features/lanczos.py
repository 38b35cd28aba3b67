"""The Lanczos process on ``F F'``, compiled: of 16 starting vectors at a time, each by itself."""

import numpy as np

from recsys.base.aligned import aligned_zeros
from recsys.base.simd import N_LANES, borrowed, larger, load, same, store
from recsys.features.factored import FeatureRows
from recsys.features.panels import (
    Between,
    SparseRows,
    compile_,
    dot,
    times,
    transposed_times,
)
from recsys.vectors import FloatMatrix

_SMALLEST = np.finfo(np.float32).tiny


def tridiagonal(
    rows: FeatureRows, starts: FloatMatrix, apart: FloatMatrix, steps: int
) -> tuple[FloatMatrix, FloatMatrix]:
    """Return the diagonals of the tridiagonal matrices of some steps, and what is beside them.

    Both are (steps, N_LANES); what the last step leaves is in the last row of the second.

    Parameters
    ----------
    rows : FeatureRows, shape (n, n_features)
    starts : ndarray of float32, shape (n, N_LANES)
        Not of length 1; all apart from the direction.
    apart : ndarray of float32, shape (n, 1)
        A direction of length 1, from which all is kept apart.
    """
    diagonal, beside = (aligned_zeros(steps, N_LANES) for _ in range(2))
    now, before, ahead = (aligned_zeros(*starts.shape) for _ in range(3))
    np.divide(starts, np.linalg.norm(starts, axis=0), out=now)
    room = Between.of(rows)
    _take_steps(SparseRows.of(rows), now, before, ahead, apart[:, 0], room, diagonal, beside)
    return diagonal, beside


@compile_
def _take_steps(
    rows: SparseRows,
    now: FloatMatrix,
    before: FloatMatrix,
    ahead: FloatMatrix,
    apart: FloatMatrix,
    between: Between,
    diagonal: FloatMatrix,
    beside: FloatMatrix,
) -> None:
    """Fill the diagonals and what is beside them."""
    diagonal, beside = borrowed(diagonal), borrowed(beside)
    last = same(np.float32(0))
    for step in range(len(diagonal)):
        transposed_times(rows, now, between.words, between.features)
        times(rows, between.features, between.words, ahead)
        common = same(np.float32(0))
        for row in range(len(ahead)):
            common += same(apart[row]) * load(ahead, (row, 0))
        for row in range(len(ahead)):
            more = same(apart[row]) * common + last * load(before, (row, 0))
            store(ahead, (row, 0), load(ahead, (row, 0)) - more)
        here = dot(now, ahead)
        store(diagonal, (step, 0), here)
        for row in range(len(ahead)):
            store(ahead, (row, 0), load(ahead, (row, 0)) - here * load(now, (row, 0)))
        store(beside, (step, 0), dot(ahead, ahead))
        for lane in range(N_LANES):
            beside[step, lane] = np.sqrt(beside[step, lane])
        last = load(beside, (step, 0))
        length = larger(last, same(np.float32(_SMALLEST)))
        for row in range(len(ahead)):
            store(ahead, (row, 0), load(ahead, (row, 0)) / length)
        before, now, ahead = now, ahead, before
