"""What lists say beside their hits, compiled: one pass over each list serves all lengths."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.compiled.jit import compiled
from recsys.vectors import FloatMatrix

FloatArray = NDArray[np.float64]

_inline = njit(nogil=True, boundscheck=False, error_model="numpy")


@compiled()
def describe(
    columns: NDArray[np.int32],
    hits: NDArray[np.bool_],
    ks: NDArray[np.int64],
    share: FloatArray,
    surprise: FloatArray,
    place_by_popularity: NDArray[np.int64],
    known: FloatArray,
    novelty: FloatArray,
    serendipity: FloatArray,
) -> None:
    """Fill in means over each list, for each of its lengths.

    Parameters
    ----------
    columns : ndarray of int32, shape (n, largest k)
        Rows of items, best first; -1 behind the end of a short list.
    hits : ndarray of bool, same shape
    ks : ndarray of int64, shape (n_ks,)
        Lengths, ascending.
    share, surprise : ndarray of float64, shape (n_items,)
        Of the users of train who have each item, and its negative logarithm to the base of 2.
    place_by_popularity : ndarray of int64, shape (n_items,)
        0 for the most popular item, 1 for the next, and so on.
    known, novelty, serendipity : ndarray of float64, shape (n_ks, n)
        Are filled with the mean share, the mean surprise, and the share of the list that is hits
        outside the k most popular; 0 for an empty list.
    """
    for row in range(len(columns)):
        for length in range(len(ks)):
            n = _length(columns[row], ks[length])
            sums = (0.0, 0.0, 0)
            for place in range(n):
                item = columns[row, place]
                is_find = hits[row, place] and place_by_popularity[item] >= ks[length]
                sums = (sums[0] + share[item], sums[1] + surprise[item], sums[2] + is_find)
            known[length, row] = sums[0] / max(n, 1)
            novelty[length, row] = sums[1] / max(n, 1)
            serendipity[length, row] = sums[2] / max(n, 1)


@compiled()
def count_listed(
    columns: NDArray[np.int32], ks: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    """Add to `counts`, (n_ks, n_items), how often each item is in the lists of each length."""
    for length in range(len(ks)):
        for row in range(len(columns)):
            for place in range(_length(columns[row], ks[length])):
                counts[length, columns[row, place]] += 1


@compiled()
def mean_cosines(
    columns: NDArray[np.int32],
    ks: NDArray[np.int64],
    directions: FloatMatrix,
    squares: FloatArray,
    cosines: FloatArray,
) -> None:
    """Fill in the mean cosine of the pairs of each list; 1 for a list without a pair.

    ``sum of pairs = (|sum of directions|^2 - sum of their squares) / 2``.

    Parameters
    ----------
    columns, ks
        As in `describe`.
    directions : ndarray of float32, shape (n_items, factors)
        Embeddings of length 1, or 0.
    squares : ndarray of float64, shape (n_items,)
        Their squared lengths: 1 or 0.
    cosines : ndarray of float64, shape (n_ks, n)
    """
    total = np.empty(directions.shape[1], dtype=np.float32)
    for row in range(len(columns)):
        total[:] = 0
        done, alone = 0, 0.0
        for length in range(len(ks)):
            n = _length(columns[row], ks[length])
            for place in range(done, n):
                item = columns[row, place]
                alone += squares[item]
                for factor in range(len(total)):
                    total[factor] += directions[item, factor]
            done = n
            pairs = n * (n - 1.0)
            cosines[length, row] = (_squared(total) - alone) / pairs if pairs > 0 else 1.0


@_inline
def _length(columns: Any, k: int) -> Any:
    """Return the length of a list cut at k."""
    n = min(len(columns), k)
    while n > 0 and columns[n - 1] < 0:
        n -= 1
    return n


@_inline
def _squared(total: Any) -> float:
    squared = 0.0
    for factor in range(len(total)):
        squared += np.float64(total[factor]) * total[factor]
    return squared
