"""Attributes of the items, from a table next to the log: titles, categories, prices."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.base.checks import require_a
from recsys.base.errors import ConfigError, DataError, briefly, did_you_mean
from recsys.logs.find_layout import find_layout
from recsys.logs.layout import (
    HOW_TO_READ_PYTHON,
    JSON_END,
    TextLayout,
    each_key_once,
    is_python,
    without_margins,
)
from recsys.logs.object_files import local_path
from recsys.logs.records import (
    NOT_UTF8,
    RECORD_SCHEMA,
    WESTERN,
    found_encoding,
    read_records,
    rows_in,
)
from recsys.logs.session import Session, open_session, warn
from recsys.logs.sources import ItemSource, LogFile, arrow_table, as_file, identified
from recsys.logs.sql import SPELLED_INTEGER, case, literal, literals
from recsys.objects import shown
from recsys.settings import ItemSettings, TextSettings
from recsys.vectors.ids import Kind

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.sql)

_MEMORY_LIMIT = "1GB"
_MOST_ODD = 0.1  # of the rows of a table; if more cannot be read, it is taken apart wrongly
_LONGEST_EXAMPLE = 200  # characters


def read_items(source: ItemSource, settings: ItemSettings | None = None) -> pa.Table:
    """Read a table of item attributes.

    Text is taken apart as that of a log is, so that an id is the same id in both. A column of CSV
    is of the narrowest type that all its values have: integers, numbers, booleans, dates, times,
    else text.

    Parameters
    ----------
    source : path or table
        Parquet, CSV or JSON lines, the last two plain or compressed; a pandas, Polars or Arrow
        table.

    Returns
    -------
    pyarrow.Table
        A column item_id and the attributes.

    Raises
    ------
    DataError
        If the source cannot be read, a column is missing, or a number is no finite one.
    """
    settings = settings or ItemSettings()
    require_a("items: settings", settings, ItemSettings, "ItemSettings")
    return read_attributes("item", source, settings)


def read_attributes(of: Kind, source: ItemSource, settings: ItemSettings) -> pa.Table:
    """Read a table of items, or of users, whose ids `settings` and the result call item_id."""
    columns = dict(settings.columns)
    item_id = columns.setdefault("item_id", "item_id")
    where, table = _read(source, settings.text, item_id)
    for ours, column in columns.items():
        if column not in table.column_names:
            free = [name for name in table.column_names if name not in columns.values()]
            raise DataError(
                f"{of}s: {where} has no column {briefly(column)}, only "
                f"{', '.join(table.column_names)}{did_you_mean(column, table.column_names)}; name "
                f"{_how_to_name(of, ours, source, free or table.column_names)}"
            )
        if table.column_names.count(column) > 1:
            raise DataError(_several(where, column, table.column_names))
    if len(columns) > 1:
        table = pa.table({ours: table[theirs] for ours, theirs in columns.items()})
    else:
        names = ["item_id" if name == item_id else name for name in table.column_names]
        table = table.rename_columns(names)
    refuse_numbers_that_are_none(table)
    return table


def _how_to_name(of: Kind, ours: str, source: ItemSource, names: list[str]) -> str:
    """Return how a column is named, with the first of some as the example."""
    key = f"{of}_id" if ours == "item_id" else ours
    what = "the column of ids" if ours == "item_id" else f"that of {ours}"
    if not isinstance(source, str | Path):
        example = f"{of}_columns={{{key!r}: {names[0]!r}}}" if names else f"{of}_columns"
        return f"{what}: {example}"
    example = json.dumps(names[0] if names else "id", ensure_ascii=False)
    setting = f"data.{of}_columns"
    return f"{what}: --set '{setting}={{{key}={example}}}' ({setting} in the TOML)"


def _several(where: object, name: str, names: list[str]) -> str:
    """Return what is said where two columns have one name: perhaps they are no names."""
    example = json.dumps(["item_id", "title", *(f"c{n}" for n in range(3, len(names) + 1))])
    return (
        f"items: {where} has several columns {name!r}; give each its own name; where the first "
        f"line is no header: --set 'data.items_text.names={example[:_LONGEST_EXAMPLE]}"
        f"{'...]' if len(example) > _LONGEST_EXAMPLE else ''}'"
    )


def _read(source: ItemSource, text: TextSettings, item_id: str) -> tuple[str, pa.Table]:
    """Return what a table of items is called in messages, and its rows."""
    if not isinstance(source, str | Path):
        return "the table", arrow_table(source, "items")
    try:
        return shown(source), _read_table(local_path(source, "items"), text, item_id)
    except (OSError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise DataError(f"items: cannot read {source} as a table of items: {reason}") from error


_NOT_KEPT = (
    *(pa.types.is_string_view, pa.types.is_binary_view, pa.types.is_run_end_encoded),
    *(pa.types.is_union, pa.types.is_interval),
)
"""Types that Arrow cannot write as Parquet, or not take rows of."""
_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def refuse_numbers_that_are_none(table: pa.Table) -> None:
    """Refuse infinities and NaN, which JSON cannot hold, and floats of half precision."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        for part in _leaves(column):
            _refuse_leaf(name, part)


