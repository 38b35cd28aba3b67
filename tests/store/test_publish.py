"""A published version is there, whole, current, and what other teams' tools read."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from recsys.errors import DataError, GateFailedError, StoreError
from recsys.settings import IndexSettings
from recsys.store import Content, ModelSpec, current, publish, require_writable, verify, versions
from recsys.vectors import Embeddings, Ids
from tests.store.releases import ODD_IDS, small_release


def test_what_is_published_is_read_back(tmp_path: Path) -> None:
    release = small_release()
    content = Content.of(publish(tmp_path / "new" / "store", release))
    assert content.users.ids == release.users
    assert content.items.ids == release.items
    np.testing.assert_array_equal(content.users.embeddings, release.embeddings.users)
    np.testing.assert_array_equal(content.items.embeddings, release.embeddings.items)
    np.testing.assert_array_equal(content.items.popularity, release.popularity)
    assert content.attributes is not None
    assert content.attributes["title"].to_pylist() == [f"Title {row}" for row in range(30)]
    for row, seen in enumerate(release.seen.toarray()):
        assert content.users.seen[row].tolist() == np.flatnonzero(seen).tolist()


def test_the_manifest_says_what_the_version_is(tmp_path: Path) -> None:
    first = publish(tmp_path, small_release())
    second = publish(tmp_path, small_release(seed=1))
    manifest = second.manifest
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{8}", second.name)
    assert manifest.version == second.name
    assert (first.manifest.parent, manifest.parent) == (None, first.name)
    assert first.manifest.space_id != manifest.space_id
    assert (manifest.n_users, manifest.n_items, manifest.factors) == (12, 30, 4)
    assert manifest.model == ModelSpec("als", {"factors": 4})
    assert manifest.index.main.recall[20] >= manifest.index.main.target_recall
    on_disk = {
        path.relative_to(second.folder).as_posix(): path.stat().st_size
        for path in second.folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert {name: facts.bytes for name, facts in manifest.files.items()} == on_disk
    assert json.loads((second.folder / "manifest.json").read_text())["format"] == 3
    assert manifest.environment["packages"]["numpy"] == np.__version__


def test_the_newest_is_current_and_first(tmp_path: Path) -> None:
    names = [publish(tmp_path, small_release(seed=seed)).name for seed in range(4)]
    assert current(tmp_path) == names[-1]
    assert (tmp_path / "CURRENT").read_text() == names[-1] + "\n"
    assert [version.name for version in versions(tmp_path)] == names[::-1]


def test_the_same_content_twice_gets_two_names(tmp_path: Path) -> None:
    names = [publish(tmp_path, small_release()).name for _ in range(3)]
    assert len(set(names)) == 3
    assert len({name.partition("-")[2] for name in names}) == 1
    assert current(tmp_path) == names[-1] == versions(tmp_path)[0].name


def test_the_same_release_gives_the_same_parquet(tmp_path: Path) -> None:
    first, second = (publish(tmp_path / name, small_release()) for name in "ab")
    assert first.manifest.files == second.manifest.files


@pytest.mark.parametrize("integers", [False, True])
def test_other_tools_read_the_files(tmp_path: Path, integers: bool) -> None:
    import duckdb
    import pandas as pd
    import polars as pl

    ids = [2**40 + row for row in range(12)] if integers else [f"u{row}" for row in range(12)]
    folder = publish(tmp_path, small_release(user_ids=ids)).folder
    path = folder / "users.parquet"
    schema = pq.read_schema(path)
    assert str(schema.field("user_id").type) == ("int64" if integers else "string")
    assert str(schema.field("embedding").type).startswith("fixed_size_list<element: float")
    assert str(schema.field("seen").type).startswith("list<element: int32")
    assert schema.metadata[b"space_id"].decode() == read_space(folder / "items.parquet")
    assert pd.read_parquet(path)["user_id"].tolist() == ids
    assert pl.read_parquet(path)["embedding"].to_numpy().shape == (12, 4)
    found = duckdb.sql(f"select user_id, len(embedding), len(seen) from '{path}'").fetchall()
    assert [row[0] for row in found] == ids
    assert {row[1] for row in found} == {4}


def read_space(path: Path) -> str:
    space: str = pq.read_schema(path).metadata[b"space_id"].decode()
    return space


def test_odd_ids_come_back(tmp_path: Path) -> None:
    release = small_release(n_users=10, n_items=10, user_ids=ODD_IDS, item_ids=ODD_IDS)
    content = Content.of(publish(tmp_path, release))
    assert content.users.ids.tolist() == ODD_IDS
    assert content.items.ids.tolist() == ODD_IDS
    verify(tmp_path)


def test_more_rows_than_a_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.store.parquet_files._ROWS_PER_GROUP", 5)
    release = small_release()
    folder = publish(tmp_path, release).folder
    assert pq.ParquetFile(folder / "users.parquet").num_row_groups == 3
    content = Content.of(versions(tmp_path)[0])
    np.testing.assert_array_equal(content.users.embeddings, release.embeddings.users)
    assert content.users.ids == release.users
    for row, seen in enumerate(release.seen.toarray()):
        assert content.users.seen[row].tolist() == np.flatnonzero(seen).tolist()
    verify(tmp_path)


def test_a_pipe_says_which_index_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECSYS_PROGRESS_SECONDS", "0")
    publish(tmp_path, small_release(), progress=True)
    said = re.findall("index of [a-z ]+", capsys.readouterr().err)
    expected = ["index of items", "index of similar items", "index of similar users"]
    assert [name.strip() for name in said] == expected


def test_published_files_are_read_only(tmp_path: Path) -> None:
    folder = publish(tmp_path, small_release()).folder
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o444}


def test_a_publish_mends_a_damaged_current(tmp_path: Path) -> None:
    first = publish(tmp_path, small_release())
    (tmp_path / "CURRENT").write_bytes(b"\xff\x00")
    with pytest.warns(RuntimeWarning, match="passed over CURRENT"):
        version = publish(tmp_path, small_release(seed=1))
    assert version.manifest.parent == first.name
    assert current(tmp_path) == version.name


def test_seen_items_may_come_unordered_and_twice(tmp_path: Path) -> None:
    seen = sp.csr_array(
        (np.ones(4), np.array([7, 3, 7, 0]), np.array([0, 3, *[4] * 11])), shape=(12, 30)
    )
    version = publish(tmp_path, small_release(seen=seen))
    assert version.manifest.n_seen == 3
    assert Content.of(version).users.seen[0].tolist() == [3, 7]
    assert seen.indices.tolist() == [7, 3, 7, 0]  # what was handed over is left as it was
    verify(tmp_path)


def test_a_space_can_be_carried_on(tmp_path: Path) -> None:
    version = publish(tmp_path, small_release(space_id="yesterday"))
    assert version.manifest.space_id == "yesterday"
    verify(tmp_path)


def test_a_refused_index_publishes_nothing(tmp_path: Path) -> None:
    kept = publish(tmp_path, small_release())
    rng = np.random.default_rng(0)
    vectors = Embeddings(
        rng.standard_normal((20, 16)).astype(np.float32),
        rng.standard_normal((2000, 16)).astype(np.float32),
    )
    release = small_release(
        n_users=20, n_items=2000, embeddings=vectors, seen=sp.csr_array((20, 2000))
    )
    poor = IndexSettings(target_recall=1.0, trees=1, head_share=0.0, max_search_k=100)
    with pytest.raises(GateFailedError, match="index"):
        publish(tmp_path, release, poor)
    assert current(tmp_path) == kept.name
    assert [path.name for path in (tmp_path / "versions").iterdir()] == [kept.name]


def test_what_a_dead_publisher_left_is_cleared_away(tmp_path: Path) -> None:
    stale = tmp_path / "versions" / ".staging-1" / "serving"
    stale.mkdir(parents=True)
    (stale / "index.annoy").write_text("half")
    assert versions(tmp_path) == []
    version = publish(tmp_path, small_release())
    assert [path.name for path in (tmp_path / "versions").iterdir()] == [version.name]


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_a_store_that_cannot_be_made(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").write_text("not a store")
    with pytest.raises(StoreError, match=r"store .*file.*check that it is a folder"):
        publish(tmp_path / where, small_release())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_store_without_permission(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="Permission denied"):
        require_writable(tmp_path / "store")


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="needs a file system of the kernel")
def test_a_store_where_nobody_may_write() -> None:
    with pytest.raises(StoreError, match="check that it is a folder that you may write to"):
        require_writable("/proc/store")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"users": Ids(["a"])}, "user ids of 12 rows, got 1"),
        ({"popularity": np.zeros(3, np.int64)}, "popularity of 30 rows, got 3"),
    ],
)
def test_parts_that_do_not_fit(change, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        small_release(**change)


def test_attributes_of_other_items() -> None:
    attributes = small_release().attributes
    assert attributes is not None
    with pytest.raises(DataError, match="row i of the attributes"):
        small_release(attributes=attributes.take(list(range(29, -1, -1))))
    with pytest.raises(DataError, match="column item_id"):
        small_release(attributes=attributes.select(["title"]))
