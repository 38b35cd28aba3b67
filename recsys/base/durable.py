"""Files and folders that a crash leaves as they were before, or whole: written aside, then renamed.

A file is on the disk before its new name is, so a name never leads to half a file.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from recsys.base.errors import ConfigError, StoreError

_NOT_SUPPORTED = frozenset(
    getattr(errno, name)
    for name in ("EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EBADF", "EPERM", "EACCES")
)
"""What a file system answers to an operation that it does not have."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What writing says where the disk, a quota or a limit of the process (``ulimit -f``) ends."""

STAMP = "%Y%m%dT%H%M%SZ"
"""Format of the moments in names of versions, runs and rejects files."""


@contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for writing; its bytes are on the disk when the block ends."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replaced(path: Path, *, many_writers: bool = False) -> Iterator[Path]:
    """Replace a file, or make it, when the block has ended well.

    Parameters
    ----------
    many_writers : bool
        Other processes may write the same file at the same time. The file aside then has a name
        of its own, which a crash leaves there; else the next writer replaces it.

    Yields
    ------
    Path
        The file aside, in the same folder. It is not there yet; the block writes it.
    """
    # The suffix differs, as a program that collects files by suffix must not find this one.
    aside = path.with_name(f".{path.name}{f'.{os.getpid()}' if many_writers else ''}.new")
    aside.unlink(missing_ok=True)
    try:
        yield aside
        sync(aside)
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def require_place(path: Path, what: str) -> None:
    """Make the folder of a file that long work will end with; a ConfigError if it cannot be."""
    got = "a folder" if path.is_dir() else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            got = "a folder that cannot be written"
    except OSError as error:
        got = error.strerror or str(error)
    if got is not None:
        raise ConfigError(f"{what} to {path}, got {got}; name another file")


def write_or_refuse(path: Path, content: bytes, what: str) -> None:
    """Write a file whole, or not at all; a ConfigError where it cannot be."""
    try:
        with replaced(path) as aside:
            aside.write_bytes(content)
    except OSError as error:
        got = error.strerror or str(error)
        raise ConfigError(f"{what} to {path}, got {got}; name another file") from error


def replace_text(path: Path, text: str) -> None:
    """Replace a file by one line or more. One writer at a time."""
    with replaced(path) as aside:
        aside.write_text(f"{text}\n", encoding="utf-8")


@contextmanager
def appearing(target: Path, aside: Path) -> Iterator[Path]:
    """Make a folder that appears with all its files when the block has ended well.

    Parameters
    ----------
    target : Path
        The folder to make; there is none of this name.
    aside : Path
        Its name while the block runs, on the same disk. What a crash left there is removed.

    Yields
    ------
    Path
        `aside`, an empty folder to write to.
    """
    if aside.exists():
        shutil.rmtree(aside)
    aside.mkdir(parents=True)
    try:
        yield aside
        appear(aside, target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def appear(aside: Path, target: Path) -> None:
    """Bring a folder and everything in it to the disk, then rename it."""
    for inside in (*aside.rglob("*"), aside):
        sync(inside)
    aside.rename(target)
    sync(target.parent)


def sync(path: Path) -> bool:
    """Bring a file's bytes, or a folder's list of names, to the disk.

    Returns
    -------
    bool
        False for a folder on a network or FUSE file system that does not do this: there a crash of
        the machine can bring back the names of before.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise
        return False
    finally:
        os.close(descriptor)
    return True


def make_read_only(path: Path) -> None:
    """Take away the right to write a file, where its file system has rights."""
    _changed_rights(path, 0o444)


def has_rights(path: Path) -> bool:
    """Return whether the file system can change the rights of a file; nothing is changed."""
    status = path.stat()
    is_own = status.st_uid == os.geteuid()
    return not is_own or _changed_rights(path, stat.S_IMODE(status.st_mode))


def _changed_rights(path: Path, mode: int) -> bool:
    try:
        path.chmod(mode)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        return False
    return True


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity_of(path: Path) -> list[int]:
    """Return size, times and inode of a file, which differ once it was written again.

    Raises
    ------
    OSError
        If there is no such file.
    """
    status = path.stat()
    # The time of the last change of the inode cannot be set, unlike that of the content.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def signature_of(path: Path) -> list[int] | None:
    """Return numbers that change when a file is replaced; None where there is none."""
    try:
        return identity_of(path)
    except OSError:
        return None


def stamp_of(moment: datetime) -> str:
    """Return a moment, to the second, as names of versions and runs have it.

    Examples
    --------
    >>> stamp_of(datetime(2026, 11, 20, 2, tzinfo=UTC))
    '20261120T020000Z'
    """
    return f"{moment.astimezone(UTC):{STAMP}}"


def moment_of(stamp: str) -> datetime:
    """Return the moment of a stamp; ValueError if it is none."""
    return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)


@contextmanager
def errors_of_writing(store: Path, what: str) -> Iterator[None]:
    """Turn an error of the operating system into a StoreError that says what was written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        path = error.filename2 or error.filename  # of a rename, what is in its way
        at = f" at {path}" if path else ""
        raise StoreError(
            f"store {store}: expected to {what}, got {reason!r}{at}; check that it is a folder "
            "that you may write to and that its disk has space left"
        ) from error
