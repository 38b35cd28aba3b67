"""Open a version: lease it, check it, map it into memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import StoreError
from recsys.base.lazy import lazy_property
from recsys.base.reading import errors_of_reading, patiently
from recsys.index import Index, load_index
from recsys.store.attribute_files import (
    ATTRIBUTES,
    DESCRIBED_USERS,
    attribute_schema,
    read_attribute_table,
    read_described_users,
    read_some_attributes,
)
from recsys.store.item_json import ItemJson
from recsys.store.item_times import TIMES, ItemTimes, read_item_times
from recsys.store.parquet_files import ItemTable, UserTable
from recsys.store.serving_files import (
    SERVING,
    UserLookup,
    open_items,
    open_popular,
    open_user_lookup,
    open_users,
)
from recsys.store.sound import Lease, check_quickly, of_sound_copy
from recsys.store.versions import Version, current, find_version
from recsys.vectors.ids import Kind

if TYPE_CHECKING:
    from recsys.features import FeatureMap

INDEX = f"{SERVING}/index"
SIMILAR: dict[Kind, str] = {"item": f"{SERVING}/similar_items", "user": f"{SERVING}/similar_users"}


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
            return of_sound_copy(version, lambda: patiently(lambda: cls._of(version)))

    @classmethod
    def _of(cls, version: Version) -> Self:
        lease = Lease(version.folder) if version.staged is None else None
        manifest, folder = version.manifest, version.folder
        check_quickly(version)
        users_shape = (manifest.n_users, manifest.factors)
        users = open_users(folder, manifest.space_id, users_shape, manifest.n_seen)
        items = open_items(folder, manifest.space_id, (manifest.n_items, manifest.factors))
        index = load_index(items.embeddings, folder / INDEX, manifest.index.main)
        lookup = open_user_lookup(folder, users, manifest.n_items)
        return cls(version, users, items, index, lookup, lease)

    @lazy_property
    def attributes(self) -> pa.Table | None:
        """Row i describes item i; None where the version has no attributes."""
        return read_attribute_table(self.version.folder) if self._has("item") else None

    @property
    def user_attributes(self) -> pa.Table | None:
        """Row i describes user i; None where the version has no attributes of users.

        It is read each time: of many users, a table takes more memory than all that serves them.
        """
        return read_attribute_table(self.version.folder, "user") if self._has("user") else None

    @lazy_property
    def user_columns(self) -> tuple[str, ...]:
        """The names of the attributes of users; none where the version has no such."""
        if not self._has("user"):
            return ()
        return tuple(attribute_schema(self.version.folder, "user").names)

    def some_user_attributes(self, names: Sequence[str]) -> pa.Table:
        """Return some of the attributes of users, read now."""
        return read_some_attributes(self.version.folder, "user", names, len(self.users.ids))

    @property
    def described_users(self) -> pa.Table | None:
        """The attributes of users who have no events; None where a model knows of none.

        They are in no other table of the version, and are read each time.
        """
        if DESCRIBED_USERS not in self.version.manifest.files:
            return None
        return read_described_users(self.version.folder)

    def _has(self, side: Kind) -> bool:
        return ATTRIBUTES[side] in self.version.manifest.files

    def feature_map(self, side: Kind) -> "FeatureMap | None":
        """Return how attributes of an item or a user become its embedding; None where unknown."""
        from recsys.store.feature_files import read_feature_map  # not needed to serve

        manifest = self.version.manifest
        facts = manifest.features.get(f"{side}s")
        if facts is None:
            return None
        shape = int(facts["n_features"]), manifest.factors
        return read_feature_map(self.version.folder, side, shape, manifest.space_id)

    @lazy_property
    def map_of_new_items(self) -> "FeatureMap | None":
        """The map of items, and the known ones that new ones are compared to; None where unknown.

        The attributes of all items are encoded for it, once.
        """
        from recsys.features import KnownItems  # not needed to serve

        found, table = self.feature_map("item"), self.attributes
        if found is None or table is None:
            return found
        rows, vectors = found.encoder.rows(table), np.asarray(self.items.embeddings)
        return replace(found, known=KnownItems.of(rows, vectors, self.items.popularity, found.map))

    @lazy_property
    def times(self) -> ItemTimes | None:
        """What the time of events says of items; None without time, and in old versions."""
        if TIMES not in self.version.manifest.files:
            return None
        return read_item_times(self.version.folder)

    @lazy_property
    def item_json(self) -> ItemJson | None:
        """Each item as JSON; None where the version was made before there was any."""
        return ItemJson.open(self.version.folder, len(self.items.ids))

    @lazy_property
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
