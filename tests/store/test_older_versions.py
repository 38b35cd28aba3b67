"""A store that an earlier release made still opens, verifies, serves and goes on.

Its files are in ``fixtures``, with the answers of that release.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import recsys
from recsys.nightly import status
from recsys.nightly.stages import published_by
from recsys.store import describe_versions, parent_of
from recsys.store.manifest import FORMAT

FIXTURE = Path(__file__).parent / "fixtures" / "format3"
ANSWERS: Mapping[str, list[Any]] = json.loads((FIXTURE / "answers.json").read_text())
EXACT, ANNOY = ANSWERS
EVERY_CALL = [
    pytest.param(name, answer, id=f"{name}-{number}-{answer['call']}")
    for name, answers in ANSWERS.items()
    for number, answer in enumerate(answers)
]


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the store for tests that only read it."""
    return copy_to(tmp_path_factory.mktemp("older"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A copy of the store for a test that changes it."""
    return copy_to(tmp_path)


def copy_to(folder: Path) -> Path:
    return Path(shutil.copytree(FIXTURE / "store", folder / "store"))


def bytes_of(store: Path) -> dict[str, bytes]:
    """Every file but locks, which are empty."""
    files = sorted(path for path in store.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if not path.name.endswith(".lock")}


def test_the_fixture_holds_what_it_should() -> None:
    read = {
        name: json.loads((FIXTURE / "store" / "versions" / name / "manifest.json").read_text())
        for name in ANSWERS
    }
    assert [manifest["format"] for manifest in read.values()] == [3, 3]
    assert [manifest["index"]["kind"] for manifest in read.values()] == ["exact", "annoy"]
    optional = {f"serving/{path}.npy" for path in ("users/seen_weights", "items/recent")}
    assert not optional & set(read[EXACT]["files"])
    assert optional < set(read[ANNOY]["files"])


def test_all_versions_are_listed_and_verify(untouched: Path) -> None:
    assert [version.name for version in recsys.versions(untouched)] == [ANNOY, EXACT]
    for name in ANSWERS:
        assert recsys.verify(untouched, name).name == name


@pytest.mark.parametrize(("name", "answer"), EVERY_CALL)
def test_a_version_answers_as_it_did(untouched: Path, name: str, answer: dict[str, Any]) -> None:
    recommender = recsys.open(untouched, name)
    found = getattr(recommender, answer["call"])(*answer["positional"], **answer["named"])
    assert found.source == answer["source"]
    assert [item_id for item_id, _ in found] == [item_id for item_id, _ in answer["items"]]
    scores = [score for _, score in answer["items"]]
    assert [score for _, score in found] == pytest.approx(scores, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_recorded_lists_are_those_of_the_published_vectors(untouched: Path, name: str) -> None:
    folder = untouched / "versions" / name
    users, items = (pq.read_table(folder / f"{kind}.parquet") for kind in ("users", "items"))
    item_ids = items["item_id"].to_pylist()
    U, V = (np.array(table["embedding"].to_pylist(), np.float32) for table in (users, items))
    plain = [answer for answer in ANSWERS[name] if answer["call"] == "recommend"]
    plain = [answer for answer in plain if not answer["named"] and answer["source"] == "personal"]
    assert len(plain) > 5
    for answer in plain:
        user_id, k = answer["positional"]
        row = users["user_id"].to_pylist().index(user_id)
        scores = V @ U[row]
        scores[users["seen"][row].as_py()] = -np.inf
        best = np.argsort(-scores, kind="stable")[:k]
        assert [item_id for item_id, _ in answer["items"]] == [item_ids[i] for i in best]


def test_users_of_one_version_meet_items_of_the_other(untouched: Path) -> None:
    monday, tuesday = (untouched / "versions" / name for name in ANSWERS)
    users, items = recsys.read_vectors(users=monday, items=tuesday)
    expected = pq.read_table(monday / "users.parquet").to_pylist()
    assert list(users) == [row["user_id"] for row in expected]
    u42 = next(row for row in expected if row["user_id"] == "u42")
    assert np.asarray(users["u42"]).tolist() == u42["embedding"]
    list_then, list_now = (
        {item_id for item_id, _ in items.nearest(of[user_id], k=10, by="dot")}
        for of, user_id in ((users, "u42"), (recsys.open(untouched, ANNOY).user_vectors, "u42"))
    )
    assert len(list_then & list_now) >= 5  # one space, and another day


@pytest.mark.parametrize("name", ANSWERS)
def test_scores_are_explained_item_by_item(untouched: Path, name: str) -> None:
    recommender = recsys.open(untouched, name)
    first = recommender.recommend("u42")[0]
    why = recommender.explain("u42", first.item_id)
    assert why.score == pytest.approx(first.score, rel=1e-5)
    assert sum(part for _, part in why.parts) + why.rest == pytest.approx(why.score)
    assert abs(why.rest) < 0.05 * abs(why.score)  # the weights of training are known


def test_reading_changes_no_file(store: Path) -> None:
    before = bytes_of(store)
    for name in ANSWERS:
        recsys.verify(store, name)
        recsys.open(store, name).recommend("u42", where="price < 20")
    assert bytes_of(store) == before


def test_versions_are_activated_and_rolled_back(store: Path) -> None:
    assert recsys.open(store).version == ANNOY
    assert recsys.rollback(store).name == EXACT
    assert recsys.open(store).version == EXACT
    recsys.activate(store, ANNOY)
    assert recsys.open(store).version == ANNOY


def test_versions_are_pinned_and_pruned(store: Path) -> None:
    config = store / "plain.toml"
    config.write_text("[evaluation]\nsplit = 'none'\n[gates]\nenabled = false\n")
    log = recsys.read_log(FIXTURE / "events.parquet")
    recsys.pin(store, EXACT)
    for _ in range(2):  # so that neither is the current one or the one before
        recsys.train(log, store, settings=recsys.read_config(config))
    recsys.prune(store, keep=1)
    assert {version.name for version in recsys.versions(store)} & set(ANSWERS) == {EXACT}
    recsys.unpin(store, EXACT)
    recsys.prune(store, keep=1)
    assert not {version.name for version in recsys.versions(store)} & set(ANSWERS)


def test_a_new_version_goes_on_in_the_space_of_the_old_one(store: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        "[log]\nevents = { view = 1.0, like = 2.0, cart = 3.0, purchase = 5.0 }\n"
        "[model]\nfactors = 8\nseed = 1\n[evaluation]\nsplit = 'none'\n[index]\nkind = 'exact'\n"
    )
    settings = recsys.read_config(config)
    log = recsys.read_log(FIXTURE / "events.parquet", settings.log)
    items = recsys.read_items(FIXTURE / "items.parquet")
    version = recsys.train(log, store, settings=settings, items=items)
    manifest = json.loads((store / "versions" / version.name / "manifest.json").read_text())
    assert manifest["parent"] == ANNOY
    assert manifest["alignment"]["space"] == "kept"
    assert manifest["alignment"]["cosine_aligned"] > 0.95
    assert {check["name"] for check in manifest["checks"]} > {"item_movement", "list_churn"}
    old, new = (recsys.open(store, name) for name in (ANNOY, version.name))
    assert old.item_vectors.cosine(old.item_vectors["i7"], new.item_vectors["i7"]) > 0.9
    assert recsys.rollback(store).name == ANNOY


def changed(store: Path, name: str, change: Any) -> None:
    """Change a manifest as if it had been written so, its checksum with it."""
    path = store / "versions" / name / "manifest.json"
    content = json.loads(path.read_text())
    del content["manifest_sha256"]
    change(content)
    checksum = hashlib.sha256(as_json(content).encode()).hexdigest()
    path.chmod(0o644)
    path.write_text(as_json(content | {"manifest_sha256": checksum}))


def as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def test_a_manifest_of_before_gates_and_alignment_opens(store: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for key in ("status", "checks", "alignment", "environment", "config", "metrics", "data"):
            del content[key]

    changed(store, ANNOY, change)
    assert recsys.verify(store, ANNOY).name == ANNOY
    assert recsys.open(store).recommend("u42")[0].item_id == ANSWERS[ANNOY][0]["items"][0][0]


def test_a_manifest_with_keys_of_a_later_release_opens(store: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["not_known_yet"] = 7
        for key in ("data", "metrics", "config", "environment", "alignment"):
            content[key]["not_known_yet"] = {"x": [1, None]}

    changed(store, ANNOY, change)
    assert recsys.verify(store, ANNOY).name == ANNOY
    assert len(recsys.open(store).recommend("u42")) == 10


def test_a_refused_version_is_still_refused(store: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["status"] = "refused"
        content["checks"][0] |= {"passed": False, "refuses": True}

    changed(store, EXACT, lambda content: None)
    changed(store, ANNOY, change)
    recsys.activate(store, EXACT)
    with pytest.raises(recsys.GateFailedError, match="catalogue_coverage"):
        recsys.activate(store, ANNOY)
    recsys.activate(store, ANNOY, force=True)
    assert recsys.open(store).version == ANNOY


@pytest.mark.parametrize("number", [1, 2])
def test_an_older_format_says_which_release_reads_it(store: Path, number: int) -> None:
    changed(store, ANNOY, lambda content: content.update(format=number))
    with pytest.raises(
        recsys.StoreError, match=f"expected format 3, got {number}.*another release"
    ):
        recsys.open(store)


def test_a_version_of_another_release_is_not_damaged_and_stops_no_other(store: Path) -> None:
    recsys.activate(store, EXACT)
    recsys.activate(store, ANNOY)
    changed(store, EXACT, lambda content: content.update(format=FORMAT + 1))
    (row,) = (row for row in describe_versions(store) if row["version"] == EXACT)
    assert "another release" in row["unreadable"]
    assert "damaged" not in row
    assert not row["rollback"]
    assert parent_of(store).name == ANNOY
    assert published_by(store, "20261127T020000Z") is None  # as the next night asks
    (need,) = status(store).needs
    assert need.startswith(f"version {EXACT}: ")
    assert "install that, activate another version, or train into another --store" in need
    with pytest.warns(RuntimeWarning, match=f"{EXACT}: kept: another release"):
        assert recsys.prune(store, 1).kept[EXACT] == "of another release"
    (store / "CURRENT").write_text(EXACT)
    with pytest.raises(recsys.StoreError, match="another release"):
        parent_of(store)
    assert recsys.rollback(store).name == ANNOY


def test_a_clock_that_was_ahead_needs_a_person(store: Path) -> None:
    changed(store, ANNOY, lambda content: content.update(created="2999-01-01T00:00:00+00:00"))
    (need,) = status(store).needs
    assert need.startswith(f"version {ANNOY} was published in the future, 2999-01-01")
