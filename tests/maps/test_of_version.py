"""The map of a version is kept beside it, and the next one starts there."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from recsys.base.errors import ConfigError, VersionNotFoundError
from recsys.maps import VectorMap, vector_map
from recsys.store import prune
from tests.maps.worlds import two_nights


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("maps") / "store"
    two_nights(store)
    return store


@pytest.fixture
def store(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "store")
    return tmp_path / "store"


def names(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "versions").iterdir())


def of(store: Path, version: str | None = None, **others: object) -> VectorMap:
    return vector_map(store, version, **({"method": "pca"} | others))  # type: ignore[arg-type]


def test_a_map_has_a_position_for_each_item(store: Path) -> None:
    found = of(store)
    table = found.to_pandas()
    assert list(table.columns) == ["item_id", "x", "y", "popularity"]
    assert len(table) == len(found.content.items.ids) == 120
    assert np.array_equal(table[["x", "y"]].to_numpy(), found.positions)
    assert "120 items of" in repr(found)
    users = of(store, kind="users")
    assert len(users.rows) == 200
    assert np.array_equal(users.popularity, np.full(200, 8))


def test_it_is_kept_and_read_again(store: Path) -> None:
    first = of(store, seed=0)
    kept = next((store / "maps").iterdir())
    mark = kept.stat().st_mtime_ns
    assert np.array_equal(of(store).positions, first.positions)
    assert kept.stat().st_mtime_ns == mark
    of(store, again=True)
    assert kept.stat().st_mtime_ns > mark


def test_the_next_one_starts_at_it(store: Path) -> None:
    older, newer = names(store)
    assert of(store).origin.started_from is None  # there is none yet
    first, second = of(store, older), of(store, newer, again=True)
    assert second.origin.started_from == older
    assert f"from the map of {older}" in second.caption()
    moved = np.linalg.norm(first.positions - second.positions, axis=1)
    assert np.median(moved) < 0.03 * np.ptp(first.positions)
    assert np.allclose(second.positions[0], second.positions[1], atol=0.3)  # it moved there


def test_a_damaged_map_is_made_again(store: Path) -> None:
    first = of(store)
    kept = next((store / "maps").iterdir())
    kept.write_bytes(b"PAR1 no more")
    with pytest.warns(UserWarning, match="no map that can be read"):
        again = of(store)
    assert np.array_equal(first.positions, again.positions)


def test_a_store_that_cannot_be_written_has_maps_all_the_same(store: Path) -> None:
    (store / "maps").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        assert len(of(store).positions) == 120


def test_maps_of_pruned_versions_go(store: Path) -> None:
    older, newer = names(store)
    of(store, older)
    shutil.rmtree(store / "versions" / older)
    prune(store, 1)
    of(store, newer)
    assert [path.name for path in (store / "maps").iterdir()] == [f"{newer}-items-pca.parquet"]


def test_more_points_than_are_laid_out_stand_between_their_neighbours(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = of(store)
    monkeypatch.setattr("recsys.maps.of_version.MOST_FITTED", 60)
    found = of(store, again=True)
    assert found.origin.n_fitted == 60
    taste = np.arange(120) % 4
    near = np.argsort(np.linalg.norm(found.positions[:, None] - found.positions, axis=2), axis=1)
    assert (taste[near[:, 1:6]] == taste[:, None]).mean() > 0.8
    assert whole.positions.shape == found.positions.shape


def test_what_is_asked_for_must_be_there(store: Path) -> None:
    with pytest.raises(ConfigError, match="expected items or users, got 'item'; did you mean"):
        of(store, kind="item")
    with pytest.raises(VersionNotFoundError):
        of(store, "20200101T000000Z-00000000")
