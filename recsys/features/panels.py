"""Compiled products of the features of rows with 16 columns of vectors, a panel, at a time.

A panel is solved by one thread: what its products gather stays in that thread's cache, so that a
transpose is not needed, and several panels are several threads that never wait for each other.
"""

from typing import Any, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.aligned import aligned_zeros
from recsys.base.jit import compiled
from recsys.base.simd import N_LANES, borrowed, load, same, store
from recsys.features.factored import FeatureRows
from recsys.vectors import FloatMatrix

RUN = 512  # products that are added up before they are added to the others: less rounding

compile_ = compiled(fastmath=True)
inner = compiled(fastmath=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


class Sparse(NamedTuple):
    """A sparse matrix, for compiled code."""

    indptr: NDArray[np.int64]  # (n + 1,)
    indices: NDArray[np.int32]  # (nnz,)
    data: NDArray[np.float32]  # (nnz,)

    @classmethod
    def of(cls, matrix: sp.csr_array) -> Self:
        """Return a matrix as this; nothing is copied that has the types already."""
        return cls(
            matrix.indptr.astype(np.int64, copy=False),
            matrix.indices.astype(np.int32, copy=False),
            matrix.data.astype(np.float32, copy=False),
        )


class SparseRows(NamedTuple):
    """The features of rows, ``plain + left @ right``, for compiled code."""

    plain: Sparse  # (n, n_features)
    left: Sparse  # (n, n_words)
    right: Sparse  # (n_words, n_features)

    @classmethod
    def of(cls, rows: FeatureRows) -> Self:
        """Return rows as this."""
        return cls(*(Sparse.of(one) for one in (rows.plain, rows.left, rows.right)))


class Between(NamedTuple):
    """Room for what lies between a product and that by the transpose."""

    features: FloatMatrix  # (n_features, N_LANES)
    words: FloatMatrix  # (n_words, N_LANES)

    @classmethod
    def of(cls, rows: FeatureRows) -> Self:
        """Return room for rows."""
        return cls(*(aligned_zeros(one.shape[1], N_LANES) for one in (rows.plain, rows.left)))


@inner
def clear(out: FloatMatrix) -> None:
    """Set a panel to zeros."""
    out = borrowed(out)
    for row in range(len(out)):
        store(out, (row, 0), same(np.float32(0)))


@inner
def dot(one: FloatMatrix, other: FloatMatrix) -> Any:
    """Return the inner product of each column of a panel with that of another, as lanes."""
    one, other = borrowed(one), borrowed(other)
    found = same(np.float32(0))
    for start in range(0, len(one), RUN):
        of_run = same(np.float32(0))
        for row in range(start, min(start + RUN, len(one))):
            of_run += load(one, (row, 0)) * load(other, (row, 0))
        found += of_run
    return found


@inner
def gather(matrix: Sparse, panel: FloatMatrix, out: FloatMatrix, adding: bool) -> None:
    """Set out to ``matrix @ panel``, or add it."""
    indptr, indices, data = matrix
    panel, out = borrowed(panel), borrowed(out)
    for row in range(len(indptr) - 1):
        found = load(out, (row, 0)) if adding else same(np.float32(0))
        for j in range(indptr[row], indptr[row + 1]):
            column = np.uint64(indices[np.uint64(j)])
            found += same(data[np.uint64(j)]) * load(panel, (column, 0))
        store(out, (row, 0), found)


@inner
def scatter(matrix: Sparse, panel: FloatMatrix, out: FloatMatrix) -> None:
    """Add ``matrix.T @ panel`` to out."""
    indptr, indices, data = matrix
    panel, out = borrowed(panel), borrowed(out)
    for row in range(len(indptr) - 1):
        of_row = load(panel, (row, 0))
        for j in range(indptr[row], indptr[row + 1]):
            column = np.uint64(indices[np.uint64(j)])
            store(out, (column, 0), load(out, (column, 0)) + same(data[np.uint64(j)]) * of_row)


@compile_
def times(rows: SparseRows, panel: FloatMatrix, words: FloatMatrix, out: FloatMatrix) -> None:
    """Set out to the features of rows times a panel, (n, N_LANES)."""
    gather(rows.right, panel, words, False)
    gather(rows.plain, panel, out, False)
    gather(rows.left, words, out, True)


@compile_
def transposed_times(
    rows: SparseRows, panel: FloatMatrix, words: FloatMatrix, out: FloatMatrix
) -> None:
    """Set out to the transpose of the features times a panel of rows, (n_features, N_LANES)."""
    clear(words)
    clear(out)
    scatter(rows.plain, panel, out)
    scatter(rows.left, panel, words)
    scatter(rows.right, words, out)
