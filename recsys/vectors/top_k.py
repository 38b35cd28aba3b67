"""Exact top-k in one deterministic order, score descending, then index ascending."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.base.lazy import lazy_property
from recsys.vectors.embeddings import FloatMatrix, FloatVector
from recsys.vectors.vector import unit_rows

By = Literal["cosine", "dot"]
Rows = NDArray[np.int32]

EXCLUDED = np.float32(-np.inf)
"""The score that keeps an item out of every list."""

_CHUNK_BYTES = 4 * 1024**2  # of scores: the passes over a chunk after the first hit the cache
_GROUPS_PER_ITEM = 4  # groups per item of the list: more cost time, fewer leave more candidates
_MIN_GROUPS = 256
_MAX_CANDIDATES_PER_ITEM = 16  # a row with more is full of ties


def top_k(scores: FloatMatrix, k: int) -> tuple[NDArray[np.int32], FloatMatrix]:
    """Return the k best columns of every row, without sorting or partitioning the rows.

    The columns are dealt into groups. A row's k-th best group, by the group's best score, is a
    floor under its k-th best score, and in most rows little more than k columns reach it: only
    those are ranked. The cost of a row is a few passes at the speed of memory.

    Parameters
    ----------
    scores : ndarray of float32, shape (n_rows, n_columns)
        Not NaN. Columns whose score is ``EXCLUDED`` (minus infinity) are never returned.
    k : int
        At least 1. Lists are shorter where a row has fewer columns to offer.

    Returns
    -------
    columns : ndarray of int32, shape (n_rows, min(k, n_columns))
        Best first; ties by lower column. A short list ends in -1.
    values : ndarray of float32, same shape
        Their scores; a short list ends in minus infinity.

    Raises
    ------
    DataError
        If k is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> columns, values = top_k(np.array([[1, 3, 3, 2]], dtype=np.float32), k=3)
    >>> columns
    array([[1, 2, 3]], dtype=int32)
    """
    if k < 1:
        raise DataError(f"k: expected at least 1, got {k}")
    n_rows, n_columns = scores.shape
    k = min(k, n_columns)
    columns = np.empty((n_rows, k), dtype=np.int32)
    if k == 0:
        return columns, np.empty((n_rows, 0), dtype=np.float32)
    n_groups = max(_GROUPS_PER_ITEM * k, _MIN_GROUPS)
    step = max(1, _CHUNK_BYTES // (scores.itemsize * n_columns))
    for start in range(0, n_rows, step):
        chunk = scores[start : start + step]
        if n_columns < 2 * n_groups:
            ranked = _ranked(chunk, np.arange(n_columns), k)
        else:
            ranked = _ranked(*_candidates(chunk, _floor(chunk, k, n_groups), k), k)
        columns[start : start + step] = ranked
    values = np.take_along_axis(scores, columns, axis=1)
    columns[values == EXCLUDED] = -1
    return columns, values


def _floor(scores: FloatMatrix, k: int, n_groups: int) -> FloatVector:
    """Return a score of each row that k or more of its columns reach, (n_rows,)."""
    n_rows, n_columns = scores.shape
    # Every n_groups-th column is in the same group, which lets the maximum run over contiguous
    # memory. A few columns at the end are in no group: the floor stays a floor without them.
    size = n_columns // n_groups
    groups = scores[:, : size * n_groups].reshape(n_rows, size, n_groups).max(axis=1)
    floor: FloatVector = np.partition(groups, n_groups - k, axis=1)[:, n_groups - k]
    return floor


def _candidates(
    scores: FloatMatrix, floor: FloatVector, k: int
) -> tuple[FloatMatrix, NDArray[np.int32]]:
    """Return the scores that reach the floor and their columns, k or more in each row.

    Shorter rows are padded with excluded scores that lose every tie.
    """
    n_rows, n_columns = scores.shape
    is_candidate = scores >= floor[:, None]
    for row in range(n_rows):
        if np.count_nonzero(is_candidate[row]) > _MAX_CANDIDATES_PER_ITEM * k:
            is_candidate[row] = scores[row] > floor[row]
            is_candidate[row, np.flatnonzero(scores[row] == floor[row])[:k]] = True
    flat = np.flatnonzero(is_candidate)
    row_of, column_of = np.divmod(flat, n_columns)
    counts = np.bincount(row_of, minlength=n_rows)
    slot_of = np.arange(len(flat)) - (np.cumsum(counts) - counts)[row_of]
    candidates = np.full((n_rows, counts.max()), EXCLUDED, dtype=np.float32)
    columns = np.full(candidates.shape, n_columns, dtype=np.int32)  # after every tie
    candidates[row_of, slot_of] = scores[row_of, column_of]
    columns[row_of, slot_of] = column_of
    return candidates, columns


def _ranked(scores: FloatMatrix, columns: NDArray[np.integer], k: int) -> NDArray[np.int32]:
    """Return the columns of the k best scores of each row, best first, ties by lower column.

    Score and column are packed into one integer that sorts like the pair, so that ties need no
    treatment of their own.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # adding 0 makes -0.0 tie with 0.0
    # The bits of negative floats sort backwards; flipped, all of them sort like the numbers.
    ascending = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    keys = (ascending.astype(np.int64) << 32) - columns
    best = np.partition(keys, keys.shape[1] - k, axis=1)[:, -k:]
    best.sort(axis=1)
    return (-best[:, ::-1]).astype(np.int32)


