from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import ConfigError, DataError
from recsys.logs import Interactions, RowCounts
from recsys.splits import SPLIT_REASONS, split_by_time, split_given, split_last, split_random
from recsys.vectors import Id, Ids
from tests.worlds import START, as_interactions, random_user_items, tastes

Event = tuple[Id, Id, int]  # user_id, item_id, timestamp


def log_of(*events: Event, timed: bool = True, row_counts: RowCounts | None = None) -> Interactions:
    users = list(dict.fromkeys(user for user, _, _ in events))
    items = list(dict.fromkeys(item for _, item, _ in events))
    return Interactions(
        user_idx=np.array([users.index(user) for user, _, _ in events], dtype=np.int32),
        item_idx=np.array([items.index(item) for _, item, _ in events], dtype=np.int32),
        weight=np.arange(1, len(events) + 1, dtype=np.float32),
        timestamp=np.array([time for _, _, time in events], dtype=np.int64) if timed else None,
        users=Ids(users),
        items=Ids(items),
        row_counts=row_counts or RowCounts(rows_read=len(events)),
    )


def events_of(log: Interactions) -> list[Event]:
    times = [0] * len(log) if log.timestamp is None else log.timestamp.tolist()
    users, items = log.users.tolist(log.user_idx), log.items.tolist(log.item_idx)
    return list(zip(users, items, times, strict=True))


def pairs_of(log: Interactions) -> set[tuple[Id, Id]]:
    return {(user, item) for user, item, _ in events_of(log)}


def assert_contract(log: Interactions, train: Interactions, test: Interactions) -> None:
    """What every split promises, whichever events it takes for test."""
    assert set(train.users.tolist()) == {user for user, _, _ in events_of(train)}
    assert set(train.items.tolist()) == {item for _, item, _ in events_of(train)}
    assert test.users is train.users
    assert test.items is train.items
    assert not pairs_of(train) & pairs_of(test)
    assert len(train) > 0
    assert len(test) > 0
    assert set(test.row_counts.left_out) <= set(SPLIT_REASONS)
    # Every event is in train, in test or counted, and keeps its weight (a position here) and time.
    assert len(train) + len(test) + sum(test.row_counts.left_out.values()) == len(log)
    whole = dict(zip(log.weight.tolist(), events_of(log), strict=True))
    for part in (train, test):
        parts = dict(zip(part.weight.tolist(), events_of(part), strict=True))
        assert list(parts) == sorted(parts)
        assert parts.items() <= whole.items()


@st.composite
def logs(draw: st.DrawFn) -> Interactions:
    users, items, times = st.integers(0, 4), st.integers(0, 6), st.integers(0, 8)
    events = draw(st.lists(st.tuples(users, items, times), min_size=2, max_size=40))
    return log_of(*events)


@given(log=logs(), fraction=st.floats(0.05, 0.95))
def test_every_split_keeps_the_contract_or_refuses(log: Interactions, fraction: float) -> None:
    splits: list[Callable[[], tuple[Interactions, Interactions]]] = [
        lambda: split_by_time(log, test_fraction=fraction),
        lambda: split_last(log, 2),
        lambda: split_random(log, test_fraction=fraction, seed=1),
    ]
    for split in splits:
        try:
            train, test = split()
        except DataError:
            continue
        assert_contract(log, train, test)


def test_every_split_keeps_the_contract_on_a_world() -> None:
    log = tastes()
    log = replace(log, weight=np.arange(1, len(log) + 1, dtype=np.float32))
    for train, test in (split_by_time(log), split_last(log), split_random(log)):
        assert_contract(log, train, test)


@pytest.mark.parametrize("split", [split_by_time, split_last, split_random])
def test_an_empty_log_is_refused(split: Callable[..., object]) -> None:
    nothing = tastes().select(np.array([], dtype=np.int64))
    with pytest.raises(DataError, match="got 0 in train and 0 in test"):
        split(nothing)


# --- by time ----------------------------------------------------------------------------------


@given(log=logs(), at=st.integers(0, 9))
def test_by_time_divides_at_one_instant(log: Interactions, at: int) -> None:
    expected_train = [event for event in events_of(log) if event[2] < at]
    pairs = {(user, item) for user, item, _ in expected_train}
    users, items = {user for user, _ in pairs}, {item for _, item in pairs}
    expected_test = [
        (user, item, time)
        for user, item, time in events_of(log)
        if time >= at and user in users and item in items and (user, item) not in pairs
    ]
    if not expected_test:
        with pytest.raises(DataError):
            split_by_time(log, at=at)
        return
    train, test = split_by_time(log, at=at)
    assert (events_of(train), events_of(test)) == (expected_train, expected_test)


@given(
    times=st.lists(st.integers(0, 8), min_size=1, max_size=30).filter(any),
    fraction=st.floats(1e-20, 1, exclude_max=True),
)
def test_by_time_takes_the_instant_closest_to_the_fraction(
    times: list[int], fraction: float
) -> None:
    known = [("b", item, 0) for item in range(len(times))]  # so that no item is new in test
    log = log_of(("a", "first", 0), *known, *(("a", item, t) for item, t in enumerate(times)))
    train, test = split_by_time(log, test_fraction=fraction)
    assert log.timestamp is not None
    shares = [float(np.mean(log.timestamp >= instant)) for instant in {*times} - {0}]
    distance = abs(len(test) / (len(train) + len(test)) - fraction)
    assert distance == pytest.approx(min(abs(share - fraction) for share in shares))


