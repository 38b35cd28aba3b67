"""What a recommender and the clients of a service answer alike: each test runs over all of them."""

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recsys
from recsys.base.plain import plain
from recsys.errors import DataError, UnknownItemError, UnknownUserError
from recsys.serving import Batch, Explanation, Recommendations, Recommender
from tests.service.conftest import ITEMS, USERS, release
from tests.service.servers import PATIENCE
from tests.service.test_answers import CONDITIONS

RELEASE = release()
BOOST = {"where": "price < 20", "times": 2.5}
SEEN = RELEASE.seen.toarray() > 0


def alike(found: Any, expected: Any) -> None:
    """Whether lists say the same, with all that is known of their items."""
    assert type(found) is type(expected)
    assert found == expected
    assert found.titles == expected.titles
    assert plain(found.attributes) == plain(expected.attributes)
    assert found.reasons == expected.reasons
    assert found.reason_titles == expected.reason_titles
    assert (found.caption(), found.kind) == (expected.caption(), expected.kind)
    assert found.to_dict() == expected.to_dict()


def of_one(options: dict[str, Any], position: int) -> dict[str, Any]:
    """What is asked of one of many."""
    named = {"histories": "history", "dislikes": "dislikes"}
    return {
        named.get(name, name): (one[position] or ()) if name in named else one
        for name, one in options.items()
    }


def best(user: int, k: int) -> list[str]:
    """The twin: all items by score, then by row, without those that the user has seen."""
    scores = RELEASE.embeddings.items @ RELEASE.embeddings.users[user]
    rows = [row for row in range(len(ITEMS)) if not SEEN[user, row]]
    rows.sort(key=lambda row: (-float(scores[row]), row))
    return [ITEMS[row] for row in rows[:k]]


@pytest.mark.parametrize("user", range(len(USERS)))
def test_a_user_of_any_id_gets_the_best_unseen_items(door, recommender, user: int) -> None:
    found = door.recommend(USERS[user], 7)
    assert [item_id for item_id, _ in found] == best(user, 7)
    assert (found.source, len(found), found[0]) == ("personal", 7, found.items[0])
    alike(found, recommender.recommend(USERS[user], 7))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conditions=CONDITIONS, user_id=st.sampled_from([*USERS, "nobody"]))
def test_conditions(doors, conditions: dict[str, Any], user_id: str) -> None:
    """Not by the fixture of one door, which would have the examples of each drawn anew."""
    recommender = doors["recommender"]
    shared = {name: one for name, one in conditions.items() if name in ("k", "where", "exclude")}
    for door in doors.values():
        alike(door.recommend(user_id, **conditions), recommender.recommend(user_id, **conditions))
        alike(door.similar_items("i7", **shared), recommender.similar_items("i7", **shared))
        on_top = {
            name: one for name, one in conditions.items() if name not in ("include_seen", "repeat")
        }
        alike(door.top_items(**on_top), recommender.top_items(**on_top))


def test_who_is_unknown(door, recommender: Recommender) -> None:
    assert door.recommend("nobody", 3).source == "popular"
    with pytest.raises(UnknownUserError, match="user 'nobody': not among"):
        door.recommend("nobody", on_unknown="raise")
    alike(
        door.recommend("nobody", history=iter(["i7", "i9"])),
        recommender.recommend("nobody", history=["i7", "i9"]),
    )
    assert door.recommend("nobody", history=["never"]).source == "popular"
    of_both = {"history": ["i7", "i9"], "dislikes": ["j3"]}
    alike(door.recommend("nobody", **of_both), recommender.recommend("nobody", **of_both))
    with pytest.raises(UnknownItemError, match="item 'never'"):
        door.similar_items("never")
    with pytest.raises(UnknownItemError, match="item 'never'"):
        door.describe("never")


