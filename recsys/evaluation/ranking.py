"""Rank all items for every test user, in blocks, and collect the metrics of each user."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.process import usable_cores
from recsys.base.progress import OnStep
from recsys.base.threads import one_blas_thread
from recsys.evaluation.beyond_accuracy import BeyondAccuracy
from recsys.evaluation.kernels import rank_block
from recsys.evaluation.metrics import AUC, METRICS, FloatArray, RankedHits, auc
from recsys.vectors import FloatMatrix

SCORE_BYTES = 4


class Scorer(Protocol):
    """What can be ranked: `Embeddings`, or anything else that scores all items for some users."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and of items."""
        ...

    def scores(self, user_idx: NDArray[np.integer], out: FloatMatrix | None = None) -> FloatMatrix:
        """Return float32 (n, n_items), in `out` if that is given; called by several threads."""
        ...


MAX_BLOCK_USERS = 512  # beyond, the matrix product gains nothing


@dataclass(frozen=True, eq=False)
class RankedBlock:
    """The ranking of some users, one row each."""

    start: int  # of the first of them among all users that are ranked
    columns: NDArray[np.int32]  # (n, k): the lists, best item first; -1 past the end
    ranked: RankedHits
    n_misordered: NDArray[np.int64]  # (n,): pairs of a relevant and another item, reversed


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
    n_rows = batch_bytes // (SCORE_BYTES * max(n_items, 1) * n_threads)
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


def _pointers(matrix: sp.csr_array) -> tuple[NDArray[np.int64], NDArray[np.integer]]:
    """Return the rows of a matrix for compiled code, which is compiled for one type of them."""
    return matrix.indptr.astype(np.int64), matrix.indices


class UserMetrics:
    """The value of every metric for every user, collected from blocks of lists.

    Parameters
    ----------
    ks : sequence of int
        Lengths of lists, ascending.
    n_users : int
        Users that will be ranked.
    beyond : BeyondAccuracy
        Gets all lists, too.

    Attributes
    ----------
    n_found : ndarray of int64, shape (n_items,)
        Users in whose list each item is a hit.
    """

    def __init__(
        self, ks: Sequence[int], n_users: int, beyond: BeyondAccuracy, n_items: int
    ) -> None:
        self.n_found = np.zeros(n_items, dtype=np.int64)
        self._counting = Lock()
        self._ks = ks
        self._beyond = beyond
        names = [*(f"{name}@{k}" for k in ks for name in METRICS), AUC]
        self._per_user: dict[str, FloatArray] = {name: np.empty(n_users) for name in names}

    def take(self, block: RankedBlock) -> None:
        """Measure a block of users; threads call it at the same time."""
        ranked, place = block.ranked, slice(block.start, block.start + len(block.columns))
        for k in self._ks:
            shorter = ranked.first(k)
            for name, metric in METRICS.items():
                self._per_user[f"{name}@{k}"][place] = metric(shorter)
        areas = auc(block.n_misordered, ranked.n_relevant, ranked.n_unseen)
        self._per_user[AUC][place] = areas
        found = np.bincount(block.columns[ranked.hits], minlength=len(self.n_found))
        with self._counting:
            self.n_found += found
        self._beyond.take(block.start, block.columns, ranked.hits)

    @property
    def per_user(self) -> Mapping[str, FloatArray]:
        """Each metric of single users by name, one value per user."""
        return self._per_user | dict(self._beyond.per_user)
