"""Which database holds the events of a store."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recsys.base.event_settings import EventSettings
from recsys.events.archive import trained_of
from recsys.events.event import EventDatabase

DEFAULT = Path("events", "live.sqlite")


def open_events(
    store: Path, settings: EventSettings, *, create: bool = True, shared: Path | None = None
) -> EventDatabase:
    """Open the database of the events of a store.

    Parameters
    ----------
    store : path
        Its folder.
    create : bool
        Make the file where there is none.
    shared : path, optional
        A folder that the processes of this machine share.

    Raises
    ------
    EventsError
        If it cannot be opened.
    """
    if settings.is_remote:
        from recsys.events.postgres import PostgresEvents  # an extra

        return PostgresEvents(str(settings.database), settings.max_events, shared)
    from recsys.events.sqlite import SqliteEvents

    return SqliteEvents(path_of(store, settings), settings.max_events, create=create)


def path_of(store: Path, settings: EventSettings) -> Path:
    """Return the file of a database that is no server."""
    return store / DEFAULT if settings.database is None else Path(settings.database)


def has_events(store: Path, settings: EventSettings) -> bool:
    """Return whether there is a database to read: nobody may have added an event yet."""
    return settings.enabled and (settings.is_remote or path_of(store, settings).exists())


def drop_held(database: EventDatabase, kept: Iterable[Mapping[str, Any]]) -> int:
    """Delete from a database the events that all kept versions hold, by the data of manifests."""
    identity = database.identity
    return database.drop(min((trained_of(one, identity) for one in kept), default=0))
