"""A log read a file at a time is the log read at once, bit for bit."""

import gzip
import hashlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import DataError, RecsysError
from recsys.logs import Interactions, LogCache, LogSettings, read_log

NOON = 1_700_000_000
DAY = 86_400

TEXT_IDS = st.sampled_from(["7", "007", "12", "-3", "ann", "é", " ", "9223372036854775808"])
INTEGER_IDS = st.integers(-3, 12)
TIMES = st.sampled_from([NOON, NOON + 60, NOON + DAY, NOON + DAY + 1, NOON + 3 * DAY, -5])


@st.composite
def rows(draw, ids):
    row = {"user_id": draw(ids), "item_id": draw(ids), "timestamp": draw(TIMES)}
    row["event"] = draw(st.sampled_from(["view", "buy", "refund", "other"]))
    row["value"] = draw(st.sampled_from([1.0, 2.5, 0.0, -1.0, 1e-3]))
    return row


def files(ids):
    suffixes = st.sampled_from([".parquet", ".csv", ".jsonl", ".jsonl.gz"])
    return st.tuples(suffixes, st.lists(rows(ids), min_size=1, max_size=6))


def write(path: Path, log: list[dict]) -> None:
    table = pd.DataFrame(log)
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        text = "".join(json.dumps(row) + "\n" for row in log).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def outcome(folder: Path, how: LogSettings, now: int, cache: LogCache | None):
    """Everything that comes of reading: the log bit for bit, or the error."""
    try:
        log = read_log(folder, how, now=now, cache=cache)
    except RecsysError as error:
        return type(error), str(error).partition("; the first are")[0]
    return bits_of(log)


def bits_of(log: Interactions) -> dict:
    matrix = log.user_items()
    arrays = (log.user_idx, log.item_idx, log.weight, log.timestamp)
    return {
        "columns": [None if a is None else (a.dtype.str, a.tobytes()) for a in arrays],
        "matrix": [a.tobytes() for a in (matrix.data, matrix.indices, matrix.indptr)],
        "ids": [(ids.values.type, ids.tolist()) for ids in (log.users, log.items)],
        "row_counts": replace(log.row_counts, rejects_file=None),
    }


HOW = st.builds(
    LogSettings,
    events=st.sampled_from([{}, {"view": 1.0, "buy": 3.0, "refund": 0.0}]),
    since=st.sampled_from([None, "2023-11-15"]),
    half_life_days=st.sampled_from([None, 1.0]),
    duplicates=st.sampled_from(["sum", "last", "max", "count"]),
    min_user_items=st.integers(1, 2),
    max_rejected_share=st.sampled_from([0.2, 1.0]),
)


@given(st.data())
@settings(max_examples=10)
def test_any_files_in_any_order_of_change(data: st.DataObject) -> None:
    ids = data.draw(st.sampled_from([TEXT_IDS, INTEGER_IDS, INTEGER_IDS.map(str)]))
    with TemporaryDirectory() as temporary:
        folder, cache = Path(temporary, "log"), LogCache(Path(temporary, "cache"))
        folder.mkdir()
        for _ in range(data.draw(st.integers(2, 4))):
            there = sorted(folder.iterdir())
            if there and data.draw(st.booleans()):
                data.draw(st.sampled_from(there)).unlink()
            for number in range(data.draw(st.integers(0, 2))):
                suffix, log = data.draw(files(ids))
                write(folder / f"{data.draw(st.integers(0, 3))}{number}{suffix}", log)
            how, now = data.draw(HOW), NOON + data.draw(st.integers(-2, 3)) * DAY
            assert outcome(folder, how, now, cache) == outcome(folder, how, now, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    for day in range(3):
        write_day(tmp_path / "log", day)
    return tmp_path / "log"


def write_day(folder: Path, day: int, user: str = "u") -> Path:
    path = folder / f"day{day}.csv"
    rows = [
        {"user_id": f"{user}{day}", "item_id": f"i{n}", "timestamp": NOON + n} for n in range(4)
    ]
    write(path, rows)
    return path


def settled(folder: Path) -> None:
    """As if the files had lain there for a while."""
    for path in folder.iterdir():
        os.utime(path, ns=(0, 0))


def names(paths: list[str]) -> list[str]:
    return [Path(path).name for path in paths]


def test_only_what_is_new_or_changed_is_read(folder: Path, tmp_path: Path) -> None:
    cache = LogCache(tmp_path / "cache")
    read_log(folder, cache=cache)
    assert names(cache.read) == ["day0.csv", "day1.csv", "day2.csv"]
    write_day(folder, 3)
    write_day(folder, 1, user="other")
    (folder / "day0.csv").unlink()
    log = read_log(folder, cache=cache)
    assert names(cache.read) == ["day1.csv", "day3.csv"]
    assert names(cache.reused) == ["day2.csv"]
    assert log.users.tolist() == ["other1", "u2", "u3"]
    assert len(list((tmp_path / "cache").iterdir())) == 2 * 3


def test_an_old_file_is_not_even_opened(folder: Path, tmp_path: Path) -> None:
    """Its time says that it has not changed; the cache was written later."""
    settled(folder)
    cache = LogCache(tmp_path / "cache")
    read_log(folder, cache=cache)
    for path in (tmp_path / "cache").glob("*.json"):  # as if that had been an hour ago
        entry = json.loads(path.read_text())["entry"]
        entry["read_ns"] += 3600 * 10**9
        checksum = hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
        path.write_text(json.dumps({"entry": entry, "sha256": checksum}))
    opened: list[str] = []
    watching = [True]

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "open":
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)
    read_log(folder, cache=cache)
    watching.clear()
    assert len(cache.reused) == 3
    assert not [path for path in opened if path.endswith(".csv")]


