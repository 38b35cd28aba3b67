"""Steps back in histories and windows over them, beside slow twins."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.logs import Interactions
from recsys.logs.order import windows
from recsys.vectors import Ids

EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 4)), max_size=30)


def log_of(events: list[tuple[int, int, int]]) -> Interactions:
    user, item, time = np.array(events, dtype=np.int64).reshape(-1, 3).T
    weight = np.arange(1, len(events) + 1, dtype=np.float32)
    indices = (user.astype(np.int32), item.astype(np.int32))
    return Interactions(*indices, weight, time, Ids(range(4)), Ids(range(6)))


def latest_of(log: Interactions, when: np.ndarray) -> list[dict[int, int]]:
    """The last time of each item, by user."""
    latest: list[dict[int, int]] = [{} for _ in range(4)]
    for user, item, time in zip(log.user_idx, log.item_idx, when, strict=True):
        latest[user][int(item)] = max(int(time), latest[user].get(int(item), -1))
    return latest


@given(EVENTS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_weights_fall_with_the_items_that_were_met_later(events, by_rows: bool) -> None:
    log = log_of(events)
    when = log.timestamp
    if by_rows:
        log, when = replace(log, order="rows"), np.arange(len(log))
    expected = log.user_items().toarray()
    for user, latest in enumerate(latest_of(log, when)):
        for item, time in latest.items():
            n_later = sum(other > time for other in latest.values())
            expected[user, item] *= (n_later + 1) ** -0.7
    np.testing.assert_allclose(log.user_items(0.7).toarray(), expected, rtol=1e-6)


@given(EVENTS, st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_two_items_are_in_as_many_windows_as_they_are_near(events, length: int) -> None:
    log = log_of([(user, item, place) for place, (user, item, _) in enumerate(events)])
    expected = np.zeros((6, 6))
    for latest in latest_of(log, log.timestamp):
        history = sorted(latest, key=latest.__getitem__)
        for a, first in enumerate(history):
            for b, second in enumerate(history):
                expected[first, second] += max(length - abs(a - b), 0)
    runs = windows(log, length)
    np.testing.assert_array_equal((runs.T @ runs).toarray(), expected)


def test_an_order_of_a_log_without_time_is_asked_for() -> None:
    log = replace(log_of([(0, 1, 5), (0, 2, 3)]), timestamp=None)
    with pytest.raises(DataError, match='the order of histories needs a timestamp.* to "rows"'):
        log.user_items(1.0)
    in_order = replace(log, order="rows").user_items(1.0)
    assert in_order.data.tolist() == [0.5, 2.0]
