"""Attributes of items and users in the order of the rows of the embeddings, matched by id."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from recsys.base.errors import DataError
from recsys.logs.items import refuse_numbers_that_are_none
from recsys.logs.session import warn
from recsys.vectors import Ids
from recsys.vectors.ids import Kind

_MOST_COMPARED = 100_000  # rows
_INTEGER = r"^(0|-?[1-9]\d{0,17})$"  # "07" is no other spelling of 7, but another id
_FEW = 0.5  # of the ids of a log; if fewer have attributes, the ids may not be those of the log
_IDS = (
    *(pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null),
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_dictionary),
)


def attributes_of(table: pa.Table, rows: Ids, of: Kind = "item") -> pa.Table:
    """Bring a table of items, or of users, into the order of the rows of the embeddings.

    Warns where the table holds none of the rows, or less than half of them, and where several rows
    for one id differ.

    Parameters
    ----------
    table : pyarrow.Table
        With a column item_id or user_id. Of several rows for one id the first one counts.
    rows : Ids
        The items or the users, in order.
    of : {"item", "user"}
        What the table describes.

    Returns
    -------
    pyarrow.Table
        One row per id; attributes are null for one that the table does not hold.

    Raises
    ------
    DataError
        If ids or numbers of the table cannot be used.
    """
    key = f"{of}_id"
    refuse_numbers_that_are_none(table)
    ids = _ids_as_text(table[key], of)
    first_row = pc.index_in(rows.values.cast(pa.large_string()), value_set=ids)
    _warn_of_several(table, ids, of)
    n_found = len(first_row) - first_row.null_count
    if n_found < _FEW * len(rows):
        example = "" if len(table) == 0 else f", such as {table[key][0].as_py()!r}"
        warn(
            f"{of}s: of the {len(rows):,} {of}s of the log, such as {rows[0]!r}, the table of "
            f"{of}s has {n_found:,}; its ids{example} may be spelled otherwise, or be in another "
            f"column (data.{of}_columns)"
        )
    aligned = table.take(first_row)
    return aligned.set_column(aligned.column_names.index(key), key, rows.values)


def rows_of_others(table: pa.Table, rows: Ids, of: Kind = "item") -> pa.Table:
    """Return the first row of each id of a table that is none of some ids.

    Ids are spelled as the others are, unless one is no integer where they are.
    """
    key = f"{of}_id"
    text = _ids_as_text(table[key], of)
    ids = pc.unique(text).drop_null()
    ids = ids.filter(pc.invert(pc.is_in(ids, value_set=rows.values.cast(pa.large_string()))))
    found = table.take(pc.index_in(ids, value_set=text))
    if rows.are_integers and pc.all(pc.match_substring_regex(ids, _INTEGER)).as_py():
        ids = ids.cast(pa.int64())
    return found.set_column(found.column_names.index(key), key, ids)


def with_more_rows(
    before: pa.Table | None, more: pa.Table, ids: Ids, of: Kind = "item"
) -> pa.Table:
    """Return a table of items, or of users, with the attributes of some more after its own.

    Parameters
    ----------
    before : pyarrow.Table or None
        Row i describes item i, for all but the last ones.
    more : pyarrow.Table
        A row for each of the last ones. A column that `before` lacks is left out, unless there is
        no table before; one that it lacks itself is null.
    ids : Ids
        Of all of them.
    """
    if before is None:
        nothing = {
            name: pa.nulls(len(ids) - len(more), more[name].type) for name in more.column_names
        }
        before = pa.table(nothing)
    more = in_types_of(before, more, of)
    columns: dict[str, Any] = {}
    for name in before.column_names:
        column = before[name]
        if name == f"{of}_id":
            columns[name] = ids.values
            continue
        added = pa.chunked_array([pa.nulls(len(more), column.type)])
        if name in more.column_names:
            added = more[name]
        columns[name] = pa.chunked_array([*column.chunks, *added.chunks], type=column.type)
    return pa.table(columns)


def in_types_of(before: pa.Table | None, more: pa.Table, of: Kind = "item") -> pa.Table:
    """Return a table whose columns have the types that those of another have.

    A DataError names a column that cannot be brought to it.
    """
    for place, name in enumerate(more.column_names):
        if before is None or name == f"{of}_id" or name not in before.column_names:
            continue
        kind, column = before[name].type, more[name]
        try:
            more = more.set_column(place, name, column.cast(kind))
        except pa.ArrowException as error:
            raise DataError(
                f"{of}s: column {name!r}: expected {kind}, as the version has it, got "
                f"{column.type}: {str(error).splitlines()[0]}; write it as it was, or train again"
            ) from error
    return more


def _warn_of_several(table: pa.Table, ids: pa.Array, of: Kind) -> None:
    """Warn of ids with several rows that differ."""
    counts = ids.value_counts()
    several = counts.field("values").filter(pc.greater(counts.field("counts"), 1)).drop_null()
    if not len(several):
        return
    rows_of: dict[str, list[Any]] = {}
    rows = pc.indices_nonzero(pc.is_in(ids, value_set=several))[:_MOST_COMPARED]
    attributes = table.drop_columns(f"{of}_id").take(rows).to_pylist()
    for id_, row in zip(ids.take(rows).to_pylist(), attributes, strict=True):
        rows_of.setdefault(id_, []).append(row)
    differ = [id_ for id_, found in rows_of.items() if any(row != found[0] for row in found)]
    if differ:
        warn(
            f"{of}s: several rows that differ have one id, such as "
            f"{differ[0]!r} ({len(differ):,} ids); of each id the first row counts"
        )


def _ids_as_text(ids: pa.ChunkedArray, of: Kind) -> pa.Array:
    """Return ids as text: a whole float or decimal is an integer."""
    if not any(is_of(ids.type) for is_of in _IDS):
        raise DataError(
            f"{of}s: {of}_id is {ids.type}; expected integers or strings; convert it, or map "
            f"another column (data.{of}_columns)"
        )
    if pa.types.is_floating(ids.type):
        ids = pc.if_else(pc.is_nan(ids), None, ids).cast(pa.float64())
        if pc.any(pc.greater_equal(pc.abs(ids), 2.0**53)).as_py():
            raise DataError(
                f"{of}s: {of}_id holds floats above 2^53, which are rounded; write integers or text"
            )
    text = ids.cast(pa.large_string())
    if pa.types.is_floating(ids.type) or pa.types.is_decimal(ids.type):
        text = pc.replace_substring_regex(text, r"\.0*$", "")
    return text.combine_chunks() if isinstance(text, pa.ChunkedArray) else text
