"""Cosine similarity between items."""

import numpy as np

from recsys.index import ItemRows
from recsys.index.exact import best_of
from recsys.vectors import FloatMatrix, FloatVector
from recsys.vectors.top_k import EXCLUDED


class ItemCosines:
    """Similarity of items by the cosine of their embeddings.

    An item with a zero embedding has no direction: it is similar to nothing, and nothing to it.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)
    """

    def __init__(self, items: FloatMatrix) -> None:
        # Scaled by the largest entry first, so that no square leaves the range of float32.
        largest = np.abs(items).max(axis=1, initial=0)
        self._is_zero = largest == 0
        scaled = items / np.where(self._is_zero, np.float32(1), largest)[:, None]
        norms = np.linalg.norm(scaled, axis=1)
        norms[self._is_zero] = 1
        self._directions: FloatMatrix = scaled / norms[:, None]

    def nearest(self, item_idx: int, k: int) -> tuple[ItemRows, FloatVector]:
        """Return the items most similar to one, without itself, best first, ties by lower row."""
        cosines = self._directions @ self._directions[item_idx]
        left_out = self._is_zero | self._is_zero[item_idx]
        left_out[item_idx] = True
        cosines[left_out] = EXCLUDED
        return best_of(cosines, min(k, len(cosines) - int(left_out.sum())))

    def nearest_among(self, rows: ItemRows, item_idx: int) -> tuple[int, float] | None:
        """Return the most similar of some items and its cosine; None where none has any."""
        rows = rows[(rows != item_idx) & ~self._is_zero[rows]]
        if len(rows) == 0 or self._is_zero[item_idx]:
            return None
        cosines = self._directions[rows] @ self._directions[item_idx]
        best = int(cosines.argmax())
        return int(rows[best]), float(cosines[best])
