"""Rows without a value, values that only choose, and numbers that are dates."""

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recsys.errors import ConfigError, DataError
from recsys.logs import LogCache, LogSettings, read_log
from recsys.splits import split_last

NOON = 1_700_000_000


def ratings(**columns: list) -> pa.Table:
    n = len(next(iter(columns.values())))
    return pa.table({"user_id": list(range(n)), "item_id": [7] * n, **columns})


# Values


@pytest.mark.parametrize("values", [[4.0, None, 2.0], [4.0, float("nan"), 2.0], ["4", "", "2"]])
def test_what_a_row_without_a_value_weighs(values):
    table = ratings(value=values)
    with pytest.raises(DataError, match=r"no value 1.*log\.missing_value"):
        read_log(table)
    assert read_log(table, missing_value=0.5).weight.tolist() == [4.0, 0.5, 2.0]
    left_out = read_log(table, missing_value=0)
    assert left_out.weight.tolist() == [4.0, 2.0]
    assert left_out.row_counts.left_out == {"no value": 1}
    chosen = read_log(table, missing_value=1, min_value=3)
    assert chosen.weight.tolist() == [1.0, 1.0]
    assert chosen.row_counts.left_out == {"value below min_value": 1}


def test_a_missing_value_is_not_scaled_and_multiplies_the_weight_of_the_event():
    table = ratings(value=[4.0, None], event=["buy", "view"])
    log = read_log(table, missing_value=0.5, value_scale="log", events={"buy": 2.0, "view": 3.0})
    assert log.weight.tolist() == [pytest.approx(2 * 1.6094379), 1.5]


def test_unreadable_is_not_missing():
    table = ratings(value=["4", "much", None])
    counts = read_log(table, missing_value=1, max_rejected_share=1).row_counts
    assert counts.rejected == {"unreadable value": 1}
    counts = read_log(table, max_rejected_share=1).row_counts
    assert counts.rejected == {"unreadable value": 1, "no value": 1}


def test_a_file_without_values_beside_one_with_values():
    tables = [ratings(value=[4.0]), ratings(item_id=[9])]
    with pytest.raises(DataError, match=r"log\.missing_value"):
        read_log(tables)
    assert sorted(read_log(tables, missing_value=1).weight.tolist()) == [1.0, 4.0]


def test_ratings_are_weights_only_where_they_do_not_choose():
    table = ratings(value=[3.0, 4.0, 5.0])
    assert read_log(table).weight.tolist() == [3.0, 4.0, 5.0]
    assert read_log(table, min_value=4).weight.tolist() == [1.0, 1.0]
    assert read_log(table, min_value=4, value_scale="linear").weight.tolist() == [4.0, 5.0]
    assert LogSettings().scale == "linear"
    assert LogSettings(min_value=1).scale == "none"


def test_advice_names_what_is_meant():
    with pytest.raises(DataError, match=r"non-positive weight.*log\.min_value") as caught:
        read_log(ratings(value=[-1.0, 0.0, 5.0]))
    assert "raise log.max_rejected_share" not in str(caught.value)
    with pytest.raises(DataError, match=r"unknown event.*log\.events"):
        read_log(ratings(event=["view"]), events={"buy": 1})
    with pytest.raises(DataError, match=r"out of range.*log\.timestamp_unit"):
        read_log(ratings(timestamp=[NOON * 1000]))
    with pytest.raises(ConfigError, match=r"log\.missing_value"):
        read_log(ratings(value=[1.0]), missing_value=-1)


# Keys of JSON that come late


def test_keys_are_read_wherever_they_come(tmp_path, monkeypatch):
    monkeypatch.setattr("recsys.logs.find_layout.SAMPLE_RECORDS", 100)
    monkeypatch.setattr("recsys.logs.records.BLOCK_BYTES", 999)
    rows = [{"user_id": n % 5, "item_id": n % 7, "note": '"value"'} for n in range(300)]
    rows += [{"user_id": 1, "item_id": 2, "value": 20.0, "timestamp": NOON}]
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    log = read_log(path, max_rejected_share=1)
    assert log.weight.tolist() == [20.0]
    assert log.row_counts.rejected == {"no value": 300}
    mapped = read_log(path, columns={"value": "value"}, missing_value=1.0, max_rejected_share=1)
    assert mapped.row_counts.rejected == {"no timestamp": 300}


def test_inner_keys_and_texts_are_no_keys(tmp_path, monkeypatch):
    monkeypatch.setattr("recsys.logs.find_layout.SAMPLE_RECORDS", 2)
    row = {"user_id": 1, "item_id": 2, "inner": {"value": 3}, "text": "timestamp"}
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join([json.dumps(row)] * 5))
    log = read_log(path)
    assert log.timestamp is None
    assert log.weight.tolist() == [1.0] * 5


# Times


