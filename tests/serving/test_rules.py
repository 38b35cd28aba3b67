"""Boosts, pins and several limits, against a twin that ranks the whole catalogue by hand."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import floor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.base.rule_settings import MOST_BOOSTS
from recsys.errors import ConfigError, DataError
from recsys.serving import Boost, NewItems, Pin
from recsys.serving import open as open_store
from recsys.serving.fresh import Since
from recsys.settings import IndexSettings
from recsys.store import publish
from tests.serving.test_request import N_ITEMS, N_USERS, TODAY, World
from tests.store.releases import small_release

NOW = datetime.now(UTC)
PIN = {"position": 1, "item_id": "i1"}


SOLD_OUT = range(0, N_ITEMS, 23)


@pytest.fixture(scope="module", params=["exact", "annoy"])
def world(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[World]:
    """A version whose lists are without what is sold out."""
    found = World(tmp_path_factory.mktemp("rules") / "store", request.param)
    sold_out = tmp_path_factory.mktemp("shop") / "sold_out.txt"
    sold_out.write_text("\n".join(f"i{row}" for row in SOLD_OUT))
    found.recommender = open_store(found.store, rules={"sold_out": str(sold_out)})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("recsys.serving.repeats.today", lambda: TODAY)
        yield found


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
    new_items: dict[str, Any] | None = None,
    repeat: float | None = None,
) -> list[tuple[str, float]]:
    """Score all items, boost them, put pins to their places, and fill up with the best ones.

    New items come where the beginning of the list may have one more.
    """
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
    may[list(SOLD_OUT)] = False
    first, last = world.seen.indptr[user : user + 2]
    for row, day in zip(world.seen.indices[first:last], world.last_day[first:last], strict=True):
        is_usual = repeat is not None and np.float32(world.share[row]) >= repeat
        may[row] &= is_usual and TODAY - int(day) >= np.float32(world.gap[row])
    order = [row for row in np.lexsort((np.arange(N_ITEMS), -scores)).tolist() if may[row]]
    pinned: list[tuple[int, int]] = []
    is_new = np.zeros(N_ITEMS, bool)
    if new_items is not None:
        is_new = world.popularity < new_items["users"]
    for one in sorted(pin, key=lambda one: one["position"]):
        taken = {row for _, row in pinned}
        if "item_id" in one:
            fits = [row for row in order if f"i{row}" == one["item_id"] and row not in taken]
        else:
            mask = CONDITIONS[one["where"]](world)
            fits = [row for row in order if mask[row] and row not in taken and not is_new[row]]
        place = max(one["position"], pinned[-1][0] + 1 if pinned else 1)
        if fits and place <= k:
            pinned.append((place, fits[0]))
    columns = {"color": world.color, "price": world.price.tolist()}
    limits = [(columns[name], int(most)) for name, most in (one.split(":") for one in max_per)]
    listed, counted = [], [row for _, row in pinned]

    def fits_in(row: int) -> bool:
        return all(
            column[row] is None or sum(column[other] == column[row] for other in counted) < most
            for column, most in limits
        )

    if new_items is not None:
        best = [row for row in order if is_new[row] and row not in counted]
        n_new, places = int(is_new[counted].sum()), {position for position, _ in pinned}
        for place in range(1, k + 1):
            best = [row for row in best if fits_in(row)]
            is_free = place not in places and len(pinned) < k
            if best and is_free and n_new < floor(new_items["share"] * place + 1e-9):
                pinned.append((place, best[0]))
                counted.append(best.pop(0))
                n_new += 1
        pinned.sort(key=lambda one: one[0])
        order = [row for row in order if not is_new[row]]
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


@settings(max_examples=70, deadline=None)
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
            "new_items": st.none()
            | st.fixed_dictionaries(
                {
                    "share": st.sampled_from([0, 0.1, 0.25, 0.5, 1]),
                    "users": st.sampled_from([1, 2, 3]),
                    "exploration": st.just(0),
                }
            ),
            "repeat": st.sampled_from([None, 0.2, 0.7]),
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
    if world.kind == "exact":
        assert [one.item_id for one in found] == [item_id for item_id, _ in expected]
        np.testing.assert_allclose(
            [one.score for one in found], [score for _, score in expected], rtol=1e-5, atol=1e-5
        )
    else:  # a forest promises a recall, here with one item to miss
        assert len(found) == len({one.item_id for one in found}) == len(expected)
        missed = {item_id for item_id, _ in expected} - {one.item_id for one in found}
        assert len(missed) <= 1
    (of_many,) = world.recommender.recommend_many([f"u{user}"], k, **asked)
    assert of_many.items == found.items
    assert (of_many.boosts, of_many.are_pinned) == (found.boosts, found.are_pinned)


def test_what_is_pinned_beyond_a_limit_counts_towards_the_others(world: World) -> None:
    """The second red one is over the limit of colors, and its price is taken all the same."""
    limits = ["color:1", "price:1"]

    def rows(found: Any) -> list[int]:
        return [int(str(one.item_id)[1:]) for one in found]

    first, *reds = rows(world.recommender.recommend("u2", N_ITEMS, where="color = 'red'"))
    pins = [Pin(position=1, item_id=f"i{first}")]
    others = rows(world.recommender.recommend("u2", 20, pin=pins, max_per=limits))[1:10]
    second = next(row for row in reds if world.price[row] in world.price[others])
    pins.append(Pin(position=2, item_id=f"i{second}"))
    found = rows(world.recommender.recommend("u2", 20, pin=pins, max_per=limits))
    assert found[:2] == [first, second]
    listed = world.recommender.recommend("u2", 20, pin=pins, new_items=0.5)
    assert listed.are_pinned == (True, True, *[False] * 18)
    assert listed.to_arrow()["pinned"].to_pylist() == list(listed.are_pinned)
    marked = [one.get("pinned", False) for one in listed.to_dict()["items"]]
    assert marked == list(listed.are_pinned)
    assert world.recommender.recommend("u2", 20, new_items=0.5).are_pinned == ()
    assert len({int(world.price[row]) for row in found}) == len(found) == 20


def test_new_items_are_looked_for_beyond_those_of_full_groups(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = {"share": 0.5, "users": N_USERS + 1, "exploration": 0}  # all are new
    asked = {"new_items": rule, "max_per": "price:1"}
    expected = world.recommender.recommend("u2", 40, **asked)
    monkeypatch.setattr("recsys.serving.exposure._DRAWN_FROM", 1)
    assert world.recommender.recommend("u2", 40, **asked).items == expected.items
    assert len(expected) == 20


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
    ("rules", "said"),
    [
        ({"bost": []}, r"rules.bost: unknown key, .*did you mean 'boost'"),
        ([{"boost": []}], "rules: expected RuleSettings or a mapping of its fields, got list"),
        ({"max_per": 5}, "rules.max_per: expected columns and numbers of items, .* got 5"),
    ],
)
def test_rules_of_a_recommender_that_cannot_be_are_named(
    world: World, rules: Any, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        open_store(world.store, rules=rules)


def test_limits_of_a_recommender_may_be_none_or_one(world: World) -> None:
    assert open_store(world.store, rules={"max_per": None}).rules.max_per == ()
    assert open_store(world.store, rules={"max_per": "color:2"}).rules.max_per == ("color:2",)


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
        ({"max_per": 5}, "max_per: expected columns and numbers of items, .* got 5"),
        ({"boost": 0}, "boost: expected a list of rules, got 0"),
        ({"pin": np.array([1, 2])}, "pin: expected a Pin or its fields"),
        ({"include_seen": np.array([1, 2])}, "include_seen: expected True or False, got ndarray"),
        ({"new_items": 1.5}, "new_items.share: expected a share from 0 to 1, got 1.5"),
        ({"new_items": {"users": 3}}, "new_items.share: expected it, got none"),
        ({"new_items": {"share": 0.1, "user": 3}}, "new_items.user: unknown key"),
        ({"repeat": 0}, "repeat: expected a share above 0 and at most 1, got 0"),
        ({"repeat": True}, "repeat: expected a share above 0 and at most 1, got True"),
    ],
)
def test_a_rule_that_cannot_be_is_named(world: World, asked: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        world.recommender.recommend("u2", 3, **asked)


def new_of(world: World, found: Any, users: int) -> list[int]:
    """Return the places, from 1, at which a list has items that fewer users have."""
    rows = [int(str(one.item_id)[1:]) for one in found]
    return (np.flatnonzero(world.popularity[rows] < users) + 1).tolist()


def test_new_items_are_drawn_for_a_user_and_a_day(world: World, monkeypatch) -> None:
    rule = NewItems(share=0.2, users=2, exploration=1.0)
    lists = {
        f"u{user}": world.recommender.recommend(f"u{user}", 20, new_items=rule)
        for user in range(1, 8)
    }
    for user, found in lists.items():
        assert new_of(world, found, 2) == [5, 10, 15, 20]
        assert world.recommender.recommend(user, 20, new_items=rule).items == found.items
    drawn = {
        tuple(found[place - 1].item_id for place in (5, 10, 15, 20)) for found in lists.values()
    }
    assert len(drawn) == len(lists)
    popular = world.recommender.recommend("nobody", 20, new_items=rule)
    assert new_of(world, popular, 2) == [5, 10, 15, 20]
    another_day = datetime(2030, 1, 2, tzinfo=UTC)
    monkeypatch.setattr(
        "recsys.serving.request.datetime", SimpleNamespace(now=lambda _: another_day)
    )
    others = world.recommender.recommend("u2", 20, new_items=rule)
    assert new_of(world, others, 2) == [5, 10, 15, 20]
    assert others.items != lists["u2"].items


def test_a_rule_bounds_the_share_that_a_caller_asks_for(world: World) -> None:
    store = world.recommender._folder.parents[1]
    ruled = open_store(store, rules={"new_items": {"share": 0.1, "users": 2}})
    for asked, places in ((None, [10, 20]), (0.5, [10, 20]), (0.05, [20]), (0, [])):
        found = ruled.recommend("u2", 20, new_items=asked)
        assert new_of(world, found, 2 if asked in (None, 0.5) else 1) in (places, []), asked
    assert new_of(world, ruled.recommend("u2", 20), 2) == [10, 20]
    assert ruled.top_items("popular", 20).items == world.recommender.top_items("popular", 20).items


def test_what_nobody_has_is_said_to_be_new(world: World) -> None:
    found = world.recommender.recommend("u2", 10, new_items=NewItems(share=0.5))
    (item_id, *_) = [
        one.item_id for one, is_new in zip(found, found.are_new, strict=True) if is_new
    ]
    assert found.to_arrow()["new_item"].to_pylist() == list(found.are_new)
    assert [one.get("new_item", False) for one in found.to_dict()["items"]] == list(found.are_new)
    assert not any(world.recommender.recommend("u2", 10, new_items=0).are_new)
    why = world.recommender.explain("u2", item_id)
    assert why.is_new_item
    assert why.to_dict()["new_item"]
    assert "a new item" in why.caption()


def test_what_is_done_today_does_not_return_today(world: World) -> None:
    user, rows = 3, world.recommender.rows
    may = [
        str(item_id)
        for item_id, _ in world.recommender.recommend(f"u{user}", N_ITEMS, repeat=0.2)
        if world.seen[user, int(str(item_id)[1:])]
    ]
    assert may
    since = Since([(may[0], 1.0)], days=[TODAY])
    found = rows.with_events(f"u{user}", rows.request(N_ITEMS, repeat=0.2), since)
    listed = {item_id for item_id, _ in rows.named(found)}
    assert set(may) - listed == {may[0]}
    long_ago = Since([(may[0], 1.0)], days=[TODAY - 40])  # the version has a later day
    found = rows.with_events(f"u{user}", rows.request(N_ITEMS, repeat=0.2), long_ago)
    assert set(may) <= {item_id for item_id, _ in rows.named(found)}


def test_a_version_that_knows_no_time_says_so(tmp_path: Path) -> None:
    publish(tmp_path, small_release(), IndexSettings(kind="exact"))
    with pytest.raises(DataError, match="repeat: expected items whose events have times, got none"):
        open_store(tmp_path).recommend("u1", repeat=0.2)
    with pytest.warns(RuntimeWarning, match="what was seen stays out of lists"):
        found = open_store(tmp_path, rules={"repeat": 0.2})
    assert found.recommend("u1").items == open_store(tmp_path).recommend("u1").items
