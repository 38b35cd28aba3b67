"""Flipped bits in the files that are mapped, where no checksum is compared: never a crash.

Each is flipped for real and the version asked all it can answer, in a fork, as a wrong offset that
is followed ends the process. RECSYS_BITS is the share of the bits that are tried.
"""

import json
import os
import re
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.errors import CorruptVersionError, RecsysError, StoreError
from recsys.export import export_version
from recsys.serving import Recommender
from recsys.settings import IndexSettings
from recsys.store import Content, Version, publish, sound
from recsys.store.attribute_files import read_attribute_table
from recsys.store.manifest import MANIFEST, Manifest, read_manifest
from recsys.store.parquet_files import read_item_table, read_user_table
from recsys.vectors import NamedVectors
from tests.forks import GOT_THROUGH, fork, wait_for
from tests.store.releases import small_release

SHARE = float(os.environ.get("RECSYS_BITS", "0.0004"))
N_USERS, N_ITEMS = 60, 200


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version that can be written to, of text ids, with an Annoy forest."""
    store = tmp_path_factory.mktemp("store")
    settings = IndexSettings(kind="annoy", trees=2)
    found = publish(store, small_release(n_users=N_USERS, n_items=N_ITEMS), settings)
    for path in [found.folder, *found.folder.rglob("*")]:
        path.chmod(0o755)
    ask(found.folder)  # what is imported and compiled for the first answer, forks have
    return found.folder


def ask(folder: Path) -> None:
    """Ask all there is; only errors of ours may come, and no user may be taken for another."""
    opened = content_of(folder)
    recommender = Recommender(opened)
    for row in range(0, N_USERS, 7):
        for table in (opened.user_lookup, opened.users.ids):
            with ours():
                assert table.find(f"u{row}") in (row, None)
    items: NamedVectors = recommender.item_vectors
    asked: list[Any] = [
        lambda: recommender.recommend("u1", 3),
        lambda: recommender.recommend("u2", 60, where="title like 'T%'"),
        lambda: recommender.recommend("u3", 150, include_seen=True, max_per="title:1"),
        lambda: recommender.recommend("nobody", 3),
        lambda: recommender.recommend("nobody", 50, history=["i3", "i4"]),
        lambda: recommender.recommend_many([f"u{n}" for n in range(N_USERS)], 40).to_table(),
        lambda: recommender.recommend_many(["x", "u1"], 3, histories=[["i1"], None])[0],
        lambda: recommender.similar_items("i5", 50),
        lambda: recommender.similar_users("u5", 50),
        lambda: recommender.explain("u1", "i2"),
        lambda: recommender.closest_seen("u1", "i2"),
        lambda: recommender.describe("i2"),
        lambda: items.nearest("i2", 3),
        lambda: list(recommender.user_vectors),
    ]
    for question in asked:
        with ours():
            answer = question()
            if hasattr(answer, "to_dict"):
                json.dumps(answer.to_dict(), allow_nan=False)


class ours:  # noqa: N801
    """Let errors of ours pass."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> bool:
        return isinstance(error, RecsysError)


def bits_of(path: Path, share: float, n_bytes: int | None = None) -> Iterator[int]:
    """Yield the numbers of some bits of a file, some of its beginning in any case."""
    n = 8 * (n_bytes or path.stat().st_size)
    rng = np.random.default_rng(path.stat().st_size)
    chosen = range(n) if share >= 1 else rng.choice(n, max(6, int(share * n)), replace=False)
    yield from sorted(int(bit) for bit in chosen)


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ (1 << (bit % 8))]))


def read_parquet(folder: Path) -> None:
    """Read the Parquet files of a version, each by all that reads it."""
    readers = (read_user_table, read_item_table, read_attribute_table)
    asked: list[Any] = [lambda read=read: read(folder) for read in readers]
    asked += [lambda: recommender_of(folder).describe("i2")]
    asked += [lambda: export_version(content_of(folder), "schema", folder / "serving" / "out")]
    for question in asked:
        with ours():
            question()
    shutil.rmtree(folder / "serving" / "out", ignore_errors=True)


