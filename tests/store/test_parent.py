"""A release keeps the space of the version before it, or says why it begins another."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from recsys.errors import ConfigError, CorruptVersionError, DataError
from recsys.logs import Interactions
from recsys.models import ALS, parameters_of
from recsys.models.protocol import popularity_of
from recsys.settings import AlignmentSettings
from recsys.store import (
    Content,
    ModelSpec,
    Release,
    Version,
    activate,
    align_with_current,
    parent_of,
    publish,
    read_vectors,
    verify,
)
from recsys.store.manifest import read_manifest
from recsys.vectors import Embeddings, Ids
from tests.store.releases import small_release
from tests.worlds import tastes


def turned(release: Release, seed: int = 3, noise: float = 0.0) -> Release:
    """The same release as another training might make it."""
    rng = np.random.default_rng(seed)
    vectors = release.embeddings
    rotation = np.linalg.qr(rng.standard_normal((vectors.factors, vectors.factors)))[0]
    items = vectors.items + noise * rng.standard_normal(vectors.items.shape)
    matrices = ((matrix @ rotation).astype(np.float32) for matrix in (vectors.users, items))
    return replace(release, embeddings=Embeddings(*matrices))


def published(store: Path, release: Release, **settings: object) -> Version:
    return publish(store, align_with_current(store, release, AlignmentSettings(**settings)))


def test_the_first_version_begins_a_space(tmp_path: Path) -> None:
    manifest = published(tmp_path, small_release()).manifest
    assert manifest.alignment == {
        "parent": None,
        "space": "new",
        "reason": "the first version of the store",
    }


def test_a_retrained_release_keeps_the_space_and_comes_back_to_its_place(tmp_path: Path) -> None:
    release = small_release()
    first = published(tmp_path, release)
    second = published(tmp_path, turned(release))
    assert second.manifest.space_id == first.manifest.space_id
    found = second.manifest.alignment
    assert (found["parent"], found["space"]) == (first.name, "kept")
    assert found["reason"] == "aligned with the version before"
    assert found["n_shared"] == release.embeddings.items.any(axis=1).sum()
    assert found["residual"] < 1e-6
    assert found["cosine_raw"] < 0.9 < found["cosine_aligned"]
    content = Content.of(second)
    np.testing.assert_allclose(content.users.embeddings, release.embeddings.users, atol=1e-5)
    np.testing.assert_allclose(content.items.embeddings, release.embeddings.items, atol=1e-5)
    verify(tmp_path)


def test_manifests_of_others_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the current version is sound: a store may hold hundreds."""
    names = [publish(tmp_path, small_release(seed=seed)).name for seed in range(4)]
    activate(tmp_path, names[1])
    read: list[Path] = []
    monkeypatch.setattr(
        import_module("recsys.store.versions"),  # the room has a function of that name
        "read_manifest",
        lambda folder: read.append(folder) or read_manifest(folder),
    )
    found = parent_of(tmp_path)
    assert found.name == names[1]
    assert {folder.name for folder in read} == {names[1]}


def test_no_score_changes(tmp_path: Path) -> None:
    published(tmp_path, small_release())
    again = turned(small_release(), noise=0.3)
    aligned = align_with_current(tmp_path, again)
    assert aligned.alignment["space"] == "kept"
    before, after = (one.embeddings.scores(slice(None)) for one in (again, aligned))
    np.testing.assert_allclose(after, before, atol=1e-4)
    assert not np.allclose(aligned.embeddings.items, again.embeddings.items, atol=0.1)


def test_items_are_matched_by_id(tmp_path: Path) -> None:
    release = small_release(titles=False)
    first = published(tmp_path, release)
    order = np.random.default_rng(0).permutation(30)
    other = turned(release)
    shuffled = replace(
        other,
        embeddings=Embeddings(other.embeddings.users, other.embeddings.items[order]),
        items=release.items.take(order),
        seen=release.seen[:, order],
        popularity=release.popularity[order],
    )
    second = published(tmp_path, shuffled)
    assert second.manifest.space_id == first.manifest.space_id
    items = Content.of(second).items
    assert items.ids == shuffled.items
    np.testing.assert_allclose(items.embeddings, release.embeddings.items[order], atol=1e-5)


