r"""Metrics of ranked lists with binary relevance, one value per user.

In the formulas, a user's list has items at ranks :math:`r = 1 \ldots k`, :math:`h_r` is 1 where
the item at rank r is relevant and 0 elsewhere (also behind the end of a short list), and
:math:`|R| \ge 1` is the number of the user's relevant items, in the list or not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RankedHits:
    """Which places of each user's list are hits: all that the metrics need.

    Parameters
    ----------
    hits : ndarray of bool, shape (n_users, k)
        Best rank first; False behind the end of a short list.
    n_relevant : ndarray of integers, shape (n_users,)
        Relevant items of each user, at least 1.
    n_listed : ndarray of integers, shape (n_users,)
        Length of each list: k, or less where the user has seen nearly all of the catalogue.

    Raises
    ------
    DataError
        If the lengths differ, or a user has no relevant item.
    """

    hits: NDArray[np.bool_]
    n_relevant: NDArray[np.integer]
    n_listed: NDArray[np.integer]

    def __post_init__(self) -> None:
        if not len(self.hits) == len(self.n_relevant) == len(self.n_listed):
            raise DataError(
                f"ranked hits: expected one row per user, got {len(self.hits)}, "
                f"{len(self.n_relevant)} and {len(self.n_listed)}"
            )
        n_without = int((self.n_relevant < 1).sum())
        if n_without:
            raise DataError(
                f"ranked hits: expected a relevant item for every user, got {n_without} users "
                "without; leave them out"
            )

    def first(self, k: int) -> "RankedHits":
        """Return the same for lists of length k, no longer than these."""
        return RankedHits(self.hits[:, :k], self.n_relevant, np.minimum(self.n_listed, k))

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
    r"""Return the share of the relevant items that were found, :math:`\sum_r h_r / |R|`."""
    shares: FloatArray = ranked.n_hits / ranked.n_relevant
    return shares


def precision(ranked: RankedHits) -> FloatArray:
    r"""Return the share of the list that is relevant, :math:`\sum_r h_r / \text{list length}`.

    The list length is k unless the catalogue has no more to offer; an empty list has 0.
    """
    shares: FloatArray = ranked.n_hits / np.maximum(ranked.n_listed, 1)
    return shares


def ndcg(ranked: RankedHits) -> FloatArray:
    r"""Return the discounted cumulative gain over the best reachable at k.

    .. math:: \sum_{r=1}^{k} \frac{h_r}{\log_2(r + 1)}
              \Bigg/ \sum_{r=1}^{\min(k, |R|)} \frac{1}{\log_2(r + 1)}
    """
    gains = 1 / np.log2(_ranks(ranked) + 1)
    best = np.cumsum(gains)[ranked.n_reachable - 1]
    reached: FloatArray = (ranked.hits @ gains) / best
    return reached


def average_precision(ranked: RankedHits) -> FloatArray:
    r"""Return the average precision at k; its mean over users is MAP.

    .. math:: \frac{1}{\min(k, |R|)} \sum_{r=1}^{k} h_r \cdot \frac{1}{r} \sum_{s=1}^{r} h_s
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


METRICS: Mapping[str, Callable[[RankedHits], FloatArray]] = {
    "recall": recall,
    "ndcg": ndcg,
    "precision": precision,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit_rate": hit_rate,
}
"""Each metric of one user's list by the name it is reported under."""


def interval_of_mean(per_user: FloatArray) -> tuple[float, float]:
    r"""Return a 95 % interval of the mean over users, by the normal approximation.

    .. math:: \bar{x} \pm 1.96 \, s / \sqrt{n}

    with s the standard deviation over users (denominator n - 1), cut to 0 and 1, between which
    all metrics lie. One user says nothing about the spread: the interval is (0, 1).
    """
    mean, margin = float(per_user.mean()), margin_of_mean(per_user)
    return max(mean - margin, 0.0), min(mean + margin, 1.0)


def margin_of_mean(per_user: FloatArray) -> float:
    r"""Return half the width of the 95 % interval of a mean, :math:`1.96 \, s / \sqrt{n}`.

    One value says nothing about the spread: its margin is infinite.
    """
    if len(per_user) < 2:
        return inf
    return 1.959964 * float(per_user.std(ddof=1)) / sqrt(len(per_user))


def _ranks(ranked: RankedHits) -> FloatArray:
    return np.arange(1, ranked.hits.shape[1] + 1, dtype=np.float64)
