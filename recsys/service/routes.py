"""The routes of the service: what each path takes and what answers it; OpenAPI is made of them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from recsys.base.lazy import lazy_property
from recsys.service import audiences, events, exploring, handlers, of_lists, static
from recsys.service.details import DETAILS
from recsys.service.handlers import Asked, Reply
from recsys.service.keys import Scope
from recsys.service.parameters import Parameter

_QUICK = frozenset(("k", "include_seen", "on_unknown"))


@dataclass(frozen=True)
class Route:
    """A method and a path.

    Parameters
    ----------
    path : str
        Its variable parts are in braces.
    answer : callable, optional
        Makes the answer from a version. None for what the service answers by itself.
    wait : callable, optional
        The same for what waits for others, without a thread.
    scope : str or None
        What a key must allow; None for what needs no key.
    example : mapping
        Of OpenAPI: the parts of the path, the query or the body; tests ask for it.
    is_quick : bool
        Whether a plain request is answered at once, and not by a thread.
    is_of_explorer : bool
        Whether it is there only where the settings have the explorer on.
    """

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    answer: Callable[[Asked], Reply] | None = None
    parameters: tuple[Parameter, ...] = ()
    scope: Scope | None = "read"
    example: Mapping[str, Any] = field(default_factory=dict)
    media: bytes = handlers.JSON
    is_quick: bool = False
    wait: Callable[[Asked], Awaitable[Reply]] | None = None
    is_of_explorer: bool = False

    @property
    def is_of_program(self) -> bool:
        """Whether it answers programs, and not browsers that show a page."""
        return not self.media.startswith((b"text/html", b"text/css"))

    @lazy_property
    def by_name(self) -> dict[str, Parameter]:
        """The parameters by their names."""
        return {parameter.name: parameter for parameter in self.parameters}

    def is_quick_with(self, given: Mapping[str, Any]) -> bool:
        """Whether these arguments cost no more than a look-up and a search."""
        return self.is_quick and given.keys() <= _QUICK


_IDS = Parameter("ids", "ids", "Ids in either form.", required=True)
_UNKNOWN_IDS = Parameter(
    "on_unknown", "text", "Ids that are not known: 404, or left out.", ("raise", "ignore"), "raise"
)
_COLUMN = Parameter("column", "column", "Of the latest: a column of dates or numbers.")
_K = of_lists.OF_A_LIST[0]
_ONE, _TWO = {"user_id": "u42"}, {"user_id": "u42", "item_id": "i9"}

ROUTES = (
    Route(
        "user_recommendations",
        "GET",
        "/v1/users/{user_id}/recommendations",
        "Recommend items to a user.",
        handlers.of_user,
        of_lists.OF_A_USER,
        example={"path": _ONE, "query": {"k": 3}},
        is_quick=True,
    ),
    Route(
        "recommendations",
        "POST",
        "/v1/recommendations",
        "Recommend items to a user or to a history, under every condition there is.",
        handlers.of_anybody,
        of_lists.OF_ANYBODY,
        example={"body": {"history": ["i7", "i9"], "k": 3, "where": "price < 20"}},
    ),
    Route(
        "batch",
        "POST",
        "/v1/recommendations:batch",
        "Recommend items to many: a list or a problem for each request.",
        handlers.batch,
        (Parameter("requests", "objects", "Bodies of /v1/recommendations.", required=True),),
        example={"body": {"requests": [{"user_id": "u42", "k": 2}, {"history": ["i7"], "k": 2}]}},
    ),
    Route(
        "similar",
        "GET",
        "/v1/items/{item_id}/similar",
        "List the items most similar to one, by the cosine of their embeddings.",
        handlers.similar,
        (_K, *of_lists.CONDITIONS, DETAILS),
        example={"path": {"item_id": "i7"}, "query": {"k": 2, "exclude": ["i9"]}},
    ),
    Route(
        "similar_in_body",
        "POST",
        "/v1/items/{item_id}/similar",
        "The same with the conditions in the body, where lists of ids may be long or empty.",
        handlers.similar,
        (_K, *of_lists.CONDITIONS, DETAILS),
        example={"path": {"item_id": "i7"}, "body": {"k": 2, "candidates": ["i9", "i8"]}},
    ),
    Route(
        "audience",
        "GET",
        "/v1/items/{item_id}/audience",
        "List the users who should hear of an item, exact over all of them.",
        audiences.audience,
        audiences.OF_AN_AUDIENCE,
        scope="audience",
        example={"path": {"item_id": "i7"}, "query": {"k": 2, "where": "n_items >= 1"}},
    ),
    Route(
        "audience_in_body",
        "POST",
        "/v1/items/{item_id}/audience",
        "The same with the conditions in the body, where lists of ids may be long or empty.",
        audiences.audience,
        audiences.OF_AN_AUDIENCE,
        scope="audience",
        example={"path": {"item_id": "i7"}, "body": {"k": 2, "exclude": ["u1"]}},
    ),
    Route(
        "explanation",
        "GET",
        "/v1/users/{user_id}/explanations/{item_id}",
        "Show what each item that a user has seen adds to the score of an item.",
        handlers.explanation,
        (DETAILS,),
        example={"path": _TWO},
    ),
    Route(
        "explanations",
        "POST",
        "/v1/explanations",
        "Show what each item of a user or of a history adds to the score of an item.",
        handlers.explanation_of_anybody,
        (
            Parameter("item_id", "id", "Whose score is explained.", required=True),
            Parameter("user_id", "id", "A user; without one, history is needed."),
            Parameter("history", "ids", "Items, the last one last; the version holds them all."),
            Parameter("weights", "numbers", "Strength of each item of the history."),
            Parameter("dislikes", "ids", "What the user of the history does not want."),
            of_lists.USER_ATTRIBUTES,
            DETAILS,
        ),
        example={"body": {"history": ["i7"], "item_id": "i9"}},
    ),
    Route(
        "history",
        "GET",
        "/v1/users/{user_id}/history",
        "List what a user has seen, with the weight of each item.",
        handlers.history,
        (_K, DETAILS),
        example={"path": {"user_id": "u42"}, "query": {"k": 2}},
    ),
    Route(
        "nearest",
        "POST",
        "/v1/items:nearest",
        "List the items nearest to the sum of some embeddings less that of others, by the cosine.",
        handlers.nearest,
        (
            Parameter("plus", "ids", "Items whose embeddings are added."),
            Parameter("minus", "ids", "Items whose embeddings are taken away."),
            _K,
            *of_lists.CONDITIONS,
            DETAILS,
        ),
        example={"body": {"plus": ["i7", "i9"], "minus": ["j1"], "k": 2}},
    ),
    Route(
        "items",
        "GET",
        "/v1/items",
        "Find items by words of their titles or their beginnings; without any, all of them.",
        handlers.find,
        (
            Parameter("title", "text", "Words; or an id.", default="", most_characters=256),
            _K,
            of_lists.CONDITIONS[-1],
            DETAILS,
        ),
        example={"query": {"title": "moon", "k": 2}},
    ),
    Route(
        "item",
        "GET",
        "/v1/items/{item_id}",
        "Show what is known of an item.",
        handlers.item,
        example={"path": {"item_id": "i7"}},
    ),
    Route(
        "list",
        "GET",
        "/v1/lists/{kind}",
        "List popular, trending or latest items, the same for everybody.",
        handlers.top,
        (*of_lists.OF_A_LIST, _COLUMN),
        example={"path": {"kind": "popular"}, "query": {"k": 2, "where": "price < 20"}},
    ),
    Route(
        "list_in_body",
        "POST",
        "/v1/lists/{kind}",
        "The same with the conditions in the body, where lists of ids may be long or empty.",
        handlers.top,
        (*of_lists.OF_A_LIST, _COLUMN),
        example={"path": {"kind": "popular"}, "body": {"k": 2, "exclude": ["i7"]}},
    ),
    Route(
        "embeddings",
        "GET",
        "/v1/embeddings/{table}",
        "The embedding of one id as JSON, those of several as a stream of Arrow.",
        handlers.embeddings_by_id,
        (Parameter("id", "ids", "Of users or items; repeatable.", required=True), _UNKNOWN_IDS),
        example={"path": {"table": "items"}, "query": {"id": ["i7"]}},
    ),
    Route(
        "embeddings_of_many",
        "POST",
        "/v1/embeddings/{table}",
        "Embeddings by id, as a stream of Arrow.",
        handlers.embeddings,
        (_IDS, _UNKNOWN_IDS),
        example={"path": {"table": "users"}, "body": {"ids": ["u42", "u1"]}},
        media=handlers.ARROW,
    ),
    Route(
        "add_events",
        "POST",
        "/v1/events",
        "Keep what users did: durable when answered, once for each id, and in their next list.",
        parameters=events.EVENTS,
        scope="write",
        example={"body": {"user_id": "u42", "item_id": "i9", "event_id": "order-17"}},
        wait=events.add,
    ),
    Route(
        "delete_user",
        "DELETE",
        "/v1/users/{user_id}",
        "Delete the events of a user, who is unknown from now on and left out of the next version.",
        events.delete_user,
        scope="write",
        example={"path": {"user_id": "u1"}},
    ),
    Route("version", "GET", "/v1/version", "What the open version is.", handlers.version),
    Route(
        "users",
        "GET",
        "/v1/users",
        "List users whose ids begin with a text; without one, some of all.",
        exploring.users,
        (Parameter("start", "text", "Of an id.", default="", most_characters=256), _K),
        example={"query": {"start": "u", "k": 2}},
        is_of_explorer=True,
    ),
    Route(
        "versions",
        "GET",
        "/v1/versions",
        "List the versions of the store, newest first.",
        exploring.listed_versions,
        is_of_explorer=True,
    ),
    Route(
        "of_version",
        "POST",
        "/v1/versions/{version}/recommendations",
        "Recommend as /v1/recommendations does, from any version of the store.",
        exploring.of_version,
        of_lists.OF_ANYBODY,
        example={"path": {"version": exploring.CURRENT}, "body": {"history": ["i7"], "k": 2}},
        is_of_explorer=True,
    ),
    Route(
        "status",
        "GET",
        "/v1/status",
        "The open version with its checks and metrics, and the last nights of the store.",
        scope="operate",
    ),
    Route(
        "explore",
        "GET",
        "/explore",
        "The explorer, a page for browsers.",
        scope=None,
        media=static.HTML,
        is_of_explorer=True,
    ),
    Route(
        "dashboard",
        "GET",
        "/dashboard",
        "The state of the service, a page for browsers.",
        scope=None,
        media=static.HTML,
    ),
    Route(
        "page_file",
        "GET",
        "/pages/files/{name}",
        "Styles and scripts of the pages.",
        scope=None,
        example={"path": {"name": "page.css"}},
        media=static.CSS,
    ),
    Route("live", "GET", "/health/live", "Whether the process answers.", scope=None),
    Route("ready", "GET", "/health/ready", "Whether a version is open and warm.", scope=None),
    Route(
        "metrics",
        "GET",
        "/metrics",
        "Counters of all workers, for Prometheus.",
        scope="operate",
        media=handlers.PROMETHEUS,
    ),
    Route("openapi", "GET", "/openapi.json", "This service as OpenAPI 3.1.", scope=None),
)
OTHER = "other"
"""What counters call requests of no route."""


class Found(NamedTuple):
    """The routes of a path by method, and the variable parts of it, escaped."""

    routes: Mapping[str, Route]
    path: Mapping[str, bytes]


class _Path(NamedTuple):
    """A path as it is compared: the places of its fixed parts, and of those that vary."""

    fixed: tuple[tuple[int, bytes], ...]
    varying: tuple[tuple[int, str], ...]
    routes: Mapping[str, Route]


def _compiled() -> dict[tuple[int, bytes], list[_Path]]:
    """Return the paths by their number of parts and the one after /v1/, which is fixed in all."""
    routes: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        routes.setdefault(route.path, {})[route.method] = route
    found: dict[tuple[int, bytes], list[_Path]] = {}
    for path, by_method in routes.items():
        parts = list(enumerate(path.split("/")))
        fixed = tuple((at, one.encode()) for at, one in parts if not one.startswith("{"))
        varying = tuple((at, one.strip("{}")) for at, one in parts if one.startswith("{"))
        key = len(parts), parts[min(2, len(parts) - 1)][1].encode()
        found.setdefault(key, []).append(_Path(fixed, varying, by_method))
    return found


_COMPILED = _compiled()


def found(raw_path: bytes) -> Found | None:
    """Return the routes of a path as it was sent: an escaped slash is part of an id."""
    parts = raw_path.split(b"/")
    n_parts = len(parts)
    for fixed, varying, by_method in _COMPILED.get((n_parts, parts[min(2, n_parts - 1)]), ()):
        for at, expected in fixed:
            if parts[at] != expected:
                break
        else:
            return Found(by_method, {name: parts[at] for at, name in varying})
    return None
