import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys.errors import DataError
from recsys.vectors import FloatMatrix, top_k
from recsys.vectors.top_k import EXCLUDED

WIDE = 3000  # wide enough for the groups and the floor


def sorted_top_k(scores: FloatMatrix, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The obvious twin: sort every row by (score descending, column ascending)."""
    k = min(k, scores.shape[1])
    columns, values = [], []
    for row in scores.tolist():
        best = sorted(range(len(row)), key=lambda column: (-row[column], column))[:k]
        columns.append([column if row[column] != EXCLUDED else -1 for column in best])
        values.append([row[column] for column in best])
    shape = (len(scores), k)
    return (
        np.array(columns, dtype=np.int32).reshape(shape),
        np.array(values, dtype=np.float32).reshape(shape),
    )


def assert_agrees(scores: FloatMatrix, k: int) -> None:
    before = scores.copy()
    columns, values = top_k(scores, k)
    expected_columns, expected_values = sorted_top_k(scores, k)
    np.testing.assert_array_equal(columns, expected_columns)
    np.testing.assert_array_equal(values, expected_values)
    assert (columns.dtype, values.dtype) == (np.int32, np.float32)
    np.testing.assert_array_equal(scores, before)


# Few distinct values make ties at every place, infinities and both zeros among them.
few_values = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 1e-45, 2.0, np.inf])
any_values = st.floats(width=32, allow_nan=False)


@given(
    scores=hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=few_values | any_values
    ),
    k=st.integers(1, 12),
)
def test_small_rows_agree_with_a_full_sort(scores: FloatMatrix, k: int) -> None:
    assert_agrees(scores, k)


@given(
    seed=st.integers(0, 2**32),
    k=st.sampled_from([1, 2, 20, 90]),
    n_distinct=st.sampled_from([1, 2, 50, 10**6]),
    share_excluded=st.sampled_from([0.0, 0.3, 0.999]),
)
def test_wide_rows_agree_with_a_full_sort(
    seed: int, k: int, n_distinct: int, share_excluded: float
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(-n_distinct, n_distinct, (3, WIDE)).astype(np.float32)
    scores[rng.random(scores.shape) < share_excluded] = EXCLUDED
    assert_agrees(scores, k)


def test_rows_of_different_kinds_in_one_block() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((6, WIDE), dtype=np.float32)
    scores[0] = 0  # one tie
    scores[1] = EXCLUDED  # nothing to offer
    scores[2, 5:] = EXCLUDED  # less than k
    scores[3] = np.arange(WIDE)  # the best at the end, behind the last whole group
    scores[4] = np.where(np.arange(WIDE) % 256 == 7, 1, 0)  # all the best in one group
    assert_agrees(scores, 20)


def test_the_best_of_a_group_that_outgrows_the_floor() -> None:
    """More columns lie above the floor than the ties that are cut, and ties lie at it."""
    scores = np.zeros((1, 400 * 80), dtype=np.float32)
    scores[0, 11::256] = np.arange(125, 0, -1)  # one group holds all that is above
    assert_agrees(scores, 3)


def test_many_rows_are_taken_in_chunks() -> None:
    scores = np.random.default_rng(0).integers(0, 9, (2500, 600)).astype(np.float32)
    assert_agrees(scores, 4)


def test_rows_that_are_not_contiguous() -> None:
    scores = np.random.default_rng(0).standard_normal((WIDE, 4), dtype=np.float32)
    assert_agrees(scores.T, 9)
    assert_agrees(scores.T[:, ::2], 9)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_nothing_to_rank(shape: tuple[int, int]) -> None:
    columns, values = top_k(np.empty(shape, dtype=np.float32), k=3)
    assert columns.shape == values.shape == (shape[0], min(3, shape[1]))


@pytest.mark.parametrize("k", [0, -1])
def test_k_must_be_positive(k: int) -> None:
    with pytest.raises(DataError, match=f"k: expected at least 1, got {k}"):
        top_k(np.zeros((1, 2), dtype=np.float32), k)
