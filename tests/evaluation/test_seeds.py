"""Several starts of one model as one result, and what a fit costs."""

import sys

import numpy as np
import pytest

from recsys.base.process import peak_memory
from recsys.errors import DataError
from recsys.evaluation import Entry, evaluate
from recsys.evaluation.comparison import mean_over_seeds
from recsys.models import ALS
from recsys.splits import split_random
from tests.worlds import tastes


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
    entry = Entry(found, seconds=1.0, n_bytes=1)
    values = [one.metrics["ndcg@5"] for one in found]
    assert entry.spread("ndcg@5") == pytest.approx(np.std(values, ddof=1))
    assert Entry(found[:1], 1.0, 1).spread("ndcg@5") is None
    assert Entry(found[:1] * 3, 1.0, 1).spread("ndcg@5") == 0


def test_other_users_are_refused() -> None:
    one, other = evaluations(1)[0], evaluations(1, split_seed=0)[0]
    other = type(other)(**{**vars(other), "user_idx": other.user_idx[::-1]})
    with pytest.raises(DataError, match="expected evaluations of the same users"):
        mean_over_seeds([one, other])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_peak_of_memory_is_of_the_block_alone() -> None:
    large = np.ones(64 * 2**20, dtype=np.uint8)
    del large
    with peak_memory() as small:
        pass
    with peak_memory() as peak:
        held = np.ones(128 * 2**20, dtype=np.uint8)
        del held
    assert small.n_bytes is not None
    assert peak.n_bytes is not None
    assert small.n_bytes < 16 * 2**20
    assert 128 * 2**20 <= peak.n_bytes + 2**20 < 160 * 2**20
