"""Scorers without vectors: neighbours and EASE, beside slow dense twins."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import recsys
from recsys.base.threads import threads
from recsys.config import settings_from
from recsys.evaluation import evaluate
from recsys.logs import Interactions
from recsys.models import EASE, KNN, SCORERS, Distilled, ItemToItem, model_from
from recsys.models.ease import invert
from recsys.splits import split_random
from tests.worlds import random_user_items, tastes

EVERYONE = slice(None)


def slow_weights(user_items: np.ndarray, knn: KNN) -> np.ndarray:
    """Return all weights between items, by the formulas of the docstring."""
    w = user_items / user_items[user_items > 0].mean()
    idf = np.log(w.shape[1] / (1 + (w > 0).sum(axis=1, keepdims=True)))
    total = w.sum(axis=0)
    rows = {
        "bm25": idf * w * (knn.k1 + 1) / (w + knn.k1 * (1 - knn.b + knn.b * total / total.mean())),
        "tfidf": idf * np.sqrt(w),
        "cosine": w,
    }[knn.weighting]
    if knn.weighting != "bm25":
        rows /= np.linalg.norm(rows, axis=0)
    products = rows.T @ rows
    np.fill_diagonal(products, 0)
    for row in products:
        row[np.argsort(-row, kind="stable")[knn.neighbors :]] = 0
    return np.asarray(products)


@pytest.mark.parametrize("weighting", ["bm25", "tfidf", "cosine"])
@pytest.mark.parametrize("neighbors", [3, 1000])
def test_neighbours_are_those_of_all_products(weighting: Any, neighbors: int) -> None:
    user_items = random_user_items(60, 40, 0.15, seed=2)
    knn = KNN(neighbors, weighting, k1=0.7, b=0.4)
    expected = slow_weights(user_items.toarray().astype(np.float64), knn)
    fitted = knn.fit(user_items)
    np.testing.assert_allclose(fitted.weights.toarray(), expected, rtol=1e-4, atol=1e-7)
    histories = user_items.toarray() / user_items.data.mean()
    np.testing.assert_allclose(fitted.scores(EVERYONE), histories @ expected, rtol=1e-4, atol=1e-6)


def test_equal_neighbours_are_those_with_the_lower_row() -> None:
    """One user has everything but the last item, so that all pairs are equally alike."""
    user_items = sp.csr_array(np.array([[1, 1, 1, 1, 0]], dtype=np.float32))
    weights = KNN(2, "cosine").fit(user_items).weights
    assert [sorted(row.nonzero()[0]) for row in weights.toarray()] == [
        [1, 2], [0, 2], [0, 1], [0, 1], [],
    ]  # fmt: skip


def slow_ease(user_items: np.ndarray, regularization: float) -> np.ndarray:
    """Return the scores, by equation 8 of the paper as it stands there."""
    gram = user_items.T @ user_items
    P = np.linalg.inv(gram + regularization * np.eye(len(gram)))
    B = np.eye(len(P)) - P / np.diag(P)
    return np.asarray(user_items @ B)


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (20, 20)])
def test_ease_is_its_equation_from_either_side(shape: tuple[int, int]) -> None:
    user_items = random_user_items(*shape, 0.2)
    expected = slow_ease(user_items.toarray() / user_items.data.mean(dtype=np.float64), 7.0)
    users = np.array([3, 0, 11])
    scorer = EASE(7.0).fit(user_items)
    np.testing.assert_allclose(scorer.scores(users), expected[users], atol=1e-5)
    out = np.empty((3, shape[1]), dtype=np.float32)
    assert scorer.scores(users, out=out) is out
    np.testing.assert_allclose(out, expected[users], atol=1e-5)
    assert scorer.shape == shape
    assert scorer.n_bytes >= 4 * min(shape) ** 2


@pytest.mark.parametrize("n", [1, 511, 512, 1100])
def test_a_matrix_is_inverted_in_blocks(n: int) -> None:
    rows = np.random.default_rng(0).standard_normal((n, 40)).astype(np.float32)
    matrix = rows @ rows.T + np.float32(30) * np.eye(n, dtype=np.float32)
    found = matrix.copy()
    with threads() as pool:
        invert(found, pool)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(found, np.linalg.inv(matrix.astype(np.float64)), atol=1e-6)


def test_ease_refuses_what_would_take_too_much_memory() -> None:
    large = sp.csr_array((40_000, 33_000), dtype=np.float32)
    with pytest.raises(recsys.DataError, match="ease: expected at most 32,768 users or items"):
        EASE().fit(large)


@pytest.mark.parametrize("scorer", [KNN(20), EASE(5.0)], ids=lambda scorer: scorer.name)
@pytest.mark.parametrize("shape", [(300, 700), (700, 600)])
def test_the_bits_are_the_same_for_any_number_of_threads(
    scorer: KNN | EASE, shape: tuple[int, int]
) -> None:
    user_items = random_user_items(*shape, 0.02)
    one, three = (scorer.fit(user_items, n_threads=n).scores(EVERYONE) for n in (1, 3))
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("name", SCORERS)
def test_the_unit_of_the_weights_does_not_count(name: str) -> None:
    user_items = random_user_items(50, 40, 0.2)
    one, other = (
        SCORERS[name]().fit(user_items * np.float32(unit)).scores(EVERYONE) for unit in (1, 1000)
    )
    np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", SCORERS)
def test_a_log_without_anything_in_common_has_scores_of_zero(name: str) -> None:
    alone = sp.csr_array(np.eye(4, 5, dtype=np.float32))
    off_diagonal = SCORERS[name]().fit(alone).scores(EVERYONE) * (1 - np.eye(4, 5))
    np.testing.assert_allclose(off_diagonal, 0, atol=1e-6)
    SCORERS[name]().fit(sp.csr_array((3, 2), dtype=np.float32)).scores(EVERYONE)


@pytest.mark.parametrize("make", [sp.csr_array, np.asarray])
def test_scores_are_sums_over_the_history(make: Any) -> None:
    rng = np.random.default_rng(0)
    user_items = sp.random_array((5, 7), density=0.4, rng=rng, format="csr", dtype=np.float32)
    weights = rng.random((7, 7)).astype(np.float32)
    scorer = ItemToItem(user_items, make(weights))
    expected = user_items.toarray() @ weights
    out = np.empty((3, 7), dtype=np.float32)
    np.testing.assert_allclose(
        scorer.scores(np.array([4, 0, 2]), out=out), expected[[4, 0, 2]], rtol=1e-6
    )
    np.testing.assert_allclose(scorer.scores(EVERYONE), expected, rtol=1e-6)
    assert scorer.shape == (5, 7)
    assert scorer.n_bytes >= weights.nbytes


@pytest.mark.parametrize("name", SCORERS)
def test_a_student_learns_from_a_scorer(name: str) -> None:
    train, test = split_random(tastes(), test_fraction=0.2, seed=0)
    student = Distilled(8, teacher=SCORERS[name](), iterations=10)
    found = evaluate(student.fit(train), train, test, k=10).metrics["ndcg@10"]
    teacher = evaluate(SCORERS[name]().fit(train), train, test, k=10).metrics["ndcg@10"]
    assert found > 0.9 * teacher


def train_one(log: Interactions, name: str) -> None:
    settings = recsys.Settings(model=SCORERS[name]())  # type: ignore[arg-type]
    recsys.train(log, "store", settings=settings)


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize(
    "use",
    [
        train_one,
        lambda _, name: settings_from({"model": {"name": name}}),
        lambda _, name: model_from(name, {}),
        lambda log, name: recsys.evaluate_held_out(SCORERS[name](), recsys.split_users(log)),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_vectors_is_no_model(
    use: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # whose store is not that of a demo
    with pytest.raises(recsys.ConfigError, match=f"got {name}, which has none; distil it"):
        use(tastes(), name)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (KNN, {"neighbors": 0}),
        (KNN, {"weighting": "bm26"}),
        (KNN, {"k1": -1.0}),
        (KNN, {"b": 1.1}),
        (EASE, {"regularization": 0.0}),
    ],
)
def test_a_hyperparameter_out_of_range_is_named(kind: Any, parameters: dict[str, Any]) -> None:
    with pytest.raises(recsys.ConfigError, match=f"{kind.name}.{next(iter(parameters))}"):
        kind(**parameters)
