"""Items in an order that is the same for everybody, such as by popularity."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.index import ItemRows
from recsys.store import Content
from recsys.vectors import FloatVector

TopKind = Literal["popular", "trending", "latest"]

FIRST_DAY = ""
"""Of "latest", the name of what is no attribute: the day of the first event of an item."""

_SECONDS_PER_DAY = 86_400


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


def is_ordered(kind: pa.DataType) -> bool:
    """Whether values of a type are dates or numbers."""
    types = pa.types
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return bool(is_number or types.is_timestamp(kind) or types.is_date(kind))


class OrderOf:
    """Makes the order of all items by popularity or a column; without a reference to who asks."""

    def __init__(self, content: Content) -> None:
        self._content = content

    def __call__(self, asked: tuple[TopKind, str]) -> ItemOrder:
        """Return the order of a kind of list, and of "latest" by the column that is named."""
        by, column = asked
        items = self._content.items
        if by == "popular":
            return _descending(items.popularity)
        times = self._content.times
        if by == "trending":
            return self._by_velocity()
        if column == FIRST_DAY and times is not None:
            return _descending(times.first_day.astype(np.float64) * _SECONDS_PER_DAY)
        table: Any = self._content.attributes  # the column was found in it
        return _descending(as_numbers(table[column]))

    def _by_velocity(self) -> ItemOrder:
        """Return the order by velocity; by recent popularity where an older release made it."""
        items, times = self._content.items, self._content.times
        if times is not None and times.has_velocity:
            return _descending(times.velocity, items.popularity)
        if times is None and items.recent is not None:
            return _descending(items.recent, items.popularity)
        got = "without" if times is None else "shorter than two days"
        raise DataError(
            "trending: expected a log with timestamps, of two days or more, and version "
            f"{self._content.version.name} was trained on one {got}; ask for popular"
        )


def as_numbers(values: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return numbers, or dates as seconds since 1970; NaN for what is not known."""
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        moments = values.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
        return as_numbers(moments.cast(pa.int64())) / 1e6
    numbers: NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy()
    return numbers


def _descending(scores: NDArray[np.generic], ties: NDArray[np.generic] | None = None) -> ItemOrder:
    """Return the order of the largest score first, equal ones by `ties`, then by lower row."""
    values = np.asarray(scores)
    keys = (-values,) if ties is None else (-np.asarray(ties), -values)
    rows = np.lexsort(keys).astype(np.int32)
    return ItemOrder(rows[~np.isnan(values[rows])], values)
