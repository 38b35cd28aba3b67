"""An id is one user or item, whatever type or spelling a program gave it; none is merged."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.logs import read_log


def log_of(ids: pa.Array) -> pa.Table:
    return pa.table({"user_id": ids, "item_id": list(range(len(ids)))})


@pytest.fixture(params=["table", "parquet"])
def read(request, tmp_path):
    """Read a table as it is, and from a file."""

    def reading(table: pa.Table, **how: object):
        if request.param == "table":
            return read_log(table, **how)
        pq.write_table(table, tmp_path / "log.parquet")
        return read_log(tmp_path / "log.parquet", **how)

    return reading


@pytest.mark.parametrize(
    ("type_", "ids", "expected"),
    [
        (pa.decimal128(38, 0), [2**53 + 1, 2**53], [2**53, 2**53 + 1]),
        (pa.decimal128(18, 0), [10**17 + 1, 10**17], [10**17, 10**17 + 1]),
        (pa.decimal128(10, 2), [Decimal("17850.00"), Decimal("2.00")], [2, 17850]),
        (pa.decimal128(38, 0), [10**30 + 1, 10**30], [str(10**30), str(10**30 + 1)]),
        (pa.uint64(), [2**64 - 1, 2**64 - 2], [str(2**64 - 2), str(2**64 - 1)]),
        (pa.uint64(), [10, 9], [9, 10]),
        (pa.uint64(), [2**63, 5], ["5", str(2**63)]),
    ],
)
def test_wide_numbers_are_exact(read, type_, ids, expected):
    array = pa.array([Decimal(id_) for id_ in ids] if pa.types.is_decimal(type_) else ids, type_)
    assert read(log_of(array)).users.tolist() == expected


def test_a_decimal_with_a_fraction_is_no_id(read):
    array = pa.array([Decimal("1.50"), Decimal("2.00")], pa.decimal128(38, 2))
    counts = read(log_of(array), max_rejected_share=1).row_counts
    assert counts.rejected == {"unreadable user_id": 1}


@pytest.mark.parametrize(("type_", "limit"), [(pa.float64(), 2**53), (pa.float32(), 2**24)])
def test_floats_that_may_be_rounded_are_rejected(read, type_, limit):
    exact = log_of(pa.array([limit - 1, 1 - limit], type_))
    assert read(exact).users.tolist() == [1 - limit, limit - 1]
    rounded = log_of(pa.array([limit, -limit, 1], type_))
    counts = read(rounded, max_rejected_share=1).row_counts
    assert counts.rejected == {"inexact user_id": 2}
    with pytest.raises(DataError, match=r"inexact user_id.*integers or strings"):
        read(rounded)


@given(st.lists(st.integers(-(2**70), 2**70), min_size=1, max_size=60, unique=True))
@settings(max_examples=10, deadline=None)
def test_as_many_users_as_the_log_has(ids):
    log = read_log(log_of(pa.array([Decimal(id_) for id_ in ids], pa.decimal128(38, 0))))
    assert sorted(map(str, log.users.tolist())) == sorted(map(str, ids))


@given(
    st.lists(st.integers(-(2**52), 2**52), min_size=1, max_size=24),
    st.lists(st.sampled_from(["{}", "{}.0", "{}.00"]), min_size=24, max_size=24),
)
@settings(max_examples=10, deadline=None)
def test_an_integer_spelled_as_a_float_is_the_integer(tmp_path_factory, ids, forms):
    path = tmp_path_factory.mktemp("ids") / "log.csv"
    spelled = [form.format(id_) for id_, form in zip(ids, forms, strict=False)]
    path.write_text("\n".join(["user_id,item_id", *(f"{id_},x" for id_ in spelled)]))
    log = read_log(path)
    assert log.users.tolist(log.user_idx) == ids
    assert log.users.tolist() == sorted(set(ids))


def test_files_that_spell_ids_differently_have_the_same_users(tmp_path):
    texts = {"a": "17850,1\n13047,2", "b": "17850.0,3\n13047.0,1", "c": "1.7850e4,5\n1.3047E4,6"}
    for name, rows in texts.items():
        (tmp_path / f"{name}.csv").write_text(f"user_id,item_id\n{rows}\n")
    pq.write_table(pa.table({"user_id": [17850.0], "item_id": [9]}), tmp_path / "d.parquet")
    (tmp_path / "e.jsonl").write_text('{"user_id": 17850.0, "item_id": 7}\n')
    (tmp_path / "f.csv").write_text("user_id;item_id\n17850,0;8\n13047,00;8\n")
    log = read_log(tmp_path)
    assert log.users.tolist() == [13047, 17850]
    assert log.row_counts.n_used == 10


def test_thousands_are_no_fractions(tmp_path):
    (tmp_path / "log.csv").write_text("user_id;item_id\n17,000;8\n17;8\n")
    assert read_log(tmp_path / "log.csv").users.tolist() == ["17", "17,000"]


@pytest.mark.parametrize("mark", [".", ","])
def test_two_spellings_among_strings_are_two_users_with_a_warning(tmp_path, mark):
    path = tmp_path / "log.csv"
    path.write_text(f"user_id;item_id\n17850;1\n17850{mark}0;2\nguest;3\n")
    with pytest.warns(RuntimeWarning, match=rf"'17850' and '17850\{mark}0' are two users"):
        log = read_log(path)
    assert len(log.users) == 3


def test_versions_and_codes_stay_what_they_are(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id\n1.5,0012\n2.0,0013\n1e400,0012\n")
    log = read_log(path)
    assert log.users.tolist() == ["1.5", "1e400", "2.0"]
    assert log.items.tolist() == ["0012", "0013"]


def test_json_numbers_beyond_a_float_are_exact_or_rejected(tmp_path):
    path = tmp_path / "log.jsonl"
    ids = ["9007199254740993", "123456789012345678901234567890", "9007199254740993.0", "1e17"]
    path.write_text("\n".join(f'{{"user_id": {id_}, "item_id": 1}}' for id_ in ids))
    log = read_log(path, max_rejected_share=1)
    assert log.users.tolist() == ["123456789012345678901234567890", "9007199254740993"]
    assert log.row_counts.rejected == {"inexact user_id": 2}


# Types


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([b"x" * 16], pa.binary(16)), r"column 'user_id' is fixed_size_binary\[16\]"),
        (pa.array([Decimal(10) ** 50], pa.decimal256(60, 0)), r"'user_id' is decimal256\(60, 0\)"),
        (pa.array([b"\xff\xfe"], pa.binary()), "user_id|not UTF-8 text"),
    ],
)
def test_a_type_that_is_no_id_is_named(read, column, message):
    with pytest.raises(DataError, match=message) as caught:
        read(log_of(column))
    assert "damaged" not in str(caught.value)


def test_half_precision_is_read(read):
    table = log_of(pa.array([1, 2])).append_column("value", pa.array(np.float16([0.5, 2])))
    assert read(table).weight.tolist() == [0.5, 2.0]


def test_pandas_periods_are_refused(read):
    frame = pd.DataFrame(
        {"user_id": [1], "item_id": [2], "timestamp": pd.period_range("2014-01", periods=1)}
    )
    with pytest.raises(DataError, match=r"'timestamp' is a pandas period.*to_timestamp"):
        read(pa.Table.from_pandas(frame))


def test_pandas_columns_that_no_table_can_hold():
    for odd in ("\ud800", 10**5000, {"a": 1, 2: 3}):
        frame = pd.DataFrame({"user_id": pd.Series([odd, "a"], dtype=object), "item_id": [1, 2]})
        with pytest.raises(DataError, match="log table"):
            read_log(frame)
    twice = pd.DataFrame([[1, 2, 3]], columns=["user_id", "item_id", "item_id"])
    with pytest.raises(DataError, match="'item_id' occurs several times"):
        read_log(twice)


# Names of columns


@pytest.mark.parametrize(
    "name",
    ["file_row_number", "recsys_file_index", "recsys_outcome", "recsys_line", "file_index", "text"],
)
@pytest.mark.parametrize("value", [5, "x"])
def test_columns_that_are_not_mapped_do_not_matter(read, name, value):
    table = pa.table({"user_id": ["a", ""], "item_id": [1, 2], name: [value] * 2})
    log = read(table, max_rejected_share=1)
    assert (log.users.tolist(), log.items.tolist()) == (["a"], [1])
    assert log.row_counts.rejected == {"empty user_id": 1}
    named = read(table, columns={"item_id": name}, max_rejected_share=1)
    assert named.items.tolist() == [value]


def test_names_that_differ_by_case_are_other_columns(read):
    table = pa.table({"user_id": [1], "item_id": [2], "Value": [3.0], "value": [4.0], "VALUE": [5]})
    assert read(table).weight.tolist() == [4.0]
    assert read(table, columns={"value": "Value"}).weight.tolist() == [3.0]


def test_a_column_that_occurs_twice_is_refused_where_it_is_read(read):
    arrays = [pa.array([1]), pa.array([2]), pa.array([3]), pa.array([4])]
    table = pa.table(arrays, names=["user_id", "item_id", "value", "value"])
    with pytest.raises(DataError, match="'value' occurs 2 times"):
        read(table)
    other = table.rename_columns(["user_id", "item_id", "x", "x"])
    assert len(read(other)) == 1


def test_a_name_in_another_case_is_suggested(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text("Item_ID,User_ID\n1,2\n")
    with pytest.raises(DataError, match="did you mean 'User_ID'"):
        read_log(path)


def test_a_column_that_is_another_of_ours_is_not_suggested(tmp_path: Path):
    path = tmp_path / "log.csv"
    path.write_text("user_id,movie\n1,2\n")
    with pytest.raises(DataError, match="expected a column 'item_id'") as caught:
        read_log(path)
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["1, 7", "1,7"], "item ids begin or end with blanks (1), such as ' 7'"),
        (["1\u00a0,7", "1,7"], "user ids begin or end with blanks (1), such as '1\\xa0'"),
        (['1,"[7, 8]"', '2,"[7]"', "3,7"], "item ids look like lists or bytes, such as '[7, 8]'"),
        (["b'1',7", "b'2',7"], "user ids look like lists or bytes, such as \"b'1'\""),
    ],
)
def test_ids_that_may_not_be_meant_are_noted(tmp_path, rows, said):
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["user_id,item_id", *rows]))
    log = read_log(path)
    assert len(log) == len(rows)
    assert any(note.startswith(said) for note in log.row_counts.notes)


def test_one_id_that_makes_all_others_strings_is_named(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["user_id,item_id", *(f"{n},7" for n in range(9)), "the end,7"]))
    log = read_log(path)
    assert log.users[0] == "0"
    said = "user ids are strings, as 1 of 10 are no integers, such as 'the end': log"
    assert log.row_counts.notes == (said,)


@pytest.mark.parametrize("column", ["user_id", "item_id", "value", "timestamp"])
@pytest.mark.parametrize("is_file", [True, False])
def test_durations_are_refused(tmp_path, column, is_file):
    table = pa.table(
        {"user_id": [1, 2], "item_id": [1, 2], column: pa.array([1, 2], pa.duration("s"))}
    )
    pq.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(DataError, match=rf"column '{column}' is duration\[s\]; expected integers"):
        read_log(tmp_path / "log.parquet" if is_file else table)
