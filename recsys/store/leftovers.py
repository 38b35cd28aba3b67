"""What should not lie among the versions: removed where it is ours, else passed over by name."""

import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from recsys.store.versions import is_version_name

STAGING = ".staging-"
"""Start of the name of a folder that is being published."""

TRASH = ".trash-"
"""Start of the name of a folder that was a version and is being deleted."""


def remove_leftovers(versions: Path) -> list[str]:
    """Remove folders left by crashed publishers and pruners; the caller holds the publish lock.

    Returns
    -------
    list of str
        A sentence for each that cannot be removed: of another user, or with a file that a reader
        on another machine holds open (``.nfs...``). The next call tries again.
    """
    kept = []
    for folder in _left(versions):
        if folder.is_symlink() or not folder.is_dir():
            kept.append(f"{folder}: expected a folder that recsys left, got {_kind(folder)}; ")
            continue
        try:
            shutil.rmtree(folder)
        except OSError as error:
            at = error.filename or folder
            kept.append(f"{folder}: cannot be deleted: {at}: {error.strerror}; ")
    return [f"{one}passed over; delete it by hand" for one in kept]


def strays(versions: Path) -> list[str]:
    """Return a sentence for everything among the versions that is none."""
    found = []
    for path in sorted(versions.iterdir()) if versions.is_dir() else ():
        if path.name.startswith((STAGING, TRASH)):
            continue
        if not is_version_name(path.name) or not path.is_dir():
            found.append(
                f"{path}: expected a version, got {_kind(path)}; passed over; delete it by hand"
            )
    return found


def why_kept(folder: Path) -> str | None:
    """Return why a version cannot be deleted by this process, None where it can."""
    if folder.is_symlink():
        return "symlink"
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    if all(os.access(path, os.W_OK | os.X_OK) for path in folders):
        return None
    return "of another user"


def warn_all(sentences: Iterable[str]) -> None:
    """Warn of each."""
    for sentence in sentences:
        warnings.warn(sentence, RuntimeWarning, stacklevel=1)


def _left(versions: Path) -> Iterator[Path]:
    for prefix in (STAGING, TRASH):
        yield from sorted(versions.glob(f"{prefix}*"))


def _kind(path: Path) -> str:
    if path.is_symlink():
        return "a symlink" if path.exists() else "a symlink to nothing"
    return "a folder" if path.is_dir() else "a file"
