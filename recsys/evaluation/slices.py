"""Where a model is good and where it is not: by groups of users, and by groups of items."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.charts import Dot, DotPlot, interval_of
from recsys.base.errors import DataError
from recsys.base.tables import TableList
from recsys.evaluation.intervals import bootstrap_intervals, interval_of_ratio, intervals_of
from recsys.evaluation.result import Evaluation

Labels = NDArray[np.generic] | Sequence[str]
SeveralLabels = Sequence[Sequence[str]]
UNKNOWN = "unknown"
"""The group of what has no value."""
_SEPARATORS = ("|", ";", ",")
Interval = tuple[float, float]


@dataclass(frozen=True)
class Slice:
    """What is reached in one group.

    Parameters
    ----------
    n : int
        Users of the group; of items, the held-out pairs with one of them.
    value : float
        The mean of a metric; of items, the share of those pairs that the lists hold.
    interval : (float, float)
        95 % interval of it.
    difference, difference_interval : optional
        What it is above a baseline's, where there is one, and the 95 % interval of that.
    """

    group: str
    n: int
    value: float
    interval: Interval
    difference: float | None = None
    difference_interval: Interval | None = None

    @property
    def loses(self) -> bool:
        """Whether the baseline is better here, by more than luck."""
        return self.difference_interval is not None and self.difference_interval[1] < 0


class Slices(TableList[Slice]):
    """Groups and what is reached in each: a list, and a table."""

    def charts(self) -> list[DotPlot]:
        """Return the groups with their intervals, and how they differ from the baseline's."""
        dots = [
            Dot(
                one.group,
                one.value,
                interval_of(one.interval),
                note=f"{one.value:.4f}  n {one.n:,}",
            )
            for one in self
        ]
        more = [
            Dot(one.group, one.difference, interval_of(one.difference_interval), one.loses)
            for one in self
            if one.difference is not None
        ]
        plots = [DotPlot("by group, 95 % interval", dots)] if dots else []
        return [*plots, DotPlot("above the baseline", more, 0.0)] if more else plots


def slices(
    evaluation: Evaluation, labels: Labels, metric: str, baseline: Evaluation | None = None
) -> Slices:
    """Return a metric by group of users, in the order in which `np.unique` has the labels.

    Parameters
    ----------
    labels : array of shape (n_users,)
        The group of each evaluated user, in the order of ``evaluation.user_idx``.
    metric : str
        Such as "ndcg@20".
    baseline : Evaluation, optional
        Of another model on the same users: what it is compared to.

    Returns
    -------
    list of Slice
        Intervals by bootstrap over the users of a group.

    Raises
    ------
    DataError
        If there is not one label for each user, no such metric, or the baseline is of others.
    """
    _require_one_each(labels, evaluation.n_users, "user")
    return _of_users(evaluation, *_grouped(labels), metric, baseline)


def by_activity(
    evaluation: Evaluation, metric: str, n_groups: int = 4, baseline: Evaluation | None = None
) -> Slices:
    """Return a metric by the number of items that users had in train.

    Parameters
    ----------
    n_groups : int
        Groups of about as many users, as far as those with as many items can be kept together.

    Returns
    -------
    list of Slice
        The least active first; groups are named such as "5 - 9 items".
    """
    n_seen = evaluation.n_seen
    group_of, names = _ranges(n_seen, np.ones(len(n_seen)), n_groups, "items")
    return _of_users(evaluation, group_of, names, metric, baseline)


def summaries_of(evaluations: Mapping[str, Evaluation]) -> dict[str, dict[str, Any]]:
    """Return what a version keeps of its evaluations: all but single users, with groups of them.

    Those are by activity and by popularity of the item, beside the model "popularity".
    """
    baseline = evaluations.get("popularity")
    return {
        name: one.to_dict() | {"groups": _kept_groups(one, _comparable(one, baseline))}
        for name, one in evaluations.items()
    }


def _comparable(one: Evaluation, baseline: Evaluation | None) -> Evaluation | None:
    """Return the baseline, unless it is this one, or of another catalogue."""
    if baseline is None or one is baseline or one.n_items != baseline.n_items:
        return None
    return baseline


def _kept_groups(evaluation: Evaluation, baseline: Evaluation | None) -> list[dict[str, Any]]:
    metric = f"ndcg@{evaluation.k}"
    if metric not in evaluation.per_user:
        return []
    share = f"pairs found in lists of {evaluation.k}"
    by = [
        ("activity in train", metric, by_activity(evaluation, metric, baseline=baseline)),
        ("users of the item in train", share, by_item_popularity(evaluation, baseline=baseline)),
    ]
    return [
        {
            "by": what,
            "metric": of,
            "group": one.group,
            "n": one.n,
            "value": one.value,
            "interval": list(one.interval),
            "loses": one.loses,
        }
        for what, of, found in by
        for one in found
    ]


def groups_of(values: Sequence[object]) -> tuple[list[list[str]], str]:
    """Return the groups of each value, and the separator that texts were split at.

    A value is a list, a text with a separator, such as "Comedy|Drama", or else one group; None and
    an empty list are "unknown". A separator is the first of ``| ; ,`` by which texts fall into
    fewer parts than there are different texts: so genres do, and "Beer, wine" beside "Bread" does
    not. It is "" where none does, or values are lists.

    Examples
    --------
    >>> groups_of(["Comedy|Drama", "Drama", "Comedy", None])
    ([['Comedy', 'Drama'], ['Drama'], ['Comedy'], ['unknown']], '|')
    """
    texts = {value for value in values if isinstance(value, str)}
    separator = next((one for one in _SEPARATORS if _parts_recur(texts, one)), "")
    return [_groups_of_value(value, separator) for value in values], separator


