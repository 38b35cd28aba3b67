"""What a recommender gives: the list of one user, those of many, and explanations."""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.tables import Tabular
from recsys.index import ItemRows
from recsys.serving.known import (
    About,
    Described,
    Known,
    ScoredItem,
    finite_or_none,
    scored_items,
)
from recsys.vectors import FloatMatrix, FloatVector, Id, Ids
from recsys.vectors.ids import Kind

Source = Literal[
    "personal",
    "fold_in",
    "attributes",
    "popular",
    "trending",
    "latest",
    "similar",
    "title",
    "history",
    "audience",
]
SOURCES: tuple[Source, ...] = ("popular", "personal", "fold_in", "attributes")
"""Of the lists of many users, in the order of their numbers."""

POPULAR, PERSONAL, FOLD_IN, ATTRIBUTES = range(4)


class RowList(NamedTuple):
    """A list as rows of items, best first: what `Recommender` gives names to."""

    rows: ItemRows
    scores: NDArray[np.generic]
    source: Source
    seen: ItemRows | Callable[[], ItemRows] | None = None  # what gives reasons
    boost: FloatVector | None = None  # what rules have added to the scores
    pinned: ItemRows | None = None  # those that a pin has given a position

    @property
    def is_pinned(self) -> NDArray[np.bool_] | None:
        """Whether a pin has given each item its position; None where none has."""
        if self.pinned is None or not len(self.pinned):
            return None
        return np.isin(self.rows, self.pinned)


def marks(are_marked: NDArray[np.bool_] | Sequence[bool] | None) -> tuple[bool, ...]:
    """Return which items of a list are marked; nothing where none is."""
    return tuple(map(bool, are_marked)) if are_marked is not None and any(are_marked) else ()


