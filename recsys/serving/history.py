"""A history that somebody brings along, as a row of the matrix that models read."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from recsys.errors import DataError
from recsys.index import ItemRows

if TYPE_CHECKING:
    import scipy.sparse as sp


def history_of(rows: ItemRows, weights: Iterable[float] | None, *, n_items: int) -> "sp.csr_array":
    """Return a history as one row of user_items.

    Parameters
    ----------
    rows : ndarray of int32
        Items, -1 for one that is not known and left out.
    weights : iterable of float, optional
        One for each of them, finite and above 0; default 1. Those of a repeated item add up.
    n_items : int

    Returns
    -------
    csr_array of float32, shape (1, n_items)
        Indices ascend and are unique.

    Raises
    ------
    DataError
        If the history is empty or the weights do not fit.
    """
    import scipy.sparse as sp

    if len(rows) == 0:
        raise DataError("item_ids: expected a history of at least one item, got none")
    values = np.ones(len(rows)) if weights is None else _checked_weights(weights, len(rows))
    known = rows >= 0
    columns, place = np.unique(rows[known], return_inverse=True)
    data = np.bincount(place, weights=values[known], minlength=len(columns)).astype(np.float32)
    return sp.csr_array(
        (data, columns.astype(np.int32), np.array([0, len(columns)], dtype=np.int32)),
        shape=(1, n_items),
    )


def _checked_weights(
    weights: Iterable[float], n: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    try:
        values = np.fromiter(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"weights: expected a list of numbers, got {error}") from error
    if len(values) != n:
        raise DataError(f"weights: expected one for each of {n} items, got {len(values)}")
    if not (np.isfinite(values) & (values > 0)).all():
        raise DataError("weights: expected finite numbers above 0, got others")
    return values
