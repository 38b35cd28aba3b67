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

    def search_many(
        self,
        users: FloatMatrix,
        k: int,
        starts: NDArray[np.int64],
        exclude: ItemRows,
        allowed: Allowed | None = None,
    ) -> tuple[NDArray[np.int32], FloatMatrix]:
        """Return the lists of many users, those that `search` gives.

        Threads may call it at once, and do without Python's lock.

        Parameters
        ----------
        users : ndarray of float32, shape (n, factors)
        k : int
        starts : ndarray of int64, shape (n + 1,)
            User j must not get ``exclude[starts[j]:starts[j + 1]]``.
        exclude : ndarray of int32
        allowed : Allowed, optional

        Returns
        -------
        item_idx : ndarray of int32, shape (n, k)
            Behind the end of a short list stands -1.
        scores : ndarray of float32, shape (n, k)
            Behind the end of a short list stands minus infinity.
        """

    def rank(self, user: FloatVector, rows: ItemRows, k: int) -> tuple[ItemRows, FloatVector]:
        """Return the best of some items, every one of which is scored.

        Parameters
        ----------
        user : ndarray of float32, shape (factors,)
        rows : ndarray of int32, shape (n,)
            None of them twice.
        k : int
        """
