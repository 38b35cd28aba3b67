"""Wrong types of settings and arguments, as they are written by hand, are errors of ours."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import recsys
from recsys import settings
from recsys.errors import ConfigError, DataError
from recsys.models import ALS, SVD, Blend, Item2Vec, Softmax
from tests.worlds import tastes


@pytest.mark.parametrize("model", [ALS, SVD, Item2Vec, Softmax])
@pytest.mark.parametrize("factors", ["8", 8.0, None, True, [8], float("nan")])
def test_factors_of_another_type(model: type, factors: object) -> None:
    with pytest.raises(ConfigError, match=rf"{model.name}\.factors: expected a whole number, got "):
        model(factors=factors)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ALS(regularization="1"), "als.regularization: expected a number, got '1'"),
        (
            lambda: ALS(user_exponent=float("nan")),
            "als.user_exponent: expected a finite",
        ),
        (lambda: ALS(seed=1.5), "als.seed: expected a whole number, got 1.5"),
        (lambda: SVD(centered="yes"), "svd.centered: expected true or false, got 'yes'"),
        (lambda: SVD.pca("8"), "svd.factors: expected a whole number"),
        (lambda: Blend(als=SVD()), "blend.als: expected an ALS, got SVD"),
        (lambda: Blend(svd_share="half"), "blend.svd_share: expected a number, got 'half'"),
        (lambda: ALS.from_alpha(0, 0.1), "als.alpha: expected a finite number above 0, got 0"),
        (lambda: ALS.from_alpha("40", 0.1), "als.alpha: expected .*, got '40'"),
        (lambda: ALS.from_alpha(40, None), "als.regularization: expected .*, got None"),
        (lambda: settings.LogSettings(min_user_items="3"), "log.min_user_items: expected a whole"),
        (lambda: settings.LogSettings(half_life_days="90"), "log.half_life_days: expected a numb"),
        (
            lambda: settings.LogSettings(min_value="4"),
            "log.min_value: expected a number",
        ),
        (lambda: settings.EvaluationSettings(k="20"), "evaluation.k: expected a whole number"),
        (lambda: settings.EvaluationSettings(test_fraction="a"), "evaluation.test_fraction: expec"),
        (lambda: settings.IndexSettings(trees=2.5), "index.trees: expected a whole number"),
        (lambda: settings.GateSettings(enabled="no"), "gates.enabled: expected true or false"),
        (lambda: settings.TuneSettings(trials="9"), "tune.trials: expected a whole number"),
        (lambda: recsys.split_random(tastes(), test_fraction="x"), "test_fraction"),
        (lambda: recsys.split_last(tastes(), n="1"), "n"),
    ],
)
def test_a_setting_of_another_type(make: Callable[[], object], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        make()


def test_numbers_of_numpy_and_whole_floats_are_numbers() -> None:
    model = ALS(factors=np.int64(8), regularization=np.float32(0.5), unobserved_weight=1)
    assert model.fit(tastes()).factors == 8


@pytest.mark.parametrize("k", [5.0, "5", None, [], [5, "10"], 0, [0, 5], {5.5}])
def test_a_length_that_is_none(k: object) -> None:
    train, test = recsys.split_last(tastes())
    embeddings = ALS(factors=4).fit(train)
    with pytest.raises(DataError, match="evaluate: expected k of 1 or more, got"):
        recsys.evaluate(embeddings, train, test, k=k)


def test_tables_and_paths_in_the_place_of_a_log() -> None:
    train, _ = recsys.split_last(tastes())
    embeddings = ALS(factors=4).fit(train)
    table = pd.DataFrame({"user_id": [1], "item_id": [2]})
    with pytest.raises(ConfigError, match="device: expected one of auto, cpu, cuda, got 'gpu'"):
        recsys.evaluate(embeddings, *recsys.split_last(tastes()), device="gpu")  # also with auc
    for log, message in (
        ("log.csv", "log.csv: no such file"),
        (None, "log: expected a path, a gl"),
    ):
        with pytest.raises(DataError, match=message):
            recsys.train(log)
    for log in (table, "log.csv", None):
        with pytest.raises(DataError, match="evaluate: expected two Interactions"):
            recsys.evaluate(embeddings, train, log)
        with pytest.raises(DataError, match="evaluate: expected two Interactions"):
            recsys.evaluate(embeddings, log, log)


LONG = {"text": "x" * 1_000_000, "list": list(range(10_000)), "array": np.arange(100_000)}


@pytest.mark.parametrize("value", LONG.values(), ids=LONG)
def test_an_error_shows_the_start_of_a_long_value(value: object) -> None:
    """Of a text of a megabyte, or ten thousand ids in the place of one, a line is enough."""
    embeddings = ALS(factors=4).fit(tastes())
    asked: list[Callable[[], object]] = [
        lambda: ALS(factors=value),
        lambda: ALS(seed=value),
        lambda: recsys.read_log("data/sample/events.parquet", user=value),
        lambda: settings.RuleSettings(max_per=[value]),
        lambda: settings.RuleSettings(boost=[{"where": "a = 1", "times": value}]),
        lambda: recsys.train("data/sample/events.parquet", k=value),
        lambda: recsys.train("data/sample/events.parquet", model=value),
        lambda: recsys.train("data/sample/events.parquet", half_life_days=value),
        lambda: recsys.compare("data/sample/events.parquet", models=[value]),
        lambda: recsys.evaluate(embeddings, *recsys.split_last(tastes()), device=value),
    ]
    for ask in asked:
        with pytest.raises((ConfigError, DataError)) as caught:
            ask()
        assert len(str(caught.value)) < 500
