"""The client whose methods return when the answer is there."""

import time
from collections.abc import Iterable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack

from recsys.client import calls
from recsys.client.attempts import Answer
from recsys.client.connection import Connection
from recsys.client.replies import EventsKept, Served, UserDeleted
from recsys.client.requests import Ask, Call, some_conditions
from recsys.serving import Batch, Explanation, Recommendations
from recsys.serving.item_order import TopKind
from recsys.serving.request import Conditions
from recsys.serving.row_lists import OnUnknown
from recsys.vectors import Id, NamedVectors

if TYPE_CHECKING:
    from datetime import datetime

    import httpx

_T = TypeVar("_T")


class Client:
    """Asks the online service, with the methods and the return types of a `Recommender`.

    Parameters
    ----------
    url : str, optional
        Of the service. Default: $RECSYS_URL, else http://127.0.0.1:8000.
    key : str, optional
        An API key. Default: $RECSYS_KEY, else none.
    timeout : float
        Seconds for the connection, and for each part of an answer to arrive.
    retries : int
        How often a request is sent again that was not answered, or with 429, 502, 503 or 504:
        after the seconds of ``retry-after``, at most 10, else after a random time that doubles.
        No request does more when it is sent twice.
    details : bool
        Whether items carry all their attributes and the reason that they are in a list. Else they
        carry titles, which costs the service less.
    http : httpx.Client, optional
        What sends the requests: with certificates, proxies or pools of your own. It stays open.

    Raises
    ------
    ConfigError
        If httpx is not installed, or the URL is none.
    DataError, UnknownUserError, UnknownItemError
        By every method, as by a `Recommender`.
    ServiceError
        By every method where the service is not reached, is busy, or refuses the key.

    Notes
    -----
    Threads may share one. Ids of any content can be asked for. Dates among attributes are texts
    here. `similar_users` and `closest_seen` are not offered over HTTP; `user_vectors` and
    `item_vectors` take the ids that are wanted.

    Examples
    --------
    ::

        with recsys.Client("https://recommender.example", key=key) as client:
            for item_id, score in client.recommend("u42", k=10):
                ...
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 5.0,
        retries: int = 2,
        details: bool = False,
        http: "httpx.Client | None" = None,
    ) -> None:
        self._to = Connection.of(url, key, timeout, retries)
        self._details = details
        self._owned = http is None
        self._http = http or self._to.httpx.Client(timeout=timeout)

    def __repr__(self) -> str:
        return f"Client({self._to.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._owned:
            self._http.close()

    def recommend(
        self,
        user_id: Id,
        k: int = 10,
        *,
        history: Iterable[Id] | None = None,
        dislikes: Iterable[Id] = (),
        on_unknown: OnUnknown = "popular",
        **conditions: Unpack[Conditions],
    ) -> Recommendations:
        """Recommend items to a user; see `Recommender.recommend`."""
        return self._run(
            calls.recommend(user_id, k, history, dislikes, on_unknown, conditions, self._details)
        )

    def recommend_for_history(
        self,
        item_ids: Iterable[Id],
        k: int = 10,
        *,
        weights: Iterable[float] | None = None,
        dislikes: Iterable[Id] = (),
        user_attributes: Mapping[str, Any] | None = None,
        on_unknown: Literal["ignore", "raise"] = "ignore",
        **conditions: Unpack[Conditions],
    ) -> Recommendations:
        """Recommend items to a user of whom only a history is known; see `Recommender`."""
        return self._run(
            calls.recommend_for_history(
                item_ids,
                k,
                weights,
                dislikes,
                user_attributes,
                on_unknown,
                conditions,
                self._details,
            )
        )

    def recommend_many(
        self,
        user_ids: Iterable[Id],
        k: int = 10,
        *,
        histories: Iterable[Iterable[Id] | None] | None = None,
        dislikes: Iterable[Iterable[Id] | None] | None = None,
        **conditions: Unpack[Conditions],
    ) -> Batch:
        """Recommend items to many users; see `Recommender.recommend_many`.

        It is asked for in as many requests as the limits of the service ask for, of which one
        version answers all.
        """
        return self._run(
            calls.recommend_many(user_ids, k, histories, dislikes, conditions, self._details)
        )

    def top_items(
        self,
        by: TopKind = "popular",
        k: int = 10,
        *,
        column: str | None = None,
        **conditions: Unpack[Conditions],
    ) -> Recommendations:
        """List items that are the same for everybody; see `Recommender.top_items`."""
        return self._run(calls.top_items(by, k, column, conditions, self._details))

    def find(self, title: Id = "", k: int = 10, *, where: str | None = None) -> Recommendations:
        """Find items by words of their titles; see `Recommender.find`."""
        return self._run(calls.find(title, k, where, self._details))

    def similar_items(
        self,
        item_id: Id,
        k: int = 10,
        *,
        exclude: Iterable[Id] = (),
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
    ) -> Recommendations:
        """Return the items most similar to one; see `Recommender.similar_items`."""
        conditions = some_conditions(exclude, candidates, where)
        return self._run(calls.similar_items(item_id, k, conditions, self._details))

    def nearest_items(
        self,
        plus: Iterable[Id],
        minus: Iterable[Id] = (),
        k: int = 10,
        *,
        exclude: Iterable[Id] = (),
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
    ) -> Recommendations:
        """Return the items nearest to some added up, less others; see `Recommender`."""
        conditions = some_conditions(exclude, candidates, where)
        return self._run(calls.nearest_items(plus, minus, k, conditions, self._details))

    def audience(
        self,
        item_id: Id,
        k: int = 10,
        *,
        exclude: Iterable[Id] = (),
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
    ) -> Recommendations:
        """List the users who should hear of an item, with a key of scope audience.

        As `Recommender.audience`, without those who have met it since the version was made.
        """
        conditions = some_conditions(exclude, candidates, where)
        return self._run(calls.audience(item_id, k, conditions))

    def history(self, user_id: Id, k: int = 10) -> Recommendations:
        """List what a user has seen; see `Recommender.history`."""
        return self._run(calls.history(user_id, k, self._details))

    def explain(self, user_id: Id, item_id: Id) -> Explanation:
        """Return what each item of a user's history adds to the score of an item."""
        return self._run(calls.explain(user_id, item_id))

    def explain_for_history(
        self,
        item_ids: Iterable[Id],
        item_id: Id,
        *,
        weights: Iterable[float] | None = None,
        dislikes: Iterable[Id] = (),
        user_attributes: Mapping[str, Any] | None = None,
    ) -> Explanation:
        """Return what each item of a folded-in history adds to the score of an item."""
        given = weights, dislikes, user_attributes
        return self._run(calls.explain_for_history(item_ids, item_id, *given))

    def describe(self, item_id: Id) -> dict[str, Any]:
        """Return what the version knows of an item, such as its title, by column."""
        return self._run(calls.describe(item_id))

    def user_vectors(
        self, user_ids: Iterable[Id], *, on_unknown: Literal["ignore", "raise"] = "raise"
    ) -> NamedVectors:
        """Return the embeddings of some users by their ids."""
        return self._run(calls.vectors("user", user_ids, on_unknown))

    def item_vectors(
        self, item_ids: Iterable[Id], *, on_unknown: Literal["ignore", "raise"] = "raise"
    ) -> NamedVectors:
        """Return the embeddings of some items by their ids, in the same space."""
        return self._run(calls.vectors("item", item_ids, on_unknown))

    def add_event(
        self,
        user_id: Id,
        item_id: Id,
        *,
        event: str | None = None,
        value: float | None = None,
        timestamp: "float | str | datetime | None" = None,
        event_id: str | None = None,
    ) -> EventsKept:
        """Keep what a user did: durable when this returns, and in that user's next list.

        Parameters
        ----------
        event, value : optional
            Its type and its value, where the log has them.
        timestamp : optional
            Seconds since 1970, ISO 8601 or a datetime. Default: now.
        event_id : str, optional
            Under which it is kept once. Default: a new one for this call, whose retries share it.

        Raises
        ------
        EventsError, EventsFullError
            Where the service cannot keep it now; nothing of it is kept.
        """
        told = calls.event(user_id, item_id, event, value, timestamp, event_id)
        return self._run(calls.add_events([told]))

    def add_events(self, events: Iterable[Mapping[str, Any]]) -> EventsKept:
        """Keep many events, mappings with the arguments of `add_event`, in one request.

        All of them are kept, or with an error none; but those of another event's id alone.
        """
        return self._run(calls.add_events(events))

    def delete_user(self, user_id: Id) -> UserDeleted:
        """Delete the events of a user, who is unknown from now on; the next version forgets."""
        return self._run(calls.delete_user(user_id))

    def about(self) -> Served:
        """Return what the service answers from, and its limits."""
        return self._run(calls.about())

    @property
    def version(self) -> str:
        """The name of the version that answers now."""
        return self.about().version

    def is_ready(self) -> bool:
        """Return whether the service has a version open and warm."""
        return self._run(calls.is_ready())

    def _run(self, call: Call[_T]) -> _T:
        try:
            ask = next(call)
            while True:
                ask = call.send(self._answer(ask))
        except StopIteration as end:
            found: _T = end.value
            return found

    def _answer(self, ask: Ask) -> Answer:
        for number in count():
            outcome: Answer | Exception
            try:
                outcome = self._to.received(self._http.request(**self._to.request(ask)))
            except self._to.httpx.RequestError as error:
                outcome = error
            seconds = self._to.seconds_to_wait(ask, number, outcome)
            if seconds is None:
                return self._to.answer(outcome)
            time.sleep(seconds)
        raise AssertionError
