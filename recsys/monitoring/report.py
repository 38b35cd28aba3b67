"""What a comparison of two versions found."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from recsys.monitoring.movement import Moved
from recsys.store import Check


@dataclass(frozen=True)
class DriftReport:
    """How version b differs from version a.

    Parameters
    ----------
    a, b : str
        Their names.
    checks : tuple of Check
        Every measure: 0 where both are the same, with its limit.
    users, items : mapping of str to int
        Numbers of ids that are "shared", "appeared" and "vanished".
    movement : mapping of str to float
        Percentiles of 1 - cosine over the shared items; empty where the spaces differ.
    moved : tuple of Moved
        The items whose move, times their popularity, is largest.
    """

    a: str
    b: str
    checks: tuple[Check, ...]
    users: Mapping[str, int]
    items: Mapping[str, int]
    movement: Mapping[str, float]
    moved: tuple[Moved, ...]

    @property
    def is_quiet(self) -> bool:
        """Whether every measure is within its limit."""
        return not self.alarms

    @property
    def alarms(self) -> tuple[Check, ...]:
        """The measures above their limits."""
        return tuple(check for check in self.checks if not check.passed)

    def __getitem__(self, name: str) -> Check:
        """Return a measure by its name."""
        return {check.name: check for check in self.checks}[name]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {**asdict(self), "is_quiet": self.is_quiet}