BLEND = ModelSpec("blend", {"als": {"factors": 3}, "svd": {"factors": 1}})
OTHER_BLEND = ModelSpec("blend", {"als": {"factors": 2}, "svd": {"factors": 2}})
ALS_OF_ANOTHER_AGE = ModelSpec("als", {"factors": 4, "gone": 1})
SVD = ModelSpec("svd", {"factors": 4})
CENTERED = ModelSpec("svd", {"factors": 4, "centered": True})


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({}, {"model": SVD}, "the model changed from als to svd"),
        ({"factors": 3}, {}, "the factors changed from 3 to 4"),
        ({"model": SVD}, {"model": CENTERED}, "the coordinates of svd are divided otherwise"),
        ({"model": BLEND}, {"model": OTHER_BLEND}, "the coordinates of blend are divided"),
        ({"model": ALS_OF_ANOTHER_AGE}, {}, "the coordinates of als are divided otherwise"),
        ({"model": ALS_OF_ANOTHER_AGE}, {"model": ALS_OF_ANOTHER_AGE}, "recsys has no model als"),
        ({"item_ids": range(30)}, {}, "0 items are in both versions, and 4 factors need as many"),
        ({"seed": 1}, {}, "items are too far from where they were: their agreement is"),
    ],
)
def test_what_begins_a_new_space(tmp_path: Path, before, after, reason: str) -> None:
    first = published(tmp_path, small_release(**before))
    release = small_release(**({"seed": 2} | after))
    second = published(tmp_path, release)
    assert second.manifest.space_id != first.manifest.space_id
    found = second.manifest.alignment
    assert (found["parent"], found["space"]) == (first.name, "new")
    assert found["reason"].startswith(reason)
    stored = Content.of(second).items.embeddings
    np.testing.assert_array_equal(stored, release.embeddings.items)


def test_a_poor_fit_says_how_poor(tmp_path: Path) -> None:
    published(tmp_path, small_release(seed=1))
    found = published(tmp_path, small_release(seed=2)).manifest.alignment
    assert found["agreement"] < 0.5
    assert f"{found['agreement']:.3f}" in found["reason"]
    assert found["n_shared"] > 20


def test_the_threshold_can_be_set(tmp_path: Path) -> None:
    published(tmp_path, small_release())
    noisy = turned(small_release(), noise=0.5)
    spaces = [
        align_with_current(tmp_path, noisy, AlignmentSettings(min_agreement=least)).alignment[
            "space"
        ]
        for least in (0.2, 0.9999)
    ]
    assert spaces == ["kept", "new"]


def test_alignment_can_be_switched_off(tmp_path: Path) -> None:
    first = published(tmp_path, small_release())
    second = published(tmp_path, turned(small_release()), enabled=False)
    assert second.manifest.alignment == {
        "parent": first.name,
        "space": "new",
        "reason": "alignment is switched off",
    }
    assert second.manifest.space_id != first.manifest.space_id


def test_after_a_rollback_the_older_version_is_what_is_aligned_with(tmp_path: Path) -> None:
    first = published(tmp_path, small_release(seed=1))
    published(tmp_path, small_release(seed=2))
    activate(tmp_path, first.name)
    third = published(tmp_path, turned(small_release(seed=1)))
    assert third.manifest.alignment["parent"] == third.manifest.parent == first.name
    assert third.manifest.space_id == first.manifest.space_id


def test_a_damaged_version_does_not_stop_the_next(tmp_path: Path) -> None:
    first = published(tmp_path, small_release())
    path = first.folder / "items.parquet"
    path.chmod(0o644)
    path.write_bytes(b"PAR1 no more")
    with pytest.warns(RuntimeWarning, match=f"passed over {first.name}"):
        found = published(tmp_path, turned(small_release())).manifest.alignment
    assert found["space"] == "new"
    assert found["reason"].startswith(f"{path}: expected")


