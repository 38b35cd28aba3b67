"""What every model is: frozen hyperparameters whose `fit` returns embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import Field, fields, is_dataclass, replace
from math import inf
from typing import Any, ClassVar, Protocol, Self, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.checks import require, require_types
from recsys.base.devices import Device, device_of
from recsys.base.errors import ConfigError, DataError
from recsys.base.mapped import made_of
from recsys.base.matrix_input import as_csr, is_clean
from recsys.base.packing import counts, csr_of, same_csr
from recsys.base.signed import SMALLEST, liked
from recsys.features import Features
from recsys.logs.interactions import Interactions
from recsys.models.epochs import Epoch as Epoch
from recsys.models.epochs import OnEpoch as OnEpoch
from recsys.models.epochs import epoch_bar as epoch_bar
from recsys.models.epochs import fit_in_one_step as fit_in_one_step
from recsys.vectors import Embeddings, FloatMatrix

_COLUMNS_OF_EVENTS = 4  # at most: user, item, weight and time
_ROUNDING = 1e-6  # of the mean of float32 weights
_MOST_FACTORS = 2**16  # of which the Gram matrix still fits in the memory of a large machine

UserItems: TypeAlias = sp.csr_array | Interactions
"""Weights of users (rows) and items, as a matrix or as the log that `user_items()` makes it of."""


def checked(
    user_items: UserItems,
    n_items: int | None = None,
    recency: float = 0.0,
    *,
    signed: bool = False,
) -> sp.csr_array:
    """Return a clean matrix: float32, sorted int32 columns, no repeats and no stored zeros.

    Its arrays are those of a matrix that is clean, not to be written to. With a recency, weights
    fall with the steps back. `signed`: dislikes are in it, by weights below 0. A DataError if it is
    no log or matrix of numbers, is empty, points beyond itself, has other items than were asked
    for, a weight below 0 that is not asked for or not finite, or no order where one is needed.
    """
    if isinstance(user_items, Interactions):
        user_items = user_items.user_items(recency, signed=signed)
    elif recency:
        require_order(user_items, "recency")
    _require_matrix(user_items)
    if user_items.ndim != 2 or 0 in user_items.shape:
        expected = "a matrix with at least one user and one item"
        raise DataError(f"user_items: expected {expected}, got shape {user_items.shape}")
    if n_items not in (None, user_items.shape[1]):
        raise DataError(
            f"user_items: expected histories with a column for each of the {n_items:,} items of "
            f"the embeddings, got shape {user_items.shape}"
        )
    if is_clean(user_items, signed=signed):
        return same_csr(user_items)
    with np.errstate(over="ignore"):  # what is too large is infinite, and said to be
        matrix = as_csr(user_items, "user_items", np.float32, copied=True)
    is_good = np.isfinite(matrix.data) if signed else (matrix.data >= 0) & (matrix.data < np.inf)
    n_bad = int((~is_good).sum())
    if n_bad:
        expected = "finite weights" if signed else "finite weights of 0 or more"
        raise DataError(f"user_items: expected {expected}, got {n_bad} others of {matrix.nnz}")
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    # SciPy widens columns that meet int64, and solvers are compiled again for each width.
    columns = matrix.indices.astype(np.int32, copy=False)
    return csr_of(matrix.data, columns, matrix.indptr, matrix.shape)


def require_order(user_items: UserItems, name: str) -> Interactions:
    """Return the log; a DataError that names the hyperparameter if it is a matrix."""
    if not isinstance(user_items, Interactions):
        raise DataError(
            f"user_items: expected the log, as {name} asks for the order of histories, got "
            f"{type(user_items).__name__}; pass the Interactions themselves, or set {name} = 0"
        )
    return user_items


def recency_of(model: object) -> float:
    """Return the recency by which a model weighs histories; 0 of one that has none."""
    return float(getattr(model, "recency", 0.0))


def takes_order(model: object) -> bool:
    """Tell whether a model, or one within it, asks for the order of histories."""
    if getattr(model, "recency", 0) or getattr(model, "window", 0):
        return True
    inner = [getattr(model, one.name) for one in fields(model)] if is_dataclass(model) else []
    return any(takes_order(one) for one in inner if is_dataclass(one))


def _require_matrix(user_items: object) -> None:
    """Raise a DataError if something is no matrix: a table of ids would pass for one of weights."""
    is_matrix, got = sp.issparse(user_items), type(user_items).__name__
    if isinstance(user_items, np.ndarray):
        is_matrix = user_items.ndim != 2 or user_items.shape[1] > _COLUMNS_OF_EVENTS
        got = f"{got} of shape {user_items.shape}"
    if not is_matrix or getattr(user_items, "dtype", np.dtype(object)).kind not in "biuf":
        raise DataError(
            "user_items: expected Interactions, or a sparse matrix of weights with a row for each "
            f"user and a column for each item, got {got}; read a table with recsys.read_log"
        )


def mean_weight_of(user_items: UserItems) -> float:
    """Return the mean weight of the likes of a log or matrix, by which a fit divides weights.

    1 of none, and where it is that up to rounding: weights are not divided twice.
    """
    return _mean_weight(checked(user_items, signed=True))


def normalized(
    user_items: UserItems, recency: float = 0.0, *, signed: bool = False
) -> sp.csr_array:
    """Return the matrix that is fitted: clean, of mean weight 1 before it falls by recency."""
    matrix = checked(user_items, signed=signed)
    mean_weight = _mean_weight(matrix)
    if recency:
        matrix = checked(user_items, recency=recency, signed=signed)
    return _divided(matrix, mean_weight)


def in_mean_weights(
    histories: UserItems, mean_weight: float, n_items: int | None = None, *, signed: bool = False
) -> sp.csr_array:
    """Return a clean copy of histories in the unit of a fit: the mean weight of its matrix."""
    return _divided(checked(histories, n_items, signed=signed), mean_weight)


def _mean_weight(matrix: sp.csr_array) -> float:
    weight = liked(matrix).data
    mean = float(weight.mean(dtype=np.float64)) if len(weight) else 1.0
    return 1.0 if abs(mean - 1) < _ROUNDING else mean


def _divided(matrix: sp.csr_array, mean_weight: float) -> sp.csr_array:
    """Divide the weights of a matrix; one that is so small that it would vanish remains above 0."""

    def divided(one: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.copysign(np.maximum(np.abs(one) / mean_weight, SMALLEST), one)

    if mean_weight != 1:
        matrix.data = made_of(matrix.data, divided, dtype=np.float32)
    return matrix


def popularity_of(user_items: sp.csr_array) -> NDArray[np.int64]:
    """Return the number of users of each item, int64 (n_items,)."""
    if not isinstance(user_items, sp.csr_array):
        user_items = checked(user_items)
    return counts(user_items.indices, user_items.shape[1])


def power_of_counts(counts: NDArray[np.integer], exponent: float) -> NDArray[np.float32]:
    """Raise counts to a power; a count of zero gives zero."""
    powers = np.zeros(len(counts), dtype=np.float32)
    np.power(counts, exponent, out=powers, where=counts > 0, casting="unsafe", dtype=np.float64)
    return powers


class Sized:
    """What models of any dimension share; `factors` and `seed` are fields of theirs."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    factors: int
    seed: int

    def with_factors(self, factors: int) -> Self:
        """Return the model with embeddings of that dimension."""
        return replace(self, factors=factors)

    def with_seed(self, seed: int) -> Self:
        """Return the model with another random start."""
        return replace(self, seed=seed)

    @property
    def rotatable(self) -> tuple[slice, ...]:
        """All coordinates: a fold-in turns with the items."""
        return (slice(0, self.factors),)


