"""Rows that cannot be used: each gets one reason, and none is lost without being counted."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.logs import FileCounts, LogCache, LogSettings, RowCounts, read_log

NOON = 1_700_000_000
GOOD = {"user_id": "a", "item_id": "x", "event": "view", "value": "1", "timestamp": str(NOON)}
EVENTS = {"view": 1.0, "cancel": 0.0}
REASONS = [
    ({"user_id": ""}, "empty user_id"),
    ({"user_id": None}, "empty user_id"),
    ({"user_id": " \t "}, "empty user_id"),
    ({"item_id": "  "}, "empty item_id"),
    ({"user_id": "", "item_id": ""}, "empty user_id"),
    ({"event": "look"}, "unknown event"),
    ({"event": None}, "no event"),
    ({"value": "much"}, "unreadable value"),
    ({"value": None}, "no value"),
    ({"value": " "}, "no value"),
    ({"value": "nan"}, "no value"),
    ({"value": "-inf"}, "non-finite value"),
    ({"value": "1e39"}, "non-finite value"),  # beyond float32
    ({"value": "0"}, "non-positive weight"),
    ({"value": "-1"}, "non-positive weight"),
    ({"value": "1e-60"}, "non-positive weight"),  # 0 in float32
    ({"timestamp": "noon"}, "unreadable timestamp"),
    ({"timestamp": None}, "no timestamp"),
    ({"timestamp": "nan"}, "no timestamp"),
    ({"timestamp": "-1"}, "timestamp out of range"),
    ({"timestamp": "1969-12-31T23:59:59Z"}, "timestamp out of range"),
    ({"timestamp": "1e300"}, "timestamp out of range"),
    ({"timestamp": str(NOON * 1000)}, "timestamp out of range"),
    ({"timestamp": "9999-01-01"}, "timestamp in the future"),
    ({"event": "cancel", "value": "-3"}, None),  # left out, so no reject
]


def as_csv(rows) -> str:
    def field(value):
        return "" if value is None else '"' + value.replace('"', '""') + '"'

    lines = [",".join(GOOD)] + [",".join(field(row[name]) for name in GOOD) for row in rows]
    return "\n".join(lines) + "\n"


def written(rejects) -> list[tuple]:
    return [tuple(row.values()) for row in pq.read_table(rejects).to_pylist()]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "table"])
def test_every_reason_in_every_format(tmp_path, kind):
    rows = [GOOD] + [{**GOOD, **change} for change, _ in REASONS]
    path, rejects = tmp_path / f"log.{kind}", tmp_path / "out" / "rejects.parquet"
    log = pa.Table.from_pylist(rows)
    if kind == "csv":
        path.write_text(as_csv(rows))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "parquet":
        pq.write_table(log, path)
    source = log if kind == "table" else path
    read = read_log(source, events=EVENTS, max_rejected_share=1, rejects=rejects)
    header = kind == "csv"
    expected = [(n + 2 + header, reason) for n, (_, reason) in enumerate(REASONS) if reason]
    assert [(line, reason) for _, line, reason, _ in written(rejects)] == expected
    assert {file for file, *_ in written(rejects)} == {"table" if kind == "table" else str(path)}
    assert len(read) == 1
    assert read.row_counts.left_out == {"event excluded: cancel": 1}
    assert sum(read.row_counts.rejected.values()) == len(expected)
    assert read.row_counts.rows_read == len(rows)
    assert read.row_counts.rejects_file == str(rejects)
    assert pq.read_schema(rejects).names == ["file", "line", "reason", "text"]
    assert list(rejects.parent.iterdir()) == [rejects]


def test_typed_columns_are_judged_too():
    log = pa.table(
        {
            "user_id": [1.0, 1.5, None, float("nan"), 2.0**53],
            "item_id": pa.array([1, 2, 3, 4, 5], pa.uint64()),
            "value": [1.0, 1.0, 1.0, 1.0, 1.0],
            "timestamp": [NOON] * 5,
        }
    )
    row_counts = read_log(log, max_rejected_share=1).row_counts
    assert row_counts.rejected == {
        "unreadable user_id": 1,
        "empty user_id": 2,
        "inexact user_id": 1,
    }


CSV_LINES = [
    (b"a,x,1", None),
    (b"a,x", "malformed line"),
    (b"a,x,1,2", "malformed line"),
    (b"", None),
    (b'"a""b","x,y",1', None),
    (b'"a"b,x,1', "malformed line"),
    (b'"never closed,x,1', "malformed line"),
    (b'5" disk,x,1', None),
    (b"caf\xe9,x,1", "not UTF-8"),
    (b"b,y,1\r", None),
    (b'"two\nlines","x\n\ny",1', None),
    (b"c,,1", "empty item_id"),
    (b'a,x,"1', "malformed line"),
    (b"last,x", "malformed line"),
]


def test_malformed_csv_lines(tmp_path):
    path, rejects = tmp_path / "log.csv", tmp_path / "rejects.parquet"
    path.write_bytes(b"\n".join([b"user_id,item_id,value"] + [line for line, _ in CSV_LINES]))
    read = read_log(path, rejects=rejects, max_rejected_share=1)
    assert read.users.tolist() == ['5" disk', "a", 'a"b', "b", "two\nlines"]
    assert "x\n\ny" in read.items.tolist()
    lines, line = [], 2
    for text, reason in CSV_LINES:
        if reason:
            lines.append((str(path), line, reason, text.decode(errors="replace")))
        line += 1 + text.count(b"\n")
    assert written(rejects) == lines


def test_a_quote_that_is_never_closed_spoils_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("recsys.logs.records.BLOCK_BYTES", 1 << 16)
    n = 30_000
    rows = [f"user{k},item{k % 7}" for k in range(n)]
    rows[n // 3] = 'y,"z'
    rows[n // 2] = '"a\nb",z'
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["user_id,item_id", *rows]))
    read = read_log(path)
    assert read.row_counts.rows_read == n
    assert read.row_counts.rejected == {"malformed line": 1}
    assert read.users.find("a\nb") is not None
    assert len(read.users) == n - 1


JSON_LINES = [
    ('{"user_id": "a", "item_id": "x"}', None),
    ('["a", "x"]', "malformed line"),
    ("7", "malformed line"),
    ('{"user_id": "a", "item_id": ', "malformed line"),
    ("  ", None),
    ('{"user_id": {"id": 1}, "item_id": "x"}', "unreadable user_id"),
    ('{"user_id": "a", "item_id": ["x"]}', "unreadable item_id"),
    ('{"user_id": true, "item_id": "x"}', "unreadable user_id"),
    ('{"user_id": 1.5, "item_id": "x"}', "unreadable user_id"),
    ('{"user_id": null, "item_id": "x"}', "empty user_id"),
    ('{"item_id": "x"}', "empty user_id"),
    ('{"user_id": "b", "item_id": "x"', "malformed line"),
]


def test_malformed_json_lines(tmp_path):
    path, rejects = tmp_path / "log.jsonl", tmp_path / "rejects.parquet"
    path.write_text("\n".join(line for line, _ in JSON_LINES))
    read = read_log(path, rejects=rejects, max_rejected_share=1)
    assert len(read) == 1
    assert written(rejects) == [
        (str(path), number, reason, line)
        for number, (line, reason) in enumerate(JSON_LINES, start=1)
        if reason
    ]


FIELD = st.text(st.sampled_from('ab",\n'), max_size=4)


@given(st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=15), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_quoted_records_survive_any_block_border(tmp_path_factory, pairs, block_bytes):
    folder = tmp_path_factory.mktemp("quoted")
    path = folder / "log.csv"

    def quoted(text):
        return '"' + text.replace('"', '""') + '"'

    rows = [f"{quoted('u' + user)},{quoted('i' + item)}" for user, item in pairs]
    path.write_text("\n".join(["user_id,item_id", *rows]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recsys.logs.records.BLOCK_BYTES", block_bytes)
        read = read_log(path)
    users, items = read.users.tolist(read.user_idx), read.items.tolist(read.item_idx)
    expected = [("u" + user, "i" + item) for user, item in pairs]
    assert list(zip(users, items, strict=True)) == expected


def test_too_many_rejects_stop_the_run_and_are_written_first(tmp_path):
    log = pa.table({"user_id": ["a"] * 98 + ["", "  "], "item_id": ["x"] * 100})
    rejects = tmp_path / "rejects.parquet"
    with pytest.raises(DataError) as caught:
        read_log(log, rejects=rejects)
    message = str(caught.value)
    for part in ("2 rejected (2.00 %)", "empty user_id 2", "line 99", str(rejects), "0.01"):
        assert part in message
    assert len(written(rejects)) == 2
    assert len(read_log(log, max_rejected_share=0.02)) == 98
    with pytest.raises(DataError, match="empty user_id 2"):
        read_log(log)


def test_no_rejects_no_file(tmp_path):
    rejects = tmp_path / "rejects.parquet"
    row_counts = read_log(pa.table({"user_id": [1], "item_id": [1]}), rejects=rejects).row_counts
    assert row_counts.rejects_file is None
    assert list(tmp_path.iterdir()) == []


def test_a_rejects_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    log = pa.table({"user_id": ["a", ""], "item_id": [1, 1]})
    with pytest.raises(DataError, match=r"rejects .*cannot be written"):
        read_log(log, rejects=tmp_path / "file" / "rejects.parquet", max_rejected_share=1)


@pytest.mark.parametrize(
    ("log", "overrides"),
    [
        ({"user_id": ["", ""], "item_id": [1, 2]}, {"max_rejected_share": 1.0}),
        ({"user_id": ["a"], "item_id": [1], "value": [1]}, {"min_value": 2.0}),
        ({"user_id": ["a"], "item_id": [1]}, {"min_user_items": 2}),
        (
            {"user_id": ["a", "b"], "item_id": [1, 2]},
            {"min_item_users": 2, "min_user_items": 2, "k_core": True},
        ),
    ],
)
def test_nothing_left_is_an_error_with_the_account(log, overrides):
    with pytest.raises(DataError, match="no row is left: [12] rows read; "):
        read_log(pa.table(log), **overrides)


def test_a_table_without_rows_is_an_error():
    empty = pa.table({"user_id": pa.array([], pa.string()), "item_id": pa.array([], pa.string())})
    with pytest.raises(DataError, match="empty"):
        read_log(empty)


@pytest.mark.parametrize("cached", [False, True])
def test_rows_are_counted_by_file(tmp_path, cached):
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "1.csv").write_text("user_id,item_id,event\na,x,buy\na,y,buy\nb,,buy\nb,x,refund\n")
    (folder / "2.csv").write_text("user_id,item_id,event\n")
    pq.write_table(
        pa.table({"user_id": ["c"] * 3, "item_id": ["x"] * 3, "event": ["buy"] * 3}),
        folder / "3.parquet",
    )
    expected = {
        str(folder / "1.csv"): FileCounts(4, 2, 1, {"empty item_id": 1}),
        str(folder / "2.csv"): FileCounts(),
        str(folder / "3.parquet"): FileCounts(rows_read=3, kept=3),
    }
    read = LogSettings(events={"buy": 1.0, "refund": 0.0}, max_rejected_share=1, min_user_items=2)
    for _ in range(2):  # from the files, then from the cache
        cache = LogCache(tmp_path / "cache") if cached else None
        counts = read_log(folder, read, cache=cache).row_counts
        assert list(counts.files.items()) == list(expected.items())
        assert RowCounts.from_dict(json.loads(json.dumps(counts.to_dict()))) == counts
    twice = read_log([folder / "3.parquet"] * 2, events={"buy": 1.0}).row_counts
    assert twice.files == {str(folder / "3.parquet"): FileCounts(rows_read=6, kept=6)}
    table = pa.table({"user_id": [1, None], "item_id": [1, 2]})
    one = read_log(table, max_rejected_share=1).row_counts.files
    assert one == {"table": FileCounts(2, 1, 1, {"empty user_id": 1})}


def test_a_manifest_keeps_the_counts_of_the_last_files():
    files = {f"{n:05}.csv": FileCounts(n, n) for n in range(1200)}
    kept = RowCounts.from_dict(RowCounts(files=files).to_dict()).files
    assert list(kept) == list(files)[200:]


BAD = {
    "1.csv": ("", 40),
    "2.csv": ("x", 0),
    "3.csv": ("y\xff", 30),
    "4.csv": (",", 20),
    "5.csv": ("", 10),
}
MOST = [
    "/1.csv 40 of 100 (empty user_id 40)",
    "/3.csv 30 of 100 (not UTF-8 30)",
    "/4.csv 20 of 100 (malformed line 20)",
    " and 1 more",
]


@pytest.fixture
def bad_files(tmp_path):
    """A folder of five files, four of them with rows that cannot be used, 20 % in all."""
    folder = tmp_path / "log"
    folder.mkdir()
    for name, (user, n_bad) in BAD.items():
        rows = [f"{user},i" for _ in range(n_bad)] + [f"u{n},i{n % 7}" for n in range(100 - n_bad)]
        text = "\n".join(["user_id,item_id", *rows])
        (folder / name).write_text(text, encoding="latin-1")
    return folder


@pytest.mark.parametrize("allowed", [0.01, 0.3])  # too many of the log, or of single files
def test_a_refusal_names_the_files(bad_files, allowed):
    with pytest.raises(DataError) as caught:
        read_log(bad_files, max_rejected_share=allowed)
    message = str(caught.value)
    expected = MOST if allowed < 0.2 else [f"log {bad_files}/1.csv: more rows are unusable"]
    assert [part for part in expected if part not in message] == []
    assert message.startswith("log: " if allowed < 0.2 else "log /"), message
    counts = read_log(bad_files, max_rejected_share=1).row_counts
    assert [part for part in MOST if part not in str(counts)] == []


def test_a_refusal_of_several_files_or_of_a_day_names_them(bad_files):
    with pytest.raises(
        DataError, match="log .*/1.csv, .*/3.csv: more .*: 200 rows read; 70 reject"
    ):
        read_log(bad_files, max_rejected_share=0.25)
    for n_file, n_bad in enumerate([30, 0, 20]):
        users = [None] * n_bad + list(range(300 - n_bad))
        day = [86_400 * (19_600 + (n < n_bad + 50)) for n in range(300)]
        table = pa.table({"user_id": users, "item_id": [1] * 300, "timestamp": day})
        pq.write_table(table, bad_files / f"{n_file}.parquet")
    for path in bad_files.glob("*.csv"):
        path.unlink()
    with pytest.raises(DataError) as caught:
        read_log(bad_files, max_rejected_share=0.15)
    assert "log on 2023-09-01: more rows" in str(caught.value)
    assert "200 rows read; 50 rejected (25.00 %): empty user_id 50" in str(caught.value)
    assert f"most of the rejected in {bad_files}/0.parquet 30 of 80 (empty user_id 30), " in str(
        caught.value
    )


def test_a_key_that_is_read_and_occurs_twice_is_rejected(tmp_path: Path) -> None:
    lines = [
        '{"user_id": 1, "item_id": 2, "item_id": 3}',
        '{"item_id": 1, "x": {"item_id": 2}, "user_id": 1}',
    ]
    lines += ['{"user_id": 1, "item_id": 7, "page": "\\"item_id\\"", "x": 1, "x": 2},'] * 3
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines))

    with pytest.raises(
        DataError, match=r"repeated key 1; .*line 1: .*write each key of an object once"
    ):
        read_log(path)
    log = read_log(path, max_rejected_share=0.2)

    assert (log.row_counts.rejected, log.items.tolist()) == ({"repeated key": 1}, [1, 7])


def test_a_few_rows_can_be_let_go_by_a_number_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id,value\n" + "ann,7,1\n" * 8 + "ann,,1\n" + "ann,7,one\n")

    with pytest.raises(
        DataError, match=r"go on without these 2 rows: log.max_rejected_share = 0.2$"
    ):
        read_log(path)
    assert len(read_log(path, max_rejected_share=0.2)) == 8
