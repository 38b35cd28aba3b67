"""Products and solves of 16 columns at a time, against dense linear algebra in float64."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.base.threads import threads
from recsys.features import FeatureRows
from recsys.features.lanczos import tridiagonal
from recsys.features.panels import Between, SparseRows, times, transposed_times
from recsys.features.ridge_steps import RidgeSteps

N_ROWS, N_WORDS, N_FEATURES, WIDTH = 40, 25, 60, 16


@pytest.fixture
def rows() -> FeatureRows:
    """Return rows with words; of one, and of one feature, there is nothing."""
    rng = np.random.default_rng(0)
    shapes = (N_ROWS, N_FEATURES), (N_ROWS, N_WORDS), (N_WORDS, N_FEATURES)
    parts = [rng.random(shape) * (rng.random(shape) < 0.2) for shape in shapes]
    parts[0][7] = parts[1][7] = parts[0][:, 5] = parts[2][:, 5] = 0
    return FeatureRows(*(sp.csr_array(one.astype(np.float32)) for one in parts))


def test_products_are_the_dense_ones(rows: FeatureRows) -> None:
    rng = np.random.default_rng(1)
    panel, of_rows = (rng.normal(size=(n, WIDTH)).astype(np.float32) for n in rows.shape[::-1])
    compiled, between = SparseRows.of(rows), Between.of(rows)
    for _ in range(2):  # whatever is there before
        found, turned = np.ones_like(of_rows), np.ones_like(panel)
        times(compiled, panel, between.words, found)
        transposed_times(compiled, of_rows, between.words, turned)
        np.testing.assert_allclose(found, rows.tocsr() @ panel, atol=1e-5)
        np.testing.assert_allclose(turned, rows.tocsr().T @ of_rows, atol=1e-5)


@pytest.mark.parametrize("n_rows", [30, 200], ids=["fewer rows", "fewer features"])
def test_one_step_is_enough_where_all_features_are_among_the_heaviest(n_rows: int) -> None:
    rng = np.random.default_rng(n_rows)
    dense = rng.random((n_rows, N_FEATURES)) * (rng.random((n_rows, N_FEATURES)) < 0.3)
    dense[:, 0] = 1
    weights = rng.random(n_rows) + 0.1
    weights[4] = 0
    vectors = rng.normal(size=(n_rows, 2 * WIDTH)).astype(np.float32)
    steps = RidgeSteps(sp.csr_array(dense.astype(np.float32)), weights, 0.5, 2 * WIDTH)
    with threads(2) as pool:
        steps.solve(vectors, pool, steps=1)
    left = dense.T @ (weights[:, None] * dense) + steps.penalty * np.eye(N_FEATURES)
    twin = np.linalg.solve(left, dense.T @ (weights[:, None] * vectors))
    np.testing.assert_allclose(steps.map, twin, atol=1e-3)
    np.testing.assert_allclose(steps.said, dense @ twin, atol=1e-3)


def test_lanczos_finds_the_eigenvalues_of_what_is_apart(rows: FeatureRows) -> None:
    rng = np.random.default_rng(2)
    few = rows.take(np.arange(8, 16))
    dense = few.tocsr().toarray().astype(np.float64)
    apart = np.linalg.qr(np.ones((8, 1)))[0].astype(np.float32)
    starts = rng.normal(size=(8, WIDTH)).astype(np.float32)
    starts -= apart * (apart.T @ starts)
    diagonal, beside = tridiagonal(few, starts, apart, 7)
    outside = np.eye(8) - apart @ apart.T
    expected = np.linalg.eigvalsh(outside @ dense @ dense.T @ outside)[1:]
    for one in range(WIDTH):
        small = np.diag(diagonal[:, one]) + np.diag(beside[:-1, one], -1)
        np.testing.assert_allclose(np.linalg.eigvalsh(small), expected, rtol=2e-2, atol=1e-3)
