r"""The ridge regression of `recsys.features.ridge` by conjugate gradients, for very many features.

A text has thousands of columns, and a dense system of so many costs more than the fit that asks for
it. Here nothing is factorized: a step multiplies by the sparse features and by their transpose. Of
the two systems, that of the features,

.. math:: (F' R F + \mu I)\, W = F' R\, Y,

is taken where there are no more features than rows, and otherwise that of the rows,
:math:`(F F' + \mu R^{-1})\, X = Y` of :math:`W = F' X`, in which rows are weighted by R. Both go on
from where they are: the embeddings of a later epoch need few steps.

All factors are solved as one block (O'Leary 1980): a step is the best in the space of all their
directions, so that as many large eigenvalues as there are factors cost none: on titles a third of
the steps of factors by themselves. What the few heaviest features say is solved beforehand, and
directions are kept apart from it (deflation: Nicolaides 1987; Saad, Yeung, Erhel and Guyomarc'h
2000): the constant has an eigenvalue as large as the number of rows, in whose rounding all others
would be lost. With nnz entries, m rows of the system and d factors, a step takes ``4 nnz d`` flops
for the products and about ``12 m d^2`` for the block.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.aligned import aligned_zeros
from recsys.base.threads import Threads, chunks
from recsys.features.factored import FeatureRows
from recsys.features.products import products_of
from recsys.vectors import FloatMatrix

TOLERANCE = 5e-3  # of what a map says of rows, by a bound: it is nearer
_MOST_ROUNDS, _MOST_STEPS = 8, 200
_LEAST_OF_A_ROUND = 1e-3  # of a residual, from which rounding leads a round astray
_N_PARTS = 64  # of the rows; more than threads, so that none waits long for the last one
_LEAST_ROWS = 1024  # of a part of vectors, which is in a cache then
_HEAVIEST = 4  # features that are solved beside each step
_DEPENDENT = 1e-6  # of a square: what float32 tells of a direction beside the others
_NOTHING = 1e-8  # of a residual's square that is small enough: rounding
_SMALLEST = float(np.finfo(np.float32).tiny)

Square = NDArray[np.float64]  # (d, d)


class RidgeSteps:
    """The map of some rows, as it is after the steps so far.

    Beside the features it keeps their transpose, and of each of n rows, m of the system and k of
    the other, n + 4 m + k vectors.

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
        self._rows = rows = FeatureRows.of(features)
        self._is_known = rows.is_known
        self._features, self._transposed = products_of(rows, width)
        self._is_primal = features.shape[1] <= int(np.count_nonzero(weights))
        m, k = features.shape[:: -1 if self._is_primal else 1]
        self._solution = aligned_zeros(m, width)  # W, or X
        self._said = aligned_zeros(features.shape[0], width)  # F W
        self._block = _Block(*(aligned_zeros(n, width) for n in (m, m, m, k)))
        self.reweigh(weights, ridge)

    def reweigh(self, weights: NDArray[np.floating], ridge: float) -> None:
        """Let rows count otherwise from now on; those of weight 0 stay the same."""
        counts = (weights > 0) & self._is_known
        self.penalty = ridge * float(weights[counts].mean()) if counts.any() else 1.0
        self._weights = np.where(counts, weights, 0).astype(np.float32)[:, None]
        inverse = np.divide(self.penalty, weights, out=np.zeros(len(weights)), where=counts)
        self._penalties = inverse.astype(np.float32)[:, None]  # mu / r
        self._coarse: _Coarse | None = None

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
        return float(np.vdot(self._solution, other))

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
        block, coarse = self._block, self._coarse_of(pool)
        enough = self._set_residual(vectors, pool)
        step = coarse.inverse @ _products(coarse.basis, block.residual, pool)
        square, _, heavy = self._lessen(step, coarse.basis, coarse.image, pool)
        least = max(enough, _LEAST_OF_A_ROUND**2 * square) if to_the_end else _NOTHING * enough
        number, last = 0, None
        while number < most_steps and square > least:
            self._aim(coarse.inverse @ heavy, last, pool)
            inverse, along = self._multiply(pool)
            square, last, heavy = self._lessen(inverse @ along, block.direction, block.image, pool)
            last = inverse @ last
            number += 1
        self._say(vectors, pool, to_the_end=to_the_end)
        return number

    def _coarse_of(self, pool: Threads) -> "_Coarse":
        """Return the space of the heaviest features, which is made once for some weights."""
        if self._coarse is None:
            rows, units = self._rows, self._rows.heaviest(_HEAVIEST)
            if self._is_primal:
                basis = units
                image = rows.transposed_times(self._weights * rows.times(units))
                image += np.float32(self.penalty) * units
            else:
                basis = self._weights * rows.times(units)
                image = rows.times(rows.transposed_times(basis)) + self._penalties * basis
            self._coarse = _Coarse(basis, image, _inverse(_products(basis, image, pool)))
        return self._coarse

    def _set_residual(self, vectors: FloatMatrix, pool: Threads) -> float:
        """Set the residual; return the square of one that is small enough.

        What is said differs by ``A (A'A + mu)^-1`` of the residual, where A is ``R^1/2 F``: at most
        ``1 / (2 sqrt(mu))`` of it; of the system of the rows, at most all of it.
        """
        residual, between = self._block.residual, self._block.between
        if not self._is_primal:
            np.multiply(self._penalties, self._solution, out=residual)
            residual += self._said
            np.subtract(vectors, residual, out=residual)
            return TOLERANCE**2 * self._square_of(vectors)
        np.subtract(vectors, self._said, out=between)
        between *= self._weights
        self._transposed.times(between, residual, pool)
        residual -= np.float32(self.penalty) * self._solution
        return 4 * self.penalty * TOLERANCE**2 * self._square_of(vectors)

    def _square_of(self, vectors: FloatMatrix) -> float:
        """Return the weighted sum of squares."""
        return float(self._weights[:, 0] @ np.einsum("ij,ij->i", vectors, vectors))

    def _conditioned(self, part: slice) -> FloatMatrix:
        """Return the residual, of the system of the rows times their weights."""
        residual = self._block.residual[part]
        return residual if self._is_primal else self._weights[part] * residual

    def _aim(self, heavy: Square, last: Square | None, pool: Threads) -> None:
        """Make the direction that of the residual, apart from the last one and the heaviest."""
        direction, basis = self._block.direction, self._coarse_of(pool).basis
        of_basis = heavy.astype(np.float32)
        of_last = None if last is None else last.astype(np.float32)

        def work(part: slice) -> None:
            aim = self._conditioned(part) - basis[part] @ of_basis
            if of_last is not None:
                aim -= direction[part] @ of_last
            direction[part] = aim

        pool.map(work, _parts(direction))

    def _multiply(self, pool: Threads) -> tuple[Square, Square]:
        """Set the image to the system times the direction; return the inverse of their products.

        Likewise the products of the direction with the residual.
        """
        block = self._block
        direction, image, between = block.direction, block.image, block.between
        if self._is_primal:
            self._features.times(direction, between, pool)
            between *= self._weights
            self._transposed.times(between, image, pool)
        else:
            self._transposed.times(direction, between, pool)
            self._features.times(between, image, pool)

        def work(part: slice) -> FloatMatrix:
            penalty = np.float32(self.penalty) if self._is_primal else self._penalties[part]
            image[part] += penalty * direction[part]
            turned = direction[part].T
            return np.hstack([turned @ image[part], turned @ block.residual[part]])

        found = _summed(pool, image, work)
        return _inverse(found[:, : len(found)]), found[:, len(found) :]

    def _lessen(
        self, step: Square, direction: FloatMatrix, image: FloatMatrix, pool: Threads
    ) -> tuple[float, Square, Square]:
        """Go so far along a direction; return the square of the residual that is left.

        Likewise its inner products with the image, and with that of the heaviest features.
        """
        residual, heavy = self._block.residual, self._coarse_of(pool).image
        by, n = step.astype(np.float32), image.shape[1]

        def work(part: slice) -> tuple[float, FloatMatrix]:
            self._solution[part] += direction[part] @ by
            residual[part] -= image[part] @ by
            left = self._conditioned(part)
            products = np.vstack([image[part].T @ left, heavy[part].T @ left])
            return float(np.vdot(left, residual[part])), products

        squares, products = zip(*pool.map(work, _parts(residual)), strict=True)
        found = np.asarray(np.sum(products, axis=0, dtype=np.float64))
        return float(sum(squares)), found[:n], found[n:]

    def _say(self, vectors: FloatMatrix, pool: Threads, *, to_the_end: bool) -> None:
        """Set what is said of the rows; before the end, of those that count, by the residual."""
        residual, between, said = self._block.residual, self._block.between, self._said
        if self._is_primal:
            self._features.times(self._solution, said, pool)
        elif to_the_end:
            self._transposed.times(self._solution, between, pool)
            self._features.times(between, said, pool)
        else:
            np.multiply(self._penalties, self._solution, out=said)
            said += residual
            np.subtract(vectors, said, out=said)


