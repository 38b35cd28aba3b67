"""Exact search: every item is scored, or shown not to need it."""

import numpy as np
from numpy.typing import NDArray

from recsys.index.catalogue import CodedItems
from recsys.index.codes import encode_items
from recsys.index.protocol import Allowed, ItemRows
from recsys.vectors import FloatMatrix, FloatVector, top_k
from recsys.vectors.top_k import EXCLUDED


class ExactIndex:
    """Search by a compiled scan in 8 bits, with exact scores of all who may be among the best.

    What rounding to 8 bits can have changed is bounded for every item, so the list is that of a
    search in float32.

    Parameters
    ----------
    coded : CodedItems
        Such as `ExactIndex.of` and `open_codes` make.

    Examples
    --------
    >>> import numpy as np
    >>> index = ExactIndex.of(np.array([[1], [3], [2]], dtype=np.float32))
    >>> index.search(np.ones(1, dtype=np.float32), k=2, exclude=np.array([1], dtype=np.int32))
    (array([2, 0], dtype=int32), array([2., 1.], dtype=float32))
    """

    def __init__(self, coded: CodedItems) -> None:
        self.items = coded.items
        self._coded = coded

    @classmethod
    def of(cls, items: FloatMatrix, *, cosine: bool = False) -> "ExactIndex":
        """Encode items in memory, for searches by dot product or by cosine."""
        return cls(CodedItems(items, encode_items(items, cosine=cosine)))

    @property
    def factor(self) -> FloatVector | None:
        """What the product with each item is multiplied by; None for 1."""
        factor = self._coded.codes.factor
        return factor if len(factor) else None

    def allow(self, is_allowed: NDArray[np.bool_]) -> Allowed:
        """Prepare searches among some items; see `recsys.index.Index.allow`."""
        return self._coded.allow(is_allowed)

    def search(
        self, user: FloatVector, k: int, exclude: ItemRows, allowed: Allowed | None = None
    ) -> tuple[ItemRows, FloatVector]:
        """Return the best items; see `recsys.index.Index.search`."""
        return self._coded.search(user, k, exclude, allowed)

    def search_many(
        self,
        users: FloatMatrix,
        k: int,
        starts: NDArray[np.int64],
        exclude: ItemRows,
        allowed: Allowed | None = None,
    ) -> tuple[NDArray[np.int32], FloatMatrix]:
        """Return the lists of many users; see `recsys.index.Index.search_many`."""
        return self._coded.search_many(users, k, starts, exclude, allowed)

    def rank(self, user: FloatVector, rows: ItemRows, k: int) -> tuple[ItemRows, FloatVector]:
        """Return the best of some items; see `recsys.index.Index.rank`."""
        return self._coded.rank(user, rows, k)


class PlainIndex:
    """The same by NumPy alone, some ten times as slow: for machines that the kernel fails on.

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
        """Prepare searches among some items; see `recsys.index.Index.allow`."""
        return Allowed(is_allowed, int(is_allowed.sum()))

    def search(
        self, user: FloatVector, k: int, exclude: ItemRows, allowed: Allowed | None = None
    ) -> tuple[ItemRows, FloatVector]:
        """Return the best items; see `recsys.index.Index.search`."""
        scores = self.items @ user
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
        """Return the lists of many users; see `recsys.index.Index.search_many`."""
        rows = np.full((len(users), k), -1, dtype=np.int32)
        scores = np.full((len(users), k), EXCLUDED)
        for place, user in enumerate(users):
            left_out = exclude[starts[place] : starts[place + 1]]
            found, best = self.search(user, k, left_out, allowed)
            rows[place, : len(found)], scores[place, : len(found)] = found, best
        return rows, scores

    def rank(self, user: FloatVector, rows: ItemRows, k: int) -> tuple[ItemRows, FloatVector]:
        """Return the best of some items; see `recsys.index.Index.rank`."""
        if len(rows) == 0:
            return rows, np.empty(0, dtype=np.float32)
        rows = np.sort(rows)  # ties go to lower rows
        scores = self.items[rows] @ user
        if self._factor is not None:
            scores *= self._factor[rows]
        places, best = top_k(scores[None, :], k)
        return rows[places[0]], best[0]
