"""What was current before: rollbacks undo activations one by one."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import StoreError, VersionNotFoundError
from recsys.store import activate, activations, current, publish, rollback, version_before, versions
from recsys.store.activations import Activation, _not_undone
from tests.store.releases import small_release


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("published")
    for seed in range(3):
        publish(store, small_release(seed=seed))
    return store


@pytest.fixture
def names(published: Path, tmp_path: Path) -> list[str]:
    """Of three versions, the last one current, in a store at tmp_path."""
    shutil.copytree(published, tmp_path, dirs_exist_ok=True)
    return sorted(version.name for version in versions(tmp_path))


def test_rollbacks_go_further_back(tmp_path: Path, names: list[str]) -> None:
    a, b, c = names
    assert rollback(tmp_path).name == current(tmp_path) == b
    assert rollback(tmp_path).name == current(tmp_path) == a
    with pytest.raises(VersionNotFoundError, match=f"current before {a}, got none"):
        rollback(tmp_path)
    assert current(tmp_path) == a
    found = [(one.kind, one.version) for one in activations(tmp_path)]
    assert found[:3] == [("activate", a), ("activate", b), ("activate", c)]
    assert found[3:] == [("rollback", b), ("rollback", a)]


def test_an_activation_after_a_rollback_starts_from_there(tmp_path: Path, names: list[str]) -> None:
    a, b, c = names
    rollback(tmp_path)
    d = publish(tmp_path, small_release(seed=3)).name
    assert version_before(tmp_path) == b
    assert [rollback(tmp_path).name for _ in range(2)] == [b, a]
    activate(tmp_path, c)
    activate(tmp_path, d)
    assert [rollback(tmp_path).name for _ in range(2)] == [c, a]


def test_going_back_to_an_older_one_by_hand_can_be_undone(tmp_path: Path, names: list[str]) -> None:
    a, b, c = names
    activate(tmp_path, a)
    activate(tmp_path, a)  # the second time changes nothing
    assert [rollback(tmp_path).name for _ in range(3)] == [c, b, a]


def test_a_current_written_by_hand_counts_as_an_activation(
    tmp_path: Path, names: list[str]
) -> None:
    a, b, c = names
    (tmp_path / "CURRENT").write_text(a + "\n")
    assert version_before(tmp_path) == c
    (tmp_path / "ACTIVATIONS").unlink()  # a store that an earlier release made
    assert [one.version for one in activations(tmp_path)] == [a]
    with pytest.raises(VersionNotFoundError, match="activate one by its name"):
        rollback(tmp_path)
    activate(tmp_path, b)
    assert rollback(tmp_path).name == a


def test_a_line_that_current_does_not_bear_out_is_left_out(
    tmp_path: Path, names: list[str]
) -> None:
    """What a writer leaves that dies between ACTIVATIONS and CURRENT."""
    a, b, c = names
    before = (tmp_path / "ACTIVATIONS").read_text()
    activate(tmp_path, a)
    (tmp_path / "CURRENT").write_text(c + "\n")
    assert [one.version for one in activations(tmp_path)] == [a, b, c]
    assert rollback(tmp_path).name == b
    assert (tmp_path / "ACTIVATIONS").read_text().startswith(before)


def test_a_damaged_history_stops_nothing(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "ACTIVATIONS").write_bytes(b"\xff\x00 nonsense\nt activate " + names[2].encode())
    assert activate(tmp_path, names[0]).name == current(tmp_path)
    assert rollback(tmp_path).name == names[2]


def test_a_damaged_version_is_not_rolled_back_to(tmp_path: Path, names: list[str]) -> None:
    manifest = tmp_path / "versions" / names[1] / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("{}")
    with pytest.warns(RuntimeWarning, match=r"manifest\.json"):
        rollback(tmp_path)
    assert current(tmp_path) == names[0]
    assert activations(tmp_path)[-1].version == names[0]


def test_without_a_store_or_a_current(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(StoreError, match="expected a folder"):
        rollback(tmp_path / "nowhere")
    (tmp_path / "CURRENT").unlink()
    with pytest.raises(VersionNotFoundError, match="expected a current version, got none"):
        rollback(tmp_path)


@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=30))
def test_the_history_replays_as_an_undo_list(steps: list[str | None]) -> None:
    """None is a rollback; the twin keeps a plain list of what is not undone."""
    history, twin = [], []
    for step in steps:
        if step is not None:
            history.append(Activation("t", "activate", step))
            if not twin or twin[-1] != step:
                twin.append(step)
        elif len(twin) > 1:
            twin.pop()
            history.append(Activation("t", "rollback", twin[-1]))
    assert _not_undone(history) == twin
