"""Make a list: search, score, rerank for diversity; items and users that are similar."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.index import Allowed, Index, ItemRows
from recsys.serving.attributes import ItemAttributes
from recsys.serving.lists import FoldedIn, Lists, PopularItems, lists_of
from recsys.serving.request import Request
from recsys.serving.results import Recommendations, ScoredItem, Source
from recsys.store import Content
from recsys.vectors import FloatMatrix, FloatVector, Id, NamedVectors
from recsys.vectors.ids import Kind
from recsys.vectors.vector import unit_rows

Find = Callable[[int], tuple[ItemRows, FloatVector]]
"""Returns the best n items that may be in the list, fewer only where there are no more."""

_POOL_PER_ITEM, _MIN_POOL = 5, 50  # items that diversity chooses from


def reranked(find: Find, request: Request, vectors: FloatMatrix) -> tuple[ItemRows, FloatVector]:
    """Return the best items under a limit per group, reranked for diversity.

    Without diversity these are the first k, best first, that the limit leaves. With it they are
    chosen from some more by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): one
    after the other, that with the largest ``(1 - diversity) * relevance - diversity * cosine``,
    relevance the score on a scale from 0 to 1 in the pool, and cosine that with the most similar
    one chosen before.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n_items, factors)
    """
    k, diversity = request.k, request.diversity
    size = max(_POOL_PER_ITEM * k, _MIN_POOL) if diversity > 0 else k
    n = size
    while True:
        rows, scores = find(n)
        fits = _within_limit(rows, request.groups, request.per_group)
        if fits.sum() >= size or len(rows) < n:
            break
        n *= 2
    rows, scores = rows[fits], scores[fits]
    if diversity == 0:
        return rows[:k], scores[:k]
    chosen = _by_marginal_relevance(scores, unit_rows(vectors[rows]), min(k, len(rows)), diversity)
    return rows[chosen], scores[chosen]


def _within_limit(
    rows: ItemRows, groups: NDArray[np.int32] | None, per_group: int
) -> NDArray[np.bool_]:
    """Mark the rows that come before their group is full."""
    if groups is None or len(rows) == 0:
        return np.ones(len(rows), dtype=np.bool_)
    group = groups[rows]
    by_group = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(group[by_group]) != 0))
    rank = np.empty(len(rows), dtype=np.int64)  # within the group
    sizes = np.diff(np.append(starts, len(rows)))
    rank[by_group] = np.arange(len(rows)) - np.repeat(starts, sizes)
    fits: NDArray[np.bool_] = (rank < per_group) | (group < 0)
    return fits


def _by_marginal_relevance(
    scores: FloatVector, units: FloatMatrix, k: int, diversity: float
) -> list[int]:
    """Return the positions of k of the scores, in the order of choice; see `reranked`."""
    if len(scores) == 0:
        return []
    spread = float(np.ptp(scores)) or 1.0
    relevance = (1 - diversity) * (scores - scores.min()) / spread
    closest = np.zeros(len(scores), dtype=np.float32)
    left = np.ones(len(scores), dtype=np.bool_)
    chosen: list[int] = []
    for _ in range(k):
        best = int(np.argmax(np.where(left, relevance - diversity * closest, -np.inf)))
        cosines = units @ units[best]
        closest = cosines if not chosen else np.maximum(closest, cosines)
        left[best] = False
        chosen.append(best)
    return chosen


class Similar:
    """Searches by cosine, through the indexes of a version where it has them."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._indexes: dict[Kind, tuple[Index | None, Allowed | None]] = {}

    def to(self, vectors: NamedVectors, id_: Id, request: Request) -> Recommendations:
        """Return the users or items nearest to one of them, without itself.

        The rows of the request are those of the same users or items.
        """
        row, vector, version = vectors.row(id_), vectors[id_], self._content.version.name
        index, has_direction = self._index(vectors.kind)
        exclude = np.append(request.exclude, np.int32(row))
        if index is None:
            among = request.allowed_rows(len(vectors))
            found = vectors.nearest_rows(vector, request.k, exclude=exclude, among=among)
            return Recommendations(tuple(map(ScoredItem._make, found)), "similar", version)
        if vector.is_zero:
            return Recommendations((), "similar", version)
        unit = vector.unit().values.astype(np.float32)
        is_allowed = request.is_allowed(len(vectors))
        if is_allowed is not None:
            has_direction = index.allow(is_allowed & np.asarray(index.items.any(axis=1)))
        rows, cosines = index.search(unit, request.k, exclude, has_direction)
        ids, scores = vectors.ids.tolist(rows), np.clip(cosines, -1, 1).tolist()
        return Recommendations(tuple(map(ScoredItem, ids, scores)), "similar", version)

    def _index(self, kind: Kind) -> tuple[Index | None, Allowed | None]:
        """Return the index by cosine, if the version has one, and the rows that are not zero."""
        # Two threads may both do it the first time, to the same end.
        if kind not in self._indexes:
            index, allowed = self._content.similar(kind), None
            if index is not None:
                has_direction = np.asarray(index.items.any(axis=1))
                allowed = None if has_direction.all() else index.allow(has_direction)
            self._indexes[kind] = index, allowed
        return self._indexes[kind]


