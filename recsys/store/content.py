"""Read a version: everything that serving needs, checked to belong together."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from recsys.errors import CorruptVersionError
from recsys.index import Index, load_index
from recsys.store import files
from recsys.store.directory import Version
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
    """Open a version; its size on the disk is checked, `verify` checks every byte.

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


def _facts_of(table: UserTable | ItemTable) -> tuple[Any, ...]:
    return (table.space_id, *table.embeddings.shape)
