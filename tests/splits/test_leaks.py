"""What leaks is an error: each leak is made on purpose, in small worlds and in a real log."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.evaluation import evaluate
from recsys.logs import Interactions, SplitInfo, read_log
from recsys.models import Popularity
from recsys.splits import (
    SplitSettings,
    require_validation,
    split_by_time,
    split_folds,
    split_given,
    split_last,
    split_parts,
    split_random,
    split_users,
)
from recsys.splits.leaks import require_time_order
from recsys.vectors import Embeddings
from tests.splits.test_splitters import log_of, logs
from tests.worlds import checkerboard, tastes

Split = tuple[Interactions, Interactions]


@pytest.fixture(scope="module")
def ratings(real_logs: Path) -> Interactions:
    path = real_logs / "ml-latest-small" / "ratings.csv.gz"
    return read_log(path, columns={"user_id": "userId", "item_id": "movieId"})


def popular(train: Interactions) -> Embeddings:
    return Popularity().fit(train.user_items())


def aged(part: Interactions, seconds: int) -> Interactions:
    assert part.timestamp is not None
    return replace(part, timestamp=part.timestamp - seconds)


def slow_order(train: Interactions, test: Interactions, protocol: str) -> bool:
    """The obvious twin: is no event of train where the protocol wants it before one of test?"""
    assert train.timestamp is not None
    assert test.timestamp is not None
    of_train = list(zip(train.user_idx.tolist(), train.timestamp.tolist(), strict=True))
    rows = zip(test.user_idx.tolist(), test.item_idx.tolist(), test.timestamp.tolist(), strict=True)
    latest: dict[tuple[int, int], int] = {}
    for user, item, time in rows:
        latest[user, item] = max(time, latest.get((user, item), time))
    if protocol == "time":
        return all(at < time for _, at in of_train for time in test.timestamp.tolist())
    return all(
        at <= time for owner, at in of_train for (u, _), time in latest.items() if owner == u
    )


# --- order in time ----------------------------------------------------------------------------


@given(log=logs(), fraction=st.floats(0.05, 0.95), n=st.integers(1, 3))
def test_splits_keep_the_order_that_they_promise(
    log: Interactions, fraction: float, n: int
) -> None:
    splits: list[Callable[[], Split]] = [
        lambda: split_by_time(log, test_fraction=fraction),
        lambda: split_last(log, n),
    ]
    for split in splits:
        try:
            train, test = split()
        except DataError:
            continue
        assert test.split_info is not None
        assert slow_order(train, test, test.split_info.protocol)
        evaluate(popular(train), train, test)


@given(log=logs(), seed=st.integers(0, 99), protocol=st.sampled_from(["time", "last"]))
def test_order_is_judged_as_its_twin_does(log: Interactions, seed: int, protocol: str) -> None:
    try:
        train, test = split_random(log, test_fraction=0.4, seed=seed)
    except DataError:
        return
    test = replace(test, split_info=SplitInfo("test", protocol))  # type: ignore[arg-type]
    if slow_order(train, test, protocol):
        require_time_order(train, test, "here")
    else:
        with pytest.raises(DataError, match="training would know the future"):
            require_time_order(train, test, "here")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (split_by_time, r"expected all of train before test, .* got \d+ events of train at or"),
        (split_last, r"test items to be the user's last, got \d+ .* such as of user_idx \d"),
    ],
)
def test_a_future_that_train_knows_is_refused(split: Callable[..., Split], message: str) -> None:
    train, test = split(tastes())
    embeddings = popular(train)
    evaluate(embeddings, train, test)
    with pytest.raises(DataError, match=message):
        evaluate(embeddings, train, aged(test, 10**7))
    untimed = replace(test, timestamp=None)
    evaluate(embeddings, replace(train, timestamp=None), untimed)  # what cannot be seen


@pytest.mark.parametrize("protocol", ["time", "last"])
def test_two_files_are_held_to_what_they_say_they_are(protocol) -> None:
    train, test = split_random(tastes(), seed=1)
    plain = [replace(part, split_info=None) for part in (train, test)]
    split_given(*plain)
    with pytest.raises(DataError, match="split_given: expected .*know the future"):
        split_given(*plain, protocol=protocol)


def test_a_real_log_has_no_leak_until_one_is_made(ratings: Interactions) -> None:
    for split in (split_by_time, split_last):
        train, test = split(ratings)
        embeddings = popular(train)
        evaluate(embeddings, train, test)
        with pytest.raises(DataError, match="know the future"):
            evaluate(embeddings, train, aged(test, 40 * 365 * 86_400))


# --- vocabulary -------------------------------------------------------------------------------


def test_a_catalogue_made_with_test_in_hand_is_refused(ratings: Interactions) -> None:
    """The usual way to leak: mark the last events, and keep the rows of the whole log."""
    assert ratings.timestamp is not None
    is_late = ratings.timestamp >= np.quantile(ratings.timestamp, 0.8)
    old_users = np.isin(ratings.user_idx, ratings.user_idx[~is_late])
    train, test = ratings.select(~is_late), ratings.select(is_late & old_users)
    with pytest.raises(DataError, match=r"every item of test .* [\d,]+ that only test has"):
        evaluate(popular(train), train, test)
    as_published = evaluate(popular(train), train, test, allow_unknown=True)
    assert as_published.left_out["test items not in train, ranked"] > 100
    right = split_given(train, test)
    evaluate(popular(right[0]), *right)


def test_users_that_only_test_has_are_refused() -> None:
    seen = checkerboard(6)
    test = sp.csr_array(sp.eye_array(6, dtype=np.float32))
    nobody = sp.csr_array(sp.diags_array([0.0, 1, 1, 1, 1, 1]) @ seen)
    with pytest.raises(DataError, match=r"every user of test .* got 1 .* such as user_idx 0;"):
        evaluate(Popularity().fit(seen), nobody, test)


def test_held_out_users_need_not_have_every_item() -> None:
    train, history, test = split_users(tastes(per_user=4), user_fraction=0.05, seed=3)
    only_in_test = set(test.item_idx.tolist()) - set(history.item_idx.tolist())
    assert only_in_test
    items = popular(train).items
    users = np.ones((len(history.users), 1), dtype=np.float32)
    evaluate(Embeddings(users, items), history, test)


# --- roles ------------------------------------------------------------------------------------


def roles_of(*parts: Interactions) -> list[str]:
    return [part.split_info.role for part in parts if part.split_info is not None]


@pytest.mark.parametrize("split", [split_by_time, split_last, split_random])
def test_what_is_cut_from_train_is_validation(split: Callable[..., Split]) -> None:
    train, test = split(tastes(per_user=9))
    assert roles_of(train, test) == ["train", "test"]
    fitted, validation = split(train)
    assert roles_of(fitted, validation) == ["train", "validation"]
    require_validation(validation, "tune")
    for part in (test, train):
        with pytest.raises(DataError, match=r"tune: expected a validation part .* got the t"):
            require_validation(part, "tune")


def test_no_way_of_cutting_makes_a_test_part_fit_to_choose_on() -> None:
    _, test = split_random(tastes(per_user=9), test_fraction=0.7)
    cuts = [*split_random(test), *split_last(test), *next(split_folds(test, 2))]
    cuts += [test.compact(), test.select(np.arange(9)), split_given(tastes(), test)[1]]
    for part in cuts:
        with pytest.raises(DataError, match="got the test part of a split"):
            require_validation(part, "tune")
    for asked in (
        lambda: split_given(tastes(), test, role="validation"),
        lambda: split_given(test, tastes()),
    ):
        with pytest.raises(DataError, match=r"got the test part of a split \(random\); keep test"):
            asked()


def test_every_split_says_what_its_parts_are_for() -> None:
    log = tastes(per_user=9)
    assert roles_of(*split_users(log)) == ["train", "history", "test"]
    assert roles_of(*split_users(split_users(log).train)) == ["train", "history", "validation"]
    parts = split_parts(log, SplitSettings())
    assert roles_of(*parts[:3], *parts.whole) == ["train", "validation", "test", "train", "test"]
    assert roles_of(*split_given(log, log_of(("u1", "i0", 1)), role="validation")) == [
        "train",
        "validation",
    ]
    require_validation(log, "tune")  # of a part made by hand nothing is known


def test_train_is_nothing_to_measure_on() -> None:
    train, test = split_random(tastes())
    with pytest.raises(DataError, match="got a train part"):
        evaluate(popular(train), test, train)
