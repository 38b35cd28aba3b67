"""SQL: how values are spelled, and how an id, a number or a time of a log is read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from recsys.base.errors import DataError
from recsys.settings import TimestampUnit

NULL = '"NULL"'
"""DuckDB's name of the type of a column in which nothing is."""
WHITESPACE = " \t\n\r\v\f"
"""An id of nothing else is empty."""
CANONICAL_INTEGER = "'0|-?[1-9][0-9]*'"
SPELLED_INTEGER = f"""
    CASE
        WHEN regexp_full_match(id, {CANONICAL_INTEGER}) THEN TRY_CAST(id AS BIGINT)
        WHEN regexp_full_match(id, '(0|-?[1-9][0-9]*)([.]0*|,00?)')
            THEN TRY_CAST(regexp_extract(id, '^[-0-9]+') AS BIGINT)
        WHEN regexp_full_match(id, '-?[1-9]([.][0-9]+)?[eE][+]?[0-9]+')
            AND TRY_CAST(id AS DOUBLE) = trunc(TRY_CAST(id AS DOUBLE))
            AND abs(TRY_CAST(id AS DOUBLE)) < 9007199254740992
            THEN TRY_CAST(TRY_CAST(id AS DOUBLE) AS BIGINT)
    END
"""
"""The integer that an id spells, which a program may have taken for a float; null if none.

Three digits after a comma are thousands, perhaps."""
_INTEGERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
)
_WIDE_INTEGERS = ("HUGEINT", "UBIGINT", "UHUGEINT")  # of these some are beyond BIGINT
_TEXTS = ("VARCHAR", "UUID", "CHAR")
_CountedUnit = Literal["s", "ms", "us", "ns"]
_UNITS_PER_SECOND: dict[_CountedUnit, int] = {
    "s": 1,
    "ms": 1_000,
    "us": 1_000_000,
    "ns": 1_000_000_000,
}
_EXACT_BELOW = {"FLOAT": 2.0**24, "DOUBLE": 2.0**53}  # whole numbers from here on may be rounded


def identifier(name: str) -> str:
    """Spell a column or table name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | int | float) -> str:
    """Spell a string or number as a SQL literal."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def literals(values: Iterable[str | int | float]) -> str:
    """Spell values as a SQL list."""
    return "[" + ", ".join(literal(value) for value in values) + "]"


def case(branches: Iterable[tuple[str, str]], otherwise: str = "NULL") -> str:
    """Spell ``CASE``: the result of the first condition that holds, else `otherwise`."""
    whens = " ".join(f"WHEN {condition} THEN {result}" for condition, result in branches)
    return f"CASE {whens} ELSE {otherwise} END" if whens else otherwise


@dataclass(frozen=True)
class LogColumn:
    """A column of one file or table, as SQL can see it."""

    sql: str  # the expression of the raw value
    type: str  # DuckDB's name of its type; VARCHAR for a field of a text log
    name: str  # in the log
    where: str  # the file or table, for messages
    json_kind: str | None = None  # the expression of the JSON type, in JSON lines
    is_untyped: bool = False  # text that may spell a number
    decimal: str = "."  # the decimal mark, in text
    null_values: Sequence[str] = ()  # texts that stand for no value

    @property
    def is_integer(self) -> bool:
        """Whether the type is an integer of any width."""
        return self.type in _INTEGERS

    @property
    def is_real(self) -> bool:
        """Whether the type is a number with a fraction."""
        return self.type in ("FLOAT", "DOUBLE") or self.type.startswith("DECIMAL")

    @property
    def is_text(self) -> bool:
        """Whether the type is text, or reads as text."""
        return self.type in _TEXTS or self.type.startswith("ENUM")

    @property
    def is_time(self) -> bool:
        """Whether the type is a date or a moment."""
        return self.type == "DATE" or self.type.startswith("TIMESTAMP")

    @property
    def is_nothing(self) -> str:
        """The SQL condition of a text that is empty, blank or stands for no value."""
        nothing = ", ".join(map(literal, ("", *self.null_values)))
        return f"{self.sql} IS NULL OR trim({self.sql}, {literal(WHITESPACE)}) IN ({nothing})"

    def refuse(self, expected: str) -> DataError:
        """Return the error of a column whose type cannot be used."""
        return DataError(
            f"log {self.where}: column {self.name!r} is {self.type}; expected {expected}; "
            "convert it, or map another column with log.columns"
        )


IdKind = Literal["integer", "spelled", "string"]
"""How ids are typed: as integers; as text that may spell integers; as strings."""


@dataclass(frozen=True)
class IdField:
    """SQL of an id: its value, and the conditions under which it has none."""

    kind: IdKind
    sql: str
    is_empty: str
    is_unreadable: str
    is_inexact: str = "false"  # a whole number that a float may have rounded


