"""Trials that outlive the process: one Optuna study for each number of factors, in one file."""

import os
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from recsys.base.environment import extra, missing_package
from recsys.base.errors import ConfigError
from recsys.tuning.candidates import Candidate
from recsys.tuning.space import Space
from recsys.tuning.task import Task, run_trial

if TYPE_CHECKING:
    import optuna

_RANDOM_TRIALS = 10  # before earlier trials suggest the next
_FULL_TRIALS = 6  # before a trial may be given up half-way
_FULL_EPOCHS = 3  # of every trial: one that begins slowly may get far
_ATTEMPTS = 20  # at a setting that was not tried, before a space counts as used up
_NEXT_ATTEMPT = 10_007  # between the seeds of attempts: more than there are trials


@dataclass(frozen=True)
class Trial:
    """A candidate that was tried, and what it reached."""

    candidate: Candidate  # with as many epochs as were best
    value: float  # of the metric on the validation part
    is_pruned: bool  # given up half-way: the value is what it had reached
    seconds: float


class TrialLog:
    """The trials of a candidate with one number of factors, kept in an SQLite file or in memory.

    Its hyperparameters hold but for those of the space. A ConfigError if the study of that name in
    the file is of other data, or of other hyperparameters.
    """

    def __init__(
        self,
        candidate: Candidate,
        space: Space,
        task: Task,
        path: Path | None,
        name: str,
        seed: int,
    ) -> None:
        self._candidate, self._space, self._task, self._seed = candidate, space, task, seed
        self._path = path
        with _errors_of(path):
            self._study = _open(path, name)
            self._require_same(name)
            self._give_up_running()

    def trials(self) -> list[Trial]:
        """Return the finished trials and those given up half-way, in order."""
        return [
            Trial(
                self._having(trial.params, trial.user_attrs.get("iterations")),
                float(trial.value or 0.0),
                trial.state.name == "PRUNED",
                trial.user_attrs["seconds"],
            )
            for trial in self._finished()
        ]

    def _finished(self) -> "Sequence[optuna.trial.FrozenTrial]":
        with _errors_of(self._path):
            found = self._study.get_trials(
                deepcopy=False, states=(_state("COMPLETE"), _state("PRUNED"))
            )
        return [trial for trial in found if trial.value is not None]

    def best(self) -> Trial:
        """Return the best finished trial."""
        return max(
            (trial for trial in self.trials() if not trial.is_pruned),
            key=lambda trial: trial.value,
        )

    def run_one(self, first: Sequence[Candidate]) -> Trial | None:
        """Run one more trial: of the next first candidate, or of what the trials so far suggest.

        It depends only on the trials before it, so that a search that was killed goes on as if it
        had not been. None where no setting is left that was not tried.
        """
        asked = self._ask(first)
        if asked is None:
            return None
        trial, values = asked

        def report(epoch: int, value: float) -> bool:
            with _errors_of(self._path):
                trial.report(value, epoch)
                return trial.should_prune()

        start = perf_counter()
        watch = run_trial(self._having(values), self._task, report)
        with _errors_of(self._path):
            trial.set_user_attr("seconds", perf_counter() - start)
            if self._candidate.iterations is not None:
                trial.set_user_attr("iterations", watch.best)
            if watch.is_stopped:
                self._study.tell(trial, state=_state("PRUNED"))
            else:
                self._study.tell(trial, watch.reached[watch.best])
        return self.trials()[-1]

    def _ask(self, first: Sequence[Candidate]) -> "tuple[optuna.Trial, Mapping[str, Any]] | None":
        """Return the next trial and its values, which no trial has had."""
        tried = [trial.params for trial in self._finished()]
        for attempt in range(_ATTEMPTS):
            self._study.sampler = _sampler(self._seed + len(tried) + attempt * _NEXT_ATTEMPT)
            if attempt == 0 and len(tried) < len(first):
                self._suggest(first[len(tried)])
            with _errors_of(self._path):
                trial = self._study.ask()
                values = {name: one.suggest(trial, name) for name, one in self._space.items()}
                if values not in tried:
                    return trial, values
                self._study.tell(trial, state=_state("FAIL"))
        return None

    def _having(self, values: Mapping[str, Any], iterations: int | None = None) -> Candidate:
        more = {} if iterations is None else {"iterations": iterations}
        return self._candidate.having(**values, **more)

    def _suggest(self, candidate: Candidate) -> None:
        values = {
            name: candidate.parameters[name]
            for name, range_ in self._space.items()
            if range_.holds(candidate.parameters.get(name))
        }
        if not self._study.get_trials(deepcopy=False, states=(_state("WAITING"),)):
            self._study.enqueue_trial(values)

    def _require_same(self, name: str) -> None:
        rest = {
            key: value
            for key, value in self._candidate.parameters.items()
            if key not in self._space
        }
        ours = {"task": self._task.fingerprint, "fixed": repr(sorted(rest.items()))}
        for key, value in ours.items():
            found = self._study.user_attrs.get(key)
            if found is None:
                self._study.set_user_attr(key, value)
            elif found != value:
                raise ConfigError(
                    f"study {self._path}: expected {name} on this log, split and metric, got "
                    f"trials of another {'log or split' if key == 'task' else 'model'}; name "
                    "another file"
                )

    def _give_up_running(self) -> None:
        """Drop the trial that a killed process was running; it runs again."""
        for trial in self._study.get_trials(deepcopy=False, states=(_state("RUNNING"),)):
            self._study.tell(trial.number, state=_state("FAIL"))


