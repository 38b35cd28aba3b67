"""Events in a database of PostgreSQL: for services on several machines. Ids are bytes there."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from recsys.base.environment import extra, missing_package
from recsys.base.errors import EventsError, EventsFullError
from recsys.events.event import Added, Changes, Deletion, Event, Kept, OfUser, id_key, key_of
from recsys.events.recent import Recent

_SCHEMA = """
CREATE TABLE IF NOT EXISTS recsys_about (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    identity TEXT NOT NULL, last BIGINT NOT NULL, n_events BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS recsys_events (
    number BIGINT PRIMARY KEY, id BYTEA UNIQUE, user_id BYTEA NOT NULL, item_id BYTEA NOT NULL,
    time BIGINT NOT NULL, event TEXT, value DOUBLE PRECISION
);
CREATE INDEX IF NOT EXISTS recsys_events_of_user ON recsys_events USING hash (user_id);
CREATE TABLE IF NOT EXISTS recsys_deletions (
    number BIGINT PRIMARY KEY, user_key BYTEA NOT NULL, time BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS recsys_deletions_of_user ON recsys_deletions USING hash (user_key);
"""
_COLUMNS = "number, user_id, item_id, time, event, value"
_MADE_BY_ONE = 5_237_001  # an advisory lock: two that make the tables at once would both fail
_PATIENCE = {  # a server that is not reached holds up no list for longer
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,  # a machine that is gone is noticed while its answer is waited for
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "options": "-c statement_timeout=60000 -c lock_timeout=8000",
}
_ROWS_AT_ONCE = 50_000


class PostgresEvents:
    """Events on a server, see `EventDatabase`; threads, processes and machines may share it.

    Who writes locks the row of the newest number until the commit, so that numbers become visible
    in their order.

    Parameters
    ----------
    address : str
        As libpq takes it; what it lacks, such as the password, libpq finds as ever.
    max_events : int
        Most that it holds.
    shared : path, optional
        A folder that the processes of this machine share.
    """

    def __init__(self, address: str, max_events: int, shared: Path | None = None) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise missing_package("events.database", "psycopg", extra("postgres")) from error
        self._psycopg: Any = psycopg
        self._address, self._max_events = address, max_events
        self._write_lock, self._read_lock = Lock(), Lock()
        self._open: dict[str, Any] = {}
        with self._connection("write", self._write_lock) as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MADE_BY_ONE,))
            connection.execute(_SCHEMA)
            connection.execute(
                "INSERT INTO recsys_about VALUES (1, %s, 0, 0) ON CONFLICT DO NOTHING",
                (secrets.token_hex(8),),
            )
            (identity,) = connection.execute("SELECT identity FROM recsys_about").fetchone()
        self._identity = str(identity)
        path = None if shared is None else shared / f"{self._identity}-recent"
        self.recent = Recent(self, path)

    @property
    def identity(self) -> str:
        """What tells it from another database."""
        return self._identity

    def last(self) -> int:
        """Return the number of the newest event or deletion."""
        return int(self._read("SELECT last FROM recsys_about")[0][0])

    def n_events(self) -> int:
        """Return how many events it holds."""
        return int(self._read("SELECT n_events FROM recsys_about")[0][0])

    def go_on_after(self, number: int) -> None:
        """Give what comes now larger numbers than this one."""
        with self._writing() as (connection, last, _):
            connection.execute("UPDATE recsys_about SET last = %s", (max(last, number),))

    def add(self, events: Sequence[Event]) -> Added:
        """Keep events in one transaction; they are durable when this returns."""
        with self._writing() as (connection, last, n_events):
            if n_events + len(events) > self._max_events:
                raise EventsFullError(
                    f"events: expected at most {self._max_events:,} events until a night has taken "
                    "them; run recsys nightly, or raise events.max_events"
                )
            found = [Kept(last + 1 + n, *event[:5]) for n, event in enumerate(events)]
            ids = [id_key(event.event_id) for event in events]
            rows = connection.execute(
                f"INSERT INTO recsys_events ({_COLUMNS}, id) "  # noqa: S608
                "SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[], %s::bigint[], "
                "%s::text[], %s::double precision[], %s::bytea[]) "
                "ON CONFLICT (id) DO NOTHING RETURNING number",
                (*_as_columns(found), ids),
            ).fetchall()
            new = {number for (number,) in rows}
            repeated = [n for n, one in enumerate(found) if one.number not in new]
            others = self._others(connection, events, repeated)
            last += len(events)
            connection.execute(
                "UPDATE recsys_about SET last = %s, n_events = n_events + %s", (last, len(new))
            )
        is_new = [one.number in new for one in found]
        kept = [one for one in found if one.number in new]
        self.recent.mark(((one.user_id, one.number) for one in kept), last - len(events), last)
        return Added(last, is_new, others, kept)

    def _others(self, connection: Any, events: Sequence[Event], repeated: list[int]) -> list[int]:
        """Return the positions of events whose id belongs to another event."""
        if not repeated:
            return []
        rows = connection.execute(
            "SELECT id, user_id, item_id, event, value FROM recsys_events WHERE id = ANY(%s)",
            ([id_key(events[position].event_id) for position in repeated],),
        ).fetchall()
        before = {key: (user.decode(), item.decode(), *rest) for key, user, item, *rest in rows}
        return [
            position
            for position in repeated
            for event in [events[position]]
            if before[id_key(event.event_id)]
            != (event.user_id, event.item_id, event.event, event.value)
        ]

    def delete_user(self, user_id: str, not_before: int = 0) -> int:
        """Delete the events of a user, remember that, and return how many there were."""
        with self._writing() as (connection, last, _):
            n = connection.execute(
                "DELETE FROM recsys_events WHERE user_id = %s", (user_id.encode(),)
            ).rowcount
            connection.execute(
                "INSERT INTO recsys_deletions "
                "VALUES (%s, %s, "
                "greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, %s))",
                (last + 1, key_of(user_id), not_before),
            )
            connection.execute(
                "UPDATE recsys_about SET last = %s, n_events = n_events - %s", (last + 1, n)
            )
        self.recent.mark([(user_id, last + 1)], last, last + 1)
        return int(n)

    def changes(self, after: int) -> Changes:
        """Return the events and deletions of larger numbers that are still there."""
        with self._reading() as connection:
            (last,) = connection.execute("SELECT last FROM recsys_about").fetchone()
            kept = connection.execute(
                f"SELECT {_COLUMNS} FROM recsys_events "  # noqa: S608
                "WHERE number > %s AND number <= %s ORDER BY number",
                (after, last),
            ).fetchall()
            deleted = connection.execute(
                "SELECT user_key, number FROM recsys_deletions "
                "WHERE number > %s AND number <= %s ORDER BY number",
                (after, last),
            ).fetchall()
        return Changes(last, [_as_kept(row) for row in kept], dict(deleted))

    def deletions(self) -> dict[bytes, Deletion]:
        """Return the latest deletion of each user, by `key_of`."""
        rows = self._read("SELECT user_key, number, time FROM recsys_deletions ORDER BY number")
        return {user: Deletion(number, time) for user, number, time in rows}

    def of_user(self, user_id: str) -> OfUser:
        """Return all events of a user, and whether their data was deleted."""
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM recsys_events WHERE user_id = %s ORDER BY number",  # noqa: S608
                (user_id.encode(),),
            ).fetchall()
            (deleted,) = connection.execute(
                "SELECT coalesce(max(number), 0) FROM recsys_deletions WHERE user_key = %s",
                (key_of(user_id),),
            ).fetchone()
        return OfUser([_as_kept(row) for row in rows], deleted)

    def newest(self, after: int, through: int) -> list[tuple[bytes, int]]:
        """Return users by `key_of`, and the largest number of each among some numbers."""
        span = (after, through)
        users = self._read(
            "SELECT user_id, max(number) FROM recsys_events WHERE number > %s AND number <= %s "
            "GROUP BY user_id",
            *span,
        )
        deleted = self._read(
            "SELECT user_key, number FROM recsys_deletions WHERE number > %s AND number <= %s",
            *span,
        )
        return [*((key_of(user.decode()), number) for user, number in users), *deleted]

    def batches(self, after: int, through: int) -> Iterator[list[Kept]]:
        """Yield the events of some numbers, in order."""
        while True:
            found = self._kept("number > %s AND number <= %s", after, through, limit=_ROWS_AT_ONCE)
            if not found:
                return
            yield found
            after = found[-1].number

    def drop(self, through: int) -> int:
        """Delete events up to a number, which files hold; return how many."""
        with self._writing() as (connection, _, _):
            n = connection.execute(
                "DELETE FROM recsys_events WHERE number <= %s", (through,)
            ).rowcount
            connection.execute("UPDATE recsys_about SET n_events = n_events - %s", (n,))
        return int(n)

    def close(self) -> None:
        """Close its connections."""
        for lock, name in ((self._write_lock, "write"), (self._read_lock, "read")):
            with lock:
                self._drop(name)
        self.recent.close()

    def _kept(self, condition: str, *values: object, limit: int | None = None) -> list[Kept]:
        query = f"SELECT {_COLUMNS} FROM recsys_events WHERE {condition} ORDER BY number LIMIT %s"  # noqa: S608
        return [_as_kept(row) for row in self._read(query, *values, limit)]

    def _read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._reading() as connection:
            found: list[tuple[Any, ...]] = connection.execute(query, values).fetchall()
        return found

    @contextmanager
    def _reading(self) -> Iterator[Any]:
        with self._connection("read", self._read_lock) as connection, connection.transaction():
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[tuple[Any, int, int]]:
        with self._connection("write", self._write_lock) as connection, connection.transaction():
            last, n_events = connection.execute(
                "SELECT last, n_events FROM recsys_about FOR UPDATE"
            ).fetchone()
            yield connection, last, n_events

    @contextmanager
    def _connection(self, name: str, lock: Lock) -> Iterator[Any]:
        """Lend a connection, a new one where the last one has broken."""
        with lock:
            try:
                found = self._open.get(name)
                if found is None or found.closed:
                    found = self._open[name] = self._psycopg.connect(
                        self._address, autocommit=True, **_PATIENCE
                    )
                yield found
            except self._psycopg.Error as error:
                is_full = isinstance(error, self._psycopg.errors.DiskFull)
                self._drop(name)
                kind = EventsFullError if is_full else EventsError
                reason = (str(error).splitlines() or ["no answer"])[0]
                raise kind(
                    f"events.database: expected a database of PostgreSQL, got {reason}"
                ) from error

    def _drop(self, name: str) -> None:
        found = self._open.pop(name, None)
        if found is not None:
            found.close()


def _as_columns(events: list[Kept]) -> list[list[Any]]:
    number, user, item, *rest = map(list, zip(*events, strict=True)) if events else [[]] * 6
    return [number, [one.encode() for one in user], [one.encode() for one in item], *rest]


def _as_kept(row: tuple[Any, ...]) -> Kept:
    number, user, item, *rest = row
    return Kept(number, user.decode(), item.decode(), *rest)
