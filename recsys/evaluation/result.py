"""What an evaluation found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.metrics import METRICS, FloatArray, RankedHits, coverage, interval_of_mean


@dataclass(frozen=True, eq=False)
class Entry:
    """A model in a comparison: what it reaches, and what it costs.

    Parameters
    ----------
    evaluation : Evaluation
    seconds : float
        Of the fit.
    n_bytes : int
        Of what scores are made from: embeddings, or weights between items.
    """

    evaluation: "Evaluation"
    seconds: float
    n_bytes: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics of one model on one split, with what is needed to compare it to another.

    Parameters
    ----------
    metrics : mapping of str to float
        Means over the evaluated users by name, such as "recall@20", and "coverage@20", the share
        of the catalogue that is in at least one list.
    intervals : mapping of str to (float, float)
        95 % interval of each mean, from the spread over users by the normal approximation.
        Coverage has none.
    k : int
        Length of the lists.
    n_users, n_items : int
        Users evaluated, and items ranked for each.
    left_out : mapping of str to int
        Users without test items, and the test events that the split left out, by reason.
    per_user : mapping of str to ndarray of float64, shape (n_users,)
        The value of each metric but coverage for each evaluated user.
    user_idx : ndarray of int32, shape (n_users,)
        The rows of the evaluated users, ascending.
    """

    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    k: int
    n_users: int
    n_items: int
    left_out: Mapping[str, int]
    per_user: Mapping[str, FloatArray]
    user_idx: NDArray[np.int32]

    @classmethod
    def of(
        cls,
        ranked: RankedHits,
        is_listed: NDArray[np.bool_],
        *,
        k: int,
        left_out: Mapping[str, int],
        user_idx: NDArray[np.int32],
    ) -> "Evaluation":
        """Compute every metric from ranked hits.

        Parameters
        ----------
        ranked : RankedHits
        is_listed : ndarray of bool, shape (n_items,)
            Items that are in at least one list.
        k, left_out, user_idx
            As above.
        """
        per_user = {f"{name}@{k}": metric(ranked) for name, metric in METRICS.items()}
        metrics = {name: float(values.mean()) for name, values in per_user.items()}
        return cls(
            metrics={**metrics, f"coverage@{k}": coverage(is_listed)},
            intervals={name: interval_of_mean(values) for name, values in per_user.items()},
            k=k,
            n_users=len(user_idx),
            n_items=len(is_listed),
            left_out=left_out,
            per_user=per_user,
            user_idx=user_idx,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all but the values per user, as plain types that JSON can hold."""
        return {
            "k": self.k,
            "n_users": self.n_users,
            "n_items": self.n_items,
            "metrics": dict(self.metrics),
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "left_out": dict(self.left_out),
        }

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        return f"Evaluation({self.n_users} users, {self.n_items} items: {shown})"

    def __str__(self) -> str:
        width = max(len(name) for name in self.metrics)
        lines = [f"{'metric':<{width}}   value   95 % interval"]
        for name, value in self.metrics.items():
            line = f"{name:<{width}}  {value:6.4f}"
            if name in self.intervals:
                low, high = self.intervals[name]
                line += f"   {low:6.4f} to {high:6.4f}"
            lines.append(line)
        lines.append(f"{self.n_users:,} users, each of {self.n_items:,} items ranked but the seen")
        if self.left_out:
            reasons = ", ".join(f"{reason} {n:,}" for reason, n in self.left_out.items())
            lines.append(f"left out: {reasons}")
        return "\n".join(lines)
