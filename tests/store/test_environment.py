"""Which code trained a version."""

import subprocess
from pathlib import Path

import pytest

from recsys.store import publish
from recsys.store.manifest import commit
from tests.store.releases import small_release


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=e")
    done = subprocess.run(
        ["git", *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RECSYS_COMMIT", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commit_is_that_of_the_working_folder(checkout: Path) -> None:
    assert commit() is None
    git("init", "-q")
    assert commit() is None
    (checkout / "train.py").write_text("1")
    git("add", "-A")
    git("commit", "-qm", "first")
    git("tag", "v1")
    head = git("rev-parse", "HEAD")
    assert commit() == head
    (checkout / "notes").write_text("not tracked")
    assert commit() == head
    (checkout / "train.py").write_text("2")
    assert commit() == f"{head}-dirty"


def test_the_environment_can_name_it(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSYS_COMMIT", "image 7")
    assert commit() == "image 7"
    version = publish(checkout / "store", small_release())
    assert version.manifest.environment["commit"] == "image 7"


def test_without_git(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert commit() is None