def _parts_recur(texts: set[str], separator: str) -> bool:
    is_in = any(separator in text for text in texts)
    return is_in and len({part for text in texts for part in _parts(text, separator)}) < len(texts)


def _parts(text: str, separator: str) -> list[str]:
    parts = text.split(separator) if separator else [text]
    return [part for part in map(str.strip, parts) if part]


def _groups_of_value(value: object, separator: str) -> list[str]:
    if isinstance(value, str):
        found = _parts(value, separator)
    elif isinstance(value, list | tuple | set | np.ndarray):
        found = [str(one) for one in value if one is not None]
    else:
        found = [] if value is None else [str(value)]
    return list(dict.fromkeys(found)) or [UNKNOWN]


def item_slices(
    evaluation: Evaluation,
    labels: Labels | SeveralLabels,
    baseline: Evaluation | None = None,
) -> Slices:
    """Return the share of held-out pairs that lists hold, by group of items.

    Parameters
    ----------
    labels : array of shape (n_items,), or sequence of lists
        The group of each item, such as its category, or its groups, such as its genres, as
        `groups_of` reads them: it counts in each.
    baseline : Evaluation, optional
        Of another model on the same split: what it is compared to.

    Returns
    -------
    list of Slice
        Groups that no held-out pair is in are left out. Intervals are those of a ratio of sums
        over items, by linearization (Cochran 1977, section 6.3), which holds for many items.

    Raises
    ------
    DataError
        If there is not one label for each item, or the baseline is of another split.
    """
    _require_one_each(labels, evaluation.n_items, "item")
    several = [one if isinstance(one, list | tuple) else (one,) for one in labels]
    item_idx = np.repeat(np.arange(len(several)), list(map(len, several)))
    grouped = _grouped(list(chain.from_iterable(several)))
    return _of_items(evaluation, item_idx, *grouped, baseline)


def by_item_popularity(
    evaluation: Evaluation, n_groups: int = 4, baseline: Evaluation | None = None
) -> Slices:
    """Return the share of held-out pairs that lists hold, by users of the item in train.

    Parameters
    ----------
    n_groups : int
        Groups with about as many held-out pairs.

    Returns
    -------
    list of Slice
        The least popular items first; groups are named such as "1 - 12 users".
    """
    items = evaluation.items
    group_of, names = _ranges(items.popularity, items.n_relevant, n_groups, "users")
    return _of_items(evaluation, np.arange(len(group_of)), group_of, names, baseline)


def _of_users(
    evaluation: Evaluation,
    group_of: NDArray[np.intp],
    names: Sequence[str],
    metric: str,
    baseline: Evaluation | None,
) -> Slices:
    values = evaluation.of_users(metric)
    differences = None
    if baseline is not None:
        evaluation.require_same_users(baseline, "slices")
        differences = values - baseline.of_users(metric)
    found = Slices()
    for number, name in enumerate(names):
        is_own = group_of == number
        own = values[is_own]
        interval = intervals_of({metric: own})[metric]
        one = Slice(name, len(own), float(own.mean()), interval)
        if differences is not None:
            more = differences[is_own]
            low, high = bootstrap_intervals(more[:, None])[0].tolist()
            one = replace(one, difference=float(more.mean()), difference_interval=(low, high))
        found.append(one)
    return found


def _of_items(
    evaluation: Evaluation,
    item_idx: NDArray[np.intp],  # (n,): an item of several groups is there several times
    group_of: NDArray[np.intp],
    names: Sequence[str],
    baseline: Evaluation | None,
) -> Slices:
    ours, wanted = evaluation.items.n_found, evaluation.items.n_relevant
    if baseline is not None and not np.array_equal(baseline.items.n_relevant, wanted):
        raise DataError("slices: expected a baseline on the same split, got another")
    found = Slices()
    for number, name in enumerate(names):
        own = item_idx[group_of == number]
        own = own[wanted[own] > 0]
        if not len(own):
            continue
        value, (low, high) = interval_of_ratio(ours[own], wanted[own])
        one = Slice(name, int(wanted[own].sum()), value, (max(low, 0.0), min(high, 1.0)))
        if baseline is not None:
            more = ours[own] - baseline.items.n_found[own]
            difference, interval = interval_of_ratio(more, wanted[own])
            one = replace(one, difference=difference, difference_interval=interval)
        found.append(one)
    return found


def _require_one_each(labels: Collection[object], n: int, kind: str) -> None:
    if len(labels) != n:
        raise DataError(f"slices: expected a label for each of {n} {kind}s, got {len(labels)}")


def _grouped(labels: Labels) -> tuple[NDArray[np.intp], list[str]]:
    """Return the group of each label, and the names of the groups."""
    groups, group_of = np.unique(np.asarray(labels), return_inverse=True)
    return group_of, [str(group) for group in groups]


def _ranges(
    counts: NDArray[np.integer], weights: NDArray[np.generic], n_groups: int, unit: str
) -> tuple[NDArray[np.intp], list[str]]:
    """Return groups of rows with neighbouring counts, and about the same weight in each."""
    order = np.argsort(counts, kind="stable")
    below = np.cumsum(weights[order], dtype=np.float64)
    places = np.searchsorted(below, below[-1] * np.arange(1, n_groups) / n_groups, side="right")
    edges = np.unique(counts[order[places]])
    group_of = np.unique(np.searchsorted(edges, counts, side="right"), return_inverse=True)[1]
    names = []
    for number in range(int(group_of.max()) + 1):
        own = counts[group_of == number]
        low, high = int(own.min()), int(own.max())
        names.append(f"{low} {unit}" if low == high else f"{low} - {high} {unit}")
    return group_of, names
