"""What a log can be: a file, a glob, a folder, a list of these, or a table in memory."""

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import unquote

import pyarrow as pa

from recsys.base.errors import ConfigError, DataError, did_you_mean
from recsys.logs.file_kind import COMPRESSION_OF_SUFFIX, kind_of, zip_member
from recsys.logs.object_files import files_at
from recsys.settings import LogFormat

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

PathLike: TypeAlias = str | Path
ArrowTable: TypeAlias = pa.Table | pa.RecordBatch | pa.RecordBatchReader
LogTable: TypeAlias = "ArrowTable | pd.DataFrame | pl.DataFrame | pl.LazyFrame"
ItemSource: TypeAlias = "PathLike | LogTable"
LogSource: TypeAlias = "PathLike | LogTable | Fetched | Sequence[PathLike | LogTable]"

FileFormat = Literal["parquet", "csv", "jsonl", "lists"]
FORMAT_OF_SUFFIX: dict[str, FileFormat] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".psv": "csv",
    ".txt": "csv",
    ".dat": "csv",
    ".data": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_NAMED_ALONE = (".inter", ".item", ".base", ".test", ".tab")
"""Suffixes of text in a file that is named, not in a folder: of RecBole and of MovieLens."""
_KNOWN_NAMES = f"{', '.join(FORMAT_OF_SUFFIX)}, plain, .gz, .bz2, .zst or .zip"
_NO_DATA = re.compile(
    r"_SUCCESS|_metadata|_common_metadata|_(committed|started)_.*|\.DS_Store|Thumbs\.db|.*\.crc"
)
_HOW_TO_READ = {
    "Delta": "read_log(deltalake.DeltaTable(path).to_pyarrow_table())",
    "Hudi": "a table that Spark or hudi has read, written as plain Parquet",
    "Iceberg": "read_log(pyiceberg's table.scan().to_arrow())",
    "Paimon": "a table that pypaimon, Flink or Spark has read, written as plain Parquet",
}
_PARTITION = re.compile(r"([A-Za-z_][\w .-]*)=(.*)")
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_MOST_NAMED = 3
_JSON_START = re.compile(rb'(\xef\xbb\xbf)?\s*(\{\s*"(?:[^"\\]|\\.)*"\s*:|\[\s*[\[{])')


@dataclass(frozen=True)
class Span:
    """A part of a file that is read for itself: rows of Parquet, or bytes of whole lines."""

    first: int
    end: int  # beyond the last
    is_last: bool


@dataclass(frozen=True)
class LogFile:
    """One file of a log."""

    path: Path
    format: FileFormat
    compression: str | None
    partition: Mapping[str, str | None] = field(default_factory=dict)  # of its folders' names
    what: str = "log"  # or items
    has_spelled_ids: bool = False  # texts that may be numbers, also in Parquet
    shown: str | None = None  # what it holds rows of, where that is no file: a query, an object
    span: Span | None = None  # None: all of it

    @property
    def name(self) -> str:
        """The path as it was given, or the database or the object whose rows it holds."""
        return self.shown or str(self.path)

    @property
    def label(self) -> str:
        """What a message about it begins with."""
        return f"{self.what} {self.name}"

    def key(self, setting: str) -> str:
        """Return what a setting of how text is read is called for it."""
        return f"{'log' if self.what == 'log' else 'data.items_text'}.{setting}"


@dataclass(frozen=True)
class Fetched:
    """What a database answered, in Parquet files, which can be read more than once."""

    paths: Sequence[Path]
    name: str  # of the database, without a password
    notes: Sequence[str] = ()

    @property
    def files(self) -> "list[LogFile]":
        """The files, as those of a log."""
        return [LogFile(path, "parquet", None, shown=self.name) for path in self.paths]


@dataclass(frozen=True)
class TableStream:
    """A table in memory, as a stream of batches."""

    reader: pa.RecordBatchReader
    name: str


@dataclass(frozen=True)
class Sources:
    """What a log is made of, in reading order, and what is to be said of it."""

    parts: list[LogFile | TableStream]
    notes: list[str]


def files_and_tables(source: LogSource, log_format: LogFormat = "auto") -> Sources:
    """Return what a log is made of in reading order: files of a folder or glob sorted by path.

    A DataError where there is none or it cannot be read, a ConfigError where its format is unknown.
    """
    found = Sources([], [])
    is_list = isinstance(source, list | tuple)
    for number, one in enumerate(source if is_list else [source], start=1):  # type: ignore[arg-type]
        if isinstance(one, str | Path):
            found.parts.extend(files_at(one, _files_of, found.notes, log_format))
        elif isinstance(one, Fetched):
            found.parts.extend(one.files)
            found.notes.extend(one.notes)
        else:
            found.parts.append(_as_stream(one, f"table {number}" if is_list else "table"))
    if not found.parts:
        raise DataError("log: expected at least one file or table, got an empty list")
    return found


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(names[:_MOST_NAMED])
    more = len(names) - _MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown


