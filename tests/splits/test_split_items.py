"""Items that are held out whole, and attributes that know too much of them."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import ConfigError, DataError
from recsys.logs import Interactions
from recsys.splits import (
    SplitSettings,
    require_features_before,
    split_by_time,
    split_items,
    split_parts,
    split_validation,
)
from tests.splits.test_splitters import log_of, pairs_of
from tests.worlds import tastes


def new_items_of(test: Interactions) -> Interactions:
    assert test.split_info is not None
    assert test.split_info.new_items is not None
    return test.split_info.new_items


@settings(max_examples=15, deadline=None)
@given(share=st.floats(0.1, 0.6), fraction=st.floats(0.1, 0.5), seed=st.integers(0, 9))
def test_every_pair_is_somewhere_once(share: float, fraction: float, seed: int) -> None:
    log = tastes(per_user=8)
    train, test = split_items(log, share=share, test_fraction=fraction, seed=seed)
    new = new_items_of(test)
    assert not set(new.items.tolist()) & set(train.items.tolist())
    assert len(new.items) == test.split_info.n_new_items == round(share * 40)  # type: ignore[union-attr]
    assert new.users is train.users
    parts = [pairs_of(part) for part in (train, test, new)]
    assert sum(map(len, parts)) + left_out(test, new) == len(pairs_of(log))
    assert len(set().union(*parts)) == sum(map(len, parts))
    again = split_items(log, share=share, test_fraction=fraction, seed=seed)
    assert [pairs_of(part) for part in (*again, new_items_of(again[1]))] == parts


def left_out(test: Interactions, new: Interactions) -> int:
    counts = dict(test.row_counts.left_out)
    return sum(counts.values()) - len(new)


def test_items_that_first_appear_later_are_those_of_a_split_by_time() -> None:
    log = log_of(("a", "x", 1), ("b", "y", 2), ("a", "y", 5), ("a", "new", 6), ("c", "new", 7))
    train, test = split_items(log, since=5)
    assert pairs_of(new_items_of(test)) == {("a", "new")}  # nobody knows c
    assert [pairs_of(part) for part in split_by_time(log, at=5)] == [
        pairs_of(train),
        pairs_of(test),
    ]


def test_validation_has_new_items_of_its_own_and_test_all_that_it_lacks() -> None:
    log = tastes(per_user=12)
    parts = split_parts(log, SplitSettings(split="items"))
    of_validation, of_test = new_items_of(parts.validation), new_items_of(parts.test)
    before = new_items_of(parts.whole[1]).items.tolist()
    assert set(before) <= set(of_test.items.tolist())
    assert not set(before) & set(of_validation.items.tolist())
    assert parts.validation.split_info.role == "validation"  # type: ignore[union-attr]
    with pytest.raises(DataError, match="expected held-out items"):
        split_validation(parts.whole, lambda train: split_items(train, share=0.001))


def test_shares_out_of_range_and_no_new_items_are_named() -> None:
    with pytest.raises(ConfigError, match="split_items: expected share between 0 and 1, got 2"):
        split_items(tastes(), share=2)
    log = log_of(("a", "x", 1), ("b", "y", 2), ("a", "y", 5), ("b", "x", 6))
    with pytest.raises(DataError, match="got none by the time 5; take"):
        split_items(log, since=5)


@pytest.fixture(scope="module")
def test_part() -> Interactions:
    """Forty held-out items, of 1 to 40 users."""
    pairs = [(f"u{user}", f"i{item}") for item in range(40) for user in range(item + 1)]
    others = [(f"u{user}", "known") for user in range(60)]
    others += [("u1", "other"), ("u0", "other")]
    log = log_of(*((user, item, 7 * n) for n, (user, item) in enumerate(others + pairs)))
    return split_by_time(log, at=7 * 61)[1]


def attributes(**columns: object) -> pa.Table:
    return pa.table({"item_id": [f"i{item}" for item in range(40)], **columns})


EVENTS = np.arange(1, 41)
LEAKS = {
    "number of their users": EVENTS,
    "number of their events": -EVENTS / 7 + 3.5,  # a rank among bestsellers
    "time of their last event": 7 * (62 + np.cumsum(EVENTS) - 1),
}


@pytest.mark.parametrize("figure", LEAKS)
def test_what_was_made_of_the_held_out_events_is_refused(test_part, figure: str) -> None:
    table = attributes(price=np.arange(40) % 7, made=LEAKS[figure])
    with pytest.raises(DataError, match="expected attributes from before .* got made, which goes"):
        require_features_before(table, test_part, "evaluate")
    require_features_before(table, test_part, "evaluate", columns=("price",))  # not used


def test_what_was_made_of_dislikes_or_counts_milliseconds_is_refused(test_part) -> None:
    new = new_items_of(test_part)
    others = replace(new, item_idx=(new.item_idx * 7 % 40).astype(np.int32))
    disliked = others.select(new.user_idx % 2 == 0)
    times = 1_000 + np.random.default_rng(0).permutation(len(new))
    new = replace(new, timestamp=times, dislikes=disliked)
    last = np.zeros(40, dtype=np.int64)
    np.maximum.at(last, new.item_idx, times)
    held = replace(test_part, split_info=replace(test_part.split_info, new_items=new))
    for made, figure in (
        (np.bincount(disliked.item_idx, minlength=40), "number of their dislikes"),
        (1_000 * last, "time of their last event"),
    ):
        with pytest.raises(DataError, match=f"got made, which goes with the {figure} over"):
            require_features_before(attributes(made=made), held, "evaluate")


def test_vectors_whose_lengths_are_numbers_of_users_are_refused(test_part) -> None:
    rng = np.random.default_rng(0)
    units = rng.standard_normal((40, 4))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    for scale, is_leak in ((EVENTS**0.5, True), (rng.random(40), False)):
        vectors = pa.FixedSizeListArray.from_arrays(pa.array((units * scale[:, None]).ravel()), 4)
        table = attributes(embedding=vectors)
        if is_leak:
            for kind in (vectors.type, pa.list_(pa.float64())):
                table = attributes(embedding=vectors.cast(kind))
                with pytest.raises(DataError, match="got embedding, which goes with the number of"):
                    require_features_before(table, test_part, "evaluate")
        else:
            require_features_before(table, test_part, "evaluate")
            published = table.replace_schema_metadata({"space_id": "3f2a91bc"})
            with pytest.raises(DataError, match="got the embedding column of a published version"):
                require_features_before(published, test_part, "evaluate")


def test_prices_titles_and_dates_of_release_pass(test_part) -> None:
    rng = np.random.default_rng(1)
    released = 7 * (62 + np.cumsum(EVENTS) - EVENTS) - rng.integers(1, 10**6, 40)
    table = attributes(price=rng.random(40), title=[f"t{n}" for n in range(40)], released=released)
    require_features_before(table, test_part, "evaluate")
    without = replace(test_part, split_info=None)
    require_features_before(attributes(made=EVENTS), without, "evaluate")  # nothing is held out
