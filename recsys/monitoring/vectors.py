"""Measures of the vectors: how far they moved, their lengths, and what is next to what."""

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.base.lazy import lazy_property
from recsys.monitoring.measures import Measured, NotMeasured, measure_of, wasserstein
from recsys.monitoring.population import Shared, lost_overlap
from recsys.store import Content, ItemTable
from recsys.vectors import FloatMatrix, Id
from recsys.vectors.vector import norms_of, unit_rows

TOO_FEW = 50  # shared rows: a mean over less tells little

_ROWS_AT_ONCE = 1 << 13
_MOST_NORMS = 1 << 17  # of a sample, so that a hundred million users cost no more
_MOST_MOVED = 10


@dataclass(frozen=True)
class Moved:
    """An item that moved: 1 - cosine of its two vectors, and its users before."""

    item_id: Id
    movement: float
    popularity: int


@dataclass(frozen=True, eq=False)
class VectorPair:
    """The vectors of two versions; what several measures need is computed once."""

    a: Content
    b: Content
    items: Shared
    n_items: int  # drawn by popularity, whose neighbours are compared
    seed: int

    @lazy_property
    def moves(self) -> NDArray[np.float64]:
        """1 - cosine of each shared item, (n_shared,); raises `NotMeasured`."""
        self.require_one_space()
        a, b = self.a.items.embeddings, self.b.items.embeddings
        moves = np.maximum(1 - cosines(a, b, self.items), 0)
        moves[moves < 1e-6] = 0  # round-off of float32
        return moves

    def require_one_space(self) -> None:
        """Raise `NotMeasured` where the two versions share no coordinates, or few items."""
        a, b = self.a.items, self.b.items
        if a.space_id != b.space_id:
            raise NotMeasured(f"the spaces differ, {a.space_id} and {b.space_id}")
        if a.embeddings.shape[1] != b.embeddings.shape[1]:
            raise NotMeasured("the numbers of factors differ")
        if len(self.items) < TOO_FEW:
            raise NotMeasured(f"{len(self.items)} shared items tell little")

    @property
    def popularity(self) -> NDArray[np.int64]:
        """Users before of each shared item, (n_shared,)."""
        return self.a.items.popularity[self.items.in_a]

    def percentiles(self) -> dict[str, float]:
        """Return percentiles of 1 - cosine by name; empty where it cannot be measured."""
        with suppress(NotMeasured):
            levels = (5, 25, 50, 75, 95, 99)
            return {f"p{level}": float(np.percentile(self.moves, level)) for level in levels}
        return {}

    def most_moved(self) -> tuple[Moved, ...]:
        """Return the items that add most to the mean weighted by popularity, largest first."""
        with suppress(NotMeasured):
            moves, popularity = self.moves, self.popularity
            most = np.lexsort((self.items.in_a, -moves * popularity))[:_MOST_MOVED]
            most = most[moves[most] > 0]
            ids = self.a.items.ids.tolist(self.items.in_a[most])
            return tuple(map(Moved, ids, moves[most].tolist(), popularity[most].tolist()))
        return ()


@measure_of("vectors", limit=0.2)
def item_movement(pair: VectorPair) -> Measured:
    """Mean 1 - cosine of the shared items."""
    return Measured(float(pair.moves.mean()), "mean 1 - cosine of the shared items")


@measure_of("vectors", limit=0.5)
def item_movement_p95(pair: VectorPair) -> Measured:
    """95th percentile of 1 - cosine of the shared items."""
    return Measured(float(np.quantile(pair.moves, 0.95)), "95 % of the shared items moved less")


@measure_of("vectors", limit=0.15)
def item_movement_popular(pair: VectorPair) -> Measured:
    """Mean 1 - cosine of the shared items, weighted by popularity."""
    total = pair.popularity.sum()
    value = pair.moves @ pair.popularity / total if total else pair.moves.mean()
    return Measured(float(value), "1 - cosine, weighted by popularity")


@measure_of("vectors", limit=0.05)
def centroid_shift(pair: VectorPair) -> Measured:
    """Move of the mean item that has events, in mean lengths of an item."""
    pair.require_one_space()
    a, b, shared = pair.a.items, pair.b.items, pair.items
    has_events = (a.n_with_events[shared.in_a] > 0) & (b.n_with_events[shared.in_b] > 0)
    if has_events.sum() < TOO_FEW:
        raise NotMeasured(f"{has_events.sum()} shared items with events tell little")
    before = _mean(a.embeddings, shared.in_a[has_events])
    shift = _mean(b.embeddings, shared.in_b[has_events]) - before
    length = _lengths(a.embeddings, _with_events(a)).mean()
    value = float(np.linalg.norm(shift) / length) if length else 0.0
    return Measured(value, "move of the mean item with events, in mean lengths of an item")


