"""From each file or table of a log to a Parquet file of classified rows.

Parquet is read where it lies, as often as is needed. What can be read only once, or costs much to
parse, is classified while it streams into a temporary Parquet file, and read from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from recsys.base.errors import DataError
from recsys.logs.classify import FILE_INDEX, Outcome, RowRules, rules_for
from recsys.logs.columns import Column, resolve_columns
from recsys.logs.session import Session, identifier, literal, literals
from recsys.logs.sources import LogFile, TableStream
from recsys.logs.text import RECORD_SCHEMA, find_layout, read_records
from recsys.settings import LogSettings

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.session)


LINE = "recsys_line"
"""A column next to those of a table, so its name must not be among theirs."""


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
    is_text: bool  # whether the log has no types, so that an id may be a number or not


def scanned(paths: Iterable[Path], select: str) -> str:
    """Return the SQL that runs the `select` of a `StagedFile` over one or many Parquet files."""
    # A name may hold the characters of a pattern.
    names = literals("".join(f"[{c}]" if c in "*?[" else c for c in str(path)) for path in paths)
    return (
        f"WITH scan AS (SELECT *, CAST(file_index AS BIGINT) AS {FILE_INDEX} "
        f"FROM read_parquet({names}, binary_as_string = true, file_row_number = true)) {select}"
    )


def stage(session: Session, source: LogFile | TableStream, settings: LogSettings) -> StagedFile:
    """Classify the rows of one file or table."""
    with session.explaining(lambda: source.name):
        if isinstance(source, TableStream):
            return _stage_table(session, source, settings)
        if source.format == "parquet":
            return _stage_parquet(session, source, settings)
        return _stage_text(session, source, settings)


def stage_copy(session: Session, file: LogFile, settings: LogSettings) -> StagedFile:
    """Classify the rows of a file, in a temporary file also where Parquet could be left to lie."""
    staged = stage(session, file, settings)
    if staged.path.parent == session.folder:
        return staged
    with session.explaining(lambda: file.name):
        return _written(session, file.name, scanned([staged.path], staged.select), staged.rules)


def _stage_parquet(session: Session, file: LogFile, settings: LogSettings) -> StagedFile:
    relation = f"({scanned([file.path], 'SELECT * FROM scan')})"
    columns = _typed_columns(session, relation, settings, file.name)
    rules = rules_for(columns, settings, session.now)
    select = rules.query("scan", "file_row_number + 1", _as_json(columns), FILE_INDEX)
    types = tuple(column.type for column in columns.values())
    return StagedFile(file.name, file.path, select, types, rules, is_text=False)


def _stage_table(session: Session, table: TableStream, settings: LogSettings) -> StagedFile:
    chosen = resolve_columns(table.reader.schema.names, settings, table.name)
    schema = pa.schema(
        [(name, _decoded(table.reader.schema.field(name).type)) for name in chosen.values()]
        + [(LINE, pa.int64())]
    )
    with session.stream(schema, _numbered(table.reader, schema)) as relation:
        columns = _typed_columns(session, relation, settings, table.name)
        rules = rules_for(columns, settings, session.now)
        return _written(session, table.name, rules.query(relation, LINE, _as_json(columns)), rules)


def _stage_text(session: Session, file: LogFile, settings: LogSettings) -> StagedFile:
    layout = find_layout(file)
    chosen = resolve_columns(layout.columns, settings, file.name)
    columns = {
        name: Column(
            f"fields[{position}]",
            "VARCHAR",
            column,
            file.name,
            f"kinds[{position}]" if file.format == "jsonl" else None,
        )
        for position, (name, column) in enumerate(chosen.items(), start=1)
    }
    rules = rules_for(columns, settings, session.now, is_malformed="fields IS NULL")
    batches = read_records(file, layout.delimiter)
    if file.format == "csv":
        batches = _without_header(batches)
    with session.stream(RECORD_SCHEMA, batches) as relation:
        parsed = f"({layout.parsed(relation, chosen.values())})"
        query = rules.query(parsed, "line", "record")
        return _written(session, file.name, query, rules, is_text=True)


def _without_header(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Leave out the first record that is not blank."""
    for batch in batches:
        for row, record in enumerate(batch.column(0)):
            if record.as_py().strip():
                yield batch.slice(row + 1)
                yield from batches
                return


def _numbered(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Keep the columns of a schema, dictionaries decoded, and number the rows from 1."""
    first = 1
    for batch in reader:
        lines = pa.array(np.arange(first, first + batch.num_rows, dtype=np.int64))
        columns = [batch.column(name).cast(schema.field(name).type) for name in schema.names[:-1]]
        yield pa.RecordBatch.from_arrays([*columns, lines], schema=schema)
        first += batch.num_rows


def _decoded(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if pa.types.is_dictionary(type_) else type_


def _typed_columns(
    session: Session, relation: str, settings: LogSettings, where: str
) -> dict[str, Column]:
    described = session.rows(f"DESCRIBE SELECT * FROM {relation}")
    types = {str(name): str(type_) for name, type_, *_ in described}
    chosen = resolve_columns(
        [name for name in types if name not in (LINE, FILE_INDEX, "file_row_number")],
        settings,
        where,
    )
    return {
        name: Column(identifier(column), types[column], column, where)
        for name, column in chosen.items()
    }


def _as_json(columns: Mapping[str, Column]) -> str:
    pairs = ", ".join(f"{literal(column.name)}, {column.sql}" for column in columns.values())
    return f"CAST(json_object({pairs}) AS VARCHAR)"


def _written(
    session: Session, name: str, query: str, rules: RowRules, *, is_text: bool = False
) -> StagedFile:
    """Write classified rows to a temporary file."""
    path = session.new_file(".parquet")
    rows = f"SELECT * EXCLUDE ({FILE_INDEX}) FROM ({query})"
    session.execute(f"COPY ({rows}) TO {literal(str(path))} (FORMAT parquet)")
    return from_written(name, path, rules, is_text=is_text)


def from_written(name: str, path: Path, rules: RowRules, *, is_text: bool) -> StagedFile:
    """Return the file or table whose classified rows were written to a Parquet file."""
    types = tuple("BIGINT" if is_integer else "VARCHAR" for is_integer in rules.ids_are_integers)
    select = (
        "SELECT user_id, item_id, weight, seconds, event, outcome, line, text, "
        f"{FILE_INDEX} FROM scan"
    )
    return StagedFile(name, path, select, types, rules, is_text)


def outcomes_of(files: Sequence[StagedFile]) -> tuple[Outcome, ...]:
    """Return the outcomes that the files of a log have in common."""
    first = files[0]
    for file in files[1:]:
        if len(file.rules.outcomes) != len(first.rules.outcomes):
            raise DataError(
                f"log: expected the same columns in every file, but {first.name} and {file.name} "
                "differ in event, value or timestamp; read them apart, or add the column"
            )
    return first.rules.outcomes
