"""The files under serving/: tables mapped into memory, and users read row by row from disk."""

import os
import weakref
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.reading import damaged, errors_of_reading, open_array
from recsys.store.parquet_files import ItemTable, UserTable
from recsys.store.seen_lists import SeenLists, require_rows
from recsys.vectors import FloatMatrix, FloatVector, Id, Ids
from recsys.vectors.id_table import IdTable, find_row, n_home_slots
from recsys.vectors.ids import canonical, leads_elsewhere
from recsys.vectors.storage import Storage, StoredMatrix, encode


class FileArray:
    """The array of a file that `np.save` wrote, read in slices; the file stays open.

    Nothing is mapped: a page read through a map would stay in the private memory of the process.
    Its `n` numbers begin at byte `offset`.
    """

    def __init__(self, path: Path, offset: int, n: int, dtype: np.dtype[Any]) -> None:
        with errors_of_reading(path):
            self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self.path, self._offset = path, offset
        self._n, self._kind, self._item_bytes = n, dtype.char, dtype.itemsize

    @classmethod
    def of(cls, path: Path, array: NDArray[Any]) -> "FileArray":
        """Return the array of a file that ends with it; `array` is the same one, mapped."""
        return cls(path, path.stat().st_size - array.nbytes, array.size, array.dtype)

    def __len__(self) -> int:
        return self._n

    @property
    def place(self) -> tuple[int, int, int]:
        """The descriptor of the file, the byte where the numbers begin, and how many there are."""
        return self._file, self._offset, self._n

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
            raise damaged(self.path, f"expected a row of it, got {start}")
        found = os.pread(self._file, n_bytes, self._offset + start * self._item_bytes)
        if len(found) != n_bytes:
            raise damaged(self.path, f"expected {n_bytes} bytes at {start}, got {len(found)}")
        return found


_ENDS = Struct("=qq")
_NUMBER = Struct("=q")


@dataclass(frozen=True, eq=False)
class FileIds:
    """The ids of a file of Arrow, read one at a time."""

    numbers: FileArray  # the ids, or where the text of each begins and the last one ends
    text: FileArray | None  # None where the ids are integers

    @classmethod
    def of(cls, path: Path, mapped: pa.Buffer, values: pa.Array) -> "FileIds":
        """Find the buffers of an array in the mapped file that it was read from."""
        _, numbers, *text = values.buffers()
        if any(not _is_inside(buffer, mapped) for buffer in (numbers, *text)):
            raise damaged(path, "expected ids in one piece, got others")
        n = len(values) + len(text)
        return cls(
            FileArray(path, numbers.address - mapped.address, n, np.dtype(np.int64)),
            FileArray(path, text[0].address - mapped.address, text[0].size, np.dtype(np.uint8))
            if text
            else None,
        )

    def __getitem__(self, row: int) -> Id:
        if self.text is None:
            return int(_NUMBER.unpack(self.numbers.read(row, row + 1))[0])
        start, end = _ENDS.unpack(self.numbers.read(row, row + 2))
        if not 0 <= start <= end <= len(self.text):
            raise damaged(self.numbers.path, f"no text for row {row}")
        return self.text.read(start, end).decode(errors="replace")


def _is_inside(buffer: pa.Buffer | None, mapped: pa.Buffer) -> bool:
    if buffer is None:
        return False
    start = buffer.address - mapped.address
    return bool(buffer.size == 0 or 0 <= start <= start + buffer.size <= mapped.size)


