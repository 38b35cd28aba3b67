"""Tables as DataFrames, as text, in a notebook, and as files."""

import csv
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.base.errors import ConfigError
from recsys.base.table_files import write_table
from recsys.base.tables import Tabular, table_of

TABLE = pa.table(
    {
        "item_id": ["a,b", "<i>|", "é\x1b"],
        "n": [1, None, 3],
        "share": pa.array([0.1, float("nan"), 123456.75], pa.float32()),
        "tags": [["x", "y"], [], None],
        "at": [datetime(2026, 11, 20, 2, tzinfo=UTC)] * 3,
    }
)


@dataclass(frozen=True, eq=False, repr=False)
class Rows(Tabular):
    table: pa.Table

    def to_arrow(self) -> pa.Table:
        return self.table

    def caption(self) -> str:
        return "rows of <all>"


def test_to_pandas_and_polars_have_the_rows_and_types_of_arrow() -> None:
    frame, polars = Rows(TABLE).to_pandas(), Rows(TABLE).to_polars()
    assert isinstance(frame, pd.DataFrame)
    assert isinstance(polars, pl.DataFrame)
    assert list(frame) == polars.columns == TABLE.column_names
    assert polars["n"].to_list() == [1, None, 3]
    assert frame["share"].dtype == "float32"


def test_without_polars_an_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ConfigError, match=r"pip install 'recsys-engine\[polars\]', or take to_pan"):
        Rows(TABLE).to_polars()


def test_the_text_is_aligned_and_says_that_it_leaves_rows_out() -> None:
    table = pa.table({"item_id": [f"i{n}" for n in range(32)], "score": [0.123456] * 32})
    lines = repr(Rows(table)).splitlines()
    assert lines[:3] == ["rows of <all>", "item_id   score", "i0       0.1235"]
    assert lines[-1] == "... and more: to_pandas(), to_polars() and to_arrow() have all rows"
    assert len(lines) == 33


def test_a_text_is_80_wide_and_names_the_columns_left_out() -> None:
    row = {"title": "x" * 99, "nothing": None, **{f"a_long_name_{n}": n for n in range(5)}}
    lines = repr(Rows(table_of([row]))).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "... and a_long_name_3, a_long_name_4"
    assert lines[2].startswith("xxx")


def test_a_column_of_words_that_does_not_fit_is_cut() -> None:
    row = {"rank": 1, "title": "x" * 60, "score": 0.5, "because_of": "y" * 60, "genre": "z" * 60}
    table = table_of([row | {"place": "w" * 60, "rank": 12345678}])
    lines = repr(Rows(table)).splitlines()
    assert lines[1].split() == ["rank", "title", "score", "because_of"]
    assert len(lines[2]) == 80
    assert lines[2].endswith("yyy...")
    assert lines[-1] == "... and genre, place"


def test_a_row_without_a_column_has_none_there() -> None:
    assert table_of([{"a": 1}, {"b": "x"}]).to_pylist() == [
        {"a": 1, "b": None},
        {"a": None, "b": "x"},
    ]


def test_a_text_holds_nothing_that_controls_a_terminal() -> None:
    assert "\x1b" not in repr(Rows(TABLE))
    assert r"\x1b" in repr(Rows(TABLE))


def test_html_is_escaped() -> None:
    shown = Rows(TABLE)._repr_html_()
    assert "&lt;i&gt;|" in shown
    assert "rows of &lt;all&gt;" in shown
    assert "<i>" not in shown


def test_a_table_without_rows_shows_its_columns() -> None:
    empty = Rows(TABLE.slice(0, 0))
    assert repr(empty).splitlines()[1].split() == TABLE.column_names
    assert "<th" in empty._repr_html_()


def test_a_table_without_rows_or_columns_shows_its_caption_alone() -> None:
    class Nothing(Tabular):
        def to_arrow(self) -> pa.Table:
            return table_of([])

    assert repr(Nothing()) == "Nothing"
    assert "more" not in Nothing()._repr_html_()


def test_parquet_is_the_table(tmp_path: Path) -> None:
    Rows(TABLE.drop_columns("share")).write(tmp_path / "new" / "a.parquet")
    assert pq.read_table(tmp_path / "new" / "a.parquet").equals(TABLE.drop_columns("share"))


def test_csv_has_all_digits_and_lists_as_json(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["item_id", "n", "share", "tags", "at"],
        ["a,b", "1", "0.1", '["x", "y"]', "2026-11-20T02:00:00+00:00"],
        ["<i>|", "", "nan", "[]", "2026-11-20T02:00:00+00:00"],
        ["é\x1b", "3", "123456.75", "", "2026-11-20T02:00:00+00:00"],
    ]


def test_vectors_have_the_digits_that_they_have(tmp_path: Path) -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array([0.1, 0.2, 3, 4], pa.float32()), 2)
    write_table(pa.table({"embedding": vectors}), tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())[0] == {"embedding": [0.1, 0.2]}


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".JSON"])
def test_json_is_a_list_of_objects(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_table(TABLE, path)
    text = path.read_text()
    rows = [json.loads(line) for line in text.splitlines()] if suffix == ".jsonl" else None
    rows = rows or json.loads(text)
    assert [row["share"] for row in rows] == [0.1, None, 123456.75]
    assert rows[0]["tags"] == ["x", "y"]
    assert rows[0]["at"] == "2026-11-20T02:00:00+00:00"


def test_markdown_keeps_a_row_on_a_line(tmp_path: Path) -> None:
    write_table(pa.table({"a|b": ["x\ny", "p|q"], "n": [1, 2]}), tmp_path / "a.md")
    assert (tmp_path / "a.md").read_text().splitlines() == [
        r"| a\|b | n |",
        "| --- | ---: |",
        "| x y | 1 |",
        r"| p\|q | 2 |",
    ]


def test_an_html_file_is_a_page(tmp_path: Path) -> None:
    write_table(TABLE, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert "<title>a.html</title>" in page
    assert "<td>&lt;i&gt;|</td>" in page
    assert page.count("<tr>") == 4


def test_another_suffix_is_an_error_that_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--out: expected a file that ends in \.csv, .*\.xlsx"):
        write_table(TABLE, tmp_path / "a.xlsx")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_table(pa.table({"n": [1]}), path)
    path.chmod(0o444)
    with pytest.raises(ConfigError, match="expected to write a table"):
        write_table(TABLE, tmp_path / "a.csv" / "b.csv")
    assert path.read_text() == "n\n1\n"
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]
