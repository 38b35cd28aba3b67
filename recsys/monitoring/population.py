"""Who and what came and went, and how the interactions are spread over those who stayed."""

import numpy as np
from numpy.typing import NDArray

from recsys.monitoring.measured import Measured
from recsys.monitoring.shared import Shared
from recsys.store import Content

NAMES = (
    "users_vanished",
    "users_appeared",
    "items_vanished",
    "items_appeared",
    "user_activity",
    "item_popularity",
)


def measure_population(a: Content, b: Content, users: Shared, items: Shared) -> list[Measured]:
    """Measure ids that came and went by their share of the seen pairs, and how shares moved.

    user_activity and item_popularity are total variation distances: the share of the pairs that
    would have to move from one user, or item, to another.
    """
    activity = [np.diff(content.users.seen.starts).astype(np.float64) for content in (a, b)]
    popularity = [content.items.popularity.astype(np.float64) for content in (a, b)]
    return [
        *_came_and_went("users", users, *activity),
        *_came_and_went("items", items, *popularity),
        _spread("user_activity", "users", users, *activity),
        _spread("item_popularity", "items", items, *popularity),
    ]


def _came_and_went(
    kind: str, shared: Shared, mass_a: NDArray[np.float64], mass_b: NDArray[np.float64]
) -> list[Measured]:
    counts = shared.counts
    vanished = 1 - _share(mass_a, shared.in_a) if counts["vanished"] else 0.0
    appeared = 1 - _share(mass_b, shared.in_b) if counts["appeared"] else 0.0
    return [
        Measured(
            f"{kind}_vanished",
            vanished,
            f"{counts['vanished']:,} of {shared.n_a:,} {kind} are gone, "
            f"{vanished:.2%} of the pairs before",
        ),
        Measured(
            f"{kind}_appeared",
            appeared,
            f"{counts['appeared']:,} of {shared.n_b:,} {kind} are new, "
            f"{appeared:.2%} of the pairs now",
        ),
    ]


def _share(mass: NDArray[np.float64], rows: NDArray[np.int32]) -> float:
    total = mass.sum()
    return float(np.clip(mass[rows].sum() / total, 0, 1)) if total else 1.0


def _spread(
    name: str,
    kind: str,
    shared: Shared,
    mass_a: NDArray[np.float64],
    mass_b: NDArray[np.float64],
) -> Measured:
    a, b = (mass / max(mass.sum(), 1.0) for mass in (mass_a, mass_b))
    stayed = np.abs(a[shared.in_a] - b[shared.in_b]).sum()
    came, went = b.sum() - b[shared.in_b].sum(), a.sum() - a[shared.in_a].sum()
    value = float(np.clip((stayed + came + went) / 2, 0, 1))
    return Measured(name, value, f"{value:.2%} of the pairs moved to other {kind}")
