import bz2
import gzip
import json
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from recsys.logs import ItemSettings, attributes_of, guess_items, read_items, read_log
from recsys.logs.users import read_users
from recsys.settings import TextSettings
from recsys.vectors import Ids

NOON = 1_700_000_000
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
    with pytest.warns(
        RuntimeWarning, match=r"several rows that differ have one id, such as '7' \(1 ids\)"
    ):
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
    (tmp_path / name).write_text("{not a table\0")
    with pytest.raises(DataError, match=name):
        read_items(tmp_path / name)


# The same ids as in the log


@pytest.mark.parametrize("kind", ["csv", "tsv", "dat", "jsonl", "csv.bz2"])
def test_ids_are_read_as_those_of_a_log(tmp_path: Path, kind: str) -> None:
    cases = [
        (["0001", "0002"], ["0001", "0002"]),
        (["17850.0", "13047"], [17850, 13047]),
        (["9223372036854775808", "12"], ["9223372036854775808", "12"]),
        (["a", "7"], ["a", "7"]),
    ]
    for written, expected in cases:
        path, log = tmp_path / f"items.{kind}", tmp_path / f"log.{kind}"
        delimiter = {"tsv": "\t", "dat": "::"}.get(kind, ",")
        rows = [("item_id", "title"), *((id_, f"T{n}") for n, id_ in enumerate(written))]
        text = "\n".join(map(delimiter.join, rows))
        if kind == "jsonl":
            text = "\n".join(json.dumps(dict(zip(rows[0], row, strict=True))) for row in rows[1:])
        for one in (path, log):
            data = text.replace("title", "user_id") if one == log else text
            one.write_bytes(bz2.compress(data.encode()) if kind.endswith("bz2") else data.encode())
        table = read_items(path)
        assert table["item_id"].to_pylist() == expected
        items = read_log(log).items
        assert sorted(items.tolist(), key=str) == sorted(expected, key=str)
        titles = attributes_of(table, items)["title"].to_pylist()
        titles = dict(zip(items.tolist(), titles, strict=True))
        assert titles == {id_: f"T{n}" for n, id_ in enumerate(expected)}


