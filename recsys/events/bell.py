"""The newest number of a database of events, in memory that the processes of one machine share."""

import mmap
import os
from pathlib import Path

_BYTES = 8


class Bell:
    """Shows other processes that there is something new, for the price of reading memory.

    Parameters
    ----------
    path : path, optional
        A file that they share. Default: of this process alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            self._memory: memoryview = memoryview(bytearray(_BYTES)).cast("q")
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if os.fstat(descriptor).st_size < _BYTES:
                os.ftruncate(descriptor, _BYTES)
            self._memory = memoryview(mmap.mmap(descriptor, _BYTES)).cast("q")
        finally:
            os.close(descriptor)

    @property
    def number(self) -> int:
        """The newest number that was rung."""
        return self._memory[0]

    def ring(self, number: int) -> None:
        """Show a number; the one who holds the lock of the database does."""
        self._memory[0] = number