def test_dates_written_as_numbers_are_refused_or_read():
    for numbers, day in (
        ([20141118, 20151231], "2014-11-18"),
        ([201411, 201512], "2014-11-01"),
        ([2014, 2015], "2014-01-01"),
        (["20141118", "20151231"], "2014-11-18"),
        ([20141118.0, 20151231.0], "2014-11-18"),
    ):
        table = ratings(timestamp=numbers)
        with pytest.raises(DataError, match=r"written as numbers.*log\.timestamp_unit"):
            read_log(table)
        log = read_log(table, timestamp_unit="date")
        assert datetime.fromtimestamp(log.timestamp[0], UTC).isoformat()[:10] == day


def test_dates_with_times_and_dates_that_are_none():
    table = ratings(timestamp=[20141118093015, 20141131, 123])
    log = read_log(table, timestamp_unit="date", max_rejected_share=1)
    assert log.timestamp.tolist() == [1_416_303_015]
    assert log.row_counts.rejected == {"unreadable timestamp": 2}


def test_days_of_excel():
    log = read_log(ratings(timestamp=[41961.5, 41962.0]), timestamp_unit="excel")
    assert log.timestamp.tolist() == [1_416_312_000, 1_416_355_200]


@pytest.mark.parametrize(
    ("numbers", "unit"),
    [([0, 1, 2], "s"), ([41961.5], "s"), ([538, 539], "s"), ([NOON], "ms"), ([20141340], "s")],
)
def test_a_log_that_ends_in_1970_is_read_with_a_warning(numbers, unit):
    with pytest.warns(RuntimeWarning, match=r"ends on 19.*log\.timestamp_unit"):
        log = read_log(ratings(timestamp=numbers), timestamp_unit=unit)
    assert len(log) == len(numbers)


def test_real_times_of_1970_are_times():
    moments = pa.array([datetime(1970, 8, 22), datetime(1970, 8, 23)])
    assert len(read_log(ratings(timestamp=moments))) == 2


# Each file


# Order within a second

_TENTHS = [3, 1, 9, 5]  # of the one second in which all happens, row by row


def _iso(digits: str) -> str:
    return f"2023-11-14T22:13:20.{digits}"


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        ([f"{NOON}.{tenth}" for tenth in _TENTHS], "s"),
        ([f"{NOON}.12345678{tenth}" for tenth in _TENTHS], "s"),  # beyond a DOUBLE
        ([NOON + tenth / 10 for tenth in _TENTHS], "s"),
        ([NOON * 1_000 + tenth for tenth in _TENTHS], "ms"),
        ([f"{NOON}00{tenth}" for tenth in _TENTHS], "ms"),
        ([f"{NOON}000.{tenth}" for tenth in _TENTHS], "ms"),
        ([NOON * 1_000_000 + tenth for tenth in _TENTHS], "us"),
        ([NOON * 1_000_000_000 + tenth for tenth in _TENTHS], "ns"),
        ([f"{NOON}00000000{tenth}" for tenth in _TENTHS], "ns"),
        ([_iso(f"{tenth}") for tenth in _TENTHS], "s"),
        ([_iso(f"00000000{tenth}Z") for tenth in _TENTHS], "s"),
        ([_iso(f"12{tenth}+00:00").replace("T", " ") for tenth in _TENTHS], "s"),
        (np.array([_iso(f"{tenth}") for tenth in _TENTHS], "datetime64[ms]"), "s"),
        (np.array([_iso(f"00000{tenth}") for tenth in _TENTHS], "datetime64[us]"), "s"),
        (np.array([_iso(f"00000000{tenth}") for tenth in _TENTHS], "datetime64[ns]"), "s"),
        ([25569 + (NOON + tenth / 10) / 86400 for tenth in _TENTHS], "excel"),
    ],
)
@pytest.mark.parametrize("kind", ["table", "csv", "jsonl"])
def test_parts_of_a_second_order_what_happens_in_it(tmp_path, times, unit, kind):
    table = ratings(timestamp=pa.array(times), user_id=[1] * 4, value=_TENTHS)
    source: Any = table
    if kind != "table":
        source = tmp_path / f"log.{kind}"
        frame = table.to_pandas()
        if kind == "csv":
            frame.to_csv(source, index=False)
        else:
            frame.to_json(source, orient="records", lines=True, date_format="iso", date_unit="ns")
    log = read_log(source, timestamp_unit=unit, duplicates="last")
    assert set(log.timestamp.tolist()) == {NOON}
    assert log.weight.tolist() == sorted(_TENTHS)
    assert log.user_items().data.tolist() == [9.0]


def test_the_last_item_of_a_user_is_the_last_of_its_second():
    times = pa.array([NOON * 1000 + ms for ms in (3, 1, 9, 2, 8, 5)], pa.timestamp("ms"))
    items = pa.array(["a", "c", "b"] * 2)
    log = read_log(pa.table({"user_id": [1, 1, 1, 2, 2, 2], "item_id": items, "timestamp": times}))
    _, test = split_last(log)
    assert [test.items[row] for row in test.item_idx] == ["c", "b"]


