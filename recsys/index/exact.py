"""Exact search: score every item."""

import numpy as np

from recsys.index.protocol import ItemRows
from recsys.vectors import FloatMatrix, FloatVector, top_k
from recsys.vectors.top_k import EXCLUDED


class ExactIndex:
    """Score every item by one matrix-vector product; the index of small catalogues.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)

    Examples
    --------
    >>> import numpy as np
    >>> index = ExactIndex(np.array([[1], [3], [2]], dtype=np.float32))
    >>> index.search(np.ones(1, dtype=np.float32), k=2, exclude=np.array([1], dtype=np.int32))
    (array([2, 0], dtype=int32), array([2., 1.], dtype=float32))
    """

    def __init__(self, items: FloatMatrix) -> None:
        self.items = items

    def search(self, user: FloatVector, k: int, exclude: ItemRows) -> tuple[ItemRows, FloatVector]:
        """Return the best items that are not excluded; see `recsys.index.Index.search`."""
        scores = self.items @ user
        scores[exclude] = EXCLUDED
        return best_of(scores, min(k, len(scores) - len(exclude)))


def best_of(scores: FloatVector, k: int) -> tuple[ItemRows, FloatVector]:
    """Return positions and values of the k largest of some scores, k at most their number."""
    if k < 1:
        return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
    columns, values = top_k(scores[None, :], k)
    return columns[0], values[0]
