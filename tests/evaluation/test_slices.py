"""Metrics by groups of users."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from recsys.evaluation import evaluate
from recsys.evaluation.intervals import interval_of_ratio
from recsys.evaluation.slices import (
    by_activity,
    by_item_popularity,
    groups_of,
    item_slices,
    slices,
    summaries_of,
)
from recsys.models import ALS, Popularity
from recsys.splits import split_random
from recsys.store import EvaluationSummary
from tests.worlds import tastes


@pytest.fixture(scope="module")
def parts():
    return split_random(tastes(), test_fraction=0.3, seed=0)


@pytest.fixture(scope="module")
def evaluation(parts):
    train, test = parts
    return evaluate(ALS(factors=4).fit(train.user_items()), train, test, k=10)


def test_slices_make_up_the_whole(evaluation) -> None:
    labels = np.where(evaluation.user_idx % 3 == 0, "a", "b")
    found = slices(evaluation, labels, "ndcg@10")
    assert [one.group for one in found] == ["a", "b"]
    assert sum(one.n for one in found) == evaluation.n_users
    total = sum(one.value * one.n for one in found) / evaluation.n_users
    assert total == pytest.approx(evaluation.metrics["ndcg@10"])
    for one in found:
        own = evaluation.per_user["ndcg@10"][labels == one.group]
        assert one.value == pytest.approx(own.mean())
        assert one.interval[0] <= one.value <= one.interval[1]


def test_activity_is_the_length_of_the_history(evaluation, parts) -> None:
    lengths = np.diff(parts[0].user_items().indptr)[evaluation.user_idx]
    assert (evaluation.n_seen == lengths).all()
    found = by_activity(evaluation, "recall@10", n_groups=3)
    assert sum(one.n for one in found) == evaluation.n_users
    bounds = [
        [int(part) for part in one.group.removesuffix(" items").split(" - ")] for one in found
    ]
    assert bounds == sorted(bounds)
    for one, bound in zip(found, bounds, strict=True):
        own = (lengths >= bound[0]) & (lengths <= bound[-1])
        assert one.n == own.sum()
        assert one.value == pytest.approx(evaluation.per_user["recall@10"][own].mean())


def test_what_every_user_got_can_be_kept(evaluation, parts, tmp_path) -> None:
    table = evaluation.to_table(parts[0].users)
    pq.write_table(table, tmp_path / "users.parquet")
    read = pq.read_table(tmp_path / "users.parquet")
    assert read.column_names == ["user_id", "n_seen", *evaluation.per_user]
    assert read["user_id"].to_pylist() == [f"u{row}" for row in evaluation.user_idx]
    assert np.mean(read["ndcg@10"].to_pylist()) == pytest.approx(evaluation.metrics["ndcg@10"])


def test_what_does_not_fit_is_named(evaluation) -> None:
    with pytest.raises(DataError, match="expected one of recall@10"):
        slices(evaluation, ["a"] * evaluation.n_users, "ndcg@3")
    with pytest.raises(DataError, match="expected a label for each of"):
        slices(evaluation, ["a"], "ndcg@10")


@pytest.fixture(scope="module")
def popularity(parts):
    train, test = parts
    return evaluate(Popularity().fit(train.user_items()), train, test, k=10)


def test_what_became_of_each_item(evaluation, parts) -> None:
    """The slow twin: every user's list, made and looked through in Python."""
    train, test = (part.user_items() for part in parts)
    embeddings = ALS(factors=4).fit(train)
    found, wanted = np.zeros(train.shape[1]), np.zeros(train.shape[1])
    for user in evaluation.user_idx.tolist():
        scores = embeddings.items @ embeddings.users[user]
        scores[train[[user]].indices] = -np.inf
        best = set(np.lexsort((np.arange(len(scores)), -scores))[:10].tolist())
        for item in test[[user]].indices.tolist():
            wanted[item] += 1
            found[item] += item in best
    np.testing.assert_array_equal(evaluation.items.n_relevant, wanted)
    np.testing.assert_array_equal(evaluation.items.n_found, found)