@measure_of("vectors", limit=0.03)
def item_norms(pair: VectorPair) -> Measured:
    """Wasserstein distance of the lengths of items with events, in their mean length before."""
    a, b = pair.a.items, pair.b.items
    lengths = _lengths(a.embeddings, _with_events(a)), _lengths(b.embeddings, _with_events(b))
    return _norms_shift("items with events", *lengths)


@measure_of("vectors", limit=0.06)
def user_norms(pair: VectorPair) -> Measured:
    """Wasserstein distance of the lengths of users, in their mean length before."""
    a, b = pair.a.users.embeddings, pair.b.users.embeddings
    return _norms_shift("users", _lengths(a), _lengths(b))


@measure_of("vectors", limit=0.4)
def neighbour_churn(pair: VectorPair) -> Measured:
    """Mean share of the items most similar to an item that changed."""
    a, b, items, k = pair.a, pair.b, pair.items, 10
    has_direction = a.items.embeddings[items.in_a].any(axis=1)
    has_direction &= b.items.embeddings[items.in_b].any(axis=1)
    shared = replace(items, in_a=items.in_a[has_direction], in_b=items.in_b[has_direction])
    shared = shared.sample(pair.n_items, pair.seed, a.items.popularity)
    before, now = _similar(a, shared.in_a, k), _similar(b, shared.in_b, k)
    if len(shared) < TOO_FEW or before is None or now is None:
        raise NotMeasured("too few shared items, or no index of similar items")
    value = float(lost_overlap(before, translated(now, shared)).mean())
    found = f"of the {k} items most similar to each of {len(shared):,}, {value:.0%} changed"
    return Measured(value, found)


def cosines(a: FloatMatrix, b: FloatMatrix, shared: Shared) -> NDArray[np.float64]:
    """Return the cosine of the two vectors of each shared row, in parts that fit in memory.

    A zero vector has no direction: two of them count as the same, one of them as orthogonal.
    """
    found = np.empty(len(shared))
    for start in range(0, len(shared), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        one = a[shared.in_a[part]].astype(np.float64)
        other = b[shared.in_b[part]].astype(np.float64)
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        dots = np.einsum("ij,ij->i", one, other)
        found[part] = dots / np.where(lengths > 0, lengths, 1)
        found[part][~one.any(axis=1) & ~other.any(axis=1)] = 1
    return found


def _mean(vectors: FloatMatrix, rows: NDArray[np.int32]) -> NDArray[np.float64]:
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        total += vectors[rows[start : start + _ROWS_AT_ONCE]].sum(axis=0, dtype=np.float64)
    return total / len(rows)


def _norms_shift(kind: str, a: NDArray[np.float64], b: NDArray[np.float64]) -> Measured:
    mean = float(a.mean())
    value = wasserstein(a, b) / mean if mean else 0.0
    means = f"mean {mean:.3g} before, {b.mean():.3g} now"
    return Measured(value, f"Wasserstein distance of the lengths of {kind}, {means}")


def _with_events(items: ItemTable) -> NDArray[np.intp]:
    """Return the rows of items that somebody has or dislikes.

    The vectors of the others are what their attributes say: a thousand new items that a shop lists
    in one night are no drift of those it had.
    """
    rows = np.flatnonzero(items.n_with_events)
    if not len(rows):
        raise NotMeasured(f"none of the {len(items.ids):,} items has events")
    return rows


def _lengths(vectors: FloatMatrix, rows: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
    """Return the lengths of some rows, by default of all, or of as many of them as tell enough."""
    step = -(-len(vectors if rows is None else rows) // _MOST_NORMS) or 1
    return norms_of(vectors[::step] if rows is None else vectors[rows[::step]])


def _similar(content: Content, rows: NDArray[np.int32], k: int) -> NDArray[np.int32] | None:
    """Return the rows that are most similar to some items, but for themselves."""
    index = content.similar("item")
    if index is None:
        return None
    units = unit_rows(content.items.embeddings[rows])
    starts = np.arange(len(rows) + 1, dtype=np.int64)
    return index.search_many(units, k, starts, rows)[0]


def translated(rows_of_b: NDArray[np.int32], items: Shared) -> NDArray[np.int32]:
    """Return lists of rows of b as rows of a: -2 for what a does not have, -1 stays nothing."""
    known = items.a_of_b[np.maximum(rows_of_b, 0)]
    found: NDArray[np.int32] = np.where(known < 0, np.int32(-2), known)
    found[rows_of_b < 0] = -1
    return found
