"""The largest singular values of a sparse matrix and their right vectors."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.models.krylov import EigenPairs, largest_eigenpairs, with_fixed_signs
from recsys.models.parallel import Threads, threads
from recsys.models.sparse_products import SparseProducts

DOUBLE_BYTES = 2**26
_BLOCK, _SPARE = 32, 128
_RESOLVED = 1e-4  # of the largest eigenvalue: below, those of float32 are not good to a per cent
_ZERO = 1e-7  # of the largest singular value, in float64


def truncated_svd(
    matrix: sp.csr_array,
    factors: int,
    *,
    mean: NDArray[np.floating[Any]] | None = None,
    oversampling: float = 2.0,
    seed: int = 0,
    n_threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.floating[Any]]]:
    """Return the largest singular values and right singular vectors of ``A = M - 1 m'``.

    Block Krylov iteration on ``A A'`` or ``A' A``, whichever is smaller; A is not densified.

    Parameters
    ----------
    matrix : csr_array, shape (n_rows, n_columns)
        M.
    factors : int
        Beyond the rank, values and vectors are zero.
    mean : ndarray, shape (n_columns,), optional
        m.
    oversampling : float
        Columns of the basis beyond the factors, as a multiple of them.
    seed : int
        Of the random start.
    n_threads : int, optional
        Does not change the result. One for each core by default.

    Returns
    -------
    values : ndarray of float64, shape (factors,)
        Largest first.
    V : ndarray of float32 or float64, shape (n_columns, factors)
        Orthonormal columns; the largest entry of each is positive.

    Notes
    -----
    Memory: the matrix twice, and ``(2 + oversampling) * factors`` numbers for each row or column
    of it, whichever are fewer. Numbers are float32; they are float64 where that costs less than
    64 MB, and where the wanted singular values span more than float32 can hold.
    """
    if factors == 0:
        return np.zeros(0), np.zeros((matrix.shape[1], 0))
    smaller = min(matrix.shape)
    wanted = min(factors, smaller)
    size = min(smaller, int(wanted * (1 + oversampling)) + _SPARE)
    block_size = min(wanted, _BLOCK)
    with threads(n_threads) as pool:
        for dtype in (np.float32, np.float64):
            if dtype is np.float32 and 8 * smaller * size < DOUBLE_BYTES:
                continue
            A = SparseProducts(matrix.astype(dtype), pool, None if mean is None else mean.astype(dtype))
            pairs = largest_eigenpairs(
                _normal(A), smaller, wanted, pool,
                basis_size=size, block_size=block_size, seed=seed, dtype=dtype,
            )
            if pairs.values[-1] > _RESOLVED * pairs.values[0]:
                break
        found, vectors = _right_vectors(A, pairs)
    values = np.zeros(factors)
    V = np.zeros((matrix.shape[1], factors), dtype=vectors.dtype)
    values[:wanted], V[:, :wanted] = found, vectors
    return values, V


def _normal(A: SparseProducts) -> Any:
    if A.shape[0] < A.shape[1]:
        return lambda block: A.times(A.transposed_times(block))
    return lambda block: A.transposed_times(A.times(block))


def _right_vectors(A, pairs: EigenPairs):
    values = np.sqrt(pairs.values.clip(min=0))
    values[values <= _ZERO * values.max(initial=0)] = 0
    inverse = np.divide(1, values, out=np.zeros_like(values), where=values > 0)
    vectors = pairs.vectors
    if A.shape[0] < A.shape[1]:
        vectors = with_fixed_signs(A.transposed_times(vectors) * inverse.astype(A.dtype))
    else:
        vectors = vectors * (values > 0)
    return values, vectors
