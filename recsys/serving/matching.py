"""Which rows of a table fulfil a condition: its tree evaluated over Arrow columns.

Every comparison is one pass over a column, so a condition takes at most `MOST_COMPARISONS` passes.
Truth has three values as in SQL: true, false, and null where something is not known. Not a number
counts as not known.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from recsys.base.errors import DataError, briefly, did_you_mean
from recsys.serving.attributes import SHOWN_BY
from recsys.serving.conditions import (
    AmongValues,
    ColumnName,
    Condition,
    Every,
    InList,
    IsNull,
    Like,
    Literal,
    Not,
    Operand,
    Relation,
    Some,
    Truth,
)

_COMPARE: dict[str, Callable[..., pa.Array]] = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_MIRRORED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class About(NamedTuple):
    """What the columns of a table are: for the error of an unknown one."""

    what: str
    end: str  # of the sentence: who has the names
    names: Sequence[str] | None = None  # that may be meant; default: those of the table


_OF_ITEMS = About("attributes of items", f"; {SHOWN_BY}")


def matching_rows(
    condition: Condition, table: pa.Table, about: About = _OF_ITEMS
) -> NDArray[np.bool_]:
    """Return which rows fulfil a condition, bool (n_rows,).

    Raises
    ------
    DataError
        If a column is unknown, or a comparison does not fit its type.
    """
    try:
        truth = _Table(table, about).truth(condition)
    except pa.ArrowException as error:  # a type that Arrow cannot compare, or a number too large
        raise DataError(
            "where: expected values that the columns can be compared with, got others"
        ) from error
    return np.asarray(pc.fill_null(truth, False), dtype=np.bool_)


class _Table:
    """A table whose columns are found by name, decoded, and asked."""

    def __init__(self, table: pa.Table, about: About) -> None:
        self._table, self._about = table, about

    def truth(self, condition: Condition) -> pa.Array:
        """Return a boolean array with nulls, one value a row."""
        match condition:
            case Every(parts):
                return reduce(pc.and_kleene, map(self.truth, parts))
            case Some(parts):
                return reduce(pc.or_kleene, map(self.truth, parts))
            case Not(part):
                return pc.invert(self.truth(part))
            case Relation(sign, left, right):
                return self._comparison(sign, left, right)
            case AmongValues(operand, values):
                return self._among(operand, values)
            case InList(value, column):
                return self._in_list(value, column)
            case Like(column, pattern, ignore_case):
                return self._like(column, pattern, ignore_case=ignore_case)
            case IsNull(column):
                return self._column(column).is_null()
            case Truth(operand):
                return self._truth_of(operand)

    def _comparison(self, sign: str, left: Operand, right: Operand) -> pa.Array:
        if isinstance(left, Literal):
            if isinstance(right, Literal):
                raise DataError("where: expected a column in every comparison, got two literals")
            return self._comparison(_MIRRORED[sign], right, left)
        column = self._column(left)
        if isinstance(right, Literal):
            return _compared(sign, column, right.value, left.name)
        return _columns_compared(sign, (left.name, column), (right.name, self._column(right)))

    def _among(self, operand: Operand, values: Sequence[Literal]) -> pa.Array:
        if isinstance(operand, Literal):
            raise DataError("where: expected a column before 'in', got a literal")
        column = self._column(operand)
        if pt.is_null(column.type):
            return _constant(column, False)
        known = [value.value for value in values if value.value is not None]
        found = pc.is_in(column, value_set=_values(column.type, known, operand.name))
        found = pc.if_else(column.is_valid(), found, None)
        # As in SQL, what equals none of the values may equal the unknown one.
        return found if len(known) == len(values) else pc.if_else(found, True, None)

    def _in_list(self, value: Literal, column: ColumnName) -> pa.Array:
        lists = self._column(column)
        if pt.is_null(lists.type):
            return _constant(lists, False)
        if not is_list(lists.type):
            advice = "write column = value, column in (...), or column like '%value%' of texts"
            raise _misfit(column.name, lists.type, advice)
        equal = _compared("=", _decoded(pc.list_flatten(lists)), value.value, column.name)
        lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0))  # as flattened
        parents = np.repeat(np.arange(len(lists)), lengths)
        is_in = np.zeros(len(lists), dtype=np.bool_)
        is_in[parents[np.asarray(pc.fill_null(equal, False), dtype=np.bool_)]] = True
        return pc.if_else(lists.is_valid(), pa.array(is_in), None)

    def _like(self, column: ColumnName, pattern: str, *, ignore_case: bool) -> pa.Array:
        values = self._column(column)
        if pt.is_null(values.type):
            return _constant(values, False)
        if not pt.is_large_string(values.type):
            raise _misfit(column.name, values.type, "'like' is for columns of text")
        if "\\" not in pattern:
            return pc.match_like(values, pattern, ignore_case=ignore_case)
        # To `match_like` a backslash is an escape, to SQL it is a character.
        wild = {"%": ".*", "_": "."}
        expression = "".join(wild.get(one) or re.escape(one) for one in pattern)
        return pc.match_substring_regex(values, rf"\A(?s:{expression})\z", ignore_case=ignore_case)

    def _truth_of(self, operand: Operand) -> pa.Array:
        if isinstance(operand, Literal):
            if operand.value is not None and not isinstance(operand.value, bool):
                raise DataError("where: expected a comparison, got a literal alone")
            return pa.array([operand.value] * len(self._table), pa.bool_())
        values = self._column(operand)
        if pt.is_null(values.type):
            return _constant(values, False)
        if not pt.is_boolean(values.type):
            raise _misfit(operand.name, values.type, "compare it with a value")
        return values

    def _column(self, column: ColumnName) -> pa.Array:
        """Find a column by its exact name, else by the only name that differs in case."""
        names = self._table.column_names
        same = [name for name in names if name == column.name]
        alike = same or [name for name in names if name.lower() == column.name.lower()]
        if len(alike) == 1:
            return _decoded(self._table[alike[0]])
        if alike:
            raise DataError(
                f"where: expected one column {column.name!r}, got {len(alike)}: {', '.join(alike)}"
            )
        raise DataError(  # without the names of all, as a stranger may ask
            f"where: expected a condition on {self._about.what}, got the column {column.name!r}"
            f"{did_you_mean(column.name, self._about.names or names)}{self._about.end}"
        )


def _decoded(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return one plain array: no dictionary, one type of text, no NaN, floats of 32 or 64 bits."""
    if pt.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    plain = _plain_type(values.type)
    if plain != values.type:
        values = values.cast(plain)
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pt.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), None, array)
    return array


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the one type that stands for all of a kind."""
    if pt.is_string(kind) or pt.is_string_view(kind):
        return pa.large_string()
    if pt.is_float16(kind):
        return pa.float32()
    if pt.is_date(kind):
        return pa.timestamp("us")
    if pt.is_decimal32(kind) or pt.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    return kind


def is_list(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds lists."""
    return bool(pt.is_list(kind) or pt.is_large_list(kind) or pt.is_fixed_size_list(kind))


