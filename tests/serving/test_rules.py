"""Boosts, pins and several limits, against a twin that ranks the whole catalogue by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.base.rule_settings import MOST_BOOSTS
from recsys.errors import DataError
from recsys.serving import Boost, Pin
from tests.serving.test_request import N_ITEMS, N_USERS, World

NOW = datetime.now(UTC)
PIN = {"position": 1, "item_id": "i1"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("rules"), "exact")


CONDITIONS = {
    "price < 20": lambda world: world.price < 20,
    "color = 'red'": lambda world: np.array([one == "red" for one in world.color]),
    "color is null": lambda world: np.array([one is None for one in world.color]),
    "price = 1000": lambda world: world.price == 1000,  # none
}


def twin(
    world: World,
    user: int,
    k: int,
    *,
    where: str | None,
    boost: list[dict[str, Any]],
    pin: list[dict[str, Any]],
    max_per: list[str],
) -> list[tuple[str, float]]:
    """Score all items, boost them, put pins to their places, and fill up with the best ones."""
    is_popular = not world.users[user].any()
    own = world.popularity if is_popular else world.items.astype(np.float64) @ world.users[user]
    scores = own.astype(np.float32).astype(np.float64)
    times, plus = np.ones(N_ITEMS), np.zeros(N_ITEMS)
    for one in boost:
        mask = CONDITIONS[one["where"]](world)
        times[mask] *= one.get("times", 1.0)
        plus[mask] += one.get("plus", 0.0)
    scores = np.where(scores < 0, scores / times, scores * times) + plus
    may = np.ones(N_ITEMS, bool) if where is None else CONDITIONS[where](world).copy()
    may[world.seen[[user]].indices] = False
    order = [row for row in np.lexsort((np.arange(N_ITEMS), -scores)).tolist() if may[row]]
    pinned: list[tuple[int, int]] = []
    for one in sorted(pin, key=lambda one: one["position"]):
        taken = {row for _, row in pinned}
        if "item_id" in one:
            fits = [row for row in order if f"i{row}" == one["item_id"] and row not in taken]
        else:
            mask = CONDITIONS[one["where"]](world)
            fits = [row for row in order if mask[row] and row not in taken]
        if fits and one["position"] <= k and len(pinned) < k:
            pinned.append((one["position"], fits[0]))
    columns = {"color": world.color, "price": world.price.tolist()}
    limits = [(columns[name], int(most)) for name, most in (one.split(":") for one in max_per)]
    listed, counted = [], [row for _, row in pinned]

    def fits_in(row: int) -> bool:
        return all(
            column[row] is None or sum(column[other] == column[row] for other in counted) < most
            for column, most in limits
        )

    for row in order:
        if row not in {one for _, one in pinned} and len(listed) < k - len(pinned) and fits_in(row):
            listed.append(row)
            counted.append(row)
    for position, row in pinned:
        listed.insert(position - 1, row)
    return [(f"i{row}", scores[row]) for row in listed]


boosts = st.lists(
    st.fixed_dictionaries(
        {"where": st.sampled_from(list(CONDITIONS))},
        optional={"times": st.sampled_from([0.25, 1.5, 4]), "plus": st.sampled_from([-3.0, 0.5])},
    ),
    max_size=3,
)
positions = st.integers(1, 12)
pins = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"position": positions, "item_id": st.integers(0, N_ITEMS).map(lambda row: f"i{row}")}
        ),
        st.fixed_dictionaries({"position": positions, "where": st.sampled_from(list(CONDITIONS))}),
    ),
    max_size=4,
)


@settings(max_examples=120, deadline=None)
@given(
    user=st.integers(0, N_USERS - 1),
    k=st.integers(1, 12),
    asked=st.fixed_dictionaries(
        {
            "where": st.sampled_from([None, *CONDITIONS]),
            "boost": boosts,
            "pin": pins,
            "max_per": st.sampled_from(
                [[], ["color:2"], ["color:3", "price:1"], ["price:2", "color:1"]]
            ),
        }
    ),
    as_candidates=st.booleans(),
)
def test_lists_are_those_of_the_twin(
    world: World, user: int, k: int, asked: dict[str, Any], as_candidates: bool
) -> None:
    expected = twin(world, user, k, **asked)
    if as_candidates:
        asked["candidates"] = [f"i{row}" for row in range(N_ITEMS)]
    found = world.recommender.recommend(f"u{user}", k, **asked)
    assert [one.item_id for one in found] == [item_id for item_id, _ in expected]
    np.testing.assert_allclose(
        [one.score for one in found], [score for _, score in expected], rtol=1e-5, atol=1e-5
    )
    (of_many,) = world.recommender.recommend_many([f"u{user}"], k, **asked)
    assert of_many.items == found.items


def test_a_boost_is_told_apart_from_the_score(world: World) -> None:
    plain = dict(world.recommender.recommend("u2", N_ITEMS))
    found = world.recommender.recommend(
        "u2", N_ITEMS, boost=[Boost(where="price < 20", times=2, plus=-0.5)]
    )
    for (item_id, score), boost in zip(found, found.boosts, strict=True):
        assert score - boost == pytest.approx(plain[item_id], abs=1e-5)
    assert any(found.boosts)
    assert found.to_dict()["items"][0]["boost"] == found.boosts[0]
    assert world.recommender.recommend("u2").boosts == ()


@pytest.mark.parametrize(("times", "plus"), [(1000.0, 1e9), (0.001, -1e9)])
@pytest.mark.parametrize("user", ["u1", "u2"])  # u1 gets the popular list
def test_the_most_of_boosts_is_a_number(world: World, user: str, times: float, plus: float) -> None:
    found = world.recommender.recommend(
        user, N_ITEMS, boost=[Boost(where="price < 20", times=times, plus=plus)] * MOST_BOOSTS
    )
    assert np.isfinite([one.score for one in found]).all()
    assert np.isfinite(found.boosts).all()


def test_rules_hold_from_since_to_until(world: World) -> None:
    first = world.recommender.recommend("u2", 1)[0].item_id
    last = world.recommender.recommend("u2", N_ITEMS)[-1].item_id
    day = timedelta(days=1)
    for since, until, holds in (
        (None, None, True),
        (NOW - day, NOW + day, True),
        ((NOW - 3 * day).date(), None, True),
        (None, (NOW + 3 * day).date().isoformat(), True),
        (NOW + day, None, False),
        (None, NOW - day, False),
        (None, (NOW - 2 * day).date(), False),
    ):
        pin = Pin(position=1, item_id=last, since=since, until=until)
        found = world.recommender.recommend("u2", 1, pin=[pin])
        assert found[0].item_id == (last if holds else first), (since, until)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"boost": [{"where": "price < 1", "times": 0}]},
            "boost.times: expected 0.001 to 1000",
        ),
        ({"boost": [{"where": "price < 1", "plus": 1e300}]}, "boost.plus: expected"),
        ({"boost": [{"times": 2}]}, "boost.where: expected it"),
        ({"boost": [{"wher": "price < 1"}]}, "boost.wher: unknown key"),
        ({"boost": {"where": "price < 1"}}, "boost: expected a list of rules"),
        ({"boost": ["price < 1"]}, "boost: expected a Boost or its fields"),
        ({"boost": [{"where": "price < 1"}] * 9}, "boost: expected at most 8, got 9"),
        ({"boost": [{"where": "nothing < 1"}]}, "nothing"),
        ({"pin": [{"position": 0, "item_id": "i1"}]}, "pin.position: expected 1 or more"),
        ({"pin": [{"position": 1}]}, "pin: expected an item_id or a where, got neither"),
        ({"pin": [{"item_id": "i1"}]}, "pin.position: expected it"),
        (
            {"pin": [{**PIN, "since": "tomorrow"}]},
            "pin.since: expected a date or time",
        ),
        (
            {"pin": [{**PIN, "since": "2026-02-01", "until": "2026-01-01"}]},
            "pin.until: expected it after since",
        ),
        ({"max_per": ["color"]}, "max_per: expected a column and a number"),
    ],
)
def test_a_rule_that_cannot_be_is_named(world: World, asked: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        world.recommender.recommend("u2", 3, **asked)
