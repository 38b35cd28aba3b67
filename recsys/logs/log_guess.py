"""What a guess of the columns of a log says: keys of [log], sentences, and other readings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recsys.settings import LogSettings


@dataclass(frozen=True)
class Proposal:
    """Another reading of a log that a person may prefer, and the keys of [log] that ask for it."""

    sentence: str
    table: Mapping[str, Any]

    def added_to(self, table: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keys of a guess with these."""
        columns = {**table.get("columns", {}), **self.table.get("columns", {})}
        return {**table, **self.table, "columns": columns}


@dataclass(frozen=True)
class LogGuess:
    """What the columns of a log are taken for.

    Parameters
    ----------
    table : mapping
        The keys of ``[log]`` that are not their defaults: columns, timestamp_unit and so on.
    sentences : tuple of str
        What is taken for what, and what is left out.
    proposals : tuple of Proposal
        Other readings that make sense, such as the rating from which an item was liked.
    columns : tuple of str
        All columns of the log.
    """

    table: Mapping[str, Any] = field(default_factory=dict)
    sentences: tuple[str, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def settings(self) -> LogSettings:
        """How the log is read by this guess."""
        return LogSettings(**self.table)
