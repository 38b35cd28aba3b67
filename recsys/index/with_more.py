"""An index with some more items beside it, which were not there when it was built."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recsys.index.plain import Allowed, ItemRows
from recsys.index.searcher import Searcher
from recsys.vectors import FloatMatrix, FloatVector
from recsys.vectors.top_k import EXCLUDED

if TYPE_CHECKING:
    from recsys.index.build import Index


class IndexWithMore:
    """Searches an index and a small exact one of the items after its own, and joins their lists.

    Parameters
    ----------
    index : Index
        One that was built.
    items : ndarray of float32, shape (n_items, factors)
        Those of the index, then the others.
    cosine : bool
        Whether the index is one of directions.
    """

    def __init__(self, index: "Index", items: FloatMatrix, *, cosine: bool = False) -> None:
        self.items, self._index, self._n = items, index, len(index.items)
        self._more = Searcher.of(np.ascontiguousarray(items[self._n :]), cosine=cosine)

    def allow(self, is_allowed: NDArray[np.bool_]) -> Allowed:
        """Prepare searches among some items; see `Searcher.allow`."""
        own, more = (
            one.allow(part)
            for one, part in (
                (self._index, is_allowed[: self._n]),
                (self._more, is_allowed[self._n :]),
            )
        )
        return own._replace(n=own.n + more.n, is_all=own.is_all and more.is_all, beside=more)

    def search(
        self, user: FloatVector, k: int, exclude: ItemRows, allowed: Allowed | None = None
    ) -> tuple[ItemRows, FloatVector]:
        """Return the best items; see `Searcher.search`."""
        of_more = exclude >= self._n
        own = None if allowed is None else _own(allowed)
        beside = None if allowed is None else allowed.beside
        return self._best(
            k,
            self._index.search(user, k, exclude[~of_more], own),
            self._more.search(user, k, exclude[of_more] - np.int32(self._n), beside),
        )

    def search_many(
        self,
        users: FloatMatrix,
        k: int,
        starts: NDArray[np.int64],
        exclude: ItemRows,
        allowed: Allowed | None = None,
    ) -> tuple[NDArray[np.int32], FloatMatrix]:
        """Return the lists of many users; see `Searcher.search_many`."""
        of_more = exclude >= self._n
        counts = np.concatenate([[0], np.cumsum(of_more)])
        before = counts[starts]  # exclusions among more, before those of each user
        own = None if allowed is None else _own(allowed)
        beside = None if allowed is None else allowed.beside
        lists = (
            self._index.search_many(users, k, starts - before, exclude[~of_more], own),
            self._more.search_many(users, k, before, exclude[of_more] - np.int32(self._n), beside),
        )
        more_rows = np.where(lists[1][0] < 0, -1, lists[1][0] + self._n)
        rows = np.concatenate([lists[0][0], more_rows], axis=1).astype(np.int32)
        scores = np.concatenate([lists[0][1], lists[1][1]], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # of equals, the lower row first
        taken = (np.take_along_axis(one, order, axis=1) for one in (rows, scores))
        rows, scores = taken
        rows[scores == EXCLUDED] = -1
        return np.ascontiguousarray(rows), np.ascontiguousarray(scores)

    def rank(self, user: FloatVector, rows: ItemRows, k: int) -> tuple[ItemRows, FloatVector]:
        """Return the best of some items; see `Searcher.rank`."""
        of_more = rows >= self._n
        return self._best(
            k,
            self._index.rank(user, rows[~of_more], k),
            self._more.rank(user, rows[of_more] - np.int32(self._n), k),
        )

    def _best(
        self, k: int, own: tuple[ItemRows, FloatVector], more: tuple[ItemRows, FloatVector]
    ) -> tuple[ItemRows, FloatVector]:
        rows = np.concatenate([own[0], more[0] + np.int32(self._n)])
        scores = np.concatenate([own[1], more[1]])
        best = np.argsort(-scores, kind="stable")[:k]  # of equals, the lower row first
        return rows[best], scores[best]


def _own(allowed: Allowed) -> Allowed:
    more = 0 if allowed.beside is None else allowed.beside.n
    return allowed._replace(n=allowed.n - more, beside=None)
