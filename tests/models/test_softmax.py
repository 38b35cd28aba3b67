"""Softmax against its loss in dense matrices, and in worlds whose answers are known."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.base.threads import threads
from recsys.errors import ConfigError
from recsys.models import ALS, Softmax, model_from
from recsys.models.protocol import popularity_of
from recsys.models.softmax import step_users
from recsys.vectors.vector import unit_rows
from tests.worlds import random_user_items

WORLD = random_user_items(60, 40, 0.15, seed=2)


def loss(model: Softmax, user_items: sp.csr_array, users: np.ndarray, items: np.ndarray) -> float:
    """The docstring of Softmax in dense matrices, per weight."""
    W = user_items.toarray().astype(np.float64)
    n = W.sum(axis=1)
    c = np.where(n > 0, np.maximum(n, 1e-30) ** -model.user_exponent, 0)
    scores = (users.astype(np.float64) @ items.T) / model.temperature
    log_total = np.log(np.exp(scores).sum(axis=1))
    per_user = (W * (log_total[:, None] - scores)).sum(axis=1)
    return float((c * per_user).sum() / (c * n).sum())


def random_units(n: int, seed: int, d: int = 6) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32))


def test_the_loss_of_a_step_is_the_loss() -> None:
    model = Softmax(temperature=0.3, user_exponent=0.6)
    users, items = random_units(60, 0), random_units(40, 1)
    weight = WORLD.sum(axis=1).astype(np.float32)
    importance = weight**-0.6
    with threads() as pool:
        step = step_users(users, items, WORLD @ items, weight, importance, 0.3, pool)
    assert step.loss / float(importance @ weight) == pytest.approx(
        loss(model, WORLD, users, items), rel=1e-4
    )


def test_what_is_pushed_is_the_gradient_of_the_softmax() -> None:
    users, items = random_units(60, 0), random_units(40, 1)
    weight = WORLD.sum(axis=1).astype(np.float32)
    ones = np.ones(60, dtype=np.float32)
    with threads() as pool:
        step = step_users(users, items, WORLD @ items, weight, ones, 0.3, pool)
    p = np.exp(users @ items.T / 0.3)
    p /= p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(step.pushed, (weight[:, None] * p).T @ users, rtol=1e-3, atol=1e-4)


def test_users_that_are_folded_in_rest_where_no_direction_is_better() -> None:
    model = Softmax(factors=6, temperature=0.3)
    items = random_units(40, 1)
    users = model.fold_in(items, popularity_of(WORLD))(WORLD)
    best = loss(model, WORLD, users, items)
    rng = np.random.default_rng(3)
    for _ in range(20):
        moved = unit_rows(users + 0.1 * rng.standard_normal(users.shape).astype(np.float32))
        assert loss(model, WORLD, moved, items) > best


def test_training_lowers_the_loss() -> None:
    model = Softmax(factors=6, temperature=0.2, iterations=40)
    losses: list[float] = []
    trained = model.fit(WORLD, on_epoch=lambda epoch: losses.append(epoch.loss))
    assert losses[-1] < losses[0]
    start = ALS(factors=6, unobserved_weight=0.01).fit(WORLD)
    before = loss(model, WORLD, unit_rows(start.users), unit_rows(start.items))
    assert loss(model, WORLD, trained.users, trained.items) < before
    assert losses[-1] == pytest.approx(loss(model, WORLD, trained.users, trained.items), rel=0.05)


def test_rows_are_unit_vectors() -> None:
    embeddings = Softmax(factors=5, iterations=3).fit(WORLD)
    for rows in (embeddings.users, embeddings.items):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    world = random_user_items(3000, 50, 0.05, seed=3)
    one, three = (Softmax(factors=4, iterations=2).fit(world, n_threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one.users, three.users)
    np.testing.assert_array_equal(one.items, three.items)


def test_a_temperature_that_overflows_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"softmax.temperature: .* above 0.02, got 0.01"):
        model_from("softmax", {"temperature": 0.01})
