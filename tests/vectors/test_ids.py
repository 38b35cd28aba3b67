import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.vectors import Ids
from recsys.vectors.id_table import IdTable


@given(st.lists(st.text(), unique=True))
def test_strings_round_trip(values: list[str]) -> None:
    ids = Ids(values)
    assert ids.tolist() == values
    assert [ids.find(value) for value in values] == list(range(len(values)))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, min_size=1))
def test_integers_are_found_in_either_form(values: list[int]) -> None:
    ids = Ids(values)
    assert ids.are_integers
    assert ids.rows(values).tolist() == list(range(len(values)))
    assert ids.rows([str(value) for value in values]).tolist() == list(range(len(values)))


def test_a_number_finds_the_string_that_spells_it() -> None:
    assert Ids(["7", "x"]).find(7) == 0


@pytest.mark.parametrize("other", ["07", "+7", " 7", "7.0", "x", "", "-", "٧"])
def test_an_integer_has_one_spelling(other: str) -> None:
    assert Ids([7]).find(other) is None


def test_numpy_integers_are_integers() -> None:
    assert Ids([3, 5]).find(np.int32(5)) == 1  # type: ignore[arg-type]


def test_take_keeps_the_order_asked_for() -> None:
    assert Ids(["a", "b", "c"]).take(np.array([2, 0])).tolist() == ["c", "a"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "b", "a"], "1 repeats"),
        (pa.array(["a", None]), "1 rows without one"),
        ([1.5], "strings or integers"),
    ],
)
def test_what_cannot_be_ids(values: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Ids(values)  # type: ignore[arg-type]


@given(st.lists(st.text(), unique=True) | st.lists(st.integers(-(2**63), 2**63 - 1), unique=True))
def test_a_table_kept_in_files_finds_what_a_dictionary_finds(values: list) -> None:
    plain = Ids(values)
    mapped = Ids.mapped(plain.values, plain.table())
    assert mapped == plain
    assert [mapped[row] for row in range(len(values))] == values
    for other in [*values, *map(str, values), "zebra", "", 7, -1, "\ud800"]:
        assert mapped.find(other) == plain.find(other)


def test_a_slice_of_ids_is_read_from_where_it_begins() -> None:
    for values in (["a", "bc", "def", ""], [5, 6, 7, 8]):
        sliced = Ids(Ids(values).values.slice(1, 2))
        assert [sliced[0], sliced[1]] == values[1:3]
        with pytest.raises(IndexError):
            sliced[2]


def test_ids_of_one_home_slot_are_different_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last home slot, with first halves of hashes that collide: they continue after it."""
    from recsys.vectors import id_table

    monkeypatch.setattr(id_table, "_hash", lambda id_: b"\xff" * 8 + int(id_).to_bytes(8, "big"))
    plain = Ids([str(number) for number in range(40)])
    mapped = Ids.mapped(plain.values, plain.table())
    assert [mapped.find(str(number)) for number in range(40)] == list(range(40))
    assert mapped.find("41") is None
    asked = [str(number) for number in range(42)]
    assert mapped.table().find_many(asked, 40).tolist() == [*range(40), -1, -1]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (["a", "b", "7"], ["b", "x", "7", "a"]),
        (["1", "x", "07"], [7, 1]),
        ([7, -1], ["07", "7", "-1", "+7", "x"]),
        ([3, 4], [4, 5]),
        (["a"], []),
    ],
)
def test_rows_of_other_ids_are_those_found_one_by_one(ours, theirs) -> None:
    one, other = Ids(ours), Ids(theirs)
    assert one.rows_of(other).tolist() == one.rows(other.tolist()).tolist()


@pytest.mark.parametrize("ours", [["a", "7", "\x00", "-3"], [7, -3, 2**63 - 1, 0]])
@given(
    asked=st.lists(
        st.one_of(
            st.integers(),
            st.text(st.characters(codec=None), max_size=3),
            st.sampled_from(["a", "7", 7, np.int64(-3), "-3", "07", str(2**63 - 1), str(2**64)]),
        ),
        max_size=12,
    )
)
def test_many_are_found_as_one_by_one_are(ours: list, asked: list) -> None:
    """Of more than 32, one search among all ids does it; a half of a character is in none."""
    ids, many = Ids(ours), asked * 20
    expected = [-1 if (row := ids.find(one)) is None else row for one in many]
    assert ids.rows(many).tolist() == expected
    table = IdTable.of(ids.values)
    spelled = [one for one in map(str, asked) if one.isprintable()]
    rows = [-1 if (row := table.find(one, len(ids))) is None else row for one in spelled]
    assert table.find_many(spelled, len(ids)).tolist() == rows
