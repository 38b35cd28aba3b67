"""Products of the features of rows, and of their transpose, with vectors: in parts, in parallel."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.aligned import aligned_zeros
from recsys.base.threads import Threads, ranges_of_equal_work
from recsys.features.factored import FeatureRows
from recsys.features.sparse_rows import multiply_rows
from recsys.vectors import FloatMatrix

_N_PARTS = 64  # of the rows; more than threads, so that none waits long for the last one
_LEAST_ENTRIES = 65536  # of a part of a sparse matrix, beside which a call costs nothing
_NEAR = 4096  # vectors that are in a cache together
_LEAST_OF_A_ROW = 2  # entries of a row in a block, from which a block costs less than it saves

_Csr = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]


class _Rows:
    """A sparse matrix in blocks of its columns, for products with vectors."""

    def __init__(self, blocks: Sequence[sp.csr_array]) -> None:
        self._n = blocks[0].shape[0]
        self._blocks: list[tuple[list[tuple[int, int]], _Csr]] = []
        for block in blocks:
            indptr = block.indptr.astype(np.int64, copy=False)
            indices = block.indices.astype(np.int32, copy=False)
            data = block.data.astype(np.float32, copy=False)
            n_parts = min(_N_PARTS, 1 + block.nnz // _LEAST_ENTRIES)
            ranges = ranges_of_equal_work(indptr, n_parts)
            self._blocks.append((ranges, (indptr, indices, data)))

    @classmethod
    def of_transposed(cls, matrix: sp.csr_array) -> "_Rows":
        """Return the transpose, in blocks of few vectors, as it reads all of them alike often.

        A block is in a cache while it is multiplied, and most rows of it have entries.
        """
        n, n_rows = matrix.shape
        size = _NEAR
        while size < n and matrix.nnz * size < _LEAST_OF_A_ROW * n * n_rows:
            size *= 2
        blocks = []
        for first in range(0, max(n, 1), size):
            block = sp.csr_array(matrix[first : first + size].T.tocsr())
            block.indices += np.int32(first)
            blocks.append(block)
        return cls(blocks)

    def __len__(self) -> int:
        return int(self._n)

    def times(
        self, dense: FloatMatrix, out: FloatMatrix, pool: Threads | None, *, adding: bool = False
    ) -> None:
        """Set `out` to the product, or add it; without a pool in this thread."""
        for ranges, block in self._blocks:
            work = partial(_multiply, block, dense, out, adding)
            if pool is None:
                work((0, len(self)))
            else:
                pool.map(work, ranges)
            adding = True


class Product:
    """A matrix ``plain + left @ right``, for products with vectors."""

    def __init__(self, plain: _Rows, left: _Rows, right: _Rows, between: FloatMatrix) -> None:
        self._plain, self._left, self._right = plain, left, right
        self._between = between  # what `right` makes of vectors

    def __len__(self) -> int:
        return len(self._plain)

    def times(self, dense: FloatMatrix, out: FloatMatrix, pool: Threads | None) -> FloatMatrix:
        """Set `out` to the product, and return it; without a pool in this thread."""
        self._plain.times(dense, out, pool)
        if len(self._between):
            self._right.times(dense, self._between, pool)
            self._left.times(self._between, out, pool, adding=True)
        return out


def products_of(rows: FeatureRows, width: int) -> tuple[Product, Product]:
    """Return features, and their transpose, for products with vectors of a width."""
    between = aligned_zeros(rows.left.shape[1], width)
    plain, left, right = (_Rows([one]) for one in (rows.plain, rows.left, rows.right))
    turned = _Rows.of_transposed
    return (
        Product(plain, left, right, between),
        Product(turned(rows.plain), turned(rows.right), turned(rows.left), between),
    )


def _multiply(
    block: _Csr, dense: FloatMatrix, out: FloatMatrix, adding: bool, part: tuple[int, int]
) -> None:
    """Multiply the rows of a part."""
    (first, last), (indptr, indices, data) = part, block
    multiply_rows(first, last, indptr, indices, data, dense, out, adding)
