"""A DuckDB session that reads a log within a memory limit.

DuckDB is imported where it is used, here and nowhere else in this room: commands that read no log
start without it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys.base.durable import NO_ROOM
from recsys.base.errors import ConfigError, DataError, RecsysError, briefly
from recsys.base.locks import share, state_of
from recsys.base.mapped import disk_folder
from recsys.base.stopping import check_stop, interruptible
from recsys.logs.sources import listed
from recsys.logs.sql import literal

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS = 1 << 17
_PREFIX = "recsys-reading-"
_SECONDS_TO_LOCK = 60  # a new folder


def warn(sentence: str) -> None:
    """Warn of what may be wrong with the data, at the line that called this package."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith("recsys."):
        frame, level = frame.f_back, level + 1
    warnings.warn(sentence, RuntimeWarning, stacklevel=level + 1)


@dataclass
class Session:
    """A DuckDB connection and a folder for temporary files.

    Unix time `now` is that of the start: one moment for all rows.
    """

    connection: duckdb.DuckDBPyConnection
    folder: Path  # deleted when the session ends
    now: int  # seconds since 1970
    notes: dict[str, list[str]] = field(default_factory=dict)  # what is to be said of which files
    _n_files: int = field(default=0, repr=False)
    _failure: RecsysError | None = field(default=None, repr=False)

    def new_file(self, suffix: str) -> Path:
        """Return the path of a temporary file that is not there yet."""
        self._n_files += 1
        return self.folder / f"{self._n_files}{suffix}"

    def note(self, sentence: str, name: str) -> None:
        """Keep what is to be said of a file or table, once for all of which it is true."""
        self.notes.setdefault(sentence, []).append(name)

    def note_all(self, sentences: Iterable[str], name: str) -> None:
        """Keep several sentences of a file or table."""
        for sentence in sentences:
            self.note(sentence, name)

    def sentences(self) -> list[str]:
        """Return what is to be said, with the files: once for all that is said of the same."""
        said_of: dict[tuple[str, ...], list[str]] = {}
        for sentence, names in self.notes.items():
            said_of.setdefault(tuple(names), []).append(sentence)
        return [f"{'; '.join(said)}: {listed(names)}" for names, said in said_of.items()]

    def warn(self, sentence: str, name: str) -> None:
        """Warn of what may be wrong with a file or table, and keep it."""
        if sentence not in self.notes:
            warn(f"log {name}: {sentence}")
        self.note(sentence, name)

    def execute(self, query: str) -> None:
        """Run a query for its effect."""
        with interruptible(self.connection.interrupt):
            self.connection.execute(query)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Return the rows of a small result."""
        with interruptible(self.connection.interrupt):
            listed: list[tuple[object, ...]] = self.connection.execute(query).fetchall()
        return listed

    def types(self, relation: str) -> dict[str, str]:
        """Return DuckDB's name of the type of each column of a relation."""
        described = self.rows(f"DESCRIBE SELECT * FROM {relation}")  # noqa: S608
        return {str(name): str(type_) for name, type_, *_ in described}

    def batches(self, query: str) -> pa.RecordBatchReader:
        """Stream a large result."""
        relation = self.connection.sql(query)
        to_reader = getattr(relation, "to_arrow_reader", None) or relation.fetch_arrow_reader
        return to_reader(BATCH_ROWS)

    @contextmanager
    def stream(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> Iterator[str]:
        """Offer batches as a relation that can be read once; yields its name."""
        reader = pa.RecordBatchReader.from_batches(schema, self._watched(batches))
        self.connection.register("stream", reader)
        try:
            yield "stream"
        finally:
            self.connection.unregister("stream")

    def _watched(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # DuckDB turns an exception of the reader into text, which loses what is in it.
        try:
            yield from batches
        except RecsysError as error:
            self._failure = error
            raise

    @contextmanager
    def explaining(self, where: Callable[[], str]) -> Iterator[None]:
        """Turn an error of DuckDB into a DataError; `where` names what is read."""
        import duckdb

        try:
            yield
        except duckdb.OutOfMemoryException as error:
            raise self._failure or DataError(
                f"{where()}: reading needs more than log.memory_limit allows, even with "
                "temporary files on disk; raise log.memory_limit"
            ) from error
        except duckdb.Error as error:
            check_stop()  # whose signal may be why
            reason = str(error).strip().splitlines()[0][:300]
            raise self._failure or _explained(reason, where, self.folder) from error
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise _no_room(os.strerror(error.errno), self.folder) from error


def _explained(reason: str, where: Callable[[], str], folder: Path) -> DataError:
    """Return the error for a reason that DuckDB or the system gives."""
    for what in map(os.strerror, NO_ROOM):
        if what in reason:
            return _no_room(what, folder)
    if "UTF" in reason or "string encoding" in reason:
        return DataError(
            f"{where()}: a column holds bytes that are not UTF-8 text; convert it to text"
        )
    return DataError(f"{where()}: cannot be read: {reason}")


def _no_room(reason: str, folder: Path) -> DataError:
    return DataError(
        f"log: the temporary folder {folder.parent}, on which the log is read, has no room: "
        f"{reason}; free space there, or set the environment variable TMPDIR to a folder with more"
    )


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Make a folder for temporary files, and remove those of processes that were killed."""
    parent = disk_folder()
    for other in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # of another user
            is_new = time.time() - other.stat().st_mtime < _SECONDS_TO_LOCK
            with state_of(other) as held:
                if held == "free" and not is_new:
                    shutil.rmtree(other, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent) as folder:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            share(descriptor)
            yield Path(folder)
        finally:
            os.close(descriptor)


@contextmanager
def open_session(memory_limit: str, now: int | None = None) -> Iterator[Session]:
    """Open a session; its temporary files are deleted when it ends, however it ends."""
    import duckdb

    with _own_folder() as folder:
        try:
            connection = duckdb.connect(config={"memory_limit": memory_limit})
        except duckdb.Error as error:
            raise ConfigError(
                f"log.memory_limit: expected a size such as 1GB or 512MB, "
                f"got {briefly(memory_limit)}"
            ) from error
        try:
            connection.execute(f"SET temp_directory = {literal(str(folder / 'spill'))}")
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET preserve_insertion_order = true")
            connection.execute("SET arrow_large_buffer_size = true")
            with suppress(duckdb.InvalidInputException):  # without ipywidgets: then there is none
                connection.execute("SET enable_progress_bar = false")
            yield Session(connection, folder, now=int(time.time()) if now is None else now)
        finally:
            connection.close()