def content_of(folder: Path) -> Content:
    return Content.of(Version(folder.name, folder))


def recommender_of(folder: Path) -> Recommender:
    return Recommender(content_of(folder))


def survives(folder: Path, path: Path, bits: list[int], ask: Callable[[Path], None] = ask) -> None:
    """Flip one bit after the other in a fork, which says at which one it ended."""
    left, whole = list(bits), path.read_bytes()
    while left:
        end, begin = os.pipe()

        def work(left: list[int] = left, begin: int = begin) -> None:
            sound.MAX_CHECKED_BYTES = -1  # as of files that are too large to be read
            warnings.simplefilter("ignore")  # an index that answers otherwise is replaced, and told
            for bit in left:
                os.write(begin, f"{bit}\n".encode())
                flip(path, bit)
                with ours():
                    ask(folder)
                flip(path, bit)

        child = fork(work)
        os.close(begin)
        with os.fdopen(end) as lines:
            tried = [int(line) for line in lines]
        status = wait_for(child)
        path.write_bytes(whole)
        assert status == GOT_THROUGH, f"{path.name}: bit {tried[-1]}: {status}"
        left = left[len(tried) :]


def serving_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "serving").rglob("*") if path.is_file())


def test_the_version_answers_undamaged(version: Path) -> None:
    ask(version)


def test_any_flipped_bit_of_a_mapped_file(version: Path) -> None:
    paths = serving_files(version)
    assert len(paths) > 20
    for path in paths:
        survives(version, path, list(bits_of(path, SHARE)))


def test_any_flipped_bit_of_a_header_or_an_offset(version: Path) -> None:
    for path in serving_files(version):
        n_bytes = 128 if path.suffix == ".npy" else min(path.stat().st_size, 8 * N_USERS)
        survives(version, path, list(bits_of(path, min(1, 10 * SHARE), n_bytes)))


def test_any_flipped_bit_of_a_footer_of_parquet(version: Path) -> None:
    for path in sorted(version.glob("*.parquet")):
        content = path.read_bytes()
        footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        schema = content.index(b"ARROW:schema", footer) + 20  # in base64, which has 7 bits
        chosen = bits_of(path, SHARE, len(content) - footer)
        bits = [
            8 * schema + 7,
            *(8 * one.start() for one in re.finditer(b"_id", content)),
            *(8 * footer + bit for bit in chosen),
        ]
        survives(version, path, bits, read_parquet)


@pytest.mark.parametrize("side", ["users", "items"])
def test_an_offset_of_an_id_that_points_far_away(version: Path, side: str) -> None:
    """As in a file above 32 MB, whose checksum is not compared at open."""
    path = version / "serving" / side / "ids.arrow"
    whole = path.read_bytes()
    offsets = np.arange(3, dtype=np.int64) * 2  # of u0, u1 or i0, i1
    start = whole.index(offsets.tobytes())
    damaged = bytearray(whole)
    damaged[start + 8 : start + 16] = np.int64(2**40).tobytes()
    path.write_bytes(damaged)
    try:
        survives(version, path, [8 * len(whole) - 1])
        limit, sound.MAX_CHECKED_BYTES = sound.MAX_CHECKED_BYTES, -1
        try:
            ids = getattr(content_of(version), side).ids
        finally:
            sound.MAX_CHECKED_BYTES = limit
        for take in (lambda: ids[0], lambda: ids.values, lambda: ids.tolist(np.arange(50))):
            with pytest.raises(CorruptVersionError, match=r"ids\.arrow: damaged"):
                take()
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(("side", "n"), [("users", N_USERS), ("items", N_ITEMS)])
def test_a_length_of_a_buffer_that_is_no_whole_number(version: Path, side: str, n: int) -> None:
    path = version / "serving" / side / "ids.arrow"
    whole, length = path.read_bytes(), np.int64(8 * (n + 1)).tobytes()
    places = [place for place in range(len(whole) - 8) if whole[place : place + 8] == length]
    assert places
    survives(version, path, [8 * place + bit for place in places for bit in range(3)])


