"""Write the lists of all users of a version to Parquet files, resumable."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.base.checks import as_path, require_a
from recsys.base.devices import Device, device_of, on_device
from recsys.base.durable import replace_text, replaced
from recsys.base.errors import ConfigError, DataError
from recsys.base.progress import OnStep, progress_bar
from recsys.base.rule_settings import plain_rules
from recsys.index import ItemRows
from recsys.serving.recommender import Recommender
from recsys.serving.request import Request

if TYPE_CHECKING:
    import pyarrow as pa

SETTINGS = "_batch.json"
"""Readers of a whole folder, of Arrow and of Spark, leave out what begins so."""

_BYTES_PER_ENTRY = 160  # of a list while its file is made: rows and scores twice, and five columns
_MIN_BYTES = 1 << 20
_MAX_SETTINGS_BYTES = 1 << 20
_OF = b"recsys.batch"  # metadata of a file: the settings of its lists
_HASHED = {  # of settings that are a hash, what they mean
    "sold_out": "what is not sold out now, by the file of rules.sold_out",
    "items": "these items (all that are not sold out, where none are named)",
}


@dataclass(frozen=True)
class ListSettings:
    """What the lists of a folder are; _batch.json holds it."""

    version: str
    k: int
    include_seen: bool
    where: str | None
    users_per_part: int
    rules: Mapping[str, Any] | None = None  # of the recommender
    sold_out: str | None = None  # a hash of the rows, where the rules name a file of it

    def to_dict(self) -> dict[str, Any]:
        """Return them as JSON has them: without rules, as before there were any."""
        found = asdict(self)
        for name in ("rules", "sold_out"):
            if found[name] is None:
                del found[name]
        return dict(json.loads(json.dumps(found, default=str)))  # dates as text

    def parts(self, n_users: int) -> list[str]:
        """Return the names of the files of all users, in the order of their rows."""
        return [f"part-{number:06}.parquet" for number in range(-(-n_users // self.users_per_part))]

    def rows(self, number: int, n_users: int) -> NDArray[np.int32]:
        """Return the rows of the users of a file."""
        first = number * self.users_per_part
        return np.arange(first, min(first + self.users_per_part, n_users), dtype=np.int32)

    @property
    def of(self) -> str:
        """What a file of these lists says that it is of."""
        return json.dumps(self.to_dict(), sort_keys=True)


def write_batch(
    recommender: Recommender,
    folder: str | Path,
    k: int = 10,
    *,
    include_seen: bool = False,
    where: str | None = None,
    memory_bytes: int = 512 * 1024**2,
    device: Device | None = None,
    progress: bool = False,
) -> Path:
    """Write the lists of all users of a version to a folder of Parquet files.

    A file holds as many users as the memory allows, and appears when it is complete. Called again
    after an interruption, it continues after the last file. A file that it did not write for these
    lists is an error, never taken for done and never written over. What is sold out, and the rules
    that have dates, hold in all files as they were when it was called; where a file of what is sold
    out has changed before it is called again, that is an error too.

    Parameters
    ----------
    folder : path
        Created if missing. `_batch.json` in it holds the settings of the lists.
    where : str, optional
        As in `Recommender.recommend`.
    memory_bytes : int
        Bound on the memory of the lists of one file, without the version itself.
    device : {"auto", "cpu", "cuda"}, optional
        As in `Recommender.recommend_many`; "auto" takes a card where the lists of a file pay.
    progress : bool
        Show a progress bar where stderr is a terminal.

    Returns
    -------
    path
        The folder. Columns: user_id, rank from 1, item_id, score, source.

    Raises
    ------
    DataError
        If the folder holds other lists, or is none that can be written to, or an argument cannot
        be understood.
    ConfigError
        If the memory is less than 1 MB, or a card is asked for by name and there is none.
    """
    with on_device(device_of(device)):
        settings, request = _asked(recommender, k, include_seen, where, memory_bytes)
        with (
            lists_in(folder, settings, len(recommender.all_users)) as folder,
            progress_bar("recommending", enabled=progress) as on_step,
        ):
            _write_files(recommender, folder, settings, request, on_step)
    return folder


def list_settings(
    recommender: Recommender,
    k: int,
    *,
    include_seen: bool = False,
    where: str | None = None,
    memory_bytes: int = 512 * 1024**2,
) -> ListSettings:
    """Return what lists are asked for; as in `write_batch`."""
    return _asked(recommender, k, include_seen, where, memory_bytes)[0]


def _asked(
    recommender: Recommender, k: int, include_seen: bool, where: str | None, memory_bytes: int
) -> tuple[ListSettings, Request]:
    """Return what lists are asked for, and the request of each, which holds from now on."""
    require_a("write_batch", recommender, Recommender, "a Recommender, as recsys.open returns it")
    if memory_bytes < _MIN_BYTES:
        raise ConfigError(f"memory: expected 1 MB or more, got {memory_bytes} bytes")
    # What cannot be asked leaves no folder.
    request = recommender.rows.request(k, include_seen=include_seen, where=where)
    recommender.rows.of_many([], request)
    settings = ListSettings(
        recommender.version,
        request.k,
        include_seen,
        where,
        max(1, memory_bytes // (_BYTES_PER_ENTRY * request.k)),
        plain_rules(recommender.rules),
        None if recommender.rules.sold_out is None else hash_of_rows(request.exclude),
    )
    return settings, request


def hash_of_rows(rows: ItemRows) -> str:
    """Return what says in settings which items are meant."""
    return hashlib.sha256(rows.tobytes()).hexdigest()[:16]


class Parted(Protocol):
    """What lists of a folder are, and the files that they are in."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        ...

    def parts(self, n: int, /) -> list[str]:
        """Return the names of the files of so many lists."""
        ...


