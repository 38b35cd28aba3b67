"""Files of a log, or of a table of its items, that are objects: read from their local copies."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.base.errors import ConfigError, DataError
from recsys.objects import local_copy, object_address
from recsys.settings import LogFormat

if TYPE_CHECKING:
    from recsys.logs.sources import LogFile


def files_at(
    source: str | Path,
    find: "Callable[[str | Path, list[str], LogFormat], Iterable[LogFile]]",
    notes: list[str],
    log_format: LogFormat,
) -> "Iterable[LogFile]":
    """Return what `find` finds at a path, or in the local copy of an address, and says of that."""
    address = object_address(source)
    if address is None:
        return find(source, notes, log_format)
    copy, said = local_copy(address), list[str]()
    try:
        files = [*find(copy.path, said, log_format)]
    except (DataError, ConfigError) as error:
        raise type(error)(copy.shown(str(error))) from error
    notes.extend(map(copy.shown, said))
    return [replace(file, shown=copy.shown(file.path)) for file in files]


def local_path(source: str | Path, what: str) -> Path:
    """Return a path as it is, and for the address of an object its local copy."""
    address = object_address(source)
    return Path(source) if address is None else local_copy(address, what).path
