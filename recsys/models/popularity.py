"""Popularity: the baseline every model has to beat, as a one-dimensional embedding."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.progress import OnStep
from recsys.models.protocol import Contributions, FoldIn, checked, popularity_of
from recsys.vectors import Embeddings, FloatMatrix


@dataclass(frozen=True)
class Popularity:
    """Score every item by the number of users who interacted with it, the same for all users.

    A user's embedding is ``[1]``, an item's is ``[number of users]``.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> Popularity().fit(sp.csr_array([[1.0, 0.0], [5.0, 2.0]])).items.ravel()
    array([2., 1.], dtype=float32)
    """

    name: ClassVar[str] = "popularity"

    @property
    def rotatable(self) -> tuple[slice, ...]:
        """Nothing: the one coordinate is a number of users."""
        return ()

    def fit(self, user_items: sp.csr_array, on_step: OnStep | None = None) -> Embeddings:
        """Count the users of each item.

        Parameters
        ----------
        user_items : csr_array, shape (n_users, n_items)
        on_step : callable, optional
            Told when the one step is done.

        Returns
        -------
        Embeddings
            With one factor.
        """
        matrix = checked(user_items)
        popularity = popularity_of(matrix)
        items = popularity.astype(np.float32)[:, None]
        if on_step is not None:
            on_step(1, 1)
        return Embeddings(users=self.fold_in(items, popularity)(matrix), items=items)

    def fold_in(self, items: FloatMatrix, popularity: NDArray[np.integer]) -> FoldIn:
        """Return a function that gives every history the embedding ``[1]``."""

        def embed(user_items: sp.csr_array) -> FloatMatrix:
            return np.ones((user_items.shape[0], items.shape[1]), dtype=np.float32)

        return embed

    def contributions(self, items: FloatMatrix, popularity: NDArray[np.integer]) -> Contributions:
        """Return a function that gives no item of a history a part in any score."""

        def parts(history: sp.csr_array, _item_idx: int) -> NDArray[np.float64]:
            return np.zeros(history.nnz)

        return parts
