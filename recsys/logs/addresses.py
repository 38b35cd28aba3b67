"""The address of a database that has a log, and the password, which nothing else is told."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from recsys.base.errors import ConfigError, DataError
from recsys.base.query_settings import QuerySettings, without_passwords

Kind = Literal["postgresql", "sqlite", "duckdb"]
_KIND_OF: dict[str, Kind] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "sqlite": "sqlite",
    "duckdb": "duckdb",
}
_EXPECTED = (
    'expected an address such as "postgresql://ann@db.example/shop", "sqlite:///shop.sqlite" or '
    '"duckdb:///shop.duckdb"'
)
_SECRET = ("password", "sslpassword")
_CONNECT_SECONDS = 10
_HINTS = {
    "password": "log.password_env or log.password_file names the place of the password",
    "no password supplied": "log.password_env or log.password_file names the place of the password",
    "statement timeout": "raise log.query_minutes, or the statement_timeout of the server's user",
    "read-only transaction": "log.sql may only read",
    "readonly database": "log.sql may only read",
    "permission denied": "grant the user of log.uri the right to read it",
    "encoding": "a column holds bytes that are no text",
    "utf8 string": "a column holds bytes that are no text",
    "locked": "another process writes to it; try again, or query a copy",
    "lock on file": "another process has it open to write; try again, or query a copy",
}


@dataclass(frozen=True)
class Address:
    """Where a database is."""

    kind: Kind
    shown: str  # without a password and without options
    target: str = field(repr=False)  # a path, or what libpq connects to
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def told(self, error: BaseException | str) -> str:
        """Return the first line of an error of the database, without passwords."""
        text = str(error).strip() or type(error).__name__
        text = text.split("\n\nQuery was:")[0].removesuffix("query:").strip()
        for secret in self.secrets:
            text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
        line = without_passwords(text).splitlines()[0][:300]
        for start in ("INVALID_ARGUMENT: ", "INVALID_STATE: ", "NOT_FOUND: ", "IO: ", "[libpq] "):
            line = line.removeprefix(start)
        return line.rstrip(".: ")

    def error(self, error: BaseException | str) -> DataError:
        """Return the error for one of the database, and what to do about it where that is known."""
        said = self.told(error)
        hints = (hint for words, hint in _HINTS.items() if words in said)
        return DataError(f"log {self.shown}: {said}; {next(hints, 'check log.sql and log.uri')}")


def address_of(settings: QuerySettings) -> Address:
    """Return where the database of a query is, with its password.

    Raises
    ------
    ConfigError
        If the address is none, or the password is not where the settings say.
    """
    given = settings.uri or ""
    uri = os.path.expandvars(given)
    if uri == given and given.startswith("$"):
        raise ConfigError(f"log.uri: expected the environment variable {given}, which is not set")
    scheme, colon, rest = uri.partition(":")
    kind = _KIND_OF.get(scheme.lower())
    if kind is None or not colon:
        got = f"one that begins with {scheme!r}" if colon else "a text without a colon"
        raise ConfigError(f"log.uri: {_EXPECTED}, got {got}")
    if kind != "postgresql":
        return _file_address(kind, rest)
    return _server_address(uri, _password(settings))


def _password(settings: QuerySettings) -> str | None:
    if settings.password_env is not None:
        if settings.password_env not in os.environ:
            raise ConfigError(
                f"log.password_env: expected the environment variable {settings.password_env}, "
                "which is not set"
            )
        return os.environ[settings.password_env]
    if settings.password_file is None:
        return None
    try:
        return Path(settings.password_file).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text in UTF-8"
        raise ConfigError(
            f"log.password_file: expected a file at {settings.password_file}, got {reason}"
        ) from None


def _file_address(kind: Kind, rest: str) -> Address:
    path = Path(rest.removeprefix("//").removeprefix("/") if rest.startswith("//") else rest)
    if not path.is_file():
        absolute = "; the path of one that begins with a slash takes four of them"
        hint = absolute if Path("/", path).is_file() and not path.is_absolute() else ""
        raise DataError(f"log.uri: expected a file of {kind} at {path}, found none{hint}")
    return Address(kind, f"{kind}:{path}", str(path.absolute()))


def _server_address(uri: str, password: str | None) -> Address:
    """Return the address of a server, of parts that libpq cannot misread."""
    try:
        parts = urlsplit(uri)
        _ = parts.port
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:  # which quotes from it
        raise ConfigError(
            f"log.uri: {_EXPECTED}, got one that cannot be taken apart; write / ? # @ and : of its "
            "names as %2F %3F %23 %40 and %3A"
        ) from None
    inside = [value for name, value in options if name.lower() in _SECRET]
    if parts.password is not None:
        inside.append(unquote(parts.password))
    found = inside[-1] if password is None and inside else password
    kept = [(name, value) for name, value in options if name.lower() != "password"]
    given = {name.lower() for name, _ in kept}
    for name, value in (("connect_timeout", str(_CONNECT_SECONDS)), ("application_name", "recsys")):
        kept += [(name, value)] if name not in given else []
    user = "" if parts.username is None else quote(unquote(parts.username), safe="")
    place = parts.netloc.rpartition("@")[2]
    login = user + ("" if found is None else f":{quote(found, safe='')}")
    shown = f"postgresql://{f'{user}@' if user else ''}{place}{parts.path}"
    target = f"postgresql://{f'{login}@' if login else ''}{place}{parts.path}"
    secrets = [*inside, *([found] if found else [])]
    return Address(
        "postgresql",
        shown,
        f"{target}?{urlencode(kept, quote_via=quote)}",
        tuple(dict.fromkeys(one for one in secrets if one)),
    )
