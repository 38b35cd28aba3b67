"""Rows from all over a log or a table of items, to guess what its columns are."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.base.errors import ConfigError, DataError
from recsys.logs.find_layout import find_layout, first_records
from recsys.logs.layout import JSON_END, split_row
from recsys.logs.records import found_encoding, text_blocks
from recsys.logs.sources import (
    LogFile,
    LogSource,
    TableStream,
    files_and_tables,
    identified,
    listed,
)
from recsys.settings import LogSettings, TextSettings

_MOST_ROWS = 10_000
_MOST_BYTES = 64 << 20  # of Parquet, before compression, that are read for a sample
_MOST_FIT = 0.9  # of the rows have as many fields as there are columns
_MOST_FILES = 20  # that are looked into
_FEWEST_ROWS = 500  # of a file of many
_N_PIECES = 64  # of a text file that are looked at
_PIECE_BYTES = 32 << 10
_MOST_BLOCKS = 32  # of a compressed file, of 4 MiB
_WIDE = ("utf-16", "utf-32")  # in which a byte of a line feed is none


@dataclass(frozen=True)
class LogSample:
    """Some rows of a file or a table, by column.

    Columns of a file without a header are called "1", "2" and so on, as ``header = false`` does.
    """

    columns: dict[str, list[Any]]  # text, what Parquet holds, or None; each of the same length
    has_names: bool = True

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return max(map(len, self.columns.values()), default=0)


def sample_of_log(source: LogSource, settings: LogSettings) -> LogSample | None:
    """Return rows from all over a log; of a stream only the names, as it can be read once."""
    if isinstance(source, pa.RecordBatchReader):
        return LogSample({name: [] for name in source.schema.names})
    if isinstance(source, pa.Table):
        return spread_sample(source)
    if isinstance(source, list | tuple):
        kept = [one for one in source if not isinstance(one, pa.RecordBatchReader)]
        if source and not kept:
            return None
        source = kept
    return sample_of_all(files_and_tables(source, settings.format).parts, settings)


def sample_of_all(
    parts: Sequence[LogFile | TableStream], settings: TextSettings
) -> LogSample | None:
    """Return rows from all over the files and tables of a log; None where there are none.

    Streams are read from. A file that cannot be read is passed over where another one can.
    """
    every = -(-len(parts) // _MOST_FILES)
    chosen = [*parts[:-1:every], *parts[-1:]]
    n_rows = max(_FEWEST_ROWS, _MOST_ROWS // len(chosen))
    found: dict[str, LogSample] = {}
    for part in chosen:
        try:
            one = sample_of(part, settings, n_rows)
        except (DataError, ConfigError):
            if not found:
                raise
            continue  # who reads it all says what is wrong
        if one is not None and all(one.has_names == other.has_names for other in found.values()):
            found[part.name] = one
    _require_one_kind(found)
    return _together([*found.values()]) if found else None


def _require_one_kind(samples: Mapping[str, LogSample]) -> None:
    """Raise a DataError where files or tables have at most one column in common."""
    for (name, one), (other_name, other) in pairwise(samples.items()):
        both = [column for column in one.columns if column in other.columns]
        if len(both) < 2:  # of a user and an item
            key = f"on={both[0]!r}" if both else "left_on=..., right_on=..."
            raise DataError(
                f"log: {name} has the columns {listed([*one.columns])}, and {other_name} "
                f"{listed([*other.columns])}; expected files of one kind: name the one that is the "
                f"log, or join them first; in Python: one.merge(other, {key}).to_parquet(...)"
            )


def _together(samples: Sequence[LogSample]) -> LogSample:
    """Return samples as one; a column that a file lacks is empty there."""
    names = dict.fromkeys(name for one in samples for name in one.columns)
    columns = {
        name: [value for one in samples for value in one.columns.get(name, [None] * one.n_rows)]
        for name in names
    }
    return LogSample(columns, samples[0].has_names)


def sample_of(
    source: LogFile | TableStream, settings: TextSettings, n_rows: int = _MOST_ROWS
) -> LogSample | None:
    """Return rows from all over a file or a table; None where it has none, or is no table of rows.

    A stream of batches is read from: give one that is not read afterwards.
    """
    if isinstance(source, TableStream):
        return spread_sample(source.reader.read_all(), n_rows)
    file, _ = identified(source)
    if file.format == "parquet":
        found = _of_parquet(file, n_rows)
    else:
        found = None if file.format == "lists" else _of_text(file, settings, n_rows)
    if found is None:
        return None
    stated = {name: [value] * found.n_rows for name, value in file.partition.items()}
    return replace(found, columns={**stated, **found.columns})


def _of_batch(batch: pa.RecordBatch | pa.Table) -> LogSample | None:
    if len(set(batch.schema.names)) < batch.num_columns:
        return None
    return LogSample(batch.to_pydict()) if batch.num_rows else None


def _of_parquet(file: LogFile, n_rows: int) -> LogSample | None:
    """Take rows from all over the file; of large groups of its rows, the first of each."""
    if not file.path.stat().st_size:
        return None
    try:
        with pq.ParquetFile(file.path) as opened:
            sizes = [
                opened.metadata.row_group(n).total_byte_size for n in range(opened.num_row_groups)
            ]
            chosen = sorted({0, len(sizes) // 2, len(sizes) - 1}) if sizes else []
            if sum(sizes[n] for n in chosen) * n_rows <= _MOST_BYTES * _MOST_ROWS:
                rows = opened.read_row_groups(chosen)
            else:
                size = -(-n_rows // len(chosen))
                batches = (opened.iter_batches(size, row_groups=[n]) for n in chosen)
                rows = pa.Table.from_batches([one for some in batches for one in islice(some, 1)])
    except (pa.ArrowException, OSError, ValueError, OverflowError):
        return None  # who reads it all says what is wrong
    return spread_sample(rows, n_rows)


def spread_sample(table: pa.Table, n_rows: int = _MOST_ROWS) -> LogSample | None:
    """Return rows from all over a table in memory."""
    every = -(-table.num_rows // n_rows) or 1
    return _of_batch(table.take(np.arange(0, table.num_rows, every)))


def _of_text(file: LogFile, settings: TextSettings, n_rows: int) -> LogSample | None:
    try:
        layout = find_layout(file, settings, {}, ())
    except DataError:  # its first row is data
        layout = find_layout(file, replace(settings, header=False), {}, ())
    if layout is None:
        return None
    n_margins = layout.is_stated + layout.has_header
    records = list(islice(first_records(file, settings), n_margins, n_rows + n_margins))
    has_more = len(records) == n_rows and not any("\n" in one for one in records)
    spread = _spread_lines(file, settings, n_rows) if has_more else []
    if layout.delimiter is None:
        return _of_objects(spread or records, layout.columns)
    found = _fitting(spread, layout.delimiter, len(layout.columns))
    found = found or _fitting(records, layout.delimiter, len(layout.columns))
    if not found or len(set(layout.columns)) < len(layout.columns):
        return None  # such as a user and then the items on each line
    nulls = {"", *settings.null_values}
    columns = {
        name: [None if field.strip() in nulls else field for field in column]
        for name, column in zip(layout.columns, zip(*found, strict=True), strict=True)
    }
    return LogSample(columns, layout.has_header or bool(settings.names))


def _fitting(records: Sequence[str], delimiter: str, n_fields: int) -> list[list[str]]:
    """Return the fields of the records that are rows; none where these are not most of them."""
    rows = [split_row(record, delimiter) for record in records]
    fitting = [row for row in rows if len(row) == n_fields]
    return fitting if len(fitting) > _MOST_FIT * len(rows) else []


def _spread_lines(file: LogFile, settings: TextSettings, n_rows: int) -> list[str]:
    """Return runs of lines from all over a long text file."""
    mark = settings.comment
    runs = [
        [line for line in piece.decode(errors="replace").splitlines()[1:-1] if line.strip()]
        for piece in _pieces(file, settings)
    ]
    if mark:
        runs = [[line for line in run if not line.startswith(mark)] for run in runs]
    size = -(-n_rows // max(len(runs), 1))
    return [line for run in runs for line in run[:size]]


def _pieces(file: LogFile, settings: TextSettings) -> Iterator[bytes]:
    """Yield short pieces of a text in UTF-8, each of which may begin and end within a line.

    Of a text that has to be decompressed or converted, these are of its first 128 MiB.
    """
    encoding = found_encoding(file, settings.encoding) or settings.encoding
    encoding = "utf-8" if encoding == "auto" else encoding
    if file.compression or encoding.lower().replace("_", "-").startswith(_WIDE):
        for block, _ in islice(text_blocks(file, settings.encoding), _MOST_BLOCKS):
            step = max(len(block) // 8, _PIECE_BYTES)
            for start in range(0, len(block), step):
                yield block[start : start + _PIECE_BYTES]
        return
    size = file.path.stat().st_size
    with file.path.open("rb") as stream:
        for number in range(_N_PIECES):
            stream.seek(size * number // _N_PIECES)
            piece = stream.read(min(_PIECE_BYTES, size // _N_PIECES))
            yield piece.decode(encoding, errors="replace").encode()


def _of_objects(records: Sequence[str], keys: Sequence[str]) -> LogSample | None:
    rows = []
    for record in records:
        try:
            row = json.loads(record.rstrip(JSON_END))
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return LogSample({key: [row.get(key) for row in rows] for key in keys}) if rows else None
