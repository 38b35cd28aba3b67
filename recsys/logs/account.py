"""The account of a log: how many rows were read, and what became of those not used."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Account:
    """What happened to the rows of a log on their way to interactions.

    Parameters
    ----------
    rows_read : int
        Rows found in the source, usable or not.
    rejected : mapping of str to int
        Rows that could not be used, by reason; each is in the rejects file.
    left_out : mapping of str to int
        Rows that could be used and were set aside on request, by reason: an excluded event type,
        a time window, a minimum count, a split.
    events : mapping of str to int
        Rows that could be used, by event type, where types are read; the 50 most frequent.
    rejects_file : str or None
        Where the rejected rows are, if any were.
    """

    rows_read: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    rejects_file: str | None = None

    @property
    def rejected_share(self) -> float:
        """Rejected rows over rows read, 0 for an empty log."""
        return sum(self.rejected.values()) / self.rows_read if self.rows_read else 0.0

    def leaving_out(self, reason: str, n_rows: int) -> "Account":
        """Return the account with some more rows set aside."""
        if n_rows == 0:
            return self
        return replace(
            self, left_out={**self.left_out, reason: self.left_out.get(reason, 0) + n_rows}
        )

    def __str__(self) -> str:
        parts = [f"{self.rows_read:,} rows read"]
        if self.rejected:
            reasons = ", ".join(f"{reason} {n:,}" for reason, n in sorted(self.rejected.items()))
            share = f"{100 * self.rejected_share:.2f} %"
            parts.append(f"{sum(self.rejected.values()):,} rejected ({share}): {reasons}")
        if self.left_out:
            reasons = ", ".join(f"{reason} {n:,}" for reason, n in sorted(self.left_out.items()))
            parts.append(f"{sum(self.left_out.values()):,} left out: {reasons}")
        if self.rejects_file:
            parts.append(f"rejects in {self.rejects_file}")
        return "; ".join(parts)
