"""Choose a model for a log: fit what has a chance on a validation part, small first.

What is fitted next depends on what was reached, and the end on counted work: so the same log and
settings choose the same model on any machine, busy or not.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from time import perf_counter
from typing import Any

from recsys.base.progress import OnStep
from recsys.models import (
    ALS,
    EASE,
    KNN,
    SVD,
    Blend,
    Distilled,
    Model,
    Popularity,
    flat,
    model_from,
    parameters_of,
)
from recsys.models.distilled.teacher import Given, als_for
from recsys.settings import AutoSettings
from recsys.tuning.candidates import Candidate, Fittable
from recsys.tuning.steps import (
    ALS_STEPS,
    DISTILLED_STEPS,
    EASE_STEPS,
    KNN_STEPS,
    SVD_STEPS,
    Step,
    Steps,
    moved,
)
from recsys.tuning.task import Task
from recsys.tuning.work import work_of
from recsys.vectors import Scorer

_FIRST_FACTORS = 32
_GAIN = 0.003  # as a share: less is chance, or not worth another fit
_FAR = 0.1  # from the best: no beginning for more fits
_TOLERANCE = 0.01  # more bytes have to gain more than this share
_SMALL = 64  # factors of what is distilled
_ALWAYS = (Popularity.name, SVD.name, ALS.name)  # one of each is fitted whatever it takes
_SHARE_OF_LARGE, _LEAST_WORK = 0.3, 8e11  # the work: of a fit with a large teacher, and at least
_LARGEST_SHARE = 0.35  # of the work, for a single fit
_PER_FACTOR = 4  # factors of a teacher
_LEAST_USERS = 100  # of a validation part that can tell models apart
_EPOCHS, _MOST_USERS = 20, 15_000  # of a distilled model: twice as many gain less than 1 % each
_TEMPERATURE, _OF_MANY_ITEMS, _MANY_ITEMS = 0.1, 0.07, 20_000


@dataclass(frozen=True)
class Tried:
    """A model that was fitted to the train part, and what it reached on the validation part.

    Parameters
    ----------
    parameters : mapping of str to value
        As `recsys.models.model_from` takes them.
    value : float
        Of the metric.
    work : float
        As `recsys.tuning.work` counts it.
    """

    name: str
    parameters: Mapping[str, Any]
    value: float
    work: float

    @property
    def model(self) -> Fittable:
        """The model, or scorer of items, itself."""
        return Candidate(self.name, flat(self.parameters)).model()

    @property
    def factors(self) -> int:
        """The dimension of its embeddings; 0 where it has none, and cannot be published."""
        return getattr(self.model, "factors", 0)


@dataclass(frozen=True)
class Choice:
    """The model that a log was given, and all that were tried.

    Parameters
    ----------
    name, parameters
        Of the model with the fewest factors within 1 % of the best.
    metric : str
        Such as "ndcg@20", a mean over `n_users` of the validation part.
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
            f"{one.name} {one.value:.4f}" + (f" ({one.factors} factors)" if one.factors > 1 else "")
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

    SVD and ALS are fitted with twice as many factors while that gains something; they, item-item
    neighbours and EASE while single steps along their hyperparameters do. Embeddings of 64 factors
    are distilled from the best and, as far as the work allows, from SVD and ALS as large as the log
    allows. Below 100 users to measure on, ALS is the choice.

    Parameters
    ----------
    task : Task
        The validation part and the metric.
    settings : AutoSettings, optional
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
    chosen = smallest_of_best(one for one in tried if 0 < one.factors <= settings.factors)
    return Choice(chosen.name, chosen.parameters, metric, task.n_users, tried, search.ended)


def smallest_of_best(tried: Iterable[Tried]) -> Tried:
    """Return what has the fewest factors within 1 % of the best."""
    found = list(tried)
    least = (1 - _TOLERANCE) * max(one.value for one in found)
    return min(
        (one for one in found if one.value >= least), key=lambda one: (one.factors, -one.value)
    )


