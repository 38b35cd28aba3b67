"""The choice of a model for a log: what is chosen, and what it depends on."""

from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recsys
from recsys.errors import ConfigError
from recsys.models.protocol import takes_order
from recsys.settings import AutoSettings
from recsys.splits import SplitSettings, split_parts
from recsys.training import with_model
from recsys.tuning import Choice, Task, choose
from recsys.tuning.fits import Fits
from recsys.tuning.steps import Step
from tests.models.test_recency import changed_tastes
from tests.worlds import tastes

SMALL = AutoSettings(factors=8)


def a_task(n_users: int = 104) -> Task:
    log = tastes(n_users=n_users, per_user=8)
    parts = split_parts(log, SplitSettings("random", 0.3))
    return Task(parts.train, parts.validation, k=5)


def settings_of(**auto: Any) -> recsys.Settings:
    auto = {"factors": 8, **auto}
    evaluation = recsys.settings.EvaluationSettings("random", 0.3, k=5)
    return recsys.Settings(auto=AutoSettings(**auto), evaluation=evaluation)


@pytest.fixture(scope="module")
def choice() -> Choice:
    return choose(a_task(), SMALL)


def test_the_fewest_factors_within_a_hundredth_of_the_best_are_chosen(choice: Choice) -> None:
    can_be_chosen = [one for one in choice.tried if 0 < one.factors <= SMALL.factors]
    best = max(one.value for one in can_be_chosen)
    (chosen,) = (one for one in can_be_chosen if one.parameters == choice.parameters)
    assert chosen.value >= 0.99 * best
    fewer = [one for one in can_be_chosen if one.factors < chosen.factors]
    assert all(one.value < 0.99 * best for one in fewer)
    best_of_all = max(one.value for one in choice.tried)
    is_said = "the fewest factors within 1% of the best: " in choice.sentences[0]
    assert is_said == (chosen.value < best_of_all)
    default = next(one for one in choice.tried if one.name == "als")
    assert best >= default.value > choice.best["popularity"].value


def test_what_is_larger_than_what_is_published_can_teach() -> None:
    found = choose(a_task(), AutoSettings(factors=2))
    assert found.model.factors <= 2 < max(one.factors for one in found.tried)


def test_what_it_says_is_what_the_model_reaches(choice: Choice) -> None:
    task = a_task()
    students = [one for one in choice.tried if one.name in ("blend", "distilled")]
    assert {one.name for one in students} == {"blend", "distilled"}  # whose parts are not refitted
    for one in (*choice.tried[::7], *students[:3]):
        assert one.value == task.measure(one.model.fit(task.train))


def test_no_model_is_fitted_twice(choice: Choice) -> None:
    assert max(Counter(repr(one.model) for one in choice.tried).values()) == 1


