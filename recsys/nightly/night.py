"""The night itself: one stage after the other, each once, whatever happens in between."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recsys.base.durable import errors_of_writing, replace_text
from recsys.base.errors import GateFailedError, RecsysError, StoreError
from recsys.base.process import peak_memory
from recsys.config import Settings
from recsys.nightly.context import Material
from recsys.nightly.guards import StoppedError, StopRequest, now_of, only_night, stoppable
from recsys.nightly.journal import Journal
from recsys.nightly.mlflow import track
from recsys.nightly.prometheus import write_metrics
from recsys.nightly.report import NightReport, StageReport, Status
from recsys.nightly.run import (
    Finished,
    Result,
    Run,
    drop_old_runs,
    files_facts,
    new_run,
    unfinished_run,
)
from recsys.nightly.stages import STAGES, Stage
from recsys.nightly.to_version import published_by
from recsys.serving import store_path
from recsys.store import current, require_writable

_REPORT = "report.json"


def run_night(
    settings: Settings, store: str | Path | None = None, *, progress: bool = False
) -> NightReport:
    """Read the log, train, test, and publish a version; go on where an earlier start was ended.

    Every finished stage is kept in ``runs/<time>/`` of the store, with the fingerprint of what it
    was made of. A start after a crash, a signal or a mended error does only what is not finished,
    or is made of something that has changed since.

    Parameters
    ----------
    settings : Settings
        With its ``[nightly]`` table.
    store : path, optional
        Default: ``nightly.store``, else $RECSYS_STORE, else ./store.
    progress : bool
        Show what is being done where stderr is a terminal.

    Returns
    -------
    NightReport

    Raises
    ------
    StoreError
        If another night runs on this store, or it cannot be written.
    GateFailedError
        If a check refuses the version. The current one stays.
    DataError
        If the log cannot be used.
    ConfigError
        If settings contradict each other.
    StoppedError
        If SIGTERM or SIGINT came.
    """
    folder = store_path(store or settings.nightly.store)
    journal = Journal(settings.nightly, progress=progress)
    with stoppable() as stop, _refusing(journal, folder):
        require_writable(folder)
        with only_night(folder):
            run = _run_of(folder, journal)
            night = Material(settings, folder, run, journal, progress)
            return _Course(night, stop).carry_out()


class _Course:
    """The course of one night, and the report of it."""

    def __init__(self, night: Material, stop: StopRequest) -> None:
        self._night, self._stop = night, stop
        self._report = NightReport(run=night.run.name, store=str(night.store))
        self._begun = time.perf_counter()

    def carry_out(self) -> NightReport:
        """Do all stages; whatever ends them is written down."""
        try:
            with errors_of_writing(self._night.store, "write what the night makes"):
                self._report.stages.append(StageReport("lock", "done", 0.0))
                for stage in STAGES:
                    self._stop.check()
                    self._do(stage)
                self._tell()
                self._end("done")
                drop_old_runs(self._night.store, self._night.settings.nightly.keep_runs)
        except BaseException as error:
            stopped = None if self._stop.number is None else StoppedError(self._stop.number)
            self._fail(stopped or error)
            if stopped is not None and error is not stopped:
                raise stopped from error  # whatever a library has made of it
            raise
        return self._report

    def _do(self, stage: Stage) -> None:
        """Do a stage, unless it is finished."""
        key = self._night.keys[stage.name] = stage.key(self._night)
        if self._is_finished(stage.name, key):
            self._note(stage.name, "reused", self._night.run.stages[stage.name])
            return
        self._night.journal.write("debug", "started", stage.name)
        begun = time.perf_counter()
        try:
            finished = self._work(stage, key, begun)
        except BaseException:
            self._tell_within()
            seconds = time.perf_counter() - begun
            self._report.stages.append(StageReport(stage.name, "failed", seconds))
            raise
        self._tell_within()
        self._note(stage.name, "done", finished)

    def _work(self, stage: Stage, key: str, begun: float) -> Finished:
        run = self._night.run
        with peak_memory(collect=False) as peak, run.making(stage.name) as folder:
            facts = stage.work(self._night, folder)
            files = files_facts(folder)
        finished = Finished(key, time.perf_counter() - begun, peak.total_bytes, facts, files)
        run.finish(stage.name, finished)
        return finished

    def _is_finished(self, name: str, key: str) -> bool:
        run = self._night.run
        if run.whole(name, key) is None:
            return False
        if (damaged := run.damaged(name)) is not None:
            self._night.journal.write("warning", "damaged", name, file=str(damaged))
            return False
        return True

    def _note(self, name: str, status: Status, finished: Finished) -> None:
        known = (finished.seconds, finished.peak_bytes, finished.facts)
        self._tell_of(StageReport(name, status, *known))

    def _tell_within(self) -> None:
        """Tell of the stages that were done inside another one."""
        for one in self._night.within:
            self._tell_of(one)
        self._night.within.clear()

    def _tell_of(self, one: StageReport) -> None:
        self._report.stages.append(one)
        self._night.journal.write(
            "info",
            one.status,
            one.name,
            seconds=round(one.seconds, 3),
            counts=one.counts or None,
            peak_bytes=one.peak_bytes,
        )
        self._night.journal.show(f"{one.status:>8}  {one.name:<9} {one.seconds:8.2f} s")

    def _tell(self) -> None:
        """Write the report where people and machines look for it."""
        begun, night = time.perf_counter(), self._night
        if night.settings.nightly.mlflow is not None:
            error = track(night.settings, self._report)
            if error is not None:
                night.journal.write("warning", "not tracked", "report", error=error)
        self._note("report", "done", Finished("", time.perf_counter() - begun))

    def _end(self, result: Result) -> None:
        """Close the run, or leave it open to be gone on with."""
        report, run = self._report, self._night.run
        report.result, report.seconds = result, time.perf_counter() - self._begun
        _write_report(run, report)
        write_metrics(self._night.settings.nightly.metrics_file, self._night.store, report)
        run.result = result
        run.save()
        self._night.journal.write(
            "info" if result == "done" else "error",
            result,
            seconds=round(report.seconds, 3),
            peak_bytes=report.peak_bytes,
            version=report.version,
            error=report.error,
        )

    def _fail(self, error: BaseException) -> None:
        """Write down what can still be written; the stages before are safe already."""
        self._report.error = str(error) or type(error).__name__
        result: Result = "failed"
        if isinstance(error, StoppedError):
            result = "stopped"
        elif isinstance(error, GateFailedError):
            result = "refused"
        with suppress(OSError, RecsysError):  # the disk may be what is wrong
            self._end(result)


def _run_of(store: Path, journal: Journal) -> Run:
    """Return the run to go on with, or a new one."""
    with errors_of_writing(store, "begin a run"):
        run, damaged = unfinished_run(store)
        if damaged is not None:
            journal.write("warning", "damaged", file=str(damaged))
        parent = _current(store)
        if run is None:
            run = new_run(store, now_of(store), parent)
            journal.run = run.name
            journal.write("info", "started", parent=parent)
            return run
        own = published_by(store, run.name)
        if own is None or own.name != parent:  # else the parent is the version before our own
            run.parent = parent
        run.result = "running"
        run.save()
        journal.run = run.name
        journal.write("info", "resumed", finished=list(run.stages), parent=run.parent)
        return run


def _current(store: Path) -> str | None:
    try:
        return current(store)
    except StoreError:  # a damaged CURRENT must not stop the publish that mends it
        return None


def _write_report(run: Run, report: NightReport) -> None:
    import json

    from recsys.store.manifest import plain

    text = json.dumps(plain(report.to_dict()), indent=2, ensure_ascii=False)
    replace_text(run.folder / _REPORT, text)


@contextmanager
def _refusing(journal: Journal, store: Path) -> Iterator[None]:
    """Write down why a night did not begin."""
    try:
        yield
    except StoreError as error:
        if journal.run is None:
            journal.write("error", "refused", error=str(error), store=str(store))
        raise
