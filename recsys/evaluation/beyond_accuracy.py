r"""Metrics of lists other than hits: novelty, serendipity, diversity, coverage, inequality.

In the formulas, a list has items :math:`i_1 \ldots i_k`; :math:`p_i` is the share of the users of
train who have item i, and of half a user for one that nobody has.
"""

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.jit import compiled
from recsys.evaluation.metrics import FloatArray
from recsys.vectors import FloatMatrix
from recsys.vectors.vector import unit_rows


class BeyondAccuracy:
    """Measures lists for each length, block by block, from any thread."""

    def __init__(
        self,
        popularity: NDArray[np.integer],  # (n_items,): users of train who have each item
        n_users: int,  # of train
        items: FloatMatrix | None,  # (n_items, factors); without them there is no diversity
        ks: Sequence[int],
        n_lists: int,  # that will come
    ) -> None:
        self._share = np.maximum(popularity, 0.5) / max(n_users, 1)
        self._surprise = -np.log2(self._share)
        self._place_by_popularity = np.empty(len(popularity), dtype=np.int64)
        popular_first = np.argsort(-popularity, kind="stable")
        self._place_by_popularity[popular_first] = np.arange(len(popularity))
        self._ks = np.array(ks, dtype=np.int64)
        self._times_listed = np.zeros((len(ks), len(popularity)), dtype=np.int64)
        self._counting = Lock()
        self._known, self._novelty, self._serendipity = np.zeros((3, len(ks), n_lists))
        self._directions: FloatMatrix | None = None
        if items is not None and items.shape[1] > 1:
            self._directions = unit_rows(items)
            # The squares of their lengths are 1 or 0.
            self._squares = np.asarray(items.any(axis=1), dtype=np.float64)
            self._likeness = np.zeros((len(ks), n_lists))

    def take(self, start: int, columns: NDArray[np.int32], hits: NDArray[np.bool_]) -> None:
        """Take the lists of some users, the first of them at `start` among all lists.

        `columns` (n, largest k) are rows of items, best first, -1 past the end of a short list;
        `hits` tells which of them are relevant.
        """
        users = slice(start, start + len(columns))
        is_listed = columns >= 0
        # Sums of the first 1, 2, ... items: NumPy adds them one after another.
        share, surprise = (
            np.where(is_listed, of_item[columns], 0).cumsum(axis=1)
            for of_item in (self._share, self._surprise)
        )
        place_by_popularity = self._place_by_popularity[columns]
        ends = np.minimum(self._ks, columns.shape[1]) - 1
        lengths = is_listed.cumsum(axis=1).take(ends, axis=1)  # (n, n_ks)
        for row, (k, last) in enumerate(zip(self._ks.tolist(), ends.tolist(), strict=True)):
            n = np.maximum(lengths[:, row], 1)
            self._known[row, users] = share[:, last] / n
            self._novelty[row, users] = surprise[:, last] / n
            is_find = (hits & is_listed & (place_by_popularity >= k))[:, : last + 1]
            self._serendipity[row, users] = is_find.sum(axis=1) / n
            listed = columns[:, : last + 1][is_listed[:, : last + 1]]
            counts = np.bincount(listed, minlength=self._times_listed.shape[1])
            with self._counting:
                self._times_listed[row] += counts
        if self._directions is not None:
            of_items = self._directions, self._squares
            _mean_cosines(columns, lengths, *of_items, start, self._likeness)

    @property
    def per_user(self) -> Mapping[str, FloatArray]:
        r"""One value per user and length.

        - novelty, in bits: :math:`\frac{1}{k} \sum_r -\log_2 p_{i_r}` (Vargas and Castells,
          RecSys 2011);
        - serendipity: the share of the list that is relevant and not among the k most popular
          items;
        - diversity: 1 less the mean cosine of the pairs in the list (Ziegler et al., WWW 2005), in
          the model's own vectors: it compares lists of one model, not models. There is none where
          vectors have one factor.

        RecTools calls novelty MeanInvUserFreq, and its IntraListDiversity is diversity if it is
        given the same distances; its serendipity is another measure.
        """
        found = {"novelty": self._novelty, "serendipity": self._serendipity}
        if self._directions is not None:
            found["diversity"] = 1 - self._likeness
        by_k = list(enumerate(self._ks.tolist()))
        return {f"{name}@{k}": values[row] for name, values in found.items() for row, k in by_k}

    def overall(self, share_of_history: float) -> dict[str, float]:
        r"""Return one value per length over all lists.

        - coverage: share of the catalogue that is in at least one list;
        - gini of the times that items are listed: 0 where all are as often, towards 1 where few
          take all, :math:`\sum_i (2 i - n - 1) c_i / (n \sum_i c_i)` over counts that ascend;
        - popularity_lift: how much more popular listed items are than those of the users' own
          histories, mean :math:`p` of lists over that of histories, less 1 (Abdollahpouri et al.,
          2020). `share_of_history` is the latter, see `share_of`.
        """
        found = {}
        for row, k in enumerate(self._ks.tolist()):
            counts = self._times_listed[row]
            found[f"coverage@{k}"] = float((counts > 0).mean())
            found[f"gini@{k}"] = gini(counts)
            lift = float(self._known[row].mean()) / share_of_history - 1
            found[f"popularity_lift@{k}"] = lift if np.isfinite(lift) else 0.0
        return found

    def share_of(self, indptr: NDArray[np.integer], indices: NDArray[np.integer]) -> float:
        """Return the mean over histories, rows of a CSR matrix, of the mean p of their items."""
        lengths = np.diff(indptr)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        sums = np.bincount(rows, self._share[indices], minlength=len(lengths))
        has_items = lengths > 0
        return float((sums[has_items] / lengths[has_items]).mean()) if has_items.any() else np.nan


def gini(counts: NDArray[np.integer]) -> float:
    """Return how unequal counts are, from 0 to 1; the formula is in `BeyondAccuracy.overall`."""
    ascending = np.sort(counts).astype(np.float64)
    n, total = len(ascending), ascending.sum()
    if total == 0:
        return 0.0
    return float(((2 * np.arange(1, n + 1) - n - 1) * ascending).sum() / (n * total))


@compiled()
def _mean_cosines(
    columns: NDArray[np.int32],  # (n, largest k)
    lengths: NDArray[np.int64],  # (n, n_ks): of each list cut at each k
    directions: FloatMatrix,  # (n_items, factors): embeddings of length 1, or 0
    squares: FloatArray,  # (n_items,): their squared lengths
    first: int,  # of the lists among all
    cosines: FloatArray,  # out, (n_ks, n_lists)
) -> None:
    """Fill in the mean cosine of the pairs of each list; 1 for a list without a pair.

    ``sum of pairs = (|sum of directions|^2 - sum of their squares) / 2``.
    """
    total = np.empty(directions.shape[1], dtype=np.float32)
    for row in range(len(columns)):
        for factor in range(len(total)):
            total[factor] = 0
        done, alone = 0, 0.0
        for length in range(lengths.shape[1]):
            n = lengths[row, length]
            for place in range(done, n):
                item = columns[row, place]
                alone += squares[item]
                for factor in range(len(total)):
                    total[factor] += directions[item, factor]
            done = n
            pairs = n * (n - 1.0)
            cosines[length, first + row] = (_squared(total) - alone) / pairs if pairs > 0 else 1.0


@compiled()
def _squared(total: Any) -> float:
    squared = 0.0
    for factor in range(len(total)):
        squared += np.float64(total[factor]) * total[factor]
    return squared
