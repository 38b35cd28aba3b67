"""Which database holds the events of a store."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recsys.base.errors import EventsError
from recsys.base.event_settings import EventSettings
from recsys.events.archive import go_on_after_files, through_of, trained_of
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
    database: EventDatabase
    if settings.is_remote:
        from recsys.events.postgres import PostgresEvents  # an extra

        database = PostgresEvents(str(settings.database), settings.max_events, shared)
    else:
        from recsys.events.sqlite import SqliteEvents

        database = SqliteEvents(path_of(store, settings), settings.max_events, create=create)
    try:
        go_on_after_files(store, database)
    except EventsError:
        database.close()
        raise
    return database


def path_of(store: Path, settings: EventSettings) -> Path:
    """Return the file of a database that is no server."""
    return store / DEFAULT if settings.database is None else Path(settings.database)


def has_events(store: Path, settings: EventSettings) -> bool:
    """Return whether there is a database to read: nobody may have added an event yet."""
    return settings.enabled and (settings.is_remote or path_of(store, settings).exists())


def drop_held(
    database: EventDatabase,
    kept: Iterable[Mapping[str, Any]],
    current: Mapping[str, Any],
    max_events: int,
) -> int:
    """Delete from a database the events that versions hold; their files stay.

    Those that all kept versions were trained on; above half of the most events, those that the
    current one was, as a rollback is rarer than a full database; near the end also those that a
    refresh has added to what users have seen.

    Parameters
    ----------
    kept, current : mappings
        The data of manifests.

    Returns
    -------
    int
        How many were deleted.
    """
    identity = database.identity
    oldest = min((trained_of(one, identity) for one in kept), default=0)
    trained, through = trained_of(current, identity), through_of(current, identity)
    dropped = 0
    for number, share in ((oldest, 0.0), (trained, 0.5), (through, 0.9)):
        if database.n_events() > share * max_events:
            dropped += database.drop(number)
    return dropped