def require_study(path: str | Path | None) -> None:
    """Check that a search can run and keep its trials, before the work of reading a log.

    Raises
    ------
    ConfigError
        If Optuna is not installed, the file holds something else, or cannot be written.
    """
    _import_optuna()
    if path is None:
        return
    path = Path(path)
    is_new = not os.path.lexists(path)
    if not (is_new or path.is_file()):
        raise _no_study(path, "a folder" if path.is_dir() else "no file")
    with _errors_of(path), closing(_connected(path)) as database:
        database.execute("BEGIN IMMEDIATE")  # writes nothing yet
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master")]
    if is_new:
        path.unlink(missing_ok=True)
    if tables and "studies" not in tables:
        raise _no_study(path, f"a database with the table {tables[0]}")


def _open(path: Path | None, name: str) -> "optuna.Study":
    package = _import_optuna()
    package.logging.set_verbosity(package.logging.WARNING)
    storage = None
    if path is not None:
        require_study(path)
        # Connections are made here, as an address of a database cannot hold any file name.
        storage = package.storages.RDBStorage(
            "sqlite:///study", engine_kwargs={"creator": lambda: _connected(path)}
        )
    study: optuna.Study = package.create_study(
        storage=storage,
        study_name=name,
        direction="maximize",
        load_if_exists=True,
        pruner=package.pruners.MedianPruner(_FULL_TRIALS, _FULL_EPOCHS),
    )
    return study


def _connected(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    return sqlite3.connect(path, check_same_thread=False)


def _import_optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise missing_package("tune", "optuna", extra("tune")) from error
    return optuna


@contextmanager
def _errors_of(path: Path | None) -> Iterator[None]:
    """Turn errors of the file, of SQLite and of the packages over it into ours."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise _no_study(path, getattr(error, "strerror", None) or str(error)) from error
    except Exception as error:  # SQLAlchemy's own tree, which is no dependency of ours
        if type(error).__module__.partition(".")[0] not in ("sqlalchemy", "optuna", "alembic"):
            raise
        reason = getattr(error, "orig", None) or error.__cause__ or error
        raise _no_study(path, str(reason).splitlines()[0]) from error


def _no_study(path: Path | None, got: str) -> ConfigError:
    return ConfigError(
        f"study {path}: expected an SQLite file with trials of Optuna, or a new one, got {got}; "
        "name another file"
    )


def _sampler(seed: int) -> "optuna.samplers.BaseSampler":
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, n_startup_trials=_RANDOM_TRIALS
        )


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]
