"""GF-CF and BSPM-EM against their equations on dense matrices."""

import numpy as np
import pytest

from benchmarks.graph_filters import graph_filter
from tests.worlds import random_user_items


def slow_scores(R: np.ndarray, factors: int, share: float, h: float) -> np.ndarray:
    D_u, D_i = R.sum(axis=1), R.sum(axis=0)
    A = R / np.sqrt(D_u)[:, None] / np.sqrt(D_i)
    V = np.linalg.svd(A, full_matrices=False)[2][:factors].T
    low_pass = np.diag(D_i**-0.5) @ V @ V.T @ np.diag(D_i**0.5)
    x = R @ A.T @ A + share * R @ low_pass
    slopes = []  # of the classical fourth-order method for dx/dt = -x A'A
    for step in (0.0, 0.5, 0.5, 1.0):
        at = x + h * step * slopes[-1] if slopes else x
        slopes.append(-at @ A.T @ A)
    return x + h / 6 * (slopes[0] + 2 * slopes[1] + 2 * slopes[2] + slopes[3])


@pytest.mark.parametrize("sharpening", [0.0, 2.5])
def test_a_filter_is_its_equation(sharpening: float) -> None:
    user_items = random_user_items(40, 30, 0.3)
    scorer = graph_filter(user_items, factors=5, share=0.3, sharpening=sharpening)
    expected = slow_scores((user_items.toarray() > 0).astype(float), 5, 0.3, sharpening)
    users = np.array([7, 0, 33])
    np.testing.assert_allclose(scorer.scores(users), expected[users], atol=1e-4)
    out = np.empty((3, 30), dtype=np.float32)
    np.testing.assert_allclose(scorer.scores(users, out=out), expected[users], atol=1e-4)
    assert scorer.shape == (40, 30)
