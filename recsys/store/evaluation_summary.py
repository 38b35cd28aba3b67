"""What a manifest keeps of the evaluation of a model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from recsys.base.charts import DotPlot, dots_of_metrics
from recsys.base.plain import plain
from recsys.base.tables import Tabular, metrics_table
from recsys.store.group_summary import GroupSummary

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, repr=False)
class EvaluationSummary(Tabular):
    """The metrics of one model on the test part, without the values per user.

    A field that another release did not write has its default.

    Parameters
    ----------
    k : int
        Length of the lists, the largest of several.
    n_users, n_items : int
        Users evaluated, and items ranked for each.
    metrics : mapping of str to float
        By name and length, such as "recall@20".
    intervals : mapping of str to (float, float)
        95 % intervals of those that are means over users.
    left_out : mapping of str to int
        Events and users that were not evaluated, by reason.
    groups : tuple of GroupSummary
        What it reached by activity of users and by popularity of items.
    """

    k: int = 0
    n_users: int = 0
    n_items: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    groups: tuple[GroupSummary, ...] = ()

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "EvaluationSummary":
        """Read what `to_dict` or `recsys.evaluation.Evaluation.to_dict` wrote."""
        given = {one.name: content[one.name] for one in fields(cls) if one.name in content}
        intervals, groups = content.get("intervals", {}), content.get("groups", ())
        given["intervals"] = {name: (low, high) for name, (low, high) in intervals.items()}
        return cls(**given | {"groups": tuple(map(GroupSummary.from_dict, groups))})

    def to_arrow(self) -> "pa.Table":
        """Return one row per metric: metric, value, and the ends of its interval, low and high."""
        return metrics_table(self.metrics, self.intervals)

    def charts(self) -> list[DotPlot]:
        """Return the metrics that are means over users, with their intervals."""
        return dots_of_metrics(self.metrics, self.intervals)

    def caption(self) -> str:
        """Return on how many users it was measured."""
        return f"{self.n_users:,} users, {self.n_items:,} items"

    def __getitem__(self, name: str) -> Any:
        """Return a field by its key in JSON, as it was read before there was this class."""
        return self.to_dict()[name]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        content: dict[str, Any] = plain(asdict(self))
        return content