def _compared(sign: str, column: pa.Array, value: Any, name: str) -> pa.Array:
    """Compare a column with a literal."""
    if value is None or pt.is_null(column.type):
        return pa.nulls(len(column), pa.bool_())
    if pt.is_integer(column.type) and isinstance(value, Decimal):
        return _integers_compared(sign, column, value)
    if pt.is_timestamp(column.type) and isinstance(value, str):
        return _times_compared(sign, column, _moment(column.type, value, name))
    scalar = _scalar(column.type, value, name)
    if scalar is None:  # a decimal with more digits than the column has
        return _COMPARE[sign](column.cast(pa.float64()), pa.scalar(float(value)))
    return _COMPARE[sign](column, scalar)


def _integers_compared(sign: str, column: pa.Array, value: Decimal) -> pa.Array:
    """Compare integers with any number, exactly: 2.5 lies between 2 and 3, 1e30 above them all."""
    whole = int(value)  # towards zero
    if value != whole:
        if sign in ("=", "!="):
            return _constant(column, sign == "!=")
        floor = whole if value > 0 else whole - 1
        sign, whole = ("<=", floor) if sign in ("<", "<=") else (">", floor)
    low, high = _range_of(column.type)
    if low <= whole <= high:
        return _COMPARE[sign](column, pa.scalar(whole, column.type))
    if sign in ("=", "!="):
        return _constant(column, sign == "!=")
    return _constant(column, (sign in ("<", "<=")) == (whole > high))


def _range_of(kind: pa.DataType) -> tuple[int, int]:
    """Return the least and the largest integer of a type."""
    if pt.is_unsigned_integer(kind):
        return 0, 2**kind.bit_width - 1
    return -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1


def _times_compared(sign: str, column: pa.Array, moment: pa.Scalar) -> pa.Array:
    """Compare times with a moment, which may lie outside the range of their unit."""
    try:
        return _COMPARE[sign](column, moment)
    except pa.ArrowInvalid:  # nanoseconds end in 2262 and begin in 1677
        if sign in ("=", "!="):
            return _constant(column, sign == "!=")
        return _constant(column, (sign in ("<", "<=")) == (moment.value > 0))


