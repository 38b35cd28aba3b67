"""Lists that need no search of one user: the popular list, and lists of many users."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.process import usable_cores
from recsys.index import Allowed, Index, ItemRows
from recsys.serving.results import Recommendations, ScoredItem
from recsys.store import UserTable
from recsys.vectors import FloatMatrix, FloatVector, Id, Ids


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


_USERS_AT_ONCE = 256  # that a thread takes; enough to forget what a call costs

MakeLists = Callable[[NDArray[np.int32]], "Lists"]


@dataclass(frozen=True, eq=False)
class Lists:
    """The lists of some users, as rows.

    Parameters
    ----------
    item_idx : ndarray of int32, shape (n_users, k)
        Best first; behind the end of a short list stands -1.
    scores : ndarray of float32, shape (n_users, k)
    is_personal : ndarray of bool, shape (n_users,)
        Whether a list comes from the user's embedding; otherwise it is the popular one.
    """

    item_idx: NDArray[np.int32]
    scores: FloatMatrix
    is_personal: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Batch:
    """The lists of some users; iterates over `Recommendations`, in the order asked for.

    Parameters
    ----------
    user_ids : sequence of str or int
    lists : Lists
    items : Ids
    version : str
    """

    user_ids: Sequence[Id]
    lists: Lists
    items: Ids
    version: str

    def __len__(self) -> int:
        return len(self.user_ids)

    def __iter__(self) -> Iterator[Recommendations]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, place: int) -> Recommendations:
        rows, scores = self.lists.item_idx[place], self.lists.scores[place]
        kept = rows >= 0
        found = map(ScoredItem, self.items.tolist(rows[kept]), scores[kept].tolist())
        source = "personal" if self.lists.is_personal[place] else "popular"
        return Recommendations(tuple(found), source, self.version)  # type: ignore[arg-type]

    def to_table(self) -> pa.Table:
        """Return one row per item of a list: user_id, rank from 1, item_id, score, source."""
        is_there = self.lists.item_idx >= 0
        user, place = np.nonzero(is_there)
        are_text = any(isinstance(user_id, str) for user_id in self.user_ids)
        of_user = pa.array([str(one) for one in self.user_ids] if are_text else list(self.user_ids))
        sources = pa.array(["popular", "personal"])
        return pa.table(
            {
                "user_id": of_user.take(pa.array(user)),
                "rank": pa.array(place + 1, pa.int32()),
                "item_id": _as_written(
                    self.items.values.take(pa.array(self.lists.item_idx[is_there]))
                ),
                "score": pa.array(self.lists.scores[is_there]),
                "source": sources.take(pa.array(self.lists.is_personal[user].astype(np.int8))),
            }
        )


def lists_of(
    users: UserTable,
    user_idx: NDArray[np.int32],
    k: int,
    index: Index,
    popular: PopularItems,
    *,
    include_seen: bool = False,
    is_allowed: NDArray[np.bool_] | None = None,
) -> Lists:
    """Return the lists of some users, those that one call for each would give.

    Parameters
    ----------
    users : UserTable
    user_idx : ndarray of int32, shape (n,)
        Rows, -1 for a user that is not known.
    k : int
    index : Index
    popular : PopularItems
    include_seen : bool
    is_allowed : ndarray of bool, shape (n_items,), optional
        The only items that lists may hold. Default: all.
    """
    allowed = None if is_allowed is None else index.allow(is_allowed)
    parts = [
        user_idx[first : first + _USERS_AT_ONCE]
        for first in range(0, len(user_idx), _USERS_AT_ONCE)
    ]

    def work(rows: NDArray[np.int32]) -> Lists:
        return _part(users, rows, k, index, popular, allowed, is_allowed, include_seen)

    with ThreadPoolExecutor(usable_cores()) as pool:
        found = list(pool.map(work, parts))
    if not found:
        empty = np.empty((0, k), dtype=np.int32)
        return Lists(empty, empty.astype(np.float32), np.empty(0, dtype=np.bool_))
    return Lists(
        np.concatenate([part.item_idx for part in found]),
        np.concatenate([part.scores for part in found]),
        np.concatenate([part.is_personal for part in found]),
    )


def _part(
    users: UserTable,
    user_idx: NDArray[np.int32],
    k: int,
    index: Index,
    popular: PopularItems,
    allowed: Allowed | None,
    is_allowed: NDArray[np.bool_] | None,
    include_seen: bool,
) -> Lists:
    known = np.maximum(user_idx, 0)
    vectors = users.embeddings[known]
    is_personal = (user_idx >= 0) & vectors.any(axis=1)
    starts, exclude = _seen_of(users, known[is_personal], include_seen)
    item_idx = np.full((len(user_idx), k), -1, dtype=np.int32)
    scores = np.full((len(user_idx), k), -np.inf, dtype=np.float32)
    item_idx[is_personal], scores[is_personal] = index.search_many(
        vectors[is_personal], k, starts, exclude, allowed
    )
    for place in np.flatnonzero(~is_personal).tolist():
        row = int(user_idx[place])
        seen = exclude[:0] if include_seen or row < 0 else users.seen[row]
        best, popularity = popular.best(k, seen, is_allowed)
        item_idx[place, : len(best)], scores[place, : len(best)] = best, popularity
    return Lists(item_idx, scores, is_personal)


def _seen_of(
    users: UserTable, user_idx: NDArray[np.int32], include_seen: bool
) -> tuple[NDArray[np.int64], ItemRows]:
    """Return what the users have seen, one after the other, and where each begins."""
    starts = np.zeros(len(user_idx) + 1, dtype=np.int64)
    if include_seen:
        return starts, np.empty(0, dtype=np.int32)
    lists = [users.seen[row] for row in user_idx.tolist()]
    np.cumsum([len(one) for one in lists], out=starts[1:])
    return starts, np.concatenate(lists) if lists else np.empty(0, dtype=np.int32)


def _as_written(ids: pa.Array) -> pa.Array:
    return ids.cast(pa.string()) if pa.types.is_large_string(ids.type) else ids
