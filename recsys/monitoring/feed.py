"""Measures of the newest events: whether the feed has stopped, and whether its last day is whole.

They are reported and refuse nothing: what is late comes with the next night.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recsys.monitoring.log import Log
from recsys.monitoring.measures import Measured, NotMeasured, checks_of, measure_of, measures_of
from recsys.store import Check

_Hours = NDArray[np.float64]  # (24,), the events of each
_Part = Callable[[_Hours, _Hours], float]  # of a day: takes what was expected and what there is

_WEEK = timedelta(weeks=1)
_MOST_WEEKS, _LEAST_WEEKS = 4, 3  # whose same weekday says what is expected
_MOST_DAYS, _LEAST_DAYS = 28, 14  # before, each held to what was expected of it
_LIMIT = 1.5
_HALF = 0.48  # where the limit lies above, half a day would not show


def feed_checks(limits: Mapping[str, float], new: Log, past: Sequence[Log]) -> list[Check]:
    """Take the measures of the newest events; the limits are the shipped ones unless given."""
    shipped = {one.name: one.limit for one in measures_of("feed")}
    return checks_of("feed", {**shipped, **limits}, new, past)


# 2.5: a weekend without events is no alarm.
@measure_of("feed", limit=2.5)
def log_age(new: Log, past: Sequence[Log]) -> Measured:
    """Days by which the newest event is older than it was for the freshest of the past versions.

    Each version is compared as it was when it was made, so that a log that always ends in the
    same distance, or a public one that ended years ago, has age 0.
    """
    freshest = min((log.age for log in past if log.summary.window is not None), default=None)
    if freshest is None:
        raise NotMeasured("no time in a log")
    newest = datetime.fromtimestamp(new.newest, UTC)
    found = (
        f"days by which the log has aged: its newest event is of {newest:%Y-%m-%d %H:%M} UTC, "
        f"{new.age:.1f} days old; it was {freshest:.1f} days old for the freshest version before"
    )
    return Measured(max(new.age - freshest, 0.0), found)


@measure_of("feed", limit=_LIMIT)
def newest_day(new: Log, past: Sequence[Log]) -> Measured:
    """Missing share of the newest day, over the largest of the days before."""
    return _unusual(new, past, _missing, 0.15, "of the events of such a weekday are missing")


@measure_of("feed", limit=_LIMIT)
def silent_hours(new: Log, past: Sequence[Log]) -> Measured:
    """Share of the newest day that falls into hours without events, over the largest before."""
    found = "of the events of such a weekday fall into hours that have none"
    return _unusual(new, past, _silent, 0.1, found)


def _missing(expected: _Hours, hours: _Hours) -> float:
    return max(1 - float(hours.sum() / expected.sum()), 0.0)


def _silent(expected: _Hours, hours: _Hours) -> float:
    """Return the share that is expected of the longest run of hours without events."""
    largest = run = 0.0
    for usual, events in zip(expected.tolist(), hours.tolist(), strict=True):
        run = 0.0 if events else run + usual
        largest = max(largest, run)
    return largest / float(expected.sum())


def _unusual(new: Log, past: Sequence[Log], part: _Part, least: float, what: str) -> Measured:
    """Compare a part of the newest days to that of the days before, and of past newest days."""
    if not past:
        raise NotMeasured("no version before")
    before = past[0].hours
    known = [value for _, value in _parts(part, dict(sorted(before.items())[-_MOST_DAYS:]), before)]
    if len(known) < _LEAST_DAYS:
        raise NotMeasured("too few days known to compare to")
    usual = max(*known, _second(_past_nights(past, part)), least)
    if _LIMIT * usual >= _HALF:
        raise NotMeasured(f"on a day before, {usual:.0%} {what}: half a day would not show")
    found = [(value, day) for day, value in _parts(part, _new_days(new, past[0]), before)]
    if not found:
        raise NotMeasured("no whole new day")
    value, day = max(found)
    shares = f"on {day} {value:.0%} {what}, at most {usual:.0%} on the days before"
    return Measured(value / usual, f"over what was usual: {shares}")


def _parts(
    part: _Part, days: Mapping[date, _Hours], before: Mapping[date, _Hours]
) -> Iterator[tuple[date, float]]:
    """Yield the part of each day of which something was expected."""
    for day, hours in days.items():
        weeks = [day - n * _WEEK for n in range(1, _MOST_WEEKS + 1)]
        same = [before[one] for one in weeks if one in before]
        expected = np.mean(same, axis=0) if len(same) >= _LEAST_WEEKS else np.zeros(24)
        if expected.any():
            yield day, part(expected, hours)


def _new_days(new: Log, before: Log) -> dict[date, _Hours]:
    last = before.days.last
    return {day: hours for day, hours in new.hours.items() if day > last}


def _past_nights(past: Sequence[Log], part: _Part) -> list[float]:
    """Return the part of past newest days as they were then: events may always come late."""
    found: list[float] = []
    for new, before in pairwise(past):
        try:
            found += [value for _, value in _parts(part, _new_days(new, before), before.hours)]
        except NotMeasured:
            continue
    return found


def _second(values: Sequence[float]) -> float:
    """Return the second largest: one odd night teaches nothing."""
    return sorted(values)[-2] if len(values) > 1 else 0.0
