"""Measures of the lists: what the same users would get from both versions, as serving answers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.base.lazy import lazy_property
from recsys.evaluation.beyond_accuracy import gini
from recsys.monitoring.measures import Measured, NotMeasured, log_ratio, measure_of, wasserstein
from recsys.monitoring.population import Shared, lost_overlap
from recsys.monitoring.vectors import TOO_FEW, translated
from recsys.serving.answers import Answers
from recsys.serving.request import Request
from recsys.serving.results import Lists
from recsys.store import Content


@dataclass(frozen=True, eq=False)
class ListPair:
    """The lists of some users in two versions, made when they are first needed."""

    a: Content
    b: Content
    users: Shared  # a sample
    items: Shared
    k: int  # length of the lists

    @lazy_property
    def lists(self) -> tuple[Lists, Lists]:
        """The lists before and now; raises `NotMeasured`."""
        if len(self.users) < TOO_FEW:
            raise NotMeasured(f"{len(self.users)} shared users tell little")
        return _lists(self.a, self.users.in_a, self.k), _lists(self.b, self.users.in_b, self.k)

    @property
    def times_listed(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """In how many lists each item is, (n_items,), before and now."""
        before, now = self.lists
        return _times_listed(self.a, before), _times_listed(self.b, now)


@measure_of("lists", limit=0.3)
def list_churn(pair: ListPair) -> Measured:
    """Mean share of a list that changed, in any order."""
    before, now = pair.lists
    churn = float(lost_overlap(before.item_idx, translated(now.item_idx, pair.items)).mean())
    return Measured(churn, f"of the lists of {len(pair.users):,} users, {churn:.0%} changed")


@measure_of("lists", limit=0.1)
def top_scores(pair: ListPair) -> Measured:
    """Wasserstein distance of the scores of first places, in mean scores before."""
    first = [
        lists.scores[lists.is_personal & (lists.item_idx[:, 0] >= 0), 0] for lists in pair.lists
    ]
    if min(map(len, first)) < TOO_FEW:
        raise NotMeasured("too few personal lists")
    scale = float(np.abs(first[0]).mean())
    distance = wasserstein(*first) / scale if scale else 0.0
    before, now = (float(np.median(scores)) for scores in first)
    found = f"Wasserstein distance of best scores, median {before:.3g} before, {now:.3g} now"
    return Measured(distance, found)


@measure_of("lists", limit=0.1)
def list_coverage(pair: ListPair) -> Measured:
    """Log ratio of the numbers of items in the lists."""
    before, now = (int((times > 0).sum()) for times in pair.times_listed)
    found = f"log ratio of the items in these lists, {before:,} before, {now:,} now"
    return Measured(log_ratio(before, now), found)


@measure_of("lists", limit=0.03)
def list_gini(pair: ListPair) -> Measured:
    """Change of the Gini coefficient of how often items are listed."""
    before, now = map(gini, pair.times_listed)
    found = f"change of the Gini of their counts, {before:.3f} before, {now:.3f} now"
    return Measured(abs(now - before), found)


def _lists(content: Content, user_idx: NDArray[np.int32], k: int) -> Lists:
    return Answers(content).lists(user_idx, Request(k))


def _times_listed(content: Content, lists: Lists) -> NDArray[np.intp]:
    listed = lists.item_idx[lists.item_idx >= 0]
    return np.bincount(listed, minlength=len(content.items.ids))
