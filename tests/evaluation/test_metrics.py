from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.evaluation.metrics import (
    METRICS,
    RankedHits,
    auc,
    average_precision,
    hit_rate,
    ndcg,
    precision,
    recall,
    recall_capped,
    reciprocal_rank,
    truncated_auc,
)


def ranked_hits(*users: tuple[list[int], int], n_unseen: int = 10) -> RankedHits:
    """Full lists, each given as its hits and the number of relevant items."""
    hits = np.array([hits for hits, _ in users], dtype=np.bool_)
    n_relevant = np.array([n for _, n in users])
    n_listed = np.full(len(users), hits.shape[1])
    return RankedHits(hits, n_relevant, n_listed, np.full(len(users), n_unseen))


# --- worked by hand ---------------------------------------------------------------------------

WORKED = ranked_hits(([0, 1, 1], 4), ([1, 0, 0], 1), ([0, 0, 0], 2))


def test_recall() -> None:
    np.testing.assert_allclose(recall(WORKED), [2 / 4, 1, 0])


def test_recall_capped() -> None:
    np.testing.assert_allclose(recall_capped(WORKED), [2 / 3, 1, 0])


def test_precision() -> None:
    np.testing.assert_allclose(precision(WORKED), [2 / 3, 1 / 3, 0])


def test_precision_of_short_lists_divides_by_what_is_listed() -> None:
    hits = np.array([[True, False, False], [False, False, False]])
    ranked = RankedHits(hits, np.array([1, 1]), np.array([2, 0]), np.array([2, 2]))
    np.testing.assert_allclose(precision(ranked), [1 / 2, 0])


def test_ndcg() -> None:
    best = 1 + 1 / log2(3) + 1 / 2  # three of the four relevant items fit
    np.testing.assert_allclose(ndcg(WORKED), [(1 / log2(3) + 1 / 2) / best, 1, 0])


def test_average_precision() -> None:
    np.testing.assert_allclose(average_precision(WORKED), [(1 / 2 + 2 / 3) / 3, 1, 0])


def test_reciprocal_rank() -> None:
    np.testing.assert_allclose(reciprocal_rank(WORKED), [1 / 2, 1, 0])


def test_hit_rate() -> None:
    np.testing.assert_allclose(hit_rate(WORKED), [1, 1, 0])


def test_truncated_auc() -> None:
    """Ten unseen items; the list is o x x, x o o or o o o, the rest in no order."""
    first = 2 * 5 + 2 * 5 / 2  # two hits above five outside, two relevant ones among those five
    third = 2 * 5 / 2  # two relevant ones among five others outside
    np.testing.assert_allclose(truncated_auc(WORKED), [first / 24, 1, third / 16])


def test_auc() -> None:
    """Four relevant items of ten at the ranks 2, 3, 5 and 10: 1 + 1 + 2 + 6 pairs are wrong."""
    found = auc(np.array([10, 0]), np.array([4, 3]), np.array([10, 3]))
    np.testing.assert_allclose(found, [14 / 24, 1])


# --- the obvious twin: one user, one loop -----------------------------------------------------


def twin_auc(hits: list[bool], n_relevant: int, n_unseen: int) -> float:
    """Every pair by itself; where both are outside the list, half a right one."""
    outside = len(hits) + 1
    ranks = {True: [], False: []}
    for rank, hit in enumerate(hits, start=1):
        ranks[hit].append(rank)
    ranks[True] += [outside] * (n_relevant - len(ranks[True]))
    ranks[False] += [outside] * (n_unseen - n_relevant - len(ranks[False]))
    pairs = [(a < b) + (a == b) / 2 for a in ranks[True] for b in ranks[False]]
    return sum(pairs) / len(pairs) if pairs else 1


def twin(name: str, hits: list[bool], n_relevant: int, n_listed: int, n_unseen: int) -> float:
    hit_ranks = [rank for rank, hit in enumerate(hits, start=1) if hit]
    n_reachable = min(len(hits), n_relevant)
    if name == "recall":
        return len(hit_ranks) / n_relevant
    if name == "recall_capped":
        return len(hit_ranks) / n_reachable
    if name == "truncated_auc":
        return twin_auc(hits[:n_listed], n_relevant, n_unseen)
    if name == "precision":
        return len(hit_ranks) / n_listed if n_listed else 0
    if name == "hit_rate":
        return 1 if hit_ranks else 0
    if name == "mrr":
        return 1 / hit_ranks[0] if hit_ranks else 0
    if name == "map":
        total = sum(found / rank for found, rank in enumerate(hit_ranks, start=1))
        return total / n_reachable
    assert name == "ndcg"
    gain = sum(1 / log2(rank + 1) for rank in hit_ranks)
    return gain / sum(1 / log2(rank + 1) for rank in range(1, n_reachable + 1))


@st.composite
def hit_lists(draw: st.DrawFn) -> list[tuple[list[bool], int, int, int]]:
    """Some users' hits at one k, with numbers of relevant, listed and unseen items that can be."""
    k = draw(st.integers(1, 8))
    users = []
    for _ in range(draw(st.integers(1, 6))):
        n_listed = draw(st.integers(0, k))
        hits = draw(st.lists(st.booleans(), min_size=n_listed, max_size=n_listed))
        n_relevant = draw(st.integers(max(1, sum(hits)), sum(hits) + 10))
        others = draw(st.integers(n_listed - sum(hits), n_listed + 10))
        users.append((hits + [False] * (k - n_listed), n_relevant, n_listed, n_relevant + others))
    return users


@pytest.mark.parametrize("name", METRICS)
@given(users=hit_lists())
def test_metric_agrees_with_its_twin(
    name: str, users: list[tuple[list[bool], int, int, int]]
) -> None:
    ranked = RankedHits(*(np.array(column) for column in zip(*users, strict=True)))
    values = METRICS[name](ranked)
    np.testing.assert_allclose(values, [twin(name, *user) for user in users], rtol=1e-12)
    assert values.dtype == np.float64
    assert ((values >= 0) & (values <= 1 + 1e-12)).all()


# --- errors -----------------------------------------------------------------------------------


def test_users_without_relevant_items_are_refused() -> None:
    with pytest.raises(DataError, match="1 users without"):
        ranked_hits(([0, 1], 1), ([0, 0], 0))


def test_lengths_must_agree() -> None:
    one, two = np.ones(1, np.int32), np.ones(2, np.int32)
    with pytest.raises(DataError, match="one row per user, got 2, 1, 2, 2"):
        RankedHits(np.zeros((2, 3), dtype=np.bool_), one, two, two)
