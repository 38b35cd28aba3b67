"""The popular list, and the lists of many users at once."""

import operator
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.process import usable_cores
from recsys.index import Allowed, Index, ItemRows
from recsys.serving.request import NO_ITEMS, Request
from recsys.serving.results import Recommendations, ScoredItem, Source
from recsys.store import UserTable
from recsys.vectors import FloatMatrix, FloatVector, Id, Ids

if TYPE_CHECKING:
    import scipy.sparse as sp

_USERS_PER_BLOCK = 256  # that a thread takes at a time: enough to hide what a call costs

SOURCES: tuple[Source, ...] = ("popular", "personal", "fold_in")
POPULAR, PERSONAL, FOLD_IN = range(3)


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
    source : ndarray of int8, shape (n_users,)
        Where a list came from, as its place in `SOURCES`.
    """

    item_idx: NDArray[np.int32]
    scores: FloatMatrix
    source: NDArray[np.int8]

    @property
    def is_personal(self) -> NDArray[np.bool_]:
        """Whether a list comes from the user's own embedding, (n_users,)."""
        return np.equal(self.source, PERSONAL)

    def __getitem__(self, positions: slice) -> "Lists":
        return Lists(self.item_idx[positions], self.scores[positions], self.source[positions])


@dataclass(frozen=True, eq=False)
class Batch:
    """The lists of some users; iterates over `Recommendations`, in the order asked for.

    A position gives the `Recommendations` of one user, a slice a `Batch` of several.
    """

    user_ids: Sequence[Id]
    lists: Lists
    items: Ids
    version: str

    def __len__(self) -> int:
        return len(self.user_ids)

    def __iter__(self) -> Iterator[Recommendations]:
        return map(self.__getitem__, range(len(self)))

    @overload
    def __getitem__(self, position: int) -> Recommendations: ...

    @overload
    def __getitem__(self, position: slice) -> "Batch": ...

    def __getitem__(self, position: int | slice) -> "Recommendations | Batch":
        if isinstance(position, slice):
            user_ids = self.user_ids[position]
            return Batch(user_ids, self.lists[position], self.items, self.version)
        position = operator.index(position)  # a TypeError of anything else
        rows, scores = self.lists.item_idx[position], self.lists.scores[position]
        kept = rows >= 0
        found = map(ScoredItem, self.items.tolist(rows[kept]), scores[kept].tolist())
        source = SOURCES[int(self.lists.source[position])]
        return Recommendations(tuple(found), source, self.version)

    def to_table(self) -> pa.Table:
        """Return one row per item of a list: user_id, rank from 1, item_id, score, source."""
        is_there = self.lists.item_idx >= 0
        user, rank = np.nonzero(is_there)
        are_text = any(isinstance(user_id, str) for user_id in self.user_ids)
        of_user = pa.array([str(one) for one in self.user_ids] if are_text else list(self.user_ids))
        sources = pa.array(SOURCES)
        return pa.table(
            {
                "user_id": of_user.take(pa.array(user)),
                "rank": pa.array(rank + 1, pa.int32()),
                "item_id": _as_written(
                    self.items.values.take(pa.array(self.lists.item_idx[is_there]))
                ),
                "score": pa.array(self.lists.scores[is_there]),
                "source": sources.take(pa.array(self.lists.source[user])),
            }
        )


@dataclass(frozen=True, eq=False)
class FoldedIn:
    """Users who are known by a history alone.

    Parameters
    ----------
    position : ndarray of int64, shape (n_users,)
        Of all users asked for: the row of a user's history, -1 for one without.
    histories : csr_array, shape (n_histories, n_items)
    vectors : ndarray of float32, shape (n_histories, factors)
    """

    position: NDArray[np.int64]
    histories: "sp.csr_array"
    vectors: FloatMatrix

    def seen(self, position: int) -> ItemRows:
        """Return the items of a history."""
        start, end = self.histories.indptr[position : position + 2]
        return np.asarray(self.histories.indices[start:end], dtype=np.int32)


