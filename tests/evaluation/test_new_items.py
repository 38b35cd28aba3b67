"""Warm, cold and mixed catalogues, in worlds with a known answer."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.errors import DataError
from recsys.evaluation import Catalogues, evaluate, evaluate_new_items
from recsys.logs import Interactions
from recsys.splits import split_items, split_random
from recsys.vectors import Embeddings, Ids
from tests.worlds import tastes


@pytest.fixture(scope="module")
def split() -> tuple[Interactions, Interactions]:
    return split_items(tastes(per_user=8), share=0.3, seed=1)


def taste_of(ids: Ids) -> np.ndarray:
    """Return the taste of users and items as a direction, (n, 4)."""
    return np.eye(4, dtype=np.float32)[[int(str(id_)[1:]) % 4 for id_ in ids.tolist()]]


def new_items(test: Interactions) -> Interactions:
    assert test.split_info is not None
    assert test.split_info.new_items is not None
    return test.split_info.new_items


@pytest.fixture(scope="module")
def knowing(split) -> Embeddings:
    train, test = split
    items = np.vstack([taste_of(train.items), taste_of(new_items(test).items)])
    return Embeddings(taste_of(train.users), items)


def by_hand(scores: np.ndarray, seen: np.ndarray, wanted: np.ndarray, k: int) -> list[float]:
    """Return recall@k of the users who want something."""
    found = []
    for own, known, right in zip(scores, seen, wanted, strict=True):
        if right.any():
            ranked = sorted(np.flatnonzero(~known), key=lambda item: (-own[item], item))[:k]
            found.append(float(right[ranked].sum() / right.sum()))
    return found


def test_each_catalogue_is_what_one_would_do_by_hand(split, knowing: Embeddings) -> None:
    train, test = split
    found = evaluate_new_items(knowing, train, test, k=[3, 5])
    scores = knowing.users @ knowing.items.T
    n_warm = len(train.items)
    new = new_items(test).user_items().toarray() > 0
    seen, relevant = (part.user_items().toarray() > 0 for part in split)
    nothing = np.zeros_like(new)
    expected = {
        "warm": (scores[:, :n_warm], seen, relevant),
        "cold": (scores[:, n_warm:], nothing, new),
        "mixed": (scores, np.hstack([seen, nothing]), np.hstack([relevant, new])),
    }
    for name, evaluation in found:
        assert evaluation.per_user["recall@3"].tolist() == by_hand(*expected[name], k=3), name
    warm = evaluate(Embeddings(knowing.users, knowing.items[:n_warm]), train, test, k=[3, 5])
    assert found.warm.metrics == warm.metrics
    assert found.cold.n_items == len(new[0])
    assert found.cold.left_out.keys() <= {"users without test items"}
    assert found.cold.metrics["novelty@3"] == pytest.approx(np.log2(2 * len(train.users)))


def test_a_scorer_without_vectors_gets_the_same(split, knowing: Embeddings) -> None:
    class Scores:
        shape = knowing.shape

        def scores(self, user_idx, out=None):
            return knowing.scores(user_idx)

    by_scores, by_vectors = (evaluate_new_items(one, *split, k=5) for one in (Scores(), knowing))
    for (_, ours), (name, theirs) in zip(by_scores, by_vectors, strict=True):
        assert ours.metrics["ndcg@5"] == theirs.metrics["ndcg@5"], name


def test_users_are_drawn_and_the_rest_is_counted(split, knowing: Embeddings) -> None:
    found = evaluate_new_items(knowing, *split, k=5, most_users=10)
    assert {one.n_users for _, one in found} == {10}
    assert found.cold.left_out["users with test items, not drawn"] > 0
    assert isinstance(found, Catalogues)
    table = found.to_arrow()
    assert table["catalogue"].unique().to_pylist() == ["warm", "cold", "mixed"]
    assert found.to_dict()["cold"]["metrics"] == found.cold.metrics
    assert "cold catalogue\nmetric" in str(found)


def test_what_cannot_be_measured_is_named(split, knowing: Embeddings) -> None:
    train, test = split
    with pytest.raises(DataError, match="test part with items that train does not know, got none"):
        evaluate_new_items(knowing, *split_random(train))
    with pytest.raises(DataError, match=r"those of train and then the new ones, got \(60, 28\)"):
        evaluate_new_items(Embeddings(knowing.users, knowing.items[:28]), train, test)
    info, new = test.split_info, new_items(test)
    ids = [train.items[0], *new.items.tolist()[1:]]
    leaking = replace(test, split_info=replace(info, new_items=replace(new, items=Ids(ids))))
    with pytest.raises(DataError, match="held-out items that train does not hold, got 1 that it"):
        evaluate_new_items(knowing, train, leaking)
    strangers = replace(new, users=Ids([f"x{row}" for row in range(60)]))
    other = replace(test, split_info=replace(info, new_items=strangers))
    with pytest.raises(DataError, match="the new items over the 60 users of train"):
        evaluate_new_items(knowing, train, other)
