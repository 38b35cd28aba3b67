"""The popular list: what a user gets of whom nothing is known."""

import numpy as np
from numpy.typing import NDArray

from recsys.index import ItemRows
from recsys.vectors import FloatVector


class PopularItems:
    """Items by their number of users, of late where the log has time.

    Parameters
    ----------
    rows : ndarray of int32, shape (n_items,)
        The most popular first.
    popularity : ndarray of float or int, shape (n_items,)
        What is told as the score of each.
    """

    def __init__(self, rows: NDArray[np.int32], popularity: NDArray[np.generic]) -> None:
        self._rows = rows
        self._popularity = popularity

    def best(
        self, k: int, exclude: ItemRows, is_allowed: NDArray[np.bool_] | None = None
    ) -> tuple[ItemRows, FloatVector]:
        """Return the k most popular items that are allowed and not excluded, and their scores."""
        # The excluded items take up no more than so many places at the top.
        n_looked_at = k + len(exclude)
        while True:
            top = self._rows[:n_looked_at]
            is_left = ~np.isin(top, exclude)
            if is_allowed is not None:
                is_left &= is_allowed[top]
            rows = top[is_left][:k]
            if len(rows) == k or n_looked_at >= len(self._rows):
                return rows, self._popularity[rows].astype(np.float32)
            n_looked_at *= 4
