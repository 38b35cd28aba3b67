from math import inf
from pathlib import Path

import pytest

import recsys
from recsys.config import Settings, changed_tables, read_config, settings_from
from recsys.errors import ConfigError
from recsys.models import SVD

EXAMPLES = sorted((Path(__file__).parents[1] / "pipelines" / "examples").glob("*.toml"))


def test_an_empty_config_is_the_defaults() -> None:
    assert settings_from({}) == Settings()


def test_every_table_is_read(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        """
        [data]
        log = ["a.csv", "more/*.csv"]
        item_columns = { item_id = "id" }
        [log]
        columns = { user_id = "person" }
        events = { view = 1, like = 2.5 }
        [model]
        name = "svd"
        factors = 12
        [evaluation]
        split = "last"
        [index]
        target_recall = 0.9
        """
    )
    settings = read_config(config)
    assert settings.data.log == [str(tmp_path / "a.csv"), str(tmp_path / "more/*.csv")]
    assert settings.log.columns == {"user_id": "person"}
    assert settings.log.events == {"view": 1.0, "like": 2.5}
    assert settings.model == SVD(factors=12)
    assert settings.evaluation.split == "last"
    assert settings.index.target_recall == 0.9


def test_a_path_is_tidy_and_leads_to_the_same_place(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    tables = {"nightly": {"store": "../store"}}
    found = settings_from(tables, tmp_path / "pipelines").nightly.store
    assert found == str(tmp_path / "store")
    (tmp_path / "elsewhere" / "pipelines").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "pipelines")
    found = settings_from(tables, tmp_path / "link").nightly.store
    assert Path(found or "").resolve() == tmp_path / "elsewhere" / "store"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_valid_and_short(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECSYS_DATA", str(tmp_path))
    assert str(tmp_path) in str(read_config(path).data.log)
    assert len([line for line in path.read_text().splitlines() if line.strip()]) <= 12


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"data": {"item_columns": ["a"]}}, r"data.item_columns: expected a table, .*got \['a'\]"),
        ({"compare": {"models": "als"}}, "compare.models: expected a list, .*got 'als'"),
        ({"gates": {"enabled": "yes"}}, "gates.enabled: expected true or false, got 'yes'"),
        ({"modle": {}}, "modle: unknown key.*did you mean 'model'"),
        ({"log": {"half_live_days": 3}}, "log.half_live_days: unknown key.*half_life_days"),
        ({"model": {"facters": 3}}, "model.facters: unknown key.*did you mean 'model.factors'"),
        (
            {"model": {"name": "svm"}},
            "model.name: expected one of auto, als, svd, item2vec, softmax, distilled, blend, popu",
        ),
        ({"model": {"factors": "64"}}, "model.factors: .*integer, got '64'"),
        ({"model": {"factors": 0}}, "als.factors: expected 1 or more, got 0"),
        ({"log": {"duplicates": "mean"}}, "log.duplicates: .*'sum'.*, got 'mean'"),
        ({"log": {"min_user_items": 0}}, "log.min_user_items: expected 1 or more, got 0"),
        ({"log": {"columns": {"user": "u"}}}, "log.columns: .*'user'"),
        ({"log": {"events": {"view": inf}}}, "log.events.view: expected a finite weight"),
        ({"evaluation": {"test_fraction": 1.5}}, "evaluation.test_fraction"),
        ({"evaluation": {"validation": "x"}}, "evaluation.validation: .*'same'.*, got 'x'"),
        ({"evaluation": {"k": 0}}, "evaluation.k: expected 1 or more, got 0"),
        ({"log": 3}, r"log: expected a table \[log\], got 3"),
    ],
)
def test_a_wrong_setting_is_named(tables: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_from(tables)


def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    with pytest.raises(ConfigError, match="environment variable NOT_SET_ANYWHERE"):
        settings_from({"data": {"log": "$NOT_SET_ANYWHERE/log.csv"}})


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"[log", "not a TOML file"), (b"\xff\xfe", "not a TOML file")],
)
def test_a_file_that_is_no_config(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_config(path)
    assert str(path) in str(caught.value)


def test_the_engine_is_no_table_and_what_does_not_run_on_it_says_so() -> None:
    settings = settings_from({"engine": "spark", "spark": {"master": "local[2]"}})
    assert changed_tables(settings) == {"engine": "spark", "spark": {"master": "local[2]"}}
    assert settings_from(changed_tables(settings)) == settings
    with pytest.raises(ConfigError, match=r'engine: train: expected "local", got .spark., on'):
        recsys.train("log.csv", settings=settings)
    with pytest.raises(ConfigError, match="engine: expected one of local, spark, got 'sparc'"):
        settings_from({"engine": "sparc"})
