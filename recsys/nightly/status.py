"""The state of a store: its current version, its last nights, and what needs a person."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.base.errors import StoreError
from recsys.logs.classify import SECONDS_PER_DAY
from recsys.nightly.stages import STAGES
from recsys.store import current, describe_versions
from recsys.store.nights import NightSummary, nights_of
from recsys.store.prune import lasting_leftovers, strays
from recsys.store.remote import shown_store, store_folder
from recsys.store.version_copies import VERSIONS

_ROOM = 2  # times the bytes of the largest version that a disk should have free


@dataclass(frozen=True)
class StoreStatus:
    """The state of a store.

    Parameters
    ----------
    current : str or None
        The version that is served.
    age_seconds : int or None
        Since it was published.
    versions : int
        How many there are, the damaged ones too.
    nights : tuple of NightSummary
        The last ones, newest first.
    newest_event : str or None
        Of the log that was read last, ISO 8601 in UTC.
    store_bytes, free_bytes : int
        Of all versions, and free on their disk.
    unread_bytes : int
        Of files of which only the size was checked.
    needs : tuple of str
        What a person has to look at, a sentence each; empty where all is well.
    """

    store: str
    current: str | None
    age_seconds: int | None
    versions: int
    nights: tuple[NightSummary, ...]
    newest_event: str | None
    store_bytes: int
    free_bytes: int
    unread_bytes: int
    needs: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return asdict(self)


def status(store: str | Path, n_nights: int = 7, *, deep: bool = False) -> StoreStatus:
    """Return the state of a store.

    Parameters
    ----------
    n_nights : int
        At most so many of the last nights.
    deep : bool
        Read every byte of every version; see `recsys.store.describe_versions`.

    Raises
    ------
    StoreError
        If there is no store, or it cannot be read.
    """
    store = store_folder(store)
    now, why = _current_of(store)
    rows = describe_versions(store, deep=deep)
    nights, unreadable = nights_of(store, n_nights, [stage.name for stage in STAGES])
    sizes = [row.get("bytes", 0) for row in rows]
    free = shutil.disk_usage(store).free
    row = next((row for row in rows if row["version"] == now), None)
    needs = [
        *filter(None, (why, unreadable)),
        *_needs_of_versions(now, rows),
        *(
            f"the last night, {one.run}: {one.result}: {one.error}"
            for one in nights[:1]
            if one.result not in ("done", "running")
        ),
        *lasting_leftovers(store / VERSIONS),
        *strays(store / VERSIONS),
    ]
    if nights and os.statvfs(store).f_flag & os.ST_RDONLY:
        needs.append(f"{store}: its disk is mounted read-only here: no night can publish")
    if free < _ROOM * max(sizes, default=0):
        needs.append(f"disk: {free / 1e6:,.0f} MB free, less than two versions take")
    return StoreStatus(
        store=shown_store(store),
        current=now,
        age_seconds=None if row is None else row.get("age_seconds"),
        versions=len(rows),
        nights=nights,
        newest_event=_newest_event(nights, row),
        store_bytes=sum(sizes),
        free_bytes=free,
        unread_bytes=sum(row.get("unread_bytes", 0) for row in rows),
        needs=tuple(needs),
    )


def _newest_event(
    nights: tuple[NightSummary, ...], current: Mapping[str, Any] | None
) -> str | None:
    """Return what the last night read, else what the current version was trained on."""
    of_nights = [night.newest_event for night in nights if night.newest_event]
    window = (current or {}).get("window")
    if of_nights or not window:
        return next(iter(of_nights), None)
    return datetime.fromtimestamp(window[1], UTC).isoformat()


def _current_of(store: Path) -> tuple[str | None, str | None]:
    """Return the current version, and what is wrong with CURRENT."""
    try:
        named = current(store)
    except StoreError as error:
        if not store.is_dir():
            raise
        return None, str(error)
    return named, None if named else "no version is current: train one, or activate one"


def _needs_of_versions(now: str | None, rows: list[dict[str, Any]]) -> Iterator[str]:
    if now is not None and all(row["version"] != now for row in rows):
        yield f"CURRENT names version {now}, which the store does not hold"
    for row in rows:
        if "damaged" in row:
            yield f"version {row['version']} is damaged: {row['damaged']}"
        if "unreadable" in row:
            yield f"version {row['version']}: {row['unreadable']}"
        if row.get("age_seconds", 0) < -SECONDS_PER_DAY:
            yield (
                f"version {row['version']} was published in the future, {row['created']}: a clock "
                "was wrong; the names of later versions follow it"
            )