@dataclass(frozen=True, eq=False)
class _Block:
    """The vectors of a step: of m rows of the system, k of the other."""

    residual: FloatMatrix  # (m, width)
    direction: FloatMatrix  # (m, width)
    image: FloatMatrix  # (m, width): the system times the direction
    between: FloatMatrix  # (k, width): between the two products


@dataclass(frozen=True, eq=False)
class _Coarse:
    """The space of the heaviest features, in which each residual is solved first.

    That of the constant is larger than all others together: rounding of it would hide them.
    """

    basis: FloatMatrix  # (m, n)
    image: FloatMatrix  # (m, n): the system times the basis
    inverse: Square  # (n, n), of their inner products


def _summed(pool: Threads, rows: FloatMatrix, work: Callable[[slice], FloatMatrix]) -> Square:
    """Return the sum of what work finds of parts, which do not depend on the number of threads."""
    return np.asarray(np.sum(pool.map(work, _parts(rows)), axis=0, dtype=np.float64))


def _products(one: FloatMatrix, other: FloatMatrix, pool: Threads) -> Square:
    return _summed(pool, one, lambda part: one[part].T @ other[part])


def _parts(rows: FloatMatrix) -> list[slice]:
    return chunks(len(rows), _LEAST_ROWS, _N_PARTS)


def _inverse(square: Square) -> Square:
    """Return the inverse of inner products; zeros for what depends on the others.

    It is that of a Cholesky factor with pivots, of directions of length 1: of those that float32
    cannot tell apart, one is kept.
    """
    symmetric = (square + square.T) / 2
    squares = symmetric.diagonal()
    is_some = squares > max(float(squares.max()) * _DEPENDENT**2, _SMALLEST)
    lengths = np.divide(1, np.sqrt(np.abs(squares)), out=np.zeros_like(squares), where=is_some)
    scaled = symmetric * np.outer(lengths, lengths)
    factor, pivots, rank, _ = scipy.linalg.lapack.dpstrf(scaled, tol=_DEPENDENT, lower=1)
    found = np.zeros_like(symmetric)
    if rank:
        kept = pivots[:rank] - 1
        lower, _ = scipy.linalg.lapack.dtrtri(factor[:rank, :rank], lower=1)
        lower = np.tril(lower) * lengths[kept]
        found[np.ix_(kept, kept)] = lower.T @ lower
    return found
