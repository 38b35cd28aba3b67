"""ALS against its NumPy twin, and its promises."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from recsys.base.threads import threads
from recsys.errors import DataError, DivergedError
from recsys.models import ALS
from recsys.models.als.basis import dense_of, diagonal
from recsys.models.als.gram import gram
from recsys.models.als.prior import FixedPrior
from recsys.models.als.sweep import padded, solve_side, users_at_zero, weighted
from recsys.models.protocol import Epoch, in_mean_weights, mean_weight_of, popularity_of
from recsys.vectors import Embeddings
from tests.models import als_twin as reference
from tests.worlds import random_user_items


def full(user_items: sp.csr_array) -> sp.csr_array:
    """The same world with at least one interaction in every row and column."""
    dense = user_items.toarray()
    for row in range(dense.shape[0]):
        dense[row, row % dense.shape[1]] = max(dense[row, row % dense.shape[1]], 1)
    for column in range(dense.shape[1]):
        dense[column % dense.shape[0], column] = max(dense[column % dense.shape[0], column], 1)
    return sp.csr_array(dense)


WORLD = full(random_user_items(80, 50, 0.15, seed=1))
DISLIKES = sp.random_array((80, 50), density=0.1, rng=3, dtype=np.float32)
LIKES = WORLD.toarray()
SIGNED = sp.csr_array(np.where(LIKES > 0, LIKES, -3 * DISLIKES.toarray()))  # confidence up to 3
COUNTS = popularity_of(WORLD)
MODELS = {
    "plain": ALS(factors=6, regularization=0.05, iterations=60, seed=4),
    "uniform": ALS(factors=6, regularization=1.0, regularization_exponent=0.0, iterations=60),
    "weighted": ALS(
        factors=17,
        regularization=0.02,
        regularization_exponent=1.0,
        unobserved_regularization=1.0,
        unobserved_weight=0.3,
        weight_exponent=0.5,
        user_exponent=0.6,
        item_exponent=0.25,
        unobserved_exponent=0.4,
        iterations=60,
    ),
}


@pytest.fixture(params=MODELS, ids=str)
def als(request: pytest.FixtureRequest) -> ALS:
    return MODELS[request.param]


@pytest.fixture(params=["likes", "dislikes"])
def world(request: pytest.FixtureRequest) -> sp.csr_array:
    return {"likes": WORLD, "dislikes": SIGNED}[request.param]


def test_fold_in_is_the_exact_row_solve(als: ALS, world: sp.csr_array) -> None:
    items = np.random.default_rng(0).standard_normal((50, als.factors)).astype(np.float32)
    fold_in = als.fold_in(items, popularity_of(WORLD), mean_weight_of(world))
    exact = reference.solve_users(als, world, items)
    np.testing.assert_allclose(fold_in(world), exact, rtol=1e-3, atol=2e-5)


def test_a_dislike_takes_from_what_is_like_it(als: ALS) -> None:
    items = np.random.default_rng(0).random((50, als.factors), dtype=np.float32)
    given = items, popularity_of(WORLD), mean_weight_of(SIGNED)
    history = sp.csr_array(SIGNED[[0]])
    user, is_liked = als.fold_in(*given)(history)[0], history.data > 0
    for item_idx in range(50):
        added = als.contributions(*given)(history, item_idx)
        assert added.sum() == pytest.approx(user @ items[item_idx], rel=1e-3, abs=1e-5)
    disliked = int(history.indices[~is_liked][0])
    assert als.contributions(*given)(history, disliked)[history.indices == disliked] < 0


def test_rows_are_solved_in_any_basis(als: ALS) -> None:
    """Steps by a diagonal that is not the dense part's lead to the exact rows all the same."""
    rng = np.random.default_rng(0)
    left, singular, _ = np.linalg.svd(rng.standard_normal((50, als.factors)), full_matrices=False)
    rotation = np.eye(als.factors) + 0.1 * rng.standard_normal((als.factors, als.factors))
    beside = np.linalg.qr(rotation)[0]  # the eigenbasis
    items = (left * singular @ beside).astype(np.float32)
    with threads() as pool:
        weights = weighted(als, in_mean_weights(WORLD, mean_weight_of(WORLD)), popularity_of(WORLD))
        fixed = padded(items)
        users = users_at_zero(als, weights, fixed.shape[1])
        dense = dense_of(gram(fixed, np.ones(50, dtype=np.float32), pool), als.unobserved_weight)
        assert dense.matrix is not None
        assert abs(dense.matrix - np.diag(dense.spectrum)).max() > 0.02 * dense.spectrum.max()
        for _ in range(100):
            observed = solve_side(users, fixed, dense, pool, steps=2)
    exact, terms = reference.solve_users(als, WORLD, items), reference.terms_of(als, WORLD)
    np.testing.assert_allclose(users.vectors[:, : als.factors], exact, rtol=1e-3, atol=2e-5)
    of_observed = (terms.W * (1 - exact @ items.T) ** 2).sum()
    np.testing.assert_allclose(observed, of_observed, rtol=1e-4)
    squares = (exact**2).sum(axis=1)
    np.testing.assert_allclose(users.penalty, terms.reg_users @ squares, rtol=1e-4)
    np.testing.assert_allclose(users.longest, np.sqrt(squares.max()), rtol=1e-4)


