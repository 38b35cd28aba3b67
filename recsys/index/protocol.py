"""What every index is: a user embedding in, the best items out."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.vectors import FloatVector

ItemRows = NDArray[np.int32]


class Index(Protocol):
    """Finds the items with the largest dot products."""

    def search(self, user: FloatVector, k: int, exclude: ItemRows) -> tuple[ItemRows, FloatVector]:
        """Return the best items that are not excluded.

        Parameters
        ----------
        user : ndarray of float32, shape (factors,)
        k : int
            At least 1.
        exclude : ndarray of int32, shape (n_excluded,)
            Rows that must not be returned, ascending and unique.

        Returns
        -------
        item_idx : ndarray of int32, shape (min(k, n_items - n_excluded),)
            Score descending, ties by lower row.
        scores : ndarray of float32, same shape
            Exact dot products.
        """
