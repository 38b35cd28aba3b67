"""Files of events in a store: what a night has taken from the database, and reads with its log.

``events/log/<identity>-<after>-<through>.parquet`` holds the events of a database whose numbers are
above `after` and at most `through`. The name is the only account of what was taken: a night that is
killed has written a file or has not, so no event is read twice and none is left out. Columns:
number, user_id, item_id, timestamp, event, value.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.base.durable import errors_of_writing, replace_text, replaced
from recsys.base.errors import EventsError
from recsys.events.event import Deletion, EventDatabase, Kept, key_of

FOLDER = Path("events", "log")
_NAME = re.compile(r"([0-9a-f]+)-(\d{12})-(\d{12})\.parquet")
DELETED = "deleted.json"
_ALL = np.iinfo(np.int64).max
_DAY = 86_400_000_000  # microseconds
_MOST_FILES = 64
_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("event", pa.string()),
        ("value", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Taken:
    """What a night reads of the events.

    Parameters
    ----------
    files : list of path
        All files of events, in order; none holds an event of a deleted user.
    through : dict of str to int
        By identity of a database, the number up to which its events are in the files. A version
        made of them keeps it, as "live" and "live_trained".
    deleted : dict of bytes to int
        Users whose data was deleted, by `key_of`, and when: microseconds since 1970.
    """

    files: list[Path]
    through: dict[str, int]
    deleted: dict[bytes, int]


NOTHING = Taken([], {}, {})
"""Where no events are taken."""


def through_of(data: Mapping[str, Any], identity: str) -> int:
    """Return the number up to which a version holds the events of a database in its histories.

    Parameters
    ----------
    data : mapping
        Of its manifest.
    """
    return _number(data.get("live"), identity)


def trained_of(data: Mapping[str, Any], identity: str) -> int:
    """Return the number up to which the embeddings of a version are made of those events.

    That is less after a refresh, which adds to what users have seen and leaves embeddings as they
    are.
    """
    return _number(data.get("live_trained"), identity)


def _number(found: Any, identity: str) -> int:
    number = found.get(identity, 0) if isinstance(found, Mapping) else 0
    return number if isinstance(number, int) else 0


def go_on_after_files(store: Path, database: EventDatabase) -> None:
    """Let a database that came from a backup number events after those that files hold.

    An event of a number that was taken before would count in no list and in no night.

    Raises
    ------
    EventsError
        If the files cannot be looked at.
    """
    folder = store / FOLDER
    try:
        taken = _newest_of(folder, database.identity)
    except OSError as error:
        raise EventsError(f"events: expected a folder {folder}, got {error}") from error
    if taken > database.last():
        database.go_on_after(taken)


def _newest_of(folder: Path, identity: str) -> int:
    own = (one.through for one in _segments(folder) if one.identity == identity)
    return max(own, default=0)


def take(store: Path, database: EventDatabase | None) -> Taken:
    """Bring the events of a database to files, and delete from these what was deleted.

    One process at a time does, as a night that locks the store. The events stay in the database
    until they are dropped. Without a database, what was taken before is returned.

    Raises
    ------
    EventsError
        If the database is not reached.
    StoreError
        If the store cannot be written.
    """
    folder = store / FOLDER
    with errors_of_writing(store, "keep events in files"):
        kept = _Deleted.read(folder / DELETED)
        through = {} if database is None else {database.identity: database.last()}  # before reading
        if database is not None:
            identity = database.identity
            after = _newest_of(folder, identity)
            if after < through[identity]:
                _write(folder, _Segment(identity, after, through[identity]), database)
            deleted = database.deletions()  # after that, so none of them is in the new file
            newest = max((one.number for one in deleted.values()), default=0)
            if newest > kept.through.get(identity, 0):
                for segment in _segments(folder):
                    is_own = segment.identity == identity
                    _purge(folder / segment.name, deleted, is_own=is_own)
                kept = kept.with_more(identity, newest, deleted)
                folder.mkdir(parents=True, exist_ok=True)
                kept.write(folder / DELETED)
            _join_small(folder, identity)
    for segment in _segments(folder):
        if database is None or segment.identity != database.identity:
            through[segment.identity] = max(through.get(segment.identity, 0), segment.through)
    return Taken([folder / one.name for one in _segments(folder)], through, kept.users)


@dataclass(frozen=True)
class _Deleted:
    """Users whose data was deleted, kept beside the files: a log has their rows for ever."""

    through: dict[str, int]  # by database, the newest deletion that the files know
    users: dict[bytes, int]  # microseconds since 1970

    @classmethod
    def read(cls, path: Path) -> "_Deleted":
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError:
            return cls({}, {})
        users = {bytes.fromhex(user): time for user, time in found["users"].items()}
        return cls(found["through"], users)

    def write(self, path: Path) -> None:
        users = {user.hex(): time for user, time in self.users.items()}
        replace_text(path, json.dumps({"through": self.through, "users": users}))

    def with_more(
        self, identity: str, newest: int, deleted: Mapping[bytes, Deletion]
    ) -> "_Deleted":
        times = {user: one.time for user, one in deleted.items()}
        latest = {user: max(time, self.users.get(user, 0)) for user, time in times.items()}
        return _Deleted({**self.through, identity: newest}, {**self.users, **latest})


class _Segment(NamedTuple):
    """What the name of a file says."""

    identity: str
    after: int
    through: int

    @property
    def name(self) -> str:
        return f"{self.identity}-{self.after:012}-{self.through:012}.parquet"


def _segments(folder: Path) -> list[_Segment]:
    """Return the files that there are: of a database after the other, in the order of numbers.

    Those that another one has taken in, and that a crash has left, are not among them.
    """
    if not folder.is_dir():
        return []
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    all_ = [_Segment(one[1], int(one[2]), int(one[3])) for one in found if one]
    kept: list[_Segment] = []
    for one in sorted(all_, key=lambda one: (one.identity, one.after, -one.through)):
        last = kept[-1] if kept else None
        if last is None or last.identity != one.identity or one.through > last.through:
            kept.append(one)
    return kept


def _join_small(folder: Path, identity: str) -> None:
    """Make one file of many, as refreshes leave: a log of thousands of files is read slowly."""
    own = [one for one in _segments(folder) if one.identity == identity]
    if len(own) < _MOST_FILES:
        return
    joined = _Segment(identity, own[0].after, own[-1].through)
    with replaced(folder / joined.name) as aside, pq.ParquetWriter(aside, _SCHEMA) as writer:
        for one in own:
            writer.write_table(pq.read_table(folder / one.name))
    for one in own:  # a crash before leaves files that the joined one covers
        (folder / one.name).unlink(missing_ok=True)


def _write(folder: Path, segment: _Segment, database: EventDatabase) -> None:
    batches = database.batches(segment.after, segment.through)
    first = next(batches, None)
    if first is None:  # deletions alone
        return
    folder.mkdir(parents=True, exist_ok=True)
    with replaced(folder / segment.name) as aside, pq.ParquetWriter(aside, _SCHEMA) as writer:
        for batch in chain([first], batches):
            writer.write_batch(_as_batch(batch))


def _as_batch(events: list[Kept]) -> pa.RecordBatch:
    columns = zip(*_in_time(events), strict=True)
    arrays = [pa.array(one, field.type) for one, field in zip(columns, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _in_time(events: list[Kept]) -> list[Kept]:
    """Give what a clock that ran ahead has put after tomorrow the time of now.

    A log rejects such events, and a night stops at a file that has many of them.
    """
    now = int(time.time() * 1_000_000)
    return [one if one.time <= now + _DAY else one._replace(time=now) for one in events]


def _purge(path: Path, deleted: Mapping[bytes, Deletion], *, is_own: bool) -> None:
    """Write a file again without what deleted users did before."""
    table = pq.read_table(path)
    users = table["user_id"].combine_chunks().dictionary_encode()
    numbers = [deleted.get(key_of(one)) for one in users.dictionary.to_pylist()]
    if not any(numbers):
        return
    # What a user does after the deletion is kept; events of another database were before it.
    until = np.array([0 if one is None else one.number if is_own else _ALL for one in numbers])
    is_kept = table["number"].to_numpy() > until[users.indices.to_numpy()]
    with replaced(path) as aside:
        pq.write_table(table.filter(pa.array(is_kept)), aside)
