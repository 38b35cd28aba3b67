"""Runs a night, or a refresh: one stage after the other, each once, whatever happens between."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow as pa

from recsys.base.durable import errors_of_writing
from recsys.base.environment import installed_version, peak_memory
from recsys.base.errors import GateFailedError, RecsysError, StoreError
from recsys.base.lazy import lazy_property
from recsys.base.locks import HeldError, is_held, only_writer
from recsys.base.plain import plain
from recsys.base.query_settings import QuerySettings
from recsys.base.stopping import StoppedError, StopRequest, stoppable
from recsys.config import Settings
from recsys.features import users_by_attributes
from recsys.logs import attributes_of
from recsys.logs.log_summary import fingerprint_of
from recsys.nightly.context import Context
from recsys.nightly.journal import Journal, Reporter
from recsys.nightly.report import NightReport, StageReport
from recsys.nightly.run import (
    Finished,
    Run,
    drop_old_runs,
    new_run,
    now_of,
    unfinished_run,
)
from recsys.nightly.stages import STAGES, Stage, published_by
from recsys.objects import use_cache
from recsys.serving import store_path
from recsys.store import current_or_none, parent_of, require_comparable, require_writable
from recsys.store.manifest import files_facts
from recsys.store.nights import NIGHT_LOCK, RUNS
from recsys.store.remote import shown_store
from recsys.training import plain_settings
from recsys.vectors import Ids
from recsys.vectors.ids import Kind

REFRESH_LOCK = ".refresh.lock"


@dataclass(frozen=True)
class Pipeline:
    """What is run: a table of stages, and what they share."""

    name: str
    stages: tuple[Stage, ...]
    runs: str  # the folder of its runs in the store
    context: type[Context]
    has_nothing_new: Callable[[Any], bool]  # takes the context
    lock: Callable[[Path], AbstractContextManager[None]]  # of a store, while it runs


def run_night(
    settings: Settings, store: str | Path | None = None, *, progress: bool = False
) -> NightReport:
    """Read the log, train, test, and publish a version; resume what an earlier start left.

    Every finished stage is kept in ``runs/<time>/`` of the store, with a hash of what it was made
    of. A start after a crash, a signal or a corrected error does only the stages that are not
    finished, or whose inputs or settings have changed since.

    Parameters
    ----------
    settings : Settings
        With its ``[nightly]`` table.
    store : path, optional
        Default: ``nightly.store``, else $RECSYS_STORE, else ./store.
    progress : bool
        Show what is being done where stderr is a terminal.

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
    return run_pipeline(NIGHT, settings, store, progress=progress)


def run_pipeline(
    pipeline: Pipeline, settings: Settings, store: str | Path | None, *, progress: bool
) -> NightReport:
    """Do the stages of a pipeline on a store; see `run_night`."""
    settings.require_local("nightly")
    use_cache(settings.data.cache)
    folder = store_path(store or settings.nightly.store)
    journal = Journal(settings.nightly, progress=progress)
    with stoppable() as stop, journal.recording_warnings(), _refusal_logged(journal, folder):
        require_writable(folder)
        with pipeline.lock(folder):
            run = _run_of(folder, pipeline, settings, journal)
            reporter = Reporter(settings, folder, run, journal)
            context = pipeline.context(settings, folder, run, journal, reporter.add, journal.shows)
            return _Night(pipeline, context, reporter, stop).carry_out()


@contextmanager
def only_night(store: Path) -> Iterator[None]:
    """Lock a store for one night while the block runs; a refresh that runs is waited for."""
    with _locked(store, NIGHT_LOCK, "night"), _locked(store, REFRESH_LOCK, "refresh", wait=True):
        yield


@contextmanager
def only_refresh(store: Path) -> Iterator[None]:
    """Lock a store for one refresh while the block runs; where a night runs, there is none."""
    with _locked(store, REFRESH_LOCK, "refresh"):
        if is_held(store / NIGHT_LOCK):
            raise _running(store, NIGHT_LOCK, "night")
        yield


@contextmanager
def _locked(store: Path, name: str, what: str, *, wait: bool = False) -> Iterator[None]:
    path = store / name
    with ExitStack() as held:
        try:
            with errors_of_writing(store, f"lock it for the {what}"):
                held.enter_context(only_writer(path, wait=wait))
                with suppress(PermissionError):  # the file of another user, locked all the same
                    path.write_text(f"{os.getpid()}\n")
        except HeldError as error:
            raise _running(store, name, what) from error
        yield


def _running(store: Path, lock: str, what: str) -> StoreError:
    process = (store / lock).read_bytes()[:20].decode(errors="replace").strip() or "unknown"
    return StoreError(
        f"store {store}: expected no other {what}, got one that runs in process {process}; let it "
        "end, or stop it with SIGTERM"
    )


