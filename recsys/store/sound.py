"""Whether every byte of a version is as it was published, and the first of several that is."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from recsys.base.durable import identity_of
from recsys.base.errors import CorruptVersionError, StoreError, UnreadableError
from recsys.base.reading import errors_of_reading, patiently
from recsys.store.content import MAX_CHECKED_BYTES, Lease, check_checksums, check_sizes
from recsys.store.manifest import MANIFEST
from recsys.store.versions import Version, find_version

T = TypeVar("T")


@dataclass(frozen=True)
class PassedOver:
    """A version that was not used, and the sentence that says why."""

    name: str
    reason: str


def require_sound(version: Version) -> Version:
    """Return a version whose files have the sizes and the checksums of its manifest.

    Every byte is read, unless this process has read the same files before.

    Raises
    ------
    CorruptVersionError
        If a file differs; it is named.
    UnreadableError
        If a file cannot be read now, which says nothing of its content.
    VersionNotFoundError
        If the version has been pruned.
    StoreError
        If it was made by another release of recsys.
    """
    with errors_of_reading(version.folder):
        patiently(lambda: _check(version))
    return version


def damage_of(version: Version, *, quickly: bool = False) -> CorruptVersionError | None:
    """Return the error that names the damage of a version, None where it is sound.

    Parameters
    ----------
    quickly : bool
        Compare the sizes and, as opening does, the checksums of the smallest files.

    Raises
    ------
    StoreError
        As `require_sound`.
    """
    try:
        if quickly:
            check_sizes(version)
            check_checksums(version, MAX_CHECKED_BYTES)
        else:
            require_sound(version)
    except CorruptVersionError as error:
        return error
    return None


def first_usable(
    store: Path, names: Iterable[str], use: Callable[[Version], T]
) -> tuple[T | None, tuple[PassedOver, ...]]:
    """Use the first of some versions for which that raises no StoreError.

    Returns
    -------
    used : T or None
        What `use` has returned; None where none can be used.
    passed_over : tuple of PassedOver
        Those before it.

    Raises
    ------
    UnreadableError
        If one cannot be read now: another must not take its place for that.
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


def warn_of(passed_over: Iterable[PassedOver]) -> None:
    """Warn of versions that were not used."""
    for one in passed_over:
        warnings.warn(f"passed over {one.name}: {one.reason}", RuntimeWarning, stacklevel=1)


def check_files(version: Version) -> None:
    """Raise a CorruptVersionError for the first file that is not what the manifest says."""
    _check_names_and_sizes(version)
    check_checksums(version)


def _check_names_and_sizes(version: Version) -> None:
    if version.manifest.version != version.name:
        raise CorruptVersionError(
            f"{version.folder}: expected the manifest of version {version.name}, got that of "
            f"{version.manifest.version}; a published directory must keep its name"
        )
    check_sizes(version)


_read: dict[Path, list[list[int]]] = {}  # by folder, the identities of the files that were sound


def _check(version: Version) -> None:
    with Lease(version.folder):
        _check_names_and_sizes(version)
        names = (MANIFEST, *version.manifest.files)
        found = [identity_of(version.folder / name) for name in names]
        folder = version.folder.absolute()
        if _read.get(folder) != found:
            check_checksums(version)
            _read[folder] = found
