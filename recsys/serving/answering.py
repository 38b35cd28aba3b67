"""From the embedding of a user to a list."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.index import ItemRows
from recsys.serving.attributes import ItemAttributes
from recsys.serving.batch import Lists, lists_of
from recsys.serving.filters import Wanted
from recsys.serving.popular import PopularItems
from recsys.serving.recommendations import Recommendations, ScoredItem, Source
from recsys.serving.reranking import Find, chosen
from recsys.store import Content
from recsys.vectors import FloatVector


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
