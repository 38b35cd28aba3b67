"""The metrics of a night as a textfile for Prometheus.

The text exposition format, version 0.0.4: ``# HELP``, ``# TYPE`` and samples, a family at a time. A
night is over when it is scraped, so counters and the time of the last success live in a small file
of the store.
"""

import json
import math
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from recsys.base.durable import errors_of_writing, replace_text
from recsys.nightly.guards import RUNS
from recsys.nightly.report import NightReport

TOTALS = "totals.json"

Sample = tuple[Mapping[str, str], float]


@dataclass
class Family:
    """One metric and its samples."""

    name: str
    type: Literal["gauge", "counter"]
    help: str
    samples: list[Sample] = field(default_factory=list)

    def __str__(self) -> str:
        head = f"# HELP {self.name} {_escaped(self.help)}\n# TYPE {self.name} {self.type}\n"
        return head + "".join(
            f"{self.name}{_labels(labels)} {_number(value)}\n" for labels, value in self.samples
        )


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
    families = [*_of_run(report, totals), *_of_stages(report), *_of_model(report)]
    return "".join(str(family) for family in families if family.samples)


def _of_run(report: NightReport, totals: Mapping[str, float]) -> Iterable[Family]:
    yield Family(
        "recsys_nightly_runs_total",
        "counter",
        "Nights that came to an end, by result.",
        [
            ({"result": result}, totals.get(result, 0))
            for result in ("done", "refused", "failed", "stopped")
        ],
    )
    name = "recsys_nightly_success"
    succeeded = float(report.result == "done")
    yield Family(name, "gauge", "1 if the last night was done, else 0.", [({}, succeeded)])
    name = "recsys_nightly_seconds"
    yield Family(name, "gauge", "Duration of the last night.", [({}, report.seconds)])
    if "last_success" in totals:
        name = "recsys_nightly_last_success_timestamp_seconds"
        help_ = "When a night was last done, in seconds since 1970."
        yield Family(name, "gauge", help_, [({}, totals["last_success"])])


def _of_stages(report: NightReport) -> Iterable[Family]:
    done = [stage for stage in report.stages if stage.status == "done"]
    yield Family(
        "recsys_nightly_stage_seconds",
        "gauge",
        "Duration of each stage that was done.",
        [({"stage": stage.name}, stage.seconds) for stage in done],
    )
    yield Family(
        "recsys_nightly_stage_peak_memory_bytes",
        "gauge",
        "Most memory that the process held during each stage.",
        [({"stage": s.name}, float(s.peak_bytes)) for s in done if s.peak_bytes is not None],
    )
    yield Family(
        "recsys_nightly_log",
        "gauge",
        "What was read: events, users, items, rows_read, rejected, files_read, files_reused.",
        [
            ({"count": name}, float(value))
            for name, value in report.facts("ingest").items()
            if isinstance(value, int)
        ],
    )
    newest = report.facts("ingest").get("newest_event")
    if newest is not None:
        name = "recsys_log_newest_event_timestamp_seconds"
        help_ = "Time of the newest event of the log, in seconds since 1970."
        yield Family(name, "gauge", help_, [({}, datetime.fromisoformat(newest).timestamp())])


def _of_model(report: NightReport) -> Iterable[Family]:
    if report.version is not None:
        name, help_ = "recsys_version_info", "The version that the last night published."
        yield Family(name, "gauge", help_, [({"version": report.version}, 1.0)])
    yield Family(
        "recsys_evaluation",
        "gauge",
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


def _labels(labels: Mapping[str, str]) -> str:
    shown = ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels.items())
    return f"{{{shown}}}" if shown else ""


def _escaped(text: str, *, quotes: bool = False) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return escaped.replace('"', r"\"") if quotes else escaped


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
