"""item2vec against its formula in dense matrices, and in worlds whose answers are known."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.models import Item2Vec
from recsys.vectors import top_k
from tests.worlds import random_user_items

WORLD = random_user_items(50, 30, 0.2, seed=4)


def dense_associations(R: np.ndarray, model: Item2Vec) -> np.ndarray:
    """The docstring of Item2Vec, in dense matrices and loops."""
    n_items = R.shape[1]
    n = np.zeros((n_items, n_items))
    for history in R > 0:
        items = np.flatnonzero(history)
        for i in items:
            for j in items[items != i]:
                n[i, j] += (len(items) - 1) ** -model.history_exponent
    n_i = n.sum(axis=1)
    T = (n_i**model.context_exponent).sum() ** 2 / n_i.sum()
    chance = np.outer(n_i, n_i) ** model.context_exponent / T
    with np.errstate(divide="ignore"):
        shifted = np.log(n / chance) - np.log(model.negatives)
    return n / (n + model.discount + 1e-300) * np.maximum(0, shifted)


def associations(model: Item2Vec, user_items: sp.csr_array, n_threads: int = 2) -> np.ndarray:
    return model.associations(user_items, n_threads).toarray()


SETTINGS = [
    Item2Vec(6),
    Item2Vec(6, negatives=2.0, context_exponent=1.0, discount=0.0),
    Item2Vec(6, history_exponent=1.0, spectral_power=1.0, popularity_exponent=0.0),
    Item2Vec(6, history_exponent=0.0, item_exponent=0.0),
]


@pytest.mark.parametrize("model", SETTINGS, ids=repr)
def test_associations_follow_the_formula(model: Item2Vec) -> None:
    expected = dense_associations(WORLD.toarray(), model)
    assert (expected > 0).sum() > 30
    np.testing.assert_allclose(associations(model, WORLD), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", SETTINGS, ids=repr)
def test_scores_follow_the_formula(model: Item2Vec) -> None:
    R = WORLD.toarray()
    D_i, D_u = (R > 0).sum(axis=0), (R > 0).sum(axis=1)
    values, V = np.linalg.eigh(dense_associations(R, model))
    values, V = values[::-1][:6].clip(min=0), V[:, ::-1][:, :6]
    items = V * values ** (model.spectral_power / 2)
    users = (R > 0) / D_u[:, None] @ (D_i[:, None] ** -model.item_exponent * items)
    expected = users @ (D_i[:, None] ** model.popularity_exponent * items).T
    scores = model.fit(WORLD).scores(slice(None))
    np.testing.assert_allclose(scores, expected, atol=1e-5 * np.abs(expected).max())


def test_weights_are_not_used() -> None:
    ones = sp.csr_array(WORLD, copy=True)
    ones.data[:] = 1
    first, second = Item2Vec(6).fit(WORLD), Item2Vec(6).fit(ones)
    np.testing.assert_array_equal(first.items, second.items)
    np.testing.assert_array_equal(first.users, second.users)


@pytest.mark.parametrize("neighbors", [1, 3])
def test_an_item_keeps_its_strongest_neighbors(neighbors: int) -> None:
    everything = associations(Item2Vec(), WORLD)
    kept = associations(Item2Vec(neighbors=neighbors), WORLD)
    floor = np.sort(everything, axis=1)[:, -neighbors]
    np.testing.assert_array_equal(kept, kept.T)
    np.testing.assert_array_equal(kept[kept > 0], everything[kept > 0])
    # Beyond its own an item has those that count it among theirs; ties may go either way.
    must = everything > floor[:, None]
    assert np.all(kept[must | must.T] > 0)
    may = everything >= floor[:, None]
    assert np.all((may | may.T)[kept > 0])


def test_items_of_one_basket_are_alike_and_of_two_are_not() -> None:
    # Baskets of four out of five kinds of ten items each.
    rng = np.random.default_rng(0)
    dense = np.zeros((300, 50), dtype=np.float32)
    for user in range(300):
        dense[user, user % 5 * 10 + rng.choice(10, 4, replace=False)] = 1
    items = Item2Vec(5).fit(sp.csr_array(dense)).items
    unit = items / np.linalg.norm(items, axis=1, keepdims=True)
    same = np.kron(np.eye(5), np.ones((10, 10))) > 0
    cosine = unit @ unit.T
    assert cosine[same].min() > 0.95
    assert cosine[~same].max() < 0.05


def test_a_substitute_is_found_that_shares_no_user() -> None:
    # Items 0 and 1 never meet, but both go with items 2 to 5; items 6 to 9 are another world.
    baskets = [[item, *rest] for item in (0, 1) for rest in ([2, 3], [3, 4], [4, 5], [2, 5])]
    dense = np.zeros((16, 10), dtype=np.float32)
    for user, basket in enumerate(baskets):
        dense[user, basket] = 1
    dense[8:, 6:] = 1
    items = Item2Vec(2).fit(sp.csr_array(dense)).items
    scores = items[[0]] @ items.T
    scores[0, 0] = -np.inf
    assert set(top_k(scores, k=5)[0][0].tolist()) == {1, 2, 3, 4, 5}


def test_the_same_bits_for_any_number_of_threads() -> None:
    world = random_user_items(3000, 2000, 0.004, seed=1)
    one, three = (associations(Item2Vec(neighbors=20), world, n_threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_no_two_items_share_a_user() -> None:
    embeddings = Item2Vec(3).fit(sp.csr_array(np.eye(4, dtype=np.float32)))
    assert not embeddings.items.any()
    assert not embeddings.users.any()
