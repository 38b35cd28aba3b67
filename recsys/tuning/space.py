"""Where each model's hyperparameters are looked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recsys.logs import Interactions

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Range:
    """The values that a hyperparameter may take.

    Parameters
    ----------
    low, high : float
        Both may be taken.
    log : bool
        Equal ratios, not equal differences, are as likely.
    whole : bool
        Whole numbers alone.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def suggest(self, trial: "optuna.Trial", name: str) -> float:
        """Return the value that a trial takes."""
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        """Tell whether a value is in the range."""
        return isinstance(value, int | float) and self.low <= value <= self.high


Space = Mapping[str, Range]

_ALS: Space = {
    "regularization": Range(0.01, 10.0, log=True),
    "unobserved_weight": Range(0.0005, 0.5, log=True),
    "item_exponent": Range(0.0, 0.75),
    "user_exponent": Range(0.0, 0.75),
}
_SVD: Space = {
    "user_exponent": Range(0.1, 0.7),
    "item_exponent": Range(0.1, 0.7),
    "spectral_power": Range(0.25, 1.5),
    "popularity_exponent": Range(-0.3, 0.3),
}

SPACES: Mapping[str, Space] = {
    "als": _ALS,
    "svd": _SVD,
    "item2vec": {
        "negatives": Range(0.1, 10.0, log=True),
        "context_exponent": Range(0.25, 1.0),
        "history_exponent": Range(0.0, 1.0),
        "spectral_power": Range(0.25, 1.5),
        "item_exponent": Range(0.0, 0.75),
        "popularity_exponent": Range(-0.25, 0.5),
    },
    "softmax": {
        "temperature": Range(0.05, 0.3, log=True),
        "user_exponent": Range(0.0, 0.75),
    },
    "distilled": {
        "temperature": Range(0.04, 0.25, log=True),
        "teacher_share": Range(0.2, 0.95),
        "user_exponent": Range(0.0, 0.75),
    },
    "blend": {
        "svd_share": Range(0.1, 0.9),
        **{f"als.{name}": space for name, space in _ALS.items()},
        **{f"svd.{name}": space for name, space in _SVD.items()},
    },
    "knn": {
        "neighbors": Range(10, 500, log=True, whole=True),
        "k1": Range(0.05, 3.0, log=True),
        "b": Range(0.0, 1.0),
    },
    "ease": {"regularization": Range(1.0, 10_000.0, log=True)},
    "bpr": {
        "learning_rate": Range(0.003, 0.2, log=True),
        "regularization": Range(0.0003, 0.1, log=True),
        "iterations": Range(30, 300, log=True, whole=True),
    },
    "popularity": {},
}
"""By the name of the model; a dot leads to the hyperparameter of a model that is one itself.

`factors` and `iterations` are not here: the search doubles the first and watches the second.
"""

_RECENCY: Space = {"recency": Range(0.0, 2.5)}
SPACES_IN_ORDER: Mapping[str, Space] = {
    **SPACES,
    **{name: {**SPACES[name], **_RECENCY} for name in ("als", "distilled", "knn")},
    "svd": {**_SVD, **_RECENCY, "window": Range(0, 8, whole=True)},
}
"""The same for logs with an order of histories."""


def space_of(name: str, log: Interactions) -> Space:
    """Return the space of a model for a log: with what asks for an order, where it has one."""
    return (SPACES_IN_ORDER if has_order(log) else SPACES)[name]


def has_order(log: Interactions) -> bool:
    """Return whether a log says in which order a user met the items of a history."""
    return log.timestamp is not None or log.order == "rows"
