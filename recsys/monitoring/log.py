"""Measures of the log: volume, days, events, weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys.logs import FileCounts, LogSummary, RowCounts
from recsys.logs.classify import SECONDS_PER_DAY
from recsys.logs.log_summary import MOST_DAYS
from recsys.logs.row_counts import most_rejected
from recsys.logs.sources import listed
from recsys.monitoring.measures import Measured, NotMeasured, log_ratio, measure_of
from recsys.store import Manifest

_Known = TypeVar("_Known")
_UNKNOWN = "one of the versions does not say what its log was"
_DAY = timedelta(days=1)
_LEAST_KNOWN = 14  # days, so that each weekday is compared to two or more


@dataclass(frozen=True)
class Log:
    """The log that a version was made from; what its manifest does not hold is `NotMeasured`."""

    summary: LogSummary
    created: str  # when the version was made, ISO 8601

    @classmethod
    def of(cls, manifest: Manifest) -> "Log":
        """Return the log of a version."""
        return cls(manifest.log, manifest.created)

    @property
    def events(self) -> int:
        """How many events."""
        return _known(self.summary.events, _UNKNOWN)

    @property
    def row_counts(self) -> RowCounts:
        """Of the rows read."""
        return _known(self.summary.row_counts, _UNKNOWN)

    @property
    def mean_weight(self) -> float:
        """Of an event, before decay."""
        _ = self.events
        return _known(self.summary.mean_weight, "no mean_weight in a manifest")

    def share(self, count: str) -> float:
        """Return a count as a share of the events, such as "duplicates"."""
        n_events = max(self.events, 1)
        n: int = _known(getattr(self.summary, count), f"no {count} in a manifest")
        return n / n_events

    @property
    def days(self) -> "_Days":
        """Events by day."""
        _ = self.events
        events = self.summary.days
        if not events:
            raise NotMeasured("no time in a log")
        last = date.fromisoformat(max(events))
        if self.created[:10] <= max(events):  # that day was not over when the log was read
            last -= _DAY
        # A window may begin at any hour of its first day.
        return _Days(events, date.fromisoformat(min(events)) + _DAY, last)

    @property
    def hours(self) -> dict[date, NDArray[np.float64]]:
        """Events of each hour of the days that lie whole in the log, (24,) each."""
        whole, events = self.days, self.summary.hours
        if not events:
            raise NotMeasured("no hours in a manifest")
        days = [whole.first + n * _DAY for n in range((whole.last - whole.first).days + 1)]
        return {
            day: np.array(events.get(day.isoformat(), [0] * 24), dtype=np.float64) for day in days
        }

    @property
    def newest(self) -> int:
        """Time of the newest event, in seconds since 1970."""
        if self.summary.window is None:
            raise NotMeasured("no time in a log")
        return self.summary.window[1]

    @property
    def age(self) -> float:
        """Days from the newest event to the making of the version."""
        made = datetime.fromisoformat(self.created).timestamp()
        return (made - self.newest) / SECONDS_PER_DAY


def _known(value: _Known | None, why_not: str) -> _Known:
    if value is None:
        raise NotMeasured(why_not)
    return value


@dataclass(frozen=True)
class _Days:
    """Events by day, and the first and the last day that lie whole in the log."""

    events: Mapping[str, int]
    first: date
    last: date

    def on(self, day: date) -> int:
        return self.events.get(day.isoformat(), 0)

    def usually_on(self, day: date) -> float:
        """Return the mean of the same weekday, over the days that are known whole."""
        n_days = (self.last - self.first).days + 1
        same = [self.first + n * _DAY for n in range((day - self.first).days % 7, n_days, 7)]
        return sum(map(self.on, same)) / len(same)


@measure_of("log", limit=0.1)
def volume(a: Log, b: Log) -> Measured:
    """Log ratio of the numbers of events."""
    value, found = _ratio("events", a.events, b.events)
    return Measured(value, found + _moved_files(a, b))


@measure_of("log", limit=0.02)
def past_days(a: Log, b: Log) -> Measured:
    """Share of the events of days that lie whole in both logs which came or went."""
    before, now = a.days, b.days
    first, last = max(before.first, now.first), min(before.last, now.last)
    days = [first + n * _DAY for n in range((last - first).days + 1)]
    total = sum(map(before.on, days))
    if not total:
        raise NotMeasured("no day lies whole in both logs")
    changes = {day: abs(now.on(day) - before.on(day)) for day in days}
    value, most = sum(changes.values()) / total, max(days, key=lambda day: changes[day])
    found = f"of {total:,} events of days that both logs hold, {value:.2%} came or went"
    if changes[most]:
        found += f"; on {most} {before.on(most):,} became {now.on(most):,}{_moved_files(a, b)}"
    return Measured(value, found)


@measure_of("log", limit=1.5)
def new_days(a: Log, b: Log) -> Measured:
    """Log ratio of the events of the whole days since, over what those weekdays had before."""
    before, now = a.days, b.days
    n_days = (now.last - before.last).days
    if not 0 < n_days <= MOST_DAYS or (before.last - before.first).days < _LEAST_KNOWN:
        raise NotMeasured("no whole new day, or too few known to compare to")
    days = [before.last + (1 + n) * _DAY for n in range(n_days)]
    usual, events = sum(map(before.usually_on, days)), sum(map(now.on, days))
    found = f"log ratio of events of {n_days} new days, {events:,} for {usual:,.0f} usually"
    return Measured(log_ratio(usual, events), found)


@measure_of("log", limit=0.02)
def event_types(a: Log, b: Log) -> Measured:
    """Total variation distance of the shares of event types."""
    before, now = a.row_counts.events, b.row_counts.events
    if not before or not now:
        raise NotMeasured("no event types in a manifest")
    totals = sum(before.values()), sum(now.values())
    moves = {
        name: now.get(name, 0) / totals[1] - before.get(name, 0) / totals[0]
        for name in {**before, **now}
    }
    most = max(moves, key=lambda name: abs(moves[name]))
    value = sum(map(abs, moves.values())) / 2
    return Measured(value, f"share of another event type; {most} {moves[most]:+.2%}")


@measure_of("log", limit=0.01)
def rejected_share(a: Log, b: Log) -> Measured:
    """Change of the share of rows that were rejected."""
    before, now = a.row_counts, b.row_counts
    value, found = _change("rejected rows", before.rejected_share, now.rejected_share)
    worse = {
        name: one
        for name, one in now.files.items()
        if one.rejected > before.files.get(name, FileCounts()).rejected
    }
    return Measured(value, f"{found}; most in {most_rejected(worse)}" if worse else found)


@measure_of("log", limit=0.01)
def duplicate_share(a: Log, b: Log) -> Measured:
    """Change of the share of events that repeat another one."""
    return _change("repeated events", a.share("duplicates"), b.share("duplicates"))


@measure_of("log", limit=0.05)
def mean_weight(a: Log, b: Log) -> Measured:
    """Log ratio of the mean weights of an event."""
    return _ratio("mean weight", a.mean_weight, b.mean_weight)


@measure_of("log", limit=0.01)
def busiest_user(a: Log, b: Log) -> Measured:
    """Change of the share of events that are of the user with most."""
    return _change("events of the user with most", a.share("busiest_user"), b.share("busiest_user"))


@measure_of("log", limit=0.01)
def busiest_item(a: Log, b: Log) -> Measured:
    """Change of the share of events that are of the item with most."""
    return _change("events of the item with most", a.share("busiest_item"), b.share("busiest_item"))


def _moved_files(a: Log, b: Log) -> str:
    """Name the files of which most rows came or went, where both manifests know files."""
    before, now = _kept_of(a), _kept_of(b)
    if not before or not now or len(before | now) == 1:
        return ""
    moves = {name: now.get(name, 0) - before.get(name, 0) for name in {**before, **now}}
    most = sorted((name for name in moves if moves[name]), key=lambda name: -abs(moves[name]))
    return f"; of files {listed([f'{name} {moves[name]:+,}' for name in most])}" if most else ""


def _kept_of(log: Log) -> dict[str, int]:
    counts = log.summary.row_counts
    return {} if counts is None else {name: one.kept for name, one in counts.files.items()}


def _ratio(what: str, before: float, now: float) -> Measured:
    found = f"log ratio of {what}, {before:,.6g} before, {now:,.6g} now"
    return Measured(log_ratio(before, now), found)


def _change(of_what: str, before: float, now: float) -> Measured:
    found = f"change of the share of {of_what}, {before:.2%} before, {now:.2%} now"
    return Measured(abs(now - before), found)
