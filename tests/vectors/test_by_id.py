"""Vectors by real ids, in worlds whose geometry is known."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from recsys.errors import DataError, UnknownItemError, UnknownUserError
from recsys.vectors import Embeddings, Ids, NamedVectors, ScoredId, Vector, named_vectors


def named(places: dict, kind="item", space_id: str = "world") -> NamedVectors:
    matrix = np.array(list(places.values()), dtype=np.float32)
    return NamedVectors(Ids(places), matrix, kind, space_id)


def grid(n: int = 5) -> NamedVectors:
    """Items on the points of a grid, ``"x,y"``, the origin among them."""
    return named({f"{x},{y}": (x, y) for x in range(n) for y in range(n)})


# Orthogonal tastes: one axis for fantasy, one for cooking, one for the price.
SHOP = named(
    {
        "dragons": (3, 0, 0),
        "signed dragons": (3, 0, 2),
        "soups": (0, 3, 0),
        "signed soups": (0, 3, 2),
        "dragon soups": (2, 2, 0),
        "blank": (0, 0, 0),
    }
)


@st.composite
def worlds(draw) -> NamedVectors:
    """Items i0.. anywhere; at least four of them."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    matrix = rng.standard_normal((draw(st.integers(4, 30)), draw(st.integers(1, 6))))
    return named({f"i{row}": vector for row, vector in enumerate(matrix)})


def test_king_man_and_woman() -> None:
    words = named(
        {"king": (1, 5), "queen": (-1, 5), "man": (1, 2), "woman": (-1, 2), "cat": (0, 1)}
    )
    assert words["king"] - words["man"] + words["woman"] == words["queen"]
    assert words.analogy("man", "king", "woman", k=1) == [ScoredId("queen", pytest.approx(1))]
    assert words.analogy("king", "man", "queen", k=1)[0].id == "woman"
    assert len(words.analogy("man", "king", "woman")) == 2  # the three of the question left out


def test_signing_a_book_is_a_step_of_its_own() -> None:
    signed = SHOP["signed dragons"] - SHOP["dragons"]
    assert SHOP["soups"] + signed == SHOP["signed soups"]
    assert signed.cosine(SHOP["soups"]) == 0
    assert SHOP.analogy("dragons", "signed dragons", "soups")[0].id == "signed soups"


def test_cosine_and_dot_of_ids_and_vectors() -> None:
    assert SHOP.cosine("dragons", "soups") == 0
    assert SHOP.cosine("dragons", "dragon soups") == pytest.approx(0.5**0.5)
    assert SHOP.dot("signed dragons", "signed soups") == 4
    assert SHOP.cosine("dragons", 2 * SHOP["dragons"]) == 1
    assert SHOP.dot(SHOP["dragons"], "dragon soups") == 6


@given(worlds())
def test_cosine_is_bounded_and_symmetric(world: NamedVectors) -> None:
    for a in ("i0", "i1"):
        for b in ("i2", "i3"):
            assert -1 <= world.cosine(a, b) <= 1
            assert world.cosine(a, b) == world.cosine(b, a)


@given(worlds())
def test_the_average_of_averages_of_equal_groups_is_the_average(world: NamedVectors) -> None:
    halves = world.average(["i0", "i1"]), world.average(["i2", "i3"])
    whole = world.average(["i0", "i1", "i2", "i3"])
    np.testing.assert_allclose(world.average(halves), whole, atol=1e-12)
    np.testing.assert_allclose(world.average([halves[0], "i2", "i3", halves[0]]), whole, atol=1e-12)


def test_averages_on_the_grid() -> None:
    points = grid()
    assert points.average(["0,0", "4,0", "4,4", "0,4"]) == points["2,2"]
    assert points.average(["0,0", "3,0", "3,0"]) == points["2,0"]  # a repeat counts again
    assert points.average(iter(["1,3"])) == points["1,3"]


@given(worlds(), st.floats(-10, 10), st.floats(0.01, 100))
def test_projection_is_linear_and_blind_to_the_length_of_the_direction(
    world: NamedVectors, factor: float, length: float
) -> None:
    assume(world["i0"] != world["i1"])
    direction = world.direction(["i0"], ["i1"])
    a, b = world["i2"], world["i3"]
    mixed, of_a, of_b = world.project([a * factor + b, a, b], direction)
    assert mixed == pytest.approx(factor * of_a + of_b, abs=1e-9)
    np.testing.assert_allclose(
        world.project(["i2"], direction * length), world.project(["i2"], direction), atol=1e-12
    )


@given(worlds())
def test_a_direction_leads_from_one_group_to_the_other(world: NamedVectors) -> None:
    start, end = ["i0", "i1"], ["i2", "i3"]
    direction = world.direction(start, end)
    assert direction.norm == pytest.approx(1)
    gap = (world.average(end) - world.average(start)).norm
    of_means = world.project([world.average(start), world.average(end)], direction)
    assert of_means[1] - of_means[0] == pytest.approx(gap)
    back = world.direction(end, start)
    np.testing.assert_allclose(back, -direction, atol=1e-12)