def test_a_clock_decides_nothing(choice: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(step=10_000)
    monkeypatch.setattr("recsys.tuning.fits.perf_counter", lambda: float(next(clock)))
    assert choose(a_task(), SMALL) == choice


@pytest.mark.parametrize(
    ("limit", "fitted"),
    [
        ({"work": 1e-9}, ["popularity", "svd", "als", "distilled"]),
        ({"minutes": 1e-9}, ["popularity", "svd", "als"]),
    ],
)
def test_an_end_before_the_first_step_leaves_the_first_of_each_kind(
    limit: dict[str, Any], fitted: list[str]
) -> None:
    found = choose(a_task(), replace(SMALL, **limit))
    assert [one.name for one in found.tried] == fitted
    assert f"auto.{next(iter(limit))}" in found.ended
    assert found.model in [one.model for one in found.tried]


def test_too_few_users_to_choose_by_get_als() -> None:
    found = choose(a_task(n_users=60))
    assert found.model == recsys.ALS()
    assert found.tried == ()
    assert "60 users" in found.sentences[0]


def test_an_order_is_part_of_the_choice_where_the_log_has_one() -> None:
    log = changed_tastes(n_users=120, per_taste=(5, 4))
    parts = split_parts(log, SplitSettings("last"))
    task = Task(parts.train, parts.validation, k=5)
    found = choose(task, SMALL)
    assert found.model.recency > 0
    without = max(one.value for one in found.tried if not takes_order(one.model))
    assert max(one.value for one in found.tried) > 1.1 * without
    chosen = next(one for one in found.tried if one.parameters == found.parameters)
    assert chosen.value == task.measure(found.model.fit(task.train))
    timeless = replace(parts.train, timestamp=None)
    found = choose(replace(task, train=timeless), replace(SMALL, work=1e-3))
    assert not any(takes_order(one.model) for one in found.tried)


def test_a_student_of_a_choice_learns_from_those_that_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = replace(a_task(), most_users=20)
    monkeypatch.setattr("recsys.tuning.fits._LEARNING", 50)
    fits = Fits(task, SMALL, None)
    learning = fits.learning
    measured = np.flatnonzero(np.diff(task.relevant.indptr))
    assert (len(measured), len(learning)) == (20, 50)
    assert set(measured) < set(learning)
    for teacher in (recsys.SVD(4), None):
        student = recsys.Distilled(4, teacher, iterations=2)
        fitted = student.fit(task.user_items, learning=learning)
        assert fits.value(student) == task.measure(fitted)
        assert (fitted.items != student.fit(task.user_items).items).any()


def test_it_survives_as_json(choice: Choice) -> None:
    assert Choice.from_dict(choice.to_dict()) == choice
    assert len(choice.sentences) == 3


def test_the_test_part_is_not_looked_at() -> None:
    log = tastes(n_users=104, per_user=8)
    settings = settings_of()
    train, test = recsys.splits.split_log(log, settings.evaluation)
    given = replace(
        settings, evaluation=replace(settings.evaluation, split="given", validation="random")
    )
    other = replace(test, item_idx=np.roll(test.item_idx, 1))
    assert with_model(given, train, test)[0] == with_model(given, train, other)[0]


def test_train_publishes_the_chosen_model_and_how_it_was_chosen(tmp_path: Path) -> None:
    log = tastes(n_users=104, per_user=8)
    manifest = recsys.train(log, tmp_path / "store", settings=settings_of()).manifest
    found = Choice.from_dict(manifest.model.choice)
    assert (manifest.model.name, manifest.model.parameters) == (found.name, found.parameters)
    assert manifest.model.name in manifest.metrics
    assert manifest.config["model"]["name"] == found.name
    again = recsys.store.find_version(tmp_path / "store").manifest
    assert again.model.choice == found.to_dict()


def test_without_a_test_part_it_chooses_all_the_same(tmp_path: Path) -> None:
    settings = settings_of()
    settings = replace(settings, evaluation=replace(settings.evaluation, split="none"))
    version = recsys.train(tastes(n_users=104, per_user=8), tmp_path, settings=settings)
    assert version.manifest.model.choice is not None
    assert not version.manifest.metrics


def test_a_model_that_is_named_is_not_chosen(tmp_path: Path) -> None:
    settings = replace(settings_of(), model=recsys.SVD(factors=3))
    version = recsys.train(tastes(), tmp_path, settings=settings)
    assert version.manifest.model.choice is None
    assert version.manifest.factors == 3


def test_hyperparameters_beside_auto_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.factors: .*auto\.factors"):
        recsys.config.settings_from({"model": {"name": "auto", "factors": 8}})
    assert recsys.config.settings_from({"model": {"factors": 8}}).model == recsys.ALS(factors=8)


def test_a_step_up_and_down_is_where_it_began() -> None:
    for step in (Step(3.0, is_factor=True), Step(0.15)):
        assert step.moved(step.moved(0.3, 1), -1) == 0.3
    assert Step(0.1).moved(0.1, -1) == 0.0
