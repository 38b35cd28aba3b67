"""What users have done since the open version was made: kept, and counted in their lists."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock

from recsys.base.errors import DataError, EventsError, EventsFullError
from recsys.base.event_settings import EventSettings
from recsys.events import (
    Added,
    Event,
    EventDatabase,
    OfUser,
    has_events,
    open_events,
    through_of,
    trained_of,
)
from recsys.events.weights import EventWeights
from recsys.service.group_commit import GroupCommit, Result
from recsys.service.patience import Patience, TooSlowError
from recsys.service.problems import ProblemError
from recsys.serving import Recommender
from recsys.serving.fresh import Since
from recsys.serving.request import Request
from recsys.serving.results import Explanation, RowList
from recsys.serving.row_lists import OnUnknown
from recsys.store import Content
from recsys.vectors import Id

log = logging.getLogger("recsys.service")

_MICROSECONDS_PER_DAY = 86_400_000_000
_LOST_SECONDS = 1.0  # for which a database that is lost is not asked again
_READ_SECONDS, _LOOK_SECONDS = 1.0, 5.0  # for which lists, and new versions, wait for it


class Live:
    """The events of a store, for one worker.

    Parameters
    ----------
    store : path
        Its folder.
    settings : EventSettings
    shared : path, optional
        The folder that the workers of one service share.
    count : callable
        Called with the name of something to count, and how much.
    """

    def __init__(
        self,
        store: Path,
        settings: EventSettings,
        shared: Path | None,
        count: Callable[[str, float], None],
    ) -> None:
        self._store, self.settings, self._shared, self._count = store, settings, shared, count
        self.database: EventDatabase | None = None
        self._was_open = False  # a database that is lost is not made again: that would hide it
        self._lost_until = 0.0
        self._lock = Lock()
        self._commits = GroupCommit(self._add)
        self._reads = Patience("recsys-events-read", _READ_SECONDS)
        self._looks = Patience("recsys-events-look", _LOOK_SECONDS)

    async def add(self, events: Sequence[Event], seconds: float) -> Result:
        """Keep events; they are durable, and seen by all workers, when this returns."""
        self._require_enabled()
        return await self._commits.add(events, seconds)

    def delete_user(self, user_id: str, not_before: int) -> int:
        """Delete the events of a user; see `EventDatabase.delete_user`."""
        self._require_enabled()
        with self._lock:
            database = self._opened(create=True)
        n = database.delete_user(user_id, not_before)
        self._count("users_deleted", 1)
        return n

    def of_user(self, user_id: str) -> OfUser | None:
        """Return the events of a user; None where the database is lost: lists go on without."""
        database = self.database
        if database is None or time.monotonic() < self._lost_until:
            return None
        try:
            return self._reads.ask(partial(database.of_user, user_id))
        except EventsError as error:
            self._lost_until = time.monotonic() + _LOST_SECONDS
            self._count("events_lost", 1)
            log.error("lists are made without the events since the version: %s", error)
            return None

    def refresh(self, trained: Callable[[EventDatabase], int]) -> None:
        """Look at the database: open it where it is there, note what other machines added.

        Parameters
        ----------
        trained : callable
            Returns up to which number the embeddings of the open version are made of its events.
        """
        if not has_events(self._store, self.settings):
            return
        try:
            self._looks.ask(partial(self._look, trained))
        except EventsError as error:
            log.error("cannot look for events: %s", error)
            if not isinstance(error, TooSlowError):
                self._close()

    def _look(self, trained: Callable[[EventDatabase], int]) -> None:
        with self._lock:
            database = self._opened(create=False)
        database.recent.refresh(trained(database))

    def stop(self) -> None:
        """Keep what waits, and close."""
        self._commits.stop()
        self._reads.stop()
        self._looks.stop()
        self._close()

    def _add(self, events: Sequence[Event]) -> Added:
        with self._lock:
            database = self._opened(create=True)
        try:
            added = database.add(events)
        except EventsFullError:
            raise
        except EventsError:
            self._close()
            raise
        self._count("events_added", sum(added.is_new))
        self._count("events_repeated", len(events) - sum(added.is_new))
        return added

    def _opened(self, *, create: bool) -> EventDatabase:
        if self.database is None:
            create = create and not self._was_open
            self.database = open_events(
                self._store, self.settings, create=create, shared=self._shared
            )
            self._was_open = True
        return self.database

    def _close(self) -> None:
        with self._lock:
            database, self.database = self.database, None
        if database is not None:
            database.close()

    def _require_enabled(self) -> None:
        if not self.settings.enabled:
            raise ProblemError("no_events", "this service takes no events: events.enabled is false")


class Fresh:
    """What one version does not hold yet.

    Parameters
    ----------
    content : Content
        The version.
    recommender : Recommender
        Its answers.
    live : Live, optional
        None: nothing is fresh.
    is_current : bool
        Whether what is in memory of events is what this version does not hold; of another version,
        the database is asked each time.
    """

    def __init__(
        self,
        content: Content,
        recommender: Recommender,
        live: Live | None,
        *,
        is_current: bool = True,
    ) -> None:
        self._is_current = is_current
        self._recommender, self._rows, self.live = recommender, recommender.rows, live
        manifest = content.version.manifest
        self._data = manifest.data
        self.weights = EventWeights.of(manifest.config, manifest.log.row_counts)
        self.have_integers = content.users.ids.are_integers, content.items.ids.are_integers
        self._of: EventDatabase | None = None
        self._trained = 0

    def trained(self, database: EventDatabase) -> int:
        """Return up to which number embeddings are made of the events of a database."""
        if database is not self._of:
            self._trained, self._of = trained_of(self._data, database.identity), database
        return self._trained

    def may_have(self, user_id: Id) -> bool:
        """Whether a user may have done something since; False is certain, and costs nothing."""
        database = None if self.live is None else self.live.database
        if database is None:
            return False
        if not self._is_current:
            return True
        return database.recent.newest(str(user_id)) > self.trained(database)

    def recommend(
        self,
        user_id: Id,
        request: Request,
        history: Iterable[Id] | None = None,
        on_unknown: OnUnknown = "popular",
        dislikes: Iterable[Id] = (),
    ) -> RowList:
        """Return the list of a user with what happened since; see `Recommender.recommend`.

        A user whose data was deleted is unknown.
        """
        since = self._since(user_id)
        if since is None:
            return self._rows.recommend(user_id, request, history, on_unknown, dislikes)
        return self._rows.with_events(user_id, request, since, history, on_unknown, dislikes)

    def explain(self, user_id: Id, item_id: Id) -> Explanation:
        """Explain the score in such a list; see `Recommender.explain`."""
        since = self._since(user_id)
        found = None if since is None else self._rows.explain_with_events(user_id, item_id, since)
        return self._recommender.explain(user_id, item_id) if found is None else found

    def history(self, user_id: Id, k: int) -> RowList:
        """Return what a user has seen, with what happened since; see `Recommender.history`."""
        return self._rows.history(user_id, k, self._since(user_id))

    def has_not_met(self, user_id: Id, item_id: Id) -> bool:
        """Whether nothing that happened since says that a user has met an item, or is forgotten."""
        since = self._since(user_id)
        if since is None:
            return True
        return not since.is_forgotten and str(item_id) not in {str(one) for one, _ in since.events}

    def is_forgotten(self, user_id: Id) -> bool:
        """Whether a user's data was deleted since the version was made."""
        since = self._since(user_id)
        return since is not None and since.is_forgotten

    def _since(self, user_id: Id) -> Since | None:
        """Return what has happened since of a user; None where nothing has."""
        live = self.live
        if live is None or live.database is None or not self.may_have(user_id):
            return None
        database, found = live.database, live.of_user(str(user_id))
        if found is None:
            return None
        trained = self.trained(database)
        is_forgotten = found.deleted > trained
        is_known = not is_forgotten and self._rows.has_user(user_id)
        if not is_forgotten and not any(one.number > trained for one in found.kept):
            return None
        # After a refresh, what the user has seen holds more than the embedding is made of.
        stored = through_of(self._data, database.identity) if is_known else 0
        latest = [one for one in found.kept if one.number > stored][-live.settings.max_history :]
        events: list[tuple[Id, float]] = [
            (one.item_id, self._weight(one.event, one.value)) for one in latest
        ]
        is_outdated = any(trained < one.number <= stored for one in found.kept)
        days = [one.time // _MICROSECONDS_PER_DAY for one in latest]
        return Since(events, self.weights.duplicates, is_forgotten, is_outdated, days)

    def _weight(self, event: str | None, value: float | None) -> float:
        try:
            return self.weights.weight(event, value)
        except DataError:  # of a version that was made with other settings of the log
            return 0.0
