"""A hash table from ids to rows that can be kept in files and mapped into memory."""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_AT_ONCE = 1 << 18  # ids that are spelled out as Python strings at a time
_SLOTS_AT_ONCE = 8  # a line of the cache; nearly always enough
_ROW_BITS, _ROW = 32, (1 << 32) - 1
_UPPER = (1 << 31) - 1  # of the upper half of a hash, so that no slot is negative but a free one


class Part(Protocol):
    """Numbers or bytes of which parts are read: a memoryview, or a part of a file."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> memoryview:
        """Return what is there of a part, as slices of a list have it."""
        ...


class IdReader:
    """One id at a time, ten times as fast as Arrow's own scalars.

    Parameters
    ----------
    numbers : Part
        Of int64: the ids, or where the text of each begins, and where the last ends.
    text : Part, optional
        Of bytes.
    n : int
    """

    def __init__(self, numbers: Part, text: Part | None, n: int) -> None:
        self._numbers, self._text, self._n = numbers, text, n

    @classmethod
    def of(cls, values: pa.Array) -> "IdReader":
        """Read ids in memory, of large_string or int64, without nulls."""
        _, first, *rest = values.buffers()
        numbers = memoryview(first if first is not None else b"").cast("q")[values.offset :]
        text = memoryview(rest[0] if rest[0] is not None else b"") if rest else None
        return cls(numbers, text, len(values))

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, row: int) -> str | int:
        if not 0 <= row < self._n:
            raise IndexError(f"row {row} of {self._n} ids")
        if self._text is None:
            return int(self._numbers[row : row + 1][0])
        start, end = self._numbers[row : row + 2]
        return str(self._text[start:end], "utf-8", "replace")


@dataclass(frozen=True, eq=False)
class IdTable:
    """Rows by the hash of their id as text, with linear probing.

    Parameters
    ----------
    slots : ndarray of int64, shape (n_slots,)
        From the place that the lower half of a hash says on, an id is in the first slot that is
        free or holds the upper half of the hash above its row. Free ones are -1; the last is.
    """

    slots: NDArray[np.int64]
    _slots: memoryview = field(init=False, repr=False)

    @classmethod
    def of(cls, values: pa.Array) -> "IdTable":
        """Make the table of some ids."""
        n = len(values)
        hashes = np.empty(n, dtype=np.uint64)
        for first in range(0, n, _AT_ONCE):
            part = values.slice(first, _AT_ONCE).to_pylist()
            hashes[first : first + len(part)] = np.fromiter(map(_hash, part), np.uint64, len(part))
        n_places = places_for(n)
        wanted = (hashes & np.uint64(n_places - 1)).astype(np.int64)
        order = np.argsort(wanted, kind="stable")
        # Each takes its place, or the one behind the last that was taken.
        number = np.arange(n)
        places = np.maximum.accumulate(wanted[order] - number) + number
        slots = np.full(max(n_places, int(places[-1]) + 1 if n else 0) + 1, -1, dtype=np.int64)
        upper = (hashes[order] >> np.uint64(_ROW_BITS)) & np.uint64(_UPPER)
        slots[places] = (upper << np.uint64(_ROW_BITS)).astype(np.int64) | order
        return cls(slots)

    def __post_init__(self) -> None:
        # NumPy takes several times as long to hand out one number.
        object.__setattr__(self, "_slots", memoryview(self.slots.data))

    def find(self, id_: str | int, ids: IdReader) -> int | None:
        """Return the row of an id, spelled as `ids` has it, or None."""
        return find_row(id_, ids, self._slots)


def find_row(id_: str | int, ids: IdReader, slots: Part) -> int | None:
    """Return the row of an id by the slots of a table, or None; see `IdTable`."""
    hash_ = _hash(id_)
    upper = (hash_ >> _ROW_BITS) & _UPPER
    for first in range(hash_ & (places_for(len(ids)) - 1), len(slots), _SLOTS_AT_ONCE):
        for slot in slots[first : first + _SLOTS_AT_ONCE]:
            if slot < 0:
                return None
            row = slot & _ROW
            if slot >> _ROW_BITS == upper and row < len(ids) and ids[row] == id_:
                return int(row)
    return None


def places_for(n: int) -> int:
    """Return the places that n ids are spread over: a power of two, 1.25 times as many or more."""
    return 1 << max((5 * n) // 4, 1).bit_length()


def _hash(id_: str | int) -> int:
    text = str(id_).encode(errors="surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")
