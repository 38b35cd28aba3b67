"""The Parquet files of a version: what other teams read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.errors import CorruptVersionError, StoreError
from recsys.store.durable import durable_file
from recsys.store.manifest import FORMAT
from recsys.vectors import FloatMatrix, Ids

USERS = "users.parquet"
ITEMS = "items.parquet"
ATTRIBUTES = "attributes.parquet"

_ROWS_PER_GROUP = 1 << 18


@dataclass(frozen=True, eq=False)
class SeenLists:
    """The items that each user has seen.

    Parameters
    ----------
    starts : ndarray of int64, shape (n_users + 1,)
    item_idx : ndarray of int32, shape (n_seen,)
        Ascending and unique within a user.
    """

    starts: NDArray[np.int64]
    item_idx: NDArray[np.int32]

    def __getitem__(self, user_idx: int) -> NDArray[np.int32]:
        return self.item_idx[self.starts[user_idx] : self.starts[user_idx + 1]]

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True, eq=False)
class UserTable:
    """users.parquet: ids, embeddings (n_users, factors), seen items, and their space."""

    ids: Ids
    embeddings: FloatMatrix
    seen: SeenLists
    space_id: str


@dataclass(frozen=True, eq=False)
class ItemTable:
    """items.parquet: ids, embeddings (n_items, factors), popularity int64, and their space."""

    ids: Ids
    embeddings: FloatMatrix
    popularity: NDArray[np.int64]
    space_id: str


def write_users(folder: Path, users: UserTable) -> None:
    """Write users.parquet: user_id, embedding, seen."""
    table = {
        "user_id": _id_column(users.ids),
        "embedding": _embedding_column(users.embeddings),
        "seen": _seen_column(users.seen),
    }
    _write(folder / USERS, pa.table(table), users.space_id)


def write_items(folder: Path, items: ItemTable) -> None:
    """Write items.parquet: item_id, embedding, popularity."""
    table = {
        "item_id": _id_column(items.ids),
        "embedding": _embedding_column(items.embeddings),
        "popularity": pa.array(items.popularity, pa.int64()),
    }
    _write(folder / ITEMS, pa.table(table), items.space_id)


def write_attributes(folder: Path, attributes: pa.Table, items: Ids, space_id: str) -> None:
    """Write attributes.parquet: item_id and whatever is known of the items."""
    place = attributes.column_names.index("item_id")
    _write(
        folder / ATTRIBUTES, attributes.set_column(place, "item_id", _id_column(items)), space_id
    )


def read_users(folder: Path) -> UserTable:
    """Read users.parquet; CorruptVersionError names it where it is not what we write."""
    with errors_of_reading(folder / USERS):
        table, space_id = _read(folder / USERS)
        return UserTable(
            ids=Ids(table["user_id"]),
            embeddings=_embeddings_of(table["embedding"]),
            seen=_seen_of(table["seen"]),
            space_id=space_id,
        )


def read_items(folder: Path) -> ItemTable:
    """Read items.parquet; CorruptVersionError names it where it is not what we write."""
    with errors_of_reading(folder / ITEMS):
        table, space_id = _read(folder / ITEMS)
        return ItemTable(
            ids=Ids(table["item_id"]),
            embeddings=_embeddings_of(table["embedding"]),
            popularity=_popularity_of(table["popularity"]),
            space_id=space_id,
        )


def read_attributes(folder: Path) -> pa.Table:
    """Read attributes.parquet; CorruptVersionError names it where it is not what we write."""
    with errors_of_reading(folder / ATTRIBUTES):
        return _read(folder / ATTRIBUTES)[0]


@contextmanager
def errors_of_reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into a CorruptVersionError that names the file."""
    try:
        yield
    except PermissionError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorruptVersionError(
            f"{path}: damaged: {reason}; train again, or activate another version"
        ) from error


