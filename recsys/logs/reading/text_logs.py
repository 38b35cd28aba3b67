"""Parsing of text logs by DuckDB: from records to one SQL expression per column."""
# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.reading.sql)

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from recsys.errors import DataError
from recsys.logs.reading.lines import csv_field, csv_record, escaped, read_records
from recsys.logs.reading.sources import LogFile
from recsys.logs.reading.sql import literal, literals

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_RECORDS = 10_000
"""Records of a JSON lines file that are looked at to learn its columns."""


@dataclass(frozen=True)
class TextLayout:
    """How the records of one text file are taken apart.

    Attributes
    ----------
    columns : tuple of str
        In CSV in the order of the header; in JSON lines the keys met at the start of the file.
    delimiter : str or None
        Of CSV; None for JSON lines.
    """

    columns: tuple[str, ...]
    delimiter: str | None

    def parsed(self, records: str, names: Iterable[str]) -> str:
        """Return SQL for (record, line, fields, kinds) of the records in a relation.

        `fields` lists the named columns as text, in that order, and is null for a malformed
        record; `kinds` lists their JSON types, all null for CSV.
        """
        chosen = list(names)
        text = r"rtrim(record, chr(10) || chr(13))"
        if self.delimiter is None:
            fields, kinds = self._json_fields(chosen)
        else:
            fields, kinds = self._csv_fields(chosen), "NULL::VARCHAR[]"
        return (
            f"SELECT record, line, CASE WHEN is_utf8 THEN {fields} END AS fields, "
            f"CASE WHEN is_utf8 THEN {kinds} END AS kinds "
            f"FROM (SELECT {text} AS record, line, is_utf8 FROM {records}) "
            f"WHERE trim(record) <> ''"
        )

    def _json_fields(self, names: list[str]) -> tuple[str, str]:
        pointers = literals("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
        # Nested, not AND: only CASE promises that broken JSON is not parsed further.
        guard = (
            "CASE WHEN json_valid(record) THEN CASE WHEN json_type(record) = 'OBJECT' "
            "THEN {} END END"
        )
        return (
            guard.format(f"json_extract_string(record, {pointers})"),
            guard.format(f"json_type(record, {pointers})"),
        )

    def _csv_fields(self, names: list[str]) -> str:
        assert self.delimiter is not None  # noqa: S101
        mark, n = literal(self.delimiter), len(self.columns)
        one = csv_field(self.delimiter)
        field = literal(f"{escaped(self.delimiter)}({one})")
        whole = literal(csv_record(self.delimiter))
        # A delimiter in front spares an empty match, which would swallow the next delimiter.
        quoted = (
            f"CASE WHEN regexp_full_match(record, {whole}, 's') "
            f"THEN regexp_extract_all({mark} || record, {field}, 1) END"
        )
        split = (
            f"CASE WHEN contains(record, '\"') THEN {quoted} ELSE string_split(record, {mark}) END"
        )
        positions = [self.columns.index(name) + 1 for name in names]
        unquoted = ", ".join(_unquoted(f"parts[{position}]") for position in positions)
        return (
            f"list_transform([{split}], lambda parts: "
            f"CASE WHEN len(parts) = {n} THEN [{unquoted}] END)[1]"
        )


def _unquoted(field: str) -> str:
    inner = f"replace({field}[2:-2], '\"\"', '\"')"
    return f"CASE WHEN {field}[1] = '\"' THEN {inner} ELSE {field} END"


def find_layout(file: LogFile) -> TextLayout:
    """Learn the columns of a text file from its start.

    Raises
    ------
    DataError
        If the file holds no record, or its first line is no header.
    """
    if file.format == "jsonl":
        return TextLayout(_json_columns(file), delimiter=None)
    header = next(_first_records(file), None)
    if header is None:
        raise DataError(f"log {file.name}: the file is empty; expected a header row and rows")
    delimiter = max(DELIMITERS, key=lambda mark: len(_split_header(header, mark)))
    columns = tuple(_split_header(header, delimiter))
    return TextLayout(columns, delimiter)


def _first_records(file: LogFile) -> Iterator[str]:
    for batch in read_records(file, None):
        for record, is_utf8 in zip(batch.column(0), batch.column(2), strict=True):
            if not is_utf8.as_py():
                raise DataError(f"log {file.name}: its start is not UTF-8 text; convert the file")
            if record.as_py().strip():
                yield record.as_py().rstrip("\r\n")


def _split_header(header: str, delimiter: str) -> list[str]:
    fields = re.findall(f"{escaped(delimiter)}({csv_field(delimiter)})", delimiter + header)
    return [field[1:-1].replace('""', '"') if field.startswith('"') else field for field in fields]


def _json_columns(file: LogFile) -> tuple[str, ...]:
    columns: dict[str, None] = {}
    n_records = 0
    for record in itertools.islice(_first_records(file), SAMPLE_RECORDS):
        n_records += 1
        try:
            value = json.loads(record)
        except ValueError:
            continue
        if isinstance(value, dict):
            columns.update(dict.fromkeys(value))
    if not n_records:
        raise DataError(f"log {file.name}: the file is empty; expected one JSON object a line")
    return tuple(columns)
