"""One line a step: DataFrames for logs and items, settings as keywords, results as tables."""

import importlib
import io
import sys
from dataclasses import is_dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

import recsys
from recsys.config import Settings
from recsys.inputs import inputs_of, settings_of
from tests.worlds import tastes

LOG = tastes()
EVENTS = LOG.to_pandas().rename(columns={"user_id": "who", "item_id": "what", "weight": "stars"})
TITLES = pd.DataFrame({"what": LOG.items.tolist(), "title": [f"t{n}" for n in range(40)]})
NAMED = {"user": "who", "item": "what", "value": "stars"}
SMALL = {"index": {"kind": "exact"}, "gates": {"enabled": False}}
TABLES = ("evaluation", "log", "index")


def read(**options: object) -> Settings:
    return settings_of("train", None, options, TABLES)


@pytest.mark.parametrize("library", ["pandas", "polars", "arrow", "index"])
def test_train_takes_tables_of_any_library(tmp_path: Path, library: str) -> None:
    events, titles = EVENTS, TITLES
    if library == "polars":
        events, titles = pl.from_pandas(events), pl.from_pandas(titles)
    if library == "arrow":
        events, titles = pl.from_pandas(events).to_arrow(), pl.from_pandas(titles).to_arrow()
    if library == "index":
        events, titles = events.set_index("who"), titles.set_index("what")
    version = recsys.train(
        events, tmp_path, items=titles, model=recsys.SVD(4), split="last", k=5, **NAMED, **SMALL
    )
    assert version.manifest.model.name == "svd"
    assert version.metrics["svd"].to_pandas()["metric"][0] == "recall@5"
    assert version.manifest.config["evaluation"]["split"] == "last"
    recommender = recsys.open(tmp_path)
    found = recommender.recommend("u5", k=4)
    assert [int(str(item_id)[1:]) % 4 for item_id, _ in found] == [1, 1, 1, 1]
    assert recommender.describe("i7") == {"title": "t7"}


def test_reading_a_log_takes_the_same_names_of_columns() -> None:
    log = recsys.read_log(EVENTS, **NAMED)
    assert sorted(log.users.tolist()) == sorted(LOG.users.tolist())
    with pytest.raises(recsys.DataError, match="expected a column 'whom'.*read_log.table, user="):
        recsys.read_log(EVENTS, user="whom", item="what")


def test_a_relation_of_duckdb_is_a_table() -> None:
    events = EVENTS  # noqa: F841 (DuckDB finds it by its name)
    log = recsys.read_log(duckdb.sql("SELECT * FROM events WHERE stars > 0"), **NAMED)
    assert len(log) == len(LOG)


def test_keywords_win_over_dicts_and_these_over_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[evaluation]\nk = 3\nsplit = "last"\n[log]\nmin_value = 2.0\n'
    )
    found = settings_of(
        "train",
        tmp_path / "a.toml",
        {"evaluation": {"k": 4, "last": 2}, "k": 5, "user": "who", "columns": {"item_id": "what"}},
        TABLES,
    )
    assert (found.evaluation.k, found.evaluation.last, found.evaluation.split) == (5, 2, "last")
    assert found.log.min_value == 2.0
    assert found.log.columns == {"user_id": "who", "item_id": "what"}


def test_settings_are_objects_dicts_or_dotted_keys() -> None:
    for settings in ({"index": {"kind": "exact"}}, {"index.kind": "exact"}):
        assert settings_of("train", settings, {}, TABLES).index.kind == "exact"
    index = recsys.IndexSettings(kind="exact")
    assert read(index=index).index is index
    assert Settings(index={"kind": "exact"}, model="svd") == Settings(  # type: ignore[arg-type]
        index=index, model=recsys.SVD()
    )
    with pytest.raises(recsys.ConfigError, match="index: expected a table, a dict of its keys or"):
        Settings(index=5)  # type: ignore[arg-type]
    assert settings_of("train", Settings(index=index), {"trees": 5}, TABLES).index.trees == 5
    split = recsys.SplitSettings(split="last", last=2)
    for found in (read(split=split, k=np.int64(5)), read(evaluation=split, k=np.int64(5))):
        assert (found.evaluation.last, found.evaluation.k) == (2, 5)


