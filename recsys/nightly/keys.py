"""What the result of a stage depends on, as the parts of a key."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Literal

from recsys.base.durable import identity_of
from recsys.base.errors import DataError
from recsys.config import Settings
from recsys.logs import local_path
from recsys.logs.sources import LogFile, files_and_tables
from recsys.models import parameters_of
from recsys.nightly.context import Context

Input = Literal["data.log", "data.test", "data.items", "data.users", "events", "current version"]


def setting(settings: Settings, name: str) -> Any:
    """Return the value of a setting, or all values of a table, in plain types."""
    value = reduce(getattr, name.split("."), settings)
    if name == "model":
        model = settings.model
        return None if model is None else {"name": model.name, **parameters_of(model)}
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def identity(night: Context, name: Input) -> Any:
    """Return a value that changes when an input does."""
    data = night.settings.data
    if name == "current version":
        return night.run.parent
    if name == "events":  # what comes while a run is resumed is for the next one; not deletions
        deleted = {} if night.events is None else night.events.deletions()
        return max((one.number for one in deleted.values()), default=0)
    if name in ("data.items", "data.users"):
        table = data.items if name == "data.items" else data.users
        return _identities([local_path(table, name.removeprefix("data."))] if table else [])
    source = data.log if name == "data.log" else data.test
    if not source:
        return []
    found = files_and_tables(source, night.settings.log.format).parts
    return _identities(file.path for file in found if isinstance(file, LogFile))


def _identities(paths: Iterable[str | Path]) -> list[list[Any]]:
    """Return path and identity of files, which differ once a file was written again."""
    try:
        return [[str(Path(path).absolute()), *identity_of(Path(path))] for path in paths]
    except OSError as error:
        raise DataError(
            f"{error.filename}: expected a file, got {error.strerror!r}; correct the path in [data]"
        ) from error


def hashed(*plain: Any) -> str:
    """Return a hash of plain values."""
    text = json.dumps(plain, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
