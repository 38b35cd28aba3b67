"""Matrices of likes and dislikes: a weight below 0 is a dislike, a known zero of that confidence.

`packing` makes them; here they are taken apart. A matrix without dislikes comes back as it is.
"""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.mapped import made_of, taken
from recsys.base.packing import csr_of

SMALLEST = np.finfo(np.float32).tiny
"""What is left of a weight that would vanish: a pair of weight 0 would not be seen."""


def has_dislikes(matrix: sp.csr_array) -> bool:
    """Return whether a weight is below 0."""
    return bool(matrix.nnz) and bool(matrix.data.min() < 0)


def liked(matrix: sp.csr_array) -> sp.csr_array:
    """Return the weights above 0 alone."""
    return _part(matrix, matrix.data > 0) if has_dislikes(matrix) else matrix


def disliked(matrix: sp.csr_array) -> sp.csr_array:
    """Return the dislikes alone, each by its confidence, above 0."""
    part = _part(matrix, matrix.data < 0)
    part.data = made_of(part.data, np.abs, dtype=part.data.dtype)
    return part


def counted(matrix: sp.csr_array) -> sp.csr_array:
    """Return a matrix without the pairs of which nothing is left but that they were seen."""
    is_counted = np.abs(matrix.data) > SMALLEST
    return matrix if is_counted.all() else _part(matrix, is_counted)


def with_data_of(matrix: sp.csr_array, likes: sp.csr_array) -> sp.csr_array:
    """Return a matrix whose likes weigh what they do in `likes`, which has them alone."""
    data = np.array(matrix.data)
    data[data > 0] = likes.data
    return csr_of(data, matrix.indices, matrix.indptr, matrix.shape)


def likes_per_row(matrix: sp.csr_array) -> NDArray[np.integer]:  # (n_rows,)
    """Return how many weights of each row are above 0."""
    n_likes: NDArray[np.integer] = np.diff(liked(matrix).indptr)
    return n_likes


def _part(matrix: sp.csr_array, is_kept: NDArray[np.bool_]) -> sp.csr_array:
    before = np.concatenate([[0], np.cumsum(is_kept)])  # (nnz + 1,)
    data, indices = taken(matrix.data, is_kept), taken(matrix.indices, is_kept)
    return csr_of(data, indices, before[matrix.indptr], matrix.shape)
