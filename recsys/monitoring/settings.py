"""Settings of the gates: what can refuse a version, and how much is too much."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from recsys.base.errors import ConfigError, did_you_mean
from recsys.evaluation.metrics import METRICS
from recsys.monitoring.drift import DEFAULT_LIMITS

BETTER, AS_GOOD, COVERAGE = "better_than_popularity", "as_good_as_current", "catalogue_coverage"
"""Checks of the metrics; all others are measures of drift."""


@dataclass(frozen=True)
class GateSettings:
    """What can refuse a version before it becomes current; the ``[gates]`` table of the config.

    Parameters
    ----------
    enabled : bool
        Without, nothing is checked, and nothing learned for later nights.
    off : list of str
        Checks, by name, that are told and refuse nothing.
    refuse_above : float
        A measure of drift is told above its limit, and refuses above so many times that; from 1.
    limits : mapping of str to float
        Limits of measures of drift, by name, in place of those that are learned; and "log_age", the
        days by which the log may age until it is told (2.5; less where every day has events).
    metric : str
        What the model is judged by, at ``evaluation.k``.
    max_metric_loss : float
        How far, as a share, the interval of the metric may lie below that of the current version;
        from 0, below 1.
    min_coverage : float
        Least share of the catalogue that the lists of the test must hold.
    history : int
        Nights that limits are learned from.
    users, items : int
        Users whose lists, and items whose neighbours, are compared.
    k : int
        Length of those lists.

    Raises
    ------
    ConfigError
        If a name is unknown or a number out of range.
    """

    enabled: bool = True
    off: Sequence[str] = ()
    refuse_above: float = 2.0
    limits: Mapping[str, float] = field(default_factory=dict)
    metric: str = "ndcg"
    max_metric_loss: float = 0.05
    min_coverage: float = 0.0
    history: int = 10
    users: int = 1000
    items: int = 300
    k: int = 10

    def __post_init__(self) -> None:
        _require_known("off", self.off, (BETTER, AS_GOOD, COVERAGE, *DEFAULT_LIMITS))
        _require_known("limits", self.limits, (*DEFAULT_LIMITS, "log_age"))
        if self.metric not in METRICS:
            known = ", ".join(METRICS)
            raise ConfigError(f"gates.metric: expected one of {known}, got {self.metric!r}")
        for name, limit in self.limits.items():
            if not 0 <= limit < float("inf"):
                raise ConfigError(f"gates.limits.{name}: expected 0 or more, got {limit}")
        if not 1 <= self.refuse_above < float("inf"):
            raise ConfigError(f"gates.refuse_above: expected 1 or more, got {self.refuse_above}")
        for name in ("max_metric_loss", "min_coverage"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"gates.{name}: expected a share from 0, below 1, got {getattr(self, name)}"
                )
        for name in ("history", "users", "items", "k"):
            if getattr(self, name) < 1:
                raise ConfigError(f"gates.{name}: expected 1 or more, got {getattr(self, name)}")


def _require_known(where: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(
                f"gates.{where}: expected some of {', '.join(known)}, got {name!r}"
                f"{did_you_mean(name, known)}"
            )
