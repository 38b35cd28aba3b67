"""Cross-validation: one evaluation per fold, and how far the folds are apart."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys.base.errors import DataError
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.result import Evaluation
from recsys.models import Model
from recsys.models.protocol import epoch_bar
from recsys.splits.common import Split


@dataclass(frozen=True, eq=False)
class Folds:
    """The evaluations of one model on every fold.

    Parameters
    ----------
    evaluations : tuple of Evaluation
        In the order of the folds, at least two.

    Raises
    ------
    DataError
        If there are fewer than two.
    """

    evaluations: tuple[Evaluation, ...]

    def __post_init__(self) -> None:
        if len(self.evaluations) < 2:
            raise DataError(
                f"folds: expected two folds or more, got {len(self.evaluations)}; use split_folds"
            )

    def values(self, metric: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Return a metric on each fold, float64 (n_folds,).

        Raises
        ------
        DataError
            If there is no such metric.
        """
        known = self.evaluations[0].metrics
        if metric not in known:
            raise DataError(f"folds: expected one of {', '.join(known)}, got {metric!r}")
        return np.array([one.metrics[metric] for one in self.evaluations])

    @property
    def means(self) -> Mapping[str, float]:
        """The mean of each metric over the folds."""
        return {name: float(self.values(name).mean()) for name in self.evaluations[0].metrics}

    @property
    def deviations(self) -> Mapping[str, float]:
        """The standard deviation of each metric over the folds (denominator n - 1).

        It measures how far one split is from another. It is no standard error: the train parts of
        folds overlap, and no unbiased estimate of the variance of their mean exists (Bengio and
        Grandvalet, JMLR 2004). To say that a model is better than another, compare them user by
        user on one split.
        """
        return {name: float(self.values(name).std(ddof=1)) for name in self.evaluations[0].metrics}

    def to_dict(self) -> dict[str, Any]:
        """Return means, deviations and each fold as plain types that JSON can hold."""
        return {
            "n_folds": len(self.evaluations),
            "means": dict(self.means),
            "deviations": dict(self.deviations),
            "folds": [one.to_dict() for one in self.evaluations],
        }

    def __str__(self) -> str:
        means, deviations = self.means, self.deviations
        width = max(len(name) for name in means)
        lines = [f"{'metric':<{width}}    mean   deviation over {len(self.evaluations)} folds"]
        lines += [
            f"{name:<{width}}  {means[name]:6.4f}   {deviations[name]:6.4f}" for name in means
        ]
        return "\n".join(lines)


def evaluate_folds(
    model: Model,
    folds: Iterable[Split],
    k: int | Sequence[int] = 20,
    *,
    progress: bool = False,
) -> Folds:
    """Fit a model on the train part of every fold, and evaluate it on the other.

    Parameters
    ----------
    folds : iterable of (train, test)
        As `recsys.split_folds` yields them; each is let go before the next is made.
    k : int or sequence of int
        Length of the lists, at least 1.
    progress : bool
        Show bars, if stderr is a terminal.

    Raises
    ------
    DataError
        If there are fewer than two folds, or one of them cannot be evaluated.

    Examples
    --------
    ::

        print(recsys.evaluate_folds(recsys.ALS(), recsys.split_folds(log, 5), k=20))
    """
    evaluations = []
    for number, (train, test) in enumerate(folds, start=1):
        what = f"fitting {model.name}, fold {number}"
        with epoch_bar(what, enabled=progress) as on_epoch:
            embeddings = model.fit(train.user_items(), on_epoch=on_epoch)
        evaluations.append(evaluate(embeddings, train, test, k, progress=progress))
    return Folds(tuple(evaluations))