@dataclass(frozen=True, eq=False)
class UserLookup:
    """The users of a version, each read from the files when it is looked up."""

    n: int
    are_integers: bool  # whether the log spelled the ids as integers
    n_items: int
    ids: FileIds
    slots: FileArray  # of the hash table of the ids
    embeddings: FileArray  # row by row
    scale: FileArray | None  # of each row, where the embeddings are int8
    starts: FileArray  # of the seen lists
    item_idx: FileArray
    weight: FileArray | None
    day: FileArray | None
    factors: int

    def find(self, user_id: Id) -> int | None:
        """Return the row of a user, by either form of the id, or None."""
        spelled = canonical(user_id, integers=self.are_integers)
        row = None if spelled is None else find_row(spelled, self.n, self.slots)
        if row is not None and self.ids[row] != spelled:
            raise leads_elsewhere(self.slots.path, row)
        return row

    def embedding(self, user_idx: int) -> FloatVector:
        """Return the embedding of a row."""
        first = user_idx * self.factors
        numbers = self.embeddings.read(first, first + self.factors)
        if self.scale is None:
            return np.frombuffer(numbers, np.float32)
        scale = np.frombuffer(self.scale.read(user_idx, user_idx + 1), np.float32)
        return StoredMatrix(np.frombuffer(numbers, np.int8), scale).decode()

    def seen(self, user_idx: int) -> NDArray[np.int32]:
        """Return the seen items of a row, ascending."""
        found = np.frombuffer(self.item_idx.read(*self._ends(user_idx)), np.int32).copy()
        require_rows(found, self.n_items, self.item_idx.path)
        return found

    def seen_weights(self, user_idx: int) -> NDArray[np.float32]:
        """Return the weight of each seen item of a row."""
        start, end = self._ends(user_idx)
        if self.weight is None:
            return np.ones(end - start, dtype=np.float32)
        return np.frombuffer(self.weight.read(start, end), np.float32)

    def seen_days(self, user_idx: int) -> NDArray[np.uint16] | None:
        """Return the day of the last event with each seen item of a row, where it is known."""
        if self.day is None:
            return None
        return np.frombuffer(self.day.read(*self._ends(user_idx)), np.uint16)

    def liked(self, user_idx: int) -> NDArray[np.int32]:
        """Return what the user of a row has seen and not disliked, ascending."""
        return self.seen(user_idx)[self.seen_weights(user_idx) > 0]

    def disliked(self, user_idx: int) -> NDArray[np.int32]:
        """Return what the user of a row disliked, ascending."""
        return self.seen(user_idx)[self.seen_weights(user_idx) < 0]

    def _ends(self, user_idx: int) -> tuple[int, int]:
        """Return the start and the end of the seen items of a row."""
        start, end = _ENDS.unpack(self.starts.read(user_idx, user_idx + 2))
        if not 0 <= start <= end <= len(self.item_idx):
            raise damaged(self.starts.path, f"no list of seen items for row {user_idx}")
        return start, end


SERVING = "serving"
MAPPED_USERS, MAPPED_ITEMS = f"{SERVING}/users", f"{SERVING}/items"

_IDS, _ID_SLOTS = "ids.arrow", "id_slots.npy"
_EMBEDDINGS, _SCALE = "embeddings.npy", "scale.npy"
_SUMMANDS, _POPULARITY, _DISLIKES = "summands.npy", "popularity.npy", "dislikes.npy"
_SEEN_STARTS, _SEEN_ITEMS = "seen_starts.npy", "seen_items.npy"
_SEEN_WEIGHTS, _RECENT, _POPULAR = "seen_weights.npy", "recent.npy", "popular.npy"
_SEEN_DAYS = "seen_days.npy"


def write_mapped(
    version: Path, users: UserTable, items: ItemTable, storage: Storage = "float32"
) -> None:
    """Write the tables of a version as files to map."""
    for name, table in ((MAPPED_USERS, users), (MAPPED_ITEMS, items)):
        folder = version / name
        folder.mkdir(parents=True)
        _write_ids(folder, table.ids)
        stored = encode(table.embeddings, storage)
        np.save(folder / _EMBEDDINGS, np.ascontiguousarray(stored.values))
        if storage == "int8":
            np.save(folder / _SCALE, stored.scale)
    np.save(version / MAPPED_USERS / _SEEN_STARTS, users.seen.starts)
    np.save(version / MAPPED_USERS / _SEEN_ITEMS, users.seen.item_idx)
    if users.seen.weight is not None:
        np.save(version / MAPPED_USERS / _SEEN_WEIGHTS, users.seen.weight)
    if users.seen.day is not None:
        np.save(version / MAPPED_USERS / _SEEN_DAYS, users.seen.day)
    np.save(version / MAPPED_ITEMS / _POPULARITY, items.popularity)
    if items.recent is not None:
        np.save(version / MAPPED_ITEMS / _RECENT, items.recent)
    if items.summands is not None:
        np.save(version / MAPPED_ITEMS / _SUMMANDS, np.ascontiguousarray(items.summands))
    if items.dislikes is not None:
        np.save(version / MAPPED_ITEMS / _DISLIKES, items.dislikes)
    np.save(version / MAPPED_ITEMS / _POPULAR, _by_popularity(items))


def open_users(version: Path, space_id: str, shape: tuple[int, int], n_seen: int) -> UserTable:
    """Map the users of a version."""
    folder = version / MAPPED_USERS
    seen = SeenLists(
        starts=open_array(folder / _SEEN_STARTS, np.int64, (shape[0] + 1,)),
        item_idx=open_array(folder / _SEEN_ITEMS, np.int32, (n_seen,)),
        weight=_array_if_there(folder / _SEEN_WEIGHTS, np.float32, (n_seen,)),
        path=folder / _SEEN_STARTS,
        day=_array_if_there(folder / _SEEN_DAYS, np.uint16, (n_seen,)),
    )
    return UserTable(
        ids=_open_ids(folder, shape[0]),
        embeddings=_open_embeddings(folder, shape),
        seen=seen,
        space_id=space_id,
    )