@dataclass(frozen=True, repr=False)
class Recommendations(Described):
    """A list of items, best first; a table of them, with titles, in a notebook.

    Parameters
    ----------
    items : tuple of ScoredItem
        No item twice.
    source : str
        Where the list came from: the user's own embedding ("personal"), one folded in from a
        history ("fold_in"), one that "attributes" of the user say, the most popular items
        ("popular"), those that are met more than they used to be ("trending"), the newest
        ("latest"), the items most similar to one ("similar"), a search by "title", what the user
        has seen ("history"), or the "audience" of an item.
    version : str
        The version that answered.
    about : tuple, optional
        Where `attributes`, `titles` and `reasons` come from.
    kind : {"item", "user"}
        What is listed: of similar users and of an audience, `item_id` is the id of a user.
    boosts : tuple of float
        What rules have added to each score, which it is a part of; empty where there were none.
    are_pinned : tuple of bool
        Whether a pin has given each item its position; empty where none has.

    Examples
    --------
    >>> found = Recommendations((ScoredItem("i7", 0.5),), "personal", "20261120T020000Z-3f2a91bc")
    >>> len(found), found[0].item_id, [score for _, score in found]
    (1, 'i7', [0.5])
    """

    items: tuple[ScoredItem, ...]
    source: Source
    version: str
    about: About | None = field(default=None, compare=False)
    kind: Kind = field(default="item", compare=False)
    boosts: tuple[float, ...] = ()
    are_pinned: tuple[bool, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[ScoredItem]:
        return iter(self.items)

    def __getitem__(self, position: int) -> ScoredItem:
        return self.items[position]

    @property
    def listed(self) -> tuple[ScoredItem, ...]:
        """The items of the table."""
        return self.items

    def caption(self) -> str:
        """Return how many items there are, where they came from, and the version."""
        return f"{len(self)} {self.kind}s · {self.source} · version {self.version}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold: each item with its attributes and its reason."""
        return {
            "items": self.dicts(),
            "source": self.source,
            "version": self.version,
        }


@dataclass(frozen=True, repr=False)
class Explanation(Described):
    """What each item of a history adds to a score; see `Recommender.explain`.

    Parameters
    ----------
    item_id : str or int
        The item whose score is explained.
    contributions : tuple of ScoredItem
        Items of the history and what each adds, the largest first; negative ones lower the score.
    rest : float
        The score less the sum of the contributions: the mean of a centered model or the popularity
        of the item, and rounding.
    source : {"personal", "fold_in", "attributes"}
    about : tuple, optional
        Where `attributes` and `titles` of the contributions come from.
    is_new_item : bool
        Whether nobody has or dislikes the item yet: its embedding comes from its attributes.

    Examples
    --------
    >>> why = Explanation("i9", 0.5, (ScoredItem("i7", 0.4),), 0.1, "personal", "v")
    >>> why.score == sum(added for _, added in why.contributions) + why.rest
    True
    """

    item_id: Id
    score: float
    contributions: tuple[ScoredItem, ...]
    rest: float
    source: Source
    version: str
    about: About | None = field(default=None, compare=False)
    is_new_item: bool = False

    @property
    def listed(self) -> tuple[ScoredItem, ...]:
        """The items of the table."""
        return self.contributions

    def caption(self) -> str:
        """Return what is explained, and its score."""
        new = ", a new item" if self.is_new_item else ""
        return f"score {self.score:.4g} of item {self.item_id}{new} · version {self.version}"

    @property
    def parts(self) -> tuple[ScoredItem, ...]:
        """The contributions, by their name in JSON and in earlier releases."""
        return self.contributions

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {
            "item_id": self.item_id,
            "score": finite_or_none(self.score),
            "parts": self.dicts(),
            "rest": finite_or_none(self.rest),
            "source": self.source,
            "version": self.version,
            **({"new_item": True} if self.is_new_item else {}),
        }


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
    boost : ndarray of float32, shape (n_users, k), optional
        What rules have added to the scores.
    is_pinned : ndarray of bool, shape (n_users, k), optional
        What a pin has given its position.
    """

    item_idx: NDArray[np.int32]
    scores: FloatMatrix
    source: NDArray[np.int8]
    boost: FloatMatrix | None = None
    is_pinned: NDArray[np.bool_] | None = None

    @property
    def is_personal(self) -> NDArray[np.bool_]:
        """Whether a list comes from the user's own embedding, (n_users,)."""
        return np.equal(self.source, PERSONAL)

    @classmethod
    def empty(
        cls, source: NDArray[np.int8], k: int, has_boosts: bool = False, has_pins: bool = False
    ) -> "Lists":
        """Return lists without any item."""
        shape = (len(source), k)
        return cls(
            np.full(shape, -1, np.int32),
            np.full(shape, -np.inf, np.float32),
            source,
            np.zeros(shape, np.float32) if has_boosts else None,
            np.zeros(shape, np.bool_) if has_pins else None,
        )

    def put(self, position: int, found: RowList) -> None:
        """Write the list of one user."""
        place = position, slice(len(found.rows))
        self.item_idx[place], self.scores[place] = found.rows, found.scores
        if self.boost is not None and found.boost is not None:
            self.boost[place] = found.boost
        if self.is_pinned is not None and found.is_pinned is not None:
            self.is_pinned[place] = found.is_pinned

    @classmethod
    def joined(cls, blocks: Sequence["Lists"], k: int) -> "Lists":
        """Return the lists of all blocks of users."""
        blocks = blocks or [cls.empty(np.empty(0, dtype=np.int8), k)]
        columns = zip(*(block._columns for block in blocks), strict=True)
        joined: list[Any] = [None if one[0] is None else np.concatenate(one) for one in columns]
        return cls(*joined)

    def __getitem__(self, positions: slice) -> "Lists":
        cut: list[Any] = [None if one is None else one[positions] for one in self._columns]
        return Lists(*cut)

    @property
    def _columns(self) -> tuple[Any, ...]:
        return self.item_idx, self.scores, self.source, self.boost, self.is_pinned


@dataclass(frozen=True, eq=False, repr=False)
class Batch(Tabular):
    """The lists of some users; iterates over `Recommendations`, in the order asked for.

    A position gives the `Recommendations` of one user, a slice a `Batch` of several.
    """

    user_ids: Sequence[Id]
    lists: Lists
    items: Ids
    version: str
    known: Known | None = None
    histories: Mapping[int, ItemRows] | None = None  # of positions; None where nobody has reasons

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
            kept, seen = range(len(self))[position], self.histories
            return replace(
                self,
                user_ids=self.user_ids[position],
                lists=self.lists[position],
                histories=seen and {new: seen[old] for new, old in enumerate(kept) if old in seen},
            )
        position = operator.index(position)  # a TypeError of anything else
        rows, scores = self.lists.item_idx[position], self.lists.scores[position]
        kept = rows >= 0
        found = scored_items(self.items.tolist(rows[kept]), scores[kept])
        source = SOURCES[int(self.lists.source[position])]
        boost, is_pinned = self.lists.boost, self.lists.is_pinned
        return Recommendations(
            found,
            source,
            self.version,
            self._about(position, source),
            boosts=() if boost is None else tuple(boost[position, kept].tolist()),
            are_pinned=marks(None if is_pinned is None else is_pinned[position, kept]),
        )

    def _about(self, position: int, source: Source) -> About | None:
        if self.known is None:
            return None
        if self.histories is None or source == "popular":
            return self.known, None
        if source == "fold_in":
            return self.known, self.histories[position % len(self)]
        return self.known, partial(self.known.seen_by, self.user_ids[position])

    def to_arrow(self) -> pa.Table:
        """Return what `to_table` returns, and the title of each item where titles are known."""
        table, column = self.to_table(), None if self.known is None else self.known.title_column
        if self.known is None or column is None:
            return table
        ids = table["item_id"].combine_chunks().dictionary_encode()
        known = self.known.attributes_of(ids.dictionary.to_pylist())
        titles = pa.array([one.get(column) for one in known])
        place = table.column_names.index("item_id") + 1
        return table.add_column(place, "title", titles.take(ids.indices))

    def first_rows(self, n: int) -> pa.Table:
        """Return the first rows of the table."""
        return self[:n].to_arrow().slice(0, n)

    def caption(self) -> str:
        """Return how many users there are, and the version."""
        return f"lists of {len(self):,} users · version {self.version}"

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
                "item_id": as_written(
                    self.items.values.take(pa.array(self.lists.item_idx[is_there]))
                ),
                "score": pa.array(self.lists.scores[is_there]),
                "source": sources.take(pa.array(self.lists.source[user])),
            }
        )


def as_written(ids: pa.Array) -> pa.Array:
    """Return ids as files have them: texts in the type that every reader knows."""
    return ids.cast(pa.string()) if pa.types.is_large_string(ids.type) else ids
