"""Exact search of rows, against a twin that sorts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.vectors.top_k import NearestRows


def twin(matrix, query, k: int, by: str, exclude, among) -> list[tuple[int, float]]:
    """Score row by row in float64, then sort."""
    scored = []
    for row, vector in enumerate(matrix.astype(np.float64)):
        norm = np.sqrt(np.sum(vector * vector))
        if row in exclude or (among is not None and row not in among):
            continue
        if by == "cosine" and norm == 0:
            continue
        product = np.sum(vector * query)
        scored.append((row, float(product if by == "dot" else product / norm)))
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:k]


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 60),
    k=st.integers(1, 80),
    n_excluded=st.integers(0, 60),
    n_among=st.none() | st.integers(0, 60),
)
def test_dot_is_the_twin(seed, n, k, n_excluded, n_among) -> None:
    """Whole numbers: scores are exact and tie often, so that the order is proved as well."""
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-2, 3, (n, 3)).astype(np.float32)
    query = rng.integers(-2, 3, 3).astype(np.float32)
    exclude = rng.integers(0, n, n_excluded).astype(np.int32)
    among = None if n_among is None else rng.integers(0, n, n_among).astype(np.int32)
    rows, scores = NearestRows(matrix).search(query, k, by="dot", exclude=exclude, among=among)
    expected = twin(matrix, query, k, "dot", exclude, among)
    assert list(zip(rows.tolist(), scores.tolist(), strict=True)) == expected


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 60),
    k=st.integers(1, 80),
    n_among=st.none() | st.integers(0, 60),
)
def test_cosine_is_the_twin(seed, n, k, n_among) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((n, 3)).astype(np.float32)
    matrix[rng.random(n) < 0.2] = 0
    query = rng.standard_normal(3)
    query = (query / np.linalg.norm(query)).astype(np.float32)
    exclude = np.zeros(1, dtype=np.int32)
    among = None if n_among is None else rng.integers(0, n, n_among).astype(np.int32)
    rows, scores = NearestRows(matrix).search(query, k, by="cosine", exclude=exclude, among=among)
    expected = twin(matrix, query.astype(np.float64), k, "cosine", exclude, among)
    assert rows.tolist() == [row for row, _ in expected]
    np.testing.assert_allclose(scores, [score for _, score in expected], atol=1e-6)


@pytest.mark.parametrize("length", [1e-42, 1e-25, 1, 1e25, 3e38])
def test_cosines_do_not_depend_on_lengths(length: float) -> None:
    """Squares of these would leave the range of float32."""
    grid = np.array([[1, 0], [1, 1], [0, 1], [-1, 0]])
    nearest = NearestRows((grid * length).astype(np.float32))
    rows, scores = nearest.search(np.array([1, 0], dtype=np.float32), 4, by="cosine")
    assert rows.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(scores, [1, 0.5**0.5, 0, -1], atol=1e-6)


def test_equal_cosines_are_ranked_by_row() -> None:
    ray = np.array([[4], [1], [2], [-1], [3]], dtype=np.float32) * np.float32([1, 1])
    query = np.full(2, 0.5**0.5, dtype=np.float32)
    rows, scores = NearestRows(ray).search(query, 3, by="cosine")
    assert rows.tolist() == [0, 1, 2]
    assert (scores <= 1).all()


def test_no_round_off_leads_beyond_1() -> None:
    matrix = np.random.default_rng(0).standard_normal((200, 7)).astype(np.float32)
    nearest = NearestRows(matrix)
    for row, vector in enumerate(matrix):
        rows, scores = nearest.search(vector / np.linalg.norm(vector), 1, by="cosine")
        assert rows[0] == row
        assert 1 - 1e-6 < scores[0] <= 1


def test_a_stored_version_is_read_only_and_stays_as_it_is() -> None:
    matrix = np.array([[3, 4], [0, 0]], dtype=np.float32)
    matrix.flags.writeable = False
    rows, scores = NearestRows(matrix).search(np.array([0, 1], np.float32), 5, by="cosine")
    assert (rows.tolist(), scores.tolist()) == ([0], pytest.approx([0.8]))
    assert matrix.tolist() == [[3, 4], [0, 0]]
