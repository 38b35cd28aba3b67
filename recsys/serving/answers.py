"""Make a list: search, score, rerank for diversity; items and users that are similar."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.index import Allowed, Index, ItemRows
from recsys.serving.attributes import ItemAttributes
from recsys.serving.lists import Lists, PopularItems, lists_of
from recsys.serving.request import Wanted
from recsys.serving.results import Recommendations, ScoredItem, Source
from recsys.store import Content
from recsys.vectors import FloatMatrix, FloatVector, Id, NamedVectors
from recsys.vectors.ids import Kind
from recsys.vectors.nearest import directions

Find = Callable[[int], tuple[ItemRows, FloatVector]]
"""Returns the best n that may be in the list, fewer only where there are no more."""

_POOL_PER_PLACE, _LEAST_POOL = 5, 50  # what diversity chooses from


def chosen(
    find: Find,
    k: int,
    *,
    diversity: float,
    groups: NDArray[np.int32] | None,
    per_group: int,
    vectors: FloatMatrix,
) -> tuple[ItemRows, FloatVector]:
    """Return k of the best, or as many as there are, under a limit per group and with diversity.

    Without diversity these are the first k, best first, that the limit leaves. With it they are
    chosen from some more by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): one
    after the other, that with the largest ``(1 - diversity) * relevance - diversity * cosine``,
    relevance the score on a scale from 0 to 1 in the pool, and cosine that with the most similar
    one chosen before.

    Parameters
    ----------
    find : callable
    k : int
    diversity : float
        0 to 1.
    groups : ndarray of int32, shape (n_items,), optional
        The group of each item; -1 is none, which has no limit.
    per_group : int
    vectors : ndarray of float32, shape (n_items, factors)

    Returns
    -------
    rows : ndarray of int32
    scores : ndarray of float32
        In the order of choice.
    """
    size = max(_POOL_PER_PLACE * k, _LEAST_POOL) if diversity > 0 else k
    n = size
    while True:
        rows, scores = find(n)
        fits = _within_limit(rows, groups, per_group)
        if fits.sum() >= size or len(rows) < n:
            break
        n *= 2
    rows, scores = rows[fits], scores[fits]
    if diversity == 0:
        return rows[:k], scores[:k]
    places = _marginally_best(scores, directions(vectors[rows]), min(k, len(rows)), diversity)
    return rows[places], scores[places]


def _within_limit(
    rows: ItemRows, groups: NDArray[np.int32] | None, per_group: int
) -> NDArray[np.bool_]:
    """Mark the rows that come before their group is full."""
    if groups is None or len(rows) == 0:
        return np.ones(len(rows), dtype=np.bool_)
    group = groups[rows]
    by_group = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(group[by_group]) != 0))
    place = np.empty(len(rows), dtype=np.int64)
    sizes = np.diff(np.append(starts, len(rows)))
    place[by_group] = np.arange(len(rows)) - np.repeat(starts, sizes)
    fits: NDArray[np.bool_] = (place < per_group) | (group < 0)
    return fits


def _marginally_best(
    scores: FloatVector, directions: FloatMatrix, k: int, diversity: float
) -> list[int]:
    if len(scores) == 0:
        return []
    spread = float(np.ptp(scores)) or 1.0
    relevance = (1 - diversity) * (scores - scores.min()) / spread
    closest = np.zeros(len(scores), dtype=np.float32)
    left = np.ones(len(scores), dtype=np.bool_)
    places: list[int] = []
    for _ in range(k):
        place = int(np.argmax(np.where(left, relevance - diversity * closest, -np.inf)))
        cosines = directions @ directions[place]
        closest = cosines if not places else np.maximum(closest, cosines)
        left[place] = False
        places.append(place)
    return places


class Similar:
    """Searches by cosine, through the indexes of a version where it has them.

    Parameters
    ----------
    content : Content
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._indexes: dict[Kind, tuple[Index | None, Allowed | None]] = {}

    def to(self, vectors: NamedVectors, id_: Id, k: int) -> Recommendations:
        """Return the nearest of some users or items to one of them, but for itself."""
        row, version = vectors.row(id_), self._content.version.name
        index, has_direction = self._index(vectors.kind)
        if index is None:
            found = vectors.nearest(id_, k)
            return Recommendations(tuple(map(ScoredItem._make, found)), "similar", version)
        vector = vectors.matrix[row].astype(np.float64)
        norm = float(np.linalg.norm(vector))
        if norm == 0:
            return Recommendations((), "similar", version)
        itself = np.array([row], dtype=np.int32)
        rows, cosines = index.search((vector / norm).astype(np.float32), k, itself, has_direction)
        ids, scores = vectors.ids.tolist(rows), np.clip(cosines, -1, 1).tolist()
        return Recommendations(tuple(map(ScoredItem, ids, scores)), "similar", version)

    def _index(self, kind: Kind) -> tuple[Index | None, Allowed | None]:
        """Return the index by cosine, if the version has one, and who has a direction."""
        if kind not in self._indexes:
            index, allowed = self._content.similar(kind), None
            if index is not None:
                has_direction = np.asarray(index.items.any(axis=1))
                allowed = None if has_direction.all() else index.allow(has_direction)
            self._indexes[kind] = index, allowed
        return self._indexes[kind]


