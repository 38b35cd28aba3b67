"""What this process may use and has used: cores and memory."""

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def usable_cores() -> int:
    """Return the cores this process may use, which a container can make fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Peak:
    """What the process held at most, beyond what it held at the beginning.

    Attributes
    ----------
    n_bytes : int or None
        None where the system does not tell.
    total_bytes : int or None
        What it held at most in all.
    """

    n_bytes: int | None = None
    total_bytes: int | None = None


@contextmanager
def peak_memory(*, collect: bool = True) -> Iterator[Peak]:
    """Measure the peak of the memory of this process while the block runs (on Linux).

    Parameters
    ----------
    collect : bool
        Look for garbage first, which takes a tenth of a second: else what the block finds and
        frees hides what it takes.

    Yields
    ------
    Peak
        Filled in at the end.
    """
    peak = Peak()
    if collect:
        gc.collect()
    _give_back()
    try:
        _RESET.write_text("5")  # sets the highest value ever back to the present one
        before = _kilobytes("VmRSS:")
    except OSError:
        yield peak
        return
    yield peak
    highest = _kilobytes("VmHWM:")
    peak.n_bytes, peak.total_bytes = max(highest - before, 0) * 1024, highest * 1024


def _give_back() -> None:
    """Return what is free to the system: else a fit seems to take none, where another had it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _kilobytes(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
