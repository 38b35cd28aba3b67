"""Databases of events: what is added is there, once, in order, and what is deleted is not."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Thread
from threading import Event as ThreadEvent

import pyarrow.parquet as pq
import pytest

from recsys.errors import EventsError, EventsFullError
from recsys.events import (
    Event,
    EventSettings,
    archive,
    drop_held,
    key_of,
    open_events,
    take,
    through_of,
)
from recsys.events.event import EventDatabase
from recsys.events.sqlite import SqliteEvents
from tests.events.servers import Server, postgres

Opened = Callable[..., EventDatabase]

ODD = "🦄 a/b%2F\x00'\" " + "x" * 300


def event(user: str, item: str, **rest: object) -> Event:
    return Event(user, item, 1_700_000_000_000_000, **rest)  # type: ignore[arg-type]


def test_what_is_added_is_there_once(database: EventDatabase) -> None:
    first = event("u1", "i1", event="view", value=2.0, event_id="a")
    added = database.add([first, event(ODD, ODD), first])
    assert (added.is_new, added.others) == ([True, True, False], [])
    assert added.last == database.last()
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


def test_it_is_bounded(opened: Opened) -> None:
    small = opened(2)
    small.add([event("u", "i")])
    with pytest.raises(EventsFullError, match="at most 2 events"):
        small.add([event("u", "i"), event("u", "i")])
    assert small.n_events() == 1


def test_numbers_are_visible_in_their_order(opened: Opened) -> None:
    """Who reads up to a number has all up to it, however many add at once."""
    n_threads, n_rounds, ended = 4, 15, ThreadEvent()
    seen: list[list[int]] = []

    def add(name: int) -> None:
        database = opened(10_000)
        for n in range(n_rounds):
            database.add([event(f"u{name}", f"i{n}", event_id=f"{name}-{n}-{m}") for m in "ab"])

    def read() -> None:
        database, after, found = opened(10_000), 0, []
        while True:
            is_last = ended.is_set()
            changes = database.changes(after)
            found += [one.number for one in changes.kept]
            after = changes.last
            if is_last:
                seen.append(found)
                return

    reader = Thread(target=read)
    reader.start()
    adders = [Thread(target=add, args=(name,)) for name in range(n_threads)]
    for one in adders:
        one.start()
    for one in adders:
        one.join()
    ended.set()
    reader.join()
    assert len(seen[0]) == n_threads * n_rounds * 2
    assert seen[0] == sorted(set(seen[0]))


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    """The workers of a service do: a file that becomes one of a write-ahead log is locked then."""
    n_threads, together = 6, Barrier(6)

    def open_one(path: Path) -> None:
        together.wait()
        SqliteEvents(path, 100).close()

    with ThreadPoolExecutor(n_threads) as pool:
        for number in range(60):
            path = tmp_path / str(number) / "events.sqlite"
            list(pool.map(open_one, [path] * n_threads))  # raises what one of them does


def test_what_another_adds_is_recent(opened: Opened) -> None:
    one, other = opened(), opened()
    before = one.last()
    one.add([event("u1", "i1")])
    other.recent.refresh(before)
    assert other.recent.newest("u1") == one.last()
    other.delete_user("u2")
    one.recent.refresh(before)
    assert (one.recent.newest("u2"), one.recent.newest("u3")) == (other.last(), 0)
    assert one.recent.newest("\ud800") == 0
    late = opened()  # opened when all of it is there, for a version that holds none of it
    late.recent.refresh(0)
    assert late.recent.newest("u1") > 0


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
    held = [{"live_trained": one.through} for one in (second, first)]
    assert drop_held(database, held, held[0], 100) == 2
    assert drop_held(database, held, held[0], 4) == 0  # half full
    assert drop_held(database, held, held[0], 3) == 2
    assert database.n_events() == 0


def test_a_database_from_a_backup_goes_on_after_the_files(tmp_path: Path, opened: Opened) -> None:
    database = opened()
    database.add([event("u1", "i1")])
    (file,) = take(tmp_path, database).files
    file.rename(file.with_name(file.name.replace("001.parquet", "007.parquet")))  # 2 to 7 are lost
    database = opened()
    assert database.add([event("u1", "i2")]).last == 8
    taken = take(tmp_path, database)
    items = [one for path in taken.files for one in pq.read_table(path)["item_id"].to_pylist()]
    assert (items, taken.through) == (["i1", "i2"], {database.identity: 8})


def test_a_clock_that_jumps_keeps_and_rejects_nothing(
    tmp_path: Path, database: EventDatabase
) -> None:
    ahead = event("u1", "i1")._replace(time=4_000_000_000_000_000)  # of a clock that is right again
    database.add([ahead, event("u2", "i1")])
    (file,) = take(tmp_path, database).files
    first, second = pq.read_table(file)["timestamp"].to_pylist()
    assert first <= datetime.now(UTC)
    assert second == datetime.fromtimestamp(1_700_000_000, UTC)
    late = 5_000_000_000_000_000  # of a version, while the clock is set back
    for user, not_before in (("u1", late), ("u2", 0)):
        database.delete_user(user, not_before)
    deleted = take(tmp_path, database).deleted
    assert deleted[key_of("u1")] == late
    assert deleted[key_of("u2")] < late


def test_a_refresh_makes_room_in_the_end(database: EventDatabase) -> None:
    database.add([event("u1", "i1"), event("u2", "i1")])
    refreshed = {"live": {database.identity: 1}, "live_trained": {}}
    assert drop_held(database, [refreshed], refreshed, 3) == 0
    assert drop_held(database, [refreshed], refreshed, 2) == 1


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


def test_a_server_that_is_gone_is_found_again(server: Server, tmp_path: Path) -> None:
    with postgres() as own:
        database = open_events(tmp_path, EventSettings(database=own.address))
        database.add([event("u", "i")])
        own.stop()
        with pytest.raises(EventsError, match="expected a database of PostgreSQL"):
            database.add([event("u", "i")])
        with pytest.raises(EventsError):
            database.last()
        own.start()
        assert database.add([event("u", "i")]).last == 2
        assert database.n_events() == 2
        database.close()


def test_many_small_files_become_one(
    tmp_path: Path, database: EventDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_MOST_FILES", 3)
    for n in range(3):
        database.add([event("u", f"i{n}")])
        files = take(tmp_path, database).files
    (joined,) = files
    assert pq.read_table(joined)["item_id"].to_pylist() == ["i0", "i1", "i2"]
    identity = database.identity
    pq.write_table(pq.read_table(joined), joined.with_name(f"{identity}-{1:012}-{2:012}.parquet"))
    assert take(tmp_path, database).files == [joined]  # what a crash left counts once
