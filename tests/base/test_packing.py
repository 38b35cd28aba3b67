"""Packing beside a twin of dictionaries, SciPy's transpose, and row offsets beyond 2^31."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.base import packing
from recsys.base.errors import DataError
from recsys.base.matrix_input import is_clean
from recsys.base.packing import (
    Merge,
    counts,
    csr_of,
    has_pairs,
    n_common,
    n_repeats,
    packed,
    packed_rows,
    row_sums,
    same_csr,
    transposed,
)
from recsys.base.threads import threads
from recsys.evaluation.held_out import pattern
from recsys.features import Features
from recsys.models.als.row_solver import N_SCRATCH, solve_rows
from recsys.models.protocol import checked
from recsys.store.seen_lists import SeenLists

SHAPE = (40, 30)
MERGED: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda one, other: one + other,
    "last": lambda _one, other: other,
    "max": max,
}


def events(n: int = 3000) -> tuple[Any, Any, Any]:
    """Events of few pairs, so that most repeat; one user has most of them, two have none."""
    rng = np.random.default_rng(0)
    user = (SHAPE[0] * rng.random(n) ** 3).astype(np.int32)
    user[user == 7] = 39
    item = (SHAPE[1] * rng.random(n) ** 2).astype(np.int32)
    return user, item, rng.random(n).astype(np.float32)


@pytest.mark.parametrize("merge", ["sum", "last", "max"])
@pytest.mark.parametrize("most", [1, 500, 1 << 24])
def test_packing_is_what_a_dictionary_gives(
    merge: Merge, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_ENTRIES", most)
    monkeypatch.setattr(packing, "_MOST_PARTS", len(events()[0]))
    twin: dict[tuple[int, int], np.float32] = {}
    for user, item, value in zip(*events(), strict=True):
        pair = (int(user), int(item))
        twin[pair] = MERGED[merge](twin[pair], value) if pair in twin else value
    found = packed(*events(), SHAPE, merge)
    pairs = sorted(twin)
    assert found.indices.tolist() == [item for _, item in pairs]
    assert found.data.tolist() == [twin[pair] for pair in pairs]  # to the last bit
    assert np.diff(found.indptr).tolist() == [
        sum(user == row for user, _ in pairs) for row in range(SHAPE[0])
    ]
    assert is_clean(found)


def test_events_that_stay_apart_keep_the_order_of_the_log() -> None:
    user, item, _ = events()
    place = np.arange(len(user)) // 4  # four of a kind
    (rows,) = packed_rows(user, item, place, SHAPE, "all")
    assert (np.diff(rows.values)[np.diff(rows.columns) == 0] >= 0).sum() > 2000
    triples = set(zip(user.tolist(), item.tolist(), place.tolist(), strict=True))
    assert n_repeats(rows) == len(user) - len(triples)


def test_the_transpose_is_scipys(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = packed(*events(), SHAPE, "sum")
    expected = sp.csr_array(matrix.T.tocsr())
    monkeypatch.setattr(packing, "_REGION", 50)
    monkeypatch.setattr(packing, "folder_of", lambda _: Path())  # as if mapped: in many regions
    with threads(3) as pool:
        found, sums = transposed(matrix, pool), row_sums(matrix, pool)
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(sums, matrix @ np.ones(SHAPE[1]))
    np.testing.assert_array_equal(row_sums(matrix), sums)


def test_what_is_asked_of_matrices() -> None:
    _, item, _ = events(60)
    matrix, other = packed(*events(60), SHAPE, "sum"), packed(*events(), SHAPE, "sum")
    dense, dense_other = matrix.toarray() > 0, other.toarray() > 0
    every = np.indices(SHAPE, dtype=np.int32).reshape(2, -1)
    np.testing.assert_array_equal(has_pairs(matrix, *every).reshape(SHAPE), dense)
    both = np.argwhere(dense & dense_other)
    assert n_common(matrix, other) == (len(both), *both[0].tolist())
    assert n_common(matrix, csr_of(*packed_nothing(), SHAPE)) == (0, -1, -1)
    np.testing.assert_array_equal(counts(item, SHAPE[1]), np.bincount(item, minlength=SHAPE[1]))
    dirty = same_csr(matrix)
    dirty.data = np.where(np.arange(matrix.nnz) == 3, np.nan, matrix.data)
    assert not is_clean(dirty)
    assert not is_clean(matrix.astype(np.float64))


# SciPy looks at these arrays only when it makes a matrix, and loops would follow them anywhere.
@pytest.mark.parametrize(
    ("array", "place", "value"),
    [
        *(("indices", 3, value) for value in (-1, 4)),
        *(("indptr", 2, value) for value in (-1, 3, 13, 99)),
        *(("indptr", 0, 1), ("indptr", 4, 17), ("indptr", 4, -1)),
    ],
)
def test_a_matrix_that_points_beyond_itself(array: str, place: int, value: int) -> None:
    for made in (sp.csr_array, sp.csc_array, sp.csr_matrix):
        matrix = made(np.ones((4, 4), np.float32))
        getattr(matrix, array)[place] = value
        refuses(matrix)


def test_coordinates_beyond_the_shape() -> None:
    matrix = sp.coo_array(np.ones((4, 4), np.float32))
    matrix.coords[1][3] = 4
    refuses(matrix)


def refuses(matrix: Any) -> None:
    for use in (checked, pattern, Features):
        with pytest.raises(DataError, match=r"lie within its shape \(4, 4\).*; make it anew"):
            use(matrix)


@pytest.mark.parametrize("name", ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"])
def test_every_format_is_taken(name: str) -> None:
    dense = np.arange(12, dtype=np.float32).reshape(3, 4)
    clean = checked(getattr(sp, f"{name}_array")(dense))
    assert is_clean(clean)
    np.testing.assert_array_equal(clean.toarray(), dense)


def test_room_behind_the_last_row_is_left() -> None:
    roomy = sp.csr_array(np.eye(3, 4, dtype=np.float32))
    roomy.data, roomy.indices = np.append(roomy.data, 9), np.append(roomy.indices, 9)
    for found in (checked(roomy), pattern(roomy)):
        np.testing.assert_array_equal(found.toarray(), np.eye(3, 4))
    assert len(roomy.data) == len(roomy.indices) == 4


def packed_nothing() -> tuple[Any, Any, Any]:
    offsets = np.zeros(SHAPE[0] + 1, dtype=np.int64)
    return np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int32), offsets


@pytest.fixture(scope="module")
def beyond(tmp_path_factory: pytest.TempPathFactory) -> sp.csr_array:
    """Three rows, the last two behind 2^31 entries that are holes of a file, with real ones."""
    n_holes, folder = 2**31 + 5, tmp_path_factory.mktemp("holes")
    columns, weights = np.array([1, 4, 7, 0, 7], np.int32), np.array([1, 2, 1, 3, 1], np.float32)
    arrays = []
    for name, real in (("columns", columns), ("weights", weights)):
        array = np.memmap(folder / name, real.dtype, "w+", shape=n_holes + len(real))
        array[n_holes:] = real
        arrays.append(np.asarray(array))
        (folder / name).unlink()
    indptr = np.array([0, n_holes, n_holes + 3, n_holes + 5])
    return csr_of(arrays[1], arrays[0], indptr, (3, 8))


def test_row_offsets_beyond_31_bits(beyond: sp.csr_array) -> None:
    assert beyond.indptr.dtype == np.int64  # and columns are not widened, as SciPy would
    assert beyond.indices.dtype == np.int32
    near = csr_of(beyond.data[-5:], beyond.indices[-5:], np.array([0, 0, 3, 5]), (3, 8))
    assert near.indptr.dtype == np.int32
    row, column = np.array([1, 1, 2, 2], np.int32), np.array([4, 5, 0, 7], np.int32)
    for matrix in (beyond, near):
        assert has_pairs(matrix, row, column).tolist() == [True, False, True, True]
        lists = SeenLists(matrix.indptr.astype(np.int64, copy=False), matrix.indices, matrix.data)
        assert [lists[2].tolist(), lists.weights(2).tolist()] == [[0, 7], [3, 1]]
    fixed = np.random.default_rng(0).random((8, 16), dtype=np.float32)
    far, close = (_solved(matrix, fixed) for matrix in (beyond, near))
    assert (far[1:] != 0).all()
    np.testing.assert_array_equal(far, close)


def _solved(matrix: sp.csr_array, fixed: Any) -> Any:
    """Solve the last two rows."""
    rows, ones = np.zeros((3, 16), np.float32), np.ones(16, np.float32)
    solve_rows(
        matrix.indptr.astype(np.int64, copy=False), matrix.indices, matrix.data, fixed, 1.0,
        ones[:0], rows[:0], rows, ones, rows[:0], ones[:3], ones[:3], rows[:0],
        np.zeros((N_SCRATCH, 16), np.float32), 1, 3, 2, 0.0, None,
    )  # fmt: skip
    return rows
