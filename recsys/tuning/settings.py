"""Settings of a search for hyperparameters, and of a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recsys.base.errors import ConfigError
from recsys.evaluation.metrics import METRICS
from recsys.tuning.search import Budget


@dataclass(frozen=True)
class TuneSettings:
    """How hyperparameters are found; the ``[tune]`` table of the config.

    Parameters
    ----------
    factors : int
        The largest number that is tried.
    trials : int
        Of each model.
    minutes : float, optional
        Of each model.
    metric : str
        What should be best on the validation part, at ``evaluation.k``.
    seed : int

    Raises
    ------
    ConfigError
        If one is out of range.
    """

    factors: int = 64
    trials: int = 40
    minutes: float | None = None
    metric: str = "ndcg"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.factors < 1:
            raise ConfigError(f"tune.factors: expected 1 or more, got {self.factors}")
        if self.metric not in METRICS:
            raise ConfigError(
                f"tune.metric: expected one of {', '.join(METRICS)}, got {self.metric!r}"
            )
        _ = self.budget

    @property
    def budget(self) -> Budget:
        """How long it may take."""
        return Budget(self.trials, self.minutes)


@dataclass(frozen=True)
class CompareSettings:
    """Which models are compared, and how; the ``[compare]`` table of the config.

    Parameters
    ----------
    models : list of str
        By name; "knn" and "bpr" are those of `implicit`.
    baseline : str, optional
        The one that the others are compared to. Default: the last.
    tune : bool
        Find each model's hyperparameters first, as ``[tune]`` says.
    seeds : int
        Fits of each model with different random starts.
    parameters : mapping of str to mapping
        Hyperparameters by the name of the model; with `tune`, where to begin.

    Raises
    ------
    ConfigError
        If one is out of range.
    """

    models: Sequence[str] = ("als", "svd", "popularity")
    baseline: str | None = None
    tune: bool = True
    seeds: int = 1
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = ", ".join(self.models)
        if not self.models:
            raise ConfigError("compare.models: expected at least one, got none")
        if self.seeds < 1:
            raise ConfigError(f"compare.seeds: expected 1 or more, got {self.seeds}")
        for where, name in (
            *(("baseline", name) for name in (self.baseline,) if name is not None),
            *(("parameters", name) for name in self.parameters),
        ):
            if name not in self.models:
                raise ConfigError(f"compare.{where}: expected one of {known}, got {name!r}")

    @property
    def reference(self) -> str:
        """The model that the others are compared to."""
        return self.baseline or self.models[-1]
