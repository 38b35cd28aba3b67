"""Which column of a table of items is the id, and which the title."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from recsys.base.errors import ConfigError, DataError
from recsys.logs.column_kinds import Column
from recsys.logs.columns import NAMES, plain_name
from recsys.logs.object_files import local_path
from recsys.logs.sample import LogSample, sample_of, sample_of_all, spread_sample
from recsys.logs.sources import (
    ItemSource,
    LogFile,
    TableStream,
    arrow_table,
    as_file,
    files_and_tables,
)
from recsys.settings import ItemSettings, LogSettings, TextSettings

_TITLES = (
    *("title", "name", "itemtitle", "itemname", "movietitle", "booktitle", "producttitle"),
    *("productname", "prodname", "artistname", "trackname", "songname", "videotitle", "headline"),
    *("animetitle", "artikelname", "artikelbezeichnung", "produktname", "bezeichnung", "titel"),
    *("titre", "titulo", "titolo", "nombre", "description", "productdescription"),
)


class ItemGuess(NamedTuple):
    """How a table of items is read, and what was guessed of it, as a sentence; None if nothing."""

    settings: ItemSettings
    sentence: str | None = None


def guess_items(
    source: ItemSource,
    settings: ItemSettings | None = None,
    item_column: str | None = None,
    log_columns: Mapping[str, str] | None = None,
) -> ItemGuess:
    """Guess which column of a table of items is the id and which the title.

    Parameters
    ----------
    source : path or table
        As for `read_items`.
    settings : ItemSettings, optional
        What is known; where it maps columns, nothing is guessed.
    item_column : str, optional
        What the log calls the item: the column of the same name is the id.
    log_columns : mapping, optional
        Our name to the log's name of the columns that are read of it. Where the table has the users
        of the log as well, its rows are events, and only what is the same in all rows of an item is
        an attribute.

    Raises
    ------
    DataError
        If the rows are events, and no column but that of ids says anything of items.
    """
    settings = settings or ItemSettings()
    if settings.columns:
        return ItemGuess(settings)
    try:
        sample = sample_of_all(_opened(source), settings.text)
    except (ConfigError, DataError):
        return ItemGuess(settings)  # who reads it says what is wrong
    if sample is None:
        return ItemGuess(settings)
    columns = [Column(name, values) for name, values in sample.columns.items()]
    if settings.text.decimal == "." and any(one.has_decimal_commas for one in columns):
        settings = replace(settings, text=replace(settings.text, decimal=","))
    if not sample.has_names:
        return _without_names(columns, settings)
    item = _item(columns, item_column)
    title = next((one for name in _TITLES for one in columns if plain_name(one.name) == name), None)
    if item is not None and _are_events(sample, item.name, (log_columns or {}).get("user_id")):
        return _of_events(sample, settings, item, log_columns or {})
    if item is None or (item.name == "item_id" and title in (None, item)):
        return ItemGuess(settings)
    found = {"item_id": item.name}
    if title is not None and title is not item:
        found["title"] = title.name
    if all(ours == theirs for ours, theirs in found.items()):
        return ItemGuess(settings)
    words = " and ".join(
        f"{theirs} is the {_WORDS[ours]}" for ours, theirs in found.items() if ours != theirs
    )
    if len(found) > 1:  # where another column than the id is mapped, only mapped ones are kept
        others = [one.name for one in columns if one.name not in found.values()]
        found |= {name: name for name in others if name not in found}
    return ItemGuess(replace(settings, columns=found), words)


def item_ids(source: ItemSource, settings: ItemSettings | None = None) -> frozenset[str]:
    """Return ids of a table of items from all over it; none where it cannot be read."""
    if isinstance(source, pa.RecordBatchReader):  # which can be read once
        return frozenset()
    try:
        found = guess_items(source, settings).settings
        sample = sample_of_all(_opened(source), found.text)
    except (ConfigError, DataError):
        return frozenset()
    ids = [] if sample is None else sample.columns.get(found.columns.get("item_id", "item_id"), [])
    return frozenset(str(one) for one in ids if one is not None)


def _are_events(sample: LogSample, item: str, user: str | None) -> bool:
    """Whether items have several users each: one alone may be who made the item."""
    return user in sample.columns and user != item and _clear_share(sample, user, item) < _OF_ONE


def _of_events(
    sample: LogSample, settings: ItemSettings, item: Column, log_columns: Mapping[str, str]
) -> ItemGuess:
    """Take the columns that have one value for an item, and are not of the log."""
    others = set(log_columns.values()) | {item.name}
    kept = [
        name
        for name in sample.columns
        if name not in others
        and plain_name(name) not in NAMES["user_id"]
        and _clear_share(sample, name, item.name) > _CLEAR
    ]
    if not kept:
        raise DataError(
            "items: expected a table of items, got events of the log, with no column that is the "
            "same in all rows of an item, such as a title; leave out --items (data.items), or "
            "give a table of items"
        )
    title = next((name for one in _TITLES for name in kept if plain_name(name) == one), None)
    found = {"item_id": item.name} | ({"title": title} if title else {})
    found |= {name: name for name in kept if name != title}
    left_out = [name for name in sample.columns if name not in found.values()]
    words = f"its rows are events; {', '.join(kept)} are kept"
    more = f", {', '.join(left_out)} left out" if left_out else ""
    return ItemGuess(replace(settings, columns=found), f"{words}{more}")


def _opened(source: ItemSource) -> Sequence[LogFile | TableStream]:
    if not isinstance(source, str | Path):
        return [TableStream(arrow_table(source, "items").to_reader(), "table")]
    path = local_path(source, "items")
    if path.is_dir():
        return files_and_tables(path).parts
    return [as_file(path, "auto", "items")]


_WORDS = {"item_id": "item", "title": "title"}


def _item(columns: list[Column], item_column: str | None) -> Column | None:
    """Return the column of ids: ours, the log's, one that others call so, or the first."""
    by_name = {one.name: one for one in columns}
    for name in ("item_id", item_column):
        if name in by_name:
            return by_name[name]
    wanted = {plain_name(item_column or ""), "id", "itemid"}
    same = [one for one in columns if plain_name(one.name) in wanted]
    names = [name for name in NAMES["item_id"] if name not in _TITLES]
    known = [one for name in names for one in columns if plain_name(one.name) == name]
    ids = [one for one in known if len(one.counts) == len(one.values)]
    found = [*same, *ids, *known]
    return found[0] if found else None


