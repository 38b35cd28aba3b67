"""How a night is reported: JSON lines, a textfile for Prometheus, MLflow, one screen."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recsys.errors import ConfigError, StoreError
from recsys.nightly import NightReport, StageReport, run_night
from recsys.nightly.journal import Journal
from recsys.nightly.run import now_of
from recsys.nightly.telemetry import exposition, track
from recsys.settings import NightlySettings
from tests.nightly.nights import journal_of, settings_of, write_days

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_days(tmp_path / "log")
    return tmp_path


def shown_on(terminal: int) -> str:
    """Everything that a terminal shows until nobody writes to it any more."""
    parts = []
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()


def test_every_line_of_the_journal_is_one_object(place: Path) -> None:
    report = run_night(settings_of(place))
    lines = journal_of(place)
    assert {line["run"] for line in lines} == {report.run}
    assert [line["event"] for line in lines][:3] == ["started", "started", "done"]
    (ingest,) = [line for line in lines if (line["stage"], line["event"]) == ("ingest", "done")]
    assert set(ingest) == {
        "time",
        "level",
        "run",
        "stage",
        "event",
        "seconds",
        "counts",
        "peak_bytes",
    }
    assert ingest["counts"]["events"] == 360
    assert ingest["peak_bytes"] > 10_000_000


def test_the_level_limits_what_is_logged(place: Path) -> None:
    run_night(settings_of(place, log_level="warning"))
    assert journal_of(place) == []


def test_a_line_that_a_full_disk_has_cut_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    path.write_text('{"event": "don')
    Journal(NightlySettings(log_file=str(path))).write("info", "started")
    cut, line = path.read_text().splitlines()
    assert cut == '{"event": "don'
    assert json.loads(line)["event"] == "started"


def test_a_log_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nightly\.log_file"):
        Journal(NightlySettings(log_file=str(tmp_path)))


def test_a_terminal_is_shown_stages_and_one_screen(place: Path) -> None:
    config = place / "night.toml"
    config.write_text('[data]\nlog = "log"\n[model]\nfactors = 4\n[nightly]\nstore = "store"\n')
    leader, follower = pty.openpty()
    # Under xdist $COLUMNS is 80, of no terminal here: stdout is a pipe, as wide as it needs.
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    night = subprocess.Popen(
        [sys.executable, "-m", "recsys", "nightly", "--config", str(config)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=follower,
        env={**env, "TERM": "xterm"},
    )
    os.close(follower)
    shown = shown_on(leader)
    out, _ = night.communicate(timeout=300)
    assert night.returncode == 0
    assert re.search(r"done  ingest +\d", shown)
    assert '"event"' not in shown  # the journal is for machines
    screen = out.decode().splitlines()
    assert len(screen) < 30
    assert re.match(r"published \S+, compared with no version before it, ", screen[-1])
    (page,) = (place / "store" / "runs").glob("*/report.html")
    assert "Report of version" in page.read_text(encoding="utf-8")


def test_the_textfile_is_what_prometheus_reads(place: Path) -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="no prometheus-client")
    path = place / "metrics" / "recsys.prom"
    settings = settings_of(place, metrics_file=str(path))
    run_night(settings)
    report = run_night(settings)
    families = {f.name: f for f in parser.text_string_to_metric_families(path.read_text())}
    assert all(family.documentation for family in families.values())
    assert families["recsys_nightly_runs"].type == "counter"

    def value(name: str, **labels: str) -> float:
        (found,) = (
            sample.value
            for family in families.values()
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        )
        return found

    assert value("recsys_nightly_runs_total", result="done") == 2
    assert value("recsys_nightly_success") == 1
    assert value("recsys_nightly_log", count="events") == 360
    newest = pq.read_table(place / "log")["timestamp"].to_numpy().max()
    assert value("recsys_log_newest_event_timestamp_seconds") == newest
    ndcg = report.metrics["als"]["metrics"]["ndcg@5"]
    assert value("recsys_evaluation", model="als", metric="ndcg@5") == ndcg
    assert value("recsys_version_info", version=str(report.version)) == 1
    assert [file.name for file in path.parent.iterdir()] == ["recsys.prom"]


def test_a_night_that_failed_is_reported_too(place: Path) -> None:
    path = place / "recsys.prom"
    settings = settings_of(place, metrics_file=str(path))
    run_night(settings)
    good = re.search(r"last_success_timestamp_seconds \d.*", path.read_text())
    assert good is not None
    (place / "log" / "day0.parquet").write_bytes(b"no parquet")
    with pytest.raises(ValueError, match="day0"):
        run_night(settings)
    text = path.read_text()
    assert "recsys_nightly_success 0.0\n" in text
    assert 'recsys_nightly_runs_total{result="failed"} 1.0\n' in text
    assert good[0] in text


def test_names_of_others_are_escaped() -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="no prometheus-client")
    odd = 'a "b"\\n\n{}'
    evaluation = {"metrics": {odd: 0.5, "inf": float("inf")}}
    stage = StageReport("evaluate", "done", 1.0, facts={"metrics": {odd: evaluation}})
    text = exposition(NightReport("r", "s", stages=[stage]), {})
    (family,) = (
        family
        for family in parser.text_string_to_metric_families(text)
        if family.name == "recsys_evaluation"
    )
    assert family.samples[0].labels == {"model": odd, "metric": odd}
    assert family.samples[1].value == float("inf")


def test_the_clock_does_not_go_back(place: Path) -> None:
    """A version and a run of later than now: as after a clock that was set back."""
    report = run_night(settings_of(place))
    later = "20990101T000000Z"
    versions, runs = place / "store" / "versions", place / "store" / "runs"
    (versions / str(report.version)).rename(versions / f"{later}-00000000")
    (runs / report.run).rename(runs / later)
    assert now_of(place / "store") == 4_070_908_801
    again = run_night(settings_of(place))
    assert again.run == "20990101T000001Z"
    assert again.version is not None
    assert again.version.startswith("20990101T000001Z-")


@pytest.mark.skipif(find_spec("mlflow") is not None, reason="MLflow is installed")
def test_mlflow_that_is_not_there_is_found_out_before_the_training(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"recsys-engine\[mlflow\]"):
        run_night(settings_of(place, mlflow="http://127.0.0.1:1"))
    assert "train" not in [line["stage"] for line in journal_of(place)]


@pytest.fixture
def tracking_server(tmp_path: Path) -> Iterator[str]:
    """The address of an MLflow server that runs here."""
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    program = ROOT / ".venv-peers" / "bin" / "mlflow"
    if not program.exists():
        pytest.skip("no MLflow server: `make peers` installs it, and `make test` before the tests")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    places = ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    places += ["--artifacts-destination", str(tmp_path / "artifacts")]
    server = subprocess.Popen(
        [program, "server", *places, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )
    assert server.stdout is not None
    lines = []
    for line in server.stdout:
        lines.append(line)
        if "startup complete" in line:
            break
    else:
        pytest.fail("".join(lines))
    yield f"http://127.0.0.1:{port}"
    os.killpg(server.pid, signal.SIGKILL)  # the workers, too
    server.communicate()


def test_mlflow_gets_parameters_and_metrics(place: Path, tracking_server: str) -> None:
    from mlflow import MlflowClient

    settings = settings_of(place, mlflow=tracking_server, mlflow_experiment="nights")
    report = run_night(settings)
    assert [line for line in journal_of(place) if line["event"] == "not tracked"] == []
    assert track(settings, report) is None  # as after a kill between the report and the end
    client = MlflowClient(tracking_server)
    (run,) = client.search_runs([client.get_experiment_by_name("nights").experiment_id])
    assert run.data.params["factors"] == "4"
    assert run.data.tags["recsys.version"] == report.version
    ndcg = report.metrics["als"]["metrics"]["ndcg@5"]
    assert run.data.metrics["als/ndcg_at_5"] == pytest.approx(ndcg)
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["report.json"]


def test_a_tracking_server_that_is_away_stops_no_night(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings = settings_of(place)
    nightly = replace(settings.nightly, mlflow="http://127.0.0.1:9")
    report = run_night(replace(settings, nightly=nightly))
    assert report.result == "done"
    assert [line["level"] for line in journal_of(place) if line["event"] == "not tracked"] == [
        "warning"
    ]
