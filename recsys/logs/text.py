"""Text logs: which lines are records, and the line at which each record begins."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.logs.session import literal, literals
from recsys.logs.sources import LogFile

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.session)


DELIMITERS = (",", ";", "\t", "|")
SAMPLE_RECORDS = 10_000  # of a JSON lines file, to learn its columns
BLOCK_BYTES = 4 << 20
MAX_RECORD_LINES = 1_000
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
RECORD_SCHEMA = pa.schema({"record": pa.large_string(), "line": pa.int64(), "is_utf8": pa.bool_()})


def csv_field(delimiter: str) -> str:
    """Return the regular expression of one field: quoted, or without a quote in front."""
    mark = escaped(delimiter)
    return rf'(?:"(?:[^"]|"")*"|[^"{mark}][^{mark}]*|)'


def csv_record(delimiter: str) -> str:
    """Return the regular expression of a whole record."""
    field = csv_field(delimiter)
    return rf"{field}(?:{escaped(delimiter)}{field})*"


def escaped(delimiter: str) -> str:
    """Spell a delimiter in a regular expression of Python and of RE2 alike."""
    return r"\|" if delimiter == "|" else delimiter


def read_records(file: LogFile, delimiter: str | None) -> Iterator[pa.RecordBatch]:
    """Yield the records of a text file, trailing line break included, in bounded memory.

    With the delimiter of CSV, quoted fields may hold line breaks; without one, every line is a
    record.
    """
    joiner = None if delimiter is None else _QuotedLines(delimiter)
    carry, first_line = b"", 1
    for block, is_last in _blocks(file):
        data = carry + block
        ends = _line_ends(data, is_last=is_last)
        starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
        lines = np.arange(first_line, first_line + len(ends), dtype=np.int64)
        n_whole = len(ends)
        if joiner is not None and b'"' in data:
            kept, n_whole = joiner.join(data, starts, ends, is_last=is_last)
            lines, starts = lines[:n_whole][kept], starts[:n_whole][kept]
        end = int(ends[n_whole - 1]) if n_whole else 0
        if n_whole:
            yield _batch(data[:end], starts, lines)
        carry, first_line = data[end:], first_line + n_whole


def _blocks(file: LogFile) -> Iterator[tuple[bytes, bool]]:
    """Yield decompressed blocks, and with each whether it is the last."""
    try:
        with pa.input_stream(str(file.path), compression=file.compression) as stream:
            block = stream.read(BLOCK_BYTES).removeprefix(BYTE_ORDER_MARK)
            while True:
                following = stream.read(BLOCK_BYTES)
                yield block, not following
                if not following:
                    return
                block = following
    except OSError as error:
        kind = f"damaged or truncated {file.compression} file" if file.compression else "unreadable"
        raise DataError(f"log {file.name}: {kind}: {error}") from error


def _line_ends(data: bytes, *, is_last: bool) -> NDArray[np.int64]:
    """Return the offset after each line; a last line may lack its line break."""
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")) + 1
    if is_last and data and not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    return ends.astype(np.int64)


def _batch(data: bytes, starts: NDArray[np.int64], lines: NDArray[np.int64]) -> pa.RecordBatch:
    """Lay records that follow each other over their bytes, without a copy."""
    offsets = np.append(starts, len(data))
    try:
        data.decode()
    except UnicodeDecodeError:
        return _batch_with_broken_text(data, offsets, lines)
    records = pa.LargeStringArray.from_buffers(
        len(lines), pa.py_buffer(offsets), pa.py_buffer(data)
    )
    valid = pa.array(np.ones(len(lines), dtype=np.bool_))
    return pa.RecordBatch.from_arrays([records, pa.array(lines), valid], schema=RECORD_SCHEMA)


def _batch_with_broken_text(
    data: bytes, offsets: NDArray[np.int64], lines: NDArray[np.int64]
) -> pa.RecordBatch:
    texts = [
        data[start:end].decode(errors="replace")
        for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]
    valid = [
        "�" not in text or data[start:end].decode(errors="ignore") == text
        for text, start, end in zip(texts, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]
    columns = [pa.array(texts, pa.large_string()), pa.array(lines), pa.array(valid)]
    return pa.RecordBatch.from_arrays(columns, schema=RECORD_SCHEMA)


class _QuotedLines:
    """Joins the lines of a CSV record whose quoted field holds line breaks."""

    def __init__(self, delimiter: str) -> None:
        field, mark = csv_field(delimiter), escaped(delimiter)
        self._record = re.compile(csv_record(delimiter).encode())
        self._open = re.compile(rf'(?:{field}{mark})*"(?:[^"]|"")*'.encode())

    def join(
        self,
        data: bytes,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        *,
        is_last: bool,
    ) -> tuple[NDArray[np.intp], int]:
        """Return the lines at which records start, and how many lines the records span.

        The span is shorter than the block where its last record may go on in the next.
        """
        quotes = np.concatenate([[0], np.cumsum(np.frombuffer(data, np.uint8) == ord('"'))])
        odd = np.flatnonzero((quotes[ends] - quotes[starts]) % 2)
        is_start = np.ones(len(ends), dtype=np.bool_)
        joined_to = 0  # lines before this one belong to a record that is closed
        for position, line in enumerate(odd.tolist()):
            if line < joined_to or not self._open.fullmatch(data, starts[line], ends[line]):
                continue
            close = self._closing_line(data, starts, ends, odd[position + 1 :], line)
            if close is not None:
                is_start[line + 1 : close + 1] = False
                joined_to = close + 1
            elif not is_last and len(ends) - line <= MAX_RECORD_LINES:
                return np.flatnonzero(is_start[:line]), line
        return np.flatnonzero(is_start), len(ends)

    def _closing_line(
        self,
        data: bytes,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        odd: NDArray[np.intp],
        line: int,
    ) -> int | None:
        # Only a line with an odd number of quotes can close what such a line opened.
        for other in odd[:MAX_RECORD_LINES].tolist():
            if other - line >= MAX_RECORD_LINES:
                return None
            text = data[int(starts[line]) : int(ends[other])].rstrip(b"\r\n")
            if self._record.fullmatch(text):
                return int(other)
            if not self._open.fullmatch(text):
                return None
        return None


@dataclass(frozen=True)
class TextLayout:
    """How the records of one text file are taken apart."""

    columns: tuple[str, ...]  # as in the header; of JSON lines the keys at the start of the file
    delimiter: str | None  # of CSV; None for JSON lines

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
            fields, kinds = self._csv_fields(chosen, self.delimiter), "NULL::VARCHAR[]"
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

    def _csv_fields(self, names: list[str], delimiter: str) -> str:
        mark, n = literal(delimiter), len(self.columns)
        field = literal(f"{escaped(delimiter)}({csv_field(delimiter)})")
        whole = literal(csv_record(delimiter))
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
    """Learn the columns of a text file from its start."""
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
