"""Locks between processes: flock where the file system has it, else a file that names its holder.

Network and FUSE file systems may have no flock (NFS without its lock service, Lustre, blobfuse),
or one that needs a descriptor for writing (NFS). They all can make a file that is not there yet.
"""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from recsys.base.errors import StoreError
from recsys.base.stopping import check_stop, interruptible

_NO_LOCKS = frozenset(
    (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF)
)
"""What flock answers where the file system has no locks, or not this one."""

_PAUSE = 0.02  # seconds between two looks at the lock file of another process
_WRITTEN = 5.0  # seconds after which a lock file without text is of a dead process
_OTHER_MACHINE = 60.0  # seconds to wait for a lock file whose holder cannot be looked for

Held = Literal["free", "held", "unknown"]


class HeldError(Exception):
    """Another process holds a lock."""


def has_flock(path: Path) -> bool:
    """Return whether the file system of a file that can be written has flock."""
    with _opened(path) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            raise
    return True


@contextmanager
def only_writer(lock: Path, *, wait: bool = True) -> Iterator[None]:
    """Wait until no other process is in such a block; the lock of a dead process is free.

    Parameters
    ----------
    wait : bool
        Else raise a `HeldError` where another process is in such a block.
    """
    with _opened(lock) as descriptor:
        try:
            with interruptible():
                if not wait and _try_exclusive(descriptor) == "held":
                    time.sleep(_PAUSE)  # `is_held` may have held it to look
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise HeldError from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            with _lock_file(lock.with_name(f"{lock.name}.held"), wait=wait):
                yield
            return
        yield


def is_held(lock: Path) -> bool:
    """Whether a process is in `only_writer` with this lock, which may not be there."""
    beside = _text_of(lock.with_name(f"{lock.name}.held"))
    if beside is not None:
        return not _is_dead(beside)
    try:
        with state_of(lock) as held:
            return held == "held"
    except OSError:  # none has made it, or this user may not look
        return False


@contextmanager
def _opened(lock: Path) -> Iterator[int]:
    """Open a lock, or make it; one that another user has made is opened for reading."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except PermissionError:
        descriptor = os.open(lock, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def share(descriptor: int) -> None:
    """Lock an open file against `state_of`, where its file system has locks."""
    with contextlib.suppress(OSError):  # prune then takes it for open
        fcntl.flock(descriptor, fcntl.LOCK_SH)


@contextmanager
def state_of(path: Path) -> Iterator[Held]:
    """Yield whether another process shares a file; where none does, none can while this runs.

    "unknown" is the answer of a file system without locks.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        found = _try_exclusive(descriptor)
        if found == "unknown" and (writable := _reopened(path)) is not None:
            os.close(descriptor)
            descriptor = writable
            found = _try_exclusive(descriptor)
        yield found
    finally:
        os.close(descriptor)


def _try_exclusive(descriptor: int) -> Held:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held"
    except OSError:
        return "unknown"
    return "free"


def _reopened(path: Path) -> int | None:
    """Open a read-only file for writing, as NFS asks for; None where that is not allowed.

    Its mode is restored at once: nothing is written to it.
    """
    mode = path.stat().st_mode & 0o777
    try:
        return os.open(path, os.O_RDWR)
    except OSError:
        pass
    try:
        path.chmod(mode | 0o200)
        try:
            return os.open(path, os.O_RDWR)
        finally:
            path.chmod(mode)
    except OSError:
        return None


@contextmanager
def _lock_file(path: Path, *, wait: bool) -> Iterator[None]:
    """Make a file that others must not make meanwhile; one of a dead process is replaced."""
    own = f"{os.getpid()} {_begun(os.getpid())} {socket.gethostname()}\n"
    since = time.monotonic()
    while not _made(path, own):
        holder, waited = _text_of(path), time.monotonic() - since
        if holder is None:
            continue
        if _is_dead(holder) or (not holder and waited > _WRITTEN):
            _take_away(path, holder)
            continue
        if holder and not wait:
            raise HeldError
        if holder and not _is_here(holder) and waited > _OTHER_MACHINE:
            raise StoreError(
                f"{path}: expected to wait for another process no longer than "
                f"{_OTHER_MACHINE:g} s, got one of another machine: {holder.strip()!r} (process, "
                "start, machine); delete the file if that process is gone"
            )
        check_stop()
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _made(path: Path, text: str) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
    return True


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _take_away(path: Path, text: str) -> None:
    """Remove the file of a dead process, but not one that another has made since."""
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        if _text_of(aside) != text:
            aside.rename(path)
        aside.unlink(missing_ok=True)


def _is_here(holder: str) -> bool:
    return holder.rstrip("\n").endswith(f" {socket.gethostname()}")


def _is_dead(holder: str) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    pid, _, rest = holder.partition(" ")
    if not _is_here(holder) or not pid.isdigit():
        return False
    return _begun(int(pid)) != rest.partition(" ")[0]


def _begun(pid: int) -> str:
    """Return when a process began, in a unit of the system's; "none" where there is no such one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "none"
    except OSError:
        pass
    return "unknown"
