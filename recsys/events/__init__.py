"""Events: what users did since the last night, kept durably until a night has read it.

::

    event      an event, and what a database of events answers
    sqlite     the database as a file
    postgres   the database as a server
    recent     which users have done something lately, for the processes of one machine
    archive    the files that a night takes events to, and reads with its log

The service adds; a night takes; both delete. A version keeps in its manifest up to which number it
holds the events (`through_of`): what is newer is fresh, and counts in lists until the next version.
"""

from recsys.base.event_settings import EventSettings
from recsys.events.archive import NOTHING, Taken, take, through_of, trained_of
from recsys.events.database import drop_held, has_events, open_events
from recsys.events.deleted import without_deleted
from recsys.events.event import (
    Added,
    Changes,
    Deletion,
    Event,
    EventDatabase,
    Kept,
    OfUser,
    key_of,
)

__all__ = [
    "NOTHING",
    "Added",
    "Changes",
    "Deletion",
    "Event",
    "EventDatabase",
    "EventSettings",
    "Kept",
    "OfUser",
    "Taken",
    "drop_held",
    "has_events",
    "key_of",
    "open_events",
    "take",
    "through_of",
    "trained_of",
    "without_deleted",
]
