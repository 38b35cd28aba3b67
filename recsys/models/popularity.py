"""Popularity: the baseline every model has to beat, as a one-dimensional embedding."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.devices import Device
from recsys.features import Features
from recsys.models.mapped import mapped, with_priors
from recsys.models.protocol import (
    Contributions,
    FoldIn,
    OnEpoch,
    Unsized,
    UserItems,
    checked,
    fit_in_one_step,
    popularity_of,
    require_cpu,
    require_no_start,
)
from recsys.vectors import Embeddings, FloatMatrix


@dataclass(frozen=True)
class Popularity(Unsized):
    """Score every item by the number of users who interacted with it, the same for all users.

    A user's embedding is ``[1]``, an item's is ``[number of users]``.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> Popularity().fit(sp.csr_array([[1.0, 0.0], [5.0, 2.0]])).items.ravel()
    array([2., 1.], dtype=float32)
    """

    name: ClassVar[str] = "popularity"
    can_warm_start: ClassVar[bool] = False

    @property
    def factors(self) -> int:
        """One: the number of users is all there is to say of an item."""
        return 1

    @property
    def rotatable(self) -> tuple[slice, ...]:
        """Nothing: the one coordinate is a number of users."""
        return ()

    def fit(
        self,
        user_items: UserItems,
        *,
        start: Embeddings | None = None,
        on_epoch: OnEpoch | None = None,
        features: Features | None = None,
        device: Device | None = None,
    ) -> Embeddings:
        """Count the users of each item; see `Model.fit`."""
        require_no_start(self.name, start)
        require_cpu(self.name, device)
        found = fit_in_one_step(lambda: self._counted(checked(user_items)), on_epoch)
        return mapped(found, user_items, features)

    def _counted(self, user_items: sp.csr_array) -> Embeddings:
        popularity = popularity_of(user_items)
        items = popularity.astype(np.float32)[:, None]  # (n_items, 1)
        return Embeddings(self.fold_in(items, popularity)(user_items), items)

    def fold_in(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> FoldIn:
        """Return a function that gives every history the embedding ``[1]``."""

        def embed(user_items: sp.csr_array) -> FloatMatrix:
            n_users = checked(user_items, len(items)).shape[0]
            return np.ones((n_users, items.shape[1]), dtype=np.float32)

        return with_priors(embed)

    def contributions(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> Contributions:
        """Return a function by which no item of a history contributes to any score."""

        def contributed(history: sp.csr_array, _item_idx: int) -> NDArray[np.float64]:
            return np.zeros(history.nnz)

        return contributed
