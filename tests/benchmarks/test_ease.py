"""EASE from either side."""

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.ease import BLOCK, ease, mirrored


def slow_ease(user_items: np.ndarray, regularization: float) -> np.ndarray:
    """The scores, by equation 8 of the paper as it stands there."""
    gram = user_items.T @ user_items
    P = np.linalg.inv(gram + regularization * np.eye(len(gram)))
    B = np.eye(len(P)) - P / np.diag(P)
    return user_items @ B


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (20, 20)])
def test_ease_is_its_equation(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    user_items = sp.random_array(shape, density=0.2, rng=rng, format="csr", dtype=np.float32)
    user_items.data[:] = 1
    expected = slow_ease(user_items.toarray().astype(np.float64), 7.0)
    users = np.array([3, 0, 11])
    scorer = ease(sp.csr_array(user_items), 7.0)
    np.testing.assert_allclose(scorer.scores(users), expected[users], atol=1e-5)
    out = np.empty((3, shape[1]), dtype=np.float32)
    np.testing.assert_allclose(scorer.scores(users, out=out), expected[users], atol=1e-5)
    assert scorer.shape == shape


def test_a_large_matrix_is_mirrored_block_by_block() -> None:
    n = BLOCK + 3
    lower = np.tril(np.arange(n * n, dtype=np.float32).reshape(n, n))
    found = mirrored(lower.copy())
    np.testing.assert_array_equal(found, lower + np.tril(lower, -1).T)
