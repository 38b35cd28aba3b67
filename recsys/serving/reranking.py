"""Lists that are more than the best k: diverse ones, and few of one kind."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recsys.index import ItemRows
from recsys.vectors import FloatMatrix, FloatVector
from recsys.vectors.directions import directions

Find = Callable[[int], tuple[ItemRows, FloatVector]]
"""Returns the best n that may be in the list, fewer only where there are no more."""

_POOL_PER_PLACE, _LEAST_POOL = 5, 50  # what diversity chooses from


def chosen(
    find: Find,
    k: int,
    *,
    diversity: float,
    groups: NDArray[np.int32] | None,
    per_group: int,
    vectors: FloatMatrix,
) -> tuple[ItemRows, FloatVector]:
    """Return k of the best, or as many as there are, under a limit per group and with diversity.

    Without diversity these are the first k, best first, that the limit leaves. With it they are
    chosen from some more by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): one
    after the other, that with the largest ``(1 - diversity) * relevance - diversity * cosine``,
    relevance the score on a scale from 0 to 1 in the pool, and cosine that with the most similar
    one chosen before.

    Parameters
    ----------
    find : callable
    k : int
    diversity : float
        0 to 1.
    groups : ndarray of int32, shape (n_items,), optional
        The group of each item; -1 is none, which has no limit.
    per_group : int
    vectors : ndarray of float32, shape (n_items, factors)

    Returns
    -------
    rows : ndarray of int32
    scores : ndarray of float32
        In the order of choice.
    """
    size = max(_POOL_PER_PLACE * k, _LEAST_POOL) if diversity > 0 else k
    n = size
    while True:
        rows, scores = find(n)
        fits = _within_limit(rows, groups, per_group)
        if fits.sum() >= size or len(rows) < n:
            break
        n *= 2
    rows, scores = rows[fits], scores[fits]
    if diversity == 0:
        return rows[:k], scores[:k]
    places = _marginally_best(scores, directions(vectors[rows]), min(k, len(rows)), diversity)
    return rows[places], scores[places]


def _within_limit(
    rows: ItemRows, groups: NDArray[np.int32] | None, per_group: int
) -> NDArray[np.bool_]:
    """Mark the rows that come before their group is full."""
    if groups is None or len(rows) == 0:
        return np.ones(len(rows), dtype=np.bool_)
    group = groups[rows]
    by_group = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(group[by_group]) != 0))
    place = np.empty(len(rows), dtype=np.int64)
    sizes = np.diff(np.append(starts, len(rows)))
    place[by_group] = np.arange(len(rows)) - np.repeat(starts, sizes)
    fits: NDArray[np.bool_] = (place < per_group) | (group < 0)
    return fits


def _marginally_best(
    scores: FloatVector, directions: FloatMatrix, k: int, diversity: float
) -> list[int]:
    if len(scores) == 0:
        return []
    spread = float(np.ptp(scores)) or 1.0
    relevance = (1 - diversity) * (scores - scores.min()) / spread
    closest = np.zeros(len(scores), dtype=np.float32)
    left = np.ones(len(scores), dtype=np.bool_)
    places: list[int] = []
    for _ in range(k):
        place = int(np.argmax(np.where(left, relevance - diversity * closest, -np.inf)))
        cosines = directions @ directions[place]
        closest = cosines if not places else np.maximum(closest, cosines)
        left[place] = False
        places.append(place)
    return places
