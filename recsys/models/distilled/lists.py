"""A teacher's lists: the strongest items that users have not seen, and how likely each is."""

from typing import NamedTuple, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.threads import Threads
from recsys.vectors import FloatMatrix, FloatVector, top_k
from recsys.vectors.top_k import EXCLUDED

_BLOCK_BYTES = 16 * 1024**2  # of scores that a thread holds at a time
_NO_DIFFERENCE = 1e-4  # of the largest score: what rounding leaves between equal ones


class Scorer(Protocol):
    """What scores all items for some users, such as `Embeddings`."""

    def scores(
        self, user_idx: NDArray[np.integer] | slice, out: FloatMatrix | None = None
    ) -> FloatMatrix:
        """Return float32 (n, n_items)."""


class Lists(NamedTuple):
    """The lists of some users, best first."""

    user_idx: NDArray[np.integer]  # (n,)
    item_idx: NDArray[np.int32]  # (n, length); a short list ends in -1
    scores: FloatMatrix  # (n, length); a short list ends in minus infinity
    largest: FloatVector  # (n,): the largest size of a score, of all items


def strongest_unseen(
    scorer: Scorer,
    user_items: sp.csr_array,
    user_idx: NDArray[np.integer],
    length: int,
    pool: Threads,
) -> Lists:
    """Return the items that a scorer puts first for some users, without those that they have seen.

    The work is ``2 n_users n_items factors`` flops for embeddings.
    """
    n_items = user_items.shape[1]
    size = max(1, _BLOCK_BYTES // (4 * n_items))
    blocks = [user_idx[start : start + size] for start in range(0, len(user_idx), size)]

    def work(rows: NDArray[np.integer]) -> tuple[NDArray[np.int32], FloatMatrix, FloatVector]:
        scores = scorer.scores(rows)
        largest = np.maximum(scores.max(axis=1), -scores.min(axis=1))
        seen = sp.coo_array(user_items[rows])
        scores[seen.row, seen.col] = EXCLUDED
        return *top_k(scores, length), largest

    found = pool.map(work, blocks)
    return Lists(user_idx, *(np.concatenate(parts) for parts in zip(*found, strict=True)))


def likelihoods(lists: Lists, length: int) -> FloatMatrix:
    """Return the softmax over the first items of each list, 0 beyond: float32, (n, length of all).

    Scores are in their own deviations over those items. So neither the scale of a teacher nor how
    a user's scores are shifted counts.
    """
    is_first = np.arange(lists.item_idx.shape[1]) < length
    is_listed = (lists.item_idx >= 0) & is_first
    scores = np.where(is_listed, lists.scores, 0).astype(np.float64)
    n = np.maximum(is_listed.sum(axis=1, keepdims=True), 1)
    mean = scores.sum(axis=1, keepdims=True) / n
    deviation = np.sqrt((is_listed * (scores - mean) ** 2).sum(axis=1, keepdims=True) / n)
    least = np.maximum(_NO_DIFFERENCE * lists.largest[:, None], 1e-30)
    scaled = (scores - scores[:, :1]) / np.maximum(deviation, least)
    likely = is_listed * np.exp(np.minimum(scaled, 0))
    likely /= np.maximum(likely.sum(axis=1, keepdims=True), 1e-30)
    return np.asarray(likely, dtype=np.float32)
