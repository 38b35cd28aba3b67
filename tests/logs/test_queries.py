"""A log that is the rows of a query: what is read of each database, and what is said where not."""

import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pytest

import recsys
from recsys.base.query_settings import QuerySettings
from recsys.errors import ConfigError, DataError
from recsys.inputs import inputs_of
from recsys.logs import databases, fetch, guess_log, read_log
from recsys.logs.addresses import address_of
from recsys.logs.databases import connect
from recsys.settings import LogSettings
from tests.command_line import run
from tests.events.servers import Server

SECRET = "p/a?ss:w@rd#1 %41"  # noqa: S105 (planted, and looked for)


class Tables:
    """A server with tables that a test makes."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    def run(self, *statements: str) -> None:
        import psycopg

        with psycopg.connect(self.uri, autocommit=True) as connection:
            for one in statements:
                connection.execute(one)  # type: ignore[call-overload]


@pytest.fixture
def tables(server: Server) -> Tables:
    pytest.importorskip("adbc_driver_postgresql", reason="make install brings it")
    found = Tables(server.address)
    found.run("DROP SCHEMA IF EXISTS public CASCADE", "CREATE SCHEMA public")
    return found


def pairs(log: recsys.Interactions) -> set[tuple[object, object, float]]:
    users, items = log.users.tolist(log.user_idx), log.items.tolist(log.item_idx)
    return set(zip(users, items, log.weight.tolist(), strict=True))


def test_columns_of_a_server_are_those_of_a_file(tables: Tables) -> None:
    tables.run(
        "CREATE TYPE kind AS ENUM ('view', 'buy')",
        "CREATE TABLE log (u uuid, item bpchar(3), at timestamptz, kind kind, stars numeric(4, 2), "
        "n interval, place inet, data jsonb, many int[])",
        "INSERT INTO log VALUES ('00112233-4455-6677-8899-aabbccddeeff', 'tea', "
        "'2026-01-01 12:00:00.25+01', 'buy', 2.5, '1 day', '1.2.3.4', '{}', '{1}'), "
        "(NULL, 'tea', '2026-01-02', 'view', 1, NULL, NULL, NULL, NULL), "
        "('ffffffff-4455-6677-8899-aabbccddeeff', 'cup', '2026-01-02', 'view', NULL, NULL, NULL, "
        "NULL, NULL)",
    )
    settings = LogSettings(
        sql="SELECT * FROM log; ",
        uri=tables.uri,
        columns={
            "user_id": "u",
            "item_id": "item",
            "timestamp": "at",
            "event": "kind",
            "value": "stars",
        },
        events={"view": 1.0, "buy": 4.0},
        missing_value=1.0,
        max_rejected_share=1.0,
    )
    log = read_log(settings=settings)
    first, second = "00112233-4455-6677-8899-aabbccddeeff", "ffffffff-4455-6677-8899-aabbccddeeff"
    assert pairs(log) == {(first, "tea", 10.0), (second, "cup", 1.0)}
    assert log.timestamp is not None
    assert log.timestamp.min() == 1767265200  # 11:00 UTC
    assert dict(log.row_counts.rejected) == {"empty user_id": 1}
    (name,) = log.row_counts.files
    assert name.startswith("postgresql://recsys@/postgres")
    assert any(
        "left out, as no id, time or number: n, place, many" in one for one in log.row_counts.notes
    )


def test_a_large_answer_streams_and_one_statement_sees_one_state(tables: Tables) -> None:
    tables.run("CREATE TABLE log AS SELECT g AS user_id FROM generate_series(1, 300000) g")
    sql = "SELECT user_id, repeat('x', 100) AS item_id FROM log"
    settings = LogSettings(sql=sql, uri=tables.uri)
    with connect(settings.query) as database:
        _, batches = database.ask(sql)
        first = next(batches)
        tables.run("DELETE FROM log")  # while it is read
        rest = [one.num_rows for one in batches]
    assert 0 < first.num_rows < 300_000
    assert first.num_rows + sum(rest) == 300_000


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DELETE FROM log RETURNING user_id, item_id", "cannot execute DELETE in a read-only"),
        ("SELECT 1; DROP TABLE log", "multiple commands"),
        ("SELECT nope FROM log", 'column "nope" does not exist'),
        ("SELECT user_id, item_id / 0 AS item_id FROM log", "division by zero"),
        ("SELECT user_id, user_id FROM log", "several columns 'user_id'"),
        ("SELECT * FROM log WHERE false", "log.sql returns none"),
        ("SELECT user_id FROM log", "item_id"),
        ("SELECT user_id, item_id = 1 AS item_id FROM log", "expected integers or strings"),
        ("SELECT pg_terminate_backend(pg_backend_pid()) FROM log", "terminating connection"),
        ("SELECT user_id, NULL AS item_id FROM log", "empty item_id 1"),
    ],
)
def test_what_a_server_refuses_is_a_sentence(tables: Tables, sql: str, words: str) -> None:
    tables.run("CREATE TABLE log AS SELECT 1 AS user_id, 2 AS item_id")
    with pytest.raises(DataError, match=words.replace("(", r"\(")) as error:
        read_log(sql=sql, uri=tables.uri)
    assert "\n" not in str(error.value)
    assert pairs(read_log(sql="SELECT * FROM log -- all", uri=tables.uri)) == {(1, 2, 1.0)}


def test_a_query_that_takes_too_long_is_given_up(tables: Tables) -> None:
    slow = "SELECT g AS user_id, 1 AS item_id FROM generate_series(1, 9) g, pg_sleep(600)"
    with pytest.raises(DataError, match="log.query_minutes"):
        read_log(sql=slow, uri=tables.uri, query_minutes=0.005)


@pytest.mark.parametrize("kind", ["_Postgres", "_Sqlite"])
@pytest.mark.parametrize("is_connected", [True, False])
def test_a_connection_that_takes_too_long_is_closed(
    kind: str, is_connected: bool, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = getattr(databases, kind)
    given_up, closed = threading.Event(), []

    def connected(one: Any, connect: Any = database._connect) -> None:
        if is_connected:
            connect(one)
        given_up.wait()

    def cancelled(one: Any, cancel: Any = database._cancel) -> None:
        cancel(one)
        given_up.set()

    def left(one: Any, close: Any = database._close) -> None:
        close(one)
        closed.append(one)

    for name, step in {"_connect": connected, "_cancel": cancelled, "_close": left}.items():
        monkeypatch.setattr(database, name, step)
    file = tmp_path / "log.db"
    sqlite3.connect(file).close()
    uri = tables.uri if kind == "_Postgres" else f"sqlite:///{file}"
    with pytest.raises(DataError, match="log.query_minutes"):
        read_log(sql="SELECT 1 AS user_id, 1 AS item_id", uri=uri, query_minutes=1e-6)
    assert len(closed) == 1


def test_a_signal_ends_a_query(tables: Tables) -> None:
    code = (
        "import os, signal, sys, threading, recsys\n"
        "from recsys.base.stopping import StoppedError, stoppable\n"
        "from recsys.logs import databases\n"
        "def stop(self, sql, ask=databases._Postgres._ask):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return ask(self, sql)\n"
        "databases._Postgres._ask = stop\n"
        "with stoppable():\n"
        "    try: recsys.read_log(sql='SELECT 1 AS user_id, 1 AS item_id FROM pg_sleep(600)', "
        "uri=sys.argv[1])\n"
        "    except StoppedError as error: print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, tables.uri], capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == "stopped by SIGTERM\n", ended.stderr


def test_the_password_is_nowhere(
    tables: Tables,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is looked for in each error and its traceback, and in all that a night writes and says."""
    monkeypatch.setenv("SHOP", SECRET)
    (tmp_path / "password").write_text(SECRET + "\n")
    uri = tables.uri.replace("recsys@", "ann@")
    tables.run(
        "DROP ROLE IF EXISTS ann",
        "CREATE ROLE ann LOGIN",
        "GRANT USAGE ON SCHEMA public TO ann",
        "CREATE TABLE log AS SELECT g % 40 AS user_id, g % 31 AS item_id "
        "FROM generate_series(1, 900) g",
        "GRANT SELECT ON log TO ann",
    )
    closed = "postgresql://ann@127.0.0.1:1/shop"
    broken = "postgresql://ann:p/a?ss:w@rd#1 %41@db/shop"
    said = []
    asked: list[dict[str, Any]] = [
        {"sql": "SELECT * FROM secrets", "uri": uri, "password_env": "SHOP"},
        {"sql": "SELECT 1", "uri": closed, "password_file": str(tmp_path / "password")},
        {"sql": "SELECT 1", "uri": "postgresql://ann:" + SECRET + "@db/shop"},
        {"sql": "SELECT 1", "uri": "postgresql://db/shop?password=" + SECRET},
        {"sql": "SELECT 1", "uri": ["postgresql://ann:" + SECRET + "@db/shop"]},
        {"sql": "SELECT 1", "uri": "$BROKEN"},
    ]
    monkeypatch.setenv("BROKEN", broken)
    for one in asked:
        with pytest.raises((ConfigError, DataError)) as error:
            inputs_of("train", None, None, one, ("log",))
        said += traceback.format_exception(error.value)
        said.append(repr(error.value))
    config = {"log": {"sql": "SELECT * FROM log", "uri": uri, "password_env": "SHOP"}}
    rest = {
        "model": {"name": "als", "factors": 4, "iterations": 1},
        "gates": {"enabled": False},
        "nightly": {
            "log_file": str(tmp_path / "night.jsonl"),
            "metrics_file": str(tmp_path / "m.prom"),
        },
    }
    settings = recsys.config.settings_from({**config, **rest})
    report = recsys.nightly.run_night(settings, tmp_path / "store")
    said += [repr(settings), str(report.to_dict()), *capfd.readouterr()]
    (tmp_path / "password").unlink()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.parent.name == "query" for path in files)
    for text in (*said, *(path.read_bytes().decode("latin-1") for path in files)):
        for part in (SECRET, "ss:w@rd", "rd#1", "ss%3Aw%40rd"):
            assert part not in text