def id_field(column: LogColumn) -> IdField:
    """Read an id: integers as BIGINT, whole floats too, what may be beyond BIGINT as text."""
    raw = column.sql
    if column.type == NULL:  # which says nothing about the type of ids
        return IdField("integer", "CAST(NULL AS BIGINT)", "true", "false")
    if column.type in _WIDE_INTEGERS:
        return IdField("spelled", f"CAST({raw} AS VARCHAR)", f"{raw} IS NULL", "false")
    if column.is_integer:
        value = f"TRY_CAST({raw} AS BIGINT)"
        return IdField("integer", value, f"{raw} IS NULL", f"{value} IS NULL")
    if column.type.startswith("DECIMAL"):
        text = f"CAST({raw} AS VARCHAR)"
        value = f"regexp_replace({text}, '\\.0*$', '')"
        return IdField("spelled", value, f"{raw} IS NULL", f"contains({value}, '.')")
    if column.is_real:
        number = f"nullif(CAST({raw} AS DOUBLE), CAST('NaN' AS DOUBLE))"
        value = f"CASE WHEN {number} = trunc({number}) THEN TRY_CAST({number} AS BIGINT) END"
        is_inexact = f"isfinite({number}) AND abs({number}) >= {_EXACT_BELOW[column.type]!r}"
        return IdField("integer", value, f"{number} IS NULL", f"{value} IS NULL", is_inexact)
    if not column.is_text:
        raise column.refuse("integers or strings")
    value = f"CAST({raw} AS VARCHAR)"
    # Whitespace sorts before "!": a comparison spares most ids the slow trim.
    is_blank = f"CASE WHEN {value} < '!' THEN trim({value}, {literal(WHITESPACE)}) = '' END"
    is_empty = f"{value} IS NULL OR {is_blank}"
    if column.null_values:
        is_empty += f" OR {value} IN ({', '.join(map(literal, column.null_values))})"
    if column.json_kind is not None:
        return _json_id(value, is_empty, column.json_kind)
    return IdField("spelled" if column.is_untyped else "string", value, is_empty, "false")


def _json_id(text: str, is_empty: str, kind: str) -> IdField:
    """Read an id of JSON: Python writes a nullable integer as 7.0."""
    is_real = f"{kind} = 'DOUBLE'"
    value = f"CASE WHEN {is_real} THEN regexp_replace({text}, '\\.0+$', '') ELSE {text} END"
    is_unreadable = (
        f"{kind} IN ('OBJECT', 'ARRAY', 'BOOLEAN') "
        f"OR ({is_real} AND NOT regexp_full_match({text}, '-?[0-9]+(\\.0+)?'))"
    )
    # An integer beyond 64 bits is no DOUBLE in text: all its digits are there.
    is_rounded = f"TRY_CAST({text} AS DOUBLE) NOT BETWEEN {1 - 2**53} AND {2**53 - 1}"
    is_inexact = f"{is_real} AND regexp_matches({text}, '[.eE]') AND {is_rounded}"
    return IdField("spelled", value, is_empty, is_unreadable, is_inexact)


@dataclass(frozen=True)
class NumberField:
    """SQL of a number, DOUBLE, and the condition under which there is none to read."""

    sql: str  # null where there is none, or where it cannot be read
    is_absent: str


def number_field(column: LogColumn) -> NumberField:
    """Read a number as DOUBLE; null where it cannot be read."""
    if column.type == NULL:
        return NumberField("CAST(NULL AS DOUBLE)", "true")
    if not (column.is_integer or column.is_real or column.is_text):
        raise column.refuse("numbers")
    raw = column.sql
    if column.is_text and column.decimal != ".":
        raw = f"replace({raw}, {literal(column.decimal)}, '.')"
    number = f"nullif(TRY_CAST({raw} AS DOUBLE), CAST('NaN' AS DOUBLE))"
    return NumberField(number, _absent(column, number))


def _absent(column: LogColumn, number: str) -> str:
    """Return the condition under which a column has no number, not one that cannot be read."""
    if column.is_text:  # few texts are no number, and only those are looked at
        is_nan = f"lower({column.sql}) = 'nan'"
        return f"CASE WHEN {number} IS NULL THEN {column.is_nothing} OR {is_nan} ELSE false END"
    return f"{number if column.is_real else column.sql} IS NULL"


def event_field(column: LogColumn) -> str:
    """Read an event type as text."""
    if column.type == NULL:
        return "CAST(NULL AS VARCHAR)"
    if not (column.is_integer or column.is_text or column.type == "BOOLEAN"):
        raise column.refuse("strings or integers")
    return f"CAST({column.sql} AS VARCHAR)"


@dataclass(frozen=True)
class TimeField(NumberField):
    """SQL of a time: seconds since 1970, DOUBLE or an integer, and what is left of the second."""

    nanos: str = "0"  # from 0 to 999,999,999, as far as the source has them

    def is_before(self, moment: float) -> str:
        """Return the condition of a time before a moment, in seconds since 1970."""
        if moment == int(moment):
            return f"{self.sql} < {int(moment)}"
        return f"floor({self.sql}) + coalesce({self.nanos}, 0) / 1e9 < {moment!r}"


