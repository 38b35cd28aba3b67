"""Users that training did not see, in worlds with a known answer."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.errors import DataError
from recsys.evaluation import evaluate, evaluate_held_out, evaluate_new_users
from recsys.logs import Interactions
from recsys.models import ALS, SVD, Popularity
from recsys.models.protocol import mean_weight_of, popularity_of
from recsys.splits import HeldOutUsers, split_by_time, split_random, split_users
from recsys.vectors import Embeddings, Ids
from tests.splits.test_splitters import log_of
from tests.worlds import as_interactions, tastes


def two_tastes(n_users: int = 60, n_items: int = 20) -> Interactions:
    """Every user has all the items of one of two tastes."""
    liked = np.arange(n_users)[:, None] % 2 == np.arange(n_items)[None, :] % 2
    return as_interactions(sp.csr_array(liked.astype(np.float32)))


# --- held out, and folded in ------------------------------------------------------------------


def test_a_taste_that_history_tells_is_ranked_without_fault() -> None:
    held_out = split_users(two_tastes(), user_fraction=0.3, test_fraction=0.4, seed=1)
    found = evaluate_held_out(ALS(factors=2), held_out, k=4)
    assert found.n_users == 18
    assert found.metrics["ndcg@4"] == found.metrics["recall@4"] == 1
    assert found.n_seen.tolist() == [6] * 18


def test_popularity_gets_what_popularity_must() -> None:
    """All items are as popular but for item 0, and of equals the first come first."""
    held_out = split_users(two_tastes(), user_fraction=0.3, test_fraction=0.4, seed=1)
    found = evaluate_held_out(Popularity(), held_out, k=10)
    n_owners = np.bincount(held_out.train.item_idx)
    history, test = (part.user_items().toarray() > 0 for part in held_out[1:])
    expected = []
    for known, wanted in zip(history, test, strict=True):
        ranked = sorted(np.flatnonzero(~known), key=lambda item: (-n_owners[item], item))[:10]
        expected.append(wanted[ranked].sum() / wanted.sum())
    assert found.per_user["recall@10"].tolist() == expected


@pytest.mark.parametrize("model", [ALS(factors=4), SVD(factors=4), Popularity()])
def test_it_is_what_one_would_do_by_hand(model) -> None:
    held_out = split_users(tastes(n_users=120, per_user=8), user_fraction=0.3, seed=2)
    train, history, test = held_out
    user_items = train.user_items()
    items = model.fit(user_items).items
    embed = model.fold_in(items, popularity_of(user_items), mean_weight_of(user_items))
    users = embed(history.user_items())
    by_hand = evaluate(Embeddings(users, items), history, test, k=[5, 10])
    found = evaluate_held_out(model, held_out, k=[5, 10])
    for metric in ("ndcg@5", "recall@10", "coverage@10"):
        assert found.metrics[metric] == by_hand.metrics[metric]
    assert found.user_idx.tolist() == by_hand.user_idx.tolist()


def test_novelty_is_told_by_the_users_of_train() -> None:
    held_out = split_users(two_tastes(), user_fraction=0.3, test_fraction=0.4, seed=1)
    share = np.bincount(held_out.train.item_idx) / len(held_out.train.users)
    found = evaluate_held_out(Popularity(), held_out, k=1)
    assert found.metrics["novelty@1"] == pytest.approx(-np.log2(share.max()), abs=1e-6)


def test_a_held_out_user_of_train_is_refused() -> None:
    train, history, test = split_users(tastes())
    ids = [train.users[0], *history.users.tolist()[1:]]
    known = [replace(part, users=Ids(ids)) for part in (history, test)]
    with pytest.raises(DataError, match="that train does not hold, got 1 that it does, such as 'u"):
        evaluate_held_out(Popularity(), HeldOutUsers(train, *known))


def test_parts_of_different_splits_are_refused() -> None:
    train, history, test = split_users(tastes())
    other = replace(train, items=Ids([f"other{row}" for row in range(len(train.items))]))
    with pytest.raises(DataError, match="over the 40 items of train"):
        evaluate_held_out(Popularity(), HeldOutUsers(other, history, test))
    known = replace(history, split_info=test.split_info)
    with pytest.raises(DataError, match="no pair in both train and test"):
        evaluate_held_out(Popularity(), HeldOutUsers(train, history, known))


# --- new to the log ---------------------------------------------------------------------------


def shop() -> Interactions:
    """x is the favourite, y was one long ago; c and d come later, with an item nobody had."""
    day = 86_400
    return log_of(
        ("a", "y", 0), ("b", "y", 0), ("f", "y", 0), ("a", "x", 99 * day), ("b", "x", 99 * day),
        ("a", "z", 99 * day),
        ("c", "x", 100 * day), ("c", "new", 101 * day), ("d", "y", 102 * day),
        ("e", "new", 102 * day), ("b", "z", 103 * day),
    )  # fmt: skip


def test_new_users_get_the_popular_list_and_are_counted() -> None:
    train, test = split_by_time(shop(), at=100 * 86_400)
    returning = evaluate(Popularity().fit(train.user_items()), train, test, k=1)
    assert returning.n_users == 1
    assert returning.left_out == {
        "test events: user not in train": 4,
        "test users not in train": 3,
        "test items not in train": 1,
        "users without test items": 2,
    }
    assert test.split_info is not None
    assert test.split_info.new_users is not None
    new = evaluate_new_users(train, test, k=1)
    assert test.split_info.new_users.users.tolist(new.user_idx) == ["c", "d"]
    assert new.per_user["recall@1"].tolist() == [1, 0]  # x, which is the favourite of late
    assert new.left_out == {"test events: item not in train": 2}
    assert new.n_seen.tolist() == [0, 0]
    old_favourites = evaluate_new_users(train, test, k=1, popular_half_life_days=10**6)
    assert old_favourites.per_user["recall@1"].tolist() == [0, 1]


def test_without_time_all_users_count_alike() -> None:
    train, test = split_by_time(shop(), at=100 * 86_400)
    assert test.split_info is not None
    untimed = replace(train, timestamp=None)
    assert evaluate_new_users(untimed, test, k=1).per_user["recall@1"].tolist() == [0, 1]


def test_where_nobody_is_new_there_is_nothing_to_tell() -> None:
    train, test = split_random(tastes())
    with pytest.raises(DataError, match="with users that train does not know, got none"):
        evaluate_new_users(train, test)


def test_new_users_of_another_split_are_refused() -> None:
    train, test = split_by_time(shop(), at=100 * 86_400)
    with pytest.raises(DataError, match="over the 4 items of train"):
        evaluate_new_users(shop(), test)
    with pytest.raises(DataError, match="held-out users that train does not hold, got 1"):
        evaluate_new_users(replace(train, users=Ids(["a", "c", "b"])), test)
