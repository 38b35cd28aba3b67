"""The k-th smallest of a column on Spark, exactly, without sorting it.

Values are counted by bucket; then those of the one bucket that has the k-th are counted by value.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
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
_OF_TIMES = f"int(value div {SECONDS_PER_DAY})"
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
    """

    frame: DataFrame
    bucket: str

    @cached_property
    def _counts(self) -> list[tuple[int, int]]:
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

    def quantile(self, share: float) -> float:
        """Return a quantile, between two values in proportion."""
        place = (self.n - 1) * share
        low = int(place)
        below = self.at(low)
        above = self.at(low + 1) if place > low else below
        return float(np.float32(below) + (np.float32(above) - np.float32(below)) * (place - low))


def have_long_tail(events: DataFrame, settings: LogSettings, *, has_weights: bool) -> bool:
    """Tell whether few events would weigh more than all others, as `recsys.read_log` does.

    `has_weights` is whether the log has values or types of events.
    """
    if not may_have_long_tail(settings) or not has_weights:
        return False
    (row,) = events.selectExpr("count(*)", "min(weight)", "max(weight)").collect()
    if row[0] < ENOUGH_EVENTS or row[1] == row[2]:
        return False
    weights = Ordered(events.selectExpr("weight AS value"), _OF_WEIGHTS)
    median, high = (weights.quantile(share) for share in _HIGH)
    if high < LONG * median:
        return False
    n_given = len(set(settings.events.values()))
    return events.select("weight").distinct().limit(n_given + 1).count() > n_given


def end_of(events: DataFrame, n_users: int) -> Callable[[float], int]:
    """Return what gives the end of a log by a half-life, as `Interactions.end` does."""
    times = Ordered(events.selectExpr("seconds AS value"), _OF_TIMES)
    of_users = Ordered(
        events.groupBy("user_idx").agg({"seconds": "max"}).toDF("u", "value"), _OF_TIMES
    )
    (row,) = events.selectExpr("max(seconds)").collect()
    latest = int(row[0])

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
