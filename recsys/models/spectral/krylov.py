"""Largest eigenpairs of a symmetric operator, by a randomized block Krylov method.

From a random block X the basis spans ``X, M X, M^2 X, ...``; the eigenpairs of M within that space
(Rayleigh-Ritz) are the answer. Theory: Musco & Musco, arXiv 1504.05477; Tropp & Webber, arXiv
2306.12418; that small blocks do best: Meyer, Musco & Musco, arXiv 2305.02535. The basis is built by
block Lanczos with full reorthogonalization, which gives ``Q' M Q`` as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from recsys.base.threads import Threads, chunks

Dense = NDArray[Any]  # float32 or float64, (n, columns)
Operator = Callable[[Dense], Dense]
_SQUARED = 1e-8  # the smallest square, relative to the largest, that is known to half its digits
_CLOSE = 1e-2  # a rest this short, relative to its block, is at no exact right angle
_ROUNDING = 100  # machine epsilons; what is shorter, relative to the operator, is rounding


@dataclass(frozen=True, eq=False)
class EigenPairs:
    """Some eigenpairs, largest first."""

    values: NDArray[np.float64]  # (k,)
    vectors: Dense  # (n, k), orthonormal; the largest entry of each is positive
    residuals: NDArray[np.float64]  # (k,): |M v - value v|, how far the next eigenvalue of M may be


class Basis:
    """Tall orthonormal columns that grow by blocks, worked on chunk by chunk of rows, on all cores.

    `capacity` is the most columns: memory for all is taken at once. The size of the pool does not
    change the result.
    """

    def __init__(self, n: int, capacity: int, dtype: type[np.floating[Any]], pool: Threads) -> None:
        self.columns: Dense = np.empty((n, capacity), dtype=dtype)
        self.size = 0
        self._rows = chunks(n)
        self._pool = pool

    def append(self, block: Dense) -> None:
        """Add orthonormal columns at right angles to the basis."""
        self.columns[:, self.size : self.size + block.shape[1]] = block
        self.size += block.shape[1]

    def split(
        self, block: Dense, floor: float, *, recent: int = 0
    ) -> tuple[NDArray[np.float64], Dense, NDArray[np.float64]]:  # (size, b), (n, r), (r, b)
        """Split a block into its part within this basis and an orthonormal rest.

        Up to what is dropped, ``block = basis @ inside + rest @ coupling``.

        Parameters
        ----------
        block : ndarray, shape (n, b)
            Overwritten.
        """
        before = np.linalg.norm(block, axis=0).max(initial=0)
        first = max(0, self.size - recent)
        latest = self._project_out(block, first)
        inside = self._project_out(block, 0) if first else np.zeros((self.size, block.shape[1]))
        inside[first:] += latest
        rest, coupling = self._orthonormal(block, floor)
        if np.linalg.svd(coupling, compute_uv=False).min(initial=np.inf) < _CLOSE * before:
            inside += self._project_out(rest, 0) @ coupling  # twice is enough
            rest, turn = self._orthonormal(rest, 0.5)
            coupling = turn @ coupling
        return inside, rest, coupling

    def combine(self, coefficients: NDArray[np.float64]) -> Dense:
        """Return ``basis @ coefficients``, for coefficients (size, k)."""
        return self._times(self.columns[:, : self.size], coefficients)

    def _project_out(self, block: Dense, first: int) -> NDArray[np.float64]:
        """Subtract from a block its part within columns from `first` on; return what it was."""
        columns = self.columns[:, first : self.size]

        def inner(rows: slice) -> NDArray[Any]:
            return columns[rows].T @ block[rows]

        # Partial sums in the order of the chunks, in float64.
        inside = np.zeros((columns.shape[1], block.shape[1]))
        for partial in self._pool.map(inner, self._rows):
            inside += partial
        rounded = inside.astype(block.dtype)

        def subtract(rows: slice) -> None:
            block[rows] -= columns[rows] @ rounded

        self._pool.map(subtract, self._rows)
        return inside

    def _orthonormal(self, block: Dense, floor: float) -> tuple[Dense, NDArray[np.float64]]:
        """Return orthonormal Q and R with ``block = Q R``, without directions below a floor.

        By way of the principal axes of its rows (SVQB, Stathopoulos & Wu 2002), which show the
        directions to drop.
        """
        lengths, axes = self._principal_axes(block)
        kept = lengths > floor
        lengths, axes = lengths[kept], axes[:, kept]
        return self._times(block, axes / lengths), lengths[:, None] * axes.T

    def _principal_axes(self, block: Dense) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the singular values (b,) and the right singular vectors (b, b) of a block."""

        def gram_of(rows: slice) -> NDArray[np.float64]:
            part = block[rows].astype(np.float64)
            product: NDArray[np.float64] = part.T @ part
            return product

        def triangle_of(rows: slice) -> NDArray[np.float64]:
            return np.asarray(np.linalg.qr(block[rows].astype(np.float64), mode="r"))

        gram = np.zeros(2 * (block.shape[1],))
        for partial in self._pool.map(gram_of, self._rows):
            gram += partial
        squares, axes = np.linalg.eigh(gram)
        if squares.min(initial=np.inf) > _SQUARED * squares.max(initial=0):
            return np.sqrt(squares), axes
        # Reflections take five times as long and do not square the numbers.
        triangles = np.concatenate(self._pool.map(triangle_of, self._rows))
        _, lengths, turned = np.linalg.svd(triangles, full_matrices=False)
        return lengths, turned.T

    def _times(self, columns: Dense, coefficients: NDArray[np.float64]) -> Dense:
        rounded = coefficients.astype(columns.dtype)
        out = np.empty((len(columns), coefficients.shape[1]), dtype=columns.dtype)
        self._pool.map(lambda rows: np.matmul(columns[rows], rounded, out=out[rows]), self._rows)
        return out


