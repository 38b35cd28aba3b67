"""A column of a query that is larger in rows that came later, so that only these are asked for."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from recsys.base.errors import DataError, briefly, did_you_mean
from recsys.logs.sources import listed

_EPOCH = datetime(1970, 1, 1)
_DAY = 86_400_000_000  # microseconds
_LAST = 2**63 - 1
# ADBC's driver adds the years from 1970 to 2000 to PostgreSQL's infinity, and goes beyond the end.
_WRAPPED, _WRAPPED_DAY = -(2**63) + 946_684_800_000_000 - 1, -(2**31) + 10_957 - 1
_FIRST_MOMENT = -62_135_596_800_000_000  # the year 1
_FARTHEST_ZONE = 14 * 3600  # seconds that a clock on a wall may be ahead of UTC


@dataclass
class Watermarks:
    """The watermarks of an answer, as they pass by."""

    column: str | None
    now: int
    shown_as: str
    type: pa.DataType | None = None
    lowest: int | None = None
    highest: int | None = None
    newest: int | None = None  # the highest that is not in the future
    has_nulls: bool = False
    n_rows: int = 0
    _latest: int | None = field(default=None, repr=False)

    def require(self, schema: pa.Schema) -> None:
        """Take the type of the column; a DataError where there is none, or one of another type."""
        require_column(schema, self.column, "watermark", self.shown_as)
        self.type = schema.field(self.column).type
        kind = self.type
        is_time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
        if not (is_time or pa.types.is_integer(kind) or pa.types.is_null(kind)):
            raise DataError(
                f"log {self.shown_as}: log.watermark: expected a time or an integer in "
                f"{self.column!r}, got {kind}; cast it in log.sql"
            )
        if is_time:
            has_zone = pa.types.is_timestamp(kind) and kind.tz is not None
            self._latest = (self.now + (0 if has_zone else _FARTHEST_ZONE)) * 1_000_000

    def look(self, batch: pa.RecordBatch) -> None:
        """Take what a batch has."""
        if self.column is None:
            return
        if self.type is None:
            self.require(batch.schema)
        column = batch.column(self.column)
        self.n_rows += batch.num_rows
        self.has_nulls = self.has_nulls or column.null_count > 0
        values = as_integers(column)
        ends = pc.min_max(values).as_py()
        if ends["min"] is None:
            return
        self.lowest = min(ends["min"], ends["min"] if self.lowest is None else self.lowest)
        self.highest = max(ends["max"], ends["max"] if self.highest is None else self.highest)
        newest = ends["max"]
        if self._latest is not None and newest > self._latest:
            newest = pc.max(values.filter(pc.less_equal(values, self._latest))).as_py()
        if newest is not None:
            self.newest = newest if self.newest is None else max(self.newest, newest)


def bound_of(newest: int, kind: str, overlap: float) -> int:
    """Return the watermark from which on is asked again."""
    if not kind.startswith(("date", "timestamp")):
        return newest - int(overlap)
    bound = max(newest - int(overlap * 1_000_000), _FIRST_MOMENT)
    return bound - bound % _DAY if kind.startswith("date") else bound


def require_column(schema: pa.Schema, name: str | None, setting: str, shown: str) -> None:
    """Refuse a setting that names a column which an answer does not have."""
    if name is None or name in schema.names:
        return
    raise DataError(
        f"log {shown}: log.{setting}: expected a column of log.sql, got {briefly(name)}; it has "
        f"{listed(schema.names)}{did_you_mean(name, schema.names)}"
    )


def as_integers(column: pa.Array) -> pa.Array:
    """Return watermarks as integers; times as microseconds since 1970, rounded down."""
    kind = column.type
    if pa.types.is_date32(kind):
        days = column.cast(pa.int32()).cast(pa.int64())
        last = _LAST // _DAY
        days = pc.if_else(pc.equal(days, _WRAPPED_DAY), last, days)
        days = pc.min_element_wise(days, last, skip_nulls=False)
        return pc.multiply(pc.max_element_wise(days, -last, skip_nulls=False), _DAY)
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = pc.floor_temporal(column, unit="microsecond")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        moments = column.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
        return pc.if_else(pc.equal(moments, _WRAPPED), _LAST, moments)
    return column.cast(pa.int64())


def literal_of(value: int, kind: str) -> str:
    """Spell a watermark in SQL, by the type of its column."""
    if kind.startswith("date"):
        return f"DATE '{_moment(value):%Y-%m-%d}'"
    if kind.startswith("timestamp"):
        has_zone = "tz=" in kind
        words = "TIMESTAMPTZ" if has_zone else "TIMESTAMP"
        return f"{words} '{_moment(value):%Y-%m-%d %H:%M:%S.%f}{'+00' if has_zone else ''}'"
    return str(value)


def shown_of(value: int, kind: str) -> str:
    """Return a watermark for people."""
    if kind.startswith(("date", "timestamp")):
        return f"{_moment(value):%Y-%m-%d %H:%M:%S}"
    return f"{value:,}"


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