class Answers:
    """Makes lists from one version.

    Parameters
    ----------
    content : Content
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._items, self._index = content.items, content.index
        self.version = content.version.name

    @cached_property
    def attributes(self) -> ItemAttributes:
        """Conditions and groups by what is known of the items."""
        content, where = self._content, f"in version {self.version}"
        return ItemAttributes(lambda: content.attributes, self._index, where)  # no cycle over self

    @cached_property
    def _popular(self) -> PopularItems:
        recent = self._items.recent
        popularity = self._items.popularity if recent is None else recent
        return PopularItems(self._content.popular, popularity)

    def answer(
        self, user: FloatVector | None, want: Wanted, seen: ItemRows, source: Source
    ) -> Recommendations:
        """Return the list of a user, the popular one where nothing is known of them."""
        exclude = np.concatenate((seen, want.exclude)) if len(want.exclude) else seen
        if user is None or not np.count_nonzero(user):  # no signal: every item would score the same
            find, source = self._popular_finder(want, exclude), "popular"
        else:
            find = self._finder(np.ascontiguousarray(user, np.float32), want, exclude)
        if want.diversity == 0 and want.groups is None:
            return self.named(*find(want.k), source)
        rows, scores = chosen(
            find,
            want.k,
            diversity=want.diversity,
            groups=want.groups,
            per_group=want.per_group,
            vectors=self._items.embeddings,
        )
        return self.named(rows, scores, source)

    def lists(
        self, user_idx: NDArray[np.int32], want: Wanted, *, include_seen: bool = False
    ) -> Lists:
        """Return the lists of many users as rows; -1 stands for one that is not known."""
        return lists_of(
            self._content.users,
            user_idx,
            want.k,
            self._index,
            self._popular,
            include_seen=include_seen,
            is_allowed=want.is_allowed(len(self._items.ids)),
        )

    def named(self, rows: ItemRows, scores: FloatVector, source: Source) -> Recommendations:
        """Return a list by the ids of its rows."""
        items = tuple(map(ScoredItem, self._items.ids.tolist(rows), scores.tolist()))
        return Recommendations(items, source, self.version)

    def _finder(self, user: FloatVector, want: Wanted, exclude: ItemRows) -> Find:
        if want.candidates is not None:
            rows = want.allowed_candidates(exclude)
            return lambda n: self._index.rank(user, rows, n)
        allowed = None if want.matching is None else want.matching.allowed
        return lambda n: self._index.search(user, n, exclude, allowed)

    def _popular_finder(self, want: Wanted, exclude: ItemRows) -> Find:
        is_allowed = want.is_allowed(len(self._items.ids))
        return lambda n: self._popular.best(n, exclude, is_allowed)
