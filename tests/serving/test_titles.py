"""Items by their titles: a search by words, and a whole title in place of an id."""

import pickle
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError, UnknownItemError
from recsys.serving import Recommender
from recsys.serving import open as open_store
from recsys.serving.plain_titles import PlainTitle, words_of
from recsys.store import publish
from recsys.store.title_column import title_column
from tests.store.releases import small_release

TITLES = [
    *("Matrix, The (1999)", "The Matrix Reloaded", "Hamlet (1990)", "Hamlet (1996)", "Sigur Rós"),
    *(
        "Death Note",
        "Death Note: Rewrite",
        "Notebook, The",
        "鋼の錬金術師",
        "1984",
        None,
        "!!!",
        "i3",
    ),
    *("Schindler's List", "Straße nach Øresund", "Notes on a Death"),
]


def opened(folder: Path, **changes: Any) -> Recommender:
    publish(folder, small_release(**changes))
    return open_store(folder)


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    ids = [f"i{row}" for row in range(len(TITLES))]
    table = pa.table({"item_id": ids, "title": TITLES, "price": [float(row) for row in range(16)]})
    return opened(tmp_path_factory.mktemp("store"), n_items=len(TITLES), attributes=table)


def found(recommender: Recommender, text: str | int, **options: Any) -> list[str | None]:
    return [TITLES[int(str(one)[1:])] for one, _ in recommender.find(text, 20, **options)]


@pytest.mark.parametrize(
    ("text", "first", "others"),
    [
        ("death note", "Death Note", {"Death Note: Rewrite", "Notes on a Death"}),
        ("NOTE  death", None, {"Death Note", "Death Note: Rewrite", "Notes on a Death"}),
        ("the matrix", "Matrix, The (1999)", {"The Matrix Reloaded"}),
        ("matrix 1999", "Matrix, The (1999)", set()),
        ("hamlet", None, {"Hamlet (1990)", "Hamlet (1996)"}),
        ("hamlet (1996)", "Hamlet (1996)", set()),
        ("sigur ros", "Sigur Rós", set()),
        ("SIGUR RÓS", "Sigur Rós", set()),
        ("schindlers list", "Schindler's List", set()),
        ("strasse", "Straße nach Øresund", set()),
        ("oresund", "Straße nach Øresund", set()),
        ("錬金", "鋼の錬金術師", set()),
        ("1984", "1984", set()),
        ("tebook", None, set()),  # the end of a word is no beginning
        ("i3", "Hamlet (1996)", {"i3"}),  # an id wins over a title
        ("??", None, set()),
    ],
)
def test_find_knows_titles_as_people_write_them(
    recommender: Recommender, text: str, first: str | None, others: set[str]
) -> None:
    listed = found(recommender, text)
    if first is not None:
        assert listed.pop(0) == first
    assert set(listed) == others
    assert len(listed) == len(others)


def test_what_is_found_has_its_users_and_the_most_popular_first(recommender: Recommender) -> None:
    everything = recommender.find(k=100)
    assert everything.source == "title"
    assert len(everything) == len(TITLES)
    users = [score for _, score in everything]
    assert users == sorted(users, reverse=True)
    notes = recommender.find("note")
    by_users = dict(everything)
    assert all(by_users[item_id] == score for item_id, score in notes)
    words = {item_id: words_of(recommender.describe(item_id)["title"]) for item_id, _ in notes}
    ranks = [("note" in words[item_id], score) for item_id, score in notes]
    assert ranks == sorted(ranks, reverse=True)  # whole words before their beginnings
    assert len(recommender.find("note", 1)) == 1
    assert recommender.find("note", 2).items == notes.items[:2]


def test_find_under_a_condition(recommender: Recommender) -> None:
    assert found(recommender, "hamlet", where="price < 3") == ["Hamlet (1990)"]
    assert len(recommender.find(k=100, where="price < 3")) == 3


def test_a_title_is_taken_where_an_id_is(recommender: Recommender) -> None:
    assert recommender.similar_items("death note", 5) == recommender.similar_items("i5", 5)
    assert recommender.describe("the matrix")["title"] == "Matrix, The (1999)"
    assert recommender.describe("a notebook")["title"] == "Notebook, The"
    assert recommender.describe("matrix")["title"] == "Matrix, The (1999)"
    assert recommender.describe("Hamlet (1996)")["title"] == "Hamlet (1996)"
    assert recommender.explain("u1", "Sigur Ros") == recommender.explain("u1", "i4")
    assert recommender.closest_seen("u1", "1984") == recommender.closest_seen("u1", "i9")
    history = ["death note", "no such title", "i9"]
    assert recommender.recommend_for_history(history) == recommender.recommend_for_history(
        ["i5", "i9"]
    )
    asked = {"include_seen": True, "candidates": ["1984", "i4"], "exclude": ["sigur ros"]}
    assert [one for one, _ in recommender.recommend("u1", **asked)] == ["i9"]
    both = recommender.recommend_many(["new", "u1"], 3, histories=[["Death Note"], None])
    assert both[0] == recommender.recommend_for_history(["i5"], 3)
    assert recommender.item_vectors.nearest("1984") == recommender.item_vectors.nearest("i9")