class Unsized:
    """What models without a dimension or a random start share."""

    def with_factors(self, factors: int) -> Self:
        """Return the model itself: there is no other dimension."""
        return self

    def with_seed(self, seed: int) -> Self:
        """Return the model itself: nothing is random."""
        return self


def require_hyperparameters(
    model: Any,
    *,
    least: Mapping[str, float],
    above: Mapping[str, float] | None = None,
    finite: Sequence[str] = (),
) -> None:
    """Check the types of a model's hyperparameters and their lower bounds; all must be finite."""
    require_types(model.name, model)
    for name, bound in least.items():
        require(f"{model.name}.{name}", getattr(model, name), least=bound, below=inf)
    if "factors" in least:
        require(f"{model.name}.factors", model.factors, at_most=_MOST_FACTORS)
    for name, bound in (above or {}).items():
        require(f"{model.name}.{name}", getattr(model, name), above=bound, below=inf)
    for name in finite:
        require(f"{model.name}.{name}", getattr(model, name), above=-inf, below=inf)


def require_no_start(name: str, start: Embeddings | None) -> None:
    """Raise a ConfigError if a model that cannot begin at embeddings is given some."""
    if start is not None:
        only = "only a model that begins where another fit ended takes one, such as als"
        raise ConfigError(f"{name}: expected no start, got embeddings; {only}")


