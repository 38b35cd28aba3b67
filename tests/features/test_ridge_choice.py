"""The ridge that a fit chooses: against worlds whose best one is known, and a dense twin."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.base.threads import threads
from recsys.errors import ConfigError
from recsys.features import Features, feature_map
from recsys.features.ridge import DEFAULT_RIDGE
from recsys.features.ridge_choice import RIDGES, chosen_ridge
from recsys.models import ALS, SVD
from recsys.models.protocol import popularity_of

N_ROWS, N_NEW, N_FEATURES, FACTORS = 500, 300, 300, 16


def _words(rng: np.random.Generator, n: int) -> sp.csr_array:
    word = (N_FEATURES * rng.random((n, 12)) ** 2).astype(int)
    row = np.repeat(np.arange(n), 12)
    found = sp.csr_array((np.full(len(row), 0.3), (row, word.ravel())), shape=(n, N_FEATURES))
    return sp.csr_array(found, dtype=np.float32)


@pytest.mark.parametrize("best", [1.0, 16.0])  # the noise of a row, in those of a feature
def test_it_is_near_the_best_for_rows_that_are_not_there(best: float) -> None:
    rng = np.random.default_rng(int(best))
    features = _words(rng, N_ROWS + N_NEW)
    axes = np.geomspace(1, 0.1, FACTORS)
    vectors = features @ (rng.normal(size=(N_FEATURES, FACTORS)) * axes)
    vectors += best**0.5 * rng.normal(size=vectors.shape) * axes
    vectors[:, -1] = 50 * rng.normal(size=len(vectors))  # of noise, in which no user differs
    users = rng.normal(size=(300, FACTORS)) * (np.arange(FACTORS) < FACTORS - 1)
    vectors, users = vectors.astype(np.float32), users.astype(np.float32)
    ones = np.ones(N_ROWS)
    ones[:7] = 0  # what these have says nothing
    vectors[:7] = 1e3
    known = features[:N_ROWS], vectors[:N_ROWS], ones
    found = chosen_ridge(*known, users)
    with threads(3):
        assert found == chosen_ridge(*known, users)
    assert best / 2 <= found <= best * 2

    F, of_users = features[7:N_ROWS].toarray().astype(np.float64), vectors @ users.T
    U, s, V = np.linalg.svd(F, full_matrices=False)
    share = s**2 / (s**2 + RIDGES[:, None])  # (n_ridges, n_features), of each direction
    parts = U.T @ of_users[7:N_ROWS]
    outside = np.square(of_users[7:N_ROWS]).sum() - np.square(parts).sum()
    left = np.square(1 - share) @ np.square(parts).sum(axis=1) + outside
    validated = left / (len(F) - share.sum(axis=1)) ** 2
    at = RIDGES.tolist().index(found)
    assert validated[at] < 1.01 * validated.min()

    new = features[N_ROWS:] @ (V.T / s)
    errors = [np.square(of_users[N_ROWS:] - new @ (one[:, None] * parts)).sum() for one in share]
    assert errors[at] < 1.03 * min(errors)  # of rows that no map has seen


def test_als_chooses_it_for_new_items_alone() -> None:
    rng = np.random.default_rng(0)
    features = _words(rng, 300)
    scores = rng.normal(size=(200, 8)) @ (features @ rng.normal(size=(N_FEATURES, 8))).T
    matrix = sp.csr_array((scores > np.quantile(scores, 0.9)).astype(np.float32))
    given = Features(items=features)
    model = ALS(factors=16, iterations=4, regularization=0.1)
    fixed = ALS(factors=16, iterations=4, regularization=0.1, feature_ridge=DEFAULT_RIDGE)
    found, other = (one.fit(matrix, features=given) for one in (model, fixed))
    known = (popularity_of(matrix) > 0).astype(float)
    ridge = chosen_ridge(features, found.items, known, found.users)
    assert (found.ridges, other.ridges) == ({"item": ridge}, {"item": DEFAULT_RIDGE})
    assert ridge != DEFAULT_RIDGE
    np.testing.assert_array_equal(found.users, other.users)
    np.testing.assert_array_equal(found.items[known > 0], other.items[known > 0])
    twin = feature_map(features, found.items, known, ridge)
    np.testing.assert_allclose(found.item_map, twin, atol=1e-5)
    assert not np.allclose(found.item_map, other.item_map, atol=1e-3)

    of_svd = SVD(factors=16).fit(matrix, features=given)  # other models choose after the fit
    ridge = chosen_ridge(features, of_svd.items, known, of_svd.users)
    assert of_svd.ridges == {"item": ridge}
    twin = feature_map(features, of_svd.items, known, ridge)
    np.testing.assert_allclose(of_svd.item_map, twin, atol=1e-5)


def test_nothing_to_choose_from_is_the_default() -> None:
    rng = np.random.default_rng(0)
    features, users = _words(rng, 20), rng.random((5, 4), dtype=np.float32)
    nothing = np.zeros((20, 4), dtype=np.float32)
    constant = sp.csr_array(np.ones((20, 1), dtype=np.float32))
    alike = sp.csr_array(sp.hstack([constant, features]))
    assert chosen_ridge(alike, nothing + 1, np.ones(20), users) == DEFAULT_RIDGE  # says it all
    for vectors, weights in ((nothing, 1), (nothing + np.nan, 1), (nothing + 1, 0)):
        assert chosen_ridge(features, vectors, np.full(20, weights), users) == DEFAULT_RIDGE
    with pytest.raises(ConfigError, match=r'als.feature_ridge: expected "auto" or a number above'):
        ALS(feature_ridge="large")  # type: ignore[arg-type]
