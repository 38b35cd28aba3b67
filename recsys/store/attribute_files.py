"""What the tables of items and users say: files of a version, row by row as its embeddings."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from recsys.base.reading import damaged
from recsys.store.parquet_files import errors_of_parquet, id_column, read, write
from recsys.vectors import Ids
from recsys.vectors.ids import Kind

ATTRIBUTES: dict[Kind, str] = {"item": "attributes.parquet", "user": "user_attributes.parquet"}

DESCRIBED_USERS = "described_users.parquet"
"""Of users without events, whom their attributes alone speak for: they have no row elsewhere."""


def write_attribute_table(
    folder: Path, attributes: pa.Table, ids: Ids, space_id: str, of: Kind = "item"
) -> None:
    """Write the attributes of one side: its ids, and the other columns of the table."""
    key = f"{of}_id"
    column = attributes.column_names.index(key)
    write(folder / ATTRIBUTES[of], attributes.set_column(column, key, id_column(ids)), space_id)


def read_attribute_table(folder: Path, of: Kind = "item") -> pa.Table:
    """Read the attributes of one side; a CorruptVersionError names the file if it is damaged."""
    return _read(folder / ATTRIBUTES[of], of)


def _read(path: Path, of: Kind) -> pa.Table:
    with errors_of_parquet(path):
        table, _ = read(path)
        table.column(f"{of}_id")  # a KeyError where a bit of the name was flipped
        return table


def write_described_users(folder: Path, table: pa.Table, space_id: str) -> None:
    """Write the attributes of users without events: user_id, and the other columns."""
    column = table.column_names.index("user_id")
    ids = id_column(Ids(table["user_id"]))
    write(folder / DESCRIBED_USERS, table.set_column(column, "user_id", ids), space_id)


def read_described_users(folder: Path) -> pa.Table:
    """Read the attributes of users without events; a CorruptVersionError if they are damaged."""
    return _read(folder / DESCRIBED_USERS, "user")


def attribute_schema(folder: Path, of: Kind) -> pa.Schema:
    """Read which attributes there are, without the ids."""
    import pyarrow.parquet as pq

    path = folder / ATTRIBUTES[of]
    with errors_of_parquet(path):
        schema = pq.read_schema(path)
        return schema.remove(schema.get_field_index(f"{of}_id"))


def read_some_attributes(folder: Path, of: Kind, names: Sequence[str], n_rows: int) -> pa.Table:
    """Read some attributes of all rows: no other column takes memory."""
    import pyarrow.parquet as pq

    path = folder / ATTRIBUTES[of]
    with (
        errors_of_parquet(path),
        pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file,
    ):
        table = file.read(columns=list(names)).select(list(names))
    if len(table) != n_rows:
        raise damaged(path, f"expected {n_rows} rows, got {len(table)}")
    return table
