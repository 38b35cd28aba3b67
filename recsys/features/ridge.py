r"""The linear map from features to embeddings, by weighted ridge regression.

.. math::

    W = \arg\min_W \sum_i r_i\, |y_i - W' f_i|^2 + \mu |W|^2
      = (F' R F + \mu I)^{-1} F' R\, Y

in closed form (Hoerl and Kennard 1970), by the smaller of two systems: that of the features, or
that of the rows, :math:`W = F' (F F' + \mu R^{-1})^{-1} Y`. It does not depend on the embeddings,
so it is factorized once and serves every epoch of a fit. Where both systems are large, as with the
words of texts, `recsys.features.ridge_steps` solves the smaller one by steps.
"""

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.base.threads import Threads, threads
from recsys.features.factored import FeatureRows
from recsys.vectors import FloatMatrix

if TYPE_CHECKING:
    from recsys.features.ridge_steps import RidgeSteps

DEFAULT_RIDGE = 2.0
_Numbers = TypeVar("_Numbers", FloatMatrix, NDArray[np.float64])
_CHUNK = 2048  # rows that one thread multiplies at a time
_LANES = 16  # to a multiple of these embeddings are padded, see `recsys.base.simd`
_WIDE = 1024  # rows or columns of a system, up to which a factor of it costs less than steps
_DENSE = 0.1  # share of entries from which a product of dense rows is faster
_LEAST = 1e-9  # of the largest entry on the diagonal: a system without a ridge stays solvable


class Ridge:
    """The regression of rows of some features and weights, for any embeddings.

    Parameters
    ----------
    features : csr_array or FeatureRows, shape (n, n_features)
    weights : ndarray, shape (n,)
        r, 0 or more; a row of weight 0 says nothing.
    ridge : float
        The weight of :math:`|W|^2` in mean weights of the rows that count: about so many rows of
        nothing are added to each feature.

    Attributes
    ----------
    map : ndarray of float32, shape (n_features, factors)
        W; without columns before the first solve.
    penalty : float
        mu.
    """

    def __init__(
        self,
        features: sp.csr_array | FeatureRows,
        weights: NDArray[np.floating],
        ridge: float,
        pool: Threads,
    ) -> None:
        features = FeatureRows.of(features).tocsr()
        self.map: FloatMatrix = np.zeros((features.shape[1], 0), dtype=np.float32)
        self._counts = np.flatnonzero((np.asarray(weights) > 0) & (np.diff(features.indptr) > 0))
        self._roots = np.sqrt(np.asarray(weights, dtype=np.float64)[self._counts])
        self.penalty = ridge * float((self._roots**2).mean()) if len(self._counts) else 1.0
        rows = sp.csr_array(features[self._counts].astype(np.float64))
        self._rows = sp.csr_array(sp.diags_array(self._roots) @ rows)  # R^1/2 F
        self._columns = sp.csr_array(self._rows.T.tocsr())
        self._is_primal = features.shape[1] <= len(self._counts)
        system = _gram(self._columns if self._is_primal else self._rows, pool)
        largest = float(system.diagonal().max(initial=0.0))
        system[np.diag_indices_from(system)] += max(self.penalty, _LEAST * largest, _LEAST)
        self._factor = scipy.linalg.cho_factor(
            system, lower=True, overwrite_a=True, check_finite=False
        )

    def solve(self, vectors: FloatMatrix, pool: Threads) -> None:
        """Find the map of embeddings (n, factors)."""
        weighted = vectors[self._counts].astype(np.float64) * self._roots[:, None]
        if self._is_primal:
            found = self._solved(product(self._columns, weighted, pool))
        else:
            found = product(self._columns, self._solved(weighted), pool)
        self.map = np.asarray(found, dtype=np.float32)

    @property
    def in_space(self) -> tuple[FloatMatrix, ...]:
        """What turns with the embeddings."""
        return (self.map,)

    @property
    def square(self) -> float:
        """The sum of the squares of W."""
        return float(np.square(self.map, dtype=np.float64).sum())

    def _solved(self, right: NDArray[np.float64]) -> NDArray[np.float64]:
        if not np.isfinite(right).all():  # of a fit that diverges, which says so itself
            return np.full_like(right, np.nan)
        return np.asarray(scipy.linalg.cho_solve(self._factor, right, check_finite=False))


