"""The compiled ranking against `top_k` and against sorting whole rows."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.evaluation.ranking import rank_block
from recsys.vectors import top_k


def ranked(scores, seen, relevant, k: int):
    """Columns, hits, numbers listed and pairs in wrong order, by the kernel."""
    n, n_items = scores.shape
    columns = np.empty((n, min(k, n_items)), dtype=np.int32)
    hits = np.empty(columns.shape, dtype=np.bool_)
    n_listed, n_misordered = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int64)
    pointers = [
        array
        for matrix in (sp.csr_array(seen), sp.csr_array(relevant))
        for array in (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32))
    ]
    users = np.arange(n, dtype=np.int32)
    rank_block(scores.copy(), users, *pointers, columns, hits, n_listed, n_misordered)
    return columns, hits, n_listed, n_misordered


def assert_ranked(scores, seen, relevant, k: int) -> None:
    """Hold the kernel to the slow way: seen items out, all others sorted."""
    columns, hits, n_listed, n_misordered = ranked(scores, seen, relevant, k)
    masked = np.where(seen, np.float32(-np.inf), scores)
    np.testing.assert_array_equal(columns, top_k(masked, k)[0])
    np.testing.assert_array_equal(n_listed, (columns >= 0).sum(axis=1))
    for row in range(len(scores)):
        listed = columns[row, : n_listed[row]]
        np.testing.assert_array_equal(hits[row, : n_listed[row]], relevant[row, listed])
        assert not hits[row, n_listed[row] :].any()
        unseen = np.flatnonzero(~seen[row])
        # What is never listed is last, the relevant of it behind the others.
        last = np.isneginf(masked[row, unseen]) & relevant[row, unseen]
        order = unseen[np.lexsort((unseen, last, -masked[row, unseen]))]
        is_relevant = relevant[row, order]
        assert n_misordered[row] == np.cumsum(~is_relevant)[is_relevant].sum()


@settings(max_examples=100)
@given(
    seed=st.integers(0, 10**6),
    n_items=st.sampled_from([1, 2, 30, 63, 64, 65, 511, 512, 513, 1500]),
    k=st.sampled_from([1, 2, 20, 64, 70, 200]),
    n_levels=st.sampled_from([1, 2, 10, 1000]),
    density=st.sampled_from([0.0, 0.05, 0.5, 0.95]),
    excluded=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_the_ranking_is_that_of_sorted_rows(
    seed: int, n_items: int, k: int, n_levels: int, density: float, excluded: float
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(-n_levels, n_levels, (6, n_items)).astype(np.float32)
    scores *= rng.choice(np.float32([-1, 0.3]), scores.shape)  # with zeros of both signs
    scores[rng.random(scores.shape) < excluded / 3] = -np.inf
    seen = rng.random(scores.shape) < density
    relevant = ~seen & (rng.random(scores.shape) < 0.2)
    assert_ranked(scores, seen, relevant, k)


@pytest.mark.parametrize("shape", ["ascending", "descending", "all in one group", "constant"])
def test_scores_in_an_order_that_is_hard_for_groups(shape: str) -> None:
    n_items, k = 3000, 20
    at = np.arange(n_items, dtype=np.float32)
    row = {
        "ascending": at,
        "descending": -at,
        "all in one group": np.where(at % 256 == 0, at, -at),
        "constant": np.ones_like(at),
    }[shape]
    scores = np.stack([row, row])
    seen = np.zeros(scores.shape, dtype=np.bool_)
    seen[1, ::3] = True
    relevant = ~seen & (np.arange(n_items) % 7 == 1)
    assert_ranked(scores, seen, relevant, k)
