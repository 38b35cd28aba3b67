"""SQL that reads one field of a row: an id, a number, a time or an event, by the column's type."""

from dataclasses import dataclass

from recsys.errors import DataError
from recsys.logs.reading.sql import literal
from recsys.logs.settings import TimestampUnit

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


@dataclass(frozen=True)
class Column:
    """A column of one part of the log, as SQL can see it.

    Attributes
    ----------
    sql : str
        The expression that yields the raw value.
    type : str
        DuckDB's name of its type; VARCHAR for a field of a text log.
    name : str
        What the log calls it.
    where : str
        The file or table, for messages.
    json_kind : str or None
        The expression that yields the JSON type, in JSON lines.
    """

    sql: str
    type: str
    name: str
    where: str
    json_kind: str | None = None

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
