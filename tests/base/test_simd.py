"""Registers in compiled code against the same in NumPy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from recsys.base.aligned import aligned_zeros
from recsys.base.simd import (
    N_LANES,
    borrowed,
    four_totals,
    is_in_halves,
    load,
    load_low,
    same,
    store,
    total,
)

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
def taken_apart(halves: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> bool:
    """Write the numbers whose bits are those there, and those of the lower halves."""
    for f in range(0, upper.shape[0], N_LANES):
        store(upper, f, load(halves, f))
        store(lower, f, load_low(halves, f))
    return is_in_halves(halves) and not is_in_halves(upper)


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


@given(st.lists(st.integers(0, 2**32 - 1), min_size=WIDTH, max_size=WIDTH))
def test_both_halves_of_a_word_are_numbers(words: list[int]) -> None:
    halves = np.array(words, dtype=np.uint32)
    upper, lower = np.empty((2, WIDTH), dtype=np.float32)
    assert taken_apart(halves, upper, lower)
    np.testing.assert_array_equal(upper.view(np.uint32), halves)
    np.testing.assert_array_equal(lower.view(np.uint32), halves << 16)


@given(st.integers(1, 40), st.integers(1, 70))
def test_aligned_zeros_start_with_a_cache_line(n_rows: int, width: int) -> None:
    zeros = aligned_zeros(n_rows, width)
    assert zeros.shape == (n_rows, width)
    assert zeros.ctypes.data % 64 == 0
    assert zeros.flags.c_contiguous
    assert zeros.flags.writeable
    assert not zeros.any()
