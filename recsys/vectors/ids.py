"""External ids: row number to id, and id to row number."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.vectors.id_table import IdReader, IdTable

Id = str | int

_FEW = 32  # ids; Arrow needs a few microseconds to begin


class Ids:
    """The external ids of the rows of a matrix.

    Ids are strings or 64-bit integers, as the log has them. A look-up accepts either form, so
    that ``42`` and ``"42"`` name the same user whichever way the log spelled it.

    Parameters
    ----------
    values : pyarrow.Array or iterable of str or int
        The id of each row, unique and not null.

    Raises
    ------
    DataError
        If an id is null, occurs twice, or is neither a string nor an integer.

    Examples
    --------
    >>> ids = Ids(["a", "b", "7"])
    >>> ids[1], ids.find("b"), ids.find(7), ids.find("zebra")
    ('b', 1, 2, None)
    """

    def __init__(self, values: pa.Array | Iterable[Id]) -> None:
        self.values: pa.Array = _as_id_array(values)
        self._table: IdTable | None = None

    @classmethod
    def mapped(cls, values: pa.Array, table: IdTable) -> "Ids":
        """Return ids that were checked when their table was made, without a look at any.

        Parameters
        ----------
        values : pyarrow.Array
            Of large_string or int64.
        table : IdTable
            Of these values.
        """
        ids = cls.__new__(cls)
        ids.values, ids._table = values, table
        return ids

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, row: int) -> Id:
        return self._reader[row]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ids) and bool(self.values.equals(other.values))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Ids({len(self)} x {self.values.type})"

    @property
    def are_integers(self) -> bool:
        """Whether the log spelled these ids as integers."""
        return bool(pa.types.is_integer(self.values.type))

    def find(self, id_: Id) -> int | None:
        """Return the row of an id, in either of its forms, or None."""
        spelled = canonical(id_, integers=self.are_integers)
        if spelled is None or self._table is None:
            return None if spelled is None else self._rows.get(spelled)
        return self._table.find(spelled, len(self))

    def rows(self, ids: Iterable[Id]) -> NDArray[np.int32]:
        """Return the row of each id, int32, with -1 for an id that is not here."""
        found = (-1 if row is None else row for row in map(self.find, ids))
        return np.fromiter(found, dtype=np.int32)

    def rows_of(self, other: "Ids") -> NDArray[np.int32]:
        """Return the row of each of other ids, int32, with -1 for one that is not here.

        As `rows`, for all of them at once: a million take a fraction of a second.
        """
        import pyarrow.compute as pc  # not needed to serve

        wanted, values = other.values, self.values
        if wanted.type != values.type:  # 7 and "7" are one id
            wanted, values = wanted.cast(pa.large_string()), values.cast(pa.large_string())
        found = pc.index_in(wanted, value_set=values).fill_null(-1)
        rows: NDArray[np.int32] = found.to_numpy(zero_copy_only=False).astype(np.int32)
        return rows

    def take(self, rows: NDArray[np.integer]) -> "Ids":
        """Return the ids of some rows, in that order."""
        return Ids(self.values.take(pa.array(rows)))

    def tolist(self, rows: NDArray[np.integer] | None = None) -> list[Id]:
        """Return the ids of some rows (default: of all) as Python values."""
        if rows is not None and len(rows) <= _FEW:
            return self._reader.listed(rows.tolist())
        values = self.values if rows is None else self.values.take(pa.array(rows))
        listed: list[Id] = values.to_pylist()
        return listed

    def table(self) -> IdTable:
        """Return a table of these ids that can be kept in files."""
        return self._table or IdTable.of(self.values)

    @cached_property
    def _reader(self) -> IdReader:
        return IdReader(self.values)

    @cached_property
    def _rows(self) -> dict[Id | None, int]:
        return {id_: row for row, id_ in enumerate(self.values.to_pylist())}


def _as_id_array(values: pa.Array | Iterable[Id]) -> pa.Array:
    import pyarrow.compute as pc  # not needed to serve

    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if not isinstance(values, pa.Array):
        listed = list(values)
        if any(isinstance(value, str) for value in listed):
            listed = [str(value) for value in listed]
        values = pa.array(listed, type=None if listed else pa.string())
    if pa.types.is_integer(values.type):
        values = values.cast(pa.int64())
    elif pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = values.cast(pa.large_string())
    else:
        raise DataError(f"ids: expected strings or integers, got {values.type}")
    if values.null_count:
        raise DataError(f"ids: expected one id per row, got {values.null_count} rows without one")
    n_distinct = pc.count_distinct(values).as_py()
    if n_distinct != len(values):
        raise DataError(f"ids: expected unique ids, got {len(values) - n_distinct} repeats")
    return values


def canonical(id_: Id, *, integers: bool) -> Id | None:
    """Spell an id the way the column does; None where it cannot be."""
    if not integers:
        return str(id_)
    if isinstance(id_, int | np.integer):
        return int(id_)
    # "7" names 7, but "07" and "+7" are other ids; int() refuses text that is very long.
    is_number = len(id_) <= 20 and id_.removeprefix("-").isdecimal()
    return int(id_) if is_number and str(int(id_)) == id_ else None
