"""The fits of a choice of a model, and what each reached."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.lazy import lazy_property
from recsys.base.progress import OnStep
from recsys.evaluation import TOLERANCE
from recsys.models import (
    ALS,
    EASE,
    KNN,
    SVD,
    Blend,
    Distilled,
    Popularity,
    flat,
    parameters_of,
)
from recsys.models.distilled.teacher import Given, als_for
from recsys.models.protocol import recency_of, takes_order
from recsys.settings import AutoSettings
from recsys.tuning.candidates import Candidate, Fittable
from recsys.tuning.space import has_order
from recsys.tuning.steps import (
    ALS_STEPS,
    DISTILLED_STEPS,
    EASE_STEPS,
    KNN_STEPS,
    ORDER_STEPS,
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
_SMALL = 64  # factors of what is distilled
_ALWAYS = (Popularity.name, SVD.name, ALS.name)  # one of each is fitted whatever it takes
_SHARE_OF_LARGE, _LEAST_WORK = 0.2, 1e12  # the work: of a fit with a large teacher, and at least
_LARGEST_SHARE = 0.35  # of the work, for a single fit
_STEP = 0.03  # of the work, for a fit that others go on from along hyperparameters
_MOST_FACTORS = 1024  # of a teacher
_LEARNING = 5_000  # users of a trial of a distilled model, those that are measured among them
_USERS_OF_EPOCHS, _EPOCHS = 160_000, (8, 20)  # of all epochs together; the fewest, the most
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


def best_of(tried: Iterable[Tried]) -> dict[str, Tried]:
    """Return the best of each kind by its name, best first; the first of equals."""
    found: dict[str, Tried] = {}
    for one in sorted(tried, key=lambda one: -one.value):
        found.setdefault(one.name, one)
    return found


class _EndError(Exception):
    """The work or the time is used up; the message says which."""


@dataclass
class Fits:
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
        of_scorers: list[tuple[Fittable, Steps]] = [(KNN(), KNN_STEPS), (EASE(), EASE_STEPS)]
        for scorer, _ in of_scorers:
            self.climb(scorer, ORDER_STEPS, 0.4)
        self._factorize(SVD(factors=first), SVD_STEPS, 0.5)
        self._factorize(self._first_als(first), ALS_STEPS, 0.65)
        for scorer, steps in of_scorers:
            if self._is_near(scorer):
                self.climb(scorer, steps, 0.85)
        with self._within_work():
            self.value(self._blend())
        self._distilled(self._teacher())
        self._distilled(None)  # SVD and ALS as large as the shape of the log allows

    def _factorize(self, model: Any, steps: Steps, share: float) -> None:
        """Grow a model, then go along its steps with the most factors that many fits can have.

        Unless fewer factors than the best are so far from it that what they need can mislead.
        """
        most = max(_MOST_FACTORS, self.settings.factors)
        self.value(model)
        self.climb(model, ORDER_STEPS, share)
        model = self._best_like(model)
        self.grow(model, most, share)
        largest = self._best(model.name).factors
        while largest > model.factors and self._share_of_fit(model.with_factors(largest)) > _STEP:
            largest //= 2
        begin = model.with_factors(largest)
        if self._is_near(begin, self._best(model.name)):
            self.climb(begin, steps, share)
            self.grow(self._best_like(begin), most, share)
            self.shrink(self._best(model.name).model, model.factors, share)

    def _blend(self) -> Blend:
        """Return the blend of the best of both, with the recency of the better one."""
        als, svd = self._best(ALS.name), self._best(SVD.name)
        recency = recency_of(max(als, svd, key=lambda one: one.value).model)
        halves: Any = [replace(one.model, recency=recency) for one in (als, svd)]
        return Blend(halves[0], halves[1], scale="deviation")

    def _teacher(self) -> Fittable:
        """Return the best so far, or the blend where it is as good: more is learned from two."""
        best, blends = self._best(), [one for one in self.tried.values() if one.name == Blend.name]
        as_good = [one for one in blends if one.value >= (1 - TOLERANCE) * best.value]
        return max(as_good or [best], key=lambda one: one.value).model

    def _distilled(self, teacher: Any) -> None:
        """Distil few factors from a teacher, which mostly rank as well, and often better."""
        recency = recency_of(self._best().model if teacher is None else teacher)
        first = student_of(teacher, self.task.user_items.shape, self.settings.factors, recency)
        with self._within_work():
            self.value(first)
            if self._is_near(first):
                self.climb(first, DISTILLED_STEPS)
                self.grow(self._best_like(first), self.settings.factors)

    def _best(self, name: str | None = None) -> Tried:
        """Return the best so far, of a kind."""
        found = best_of(self.tried.values())
        return next(iter(found.values())) if name is None else found[name]

    def _is_near(self, model: Fittable, best: Tried | None = None) -> bool:
        """Return whether a model was tried, and is near the best so far."""
        found = self.tried.get(repr(model))
        return found is not None and found.value >= (1 - _FAR) * (best or self._best()).value

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
                    if self._counts(model, name):
                        model = self._along(model, name, step)
                is_better = self.value(model) > before * (1 + _GAIN)

    def _counts(self, model: Fittable, name: str) -> bool:
        """Return whether a model has a hyperparameter, and the log what it is about."""
        if name == "weight_exponent":
            return self._has_weights
        return hasattr(model, name) and (name not in ORDER_STEPS or has_order(self.task.train))

    @lazy_property
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
                if self.value(larger) < max([self.value(model) * (1 + TOLERANCE), *others]):
                    break
                model = larger

    def shrink(self, model: Any, least: int, share: float = 1.0) -> None:
        """Fit a model with half as many factors, as long as that loses next to nothing."""
        with self._within_work(share):
            lowest = (1 - TOLERANCE) * self.value(model)
            while model.factors // 2 >= least:
                model = model.with_factors(model.factors // 2)
                if self.value(model) < lowest:
                    break

    def value(self, model: Fittable) -> float:
        """Return what a model reaches; fits it unless that was done before."""
        key = repr(model)
        if key not in self.tried:
            work = work_of(_trial_of(model), self.task, {key for key, _ in self.kept.values()})
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
        data = self.task.train if self._asks_for_log(model) else self.task.user_items
        match model:
            case Blend():
                return model.of(data, self._fitted(model.als), self._fitted(model.svd))
            case Distilled(teacher=teacher):
                given = None if teacher is None else Given(self._fitted(teacher))
                return replace(model, teacher=given).fit(data, learning=self.learning)
        return model.fit(data)

    def _asks_for_log(self, model: Any) -> bool:
        """Whether a matrix of likes is not all that a model can learn from."""
        return takes_order(model) or self.task.train.dislikes is not None

    @lazy_property
    def learning(self) -> NDArray[np.integer]:
        """The users that train a student: those that are measured, as all will, and some others."""
        has_history = np.diff(self.task.user_items.indptr) > 0
        is_measured = np.diff(self.task.relevant.indptr) > 0
        measured, others = (
            np.flatnonzero(has_history & chosen) for chosen in (is_measured, ~is_measured)
        )
        n_others = min(max(_LEARNING - len(measured), 0), len(others))
        drawn = np.random.default_rng(self.task.seed).choice(others, n_others, replace=False)
        return np.sort(np.concatenate([measured, drawn]))

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

    def _share_of_fit(self, model: Fittable) -> float:
        return self._share_of(work_of(model, self.task))

    def _share_of(self, work: float) -> float:
        return work / self._most_work

    @lazy_property
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


def student_of(
    teacher: Any, shape: tuple[int, int], most_factors: int, recency: float
) -> Distilled:
    """Return a distilled model of few factors as the shape of a log (users, items) asks for."""
    n_users, n_items = shape
    return Distilled(
        min(_SMALL, most_factors),
        teacher,
        temperature=_OF_MANY_ITEMS if n_items > _MANY_ITEMS else _TEMPERATURE,
        iterations=_epochs(n_users),
        recency=recency,
    )


def _epochs(n_users: int) -> int:
    """Return the epochs of a student: more where a log has few users, whose batches are few."""
    fewest, most = _EPOCHS
    return min(max(-(-_USERS_OF_EPOCHS // n_users), fewest), most)


def _trial_of(model: Fittable) -> Fittable:
    """Return the model as a choice fits it."""
    return replace(model, most_users=_LEARNING) if isinstance(model, Distilled) else model


def _is_like(one: Tried, model: Any) -> bool:
    """Return whether what was tried is of a model's kind and size."""
    return (one.name, one.factors) == (model.name, model.factors)
