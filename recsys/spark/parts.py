"""A log cut into parts, each of which one task reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.logs.records import BLOCK_BYTES, found_encoding, may_be_quoted
from recsys.logs.sources import LogFile, Span, identified
from recsys.logs.staging import can_be_scanned
from recsys.settings import LogSettings

if TYPE_CHECKING:
    from pathlib import Path

PART_BYTES = 128 << 20
"""A file of more than twice as much is cut into parts of about this size."""
_QUOTE = b'"'


@dataclass(frozen=True)
class Part:
    """What one task reads: a file of the log, or a span of it."""

    number: int  # in the order of the log
    file: LogFile
    file_number: int  # in the order of the log


def parts_of(
    files: Sequence[LogFile], settings: LogSettings, part_bytes: int | None = None
) -> list[Part]:
    """Cut the files of a log into parts.

    Parquet is cut between row groups, and text between lines. A compressed text, one that is not
    UTF-8, and CSV with quotes, where a line break may be part of a field, stay whole.
    """
    parts: list[Part] = []
    for file_number, file in enumerate(files):
        for span in _spans(file, settings, part_bytes or PART_BYTES):
            parts.append(Part(len(parts), replace(file, span=span), file_number))
    return parts


def whole_again(parts: Sequence[Part], file_numbers: set[int]) -> list[Part]:
    """Return parts with some files in one piece again, numbered anew."""
    kept: list[Part] = []
    for part in parts:
        is_whole = part.file_number in file_numbers
        if is_whole and kept and kept[-1].file_number == part.file_number:
            continue
        file = replace(part.file, span=None) if is_whole else part.file
        kept.append(Part(len(kept), file, part.file_number))
    return kept


def _spans(file: LogFile, settings: LogSettings, part_bytes: int) -> list[Span | None]:
    try:
        n_bytes = file.path.stat().st_size
    except OSError:  # as the task says that reads it
        return [None]
    if n_bytes <= 2 * part_bytes:
        return [None]
    found, _ = identified(file)
    if found.format == "parquet":
        edges = _edges_of_rows(found.path, found, settings, n_bytes // part_bytes)
    elif _may_be_cut(found, settings):
        edges = _edges_of_lines(found.path, n_bytes, part_bytes)
    else:
        edges = []
    if len(edges) <= 2:
        return [None]
    return [Span(first, end, end == edges[-1]) for first, end in pairwise(edges)]


def _edges_of_rows(path: Path, file: LogFile, settings: LogSettings, n_parts: int) -> list[int]:
    """Return the rows at which parts of a Parquet file begin, and its end: whole row groups."""
    try:
        with pq.ParquetFile(path) as opened:
            if not can_be_scanned(opened.schema_arrow, file, settings):
                return []
            metadata = opened.metadata
            sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    except (pa.ArrowException, OSError):  # as the task says that reads it
        return []
    wanted, edges, end = sum(sizes) / n_parts, [0], 0
    for size in sizes:
        end += size
        if end - edges[-1] >= wanted:
            edges.append(end)
    return edges if edges[-1] == end else [*edges, end]


def _may_be_cut(file: LogFile, settings: LogSettings) -> bool:
    is_utf8 = settings.encoding.lower() in ("auto", "utf-8", "utf8")
    if file.compression or file.format == "lists" or not is_utf8:
        return False
    if found_encoding(file, settings.encoding) is not None:
        return False
    with file.path.open("rb") as stream:
        return not (_may_have_quotes(file, settings) and _QUOTE in stream.read(BLOCK_BYTES))


def _may_have_quotes(file: LogFile, settings: LogSettings) -> bool:
    """Whether quotes in a file may hold line breaks."""
    return file.format == "csv" and (
        settings.delimiter == "auto" or may_be_quoted(settings.delimiter)
    )


def _edges_of_lines(path: Path, n_bytes: int, part_bytes: int) -> list[int]:
    """Return the bytes at which parts of a text begin, and its end: whole lines."""
    n_parts = -(-n_bytes // part_bytes)
    edges = [0]
    with path.open("rb") as stream:
        for number in range(1, n_parts):
            stream.seek(number * n_bytes // n_parts)
            stream.readline()
            if edges[-1] < stream.tell() < n_bytes:
                edges.append(stream.tell())
    return [*edges, n_bytes]


def lines_of(file: LogFile, settings: LogSettings) -> int | None:
    """Count the lines of a span of text; None where quotes may join the last to the next span."""
    n, may_have = 0, _may_have_quotes(file, settings)
    for block in _blocks(file):
        if may_have and _QUOTE in block:
            return None
        n += block.count(b"\n")
    return n


def _blocks(file: LogFile) -> Iterator[bytes]:
    span = file.span
    if span is None:
        return
    with file.path.open("rb") as stream:
        stream.seek(span.first)
        left = span.end - span.first
        while left > 0 and (block := stream.read(min(BLOCK_BYTES, left))):
            left -= len(block)
            yield block
