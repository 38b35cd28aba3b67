"""Published tests against sampled negatives: NCF's own evaluation is the twin."""

import heapq
from math import log2
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sampled import evaluate_sampled
from benchmarks.sampled_files import SampledTest, read_sampled_test
from recsys.errors import ConfigError, DataError
from recsys.logs import Interactions, read_log
from recsys.models import Popularity
from recsys.vectors import Embeddings
from tests.worlds import as_interactions

pytestmark = pytest.mark.filterwarnings("ignore:evaluate_sampled")


def scoring(rows: list[list[float]]) -> Embeddings:
    """Embeddings whose scores are these."""
    users = np.array(rows, dtype=np.float32)
    return Embeddings(users=users, items=np.eye(users.shape[1], dtype=np.float32))


def sampled_of(item: int, *negatives: int) -> SampledTest:
    row = np.array([negatives], dtype=np.int32)
    return SampledTest(np.array([0], dtype=np.int32), np.array([item], dtype=np.int32), row)


def by_ncf(scores: list[float], item: int, negatives: list[int], k: int) -> tuple[float, float]:
    """As evaluate.py of hexiangnan/neural_collaborative_filtering does it for one user."""
    score_of = {candidate: scores[candidate] for candidate in [*negatives, item]}
    ranked = heapq.nlargest(k, score_of, key=lambda candidate: score_of[candidate])
    if item not in ranked:
        return 0.0, 0.0
    return 1.0, 1 / log2(ranked.index(item) + 2)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[float], int, list[int], int]:
    """Few scores and few items, so that there are ties, repeats and the test item itself."""
    scores = draw(st.lists(st.integers(0, 3).map(float), min_size=6, max_size=6))
    items = st.integers(0, 5)
    return (
        scores,
        draw(items),
        draw(st.lists(items, min_size=1, max_size=8)),
        draw(st.integers(1, 7)),
    )


@given(world=worlds())
def test_by_the_order_of_the_file_it_is_ncfs_own(world) -> None:
    scores, item, negatives, k = world
    found = evaluate_sampled(scoring([scores]), sampled_of(item, *negatives), k, ties="file")
    assert tuple(found.metrics.values()) == pytest.approx(by_ncf(scores, item, negatives, k))


@given(world=worlds())
def test_fair_is_the_mean_over_all_orders_of_equals(world) -> None:
    scores, item, negatives, k = world
    others = sorted({one for one in negatives if one != item})
    before = [one for one in others if scores[one] > scores[item]]
    tied = [one for one in others if scores[one] == scores[item]]
    ranks = [len(before) + 1 + place for place in range(len(tied) + 1)]
    expected = (
        np.mean([rank <= k for rank in ranks]),
        np.mean([(rank <= k) / log2(rank + 1) for rank in ranks]),
    )
    found = evaluate_sampled(scoring([scores]), sampled_of(item, *negatives), k)
    assert tuple(found.metrics.values()) == pytest.approx(expected)
    first = evaluate_sampled(scoring([scores]), sampled_of(item, *negatives), k, ties="first")
    assert first.metrics[f"sampled_hit_rate@{k}"] == (len(before) < k)


def test_a_scorer_that_knows_nothing_gets_what_chance_does() -> None:
    alike = evaluate_sampled(scoring([[0.0] * 100]), sampled_of(99, *range(99)), 10)
    assert alike.metrics["sampled_hit_rate@10"] == pytest.approx(0.1)


def test_measuring_warns_and_says_why() -> None:
    with pytest.warns(UserWarning, match="among 2 sampled negatives .*Krichene and Rendle"):
        found = evaluate_sampled(scoring([[1.0, 2, 3]]), sampled_of(0, 1, 2), 2)
    assert "not comparable with a ranking of all items" in str(found)


# --- files ------------------------------------------------------------------------------------


def write(path: Path, rows: list[tuple[str, str, list[str]]]) -> Path:
    users, items, negatives = zip(*rows, strict=True)
    columns = {"who": list(users), "what": list(items), "not": list(negatives)}
    pq.write_table(pa.table(columns), path)
    return path


NAMES = {"user": "who", "item": "what", "negatives": "not"}


@pytest.fixture
def train() -> Interactions:
    return as_interactions(sp.csr_array(np.eye(4, dtype=np.float32)))


