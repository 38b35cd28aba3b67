"""Text files as records: one line each, or several where a quoted CSV field holds line breaks.

DuckDB parses what is in a record; where a record ends is decided here, because one unclosed quote
makes a CSV reader swallow all that follows, and the rows lost are not reported. Here a quote that
does not close soon spoils its own line and nothing else, every line of the file is accounted
for, and each record knows its line number.
"""

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.logs.reading.sources import LogFile

BLOCK_BYTES = 4 << 20
MAX_RECORD_LINES = 1_000
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SCHEMA = pa.schema({"record": pa.large_string(), "line": pa.int64(), "is_utf8": pa.bool_()})


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

    Parameters
    ----------
    file : LogFile
    delimiter : str or None
        Of CSV, whose quoted fields may hold line breaks; None: every line is a record.

    Raises
    ------
    DataError
        If the file cannot be read or decompressed.
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
    """Return the offset behind each line; a last line may lack its line break."""
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
    return pa.RecordBatch.from_arrays([records, pa.array(lines), valid], schema=SCHEMA)


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
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


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
        behind = 0
        for position, line in enumerate(odd.tolist()):
            if line < behind or not self._open.fullmatch(data, starts[line], ends[line]):
                continue
            close = self._closing_line(data, starts, ends, odd[position + 1 :], line)
            if close is not None:
                is_start[line + 1 : close + 1] = False
                behind = close + 1
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
