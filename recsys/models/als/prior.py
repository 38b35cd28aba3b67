"""What the rows of one side of ALS are regularized towards: a linear map of their features."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.aligned import aligned_zeros
from recsys.base.threads import Threads, threads
from recsys.features.factored import FeatureRows
from recsys.features.ridge import DEFAULT_RIDGE, Ridge, is_wide, regression_of, said_of
from recsys.features.ridge_choice import RidgeSetting, chosen_ridge
from recsys.features.ridge_steps import RidgeSteps
from recsys.models.als.gram import turn
from recsys.vectors import FloatMatrix

if TYPE_CHECKING:
    from recsys.models.als.sweep import Side

_FIRST_STEP, _EPOCHS_OF_A_STEP = 3, 2  # a step in each epoch was no better, of fewer lists suffered


@dataclass
class FixedPrior:
    """What each row of a side is regularized towards, found before."""

    map: FloatMatrix  # (n_rows, width): each row is a feature of its own

    def turn(self, basis: FloatMatrix, pool: Threads) -> None:
        """Turn with the rows."""
        turn(self.map, basis, pool)

    def follow(self, vectors: FloatMatrix, pool: Threads) -> None:
        """Leave it as it is."""

    def solve(self, vectors: FloatMatrix, pool: Threads) -> None:
        """Leave it as it is."""

    def rows(self, _pool: Threads) -> FloatMatrix:
        """Return it."""
        return self.map

    def pulls(self, share: float, pool: Threads) -> FloatMatrix:
        """Return a share of it."""
        return np.float32(share) * self.rows(pool)

    def squares(self, side: "Side", _pool: Threads) -> tuple[float, float]:
        """Return the squares of these rows as a side weighs them, and 0: nothing was solved."""
        return _squares_of(side, self.map), 0.0


class Prior:
    r"""The map W of one side, which minimizes :math:`\sum_i r_i |y_i - W' f_i|^2 + \mu |W|^2`.

    Its system depends on features and weights alone. A small one is factorized once, and solved in
    each epoch; a wide one, as that of texts, takes a step in some of them, as the rows do, and is
    solved at the end alone.

    Parameters
    ----------
    features : csr_array or FeatureRows, shape (n_rows, n_features)
    weights : ndarray, shape (n_rows,)
        r, the regularization of each row; 0 for a row without interactions.
    ridge : float or "auto"
        In mean weights. "auto": `DEFAULT_RIDGE`, and for rows that nobody has touched as
        `chosen_ridge` says.
    """

    def __init__(
        self,
        features: sp.csr_array | FeatureRows,
        weights: NDArray[np.floating],
        ridge: RidgeSetting,
        width: int,
    ) -> None:
        self._features, self._weights, self._ridge = features, weights, ridge
        self._width = width
        self._regression: Ridge | RidgeSteps | None = None
        self._bases: dict[int, FloatMatrix] = {}  # by which what is kept is still to be turned
        self._pulls: FloatMatrix = np.zeros((0, width), dtype=np.float32)
        self._squares: tuple[float, float] | None = None  # none that is still right
        self._n_asked = 0

    def of_new_rows(self, vectors: FloatMatrix, others: FloatMatrix, pool: Threads) -> "Prior":
        """Return the same, solved, with all rows counting alike, for rows that nobody has touched.

        Most rows are rare, and so are new ones at first: what popular items have in common says
        less of them. `others` are the vectors of the other side, in whose scores an error counts.
        """
        ones = (self._weights > 0).astype(np.float64)
        ridge = self._ridge
        if ridge == "auto":
            ridge = chosen_ridge(self._features, vectors, ones, others)
        found = Prior(self._features, ones, ridge, self._width)
        self._turn_kept(pool)
        if isinstance(self._regression, RidgeSteps):  # goes on from the map that it has
            self._regression.reweigh(ones, ridge)
            found._regression = self._regression
        found.solve(vectors, pool)
        return found

    @property
    def ridge(self) -> float:
        """The ridge of the map."""
        return DEFAULT_RIDGE if self._ridge == "auto" else self._ridge

    @property
    def map(self) -> FloatMatrix:
        """W, (n_features, width)."""
        if self._regression is None:
            return np.zeros((self._features.shape[1], self._width), dtype=np.float32)
        with threads() as pool:
            self._turn_kept(pool)
        return self._regression.map

    def turn(self, basis: FloatMatrix, _pool: Threads) -> None:
        """Turn with the rows: what is kept turns when it is asked for, by all bases at once."""
        for number in range(self._n_kept):
            before = self._bases.get(number)
            self._bases[number] = basis if before is None else before @ basis

    @property
    def _n_kept(self) -> int:
        return 0 if self._regression is None else len(self._regression.in_space)

    def _turn_kept(self, pool: Threads, first: int = 0) -> None:
        """Turn what the regression keeps, from a number on."""
        for number in range(first, self._n_kept):
            if number in self._bases and self._regression is not None:
                turn(self._regression.in_space[number], self._bases.pop(number), pool)

    def follow(self, vectors: FloatMatrix, pool: Threads) -> None:
        """Bring the map nearer to the rows as they are in an epoch, or solve it."""
        self._n_asked += 1
        since = self._n_asked - _FIRST_STEP
        if is_wide(self._features) and (since < 0 or since % _EPOCHS_OF_A_STEP):
            return
        regression = self._regression_of(pool)
        self._turn_kept(pool)
        if isinstance(regression, Ridge):
            regression.solve(vectors, pool)
        else:
            regression.solve(vectors, pool, steps=1)
        self._squares = None

    def solve(self, vectors: FloatMatrix, pool: Threads) -> None:
        """Solve the map for the rows as they are."""
        self._turn_kept(pool)
        self._regression_of(pool).solve(vectors, pool)
        self._squares = None

    def rows(self, pool: Threads) -> FloatMatrix:
        """Return what each row is regularized towards, (n_rows, width); no rows: towards 0."""
        self._turn_kept(pool, first=self._n_kept - 1)  # the last are rows, or all there is
        if isinstance(self._regression, Ridge):
            return said_of(self._features, self._regression.map, pool)
        if self._regression is None:
            return np.zeros((0, self._width), dtype=np.float32)
        return self._regression.said

    def pulls(self, share: float, pool: Threads) -> FloatMatrix:
        """Return a share of the same, in memory that the next call takes again."""
        rows = self.rows(pool)
        if len(rows) != len(self._pulls):
            self._pulls = aligned_zeros(*rows.shape)
        return np.multiply(np.float32(share), rows, out=self._pulls)

    def squares(self, side: "Side", pool: Threads) -> tuple[float, float]:
        """Return the squares of what rows of this side are regularized towards, and ``mu |W|^2``.

        They stay the same when all turns, so that few epochs ask for them anew.
        """
        if self._squares is None:
            of_map = 0.0
            self._turn_kept(pool)
            if self._regression is not None:
                of_map = self._regression.penalty * self._regression.square
            self._squares = _squares_of(side, self.rows(pool)), of_map
        return self._squares

    def _regression_of(self, pool: Threads) -> Ridge | RidgeSteps:
        if self._regression is None:
            given = self._features, self._weights, self.ridge, self._width
            self._regression = regression_of(*given, pool)
        return self._regression


def penalty_of(side: "Side", prior: Prior | FixedPrior, pool: Threads) -> float:
    """Return what a solve of rows leaves out: it regularizes them towards a share of the prior."""
    of_rows, of_map = prior.squares(side, pool)
    return side.share * ((1 - side.share) * of_rows + of_map)


def _squares_of(side: "Side", rows: FloatMatrix) -> float:
    """Return the squares of rows as a side weighs them; 0 of none."""
    if not len(rows):
        return 0.0
    counts = np.where(np.diff(side.matrix.indptr) > 0, side.regularization, 0).astype(np.float64)
    return float(counts @ np.einsum("ij,ij->i", rows, rows))
