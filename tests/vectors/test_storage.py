"""Storage of vectors: what comes back, and how many bytes it took."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from recsys.errors import ConfigError, DivergedError
from recsys.vectors import STORAGES, encode

MATRICES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)
ROUNDING = 1 + 2.0**-20  # of the bounds themselves, which are computed in float32 by the code


@given(MATRICES)
def test_float32_comes_back_as_it_is(matrix: np.ndarray) -> None:
    np.testing.assert_array_equal(encode(matrix, "float32").decode(), matrix)


@given(MATRICES)
def test_float16_loses_half_a_unit_in_the_eleventh_binary_place(matrix: np.ndarray) -> None:
    stored = encode(matrix, "float16")
    scale = float(stored.scale[0, 0])
    assert scale == 1 or np.abs(matrix).max() >= 2.0**14 * scale  # no more than it takes
    bound = np.abs(matrix.astype(np.float64)) * 2.0**-11 + scale * 2.0**-25
    error = np.abs(stored.decode().astype(np.float64) - matrix)
    assert (error <= bound).all()


@given(MATRICES)
def test_int8_loses_half_a_step_of_its_row(matrix: np.ndarray) -> None:
    exact = matrix.astype(np.float64)
    smallest = 127 * float(np.finfo(np.float32).tiny)  # below, nothing differs from 0
    largest = np.maximum(np.abs(exact).max(axis=1, keepdims=True), smallest)
    error = np.abs(encode(matrix, "int8").decode() - exact)
    assert (error <= largest / 254 * ROUNDING + np.abs(exact) * 2.0**-22).all()


@given(MATRICES, st.sampled_from(STORAGES))
def test_the_negative_and_zero_stay_what_they_are(matrix: np.ndarray, storage: str) -> None:
    decoded = encode(matrix, storage).decode()  # type: ignore[arg-type]
    negative = encode(-matrix, storage).decode()  # type: ignore[arg-type]
    np.testing.assert_array_equal(negative, -decoded)
    assert (decoded[matrix == 0] == 0).all()


@given(MATRICES)
def test_a_row_does_not_depend_on_its_company_in_int8(matrix: np.ndarray) -> None:
    together = encode(matrix, "int8").decode()
    alone = np.concatenate([encode(row[None], "int8").decode() for row in matrix])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    ("storage", "n_bytes"), [("float32", 5 * 24), ("float16", 5 * 12), ("int8", 5 * (6 + 4))]
)
def test_bytes(storage: str, n_bytes: int) -> None:
    matrix = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    stored = encode(matrix, storage)  # type: ignore[arg-type]
    assert stored.values.dtype == storage
    assert stored.n_bytes == n_bytes
    assert stored.decode().dtype == np.float32


def test_one_scale_for_each_row_loses_less_than_one_for_each_column() -> None:
    """What was measured on real vectors, on vectors that are like them: long and short ones."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(300, 32)) * rng.lognormal(sigma=1.0, size=(300, 1))
    matrix = matrix.astype(np.float32)
    by_row = encode(matrix, "int8").decode()
    by_column = encode(np.ascontiguousarray(matrix.T), "int8").decode().T
    lost = [np.square(decoded - matrix).sum() for decoded in (by_row, by_column)]
    assert lost[0] < lost[1] / 4


def test_no_rows_are_no_bytes() -> None:
    for storage in STORAGES:
        stored = encode(np.empty((0, 4), dtype=np.float32), storage)
        assert stored.n_bytes == 0
        assert stored.decode().shape == (0, 4)


def test_what_cannot_be_stored_is_refused() -> None:
    matrix = np.ones((2, 2), dtype=np.float32)
    with pytest.raises(ConfigError, match="did you mean 'float16'"):
        encode(matrix, "float61")  # type: ignore[arg-type]
    matrix[1, 1] = np.nan
    for storage in STORAGES:
        with pytest.raises(DivergedError, match="finite"):
            encode(matrix, storage)