def test_a_quoted_id_with_zeros_in_front_stays(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text('item_id,title\n"0001",Lamp\n"0002",Chair\n')
    assert attributes_of(read_items(path), Ids(["0002"]))["title"].to_pylist() == ["Chair"]


@pytest.mark.parametrize(
    "ids", [pa.array([7.0, 8.0]), pa.array([7, 8], pa.uint8()), pa.array(["7", "8"])]
)
def test_ids_of_every_type_are_found(ids: pa.Array) -> None:
    table = pa.table({"item_id": ids, "title": ["Seven", "Eight"]})
    for items in (Ids([8]), Ids(["8"])):
        assert attributes_of(table, items)["title"].to_pylist() == ["Eight"]


def test_few_or_no_items_in_the_table_are_a_warning() -> None:
    table = pa.table({"item_id": [1, 2], "title": ["One", "Two"]})
    with pytest.warns(RuntimeWarning, match=r"of the 2 items of the log, such as '0001'.* has 0"):
        attributes_of(table, Ids(["0001", "0002"]))
    with pytest.warns(RuntimeWarning, match="of the 3 items .* has 1"):
        attributes_of(table, Ids([1, 8, 9]))
    attributes_of(table, Ids([1, 9]))


# Types and forms


def test_columns_of_csv_are_typed(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(
        "item_id,price,n,on_sale,day,at,zip,title\n"
        "1,2.5,3,true,2024-05-01,2024-05-01 10:00:00,0012,None\n"
        "2,NULL,,False,2024-05-02,2024-05-01T11:00:00,1234,\n"
    )
    table = read_items(path)
    assert [str(column.type) for column in table.columns] == [
        *("int64", "double", "int64", "bool", "date32[day]", "timestamp[us]", "string", "string"),
    ]
    assert table["price"].to_pylist() == [2.5, None]
    assert table["n"].to_pylist() == [3, None]
    assert table["zip"].to_pylist() == ["0012", "1234"]
    assert table["title"].to_pylist() == ["None", ""]


def test_a_table_of_items_in_any_form(tmp_path: Path) -> None:
    path = tmp_path / "movies.dat"
    path.write_bytes("1::Amélie (2001)::Comedy|Romance\n2::Heat::Crime\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"^items .*items_text\.encoding"):
        read_items(path)
    text = TextSettings(names=["item_id", "title", "genres"], encoding="latin-1")
    assert read_items(path, ItemSettings(text=text)).to_pydict() == {
        "item_id": [1, 2],
        "title": ["Amélie (2001)", "Heat"],
        "genres": ["Comedy|Romance", "Crime"],
    }


def test_lists_and_late_keys_of_json(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    rows = [{"item_id": 1, "genres": ["a", "b"]}, {"item_id": "2", "title": "Two"}]
    path.write_text("\n\n".join(map(json.dumps, rows)))
    assert read_items(path).to_pydict() == {
        "item_id": [1, 2],
        "genres": [["a", "b"], None],
        "title": [None, "Two"],
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"item_id": 1, "price": NaN}', "'price' holds nan"),
        ('{"item_id": 1, "price": Infinity}', "'price' holds inf"),
        ('{"item_id": 1, "price": [1.5, -Infinity]}', "'price' holds -inf"),
        ('{"item_id": 1, "title": "\\ud800"}', "lone surrogate"),
        ('{"item_id": 1, "n": ' + "9" * 5_000 + "}", "line 1: expected one JSON object"),
        ('{"item_id": 1, "n": ' + "9" * 50 + "}", "beyond 64 bits"),
        ('{"item_id": 1, "n": ' + "[" * 5_000 + "]" * 5_000 + "}", "line 1: expected one JSON"),
        ('{"item_id": true}', "line 1: expected an id"),
        ('{"item_id": 1.5}', "line 1: expected an id"),
        ('{"item_id": Infinity}', "line 1: expected an id"),
        ("[1]", "JSON array"),
        ('{"item_id": 1', "line 1: expected one JSON object"),
    ],
)
def test_what_an_attribute_cannot_be(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=message):
        read_items(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_of_a_table_are_finite(tmp_path: Path, value: float) -> None:
    table = pa.table({"item_id": [1, 2], "price": [1.0, value]})
    with pytest.raises(DataError, match=r"'price' holds .*\(value 2\)"):
        attributes_of(table, Ids([1, 2]))
    pq.write_table(table, tmp_path / "items.parquet")
    with pytest.raises(DataError, match="'price' holds"):
        read_items(tmp_path / "items.parquet")
    (tmp_path / "items.csv").write_text(f"item_id,price\n1,2.5\n2,{value}\n")
    if value != value:
        assert read_items(tmp_path / "items.csv")["price"].to_pylist() == [2.5, None]
    else:
        with pytest.raises(DataError, match="'price' holds"):
            read_items(tmp_path / "items.csv")


def test_half_precision_is_refused() -> None:
    table = pa.table({"item_id": [1], "price": pa.array(np.float16([1]))})
    with pytest.raises(DataError, match="'price' is float16"):
        attributes_of(table, Ids([1]))


def test_a_row_of_another_length_is_named(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title\n1,Lamp\n2,Chair,red\n")
    with pytest.raises(DataError, match=r"items\.csv line 3: expected 2 fields, got '2,Chair,red'"):
        read_items(path)
    path.write_text("item_id,title,title\n1,Lamp,x\n")
    with pytest.raises(DataError, match="several columns 'title'"):
        read_items(path)


def test_a_table_of_any_library_is_read() -> None:
    table = pa.table({"movieId": [1, 2], "title": ["Lamp", None]})
    for source in (table, table.to_pandas(), pl.from_arrow(table)):
        found = read_items(source, guess_items(source, item_column="movieId").settings)
        assert found.to_pydict() == {"item_id": [1, 2], "title": ["Lamp", None]}
    with pytest.raises(DataError, match="the table has no column 'item_id', only movieId, title"):
        read_items(table)
    with pytest.raises(DataError, match="items: expected a path, or a pandas.*, got int"):
        read_items(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a", "b"], pa.string_view()),
        pa.RunEndEncodedArray.from_arrays([1, 2], ["a", "b"]),
        pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [pa.array([1, 2])]),
        pa.array([(1, 2, 3)] * 2, pa.month_day_nano_interval()),
    ],
    ids=["view", "run-end", "union", "interval"],
)
def test_types_that_no_version_can_keep_are_refused(values: pa.Array) -> None:
    with pytest.raises(DataError, match="column 'x' is .*, which a version cannot keep"):
        attributes_of(pa.table({"item_id": [1, 2], "x": values}), Ids([1, 2]))


# Rows and types of all kinds


@pytest.mark.parametrize(("titles", "n"), [(["A", "A", "B", "C"], 0), (["A", "Z", "B", "Z"], 2)])
def test_several_rows_with_one_id_are_said_where_they_differ(titles: list, n: int) -> None:
    table = pa.table({"item_id": ["a", "a", "b", "b"], "title": titles, "tags": [["x"]] * 4})
    if titles[-1] == "C":
        table = table.slice(0, 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = attributes_of(table, Ids(pa.array(["a", "b"], pa.large_string())))
    assert found["title"].to_pylist() == ["A", "B"]
    said = [str(one.message) for one in caught]
    assert [
        f"several rows that differ have one id, such as 'a' ({n} ids)" in one for one in said
    ] == ([True] if n else [])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"x": float("nan")}, {"x": 1.0}]),
        pa.array([[{"x": float("inf")}], []]),
        pa.array([[("k", float("nan"))], []], pa.map_(pa.string(), pa.float64())),
        pa.array([[1.0, float("nan")], [1.0, 2.0]], pa.list_(pa.float64(), 2)),
        pa.array([float("nan"), 1.0]).dictionary_encode(),
    ],
)
def test_numbers_that_are_none_are_found_inside(column: pa.Array) -> None:
    table = pa.table({"item_id": ["a", "b"], "t": column})
    with pytest.raises(DataError, match="column 't' holds (nan|inf)"):
        attributes_of(table, Ids(pa.array(["a", "b"], pa.large_string())))


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([1, 2], pa.duration("s")),
        pa.array([1, 2], pa.time32("s")),
        pa.array([1, 2], pa.date32()),
        pa.array([True, False]),
        pa.array([["a"], ["b"]]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array([b"a", b"\xff"]),
    ],
)
def test_a_type_that_is_no_id_is_refused(ids: pa.Array) -> None:
    with pytest.raises(DataError, match="item_id is .*; expected integers or strings"):
        attributes_of(pa.table({"item_id": ids}), Ids(pa.array(["a"], pa.large_string())))


