"""External ids in the order of rows, their hash table on disk, and checks of callers' ids."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import (
    CorruptVersionError,
    DataError,
    UnknownItemError,
    UnknownUserError,
    briefly,
)
from recsys.base.lazy import lazy_property
from recsys.base.reading import damaged
from recsys.vectors.id_table import IdTable

Id = str | int

_FEW = 32  # ids; for so few the start of an Arrow call takes longer than a Python loop


class IdReader:
    """Ids in memory, one at a time ten times as fast as Arrow's own scalars.

    Parameters
    ----------
    values : pyarrow.Array
        Of large_string or int64, without nulls.
    path : path, optional
        The file that they are mapped from, for the error where it is damaged.
    """

    def __init__(self, values: pa.Array, path: Path | None = None) -> None:
        self._path = path
        _, first, *rest = values.buffers()
        self._numbers = memoryview(first if first is not None else b"").cast("q")[values.offset :]
        self._text = memoryview(rest[0] if rest[0] is not None else b"") if rest else None
        self._n = len(values)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, row: int) -> str | int:
        if not 0 <= row < self._n:
            raise IndexError(f"row {row} of {self._n} ids")
        return self.listed((row,))[0]

    def listed(self, rows: Iterable[int]) -> list[str | int]:
        """Return the ids of some rows, which must all exist: negative ones are not checked.

        A CorruptVersionError where the text of one is not in the file.
        """
        numbers, text = self._numbers, self._text
        if text is None:
            return [numbers[row] for row in rows]
        n_bytes = len(text)
        found: list[str | int] = []
        for row in rows:
            start, end = numbers[row], numbers[row + 1]
            if not 0 <= start <= end <= n_bytes:
                raise damaged(self._path or Path("ids"), f"no text for row {row}")
            found.append(str(text[start:end], "utf-8", "replace"))
        return found


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
        self._set(_as_id_array(values))

    def _set(
        self, values: pa.Array, table: IdTable | None = None, path: Path | None = None
    ) -> None:
        self._values, self._table, self._path = values, table, path
        self._is_checked = path is None

    @classmethod
    def mapped(cls, values: pa.Array, table: IdTable, path: Path | None = None) -> Self:
        """Return ids, large_string or int64, that were checked when their table was built.

        Those of a file are checked again where they are used: each that is looked up by itself,
        all of them, once, before `values` is read.
        """
        ids = cls.__new__(cls)
        ids._set(values, table, path)
        return ids

    @property
    def values(self) -> pa.Array:
        """The id of each row, large_string or int64; a CorruptVersionError if they are damaged."""
        if not self._is_checked:
            try:
                self._values.validate(full=True)
            except pa.ArrowInvalid as error:
                raise damaged(self._path or Path("ids"), str(error)) from error
            self._is_checked = True
        return self._values

    def __getstate__(self) -> dict[str, Any]:
        """Be pickled as the ids alone: what finds them is made again, or mapped, where they go."""
        return {"_values": self.values, "_table": None, "_path": None, "_is_checked": True}

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, row: int) -> Id:
        return self._reader[row]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ids) and bool(self.values.equals(other.values))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Ids({len(self)} x {self._values.type})"

    @property
    def are_integers(self) -> bool:
        """Whether the log spelled these ids as integers."""
        return bool(pa.types.is_integer(self._values.type))

    def find(self, id_: Id) -> int | None:
        """Return the row of an id, in either of its forms, or None."""
        spelled = canonical(id_, integers=self.are_integers)
        if spelled is None or self._table is None:
            return None if spelled is None else self._rows.get(spelled)
        row = self._table.find(spelled, len(self))
        if row is not None and self._reader[row] != spelled:
            raise leads_elsewhere(self._path or Path("ids"), row)
        return row

    def rows(self, ids: Iterable[Id]) -> NDArray[np.int32]:
        """Return the row of each id, int32, -1 for an unknown one."""
        listed = list(ids)
        if len(listed) > _FEW and len(self) <= _FEW * len(listed):
            with suppress(UnicodeError, OverflowError):  # of no id of ours, but of others beside it
                return self._rows_of_many(listed)
        # By ids alone: who also knows titles looks for these afterwards, all at once.
        found = (-1 if row is None else row for row in map(partial(Ids.find, self), listed))
        return np.fromiter(found, dtype=np.int32)

    def _rows_of_many(self, ids: list[Id]) -> NDArray[np.int32]:
        """Return the rows by one search among all ids, which costs as much as many look-ups."""
        spelled = [canonical(id_, integers=self.are_integers) for id_ in ids]
        return self._places(pa.array(spelled, self._values.type))

    def rows_of(self, other: "Ids") -> NDArray[np.int32]:
        """Return the row of each of other ids, int32, -1 for an unknown one.

        The same as `rows`, all at once: a million take a fraction of a second.
        """
        return self._places(other.values)

    def _places(self, others: pa.Array) -> NDArray[np.int32]:
        import pyarrow.compute as pc  # not needed to serve

        values = self.values
        if others.type != values.type:  # 7 and "7" are one id
            others, values = others.cast(pa.large_string()), values.cast(pa.large_string())
        found = pc.index_in(others, value_set=values, skip_nulls=True).fill_null(-1)
        rows: NDArray[np.int32] = found.to_numpy(zero_copy_only=False).astype(np.int32)
        return rows

    def take(self, rows: NDArray[np.integer]) -> "Ids":
        """Return the ids of some rows, in that order."""
        return Ids(self.values.take(pa.array(rows)))

    def joined(self, others: "Ids") -> tuple["Ids", NDArray[np.int32]]:
        """Return these ids, then the others that are new; and the row of each of the others."""
        rows = self.rows_of(others)
        is_new = rows < 0
        if not is_new.any():
            return self, rows
        rows[is_new] = np.arange(len(self), len(self) + int(is_new.sum()))
        values = [self.values, others.values.filter(pa.array(is_new))]
        if self.are_integers != others.are_integers:  # an id that is no number, now
            values = [one.cast(pa.large_string()) for one in values]
        return Ids(pa.chunked_array(values)), rows

    def tolist(self, rows: NDArray[np.integer] | None = None) -> list[Id]:
        """Return the ids of some rows (default: of all) as Python values."""
        if rows is not None and len(rows) <= _FEW:
            return self._reader.listed(rows.tolist())
        values = self.values if rows is None else self.values.take(pa.array(rows))
        listed: list[Id] = values.to_pylist()
        return listed

    def table(self) -> IdTable:
        """Return the hash table of these ids, which can be stored in a file."""
        return self._table or IdTable.of(self.values)

    @lazy_property
    def _reader(self) -> IdReader:
        return IdReader(self._values, self._path)

    @lazy_property
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


def leads_elsewhere(path: Path, row: int) -> CorruptVersionError:
    """Return the error for a table of ids that leads to the row of another id."""
    return damaged(path, f"the table of ids leads to row {row}, which is of another id")


def canonical(id_: Id, *, integers: bool) -> Id | None:
    """Spell an id the way the column does; None where that is impossible."""
    if not integers:
        return str(id_)
    if isinstance(id_, int | np.integer):
        return int(id_)
    # "7" names 7, but "07" and "+7" are other ids; int() refuses text that is very long.
    is_number = len(id_) <= 20 and id_.removeprefix("-").isdecimal()
    return int(id_) if is_number and str(int(id_)) == id_ else None


Kind = Literal["user", "item"]

# Constants, as a union that is written where it is used is built in each call.
_WHOLE = (int, np.integer)
ID = (str, *_WHOLE)
_MOST_BITS = 1024  # of an integer that is spelled as text: the time grows with their square


def checked_k(k: int) -> int:
    """Return k as an int, or raise a DataError if it is no length of a list."""
    if isinstance(k, bool) or not isinstance(k, _WHOLE):
        raise DataError(f"k: expected a whole number, got {briefly(k)}")
    if k < 1:
        raise DataError(f"k: expected at least 1, got {k}")
    return int(k)


def checked_id(id_: Id, name: str) -> Id:
    """Return an id, or raise a DataError that names the argument."""
    if isinstance(id_, bool) or not isinstance(id_, ID):
        raise DataError(f"{name}: expected a string or an integer, got {repr(id_)[:60]}")
    if isinstance(id_, int) and id_.bit_length() > _MOST_BITS:
        raise DataError(f"{name}: expected a string or an integer, got one of too many digits")
    return id_


def checked_ids(ids: Iterable[Id], name: str) -> list[Id]:
    """Return a list of ids, or raise a DataError that names the argument."""
    if isinstance(ids, str | Mapping) or not isinstance(ids, Iterable):  # values would be lost
        raise DataError(f"{name}: expected a list of ids, got {repr(ids)[:60]}")
    return [checked_id(id_, name) for id_ in ids]


def unknown_id(
    kind: Kind, id_: Id, ids: Ids, where: str = "", hint: str = ""
) -> UnknownUserError | UnknownItemError:
    """Return the error for an id that is not among the known ones, of which it names none.

    Parameters
    ----------
    kind : {"user", "item"}
    ids : Ids
        The known ones.
    where : str
        What holds them, such as "of version v".
    hint : str
        The end of the sentence.
    """
    error = UnknownUserError if kind == "user" else UnknownItemError
    known = f"{len(ids):,} {kind}s {where}".rstrip()
    return error(f"{kind} {briefly(str(id_))}: not among the {known}{hint}")
