import json
from collections.abc import Iterator

import numpy as np
import pytest

from recsys.errors import DataError
from recsys.evaluation import evaluate, evaluate_folds
from recsys.logs import Interactions
from recsys.models import ALS, Popularity
from recsys.splits import split_folds, split_last
from tests.worlds import as_interactions, tastes


def test_mean_and_deviation_are_those_of_the_folds() -> None:
    log = tastes(per_user=8)
    found = evaluate_folds(ALS(factors=4), split_folds(log, 4, seed=1), k=[5, 10])
    by_hand = [
        evaluate(ALS(factors=4).fit(train.user_items()), train, test, k=10).metrics["ndcg@10"]
        for train, test in split_folds(log, 4, seed=1)
    ]
    assert found.values("ndcg@10").tolist() == by_hand
    assert found.means["ndcg@10"] == pytest.approx(np.mean(by_hand))
    squares = sum((value - np.mean(by_hand)) ** 2 for value in by_hand)
    assert found.deviations["ndcg@10"] == pytest.approx((squares / 3) ** 0.5)
    assert set(found.means) == set(found.deviations) == set(found.evaluations[0].metrics)


def test_folds_of_a_world_that_is_all_known_are_all_alike() -> None:
    """Two tastes and everybody has everything of one: what is held out is what is missing."""
    liked = np.arange(40)[:, None] % 2 == np.arange(20)[None, :] % 2
    log = as_interactions(liked.astype(np.float32))  # type: ignore[arg-type]
    found = evaluate_folds(ALS(factors=2), split_folds(log, 5), k=5)
    assert found.means["ndcg@5"] == 1
    assert found.deviations["ndcg@5"] == 0


def test_a_fold_is_let_go_before_the_next_is_made() -> None:
    made = []

    def folds() -> Iterator[tuple[Interactions, Interactions]]:
        for fold in split_folds(tastes(), 3):
            made.append(fold)
            assert len(made) == 1
            yield made.pop()

    assert len(evaluate_folds(Popularity(), folds()).evaluations) == 3


def test_text_and_json_say_both() -> None:
    found = evaluate_folds(Popularity(), split_folds(tastes(), 3), k=5)
    mean, deviation = found.means["recall@5"], found.deviations["recall@5"]
    assert "deviation over 3 folds" in str(found)
    assert f"{mean:6.4f}   {deviation:6.4f}" in str(found)
    content = json.loads(json.dumps(found.to_dict()))
    assert content["means"]["recall@5"] == mean
    assert [one["k"] for one in content["folds"]] == [5, 5, 5]


def test_one_fold_or_an_unknown_metric_is_refused() -> None:
    with pytest.raises(DataError, match="two folds or more, got 1"):
        evaluate_folds(Popularity(), [split_last(tastes())])
    found = evaluate_folds(Popularity(), split_folds(tastes(), 2), k=5)
    with pytest.raises(DataError, match="expected one of recall@5, .*got 'recall@20'"):
        found.values("recall@20")
