"""Measures of users, items and popularity, over the ids that two versions share."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.monitoring.measures import Measured, measure_of
from recsys.store import Content
from recsys.vectors import Ids


@dataclass(frozen=True, eq=False)
class Shared:
    """The rows of two versions that have the same id, in the order of b."""

    in_a: NDArray[np.int32]  # (n_shared,)
    in_b: NDArray[np.int32]  # (n_shared,)
    a_of_b: NDArray[np.int32]  # (n_b,), row in a of each row of b, -1 where a has none
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
        """Draw shared rows at random, by weight of the rows of a where weights are given."""
        rng = np.random.default_rng(seed)
        p = None
        if weight is not None and len(self):
            p = weight[self.in_a].astype(np.float64)
            p = p / p.sum() if (p > 0).sum() >= min(n, len(self)) else None
        chosen = np.sort(rng.choice(len(self), size=min(n, len(self)), replace=False, p=p))
        return Shared(self.in_a[chosen], self.in_b[chosen], self.a_of_b, self.n_a, self.n_b)


def lost_overlap(a: NDArray[np.int32], b: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return for each pair of lists the share of the longer one that the other does not hold.

    Lists are rows of item_idx (n, k), each once: -1 for nothing, -2 for what is in no other.
    """
    common = ((a[:, :, None] == b[:, None, :]) & (a[:, :, None] >= 0)).sum(axis=(1, 2))
    longer = np.maximum((a != -1).sum(axis=1), (b != -1).sum(axis=1))
    lost: NDArray[np.float64] = 1 - common / np.maximum(longer, 1)
    lost[longer == 0] = 0
    return lost


@dataclass(frozen=True, eq=False)
class Population:
    """The users or the items of two versions, each with its seen pairs."""

    kind: str  # "users" or "items"
    shared: Shared
    pairs_a: NDArray[np.float64]  # (n_a,)
    pairs_b: NDArray[np.float64]  # (n_b,)

    @classmethod
    def of_users(cls, a: Content, b: Content, users: Shared) -> "Population":
        """Return the users and how many items each has seen."""
        seen = (np.diff(one.users.seen.starts).astype(np.float64) for one in (a, b))
        return cls("users", users, *seen)

    @classmethod
    def of_items(cls, a: Content, b: Content, items: Shared) -> "Population":
        """Return the items and how many users have seen each."""
        seen = (one.items.popularity.astype(np.float64) for one in (a, b))
        return cls("items", items, *seen)


@measure_of("population", limit=0.05)
def users_vanished(users: Population, _items: Population) -> Measured:
    """Share of the seen pairs before that are of users who are gone."""
    return _vanished(users)


@measure_of("population", limit=0.03)
def users_appeared(users: Population, _items: Population) -> Measured:
    """Share of the seen pairs now that are of users who are new."""
    return _appeared(users)


@measure_of("population", limit=0.02)
def items_vanished(_users: Population, items: Population) -> Measured:
    """Share of the seen pairs before that are of items which are gone."""
    return _vanished(items)


@measure_of("population", limit=0.03)
def items_appeared(_users: Population, items: Population) -> Measured:
    """Share of the seen pairs now that are of items which are new."""
    return _appeared(items)


@measure_of("population", limit=0.03)
def user_activity(users: Population, _items: Population) -> Measured:
    """Total variation distance of the users' shares of the seen pairs."""
    return _moved(users)


@measure_of("population", limit=0.03)
def item_popularity(_users: Population, items: Population) -> Measured:
    """Total variation distance of the items' shares of the seen pairs."""
    return _moved(items)


def _vanished(of: Population) -> Measured:
    n, shared = of.shared.counts["vanished"], of.shared
    value = 1 - _share(of.pairs_a, shared.in_a) if n else 0.0
    gone = f"{n:,} of {shared.n_a:,} {of.kind} are gone, {value:.2%} of the pairs before"
    return Measured(value, gone)


def _appeared(of: Population) -> Measured:
    n, shared = of.shared.counts["appeared"], of.shared
    value = 1 - _share(of.pairs_b, shared.in_b) if n else 0.0
    new = f"{n:,} of {shared.n_b:,} {of.kind} are new, {value:.2%} of the pairs now"
    return Measured(value, new)


def _share(pairs: NDArray[np.float64], rows: NDArray[np.int32]) -> float:
    total = pairs.sum()
    return float(np.clip(pairs[rows].sum() / total, 0, 1)) if total else 1.0


def _moved(of: Population) -> Measured:
    """Measure the share of the pairs that would have to move from one row to another."""
    shared = of.shared
    a, b = (pairs / max(pairs.sum(), 1.0) for pairs in (of.pairs_a, of.pairs_b))
    stayed = np.abs(a[shared.in_a] - b[shared.in_b]).sum()
    came, went = b.sum() - b[shared.in_b].sum(), a.sum() - a[shared.in_a].sum()
    value = float(np.clip((stayed + came + went) / 2, 0, 1))
    return Measured(value, f"{value:.2%} of the pairs moved to other {of.kind}")
