"""Parts of files that are read, not mapped.

The system maps 64 KB to 2 MB of a file around each place that is looked at, and counts them as
memory of the process. Who looks up one user after the other would gather gigabytes so; reading
them costs a microsecond a part, and keeps nothing.
"""

import os
import weakref
from pathlib import Path
from typing import Any

from recsys.index.catalogue import damaged


class FilePart:
    """Numbers or bytes that lie in a file, of which parts are read; the file stays open.

    Parameters
    ----------
    path : path
    offset : int
        In bytes, of the first.
    n : int
    kind : str
        What one is, as `memoryview.cast` has it: "q" is int64.
    item_bytes : int
        Of one.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """

    def __init__(self, path: Path, offset: int, n: int, kind: str, item_bytes: int) -> None:
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._path = path
        self._offset, self._n, self._kind, self._item_bytes = offset, n, kind, item_bytes

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, part: slice, /) -> memoryview:
        """Return some of it, cut to what there is, as slices of a list are; both ends are told.

        Raises
        ------
        CorruptVersionError
            If the file has become shorter.
        """
        kind: Any = self._kind  # the overloads of `cast` know only literals
        return memoryview(self.read(part.start, part.stop)).cast(kind)

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes of `part[start:end]`; a page view calls it four times."""
        end = min(end, self._n)
        n_bytes = (end - start) * self._item_bytes
        if n_bytes <= 0:
            return b""
        if start < 0:
            raise damaged(self._path, f"expected a place in it, got {start}")
        found = os.pread(self._file, n_bytes, self._offset + start * self._item_bytes)
        if len(found) != n_bytes:
            raise damaged(self._path, f"expected {n_bytes} bytes at {start}, got {len(found)}")
        return found
