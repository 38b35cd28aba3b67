import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from recsys.logs import ItemSettings, attributes_of, read_items
from recsys.vectors import Ids

ROWS = [(7, "Seven", "film"), (8, 'Eight, "the" film', "film"), (7, "Seven again", "film")]


@pytest.fixture(params=["parquet", "csv", "csv.gz", "jsonl", "tsv"])
def items_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"items.{request.param}"
    csv = "movieId,title,kind\n" + "".join(
        f'{id_},"{title.replace(chr(34), chr(34) * 2)}",{kind}\n' for id_, title, kind in ROWS
    )
    if request.param == "parquet":
        ids, titles, kinds = zip(*ROWS, strict=True)
        pq.write_table(pa.table({"movieId": ids, "title": titles, "kind": kinds}), path)
    elif request.param == "csv":
        path.write_text(csv)
    elif request.param == "csv.gz":
        path.write_bytes(gzip.compress(csv.encode()))
    elif request.param == "tsv":
        path.write_text(
            "movieId\ttitle\tkind\n"
            + "".join(
                f"{a}\t{b}\t{c}\n"
                for a, b, c in [(a, '"' + b.replace('"', '""') + '"', c) for a, b, c in ROWS]
            )
        )
    else:
        import json

        path.write_text(
            "".join(json.dumps({"movieId": a, "title": b, "kind": c}) + "\n" for a, b, c in ROWS)
        )
    return path


def test_mapped_columns_are_kept_under_our_names(items_file: Path) -> None:
    table = read_items(items_file, ItemSettings({"item_id": "movieId", "name": "title"}))
    assert table.to_pydict() == {
        "item_id": [7, 8, 7],
        "name": ["Seven", 'Eight, "the" film', "Seven again"],
    }


def test_all_columns_are_kept_where_only_the_id_is_mapped(items_file: Path) -> None:
    table = read_items(items_file, ItemSettings({"item_id": "movieId"}))
    assert table.column_names == ["item_id", "title", "kind"]


def test_attributes_follow_the_rows_of_the_embeddings() -> None:
    table = pa.table({"item_id": [7, 8, 7], "title": ["Seven", "Eight", "Seven again"]})
    aligned = attributes_of(table, Ids(["8", "x", "7"]))
    assert aligned.to_pydict() == {
        "item_id": ["8", "x", "7"],
        "title": ["Eight", None, "Seven"],
    }


def test_a_missing_column_is_named_with_the_closest(items_file: Path) -> None:
    with pytest.raises(DataError, match="no column 'movieID'.*did you mean 'movieId'"):
        read_items(items_file, ItemSettings({"item_id": "movieID"}))


@pytest.mark.parametrize("name", ["none.parquet", "none.csv"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=name):
        read_items(tmp_path / name)


@pytest.mark.parametrize("name", ["broken.parquet", "broken.jsonl", "broken.csv.gz"])
def test_a_broken_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{not a table")
    with pytest.raises(DataError, match=name):
        read_items(tmp_path / name)
