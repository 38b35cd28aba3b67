"""A measure that compares two versions, and the limits that measures may reach."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from recsys.base.errors import StoreError
from recsys.store import Check, Manifest, Version, find_version


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


DEFAULT_LIMITS: Mapping[str, float] = {
    "users_vanished": 0.05,
    "users_appeared": 0.03,
    "items_vanished": 0.02,
    "items_appeared": 0.03,
    "user_activity": 0.03,
    "item_popularity": 0.03,
    "item_movement": 0.2,
    "item_movement_p95": 0.5,
    "item_movement_popular": 0.15,
    "centroid_shift": 0.05,
    "item_norms": 0.03,
    "user_norms": 0.06,
    "neighbour_churn": 0.4,
    "list_churn": 0.3,
    "top_scores": 0.1,
    "list_coverage": 0.1,
    "list_gini": 0.03,
    "volume": 0.1,
    "past_days": 0.02,
    "new_days": 1.5,
    "event_types": 0.02,
    "rejected_share": 0.01,
    "duplicate_share": 0.01,
    "mean_weight": 0.05,
    "busiest_user": 0.01,
    "busiest_item": 0.01,
}
"""Some three times the largest value that ``python -m benchmarks.drift`` prints for quiet nights of
real logs, and not less than what is worth a look; benchmarks/README.md shows them side by side."""

_LEAST_NIGHTS = 5  # below, the shipped limits stand
_MARGIN = 2.0
_RANGE = (0.5, 4.0)  # of the shipped limit, that what was learned may leave it by


def lineage(version: Version, most: int) -> list[Manifest]:
    """Return the manifests of a version, its parent, and so on, as far as they are kept.

    Each of them was current once: a refused version is in it only where someone forced it.

    Parameters
    ----------
    version : Version
        Of a store.
    most : int
    """
    store = version.folder.parents[1]
    found: list[Manifest] = []
    name: str | None = version.name
    while name is not None and len(found) < most:
        try:
            manifest = find_version(store, name).manifest
        except StoreError:  # pruned, or damaged
            break
        found.append(manifest)
        name = manifest.parent
    return found


def learned_limits(past: Sequence[Manifest]) -> dict[str, float]:
    """Return the limit of each measure, from what it was on the nights before.

    The limit is twice the second largest value of these nights: one odd night teaches nothing. It
    stays between half the shipped limit and four times that, and is the shipped one where
    fewer than five nights know the measure.

    Parameters
    ----------
    past : sequence of Manifest
        Of versions that were accepted, in any order.
    """
    known: dict[str, list[float]] = {}
    for manifest in past:
        for check in manifest.checks:
            if check.value is not None:
                known.setdefault(check.name, []).append(check.value)
    return {
        name: _learned(limit, sorted(known.get(name, ()))) for name, limit in DEFAULT_LIMITS.items()
    }


def _learned(shipped: float, values: Sequence[float]) -> float:
    if len(values) < _LEAST_NIGHTS:
        return shipped
    least, most = (factor * shipped for factor in _RANGE)
    return min(max(_MARGIN * values[-2], least), most)
