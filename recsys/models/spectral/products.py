"""Products of a sparse matrix, and of its transpose, with dense blocks, on all cores.

SciPy multiplies on one core. Here both products are parallel over rows of their result, which
needs the transpose in CSR form as well; every row is summed by one thread in one order, so the
result does not depend on how many there are.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.compiled.parallel import Threads, equal_parts

Dense = NDArray[Any]  # float32 or float64, as the matrix
_PARTS = 16  # more would balance better, and handing one out takes as long as thousands of entries


class SparseProducts:
    """The matrix ``A = M - 1 m'``: M sparse, m the same for all rows. It is never densified.

    Parameters
    ----------
    matrix : csr_array of float32 or float64, shape (n_rows, n_columns)
    pool : Threads
    mean : ndarray, shape (n_columns,), optional
        What is subtracted from every row, as a rank-one term; nothing by default.

    Notes
    -----
    Holds M twice: by rows and by columns.
    """

    def __init__(
        self,
        matrix: sp.csr_array,
        pool: Threads,
        mean: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        self.shape: tuple[int, int] = matrix.shape
        self.dtype: np.dtype[Any] = matrix.dtype
        self.mean = None if mean is None else mean.astype(self.dtype)
        self._times = multiplier(matrix, pool)
        self._transposed_times = multiplier(sp.csr_array(matrix.T.tocsr()), pool)

    @property
    def is_wide(self) -> bool:
        """Whether there are more columns than rows."""
        return self.shape[0] < self.shape[1]

    def times(self, dense: Dense) -> Dense:
        """Return ``A @ dense``, for a dense (n_columns, d)."""
        product = self._times(dense)
        if self.mean is not None:
            product -= (self.mean @ dense).astype(self.dtype)
        return product

    def transposed_times(self, dense: Dense) -> Dense:
        """Return ``A' @ dense``, for a dense (n_rows, d)."""
        product = self._transposed_times(dense)
        if self.mean is not None:
            total = dense.sum(axis=0, dtype=np.float64).astype(self.dtype)
            product -= np.multiply.outer(self.mean, total)
        return product

    def normal_times(self, dense: Dense) -> Dense:
        """Return ``A A' @ dense`` where A is wide, else ``A' A @ dense``: the smaller of both."""
        if self.is_wide:
            return self.times(self.transposed_times(dense))
        return self.transposed_times(self.times(dense))


def multiplier(matrix: sp.csr_array, pool: Threads) -> Callable[[Dense], Dense]:
    """Return a function that multiplies a CSR matrix by a dense one (n_columns, d)."""
    from recsys.models.spectral.product_kernel import multiply_rows

    parts = equal_parts(matrix.indptr, _PARTS)
    indptr, indices, data = matrix.indptr, matrix.indices, matrix.data

    def times(dense: Dense) -> Dense:
        dense = np.ascontiguousarray(dense, dtype=data.dtype)
        out = np.empty((matrix.shape[0], dense.shape[1]), dtype=data.dtype)
        pool.map(lambda part: multiply_rows(indptr, indices, data, dense, out, *part), parts)
        return out

    return times