def lists_of(
    user_idx: NDArray[np.int32],
    request: Request,
    users: UserTable,
    index: Index,
    popular: PopularItems,
    folded: FoldedIn | None = None,
) -> Lists:
    """Return the lists of some users, the same as one request for each would give.

    Parameters
    ----------
    user_idx : ndarray of int32, shape (n,)
        Rows, -1 for an unknown user.
    folded : FoldedIn, optional
        Those of the unknown users who have a history.
    """
    is_allowed = request.is_allowed(len(index.items))
    allowed = None if is_allowed is None else index.allow(is_allowed)
    maker = _ListMaker(user_idx, folded, request, users, index, popular, is_allowed, allowed)
    blocks = [
        slice(first, first + _USERS_PER_BLOCK)
        for first in range(0, len(user_idx), _USERS_PER_BLOCK)
    ]
    with ThreadPoolExecutor(usable_cores()) as pool:
        found = list(pool.map(maker.lists, blocks))
    if not found:
        empty = np.empty((0, request.k), dtype=np.int32)
        return Lists(empty, empty.astype(np.float32), np.empty(0, dtype=np.int8))
    return Lists(
        np.concatenate([block.item_idx for block in found]),
        np.concatenate([block.scores for block in found]),
        np.concatenate([block.source for block in found]),
    )


@dataclass(frozen=True, eq=False)
class _ListMaker:
    """Makes the lists of a block of users; threads share it."""

    user_idx: NDArray[np.int32]
    folded: FoldedIn | None
    request: Request
    users: UserTable
    index: Index
    popular: PopularItems
    is_allowed: NDArray[np.bool_] | None
    allowed: Allowed | None

    def lists(self, block: slice) -> Lists:
        """Return the lists of the users at some positions."""
        user_idx, k = self.user_idx[block], self.request.k
        vectors, source = self._vectors_of(block)
        seen = self._seen_of(block)
        item_idx = np.full((len(user_idx), k), -1, dtype=np.int32)
        scores = np.full((len(user_idx), k), -np.inf, dtype=np.float32)
        is_searched = source != POPULAR
        searched = [seen[position] for position in np.flatnonzero(is_searched).tolist()]
        starts = np.zeros(len(searched) + 1, dtype=np.int64)
        np.cumsum([len(one) for one in searched], out=starts[1:])
        exclude = np.concatenate(searched) if searched else NO_ITEMS
        self.users.seen.require_items(exclude, len(self.index.items))
        item_idx[is_searched], scores[is_searched] = self.index.search_many(
            vectors[is_searched], k, starts, exclude, self.allowed
        )
        for position in np.flatnonzero(~is_searched).tolist():
            best, popularity = self.popular.best(k, seen[position], self.is_allowed)
            item_idx[position, : len(best)], scores[position, : len(best)] = best, popularity
        return Lists(item_idx, scores, source)

    def _vectors_of(self, block: slice) -> tuple[FloatMatrix, NDArray[np.int8]]:
        """Return the embedding of each user, and where its list comes from."""
        user_idx = self.user_idx[block]
        vectors = self.users.embeddings[np.maximum(user_idx, 0)]
        source = np.where(user_idx >= 0, PERSONAL, POPULAR).astype(np.int8)
        if self.folded is not None:
            position = self.folded.position[block]
            has_history = position >= 0
            vectors[has_history] = self.folded.vectors[position[has_history]]
            source[has_history] = FOLD_IN
        source[~vectors.any(axis=1)] = POPULAR
        return vectors, source

    def _seen_of(self, block: slice) -> list[ItemRows]:
        """Return the items that must not be in the list of each user."""
        user_idx = self.user_idx[block].tolist()
        if self.request.include_seen:
            return [NO_ITEMS] * len(user_idx)
        seen = [self.users.seen[row] if row >= 0 else NO_ITEMS for row in user_idx]
        if self.folded is not None:
            for place, position in enumerate(self.folded.position[block].tolist()):
                if position >= 0:
                    seen[place] = self.folded.seen(position)
        return seen


def _as_written(ids: pa.Array) -> pa.Array:
    return ids.cast(pa.string()) if pa.types.is_large_string(ids.type) else ids
