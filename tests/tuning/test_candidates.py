"""The older methods that models are compared with."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.evaluation import evaluate
from recsys.models import Popularity
from recsys.splits import split_random
from recsys.tuning.candidates import BASELINES, ItemToItem
from tests.worlds import tastes


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_finds_tastes(name: str) -> None:
    train, test = split_random(tastes(), test_fraction=0.2, seed=0)
    user_items = train.user_items()
    found = evaluate(BASELINES[name]().fit(user_items), train, test, k=10).metrics["ndcg@10"]
    popular = evaluate(Popularity().fit(user_items), train, test, k=10).metrics["ndcg@10"]
    assert found > popular


@pytest.mark.parametrize("make", [sp.csr_array, np.asarray])
def test_scores_are_sums_over_the_history(make) -> None:
    rng = np.random.default_rng(0)
    user_items = sp.random_array((5, 7), density=0.4, rng=rng, format="csr", dtype=np.float32)
    weights = rng.random((7, 7)).astype(np.float32)
    scorer = ItemToItem(user_items, make(weights))
    expected = user_items.toarray() @ weights
    out = np.empty((3, 7), dtype=np.float32)
    np.testing.assert_allclose(
        scorer.scores(np.array([4, 0, 2]), out=out), expected[[4, 0, 2]], rtol=1e-6
    )
    np.testing.assert_allclose(scorer.scores(slice(None)), expected, rtol=1e-6)
    assert scorer.shape == (5, 7)
    assert scorer.n_bytes >= weights.nbytes
