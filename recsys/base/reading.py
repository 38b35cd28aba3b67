"""Faults while a file of a store is read: damage, or one of the moment, which is named and retried.

A process that has too many files open, or a network disk that does not answer for a second, says
nothing about the file: a version must not be taken for damaged because of it.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from recsys.base.errors import CorruptVersionError, StoreError, UnreadableError

T = TypeVar("T")

_OF_THE_FILE = frozenset(
    getattr(errno, name)
    for name in ("ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "ENXIO", "ENODEV", "EINVAL")
)
"""What the operating system answers where there is no such file, or one of another kind."""

_LASTING = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
"""What does not pass within a second: a person has to grant a right."""

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
    return damaged(path, (str(error).splitlines() or [type(error).__name__])[0])


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


def patiently(read: Callable[[], T]) -> T:
    """Read, and try again shortly after where the fault may pass by itself."""
    for pause in _PAUSES:
        try:
            return read()
        except UnreadableError as error:
            if error.number in _LASTING:
                raise
        time.sleep(pause)
    return read()


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
