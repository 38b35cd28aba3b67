"""From each file or table of a log to a Parquet file of classified rows.

Parquet is read where it lies, as often as is needed. What can be read only once, or costs much to
parse, is classified while it streams into a temporary Parquet file, and read from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.base.errors import DataError
from recsys.logs.classify import (
    FILE_INDEX,
    OUTCOME,
    RowOutcome,
    RowRules,
    TextConditions,
    rules_for,
)
from recsys.logs.columns import known_columns, resolve_columns, unused_columns
from recsys.logs.find_layout import find_layout
from recsys.logs.layout import TextLayout, without_margins
from recsys.logs.records import (
    NOT_UTF8,
    RECORD_SCHEMA,
    SHOWN_CHARACTERS,
    WESTERN,
    found_encoding,
    read_records,
)
from recsys.logs.session import Session
from recsys.logs.sources import LogFile, Span, TableStream, identified, listed
from recsys.logs.sql import LogColumn, identifier, literal, literals
from recsys.settings import LogSettings

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.sql)


_MISREAD = (pa.types.is_fixed_size_binary, pa.types.is_decimal256, pa.types.is_duration)
"""Types that DuckDB would read as another."""
LINE = "recsys_line"
"""A column next to those of a table, which are called by our names."""
_OURS = (FILE_INDEX, OUTCOME, "file_row_number", "file_index")
"""Columns next to those of a Parquet file where it is scanned as it lies."""


@dataclass(frozen=True)
class StagedFile:
    """The Parquet file that the classified rows of one file or table are read from.

    `select` is SQL over the relation `scan` of that file, see `scanned`, for the columns of
    `RowRules.query`. Files alike in `select` and `types` can be scanned as one.
    """

    name: str  # of the file or table of the log
    path: Path  # the log's own file, or a temporary one
    select: str
    types: tuple[str, ...]  # of the columns that `select` uses
    rules: RowRules


def scanned(paths: Iterable[Path], select: str, span: Span | None = None) -> str:
    """Return the SQL that runs the `select` of a `StagedFile` over one or many Parquet files.

    Of a span, only its rows are read.
    """
    rows = "" if span is None else f" WHERE file_row_number BETWEEN {span.first} AND {span.end - 1}"
    # A name may hold the characters of a pattern.
    names = literals("".join(f"[{c}]" if c in "*?[" else c for c in str(path)) for path in paths)
    return (
        f"WITH scan AS (SELECT *, CAST(file_index AS BIGINT) AS {FILE_INDEX} "
        f"FROM read_parquet({names}, binary_as_string = true, file_row_number = true, "
        f"hive_partitioning = false){rows}) {select}"
    )


def stage(
    session: Session, source: LogFile | TableStream, settings: LogSettings
) -> StagedFile | None:
    """Classify the rows of one file or table; None where there is no row."""
    if isinstance(source, LogFile):
        source, belied = identified(source)
        session.note_all([belied] if belied else [], source.name)
    with session.explaining(lambda: f"log {source.name}"):
        if isinstance(source, TableStream):
            staged = _stage_table(session, source, settings)
        elif source.format == "parquet":
            staged = _stage_parquet(session, source, settings)
        else:
            staged = _stage_text(session, source, settings)
    if staged is None:
        session.note("no rows", source.name)
    return staged


def stage_copy(session: Session, file: LogFile, settings: LogSettings) -> StagedFile | None:
    """Classify the rows of a file, in a temporary file also where Parquet could be left to lie."""
    staged = stage(session, file, settings)
    if staged is None or staged.path.parent == session.folder:
        return staged
    with session.explaining(lambda: file.label):
        query = scanned([staged.path], staged.select, file.span)
        return _written(session, file.name, query, staged.rules)


def _stage_parquet(session: Session, file: LogFile, settings: LogSettings) -> StagedFile | None:
    if not file.path.stat().st_size:  # a marker, or a writer that was stopped at once
        return None
    try:
        opened = pq.ParquetFile(file.path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"log {file.name}: it is no Parquet file, or a damaged one: {reason}"
        ) from error
    with opened:
        if opened.metadata.num_rows == 0:
            return None
        schema = opened.schema_arrow
        if not can_be_scanned(schema, file, settings):
            batches = opened.iter_batches(columns=None)
            reader = pa.RecordBatchReader.from_batches(schema, batches)
            return _stage_table(session, TableStream(reader, file.name), settings, file)
    _refuse_types(schema, file.name, settings)
    relation = f"({scanned([file.path], 'SELECT * FROM scan')})"
    types = session.types(relation)
    chosen = resolve_columns(schema.names, settings, file.name)
    session.note_all(unused_columns(schema.names, chosen, file.partition), file.name)
    columns = {
        name: LogColumn(
            identifier(column), types[column], column, file.name, is_untyped=file.has_spelled_ids
        )
        for name, column in chosen.items()
    }
    rules = rules_for(columns, settings, session.now)
    select = rules.query("scan", "file_row_number + 1", _as_json(columns), FILE_INDEX)
    types_read = tuple(column.type for column in columns.values())
    return StagedFile(file.name, file.path, select, types_read, rules)


def can_be_scanned(schema: pa.Schema, file: LogFile, settings: LogSettings) -> bool:
    """Whether SQL, in which case does not matter, knows the columns of a file apart and from ours.

    Values in the names of folders are columns that the file itself does not have.
    """
    names = [name.lower() for name in schema.names]
    is_clear = len(set(names)) == len(names) and not set(_OURS) & set(names)
    wanted = set(known_columns(settings).values())
    return is_clear and not (set(file.partition) & wanted) - set(schema.names)


def _refuse_types(schema: pa.Schema, where: str, settings: LogSettings) -> None:
    """Refuse columns of a type that DuckDB would read as another."""
    wanted = set(known_columns(settings).values())
    for field in schema:
        if field.name not in wanted:
            continue
        type_, period = field.type, b"pandas.period"
        extension = (field.metadata or {}).get(b"ARROW:extension:name", b"")
        name = getattr(type_, "extension_name", "")
        if period in (extension, name.encode()):
            expected = "moments, as .dt.to_timestamp() makes them"
            raise LogColumn("", f"a pandas period ({type_})", field.name, where).refuse(expected)
        if any(is_of(type_) for is_of in _MISREAD):
            expected = "integers, strings, or decimals of up to 38 digits"
            raise LogColumn("", str(type_), field.name, where).refuse(expected)


def _stage_table(
    session: Session, table: TableStream, settings: LogSettings, file: LogFile | None = None
) -> StagedFile | None:
    """Classify the rows of a table, its columns called by our names."""
    there = table.reader.schema.names
    partition = {} if file is None else {k: v for k, v in file.partition.items() if k not in there}
    _refuse_types(table.reader.schema, table.name, settings)
    hint = ', as read_log(table, user="userId", item="movieId") does' if file is None else ""
    try:
        chosen = resolve_columns([*there, *partition], settings, table.name, hint)
    except DataError as error:
        if not any(batch.num_rows for batch in table.reader):
            raise DataError(f"log {table.name}: expected rows, but it is empty") from error
        raise
    session.note_all(unused_columns(there, chosen, partition), table.name)
    positions = {
        name: there.index(column) for name, column in chosen.items() if column not in partition
    }
    schema = pa.schema(
        [(name, _plain(table.reader.schema.field(n).type)) for name, n in positions.items()]
        + [(LINE, pa.int64())]
    )
    batches = _numbered(table.reader, list(positions.values()), schema)
    with session.stream(schema, batches) as relation:
        types = session.types(relation)
        columns = {
            name: LogColumn(identifier(name), types[name], column, table.name)
            if name in positions
            else _constant(partition[column], column, table.name)
            for name, column in chosen.items()
        }
        rules = rules_for(columns, settings, session.now)
        query = rules.query(relation, LINE, _as_json(columns))
        return _written(session, table.name, query, rules)


def _constant(value: str | None, column: str, where: str) -> LogColumn:
    sql = "CAST(NULL AS VARCHAR)" if value is None else literal(value)
    return LogColumn(sql, "VARCHAR", column, where, is_untyped=True)


def _stage_text(session: Session, file: LogFile, settings: LogSettings) -> StagedFile | None:
    whole = replace(file, span=None)
    layout = find_layout(whole, settings, known_columns(settings), ("user_id", "item_id"))
    if layout is None:
        return None
    partition = {k: v for k, v in file.partition.items() if k not in layout.columns}
    hint = ""
    if layout.delimiter is not None and layout.has_header and settings.header == "auto":
        hint = ", or set log.names where the file has no header"
    chosen = resolve_columns([*layout.columns, *partition], settings, file.name, hint)
    _note_layout(session, layout, chosen, file, settings.encoding)
    in_file = [column for column in chosen.values() if column not in partition]
    columns = {
        name: _constant(partition[column], column, file.name)
        if column in partition
        else _field(in_file.index(column) + 1, column, file, settings)
        for name, column in chosen.items()
    }
    is_repeated = layout.repeats_a_key(in_file)
    conditions = TextConditions("NOT is_utf8", "fields IS NULL", repeats_a_key=is_repeated)
    if in_file and (layout.has_header or settings.names):
        is_other = layout.repeats_in_another_order(in_file[0], "fields[1]")
        conditions = replace(conditions, is_header=_repeats(in_file), is_another_header=is_other)
    rules = rules_for(columns, settings, session.now, conditions)
    batches = read_records(file, settings, layout.delimiter, len(layout.columns))
    say = partial(session.note, name=file.name)
    batches = without_margins(batches, layout, say, file.span)
    with session.stream(RECORD_SCHEMA, batches) as relation:
        parsed = f"({layout.parsed(relation, in_file)})"
        query = rules.query(parsed, "line", f"left(record, {SHOWN_CHARACTERS})")
        return _written(session, file.name, query, rules)


def _field(position: int, column: str, file: LogFile, settings: LogSettings) -> LogColumn:
    return LogColumn(
        f"fields[{position}]",
        "VARCHAR",
        column,
        file.name,
        f"kinds[{position}]" if file.format == "jsonl" else None,
        is_untyped=True,
        decimal=settings.decimal,
        null_values=settings.null_values,
    )


def _note_layout(
    session: Session, layout: TextLayout, chosen: Mapping[str, str], file: LogFile, encoding: str
) -> None:
    """Say what was assumed of a text file, and what of it is not read."""
    found = found_encoding(file, encoding)
    if found == WESTERN:
        session.warn(NOT_UTF8.format(file.key("encoding")), file.name)
    elif found is not None:
        session.note(f"read as {found}, which its first bytes show", file.name)
    if layout.assumed is not None:
        session.warn(f"assumed that {layout.assumed}", file.name)
    elif layout.has_header or file.format == "jsonl":
        session.note_all(unused_columns(layout.columns, chosen, file.partition), file.name)


def _repeats(columns: Sequence[str]) -> str:
    """Return the condition of a row that holds the names of the columns, as joined files do.

    In any case, and after the byte order mark that a file in the middle began with.
    """
    return " AND ".join(
        f"ltrim(lower(fields[{position}]), chr(65279)) = lower({literal(column)})"
        for position, column in enumerate(columns, start=1)
    )


def _numbered(
    reader: pa.RecordBatchReader, positions: Sequence[int], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Keep some columns, by the names and types of a schema, and number the rows from 1."""
    first = 1
    for batch in reader:
        lines = pa.array(np.arange(first, first + batch.num_rows, dtype=np.int64))
        columns = [
            batch.column(position).cast(field.type)
            for position, field in zip(positions, schema, strict=False)
        ]
        yield pa.RecordBatch.from_arrays([*columns, lines], schema=schema)
        first += batch.num_rows


