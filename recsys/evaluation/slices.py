"""Where a model is good and where it is not: metrics by groups of users."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.evaluation.bootstrap import intervals_of
from recsys.evaluation.result import Evaluation


@dataclass(frozen=True)
class Slice:
    """A metric over the users of one group.

    Parameters
    ----------
    group : str
    n_users : int
    mean : float
    interval : (float, float)
        95 % interval of the mean, by bootstrap over the users of the group.
    """

    group: str
    n_users: int
    mean: float
    interval: tuple[float, float]


def slices(
    evaluation: Evaluation, labels: NDArray[np.generic] | Sequence[str], metric: str
) -> list[Slice]:
    """Return a metric by group of users, in the order in which `np.unique` has the labels.

    Parameters
    ----------
    evaluation : Evaluation
    labels : array of shape (n_users,)
        The group of each evaluated user, in the order of ``evaluation.user_idx``.
    metric : str
        Such as "ndcg@20".

    Returns
    -------
    list of Slice

    Raises
    ------
    DataError
        If there is not one label for each user, or no such metric.
    """
    values = evaluation.per_user.get(metric)
    if values is None:
        raise DataError(f"slices: expected one of {', '.join(evaluation.per_user)}, got {metric!r}")
    groups, group_of = np.unique(np.asarray(labels), return_inverse=True)
    if len(group_of) != len(values):
        raise DataError(
            f"slices: expected a label for each of {len(values)} users, got {len(group_of)}"
        )
    found = []
    for number, group in enumerate(groups):
        own = values[group_of == number]
        interval = intervals_of({metric: own})[metric]
        found.append(Slice(str(group), len(own), float(own.mean()), interval))
    return found


def by_activity(evaluation: Evaluation, metric: str, n_groups: int = 4) -> list[Slice]:
    """Return a metric by the number of items that users had in train.

    Parameters
    ----------
    evaluation : Evaluation
    metric : str
    n_groups : int
        Groups of about the same size, as far as users with as many items can be kept together.

    Returns
    -------
    list of Slice
        The least active first; groups are named such as "5 - 9 items".
    """
    n_seen = evaluation.n_seen
    quantiles = np.linspace(0, 1, n_groups + 1)[1:-1]
    edges = np.unique(np.quantile(n_seen, quantiles, method="higher"))
    group_of = np.searchsorted(edges, n_seen, side="right")
    numbers = np.unique(group_of)
    names = {}
    for number in numbers.tolist():
        own = n_seen[group_of == number]
        low, high = int(own.min()), int(own.max())
        names[f"{number:09}"] = f"{low} items" if low == high else f"{low} - {high} items"
    labels = np.array([f"{number:09}" for number in group_of.tolist()])
    return [
        Slice(names[one.group], one.n_users, one.mean, one.interval)
        for one in slices(evaluation, labels, metric)
    ]