def _leaves(column: pa.ChunkedArray | pa.Array) -> Iterator[pa.ChunkedArray | pa.Array]:
    """Yield what lists, structs and maps hold at last."""
    type_ = column.type
    if pa.types.is_dictionary(type_):
        yield from _leaves(column.cast(type_.value_type))
    elif pa.types.is_struct(type_):
        for n in range(type_.num_fields):
            yield from _leaves(pc.struct_field(column, n))
    elif pa.types.is_map(type_):
        entries = pa.list_(pa.struct([("key", type_.key_type), ("value", type_.item_type)]))
        yield from _leaves(column.cast(entries))
    elif any(is_of(type_) for is_of in _LISTS):
        yield from _leaves(pc.list_flatten(column))
    else:
        yield column


def _refuse_leaf(name: str, column: pa.ChunkedArray | pa.Array) -> None:
    if pa.types.is_float16(column.type):
        raise DataError(f"items: column {name!r} is float16; convert it to float32")
    if any(is_of(column.type) for is_of in _NOT_KEPT):
        raise DataError(
            f"items: column {name!r} is {column.type}, which a version cannot keep; convert it "
            "to text, numbers, dates, or lists of these"
        )
    if pa.types.is_floating(column.type) and name != "item_id":
        is_finite = pc.fill_null(pc.is_finite(column), True)
        if not pc.all(is_finite).as_py():
            row = pc.index(is_finite, False).as_py()
            raise DataError(
                f"items: column {name!r} holds {column[row].as_py()} (value {row + 1}); "
                "expected finite numbers; write null where there is none"
            )


def _read_table(path: Path, settings: TextSettings, item_id: str) -> pa.Table:
    try:
        file = None if path.is_dir() else as_file(path, "auto", "items")
    except ConfigError:  # a name that says nothing
        file = None
    if file is not None:
        file, belied = identified(file)
        if belied is not None:
            warn(f"items {path}: {belied}")
    if file is None or file.format == "parquet":
        return pq.read_table(path)
    if found_encoding(file, settings.encoding) == WESTERN:
        warn(f"{file.label}: {NOT_UTF8.format(file.key('encoding'))}")
    with open_session(_MEMORY_LIMIT) as session, session.explaining(lambda: file.label):
        layout = find_layout(file, settings, {"item_id": item_id}, ("item_id",))
        if layout is None:
            raise DataError(f"items: {path} has no rows")
        if layout.delimiter is None:
            return _json_table(session, file, settings, item_id)
        return _csv_table(session, file, settings, layout, item_id)


