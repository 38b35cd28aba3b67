"""Which of the log's columns are used, and under which of our names."""

from collections.abc import Mapping, Sequence

from recsys.errors import DataError, did_you_mean
from recsys.logs.settings import LogSettings


def resolve_columns(
    available: Sequence[str], settings: LogSettings, where: str
) -> Mapping[str, str]:
    """Return our name to the log's name for the columns that are read, in the order of a row.

    Raises
    ------
    DataError
        If a column that is needed is not there, or is there twice.
    """
    needs = _needs(settings)
    resolved = {}
    for name, needed_for in needs.items():
        column = settings.columns.get(name, name)
        if available.count(column) > 1:
            raise DataError(
                f"log {where}: column {column!r} occurs {available.count(column)} times; "
                "give each column its own name"
            )
        if column in available:
            resolved[name] = column
        elif needed_for is not None or name in settings.columns:
            raise DataError(_missing(name, column, available, needed_for, where))
    return resolved


def _needs(settings: LogSettings) -> dict[str, str | None]:
    """Our names that are read, each with the setting that makes it required, if one does."""
    needs: dict[str, str | None] = {"user_id": "every log", "item_id": "every log"}
    if settings.events or "event" in settings.columns:
        needs["event"] = "log.events" if settings.events else None
    if settings.min_value is not None:
        needs["value"] = "log.min_value"
    elif settings.value_scale != "none" or "value" in settings.columns:
        needs["value"] = None
    needs_time = [
        f"log.{name}"
        for name in ("since", "until", "half_life_days")
        if getattr(settings, name) is not None
    ]
    needs["timestamp"] = needs_time[0] if needs_time else None
    return needs


def _missing(
    name: str, column: str, available: Sequence[str], needed_for: str | None, where: str
) -> str:
    shown = ", ".join(repr(other) for other in available[:30]) or "none"
    reason = f", which {needed_for} needs" if needed_for else ", which log.columns names"
    return (
        f"log {where}: expected a column {column!r}{reason}, got columns {shown}"
        f"{did_you_mean(column, available)}; "
        f"map the right one with log.columns.{name}"
    )
