"""The table of measures: each one a function that compares two versions, with name and limit."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.store import Check

Group = Literal["log", "feed", "population", "vectors", "lists"]


class NotMeasured(Exception):  # noqa: N818  it is an answer, not an error
    """Raised by a measure that cannot be taken; its message is the reason."""


class Measured(NamedTuple):
    """What a measure found."""

    value: float  # 0 where both versions are the same, else more
    found: str  # the same for a person, with the figures that it comes from


@dataclass(frozen=True)
class Measure:
    """A row of the table."""

    name: str
    limit: float  # the shipped one; `recsys.monitoring.learned_limits` adapts it to a store
    of: Group  # what it compares: measures of one group take the same arguments
    sentence: str  # what it measures
    function: Callable[..., Measured]  # takes what its group compares; raises `NotMeasured`

    def check(self, limits: Mapping[str, float], *compared: object) -> Check:
        """Take the measure and hold it to its limit; what cannot be measured passes."""
        limit = limits.get(self.name)
        try:
            value, found = self.function(*compared)
        except NotMeasured as reason:
            return self.not_measured(limits, str(reason))
        if limit is None:
            return Check(self.name, value, None, passed=True, sentence=f"{self.name}: {found}")
        sentence = f"{self.name} {value:.3g} (limit {limit:.3g}): {found}"
        return Check(self.name, value, limit, value <= limit, sentence)

    def not_measured(self, limits: Mapping[str, float], reason: str) -> Check:
        """Return the check that passes as it cannot be taken."""
        return not_measured(self.name, reason, limits.get(self.name))


def not_measured(name: str, reason: str, limit: float | None = None) -> Check:
    """Return the check that passes as it cannot be taken."""
    return Check(name, None, limit, passed=True, sentence=f"{name}: not measured: {reason}")


MEASURES: dict[str, Measure] = {}
"""By name; importing `recsys.monitoring` fills it."""


def measure_of(
    group: Group, *, limit: float
) -> Callable[[Callable[..., Measured]], Callable[..., Measured]]:
    """Enter a function into the table of measures; its docstring is the sentence.

    The shipped limit is some three times the largest value that ``python -m benchmarks.drift``
    prints for quiet nights of real logs, and not less than what is worth a look;
    benchmarks/README.md shows them side by side.
    """

    def enter(function: Callable[..., Measured]) -> Callable[..., Measured]:
        name, sentence = function.__name__, (function.__doc__ or "").partition("\n")[0]
        MEASURES[name] = Measure(name, limit, group, sentence, function)
        return function

    return enter


def measures_of(group: Group) -> Iterator[Measure]:
    """Return the measures of a group, in the order of the table."""
    return (one for one in MEASURES.values() if one.of == group)


def checks_of(group: Group, limits: Mapping[str, float], *compared: object) -> list[Check]:
    """Take all measures of a group."""
    return [one.check(limits, *compared) for one in measures_of(group)]


def log_ratio(a: float, b: float) -> float:
    """Return how many times more or less, as the absolute logarithm; ln 2 is .69.

    Where one of two is 0 it counts as a thousandth of the other.
    """
    if a == b:
        return 0.0
    largest = max(a, b)
    return abs(math.log(max(b, largest / 1000) / max(a, largest / 1000)))


def wasserstein(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return how far the values of one sample have to move, on average, to be those of another.

    That is the area between the two distributions. SciPy has it in `scipy.stats`, whose import
    takes longer than most small nights.
    """
    one, other = np.sort(a.astype(np.float64)), np.sort(b.astype(np.float64))
    values = np.sort(np.concatenate([one, other]))
    below = [np.searchsorted(sample, values[:-1], "right") / len(sample) for sample in (one, other)]
    return float(np.sum(np.abs(below[0] - below[1]) * np.diff(values)))
