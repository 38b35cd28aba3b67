"""A fingerprint of interactions: equal for the same events in any order, and hardly for others."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.logs.interactions import Interactions
from recsys.vectors import Ids

_EVENTS_AT_ONCE = 1 << 18  # whose numbers stay in a cache
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 by the golden ratio
_NO_TIME = _GOLDEN

Hashes = NDArray[np.uint64]


def fingerprint_of(log: Interactions) -> str:
    """Return the fingerprint of the events of a log.

    It depends on the user id, item id, weight and time of every event and on how often each occurs,
    not on their order, nor on the rows that users and items happen to have. Events are hashed to 64
    bits and the hashes added up, as is usual for multisets: it shows that data differs, and does
    not resist who would forge it.

    Parameters
    ----------
    log : Interactions

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    users, items = _of_ids(log.users), _of_ids(log.items)
    time = None if log.timestamp is None else log.timestamp.view(np.uint64)
    total = np.zeros(2, dtype=np.uint64)
    for first in range(0, len(log), _EVENTS_AT_ONCE):
        part = slice(first, first + _EVENTS_AT_ONCE)
        event = _mixed(users[log.user_idx[part]])
        event = _mixed(event ^ items[log.item_idx[part]])
        event = _mixed(event ^ log.weight[part].view(np.uint32))
        event = _mixed(event ^ (_NO_TIME if time is None else time[part]))
        total += event.sum(), _mixed(event).sum()
    text = f"{len(log)} {total[0]} {total[1]}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _of_ids(ids: Ids) -> Hashes:
    if ids.are_integers:
        return _mixed(np.asarray(ids.values).view(np.uint64))
    return _of_texts(ids.values)


def _of_texts(texts: pa.Array) -> Hashes:
    """Return FNV-1a of the UTF-8 bytes of each text, mixed; one position of all at a time."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = np.frombuffer(data or b"", np.uint8)
    hashes = np.full(len(texts), 0xCBF29CE484222325, dtype=np.uint64)
    place, left = ends[:-1].copy(), np.flatnonzero(ends[1:] > ends[:-1])
    while len(left):
        hashes[left] = (hashes[left] ^ content[place[left]]) * np.uint64(0x100000001B3)
        place[left] += 1
        left = left[place[left] < ends[1:][left]]
    return _mixed(hashes)


def _mixed(numbers: NDArray[Any]) -> Hashes:
    """Return the finalizer of SplitMix64 of each number (Steele et al., OOPSLA 2014)."""
    mixed: Hashes = numbers + _GOLDEN
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
