"""What a call takes: a log of any kind, a table of items, and settings as keywords."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from recsys.base.errors import ConfigError, DataError, did_you_mean
from recsys.base.feature_settings import KEYS
from recsys.config import TABLES, Settings, read_config, settings_from, with_tables
from recsys.features import Described
from recsys.logs import (
    Fetched,
    Interactions,
    LogGuess,
    fetch,
    guess_items,
    guess_log,
    item_ids,
    read_items,
    read_log,
    read_users,
    titles_of,
)
from recsys.logs.columns import KEYWORDS, known_columns
from recsys.logs.session import warn
from recsys.logs.sources import ItemSource, LogSource, arrow_table
from recsys.objects import use_cache
from recsys.settings import ItemSettings, SplitSettings

AnyLog: TypeAlias = "Interactions | LogSource"
AnySettings: TypeAlias = Settings | Mapping[str, Any] | str | Path | None

_TABLES = tuple(table.name for table in TABLES)


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a call works on."""

    settings: Settings
    log: Interactions
    test: Interactions | None
    items: pa.Table | None
    users: pa.Table | None = None


def settings_of(
    what: str, settings: AnySettings, options: Mapping[str, Any], tables: Sequence[str]
) -> Settings:
    """Return the settings of a call: those given, with the keywords, which win.

    Parameters
    ----------
    what : str
        The call, for errors.
    settings : Settings, mapping, path or None
        Tables as a config has them, or keys such as "index.kind"; a path is that of a TOML file.
    options : mapping
        By keyword: a table (``index={"kind": "exact"}``), a key of one of `tables` (``k=10``), a
        column of the log (``user="userId"``), `model` or `factors`. None is as if not given.
    tables : sequence of str
        Tables whose keys are keywords; the first that has a key takes it.

    Raises
    ------
    ConfigError
        If a keyword is unknown, or a value is of the wrong type or out of range.
    """
    found = _base(what, settings)
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(given.get("split"), SplitSettings):
        given["evaluation"] = given.pop("split")
    features = {key: given.pop(key) for key in KEYS.values() if key in given}
    factors = given.pop("factors", None) if "tune" not in tables else None
    whole = {name: given.pop(name) for name in [*given] if _is_table(name, given[name])}
    found = with_tables(found, whole)
    keys: dict[str, dict[str, Any]] = {}
    columns = {ours: given.pop(name) for name, ours in KEYWORDS.items() if name in given}
    for name, value in given.items():
        keys.setdefault(_table_of(what, name, tables), {})[name] = value
    if columns:
        log = keys.setdefault("log", {})
        log["columns"] = {**found.log.columns, **log.get("columns", {}), **columns}
    found = with_tables(found, keys)
    if features:
        found = with_tables(found, {"model": features})
    return found if factors is None else _with_factors(found, factors)


def inputs_of(
    what: str,
    log: "AnyLog | None",
    settings: AnySettings,
    options: Mapping[str, Any],
    tables: Sequence[str],
    *,
    test: "AnyLog | None" = None,
    items: "ItemSource | None" = None,
    users: "ItemSource | None" = None,
    takes_items: bool = False,
    progress: bool = False,
) -> Inputs:
    """Return what a call works on: its settings, as of `settings_of`, and what they read.

    Columns of the log and of the items that neither are called as ours nor named are guessed, and
    a warning says how; not where `settings` is a file or an object, which say all. Where a call
    that takes items has none, titles are taken from the log, if it has them. What is not given is
    that of ``[data]``; the test part and the items are not where an object comes with a log.
    """
    found = settings_of(what, settings, options, tables)
    found.require_local(what)
    use_cache(found.data.cache)
    if log is None or not isinstance(settings, Settings):
        test = found.data.test or None if test is None else test
        items = found.data.items if items is None and takes_items else items
        users = found.data.users if users is None and takes_items else users
    log = found.data.log or None if log is None else log
    if log is None and found.log.sql is not None:
        log = fetch(found.log, progress=progress)
    late = [name for name, one in options.items() if one is not None and _says_how_to_read(name)]
    if isinstance(log, Interactions) and late:
        raise ConfigError(
            f"{what}: {late[0]} says how a log is read, and Interactions were read before; give it "
            "to recsys.read_log, or pass the table or the path"
        )
    log = _once_in_memory(log)
    guess = Guessed(found)
    if settings is None or isinstance(settings, Mapping):
        guess = guessed(found, log, items, titles_too=takes_items)
        _warn_of_guess(guess)
        found = guess.settings
    how, attributes = found.data.item_settings, None
    if items is not None:
        how = ItemSettings() if _was_read(items, how.columns) else how
        attributes = read_items(items, how)
    elif guess.source is not None:
        attributes = read_items(guess.source, how)
    return Inputs(
        found,
        _interactions(log, found, progress),
        None if test is None else _interactions(test, found, progress),
        attributes,
        None if users is None else users_of(found, users),
    )


