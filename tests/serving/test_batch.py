"""Lists for all users on disk: complete, resumable, of one version."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import ConfigError, DataError
from recsys.serving import open as open_store
from recsys.serving import write_batch
from recsys.serving.batch import SETTINGS, keep_part
from recsys.store import publish
from tests.store.releases import small_release

N_USERS, K = 9000, 5
SMALL = 1 << 20  # room for 1310 lists of five
OTHERS = {"version": "v", "k": 1, "include_seen": False, "where": None, "users_per_part": 6553}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    publish(folder, small_release(n_users=N_USERS, n_items=50))
    return folder


@pytest.fixture(scope="module")
def recommender(store: Path):
    return open_store(store)


def parts_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet"))


def test_every_user_is_there_with_the_list_of_one_call(recommender, tmp_path: Path) -> None:
    write_batch(recommender, tmp_path / "out", K, memory_bytes=SMALL)
    assert len(parts_of(tmp_path / "out")) == 7
    table = pq.read_table(parts_of(tmp_path / "out"))
    assert table.column_names == ["user_id", "rank", "item_id", "score", "source"]
    lists: dict[str, list[str]] = {}
    for row in table.to_pylist():
        lists.setdefault(row["user_id"], []).append(row["item_id"])
    assert list(lists) == [f"u{row}" for row in range(N_USERS)]
    for row in (0, 1310, 8999):
        single = recommender.recommend(f"u{row}", K)
        assert lists[f"u{row}"] == [item_id for item_id, _ in single]


def test_it_goes_on_where_it_was_interrupted(recommender, tmp_path: Path) -> None:
    whole = write_batch(recommender, tmp_path / "whole", K, memory_bytes=SMALL)
    assert pq.read_table(whole)["user_id"].unique().to_pylist() == recommender.all_users.tolist()
    expected = [path.read_bytes() for path in parts_of(whole)]
    folder = write_batch(recommender, tmp_path / "out", K, memory_bytes=SMALL)
    *kept, last = parts_of(folder)
    last.unlink()
    (folder / f".{last.name}.new").write_bytes(b"half a part")
    times = [path.stat().st_mtime_ns for path in kept]
    write_batch(recommender, folder, K, memory_bytes=SMALL)
    assert [path.stat().st_mtime_ns for path in kept] == times
    assert [path.read_bytes() for path in parts_of(folder)] == expected
    assert {path.name for path in folder.iterdir()} == {
        SETTINGS, *(path.name for path in parts_of(folder))
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{"k": 6}, {"include_seen": True}, {"where": "title = 'a'"}, {"memory_bytes": 1 << 21}],
)
def test_other_lists_are_not_mixed_in(recommender, tmp_path: Path, changes) -> None:
    settings = {"k": K, "memory_bytes": SMALL}
    write_batch(recommender, tmp_path, **settings)
    before = [path.read_bytes() for path in parts_of(tmp_path)]
    with pytest.raises(DataError, match="choose another folder, or remove this one"):
        write_batch(recommender, tmp_path, **(settings | changes))
    assert [path.read_bytes() for path in parts_of(tmp_path)] == before


def test_what_is_sold_out_is_that_of_the_beginning(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changes while lists are written, or before they go on, parts no folder in two."""
    file, folder = tmp_path / "sold_out.txt", tmp_path / "out"
    file.write_text("i1\ni2\n")
    shop = open_store(store, rules={"sold_out": str(file)})

    def keep_and_sell(*args: Any, **options: Any) -> None:
        keep_part(*args, **options)
        file.write_text("i3\n")

    monkeypatch.setattr("recsys.serving.batch.keep_part", keep_and_sell)
    write_batch(shop, folder, K, memory_bytes=SMALL)
    for part in parts_of(folder):
        listed = set(pq.read_table(part)["item_id"].to_pylist())
        assert listed & {"i1", "i2", "i3"} == {"i3"}
    assert not any(one.item_id == "i3" for one in shop.recommend("u0", 50))  # it holds at once

    parts_of(folder)[-1].unlink()
    before = [path.read_bytes() for path in parts_of(folder)]
    with pytest.raises(DataError, match=r"what is not sold out now.* was begun with"):
        write_batch(shop, folder, K, memory_bytes=SMALL)
    assert [path.read_bytes() for path in parts_of(folder)] == before
    file.write_text("i2\ni1\nunknown\n")
    write_batch(shop, folder, K, memory_bytes=SMALL)
    assert len(parts_of(folder)) == len(before) + 1