def largest_eigenpairs(
    operator: Operator,
    n: int,
    k: int,
    pool: Threads,
    *,
    basis_size: int,
    block_size: int,
    seed: int,
    dtype: type[np.float32] | type[np.float64] = np.float32,
) -> EigenPairs:
    """Return the k largest eigenpairs of a symmetric operator M, as far as the basis holds them."""
    rng = np.random.default_rng(seed)
    capacity = min(n, basis_size + block_size)
    basis = Basis(n, capacity, dtype, pool)
    projected = np.zeros((0, 0))  # Q' M Q, of which the upper triangle is filled
    rest, norm = np.empty((n, 0), dtype=dtype), 0.0
    while basis.size < min(basis_size, n):
        width = min(block_size, capacity - basis.size)
        basis.append(rest)
        basis.append(_random_directions(basis, width - rest.shape[1], rng))
        image = operator(basis.columns[:, basis.size - width : basis.size])
        norm = max(norm, float(np.linalg.norm(image, axis=0).max()))
        floor = _ROUNDING * float(np.finfo(dtype).eps) * norm
        inside, rest, coupling = basis.split(image, floor, recent=2 * block_size)
        projected = _grown(projected, inside)
    return _within(basis, projected, coupling, k)


def _random_directions(basis: Basis, count: int, rng: np.random.Generator) -> Dense:
    """Return random orthonormal columns at right angles to the basis.

    The first block is made of them, and they fill up a later one where the space that M made of
    the first is used up, as with a low rank.
    """
    n, dtype = len(basis.columns), basis.columns.dtype
    random = rng.standard_normal((n, max(count, 0)), dtype=np.float64).astype(dtype)
    return basis.split(random, floor=0.0)[1]


def _grown(projected: NDArray[np.float64], inside: NDArray[np.float64]) -> NDArray[np.float64]:
    """Add the columns of one more block to ``Q' M Q``, and zeros where symmetry has the rest."""
    size, width = inside.shape
    grown = np.zeros((size, size))
    grown[: size - width, : size - width] = projected
    grown[:, size - width :] = inside
    return grown


def _within(
    basis: Basis, projected: NDArray[np.float64], coupling: NDArray[np.float64], k: int
) -> EigenPairs:
    """Return the k largest eigenpairs of ``Q' M Q``, as vectors of the whole space."""
    size = basis.size
    values, coordinates = scipy.linalg.eigh(projected, lower=False, driver="evd")
    values, coordinates = values[::-1][:k], coordinates[:, ::-1][:, :k]
    # M Q = Q (Q' M Q) + rest @ coupling, which only the last block has.
    residuals = np.linalg.norm(coupling @ coordinates[size - coupling.shape[1] :], axis=0)
    return EigenPairs(values, with_fixed_signs(basis.combine(coordinates)), residuals)


def with_fixed_signs(vectors: Dense) -> Dense:
    """Turn each column so that its largest entry is positive: a vector's sign is arbitrary."""
    highest, lowest = vectors.max(axis=0), vectors.min(axis=0)  # much faster than an argmax
    signs = np.where(highest < -lowest, -1, 1)
    for column in np.flatnonzero((highest == -lowest) & (highest > 0)):  # the first of both decides
        signs[column] = np.sign(vectors[np.abs(vectors[:, column]).argmax(), column])
    turned: Dense = vectors * signs.astype(vectors.dtype)
    return turned
