import re
from collections.abc import Callable

import numpy as np
import pytest

from recsys.errors import ConfigError, DataError
from recsys.logs import Interactions
from recsys.splits import (
    SplitSettings,
    ThreeWaySplit,
    decide_split,
    say_few_tested,
    split_by_time,
    split_last,
    split_log,
    split_parts,
    split_random,
    split_validation,
)
from tests.splits.test_splitters import events_of, log_of, pairs_of
from tests.worlds import tastes


def assert_three_parts(parts: ThreeWaySplit) -> None:
    train, validation, test = parts[:3]
    assert validation.users is test.users is train.users
    assert validation.items is test.items is train.items
    assert not pairs_of(train) & pairs_of(validation)
    assert not pairs_of(train) & pairs_of(test)
    assert not pairs_of(validation) & pairs_of(test)
    assert pairs_of(train) | pairs_of(validation) <= pairs_of(parts.whole[0])
    assert pairs_of(test) <= pairs_of(parts.whole[1])


@pytest.mark.parametrize("split", ["time", "last", "random"])
def test_validation_is_cut_the_way_test_was(split: str) -> None:
    log = tastes(per_user=8)
    parts = split_parts(log, SplitSettings(split=split))  # type: ignore[arg-type]
    assert_three_parts(parts)
    cut: dict[str, Callable[..., tuple[Interactions, Interactions]]] = {
        "time": split_by_time,
        "last": split_last,
        "random": split_random,
    }
    whole = cut[split](log)
    train, validation = cut[split](whole[0])
    assert events_of(parts.whole[1]) == events_of(whole[1])
    assert events_of(parts.train) == events_of(train)
    assert events_of(parts.validation) == events_of(validation)


def test_by_time_the_parts_follow_each_other() -> None:
    parts = split_parts(tastes(per_user=8), SplitSettings())
    times = [part.timestamp for part in parts[:3] if part.timestamp is not None]
    assert times[0].max() < times[1].min() <= times[1].max() < times[2].min()


def test_test_knows_only_what_train_knows() -> None:
    """An item that only validation and test have is no item of train."""
    log = log_of(
        ("a", "x", 1), ("b", "x", 1), ("c", "x", 1), ("a", "y", 2),
        ("b", "y", 4), ("b", "new", 4), ("a", "new", 5), ("c", "y", 6),
    )  # fmt: skip
    parts = split_validation(split_by_time(log, at=5), lambda train: split_by_time(train, at=4))
    assert pairs_of(parts.whole[1]) == {("a", "new"), ("c", "y")}
    assert pairs_of(parts.test) == {("c", "y")}
    assert parts.test.row_counts.left_out == {"item not in train": 1}


@pytest.mark.parametrize("timed", [True, False])
def test_a_given_test_part_leaves_validation_to_time_or_chance(timed: bool) -> None:
    train, test = split_last(tastes(per_user=8))
    if not timed:
        train = log_of(*events_of(train), timed=False)
    parts = split_parts(train, SplitSettings(split="given"), test)
    assert_three_parts(parts)
    expected = split_by_time(train) if timed else split_random(train)
    assert events_of(parts.validation) == events_of(expected[1])


def test_validation_can_be_cut_in_another_way() -> None:
    log = tastes(per_user=8)
    parts = split_parts(log, SplitSettings(split="time", validation="last", last=2))
    assert_three_parts(parts)
    assert np.bincount(parts.validation.user_idx).max() == 2


def test_nothing_to_split_is_refused() -> None:
    with pytest.raises(ConfigError, match='expected a way to split, got "none"'):
        split_log(tastes(), SplitSettings(split="none"))
    with pytest.raises(ConfigError, match="got 'given' without one"):
        split_parts(tastes(), SplitSettings(split="given"))
    with pytest.raises(ConfigError, match="got 'time' with one"):
        split_parts(tastes(), SplitSettings(split="time"), tastes())


