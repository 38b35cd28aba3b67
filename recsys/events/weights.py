"""What an event weighs: as the night will read it, by the settings of the log of a version."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log1p
from typing import Any

from recsys.base.errors import DataError, briefly

_OTHERS = "*"  # the key of log.events for every type that it does not list
_SMALLEST, _LARGEST = 1e-38, 3.4028234e38  # weights that a log takes


@dataclass(frozen=True)
class EventWeights:
    """Weighs events as `recsys.logs` weighs the rows of the log that a version was made of.

    Parameters
    ----------
    events : mapping of str to float
        ``log.events``; below 0 for dislikes.
    scale : {"linear", "log", "root", "none"}
        How a value multiplies the weight; "none" also where the log has no values.
    has_values : bool
        Whether the log has values, so that an event needs one.
    min_value, missing_value, max_disliked_value : float or None
        ``log.min_value`` and so on.
    disliked_value_weight : float
        ``log.disliked_value_weight``.
    is_rooted : bool
        Whether the fourth root of each weight was taken, as values had a long tail.
    duplicates : {"sum", "last", "max", "count"}
        How several events of one item become one weight.
    """

    events: Mapping[str, float] = field(default_factory=dict)
    scale: str = "none"
    has_values: bool = False
    min_value: float | None = None
    missing_value: float | None = None
    max_disliked_value: float | None = None
    disliked_value_weight: float = 1.0
    is_rooted: bool = False
    duplicates: str = "sum"

    @classmethod
    def of(cls, config: Mapping[str, Any], row_counts: Any = None) -> "EventWeights":
        """Return those of a version.

        Parameters
        ----------
        config : mapping
            The tables of its manifest.
        row_counts : RowCounts, optional
            Of the log; one of an older release does not know the columns.
        """
        known = config.get("log", {})
        columns = tuple(getattr(row_counts, "columns", ()))
        limits = (known.get("min_value"), known.get("max_disliked_value"))
        named = known.get("columns", {}).get("value") or limits != (None, None)
        has_values = "value" in columns if columns else bool(named)
        scale = known.get("value_scale", "auto")
        if scale == "auto":
            scale = "linear" if limits == (None, None) else "none"
        return cls(
            known.get("events", {}),
            scale if has_values else "none",
            has_values,
            known.get("min_value"),
            known.get("missing_value"),
            known.get("max_disliked_value"),
            known.get("disliked_value_weight", 1.0),
            bool(getattr(row_counts, "is_rooted", False)),
            known.get("duplicates", "sum"),
        )

    def weight(self, event: str | None, value: float | None) -> float:
        """Return what an event weighs: below 0 for a dislike, 0 for one that is left out.

        Raises
        ------
        DataError
            If the night would reject it.
        """
        of_type, is_disliked = self._of_type(event), self._is_disliked(value)
        size = abs(of_type) * (self.disliked_value_weight if is_disliked else self._of_value(value))
        if size == 0:
            return 0.0
        if not _SMALLEST <= size <= _LARGEST:
            raise DataError(
                f"value: expected one above 0 that a log can hold, got {briefly(value)}"
            )
        size = float(size**0.25) if self.is_rooted else size
        return -size if of_type < 0 or is_disliked else size

    def _is_disliked(self, value: float | None) -> bool:
        """Whether a value says a dislike."""
        most = self.max_disliked_value
        return self.has_values and most is not None and value is not None and value <= most

    def _of_type(self, event: str | None) -> float:
        if not self.events:
            return 1.0
        weight = self.events.get(event or "", self.events.get(_OTHERS))
        if weight is None or not (event or "").strip():
            known = ", ".join(name for name in self.events if name != _OTHERS)
            raise DataError(f"event: expected a type of {known}, got {briefly(event)}")
        return weight

    def _of_value(self, value: float | None) -> float:
        if not self.has_values:  # then all of a log's are missing
            value = None
        if value is None and self.missing_value is not None:
            return self.missing_value
        if not self.has_values:
            return 1.0
        if value is None:
            raise DataError("value: expected a number, as the log has values, got none")
        if self.min_value is not None and value < self.min_value:
            return 0.0
        if self.scale != "none" and value <= 0:
            raise DataError(f"value: expected a number above 0, got {briefly(value)}")
        if self.scale == "none":
            return 1.0
        return {"linear": value, "log": log1p(value), "root": float(value**0.25)}[self.scale]
