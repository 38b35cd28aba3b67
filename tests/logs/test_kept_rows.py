"""A night asks a database for what is new, and counts each row once, as the table has it."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recsys
from recsys.base.query_settings import QuerySettings
from recsys.errors import DataError
from recsys.logs import Fetched, take_new_rows
from recsys.logs.kept_rows import FOLDER
from recsys.nightly import run_night, run_refresh
from tests.events.servers import Server

NOW = 1_800_000_000
Night = Callable[..., list[tuple[Any, ...]]]


class Shop:
    """A table that changes, and a store that asks for its rows."""

    def __init__(self, folder: Path) -> None:
        self.store, self.path = folder / "store", folder / "shop.sqlite"
        self.run("CREATE TABLE log (id INTEGER, at, item)")
        self.sql = "SELECT id, at, item FROM log ORDER BY id"
        self.fetched: Fetched

    def run(self, statement: str, *rows: tuple[Any, ...]) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.executemany(statement, rows or [()])

    def add(self, *rows: tuple[Any, ...]) -> None:
        self.run("INSERT INTO log VALUES (?, ?, ?)", *rows)

    @property
    def table(self) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as connection:
            return sorted(connection.execute("SELECT * FROM log"))

    def settings(self, **changes: Any) -> QuerySettings:
        given: dict[str, Any] = {"watermark": "at", "overlap": 10.0, **changes}
        return QuerySettings(sql=self.sql, uri=f"sqlite:///{self.path}", **given)

    def night(self, **changes: Any) -> list[tuple[Any, ...]]:
        """Return what the store holds after a night."""
        self.fetched = take_new_rows(self.store, self.settings(**changes), NOW)
        return sorted(tuple(row.values()) for one in self.fetched.paths for row in rows_of(one))

    @property
    def names(self) -> set[str]:
        return {path.name for path in (self.store / FOLDER).iterdir()}


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_only_what_is_new_is_asked_for(shop: Shop) -> None:
    shop.add(*((n, n, "tea") for n in range(1000)))
    assert shop.night() == shop.table
    assert not shop.fetched.notes
    first, last = shop.fetched.paths
    assert [pq.read_metadata(one).num_rows for one in (first, last)] == [989, 11]
    before = shop.names
    assert shop.night() == shop.table  # nothing is new: the files are those that there were
    assert shop.names == before
    shop.add((2000, 1005, "cup"), (2001, 992, "late"))
    assert shop.night() == shop.table
    (note,) = shop.fetched.notes
    assert note.startswith("13 rows with at from 989 on were asked for and 989 kept")
    assert first in shop.fetched.paths
    assert last not in shop.fetched.paths
    shop.add((2002, 5, "too late"))
    assert len(shop.night()) == len(shop.table) - 1
    assert shop.night(full=True) == shop.table
    assert shop.night() == shop.table


def test_what_changes_within_the_overlap_is_as_it_is_now(shop: Shop) -> None:
    shop.add(*((n, n, "tea") for n in range(100)))
    shop.night()
    shop.run("UPDATE log SET item = 'cup' WHERE id = 95")
    shop.run("DELETE FROM log WHERE id IN (96, 99)")
    assert shop.night() == shop.table
    shop.run("DELETE FROM log WHERE id > 80")  # all that was asked for: the watermark stays
    assert shop.night() == [row for row in shop.table if row[0] <= 80] + [
        (n, n, "tea") for n in range(81, 89)
    ]
    shop.add((200, 200, "new"))
    assert (200, 200, "new") in shop.night()


def test_a_row_that_comes_again_counts_once_by_its_key(shop: Shop) -> None:
    shop.add(*((n, n, "tea") for n in range(100)))
    shop.night(row_key="id")
    shop.run("UPDATE log SET item = 'cup', at = 150 WHERE id = 3")
    assert shop.night(row_key="id") == shop.table
    shop.run("UPDATE log SET at = 300")
    assert shop.night(row_key="id") == shop.table
    shop.run("UPDATE log SET at = 400 WHERE id = 5")
    assert len(shop.night()) == 100  # another question: all is asked for
    shop.run("UPDATE log SET at = 500 WHERE id = 6")
    assert len(shop.night()) == 101  # without a key, as the page says


def test_rows_without_a_watermark_are_asked_for_each_time(shop: Shop) -> None:
    shop.add((1, None, "a"), (2, None, "b"))
    assert shop.night() == [(1, None, "a"), (2, None, "b")]
    shop.add((3, 500, "c"), (4, 100, "d"))
    assert shop.night() == [(1, None, "a"), (2, None, "b"), (3, 500, "c"), (4, 100, "d")]
    shop.run("DELETE FROM log WHERE id = 1")
    shop.add((5, None, "e"))
    assert shop.night() == [(2, None, "b"), (3, 500, "c"), (4, 100, "d"), (5, None, "e")]


def test_another_overlap_holds_at_once(shop: Shop) -> None:
    shop.add(*((n, n, "tea") for n in range(100)))
    shop.night()
    shop.add((200, 60, "late"))
    assert len(shop.night()) == 100
    assert shop.night(overlap=50.0) == shop.table
    assert shop.night(overlap=0.0) == shop.table


def test_another_column_or_query_is_asked_for_whole(shop: Shop) -> None:
    shop.add(*((n, n, n) for n in range(100)))
    shop.night()
    shop.add((200, 101, 2.5))  # integers become floats
    shop.run("UPDATE log SET item = 7 WHERE id = 1")
    assert shop.night() == shop.table
    shop.add((201, 102, None), (202, 103, 9))  # which fit into what there is
    assert len(shop.night()) == 103
    assert len(shop.fetched.notes) == 1
    shop.sql = "SELECT id, at, item FROM log WHERE id < 50"
    assert len(shop.night()) == 50


def test_without_a_watermark_all_is_asked_for(shop: Shop) -> None:
    shop.add((1, 1, "a"), (2, 2, "b"))
    assert len(shop.night(watermark=None)) == 2
    before = shop.names
    assert len(shop.night(watermark=None)) == 2
    assert shop.names == before
    shop.run("DELETE FROM log WHERE id = 1")
    assert shop.night(watermark=None) == [(2, 2, "b")]
    shop.run("DELETE FROM log")
    with pytest.raises(DataError, match="log.sql returns none"):
        shop.night(watermark=None)
    assert json.loads((shop.store / FOLDER / "state.json").read_text())["files"]


def test_what_is_damaged_is_asked_for_again(shop: Shop) -> None:
    shop.add(*((n, n, "tea") for n in range(100)))
    shop.night()
    for damage in (
        lambda folder: (folder / "state.json").write_text("{"),
        lambda folder: shop.fetched.paths[0].write_bytes(b"PAR1"),
        lambda folder: shop.fetched.paths[0].unlink(),
    ):
        damage(shop.store / FOLDER)
        shop.add((len(shop.table), 5, "late"))
        assert shop.night() == shop.table
    (shop.store / FOLDER / "999999.parquet").write_bytes(b"of a start that was killed")
    assert shop.night() == shop.table
    assert "999999.parquet" not in shop.names


@pytest.mark.parametrize("step", ["replace_text", "replaced", "sync", "download"])
def test_a_night_that_is_killed_loses_nothing(
    shop: Shop, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.add(*((n, n, "tea") for n in range(100)))
    shop.night()
    shop.add(*((n, n, "tea") for n in range(100, 140)))

    def killed(*_: Any, **__: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(f"recsys.logs.kept_rows.{step}", killed)
        with pytest.raises(SystemExit):
            shop.night(overlap=200.0 if step == "sync" else 10.0)
    assert shop.night() == shop.table


def test_the_files_of_many_refreshes_are_joined(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.logs.kept_rows._MOST_FILES", 6)
    monkeypatch.setattr("recsys.logs.kept_rows._JOINED", 4)
    for n in range(20):
        shop.add((n, 100 * n, "tea"))
        shop.night()
        assert len(shop.fetched.paths) <= 8
    assert shop.night() == shop.table


@settings(max_examples=30)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(-9, 12), st.booleans()), max_size=6), min_size=1, max_size=8
    )
)
def test_each_row_counts_once(
    tmp_path_factory: pytest.TempPathFactory, nights: list[list[tuple[int, bool]]]
) -> None:
    """Rows come up to nine behind the newest, and some without a watermark."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.add((-1, 0, "first"))
    newest, number = 0, 0
    for rows in nights:
        start = newest
        for ahead, has_watermark in rows:
            shop.add((number, start + ahead if has_watermark else None, "tea"))
            number += 1
            newest = max(newest, start + ahead if has_watermark else newest)
        assert set(shop.night()) == set(shop.table)
        assert sum(pq.read_metadata(one).num_rows for one in shop.fetched.paths) == number + 1


