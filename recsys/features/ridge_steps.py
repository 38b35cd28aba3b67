r"""The ridge regression of `recsys.features.ridge` by conjugate gradients, for very many features.

A text has thousands of columns, and a dense system of so many costs more than the fit that asks for
it. Here nothing is factorized: a step multiplies by the sparse features and by their transpose. Of
the two systems, that of the features,

.. math:: (F' R F + \mu I)\, W = F' R\, Y,

is taken where there are no more features than rows, and otherwise that of the rows,
:math:`(R^{1/2} F F' R^{1/2} + \mu I)\, X = R^{1/2}\, Y` of :math:`W = F' R^{1/2} X`. Both go on
from where they are: the embeddings of a later epoch need few steps.

All factors are solved as one block (O'Leary 1980), whose residual is kept as a product ``S C`` with
orthonormal columns S (BCGrQ of Dubrulle 2001). A step is the best in the space of all their
directions, so that as many large eigenvalues as there are factors cost none: on titles a third of
the steps of factors by themselves. With nnz entries, m rows of the system and d factors, a step
takes ``4 nnz d`` flops for the products and about ``14 m d^2`` for the block.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.aligned import aligned_zeros
from recsys.base.threads import Threads, chunks, ranges_of_equal_work
from recsys.features.factored import FeatureRows
from recsys.features.sparse_rows import multiply_rows
from recsys.vectors import FloatMatrix

TOLERANCE = 5e-3  # of what a map says of rows, by a bound: it is nearer
_MOST_ROUNDS, _MOST_STEPS = 4, 200
_N_PARTS = 64  # of the rows; more than threads, so that none waits long for the last one
_LEAST_ENTRIES = 8192  # of a part of a sparse matrix, beside which a call costs nothing
_NEAR = 4096  # vectors that are in a cache together
_LEAST_OF_A_ROW = 2  # entries of a row in a block, from which a block costs less than it saves
_LEAST_ROWS = 512  # of a part of vectors, which is in a cache then
_DEPENDENT = 1e-6  # of the largest square: what float32 tells of a direction beside the others
_SMALLEST = float(np.finfo(np.float32).tiny)

Square = NDArray[np.float64]  # (d, d)
_Csr = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]


class RidgeSteps:
    """The map of some rows, as it is after the steps so far.

    Beside the features it keeps their transpose, and of each of n rows, m of the system and k of
    the other, at most 3 n + 5 m + k vectors.

    Parameters
    ----------
    features : csr_array or FeatureRows, shape (n, n_features)
    weights : ndarray, shape (n,)
        r, 0 or more; a row of weight 0 says nothing.
    ridge : float
        In mean weights of the rows that count.
    width : int
        Of embeddings, a multiple of `recsys.base.simd.N_LANES`.

    Attributes
    ----------
    penalty : float
        mu.
    """

    def __init__(
        self,
        features: sp.csr_array | FeatureRows,
        weights: NDArray[np.floating],
        ridge: float,
        width: int,
    ) -> None:
        rows = FeatureRows.of(features)
        self._is_known = rows.is_known
        self._features, self._transposed = products_of(rows, width)
        self._is_primal = features.shape[1] <= int(np.count_nonzero(weights))
        n = features.shape[int(self._is_primal)]
        self._solution = aligned_zeros(n, width)  # W, or R^1/2 X
        self._said = aligned_zeros(features.shape[0], width)  # F W
        self.reweigh(weights, ridge)

    def reweigh(self, weights: NDArray[np.floating], ridge: float) -> None:
        """Let rows count otherwise from now on; those of weight 0 stay the same."""
        counts = (weights > 0) & self._is_known
        self.penalty = ridge * float(weights[counts].mean()) if counts.any() else 1.0
        self._roots = np.sqrt(np.where(counts, weights, 0)).astype(np.float32)[:, None]

    @property
    def in_space(self) -> tuple[FloatMatrix, ...]:
        """What turns with the embeddings."""
        return self._solution, self._said

    @property
    def map(self) -> FloatMatrix:
        """W, float32 (n_features, width)."""
        if self._is_primal:
            return self._solution
        found = aligned_zeros(len(self._transposed), self._solution.shape[1])
        return self._transposed.times(self._solution, found, None)

    @property
    def square(self) -> float:
        """The sum of the squares of W."""
        other = self._solution if self._is_primal else self._said
        return float(np.einsum("ij,ij->", self._solution, other))

    @property
    def said(self) -> FloatMatrix:
        """What the map says of each row, float32 (n, width)."""
        return self._said

    def solve(self, vectors: FloatMatrix, pool: Threads, steps: int | None = None) -> None:
        """Take some steps towards the map of these embeddings, (n, width); None: to the end.

        At the end, what the map says of the rows is within `TOLERANCE` of what the exact one does:
        the root of ``sum_i r_i |.|^2`` of the difference, as a share of that of the embeddings.
        """
        if not np.isfinite(vectors).all():  # of a fit that diverges, which says so itself
            self._solution[:] = self._said[:] = np.nan
        elif steps:
            self._go(vectors, pool, steps, to_the_end=False)
        else:
            rounds = range(_MOST_ROUNDS)  # each begins with the residual as it is
            any(self._go(vectors, pool, _MOST_STEPS, to_the_end=True) == 0 for _ in rounds)

    def _go(self, vectors: FloatMatrix, pool: Threads, most_steps: int, *, to_the_end: bool) -> int:
        """Take so many steps, fewer where the residual is small enough; return their number."""
        residual, enough = self._residual(vectors, pool)
        block = _Block.at(residual, len(self._features), len(self._transposed))
        left: Square = np.eye(vectors.shape[1])  # C
        square = _summed(pool, residual, lambda part: residual[part].T @ residual[part])
        for number in range(most_steps):
            if np.trace(left.T @ square @ left) <= to_the_end * enough:
                return number
            root, inverse = _roots(square)
            left = root.T @ left
            self._aim(block, root if number else None, inverse, pool)
            _, half = _roots(self._multiply(block, pool))
            step = half.T @ half
            self._move(block, step @ left, pool)
            if to_the_end or number + 1 < most_steps:
                square = _lessen(block, step, pool)
        return most_steps

    def _residual(self, vectors: FloatMatrix, pool: Threads) -> tuple[FloatMatrix, float]:
        """Return the residual, and the square of one that is small enough.

        What is said differs by ``A (A'A + mu)^-1`` of the residual, where A is ``R^1/2 F``: at most
        ``1 / (2 sqrt(mu))`` of it; of the system of the rows, at most all of it.
        """
        found = aligned_zeros(*vectors.shape)
        np.multiply(self._roots, vectors, out=found)
        enough = TOLERANCE**2 * float(np.vdot(found, found))
        found -= self._roots * self._said
        if self._is_primal:
            found *= self._roots
            found = self._transposed.times(found, aligned_zeros(*self._solution.shape), pool)
            found -= np.float32(self.penalty) * self._solution
            return found, 4 * self.penalty * enough
        inverse = np.divide(1, self._roots, out=np.zeros_like(self._roots), where=self._roots > 0)
        found -= np.float32(self.penalty) * inverse * self._solution
        return found, enough

    def _aim(self, block: "_Block", root: Square | None, inverse: Square, pool: Threads) -> None:
        """Make the residual orthonormal, and the direction of it and, by a root, the last one."""
        residual, direction = block.residual, block.direction
        by = inverse.T.astype(np.float32)
        before = None if root is None else root.astype(np.float32)

        def work(part: slice) -> None:
            now = residual[part] @ by
            residual[part] = now
            direction[part] = now if before is None else now + direction[part] @ before
            if not self._is_primal:
                np.multiply(self._roots[part], direction[part], out=block.image[part])

        pool.map(work, _parts(residual))

    def _multiply(self, block: "_Block", pool: Threads) -> Square:
        """Set the image to the system times the direction; return their inner products."""
        direction, image, said, between = block.direction, block.image, block.said, block.between
        if self._is_primal:
            self._features.times(direction, said, pool)
            np.multiply(np.square(self._roots), said, out=between)
            self._transposed.times(between, image, pool)
        else:
            self._transposed.times(image, between, pool)
            self._features.times(between, said, pool)

        def work(part: slice) -> FloatMatrix:
            if not self._is_primal:
                np.multiply(self._roots[part], said[part], out=image[part])
            image[part] += np.float32(self.penalty) * direction[part]
            return np.asarray(direction[part].T @ image[part])

        return _summed(pool, image, work)

    def _move(self, block: "_Block", moved: Square, pool: Threads) -> None:
        """Go along the direction, by so much of each of its columns for each factor."""
        by = moved.astype(np.float32)

        def work(part: slice) -> None:
            change = block.direction[part] @ by
            self._solution[part] += change if self._is_primal else self._roots[part] * change

        def say(part: slice) -> None:
            self._said[part] += block.said[part] @ by

        pool.map(work, _parts(block.direction))
        pool.map(say, _parts(block.said))


@dataclass(frozen=True, eq=False)
class _Block:
    """The vectors of a step: of m rows of the system, n rows of features, k of the other."""

    residual: FloatMatrix  # (m, width): S
    direction: FloatMatrix  # (m, width)
    image: FloatMatrix  # (m, width): the system times the direction
    said: FloatMatrix  # (n, width): what the direction says of rows
    between: FloatMatrix  # (k, width): between the two products

    @classmethod
    def at(cls, residual: FloatMatrix, n_rows: int, n_features: int) -> "_Block":
        """Return the block of a first step."""
        m, width = residual.shape
        others = (m, m, n_rows, n_rows + n_features - m)
        return cls(residual, *(aligned_zeros(n, width) for n in others))


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


def _lessen(block: _Block, step: Square, pool: Threads) -> Square:
    """Take from the residual what a step has solved; return its inner products."""
    residual, by = block.residual, step.astype(np.float32)

    def work(part: slice) -> FloatMatrix:
        residual[part] -= block.image[part] @ by
        return np.asarray(residual[part].T @ residual[part])

    return _summed(pool, residual, work)


def _summed(pool: Threads, rows: FloatMatrix, work: Callable[[slice], FloatMatrix]) -> Square:
    """Return the sum of what work finds of parts, which do not depend on the number of threads."""
    return np.asarray(np.sum(pool.map(work, _parts(rows)), axis=0, dtype=np.float64))


def _parts(rows: FloatMatrix) -> list[slice]:
    return chunks(len(rows), _LEAST_ROWS, _N_PARTS)


def _roots(square: Square) -> tuple[Square, Square]:
    """Return A with ``square = A A'``, and its inverse; zeros for what depends on the others.

    It is a Cholesky factor with pivots: of directions that float32 cannot tell apart, one is kept.
    """
    symmetric = (square + square.T) / 2
    least = _DEPENDENT * max(float(symmetric.diagonal().max()), _SMALLEST)
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(symmetric, tol=least, lower=1)
    root, inverse = np.zeros_like(symmetric), np.zeros_like(symmetric)
    order = pivots - 1
    lower = np.tril(factor)[:, :rank]
    root[order, :rank] = lower
    if rank:
        inverse[:rank, order[:rank]], _ = scipy.linalg.lapack.dtrtri(lower[:rank], lower=1)
    return root, inverse
