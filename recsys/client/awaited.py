"""The client whose methods are awaited."""

import asyncio
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


class AsyncClient:
    """Asks the online service as `Client` does; each method is awaited.

    The parameters are those of `Client`, with an `httpx.AsyncClient` as `http`. It belongs to one
    event loop, whose tasks may share it.

    Examples
    --------
    ::

        async with recsys.AsyncClient("https://recommender.example", key=key) as client:
            first, second = await asyncio.gather(client.recommend("u42"), client.recommend("u1"))
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float = 5.0,
        retries: int = 2,
        details: bool = False,
        http: "httpx.AsyncClient | None" = None,
    ) -> None:
        self._to = Connection.of(url, key, timeout, retries)
        self._details = details
        self._owned = http is None
        self._http = http or self._to.httpx.AsyncClient(timeout=timeout)

    def __repr__(self) -> str:
        return f"AsyncClient({self._to.url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """As `Client.close`."""
        if self._owned:
            await self._http.aclose()

    async def recommend(
        self,
        user_id: Id,
        k: int = 10,
        *,
        history: Iterable[Id] | None = None,
        dislikes: Iterable[Id] = (),
        on_unknown: OnUnknown = "popular",
        **conditions: Unpack[Conditions],
    ) -> Recommendations:
        """As `Client.recommend`."""
        return await self._run(
            calls.recommend(user_id, k, history, dislikes, on_unknown, conditions, self._details)
        )

    async def recommend_for_history(
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
        """As `Client.recommend_for_history`."""
        return await self._run(
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

    async def recommend_many(
        self,
        user_ids: Iterable[Id],
        k: int = 10,
        *,
        histories: Iterable[Iterable[Id] | None] | None = None,
        dislikes: Iterable[Iterable[Id] | None] | None = None,
        **conditions: Unpack[Conditions],
    ) -> Batch:
        """As `Client.recommend_many`."""
        return await self._run(
            calls.recommend_many(user_ids, k, histories, dislikes, conditions, self._details)
        )

    async def top_items(
        self,
        by: TopKind = "popular",
        k: int = 10,
        *,
        column: str | None = None,
        **conditions: Unpack[Conditions],
    ) -> Recommendations:
        """As `Client.top_items`."""
        return await self._run(calls.top_items(by, k, column, conditions, self._details))

    async def find(
        self, title: Id = "", k: int = 10, *, where: str | None = None
    ) -> Recommendations:
        """As `Client.find`."""
        return await self._run(calls.find(title, k, where, self._details))

    async def similar_items(
        self,
        item_id: Id,
        k: int = 10,
        *,
        exclude: Iterable[Id] = (),
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
    ) -> Recommendations:
        """As `Client.similar_items`."""
        conditions = some_conditions(exclude, candidates, where)
        return await self._run(calls.similar_items(item_id, k, conditions, self._details))

    async def nearest_items(
        self,
        plus: Iterable[Id],
        minus: Iterable[Id] = (),
        k: int = 10,
        *,
        exclude: Iterable[Id] = (),
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
    ) -> Recommendations:
        """As `Client.nearest_items`."""
        conditions = some_conditions(exclude, candidates, where)
        return await self._run(calls.nearest_items(plus, minus, k, conditions, self._details))

    async def audience(
        self,
        item_id: Id,
        k: int = 10,
        *,
        exclude: Iterable[Id] = (),
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
    ) -> Recommendations:
        """As `Client.audience`."""
        conditions = some_conditions(exclude, candidates, where)
        return await self._run(calls.audience(item_id, k, conditions))

    async def history(self, user_id: Id, k: int = 10) -> Recommendations:
        """As `Client.history`."""
        return await self._run(calls.history(user_id, k, self._details))

    async def explain(self, user_id: Id, item_id: Id) -> Explanation:
        """As `Client.explain`."""
        return await self._run(calls.explain(user_id, item_id))

    async def explain_for_history(
        self,
        item_ids: Iterable[Id],
        item_id: Id,
        *,
        weights: Iterable[float] | None = None,
        dislikes: Iterable[Id] = (),
        user_attributes: Mapping[str, Any] | None = None,
    ) -> Explanation:
        """As `Client.explain_for_history`."""
        given = weights, dislikes, user_attributes
        return await self._run(calls.explain_for_history(item_ids, item_id, *given))

    async def describe(self, item_id: Id) -> dict[str, Any]:
        """As `Client.describe`."""
        return await self._run(calls.describe(item_id))

    async def user_vectors(
        self, user_ids: Iterable[Id], *, on_unknown: Literal["ignore", "raise"] = "raise"
    ) -> NamedVectors:
        """As `Client.user_vectors`."""
        return await self._run(calls.vectors("user", user_ids, on_unknown))

    async def item_vectors(
        self, item_ids: Iterable[Id], *, on_unknown: Literal["ignore", "raise"] = "raise"
    ) -> NamedVectors:
        """As `Client.item_vectors`."""
        return await self._run(calls.vectors("item", item_ids, on_unknown))

    async def add_event(
        self,
        user_id: Id,
        item_id: Id,
        *,
        event: str | None = None,
        value: float | None = None,
        timestamp: "float | str | datetime | None" = None,
        event_id: str | None = None,
    ) -> EventsKept:
        """As `Client.add_event`."""
        told = calls.event(user_id, item_id, event, value, timestamp, event_id)
        return await self._run(calls.add_events([told]))

    async def add_events(self, events: Iterable[Mapping[str, Any]]) -> EventsKept:
        """As `Client.add_events`."""
        return await self._run(calls.add_events(events))

    async def delete_user(self, user_id: Id) -> UserDeleted:
        """As `Client.delete_user`."""
        return await self._run(calls.delete_user(user_id))

    async def about(self) -> Served:
        """As `Client.about`."""
        return await self._run(calls.about())

    async def is_ready(self) -> bool:
        """As `Client.is_ready`."""
        return await self._run(calls.is_ready())

    async def _run(self, call: Call[_T]) -> _T:
        try:
            ask = next(call)
            while True:
                ask = call.send(await self._answer(ask))
        except StopIteration as end:
            found: _T = end.value
            return found

    async def _answer(self, ask: Ask) -> Answer:
        for number in count():
            outcome: Answer | Exception
            try:
                outcome = self._to.received(await self._http.request(**self._to.request(ask)))
            except self._to.httpx.RequestError as error:
                outcome = error
            seconds = self._to.seconds_to_wait(ask, number, outcome)
            if seconds is None:
                return self._to.answer(outcome)
            await asyncio.sleep(seconds)
        raise AssertionError