def open_user_lookup(version: Path, users: UserTable, n_items: int) -> UserLookup:
    """Open the same users to be looked up one at a time."""
    folder, seen, file = version / MAPPED_USERS, users.seen, FileArray.of
    vectors, scale = users.embeddings, None
    if isinstance(vectors, StoredMatrix):
        vectors, scale = vectors.values, file(folder / _SCALE, vectors.scale)
    return UserLookup(
        n=len(users.ids),
        are_integers=users.ids.are_integers,
        n_items=n_items,
        ids=FileIds.of(folder / _IDS, *_map_ids(folder / _IDS)),
        slots=file(folder / _ID_SLOTS, users.ids.table().slots),
        embeddings=file(folder / _EMBEDDINGS, vectors),
        scale=scale,
        starts=file(folder / _SEEN_STARTS, seen.starts),
        item_idx=file(folder / _SEEN_ITEMS, seen.item_idx),
        weight=None if seen.weight is None else file(folder / _SEEN_WEIGHTS, seen.weight),
        day=None if seen.day is None else file(folder / _SEEN_DAYS, seen.day),
        factors=users.embeddings.shape[1],
    )


def open_items(version: Path, space_id: str, shape: tuple[int, int]) -> ItemTable:
    """Map the items of a version; see `open_users`."""
    folder = version / MAPPED_ITEMS
    return ItemTable(
        ids=_open_ids(folder, shape[0]),
        embeddings=_open_embeddings(folder, shape),
        popularity=open_array(folder / _POPULARITY, np.int64, (shape[0],)),
        space_id=space_id,
        recent=_array_if_there(folder / _RECENT, np.float32, (shape[0],)),
        summands=_array_if_there(folder / _SUMMANDS, np.float32, shape),
        dislikes=_array_if_there(folder / _DISLIKES, np.int64, (shape[0],)),
    )


def _open_embeddings(folder: Path, shape: tuple[int, int]) -> FloatMatrix:
    """Map embeddings, which stay int8 where they are stored as that."""
    scale = _array_if_there(folder / _SCALE, np.float32, (shape[0], 1))
    if scale is None:
        return open_array(folder / _EMBEDDINGS, np.float32, shape)
    stored = StoredMatrix(open_array(folder / _EMBEDDINGS, np.int8, shape), scale)
    return cast(FloatMatrix, stored)  # which is read as one


def open_popular(version: Path, n_items: int) -> NDArray[np.int32]:
    """Map the rows of the items of a version, the most popular first."""
    path = version / MAPPED_ITEMS / _POPULAR
    rows = open_array(path, np.int32, (n_items,))
    require_rows(rows, n_items, path)
    if np.bincount(rows, minlength=n_items).max(initial=0) > 1:
        raise damaged(path, "expected every item once, got one twice")
    return rows


def _by_popularity(items: ItemTable) -> NDArray[np.int32]:
    """Return rows by recent popularity, then by popularity, ties by lower row."""
    recent = items.popularity if items.recent is None else items.recent
    return np.lexsort((-items.popularity, -recent)).astype(np.int32)


def _write_ids(folder: Path, ids: Ids) -> None:
    np.save(folder / _ID_SLOTS, ids.table().slots)
    batch = pa.record_batch({"id": ids.values})
    with pa.OSFile(str(folder / _IDS), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def _open_ids(folder: Path, n_rows: int) -> Ids:
    path = folder / _IDS
    _, values = _map_ids(path)
    if len(values) != n_rows:
        raise damaged(path, f"expected {n_rows} ids, got {len(values)}")
    slots = open_array(folder / _ID_SLOTS)
    is_table = slots.dtype == np.int64 and slots.ndim == 2 and slots.shape[1] == 2
    if not is_table or len(slots) <= n_home_slots(n_rows) or not slots.flags.c_contiguous:
        raise damaged(
            folder / _ID_SLOTS,
            f"expected more than {n_home_slots(n_rows)} pairs of int64, got {slots.dtype} "
            f"of {slots.shape}",
        )
    return Ids.mapped(values, IdTable(slots), path)


def _map_ids(path: Path) -> tuple[pa.Buffer, pa.Array]:
    """Map a file of ids; return the whole of it, and the array in it."""
    with errors_of_reading(path, ValueError, IndexError, KeyError, pa.ArrowException):
        mapped = pa.memory_map(str(path)).read_buffer()
        with pa.ipc.open_file(mapped) as file:
            values = file.get_batch(0).column(0)
        values.validate()  # that its buffers are long enough; reads none of it
    if values.null_count or values.offset or values.type not in _ID_TYPES:
        raise damaged(path, f"expected ids without nulls, got {values.type}")
    numbers = values.buffers()[1]
    if numbers is not None and numbers.size % 8:
        raise damaged(path, f"expected a multiple of 8 bytes of numbers, got {numbers.size}")
    return mapped, values


_ID_TYPES = (pa.large_string(), pa.int64())


def _array_if_there(path: Path, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    return open_array(path, dtype, shape) if path.exists() else None
