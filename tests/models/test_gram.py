"""Gram matrices against NumPy, and their bits, however rows are cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.base.threads import threads
from recsys.models.als import gram as rooms
from recsys.models.als.gram import gram, gram_parts, joined, product, total_of

CHUNK = 4
WIDTH = 16


@given(
    n_rows=st.integers(0, 90),
    edges=st.lists(st.integers(0, 90), max_size=5),
    are_chunks=st.booleans(),
    seed=st.integers(0, 9),
)
def test_sums_have_the_same_bits_however_chunks_are_put_together(
    n_rows: int, edges: list[int], are_chunks: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n_rows, WIDTH)).astype(np.float32)
    vectors *= 10 ** rng.uniform(-6, 0, (n_rows, 1)).astype(np.float32)  # else sums are exact
    scale = (1 if seed % 2 else rng.random(n_rows)) * np.ones(n_rows, dtype=np.float32)
    cut = [edge // CHUNK * CHUNK if are_chunks else edge for edge in edges]
    cut = sorted({0, n_rows, *(edge for edge in cut if edge < n_rows)})
    with pytest.MonkeyPatch.context() as patched, threads(2) as pool, threads(1) as alone:
        patched.setattr(rooms, "CHUNK", CHUNK)
        whole = gram(vectors, scale, pool)
        np.testing.assert_array_equal(gram(vectors, scale, alone), whole)
        parts = [
            part
            for first, last in pairwise(cut)
            for part in gram_parts(vectors[first:last], scale[first:last], alone, first)
        ]
        found = total_of(joined(parts), WIDTH)
    expected = (vectors.T.astype(np.float64) * scale) @ vectors
    np.testing.assert_allclose(whole, expected, atol=1e-4)
    if are_chunks:
        np.testing.assert_array_equal(found, whole)
    else:
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("width", [64, 512])
def test_a_few_rows_have_the_bits_that_they_have_among_others(width: int) -> None:
    rng = np.random.default_rng(0)
    rows, matrix = (rng.standard_normal((n, width)).astype(np.float32) for n in (300, width))
    among = product(rows, matrix)
    for n in (1, 2, 3):
        out = np.empty((n, width), dtype=np.float32)
        for row in range(0, len(rows) - n, n):
            few = product(rows[row : row + n], matrix, out=out)
            np.testing.assert_array_equal(few, among[row : row + n])