def _files_of(source: PathLike, notes: list[str], log_format: LogFormat) -> Iterable[LogFile]:
    path = Path(source)
    try:
        if path.is_dir():
            paths = _files_in(path, log_format, notes)
        elif path.exists():
            paths = [path]
        else:
            matching = map(Path, glob.glob(str(source), recursive=True))  # noqa: PTH207 (absolute)
            paths = sorted(found for found in matching if found.is_file())
            for folder in {found.parent for found in paths}:
                _refuse_table_formats(folder)
            if not paths:
                raise DataError(
                    f"log {source}: no such file or folder, and no file matches it{_beside(path)}"
                )
        for found in paths:
            str(found).encode()  # Arrow and DuckDB open files by names in UTF-8
        return [as_file(found, log_format) for found in paths]
    except UnicodeEncodeError as error:
        raise DataError(
            f"log {ascii(error.object)[1:-1]}: expected a file name in UTF-8; rename it"
        ) from error
    except OSError as error:
        raise DataError(f"log {source}: cannot be read: {error.strerror or error}") from error


def _files_in(folder: Path, log_format: LogFormat, notes: list[str]) -> list[Path]:
    """Return the files of a folder that are of the log; say which others it holds."""
    found = sorted(folder.rglob("*"))
    _refuse_table_formats(folder, (path for path in found if path.is_dir()))
    files = {path: _is_log(path, folder, log_format) for path in found if path.is_file()}
    paths = [path for path, is_log in files.items() if is_log]
    others = [
        str(path.relative_to(folder))
        for path, is_log in files.items()
        if not is_log and not _NO_DATA.fullmatch(path.name)
    ]
    passed_over = f"passed over in {folder}: {listed(others)}"
    if not paths:
        raise DataError(
            f"log {folder}: expected a folder with {_KNOWN_NAMES} files, and found none"
            f"{f'; {passed_over}' if others else ''}; name the files, or set log.format"
        )
    if others:
        notes.append(passed_over)
    return paths


def _beside(path: Path) -> str:
    """Return the end of a sentence that names the file nearest in name, or those that are there."""
    folder = path.parent
    try:
        names = sorted(one.name for one in folder.iterdir() if _ends_as_a_log(one.name))
    except OSError:
        return f"; there is no folder {folder}"
    if path.is_symlink():
        return ", as it is a link that leads nowhere; make the link anew, or give the file itself"
    near = did_you_mean(path.name, names, prefix="" if str(folder) == "." else f"{folder}/")
    return near or (f"; {folder.absolute()} has {listed(names)}" if names else "")


def _ends_as_a_log(name: str) -> bool:
    suffixes = [one.lower() for one in Path(name).suffixes[-2:]]
    return name[0] != "." and bool({*FORMAT_OF_SUFFIX, *_NAMED_ALONE} & {*suffixes})


def _is_log(path: Path, folder: Path, log_format: LogFormat) -> bool:
    # Writers leave _SUCCESS, .crc and the like next to their data.
    hidden = any(
        name.startswith((".", "_")) and "=" not in name for name in path.relative_to(folder).parts
    )
    if hidden or log_format != "auto":
        return not hidden
    return _format_of(path) is not None or (not path.suffix and kind_of(path, "log").is_parquet)


def _refuse_table_formats(folder: Path, folders_below: Iterable[Path] = ()) -> None:
    """Refuse a folder of, or in, a table whose files alone do not say which rows it has."""
    for place in (folder, *folder.absolute().parents, *folders_below):
        format_ = _table_format(place)
        if format_ is not None:
            raise DataError(
                f"log {folder}: it is a {format_} table ({place}), whose files also hold rows that "
                f"were deleted or replaced; give what the table holds now: {_HOW_TO_READ[format_]}"
            )


def _table_format(folder: Path) -> str | None:
    if (folder / "_delta_log").is_dir():
        return "Delta"
    if (folder / ".hoodie").is_dir():
        return "Hudi"
    if (folder / "snapshot").is_dir() and any((folder / "schema").glob("schema-*")):
        return "Paimon"
    is_iceberg = any((folder / "metadata").glob("*.metadata.json"))
    return "Iceberg" if is_iceberg else None


def partition_of(path: Path) -> dict[str, str | None]:
    """Return the values that the names of the folders of a file state, as in ``day=2024-05-01/``.

    Examples
    --------
    >>> partition_of(Path("log/event=view/day=2024-05-01/part-0.parquet"))
    {'event': 'view', 'day': '2024-05-01'}
    """
    found = (_PARTITION.fullmatch(name) for name in path.parts[:-1])
    return {one[1]: None if one[2] == _NULL_PARTITION else unquote(one[2]) for one in found if one}


def as_file(path: Path, log_format: LogFormat, what: str = "log") -> LogFile:
    """Return one file with its format and compression; `what` it is begins a message."""
    if not path.exists():
        raise DataError(f"{what} {path}: no such file{_beside(path)}")
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "no plain file, but a pipe or a device"
        raise DataError(
            f"{what} {path}: it is {kind}, and is read more than once, so write it to a file and "
            "give that"
        )
    format_ = _format_of(path) if log_format == "auto" else log_format
    if format_ is None and kind_of(path, what).is_parquet:
        format_ = "parquet"
    if format_ is None and path.suffix.lower() in _NAMED_ALONE:
        format_ = "csv"
    if format_ is None:
        raise ConfigError(
            f"{what} {path}: its name does not show its format; expected {_KNOWN_NAMES}; set "
            "log.format to parquet, csv or jsonl"
        )
    compression = COMPRESSION_OF_SUFFIX.get(path.suffix.lower())
    return LogFile(path, format_, compression, partition_of(path), what)


