"""The attributes of the items, as conditions and groups that limit a list."""

import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakMethod

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import ConfigError, DataError, briefly, did_you_mean
from recsys.base.lazy import lazy_property
from recsys.base.rule_settings import Boost, RuleSettings, column_and_number
from recsys.index import Allowed, Index, ItemRows
from recsys.serving.repeats import Repeats
from recsys.serving.rules import NO_ITEMS, BoostedItems, boosted_items
from recsys.serving.sold_out import SoldOut
from recsys.store import ItemTimes
from recsys.vectors import Ids

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper

_T = TypeVar("_T")
_Asked = TypeVar("_Asked", bound=Hashable)

SHOWN_BY = "describe(item_id), recsys items --json or GET /v1/items/{item_id} shows them"
"""Where callers see the columns of attributes, which errors do not list, as a stranger may ask."""

_MAX_CONDITIONS = 64  # kept; each takes a little more than a byte per item
_MAX_GROUPINGS = 16
_MAX_BOOSTED = 16
_MAX_APART = 16


class Matching(NamedTuple):
    """The items that fulfil a condition, and the same for the index."""

    is_matching: NDArray[np.bool_]  # (n_items,)
    allowed: Allowed


class Apart(NamedTuple):
    """The items that fulfil a condition, and of these the new ones and the others."""

    whole: Matching | None  # None: all fulfil it
    new: Matching
    others: Matching


class Groups(NamedTuple):
    """The groups of the items by the values of a column, as numbers, -1 for none."""

    number: NDArray[np.int32]  # (n_items,), or (n_values,) of a column of lists
    starts: NDArray[np.int64] | None = None  # (n_items + 1,): of each, if it may be in several

    def of(self, row: int) -> set[int]:
        """Return the groups of an item."""
        if self.starts is None:
            return {int(self.number[row])} - {-1}
        return set(self.number[self.starts[row] : self.starts[row + 1]].tolist()) - {-1}

    def pairs(self, rows: ItemRows) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """Return the groups of some items, a pair of place and group for each, (n_pairs,)."""
        places = np.arange(len(rows))
        if self.starts is None:
            return places, self.number[rows]
        first = self.starts[rows]
        n_of = self.starts[rows + 1] - first
        n_before = np.cumsum(n_of) - n_of
        values = np.arange(n_of.sum()) + np.repeat(first - n_before, n_of)
        return np.repeat(places, n_of), self.number[values]

    def within_limit(self, rows: ItemRows, most: int) -> NDArray[np.bool_]:
        """Mark the rows, best first, that are among so many of their only group."""
        group = self.number[rows]
        by_group = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[by_group], prepend=-2))
        rank = np.empty(len(rows), dtype=np.int64)  # within the group
        rank[by_group] = np.arange(len(rows)) - np.repeat(
            starts, np.diff(np.append(starts, len(rows)))
        )
        fits: NDArray[np.bool_] = (rank < most) | (group < 0)
        return fits


class Limit(NamedTuple):
    """At most so many items of each group."""

    groups: Groups
    most: int


def within_limits(
    rows: ItemRows, limits: Sequence[Limit], n: int, counted: ItemRows = NO_ITEMS
) -> list[int]:
    """Return the places of the first n rows that come before a group of theirs is full.

    Rows are best first; those `counted` are in the list before them, also where a group is full.
    """
    if len(limits) == 1 and limits[0].groups.starts is None:  # without a loop
        fits = limits[0].groups.within_limit(np.append(counted, rows), limits[0].most)
        first: list[int] = np.flatnonzero(fits[len(counted) :])[:n].tolist()
        return first
    is_full = np.zeros(len(rows) + 1, dtype=np.bool_)  # and after the last row one that is not
    n_of: list[Counter[int]] = [Counter() for _ in limits]  # items of each group in the list
    pairs = [limit.groups.pairs(rows) for limit in limits]

    def count(row: int) -> None:
        for limit, of_limit, (places, groups) in zip(limits, n_of, pairs, strict=True):
            for group in limit.groups.of(row):
                of_limit[group] += 1
                if of_limit[group] == limit.most:
                    is_full[places[groups == group]] = True

    for row in counted.tolist():
        count(row)
    found: list[int] = []
    place = int(np.argmin(is_full))
    while place < len(rows) and len(found) < n:
        found.append(place)
        count(int(rows[place]))
        place += 1
        place += int(np.argmin(is_full[place:]))
    return found


