"""ALS against its NumPy twin."""

import numpy as np
import scipy.sparse as sp

from recsys.models import ALS, als_reference
from recsys.models.matrix import popularity_of
from tests.worlds import random_user_items

WORLD = random_user_items(80, 50, 0.15, seed=1)


def test_fold_in_is_the_exact_row_solve() -> None:
    als = ALS(factors=10, regularization=0.7, unobserved_weight=0.2)
    items = np.random.default_rng(0).standard_normal((50, 10)).astype(np.float32)
    folded = als.fold_in(items, popularity_of(WORLD))(WORLD)
    exact = als_reference.solve_rows(WORLD, items, 0.7, 0.2)
    np.testing.assert_allclose(folded, exact, rtol=1e-3, atol=1e-5)


def test_the_twin_solves_its_own_normal_equations() -> None:
    """Each row is where the gradient of the loss vanishes: no step improves it."""
    start = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    embeddings = als_reference.fit(WORLD, start, 1.0, 0.1, iterations=3)
    best = als_reference.loss(WORLD, embeddings, 1.0, 0.1)
    for factor in (0.99, 1.01):
        moved = type(embeddings)(embeddings.users * np.float32(factor), embeddings.items)
        assert als_reference.loss(WORLD, moved, 1.0, 0.1) > best


def test_the_solver_reaches_the_loss_of_the_twin() -> None:
    als = ALS(factors=6, regularization=1.0, unobserved_weight=0.1, iterations=20, seed=4)
    start = np.random.default_rng(4).random((50, 6)).astype(np.float32) * 0.01
    twin = als_reference.fit(WORLD, start, 1.0, 0.1, iterations=20)
    ours = als_reference.loss(WORLD, als.fit(WORLD), 1.0, 0.1)
    assert ours <= 1.01 * als_reference.loss(WORLD, twin, 1.0, 0.1)


def test_more_weight_pulls_a_score_towards_one() -> None:
    light = sp.csr_array(np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=np.float32))
    heavy = light.copy()
    heavy[0, 1] = 50
    als = ALS(factors=1, regularization=1.0, unobserved_weight=0.5)
    error = [abs(1 - als.fit(world).scores(slice(None))[0, 1]) for world in (light, heavy)]
    assert error[1] < error[0]
