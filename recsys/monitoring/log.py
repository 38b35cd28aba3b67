"""Measures of the log: volume, age, events, weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from recsys.logs.interactions import SECONDS_PER_DAY
from recsys.logs.summary import MOST_DAYS
from recsys.monitoring.measures import Measured, log_ratio, not_measured
from recsys.store import Manifest

LOG_AGE = "log_age"
MOST_DAYS_OLDER = 2.5
"""The shipped limit: a weekend without events is none of its business. It is not learned, as what
stays away would become the usual."""


def measure_age(new: Manifest, past: Sequence[Manifest]) -> Measured:
    """Measure how many days older the newest event is than it was for the freshest of the past.

    Each version is compared as it was when it was made, so that a log that always ends in the
    same distance, or a public one that ended years ago, has age 0.

    Parameters
    ----------
    new : Manifest
    past : sequence of Manifest
        Of the current version and those before it.
    """
    age, ages = _age(new), [age for age in map(_age, past) if age is not None]
    if age is None or not ages:
        return not_measured([LOG_AGE], "no time in a log")[0]
    newest = datetime.fromtimestamp(new.data["window"][1], UTC)
    said = (
        f"days by which the log has aged: its newest event is of {newest:%Y-%m-%d %H:%M} UTC, "
        f"{age:.1f} days old; it was {min(ages):.1f} days old for the freshest version before"
    )
    return Measured(LOG_AGE, max(age - min(ages), 0.0), said)


def _age(manifest: Manifest) -> float | None:
    """Return how many days old the newest event was when a version was made."""
    window = manifest.data.get("window")
    if window is None:
        return None
    made = datetime.fromisoformat(manifest.created).timestamp()
    return float(made - window[1]) / SECONDS_PER_DAY


NAMES = (
    "volume",
    "past_days",
    "new_days",
    "event_types",
    "rejected_share",
    "duplicate_share",
    "mean_weight",
    "busiest_user",
    "busiest_item",
)

_DAY = timedelta(days=1)
_LEAST = 14  # days that are known, so that each weekday is compared to two or more

Facts = Mapping[str, Any]


def measure_log(before: Manifest, now: Manifest) -> list[Measured]:
    """Compare the logs of two versions by what `recsys.logs.facts_of` said of them.

    Returns
    -------
    list of Measured
        - volume: the absolute log of how many times as many events;
        - past_days: the share of the events of days that both logs hold whole that came or went;
        - new_days: the absolute log of events since, over what those weekdays had before;
        - event_types: total variation distance of the shares of event types;
        - rejected_share, duplicate_share, busiest_user, busiest_item: change of a share;
        - mean_weight: the absolute log of how many times as heavy an event is.
    """
    a, b = before.data, now.data
    if any(name not in facts for facts in (a, b) for name in ("events", "account")):
        return not_measured(NAMES, "one of the versions does not say what its log was")
    days = [_Days.of(manifest) for manifest in (before, now)]
    return [
        _ratio("volume", "events", a, b),
        _past_days(*days),
        _new_days(*days),
        _event_types(a["account"].get("events") or {}, b["account"].get("events") or {}),
        _change("rejected_share", "rejected rows", *map(_rejected_share, (a, b))),
        _change_of("duplicate_share", "duplicates", "repeated events", a, b),
        _ratio("mean_weight", "mean_weight", a, b),
        _change_of("busiest_user", "busiest_user", "events of the user with most", a, b),
        _change_of("busiest_item", "busiest_item", "events of the item with most", a, b),
    ]


def _ratio(name: str, fact: str, a: Facts, b: Facts) -> Measured:
    if fact not in a or fact not in b:
        return not_measured([name], f"no {fact} in a manifest")[0]
    said = f"log ratio of {fact.replace('_', ' ')}, {a[fact]:,.6g} before, {b[fact]:,.6g} now"
    return Measured(name, log_ratio(a[fact], b[fact]), said)


def _change_of(name: str, fact: str, of_what: str, a: Facts, b: Facts) -> Measured:
    if fact not in a or fact not in b:
        return not_measured([name], f"no {fact} in a manifest")[0]
    shares = (facts[fact] / max(facts["events"], 1) for facts in (a, b))
    return _change(name, of_what, *shares)


def _change(name: str, of_what: str, before: float, now: float) -> Measured:
    said = f"change of the share of {of_what}, {before:.2%} before, {now:.2%} now"
    return Measured(name, abs(now - before), said)


def _rejected_share(facts: Facts) -> float:
    account = facts["account"]
    n_rejected: int = sum(account["rejected"].values())
    return n_rejected / account["rows_read"] if account["rows_read"] else 0.0


def _event_types(a: Mapping[str, int], b: Mapping[str, int]) -> Measured:
    if not a or not b:
        return not_measured(["event_types"], "no event types in a manifest")[0]
    totals = sum(a.values()), sum(b.values())
    moves = {name: b.get(name, 0) / totals[1] - a.get(name, 0) / totals[0] for name in {**a, **b}}
    most = max(moves, key=lambda name: abs(moves[name]))
    value = sum(map(abs, moves.values())) / 2
    return Measured("event_types", value, f"share of another event type; {most} {moves[most]:+.2%}")


@dataclass(frozen=True)
class _Days:
    """Events by day, and the first and the last day that lie whole in the log."""

    events: Mapping[str, int]
    first: date
    last: date

    @classmethod
    def of(cls, manifest: Manifest) -> "_Days | None":
        events = manifest.data.get("days")
        if not events:
            return None
        last = date.fromisoformat(max(events))
        if manifest.created[:10] <= max(events):  # that day was not over when the log was read
            last -= _DAY
        # A window may begin at any hour of its first day.
        return cls(events, date.fromisoformat(min(events)) + _DAY, last)

    def on(self, day: date) -> int:
        return self.events.get(day.isoformat(), 0)

    def usually_on(self, day: date) -> float:
        """Return the mean of the same weekday, over the days that are known whole."""
        n_days = (self.last - self.first).days + 1
        same = [self.first + n * _DAY for n in range((day - self.first).days % 7, n_days, 7)]
        return sum(map(self.on, same)) / len(same)


def _past_days(before: _Days | None, now: _Days | None) -> Measured:
    """Compare the days that lie whole in both logs, which should say the same of them."""
    if before is None or now is None:
        return not_measured(["past_days"], "no time in a log")[0]
    first, last = max(before.first, now.first), min(before.last, now.last)
    days = [first + n * _DAY for n in range((last - first).days + 1)]
    total = sum(map(before.on, days))
    if not total:
        return not_measured(["past_days"], "no day lies whole in both logs")[0]
    changes = {day: abs(now.on(day) - before.on(day)) for day in days}
    value, most = sum(changes.values()) / total, max(days, key=lambda day: changes[day])
    said = f"of {total:,} events of days that both logs hold, {value:.2%} came or went"
    if changes[most]:
        said += f"; on {most} {before.on(most):,} became {now.on(most):,}"
    return Measured("past_days", value, said)


def _new_days(before: _Days | None, now: _Days | None) -> Measured:
    """Compare the whole days since the last log to the same weekdays before."""
    if before is None or now is None:
        return not_measured(["new_days"], "no time in a log")[0]
    n_days = (now.last - before.last).days
    if not 0 < n_days <= MOST_DAYS or (before.last - before.first).days < _LEAST:
        return not_measured(["new_days"], "no whole new day, or too few known to compare to")[0]
    days = [before.last + (1 + n) * _DAY for n in range(n_days)]
    usual, found = sum(map(before.usually_on, days)), sum(map(now.on, days))
    said = f"log ratio of events of {n_days} new days, {found:,} for {usual:,.0f} usually"
    return Measured("new_days", log_ratio(usual, found), said)