def test_ids_become_rows_of_train(tmp_path: Path, train: Interactions) -> None:
    path = write(tmp_path / "t.parquet", [("u2", "i0", ["i1", "i3"]), ("u0", "i3", ["i2", "i1"])])
    test = read_sampled_test(path, train, **NAMES)
    assert test.user_idx.tolist() == [2, 0]
    assert test.item_idx.tolist() == [0, 3]
    assert test.negatives.tolist() == [[1, 3], [2, 1]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("u2", "i0", ["i1"]), ("u0", "i3", [])], "as many negatives in every row of not"),
        ([("u9", "i0", ["i1"])], "who: expected ids that .* 1 others of 1, such as 'u9'"),
        ([("u1", "i0", ["i9"])], "not: expected ids that .* 1 others of 2, such as 'i9'"),
        ([("u1", "i1", ["i0"])], "expected no test pair in train, got 1;"),
    ],
)  # fmt: skip
def test_a_file_of_another_train_is_refused(tmp_path, train, rows, message: str) -> None:
    path = write(tmp_path / "t.parquet", rows)
    with pytest.raises(DataError, match=message):
        read_sampled_test(path, train, **NAMES)


def test_a_missing_file_or_column_is_refused(tmp_path: Path, train: Interactions) -> None:
    path = write(tmp_path / "t.parquet", [("u2", "i0", ["i1"])])
    for asked in (lambda: read_sampled_test(path, train), lambda: read_sampled_test("no", train)):
        with pytest.raises(DataError, match="a Parquet file with columns user_idx, item_idx and"):
            asked()


def test_wrong_arguments_are_refused() -> None:
    scores = scoring([[1.0, 2, 3]])
    with pytest.raises(DataError, match="k of 1 or more, got 0"):
        evaluate_sampled(scores, sampled_of(0, 1), 0)
    with pytest.raises(ConfigError, match="ties of fair, first, file, got 'last'"):
        evaluate_sampled(scores, sampled_of(0, 1), ties="last")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="rows up to user 0 and item 3, got 1 users and 3 items"):
        evaluate_sampled(scores, sampled_of(0, 3))
    with pytest.raises(DataError, match="a row of negatives each"):
        SampledTest(np.zeros(2, np.int32), np.zeros(2, np.int32), np.zeros((1, 3), np.int32))


def test_an_item_that_train_does_not_know_ranks_behind_all_others(
    tmp_path: Path, train: Interactions
) -> None:
    negatives = [f"i{1 + place % 3}" for place in range(297)]
    path = write(tmp_path / "t.parquet", [("u0", "late", [*negatives, "late", "later"])])
    test = read_sampled_test(path, train, **NAMES)
    assert test.item_idx.tolist() == [-1]
    assert test.negatives[0, -2:].tolist() == [-1, -2]
    found = evaluate_sampled(scoring([[-9.0, -9, -9, -9]]), test, 4, ties="first")
    assert found.metrics["sampled_hit_rate@4"] == 1  # behind the three that are known
    assert evaluate_sampled(scoring([[-9.0] * 4]), test, 3).metrics["sampled_hit_rate@3"] == 0


# --- NCF on ml-1m -----------------------------------------------------------------------------


def test_popularity_on_ncf_is_what_the_data_says(real_logs: Path) -> None:
    folder = real_logs / "ml-1m"
    if not (folder / "ncf_test.parquet").exists():
        pytest.skip(f"no NCF test in {folder}")
    pairs = pq.read_table(folder / "interactions.parquet", columns=["user_id", "movie_id"])
    numbers = pq.read_table(folder / "ncf_items.parquet", columns=["item_idx", "movie_id"])
    held_out = pq.read_table(folder / "ncf_test.parquet", columns=["user_id", "movie_id"])
    rest = pairs.join(held_out, ["user_id", "movie_id"], join_type="left anti")
    train = read_log(rest.join(numbers, "movie_id"), columns={"item_id": "item_idx"})
    assert len(train) == 994_169
    test = read_sampled_test(folder / "ncf_test.parquet", train, user="user_id")
    assert int((test.negatives == test.item_idx[:, None]).sum()) == 156
    popularity = Popularity().fit(train.user_items())
    found = {}
    for ties in ("first", "fair", "file"):
        metrics = evaluate_sampled(popularity, test, ties=ties).metrics
        found[ties] = [round(value, 4) for value in metrics.values()]
    assert found == {"first": [0.4538, 0.2545], "fair": [0.4535, 0.2543], "file": [0.4531, 0.2541]}
