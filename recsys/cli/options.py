"""The options that train, evaluate, tune, compare and dimensions have in common.

An option is a shorter way to write a key of the config: `FLAGS` has the pairs, so that an error
about a setting names both. ``--set table.key=value`` writes any other key.
"""

import inspect
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import date, time
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import recsys
from recsys.base.errors import ConfigError, DataError, briefly
from recsys.base.feature_settings import feature_keys
from recsys.base.query_settings import QuerySettings, without_passwords
from recsys.cli.output import note
from recsys.cli.toml import toml_value
from recsys.objects import shown, use_cache

if TYPE_CHECKING:
    from recsys.config import Settings
    from recsys.inputs import Guessed
    from recsys.logs import Fetched

Logs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="LOG...", help="Files, globs or folders; default: data.log of --config."
    ),
]
Config = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")]
Items = Annotated[
    Path | None, typer.Option("--items", help="Table of item attributes (data.items).")
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="auto, als, svd, distilled, softmax, item2vec, blend, popularity (model.name).",
    ),
]
Factors = Annotated[
    int | None,
    typer.Option("--factors", min=1, help="Of the model; of auto, tune, compare: at most."),
]
DeviceName = Annotated[
    str | None,
    typer.Option("--device", help="auto, cpu, cuda: whether a card computes (compute.device)."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="TABLE.KEY=VALUE", help="Any other setting; `recsys config` has all."
    ),
]

FLAGS = {
    "engine": "--engine",
    "compute.device": "--device",
    "log.columns.user_id": "--user",
    "log.columns.item_id": "--item",
    "log.columns.timestamp": "--time",
    "log.columns.event": "--event",
    "log.columns.value": "--value",
    "log.events": "--weight",
    "log.min_value": "--min-value",
    "log.sql": "--sql",
    "log.uri": "--uri",
    "evaluation.split": "--split",
    "evaluation.k": "-k",
    "model.name": "--model",
    "model.factors": "--factors",
    "auto.factors": "--factors",
    "tune.factors": "--factors",
    "tune.trials": "--trials",
    "tune.minutes": "--minutes",
    "compare.models": "--models",
    "compare.baseline": "--baseline",
    "compare.seeds": "--seeds",
    "data.log": "LOG",
    "data.items": "--items",
    "data.users": "--user-table",
    "model.item_features": "--item-features",
    "model.user_features": "--user-features",
    "service.host": "--host",
    "service.port": "--port",
    "service.workers": "--workers",
    "service.keys": "--keys",
    "service.tls_certificate": "--tls-certificate",
    "service.tls_key": "--tls-key",
}
"""The option of each key of the config that has one."""


def _column(flag: str, what: str) -> Any:
    return Annotated[str | None, typer.Option(flag, metavar="COLUMN", help=what)]