def test_a_history(door, recommender: Recommender) -> None:
    history, weights = ["i7", "j3", "never"], (1, 2.5, np.float32(0.5))
    found = door.recommend_for_history(history, 6, weights=weights, where="price < 25")
    assert found.source == "fold_in"
    expected = recommender.recommend_for_history(history, 6, weights=weights, where="price < 25")
    alike(found, expected)
    with pytest.raises(UnknownItemError, match="never"):
        door.recommend_for_history(history, on_unknown="raise")
    with pytest.raises(UnknownItemError):
        door.recommend_for_history(["never"])  # nothing to go by, which is no popular list
    with pytest.raises(DataError, match="at least one item"):
        door.recommend_for_history([])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 3, "where": "price < 20", "exclude": ["j1"]},
        {"include_seen": True, "candidates": ITEMS[:9]},
        {"histories": [None, ["i7"], ["never"], ["j1", "j2"]]},
        {"histories": [None, ["i7"], None, ["j1"]], "dislikes": [["j3"], ["i9"], ["j2"], None]},
        {"k": 4, "boost": [BOOST], "pin": [{"position": 2, "item_id": "j4"}]},
    ],
)
def test_many(door, recommender: Recommender, options: dict[str, Any]) -> None:
    user_ids = ["u1", "u42", "nobody", "somebody"]
    found, expected = (one.recommend_many(user_ids, **options) for one in (door, recommender))
    assert isinstance(found, Batch)
    assert (len(found), found.version) == (4, expected.version)
    assert found.to_table() == expected.to_table()
    assert found.to_arrow() == expected.to_arrow()
    for one, other in zip(found, expected, strict=True):
        alike(one, other)
    alike(found[1:3][1], expected[2])
    alike(expected[2], recommender.recommend(user_ids[2], **of_one(options, 2)))
    assert len(door.recommend_many([])) == 0


def test_an_audience(door, recommender: Recommender) -> None:
    for asked in ({}, {"k": 3, "where": "n_items >= 2", "exclude": ["u1"]}, {"candidates": []}):
        found, expected = door.audience("i7", **asked), recommender.audience("i7", **asked)
        assert (found, found.kind, found.source) == (expected, "user", "audience")
    assert len(door.audience("i7", k=3)) == 3
    with pytest.raises(DataError, match="what is known of users, got the column 'price'"):
        door.audience("i7", where="price < 3")
    with pytest.raises(UnknownItemError, match="item 'never'"):
        door.audience("never")


def test_lists_without_details_say_which_items_are_new(doors, recommender: Recommender) -> None:
    plain_ones = (recsys.Client(doors["client"]._to.url, timeout=PATIENCE), doors["client"])
    expected = recommender.recommend("u42", 99)
    assert any(expected.are_new)
    for client in plain_ones:
        found = client.recommend("u42", 99)
        assert (found.are_new, found.titles) == (expected.are_new, expected.titles)
        (of_many,) = client.recommend_many(["u42"], 99)
        assert of_many.are_new == expected.are_new
    plain_ones[0].close()


def test_lists_for_everybody(door, recommender: Recommender) -> None:
    alike(door.top_items(), recommender.top_items())
    for options in ({}, {"column": "price"}, {"column": "price", "candidates": ["i7"]}):
        alike(door.top_items("latest", 4, **options), recommender.top_items("latest", 4, **options))
    assert len(door.top_items(candidates=[])) == 0
    for wrong in ({"by": "newest"}, {"column": "price"}, {"by": "trending"}):
        with pytest.raises(DataError):
            door.top_items(**wrong)


def test_titles_are_searched(door, recommender: Recommender) -> None:
    alike(door.find("ninth moon"), recommender.find("ninth moon"))
    alike(door.find(), recommender.find())
    alike(door.find("title", 5, where="price < 9"), recommender.find("title", 5, where="price < 9"))
    alike(door.similar_items("The Ninth Moonbase"), recommender.similar_items("i7"))
    sums = (["the ninth moonbase", "j3"], ["j4"])
    alike(door.nearest_items(*sums, 4), recommender.nearest_items(["i7", "j3"], ["j4"], 4))
    near = recommender.nearest_items(*sums, where="price < 9")
    alike(door.nearest_items(*sums, where="price < 9"), near)