def unchosen(settings: AutoSettings, metric: str, n_users: int, reason: str) -> Choice:
    """Return the choice where nothing can be measured: ALS as it is by default."""
    model = ALS(factors=min(ALS().factors, settings.factors))
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
    """The fits of a choice: none is done twice, and the best of each kind is kept for its students.

    That is 4 kB for each user and item with 1,024 factors.
    """

    task: Task
    settings: AutoSettings
    on_step: OnStep | None
    began: float = field(default_factory=perf_counter)
    tried: dict[str, Tried] = field(default_factory=dict)
    kept: dict[str, tuple[str, Scorer]] = field(default_factory=dict)
    ended: str = ""
    most: float = 1.0  # of the work, for now

    def run(self) -> None:
        """Fit what has a chance."""
        first = min(_FIRST_FACTORS, self.settings.factors)
        self.value(Popularity())
        self.climb(KNN(), KNN_STEPS, 0.1)
        self.climb(EASE(), EASE_STEPS, 0.4)
        self._factorize(SVD(factors=first), SVD_STEPS, 0.6)
        self._factorize(self._first_als(first), ALS_STEPS, 0.8)
        with self._within_work():
            als, svd = self._best(ALS.name).model, self._best(SVD.name).model
            self.value(Blend(als, svd, scale="deviation"))  # type: ignore[arg-type]
        self._distilled(self._best().model)
        self._distilled(None)  # SVD and ALS as large as the shape of the log allows

    def _factorize(self, model: Any, steps: Steps, share: float) -> None:
        """Grow a model as it is, and as its steps make it: what few factors need can mislead."""
        self.value(model)
        self.grow(model, _PER_FACTOR * self.settings.factors, share)
        self.climb(model, steps, share)
        self.grow(self._best_like(model), _PER_FACTOR * self.settings.factors, share)

    def _distilled(self, teacher: Any) -> None:
        """Distil few factors from a teacher, which mostly rank as well, and often better."""
        has_many_items = self.task.user_items.shape[1] > _MANY_ITEMS
        first = Distilled(
            min(_SMALL, self.settings.factors),
            teacher,
            temperature=_OF_MANY_ITEMS if has_many_items else _TEMPERATURE,
            iterations=_EPOCHS,
            most_users=_MOST_USERS,
        )
        with self._within_work():
            if self.value(first) >= (1 - _FAR) * self._best().value:
                self.climb(first, DISTILLED_STEPS)
                self.grow(self._best_like(first), self.settings.factors)

    def _best(self, name: str | None = None) -> Tried:
        """Return the best so far, of a kind."""
        found = best_of(self.tried.values())
        return next(iter(found.values())) if name is None else found[name]

    def _best_like(self, model: Any) -> Any:
        """Return the best so far of a kind and a size."""
        found = [one for one in self.tried.values() if _is_like(one, model)]
        return max(found, key=lambda one: one.value).model

    def climb(self, model: Fittable, steps: Steps, share: float = 1.0) -> None:
        """Go along hyperparameters while a step gains, up to a share of the work."""
        is_better = True
        with self._within_work(share):
            while is_better:
                before = self.value(model)
                for name, step in steps.items():
                    if name != "weight_exponent" or self._has_weights:
                        model = self._along(model, name, step)
                is_better = self.value(model) > before * (1 + _GAIN)

    @cached_property
    def _has_weights(self) -> bool:
        """Whether the log gives pairs different weights."""
        weights = self.task.user_items.data
        return bool(weights.min() < weights.max())

    def _along(self, model: Fittable, name: str, step: Step) -> Fittable:
        """Go up or down a hyperparameter while that gains."""
        for direction in (1, -1):
            begin = model
            while (further := moved(model, name, step, direction)) is not None:
                if self.value(further) <= self.value(model) * (1 + _GAIN):
                    break
                model = further
            if model is not begin:
                break
        return model

    def grow(self, model: Any, most: int, share: float = 1.0) -> None:
        """Fit a model with twice as many factors, as long as that gains something.

        And as long as nothing of its kind and size is better.
        """
        with self._within_work(share):
            while 2 * model.factors <= most:
                larger = model.with_factors(2 * model.factors)
                others = [one.value for one in self.tried.values() if _is_like(one, larger)]
                if self.value(larger) < max([self.value(model) * (1 + _TOLERANCE), *others]):
                    break
                model = larger

    def value(self, model: Fittable) -> float:
        """Return what a model reaches; fits it unless that was done before."""
        key = repr(model)
        if key not in self.tried:
            work = work_of(model, self.task, {key for key, _ in self.kept.values()})
            self._require_more(model.name, work)
            fitted = self._fitted(model)
            value = self.task.measure(fitted)
            if all(value > one.value for one in self.tried.values() if one.name == model.name):
                self.kept[model.name] = key, fitted
            self.tried[key] = Tried(model.name, parameters_of(model), value, work)
            self._report(self.tried[key])
        return self.tried[key].value

    def _fitted(self, model: Any) -> Any:
        """Fit a model, or take what is kept of it; a student learns from what is kept."""
        key, kept = self.kept.get(model.name, ("", None))
        if key == repr(model):
            return kept
        matrix = self.task.user_items
        match model:
            case Blend():
                return model.of(matrix, self._fitted(model.als), self._fitted(model.svd))
            case Distilled(teacher=teacher) if teacher is not None:
                return replace(model, teacher=Given(self._fitted(teacher))).fit(matrix)
        return model.fit(matrix)

    def _first_als(self, factors: int) -> ALS:
        """Return ALS as it is by default, or as the density of the log asks for."""
        models = ALS(factors=factors), als_for(self.task.user_items, factors)
        with self._within_work():
            return max(models, key=self.value)
        return models[0]

    @contextmanager
    def _within_work(self, share: float = 1.0) -> Iterator[None]:
        """Leave a part of the search out where a share of the work is not enough for it."""
        self.most = share
        try:
            yield
        except _EndError as end:
            self.ended = str(end) if share == 1.0 else self.ended

    def _share(self, work: float = 0.0) -> float:
        """Return what is done, with some more work, as a share of what may be."""
        return self._share_of(sum(one.work for one in self.tried.values()) + work)

    def _share_of(self, work: float) -> float:
        return work / self._most_work

    @cached_property
    def _most_work(self) -> float:
        unit = max(_SHARE_OF_LARGE * work_of(Distilled(), self.task), _LEAST_WORK)
        return self.settings.work * unit

    def _require_more(self, name: str, work: float) -> None:
        """Raise an _EndError if no other fit of that much work may begin."""
        is_first = name not in best_of(self.tried.values())
        if is_first and name in _ALWAYS:
            return
        minutes = self.settings.minutes
        if minutes is not None and perf_counter() - self.began >= 60 * minutes:
            raise _EndError(f"the time of auto.minutes = {minutes:g} is over")
        if is_first and name == Distilled.name:
            return
        if self._share(work) > self.most or self._share_of(work) > _LARGEST_SHARE:
            raise _EndError(f"the work of auto.work = {self.settings.work:g} is done")

    def _report(self, one: Tried) -> None:
        if self.on_step is not None:
            best = self._best()
            size = f", {one.factors} factors" if one.factors > 1 else ""
            note = f"{one.name}{size}; best {best.name} {best.value:.4f}"
            self.on_step(min(int(100 * self._share()), 100), 100, note)


def _is_like(one: Tried, model: Any) -> bool:
    """Return whether what was tried is of a model's kind and size."""
    return (one.name, one.factors) == (model.name, model.factors)
