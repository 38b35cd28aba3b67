"""Items that training did not see, folded in from their users."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.models import ALS, SVD, Blend, Distilled, Item2Vec, Popularity, Softmax
from recsys.models.new_items import fold_in_items
from recsys.models.protocol import mean_weight_of, popularity_of
from recsys.vectors import Embeddings
from tests.worlds import tastes

MODELS = [
    ALS(4, regularization=0.1, iterations=5),
    SVD(4),
    SVD.pca(5),
    Blend(ALS(2, regularization=0.1, iterations=5), SVD(4)),
    Softmax(4, iterations=5),
    Item2Vec(4),
    Distilled(4, iterations=5),
]


def world() -> tuple[sp.csr_array, sp.csr_array]:
    """Return a matrix of tastes, (n_users, 40), and its first 36 columns, which training sees."""
    matrix = tastes().user_items()
    matrix.data = np.linspace(0.5, 3, matrix.nnz, dtype=np.float32)
    return matrix, sp.csr_array(matrix[:, :36])


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_new_item_is_one_for_its_users(model) -> None:
    """In the world of tastes an item is for the users whose number is the same modulo 4."""
    matrix, seen = world()
    known = model.fit(seen)
    new, summands = fold_in_items(model, known, popularity_of(seen), matrix, mean_weight_of(seen))
    assert new.shape == (4, known.factors)
    assert new.dtype == np.float32
    assert (summands is None) == (known.summands is None)
    scores = known.users @ new.T
    for item in range(4):
        users = matrix[:, [36 + item]].nonzero()[0]
        others = np.setdiff1d(np.arange(matrix.shape[0]), users)
        assert (scores[users, item][:, None] > scores[others, item]).mean() > 0.8


def test_als_solves_the_row_that_it_minimizes() -> None:
    """The slow twin: the normal equations of one item, all of them written out."""
    matrix, seen = world()
    model = ALS(
        4,
        regularization=0.3,
        unobserved_regularization=0.5,
        user_exponent=0.2,
        item_exponent=0.3,
        unobserved_exponent=0.1,
        weight_exponent=0.7,
    )
    X = model.fit(seen).users.astype(np.float64)
    mean = mean_weight_of(seen)
    new = fold_in_items(
        model,
        Embeddings(X.astype(np.float32), model.fit(seen).items),
        popularity_of(seen),
        matrix,
        mean,
    ).items
    dense = matrix.toarray().astype(np.float64) / mean
    n_u, n_i = (dense > 0).sum(1), (dense > 0).sum(0)
    scale = np.where(n_u > 0, np.maximum(n_u, 1.0) ** -0.1, 0)
    for item in range(36, 40):
        w = np.where(dense[:, item] > 0, dense[:, item] ** 0.7, 0)
        w = w * np.maximum(n_u, 1.0) ** -0.2 * n_i[item] ** -0.3
        weight = w.sum() + 0.5 * 0.1 * scale.sum()
        system = 0.1 * (X.T * scale) @ X + (X.T * w) @ X
        system += 0.3 * weight**0.5 * np.eye(4)
        expected = np.linalg.solve(system, X.T @ w)
        np.testing.assert_allclose(new[item - 36], expected, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        SVD.pure(4),
        SVD.pca(5),
        SVD(4, user_exponent=0.3, item_exponent=0.4, popularity_exponent=0.2, spectral_power=1.5),
        SVD(5, centered=True, spectral_power=0.7, popularity_exponent=-0.1),
    ],
)
def test_svd_gives_an_item_of_training_its_own_row(model) -> None:
    """Of a matrix of low rank, all of whose columns training saw: the last ones again as new."""
    matrix, _ = world()
    known = model.fit(matrix)
    users = Embeddings(known.users, known.items[:36].copy())
    new = fold_in_items(model, users, popularity_of(matrix)[:36], matrix, mean_weight_of(matrix))
    np.testing.assert_allclose(new.items, known.items[36:], rtol=1e-3, atol=1e-4)


def test_a_new_item_does_not_depend_on_the_rotation_of_the_space() -> None:
    matrix, seen = world()
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0].astype(np.float32)
    for model in (ALS(4, regularization=0.1), SVD(4), Softmax(4, iterations=3)):
        known = model.fit(seen)
        turned = Embeddings(known.users @ turn, known.items @ turn)
        given = popularity_of(seen), matrix, mean_weight_of(seen)
        new = fold_in_items(model, known, *given).items
        np.testing.assert_allclose(
            fold_in_items(model, turned, *given).items, new @ turn, rtol=1e-2, atol=1e-3
        )


def test_recency_keeps_the_scale_of_the_items() -> None:
    """The users of an SVD with recency are shorter than its items ask for."""
    matrix, _ = world()
    log = tastes()
    model = SVD(4, recency=0.5)
    known = model.fit(log)
    users = Embeddings(known.users, known.items[:36].copy())
    weights = log.user_items(0.5)
    new = fold_in_items(model, users, popularity_of(matrix)[:36], weights).items
    lengths = np.linalg.norm(new, axis=1) / np.linalg.norm(known.items[36:], axis=1)
    assert ((lengths > 0.7) & (lengths < 1.4)).all()


def test_popularity_counts_the_users() -> None:
    matrix, seen = world()
    known = Popularity().fit(seen)
    new = fold_in_items(Popularity(), known, popularity_of(seen), matrix).items
    assert new.ravel().tolist() == popularity_of(matrix)[36:].tolist()


def test_an_item_without_users_is_zero() -> None:
    matrix, seen = world()
    wider = sp.csr_array(sp.hstack([matrix, sp.csr_array((matrix.shape[0], 1))]))
    for model in MODELS:
        known = model.fit(seen)
        new = fold_in_items(model, known, popularity_of(seen), wider, mean_weight_of(seen))
        assert not new.items[-1].any(), model


@pytest.mark.parametrize("model", MODELS[4:], ids=lambda model: model.name)
def test_learned_items_are_no_nearer_to_all_users_than_known_ones(model) -> None:
    """All items of this world have about as many users, so one median is what is usual."""
    matrix, seen = world()
    known = model.fit(seen)
    new = fold_in_items(model, known, popularity_of(seen), matrix, mean_weight_of(seen)).items
    before, now = known.users @ known.items.T, known.users @ new.T
    np.testing.assert_allclose(now.mean(0), np.median(before.mean(0)), atol=1e-4)
    np.testing.assert_allclose(now.std(0), np.median(before.std(0)), rtol=0.2)


@pytest.mark.parametrize("model", [MODELS[0], MODELS[1]], ids=lambda model: model.name)
def test_attributes_count_beside_users_and_alone_without_any(model) -> None:
    matrix, seen = world()
    known = model.fit(seen)
    lonely = sp.csr_array(sp.hstack([matrix, sp.csr_array((matrix.shape[0], 1))], format="csr"))
    said = np.full((5, known.factors), 0.5, dtype=np.float32)
    said[1] = 0  # nothing is known of it
    args = (model, known, popularity_of(seen), lonely, mean_weight_of(seen))
    alone, both = (fold_in_items(*args, priors).items for priors in (None, said))
    np.testing.assert_allclose(both[4], said[4], rtol=1e-5)
    np.testing.assert_allclose(both[1], alone[1], rtol=1e-3, atol=1e-4)
    for item in (0, 2, 3):
        before, after = (np.linalg.norm(one[item] - said[item]) for one in (alone, both))
        assert after < before
