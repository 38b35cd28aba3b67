"""Find hyperparameters: many trials with few factors, fewer with more, the best go up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.base.checks import require
from recsys.base.progress import OnStep
from recsys.base.stopping import StoppedError
from recsys.evaluation import TOLERANCE
from recsys.models import nested
from recsys.settings import Budget
from recsys.tuning.candidates import Candidate
from recsys.tuning.space import SPACES, Space
from recsys.tuning.study import Trial, TrialLog
from recsys.tuning.task import Task

FIRST_FACTORS = 32
_GO_UP = 4  # the best of a number of factors that are tried with twice as many
_LEAST_TRIALS = _GO_UP + 4  # with each number of factors


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Parameters
    ----------
    trials : mapping of int to list of Trial
        Everything that was tried, by the number of factors; 0 where there are none to choose.
    metric : str
        Such as "ndcg@20".
    is_whole : bool
        False where a signal stopped the search: the best of what was tried until then.
    """

    best: Trial
    trials: Mapping[int, Sequence[Trial]]
    metric: str
    is_whole: bool = True

    @property
    def parameters(self) -> dict[str, Any]:
        """The hyperparameters, as `recsys.models.model_from` takes them."""
        return nested(self.best.candidate.parameters)


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
    suggests the next one (TPE, Bergstra et al., NIPS 2011), and a trial below the median of the
    others at an epoch is given up.

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
        Default: the one of `SPACES`.
    on_step : callable, optional
        Called after each trial with the trials done and those in all.

    Raises
    ------
    ConfigError
        If Optuna is not installed, the study is of something else, or factors is less than 1.
    """
    space = SPACES[candidate.name] if space is None else space
    budget, path = budget or Budget(), None if study is None else Path(study)
    sizes = _doubled(factors) if candidate.has_factors else [0]
    done: dict[int, TrialLog] = {}
    first, is_whole = [candidate], True
    try:
        for rung, size in enumerate(sizes):
            n_trials, seconds = _share_of(budget, rung, len(sizes)) if space else (1, float("inf"))
            sized = candidate.with_factors(size) if size else candidate
            name = f"{candidate.name}, {size} factors" if size else candidate.name
            done[size] = TrialLog(sized, space, task, path, name, seed)
            _run(done, size, first, n_trials, seconds, on_step)
            first = _best_of(done[size].trials())
            best = [done[one].best().value for one in sizes[max(rung - 1, 0) : rung + 1]]
            if rung and best[1] < (1 + TOLERANCE) * best[0]:
                break
    except StoppedError:
        done = {size: log for size, log in done.items() if _best_of(log.trials())}
        if not done:
            raise
        is_whole = False
    trials = {size: log.trials() for size, log in done.items()}
    return Tuned(_smallest_as_good(done), trials, f"{task.metric}@{task.k}", is_whole)


def _run(
    done: Mapping[int, TrialLog],
    size: int,
    first: Sequence[Candidate],
    n_trials: int,
    seconds: float,
    on_step: OnStep | None,
) -> None:
    """Run the trials of a number of factors that have not run yet."""
    while True:
        made = done[size].trials()
        spent = sum(trial.seconds for log in done.values() for trial in log.trials())
        is_any_full = any(not trial.is_pruned for trial in made)
        if len(made) >= n_trials or (spent >= seconds and is_any_full):
            return
        trial = done[size].run_one(first)
        if on_step is not None:
            best = done[size].best().value
            note = f"{size} factors, " if size else ""
            on_step(len(made) + 1, n_trials, f"{note}last {trial.value:.4f}, best {best:.4f}")


def _share_of(budget: Budget, rung: int, n_rungs: int) -> tuple[int, float]:
    """Return the trials of a rung, and the seconds that it and all before it may take.

    Trials halve where factors double, so that each rung takes about as long.
    """
    share = 2.0 ** (n_rungs - 1 - rung) / (2.0**n_rungs - 1)
    seconds = float("inf") if budget.minutes is None else 60 * budget.minutes
    n_trials = max(round(budget.trials * share), _LEAST_TRIALS if n_rungs > 1 else 1)
    return n_trials, seconds * (rung + 1) / n_rungs


def _doubled(largest: int) -> list[int]:
    """Return numbers of factors up to the largest, each twice the one before."""
    require("tune.factors", largest, least=1)
    sizes = [largest]
    while sizes[0] >= 2 * FIRST_FACTORS:
        sizes.insert(0, sizes[0] // 2)
    return sizes


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
