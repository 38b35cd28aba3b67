"""Models that can be compared and tuned: ours, and the baselines of implicit."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from inspect import signature
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recsys.base.errors import ConfigError, did_you_mean
from recsys.base.progress import OnStep
from recsys.models import MODELS, Blend, Model, model_from, parameters_of
from recsys.models.protocol import OnEpoch
from recsys.vectors import Embeddings, FloatMatrix


@dataclass(frozen=True, eq=False)
class ItemToItem:
    """A user's score of an item: the sum of what the items of the history say about it.

    Parameters
    ----------
    user_items : csr_array, shape (n_users, n_items)
    weights : csr_array or ndarray, shape (n_items, n_items)
        Column i is what the items say about i.
    """

    user_items: sp.csr_array
    weights: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and of items."""
        n_users, n_items = self.user_items.shape
        return n_users, n_items

    @property
    def n_bytes(self) -> int:
        """Bytes of the weights."""
        if not sp.issparse(self.weights):
            return int(self.weights.nbytes)
        arrays = (self.weights.data, self.weights.indices, self.weights.indptr)
        return sum(array.nbytes for array in arrays)

    def scores(
        self, user_idx: NDArray[np.integer] | slice, out: FloatMatrix | None = None
    ) -> FloatMatrix:
        """Return float32 (n, n_items)."""
        product = self.user_items[user_idx] @ self.weights
        dense = product.toarray() if sp.issparse(product) else product
        if out is None:
            return np.asarray(dense, dtype=np.float32)
        out[:] = dense
        return out


def knn(
    user_items: sp.csr_array, neighbors: int = 100, k1: float = 0.1, b: float = 0.3
) -> ItemToItem:
    """Return the items most alike by the users they share, weighted by BM25.

    Parameters
    ----------
    user_items : csr_array, shape (n_users, n_items)
    neighbors : int
        Of each item.
    k1, b : float
        Of BM25. The defaults did well on Gowalla's validation part.
    """
    from implicit.nearest_neighbours import BM25Recommender

    peer = BM25Recommender(K=neighbors, K1=k1, B=b)
    with warnings.catch_warnings():  # of a matrix that it made itself
        warnings.simplefilter("ignore")
        peer.fit(sp.csr_matrix(user_items), show_progress=False)
    return ItemToItem(user_items, sp.csr_array(peer.similarity))


def bpr(
    user_items: sp.csr_array,
    factors: int = 64,
    learning_rate: float = 0.02,
    regularization: float = 0.003,
    iterations: int = 150,
    seed: int = 0,
) -> Embeddings:
    """Return embeddings by Bayesian personalized ranking (Rendle et al., UAI 2009).

    Parameters
    ----------
    user_items : csr_array, shape (n_users, n_items)
    factors, iterations, seed : int
    learning_rate, regularization : float
        The defaults are the best of eleven settings on Gowalla's validation part.
    """
    from implicit.bpr import BayesianPersonalizedRanking

    peer = BayesianPersonalizedRanking(
        factors,
        learning_rate=learning_rate,
        regularization=regularization,
        iterations=iterations,
        random_state=seed,
    )
    with threadpool_limits(1, user_api="blas"):  # as implicit asks for
        peer.fit(sp.csr_matrix(user_items), show_progress=False)
    return Embeddings(np.asarray(peer.user_factors), np.asarray(peer.item_factors))


Fitted = Embeddings | ItemToItem
"""What scores all items for some users, and says how many bytes it takes."""

BASELINES: Mapping[str, Callable[..., Fitted]] = {"knn": knn, "bpr": bpr}
"""Baselines by the name that a comparison calls them."""


_ALS_OF_A_BLEND = 4  # one factor in so many


@dataclass(frozen=True)
class Candidate:
    """A model, or a baseline, with some of its hyperparameters; the others have their defaults.

    Parameters
    ----------
    name : str
        As `recsys.models.MODELS` or `recsys.tuning.candidates.BASELINES` have it.
    parameters : mapping of str to value
        Of a model that is a hyperparameter itself, as "als.regularization".

    Raises
    ------
    ConfigError
        If the name is not known.

    Examples
    --------
    >>> Candidate("als", {"factors": 8}).model().factors
    8
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = [*MODELS, *BASELINES]
        if self.name not in known:
            raise ConfigError(
                f"models: expected some of {', '.join(known)}, got {self.name!r}"
                f"{did_you_mean(self.name, known)}"
            )

    @classmethod
    def of(cls, model: Model) -> "Candidate":
        """Return a model as a candidate."""
        return cls(model.name, flat(parameters_of(model)))

    @property
    def is_baseline(self) -> bool:
        """Whether it is fitted by `implicit`, to compare with; it cannot be published."""
        return self.name in BASELINES

    @property
    def has_epochs(self) -> bool:
        """Whether its fit tells of its epochs."""
        return not self.is_baseline and "on_epoch" in signature(MODELS[self.name].fit).parameters

    @property
    def has_factors(self) -> bool:
        """Whether it has embeddings of a size to choose."""
        return "factors" in self._known or MODELS.get(self.name) is Blend

    @property
    def _known(self) -> list[str]:
        if self.is_baseline:
            return list(signature(BASELINES[self.name]).parameters)
        return [one.name for one in fields(MODELS[self.name])]

    def having(self, **parameters: Any) -> "Candidate":
        """Return the same with other hyperparameters."""
        return Candidate(self.name, {**self.parameters, **parameters})

    def with_factors(self, factors: int) -> "Candidate":
        """Return the same with embeddings of a size, as far as it has any."""
        if MODELS.get(self.name) is Blend:
            als = max(factors // _ALS_OF_A_BLEND, 1)
            sizes = {"als.factors": als, "svd.factors": max(factors - als, 1)}
            return self.having(**sizes)
        return self.having(factors=factors) if self.has_factors else self

    def with_seed(self, seed: int) -> "Candidate":
        """Return the same with another random start, as far as it has any."""
        if MODELS.get(self.name) is Blend:
            return self.having(**{"als.seed": seed, "svd.seed": seed})
        return self.having(seed=seed) if "seed" in self._known else self

    def model(self) -> Model:
        """Return it as a model; a ConfigError names a hyperparameter that it does not have."""
        return model_from(self.name, nested(self.parameters))

    def fit(
        self,
        user_items: sp.csr_array,
        on_step: OnStep | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Fitted:
        """Fit it to a matrix of weights (n_users, n_items).

        `on_epoch` is called where it `has_epochs`.
        """
        if self.is_baseline:
            return BASELINES[self.name](user_items, **self.parameters)
        more = {"on_epoch": on_epoch} if self.has_epochs else {}
        return self.model().fit(user_items, on_step, **more)


def flat(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters with a dot for each level."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": one for inner, one in flat(value).items()}
        else:
            found[name] = value
    return found


def nested(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters with a mapping for each level: what `flat` undoes."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        outer, _, inner = name.partition(".")
        if inner:
            found.setdefault(outer, {})[inner] = value
        else:
            found[name] = value
    return {
        name: nested(value) if isinstance(value, dict) else value for name, value in found.items()
    }
