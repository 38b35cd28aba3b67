"""What a caller wants of a list, checked and in rows."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.index import ItemRows
from recsys.serving.attributes import ItemAttributes, Matching
from recsys.vectors import Id, Ids
from recsys.vectors.ids import checked_ids, checked_k

NOTHING = np.empty(0, dtype=np.int32)

_NUMBER = (int, float, np.number)


class Wanted(NamedTuple):
    """A list that is asked for.

    Parameters
    ----------
    k : int
    exclude : ndarray of int32
        Rows that must not be in it, beside those that the user has seen.
    candidates : ndarray of int32, optional
        The only rows that may be in it, ascending, each once.
    matching : Matching, optional
        The only items that may be in it.
    diversity : float
        From 0, by score alone, to 1.
    groups : ndarray of int32, shape (n_items,), optional
        The group of each item, -1 for none.
    per_group : int
        Most items of one group.
    """

    k: int
    exclude: ItemRows
    candidates: ItemRows | None
    matching: Matching | None
    diversity: float
    groups: NDArray[np.int32] | None
    per_group: int

    def is_allowed(self, n_items: int) -> NDArray[np.bool_] | None:
        """Return which items may be in the list, as far as they are not excluded; None for all.

        What is excluded from all lists is not allowed in any either.
        """
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

    def allowed_candidates(self, exclude: ItemRows) -> ItemRows:
        """Return the candidates that fulfil the condition and are not excluded."""
        rows = NOTHING if self.candidates is None else self.candidates
        if self.matching is not None:
            rows = rows[self.matching.is_matching[rows]]
        kept: ItemRows = rows[~np.isin(rows, exclude)]
        return kept


def wanted(
    k: int,
    exclude: Iterable[Id],
    candidates: Iterable[Id] | None,
    where: str | None,
    diversity: float,
    max_per: str | None,
    *,
    ids: Ids,
    attributes: ItemAttributes,
) -> Wanted:
    """Check what a caller asks for, and turn ids into rows; unknown ids say nothing.

    Raises
    ------
    DataError
        If an argument cannot be understood; it is named.
    """
    column, per_group = (None, 0) if max_per is None else _column_and_number(max_per)
    listed = None if candidates is None else np.unique(_known_rows(candidates, "candidates", ids))
    if where is not None and not isinstance(where, str):
        raise DataError(f"where: expected a condition as text, got {where!r}")
    return Wanted(
        k=checked_k(k),
        exclude=_known_rows(exclude, "exclude", ids),
        candidates=listed,
        matching=None if where is None else attributes.matching(where),
        diversity=_checked_share(diversity),
        groups=None if column is None else attributes.groups(column),
        per_group=per_group,
    )


def _known_rows(listed: Iterable[Id], name: str, ids: Ids) -> ItemRows:
    if isinstance(listed, tuple) and not listed:
        return NOTHING
    rows = ids.rows(checked_ids(listed, name))
    known: ItemRows = rows[rows >= 0]
    return known


def _column_and_number(max_per: str) -> tuple[str, int]:
    """Read ``"brand:2"``."""
    column, _, number = str(max_per).rpartition(":")
    if not column or not number.isdecimal() or int(number) < 1:
        raise DataError(
            f'max_per: expected a column and a number of items, such as "brand:2", got {max_per!r}'
        )
    return column, int(number)


def _checked_share(diversity: float) -> float:
    is_number = isinstance(diversity, _NUMBER) and not isinstance(diversity, bool)
    if not is_number or not 0 <= diversity <= 1:
        raise DataError(f"diversity: expected a number from 0 to 1, got {diversity!r}")
    return float(diversity)
