"""Products of a sparse matrix, and of its transpose, with dense blocks, on all cores.

SciPy multiplies on one core. Here both products are parallel over rows of their result, which
needs the transpose in CSR form as well; every row is summed by one thread in one order, so the
result does not depend on how many there are.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.models.parallel import Threads, equal_parts

Float = TypeVar("Float", np.float32, np.float64)
_PARTS = 64


class SparseProducts:
    r"""The matrix ``A = M - 1 m'``: M sparse, m the same for all rows. It is never densified.

    Parameters
    ----------
    matrix : csr_array of float32 or float64, shape (n_rows, n_columns)
    pool : Threads
    mean : ndarray of the same dtype, shape (n_columns,), optional
        What is subtracted from every row, as a rank-one term; nothing by default.

    Notes
    -----
    Holds M twice: by rows and by columns.
    """

    def __init__(
        self,
        matrix: sp.csr_array,
        pool: Threads,
        mean: NDArray[np.floating] | None = None,
    ) -> None:
        self.shape: tuple[int, int] = matrix.shape
        self.dtype: np.dtype[np.floating] = matrix.dtype
        self.mean = mean
        self._times = multiplier(matrix, pool)
        self._transposed_times = multiplier(sp.csr_array(matrix.T.tocsr()), pool)

    def times(self, dense: NDArray[Float]) -> NDArray[Float]:
        """Return ``A @ dense``, for a dense (n_columns, d)."""
        product = self._times(dense)
        if self.mean is not None:
            product -= self.mean @ dense
        return product

    def transposed_times(self, dense: NDArray[Float]) -> NDArray[Float]:
        """Return ``A' @ dense``, for a dense (n_rows, d)."""
        product = self._transposed_times(dense)
        if self.mean is not None:
            product -= np.multiply.outer(self.mean, dense.sum(axis=0))
        return product


def multiplier(
    matrix: sp.csr_array, pool: Threads
) -> Callable[[NDArray[Float]], NDArray[Float]]:
    """Return a function that multiplies a CSR matrix by a dense one (n_columns, d)."""
    from recsys.models.spmm_kernel import multiply_rows

    parts = equal_parts(matrix.indptr, _PARTS)
    indptr, indices, data = matrix.indptr, matrix.indices, matrix.data

    def times(dense: NDArray[Float]) -> NDArray[Float]:
        dense = np.ascontiguousarray(dense, dtype=data.dtype)
        out = np.empty((matrix.shape[0], dense.shape[1]), dtype=data.dtype)
        pool.map(lambda part: multiply_rows(indptr, indices, data, dense, out, *part), parts)
        return out

    return times
