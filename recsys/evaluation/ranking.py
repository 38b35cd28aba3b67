"""Full ranking of all items for many users, in blocks that fit in memory."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recsys.compiled.parallel import usable_cores
from recsys.evaluation.beyond import BeyondAccuracy
from recsys.evaluation.metrics import RankedHits
from recsys.progress import OnStep
from recsys.vectors import FloatMatrix, top_k
from recsys.vectors.top_k import EXCLUDED

SCORE_BYTES = 4


class Scorer(Protocol):
    """What can be ranked: `Embeddings`, or anything else that scores all items for some users."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and of items."""
        ...

    def scores(self, user_idx: NDArray[np.integer], out: FloatMatrix | None = None) -> FloatMatrix:
        """Return float32 (n, n_items), in `out` if that is given; threads call it at once."""
        ...


MAX_BLOCK_USERS = 512  # beyond, the matrix product gains nothing and the block leaves the cache


def rank(
    scorer: Scorer,
    seen: sp.csr_array,
    relevant: sp.csr_array,
    user_idx: NDArray[np.int32],
    k: int,
    beyond: BeyondAccuracy,
    *,
    batch_bytes: int,
    on_step: OnStep,
) -> RankedHits:
    """Rank all items that each user has not seen, by exact scores, and mark the relevant ones.

    Threads take blocks of users and do the matrix product as well as the selection, each on its
    own core, so BLAS is held to one thread meanwhile. The lists depend on neither the blocks nor
    the threads, up to the rounding of the scores.

    Parameters
    ----------
    scorer : Scorer
    seen, relevant : csr_array, shape (n_users, n_items)
        Of which the entries count and the data do not; indices ascend within each row.
    user_idx : ndarray of int32, shape (n,)
        The users to rank for, each with a relevant item.
    k : int
    beyond : BeyondAccuracy
        Is given all lists.
    batch_bytes : int
        Bound on the scores held at a time, over all threads; at least one user per thread.
    on_step : OnStep
        Told the users done and in all after each block.

    Returns
    -------
    RankedHits
        One row per entry of `user_idx`.
    """
    n_items = scorer.shape[1]
    hits = np.empty((len(user_idx), min(k, n_items)), dtype=np.bool_)
    n_listed = np.empty(len(user_idx), dtype=np.int32)
    lists = _lists(scorer, seen, user_idx, k, batch_bytes)
    start = 0
    for columns in lists:
        end = start + len(columns)
        hits[start:end] = _membership(columns, relevant[user_idx[start:end]])
        n_listed[start:end] = (columns >= 0).sum(axis=1)
        beyond.take(columns, hits[start:end])
        start = end
        on_step(end, len(user_idx))
    n_relevant = np.diff(relevant.indptr)[user_idx]
    return RankedHits(hits, n_relevant, n_listed)


def _lists(
    scorer: Scorer,
    seen: sp.csr_array,
    user_idx: NDArray[np.int32],
    k: int,
    batch_bytes: int,
) -> Iterator[NDArray[np.int32]]:
    """Yield the lists of one block of users after the other, int32 (n_block, min(k, n_items))."""
    n_threads = usable_cores()
    n_items = scorer.shape[1]
    n_rows = batch_bytes // (SCORE_BYTES * max(n_items, 1) * n_threads)
    n_rows = max(1, min(n_rows, MAX_BLOCK_USERS, -(-len(user_idx) // n_threads)))
    # One buffer per thread, used again and again: fresh memory costs a page fault every 4 kB.
    buffers: SimpleQueue[FloatMatrix] = SimpleQueue()
    for _ in range(n_threads):
        buffers.put(np.empty((n_rows, n_items), dtype=np.float32))

    def lists_of(users: NDArray[np.int32]) -> NDArray[np.int32]:
        buffer = buffers.get()
        scores = scorer.scores(users, out=buffer[: len(users)])
        scores[_entries(seen[users])] = EXCLUDED
        columns, _ = top_k(scores, k)
        buffers.put(buffer)
        return columns

    blocks = [user_idx[start : start + n_rows] for start in range(0, len(user_idx), n_rows)]
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as threads:
        yield from threads.map(lists_of, blocks)


def _entries(matrix: sp.csr_array) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Return row and column of every entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices


def _membership(columns: NDArray[np.int32], relevant: sp.csr_array) -> NDArray[np.bool_]:
    """Mark the columns that are entries of the same row of a matrix; -1 is none."""
    n_rows, n_items = relevant.shape
    rows, relevant_columns = _entries(relevant)
    keys = rows * n_items + relevant_columns  # ascending, as rows and columns do
    asked = np.arange(n_rows)[:, None] * n_items + columns
    place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
    found: NDArray[np.bool_] = (keys[place] == asked) & (columns >= 0)
    return found
