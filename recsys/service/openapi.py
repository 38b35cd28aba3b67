"""The service as OpenAPI 3.1, made of its routes and held to its settings."""

import json
from typing import Any

from recsys.base.environment import DISTRIBUTION
from recsys.base.service_settings import ServiceSettings
from recsys.service import handlers, schemas
from recsys.service.events import OF_AN_EVENT
from recsys.service.of_lists import OF_ANYBODY
from recsys.service.parameters import Parameter
from recsys.service.problems import MEDIA, PROBLEMS
from recsys.service.routes import ROUTES, Route

_OF_ALL = {
    name: {"description": what, "schema": {"type": "string"}}
    for name, what in (
        ("x-request-id", "The one that was sent, or a new one."),
        ("x-recsys-version", "The version that answered; none where none is open."),
    )
}
_HEADERS = _OF_ALL | {
    "x-recsys-source": {"description": "As in the list.", "schema": {"type": "string"}}
}
_LISTS = (
    *("user_recommendations", "recommendations", "similar", "similar_in_body", "items"),
    *("history", "nearest", "of_version"),
)
ANSWERS = dict.fromkeys((*_LISTS, "list", "list_in_body"), "List") | {
    "batch": "Batch",
    "audience": "Audience",
    "audience_in_body": "Audience",
    "explanation": "Explanation",
    "explanations": "Explanation",
    "item": "Item",
    "embeddings": "Embedding",
    "version": "Version",
    "users": "Users",
    "versions": "Versions",
    "status": "Status",
    "add_events": "Added",
    "delete_user": "Deleted",
    "live": "Health",
    "ready": "Health",
}
"""The schema of the answer of each route; any JSON where there is none."""

_CHOICES = {"kind": ["popular", "trending", "latest"], "table": ["users", "items"]}


def document(settings: ServiceSettings) -> bytes:
    """Return the document as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        if not route.is_of_program or (route.is_of_explorer and not settings.explore):
            continue
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, settings)
    request = schemas.of_body("recommendations", OF_ANYBODY, settings)
    event = schemas.of_body("event", OF_AN_EVENT, settings)
    content: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": DISTRIBUTION, "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {
                **schemas.ANSWERS,
                **schemas.ARGUMENTS,
                "Request": request,
                "Event": event,
            },
            "responses": {
                str(status): _problem(status)
                for status in sorted({status for status, _ in PROBLEMS.values()})
            },
        },
    }
    if settings.keys is not None:
        bearer = {"key": {"type": "http", "scheme": "bearer"}}
        content["components"]["securitySchemes"] = bearer
    return json.dumps(content).encode()


def _problem(status: int) -> dict[str, Any]:
    codes = {code: title for code, (one, title) in PROBLEMS.items() if one == status}
    return {
        "description": "; ".join(f"{code}: {title}" for code, title in codes.items()),
        "headers": {"x-request-id": _OF_ALL["x-request-id"]},
        "content": {MEDIA.decode(): {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _operation(route: Route, settings: ServiceSettings) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "responses": {
            "200": {
                "description": "The answer.",
                "headers": _HEADERS if ANSWERS.get(route.name) == "List" else _OF_ALL,
                "content": _content(route),
            },
            **{
                str(status): {"$ref": f"#/components/responses/{status}"}
                for status in sorted(_statuses(route, settings))
            },
        },
    }
    listed = [_in_path(name, route) for name in _names_in(route.path)]
    if route.method == "GET":
        listed += [_in_query(parameter, route, settings) for parameter in route.parameters]
    elif route.method == "POST":
        found["requestBody"] = _body(route, settings)
    if listed:
        found["parameters"] = listed
    if route.scope is not None and settings.keys is not None:
        found["security"] = [{"key": []}]
        found["description"] = f"Needs a key of scope {route.scope}."
    return found


def _content(route: Route) -> dict[str, Any]:
    name, media = ANSWERS.get(route.name), route.media.decode().partition(";")[0]
    found = {media: {"schema": {} if name is None else {"$ref": f"#/components/schemas/{name}"}}}
    if route.name == "embeddings":
        found[handlers.ARROW.decode()] = {"schema": {}}
    return found


def _statuses(route: Route, settings: ServiceSettings) -> set[int]:
    """Return the statuses of the problems that a route may answer with."""
    statuses = {400, 414, 431, 500}
    if route.answer is not None or route.name in ("ready", "status"):
        statuses.add(503)
    if route.answer is not None:
        statuses.add(422)
    if route.wait is not None:
        statuses |= {404, 409, 422, 503}
    if route.scope == "write":
        statuses.add(507)
    if route.method == "POST":
        statuses |= {408, 413, 415}
    if "{" in route.path or any(
        one.name in ("on_unknown", "history", "plus") for one in route.parameters
    ):
        statuses.add(404)
    if route.scope is not None:
        statuses |= {429} if settings.max_per_second is not None else set()
        statuses |= {401, 403} if settings.keys is not None else {421}
    return statuses


def _names_in(path: str) -> list[str]:
    return [part.strip("{}") for part in path.split("/") if part.startswith("{")]


def _in_path(name: str, route: Route) -> dict[str, Any]:
    schema = {"type": "string"} | ({"enum": _CHOICES[name]} if name in _CHOICES else {})
    found = {"name": name, "in": "path", "required": True, "schema": schema}
    return found | {"example": route.example["path"][name]}


def _in_query(parameter: Parameter, route: Route, settings: ServiceSettings) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "required": parameter.required,
        "schema": schemas.of_parameter(parameter, settings),
    }
    if parameter.kind == "columns":  # a query repeats the name
        found["schema"] = {"type": "array", "items": found["schema"]["items"]}
    example = route.example.get("query", {}).get(parameter.name)
    return found if example is None else found | {"example": example}


def _body(route: Route, settings: ServiceSettings) -> dict[str, Any]:
    schema = schemas.of_body(route.name, route.parameters, settings)
    content = {"schema": schema, "example": route.example["body"]}
    return {"required": True, "content": {handlers.JSON.decode(): content}}
