"""In which coordinates ALS works: what a basis of both sides leaves, and what fits lose by it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.models import ALS
from recsys.models.als import als as fitting
from recsys.models.als import basis
from recsys.models.als.basis import Outline, are_near, choose, common_basis, is_near
from tests.worlds import random_user_items

WORLD = random_user_items(300, 200, 0.1, seed=5)
MODEL = ALS(factors=24, iterations=12)


def systems(apart: float = 0.1, falls: float = 0.7) -> tuple[Any, Any]:
    """Two matrices whose eigenbases are a rotation apart."""
    n = 12
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.standard_normal((n, n)))[0]
    other = basis @ np.linalg.qr(np.eye(n) + apart * rng.standard_normal((n, n)))[0]
    one, two = 10 * falls ** np.arange(n) + 0.01, 9 * falls ** np.arange(n) + 0.01
    return (basis * one) @ basis.T, (other * two) @ other.T


def beside(matrix: Any, basis: Any) -> float:
    """Return the sum of squares beside a diagonal, in units of it."""
    turned = basis.T @ matrix @ basis
    unit = np.outer(np.diag(turned), np.diag(turned))
    return float((turned**2 / unit).sum()) - len(matrix)


def test_a_common_basis_is_nearer_to_two_matrices_than_their_own() -> None:
    one, other = systems()
    common = common_basis(one, other)
    np.testing.assert_allclose(common.T @ common, np.eye(12), atol=1e-12)
    left = beside(one, common) + beside(other, common)
    for own, elsewhere in ((one, other), (other, one)):
        assert left < 0.7 * beside(elsewhere, np.linalg.eigh(own)[1])
    same = common_basis(one, one @ one)  # of one eigenbasis
    assert beside(one, same) < 1e-12


@pytest.mark.parametrize(("size", "near"), [(0.89, True), (0.91, False), (-0.91, False)])
def test_what_is_near_a_diagonal_is_a_norm_below_1(size: float, near: bool) -> None:
    rest = np.zeros((9, 9))
    rest[2, 5] = rest[5, 2] = size
    scale = np.exp(np.random.default_rng(0).standard_normal(9))
    assert is_near((np.eye(9) + rest) * np.outer(scale, scale)) == near


def test_sides_stay_in_a_basis_near_both_and_turn_into_their_own_where_none_is() -> None:
    one, other = (Outline(gram, 1.0, 0.01) for gram in systems(falls=0.4, apart=0.01))
    assert choose(one, other, 1.0, 12, "kept").dense.matrix is None  # looks for no common one
    turned = choose(one, other, 1.0, 12, "common")
    assert turned.basis is not None
    assert turned.dense.matrix is not None
    of_one, of_other = (turned.basis.T @ side.gram @ turned.basis for side in (one, other))
    np.testing.assert_allclose(turned.of_fixed, of_one, atol=1e-5)
    sides = Outline(of_one, *one[1:]), Outline(of_other, *other[1:])
    for fixed, rows in (sides, sides[::-1]):
        assert choose(fixed, rows, 1.0, 12, "kept").basis is None
        assert choose(fixed, rows, 1.0, 12, "common").basis is None
    apart = [Outline(gram, 1.0, 0.01) for gram in systems(apart=3, falls=0.4)]
    alone = choose(*apart, 1.0, 12, "common")
    assert alone.dense.matrix is None  # diagonal
    np.testing.assert_allclose(alone.of_fixed, np.diag(np.diag(alone.of_fixed)))


def test_a_basis_is_looked_for_until_it_is_near_both(monkeypatch: pytest.MonkeyPatch) -> None:
    for one, other in (systems(falls=0.6, apart=0.1), systems(falls=0.7, apart=0.4)):
        found = common_basis(one, other)
        assert are_near(found, one, other)
        with monkeypatch.context() as few:
            few.setattr(basis, "_MOST_PASSES", 3)
            assert not are_near(common_basis(one, other), one, other)


def test_a_basis_that_is_near_one_side_alone_is_not_taken() -> None:
    one, other = (Outline(gram, 1.0, 0.01) for gram in systems(falls=0.4, apart=0.15))
    grams = [outline.gram + 0.01 * np.eye(12) for outline in (one, other)]
    common = common_basis(*grams)
    assert [is_near(common.T @ gram @ common) for gram in grams] == [True, False]
    assert choose(one, other, 1.0, 12, "common").dense.matrix is None  # diagonal


def test_epochs_in_one_basis_lose_as_much_as_those_that_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = losses_of(MODEL, WORLD)
    monkeypatch.setattr(fitting, "bases_of", lambda *_: ("own", "own"))
    turned = losses_of(MODEL, WORLD)
    np.testing.assert_allclose(losses, turned, rtol=2e-3)
    assert losses != turned


def test_what_a_start_brings_may_be_far_from_any_basis() -> None:
    start = replace(MODEL, regularization=2.0, seed=3).fit(WORLD)
    start.items[:] = start.items[:, ::-1]  # which fits no user
    losses: list[float] = []
    MODEL.fit(WORLD, start=start, on_epoch=lambda epoch: losses.append(epoch.loss))
    assert max(np.diff(losses)) < 1e-4 * losses[-1]
    np.testing.assert_allclose(losses[-1], losses_of(MODEL, WORLD)[-1], rtol=2e-2)


def losses_of(als: ALS, world: sp.csr_array) -> list[float]:
    """Return the loss after each epoch."""
    found: list[float] = []
    als.fit(world, on_epoch=lambda epoch: found.append(epoch.loss))
    return found
