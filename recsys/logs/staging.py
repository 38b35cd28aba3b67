"""From each part of a log to one relation of judged rows.

Parquet is read where it lies, as often as is needed. What can be read only once, or costs much to
parse, is judged while it streams into a temporary Parquet file, and read from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from recsys.base.errors import DataError
from recsys.logs.classify import Column, Judgement, judge, resolve_columns
from recsys.logs.session import Session, case, identifier, literal, literals
from recsys.logs.settings import LogSettings
from recsys.logs.sources import LogFile, LogFrame
from recsys.logs.text import SCHEMA as RECORD_SCHEMA
from recsys.logs.text import find_layout, read_records

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.session)


LINE, OUTCOME, FILE_INDEX = "recsys_line", "recsys_outcome", "recsys_file_index"
"""Columns that stand beside the log's own, so their names must not be among those."""


@dataclass(frozen=True)
class JudgedPart:
    """One part of a log, judged.

    Attributes
    ----------
    name : str
        The file or table.
    path : Path
        The Parquet file that it is read from: its own, or a temporary one.
    select : str
        SQL over the relation `scan` of that file, for (user_id, item_id, weight, seconds, event,
        outcome, line, text, file index), a row per row of the log; outcome is 0 where the row is
        used, text is null where it is not rejected.
    types : tuple of str
        Of the columns that `select` uses; files alike in both can be scanned as one.
    judgement : Judgement
    is_text : bool
        Whether the log has no types, so that an id may be a number or not.
    """

    name: str
    path: Path
    select: str
    types: tuple[str, ...]
    judgement: Judgement
    is_text: bool


def scanned(paths: Iterable[Path], select: str) -> str:
    """Return SQL of a part's `select` over one or many Parquet files."""
    # A name may hold the characters of a pattern.
    names = literals("".join(f"[{c}]" if c in "*?[" else c for c in str(path)) for path in paths)
    return (
        f"WITH scan AS (SELECT *, CAST(file_index AS BIGINT) AS {FILE_INDEX} "
        f"FROM read_parquet({names}, binary_as_string = true, file_row_number = true)) {select}"
    )


def judge_part(session: Session, part: LogFile | LogFrame, settings: LogSettings) -> JudgedPart:
    """Judge one part of a log.

    Raises
    ------
    DataError
        If it cannot be read, or a column is missing or of a type that cannot be used.
    """
    import duckdb

    try:
        if isinstance(part, LogFrame):
            return _judge_frame(session, part, settings)
        if part.format == "parquet":
            return _judge_parquet(session, part, settings)
        return _judge_text(session, part, settings)
    except duckdb.Error as error:
        raise session.explained(error, part.name) from error


def _judge_parquet(session: Session, file: LogFile, settings: LogSettings) -> JudgedPart:
    relation = f"({scanned([file.path], 'SELECT * FROM scan')})"
    columns = _typed_columns(session, relation, settings, file.name)
    judgement = judge(columns, settings, session.now)
    select = _judged(judgement, "scan", "file_row_number + 1", _as_json(columns), FILE_INDEX)
    types = tuple(column.type for column in columns.values())
    return JudgedPart(file.name, file.path, select, types, judgement, is_text=False)


def _judge_frame(session: Session, frame: LogFrame, settings: LogSettings) -> JudgedPart:
    chosen = resolve_columns(frame.reader.schema.names, settings, frame.name)
    schema = pa.schema(
        [(name, _decoded(frame.reader.schema.field(name).type)) for name in chosen.values()]
        + [(LINE, pa.int64())]
    )
    with session.stream(schema, _numbered(frame.reader, schema)) as relation:
        columns = _typed_columns(session, relation, settings, frame.name)
        judgement = judge(columns, settings, session.now)
        query = _judged(judgement, relation, LINE, _as_json(columns))
        return _staged(session, frame.name, query, judgement, is_text=False)


def _judge_text(session: Session, file: LogFile, settings: LogSettings) -> JudgedPart:
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
    judgement = judge(columns, settings, session.now, is_malformed="fields IS NULL")
    batches = read_records(file, layout.delimiter)
    if file.format == "csv":
        batches = _without_header(batches)
    with session.stream(RECORD_SCHEMA, batches) as relation:
        parsed = f"({layout.parsed(relation, chosen.values())})"
        query = _judged(judgement, parsed, "line", "record")
        return _staged(session, file.name, query, judgement, is_text=True)


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


def _judged(
    judgement: Judgement, relation: str, line: str, text: str, file_index: str = "0"
) -> str:
    outcomes = judgement.outcomes
    outcome = case(
        ((outcome.condition, str(code)) for code, outcome in enumerate(outcomes, start=1)),
        otherwise="0",
    )
    rejected = [str(code) for code, one in enumerate(outcomes, start=1) if one.is_rejected]
    seconds = judgement.seconds or "NULL"
    return f"""
        SELECT
            {judgement.user_id} AS user_id,
            {judgement.item_id} AS item_id,
            TRY_CAST({judgement.weight} AS FLOAT) AS weight,
            TRY_CAST(floor({seconds}) AS BIGINT) AS seconds,
            {judgement.event or "NULL"} AS event,
            {OUTCOME} AS outcome,
            {line} AS line,
            CASE WHEN {OUTCOME} IN ({", ".join(rejected)}) THEN {text} END AS text,
            {file_index} AS {FILE_INDEX}
        FROM (SELECT *, CAST({outcome} AS UTINYINT) AS {OUTCOME} FROM {relation})
    """


def _staged(
    session: Session, name: str, query: str, judgement: Judgement, *, is_text: bool
) -> JudgedPart:
    path = session.new_file(".parquet")
    judged = f"SELECT * EXCLUDE ({FILE_INDEX}) FROM ({query})"
    session.execute(f"COPY ({judged}) TO {literal(str(path))} (FORMAT parquet)")
    return staged_part(name, path, judgement, is_text=is_text)


def staged(session: Session, part: JudgedPart) -> JudgedPart:
    """Return a part that is read from a temporary file, written if it was not."""
    if part.path.parent == session.folder:
        return part
    query = scanned([part.path], part.select)
    return _staged(session, part.name, query, part.judgement, is_text=part.is_text)


def staged_part(name: str, path: Path, judgement: Judgement, *, is_text: bool) -> JudgedPart:
    """Return the part whose judged rows were written to a Parquet file.

    Parameters
    ----------
    name : str
        Of the part.
    path : Path
        Of the judged rows.
    judgement : Judgement
    is_text : bool
        As in `JudgedPart`.
    """
    types = tuple("BIGINT" if is_int else "VARCHAR" for is_int in judgement.ids_are_integers)
    select = (
        "SELECT user_id, item_id, weight, seconds, event, outcome, line, text, "
        f"{FILE_INDEX} FROM scan"
    )
    return JudgedPart(name, path, select, types, judgement, is_text)


def reasons_of(parts: list[JudgedPart]) -> list[tuple[str, bool]]:
    """Return (reason, is_rejected) by outcome code less 1.

    Raises
    ------
    DataError
        If the parts do not have the same columns.
    """
    first = parts[0]
    for part in parts[1:]:
        if len(part.judgement.outcomes) != len(first.judgement.outcomes):
            raise DataError(
                f"log: expected the same columns in every part, but {first.name} and {part.name} "
                "differ in event, value or timestamp; read them apart, or add the column"
            )
    return [(one.reason, one.is_rejected) for one in first.judgement.outcomes]