def require_cpu(name: str, device: Device | None) -> None:
    """Raise a ConfigError if a model of which no part runs on a card is to be fitted on one."""
    if device is not None and device_of(device) == "cuda":
        raise ConfigError(
            f'{name}: expected device "cpu" or "auto", got "cuda", on which fits of als run and '
            "those that begin with one; leave device out"
        )


class FoldIn(Protocol):
    """Histories to user embeddings, against item embeddings that stay as they are."""

    def __call__(
        self, user_items: sp.csr_array, /, priors: FloatMatrix | None = None
    ) -> FloatMatrix:
        """Return one embedding per history, float32 (n_histories, factors).

        Parameters
        ----------
        priors : ndarray of float32, shape (n_histories, factors), optional
            What the features of each user say, where they are known: `vectors_of_features` of the
            `user_map`. ALS is regularized towards it; of others an empty history becomes it.

        A history is a row of weights over the same items, in the same order, as in training: where
        the model has a `recency`, those of ``log.user_items(recency)``.
        """


class Contributions(Protocol):
    """What each item of a history contributes to a score."""

    def __call__(self, history: sp.csr_array, item_idx: int, /) -> NDArray[np.float64]:
        """Return what each entry of a history, (1, n_items), adds to the score of an item.

        They sum to the score that a fold-in of the history gives, up to what no entry contributes,
        such as the popularity of the item.
        """


class Model(Protocol):
    """A frozen dataclass of hyperparameters. There is no unfitted object; nothing is pickled."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    name: ClassVar[str]
    can_warm_start: ClassVar[bool]
    """Whether `fit` can begin at embeddings; such a model has `iterations`, others refuse."""

    @property
    def factors(self) -> int:
        """The dimension of the embeddings."""

    def with_factors(self, factors: int) -> Self:
        """Return the model with embeddings of that dimension; itself where it has but one."""

    def with_seed(self, seed: int) -> Self:
        """Return the model with another random start; itself where nothing is random."""

    @property
    def rotatable(self) -> tuple[slice, ...]:
        """Runs of coordinates that have no meaning each by itself.

        Items whose coordinates are rotated within each run are folded in to users that are rotated
        likewise. A coordinate in no run has a meaning, and stays as it is.
        """

    def fit(
        self,
        user_items: UserItems,
        *,
        start: Embeddings | None = None,
        on_epoch: OnEpoch | None = None,
        features: Features | None = None,
        device: Device | None = None,
    ) -> Embeddings:
        """Factorize a matrix of weights.

        The unit of the weights does not count: where another would change more than the scale of
        all scores, they are divided by their mean first, `mean_weight_of`.

        Parameters
        ----------
        user_items : csr_array, shape (n_users, n_items), or Interactions
            Finite weights above 0; rows are users. Of a log, those of its `user_items`. A model
            with a `recency` or a `window` needs the log, for the order of histories. Of a model
            with `takes_dislikes`, a weight below 0 is a dislike.
        start : Embeddings, optional
            Where to begin instead of at random, with the rows of this matrix.
        on_epoch : callable, optional
            Called after every epoch, once where there is one step; True stops there.
        features : Features, optional
            Of the items, the users or both, with the rows of the matrix.
        device : {"auto", "cpu", "cuda"}, optional
            Where ALS runs, and the ALS inside of a blend, a softmax or a distilled model. Default:
            that of the block around, such as a run by a config, else "cpu".

        Returns
        -------
        Embeddings
            A user or an item without interactions has a zero embedding, or what its features say;
            then there are the maps `item_map` and `user_map`.

        Raises
        ------
        DataError
            If the matrix is empty, a weight is negative or not finite, or `start` has other rows.
        ConfigError
            If there is a `start`, and the model cannot begin at one; or a card is asked for, and
            there is none, or nothing for it to do.
        DivergedError
            If the loss is no longer finite.
        """

    def fold_in(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> FoldIn:
        """Prepare, once, the embedding of histories that training did not see.

        Folding in a user's training history gives the user's stored row.

        Parameters
        ----------
        items : ndarray of float32, shape (n_items, factors)
            As `items.parquet` holds them.
        popularity : ndarray of int, shape (n_items,)
            Number of users of each item.
        mean_weight : float
            Of the matrix that was fitted, as `mean_weight_of` returns it and the manifest has it:
            the unit of the weights of histories.
        summands : ndarray of float32, shape (n_items, factors), optional
            Of the embeddings, where a fit returned some: likewise in `items.parquet`.
        """

    def contributions(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> Contributions:
        """Prepare, once, the explanation of scores; takes what `fold_in` does."""