@pytest.mark.parametrize(
    ("watermark", "words"), [("nope", "it has id, at, item"), ("item", "expected a time or an int")]
)
def test_a_watermark_that_is_none(shop: Shop, watermark: str, words: str) -> None:
    shop.add((1, 1, "a"))
    with pytest.raises(DataError, match=words):
        shop.night(watermark=watermark)
    with pytest.raises(DataError, match="log.row_key"):
        shop.night(row_key="key")


@pytest.fixture
def views(server: Server) -> Iterator[Any]:
    """A table of a server, with times of all types."""
    import psycopg

    with psycopg.connect(server.address, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute(
            "CREATE TABLE views AS SELECT g AS id, g % 40 AS user_id, g % 31 AS item_id, at, "
            "at AT TIME ZONE 'UTC' AS local, at::date AS day, repeat('x', 200) AS filler FROM ("
            "SELECT g, to_timestamp(1790000000 + 60 * g) AS at FROM generate_series(1, 90000) g"
            ") AS found"
        )
        yield connection


@pytest.mark.parametrize("watermark", ["id", "at", "local", "day"])
def test_watermarks_of_a_server(server: Server, views: Any, tmp_path: Path, watermark: str) -> None:
    asked = QuerySettings(
        sql="SELECT id, at, local, day FROM views;",
        uri=server.address,
        watermark=watermark,
        overlap=3600.0,
    )

    def night() -> list[int]:
        fetched = take_new_rows(tmp_path, asked, 1_796_000_000)
        return sorted(pa.concat_tables(map(pq.read_table, fetched.paths))["id"].to_pylist())

    def table() -> list[int]:
        return [number for (number,) in views.execute("SELECT id FROM views ORDER BY id")]

    def add(number: int, at: str) -> None:
        views.execute(
            f"INSERT INTO views SELECT {number}, 1, 1, at, at AT TIME ZONE 'UTC', at::date "
            f"FROM (SELECT {at} AS at FROM views WHERE id <= 90000) AS found"
        )

    assert night() == table()
    add(90001, "max(at) + interval '50 minutes'")
    add(90002, "max(at) - interval '20 minutes'")
    views.execute("UPDATE views SET id = 90003 WHERE id = 90000")
    if watermark != "id":  # times of a clock that is wrong: what is new is not below them
        add(95000, "min('2199-01-01'::timestamptz)")
        add(94999, "min(NULL::timestamptz)")
    if watermark in ("at", "local"):
        add(95001, "min('infinity'::timestamptz)")
        add(95002, "min('-infinity'::timestamptz)")
    assert night() == table()[: -1 if watermark in ("at", "local") else None]
    add(99000, "max(at) + interval '51 minutes'")
    found = night()
    assert 99000 in found
    assert found == night()
    assert len(found) == len(set(found))


def test_a_server_that_is_lost_in_the_middle(server: Server, views: Any, tmp_path: Path) -> None:
    views.execute("CREATE VIEW slow AS SELECT * FROM views")
    asked = QuerySettings(sql="SELECT * FROM slow", uri=server.address, watermark="id")
    kept = take_new_rows(tmp_path, asked, NOW)
    views.execute("INSERT INTO views SELECT id + 100000, 2, 2, at, local, day, filler FROM views")
    last = "id < (SELECT max(id) FROM views) OR pg_sleep(600)::text IS NOT NULL"
    views.execute(f"CREATE OR REPLACE VIEW slow AS SELECT * FROM views WHERE {last}")
    before = {path: path.read_bytes() for path in (tmp_path / FOLDER).iterdir()}

    def cut(said: str) -> None:
        if said.endswith("rows"):
            views.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'recsys'"
            )

    with pytest.raises(DataError, match="log postgresql://") as error:
        take_new_rows(tmp_path, asked, NOW, cut)
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in (tmp_path / FOLDER).iterdir()} == before
    assert set(kept.paths) < set(before)
    views.execute("CREATE OR REPLACE VIEW slow AS SELECT * FROM views")
    again = take_new_rows(tmp_path, asked, NOW)
    assert sum(pq.read_metadata(one).num_rows for one in again.paths) == 180_000


