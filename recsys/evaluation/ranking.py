"""Rank all items for every test user, in blocks: scores, lists, and pairs in wrong order."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.environment import usable_cores
from recsys.base.jit import compiled, nth
from recsys.base.packing import columns_of
from recsys.base.progress import OnStep
from recsys.base.threads import one_blas_thread
from recsys.evaluation.metrics import RankedHits
from recsys.vectors import FloatMatrix, Scorer
from recsys.vectors.top_k import EXCLUDED

MAX_BLOCK_USERS = 512  # beyond, the matrix product gains nothing
_SCORE_BYTES = 4
_GROUPS_PER_PLACE = 4  # of the list: more cost time, fewer let more candidates pass
_MIN_GROUPS = 256
_RUN = 64  # scores that are tested together for one that reaches the floor


@dataclass(frozen=True, eq=False)
class RankedBlock:
    """The ranking of some users, one row each."""

    start: int  # of the first of them among all users that are ranked
    columns: NDArray[np.int32]  # (n, k): the lists, best item first; -1 past the end
    ranked: RankedHits
    n_misordered: NDArray[np.int64] | None = None  # (n,): pairs of a relevant and another item,
    # reversed; None where only lists were made


def rank(
    scorer: Scorer,
    seen: sp.csr_array,
    relevant: sp.csr_array,
    user_idx: NDArray[np.int32],
    k: int,
    take: Callable[[RankedBlock], None],
    *,
    batch_bytes: int,
    on_step: OnStep,
) -> None:
    """Rank all items that each user has not seen, by exact scores, and mark the relevant ones.

    Threads take blocks of users, each on its own core, so BLAS is held to one thread meanwhile.
    The lists depend on neither the blocks nor the threads, up to the rounding of the scores.

    Parameters
    ----------
    seen, relevant : csr_array, shape (n_users, n_items)
        Of which the entries count and the data do not; without a common entry.
    user_idx : ndarray of int32, shape (n,)
        The users to rank for, each with a relevant item.
    """
    n_threads = usable_cores()
    n_rows = _rows_of_block(batch_bytes, n_threads, scorer.shape[1], len(user_idx))
    # One buffer per thread, used again and again: fresh memory costs a page fault every 4 kB.
    buffers: SimpleQueue[FloatMatrix] = SimpleQueue()
    for _ in range(n_threads):
        buffers.put(np.empty((n_rows, scorer.shape[1]), dtype=np.float32))
    rank_one = _BlockRanking(scorer, seen, relevant, k)

    def work(start: int) -> int:
        users, buffer = user_idx[start : start + n_rows], buffers.get()
        try:
            take(rank_one(start, users, buffer[: len(users)]))
        finally:
            buffers.put(buffer)
        return start + len(users)

    with one_blas_thread(), ThreadPoolExecutor(n_threads) as threads:
        for n_done in threads.map(work, range(0, len(user_idx), n_rows)):
            on_step(n_done, len(user_idx))


def _rows_of_block(batch_bytes: int, n_threads: int, n_items: int, n_users: int) -> int:
    n_rows = batch_bytes // (_SCORE_BYTES * max(n_items, 1) * n_threads)
    return max(1, min(n_rows, MAX_BLOCK_USERS, -(-n_users // n_threads)))


class _BlockRanking:
    """Scores and ranks one block of users after the other."""

    def __init__(self, scorer: Scorer, seen: sp.csr_array, relevant: sp.csr_array, k: int) -> None:
        self._scorer = scorer
        self._k = min(k, scorer.shape[1])
        self._matrices = (*_pointers(seen), *_pointers(relevant))
        self._n_unseen = scorer.shape[1] - np.diff(seen.indptr).astype(np.int64)
        self._n_relevant = np.diff(relevant.indptr).astype(np.int64)

    def __call__(self, start: int, users: NDArray[np.int32], buffer: FloatMatrix) -> RankedBlock:
        scores = np.ascontiguousarray(self._scorer.scores(users, out=buffer), dtype=np.float32)
        columns = np.empty((len(users), self._k), dtype=np.int32)
        hits = np.empty(columns.shape, dtype=np.bool_)
        n_listed = np.empty(len(users), dtype=np.int32)
        n_misordered = np.empty(len(users), dtype=np.int64)
        rank_block(scores, users, *self._matrices, columns, hits, n_listed, n_misordered)
        ranked = RankedHits(hits, self._n_relevant[users], n_listed, self._n_unseen[users])
        return RankedBlock(start, columns, ranked, n_misordered)


def _pointers(matrix: sp.csr_array) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the rows of a matrix for compiled code, which is compiled for one type of them."""
    return matrix.indptr.astype(np.int64), columns_of(matrix)


