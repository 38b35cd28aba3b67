"""Attributes that were made of what is held out: a model would be told what it is asked.

What can be known is known of the values: numbers, dates and the lengths of vectors that go with
the held-out events of an item, and vectors that a version was published with. A vector of a model
that was trained on the whole log, and scaled to one length since, passes.
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.logs.attribute_rows import attributes_of
from recsys.logs.interactions import Interactions

_FEWEST, _FEWEST_VALUES = 20, 5  # items, and different values, that tell a rule from chance
_GOES_WITH = 0.95  # rank correlation; what is known of an item before it is sold has far less
_SAME = 0.9  # of the items whose date is that of an event


def require_features_before(
    table: pa.Table, test: Interactions, what: str, columns: Collection[str] | None = None
) -> None:
    """Refuse attributes of items that know the events which the items are tested with.

    Parameters
    ----------
    table : pyarrow.Table
        As `recsys.read_items` returns it.
    test : Interactions
        With new items, see `SplitInfo`.
    columns : collection of str, optional
        Those that a model uses. Default: all.
    """
    new_items = None if test.split_info is None else test.split_info.new_items
    if new_items is None:
        return
    names = [name for name in table.column_names if name != "item_id"]
    used = [name for name in names if columns is None or name in columns]
    if b"space_id" in (table.schema.metadata or {}) and "embedding" in used:
        raise DataError(
            f"{what}: expected attributes from before the events that are tested, got the "
            "embedding column of a published version, which may have been trained on them; take "
            "vectors that were made without this log (without the schema's space_id they pass)"
        )
    known = attributes_of(table, new_items.items).select(used)
    figures = _figures(new_items)
    for name in used:
        for kind, values in _numbers(known[name]):
            for figure, of_events in figures[kind].items():
                if _is_made_of(values, of_events, kind):
                    raise _leak(what, name, figure, len(values))


def _figures(events: Interactions) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return what an attribute may have been made of: one value for each item, (n_items,)."""
    n, item_idx = len(events.items), events.item_idx
    of_pair = np.unique(events.pair_keys()) % max(n, 1)
    numbers: dict[str, NDArray[np.float64]] = {
        "number of their events": np.bincount(item_idx, minlength=n).astype(np.float64),
        "number of their users": np.bincount(of_pair, minlength=n).astype(np.float64),
        "sum of their weights": np.bincount(item_idx, events.weight, n).astype(np.float64),
    }
    dates = _dates(item_idx, events.timestamp, n, "event")
    if events.dislikes is not None and len(events.dislikes):
        disliked = np.bincount(events.dislikes.item_idx, minlength=n).astype(np.float64)
        numbers["number of their dislikes"] = disliked
        numbers["number of their likes and dislikes"] = numbers["number of their events"] + disliked
        item_idx = np.append(item_idx, events.dislikes.item_idx)
        if events.timestamp is not None and events.dislikes.timestamp is not None:
            times = np.append(events.timestamp, events.dislikes.timestamp)
            dates |= _dates(item_idx, times, n, "like or dislike")
    return {"number": numbers, "date": dates}


def _dates(
    item_idx: NDArray[np.integer], times: NDArray[np.integer] | None, n: int, what: str
) -> dict[str, NDArray[np.float64]]:
    dates: dict[str, NDArray[np.float64]] = {}
    if times is not None:
        for figure, keep, start in (("first", np.minimum, np.inf), ("last", np.maximum, -np.inf)):
            found = np.full(n, start, dtype=np.float64)
            keep.at(found, item_idx, times)
            dates[f"time of their {figure} {what}"] = found
    return dates


def _numbers(column: pa.ChunkedArray) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield the values of a column as numbers, NaN where there is none, and what they are."""
    kind: Any = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        micros = column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
        yield "date", micros.cast(pa.int64()).cast(pa.float64()).to_numpy() / 1e6
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        values = column.cast(pa.float64(), safe=False).to_numpy()
        yield "number", values
        for per_second in (1, 1_000):  # what is unix time counts in one of these
            yield "date", values / per_second
    elif _are_lists(kind) and pa.types.is_floating(kind.value_type):
        vectors = column.to_pylist()
        lengths = [np.nan if one is None else float(np.linalg.norm(one)) for one in vectors]
        yield "number", np.array(lengths)


def _are_lists(kind: Any) -> bool:
    lists = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    return any(is_one(kind) for is_one in lists)


def _is_made_of(values: NDArray[np.float64], of_events: NDArray[np.float64], kind: str) -> bool:
    is_known = np.isfinite(values) & np.isfinite(of_events)
    values, of_events = values[is_known], of_events[is_known]
    if len(values) < _FEWEST or min(map(_n_distinct, (values, of_events))) < _FEWEST_VALUES:
        return False
    if kind == "date":
        return float((np.floor(values) == of_events).mean()) >= _SAME
    return abs(float(np.corrcoef(_ranks(values), _ranks(of_events))[0, 1])) >= _GOES_WITH


def _n_distinct(values: NDArray[np.float64]) -> int:
    return len(np.unique(values))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each value, equal ones the mean of theirs."""
    _, number, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[number]
    return ranks


def _leak(what: str, name: str, figure: str, n: int) -> DataError:
    return DataError(
        f"{what}: expected attributes from before the events that are tested, got {name}, which "
        f"goes with the {figure} over the {n:,} held-out items; a model would be told what it is "
        f"asked, so leave {name} out, or make it of what was known before"
    )
