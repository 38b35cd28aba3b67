"""When the output of a stage may be used again: while all that it was made of is the same."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recsys.base.distribution import installed_version
from recsys.base.durable import identity_of
from recsys.base.errors import DataError
from recsys.config import Settings
from recsys.logs.sources import LogFile, find_parts
from recsys.models import parameters_of


def key_of(*parts: Any) -> str:
    """Return a hash over plain values, and over the release of this package.

    Examples
    --------
    >>> key_of("train", {"factors": 8}) == key_of("train", {"factors": 8})
    True
    >>> key_of("train", {"factors": 8}) == key_of("train", {"factors": 9})
    False
    """
    text = json.dumps([_release(), *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def log_files(source: Any, log_format: Any) -> list[list[Any]]:
    """Return the facts of all files of a log, in reading order."""
    if not source:
        return []
    parts = find_parts(source, log_format)
    return files_facts(part.path for part in parts if isinstance(part, LogFile))


def files_facts(paths: Iterable[str | Path]) -> list[list[Any]]:
    """Return path, size, times and inode of files; one that was written anew differs."""
    return [facts_of_file(Path(path)) for path in paths]


def facts_of_file(path: Path) -> list[Any]:
    """Return path, size, times and inode of a file.

    Raises
    ------
    DataError
        If there is no such file, or it may not be looked at.
    """
    try:
        return [str(path.absolute()), *identity_of(path)]
    except OSError as error:
        raise DataError(
            f"{path}: expected a file, got {error.strerror!r}; mend the path in [data]"
        ) from error


def items_facts(settings: Settings) -> list[Any]:
    """Return the facts of the table of items, and how it is read."""
    data = settings.data
    return [files_facts([data.items]) if data.items else [], dict(data.item_columns)]


def plain_model(settings: Settings) -> dict[str, Any]:
    """Return the model of the settings, its name and its hyperparameters."""
    return {"name": settings.model.name, **parameters_of(settings.model)}


def plain_log(settings: Settings) -> dict[str, Any]:
    """Return the settings of ingest."""
    return asdict(settings.log)


def _release() -> str:
    return installed_version() or "checkout"
