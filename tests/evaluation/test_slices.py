"""Metrics by groups of users."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from recsys.evaluation import evaluate
from recsys.evaluation.slices import by_activity, slices
from recsys.logs import split_random
from recsys.models import ALS
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
    assert sum(one.n_users for one in found) == evaluation.n_users
    total = sum(one.mean * one.n_users for one in found) / evaluation.n_users
    assert total == pytest.approx(evaluation.metrics["ndcg@10"])
    for one in found:
        own = evaluation.per_user["ndcg@10"][labels == one.group]
        assert one.mean == pytest.approx(own.mean())
        assert one.interval[0] <= one.mean <= one.interval[1]


def test_activity_is_the_length_of_the_history(evaluation, parts) -> None:
    lengths = np.diff(parts[0].user_items().indptr)[evaluation.user_idx]
    assert (evaluation.n_seen == lengths).all()
    found = by_activity(evaluation, "recall@10", n_groups=3)
    assert sum(one.n_users for one in found) == evaluation.n_users
    bounds = [
        [int(part) for part in one.group.removesuffix(" items").split(" - ")] for one in found
    ]
    assert bounds == sorted(bounds)
    for one, bound in zip(found, bounds, strict=True):
        own = (lengths >= bound[0]) & (lengths <= bound[-1])
        assert one.n_users == own.sum()
        assert one.mean == pytest.approx(evaluation.per_user["recall@10"][own].mean())


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
