"""What a model accepts: a checked matrix of weights."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.errors import ConfigError, DataError


def checked(user_items: sp.csr_array) -> sp.csr_array:
    """Return a clean copy: float32, sorted indices, no repeats and no stored zeros.

    Raises
    ------
    DataError
        If it has no rows or columns, or holds a weight that is negative or not finite.
    """
    if user_items.ndim != 2 or 0 in user_items.shape:
        raise DataError(
            f"user_items: expected a matrix with at least one user and one item, "
            f"got shape {user_items.shape}"
        )
    matrix = sp.csr_array(user_items, dtype=np.float32, copy=True)
    # A negative or NaN weight fails this comparison as well.
    n_bad = int((~((matrix.data >= 0) & np.isfinite(matrix.data))).sum())
    if n_bad:
        raise DataError(
            f"user_items: expected finite weights of 0 or more, got {n_bad} others of {matrix.nnz}"
        )
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def popularity_of(user_items: sp.csr_array) -> NDArray[np.int64]:
    """Return the number of users of each item, int64 (n_items,)."""
    return np.bincount(user_items.indices, minlength=user_items.shape[1]).astype(np.int64)


def power_of_counts(counts: NDArray[np.integer], exponent: float) -> NDArray[np.float32]:
    """Raise counts to a power; a count of zero gives zero."""
    powers = np.zeros(len(counts), dtype=np.float32)
    np.power(counts, exponent, out=powers, where=counts > 0, casting="unsafe", dtype=np.float64)
    return powers


def require(
    name: str, value: float, *, above: float | None = None, least: int | None = None
) -> None:
    """Raise a ConfigError that names a hyperparameter which is out of range."""
    if above is not None and not above < value < float("inf"):
        raise ConfigError(f"{name}: expected a finite number above {above:g}, got {value}")
    if least is not None and value < least:
        raise ConfigError(f"{name}: expected {least} or more, got {value}")
