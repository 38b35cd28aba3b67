"""The ridge regression by steps, against dense normal equations in float64."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.base.threads import threads
from recsys.features import Features, feature_map, ridge
from recsys.features.ridge_steps import TOLERANCE, RidgeSteps
from recsys.models import ALS
from tests.models.test_als_features import MODEL, _world

N_ROWS, N_FACTORS, RIDGE = 700, 16, 0.7


@pytest.fixture(params=[300, 1100], ids=["fewer features", "fewer rows"])
def texts(request) -> tuple[sp.csr_array, np.ndarray, np.ndarray]:
    """Return rows of a constant and of words, some of them frequent; weights; embeddings."""
    rng = np.random.default_rng(request.param)
    word = (request.param * rng.random((N_ROWS, 9)) ** 3).astype(int)
    row = np.repeat(np.arange(N_ROWS), 9)
    found = sp.csr_array(
        (rng.random(len(row)), (row, word.ravel())), shape=(N_ROWS, request.param)
    ).tolil()
    found[:, 0], found[3] = 1, 0  # of one row nothing is known
    features = sp.csr_array(found.tocsr(), dtype=np.float32)
    weights = rng.random(N_ROWS) ** 3
    weights[rng.random(N_ROWS) < 0.3] = 0
    taste = rng.normal(size=(request.param, N_FACTORS)) * np.geomspace(1, 1e-3, N_FACTORS)
    taste[:, -1] = 0  # what pads is zero
    noise = rng.normal(size=(N_ROWS, N_FACTORS)) * (taste.any(axis=0))
    return features, weights, np.float32(features @ taste + noise)


def _twin(features: sp.csr_array, weights: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    F = features.toarray().astype(np.float64)
    mu = RIDGE * weights[(weights > 0) & F.any(axis=1)].mean()
    left = F.T @ (weights[:, None] * F) + mu * np.eye(F.shape[1])
    return np.linalg.solve(left, F.T @ (weights[:, None] * vectors))


def _distance(features, weights, vectors, found, twin) -> float:
    """Return how far what two maps say is from each other, as the tolerance is stated."""
    squares = [
        float(weights @ np.square(one).sum(axis=1)) for one in (features @ (found - twin), vectors)
    ]
    return float(np.sqrt(squares[0] / squares[1]))


def test_a_map_is_within_its_tolerance_of_dense_normal_equations(texts, monkeypatch) -> None:
    features, weights, vectors = texts
    with threads(1) as pool, threads(3) as others:
        one, other = (RidgeSteps(features, weights, RIDGE, N_FACTORS) for _ in range(2))
        for at, by in ((one, pool), (other, others)):
            at.solve(vectors[:, ::-1].copy(), by, steps=2)  # where an earlier epoch left it
            at.solve(vectors, by)
        np.testing.assert_array_equal(one.map, other.map)
        twin = _twin(features, weights, vectors)
        assert _distance(features, weights, vectors, one.map, twin) < TOLERANCE
        np.testing.assert_allclose(one.said, features @ one.map, atol=1e-4)
        assert one.square == pytest.approx(float(np.square(one.map).sum()), rel=1e-3)
        ones = (weights > 0) * 1.0
        one.reweigh(ones, RIDGE)
        one.solve(vectors, pool)
        alike = _twin(features, ones, vectors)
        assert _distance(features, ones, vectors, one.map, alike) < TOLERANCE
        assert _distance(features, ones, vectors, twin, alike) > TOLERANCE
        monkeypatch.setattr("recsys.features.ridge_steps.TOLERANCE", 1e-6)
        one.solve(vectors, pool)
    np.testing.assert_allclose(one.map, alike, atol=2e-4 * np.abs(alike).max())
    monkeypatch.setattr(ridge, "_WIDE", 0)  # any number of factors
    found = feature_map(features, vectors[:, :7], weights, RIDGE)
    np.testing.assert_allclose(found, twin[:, :7], atol=2e-4 * np.abs(twin).max())


def test_a_fit_by_steps_ends_where_one_by_a_factor_does(monkeypatch) -> None:
    matrix, features = _world()
    exact = MODEL.fit(matrix, features=features)
    monkeypatch.setattr(ridge, "_WIDE", 0)
    losses: list[float] = []
    found = MODEL.fit(
        matrix, features=features, on_epoch=lambda one: losses.append(one.loss), n_threads=1
    )
    again = MODEL.fit(matrix, features=features, n_threads=3)
    for name, one in found.matrices.items():
        np.testing.assert_array_equal(one, again.matrices[name])
        np.testing.assert_allclose(one, exact.matrices[name], atol=0.02, err_msg=name)
    assert (np.diff(losses[9:]) < 1e-3 * losses[0]).all()


def test_a_map_of_no_numbers_is_of_a_fit_that_diverged(monkeypatch) -> None:
    monkeypatch.setattr(ridge, "_WIDE", 0)
    rng = np.random.default_rng(0)
    features = sp.csr_array(rng.random((30, 40)), dtype=np.float32)
    vectors = np.full((30, 4), np.inf, dtype=np.float32)
    assert not np.isfinite(feature_map(features, vectors, np.ones(30))).any()
    nobody = sp.csr_array((3, 30), dtype=np.float32)  # no row that counts
    fitted = ALS(4, iterations=4).fit(nobody, features=Features(items=features))
    assert not fitted.items.any()