def test_by_time_counts_each_event_under_the_first_reason_that_applies() -> None:
    log = log_of(
        ("a", "x", 1), ("b", "y", 2),
        ("new", "x", 5), ("new", "other", 5), ("a", "other", 6), ("a", "x", 7), ("a", "y", 8),
        ("a", "y", 9),
    )  # fmt: skip
    train, test = split_by_time(log, at=5)
    assert test.row_counts.left_out == {
        "user not in train": 2,
        "item not in train": 1,
        "seen in train": 1,
    }
    assert train.row_counts == log.row_counts
    assert events_of(test) == [("a", "y", 8), ("a", "y", 9)]


@pytest.mark.parametrize(
    "at",
    [
        "2023-11-20",
        "2023-11-20T00:00",
        "2023-11-20T00:00:00Z",
        "2023-11-20T02:00:00+02:00",
        "2023-11-19T23:59:59.5",
        1_700_438_400,
        np.int64(1_700_438_400),
    ],
)
def test_by_time_reads_an_instant(at: str | int) -> None:
    log = tastes()
    train, _ = split_by_time(log, at=at)
    assert log.timestamp is not None
    assert len(train) == int((log.timestamp < 1_700_438_400).sum()) == 122


@pytest.mark.parametrize("at", ["yesterday", "2023-13-01", ""])
def test_by_time_refuses_what_is_no_instant(at: str) -> None:
    with pytest.raises(ConfigError, match="split_by_time: at: expected an ISO 8601 date"):
        split_by_time(tastes(), at=at)


def test_by_time_needs_time() -> None:
    with pytest.raises(DataError, match="split_by_time needs a timestamp"):
        split_by_time(log_of(("a", "x", 0), ("a", "y", 0), timed=False))


def test_by_time_needs_two_instants() -> None:
    with pytest.raises(DataError, match="two or more instants, got one for all 2 events"):
        split_by_time(log_of(("a", "x", 3), ("a", "y", 3)))


@pytest.mark.parametrize(("at", "counts"), [(0, "0 in train and 3"), (99, "3 in train and 0")])
def test_by_time_refuses_an_empty_side(at: int, counts: str) -> None:
    with pytest.raises(DataError, match=f"at 1970.*{counts} in test"):
        split_by_time(log_of(("a", "x", 1), ("a", "y", 2), ("b", "x", 3)), at=at)


def test_a_far_instant_is_no_traceback() -> None:
    with pytest.raises(DataError, match="got 360 in train and 0 in test"):
        split_by_time(tastes(), at=10**18)


def test_a_test_side_that_train_knows_nothing_of_is_refused() -> None:
    with pytest.raises(DataError, match=r"none among 2 \(1 user not in train, 1 seen in train\)"):
        split_by_time(log_of(("a", "x", 1), ("b", "x", 5), ("a", "x", 5)), at=5)


# --- last -------------------------------------------------------------------------------------


def last_items_twin(log: Interactions, n: int) -> set[tuple[Id, Id]]:
    """The pairs to hold out, one user at a time."""
    held = set()
    for user in log.users.tolist():
        own = [
            (time, position, item)
            for position, (of_user, item, time) in enumerate(events_of(log))
            if of_user == user
        ]
        by_recency = list(dict.fromkeys(item for _, _, item in sorted(own, reverse=True)))
        if len(by_recency) > n:
            held |= {(user, item) for item in by_recency[:n]}
    return held


@given(log=logs(), n=st.integers(1, 3))
def test_last_agrees_with_its_twin(log: Interactions, n: int) -> None:
    held = last_items_twin(log, n)
    expected_train = pairs_of(log) - held
    expected_test = {pair for pair in held if pair[1] in {item for _, item in expected_train}}
    if not expected_test:
        with pytest.raises(DataError):
            split_last(log, n)
        return
    train, test = split_last(log, n)
    assert (pairs_of(train), pairs_of(test)) == (expected_train, expected_test)


def test_last_goes_by_log_order_without_time_and_among_equal_times() -> None:
    events = [("b", "z", 0), ("b", "x", 0), ("a", "x", 7), ("a", "y", 7), ("a", "z", 7)]
    for timed in (True, False):
        _, test = split_last(log_of(*events, timed=timed))
        assert pairs_of(test) == {("b", "x"), ("a", "z")}


def test_last_takes_all_events_of_a_pair() -> None:
    log = log_of(("a", "x", 1), ("a", "y", 2), ("a", "x", 3), ("b", "x", 1))
    train, test = split_last(log)
    assert events_of(train) == [("a", "y", 2), ("b", "x", 1)]
    assert events_of(test) == [("a", "x", 1), ("a", "x", 3)]


