"""The index by NumPy alone: the slow twin of the searcher, and its stand-in where that fails."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.vectors import FloatMatrix, FloatVector, top_k
from recsys.vectors.top_k import EXCLUDED

ItemRows = NDArray[np.int32]


class Allowed(NamedTuple):
    """The items that a search may find, in the form that its index reads; `allow` makes one.

    Parameters
    ----------
    n : int
        How many they are.
    is_all : bool
        Whether nothing is left out that has a direction.
    beside : Allowed, optional
        Of the items that are kept beside an index, see `IndexWithMore`.
    """

    mask: NDArray[np.uint16] | NDArray[np.bool_]
    n: int
    is_all: bool = False
    beside: "Allowed | None" = None


class PlainIndex:
    """Scores every item; takes some ten times as long as `Searcher`, whose methods it has.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)
    factor : ndarray of float32, shape (n_items,), optional
        What each score is multiplied by, such as 1 / norm.
    """

    def __init__(self, items: FloatMatrix, factor: FloatVector | None = None) -> None:
        self.items = items
        self._factor = factor

    def allow(self, is_allowed: NDArray[np.bool_]) -> Allowed:
        """Prepare searches among some items; see `Searcher.allow`."""
        return Allowed(is_allowed, int(is_allowed.sum()))

    def search(
        self, user: FloatVector, k: int, exclude: ItemRows, allowed: Allowed | None = None
    ) -> tuple[ItemRows, FloatVector]:
        """Return the best items; see `Searcher.search`."""
        scores = self.items @ user  # (n_items,)
        if self._factor is not None:
            scores *= self._factor
        scores[exclude] = EXCLUDED
        if allowed is not None:
            scores[~allowed.mask.view(np.bool_)] = EXCLUDED
        n_left = int(np.count_nonzero(scores > EXCLUDED))
        if n_left == 0:
            return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        rows, best = top_k(scores[None, :], min(k, n_left))
        return rows[0], best[0]

    def search_many(
        self,
        users: FloatMatrix,
        k: int,
        starts: NDArray[np.int64],
        exclude: ItemRows,
        allowed: Allowed | None = None,
    ) -> tuple[NDArray[np.int32], FloatMatrix]:
        """Return the lists of many users; see `Searcher.search_many`."""
        rows = np.full((len(users), k), -1, dtype=np.int32)
        scores = np.full((len(users), k), EXCLUDED)
        for number, user in enumerate(users):
            excluded = exclude[starts[number] : starts[number + 1]]
            found, best = self.search(user, k, excluded, allowed)
            rows[number, : len(found)], scores[number, : len(found)] = found, best
        return rows, scores

    def rank(self, user: FloatVector, rows: ItemRows, k: int) -> tuple[ItemRows, FloatVector]:
        """Return the best of some items; see `Searcher.rank`."""
        if len(rows) == 0:
            return rows, np.empty(0, dtype=np.float32)
        rows = np.sort(rows)  # ties go to lower rows
        scores = self.items[rows] @ user
        if self._factor is not None:
            scores *= self._factor[rows]
        best, best_scores = top_k(scores[None, :], k)
        return rows[best[0]], best_scores[0]
