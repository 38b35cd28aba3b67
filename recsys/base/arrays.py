"""Arrays in the files of a version, memory-mapped; a damaged file is named."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.reading import damaged, errors_of_reading

_SMALL_FILE = 4096  # bytes; and an empty file cannot be mapped


def open_array(
    path: Path, dtype: type[np.generic] | None = None, shape: tuple[int, ...] = ()
) -> NDArray[Any]:
    """Open an array that `np.save` wrote, memory-mapped.

    Processes share the memory. It is not marked read-only, though nothing writes to it: a write
    would change a page of the writer's own and never the file.

    Parameters
    ----------
    dtype, shape : optional
        What it has to be, in one piece.

    Raises
    ------
    CorruptVersionError
        If the file is not such an array; it is named.
    UnreadableError
        If it cannot be read now.
    """
    with errors_of_reading(path, ValueError, EOFError):
        is_small = path.stat().st_size <= _SMALL_FILE
        found: NDArray[Any] = np.load(path, mmap_mode=None if is_small else "c", allow_pickle=False)
    fits = found.dtype == dtype and found.shape == shape and found.flags.c_contiguous
    if dtype is not None and not fits:
        raise damaged(
            path, f"expected {np.dtype(dtype)} of shape {shape}, got {found.dtype} of {found.shape}"
        )
    return np.asarray(found)
