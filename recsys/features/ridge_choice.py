r"""The ridge of a map of features, chosen by what it would say of rows that it has not seen.

Generalized cross-validation (Golub, Heath and Wahba 1979) estimates it without leaving any out:

.. math::

    V(\mu) = \frac{|(I - H_\mu)\, R^{1/2} S|^2}{\mathrm{tr}^2 (I - H_\mu)}, \qquad
    I - H_\mu = \mu\, (A A' + \mu I)^{-1}, \qquad A = R^{1/2} F

S are not the embeddings but scores, as an error counts by what it does to lists: those of a few
mixtures of the other side's rows by random signs, whose squares are, on average, the sum over all
of them. The trace is that of random signs, too. Both are of the form ``v' f(A A') v``, and a few
steps of Lanczos from v give it for all ridges at once (Golub and von Matt 1997): the eigenvalues of
a small tridiagonal matrix, and how much of v each of them has. They are taken apart from the
heaviest feature, mostly the constant, which is fitted by any ridge and would need steps of its own.
"""

from typing import Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.threads import one_blas_thread
from recsys.features.factored import FeatureRows
from recsys.features.lanczos import tridiagonal
from recsys.features.ridge import DEFAULT_RIDGE
from recsys.vectors import FloatMatrix

RidgeSetting = float | Literal["auto"]
RIDGES: NDArray[np.float64] = 2.0 ** (np.arange(-2, 13) / 2)  # that are tried, 0.5 to 64
_N_SCORES, _N_SIGNS = 12, 4
_STEPS = 16  # 24 and 32 chose the same; 10 and 12 did not
_LEAST = 1e-10  # of the squares of scores, below which all else is rounding
_MOST_ROWS = 2048  # what a ridge is worth in rows does not depend on how many there are


def chosen_ridge(
    features: sp.csr_array | FeatureRows,
    vectors: FloatMatrix,
    weights: NDArray[np.floating],
    others: FloatMatrix,
) -> float:
    """Return the ridge with the least error of scores, by generalized cross-validation.

    Parameters
    ----------
    features, vectors, weights
        As `recsys.features.feature_map` takes them.
    others : ndarray of float32, shape (n_others, factors)
        Embeddings of the other side: a score is a product with one of them.
    """
    rng = np.random.default_rng(0)
    described = FeatureRows.of(features)
    rows = np.flatnonzero((np.asarray(weights) > 0) & described.is_known)
    if not len(rows):
        return DEFAULT_RIDGE
    if len(rows) > _MOST_ROWS:
        rows = np.sort(rng.choice(rows, _MOST_ROWS, replace=False))
    mixtures = _signs(rng, len(others), _N_SCORES)
    roots = np.sqrt(weights[rows] / weights[rows].mean()).astype(np.float32)
    scaled = described.take(rows).worded()
    if (roots != 1).any():
        scaled = scaled.scaled(roots)
    with one_blas_thread():  # else its bits depend on their number
        scores = roots[:, None] * (vectors[rows] @ (others.T @ mixtures))
        if not np.isfinite(scores).all():  # of a fit that diverges, which says so itself
            return DEFAULT_RIDGE
        starts = np.hstack([scores, _signs(rng, len(rows), _N_SIGNS)])
        heaviest = np.linalg.qr(scaled.plain[:, scaled.heaviest(1)].toarray())[0]  # (n, 1)
        starts -= heaviest * (heaviest.T @ starts)
        if (_dots(starts, starts)[:_N_SCORES] <= _LEAST * _dots(scores, scores)).any():
            return DEFAULT_RIDGE  # of what the heaviest feature says alone, or of zeros
        found = _quadratures(scaled, starts, heaviest)
    left = sum(filtered**2 @ shares for filtered, shares in found[:_N_SCORES])
    trace = sum(filtered @ shares for filtered, shares in found[_N_SCORES:])
    return float(RIDGES[np.argmin(left / trace**2)])


def _quadratures(
    rows: FeatureRows, starts: FloatMatrix, apart: FloatMatrix
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return, of each start, ``mu / (theta + mu)`` of each eigenvalue and ridge, and its share.

    All is apart from a direction of length 1, (n, 1), as the starts are.
    Rounding makes some eigenvalues appear twice, which share what one would have.
    """
    squares = _dots(starts, starts)
    diagonal, beside = tridiagonal(rows, starts, apart, _STEPS)
    small = np.zeros((len(squares), _STEPS, _STEPS))  # `eigh` reads what is below the diagonal
    at = np.arange(_STEPS)
    small[:, at, at], small[:, at[1:], at[:-1]] = diagonal.T, beside[:-1].T
    eigenvalues, vectors = np.linalg.eigh(small)
    filtered = RIDGES[:, None] / (np.maximum(eigenvalues, 0)[:, None] + RIDGES[:, None])
    return list(zip(filtered, squares[:, None] * vectors[:, 0] ** 2, strict=True))


def _signs(rng: np.random.Generator, n: int, width: int) -> FloatMatrix:
    """Return -1 and 1 at random, (n, width)."""
    return 1 - 2 * rng.integers(2, size=(n, width), dtype=np.int8).astype(np.float32)


def _dots(one: FloatMatrix, other: FloatMatrix) -> NDArray[np.float64]:
    """Return the inner product of each column with that of the other."""
    return np.asarray(np.einsum("ij,ij->j", one, other, dtype=np.float64))
