"""What a user has seen: as a list, and as what can be folded in again."""

from pathlib import Path

import numpy as np
import pytest

from recsys.errors import DataError, UnknownItemError, UnknownUserError
from recsys.serving import Recommender
from recsys.serving import open as open_store
from recsys.settings import IndexSettings
from recsys.store import ModelSpec, publish
from tests.store.releases import small_release


def opened(folder: Path, **changes) -> Recommender:
    publish(folder, small_release(**changes), IndexSettings(kind="exact"))
    return open_store(folder)


@pytest.mark.parametrize("recency", [0.0, 0.6])
def test_a_history_reversed_is_folded_in_as_it_was(tmp_path: Path, recency: float) -> None:
    model = ModelSpec("als", {"factors": 4, "recency": recency})
    recommender = opened(tmp_path / "store", model=model)
    lookup = recommender._user_lookup
    for user in range(12):
        found = list(reversed(recommender.history(f"u{user}", 30)))
        if not found:
            continue
        row = recommender._histories.of(
            [item_id for item_id, _ in found], [weight for _, weight in found], "items"
        )
        assert row.indices.tolist() == lookup.seen(user).tolist()
        np.testing.assert_allclose(row.data, lookup.seen_weights(user), rtol=1e-6)


def test_the_list_is_named_and_cut(tmp_path: Path) -> None:
    recommender = opened(tmp_path / "store")
    whole = recommender.history("u1", 30)
    assert (whole.source, whole.version) == ("history", recommender.version)
    assert list(recommender.history("u1", 2)) == list(whole)[:2]
    assert [score for _, score in whole] == sorted((score for _, score in whole), reverse=True)
    assert whole.titles[0] == recommender.describe(whole[0].item_id)["title"]
    with pytest.raises(UnknownUserError):
        recommender.history("nobody")
    with pytest.raises(DataError):
        recommender.history("u1", 0)


def test_nearest_items_is_the_arithmetic_of_vectors(tmp_path: Path) -> None:
    recommender = opened(tmp_path / "store")
    vectors = recommender.item_vectors
    point = vectors["i1"] + vectors["i2"] - vectors["i3"]
    expected = vectors.nearest(point, 5, exclude=["i1", "i2", "i3"])
    found = recommender.nearest_items(["i1", "Title 2"], ["i3"], 5)
    assert [one.item_id for one in found] == [one.id for one in expected]
    assert [one.score for one in found] == pytest.approx([one.score for one in expected])
    analogy = vectors.analogy("i3", "i2", "i1", 5)
    assert [one.item_id for one in found] == [one.id for one in analogy]
    assert len(recommender.nearest_items(["i1"], ["i1"])) == 0  # a zero has no direction
    only = recommender.nearest_items(["i1"], candidates=["i1", "i4"])
    assert [one.item_id for one in only] == ["i4"]
    with pytest.raises(DataError, match="at least one item"):
        recommender.nearest_items([])
    with pytest.raises(UnknownItemError):
        recommender.nearest_items(["never"])
