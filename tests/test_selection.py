"""Selecting a model: the dimension curve measured on a small world, the config that is written."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from recsys.cli.options import LogOptions
from recsys.config import Settings, read_config
from recsys.errors import ConfigError
from recsys.evaluation import DimensionCurve, evaluate
from recsys.logs import Interactions
from recsys.models import ALS, SVD, Blend, OnEpoch, Popularity, model_from
from recsys.selection import (
    compare_models,
    measure_dimensions,
    numbers_of_factors,
    tune_model,
    with_models,
    write_tuned,
)
from recsys.settings import CompareSettings, EvaluationSettings, TuneSettings
from recsys.splits import SplitSettings, split_parts, split_random
from recsys.tuning import Budget, Task, Trial, Tuned, tune
from recsys.tuning.candidates import Candidate
from recsys.vectors import STORAGES, Embeddings, encode
from tests.worlds import tastes

TRAIN, TEST = split_random(tastes(), test_fraction=0.3, seed=0)
N_ROWS = len(TRAIN.users) + len(TRAIN.items)


@pytest.fixture(scope="module")
def measured() -> DimensionCurve:
    points = measure_dimensions(ALS(iterations=3), TRAIN, TEST, [8, 2, 4, 2], k=5)
    return DimensionCurve("als", list(points))


def test_every_size_is_measured_once_in_every_storage(measured: DimensionCurve) -> None:
    sizes = [(point.factors, point.storage) for point in measured.points]
    assert sizes == [(factors, storage) for factors in (2, 4, 8) for storage in STORAGES]


def test_bytes_are_those_of_the_vectors(measured: DimensionCurve) -> None:
    for point in measured.points:
        expected = {
            "float32": 4 * point.factors,
            "float16": 2 * point.factors,
            "int8": point.factors + 4,
        }[point.storage]
        assert point.vector_bytes == expected
        assert point.n_bytes == expected * N_ROWS


def test_accuracy_is_that_of_the_decoded_vectors(measured: DimensionCurve) -> None:
    fitted = ALS(factors=4, iterations=3).fit(TRAIN.user_items())
    for point in measured.points:
        if point.factors == 4:
            users, items = (
                encode(matrix, point.storage).decode() for matrix in (fitted.users, fitted.items)
            )
            expected = evaluate(Embeddings(users, items), TRAIN, TEST, k=5)
            assert point.evaluation.metrics == expected.metrics


def test_times_are_measured_once_for_each_size(measured: DimensionCurve) -> None:
    for start in range(0, len(measured.points), len(STORAGES)):
        same = measured.points[start : start + len(STORAGES)]
        assert len({(point.train_seconds, point.query_microseconds) for point in same}) == 1
        assert same[0].train_seconds > 0
        assert same[0].query_microseconds > 0


def test_other_models_with_factors_have_a_curve_too() -> None:
    points = list(measure_dimensions(SVD(), TRAIN, TEST, [100], k=5))
    assert [point.factors for point in points] == [100] * 3  # more than the rank of the matrix


@dataclass(frozen=True)
class Recorded:
    """A model that writes down its fits."""

    name: ClassVar[str] = "recorded"
    fits: ClassVar[list[tuple[int, int]]] = []
    factors: int = 1

    with_factors = ALS.with_factors

    def fit(self, log: Interactions, *, on_epoch: OnEpoch | None = None) -> Embeddings:
        n_users, n_items = len(log.users), len(log.items)
        self.fits.append((self.factors, n_users))
        return Embeddings(
            np.ones((n_users, self.factors), dtype=np.float32),
            np.ones((n_items, self.factors), dtype=np.float32),
        )

    fold_in = ALS.fold_in


def test_points_come_as_they_are_measured() -> None:
    points = measure_dimensions(Recorded(), TRAIN, TEST, [16, 2], k=5)
    next(points)
    n_users = len(TRAIN.users)
    assert Recorded.fits[-1] == (2, n_users)  # what stops here has lost nothing
    assert [point.factors for point in points] == [2, 2, 16, 16, 16]
    assert Recorded.fits[-1] == (16, n_users)


def test_a_blend_shares_the_factors_out() -> None:
    points = list(measure_dimensions(Blend(), TRAIN, TEST, [8], k=5))
    assert [point.factors for point in points] == [8] * 3


def test_a_model_without_factors_is_refused() -> None:
    with pytest.raises(ConfigError, match="als or svd, got popularity"):
        next(measure_dimensions(Popularity(), TRAIN, TEST, [2]))


def test_a_wrong_number_is_found_before_the_first_fit() -> None:
    with pytest.raises(ConfigError, match="als.factors"):
        next(measure_dimensions(ALS(), TRAIN, TEST, [4, 0]))


def test_json_holds_all_that_was_measured(measured: DimensionCurve) -> None:
    plain = json.loads(json.dumps(measured.to_dict(), allow_nan=False))
    assert plain["metric"] == "ndcg@5"
    assert len(plain["points"]) == 9
    chosen = measured.points[measured.knee.place]
    assert plain["knee"] == {"factors": chosen.factors, "storage": chosen.storage}
    first = plain["points"][0]
    assert first["n_bytes"] == measured.points[0].n_bytes
    assert first["metrics"] == measured.points[0].evaluation.metrics


def test_numbers_of_factors() -> None:
    assert numbers_of_factors("16, 32,64,") == [16, 32, 64]
    for wrong in ("", ",", "16;32", "0", "-8", "1.5", "many"):
        with pytest.raises(ConfigError, match="separated by commas"):
            numbers_of_factors(wrong)


def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = Trial(Candidate("svd"), 0.1, is_pruned=False, seconds=1.0)
    monkeypatch.setitem(sys.modules, "tomli_w", None)
    with pytest.raises(ConfigError, match=r"got none; pip install 'recsys-engine\[tune\]'"):
        write_tuned(tmp_path / "tuned.toml", Tuned(best, {8: [best]}, "ndcg@5"))


def test_what_is_found_is_a_config_for_train(tmp_path: Path) -> None:
    config = tmp_path / "here" / "log.toml"
    config.parent.mkdir()
    config.write_text(
        '[data]\nlog = ["a.csv", "/b.csv"]\nitems = "s3://shop/items.csv"\nusers = "users.csv"\n'
        'item_columns = {item_id = "id"}\n[rules]\nsold_out = "sold_out.txt"\n'
        '[model]\nname = "svd"\nitem_features = ["price"]\n[evaluation]\nk = 7\n'
    )
    parts = split_parts(tastes(), SplitSettings("random", 0.3))
    task = Task(parts.train, parts.validation, k=5)
    tuned = tune(Candidate("blend"), task, factors=8, budget=Budget(trials=2))
    out = tmp_path / "there" / "tuned.toml"
    write_tuned(out, tuned, config)
    write_tuned(out, tuned, config)
    settings = read_config(out)
    assert settings.model == model_from("blend", tuned.parameters)
    assert settings.evaluation.k == 7
    log = [Path(part).resolve() for part in settings.data.log]
    assert log == [config.parent / "a.csv", Path("/b.csv")]
    assert settings.data.items == "s3://shop/items.csv"
    near = [settings.data.users, settings.rules.sold_out]
    assert [Path(str(one)).resolve() for one in near] == [
        config.parent / "users.csv",
        config.parent / "sold_out.txt",
    ]
    assert settings.features.items == {"price": "auto"}
    named = LogOptions(config=config).tables("als")  # by --model, in place of svd
    assert named["model"] == {"name": "als", "item_features": ["price"]}
    few = replace(settings, model=ALS(8, iterations=1), tune=TuneSettings(factors=8, trials=1))
    with pytest.warns(RuntimeWarning, match="model.item_features: tune fits models without"):
        tune_model(tastes(), few)
    assert settings.data.item_columns == {"item_id": "id"}
    assert out.read_text().startswith("# Found by a search: ndcg@5 0.")


def test_an_item_item_model_that_wins_is_compared_as_vectors_too() -> None:
    """Popularity is the baseline that is added, and names are checked before the first fit."""
    log = tastes()
    settings = Settings(
        compare=CompareSettings(models=["knn"], tune=False),
        evaluation=EvaluationSettings(split="random", k=5),
    )
    found = dict(compare_models(log, settings))
    assert list(found) == ["knn", "popularity", "knn (distilled)"]
    student = found["knn (distilled)"]
    assert student.model == "distilled"
    assert student.parameters["teacher.name"] == "knn"
    with pytest.raises(ConfigError, match="expected some of als"):
        next(compare_models(log, replace(settings, compare=CompareSettings(models=["alz"]))))


def test_without_models_those_with_a_chance_are_compared() -> None:
    settings = with_models(Settings(), tastes())
    assert settings.compare.models == [
        *("als", "svd", "softmax", "knn", "ease", "auto", "popularity")
    ]
    with_baseline = replace(Settings(), compare=CompareSettings(baseline="bpr"))
    assert list(with_models(with_baseline, tastes()).compare.models or ())[-1] == "bpr"
    with pytest.raises(ConfigError, match="compare.parameters"):
        with_models(replace(Settings(), compare=CompareSettings(parameters={"bpr": {}})), tastes())
