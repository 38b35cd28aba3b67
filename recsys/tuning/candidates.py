"""What can be compared and tuned: models, scorers of items, and a baseline of implicit.

It imports `implicit` where it fits, as nothing else needs it.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import scipy.sparse as sp

from recsys.base.checks import require_known
from recsys.base.stopping import check_stop
from recsys.base.threads import one_blas_thread
from recsys.models import MODELS, SCORERS, ItemToItem, Model, OnEpoch, flat, nested, parameters_of
from recsys.models.ease import UserKernel
from recsys.models.protocol import Sized, UserItems, checked
from recsys.models.registry import ending_in, has_factors, made_from
from recsys.settings import AUTO
from recsys.vectors import Embeddings

Fitted = Embeddings | ItemToItem | UserKernel
"""What scores all items for some users, and knows how many bytes it takes."""


class Fittable(Protocol):
    """What a `Model` and a baseline have in common."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    name: ClassVar[str]

    def with_factors(self, factors: int) -> Self:
        """Return the same with embeddings of that dimension, as far as it has any."""

    def with_seed(self, seed: int) -> Self:
        """Return the same with another random start, as far as it has any."""

    def fit(self, user_items: UserItems, *, on_epoch: OnEpoch | None = None) -> Fitted:
        """Fit it to a log, or to its matrix of weights (n_users, n_items)."""


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

    def fit(self, user_items: UserItems, *, on_epoch: OnEpoch | None = None) -> Embeddings:
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
            matrix = sp.csr_matrix(checked(user_items))
            peer.fit(matrix, show_progress=False, callback=lambda *_progress: check_stop())
        return Embeddings(np.asarray(peer.user_factors), np.asarray(peer.item_factors))


BASELINES: Mapping[str, type[Fittable]] = {**SCORERS, BPR.name: BPR}
"""What has no vectors, or not of ours, by the name that a comparison calls it."""

_MOST_OF_EASE = 10_000  # users or items, whichever are fewer: a fit takes their number cubed
_MOST_OF_SOFTMAX = 100_000  # items: an epoch takes users times items
_MOST_PAIRS_OF_SOFTMAX = 2e8  # users times items


def with_a_chance(n_users: int, n_items: int) -> tuple[list[str], dict[str, str]]:
    """Return what is compared where no models are named, and why some are left out, by name.

    On logs of many shapes each of them was the best of some. Those whose fits grow faster than the
    log are left out where they would take longer than all others together.
    """
    left_out = {}
    if min(n_users, n_items) > _MOST_OF_EASE:
        left_out["ease"] = f"{n_users:,} users and {n_items:,} items, of either at most 10,000"
    if n_items > _MOST_OF_SOFTMAX or n_users * n_items > _MOST_PAIRS_OF_SOFTMAX:
        left_out["softmax"] = f"{n_users:,} users times {n_items:,} items, at most 200,000,000"
    names = ("als", "svd", "softmax", "knn", "ease", AUTO, "popularity")
    return [name for name in names if name not in left_out], left_out


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
        """Whether it is there to compare with: it cannot be published."""
        return self.name in BASELINES

    @property
    def all_parameters(self) -> dict[str, Any]:
        """All hyperparameters, also those that have their defaults."""
        return flat(parameters_of(self.model()))

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

    def fit(self, user_items: UserItems, *, on_epoch: OnEpoch | None = None) -> Fitted:
        """Fit it to a log, or to its matrix of weights; see `recsys.models.Model.fit`."""
        return self.model().fit(user_items, on_epoch=on_epoch)
