"""From a request to a list: of one user, of many at once, of similar items or users."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.devices import Device, device_of
from recsys.base.errors import StoreError
from recsys.base.lazy import lazy_property
from recsys.base.rule_settings import NO_RULES, RuleSettings
from recsys.index import ItemRows
from recsys.serving.attributes import ItemAttributes
from recsys.serving.item_order import ItemOrder
from recsys.serving.known import ScoredItem, scored_items
from recsys.serving.many import FindMany, FoldedIn, ManySearches
from recsys.serving.request import Request
from recsys.serving.rerank import Find, reranked
from recsys.serving.results import (
    PERSONAL,
    POPULAR,
    SOURCES,
    Lists,
    Recommendations,
    RowList,
    Source,
    marks,
)
from recsys.serving.rules import NO_ITEMS, Boosted, RowScores, Scored, added, best_of, placed
from recsys.serving.sold_out import SoldOut
from recsys.store import Content, ItemTable, Version
from recsys.vectors import FloatMatrix, FloatVector, Id
from recsys.vectors.vector import unit_rows

Finder = Callable[[Request, ItemRows], Find]
"""Returns the search for the items of a request without some that are excluded."""


class Answers:
    """Makes lists from one version."""

    def __init__(
        self, content: Content, items: ItemTable | None = None, rules: RuleSettings = NO_RULES
    ) -> None:
        self._content = content
        self._users, self._items, self._index = content.users, items or content.items, content.index
        self._many = ManySearches(self._index, self._items.embeddings)
        self.version = content.version.name
        self.has_dislikes = bool(content.version.manifest.data.get("dislikes"))
        self._sold_out = rules.sold_out and SoldOut(Path(rules.sold_out), self._items.ids)

    @lazy_property
    def attributes(self) -> ItemAttributes:
        """The attributes of the items, as conditions and groups."""
        content, ids, where = self._content, self._items.ids, f"in version {self.version}"
        # Without a reference to self, so without a cycle.
        return ItemAttributes(
            ids,
            lambda: content.attributes,
            self._index,
            where,
            self._sold_out or None,
            self._items.n_with_events,
            lambda: content.times,
        )

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
            finder, source = partial(self._finder_in, self._popular), "popular"
        else:
            # A copy, as what is read from a file is not writable, and so its address takes longer.
            finder = partial(self._finder, np.array(user, np.float32))
        if request.is_of_conditions:  # nearly all are
            return RowList(*finder(request, exclude)(request.k), source, seen)
        who = b"" if user is None else np.asarray(user, np.float32).tobytes()
        return self._listed(finder, request, exclude, source, seen, who)

    def top(self, order: ItemOrder, request: Request, source: Source) -> RowList:
        """Return the first items of an order that may be in a list, which is nobody's own."""
        request = request.unexposed
        return self._listed(partial(self._finder_in, order), request, NO_ITEMS, source)

    def _listed(
        self,
        finder: Finder,
        request: Request,
        exclude: ItemRows,
        source: Source,
        seen: ItemRows | None = None,
        who: bytes = b"",
    ) -> RowList:
        pinned = None
        if request.pins or request.exposure is not None:
            (rows, scores), pinned = self._with_pins(finder, request, exclude, who)
        else:
            rows, scores = self._best(finder(request, exclude), request)
        boosts = request.all_boosts
        boost = None if boosts is None else added(boosts, rows, scores)
        return RowList(rows, scores, source, seen, boost, pinned)

    def _with_pins(
        self, finder: Finder, request: Request, exclude: ItemRows, who: bytes
    ) -> tuple[RowScores, ItemRows]:
        """Return the best list in which each pin has its position, if an item may have it.

        New items have theirs where a share of the list is for them. And the rows of the pins.
        """
        pins: list[tuple[int, Scored]] = []
        taken = NO_ITEMS
        last = 0
        for pin in request.pins:
            position = max(pin.position, last + 1)  # the next one, where another has it
            if position > request.k:
                break
            rows, scores = finder(request.of_pin(pin), np.append(exclude, taken))(1)
            if len(rows):
                pins.append((position, Scored(int(rows[0]), float(scores[0]))))
                last, taken = position, np.append(taken, rows)
        pinned = taken
        new: list[tuple[int, Scored]] = []
        if request.exposure is not None:
            find = finder(request.of_new_items, np.append(exclude, taken))
            who = self.version.encode() + who
            new = request.exposure.placed(find, replace(request, pinned=pinned), pins, who)
        taken = np.append(taken, np.array([one.row for _, one in new], np.int32))
        pins = sorted([*pins, *new], key=lambda one: one[0])
        rest = replace(request, k=request.k - len(pins), pins=(), pinned=taken)
        found: RowScores = NO_ITEMS, np.empty(0, np.float32)
        if rest.k:
            found = self._best(finder(rest, np.append(exclude, taken)), rest)
        return placed(pins, *found), pinned

    def _best(self, find: Find, request: Request) -> RowScores:
        if request.is_by_score:
            return find(request.k)
        return reranked(find, request, self._items.embeddings)

    def lists(
        self,
        user_idx: NDArray[np.int32],
        request: Request,
        folded: FoldedIn | None = None,
        device: Device | None = None,
    ) -> Lists:
        """Return the lists of many users, on all cores: what `answer` gives to each.

        An unknown user is -1; `folded` are those of them who have a history. Those of a request
        with more than conditions are made one by one. A card takes lists among all items.
        """
        is_allowed = request.is_allowed(len(self._items.ids))
        allowed = None if is_allowed is None else self._index.allow(is_allowed)
        if folded is None:
            folded = FoldedIn.nobody(len(user_idx), self._items.embeddings.shape[1])

        device = device_of(device) if request.is_of_conditions else "cpu"
        search = self._many.of(len(user_idx), request.k, allowed, device)

        def of(first: int) -> Lists:
            block = slice(first, first + search.users_per_block)
            return self._lists(user_idx[block], request, folded[block], is_allowed, search.find)

        with ThreadPoolExecutor(search.n_threads) as pool:
            blocks = list(pool.map(of, range(0, len(user_idx), search.users_per_block)))
        return Lists.joined(blocks, request.k)

    def _lists(
        self,
        user_idx: NDArray[np.int32],
        request: Request,
        folded: FoldedIn,
        is_allowed: NDArray[np.bool_] | None,
        find: FindMany,
    ) -> Lists:
        """Return the lists of a block of users; threads do it at once."""
        vectors, source = self._vectors_of(user_idx, folded)
        seen = self._seen_of(user_idx, folded, request)
        boosts = request.all_boosts
        lists = Lists.empty(source, request.k, boosts is not None, bool(request.pins))
        if not request.is_of_conditions:
            for position, (vector, own) in enumerate(zip(vectors, seen, strict=True)):
                user = None if source[position] == POPULAR else vector
                lists.put(position, self.answer(user, request, own, SOURCES[source[position]]))
            return lists
        is_searched = source != POPULAR
        searched = [seen[position] for position in np.flatnonzero(is_searched).tolist()]
        starts = np.zeros(len(searched) + 1, dtype=np.int64)
        np.cumsum([len(one) for one in searched], out=starts[1:])
        exclude = np.concatenate(searched) if searched else NO_ITEMS
        self._users.seen.require_items(exclude, len(self._items.ids))
        found = find(vectors[is_searched], request.k, starts, exclude)
        lists.item_idx[is_searched], lists.scores[is_searched] = found
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
        source[has_history] = folded.source[folded.position[has_history]]
        source[~vectors.any(axis=1)] = POPULAR
        return vectors, source

    def _seen_of(
        self, user_idx: NDArray[np.int32], folded: FoldedIn, request: Request
    ) -> list[ItemRows]:
        """Return the items that must not be in the list of each user."""
        if request.include_seen and not self.has_dislikes and folded.disliked is None:
            return [NO_ITEMS] * len(user_idx)
        known = self._users.seen
        seen = [known[row] if row >= 0 else NO_ITEMS for row in user_idx.tolist()]
        if request.repeats is not None or request.include_seen:
            for place, row in enumerate(user_idx.tolist()):
                if row >= 0:
                    left_out = request.left_out(seen[place], known.days(row))
                    disliked = known.disliked(row) if self.has_dislikes else NO_ITEMS
                    seen[place] = np.union1d(left_out, disliked).astype(np.int32)
        for user, items in folded.liked().items():
            seen[user] = NO_ITEMS if request.include_seen else items
        for user, items in enumerate(folded.disliked or ()):
            if len(items):
                seen[user] = np.union1d(seen[user], items).astype(np.int32)
        return seen

    def named(self, found: RowList) -> Recommendations:
        """Return a list of rows as one of ids."""
        items = scored_items(self._items.ids.tolist(found.rows), found.scores)
        about = (self, None if found.source == "popular" else found.seen)
        # In half the time of Recommendations(...), which sets one field after another.
        named = Recommendations.__new__(Recommendations)
        named.__dict__.update(items=items, source=found.source, version=self.version, about=about)
        if found.boost is not None:
            named.__dict__["boosts"] = tuple(found.boost.tolist())
        if found.pinned is not None:
            named.__dict__["are_pinned"] = marks(found.is_pinned)
        return named

    @property
    def title_column(self) -> str | None:
        """The attribute that holds titles; None where there is none."""
        return self.attributes.title_column

    def attributes_of(self, item_ids: Iterable[Id]) -> list[dict[str, Any]]:
        """Return the attributes of items, by column."""
        return [self.attributes.of(row) for row in self._items.ids.rows(item_ids).tolist()]

    def are_new(self, item_ids: Iterable[Id]) -> list[bool]:
        """Return which items nobody has yet."""
        rows = self._items.ids.rows(item_ids)
        is_new: list[bool] = ((rows >= 0) & (self._items.n_with_events[rows] == 0)).tolist()
        return is_new

    def seen_by(self, user_id: Id) -> ItemRows:
        """Return the rows of what a user has seen and not disliked: what gives reasons."""
        user_idx = self._users.ids.find(user_id)
        return NO_ITEMS if user_idx is None else self._users.seen.liked(user_idx)

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
        """Return the search for items of a request by the dot product with a user."""
        if request.candidates is not None:
            rows = request.allowed_candidates(exclude)

            def ranked(n: int, group: Boosted | None = None) -> RowScores:
                among = rows if group is None else rows[group.is_in[rows]]
                return self._index.rank(user, among, n)

            return _by_boosted_score(ranked, request)

        def searched(n: int, group: Boosted | None = None) -> RowScores:
            matching = request.matching if group is None else group
            allowed = None if matching is None else matching.allowed
            return self._index.search(user, n, exclude, allowed)

        return _by_boosted_score(searched, request)

    def _finder_in(self, order: ItemOrder, request: Request, exclude: ItemRows) -> Find:
        """Return the search for items of a request in an order for everybody."""
        is_allowed = request.is_allowed(len(self._items.ids))

        def find(n: int, group: Boosted | None = None) -> RowScores:
            among = is_allowed
            if group is not None:
                among = group.is_in if among is None else among & group.is_in
            return order.best(n, exclude, among)

        return _by_boosted_score(find, request)


def _by_boosted_score(find: Callable[..., RowScores], request: Request) -> Find:
    """Return a search for the best items by boosted score, where a request has boosts."""
    groups = request.boosts
    return find if groups is None else lambda n: best_of(groups, find, n)


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

    def are_new(self, item_ids: Iterable[Id]) -> list[bool]:
        """Return which items nobody has yet."""
        known = self._answers
        return [False for _ in item_ids] if known is None else known.are_new(item_ids)

    def seen_by(self, user_id: Id) -> ItemRows:
        """Return the rows of what a user has seen."""
        return NO_ITEMS if self._answers is None else self._answers.seen_by(user_id)

    def closest(self, item_ids: Sequence[Id], seen: ItemRows) -> list[ScoredItem | None]:
        """Return the most similar of some seen items to each item."""
        known = self._answers
        return [None] * len(item_ids) if known is None else known.closest(item_ids, seen)

    def __reduce__(self) -> tuple[Any, ...]:
        return Elsewhere, (self._folder,)