def identified(file: LogFile) -> tuple[LogFile, str | None]:
    """Return a file as what its content is; say so, in a sentence, where its name says another."""
    try:
        content = kind_of(file.path, file.what)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{file.label}: cannot be read: {reason}") from error
    if content.is_parquet and content.compression:
        raise DataError(
            f"{file.label}: Parquet inside {content.compression} cannot be read, as Parquet "
            "compresses within; decompress the file first"
        )
    if file.format == "parquet" and content.start and not content.is_parquet:
        raise DataError(
            f"{file.label}: it is no Parquet file, or a damaged one: it begins with "
            f"{content.start[:40]!r}; where it is text, say so with log.format, or by its name"
        )
    if not content.start:  # empty, or damaged, as who reads on says
        return replace(file, compression=content.compression or file.compression), None
    format_, belied = file.format, None
    if content.compression != file.compression:
        belied = f"read as {content.compression or 'not compressed'}, which it is"
    if content.is_parquet and format_ != "parquet":
        format_, belied = "parquet", "read as Parquet, which it is"
    if format_ == "csv" and _JSON_START.match(content.start):
        format_, belied = "jsonl", "read as JSON lines, which it holds"
    return replace(file, format=format_, compression=content.compression), belied


def _format_of(path: Path) -> FileFormat | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSION_OF_SUFFIX:
        is_zip = suffixes.pop() == ".zip"
        if is_zip and not (suffixes and suffixes[-1] in FORMAT_OF_SUFFIX):
            member = zip_member(path)
            suffixes = [suffix.lower() for suffix in Path(member).suffixes]
    return FORMAT_OF_SUFFIX.get(suffixes[-1]) if suffixes else None


def arrow_table(table: Any, what: str) -> pa.Table:
    """Bring a table of any library to Arrow; `what` it is begins a message."""
    return _as_stream(table, "table", what).reader.read_all()


def _as_stream(table: Any, name: str, what: str = "log") -> TableStream:
    """Bring a table of any library to a stream of Arrow batches."""
    try:
        reader = _reader_of(table, f"{what} {name}")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{what} {name}: a text holds half a character (a lone surrogate), which UTF-8 cannot "
            f"write: {error.reason}; repair or drop it"
        ) from error
    except DataError:
        raise
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"{what} {name}: a column mixes types, or holds what no column can: {first}; "
            "bring each column to one type"
        ) from error
    if reader is None:
        several = ", a glob, a folder, a pandas, Polars or Arrow table, or a list of these"
        words = several if what == "log" else ", or a pandas, Polars or Arrow table"
        raise DataError(
            f"{what}: expected a path{words}, got {type(table).__name__}{_how_to_convert(table)}"
        )
    return TableStream(reader, name)


def _how_to_convert(table: Any) -> str:
    """Return how a matrix becomes a table, as the end of a sentence."""
    if hasattr(table, "tocoo"):
        return (
            "; of a sparse matrix m: coo = m.tocoo(); pandas.DataFrame({'user_id': coo.row, "
            "'item_id': coo.col, 'value': coo.data})"
        )
    if hasattr(table, "__array__") and getattr(table, "ndim", 0) == 2:
        return "; of rows: pandas.DataFrame(rows, columns=['user_id', 'item_id', 'value'])"
    return ""


def _reader_of(table: Any, label: str) -> pa.RecordBatchReader | None:
    if isinstance(table, pa.RecordBatchReader):
        return table
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table]).to_reader()
    if isinstance(table, pa.Table):
        return table.to_reader()
    library = type(table).__module__.partition(".")[0]
    if library == "pandas" and hasattr(table, "columns"):
        if not table.columns.is_unique:
            twice = table.columns[table.columns.duplicated()][0]
            raise DataError(
                f"{label}: column {twice!r} occurs several times; give each its own name"
            )
        if table.columns.name is not None and not all(isinstance(one, str) for one in table):
            raise DataError(
                f"{label}: it is a pivot, with a column for each {table.columns.name}; pass one "
                "row for each event: table.stack().dropna().rename('value').reset_index()"
            )
        named = [name for name in table.index.names if name is not None]
        if named and not set(named) & set(table.columns):
            table = table.reset_index()  # an index with a name is a column
        return pa.Table.from_pandas(table, preserve_index=False).to_reader()
    if library == "polars" and (hasattr(table, "collect") or hasattr(table, "columns")):
        collected = table.collect() if hasattr(table, "collect") else table
        return collected.to_arrow().to_reader()
    is_column = library in ("pandas", "polars")
    if hasattr(table, "__arrow_c_stream__") and not is_column:  # of DuckDB and others
        return pa.RecordBatchReader.from_stream(table)
    return None
