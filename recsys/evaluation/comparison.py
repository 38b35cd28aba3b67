"""Compare models on the same test users: paired intervals, p-values, seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Any

import numpy as np

from recsys.base.charts import Dot, DotPlot, interval_of
from recsys.base.errors import DataError, briefly
from recsys.base.lazy import lazy_property
from recsys.base.tables import TableList
from recsys.evaluation.intervals import bootstrap_intervals, resample_blocks
from recsys.evaluation.metrics import FloatArray
from recsys.evaluation.result import Evaluation


@dataclass(frozen=True, eq=False, repr=False)
class ComparedModel:
    """A model in a comparison.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        One for each seed, on the same users.
    seconds : float
        Of a fit, the mean over seeds.
    n_bytes : int
        Of what scores are made from: embeddings, or weights between items.
    peak_bytes : int or None
        The most memory that a fit took; None where the system does not report it.
    parameters : mapping of str to value
        The hyperparameters, where they are not the defaults.
    tuning_seconds : float
        What finding them took.
    model : str
        The name of the model, which a row of a comparison can have another name than.
    """

    evaluations: Sequence[Evaluation]
    seconds: float
    n_bytes: int
    peak_bytes: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tuning_seconds: float = 0.0
    model: str = ""

    @lazy_property
    def evaluation(self) -> Evaluation:
        """What is reached on average over the seeds; its intervals are over users."""
        return mean_over_seeds(self.evaluations)

    def __repr__(self) -> str:
        of_seeds = f", {len(self.evaluations)} seeds" if len(self.evaluations) > 1 else ""
        return f"ComparedModel({self.model or 'model'}{of_seeds}: {self.evaluation.caption()})"

    def spread(self, metric: str) -> float | None:
        """Return the standard deviation of a metric over the seeds; None of a single one.

        It measures what another start changes; the intervals measure what other users change.
        """
        if len(self.evaluations) < 2:
            return None
        return stdev(one.metrics[metric] for one in self.evaluations)


def mean_over_seeds(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return the mean of evaluations of one model, user by user; a DataError if users differ."""
    first = evaluations[0]
    if len(evaluations) == 1:
        return first
    for one in evaluations:
        first.require_same_users(one, "seeds")
    per_user = {
        name: np.mean([one.per_user[name] for one in evaluations], axis=0)
        for name in first.per_user
    }
    means = {name: fmean(one.metrics[name] for one in evaluations) for name in first.metrics}
    items = replace(
        first.items, n_found=np.mean([one.items.n_found for one in evaluations], axis=0)
    )
    return replace(first, metrics=means, per_user=per_user, items=items)


_TOO_CLOSE = 1e-12  # a difference of means that sums of float64 round off


@dataclass(frozen=True)
class Comparison:
    """A model against a baseline, on the same users.

    Parameters
    ----------
    difference : float
        Mean over users of the metric of the model less that of the baseline.
    interval : (float, float)
        95 % interval of the difference, by bootstrap over users.
    p_value : float
        How often random signs of the users' differences give a mean as far from 0, by
        permutation; corrected for the number of models (Holm 1979).
    better, worse : float
        Share of the users for whom the model is better, and worse, than the baseline.
    """

    model: str
    baseline: str
    metric: str
    difference: float
    interval: tuple[float, float]
    p_value: float
    better: float
    worse: float


class Comparisons(TableList[Comparison]):
    """Models against one baseline: a list, and a table."""

    def charts(self) -> list[DotPlot]:
        """Return the differences with their intervals; those below the baseline are marked."""
        dots = [
            Dot(one.model, one.difference, interval_of(one.interval), one.interval[1] < 0)
            for one in self
        ]
        if not dots:
            return []
        title = f"{self[0].metric} above {self[0].baseline}, 95 % interval"
        return [DotPlot(title, dots, reference=0.0)]


def compare(
    evaluations: Mapping[str, Evaluation],
    baseline: str,
    metric: str,
    *,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Comparisons:
    """Compare every model with a baseline, user by user.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        By model, of which the baseline is one; of the same users.
    n_resamples : int
        Of the bootstrap, and signs of the permutation test: p-values are no finer than
        ``1 / (n_resamples + 1)``.

    Returns
    -------
    list of Comparison
        One for each other model, in the order given; also a table, with ``to_pandas()``.

    Raises
    ------
    DataError
        If a model or metric is not there, or the evaluations are of different users.

    Examples
    --------
    ::

        compare({"als": a, "popularity": b}, baseline="popularity", metric="ndcg@20")
    """
    if not isinstance(evaluations, Mapping):
        raise DataError(
            f"compare: expected evaluations by model, got {type(evaluations).__name__}; pass a "
            "mapping such as {'als': recsys.evaluate(...)}"
        )
    for name, one in evaluations.items():
        if not isinstance(one, Evaluation):
            raise DataError(
                f"compare: {name}: expected an Evaluation, got {type(one).__name__}; pass what "
                "recsys.evaluate returns"
            )
    if baseline not in evaluations:
        raise DataError(
            f"compare: expected one of {', '.join(evaluations)}, got {briefly(baseline)}"
        )
    reference = evaluations[baseline].of_users(metric)
    names = [name for name in evaluations if name != baseline]
    for name in names:
        evaluations[baseline].require_same_users(evaluations[name], f"compare: {name}")
    if not names:
        return Comparisons()
    differences = np.column_stack([evaluations[one].of_users(metric) - reference for one in names])
    intervals = bootstrap_intervals(differences, n_resamples=n_resamples, seed=seed)
    p_values = holm(permutation_p_values(differences, n_resamples=n_resamples, seed=seed))
    return Comparisons(
        Comparison(
            model=name,
            baseline=baseline,
            metric=metric,
            difference=float(column.mean()),
            interval=(float(low), float(high)),
            p_value=float(p_value),
            better=float((column > 0).mean()),
            worse=float((column < 0).mean()),
        )
        for name, column, (low, high), p_value in zip(
            names, differences.T, intervals, p_values, strict=True
        )
    )


def permutation_p_values(
    differences: FloatArray,  # (n_users, n_columns)
    *,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> FloatArray:
    """Return two-sided p-values (n_columns,) of column means under random signs of the rows.

    If two models were alike, each user's difference could as well be its negative. The given signs
    count as one of the draws, so that no p-value is 0.
    """
    n_users, n_columns = differences.shape
    rng = np.random.default_rng(seed)
    observed = np.abs(differences.sum(axis=0))
    as_far = np.ones(n_columns)
    rounding = _TOO_CLOSE * np.abs(differences).sum(axis=0)
    for block in resample_blocks(n_resamples, 8 * n_users):
        shape = (block.stop - block.start, n_users)
        signs = 2.0 * rng.integers(0, 2, shape, dtype=np.int8) - 1
        as_far += (np.abs(signs @ differences) >= observed - rounding).sum(axis=0)
    p_values: FloatArray = as_far / (n_resamples + 1)
    return p_values


def holm(p_values: FloatArray) -> FloatArray:
    """Return p-values corrected for their number by Holm's step-down method (1979), at most 1."""
    order = np.argsort(p_values)
    n = len(p_values)
    stepped = np.maximum.accumulate((n - np.arange(n)) * p_values[order])
    corrected = np.empty(n)
    corrected[order] = np.minimum(stepped, 1)
    return corrected