@pytest.mark.parametrize("item_id", ITEMS[:12], ids=lambda id_: id_[:20])
def test_an_item_of_any_id(door, recommender: Recommender, item_id: str) -> None:
    assert plain(door.describe(item_id)) == plain(recommender.describe(item_id))
    alike(door.similar_items(item_id, 3), recommender.similar_items(item_id, 3))
    why = door.explain("u42", item_id)
    assert isinstance(why, Explanation)
    assert why == recommender.explain("u42", item_id)
    assert why.score == pytest.approx(sum(added for _, added in why.parts) + why.rest)
    alike(why, recommender.explain("u42", item_id))


@pytest.mark.parametrize("user", range(len(USERS)))
def test_what_a_user_has_seen(door, recommender: Recommender, user: int) -> None:
    found = door.history(USERS[user], len(ITEMS))
    assert {item_id for item_id, _ in found} == {ITEMS[row] for row in np.flatnonzero(SEEN[user])}
    alike(found, recommender.history(USERS[user], len(ITEMS)))
    with pytest.raises(UnknownUserError):
        door.history("nobody")


def test_explanations(door, recommender: Recommender) -> None:
    history, weights = ["i7", "j3"], [1, 2.5]
    alike(
        door.explain_for_history(history, "j5", weights=weights),
        recommender.explain_for_history(history, "j5", weights=weights),
    )
    with pytest.raises(UnknownUserError):
        door.explain("nobody", "i7")
    with pytest.raises(UnknownItemError):
        door.explain("u42", "never")
    with pytest.raises(UnknownItemError):
        door.explain_for_history(["i7", "never"], "j5")


@pytest.mark.parametrize(
    ("method", "arguments", "named"),
    [
        ("recommend", {"user_id": None}, "user_id"),
        ("recommend", {"user_id": 1.5}, "user_id"),
        ("recommend", {"user_id": "u42", "k": 0}, "k: expected"),
        ("recommend", {"user_id": "u42", "k": True}, "k: expected"),
        ("recommend", {"user_id": "u42", "exclude": "i7"}, "exclude"),
        ("recommend", {"user_id": "u42", "candidates": [None]}, "candidates"),
        ("recommend", {"user_id": "u42", "where": "price <"}, "where"),
        ("recommend", {"user_id": "u42", "where": 5}, "where"),
        ("recommend", {"user_id": "u42", "diversity": 2}, "diversity"),
        ("recommend", {"user_id": "u42", "max_per": "category"}, "max_per"),
        ("recommend", {"user_id": "u42", "boost": [{"where": "price <"}]}, "where"),
        ("recommend", {"user_id": "u42", "pin": [{"position": 0, "item_id": "i7"}]}, "position"),
        ("recommend", {"user_id": "u42", "on_unknown": "cry"}, "on_unknown"),
        ("recommend_for_history", {"item_ids": "i7"}, "item_ids"),
        ("recommend_for_history", {"item_ids": ["i7"], "weights": [-1]}, "weights"),
        ("recommend_for_history", {"item_ids": ["i7"], "weights": [1, 2]}, "weights"),
        ("recommend_for_history", {"item_ids": ["i7"], "on_unknown": "cry"}, "on_unknown"),
        ("recommend_many", {"user_ids": "u42"}, "user_ids"),
        ("recommend_many", {"user_ids": ["u42"], "where": "colour = 1"}, "colour"),
        ("recommend_many", {"user_ids": ["u42"], "histories": []}, "histories"),
        ("similar_items", {"item_id": "i7", "exclude": 7}, "exclude"),
        ("find", {"title": "x" * 257}, "256"),
        ("explain", {"user_id": "u42", "item_id": []}, "item_id"),
        ("describe", {"item_id": False}, "item_id"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(door, method, arguments, named: str) -> None:
    with pytest.raises(DataError, match=named):
        getattr(door, method)(**arguments)


def test_an_argument_that_is_not_known_is_a_type_error(door) -> None:
    with pytest.raises(TypeError, match="colour"):
        door.recommend("u42", colour="red")


def test_what_is_returned_can_be_sent_elsewhere(door) -> None:
    found = door.recommend("u42", 4)
    again: Recommendations = pickle.loads(pickle.dumps(found))  # noqa: S301
    alike(again, found)
    assert found.to_pandas().columns.tolist()[:4] == ["rank", "item_id", "title", "score"]
