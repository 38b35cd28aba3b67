"""Measure lists against held-out pairs: what all evaluations end with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from threading import Lock

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.base.mapped import made_of
from recsys.base.packing import counts, csr_of, is_clean
from recsys.base.progress import progress_bar
from recsys.evaluation.beyond_accuracy import BeyondAccuracy
from recsys.evaluation.metrics import AUC, METRICS, FloatArray, auc
from recsys.evaluation.ranking import RankedBlock, rank
from recsys.evaluation.result import Evaluation, ItemCounts
from recsys.logs import Interactions
from recsys.splits import SPLIT_REASONS
from recsys.vectors import Embeddings, Scorer

DEFAULT_BATCH_BYTES = 256 * 1024**2
NOT_DRAWN = "users with test items, not drawn"
"""Why a user is left out where fewer are measured than could be."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What lists must not hold, and what they should.

    Parameters
    ----------
    seen, relevant : csr_array of ones, shape (n_users, n_items)
        Of the same users; a common entry is never listed, so that it is a miss.
    train : csr_array of ones, shape (any, n_items)
        The users who make an item popular: those of `seen`, where these were trained on.
    left_out : mapping of str to int
        What the split left out.
    """

    seen: sp.csr_array
    relevant: sp.csr_array
    train: sp.csr_array
    left_out: Mapping[str, int]

    @property
    def n_items(self) -> int:
        """Items that are ranked."""
        return int(self.seen.shape[1])

    @property
    def popularity(self) -> NDArray[np.integer]:
        """Users of train who have each item, int64 (n_items,)."""
        return counts(self.train.indices, self.n_items)

    @property
    def user_idx(self) -> NDArray[np.int32]:
        """The users with a relevant item, int32 (n,)."""
        n_relevant = np.diff(self.relevant.indptr)
        user_idx = np.nonzero(n_relevant)[0].astype(np.int32)
        if len(user_idx) == 0:
            raise DataError(
                f"evaluate: expected test items for at least one user, got none for "
                f"{len(n_relevant):,} users; choose another split"
            )
        return user_idx


def evaluate_pairs(
    scorer: Scorer,
    pairs: HeldOut,
    ks: Sequence[int],
    *,
    batch_bytes: int = DEFAULT_BATCH_BYTES,
    progress: bool = False,
) -> Evaluation:
    """Rank for every user with a relevant item, and measure; `ks` ascend. See `evaluate`."""
    user_idx = pairs.user_idx
    items = scorer.items if isinstance(scorer, Embeddings) else None
    beyond = BeyondAccuracy(pairs.popularity, pairs.train.shape[0], items, ks, len(user_idx))
    metrics = _UserMetrics(ks, len(user_idx), beyond, pairs.n_items)
    with progress_bar("evaluating", enabled=progress) as on_step:
        rank(
            scorer,
            pairs.seen,
            pairs.relevant,
            user_idx,
            ks[-1],
            metrics.take,
            batch_bytes=batch_bytes,
            on_step=on_step,
        )
    return _evaluation(pairs, user_idx, metrics, beyond, ks[-1])


class _UserMetrics:
    """The value of every metric for every user, collected from blocks of lists.

    `beyond` gets all lists, too; `ks`, the lengths of lists, ascend.
    """

    def __init__(
        self, ks: Sequence[int], n_users: int, beyond: BeyondAccuracy, n_items: int
    ) -> None:
        self.n_found = np.zeros(n_items, dtype=np.int64)  # users in whose list an item is a hit
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


def _evaluation(
    pairs: HeldOut,
    user_idx: NDArray[np.int32],
    metrics: _UserMetrics,
    beyond: BeyondAccuracy,
    k: int,
) -> Evaluation:
    histories, per_user = pairs.seen[user_idx], metrics.per_user
    means = {name: float(values.mean()) for name, values in per_user.items()}
    n_without = pairs.seen.shape[0] - len(user_idx) - pairs.left_out.get(NOT_DRAWN, 0)
    return Evaluation(
        metrics=means | beyond.overall(beyond.share_of(histories.indptr, histories.indices)),
        k=k,
        n_users=len(user_idx),
        n_items=pairs.n_items,
        left_out=dict(pairs.left_out)
        | ({"users without test items": n_without} if n_without else {}),
        per_user=per_user,
        user_idx=user_idx,
        n_seen=np.diff(histories.indptr),
        items=ItemCounts(
            popularity=pairs.popularity,
            n_relevant=counts(pairs.relevant.indices, pairs.n_items),
            n_found=metrics.n_found,
        ),
    )


def lengths(k: int | Sequence[int]) -> tuple[int, ...]:
    """Return the lengths of lists, ascending and each once."""
    listed = list(k) if isinstance(k, Iterable) and not isinstance(k, str) else [k]
    for one in listed:
        is_whole = isinstance(one, Integral) and not isinstance(one, bool | np.bool_)
        if not is_whole or not 1 <= one < 2**31:
            listed = []
    if not listed:
        raise DataError(f"evaluate: expected k of 1 or more, got {k!r}: a whole number, or some")
    return tuple(sorted({int(one) for one in listed}))


def pattern(matrix: sp.csr_array) -> sp.csr_array:
    """Return ones where a matrix is not zero, with ascending indices."""
    if not is_clean(matrix):
        matrix = sp.csr_array(matrix, copy=True)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    ones = made_of(matrix.indices, np.ones_like, dtype=np.int8)
    return csr_of(ones, matrix.indices, matrix.indptr, matrix.shape)


def drawn(relevant: sp.csr_array, most_users: int, seed: int) -> tuple[sp.csr_array, int]:
    """Return the rows of some users with entries, drawn at random, and how many were not drawn.

    The others are empty; all are kept where no more have entries. The same seed draws the same.
    """
    n_entries = np.diff(relevant.indptr)
    users = np.flatnonzero(n_entries)
    if len(users) <= most_users:
        return relevant, 0
    is_drawn = np.zeros(len(n_entries), dtype=np.bool_)
    is_drawn[np.random.default_rng(seed).choice(users, most_users, replace=False)] = True
    kept = np.repeat(is_drawn, n_entries)
    indptr = np.concatenate([[0], np.cumsum(n_entries * is_drawn)])
    matrix = csr_of(relevant.data[kept], relevant.indices[kept], indptr, relevant.shape)
    return matrix, len(users) - most_users


def left_out_by_split(test: Interactions | sp.csr_array) -> dict[str, int]:
    """Return how many events the split of a test part left out, by reason, and users and items."""
    if not isinstance(test, Interactions):
        return {}
    counts = test.row_counts.left_out
    left_out = {
        f"test events: {reason}": counts[reason] for reason in SPLIT_REASONS if reason in counts
    }
    if test.split_info is not None and test.split_info.n_new_users:
        left_out["test users not in train"] = test.split_info.n_new_users
    if test.split_info is not None and test.split_info.n_new_items:
        left_out["test items not in train"] = test.split_info.n_new_items
    return left_out
