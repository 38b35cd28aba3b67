"""Registers in compiled code against the same in NumPy; half precision against its float16."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from recsys.base.aligned import aligned_zeros
from recsys.base.simd import N_LANES, borrowed, four_totals, load, per_line, same, store, total
from recsys.base.threads import threads
from recsys.models.als.rounding import halved, longest_of

WIDTH = 3 * N_LANES


@njit
def mixed(matrix: np.ndarray, row: int, vector: np.ndarray, number: np.float32) -> np.float32:
    """Overwrite the vector by ``(row * number + vector) / 2 - vector``; return its sum."""
    kept, matrix = borrowed(vector), borrowed(matrix)
    summed = same(np.float32(0))
    for f in range(0, kept.shape[0], N_LANES):
        value = load(matrix, (row, f)) * same(number) + load(kept, f)
        value = value / same(np.float32(2)) - load(kept, f)
        store(kept, f, value)
        summed += value
    return total(summed)


@njit
def round_trip(numbers: np.ndarray, halves: np.ndarray) -> int:
    """Round to half precision and back, in place; return how many halves a cache line holds."""
    for f in range(0, numbers.shape[0], N_LANES):
        store(halves, f, load(numbers, f))
        store(numbers, f, load(halves, f))
    return per_line(halves)


def test_lanes_compute_what_numpy_does() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((4, WIDTH)).astype(np.float32)
    vector = rng.standard_normal(WIDTH).astype(np.float32)
    expected = (matrix[2] * np.float32(1.5) + vector) / 2 - vector
    summed = mixed(matrix, 2, vector, np.float32(1.5))
    np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(summed, expected.sum(), rtol=1e-5, atol=1e-5)


@njit
def sums_of_four(matrix: np.ndarray, sums: np.ndarray) -> None:
    """Add up the first lanes of four rows."""
    four = four_totals(load(matrix, 0), load(matrix, 16), load(matrix, 32), load(matrix, 48))
    sums[0], sums[1], sums[2], sums[3] = four


def test_four_sums_at_once_are_those_of_four_rows() -> None:
    rows = np.random.default_rng(0).integers(-9999, 9999, 64).astype(np.float32)
    sums = np.zeros(4, dtype=np.float32)
    sums_of_four(rows, sums)
    np.testing.assert_array_equal(sums, rows.reshape(4, 16).sum(axis=1))  # whole numbers: exact


@given(st.lists(st.floats(-60000, 60000, width=32), min_size=WIDTH, max_size=WIDTH))
def test_halves_are_numpys(values: list[float]) -> None:
    numbers = np.array(values, dtype=np.float32)
    expected = numbers.astype(np.float16)
    halves = np.empty(WIDTH, dtype=np.uint16)
    assert round_trip(numbers, halves) == 32
    np.testing.assert_array_equal(halves.view(np.float16), expected)
    np.testing.assert_array_equal(numbers, expected.astype(np.float32))


@given(exponent=st.integers(-60, 60), n_rows=st.integers(1, 70))
def test_vectors_of_any_size_keep_three_digits_in_half_precision(
    exponent: int, n_rows: int
) -> None:
    rng = np.random.default_rng(n_rows)
    vectors = (rng.standard_normal((n_rows, N_LANES)) * 2.0**exponent).astype(np.float32)
    before = vectors.copy()
    with threads() as pool:
        halves, scale = halved(vectors, longest_of(vectors), pool)
    assert np.log2(scale) == int(np.log2(scale))
    np.testing.assert_array_equal(halves.view(np.float16).astype(np.float32), vectors * scale)
    np.testing.assert_allclose(vectors, before, rtol=2.0**-11, atol=1e-9 * abs(before).max())


def test_zeros_have_halves() -> None:
    with threads() as pool:
        halves, scale = halved(np.zeros((3, N_LANES), dtype=np.float32), 0.0, pool)
    assert scale == 1
    assert not halves.any()


@given(st.integers(1, 40), st.integers(1, 70))
def test_aligned_zeros_start_with_a_cache_line(n_rows: int, width: int) -> None:
    zeros = aligned_zeros(n_rows, width)
    assert zeros.shape == (n_rows, width)
    assert zeros.ctypes.data % 64 == 0
    assert zeros.flags.c_contiguous
    assert zeros.flags.writeable
    assert not zeros.any()
