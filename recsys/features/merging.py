"""A compiled product of the words of rows with the parts of words, of which only sums are kept."""

import math

import numpy as np
from numpy.typing import NDArray

from recsys.base.jit import compiled

Counts = NDArray[np.int32]


@compiled()
def merge_parts(
    first: int,
    last: int,
    indptr: Counts,
    words: Counts,
    times: Counts,
    parts_indptr: Counts,
    parts: Counts,
    often: Counts,
    scale: NDArray[np.float64],
    counts: Counts,
    met: Counts,
    n_rows: NDArray[np.int64],
    squares: NDArray[np.float64],
    n_repeated: NDArray[np.int64],
    columns: Counts,
    more: NDArray[np.float64],
) -> int:
    """Count the parts of rows by column; return how many columns a row has repeatedly, in all.

    Parameters
    ----------
    first, last : int
        Of the rows.
    indptr, words, times : arrays
        How often each row has each word.
    parts_indptr, parts, often : arrays
        How often each word has the parts of each column.
    scale : ndarray, shape (n_columns,)
    counts, met : ndarray, shape (n_columns,)
        Room; counts are 0, and are so again.
    n_rows : ndarray, shape (n_columns,)
        Of each column, to which those here are added.
    squares : ndarray, shape (n,)
        Set: the sum of the squares of ``(1 + log(count)) * scale`` of each row.
    n_repeated : ndarray, shape (n,)
        Set: how many columns a row has more than once.
    columns, more : ndarray
        Set: those columns, and ``(1 + log(count) - count) * scale`` of each.
    """
    found = 0
    for row in range(first, last):
        n_met = 0
        for j in range(indptr[row], indptr[row + 1]):
            word, of_word = words[j], times[j]
            for at in range(parts_indptr[word], parts_indptr[word + 1]):
                column = parts[at]
                if counts[column] == 0:
                    met[n_met] = column
                    n_met += 1
                counts[column] += of_word * often[at]
        square, before = 0.0, found
        for at in range(n_met):
            column = met[at]
            count = counts[column]
            counts[column] = 0
            n_rows[column] += 1
            value = scale[column]
            if count > 1:
                value *= 1 + math.log(count)
                columns[found] = column
                more[found] = value - count * scale[column]
                found += 1
            square += value * value
        squares[row] = square
        n_repeated[row] = found - before
    return found
