r"""What lists say beside how many hits they have: novel or known, diverse or alike, for all or few.

In the formulas, a list has items :math:`i_1 \ldots i_k`; :math:`p_i` is the share of the users of
train who have item i, and of half a user for one that nobody has.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.evaluation.metrics import FloatArray
from recsys.vectors import FloatMatrix, FloatVector

PER_USER = ("novelty", "serendipity", "diversity")
OVERALL = ("coverage", "gini", "popularity_lift")


class BeyondAccuracy:
    """Takes lists, block by block, and tells what they are like for each length.

    Parameters
    ----------
    popularity : ndarray of int, shape (n_items,)
        Users of train who have each item.
    n_users : int
        Of train.
    items : ndarray of float32, shape (n_items, factors), optional
        Embeddings, to tell how alike items are. Without them there is no diversity.
    ks : sequence of int
        Lengths.
    n_lists : int
        Lists that will come.
    """

    def __init__(
        self,
        popularity: NDArray[np.integer],
        n_users: int,
        items: FloatMatrix | None,
        ks: Sequence[int],
        n_lists: int,
    ) -> None:
        self._share = np.maximum(popularity, 0.5) / max(n_users, 1)
        self._popular_first = np.argsort(-popularity, kind="stable")
        self._directions: FloatMatrix | None = None
        if items is not None and items.shape[1] > 1:
            self._directions = _directions(items)
            self._squared = np.asarray(items.any(axis=1), dtype=np.float32)  # lengths, 1 or 0
        self._ks = ks
        self._n_taken = 0
        self._times_listed = {k: np.zeros(len(popularity), dtype=np.int64) for k in ks}
        self._known_for = {k: np.zeros(n_lists) for k in ks}
        self._per_user = {f"{name}@{k}": np.zeros(n_lists) for name in self._names for k in ks}

    @property
    def _names(self) -> tuple[str, ...]:
        return PER_USER if self._directions is not None else PER_USER[:-1]

    def take(self, columns: NDArray[np.int32], hits: NDArray[np.bool_]) -> None:
        """Take the lists of the next users.

        Parameters
        ----------
        columns : ndarray of int32, shape (n, largest k)
            Rows of items, best first; -1 behind the end of a short list.
        hits : ndarray of bool, same shape
            Which of them are relevant.
        """
        place = slice(self._n_taken, self._n_taken + len(columns))
        self._n_taken = place.stop
        is_there = columns >= 0
        rows = np.maximum(columns, 0)
        share = self._share[rows]
        surprise = -np.log2(share)
        for k in self._ks:
            there, n = is_there[:, :k], np.maximum(is_there[:, :k].sum(axis=1), 1)
            self._times_listed[k] += np.bincount(rows[:, :k][there], minlength=len(self._share))
            self._known_for[k][place] = (share[:, :k] * there).sum(axis=1) / n
            self._per_user[f"novelty@{k}"][place] = (surprise[:, :k] * there).sum(axis=1) / n
            is_popular = np.isin(rows[:, :k], self._popular_first[:k])
            unexpected = hits[:, :k] & ~is_popular
            self._per_user[f"serendipity@{k}"][place] = unexpected.sum(axis=1) / n
            if self._directions is not None:
                likeness = _mean_cosines(self._directions, self._squared, rows[:, :k], there)
                self._per_user[f"diversity@{k}"][place] = 1 - likeness

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
        """
        return self._per_user

    def overall(self, share_of_history: float) -> dict[str, float]:
        r"""Return one value per length over all lists.

        - coverage: share of the catalogue that is in at least one list;
        - gini of the times that items are listed: 0 where all are as often, towards 1 where few
          take all, :math:`\sum_i (2 i - n - 1) c_i / (n \sum_i c_i)` over counts that ascend;
        - popularity_lift: how much more popular listed items are than those of the users' own
          histories, mean :math:`p` of lists over that of histories, less 1 (Abdollahpouri et al.,
          2020).

        Parameters
        ----------
        share_of_history : float
            Mean over users of the mean :math:`p_i` over their history.
        """
        found = {}
        for k in self._ks:
            counts = self._times_listed[k]
            found[f"coverage@{k}"] = float((counts > 0).mean())
            found[f"gini@{k}"] = _gini(counts)
            lift = float(self._known_for[k].mean()) / share_of_history - 1
            found[f"popularity_lift@{k}"] = lift if np.isfinite(lift) else 0.0
        return found

    def share_of(self, indptr: NDArray[np.integer], indices: NDArray[np.integer]) -> float:
        """Return the mean over histories, rows of a CSR matrix, of the mean p of their items."""
        lengths = np.diff(indptr)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        sums = np.bincount(rows, self._share[indices], minlength=len(lengths))
        has_items = lengths > 0
        return float((sums[has_items] / lengths[has_items]).mean()) if has_items.any() else np.nan


def _directions(items: FloatMatrix) -> FloatMatrix:
    norms = np.linalg.norm(items, axis=1, keepdims=True)
    directions: FloatMatrix = np.divide(items, norms, out=np.zeros_like(items), where=norms > 0)
    return directions


def _mean_cosines(
    directions: FloatMatrix,
    squared: FloatVector,
    rows: NDArray[np.int32],
    is_there: NDArray[np.bool_],
) -> FloatArray:
    """Return the mean cosine of the pairs in each list; 1 for a list without a pair.

    ``sum of pairs = (|sum of directions|^2 - sum of their squares) / 2``, and the sums of all
    lists are one sparse product, which reads no vector twice into memory of its own.
    """
    n = is_there.sum(axis=1)
    listed = rows[is_there]
    ends = np.concatenate([[0], np.cumsum(n)])
    shape = (len(rows), len(directions))
    lists = sp.csr_array((np.ones(len(listed), dtype=np.float32), listed, ends), shape=shape)
    total = lists @ directions
    squares = lists @ squared
    pairs = n * (n - 1.0)
    cosines: FloatArray = np.ones(len(rows))
    twice = np.einsum("lf,lf->l", total, total, dtype=np.float64) - squares
    np.divide(twice, pairs, out=cosines, where=pairs > 0)
    return cosines


def _gini(counts: NDArray[np.integer]) -> float:
    ascending = np.sort(counts).astype(np.float64)
    n, total = len(ascending), ascending.sum()
    if total == 0:
        return 0.0
    return float(((2 * np.arange(1, n + 1) - n - 1) * ascending).sum() / (n * total))