def test_digits_beyond_64_bits_stay_text(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,ean\na,12345678901234567890\nb,1\n")
    table = read_items(tmp_path / "items.csv")
    assert table["ean"].to_pylist() == ["12345678901234567890", "1"]


def test_a_header_in_the_middle_is_no_item(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,price\n1,2.5\nitem_id,price\n2,3\n")
    table = read_items(tmp_path / "items.csv")
    assert table.to_pydict() == {"item_id": [1, 2], "price": [2.5, 3.0]}


def test_a_last_row_that_is_a_total_is_no_item(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,title\n7,Lamp\n9,Total\nTotal,2\n")

    with pytest.warns(RuntimeWarning, match=r"items .*line 4 is a footer and no row, 'Total,2'"):
        table = read_items(path)

    assert table.to_pydict() == {"item_id": [7, 9], "title": ["Lamp", "Total"]}


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('{"item_id": 7}\n{"item_id": 9, "title": "Lamp", "title": "Chair"}\n')

    with pytest.raises(DataError, match=r"items.jsonl line 2: an object has the key 'title' twice"):
        read_items(path)


def test_a_backslash_before_a_quote_is_a_quote_as_mysql_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "books.csv"
    path.write_text(
        '"ISBN";"Title";"Year"\n"01X";"The \\"Old; River\\" Reader";"1980"\n"02X";"C:\\";"1981"\n'
        '"03X";"a \\";\\" b";"1982"\n"04X";"said \\"no\\"";"1983"\n'
    )

    table = read_items(path, guess_items(path, item_column="ISBN").settings)

    titles = ['The "Old; River" Reader', "C:\\", 'a ";" b', 'said "no"']
    assert table["title"].to_pylist() == titles
    assert table["Year"].to_pylist() == [1980, 1981, 1982, 1983]
    log = tmp_path / "log.csv"
    log.write_text('user_id,item_id,review\n1,7,"so \\"good\\", so long"\n2,7,fine\n')
    assert len(read_log(log)) == 2


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_few_odd_rows_are_left_out_with_a_word(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"items.{kind}"
    rows = [f"{n},Film {n}" for n in range(20)]
    rows[3] = "3,Garden, Part 2"
    if kind == "jsonl":
        rows = [
            json.dumps(dict(zip(["item_id", "title"], row.split(","), strict=False)))
            for row in rows
        ]
        rows[3] = '{"item_id": 3, "title": "Gar'
    path.write_text("\n".join(["item_id,title", *rows] if kind == "csv" else rows))

    with pytest.warns(RuntimeWarning, match=r"1 of 20 rows are left out, such as line [45]: exp"):
        table = read_items(path)

    assert table["item_id"].to_pylist() == [n for n in range(20) if n != 3]


def test_dictionaries_of_python_and_a_table_without_header_name_the_way(tmp_path: Path) -> None:
    path = tmp_path / "meta.json"
    path.write_text("{'asin': 'B00', 'title': \"Mario's\"}\n")
    with pytest.raises(DataError, match=r"line 1: .*dictionary of Python.*ast\.literal_eval"):
        read_items(path)
    path = tmp_path / "news.tsv"
    path.write_text("N0\taction\t[]\t[]\nN1\tdrama\t[]\t[]\n")
    with pytest.raises(DataError, match=r"'data.items_text.names=\[\"item_id\", \"title\", \"c3\""):
        read_items(path)


def test_a_table_of_events_gives_what_is_of_the_items_alone() -> None:
    events = pa.table(
        {
            "customer_id": [1, 2, 3, 1],
            "sku": ["a", "a", "b", "b"],
            "product_name": ["Lamp", "Lamp", "Chair", "Chair"],
            "category": ["home"] * 4,
            "quantity": [1, 5, 1, 1],
            "bought": [NOON, NOON + 1, NOON + 2, NOON + 3],
        }
    )
    columns = {"user_id": "customer_id", "item_id": "sku", "timestamp": "bought"}

    found = guess_items(events, item_column="sku", log_columns=columns)

    expected = {"item_id": "sku", "title": "product_name", "category": "category"}
    assert found.settings.columns == expected
    assert "customer_id, quantity, bought left out" in str(found.sentence)
    makers = events.take([0, 2])  # one row an item: the column says who made it
    assert "customer_id" in guess_items(makers, None, "sku", columns).settings.columns
    bare = events.select(["customer_id", "sku", "bought"])
    with pytest.raises(DataError, match="got events of the log"):
        guess_items(bare, item_column="sku", log_columns=columns)


def test_a_column_that_is_not_there_is_named_as_it_is_asked_for(tmp_path: Path) -> None:
    """Of a table of users too, whose file and columns may be called after items."""
    path = tmp_path / "items.parquet"
    pq.write_table(pa.table({"item_id": [1], "name": ["Lamp"]}), path)
    with pytest.raises(DataError) as told:
        read_items(path, ItemSettings({"title": "cost"}))
    assert str(told.value).endswith(
        "no column 'cost', only item_id, name; name that of title: --set "
        "'data.item_columns={title=\"name\"}' (data.item_columns in the TOML)"
    )
    with pytest.raises(DataError) as told:
        read_users(path)
    assert str(told.value) == (
        f"users: {path} has no column 'user_id', only item_id, name; did you mean 'item_id'?; "
        "name the column of ids: --set 'data.user_columns={user_id=\"item_id\"}' "
        "(data.user_columns in the TOML)"
    )
    with pytest.raises(DataError) as told:
        read_users(tmp_path / "items.csv")
    assert str(told.value).startswith(f"users {tmp_path / 'items.csv'}: no such file")
    with pytest.raises(DataError, match="users: column 'items' is float16"):
        read_users(pa.table({"user_id": [1], "items": pa.array([1.0], pa.float16())}))
