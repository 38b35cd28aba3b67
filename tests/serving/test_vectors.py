"""Vectors of published versions: one space, also with the embeddings they were made of."""

from pathlib import Path

import pytest

from recsys.errors import DataError, UnknownItemError
from recsys.serving import Recommender
from recsys.serving import open as open_store
from recsys.settings import IndexSettings
from recsys.store import publish
from recsys.vectors import named_vectors
from tests.store.releases import small_release

EXACT = IndexSettings(kind="exact")


def published(folder: Path, **changes) -> Recommender:
    publish(folder, small_release(**changes), EXACT)
    return open_store(folder)


def test_what_is_nearest_to_a_user_by_dot_is_recommended(tmp_path: Path) -> None:
    recommender = published(tmp_path)
    users, items = recommender.user_vectors, recommender.item_vectors
    asked = [user_id for user_id in users if not users[user_id].is_zero]
    assert len(asked) > 5
    for user_id in asked:
        found = items.nearest(users[user_id], 8, by="dot")
        recommended = recommender.recommend(user_id, 8, include_seen=True)
        assert [tuple(scored) for scored in found] == [tuple(item) for item in recommended]
        assert items.dot(users[user_id], found[0].id) == pytest.approx(found[0].score)


def test_the_users_of_an_item_are_those_with_the_highest_scores(tmp_path: Path) -> None:
    release = small_release()
    recommender = published(tmp_path)
    found = recommender.user_vectors.nearest(recommender.item_vectors["i7"], 12, by="dot")
    scores = release.embeddings.users @ release.embeddings.items[7]
    order = sorted(range(12), key=lambda row: (-scores[row], row))
    assert found == [(f"u{row}", scores[row]) for row in order]


def test_similar_items_are_the_nearest_by_cosine(tmp_path: Path) -> None:
    recommender = published(tmp_path)
    found = recommender.item_vectors.nearest("i7", 5)
    similar = recommender.similar_items("i7", 5)
    assert [item.item_id for item in similar] == [id_ for id_, _ in found]
    assert [item.score for item in similar] == pytest.approx([score for _, score in found])


def test_a_version_is_of_the_space_of_its_embeddings_in_memory(tmp_path: Path) -> None:
    release = small_release()
    users, items = named_vectors(release.embeddings, release.users, release.items)
    stored = published(tmp_path)
    assert stored.user_vectors.space_id == stored.item_vectors.space_id == items.space_id
    assert stored.item_vectors["i3"] - items["i3"] + users["u2"] == stored.user_vectors["u2"]


def test_vectors_of_two_versions_mix_only_in_one_space(tmp_path: Path) -> None:
    monday = published(tmp_path, seed=1)
    friday = published(tmp_path, seed=2)
    with pytest.raises(DataError, match="two spaces share no coordinates"):
        friday.item_vectors.nearest(monday.item_vectors["i3"])
    space = monday.item_vectors.space_id
    aligned = published(tmp_path, seed=2, space_id=space)
    assert aligned.version != friday.version
    assert aligned.item_vectors.nearest(monday.item_vectors["i3"], 3)


def test_an_unknown_item_is_said_to_be_unknown_to_the_version(tmp_path: Path) -> None:
    recommender = published(tmp_path)
    with pytest.raises(UnknownItemError) as raised:
        recommender.item_vectors.average(["i1", "i222"])
    assert str(raised.value).endswith(f"30 items of version {recommender.version}")
