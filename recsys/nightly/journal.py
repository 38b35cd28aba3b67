"""Reports a night: a JSON line per event, a line per stage for people, report.json, monitors."""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

from recsys.base.durable import replace_text
from recsys.base.errors import GateFailedError, StoreError
from recsys.base.plain import plain
from recsys.base.progress import printable, printable_json
from recsys.base.stopping import StoppedError
from recsys.config import Settings
from recsys.nightly.report import NightReport, Result, StageReport
from recsys.nightly.run import Run
from recsys.nightly.telemetry import write_metrics
from recsys.settings import LogLevel, NightlySettings
from recsys.store.nights import REPORT
from recsys.store.remote import shown_store

_LEVELS: tuple[LogLevel, ...] = get_args(LogLevel)


class Journal:
    """Appends a line per event to ``nightly.log_file``, or to stderr unless it is a terminal.

    A line holds time, level, run, stage and event; where they are known seconds, counts and
    peak_bytes, the most memory that the process held during the stage. A StoreError where the file
    cannot be written. With `progress`, a terminal shows a line per stage.
    """

    def __init__(self, settings: NightlySettings, *, progress: bool = False) -> None:
        self.run: str | None = None
        self.warned: list[str] = []
        self._on_terminal = sys.stderr.isatty()
        self.shows = progress and self._on_terminal
        self._least = _LEVELS.index(settings.log_level)
        self._path = None if settings.log_file is None else Path(settings.log_file)
        self._failed = False
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("ab"):
                    pass
            except OSError as error:
                raise StoreError(
                    f"nightly.log_file {self._path}: expected a file that can be written, got "
                    f"{error.strerror!r}; name another one"
                ) from error

    def write(self, level: LogLevel, event: str, stage: str | None = None, **facts: Any) -> None:
        """Write one line, if its level is high enough; a fact that is None is left out."""
        if _LEVELS.index(level) < self._least:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": level, "run": self.run, "stage": stage, "event": event}
        known = {name: value for name, value in facts.items() if value is not None}
        self._append(printable_json(line | known))

    @contextmanager
    def recording_warnings(self) -> Iterator[None]:
        """Write warnings while the block runs, each once, and keep them in `warned`."""
        with warnings.catch_warnings():
            warnings.simplefilter("always", RuntimeWarning)
            warnings.showwarning = lambda message, *_, **__: self.warn(str(message))
            yield

    def warn(self, sentence: str) -> None:
        """Write a warning, unless the same was written before."""
        if sentence in self.warned:
            return
        self.warned.append(sentence)
        self.write("warning", "warned", sentence=sentence)
        self.show(f"recsys: warning: {sentence}")

    def show(self, sentence: str) -> None:
        """Show a line on the terminal."""
        if self.shows:
            sys.stderr.write(f"{printable(sentence, one_line=True)}\n")

    def _append(self, line: str) -> None:
        if self._path is None:
            if not self._on_terminal:
                sys.stderr.write(f"{line}\n")
            return
        try:
            _append_line(self._path, line)
        except OSError as error:
            if not self._failed:
                sys.stderr.write(f"recsys: log {self._path}: {error.strerror}; going on without\n")
            self._failed = True


def _append_line(path: Path, line: str) -> None:
    """Append a line; where a full disk has cut the one before, begin a new one."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        end = os.lseek(file, 0, os.SEEK_END)
        cut = end > 0 and os.pread(file, 1, end - 1) != b"\n"
        start = "\n" if cut else ""
        os.write(file, f"{start}{line}\n".encode(errors="replace"))
    finally:
        os.close(file)


class Reporter:
    """Collects what the stages did, and writes it to every place that the settings name."""

    def __init__(self, settings: Settings, store: Path, run: Run, journal: Journal) -> None:
        self._settings, self._store, self._run, self._journal = settings, store, run, journal
        self._begun = perf_counter()
        self.report = NightReport(run=run.name, store=shown_store(store))
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
        report.result, report.seconds = _result_of(error), perf_counter() - self._begun
        report.warnings = list(self._journal.warned)
        report.error = None if error is None else str(error) or type(error).__name__
        text = json.dumps(plain(report.to_dict()), indent=2, ensure_ascii=False)
        replace_text(run.folder / REPORT, text)
        if run.is_night:
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


def _result_of(error: BaseException | None) -> Result:
    if error is None:
        return "done"
    if isinstance(error, StoppedError):
        return "stopped"
    return "refused" if isinstance(error, GateFailedError) else "failed"
