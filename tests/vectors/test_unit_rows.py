import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.vectors.vector import unit_rows


@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=3), st.floats(1e-35, 1e35))
def test_rows_have_length_one_however_long_they_were(numbers: list[int], scale: float) -> None:
    row = np.array(numbers, dtype=np.float64)
    found = unit_rows((row * scale).astype(np.float32)[None, :])[0]
    assert found.dtype == np.float32
    expected = row / np.linalg.norm(row) if row.any() else row
    assert found == pytest.approx(expected, abs=1e-6)


def test_rows_of_zeros_stay() -> None:
    assert unit_rows(np.zeros((2, 4), dtype=np.float32)).tolist() == [[0] * 4] * 2
    assert unit_rows(np.empty((0, 4), dtype=np.float32)).shape == (0, 4)
