import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.base.packing import count_common
from recsys.errors import ConfigError, DataError
from recsys.evaluation import METRICS, Evaluation, RankedHits, evaluate, ranking
from recsys.splits import split_given, split_last
from recsys.vectors import Embeddings, FloatMatrix, Ids
from tests.worlds import as_interactions, checkerboard, random_user_items, tastes

HITS = tuple(METRICS)
PER_USER = (*HITS, "novelty", "serendipity", "diversity")
OVERALL = ("coverage", "gini", "popularity_lift")


def embeddings_of(n_users: int, n_items: int, seed: int = 0, factors: int = 3) -> Embeddings:
    """Small integers, so that scores are exact and have ties."""
    rng = np.random.default_rng(seed)
    return Embeddings(
        users=rng.integers(-2, 3, (n_users, factors)).astype(np.float32),
        items=rng.integers(-2, 3, (n_items, factors)).astype(np.float32),
    )


def halves(
    n_users: int, n_items: int, density: float, seed: int
) -> tuple[sp.csr_array, sp.csr_array]:
    """A random matrix dealt to train and test, less what train knows neither user nor item of."""
    entries = sp.coo_array(random_user_items(n_users, n_items, density, seed=seed))
    to_test = np.random.default_rng(seed).random(entries.nnz) < 0.4
    known_users, known_items = (np.unique(idx[~to_test]) for idx in (entries.row, entries.col))
    is_known = np.isin(entries.row, known_users) & np.isin(entries.col, known_items)
    parts = [
        sp.csr_array((entries.data[part], (entries.row[part], entries.col[part])), entries.shape)
        for part in (~to_test, to_test & is_known)
    ]
    return parts[0], parts[1]


def slow_lists(scores: FloatMatrix, train: sp.csr_array, k: int) -> list[list[int]]:
    """The obvious twin: sort the unseen items of each user."""
    lists = []
    for row, seen in zip(scores.tolist(), train.toarray() > 0, strict=True):
        unseen = [item for item in range(len(row)) if not seen[item]]
        lists.append(sorted(unseen, key=lambda item: (-row[item], item))[:k])
    return lists


def slow_evaluate(
    embeddings: Embeddings, train: sp.csr_array, test: sp.csr_array, k: int
) -> dict[str, float]:
    lists = slow_lists(embeddings.users @ embeddings.items.T, train, k)
    relevant = [set(np.nonzero(row)[0].tolist()) for row in test.toarray()]
    users = [user for user, items in enumerate(relevant) if items]
    hits = np.zeros((len(users), min(k, test.shape[1])), dtype=np.bool_)
    for row, user in enumerate(users):
        for place, item in enumerate(lists[user]):
            hits[row, place] = item in relevant[user]
    ranked = RankedHits(
        hits,
        np.array([len(relevant[user]) for user in users]),
        np.array([len(lists[user]) for user in users]),
        test.shape[1] - np.diff(train.indptr)[users],
    )
    means = {f"{name}@{k}": float(METRICS[name](ranked).mean()) for name in HITS}
    beyond = slow_beyond(embeddings.items, train, [lists[user] for user in users], hits, users, k)
    whole = slow_lists(embeddings.users @ embeddings.items.T, train, test.shape[1])
    means["auc"] = float(np.mean([slow_auc(whole[user], relevant[user]) for user in users]))
    return means | {f"{name}@{k}": value for name, value in beyond.items()}


def slow_auc(ranking: list[int], relevant: set[int]) -> float:
    """Every pair of a relevant item and another by itself."""
    rank_of = {item: rank for rank, item in enumerate(ranking)}
    others = set(ranking) - relevant
    pairs = [rank_of[item] < rank_of[other] for item in relevant for other in others]
    return float(np.mean(pairs)) if pairs else 1.0


