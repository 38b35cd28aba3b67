"""What a log can be: a file, a glob, a folder, a list of these, or a table in memory."""

import glob
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pyarrow as pa

from recsys.base.errors import ConfigError, DataError
from recsys.settings import LogFormat

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

PathLike: TypeAlias = str | Path
ArrowTable: TypeAlias = pa.Table | pa.RecordBatch | pa.RecordBatchReader
LogTable: TypeAlias = "ArrowTable | pd.DataFrame | pl.DataFrame | pl.LazyFrame"
LogSource: TypeAlias = "PathLike | LogTable | Sequence[PathLike | LogTable]"

FileFormat = Literal["parquet", "csv", "jsonl"]
FORMAT_OF_SUFFIX: dict[str, FileFormat] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".psv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
COMPRESSION_OF_SUFFIX = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True)
class LogFile:
    """One file of a log."""

    path: Path
    format: FileFormat
    compression: str | None

    @property
    def name(self) -> str:
        """The path as it was given."""
        return str(self.path)


@dataclass(frozen=True)
class TableStream:
    """A table in memory, as a stream of batches."""

    reader: pa.RecordBatchReader
    name: str


def files_and_tables(
    source: LogSource, log_format: LogFormat = "auto"
) -> list[LogFile | TableStream]:
    """Return what a log is made of in reading order: files of a folder or glob sorted by path.

    Raises
    ------
    DataError
        If there is no such file, no log in a folder, or a file is empty.
    ConfigError
        If a file's format is not known from its name and not given.
    """
    if isinstance(source, str | Path):
        return list(_files_of(source, log_format))
    if not isinstance(source, list | tuple):
        return [_as_stream(source, "table")]
    found: list[LogFile | TableStream] = []
    for number, one in enumerate(source, start=1):
        if isinstance(one, str | Path):
            found.extend(_files_of(one, log_format))
        else:
            found.append(_as_stream(one, f"table {number}"))
    if not found:
        raise DataError("log: expected at least one file or table, got an empty list")
    return found


def _files_of(source: PathLike, log_format: LogFormat) -> Iterable[LogFile]:
    path = Path(source)
    if path.is_dir():
        paths = sorted(found for found in path.rglob("*") if _is_log(found, path, log_format))
        if not paths:
            raise DataError(
                f"log {source}: expected a folder with {_known_suffixes()} files, plain, .gz or "
                ".zst, and found none; name the files, or set log.format"
            )
    elif path.exists():
        paths = [path]
    else:
        paths = sorted(_matching(str(source)))
        paths = [found for found in paths if found.is_file()]
        if not paths:
            raise DataError(f"log {source}: no such file or folder, and no file matches it")
    return [_as_file(found, log_format) for found in paths]


def _matching(pattern: str) -> Iterable[Path]:
    # Path.glob takes no absolute pattern.
    return (Path(found) for found in glob.glob(pattern, recursive=True))  # noqa: PTH207


def _is_log(path: Path, folder: Path, log_format: LogFormat) -> bool:
    # Writers leave _SUCCESS, .crc and the like next to their data.
    hidden = any(name.startswith((".", "_")) for name in path.relative_to(folder).parts)
    known = log_format != "auto" or _format_of(path) is not None
    return path.is_file() and not hidden and known


def _as_file(path: Path, log_format: LogFormat) -> LogFile:
    format_ = _format_of(path) if log_format == "auto" else log_format
    if format_ is None:
        raise ConfigError(
            f"log {path}: its name does not show its format; expected {_known_suffixes()}, "
            "plain, .gz or .zst; set log.format to parquet, csv or jsonl"
        )
    compression = COMPRESSION_OF_SUFFIX.get(path.suffix.lower())
    if format_ == "parquet" and compression:
        raise DataError(
            f"log {path}: Parquet inside {path.suffix} cannot be read, as Parquet compresses "
            "within; decompress the file first"
        )
    try:
        is_empty = path.stat().st_size == 0
    except OSError as error:
        raise DataError(f"log {path}: cannot be read: {error.strerror}") from error
    if is_empty:
        raise DataError(f"log {path}: the file is empty (0 bytes)")
    return LogFile(path, format_, compression)


def _format_of(path: Path) -> FileFormat | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSION_OF_SUFFIX:
        suffixes.pop()
    return FORMAT_OF_SUFFIX.get(suffixes[-1]) if suffixes else None


def _known_suffixes() -> str:
    return ", ".join(FORMAT_OF_SUFFIX)


def _as_stream(table: Any, name: str) -> TableStream:
    """Bring a table of any library to a stream of Arrow batches."""
    try:
        if isinstance(table, pa.RecordBatchReader):
            return TableStream(table, name)
        if isinstance(table, pa.RecordBatch):
            return TableStream(pa.Table.from_batches([table]).to_reader(), name)
        if isinstance(table, pa.Table):
            return TableStream(table.to_reader(), name)
        library = type(table).__module__.partition(".")[0]
        if library == "pandas":
            frame = pa.Table.from_pandas(table, preserve_index=False)
            return TableStream(frame.to_reader(), name)
        if library == "polars":
            collected = table.collect() if hasattr(table, "collect") else table
            return TableStream(collected.to_arrow().to_reader(), name)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        first = str(error).splitlines()[0]
        raise DataError(
            f"log {name}: a column mixes types that one column cannot hold: {first}; "
            "bring each column to one type"
        ) from error
    raise DataError(
        "log: expected a path, a glob, a folder, a pandas, Polars or Arrow table, or a list of "
        f"these, got {type(table).__name__}"
    )
