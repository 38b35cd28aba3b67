"""Limit how many items of a group a list has, and rerank it for diversity."""

from collections.abc import Callable

import numpy as np

from recsys.index import ItemRows
from recsys.serving.attributes import within_limits
from recsys.serving.request import Request
from recsys.vectors import FloatMatrix, FloatVector
from recsys.vectors.vector import unit_rows

Find = Callable[[int], tuple[ItemRows, FloatVector]]
"""Returns the best n items that may be in the list, fewer only where there are no more."""

_POOL_PER_ITEM, _MIN_POOL = 5, 50  # items that diversity chooses from


def reranked(find: Find, request: Request, vectors: FloatMatrix) -> tuple[ItemRows, FloatVector]:
    """Return the best items under a limit per group, reranked for diversity.

    Without diversity these are the first k, best first, that the limit leaves. With it they are
    chosen from some more by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): one
    after the other, that with the largest ``(1 - diversity) * relevance - diversity * cosine``,
    relevance the score on a scale from 0 to 1 in the pool, and cosine that with the most similar
    one chosen before.
    """
    k, diversity = request.k, request.diversity
    size = max(_POOL_PER_ITEM * k, _MIN_POOL) if diversity > 0 else k
    n = size
    while True:
        rows, scores = find(n)
        n_found = len(rows)
        if request.limits:
            fits = within_limits(rows, request.limits, size, request.pinned)
            rows, scores = rows[fits], scores[fits]
        if len(rows) >= size or n_found < n:
            break
        n *= 4
    rows, scores = rows[:size], scores[:size]  # the same, however many had to be looked through
    if diversity == 0:
        return rows, scores
    chosen = _by_marginal_relevance(scores, unit_rows(vectors[rows]), min(k, len(rows)), diversity)
    return rows[chosen], scores[chosen]


def _by_marginal_relevance(
    scores: FloatVector, units: FloatMatrix, k: int, diversity: float
) -> list[int]:
    """Return the positions of k of the scores, in the order of choice; see `reranked`."""
    if len(scores) == 0:
        return []
    spread = float(np.ptp(scores)) or 1.0
    relevance = (1 - diversity) * (scores - scores.min()) / spread
    closest = np.zeros(len(scores), dtype=np.float32)
    left = np.ones(len(scores), dtype=np.bool_)
    chosen: list[int] = []
    for _ in range(k):
        best = int(np.argmax(np.where(left, relevance - diversity * closest, -np.inf)))
        cosines = units @ units[best]
        closest = cosines if not chosen else np.maximum(closest, cosines)
        left[best] = False
        chosen.append(best)
    return chosen
