"""A hash table from ids to rows that can be kept in files and mapped into memory."""

from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_AT_ONCE = 1 << 18  # ids that are spelled out as Python strings at a time


@dataclass(frozen=True, eq=False)
class IdTable:
    """Rows by the CRC-32 of their id as text.

    Parameters
    ----------
    starts : ndarray of int32, shape (n_buckets + 1,)
        n_buckets is a power of two, at least the number of ids.
    rows : ndarray of int32, shape (n_ids,)
        Those of bucket b are ``rows[starts[b]:starts[b + 1]]``.
    """

    starts: NDArray[np.int32]
    rows: NDArray[np.int32]

    @classmethod
    def of(cls, values: pa.Array) -> "IdTable":
        """Make the table of some ids."""
        n = len(values)
        n_buckets = 1 << max(n - 1, 0).bit_length()
        buckets = np.empty(n, dtype=np.uint32)
        for first in range(0, n, _AT_ONCE):
            part = values.slice(first, _AT_ONCE).to_pylist()
            buckets[first : first + len(part)] = np.fromiter(map(_hash, part), np.uint32, len(part))
        buckets &= np.uint32(n_buckets - 1)
        starts = np.zeros(n_buckets + 1, dtype=np.int32)
        np.cumsum(np.bincount(buckets, minlength=n_buckets), out=starts[1:])
        return cls(starts, np.argsort(buckets, kind="stable").astype(np.int32))

    def find(self, id_: Any, values: pa.Array) -> int | None:
        """Return the row of an id, spelled as `values` has it, or None."""
        bucket = _hash(id_) & (len(self.starts) - 2)
        for row in self.rows[self.starts[bucket] : self.starts[bucket + 1]].tolist():
            if 0 <= row < len(values) and values[row].as_py() == id_:
                return int(row)
        return None


def _hash(id_: str | int) -> int:
    return crc32(str(id_).encode(errors="surrogatepass"))
