"""Who should hear of an item: the users who will most likely take it, exact over all of them.

Scores of two users cannot be compared as they are: the lengths of vectors are what a model makes of
them. Without lengths, who does little is taken for as sure as who does much. So a score counts by
the root of the length of the user's vector, halfway: of the scales that `python -m
benchmarks.audiences` compares, this finds most of the users that were held out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.checks import require_whole
from recsys.base.lazy import lazy_property
from recsys.base.tables import Tabular
from recsys.index import ItemRows
from recsys.serving.assignment import NO_SCORES, Suited, assigned
from recsys.serving.described_users import DescribedUsers
from recsys.serving.known import scored_items
from recsys.serving.request import Request
from recsys.serving.results import Recommendations, as_written
from recsys.serving.rules import NO_ITEMS
from recsys.serving.user_conditions import UserConditions
from recsys.store import Content, ItemTable
from recsys.vectors import FloatMatrix, FloatVector, Ids

_SCORES_AT_ONCE = 1 << 24  # 64 MB of them
_ITEMS_AT_ONCE = 256
_NORMS_AT_ONCE = 1 << 16


_NOBODY = Suited(NO_ITEMS, NO_SCORES)


class Audience:
    """Finds the users whom items of a version suit best; threads may share one.

    Users whose embedding is zero are in no audience: nothing is known of their taste.
    """

    def __init__(self, content: Content, items: ItemTable, described: DescribedUsers) -> None:
        self._users, self._items, self._described = content.users, items, described
        self._conditions = UserConditions(content, described)

    @lazy_property
    def users(self) -> Ids:
        """Who can be in an audience: the users of the version, then those without events."""
        return self._described.joined(self._users.ids)

    def allowed(self, request: Request, where: str | None) -> NDArray[np.bool_] | None:
        """Return which users may be in an audience; None where all may.

        Parameters
        ----------
        request : Request
            In rows of users.
        """
        is_allowed = request.is_allowed(len(self.users))
        if where is None:
            return is_allowed
        matching = self._conditions.matching(where)
        return matching if is_allowed is None else matching & is_allowed

    def assigned(
        self,
        items: ItemRows,
        lists: Sequence[Suited],
        k: int,
        per_user: int,
        is_allowed: NDArray[np.bool_] | None,
    ) -> list[Suited]:
        """Return audiences in which no user is too often; see `recsys.serving.assignment`."""
        require_whole("per_user", per_user, least=1)

        def deeper(places: list[int], n: int) -> list[Suited]:
            return self.of(items[places], n, is_allowed)

        return assigned(lists, k, per_user, len(self.users), deeper)

    @lazy_property
    def _roots(self) -> FloatVector:
        """The root of the norm of each user, (n_users,)."""
        found = np.empty(len(self.users), np.float32)
        for block in self._blocks(_NORMS_AT_ONCE):
            found[block] = np.sqrt(np.linalg.norm(self._vectors(block), axis=1))
        return found

    def _blocks(self, step: int) -> Iterator[slice]:
        """Yield slices of all users, each of those with events or of those without."""
        n_known, n_users = len(self._users.ids), len(self.users)
        for start, end in ((0, n_known), (n_known, n_users)):
            for first in range(start, end, step):
                yield slice(first, min(first + step, end))

    def _vectors(self, block: slice) -> FloatMatrix:
        n_known = len(self._users.ids)
        if block.start < n_known:
            return np.asarray(self._users.embeddings[block])
        return self._described.embeddings[block.start - n_known : block.stop - n_known]

    def of(
        self, items: ItemRows, k: int, is_allowed: NDArray[np.bool_] | None = None
    ) -> list[Suited]:
        """Return the best k users of each item, without those who have had it.

        Parameters
        ----------
        is_allowed : ndarray of bool, shape (n_users,), optional
            Who may be in an audience. Default: everybody.
        """
        found: list[Suited] = []
        for first in range(0, len(items), _ITEMS_AT_ONCE):
            found += self._of_some(items[first : first + _ITEMS_AT_ONCE], k, is_allowed)
        return found

    def _of_some(
        self, items: ItemRows, k: int, is_allowed: NDArray[np.bool_] | None
    ) -> list[Suited]:
        asked = np.asarray(self._items.embeddings[items])  # (n, d)
        place_of = np.full(len(self._items.ids), -1, np.int32)
        place_of[items] = np.arange(len(items))
        best = [_NOBODY] * len(items)
        for block in self._blocks(max(_SCORES_AT_ONCE // max(len(items), 1), 1)):
            standing = self._standing(asked, block, is_allowed)
            if block.start < len(self._users.ids):
                standing[self._had(place_of, block)] = -np.inf
            for place, row in enumerate(standing):
                best[place] = _merged(best[place], row, block.start, k)
        return best

    def _standing(
        self, asked: FloatMatrix, users: slice, is_allowed: NDArray[np.bool_] | None
    ) -> FloatMatrix:
        """Return the standing of some items with some users, (n_items, n_users)."""
        roots = self._roots[users]
        is_in = roots > 0
        if is_allowed is not None:
            is_in = is_in & is_allowed[users]
        found: FloatMatrix = asked @ self._vectors(users).T
        found *= np.divide(1, roots, out=np.zeros_like(roots), where=is_in)
        found[:, ~is_in] = -np.inf
        return found

    def _had(self, place_of: NDArray[np.int32], users: slice) -> tuple[NDArray[np.integer], ...]:
        """Return the items, by their places, and the users of a block who have had them."""
        seen = self._users.seen
        starts = seen.starts[users.start : users.stop + 1]
        place = place_of[seen.item_idx[starts[0] : starts[-1]]]
        asked = np.flatnonzero(place >= 0)
        return place[asked], np.searchsorted(starts - starts[0], asked, side="right") - 1


def _merged(best: Suited, row: FloatVector, first: int, k: int) -> Suited:
    """Return the best k of some users and of those of a block, whose rows are larger.

    So of equals the ones that were there before stay.
    """
    floor = best.standing[-1] if len(best.rows) == k else -np.inf
    better = np.flatnonzero(row > floor)
    if len(better) == 0:
        return best
    if len(better) > 2 * k:
        least = np.partition(row[better], len(better) - k)[len(better) - k]
        better = better[row[better] >= least]
    rows = np.concatenate([best.rows, (better + first).astype(np.int32)])
    standing = np.concatenate([best.standing, row[better]])
    order = np.lexsort((rows, -standing))[:k]
    return Suited(rows[order], standing[order])


@dataclass(frozen=True, eq=False, repr=False)
class Audiences(Tabular):
    """The audiences of some items; iterates over `Recommendations` of users, in their order.

    A position gives the `Recommendations` of one item.
    """

    item_idx: ItemRows
    lists: Sequence[Suited]
    items: Ids
    users: Ids
    version: str

    def __len__(self) -> int:
        return len(self.lists)

    def __iter__(self) -> Iterator[Recommendations]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, position: int) -> Recommendations:
        found = self.lists[position]
        listed = scored_items(self.users.tolist(found.rows), found.standing)
        return Recommendations(listed, "audience", self.version, kind="user")

    def to_arrow(self) -> pa.Table:
        """Return one row per user of an audience: item_id, rank from 1, user_id, score."""
        lengths = [len(one.rows) for one in self.lists]
        users = np.concatenate([NO_ITEMS, *(one.rows for one in self.lists)])
        ranks = np.concatenate([NO_ITEMS, *(np.arange(n) + 1 for n in lengths)])
        scores = np.concatenate([NO_SCORES, *(one.standing for one in self.lists)])
        return pa.table(
            {
                "item_id": as_written(
                    self.items.values.take(pa.array(np.repeat(self.item_idx, lengths)))
                ),
                "rank": pa.array(ranks, pa.int32()),
                "user_id": as_written(self.users.values.take(pa.array(users))),
                "score": pa.array(scores, pa.float32()),
            }
        )

    def caption(self) -> str:
        """Return how many items there are, and the version."""
        return f"audiences of {len(self):,} items · version {self.version}"
