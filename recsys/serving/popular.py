"""The popular list: what a user gets of whom nothing is known."""

import numpy as np
from numpy.typing import NDArray

from recsys.index import ItemRows
from recsys.vectors import FloatVector


class PopularItems:
    """Items by the number of their users, ties by lower row.

    Parameters
    ----------
    popularity : ndarray of int64, shape (n_items,)
    """

    def __init__(self, popularity: NDArray[np.int64]) -> None:
        self._popularity = popularity
        self._order = np.argsort(-popularity, kind="stable").astype(np.int32)

    def best(self, k: int, exclude: ItemRows) -> tuple[ItemRows, FloatVector]:
        """Return the k most popular items that are not excluded, and the users of each."""
        # The excluded items take up no more than so many places at the top.
        top = self._order[: k + len(exclude)]
        rows = top[~np.isin(top, exclude)][:k]
        return rows, self._popularity[rows].astype(np.float32)