@pytest.mark.parametrize("tolerance", [0.1, 1e-3])
def test_a_full_solve_is_as_near_as_was_asked_from_any_start(
    als: ALS, world: sp.csr_array, tolerance: float
) -> None:
    """In the norm of a row's system, of which a looser solve would fall short."""
    rng, d = np.random.default_rng(0), als.factors
    eigenvectors = np.linalg.qr(rng.standard_normal((50, d)))[0]
    items = (eigenvectors * 0.7 ** np.arange(d)).astype(np.float32)  # whose Gram is diagonal
    eigenvalues = np.square(padded(items)).sum(axis=0)
    said, terms = rng.standard_normal((80, d)).astype(np.float32), reference.terms_of(als, world)
    systems = np.einsum("ui,ij,ik->ujk", np.abs(terms.W), items, items)  # (80, d, d)
    systems += als.unobserved_weight * terms.s[:, None, None] * (items.T @ items)
    systems += terms.reg_users[:, None, None] * np.eye(d)
    of_said = als.feature_share * terms.reg_users[:, None] * said
    exact = np.linalg.solve(systems, (np.maximum(terms.W, 0) @ items + of_said)[..., None])[..., 0]

    def sizes(rows: Any) -> Any:
        return np.sqrt(np.einsum("uj,ujk,uk->u", rows, systems, rows))

    weights = weighted(als, in_mean_weights(world, mean_weight_of(world), signed=True), COUNTS)
    for start in (0 * exact, exact * (1 + 1e-4), exact + rng.standard_normal(exact.shape)):
        users = users_at_zero(als, weights, len(eigenvalues))
        users.vectors[:, :d], users.prior = start, FixedPrior(padded(said))
        dense = diagonal(eigenvalues, als.unobserved_weight)
        with threads() as pool:
            solve_side(users, padded(items), dense, pool, tolerance=tolerance)
        error = (sizes(users.vectors[:, :d] - exact) / sizes(exact)).max()
        assert error < tolerance
        assert error > tolerance / 2 or abs(start / exact - 1).max() < 1e-3


def test_the_twin_is_where_the_gradient_vanishes(als: ALS) -> None:
    start = np.random.default_rng(0).random((50, als.factors), dtype=np.float32)
    embeddings = reference.fit(replace(als, iterations=3), WORLD, start)
    best = reference.loss(als, WORLD, embeddings)
    for row in range(0, 80, 9):
        for step in (-0.01, 0.01):
            users = embeddings.users.copy()
            users[row] += step
            assert reference.loss(als, WORLD, Embeddings(users, embeddings.items)) > best


def test_the_solver_reaches_the_loss_of_the_twin(als: ALS, world: sp.csr_array) -> None:
    start = 0.1 * np.random.default_rng(als.seed).random((50, als.factors), dtype=np.float32)
    twin = reference.loss(als, world, reference.fit(als, world, start))
    assert reference.loss(als, world, als.fit(world)) <= 1.01 * twin


def test_the_loss_that_is_told_is_the_loss(als: ALS, world: sp.csr_array) -> None:
    epochs: list[tuple[float, Embeddings]] = []

    def keep(epoch: Epoch) -> None:
        epochs.append((epoch.loss, epoch.embeddings()))

    replace(als, iterations=6).fit(world, on_epoch=keep)
    reported = [loss for loss, _ in epochs]
    exact = [reference.loss(als, world, embeddings) for _, embeddings in epochs]
    np.testing.assert_allclose(reported, exact, rtol=1e-4)
    assert reported == sorted(reported, reverse=True)


def test_a_later_epoch_does_not_change_the_embeddings_of_an_earlier_one() -> None:
    kept: list[Embeddings] = []
    als = ALS(factors=16, iterations=3)  # as wide as a cache line: there is no padding to cut off
    als.fit(WORLD, on_epoch=lambda epoch: kept.append(epoch.embeddings()))
    assert not np.shares_memory(kept[0].items, kept[1].items)
    assert (kept[0].items != kept[1].items).any()


def test_from_alpha_solves_the_problem_of_hu_koren_and_volinsky() -> None:
    """Their optimum, found by their own normal equations, has our scores times 1 + 1 / alpha."""
    world = sp.csr_array((WORLD.toarray() > 0).astype(np.float32))
    alpha, regularization = 8.0, 2.0
    als = ALS.from_alpha(alpha, regularization, factors=4, iterations=600)
    C, P = 1 + alpha * world.toarray(), world.toarray()
    Y = np.random.default_rng(1).random((50, 4))

    def solve(C: np.ndarray, P: np.ndarray, Y: np.ndarray) -> np.ndarray:
        left = (Y.T * C[:, None]) @ Y + regularization * np.eye(4)  # a matrix for each row of C
        return np.linalg.solve(left, ((C * P) @ Y)[..., None])[..., 0]

    for _ in range(200):
        X = solve(C, P, Y)
        Y = solve(C.T, P.T, X)
    np.testing.assert_allclose(
        als.fit(world).scores(slice(None)) * (1 + 1 / alpha), X @ Y.T, atol=2e-2
    )


