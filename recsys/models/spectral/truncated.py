"""The largest singular values of a sparse matrix and their vectors, and the largest eigenvalues."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.compiled.parallel import Threads, threads
from recsys.models.spectral.krylov import EigenPairs, largest_eigenpairs, with_fixed_signs
from recsys.models.spectral.products import SparseProducts, multiplier

DOUBLE_BYTES = 64 * 1024**2
"""A basis below this size is kept in float64: exact numbers for small logs at little cost."""

_BLOCK = 32  # smaller ones take more passes over the matrix, larger ones a larger basis
_SPARE = 128  # columns of the basis in any case, as few factors gain much by them
_RESOLVED = 1e-4  # of the largest eigenvalue: below, those of float32 are not good to a per cent
_ZERO = 1e-6  # of the largest singular value: the root of what rounding leaves of its square

Values = NDArray[np.float64]
Vectors = NDArray[Any]  # float32 or float64


def truncated_svd(
    matrix: sp.csr_array,
    factors: int,
    *,
    mean: NDArray[np.floating[Any]] | None = None,
    oversampling: float = 1.0,
    seed: int = 0,
    n_threads: int | None = None,
) -> tuple[Values, Vectors]:
    """Return the largest singular values and right singular vectors of ``A = M - 1 m'``.

    Block Krylov iteration on ``A A'`` or ``A' A``, whichever is smaller; A is not densified.

    Parameters
    ----------
    matrix : csr_array, shape (n_rows, n_columns)
        M.
    factors : int
        0 or more. Beyond the rank, values and vectors are zero.
    mean : ndarray, shape (n_columns,), optional
        m; zero by default.
    oversampling : float
        Columns of the Krylov basis beyond the factors, as a multiple of them; 128 more are
        always there.
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
    Memory beside the result: the matrix twice, and ``(2 + oversampling) * factors + 160`` numbers
    for each of its rows or each of its columns, whichever are fewer. Numbers are float32; they are
    float64 where the basis is small, and where the singular values span more than float32 holds:
    then the work is done again.
    """
    smaller = min(matrix.shape)
    wanted = min(factors, smaller)
    values = np.zeros(factors)
    V = np.zeros((matrix.shape[1], factors), dtype=np.float32)
    if wanted and matrix.nnz:
        basis_size = _basis_size(smaller, wanted, oversampling)
        with threads(n_threads) as pool:
            values[:wanted], found = _svd(matrix, mean, wanted, basis_size, seed, pool)
        V = np.zeros(V.shape, dtype=found.dtype)
        V[:, :wanted] = found
    return values, V


def symmetric_eigenpairs(
    matrix: sp.csr_array,
    factors: int,
    *,
    oversampling: float = 1.0,
    seed: int = 0,
    n_threads: int | None = None,
) -> tuple[Values, Vectors]:
    """Return the largest positive eigenvalues of a symmetric sparse matrix and their vectors.

    Parameters
    ----------
    matrix : csr_array, shape (n, n)
    factors : int
        Beyond the positive eigenvalues, values and vectors are zero.
    oversampling, seed, n_threads
        As for `truncated_svd`.

    Returns
    -------
    values : ndarray of float64, shape (factors,)
        Largest first.
    vectors : ndarray of float32 or float64, shape (n, factors)
        Orthonormal columns; the largest entry of each is positive.
    """
    n = matrix.shape[0]
    wanted = min(factors, n)
    basis_size = _basis_size(n, wanted, oversampling)
    dtype: type[np.float32] | type[np.float64] = np.float32
    if 8 * n * basis_size <= DOUBLE_BYTES:
        dtype = np.float64
    with threads(n_threads) as pool:
        pairs = largest_eigenpairs(
            multiplier(matrix.astype(dtype), pool),
            n,
            wanted,
            pool,
            basis_size=basis_size,
            block_size=min(wanted, _BLOCK),
            seed=seed,
            dtype=dtype,
        )
    positive = pairs.values > _ZERO * pairs.values.max()
    values = np.zeros(factors)
    vectors = np.zeros((n, factors), dtype=dtype)
    values[:wanted], vectors[:, :wanted] = pairs.values * positive, pairs.vectors * positive
    return values, vectors


def _basis_size(n: int, wanted: int, oversampling: float) -> int:
    return min(n, int(wanted * (1 + oversampling)) + _SPARE)


def _svd(
    matrix: sp.csr_array,
    mean: NDArray[np.floating[Any]] | None,
    k: int,
    basis_size: int,
    seed: int,
    pool: Threads,
) -> tuple[Values, Vectors]:
    """Work in float32 where that is worth it and precise enough, else in float64."""
    if 8 * min(matrix.shape) * basis_size > DOUBLE_BYTES:
        A = SparseProducts(matrix.astype(np.float32), pool, mean)
        pairs = _normal_eigenpairs(A, k, basis_size, seed, pool)
        if pairs.values[-1] > _RESOLVED * pairs.values[0]:
            return _right_vectors(A, pairs)
    A = SparseProducts(matrix.astype(np.float64), pool, mean)
    return _right_vectors(A, _normal_eigenpairs(A, k, basis_size, seed, pool))


def _normal_eigenpairs(
    A: SparseProducts, k: int, basis_size: int, seed: int, pool: Threads
) -> EigenPairs:
    """Return eigenpairs of ``A A'`` or ``A' A``, the smaller of the two."""
    return largest_eigenpairs(
        A.normal_times,
        min(A.shape),
        k,
        pool,
        basis_size=basis_size,
        block_size=min(k, _BLOCK),
        seed=seed,
        dtype=A.dtype.type,
    )


def _right_vectors(A: SparseProducts, pairs: EigenPairs) -> tuple[Values, Vectors]:
    """Return singular values and right vectors, zero beyond the rank, where they are arbitrary."""
    values = np.sqrt(pairs.values.clip(min=0))
    values[values <= _ZERO * values.max()] = 0
    inverse = np.divide(1, values, out=np.zeros_like(values), where=values > 0)
    if A.is_wide:
        found = A.transposed_times(pairs.vectors) * inverse.astype(A.dtype)
        return values, with_fixed_signs(found)
    return values, pairs.vectors * (values > 0)