def time_field(column: LogColumn, unit: TimestampUnit, form: str = "") -> TimeField:
    """Read a time; null where it cannot be read. `form` is that of times in words, no ISO 8601."""
    is_null = f"{column.sql} IS NULL"
    if column.is_time and "NS" in column.type:
        return TimeField(*_whole_units(f"epoch_ns({column.sql})", "ns", is_null))
    if column.is_time:
        # A zone makes another type, and DuckDB casts only some of them to some others.
        type_ = "TIMESTAMPTZ" if "TIME ZONE" in column.type or "TZ" in column.type else "TIMESTAMP"
        seconds = _seconds_of(f"CAST({column.sql} AS {type_})")
        return TimeField(seconds, is_null, _rest_of(seconds))
    number = number_field(column)
    time = _time_of_number(column, number, unit)
    if column.is_text:
        # With the session in UTC, a text without a zone is UTC.
        moment = _seconds_of(f"TRY_CAST({column.sql} AS TIMESTAMPTZ)")
        if form:
            written = f"try_strptime({column.sql}, {literal(form)})"
            moment = f"coalesce({_seconds_of(written)}, {moment})"
        seconds = f"coalesce({time.sql}, {moment})"
        nanos = f"CASE WHEN {time.sql} IS NULL THEN {_digits_of(column)} ELSE {time.nanos} END"
        return TimeField(seconds, _absent(column, seconds), nanos)
    return time


def _time_of_number(column: LogColumn, number: NumberField, unit: TimestampUnit) -> TimeField:
    if unit == "date":
        return TimeField(_seconds_of_date(number.sql), number.is_absent)
    if (
        unit == "excel"
    ):  # counts days from the last but one of 1899; a microsecond is its last digit
        seconds = f"round(({number.sql} - 25569) * 86400, 5)"
        return TimeField(seconds, number.is_absent, _rest_of(seconds))
    if column.is_integer:
        return TimeField(*_whole_units(column.sql, unit, number.is_absent))
    seconds = f"{number.sql} / {_UNITS_PER_SECOND[unit]}"
    if not column.is_text:
        return TimeField(seconds, number.is_absent, _rest_of(seconds))
    if unit == "s":
        return TimeField(seconds, number.is_absent, _digits_of(column))
    # Nanoseconds are more digits than a DOUBLE holds.
    digits = f"CASE WHEN NOT contains({column.sql}, '.') THEN {column.sql} END"
    whole, _, rest = _whole_units(f"TRY_CAST({digits} AS HUGEINT)", unit, "")
    nanos = f"coalesce({rest}, {_rest_of(seconds)})"
    return TimeField(f"coalesce({whole}, {seconds})", number.is_absent, nanos)


def _rest_of(seconds: str) -> str:
    """Return the nanoseconds of a DOUBLE of seconds, to the digit that it holds."""
    return f"TRY_CAST(trunc(({seconds} - floor({seconds})) * 1e9) AS INTEGER)"


def _digits_of(column: LogColumn) -> str:
    """Return the nanoseconds of a text: all its digits after the seconds."""
    digits = f"regexp_extract({column.sql}, '[0-9][.,]([0-9]{{1,9}})[0-9]*([^0-9eE]|$)', 1)"
    has_some = f"contains({column.sql}, '.') OR contains({column.sql}, ',')"
    return f"CASE WHEN {has_some} THEN TRY_CAST(rpad({digits}, 9, '0') AS INTEGER) ELSE 0 END"


def _seconds_of_date(number: str) -> str:
    """Read a date that is written as one number; its length says of which form."""
    text = f"CAST(TRY_CAST({number} AS BIGINT) AS VARCHAR)"
    forms = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 14: "%Y%m%d%H%M%S"}
    moments = (
        (f"length({text}) = {n}", f"try_strptime({text}, {literal(form)})")
        for n, form in forms.items()
    )
    return f"epoch_us({case(moments)}) / 1e6"


def _whole_units(count: str, unit: _CountedUnit, is_absent: str) -> tuple[str, str, str]:
    """Return the fields of a `TimeField` of a count of units since 1970, an integer."""
    n = _UNITS_PER_SECOND[unit]
    # Division of integers rounds towards zero, so a time before 1970 must not reach it.
    seconds = f"CASE WHEN {count} < 0 THEN -1 ELSE {count} // {n} END"
    nanos = (
        "0" if n == 1 else f"CASE WHEN {count} >= 0 THEN {count} % {n} * {1_000_000_000 // n} END"
    )
    return seconds, is_absent, nanos


def _seconds_of(moment: str) -> str:
    return f"CASE WHEN isfinite({moment}) THEN epoch_us({moment}) / 1e6 END"
