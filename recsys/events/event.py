"""An event, and what a database of events answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple, Protocol
from zlib import crc32

if TYPE_CHECKING:
    from recsys.events.recent import Recent

_HASH_BYTES = 12


class Event(NamedTuple):
    """Something that a user did.

    Parameters
    ----------
    user_id, item_id : str
        As text, also where the log has integers.
    time : int
        Microseconds since 1970.
    event : str, optional
        Its type, as the log has types.
    value : float, optional
        As the log has values, such as a rating.
    event_id : str, optional
        Who sends an event of this id again is answered, and nothing is kept twice.
    """

    user_id: str
    item_id: str
    time: int
    event: str | None = None
    value: float | None = None
    event_id: str | None = None


class Kept(NamedTuple):
    """An event with its number: the order in which events became durable."""

    number: int
    user_id: str
    item_id: str
    time: int
    event: str | None
    value: float | None


class Deletion(NamedTuple):
    """When the data of a user was deleted: its number, and microseconds since 1970."""

    number: int
    time: int


@dataclass(frozen=True)
class Added:
    """What became of some events.

    Parameters
    ----------
    last : int
        The number of the newest event, or deletion, of the database.
    is_new : list of bool
        Of each event; False for one that was there before.
    others : list of int
        Positions of events whose id belongs to another event; they are not kept.
    kept : list of Kept
        The new ones.
    """

    last: int
    is_new: list[bool]
    others: list[int] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)


class OfUser(NamedTuple):
    """The events of a user in order, and the number of the deletion of the user's data, or 0."""

    kept: list[Kept]
    deleted: int


@dataclass(frozen=True)
class Changes:
    """What has happened after a number.

    Parameters
    ----------
    last : int
        All up to this number is in it.
    kept : list of Kept
    deleted : dict of bytes to int
        Users whose data was deleted, by `key_of`, and the number of the deletion.
    """

    last: int
    kept: list[Kept]
    deleted: dict[bytes, int]


class EventDatabase(Protocol):
    """Events between two nights. Every number is larger than all that were committed before it.

    An `EventsError` by each method where the database cannot be reached or its disk is full.
    """

    @property
    def identity(self) -> str:
        """What tells it from another, also from one that took its place."""
        ...

    @property
    def recent(self) -> "Recent":
        """Which users have done something lately."""
        ...

    def last(self) -> int:
        """Return the number of the newest event or deletion."""
        ...

    def n_events(self) -> int:
        """Return how many events it holds."""
        ...

    def go_on_after(self, number: int) -> None:
        """Give what comes now larger numbers than this one."""
        ...

    def add(self, events: Sequence[Event]) -> Added:
        """Keep events; they are durable when this returns."""
        ...

    def delete_user(self, user_id: str, not_before: int = 0) -> int:
        """Delete the events of a user, remember that, and return how many there were.

        What is remembered is when: by the clock, and no earlier than some microseconds since 1970,
        as a clock that was set back would keep what a log has of the user.
        """
        ...

    def changes(self, after: int) -> Changes:
        """Return the events and deletions of larger numbers that are still there."""
        ...

    def deletions(self) -> dict[bytes, Deletion]:
        """Return the latest deletion of each user, by `key_of`."""
        ...

    def of_user(self, user_id: str) -> OfUser:
        """Return all events of a user, and whether their data was deleted."""
        ...

    def newest(self, after: int, through: int) -> list[tuple[bytes, int]]:
        """Return users by `key_of`, and the largest number of each among some numbers."""
        ...

    def batches(self, after: int, through: int) -> Iterator[list[Kept]]:
        """Yield the events of some numbers, in order."""
        ...

    def drop(self, through: int) -> int:
        """Delete events up to a number, which files hold; return how many."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


def key_of(user_id: str) -> bytes:
    """Return what a deletion keeps of a user: a hash, by which an id is known again.

    The first four bytes are a cheaper one, by which `Recent` has its slots.

    Examples
    --------
    >>> len(key_of("u42"))
    16
    """
    text = user_id.encode()
    return crc32(text).to_bytes(4, "little") + blake2b(text, digest_size=_HASH_BYTES).digest()


def id_key(event_id: str | None) -> bytes | None:
    """Return what is kept of the id of an event."""
    return None if event_id is None else key_of(event_id)
