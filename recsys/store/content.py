"""Open a version: lease it, check it, map it into memory; and vectors of two versions."""

import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.durable import sha256_of
from recsys.base.errors import CorruptVersionError, DataError, StoreError, VersionNotFoundError
from recsys.base.locks import Held, share, state_of
from recsys.base.reading import errors_of_reading, fault_of, patiently
from recsys.index import Index, load_index
from recsys.store import tables
from recsys.store.manifest import MANIFEST
from recsys.store.serving_files import (
    SERVING,
    UserLookup,
    open_items,
    open_popular,
    open_user_lookup,
    open_users,
)
from recsys.store.tables import ITEMS, USERS, ItemTable, UserTable, read_items, read_users
from recsys.store.versions import Version, current, find_version
from recsys.vectors import NamedVectors
from recsys.vectors.ids import Kind


class Lease:
    """Keeps a version from being pruned while this object lives, or within a ``with`` block.

    Parameters
    ----------
    folder : path
        Of the version.

    Raises
    ------
    VersionNotFoundError
        If the version has been pruned, or is right now.
    CorruptVersionError
        If the manifest is missing.
    StoreError
        If the manifest may not be read.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / MANIFEST
        try:
            # Without O_NONBLOCK a pipe in its place would wait for a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError) as error:
            if folder.is_dir():
                raise fault_of(path, error) from error
            raise _gone(folder) from error
        except OSError as error:
            raise fault_of(path, error) from error
        self._close = weakref.finalize(self, os.close, descriptor)
        share(descriptor)
        if not _is_at(path, descriptor):  # moved away between the two
            raise _gone(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


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


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _gone(folder: Path) -> VersionNotFoundError:
    return VersionNotFoundError(
        f"{folder}: expected a version, got one that has been pruned; open another"
    )


INDEX = f"{SERVING}/index"
SIMILAR: dict[Kind, str] = {
    "item": f"{SERVING}/similar_items",
    "user": f"{SERVING}/similar_users",
}

MAX_CHECKED_BYTES = 32 * 1024**2
"""Whose checksums are compared on opening: some 20 milliseconds."""


@dataclass(frozen=True, eq=False)
class Content:
    """What a version holds, open for reading.

    Parameters
    ----------
    user_lookup : UserLookup
        The same as `users`, looked up one at a time.
    lease : Lease or None
        Keeps the version from being pruned while this is open, as some files are opened later.
    """

    version: Version
    users: UserTable
    items: ItemTable
    index: Index
    user_lookup: UserLookup
    lease: Lease | None

    @classmethod
    def of(cls, version: Version) -> Self:
        """Open a version: map its files into memory.

        Sizes are checked, and the checksums of the smallest files, up to 32 MB of them: all of a
        small version. `verify` checks every byte. Damage that is not found here can make answers
        wrong, but leads no search out of bounds and to no other user's row: headers are read
        strictly, and offsets, rows and ids are checked where they are used.

        Raises
        ------
        VersionNotFoundError
            If the version has been pruned.
        CorruptVersionError
            If a file is missing, has another size than the manifest says, cannot be read, or does
            not belong with the others; the file is named.
        UnreadableError
            If a file cannot be read now; what may pass by itself was tried again.
        StoreError
            If it was made by another release of recsys.
        """
        version = version.absolute()  # as some files are opened later, maybe from elsewhere
        with errors_of_reading(version.folder):
            return patiently(lambda: cls._of(version))

    @classmethod
    def _of(cls, version: Version) -> Self:
        lease = Lease(version.folder) if version.staged is None else None
        manifest, folder = version.manifest, version.folder
        check_sizes(version)
        check_checksums(version, MAX_CHECKED_BYTES)
        users_shape = (manifest.n_users, manifest.factors)
        users = open_users(folder, manifest.space_id, users_shape, manifest.n_seen)
        items = open_items(folder, manifest.space_id, (manifest.n_items, manifest.factors))
        index = load_index(items.embeddings, folder / INDEX, manifest.index.main)
        lookup = open_user_lookup(folder, users, manifest.n_items)
        return cls(version, users, items, index, lookup, lease)

    @cached_property
    def attributes(self) -> pa.Table | None:
        """Row i describes item i; None where the version has no attributes."""
        if tables.ATTRIBUTES not in self.version.manifest.files:
            return None
        return tables.read_attributes(self.version.folder)

    @cached_property
    def popular(self) -> NDArray[np.int32]:
        """The rows of the items, the most popular first."""
        return open_popular(self.version.folder, len(self.items.ids))

    def similar(self, kind: Kind) -> Index | None:
        """Return the index by cosine of users or of items; None where there is none."""
        summary = self.version.manifest.index.similar.get(kind)
        if summary is None:
            return None
        vectors = (self.users if kind == "user" else self.items).embeddings
        return load_index(vectors, self.version.folder / SIMILAR[kind], summary)


def open_version(store: str | Path, name: str | None = None) -> Content:
    """Open a version of a store by name, by default the current one.

    After CURRENT was read, another version may become current and the first one be pruned before
    its files are open. Then the new current version is opened.

    Raises
    ------
    VersionNotFoundError
        If there is no such version, or none is current.
    StoreError
        As `Content.of`, or if the store cannot be read.
    """
    if name is not None:
        return Content.of(find_version(store, name))
    while True:
        named = current(store)
        try:
            return Content.of(find_version(store))
        except StoreError:
            if current(store) == named:  # so it was not pruned
                raise


def check_sizes(version: Version) -> None:
    """Raise a CorruptVersionError for the first file that is missing or has another size."""
    for name, facts in version.manifest.files.items():
        path = version.folder / name
        with errors_of_reading(path):
            status = path.stat()
        is_file, found = stat.S_ISREG(status.st_mode), status.st_size
        if found != facts.bytes or not is_file:
            raise CorruptVersionError(
                f"{path}: expected {facts.bytes} bytes, got {found if is_file else 'no file'}; "
                "train again, or activate another version"
            )


def check_checksums(version: Version, max_bytes: int | None = None) -> None:
    """Raise a CorruptVersionError for the first file with another checksum than it should."""
    by_size = sorted(version.manifest.files.items(), key=lambda named: named[1].bytes)
    n_bytes = 0
    for name, facts in by_size:
        n_bytes += facts.bytes
        if max_bytes is not None and n_bytes > max_bytes:
            break
        path = version.folder / name
        with errors_of_reading(path):
            found = sha256_of(path)
        if found != facts.sha256:
            raise CorruptVersionError(
                f"{path}: expected sha256 {facts.sha256}, got {found}; "
                "train again, or activate another version"
            )


def read_vectors(users: str | Path, items: str | Path) -> tuple[NamedVectors, NamedVectors]:
    """Read the users of one version and the items of one, which may be another.

    Versions that were aligned share a space: yesterday's users can be compared to today's items.

    Parameters
    ----------
    users, items : path
        Folders of versions, or ones that users.parquet and items.parquet were copied to.

    Returns
    -------
    users, items : NamedVectors
        Of one space: the dot product of a user and an item is a score.

    Raises
    ------
    DataError
        If the two are of different spaces, as their dot products would mean nothing.
    CorruptVersionError
        If a file is missing or damaged.

    Examples
    --------
    ::

        monday, friday = recsys.versions("store")[4].folder, recsys.versions("store")[0].folder
        users, items = recsys.read_vectors(users=monday, items=friday)
        items.nearest(users["u42"], k=10, by="dot")
    """
    user_table, item_table = read_users(Path(users)), read_items(Path(items))
    ours, theirs = user_table.space_id, item_table.space_id
    if ours != theirs:
        raise DataError(
            f"{Path(items) / ITEMS}: expected items of space {ours!r}, as {Path(users) / USERS} "
            f"is, got {theirs!r}; two spaces share no coordinates, so take both files from one "
            "version, or from versions whose manifests say the same space_id"
        )
    return (
        NamedVectors(user_table.ids, user_table.embeddings, "user", ours, f"in {users}"),
        NamedVectors(item_table.ids, item_table.embeddings, "item", theirs, f"in {items}"),
    )
