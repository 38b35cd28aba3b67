"""What the points of a map can be coloured by: popularity, movement, and attributes of items."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import ConfigError, briefly, did_you_mean
from recsys.evaluation import groups_of
from recsys.evaluation.slices import UNKNOWN
from recsys.store.title_column import title_column

MOST_GROUPS = 8
"""Groups with a colour of their own, which people can tell apart; the others are one."""

_MOST_ATTRIBUTES = 6
_LEAST_PER_GROUP = 4  # points, on average: else an attribute is a name
OTHERS = "others"


@dataclass(frozen=True, eq=False)
class Coloring:
    """A value of each point: a number, or one of a few groups.

    Parameters
    ----------
    name : str
    values : ndarray of shape (n,)
        Numbers, NaN where there is none; or rows of `groups`.
    groups : tuple of str
        The largest first, then "others" and "unknown" where there are such; empty for numbers.
    is_log : bool
        Whether the numbers span powers of ten.
    is_first_of_several : bool
        Whether points are in several groups, of which the first counts.
    """

    name: str
    values: NDArray[np.generic]
    groups: tuple[str, ...] = ()
    is_log: bool = False
    is_first_of_several: bool = False


def colorings_of(attributes: pa.Table, by: Sequence[str] | None = None) -> list[Coloring]:
    """Return the attributes that say something of many points: numbers, and words that recur.

    Parameters
    ----------
    attributes : pyarrow.Table
        A row for each point.
    by : sequence of str, optional
        The attributes to take, whatever they hold. Default: at most six, not the title.

    Raises
    ------
    ConfigError
        If there is no such attribute.
    """
    names = [name for name in attributes.column_names if name != "item_id"]
    for name in by or ():
        if name not in names:
            raise ConfigError(
                f"by: expected attributes of the items ({', '.join(names) or 'there are none'}), "
                f"got {briefly(name)}{did_you_mean(name, names)}; name others, or none, by --by"
            )
    if by is not None:
        return [_of_column(attributes, name) for name in dict.fromkeys(by)]
    title = title_column(attributes)
    found = [_of_column(attributes, name) for name in names if name != title]
    return [one for one in found if _says_something(one)][:_MOST_ATTRIBUTES]


def _of_column(attributes: pa.Table, name: str) -> Coloring:
    column = attributes[name]
    if _is_number(column.type):
        numbers = np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
        return Coloring(name, numbers, is_log=_spans_powers(numbers))
    several = groups_of(column.to_pylist())[0]
    firsts = [one[0] for one in several]
    counts = Counter(firsts)
    named = [group for group, _ in counts.most_common() if group != UNKNOWN][:MOST_GROUPS]
    rest = [OTHERS] if len(counts.keys() - {UNKNOWN}) > MOST_GROUPS else []
    groups = [*named, *rest, *([UNKNOWN] if UNKNOWN in counts else [])]
    rows = {group: row for row, group in enumerate(groups)}
    others = len(named)  # where a group without a colour goes
    codes = np.array([rows.get(group, others) for group in firsts], np.uint8)
    return Coloring(name, codes, tuple(groups), False, any(len(one) > 1 for one in several))


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _spans_powers(numbers: NDArray[np.float64]) -> bool:
    known = numbers[np.isfinite(numbers)]
    return len(known) > 0 and bool(known.min() > 0 and known.max() > 100 * known.min())


def _says_something(one: Coloring) -> bool:
    if not one.groups:
        known = np.asarray(one.values, np.float64)
        return bool(np.isfinite(known).any() and np.nanmin(known) < np.nanmax(known))
    sizes = np.bincount(one.values.astype(np.int64), minlength=len(one.groups))
    named = [group for group in one.groups if group not in (OTHERS, UNKNOWN)]
    largest = int(sizes[: len(named)].sum())
    return len(one.groups) > 1 and largest >= min(
        _LEAST_PER_GROUP * len(named), len(one.values) / 2
    )
