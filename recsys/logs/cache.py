"""A cache of staged files: a log that grows by a file a day is read a file at a time.

What is kept of a file are its classified rows, as `recsys.logs.staging` writes them. What is read
from the cache passes through the same code as what is read anew: ids get their rows, events their
order and duplicates their weight from all files together.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from recsys.base.durable import identity_of, replace_text, replaced, sha256_of
from recsys.base.errors import DataError
from recsys.base.query_settings import QuerySettings
from recsys.logs.classify import FUTURE, SECONDS_PER_DAY, RowOutcome, RowRules
from recsys.logs.session import Session
from recsys.logs.sources import LogFile
from recsys.logs.staging import StagedFile, from_written, scanned, stage_copy
from recsys.settings import LogSettings

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.sql)


_FORMAT = 5
_APPLIED_AFTERWARDS = (
    "half_life_days",
    "popular_half_life_days",
    "duplicates",
    "order",
    "session_gap_minutes",
    "min_user_items",
    "min_item_users",
    "k_core",
    "max_rejected_share",
    "memory_limit",
    "max_memory",
)
_OF_THE_QUERY = tuple(one.name for one in fields(QuerySettings))  # whose rows are the file
_RACY_NS = 2_000_000_000  # a file may change without its time changing for as long as this


class LogCache:
    """The staged files of one log, in a folder.

    A file is read again if its content has changed, a setting that classifies rows has, or a row
    of it has come to lie in the future or no longer does. A file of the cache that is damaged is
    made again. What belongs to a file that the log no longer has is deleted.

    Parameters
    ----------
    folder : path
        Of nothing else; made if it is not there.

    Attributes
    ----------
    read, reused : list of str
        The files of the last log that were read, and those that were not.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self.read: list[str] = []
        self.reused: list[str] = []
        self._kept: set[str] = set()

    def begin(self) -> None:
        """Begin a log."""
        self.read, self.reused, self._kept = [], [], set()
        with self._errors_of_writing():
            self._folder.mkdir(parents=True, exist_ok=True)

    def stage(self, session: Session, file: LogFile, settings: LogSettings) -> StagedFile | None:
        """Return the classified rows of a file, read if they are not here; None without rows."""
        with self._errors_of_writing():
            return self._stage(session, file, settings)

    def _stage(self, session: Session, file: LogFile, settings: LogSettings) -> StagedFile | None:
        with _errors_of_reading(file):
            identity = identity_of(file.path)
        self._kept.add(_key_of(file.path))
        data = self._data_of(file)
        entry = _read_entry(data, file, settings, session.now)
        if entry is None or not _is_same(entry, identity, file):
            self.read.append(file.name)
            return self._read(session, file, settings, identity)
        self.reused.append(file.name)
        session.note_all(entry["notes"], file.name)
        if entry["facts"] != identity:  # another time or inode, the same content
            _write_entry(data, entry | {"facts": identity, "read_ns": time.time_ns()})
        return from_written(file.name, data, _rules_of(entry))

    def drop_others(self) -> None:
        """Delete what belongs to no file of the log that was read last."""
        with self._errors_of_writing():
            for path in self._folder.iterdir():
                if path.stem not in self._kept or path.suffix not in (".parquet", ".json"):
                    path.unlink()

    def _read(
        self, session: Session, file: LogFile, settings: LogSettings, identity: list[int]
    ) -> StagedFile | None:
        with _errors_of_reading(file):
            content = sha256_of(file.path)
            staged = stage_copy(session, file, settings)
            if staged is None:  # what has no rows is soon read
                return None
            if identity_of(file.path) != identity:  # it changed while it was read: keep nothing
                return staged
        data = self._data_of(file)
        _entry_of(data).unlink(missing_ok=True)  # which would not fit the new data
        with replaced(data) as aside:
            shutil.move(staged.path, aside, shutil.copyfile)  # perhaps from another disk
        latest, earliest = _bounds(session, data, staged.rules)
        entry = {
            "facts": identity,
            "read_ns": time.time_ns(),
            "content": content,
            "settings": _key_of_settings(file, settings),
            "data": sha256_of(data),
            "judgement": asdict(staged.rules),
            "latest": latest,
            "earliest_in_future": earliest,
            "notes": [said for said, names in session.notes.items() if file.name in names],
        }
        _write_entry(data, entry)
        return from_written(file.name, data, staged.rules)

    def _data_of(self, file: LogFile) -> Path:
        return self._folder / f"{_key_of(file.path)}.parquet"

    @contextmanager
    def _errors_of_writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"log cache {self._folder}: cannot be written: {error.strerror or error}; check "
                "that it is a folder that you may write to and that its disk has space left"
            ) from error


@contextmanager
def _errors_of_reading(file: LogFile) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"log {file.name}: cannot be read: {error.strerror or error}") from error


def _bounds(session: Session, data: Path, rules: RowRules) -> tuple[int | None, int | None]:
    """Return the latest second that was not in the future, and the earliest that was."""
    reasons = [outcome.reason for outcome in rules.outcomes]
    if FUTURE not in reasons:
        return None, None
    code = reasons.index(FUTURE) + 1  # a row of a later outcome was not in the future
    seconds = (
        f"SELECT max(seconds) FILTER (outcome = 0 OR outcome > {code}), "
        f"min(seconds) FILTER (outcome = {code}) FROM scan"
    )
    ((latest, earliest),) = session.rows(scanned([data], seconds))
    return (
        None if latest is None else int(str(latest)),
        None if earliest is None else int(str(earliest)),
    )


def _read_entry(
    data: Path, file: LogFile, settings: LogSettings, now: int
) -> dict[str, Any] | None:
    """Return the entry of a file if it still holds and the data is undamaged."""
    try:
        content = json.loads(_entry_of(data).read_bytes())
        entry: dict[str, Any] = content["entry"]
        if content["sha256"] != _checksum(entry):
            return None
        end = now + SECONDS_PER_DAY
        latest, earliest = entry["latest"], entry["earliest_in_future"]
        holds = (latest is None or latest < end) and (earliest is None or end < earliest)
        if not holds or entry["settings"] != _key_of_settings(file, settings):
            return None
        return entry if sha256_of(data) == entry["data"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_entry(data: Path, entry: Mapping[str, Any]) -> None:
    replace_text(_entry_of(data), json.dumps({"entry": entry, "sha256": _checksum(entry)}))


def _is_same(entry: Mapping[str, Any], identity: list[int], file: LogFile) -> bool:
    """Return whether a file is the one that was read: by its times, where these are enough."""
    is_settled = entry["read_ns"] - max(identity[1:3]) > _RACY_NS
    if entry["facts"] == identity and is_settled:
        return True
    with _errors_of_reading(file):
        return bool(entry["content"] == sha256_of(file.path))


def _rules_of(entry: Mapping[str, Any]) -> RowRules:
    known = dict(entry["judgement"])
    known["id_kinds"] = tuple(known["id_kinds"])
    known["outcomes"] = tuple(RowOutcome(**outcome) for outcome in known["outcomes"])
    return RowRules(**known)


def _key_of(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]


def _key_of_settings(file: LogFile, settings: LogSettings) -> str:
    """Return a key of all that a row is classified by, but the time."""
    others = {*_APPLIED_AFTERWARDS, *_OF_THE_QUERY}
    classifying = {k: v for k, v in asdict(settings).items() if k not in others}
    return _checksum([_FORMAT, file.format, file.compression, classifying])


def _entry_of(data: Path) -> Path:
    return data.with_suffix(".json")


def _checksum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
