"""What lies in the folder of a log: tables of other formats, empty files, names of folders."""

import gzip
import os
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from recsys.logs import LogCache, read_log

PAIRS = pa.table({"user_id": ["a", "b"], "item_id": ["x", "y"]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    pq.write_table(PAIRS, tmp_path / "log" / "h00.parquet")
    return tmp_path / "log"


@pytest.mark.parametrize(
    ("mark", "name"),
    [
        ("_delta_log/00000000000000000001.json", "Delta"),
        (".hoodie/hoodie.properties", "Hudi"),
        ("metadata/00001-abc.metadata.json", "Iceberg"),
        ("schema/schema-0", "Paimon"),
    ],
)
@pytest.mark.parametrize("inner", ["", "data", "table/data"])
def test_tables_with_a_log_of_their_own_are_refused(tmp_path, mark, name, inner):
    data = tmp_path / inner
    data.mkdir(parents=True, exist_ok=True)
    pq.write_table(PAIRS, data / "part-0.parquet")
    marked = tmp_path / inner.partition("/data")[0] if inner != "data" else tmp_path
    (marked / mark).parent.mkdir(parents=True)
    (marked / mark).write_text("{}")
    if name == "Paimon":
        (marked / "snapshot").mkdir()
    for source in (tmp_path, data, str(data / "*.parquet")):
        with pytest.raises(DataError, match=f"{name} table .*deleted or replaced"):
            read_log(source)
    assert len(read_log(data / "part-0.parquet")) == 2  # a file that is named is meant


def test_a_file_without_rows_says_nothing(folder):
    pd.DataFrame(columns=["user_id", "item_id"]).to_parquet(folder / "h01.parquet")
    pq.write_table(pa.table({"other": pa.array([], pa.int8())}), folder / "h02.parquet")
    (folder / "h03.jsonl").write_text("\n\n")
    (folder / "h04.csv.gz").write_bytes(gzip.compress(b""))
    (folder / "h05.csv").write_bytes(b"")
    (folder / "h06.csv").write_text("user_id,item_id,timestamp\n")
    (folder / "h07.jsonl").write_bytes(b"")
    for how in ({}, {"cache": LogCache(folder.parent / "cache")}):
        for _ in range(2):
            log = read_log(folder, **how)
            assert log.users.tolist() == ["a", "b"]
            assert log.row_counts.rows_read == log.account.rows_read == 2
            (note,) = log.row_counts.notes
            assert note.startswith("no rows: ")
            assert "h01.parquet" in note
            assert note.endswith("and 4 more")


def test_a_log_of_files_without_rows_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"")
    pq.write_table(PAIRS.slice(0, 0), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"log .*a\.csv, .*b\.parquet: .*empty"):
        read_log(tmp_path)


def test_a_column_in_which_nothing_is_has_no_type(folder):
    nulls = pa.table({"user_id": [None, None], "item_id": [None, None]})
    pq.write_table(nulls, folder / "h01.parquet")
    counts = read_log(folder, max_rejected_share=1).row_counts
    assert counts.rejected == {"empty user_id": 2}
    integers = pa.table({"user_id": [1, 2], "item_id": [1, 2], "timestamp": [1_700_000_000] * 2})
    for name, table in (
        ("h00", integers),
        ("h01", integers.set_column(2, "timestamp", [[None] * 2])),
    ):
        pq.write_table(table, folder / f"{name}.parquet")
    log = read_log(folder, max_rejected_share=1)
    assert log.users.tolist() == [1, 2]
    assert log.row_counts.rejected == {"no timestamp": 2}


def test_values_in_the_names_of_folders_are_columns(tmp_path):
    for event, suffix in (("view", "csv"), ("buy%20now", "parquet"), ("like", "jsonl")):
        (tmp_path / f"event={event}" / "day=2024-05-01").mkdir(parents=True)
        path = tmp_path / f"event={event}" / "day=2024-05-01" / f"part.{suffix}"
        if suffix == "parquet":
            pq.write_table(PAIRS, path)
        elif suffix == "csv":
            PAIRS.to_pandas().to_csv(path, index=False)
        else:
            PAIRS.to_pandas().to_json(path, orient="records", lines=True)
    events = {"view": 1.0, "buy now": 5.0, "like": 2.0}
    log = read_log(tmp_path, events=events, columns={"timestamp": "day"})
    assert log.row_counts.events == {"buy now": 2, "like": 2, "view": 2}
    assert log.timestamp.tolist() == [1_714_521_600] * 6
    cached = [
        read_log(tmp_path, events=events, columns={"timestamp": "day"}, cache=cache)
        for cache in [LogCache(tmp_path.parent / "cache")] * 2
    ]
    assert [one.row_counts for one in cached] == [log.row_counts] * 2
    notes = " ".join(read_log(tmp_path).row_counts.notes)
    assert (
        "folders state 'day', which log.columns does not name; where it is the time: --time day"
        in notes
    )
    assert "column 'event' is not used" in notes or "folders state 'event'" in notes


def test_what_a_file_says_comes_before_the_name_of_its_folder(tmp_path):
    (tmp_path / "user_id=z").mkdir()
    pq.write_table(PAIRS, tmp_path / "user_id=z" / "a.parquet")
    assert read_log(tmp_path).users.tolist() == ["a", "b"]
    (tmp_path / "user_id=__HIVE_DEFAULT_PARTITION__").mkdir()
    only_items = PAIRS.select(["item_id"])
    pq.write_table(only_items, tmp_path / "user_id=__HIVE_DEFAULT_PARTITION__" / "a.parquet")
    pq.write_table(only_items, tmp_path / "user_id=z" / "b.parquet")
    log = read_log(tmp_path, max_rejected_share=1)
    assert log.users.tolist() == ["a", "b", "z"]
    assert log.row_counts.rejected == {"empty user_id": 2}


def test_files_that_are_passed_over_are_named(folder):
    for name in ("a.avro", "b.orc", "README.md", "_SUCCESS", ".part.crc", "_hidden.parquet"):
        (folder / name).write_text("x")
    (note,) = read_log(folder).row_counts.notes
    assert note == f"passed over in {folder}: README.md, _hidden.parquet, a.avro and 1 more"


def test_columns_that_look_meaningful_and_are_not_used_are_named(tmp_path):
    table = PAIRS.append_column("rating", [[1, 2]]).append_column("event", [["v", "b"]])
    (note,) = read_log(table).row_counts.notes
    assert note.startswith("columns 'rating', 'event' are not used; if it matters: ")
    assert note.endswith("log.columns.value, log.events: table")
    assert note in str(read_log(table).row_counts)
    assert (
        read_log(table, columns={"value": "rating"}, events={"v": 1, "b": 2}).row_counts.notes == ()
    )


def test_a_pipe_is_named(tmp_path):
    os.mkfifo(tmp_path / "log.csv")
    with pytest.raises(DataError, match="a pipe or a device"):
        read_log(tmp_path / "log.csv")


def test_a_full_temporary_disk_is_named(tmp_path, monkeypatch):
    """The device that is always full stands for the disk on which the log is staged."""
    from recsys.logs.session import Session

    (tmp_path / "log.csv").write_text("user_id,item_id\na,x\n")
    monkeypatch.setattr(Session, "new_file", lambda *_: Path("/dev/full"))
    with pytest.raises(DataError, match="has no room: No space left.*TMPDIR") as caught:
        read_log(tmp_path / "log.csv")
    assert "damaged" not in str(caught.value)


def test_a_limit_of_written_files_is_not_taken_for_a_fault_of_the_log(tmp_path):
    """What DuckDB says under ``ulimit -f``."""
    import duckdb

    from recsys.logs.session import Session

    said = 'IO Error: Could not write file "/tmp/1.parquet": File too large'
    session = Session(duckdb.connect(), tmp_path, now=0)
    with (
        pytest.raises(DataError, match="log: the temporary folder .* has no room: File too large"),
        session.explaining(lambda: "log a.csv"),
    ):
        raise duckdb.IOException(said)


def test_a_parquet_file_of_no_bytes_says_nothing(tmp_path):
    pq.write_table(pa.table({"user_id": [1], "item_id": [2]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").touch()
    log = read_log(tmp_path)
    assert len(log) == 1
    assert log.row_counts.notes == (f"no rows: {tmp_path / 'b.parquet'}",)


def test_a_name_that_is_not_utf8_is_named(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/log\xff.csv")
    Path(path).write_text("user_id,item_id\n1,2\n")
    with pytest.raises(DataError, match="expected a file name in UTF-8; rename it"):
        read_log(path)


@pytest.mark.parametrize("column", [pd.Series([1, 2]), pl.Series([1, 2])])
def test_a_column_is_no_log(column):
    with pytest.raises(DataError, match=r"expected a path, a glob.* got Series"):
        read_log(column)
