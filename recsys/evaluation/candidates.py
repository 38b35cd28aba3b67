"""Models and baselines by name, as a comparison and a search try them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from inspect import signature
from typing import Any

import scipy.sparse as sp

from recsys.errors import ConfigError, did_you_mean
from recsys.evaluation.baselines import BASELINES, Fitted
from recsys.models import MODELS, Blend, Model, model_from, parameters_of
from recsys.models.epochs import OnEpoch
from recsys.progress import OnStep

_ALS_OF_A_BLEND = 4  # one factor in so many


@dataclass(frozen=True)
class Candidate:
    """A model, or a baseline, with some of its hyperparameters; the others have their defaults.

    Parameters
    ----------
    name : str
        As `recsys.models.MODELS` or `recsys.evaluation.baselines.BASELINES` have it.
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
