"""What the commands that read a log have in common: its columns, the options, the configs."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from recsys.cli import app
from recsys.cli.options import FLAGS, LogOptions, with_options
from recsys.config import read_config
from recsys.errors import ConfigError
from recsys.models import SVD
from recsys.store import find_version
from tests.command_line import run
from tests.test_cli import ROOT, refused


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ratings.csv and movies.csv, called as MovieLens calls them."""
    folder = tmp_path_factory.mktemp("ratings")
    rows = [
        f"{user},{1 + (7 * user + 3 * n) % 40},{1 + (user + n) % 5},{1_200_000_000 + 60 * n}\n"
        for user in range(1, 121)
        for n in range(8)
    ]
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + "".join(rows))
    movies = [f'{item},"Film {item}, The",Drama|Comedy\n' for item in range(1, 41)]
    (folder / "movies.csv").write_text("movieId,title,genres\n" + "".join(movies))
    return folder


def test_one_command_to_a_list_with_titles(ratings: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    command: list[str | Path] = ["train", "ratings.csv", "--items", "movies.csv", "--store", store]
    small = ["--model", "svd", "--factors", "4", "-k", "5", "--set", "index.kind=exact"]
    done = run(*command, *small, cwd=ratings)
    assert done.returncode == 0, done.stderr
    said, proposed, *_ = done.stderr.splitlines()
    assert said.startswith(
        "ratings.csv: userId is the user, movieId is the item, timestamp is the time"
    )
    assert "4 and more as likes (40% of the rows): recsys train ratings.csv " in proposed
    assert proposed.endswith("--user userId --item movieId --value rating --min-value 4")
    assert "movies.csv: movieId is the item" in done.stderr
    assert "recall@5" in done.stdout
    assert "Film " in run("recommend", "7", "--store", store).stdout
    version = find_version(store, None)
    assert version.manifest.model.parameters["factors"] == 4
    assert version.manifest.config["log"]["columns"]["user_id"] == "userId"


def test_the_command_that_is_proposed_does_what_it_says(ratings: Path) -> None:
    done = run(
        *["evaluate", "ratings.csv", "--user", "userId", "--item", "movieId", "--value", "rating"],
        *["--min-value", "4", "--time", "timestamp", "--model", "popularity", "--split", "random"],
        cwd=ratings,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["960 rows read; 576 left out: value below min_value 576"]


def test_any_setting_can_be_typed(ratings: Path) -> None:
    options = LogOptions(
        [str(ratings / "ratings.csv")],
        changes=["model.name=svd", "model.factors=9", "log.events.view=2", "log.since=2020-01-01"],
        k=7,
    )
    assert options.tables() == {
        "model": {"name": "svd", "factors": 9},
        "log": {"events": {"view": 2}, "since": "2020-01-01"},
        "evaluation": {"k": 7},
    }
    assert options.settings().model == SVD(factors=9)
    assert LogOptions(changes=["model.name=svd"]).tables(factors=5)["model"]["factors"] == 5
    assert LogOptions(changes=["model.name=auto"]).tables(factors=5)["auto"] == {"factors": 5}
    with pytest.raises(ConfigError, match=r"--set: expected table.key=value, .*got 'factors=9'"):
        LogOptions(changes=["factors=9"]).tables()


def test_an_error_about_a_setting_names_the_option_and_the_key(ratings: Path) -> None:
    log = ratings / "ratings.csv"
    line = refused("train", log, "--set", "index.trees=0", code=2)
    assert line == (
        "recsys: index.trees: expected 1 or more, got 0; on the command line: --set index.trees=..."
    )
    line = refused("evaluate", log, "--split", "weekly", code=2)
    assert "evaluation.split: expected 'auto', 'time'" in line
    assert line.endswith("on the command line: --split")
    assert with_options("svd.factors: expected 1 or more, got 0").endswith(": --factors")
    assert with_options("log x: no model.py here") == "log x: no model.py here"


def test_the_options_are_those_of_all_five_commands() -> None:
    group: Any = typer.main.get_command(app)
    shared = {"--user", "--item", "--time", "--event", "--value", "--min-value", "--split", "-k"}
    for name in ("train", "evaluate", "tune", "compare", "dimensions", "config"):
        found = {one for parameter in group.commands[name].params for one in parameter.opts}
        assert shared | {"--set", "--config"} <= found, name
        if name != "config":
            assert "--factors" in found
    known = {one for command in group.commands.values() for one in command.params}
    options = {option for parameter in known for option in parameter.opts}
    assert {flag for flag in FLAGS.values() if flag.startswith("-")} <= options


def test_a_config_for_a_log(ratings: Path, tmp_path: Path) -> None:
    out = tmp_path / "configs" / "shop.toml"
    command: list[str | Path] = [
        "config",
        "ratings.csv",
        "--items",
        "movies.csv",
        "--split",
        "last",
        "--out",
        out,
    ]
    assert run(*command, cwd=ratings).returncode == 0
    settings = read_config(out)
    assert [Path(one).resolve() for one in settings.data.log] == [ratings / "ratings.csv"]
    assert settings.log.columns == {"user_id": "userId", "item_id": "movieId", "value": "rating"}
    assert settings.data.item_columns["item_id"] == "movieId"
    assert settings.evaluation.split == "last"
    assert "# Or only ratings of 4 and more as likes (40% of the rows):\n# min_value = 4.0\n" in (
        out.read_text()
    )
    done = run("evaluate", "--config", out, "--model", "popularity")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("960 rows read")


def test_every_setting_is_printed_with_what_a_config_says(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[model]\nname = 'svd'\nfactors = 12\n[log]\nmin_value = 3.0\n")
    printed = run("config", "--config", path, "--set", "evaluation.k=5").stdout
    found = tomllib.loads(printed)
    assert found["model"]["factors"] == 12
    assert found["log"]["min_value"] == 3.0
    assert found["evaluation"]["k"] == 5
    assert "# Length of the lists that the metrics look at.\nk = 5" in printed


def test_the_version_is_printed() -> None:
    assert run("--version").stdout.startswith("recsys ")


def test_a_command_in_a_new_process_imports_what_it_needs(ratings: Path) -> None:
    program = "import sys, recsys.cli; print('recsys.config' in sys.modules); recsys.cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "config", "ratings.csv", "-k", "7"],
        capture_output=True, text=True, cwd=ratings, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    waits_for_settings, *text = done.stdout.splitlines()
    assert waits_for_settings == "False", done.stderr  # what asks a version needs none
    assert "k = 7" in text