def _csv_table(
    session: Session, file: LogFile, settings: TextSettings, layout: TextLayout, item_id: str
) -> pa.Table:
    names = list(layout.columns)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(_several(file.name, twice, names))
    records = read_records(file, settings, layout.delimiter, len(names))
    records = without_margins(records, layout, lambda said: warn(f"{file.label}: {said}"))
    with session.stream(RECORD_SCHEMA, records) as relation:
        query = f"SELECT line, record, is_utf8, fields FROM ({layout.parsed(relation, names)})"
        session.execute(f"CREATE TABLE records AS {query} ORDER BY line")
    if layout.has_header:
        session.execute(f"DELETE FROM records WHERE fields = {literals(names)}")  # files joined
    _leave_out_odd_rows(session, file, len(names))
    fields = ", ".join(f"fields[{n}] AS c{n}" for n in range(1, len(names) + 1))
    session.execute(f"CREATE TABLE items AS SELECT {fields} FROM records ORDER BY line")
    nulls = (*settings.null_values, "")
    texts = [
        _typed(session, f"c{n}", name == item_id, nulls, settings.decimal)
        for n, name in enumerate(names, start=1)
    ]
    found = session.batches(f"SELECT {', '.join(texts)} FROM items").read_all()
    arrays = [
        column.cast(pa.string()) if pa.types.is_large_string(column.type) else column
        for column in found.columns
    ]
    return pa.table(arrays, names=names)


def _leave_out_odd_rows(session: Session, file: LogFile, n_fields: int) -> None:
    odd = session.rows(
        "SELECT line, left(record, 60), is_utf8 FROM records WHERE fields IS NULL ORDER BY line"
    )
    if not odd:
        return
    line, record, is_utf8 = odd[0]
    _require_utf8(file, line, bool(is_utf8))
    ((n_read,),) = session.rows("SELECT count(*) FROM records WHERE fields IS NOT NULL")
    reason = f"line {line}: expected {n_fields} fields, got {briefly(record)}"
    advice = "quote fields that hold the delimiter, or name it: --set data.items_text.delimiter=..."
    _require_few(file, len(odd), cast(int, n_read), reason, advice)
    session.execute("DELETE FROM records WHERE fields IS NULL")


def _require_few(file: LogFile, n_odd: int, n_read: int, reason: str, advice: str) -> None:
    """Say that a few rows are left out; a DataError where they are more than a few."""
    n_rows = n_odd + n_read
    if n_odd > _MOST_ODD * n_rows:
        more = f" ({n_odd:,} of {n_rows:,} rows)" if n_odd > 1 else ""
        raise DataError(f"{file.label} {reason}{more}; {advice}")
    warn(f"{file.label}: {n_odd:,} of {n_rows:,} rows are left out, such as {reason}; {advice}")


_WHOLE = "-?(0|[1-9][0-9]*)"
_NUMBER = "[-+]?[0-9]+([.][0-9]*)?([eE][-+]?[0-9]+)?|[-+]?[.][0-9]+|[-+]?inf(inity)?"
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"


def _typed(session: Session, column: str, is_id: bool, nulls: tuple[str, ...], decimal: str) -> str:
    """Return the SQL of a column of text in the narrowest type that all its values have."""
    if is_id:
        text = f"(SELECT {column} AS id FROM items)"
        ((n_others,),) = session.rows(
            f"SELECT count(*) FROM {text} WHERE id IS NOT NULL AND ({SPELLED_INTEGER}) IS NULL"
        )
        integer = SPELLED_INTEGER.replace("(id", f"({column}")
        return f"{integer} AS {column}" if n_others == 0 else column
    is_null = f"{column} IN ({', '.join(map(literal, nulls))})"
    number = column if decimal == "." else f"replace({column}, {literal(decimal)}, '.')"
    ways = {
        f"TRY_CAST({column} AS BIGINT)": f"regexp_full_match({column}, '{_WHOLE}')",
        f"TRY_CAST({number} AS DOUBLE)": f"regexp_full_match({number}, '{_NUMBER}', 'i')",
        f"TRY_CAST({column} AS BOOLEAN)": f"regexp_full_match({column}, 'true|false', 'i')",
        f"TRY_CAST({column} AS DATE)": f"regexp_full_match({column}, '{_DATE}')",
        f"TRY_CAST({column} AS TIMESTAMP)": f"regexp_full_match({column}, '{_DATE}[T ].*')",
    }
    counts = ", ".join(
        f"count(*) FILTER (({form}) AND {value} IS NOT NULL)" for value, form in ways.items()
    )
    ((n_values, *n_of_way),) = session.rows(
        f"SELECT count(*), {counts} FROM items WHERE NOT ({is_null})"
    )
    # Digits with a zero in front are a code, such as a postal one.
    # More digits than 64 bits hold are one too, which a float would round.
    ((n_codes,),) = session.rows(
        f"SELECT count(*) FROM items WHERE regexp_full_match({column}, '0[0-9]+') "
        f"OR (regexp_full_match({column}, '{_WHOLE}') AND TRY_CAST({column} AS BIGINT) IS NULL)"
    )
    for value, n in zip(ways, n_of_way, strict=True):
        if n == n_values and n_values and not n_codes:
            return f"{case([(is_null, 'NULL')], otherwise=value)} AS {column}"
    return column