def test_a_table_of_ids_that_leads_to_another_user(version: Path) -> None:
    path = version / "serving" / "users" / "id_slots.npy"
    whole = path.read_bytes()
    slots = np.load(path)
    slots[slots[:, 1] == 4, 1] = 5
    np.save(path, slots)
    limit, sound.MAX_CHECKED_BYTES = sound.MAX_CHECKED_BYTES, -1
    try:
        opened = content_of(version)
        for find in (opened.user_lookup.find, opened.users.ids.find):
            assert find("u3") == 3
            with pytest.raises(CorruptVersionError, match="leads to row 5, which is of another id"):
                find("u4")
    finally:
        sound.MAX_CHECKED_BYTES = limit
        path.write_bytes(whole)


def changed(manifest: Manifest, **values: Any) -> str:
    """Return the text of a manifest with other values, and with the sum of these."""
    from recsys.store.manifest import _with_checksum

    return _with_checksum(json.dumps(manifest.to_dict() | values, indent=2) + "\n")


@pytest.mark.parametrize(
    "values",
    [
        {"n_users": "60"},
        {"n_users": -1},
        {"n_items": 1.5},
        {"factors": True},
        {"factors": 10**30},
        {"created": "yesterday"},
        {"created": "2026-01-01T00:00:00"},
        {"created": 7},
        {"parent": ["v"]},
        {"model": "als"},
        {"model": {"name": "als", "parameters": 3}},
        {"model": {"name": None, "parameters": {}}},
        {"index": []},
        {"files": {"users.parquet": {"bytes": "many", "sha256": "x"}}},
        {"files": {"../../secret": {"bytes": 1, "sha256": "x"}}},
        {"files": {"/dev/zero": {"bytes": 0, "sha256": "x"}}},
        {"files": {"./": {"bytes": 0, "sha256": "x"}}},
        {"files": ["users.parquet"]},
        {"metrics": {"als": 3}},
        {"checks": [{"name": 3}]},
        {"checks": 3},
        {"status": "perfect"},
        {"config": "none"},
        {"data": [1]},
    ],
)
def test_a_manifest_of_wrong_types_whose_sum_is_right(version: Path, values: dict) -> None:
    with pytest.raises(CorruptVersionError, match="expected the manifest of a version, got"):
        Manifest.from_json(changed(read_manifest(version), **values), version / MANIFEST)


@pytest.mark.parametrize("text", ['{"format": NaN}', "[" * 100_000, '{"format": 3}', "1" * 5000])
def test_a_manifest_that_is_no_manifest(version: Path, text: str) -> None:
    with pytest.raises(CorruptVersionError, match="expected the manifest of a version"):
        Manifest.from_json(text, version / MANIFEST)


def test_any_flipped_bit_of_a_manifest(version: Path) -> None:
    text = (version / MANIFEST).read_bytes()
    for bit in bits_of(version / MANIFEST, SHARE):
        flipped = bytearray(text)
        flipped[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(StoreError):
            Manifest.from_json(flipped.decode(errors="surrogateescape"), version / MANIFEST)


@pytest.mark.parametrize("name", [MANIFEST, "serving/users/ids.arrow"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(version: Path, name: str) -> None:
    path, aside = version / name, version / "aside"
    path.rename(aside)
    os.mkfifo(path)
    signal.alarm(20)
    try:
        with pytest.raises(StoreError, match="no file"):
            Content.of(Version(version.name, version))
    finally:
        signal.alarm(0)
        path.unlink()
        aside.rename(path)


@pytest.mark.parametrize("name", ["99999999T999999Z-00000000", "20261301T000000Z-3f2a91bc", ".."])
def test_an_impossible_name_is_no_version(version: Path, tmp_path: Path, name: str) -> None:
    from recsys.store import current, versions

    (tmp_path / "versions" / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "CURRENT").write_text(name + "\n")
    assert versions(tmp_path) == []
    with pytest.raises(CorruptVersionError, match="expected the name of a version"):
        current(tmp_path)
