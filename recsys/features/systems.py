"""The two systems of a ridge regression of features, and what is near their inverses."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.aligned import aligned_zeros
from recsys.base.jit import compiled
from recsys.base.simd import N_LANES
from recsys.features.factored import FeatureRows
from recsys.features.panel_solver import Room, System
from recsys.features.panels import Between, Sparse, SparseRows

_HEAVIEST = 128  # features that the preconditioner knows exactly

Floats = NDArray[np.float32]


class Systems:
    """The systems of some rows, by how much each row counts.

    Parameters
    ----------
    features : FeatureRows, shape (n, n_features)
    is_primal : bool
        Whether they are of the features, else of the rows.
    """

    def __init__(self, features: FeatureRows, *, is_primal: bool) -> None:
        self.is_primal = is_primal
        self._features, self._rows = features, SparseRows.of(features)
        self._heaviest = features.heaviest(_HEAVIEST)
        columns = features.plain[:, self._heaviest]
        self._columns = Sparse.of(sp.csr_array(columns))  # (n, n_heaviest)
        plain, left, right = self._rows
        is_other = np.ones(features.shape[1], dtype=np.float32)
        is_other[self._heaviest] = 0
        of_words = _squares_times(right, is_other)
        self._others = _squares_times(plain, is_other) + _squares_times(left, of_words)  # (n,)

    def of(self, weights: Floats, penalty: float) -> System:
        """Return the system of rows that count so much; of weight 0 a row says nothing."""
        return (self._of_features if self.is_primal else self._of_rows)(weights, penalty)

    def _of_rows(self, weights: Floats, penalty: float) -> System:
        """Return ``F F' + D`` of the heaviest features and a diagonal as what is near."""
        penalties = _inverse_of(weights / np.float32(penalty))
        inverse = _inverse_of(penalties + self._others) * (weights > 0)
        n = len(self._heaviest)
        core = np.linalg.inv(np.eye(n) + _gram(self._columns, inverse, n)).astype(np.float32)
        nothing = np.zeros(0, dtype=np.float32)
        return System(self._rows, nothing, penalties, weights, inverse, self._columns, core, False)

    def _of_features(self, weights: Floats, penalty: float) -> System:
        """Return the block of the heaviest features and a diagonal as what is near."""
        (_, m), n = self._features.shape, len(self._heaviest)
        plain, left, right = self._rows
        of_words = _squares_transposed_times(left, weights, self._features.left.shape[1])
        diagonal = _squares_transposed_times(plain, weights, m) + np.float32(penalty)
        diagonal += _squares_transposed_times(right, of_words, m)
        own = np.diag(diagonal[self._heaviest].astype(np.float64))
        block = _gram(self._columns, weights, n) + penalty * np.eye(n)
        core = (own - own @ np.linalg.inv(block) @ own).astype(np.float32)
        units = np.ones(n, dtype=np.float32), (self._heaviest, np.arange(n))
        heavy = Sparse.of(sp.csr_array(units, shape=(m, n)))
        penalties, ones = np.full(m, penalty, dtype=np.float32), np.ones(m, dtype=np.float32)
        inverse = _inverse_of(diagonal)
        return System(self._rows, weights, penalties, ones, inverse, heavy, core, True)

    def room(self) -> Room:
        """Return what a thread needs to solve one of them."""
        n, m = self._features.shape
        size = m if self.is_primal else n
        residual, direction, image = (aligned_zeros(size, N_LANES) for _ in range(3))
        of_rows = aligned_zeros(n if self.is_primal else 0, N_LANES)
        heavy, of_core = (aligned_zeros(len(self._heaviest), N_LANES) for _ in range(2))
        between = Between.of(self._features)
        return Room(residual, direction, image, of_rows, between, heavy, of_core)


def _inverse_of(numbers: Floats) -> Floats:
    """Return one over each number; 0 of 0."""
    return np.divide(1, numbers, out=np.zeros_like(numbers), where=numbers > 0)


def _gram(rows: Sparse, weights: Floats, n: int) -> NDArray[np.float64]:
    """Return ``A' diag(weights) A``, (n, n)."""
    found = np.zeros((n, n))
    _add_gram(rows, weights, found)
    return found


@compiled()
def _squares_times(rows: Sparse, vector: Floats) -> Floats:
    """Return the product of a matrix of squares."""
    indptr, indices, data = rows
    found = np.zeros(len(indptr) - 1, dtype=np.float32)
    for row in range(len(found)):
        for j in range(indptr[row], indptr[row + 1]):
            found[row] += data[j] * data[j] * vector[indices[j]]
    return found


@compiled()
def _squares_transposed_times(rows: Sparse, vector: Floats, n_columns: int) -> Floats:
    """Return that of its transpose."""
    indptr, indices, data = rows
    found = np.zeros(n_columns, dtype=np.float32)
    for row in range(len(vector)):
        for j in range(indptr[row], indptr[row + 1]):
            found[indices[j]] += data[j] * data[j] * vector[row]
    return found


@compiled()
def _add_gram(rows: Sparse, weights: Floats, out: NDArray[np.float64]) -> None:
    """Add ``A' diag(weights) A`` to out."""
    indptr, indices, data = rows
    for row in range(len(weights)):
        for j in range(indptr[row], indptr[row + 1]):
            weighted = np.float64(weights[row] * data[j])
            for k in range(indptr[row], indptr[row + 1]):
                out[indices[j], indices[k]] += weighted * data[k]