def test_directions_of_the_shop() -> None:
    price = SHOP.direction(["dragons", "soups"], ["signed dragons", "signed soups"])
    assert price == SHOP.vector([0, 0, 1])
    assert SHOP.project(["soups", "signed soups", "blank"], price).tolist() == [0, 2, 0]
    assert SHOP.project(SHOP, price).tolist() == [0, 2, 0, 2, 0, 0]
    assert SHOP.project([], price).tolist() == []
    taste = SHOP.direction(["soups"], ["dragons"])
    along = SHOP.project(["soups", "dragon soups", "dragons"], taste)
    np.testing.assert_allclose(along, np.array([-3, 0, 3]) * 0.5**0.5, atol=1e-12)


@given(worlds(), st.sampled_from(["cosine", "dot"]), st.integers(1, 40))
def test_nearest_is_every_other_item_ranked(world: NamedVectors, by, k: int) -> None:
    found = world.nearest("i0", k, by=by)
    measure = world.cosine if by == "cosine" else world.dot
    scores = {id_: measure("i0", id_) for id_ in world if id_ != "i0"}
    best = sorted(scores, key=lambda id_: -scores[id_])[:k]
    assert [scored.score for scored in found] == pytest.approx(
        [scores[id_] for id_ in best], rel=1e-5, abs=1e-5
    )
    for id_, score in found:
        assert score == pytest.approx(scores[id_], rel=1e-5, abs=1e-5)


def test_nearest_on_the_grid() -> None:
    points = grid(4)
    diagonal = points.nearest("1,1", 4)
    assert [id_ for id_, _ in diagonal[:2]] == ["2,2", "3,3"]
    assert [id_ for id_, _ in diagonal[2:]] == ["2,3", "3,2"]  # a tie: by row
    assert points.nearest(points["1,1"], 1)[0].id == "1,1"  # a vector does not know its id
    assert points.nearest("1,1", 1, by="dot") == [ScoredId("3,3", 6.0)]
    assert [id_ for id_, _ in points.nearest("1,1", 1, exclude=["2,2"])] == ["3,3"]
    among = points.nearest("1,1", among=["1,2", "0,3", "1,1", "0,0", "1,2"])
    assert [id_ for id_, _ in among] == ["1,2", "0,3"]
    assert points.nearest("1,1", among=[]) == []
    assert len(points.nearest("1,1", 10**9)) == 14  # of 16, neither itself nor the origin


def test_a_zero_vector_has_no_direction() -> None:
    with pytest.raises(DataError, match="got the zero vector"):
        SHOP.cosine("blank", "soups")
    assert SHOP.nearest("blank") == []
    assert "blank" not in {id_ for id_, _ in SHOP.nearest("soups")}
    assert SHOP.dot("blank", "soups") == 0
    assert [id_ for id_, _ in SHOP.nearest(SHOP.vector([-1, -1, -1]), 1, by="dot")] == ["blank"]
    with pytest.raises(DataError, match="got the zero vector"):
        SHOP.project(["soups"], SHOP["blank"])


class TestUsersAndItems:
    """Users and items are two sets of points in one space."""

    USERS = named({"ann": (1, 0, 0), "ben": (0, 1, 0), "cem": (1, 1, 0)}, "user")

    def test_the_items_of_a_user(self) -> None:
        found = SHOP.nearest(self.USERS["ann"], 2, by="dot")
        assert found == [ScoredId("dragons", 3), ScoredId("signed dragons", 3)]
        assert SHOP.nearest(self.USERS["cem"], 1)[0].id == "dragon soups"

    def test_the_users_of_an_item(self) -> None:
        found = self.USERS.nearest(SHOP["soups"], by="dot")
        assert [id_ for id_, _ in found] == ["ben", "cem", "ann"]
        assert [score for _, score in found] == [3, 3, 0]

    def test_their_scores_and_directions(self) -> None:
        assert SHOP.dot(self.USERS["cem"], "dragon soups") == 4
        taste = SHOP.direction(["soups"], ["dragons"])
        ann, ben, cem = self.USERS.project(self.USERS, taste)
        assert ann == -ben > cem == 0

    def test_what_was_asked_for_can_be_told_from_what_was_given(self) -> None:
        with pytest.raises(UnknownUserError, match="user 'dragons': not among the 3 users"):
            self.USERS.nearest("dragons")
        with pytest.raises(UnknownItemError, match="item 'ann': not among the 6 items"):
            SHOP.dot("ann", "soups")


