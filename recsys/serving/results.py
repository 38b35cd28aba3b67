"""Lists of recommended items, and where they came from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from recsys.vectors import Id

Source = Literal["personal", "fold_in", "popular", "similar"]


class ScoredItem(NamedTuple):
    """An item and its score, which can be compared within one list only."""

    item_id: Id
    score: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {"item_id": self.item_id, "score": finite_or_none(self.score)}


@dataclass(frozen=True)
class Recommendations:
    """A list of items, best first.

    Parameters
    ----------
    items : tuple of ScoredItem
        No item twice.
    source : {"personal", "fold_in", "popular", "similar"}
        Where the list came from: the user's own embedding, one folded in from a history, the
        most popular items, or the items most similar to one.
    version : str
        The version that answered.

    Examples
    --------
    >>> found = Recommendations((ScoredItem("i7", 0.5),), "personal", "20261120T020000Z-3f2a91bc")
    >>> len(found), found[0].item_id, [score for _, score in found]
    (1, 'i7', [0.5])
    """

    items: tuple[ScoredItem, ...]
    source: Source
    version: str

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[ScoredItem]:
        return iter(self.items)

    def __getitem__(self, position: int) -> ScoredItem:
        return self.items[position]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {
            "items": [item.to_dict() for item in self.items],
            "source": self.source,
            "version": self.version,
        }


def finite_or_none(number: float) -> float | None:
    """Return a number that JSON can hold; None for infinity and NaN."""
    return number if math.isfinite(number) else None
