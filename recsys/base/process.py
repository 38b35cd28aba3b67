"""What this process may use, and what it has used: cores and memory."""

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def usable_cores() -> int:
    """Return the number of cores that this process may use; a container can have fewer."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Peak:
    """What the process held at most, beyond what it held at the beginning.

    Attributes
    ----------
    n_bytes : int or None
        None where the system does not count it.
    total_bytes : int or None
        The same, with what it held at the beginning.
    """

    n_bytes: int | None = None
    total_bytes: int | None = None


@contextmanager
def peak_memory(*, collect: bool = True) -> Iterator[Peak]:
    """Measure the peak of the memory of this process while the block runs (on Linux).

    Parameters
    ----------
    collect : bool
        Collect garbage first, which takes a tenth of a second: else garbage that the block frees
        hides what it takes.

    Yields
    ------
    Peak
        Filled in at the end.
    """
    peak = Peak()
    if collect:
        gc.collect()
    _release_free_memory()
    try:
        _RESET.write_text("5")  # sets VmHWM, the highest value so far, to the present one
        before = _kilobytes("VmRSS:")
    except OSError:
        yield peak
        return
    yield peak
    highest = _kilobytes("VmHWM:")
    peak.n_bytes, peak.total_bytes = max(highest - before, 0) * 1024, highest * 1024


def _release_free_memory() -> None:
    """Return free memory to the system: a fit that used it again would seem to take none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _kilobytes(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
