"""SVD against dense linear algebra."""

import numpy as np
import pytest

from recsys.models import SVD
from tests.worlds import random_user_items

WORLD = random_user_items(60, 40, 0.2, seed=2)


def test_puresvd_scores_are_the_best_low_rank_approximation() -> None:
    U, S, Vt = np.linalg.svd(WORLD.toarray())
    expected = (U[:, :5] * S[:5]) @ Vt[:5]
    scores = SVD(factors=5, user_exponent=0, item_exponent=0).fit(WORLD).scores(slice(None))
    np.testing.assert_allclose(scores, expected, atol=1e-4)


def test_normalized_scores_follow_the_formula() -> None:
    R = WORLD.toarray()
    D_u, D_i = (R > 0).sum(axis=1), (R > 0).sum(axis=0)
    _, S, Vt = np.linalg.svd(D_u[:, None] ** -0.5 * R * D_i**-0.5)
    V, S = Vt[:7].T, S[:7]
    expected = (R * D_i**-0.5) @ V @ np.diag(S**0.5) @ V.T * D_i**0.5
    scores = SVD(factors=7, spectral_power=0.5).fit(WORLD).scores(slice(None))
    np.testing.assert_allclose(scores, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("factors", [4, 35])  # found by ARPACK, found densely
def test_the_seed_does_not_choose_the_signs(factors: int) -> None:
    first, second = (SVD(factors=factors, seed=seed).fit(WORLD).items for seed in (0, 1))
    np.testing.assert_allclose(first, second, atol=1e-3)


def test_factors_beyond_the_rank_are_zero() -> None:
    items = SVD(factors=64).fit(WORLD).items
    assert items.shape == (40, 64)
    assert np.all(items[:, 40:] == 0)