def test_the_same_size_and_time_with_another_content(folder: Path, tmp_path: Path) -> None:
    settled(folder)
    cache = LogCache(tmp_path / "cache")
    read_log(folder, cache=cache)
    path = folder / "day1.csv"
    path.write_text(path.read_text().replace("u1", "v1"))
    os.utime(path, ns=(0, 0))
    assert "v1" in read_log(folder, cache=cache).users.tolist()
    assert names(cache.read) == ["day1.csv"]


def test_settings_that_do_not_classify_rows_read_nothing(folder: Path, tmp_path: Path) -> None:
    cache = LogCache(tmp_path / "cache")
    read_log(folder, cache=cache)
    log = read_log(folder, cache=cache, half_life_days=1.0, min_item_users=2, duplicates="max")
    assert cache.read == []
    assert log.half_life_days == 1.0
    read_log(folder, cache=cache, until="2030-01-01")
    assert len(cache.read) == 3


def test_time_that_passes_makes_the_future_the_past(folder: Path, tmp_path: Path) -> None:
    cache, late = LogCache(tmp_path / "cache"), NOON + 2 * DAY
    rows = [{"user_id": "late", "item_id": "i", "timestamp": late}]
    write(folder / "day3.csv", rows)
    log = read_log(folder, cache=cache, now=NOON + 10, max_rejected_share=1.0)
    assert log.row_counts.rejected == {"timestamp in the future": 1}
    read_log(folder, cache=cache, now=NOON + 20, max_rejected_share=1.0)
    assert cache.read == []
    log = read_log(folder, cache=cache, now=late, max_rejected_share=1.0)
    assert names(cache.read) == ["day3.csv"]
    assert "late" in log.users.tolist()
    # and back again, where the clock does
    log = read_log(folder, cache=cache, now=NOON + 10, max_rejected_share=1.0)
    assert log.row_counts.rejected == {"timestamp in the future": 1}


@pytest.mark.parametrize("suffix", ["parquet", "json"])
def test_a_damaged_cache_is_made_again(folder: Path, tmp_path: Path, suffix: str) -> None:
    cache = LogCache(tmp_path / "cache")
    expected = bits_of(read_log(folder, cache=cache))
    path = sorted((tmp_path / "cache").glob(f"*.{suffix}"))[0]
    for where in np.linspace(0, 0.99, 8):
        content = bytearray(path.read_bytes())
        place = int(where * len(content))
        content[place] ^= 1
        for damaged in (content, content[:place]):
            path.write_bytes(damaged)
            assert bits_of(read_log(folder, cache=cache)) == expected, place
            assert len(cache.read) == 1, place
    path.unlink()
    assert bits_of(read_log(folder, cache=cache)) == expected
    assert len(cache.read) == 1
    read_log(folder, cache=cache)
    assert cache.read == []


def test_a_file_named_twice_counts_twice(folder: Path, tmp_path: Path) -> None:
    cache = LogCache(tmp_path / "cache")
    twice = [folder / "day0.csv", folder / "day0.csv"]
    for _ in range(2):
        assert bits_of(read_log(twice, cache=cache)) == bits_of(read_log(twice))


def test_rejected_rows_are_the_same(folder: Path, tmp_path: Path) -> None:
    (folder / "day3.csv").write_text("user_id,item_id,timestamp\n,i1,5\nu,,5\nu,i\n")
    cache, kept = LogCache(tmp_path / "cache"), {}
    for name in ("first", "again"):
        read_log(folder, cache=cache, rejects=tmp_path / f"{name}.parquet", max_rejected_share=1.0)
    read_log(folder, rejects=tmp_path / "plain.parquet", max_rejected_share=1.0)
    for name in ("first", "again", "plain"):
        kept[name] = pd.read_parquet(tmp_path / f"{name}.parquet").values.tolist()
    assert len(kept["plain"]) == 3
    assert kept["first"] == kept["again"] == kept["plain"]


def test_notes_are_repeated(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "1.csv").write_text("user_id,item_id,rating\na,x,1\n", encoding="utf-16")
    (tmp_path / "log" / "2.csv").write_bytes(gzip.compress(b"user_id,item_id\nb,x\n"))
    cache = LogCache(tmp_path / "cache")
    first, second = (read_log(tmp_path / "log", cache=cache).row_counts.notes for _ in range(2))
    assert len(cache.reused) == 2
    for said in ("read as utf-16-le", "column 'rating' is not used", "read as gzip"):
        assert sum(note.count(said) for note in first) == 1
    assert second == first


def test_a_damaged_log_file_is_named(folder: Path, tmp_path: Path) -> None:
    path = folder / "day3.parquet"
    pd.DataFrame({"user_id": ["a"] * 1000, "item_id": ["b"] * 1000}).to_parquet(path)
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"day3\.parquet"):
        read_log(path, cache=LogCache(tmp_path / "cache"))


def test_a_cache_that_cannot_be_written_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match="log cache .*cache"):
        read_log(folder, cache=LogCache(tmp_path / "cache"))
