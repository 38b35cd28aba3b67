r"""Metrics of ranked lists with binary relevance, one value per user.

In the formulas, a user's list has items at ranks :math:`r = 1 \ldots k`, :math:`h_r` is 1 where
the item at rank r is relevant and 0 elsewhere (also past the end of a short list),
:math:`|R| \ge 1` is the number of the user's relevant items, in the list or not, and :math:`|N|`
that of the other items that the user has not seen in train.

Each metric notes where other packages mean something else by its name; the tests in
``tests/evaluation/test_peers.py`` prove it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import DataError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RankedHits:
    """Which places of each user's list are hits: all that the metrics need.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, k)
        Best rank first; False past the end of a short list.
    n_relevant : ndarray of integers, shape (n_users,)
        Relevant items of each user, at least 1.
    n_listed : ndarray of integers, shape (n_users,)
        Length of each list: k, or less where the user has seen nearly all of the catalogue.
    n_unseen : ndarray of integers, shape (n_users,)
        Items that were ranked for each user, in the list or not: all but those seen in train.

    Raises
    ------
    DataError
        If the lengths differ, or a user has no relevant item.
    """

    hits: NDArray[np.bool_]
    n_relevant: NDArray[np.integer]
    n_listed: NDArray[np.integer]
    n_unseen: NDArray[np.integer]

    def __post_init__(self) -> None:
        lengths = [len(self.hits), len(self.n_relevant), len(self.n_listed), len(self.n_unseen)]
        if len(set(lengths)) > 1:
            raise DataError(
                f"ranked hits: expected one row per user, got {', '.join(map(str, lengths))}"
            )
        n_without = int((self.n_relevant < 1).sum())
        if n_without:
            raise DataError(
                f"ranked hits: expected a relevant item for every user, got {n_without} users "
                "without; leave them out"
            )

    def first(self, k: int) -> "RankedHits":
        """Return the same for lists of length k, no longer than these."""
        n_listed = np.minimum(self.n_listed, k)
        return RankedHits(self.hits[:, :k], self.n_relevant, n_listed, self.n_unseen)

    @property
    def n_reachable(self) -> NDArray[np.integer]:
        """Hits of the best possible list of each user, ``min(k, |R|)``."""
        reachable: NDArray[np.integer] = np.minimum(self.n_relevant, self.hits.shape[1])
        return reachable

    @property
    def n_hits(self) -> FloatArray:
        """Hits of each user."""
        n_hits: FloatArray = self.hits.sum(axis=1, dtype=np.float64)
        return n_hits


def recall(ranked: RankedHits) -> FloatArray:
    r"""Return the share of the relevant items that were found, :math:`\sum_r h_r / |R|`.

    A user with more than k relevant items cannot reach 1.
    """
    shares: FloatArray = ranked.n_hits / ranked.n_relevant
    return shares


def recall_capped(ranked: RankedHits) -> FloatArray:
    r"""Return the share of the hits that a list of k can have, :math:`\sum_r h_r / \min(k, |R|)`.

    implicit calls it precision, and divides the hits of all users by the sum of their
    denominators: the mean over users weighted by :math:`\min(k, |R|)`.
    """
    shares: FloatArray = ranked.n_hits / ranked.n_reachable
    return shares


def precision(ranked: RankedHits) -> FloatArray:
    r"""Return the share of the list that is relevant, :math:`\sum_r h_r / \text{list length}`.

    The list length is k unless the catalogue has no more to offer; an empty list has 0. ranx and
    RecTools divide by k always.
    """
    shares: FloatArray = ranked.n_hits / np.maximum(ranked.n_listed, 1)
    return shares


def ndcg(ranked: RankedHits) -> FloatArray:
    r"""Return the discounted cumulative gain over the best reachable at k.

    .. math:: \sum_{r=1}^{k} \frac{h_r}{\log_2(r + 1)}
              \Bigg/ \sum_{r=1}^{\min(k, |R|)} \frac{1}{\log_2(r + 1)}

    As implicit and ranx; RecTools adds up the denominator to k, except with
    ``divide_by_achievable=True``.
    """
    gains = 1 / np.log2(_ranks(ranked) + 1)
    best = np.cumsum(gains)[ranked.n_reachable - 1]
    reached: FloatArray = (ranked.hits @ gains) / best
    return reached


def average_precision(ranked: RankedHits) -> FloatArray:
    r"""Return the average precision at k; its mean over users is MAP.

    .. math:: \frac{1}{\min(k, |R|)} \sum_{r=1}^{k} h_r \cdot \frac{1}{r} \sum_{s=1}^{r} h_s

    As implicit; ranx and RecTools divide by :math:`|R|`.
    """
    precision_at = np.cumsum(ranked.hits, axis=1) / _ranks(ranked)
    found: FloatArray = np.where(ranked.hits, precision_at, 0.0).sum(axis=1)
    averages: FloatArray = found / ranked.n_reachable
    return averages


def reciprocal_rank(ranked: RankedHits) -> FloatArray:
    r"""Return :math:`1 / \min \{r : h_r = 1\}`, or 0 without a hit; its mean is MRR."""
    reciprocal: FloatArray = np.where(ranked.hits, 1 / _ranks(ranked), 0.0)
    best: FloatArray = np.max(reciprocal, axis=1)
    return best


def hit_rate(ranked: RankedHits) -> FloatArray:
    r"""Return 1 where the list has a hit, :math:`\max_r h_r`, else 0."""
    return (ranked.n_hits > 0).astype(np.float64)


def truncated_auc(ranked: RankedHits) -> FloatArray:
    r"""Return the area under the ROC curve as far as a list of k determines it.

    Of the :math:`|R| |N|` pairs of a relevant item and another, those in the list are right or
    wrong, an item in the list is above one that is not, and of the pairs outside half are right:

    .. math:: \frac{1}{|R| |N|} \left[ \sum_{r=1}^{k} (\bar h_r H_r)
              + \frac{H_k + |R|}{2} \left( |N| - \sum_{r=1}^{k} \bar h_r \right) \right]

    where :math:`H_r = \sum_{s \le r} h_s` and :math:`\bar h_r` is 1 where the item at rank r is
    listed and not relevant. It is what implicit calls AUC, but for its counting seen items as
    further items that are outside. Without a pair it is 1. See `auc` for the whole ranking.
    """
    is_miss = ~ranked.hits & (np.arange(ranked.hits.shape[1]) < ranked.n_listed[:, None])
    above = np.where(is_miss, np.cumsum(ranked.hits, axis=1), 0).sum(axis=1)
    n_others = (ranked.n_unseen - ranked.n_relevant).astype(np.int64)
    outside = n_others - is_miss.sum(axis=1)
    right = above + (ranked.n_hits + ranked.n_relevant) / 2 * outside
    return _share_of_pairs(right, ranked.n_relevant * n_others)


def auc(
    n_misordered: NDArray[np.integer],
    n_relevant: NDArray[np.integer],
    n_unseen: NDArray[np.integer],
) -> FloatArray:
    r"""Return the area under the ROC curve of the ranking of all unseen items.

    It is the share of the pairs of a relevant and another item in which the relevant one is
    above. With :math:`\rho_i` the rank of relevant item i among all unseen items,

    .. math:: 1 - \frac{1}{|R| |N|} \left( \sum_{i \in R} (\rho_i - 1) - \binom{|R|}{2} \right)

    Equal scores are no half rights, as they are elsewhere, but in order by ``item_idx``. It
    depends on no length of lists, so its name has no ``@k``. Without a pair it is 1.

    `n_misordered` (n_users,) are the pairs in which the other item is above: what the parentheses
    hold.
    """
    n_pairs = n_relevant * (n_unseen - n_relevant).astype(np.int64)
    return _share_of_pairs(n_pairs - n_misordered, n_pairs)


def _share_of_pairs(right: NDArray[Any], n_pairs: NDArray[np.integer]) -> FloatArray:
    ones = np.ones(len(n_pairs))
    shares: FloatArray = np.divide(right, n_pairs, out=ones, where=n_pairs > 0)
    return shares


METRICS: Mapping[str, Callable[[RankedHits], FloatArray]] = {
    "recall": recall,
    "recall_capped": recall_capped,
    "ndcg": ndcg,
    "precision": precision,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit_rate": hit_rate,
    "truncated_auc": truncated_auc,
}
"""Each metric of one user's list by the name it is reported under, before the @ and k."""

DISLIKED = "disliked"
"""The share of one user's list that the user disliked in test, where test has dislikes: the fewer
the better. Items that were disliked in train are seen, and in no list."""

AUC = "auc"
"""The name of the metric of one user's whole ranking."""


def _ranks(ranked: RankedHits) -> FloatArray:
    return np.arange(1, ranked.hits.shape[1] + 1, dtype=np.float64)
