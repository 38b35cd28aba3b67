"""What a version makes of the pairs that it was trained on: collapsed vectors show here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.monitoring.measures import NotMeasured
from recsys.monitoring.vectors import TOO_FEW
from recsys.store import Content
from recsys.vectors.vector import norms_of

_NEARLY_ZERO = 1e-6  # of the longest user
_MOST_NORMS = 1 << 17  # of a sample of users
_MOST_ITEMS = 100  # of a user, seen and unseen


def share_with_vector(content: Content) -> float:
    """Return the share of users, of a sample, whose vectors are not zero, nor nearly so."""
    users = content.users.embeddings
    norms = norms_of(users[:: -(-len(users) // _MOST_NORMS) or 1])
    return float((norms > _NEARLY_ZERO * norms.max(initial=0)).mean()) if len(norms) else 0.0


@dataclass(frozen=True)
class Auc:
    """How often a seen item scores above one that was not seen, .5 by chance: mean over users."""

    mean: float
    half: float  # of an interval of three standard errors on each side
    n_users: int


def auc_of_own_pairs(content: Content, n_users: int, seed: int = 0) -> Auc:
    """Measure a sample of users; raises `NotMeasured` where there are too few."""
    rng = np.random.default_rng(seed)
    users = content.users
    chosen = np.sort(rng.choice(len(users.ids), min(n_users, len(users.ids)), replace=False))
    found = [_auc_of(content, row, rng) for row in chosen.tolist()]
    areas = np.array([area for area in found if area is not None])
    if len(areas) < TOO_FEW:
        raise NotMeasured(f"{len(areas)} users tell little")
    error = float(areas.std(ddof=1)) / len(areas) ** 0.5
    return Auc(float(areas.mean()), 3 * error, len(areas))


def _auc_of(content: Content, row: int, rng: np.random.Generator) -> float | None:
    """Compare some seen items of a user with some others; None where there are none of either."""
    items = content.items.embeddings
    seen = content.users.seen[row]
    others = np.setdiff1d(rng.integers(0, len(items), 2 * _MOST_ITEMS), seen)
    if not len(seen) or not len(others):
        return None
    user = content.users.embeddings[row].astype(np.float64)
    a, b = (np.asarray(items[rows] @ user) for rows in (_some(seen, rng), _some(others, rng)))
    return float((a[:, None] > b).mean() + 0.5 * (a[:, None] == b).mean())


def _some(rows: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.integer]:
    return rows if len(rows) <= _MOST_ITEMS else rng.choice(rows, _MOST_ITEMS, replace=False)
