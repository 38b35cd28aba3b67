"""The search for hyperparameters: what it finds, and that nothing of it is lost."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import ConfigError, DataError
from recsys.models import MODELS, Epoch, flat, nested
from recsys.settings import TuneSettings
from recsys.splits import SplitSettings, split_parts, split_random
from recsys.tuning import SPACES, SPACES_IN_ORDER, Budget, Range, Task, Trial, Tuned, tune
from recsys.tuning.candidates import Candidate
from recsys.tuning.search import _rungs
from recsys.tuning.space import edges_of, space_of
from recsys.tuning.study import require_study
from recsys.tuning.task import Watch
from recsys.vectors import Embeddings
from tests.worlds import tastes

SEARCH = """
import sys
from tests.tuning.test_tuning import a_short_search
a_short_search(sys.argv[1], on_step=lambda done, total, note="": print(done, flush=True))
"""


def a_task(seed: int = 0) -> Task:
    parts = split_parts(tastes(per_user=8, seed=seed), SplitSettings("random", 0.3))
    return Task(parts.train, parts.validation, k=5)


def a_search(study: str | Path | None = None, seed: int = 0, **changes) -> Tuned:
    model = Candidate("als", {"iterations": 4, "regularization": 8.0})
    settings = {"factors": 64, "budget": Budget(trials=36), "study": study} | changes
    return tune(model, a_task(seed), **settings)


def a_short_search(study: str | Path | None = None, **changes) -> Tuned:
    """At random, suggested, and with twice as many factors."""
    return a_search(study, budget=Budget(trials=16), **changes)


def values_of(tuned: Tuned) -> dict[int, list[tuple[float, bool]]]:
    return {
        size: [(trial.value, trial.is_pruned) for trial in trials]
        for size, trials in tuned.trials.items()
    }


def test_it_finds_better_than_what_it_began_with() -> None:
    task = a_task()
    start = Candidate("als", {"iterations": 4, "regularization": 10.0, "item_exponent": 0.75})
    before = task.measure(start.with_factors(32).fit(task.user_items))
    tuned = tune(start, task, factors=32, budget=Budget(trials=30))
    assert tuned.best.value > before
    again = task.measure(tuned.best.candidate.fit(task.train))
    assert again == pytest.approx(tuned.best.value, abs=0.02)  # which an epoch had reached
    assert tuned.best.value == max(trial.value for trial in tuned.trials[32] if not trial.is_pruned)


def test_the_best_go_on_to_twice_as_many_factors_until_it_does_not_pay() -> None:
    tuned = a_search(factors=128, space=SPACES["als"], seed=1)
    # Four tastes need no more than 32 factors.
    assert list(tuned.trials) == [32, 64]
    assert tuned.best.candidate.parameters["factors"] == 32
    space = SPACES["als"]
    by_value = sorted(
        (trial for trial in tuned.trials[32] if not trial.is_pruned), key=lambda one: -one.value
    )
    for went_up, trial in zip(by_value[:4], tuned.trials[64][:4], strict=True):
        assert trial.candidate.parameters["factors"] == 64
        for name in space:
            assert trial.candidate.parameters[name] == went_up.candidate.parameters[name]


def test_the_same_seed_finds_the_same() -> None:
    assert values_of(a_search()) == values_of(a_search())


def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    study = tmp_path / "study.sqlite"
    command = [sys.executable, "-c", SEARCH, str(study)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 11:
                process.kill()  # SIGKILL, in the middle of a trial
                break
    steps: list[int] = []
    tuned = a_short_search(study, on_step=lambda done, total, note="": steps.append(done))
    assert steps[0] in (12, 13)  # the twelfth may have been done
    assert values_of(tuned) == values_of(a_short_search())
    again: list[int] = []
    done = a_short_search(study, on_step=lambda done, total, note="": again.append(done))
    assert values_of(done) == values_of(tuned)
    assert again == []


def test_a_study_of_something_else_is_refused(tmp_path: Path) -> None:
    study = tmp_path / "study.sqlite"
    budget = Budget(trials=2)
    tune(Candidate("svd"), a_task(), factors=8, budget=budget, study=study)
    with pytest.raises(ConfigError, match=r"study\.sqlite: .* another log or split; name another"):
        tune(Candidate("svd"), a_task(seed=1), factors=8, budget=budget, study=study)
    other = Candidate("svd", {"weight_exponent": 1.0})
    with pytest.raises(ConfigError, match="got trials of another model"):
        tune(other, a_task(), factors=8, budget=budget, study=study)


@pytest.mark.parametrize("name", ["50% ä?x#1&y=2 {v}.db", "-x", "../up/\udcff"])
def test_a_study_has_any_file_name(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    first, again = (tune(Candidate("popularity"), a_task(), study=name) for _ in range(2))
    assert first.trials == again.trials
    assert [path.name for path in Path(name).parent.iterdir()] == [Path(name).name]


def not_studies(folder: Path) -> dict[str, tuple[str, str]]:
    (folder / "noise").write_bytes(b"no database" * 100)
    os.mkfifo(folder / "pipe")
    with closing(sqlite3.connect(folder / "other.db")) as database:
        database.execute("CREATE TABLE fruit (name TEXT)")
    return {
        "noise": ("noise", "file is not a database"),
        "folder": (".", "a folder"),
        "pipe": ("pipe", "no file"),
        "other": ("other.db", "a database with the table fruit"),
        "below a file": ("noise/x.db", "Not a directory"),
        "where nothing can be": ("/proc/x/y.db", "No such file or directory"),
    }


def test_what_is_no_study_is_said_in_one_sentence(tmp_path: Path) -> None:
    for name, got in not_studies(tmp_path).values():
        before = sorted(tmp_path.iterdir())
        with pytest.raises(ConfigError) as raised:
            require_study(tmp_path / name)
        assert f"got {got}; name another file" in str(raised.value).replace("File exists", got)
        assert "\n" not in str(raised.value)
        assert sorted(tmp_path.iterdir()) == before


@given(st.integers(1, 400), st.integers(1, 2000))
def test_trials_of_all_numbers_of_factors_sum_to_what_was_asked(trials: int, factors: int) -> None:
    rungs = _rungs(factors, trials)
    assert sum(rungs.values()) == trials
    assert max(rungs) == factors
    assert len(rungs) == 1 or min(rungs.values()) >= 4


@pytest.mark.parametrize("trials", [1, 3, 12])
def test_so_many_trials_are_run_as_were_asked(trials: int) -> None:
    seen: list[tuple[int, int]] = []
    tuned = a_search(
        budget=Budget(trials), on_step=lambda done, total, note="": seen.append((done, total))
    )
    assert tuned.n_trials == trials
    assert seen == [(done, trials) for done in range(1, trials + 1)]


def test_no_setting_is_tried_twice() -> None:
    space = {"neighbors": Range(3, 5, whole=True)}
    tuned = tune(Candidate("knn"), a_task(), budget=Budget(trials=9), space=space)
    tried = [trial.candidate.parameters["neighbors"] for trial in tuned.trials[0]]
    assert sorted(tried) == [3, 4, 5]


def test_time_that_is_over_ends_a_search() -> None:
    tuned = a_search(budget=Budget(trials=10_000, minutes=1e-9))
    assert [len(trials) for trials in tuned.trials.values()] == [1, 1]


@pytest.mark.parametrize("name", SPACES_IN_ORDER)
def test_every_space_is_of_hyperparameters_that_there_are(name: str) -> None:
    candidate, space = Candidate(name), SPACES_IN_ORDER[name]
    for end in ("low", "high"):
        at_the_end = {one: getattr(range_, end) for one, range_ in space.items()}
        whole = {one: int(value) for one, value in at_the_end.items() if space[one].whole}
        sized = candidate.having(**{**at_the_end, **whole}).with_factors(4)
        if name == "bpr":
            sized = sized.having(iterations=2)
        assert np.isfinite(a_task().measure(sized.fit(a_task().train)))
    if not candidate.is_baseline and name != "popularity":
        defaults = flat(Candidate.of(MODELS[name]()).parameters)
        assert all(range_.holds(defaults[one]) for one, range_ in space.items())


def test_a_model_without_hyperparameters_is_tried_once() -> None:
    tuned = tune(Candidate("popularity"), a_task())
    assert [len(trials) for trials in tuned.trials.values()] == [1]
    assert tuned.parameters == {}


def test_a_watch_looks_at_few_epochs_and_keeps_the_best() -> None:
    task = a_task()
    right = Candidate("als").fit(task.user_items)
    assert isinstance(right, Embeddings)
    wrong = Embeddings(right.users, -right.items)
    seen: list[int] = []

    def report(epoch: int, value: float) -> bool:
        seen.append(epoch)
        return epoch >= 8

    watch = Watch(task, report)
    stops = [
        watch(Epoch(n, 20, 0.0, 0.0, lambda n=n: right if n == 4 else wrong)) for n in range(1, 9)
    ]
    assert seen == [2, 4, 8]
    assert stops == [False] * 7 + [True]
    assert watch.best == 4


def test_levels_of_hyperparameters_come_and_go() -> None:
    levels = {"a": 1, "b": {"c": 2, "d": {"e": 3}}}
    assert flat(levels) == {"a": 1, "b.c": 2, "b.d.e": 3}
    assert nested(flat(levels)) == levels


def test_nothing_is_chosen_on_the_test_part() -> None:
    train, test = split_random(tastes(), test_fraction=0.3)
    with pytest.raises(DataError, match="tune: expected a validation part .* the test part"):
        Task(train, test)


def test_what_cannot_be_is_refused() -> None:
    for changes, message in (
        ({"trials": 0}, r"tune\.trials: expected more than 0, got 0"),
        ({"minutes": -1.0}, r"tune\.minutes: expected more than 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            Budget(**changes)
    with pytest.raises(ConfigError, match="expected some of als"):
        Candidate("asl")
    with pytest.raises(ConfigError, match="tune.metric: expected one of recall"):
        Task(tastes(), tastes(), metric="rmse")
    assert not Range(0, 1).holds(None)


def test_a_best_at_an_end_of_its_range_is_said_with_a_wider_one() -> None:
    """But not where the model takes no value beyond, or the end is 0, which is off."""
    space = {
        "regularization": Range(0.01, 1.0, log=True),
        "item_exponent": Range(0.0, 0.75),
        "unobserved_weight": Range(0.0005, 0.5, log=True),
    }
    values = {"regularization": 0.011, "item_exponent": 0.0, "unobserved_weight": 0.01}
    (edge,) = edges_of(Candidate("als", values), space)
    assert edge.further == Range(0.00158, 1.0, log=True)
    assert "regularization = 0.011 lies at the low end of its range, 0.01 - 1" in edge.sentence
    assert "--set 'tune.spaces.als={ regularization = [0.00158, 1] }' looks there" in edge.sentence
    wider = {"als": {"regularization": [0.00158, 1]}}
    found = space_of(Candidate("als"), a_task().train, TuneSettings(spaces=wider).spaces["als"])
    assert found["regularization"] == edge.further
    assert found["user_exponent"] == SPACES["als"]["user_exponent"]
    assert not edges_of(Candidate("knn", {"b": 1.0}), {"b": Range(0.0, 1.0)})
    (edge,) = edges_of(
        Candidate("knn", {"neighbors": 490}), {"neighbors": Range(10, 500, log=True, whole=True)}
    )
    assert edge.further.high == 2391


def test_a_search_says_that_it_ended_at_an_end() -> None:
    best = Trial(Candidate("svd", {"factors": 64}), 0.5, is_pruned=False, seconds=1.0)
    other = Trial(Candidate("svd", {"factors": 32}), 0.4, is_pruned=False, seconds=1.0)
    assert Tuned(best, {32: [other], 64: [best]}, "ndcg@20").edges == [
        "64 factors are the most that were tried: better ones may lie beyond; --factors 128, or "
        "[tune] factors = 128, looks there"
    ]
    assert not Tuned(other, {32: [other], 64: [best]}, "ndcg@20").edges
    assert not Tuned(best, {64: [best]}, "ndcg@20").edges  # no other number was tried


@pytest.mark.parametrize(
    ("spaces", "message"),
    [
        ({"als": {"regularisation": [1, 2]}}, "expected some of .*, got 'regularisation'; did you"),
        ({"als": {"regularization": [-1, 2]}}, "als.regularization"),
        ({"als": {"iterations": [1.5, 2]}}, "expected whole numbers"),
        ({"als": {"regularization": [2, 1]}}, "tune.spaces.als.regularization: expected a low and"),
        ({"als": {"regularization": [2]}}, "tune.spaces.als.regularization: expected a low and"),
    ],
)
def test_a_space_that_cannot_be_is_refused(spaces: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        space_of(Candidate("als"), a_task().train, TuneSettings(spaces=spaces).spaces["als"])