@pytest.mark.parametrize("damage", [b"\xff\x00", b"20200101T000000Z-00000000\n"])
def test_a_damaged_current_is_stood_in_for(tmp_path: Path, damage: bytes) -> None:
    first = published(tmp_path, small_release())
    (tmp_path / "CURRENT").write_bytes(damage)
    with pytest.warns(RuntimeWarning, match="passed over"):
        found = align_with_current(tmp_path, small_release()).alignment
    assert (found["space"], found["parent"]) == ("kept", first.name)


def test_a_manifest_from_before_there_was_alignment_is_read(tmp_path: Path) -> None:
    first = publish(tmp_path, small_release())
    assert dict(first.manifest.alignment) == {}
    assert published(tmp_path, turned(small_release())).manifest.alignment["space"] == "kept"


def test_an_agreement_out_of_range() -> None:
    with pytest.raises(ConfigError, match="alignment.min_agreement: expected 0 to 1, got 2"):
        AlignmentSettings(min_agreement=2)


def test_yesterdays_users_meet_todays_items_in_one_space(tmp_path: Path) -> None:
    release = small_release()
    first = published(tmp_path, release)
    second = published(tmp_path, turned(release))
    users, items = read_vectors(users=first.folder, items=second.folder)
    scores = release.embeddings.users @ release.embeddings.items.T
    assert items.dot(users["u3"], items["i7"]) == pytest.approx(scores[3, 7], abs=1e-4)


def test_users_and_items_of_two_spaces_are_refused(tmp_path: Path) -> None:
    first = published(tmp_path, small_release(seed=1))
    second = published(tmp_path, turned(small_release(seed=1)), enabled=False)
    with pytest.raises(DataError) as caught:
        read_vectors(users=first.folder, items=second.folder)
    message = str(caught.value)
    assert f"{second.folder}/items.parquet: expected items of space" in message
    assert f"{first.folder}/users.parquet" in message
    assert "two spaces share no coordinates" in message


def test_vectors_of_a_folder_that_holds_none(tmp_path: Path) -> None:
    with pytest.raises(CorruptVersionError, match="users.parquet"):
        read_vectors(users=tmp_path, items=tmp_path)


def test_ids_that_changed_their_kind_still_match(tmp_path: Path) -> None:
    release = small_release(item_ids=[str(row) for row in range(30)])
    published(tmp_path, release)
    numbered = replace(turned(release), items=Ids(range(30)), attributes=None)
    assert align_with_current(tmp_path, numbered).alignment["space"] == "kept"


def test_a_nightly_retrain_that_starts_from_the_parent(tmp_path: Path) -> None:
    log = tastes(n_users=120, n_items=60, per_user=10)
    model = ALS(factors=6, regularization=0.1, iterations=20)
    first = published(tmp_path, trained(model, log, model.fit(log.user_items())))
    before = Content.of(first)
    yesterday = Embeddings(before.users.embeddings, before.items.embeddings)
    for night in range(2):  # the second starts from vectors that were rotated
        start = yesterday.reindexed(
            before.users.ids, before.items.ids, to_users=log.users, to_items=log.items
        )
        user_items = log.user_items()
        user_items.data[night::7] = 0  # something changes every night
        user_items.eliminate_zeros()
        version = published(tmp_path, trained(model, log, model.fit(user_items, start=start)))
        content = Content.of(version)
        yesterday = Embeddings(content.users.embeddings, content.items.embeddings)
        assert version.manifest.space_id == first.manifest.space_id
        assert version.manifest.alignment["agreement"] > 0.9
        popularity = popularity_of(user_items)
        folded = model.fold_in(content.items.embeddings, popularity)(user_items)
        np.testing.assert_allclose(folded, content.users.embeddings, rtol=1e-3, atol=1e-4)


def trained(model: ALS, log: Interactions, embeddings: Embeddings) -> Release:
    user_items = log.user_items()
    return Release(
        embeddings=embeddings,
        users=log.users,
        items=log.items,
        seen=user_items,
        popularity=popularity_of(user_items),
        model=ModelSpec(model.name, parameters_of(model)),
    )
