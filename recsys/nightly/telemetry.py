"""What monitors are told of a night: metrics in a textfile for Prometheus, a run on MLflow.

A night is over when it is scraped, so counters and the time of the last success live in a small
file of the store.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import get_args

from recsys.base.durable import errors_of_writing, replace_text
from recsys.base.environment import extra, missing_package
from recsys.base.exposition import family, gauge
from recsys.config import Settings
from recsys.models import flat
from recsys.nightly.report import NightReport, Result
from recsys.store.nights import RUNS

TOTALS = "totals.json"


def write_metrics(path: str | None, store: Path, report: NightReport) -> None:
    """Count a night in the store, and replace the textfile if there is a path for one."""
    totals = _counted(store / RUNS / TOTALS, report)
    if path is None:
        return
    file = Path(path)
    with errors_of_writing(file.parent, "write the metrics"):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace_text(file, exposition(report, totals).removesuffix("\n"))


def exposition(report: NightReport, totals: Mapping[str, float]) -> str:
    """Return the metrics of a night in the text exposition format."""
    return "".join((*_of_run(report, totals), *_of_stages(report), *_of_model(report)))


def _of_run(report: NightReport, totals: Mapping[str, float]) -> Iterator[str]:
    results = [name for name in get_args(Result) if name != "running"]
    yield family(
        "recsys_nightly_runs_total",
        "Nights that came to an end, by result.",
        [({"result": result}, totals.get(result, 0)) for result in results],
        type_="counter",
    )
    succeeded = float(report.result == "done")
    yield gauge("recsys_nightly_success", "1 if the last night was done, else 0.", succeeded)
    yield gauge("recsys_nightly_seconds", "Duration of the last night.", report.seconds)
    yield gauge(
        "recsys_nightly_last_success_timestamp_seconds",
        "When a night was last done, in seconds since 1970.",
        totals.get("last_success"),
    )


def _of_stages(report: NightReport) -> Iterator[str]:
    done = [stage for stage in report.stages if stage.status == "done"]
    yield family(
        "recsys_nightly_stage_seconds",
        "Duration of each stage that was done.",
        [({"stage": stage.name}, stage.seconds) for stage in done],
    )
    yield family(
        "recsys_nightly_stage_peak_memory_bytes",
        "Most memory that the process held during each stage.",
        [({"stage": s.name}, float(s.peak_bytes)) for s in done if s.peak_bytes is not None],
    )
    yield family(
        "recsys_nightly_log",
        "What was read: events, users, items, rows_read, rejected, files_read, files_reused.",
        [
            ({"count": name}, float(value))
            for name, value in report.facts("ingest").items()
            if isinstance(value, int)
        ],
    )
    newest = report.facts("ingest").get("newest_event")
    yield gauge(
        "recsys_log_newest_event_timestamp_seconds",
        "Time of the newest event of the log, in seconds since 1970.",
        None if newest is None else datetime.fromisoformat(newest).timestamp(),
    )


def _of_model(report: NightReport) -> Iterator[str]:
    yield family(
        "recsys_version_info",
        "The version that the last night published.",
        [] if report.version is None else [({"version": report.version}, 1.0)],
    )
    yield family(
        "recsys_evaluation",
        "Metrics of each model on the part of the log held out.",
        [
            ({"model": model, "metric": metric}, value)
            for model, found in report.metrics.items()
            for metric, value in found["metrics"].items()
        ],
    )


def _counted(path: Path, report: NightReport) -> dict[str, float]:
    """Count a night, and return the counts so far."""
    totals: dict[str, float] = {}
    with suppress(OSError, ValueError, TypeError):  # a counter that starts anew is no harm
        totals = {str(k): float(v) for k, v in json.loads(path.read_bytes()).items()}
    totals[report.result] = totals.get(report.result, 0) + 1
    if report.result == "done":
        totals["last_success"] = time.time()
    replace_text(path, json.dumps(totals))
    return totals


def require_mlflow() -> ModuleType:
    """Import MLflow."""
    # A server that is down must not hold up the night: three tries, not the default of minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout is --json's
    try:
        import mlflow
    except ImportError as error:
        raise missing_package(
            "nightly.mlflow", "mlflow", extra("mlflow"), "leave the setting out"
        ) from error
    module: ModuleType = mlflow
    return module


def track(settings: Settings, report: NightReport) -> str | None:
    """Record a night on the tracking server of the settings; return why it failed, if it did."""
    mlflow = require_mlflow()
    try:
        mlflow.set_tracking_uri(settings.nightly.mlflow)
        mlflow.set_experiment(settings.nightly.mlflow_experiment)
        known = mlflow.search_runs(
            filter_string=f"tags.`recsys.run` = '{report.run}'", output_format="list"
        )
        # A night that was killed after it was recorded is one night all the same.
        known_id = known[0].info.run_id if known else None
        with mlflow.start_run(run_id=known_id, run_name=None if known else report.run):
            if not known:
                mlflow.log_params(flat(report.facts("choose").get("model", {})))
            mlflow.log_metrics(_metrics(report))
            mlflow.set_tags({"recsys.run": report.run, "recsys.version": report.version or ""})
            mlflow.log_dict(report.to_dict(), "report.json")
    except Exception as error:  # whatever a network, a server or its client raises
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None


def _metrics(report: NightReport) -> dict[str, float]:
    """Return the numbers of a night by names that MLflow takes."""
    found = {f"seconds/{stage.name}": stage.seconds for stage in report.stages}
    for model, evaluation in report.metrics.items():
        for name, value in evaluation["metrics"].items():
            found[f"{model}/{name.replace('@', '_at_')}"] = value
    counts = {f"log/{k}": v for k, v in report.facts("ingest").items() if isinstance(v, int)}
    return found | counts
