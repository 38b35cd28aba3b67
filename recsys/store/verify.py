"""Verify every file of a version against its manifest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import CorruptVersionError
from recsys.store.attribute_files import ATTRIBUTES, read_attribute_table
from recsys.store.content import Content
from recsys.store.feature_files import FEATURES
from recsys.store.item_times import TIMES, read_item_times
from recsys.store.parquet_files import (
    ITEMS,
    USERS,
    ItemTable,
    UserTable,
    read_item_table,
    read_user_table,
)
from recsys.store.serving_files import MAPPED_ITEMS, MAPPED_USERS
from recsys.store.sound import Lease, check_files, of_sound_copy
from recsys.store.versions import Version, find_version
from recsys.vectors import Ids
from recsys.vectors.ids import Kind
from recsys.vectors.storage import StoredMatrix, encode

_Table = UserTable | ItemTable
_Pairs = Sequence[tuple[NDArray[Any] | None, NDArray[Any] | None]]


def verify(store: str | Path, version: str | None = None) -> Version:
    """Check every file of a version: its presence, size, checksum and content.

    Parameters
    ----------
    version : str, optional
        Default: the current one.

    Raises
    ------
    CorruptVersionError
        If a file differs from what its manifest says; names the file and the damage.
    VersionNotFoundError
        If there is no such version.
    UnreadableError
        If a file cannot be read now.
    StoreError
        If it was made by another release of recsys.
    """
    found = find_version(store, version)
    of_sound_copy(found, lambda: _check(found))
    return found


def _check(version: Version) -> None:
    with Lease(version.folder):
        check_files(version)
        users, items = (read_user_table(version.folder), read_item_table(version.folder))
        _check_shapes(version, users, items)
        _check_users(version, users)
        _check_items(version, items)
        content = Content.of(version)
        _check_features(content)
        _check_copies(content, users, items)


def _check_shapes(version: Version, users: UserTable, items: ItemTable) -> None:
    manifest = version.manifest
    for name, table, n_rows in ((USERS, users, manifest.n_users), (ITEMS, items, manifest.n_items)):
        shape = table.embeddings.shape
        expected = f"space {manifest.space_id}, {n_rows} rows, {manifest.factors} factors"
        found = f"space {table.space_id}, {shape[0]} rows, {shape[1]} factors"
        _require(found == expected, version.folder / name, expected, found)


def _check_users(version: Version, users: UserTable) -> None:
    path, n_items = version.folder / USERS, version.manifest.n_items
    seen = users.seen
    _require(bool(np.isfinite(users.embeddings).all()), path, "finite embeddings", "others")
    found, expected = len(seen.item_idx), version.manifest.n_seen
    _require(found == expected, path, f"{expected} seen items", str(found))
    in_range = ((seen.item_idx >= 0) & (seen.item_idx < n_items)).all()
    _require(bool(in_range), path, f"seen items from 0 to {n_items - 1}", "others")
    ascends = np.diff(seen.item_idx) > 0
    starts = seen.starts[1:-1]
    ascends[starts[(starts > 0) & (starts < len(seen.item_idx))] - 1] = True
    _require(bool(ascends.all()), path, "seen items that ascend within a user", "others")
    _check_attributes(version, "user", users.ids)


def _check_attributes(version: Version, side: Kind, ids: Ids) -> None:
    if ATTRIBUTES[side] in version.manifest.files:
        attributes = read_attribute_table(version.folder, side)
        same = Ids(attributes[f"{side}_id"]) == ids
        _require(
            same,
            version.folder / ATTRIBUTES[side],
            f"{side}s of {side}s.parquet, in order",
            "others",
        )


def _check_items(version: Version, items: ItemTable) -> None:
    folder = version.folder
    for name, vectors in (("embeddings", items.embeddings), ("summands", items.summands)):
        is_finite = vectors is None or bool(np.isfinite(vectors).all())
        _require(is_finite, folder / ITEMS, f"finite {name}", "others")
    for name, counts in (("popularity", items.popularity), ("dislikes", items.dislikes)):
        is_count = counts is None or bool((counts >= 0).all())
        _require(is_count, folder / ITEMS, f"{name} of 0 or more", "less")
    _check_attributes(version, "item", items.ids)
    if TIMES in version.manifest.files:
        n = len(read_item_times(folder))
        _require(n == len(items.ids), folder / TIMES, f"{len(items.ids)} items", str(n))


def _check_features(content: Content) -> None:
    """Read the maps, which are of the features that the manifest names, in the space of both."""
    kinds: tuple[Kind, ...] = ("item", "user")
    for side in kinds:
        found = content.feature_map(side)
        if found is not None:
            path = content.version.folder / FEATURES[side]
            _require(bool(np.isfinite(found.map).all()), path, "finite embeddings", "others")


def _check_copies(content: Content, users: UserTable, items: ItemTable) -> None:
    """Compare the copies that serving maps into memory to the Parquet files."""
    seen, copied_seen = users.seen, content.users.seen
    of_users = (
        (copied_seen.starts, seen.starts),
        (copied_seen.item_idx, seen.item_idx),
        (copied_seen.weight, seen.weight),
        (copied_seen.day, seen.day),
    )
    of_items = (
        (content.items.popularity, items.popularity),
        (content.items.recent, items.recent),
        (content.items.dislikes, items.dislikes),
        (content.items.summands, items.summands),
        (np.sort(content.popular), np.arange(len(items.ids))),
    )
    _check_copy(content, MAPPED_USERS, content.users, users, of_users)
    _check_copy(content, MAPPED_ITEMS, content.items, items, of_items)


def _check_copy(content: Content, name: str, copy: _Table, table: _Table, pairs: _Pairs) -> None:
    rows = copy.ids.rows(table.ids.tolist())
    vectors = table.embeddings
    if isinstance(copy.embeddings, StoredMatrix):
        vectors = encode(vectors, "int8").decode()
    own = ((copy.embeddings, vectors), (rows, np.arange(len(table.ids))))
    is_same = copy.ids == table.ids and all(_is_same(*pair) for pair in (*pairs, *own))
    path = content.version.folder / name
    _require(is_same, path, "the same as the Parquet file", "something else")


def _is_same(a: NDArray[Any] | None, b: NDArray[Any] | None) -> bool:
    return a is b is None or (a is not None and b is not None and np.array_equal(a, b))


def _require(holds: bool, path: Path, expected: str, found: str) -> None:
    if not holds:
        raise CorruptVersionError(
            f"{path}: expected {expected}, got {found}; train again, or activate another version"
        )
