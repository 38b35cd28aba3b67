"""Reading a log: every format gives the same events, and only the usable ones."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import ConfigError, DataError
from recsys.logs import Interactions, LogSettings, read_log

NOON = 1_700_000_000


def table(**columns):
    return pa.table(columns)


def small() -> pa.Table:
    return table(
        user_id=["ann", "bob", "ann", "cleo"],
        item_id=["x", "y", "y", "x"],
        timestamp=[NOON + 30, NOON + 10, NOON + 20, NOON],
    )


def events_of(log: Interactions) -> list[tuple]:
    """The events by external id, in their order."""
    users, items = log.users.tolist(log.user_idx), log.items.tolist(log.item_idx)
    times = [None] * len(log) if log.timestamp is None else log.timestamp.tolist()
    return list(zip(users, items, log.weight.tolist(), times, strict=True))


def csv_bytes(log: pa.Table, sep: str = ",") -> bytes:
    return log.to_pandas().to_csv(index=False, sep=sep).encode()


def jsonl_bytes(log: pa.Table) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in log.to_pylist()).encode()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def test_events_come_in_order_of_time():
    log = read_log(small())
    assert events_of(log) == [
        ("cleo", "x", 1.0, NOON),
        ("bob", "y", 1.0, NOON + 10),
        ("ann", "y", 1.0, NOON + 20),
        ("ann", "x", 1.0, NOON + 30),
    ]
    assert log.users.tolist() == ["ann", "bob", "cleo"]
    assert log.row_counts.rows_read == 4


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "ndjson", "parquet"])
def test_every_format_gives_the_same_events(tmp_path, kind, suffix):
    path = tmp_path / f"log.{kind}{suffix}"
    if kind == "parquet":
        if suffix:
            path.write_bytes({".gz": gzip.compress, ".zst": zstd}[suffix](b"PAR1"))
            with pytest.raises(DataError, match="decompress the file"):
                read_log(path)
            return
        pq.write_table(small(), path)
    else:
        data = {
            "csv": csv_bytes(small()),
            "tsv": csv_bytes(small(), sep="\t"),
            "jsonl": jsonl_bytes(small()),
            "ndjson": jsonl_bytes(small()),
        }[kind]
        path.write_bytes({"": lambda b: b, ".gz": gzip.compress, ".zst": zstd}[suffix](data))
    assert events_of(read_log(path)) == events_of(read_log(small()))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found(tmp_path, delimiter):
    path = tmp_path / "log.csv"
    path.write_bytes(csv_bytes(small(), sep=delimiter))
    assert events_of(read_log(path)) == events_of(read_log(small()))


@pytest.mark.parametrize(
    "convert",
    [
        lambda log: log.to_pandas(),
        lambda log: log.to_pandas().astype({"user_id": "category"}),
        lambda log: pl.from_arrow(log),
        lambda log: pl.from_arrow(log).lazy(),
        lambda log: pl.from_arrow(log).with_columns(pl.col("item_id").cast(pl.Categorical)),
        lambda log: log.to_reader(),
        lambda log: log.combine_chunks().to_batches()[0],
        lambda log: log.set_column(0, "user_id", log["user_id"].dictionary_encode()),
        lambda log: [log.slice(0, 2), log.slice(2).to_pandas()],
    ],
)
def test_every_table_gives_the_same_events(convert):
    assert events_of(read_log(convert(small()))) == events_of(read_log(small()))


def test_folder_list_and_glob_mix_formats(tmp_path):
    nested = tmp_path / "day" / "one"
    nested.mkdir(parents=True)
    (nested / "a.csv").write_bytes(csv_bytes(small().slice(0, 1)))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(jsonl_bytes(small().slice(1, 1))))
    pq.write_table(small().slice(2), tmp_path / "c.parquet")
    (tmp_path / "README.md").write_text("not a log")
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / ".part.csv.crc").write_text("x")
    expected = events_of(read_log(small()))
    assert events_of(read_log(tmp_path)) == expected
    assert events_of(read_log([tmp_path / "c.parquet", tmp_path / "day", tmp_path / "b*"])) == (
        expected
    )
    assert events_of(read_log(str(tmp_path / "**" / "*.*[vtz]"))) == expected


def test_without_time_the_order_of_the_log_is_kept(tmp_path):
    rng = np.random.default_rng(0)
    n = 300_000  # several row groups, so that threads share the scan
    log = table(user_id=rng.integers(0, 500, n), item_id=rng.integers(0, 500, n))
    pq.write_table(log.slice(0, 200_000), tmp_path / "1.parquet", row_group_size=10_000)
    (tmp_path / "2.csv").write_bytes(csv_bytes(log.slice(200_000)))
    read = read_log(tmp_path)
    assert read.timestamp is None
    assert read.users.are_integers
    np.testing.assert_array_equal(
        np.array(read.users.tolist())[read.user_idx], log["user_id"].to_numpy()
    )
    np.testing.assert_array_equal(
        np.array(read.items.tolist())[read.item_idx], log["item_id"].to_numpy()
    )


def test_many_small_files_of_several_types(tmp_path):
    types = [pa.int32(), pa.int64(), pa.float64()]
    for number in range(60):
        ids = pa.array([number, 2**40 if number % 3 == 1 else 7], types[number % 3])
        log = table(user_id=ids, item_id=[f"i{number}", "both"], event=["", ""])
        pq.write_table(log, tmp_path / f"{number:02}.parquet")
    read = read_log([tmp_path / f"{number:02}.parquet" for number in reversed(range(60))])
    assert read.users.tolist() == [*range(60), 2**40]
    # Without time the given order of the files stands.
    assert [event[1] for event in events_of(read)][::2] == [f"i{n}" for n in reversed(range(60))]


@given(st.randoms(use_true_random=False), st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_order_of_rows_and_files_does_not_matter_where_there_is_time(random, n_parts):
    moments = {(user, NOON + second, ms) for user in "abcd" for second in (0, 1) for ms in (0, 7)}
    rows = [  # a user does one thing at a moment
        {
            "user_id": user,
            "item_id": random.choice("wxyz"),
            "value": random.choice([1.0, 2.0]),
            "timestamp": datetime.fromtimestamp(second, UTC) + timedelta(milliseconds=ms),
        }
        for user, second, ms in sorted(moments)
    ]
    expected = events_of(read_log(pa.Table.from_pylist(rows)))
    random.shuffle(rows)
    parts = [pa.Table.from_pylist(rows[k::n_parts]) for k in range(n_parts)]
    assert events_of(read_log(parts)) == expected


# Ids


@pytest.mark.parametrize(
    ("column", "ids"),
    [
        (pa.array([10, 9, -1], pa.int16()), [-1, 9, 10]),
        (pa.array([10, 9, 2**63 - 1], pa.uint64()), [9, 10, 2**63 - 1]),
        (pa.array([10.0, 9.0, 3.0]), [3, 9, 10]),
        (pa.array(["10", "9", "3"]), ["10", "3", "9"]),
        (pa.array([b"10", b"9", b"3"]).cast(pa.string()).dictionary_encode(), ["10", "3", "9"]),
        (pa.array(["é", "z", "😀"]), ["z", "é", "😀"]),
        (pa.array([10, 9, 3]).dictionary_encode(), [3, 9, 10]),
    ],
)
def test_typed_ids_keep_their_type_and_ascend(column, ids):
    log = read_log(table(user_id=column, item_id=["a", "b", "c"]))
    assert log.users.tolist() == ids


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize(
    ("written", "ids"),
    [
        (["10", "9", "-3"], [-3, 9, 10]),
        (["10", "007", "9"], ["007", "10", "9"]),
        (["1", "+2", "3"], ["+2", "1", "3"]),
        (["1", "9223372036854775808", "3"], ["1", "3", "9223372036854775808"]),
        (["-0", "1", "2"], ["-0", "1", "2"]),
        (["1", "2", " 3"], [" 3", "1", "2"]),
    ],
)
def test_text_ids_are_integers_only_if_all_are_canonical(tmp_path, kind, written, ids):
    log = table(user_id=written, item_id=["a", "b", "c"])
    path = tmp_path / f"log.{kind}"
    path.write_bytes(csv_bytes(log) if kind == "csv" else jsonl_bytes(log))
    assert read_log(path).users.tolist() == ids


def test_json_numbers_and_strings_name_the_same_user(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = ['{"user_id": 7, "item_id": 1}', '{"user_id": "7", "item_id": 2.0}']
    path.write_text("\n".join(lines))
    log = read_log(path)
    assert (log.users.tolist(), log.items.tolist()) == ([7], [1, 2])


def test_strings_beside_integers_are_strings(tmp_path):
    pq.write_table(table(user_id=[10, 9], item_id=[1, 2]), tmp_path / "1.parquet")
    pq.write_table(table(user_id=["10", "8"], item_id=[1, 2]), tmp_path / "2.parquet")
    log = read_log(tmp_path)
    assert log.users.tolist() == ["10", "8", "9"]
    assert log.items.tolist() == [1, 2]


def test_integers_in_csv_beside_integers_in_parquet_are_integers(tmp_path):
    pq.write_table(table(user_id=[10, 9], item_id=["a", "b"]), tmp_path / "1.parquet")
    (tmp_path / "2.csv").write_text("user_id,item_id\n10,5\n")
    log = read_log(tmp_path)
    assert log.users.tolist() == [9, 10]
    assert log.items.tolist() == ["5", "a", "b"]


ODD_IDS = [
    "a b",
    "it's",
    'say "hi"',
    "a/b\\c",
    "😀",
    "line\nbreak",
    "x" * 10_000,
    "c,d;e|f\tg",
    " a",
]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "table"])
def test_odd_ids_survive(tmp_path, kind):
    log = table(user_id=ODD_IDS, item_id=ODD_IDS[::-1])
    path = tmp_path / f"log.{kind}"
    if kind == "csv":
        path.write_bytes(csv_bytes(log))
    elif kind == "jsonl":
        path.write_bytes(jsonl_bytes(log))
    elif kind == "parquet":
        pq.write_table(log, path)
    read = read_log(log if kind == "table" else path)
    assert read.users.tolist() == sorted(ODD_IDS)
    assert [event[:2] for event in events_of(read)] == list(
        zip(ODD_IDS, ODD_IDS[::-1], strict=True)
    )


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=10, deadline=None)
def test_any_text_survives_json_lines_as_it_does_in_a_table(tmp_path_factory, ids):
    ids = [id_ + "!" for id_ in ids]  # no id is blank, none an integer
    log = table(user_id=ids, item_id=["a"] * len(ids))
    path = tmp_path_factory.mktemp("json") / "log.jsonl"
    path.write_bytes(jsonl_bytes(log))
    assert events_of(read_log(path)) == events_of(read_log(log))


def test_nasty_file_and_column_names(tmp_path):
    name = 'o\'brien "x" [1]*; é'
    log = table(**{'user"id': ["a"], "it'em": ["b"], "recsys": [1], "outcome": [2]})
    columns = {"user_id": 'user"id', "item_id": "it'em"}
    for kind in ("parquet", "csv", "jsonl"):
        path = tmp_path / f"{name}.{kind}"
        if kind == "parquet":
            pq.write_table(log, path)
        else:
            path.write_bytes(csv_bytes(log) if kind == "csv" else jsonl_bytes(log))
        assert events_of(read_log(path, columns=columns)) == [("a", "b", 1.0, None)]
    swapped = table(weight=["a"], text=["b"])
    read = read_log(swapped, columns={"user_id": "weight", "item_id": "text"})
    assert events_of(read) == [("a", "b", 1.0, None)]


# Weights, events, windows


def test_event_weights_and_excluded_events():
    log = read_log(
        table(
            user_id=["a", "a", "b"],
            item_id=["x", "y", "x"],
            event=["view", "buy", "cancel"],
            value=[2.0, 3.0, -1.0],
        ),
        events={"view": 1, "buy": 4, "cancel": 0},
    )
    assert events_of(log) == [("a", "x", 2.0, None), ("a", "y", 12.0, None)]
    assert log.row_counts.left_out == {"event excluded: cancel": 1}
    assert log.row_counts.rejected == {}


@pytest.mark.parametrize(
    ("scale", "weight"),
    [("linear", 3.0), ("log", np.float32(np.log(4))), ("root", 3**0.25), ("none", 1.0)],
)
def test_value_scales(scale, weight):
    log = read_log(table(user_id=["a"], item_id=["x"], value=[3]), value_scale=scale)
    assert log.weight.tolist() == [pytest.approx(weight)]


def test_min_value_and_window_leave_out():
    day, start = 86_400, 1_700_006_400  # 2023-11-15
    log = read_log(
        table(
            user_id=["a"] * 4,
            item_id=["w", "x", "y", "z"],
            value=[3.5, 4.0, 5.0, 5.0],
            timestamp=[start, start + day, start + 2 * day - 1, start + 2 * day],
        ),
        min_value=4,
        since="2023-11-16",
        until="2023-11-17T00:00:00Z",
    )
    assert [event[1] for event in events_of(log)] == ["x", "y"]
    assert log.row_counts.left_out == {"value below min_value": 1, "at or after until": 1}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_numeric_timestamps(unit):
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    stamps = [NOON * factor, NOON * factor + factor - 1]
    log = read_log(
        table(user_id=["a", "b"], item_id=["x", "x"], timestamp=stamps), timestamp_unit=unit
    )
    assert log.timestamp is not None
    assert log.timestamp.tolist() == [NOON, NOON]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_typed_timestamps(unit, zone):
    last_tick = {"s": 0, "ms": 999, "us": 999_999, "ns": 999_999_999}[unit]
    per_second = last_tick + 1
    moment = pa.array([NOON * per_second + last_tick]).cast(pa.timestamp(unit, zone))
    log = read_log(table(user_id=["a"], item_id=["x"], timestamp=moment))
    assert events_of(log)[0][3] == NOON


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2023-11-14", datetime(2023, 11, 14, tzinfo=UTC)),
        ("2023-11-14 22:13:20", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("2023-11-14T22:13:20Z", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("2023-11-14T22:13:20.999+01:00", datetime(2023, 11, 14, 21, 13, 20, tzinfo=UTC)),
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
    ],
)
def test_written_timestamps(tmp_path, text, moment):
    path = tmp_path / "log.csv"
    path.write_text(f"user_id,item_id,timestamp\na,x,{text}\n")
    for source in (path, table(user_id=["a"], item_id=["x"], timestamp=[text])):
        assert events_of(read_log(source))[0][3] == int(moment.timestamp())


def test_duplicates_and_half_life_reach_the_matrix():
    log = read_log(
        table(user_id=["a", "a"], item_id=["x", "x"], timestamp=[NOON, NOON + 86_400]),
        duplicates="max",
        half_life_days=1.0,
    )
    assert (log.duplicates, log.half_life_days) == ("max", 1.0)
    assert log.user_items().toarray().tolist() == [[1.0]]


# What cannot be read


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"user_id,item_id\n", "empty"),
        ("a.csv", b"\n\n", "empty"),
        ("a.jsonl", b"\n", "empty"),
        ("a.parquet", b"PAR1 but not really PAR1", "damaged"),
        ("a.csv.gz", gzip.compress(b"user_id,item_id\n" + b"a,b\n" * 9000)[:-20], "gzip"),
        ("a.csv.gz", b"this is no gzip\0", "gzip"),
        ("a.csv", "usér_id,item_id\na,b\n".encode("latin-1"), r"UTF-8.*log\.encoding"),
        ("a.csv", b"user,item_id\na,b\n", r"'user_id'.*'user', 'item_id'.*did you mean 'user'"),
        ("a.csv", b"user_id,user_id,item_id\na,a,b\n", "2 times"),
    ],
    # A name of its own for each: the bytes of a gzip file hold the time.
    ids=[
        "no bytes",
        "header alone",
        "blank lines",
        "blank JSON line",
        "no Parquet",
        "cut gzip",
        "no gzip",
        "Latin 1",
        "column missing",
        "column twice",
    ],
)
def test_a_bad_file_is_named(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_log(path)
    assert name in str(caught.value) or message == "empty"
    assert "\n" not in str(caught.value)


def test_a_parquet_file_damaged_inside_is_named(tmp_path):
    pq.write_table(small(), tmp_path / "good.parquet")
    path = tmp_path / "worse.parquet"
    pq.write_table(table(user_id=[str(k) for k in range(9999)], item_id=list(range(9999))), path)
    data = bytearray(path.read_bytes())
    data[50:5000] = b"\xff" * 4950
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"worse\.parquet"):
        read_log(path)


def test_missing_things(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_log(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="no such file"):
        read_log(tmp_path / "*.csv")
    with pytest.raises(DataError, match="folder"):
        read_log(tmp_path)
    with pytest.raises(DataError, match="empty list"):
        read_log([])
    with pytest.raises(DataError, match="got int"):
        read_log(3)
    (tmp_path / "log.xls").write_text("x")
    with pytest.raises(ConfigError, match=r"log\.format"):
        read_log(tmp_path / "log.xls")


def test_a_format_can_be_given(tmp_path):
    path = tmp_path / "events.log.gz"
    path.write_bytes(gzip.compress(csv_bytes(small())))
    assert len(read_log(path, format="csv")) == 4


def test_settings_that_need_a_column():
    log = table(user_id=["a"], item_id=["x"])
    for overrides in (
        {"events": {"view": 1.0}},
        {"min_value": 3.0},
        {"since": "2020-01-01"},
        {"half_life_days": 30.0},
        {"columns": {"value": "stars"}},
    ):
        with pytest.raises(DataError, match="expected a column"):
            read_log(log, **overrides)


def test_overrides_are_settings():
    chosen = LogSettings(columns={"user_id": "who", "item_id": "what"})
    log = table(who=["a", "a"], what=["x", "x"])
    assert read_log(log, chosen, duplicates="last").duplicates == "last"
    with pytest.raises(ConfigError, match="did you mean 'duplicates'"):
        read_log(log, chosen, duplicate="last")
    with pytest.raises(ConfigError, match="memory_limit"):
        read_log(log, chosen, memory_limit="lots")
    with pytest.raises(ConfigError, match="since"):
        read_log(log, chosen, since="yesterday")


@pytest.mark.parametrize(
    "column", [pa.array([True]), pa.array([[1]]), pa.array([{"a": 1}]), pa.array([b"\xff"])]
)
def test_a_column_of_no_id_is_refused(column):
    with pytest.raises(DataError, match="user_id"):
        read_log(table(user_id=column, item_id=["x"]))


def test_parts_must_have_the_same_columns():
    with pytest.raises(DataError, match="same columns"):
        read_log([small(), table(user_id=["a"], item_id=["x"])])


def test_mixed_pandas_column_is_refused():
    frame = pd.DataFrame({"user_id": pd.Series([1, "a"], dtype=object), "item_id": [1, 2]})
    with pytest.raises(DataError, match="mixes types"):
        read_log(frame)


def test_nullable_pandas_ids():
    frame = pd.DataFrame({"user_id": [7.0, np.nan, 8.0], "item_id": [1, 2, 3]})
    log = read_log(frame, max_rejected_share=0.5)
    assert log.users.tolist() == [7, 8]
    assert log.row_counts.rejected == {"empty user_id": 1}


def test_one_user_and_one_item():
    log = read_log(table(user_id=["a"], item_id=["x"]))
    assert log.user_items().toarray().tolist() == [[1.0]]


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    path = tmp_path / "log.csv"
    path.write_bytes(csv_bytes(small()))
    read_log(path)
    with pytest.raises(DataError):
        read_log(path, events={"view": 1.0})
    assert list(temporary.iterdir()) == []


def test_a_large_log_within_a_small_memory_limit(tmp_path):
    rng = np.random.default_rng(0)
    n = 400_000
    numbers = rng.integers(0, 100_000, n)
    log = table(
        user_id=[f"user-{number:030}" for number in numbers],
        item_id=rng.integers(0, 1000, n),
        timestamp=NOON + rng.permutation(n),
    )
    pq.write_table(log, tmp_path / "log.parquet", row_group_size=20_000)
    read = read_log(tmp_path / "log.parquet", memory_limit="60MB")
    assert len(read) == n
    assert len(read.users) == len(np.unique(numbers))


def test_path_objects_and_strings_are_the_same(tmp_path):
    path: Path = tmp_path / "log.csv"
    path.write_bytes(csv_bytes(small()))
    assert events_of(read_log(str(path))) == events_of(read_log(path))


def test_what_is_no_log_is_told_how_to_become_one(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("user_id,item_id\n1,2\n")
    with pytest.raises(DataError, match=r"no such file.*did you mean '.*/ratings\.csv'"):
        read_log(tmp_path / "ratings.cvs")
    with pytest.raises(DataError, match=r"no such file.*; .* has ratings\.csv"):
        read_log(tmp_path / "x")
    with pytest.raises(DataError, match=r"got csr_matrix; .*m\.tocoo\(\)"):
        read_log(sp.csr_matrix(np.eye(2)))
    with pytest.raises(DataError, match=r"got ndarray; of rows: pandas\.DataFrame\(rows"):
        read_log(np.eye(2))
    pivot = pd.DataFrame({"user_id": [1, 2], "item_id": [3, 4], "n": [1, 1]})
    pivot = pivot.pivot_table(index="user_id", columns="item_id", values="n")
    with pytest.raises(DataError, match="it is a pivot, with a column for each item_id; pass one"):
        read_log(pivot)
    assert len(read_log(pivot.stack().dropna().rename("value").reset_index())) == 2
    with pytest.raises(DataError, match="log table: expected rows, but it is empty"):
        read_log(pa.table({"userId": pa.array([], pa.int64())}))