@dataclass(frozen=True)
class LogOptions:
    """What is typed of the log, and of how it is split."""

    logs: Logs = None
    config: Config = None
    user: _column("--user", "The column of users; default: guessed.") = None  # type: ignore[valid-type]
    item: _column("--item", "The column of items.") = None  # type: ignore[valid-type]
    time: _column("--time", "The column of times.") = None  # type: ignore[valid-type]
    event: _column("--event", "The column of types of events.") = None  # type: ignore[valid-type]
    value: _column("--value", "The column of ratings or counts.") = None  # type: ignore[valid-type]
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weight", metavar="TYPE=WEIGHT", help="Such as dislike=-3, a dislike; repeatable."
        ),
    ] = None
    min_value: Annotated[
        float | None, typer.Option("--min-value", help="Rows with a lower value are left out.")
    ] = None
    split: Annotated[
        str | None,
        typer.Option("--split", help="auto, time, last, random, given, none (evaluation.split)."),
    ] = None
    k: Annotated[
        int | None, typer.Option("-k", min=1, help="Length of the lists that are tested.")
    ] = None
    sql: Annotated[
        str | None, typer.Option("--sql", help="A query whose rows are the log, with --uri.")
    ] = None
    uri: Annotated[
        str | None,
        typer.Option("--uri", help="Its database: postgresql://..., sqlite:///..., duckdb:///..."),
    ] = None
    changes: Changes = None

    def settings(
        self,
        model: str | None = None,
        factors: int | None = None,
        items: Path | None = None,
        keys: Mapping[str, Any] | None = None,
    ) -> "Settings":
        """Return the settings: those of the config, of the options, and what is guessed of the log.

        Say on stderr what is guessed. `keys` are further keys of the config that were typed, where
        they are not None.
        """
        found = self.guessed(items, self.tables(model, factors, keys))
        _note_guess(found)
        return found.settings

    def guessed(self, items: Path | None, tables: Mapping[str, Any]) -> "Guessed":
        """Return the settings of tables with what is guessed of the log: nothing with a config."""
        settings = recsys.config.settings_from(tables)
        data = settings.data
        data = replace(data, log=list(self.logs)) if self.logs else data
        data = replace(data, items=shown(items)) if items else data
        settings = replace(settings, data=data)
        if not data.log and settings.log.sql is None:
            raise ConfigError(
                "no log: name one on the command line, or as data.log or log.sql in --config"
            )
        if self.config:
            return recsys.inputs.Guessed(settings)
        if settings.log.sql is not None:
            return recsys.inputs.guessed(settings, fetched(settings), data.items, titles_too=False)
        folder = recsys.logs.guess_folder(data.log[0], settings.log) if len(data.log) == 1 else None
        if folder is not None:
            note(f"{data.log[0]}: {folder.sentence}")
            its_items = None if folder.items is None else str(folder.items)
            data = replace(data, log=[str(folder.log)], items=data.items or its_items)
        return recsys.inputs.guessed(replace(settings, data=data), data.log, data.items)

    @property
    def words(self) -> list[str]:
        """What was typed, to be typed for another command of these."""
        words = list(self.logs or ())
        for one in fields(self):
            value, flag = getattr(self, one.name), f"--{one.name.replace('_', '-')}"
            if one.name in ("logs", "changes") or value is None:
                continue
            text = f"{value:g}" if isinstance(value, float) else str(value)
            words += ["-k" if one.name == "k" else flag, text]
        for change in self.changes or ():
            words += ["--set", change]
        return words

    def config_of(self, settings: "Settings") -> Path | dict[str, Any]:
        """Return the config that asks for some settings: the file where nothing else was typed."""
        others = (one for one in fields(self) if one.name not in ("logs", "config"))
        if self.config is not None and not any(getattr(self, one.name) for one in others):
            return self.config
        return recsys.config.changed_tables(settings)

    def tables(
        self,
        model: str | None = None,
        factors: int | None = None,
        keys: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the tables of the config with what was typed."""
        tables = recsys.config.read_tables(self.config) if self.config else {}
        auto = recsys.config.AUTO
        if model is not None:
            if model != auto:
                recsys.models.model_from(model, {})  # refuses a name that there is not
            tables["model"] = {"name": model, **feature_keys(tables.get("model", {}))}
        changes = [_parsed(change) for change in self.changes or ()]
        name = dict(changes).get("model.name", tables.get("model", {}).get("name", auto))
        typed: dict[str, Any] = {
            "log.columns.user_id": self.user,
            "log.columns.item_id": self.item,
            "log.columns.timestamp": self.time,
            "log.columns.event": self.event,
            "log.columns.value": self.value,
            "log.min_value": self.min_value,
            "log.sql": self.sql,
            "log.uri": self.uri,
            "evaluation.split": self.split or None,
            "evaluation.k": self.k,
            "auto.factors" if name == auto else "model.factors": factors,
            **(keys or {}),
        }
        for key, value in typed.items():
            if value is not None:
                _put(tables, key, value)
        for change in changes:
            _put(tables, *change)
        if (self.event or self.weights) and not tables.get("log", {}).get("events"):
            _put(tables, "log.events", {"*": 1.0})  # so that rows are counted by type
        for typed_weight in self.weights or ():
            tables["log"]["events"] |= _weight_of(typed_weight)
        use_cache(tables.get("data", {}).get("cache"))  # before the command opens a log or a store
        return tables


def _weight_of(text: str) -> dict[str, float]:
    """Return a type of event and its weight, as they are typed.

    Examples
    --------
    >>> _weight_of("dislike=-3")
    {'dislike': -3.0}
    """
    event, _, weight = text.rpartition("=")
    with suppress(ValueError):
        if event:
            return {event: float(weight)}
    raise ConfigError(
        f"--weight (log.events): expected a type of event and its weight, such as dislike=-3, got "
        f"{briefly(text)}"
    )


def fetched(settings: "Settings") -> "Fetched":
    """Return the rows of the query of settings; a command asks the database once."""
    return _fetched(settings.log.query)


@cache
def _fetched(query: QuerySettings) -> "Fetched":
    return recsys.logs.fetch(query, progress=True)


def takes_log(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `LogOptions`, of which it takes one as its first argument."""
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    shared = inspect.signature(LogOptions, eval_str=True).parameters.values()
    names = {one.name for one in fields(LogOptions)}

    @wraps(command)
    def called(**arguments: Any) -> None:
        options = {name: value for name, value in arguments.items() if name in names}
        others = {name: value for name, value in arguments.items() if name not in names}
        try:
            command(LogOptions(**options), **others)
        except (ConfigError, DataError) as error:
            raise type(error)(with_options(str(error))) from error

    called.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in (*shared, *own)}
    return called


