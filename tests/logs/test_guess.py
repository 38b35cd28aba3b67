"""What the columns of a log are taken for: by their names, or by their values without names."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from recsys.logs import guess_folder, guess_items, guess_log, read_items, read_log, titles_of
from recsys.settings import LogSettings

ROWS = 60
USERS = [f"u{n % 20}" for n in range(ROWS)]
ITEMS = [f"i{n % 17}" for n in range(ROWS)]
STARS = [1 + n % 5 for n in range(ROWS)]
SECONDS = [1_260_759_144 + 1000 * n for n in range(ROWS)]
TYPES = [["view", "cart", "purchase", "remove_from_cart"][n % 4] for n in range(ROWS)]


def columns_of(names: str) -> dict[str, str]:
    return dict(zip(("user_id", "item_id", "value", "timestamp"), names.split(), strict=False))


@pytest.mark.parametrize(
    "names",
    [
        "userId movieId rating timestamp",  # MovieLens
        "reviewerID asin overall unixReviewTime",  # Amazon, 2014
        "user_id:token item_id:token rating:float timestamp:float",  # RecBole
        "person_id content_id stars created_at",
        "CUSTOMER_ID PRODUCT_ID rating order_date",
        "user_id business_id stars date",  # Yelp
        "uid iid score ts",
        "taster_name title stars rated_on",
    ],
)
def test_ratings_by_the_names_that_others_use(names: str) -> None:
    theirs = names.split()
    table = pd.DataFrame(dict(zip(theirs, (USERS, ITEMS, STARS, SECONDS), strict=True)))
    guess = guess_log(table)
    expected = {ours: name for ours, name in columns_of(names).items() if ours != name}
    assert guess.table["columns"] == expected
    log = read_log(table, guess.settings)
    assert log.timestamp is not None
    assert set(log.weight) == {1, 2, 3, 4, 5}
    (liked,) = guess.proposals
    assert liked.table["min_value"] == 4
    assert "4 and more as likes (40% of the rows)" in liked.sentence


@pytest.mark.parametrize(
    ("first", "rows", "expected"),
    [
        ("", list(zip(USERS, ITEMS, STARS, SECONDS, strict=True)), "1 2 3 4"),
        (
            "",  # Amazon, 2018: the item comes first
            [(f"B{i:0>9}", f"A{u:0>13}", s, t)
             for i, u, s, t in zip(range(ROWS), range(ROWS), STARS, SECONDS, strict=True)],
            "2 1 3 4",
        ),
        ("", [(u, "2009-12-05T08:00:00Z", 30.1 + n, -97.7, i)
              for n, (u, i) in enumerate(zip(USERS, ITEMS, strict=True))], "1 5 - 2"),
        ("user_id,item_id\n", list(zip(USERS, ITEMS, strict=True)), ""),
    ],
    ids=["u.data", "amazon 2018", "gowalla", "ours"],
)  # fmt: skip
def test_a_file_without_a_header(
    first: str, rows: list[tuple[Any, ...]], expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.csv"
    path.write_text(first + "".join(f"{','.join(map(str, row))}\n" for row in rows))
    guess = guess_log(path)
    found = guess.table.get("columns", {})
    assert found == {ours: name for ours, name in columns_of(expected).items() if name != "-"}
    assert len(read_log(path, guess.settings)) == ROWS  # the first row is one


def test_types_of_events_that_undo_one_are_left_out(tmp_path: Path) -> None:
    table = pa.table({"visitorid": USERS, "itemid": ITEMS, "event_type": TYPES})
    guess = guess_log(table)
    assert guess.table["events"] == {"*": 1.0, "remove_from_cart": 0.0}
    log = read_log(table, guess.settings)
    assert log.row_counts.left_out == {"event excluded: remove_from_cart": 15}
    assert log.row_counts.events == {"cart": 15, "purchase": 15, "view": 15}
    (by_type,) = guess.proposals
    weighed = read_log(table, LogSettings(**{**guess.table, "events": by_type.table["events"]}))
    assert set(weighed.weight) == {1, 4, 6}


@pytest.mark.parametrize(
    ("values", "is_taken", "min_value"),
    [
        ([n % 11 for n in range(ROWS)], False, None),  # 0 is no rating, as in Book-Crossing
        ([1 if n % 3 else -1 for n in range(ROWS)], True, 1.0),  # likes and dislikes
        ([n % 21 - 10 for n in range(ROWS)], True, 1.0),  # Jester
        ([0.5 + n % 10 / 2 for n in range(ROWS)], True, None),
    ],
)
def test_ratings_that_are_no_weights(
    values: list[float], is_taken: bool, min_value: float | None
) -> None:
    guess = guess_log(pa.table({"user_id": USERS, "item_id": ITEMS, "rating": values}))
    assert ("value" in guess.table.get("columns", {})) == is_taken
    assert guess.table.get("min_value") == min_value


@pytest.mark.parametrize(
    ("times", "key", "expected"),
    [
        ([second * 1000 for second in SECONDS], "timestamp_unit", "ms"),
        ([20141101 + n % 28 for n in range(ROWS)], "timestamp_unit", "date"),
        (["13/1/2010 8:26", *["1/2/2010 9:00"] * (ROWS - 1)], "timestamp_format", "%d/%m/%Y %H:%M"),
        (["12/31/2010"] * ROWS, "timestamp_format", "%m/%d/%Y"),
    ],
)
def test_times_are_read_as_they_are_written(times: list[Any], key: str, expected: str) -> None:
    table = pa.table({"user_id": USERS, "item_id": ITEMS, "time": times})
    guess = guess_log(table)
    assert guess.table == {"columns": {"timestamp": "time"}, key: expected}
    found = read_log(table, guess.settings).timestamp
    assert found is not None
    assert 1_260_000_000 < found.min() <= found.max() < 1_420_000_000


def test_rows_without_a_user_and_without_a_time(tmp_path: Path) -> None:
    users = [None if n % 4 == 0 else user for n, user in enumerate(USERS)]
    times = [None if n % 3 == 0 else second for n, second in enumerate(SECONDS)]
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"user_id": users, "item_id": ITEMS, "timestamp": times}), path)
    guess = guess_log(path)
    assert guess.table == {"columns": {"timestamp": ""}, "anonymous": "leave_out"}
    log = read_log(path, guess.settings)
    assert log.row_counts.left_out == {"empty user_id": 15}
    assert log.timestamp is None


def test_a_column_that_is_missing_is_named_as_others_call_it() -> None:
    table = pa.table({"sessionId": USERS, "personId": USERS, "movie": ITEMS})
    with pytest.raises(DataError, match=r"; 'personId' looks like it .*log\.columns\.user_id"):
        read_log(table)
    with pytest.raises(DataError, match="expected a column 'who', which every log needs"):
        read_log(table, columns={"user_id": "who"})


def test_what_is_known_is_not_guessed() -> None:
    table = pa.table({"userId": USERS, "household": USERS, "movieId": ITEMS, "rating": STARS})
    guess = guess_log(table, LogSettings(columns={"user_id": "household"}, min_value=3.0))
    assert guess.table["columns"] == {
        "user_id": "household", "item_id": "movieId", "value": "rating"
    }  # fmt: skip
    assert guess.proposals == ()


def test_a_table_that_is_no_log_is_left_to_the_reader(tmp_path: Path) -> None:
    guess = guess_log(pa.table({"x": [1], "y": [2]}))
    assert guess.table == {}
    assert [one[:38] for one in guess.sentences] == [
        "no column is known to be the user: log", "no column is known to be the item: log"
    ]  # fmt: skip
    named = LogSettings(columns={"user_id": "nobody", "event": "none"})
    assert guess_log(pa.table({"userId": [1], "sku": [2], "": [3]}), named).table == {}
    with pytest.raises(DataError, match="no such file"):
        guess_log(tmp_path / "none.csv")
    (tmp_path / "lists.txt").write_text("0 1 2 3\n1 4\n2 5 6\n")  # a user and the items
    assert guess_log(tmp_path / "lists.txt").table == {}


def test_the_id_and_the_title_of_a_table_of_items(tmp_path: Path) -> None:
    path = tmp_path / "movies.csv"
    path.write_text("index,movieId,name,genres\n0,7,Heat,Crime\n1,9,Alien,Horror\n")
    found = guess_items(path, item_column="movieId")
    assert found.settings.columns == {
        "item_id": "movieId", "title": "name", "index": "index", "genres": "genres"
    }  # fmt: skip
    path = tmp_path / "movies.dat"
    path.write_text("7::Heat (1995)::Crime\n9::Alien (1979)::Horror\n")
    found = guess_items(path)
    assert found.settings.columns == {"item_id": "1", "title": "2", "column_3": "3"}


def test_a_table_of_items_between_colons_may_hold_bars(tmp_path: Path) -> None:
    path = tmp_path / "movies.dat"  # MovieLens, in cp1252
    rows = [f"{n}::Cit\xe9 {n}, 8\xbd (1995)::Drama{'|War' * (n % 3)}\n" for n in range(9)]
    path.write_bytes("".join(rows).encode("cp1252"))
    with pytest.warns(RuntimeWarning, match="read as cp1252"):
        found = read_items(path, guess_items(path).settings)
    assert found["title"][3].as_py() == "Cit\xe9 3, 8\xbd (1995)"
    assert found["column_3"][2].as_py() == "Drama|War|War"


def test_files_of_recbole_are_text(tmp_path: Path) -> None:
    path = tmp_path / "ml.inter"
    path.write_text("user_id:token\titem_id:token\n1\t2\n")
    guess = guess_log(path)
    assert guess.table["columns"] == {"user_id": "user_id:token", "item_id": "item_id:token"}
    assert len(read_log(path, guess.settings)) == 1


def test_a_log_may_have_the_titles_of_its_items(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    table = pa.table(
        {"user": USERS, "sku": ITEMS, "name": USERS, "description": [f"the {i}" for i in ITEMS]}
    )
    pq.write_table(table, path)
    settings = guess_log(path).settings
    found = titles_of(path, settings)
    assert found is not None  # the name is that of the user
    assert found.columns == {"item_id": "sku", "title": "description"}
    assert titles_of(tmp_path / "none.csv", settings) is None


def test_a_folder_of_files_of_several_kinds_holds_one_log(tmp_path: Path) -> None:
    table = pa.table({"userId": USERS, "movieId": ITEMS, "rating": STARS})
    pq.write_table(table, tmp_path / "a.parquet")
    assert guess_folder(tmp_path) is None  # one log, of one file or of many
    pq.write_table(table, tmp_path / "b.parquet")
    assert guess_folder(tmp_path) is None
    (tmp_path / "b.parquet").unlink()
    (tmp_path / "movies.csv").write_text("movieId,title\ni1,Heat\ni2,Alien\n")
    (tmp_path / "README.txt").write_text("Summary\n=======\n")
    found = guess_folder(tmp_path)
    assert found is not None
    assert found.log == tmp_path / "a.parquet"
    assert found.items == tmp_path / "movies.csv"
    assert found.sentence == "a.parquet is the log, movies.csv has its items; not read: README.txt"


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl", "parquet"])
def test_rows_from_all_over_a_log_are_looked_at(suffix: str, tmp_path: Path) -> None:
    n = 12_000
    table = pd.DataFrame({"visitorid": range(n), "itemid": range(n), "event": "view"})
    table.loc[11_000:, "event"] = "refund"
    path = tmp_path / f"log.{suffix}"
    if suffix == "parquet":
        table.to_parquet(path)
    elif suffix == "jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, index=False)
    assert guess_log(path).table["events"] == {"*": 1.0, "refund": 0.0}


def test_all_files_of_a_folder_are_looked_at(tmp_path: Path) -> None:
    for name, event in (("a", "view"), ("b", "view"), ("c", "refund")):
        rows = [f"{user},{item},{event}\n" for user, item in zip(USERS, ITEMS, strict=True)]
        (tmp_path / f"{name}.csv").write_text("".join(["user,sku,event\n", *rows]))
    assert guess_log(tmp_path).table["events"] == {"*": 1.0, "refund": 0.0}
    tables = [pd.read_csv(tmp_path / f"{name}.csv") for name in "ac"]
    assert guess_log(tables).table["events"] == {"*": 1.0, "refund": 0.0}


def test_an_id_is_rather_the_item_than_its_name() -> None:
    names = {"pid": USERS, "track_uri": ITEMS, "track_name": USERS}
    assert guess_log(pa.table(names)).table["columns"]["item_id"] == "track_uri"
    names = {"user": USERS, "song_hash": ITEMS, "song_name": USERS}
    assert guess_log(pa.table(names)).table["columns"]["item_id"] == "song_hash"


def test_what_else_a_file_without_names_may_mean(tmp_path: Path) -> None:
    path = tmp_path / "plays.tsv"  # a 60th of the rows has no item
    items = ["", *(f"{item}f00-ba5e" for item in ITEMS[1:])]
    rows = zip(USERS, items, ITEMS, range(1000, 1000 + 7 * ROWS, 7), strict=True)
    path.write_text("".join(f"{u}\t{i}\tthe {name}\t{n}\n" for u, i, name, n in rows))
    guess = guess_log(path)
    assert guess.table["columns"] == {"user_id": "1", "item_id": "2"}
    assert guess.table["max_rejected_share"] == 0.04
    assert "not used: column 3 (the i0), column 4 (1000)" in guess.sentences
    swapped, by_value = guess.proposals
    assert swapped.table["columns"] == {"user_id": "2", "item_id": "1"}
    assert by_value.table["columns"] == {"value": "4"}
    titles = titles_of(path, guess.settings)
    assert titles is not None
    assert titles.columns == {"item_id": "2", "title": "3"}
    known = guess_log(path, item_ids=[f"u{n}" for n in range(20)])
    assert known.table["columns"] == {"user_id": "2", "item_id": "1"}


def test_numbers_of_rows_are_no_users_and_lists_no_items(tmp_path: Path) -> None:
    path = tmp_path / "behaviors.tsv"
    path.write_text("".join(f"{n}\t{user}\ti{n % 7}\n" for n, user in enumerate(USERS)))
    assert guess_log(path).table["columns"] == {"user_id": "2", "item_id": "3"}
    path.write_text("".join(f"{n}\t{user}\tN{n} N7\n" for n, user in enumerate(USERS)))
    with pytest.raises(DataError, match=r"'3' holds several items in a cell.*df\.explode"):
        guess_log(path)
    lists = pa.table({"user": USERS, "item": [[item] for item in ITEMS]})
    with pytest.raises(DataError, match="several items in a cell"):
        guess_log(lists)


def test_times_of_another_name_are_read_and_what_is_not_used_is_named() -> None:
    stamps = [1000 * second for second in SECONDS]
    guess = guess_log(pa.table({"user": USERS, "sku": ITEMS, "stamp": stamps, "tx": STARS}))
    assert guess.table["columns"]["timestamp"] == "stamp"
    assert guess.table["timestamp_unit"] == "ms"
    assert guess.sentences == (
        "user is the user, sku is the item, stamp is the time",
        "not used: tx",
    )


def test_an_event_that_is_named_is_weighed_and_dislikes_are_left_out() -> None:
    table = pa.table({"user_id": USERS, "item_id": ITEMS, "kind": TYPES})
    named = LogSettings(columns={"event": "kind"}, events={"*": 1.0})  # as --event kind asks
    guess = guess_log(table, named)
    assert guess.table["events"] == {"*": 1.0, "remove_from_cart": 0.0}
    assert len(guess.proposals) == 1
    liked = [n % 3 > 0 for n in range(ROWS)]
    for values in (liked, [str(one) for one in liked], [int(one) for one in liked]):
        table = pa.table({"user_id": USERS, "item_id": ITEMS, "is_recommended": values})
        guess = guess_log(table)
        assert read_log(table, guess.settings).row_counts.n_used == 40
        assert guess.sentences[1].startswith("rows with is_recommended ")


def test_files_of_several_kinds_are_to_be_joined(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("order_id,product_id,reordered\n7,i1,0\n7,i2,1\n")
    (tmp_path / "orders.csv").write_text("order_id,user_id,eval_set\n7,u1,prior\n")
    with pytest.raises(DataError, match=r"name the one that is the log.*on='order_id'"):
        guess_log([tmp_path / "products.csv", tmp_path / "orders.csv"])


def test_numbers_with_a_decimal_comma(tmp_path: Path) -> None:
    path = tmp_path / "bestellungen.csv"
    path.write_text("Kunde;Artikel;Menge\n" + "".join(f"u{n};i{n};{n},50\n" for n in range(9)))
    guess = guess_log(path)
    assert guess.table["decimal"] == ","
    assert read_log(path, guess.settings).weight.max() == 8.5
    path = tmp_path / "artikel.csv"
    path.write_text("Artikel;Bezeichnung;Preis\ni1;Hut;20,99\ni2;Rad;7\n")
    found = guess_items(path, item_column="Artikelnummer")
    assert found.settings.columns["title"] == "Bezeichnung"
    assert read_items(path, found.settings)["Preis"].to_pylist() == [20.99, 7]
