"""A Delta table is read as it is now."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from recsys.errors import ConfigError, DataError
from recsys.logs import read_log
from recsys.spark.delta import with_files_of_tables

deltalake = pytest.importorskip("deltalake", reason="make install brings deltalake")


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = str(tmp_path / "log")
    rows = pa.table({"user_id": ["a", "b"], "item_id": ["x", "y"], "event": ["buy", "view"]})
    deltalake.write_deltalake(path, rows, partition_by=["event"])
    deltalake.write_deltalake(path, rows, mode="append")
    deltalake.DeltaTable(path).delete("user_id = 'a'")
    return path


def test_rows_that_were_deleted_are_not_read(table: str) -> None:
    files = with_files_of_tables(["other.csv", table])
    assert files[0] == "other.csv"
    log = read_log(files[1:], events={"view": 2.0})
    assert (log.users.tolist(), log.items.tolist(), len(log)) == (["b"], ["y"], 2)


def test_a_table_whose_files_do_not_say_what_it_holds_is_refused(table: str) -> None:
    entry = Path(table) / "_delta_log" / f"{3:020}.json"
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7}
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    entry.write_text(json.dumps({"protocol": protocol | features}) + "\n")
    with pytest.raises(DataError, match="deletionVectors"):
        with_files_of_tables(table)


def test_the_package_is_named_where_it_is_missing(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(ConfigError, match=r"recsys-engine\[delta\]"):
        with_files_of_tables(table)
