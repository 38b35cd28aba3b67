"""Measure lists against held-out pairs: what all evaluations end with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from threading import Lock

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.devices import Device, device_of
from recsys.base.errors import DataError
from recsys.base.mapped import made_of
from recsys.base.matrix_input import as_csr, is_clean
from recsys.base.packing import counts, csr_of, has_pairs
from recsys.base.progress import progress_bar
from recsys.base.signed import disliked as disliked_of
from recsys.evaluation.beyond_accuracy import BeyondAccuracy
from recsys.evaluation.listing import CardRanking
from recsys.evaluation.metrics import AUC, DISLIKED, METRICS, FloatArray, auc
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
    disliked : csr_array of ones, shape (n_users, n_items), optional
        What the same users disliked in test: how much of it lists hold is measured.
    """

    seen: sp.csr_array
    relevant: sp.csr_array
    train: sp.csr_array
    left_out: Mapping[str, int]
    disliked: sp.csr_array | None = None

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
    auc: bool = True,
    device: Device | None = None,
    progress: bool = False,
) -> Evaluation:
    """Rank for every user with a relevant item, and measure; `ks` ascend. See `evaluate`."""
    user_idx = pairs.user_idx
    items = scorer.items if isinstance(scorer, Embeddings) else None
    beyond = BeyondAccuracy(pairs.popularity, pairs.train.shape[0], items, ks, len(user_idx))
    metrics = _UserMetrics(ks, user_idx, beyond, pairs, auc=auc)
    device = device_of(device)  # a wrong one is found in either case
    on_card = None if auc else CardRanking.chosen(scorer, len(user_idx), ks[-1], device)
    with progress_bar("evaluating", enabled=progress) as on_step:
        asked = (pairs.seen, pairs.relevant, user_idx, ks[-1], metrics.take)
        if on_card is None:
            rank(scorer, *asked, batch_bytes=batch_bytes, on_step=on_step)
        else:
            on_card.rank(*asked, on_step)
    return _evaluation(pairs, user_idx, metrics, beyond, ks[-1])


class _UserMetrics:
    """The value of every metric for every user, collected from blocks of lists.

    `beyond` gets all lists, too; `ks`, the lengths of lists, ascend.
    """

    def __init__(
        self,
        ks: Sequence[int],
        user_idx: NDArray[np.int32],
        beyond: BeyondAccuracy,
        pairs: HeldOut,
        *,
        auc: bool = True,
    ) -> None:
        self.n_found = np.zeros(pairs.n_items, dtype=np.int64)  # users whose list has it as a hit
        self._user_idx, self._disliked = user_idx, pairs.disliked
        self._counting = Lock()
        self._ks = ks
        self._beyond = beyond
        kinds = METRICS if pairs.disliked is None else (*METRICS, DISLIKED)
        names = [*(f"{name}@{k}" for k in ks for name in kinds), *([AUC] if auc else [])]
        self._per_user: dict[str, FloatArray] = {name: np.empty(len(user_idx)) for name in names}

    def take(self, block: RankedBlock) -> None:
        """Measure a block of users; threads call it at the same time."""
        ranked, place = block.ranked, slice(block.start, block.start + len(block.columns))
        for k in self._ks:
            shorter = ranked.first(k)
            for name, metric in METRICS.items():
                self._per_user[f"{name}@{k}"][place] = metric(shorter)
        if AUC in self._per_user and block.n_misordered is not None:
            areas = auc(block.n_misordered, ranked.n_relevant, ranked.n_unseen)
            self._per_user[AUC][place] = areas
        if self._disliked is not None:
            self._measure_dislikes(self._disliked, place, block.columns)
        found = np.bincount(block.columns[ranked.hits], minlength=len(self.n_found))
        with self._counting:
            self.n_found += found
        self._beyond.take(block.start, block.columns, ranked.hits)

    def _measure_dislikes(
        self, disliked: sp.csr_array, place: slice, columns: NDArray[np.int32]
    ) -> None:
        users = np.repeat(self._user_idx[place], columns.shape[1])
        listed = columns.ravel()
        is_disliked = has_pairs(disliked, users, np.maximum(listed, 0)) & (listed >= 0)
        counted = is_disliked.reshape(columns.shape).cumsum(axis=1)  # (n, largest k)
        n_listed = np.maximum((columns >= 0).cumsum(axis=1), 1)
        for k in self._ks:
            last = min(k, columns.shape[1]) - 1
            self._per_user[f"{DISLIKED}@{k}"][place] = counted[:, last] / n_listed[:, last]

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
        got = repr(k) if isinstance(k, int | float | str | list | tuple) else type(k).__name__
        raise DataError(f"evaluate: expected k of 1 or more, got {got}: a whole number, or some")
    return tuple(sorted({int(one) for one in listed}))


def pattern(matrix: sp.csr_array) -> sp.csr_array:
    """Return ones where a matrix is not zero, dislikes among it, with ascending indices."""
    if not is_clean(matrix, signed=True):
        matrix = as_csr(matrix, "train or test", copied=True)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    ones = made_of(matrix.indices, np.ones_like, dtype=np.int8)
    return csr_of(ones, matrix.indices, matrix.indptr, matrix.shape)


def dislikes_of(test: Interactions) -> sp.csr_array | None:
    """Return ones where users disliked an item; None in a log without dislikes."""
    if test.dislikes is None:
        return None
    return pattern(disliked_of(test.user_items(signed=True)))


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
