"""How far the vectors moved, in the coordinates that two aligned versions share."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.index.quantized import norms_of
from recsys.monitoring.measures import Measured, not_measured
from recsys.monitoring.population import Shared, lost_overlap
from recsys.store import Content
from recsys.vectors import FloatMatrix, Id
from recsys.vectors.nearest import directions

NAMES = ("item_movement", "item_movement_p95", "item_movement_popular", "centroid_shift")
SHAPE_NAMES = ("item_norms", "user_norms", "neighbour_churn")
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
class Movement:
    """What was measured of the items that both versions have.

    Parameters
    ----------
    measures : list of Measured
    percentiles : mapping of str to float
        Of 1 - cosine over the shared items.
    most : tuple of Moved
        The items that add most to the mean weighted by popularity, the first adds most.
    """

    measures: list[Measured]
    percentiles: Mapping[str, float]
    most: tuple[Moved, ...]


def measure_movement(a: Content, b: Content, items: Shared) -> Movement:
    """Measure how far the items moved; not where the versions share no coordinates."""
    if reason := _why_not(a, b, items):
        return Movement(not_measured(NAMES, reason), {}, ())
    moved = np.maximum(1 - cosines(a.items.embeddings, b.items.embeddings, items), 0)
    moved[moved < 1e-6] = 0  # round-off of float32
    popularity = a.items.popularity[items.in_a]
    total = popularity.sum()
    weighted = float(moved @ popularity / total) if total else float(moved.mean())
    p95 = float(np.quantile(moved, 0.95))
    shift = _centroid_shift(a, b, items)
    measures = [
        Measured("item_movement", float(moved.mean()), "mean 1 - cosine of the shared items"),
        Measured("item_movement_p95", p95, "95 % of the shared items moved less"),
        Measured("item_movement_popular", weighted, "1 - cosine, weighted by popularity"),
        Measured("centroid_shift", shift, "move of the mean item, in mean lengths of an item"),
    ]
    levels = {f"p{level}": float(np.percentile(moved, level)) for level in (5, 25, 50, 75, 95, 99)}
    return Movement(measures, levels, _most_moved(a, items, moved, popularity))


def _why_not(a: Content, b: Content, items: Shared) -> str | None:
    if a.items.space_id != b.items.space_id:
        return f"the spaces differ, {a.items.space_id} and {b.items.space_id}"
    if a.items.embeddings.shape[1] != b.items.embeddings.shape[1]:
        return "the numbers of factors differ"
    return f"{len(items)} shared items tell little" if len(items) < TOO_FEW else None


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


def _centroid_shift(a: Content, b: Content, items: Shared) -> float:
    first, second = a.items.embeddings, b.items.embeddings
    shift = _mean(second, items.in_b) - _mean(first, items.in_a)
    length = _lengths(first).mean()
    return float(np.linalg.norm(shift) / length) if length else 0.0


def _mean(vectors: FloatMatrix, rows: NDArray[np.int32]) -> NDArray[np.float64]:
    total = np.zeros(vectors.shape[1])
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        total += vectors[rows[start : start + _ROWS_AT_ONCE]].sum(axis=0, dtype=np.float64)
    return total / len(rows)


def _most_moved(
    a: Content, items: Shared, moved: NDArray[np.float64], popularity: NDArray[np.int64]
) -> tuple[Moved, ...]:
    places = np.lexsort((items.in_a, -moved * popularity))[:_MOST_MOVED]
    places = places[moved[places] > 0]
    ids = a.items.ids.tolist(items.in_a[places])
    return tuple(map(Moved, ids, moved[places].tolist(), popularity[places].tolist()))


def measure_shape(a: Content, b: Content, items: Shared, n_items: int, seed: int) -> list[Measured]:
    """Measure what no rotation changes: lengths, and who is next to whom."""
    norms = [
        _norms_shift(name, kind, one, other)
        for name, kind, one, other in (
            ("item_norms", "items", a.items.embeddings, b.items.embeddings),
            ("user_norms", "users", a.users.embeddings, b.users.embeddings),
        )
    ]
    return [*norms, _neighbour_churn(a, b, items, n_items, seed)]


def _norms_shift(name: str, kind: str, a: FloatMatrix, b: FloatMatrix) -> Measured:
    from scipy.stats import wasserstein_distance

    lengths_a, lengths_b = _lengths(a), _lengths(b)
    mean = float(lengths_a.mean())
    value = float(wasserstein_distance(lengths_a, lengths_b)) / mean if mean else 0.0
    means = f"mean {mean:.3g} before, {lengths_b.mean():.3g} now"
    return Measured(name, value, f"Wasserstein distance of the lengths of {kind}, {means}")


def _lengths(vectors: FloatMatrix) -> NDArray[np.float64]:
    step = -(-len(vectors) // _MOST_NORMS) or 1
    return norms_of(vectors[::step])


def _neighbour_churn(a: Content, b: Content, items: Shared, n_items: int, seed: int) -> Measured:
    (name,) = SHAPE_NAMES[2:]
    k = 10
    has_direction = a.items.embeddings[items.in_a].any(axis=1)
    has_direction &= b.items.embeddings[items.in_b].any(axis=1)
    shared = Shared(
        items.in_a[has_direction], items.in_b[has_direction], items.a_of_b, items.n_a, items.n_b
    ).sample(n_items, seed, a.items.popularity)
    found = [_similar(one, rows, k) for one, rows in ((a, shared.in_a), (b, shared.in_b))]
    if len(shared) < TOO_FEW or found[0] is None or found[1] is None:
        return not_measured([name], "too few shared items, or no index of similar items")[0]
    value = float(lost_overlap(found[0], translated(found[1], shared)).mean())
    return Measured(
        name,
        value,
        f"of the {k} items most similar to each of {len(shared):,}, {value:.0%} changed",
    )


def _similar(content: Content, rows: NDArray[np.int32], k: int) -> NDArray[np.int32] | None:
    """Return the rows that are most similar to some items, but for themselves."""
    index = content.similar("item")
    if index is None:
        return None
    units = directions(content.items.embeddings[rows])
    starts = np.arange(len(rows) + 1, dtype=np.int64)
    return index.search_many(units, k, starts, rows)[0]


def translated(rows_of_b: NDArray[np.int32], items: Shared) -> NDArray[np.int32]:
    """Return lists of rows of b as rows of a: -2 for what a does not have, -1 stays nothing."""
    known = items.a_of_b[np.maximum(rows_of_b, 0)]
    found: NDArray[np.int32] = np.where(known < 0, np.int32(-2), known)
    found[rows_of_b < 0] = -1
    return found
