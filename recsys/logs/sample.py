"""The first rows of a log or of a table of items, to guess what its columns are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.base.errors import DataError
from recsys.logs.find_layout import find_layout, first_records
from recsys.logs.layout import JSON_END, split_row
from recsys.logs.sources import LogFile, TableStream, identified
from recsys.settings import TextSettings

_MOST_ROWS = 10_000
_MOST_BYTES = 64 << 20  # of Parquet, before compression, that are read for a sample
_MOST_FIT = 0.9  # of the rows have as many fields as there are columns


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


def sample_of(source: LogFile | TableStream, settings: TextSettings) -> LogSample | None:
    """Return the first rows of a file or a table; None where it has none, or is no table of rows.

    A stream of batches is read from: give one that is not read afterwards.
    """
    if isinstance(source, TableStream):
        return _of_batch(next(iter(source.reader), None))
    file, _ = identified(source)
    if file.format == "parquet":
        found = _of_parquet(file)
    else:
        found = None if file.format == "lists" else _of_text(file, settings)
    if found is None:
        return None
    stated = {name: [value] * found.n_rows for name, value in file.partition.items()}
    return replace(found, columns={**stated, **found.columns})


def _of_batch(batch: pa.RecordBatch | pa.Table | None) -> LogSample | None:
    if batch is None or len(set(batch.schema.names)) < batch.num_columns:
        return None
    return LogSample(batch.slice(0, _MOST_ROWS).to_pydict()) if batch.num_rows else None


def _of_parquet(file: LogFile) -> LogSample | None:
    """Take rows from all over the file, where a few groups of its rows are read in a moment."""
    if not file.path.stat().st_size:
        return None
    try:
        with pq.ParquetFile(file.path) as opened:
            sizes = [
                opened.metadata.row_group(n).total_byte_size for n in range(opened.num_row_groups)
            ]
            chosen = sorted({0, len(sizes) // 2, len(sizes) - 1}) if sizes else []
            if sum(sizes[n] for n in chosen) > _MOST_BYTES:
                return _of_batch(next(opened.iter_batches(_MOST_ROWS), None))
            rows = opened.read_row_groups(chosen)
    except (pa.ArrowException, OSError, ValueError, OverflowError):
        return None  # who reads it all says what is wrong
    return spread_sample(rows)


def spread_sample(table: pa.Table) -> LogSample | None:
    """Return rows from all over a table in memory."""
    every = -(-table.num_rows // _MOST_ROWS) or 1
    return _of_batch(table.take(np.arange(0, table.num_rows, every)))


def _of_text(file: LogFile, settings: TextSettings) -> LogSample | None:
    try:
        layout = find_layout(file, settings, {}, ())
    except DataError:  # its first row is data
        layout = find_layout(file, replace(settings, header=False), {}, ())
    if layout is None:
        return None
    n_margins = layout.is_stated + layout.has_header
    records = islice(first_records(file, settings), n_margins, _MOST_ROWS + n_margins)
    if layout.delimiter is None:
        return _of_objects(list(records), layout.columns)
    rows = [split_row(record, layout.delimiter) for record in records]
    fitting = [row for row in rows if len(row) == len(layout.columns)]
    is_table = len(fitting) > _MOST_FIT * len(rows)  # not a user and then the items on each line
    if not is_table or len(set(layout.columns)) < len(layout.columns):
        return None
    nulls = {"", *settings.null_values}
    columns = {
        name: [None if field.strip() in nulls else field for field in column]
        for name, column in zip(layout.columns, zip(*fitting, strict=True), strict=True)
    }
    return LogSample(columns, layout.has_header or bool(settings.names))


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
