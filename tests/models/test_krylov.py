"""Krylov eigenpairs and sparse products against dense linear algebra."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.base.threads import chunks, ranges_of_equal_work, threads
from recsys.models.spectral.krylov import Basis, EigenPairs, largest_eigenpairs, with_fixed_signs
from recsys.models.spectral.truncated import SparseProducts, truncated_svd

Dtype = type[np.float32] | type[np.float64]


def gram_matrix(n: int, rank: int, seed: int = 0) -> np.ndarray:
    """A positive semidefinite matrix of this rank, its largest eigenvalue around 1."""
    factor = np.random.default_rng(seed).standard_normal((n, rank)) / (n**0.5 + rank**0.5)
    return factor @ factor.T


def eigenpairs(
    M: np.ndarray, k: int, size: int, block: int, dtype: Dtype = np.float64
) -> EigenPairs:
    with threads(2) as pool:
        return largest_eigenpairs(
            lambda vectors: M.astype(dtype) @ vectors,
            len(M),
            k,
            pool,
            basis_size=size,
            block_size=block,
            seed=1,
            dtype=dtype,
        )


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-5)])
@pytest.mark.parametrize(
    ("rank", "k", "size", "block"),
    [(90, 10, 90, 7), (90, 90, 90, 32), (5, 10, 40, 8), (90, 1, 90, 1)],
    ids=["some", "all", "low rank", "one vector at a time"],
)
def test_a_large_enough_basis_gives_the_exact_pairs(
    dtype: Dtype, tolerance: float, rank: int, k: int, size: int, block: int
) -> None:
    M = gram_matrix(90, rank)
    pairs = eigenpairs(M, k, size, block, dtype)
    np.testing.assert_allclose(pairs.values, np.linalg.eigvalsh(M)[::-1][:k], atol=tolerance)
    np.testing.assert_allclose(M @ pairs.vectors, pairs.vectors * pairs.values, atol=tolerance)
    np.testing.assert_allclose(pairs.vectors.T @ pairs.vectors, np.eye(k), atol=10 * tolerance)


def test_residuals_are_those_of_the_vectors() -> None:
    M = gram_matrix(300, 200)
    pairs = eigenpairs(M, 10, 60, 8)
    actual = np.linalg.norm(M @ pairs.vectors - pairs.vectors * pairs.values, axis=0)
    assert actual.max() > 1e-3  # a small basis, so that there is something to compare
    np.testing.assert_allclose(pairs.residuals, actual, rtol=1e-6, atol=1e-12)


def test_a_larger_basis_is_closer() -> None:
    M = gram_matrix(300, 200)
    exact = np.linalg.eigvalsh(M)[::-1][:10]
    errors = [np.abs(eigenpairs(M, 10, size, 8).values - exact).max() for size in (40, 80, 160)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]


def test_the_identity_whose_every_space_is_used_up_at_once() -> None:
    np.testing.assert_allclose(eigenpairs(np.eye(50), 30, 40, 4).values, np.ones(30), atol=1e-12)


def test_the_zero_matrix() -> None:
    assert np.all(eigenpairs(np.zeros((20, 20)), 5, 10, 4).values == 0)


def test_a_negative_eigenvalue_is_not_large() -> None:
    pairs = eigenpairs(np.diag([-9.0, 1, 2, 3, -5, 4, 0.5, -1]), 3, 8, 2)
    np.testing.assert_allclose(pairs.values, [4, 3, 2], atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_bits_for_any_number_of_threads(dtype: Dtype) -> None:
    rng = np.random.default_rng(0)
    wide = sp.csr_array(sp.random_array((9000, 9500), density=1e-3, rng=rng))  # three chunks
    found = []
    for n in (1, 2, 5):
        with threads(n) as pool:
            A = SparseProducts(wide.astype(dtype), pool, mean=wide.mean(axis=0))
            pairs = largest_eigenpairs(
                A.normal_times,
                9000,
                8,
                pool,
                basis_size=40,
                block_size=8,
                seed=0,
                dtype=dtype,
            )
            found.append((pairs.values, A.transposed_times(pairs.vectors)))
    for values, V in found[1:]:
        np.testing.assert_array_equal(values, found[0][0])
        np.testing.assert_array_equal(V, found[0][1])


def test_the_largest_entry_of_each_vector_is_positive() -> None:
    vectors = eigenpairs(gram_matrix(50, 40), 20, 50, 8).vectors
    assert np.all(vectors[np.abs(vectors).argmax(axis=0), np.arange(20)] > 0)


def test_split_takes_a_block_apart() -> None:
    rng = np.random.default_rng(0)
    block = rng.standard_normal((60, 4))
    with threads(2) as pool:
        basis = Basis(60, 20, np.float64, pool)
        basis.append(np.linalg.qr(rng.standard_normal((60, 12)))[0])
        # Hardly anything of it lies outside the basis, which is what rounding likes best.
        block[:, 0] = basis.columns[:, 0] + 1e-9 * block[:, 0]
        inside, rest, coupling = basis.split(block.copy(), floor=1e-12)
        np.testing.assert_allclose(basis.combine(inside) + rest @ coupling, block, atol=1e-12)
        np.testing.assert_allclose(rest.T @ rest, np.eye(4), atol=1e-12)
        np.testing.assert_allclose(basis.columns[:, :12].T @ rest, 0, atol=1e-12)


@given(
    n_rows=st.integers(1, 40),
    n_columns=st.integers(1, 40),
    width=st.integers(1, 9),
    density=st.floats(0, 1),
    centered=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_sparse_products_are_the_dense_ones(
    n_rows: int, n_columns: int, width: int, density: float, centered: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    matrix = sp.random_array((n_rows, n_columns), density=density, rng=rng, format="csr")
    mean = rng.standard_normal(n_columns) if centered else None
    dense = matrix.toarray() - (0 if mean is None else mean)
    right, left = rng.standard_normal((n_columns, width)), rng.standard_normal((n_rows, width))
    with threads(2) as pool:
        A = SparseProducts(sp.csr_array(matrix), pool, mean)
        np.testing.assert_allclose(A.times(right), dense @ right, atol=1e-12)
        np.testing.assert_allclose(A.transposed_times(left), dense.T @ left, atol=1e-12)


@given(counts=st.lists(st.integers(0, 1000), min_size=1, max_size=50), n=st.integers(1, 70))
def test_ranges_of_equal_work_cover_every_row_once(counts: list[int], n: int) -> None:
    parts = ranges_of_equal_work(np.cumsum([0, *counts]), n)
    assert [row for part in parts for row in range(*part)] == list(range(len(counts)))
    assert len(parts) <= n


@given(n=st.integers(0, 1_000_000))
def test_chunks_cover_every_row_once(n: int) -> None:
    cut = chunks(n)
    assert [part.start for part in cut] == [0, *(part.stop for part in cut)][: len(cut)]
    assert sum(part.stop - part.start for part in cut) == n
    assert len(cut) <= 64


@pytest.mark.parametrize("shape", [(70, 40), (40, 70)], ids=["tall", "wide"])
@pytest.mark.parametrize("centered", [False, True])
def test_truncated_svd_is_the_dense_one(shape: tuple[int, int], centered: bool) -> None:
    rng = np.random.default_rng(0)
    matrix = sp.csr_array(sp.random_array(shape, density=0.2, rng=rng))
    mean = matrix.mean(axis=0) if centered else None
    dense = matrix.toarray() - (0 if mean is None else mean)
    _, S, Vt = np.linalg.svd(dense, full_matrices=False)
    values, V = truncated_svd(matrix, 12, mean=mean)
    np.testing.assert_allclose(values, S[:12], atol=1e-8)
    np.testing.assert_allclose(np.abs((V * Vt[:12].T).sum(axis=0)), np.ones(12), atol=1e-8)


def test_float32_is_given_up_where_it_does_not_hold_the_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recsys.models.spectral.truncated.DOUBLE_BYTES", 0)  # float32 comes first
    values = np.full(600, 1e-7)
    values[:6] = 10.0 ** -np.arange(6)
    found, V = truncated_svd(sp.csr_array(sp.diags_array(values)), 6)
    np.testing.assert_allclose(found, values[:6], rtol=1e-3)
    np.testing.assert_allclose(V[:6], np.eye(6), atol=1e-3)
    assert V.dtype == np.float64
    assert truncated_svd(sp.csr_array(sp.diags_array(values)), 2)[1].dtype == np.float32


def test_no_factors_and_no_entries() -> None:
    values, V = truncated_svd(sp.csr_array((3, 4), dtype=np.float32), 2)
    assert not values.any()
    assert not V.any()
    assert truncated_svd(sp.csr_array(np.eye(3)), 0)[1].shape == (3, 0)


def test_the_largest_entry_of_a_column_is_positive_and_of_equal_ones_the_first() -> None:
    vectors = np.array([[1.0, -2.0, -3.0, 0.0], [-2.0, 2.0, 3.0, 0.0], [0.5, 1.0, -3.0, 0.0]])
    expected = vectors * [-1, -1, -1, 1]
    np.testing.assert_array_equal(with_fixed_signs(vectors), expected)
