"""The service as OpenAPI 3.1, made of its routes."""

import json
from functools import cache
from typing import Any

from recsys.base.environment import DISTRIBUTION
from recsys.service import handlers
from recsys.service.parameters import Parameter
from recsys.service.problems import MEDIA, PROBLEMS
from recsys.service.routes import ROUTES, Route

_ID: dict[str, Any] = {"type": ["string", "integer"]}
_KINDS: dict[str, dict[str, Any]] = {
    "k": {"type": "integer", "minimum": 1},
    "number": {"type": "number"},
    "flag": {"type": "boolean"},
    "id": _ID,
    "ids": {"type": "array", "items": _ID},
    "numbers": {"type": "array", "items": {"type": "number"}},
    "objects": {"type": "array", "items": {"type": "object"}},
}
_SCORED = {
    "type": "object",
    "required": ["item_id", "score"],
    "properties": {
        "item_id": _ID,
        "title": {"type": "string"},
        "score": {"type": ["number", "null"]},
    },
}
_LIST = {
    "type": "object",
    "required": ["items", "source", "version"],
    "properties": {
        "items": {"type": "array", "items": _SCORED},
        "source": {"type": "string"},
        "version": {"type": "string"},
    },
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"enum": list(PROBLEMS)},
        "request_id": {"type": "string"},
    },
}
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
_LISTS = frozenset(
    ("user_recommendations", "recommendations", "similar", "similar_in_body", "items", "list")
) | {"list_in_body"}


@cache
def document() -> bytes:
    """Return the document as JSON."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    content = {
        "openapi": "3.1.0",
        "info": {"title": DISTRIBUTION, "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {"List": _LIST, "Problem": _PROBLEM},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
    return json.dumps(content).encode()


def _operation(route: Route) -> dict[str, Any]:
    problem = {MEDIA.decode(): {"schema": {"$ref": "#/components/schemas/Problem"}}}
    schema = {"$ref": "#/components/schemas/List"} if route.name in _LISTS else {}
    found: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "responses": {
            "200": {
                "description": "The answer.",
                "headers": _HEADERS if route.name in _LISTS else _OF_ALL,
                "content": {route.media.decode().partition(";")[0]: {"schema": schema}},
            },
            "default": {"description": "A problem (RFC 9457).", "content": problem},
        },
    }
    listed = [_in_path(name, route) for name in _names_in(route.path)]
    if route.method == "GET":
        listed += [_in_query(parameter, route) for parameter in route.parameters]
    else:
        found["requestBody"] = _body(route)
    if listed:
        found["parameters"] = listed
    if route.scope is not None:
        found["security"] = [{"key": []}]
        found["description"] = f"Where the service has keys: one of scope {route.scope}."
    return found


def _names_in(path: str) -> list[str]:
    return [part.strip("{}") for part in path.split("/") if part.startswith("{")]


def _in_path(name: str, route: Route) -> dict[str, Any]:
    found = {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    return found | {"example": route.example["path"][name]}


def _in_query(parameter: Parameter, route: Route) -> dict[str, Any]:
    found = {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "required": parameter.required,
        "schema": _schema(parameter),
    }
    example = route.example.get("query", {}).get(parameter.name)
    return found if example is None else found | {"example": example}


def _body(route: Route) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {
            one.name: _schema(one) | {"description": one.description} for one in route.parameters
        },
        "required": [one.name for one in route.parameters if one.required],
        "additionalProperties": False,
    }
    content = {"schema": schema, "example": route.example["body"]}
    return {"required": True, "content": {handlers.JSON.decode(): content}}


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema = dict(_KINDS.get(parameter.kind, {"type": "string"}))
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.default is not None:
        schema["default"] = parameter.default
    return schema
