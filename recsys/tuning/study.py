"""Trials that outlive the process: one Optuna study for each number of factors, in one file."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from recsys.base.distribution import extra, missing_package
from recsys.base.errors import ConfigError
from recsys.tuning.candidates import Candidate
from recsys.tuning.space import Space
from recsys.tuning.task import Task, Watch, run_trial

if TYPE_CHECKING:
    import optuna

_RANDOM_TRIALS = 10  # before earlier trials suggest the next
_FULL_TRIALS = 6  # before a trial may be given up half-way
_FULL_EPOCHS = 3  # of every trial: one that begins slowly may get far


@dataclass(frozen=True)
class Trial:
    """A candidate that was tried, and what it reached.

    Parameters
    ----------
    candidate : Candidate
        With as many epochs as were best.
    value : float
        Of the metric on the validation part.
    is_pruned : bool
        Whether it was given up half-way: its value is what it had reached.
    """

    candidate: Candidate
    value: float
    is_pruned: bool
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
        self._study = _open(path, name)
        self._require_same(path, name)
        self._give_up_running()

    def trials(self) -> list[Trial]:
        """Return the finished trials and those given up half-way, in order."""
        return [
            Trial(
                self._having(trial.params, trial.user_attrs.get("iterations")),
                float(trial.value),
                trial.state.name == "PRUNED",
                trial.user_attrs["seconds"],
            )
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state.name in ("COMPLETE", "PRUNED") and trial.value is not None
        ]

    def best(self) -> Trial:
        """Return the best finished trial."""
        return max(
            (trial for trial in self.trials() if not trial.is_pruned),
            key=lambda trial: trial.value,
        )

    def run_one(self, first: Sequence[Candidate]) -> Trial:
        """Run one more trial: of the next first candidate, or of what the trials so far suggest.

        It depends only on the trials before it, so that a search that was killed goes on as if it
        had not been.
        """
        number = len(self.trials())
        self._study.sampler = _sampler(self._seed + number)
        if number < len(first):
            self._suggest(first[number])
        trial = self._study.ask()
        values = {name: one.suggest(trial, name) for name, one in self._space.items()}
        start = perf_counter()
        watch = run_trial(self._having(values), self._task, _reporter(trial))
        trial.set_user_attr("seconds", perf_counter() - start)
        if self._candidate.iterations is not None:
            trial.set_user_attr("iterations", watch.best)
        self._tell(trial, watch)
        return self.trials()[-1]

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

    def _tell(self, trial: "optuna.Trial", watch: Watch) -> None:
        if watch.is_stopped:
            self._study.tell(trial, state=_state("PRUNED"))
        else:
            self._study.tell(trial, watch.reached[watch.best])

    def _require_same(self, path: Path | None, name: str) -> None:
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
                    f"{path}: expected the study {name} to be of this log, split, metric and "
                    f"model, got one of another {'log or split' if key == 'task' else 'model'}; "
                    "name another file"
                )

    def _give_up_running(self) -> None:
        """Drop the trial that a killed process was running; it runs again."""
        for trial in self._study.get_trials(deepcopy=False, states=(_state("RUNNING"),)):
            self._study.tell(trial.number, state=_state("FAIL"))


def _reporter(trial: "optuna.Trial") -> Callable[[int, float], bool]:
    def report(epoch: int, value: float) -> bool:
        trial.report(value, epoch)
        return trial.should_prune()

    return report


def _open(path: Path | None, name: str) -> "optuna.Study":
    try:
        import optuna
    except ImportError as error:
        raise missing_package("tune", "optuna", extra("tune")) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return optuna.create_study(
            storage=None if path is None else f"sqlite:///{path.absolute()}",
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(_FULL_TRIALS, _FULL_EPOCHS),
        )
    except Exception as error:  # SQLAlchemy's own tree, which is no dependency of ours
        if type(error).__module__.partition(".")[0] not in ("sqlalchemy", "optuna", "alembic"):
            raise
        raise ConfigError(
            f"{path}: expected a study of Optuna in an SQLite file, got {error}; name another file"
        ) from error


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
