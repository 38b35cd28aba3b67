from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.evaluation.metrics import (
    METRICS,
    RankedHits,
    average_precision,
    hit_rate,
    interval_of_mean,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)


def ranked_hits(*users: tuple[list[int], int]) -> RankedHits:
    """Full lists, each given as its hits and the number of relevant items."""
    hits = np.array([hits for hits, _ in users], dtype=np.bool_)
    n_relevant = np.array([n for _, n in users])
    return RankedHits(hits, n_relevant, np.full(len(users), hits.shape[1]))


# --- worked by hand ---------------------------------------------------------------------------

WORKED = ranked_hits(([0, 1, 1], 4), ([1, 0, 0], 1), ([0, 0, 0], 2))


def test_recall() -> None:
    np.testing.assert_allclose(recall(WORKED), [2 / 4, 1, 0])


def test_precision() -> None:
    np.testing.assert_allclose(precision(WORKED), [2 / 3, 1 / 3, 0])


def test_precision_of_short_lists_divides_by_what_is_listed() -> None:
    hits = np.array([[True, False, False], [False, False, False]])
    ranked = RankedHits(hits, np.array([1, 1]), np.array([2, 0]))
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


# --- the obvious twin: one user, one loop -----------------------------------------------------


def twin(name: str, hits: list[bool], n_relevant: int, n_listed: int) -> float:
    hit_ranks = [rank for rank, hit in enumerate(hits, start=1) if hit]
    n_reachable = min(len(hits), n_relevant)
    if name == "recall":
        return len(hit_ranks) / n_relevant
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
def hit_lists(draw: st.DrawFn) -> list[tuple[list[bool], int, int]]:
    """Some users' hits at one k, numbers of relevant items that allow them, and list lengths."""
    k = draw(st.integers(1, 8))
    users = []
    for _ in range(draw(st.integers(1, 6))):
        n_listed = draw(st.integers(0, k))
        hits = draw(st.lists(st.booleans(), min_size=n_listed, max_size=n_listed))
        n_relevant = draw(st.integers(max(1, sum(hits)), sum(hits) + 10))
        users.append((hits + [False] * (k - n_listed), n_relevant, n_listed))
    return users


@pytest.mark.parametrize("name", METRICS)
@given(users=hit_lists())
def test_metric_agrees_with_its_twin(name: str, users: list[tuple[list[bool], int, int]]) -> None:
    hits, n_relevant, n_listed = zip(*users, strict=True)
    ranked = RankedHits(np.array(hits), np.array(n_relevant), np.array(n_listed))
    values = METRICS[name](ranked)
    np.testing.assert_allclose(values, [twin(name, *user) for user in users], rtol=1e-12)
    assert values.dtype == np.float64
    assert ((values >= 0) & (values <= 1 + 1e-12)).all()


# --- intervals and errors ---------------------------------------------------------------------


def test_interval_holds_the_mean_19_times_of_20() -> None:
    rng = np.random.default_rng(0)
    samples = rng.beta(1, 4, (2000, 100))  # mean 0.2
    intervals = [interval_of_mean(sample) for sample in samples]
    share = np.mean([low <= 0.2 <= high for low, high in intervals])
    assert 0.93 <= share <= 0.96


def test_interval_stays_within_what_a_metric_can_be() -> None:
    low, high = interval_of_mean(np.array([0.0, 0.0, 1.0]))
    assert (low, high) == (0, pytest.approx(1 / 3 + 1.96 / 3, rel=1e-3))
    assert interval_of_mean(np.array([0.5])) == (0, 1)


def test_users_without_relevant_items_are_refused() -> None:
    with pytest.raises(DataError, match="1 users without"):
        ranked_hits(([0, 1], 1), ([0, 0], 0))


def test_lengths_must_agree() -> None:
    with pytest.raises(DataError, match="one row per user, got 2, 1 and 2"):
        RankedHits(np.zeros((2, 3), dtype=np.bool_), np.ones(1, np.int32), np.ones(2, np.int32))
