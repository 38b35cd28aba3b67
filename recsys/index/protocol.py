"""What every index is: a user embedding in, the best items out."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.vectors import FloatMatrix, FloatVector

ItemRows = NDArray[np.int32]


class Allowed(NamedTuple):
    """The items that a search may find, as its index wants them; `Index.allow` makes one.

    Parameters
    ----------
    mask : ndarray
    n : int
        How many they are.
    """

    mask: NDArray[np.uint16] | NDArray[np.bool_]
    n: int


class Index(Protocol):
    """Finds the items with the largest dot products."""

    items: FloatMatrix

    def allow(self, is_allowed: NDArray[np.bool_]) -> Allowed:
        """Prepare, once, searches among some items only.

        Parameters
        ----------
        is_allowed : ndarray of bool, shape (n_items,)
        """

    def search(
        self, user: FloatVector, k: int, exclude: ItemRows, allowed: Allowed | None = None
    ) -> tuple[ItemRows, FloatVector]:
        """Return the best items that are allowed and not excluded.

        Parameters
        ----------
        user : ndarray of float32, shape (factors,)
        k : int
            At least 1.
        exclude : ndarray of int32, shape (n_excluded,)
            Rows that must not be returned, in any order.
        allowed : Allowed, optional
            Default: all items.

        Returns
        -------
        item_idx : ndarray of int32, shape (n_found,)
            Of k items, or of as many as are left. Score descending, ties by lower row.
        scores : ndarray of float32, same shape
            Exact dot products, or cosines where the index is one of directions.
        """
