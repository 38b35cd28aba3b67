"""A hash table from ids to rows, which can be stored in a file and read from it in place."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from struct import Struct
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_IDS_PER_BLOCK = 1 << 18  # that are Python strings at a time
_SLOTS_PER_READ = 8  # two lines of the cache; nearly always enough
_HOME_AND_CHECK = Struct("<Qq")


class Slots(Protocol):
    """The numbers of a hash table, read in slices: a memoryview, or an array in a file."""

    def __len__(self) -> int: ...

    def __getitem__(self, numbers: slice, /) -> memoryview:
        """Return a slice, which ends with the numbers as that of a list does."""
        ...


@dataclass(frozen=True, eq=False)
class IdTable:
    """A hash table from ids, as text, to rows, with linear probing.

    The hash has 128 bits: the first half gives the home slot, the second is stored with the row
    and compared in place of the id, so that an unknown id is not looked for among the ids. Among
    ten million ids an unknown one is taken for another once in 10^18 look-ups, and no way is known
    to make such an id on purpose. Whoever reads the table from a file compares the id as well.

    Parameters
    ----------
    slots : ndarray of int64, shape (n_slots, 2)
        The second half of the hash, and the row; -1 for the row of a free slot. An id is in the
        first slot from its home slot on that was free. The last slot is free.
    """

    slots: NDArray[np.int64]
    _numbers: memoryview = field(init=False, repr=False)

    @classmethod
    def of(cls, values: pa.Array) -> "IdTable":
        """Build the table of some ids."""
        n = len(values)
        halves = np.empty((n, 2), dtype=np.int64)
        for first in range(0, n, _IDS_PER_BLOCK):
            block = values.slice(first, _IDS_PER_BLOCK).to_pylist()
            hashes = np.frombuffer(b"".join(map(_hash, block)), dtype="<i8")
            halves[first : first + len(block)] = hashes.reshape(-1, 2)
        n_homes = n_home_slots(n)
        home = halves[:, 0] & (n_homes - 1)
        order = np.argsort(home, kind="stable")
        # Each takes its home slot, or the one after the last that was taken.
        number = np.arange(n)
        taken = np.maximum.accumulate(home[order] - number) + number
        n_slots = max(n_homes, int(taken[-1]) + 1 if n else 0) + 1
        slots = np.full((n_slots, 2), -1, dtype=np.int64)
        slots[taken, 0], slots[taken, 1] = halves[order, 1], order
        return cls(slots)

    def __post_init__(self) -> None:
        # NumPy takes several times as long to return one number.
        object.__setattr__(self, "_numbers", memoryview(self.slots.reshape(-1).data))

    def find(self, id_: str | int, n: int) -> int | None:
        """Return the row of one of n ids, spelled as in the table, or None."""
        return find_row(id_, n, self._numbers)

    def find_many(self, ids: Iterable[str | int], n: int) -> NDArray[np.int64]:
        """Return the row of each of some of n ids, -1 for an unknown one: all at once."""
        hashes = np.frombuffer(b"".join(map(_hash, ids)), dtype="<i8").reshape(-1, 2)
        slot, found = hashes[:, 0] & (n_home_slots(n) - 1), np.full(len(hashes), -1)
        left = np.arange(len(hashes))
        while len(left := left[slot[left] < len(self.slots)]):
            checks, rows = self.slots[slot[left]].T
            is_there = (rows >= 0) & (checks == hashes[left, 1])
            found[left[is_there]] = rows[is_there]
            left = left[(rows >= 0) & ~is_there]
            slot[left] += 1
        found[found >= n] = -1
        return found


def find_row(id_: str | int, n: int, slots: Slots) -> int | None:
    """Return the row of one of n ids by the slots of their table, or None; see `IdTable`."""
    home, check = _HOME_AND_CHECK.unpack(_hash(id_))
    for first in range(2 * (home & (n_home_slots(n) - 1)), len(slots), 2 * _SLOTS_PER_READ):
        numbers = slots[first : first + 2 * _SLOTS_PER_READ].tolist()
        for found, row in zip(numbers[::2], numbers[1::2], strict=True):
            if row < 0:
                return None
            if found == check:
                return int(row) if row < n else None
    return None


def n_home_slots(n: int) -> int:
    """Return the number of home slots of n ids: a power of two, at least 1.25 times as many."""
    return 1 << max((5 * n) // 4, 1).bit_length()


def _hash(id_: str | int) -> bytes:
    return blake2b(str(id_).encode(errors="surrogatepass"), digest_size=16).digest()