def test_any_number_of_threads_gives_the_same_bits(als: ALS) -> None:
    world = full(random_user_items(5000, 300, 0.02, seed=3))  # several parts and chunks
    one, four = (replace(als, iterations=3).fit(world, n_threads=n) for n in (1, 4))
    np.testing.assert_array_equal(one.users, four.users)
    np.testing.assert_array_equal(one.items, four.items)


@given(factors=st.integers(1, 70), density=st.floats(0.02, 0.9), seed=st.integers(0, 99))
def test_any_number_of_factors(factors: int, density: float, seed: int) -> None:
    world = random_user_items(23, 19, density, seed)
    als = ALS(factors=factors, regularization=0.1, iterations=2)
    embeddings = als.fit(world)
    assert embeddings.users.shape == (23, factors)
    exact = reference.solve_users(als, full(world), embeddings.items)
    is_full = np.diff(world.indptr) == np.diff(full(world).indptr)
    same_popularity = popularity_of(world) == popularity_of(full(world))
    if is_full.all() and same_popularity.all():
        np.testing.assert_allclose(embeddings.users, exact, rtol=1e-2, atol=1e-4)


def test_the_first_coordinate_carries_the_most() -> None:
    items = ALS(factors=8).fit(WORLD).items.astype(np.float64)
    gram = items.T @ items
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-4 * gram.max())
    assert np.all(np.diff(np.diag(gram)) <= 0)


def test_a_start_saves_epochs() -> None:
    long = ALS(factors=6, iterations=30)
    losses: list[float] = []
    long.fit(WORLD, on_epoch=lambda epoch: losses.append(epoch.loss))
    again: list[float] = []
    ALS(factors=6, iterations=3).fit(
        WORLD, start=long.fit(WORLD), on_epoch=lambda epoch: again.append(epoch.loss)
    )
    assert again[0] <= losses[-1] * 1.0001
    assert losses[2] > again[0]


def test_a_start_of_other_rows_is_refused() -> None:
    start = ALS(factors=6, iterations=1).fit(WORLD)
    with pytest.raises(DataError, match=r"\(80, 50, 7\), got \(80, 50, 6\)"):
        ALS(factors=7).fit(WORLD, start=start)


def test_on_epoch_can_stop_the_fit() -> None:
    numbers: list[int] = []

    def stop_at_three(epoch: Epoch) -> bool:
        numbers.append(epoch.number)
        return epoch.number == 3

    ALS(factors=2, iterations=10).fit(WORLD, on_epoch=stop_at_three)
    assert numbers == [1, 2, 3]


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered")
def test_what_diverges_says_why() -> None:
    huge = Embeddings(*(np.full((n, 4), 1e30, dtype=np.float32) for n in WORLD.shape))
    with pytest.raises(DivergedError, match=r"epoch 1; weights go from .* to .*regularization"):
        ALS(factors=4, regularization=1e-9).fit(WORLD, start=huge)


def test_vectors_that_fade_to_nothing_do_not_diverge() -> None:
    embeddings = ALS(factors=4, regularization=1e4, iterations=40).fit(WORLD)
    assert abs(embeddings.scores(slice(None))).max() < 1e-6


def test_more_weight_pulls_a_score_towards_one() -> None:
    light = sp.csr_array(np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=np.float32))
    heavy = light.copy()
    heavy[0, 1] = 50
    als = ALS(factors=1, regularization=0.2, unobserved_weight=0.5)
    error = [abs(1 - als.fit(world).scores(slice(None))[0, 1]) for world in (light, heavy)]
    assert error[1] < error[0]


def test_the_peer_agrees() -> None:
    """implicit reaches the same scores from the same parameters, given time to converge."""
    peer = pytest.importorskip("implicit.cpu.als")
    from threadpoolctl import threadpool_limits

    world = sp.csr_array((WORLD.toarray() > 0).astype(np.float32))
    confidence = sp.csr_matrix(world * np.float32(10) + world)
    with threadpool_limits(1, "blas"):
        theirs = peer.AlternatingLeastSquares(4, 2.0, iterations=300, random_state=0, num_threads=1)
        theirs.fit(confidence, show_progress=False)
    ours = ALS.from_alpha(10.0, 2.0, factors=4, iterations=300).fit(world)
    np.testing.assert_allclose(
        ours.scores(slice(None)) * 1.1, theirs.user_factors @ theirs.item_factors.T, atol=2e-2
    )