def test_a_model_is_an_object_a_name_or_a_dict() -> None:
    assert read(model=recsys.SVD(8)).model == recsys.SVD(8)
    assert read(model="svd", factors=8).model == recsys.SVD(8)
    assert read(model={"name": "svd", "factors": 8}).model == recsys.SVD(8)
    assert read(model="auto", factors=8).auto.factors == 8
    changed = settings_of("train", Settings(model=recsys.SVD(8)), {"model": {"recency": 1.0}}, ())
    assert changed.model == recsys.SVD(8, recency=1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splt": "last"}, "train: unknown keyword 'splt'; did you mean 'split'"),
        ({"trials": 3}, r"train: unknown keyword 'trials'; write tune=\{'trials': ...\}"),
        ({"k": "ten"}, "evaluation.k: .* got 'ten'"),
        ({"gates": 3}, "train: gates: expected a dict"),
        ({"seed": 1}, r"train: seed: .* model=recsys.ALS\(seed=1\)"),
        ({"model": "knn"}, "model.name: expected a model with vectors"),
        ({"model": recsys.SVD}, "model: expected a model such as .* got the class SVD"),
        ({"index": {"knd": "exact"}}, "index.knd: unknown key.*did you mean 'index.kind'"),
    ],
)
def test_a_wrong_keyword_is_one_sentence(options: dict[str, object], message: str) -> None:
    with pytest.raises(recsys.ConfigError, match=message):
        read(**options)


def test_a_config_names_the_log_and_the_items(tmp_path: Path) -> None:
    EVENTS.to_csv(tmp_path / "events.csv", index=False)
    TITLES.to_csv(tmp_path / "titles.csv", index=False)
    (tmp_path / "a.toml").write_text(
        '[data]\nlog = "events.csv"\nitems = "titles.csv"\nitem_columns = { item_id = "what" }\n'
        '[log]\ncolumns = { user_id = "who", item_id = "what" }\n[evaluation]\nsplit = "last"\n'
    )
    version = recsys.train(store=tmp_path, settings=tmp_path / "a.toml", model="svd", factors=4)
    assert version.manifest.n_users == len(LOG.users)
    assert recsys.open(tmp_path).describe("i7") == {"title": "t7"}
    data = {"items": str(tmp_path / "titles.csv")}
    given = inputs_of("train", EVENTS, {"data": data}, NAMED, TABLES, takes_items=True)
    assert given.items is not None
    found = recsys.compare(models=["popularity"], settings=tmp_path / "a.toml", tune=False)
    assert list(found) == ["popularity"]


def test_what_was_read_before_is_not_read_again() -> None:
    with pytest.raises(recsys.ConfigError, match="user says how a log is read.*recsys.read_log"):
        recsys.compare(LOG, ["svd"], user="who")


def test_items_without_their_ids_are_an_error_that_says_what_to_do() -> None:
    titles = TITLES.rename(columns={"what": "code"})
    with pytest.raises(
        recsys.DataError, match="items: the table has no column 'item_id', only cod"
    ):
        recsys.train(EVENTS, items=titles, **NAMED)


def test_columns_are_guessed_and_said() -> None:
    late = EVENTS.assign(timestamp=EVENTS["timestamp"].where(EVENTS.index < 200))
    likes = late.rename(columns={"who": "userId", "what": "movieId", "stars": "rating"})
    likes["rating"] += likes.index % 5
    titles = TITLES.rename(columns={"what": "movieId", "title": "name"})
    with pytest.warns(RuntimeWarning) as said:
        given = inputs_of("train", likes, None, {}, TABLES, items=titles)
    columns = {"user_id": "userId", "item_id": "movieId", "value": "rating"}
    assert {ours: given.settings.log.columns[ours] for ours in columns} == columns
    assert given.log.timestamp is None  # of which rows far down have none
    assert given.items is not None
    assert given.items.column_names == ["item_id", "title"]
    sentences = "\n".join(str(one.message) for one in said)
    assert "userId is the user, movieId is the item, rating is the value" in sentences
    assert "as likes (" in sentences
    assert "min_value=" in sentences
    assert "items: movieId is the item and name is the title" in sentences
    with pytest.raises(recsys.DataError, match="expected a column 'user_id'"):
        inputs_of("train", likes, Settings(), {}, TABLES)  # an object says all


@pytest.mark.parametrize("item", ["what", "item_id"])
def test_titles_are_taken_from_the_log_where_it_has_them(item: str) -> None:
    events = EVENTS.merge(TITLES, on="what").rename(columns={"what": item})
    names = {"user": "who", "item": item}
    with pytest.warns(RuntimeWarning, match="title has the titles"):
        given = inputs_of("train", events, None, names, TABLES, takes_items=True)
    assert given.items is not None
    assert given.items.column_names == ["item_id", "title"]
    assert inputs_of("tune", events, None, {**names, "value": "stars"}, TABLES).items is None


