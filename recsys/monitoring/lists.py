"""What users would see: the lists of both versions for the same users, as serving makes them."""

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.beyond_accuracy import gini
from recsys.monitoring.measures import Measured, log_ratio, not_measured
from recsys.monitoring.population import Shared, lost_overlap
from recsys.monitoring.vectors import TOO_FEW, translated
from recsys.serving.answers import Answers
from recsys.serving.lists import Lists
from recsys.serving.request import Wanted
from recsys.store import Content

NAMES = ("list_churn", "top_scores", "list_coverage", "list_gini")


def measure_lists(
    a: Content, b: Content, users: Shared, items: Shared, *, k: int
) -> list[Measured]:
    """Compare the lists of some users.

    Parameters
    ----------
    a, b : Content
    users : Shared
        The users whose lists are compared, a sample.
    items : Shared
    k : int
        Length of the lists.

    Returns
    -------
    list of Measured
        - list_churn: the mean share of a list that changed, in any order;
        - top_scores: Wasserstein distance of the scores of first places, in mean scores;
        - list_coverage: the absolute log of how many times as many items are in the lists;
        - list_gini: the change of how unequally items are listed.
    """
    if len(users) < TOO_FEW:
        return not_measured(NAMES, f"{len(users)} shared users tell little")
    before, now = _lists(a, users.in_a, k), _lists(b, users.in_b, k)
    churn = float(lost_overlap(before.item_idx, translated(now.item_idx, items)).mean())
    said = f"of the lists of {len(users):,} users, {churn:.0%} changed"
    return [
        Measured("list_churn", churn, said),
        _top_scores(before, now),
        *_concentration(_times_listed(a, before), _times_listed(b, now)),
    ]


def _lists(content: Content, user_idx: NDArray[np.int32], k: int) -> Lists:
    want = Wanted(
        k,
        exclude=np.empty(0, dtype=np.int32),
        candidates=None,
        matching=None,
        diversity=0.0,
        groups=None,
        per_group=1,
    )
    return Answers(content).lists(user_idx, want)


def _top_scores(before: Lists, now: Lists) -> Measured:
    from scipy.stats import wasserstein_distance

    first = [
        lists.scores[lists.is_personal & (lists.item_idx[:, 0] >= 0), 0] for lists in (before, now)
    ]
    if min(map(len, first)) < TOO_FEW:
        return not_measured(["top_scores"], "too few personal lists")[0]
    scale = float(np.abs(first[0]).mean())
    distance = float(wasserstein_distance(*first)) / scale if scale else 0.0
    medians = [float(np.median(scores)) for scores in first]
    said = "Wasserstein distance of best scores, median {:.3g} before, {:.3g} now"
    return Measured("top_scores", distance, said.format(*medians))


def _times_listed(content: Content, lists: Lists) -> NDArray[np.intp]:
    listed = lists.item_idx[lists.item_idx >= 0]
    return np.bincount(listed, minlength=len(content.items.ids))


def _concentration(before: NDArray[np.intp], now: NDArray[np.intp]) -> list[Measured]:
    n_before, n_now = int((before > 0).sum()), int((now > 0).sum())
    gini_before, gini_now = gini(before), gini(now)
    return [
        Measured(
            "list_coverage",
            log_ratio(n_before, n_now),
            f"log ratio of the items in these lists, {n_before:,} before, {n_now:,} now",
        ),
        Measured(
            "list_gini",
            abs(gini_now - gini_before),
            f"change of the Gini of their counts, {gini_before:.3f} before, {gini_now:.3f} now",
        ),
    ]
