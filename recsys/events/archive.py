"""Files of events in a store: what a night has taken from the database, and reads with its log.

``events/log/<identity>-<after>-<through>.parquet`` holds the events of a database whose numbers are
above `after` and at most `through`. The name is the only account of what was taken: a night that is
killed has written a file or has not, so no event is read twice and none is left out. Columns:
number, user_id, item_id, timestamp, event, value.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.base.durable import errors_of_writing, replace_text, replaced
from recsys.events.event import Deletion, EventDatabase, Kept, key_of

FOLDER = Path("events", "log")
_NAME = re.compile(r"([0-9a-f]+)-(\d{12})-(\d{12})\.parquet")
_PURGED = "deleted.json"
_ALL = np.iinfo(np.int64).max
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
        made of them keeps it, see `Taken.to_dict`.
    deleted : dict of bytes to int
        Users whose data was deleted, by `key_of`, and when: microseconds since 1970.
    """

    files: list[Path]
    through: dict[str, int]
    deleted: dict[bytes, int]

    def to_dict(self) -> dict[str, int]:
        """Return what a manifest keeps under "live"."""
        return dict(self.through)


NOTHING = Taken([], {}, {})
"""Where no events are taken."""


def through_of(data: Mapping[str, Any], identity: str) -> int:
    """Return the number up to which a version holds the events of a database.

    Parameters
    ----------
    data : mapping
        Of its manifest.
    """
    found = data.get("live")
    number = found.get(identity, 0) if isinstance(found, Mapping) else 0
    return number if isinstance(number, int) else 0


def take(store: Path, database: EventDatabase) -> Taken:
    """Bring the events of a database to files, and delete from these what was deleted.

    One process at a time does, as a night that locks the store. The events stay in the database
    until they are dropped.

    Raises
    ------
    EventsError
        If the database is not reached.
    StoreError
        If the store cannot be written.
    """
    folder, identity = store / FOLDER, database.identity
    through = database.last()  # before anything is read: what comes later is for the next night
    with errors_of_writing(store, "keep events in files"):
        after = max(
            (one.through for one in _segments(folder) if one.identity == identity), default=0
        )
        if after < through:
            _write(folder, _Segment(identity, after, through), database)
        deleted = database.deletions()  # after that, so none of them is in the new file
        _purge(folder, identity, deleted)
    times = {user: deletion.time for user, deletion in deleted.items()}
    return Taken([folder / one.name for one in _segments(folder)], {identity: through}, times)


class _Segment(NamedTuple):
    """What the name of a file says."""

    identity: str
    after: int
    through: int

    @property
    def name(self) -> str:
        return f"{self.identity}-{self.after:012}-{self.through:012}.parquet"


def _segments(folder: Path) -> list[_Segment]:
    """Return the files that there are: of a database after the other, in the order of numbers."""
    if not folder.is_dir():
        return []
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(_Segment(one[1], int(one[2]), int(one[3])) for one in found if one)


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
    columns = zip(*events, strict=True)
    arrays = [pa.array(one, field.type) for one, field in zip(columns, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)


def _purge(folder: Path, identity: str, deleted: Mapping[bytes, Deletion]) -> None:
    """Write the files again that hold events of deleted users, once for each deletion."""
    done_path = folder / _PURGED
    done = json.loads(done_path.read_text()).get(identity, 0) if done_path.exists() else 0
    newest = max((one.number for one in deleted.values()), default=0)
    if newest <= done or not folder.is_dir():
        return
    for segment in _segments(folder):
        is_own = segment.identity == identity
        _purge_file(folder / segment.name, deleted, is_own=is_own)
    replace_text(done_path, json.dumps({identity: newest}))


def _purge_file(path: Path, deleted: Mapping[bytes, Deletion], *, is_own: bool) -> None:
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
