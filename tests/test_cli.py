"""The command line as a person or a script meets it: a process, its output and its exit code."""

import io
import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from recsys.cli.store import note_below_popularity
from recsys.cli.train import show_refused
from recsys.config import read_config, settings_from
from recsys.errors import GateFailedError
from recsys.logs import read_log
from recsys.settings import AS_GOOD
from recsys.splits import split_by_time
from recsys.store import Check, EvaluationSummary, current, publish, versions
from tests.command_line import PRELOADED, interrupt, run
from tests.store.releases import small_release

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "pipelines" / "sample.toml"
NASTY_IDS = ["a b", "it's", 'say "hi"', "a/b/../c", "🦊", "[bold]", "-k", "x" * 10_000]


def refused(*arguments: str | Path, code: int = 1, **env: Any) -> str:
    """Run a command that must fail with one line on stderr, and return that line."""
    done = run(*arguments, **env)
    assert done.returncode == code, done.stderr
    *account, line = done.stderr.splitlines()
    assert line.startswith("recsys: ")
    assert all(" rows read" in note for note in account), done.stderr
    return line


@pytest.fixture(scope="module")
def store(
    demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    made, done = demo
    folder = tmp_path_factory.mktemp("cli") / "store"
    shutil.copytree(made, folder)
    assert "ndcg@20" in done.stdout
    assert "popularity" in done.stdout
    assert "published" in done.stdout
    assert "30,084 rows read" in done.stderr
    return folder


@pytest.fixture(scope="module")
def few_users(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample log of a fifth of its users, where what is shown does not depend on more."""
    log = pq.read_table(sample)
    path = tmp_path_factory.mktemp("few") / "events.parquet"
    users = pc.unique(log["user_id"]).slice(0, 200)
    pq.write_table(log.filter(pc.is_in(log["user_id"], users)), path)
    return path


def test_recommend_shows_titles_and_a_reason(store: Path) -> None:
    done = run("recommend", "u42", "-k", "5", "--store", store)
    assert done.returncode == 0
    assert "because of" in done.stdout
    assert "title" in done.stdout


def test_recommend_as_json_is_what_the_library_returns(store: Path) -> None:
    import recsys

    done = run("recommend", "u42", "-k", "7", "--json", "--store", store)
    assert json.loads(done.stdout) == recsys.open(store).recommend("u42", 7).to_dict()


def test_the_store_can_come_from_the_environment(store: Path) -> None:
    done = run("recommend", "u42", "--json", RECSYS_STORE=str(store))
    assert len(json.loads(done.stdout)["items"]) == 10


def test_an_unknown_user_gets_the_popular_list_or_an_error(store: Path) -> None:
    done = run("recommend", "nobody", "--json", "--store", store)
    assert json.loads(done.stdout)["source"] == "popular"
    assert "user nobody is not in version" in done.stderr
    assert "user nobody" not in run("recommend", "u42", "--store", store).stderr
    assert "no user: name one, such as u" in refused("recommend", "--store", store, code=2)
    assert "user 'nobody': not among the 1,000 users" in refused(
        "recommend", "nobody", "--on-unknown", "raise", "--store", store
    )


def test_the_column_of_the_latest_can_be_named(store: Path, tmp_path: Path) -> None:
    import recsys

    asked = ("--column", "price", "-k", "3", "--store", store)
    found = run("recommend", "--list", "latest", *asked, "--json")
    expected = recsys.open(store).top_items("latest", 3, column="price")
    assert json.loads(found.stdout) == expected.to_dict()
    assert "--column: expected --list latest" in refused("recommend", "u42", *asked, code=2)
    assert "score" in run("recommend", "--list", "latest", *asked).stdout
    newest = recsys.open(store).top_items("latest", 1)[0].score  # seconds since 1970
    day = datetime.fromtimestamp(newest, UTC).date().isoformat()
    shown = run("recommend", "--list", "latest", "-k", "1", "--store", store).stdout
    assert "date" in shown
    assert day in shown
    config = tmp_path / "rules.toml"
    config.write_text("[[rules.boost]]\nwhere = 'price > 0'\ntimes = 1000.0\n")
    words = ("recommend", "--list", "latest", "-k", "1", "--store", store, "--config", config)
    shown = run(*words).stdout  # first by far, on the day that it has
    assert "boost" in shown
    assert day in shown


def test_similar_items(store: Path) -> None:
    found = json.loads(run("similar", "i7", "-k", "3", "--json", "--store", store).stdout)
    assert len(found["items"]) == 3
    assert "i7" not in [item["item_id"] for item in found["items"]]
    assert "item 'i_7': not among" in refused("similar", "i_7", "--store", store)


def test_recommend_under_filters(store: Path) -> None:
    import recsys

    filters = ("--where", "price < 20", "--max-per", "category:1", "--diversity", "0.2")
    done = run("recommend", "u42", "-k", "4", "--json", "--store", store, *filters)
    recommender = recsys.open(store)
    expected = recommender.recommend(
        "u42", 4, where="price < 20", max_per="category:1", diversity=0.2
    )
    assert json.loads(done.stdout) == expected.to_dict()
    best = expected[0].item_id
    done = run("recommend", "u42", "--json", "--exclude", str(best), "--store", store)
    assert best not in [item["item_id"] for item in json.loads(done.stdout)["items"]]
    message = refused("recommend", "u42", "--where", "prise < 20", "--store", store)
    assert "where: expected a condition on attributes of items, got the column 'prise'" in message
    assert "did you mean 'price'" in message
    assert "category" not in message


def test_items_are_found_by_title_and_titles_are_taken_as_ids(store: Path) -> None:
    done = run("items", "moonbase", "ninth", "--store", store)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\n1  i216  The Ninth Moonbase  +Space Tales  18.9 +\d+\n", done.stdout)
    found = json.loads(run("items", "-k", "3", "--json", "--store", store).stdout)
    assert found["source"] == "title"
    assert len(found["items"]) == 3
    by_id = run("similar", "i216", "-k", "2", "--json", "--store", store)
    by_title = run("similar", "the ninth moonbase", "-k", "2", "--json", "--store", store)
    assert json.loads(by_title.stdout) == json.loads(by_id.stdout)
    assert "has a title with 'fullmetal'" in run("items", "fullmetal", "--store", store).stdout
    message = refused("similar", "ninth moonbas", "--store", store)
    assert message.endswith("did you mean i216 (The Ninth Moonbase)?")
    assert refused("similar", "fullmetal", "--store", store).endswith(
        "recsys items WORDS finds items by title"
    )


def test_recommend_to_a_history_among_candidates(store: Path) -> None:
    import recsys

    history = ("--history", "the ninth moonbase", "--history", "i7")
    done = run("recommend", *history, "-k", "3", "--json", "--store", store)
    found = recsys.open(store).recommend_for_history(["i216", "i7"], 3)
    assert json.loads(done.stdout) == found.to_dict()
    done = run("recommend", "nobody", *history, "-k", "3", "--json", "--store", store)
    assert json.loads(done.stdout) == found.to_dict()
    among = ("--candidates", "i9", "--candidates", "x!")
    done = run("recommend", "u42", *history, *among, "--json", "--store", store)
    assert [one["item_id"] for one in json.loads(done.stdout)["items"]] == ["i9"]
    assert "--candidates: item 'x!': not among" in done.stderr
    assert "--history: user u42 is known" in done.stderr
    assert "no user: name one" in refused("recommend", "--store", store, code=2)
    assert "item 'x!': not among" in refused("recommend", "--history", "x!", "--store", store)


def test_lists_are_kept_as_tables(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "list.csv"
    done = run("recommend", "u42", "-k", "2", "--out", out, "--store", store)
    assert f"written to {out}" in done.stderr
    header, first, _ = out.read_text().splitlines()
    assert header == "rank,item_id,title,score,because_of,category,price"
    assert first.startswith("1,i")
    kept = [out.with_suffix(".parquet"), out.with_suffix(".md")]
    run("similar", "i7", "-k", "2", "--out", kept[0], "--out", kept[1], "--store", store)
    assert pq.read_table(kept[0]).num_rows == 2
    assert kept[1].read_text().count("\n") == 4  # headings, a line, two rows
    message = refused("explain", "u42", "i9", "--out", "x.xls", "--store", store, code=2)
    assert message.startswith("recsys: --out: expected a file that ends in .csv, .html")


def test_explain_shows_parts_with_titles(store: Path) -> None:
    import recsys

    item_id = recsys.open(store).recommend("u42", 1)[0].item_id
    done = run("explain", "u42", str(item_id), "-k", "3", "--store", store)
    assert done.returncode == 0, done.stderr
    assert f"{item_id} for u42: score" in done.stdout
    assert "the first 3 of" in done.stdout
    why = json.loads(run("explain", "u42", str(item_id), "--json", "--store", store).stdout)
    total = sum(part["score"] for part in why["parts"]) + why["rest"]
    assert total == pytest.approx(why["score"])


def test_batch_writes_all_users(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists"
    done = run("batch", out, "-k", "3", "--store", store)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(sorted(out.glob("part-*.parquet")))
    assert len(set(table["user_id"].to_pylist())) == 1000
    assert run("batch", out, "-k", "3", "--store", store).returncode == 0
    assert "choose another folder" in refused("batch", out, "-k", "4", "--store", store)


def test_a_refused_version_shows_what_it_reached(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = Check(AS_GOOD, 0.1, 0.2, passed=False, sentence="lost", refuses=True)
    name = current(store)
    show_refused(store, GateFailedError([lost.sentence], [lost], name), "als")
    shown = capsys.readouterr()
    assert "ndcg@" in shown.out
    assert shown.err.endswith("without --model als, the model that suits the log is chosen\n")
    assert "left out of the test: test events: user not in train" in shown.err


def test_versions_verify_and_activate(store: Path) -> None:
    rows = json.loads(run("versions", "--json", "--store", store).stdout)
    assert [row["current"] for row in rows] == [True]
    name = rows[0]["version"]
    assert name in run("versions", "--store", store).stdout
    assert "every file is what its manifest says" in run("verify", "--store", store).stdout
    assert name in run("activate", name, "--store", store).stdout
    assert "holds no version" in refused("activate", "20200101T000000Z-00000000", "--store", store)


def test_versions_roll_back_pin_and_prune(tmp_path: Path) -> None:
    for seed in range(4):
        publish(tmp_path, small_release(seed=seed))
    listed = json.loads(run("versions", "--json", "--store", tmp_path).stdout)
    assert [row["metric"] for row in listed] == [
        {"name": "ndcg@20", "value": 0.5, "interval": [0.4, 0.6]}
    ] * 4
    d, c, b, a = (row["version"] for row in listed)
    assert [row["parent"] for row in listed] == [c, b, a, None]
    kept = tmp_path / "versions.json"
    assert "written to" in run("versions", "--store", tmp_path, "--out", kept).stderr
    assert [row["version"] for row in json.loads(kept.read_text())] == [d, c, b, a]
    assert run("rollback", "--store", tmp_path).stdout == f"current: {c}\n"
    assert run("pin", a, "--store", tmp_path).stdout == f"pinned: {a}\n"
    table = run("versions", "--store", tmp_path).stdout
    for shown in (a, b, c, d, "current", "rollback", "pinned", "0.5000 ± 0.1000", "als 4"):
        assert shown in table
    dry = run("prune", "--keep", "1", "--dry-run", "--store", tmp_path).stdout
    assert "0 would be deleted" in dry
    assert run("rollback", "--store", tmp_path).stdout == f"current: {b}\n"
    done = json.loads(run("prune", "--keep", "1", "--json", "--store", tmp_path).stdout)
    assert done["deleted"] == [c]
    assert done["kept"] == {d: "newest 1", b: "current", a: "rollback"}
    assert run("unpin", a, "--store", tmp_path).returncode == 0
    assert "expected a pinned version" in refused("unpin", a, "--store", tmp_path)
    assert run("prune", "--store", tmp_path).returncode == 2


def test_versions_lists_a_damaged_one_beside_the_others(tmp_path: Path) -> None:
    first = publish(tmp_path, small_release())
    publish(tmp_path, small_release(seed=1))
    (first.folder / "manifest.json").unlink()
    rows = json.loads(run("versions", "--json", "--store", tmp_path).stdout)
    assert ["damaged" in row for row in rows] == [False, True]
    assert "manifest.json" in rows[1]["damaged"]
    done = run("versions", "--store", tmp_path)
    assert first.name in done.stdout
    assert "damaged" in done.stdout


def test_export_writes_a_folder(store: Path, tmp_path: Path) -> None:
    name = json.loads(run("versions", "--json", "--store", store).stdout)[0]["version"]
    out = tmp_path / "out"
    done = run("export", name, "--to", "numpy", "--out", out, "--only", "items", "--store", store)
    assert done.stdout == f"{name}: numpy in {out}\n"
    assert np.load(out / "items.npy").shape == (600, 32)
    assert "choose another" in refused(
        "export", "current", "--to", "schema", "--out", out, "--store", store
    )
    assert run("export", "--to", "schema", "--out", out / "s", "--store", store).stdout
    unknown = ("export", "current", "--to", "fais", "--out", tmp_path / "x", "--store", store)
    assert "did you mean 'faiss'" in refused(*unknown, code=2)


def test_verify_names_a_damaged_file(tmp_path: Path) -> None:
    done = run("train", "--config", CONFIG, "--store", tmp_path, "--model", "popularity")
    assert done.returncode == 0, done.stderr
    path = next((tmp_path / "versions").glob("*/items.parquet"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    assert "items.parquet" in refused("verify", "--store", tmp_path)


def test_a_damaged_current_version_is_a_warning_of_one_line(tmp_path: Path) -> None:
    before, damaged = (publish(tmp_path, small_release(seed=seed)) for seed in range(2))
    path = damaged.folder / "serving" / "items" / "embeddings.npy"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    done = run("recommend", "u1", "--json", "--store", tmp_path)
    assert json.loads(done.stdout)["version"] == before.name
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"recsys: warning: {path}: ")
    assert line.endswith(f"serving version {before.name}")


def test_evaluate_publishes_nothing_and_prints_both_models(sample: Path) -> None:
    done = run("evaluate", sample, "--model", "als", "--json")
    metrics = json.loads(done.stdout)
    assert list(metrics) == ["als", "popularity", "new users"]
    assert metrics["als"]["left_out"]["test users not in train"] >= metrics["new users"]["n_users"]
    groups, _ = metrics["als"]["by"]
    assert (groups["metric"], groups["by"]) == ("ndcg@20", "activity in train")
    assert sum(group["n"] for group in groups["groups"]) == metrics["als"]["n_users"]
    assert metrics["als"]["metrics"]["ndcg@20"] > metrics["popularity"]["metrics"]["ndcg@20"]


def test_evaluate_keeps_every_user_and_shows_groups(sample: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "new" / "users.parquet", tmp_path / "evaluation.parquet"
    done = run("evaluate", sample, "--model", "als", "--users", out, "--out", kept)
    assert done.returncode == 0, done.stderr
    assert "ndcg@20 by activity" in done.stdout
    assert "test users not in train" in done.stdout
    assert "new users get the popular list" in done.stdout
    rows = pq.read_table(kept).to_pylist()
    assert {row["model"] for row in rows} == {"als", "popularity", "popular list"}
    of_all = {
        row["metric"]: row["value"] for row in rows if (row["model"], row["by"]) == ("als", "")
    }
    assert re.search(rf"ndcg@20  +{of_all['ndcg@20']:.4f} ", done.stdout)
    assert {row["by"] for row in rows} >= {"", "activity in train", "new users"}
    table = pq.read_table(out)
    assert table.column_names[:3] == ["user_id", "n_seen", "recall@20"]
    _, test = split_by_time(read_log(sample))
    tested = set(test.users.tolist(test.user_idx))
    assert set(table["user_id"].to_pylist()) == tested


def test_evaluate_knows_before_its_work_that_it_cannot_write(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out, got in ((tmp_path, "a folder"), (tmp_path / "file" / "users", "File exists")):
        assert refused("evaluate", sample, "--users", out, code=2) == (
            f"recsys: --users: expected to write every user's metrics to {out}, got {got}; "
            "name another file"
        )


def test_compare_tells_models_from_luck(sample: Path) -> None:
    names = "als,svd,knn,popularity"
    few = ("--trials", "3", "--factors", "16", "--seeds", "2")
    done = run("compare", sample, "--models", names, *few)
    assert done.returncode == 0, done.stderr
    assert "against popularity" in done.stdout
    assert "Means over 2 seeds" in done.stdout
    found = json.loads(run("compare", sample, "--models", names, "--no-tune", "--json").stdout)
    assert list(found["models"]) == names.split(",")
    assert len({model["n_users"] for model in found["models"].values()}) == 1
    als, *_ = found["comparisons"]
    assert (als["model"], als["baseline"]) == ("als", "popularity")
    assert als["interval"][0] > 0
    assert als["p_value"] < 0.01
    assert found["models"]["als"]["peak_bytes"] > 0
    assert found["models"]["als"]["tuning_seconds"] == 0
    assert "expected some of als" in refused("compare", sample, "--models", "alz", code=2)
    message = refused("compare", sample, "--models", "als", "--baseline", "svd", code=2)
    assert "compare.baseline: expected one of als" in message


def test_a_comparison_says_what_to_train_and_keeps_it(sample: Path, tmp_path: Path) -> None:
    names, out = ("--models", "knn", "--no-tune"), tmp_path / "table.csv"
    done = run("compare", sample, *names, "--out", out, "--out", tmp_path / "best.toml")
    assert done.returncode == 0, done.stderr
    assert "Train knn (distilled) with 64 factors." in done.stdout
    assert f"  recsys train --config {tmp_path / 'best.toml'}" in done.stdout
    assert out.read_text().splitlines()[1].split(",")[0].startswith("knn")
    best = read_config(tmp_path / "best.toml")
    assert best.chosen_model.name == "distilled"
    assert best.data.log == [str(sample)]
    assert "ends in .csv" in refused("compare", sample, "--out", tmp_path / "table.xls", code=2)


def test_advice_is_three_sentences_and_a_command_that_trains(sample: Path, tmp_path: Path) -> None:
    items = ("--items", sample.with_name("items.parquet"))
    asked = (*items, "--set", 'compare.models=["svd"]', "--set", "log.min_user_items=2", "-k", "10")
    done = run("advise", sample, *asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    what, _why, _beside, command = done.stdout.splitlines()
    assert what == "Train svd with 64 factors."
    program, *arguments = shlex.split(command)
    assert (program, *arguments[:2]) == ("recsys", "train", str(sample))
    assert shlex.join(map(str, items)) in command
    trained = run(*arguments, "--store", tmp_path / "store")
    assert trained.returncode == 0, trained.stderr
    plain = json.loads(run("advise", sample, *asked, "--json", cwd=tmp_path).stdout)["advice"]
    assert plain["command"] == command.strip()
    assert plain["model"]["name"] == "svd"


def test_compare_takes_it_all_from_a_config(sample: Path, tmp_path: Path) -> None:
    config = tmp_path / "compare.toml"
    config.write_text(
        f'[data]\nlog = "{sample}"\n[tune]\ntrials = 2\nfactors = 8\n'
        '[compare]\nmodels = ["svd", "als", "popularity"]\nbaseline = "svd"\nseeds = 2\n'
        "parameters.als = {iterations = 3}\n"
    )
    found = json.loads(run("compare", "--config", config, "--json").stdout)
    assert list(found["models"]) == ["svd", "als", "popularity"]
    assert [one["baseline"] for one in found["comparisons"]] == ["svd", "svd"]
    als = found["models"]["als"]
    assert len(als["seeds"]) == 2
    assert als["parameters"]["factors"] == 8
    assert als["parameters"]["iterations"] <= 3
    assert als["tuning_seconds"] > 0


def test_tune_writes_a_config_that_train_takes(sample: Path, tmp_path: Path) -> None:
    out, study = tmp_path / "tuned.toml", tmp_path / "study.sqlite"
    few = ("--trials", "4", "--factors", "8", "--model", "svd", "--out", out, "--study", study)
    done = run("tune", sample, *few)
    assert done.returncode == 0, done.stderr
    assert "svd: ndcg@20 on the validation part" in done.stdout
    assert f"written to {out}" in done.stderr
    again = json.loads(run("tune", sample, *few, "--json").stdout)
    assert len(again["trials"]["8"]) == 4
    store = tmp_path / "store"
    done = run("train", sample, "--config", out, "--store", store, "--json")
    assert done.returncode == 0, done.stderr
    published = json.loads(done.stdout)["model"]
    assert {"name": published["name"], **published["parameters"]} == again["model"]
    message = refused("tune", sample, "--model", "als", "--minutes", "0", code=2)
    assert "tune.minutes: expected more than 0" in message


def test_dimensions_prints_a_table_and_draws(sample: Path, tmp_path: Path) -> None:
    picture = tmp_path / "curve.svg"
    done = run("dimensions", sample, "--model", "als", "--factors", "4,2", "--out", picture)
    assert done.returncode == 0, done.stderr
    assert "ndcg@20" in done.stdout
    assert "\nknee: " in done.stdout
    assert f"drawn to {picture}" in done.stderr
    assert "</svg>" in picture.read_text()


def test_dimensions_as_json_is_the_whole_curve(sample: Path) -> None:
    done = run("dimensions", sample, "--model", "svd", "--factors", "2,8", "--json")
    curve = json.loads(done.stdout)
    assert curve["model"] == "svd"
    assert [point["factors"] for point in curve["points"]] == [2, 2, 2, 8, 8, 8]
    assert all(point["metrics"]["ndcg@20"] > 0 for point in curve["points"])


def test_dimensions_refuses_what_it_cannot_do_before_the_work(tmp_path: Path, sample: Path) -> None:
    assert "separated by commas" in refused("dimensions", sample, "--factors", "a", code=2)
    pdf = tmp_path / "curve.pdf"
    assert "curve.pdf" in refused("dimensions", sample, "--out", pdf, code=2)
    assert "got popularity" in refused("dimensions", sample, "--model", "popularity", code=2)
    config = tmp_path / "c.toml"
    config.write_text('[evaluation]\nsplit = "none"\n')
    assert "expected a way to split" in refused("dimensions", sample, "--config", config, code=2)


def test_dimensions_interrupted_keeps_what_was_measured(sample: Path) -> None:
    shown = on_a_terminal(
        *("dimensions", str(sample), "--model", "als", "--factors", "2,1500"),
        interrupt_at="1500 factors (2 of 2)",
        code=130,
    )
    assert "knee: 2 factors" in shown
    assert "interrupted" in shown


def test_datasets_are_listed_with_their_terms() -> None:
    rows = json.loads(run("datasets", "--json").stdout)
    assert {"ml-latest-small", "ml-20m"} <= {row["name"] for row in rows}
    assert all(row["terms"] and row["megabytes"] for row in rows)
    assert "did you mean 'ml-20m'" in refused("datasets", "ml20m")


def test_lines_of_progress_in_a_pipe_and_a_bar_on_a_terminal(
    few_users: Path, tmp_path: Path
) -> None:
    train = ["train", str(few_users), "--model", "als", "--store", str(tmp_path)]
    assert "fitting als" not in run(*train).stderr
    written = run(*train, RECSYS_PROGRESS_SECONDS="0").stderr
    assert re.search(r"^recsys: fitting als: 1 of 15, loss \S+ \(\d+ s\)$", written, re.MULTILINE)
    assert "a number of seconds" in refused(*train, code=2, RECSYS_PROGRESS_SECONDS="often")
    assert "fitting als" in on_a_terminal(*train)


def on_a_terminal(*arguments: str, interrupt_at: str | None = None, code: int = 0) -> str:
    """Run a command on a pseudo-terminal and return all it shows there.

    Once it shows the words to interrupt at, it is sent what Ctrl-C sends.
    """
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "recsys", *arguments],
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm"},
        # Who starts the tests in the background has them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
        if interrupt_at and interrupt_at.encode() in shown:
            process.send_signal(signal.SIGINT)
            interrupt_at = None
    os.close(master)
    assert process.wait() == code, shown.decode()
    return shown.decode()


@pytest.mark.parametrize("nasty", NASTY_IDS, ids=lambda value: value[:10])
def test_any_id_goes_all_the_way(tmp_path: Path, nasty: str) -> None:
    log = tmp_path / "log.parquet"
    ids = [nasty, "plain"]
    table = {"user_id": [u for u in ids for _ in ids], "item_id": ids * 2}
    pq.write_table(pa.table({key: value[:3] for key, value in table.items()}), log)
    config = tmp_path / "c.toml"
    config.write_text('[evaluation]\nsplit = "none"\n[model]\nregularization = 0.1\n')
    store = tmp_path / "store"
    assert run("train", log, "--config", config, "--store", store).returncode == 0
    done = run("recommend", "--json", "--store", store, "--", nasty)
    assert json.loads(done.stdout)["items"] == []  # seen everything
    found = json.loads(run("recommend", "plain", "--json", "--store", store).stdout)
    assert [item["item_id"] for item in found["items"]] == ["plain"]
    table_of_both = run("similar", "plain", "--store", store)
    assert table_of_both.returncode == 0
    if len(nasty) < 50:
        assert nasty in table_of_both.stdout


def test_k_of_zero_is_a_usage_error(store: Path) -> None:
    done = run("recommend", "u42", "-k", "0", "--store", store)
    assert done.returncode == 2
    assert "-k" in done.stderr


def test_k_above_the_catalogue_gives_what_there_is(store: Path) -> None:
    found = json.loads(
        run("recommend", "nobody", "-k", "100000", "--json", "--store", store).stdout
    )
    assert len(found["items"]) == 600


def test_bad_logs_are_one_clear_line(tmp_path: Path) -> None:
    missing = tmp_path / "none.parquet"
    assert "none.parquet" in refused("train", missing, "--store", tmp_path / "s")
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert "empty.csv" in refused("train", empty, "--store", tmp_path / "s")
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "folder" in refused("train", folder, "--store", tmp_path / "s")
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("x,y\n1,2\n")
    assert "user_id" in refused("train", wrong, "--store", tmp_path / "s")
    all_bad = tmp_path / "bad.csv"
    all_bad.write_text("user_id,item_id\n,2\n")
    line = refused("train", all_bad, "--store", tmp_path / "s")
    assert "empty user_id 1" in line
    (rejects_file,) = (tmp_path / "s" / "rejects").iterdir()
    rejects = pq.read_table(rejects_file)
    assert rejects["reason"].to_pylist() == ["empty user_id"]
    assert not (tmp_path / "s" / "CURRENT").exists()


def test_an_unwritable_store_is_found_before_the_work(sample: Path, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    assert str(in_the_way) in refused("train", sample, "--store", in_the_way / "store")
    assert str(in_the_way) in refused("train", sample, "--store", in_the_way)


def test_a_wrong_config_is_a_usage_error(tmp_path: Path, sample: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[model]\nfacters = 3\n")
    line = refused("train", sample, "--config", config, code=2)
    assert "model.facters" in line
    assert "did you mean 'model.factors'" in line
    assert "no log" in refused("train", code=2)
    assert "model: expected one of" in refused("train", sample, "--model", "svm", code=2)


def test_nothing_is_served_from_an_empty_store(tmp_path: Path) -> None:
    assert "train first" in refused("recommend", "u42", "--store", tmp_path / "none")
    assert "activate one" in refused("recommend", "u42", "--store", tmp_path)


def test_a_reader_that_stops_reading_is_no_error(store: Path) -> None:
    command = f"{sys.executable} -m recsys recommend u42 -k 500 --store {store} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.parametrize("module", PRELOADED)
def test_the_server_of_these_tests_preloads_what_is_there(module: str) -> None:
    import_module(module)  # it passes over what is not


def wide_commands(store: Path, log: Path, folder: Path) -> list[list[str | Path]]:
    few: list[str | Path] = ["--trials", "2", "--factors", "4"]
    return [
        ["evaluate", log, "--model=svd", "--items=data/sample/items.parquet", "--by=category"],
        ["recommend", "u42", "-k", "3", "--store", store],
        ["explain", "u42", "i9", "-k", "3", "--store", store],
        ["similar", "i7", "-k", "3", "--store", store],
        ["versions", "--store", store],
        ["status", "--store", store],
        ["prune", "--keep", "1", "--dry-run", "--store", store],
        ["tune", log, "--model", "blend", *few, "--out", folder / "tuned.toml"],
        ["compare", log, "--models", "svd,popularity", "--no-tune"],
        ["dimensions", log, "--model", "svd", "--factors", "2"],
        ["datasets"],
    ]


WITHOUT_VALUE = {"parent", "epochs", "tuning"}
"""Headings of columns that are empty here: a paragraph does not name them."""


def test_nothing_is_cut_off_in_a_pipe_or_in_80_columns(
    store: Path, few_users: Path, tmp_path: Path
) -> None:
    clock = re.compile(r"\d+ (?:s|min)\b|\b\d+\.\d\b|\d+ µs|\b\d+\b")  # times and memory differ
    for command in wide_commands(store, few_users, tmp_path):
        wide, narrow = run(*command, cwd=ROOT), run(*command, cwd=ROOT, COLUMNS="80")
        assert wide.stderr.count("Traceback") == narrow.stderr.count("Traceback") == 0
        assert "…" not in wide.stdout + narrow.stdout, command
        assert max(map(len, narrow.stdout.splitlines())) <= 80, command
        for printed in (wide.stdout, narrow.stdout):  # a pipe gets no lines, and no blanks at ends
            assert not re.search(r"[\u2500-\u259f]| $", printed, re.MULTILINE), command
        words = set(clock.sub("", wide.stdout).split()) - WITHOUT_VALUE
        folded = "".join(clock.sub("", narrow.stdout).split())
        for word in words:
            assert word in folded or not word.isalnum(), f"{command}: {word} is lost"


def interrupted(*arguments: str | Path, number: int, at: str, code: int) -> tuple[str, str]:
    """Run a command that is sent a signal once it writes a line of progress with some words."""
    done = interrupt(number, [at], *arguments, RECSYS_PROGRESS_SECONDS="0")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    _, _, after = done.stderr.partition(at)
    return done.stdout, after.partition("\n")[2]


def test_in_a_pipe_each_trial_and_model_has_a_line(few_users: Path, tmp_path: Path) -> None:
    few = ("--factors", "8", "--trials", "2", "--split", "random")
    done = run(
        "compare", few_users, "--models", "svd,popularity", *few, RECSYS_PROGRESS_SECONDS="99"
    )
    lines = [re.sub(r"0\.\d{4}|\d+ s", "#", line) for line in done.stderr.splitlines()[1:]]
    assert [line for line in lines if line.startswith("recsys: ")] == [
        "recsys: tuning svd: 1 of 2, 8 factors, last #, best # (#)",
        "recsys: tuning svd: 2 of 2, 8 factors, last #, best # (#)",
        "recsys: compared svd: ndcg@20 #, model 1 of 2",
        "recsys: tuning popularity: 1 of 1, last #, best # (#)",
        "recsys: compared popularity: ndcg@20 #, model 2 of 2",
    ]
    dimensions = ("dimensions", few_users, "--model", "svd", "--factors", "2,4")
    done = run(*dimensions, RECSYS_PROGRESS_SECONDS="99")
    assert "recsys: tried svd, 4 factors (2 of 2): ndcg@20 0." in done.stderr
    assert "recsys: " not in run(*dimensions).stderr  # it is "inf" here


def test_numbers_stay_whole_in_80_columns() -> None:
    from recsys.cli.output import Listing

    numbers = ["0.1234 ± 0.0567", "+0.1351, +0.1018 to +0.1669", "1,234,567.8"]
    for columns in range(1, 9):
        headings = ["model", *(f"a long heading {place}" for place in range(columns))]
        row = ["als", *(numbers[place % 3] for place in range(columns))]
        listing = Listing(headings, [row, row], left=["model"])
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(listing)
        text = console.export_text()
        for number in (part for one in row[1:] for part in re.split(r" ± |, | to ", one)):
            assert number in text
        assert max(map(len, text.splitlines())) <= 80


def test_a_list_shows_what_tells_of_its_items(capsys: pytest.CaptureFixture[str]) -> None:
    from recsys.cli.output import print_items

    about = {
        "column_3": "01-Jan-1996",
        "url": "http://us.imdb.com/M/title-exact?Toy",
        "authors": [{"author_id": "64"}],
        "address": "Elm St",
        "price": 18.990000000000002,
        "isbn": "",
        "title": "Toy Story",
        "genres": [["Comedy", "Drama"]],
    }
    found = SimpleNamespace(attributes=[about], title_column="title", listed=[("i1", 0.5)])
    found.reasons = found.reason_titles = (None,)
    found.boosts, found.are_pinned, found.are_new = (), (), [False]
    print_items(found, "for 7")
    shown = capsys.readouterr().out
    assert all(one in shown for one in ("Toy Story", "Comedy, Drama", "Elm St"))
    assert not any(one in shown for one in ("1996", "http", "author", "isbn"))


def test_titles_and_captions_are_not_broken_by_a_narrow_table() -> None:
    from recsys.cli.output import Listing, counted, difference_of

    title, caption = "for u42 · personal · version 20261120T020000Z-3f2a91bc", "two words " * 7
    console = Console(width=80, record=True, file=io.StringIO())
    found = "a sentence of words " * 20
    console.print(Listing(["", "n"], [["", 1]], title, caption=caption))
    first, *_, last = console.export_text().splitlines()
    assert (first.strip(), last.strip()) == (title, caption.strip())
    console = Console(width=100_000, record=True, file=io.StringIO())
    console.print(Listing(["check", "found"], [["a", found]], left=["found"], prose=["found"]))
    assert max(map(len, console.export_text().splitlines())) <= 120
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(Listing(["users\nitems"], [["800\n1,200"]], left=["users\nitems"]))
    assert "800 / 1,200" in console.export_text()
    assert difference_of(0.5, (-float("inf"), float("inf"))) == "+0.5000, no interval"
    assert counted(1, "user") == "1 user"


def test_what_is_below_popularity_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    def reached(value: float) -> EvaluationSummary:
        return EvaluationSummary(20, metrics={"ndcg@20": value})

    for own in (0.07, 0.09):
        metrics = {"als": reached(own), "popularity": reached(0.08)}
        config = {"gates": {"metric": "ndcg"}}
        made: Any = SimpleNamespace(
            evaluation=reached(own),
            metrics=metrics,
            config=config,
            model=SimpleNamespace(choice=None),
        )
        note_below_popularity(made)
        assert ("ndcg@20 0.0700 is below the 0.0800" in capsys.readouterr().err) == (own < 0.08)


def test_a_warning_of_a_log_is_not_said_again_with_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    app = import_module("recsys.cli.app")  # recsys.cli.app is the application
    log = tmp_path / "train.txt"
    log.write_text(
        "".join(
            " ".join([str(user), *map(str, range(100, 103 + user))]) + "\n" for user in range(9)
        )
    )
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", app._show_warning)
        app.read_logged(settings_from({"data": {"log": str(log)}}))
    said = capsys.readouterr().err
    assert said.count("assumed that each line is a user and then the items") == 1
    assert "63 rows read" in said


def test_tune_that_is_stopped_shows_what_it_has(
    few_users: Path, sample: Path, tmp_path: Path
) -> None:
    out, study = tmp_path / "tuned.toml", tmp_path / "study.db"
    tune = ["--model", "als", "--factors", "16", "--trials", "2000", "--out", out, "--study", study]
    shown, said = interrupted(
        "tune", few_users, *tune, number=signal.SIGTERM, at="tuning als: 3 of", code=143
    )
    assert "als: ndcg@20 on the validation part" in shown
    assert f"the same command goes on with the trials in {study}" in said
    assert "[model]" in out.read_text()
    shown, said = interrupted("tune", sample, *tune, number=signal.SIGINT, at="reading", code=130)
    assert shown == ""
    assert len(said.splitlines()) <= 2


def test_compare_that_is_stopped_shows_what_it_has(few_users: Path) -> None:
    few = ["--factors", "8", "--trials", "2000"]
    compare = ["compare", few_users, "--models", "popularity,svd,als", *few]
    shown, said = interrupted(*compare, number=signal.SIGINT, at="tuning svd: 2 of", code=130)
    assert "test part, against popularity" in shown
    assert "svd: ndcg@20 on the validation part" in shown
    assert "--models svd,als compares these" in said
    few = ["--no-tune", "--factors", "1500", "--seeds", "20"]
    compare = ["compare", few_users, "--models", "popularity,als", *few]
    shown, said = interrupted(*compare, number=signal.SIGTERM, at="fitting als: 2 of", code=143)
    assert "Means over 20 seeds" in shown
    assert "--models als compares these" in said


CONTROL = "\x1b[31m\x07\x9b2J\u202e"


def test_nothing_of_others_controls_the_terminal(tmp_path: Path) -> None:
    """Ids, titles, attributes, names of files and what is typed, by every command."""
    log, items, store = tmp_path / f"log{CONTROL}", tmp_path / "items.parquet", tmp_path / "store"
    log.mkdir()
    users = [f"{CONTROL}u{n % 12}" for n in range(200)] + [None]
    ids = [f"{CONTROL}i{n * n % 17}" for n in range(200)] + [CONTROL]
    pq.write_table(pa.table({"user_id": users, "item_id": ids}), log / f"{CONTROL}.parquet")
    attributes = {"item_id": ids[:17], "title": [f"{CONTROL}t"] * 17, f"{CONTROL}x": [CONTROL] * 17}
    pq.write_table(pa.table(attributes), items)
    config = tmp_path / "c.toml"
    name = json.dumps(str(log))
    config.write_text(
        f'[data]\nlog = {name}\nitems = "{items}"\n[model]\nname = "svd"\nfactors = 2\n'
        '[evaluation]\nsplit = "random"\nk = 5\n[gates]\nrefuse_above = 1000\n'
    )
    with_config: list[str | Path] = ["--config", config]
    user, item, of_store = f"{CONTROL}u1", f"{CONTROL}i1", ["--store", store]
    commands: list[tuple[int, list[str | Path]]] = [
        (0, ["train", *with_config, *of_store]),
        (1, ["train", log / "missing", *of_store]),
        (0, ["nightly", *with_config, *of_store]),
        (0, ["evaluate", *with_config, "--by", f"{CONTROL}x"]),
        (0, ["compare", *with_config, "--models", "svd,popularity", "--no-tune"]),
        (0, ["dimensions", *with_config, "--model", "svd", "--factors", "2"]),
        (0, ["tune", *with_config, "--trials", "1", "--factors", "2", "--out", log / "t.toml"]),
        (0, ["recommend", user, *of_store]),
        (0, ["recommend", user, "--json", *of_store]),
        (1, ["recommend", f"{CONTROL}nobody", "--on-unknown", "raise", *of_store]),
        (1, ["recommend", user, "--where", f"{CONTROL} = 1", *of_store]),
        (1, ["recommend", user, "--max-per", f"{CONTROL}:1", *of_store]),
        (0, ["recommend", user, "--exclude", f"{CONTROL}none", *of_store]),
        (0, ["explain", user, item, *of_store]),
        (1, ["explain", user, f"{CONTROL}none", *of_store]),
        (0, ["similar", item, *of_store]),
        (1, ["similar", f"{CONTROL}none", *of_store]),
        (0, ["batch", log / "lists", *of_store]),
        (0, ["versions", *of_store]),
        (0, ["drift", *of_store]),
        (0, ["verify", *of_store]),
        (0, ["status", *of_store]),
        (0, ["prune", "--keep", "1", "--dry-run", *of_store]),
        (0, ["export", "current", "--to", "projector", "--out", log / "exported", *of_store]),
        (1, ["versions", "--store", log / "none"]),
        (1, ["activate", f"{CONTROL}v", *of_store]),
    ]
    control = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")
    for code, command in commands:
        if command[0] == "nightly":  # which finds other users and items
            table = pa.table({"user_id": users[:90] * 3, "item_id": ids[70:160] * 3})
            pq.write_table(table, log / "more.parquet")
        done = run(*command)
        assert done.returncode == code, (command, done.stderr)
        assert "Traceback" not in done.stderr, command
        shown = done.stdout + done.stderr
        found = control.search(shown)
        assert found is None, (command, shown[max(0, found.start() - 50) :][:90])


def test_items_whose_ids_are_called_otherwise_are_read_once(tmp_path: Path) -> None:
    """The columns that are guessed hold for the table as it is in the file."""
    rows = "".join(f"{row % 12},{row % 7},5\n" for row in range(84))
    (tmp_path / "ratings.csv").write_text(f"userId,movieId,rating\n{rows}")
    titles = "".join(f"{row},Film {row}\n" for row in range(7))
    (tmp_path / "movies.csv").write_text(f"movieId,title\n{titles}")
    store = ("--store", tmp_path / "store", "--model", "popularity", "--split", "none")
    done = run("train", "ratings.csv", "--items", "movies.csv", *store, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lists = run("recommend", "1", "-k", "1", "--include-seen", "--store", tmp_path / "store")
    assert "Film " in lists.stdout


def test_the_command_that_is_printed_for_a_log_can_be_typed(tmp_path: Path) -> None:
    """What it asks for is what was guessed: the same rows, with the same weights."""
    rows = [f"c{n % 40},s{n % 7},{'cancel' if n % 9 == 0 else 'purchase'}" for n in range(400)]
    log = tmp_path / "sales.csv"
    log.write_text("customer_id,stock_code,event_type\n" + "\n".join(rows) + "\n")
    words = ["train", str(log), "--model", "svd", "--split", "none"]
    guessed = run(*words, "--store", str(tmp_path / "guessed"))
    (printed,) = [line for line in guessed.stderr.splitlines() if "recsys train" in line]
    typed = shlex.split(printed.partition("recsys ")[2].replace("guessed", "typed"))
    assert "cancel=0" in typed
    run(*typed)
    one, other = (versions(tmp_path / name)[0].manifest for name in ("guessed", "typed"))
    assert (one.data, one.space_id) == (other.data, other.space_id)
