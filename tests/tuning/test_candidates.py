"""The older methods that models are compared with."""

import pytest

from recsys.evaluation import evaluate
from recsys.models import Popularity
from recsys.splits import split_random
from recsys.tuning.candidates import BASELINES
from tests.worlds import tastes


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_finds_tastes(name: str) -> None:
    train, test = split_random(tastes(), test_fraction=0.2, seed=0)
    user_items = train.user_items()
    found = evaluate(BASELINES[name]().fit(user_items), train, test, k=10).metrics["ndcg@10"]
    popular = evaluate(Popularity().fit(user_items), train, test, k=10).metrics["ndcg@10"]
    assert found > popular
