"""The hot loop of a sparse matrix times a dense one, compiled."""

import numpy as np
from numpy.typing import NDArray

from recsys.compiled.jit import compiled


# Contraction to fused multiply-add is the one liberty: each row is summed in its own order.
@compiled(fastmath={"contract"})
def multiply_rows(
    indptr: NDArray[np.integer],
    indices: NDArray[np.integer],
    data: NDArray[np.floating],
    dense: NDArray[np.floating],
    out: NDArray[np.floating],
    first: int,
    last: int,
) -> None:
    """Set ``out[first:last]`` to these rows of the CSR matrix times the dense one.

    Four entries at a time, so that a row of `out` is loaded and stored once for four of them;
    the columns in the inner loop, where they are contiguous.
    """
    width = dense.shape[1]
    for row in range(first, last):
        start, end = indptr[row], indptr[row + 1]
        total = out[row]
        total[:] = 0
        whole = start + (end - start) // 4 * 4
        for j in range(start, whole, 4):
            a, b = dense[indices[j]], dense[indices[j + 1]]
            c, d = dense[indices[j + 2]], dense[indices[j + 3]]
            w_a, w_b, w_c, w_d = data[j], data[j + 1], data[j + 2], data[j + 3]
            for f in range(width):
                total[f] += w_a * a[f] + w_b * b[f] + w_c * c[f] + w_d * d[f]
        for j in range(whole, end):
            a, w_a = dense[indices[j]], data[j]
            for f in range(width):
                total[f] += w_a * a[f]
