"""Opening a store, and the one-line call that follows CURRENT."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from recsys.errors import CorruptVersionError, StoreError, VersionNotFoundError
from recsys.serving import open as open_store
from recsys.serving import recommend, store_path
from recsys.serving.open import _current_recommender
from recsys.store import Version, activate, publish, rollback
from tests.store.releases import small_release

ROOT = Path(__file__).parents[2]


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECSYS_STORE", raising=False)
    assert store_path() == Path("store")
    monkeypatch.setenv("RECSYS_STORE", "/somewhere")
    assert store_path() == Path("/somewhere")
    assert store_path("else") == Path("else")


def test_open_finds_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = publish(tmp_path / "store", small_release())
    monkeypatch.delenv("RECSYS_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    assert open_store().version == recommend("u1").version == version.name
    monkeypatch.chdir("/")
    monkeypatch.setenv("RECSYS_STORE", str(tmp_path / "store"))
    assert open_store().version == recommend("u1").version == version.name


def test_open_a_version_by_name(tmp_path: Path) -> None:
    first, second = (publish(tmp_path, small_release(seed=seed)) for seed in range(2))
    assert open_store(tmp_path).version == second.name
    assert open_store(tmp_path, first.name).version == first.name
    with pytest.raises(VersionNotFoundError, match=second.name):
        open_store(tmp_path, "20010101T000000Z-00000000")


def test_the_one_line_call_follows_current(tmp_path: Path) -> None:
    first = publish(tmp_path, small_release())
    assert recommend("u1", 3, store=tmp_path).version == first.name
    second = publish(tmp_path, small_release(seed=1))
    assert recommend("u1", 3, store=str(tmp_path)).version == second.name
    activate(tmp_path, first.name)
    assert recommend("u1", 3, store=tmp_path).version == first.name


def damage(version: Version) -> str:
    path = version.folder / "serving" / "items" / "embeddings.npy"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    return path.name


def test_a_damaged_version_is_stood_in_for_by_the_one_before(tmp_path: Path) -> None:
    first, second, third = (publish(tmp_path, small_release(seed=seed)) for seed in range(3))
    activate(tmp_path, second.name)
    rollback(tmp_path)  # to the third; the second was undone
    name = damage(third)
    with pytest.warns(RuntimeWarning, match=rf"{name}: .*; serving version {second.name}$"):
        assert open_store(tmp_path).version == second.name
    with pytest.raises(CorruptVersionError, match=name):
        open_store(tmp_path, third.name)
    damage(second)
    with pytest.warns(RuntimeWarning, match=f"{third.name}.*; serving version {first.name}$"):
        assert recommend("u1", 3, store=tmp_path).version == first.name
    assert recommend("u1", 3, store=tmp_path).version == first.name  # warned once
    damage(first)
    with pytest.raises(CorruptVersionError, match=third.name):
        open_store(tmp_path)


def test_a_damaged_current_is_no_end_of_service(tmp_path: Path) -> None:
    first, second = (publish(tmp_path, small_release(seed=seed)) for seed in range(2))
    opened = _current_recommender(tmp_path)
    (tmp_path / "CURRENT").write_bytes(b"\x00" * 40)
    with pytest.warns(RuntimeWarning, match=rf"CURRENT: .*; serving version {second.name}$"):
        assert recommend("u1", 3, store=tmp_path).version == opened.version == second.name
    activate(tmp_path, first.name)
    assert recommend("u1", 3, store=tmp_path).version == first.name


def test_a_flipped_bit_or_the_end_of_current_is_no_end_of_service(tmp_path: Path) -> None:
    for seed in range(2):
        publish(tmp_path, small_release(seed=seed))
    content = (tmp_path / "CURRENT").read_bytes()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1
        for damaged in (bytes(flipped), content[:place]):
            (tmp_path / "CURRENT").write_bytes(damaged)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                assert len(open_store(tmp_path).recommend("u1", 3)) == 3


def test_the_one_line_call_opens_once(tmp_path: Path) -> None:
    version = publish(tmp_path, small_release())
    opened = _current_recommender(tmp_path)
    assert _current_recommender(tmp_path) is opened
    activate(tmp_path, version.name)  # CURRENT is another file that says the same
    assert _current_recommender(tmp_path) is opened


def test_a_recommender_keeps_to_its_version(tmp_path: Path) -> None:
    first = publish(tmp_path, small_release())
    recommender = open_store(tmp_path)
    before = recommender.recommend("u1")
    publish(tmp_path, small_release(seed=1))
    assert recommender.recommend("u1") == before
    assert recommender.version == first.name


def test_no_store(tmp_path: Path) -> None:
    for ask in (open_store, lambda store: recommend("u1", store=store)):
        with pytest.raises(StoreError, match="train first, or name the store"):
            ask(tmp_path / "nowhere")


def test_a_store_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    """Readers of Parquet take a folder "day=7" for a column."""
    store = tmp_path / "day=7" / "it's ünï 🦄"
    version = publish(store, small_release())
    assert recommend("u1", store=store).version == version.name


def test_serving_does_not_import_the_solvers(tmp_path: Path) -> None:
    publish(tmp_path, small_release())
    code = (
        "import sys, recsys; recsys.recommend('u1', store=sys.argv[1]); "
        "heavy = {'annoy', 'implicit', 'duckdb', 'pandas', 'polars', 'scipy.sparse'}; "
        "heavy |= {'pyarrow.compute', 'numba'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert found.stdout == "[]\n"
