"""How the log of one version differs from that of another, by what their manifests say of them."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from recsys.logs.facts import MOST_DAYS
from recsys.monitoring.measured import Measured, log_ratio, not_measured

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

_LEAST = 14  # days that are known, so that each weekday is compared to two or more

Facts = Mapping[str, Any]


def measure_log(a: Facts, b: Facts) -> list[Measured]:
    """Compare two logs by what `recsys.logs.facts_of` said of them.

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
    if any(name not in facts for facts in (a, b) for name in ("events", "account")):
        return not_measured(NAMES, "one of the versions does not say what its log was")
    days = [facts.get("days") or {} for facts in (a, b)]
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


def _past_days(before: Mapping[str, int], now: Mapping[str, int]) -> Measured:
    """Compare the days that lie whole in both logs, which should say the same of them."""
    if not before or not now:
        return not_measured(["past_days"], "no time in a log")[0]
    first, last = max(min(before), min(now)), min(max(before), max(now))
    days = sorted(day for day in {*before, *now} if first < day < last)
    total = sum(before.get(day, 0) for day in days)
    if not total:
        return not_measured(["past_days"], "no day lies whole in both logs")[0]
    changes = {day: abs(now.get(day, 0) - before.get(day, 0)) for day in days}
    value, most = sum(changes.values()) / total, max(days, key=lambda day: changes[day])
    said = f"of {total:,} events of days that both logs hold, {value:.2%} came or went"
    if changes[most]:
        said += f"; on {most} {before.get(most, 0):,} became {now.get(most, 0):,}"
    return Measured("past_days", value, said)


def _new_days(before: Mapping[str, int], now: Mapping[str, int]) -> Measured:
    """Compare the whole days since the last log to the same weekdays before."""
    if not before or not now:
        return not_measured(["new_days"], "no time in a log")[0]
    # The last day of a log is hardly ever whole, so it is looked at by the next version.
    start, end = date.fromisoformat(max(before)), date.fromisoformat(max(now))
    days = [start + timedelta(days=n) for n in range((end - start).days)]
    if not 0 < len(days) <= MOST_DAYS or (start - date.fromisoformat(min(before))).days < _LEAST:
        return not_measured(["new_days"], "no whole new day, or too few known to compare to")[0]
    usual = sum(_usual(before, day, start) for day in days)
    found = sum(now.get(day.isoformat(), 0) for day in days)
    said = f"log ratio of events of {len(days)} new days, {found:,} for {usual:,.0f} usually"
    return Measured("new_days", log_ratio(usual, found), said)


def _usual(days: Mapping[str, int], day: date, end: date) -> float:
    """Return the mean of the same weekday in what is known before the end."""
    first = date.fromisoformat(min(days))
    same = [first + timedelta(days=n) for n in range((day - first).days % 7, (end - first).days, 7)]
    return sum(days.get(one.isoformat(), 0) for one in same) / len(same)