def test_what_one_user_does_at_one_moment_stays_in_the_order_of_the_log(tmp_path):
    (tmp_path / "1.csv").write_text(f"user_id,item_id,timestamp\n1,z,{NOON}\n1,b,{NOON}\n")
    (tmp_path / "2.csv").write_text(f"user_id,item_id,timestamp\n1,c,{NOON}\n1,a,{NOON}\n")
    log = read_log(tmp_path)
    assert [log.items[row] for row in log.item_idx] == ["z", "b", "c", "a"]


def test_a_window_begins_and_ends_within_a_second():
    table = ratings(timestamp=[NOON * 1000 + ms for ms in (0, 499, 500, 501, 999)])
    window = {"since": "2023-11-14T22:13:20.499", "until": "2023-11-14T22:13:20.501"}
    log = read_log(table, timestamp_unit="ms", **window)
    assert log.row_counts.left_out == {"before since": 1, "at or after until": 2}
    text = table.set_column(2, "timestamp", table["timestamp"].cast(pa.timestamp("ms")))
    assert read_log(text, **window).row_counts == log.row_counts


@pytest.mark.parametrize("cached", [False, True])
def test_a_file_of_garbage_is_refused_in_a_large_log(tmp_path, cached):
    folder = tmp_path / "log"
    folder.mkdir()
    good, bad = "1,2\n" * 74, ",3\n" * 26
    (folder / "day1.csv").write_text("user_id,item_id\n" + "1,2\n" * 30_000)
    (folder / "day2.csv").write_text("user_id,item_id\n" + good + bad)
    how = {"cache": LogCache(tmp_path / "cache")} if cached else {}
    for _ in range(2):  # what was refused yesterday is refused today
        with pytest.raises(DataError, match=r"log .*day2\.csv: .*26 rejected \(26\.00 %\)"):
            read_log(folder, rejects=tmp_path / "rejects.parquet", **how)
    assert len(read_log(folder, max_rejected_share=0.26, **how)) == 30_074
    (folder / "day2.csv").write_text("user_id,item_id\n" + good * 2 + ",3\n")
    assert len(read_log(folder, **how)) == 30_148


def test_garbage_of_the_newest_day_is_refused_in_a_file_that_grows(tmp_path):
    path, day = tmp_path / "log.csv", 86_400
    rows = [f"1,2,{NOON - day * (n % 300)}" for n in range(60_000)]
    good, bad = [f"1,2,{NOON + day}"] * 740, [f",2,{NOON + day}"] * 260
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows, *good, *bad]))
    with pytest.raises(DataError, match=r"log on 2023-11-15: .*260 rejected \(26\.00 %\)"):
        read_log(path)
    assert len(read_log(path, max_rejected_share=0.26)) == 60_740
    older = [f"1,2,{NOON + 3 * day}"] * 500  # what was let pass once does not stop the log for good
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows, *good, *bad, *older]))
    assert len(read_log(path)) == 61_240


def played(values: np.ndarray, **more: Any) -> pa.Table:
    n = len(values)
    return pa.table(
        {"user_id": np.arange(n) % 50, "item_id": np.arange(n) // 50, "value": values} | more
    )


@pytest.mark.parametrize("unit", [1.0, 0.001, 3600.0])
def test_values_with_a_long_tail_count_by_their_fourth_root(unit: float) -> None:
    values = unit * np.random.default_rng(0).lognormal(1.0, 2.0, 2000)
    log = read_log(played(values))
    np.testing.assert_allclose(np.sort(log.weight), np.sort(values) ** 0.25, rtol=1e-5)
    assert "values have a long tail" in str(log.row_counts)
    root = read_log(played(values), value_scale="root")
    np.testing.assert_allclose(np.sort(root.weight), np.sort(log.weight), rtol=1e-5)
    for scale in ("linear", "root"):
        assert "long tail" not in str(read_log(played(values), value_scale=scale).row_counts)


def test_values_without_a_long_tail_and_weights_of_events_count_as_they_are() -> None:
    stars = np.tile([1.0, 2.0, 3.0, 4.0, 5.0], 400)
    assert sorted(set(read_log(played(stars)).weight.tolist())) == [1, 2, 3, 4, 5]
    few = np.random.default_rng(0).lognormal(1.0, 2.0, 999)
    np.testing.assert_allclose(np.sort(read_log(played(few)).weight), np.sort(few), rtol=1e-6)
    kinds = np.where(np.arange(2000) % 20 == 0, "buy", "view")
    table = played(np.ones(2000), event=kinds).drop_columns("value")
    events = {"view": 1.0, "buy": 50.0}
    assert set(read_log(table, events=events).weight.tolist()) == {1.0, 50.0}
