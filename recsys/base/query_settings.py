"""The settings of a log that a database answers a query with; `LogSettings` has them."""

import re
from dataclasses import dataclass, fields
from math import inf
from pathlib import Path

from recsys.base.checks import ShowsChanges, require
from recsys.base.errors import ConfigError

_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):(.*)@|([?&]\w*password=)[^&]*", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """Return a text with the passwords of the addresses in it left out.

    Examples
    --------
    >>> without_passwords("got postgresql://ann:secret@db.example/shop")
    'got postgresql://ann:***@db.example/shop'
    """
    return _PASSWORD.sub(
        lambda found: f"{found[3]}***" if found[3] else f"{found[1]}:***@",
        text,
    )


def file_in(uri: str, folder: Path) -> str:
    """Return the address of a file with its path relative to a folder; any other as it is.

    Examples
    --------
    >>> file_in("sqlite:///shop.sqlite", Path("configs"))
    'sqlite:///configs/shop.sqlite'
    """
    found = re.fullmatch(r"(sqlite|duckdb):///([^/].*)", uri)
    return f"{found[1]}:///{folder / found[2]}" if found else uri


@dataclass(frozen=True, repr=False)
class QuerySettings(ShowsChanges):
    """A query whose rows are the log, and the database that is asked."""

    sql: str | None = None
    """A query whose rows are the log, in place of ``data.log``. It only reads, as one statement."""
    uri: str | None = None
    """The database: "postgresql://ann@db.example/shop", a file as in "sqlite:///shop.sqlite" or
    "duckdb:///shop.duckdb" (four slashes where the path begins with one), or "$NAME", an
    environment variable with such an address. It holds no password."""
    password_env: str | None = None
    """The environment variable that has the password. Default: what PostgreSQL's own clients go by,
    PGPASSWORD, PGPASSFILE or ~/.pgpass."""
    password_file: str | None = None
    """A file that holds the password and nothing else; not read where `password_env` is given."""
    query_minutes: float | None = None
    """After which the query is given up. Default: as the server says."""
    watermark: str | None = None
    """A column of the query, a time or an integer, that is larger in rows that came later: a night
    and a refresh ask only for those, and keep the others in the store. Default: each asks for
    all."""
    overlap: float = 3600.0
    """How far below the largest `watermark` so far they ask again, for rows that came late:
    seconds, or of an integer as much. What is asked for again is replaced, so it counts once."""
    row_key: str | None = None
    """A column that is another in each row. Of rows that the database has changed, and that come
    again under a later `watermark`, it finds what was kept of them before."""
    full: bool = False
    """Ask for all rows again, also for those that were changed or deleted long ago."""

    @property
    def query(self) -> "QuerySettings":
        """These settings without those of a class that adds to them."""
        return QuerySettings(**{one.name: getattr(self, one.name) for one in fields(QuerySettings)})

    def __post_init__(self) -> None:
        for name in ("sql", "watermark", "row_key", "password_env", "password_file"):
            if getattr(self, name) is not None and not getattr(self, name).strip():
                raise ConfigError(f"log.{name}: expected a text, got an empty one")
        if (self.sql is None) != (self.uri is None):
            there, missing = ("uri", "sql") if self.sql is None else ("sql", "uri")
            words = "the address of its database" if missing == "uri" else "a query"
            raise ConfigError(f"log.{missing}: expected {words}, as log.{there} is given, got none")
        if self.uri is not None and without_passwords(self.uri) != self.uri:
            raise ConfigError(
                "log.uri: expected an address without a password, which settings and versions "
                "would keep; name the environment variable that has it in log.password_env, or "
                "its file in log.password_file"
            )
        if self.row_key is not None and self.watermark is None:
            raise ConfigError("log.row_key: expected log.watermark beside it, got none")
        if self.query_minutes is not None:
            require("log.query_minutes", self.query_minutes, above=0, below=inf)
        require("log.overlap", self.overlap, least=0, below=inf)
