"""Columns in whole numbers: the numbers of float16, bit by bit, and nearly the loss of it."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from recsys.base.threads import Threads, threads
from recsys.models import ALS
from recsys.models.als import rounding
from recsys.models.als.basis import Dense, diagonal
from recsys.models.als.rounding import Grid, halved, is_in_bytes, longest_of, on_grid, units_of
from recsys.models.als.sweep import padded, solve_side, users_at_zero
from recsys.vectors import FloatMatrix
from tests.worlds import random_user_items


def vectors_of(n_rows: int, factors: int, seed: int) -> FloatMatrix:
    """Return rows of many lengths, with factors of many sizes."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n_rows, factors)) * 10 ** rng.uniform(-5, 2, factors)
    return padded((rows * 10 ** rng.uniform(-4, 3, (n_rows, 1))).astype(np.float32))


def gram_of(vectors: FloatMatrix) -> np.ndarray:
    """Return the Gram matrix."""
    return vectors.T.astype(np.float64) @ vectors


@given(n_rows=st.integers(1, 40), factors=st.integers(1, 20), seed=st.integers(0, 999))
def test_whole_numbers_are_the_nearest_and_float16_holds_them(
    n_rows: int, factors: int, seed: int
) -> None:
    vectors = vectors_of(n_rows, factors, seed)
    vectors[seed % n_rows] = 0
    before, longest, gram = vectors.copy(), longest_of(vectors), gram_of(vectors)
    with threads(1) as pool:
        columns, (scales, units) = on_grid(vectors, longest, units_of(gram), pool)
        steps = scales[:, None] * units[0]
        np.testing.assert_array_equal(columns * steps, vectors)
        assert (np.abs(vectors - before) <= steps / 2).all()
        assert np.abs(columns.astype(int)).max() <= 127
        rounded = vectors.copy()
        halves, scale = halved(vectors, longest, pool)
    np.testing.assert_array_equal(vectors, rounded)
    np.testing.assert_array_equal(halves.view(np.float16).astype(np.float32) / scale, rounded)
    assert not columns[:, factors:].any()


def solved(
    weights: sp.csr_array, items: FloatMatrix, dense: Dense, pool: Threads, grid: Grid | None
) -> tuple[float, float, float, bytes]:
    """Return what two steps of all users against items lead to, in bytes or in half precision."""
    als = ALS(factors=items.shape[1])
    users = users_at_zero(als, weights, items.shape[1])
    rng = np.random.default_rng(0)
    users.vectors[:] = rng.standard_normal(users.vectors.shape)
    if grid is not None:
        whole, _ = on_grid(items.copy(), longest_of(items), grid.units, pool)
        loss = solve_side(users, whole, dense, pool, grid=grid, steps=2)
    else:
        halves, scale = halved(items, longest_of(items), pool)
        loss = solve_side(users, halves, dense, pool, scale=scale, steps=2)
    return loss, users.penalty, users.longest, users.vectors.tobytes()


@pytest.mark.parametrize("disliked", [False, True])
def test_rows_are_solved_as_with_float16_of_the_same_numbers(disliked: bool) -> None:
    weights = random_user_items(70, 90, 0.2)
    if disliked:
        weights.data[::5] *= -1
    items = vectors_of(90, 40, 0)
    gram = gram_of(items)
    in_basis = diagonal(np.diag(gram), 0.1)
    with threads(1) as pool:
        _, grid = on_grid(items, longest_of(items), units_of(gram), pool)
        for dense in (in_basis, in_basis._replace(matrix=(0.1 * gram).astype(np.float32))):
            found = solved(weights, items, dense, pool, grid)
            assert found == solved(weights, items.copy(), dense, pool, None)


def test_a_large_fit_has_nearly_the_loss_and_the_bits_of_any_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not is_in_bytes(8192, 256)
    assert is_in_bytes(8193, 256)
    world = random_user_items(300, 200, 0.1, seed=3)
    losses: dict[bool, list[float]] = {True: [], False: []}
    als = ALS.from_alpha(10, 1, factors=24, iterations=8)
    als.fit(world, on_epoch=lambda epoch: losses[False].append(epoch.loss))
    monkeypatch.setattr(rounding, "_CACHED", 0)
    one = als.fit(world, on_epoch=lambda epoch: losses[True].append(epoch.loss), n_threads=1)
    two = als.fit(world, n_threads=2)
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-3)
    assert losses[True] != losses[False]
    np.testing.assert_array_equal(one.users, two.users)
    np.testing.assert_array_equal(one.items, two.items)
