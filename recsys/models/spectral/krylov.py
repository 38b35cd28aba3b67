"""Largest eigenpairs of a symmetric operator, by a randomized block Krylov method.

From a random block X the basis spans ``X, M X, M^2 X, ...``; the eigenpairs of M within that space
(Rayleigh-Ritz) are the answer. Theory: Musco & Musco, arXiv 1504.05477; Tropp & Webber, arXiv
2306.12418; that small blocks do best: Meyer, Musco & Musco, arXiv 2305.02535. The basis is built by
block Lanczos with full reorthogonalization, which gives ``Q' M Q`` besides.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from recsys.base.threads import Threads
from recsys.models.spectral.tall import Basis, Block

Operator = Callable[[Block], Block]
_ROUNDING = 100  # machine epsilons; what is shorter, relative to the operator, is rounding


@dataclass(frozen=True, eq=False)
class EigenPairs:
    """Some eigenpairs, largest first.

    Attributes
    ----------
    values : ndarray of float64, shape (k,)
    vectors : ndarray, shape (n, k)
        Orthonormal columns; the largest entry of each is positive.
    residuals : ndarray of float64, shape (k,)
        ``|M v - value v|``: an eigenvalue of M is no farther than this from the one found.
    """

    values: NDArray[np.float64]
    vectors: Block
    residuals: NDArray[np.float64]


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
    """Return the k largest eigenpairs of a symmetric operator M, as far as the basis holds them.

    Parameters
    ----------
    operator : callable
        Takes a block (n, b), returns M times it as a new array.
    n : int
        Rows of M.
    k : int
        At most n.
    pool : Threads
        How many does not change the result.
    basis_size : int
        Columns of the basis, at least k: more is more accurate. Memory is that of
        ``basis_size + k`` columns of n numbers and a few blocks; time grows with
        ``n * basis_size^2``.
    block_size : int
        Columns that are multiplied at a time. An eigenvalue that M has more often than this may
        be found only this often.
    seed : int
        Of the random start.
    dtype : type
        Of the basis. With float32 eigenvalues below about 1e-6 of the largest are noise.

    Returns
    -------
    EigenPairs
    """
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


def _random_directions(basis: Basis, count: int, rng: np.random.Generator) -> Block:
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


def with_fixed_signs(vectors: Block) -> Block:
    """Turn each column so that its largest entry is positive: a vector's sign is arbitrary."""
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1, 1)
    turned: Block = vectors * signs.astype(vectors.dtype)
    return turned
