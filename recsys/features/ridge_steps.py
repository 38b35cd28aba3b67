r"""The ridge regression of `recsys.features.ridge` by conjugate gradients, for very many features.

A text has thousands of columns, and a dense system of so many costs more than the fit that asks for
it. Here nothing of that size is factorized: a step multiplies by the sparse features and by their
transpose. Of the two systems, that of the features,

.. math:: (F' R F + \mu I)\, W = F' R\, Y,

is taken where there are no more features than rows, and otherwise that of the rows,
:math:`(F F' + \mu R^{-1})\, X = Y` of :math:`W = F' X`. Both go on from where they are: the
embeddings of a later epoch need few steps.

What the heaviest features say, such as the constant and frequent words, has by far the largest
eigenvalues. A preconditioner knows it exactly, and of all other features the diagonal (Hestenes and
Stiefel 1952; Woodbury 1950): of the system of the rows it is the inverse of
:math:`F_h F_h' + D`, of that of the features the inverse of the block of the heaviest ones. So a
step of each factor by itself is as good as one of all factors as a block, whose inner products
alone took several times the sparse ones.

Sixteen factors are solved at a time, by one thread, in one compiled call
(`recsys.features.panel_solver`). With nnz entries and d factors, a step takes ``4 nnz d`` flops for
the products.
"""

from functools import partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.aligned import aligned_zeros
from recsys.base.simd import N_LANES
from recsys.base.threads import Threads
from recsys.features.factored import FeatureRows
from recsys.features.panel_solver import Panel, Room, map_panel, solve_panel
from recsys.features.systems import Systems
from recsys.vectors import FloatMatrix

TOLERANCE = 2e-2  # of what a map says of rows, by a bound: it is nearer
_MOST_STEPS = 400


class RidgeSteps:
    """The map of some rows, as it is after the steps so far.

    Beside the features it keeps, of each of n rows and m of the system, n + m vectors, and for each
    thread that worked 16 columns of some more.

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
        self._features = FeatureRows.of(features)
        self._is_primal = features.shape[1] <= int(np.count_nonzero(weights))
        self._systems = Systems(self._features, is_primal=self._is_primal)
        m = features.shape[1 if self._is_primal else 0]
        self._solution = aligned_zeros(m, width)  # W, or X
        self._said = aligned_zeros(features.shape[0], width)  # F W
        self._rooms: list[Room] = []  # that no thread uses
        self.reweigh(weights, ridge)

    def reweigh(self, weights: NDArray[np.floating], ridge: float) -> None:
        """Let rows count otherwise from now on; those of weight 0 stay the same."""
        counts = (weights > 0) & self._features.is_known
        self.penalty = ridge * float(weights[counts].mean()) if counts.any() else 1.0
        self._weights = np.where(counts, weights, 0).astype(np.float32)
        self._system = self._systems.of(self._weights, self.penalty)

    @property
    def in_space(self) -> tuple[FloatMatrix, ...]:
        """What turns with the embeddings; the last is what is said."""
        return self._solution, self._said

    @property
    def map(self) -> FloatMatrix:
        """W, float32 (n_features, width)."""
        if self._is_primal:
            return self._solution
        found = aligned_zeros(self._features.shape[1], self._solution.shape[1])
        for first in range(0, found.shape[1], N_LANES):
            room = self._room()
            map_panel(self._system, self._solution, first, room, found)
            self._rooms.append(room)
        return found

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
            return
        panels = range(0, vectors.shape[1], N_LANES)
        enough = 0.0 if steps else self._enough(vectors) / len(panels)
        work = partial(self._solve_panel, vectors, steps or _MOST_STEPS, enough)
        pool.map(work, panels)

    def _solve_panel(self, vectors: FloatMatrix, steps: int, enough: float, first: int) -> None:
        room = self._room()
        panel = Panel(vectors, self._solution, self._said, first)
        solve_panel(self._system, panel, room, steps, enough)
        self._rooms.append(room)

    def _room(self) -> Room:
        """Return room that no other thread uses."""
        try:
            return self._rooms.pop()
        except IndexError:
            return self._systems.room()

    def _enough(self, vectors: FloatMatrix) -> float:
        """Return the square of a residual that is small enough.

        What is said differs by ``A (A'A + mu)^-1`` of the residual, where A is ``R^1/2 F``: at most
        ``1 / (2 sqrt(mu))`` of it; of the system of the rows, at most all of it.
        """
        square = float(self._weights @ np.einsum("ij,ij->i", vectors, vectors))
        return TOLERANCE**2 * square * (4 * self.penalty if self._is_primal else 1.0)
