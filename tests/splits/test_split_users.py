"""Folds, and users that training never saw."""

import numpy as np
import pytest

from recsys.errors import ConfigError, DataError
from recsys.evaluation import evaluate
from recsys.logs import Interactions
from recsys.models import ALS, Popularity
from recsys.models.protocol import popularity_of
from recsys.splits import split_folds, split_users
from recsys.vectors import Embeddings
from tests.worlds import as_interactions, random_user_items, tastes


def pairs_of(log: Interactions) -> set[tuple]:
    users, items = log.users.tolist(), log.items.tolist()
    return {
        (users[u], items[i])
        for u, i in zip(log.user_idx.tolist(), log.item_idx.tolist(), strict=True)
    }


@pytest.fixture
def log() -> Interactions:
    return as_interactions(random_user_items(50, 30, 0.3, seed=1))


@pytest.mark.parametrize("n_folds", [2, 5])
def test_every_pair_is_tested_once(log: Interactions, n_folds: int) -> None:
    folds = list(split_folds(log, n_folds, seed=3))
    assert len(folds) == n_folds
    tested = [pairs_of(test) for _, test in folds]
    assert set().union(*tested) == pairs_of(log)
    assert sum(map(len, tested)) == len(pairs_of(log))
    for train, test in folds:
        assert not pairs_of(train) & pairs_of(test)
    per_user = np.diff(log.user_items().indptr)
    for train, test in folds:
        counts = np.bincount(test.user_idx, minlength=len(test.users))
        for row, user_id in enumerate(train.users.tolist()):
            n = per_user[int(str(user_id)[1:])]
            assert n // n_folds <= counts[row] <= -(-n // n_folds)


def test_the_same_seed_gives_the_same_folds(log: Interactions) -> None:
    first, again = ([pairs_of(test) for _, test in split_folds(log, 3, seed=5)] for _ in range(2))
    assert first == again
    assert first != [pairs_of(test) for _, test in split_folds(log, 3, seed=6)]


def test_one_fold_is_none(log: Interactions) -> None:
    with pytest.raises(ConfigError, match="2 folds or more, got 1"):
        next(split_folds(log, 1))


def test_held_out_users_are_not_in_train(log: Interactions) -> None:
    train, history, test = split_users(log, user_fraction=0.2, test_fraction=0.4, seed=2)
    assert len(history.users) == 10
    assert not set(train.users.tolist()) & set(history.users.tolist())
    assert history.users is test.users
    assert history.items is test.items is train.items
    assert not pairs_of(history) & pairs_of(test)
    held = {pair for pair in pairs_of(log) if pair[0] in set(history.users.tolist())}
    known = set(train.items.tolist())
    assert pairs_of(history) | pairs_of(test) == {pair for pair in held if pair[1] in known}
    assert set(np.unique(history.user_idx)) == set(range(10))


def test_items_that_train_does_not_know_are_counted() -> None:
    lonely = random_user_items(40, 200, 0.02, seed=4)
    train, history, test = split_users(as_interactions(lonely), user_fraction=0.5)
    total = len(train) + len(history) + len(test) + test.row_counts.left_out["item not in train"]
    assert total == lonely.nnz


def test_folded_in_users_get_lists_to_their_taste() -> None:
    train, history, test = split_users(tastes(), user_fraction=0.3, test_fraction=0.3, seed=1)
    user_items = train.user_items()

    def ndcg(model) -> float:
        items = model.fit(user_items).items
        users = model.fold_in(items, popularity_of(user_items))(history.user_items())
        return evaluate(Embeddings(users, items), history, test, k=10).metrics["ndcg@10"]

    assert ndcg(ALS(factors=6)) > 1.3 * ndcg(Popularity())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"user_fraction": 0.0}, ConfigError, "user_fraction between 0 and 1"),
        ({"test_fraction": 1.0}, ConfigError, "test_fraction between 0 and 1"),
        ({"user_fraction": 0.001}, DataError, "got none in history"),
    ],
)
def test_what_cannot_be_split_is_named(log, arguments, error, message: str) -> None:
    with pytest.raises(error, match=message):
        split_users(log, **arguments)
