"""What the tables of items and users say: files of a version, row by row as its embeddings."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from recsys.base.reading import damaged
from recsys.store.parquet_files import errors_of_parquet, id_column, read, write
from recsys.vectors import Ids
from recsys.vectors.ids import Kind

ATTRIBUTES: dict[Kind, str] = {"item": "attributes.parquet", "user": "user_attributes.parquet"}


def write_attribute_table(
    folder: Path, attributes: pa.Table, ids: Ids, space_id: str, of: Kind = "item"
) -> None:
    """Write the attributes of one side: its ids, and the other columns of the table."""
    key = f"{of}_id"
    column = attributes.column_names.index(key)
    write(folder / ATTRIBUTES[of], attributes.set_column(column, key, id_column(ids)), space_id)


def read_attribute_table(folder: Path, of: Kind = "item") -> pa.Table:
    """Read the attributes of one side; a CorruptVersionError names the file if it is damaged."""
    path = folder / ATTRIBUTES[of]
    with errors_of_parquet(path):
        table, _ = read(path)
        table.column(f"{of}_id")  # a KeyError where a bit of the name was flipped
        return table


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
