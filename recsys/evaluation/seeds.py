"""A model in a comparison: what it reaches with several random starts, and what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

import numpy as np

from recsys.errors import DataError
from recsys.evaluation.result import Evaluation


@dataclass(frozen=True, eq=False)
class Entry:
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
        The most memory that a fit took; None where the system does not tell.
    parameters : mapping of str to value
        The hyperparameters, where they are not the defaults.
    tuning_seconds : float
        What finding them took.
    """

    evaluations: Sequence[Evaluation]
    seconds: float
    n_bytes: int
    peak_bytes: int | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    tuning_seconds: float = 0.0

    @cached_property
    def evaluation(self) -> Evaluation:
        """What is reached on average over the seeds; its intervals are over users."""
        return mean_over_seeds(self.evaluations)

    def spread(self, metric: str) -> float | None:
        """Return the standard deviation of a metric over the seeds; None of a single one.

        It says what another start would change. What other users would change is in the
        intervals, and is another thing.
        """
        if len(self.evaluations) < 2:
            return None
        return stdev(one.metrics[metric] for one in self.evaluations)


def mean_over_seeds(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return the mean of evaluations of one model, user by user.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        Of the same users, at least one.

    Raises
    ------
    DataError
        If they are of different users.
    """
    first = evaluations[0]
    if len(evaluations) == 1:
        return first
    if not all(np.array_equal(one.user_idx, first.user_idx) for one in evaluations):
        raise DataError("seeds: expected evaluations of the same users, got others; use one split")
    per_user = {
        name: np.mean([one.per_user[name] for one in evaluations], axis=0)
        for name in first.per_user
    }
    means = {name: fmean(one.metrics[name] for one in evaluations) for name in first.metrics}
    items = replace(
        first.items, n_found=np.mean([one.items.n_found for one in evaluations], axis=0)
    )
    return replace(first, metrics=means, per_user=per_user, items=items)
