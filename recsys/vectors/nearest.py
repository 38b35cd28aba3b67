"""The nearest vectors by cosine or dot product, by an exact search."""

from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys.vectors.embeddings import FloatMatrix, FloatVector
from recsys.vectors.top_k import EXCLUDED, top_k
from recsys.vectors.vector import unit_rows

By = Literal["cosine", "dot"]
Rows = NDArray[np.int32]


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

    @cached_property
    def _units(self) -> FloatMatrix:
        return unit_rows(self._matrix)

    @cached_property
    def _has_direction(self) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.any(self._matrix != 0, axis=1)
        return found
