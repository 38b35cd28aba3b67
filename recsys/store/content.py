"""Read a version: everything that serving needs, checked to belong together."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from recsys.errors import CorruptVersionError
from recsys.index import Index, load_index
from recsys.store import files
from recsys.store.directory import Version
from recsys.store.durable import sha256_of
from recsys.store.files import ItemTable, UserTable
from recsys.store.publishing import SERVING


@dataclass(frozen=True, eq=False)
class Content:
    """What a version holds, open for reading.

    Parameters
    ----------
    version : Version
    users : UserTable
    items : ItemTable
    index : Index
    """

    version: Version
    users: UserTable
    items: ItemTable
    index: Index

    @cached_property
    def attributes(self) -> pa.Table | None:
        """Row i describes item i; None where the version has no attributes."""
        if files.ATTRIBUTES not in self.version.manifest.files:
            return None
        return files.read_attributes(self.version.folder)


def read_version(version: Version) -> Content:
    """Open a version.

    Sizes are checked, and the content of what a damaged byte would make dangerous: pages of
    Parquet by their own checksums, the index by that of the manifest, because a forest with a
    wrong link can send a search in circles. `verify` checks every byte.

    Raises
    ------
    CorruptVersionError
        If a file is missing, has another size than the manifest says, cannot be read, or does
        not belong with the others; the file is named.
    StoreError
        If a file may not be read, or was made by another release of recsys.
    """
    manifest = version.manifest
    check_sizes(version)
    users = files.read_users(version.folder)
    items = files.read_items(version.folder)
    for name, expected, found in (
        (files.USERS, (manifest.space_id, manifest.n_users, manifest.factors), _facts_of(users)),
        (files.ITEMS, (manifest.space_id, manifest.n_items, manifest.factors), _facts_of(items)),
    ):
        if found != expected:
            raise CorruptVersionError(
                f"{version.folder / name}: expected space, rows and factors {expected}, got "
                f"{found}; it belongs to another version: activate one that is whole"
            )
    check_checksums(version, f"{SERVING}/")
    index = load_index(items.embeddings, version.folder / SERVING, dict(manifest.index))
    return Content(version, users, items, index)


def check_sizes(version: Version) -> None:
    """Raise a CorruptVersionError for the first file that is missing or has another size."""
    for name, facts in version.manifest.files.items():
        path = version.folder / name
        with files.errors_of_reading(path):
            found = path.stat().st_size
        if found != facts.bytes:
            raise CorruptVersionError(
                f"{path}: expected {facts.bytes} bytes, got {found}; "
                "train again, or activate another version"
            )


def check_checksums(version: Version, prefix: str = "") -> None:
    """Raise a CorruptVersionError for the first file with another checksum than it should."""
    for name, facts in version.manifest.files.items():
        if not name.startswith(prefix):
            continue
        path = version.folder / name
        with files.errors_of_reading(path):
            found = sha256_of(path)
        if found != facts.sha256:
            raise CorruptVersionError(
                f"{path}: expected sha256 {facts.sha256}, got {found}; "
                "train again, or activate another version"
            )


def _facts_of(table: UserTable | ItemTable) -> tuple[Any, ...]:
    return (table.space_id, *table.embeddings.shape)
