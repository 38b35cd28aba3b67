"""A database that is asked for a log, and its answer in batches.

PostgreSQL is reached by ADBC, whose drivers are an extra. SQLite is read by Python's own module:
ADBC's driver takes the type of a column from its first rows, and fails where later ones differ.
"""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote

import pyarrow as pa

from recsys.base.environment import extra, missing_package
from recsys.base.errors import DataError, RecsysError
from recsys.base.query_settings import QuerySettings
from recsys.base.stopping import check_stop
from recsys.logs.addresses import Address, address_of
from recsys.logs.sql import identifier

# ruff: noqa: S608 (a query is the user's own; names are quoted by recsys.logs.sql)

Result = TypeVar("Result")
_LOOK_SECONDS = 0.1  # between two looks for a signal while a database works
_ROWS_AT_ONCE = 1 << 16
_SQLITE_TYPES = ("integer", "real", "text", "blob")


class Database(ABC):
    """A connection that a query is sent to, and that reads its answer in a thread of its own.

    The main thread waits for it, and hears of signals and of the time that is up.
    """

    _errors: tuple[type[BaseException], ...] = ()
    _connection: Any = None  # before there is one, which may take long

    def __init__(self, address: Address, minutes: float | None = None) -> None:
        self.address, self._minutes = address, minutes
        self._until = None if minutes is None else monotonic() + 60 * minutes
        self._worker = ThreadPoolExecutor(1, "recsys-query")
        try:
            self._run(self._connect)
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):  # what was read is read; a lost server cannot be left well
            self._worker.submit(self._close).result()
        self._worker.shutdown()

    def ask(self, sql: str) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Return the columns of the answer, and its batches, of which one is read ahead."""
        schema = self._run(lambda: self._ask(sql))
        return schema, self._batches()

    def _batches(self) -> Iterator[pa.RecordBatch]:
        coming = self._worker.submit(self._next)
        while (batch := self._wait(coming)) is not None:
            coming = self._worker.submit(self._next)
            yield batch

    def _run(self, step: Callable[[], Result]) -> Result:
        return self._wait(self._worker.submit(step))

    def _wait(self, step: "Future[Result]") -> Result:
        """Wait for the thread; cancel what it does where a signal comes or the time is up."""
        try:
            while True:
                with suppress(StillRunning):
                    return step.result(_LOOK_SECONDS)
                if step.done():
                    return step.result()
                check_stop()
                if self._until is not None and monotonic() > self._until:
                    raise DataError(
                        f"log {self.address.shown}: the query took longer than log.query_minutes "
                        f"= {self._minutes:g}; raise it, or ask for less"
                    )
        except RecsysError:
            self._cancel()
            raise
        except (*self._errors, pa.ArrowException, OSError) as error:
            raise self.address.error(error) from None  # whose text may hold the password
        except BaseException:
            self._cancel()
            raise

    @abstractmethod
    def _connect(self) -> None: ...

    @abstractmethod
    def _ask(self, sql: str) -> pa.Schema: ...

    @abstractmethod
    def _next(self) -> pa.RecordBatch | None:
        """Return the next batch; None after the last one."""

    def _cancel(self) -> None:
        if self._connection is not None:
            self._connection.interrupt()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def connect(settings: QuerySettings) -> Database:
    """Connect to the database of a query, to read; a DataError where it is not reached."""
    address = address_of(settings)
    kinds: dict[str, Callable[[Address, float | None], Database]] = {
        "postgresql": _Postgres,
        "sqlite": _Sqlite,
        "duckdb": _DuckDB,
    }
    return kinds[address.kind](address, settings.query_minutes)


class _Postgres(Database):
    """One read-only transaction, which sees the database as it was when it began."""

    _cursor: Any = None

    def _connect(self) -> None:
        try:
            from adbc_driver_manager import dbapi as manager
            from adbc_driver_postgresql import dbapi
        except ImportError as error:
            raise missing_package(
                "log.uri", "adbc_driver_postgresql", extra("warehouse")
            ) from error
        self._errors = (manager.Error,)
        self._connection = dbapi.connect(self.address.target, autocommit=True)
        self._cursor = self._connection.cursor()
        if self._minutes is not None:
            self._cursor.execute(f"SET statement_timeout = {max(int(60_000 * self._minutes), 1)}")
        self._cursor.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def _ask(self, sql: str) -> pa.Schema:
        self._cursor.execute(f"{sql}\n")  # a comment at its end would go on in the driver's COPY
        self._reader = self._cursor.fetch_record_batch()
        return self._reader.schema

    def _next(self) -> pa.RecordBatch | None:
        return next(self._reader, None)

    def _cancel(self) -> None:
        if self._cursor is not None:
            with suppress(Exception):
                self._cursor.adbc_cancel()

    def _close(self) -> None:
        if self._cursor is not None:
            self._cursor.close()
        super()._close()


class _DuckDB(Database):
    """A file of DuckDB, opened to be read."""

    def _connect(self) -> None:
        import duckdb

        self._errors = (duckdb.Error,)
        self._connection = duckdb.connect(self.address.target, read_only=True)
        self._connection.execute("SET TimeZone = 'UTC'")

    def _ask(self, sql: str) -> pa.Schema:
        relation = self._connection.sql(sql)
        if relation is None:
            raise DataError(
                f"log {self.address.shown}: log.sql: expected a query that returns rows"
            )
        self._reader = relation.to_arrow_reader(_ROWS_AT_ONCE)
        return self._reader.schema

    def _next(self) -> pa.RecordBatch | None:
        return next(self._reader, None)


class _Sqlite(Database):
    """A file of SQLite, opened to be read. Any cell has a type of its own there."""

    _errors = (sqlite3.Error,)

    def _connect(self) -> None:
        place = f"file:{quote(self.address.target)}?mode=ro"
        self._connection = sqlite3.connect(
            place, uri=True, check_same_thread=False, isolation_level=None
        )
        self._connection.text_factory = bytes
        self._connection.execute("BEGIN")  # one state of it for both queries

    def _ask(self, sql: str) -> pa.Schema:
        cursor = self._connection.execute(f"SELECT * FROM (\n{sql}\n) LIMIT 0")
        names = [one[0] for one in cursor.description or ()]
        self._schema = pa.schema(list(zip(names, self._types(sql, names), strict=True)))
        self._rows = self._connection.execute(sql)
        return self._schema

    def _types(self, sql: str, names: list[str]) -> list[pa.DataType]:
        """Return the one type that all cells of a column fit into, for each."""
        flags = ", ".join(
            f"max(typeof({identifier(name)}) = '{kind}')"
            for name in names
            for kind in _SQLITE_TYPES
        )
        (found,) = self._connection.execute(f"SELECT {flags} FROM (\n{sql}\n)")
        n = len(_SQLITE_TYPES)
        return [_joint_type(*found[n * place : n * (place + 1)]) for place in range(len(names))]

    def _next(self) -> pa.RecordBatch | None:
        rows = self._rows.fetchmany(_ROWS_AT_ONCE)
        if not rows:
            return None
        columns = zip(*rows, strict=True)
        arrays = [
            pa.array([*map(_as_text, column)] if one.type == pa.string() else column, one.type)
            for one, column in zip(self._schema, columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


def _joint_type(
    has_integers: int | None, has_reals: int | None, has_texts: int | None, has_blobs: int | None
) -> pa.DataType:
    if has_texts or (has_blobs and (has_integers or has_reals)):
        return pa.string()
    if has_blobs:
        return pa.binary()
    if has_reals:
        return pa.float64()
    return pa.int64() if has_integers else pa.null()


def _as_text(cell: Any) -> str | bytes | None:
    return cell if cell is None or isinstance(cell, bytes) else str(cell)