def test_last_leaves_users_with_few_items_in_train() -> None:
    log = log_of(
        ("a", "x", 1), ("a", "y", 2), ("b", "x", 3), ("b", "y", 4), ("b", "z", 5), ("c", "z", 1)
    )  # fmt: skip
    train, test = split_last(log, n=2)
    assert set(test.users.tolist(test.user_idx)) == {"b"}
    assert {("a", "x"), ("a", "y"), ("c", "z")} <= pairs_of(train)


def test_last_needs_an_n_and_somebody_with_more_items() -> None:
    with pytest.raises(ConfigError, match="n of 1 or more, got 0"):
        split_last(tastes(), 0)
    with pytest.raises(DataError, match=r"each user's last 6.*360 in train and 0 in test"):
        split_last(tastes(per_user=6), 6)


# --- random -----------------------------------------------------------------------------------


@given(seed=st.integers(0, 1000), fraction=st.floats(0.1, 0.9))
def test_random_holds_out_its_share_of_each_user(seed: int, fraction: float) -> None:
    log = as_interactions(random_user_items(20, 30, density=0.5, seed=seed), timed=False)
    train, test = split_random(log, test_fraction=fraction, seed=seed)
    assert test.row_counts.left_out.get("user not in train", 0) == 0
    items_of = np.bincount(log.user_idx, minlength=20)
    kept = np.zeros(20)
    for user, n in zip(train.users.tolist(), np.bincount(train.user_idx), strict=True):
        kept[int(str(user)[1:])] = n
    assert (kept >= np.minimum(items_of, 1)).all()
    assert (np.abs(items_of - kept - fraction * items_of) < 1).all()
    assert len(test) <= (items_of - kept).sum()


def test_random_share_is_right_on_average() -> None:
    """Users of three items: a fifth of each cannot be held out, a fifth of all can."""
    train, test = split_random(tastes(n_users=3000, per_user=3), test_fraction=0.2)
    assert len(test) / (len(train) + len(test)) == pytest.approx(0.2, abs=0.01)


def test_random_goes_by_its_seed_alone() -> None:
    log = tastes()
    shuffled = log.select(np.random.default_rng(5).permutation(len(log)))
    first = pairs_of(split_random(log, seed=3)[1])
    assert pairs_of(split_random(log, seed=3)[1]) == first
    assert pairs_of(split_random(shuffled, seed=3)[1]) == first
    assert pairs_of(split_random(log, seed=4)[1]) != first


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
@pytest.mark.parametrize("split", [split_by_time, split_random])
def test_fraction_must_leave_something_on_both_sides(
    split: Callable[..., object], fraction: float
) -> None:
    with pytest.raises(ConfigError, match="test_fraction between 0 and 1"):
        split(tastes(), test_fraction=fraction)


# --- given ------------------------------------------------------------------------------------


def test_given_brings_two_vocabularies_together() -> None:
    train_log = log_of(("a", 1, 1), ("b", 2, 2), ("b", 1, 3))
    test_log = log_of(
        ("b", "3", 9),
        ("a", "2", 8),
        ("c", "1", 9),
        ("b", "1", 9),
        row_counts=RowCounts(rows_read=7),
    )
    train, test = split_given(train_log, test_log)
    assert events_of(train) == events_of(train_log)
    assert events_of(test) == [("a", 2, 8)]  # ids as train spells them
    assert test.users is train.users
    assert test.items is train.items
    assert test.row_counts.rows_read == 7
    assert test.row_counts.left_out == dict.fromkeys(SPLIT_REASONS, 1)


def test_given_drops_users_and_items_of_train_without_events() -> None:
    log = log_of(("a", "x", 1), ("b", "y", 2), ("c", "z", 3))
    train, _ = split_given(log.select(np.array([0, 1])), log_of(("a", "y", 9)))
    assert (train.users.tolist(), train.items.tolist()) == (["a", "b"], ["x", "y"])


def test_given_equals_by_time_on_the_same_events() -> None:
    log = tastes()
    at = START + 3600 * 250
    train, test = split_by_time(log, at=at)
    assert log.timestamp is not None
    train_log = log.select(log.timestamp < at).compact()
    test_log = log.select(log.timestamp >= at).compact()
    given_train, given_test = split_given(train_log, test_log)
    assert events_of(given_train) == events_of(train)
    assert events_of(given_test) == events_of(test)
    assert given_test.row_counts == test.row_counts


def test_given_refuses_an_empty_side() -> None:
    log = tastes()
    nothing = log.select(np.array([], dtype=np.int64))
    with pytest.raises(DataError, match=r"split_given.* 0 in train and 360 in test"):
        split_given(nothing, log)
    with pytest.raises(DataError, match=r"split_given.*360 in train and 0 in test"):
        split_given(log, nothing)


# --- no leak ----------------------------------------------------------------------------------


def test_decay_of_train_does_not_know_when_test_ends() -> None:
    day = 86_400
    weights = []
    for last in (5 * day, 50 * day):
        log = log_of(("a", "x", 0), ("b", "y", day), ("a", "y", last))
        train, _ = split_by_time(replace(log, half_life_days=1.0), at=2 * day)
        weights.append(train.decayed_weight().tolist())
    assert weights == [[0.5, 2.0], [0.5, 2.0]]
