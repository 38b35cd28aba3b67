"""The k-th smallest of a column on Spark, exactly, without sorting it.

Few values, as of types of events or ratings, are counted at once: one job. Others are counted by
bucket; then those of the one bucket that has the k-th are counted by value.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from recsys.logs.classify import SECONDS_PER_DAY
from recsys.logs.decay import FEW_EVENTS, MOST_STRAYS, last_usual
from recsys.logs.read import ENOUGH_EVENTS, LONG, may_have_long_tail
from recsys.settings import LogSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_OF_WEIGHTS = "int(floor(log2(double(value)) * 64))"
_OF_TIMES = f"int(floor(value / {SECONDS_PER_DAY}))"
_FEW_VALUES = 10_000  # that the driver counts as they are
_HIGH = (0.5, 0.99)  # quantiles whose ratio tells a long tail


@dataclass(frozen=True, eq=False)
class Ordered:
    """A column in ascending order, of which single places are asked.

    Parameters
    ----------
    frame : DataFrame
        With a column `value`.
    bucket : str
        SQL of an integer that does not fall as the value rises; few of them.
    known : mapping of int to int, optional
        How many values each bucket has, where that is known.
    """

    frame: DataFrame
    bucket: str
    known: Mapping[int, int] | None = None

    @cached_property
    def _counts(self) -> list[tuple[int, int]]:
        if self.known is not None:
            return sorted(self.known.items())
        counts = self.frame.selectExpr(f"{self.bucket} AS bucket").groupBy("bucket").count()
        return sorted((row[0], row[1]) for row in counts.collect())

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(n for _, n in self._counts))

    @property
    def n(self) -> int:
        """How many values there are."""
        return self._ends[-1]

    def bucket_at(self, place: int) -> int:
        """Return the bucket of the value at a place, from 0."""
        return self._counts[bisect_right(self._ends, place)][0]

    def at(self, place: int) -> float:
        """Return the value at a place, from 0."""
        number = bisect_right(self._ends, place)
        bucket, n = self._counts[number]
        counts = self.frame.where(f"{self.bucket} = {bucket}").groupBy("value").count().collect()
        values = sorted((row[0], row[1]) for row in counts)
        ends = list(accumulate(n for _, n in values))
        found: float = values[bisect_right(ends, place - self._ends[number] + n)][0]
        return found


@dataclass(frozen=True)
class Counted:
    """A column of few values, in ascending order, each with how often it occurs."""

    counts: list[tuple[float, int]]

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(n for _, n in self.counts))

    @property
    def n(self) -> int:
        """How many values there are, each as often as it occurs."""
        return self._ends[-1]

    def at(self, place: int) -> float:
        """Return the value at a place, from 0."""
        return self.counts[bisect_right(self._ends, place)][0]


def quantile(values: Ordered | Counted, share: float) -> float:
    """Return a quantile, between two values in proportion."""
    place = (values.n - 1) * share
    low = int(place)
    below = values.at(low)
    above = values.at(low + 1) if place > low else below
    return float(np.float32(below) + (np.float32(above) - np.float32(below)) * (place - low))


def have_long_tail(events: DataFrame, settings: LogSettings, *, has_weights: bool) -> bool:
    """Tell whether few events would weigh more than all others, as `recsys.read_log` does.

    `has_weights` is whether the log has values or types of events.
    """
    if not may_have_long_tail(settings) or not has_weights:
        return False
    counts = events.groupBy("weight").count().limit(_FEW_VALUES + 1).collect()
    is_counted = len(counts) <= _FEW_VALUES
    weights: Ordered | Counted = (
        Counted(sorted((row[0], row[1]) for row in counts))
        if is_counted
        else Ordered(events.selectExpr("weight AS value"), _OF_WEIGHTS)
    )
    if weights.n < ENOUGH_EVENTS or len(counts) == 1:
        return False
    median, high = (quantile(weights, share) for share in _HIGH)
    return high >= LONG * median and len(counts) > len(set(settings.events.values()))


@dataclass(frozen=True)
class Times:
    """When the events of a log were, and what they weigh, in one job.

    Parameters
    ----------
    hours : mapping of int to int
        Events of each hour since 1970; empty in a log without time.
    window : (int, int) or None
        The first and the last second.
    mean_weight : float
        Of an event.
    """

    hours: Mapping[int, int]
    window: tuple[int, int] | None
    mean_weight: float

    @property
    def days(self) -> Counter[int]:
        """Events of each day since 1970."""
        found: Counter[int] = Counter()
        for hour, n in self.hours.items():
            found[hour // 24] += n
        return found


def times_of(events: DataFrame, *, has_time: bool, is_rooted: bool) -> Times:
    """Count the events of each hour; `is_rooted` is whether weights are the fourth roots."""
    from pyspark.sql.functions import expr

    hour = "int(floor(seconds / 3600))" if has_time else "int(null)"
    weight = "sqrt(sqrt(double(weight)))" if is_rooted else "double(weight)"
    columns = ("count(*)", f"sum({weight})", "min(seconds)", "max(seconds)")
    found = events.groupBy(expr(hour).alias("hour")).agg(*map(expr, columns)).collect()
    n = sum(row[1] for row in found)
    return Times(
        {row[0]: row[1] for row in found} if has_time else {},
        (min(row[3] for row in found), max(row[4] for row in found)) if has_time else None,
        sum(row[2] for row in found) / n,
    )


def end_of(events: DataFrame, n_users: int, found: Times) -> Callable[[float], int]:
    """Return what gives the end of a log by a half-life, as `Interactions.end` does."""
    times = Ordered(events.selectExpr("seconds AS value"), _OF_TIMES, found.days)
    of_users = Ordered(
        events.groupBy("user_idx").agg({"seconds": "max"}).toDF("u", "value"), _OF_TIMES
    )
    latest = 0 if found.window is None else found.window[1]

    def end(half_life_days: float) -> int:
        if times.n < FEW_EVENTS:
            return latest
        ordered = [times, of_users] if n_users >= FEW_EVENTS else [times]
        places = [int(np.floor((one.n - 1) * (1 - MOST_STRAYS))) for one in ordered]
        days = [one.bucket_at(place) for one, place in zip(ordered, places, strict=True)]
        if latest <= last_usual(min(days) * SECONDS_PER_DAY, half_life_days):
            return latest  # whatever second of that day it is
        usual = min(int(one.at(place)) for one, place in zip(ordered, places, strict=True))
        last = last_usual(usual, half_life_days)
        if latest <= last:
            return latest
        (row,) = events.where(f"seconds <= {last}").selectExpr("max(seconds)").collect()
        return int(row[0])

    return end
