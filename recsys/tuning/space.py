"""Where each model's hyperparameters are looked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from typing import TYPE_CHECKING, Any

from recsys.base.errors import ConfigError, briefly, did_you_mean
from recsys.logs import Interactions
from recsys.tuning.candidates import Candidate

if TYPE_CHECKING:
    import optuna

_MARGIN = 0.05  # of a range: so near to an end lies at it
_FURTHER = 0.4  # of a range, that is looked at beyond its end
_LEAST_RATIO = 20  # of the ends of a range, from which equal ratios are as likely


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

    def moved(self, share: float) -> float:
        """Return a value below `low` or, of a share above 0, above `high`, by that share of it all.

        Of ranges of equal ratios that is a share of the logarithm.
        """
        end, size = (self.high if share > 0 else self.low), self.high - self.low
        beyond = end * (self.high / self.low) ** share if self.log else end + share * size
        return round(beyond) if self.whole else float(f"{beyond:.3g}")

    def side_of(self, value: float) -> int:
        """Return -1 and 1 of a value that lies at the low or high end, 0 of another."""
        low, high, at = (
            (log(one) if self.log else one) for one in (self.low, self.high, max(value, self.low))
        )
        margin = _MARGIN * (high - low)
        return -1 if at <= low + margin else int(at >= high - margin)

    def holds(self, value: Any) -> bool:
        """Tell whether a value is in the range."""
        return isinstance(value, int | float) and self.low <= value <= self.high


Space = Mapping[str, Range]
"""The hyperparameters that are searched, each with its range."""

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


def space_of(
    candidate: Candidate, log: Interactions, ends: Mapping[str, Sequence[float]] | None = None
) -> Space:
    """Return the space of a model for a log: with what asks for an order, where it has one.

    `ends`, low and high by hyperparameter, stand in place of those of `SPACES`. A ConfigError if
    the model has no such number, or does not take an end.
    """
    space = (SPACES_IN_ORDER if has_order(log) else SPACES)[candidate.name]
    return {
        **space,
        **{name: _range_of(candidate, name, two) for name, two in (ends or {}).items()},
    }


def _range_of(candidate: Candidate, name: str, ends: Sequence[float]) -> Range:
    place, (low, high) = f"tune.spaces.{candidate.name}", ends
    numbers = [one for one, value in candidate.all_parameters.items() if _is_number(value)]
    if name not in numbers:
        raise ConfigError(
            f"{place}: expected some of {', '.join(numbers)}, got {briefly(name)}"
            f"{did_you_mean(name, numbers)}"
        )
    is_whole = isinstance(candidate.all_parameters[name], int)
    if is_whole and not (float(low).is_integer() and float(high).is_integer()):
        raise ConfigError(f"{place}.{name}: expected whole numbers, got {list(ends)}")
    known = SPACES_IN_ORDER[candidate.name].get(name)
    is_log = low > 0 and (known.log if known else high >= _LEAST_RATIO * low)
    for end in ends:
        candidate.having(**{name: int(end) if is_whole else end}).model()
    return Range(low, high, log=is_log, whole=is_whole)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Edge:
    """A hyperparameter whose best value lies at an end of its range: better ones may lie beyond.

    Parameters
    ----------
    model, name : str
    value : float
    searched, further : Range
        Where it was looked for, and where to look next.
    """

    model: str
    name: str
    value: float
    searched: Range
    further: Range

    @property
    def sentence(self) -> str:
        """What lies where, and how to look beyond."""
        end = "low" if self.further.low < self.searched.low else "high"
        return (
            f"{self.name} = {self.value:.3g} lies at the {end} end of its range, "
            f"{self.searched.low:g} - {self.searched.high:g}: better ones may lie beyond; "
            f"--set 'tune.spaces.{self.model}={{ {_quoted(self.name)} = "
            f"[{self.further.low:g}, {self.further.high:g}] }}' looks there"
        )


def _quoted(name: str) -> str:
    return f'"{name}"' if "." in name else name


def edges_of(candidate: Candidate, space: Space) -> list[Edge]:
    """Return the hyperparameters at an end of their range beyond which the model takes values."""
    found = []
    for name, searched in space.items():
        value = candidate.all_parameters[name]
        further = _further(candidate, name, searched, searched.side_of(value))
        if further is not None:
            found.append(Edge(candidate.name, name, value, searched, further))
    return found


def _further(candidate: Candidate, name: str, searched: Range, side: int) -> Range | None:
    """Return a range that goes beyond an end; None where the model takes no value there."""
    end = searched.low if side < 0 else searched.high
    for share in (_FURTHER, _FURTHER / 4) if side and end else ():  # 0 is off
        beyond = searched.moved(side * share)
        try:
            candidate.having(**{name: beyond}).model()
        except ConfigError:
            continue
        return replace(searched, low=beyond) if side < 0 else replace(searched, high=beyond)
    return None


def has_order(log: Interactions) -> bool:
    """Return whether a log says in which order a user met the items of a history."""
    return log.timestamp is not None or log.order == "rows"
