"""What is passed by mistake is an error of ours, in one sentence: tables, wrong matrices, odd k."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

import recsys
from recsys.errors import RecsysError
from recsys.evaluation import compare
from recsys.models import popularity_of
from recsys.models.requirements import takes_dislikes
from recsys.selection import compare_models, measure_dimensions, try_dimensions, tune_model
from recsys.tuning import Budget, Task, tune
from recsys.tuning.candidates import Candidate

RNG = np.random.default_rng(0)
EVENTS = pa.table(
    {
        "user_id": RNG.integers(0, 40, 2000),
        "item_id": RNG.integers(0, 30, 2000),
        "timestamp": RNG.integers(0, 10**6, 2000) + 10**9,
    }
)
LOG = recsys.read_log(EVENTS)
TRAIN, TEST = recsys.split_by_time(LOG)
MATRIX = TRAIN.user_items()
FITTED = recsys.Popularity().fit(TRAIN)
MODELS = [
    recsys.ALS(factors=2, iterations=1),
    recsys.SVD(factors=2),
    recsys.Item2Vec(factors=2),
    recsys.Softmax(factors=2, iterations=1),
    recsys.Blend(recsys.ALS(factors=2, iterations=1), recsys.SVD(factors=2)),
    recsys.Popularity(),
]
NO_LOGS = {
    "frame": EVENTS.to_pandas(),
    "arrow": EVENTS,
    "list": [[1, 2], [3, 4]],
    "path": "log.csv",
    "nothing": None,
    "number": 5,
}
NO_WEIGHTS = {
    "texts": np.array([["1", "2"]]),
    "complex": MATRIX.astype(complex),
    "one axis": np.ones(30),
    "three axes": np.ones((2, 2, 2)),
    "no row": sp.csr_array((0, 30)),
    "no shape": sp.csr_array((0, 0)),
    **{
        name: sp.csr_array((np.full(2, weight), ([0, 1], [0, 1])), shape=(40, 30))
        for name, weight in (("negative", -1.0), ("nan", np.nan), ("inf", np.inf), ("big", 1e300))
    },
}


def refused(act: Callable[[], Any], what: str) -> None:
    with pytest.raises(RecsysError) as raised:
        act()
    message = str(raised.value)
    assert "expected" in message, f"{what}: {message}"
    assert "\n" not in message, f"{what}: {message}"
    assert len(message) < 350, f"{what}: {message}"


@pytest.mark.parametrize("name", NO_LOGS)
def test_what_is_no_log(name: str) -> None:
    wrong: Any = NO_LOGS[name]
    settings = recsys.Settings()
    acts: dict[str, Callable[[], Any]] = {
        "by time": lambda: recsys.split_by_time(wrong),
        "last": lambda: recsys.split_last(wrong),
        "random": lambda: recsys.split_random(wrong),
        "users": lambda: recsys.split_users(wrong),
        "folds": lambda: next(recsys.split_folds(wrong)),
        "validation": lambda: recsys.split_validation(wrong, recsys.split_last),
        "parts": lambda: recsys.split_parts(wrong, recsys.SplitSettings()),
        "given": lambda: recsys.split_given(wrong, TEST),
        "given test": lambda: recsys.split_given(TRAIN, wrong),
        "train": lambda: recsys.train(wrong),
        "scorer": lambda: recsys.evaluate(wrong, TRAIN, TEST),
        "train part": lambda: recsys.evaluate(FITTED, wrong, TEST),
        "test part": lambda: recsys.evaluate(FITTED, TRAIN, wrong),
        "evaluate folds": lambda: recsys.evaluate_folds(MODELS[1], wrong),
        "model of folds": lambda: recsys.evaluate_folds(wrong, recsys.split_folds(LOG, 2)),
        "held out": lambda: recsys.evaluate_held_out(MODELS[1], wrong),
        "new users": lambda: recsys.evaluate_new_users(wrong, TEST),
        "model of next": lambda: recsys.evaluate_next(wrong, LOG),
        "next": lambda: recsys.evaluate_next(recsys.SVD(), wrong),
        "new users' test": lambda: recsys.evaluate_new_users(TRAIN, wrong),
        "task": lambda: Task(wrong, wrong),
        "tune": lambda: tune(wrong, wrong),
        "compare": lambda: compare(wrong, "a", "ndcg@20"),
        "compared": lambda: compare({"a": wrong}, "a", "ndcg@20"),
        "embeddings": lambda: recsys.Embeddings(wrong, wrong),
        "tune_model": lambda: tune_model(wrong, settings),
        "compare_models": lambda: dict(compare_models(wrong, settings)),
        "dimensions": lambda: list(try_dimensions(wrong, settings, [2])),
        "popularity": lambda: popularity_of(wrong),
    }
    if name in ("frame", "arrow", "path"):
        del acts["train"]  # which reads it
    for what, act in acts.items():
        refused(act, what)
    for model in MODELS:
        fold_in = model.fold_in(model.fit(TRAIN).items, popularity_of(MATRIX))
        refused(lambda model=model: model.fit(wrong), model.name)
        refused(lambda fold_in=fold_in: fold_in(wrong), model.name)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_what_is_no_matrix_of_weights(model: Any) -> None:
    fold_in = model.fold_in(model.fit(MATRIX).items, popularity_of(MATRIX))
    for name, wrong in NO_WEIGHTS.items():
        if name == "negative" and takes_dislikes(model):
            continue  # they are dislikes
        refused(lambda wrong=wrong: model.fit(wrong), name)
        refused(lambda wrong=wrong: fold_in(wrong), name)
    refused(lambda: fold_in(sp.csr_array(MATRIX.T)), "transposed")
    refused(lambda: recsys.evaluate(model.fit(MATRIX), MATRIX.T, TEST.user_items()), "transposed")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_other_forms_of_a_matrix_are_the_same_matrix(model: Any) -> None:
    expected = model.fit(MATRIX)
    for form in (MATRIX.tocsc(), MATRIX.tocoo(), sp.csr_matrix(MATRIX), MATRIX.toarray()):
        np.testing.assert_array_equal(model.fit(form).items, expected.items)


def test_a_matrix_without_an_entry_has_no_directions() -> None:
    for model in MODELS:
        assert not model.fit(sp.csr_array((5, 4))).items.any()


@pytest.mark.parametrize(
    "k", [0, -1, True, 1e9, "5", None, [], [0], [True], (5, "5"), 2.0, np.nan, 10**30, np.bool_(1)]
)
def test_odd_lengths_and_numbers(k: Any) -> None:
    parts = recsys.split_parts(LOG, recsys.SplitSettings())
    task = Task(parts.train, parts.validation)
    dimensions = measure_dimensions(MODELS[1], parts.train, parts.validation, [2], k=k)
    acts: Iterator[Callable[[], Any]] = iter(
        [
            lambda: recsys.evaluate(FITTED, TRAIN, TEST, k=k),
            lambda: Task(parts.train, parts.validation, k=k),
            lambda: tune(Candidate("svd"), task, factors=k, budget=Budget(1)),
            lambda: next(dimensions),
            lambda: next(recsys.split_folds(LOG, k)),
            *(lambda kind=kind: kind(factors=k) for kind in (recsys.ALS, recsys.SVD)),
            *(lambda kind=kind: kind(factors=k) for kind in (recsys.Item2Vec, recsys.Softmax)),
        ]
    )
    for act in acts:
        refused(act, repr(k))


def test_a_length_above_the_catalogue_is_a_list_of_all() -> None:
    longest = recsys.evaluate(FITTED, TRAIN, TEST, k=10**9)
    assert longest.metrics["hit_rate@1000000000"] == 1.0
    assert recsys.evaluate(FITTED, TRAIN, TEST, k=np.int64(5)).k == 5
