"""A hash table from ids to rows that can be kept in files and mapped into memory."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import Struct
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_AT_ONCE = 1 << 18  # ids that are spelled out as Python strings at a time
_SLOTS_AT_ONCE = 8  # two lines of the cache; nearly always enough
_PLACE_AND_CHECK = Struct("<Qq")


class Slots(Protocol):
    """The numbers of a table, of which parts are read: a memoryview, or a part of a file."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> memoryview:
        """Return what is there of a part, as slices of a list have it."""
        ...


class IdReader:
    """Ids in memory, one at a time ten times as fast as Arrow's own scalars.

    Parameters
    ----------
    values : pyarrow.Array
        Of large_string or int64, without nulls.
    """

    def __init__(self, values: pa.Array) -> None:
        _, first, *rest = values.buffers()
        self._numbers = memoryview(first if first is not None else b"").cast("q")[values.offset :]
        self._text = memoryview(rest[0] if rest[0] is not None else b"") if rest else None
        self._n = len(values)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, row: int) -> str | int:
        if not 0 <= row < self._n:
            raise IndexError(f"row {row} of {self._n} ids")
        return self.listed((row,))[0]

    def listed(self, rows: Iterable[int]) -> list[str | int]:
        """Return the ids of some rows, which must all be there: negative ones go wrong."""
        numbers, text = self._numbers, self._text
        if text is None:
            return [numbers[row] for row in rows]
        return [str(text[numbers[row] : numbers[row + 1]], "utf-8", "replace") for row in rows]


@dataclass(frozen=True, eq=False)
class IdTable:
    """Rows by the hash of their id as text, with linear probing.

    The hash has 128 bits: the first half says where to look, the second stands beside the row and
    for the id, which is not looked at again. Among ten million ids an unknown one is taken for
    another once in 10^18 look-ups, and nobody knows how to make such an id on purpose.

    Parameters
    ----------
    slots : ndarray of int64, shape (n_slots, 2)
        From its place on, an id is in the first slot that is free or holds the second half of
        its hash, and its row. Rows of free ones are -1; the last is free.
    """

    slots: NDArray[np.int64]
    _numbers: memoryview = field(init=False, repr=False)

    @classmethod
    def of(cls, values: pa.Array) -> "IdTable":
        """Make the table of some ids."""
        n = len(values)
        halves = np.empty((n, 2), dtype=np.int64)
        for first in range(0, n, _AT_ONCE):
            part = values.slice(first, _AT_ONCE).to_pylist()
            hashes = np.frombuffer(b"".join(map(_hash, part)), dtype="<i8")
            halves[first : first + len(part)] = hashes.reshape(-1, 2)
        n_places = places_for(n)
        wanted = halves[:, 0] & (n_places - 1)
        order = np.argsort(wanted, kind="stable")
        # Each takes its place, or the one behind the last that was taken.
        number = np.arange(n)
        places = np.maximum.accumulate(wanted[order] - number) + number
        n_slots = max(n_places, int(places[-1]) + 1 if n else 0) + 1
        slots = np.full((n_slots, 2), -1, dtype=np.int64)
        slots[places, 0], slots[places, 1] = halves[order, 1], order
        return cls(slots)

    def __post_init__(self) -> None:
        # NumPy takes several times as long to hand out one number.
        object.__setattr__(self, "_numbers", memoryview(self.slots.reshape(-1).data))

    def find(self, id_: str | int, n: int) -> int | None:
        """Return the row of one of n ids, spelled as they are, or None."""
        return find_row(id_, n, self._numbers)


def find_row(id_: str | int, n: int, slots: Slots) -> int | None:
    """Return the row of one of n ids by the slots of their table, or None; see `IdTable`."""
    place, check = _PLACE_AND_CHECK.unpack(_hash(id_))
    for first in range(2 * (place & (places_for(n) - 1)), len(slots), 2 * _SLOTS_AT_ONCE):
        numbers = slots[first : first + 2 * _SLOTS_AT_ONCE].tolist()
        for found, row in zip(numbers[::2], numbers[1::2], strict=True):
            if row < 0:
                return None
            if found == check:
                return int(row) if row < n else None
    return None


def places_for(n: int) -> int:
    """Return the places that n ids are spread over: a power of two, 1.25 times as many or more."""
    return 1 << max((5 * n) // 4, 1).bit_length()


def _hash(id_: str | int) -> bytes:
    return blake2b(str(id_).encode(errors="surrogatepass"), digest_size=16).digest()
