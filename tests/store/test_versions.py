"""Which version is current, and the error where that is not clear."""

from pathlib import Path

import pytest

from recsys.errors import CorruptVersionError, StoreError, VersionNotFoundError
from recsys.store import Version, activate, current, find_version, publish, versions
from tests.store.releases import small_release


@pytest.fixture
def published(tmp_path: Path) -> list[Version]:
    return [publish(tmp_path, small_release(seed=seed)) for seed in range(2)]


def test_activate_goes_back_and_forth(tmp_path: Path, published: list[Version]) -> None:
    for version in (published[0], published[1], published[0]):
        assert activate(tmp_path, version.name) == version
        assert current(tmp_path) == version.name
        assert find_version(tmp_path) == version
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        "ACTIVATIONS",
        "CURRENT",
        ".current.lock",
        ".publish.lock",
    }


@pytest.mark.parametrize("name", ["20010101T000000Z-00000000", "../..", "", "x" * 500, "a/b"])
def test_a_version_that_is_not_there(tmp_path: Path, published: list[Version], name: str) -> None:
    for ask in (find_version, activate):
        with pytest.raises(VersionNotFoundError, match=published[1].name):
            ask(tmp_path, name)
    assert current(tmp_path) == published[1].name


def test_no_store_at_all(tmp_path: Path) -> None:
    for ask in (versions, current, find_version):
        with pytest.raises(StoreError, match="expected a folder at .*, got nothing; train first"):
            ask(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="got a file"):
        versions(tmp_path / "file")


def test_an_empty_store(tmp_path: Path) -> None:
    assert versions(tmp_path) == []
    assert current(tmp_path) is None
    with pytest.raises(VersionNotFoundError, match="none yet: train first"):
        find_version(tmp_path)


def test_without_current(tmp_path: Path, published: list[Version]) -> None:
    (tmp_path / "CURRENT").unlink()
    with pytest.raises(VersionNotFoundError, match=f"activate one: .*{published[0].name}"):
        find_version(tmp_path)
    assert find_version(tmp_path, published[0].name) == published[0]


@pytest.mark.parametrize("text", ["", "\n", "..", "nonsense", "\udcff", "20010101T000000Z-0"])
def test_a_current_that_names_nothing(tmp_path: Path, published: list[Version], text: str) -> None:
    (tmp_path / "CURRENT").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(StoreError, match=f"CURRENT: expected the name .*{published[0].name}"):
        find_version(tmp_path)
    activate(tmp_path, published[0].name)
    assert find_version(tmp_path) == published[0]


def test_a_current_whose_version_is_gone(tmp_path: Path, published: list[Version]) -> None:
    (tmp_path / "CURRENT").write_text("20010101T000000Z-00000000\n")
    with pytest.raises(VersionNotFoundError, match="CURRENT names version '20010101T000000Z"):
        find_version(tmp_path)


def test_a_version_with_a_damaged_manifest_is_not_activated(
    tmp_path: Path, published: list[Version]
) -> None:
    manifest = published[0].folder / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("{}")
    with pytest.raises(CorruptVersionError, match=r"manifest\.json"):
        activate(tmp_path, published[0].name)
    assert current(tmp_path) == published[1].name


def test_other_folders_are_no_versions(tmp_path: Path, published: list[Version]) -> None:
    for name in (".staging-7", "notes", published[0].name + ".old"):
        (tmp_path / "versions" / name).mkdir()
    assert len(versions(tmp_path)) == 2
