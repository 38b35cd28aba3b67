"""From a request to a list: of one user, of many at once, of similar items or users."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.environment import usable_cores
from recsys.base.errors import StoreError
from recsys.base.lazy import lazy_property
from recsys.index import Allowed, Index, ItemRows
from recsys.serving.attributes import ItemAttributes
from recsys.serving.fold_in import FoldedIn
from recsys.serving.known import Known, ScoredItem, scored_items
from recsys.serving.request import NO_ITEMS, Request
from recsys.serving.rerank import Find, reranked
from recsys.serving.results import (
    FOLD_IN,
    PERSONAL,
    POPULAR,
    Lists,
    Recommendations,
    RowList,
    Source,
)
from recsys.store import Content, ItemTable, Version
from recsys.vectors import FloatMatrix, FloatVector, Id, NamedVectors, Vector
from recsys.vectors.ids import Kind
from recsys.vectors.vector import unit_rows

_USERS_PER_BLOCK = 256  # that a thread takes at a time: enough to hide what a call costs


class ItemOrder:
    """Items in one order for everybody, such as by their number of users."""

    def __init__(self, rows: NDArray[np.int32], scores: NDArray[np.generic]) -> None:
        self._rows = rows  # (n_listed,), the first one first
        self._scores = scores  # (n_items,), of each row
        self._kind = np.float64 if scores.dtype == np.float64 else np.float32  # of a list

    def best(
        self, k: int, exclude: ItemRows, is_allowed: NDArray[np.bool_] | None = None
    ) -> tuple[ItemRows, FloatVector]:
        """Return the first k items that are allowed and not excluded, and their scores."""
        n = k + len(exclude)  # enough, if all of them are allowed
        while True:
            top = self._rows[:n]
            is_left = ~np.isin(top, exclude)
            if is_allowed is not None:
                is_left &= is_allowed[top]
            rows = top[is_left][:k]
            if len(rows) == k or n >= len(self._rows):
                return rows, self._scores[rows].astype(self._kind)
            n *= 4


class Answers:
    """Makes lists from one version."""

    def __init__(self, content: Content, items: ItemTable | None = None) -> None:
        self._content = content
        self._users, self._items, self._index = content.users, items or content.items, content.index
        self.version = content.version.name

    @lazy_property
    def attributes(self) -> ItemAttributes:
        """The attributes of the items, as conditions and groups."""
        content, ids, where = self._content, self._items.ids, f"in version {self.version}"
        # Without a reference to self, so without a cycle.
        return ItemAttributes(ids, lambda: content.attributes, self._index, where)

    @lazy_property
    def _popular(self) -> ItemOrder:
        """By number of users; recent ones count more where the log has time."""
        recent = self._items.recent
        popularity = self._items.popularity if recent is None else recent
        return ItemOrder(self._content.popular, popularity)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the place of the version."""
        return Elsewhere, (self._content.version.folder.absolute(),)

    def answer(
        self, user: FloatVector | None, request: Request, seen: ItemRows, source: Source
    ) -> RowList:
        """Return the list of one user without what is seen; `source` is that of the embedding.

        The popular list where nothing is known of the user.
        """
        exclude = np.concatenate((seen, request.exclude)) if len(request.exclude) else seen
        if user is None or not np.count_nonzero(user):  # no signal: every item would score the same
            find, source = self._popular_finder(request, exclude), "popular"
        else:
            # A copy, as what is read from a file is not writable, and so its address takes longer.
            find = self._finder(np.array(user, np.float32), request, exclude)
        return RowList(*self._best(find, request), source, seen)

    def top(self, order: ItemOrder, request: Request, source: Source) -> RowList:
        """Return the first items of an order that may be in a list, which is nobody's own."""
        is_allowed = request.is_allowed(len(self._items.ids))

        def find(n: int) -> tuple[ItemRows, FloatVector]:
            return order.best(n, NO_ITEMS, is_allowed)

        return RowList(*self._best(find, request), source)

    def _best(self, find: Find, request: Request) -> tuple[ItemRows, FloatVector]:
        if request.is_by_score:
            return find(request.k)
        return reranked(find, request, self._items.embeddings)

    def lists(
        self, user_idx: NDArray[np.int32], request: Request, folded: FoldedIn | None = None
    ) -> Lists:
        """Return the lists of many users, on all cores: what `answer` gives to each.

        An unknown user is -1; `folded` are those of them who have a history.
        """
        is_allowed = request.is_allowed(len(self._items.ids))
        allowed = None if is_allowed is None else self._index.allow(is_allowed)
        if folded is None:
            folded = FoldedIn.nobody(len(user_idx), self._items.embeddings.shape[1])

        def of(first: int) -> Lists:
            block = slice(first, first + _USERS_PER_BLOCK)
            return self._lists(user_idx[block], request, folded[block], is_allowed, allowed)

        with ThreadPoolExecutor(usable_cores()) as pool:
            blocks = list(pool.map(of, range(0, len(user_idx), _USERS_PER_BLOCK)))
        return Lists.joined(blocks, request.k)

    def _lists(
        self,
        user_idx: NDArray[np.int32],
        request: Request,
        folded: FoldedIn,
        is_allowed: NDArray[np.bool_] | None,
        allowed: Allowed | None,
    ) -> Lists:
        """Return the lists of a block of users; threads do it at once."""
        vectors, source = self._vectors_of(user_idx, folded)
        seen = self._seen_of(user_idx, folded, request)
        lists = Lists.empty(source, request.k)
        is_searched = source != POPULAR
        searched = [seen[position] for position in np.flatnonzero(is_searched).tolist()]
        starts = np.zeros(len(searched) + 1, dtype=np.int64)
        np.cumsum([len(one) for one in searched], out=starts[1:])
        exclude = np.concatenate(searched) if searched else NO_ITEMS
        self._users.seen.require_items(exclude, len(self._items.ids))
        lists.item_idx[is_searched], lists.scores[is_searched] = self._index.search_many(
            vectors[is_searched], request.k, starts, exclude, allowed
        )
        for position in np.flatnonzero(~is_searched).tolist():
            rows, scores = self._popular.best(request.k, seen[position], is_allowed)
            lists.item_idx[position, : len(rows)] = rows
            lists.scores[position, : len(rows)] = scores
        return lists

    def _vectors_of(
        self, user_idx: NDArray[np.int32], folded: FoldedIn
    ) -> tuple[FloatMatrix, NDArray[np.int8]]:
        """Return the embedding of each user, and where its list comes from."""
        vectors = self._users.embeddings[np.maximum(user_idx, 0)]
        source = np.where(user_idx >= 0, PERSONAL, POPULAR).astype(np.int8)
        has_history = folded.position >= 0
        vectors[has_history] = folded.vectors[folded.position[has_history]]
        source[has_history] = FOLD_IN
        source[~vectors.any(axis=1)] = POPULAR
        return vectors, source

    def _seen_of(
        self, user_idx: NDArray[np.int32], folded: FoldedIn, request: Request
    ) -> list[ItemRows]:
        """Return the items that must not be in the list of each user."""
        if request.include_seen:
            return [NO_ITEMS] * len(user_idx)
        seen = [self._users.seen[row] if row >= 0 else NO_ITEMS for row in user_idx.tolist()]
        for user, items in folded.seen().items():
            seen[user] = items
        return seen

    def named(
        self,
        rows: ItemRows,
        scores: NDArray[np.generic],
        source: Source,
        seen: ItemRows | None = None,
    ) -> Recommendations:
        """Return rows of items and their scores as a list; `seen` is what gives reasons."""
        items = scored_items(self._items.ids.tolist(rows), scores)
        about = (self, None if source == "popular" else seen)
        # In half the time of Recommendations(...), which sets one field after another.
        found = Recommendations.__new__(Recommendations)
        found.__dict__.update(items=items, source=source, version=self.version, about=about)
        return found

    @property
    def title_column(self) -> str | None:
        """The attribute that holds titles; None where there is none."""
        return self.attributes.title_column

    def attributes_of(self, item_ids: Iterable[Id]) -> list[dict[str, Any]]:
        """Return the attributes of items, by column."""
        return [self.attributes.of(row) for row in self._items.ids.rows(item_ids).tolist()]

    def seen_by(self, user_id: Id) -> ItemRows:
        """Return the rows of what a user has seen."""
        user_idx = self._users.ids.find(user_id)
        return NO_ITEMS if user_idx is None else self._users.seen[user_idx]

    def closest(self, item_ids: Sequence[Id], seen: ItemRows) -> list[ScoredItem | None]:
        """Return the most similar of some seen items to each item, None where there is none."""
        vectors, ids = self._items.embeddings, self._items.ids
        seen_units = unit_rows(np.asarray(vectors[seen]))  # (n_seen, d)
        has_direction = seen_units.any(axis=1)
        seen, seen_units = seen[has_direction], seen_units[has_direction]
        units = unit_rows(np.asarray(vectors[ids.rows(item_ids)]))  # (n, d)
        if len(seen) == 0:
            return [None] * len(units)
        cosines = np.clip(units @ seen_units.T, -1, 1)  # (n, n_seen)
        best = cosines.argmax(axis=1)
        found = scored_items(ids.tolist(seen[best]), cosines.max(axis=1))
        return [one if unit.any() else None for one, unit in zip(found, units, strict=True)]

    def _finder(self, user: FloatVector, request: Request, exclude: ItemRows) -> Find:
        if request.candidates is not None:
            rows = request.allowed_candidates(exclude)
            return lambda n: self._index.rank(user, rows, n)
        allowed = None if request.matching is None else request.matching.allowed
        return lambda n: self._index.search(user, n, exclude, allowed)

    def _popular_finder(self, request: Request, exclude: ItemRows) -> Find:
        is_allowed = request.is_allowed(len(self._items.ids))
        return lambda n: self._popular.best(n, exclude, is_allowed)


