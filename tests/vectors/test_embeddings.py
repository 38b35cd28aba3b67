import numpy as np
import pytest

from recsys.errors import DataError, DivergedError
from recsys.vectors import Embeddings

EYE = np.eye(2, dtype=np.float32)


def test_scores_are_dot_products() -> None:
    embeddings = Embeddings(users=EYE * 2, items=np.array([[1, 5]], dtype=np.float32))
    assert embeddings.scores(slice(None)).tolist() == [[2], [10]]
    assert embeddings.scores(np.array([1])).tolist() == [[10]]


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        (EYE.astype(np.float64), EYE, "users: expected a float32 matrix, got float64"),
        (EYE, EYE[0], r"items: expected a float32 matrix, got float32 of shape \(2,\)"),
        (EYE, EYE[:, :1], "same number of factors, got 2 and 1"),
    ],
)
def test_matrices_that_do_not_fit(users: np.ndarray, items: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Embeddings(users, items)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite(bad: float) -> None:
    broken = EYE.copy()
    broken[1, 1] = bad
    with pytest.raises(DivergedError, match="items: 1 of 2 rows"):
        Embeddings(EYE, broken)
