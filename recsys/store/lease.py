"""Leases: whoever has a version open keeps it from being pruned.

A recommender maps most files when it is opened and some when they are first asked for, hours later
perhaps. So each reader holds a shared lock on the manifest of its version, which the system frees
when the reader is gone, however it went; a prune passes over versions that are locked.
"""

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recsys.errors import VersionNotFoundError
from recsys.store.manifest import MANIFEST, read_manifest


class Lease:
    """Keeps a version from being pruned for as long as this object lives.

    Parameters
    ----------
    folder : path
        Of the version.

    Raises
    ------
    VersionNotFoundError
        If the version has been pruned, or is right now.
    CorruptVersionError
        If the manifest is missing.
    StoreError
        If the manifest may not be read.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / MANIFEST
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            if folder.is_dir():
                read_manifest(folder)  # says what is wrong with it
            raise _gone(folder) from error
        weakref.finalize(self, os.close, descriptor)
        with suppress(OSError):  # a file system without locks: no worse than before
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        if not _is_at(path, descriptor):  # moved away between the two
            raise _gone(folder)


@contextmanager
def unless_leased(folder: Path) -> Iterator[bool]:
    """Tell whether nobody has a version open, and let nobody open it while the block runs."""
    try:
        descriptor = os.open(folder / MANIFEST, os.O_RDONLY)
    except FileNotFoundError:  # a damaged version, which nobody can open
        yield True
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_free = True
    except BlockingIOError:
        is_free = False
    except OSError:  # a file system without locks
        is_free = True
    try:
        yield is_free
    finally:
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _gone(folder: Path) -> VersionNotFoundError:
    return VersionNotFoundError(
        f"{folder}: expected a version, got one that has been pruned; open another"
    )