def _json_table(session: Session, file: LogFile, settings: TextSettings, item_id: str) -> pa.Table:
    """Read the objects of JSON lines: a key is a column, whichever of them have it."""
    columns: dict[str, list[Any]] = {}
    n_rows, odd = 0, list[str]()
    for line, text, is_utf8 in _lines(file, settings):
        _require_utf8(file, line, is_utf8)
        try:
            row = _object(text, item_id)
        except DataError as error:
            odd.append(f"line {line}: {error}")
            continue
        for key in row:
            columns.setdefault(key, [None] * n_rows)
        n_rows += 1
        for key, values in columns.items():
            values.append(row.get(key))
    if odd:
        _require_few(file, len(odd), n_rows, odd[0], "mend or drop such lines")
    try:
        found = {name: pa.array(values) for name, values in columns.items()}
    except UnicodeEncodeError as error:
        raise DataError(
            f"items: {file.name} holds half a character (a lone surrogate), which UTF-8 cannot "
            "write; repair or drop it"
        ) from error
    except (pa.ArrowException, OverflowError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"items: {file.name}: a key has values of several types, or numbers beyond 64 bits: "
            f"{reason}"
        ) from error
    return _with_integer_ids(session, pa.table(found), item_id)


def _with_integer_ids(session: Session, table: pa.Table, item_id: str) -> pa.Table:
    """Make text ids integers if all spell one, as ids of a log are."""
    if item_id not in table.column_names or not pa.types.is_string(table[item_id].type):
        return table
    session.connection.register("ids", pa.table({"id": table[item_id]}))
    integers = session.batches(f"SELECT {SPELLED_INTEGER} AS id FROM ids").read_all()["id"]
    if integers.null_count > table[item_id].null_count:
        return table
    return table.set_column(table.column_names.index(item_id), item_id, integers)


def _json_id(value: object) -> str | None:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return None if value is None else str(value)
    raise DataError(f"expected an id that is a string or an integer, got {briefly(value)}")


def _require_utf8(file: LogFile, line: object, is_utf8: bool) -> None:
    if not is_utf8:
        raise DataError(
            f"items: {file.name} line {line}: it is not UTF-8 text; set "
            f'{file.key("encoding")} to what it is, such as "cp1252"'
        )


def _lines(file: LogFile, settings: TextSettings) -> Iterator[tuple[int, str, bool]]:
    for batch, row, text in rows_in(read_records(file, settings)):
        yield batch.column(1)[row].as_py(), text.rstrip(JSON_END), batch.column(2)[row].as_py()


def _object(text: str, item_id: str) -> dict[str, Any]:
    """Return the object of a line, its id as text; a DataError where it holds none."""
    try:
        found = json.loads(text, object_pairs_hook=each_key_once)
    except DataError:
        raise
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        literal_ = f"; {HOW_TO_READ_PYTHON}" if is_python(text) else ""
        raise DataError(f"expected one JSON object, got {briefly(text.strip())}{literal_}")
    if item_id in found:
        found[item_id] = _json_id(found[item_id])
    return found