@pytest.fixture
def guarded(server: Server) -> Iterator[str]:
    """The address of a user who needs a password."""
    import psycopg

    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    with psycopg.connect(server.address, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guarded")
        connection.execute(f"CREATE ROLE guarded LOGIN PASSWORD '{SECRET}'")
        rules.write_text("local all guarded scram-sha-256\n" + before)
        connection.execute("SELECT pg_reload_conf()")
        address = server.address.replace("recsys@", "guarded@")
        while _is_let_in(address):  # until the server has read its rules
            pass
        yield address
        rules.write_text(before)
        connection.execute("SELECT pg_reload_conf()")


def _is_let_in(address: str) -> bool:
    import psycopg

    try:
        psycopg.connect(address, password="wrong").close()  # noqa: S106
    except psycopg.OperationalError:
        return False
    return True


def test_a_server_asks_for_the_password(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "SELECT 1 AS user_id, 2 AS item_id"
    (tmp_path / "password").write_text(SECRET + "\n")
    monkeypatch.setenv("SHOP", SECRET)
    address = address_of(QuerySettings(sql, guarded, "SHOP"))
    assert address.shown == "postgresql://guarded@/postgres"
    assert SECRET not in repr(address)
    assert quote(SECRET, safe="") in address.target
    monkeypatch.setenv("SHOP_URL", address.target)
    monkeypatch.setenv("WRONG", "wr/ong")
    for changes in (
        {"password_env": "SHOP"},
        {"password_file": str(tmp_path / "password")},
        {"uri": "$SHOP_URL"},
        {"uri": "${SHOP_URL}", "password_env": "SHOP"},
    ):
        log = read_log(**{"sql": sql, "uri": guarded, **changes})
        assert pairs(log) == {(1, 2, 1.0)}
    for wrong in ({"password_env": "WRONG"}, {}):
        with pytest.raises(DataError, match="log.password_env or log.password_file") as error:
            read_log(sql=sql, uri=guarded, **wrong)
        assert "wr/ong" not in str(error.value)
    monkeypatch.setenv("PGPASSWORD", SECRET)
    assert len(read_log(sql=sql, uri=guarded)) == 1


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"sql": "SELECT 1"}, "log.uri: expected the address"),
        ({"uri": "sqlite:///a"}, "log.sql: expected a query"),
        ({"sql": " ", "uri": "sqlite:///a"}, "log.sql: expected a text"),
        ({"sql": "SELECT 1", "uri": "mysql://a"}, "log.uri: expected an address .* 'mysql'"),
        ({"sql": "SELECT 1", "uri": "$NO_SUCH"}, r"variable \$NO_SUCH, which is not set"),
        ({"sql": "SELECT 1", "uri": "sqlite:///nowhere"}, "expected a file of sqlite at nowhere"),
        ({"sql": "SELECT 1", "uri": "postgresql://h/d", "password_env": "NO_SUCH"}, "password_env"),
        ({"sql": "SELECT 1", "uri": "postgresql://h/d", "password_file": "no"}, "password_file"),
        ({"sql": "SELECT 1", "uri": "sqlite:///a", "row_key": "id"}, "log.row_key"),
        ({"sql": "SELECT 1", "uri": "sqlite:///a", "overlap": -1.0}, "log.overlap"),
    ],
)
def test_settings_that_cannot_be(table: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, DataError), match=words):
        fetch(LogSettings(**table).query)


