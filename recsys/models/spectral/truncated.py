"""Truncated SVD of a sparse matrix, and its compiled products."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.jit import compiled
from recsys.base.threads import Threads, ranges_of_equal_work, threads
from recsys.models.spectral.krylov import Dense, EigenPairs, largest_eigenpairs, with_fixed_signs


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


_PARTS = 16  # more would balance better
_ENTRIES = 8192  # of a part at least: handing one out takes as long as thousands of them


class SparseProducts:
    """The matrix ``A = M - 1 m'``: M sparse, m the same for all rows. It is never densified.

    Holds M twice: by rows and by columns. Without a mean, A is M.
    """

    def __init__(
        self,
        matrix: sp.csr_array,  # M (n_rows, n_columns), float32 or float64
        pool: Threads,
        mean: NDArray[np.floating[Any]] | None = None,  # m (n_columns,)
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
    n_parts = min(_PARTS, matrix.nnz // _ENTRIES + 1)
    parts = ranges_of_equal_work(matrix.indptr, n_parts)
    # Of one type wherever they fit, as each is compiled for.
    index_type = np.int32 if matrix.nnz < 2**31 else np.int64
    indptr, indices = (
        one.astype(index_type, copy=False) for one in (matrix.indptr, matrix.indices)
    )
    data = matrix.data

    def times(dense: Dense) -> Dense:
        dense = np.ascontiguousarray(dense, dtype=data.dtype)
        out = np.empty((matrix.shape[0], dense.shape[1]), dtype=data.dtype)
        pool.map(lambda part: multiply_rows(indptr, indices, data, dense, out, *part), parts)
        return out

    return times


DOUBLE_BYTES = 64 * 1024**2
"""A basis below this size is kept in float64: exact numbers for small logs at little cost."""

_BLOCK = 32  # smaller ones take more passes over the matrix, larger ones a larger basis
_SPARE = 128  # columns of the basis in any case, as few factors gain much by them
_RESOLVED = 1e-4  # of the largest eigenvalue: below, those of float32 are not good to a per cent
_ZERO = 1e-6  # of the largest singular value: the root of what rounding leaves of its square


def truncated_svd(
    matrix: sp.csr_array,
    factors: int,
    *,
    mean: NDArray[np.floating[Any]] | None = None,
    oversampling: float = 1.0,
    seed: int = 0,
    n_threads: int | None = None,
) -> tuple[NDArray[np.float64], Dense]:
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
    Memory besides the result: the matrix twice, and ``(2 + oversampling) * factors + 160`` numbers
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
) -> tuple[NDArray[np.float64], Dense]:
    """Return the largest positive eigenvalues of a symmetric sparse matrix and their vectors.

    As `truncated_svd` does, but that what is beyond the positive eigenvalues is zero.
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
) -> tuple[NDArray[np.float64], Dense]:
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


def _right_vectors(A: SparseProducts, pairs: EigenPairs) -> tuple[NDArray[np.float64], Dense]:
    """Return singular values and right vectors, zero beyond the rank, where they are arbitrary."""
    values = np.sqrt(pairs.values.clip(min=0))
    values[values <= _ZERO * values.max()] = 0
    inverse = np.divide(1, values, out=np.zeros_like(values), where=values > 0)
    if A.is_wide:
        found = A.transposed_times(pairs.vectors) * inverse.astype(A.dtype)
        return values, with_fixed_signs(found)
    return values, pairs.vectors * (values > 0)