def users_of(settings: Settings, source: ItemSource) -> pa.Table:
    """Read a table of user attributes as settings say."""
    return read_users(source, settings.data.user_columns, settings.log.columns.get("user_id"))


def _was_read(items: ItemSource, columns: Mapping[str, str]) -> bool:
    """Whether a table is one that `recsys.read_items` returned, whose columns have our names."""
    return isinstance(items, pa.Table) and set(columns) <= set(items.column_names)


def _once_in_memory(log: "AnyLog | None") -> AnyLog:
    """Return a table of another library as Arrow, so that it is converted once."""
    kept = Interactions | str | Path | Sequence | pa.RecordBatchReader | Fetched
    is_other = not isinstance(log, kept)
    return arrow_table(log, "log") if is_other else log


class Guessed(NamedTuple):
    """Settings with the columns of the log and of the table of items guessed."""

    settings: Settings
    log: LogGuess | None = None
    items: str | None = None  # what was guessed of the table of items, in words
    source: str | Path | pa.Table | None = None  # the log, where it is a table of items as well


def guessed(
    settings: Settings, log: AnyLog, items: "ItemSource | None", *, titles_too: bool = True
) -> Guessed:
    """Return settings with what they do not say of the columns of a log and of its items.

    Without items, their titles are taken from the log, if that is asked and it has them.
    """
    how = settings.data.item_settings
    guess = None
    if not isinstance(log, Interactions):
        guess = guess_log(log, settings.log, () if items is None else item_ids(items, how))
    if guess is not None:
        settings = replace(settings, log=replace(settings.log, **guess.table))
    if items is None:
        found = Guessed(settings, guess)
        return _with_titles_of_log(found, log) if titles_too else found
    column = settings.log.columns.get("item_id")
    read = None if isinstance(log, Interactions) else known_columns(settings.log)
    how, words = guess_items(items, settings.data.item_settings, column, read)
    data = replace(settings.data, item_columns=how.columns, items_text=how.text)
    return Guessed(replace(settings, data=data), guess, words)


def _with_titles_of_log(found: Guessed, log: AnyLog) -> Guessed:
    """Take the titles of items from the log itself, where it is one file or table that has them."""
    source = log[0] if isinstance(log, list | tuple) and len(log) == 1 else log
    if not isinstance(source, str | Path | pa.Table):
        return found
    how = titles_of(source, found.settings.log)
    if how is None:
        return found
    name = None if isinstance(source, pa.Table) else str(source)
    data = replace(found.settings.data, items=name, item_columns=how.columns, items_text=how.text)
    title = how.columns["title"]
    words = f"{'column ' if title.isdigit() else ''}{title} has the titles of its items"
    return Guessed(replace(found.settings, data=data), found.log, words, source)


def _warn_of_guess(found: Guessed) -> None:
    """Warn of what was guessed, but for ids of items that are called as in the log."""
    if found.log is not None and found.log.table:
        others = [f"{one.sentence}: {_keywords(one.table)}" for one in found.log.proposals]
        warn(f"log: {'; '.join([*found.log.sentences, *others])}")
    column, columns = found.settings.log.columns.get("item_id"), found.settings.data.item_columns
    is_guess = any(theirs not in (ours, column) for ours, theirs in columns.items())
    if found.items and (is_guess or found.source is not None):
        warn(f"items: {found.items}")


def _keywords(table: Mapping[str, Any]) -> str:
    """Return keys of [log] as the keywords of a call."""
    names = {ours: name for name, ours in KEYWORDS.items()}
    columns = {names[ours]: theirs for ours, theirs in table.get("columns", {}).items()}
    keys = {key: value for key, value in table.items() if key != "columns"}
    return ", ".join(f"{name}={value!r}" for name, value in {**columns, **keys}.items())


