"""Where versions are, and which one is current."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from recsys.base.errors import CorruptVersionError, StoreError, VersionNotFoundError
from recsys.store.manifest import Manifest, read_manifest

CURRENT = "CURRENT"
VERSIONS = "versions"

CURRENT_LOCK = ".current.lock"
"""Held, for an instant, by who changes CURRENT, ACTIVATIONS or PINNED, or takes a version away."""

PUBLISH_LOCK = ".publish.lock"
"""Held by who publishes or prunes, throughout; taken before the other one."""

_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}", re.ASCII)


@dataclass(frozen=True)
class Version:
    """One published directory.

    Parameters
    ----------
    name : str
        Such as ``20261120T020000Z-3f2a91bc``.
    folder : Path
    """

    name: str
    folder: Path

    @cached_property
    def manifest(self) -> Manifest:
        """What the version says of itself; CorruptVersionError where that is damaged."""
        return read_manifest(self.folder)

    @classmethod
    def staged(cls, folder: Path, manifest: Manifest) -> "Version":
        """Return a version whose manifest is not written yet."""
        version = cls(manifest.version, folder)
        version.__dict__["manifest"] = manifest  # where cached_property would put it
        return version

    def __str__(self) -> str:
        return self.name


def versions(store: str | Path) -> list[Version]:
    """List the versions of a store, newest first.

    Raises
    ------
    StoreError
        If there is no store, or it cannot be read.

    See Also
    --------
    current : the name of the one that is served
    """
    store = Path(store)
    _require_store(store)
    return sorted(_versions_in(store), key=lambda version: version.name, reverse=True)


def current(store: str | Path) -> str | None:
    """Return the name of the version that is served, None where none is.

    Raises
    ------
    StoreError
        If there is no store, or it cannot be read.
    CorruptVersionError
        If CURRENT holds no name of a version.
    """
    store = Path(store)
    _require_store(store)
    path = store / CURRENT
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    name = text.decode(errors="replace").strip()
    if not _NAME.fullmatch(name):
        raise CorruptVersionError(
            f"{path}: expected the name of a version, got {_short(name)}; "
            f"activate one: {_known(store)}"
        )
    return name


def find_version(store: str | Path, name: str | None = None) -> Version:
    """Return a version by name, by default the current one.

    Raises
    ------
    VersionNotFoundError
        If there is no such version, or none is current.
    StoreError
        If there is no store, or it cannot be read.
    """
    store = Path(store)
    given = name
    name = current(store) if name is None else name
    _require_store(store)
    if name is None:
        raise VersionNotFoundError(
            f"store {store}: expected a current version, got none; activate one: {_known(store)}"
        )
    folder = store / VERSIONS / name
    if not (_NAME.fullmatch(name) and folder.is_dir()):
        missing = f"holds no version {_short(name)}"
        if not given:
            missing = f"{CURRENT} names version {_short(name)}, which the store does not hold"
        raise VersionNotFoundError(f"store {store}: {missing}; choose one: {_known(store)}")
    return Version(name, folder)


def _require_store(store: Path) -> None:
    if not store.is_dir():
        found = "a file" if store.exists() else "nothing"
        raise StoreError(
            f"store: expected a folder at {store}, got {found}; train first, or name the store "
            "with --store or RECSYS_STORE"
        )


def _versions_in(store: Path) -> Iterator[Version]:
    try:
        for folder in (store / VERSIONS).iterdir():
            if _NAME.fullmatch(folder.name):
                yield Version(folder.name, folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"{store / VERSIONS}: cannot be read: {error.strerror}") from error


def _known(store: Path) -> str:
    """Name the newest versions, for a sentence."""
    names = sorted((version.name for version in _versions_in(store)), reverse=True)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") or "(none yet: train first)"


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
