"""Read files of a store: mapped arrays, and faults of damage apart from those of the moment.

A process that has too many files open, or a network disk that does not answer for a second, says
nothing about the file: a version must not be taken for damaged because of it.
"""

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import CorruptVersionError, StoreError, UnreadableError

_T = TypeVar("_T")

_OF_THE_FILE = frozenset(
    getattr(errno, name)
    for name in ("ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "ENXIO", "ENODEV", "EINVAL")
)
"""What the operating system answers where there is no such file, or one of another kind."""

_LASTING = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
"""What does not pass within a second: a person has to grant a right."""

NOT_REACHED = errno.EHOSTUNREACH
"""Of a service of objects, which has been asked several times by then."""

_SMALL_FILE = 4096  # bytes; and an empty file cannot be mapped
_MAGIC = re.compile(rb"\x93NUMPY\x01\x00(..)", re.DOTALL)
_HEADER = re.compile(
    rb"\{'descr': '([<|][fiu][1248])', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n"
)
_SHAPE = re.compile(rb"|\d{1,18},|\d{1,18}(, \d{1,18})+")

_PAUSES = (0.05, 0.2, 0.5)  # seconds before each further try


def damaged(path: Path, reason: str) -> CorruptVersionError:
    """Return the error for a file that is not what was written."""
    return CorruptVersionError(
        f"{path}: damaged: {reason}; train again, or activate another version"
    )


def fault_of(path: Path, error: BaseException) -> StoreError:
    """Return the error for a file that could not be read: of damage, or of this moment."""
    if isinstance(error, MemoryError):
        return _unreadable(path, errno.ENOMEM)
    number = error.errno if isinstance(error, OSError) else None
    if number is not None and number not in _OF_THE_FILE:
        return _unreadable(path, number)
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return damaged(path, (text.splitlines() or [type(error).__name__])[0])


@contextmanager
def errors_of_reading(path: Path, *kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of the operating system, and those of some kinds, into errors that name a file.

    Raises
    ------
    UnreadableError
        If the file cannot be read now.
    CorruptVersionError
        If it is damaged, or there is none.
    """
    try:
        yield
    except (OSError, MemoryError) as error:
        raise fault_of(path, error) from error
    except kinds as error:
        raise fault_of(path, error) from error


def patiently(read: Callable[[], _T]) -> _T:
    """Read, and try again shortly after where the fault may pass by itself."""
    for pause in _PAUSES:
        try:
            return read()
        except UnreadableError as error:
            if lacks_right(error) or error.number == NOT_REACHED:
                raise
        time.sleep(pause)
    return read()


def lacks_right(error: BaseException) -> bool:
    """Return whether this user has no right to read a file, as of a version of another user."""
    return isinstance(error, UnreadableError) and error.number in _LASTING


def _unreadable(path: Path, number: int) -> UnreadableError:
    name = errno.errorcode.get(number, str(number))
    return UnreadableError(
        f"{path}: cannot be read now: {os.strerror(number)} ({name}); {_advice(number)}", number
    )


def _advice(number: int) -> str:
    if number in (errno.EMFILE, errno.ENFILE):
        return "close files, or raise the limit (ulimit -n), and try again"
    if number == errno.ENOMEM:
        return "free memory, and try again"
    if number in _LASTING:
        return "grant this user the right to read it"
    return "look at the disk, and try again"


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