def slow_beyond(items, train, lists, hits, users, k: int) -> dict[str, float]:
    """The obvious twin of what is not about hits: one list, one item, one pair at a time."""
    n_users, n_items = train.shape
    owners = (train.toarray() > 0).sum(axis=0)
    p = np.maximum(owners, 0.5) / n_users
    top = sorted(range(n_items), key=lambda item: -owners[item])[:k]
    norms = np.linalg.norm(items, axis=1)
    units = np.divide(items, norms[:, None], out=np.zeros_like(items), where=norms[:, None] > 0)
    novelty, serendipity, diversity, shares, histories = [], [], [], [], []
    counts = np.zeros(n_items)
    for row, (user, listed) in enumerate(zip(users, lists, strict=True)):
        n = max(len(listed), 1)
        counts[listed] += 1
        novelty.append(sum(-np.log2(p[item]) for item in listed) / n)
        shares.append(sum(p[item] for item in listed) / n)
        found = [item for place, item in enumerate(listed) if hits[row, place]]
        serendipity.append(len(set(found) - set(top)) / n)
        pairs = [float(units[a] @ units[b]) for a in listed for b in listed if a != b]
        diversity.append(1 - (np.mean(pairs) if pairs else 1.0))
        history = np.flatnonzero(train.toarray()[user])
        if len(history):
            histories.append(np.mean(p[history]))
    differences = np.abs(counts[:, None] - counts[None, :]).sum()
    gini = differences / (2 * n_items * counts.sum()) if counts.sum() else 0.0
    lift = np.mean(shares) / np.mean(histories) - 1 if histories else 0.0
    return {
        "novelty": float(np.mean(novelty)),
        "serendipity": float(np.mean(serendipity)),
        "diversity": float(np.mean(diversity)),
        "coverage": float((counts > 0).mean()),
        "gini": float(gini),
        "popularity_lift": float(lift),
    }


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n_users=st.integers(1, 30),
    n_items=st.integers(2, 40),
    k=st.integers(1, 50),
    batch_bytes=st.sampled_from([1, 500, 10**8]),
)
def test_agrees_with_the_slow_twin(
    seed: int, n_users: int, n_items: int, k: int, batch_bytes: int
) -> None:
    train, test = halves(n_users, n_items, density=0.5, seed=seed)
    if test.nnz == 0:
        return
    embeddings = embeddings_of(n_users, n_items, seed)
    found = evaluate(embeddings, train, test, k, batch_bytes=batch_bytes)
    expected = slow_evaluate(embeddings, train, test, k)
    assert found.metrics == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_several_lengths_are_those_of_one_each() -> None:
    train, test = halves(40, 60, density=0.2, seed=2)
    embeddings = embeddings_of(40, 60)
    together = evaluate(embeddings, train, test, k=[20, 5, 10, 5])
    assert together.k == 20
    apart = [evaluate(embeddings, train, test, k=k) for k in (5, 10, 20)]
    metrics = {name: value for one in apart for name, value in one.metrics.items()}
    assert together.metrics == pytest.approx(metrics)
    assert set(together.per_user) == {name for one in apart for name in one.per_user}


def test_a_scorer_without_embeddings_has_no_diversity() -> None:
    train, test = halves(30, 40, density=0.2, seed=4)
    embeddings = embeddings_of(30, 40)

    class Scores:
        shape = embeddings.shape
        scores = staticmethod(embeddings.scores)

    bare = evaluate(Scores(), train, test)  # type: ignore[arg-type]
    whole = evaluate(embeddings, train, test)
    assert set(whole.metrics) - set(bare.metrics) == {"diversity@20"}
    assert bare.metrics == {name: whole.metrics[name] for name in bare.metrics}


def test_agrees_with_the_slow_twin_on_a_wide_catalogue() -> None:
    train, test = halves(40, 3000, density=0.02, seed=1)
    embeddings = embeddings_of(40, 3000, factors=8)
    found = evaluate(embeddings, train, test, 20)
    expected = slow_evaluate(embeddings, train, test, 20)
    assert found.metrics == pytest.approx(expected, rel=1e-5, abs=1e-6)


# --- worlds whose answer is known -------------------------------------------------------------


def perfect(user_items: sp.csr_array) -> Embeddings:
    """Embeddings whose scores are a given matrix."""
    dense = user_items.toarray().astype(np.float32)
    return Embeddings(users=dense, items=np.eye(dense.shape[1], dtype=np.float32))


