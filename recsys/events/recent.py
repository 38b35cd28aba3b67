"""Which users have done something lately, in memory that the processes of one machine share.

A table of numbers: in the slot of a user stands the newest number of an event, or of a deletion, of
any user of that slot. Where it is no larger than the number up to which a version holds the events,
the user has done nothing since: so a plain list costs one look at the memory and no query. Users
share slots: a larger number only says that the database is worth asking.
"""

import fcntl
import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from zlib import crc32

from recsys.base.durable import replaced
from recsys.base.locks import only_writer
from recsys.events.event import EventDatabase, key_of

_N_SLOTS = 1 << 20
_HEADER = 8  # numbers: seen, floor, and what tells the start of the machine and the database
_SEEN, _FLOOR, _OF = 0, 1, 2
_N_BYTES = 8 * (_HEADER + _N_SLOTS)
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Recent:
    """The table of one database.

    Parameters
    ----------
    database : EventDatabase
    path : path, optional
        A file that the processes of this machine share; it is made, and made anew after a restart
        of the machine, which can have lost a part of it. Default: of this process alone.
    """

    def __init__(self, database: EventDatabase, path: Path | None = None) -> None:
        self._database, self._lock, self._descriptor = database, Lock(), -1
        of = _signature(database.identity)
        if path is None:
            memory = mmap.mmap(-1, _N_BYTES)
        else:
            with only_writer(path.with_name(f"{path.name}-lock")):  # all must have the same one
                if not _is_of(path, of):
                    _make(path, of, database.last())
                self._descriptor = os.open(path, os.O_RDWR)
            memory = mmap.mmap(self._descriptor, _N_BYTES)
        self._numbers = memoryview(memory).cast("q")
        self._slots = self._numbers[_HEADER:]
        if path is None:
            self._numbers[_SEEN] = self._numbers[_FLOOR] = database.last()

    def newest(self, user_id: str) -> int:
        """Return a number that no event or deletion of a user exceeds; of those looked at."""
        try:
            return self._slots[crc32(user_id.encode()) & (_N_SLOTS - 1)]
        except UnicodeEncodeError:  # half a character, which no event has
            return 0

    def mark(self, users: Iterable[tuple[str, int]], before: int, last: int) -> None:
        """Note what users did, by its numbers; `last` follows on `before` without a gap."""
        self._mark(((key_of(user), number) for user, number in users), before, last)

    def refresh(self, through: int) -> None:
        """Note what other machines did, and all that a version which holds less does not hold."""
        database = self._database
        floor = self._numbers[_FLOOR]
        if through < floor:
            newest = database.newest(through, floor)
            with self._locked():
                self._put(newest)
                self._numbers[_FLOOR] = min(self._numbers[_FLOOR], through)
        seen = self._numbers[_SEEN]
        last = database.last()
        if last > seen:
            self._mark(database.newest(seen, last), seen, last)

    def _mark(self, newest: Iterable[tuple[bytes, int]], before: int, last: int) -> None:
        with self._locked():
            self._put(newest)
            if self._numbers[_SEEN] >= before:
                self._numbers[_SEEN] = max(self._numbers[_SEEN], last)

    def _put(self, newest: Iterable[tuple[bytes, int]]) -> None:
        for key, number in newest:
            slot = int.from_bytes(key[:4], "little") & (_N_SLOTS - 1)
            self._slots[slot] = max(self._slots[slot], number)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            if self._descriptor >= 0:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                if self._descriptor >= 0:
                    fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


def _signature(identity: str) -> int:
    """Return what a table has that was made since the machine started, and of this database."""
    try:
        boot = _BOOT.read_bytes()
    except OSError:
        boot = b""
    return int.from_bytes(key_of(f"{boot!r} {identity}")[4:11], "little")


def _is_of(path: Path, of: int) -> bool:
    try:
        with path.open("rb") as file:
            header = file.read(8 * _HEADER)
        is_whole = path.stat().st_size == _N_BYTES
    except OSError:
        return False
    return is_whole and memoryview(header).cast("q")[_OF] == of


def _make(path: Path, of: int, last: int) -> None:
    """Make an empty table; a process that has one of before goes on with it, and opens this one."""
    with replaced(path) as aside, aside.open("wb") as file:
        header = [0] * _HEADER
        header[_SEEN] = header[_FLOOR] = last
        header[_OF] = of
        file.write(b"".join(number.to_bytes(8, "little") for number in header))
        file.flush()
        os.posix_fallocate(file.fileno(), 0, _N_BYTES)  # a hole on a full disk would be a SIGBUS
