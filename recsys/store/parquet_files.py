"""The Parquet files of a version: what other teams read, also of two versions of one space."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.durable import durable_file
from recsys.base.errors import DataError, briefly
from recsys.base.lazy import lazy_property
from recsys.base.reading import errors_of_reading
from recsys.store.manifest import FORMAT
from recsys.store.seen_lists import SeenLists
from recsys.vectors import FloatMatrix, Ids, NamedVectors

USERS = "users.parquet"
ITEMS = "items.parquet"

_ROWS_PER_GROUP = 1 << 18


@dataclass(frozen=True, eq=False)
class UserTable:
    """users.parquet: ids, embeddings (n_users, factors), seen items, and their space."""

    ids: Ids
    embeddings: FloatMatrix
    seen: SeenLists
    space_id: str


@dataclass(frozen=True, eq=False)
class ItemTable:
    """items.parquet: ids, embeddings (n_items, factors), popularity, and their space.

    `summands` (n_items, factors) are those of `recsys.Embeddings`, for models that have them.
    `dislikes` counts the users who dislike each item, whom `popularity` leaves out.
    """

    ids: Ids
    embeddings: FloatMatrix
    popularity: NDArray[np.int64]  # (n_items,)
    space_id: str
    recent: NDArray[np.float32] | None = None  # with old interactions counting less
    summands: FloatMatrix | None = None
    dislikes: NDArray[np.int64] | None = None  # (n_items,); None where nobody dislikes anything

    @lazy_property
    def n_with_events(self) -> NDArray[np.int64]:  # (n_items,)
        """How many users have or dislike each item: none of a new one."""
        return self.popularity if self.dislikes is None else self.popularity + self.dislikes


def write_user_table(folder: Path, users: UserTable) -> None:
    """Write users.parquet: user_id, embedding, seen, and seen_weight where not all are 1.

    And seen_day, where it is known when a user had an item last. Memory holds a group of users.
    """
    starts = range(0, max(len(users.ids), 1), _ROWS_PER_GROUP)
    groups = (_user_group(users, slice(start, start + _ROWS_PER_GROUP)) for start in starts)
    _write_groups(folder / USERS, groups, users.space_id)


def _user_group(users: UserTable, rows: slice) -> pa.Table:
    """Return some rows of users.parquet."""
    seen = users.seen
    lists: dict[str, tuple[NDArray[Any] | None, pa.DataType]] = {
        "seen": (seen.item_idx, pa.int32()),
        "seen_weight": (seen.weight, pa.float32()),
        "seen_day": (seen.day, pa.date32()),
    }
    starts = seen.starts[rows.start : rows.stop + 1]
    table = {
        "user_id": id_column(users.ids, rows),
        "embedding": embedding_column(users.embeddings[rows]),
        **{
            name: _list_column(starts, values, type_)
            for name, (values, type_) in lists.items()
            if values is not None
        },
    }
    return pa.table(table)


def write_item_table(folder: Path, items: ItemTable) -> None:
    """Write items.parquet: item_id, embedding, popularity, and recent_popularity if known.

    And summand, where the model has one for each item, and dislikes, where there are any.
    """
    table = {
        "item_id": id_column(items.ids),
        "embedding": embedding_column(items.embeddings),
        "popularity": pa.array(items.popularity, pa.int64()),
    }
    if items.recent is not None:
        table["recent_popularity"] = pa.array(items.recent, pa.float32())
    if items.summands is not None:
        table["summand"] = embedding_column(items.summands)
    if items.dislikes is not None:
        table["dislikes"] = pa.array(items.dislikes, pa.int64())
    write(folder / ITEMS, pa.table(table), items.space_id)


def read_user_table(folder: Path) -> UserTable:
    """Read users.parquet; a CorruptVersionError names it if it is damaged."""
    with errors_of_parquet(folder / USERS):
        table, space_id = read(folder / USERS)
        return UserTable(
            ids=Ids(table["user_id"]),
            embeddings=vectors_of(table["embedding"]),
            seen=_seen_of(table),
            space_id=space_id,
        )


def read_item_table(folder: Path) -> ItemTable:
    """Read items.parquet; a CorruptVersionError names it if it is damaged."""
    with errors_of_parquet(folder / ITEMS):
        table, space_id = read(folder / ITEMS)
        return ItemTable(
            ids=Ids(table["item_id"]),
            embeddings=vectors_of(table["embedding"]),
            popularity=column_of(table["popularity"], np.int64),
            space_id=space_id,
            recent=_column_if_there(table, "recent_popularity", np.float32),
            summands=vectors_of(table["summand"]) if "summand" in table.column_names else None,
            dislikes=_column_if_there(table, "dislikes", np.int64),
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
    user_table, item_table = read_user_table(Path(users)), read_item_table(Path(items))
    ours, theirs = user_table.space_id, item_table.space_id
    if ours != theirs:
        raise DataError(
            f"{Path(items) / ITEMS}: expected items of space {ours!r}, as {Path(users) / USERS} "
            f"is, got {briefly(theirs)}; two spaces share no coordinates, "
            f"so take both files from one "
            "version, or from versions whose manifests say the same space_id"
        )
    return (
        NamedVectors(user_table.ids, user_table.embeddings, "user", ours, f"in {users}"),
        NamedVectors(item_table.ids, item_table.embeddings, "item", theirs, f"in {items}"),
    )


def errors_of_parquet(path: Path) -> AbstractContextManager[None]:
    """Turn what a damaged Parquet file raises into errors that name it."""
    kinds = (ValueError, KeyError, AttributeError, TypeError, pa.ArrowException)
    return errors_of_reading(path, *kinds)


def write(path: Path, table: pa.Table, space_id: str) -> None:
    """Write a table of a version, durable, with its space."""
    _write_groups(path, [table], space_id)


def _write_groups(path: Path, groups: Iterable[pa.Table], space_id: str) -> None:
    """Write a table that is made some rows at a time; there is one group at least."""
    import pyarrow.parquet as pq

    remaining = iter(groups)
    first = next(remaining)
    metadata = {"recsys.format": str(FORMAT), "space_id": space_id}
    # Embeddings do not compress; uncompressed they are read at the speed of a copy.
    codecs = {
        leaf: "NONE" if column.name in ("embedding", "summand") else "ZSTD"
        for column in first.schema
        for leaf in leaf_columns(column)
    }
    with (
        durable_file(path) as file,
        pq.ParquetWriter(
            file,
            first.schema.with_metadata(metadata),
            compression=codecs,
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        ) as writer,
    ):
        for group in chain([first], remaining):
            writer.write_table(group, row_group_size=_ROWS_PER_GROUP)


def leaf_columns(field: pa.Field) -> list[str]:
    """Return the paths of the Parquet columns of a field, such as "seen.list.element"."""
    type_ = field.type
    if pa.types.is_map(type_):
        path, inside = f"{field.name}.key_value", [type_.key_field, type_.item_field]
    elif pa.types.is_nested(type_) and not pa.types.is_struct(type_):
        path, inside = f"{field.name}.list", [type_.value_field.with_name("element")]
    elif pa.types.is_struct(type_):
        path, inside = field.name, list(type_)
    else:
        return [field.name]
    return [f"{path}.{leaf}" for child in inside for leaf in leaf_columns(child)]


def read(path: Path) -> tuple[pa.Table, str]:
    """Return a table of a version, and its space."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
        table = file.read()
    return table, (table.schema.metadata or {})[b"space_id"].decode()


