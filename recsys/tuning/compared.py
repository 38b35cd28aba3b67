"""Models that were compared on one split, as a table with one row each."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from recsys.base.charts import Dot, DotPlot, interval_of
from recsys.base.errors import DataError, briefly, did_you_mean
from recsys.base.lazy import lazy_property
from recsys.base.tables import Tabular, table_of
from recsys.evaluation import ComparedModel, Comparison, compare
from recsys.models import Model, model_from, nested
from recsys.tuning.advice import Advice, advise, best_name


@dataclass(frozen=True, eq=False, repr=False)
class Compared(Tabular):
    """Models on the same split, and each against a baseline; iterates over their names.

    Parameters
    ----------
    models : mapping of str to ComparedModel
        By name, the baseline among them.
    baseline : str
    metric : str
        What they are compared by, such as "ndcg@20".
    """

    models: Mapping[str, ComparedModel]
    baseline: str
    metric: str

    def __len__(self) -> int:
        return len(self.models)

    def __iter__(self) -> Iterator[str]:
        return iter(self.models)

    def __getitem__(self, name: str) -> ComparedModel:
        """Return a model by its name; a DataError names those that there are."""
        if name not in self.models:
            raise DataError(
                f"compare: expected one of {', '.join(self.models)}, got {briefly(name)}"
                f"{did_you_mean(name, self.models)}"
            )
        return self.models[name]

    @lazy_property
    def comparisons(self) -> Mapping[str, Comparison]:
        """Each other model against the baseline, by name."""
        evaluations = {name: one.evaluation for name, one in self.models.items()}
        found = compare(evaluations, self.baseline, self.metric)
        return {one.model: one for one in found}

    @property
    def best(self) -> str:
        """The name of the model with the highest mean."""
        return best_name(self.models, self.metric)

    @property
    def advice(self) -> Advice | None:
        """Which model to train, in three sentences; None where none of them has vectors."""
        return advise(self.models, self.metric)

    @property
    def model(self) -> Model:
        """The model to train, as `recsys.train` takes it; a DataError where none has vectors."""
        advice = self.advice
        if advice is None:
            raise DataError(
                "compare: expected a model with vectors, which can be published, got none among "
                f"{', '.join(self.models)}; compare als, svd or auto as well"
            )
        return model_from(advice.name, nested(advice.parameters))

    def to_arrow(self) -> pa.Table:
        """Return one row per model, best first.

        What it reaches with the 95 % interval, how it differs from the baseline, what it costs, and
        its hyperparameters.
        """
        by_value = sorted(
            self.models, key=lambda name: -self.models[name].evaluation.metrics[self.metric]
        )
        rows = (self._row(name) for name in by_value)
        return table_of(rows, ("deviation_over_seeds", "tuning_seconds", *_STANDING))

    def charts(self) -> list[DotPlot]:
        """Return the models, best first, with their intervals; the best is marked."""
        reached = {name: one.evaluation for name, one in self.models.items()}
        values = {name: one.metrics[self.metric] for name, one in reached.items()}
        dots = [
            Dot(
                name,
                values[name],
                interval_of(reached[name].intervals[self.metric]),
                is_marked=name == self.best,
            )
            for name in sorted(values, key=lambda name: -values[name])
        ]
        title = f"{self.metric}, 95 % interval"
        return [DotPlot(title, dots, values[self.baseline], self.baseline)]

    def caption(self) -> str:
        """Return what the models are compared by, on how many users, and which to train."""
        n_users = self.models[self.best].evaluation.n_users
        compared = f"{self.metric} of {n_users:,} users, against {self.baseline}."
        return " ".join([compared, *(self.advice.sentences if self.advice else [])])

    def _row(self, name: str) -> dict[str, Any]:
        model, standing = self.models[name], self.comparisons.get(name)
        evaluation = model.evaluation
        recall = f"recall@{evaluation.k}"
        low, high = evaluation.intervals[self.metric]
        row = {
            "model": name,
            self.metric: evaluation.metrics[self.metric],
            "low": low,
            "high": high,
            recall: evaluation.metrics[recall],
            "deviation_over_seeds": model.spread(self.metric),
        }
        if standing is None:
            row |= dict.fromkeys(_STANDING)
        else:
            found = asdict(standing)
            found["difference_low"], found["difference_high"] = standing.interval
            row |= {name: found[name] for name in _STANDING}
        return row | {
            "tuning_seconds": model.tuning_seconds or None,
            "fit_seconds": model.seconds,
            "bytes": model.n_bytes,
            "peak_bytes": model.peak_bytes,
            "parameters": ", ".join(f"{key} {value}" for key, value in model.parameters.items()),
        }


_STANDING = ("difference", "p_value", "better", "worse", "difference_low", "difference_high")
"""Columns of a row that are of `Comparison`."""