def test_nights_and_refreshes(server: Server, views: Any, tmp_path: Path) -> None:
    views.execute("DELETE FROM views WHERE id > 3000")
    log = {"sql": "SELECT *, at AS timestamp FROM views", "uri": server.address, "watermark": "at"}
    tables: dict[str, Any] = {
        "log": log,
        "model": {"name": "als", "factors": 4, "iterations": 1},
        "gates": {"enabled": False},
        "nightly": {"log_file": str(tmp_path / "log.jsonl")},
    }
    settings, store = recsys.config.settings_from(tables), tmp_path / "store"
    first = run_night(settings, store)
    idle = run_night(settings, store)
    assert idle.is_idle
    assert idle.facts("ingest")["files_read"] == 0
    views.execute(
        "INSERT INTO views SELECT 5000 + g, 900, g, (SELECT max(at) FROM views) + interval '1 s' "
        "FROM generate_series(1, 9) g"
    )
    refreshed = run_refresh(None, store)  # by the settings of the version
    assert refreshed.facts("fold_in")["users"] == 1
    second = run_night(settings, store)
    assert second.facts("ingest")["rows_read"] == 3009
    assert second.version not in (first.version, refreshed.version, None)
    config = recsys.store.find_version(store).manifest.config["log"]
    assert (config["sql"], "full" in config) == (log["sql"], False)
    assert "were asked for and" in (tmp_path / "log.jsonl").read_text()
