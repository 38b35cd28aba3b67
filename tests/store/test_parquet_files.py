"""The Parquet files of a version: how their columns are stored."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.store.attribute_files import write_attribute_table
from recsys.store.parquet_files import (
    SeenLists,
    UserTable,
    leaf_columns,
    read_user_table,
    write_user_table,
)
from recsys.vectors import Ids

NESTED = {
    "plain": pa.int32(),
    "word": pa.dictionary(pa.int32(), pa.string()),
    "tags": pa.list_(pa.string()),
    "many": pa.large_list(pa.float32()),
    "vector": pa.list_(pa.float32(), 3),
    "size": pa.struct([("width", pa.int32()), ("sides", pa.list_(pa.int32()))]),
    "prices": pa.map_(pa.string(), pa.struct([("net", pa.float64()), ("tax", pa.float64())])),
    "lists": pa.list_(pa.list_(pa.struct([("x", pa.int8())]))),
}


@pytest.mark.parametrize("name", NESTED)
def test_leaf_columns_are_those_of_a_file(tmp_path: Path, name: str) -> None:
    field = pa.field(name, NESTED[name])
    pq.write_table(pa.schema([field]).empty_table(), tmp_path / "empty.parquet")
    columns = pq.ParquetFile(tmp_path / "empty.parquet").schema
    paths = [columns.column(number).path for number in range(len(columns))]
    assert leaf_columns(field) == paths


def test_all_columns_but_embeddings_are_compressed(tmp_path: Path) -> None:
    columns = {name: pa.nulls(2, type_) for name, type_ in NESTED.items()}
    attributes = pa.table({"item_id": ["a", "b"], **columns, "embedding": [[0.5], [1.5]]})
    write_attribute_table(tmp_path, attributes, Ids(["a", "b"]), "s")
    group = pq.ParquetFile(tmp_path / "attributes.parquet").metadata.row_group(0)
    codecs = {
        group.column(number).path_in_schema: group.column(number).compression
        for number in range(group.num_columns)
    }
    assert codecs.pop("embedding.list.element") == "UNCOMPRESSED"
    assert set(codecs.values()) == {"ZSTD"}


@pytest.mark.parametrize("n_users", [0, 5, 12])
def test_users_are_written_some_at_a_time(
    tmp_path: Path, n_users: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.store.parquet_files._ROWS_PER_GROUP", 5)
    starts = np.arange(n_users + 1) ** 2
    rng = np.random.default_rng(0)
    seen = SeenLists(
        starts,
        np.arange(starts[-1], dtype=np.int32),
        rng.standard_normal(starts[-1]).astype(np.float32),
        day=rng.integers(0, 1 << 16, starts[-1]).astype(np.uint16),
    )
    vectors = rng.standard_normal((n_users, 3)).astype(np.float32)
    write_user_table(tmp_path, UserTable(Ids(map(str, range(n_users))), vectors, seen, "s"))
    found = read_user_table(tmp_path)
    assert pq.ParquetFile(tmp_path / "users.parquet").num_row_groups == -(-max(n_users, 1) // 5)
    assert found.ids.tolist() == [str(row) for row in range(n_users)]
    np.testing.assert_array_equal(found.embeddings, vectors)
    for name in ("starts", "item_idx", "weight", "day"):
        np.testing.assert_array_equal(getattr(found.seen, name), getattr(seen, name))
