"""What each method of a client asks, and what its answers become, without any input or output.

A method is a generator: it yields what to ask, receives each answer, and returns what the method
does. `Client` sends the requests one way, `AsyncClient` another.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar
from uuid import uuid4

from recsys.base.checks import require_a
from recsys.base.errors import DataError, ServiceError, briefly
from recsys.client import replies
from recsys.client.attempts import Answer
from recsys.client.failures import raise_problem
from recsys.client.replies import EventsKept, Served, UserDeleted
from recsys.client.requests import (
    Ask,
    Call,
    asking,
    body_of,
    of_list,
    one_answer,
    part_of_path,
    plain_id,
    plain_ids,
    posting,
)
from recsys.serving import Batch, Explanation, Recommendations
from recsys.serving.item_order import TopKind
from recsys.serving.request import Conditions
from recsys.serving.row_lists import OnUnknown
from recsys.vectors import Id, NamedVectors
from recsys.vectors.ids import Kind

_T = TypeVar("_T")
_PLAIN_ID = re.compile(r"[A-Za-z0-9_~-]{1,200}")  # which nothing on the way rewrites in a path
_PLAIN = frozenset(("k", "on_unknown", "include_seen"))
_ATTEMPTS = 3  # to get all parts of an answer from one version


def recommend(
    user_id: Id,
    k: int,
    history: Iterable[Id] | None,
    dislikes: Iterable[Id],
    on_unknown: OnUnknown,
    conditions: Conditions,
    details: bool,
) -> Call[Recommendations]:
    """Ask for the list of a user: a plain one by its path, which is the shortest way."""
    asked = of_list(k, conditions, details)
    if on_unknown != "popular":
        asked["on_unknown"] = on_unknown
    if history is not None:
        asked["history"] = plain_ids(history, "history")
    asked |= _disliked(plain_ids(dislikes, "dislikes"))
    id_ = plain_id(user_id, "user_id")
    if asked.keys() <= _PLAIN and _PLAIN_ID.fullmatch(str(id_)):
        return one_answer(asking(f"/v1/users/{id_}/recommendations", asked), replies.listed)
    return one_answer(posting("/v1/recommendations", {"user_id": id_, **asked}), replies.listed)


def recommend_for_history(
    item_ids: Iterable[Id],
    k: int,
    weights: Iterable[float] | None,
    dislikes: Iterable[Id],
    user_attributes: Mapping[str, Any] | None,
    on_unknown: Literal["ignore", "raise"],
    conditions: Conditions,
    details: bool,
) -> Call[Recommendations]:
    """Ask for the list of a history."""
    if on_unknown not in ("ignore", "raise"):
        raise DataError(f'on_unknown: expected "ignore" or "raise", got {briefly(on_unknown)}')
    asked = of_list(k, conditions, details)
    asked |= {"on_unknown": on_unknown, **_history(item_ids, weights, dislikes, user_attributes)}
    return one_answer(posting("/v1/recommendations", asked), replies.listed)


def _history(
    item_ids: Iterable[Id],
    weights: Iterable[float] | None,
    dislikes: Iterable[Id],
    user_attributes: Mapping[str, Any] | None,
) -> dict[str, Any]:
    found: dict[str, Any] = {"history": plain_ids(item_ids, "item_ids")}
    if weights is not None:
        found["weights"] = list(weights)
    if user_attributes is not None:
        require_a("user_attributes", user_attributes, Mapping, "a mapping of columns to values")
        found["user_attributes"] = dict(user_attributes)
    return found | _disliked(plain_ids(dislikes, "dislikes"))


def _disliked(item_ids: list[Id]) -> dict[str, Any]:
    return {"dislikes": item_ids} if item_ids else {}


def recommend_many(
    user_ids: Iterable[Id],
    k: int,
    histories: Iterable[Iterable[Id] | None] | None,
    dislikes: Iterable[Iterable[Id] | None] | None,
    conditions: Conditions,
    details: bool,
) -> Call[Batch]:
    """Ask for the lists of many users, in as many requests as the limits of the service ask for."""
    listed = plain_ids(user_ids, "user_ids")
    shared = of_list(k, conditions, details)
    requests = [{"user_id": user_id, **shared} for user_id in listed]
    for name, key, given in (
        ("histories", "history", histories),
        ("dislikes", "dislikes", dislikes),
    ):
        of_each = [None] * len(listed) if given is None else list(given)
        if len(of_each) != len(listed):
            raise DataError(
                f"{name}: expected one for each of {len(listed)} users, got {len(of_each)}"
            )
        for request, own in zip(requests, of_each, strict=True):
            if own is not None:
                request[key] = plain_ids(own, name)
    served = yield from about()
    parts = _parts(requests, served, max(served.limits["max_total_k"] // k, 1))

    def lists(body: bytes) -> tuple[list[dict[str, Any]], str]:
        known = json.loads(body)
        return known["answers"], known["version"]

    def asked() -> Call[tuple[list[list[dict[str, Any]]], set[str]]]:
        found, versions = [], set()
        for part in parts:
            answers, version = yield from one_answer(
                posting("/v1/recommendations:batch", {"requests": part}), lists
            )
            found.append(answers)
            versions.add(version)
        return found, versions

    answers, version = yield from _of_one_version(asked, served.version)
    together = [one for part in answers for one in part]
    for one in together:
        if "problem" in one:
            problem = one["problem"]
            body = json.dumps(problem).encode()
            raise_problem("POST /v1/recommendations:batch", Answer(problem["status"], {}, body))
    return replies.batch(listed, together, version)


def _parts(
    requests: Sequence[dict[str, Any]], served: Served, most: int
) -> list[Sequence[dict[str, Any]]]:
    """Cut requests, so that each part is within the limits of a body."""
    limits = served.limits
    longest = max((len(body_of(one)) for one in requests), default=0) + 2
    fits = max((limits["max_body_bytes"] - 64) // longest, 1) if longest else 1
    step = min(most, fits, limits["max_ids"])
    return [requests[first : first + step] for first in range(0, len(requests), step)]


def _of_one_version(
    asked: Callable[[], Call[tuple[list[_T], set[str]]]], version: str
) -> Call[tuple[list[_T], str]]:
    """Ask for all parts again where a new version came in between: no answer mixes two."""
    for _ in range(_ATTEMPTS):
        found, versions = yield from asked()
        if len(versions) < 2:
            return found, next(iter(versions), version)
    raise ServiceError(
        f"expected all parts of an answer from one version, got {', '.join(sorted(versions))}; "
        "ask again, or for fewer at a time"
    )


def top_items(
    by: TopKind, k: int, column: str | None, conditions: Conditions, details: bool
) -> Call[Recommendations]:
    """Ask for a list that is the same for everybody."""
    if by not in ("popular", "trending", "latest"):
        raise DataError(f'by: expected "popular", "trending" or "latest", got {briefly(by)}')
    asked = of_list(k, conditions, details)
    if column is not None:
        asked["column"] = column
    return one_answer(asking(f"/v1/lists/{by}", asked), replies.listed)


def find(title: Id, k: int, where: str | None, details: bool) -> Call[Recommendations]:
    """Ask for items by their titles."""
    asked = {"title": plain_id(title, "title"), **of_list(k, {"where": where}, details)}
    return one_answer(asking("/v1/items", asked), replies.listed)


def similar_items(
    item_id: Id, k: int, conditions: Conditions, details: bool
) -> Call[Recommendations]:
    """Ask for the items most similar to one."""
    asked = of_list(k, conditions, details)
    target = f"/v1/items/{part_of_path(plain_id(item_id, 'item_id'))}/similar"
    return one_answer(asking(target, asked), replies.listed)


def nearest_items(
    plus: Iterable[Id], minus: Iterable[Id], k: int, conditions: Conditions, details: bool
) -> Call[Recommendations]:
    """Ask for the items nearest to some added up, less others."""
    asked = of_list(k, conditions, details)
    asked |= {"plus": plain_ids(plus, "plus"), "minus": plain_ids(minus, "minus")}
    return one_answer(posting("/v1/items:nearest", asked), replies.listed)


def audience(item_id: Id, k: int, conditions: Conditions) -> Call[Recommendations]:
    """Ask for the users who should hear of an item."""
    target = f"/v1/items/{part_of_path(plain_id(item_id, 'item_id'))}/audience"
    return one_answer(asking(target, of_list(k, conditions, details=False)), replies.audience)


def history(user_id: Id, k: int, details: bool) -> Call[Recommendations]:
    """Ask for what a user has seen."""
    target = f"/v1/users/{part_of_path(plain_id(user_id, 'user_id'))}/history"
    return one_answer(asking(target, of_list(k, {}, details)), replies.listed)


def explain(user_id: Id, item_id: Id) -> Call[Explanation]:
    """Ask what the items of a user add to a score."""
    asked = {"user_id": plain_id(user_id, "user_id"), "item_id": plain_id(item_id, "item_id")}
    return one_answer(posting("/v1/explanations", asked | {"details": True}), replies.explained)


def explain_for_history(
    item_ids: Iterable[Id],
    item_id: Id,
    weights: Iterable[float] | None,
    dislikes: Iterable[Id],
    user_attributes: Mapping[str, Any] | None,
) -> Call[Explanation]:
    """Ask what the items of a history add to a score."""
    history = _history(item_ids, weights, dislikes, user_attributes)
    asked = {"item_id": plain_id(item_id, "item_id"), **history}
    return one_answer(posting("/v1/explanations", asked | {"details": True}), replies.explained)


def describe(item_id: Id) -> Call[dict[str, Any]]:
    """Ask for the attributes of an item."""

    def attributes(body: bytes) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(body)["attributes"]
        return found

    return one_answer(Ask(f"/v1/items/{part_of_path(plain_id(item_id, 'item_id'))}"), attributes)


def vectors(kind: Kind, ids: Iterable[Id], on_unknown: str) -> Call[NamedVectors]:
    """Ask for embeddings, in as many requests as the limits of the service ask for."""
    listed = list(dict.fromkeys(plain_ids(ids, f"{kind}_ids")))
    served = yield from about()
    longest = max((len(body_of(id_)) for id_ in listed), default=0) + 2
    fits = max((served.limits["max_body_bytes"] - 128) // longest, 1)
    step = min(fits, served.limits["max_ids"])

    def asked() -> Call[tuple[list[bytes], set[str]]]:
        found, versions = [], set()
        for first in range(0, max(len(listed), 1), step):
            part = {"ids": listed[first : first + step], "on_unknown": on_unknown}
            body, version = yield from one_answer(
                posting(f"/v1/embeddings/{kind}s", part),
                lambda body: (body, replies.version_of(body)),
            )
            found.append(body)
            versions.add(version)
        return found, versions

    bodies, _ = yield from _of_one_version(asked, served.version)
    return replies.vectors(kind, bodies)


def add_events(events: Iterable[Mapping[str, Any]]) -> Call[EventsKept]:
    """Send events, each with an id and a time, so that they can be sent again as they are."""
    if isinstance(events, str | Mapping) or not isinstance(events, Iterable):
        raise DataError(f"events: expected a list of mappings, got {repr(events)[:60]}")
    asked = {"events": [_event(one, place) for place, one in enumerate(events)]}
    return one_answer(posting("/v1/events", asked), EventsKept.of)


def event(
    user_id: Id,
    item_id: Id,
    kind: str | None,
    value: float | None,
    timestamp: float | str | datetime | None,
    event_id: str | None,
) -> dict[str, Any]:
    """Return an event as `add_events` takes it."""
    told: dict[str, Any] = {"user_id": user_id, "item_id": item_id, "event": kind, "value": value}
    return told | {"timestamp": timestamp, "event_id": event_id}


def _event(given: Mapping[str, Any], place: int) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise DataError(f"events[{place}]: expected a mapping, got {repr(given)[:60]}")
    found = {name: one for name, one in given.items() if one is not None}
    found.setdefault("event_id", uuid4().hex)
    timestamp = found.setdefault("timestamp", time.time())
    if isinstance(timestamp, datetime):
        found["timestamp"] = timestamp.isoformat()
    for name in ("user_id", "item_id"):
        if name in found:
            found[name] = plain_id(found[name], f"events[{place}]: {name}")
    return found


def delete_user(user_id: Id) -> Call[UserDeleted]:
    """Ask for the events of a user to be deleted."""
    path = f"/v1/users/{part_of_path(plain_id(user_id, 'user_id'))}"
    return one_answer(Ask(path, method="DELETE"), UserDeleted.of)


def about() -> Call[Served]:
    """Ask what the service answers from."""
    return one_answer(Ask("/v1/version"), Served.of)


def is_ready() -> Call[bool]:
    """Ask whether a version is open and warm."""
    answer = yield Ask("/health/ready", is_once=True)
    return answer.status == 200
