"""Intervals by bootstrap, against SciPy and against worlds whose mean is known."""

import numpy as np
import pytest
from scipy import stats

from recsys.evaluation import intervals
from recsys.evaluation.intervals import bootstrap_intervals, count_draws, intervals_of


def test_bootstrap_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).exponential(1.0, (200, 2))
    ours = bootstrap_intervals(values, n_resamples=5000)
    for column in range(2):
        theirs = stats.bootstrap(
            (values[:, column],), np.mean, n_resamples=5000, method="percentile", rng=1
        ).confidence_interval
        np.testing.assert_allclose(ours[column], [theirs.low, theirs.high], atol=0.025)


def test_bootstrap_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    intervals = [
        bootstrap_intervals(rng.exponential(1.0, (100, 1)), n_resamples=500, seed=seed)[0]
        for seed in range(300)
    ]
    share = np.mean([low <= 1.0 <= high for low, high in intervals])
    assert 0.89 < share < 0.98


def test_draws_are_even() -> None:
    counts = np.empty((400, 1000))
    count_draws(np.arange(400), counts)
    assert (counts.sum(axis=1) == 1000).all()
    by_unit = counts.sum(axis=0)  # 400 each, give or take 20
    assert stats.chisquare(by_unit).pvalue > 0.001
    assert counts.var() == pytest.approx(1, rel=0.02)  # as of a Poisson distribution
    assert len(np.unique(counts, axis=0)) == 400


def test_the_same_seed_gives_the_same_answer() -> None:
    values = np.random.default_rng(6).random((300, 2))
    assert (bootstrap_intervals(values, seed=7) == bootstrap_intervals(values, seed=7)).all()
    assert (bootstrap_intervals(values, seed=7) != bootstrap_intervals(values, seed=8)).any()


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((200, 2))
    expected = bootstrap_intervals(values, n_resamples=100)
    monkeypatch.setattr(intervals, "_BLOCK_BYTES", 1)
    np.testing.assert_allclose(bootstrap_intervals(values, n_resamples=100), expected, rtol=1e-12)


def test_groups_of_users_vary_as_users_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten users or eleven in a group: a mean and a width as if each were drawn by himself."""
    values = np.random.default_rng(1).exponential(1.0, (5250, 1))
    low, high = bootstrap_intervals(values, n_resamples=5000)[0]
    monkeypatch.setattr(intervals, "MAX_UNITS", 500)
    grouped_low, grouped_high = bootstrap_intervals(values, n_resamples=5000)[0]
    assert grouped_high - grouped_low == pytest.approx(high - low, rel=0.1)
    assert grouped_high + grouped_low == pytest.approx(high + low, rel=0.01)


def test_a_metric_has_the_interval_it_has_alone() -> None:
    rng = np.random.default_rng(2)
    per_user = {"ndcg@20": rng.random(50), "novelty@20": rng.random(50) * 9}
    together = intervals_of(per_user)
    for name, values in per_user.items():
        assert together[name] == pytest.approx(intervals_of({name: values})[name], rel=1e-12)
        low, high = together[name]
        assert low < values.mean() < high


def test_intervals_stay_within_what_a_metric_can_be() -> None:
    low, high = intervals_of({"recall@5": np.array([0.0, 0.0, 1.0])})["recall@5"]
    assert (low, high) == (0, 1)
    assert intervals_of({"auc": np.array([0.5])}) == {"auc": (0, 1)}
    assert intervals_of({"novelty@5": np.array([0.5])}) == {"novelty@5": (-np.inf, np.inf)}
    assert intervals_of({}) == {}
