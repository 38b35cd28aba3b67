"""A log that a database has: what a query answers, kept in Parquet files.

Whoever reads a log looks at it more than once: a sample to guess the columns, then all of it. So
the answer is streamed to files, a batch at a time, and the database is asked once. A night keeps
the files in its store, and by a watermark asks only for what is new, see `recsys.logs.kept_rows`.
"""

import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.base.errors import ConfigError, DataError
from recsys.base.progress import spinner
from recsys.base.query_settings import QuerySettings
from recsys.logs.addresses import Address, address_of
from recsys.logs.databases import connect
from recsys.logs.sources import Fetched, listed

Report = Callable[[str], None]


def fetch(settings: QuerySettings, *, progress: bool = False) -> Fetched:
    """Ask a database for the whole log; the files are temporary, and go with what is returned.

    Raises
    ------
    DataError
        If the database is not reached, or does not answer with rows.
    ConfigError
        If there is no query, or its address or password is not as the settings say.
    """
    address = require_query(settings)
    folder = Path(tempfile.mkdtemp(prefix="recsys-query-"))
    try:
        path = folder / "rows.parquet"
        with spinner("reading the log", enabled=progress) as report:
            answer = download(settings, settings.sql or "", path, report)
        if not answer.n_rows:
            raise no_rows(address)
        fetched = Fetched([path], address.shown, answer.notes)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise DataError(
            f"log {address.shown}: cannot be kept in {folder.parent}: {error.strerror or error}; "
            "free space there, or set the environment variable TMPDIR to a folder with more"
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(fetched, shutil.rmtree, folder, ignore_errors=True)
    return fetched


def require_query(settings: QuerySettings) -> Address:
    """Return where the database of a query is; a ConfigError where the settings have none."""
    if settings.sql is None:
        raise ConfigError(
            "log: expected files, a table, or a query as log.sql and log.uri, got none"
        )
    return address_of(settings)


def no_rows(address: Address) -> DataError:
    """Return the error for an answer without rows."""
    return DataError(f"log {address.shown}: expected rows, but log.sql returns none")


@dataclass
class Answer:
    """What came of a query, and what is to be said of it."""

    schema: pa.Schema
    n_rows: int = 0
    notes: list[str] = field(default_factory=list)


def download(
    settings: QuerySettings,
    sql: str,
    path: Path,
    report: Report = lambda _: None,
    look: Callable[[pa.RecordBatch], None] = lambda _: None,
    like: pa.Schema | None = None,
) -> Answer:
    """Write what a query answers to a Parquet file, a batch at a time.

    `look` sees each of them. They have the columns `like` others, where they fit into these.
    """
    report(f"asking {address_of(settings).shown}")
    with connect(settings) as database:
        shown = database.address.shown
        schema, batches = database.ask(bare(sql))
        plain = _plain_schema(schema, shown)
        answer = Answer(like if like is not None and _fits(plain, like) else plain)
        left_out = [one.name for one in schema if _plain_type(one.type) is None]
        if left_out:
            answer.notes.append(f"left out, as no id, time or number: {listed(left_out)}")
        with pq.ParquetWriter(path, answer.schema, compression="zstd") as writer:
            for batch in batches:
                kept = _plain(batch, answer.schema)
                look(kept)
                writer.write_batch(kept)
                answer.n_rows += kept.num_rows
                report(f"asking {shown}: {answer.n_rows:,} rows")
    return answer


def bare(sql: str) -> str:
    """Return a query without the semicolon at its end."""
    return sql.strip().rstrip(";").rstrip()


def _plain_schema(schema: pa.Schema, shown: str) -> pa.Schema:
    twice = [name for name in dict.fromkeys(schema.names) if schema.names.count(name) > 1]
    if twice:
        raise DataError(
            f"log {shown}: log.sql returns several columns {twice[0]!r}; give each a name with AS"
        )
    types = [(one.name, _plain_type(one.type)) for one in schema]
    return pa.schema([(name, type_) for name, type_ in types if type_ is not None])


def _plain_type(kind: pa.DataType) -> pa.DataType | None:
    """Return the type in which a column is kept; None where it can be no column of a log."""
    if isinstance(kind, pa.UuidType):
        return pa.string()
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    is_odd = pa.types.is_interval(kind) or pa.types.is_union(kind) or pa.types.is_nested(kind)
    return None if is_odd or pa.types.is_binary(kind) else kind


def _fits(schema: pa.Schema, like: pa.Schema) -> bool:
    """Whether columns fit into others: SQLite tells a type from the cells that are there."""
    return schema.names == like.names and all(
        one.type in (other.type, pa.null())
        or (pa.types.is_integer(one.type) and (other.type in (pa.float64(), pa.string())))
        for one, other in zip(schema, like, strict=True)
    )


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    arrays = [_plain_column(batch.column(one.name)).cast(one.type) for one in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain_column(column: pa.Array) -> pa.Array:
    if isinstance(column.type, pa.UuidType):
        return _uuids(column.storage)
    if isinstance(column, pa.ExtensionArray):
        return _plain_column(column.storage)
    if pa.types.is_dictionary(column.type):
        return _plain_column(column.dictionary_decode())
    return column


def _uuids(column: pa.FixedSizeBinaryArray) -> pa.Array:
    """Spell UUIDs as PostgreSQL does."""
    n = len(column)
    data = b"".join(one or bytes(16) for one in column.to_pylist())
    digits = np.frombuffer(data.hex().encode(), np.uint8).reshape(n, 32)
    text = np.insert(digits, [8, 12, 16, 20], ord("-"), axis=1)
    offsets = np.arange(n + 1, dtype=np.int32) * 36
    spelled = pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(text.tobytes()))
    nothing = pa.scalar(None, pa.string())
    return spelled if column.null_count == 0 else pc.if_else(column.is_valid(), spelled, nothing)
