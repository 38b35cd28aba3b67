import pytest

from recsys.errors import DataError
from recsys.evaluation import evaluate
from recsys.evaluation.early_stop import EarlyStop
from recsys.logs import split_random, split_validation
from recsys.models import ALS
from tests.worlds import tastes


def test_it_stops_after_patience_and_keeps_the_best() -> None:
    parts = split_validation(split_random(tastes(per_user=9), seed=1), split_random)
    watch = EarlyStop(parts.train, parts.validation, k=5, patience=3)
    ALS(factors=4, regularization=0.1, iterations=60).fit(watch.train.user_items(), on_epoch=watch)
    assert len(watch.history) < 60
    assert len(watch.history) == watch.best_epoch + 3
    assert watch.best is not None
    best = evaluate(watch.best, watch.train, watch.validation, 5).metrics["ndcg@5"]
    assert best == max(watch.history)


def test_patience_is_counted_from_the_first_best() -> None:
    parts = split_validation(split_random(tastes(), seed=1), split_random)
    watch = EarlyStop(parts.train, parts.validation, patience=1)
    watch.history = [0.1, 0.3, 0.3]
    assert watch.best_epoch == 2


def test_a_test_part_is_nothing_to_stop_by() -> None:
    with pytest.raises(DataError, match="early stop: expected a validation part .* the test part"):
        EarlyStop(*split_random(tastes()))
