"""Verify: every file of a version against its manifest."""

from pathlib import Path

import numpy as np

from recsys.errors import CorruptVersionError
from recsys.store.content import Content, check_checksums, check_sizes, read_version
from recsys.store.directory import Version, find_version
from recsys.store.files import ATTRIBUTES, ITEMS, USERS
from recsys.vectors import Ids


def verify(store: str | Path, version: str | None = None) -> Version:
    """Check every file of a version: there, of its size, with its checksum, and making sense.

    Parameters
    ----------
    store : path
    version : str, optional
        Default: the current one.

    Returns
    -------
    Version
        The version, which is what its manifest says.

    Raises
    ------
    CorruptVersionError
        If something is not; names the file and says what is wrong with it.
    VersionNotFoundError
        If there is no such version.
    StoreError
        If a file may not be read, or was made by another release of recsys.
    """
    found = find_version(store, version)
    if found.manifest.version != found.name:
        raise CorruptVersionError(
            f"{found.folder}: expected the manifest of version {found.name}, got that of "
            f"{found.manifest.version}; a published directory must keep its name"
        )
    check_sizes(found)
    check_checksums(found)
    content = read_version(found)
    _check_users(content)
    _check_items(content)
    return found


def _check_users(content: Content) -> None:
    path = content.version.folder / USERS
    n_items = len(content.items.ids)
    seen = content.users.seen
    _require(bool(np.isfinite(content.users.embeddings).all()), path, "finite embeddings", "others")
    found, expected = len(seen.item_idx), content.version.manifest.n_seen
    _require(found == expected, path, f"{expected} seen items", str(found))
    in_range = ((seen.item_idx >= 0) & (seen.item_idx < n_items)).all()
    _require(bool(in_range), path, f"seen items from 0 to {n_items - 1}", "others")
    ascends = np.diff(seen.item_idx) > 0
    starts = seen.starts[1:-1]
    ascends[starts[(starts > 0) & (starts < len(seen.item_idx))] - 1] = True
    _require(bool(ascends.all()), path, "seen items that ascend within a user", "others")


def _check_items(content: Content) -> None:
    folder, items = content.version.folder, content.items
    is_finite = bool(np.isfinite(items.embeddings).all())
    _require(is_finite, folder / ITEMS, "finite embeddings", "others")
    is_count = bool((items.popularity >= 0).all())
    _require(is_count, folder / ITEMS, "popularity of 0 or more", "less")
    if content.attributes is not None:
        same = Ids(content.attributes["item_id"]) == items.ids
        _require(same, folder / ATTRIBUTES, f"the items of {ITEMS}, in order", "others")


def _require(holds: bool, path: Path, expected: str, found: str) -> None:
    if not holds:
        raise CorruptVersionError(
            f"{path}: expected {expected}, got {found}; train again, or activate another version"
        )