class Elsewhere:
    """What the version of an unpickled list knows of its items, opened when it is asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @lazy_property
    def _answers(self) -> Answers | None:
        with suppress(StoreError):
            return Answers(Content.of(Version(self._folder.name, self._folder)))
        return None

    @property
    def title_column(self) -> str | None:
        """The attribute that holds titles."""
        return None if self._answers is None else self._answers.title_column

    def attributes_of(self, item_ids: Iterable[Id]) -> list[dict[str, Any]]:
        """Return the attributes of items, empty where there is no version."""
        known = self._answers
        return [{} for _ in item_ids] if known is None else known.attributes_of(item_ids)

    def seen_by(self, user_id: Id) -> ItemRows:
        """Return the rows of what a user has seen."""
        return NO_ITEMS if self._answers is None else self._answers.seen_by(user_id)

    def closest(self, item_ids: Sequence[Id], seen: ItemRows) -> list[ScoredItem | None]:
        """Return the most similar of some seen items to each item."""
        known = self._answers
        return [None] * len(item_ids) if known is None else known.closest(item_ids, seen)

    def __reduce__(self) -> tuple[Any, ...]:
        return Elsewhere, (self._folder,)


class Similar:
    """Searches by cosine, through the indexes of a version where it has them."""

    def __init__(self, content: Content, known: Known) -> None:
        self._content, self._known = content, known
        self._indexes: dict[Kind, tuple[Index | None, Allowed | None]] = {}

    def to(self, vectors: NamedVectors, id_: Id, request: Request) -> Recommendations:
        """Return the users or items nearest to one of them, without itself.

        The rows of the request are those of the same users or items.
        """
        exclude = np.append(request.exclude, np.int32(vectors.row(id_)))
        return self.near(vectors, vectors[id_], replace(request, exclude=exclude))

    def near(self, vectors: NamedVectors, vector: Vector, request: Request) -> Recommendations:
        """Return the users or items nearest to a point of their space."""
        index, has_direction = self._index(vectors.kind)
        exclude = request.exclude
        if index is None:
            among = request.allowed_rows(len(vectors))
            nearest = vectors.nearest_rows(vector, request.k, exclude=exclude, among=among)
            return self._listed(tuple(map(ScoredItem._make, nearest)), vectors.kind)
        if vector.is_zero:
            return self._listed((), vectors.kind)
        unit = vector.unit().values.astype(np.float32)
        is_allowed = request.is_allowed(len(vectors))
        if is_allowed is not None:
            has_direction = index.allow(is_allowed & np.asarray(index.items.any(axis=1)))
        rows, cosines = index.search(unit, request.k, exclude, has_direction)
        found = scored_items(vectors.ids.tolist(rows), np.clip(cosines, -1, 1))
        return self._listed(found, vectors.kind)

    def _listed(self, found: tuple[ScoredItem, ...], kind: Kind) -> Recommendations:
        about = (self._known, None) if kind == "item" else None
        return Recommendations(found, "similar", self._content.version.name, about, kind)

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
