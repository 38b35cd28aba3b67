"""PINNED: the versions that no prune deletes, one name a line."""

from pathlib import Path

from recsys.errors import StoreError
from recsys.store.directory import CURRENT_LOCK, Version, find_version
from recsys.store.durable import errors_of_writing, only_writer, replace_text

PINNED = "PINNED"


def pinned(store: str | Path) -> frozenset[str]:
    """Return the names of the pinned versions.

    Raises
    ------
    StoreError
        If the file of the pins cannot be read.
    """
    path = Path(store) / PINNED
    try:
        return frozenset(path.read_bytes().decode(errors="replace").split())
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error


def pin(store: str | Path, name: str) -> Version:
    """Keep a version from every prune, until it is unpinned. A second time changes nothing.

    Raises
    ------
    VersionNotFoundError
        If there is no such version.
    StoreError
        If the store cannot be written.
    """
    store = Path(store)
    find_version(store, name)
    with errors_of_writing(store, f"pin {name}"), only_writer(store / CURRENT_LOCK):
        version = find_version(store, name)  # now that nobody can prune it
        _write(store, pinned(store) | {name})
    return version


def unpin(store: str | Path, name: str) -> None:
    """Leave a version to the next prune.

    Raises
    ------
    StoreError
        If it is not pinned, or the store cannot be written.
    """
    store = Path(store)
    if name not in pinned(store):
        known = ", ".join(sorted(pinned(store))) or "none is"
        raise StoreError(
            f"store {store}: expected a pinned version, got {name!r}; pinned are: {known}"
        )
    with errors_of_writing(store, f"unpin {name}"), only_writer(store / CURRENT_LOCK):
        _write(store, pinned(store) - {name})


def _write(store: Path, names: frozenset[str]) -> None:
    replace_text(store / PINNED, "\n".join(sorted(names)))