def test_many_titles_are_taken_where_ids_are(recommender: Recommender) -> None:
    asked = ["i1", "the matrix", "nobody", "DEATH NOTE", "1984", "!!!", "x" * 300, "i3", 7]
    ids = recommender.item_vectors.ids
    expected = [-1 if (row := ids.find(one)) is None else row for one in asked]
    assert expected == [1, 0, -1, 5, 9, -1, -1, 3, -1]
    assert ids.rows(asked).tolist() == expected
    assert ids.rows(asked * 9).tolist() == expected * 9
    with pytest.raises(DataError, match="'hamlet': expected an id, or a title that one item has"):
        ids.rows([*asked * 9, "hamlet"])


def test_an_id_always_wins(recommender: Recommender) -> None:
    assert recommender.describe("i3")["title"] == "Hamlet (1996)"  # not the item with title i3


def test_a_title_of_several_items_is_an_error_that_lists_them(recommender: Recommender) -> None:
    expected = (
        "item 'hamlet': expected an id, or a title that one item has, got that of 2 items: "
        "i2 (Hamlet (1990)), i3 (Hamlet (1996)); take the id of one"
    )
    for ask in (recommender.similar_items, recommender.describe):
        with pytest.raises(DataError, match=re.escape(expected)):
            ask("hamlet")
    with pytest.raises(DataError, match="of 2 items"):
        recommender.recommend("u1", exclude=["hamlet"])


@pytest.mark.parametrize("text", ["hamlet (1955)", "note", "", "!", "?", "x" * 10_000, "the"])
def test_what_is_no_whole_title_is_an_unknown_item(recommender: Recommender, text: str) -> None:
    with pytest.raises(UnknownItemError, match="not among the 16 items"):
        recommender.similar_items(text)


def test_numbers_are_ids_where_ids_are_numbers(tmp_path: Path) -> None:
    titles = [str(2 + row) for row in range(30)]
    table = pa.table({"item_id": range(30), "name": titles, "year": range(30)})
    recommender = opened(tmp_path, item_ids=range(30), attributes=table)
    assert recommender.describe("7")["name"] == "9"
    with pytest.raises(UnknownItemError):
        recommender.describe("31")  # a title, but it can only be meant as an id
    assert [one for one, _ in recommender.find("31")] == [29]
    assert [one for one, _ in recommender.find(7)] == [7, 5]
    assert recommender.find(k=1)[0].score >= 1


def test_without_titles_texts_of_ids_are_searched(tmp_path: Path) -> None:
    games = ["Dota 2", "Half-Life 2", "half life"]
    recommender = opened(tmp_path / "text", n_items=3, item_ids=games, titles=False)
    assert [one for one, _ in recommender.find("HALF LIFE 2")] == ["Half-Life 2"]
    assert recommender.find("half-life")[0].item_id == "half life"
    with pytest.raises(UnknownItemError):
        recommender.describe("dota 2")  # an id is spelled as the log has it
    recommender = opened(tmp_path / "number", item_ids=range(30), titles=False)
    with pytest.raises(DataError, match=r"find: expected a column of titles .*--items"):
        recommender.find("half life")
    assert len(recommender.find(k=7)) == 7


def test_what_cannot_be_looked_for(recommender: Recommender) -> None:
    with pytest.raises(DataError, match="find: expected at most 256 characters, got 10,000"):
        recommender.find("x" * 10_000)
    with pytest.raises(DataError, match="title: expected a string or an integer, got None"):
        recommender.find(None)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="k: expected at least 1"):
        recommender.find("x", 0)


def test_ids_that_know_titles_are_pickled_as_ids(recommender: Recommender) -> None:
    vectors = pickle.loads(pickle.dumps(recommender.item_vectors))  # noqa: S301 (made here)
    assert vectors.ids == recommender.item_vectors.ids
    with pytest.raises(UnknownItemError):
        vectors["death note"]


@given(st.text(max_size=300))
def test_any_text_can_be_looked_for(recommender: Recommender, text: str) -> None:
    title = PlainTitle.of(text)
    assert PlainTitle.of(title.words).words == title.words
    if len(text) <= 256:
        recommender.find(text)
    if recommender.item_vectors.ids.find("x" + text) is None:
        with pytest.raises(UnknownItemError):
            recommender.describe("x" + text)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (["item_id", "name", "Title"], "Title"),
        (["genre_name", "brand"], None),
        (["isbn", "Book-Title", "Book-Author"], "Book-Title"),
        (["original_title"], "original_title"),
        (["product_name", "description"], "product_name"),
        (["description", "color"], "description"),
        (["subtitle"], None),
        ([], None),
    ],
)
def test_the_column_of_titles(columns: list[str], expected: str | None) -> None:
    table = pa.table({name: ["a"] for name in columns} | {"title_number": [1]})
    assert title_column(table) == expected
    if expected is not None:
        assert title_column(pa.table({expected: [1]})) is None
