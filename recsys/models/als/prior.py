"""What the rows of one side of ALS are regularized towards: a linear map of their features."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.threads import Threads
from recsys.features.ridge import Ridge, product
from recsys.vectors import FloatMatrix

if TYPE_CHECKING:
    from recsys.models.als.sweep import Side


@dataclass
class FixedPrior:
    """What each row of a side is regularized towards, found before."""

    map: FloatMatrix  # (n_rows, width): each row is a feature of its own

    def solve(self, vectors: FloatMatrix, pool: Threads) -> None:
        """Leave it as it is."""

    def rows(self, _pool: Threads) -> FloatMatrix:
        """Return it."""
        return self.map

    def penalty(self) -> float:
        """Return 0: nothing was solved."""
        return 0.0


class Prior:
    r"""The map W of one side, which minimizes :math:`\sum_i r_i |y_i - W' f_i|^2 + \mu |W|^2`.

    Its system depends on features and weights alone, so it is factorized once for all epochs.

    Parameters
    ----------
    features : csr_array, shape (n_rows, n_features)
    weights : ndarray, shape (n_rows,)
        r, the regularization of each row; 0 for a row without interactions.
    ridge : float
        In mean weights.
    """

    def __init__(
        self, features: sp.csr_array, weights: NDArray[np.floating], ridge: float, width: int
    ) -> None:
        self._features, self._weights, self._ridge = features, weights, ridge
        self._regression: Ridge | None = None
        self.map: FloatMatrix = np.zeros((features.shape[1], width), dtype=np.float32)

    def alike(self) -> "Prior":
        """Return the same with all rows counting alike, for rows that nobody has touched.

        Most rows are rare, and so are new ones at first: what popular items have in common says
        less of them.
        """
        ones = (self._weights > 0).astype(np.float64)
        return Prior(self._features, ones, self._ridge, self.map.shape[1])

    def solve(self, vectors: FloatMatrix, pool: Threads) -> None:
        """Solve the map for the rows as they are."""
        if self._regression is None:
            self._regression = Ridge(self._features, self._weights, self._ridge, pool)
        self.map = self._regression.map_of(vectors, pool)

    def rows(self, pool: Threads) -> FloatMatrix:
        """Return what each row is regularized towards, (n_rows, width)."""
        return product(self._features, self.map, pool)

    def penalty(self) -> float:
        """Return the ridge, ``mu |W|^2``."""
        if self._regression is None:
            return 0.0
        return self._regression.penalty * float(np.square(self.map, dtype=np.float64).sum())


def penalty_of(side: "Side", prior: Prior | FixedPrior, pool: Threads) -> float:
    """Return what a solve of rows leaves out: it regularizes them towards a share of the prior."""
    said = prior.rows(pool)
    squares = np.einsum("ij,ij->i", said, said) * (np.diff(side.matrix.indptr) > 0)
    of_rows = (1 - side.share) * float(side.regularization.astype(np.float64) @ squares)
    return side.share * (of_rows + prior.penalty())
