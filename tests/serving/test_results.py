"""A list of recommendations as Python and JSON see it."""

import copy
import datetime as dt
import json
import pickle
import shutil
from dataclasses import FrozenInstanceError
from pathlib import Path

import pyarrow as pa
import pytest

from recsys.serving import Explanation, Recommendations, Recommender, ScoredItem
from recsys.serving import open as open_store
from recsys.store import publish
from tests.store.releases import small_release

FOUND = Recommendations((ScoredItem("i7", 0.5), ScoredItem(8, 0.25)), "personal", "v")


def test_it_is_a_sequence_of_pairs() -> None:
    assert len(FOUND) == 2
    assert [item_id for item_id, _ in FOUND] == ["i7", 8]
    assert FOUND[-1] == (8, 0.25)
    assert FOUND[0].score == 0.5
    with pytest.raises(IndexError):
        FOUND[2]


def test_json_holds_it() -> None:
    assert json.loads(json.dumps(FOUND.to_dict())) == {
        "items": [{"item_id": "i7", "score": 0.5}, {"item_id": 8, "score": 0.25}],
        "source": "personal",
        "version": "v",
    }


def test_a_score_that_is_no_number_is_null_in_json() -> None:
    items = (ScoredItem("a", float("inf")), ScoredItem("b", float("nan")))
    why = Explanation("a", float("nan"), items, float("-inf"), "fold_in", "v")
    for made in (Recommendations(items, "popular", "v"), why):
        text = json.dumps(made.to_dict(), allow_nan=False)
        assert text.count('"score": null') >= 2


def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        FOUND.source = "popular"  # type: ignore[misc]


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    folder = tmp_path_factory.mktemp("store")
    table = pa.table(
        {
            "item_id": [f"i{row}" for row in range(30)],
            "score": [row / 2 for row in range(30)],
            "Book-Title": [f"Book {row}" if row else None for row in range(30)],
            "out": [dt.date(2024, 5, 1)] * 30,
        }
    )
    publish(folder, small_release(attributes=table))
    return open_store(folder)


def test_a_list_carries_attributes_titles_and_reasons(recommender: Recommender) -> None:
    found = recommender.recommend("u1", 5)
    assert found.attributes == tuple(recommender.describe(item_id) for item_id, _ in found)
    assert found.titles == tuple(known["Book-Title"] for known in found.attributes)
    expected = [recommender.closest_seen("u1", item_id) for item_id, _ in found]
    for got, reason in zip(found.reasons, expected, strict=True):
        assert got is not None
        assert reason is not None
        assert got.score == pytest.approx(reason.score)
    first, why = found.to_dict()["items"][0], found.reasons[0]
    item_id, score = found[0]
    assert first == {
        "item_id": item_id,
        "score": score,
        "item_score": recommender.describe(item_id)["score"],
        "Book-Title": recommender.describe(item_id)["Book-Title"],
        "out": "2024-05-01",
        "because_of": {
            "item_id": why.item_id,
            "score": why.score,
            "Book-Title": recommender.describe(why.item_id)["Book-Title"],
        },
    }
    table = found.to_arrow()
    assert table.column_names == [
        *("rank", "item_id", "Book-Title", "score", "because_of", "item_score", "out")
    ]
    assert table["because_of"][0].as_py() == first["because_of"]["Book-Title"]
    assert table["rank"].to_pylist() == [1, 2, 3, 4, 5]
    assert "Book-Title" in repr(found)
    assert f"personal · version {recommender.version}" in repr(found)


def test_reasons_are_of_a_history_that_the_list_does_not_hold(recommender: Recommender) -> None:
    history = ["i3", "i7"]
    lists = [
        recommender.recommend_for_history(history, 4),
        recommender.recommend_many(["new"], 4, histories=[history])[0],
        recommender.recommend_many(["a", "b", "new"], 4, histories=[None, None, history])[1:][-1],
    ]
    for found in lists:
        assert found.to_dict() == lists[0].to_dict()
        assert {reason and reason.item_id for reason in found.reasons} <= {"i3", "i7"}
    for found in (
        recommender.recommend("u1", 4, include_seen=True),
        recommender.recommend_many(["u1"], 4, include_seen=True)[0],
        recommender.recommend("nobody", 4),
        recommender.similar_items("i3", 4),
        recommender.find("book"),
    ):
        assert set(found.reasons) == {None}
        assert "because_of" not in found.to_arrow().column_names
        assert None not in found.attributes
    assert recommender.explain("u1", "i3").titles
    assert recommender.similar_users("u1", 3).titles == (None,) * 3


def test_a_list_goes_to_another_process_with_what_its_version_knows(tmp_path: Path) -> None:
    publish(tmp_path, small_release())
    found = open_store(tmp_path).recommend("u1", 3)
    elsewhere = pickle.loads(pickle.dumps(found))  # noqa: S301
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):  # noqa: S301
        assert again == found
        assert again.to_dict() == found.to_dict()
    del found, again
    shutil.rmtree(tmp_path)
    assert elsewhere.titles == (None,) * 3  # there is no such version, and it is no error
    assert [one["item_id"] for one in elsewhere.to_dict()["items"]] == [one for one, _ in elsewhere]


def test_what_is_made_by_hand_knows_nothing() -> None:
    assert FOUND.attributes == ({}, {})
    assert FOUND.reasons == (None, None)
    assert FOUND.to_arrow()["item_id"].to_pylist() == ["i7", "8"]
    assert FOUND.to_arrow().column_names == ["rank", "item_id", "score"]
