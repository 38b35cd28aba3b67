"""What each method of a client asks, and what its answers become, without any input or output.

A method is a generator: it yields what to ask, receives each answer, and returns what the method
does. `Client` sends the requests one way, `AsyncClient` another.
"""

import json
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlencode

import numpy as np

from recsys.base.errors import DataError, ServiceError
from recsys.client import replies
from recsys.client.attempts import Answer
from recsys.client.failures import raise_problem, unreadable
from recsys.client.replies import Served
from recsys.serving import Batch, Explanation, Recommendations
from recsys.serving.request import Conditions
from recsys.serving.row_lists import OnUnknown, TopKind
from recsys.vectors import Id, NamedVectors
from recsys.vectors.ids import Kind, checked_id, checked_ids, checked_k

_T = TypeVar("_T")
_PLAIN_ID = re.compile(r"[A-Za-z0-9_~-]{1,200}")  # which nothing on the way rewrites in a path
_PLAIN = frozenset(("k", "on_unknown", "include_seen"))
_ATTEMPTS = 3  # to get all parts of an answer from one version
_MOST_TARGET = 65_000  # which httpx and the service take
_JSON = "application/json"


@dataclass(frozen=True)
class Ask:
    """One request.

    Parameters
    ----------
    target : str
        Path and query, percent-encoded.
    body : bytes, optional
        JSON; what has one is a POST, unless `method` says otherwise.
    """

    target: str
    body: bytes | None = None
    method: str = ""
    is_once: bool = False  # what is not ready now is the answer

    def __post_init__(self) -> None:
        if len(self.target) > _MOST_TARGET:
            raise DataError(
                f"expected ids and texts of a path of at most {_MOST_TARGET:,} characters in all, "
                f"percent-encoded, got {len(self.target):,}"
            )

    @property
    def verb(self) -> str:
        """The method of HTTP."""
        return self.method or ("GET" if self.body is None else "POST")

    @property
    def headers(self) -> dict[str, str]:
        """What goes with it."""
        return {} if self.body is None else {"content-type": _JSON}

    def read(self, answer: Answer, how: Callable[[bytes], _T]) -> _T:
        """Return what a good answer holds; raise what another one stands for."""
        where = f"{self.verb} {self.target.partition('?')[0][:100]}"
        if answer.status != 200:
            raise_problem(where, answer)
        try:
            return how(answer.body)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise unreadable(where, answer, error) from error


Call = Generator[Ask, Answer, _T]


def _one(ask: Ask, how: Callable[[bytes], _T]) -> Call[_T]:
    answer = yield ask
    return ask.read(answer, how)


def recommend(
    user_id: Id,
    k: int,
    history: Iterable[Id] | None,
    on_unknown: OnUnknown,
    conditions: Conditions,
    details: bool,
) -> Call[Recommendations]:
    """Ask for the list of a user: a plain one by its path, which is the shortest way."""
    asked: dict[str, Any] = {"k": checked_k(k), **_checked(conditions), **_details(details)}
    if on_unknown != "popular":
        asked["on_unknown"] = on_unknown
    if history is not None:
        asked["history"] = _ids(history, "history")
    id_ = _id(user_id, "user_id")
    if asked.keys() <= _PLAIN and _PLAIN_ID.fullmatch(str(id_)):
        return _one(_asking(f"/v1/users/{id_}/recommendations", asked), replies.listed)
    return _one(Ask("/v1/recommendations", _body({"user_id": id_, **asked})), replies.listed)


def recommend_for_history(
    item_ids: Iterable[Id],
    k: int,
    weights: Iterable[float] | None,
    on_unknown: Literal["ignore", "raise"],
    conditions: Conditions,
    details: bool,
) -> Call[Recommendations]:
    """Ask for the list of a history."""
    if on_unknown not in ("ignore", "raise"):
        raise DataError(f'on_unknown: expected "ignore" or "raise", got {on_unknown!r}')
    asked: dict[str, Any] = {"k": checked_k(k), **_checked(conditions), **_details(details)}
    asked |= {"on_unknown": on_unknown, **_history(item_ids, weights)}
    return _one(Ask("/v1/recommendations", _body(asked)), replies.listed)


def _history(item_ids: Iterable[Id], weights: Iterable[float] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"history": _ids(item_ids, "item_ids")}
    return found if weights is None else found | {"weights": list(weights)}


