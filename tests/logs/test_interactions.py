"""Minimum counts against a slow twin that removes one user or item at a time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.logs.interactions import Interactions
from recsys.logs.minimum_counts import keep_minimum_counts
from recsys.vectors import Ids
from tests.worlds import as_interactions, random_user_items


def pairs_of(log) -> set[tuple]:
    return set(zip(log.users.tolist(log.user_idx), log.items.tolist(log.item_idx), strict=True))


def slow_core(pairs: set[tuple], min_user_items: int, min_item_users: int) -> set[tuple]:
    while True:
        for side, least in ((0, min_user_items), (1, min_item_users)):
            names = sorted({pair[side] for pair in pairs})
            few = [n for n in names if sum(pair[side] == n for pair in pairs) < least]
            if few:
                pairs = {pair for pair in pairs if pair[side] != few[0]}
                break
        else:
            return pairs


@given(st.integers(0, 50), st.integers(2, 4), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_k_core_is_the_slow_core(seed, min_user_items, min_item_users):
    log = as_interactions(random_user_items(12, 9, density=0.3, seed=seed))
    core = keep_minimum_counts(
        log, min_user_items=min_user_items, min_item_users=min_item_users, k_core=True
    )
    assert pairs_of(core) == slow_core(pairs_of(log), min_user_items, min_item_users)
    assert len(core) + sum(core.row_counts.left_out.values()) == len(log)
    assert set(np.unique(core.user_idx)) == set(range(len(core.users)))


def test_once_counts_both_sides_on_the_whole_log():
    log = as_interactions(random_user_items(30, 20, density=0.15, seed=1))
    pairs = pairs_of(log)
    users = [user for user, _ in pairs]
    items = [item for _, item in pairs]
    once = keep_minimum_counts(log, min_user_items=3, min_item_users=4)
    expected = {(u, i) for u, i in pairs if users.count(u) >= 3 and items.count(i) >= 4}
    assert pairs_of(once) == expected
    assert once.row_counts.left_out == {"minimum counts": len(log) - len(expected)}
    assert expected != slow_core(pairs, 3, 4)  # this world tells the two apart


def test_repeated_events_are_one_item():
    log = as_interactions(random_user_items(1, 5, density=0.4, seed=0))
    repeated = log.select(np.tile(np.arange(len(log)), 2))
    n_items = len(pairs_of(log))
    assert len(keep_minimum_counts(repeated, min_user_items=n_items)) == len(repeated)
    assert len(keep_minimum_counts(repeated, min_user_items=n_items + 1)) == 0


@pytest.mark.parametrize("k_core", [False, True])
def test_minimum_of_one_changes_nothing(k_core):
    log = as_interactions(random_user_items(5, 5, density=0.5))
    assert keep_minimum_counts(log, k_core=k_core) is log


def log_of(*events: tuple[str, str, int]) -> Interactions:
    users, items, times = zip(*events, strict=True)
    user_ids, item_ids = sorted(set(users)), sorted(set(items))
    return Interactions(
        np.array([user_ids.index(user) for user in users], dtype=np.int32),
        np.array([item_ids.index(item) for item in items], dtype=np.int32),
        np.arange(1, len(events) + 1, dtype=np.float32),
        np.array(times, dtype=np.int64),
        Ids(user_ids),
        Ids(item_ids),
    )


@pytest.mark.parametrize(("n", "strays"), [(30, 1), (500, 1), (2000, 1), (4000, 4)])
def test_a_late_clock_makes_nobody_else_old(n: int, strays: int) -> None:
    day = 86_400
    events = [(f"u{i % 10}", f"i{i % 7}", i * day // 100) for i in range(n)]
    regular = log_of(*events)
    late = log_of(*events, *((f"u{i}", "late", 3000 * day) for i in range(strays)))
    expected = regular.recent_popularity(30.0)
    found = late.recent_popularity(30.0)
    by_item = dict(zip(late.items.tolist(), found.tolist(), strict=True))
    assert by_item.pop("late") == strays
    assert list(by_item.values()) == pytest.approx(expected.tolist())
    weights = replace(late, half_life_days=30.0).decayed_weight()
    usual = replace(regular, half_life_days=30.0).decayed_weight()
    assert weights[:n].tolist() == pytest.approx(usual.tolist())
    assert weights[n:].tolist() == late.weight[n:].tolist()


def test_all_events_of_one_user_with_a_late_clock_are_strays() -> None:
    day = 86_400
    events = [(f"u{i % 50}", f"i{i % 7}", i * day // 100) for i in range(2000)]
    log = log_of(*events, *(("u1", "late", 3000 * day + i) for i in range(10)))
    assert log.end(30.0) == events[-1][2]
    assert log.items[int(np.argmax(log.recent_popularity(30.0)))] != "late"


def test_the_end_of_a_log_without_strays_is_its_latest_event() -> None:
    day = 86_400
    times = [*range(0, 5000 * day, day), 5020 * day]
    log = log_of(*(("u", "i", time) for time in times))
    assert log.end(30.0) == 5020 * day
    few = log_of(("a", "x", 0), ("b", "y", 900 * day))
    assert few.end(30.0) == 900 * day
