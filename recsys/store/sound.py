"""Lease a version, check its files, and find the first of several that is sound."""

import math
import os
import stat
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from recsys.base.durable import identity_of, sha256_of
from recsys.base.errors import (
    CorruptVersionError,
    StoreError,
    UnreadableError,
    VersionNotFoundError,
)
from recsys.base.locks import Held, share, state_of
from recsys.base.reading import errors_of_reading, fault_of, patiently
from recsys.store.manifest import MANIFEST, FileFacts
from recsys.store.remote import opened_copy
from recsys.store.versions import Version, find_version

_Used = TypeVar("_Used")

MAX_CHECKED_BYTES = 32 * 1024**2
"""Whose checksums are compared on opening: some 20 milliseconds."""


class Lease:
    """Keeps the version in a folder from being pruned while it lives, or within a ``with`` block.

    Raises a VersionNotFoundError if it has been pruned, or is right now, a CorruptVersionError if
    its manifest is missing, and an UnreadableError if that cannot be read now.
    """

    def __init__(self, folder: Path) -> None:
        self._in_bucket = opened_copy(folder)
        path = folder / MANIFEST
        try:
            # Without O_NONBLOCK a pipe in its place would wait for a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            is_gone = isinstance(error, FileNotFoundError | NotADirectoryError)
            is_pruned = is_gone and not folder.is_dir()
            raise (_pruned(folder) if is_pruned else fault_of(path, error)) from error
        self._close = weakref.finalize(self, os.close, descriptor)
        share(descriptor)
        if not _is_at(path, descriptor):  # moved away between the two
            raise _pruned(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        if self._in_bucket is not None:
            self._in_bucket.close()


@contextmanager
def lease_of(folder: Path) -> Iterator[Held]:
    """Yield whether a process has a version open; where none does, none can open it meanwhile.

    "unknown" is the answer of a file system without locks.
    """
    if not (folder / MANIFEST).is_file():  # a damaged version, which cannot be opened
        yield "free"
        return
    with state_of(folder / MANIFEST) as held:
        yield held


def check_files(version: Version, max_bytes: float = math.inf) -> None:
    """Raise a CorruptVersionError for the first file that is not what the manifest says.

    Name and sizes are checked, and the checksums of the smallest files within a number of bytes.
    """
    check_name(version)
    _check_sizes(version)
    _check_checksums(version, max_bytes)


def check_quickly(version: Version) -> None:
    """Check what opening checks."""
    check_files(version, MAX_CHECKED_BYTES)


def require_sound(version: Version) -> Version:
    """Return a version whose files have the sizes and the checksums of its manifest.

    Every byte is read, unless this process has read the same files before. Raises a
    CorruptVersionError that names the file that differs, and what `Lease` and `read_manifest` do.
    """
    with errors_of_reading(version.folder):
        of_sound_copy(version, lambda: patiently(lambda: _check_once(version)))
    return version


def of_sound_copy(version: Version, use: Callable[[], _Used]) -> _Used:
    """Return what `use` returns of a version; where its local copy is damaged, of a new one."""
    try:
        return use()
    except CorruptVersionError:
        remote = None if version.staged is not None else version.remote
        if remote is None or not remote.copies.take_away(version.name):
            raise
    return use()


def check_name(version: Version) -> None:
    """Raise a CorruptVersionError where the manifest is that of another version."""
    if version.manifest.version != version.name:
        raise CorruptVersionError(
            f"{version.folder}: expected the manifest of version {version.name}, got that of "
            f"{version.manifest.version}; a published directory must keep its name"
        )


def damage_of(version: Version, *, quickly: bool = False) -> CorruptVersionError | None:
    """Return the error that names the damage of a version, None where `require_sound` finds none.

    Quickly, no more is checked than opening checks; of objects that is their sizes.
    """
    try:
        if quickly and version.remote is not None:
            version.remote.check_sizes(version.name)
        elif quickly:
            check_quickly(version)
        else:
            require_sound(version)
    except CorruptVersionError as error:
        return error
    return None


@dataclass(frozen=True)
class PassedOver:
    """A version that was not used, and the sentence that says why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"passed over {self.name}: {self.reason}"


def first_usable(
    store: Path, names: Iterable[str], use: Callable[[Version], _Used]
) -> tuple[_Used | None, tuple[PassedOver, ...]]:
    """Return what `use` returns of the first version for which it raises no StoreError.

    And the versions before that one. An UnreadableError is raised: no other version may take the
    place of one that cannot be read now.
    """
    passed: list[PassedOver] = []
    for name in names:
        try:
            return use(find_version(store, name)), tuple(passed)
        except UnreadableError:
            raise
        except StoreError as error:
            passed.append(PassedOver(name, str(error)))
    return None, tuple(passed)


def warn_of(found: Iterable[object]) -> None:
    """Warn of each: a sentence, or a version that was passed over."""
    for one in found:
        warnings.warn(str(one), RuntimeWarning, stacklevel=1)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _pruned(folder: Path) -> VersionNotFoundError:
    return VersionNotFoundError(
        f"{folder}: expected a version, got one that has been pruned; open another"
    )


def _check_sizes(version: Version) -> None:
    for name, facts in version.manifest.files.items():
        path = version.folder / name
        with errors_of_reading(path):
            status = path.stat()
        is_file, n_bytes = stat.S_ISREG(status.st_mode), status.st_size
        if n_bytes != facts.bytes or not is_file:
            found = n_bytes if is_file else "no file"
            raise _differs(path, f"{facts.bytes} bytes", str(found))


def unread_bytes(version: Version) -> int:
    """Return the bytes of the files whose checksums `check_quickly` does not compare."""
    most = MAX_CHECKED_BYTES if version.remote is None else 0
    quick = {name for name, _ in _smallest(version, most)}
    return sum(facts.bytes for name, facts in version.manifest.files.items() if name not in quick)


def _smallest(version: Version, max_bytes: float) -> Iterator[tuple[str, FileFacts]]:
    """Yield files, the smallest first, as long as they are within a number of bytes together."""
    n_bytes = 0
    for name, facts in sorted(version.manifest.files.items(), key=lambda named: named[1].bytes):
        n_bytes += facts.bytes
        if n_bytes > max_bytes:
            return
        yield name, facts


def _check_checksums(version: Version, max_bytes: float) -> None:
    for name, facts in _smallest(version, max_bytes):
        path = version.folder / name
        with errors_of_reading(path):
            found = sha256_of(path)
        if found != facts.sha256:
            raise _differs(path, f"sha256 {facts.sha256}", found)


def _differs(path: Path, expected: str, found: str) -> CorruptVersionError:
    return CorruptVersionError(
        f"{path}: expected {expected}, got {found}; train again, or activate another version"
    )


_read: dict[Path, list[list[int]]] = {}  # by folder, the identities of the files that were sound


def _check_once(version: Version) -> None:
    with Lease(version.folder):
        check_name(version)
        _check_sizes(version)
        names = (MANIFEST, *version.manifest.files)
        found = [identity_of(version.folder / name) for name in names]
        folder = version.folder.absolute()
        if _read.get(folder) != found:
            _check_checksums(version, math.inf)
            _read[folder] = found
