"""The popular list, and the lists of many users at once."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.process import usable_cores
from recsys.index import Allowed, Index, ItemRows
from recsys.serving.request import NO_ITEMS, Request
from recsys.serving.results import Recommendations, ScoredItem
from recsys.store import UserTable
from recsys.vectors import FloatMatrix, FloatVector, Id, Ids

_USERS_PER_BLOCK = 256  # that a thread takes at a time: enough to hide what a call costs


class PopularItems:
    """Items by their number of users; recent ones count more where the log has time.

    Parameters
    ----------
    rows : ndarray of int32, shape (n_items,)
        The most popular first.
    popularity : ndarray of float or int, shape (n_items,)
        Of each row: its score in the popular list.
    """

    def __init__(self, rows: NDArray[np.int32], popularity: NDArray[np.generic]) -> None:
        self._rows = rows
        self._popularity = popularity

    def best(
        self, k: int, exclude: ItemRows, is_allowed: NDArray[np.bool_] | None = None
    ) -> tuple[ItemRows, FloatVector]:
        """Return the k most popular items that are allowed and not excluded, and their scores."""
        n = k + len(exclude)  # enough, if all of them are allowed
        while True:
            top = self._rows[:n]
            is_left = ~np.isin(top, exclude)
            if is_allowed is not None:
                is_left &= is_allowed[top]
            rows = top[is_left][:k]
            if len(rows) == k or n >= len(self._rows):
                return rows, self._popularity[rows].astype(np.float32)
            n *= 4


@dataclass(frozen=True, eq=False)
class Lists:
    """The lists of some users, as rows.

    Parameters
    ----------
    item_idx : ndarray of int32, shape (n_users, k)
        Best first; a short list ends in -1.
    scores : ndarray of float32, shape (n_users, k)
    is_personal : ndarray of bool, shape (n_users,)
        Whether a list comes from the user's embedding; otherwise it is the popular one.
    """

    item_idx: NDArray[np.int32]
    scores: FloatMatrix
    is_personal: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Batch:
    """The lists of some users; iterates over `Recommendations`, in the order asked for."""

    user_ids: Sequence[Id]
    lists: Lists
    items: Ids
    version: str

    def __len__(self) -> int:
        return len(self.user_ids)

    def __iter__(self) -> Iterator[Recommendations]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, position: int) -> Recommendations:
        rows, scores = self.lists.item_idx[position], self.lists.scores[position]
        kept = rows >= 0
        found = map(ScoredItem, self.items.tolist(rows[kept]), scores[kept].tolist())
        source = "personal" if self.lists.is_personal[position] else "popular"
        return Recommendations(tuple(found), source, self.version)  # type: ignore[arg-type]

    def to_table(self) -> pa.Table:
        """Return one row per item of a list: user_id, rank from 1, item_id, score, source."""
        is_there = self.lists.item_idx >= 0
        user, rank = np.nonzero(is_there)
        are_text = any(isinstance(user_id, str) for user_id in self.user_ids)
        of_user = pa.array([str(one) for one in self.user_ids] if are_text else list(self.user_ids))
        sources = pa.array(["popular", "personal"])
        return pa.table(
            {
                "user_id": of_user.take(pa.array(user)),
                "rank": pa.array(rank + 1, pa.int32()),
                "item_id": _as_written(
                    self.items.values.take(pa.array(self.lists.item_idx[is_there]))
                ),
                "score": pa.array(self.lists.scores[is_there]),
                "source": sources.take(pa.array(self.lists.is_personal[user].astype(np.int8))),
            }
        )


def lists_of(
    user_idx: NDArray[np.int32],
    request: Request,
    users: UserTable,
    index: Index,
    popular: PopularItems,
) -> Lists:
    """Return the lists of some users, the same as one request for each would give.

    Parameters
    ----------
    user_idx : ndarray of int32, shape (n,)
        Rows, -1 for an unknown user.
    """
    is_allowed = request.is_allowed(len(index.items))
    allowed = None if is_allowed is None else index.allow(is_allowed)
    maker = _ListMaker(request, users, index, popular, is_allowed, allowed)
    blocks = [
        user_idx[first : first + _USERS_PER_BLOCK]
        for first in range(0, len(user_idx), _USERS_PER_BLOCK)
    ]
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = list(pool.map(maker.lists, blocks))
    if not found:
        empty = np.empty((0, request.k), dtype=np.int32)
        return Lists(empty, empty.astype(np.float32), np.empty(0, dtype=np.bool_))
    return Lists(
        np.concatenate([block.item_idx for block in found]),
        np.concatenate([block.scores for block in found]),
        np.concatenate([block.is_personal for block in found]),
    )


@dataclass(frozen=True, eq=False)
class _ListMaker:
    """Makes the lists of a block of users; threads share it."""

    request: Request
    users: UserTable
    index: Index
    popular: PopularItems
    is_allowed: NDArray[np.bool_] | None
    allowed: Allowed | None

    def lists(self, user_idx: NDArray[np.int32]) -> Lists:
        known, k = np.maximum(user_idx, 0), self.request.k
        vectors = self.users.embeddings[known]
        is_personal = (user_idx >= 0) & vectors.any(axis=1)
        starts, exclude = self._seen_of(known[is_personal])
        item_idx = np.full((len(user_idx), k), -1, dtype=np.int32)
        scores = np.full((len(user_idx), k), -np.inf, dtype=np.float32)
        item_idx[is_personal], scores[is_personal] = self.index.search_many(
            vectors[is_personal], k, starts, exclude, self.allowed
        )
        for position in np.flatnonzero(~is_personal).tolist():
            row = int(user_idx[position])
            seen = NO_ITEMS if self.request.include_seen or row < 0 else self.users.seen[row]
            best, popularity = self.popular.best(k, seen, self.is_allowed)
            item_idx[position, : len(best)], scores[position, : len(best)] = best, popularity
        return Lists(item_idx, scores, is_personal)

    def _seen_of(self, user_idx: NDArray[np.int32]) -> tuple[NDArray[np.int64], ItemRows]:
        """Return the seen items of the users in one array, and where each user's begin."""
        starts = np.zeros(len(user_idx) + 1, dtype=np.int64)
        if self.request.include_seen or len(user_idx) == 0:
            return starts, NO_ITEMS
        lists = [self.users.seen[row] for row in user_idx.tolist()]
        np.cumsum([len(one) for one in lists], out=starts[1:])
        return starts, np.concatenate(lists)


def _as_written(ids: pa.Array) -> pa.Array:
    return ids.cast(pa.string()) if pa.types.is_large_string(ids.type) else ids
