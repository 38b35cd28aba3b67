"""Prune deletes the oldest versions, and none that somebody needs."""

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recsys.errors import ConfigError, GateFailedError, StoreError, VersionNotFoundError
from recsys.serving import open as open_store
from recsys.store import (
    Check,
    Content,
    activate,
    current,
    pin,
    pinned,
    prune,
    publish,
    rollback,
    unpin,
    versions,
)
from recsys.store.prune import STAGING, TRASH
from tests.store.releases import small_release

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("published")
    for seed in range(6):
        publish(store, small_release(seed=seed))
    return store


@pytest.fixture
def names(published: Path, tmp_path: Path) -> list[str]:
    """Of six versions, the last one current, in a store at tmp_path."""
    shutil.copytree(published, tmp_path, dirs_exist_ok=True)
    return sorted(version.name for version in versions(tmp_path))


@contextmanager
def gc_disabled() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def left_in(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "versions").iterdir())


def test_the_oldest_go(tmp_path: Path, names: list[str]) -> None:
    done = prune(tmp_path, 3)
    assert done.deleted == tuple(names[:3])
    assert done.kept == {names[5]: "current", names[4]: "rollback", names[3]: "newest 3"}
    assert left_in(tmp_path) == names[3:]
    assert prune(tmp_path, 3).deleted == ()


def test_a_dry_run_says_the_same_and_deletes_nothing(tmp_path: Path, names: list[str]) -> None:
    pin(tmp_path, names[1])
    planned = prune(tmp_path, 2, dry_run=True)
    assert left_in(tmp_path) == names
    folders = [tmp_path / "versions" / name for name in planned.deleted]
    size = sum(path.stat().st_size for folder in folders for path in folder.rglob("*.*"))
    assert planned.n_bytes == size > 0
    assert prune(tmp_path, 2) == planned


def test_the_current_one_stays_however_old(tmp_path: Path, names: list[str]) -> None:
    activate(tmp_path, names[0])
    done = prune(tmp_path, 1)
    assert done.kept == {names[5]: "rollback", names[0]: "current"}
    assert rollback(tmp_path).name == names[5]


def test_a_rollback_passes_over_what_was_pruned(tmp_path: Path, names: list[str]) -> None:
    prune(tmp_path, 2)
    assert rollback(tmp_path).name == names[4]
    with pytest.raises(VersionNotFoundError, match="got none that is still there"):
        rollback(tmp_path)


def test_a_pinned_version_stays_until_it_is_unpinned(tmp_path: Path, names: list[str]) -> None:
    for name in (names[0], names[2], names[2]):
        pin(tmp_path, name)
    assert prune(tmp_path, 1).kept[names[0]] == "pinned"
    assert left_in(tmp_path) == [names[0], names[2], names[4], names[5]]
    unpin(tmp_path, names[0])
    assert pinned(tmp_path) == {names[2]}
    assert prune(tmp_path, 1).deleted == (names[0],)


def test_what_cannot_be_pinned_or_unpinned(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(VersionNotFoundError, match="holds no version"):
        pin(tmp_path, "20010101T000000Z-00000000")
    with pytest.raises(StoreError, match="expected a pinned version, .* pinned are: none is"):
        unpin(tmp_path, names[0])
    assert not (tmp_path / "PINNED").exists()


def test_a_version_that_is_open_stays(tmp_path: Path, names: list[str]) -> None:
    recommender = open_store(tmp_path, names[0])
    assert prune(tmp_path, 1, dry_run=True).kept[names[0]] == "open"
    assert prune(tmp_path, 1).kept[names[0]] == "open"
    # These files are looked at when they are first asked for.
    assert len(recommender.recommend("nobody", 3)) == 3
    assert len(recommender.similar_items("i1", 3)) == 3
    assert recommender.describe("i3")["title"] == "Title 3"
    assert len(recommender.recommend("u1", 3, where="title != 'Title 3'")) == 3
    with gc_disabled():  # let go at once, not when Python next looks for cycles
        del recommender
        assert prune(tmp_path, 1).deleted == (names[0],)


def test_a_reader_that_was_killed_keeps_nothing(tmp_path: Path, names: list[str]) -> None:
    program = "import sys, recsys; r = recsys.open(*sys.argv[1:]); print('open'); sys.stdin.read()"
    reader = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), names[0]],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "open\n"
    assert prune(tmp_path, 1).kept[names[0]] == "open"
    reader.kill()
    reader.communicate()
    assert prune(tmp_path, 1).deleted == (names[0],)


def test_a_version_found_before_it_was_pruned(tmp_path: Path, names: list[str]) -> None:
    found = versions(tmp_path)[-1]
    prune(tmp_path, 1)
    with pytest.raises(VersionNotFoundError, match="has been pruned; open another"):
        Content.of(found)


def test_leftovers_of_the_dead_are_cleared_away(tmp_path: Path, names: list[str]) -> None:
    for prefix in (f"{STAGING}1", f"{TRASH}20010101T000000Z-00000000"):
        (tmp_path / "versions" / prefix / "serving").mkdir(parents=True)
        (tmp_path / "versions" / prefix / "serving" / "half.npy").write_text("half")
    assert prune(tmp_path, 6).deleted == ()
    assert left_in(tmp_path) == names


def test_a_damaged_version_can_be_pruned(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "versions" / names[0] / "manifest.json").unlink()
    with pytest.warns(RuntimeWarning, match=f"deleted {names[0]}: it was damaged"):
        assert prune(tmp_path, 5).deleted == (names[0],)


def test_nothing_is_pruned_where_it_is_not_known_what_is_current(
    tmp_path: Path, names: list[str]
) -> None:
    (tmp_path / "CURRENT").write_text("nonsense")
    with pytest.raises(StoreError, match="CURRENT: expected the name of a version"):
        prune(tmp_path, 1)
    assert left_in(tmp_path) == names
    activate(tmp_path, names[3])
    assert prune(tmp_path, 1).kept[names[3]] == "current"
    assert current(tmp_path) == names[3]


@pytest.mark.parametrize("keep", [0, -1])
def test_keep_has_a_range(tmp_path: Path, keep: int) -> None:
    with pytest.raises(ConfigError, match="keep: expected 1 or more"):
        prune(tmp_path, keep)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected a folder"):
        prune(tmp_path / "nowhere", 3)


def test_refused_versions_do_not_count(tmp_path: Path) -> None:
    refusal = Check("volume", 0.9, 0.1, passed=False, sentence="volume: too little", refuses=True)
    accepted, refused = [], []
    for seed in range(6):
        release = small_release(seed=seed)
        if seed % 2 == 0:
            accepted.append(publish(tmp_path, release).name)
            continue
        with pytest.raises(GateFailedError) as failed:
            publish(tmp_path, release, gate=lambda staged, parent: [refusal])
        refused.append(failed.value.version)
    done = prune(tmp_path, 2)
    assert done.deleted == (accepted[0], refused[0])
    assert left_in(tmp_path) == sorted([accepted[1], refused[1], accepted[2], refused[2]])
    assert done.kept[refused[2]] == "refused"
