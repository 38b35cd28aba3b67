"""The manifest holds the checks of the gates, and reads what other releases wrote."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from recsys.base.environment import commit
from recsys.errors import GateFailedError
from recsys.store import Check, Content, current, find_version, publish, verify, versions
from recsys.store.evaluation_summary import EvaluationSummary
from recsys.store.manifest import Manifest, ModelSpec
from tests.store.releases import MEASURED, small_release

CHECKS = [
    Check("volume", 0.25, 0.1, passed=False, sentence="volume: half", refuses=True),
    Check("list_churn", float("nan"), None, passed=True, sentence="list_churn: not measured"),
    Check("item_norms", 0.3, 0.2, passed=False, sentence="item_norms: longer"),
]


def test_checks_come_back_and_the_version_is_whole(tmp_path: Path) -> None:
    version = publish(tmp_path, small_release(), gate=lambda staged, parent: CHECKS[2:])
    again = find_version(tmp_path).manifest
    assert (again.status, again.checks) == ("accepted", tuple(CHECKS[2:]))
    assert verify(tmp_path) == version


def test_a_gate_sees_both_versions_open(tmp_path: Path) -> None:
    seen = []

    def gate(staged: Content, parent: Content | None) -> list[Check]:
        names = current(tmp_path), parent and parent.version.name
        seen.append((names, staged.users.embeddings.shape, staged.similar("item") is not None))
        return []

    publish(tmp_path, small_release(), gate=gate)
    first = current(tmp_path)
    publish(tmp_path, small_release(seed=1), gate=gate)
    assert seen == [((None, None), (12, 4), True), ((first, first), (12, 4), True)]


def test_a_refused_version_is_kept_and_current_stays(tmp_path: Path) -> None:
    kept = publish(tmp_path, small_release())
    with pytest.raises(GateFailedError) as caught:
        publish(tmp_path, small_release(seed=1), gate=lambda staged, parent: CHECKS)
    error = caught.value
    assert error.failures == ("volume: half",)
    assert error.checks == (CHECKS[0],)
    assert current(tmp_path) == kept.name
    refused = versions(tmp_path)[0]
    assert refused.name == error.version
    assert refused.manifest.status == "refused"
    assert refused.manifest.checks[1].value is None  # JSON has no NaN
    assert verify(tmp_path, refused.name) == refused


def test_a_gate_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def gate(staged: Content, parent: Content | None) -> list[Check]:
        raise RuntimeError("no result")

    with pytest.raises(RuntimeError, match="no result"):
        publish(tmp_path, small_release(), gate=gate)
    assert versions(tmp_path) == []
    assert list((tmp_path / "versions").iterdir()) == []


def test_a_manifest_is_read_and_written_byte_for_byte(tmp_path: Path) -> None:
    path = publish(tmp_path, small_release()).folder / "manifest.json"
    again = Manifest.from_json(path.read_text(), path)
    assert again.to_json() == path.read_text()
    assert again.model == ModelSpec("als", {"factors": 4})
    assert again.evaluation == MEASURED
    assert again.evaluation["metrics"]["ndcg@20"] == MEASURED.metrics["ndcg@20"]
    assert again.log.events is None  # it was published without a log


def test_an_evaluation_that_another_release_wrote_has_defaults() -> None:
    found = EvaluationSummary.from_dict({"metrics": {"auc": 0.5}, "not_known_yet": 7})
    assert found == EvaluationSummary(metrics={"auc": 0.5})


def test_a_manifest_of_before_reads_as_accepted(tmp_path: Path) -> None:
    content = publish(tmp_path, small_release()).manifest.to_dict()
    del content["status"], content["checks"]
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    content["manifest_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    old = Manifest.from_json(json.dumps(content, indent=2, ensure_ascii=False) + "\n", tmp_path)
    assert (old.status, old.checks) == ("accepted", ())


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
