"""Files whose content belies their name are read as what they are, or refused by what they are."""

import bz2
import gzip
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq
import pytest

from recsys.errors import ConfigError, DataError
from recsys.logs import LogCache, read_items, read_log

TABLE = pa.table({"user_id": ["a", "b"], "item_id": ["x", "y"]})
CSV = b"user_id,item_id\na,x\nb,y\n"
JSON = b'{"user_id": "a", "item_id": "x"}\n{"user_id": "b", "item_id": "y"}\n'


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def zipped(**files: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/"), data)
    return sink.getvalue()


def written(write: Callable, table: pa.Table = TABLE) -> bytes:
    sink = io.BytesIO()
    write(table, sink)
    return sink.getvalue()


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # the same in each process of a parallel run


def tarred() -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("log.csv"))
    return sink.getvalue()


PARQUET = written(pq.write_table)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("name", "data", "note"),
    [
        ("log.csv", gzipped(CSV), "gzip"),
        ("log.txt", zstd(CSV), "zstd"),
        ("log.tsv", bz2.compress(CSV.replace(b",", b"\t")), "bz2"),
        ("log.csv", zipped(log=CSV), "zip"),
        ("log.json", gzipped(JSON), "gzip"),
        ("log.csv.gz", zstd(CSV), "zstd"),
        ("log.csv.gz", CSV, "not compressed"),
        ("log.jsonl.zst", JSON, "not compressed"),
        ("log.csv", PARQUET, "Parquet"),
        ("log.json", PARQUET, "Parquet"),
        ("log.parquet.gz", PARQUET, "Parquet|not compressed"),
        ("log.csv", JSON, "JSON lines"),
        ("log.csv.gz", gzipped(JSON), "JSON lines"),
    ],
)
def test_read_as_what_it_is_with_a_word(tmp_path, name, data, note, cached):
    (tmp_path / name).write_bytes(data)
    cache = LogCache(tmp_path / "cache") if cached else None
    for _ in range(2 if cached else 1):
        log = read_log(tmp_path / name, cache=cache)
        assert (log.users.tolist(), log.items.tolist()) == (["a", "b"], ["x", "y"])
        assert len(log) == 2
        (said,) = log.row_counts.notes
        assert said.startswith("read as ")
        assert any(word in said for word in note.split("|"))
    with pytest.warns(RuntimeWarning, match="read as"):
        assert read_items(tmp_path / name).num_rows == 2


@pytest.mark.parametrize("name", ["part-0", "events"])
def test_parquet_without_a_suffix(tmp_path, name):
    (tmp_path / name).write_bytes(PARQUET)
    for source in (tmp_path / name, tmp_path):
        assert len(read_log(source)) == 2
    (tmp_path / name).write_bytes(CSV)
    with pytest.raises(ConfigError, match="its name does not show its format"):
        read_log(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("log.csv", gzipped(gzipped(CSV)), "compressed twice"),
        ("log.csv.gz", gzipped(tarred()), "inside gzip it is a tar archive"),
        ("log.csv", zipped(xl__workbook=b"", _rels=b""), "an Excel workbook"),
        ("log.xlsx", zipped(xl__workbook=b"", _rels=b""), "an Excel workbook"),
        ("log.csv", zipped(a=CSV, b=CSV), "expected a .zip with one file, got 2"),
        ("log.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "an Excel workbook"),
        ("log.csv", written(pyarrow.feather.write_feather), "an Arrow"),
        ("log.feather", written(pyarrow.feather.write_feather), "an Arrow"),
        ("log.csv", written(pyarrow.orc.write_table), "an ORC file"),
        ("log.csv", pickle.dumps({"user_id": [1]}), "a Python pickle"),
        ("log.csv", b"<!DOCTYPE html><html>Sign in", "a page of HTML"),
        ("log.csv", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ("log.csv", b"SQLite format 3\0" + bytes(99), "a SQLite database"),
        ("log.csv.gz", gzipped(PARQUET), "Parquet inside gzip.*decompress"),
        ("log.parquet", CSV, r"it is no Parquet file.*b'user_id,item_id.*log\.format"),
        ("log.parquet", gzipped(CSV), "no Parquet file"),
        ("log.json", CSV, r'none of its first lines is a JSON object.*log\.format = "csv"'),
    ],
)
def test_refused_by_what_it_is(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_log(tmp_path / name)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError):
        read_items(tmp_path / name)


def test_words_that_begin_as_a_mark_does_are_text(tmp_path):
    (tmp_path / "log.csv").write_bytes(CSV.replace(b"user_id", b"ORCID"))
    assert len(read_log(tmp_path / "log.csv", columns={"user_id": "ORCID"})) == 2


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_utf_16_without_a_mark(tmp_path: Path, encoding: str) -> None:
    text = "user_id,item_id\n" + "Zoë,日本\nb,y\n" * 9
    (tmp_path / "log.csv").write_bytes(text.encode(encoding))
    log = read_log(tmp_path / "log.csv")
    assert log.users.tolist() == ["Zoë", "b"]
    assert log.items.tolist() == ["y", "日本"]
    assert f"read as {encoding}" in log.row_counts.notes[0]


@pytest.mark.parametrize(
    "text", ['[{"user_id": 1}]', '[\n {"user_id": 1}\n]', '[["user_id"], [1]]']
)
def test_a_json_array_is_refused_by_name_under_any_name(tmp_path, text):
    for name in ("log.csv", "log.json", "log.txt"):
        (tmp_path / name).write_text(text)
        with pytest.raises(
            DataError, match=f"{name}: it is a JSON array; expected one JSON object"
        ):
            read_log(tmp_path / name)


def test_a_damaged_zip_under_another_name_is_not_called_empty(tmp_path):
    (tmp_path / "log.csv").write_bytes(b"PK\x03\x04junk")
    with pytest.raises(DataError, match="damaged or truncated zip file"):
        read_log(tmp_path / "log.csv")
