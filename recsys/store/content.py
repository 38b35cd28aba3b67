"""Read a version: everything that serving needs, checked to belong together."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.errors import CorruptVersionError, StoreError
from recsys.index import Index, load_index
from recsys.store import files
from recsys.store.directory import Version, current, find_version
from recsys.store.durable import sha256_of
from recsys.store.files import ItemTable, UserTable
from recsys.store.lease import Lease
from recsys.store.mapped import (
    SERVING,
    open_items,
    open_popular,
    open_single_users,
    open_users,
)
from recsys.store.single_users import SingleUsers

INDEX = f"{SERVING}/index"
SIMILAR: dict[str, str] = {
    "item": f"{SERVING}/similar_items",
    "user": f"{SERVING}/similar_users",
}

_CHECKED_BYTES = 32 * 1024**2  # whose checksums opening compares: some 20 milliseconds


@dataclass(frozen=True, eq=False)
class Content:
    """What a version holds, open for reading.

    Parameters
    ----------
    version : Version
    users : UserTable
    items : ItemTable
    index : Index
    single_users : SingleUsers
        The same as `users`, looked up one at a time.
    lease : Lease or None
        Keeps the version from being pruned while this is open: some files are opened late.
    """

    version: Version
    users: UserTable
    items: ItemTable
    index: Index
    single_users: SingleUsers
    lease: Lease | None

    @cached_property
    def attributes(self) -> pa.Table | None:
        """Row i describes item i; None where the version has no attributes."""
        if files.ATTRIBUTES not in self.version.manifest.files:
            return None
        return files.read_attributes(self.version.folder)

    @cached_property
    def popular(self) -> NDArray[np.int32]:
        """The rows of the items, the most popular first."""
        return open_popular(self.version.folder, len(self.items.ids))

    def similar(self, kind: Literal["user", "item"]) -> Index | None:
        """Return the index by cosine of users or of items; None where there is none."""
        facts = self.version.manifest.index.get(f"similar_{kind}s")
        if facts is None:
            return None
        table = self.users if kind == "user" else self.items
        return load_index(table.embeddings, self.version.folder / SIMILAR[kind], facts)


def read_version(version: Version, *, is_staged: bool = False) -> Content:
    """Open a version: map its files into memory.

    Sizes are checked, and the checksums of the smallest files, up to 32 MB of them: all of a small
    version. `verify` checks every byte of any. What damage it does not see can make answers wrong,
    but leads no search astray.

    Raises
    ------
    VersionNotFoundError
        If the version has been pruned.
    CorruptVersionError
        If a file is missing, has another size than the manifest says, cannot be read, or does
        not belong with the others; the file is named.
    StoreError
        If a file may not be read, or was made by another release of recsys.
    """
    lease = None if is_staged else Lease(version.folder)
    manifest, folder = version.manifest, version.folder
    check_sizes(version)
    check_checksums(version, _CHECKED_BYTES)
    users_shape = (manifest.n_users, manifest.factors)
    users = open_users(folder, manifest.space_id, users_shape, manifest.n_seen)
    items = open_items(folder, manifest.space_id, (manifest.n_items, manifest.factors))
    index = load_index(items.embeddings, folder / INDEX, manifest.index)
    return Content(version, users, items, index, open_single_users(folder, users), lease)


def open_version(store: str | Path, name: str | None = None) -> Content:
    """Open a version of a store by name, by default the current one.

    Between a look at CURRENT and the opening of the files another version may become current, and
    the first one be pruned: what is current then is opened instead.

    Raises
    ------
    VersionNotFoundError
        If there is no such version, or none is current.
    StoreError
        As `read_version`, or if the store cannot be read.
    """
    if name is not None:
        return read_version(find_version(store, name))
    while True:
        named = current(store)
        try:
            return read_version(find_version(store))
        except StoreError:
            if current(store) == named:  # so nobody has pruned it
                raise


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


def check_checksums(version: Version, most_bytes: int | None = None) -> None:
    """Raise a CorruptVersionError for the first file with another checksum than it should.

    Parameters
    ----------
    version : Version
    most_bytes : int, optional
        Leave out the largest files, so that the others have no more bytes. Default: none.
    """
    by_size = sorted(version.manifest.files.items(), key=lambda named: named[1].bytes)
    n_bytes = 0
    for name, facts in by_size:
        n_bytes += facts.bytes
        if most_bytes is not None and n_bytes > most_bytes:
            break
        path = version.folder / name
        with files.errors_of_reading(path):
            found = sha256_of(path)
        if found != facts.sha256:
            raise CorruptVersionError(
                f"{path}: expected sha256 {facts.sha256}, got {found}; "
                "train again, or activate another version"
            )
