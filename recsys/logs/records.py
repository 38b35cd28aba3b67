"""Text logs: decompressed, as UTF-8, and cut into records with the line at which each begins.

Everything streams in blocks, in bounded memory.
"""

import codecs
import functools
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.logs.file_kind import ERRORS_OF_STREAMS, opened
from recsys.logs.sources import LogFile, Span
from recsys.settings import TextSettings

BLOCK_BYTES = 4 << 20
MAX_RECORD_LINES = 1_000
MAX_RECORD_BYTES = 16 << 20
LONG_RECORD = 1 << 16  # bytes
SHOWN_CHARACTERS = 1 << 12  # of a record in a rejects file
RECORD_SCHEMA = pa.schema(
    {
        "record": pa.large_string(),
        "line": pa.int64(),
        "is_utf8": pa.bool_(),
        "is_cut": pa.bool_(),  # only the start of a long one that is no row
    }
)
_A_FEW_LINES = 5  # of a text in a field
_MOST_LINES = 10_000
_SCANNED_BYTES = (256 << 20, 10)  # at first, and for each byte that is read
_MARKS = (  # that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LOOKED_AT = 256
_FEW_LETTERS = 8
_FEW_LINES = 3
WESTERN = "cp1252"
NOT_UTF8 = f"not UTF-8, read as {WESTERN}, which fits; where it is another, {{}} names it"
_WESTERN_BYTES = re.compile(  # letters, quotes, dashes, currencies, fractions, exponents
    rb"[\x8a\x8c\x8e\x9a\x9c\x9e\x9f\xc0-\xd6\xd8-\xf6\xf8-\xfe"
    rb"\x80\x82\x84\x85\x91-\x97\x99\xa0\xa1\xa3\xa7\xa9-\xab\xae\xb0\xb2-\xb4\xb7\xb9-\xbf]"
)
_NAMES_OF_UTF8 = ("utf-8", "utf8", "utf_8", "ascii")


def text_blocks(file: LogFile, encoding: str = "auto") -> Iterator[tuple[bytes, bool]]:
    """Yield decompressed blocks in UTF-8, without a byte order mark, and whether each is the last.

    Bytes that are not UTF-8 pass where no other encoding is named: they spoil their own line.
    """
    try:
        with opened(file.path, file.compression) as stream:
            block = stream.read(BLOCK_BYTES)
            mark, name = _encoding_of(block, encoding)
            block, decode = block[len(mark) :], _decoder(file, name)
            if file.span is not None:
                yield from _blocks_of(file.path, file.span, len(mark))
                return
            while True:
                following = stream.read(BLOCK_BYTES)
                yield decode(block, not following), not following
                if not following:
                    return
                block = following
    except ERRORS_OF_STREAMS as error:
        kind = f"damaged or truncated {file.compression} file" if file.compression else "unreadable"
        raise DataError(f"{file.label}: {kind}: {error}") from error


def _blocks_of(path: Path, span: Span, mark: int) -> Iterator[tuple[bytes, bool]]:
    """Yield the blocks of a span of a file that is UTF-8, and whether each is the last."""
    place = max(span.first, mark)
    with path.open("rb") as stream:
        stream.seek(place)
        while place < span.end and (block := stream.read(min(BLOCK_BYTES, span.end - place))):
            place += len(block)
            yield block, place >= span.end


def found_encoding(file: LogFile, named: str) -> str | None:
    """Return the encoding that the start of a file shows, unless it is UTF-8 or the one named."""
    with suppress(*ERRORS_OF_STREAMS), opened(file.path, file.compression) as stream:
        _, found = _encoding_of(stream.read(BLOCK_BYTES), named)
        return None if found in ("utf-8", named) else found
    return None  # who reads on says what is wrong


def _encoding_of(block: bytes, named: str) -> tuple[bytes, str]:
    """Return the byte order mark that a text begins with, if any, and its encoding."""
    mark, found = _mark_of(block)
    if found == "utf-8" and named != "auto":
        return mark, named
    return mark, WESTERN if found == "utf-8" and _is_western(block) else found


def _is_western(block: bytes) -> bool:
    """Whether many lines are not UTF-8, and letters with accents make them so, as in cp1252.

    Letters of other alphabets stand in runs, and so do the bytes of one character.
    """
    if _is_utf8(block):
        return False
    lines = block.split(b"\n")
    lines = lines[:-1] if len(block) == BLOCK_BYTES else lines
    odd = [line for line in lines if not line.isascii()]
    foreign = [line for line in odd if not _is_utf8(line)]
    if len(foreign) < max(_FEW_LINES, len(lines) / 100, 0.9 * len(odd)):
        return False
    runs = re.findall(rb"[\x80-\xff]+", b"\n".join(foreign))
    n_western = len(_WESTERN_BYTES.findall(b" ".join(runs)))
    n_bytes = sum(map(len, runs))
    return n_western >= 0.99 * n_bytes and n_bytes <= 1.5 * len(runs)


def _mark_of(block: bytes) -> tuple[bytes, str]:
    """Return the byte order mark that a text begins with, if any, and what is known by it.

    Without one, zeros where those of ASCII letters are tell UTF-16 and UTF-32.
    """
    for mark, name in _MARKS:
        if block.startswith(mark):
            return mark, name
    start = block[:_LOOKED_AT]
    for mark, name in _MARKS[1:]:
        width = len(mark)
        zeros = [start[place::width].count(0) for place in range(width)]
        letter = 0 if name.endswith("le") else width - 1
        others = zeros[:letter] + zeros[letter + 1 :]
        n = len(start) // width
        n_zeros = min(others)  # of some languages few letters are ASCII
        if n >= _FEW_LETTERS and n_zeros >= 0.2 * n and zeros[letter] <= 0.5 * n_zeros:
            return b"", name
    return b"", "utf-8"


def _decoder(file: LogFile, name: str) -> Callable[[bytes, bool], bytes]:
    if name.lower() in _NAMES_OF_UTF8:
        return lambda block, _is_last: block
    decoder = codecs.getincrementaldecoder(name)()

    def decode(block: bytes, is_last: bool) -> bytes:
        try:
            return decoder.decode(block, is_last).encode()
        except UnicodeError as error:
            raise DataError(
                f"{file.label}: expected {name} text, got bytes that are none: {error.args[-1]};"
                f" set {file.key('encoding')}"
            ) from error

    return decode


def csv_field(delimiter: str) -> str:
    """Return the regular expression of one field: quoted, or without a quote in front."""
    mark = escaped(delimiter)
    return rf'(?:"(?:[^"]|"")*"|[^"{mark}][^{mark}]*|)'


def csv_record(delimiter: str) -> str:
    """Return the regular expression of a whole record."""
    field = csv_field(delimiter)
    return rf"{field}(?:{escaped(delimiter)}{field})*"


def escaped(delimiter: str) -> str:
    """Spell a delimiter in a regular expression of Python and of RE2 alike, also in brackets."""
    return "".join(f"\\x{ord(mark):02x}" if mark.isascii() else mark for mark in delimiter)


def may_be_quoted(delimiter: str) -> bool:
    """Whether fields between such delimiters may be quoted: one ASCII character, no blank."""
    return len(delimiter) == 1 and delimiter.isascii() and delimiter != " "


def read_records(
    file: LogFile, settings: TextSettings, delimiter: str | None = None, n_fields: int = 0
) -> Iterator[pa.RecordBatch]:
    """Yield the records of a text file, trailing line break included, in bounded memory.

    Those that are blank or a comment are left out. Between the delimiters of CSV that allow it, a
    quoted field may hold line breaks; without a delimiter every line is a record.
    """
    joiner = None
    if delimiter is not None and may_be_quoted(delimiter):
        is_quoted_well = functools.partial(_is_quoted_well, file, settings.encoding, delimiter)
        joiner = _QuotedLines(delimiter, n_fields, is_quoted_well)
    carry, first_line = b"", 1
    for block, is_last in text_blocks(file, settings.encoding):
        data = carry + block
        if data.isspace():  # nothing to join, and perhaps a great deal of it
            end, n_whole = data.rfind(b"\n") + 1, data.count(b"\n")
        else:
            ends = _line_ends(data, is_last=is_last)
            starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
            lines = np.arange(first_line, first_line + len(ends), dtype=np.int64)
            n_whole = len(ends)
            if joiner is not None and b'"' in data:
                kept, n_whole = joiner.join(data, starts, ends, is_last=is_last)
                lines, starts = lines[:n_whole][kept], starts[:n_whole][kept]
            end = int(ends[n_whole - 1]) if n_whole else 0
            if n_whole:
                batch = _batch(data[:end], starts, lines, delimiter, n_fields)
                yield _without_comments(batch, settings.comment)
        carry, first_line = data[end:], first_line + n_whole
        if len(carry) > MAX_RECORD_BYTES:
            raise DataError(
                f"{file.label}: line {first_line} has no end after {MAX_RECORD_BYTES >> 20} MB; "
                "expected one row a line; break the lines, or name the right format in log.format"
            )


def rows_in(batches: Iterator[pa.RecordBatch]) -> Iterator[tuple[pa.RecordBatch, int, str]]:
    """Yield each record that is not blank: its batch, its place and its text."""
    for batch in batches:
        for row, record in enumerate(batch.column(0)):
            text = record.as_py().rstrip("\r\n")
            if text.strip():
                yield batch, row, text


def _without_comments(batch: pa.RecordBatch, comment: str) -> pa.RecordBatch:
    """Leave out the records that are blank or begin with a comment."""
    records = batch.column(0)
    if comment:
        batch = batch.filter(pc.invert(pc.starts_with(records, comment)))
        records = batch.column(0)
    may_be_blank = pc.match_substring_regex(records, r"^[ \r\n]")
    if not pc.any(may_be_blank).as_py():
        return batch
    is_blank = pc.equal(pc.utf8_trim(records, characters=" \r\n"), "")
    return batch.filter(pc.invert(is_blank))


def _line_ends(data: bytes, *, is_last: bool) -> NDArray[np.int64]:
    """Return the offset after each line; a last line may lack its line break."""
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")) + 1
    if is_last and data and not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    return ends.astype(np.int64)


def _batch(
    data: bytes,
    starts: NDArray[np.int64],
    lines: NDArray[np.int64],
    delimiter: str | None,
    n_fields: int,
) -> pa.RecordBatch:
    """Lay records that follow each other over their bytes, without a copy where all are rows."""
    offsets = np.append(starts, len(data))
    is_utf8, is_cut = np.ones(len(lines), np.bool_), np.zeros(len(lines), np.bool_)
    if delimiter not in (None, " ") and n_fields:
        for row in np.flatnonzero(np.diff(offsets) > LONG_RECORD).tolist():
            record = data[int(offsets[row]) : int(offsets[row + 1])]
            is_cut[row] = b'"' not in record and record.count(delimiter.encode()) != n_fields - 1
    if not is_cut.any() and _is_utf8(data):
        records = pa.LargeStringArray.from_buffers(
            len(lines), pa.py_buffer(offsets), pa.py_buffer(data)
        )
    else:
        raw = [data[start:end] for start, end in pairwise(offsets.tolist())]
        raw = [one[:SHOWN_CHARACTERS] if cut else one for one, cut in zip(raw, is_cut, strict=True)]
        texts = [one.decode(errors="replace") for one in raw]
        is_utf8[:] = [text.encode() == one for text, one in zip(texts, raw, strict=True)]
        records = pa.array(texts, pa.large_string())
    columns = [records, pa.array(lines), pa.array(is_utf8 | is_cut), pa.array(is_cut)]
    return pa.RecordBatch.from_arrays(columns, schema=RECORD_SCHEMA)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_quoted_well(file: LogFile, encoding: str, delimiter: str) -> bool:
    """Whether a line of a file has a quoted field that needs its quotes, as writers make it."""
    record, field = csv_record(delimiter).encode(), csv_field(delimiter).encode()
    needs_quotes = re.compile(rb'"(?=.)(?:[^"]|"")*(?:%s|"")' % escaped(delimiter).encode())
    n_lines, n_bytes, carry = 0, 0, b""
    for block, is_last in text_blocks(file, encoding):
        *lines, carry = (carry + block).split(b"\n")
        for line in [*lines, carry] if is_last else lines:
            if b'"' not in line:
                continue
            n_lines, n_bytes = n_lines + 1, n_bytes + len(line)
            if n_lines > _MOST_LINES or n_bytes > _SCANNED_BYTES[0]:
                return False
            if re.fullmatch(record, line.rstrip(b"\r")) and any(
                needs_quotes.match(one) for one in re.findall(field, line)
            ):
                return True
        carry = carry[-MAX_RECORD_BYTES:]
    return False


class _QuotedLines:
    """Joins the lines of a CSV record whose quoted field holds line breaks."""

    def __init__(self, delimiter: str, n_fields: int, is_quoted_well: Callable[[], bool]) -> None:
        self._is_quoted_well = functools.cache(is_quoted_well)
        field, mark = csv_field(delimiter), escaped(delimiter)
        self._record = re.compile(csv_record(delimiter).encode())
        self._open = re.compile(rf'(?:{field}{mark})*"(?:[^"]|"")*'.encode())
        self._all_quoted = re.compile(rf'"(?:[^"]|"")*"(?:{mark}"(?:[^"]|"")*")*'.encode())
        self._delimiter, self._n_fields = delimiter.encode(), n_fields
        self._budget = _SCANNED_BYTES[0]

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
        self._budget += _SCANNED_BYTES[1] * len(data)
        quotes = np.concatenate([[0], np.cumsum(np.frombuffer(data, np.uint8) == ord('"'))])
        odd = np.flatnonzero((quotes[ends] - quotes[starts]) % 2)
        is_start = np.ones(len(ends), dtype=np.bool_)
        joined_to = 0  # lines before this one belong to a record that is closed
        for position, line in enumerate(odd.tolist()):
            if line < joined_to or not self._open.fullmatch(data, starts[line], ends[line]):
                continue
            if self._budget < 0:  # quotes made to be costly: none opens several lines any more
                break
            close = self._closing_line(data, starts, ends, odd[position + 1 :], line)
            if close is not None:
                if not self._is_stray(data[int(starts[line]) : int(ends[close])]):
                    is_start[line + 1 : close + 1] = False
                joined_to = close + 1
            elif not is_last and _may_go_on(ends, line, len(data) - int(starts[line])):
                return np.flatnonzero(is_start[:line]), line
        return np.flatnonzero(is_start), len(ends)

    def _is_stray(self, span: bytes) -> bool:
        """Whether a span over several lines is no field: its lines are records without its quotes.

        Two lines are one record, as every reader has them, and so are a few of a writer that quotes
        as it should. A writer that quotes every field leaves no doubt.
        """
        lines = span.rstrip(b"\r\n").split(b"\n")
        n_records = sum(line.count(self._delimiter) == self._n_fields - 1 for line in lines)
        if n_records < 0.9 * len(lines) or self._n_fields == 1 or len(lines) <= 2:
            return False
        if self._all_quoted.fullmatch(span.rstrip(b"\r\n")):
            return False
        return len(lines) > _A_FEW_LINES or not self._is_quoted_well()

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
            self._budget -= len(text)
            if self._record.fullmatch(text):
                return int(other)
            if not self._open.fullmatch(text):
                return None
        return None


def _may_go_on(ends: NDArray[np.int64], line: int, n_bytes: int) -> bool:
    """Whether a record that is open at the end of a block may be closed in the next."""
    return len(ends) - line <= MAX_RECORD_LINES and n_bytes <= MAX_RECORD_BYTES