def test_less_than_a_megabyte_is_refused(recommender, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="memory: expected 1 MB or more"):
        write_batch(recommender, tmp_path, memory_bytes=1000)


def test_no_list_has_no_length(recommender, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="k: expected at least 1, got 0"):
        write_batch(recommender, tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()


def test_a_condition_that_fails_leaves_no_folder(recommender, tmp_path: Path) -> None:
    for where in ("nothing = 1", "title <"):
        with pytest.raises(DataError, match="where"):
            write_batch(recommender, tmp_path / "out", K, where=where, memory_bytes=SMALL)
        assert not (tmp_path / "out").exists()
    write_batch(recommender, tmp_path / "out", K, memory_bytes=SMALL)


def foreign(path: Path) -> None:
    pq.write_table(pa.table({"user_id": ["u0"]}), path)


@pytest.mark.parametrize(
    "put",
    [
        foreign,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no Parquet"),
        Path.mkdir,
        os.mkfifo,
        lambda path: path.symlink_to("nowhere"),
    ],
    ids=["parquet", "empty", "text", "folder", "pipe", "link"],
)
@pytest.mark.parametrize("name", ["part-000000.parquet", "part-000006.parquet", "part-7.parquet"])
def test_a_foreign_file_is_not_taken_for_done(
    recommender, tmp_path: Path, put: Callable[[Path], object], name: str
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    put(folder / name)
    signal.alarm(60)
    try:
        with pytest.raises(DataError, match="expected a folder without lists, got part-"):
            write_batch(recommender, folder, K, memory_bytes=SMALL)
        (folder / name).rename(tmp_path / "aside")
        write_batch(recommender, folder, K, memory_bytes=SMALL)
        (folder / name).unlink(missing_ok=True)
        (tmp_path / "aside").rename(folder / name)
        with pytest.raises(DataError, match=f"{name}: expected lists of these settings"):
            write_batch(recommender, folder, K, memory_bytes=SMALL)
    finally:
        signal.alarm(0)


def test_lists_of_another_folder_are_foreign(recommender, tmp_path: Path) -> None:
    for name, k in (("five", 5), ("six", 6)):
        write_batch(recommender, tmp_path / name, k, memory_bytes=SMALL)
    (tmp_path / "six" / "part-000001.parquet").replace(tmp_path / "five" / "part-000001.parquet")
    with pytest.raises(DataError, match=r"part-000001\.parquet: expected lists of these settings"):
        write_batch(recommender, tmp_path / "five", 5, memory_bytes=SMALL)


@pytest.mark.parametrize(
    "put",
    [
        lambda path: path.write_text(""),
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text("null"),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.write_text(json.dumps({"version": 3, "k": [], "where": {}})),
        lambda path: path.write_text(json.dumps(OTHERS | {"version": "20200101T000000Z-00000000"})),
        lambda path: path.write_text(json.dumps(OTHERS | {"k": True})),
        Path.mkdir,
        os.mkfifo,
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.symlink_to("/dev/zero"),
    ],
)
def test_odd_settings_in_a_folder_are_a_sentence(
    recommender, tmp_path: Path, put: Callable[[Path], object]
) -> None:
    put(tmp_path / SETTINGS)
    signal.alarm(60)
    try:
        with pytest.raises(DataError, match="choose another folder, or remove this one"):
            write_batch(recommender, tmp_path, 1, memory_bytes=SMALL)
    finally:
        signal.alarm(0)
    assert [path.name for path in tmp_path.iterdir()] == [SETTINGS]


@pytest.mark.parametrize("place", ["file", "file/inside", "link"])
def test_a_place_that_is_no_folder_is_a_sentence(recommender, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(DataError, match="expected a folder to write lists to, got"):
        write_batch(recommender, tmp_path / place, K)