@compiled()
def rank_block(
    scores: NDArray[np.float32],  # (n, n_items), not NaN; those of seen items are overwritten
    users: NDArray[np.int32],  # (n,): rows of the two CSR matrices
    seen_indptr: NDArray[np.int64],
    seen_indices: NDArray[np.int32],
    relevant_indptr: NDArray[np.int64],
    relevant_indices: NDArray[np.int32],
    columns: NDArray[np.int32],  # out, (n, k): the lists, -1 past the end of a short one
    hits: NDArray[np.bool_],  # out, (n, k): which of them are relevant
    n_listed: NDArray[np.int32],  # out, (n,): lengths of the lists
    n_misordered: NDArray[np.int64],  # out, (n,): pairs of a relevant and another item, reversed
) -> None:
    """List the best unseen items of each user, mark the relevant ones and count wrong pairs.

    A score of minus infinity is never listed. No entry is both seen and relevant.
    """
    n_items, k = scores.shape[1], columns.shape[1]
    n_groups = max(_GROUPS_PER_PLACE * k, _MIN_GROUPS)
    best = np.empty(n_groups, dtype=np.float32)
    keys = np.empty(n_items, dtype=np.int64)
    for row in range(len(users)):
        user, own = users[row], scores[row]
        seen = seen_indices[seen_indptr[user] : seen_indptr[user + 1]]
        relevant = relevant_indices[relevant_indptr[user] : relevant_indptr[user + 1]]
        for item in seen:
            own[item] = EXCLUDED
        floor = EXCLUDED
        if n_items >= 2 * n_groups:
            floor = _floor(own, best, k)
        n_listed[row] = _list(own, floor, keys, columns[row])
        n_unseen = n_items - len(seen)
        n_misordered[row] = _mark(own, relevant, n_unseen, n_listed[row], hits[row])


@compiled()
def _floor(own: Any, best: Any, k: int) -> Any:
    """Return a score that k or more columns reach: the k-th best of the bests of groups.

    Every n-th column is in the same group, so that neighbours are compared with neighbours. A few
    columns at the end play in no group: the floor stays a floor without them.
    """
    n = len(best)
    for group in range(n):  # loops, as compiling `reshape` and the copy of a row takes seconds
        best[group] = own[group]
    for start in range(n, len(own) - n + 1, n):
        row = own[start : start + n]
        for group in range(n):
            score = row[group]
            best[group] = score if score > best[group] else best[group]
    return nth(best, n - k)


@compiled()
def _list(own: Any, floor: Any, keys: Any, columns: Any) -> int:
    """Fill in the best columns, best first, ties by lower column; return how many there are."""
    n = _candidates(own, floor, keys, len(columns))
    _sort(keys, n)
    n_listed = min(n, len(columns))
    for place in range(n_listed):
        columns[place] = np.int32(-keys[n - 1 - place])  # the lower half of a key
    for place in range(n_listed, len(columns)):  # loops, as an assignment takes long to compile
        columns[place] = -1
    return n_listed


@compiled()
def _sort(keys: Any, n: int) -> None:
    """Put the first n in ascending order (Shell's sort); compiling `sort` takes a second."""
    gap = n // 2
    while gap > 0:
        for start in range(gap, n):
            key, place = keys[start], start
            while place >= gap and keys[place - gap] > key:
                keys[place] = keys[place - gap]
                place -= gap
            keys[place] = key
        gap = max(gap * 5 // 11, int(gap > 1))


@compiled()
def _candidates(own: Any, floor: Any, keys: Any, k: int) -> int:
    """Collect the keys of the columns above the floor, and of the first k at it."""
    n, n_at_floor = 0, 0
    for start in range(0, len(own), _RUN):
        run = own[start : start + _RUN]
        if _n_reaching(run, floor) == 0:
            continue
        for place in range(len(run)):
            score = run[place]
            if score < floor or score == EXCLUDED:
                continue
            if score == floor:
                n_at_floor += 1
                if n_at_floor > k:
                    continue
            keys[n] = _key(score, start + place)
            n += 1
    return n


@compiled()
def _key(score: Any, column: int) -> Any:
    """Return an integer that is larger for a higher score, and of equal ones for a lower column."""
    bits = np.float32(score + np.float32(0)).view(np.int32)  # adding 0 makes -0.0 tie with 0.0
    # The bits of negative floats sort backwards; flipped, all of them sort like the numbers.
    ascending = np.int64(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)))
    return (ascending << 32) - column


@compiled()
def _mark(own: Any, relevant: Any, n_unseen: int, n_listed: int, hits: Any) -> int:
    """Mark the ranks of relevant items in the list; return how many pairs are in wrong order.

    An item with i others above it has rank i + 1, so one count serves the list and the AUC. Items
    that are never listed, as their score is minus infinity, have the last ranks.
    """
    for rank in range(len(hits)):
        hits[rank] = False
    n_above, n_unlisted = 0, 0
    for item in relevant:
        score = own[item]
        above = n_unseen - 1 - n_unlisted
        if score == EXCLUDED:
            n_unlisted += 1
        else:
            above = _n_reaching(own[:item], score) + _n_above(own[item:], score)
        n_above += above
        if above < n_listed:
            hits[above] = True
    # Of each pair of relevant items one is above the other.
    return n_above - len(relevant) * (len(relevant) - 1) // 2


@compiled()
def _n_reaching(scores: Any, floor: Any) -> Any:
    n = np.int32(0)
    for at in range(len(scores)):
        n = np.int32(n + np.int32(scores[at] >= floor))
    return n


@compiled()
def _n_above(scores: Any, floor: Any) -> Any:
    n = np.int32(0)
    for at in range(len(scores)):
        n = np.int32(n + np.int32(scores[at] > floor))
    return n
