"""Reports a night: to its journal, a terminal, report.json, Prometheus and MLflow."""

import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from recsys.base.durable import replace_text
from recsys.base.errors import GateFailedError
from recsys.base.stopping import StoppedError
from recsys.config import Settings
from recsys.nightly.journal import Journal
from recsys.nightly.prometheus import write_metrics
from recsys.nightly.report import NightReport, Outcome, StageReport
from recsys.nightly.run import Run
from recsys.store.manifest import plain

REPORT = "report.json"


class Reporter:
    """Collects what the stages did, and writes it to every place that the settings name.

    Parameters
    ----------
    run : Run
        Closed together with the report.
    """

    def __init__(self, settings: Settings, store: Path, run: Run, journal: Journal) -> None:
        self._settings, self._store, self._run, self._journal = settings, store, run, journal
        self._begun = perf_counter()
        self.report = NightReport(run=run.name, store=str(store))
        self.report.stages.append(StageReport("lock", "done", 0.0))

    def started(self, stage: str) -> None:
        """Report that a stage begins."""
        self._journal.write("debug", "started", stage)

    def add(self, stage: StageReport) -> None:
        """Report a stage that is over."""
        self.report.stages.append(stage)
        if stage.status == "failed":  # the error is reported at the end
            return
        self._journal.write(
            "info",
            stage.status,
            stage.name,
            seconds=round(stage.seconds, 3),
            counts=stage.counts or None,
            peak_bytes=stage.peak_bytes,
        )
        self._journal.show(f"{stage.status:>8}  {stage.name:<9} {stage.seconds:8.2f} s")

    def track(self, tracker: Callable[[Settings, NightReport], str | None] | None) -> None:
        """Record the night with a tracker; what was published stays where that fails."""
        begun = perf_counter()
        error = None if tracker is None else tracker(self._settings, self.report)
        if error is not None:
            self._journal.write("warning", "not tracked", "report", error=error)
        self.add(StageReport("report", "done", perf_counter() - begun))

    def close(self, error: BaseException | None = None) -> None:
        """Write the report, and close the run or leave it open for the next start."""
        report, run = self.report, self._run
        report.result, report.seconds = _outcome(error), perf_counter() - self._begun
        report.warnings = list(self._journal.warned)
        report.error = None if error is None else str(error) or type(error).__name__
        text = json.dumps(plain(report.to_dict()), indent=2, ensure_ascii=False)
        replace_text(run.folder / REPORT, text)
        write_metrics(self._settings.nightly.metrics_file, self._store, report)
        run.result = report.result
        run.save()
        self._journal.write(
            "info" if error is None else "error",
            report.result,
            seconds=round(report.seconds, 3),
            peak_bytes=report.peak_bytes,
            version=report.version,
            error=report.error,
        )


def _outcome(error: BaseException | None) -> Outcome:
    if error is None:
        return "done"
    if isinstance(error, StoppedError):
        return "stopped"
    return "refused" if isinstance(error, GateFailedError) else "failed"
