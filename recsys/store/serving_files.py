"""The files under serving/: tables mapped into memory, and users read row by row from disk."""

import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.arrays import open_array
from recsys.base.reading import damaged, errors_of_reading
from recsys.store.tables import ItemTable, SeenLists, UserTable
from recsys.vectors import FloatVector, Id, Ids
from recsys.vectors.ids import IdTable, canonical, find_row, n_home_slots


class FileArray:
    """The array of a file that `np.save` wrote, read in slices; the file stays open.

    Nothing is mapped: a page read through a map would stay in the private memory of the process.

    Parameters
    ----------
    array : ndarray
        The same array, mapped: its length and type.
    """

    def __init__(self, path: Path, array: NDArray[Any]) -> None:
        with errors_of_reading(path):
            self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._path = path
        self._offset = path.stat().st_size - array.nbytes  # the array ends the file
        self._n, self._kind, self._item_bytes = array.size, array.dtype.char, array.itemsize

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, numbers: slice, /) -> memoryview:
        """Return a slice with a start and a stop, cut to the array as that of a list is."""
        kind: Any = self._kind  # the overloads of `cast` know only literals
        return memoryview(self.read(numbers.start, numbers.stop)).cast(kind)

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes of `array[start:end]`; `recommend` calls it four times."""
        end = min(end, self._n)
        n_bytes = (end - start) * self._item_bytes
        if n_bytes <= 0:
            return b""
        if start < 0:
            raise damaged(self._path, f"expected a row of it, got {start}")
        found = os.pread(self._file, n_bytes, self._offset + start * self._item_bytes)
        if len(found) != n_bytes:
            raise damaged(self._path, f"expected {n_bytes} bytes at {start}, got {len(found)}")
        return found


_ENDS = Struct("=qq")


@dataclass(frozen=True, eq=False)
class UserLookup:
    """The users of a version, each read from the files when it is looked up."""

    n: int
    are_integers: bool  # whether the log spelled the ids as integers
    slots: FileArray  # of the hash table of the ids
    embeddings: FileArray  # of float32, row by row
    starts: FileArray  # of the seen lists
    item_idx: FileArray
    weight: FileArray | None
    factors: int

    def find(self, user_id: Id) -> int | None:
        """Return the row of a user, by either form of the id, or None."""
        spelled = canonical(user_id, integers=self.are_integers)
        return None if spelled is None else find_row(spelled, self.n, self.slots)

    def embedding(self, user_idx: int) -> FloatVector:
        """Return the embedding of a row."""
        first = user_idx * self.factors
        return np.frombuffer(self.embeddings.read(first, first + self.factors), np.float32)

    def seen(self, user_idx: int) -> NDArray[np.int32]:
        """Return the seen items of a row, ascending."""
        return np.frombuffer(self.item_idx.read(*self._ends(user_idx)), np.int32)

    def seen_weights(self, user_idx: int) -> NDArray[np.float32]:
        """Return the weight of each seen item of a row."""
        start, end = self._ends(user_idx)
        if self.weight is None:
            return np.ones(end - start, dtype=np.float32)
        return np.frombuffer(self.weight.read(start, end), np.float32)

    def _ends(self, user_idx: int) -> tuple[int, int]:
        """Return the start and the end of the seen items of a row."""
        start, end = _ENDS.unpack(self.starts.read(user_idx, user_idx + 2))
        return start, end


SERVING = "serving"
USERS, ITEMS = f"{SERVING}/users", f"{SERVING}/items"

_IDS, _ID_SLOTS = "ids.arrow", "id_slots.npy"
_EMBEDDINGS, _POPULARITY = "embeddings.npy", "popularity.npy"
_SEEN_STARTS, _SEEN_ITEMS = "seen_starts.npy", "seen_items.npy"
_SEEN_WEIGHTS, _RECENT, _POPULAR = "seen_weights.npy", "recent.npy", "popular.npy"


def write_mapped(version: Path, users: UserTable, items: ItemTable) -> None:
    """Write the tables of a version as files to map."""
    for name, table in ((USERS, users), (ITEMS, items)):
        folder = version / name
        folder.mkdir(parents=True)
        _write_ids(folder, table.ids)
        np.save(folder / _EMBEDDINGS, np.ascontiguousarray(table.embeddings))
    np.save(version / USERS / _SEEN_STARTS, users.seen.starts)
    np.save(version / USERS / _SEEN_ITEMS, users.seen.item_idx)
    if users.seen.weight is not None:
        np.save(version / USERS / _SEEN_WEIGHTS, users.seen.weight)
    np.save(version / ITEMS / _POPULARITY, items.popularity)
    if items.recent is not None:
        np.save(version / ITEMS / _RECENT, items.recent)
    np.save(version / ITEMS / _POPULAR, _by_popularity(items))


def open_users(version: Path, space_id: str, shape: tuple[int, int], n_seen: int) -> UserTable:
    """Map the users of a version."""
    folder = version / USERS
    seen = SeenLists(
        starts=open_array(folder / _SEEN_STARTS, np.int64, (shape[0] + 1,)),
        item_idx=open_array(folder / _SEEN_ITEMS, np.int32, (n_seen,)),
        weight=_array_if_there(folder / _SEEN_WEIGHTS, np.float32, (n_seen,)),
    )
    return UserTable(
        ids=_open_ids(folder, shape[0]),
        embeddings=open_array(folder / _EMBEDDINGS, np.float32, shape),
        seen=seen,
        space_id=space_id,
    )


def open_user_lookup(version: Path, users: UserTable) -> UserLookup:
    """Open the same users to be looked up one at a time."""
    folder, seen = version / USERS, users.seen
    return UserLookup(
        n=len(users.ids),
        are_integers=users.ids.are_integers,
        slots=FileArray(folder / _ID_SLOTS, users.ids.table().slots),
        embeddings=FileArray(folder / _EMBEDDINGS, users.embeddings),
        starts=FileArray(folder / _SEEN_STARTS, seen.starts),
        item_idx=FileArray(folder / _SEEN_ITEMS, seen.item_idx),
        weight=None if seen.weight is None else FileArray(folder / _SEEN_WEIGHTS, seen.weight),
        factors=users.embeddings.shape[1],
    )


def open_items(version: Path, space_id: str, shape: tuple[int, int]) -> ItemTable:
    """Map the items of a version; see `open_users`."""
    folder = version / ITEMS
    return ItemTable(
        ids=_open_ids(folder, shape[0]),
        embeddings=open_array(folder / _EMBEDDINGS, np.float32, shape),
        popularity=open_array(folder / _POPULARITY, np.int64, (shape[0],)),
        space_id=space_id,
        recent=_array_if_there(folder / _RECENT, np.float32, (shape[0],)),
    )


def open_popular(version: Path, n_items: int) -> NDArray[np.int32]:
    """Map the rows of the items of a version, the most popular first."""
    return open_array(version / ITEMS / _POPULAR, np.int32, (n_items,))


def _by_popularity(items: ItemTable) -> NDArray[np.int32]:
    """Return rows by recent popularity, then by popularity, ties by lower row."""
    recent = items.popularity if items.recent is None else items.recent
    return np.lexsort((-items.popularity, -recent)).astype(np.int32)


def _write_ids(folder: Path, ids: Ids) -> None:
    np.save(folder / _ID_SLOTS, ids.table().slots)
    batch = pa.record_batch({"id": ids.values})
    with (
        pa.OSFile(str(folder / _IDS), "wb") as file,
        pa.ipc.new_file(file, batch.schema) as writer,
    ):
        writer.write_batch(batch)


def _open_ids(folder: Path, n_rows: int) -> Ids:
    path = folder / _IDS
    with errors_of_reading(path, ValueError, pa.ArrowException):
        values = _read_ids(pa.memory_map(str(path)).read_buffer())
    if len(values) != n_rows or values.null_count or values.type not in _ID_TYPES:
        raise damaged(path, f"expected {n_rows} ids, got {len(values)} of {values.type}")
    slots = open_array(folder / _ID_SLOTS)
    is_table = slots.dtype == np.int64 and slots.ndim == 2 and slots.shape[1] == 2
    if not is_table or len(slots) <= n_home_slots(n_rows) or not slots.flags.c_contiguous:
        raise damaged(
            folder / _ID_SLOTS,
            f"expected more than {n_home_slots(n_rows)} pairs of int64, got {slots.dtype} "
            f"of {slots.shape}",
        )
    return Ids.mapped(values, IdTable(slots))


def _read_ids(mapped: pa.Buffer) -> pa.Array:
    with pa.ipc.open_file(mapped) as file:
        return file.get_batch(0).column(0)


_ID_TYPES = (pa.large_string(), pa.int64())


def _array_if_there(path: Path, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    return open_array(path, dtype, shape) if path.exists() else None
