"""Items in an order that is the same for everybody, such as by popularity."""

import numpy as np
from numpy.typing import NDArray

from recsys.index import ItemRows
from recsys.vectors import FloatVector


class ItemOrder:
    """Items in one order for everybody, such as by their number of users."""

    def __init__(self, rows: NDArray[np.int32], scores: NDArray[np.generic]) -> None:
        self._rows = rows  # (n_listed,), the first one first
        self._scores = scores  # (n_items,), of each row
        self._kind = np.float64 if scores.dtype == np.float64 else np.float32  # of a list

    def best(
        self, k: int, exclude: ItemRows, is_allowed: NDArray[np.bool_] | None = None
    ) -> tuple[ItemRows, FloatVector]:
        """Return the first k items that are allowed and not excluded, and their scores."""
        n = k + len(exclude)  # enough, if all of them are allowed
        while True:
            top = self._rows[:n]
            is_left = ~np.isin(top, exclude)
            if is_allowed is not None:
                is_left &= is_allowed[top]
            rows = top[is_left][:k]
            if len(rows) == k or n >= len(self._rows):
                return rows, self._scores[rows].astype(self._kind)
            n *= 4
