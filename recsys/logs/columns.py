"""The columns of a log: which are read, and the SQL that reads an id, a number or a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recsys.base.errors import DataError, did_you_mean
from recsys.logs.session import literal
from recsys.settings import LogSettings, TimestampUnit

SIGNED_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
INTEGERS = (*SIGNED_INTEGERS, *(f"U{name}" for name in SIGNED_INTEGERS))
TEXTS = ("VARCHAR", "UUID", "CHAR")
UNITS_PER_SECOND: dict[TimestampUnit, int] = {
    "s": 1,
    "ms": 1_000,
    "us": 1_000_000,
    "ns": 1_000_000_000,
}
WHITESPACE = " \t\n\r\v\f"
"""An id of nothing else is empty."""


def resolve_columns(
    available: Sequence[str], settings: LogSettings, where: str
) -> Mapping[str, str]:
    """Return our name to the log's name for the columns that are read, in the order of a row."""
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


@dataclass(frozen=True)
class Column:
    """A column of one file or table, as SQL can see it."""

    sql: str  # the expression of the raw value
    type: str  # DuckDB's name of its type; VARCHAR for a field of a text log
    name: str  # in the log
    where: str  # the file or table, for messages
    json_kind: str | None = None  # the expression of the JSON type, in JSON lines

    @property
    def is_integer(self) -> bool:
        """Whether the type is an integer of any width."""
        return self.type in INTEGERS

    @property
    def is_real(self) -> bool:
        """Whether the type is a number with a fraction."""
        return self.type in ("FLOAT", "DOUBLE") or self.type.startswith("DECIMAL")

    @property
    def is_text(self) -> bool:
        """Whether the type is text, or reads as text."""
        return self.type in TEXTS or self.type.startswith("ENUM")

    @property
    def is_time(self) -> bool:
        """Whether the type is a date or a moment."""
        return self.type == "DATE" or self.type.startswith("TIMESTAMP")

    def refuse(self, expected: str) -> DataError:
        """Return the error of a column whose type cannot be used."""
        return DataError(
            f"log {self.where}: column {self.name!r} is {self.type}; expected {expected}; "
            "convert it, or map another column with log.columns"
        )


@dataclass(frozen=True)
class IdField:
    """SQL of an id: its value, and the conditions under which it has none."""

    sql: str
    is_empty: str
    is_unreadable: str
    is_integer: bool


def id_field(column: Column) -> IdField:
    """Read an id: integers as BIGINT, whole floats too, text as it stands."""
    raw = column.sql
    if column.is_integer:
        value = f"TRY_CAST({raw} AS BIGINT)"
        return IdField(value, f"{raw} IS NULL", f"{value} IS NULL", is_integer=True)
    if column.is_real:
        number = f"nullif(CAST({raw} AS DOUBLE), CAST('NaN' AS DOUBLE))"
        value = f"CASE WHEN {number} = trunc({number}) THEN TRY_CAST({number} AS BIGINT) END"
        return IdField(value, f"{number} IS NULL", f"{value} IS NULL", is_integer=True)
    if not column.is_text:
        raise column.refuse("integers or strings")
    value = f"CAST({raw} AS VARCHAR)"
    # Whitespace sorts before "!": a comparison spares most ids the slow trim.
    is_blank = f"CASE WHEN {value} < '!' THEN trim({value}, {literal(WHITESPACE)}) = '' END"
    is_empty = f"{value} IS NULL OR {is_blank}"
    is_unreadable = "false"
    if column.json_kind is not None:
        # Python writes a nullable integer as 7.0.
        is_real = f"{column.json_kind} = 'DOUBLE'"
        is_unreadable = (
            f"{column.json_kind} IN ('OBJECT', 'ARRAY', 'BOOLEAN') "
            f"OR ({is_real} AND NOT regexp_full_match({value}, '-?[0-9]+(\\.0+)?'))"
        )
        value = f"CASE WHEN {is_real} THEN regexp_replace({value}, '\\.0+$', '') ELSE {value} END"
    return IdField(value, is_empty, is_unreadable, is_integer=False)


def number_field(column: Column) -> str:
    """Read a number as DOUBLE; null where it cannot be read."""
    if not (column.is_integer or column.is_real or column.is_text):
        raise column.refuse("numbers")
    return f"TRY_CAST({column.sql} AS DOUBLE)"


def event_field(column: Column) -> str:
    """Read an event type as text."""
    if not (column.is_integer or column.is_text or column.type == "BOOLEAN"):
        raise column.refuse("strings or integers")
    return f"CAST({column.sql} AS VARCHAR)"


def seconds_field(column: Column, unit: TimestampUnit) -> str:
    """Read a time in seconds since 1970, DOUBLE or an integer; null where it cannot be read."""
    if column.is_time and "NS" in column.type:
        return _whole_units(f"epoch_ns({column.sql})", "ns")
    if column.is_time:
        # A zone makes another type, and DuckDB casts only some of them to some others.
        type_ = "TIMESTAMPTZ" if "TIME ZONE" in column.type or "TZ" in column.type else "TIMESTAMP"
        return _seconds_of(f"CAST({column.sql} AS {type_})")
    if column.is_integer:
        return _whole_units(column.sql, unit)
    number = f"nullif({number_field(column)}, CAST('NaN' AS DOUBLE)) / {UNITS_PER_SECOND[unit]}"
    if not column.is_text:
        return number
    if unit != "s":  # nanoseconds are more digits than a DOUBLE holds
        number = f"coalesce({_whole_units(f'TRY_CAST({column.sql} AS HUGEINT)', unit)}, {number})"
    # With the session in UTC, a text without a zone is UTC.
    return f"coalesce({number}, {_seconds_of(f'TRY_CAST({column.sql} AS TIMESTAMPTZ)')})"


def _whole_units(count: str, unit: TimestampUnit) -> str:
    # Division of integers rounds towards zero, so a time before 1970 must not reach it.
    return f"CASE WHEN {count} < 0 THEN -1 ELSE {count} // {UNITS_PER_SECOND[unit]} END"


def _seconds_of(moment: str) -> str:
    return f"CASE WHEN isfinite({moment}) THEN epoch_us({moment}) / 1e6 END"
