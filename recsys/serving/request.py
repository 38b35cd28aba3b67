"""The request for a list: its length and conditions, checked once and turned into rows."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.index import ItemRows
from recsys.serving.attributes import Groups, ItemAttributes, Matching
from recsys.vectors import Id, Ids
from recsys.vectors.ids import checked_ids, checked_k

NO_ITEMS = np.empty(0, dtype=np.int32)

_NUMBER = (int, float, np.number)
_MOST_DIGITS = 9  # of the number in max_per


class Conditions(TypedDict, total=False):
    """The conditions of a list as a caller gives them; `Recommender.recommend` explains each."""

    exclude: Iterable[Id]
    include_seen: bool
    candidates: Iterable[Id] | None
    where: str | None
    diversity: float
    max_per: str | None


@dataclass(frozen=True, eq=False)
class Request:
    """The length and the conditions of a list, in rows of one version.

    Parameters
    ----------
    k : int
        Length of the list, at most that of the catalogue.
    exclude : ndarray of int32
        Rows that must not be in it, in addition to those that the user has seen.
    include_seen : bool
        Whether items that the user has seen may be in it.
    candidates : ndarray of int32, optional
        The only rows that may be in it, ascending and unique.
    matching : Matching, optional
        The only items that may be in it.
    diversity : float
        From 0, by score alone, to 1.
    groups : Groups, optional
        Of the items.
    per_group : int
        Most items of one group.
    """

    k: int
    exclude: ItemRows = field(default_factory=lambda: NO_ITEMS)
    include_seen: bool = False
    candidates: ItemRows | None = None
    matching: Matching | None = None
    diversity: float = 0.0
    groups: Groups | None = None
    per_group: int = 0

    @classmethod
    def of(
        cls,
        k: int,
        items: ItemAttributes,
        *,
        exclude: Iterable[Id] = (),
        include_seen: bool = False,
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
        diversity: float = 0.0,
        max_per: str | None = None,
    ) -> "Request":
        """Check what a caller asks for; ids that `items` does not hold are left out.

        Raises
        ------
        DataError
            If an argument cannot be understood; it is named.
        """
        if where is not None and not isinstance(where, str):
            raise DataError(f"where: expected a condition as text, got {where!r}")
        column, per_group = (None, 0) if max_per is None else _column_and_number(max_per)
        return cls(
            min(checked_k(k), len(items.ids)),
            _known_rows(exclude, "exclude", items.ids),
            include_seen,
            _rows_or_none(candidates, items.ids),
            None if where is None else items.matching(where),
            _checked_diversity(diversity),
            None if column is None else items.groups(column),
            per_group,
        )

    @classmethod
    def among(
        cls, k: int, ids: Ids, *, exclude: Iterable[Id] = (), candidates: Iterable[Id] | None = None
    ) -> "Request":
        """Check a request for some of other ids, such as those of users."""
        excluded = _known_rows(exclude, "exclude", ids)
        return cls(min(checked_k(k), len(ids)), excluded, candidates=_rows_or_none(candidates, ids))

    @property
    def is_by_score(self) -> bool:
        """Whether the list is the best items in order, without diversity or limits per group."""
        return self.diversity == 0 and self.groups is None

    def is_allowed(self, n_items: int) -> NDArray[np.bool_] | None:
        """Return which items may be in the lists of any user; None where all may."""
        if self.candidates is None and self.matching is None and len(self.exclude) == 0:
            return None
        is_allowed = np.ones(n_items, dtype=np.bool_)
        if self.candidates is not None:
            is_allowed[:] = False
            is_allowed[self.candidates] = True
        if self.matching is not None:
            is_allowed &= self.matching.is_matching
        is_allowed[self.exclude] = False
        return is_allowed

    def allowed_rows(self, n_items: int) -> ItemRows | None:
        """Return the rows of `is_allowed`; None where all may be in the lists."""
        is_allowed = self.is_allowed(n_items)
        return None if is_allowed is None else np.flatnonzero(is_allowed).astype(np.int32)

    def allowed_candidates(self, exclude: ItemRows) -> ItemRows:
        """Return the candidates that match and are not excluded."""
        rows = NO_ITEMS if self.candidates is None else self.candidates
        if self.matching is not None:
            rows = rows[self.matching.is_matching[rows]]
        kept: ItemRows = rows[~np.isin(rows, exclude)]
        return kept


def _known_rows(listed: Iterable[Id], name: str, ids: Ids) -> ItemRows:
    if isinstance(listed, tuple) and not listed:
        return NO_ITEMS
    rows = ids.rows(checked_ids(listed, name))
    known: ItemRows = rows[rows >= 0]
    return known


def _rows_or_none(candidates: Iterable[Id] | None, ids: Ids) -> ItemRows | None:
    return None if candidates is None else np.unique(_known_rows(candidates, "candidates", ids))


def _column_and_number(max_per: str) -> tuple[str, int]:
    """Read ``"brand:2"``."""
    column, _, number = str(max_per).rpartition(":")
    is_number = number.isdecimal() and len(number) <= _MOST_DIGITS
    if not column or not is_number or int(number) < 1:
        raise DataError(
            'max_per: expected a column and a number of items, such as "brand:2", got '
            f"{str(max_per)[:60]!r}"
        )
    return column, int(number)


def _checked_diversity(diversity: float) -> float:
    is_number = isinstance(diversity, _NUMBER) and not isinstance(diversity, bool)
    if not is_number or not 0 <= diversity <= 1:
        raise DataError(f"diversity: expected a number from 0 to 1, got {diversity!r}")
    return float(diversity)
