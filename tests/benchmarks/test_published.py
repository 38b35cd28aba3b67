"""The harness that compares published numbers to ours."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.published import (
    Reached,
    cell,
    is_equal,
    later_of_equals,
    main,
    print_published,
    verdict,
)
from benchmarks.published_protocols import full_ranking, measure_candidates, ones
from benchmarks.published_rows import PUBLISHED, Published
from benchmarks.published_splits import (
    N_NEGATIVES,
    PUBLISHED_SPLITS,
    latest_of_each_user,
    unknown_items,
)
from benchmarks.sampled_files import SampledTest
from benchmarks.tuned import PUBLISHED_SETTINGS
from recsys.models import Popularity
from recsys.vectors import Embeddings


def test_popularity_reaches_what_is_published(
    real_logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--quick"]) == 0
    rows = {line.split(" | ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "0.4538 / 0.4538 | 0.2545 / 0.2545" in rows["| ItemPop"]
    assert "0.4535 / 0.4535 | 0.2543 / 0.2543" in rows["| Popularity"]
    assert all("| exact |" in rows[name] for name in ("| ItemPop", "| Popularity"))


def test_a_number_that_has_to_agree_and_does_not_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ours = {"popularity": Reached({"hr@10": 0.45384, "ndcg@10": 0.25444}, 0.0)}
    row = Published("", "Pop", {"hr@10": "0.4538", "ndcg@10": "0.2545"}, "", "popularity", True)
    assert not print_published([(row, "popularity")], ours)
    assert "**not exact: -0.0001**" in capsys.readouterr().out
    assert print_published([(row._replace(is_exact=False), "popularity")], ours)
    right = row._replace(values={"hr@10": "0.45384", "ndcg@10": "0.25"})
    assert print_published([(right, "popularity")], ours)


def test_numbers_are_compared_in_the_digits_that_are_printed() -> None:
    row = Published("", "", {"recall@20": "0.18", "ndcg@20": "0.1500"}, "")
    found = {"recall@20": 0.1849, "ndcg@20": 0.15004}
    assert is_equal(row, found)
    assert verdict(row, found) == "exact"
    assert not is_equal(row, found | {"recall@20": 0.1851})
    assert verdict(row, found | {"ndcg@20": 0.16}) == "+0.0100"
    assert cell(row, "recall@20", found) == "0.18 / 0.1849"
    assert cell(row, "recall@50", found) == ""


def test_every_row_has_a_split_numbers_and_a_source() -> None:
    for row in PUBLISHED:
        assert row.split in PUBLISHED_SPLITS
        assert row.source
        assert row.values
        assert all(0 < float(value) < 1 for value in row.values.values())
    names = [(row.split, row.model) for row in PUBLISHED]
    assert len(set(names)) == len(names)
    assert set(PUBLISHED_SETTINGS) == set(PUBLISHED_SPLITS)


def test_an_item_that_train_does_not_know_counts_as_relevant() -> None:
    train = pa.table({"user": [7, 7, 9, 9], "item": [1, 2, 1, 4]})
    test = pa.table({"user": [7, 7, 8], "item": [4, 30, 1]})
    measured = full_ranking(train, test)
    assert measured.train.shape == (3, 4)  # users 7, 8, 9 and items 1, 2, 4, 30
    found = measured.measure(Popularity().fit(measured.train))
    assert found["recall@20"] == 1.0
    item_30_last = Embeddings(
        np.ones((3, 1), np.float32), np.array([[4], [3], [2], [1]], np.float32)
    )
    dcg = 1 + 1 / np.log2(3)  # user 7 finds both at once, user 8 item 1 at once
    assert found["ndcg@20"] == pytest.approx((dcg / dcg + 1) / 2)
    assert measured.measure(item_30_last)["f1@20,means"] == pytest.approx(
        2 * (2 / 2 + 1 / 4) / 2 / ((2 / 2 + 1 / 4) / 2 + 1)
    )
    assert found["f1@20"] == pytest.approx((1 + 2 * 0.25 / 1.25) / 2)


@given(st.integers(0, 10_000))
def test_ranks_among_candidates_are_those_of_sorting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_users, n_items, n_negatives = 7, 30, 12
    scores = rng.integers(0, 6, (n_users, n_items)).astype(np.float32)  # with many equals
    scorer = Embeddings(scores, np.eye(n_items, dtype=np.float32))
    users = rng.permutation(n_users)
    held_out = rng.integers(0, n_items, n_users)
    negatives = np.stack([rng.choice(n_items, n_negatives, replace=False) for _ in users])
    found = measure_candidates(SampledTest(users, held_out, negatives), scorer)
    for k in (1, 5, 10):
        gains = [
            slow_gain(scores[user], item, others, k)
            for user, item, others in zip(users, held_out, negatives, strict=True)
        ]
        assert found[f"hr@{k}"] == pytest.approx(np.mean([gain > 0 for gain in gains]))
        assert found[f"ndcg@{k}"] == pytest.approx(np.mean(gains))


def slow_gain(scores: np.ndarray, item: int, others: np.ndarray, k: int) -> float:
    """NCF's getNDCG on a sorted list in which the held-out item is once, before its equals."""
    candidates = [item, *(other for other in others if other != item)]
    ranked = sorted(candidates, key=lambda one: -scores[one])[:k]
    return float(np.log(2) / np.log(ranked.index(item) + 2)) if item in ranked else 0.0


def test_the_later_of_equally_popular_items_comes_first() -> None:
    user_items = ones(np.array([0, 1, 0, 1, 1]), np.array([0, 0, 2, 2, 1]), (2, 3))
    order = np.argsort(-later_of_equals(user_items).items.ravel())
    assert order.tolist() == [2, 0, 1]


def test_the_latest_event_of_known_time_is_held_out() -> None:
    user_idx = np.array([1, 0, 1, 0, 2, 1])
    timestamp = pa.chunked_array([[5, 3, None, 9, None, 4]])
    assert latest_of_each_user(user_idx, timestamp).tolist() == [3, 0]


def test_drawn_negatives_are_unknown_to_the_user() -> None:
    known = ones(np.zeros(50, dtype=int), np.arange(50), (1, 150))
    drawn = unknown_items(known, 0, np.random.default_rng(0))
    assert len(set(drawn.tolist())) == N_NEGATIVES
    assert drawn.min() >= 50
