"""Half of the newest day missing is told where the log is large enough to know, else nothing is."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from recsys.logs import LogSummary
from recsys.monitoring.feed import feed_checks
from recsys.monitoring.log import Log

FIRST = date(2026, 1, 1)
N_DAYS = 50
SHAPE = np.array([*[1] * 7, *[4] * 12, *[2] * 5], dtype=float)  # of a day
WEEK = np.array([1, 1, 1.1, 1.2, 1.3, 0.6, 0.5])


def hours_of(per_day: float, noise: float = 0.0) -> np.ndarray:
    """Events by day and hour, (n_days, 24), of a shop with quiet nights and weekends."""
    rng = np.random.default_rng(0)
    level = per_day * WEEK[np.arange(N_DAYS + 2) % 7] * np.exp(noise * rng.normal(size=N_DAYS + 2))
    return rng.poisson(level[:, None] * SHAPE / SHAPE.sum())


def log_of(hours: np.ndarray, created: str = "2027-01-01T02:00:00+00:00") -> Log:
    days = [(FIRST + timedelta(days=n)).isoformat() for n in range(len(hours))]
    by_hour = {day: tuple(row) for day, row in zip(days, hours.tolist(), strict=True)}
    by_day = {day: sum(row) for day, row in by_hour.items()}
    return Log(
        LogSummary(events=int(hours.sum()), window=(0, 1), days=by_day, hours=by_hour), created
    )


def checks(hours: np.ndarray) -> dict[str, float | None]:
    new, *past = (log_of(hours[: N_DAYS - n]) for n in range(6))
    return {one.name: one.value if one.passed else np.inf for one in feed_checks({}, new, past)}


def thinned(day: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).binomial(day, 0.5)


def without(hours: slice) -> Callable[[np.ndarray], np.ndarray]:
    def cut(day: np.ndarray) -> np.ndarray:
        day[hours] = 0
        return day

    return cut


@pytest.mark.parametrize("per_day", [1000, 100_000])
@pytest.mark.parametrize(
    ("fault", "found"),
    [
        (thinned, {"newest_day"}),
        (without(slice(13, None)), {"newest_day", "silent_hours"}),
        (without(slice(0, 13)), {"newest_day", "silent_hours"}),
        (without(slice(0, 0)), set()),
    ],
)
def test_half_of_the_newest_day(per_day: int, fault, found: set[str]) -> None:
    hours = hours_of(per_day)
    hours[N_DAYS - 1] = fault(hours[N_DAYS - 1].copy())
    alarms = {name for name, value in checks(hours).items() if value == np.inf}
    assert alarms == found


def test_a_small_or_restless_log_says_nothing() -> None:
    for hours in (hours_of(3), hours_of(1000, noise=1.0)):
        hours[N_DAYS - 1] = thinned(hours[N_DAYS - 1])
        assert checks(hours)["newest_day"] is None


def test_what_is_always_late_becomes_usual() -> None:
    """A third of each newest day comes a day late: that of tonight is no news."""
    hours = hours_of(10_000)
    nights = []
    for n in range(6):
        known = hours[: N_DAYS - n].copy()
        known[-1] = known[-1] * 0.7
        nights.append(log_of(known))
    new, *past = nights
    assert {one.name: one.passed for one in feed_checks({}, new, past)}["newest_day"]


def test_a_version_without_hours_is_not_compared() -> None:
    new, old = log_of(hours_of(1000)[:N_DAYS]), log_of(hours_of(1000)[: N_DAYS - 1])
    old = Log(replace(old.summary, hours={}), old.created)
    found = {one.name: one for one in feed_checks({}, new, [old])}
    assert found["silent_hours"].sentence.endswith("no hours in a manifest")
    assert found["silent_hours"].passed


def test_the_hours_of_a_summary_survive_json() -> None:
    summary = log_of(hours_of(1000)).summary
    assert LogSummary.from_dict(summary.to_dict()).hours == summary.hours
    with pytest.raises(ValueError, match="24 hours"):
        LogSummary.from_dict({"hours": {"2026-01-01": "1 2"}})