def with_options(message: str) -> str:
    """Return a message with the options that set what it names.

    Examples
    --------
    >>> with_options("log: map it with log.columns.value")
    'log: map it with log.columns.value; on the command line: --value COLUMN'
    >>> with_options("log: no header: --set 'log.names=[]' (log.names in the TOML)")
    "log: no header: --set 'log.names=[]' (log.names in the TOML)"
    >>> with_options("config a.toml: als.factors: expected 1 or more, got 0")
    'config a.toml: als.factors: expected 1 or more, got 0; on the command line: --factors'
    """
    hyperparameter = re.search(r"(?:^|: )(\w+)\.(\w+): ", message)  # perhaps of a config
    named = [found[0] for found in _KEY.finditer(message)]
    if hyperparameter and hyperparameter[1] in recsys.models.MODELS:
        named.insert(0, f"model.{hyperparameter[2]}")
    if message.startswith("model: "):
        named.insert(0, "model.name")
    said = [key for key in named if f"--set '{key}=" in message]  # with an example of a value
    keys = [key for key in dict.fromkeys(named) if key in FLAGS or _is_key(key)]
    keys = [key for key in keys if key not in said]
    options = [
        f"{FLAGS[key]} COLUMN"
        if key.startswith("log.columns.")
        else FLAGS.get(key, f"--set {key}=...")
        for key in keys
    ]
    new = [option for option in dict.fromkeys(options) if option not in message]
    return f"{message}; on the command line: {', '.join(new[:_MOST_OPTIONS])}" if new else message


_KEY = re.compile(r"\b[a-z]+(?:\.[a-z_][a-z_0-9]*)+\b")
_MOST_OPTIONS = 3


def _is_key(key: str) -> bool:
    """Whether the config has a key, or a table in that place."""
    table, _, name = key.partition(".")
    if table == "model":
        known = [field.name for one in recsys.models.MODELS.values() for field in fields(one)]
    else:
        settings = getattr(recsys.Settings(), table, None)
        known = [one.name for one in fields(settings)] if is_dataclass(settings) else []
    return name.partition(".")[0] in known


def _put(tables: dict[str, Any], key: str, value: Any) -> None:
    """Put a value where a dotted key leads."""
    *path, last = key.split(".")
    here = tables
    for name in path:
        inner = here.get(name)
        here[name] = dict(inner) if isinstance(inner, Mapping) else {}
        here = here[name]
    here[last] = value


def _parsed(change: str) -> tuple[str, Any]:
    """Return the key and the value of ``table.key=value``; what is no TOML is a text."""
    key, equals, text = change.partition("=")
    key = key.strip()
    if not equals or not re.fullmatch(r"engine|[\w-]+(\.[^.=]+)+", key):
        raise ConfigError(
            f"--set: expected table.key=value, such as model.factors=64, got "
            f"{briefly(without_passwords(change))}; "
            "`recsys config` prints every table and key"
        )
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return key, text.strip()
    return key, text.strip() if isinstance(value, date | time) else value


def _note_guess(found: "Guessed") -> None:
    """Say what was guessed, and the command that asks for it, or for another reading."""
    data, guess = found.settings.data, found.log
    if guess is not None and guess.table:
        log = data.log or fetched(found.settings).name
        name = log if isinstance(log, str) else " ".join(log)
        note(f"{name}: {'; '.join(guess.sentences)}")
        if not guess.proposals:
            note(f"  which is: {_command(guess.table)}")
        for one in guess.proposals:
            note(f"  {one.sentence}: {_command(one.added_to(guess.table))}")
    if found.items is not None:
        note(f"{data.items}: {found.items}")


def _command(table: Mapping[str, Any]) -> str:
    """Return the command that was typed with the keys of a table of [log] as options."""
    columns = {f"columns.{ours}": theirs for ours, theirs in table.get("columns", {}).items()}
    flags: list[str] = []
    for key, value in {**columns, **table}.items():
        flag = FLAGS.get(f"log.{key}")
        if any(word == flag or word.startswith(f"{flag}=") for word in sys.argv):
            continue
        if isinstance(value, Mapping) and flag is not None:  # weights by types of events
            flags += [word for one, weight in value.items() for word in (flag, f"{one}={weight:g}")]
        elif flag is not None and value != "":
            flags += [flag, f"{value:g}" if isinstance(value, float) else str(value)]
        elif key != "columns":
            bare = f"log.{key}={value}"  # quotes are for a shell to lose
            is_clear = isinstance(value, str) and _parsed(bare)[1] == value
            flags += ["--set", bare if is_clear else f"log.{key}={toml_value(value)}"]
    return shlex.join(["recsys", *sys.argv[1:], *flags])
