"""Damage to any file of a version is found, and the file is named."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.base.durable import sha256_of
from recsys.errors import CorruptVersionError, RecsysError, StoreError
from recsys.settings import IndexSettings
from recsys.store import Content, Version, find_version, publish, verify
from recsys.store.manifest import FORMAT, FileFacts
from recsys.store.parquet_files import UserTable, read_user_table, write_user_table
from recsys.store.seen_lists import SeenLists
from tests.store.releases import small_release

FILES = [
    "users.parquet",
    "items.parquet",
    "attributes.parquet",
    "manifest.json",
    *(
        f"serving/{name}s/{file}"
        for name in ("user", "item")
        for file in ("ids.arrow", "id_slots.npy", "embeddings.npy")
    ),
    "serving/users/seen_starts.npy",
    "serving/users/seen_items.npy",
    "serving/users/seen_weights.npy",
    "serving/items/popularity.npy",
    "serving/items/popular.npy",
    "serving/items/json.npy",
    "serving/items/json_starts.npy",
    "serving/index/forest.annoy",
    *(
        f"serving/{index}/{file}.npy"
        for index in ("index", "similar_items", "similar_users")
        for file in ("row", "position", "codes", "bounds", "factor", "probes", "answers")
    ),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    publish(store, small_release(n_users=40, n_items=200), IndexSettings(trees=2))
    return store


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "store"))


def named(name: str) -> str:
    return re.escape(name) + ":"


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def test_a_whole_version_passes(store: Path) -> None:
    version = verify(store)
    assert version == find_version(store)
    assert set(version.manifest.files) == set(FILES) - {"manifest.json"}
    assert verify(store, version.name) == version


@given(st.sampled_from(FILES), st.floats(0, 1, exclude_max=True), st.integers(0, 7))
@settings(max_examples=200, deadline=None)
def test_one_flipped_bit_is_found(whole: Path, name: str, where: float, bit: int) -> None:
    version = find_version(whole)
    path = version.folder / name
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[int(where * len(content))] ^= 1 << bit
    rewrite(path, bytes(flipped))
    try:
        with pytest.raises((CorruptVersionError, StoreError), match=named(name)):
            verify(whole)
    finally:
        rewrite(path, content)
    verify(whole)


@pytest.mark.parametrize("name", [*FILES[:7], "serving/index/forest.annoy", FILES[-1]])
@pytest.mark.parametrize("keep", [0.0, 0.5, "all but one"])
def test_a_truncated_file_is_found_by_open_too(store: Path, name: str, keep) -> None:
    path = find_version(store).folder / name
    content = path.read_bytes()
    rewrite(path, content[:-1] if keep == "all but one" else content[: int(keep * len(content))])
    for check in (verify, lambda store: Content.of(find_version(store))):
        with pytest.raises(CorruptVersionError, match=named(name)):
            check(store)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found_by_open_too(store: Path, name: str) -> None:
    (find_version(store).folder / name).unlink()
    for check in (verify, lambda store: Content.of(find_version(store))):
        with pytest.raises(CorruptVersionError, match=named(name)):
            check(store)


@pytest.mark.parametrize("name", FILES)
def test_flipped_values_of_a_small_version_are_found_by_open(store: Path, name: str) -> None:
    path = find_version(store).folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    rewrite(path, bytes(content))
    with pytest.raises(CorruptVersionError, match=named(name)):
        Content.of(find_version(store))


def test_files_of_another_space_are_refused(store: Path, tmp_path: Path) -> None:
    other = publish(tmp_path / "other", small_release(n_users=40, n_items=200, seed=1))
    version = find_version(store)
    users = (other.folder / "users.parquet").read_bytes()
    rewrite(version.folder / "users.parquet", users)
    with_new_checksum(version, "users.parquet")
    with pytest.raises(CorruptVersionError, match=r"users\.parquet: expected space"):
        verify(store)


def test_a_renamed_version_is_found(store: Path) -> None:
    version = find_version(store)
    name = "20010101T000000Z-00000000"
    version.folder.rename(version.folder.with_name(name))
    with pytest.raises(CorruptVersionError, match="must keep its name"):
        verify(store, name)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"embeddings": np.full((40, 4), np.nan, np.float32)}, "finite"),
        ({"embeddings": np.ones((39, 4), np.float32)}, "expected space .* 40 rows"),
        ({"seen": SeenLists(np.zeros(41, np.int64), np.empty(0, np.int32))}, "seen items"),
        ("descending", "ascend"),
        ("out of range", "from 0 to 199"),
    ],
)
def test_files_that_make_no_sense_are_found(store: Path, change, expected: str) -> None:
    """A checksum only says that the file is as it was written; verify also reads it."""
    version = find_version(store)
    users = read_user_table(version.folder)
    item_idx = users.seen.item_idx.copy()
    if change == "descending":
        change = {"seen": SeenLists(users.seen.starts, item_idx[::-1])}
    elif change == "out of range":
        item_idx[users.seen.starts[1] - 1] = 200
        change = {"seen": SeenLists(users.seen.starts, item_idx)}
    write_again(version, replace(users, **change))
    with pytest.raises(CorruptVersionError, match=rf"users\.parquet: .*({expected})"):
        verify(store)


def write_again(version: Version, users: UserTable) -> None:
    (version.folder / "users.parquet").unlink()
    try:
        write_user_table(version.folder, users)
    except ValueError:  # columns of different lengths cannot even be written
        write_user_table(
            version.folder,
            replace(
                users,
                ids=users.ids.take(np.arange(len(users.embeddings))),
                seen=SeenLists(users.seen.starts[: len(users.embeddings) + 1], users.seen.item_idx),
            ),
        )
    with_new_checksum(version, "users.parquet")


def with_new_checksum(version: Version, name: str) -> None:
    path = version.folder / name
    facts = FileFacts(bytes=path.stat().st_size, sha256=sha256_of(path))
    manifest = replace(version.manifest, files={**version.manifest.files, name: facts})
    rewrite(version.folder / "manifest.json", manifest.to_json().encode())


def test_a_newer_format_asks_for_another_release(store: Path) -> None:
    version = find_version(store)
    text = replace(version.manifest, format=FORMAT + 1).to_json()
    rewrite(version.folder / "manifest.json", text.encode())
    message = f"expected format {FORMAT}, got {FORMAT + 1}.*another release"
    with pytest.raises(StoreError, match=message):
        verify(store)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", "7", '{"format": 1}', "\x00", "[" * 200_000]
)
def test_other_text_is_no_manifest(store: Path, text: str) -> None:
    rewrite(find_version(store).folder / "manifest.json", text.encode())
    with pytest.raises(RecsysError, match=r"manifest\.json"):
        verify(store)