def _write(path: Path, table: pa.Table, space_id: str) -> None:
    import pyarrow.parquet as pq

    table = table.replace_schema_metadata({"recsys.format": str(FORMAT), "space_id": space_id})
    # Embeddings do not compress; stored plainly they are read at the speed of a copy.
    codecs = {
        column: "NONE" if column.startswith("embedding.") else "ZSTD"
        for column in _leaf_columns(table.schema)
    }
    with durable_file(path) as file:
        pq.write_table(
            table,
            file,
            row_group_size=_ROWS_PER_GROUP,
            compression=codecs,
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )


def _leaf_columns(schema: pa.Schema) -> list[str]:
    """Return the names of the columns as Parquet numbers them, nested ones by their path."""
    import io

    import pyarrow.parquet as pq

    empty = io.BytesIO()
    pq.write_table(schema.empty_table(), empty)
    leaves = pq.ParquetFile(empty).schema
    return [leaves.column(number).path for number in range(len(leaves))]


def _read(path: Path) -> tuple[pa.Table, str]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
        table = file.read()
    return table, (table.schema.metadata or {})[b"space_id"].decode()


def _id_column(ids: Ids) -> pa.ChunkedArray:
    """Return ids as string or int64; in pieces, because a string array holds 2 GiB at most."""
    type_ = pa.int64() if ids.are_integers else pa.string()
    pieces = [
        ids.values.slice(start, _ROWS_PER_GROUP).cast(type_)
        for start in range(0, len(ids), _ROWS_PER_GROUP)
    ]
    return pa.chunked_array(pieces, type=type_)


def _embedding_column(vectors: FloatMatrix) -> pa.Array:
    type_ = pa.list_(pa.field("element", pa.float32(), nullable=False), vectors.shape[1])
    flat = pa.array(np.ascontiguousarray(vectors).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, type=type_)


def _seen_column(seen: SeenLists) -> pa.ChunkedArray:
    """Return seen items as lists; in pieces, because their offsets are 32 bits wide."""
    type_ = pa.list_(pa.field("element", pa.int32(), nullable=False))
    pieces = []
    for start in range(0, len(seen), _ROWS_PER_GROUP):
        starts = seen.starts[start : start + _ROWS_PER_GROUP + 1]
        offsets = pa.array((starts - starts[0]).astype(np.int32))
        values = pa.array(seen.item_idx[starts[0] : starts[-1]])
        pieces.append(pa.ListArray.from_arrays(offsets, values, type=type_))
    return pa.chunked_array(pieces, type=type_)


def _embeddings_of(column: pa.ChunkedArray) -> FloatMatrix:
    factors = column.type.list_size
    return _joined(
        [_numbers(chunk.flatten(), np.float32).reshape(-1, factors) for chunk in column.chunks],
        np.empty((0, factors), dtype=np.float32),
    )


def _popularity_of(column: pa.ChunkedArray) -> NDArray[np.int64]:
    parts = [_numbers(chunk, np.int64) for chunk in column.chunks]
    return _joined(parts, np.empty(0, dtype=np.int64))


def _seen_of(column: pa.ChunkedArray) -> SeenLists:
    nothing = np.empty(0, dtype=np.int32)
    lengths = [np.diff(_numbers(chunk.offsets, np.int32)) for chunk in column.chunks]
    starts = np.zeros(len(column) + 1, dtype=np.int64)
    np.cumsum(_joined(lengths, nothing), out=starts[1:])
    values = [_numbers(chunk.flatten(), np.int32) for chunk in column.chunks]
    return SeenLists(starts, _joined(values, nothing))


def _numbers(array: pa.Array, dtype: type[np.generic]) -> NDArray[Any]:
    """Return an array of numbers without a copy, read-only.

    Arrow's own `to_numpy` imports pandas, which takes longer than opening a version.
    """
    expected = pa.from_numpy_dtype(dtype)
    if array.type != expected or array.null_count:
        raise ValueError(
            f"expected {expected} without nulls, got {array.type} with {array.null_count}"
        )
    values = np.frombuffer(array.buffers()[1] or b"", dtype=dtype)
    return values[array.offset : array.offset + len(array)]


def _joined(parts: list[NDArray[Any]], empty: NDArray[Any]) -> NDArray[Any]:
    """Join arrays, without a copy where there is one only."""
    if not parts:
        return empty
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