class Answers:
    """Makes lists from one version."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._items, self._index = content.items, content.index
        self.version = content.version.name

    @cached_property
    def attributes(self) -> ItemAttributes:
        """The attributes of the items, as conditions and groups."""
        content, ids, where = self._content, self._items.ids, f"in version {self.version}"
        # Without a reference to self, so without a cycle.
        return ItemAttributes(ids, lambda: content.attributes, self._index, where)

    @cached_property
    def _popular(self) -> PopularItems:
        recent = self._items.recent
        popularity = self._items.popularity if recent is None else recent
        return PopularItems(self._content.popular, popularity)

    def answer(
        self, user: FloatVector | None, request: Request, seen: ItemRows, source: Source
    ) -> Recommendations:
        """Return the list of one user; the popular one where nothing is known of the user.

        Parameters
        ----------
        user : ndarray of float32, shape (factors,), or None
        seen : ndarray of int32
            Items that the user has seen and that must not be in the list.
        source : str
            Where the embedding came from.
        """
        exclude = np.concatenate((seen, request.exclude)) if len(request.exclude) else seen
        if user is None or not np.count_nonzero(user):  # no signal: every item would score the same
            find, source = self._popular_finder(request, exclude), "popular"
        else:
            find = self._finder(np.ascontiguousarray(user, np.float32), request, exclude)
        if request.is_by_score:
            return self._named(*find(request.k), source)
        return self._named(*reranked(find, request, self._items.embeddings), source)

    def lists(
        self, user_idx: NDArray[np.int32], request: Request, folded: FoldedIn | None = None
    ) -> Lists:
        """Return the lists of many users as rows; user_idx is -1 for an unknown one."""
        users = self._content.users
        return lists_of(user_idx, request, users, self._index, self._popular, folded)

    def _named(self, rows: ItemRows, scores: FloatVector, source: Source) -> Recommendations:
        items = tuple(map(ScoredItem, self._items.ids.tolist(rows), scores.tolist()))
        return Recommendations(items, source, self.version)

    def _finder(self, user: FloatVector, request: Request, exclude: ItemRows) -> Find:
        if request.candidates is not None:
            rows = request.allowed_candidates(exclude)
            return lambda n: self._index.rank(user, rows, n)
        allowed = None if request.matching is None else request.matching.allowed
        return lambda n: self._index.search(user, n, exclude, allowed)

    def _popular_finder(self, request: Request, exclude: ItemRows) -> Find:
        is_allowed = request.is_allowed(len(self._items.ids))
        return lambda n: self._popular.best(n, exclude, is_allowed)
