"""The measures, each against a slow twin or an answer known by hand."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from recsys.logs import LogSummary
from recsys.monitoring import DEFAULT_LIMITS, MEASURES, learned_limits
from recsys.monitoring.log import Log
from recsys.monitoring.measures import (
    Measure,
    Measured,
    NotMeasured,
    checks_of,
    log_ratio,
    wasserstein,
)
from recsys.monitoring.population import Shared, lost_overlap
from recsys.monitoring.vectors import cosines, translated
from recsys.store import Check, Manifest, ModelSpec
from recsys.vectors import Ids

ids = st.lists(st.integers(0, 30), unique=True, max_size=20)
lists = st.lists(st.integers(0, 12), unique=True, max_size=4)


@given(ids, ids, st.booleans(), st.booleans())
def test_shared_rows_are_those_a_look_up_finds(
    a: list[int], b: list[int], a_is_text: bool, b_is_text: bool
) -> None:
    one, other = (
        Ids([str(id_) if is_text else id_ for id_ in listed])
        for listed, is_text in ((a, a_is_text), (b, b_is_text))
    )
    shared = Shared.of(one, other)
    assert shared.a_of_b.tolist() == [a.index(id_) if id_ in a else -1 for id_ in b]
    assert [a[row] for row in shared.in_a] == [b[row] for row in shared.in_b]
    n = len(set(a) & set(b))
    assert shared.counts == {"shared": n, "appeared": len(b) - n, "vanished": len(a) - n}
    sample = shared.sample(3, 0, np.ones(len(a)))
    assert len(sample) == min(3, n)
    assert [a[row] for row in sample.in_a] == [b[row] for row in sample.in_b]


@given(st.lists(st.tuples(lists, lists), min_size=1, max_size=5))
def test_lost_overlap_is_that_of_sets(pairs: list[tuple[list[int], list[int]]]) -> None:
    a, b = (
        np.array([one + [-1] * (4 - len(one)) for one in side], dtype=np.int32)
        for side in zip(*pairs, strict=True)
    )
    expected = [1 - len(set(x) & set(y)) / max(len(x), len(y)) if x or y else 0.0 for x, y in pairs]
    np.testing.assert_allclose(lost_overlap(a, b), expected)


def test_an_item_that_is_new_is_never_in_common() -> None:
    shared = Shared.of(Ids(["a", "b"]), Ids(["b", "new"]))
    lists = translated(np.array([[0, 1, -1]], dtype=np.int32), shared)
    assert lists.tolist() == [[1, -2, -1]]
    assert lost_overlap(np.array([[1, -1, -1]], np.int32), lists).tolist() == [0.5]


def test_cosines_of_vectors_and_of_none() -> None:
    a = np.array([[3, 4], [0, 0], [0, 0], [1, 0]], dtype=np.float32)
    b = np.array([[6, 8], [0, 0], [1, 1], [-2, 0]], dtype=np.float32)
    shared = Shared.of(Ids("abcd"), Ids("abcd"))
    assert cosines(a, b, shared).tolist() == pytest.approx([1, 1, 0, -1])


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_log_ratio_is_symmetric_and_finite(a: float, b: float) -> None:
    assert log_ratio(a, b) == pytest.approx(log_ratio(b, a))
    assert 0 <= log_ratio(a, b) <= np.log(1001)
    assert (log_ratio(a, b) == 0) == (a == b) or a == pytest.approx(b)


values = st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=8)


@given(values, values)
def test_the_wasserstein_distance_is_that_of_scipy(a: list[float], b: list[float]) -> None:
    one, other = np.array(a, dtype=np.float32), np.array(b, dtype=np.float32)
    assert wasserstein(one, other) == pytest.approx(wasserstein_distance(one, other), abs=1e-12)
    assert wasserstein(one, one) == 0


def volume(found: Measured | NotMeasured) -> Measure:
    def function() -> Measured:
        if isinstance(found, NotMeasured):
            raise found
        return found

    return Measure("volume", 0.1, "log", "", function)


def test_what_was_not_measured_passes() -> None:
    check = volume(NotMeasured("no log")).check({"volume": 0.1})
    assert check.passed
    assert check.value is None
    assert check.sentence == "volume: not measured: no log"
    assert not volume(Measured(0.2, "more")).check({"volume": 0.1}).passed
    assert volume(Measured(0.2, "more")).check({}).passed


def test_every_measure_says_what_it_measures() -> None:
    for name, measure in MEASURES.items():
        assert measure.name == name == measure.function.__name__
        assert measure.sentence.endswith(".")
        assert measure.limit > 0


def facts(days: dict[str, int], **changes: object) -> dict[str, object]:
    account = {"rows_read": 1000, "rejected": {}, "events": {"view": 900, "buy": 100}}
    return {
        "events": 1000,
        "days": days,
        "mean_weight": 2.0,
        "duplicates": 10,
        "busiest_user": 50,
        "busiest_item": 50,
        "account": account,
        **changes,
    }


def march(n: int, *, of_a_day: int = 100) -> dict[str, int]:
    return {f"2026-03-{day:02d}": of_a_day for day in range(1, n + 1)}


def measured(a: dict[str, object], b: dict[str, object], *created: str) -> dict[str, Check]:
    made = created or ("2026-06-01", "2026-06-01")
    logs = (Log(LogSummary.from_dict(facts), day) for facts, day in zip((a, b), made, strict=True))
    return {check.name: check for check in checks_of("log", {}, *logs)}


def values(a: dict[str, object], b: dict[str, object]) -> dict[str, float | None]:
    return {name: check.value for name, check in measured(a, b).items()}


def test_days_that_both_logs_hold_must_not_change() -> None:
    # The window of the 1st may begin at any hour; 19 days are left.
    changed = march(21) | {"2026-03-01": 3, "2026-03-10": 50}
    assert values(facts(march(20)), facts(changed))["past_days"] == pytest.approx(50 / 1900)
    assert values(facts(march(20)), facts(march(21)))["past_days"] == 0


def test_a_day_that_was_not_over_is_compared_when_it_is() -> None:
    before, now = facts(march(20) | {"2026-03-20": 4}), facts(march(21) | {"2026-03-21": 5})
    found = measured(before, now, "2026-03-20T02:00:00", "2026-03-21T02:00:00")
    assert found["past_days"].value == 0
    assert found["new_days"].value == 0
    assert "1 new days, 100 for 100 usually" in found["new_days"].sentence


def test_a_new_day_is_held_against_its_weekday() -> None:
    sundays = ("2026-03-01", "2026-03-08", "2026-03-15", "2026-03-22")
    days = {day: 10 if day in sundays else n for day, n in march(22).items()}
    known = {day: n for day, n in days.items() if day < sundays[-1]}
    assert values(facts(known), facts(days))["new_days"] == 0
    halved = days | {sundays[-1]: 5}
    assert values(facts(known), facts(halved))["new_days"] == pytest.approx(np.log(2))
    assert values(facts(known), facts({**days, "2026-03-23": 0}))["new_days"] > 2
    assert values(facts(march(5)), facts(march(6)))["new_days"] is None  # too few to know


def test_shares_and_ratios_of_a_log() -> None:
    worse = facts(
        march(20),
        events=500,
        mean_weight=20.0,
        account={
            "rows_read": 1000,
            "rejected": {"empty item_id": 100},
            "events": {"view": 250, "buy": 250},
        },
    )
    found = values(facts(march(20)), worse)
    assert found["volume"] == pytest.approx(np.log(2))
    assert found["mean_weight"] == pytest.approx(np.log(10))
    assert found["rejected_share"] == pytest.approx(0.1)
    assert found["event_types"] == pytest.approx(0.4)
    assert found["busiest_user"] == pytest.approx(0.05)
    assert found["duplicate_share"] == pytest.approx(0.01)


def made(day: str, newest: str | None) -> Log:
    """The log of a version made at noon of a day, which ends at noon of another."""
    end = None if newest is None else int(datetime.fromisoformat(f"{newest}T12:00Z").timestamp())
    window = None if end is None else (0, end)
    return Log(LogSummary(window=window), f"{day}T12:00:00+00:00")


def age(new: Log, past: list[Log]) -> Check:
    check, *_ = checks_of("feed", {}, new, past)
    return check


def test_a_feed_that_stops_ages_the_log() -> None:
    daily = [made(f"2026-03-{day:02}", f"2026-03-{day - 1:02}") for day in range(2, 8)]
    assert age(made("2026-03-08", "2026-03-07"), daily).value == 0
    stopped = [made(f"2026-03-{day:02}", "2026-03-06") for day in range(8, 12)]
    ages = [age(new, [*daily, *stopped]).value for new in stopped]
    assert ages == [1, 2, 3, 4]  # reported every night, not only on the first
    sentence = age(stopped[-1], daily).sentence
    assert "2026-03-06 12:00 UTC, 5.0 days old; it was 1.0 days" in sentence
    ended_long_ago = made("2026-03-08", "2015-01-01")
    assert age(ended_long_ago, [made("2026-03-08", "2015-01-01")]).value == 0
    assert age(made("2026-03-08", None), daily).value is None
    assert age(daily[0], [made("2026-03-08", None)]).value is None


def night(**drifted: float) -> Manifest:
    checks = tuple(Check(name, value, None, True, name) for name, value in drifted.items())
    return Manifest("v", "", None, "s", ModelSpec("als", {}), 1, 1, 1, 1, {}, checks=checks)


def test_limits_are_learned_from_what_nights_were_like() -> None:
    shipped = DEFAULT_LIMITS["list_churn"]
    assert learned_limits([night(list_churn=shipped)] * 4) == dict(DEFAULT_LIMITS)
    usual = [night(list_churn=0.9 * shipped)] * 5
    assert learned_limits(usual)["list_churn"] == pytest.approx(1.8 * shipped)
    odd = [*[night(list_churn=0.4 * shipped)] * 5, night(list_churn=1.0)]
    assert learned_limits(odd)["list_churn"] == pytest.approx(0.8 * shipped)
    assert learned_limits([night(list_churn=0.0)] * 9)["list_churn"] == shipped / 2
    assert learned_limits([night(list_churn=99.0)] * 9)["list_churn"] == shipped * 4