def _values(kind: pa.DataType, listed: Sequence[Any], name: str) -> pa.Array:
    """Return those literals that a column can hold, in its type."""
    scalars = [_scalar(kind, value, name) for value in listed]
    values = [scalar.as_py() for scalar in scalars if scalar is not None]
    if pt.is_floating(kind) and 0 in values:
        values += [0.0, -0.0]  # equal, and looked up as two
    return pa.array(values, kind)


def _scalar(kind: pa.DataType, value: Any, name: str) -> Any:
    """Return a literal in the type of a column; None where no value of the type equals it."""
    if isinstance(value, Decimal):
        if pt.is_integer(kind):
            low, high = _range_of(kind)
            fits = low <= value <= high and value == int(value)
            return pa.scalar(int(value), kind) if fits else None
        if pt.is_floating(kind):
            return pa.scalar(float(value), kind)
        if pt.is_decimal(kind):
            return _decimal_or_none(kind, value)
    if isinstance(value, bool) and pt.is_boolean(kind):
        return pa.scalar(value)
    if isinstance(value, str) and pt.is_large_string(kind):
        return pa.scalar(_encodable(value), kind)
    if isinstance(value, str) and pt.is_timestamp(kind):
        return _cast_or_none(_moment(kind, value, name), kind)
    got = {bool: "true or false", str: "a text"}.get(type(value), "a number")
    advice = f"; write 'value' in {name}" if is_list(kind) else ""
    raise _misfit(name, kind, f"got {got} beside it{advice}")


def _decimal_or_none(kind: pa.DataType, value: Decimal) -> pa.Scalar | None:
    try:
        return pa.scalar(value, kind)
    except pa.ArrowInvalid:
        return None


def _cast_or_none(moment: pa.Scalar, kind: pa.DataType) -> pa.Scalar | None:
    """Return a moment in the unit of a column; None where the unit cannot hold it exactly."""
    try:
        return moment.cast(kind)
    except pa.ArrowInvalid:
        return None


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            "where: expected a text that UTF-8 can hold, got half a character"
        ) from error
    return text


def _moment(kind: pa.DataType, text: str, name: str) -> pa.Scalar:
    """Return a date or time in the unit of a column; UTC unless it names a zone."""
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"where: expected a date or time such as '2024-05-31' beside {name}, "
            f"got {briefly(text)}"
        ) from error
    if kind.tz is None:
        moment = moment.replace(tzinfo=None)
    return pa.scalar(moment, pa.timestamp("us", tz=kind.tz))


def _columns_compared(
    sign: str, left: tuple[str, pa.Array], right: tuple[str, pa.Array]
) -> pa.Array:
    """Compare two columns of one kind: numbers, texts, times or truth values."""
    (name, a), (other, b) = left, right
    if pt.is_null(a.type) or pt.is_null(b.type):
        return pa.nulls(len(a), pa.bool_())
    kinds = [_kind(array.type) for array in (a, b)]
    if kinds[0] is None or kinds[0] != kinds[1]:
        raise DataError(
            f"where: expected columns of one kind, got {name} ({a.type}) and {other} ({b.type})"
        )
    if kinds[0] == "number" and pt.is_integer(a.type) and pt.is_integer(b.type):
        exact = pa.decimal128(20, 0)  # holds int64 and uint64 alike
        a, b = (x.cast(exact) if x.type == pa.uint64() or a.type != b.type else x for x in (a, b))
    elif kinds[0] == "number" and not (pt.is_decimal(a.type) and pt.is_decimal(b.type)):
        a, b = a.cast(pa.float64(), safe=False), b.cast(pa.float64(), safe=False)
    elif kinds[0] == "time" and a.type.tz != b.type.tz:
        a, b = (x.cast(pa.timestamp(x.type.unit, "UTC")) for x in (a, b))
    return _COMPARE[sign](a, b)


def _kind(kind: pa.DataType) -> str | None:
    if pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind):
        return "number"
    if pt.is_large_string(kind):
        return "text"
    if pt.is_timestamp(kind):
        return "time"
    return "truth" if pt.is_boolean(kind) else None


def _constant(column: pa.Array, truth: bool) -> pa.Array:
    """Return one truth for every row whose value is known."""
    return pc.if_else(column.is_valid(), pa.scalar(truth), None)


def _misfit(name: str, kind: pa.DataType, advice: str) -> DataError:
    return DataError(f"where: {name} holds {kind}, which does not fit here: {advice}")