def _without_names(columns: list[Column], settings: ItemSettings) -> ItemGuess:
    """Take the first column for the id and the first one of words for the title."""
    item, *others = columns
    words = [one for one in others if any(re.search(r"[^\W\d_]", text) for text in one.texts)]
    if not words or len(item.counts) < len(item.values):
        return ItemGuess(settings)
    title = words[0]
    found = {"item_id": item.name, "title": title.name}
    found |= {f"column_{one.name}": one.name for one in words[1:]}
    text = replace(settings.text, header=False)
    sentence = f"column {item.name} is the item and column {title.name} the title"
    return ItemGuess(ItemSettings(found, text), sentence)


def titles_of(log: str | Path | pa.Table, settings: LogSettings) -> ItemSettings | None:
    """Return how a log itself is read as a table of items, where it has a title of each item.

    A column of titles has one text for an item, whoever the user is.
    """
    item = settings.columns.get("item_id", "item_id")
    sample = _sample_of_log(log, settings)
    if sample is None or item not in sample.columns:
        return None
    names = _TITLES if sample.has_names else [*sample.columns]
    taken = set(settings.columns.values())
    for name in names:
        for column in sample.columns:
            is_called = plain_name(column) == name
            if is_called and not sample.has_names:
                is_called = column not in taken and _are_words(sample.columns[column])
            if is_called and column != item and _is_of(sample, column, item):
                text = {one.name: getattr(settings, one.name) for one in fields(TextSettings)}
                return ItemSettings({"item_id": item, "title": column}, TextSettings(**text))
    return None


def _sample_of_log(log: str | Path | pa.Table, settings: LogSettings) -> LogSample | None:
    """Return rows of a file or a table, None of what is large or cannot be read."""
    if isinstance(log, pa.Table):
        return None if log.nbytes > _MOST_BYTES else spread_sample(log)
    path = Path(log)
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return None
    try:
        return sample_of(as_file(path, settings.format), settings)
    except (ConfigError, DataError):
        return None


_WORD = re.compile(r"[^\W\d_]{2}")
_HEX = re.compile("[0-9a-fA-F-]{8,}")


def _are_words(values: list[object]) -> bool:
    texts = [str(one) for one in values if one is not None]
    n_words = sum(_WORD.search(one) is not None and not _HEX.fullmatch(one) for one in texts)
    return n_words > _CLEAR * len(values)


def _is_of(sample: LogSample, column: str, item: str) -> bool:
    """Whether a column has the titles of items: it has one value for nearly all items."""
    values = _values_of(sample, column, item)
    n_rows = sum(one is not None for one in sample.columns[item])
    is_repeated = n_rows > _SEEN_AGAIN * len(values)
    n_titles = len({value for one in values for value in one})
    is_clear = _clear_share(sample, column, item) > _CLEAR
    return is_repeated and is_clear and n_titles > len(values) / 2


def _clear_share(sample: LogSample, column: str, item: str) -> float:
    """Return the share of items for which a column has one value."""
    values = _values_of(sample, column, item)
    return sum(len(one) == 1 for one in values) / max(len(values), 1)


def _values_of(sample: LogSample, column: str, item: str) -> list[set[str]]:
    """Return the values that a column has for each item that has one."""
    values: dict[object, set[str]] = {}
    for id_, value in zip(sample.columns[item], sample.columns[column], strict=True):
        if id_ is not None and value is not None:
            values.setdefault(id_, set()).add(str(value))  # a list cannot be in a set
    return list(values.values())


_MOST_BYTES = 256 << 20  # of a log that is read a second time, for its titles
_SEEN_AGAIN = 1.5  # rows of an item in the mean, to know what changes from one to the next
_OF_ONE = 0.95  # of the items of a table have one user at most, unless its rows are events
_CLEAR = 0.8  # of the items; shops correct what they call things
