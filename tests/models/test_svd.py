"""SVD against dense linear algebra."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.models import SVD
from recsys.models.protocol import popularity_of
from tests.worlds import random_user_items

WORLD = random_user_items(60, 40, 0.2, seed=2)


def test_puresvd_scores_are_the_best_low_rank_approximation() -> None:
    U, S, Vt = np.linalg.svd(WORLD.toarray())
    expected = (U[:, :5] * S[:5]) @ Vt[:5]
    scores = SVD.pure(5).fit(WORLD).scores(slice(None))
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_pca_scores_are_the_mean_and_the_best_approximation_of_the_rest() -> None:
    R = WORLD.toarray()
    mean = R.mean(axis=0)
    U, S, Vt = np.linalg.svd(R - mean)
    expected = mean + (U[:, :5] * S[:5]) @ Vt[:5]
    embeddings = SVD.pca(6).fit(WORLD)  # one factor is the mean
    np.testing.assert_allclose(embeddings.scores(slice(None)), expected, atol=1e-4)
    np.testing.assert_array_equal(embeddings.users[:, -1], np.ones(60))


def dense_scores(R: np.ndarray, model: SVD) -> np.ndarray:
    """The docstring of SVD, in dense matrices."""
    D_u, D_i = (R > 0).sum(axis=1), (R > 0).sum(axis=0)
    R = np.where(R > 0, R**model.weight_exponent, 0)
    A = D_u[:, None] ** -model.user_exponent * R * D_i**-model.item_exponent
    m = A.mean(axis=0) if model.centered else np.zeros(R.shape[1])
    _, S, Vt = np.linalg.svd(A - m)
    k = model.factors - model.centered
    project = Vt[:k].T @ np.diag(S[:k] ** model.spectral_power) @ Vt[:k]
    own = D_u[:, None] ** model.user_exponent * (m + (A - m) @ project)
    return own * D_i ** (model.item_exponent + model.popularity_exponent)


@pytest.mark.parametrize(
    "model",
    [
        SVD(7),
        SVD(7, user_exponent=0.5, item_exponent=0.5, spectral_power=0.0),
        SVD(7, weight_exponent=0.0, spectral_power=0.5),
        SVD(7, weight_exponent=1.0, popularity_exponent=-0.2),
        SVD(7, centered=True),
        SVD(7, centered=True, popularity_exponent=0.1, spectral_power=1.5),
    ],
    ids=repr,
)
def test_scores_follow_the_formula(model: SVD) -> None:
    weights = WORLD.toarray()
    if model.centered:  # beside the mean, the filter of the spectrum has a unit
        weights = weights / WORLD.data.mean()
    expected = dense_scores(weights, model)
    scores = model.fit(WORLD).scores(slice(None))
    np.testing.assert_allclose(scores, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("factors", [4, 35])
def test_the_seed_does_not_choose_the_signs(factors: int) -> None:
    first, second = (SVD(factors=factors, seed=seed).fit(WORLD).items for seed in (0, 1))
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_factors_beyond_the_rank_are_zero() -> None:
    items = SVD(factors=64).fit(WORLD).items
    assert items.shape == (40, 64)
    assert np.all(items[:, 40:] == 0)


def test_factors_beyond_the_rank_of_a_world_of_few_tastes_are_zero() -> None:
    two_tastes = sp.csr_array(np.kron(np.eye(2), np.ones((20, 15))).astype(np.float32))
    items = SVD(factors=10).fit(two_tastes).items
    assert np.all(items[:, 2:] == 0)
    assert np.all(np.abs(items[:, :2]).sum(axis=1) > 0)


@pytest.mark.parametrize("model", [SVD(6), SVD.pca(6)], ids=repr)
def test_folding_in_an_unseen_history_follows_the_formula(model: SVD) -> None:
    embeddings = model.fit(WORLD)
    fold_in = model.fold_in(embeddings.items, popularity_of(WORLD))
    history = np.zeros((2, 40), dtype=np.float32)
    history[0, [1, 7, 30]] = [1, 4, 2]
    users = fold_in(sp.csr_array(history))
    # A user is a sum over items, and a constant where there is a mean.
    parts = fold_in(sp.csr_array(np.diag(history[0])))[[1, 7, 30]].sum(axis=0)
    spectral = slice(None, -1) if model.centered else slice(None)
    np.testing.assert_allclose(users[0, spectral], parts[spectral], rtol=1e-5)
    assert np.all(users[1] == 0)


def test_one_factor_of_pca_is_popularity() -> None:
    embeddings = SVD.pca(1).fit(WORLD)
    np.testing.assert_allclose(embeddings.scores(np.array([3]))[0], WORLD.mean(axis=0), rtol=1e-5)


def test_pure_and_pca_are_settings() -> None:
    assert SVD.pca(9, seed=4) == SVD(
        9,
        user_exponent=0,
        item_exponent=0,
        spectral_power=0,
        weight_exponent=1,
        centered=True,
        seed=4,
    )
    assert SVD.pure(9, spectral_power=1.0).spectral_power == 1.0
