"""One measure of how two versions differ: 0 where they are the same, more the more they differ."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from recsys.store import Check


class Measured(NamedTuple):
    """A measure and its value.

    Parameters
    ----------
    name : str
    value : float or None
        0 or more; None where it could not be measured.
    said : str
        What was found, or why nothing was, for a person.
    """

    name: str
    value: float | None
    said: str


def not_measured(names: Iterable[str], reason: str) -> list[Measured]:
    """Return measures that could not be taken."""
    return [Measured(name, None, f"not measured: {reason}") for name in names]


def log_ratio(a: float, b: float) -> float:
    """Return how many times more or less, as the absolute logarithm; ln 2 is .69.

    Where one of two is 0 it counts as a thousandth of the other.
    """
    if a == b:
        return 0.0
    largest = max(a, b)
    return abs(math.log(max(b, largest / 1000) / max(a, largest / 1000)))


def held_to(measured: Measured, limits: Mapping[str, float]) -> Check:
    """Return a measure as a check against its limit; what was not measured passes."""
    name, value, said = measured
    limit = limits.get(name)
    if value is None or limit is None:
        return Check(name, value, limit, passed=True, sentence=f"{name}: {said}")
    sentence = f"{name} {value:.3g} (limit {limit:.3g}): {said}"
    return Check(name, value, limit, value <= limit, sentence)
