"""A compiled product of sparse rows with dense vectors, whose rows are whole registers."""

import numpy as np
from numpy.typing import NDArray

from recsys.base.jit import compiled
from recsys.base.simd import N_LANES, borrowed, load, same, store

_BLOCK = 4 * N_LANES  # numbers of a row that are summed in registers at a time


@compiled(fastmath=True)
def multiply_rows(
    first: int,
    last: int,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    data: NDArray[np.float32],
    dense: NDArray[np.float32],
    out: NDArray[np.float32],
    adding: bool,
) -> None:
    """Set rows of `out` to those of ``A @ dense``, where A is sparse, or add them.

    The width of both is a multiple of `recsys.base.simd.N_LANES`.
    """
    dense, out = borrowed(dense), borrowed(out)
    width = dense.shape[1]
    whole = width - width % _BLOCK
    for row in range(first, last):
        start, stop = indptr[row], indptr[row + 1]
        if adding and start == stop:
            continue
        for f in range(0, whole, _BLOCK):
            s0 = s1 = s2 = s3 = same(np.float32(0))
            if adding:
                s0, s1 = load(out, (row, f)), load(out, (row, f + N_LANES))
                s2, s3 = load(out, (row, f + 2 * N_LANES)), load(out, (row, f + 3 * N_LANES))
            for j in range(start, stop):
                column, value = np.uint64(indices[np.uint64(j)]), same(data[np.uint64(j)])
                s0 += value * load(dense, (column, f))
                s1 += value * load(dense, (column, f + N_LANES))
                s2 += value * load(dense, (column, f + 2 * N_LANES))
                s3 += value * load(dense, (column, f + 3 * N_LANES))
            store(out, (row, f), s0)
            store(out, (row, f + N_LANES), s1)
            store(out, (row, f + 2 * N_LANES), s2)
            store(out, (row, f + 3 * N_LANES), s3)
        for f in range(whole, width, N_LANES):
            s0 = load(out, (row, f)) if adding else same(np.float32(0))
            for j in range(start, stop):
                column, value = np.uint64(indices[np.uint64(j)]), same(data[np.uint64(j)])
                s0 += value * load(dense, (column, f))
            store(out, (row, f), s0)
