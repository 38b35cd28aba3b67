"""Measures of users, items and popularity, over the ids that two versions share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.monitoring.measures import Measured
from recsys.store import Content
from recsys.vectors import Ids


@dataclass(frozen=True, eq=False)
class Shared:
    """The rows of two versions that have the same id.

    Parameters
    ----------
    in_a, in_b : ndarray of int32, shape (n_shared,)
        Row in the one and in the other, in the order of the other.
    a_of_b : ndarray of int32, shape (n_b,)
        Row in a of each row of b, -1 where a has none.
    n_a, n_b : int
        Rows of each.
    """

    in_a: NDArray[np.int32]
    in_b: NDArray[np.int32]
    a_of_b: NDArray[np.int32]
    n_a: int
    n_b: int

    @classmethod
    def of(cls, a: Ids, b: Ids) -> "Shared":
        """Find the ids that both have; 7 and "7" are one id, as they are everywhere."""
        a_of_b = a.rows_of(b)
        in_b = np.flatnonzero(a_of_b >= 0).astype(np.int32)
        return cls(a_of_b[in_b], in_b, a_of_b, len(a), len(b))

    def __len__(self) -> int:
        return len(self.in_a)

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of ids that both have, that b has alone, and that a has alone."""
        n = len(self)
        return {"shared": n, "appeared": self.n_b - n, "vanished": self.n_a - n}

    def sample(self, n: int, seed: int, weight: NDArray[np.generic] | None = None) -> "Shared":
        """Return some of the shared rows at random, without the others.

        Parameters
        ----------
        n : int
        seed : int
        weight : ndarray, shape (n_a,), optional
            Of the rows of a: how likely each is to be drawn. Default: all alike.
        """
        rng = np.random.default_rng(seed)
        p = None
        if weight is not None and len(self):
            p = weight[self.in_a].astype(np.float64)
            p = p / p.sum() if (p > 0).sum() >= min(n, len(self)) else None
        chosen = np.sort(rng.choice(len(self), size=min(n, len(self)), replace=False, p=p))
        return Shared(self.in_a[chosen], self.in_b[chosen], self.a_of_b, self.n_a, self.n_b)


def lost_overlap(a: NDArray[np.int32], b: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return for each pair of lists the share of the longer one that the other does not hold.

    Parameters
    ----------
    a, b : ndarray of int32, shape (n, k)
        Rows of one catalogue, each once in a list; -1 for nothing, -2 for what is in no other.

    Returns
    -------
    ndarray of float64, shape (n,)
        0 for the same items in any order, 1 for none in common; 0 for two empty lists.
    """
    common = ((a[:, :, None] == b[:, None, :]) & (a[:, :, None] >= 0)).sum(axis=(1, 2))
    longer = np.maximum((a != -1).sum(axis=1), (b != -1).sum(axis=1))
    lost: NDArray[np.float64] = 1 - common / np.maximum(longer, 1)
    lost[longer == 0] = 0
    return lost


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