class _Night:
    """One night, or refresh: does the stages that are not finished yet."""

    def __init__(
        self, pipeline: Pipeline, context: Context, reporter: Reporter, stop: StopRequest
    ) -> None:
        self._pipeline, self._context = pipeline, context
        self._reporter, self._stop = reporter, stop

    def carry_out(self) -> NightReport:
        """Do all stages; whatever ends them is reported."""
        context, reporter = self._context, self._reporter
        try:
            with errors_of_writing(context.store, "write what the night makes"):
                for stage in self._pipeline.stages:
                    self._stop.check()
                    if stage.makes_version and self._is_idle:
                        self._leave_out(stage)
                    else:
                        self._do(stage)
                reporter.track(context.tracker)
                reporter.close()
                keep = context.settings.nightly.keep_runs
                for left in drop_old_runs(context.store, keep, self._pipeline.runs):
                    context.journal.warn(left)
        except BaseException as error:
            stopped = None if self._stop.number is None else StoppedError(self._stop.number)
            with suppress(OSError, RecsysError):  # the disk may be what is wrong
                reporter.close(stopped or error)
            if stopped is not None and error is not stopped:
                raise stopped from error  # whatever a library has made of it
            raise
        return reporter.report

    @lazy_property
    def _is_idle(self) -> bool:
        return self._pipeline.has_nothing_new(self._context)

    def _leave_out(self, stage: Stage) -> None:
        """Report a stage that would make the current version again."""
        self._context.keys[stage.name] = "nothing new"
        facts = {}
        if stage.name == "publish":
            facts = {"version": self._context.run.parent, "nothing_new": True}
        self._reporter.add(StageReport(stage.name, "left out", 0.0, facts=facts))

    def _do(self, stage: Stage) -> None:
        """Do a stage, unless it is finished."""
        key = self._context.keys[stage.name] = stage.key(self._context)
        if self._is_finished(stage.name, key):
            finished = self._context.run.stages[stage.name]
            self._reporter.add(replace(finished.report, status="reused"))
            return
        self._reporter.started(stage.name)
        begun = perf_counter()
        try:
            finished = self._finish(stage, key, begun)
        except BaseException:
            self._reporter.add(StageReport(stage.name, "failed", perf_counter() - begun))
            raise
        self._reporter.add(finished.report)

    def _finish(self, stage: Stage, key: str, begun: float) -> Finished:
        run = self._context.run
        with peak_memory(collect=False) as peak, run.making(stage.name) as folder:
            facts = stage.work(self._context, folder).to_dict()
            files = files_facts(folder)
        seconds = perf_counter() - begun
        report = StageReport(stage.name, "done", seconds, peak.total_bytes, facts)
        finished = Finished(key, report, files)
        run.finish(stage.name, finished)
        return finished

    def _is_finished(self, name: str, key: str) -> bool:
        run = self._context.run
        if not run.is_finished(name, key):
            return False
        damaged = run.damaged(name)
        if damaged is not None:
            self._context.journal.write("warning", "damaged", name, file=str(damaged))
        return damaged is None


def _run_of(store: Path, pipeline: Pipeline, settings: Settings, journal: Journal) -> Run:
    """Return the run to resume, or a new one."""
    with errors_of_writing(store, "begin a run"):
        run, damaged = unfinished_run(store, pipeline.runs)
        if damaged is not None:
            journal.write("warning", "damaged", file=str(damaged))
        before = parent_of(store)
        if settings.gates.enabled:
            require_comparable(store, before)
        parent = before.name
        if run is None:
            run = new_run(store, now_of(store), parent, pipeline.runs)
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


@contextmanager
def _refusal_logged(journal: Journal, store: Path) -> Iterator[None]:
    """Log why a night did not begin."""
    try:
        yield
    except (StoreError, GateFailedError) as error:
        if journal.run is None:
            journal.write("error", "refused", error=str(error), store=shown_store(store))
        raise


def has_nothing_new(night: Context) -> bool:
    """Return whether a night would publish the current version again.

    That is sound, and was made of the same events and attributes, with the same settings, by the
    same release of recsys. A test part of its own is not compared: such a night is never idle.
    """
    parent, settings = night.parent, night.settings
    if not settings.nightly.reuse_unchanged or parent is None or settings.data.test:
        return False
    manifest = parent.version.manifest
    if manifest.refreshed_from is not None:  # what it folded in was not trained on
        return False
    return (
        current_or_none(night.store) == parent.version.name
        and manifest.environment.get("packages", {}).get("recsys") == installed_version()
        and _compared(manifest.config) == _compared(plain_settings(night.decided))
        and manifest.log.events == len(night.log)
        and manifest.log.fingerprint == fingerprint_of(night.log)
        and _are_same("item", night.attributes, parent.attributes, night.log_of_fit.items)
        and _are_same("user", night.user_attributes, parent.user_attributes, night.log.users)
        and _describes_the_same(night, parent.described_users)
    )


def _compared(config: Mapping[str, Any]) -> Any:
    """Return the settings that decide on the content of a version."""
    tables = json.loads(json.dumps(plain(config)))
    kept = {name: tables.get(name) for name in ("log", "model", "evaluation", "alignment", "index")}
    of_query = (one.name for one in fields(QuerySettings))
    not_of_log = {"since", "until", *of_query}  # which the fingerprint answers
    kept["log"] = {k: v for k, v in (kept["log"] or {}).items() if k not in not_of_log}
    return kept


def _are_same(side: Kind, now: pa.Table | None, before: pa.Table | None, ids: Ids) -> bool:
    """Whether a table of attributes says of some ids what a version says."""
    if now is None or before is None:
        return now is before
    new, key = attributes_of(now, ids, side), f"{side}_id"
    if new.column_names != before.column_names:
        return False
    return bool(new.drop_columns([key]).equals(before.drop_columns([key])))


def _describes_the_same(night: Context, before: pa.Table | None) -> bool:
    """Whether the table of users says of those without events what a version says."""
    encoder = None if night.described is None else night.described.encoders.get("user")
    now = users_by_attributes(encoder, night.user_attributes, night.log.users)
    if now is None or before is None:
        return now is before
    same_ids = Ids(now["user_id"]) == Ids(before["user_id"])
    return same_ids and bool(now.drop_columns("user_id").equals(before.drop_columns("user_id")))


NIGHT = Pipeline("night", STAGES, RUNS, Context, has_nothing_new, only_night)