def test_there_is_one_source_of_a_log(tmp_path: Path) -> None:
    both = {"data": {"log": "a.csv"}, "log": {"sql": "SELECT 1", "uri": "sqlite:///a"}}
    with pytest.raises(ConfigError, match="log.sql: expected one source"):
        recsys.config.settings_from(both)
    with pytest.raises(ConfigError, match="one source"):
        read_log("a.csv", sql="SELECT 1", uri="sqlite:///a")
    with pytest.raises(ConfigError, match="expected files, a table, or a query"):
        read_log()


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A file of SQLite whose cells have types of their own."""
    path = tmp_path / "shop.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE log (u, i, at, v, b)")
        rows = [(n, f"i{n % 7}", 1_700_000_000 + n, None, b"\x00") for n in range(70_000)]
        rows += [("ann", 3, 1_700_100_000, 2, "x"), (5, "i1", 1_700_100_001, 2.5, None)]
        connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?)", rows)
    connection.close()
    return path


def test_cells_of_sqlite_fit_into_one_type(shop: Path) -> None:
    sql = "SELECT u AS user_id, i AS item_id, at AS timestamp, v AS value FROM log"
    log = read_log(sql=sql, uri=f"sqlite:///{shop}", missing_value=1.0, value_scale="linear")
    assert len(log) == 70_002
    assert {("ann", "3", 2.0), ("69999", "i6", 1.0)} <= pairs(log)
    with pytest.raises(DataError, match="syntax error"):
        read_log(sql="DELETE FROM log RETURNING u", uri=f"sqlite:///{shop}")
    with pytest.raises(DataError, match="no such column: nope"):
        read_log(sql="SELECT nope FROM log", uri=f"sqlite:///{shop}")
    with pytest.raises(DataError, match="expected a file"):
        read_log(sql=sql, uri="sqlite:///nowhere.sqlite")
    with sqlite3.connect(shop) as connection:
        connection.execute("INSERT INTO log VALUES (CAST(x'ff' AS TEXT), 'i', 1, 1, 1)")
    with pytest.raises(DataError, match="bytes that are no text"):
        read_log(sql=sql, uri=f"sqlite:///{shop}")


def test_a_file_of_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE log AS SELECT range % 50 AS user_id, 'i' || range % 9 AS item_id, "
            "TIMESTAMP '2026-01-01' + INTERVAL (range) MINUTE AS timestamp, "
            "CASE WHEN range % 2 = 0 THEN 'view' ELSE 'buy' END::ENUM ('view', 'buy') AS event, "
            "INTERVAL 1 DAY AS odd FROM range(1000)"
        )
    uri = f"duckdb:///{path}"
    log = read_log(sql="SELECT * FROM log", uri=uri, events={"view": 1.0, "buy": 2.0})
    assert (len(log), len(log.users), len(log.items)) == (1000, 50, 9)
    for sql, words in (
        ("SELECT nope FROM log", "nope"),
        ("", "log.sql"),
        ("DROP TABLE log", "read-only"),
    ):
        with pytest.raises((ConfigError, DataError), match=words):
            read_log(sql=sql, uri=uri)
    assert len(read_log(sql="SELECT * FROM log", uri=uri)) == 1000


def test_a_query_is_asked_once_and_its_columns_are_guessed(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(
        "recsys.logs.queries.connect", lambda one: asked.append(one) or connect(one)
    )
    options = {"sql": "SELECT u AS customer, i AS sku, at FROM log", "uri": f"sqlite:///{shop}"}
    with pytest.warns(RuntimeWarning, match="customer is the user, sku is the item, at"):
        found = inputs_of("train", None, None, options, ("log",))
    assert len(asked) == 1
    assert len(found.log) == 70_002
    whole = fetch(found.settings.log.query)
    assert guess_log(whole).table["columns"]["item_id"] == "sku"
    (path,) = whole.paths
    del whole
    assert not path.exists()


def test_the_command_line_asks_once(shop: Path, tmp_path: Path) -> None:
    sql = "SELECT u AS customer, i AS sku, at FROM log"
    ended = run("config", "--sql", sql, "--uri", f"sqlite:///{shop}", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    (tmp_path / "shop.toml").write_text(ended.stdout)
    settings = recsys.read_config(tmp_path / "shop.toml")
    assert settings.log.columns["user_id"] == "customer"
    assert settings.log.sql == sql
    assert len(read_log(settings=settings.log)) == 70_002
