"""Scored items with what their version knows of them: attributes, titles, and reasons."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.lazy import lazy_property
from recsys.base.plain import plain
from recsys.base.tables import Tabular, table_of
from recsys.index import ItemRows
from recsys.vectors import Id
from recsys.vectors.ids import Kind

_OURS = {"rank", "item_id", "score", "boost", "pinned", "new_item", "because_of"}


class ScoredItem(NamedTuple):
    """An item and its score, which can be compared within one list only."""

    item_id: Id
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {"item_id": self.item_id, "score": finite_or_none(self.score)}


# In half the time of ScoredItem(item_id, score).
_scored_item = partial(tuple.__new__, ScoredItem)


def scored_items(item_ids: Iterable[Id], scores: NDArray[np.generic]) -> tuple[ScoredItem, ...]:
    """Return items beside their scores, in the same order."""
    return tuple(map(_scored_item, zip(item_ids, scores.tolist(), strict=True)))


def finite_or_none(number: float) -> float | None:
    """Return a number that JSON can hold; None for infinity and NaN."""
    return number if math.isfinite(number) else None


class Known(Protocol):
    """What a version knows of its items."""

    @property
    def title_column(self) -> str | None:
        """The attribute that holds titles; None where there is none."""
        ...

    def attributes_of(self, item_ids: Iterable[Id]) -> list[dict[str, Any]]:
        """Return the attributes of items, by column."""
        ...

    def are_new(self, item_ids: Iterable[Id]) -> list[bool]:
        """Return which items nobody has yet: their embeddings come from their attributes."""
        ...

    def seen_by(self, user_id: Id) -> ItemRows:
        """Return the rows of what a user has seen and not disliked."""
        ...

    def closest(self, item_ids: Sequence[Id], seen: ItemRows) -> list[ScoredItem | None]:
        """Return the most similar of some seen items to each item, None where there is none."""
        ...


About = tuple[Known, ItemRows | Callable[[], ItemRows] | None]
"""What the version of a list knows, and what gives its reasons: the rows that its user has seen."""


class Described(Tabular):
    """A table of scored items, with what their version knows of them, read when it is asked for.

    It keeps its version open. Unpickled, it opens the version where it is asked for them, and goes
    without where there is no such version.
    """

    about: About | None
    kind: Kind = "item"
    boosts: tuple[float, ...] = ()
    are_pinned: tuple[bool, ...] = ()

    @property
    def listed(self) -> tuple[ScoredItem, ...]:
        """The items of the table."""
        raise NotImplementedError

    @lazy_property
    def attributes(self) -> tuple[dict[str, Any], ...]:
        """What is known of each item, such as its title, by column; empty where nothing is."""
        if self.about is None:
            return tuple({} for _ in self.listed)
        return tuple(self.about[0].attributes_of(item_id for item_id, _ in self.listed))

    @lazy_property
    def are_new(self) -> tuple[bool, ...]:
        """Whether each item is one that nobody has yet, so that attributes alone speak for it."""
        if self.about is None or self.kind != "item":
            return (False,) * len(self.listed)
        return tuple(self.about[0].are_new(item_id for item_id, _ in self.listed))

    @lazy_property
    def title_column(self) -> str | None:
        """The attribute that holds titles."""
        return None if self.about is None else self.about[0].title_column

    @lazy_property
    def reasons(self) -> tuple[ScoredItem | None, ...]:
        """The item of the history most similar to each item, with the cosine; None without one."""
        known, seen = self.about or (None, None)
        rows = seen() if callable(seen) else seen
        if known is None or rows is None or len(rows) == 0:
            return (None,) * len(self.listed)
        return tuple(known.closest([item_id for item_id, _ in self.listed], rows))

    @lazy_property
    def reason_titles(self) -> tuple[Any, ...]:
        """The title of each reason; None without one."""
        column, listed = self.title_column, [one for one in self.reasons if one is not None]
        if self.about is None or column is None or not listed:
            return (None,) * len(self.reasons)
        found = iter(self.about[0].attributes_of(one.item_id for one in listed))
        return tuple(None if one is None else next(found).get(column) for one in self.reasons)

    @property
    def titles(self) -> tuple[str | None, ...]:
        """The title of each item; None where it has none."""
        column = self.title_column
        return tuple(None if column is None else known.get(column) for known in self.attributes)

    def to_arrow(self) -> pa.Table:
        """Return one row per item: rank from 1, item_id, title, score, because_of, attributes.

        Of similar users, user_id and score.

        Columns of what is not known are left out. `because_of` is the title, or else the id, of the
        item of the history that is most similar.
        """
        column, rows = self.title_column, []
        are_texts = any(isinstance(item_id, str) for item_id, _ in self.listed)
        for rank, (item, known, reason, title) in enumerate(self._together(), start=1):
            id_ = str(item.item_id) if are_texts else item.item_id
            row: dict[str, Any] = {"rank": rank, f"{self.kind}_id": id_}
            if column is not None:
                row[_apart(column)] = known.get(column)
            row["score"] = item.score
            row |= {"boost": self.boosts[rank - 1]} if self.boosts else {}
            row |= {"pinned": self.are_pinned[rank - 1]} if self.are_pinned else {}
            row |= {"new_item": self.are_new[rank - 1]} if any(self.are_new) else {}
            if reason is not None:
                row["because_of"] = str(title or reason.item_id)
            rows.append(row | {_apart(name): one for name, one in known.items()})
        return table_of(rows)

    def _together(self) -> Iterable[tuple[ScoredItem, dict[str, Any], ScoredItem | None, Any]]:
        return zip(self.listed, self.attributes, self.reasons, self.reason_titles, strict=True)

    def dicts(self) -> list[dict[str, Any]]:
        """Return each item in plain types that JSON can hold."""
        found = []
        for place, (item, known, reason, title) in enumerate(self._together()):
            row = item.to_dict() | ({"boost": self.boosts[place]} if self.boosts else {})
            row |= {"pinned": True} if self.are_pinned and self.are_pinned[place] else {}
            row |= {"new_item": True} if self.are_new[place] else {}
            row |= {_apart(name): plain(one) for name, one in known.items()}
            if reason is not None:
                named = {} if title is None else {self.title_column: title}
                row["because_of"] = reason.to_dict() | named
            found.append(row)
        return found


def _apart(name: str) -> str:
    """Return the name of an attribute beside those of ours."""
    return f"item_{name}" if name in _OURS else name