def one_after_the_other(n_users: int) -> Interactions:
    """Users who come one after the other, four items each: by time, test users are new."""
    rows = [(f"u{u}", f"i{(u + k) % 9}", 100 * u + k) for u in range(n_users) for k in range(4)]
    return log_of(*rows)


class TestAuto:
    def test_is_by_time_where_that_tests_enough_users(self) -> None:
        log = tastes(per_user=8)
        assert decide_split(log, SplitSettings()).split == "time"
        assert events_of(split_log(log, SplitSettings())[1]) == events_of(split_by_time(log)[1])

    def test_is_each_users_last_items_where_few_would_be_tested(self) -> None:
        log = one_after_the_other(30)
        with pytest.warns(
            RuntimeWarning, match=r"by time, 0 users would be tested, and 30 can be.*last"
        ):
            train, test = split_log(log, SplitSettings())
        assert events_of(test) == events_of(split_last(log)[1])
        assert len(train) + len(test) == 120

    def test_is_by_time_where_a_hundred_users_are_tested_of_many_more(self) -> None:
        rows = [(f"u{u}", f"i{k}", u + k) for u in range(700) for k in range(2)]
        late = [(f"u{u}", f"i{2 + u % 2}", 5_000 + u) for u in range(101)]
        first = [("u700", "i2", 0), ("u700", "i3", 1)]
        assert (
            decide_split(
                log_of(*first, *rows, *late), SplitSettings(test_fraction=101 / 1503)
            ).split
            == "time"
        )

    @pytest.mark.parametrize("time", [None, 1_700_000_000])
    def test_is_at_random_without_times_or_with_one(self, time: int | None) -> None:
        rows = [(f"u{u}", f"i{(u + k) % 9}", time) for u in range(30) for k in range(4)]
        log = log_of(*rows, timed=time is not None)
        with pytest.warns(
            RuntimeWarning, match="a random share of each user's items.*--split random"
        ):
            parts = split_parts(log, SplitSettings(seed=3))
        assert_three_parts(parts)
        assert events_of(parts.whole[1]) == events_of(split_random(log, seed=3)[1])

    def test_takes_a_test_part_that_is_given(self) -> None:
        train, test = split_last(tastes(per_user=8))
        assert decide_split(train, SplitSettings(), test).split == "given"

    def test_a_log_that_no_split_can_test_names_the_flag_and_the_key(self) -> None:
        one_item = log_of(*((f"u{u}", "i", 100 * u) for u in range(30)))
        with pytest.raises(DataError, match=r"--split \(evaluation.split in the TOML\)") as error:
            split_log(one_item, SplitSettings())
        assert "split_" not in str(error.value)


@pytest.mark.parametrize(
    ("split", "n_users", "expected"),
    [
        ("time", 150, r"only \d+ users are tested, .*; --split last .* tests 150"),
        ("last", 150, None),
        ("last", 60, "only 60 users are tested, .*; no other split tests more"),
        ("auto", 60, "only 40 users .* tests 60"),
        ("none", 60, None),
    ],
)
def test_a_test_of_few_users_is_reported(split: str, n_users: int, expected: str | None) -> None:
    """All but forty users come once and are gone, so that by time few are tested."""
    rows = [
        (user, 3 * (user % 5) + (n + user) % 3, 1000 * n + (100_000 if user < 40 and n == 2 else 0))
        for user in range(n_users)
        for n in range(3)
    ]
    found = say_few_tested(log_of(*rows), SplitSettings(split=split))  # type: ignore[arg-type]
    assert (found is None) if expected is None else re.search(expected, str(found))


def test_users_whose_items_nobody_else_has_are_not_counted_as_tested() -> None:
    rows = [(user, 2 * user + n, 1000 * n) for user in range(9) for n in range(2)]
    found = say_few_tested(log_of(*rows), SplitSettings(split="last"))
    assert str(found).startswith("no user can be tested; --split none ")
    rows += [(0, 3, 500), (9, 1, 500)]  # one of the last items is known
    found = say_few_tested(log_of(*rows), SplitSettings(split="last"))
    assert str(found).startswith("only 2 users are tested, ")
