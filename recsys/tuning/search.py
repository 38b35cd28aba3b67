"""Find hyperparameters: many trials with few factors, fewer with more, the best go up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from math import inf
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsys.base.charts import Line, LinePlot, Mark
from recsys.base.checks import require_whole
from recsys.base.errors import ConfigError
from recsys.base.progress import OnStep
from recsys.base.stopping import StoppedError
from recsys.base.tables import Tabular, table_of
from recsys.evaluation import TOLERANCE
from recsys.models import nested
from recsys.settings import Budget
from recsys.tuning.candidates import Candidate, Fittable
from recsys.tuning.space import Space, edges_of, space_of
from recsys.tuning.study import Trial, TrialLog
from recsys.tuning.task import Task

FIRST_FACTORS = 32
_GO_UP = 4  # the best of a number of factors that are tried with twice as many


@dataclass(frozen=True, repr=False)
class Tuned(Tabular):
    """What a search found."""

    best: Trial
    trials: Mapping[int, Sequence[Trial]]
    """All that were run, by the number of factors; 0 where there are none to choose."""
    metric: str
    """Such as "ndcg@20"."""
    is_whole: bool = True
    """False where a signal stopped the search: the best of what was tried until then."""
    space: Space = field(default_factory=dict)
    """Where each hyperparameter was looked for."""

    @property
    def n_trials(self) -> int:
        """How many were run."""
        return sum(map(len, self.trials.values()))

    @property
    def parameters(self) -> dict[str, Any]:
        """The hyperparameters, as `recsys.models.model_from` takes them."""
        return nested(self.best.candidate.parameters)

    @property
    def edges(self) -> list[str]:
        """A sentence for each hyperparameter that is best at an end of what was tried."""
        found = [edge.sentence for edge in edges_of(self.best.candidate, self.space)]
        sizes = list(self.trials)
        if len(sizes) > 1 and self.best in self.trials[sizes[-1]]:
            most = sizes[-1]
            found.append(
                f"{most} factors are the most that were tried: better ones may lie beyond; "
                f"--factors {2 * most}, or [tune] factors = {2 * most}, looks there"
            )
        return found

    @property
    def model(self) -> Fittable:
        """The model with these hyperparameters, as `recsys.train` takes it."""
        return self.best.candidate.model()

    def to_arrow(self) -> pa.Table:
        """Return one row per trial, in their order: what it reached, and its hyperparameters.

        Those that differ between trials come first.
        """
        found = [trial.candidate.parameters for trials in self.trials.values() for trial in trials]
        names = dict.fromkeys(name for one in found for name in one if name != "factors")
        by_values = sorted(names, key=lambda name: len({repr(one.get(name)) for one in found}) < 2)
        return table_of(
            {
                "model": trial.candidate.name,
                "factors": size or None,
                self.metric: trial.value,
                "is_best": trial == self.best,
                "is_pruned": trial.is_pruned,
                "seconds": trial.seconds,
            }
            | {name: trial.candidate.parameters.get(name) for name in by_values}
            for size, trials in self.trials.items()
            for trial in trials
        )

    def charts(self) -> list[LinePlot]:
        """Return what each trial reached, in their order, by the number of factors."""
        if self.n_trials < 2:
            return []
        lines, marks, number = [], [], 0
        for size, trials in self.trials.items():
            places = range(number + 1, number + len(trials) + 1)
            number += len(trials)
            name = f"{size} factors" if size else self.best.candidate.name
            lines.append(Line(name, places, [one.value for one in trials], has_line=False))
            marks += [
                Mark(place, one.value, "best")
                for place, one in zip(places, trials, strict=True)
                if one == self.best
            ]
        title = f"{self.best.candidate.name}: {self.metric} on the validation part"
        return [LinePlot(title, "trial", self.metric, lines, marks[:1])]

    def caption(self) -> str:
        """Return the best value, of how many trials, and what lies at an end of its range."""
        found = (
            f"{self.best.candidate.name}: {self.metric} {self.best.value:.4f} on the validation "
            f"part, the best of {self.n_trials} trials"
        )
        return "; ".join([found, *self.edges])


def tune(
    candidate: Candidate,
    task: Task,
    *,
    factors: int = 64,
    budget: Budget | None = None,
    study: str | Path | None = None,
    seed: int = 0,
    space: Space | None = None,
    on_step: OnStep | None = None,
) -> Tuned:
    """Find the hyperparameters that do best on a validation part.

    Trials begin with 32 factors or a few more, where they are quick. The best of them go on to
    twice as many until `factors` is reached, or until doubling them gains less than 1 %: then the
    smaller number is the result. Within a number of factors, a Gaussian mixture of the good trials
    suggests the next one (TPE, Bergstra et al., NIPS 2011), no setting is tried twice, and a trial
    below the median of the others at an epoch is given up.

    Parameters
    ----------
    candidate : Candidate
        Its hyperparameters are tried first, and those outside the space hold for all trials.
    task : Task
        The validation part and the metric.
    factors : int
        The largest number.
    study : path, optional
        An SQLite file. A search that was killed goes on from there, and one that is done returns
        the same again without a trial.
    space : Space, optional
        Default: the one of `SPACES`, and `recency` where the log has an order.
    on_step : callable, optional
        Called after each trial with the trials done and the most there will be.

    Raises
    ------
    ConfigError
        If Optuna is not installed, the study is of something else, or factors is less than 1.
    """
    if not isinstance(candidate, Candidate) or not isinstance(task, Task):
        raise ConfigError(
            "tune: expected a Candidate and a Task, got "
            f"{type(candidate).__name__} and {type(task).__name__}; Candidate.of(recsys.ALS()) is "
            "one, and Task(train, validation)"
        )
    space = space_of(candidate, task.train) if space is None else space
    budget, path = budget or Budget(), None if study is None else Path(study)
    require_whole("tune.factors", factors, least=1)
    rungs = _rungs(factors if candidate.has_factors else 0, budget.trials if space else 1)
    done: dict[int, TrialLog] = {}
    first, is_whole = [candidate], True
    try:
        for number, (size, n_trials) in enumerate(rungs.items(), start=1):
            sized = candidate.with_factors(size) if size else candidate
            name = f"{candidate.name}, {size} factors" if size else candidate.name
            done[size] = TrialLog(sized, space, task, path, name, seed)
            share = number / len(rungs)  # of the time, for this rung and all before it
            seconds = inf if budget.minutes is None else 60 * budget.minutes * share
            _run(done, size, first, n_trials, seconds, partial(_report, on_step, done, rungs, size))
            first = _best_of(done[size].trials())
            *_, before, now = [0.0, *(log.best().value for log in done.values())]
            if now < (1 + TOLERANCE) * before:
                break
    except (StoppedError, KeyboardInterrupt):
        done = {size: log for size, log in done.items() if _best_of(log.trials())}
        if not done:
            raise
        is_whole = False
    trials = {size: log.trials() for size, log in done.items()}
    return Tuned(_smallest_as_good(done), trials, f"{task.metric}@{task.k}", is_whole, space)


def _run(
    done: Mapping[int, TrialLog],
    size: int,
    first: Sequence[Candidate],
    n_trials: int,
    seconds: float,
    report: Callable[[Trial], None],
) -> None:
    """Run the trials of a number of factors that have not run yet."""
    while True:
        made = done[size].trials()
        spent = sum(trial.seconds for log in done.values() for trial in log.trials())
        is_any_full = any(not trial.is_pruned for trial in made)
        if len(made) >= n_trials or (spent >= seconds and is_any_full):
            return
        trial = done[size].run_one(first)
        if trial is None:  # all settings there are have been tried
            return
        report(trial)


def _report(
    on_step: OnStep | None,
    done: Mapping[int, TrialLog],
    rungs: Mapping[int, int],
    size: int,
    trial: Trial,
) -> None:
    if on_step is not None:
        n_done = sum(len(log.trials()) for log in done.values())
        note = f"{size} factors, " if size else ""
        best = done[size].best().value
        note += f"last {trial.value:.4f}, best {best:.4f}"
        on_step(n_done, sum(rungs.values()), note)


def _rungs(largest: int, n_trials: int) -> dict[int, int]:
    """Return the trials with each number of factors; they sum to `n_trials`.

    Numbers of factors double up to the largest, and trials halve, so that each rung takes about as
    long. With few trials the small numbers are left out: to be tried again with twice as many
    factors takes the trials of those that go up.
    """
    sizes = [largest]
    while sizes[0] >= 2 * FIRST_FACTORS:
        sizes.insert(0, sizes[0] // 2)
    while n_trials < _GO_UP * (2 ** len(sizes) - 1) and len(sizes) > 1:
        del sizes[0]
    shares = [2**rung for rung in reversed(range(len(sizes)))]
    ends = [round(n_trials * share / sum(shares)) for share in accumulate(shares)]
    return {size: end - start for size, start, end in zip(sizes, [0, *ends], ends, strict=False)}


def _best_of(trials: Sequence[Trial]) -> list[Candidate]:
    full = [trial for trial in trials if not trial.is_pruned]
    by_value = sorted(full, key=lambda trial: -trial.value)
    return [trial.candidate for trial in by_value[:_GO_UP]]


def _smallest_as_good(done: Mapping[int, TrialLog]) -> Trial:
    """Return the best trial with the fewest factors that twice as many do not beat by 1 %."""
    by_size = [log.best() for log in done.values()]
    best = by_size[0]
    for found in by_size[1:]:
        if found.value >= (1 + TOLERANCE) * best.value:
            best = found
    return best
