"""Events in a file of SQLite: a write-ahead log, synced at each commit."""

import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from recsys.base.errors import EventsError, EventsFullError
from recsys.base.locks import only_writer
from recsys.events.event import Added, Changes, Deletion, Event, Kept, OfUser, id_key, key_of
from recsys.events.recent import Recent

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    identity TEXT NOT NULL, last INTEGER NOT NULL, n_events INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY, id BLOB UNIQUE, user_id TEXT NOT NULL, item_id TEXT NOT NULL,
    time INTEGER NOT NULL, event TEXT, value REAL
);
CREATE INDEX IF NOT EXISTS events_of_user ON events (user_id);
CREATE TABLE IF NOT EXISTS deletions (
    number INTEGER PRIMARY KEY, user BLOB NOT NULL, time INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS deletions_of_user ON deletions (user);
"""
_COLUMNS = "number, user_id, item_id, time, event, value"
_BUSY_SECONDS = 10.0
_ROWS_AT_ONCE = 50_000
_DROPPED_AT_ONCE = 5_000  # so that who adds events waits a moment only


class SqliteEvents:
    """Events in a file, see `EventDatabase`; threads and processes may share it.

    Parameters
    ----------
    path : path
    max_events : int
        Most that it holds.
    create : bool
        Make the file where there is none.
    """

    def __init__(self, path: Path, max_events: int, *, create: bool = True) -> None:
        self._path, self._max_events = path, max_events
        self._lock_path = path.with_name(f"{path.name}-lock")
        self._write_lock, self._read_lock = Lock(), Lock()
        with self._errors():
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
            elif not path.exists():
                raise EventsError(f"events {path}: there is no such database")
            with only_writer(self._lock_path):  # a new file that two open is locked for one of them
                self._writer = self._connected()
                self._prepare()
            self._reader = self._connected()
            self._inode = path.stat().st_ino
            (identity,) = self._reader.execute("SELECT identity FROM about").fetchone()
            self._identity = str(identity)
            with only_writer(self._lock_path):  # so that nobody adds meanwhile
                self.recent = Recent(self, path.with_name(f"{path.name}-recent"))

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        return connection

    def _prepare(self) -> None:
        self._writer.executescript(_SCHEMA)
        self._writer.execute(
            "INSERT OR IGNORE INTO about VALUES (1, ?, 0, 0)", (secrets.token_hex(8),)
        )

    @property
    def identity(self) -> str:
        """What tells it from another file."""
        return self._identity

    def last(self) -> int:
        """Return the number of the newest event or deletion."""
        return int(self._read("SELECT last FROM about")[0][0])

    def n_events(self) -> int:
        """Return how many events it holds."""
        return int(self._read("SELECT n_events FROM about")[0][0])

    def go_on_after(self, number: int) -> None:
        """Give what comes now larger numbers than this one."""
        with self._writing() as (connection, last, _):
            connection.execute("UPDATE about SET last = ?", (max(last, number),))

    def add(self, events: Sequence[Event]) -> Added:
        """Keep events in one transaction; they are durable when this returns."""
        with self._writing() as (connection, last, n_events):
            if n_events + len(events) > self._max_events:
                raise EventsFullError(
                    f"events {self._path}: expected at most {self._max_events:,} events until a "
                    "night has taken them; run recsys nightly, or raise events.max_events"
                )
            is_new, others, kept = [], [], []
            for position, event in enumerate(events):
                found = Kept(last + 1, *event[:5])
                done = connection.execute(
                    f"INSERT INTO events ({_COLUMNS}, id) VALUES (?, ?, ?, ?, ?, ?, ?) "  # noqa: S608
                    "ON CONFLICT (id) DO NOTHING",
                    (*found, id_key(event.event_id)),
                )
                is_new.append(done.rowcount == 1)
                if done.rowcount == 1:
                    last += 1
                    kept.append(found)
                elif not self._is_same(connection, event):
                    others.append(position)
            connection.execute(
                "UPDATE about SET last = ?, n_events = n_events + ?", (last, len(kept))
            )
        self.recent.mark(((one.user_id, one.number) for one in kept), last - len(kept), last)
        return Added(last, is_new, others, kept)

    def _is_same(self, connection: sqlite3.Connection, event: Event) -> bool:
        """Whether the event that has this id is this one; the clock of who sent it may differ."""
        before = connection.execute(
            "SELECT user_id, item_id, event, value FROM events WHERE id = ?",
            (id_key(event.event_id),),
        ).fetchone()
        return bool(before == (event.user_id, event.item_id, event.event, event.value))

    def delete_user(self, user_id: str, not_before: int = 0) -> int:
        """Delete the events of a user, remember that, and return how many there were."""
        with self._writing() as (connection, last, _):
            n = connection.execute("DELETE FROM events WHERE user_id = ?", (user_id,)).rowcount
            connection.execute(
                "INSERT INTO deletions VALUES (?, ?, max(unixepoch() * 1000000, ?))",
                (last + 1, key_of(user_id), not_before),
            )
            connection.execute("UPDATE about SET last = ?, n_events = n_events - ?", (last + 1, n))
        self.recent.mark([(user_id, last + 1)], last, last + 1)
        with self._errors(), self._write_lock:  # nothing of it stays in the write-ahead log
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return n

    def changes(self, after: int) -> Changes:
        """Return the events and deletions of larger numbers that are still there."""
        with self._reading() as connection:
            (last,) = connection.execute("SELECT last FROM about").fetchone()
            kept = connection.execute(
                f"SELECT {_COLUMNS} FROM events WHERE number > ? ORDER BY number",  # noqa: S608
                (after,),
            ).fetchall()
            deleted = connection.execute(
                "SELECT user, number FROM deletions WHERE number > ? ORDER BY number", (after,)
            ).fetchall()
        return Changes(last, [Kept._make(row) for row in kept], dict(deleted))

    def deletions(self) -> dict[bytes, Deletion]:
        """Return the latest deletion of each user, by `key_of`."""
        with self._reading() as connection:
            rows = connection.execute("SELECT user, number, time FROM deletions ORDER BY number")
            return {user: Deletion(number, time) for user, number, time in rows}

    def of_user(self, user_id: str) -> OfUser:
        """Return all events of a user, and whether their data was deleted."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM events WHERE user_id = ? ORDER BY number",  # noqa: S608
                (user_id,),
            ).fetchall()
            (deleted,) = connection.execute(
                "SELECT coalesce(max(number), 0) FROM deletions WHERE user = ?", (key_of(user_id),)
            ).fetchone()
        return OfUser([Kept._make(row) for row in rows], deleted)

    def newest(self, after: int, through: int) -> list[tuple[bytes, int]]:
        """Return users by `key_of`, and the largest number of each among some numbers."""
        span = (after, through)
        with self._reading() as connection:
            users = connection.execute(
                "SELECT user_id, max(number) FROM events WHERE number > ? AND number <= ? "
                "GROUP BY user_id",
                span,
            ).fetchall()
            deleted = connection.execute(
                "SELECT user, number FROM deletions WHERE number > ? AND number <= ?", span
            ).fetchall()
        return [*((key_of(user), number) for user, number in users), *deleted]

    def batches(self, after: int, through: int) -> Iterator[list[Kept]]:
        """Yield the events of some numbers, in order."""
        while True:
            found = self._kept("number > ? AND number <= ?", after, through, limit=_ROWS_AT_ONCE)
            if not found:
                return
            yield found
            after = found[-1].number

    def drop(self, through: int) -> int:
        """Delete events up to a number, which files hold; return how many."""
        dropped = 0
        while True:
            with self._writing() as (connection, _, _):
                n = connection.execute(
                    "DELETE FROM events WHERE number IN "
                    "(SELECT number FROM events WHERE number <= ? ORDER BY number LIMIT ?)",
                    (through, _DROPPED_AT_ONCE),
                ).rowcount
                connection.execute("UPDATE about SET n_events = n_events - ?", (n,))
            dropped += n
            if n < _DROPPED_AT_ONCE:
                return dropped

    def close(self) -> None:
        """Close its connections."""
        for lock, connection in (
            (self._write_lock, self._writer),
            (self._read_lock, self._reader),
        ):
            with lock:
                connection.close()
        self.recent.close()

    def _kept(self, condition: str, *values: object, limit: int = -1) -> list[Kept]:
        found = self._read(
            f"SELECT {_COLUMNS} FROM events WHERE {condition} ORDER BY number LIMIT ?",  # noqa: S608
            *values,
            limit,
        )
        return [Kept._make(row) for row in found]

    def _read(self, query: str, *values: object) -> list[tuple[int, ...]]:
        with self._reading() as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._errors(), self._read_lock:
            self._require_there()
            self._reader.execute("BEGIN")
            try:
                yield self._reader
            finally:
                self._reader.execute("ROLLBACK")

    @contextmanager
    def _writing(self) -> Iterator[tuple[sqlite3.Connection, int, int]]:
        """Write in one transaction, one process at a time: waiting for a lock of SQLite sleeps."""
        with self._errors(), self._write_lock, only_writer(self._lock_path):
            self._require_there()
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                found = self._writer.execute("SELECT last, n_events FROM about").fetchone()
                yield self._writer, *found
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def _require_there(self) -> None:
        """Check that the file is the one that was opened: what is deleted still takes events."""
        if self._path.stat().st_ino != self._inode:
            raise EventsError(f"events {self._path}: another file has taken its place")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            is_full = name.startswith("SQLITE_FULL") or getattr(error, "errno", None) in (28, 122)
            kind = EventsFullError if is_full else EventsError
            raise kind(
                f"events {self._path}: expected a database of events, got {error}"
            ) from error
