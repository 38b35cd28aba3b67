"""Databases of events: what is added is there, once, in order, and what is deleted is not."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recsys.errors import EventsError, EventsFullError
from recsys.events import Event, EventSettings, drop_held, key_of, open_events, take, through_of
from recsys.events.event import EventDatabase

ODD = "🦄 a/b%2F\x00'\" " + "x" * 300


def event(user: str, item: str, **rest: object) -> Event:
    return Event(user, item, 1_700_000_000_000_000, **rest)  # type: ignore[arg-type]


@pytest.fixture
def database(tmp_path: Path) -> EventDatabase:
    return open_events(tmp_path, EventSettings(max_events=100))


def test_what_is_added_is_there_once(database: EventDatabase) -> None:
    first = event("u1", "i1", event="view", value=2.0, event_id="a")
    added = database.add([first, event(ODD, ODD), first])
    assert (added.last, added.is_new, added.others) == (2, [True, True, False], [])
    again = database.add([first._replace(time=5), first._replace(item_id="i2"), event("u1", "i3")])
    assert (again.is_new, again.others) == ([False, False, True], [1])
    assert [one[1:3] for one in database.of_user("u1").kept] == [("u1", "i1"), ("u1", "i3")]
    assert database.of_user(ODD).kept[0][1:] == (ODD, ODD, 1_700_000_000_000_000, None, None)
    assert [one.item_id for one in database.changes(1).kept] == [ODD, "i3"]
    assert (database.last(), database.n_events()) == (again.last, 3)


def test_what_is_deleted_is_gone_and_its_number_counts(database: EventDatabase) -> None:
    database.add([event("u1", "i1"), event("u2", "i1"), event("u1", "i2")])
    assert database.delete_user("u1") == 2
    database.add([event("u1", "i3")])
    changes = database.changes(0)
    assert [one.item_id for one in changes.kept] == ["i1", "i3"]
    assert changes.deleted == {key_of("u1"): 4}
    assert (changes.last, database.n_events()) == (5, 2)


def test_it_is_bounded(tmp_path: Path) -> None:
    small = open_events(tmp_path, EventSettings(max_events=2))
    small.add([event("u", "i")])
    with pytest.raises(EventsFullError, match="at most 2 events"):
        small.add([event("u", "i"), event("u", "i")])
    assert small.n_events() == 1


def test_a_file_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    database = open_events(tmp_path, EventSettings())
    (tmp_path / "events" / "live.sqlite").rename(tmp_path / "moved")
    with pytest.raises(EventsError):
        database.add([event("u", "i")])
    assert not (tmp_path / "events" / "live.sqlite").exists()


def test_a_night_takes_each_event_once(tmp_path: Path, database: EventDatabase) -> None:
    database.add([event("u1", "i1"), event("u2", "i1")])
    first = take(tmp_path, database)
    assert through_of({"live": first.through}, database.identity) == 2
    assert take(tmp_path, database).files == first.files  # nothing new, no new file
    database.add([event("u1", "i2"), event(ODD, "i2")])
    second = take(tmp_path, database)
    rows = [row for path in second.files for row in pq.read_table(path).to_pylist()]
    assert [(row["number"], row["user_id"]) for row in rows] == [
        *((1, "u1"), (2, "u2"), (3, "u1"), (4, ODD)),
    ]
    assert drop_held(database, [{"live_trained": one.through} for one in (second, first)]) == 2
    assert database.n_events() == 2


def test_a_night_deletes_what_was_deleted_from_its_files(
    tmp_path: Path, database: EventDatabase
) -> None:
    database.add([event("u1", "i1"), event("u2", "i1")])
    take(tmp_path, database)
    database.delete_user("u1")
    database.add([event("u1", "i9")])
    taken = take(tmp_path, database)
    users = [row for path in taken.files for row in pq.read_table(path)["item_id"].to_pylist()]
    assert (users, list(taken.deleted)) == (["i1", "i9"], [key_of("u1")])