@contextmanager
def lists_in(folder: str | Path, settings: Parted, n_users: int) -> Iterator[Path]:
    """Make a folder for lists, or see that it holds such; errors of the block name it."""
    folder = as_path("write_batch", folder)
    with _errors_of(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _require_same(folder, settings)
        names = set(settings.parts(n_users))
        for other in sorted({one.name for one in folder.glob("part-*.parquet")} - names):
            require_part(folder / other, "of no user")
        yield folder


@contextmanager
def _errors_of(folder: Path) -> Iterator[None]:
    """Turn errors of the operating system into one that names the folder."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder}: expected a folder to write lists to, got {error.strerror or error!s}; "
            "choose another, or look at its rights and its disk"
        ) from error


def _require_same(folder: Path, settings: Parted) -> None:
    """Write the settings of the lists, or compare them to those of the lists in the folder."""
    path, expected = folder / SETTINGS, settings.to_dict()
    if not os.path.lexists(path):
        there = sorted(one.name for one in folder.glob("part-*.parquet"))
        if there:
            raise DataError(
                f"{folder}: expected a folder without lists, got {there[0]} of lists that no "
                f"{SETTINGS} describes; choose another folder"
            )
        replace_text(path, json.dumps(expected))
        return
    found = _settings_in(path)
    for name, value in {"rules": None, "sold_out": None, **expected}.items():
        got = found.get(name)
        if type(got) is not type(value) or got != value:
            if name in _HASHED:
                raise DataError(
                    f"{folder}: expected a folder for lists of {_HASHED[name]}, got one that was "
                    "begun with others; choose another folder, or remove this one"
                )
            raise DataError(
                f"{folder}: expected a folder for lists with {name} {value!r}, got one with "
                f"{repr(got)[:60]}; choose another folder, or remove this one"
            )


def _settings_in(path: Path) -> dict[str, Any]:
    """Read the settings of the lists in a folder."""
    try:
        is_small = (
            path.is_file() and path.stat().st_size <= _MAX_SETTINGS_BYTES
        )  # a pipe would wait
        found = json.loads(path.read_bytes()) if is_small else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DataError(
            f"{path}: expected the settings of lists as JSON, got something else; choose another "
            "folder, or remove this one"
        )
    return found


def _write_files(
    recommender: Recommender,
    folder: Path,
    settings: ListSettings,
    request: Request,
    on_step: OnStep,
) -> None:
    n_users = len(recommender.all_users)
    for number in range(len(settings.parts(n_users))):
        write_part(recommender, folder, settings, number, request)
        on_step(int(settings.rows(number, n_users)[-1]) + 1, n_users)


def write_part(
    recommender: Recommender,
    folder: Path,
    settings: ListSettings,
    number: int,
    request: Request | None = None,
    *,
    many_writers: bool = False,
) -> None:
    """Write the file of some users, unless it is there; `many_writers` as in `replaced`."""
    users = recommender.all_users
    path = folder / settings.parts(len(users))[number]
    if os.path.lexists(path):
        require_part(path, settings.of)
        return
    if request is None:
        request = recommender.rows.request(
            settings.k, include_seen=settings.include_seen, where=settings.where
        )
    some = users.tolist(settings.rows(number, len(users)))
    table = recommender.rows.of_many(some, request).to_table()
    keep_part(table, path, settings.of, many_writers=many_writers)


def keep_part(table: "pa.Table", path: Path, of: str, *, many_writers: bool = False) -> None:
    """Write a file that says of which lists it is; it appears when it is complete."""
    import pyarrow.parquet as pq

    with replaced(path, many_writers=many_writers) as aside:
        pq.write_table(table.replace_schema_metadata({_OF: of}), aside, compression="zstd")


def require_part(path: Path, of: str) -> None:
    """Raise a DataError for a file that was not written for these lists."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = None
    with suppress(pa.ArrowException, OSError):
        if path.is_file():
            found = (pq.read_schema(path).metadata or {}).get(_OF)
    if found != of.encode():
        raise DataError(
            f"{path}: expected lists of these settings, got a file that was not written for them; "
            "remove it, and it is written anew"
        )
