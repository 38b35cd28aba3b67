"""Choose a model for a log: fit what has a chance on a validation part, small first.

What is fitted next depends on what was reached, and the end on counted work: so the same log and
settings choose the same model on any machine, busy or not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from recsys.base.charts import Line, LinePlot, Mark
from recsys.base.progress import OnStep
from recsys.base.tables import Tabular, table_of
from recsys.evaluation import TOLERANCE
from recsys.models import ALS, Model, flat, model_from, parameters_of
from recsys.settings import AutoSettings
from recsys.tuning.fits import Fits, Tried, best_of
from recsys.tuning.task import Task

_LEAST_USERS = 100  # of a validation part that can tell models apart


@dataclass(frozen=True, repr=False)
class Choice(Tabular):
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

    def to_arrow(self) -> pa.Table:
        """Return one row per fit, in their order: what it reached, and its hyperparameters."""
        return table_of(
            {
                "model": one.name,
                "factors": one.factors or None,
                self.metric: one.value,
                "work": one.work,
                "is_chosen": (one.name, one.parameters) == (self.name, self.parameters),
            }
            | {name: value for name, value in flat(one.parameters).items() if name != "factors"}
            for one in self.tried
        )

    def charts(self) -> list[LinePlot]:
        """Return what each fit reached, in their order, by the kind of model."""
        numbered = list(enumerate(self.tried, start=1))
        of = {
            name: [(n, one.value) for n, one in numbered if one.name == name] for name in self.best
        }
        lines = [
            Line(name, [n for n, _ in points], [value for _, value in points], has_line=False)
            for name, points in of.items()
        ]
        marks = [
            Mark(number, one.value, "chosen")
            for number, one in numbered
            if (one.name, one.parameters) == (self.name, self.parameters)
        ]
        title = f"{self.metric} on the validation part"
        return [LinePlot(title, "fit", self.metric, lines, marks[:1])] if len(numbered) > 1 else []

    def caption(self) -> str:
        """Return what was chosen, and why."""
        return "; ".join(self.sentences[:2])

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
        within = f"the fewest factors within {TOLERANCE:.0%} of the best: "
        why = within if chosen.value < max(one.value for one in self.tried) else ""
        return [
            f"model: {why}{self.name}, {factors} factors, {self.metric} {chosen.value:.4f} on the "
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
    search = Fits(task, settings, on_step)
    search.run()
    tried = tuple(search.tried.values())
    chosen = smallest_of_best(one for one in tried if 0 < one.factors <= settings.factors)
    return Choice(chosen.name, chosen.parameters, metric, task.n_users, tried, search.ended)


def smallest_of_best(tried: Iterable[Tried]) -> Tried:
    """Return what has the fewest factors within 1 % of the best."""
    found = list(tried)
    least = (1 - TOLERANCE) * max(one.value for one in found)
    return min(
        (one for one in found if one.value >= least), key=lambda one: (one.factors, -one.value)
    )


def unchosen(settings: AutoSettings, metric: str, n_users: int, reason: str) -> Choice:
    """Return the choice where nothing can be measured: ALS as it is by default."""
    model = ALS(factors=min(ALS().factors, settings.factors))
    return Choice(model.name, parameters_of(model), metric, n_users, ended=reason)
