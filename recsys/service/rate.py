"""How many requests a second a key may make, over all workers.

Of each name one number is kept, in a file that the workers map into memory: when its bucket will be
full again. (This is the generic cell rate algorithm, of ITU-T I.371; it is the same as a bucket of
tokens.) Workers take no lock: two that ask within a microsecond may let one too many through.
"""

import logging
import mmap
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from time import monotonic

log = logging.getLogger("recsys.service")

_N_BYTES = 8  # a float64, which the processor writes whole


class Rate:
    """Lets so many through a second by name, and as many at once as a second brings.

    Parameters
    ----------
    per_second : float
        Of all workers together.
    folder : path, optional
        Where the workers keep their files. Default: this process counts for itself.
    now : callable
        Returns seconds, of a clock that the workers share.

    Examples
    --------
    >>> moments = iter([0.0, 0.0, 0.0, 0.5])
    >>> rate = Rate(2.0, now=lambda: next(moments))
    >>> [rate.seconds_to_wait("shop") for _ in range(4)]
    [0.0, 0.0, 0.5, 0.0]
    """

    def __init__(
        self, per_second: float, folder: Path | None = None, now: Callable[[], float] = monotonic
    ) -> None:
        self._folder, self._now = folder, now
        self._seconds = 1 / per_second  # that one request takes of the bucket
        self._most_ahead = max(per_second, 1.0) / per_second - self._seconds
        self._full_at: dict[str, memoryview[float]] = {}

    def seconds_to_wait(self, name: str) -> float:
        """Let a request through and return 0, or return how long until there is one again."""
        full_at = self._full_at.get(name)
        if full_at is None:
            full_at = self._full_at[name] = self._opened(name)
        now = self._now()
        ahead = max(full_at[0] - now, 0.0)
        if ahead > self._most_ahead + 1e-9:
            return ahead - self._most_ahead
        full_at[0] = now + ahead + self._seconds
        return 0.0

    def _opened(self, name: str) -> "memoryview[float]":
        own = memoryview(bytearray(_N_BYTES)).cast("d")
        if self._folder is None:
            return own
        path = self._folder / f"{sha256(name.encode()).hexdigest()[:32]}.rate"
        try:
            with path.open("a+b") as file:
                os.posix_fallocate(file.fileno(), 0, _N_BYTES)  # zeros where it is new
                return memoryview(mmap.mmap(file.fileno(), _N_BYTES)).cast("d")
        except OSError as error:  # a full disk: lists go on
            log.error("this worker counts requests a second for itself: %s", error)
            return own
