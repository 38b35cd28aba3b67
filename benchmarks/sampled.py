r"""Published tests against sampled negatives, read as they are to compare with old papers.

A test of this kind ranks one held-out item of each user among a few negatives that were drawn
once and published with the data, such as the 99 of He et al., "Neural Collaborative Filtering"
(WWW 2017). It may order models otherwise than a ranking of all items (Krichene and Rendle, "On
Sampled Metrics for Item Recommendation", KDD 2020). So nothing here draws negatives, and measuring
warns; to choose or to compare models, use `evaluate`.

A candidate counts once for each user, however often the file has it, and a negative that is the
user's test item is no competitor: NCF's own evaluation keeps scores in a dictionary by item.
"""

import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from benchmarks.sampled_files import SampledTest
from recsys.errors import ConfigError, DataError
from recsys.evaluation.intervals import intervals_of
from recsys.evaluation.metrics import FloatArray
from recsys.vectors import FloatMatrix, Scorer

Ties = Literal["fair", "first", "file"]
BLOCK_USERS = 512


@dataclass(frozen=True, eq=False)
class SampledEvaluation:
    """Metrics over sampled candidates; not comparable with those of `Evaluation`.

    Parameters
    ----------
    metrics : mapping of str to float
        "sampled_hit_rate@k" and "sampled_ndcg@k", means over the users.
    intervals : mapping of str to (float, float)
        95 % interval of each mean, by bootstrap over users.
    per_user : mapping of str to ndarray of float64, shape (n,)
        In the order of the test.
    ties : {"fair", "first", "file"}
    """

    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    per_user: dict[str, FloatArray]
    ties: Ties

    def __str__(self) -> str:
        width = max(map(len, self.metrics))
        lines = [f"{'metric':<{width}}   value   95 % interval"]
        for name, value in self.metrics.items():
            low, high = self.intervals[name]
            lines.append(f"{name:<{width}}  {value:6.4f}   {low:6.4f} to {high:6.4f}")
        lines.append("over sampled negatives: not comparable with a ranking of all items")
        return "\n".join(lines)


def evaluate_sampled(
    scorer: Scorer, test: SampledTest, k: int = 10, *, ties: Ties = "fair"
) -> SampledEvaluation:
    r"""Rank each held-out item among its negatives: HR@k and NDCG@k of He et al. (WWW 2017).

    With r the rank of the held-out item, a user's hit rate is 1 where :math:`r \le k`, and the
    NDCG is :math:`1 / \log_2(r + 1)` there, else 0.

    Parameters
    ----------
    scorer : Embeddings or Scorer
        Fitted on the train part that the test was read with.
    test : SampledTest
    k : int
        At least 1.
    ties : {"fair", "first", "file"}
        Where the held-out item is ranked among candidates of equal score. "fair": anywhere, and the
        mean over all places is taken, so that a model that scores all alike has k / n of n
        candidates. "first": before them, so that only higher scores count against it, which
        flatters models with many ties, such as popularity. "file": by the order of the file, the
        held-out item behind the negatives, as NCF's own code has it.

    Returns
    -------
    SampledEvaluation

    Warns
    -----
    UserWarning
        Always: sampled metrics mislead.

    Raises
    ------
    DataError
        If k is less than 1, or the scorer has no row for a user or item.
    ConfigError
        If `ties` is none of the three.
    """
    if k < 1:
        raise DataError(f"evaluate_sampled: expected k of 1 or more, got {k}")
    if ties not in get_args(Ties):
        raise ConfigError(
            f"evaluate_sampled: expected ties of {', '.join(get_args(Ties))}, got {ties!r}"
        )
    _require_rows(scorer, test)
    warnings.warn(
        f"evaluate_sampled: ranks among {test.negatives.shape[1]} sampled negatives say nothing "
        "certain of the ranking of all items, and may put the worse of two models first (Krichene "
        "and Rendle, KDD 2020); compare with published figures of this very file alone, and choose "
        "models by evaluate",
        UserWarning,
        stacklevel=2,
    )
    hit_rate, ndcg = _means_over_places(*_places(scorer, test, ties), k)
    per_user = {f"sampled_hit_rate@{k}": hit_rate, f"sampled_ndcg@{k}": ndcg}
    return SampledEvaluation(
        metrics={name: float(values.mean()) for name, values in per_user.items()},
        intervals=intervals_of(per_user),
        per_user=per_user,
        ties=ties,
    )


def _places(
    scorer: Scorer, test: SampledTest, ties: Ties
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return how many candidates are before each held-out item, and how many are tied with it."""
    n = len(test.user_idx)
    before, tied = np.zeros(n, dtype=np.intp), np.zeros(n, dtype=np.intp)
    for start in range(0, n, BLOCK_USERS):
        block = slice(start, start + BLOCK_USERS)
        scores = scorer.scores(test.user_idx[block])
        own = _scores_of(scores, test.item_idx[block, None])
        theirs = _scores_of(scores, test.negatives[block])
        competes = _competes(test.item_idx[block], test.negatives[block])
        is_equal = competes & (theirs == own)
        before[block] = (competes & (theirs > own)).sum(axis=1)
        if ties == "fair":
            tied[block] = is_equal.sum(axis=1)
        elif ties == "file":
            is_own = test.negatives[block] == test.item_idx[block, None]
            is_earlier = ~np.logical_or.accumulate(is_own, axis=1)
            before[block] += (is_equal & is_earlier).sum(axis=1)
    return before, tied


def _scores_of(scores: FloatMatrix, item_idx: NDArray[np.int32]) -> FloatMatrix:
    known = np.take_along_axis(scores, np.maximum(item_idx, 0), axis=1)
    found: FloatMatrix = np.where(item_idx >= 0, known, -np.inf).astype(np.float32)
    return found


def _competes(item_idx: NDArray[np.int32], negatives: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Mark the negatives that count: the first of each item, and none that is the held-out one."""
    order = np.argsort(negatives, axis=1, kind="stable")
    ascending = np.take_along_axis(negatives, order, axis=1)
    is_first = np.ones(negatives.shape, dtype=np.bool_)
    is_first[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    competes = np.empty_like(is_first)
    np.put_along_axis(competes, order, is_first, axis=1)
    counted: NDArray[np.bool_] = competes & (negatives != item_idx[:, None])
    return counted


def _means_over_places(
    before: NDArray[np.intp], tied: NDArray[np.intp], k: int
) -> tuple[FloatArray, FloatArray]:
    """Return hit rate and NDCG, means over the places that a held-out item may have."""
    gains = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(1, k + 1) + 1))])
    first, last = np.minimum(before, k), np.minimum(before + tied + 1, k)
    n_places = tied + 1
    return (last - first) / n_places, (gains[last] - gains[first]) / n_places


def _require_rows(scorer: Scorer, test: SampledTest) -> None:
    n_users, n_items = scorer.shape
    last_item = max(int(test.item_idx.max()), int(test.negatives.max()))
    if int(test.user_idx.max()) >= n_users or last_item >= n_items:
        raise DataError(
            f"evaluate_sampled: expected a scorer with rows up to user {test.user_idx.max()} and "
            f"item {last_item}, got {n_users:,} users and {n_items:,} items; fit on the train part "
            "that the test was read with"
        )
