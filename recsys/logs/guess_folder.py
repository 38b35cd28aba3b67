"""Which file of a folder is the log, and which the table of its items."""

from pathlib import Path
from typing import NamedTuple

from recsys.base.errors import ConfigError, DataError
from recsys.logs.guess import guess_log
from recsys.logs.guess_items import guess_items
from recsys.logs.log_guess import LogGuess
from recsys.logs.sources import LogFile, files_and_tables, listed
from recsys.settings import LogSettings

_MOST_FILES = 20  # of a folder that is looked into


class FolderGuess(NamedTuple):
    """The files of a folder that are of use, and which are, as a sentence."""

    log: Path
    items: Path | None
    sentence: str


def guess_folder(folder: str | Path, settings: LogSettings | None = None) -> FolderGuess | None:
    """Choose the log of a folder of files with different columns, and its table of items.

    The log is the largest file that has a user and an item. None where it is one log in many files,
    or none of them is a log.
    """
    folder, settings = Path(folder), settings or LogSettings()
    if not folder.is_dir():
        return None
    parts = files_and_tables(folder, settings.format).parts
    paths = [part.path for part in parts if isinstance(part, LogFile)]
    if not 1 < len(paths) <= _MOST_FILES:
        return None
    guesses = {path: guess for path in paths if (guess := _guess_of(path, settings)) is not None}
    logs = [path for path, guess in guesses.items() if _is_log(guess)]
    if not logs or len({guess.columns for guess in guesses.values()}) == 1:
        return None
    log = max(logs, key=lambda path: path.stat().st_size)
    item = guesses[log].table.get("columns", {}).get("item_id", "item_id")
    tables = [
        path for path in guesses if path not in logs and _has_titles(path, guesses[path], item)
    ]
    items = tables[0] if tables else None
    said = f"{log.name} is the log" + (f", {items.name} has its items" if items else "")
    others = [path.name for path in paths if path not in (log, items)]
    said += f"; not read: {listed(others)}" if others else ""
    return FolderGuess(log, items, said)


def _guess_of(path: Path, settings: LogSettings) -> LogGuess | None:
    try:
        return guess_log(path, settings)
    except (DataError, ConfigError):
        return None


def _is_log(guess: LogGuess) -> bool:
    named = guess.table.get("columns", {})
    return all(named.get(ours, ours) in guess.columns for ours in ("user_id", "item_id"))


def _has_titles(path: Path, guess: LogGuess, item: str) -> bool:
    """Whether a file is a table of items, with titles."""
    if {"item_id", "title"} <= set(guess.columns):
        return True
    return "title" in guess_items(path, item_column=item).settings.columns
