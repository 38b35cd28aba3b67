"""The night: stages that run once, whatever comes between them."""

import errno
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recsys
from recsys.base.durable import errors_of_writing, replace_text
from recsys.config import settings_from
from recsys.errors import DataError, GateFailedError, StoreError
from recsys.nightly import run_night
from recsys.nightly.run import Finished, Run, unfinished_run
from recsys.store import activate, current, find_version, rollback, verify, versions
from tests.command_line import interrupt, run, run_program
from tests.nightly.nights import journal_of, settings_of, stages_of, tables_of, write_days

ROOT = Path(__file__).parents[2]
WORK = [
    "ingest",
    "validate",
    "choose",
    "train",
    "evaluate",
    "align",
    "index",
    "gates",
    "publish",
    "prune",
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_days(tmp_path / "log")
    return tmp_path


def without_titles(place: Path):
    """Settings of a night that fails after ingest, until ``items.parquet`` is there."""
    tables = tables_of(place)
    tables["data"]["items"] = str(place / "items.parquet")
    return settings_from(tables)


def write_titles(place: Path) -> None:
    ids = [f"i{row}" for row in range(40)]
    pq.write_table(pa.table({"item_id": ids, "title": ids}), place / "items.parquet")


def test_a_night_publishes_a_version_that_answers(place: Path) -> None:
    report = run_night(settings_of(place))
    assert report.result == "done"
    assert [stage.name for stage in report.stages] == ["lock", *WORK, "report"]
    found = recsys.open(place / "store")
    assert found.version == report.version == verify(place / "store").name
    # u5's taste is the items whose number is 1 modulo 4
    assert [int(str(item_id)[1:]) % 4 for item_id, _ in found.recommend("u5", k=4)] == [1] * 4


@pytest.mark.parametrize("model", ["als", "distilled"])  # the second has a second table of items
def test_a_night_publishes_what_train_publishes(place: Path, model: str) -> None:
    tables = tables_of(place)
    tables["model"] = {"name": model, "factors": 4, "iterations": 3}
    settings = settings_from(tables)
    run_night(settings)
    night = find_version(place / "store").manifest
    trained = recsys.train(
        recsys.read_log(place / "log"), place / "other", settings=settings
    ).manifest
    assert night.metrics == trained.metrics
    assert night.model == trained.model
    assert {n: f.sha256 for n, f in night.files.items()} == {
        n: f.sha256 for n, f in trained.files.items()
    }


def test_the_second_night_starts_from_the_first(place: Path) -> None:
    first = run_night(settings_of(place))
    second = run_night(settings_of(place, warm_iterations=1))
    assert first.facts("train")["start"] == "cold"
    assert second.facts("train")["start"] == "warm"
    manifest = find_version(place / "store").manifest
    assert manifest.parent == first.version
    assert manifest.model.parameters["iterations"] == 1
    # What it is tested as is another fit: the first version has seen tonight's test part.
    assert second.metrics == first.metrics
    assert run_night(settings_of(place, warm_start=False)).facts("train")["start"] == "cold"


def test_an_idle_night_keeps_the_current_version(place: Path) -> None:
    """Nothing new to read: nothing is trained or published, and no old version is pruned for it."""
    write_titles(place)
    tables = tables_of(place, reuse_unchanged=True, keep=2)
    tables["data"]["items"] = str(place / "items.parquet")
    settings = settings_from(tables)
    first = run_night(settings)
    (place / "log" / "day2.parquet").rename(place / "aside.parquet")
    second = run_night(replace(settings, gates=replace(settings.gates, enabled=False)))
    assert second.version != first.version
    for _ in range(4):
        idle = run_night(settings)
        assert (idle.version, idle.is_idle, idle.result) == (second.version, True, "done")
        assert {stages_of(idle)[name] for name in ("train", "index", "publish")} == {"left out"}
    assert [one.name for one in versions(place / "store")] == [second.version, first.version]
    assert current(place / "store") == second.version


def test_what_is_new_to_a_night(place: Path) -> None:
    """Each alone: events, attributes, a setting, another current version, a damaged one."""
    write_titles(place)
    tables = tables_of(place, reuse_unchanged=True)
    tables["data"]["items"] = str(place / "items.parquet")
    tables["gates"] = {"enabled": False}
    settings = settings_from(tables)
    store = place / "store"
    run_night(settings)
    assert run_night(settings).is_idle
    longer = replace(settings, evaluation=replace(settings.evaluation, k=4))
    assert not run_night(longer).is_idle
    assert not run_night(settings).is_idle
    ids = [f"i{row}" for row in range(40)]
    pq.write_table(pa.table({"item_id": ids, "title": ids[::-1]}), place / "items.parquet")
    assert not run_night(settings).is_idle
    assert run_night(settings).is_idle
    (place / "log" / "day2.parquet").unlink()
    assert not run_night(settings).is_idle
    assert rollback(store).name != versions(store)[0].name
    assert not run_night(settings).is_idle
    (find_version(store).folder / "serving/items/embeddings.npy").unlink()
    assert not run_night(settings).is_idle
    assert run_night(settings).is_idle


def test_a_damaged_parent_is_left_aside(place: Path) -> None:
    first = run_night(settings_of(place))
    (find_version(place / "store").folder / "serving/items/embeddings.npy").unlink()
    second = run_night(settings_of(place))
    assert second.facts("train")["start"] == "cold"
    assert current(place / "store") == second.version != first.version
    (warning,) = [line for line in journal_of(place) if line["event"] == "parent left aside"]
    assert "embeddings.npy" in warning["error"]
    (sentence,) = second.warnings
    assert sentence.startswith(f"passed over {first.version}: ")
    assert sentence in [line.get("sentence") for line in journal_of(place)]


def test_finished_stages_are_reused_after_an_error(place: Path) -> None:
    settings = without_titles(place)
    with pytest.raises(DataError, match=r"items\.parquet"):
        run_night(settings)
    failed = journal_of(place)[-1]
    assert (failed["event"], failed["level"]) == ("failed", "error")
    write_titles(place)
    report = run_night(settings)
    assert stages_of(report)["ingest"] == "reused"
    assert stages_of(report)["train"] == "done"
    assert report.run == failed["run"]
    assert run_night(settings).run > report.run


def test_a_rollback_between_a_crash_and_the_next_start_holds(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, store = settings_of(place), place / "store"
    first = run_night(settings)
    finish = Run.finish

    def die_at_publish(run: Run, stage: str, finished: Finished) -> None:
        if stage == "publish":  # the version is current, and the run does not know it
            raise RuntimeError("died")
        finish(run, stage, finished)

    monkeypatch.setattr(Run, "finish", die_at_publish)
    with pytest.raises(RuntimeError, match="died"):
        run_night(settings)
    monkeypatch.undo()
    crashed = current(store)
    assert rollback(store).name == first.version != crashed
    assert run_night(settings).version == crashed
    assert current(store) == first.version
    assert len(versions(store)) == 2


def test_what_another_release_left_is_done_again(place: Path) -> None:
    """A key of another form is another key: the stage is done again, in the same run."""
    settings = without_titles(place)
    with pytest.raises(DataError):
        run_night(settings)
    begun, _ = unfinished_run(place / "store")
    assert begun is not None
    begun.finish("ingest", replace(begun.stages["ingest"], key="of another release"))
    write_titles(place)
    report = run_night(settings)
    assert report.run == begun.name
    assert stages_of(report)["ingest"] == "done"


def test_changed_input_is_not_reused(place: Path) -> None:
    settings = without_titles(place)
    with pytest.raises(DataError):
        run_night(settings)
    write_titles(place)
    (place / "log" / "day2.parquet").unlink()
    report = run_night(settings)
    assert stages_of(report)["ingest"] == "done"
    assert report.facts("ingest")["events"] == 240


def test_changed_settings_are_not_reused(place: Path) -> None:
    settings = without_titles(place)
    with pytest.raises(DataError):
        run_night(settings)
    write_titles(place)
    report = run_night(replace(settings, log=replace(settings.log, until="2023-11-20")))
    assert stages_of(report)["ingest"] == "done"


@pytest.mark.parametrize("damage", ["flip", "truncate", "unlink"])
def test_a_damaged_output_is_made_again(place: Path, damage: str) -> None:
    settings = without_titles(place)
    with pytest.raises(DataError):
        run_night(settings)
    write_titles(place)
    (path,) = (place / "store" / "runs").glob("*/ingest/events.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage != "unlink":
        path.write_bytes(content if damage == "flip" else content[:-1])
    assert stages_of(run_night(settings))["ingest"] == "done"
    assert str(path) in [line.get("file") for line in journal_of(place)]


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00", b'{"now": 1}'])
def test_a_damaged_state_starts_a_new_run(place: Path, content: bytes) -> None:
    settings = without_titles(place)
    with pytest.raises(DataError):
        run_night(settings)
    write_titles(place)
    (path,) = (place / "store" / "runs").glob("*/state.json")
    path.write_bytes(content)
    report = run_night(settings)
    assert report.run > path.parent.name
    assert stages_of(report)["ingest"] == "done"
    assert str(path) in [line.get("file") for line in journal_of(place)]


def test_a_version_published_meanwhile_is_the_new_start(place: Path) -> None:
    """A run begun on one parent does not go on from it when another one has become current."""
    run_night(settings_of(place))
    settings = without_titles(place)
    with pytest.raises(DataError):
        run_night(settings)
    other = recsys.train(
        recsys.read_log(place / "log"), place / "store", settings=settings_of(place)
    )
    write_titles(place)
    run_night(settings)
    assert find_version(place / "store").manifest.parent == other.name


def test_a_refused_version_ends_the_run(place: Path) -> None:
    # A forest of one tree that may look at one node cannot find the best items of 3,000.
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 200, 20_000), rng.integers(0, 3000, 20_000)
    pq.write_table(pa.table({"user_id": users, "item_id": items}), place / "log" / "day0.parquet")
    for other in (1, 2):
        (place / "log" / f"day{other}.parquet").unlink()
    tables = tables_of(place)
    tables["evaluation"] = {"split": "none"}
    tables["index"] = {"kind": "annoy", "trees": 1, "max_search_k": 1, "target_recall": 1.0}
    tables["model"] = {"factors": 32, "iterations": 2, "regularization": 0.1}
    with pytest.raises(GateFailedError, match="recall@20"):
        run_night(settings_from(tables))
    assert journal_of(place)[-1]["event"] == "refused"
    assert versions(place / "store") == []
    tables["index"] = {"kind": "exact"}
    assert stages_of(run_night(settings_from(tables)))["ingest"] == "done"


def test_old_runs_and_outputs_go(place: Path) -> None:
    runs = [run_night(settings_of(place, keep_runs=2)).run for _ in range(4)]
    folder = place / "store" / "runs"
    kept = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert kept == runs[2:]
    for name in runs[2:]:
        assert {path.name for path in (folder / name).iterdir()} == {"state.json", "report.json"}
    assert json.loads((folder / runs[3] / "report.json").read_text())["result"] == "done"


def test_what_another_user_has_left_among_the_runs_stops_no_night(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_night(settings_of(place, keep_runs=1)).run
    runs = place / "store" / "runs"
    (runs / "20991231T000000Z").write_text("a file named as a run")
    (runs / "20991231T000001Z").symlink_to(runs / first)
    protected, rmtree = runs / first, shutil.rmtree

    def refusing(path: Path, *arguments: object, **options: object) -> None:
        if Path(path) == protected:  # as of a user who may not, which root may
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        rmtree(path, *arguments, **options)

    monkeypatch.setattr(shutil, "rmtree", refusing)
    report = run_night(settings_of(place, keep_runs=1))
    assert report.result == "done"
    warned = [line["sentence"] for line in journal_of(place) if line["event"] == "warned"]
    assert any(f"{protected}: cannot be deleted" in sentence for sentence in warned)
    assert protected.is_dir()


def test_a_version_that_this_user_may_not_read_stops_no_night(place: Path) -> None:
    """Published by another user; not the current one, which no night goes on without."""
    for _ in range(3):
        run_night(settings_of(place))
    *_, current_one = names = [version.name for version in versions(place / "store")[::-1]]
    program = (
        "import warnings; from pathlib import Path; from recsys.nightly import run_night\n"
        "from tests.faults.harness import drop_capabilities\n"
        "from tests.nightly.nights import settings_of\n"
        "warnings.simplefilter('default'); drop_capabilities()\n"
        f"run_night(settings_of(Path({str(place)!r})))"
    )
    for name, refused in ((names[1], False), (current_one, True)):
        manifest = place / "store" / "versions" / name / "manifest.json"
        manifest.chmod(0o000)
        done = run_program(program, name="night", cwd=ROOT)
        manifest.chmod(0o444)
        assert done.returncode == refused, done.stderr
        activate(place / "store", current_one)
    assert "cannot be read now: Permission denied (EACCES); grant this user" in done.stderr


def test_a_folder_in_the_place_of_a_file_of_the_store_is_named(place: Path) -> None:
    lock = place / "store" / ".nightly.lock"
    lock.mkdir(parents=True)
    with pytest.raises(StoreError, match=f"lock it for the night, got 'Is a directory' at {lock}"):
        run_night(settings_of(place))
    lock.rmdir()
    lock.symlink_to("/dev/full")  # stands for a disk without a byte
    with pytest.raises(StoreError, match="lock it for the night, got 'No space left on device'"):
        run_night(settings_of(place))
    (place / "CURRENT").mkdir()
    blocked = pytest.raises(StoreError, match=r"current, got 'Is a directory' at \S*CURRENT;")
    with blocked, errors_of_writing(place, "make v current"):
        replace_text(place / "CURRENT", "v")


def test_the_second_of_two_nights_refuses(place: Path) -> None:
    (place / "store").mkdir()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from recsys.nightly.night import only_night\n"
            "with only_night(Path(sys.argv[1])): print(flush=True); sys.stdin.read()",
            str(place / "store"),
        ],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(StoreError, match=f"no other night.*process {holder.pid}"):
        run_night(settings_of(place))
    assert journal_of(place)[-1]["event"] == "refused"
    holder.kill()
    holder.communicate()
    assert run_night(settings_of(place)).result == "done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stage", ["train", "publish"])
def test_a_signal_stops_the_night_and_the_next_goes_on(
    place: Path, number: signal.Signals, stage: str
) -> None:
    config = place / "night.toml"
    config.write_text(
        '[data]\nlog = "log"\n[model]\nfactors = 4\n[index]\nkind = "exact"\n'
        '[nightly]\nstore = "store"\nlog_level = "debug"\n'
    )
    command = ["nightly", "--config", str(config), "--json"]
    has_begun = [f'"stage": "{stage}"', '"event": "started"']
    night = interrupt(number, has_begun, *command, cwd=ROOT)
    assert night.returncode == 128 + number
    first, *_, stopped, sentence = night.stderr.splitlines()  # a pipe gets the journal
    assert json.loads(stopped)["event"] == "stopped"
    assert sentence == (
        f"recsys: stopped by {number.name}; the next start goes on where this one was"
    )
    done = run(*command)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["run"] == json.loads(first)["run"]
    by_name = {one["name"]: one["status"] for one in report["stages"]}
    assert by_name["ingest"] == "reused"
    assert len(versions(place / "store")) == 1
    assert current(place / "store") == report["version"]


def test_a_night_keeps_the_choice_of_the_current_version_until_it_loses(place: Path) -> None:
    tables = tables_of(place)
    del tables["model"]
    # Below the items of a taste, scores are zeros that are rounded: who is in lists is chance.
    tables["gates"] = {"off": ["list_gini"]}
    settings = settings_from(tables)
    first = run_night(settings)
    assert first.facts("choose")["source"] == "tonight"
    second = run_night(settings)
    assert second.facts("choose")["source"] == first.version
    assert second.facts("choose")["choice"] == first.facts("choose")["choice"]
    assert find_version(place / "store").manifest.model.choice is not None
    good = {path: path.read_bytes() for path in (place / "log").iterdir()}
    for path in good:  # items of nobody's taste
        table = pq.read_table(path)
        shuffled = np.random.default_rng(0).permutation(table.num_rows)
        item_idx = table.column_names.index("item_id")
        pq.write_table(table.set_column(item_idx, "item_id", table["item_id"].take(shuffled)), path)
    with pytest.raises(GateFailedError, match="as_good_as_current"):
        run_night(settings)
    for path, content in good.items():
        path.write_bytes(content)
    assert run_night(settings).facts("choose")["source"] == "tonight"


@pytest.mark.parametrize("command", ["train", "nightly"])
def test_a_refusal_names_the_new_file_that_is_bad(place: Path, command: str) -> None:
    """A file that is too bad by itself, and one that the gate of rejected rows finds."""
    config = place / "config.toml"
    text = (
        f'[data]\nlog = "{place}/log"\n[model]\nfactors = 4\niterations = 3\n[index]\n'
        f'kind = "exact"\n[evaluation]\nsplit = "none"\n[nightly]\nstore = "{place}/store"\n'
        "[gates.limits]\nrejected_share = 0.001\n[log]\nmax_rejected_share = "
    )
    config.write_text(f"{text}0.01\n")
    arguments = [command, "--config", config, "--store", place / "store"]
    assert run(*arguments).returncode == 0
    first = current(place / "store")
    newest = pq.read_table(place / "log" / "day2.parquet")
    users = newest["user_id"].to_pylist()
    users[:20] = [None] * 20
    bad = newest.set_column(0, "user_id", pa.array(users))
    pq.write_table(pa.concat_tables([newest] * 30), place / "log" / "day0.parquet")
    pq.write_table(bad, place / "log" / "day3.parquet")
    done = run(*arguments)
    line = done.stderr.splitlines()[-1]
    counts = f"{place}/log/day3.parquet: more rows are unusable than log.max_rejected_share = 0.01"
    assert done.returncode == 1
    assert counts in line
    assert "empty user_id 20" in line
    config.write_text(f"{text}0.5\n")
    done = run(*arguments)
    assert done.returncode == 1
    reason = next(part for part in done.stderr.splitlines() if "rejected_share 0" in part)
    assert f"most in {place}/log/day3.parquet 20 of {len(bad)} (empty user_id 20)" in reason
    assert f"of files {place}/log/day0.parquet +" in done.stderr
    assert current(place / "store") == first