class ItemAttributes:
    """Conditions on item attributes, and groups by them; the last answers are kept.

    `recsys.serving.conditions` has the grammar of conditions.

    Parameters
    ----------
    ids : Ids
        Of the items.
    table : callable
        Returns the table whose row i describes item i, or None where there is none.
    index : Index
        Of the items; prepares searches under a condition.
    where : str
        What holds the items, for error messages.
    sold_out : SoldOut, optional
        Items that may be in no list.
    n_with_events : ndarray of int64, shape (n_items,), optional
        Users who have or dislike each item, by which one is new. Default: none is.
    times : callable, optional
        Returns what the time of events says of the items, or None where nothing.
    """

    def __init__(
        self,
        ids: Ids,
        table: Callable[[], pa.Table | None],
        index: Index,
        where: str,
        sold_out: SoldOut | None = None,
        n_with_events: NDArray[np.int64] | None = None,
        times: Callable[[], ItemTimes | None] = lambda: None,
    ) -> None:
        self.ids = ids
        self._n_with_events = n_with_events
        self._sold_out = sold_out
        self._load, self._times = table, times
        self._index = index
        self._where = where
        self.matching = _kept(self._matching, _MAX_CONDITIONS)
        self.groups = _kept(self._groups, _MAX_GROUPINGS)
        self._kept_apart = _kept(self._apart, _MAX_APART)
        self._kept_boosted = _kept(self._boosted, _MAX_BOOSTED)

    def require_kept(self, rules: RuleSettings) -> None:
        """Raise a ConfigError for the first rule that names what the items do not have.

        Also for one whose day is still to come: a caller could do nothing about it.
        """
        conditions = [(f"boost, number {n}", one.where) for n, one in enumerate(rules.boost, 1)]
        conditions += [
            (f"pin, number {n}", one.where) for n, one in enumerate(rules.pin, 1) if one.where
        ]
        for name, where in conditions:
            with _as_rule(name):
                self.matching(where)
        self._warn_of_rules_without_effect(rules)
        for one in rules.max_per:
            with _as_rule("max_per"):
                self.groups(column_and_number(one)[0])

    def _warn_of_rules_without_effect(self, rules: RuleSettings) -> None:
        said = [
            f"boost, number {n}: it has neither times nor plus, so it changes nothing"
            for n, one in enumerate(rules.boost, 1)
            if (one.times, one.plus) == (1, 0)
        ]
        for n, pin in enumerate(rules.pin, 1):
            with _as_rule(f"pin, number {n}"):
                if pin.item_id is not None and self.ids.find(pin.item_id) is None:
                    said.append(
                        f"pin, number {n}: item {briefly(str(pin.item_id))} is not among the "
                        f"{len(self.ids):,} items {self._where}; it is in no list until it is"
                    )
        for one in said:
            warnings.warn(f"rules.{one}", RuntimeWarning, stacklevel=4)

    @property
    def sold_out(self) -> ItemRows:
        """The items that may be in no list now."""
        return NO_ITEMS if self._sold_out is None else self._sold_out.rows

    def repeats(self, share: float) -> Repeats:
        """Return what lets seen items back into lists; see `Repeats`."""
        return Repeats.of(share, self._times(), self._where)

    @lazy_property
    def title_column(self) -> str | None:
        """The column of titles; None where there is none."""
        from recsys.store.title_column import title_column

        table = self._load()
        return None if table is None else title_column(table)

    @property
    def caches(self) -> dict[str, Any]:
        """What is kept of conditions and groups: how often it was found, and was not."""
        return {"conditions": self.matching.cache_info(), "groups": self.groups.cache_info()}

    def of(self, item_idx: int) -> dict[str, Any]:
        """Return the attributes of an item by column; empty where there is no table."""
        table = self._load()
        if table is None:
            return {}
        return {name: table[name][item_idx].as_py() for name in self._names()}

    def _matching(self, condition: str) -> Matching:
        """Return the items that fulfil a condition; an unknown value fulfils none."""
        from recsys.serving.conditions import parse  # with Arrow's compute 28 ms, for conditions
        from recsys.serving.matching import matching_rows

        parsed = parse(condition)  # before the table: what is malformed needs none to be refused
        is_matching = matching_rows(parsed, self._table("where"))
        return Matching(is_matching, self._index.allow(is_matching))

    def is_new(self, users: int) -> NDArray[np.bool_]:
        """Return which items fewer than so many users have or dislike, (n_items,)."""
        if self._n_with_events is None:
            return np.zeros(len(self.ids), dtype=np.bool_)
        return np.asarray(self._n_with_events < users)

    def apart(self, where: str | None, users: int) -> Apart:
        """Return the items that fulfil a condition, those that are new and the others."""
        return self._kept_apart((where, users))

    def _apart(self, asked: tuple[str | None, int]) -> Apart:
        where, users = asked
        whole, is_new = None if where is None else self.matching(where), self.is_new(users)
        among = np.ones(len(is_new), dtype=np.bool_) if whole is None else whole.is_matching
        parts = (among & is_new, among & ~is_new)
        return Apart(whole, *(Matching(one, self._index.allow(one)) for one in parts))

    def boosted(
        self, boosts: tuple[Boost, ...], where: str | None, users: int = 0, *, new: bool = False
    ) -> BoostedItems:
        """Return the items that fulfil a condition, parted by the boosts that apply to them.

        Those that fewer than `users` users have, with `new`, or else the others.
        """
        return self._kept_boosted((boosts, where, users, new))

    def _boosted(self, asked: tuple[tuple[Boost, ...], str | None, int, bool]) -> BoostedItems:
        boosts, where, users, new = asked
        among = np.ones(len(self.ids), dtype=np.bool_)
        if where is not None:
            among = self.matching(where).is_matching
        if users:
            among = among & (self.is_new(users) == new)
        return boosted_items(
            boosts, lambda one: self.matching(one).is_matching, among, self._index.allow
        )

    def _groups(self, column: str) -> Groups:
        """Return the groups of the items by the values of a column."""
        table = self._table(f"max_per={column!r}")
        if column not in table.column_names or column == "item_id":
            raise DataError(
                f"max_per: expected a column of attributes of items, got {briefly(column)}"
                f"{did_you_mean(column, self._names())}; {SHOWN_BY}"
            )
        return _groups_of(table[column], column)

    def _table(self, needed_for: str) -> pa.Table:
        table = self._load()
        if table is None:
            raise DataError(
                f"{needed_for} needs item attributes, and there are none {self._where}; train with "
                "a table of items (data.items, or --items)"
            )
        return table

    def _names(self) -> list[str]:
        return [name for name in self._table("where").column_names if name != "item_id"]


