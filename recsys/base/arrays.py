"""Arrays in the files of a version, memory-mapped; a damaged file is named."""

import re
import stat
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.reading import damaged, errors_of_reading

_SMALL_FILE = 4096  # bytes; and an empty file cannot be mapped
_MAGIC = re.compile(rb"\x93NUMPY\x01\x00(..)", re.DOTALL)
_HEADER = re.compile(
    rb"\{'descr': '([<|][fiu][1248])', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n"
)
_SHAPE = re.compile(rb"|\d{1,18},|\d{1,18}(, \d{1,18})+")


def open_array(
    path: Path, dtype: type[np.generic] | None = None, shape: tuple[int, ...] = ()
) -> NDArray[Any]:
    """Open an array that `np.save` wrote, memory-mapped.

    Processes share the memory. It is not marked read-only, though nobody writes to it: a write
    would change a page of the writer's own and never the file.

    The header has to be one that `np.save` writes for numbers, to the byte: NumPy's own reader
    evaluates it as Python.

    Parameters
    ----------
    dtype, shape : optional
        What it has to be.

    Raises
    ------
    CorruptVersionError
        If the file is not such an array; it is named.
    UnreadableError
        If it cannot be read now.
    """
    with errors_of_reading(path, ValueError):
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise damaged(path, "expected a file with an array, got something else")
        with path.open("rb") as file:
            found_dtype, found_shape, offset = _header(path, file.read(_SMALL_FILE))
        n_bytes = prod(found_shape) * found_dtype.itemsize
        if status.st_size != offset + n_bytes:
            raise damaged(path, f"expected {offset + n_bytes} bytes, got {status.st_size}")
        if dtype is not None and (found_dtype != dtype or found_shape != shape):
            raise damaged(
                path,
                f"expected {np.dtype(dtype)} of shape {shape}, got {found_dtype} of {found_shape}",
            )
        if status.st_size <= _SMALL_FILE:
            flat = np.fromfile(path, found_dtype, offset=offset)
            return flat.reshape(found_shape)
        return np.asarray(np.memmap(path, found_dtype, "c", offset, found_shape))


def _header(path: Path, start: bytes) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Return the type and the shape that the start of a file names, and where the numbers begin."""
    magic = _MAGIC.match(start)
    end = 10 + int.from_bytes(magic[1], "little") if magic else 0
    header = _HEADER.fullmatch(start[10:end])
    if header is None or end % 64 or not _SHAPE.fullmatch(header[2]):
        raise damaged(path, "expected the header of an array of numbers, got another")
    shape = tuple(int(n) for n in re.findall(rb"\d+", header[2]))
    return np.dtype(header[1].decode()), shape, end