def test_embeddings_that_know_the_answer_get_full_marks() -> None:
    train = checkerboard(10)
    test = sp.csr_array(sp.eye_array(10, dtype=np.float32))
    found = evaluate(perfect(test), train, test, k=1)
    assert {found.metrics[f"{name}@1"] for name in (*HITS, "coverage")} == {1}
    assert found.n_users == 10
    assert found.left_out == {}


def test_embeddings_that_repeat_what_was_seen_get_no_credit_for_it() -> None:
    train = checkerboard(10)
    test = sp.csr_array(sp.eye_array(10, dtype=np.float32))
    liked_and_seen = perfect(train)
    # All that is unseen ties at 0, and the lowest unseen item is the right one for user 0 only.
    assert evaluate(liked_and_seen, train, test, k=1).metrics["recall@1"] == 0.1


def test_a_list_ends_where_the_catalogue_does() -> None:
    train = sp.csr_array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    test = sp.csr_array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    metrics = evaluate(embeddings_of(2, 3), train, test, k=20).metrics
    assert (metrics["precision@20"], metrics["recall@20"]) == (1, 1)
    assert metrics["coverage@20"] == pytest.approx(1 / 3)


def test_users_without_test_items_are_left_out_and_counted() -> None:
    train = sp.csr_array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    test = sp.csr_array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    found = evaluate(embeddings_of(3, 2), train, test, k=1)
    assert found.left_out == {"users without test items": 1}
    assert found.user_idx.tolist() == [0, 2]
    assert all(len(values) == found.n_users == 2 for values in found.per_user.values())


def test_what_the_split_left_out_is_told() -> None:
    train_log = as_interactions(sp.csr_array(np.eye(2)))
    test_log = as_interactions(sp.csr_array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]))
    train, test = split_given(train_log, test_log)
    assert evaluate(embeddings_of(2, 2), train, test).left_out == {
        "test events: user not in train": 2,
        "test events: item not in train": 1,
        "test events: seen in train": 1,
        "test users not in train": 1,
        "test items not in train": 1,
        "users without test items": 1,
    }


def test_weights_and_stored_zeros_do_not_matter() -> None:
    train, test = halves(20, 30, density=0.3, seed=5)
    embeddings = embeddings_of(20, 30)
    everywhere = np.indices(test.shape).reshape(2, -1)
    weighted = sp.csr_array((7 * test.toarray().ravel(), tuple(everywhere)), test.shape)
    assert weighted.nnz == 20 * 30
    expected = evaluate(embeddings, train, test).metrics
    assert evaluate(embeddings, train, weighted).metrics == expected


def test_result_depends_on_neither_block_size_nor_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, test = halves(300, 700, density=0.05, seed=2)
    embeddings = embeddings_of(300, 700, factors=5)
    expected = evaluate(embeddings, train, test).per_user
    for n_cores in (1, 3):
        monkeypatch.setattr(ranking, "usable_cores", lambda n_cores=n_cores: n_cores)
        for batch_bytes in (1, 50_000):
            found = evaluate(embeddings, train, test, batch_bytes=batch_bytes).per_user
            for name, values in expected.items():
                np.testing.assert_array_equal(found[name], values)


def test_progress_counts_all_users(capfd: pytest.CaptureFixture[str]) -> None:
    train, test = halves(50, 60, density=0.1, seed=0)
    evaluate(embeddings_of(50, 60), train, test, progress=True)
    assert capfd.readouterr() == ("", "")  # no bar where there is no terminal


# --- the result -------------------------------------------------------------------------------


@pytest.fixture
def evaluation() -> Evaluation:
    train, test = halves(40, 50, density=0.1, seed=0)
    return evaluate(embeddings_of(40, 50), train, test, k=5)


