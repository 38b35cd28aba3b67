"""What a quiet night looks like: the limit of each measure, shipped and learned."""

from collections.abc import Mapping, Sequence

from recsys.errors import StoreError
from recsys.store import Manifest, Version, find_version

DEFAULT_LIMITS: Mapping[str, float] = {
    "users_vanished": 0.05,
    "users_appeared": 0.05,
    "items_vanished": 0.02,
    "items_appeared": 0.05,
    "user_activity": 0.05,
    "item_popularity": 0.05,
    "item_movement": 0.2,
    "item_movement_p95": 0.5,
    "item_movement_popular": 0.1,
    "centroid_shift": 0.1,
    "item_norms": 0.1,
    "user_norms": 0.1,
    "neighbour_churn": 0.3,
    "list_churn": 0.3,
    "top_scores": 0.1,
    "list_coverage": 0.1,
    "list_gini": 0.05,
    "volume": 0.1,
    "past_days": 0.05,
    "new_days": 1.0,
    "event_types": 0.02,
    "rejected_share": 0.01,
    "duplicate_share": 0.01,
    "mean_weight": 0.05,
    "busiest_user": 0.01,
    "busiest_item": 0.01,
}

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
