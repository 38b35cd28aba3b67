"""What an evaluation found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.charts import DotPlot, dots_of_metrics
from recsys.base.errors import DataError, briefly
from recsys.base.lazy import lazy_property
from recsys.base.tables import Tabular, metrics_table
from recsys.evaluation.intervals import intervals_of
from recsys.evaluation.metrics import FloatArray
from recsys.vectors import Ids


@dataclass(frozen=True, eq=False)
class ItemCounts:
    """By item: its users in train, its users in test, and those whose list holds it."""

    popularity: NDArray[np.integer]  # (n_items,): users of train who have it
    n_relevant: NDArray[np.integer]  # (n_items,): evaluated users who have it in test
    n_found: NDArray[np.integer]  # (n_items,): those whose list, of the largest length, holds it


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Tabular):
    """Metrics of one model on one split, with what is needed to compare it to another.

    Parameters
    ----------
    metrics : mapping of str to float
        By name and length, such as "recall@20": means over the evaluated users, and metrics of all
        lists together, such as "coverage@20".
    k : int
        Length of the lists, the largest of several.
    n_users, n_items : int
        Users evaluated, and items ranked for each.
    left_out : mapping of str to int
        Users without test items, and the test events that the split left out, by reason.
    per_user : mapping of str to ndarray of float64, shape (n_users,)
        The value of each metric that has one for each evaluated user.
    user_idx : ndarray of int32, shape (n_users,)
        The rows of the evaluated users, ascending.
    n_seen : ndarray of integers, shape (n_users,)
        Items that each of them has in train.
    """

    metrics: Mapping[str, float]
    k: int
    n_users: int
    n_items: int
    left_out: Mapping[str, int]
    per_user: Mapping[str, FloatArray]
    user_idx: NDArray[np.int32]
    n_seen: NDArray[np.integer]
    items: ItemCounts

    @lazy_property
    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """95 % interval of each mean over users, by bootstrap over users; made when first asked."""
        return intervals_of(self.per_user)

    def of_users(self, metric: str) -> FloatArray:
        """Return a metric of single users, (n_users,); a DataError names those that there are."""
        if metric not in self.per_user:
            raise DataError(
                f"evaluation: expected one of {', '.join(self.per_user)}, got {briefly(metric)}"
            )
        return self.per_user[metric]

    def require_same_users(self, other: "Evaluation", what: str) -> None:
        """Raise a DataError if another evaluation is of other users: they cannot be compared."""
        if not np.array_equal(self.user_idx, other.user_idx):
            raise DataError(
                f"{what}: expected evaluations of the same users, got others; evaluate on one split"
            )

    def to_arrow(self) -> pa.Table:
        """Return one row per metric: metric, value, and the ends of its interval, low and high."""
        return metrics_table(self.metrics, self.intervals)

    def caption(self) -> str:
        """Return the first metrics, and of how many users."""
        shown = ", ".join(
            f"{name} {self.metrics[name]:.4f}" for name in self.metrics if _is_main(name)
        )
        return f"{shown}; {self.n_users:,} users, {self.n_items:,} items"

    def charts(self) -> list[DotPlot]:
        """Return the metrics that are means over users, with their intervals."""
        return dots_of_metrics(self.metrics, self.intervals)

    def to_table(self, users: Ids) -> pa.Table:
        """Return one row per evaluated user, whose ids are among those of train, `users`.

        Columns are user_id, n_seen, and every metric.
        """
        columns = {"user_id": users.take(self.user_idx).values, "n_seen": self.n_seen}
        return pa.table(columns | dict(self.per_user))

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

    def __str__(self) -> str:
        width = max(len(name) for name in self.metrics)
        lines = [f"{'metric':<{width}}   value   95 % interval"]
        for name, value in self.metrics.items():
            line = f"{name:<{width}}  {value:6.4f}"
            if name in self.intervals:
                low, high = self.intervals[name]
                line += f"   {low:6.4f} to {high:6.4f}"
            lines.append(line)
        lines.append(
            f"{self.n_users:,} users; of {self.n_items:,} items, those not seen in train are ranked"
        )
        if self.left_out:
            reasons = ", ".join(f"{reason} {n:,}" for reason, n in self.left_out.items())
            lines.append(f"left out: {reasons}")
        return "\n".join(lines)


def _is_main(name: str) -> bool:
    return name.startswith(("recall@", "ndcg@"))
