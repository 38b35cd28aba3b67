"""Choose a model for a log: fit what has a chance on a validation part, small first.

What is fitted next depends on what was reached, and the end on counted work: so the same log and
settings choose the same model on any machine, busy or not.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from time import perf_counter
from typing import Any

from recsys.base.errors import ConfigError
from recsys.base.progress import OnStep
from recsys.models import ALS, SVD, Model, Popularity, model_from, parameters_of
from recsys.settings import AutoSettings
from recsys.tuning.task import Task

_FIRST_FACTORS = 32
_GAIN = 0.003  # as a share: less is chance, or not worth another fit
_TOLERANCE = 0.01  # more bytes have to gain more than this share
_FACTORS_OF_UNIT = 256  # of the fit of ALS that work is counted in
_LEAST_USERS = 100  # of a validation part that can tell models apart


@dataclass(frozen=True)
class _Step:
    """How far a hyperparameter goes at a time: a number is added, or it is a factor."""

    by: float
    is_factor: bool = False

    def moved(self, value: float, direction: int) -> float:
        """Return the next value up (1) or down (-1), of three digits."""
        moved = value * self.by**direction if self.is_factor else value + self.by * direction
        return float(f"{moved:.3g}") if abs(moved) > 1e-9 else 0.0


_Steps = Mapping[str, _Step]
_ALS: _Steps = {
    "regularization": _Step(3.0, is_factor=True),
    "unobserved_weight": _Step(2.0, is_factor=True),
    "item_exponent": _Step(0.25),
}
_SVD: _Steps = {
    "item_exponent": _Step(0.1),
    "user_exponent": _Step(0.15),
    "popularity_exponent": _Step(0.1),
    "spectral_power": _Step(0.3),
}


@dataclass(frozen=True)
class Tried:
    """A model that was fitted to the train part, and what it reached on the validation part.

    Parameters
    ----------
    name : str
    parameters : mapping of str to value
        As `recsys.models.model_from` takes them.
    value : float
        Of the metric.
    work : float
        Multiplications with additions, as they are counted.
    """

    name: str
    parameters: Mapping[str, Any]
    value: float
    work: float

    @property
    def model(self) -> Model:
        """The model itself."""
        return model_from(self.name, self.parameters)


@dataclass(frozen=True)
class Choice:
    """The model that a log was given, and all that were tried.

    Parameters
    ----------
    name, parameters
        Of the model with the fewest factors within 1 % of the best.
    metric : str
        Such as "ndcg@20", on the validation part.
    n_users : int
        Users that the metric is the mean of.
    tried : tuple of Tried
        In their order; none where the log is too small to choose by.
    ended : str
        Why nothing more was tried; empty where nothing more gained anything.
    """

    name: str
    parameters: Mapping[str, Any]
    metric: str
    n_users: int
    tried: tuple[Tried, ...] = ()
    ended: str = ""

    @property
    def model(self) -> Model:
        """The model that was chosen."""
        return model_from(self.name, self.parameters)

    @property
    def best(self) -> dict[str, Tried]:
        """The best that was tried of each kind, best first."""
        return best_of(self.tried)

    @property
    def sentences(self) -> list[str]:
        """What was chosen, by how much, and why the search ended, for a person."""
        factors = self.model.factors
        if not self.tried:
            return [f"model: {self.name}, {factors} factors: {self.ended}"]
        chosen = next(one for one in self.tried if one.parameters == self.parameters)
        others = ", ".join(
            f"{one.name} {one.value:.4f} ({one.model.factors} factors)"
            for one in self.best.values()
        )
        return [
            f"model: {self.name}, {factors} factors, {self.metric} {chosen.value:.4f} on the "
            f"validation part, {self.n_users:,} users",
            f"the best of each kind, of {len(self.tried)} fits: {others}",
            f"to choose again or another: --model, or [model] name; {self.ended}".rstrip("; "),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {**asdict(self), "tried": list(map(asdict, self.tried))}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Choice":
        """Read what `to_dict` wrote."""
        return cls(**{**content, "tried": tuple(Tried(**one) for one in content["tried"])})


def choose(
    task: Task, settings: AutoSettings | None = None, on_step: OnStep | None = None
) -> Choice:
    """Choose a model by what it reaches on a validation part.

    SVD and ALS are fitted with few factors while single steps along their hyperparameters gain
    something, then with twice as many factors while that does. Below 100 users to measure on, ALS
    as it is by default is the choice.

    Parameters
    ----------
    task : Task
        The validation part and the metric.
    settings : AutoSettings, optional
        How many factors, and how much work.
    on_step : callable, optional
        Called after each fit, with the share of the work that is done, in per cent.
    """
    settings, metric = settings or AutoSettings(), f"{task.metric}@{task.k}"
    if task.n_users < _LEAST_USERS:
        reason = f"{task.n_users:,} users to measure on are too few to choose by"
        return unchosen(settings, metric, task.n_users, reason)
    search = _Search(task, settings, on_step)
    search.run()
    tried = tuple(search.tried.values())
    best = max(one.value for one in tried)
    close = [one for one in tried if one.value >= (1 - _TOLERANCE) * best]
    chosen = min(close, key=lambda one: (one.model.factors, -one.value))
    return Choice(chosen.name, chosen.parameters, metric, task.n_users, tried, search.ended)


def unchosen(settings: AutoSettings, metric: str, n_users: int, reason: str) -> Choice:
    """Return the choice where nothing can be measured: ALS as it is by default."""
    model = ALS()
    model = model.with_factors(min(model.factors, settings.factors))
    return Choice(model.name, parameters_of(model), metric, n_users, ended=reason)


def best_of(tried: Iterable[Tried]) -> dict[str, Tried]:
    """Return the best of each kind by its name, best first; the first of equals."""
    found: dict[str, Tried] = {}
    for one in sorted(tried, key=lambda one: -one.value):
        found.setdefault(one.name, one)
    return found


class _EndError(Exception):
    """The work or the time is used up; the message says which."""


@dataclass
class _Search:
    """The fits of a choice; no model is fitted twice."""

    task: Task
    settings: AutoSettings
    on_step: OnStep | None
    began: float = field(default_factory=perf_counter)
    tried: dict[str, Tried] = field(default_factory=dict)
    ended: str = ""

    def run(self) -> None:
        """Fit what has a chance."""
        first = min(_FIRST_FACTORS, self.settings.factors)
        self.value(Popularity())
        for model, steps in ((SVD(factors=first), _SVD), (ALS(factors=first), _ALS)):
            with self._within_work():
                self.climbed(model, steps)
        for small in best_of(self.tried.values()).values():
            with self._within_work():
                self.grown(small.model)

    def climbed(self, model: Model, steps: _Steps) -> Model:
        """Return the model after single steps along hyperparameters, as long as one gains."""
        is_better = True
        while is_better:
            before = self.value(model)
            for name, step in steps.items():
                model = self._along(model, name, step)
            is_better = self.value(model) > before * (1 + _GAIN)
        return model

    def _along(self, model: Model, name: str, step: _Step) -> Model:
        """Go up or down a hyperparameter while that gains."""
        for direction in (1, -1):
            begin = model
            while (further := _moved(model, name, step, direction)) is not None:
                if self.value(further) <= self.value(model) * (1 + _GAIN):
                    break
                model = further
            if model is not begin:
                break
        return model

    def grown(self, model: Model) -> Model:
        """Return the model with as many factors as gain something."""
        while (more := 2 * model.factors) <= self.settings.factors:
            larger = model.with_factors(more)
            if self.value(larger) < self.value(model) * (1 + _TOLERANCE):
                break
            model = larger
        return model

    def value(self, model: Model) -> float:
        """Return what a model reaches; fits it unless that was done before."""
        key = repr(model)
        if key not in self.tried:
            work = work_of(model, self.task)
            if any(one.name == model.name for one in self.tried.values()):
                self._require_more(work)  # the first of each kind is always fitted
            value = self.task.measure(model.fit(self.task.user_items))
            self.tried[key] = Tried(model.name, parameters_of(model), value, work)
            self._report(model)
        return self.tried[key].value

    @contextmanager
    def _within_work(self) -> Iterator[None]:
        """Leave a part of the search out where the work that is left is not enough for it."""
        try:
            yield
        except _EndError as end:
            self.ended = str(end)

    def _share(self, work: float = 0.0) -> float:
        """Return what is done, with some more work, as a share of what may be."""
        done = sum(one.work for one in self.tried.values()) + work
        return done / (self.settings.work * work_of(ALS(factors=_FACTORS_OF_UNIT), self.task))

    def _require_more(self, work: float) -> None:
        """Raise an _EndError if no fit of that much work may begin."""
        if self._share(work) > 1:
            raise _EndError(f"the work of auto.work = {self.settings.work:g} is done")
        minutes = self.settings.minutes
        if minutes is not None and perf_counter() - self.began >= 60 * minutes:
            raise _EndError(f"the time of auto.minutes = {minutes:g} is over")

    def _report(self, model: Model) -> None:
        if self.on_step is not None:
            best = max(self.tried.values(), key=lambda one: one.value)
            note = f"{model.name}, {model.factors} factors; best {best.name} {best.value:.4f}"
            self.on_step(min(int(100 * self._share()), 100), 100, note)


def _moved(model: Any, name: str, step: _Step, direction: int) -> Model | None:
    """Return the model with the next value of a hyperparameter; None if it does not take that."""
    try:
        moved: Model = replace(model, **{name: step.moved(getattr(model, name), direction)})
    except ConfigError:
        return None
    return moved


def work_of(model: Model, task: Task) -> float:
    """Return what fitting and measuring a model takes, in multiplications with additions."""
    n_pairs, (n_users, n_items) = task.user_items.nnz, task.user_items.shape
    iterations: int = parameters_of(model).get("iterations", 8)
    of_pairs = 4 * n_pairs * model.factors
    of_rows = (n_users + n_items) * model.factors**2
    work: float = iterations * (of_pairs + of_rows) + task.n_users * n_items * model.factors
    return work