def test_metrics_are_means_within_their_intervals(evaluation: Evaluation) -> None:
    assert set(evaluation.metrics) == {"auc", *(f"{name}@5" for name in (*PER_USER, *OVERALL))}
    assert set(evaluation.intervals) == {"auc", *(f"{name}@5" for name in PER_USER)}
    for name, (low, high) in evaluation.intervals.items():
        assert evaluation.metrics[name] == pytest.approx(evaluation.per_user[name].mean())
        assert low <= evaluation.metrics[name] <= high
        if name.partition("@")[0] in HITS:
            assert 0 <= low <= high <= 1


def test_to_dict_is_json(evaluation: Evaluation) -> None:
    content = json.loads(json.dumps(evaluation.to_dict()))
    assert content["metrics"] == evaluation.metrics
    assert content["k"] == 5
    assert "per_user" not in content


def test_text_is_a_table(evaluation: Evaluation) -> None:
    text = str(evaluation)
    for name, value in evaluation.metrics.items():
        assert f"\n{name:<17}  {value:6.4f}" in text
    assert f"users without test items {evaluation.left_out['users without test items']}" in text
    assert f"recall@5 {evaluation.metrics['recall@5']:.4f}" in repr(evaluation)


# --- bad input --------------------------------------------------------------------------------


def test_overlap_is_refused_with_an_example() -> None:
    train = sp.csr_array([[1.0, 1.0, 0.0]])
    test = sp.csr_array([[0.0, 1.0, 1.0]])
    with pytest.raises(DataError, match=r"got 1, such as user_idx 0, item_idx 1"):
        evaluate(embeddings_of(1, 3), train, test)


def test_other_vocabulary_is_refused() -> None:
    train, test = split_last(tastes())
    renamed = replace(test, items=Ids([f"other{row}" for row in range(len(test.items))]))
    embeddings = embeddings_of(len(train.users), len(train.items))
    with pytest.raises(DataError, match="over the same items"):
        evaluate(embeddings, train, renamed)
    equal = replace(test, items=Ids(train.items.tolist()))
    assert evaluate(embeddings, train, equal).metrics == evaluate(embeddings, train, test).metrics


def test_matrices_of_other_shapes_are_refused() -> None:
    with pytest.raises(DataError, match=r"equal shape, got \(2, 3\) and \(3, 2\)"):
        evaluate(embeddings_of(2, 3), sp.csr_array((2, 3)), sp.csr_array((3, 2)))


def test_one_log_and_one_matrix_are_refused() -> None:
    log = as_interactions(checkerboard(4))
    with pytest.raises(DataError, match="two Interactions or two matrices"):
        evaluate(embeddings_of(4, 4), log, log.user_items())  # type: ignore[call-overload]


def test_embeddings_of_another_fit_are_refused() -> None:
    train, test = halves(5, 6, density=0.5, seed=0)
    with pytest.raises(DataError, match="the 5 users and 6 items of train, got 5 and 7"):
        evaluate(embeddings_of(5, 7), train, test)


def test_nobody_to_evaluate_is_refused() -> None:
    with pytest.raises(DataError, match="at least one user, got none for 2 users"):
        evaluate(embeddings_of(2, 3), sp.csr_array((2, 3)), sp.csr_array((2, 3)))


def test_k_and_batch_bytes_must_be_positive() -> None:
    train, test = halves(5, 6, density=0.5, seed=0)
    with pytest.raises(DataError, match="k of 1 or more, got 0"):
        evaluate(embeddings_of(5, 6), train, test, k=0)
    with pytest.raises(ConfigError, match="batch_bytes above 0, got 0"):
        evaluate(embeddings_of(5, 6), train, test, batch_bytes=0)


def test_matrices_of_64_bits_need_no_compilation_of_their_own() -> None:
    """SciPy widens what meets int64, and compiling the ranking takes seconds."""
    train, test = halves(8, 30, 0.4, seed=1)
    embeddings = embeddings_of(8, 30)
    loops = (ranking.rank_block, count_common)
    expected, compiled = evaluate(embeddings, train, test), [one.signatures for one in loops]
    for one in (train, test):
        one.indices, one.indptr = one.indices.astype(np.int64), one.indptr.astype(np.int64)
    assert evaluate(embeddings, train, test).metrics == expected.metrics
    assert [one.signatures for one in loops] == compiled