def _plain(type_: pa.DataType) -> pa.DataType:
    """Return the type that DuckDB reads: no dictionary, and no float of half precision."""
    if pa.types.is_dictionary(type_):
        return _plain(type_.value_type)
    return pa.float32() if pa.types.is_float16(type_) else type_


def _as_json(columns: Mapping[str, LogColumn]) -> str:
    pairs = ", ".join(f"{literal(column.name)}, {column.sql}" for column in columns.values())
    return f"CAST(json_object({pairs}) AS VARCHAR)"


def _written(session: Session, name: str, query: str, rules: RowRules) -> StagedFile | None:
    """Write classified rows to a temporary file; None where there are none."""
    path = session.new_file(".parquet")
    rows = f"SELECT * EXCLUDE ({FILE_INDEX}) FROM ({query})"
    ((n_rows,),) = session.rows(f"COPY ({rows}) TO {literal(str(path))} (FORMAT parquet)")
    return from_written(name, path, rules) if n_rows else None


def from_written(name: str, path: Path, rules: RowRules) -> StagedFile:
    """Return the file or table whose classified rows were written to a Parquet file."""
    types = tuple("BIGINT" if kind == "integer" else "VARCHAR" for kind in rules.id_kinds)
    select = (
        "SELECT user_id, item_id, weight, seconds, nanos, event, outcome, line, text, "
        f"{FILE_INDEX} FROM scan"
    )
    return StagedFile(name, path, select, types, rules)


def outcomes_of(files: Sequence[StagedFile]) -> tuple[RowOutcome, ...]:
    """Return the outcomes that files have in common; a DataError if they differ in columns."""
    reasons = {tuple(outcome.reason for outcome in file.rules.outcomes) for file in files}
    if len(reasons) == 1:
        return files[0].rules.outcomes
    names = {ours: name for file in files for ours, name in file.rules.columns.items()}
    lacking = {
        name: [file.name for file in files if ours not in file.rules.columns]
        for ours, name in names.items()
    }
    said = "; ".join(f"{listed(one)} without {name!r}" for name, one in lacking.items() if one)
    value = (
        " (of values also: set log.missing_value)" if lacking.get(names.get("value", "")) else ""
    )
    raise DataError(
        f"log: expected the same columns in each of its {len(files):,} files, got {said}; add the "
        f"column{value}, or read them apart"
    )
