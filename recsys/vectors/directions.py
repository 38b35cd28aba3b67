"""Vectors without their lengths: what cosines compare."""

import numpy as np

from recsys.vectors.embeddings import FloatMatrix


def directions(matrix: FloatMatrix) -> FloatMatrix:
    """Return every row at length 1, and rows of zeros as they are.

    Parameters
    ----------
    matrix : ndarray of float, shape (n, factors)
        Finite.

    Returns
    -------
    ndarray of the same shape and dtype
    """
    # By the largest entry first, so that no square leaves the range of float32, nor rounds to 0.
    largest = np.abs(matrix).max(axis=1, keepdims=True, initial=0)
    largest[largest == 0] = 1
    found: FloatMatrix = np.divide(matrix, largest)
    norms = np.sqrt(np.einsum("ij,ij->i", found, found))  # 1 or more, or 0
    norms[norms == 0] = 1
    found /= norms[:, None]
    return found
