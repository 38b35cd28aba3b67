"""Exact top-k with one deterministic order: score descending, then index ascending."""

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.vectors.embeddings import FloatMatrix

EXCLUDED = np.float32(-np.inf)
"""The score that keeps an item out of every list."""


def top_k(scores: FloatMatrix, k: int) -> tuple[NDArray[np.int32], FloatMatrix]:
    """Return the k best columns of every row, without sorting the rows.

    Each row is partitioned around its k-th largest score; only what lies above is sorted.

    Parameters
    ----------
    scores : ndarray of float32, shape (n_rows, n_columns)
        Columns whose score is ``EXCLUDED`` (minus infinity) are never returned.
    k : int
        At least 1. Lists are shorter where a row has fewer columns to offer.

    Returns
    -------
    columns : ndarray of int32, shape (n_rows, min(k, n_columns))
        Best first; ties by lower column. Behind the end of a short list stands -1.
    values : ndarray of float32, same shape
        Their scores; behind the end of a short list stands minus infinity.

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
    if k == 0:
        return np.empty((n_rows, 0), dtype=np.int32), np.empty((n_rows, 0), dtype=np.float32)
    threshold = np.partition(scores, n_columns - k, axis=1)[:, n_columns - k, None]  # (n_rows, 1)
    columns = np.empty((n_rows, k), dtype=np.int32)
    row_of, column_of = np.nonzero(scores >= threshold)
    counts = np.bincount(row_of, minlength=n_rows)
    if len(row_of) == n_rows * k:
        columns[:] = column_of.reshape(n_rows, k)
    else:  # ties around the threshold: the lowest columns win
        ends = np.cumsum(counts)
        for row, (start, end) in enumerate(zip(ends - counts, ends, strict=True)):
            columns[row] = _lowest_ties(scores[row], threshold[row, 0], column_of[start:end], k)
    values = np.take_along_axis(scores, columns, axis=1)
    # Columns ascend here, so a stable sort by score leaves ties in index order.
    order = np.argsort(-values, axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    columns[values == EXCLUDED] = -1
    return columns, values


def _lowest_ties(
    scores: NDArray[np.float32], threshold: np.float32, columns: NDArray[np.intp], k: int
) -> NDArray[np.intp]:
    """Keep k of the columns at or above the threshold, dropping the highest-numbered ties."""
    if len(columns) == k:
        return columns
    is_tie = scores[columns] == threshold
    keep = ~is_tie
    keep[np.nonzero(is_tie)[0][: k - int(keep.sum())]] = True
    return columns[keep]