def _interactions(log: AnyLog, settings: Settings, progress: bool) -> Interactions:
    if isinstance(log, Interactions):
        return log
    return read_log(log, settings.log, progress=progress)


def _base(what: str, settings: AnySettings) -> Settings:
    if settings is None:
        return Settings()
    if isinstance(settings, Settings):
        return settings
    if isinstance(settings, str | Path):
        return read_config(settings)
    if isinstance(settings, Mapping):
        return settings_from(_nested(settings))
    raise DataError(
        f"{what}: settings: expected Settings, a dict of their tables or the path of a TOML file, "
        f"got {type(settings).__name__}"
    )


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables in which "index.kind" is the key kind of the table index."""
    tables: dict[str, Any] = {}
    for name, value in settings.items():
        table, _, key = str(name).partition(".")
        if key:
            tables[table] = {**tables.get(table, {}), key: value}
        elif isinstance(value, Mapping):
            tables[table] = {**tables.get(table, {}), **value}
        else:
            tables[table] = value
    return tables


def _is_table(name: str, value: Any) -> bool:
    if name in _keys_of("log"):  # events={"view": 1.0} are the kinds of a log
        return is_dataclass(value)
    return name == "model" or (
        name in _TABLES and (isinstance(value, Mapping) or is_dataclass(value))
    )


_OF_A_VERSION = {"popular_half_life_days", "trending_days"}  # and not of how a log is read


def _says_how_to_read(name: str) -> bool:
    return name in KEYWORDS or name in set(_keys_of("log")) - _OF_A_VERSION


def _keys_of(table: str) -> list[str]:
    return [key.name for key in fields(getattr(Settings(), table))]


def _table_of(what: str, name: str, tables: Sequence[str]) -> str:
    """Return the first table that has a key; a ConfigError where none of them has it."""
    if name == "seed" and "tune" not in tables:
        raise ConfigError(
            f"{what}: seed: expected what it is the seed of; write model=recsys.ALS(seed=1), or "
            'evaluation={"seed": 1} for the random split'
        )
    for table in tables:
        if name in _keys_of(table):
            return table
    if name in _TABLES:
        raise ConfigError(f"{what}: {name}: expected a dict of its keys, or an object of its class")
    elsewhere = [table for table in _TABLES if table != "model" and name in _keys_of(table)]
    if elsewhere:
        hint = f"; write {elsewhere[0]}={{{name!r}: ...}}"
    else:
        known = [
            "model",
            *KEYWORDS,
            *_TABLES,
            *(key for table in tables for key in _keys_of(table)),
        ]
        hint = did_you_mean(name, known) or "; docs/settings.md lists them"
    raise ConfigError(f"{what}: unknown keyword {name!r}{hint}")


def _with_factors(settings: Settings, factors: int) -> Settings:
    """Return settings with a number of factors: of the model, or the most that is chosen."""
    if settings.model is None:
        return with_tables(settings, {"auto": {"factors": factors}})
    return replace(settings, model=settings.model.with_factors(factors))


def read_test(settings: Settings) -> Interactions | None:
    """Read the test part that the settings name, if they do."""
    return read_log(settings.data.test, settings.log) if settings.data.test else None


def read_attributes(settings: Settings) -> pa.Table | None:
    """Read the table of item attributes that the settings name, if they do."""
    if settings.data.items is None:
        return None
    return read_items(settings.data.items, settings.data.item_settings)


def read_user_attributes(settings: Settings) -> pa.Table | None:
    """Read the table of user attributes that the settings name, if they do."""
    return None if settings.data.users is None else users_of(settings, settings.data.users)


def warn_of_unused_features(what: str, settings: Settings) -> None:
    """Say once that models are fitted without attributes, where settings name some."""
    if settings.features:
        warn(
            f"model.{next(iter(settings.features.to_dict()))}: {what} fits models without "
            "attributes, which train, evaluate and a night take"
        )


def read_described(
    settings: Settings, items: pa.Table | None = None, users: pa.Table | None = None
) -> Described | None:
    """Read and encode the tables that the settings name, where a model is to know of them."""
    if not settings.features:
        return None
    if items is None and settings.features.items:
        items = read_attributes(settings)
    if users is None and settings.features.users:
        users = read_user_attributes(settings)
    return Described.of(settings.features, items, users)
