"""What a manifest keeps of a log: counts, dates, and a fingerprint of the events."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import briefly
from recsys.base.mapped import ascends, parts
from recsys.base.splitmix import GOLDEN, splitmix64
from recsys.logs.classify import SECONDS_PER_DAY
from recsys.logs.interactions import Interactions
from recsys.logs.row_counts import RowCounts
from recsys.vectors import Id, Ids

MOST_DAYS = 60  # eight weeks, and a bit: enough to know what a Tuesday is like
_EVENTS_AT_ONCE = 1 << 18  # whose numbers stay in a cache
_NO_TIME = GOLDEN
_ABOVE_0, _BELOW_0 = np.uint32(0), np.uint32(1 << 31)  # the bit of the sign of a weight

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, repr=False)
class LogSummary:
    """What a manifest keeps of a log, so that the next log can be compared to it.

    A field is None where the manifest of an older release does not hold it.

    Parameters
    ----------
    events, users, items : int
        How many; dislikes are no events.
    dislikes : int
        Events that say that a user does not want an item.
    mean_dislike : float
        Confidence of a dislike, before decay; 0 where there are none.
    fingerprint : str
        The same for the same events, see `fingerprint_of`.
    window : (int, int) or None
        The first and the last second since 1970; None without time.
    days : mapping of str to int
        Events by day in UTC, of the last 60 days of the log that have any; empty without time.
    hours : mapping of str to 24 int
        The same by hour in UTC; empty also where an older release did not write it.
    duplicates : int
        Events that repeat another's user, item and, where there is time, second.
    mean_weight : float
        Of an event, before decay.
    busiest_user, busiest_item : int
        Events of the one that has most, whose id is `busiest_user_id`, `busiest_item_id`.
    row_counts : RowCounts
        Of the rows read; ``"account"`` in JSON.
    """

    events: int | None = None
    fingerprint: str | None = None
    users: int | None = None
    items: int | None = None
    window: tuple[int, int] | None = None
    days: Mapping[str, int] = field(default_factory=dict)
    hours: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    duplicates: int | None = None
    mean_weight: float | None = None
    busiest_user: int | None = None
    busiest_item: int | None = None
    busiest_user_id: Id | None = None
    busiest_item_id: Id | None = None
    row_counts: RowCounts | None = None
    dislikes: int | None = None
    mean_dislike: float | None = None

    def __repr__(self) -> str:
        return f"LogSummary({self.events} events, {self.users} users, {self.items} items)"

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, for a manifest."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        counts = found.pop("row_counts")
        return found | {
            "window": None if self.window is None else list(self.window),
            "days": dict(self.days),
            "hours": {day: " ".join(map(str, events)) for day, events in self.hours.items()},
            "account": None if counts is None else counts.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "LogSummary":
        """Read what a manifest holds; what a newer release adds is left out."""
        known = {one.name: data[one.name] for one in fields(cls) if one.name in data}
        window, counts = data.get("window"), data.get("account")
        return cls(
            **known
            | {
                "hours": {day: _of_a_day(text) for day, text in data.get("hours", {}).items()},
                "window": None if window is None else (window[0], window[1]),
                "row_counts": None if counts is None else RowCounts.from_dict(counts),
            }
        )


def summarize(log: Interactions) -> LogSummary:
    """Return what to remember of a log."""
    from recsys.base.packing import counts  # compiled, which not every command needs

    timestamp = log.timestamp
    hours = {} if timestamp is None else _hours_of(timestamp)
    of_user, of_item = counts(log.user_idx, len(log.users)), counts(log.item_idx, len(log.items))
    return LogSummary(
        events=len(log),
        fingerprint=fingerprint_of(log),
        users=len(log.users),
        items=len(log.items),
        window=None if timestamp is None else _window(timestamp),
        days=by_day(hours),
        hours=by_hour(hours),
        duplicates=_duplicates(log),
        mean_weight=_mean(log.weight),
        busiest_user=int(of_user.max(initial=0)),
        busiest_item=int(of_item.max(initial=0)),
        busiest_user_id=log.users[int(of_user.argmax())] if len(log) else None,
        busiest_item_id=log.items[int(of_item.argmax())] if len(log) else None,
        row_counts=log.row_counts,
        dislikes=log.n_rows - len(log),
        mean_dislike=0.0 if log.dislikes is None else _mean(log.dislikes.weight),
    )


def _mean(weight: NDArray[np.float32]) -> float:
    return float(weight.mean(dtype=np.float64)) if len(weight) else 0.0


def _window(timestamp: NDArray[np.int64]) -> tuple[int, int] | None:
    return (int(timestamp.min()), int(timestamp.max())) if len(timestamp) else None


def by_day(hours: Mapping[int, int]) -> dict[str, int]:
    """Return the events of each of the last days, of those of each hour since 1970."""
    return {day: sum(events) for day, events in by_hour(hours).items()}


def by_hour(hours: Mapping[int, int]) -> dict[str, tuple[int, ...]]:
    """Return the events of the 24 hours of each of the last days, likewise."""
    days = sorted({hour // 24 for hour in hours})
    late = [day for day in days if day > days[-1] - MOST_DAYS]
    return {
        f"{datetime.fromtimestamp(day * SECONDS_PER_DAY, UTC):%Y-%m-%d}": tuple(
            hours.get(24 * day + hour, 0) for hour in range(24)
        )
        for day in late
    }


def _hours_of(timestamp: NDArray[np.int64]) -> Counter[int]:
    """Count the events of each hour."""
    found: Counter[int] = Counter()
    for part in parts(len(timestamp)):
        hours, numbers = np.unique(timestamp[part] // 3600, return_counts=True)
        found.update(dict(zip(hours.tolist(), numbers.tolist(), strict=True)))
    return found


def _of_a_day(text: str) -> tuple[int, ...]:
    events = tuple(map(int, text.split()))
    if len(events) != 24:
        raise ValueError(f"expected the events of 24 hours, got {briefly(text)}")
    return events


def _duplicates(log: Interactions) -> int:
    """Count the events that are the same as another one."""
    from recsys.base.packing import n_repeats, packed_rows  # compiled, likewise

    if log.timestamp is None:
        return len(log) - int(replace(log, dislikes=None).user_items().nnz)
    if not ascends(log.timestamp):
        log = log.select(np.argsort(log.timestamp, kind="stable"))
    timestamp = log.require_timestamp("duplicates")
    together = packed_rows(log.user_idx, log.item_idx, timestamp, log.shape, "all")
    return sum(n_repeats(rows) for rows in together)


def fingerprint_of(log: Interactions) -> str:
    """Return the fingerprint of the events of a log.

    It depends on the user id, item id, weight and time of every event, dislikes among them, and on
    how often each occurs, not on their order, nor on the rows that users and items happen to have.
    Events are hashed to 64 bits and the hashes added up, as is usual for multisets: it shows that
    data differs, and does not resist forgery. 16 hexadecimal digits.
    """
    users, items = _of_ids(log.users), _of_ids(log.items)
    total = _total_of(log, users, items)
    if log.dislikes is not None:
        total += _total_of(log.dislikes, users, items, _BELOW_0)
    text = f"{log.n_rows} {total[0]} {total[1]}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _total_of(
    log: Interactions, users: Hashes, items: Hashes, sign: np.uint32 = _ABOVE_0
) -> Hashes:
    """Add up two hashes of every event; `sign` is the bit of a weight below 0."""
    time = None if log.timestamp is None else log.timestamp.view(np.uint64)
    total = np.zeros(2, dtype=np.uint64)
    for first in range(0, len(log), _EVENTS_AT_ONCE):
        some = slice(first, first + _EVENTS_AT_ONCE)
        event = splitmix64(users[log.user_idx[some]])
        event = splitmix64(event ^ items[log.item_idx[some]])
        event = splitmix64(event ^ (log.weight[some].view(np.uint32) | sign))
        event = splitmix64(event ^ (_NO_TIME if time is None else time[some]))
        total += event.sum(), splitmix64(event).sum()
    return total


def _of_ids(ids: Ids) -> Hashes:
    if ids.are_integers:
        return splitmix64(np.asarray(ids.values).view(np.uint64))
    return _of_texts(ids.values)


def _of_texts(texts: pa.Array) -> Hashes:
    """Return FNV-1a of the UTF-8 bytes of each text, mixed; one position of all at a time."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(data or b"", np.uint8)
    hashes = np.full(len(texts), 0xCBF29CE484222325, dtype=np.uint64)
    position, left = ends[:-1].copy(), np.flatnonzero(ends[1:] > ends[:-1])
    while len(left):
        hashes[left] = (hashes[left] ^ content[position[left]]) * np.uint64(0x100000001B3)
        position[left] += 1
        left = left[position[left] < ends[1:][left]]
    return splitmix64(hashes)
