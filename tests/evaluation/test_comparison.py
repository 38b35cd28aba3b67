"""Paired comparisons, against SciPy and against worlds in which nothing or something differs."""

import numpy as np
import pytest
from scipy import stats

from recsys.errors import DataError
from recsys.evaluation import ComparedModel, Evaluation, evaluate
from recsys.evaluation.comparison import (
    compare,
    holm,
    mean_over_seeds,
    permutation_p_values,
)
from recsys.evaluation.result import ItemCounts
from recsys.models import ALS
from recsys.splits import split_random
from tests.worlds import tastes


def evaluation_of(values, user_idx=None) -> Evaluation:
    values = np.asarray(values, dtype=np.float64)
    users = np.arange(len(values)) if user_idx is None else np.asarray(user_idx)
    return Evaluation(
        metrics={"ndcg@20": float(values.mean())},
        k=20,
        n_users=len(values),
        n_items=100,
        left_out={},
        per_user={"ndcg@20": values},
        user_idx=users.astype(np.int32),
        n_seen=np.ones(len(values), dtype=np.int32),
        items=ItemCounts(*np.zeros((3, 1), dtype=np.int64)),
    )


def test_permutation_is_that_of_scipy() -> None:
    rng = np.random.default_rng(2)
    differences = np.column_stack([rng.normal(shift, 1, 60) for shift in (0, 0.2, 0.4)])
    ours = permutation_p_values(differences, n_resamples=20_000)
    for column in range(3):
        theirs = stats.permutation_test(
            (differences[:, column],), np.mean, permutation_type="samples",
            vectorized=True, n_resamples=20_000, rng=3,
        )  # fmt: skip
        assert ours[column] == pytest.approx(theirs.pvalue, abs=0.02)


def test_few_users_are_all_permutations() -> None:
    """Three equal differences: of eight sign patterns two are as far from zero."""
    p_value = permutation_p_values(np.ones((3, 1)), n_resamples=40_000)[0]
    assert p_value == pytest.approx(0.25, abs=0.01)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(4)
    differences = rng.standard_normal((50, 400))
    p_values = permutation_p_values(differences, n_resamples=1000)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.6, 0.7])), [1, 1])
    assert len(holm(np.empty(0))) == 0


def test_a_comparison_says_who_is_better_for_whom() -> None:
    rng = np.random.default_rng(5)
    base = rng.random(400)
    better = np.minimum(base + (rng.random(400) < 0.3) * 0.2, 1.0)
    found = compare(
        {"a": evaluation_of(base), "b": evaluation_of(better), "c": evaluation_of(base)},
        baseline="a",
        metric="ndcg@20",
    )
    assert [one.model for one in found] == ["b", "c"]
    b, c = found
    assert b.difference == pytest.approx(float((better - base).mean()))
    assert b.interval[0] < b.difference < b.interval[1]
    assert b.interval[0] > 0
    assert b.p_value < 0.001
    assert b.better == pytest.approx(float((better > base).mean()))
    assert (b.worse, c.better, c.worse, c.difference, c.p_value) == (0, 0, 0, 0, 1)


def test_the_same_seed_gives_the_same_answer() -> None:
    values = np.random.default_rng(6).random((300, 2))
    assert (permutation_p_values(values, seed=7) == permutation_p_values(values, seed=7)).all()


@pytest.mark.parametrize(
    ("baseline", "metric", "message"),
    [
        ("z", "ndcg@20", "expected one of a, b, got 'z'"),
        ("a", "ndcg@5", "expected one of ndcg@20, got 'ndcg@5'"),
        ("a", "ndcg@20", "b: expected evaluations of the same users, got others"),
    ],
)
def test_what_cannot_be_compared_is_named(baseline: str, metric: str, message: str) -> None:
    evaluations = {"a": evaluation_of([0.1, 0.2]), "b": evaluation_of([0.1, 0.2], [0, 2])}
    with pytest.raises(DataError, match=message):
        compare(evaluations, baseline, metric)


def evaluations(n: int, split_seed: int = 0):
    train, test = split_random(tastes(per_user=8), test_fraction=0.3, seed=split_seed)
    models = [ALS(factors=2, iterations=1, seed=seed) for seed in range(n)]
    return [evaluate(one.fit(train.user_items()), train, test, k=5) for one in models]


def test_the_mean_is_user_by_user() -> None:
    found = evaluations(3)
    mean = mean_over_seeds(found)
    for name, values in mean.per_user.items():
        assert values == pytest.approx(sum(one.per_user[name] for one in found) / 3)
        assert mean.metrics[name] == pytest.approx(values.mean())
        low, high = mean.intervals[name]
        assert low <= mean.metrics[name] <= high
    assert mean.metrics["coverage@5"] == pytest.approx(
        np.mean([one.metrics["coverage@5"] for one in found])
    )


def test_the_spread_over_seeds_is_apart_from_that_over_users() -> None:
    found = evaluations(3)
    entry = ComparedModel(found, seconds=1.0, n_bytes=1)
    values = [one.metrics["ndcg@5"] for one in found]
    assert entry.spread("ndcg@5") == pytest.approx(np.std(values, ddof=1))
    assert ComparedModel(found[:1], 1.0, 1).spread("ndcg@5") is None
    assert ComparedModel(found[:1] * 3, 1.0, 1).spread("ndcg@5") == 0


def test_other_users_are_refused() -> None:
    one, other = evaluations(1)[0], evaluations(1, split_seed=0)[0]
    other = type(other)(**{**vars(other), "user_idx": other.user_idx[::-1]})
    with pytest.raises(DataError, match="expected evaluations of the same users"):
        mean_over_seeds([one, other])
