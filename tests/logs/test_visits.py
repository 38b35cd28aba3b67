"""What visits say of items, against a twin that walks the days of each pair."""

import statistics
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.logs import Interactions
from recsys.logs.visits import NO_DAY, REPEAT_PRIOR, RISING_PRIOR, visits_of
from recsys.vectors import Ids

DAY = 86_400
N_USERS, N_ITEMS = 5, 4


def log_of(events: list[tuple[int, int, int]]) -> Interactions:
    """Return a log of users, items and seconds, in the order given."""
    user, item, second = np.array(events, dtype=np.int64).reshape(-1, 3).T
    return Interactions(
        user.astype(np.int32),
        item.astype(np.int32),
        np.ones(len(user), np.float32),
        second,
        Ids([f"u{n}" for n in range(N_USERS)]),
        Ids([f"i{n}" for n in range(N_ITEMS)]),
    )


events = st.lists(
    st.tuples(
        st.integers(0, N_USERS - 1),
        st.integers(0, N_ITEMS - 1),
        st.integers(20_000 * DAY, 20_030 * DAY),
    ),
    min_size=1,
    max_size=19,  # from 20 on, a late clock does not move the end
)


@settings(max_examples=60, deadline=None)
@given(events=events, trending_days=st.sampled_from([1, 3, 40]))
def test_visits_are_those_of_the_twin(events, trending_days: int) -> None:
    days: dict[tuple[int, int], set[int]] = defaultdict(set)
    for user, item, second in events:
        days[user, item].add(second // DAY)
    found = visits_of(log_of(events), trending_days)
    assert found is not None
    every = sorted(day for some in days.values() for day in some)
    length = min(trending_days, (every[-1] - every[0] + 1) // 2)
    first_recent = every[-1] - length + 1
    gaps = {pair: np.diff(sorted(some)).tolist() for pair, some in days.items()}
    all_gaps = [gap for some in gaps.values() for gap in some]
    share = sum(len(some) > 1 for some in days.values()) / len(days)
    past, before, recent = [], [], []
    for item in range(N_ITEMS):
        own = [some for (_, other), some in days.items() if other == item]
        visits = [day for some in own for day in some]
        assert found.first_day[item] == min(visits, default=NO_DAY)
        back = sum(len(some) > 1 for some in own)
        expected = (back + REPEAT_PRIOR * share) / (len(own) + REPEAT_PRIOR)
        assert found.repeat_share[item] == pytest.approx(expected, rel=1e-5)
        own_gaps = [gap for (_, other), some in gaps.items() if other == item for gap in some]
        if all_gaps:
            n, usual = len(own_gaps), statistics.median(all_gaps)
            middle = statistics.median(own_gaps) if own_gaps else 1
            log_gap = (n * np.log(middle) + REPEAT_PRIOR * np.log(usual)) / (n + REPEAT_PRIOR)
            assert found.repeat_gap[item] == pytest.approx(np.exp(log_gap), rel=1e-5)
        else:
            assert found.repeat_gap[item] == np.inf
        past.append(sum(day < first_recent for day in visits))
        recent.append(len(visits) - past[-1])
        before.append(max(first_recent - min(visits, default=first_recent), 0))
    if length == 0:
        assert found.velocity is None
    else:
        assert found.velocity is not None
        days_of_one = max(sum(before), 1) / max(sum(past), 1)
        expected = [length * (past[n] + 1) / (before[n] + days_of_one) for n in range(N_ITEMS)]
        grown = sum(recent) / max(sum(expected), 1e-9)
        for item in range(N_ITEMS):
            ratio = (recent[item] + RISING_PRIOR) / (grown * expected[item] + RISING_PRIOR)
            assert found.velocity[item] == pytest.approx(ratio, rel=1e-5)
    if not all_gaps:
        assert found.last_day is None
    else:
        assert found.last_day is not None
        assert found.last_day.tolist() == [max(days[pair]) for pair in sorted(days)]


def test_an_item_that_rises_is_told_from_one_that_is_large_and_one_that_is_seldom() -> None:
    daily = [(40, 40), (2, 30), (1, 3), (30, 10)]  # visits a day of each item: before, of late
    days = [(day, late if day >= 53 else usual) for day in range(60) for usual, late in daily]
    item = np.repeat(np.tile(np.arange(4), 60), [n for _, n in days]).astype(np.int32)
    day = np.repeat([day for day, _ in days], [n for _, n in days])
    users = Ids(list(range(len(item))))
    log = Interactions(
        np.arange(len(item), dtype=np.int32),
        item,
        np.ones(len(item), np.float32),
        (20_000 + day) * DAY,
        users,
        Ids([f"i{n}" for n in range(N_ITEMS)]),
    )
    found = visits_of(log)
    assert found is not None
    assert found.velocity is not None
    assert np.argsort(-found.velocity).tolist() == [1, 2, 0, 3]
    assert found.velocity[1] > 2 * found.velocity[2]


def test_a_log_without_time_says_nothing() -> None:
    log = log_of([(0, 0, 0)])
    timeless = Interactions(log.user_idx, log.item_idx, log.weight, None, log.users, log.items)
    assert visits_of(timeless) is None
