"""The dimension curve: what each number of factors costs, what it buys, and its knee."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from recsys.base.charts import Line, LinePlot, Mark, interval_of
from recsys.base.errors import DataError
from recsys.base.tables import Tabular, table_of
from recsys.evaluation.intervals import margin_of_mean
from recsys.evaluation.metrics import FloatArray
from recsys.evaluation.result import Evaluation
from recsys.vectors import STORAGES, Storage

TOLERANCE = 0.01
"""The loss, as a share of the best mean, that counts as none."""


_NO_COSTS = ("factors", "storage", "evaluation")


@dataclass(frozen=True)
class Knee:
    """Which candidate to choose, and what choosing it loses."""

    place: int  # of the knee among the candidates
    best: int  # place of the candidate with the highest mean
    loss: float  # mean over users of the best's accuracy less the knee's
    margin: float  # half the width of the 95 % interval of that mean; infinite with one user


def find_knee(
    costs: Sequence[float], per_user: Sequence[FloatArray], *, tolerance: float = TOLERANCE
) -> Knee:
    r"""Return the cheapest candidate that is as good as the best.

    The best is the candidate with the highest mean accuracy over users, the cheaper one of equals.
    With :math:`d_u` the best's accuracy for user u less the candidate's, a candidate is *as good
    as the best* if one of two things is true:

    - its loss is noise: the 95 % interval of the mean of :math:`d_u` holds 0,
      :math:`\bar d \le 1.96 \, s_d / \sqrt{n}`;
    - its loss is small: :math:`\bar d` is at most `tolerance` times the mean of the best.

    Differences of the same users are compared, not two intervals: how much users differ from each
    other does not show how much two sizes differ. Few users make much noise, and the knee is then
    a small size, because nothing shows that a larger one is better.

    Parameters
    ----------
    costs : sequence of float
        Of each candidate, in any unit.
    per_user : sequence of ndarray of float64, shape (n_users,)
        Accuracy of each candidate for the same users in the same order.
    tolerance : float
        0 or more.

    Raises
    ------
    DataError
        If there is no candidate, or candidates differ in users.

    Examples
    --------
    >>> found = find_knee([8, 16, 32], [np.full(50, 0.1), np.full(50, 0.199), np.full(50, 0.2)])
    >>> found.place, found.best
    (1, 2)
    """
    n_users = {len(values) for values in per_user}
    if len(n_users) != 1 or 0 in n_users or len(costs) != len(per_user):
        raise DataError(
            "knee: expected candidates with a cost each, measured on the same users, got "
            f"{len(costs)} costs and {len(per_user)} candidates on "
            f"{', '.join(map(str, sorted(n_users))) or 'no'} users"
        )
    by_cost = np.argsort(costs, kind="stable").tolist()
    means = [float(values.mean()) for values in per_user]
    best = max(by_cost, key=means.__getitem__)  # the first, so the cheapest, of equals
    for place in by_cost:
        lost = per_user[best] - per_user[place]
        loss, margin = float(lost.mean()), margin_of_mean(lost)
        if place == best or loss <= max(margin, tolerance * means[best]):
            break
    return Knee(place=place, best=best, loss=loss, margin=margin)


@dataclass(frozen=True, eq=False)
class DimensionPoint:
    """One number of factors in one storage, measured.

    Parameters
    ----------
    storage : {"float32", "float16", "int8"}
    evaluation : Evaluation
        Of the vectors as they come back from the storage.
    vector_bytes : int
        Bytes of one user or one item.
    n_bytes : int
        Bytes of all users and items.
    train_seconds : float
        Time of the fit, compilation apart; the same for every storage.
    query_microseconds : float
        Median time of an exact search of one user's best k items on one core. Vectors are decoded
        to float32 when they are loaded, so that it is the same for every storage.
    """

    factors: int
    storage: Storage
    evaluation: Evaluation
    vector_bytes: int
    n_bytes: int
    train_seconds: float
    query_microseconds: float

    @property
    def label(self) -> str:
        """The point in words, such as "64 factors in int8"."""
        return f"{self.factors} factors in {self.storage}"

    @property
    def size(self) -> str:
        """The bytes of all users and items in words, such as "4.8 MB"."""
        for unit, n_bytes in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
            if self.n_bytes >= n_bytes:
                return f"{self.n_bytes / n_bytes:,.1f} {unit}"
        return f"{self.n_bytes} bytes"

    def accuracy(self, metric: str) -> tuple[float, float, float]:
        """Return the mean of a metric such as "ndcg", and the ends of its 95 % interval."""
        name = f"{metric}@{self.evaluation.k}"
        return self.evaluation.metrics[name], *self.evaluation.intervals[name]


@dataclass(frozen=True, eq=False, repr=False)
class DimensionCurve(Tabular):
    """Points of one model on one split, and which of them to choose."""

    model: str  # its name
    points: Sequence[DimensionPoint]  # at least one, all of the same split

    @property
    def metric(self) -> str:
        """The metric by which the knee is found, such as "ndcg@20"."""
        return f"ndcg@{self.points[0].evaluation.k}"

    @property
    def knee(self) -> Knee:
        """The point with the fewest bytes that is as good as the best; see `find_knee`."""
        return find_knee(
            [point.n_bytes for point in self.points],
            [point.evaluation.per_user[self.metric] for point in self.points],
        )

    @property
    def rule(self) -> str:
        """How the knee was found, in one sentence."""
        n_users = self.points[0].evaluation.n_users
        return (
            f"knee: the fewest bytes whose {self.metric} is as good as the best's, which means "
            f"that the loss is within its own 95 % interval over {n_users:,} users, or below "
            f"{TOLERANCE:.0%}"
        )

    @property
    def verdict(self) -> str:
        """What the knee is and what it loses, and where the range tried is too short to tell."""
        knee = self.knee
        chosen, best = self.points[knee.place], self.points[knee.best]
        verdict = f"knee: {chosen.label}, {chosen.size}"
        if knee.place != knee.best:
            times, gain = best.n_bytes / chosen.n_bytes, -knee.loss
            verdict += (
                f", {times:.1f} times smaller than the best ({best.label}); {self.metric} "
                f"{gain:+.4f} ± {knee.margin:.4f} ({gain / best.accuracy('ndcg')[0]:+.1%})"
            )
        return verdict + self._what_the_range_hides(chosen.factors)

    def to_arrow(self) -> pa.Table:
        """Return one row per point: what it reaches, what it costs, and whether it is the knee."""
        knee, metric = self.knee, self.metric.partition("@")[0]
        rows = []
        for place, point in enumerate(self.points):
            value, low, high = point.accuracy(metric)
            costs = {name: cost for name, cost in vars(point).items() if name not in _NO_COSTS}
            rows.append(
                {"factors": point.factors, "storage": point.storage}
                | {self.metric: value, "low": low, "high": high}
                | {f"recall@{point.evaluation.k}": point.accuracy("recall")[0], **costs}
                | {"is_knee": place == knee.place, "is_best": place == knee.best}
            )
        return table_of(rows)

    def charts(self) -> list[LinePlot]:
        """Return accuracy by the number of factors, a line for each storage, and the knee."""
        if len({point.factors for point in self.points}) < 2:
            return []
        chosen = self.points[self.knee.place]
        mark = Mark(chosen.factors, chosen.accuracy("ndcg")[0], f"knee: {chosen.factors}")
        lines = [
            self._line(storage, has_intervals=storage == chosen.storage)
            for storage in STORAGES
            if any(point.storage == storage for point in self.points)
        ]
        title = f"{self.model}: {self.metric}, and 95 % interval in {chosen.storage}"
        return [LinePlot(title, "factors", self.metric, lines, [mark], is_log=True)]

    def _line(self, storage: Storage, *, has_intervals: bool) -> Line:
        points = [point for point in self.points if point.storage == storage]
        reached = [point.accuracy("ndcg") for point in points]
        return Line(
            storage,
            [point.factors for point in points],
            [mean for mean, _, _ in reached],
            [interval_of(ends) for _, *ends in reached] if has_intervals else [],
        )

    def caption(self) -> str:
        """Return what the knee is."""
        return f"{self.model}: {self.verdict}"

    def rows(self) -> list[dict[str, str]]:
        """Return the points as rows of a table for people, the cells by their headings."""
        knee = self.knee
        marks = {knee.best: "best", knee.place: "<- knee"}
        return [_row(point, marks.get(place, "")) for place, point in enumerate(self.points)]

    def _what_the_range_hides(self, knee: int) -> str:
        tried = {point.factors for point in self.points}
        if len(tried) < 2:
            return ""
        if knee == max(tried):
            return "; the largest size tried, so a larger one may be better still"
        if knee == min(tried):
            return "; the smallest size tried, so a smaller one may do as well"
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Return points and knee as plain types that JSON can hold."""
        knee = self.knee
        chosen, best = self.points[knee.place], self.points[knee.best]
        return {
            "model": self.model,
            "metric": self.metric,
            "knee": {"factors": chosen.factors, "storage": chosen.storage},
            "best": {"factors": best.factors, "storage": best.storage},
            "loss": knee.loss,
            "margin": knee.margin if np.isfinite(knee.margin) else None,
            "tolerance": TOLERANCE,
            "points": [_plain(point) for point in self.points],
        }


def _plain(point: DimensionPoint) -> dict[str, Any]:
    costs = {name: value for name, value in vars(point).items() if name != "evaluation"}
    return {**costs, **point.evaluation.to_dict()}


def _row(point: DimensionPoint, mark: str) -> dict[str, str]:
    cells = {"factors": str(point.factors), "storage": point.storage}
    for metric in ("ndcg", "recall"):
        mean, low, high = point.accuracy(metric)
        cells[f"{metric}@{point.evaluation.k}"] = f"{mean:.4f} ± {(high - low) / 2:.4f}"
    return {
        **cells,
        "bytes each": f"{point.vector_bytes:,}",
        "all vectors": point.size,
        "training s": f"{point.train_seconds:,.2f}",
        "query µs": f"{point.query_microseconds:,.0f}",
        "": mark,
    }
