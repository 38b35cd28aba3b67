"""A list of recommendations as Python and JSON see it."""

import json
from dataclasses import FrozenInstanceError

import pytest

from recsys.serving import Explanation, Recommendations, ScoredItem

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