def test_slices_of_items_make_up_the_whole(evaluation, popularity) -> None:
    items = evaluation.items
    labels = np.arange(evaluation.n_items) % 4
    for found in (
        item_slices(evaluation, labels, popularity),
        by_item_popularity(evaluation, 3, popularity),
    ):
        assert sum(one.n for one in found) == items.n_relevant.sum()
        assert sum(one.n * one.value for one in found) == pytest.approx(items.n_found.sum())
        more = items.n_found.sum() - popularity.items.n_found.sum()
        assert sum(one.n * one.difference for one in found) == pytest.approx(more)
    first, *_, last = by_item_popularity(evaluation, 3)
    assert int(first.group.split()[0]) < int(last.group.split()[0])


def test_where_the_baseline_is_better_is_said(evaluation, popularity) -> None:
    labels = np.array(["all"] * evaluation.n_users)
    (own,) = slices(evaluation, labels, "ndcg@10", popularity)
    (theirs,) = slices(popularity, labels, "ndcg@10", evaluation)
    assert not own.loses
    assert theirs.loses
    assert own.difference == pytest.approx(own.value - theirs.value)
    assert theirs.difference == pytest.approx(-own.difference)
    assert not slices(evaluation, labels, "ndcg@10", evaluation)[0].loses
    (items,) = item_slices(popularity, ["all"] * evaluation.n_items, evaluation)
    assert items.loses


def test_a_version_keeps_groups_and_where_popularity_is_better(evaluation, popularity) -> None:
    kept = summaries_of({"als": evaluation, "popularity": popularity})
    read = EvaluationSummary.from_dict(kept["als"])
    metric = f"ndcg@{evaluation.k}"
    expected = by_activity(evaluation, metric, baseline=popularity)
    own = [one for one in read.groups if one.metric == metric]
    assert [(one.group, one.n, one.value, one.interval, one.loses) for one in own] == [
        (one.group, one.n, one.value, one.interval, one.loses) for one in expected
    ]
    assert sum(one.n for one in own) == evaluation.n_users
    assert len(read.groups) == len(own) + len(by_item_popularity(evaluation))
    assert EvaluationSummary.from_dict(read.to_dict()) == read
    assert not any(one["loses"] for one in kept["popularity"]["groups"])


def test_the_interval_of_a_ratio_holds_the_truth_as_often_as_it_says() -> None:
    """Items of unlike weight whose pairs are found with the same chance."""
    rng, n_held = np.random.default_rng(3), 0
    for _ in range(400):
        wanted = rng.geometric(0.1, size=200)
        chance = rng.beta(2, 3, size=200)  # of each item, the mean is .4
        found = rng.binomial(wanted, chance)
        _, (low, high) = interval_of_ratio(found, wanted)
        n_held += low <= 0.4 <= high
    assert 0.92 < n_held / 400 < 0.98


def test_an_item_counts_in_each_of_its_groups(evaluation, popularity) -> None:
    """Each group is as if it were divided from the rest alone."""
    labels = [["a", "b"] if row % 2 else ["b"] for row in range(evaluation.n_items)]
    a, b = item_slices(evaluation, labels, popularity)
    alone = item_slices(evaluation, ["a" if "a" in own else "not" for own in labels], popularity)
    assert a == alone[0]
    assert (b.group, b.n) == ("b", evaluation.items.n_relevant.sum())
    with pytest.raises(DataError, match="a label for each of 40 items, got 39"):
        item_slices(evaluation, labels[1:])


@pytest.mark.parametrize(
    ("values", "groups", "separator"),
    [
        (["A|B", "B", "A", "C|A"], [["A", "B"], ["B"], ["A"], ["C", "A"]], "|"),
        (["A; B", "B;C", "C;A;", "C", ""], [["A", "B"], ["B", "C"], ["C", "A"], ["C"], ["?"]], ";"),
        (["A, B", "B, A", "A"], [["A", "B"], ["B", "A"], ["A"]], ","),
        (["Beer, wine", "Bread"], [["Beer, wine"], ["Bread"]], ""),  # a name, not a list
        ([["A", "B"], [], None, ["B", "B", None]], [["A", "B"], ["?"], ["?"], ["B"]], ""),
        ([1, 2.5, True], [["1"], ["2.5"], ["True"]], ""),
    ],
)
def test_groups_are_lists_and_what_a_separator_divides(values, groups, separator) -> None:
    expected = [["unknown" if one == "?" else one for one in own] for own in groups]
    assert groups_of(values) == (expected, separator)
