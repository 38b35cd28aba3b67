"""Files of events that the online service took: a part of a log, whatever its own form is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from recsys.logs.interactions import Interactions
from recsys.logs.sources import LogFile
from recsys.logs.staging import StagedFile
from recsys.settings import COLUMN_NAMES, LogSettings, TextSettings


@dataclass(frozen=True)
class LiveFiles:
    """Files that are read after those of a log, and what is left out of both.

    Parameters
    ----------
    paths : sequence of path
        Parquet, see `recsys.events`.
    without_deleted : callable
        Returns interactions without those of users whose data was deleted.
    """

    paths: Sequence[Path] = ()
    without_deleted: Callable[[Interactions], Interactions] = lambda log: log

    @property
    def parts(self) -> list[LogFile]:
        """The files, as those of a log."""
        return [LogFile(path, "parquet", None, has_spelled_ids=True) for path in self.paths]


def settings_beside(settings: LogSettings, log: Sequence[StagedFile]) -> LogSettings:
    """Return how files of events are read beside those of a log: only the columns that these have.

    A DataError follows from files that differ in columns.
    """
    present = log[0].rules.columns if log else {}
    columns = {name: name if name in present else "" for name in COLUMN_NAMES}
    text = {name: getattr(TextSettings(), name) for name in TextSettings.__dataclass_fields__}
    others = {"format": "parquet", "timestamp_unit": "s", "timestamp_format": ""}
    return replace(settings, **{**text, **others, "columns": columns})
