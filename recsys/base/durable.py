"""Writing so that a crash at any moment leaves either the old state or the new one."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from recsys.base.errors import StoreError


@contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing; its bytes are on the disk when the block ends."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Bring a file's bytes, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Replace a file by one line or more, atomically. One writer at a time."""
    # A collector of files by the end of their names must not find this one.
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with durable_file(temporary) as file:
        file.write(f"{text}\n".encode())
    temporary.replace(path)
    sync(path.parent)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def only_writer(lock: Path) -> Iterator[None]:
    """Wait until no other process is in such a block; the lock of a dead process is free."""
    with lock.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def errors_of_writing(store: Path, what: str) -> Iterator[None]:
    """Turn an error of the operating system into a StoreError that says what was written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        at = f" at {error.filename}" if error.filename else ""
        raise StoreError(
            f"store {store}: expected to {what}, got {reason!r}{at}; check that it is a folder "
            "that you may write to and that its disk has space left"
        ) from error
