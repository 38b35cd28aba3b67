"""What every model is: frozen hyperparameters whose `fit` returns embeddings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.errors import ConfigError, DataError
from recsys.base.progress import OnStep
from recsys.vectors import Embeddings, FloatMatrix


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


@dataclass(frozen=True)
class Epoch:
    """What a fit tells after each epoch.

    Parameters
    ----------
    number, n_epochs : int
        Epochs done, and in all.
    loss : float
        What the fit minimizes, for the embeddings as they are.
    seconds : float
        That the epoch took.
    embeddings : callable
        Makes a copy of them.
    """

    number: int
    n_epochs: int
    loss: float
    seconds: float
    embeddings: Callable[[], Embeddings]


OnEpoch = Callable[[Epoch], bool | None]
"""Called after each epoch; True stops the fit there."""


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