def test_embeddings_and_ids_in_memory() -> None:
    embeddings = Embeddings(np.eye(2, dtype=np.float32), np.ones((3, 2), dtype=np.float32))
    users, items = named_vectors(embeddings, Ids([7, 8]), Ids(["a", "b", "c"]))
    assert users.space_id == items.space_id
    assert items.dot(users["8"], "b") == items.dot(users[8], "b") == 1
    assert (len(users), len(items), items.factors) == (2, 3, 2)
    assert list(items) == ["a", "b", "c"]
    assert "a" in items
    assert "7" in users
    assert np.int64(7) in users
    assert "d" not in items
    assert None not in items
    other = Embeddings(embeddings.users, embeddings.items * np.float32(2))
    assert named_vectors(other, users.ids, items.ids)[1].space_id != items.space_id
    with pytest.raises(DataError, match="expected one id for each of 2 rows, got 3 ids"):
        named_vectors(embeddings, items.ids, items.ids)


def test_a_space_given_by_name_is_kept() -> None:
    embeddings = Embeddings(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))
    users, items = named_vectors(embeddings, Ids([1, 2]), Ids([1, 2]), space_id="aligned")
    assert users.space_id == items.space_id == "aligned"


@pytest.mark.parametrize(
    "ask",
    [
        lambda stranger: SHOP.cosine("soups", stranger),
        lambda stranger: SHOP.dot(stranger, "soups"),
        lambda stranger: SHOP.average(["soups", stranger]),
        lambda stranger: SHOP.direction(["soups"], [stranger]),
        lambda stranger: SHOP.project(["soups"], stranger),
        lambda stranger: SHOP.project([stranger], SHOP["soups"]),
        lambda stranger: SHOP.nearest(stranger),
    ],
)
def test_a_vector_of_another_space_is_refused(ask) -> None:
    with pytest.raises(DataError, match="expected one of space 'world', got one of space 'moon'"):
        ask(Vector([1, 2, 3], "moon"))
    with pytest.raises(DataError, match="expected 3 values, .* got 2"):
        ask(Vector([1, 2], "world"))


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda: SHOP["soup"], UnknownItemError, "item 'soup': not among the 6 items$"),
        (lambda: SHOP.nearest("soupe"), UnknownItemError, "item 'soupe': not among the 6 items$"),
        (lambda: SHOP[10**5000], DataError, "item_id: .*too many digits"),
        (lambda: SHOP.nearest(np.ones(2)), DataError, "expected 3 values, .* got 2"),
        (lambda: SHOP.nearest(np.full(3, np.inf)), DataError, "expected finite numbers"),
        (lambda: SHOP.nearest("soups", exclude=["x"]), UnknownItemError, "item 'x'"),
        (lambda: SHOP.nearest("soups", among=["x"]), UnknownItemError, "item 'x'"),
        (lambda: SHOP.average(["dragons", "x"]), UnknownItemError, "item 'x'"),
        (lambda: SHOP.average([]), DataError, "average: expected at least one item, got none"),
        (lambda: SHOP.direction([], ["soups"]), DataError, "start: expected at least one item"),
        (lambda: SHOP.direction(["soups"], []), DataError, "end: expected at least one item"),
        (lambda: SHOP.average("soups"), DataError, r"average: expected a list.*\['soups'\]"),
        (lambda: SHOP.average(SHOP["soups"]), DataError, "average: expected a list, got Vector"),
        (lambda: SHOP.nearest("soups", exclude="dragons"), DataError, "exclude: expected a list"),
        (lambda: SHOP.nearest("soups", among=3), DataError, "among: expected a list, got 3"),
        (lambda: SHOP.average([None]), DataError, "average: expected a string or an integer"),
        (lambda: SHOP[np.ones(3)], DataError, "item_id: expected a string or an integer"),
        (lambda: SHOP.nearest("soups", 0), DataError, "k: expected at least 1, got 0"),
        (lambda: SHOP.nearest("soups", 2.5), DataError, "k: expected a whole number, got 2.5"),
        (lambda: SHOP.nearest("soups", by="l2"), DataError, 'by: expected "cosine" or "dot"'),
        (lambda: SHOP.vector([1, 2]), DataError, "expected 3 values, .* got 2"),
        (lambda: SHOP.vector([1, 2, np.nan]), DataError, "expected finite numbers"),
    ],
)
def test_questions_that_cannot_be_answered(ask, error, message: str) -> None:
    with pytest.raises(error, match=message):
        ask()


def test_groups_with_one_mean_have_no_direction_between_them() -> None:
    """Also where the order of a sum leaves round-off between the two means."""
    points = named({"a": (0.1, 0.7), "b": (0.2, 0.1), "c": (0.3, 1e-6), "d": (0, 0)})
    for start, end in ((["a"], ["a"]), (["a", "b", "c"], ["c", "b", "a"]), (["d"], ["d", "d"])):
        with pytest.raises(DataError, match="got the same mean twice"):
            points.direction(start, end)
    tiny = named({"a": (1e-30, 0), "b": (0, 1e-30)})
    assert tiny.direction(["a"], ["b"]).norm == pytest.approx(1)


def test_it_says_what_it_is() -> None:
    assert repr(SHOP) == "NamedVectors(6 items, 3 factors, 'world')"
    assert repr(SHOP["soups"]) == "Vector([0.0, 3.0, 0.0], space 'world')"
