"""ALS with features: its rows against dense normal equations, what it says of unknown rows."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.features import Features, KnownItems, feature_map, vectors_of_features
from recsys.models import ALS
from recsys.models.protocol import popularity_of
from recsys.vectors import Embeddings

N_USERS, N_ITEMS, N_FEATURES = 60, 45, 7
MODEL = ALS(
    factors=6,
    regularization=2.0,
    unobserved_weight=0.2,
    feature_share=0.7,
    feature_ridge=2.0,
    iterations=150,
)


def _world() -> tuple[sp.csr_array, Features]:
    rng = np.random.default_rng(3)
    of_items = rng.random((N_ITEMS, N_FEATURES)) * (rng.random((N_ITEMS, N_FEATURES)) < 0.5)
    of_users = rng.random((N_USERS, 3))
    taste = of_users @ rng.normal(size=(3, N_FEATURES)) @ of_items.T
    matrix = (taste > np.quantile(taste, 0.8)) * (1 + rng.random((N_USERS, N_ITEMS)))
    matrix[:, -4:] = matrix[-3:] = 0  # items and users without interactions
    made = Features(sp.csr_array(of_items), sp.csr_array(of_users))
    return sp.csr_array(matrix.astype(np.float32)), made


@pytest.fixture(scope="module")
def world() -> tuple[sp.csr_array, Features, Embeddings]:
    matrix, features = _world()
    return matrix, features, MODEL.fit(matrix, features=features)


def _solved(weights: np.ndarray, features: sp.csr_array, W: np.ndarray, fixed: np.ndarray):
    """Return the rows of one side in float64, each by dense normal equations."""
    F, r = features.toarray().astype(np.float64), MODEL.regularization * weights.sum(1) ** 0.5
    has, rows = r > 0, F @ W
    gram = MODEL.unobserved_weight * fixed.T @ fixed
    for row in np.flatnonzero(has):
        system = gram + fixed.T @ (weights[row][:, None] * fixed) + r[row] * np.eye(len(gram))
        right = fixed.T @ weights[row] + MODEL.feature_share * r[row] * (F[row] @ W)
        rows[row] = np.linalg.solve(system, right)
    return rows


def _map(rows: np.ndarray, features: sp.csr_array, r: np.ndarray) -> np.ndarray:
    """Return the ridge regression of rows on their features, weighted by r."""
    F = features.toarray().astype(np.float64)
    left = F.T @ (r[:, None] * F) + MODEL.feature_ridge * r[r > 0].mean() * np.eye(F.shape[1])
    return np.linalg.solve(left, F.T @ (r[:, None] * rows))


def test_it_finds_what_dense_normal_equations_find(world) -> None:
    matrix, features, found = world
    weights = matrix.toarray().astype(np.float64) / matrix.data.mean()
    known = found.items[weights.any(axis=0)].astype(np.float64)
    users = _solved(weights[:, weights.any(axis=0)], features.users, found.user_map, known)
    np.testing.assert_allclose(found.users, users, atol=1e-4)  # the last solve is exact
    r = weights.sum(axis=0) ** 0.5
    of_epochs = _map(found.items, features.items, r)
    items = _solved(weights.T, features.items, of_epochs, found.users * 1.0)
    np.testing.assert_allclose(found.items[r > 0], items[r > 0], atol=0.01)  # where epochs end
    alike = _map(found.items, features.items, (r > 0) * 1.0)
    np.testing.assert_allclose(found.item_map, alike, atol=1e-4)


def test_rows_without_interactions_are_what_their_features_say(world) -> None:
    matrix, features, found = world
    assert features.items is not None
    assert found.item_map is not None
    known = KnownItems.of(features.items, found.items, popularity_of(matrix), found.item_map)
    said = known.vectors(features.items)
    np.testing.assert_allclose(found.items[-4:], said[-4:], atol=1e-6)
    assert np.abs(found.items[-4:]).max() > 0.01
    assert np.abs(found.users[-3:]).max() > 0.01


def test_a_fold_in_with_its_prior_is_the_row_of_the_fit(world) -> None:
    matrix, features, found = world
    assert features.users is not None
    assert found.user_map is not None
    unit = float(matrix.data.mean())
    embed = MODEL.fold_in(found.items, popularity_of(matrix), unit)
    priors = vectors_of_features(features.users, found.user_map)
    np.testing.assert_allclose(embed(matrix, priors), found.users, atol=2e-4)
    assert not np.allclose(embed(matrix), found.users, atol=2e-3)


def test_the_loss_falls_and_threads_do_not_count(world) -> None:
    matrix, features, found = world
    losses: list[float] = []
    again = MODEL.fit(
        matrix, features=features, on_epoch=lambda one: losses.append(one.loss), n_threads=3
    )
    np.testing.assert_array_equal(found.items, again.items)
    np.testing.assert_array_equal(found.item_map, again.item_map)
    assert (np.diff(losses[3:]) < 1e-3 * losses[0]).all()


def test_both_systems_of_the_ridge_give_one_map() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 4)).astype(np.float32)
    weights = rng.random(30)
    weights[:5] = 0
    for width in (8, 60):  # fewer and more features than rows
        dense = rng.random((30, width)) * (rng.random((30, width)) < 0.4)
        mu = 0.7 * weights[weights > 0].mean()
        left = dense.T @ (weights[:, None] * dense) + mu * np.eye(width)
        twin = np.linalg.solve(left, dense.T @ (weights[:, None] * vectors))
        found = feature_map(sp.csr_array(dense), vectors, weights, 0.7)
        np.testing.assert_allclose(found, twin, atol=1e-5)