def recommend_many(
    user_ids: Iterable[Id],
    k: int,
    histories: Iterable[Iterable[Id] | None] | None,
    conditions: Conditions,
    details: bool,
) -> Call[Batch]:
    """Ask for the lists of many users, in as many requests as the limits of the service ask for."""
    listed = _ids(user_ids, "user_ids")
    shared: dict[str, Any] = {"k": checked_k(k), **_checked(conditions), **_details(details)}
    requests = [{"user_id": user_id, **shared} for user_id in listed]
    if histories is not None:
        of_each = list(histories)
        if len(of_each) != len(listed):
            raise DataError(
                f"histories: expected one for each of {len(listed)} users, got {len(of_each)}"
            )
        for request, history in zip(requests, of_each, strict=True):
            if history is not None:
                request["history"] = _ids(history, "histories")
    served = yield from about()
    parts = _parts(requests, served, max(served.limits["max_total_k"] // k, 1))

    def lists(body: bytes) -> tuple[list[dict[str, Any]], str]:
        known = json.loads(body)
        return known["answers"], known["version"]

    def asked() -> Call[tuple[list[list[dict[str, Any]]], set[str]]]:
        found, versions = [], set()
        for part in parts:
            answers, version = yield from _one(
                Ask("/v1/recommendations:batch", _body({"requests": part})), lists
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
    longest = max((len(_body(one)) for one in requests), default=0) + 2
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
        raise DataError(f'by: expected "popular", "trending" or "latest", got {by!r}')
    asked = {"k": checked_k(k), **_checked(conditions), **_details(details)}
    if column is not None:
        asked["column"] = column
    return _one(_asking(f"/v1/lists/{by}", asked), replies.listed)


def find(title: Id, k: int, where: str | None, details: bool) -> Call[Recommendations]:
    """Ask for items by their titles."""
    asked = {"k": checked_k(k), "title": _id(title, "title"), **_checked({"where": where})}
    return _one(_asking("/v1/items", asked | _details(details)), replies.listed)


def similar_items(
    item_id: Id, k: int, conditions: Conditions, details: bool
) -> Call[Recommendations]:
    """Ask for the items most similar to one."""
    asked = {"k": checked_k(k), **_checked(conditions), **_details(details)}
    target = f"/v1/items/{_part(_id(item_id, 'item_id'))}/similar"
    return _one(_asking(target, asked), replies.listed)


def explain(user_id: Id, item_id: Id) -> Call[Explanation]:
    """Ask what the items of a user add to a score."""
    asked = {"user_id": _id(user_id, "user_id"), "item_id": _id(item_id, "item_id")}
    return _one(Ask("/v1/explanations", _body(asked | _details(True))), replies.explained)


def explain_for_history(
    item_ids: Iterable[Id], item_id: Id, weights: Iterable[float] | None
) -> Call[Explanation]:
    """Ask what the items of a history add to a score."""
    asked = {"item_id": _id(item_id, "item_id"), **_history(item_ids, weights)}
    return _one(Ask("/v1/explanations", _body(asked | _details(True))), replies.explained)


def describe(item_id: Id) -> Call[dict[str, Any]]:
    """Ask for the attributes of an item."""

    def attributes(body: bytes) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(body)["attributes"]
        return found

    return _one(Ask(f"/v1/items/{_part(_id(item_id, 'item_id'))}"), attributes)


def vectors(kind: Kind, ids: Iterable[Id], on_unknown: str) -> Call[NamedVectors]:
    """Ask for embeddings, in as many requests as the limits of the service ask for."""
    listed = list(dict.fromkeys(_ids(ids, f"{kind}_ids")))
    served = yield from about()
    longest = max((len(_body(id_)) for id_ in listed), default=0) + 2
    fits = max((served.limits["max_body_bytes"] - 128) // longest, 1)
    step = min(fits, served.limits["max_ids"])

    def asked() -> Call[tuple[list[bytes], set[str]]]:
        found, versions = [], set()
        for first in range(0, max(len(listed), 1), step):
            part = {"ids": listed[first : first + step], "on_unknown": on_unknown}
            body, version = yield from _one(
                Ask(f"/v1/embeddings/{kind}s", _body(part)),
                lambda body: (body, replies.version_of(body)),
            )
            found.append(body)
            versions.add(version)
        return found, versions

    bodies, _ = yield from _of_one_version(asked, served.version)
    return replies.vectors(kind, bodies)


def about() -> Call[Served]:
    """Ask what the service answers from."""
    return _one(Ask("/v1/version"), Served.of)


def is_ready() -> Call[bool]:
    """Ask whether a version is open and warm."""
    answer = yield Ask("/health/ready", is_once=True)
    return answer.status == 200


def some_conditions(
    exclude: Iterable[Id],
    candidates: Iterable[Id] | None,
    where: str | None,
    include_seen: bool = False,
) -> Conditions:
    """Return the conditions of a list that has no more of them."""
    found: Conditions = {"exclude": exclude, "candidates": candidates, "where": where}
    if include_seen:
        found["include_seen"] = include_seen
    return found


def _checked(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return conditions as JSON has them; the service checks what they say."""
    unknown = sorted(conditions.keys() - Conditions.__annotations__.keys())
    if unknown:
        raise TypeError(f"got an unexpected keyword argument {unknown[0]!r}")
    found = {name: one for name, one in conditions.items() if one is not None}
    for name in ("exclude", "candidates"):
        if name in found:
            found[name] = _ids(found[name], name)
    if found.get("exclude") == []:
        del found["exclude"]
    return found


def _details(details: bool) -> dict[str, Any]:
    return {"details": True} if details else {}


def _ids(ids: Iterable[Id], name: str) -> list[Id]:
    return [_as_json(id_) for id_ in checked_ids(ids, name)]


def _id(id_: Id, name: str) -> Id:
    return _as_json(checked_id(id_, name))


def _as_json(id_: Any) -> Id:
    return int(id_) if isinstance(id_, np.integer) else id_


def _part(id_: Id) -> str:
    """Return an id as a part of a path; dots alone would be taken for folders on the way."""
    text = quote(str(id_), safe="", errors="surrogatepass")
    return text.replace(".", "%2E") if text in (".", "..") else text


def _asking(path: str, asked: Mapping[str, Any]) -> Ask:
    """Return a GET; a POST where there are lists, as a query holds no empty one."""
    if any(isinstance(value, list) for value in asked.values()):
        return Ask(path, _body(asked))
    texts = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in asked.items()
    }
    return Ask(f"{path}?{urlencode(texts, quote_via=quote, safe='', errors='surrogatepass')}")


def _body(asked: Any) -> bytes:
    """Return JSON in ASCII, in which half a character can stand."""
    try:
        return json.dumps(asked, default=_number, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise DataError(f"expected arguments that JSON can hold, got {error}") from error


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"one of {type(value).__name__}")