def test_compare_returns_a_table() -> None:
    found = recsys.compare(
        EVENTS, [recsys.SVD(4), "popularity"], tune=False, split="last", k=5, **NAMED
    )
    assert found["svd"].parameters["factors"] == 4
    assert found.to_pandas()["model"].tolist() == ["svd", "popularity"]
    assert found.metric == "ndcg@5"
    assert found.model == recsys.SVD(4)
    assert found.advice is not None
    with pytest.raises(recsys.ConfigError, match=r"expected a list of names .* write \['svd'\]"):
        recsys.compare(EVENTS, "svd")


def test_objects_are_compared_as_they_are() -> None:
    models = [recsys.SVD(4), recsys.SVD(8), recsys.KNN()]
    found = recsys.compare(LOG, models, trials=2, split="last", k=5, baseline="svd factors=4")
    assert list(found)[:3] == ["svd factors=4", "svd factors=8", "knn"]
    assert found["svd factors=8"].parameters["factors"] == 8
    assert found["svd factors=8"].tuning_seconds == 0
    named = recsys.compare(LOG, {"mine": recsys.SVD(4)}, split="last", k=5, tune=False)
    assert list(named) == ["mine", "popularity"]
    with pytest.raises(recsys.ConfigError, match="expected different models"):
        recsys.compare(LOG, [recsys.SVD(), recsys.SVD()])


def test_tune_returns_trials_and_a_model() -> None:
    found = recsys.tune(EVENTS, model="svd", factors=4, trials=3, split="last", k=5, **NAMED)
    assert len(found.to_pandas()) == found.n_trials == 3
    assert isinstance(found.model, recsys.SVD)
    assert found.model.factors == 4


def test_dimensions_returns_a_curve() -> None:
    curve = recsys.dimensions(EVENTS, [2, 4], model="svd", split="last", k=5, **NAMED)
    assert set(curve.to_pandas()["factors"]) == {2, 4}
    for wrong, message in ((8, "dimensions: factors: expected a list, got 8"), (["8"], "svd.fac")):
        with pytest.raises(recsys.ConfigError, match=message):
            recsys.dimensions(LOG, wrong, model="svd", split="last")


class Stopping(io.StringIO):
    """A stderr that interrupts at a line of progress, as the stop button of a notebook does."""

    def __init__(self, line: str) -> None:
        super().__init__()
        self.line = line

    def write(self, text: str) -> int:
        if self.line in text:
            raise KeyboardInterrupt
        return super().write(text)


@pytest.mark.parametrize("line", ["fitting als", "tuning als: 2 of"])
def test_an_interrupted_comparison_keeps_what_it_has(
    monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("RECSYS_PROGRESS_SECONDS", "0")
    monkeypatch.setattr(sys, "stderr", Stopping(line))
    models = [recsys.SVD(4), "als", "popularity"]
    with pytest.warns(RuntimeWarning, match="compare: interrupted"):
        found = recsys.compare(LOG, models, split="last", k=5, factors=4, trials=3)
    assert list(found) == ["svd"]
    assert found.to_pandas()["model"].tolist() == ["svd"]


def test_an_interrupted_search_keeps_its_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_PROGRESS_SECONDS", "0")
    monkeypatch.setattr(sys, "stderr", Stopping("2 of 5"))
    with pytest.warns(RuntimeWarning, match="tune: interrupted"):
        found = recsys.tune(LOG, model="svd", factors=4, trials=5, split="last", k=5)
    assert len(found.to_pandas()) == 2


def test_all_settings_have_one_place() -> None:
    module = importlib.import_module("recsys.settings")
    classes = {name for name, one in vars(module).items() if is_dataclass(one)}
    assert classes
    assert all(getattr(recsys, name) is getattr(module, name) for name in classes)


def test_events_are_those_of_a_log_or_an_object_of_their_table() -> None:
    log = pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "x"], "event": ["buy", "look"]})
    given = {"event": "event", "events": {"buy": 2.0, "look": 0.0}}
    found = inputs_of("train", log, None, given, ("log",))
    assert len(found.log) == 1
    assert found.settings.log.events == given["events"]
    assert found.settings.events == recsys.EventSettings()
    live = recsys.EventSettings(max_batch=3)
    assert inputs_of("train", log, None, {"events": live}, ("log",)).settings.events == live