def id_column(ids: Ids, rows: slice = slice(None)) -> pa.ChunkedArray:
    """Return ids as string or int64; in chunks, because a string array holds at most 2 GiB."""
    type_ = pa.int64() if ids.are_integers else pa.string()
    values = ids.values[rows]
    chunks = [
        values.slice(start, _ROWS_PER_GROUP).cast(type_)
        for start in range(0, len(values), _ROWS_PER_GROUP)
    ]
    return pa.chunked_array(chunks, type=type_)


def embedding_column(vectors: FloatMatrix) -> pa.Array:
    """Return vectors as a column of lists of one length."""
    type_ = pa.list_(pa.field("element", pa.float32(), nullable=False), vectors.shape[1])
    flat = pa.array(np.ascontiguousarray(vectors).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, type=type_)


def _list_column(
    starts: NDArray[np.int64], values: NDArray[Any], type_: pa.DataType
) -> pa.ListArray:
    """Return one list for each of a group of users, as the offsets are 32 bits wide."""
    some = values[starts[0] : starts[-1]]
    inside = (
        pa.array(some.astype(np.int32)).view(type_)
        if pa.types.is_date32(type_)
        else pa.array(some, type_)
    )
    list_type = pa.list_(pa.field("element", type_, nullable=False))
    offsets = pa.array((starts - starts[0]).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, inside, type=list_type)


def vectors_of(column: pa.ChunkedArray) -> FloatMatrix:
    """Return what `embedding_column` made a column of."""
    return _inside(column, np.float32).reshape(-1, column.type.list_size)


def _seen_of(table: pa.Table) -> SeenLists:
    column = table["seen"]
    lengths = [np.diff(_numbers(chunk.offsets, np.int32)) for chunk in column.chunks]
    starts = np.zeros(len(column) + 1, dtype=np.int64)
    np.cumsum(_joined(lengths, np.int32), out=starts[1:])
    weight = None
    if "seen_weight" in table.column_names:
        weight = _inside(table["seen_weight"], np.float32)
    day = None
    if "seen_day" in table.column_names:
        days = table["seen_day"].cast(pa.list_(pa.field("element", pa.int32(), nullable=False)))
        day = _inside(days, np.int32).astype(np.uint16)
    return SeenLists(starts, _inside(column, np.int32), weight, day=day)


def _inside(lists: pa.ChunkedArray, dtype: type[np.generic]) -> NDArray[Any]:
    """Return the values of all lists of a column, one after the other."""
    return _joined([_numbers(chunk.flatten(), dtype) for chunk in lists.chunks], dtype)


def column_of(column: pa.ChunkedArray, dtype: type[np.generic]) -> NDArray[Any]:
    """Return a column of numbers without nulls, read-only."""
    return _joined([_numbers(chunk, dtype) for chunk in column.chunks], dtype)


def _column_if_there(table: pa.Table, name: str, dtype: type[np.generic]) -> NDArray[Any] | None:
    return column_of(table[name], dtype) if name in table.column_names else None


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


def _joined(arrays: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    """Join arrays, without a copy if there is only one."""
    return arrays[0] if len(arrays) == 1 else np.concatenate([np.empty(0, dtype), *arrays])
