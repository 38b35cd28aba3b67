"""A sample by strata of popularity: all of the head, a part of the tail, whatever the order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.maps.strata import stratified_sample
from recsys.vectors import Ids


def test_the_head_is_there_and_the_tail_is_sampled() -> None:
    popularity = np.array([1] * 900 + [2] * 90 + [1000] * 10)
    found = stratified_sample(popularity, Ids(range(1000)), 100)
    assert [(one.low, one.high, one.n, one.n_drawn) for one in found.strata] == [
        (1000, 1000, 10, 10),
        (2, 2, 90, 45),
        (1, 1, 900, 45),
    ]
    assert len(found.rows) == 100
    assert set(range(990, 1000)) <= set(found.rows.tolist())
    assert str(found.strata[2]) == "45 of 900 of popularity 1"


def test_another_order_draws_the_same_ids() -> None:
    rng = np.random.default_rng(0)
    popularity, order = rng.integers(0, 50, 500), rng.permutation(500)
    ids = [f"item {n}" for n in range(500)]
    one = stratified_sample(popularity, Ids(ids), 80)
    other = stratified_sample(popularity[order], Ids([ids[row] for row in order]), 80)
    drawn = {ids[row] for row in one.rows}
    assert drawn == {ids[order[row]] for row in other.rows}
    assert drawn != {ids[row] for row in stratified_sample(popularity, Ids(ids), 80, seed=1).rows}


@given(st.lists(st.integers(0, 10**6), max_size=60), st.integers(0, 70))
def test_as_many_as_asked_for_or_all(popularity: list[int], most: int) -> None:
    n = len(popularity)
    found = stratified_sample(np.array(popularity, np.int64), Ids([str(i) for i in range(n)]), most)
    assert len(found.rows) == len(set(found.rows.tolist())) == min(n, most)
    assert np.array_equal(found.rows, np.sort(found.rows))
    assert sum(one.n for one in found.strata) == n
    assert sum(one.n_drawn for one in found.strata) == len(found.rows)