@contextmanager
def _as_rule(name: str) -> Iterator[None]:
    """Let an error of the block say which rule it is of."""
    try:
        yield
    except DataError as error:
        raise ConfigError(f"rules.{name}: {str(error).removeprefix(f'{name}: ')}") from error


def _groups_of(values: pa.ChunkedArray, column: str) -> Groups:
    """Return the number of each value among the distinct ones; an item of a list has several."""
    import pyarrow.compute as pc

    from recsys.serving.matching import is_list

    if is_list(values.type):
        lengths = np.asarray(pc.fill_null(pc.list_value_length(values.combine_chunks()), 0))
        starts = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        return _groups_of(pc.list_flatten(values), column)._replace(starts=starts)
    if pa.types.is_nested(values.type):
        raise DataError(
            f"max_per: expected a column of values or of lists of them, got {column} of "
            f"{values.type}, which has no groups; make a column of one of its values"
        )
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    try:
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), None, values)
        codes = pc.dictionary_encode(values.combine_chunks()).indices
    except pa.ArrowException as error:
        raise DataError(
            f"max_per: expected a column of texts or numbers, got {column} of {values.type}"
        ) from error
    return Groups(np.asarray(pc.fill_null(codes, -1), dtype=np.int32))


def _kept(method: Callable[[_Asked], _T], most: int) -> "_lru_cache_wrapper[_T]":
    """Return a method with a cache of its last answers that does not keep its object alive.

    The object holds the returned function. A cycle of the two would keep a version open, its
    memory and its lease, until Python collects cycles.
    """
    weak = WeakMethod(method)

    @lru_cache(most)
    def ask(argument: _Asked) -> _T:
        alive = weak()
        if alive is None:
            raise ReferenceError("the attributes are closed")
        return alive(argument)

    return ask
