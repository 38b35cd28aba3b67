"""What every model is: frozen hyperparameters whose `fit` returns embeddings."""

from typing import ClassVar, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.progress import OnStep
from recsys.vectors import Embeddings, FloatMatrix


class FoldIn(Protocol):
    """Histories to user embeddings, against item embeddings that stay as they are."""

    def __call__(self, user_items: sp.csr_array, /) -> FloatMatrix:
        """Return one embedding per history, float32 (n_histories, factors).

        A history is a row of weights over the same items, in the same order, as in training.
        """


class Contributions(Protocol):
    """Parts of a score by the items of a history that it comes from."""

    def __call__(self, history: sp.csr_array, item_idx: int, /) -> NDArray[np.float64]:
        """Return the part of each entry of a history, (1, n_items), in the score of an item.

        They sum to the score that a fold-in of the history gives, up to what no entry has a part
        in, such as the popularity of the item.
        """


class Model(Protocol):
    """A frozen set of hyperparameters. There is no unfitted object, and nothing is pickled."""

    name: ClassVar[str]

    @property
    def rotatable(self) -> tuple[slice, ...]:
        """Runs of coordinates that stand for nothing each by itself.

        Items whose coordinates are rotated within each run are folded in to users that are rotated
        likewise. A coordinate in no run means something, and stays as it is.
        """

    def fit(self, user_items: sp.csr_array, on_step: OnStep | None = None) -> Embeddings:
        """Factorize a float32 matrix of weights (n_users, n_items), rows are users."""

    def fold_in(self, items: FloatMatrix, popularity: NDArray[np.integer]) -> FoldIn:
        """Prepare, once, the embedding of histories that training did not see.

        Takes what `items.parquet` holds: the item embeddings and each item's number of users.
        Folding in a user's training history gives the user's stored row.
        """

    def contributions(self, items: FloatMatrix, popularity: NDArray[np.integer]) -> Contributions:
        """Prepare, once, the explanation of scores; takes what `fold_in` does."""