def feature_map(
    features: sp.csr_array | FeatureRows,
    vectors: FloatMatrix,
    weights: NDArray[np.floating],
    ridge: float = DEFAULT_RIDGE,
) -> FloatMatrix:
    """Return the linear map from features to embeddings, by weighted ridge regression.

    Parameters
    ----------
    features : csr_array or FeatureRows, shape (n, n_features)
    vectors : ndarray of float32, shape (n, factors)
        Embeddings of the same rows.
    weights : ndarray, shape (n,)
        How much each row counts; 0 for one without an embedding.
    ridge : float
        In mean weights, above 0: about so many rows of nothing are added to each feature.

    Returns
    -------
    ndarray of float32, shape (n_features, factors)
    """
    if not features.shape[0] == len(vectors) == len(weights):
        raise DataError(
            f"feature_map: expected as many rows of features as embeddings and weights, got "
            f"{features.shape[0]:,}, {len(vectors):,} and {len(weights):,}"
        )
    width = -(-vectors.shape[1] // _LANES) * _LANES
    with threads() as pool:
        found = regression_of(features, np.asarray(weights), ridge, width, pool)
        wide = np.zeros((len(vectors), width), dtype=np.float32)
        wide[:, : vectors.shape[1]] = vectors
        found.solve(wide, pool)
    return np.ascontiguousarray(found.map[:, : vectors.shape[1]])


def regression_of(
    features: sp.csr_array | FeatureRows,
    weights: NDArray[np.floating],
    ridge: float,
    width: int,
    pool: Threads,
) -> "Ridge | RidgeSteps":
    """Return the regression for embeddings of so many factors: by steps where it is wide."""
    if not is_wide(features):
        return Ridge(features, weights, ridge, pool)
    from recsys.features.ridge_steps import RidgeSteps  # compiled; what serves needs it not

    return RidgeSteps(features, weights, ridge, width)


def is_wide(features: sp.csr_array | FeatureRows) -> bool:
    """Return whether the smaller system is too large for a factor of it."""
    return min(features.shape) > _WIDE


def vectors_of_features(features: sp.csr_array | FeatureRows, to: FloatMatrix) -> FloatMatrix:
    """Return the embeddings that a map gives rows of features, float32 (n, factors).

    Parameters
    ----------
    features : csr_array or FeatureRows, shape (n, n_features)
        A row of zeros has a zero embedding: nothing is known of it.
    to : ndarray of float32, shape (n_features, factors)
        A map, as `feature_map` returns it or `recsys.vectors.Embeddings` holds it.
    """
    if features.shape[1] != len(to):
        raise DataError(
            f"vectors_of_features: expected features of {len(to):,} columns, as the map has rows, "
            f"got {features.shape[1]:,}; encode them with the encoder of that map"
        )
    with threads() as pool:
        return said_of(features, to, pool)


def said_of(features: sp.csr_array | FeatureRows, to: FloatMatrix, pool: Threads) -> FloatMatrix:
    """Return what a map says of rows of features, (n, factors)."""
    rows = FeatureRows.of(features)
    found = product(rows.plain, to, pool)
    if rows.left.nnz:
        found += product(rows.left, product(rows.right, to, pool), pool)
    return found


def product(matrix: sp.csr_array, dense: _Numbers, pool: Threads) -> _Numbers:
    """Multiply rows chunk by chunk, so that threads share the work and none changes the result."""
    bounds = range(0, matrix.shape[0], _CHUNK)
    parts = pool.map(lambda start: matrix[start : start + _CHUNK] @ dense, bounds)
    if not parts:
        return np.zeros((0, dense.shape[1]), dtype=dense.dtype)
    return np.concatenate(parts)


def _gram(rows: sp.csr_array, pool: Threads) -> NDArray[np.float64]:
    """Return ``A A'`` of the rows of a matrix, dense."""
    n, width = rows.shape
    if rows.nnz < _DENSE * n * width:
        return np.asarray((rows @ rows.T.tocsr()).toarray())
    columns = sp.csr_array(rows.T.tocsr())  # (width, n)

    def work(start: int) -> NDArray[np.float64]:
        chunk = columns[start : start + _CHUNK].toarray()
        product: NDArray[np.float64] = chunk.T @ chunk
        return product

    total = np.zeros((n, n))
    for product in pool.map(work, range(0, width, _CHUNK)):
        total += product
    return total
