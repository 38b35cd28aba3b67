"""A Delta table as the log: the files that hold what it has now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.base.errors import ConfigError, DataError

_PLAIN = {"timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"}
"""Features of a table whose files hold its rows as they are."""


def with_files_of_tables(log: str | Sequence[str]) -> list[str]:
    """Return the paths of a log, each Delta table replaced by its files."""
    paths = [log] if isinstance(log, str) else log
    found: list[str] = []
    for path in paths:
        is_table = (Path(path) / "_delta_log").is_dir()
        found += _files_of(path) if is_table else [path]
    return found


def _files_of(path: str) -> list[str]:
    try:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError
    except ImportError as error:
        raise ConfigError(
            f"log {path}: it is a Delta table, which is read by the package deltalake; install the "
            'extra: pip install "recsys-engine[delta]"'
        ) from error
    try:
        table = DeltaTable(path)
        files = sorted(table.file_uris())
    except DeltaError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"log {path}: the Delta table cannot be read: {reason}") from error
    odd = _odd_features(table.protocol())
    if odd:
        raise DataError(
            f"log {path}: expected a Delta table whose files hold its rows as they are, got one "
            f"with {', '.join(odd)}; write it as plain Parquet, or drop what asks for it"
        )
    if not files:
        raise DataError(f"log {path}: expected rows, but the Delta table has none")
    return files


def _odd_features(protocol: Any) -> list[str]:
    if protocol.min_reader_version == 1:
        return []
    if protocol.min_reader_version == 2:
        return ["columnMapping"]
    return sorted(set(protocol.reader_features or ()) - _PLAIN)
