"""Models that can be compared and tuned: ours, and the baselines of implicit.

They import `implicit` where they fit, as nothing else needs it.
"""

import warnings
from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.checks import require_known
from recsys.base.stopping import check_stop
from recsys.base.threads import one_blas_thread
from recsys.models import MODELS, Model, OnEpoch, flat, nested, parameters_of
from recsys.models.protocol import Sized, Unsized
from recsys.models.registry import ending_in, has_factors, made_from
from recsys.vectors import Embeddings, FloatMatrix


@dataclass(frozen=True, eq=False)
class ItemToItem:
    """A user's score of an item: the sum of the weights of the history's items with it."""

    user_items: sp.csr_array  # (n_users, n_items)
    weights: Any  # CSR or dense (n_items, n_items); column i holds the weights with item i

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


Fitted = Embeddings | ItemToItem
"""What scores all items for some users, and knows how many bytes it takes."""


class Fittable(Protocol):
    """What a `Model` and a baseline have in common."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    name: ClassVar[str]

    def with_factors(self, factors: int) -> Self:
        """Return the same with embeddings of that dimension, as far as it has any."""

    def with_seed(self, seed: int) -> Self:
        """Return the same with another random start, as far as it has any."""

    def fit(self, user_items: sp.csr_array, *, on_epoch: OnEpoch | None = None) -> Fitted:
        """Fit it to a matrix of weights (n_users, n_items)."""


@dataclass(frozen=True)
class KNN(Unsized):
    """The items most alike by the users they share, weighted by BM25, as `implicit` has it.

    Parameters
    ----------
    neighbors : int
        Of each item.
    k1, b : float
        Of BM25. The defaults did well on Gowalla's validation part.
    """

    name: ClassVar[str] = "knn"

    neighbors: int = 100
    k1: float = 0.1
    b: float = 0.3

    def fit(self, user_items: sp.csr_array, *, on_epoch: OnEpoch | None = None) -> ItemToItem:
        """Return the weights between items; `on_epoch` is not called."""
        from implicit.nearest_neighbours import BM25Recommender

        peer = BM25Recommender(K=self.neighbors, K1=self.k1, B=self.b)
        with warnings.catch_warnings():  # of a matrix that it made itself
            warnings.simplefilter("ignore")
            peer.fit(sp.csr_matrix(user_items), show_progress=False)
        return ItemToItem(user_items, sp.csr_array(peer.similarity))


@dataclass(frozen=True)
class BPR(Sized):
    """Bayesian personalized ranking (Rendle et al., UAI 2009), as `implicit` has it.

    The defaults are the best of eleven settings on Gowalla's validation part.
    """

    name: ClassVar[str] = "bpr"

    factors: int = 64
    learning_rate: float = 0.02
    regularization: float = 0.003
    iterations: int = 150
    seed: int = 0

    def fit(self, user_items: sp.csr_array, *, on_epoch: OnEpoch | None = None) -> Embeddings:
        """Return embeddings; `on_epoch` is not called, but a signal stops between epochs."""
        from implicit.bpr import BayesianPersonalizedRanking

        peer = BayesianPersonalizedRanking(
            self.factors,
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            iterations=self.iterations,
            random_state=self.seed,
        )
        with one_blas_thread():  # as implicit asks for
            matrix = sp.csr_matrix(user_items)
            peer.fit(matrix, show_progress=False, callback=lambda *_progress: check_stop())
        return Embeddings(np.asarray(peer.user_factors), np.asarray(peer.item_factors))


BASELINES: Mapping[str, type[KNN | BPR]] = {kind.name: kind for kind in (KNN, BPR)}
"""Baselines by the name that a comparison calls them."""


@dataclass(frozen=True)
class Candidate:
    """A model, or a baseline, with some of its hyperparameters; the others have their defaults.

    Hyperparameters of a model that is one itself are spelled as "als.regularization". A ConfigError
    if neither `recsys.models.MODELS` nor `recsys.tuning.candidates.BASELINES` has the name.

    Examples
    --------
    >>> Candidate("als", {"factors": 8}).model().factors
    8
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_known("models", [self.name], [*MODELS, *BASELINES])

    @classmethod
    def of(cls, model: Model) -> "Candidate":
        """Return a model as a candidate."""
        return cls(model.name, flat(parameters_of(model)))

    @property
    def is_baseline(self) -> bool:
        """Whether it is fitted by `implicit`, to compare with; it cannot be published."""
        return self.name in BASELINES

    @property
    def iterations(self) -> int | None:
        """The epochs of a fit, where they are a hyperparameter and are reported one by one."""
        return None if self.is_baseline else parameters_of(self.model()).get("iterations")

    @property
    def has_factors(self) -> bool:
        """Whether it has embeddings of a dimension to choose."""
        return has_factors(self.model())

    def having(self, **parameters: Any) -> "Candidate":
        """Return the same with other hyperparameters."""
        return Candidate(self.name, {**self.parameters, **parameters})

    def with_factors(self, factors: int) -> "Candidate":
        """Return the same with embeddings of a dimension, as far as it has any."""
        return self._having_of("factors", self.model().with_factors(factors))

    def with_seed(self, seed: int) -> "Candidate":
        """Return the same with another random start, as far as it has any."""
        return self._having_of("seed", self.model().with_seed(seed))

    def _having_of(self, name: str, other: Fittable) -> "Candidate":
        """Return the same with another's hyperparameters of a name."""
        return self.having(**ending_in(name, flat(parameters_of(other))))

    def model(self) -> Fittable:
        """Return the model or baseline; a ConfigError names a hyperparameter it does not have."""
        kinds: Mapping[str, type[Fittable]] = {**MODELS, **BASELINES}
        return made_from(kinds[self.name], nested(self.parameters))

    def fit(self, user_items: sp.csr_array, *, on_epoch: OnEpoch | None = None) -> Fitted:
        """Fit it to a matrix of weights (n_users, n_items); see `recsys.models.Model.fit`."""
        return self.model().fit(user_items, on_epoch=on_epoch)
