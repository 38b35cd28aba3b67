"""Minimum counts against a slow twin that removes one user or item at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.logs.interactions import keep_minimum_counts
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