class NearestRows:
    """Search the rows of a matrix by cosine or dot product; every row is scored.

    Parameters
    ----------
    matrix : ndarray of float32, shape (n, factors)
        The first search by cosine makes a copy of it, scaled to length 1.

    Examples
    --------
    >>> import numpy as np
    >>> nearest = NearestRows(np.array([[3, 4], [0, 0], [0, 2]], dtype=np.float32))
    >>> nearest.search(np.array([0, 1], dtype=np.float32), 3, by="cosine")
    (array([2, 0], dtype=int32), array([1. , 0.8], dtype=float32))
    """

    def __init__(self, matrix: FloatMatrix) -> None:
        self._matrix = matrix

    def search(
        self,
        query: FloatVector,
        k: int,
        *,
        by: By,
        exclude: Rows | None = None,
        among: Rows | None = None,
    ) -> tuple[Rows, FloatVector]:
        """Return the nearest rows and their scores, best first, ties by lower row.

        Parameters
        ----------
        query : ndarray of float32, shape (factors,)
            Of length 1 for a search by cosine.

        Returns
        -------
        rows : ndarray of int32, shape (n_found,)
            At most k.
        scores : ndarray of float32, shape (n_found,)
        """
        candidates = None if among is None else np.unique(among)
        scores = self._scores(query, by, slice(None) if candidates is None else candidates)
        if exclude is not None:
            left_out = exclude if candidates is None else np.isin(candidates, exclude)
            scores[left_out] = EXCLUDED
        columns, best = top_k(scores[None, :], k)
        n_found = int((columns[0] >= 0).sum())
        found = columns[0, :n_found]
        return found if candidates is None else candidates[found], best[0, :n_found]

    def _scores(self, query: FloatVector, by: By, rows: Rows | slice) -> FloatVector:
        if by == "dot":
            products: FloatVector = self._matrix[rows] @ query
            return products
        cosines: FloatVector = self._units[rows] @ query
        np.clip(cosines, -1, 1, out=cosines)  # rounding can exceed them
        cosines[~self._has_direction[rows]] = EXCLUDED
        return cosines

    @lazy_property
    def _units(self) -> FloatMatrix:
        return unit_rows(self._matrix)

    @lazy_property
    def _has_direction(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.asarray(self._matrix.any(axis=1))
        return found
