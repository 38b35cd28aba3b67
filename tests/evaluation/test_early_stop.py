from recsys.evaluation import evaluate
from recsys.evaluation.early_stop import EarlyStop
from recsys.logs import SplitSettings, split_parts
from recsys.logs.interactions import Interactions
from recsys.models import ALS
from tests.worlds import tastes


def to_choose_on(log: Interactions) -> tuple[Interactions, Interactions]:
    parts = split_parts(log, SplitSettings("random", seed=1))
    return parts.train, parts.validation


def test_it_stops_after_patience_and_keeps_the_best() -> None:
    watch = EarlyStop(*to_choose_on(tastes(per_user=8)), k=5, patience=3)
    ALS(factors=4, regularization=0.1, iterations=60).fit(watch.train.user_items(), on_epoch=watch)
    assert len(watch.history) < 60
    assert len(watch.history) == watch.best_epoch + 3
    assert watch.best is not None
    best = evaluate(watch.best, watch.train, watch.validation, 5).metrics["ndcg@5"]
    assert best == max(watch.history)


def test_patience_is_counted_from_the_first_best() -> None:
    watch = EarlyStop(*to_choose_on(tastes()), patience=1)
    watch.history = [0.1, 0.3, 0.3]
    assert watch.best_epoch == 2
