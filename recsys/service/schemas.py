"""What arguments and answers look like, as JSON Schema, for OpenAPI."""

from collections.abc import Iterable, Mapping
from typing import Any

from recsys.base.rule_settings import MOST_BOOSTS, MOST_PINS, MOST_PLUS, MOST_TIMES
from recsys.base.service_settings import ServiceSettings
from recsys.service.handlers import LIMITS
from recsys.service.parameters import Parameter
from recsys.service.problems import PROBLEMS

Schema = dict[str, Any]

_ID: Schema = {"type": ["string", "integer"]}
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SCORE: Schema = {"type": ["number", "null"]}


def _object(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    found = {"type": "object", "required": list(required), "properties": {**required, **optional}}
    return found | {"additionalProperties": False}


def _list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_SCORED = _object({"item_id": _ID, "score": _SCORE}, title=_TEXT)
_ITEM_OF_LIST = _object(
    {"item_id": _ID, "score": _SCORE},
    title=_TEXT,
    boost=_SCORE,
    pinned={"type": "boolean"},
    new_item={"type": "boolean"},
    attributes={"type": "object"},
    because_of=_ref("Scored"),
)
_INTERVAL: Schema = {"type": ["array", "null"], "items": {"type": "number"}}
_OR_TEXT: Schema = {"type": ["string", "null"]}
_METRIC = _object({"name": _TEXT, "value": _SCORE, "interval": _INTERVAL}, popularity=_SCORE)
_CHECK = _object(
    {
        "name": _TEXT,
        "value": _SCORE,
        "threshold": _SCORE,
        "passed": {"type": "boolean"},
        "sentence": _TEXT,
        "refuses": {"type": "boolean"},
    }
)
_NIGHT = _object(
    {
        "run": _TEXT,
        "result": _TEXT,
        "version": _OR_TEXT,
        "newest_event": _OR_TEXT,
        "error": _OR_TEXT,
        "reported": _list_of(_TEXT),
    }
)
_ABOUT_VERSION = {
    "created": _TEXT,
    "model": _TEXT,
    "factors": _COUNT,
    "n_users": _COUNT,
    "n_items": _COUNT,
}
_LIMIT_FORMAT: Schema = {"format": "recsys-limit"}
_LIMIT: Schema = _TEXT | _LIMIT_FORMAT
_CONDITION: Schema = _TEXT | {"format": "recsys-condition"}
_MOMENT: Schema = {"type": ["string", "null"], "format": "date-time"}
_PERIOD: dict[str, Schema] = {"since": _MOMENT, "until": _MOMENT}
_POSITION: Schema = {"type": "integer", "minimum": 1}
_PART = {"type": "object", "required": ["item_id", "score"], "properties": {"score": _SCORE}}

ANSWERS: dict[str, Schema] = {
    "Scored": _SCORED,
    "Listed": _ITEM_OF_LIST,
    "List": _object(
        {"items": _list_of(_ref("Listed")), "source": _TEXT, "version": _TEXT},
        title_column={"type": ["string", "null"]},
    ),
    "Batch": _object(
        {
            "answers": _list_of(
                {"anyOf": [_ref("List"), _object({"problem": _ref("Problem")})]},
            ),
            "version": _TEXT,
        }
    ),
    "Audience": _object(
        {
            "item_id": _ID,
            "users": _list_of(_object({"user_id": _ID, "score": _SCORE})),
            "source": {"const": "audience"},
            "version": _TEXT,
        }
    ),
    "Explanation": _object(
        {
            "item_id": _ID,
            "score": _SCORE,
            "parts": _list_of(_PART),
            "rest": _SCORE,
            "source": _TEXT,
            "version": _TEXT,
        },
        title_column={"type": ["string", "null"]},
        new_item={"type": "boolean"},
    ),
    "Item": _object(
        {"item_id": _ID, "n_users": _COUNT, "attributes": {"type": "object"}, "version": _TEXT}
    ),
    "Embedding": {
        **_object(
            {"embedding": _list_of({"type": "number"}), "space_id": _TEXT, "version": _TEXT},
            user_id=_ID,
            item_id=_ID,
        ),
        "oneOf": [{"required": ["user_id"]}, {"required": ["item_id"]}],
    },
    "Version": _object(
        {
            "version": _TEXT,
            "model": _TEXT,
            "factors": _COUNT,
            "n_users": _COUNT,
            "n_items": _COUNT,
            "space_id": _TEXT,
            "opened_seconds_ago": {"type": "number"},
            "limits": _object(dict.fromkeys(LIMITS, _COUNT)),
        }
    ),
    "Users": _object(
        {
            "users": _list_of(_object({"user_id": _ID, "n_items": _COUNT})),
            "n_users": _COUNT,
            "version": _TEXT,
        }
    ),
    "Versions": _object(
        {
            "versions": _list_of(
                _object(
                    {
                        "version": _TEXT,
                        "is_current": {"type": "boolean"},
                        "is_readable": {"type": "boolean"},
                    },
                    **_ABOUT_VERSION,
                    status={"enum": ["accepted", "refused"]},
                    metric={"anyOf": [_METRIC, {"type": "null"}]},
                )
            ),
            "version": _TEXT,
        }
    ),
    "Status": _object(
        {
            "version": _OR_TEXT,
            "n_versions": _COUNT,
            "newest_version": _OR_TEXT,
            "nights": _list_of(_NIGHT),
            "nights_unreadable": _OR_TEXT,
            "explore": {"type": "boolean"},
        },
        **_ABOUT_VERSION,
        opened_seconds_ago={"type": "number"},
        age_seconds={"type": "integer"},
        parent=_OR_TEXT,
        refreshed_from=_OR_TEXT,
        n_events={"type": ["integer", "null"]},
        newest_event=_OR_TEXT,
        metrics=_list_of(_METRIC),
        checks=_list_of(_CHECK),
    ),
    "Added": _object({"added": _COUNT, "repeated": _COUNT}),
    "Deleted": _object(
        {"deleted_events": _COUNT, "still_in_version": {"type": ["string", "null"]}}
    ),
    "Health": _object({"status": {"enum": ["live", "ready"]}}, version=_TEXT),
    "Problem": _object(
        {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"enum": sorted({status for status, _ in PROBLEMS.values()})},
            "detail": _TEXT,
            "code": {"enum": list(PROBLEMS)},
        },
        request_id=_TEXT,
    ),
}
"""The bodies of answers."""

ARGUMENTS: dict[str, Schema] = {
    "Boost": _object(
        {"where": _CONDITION},
        times={"type": "number", "minimum": 1 / MOST_TIMES, "maximum": MOST_TIMES},
        plus={"type": "number", "minimum": -MOST_PLUS, "maximum": MOST_PLUS},
        **_PERIOD,
    ),
    "Pin": {
        "anyOf": [
            _object({"position": _POSITION, "item_id": _ID}, **_PERIOD),
            _object({"position": _POSITION, "where": _CONDITION}, **_PERIOD),
        ]
    },
}
"""What lists of objects among the arguments hold, beside whole requests and events."""

_OF_USER: Schema = {
    "required": ["user_id"],
    "properties": {
        "user_id": _ID,
        "weights": {"type": "null"},
        "user_attributes": {"type": "null"},
        "on_unknown": {"enum": ["popular", "raise", None]},
    },
}
_OF_HISTORY: Schema = {
    "required": ["history"],
    "properties": {"user_id": {"type": "null"}, "history": {"type": "array", "minItems": 1}},
}
_OF_DISLIKES: Schema = {
    "required": ["dislikes"],
    "properties": {"user_id": {"type": "null"}, "dislikes": {"type": "array", "minItems": 1}},
}
_OF_ATTRIBUTES: Schema = {
    "required": ["user_attributes"],
    "properties": {"user_id": {"type": "null"}, "user_attributes": {"type": "object"}},
}
_NO_EVENT = ("user_id", "item_id", "event", "value", "timestamp", "event_id")
_OF_EVENT: Schema = {
    "required": ["user_id", "item_id"],
    "properties": {"user_id": _ID, "item_id": _ID, "events": {"type": "null"}},
}
RULES: dict[str, Schema] = {
    "event": _OF_EVENT,
    "add_events": {
        "anyOf": [
            _OF_EVENT,
            {"required": ["events"], "properties": {one: {"type": "null"} for one in _NO_EVENT}},
        ]
    },
    "recommendations": {"anyOf": [_OF_USER, _OF_HISTORY, _OF_DISLIKES, _OF_ATTRIBUTES]},
    "explanations": {
        "anyOf": [
            {
                "required": ["user_id"],
                "properties": {
                    "user_id": _ID,
                    "history": {"type": "null"},
                    "weights": {"type": "null"},
                    "dislikes": {"type": "null"},
                    "user_attributes": {"type": "null"},
                },
            },
            _OF_HISTORY,
            _OF_ATTRIBUTES,
        ]
    },
}
"""What arguments of a body go together, by the name of the route."""


def of_parameter(parameter: Parameter, settings: ServiceSettings) -> Schema:
    """Return the schema of an argument of a query."""
    kinds: dict[str, Schema] = {
        "k": {"type": "integer", "minimum": 1, "maximum": settings.max_k},
        "number": {"type": "number", "minimum": 0, "maximum": 1},
        "value": {"type": "number"},
        "time": {"type": ["number", "string"]},
        "events": _list_of(_ref("Event")) | {"minItems": 1, "maxItems": settings.max_ids},
        "flag": {"type": "boolean"},
        "id": _ID,
        "ids": _list_of(_ID) | {"maxItems": settings.max_ids},
        "numbers": _list_of({"type": "number", "exclusiveMinimum": 0})
        | {"maxItems": settings.max_ids},
        "object": {"type": "object"},
        "objects": _list_of(_ref("Request")) | {"maxItems": settings.max_ids},
        "condition": _TEXT | {"format": "recsys-condition"},
        "column": _TEXT | {"format": "recsys-column"},
        "columns": {"type": ["array", "string"], "items": _LIMIT, **_LIMIT_FORMAT},
        "boosts": _list_of(_ref("Boost")) | {"maxItems": MOST_BOOSTS},
        "pins": _list_of(_ref("Pin")) | {"maxItems": MOST_PINS},
    }
    schema = dict(kinds.get(parameter.kind, _TEXT))
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.most_characters:
        schema["maxLength"] = parameter.most_characters
    if parameter.default is not None:
        schema["default"] = parameter.default
    return schema


def of_body(name: str, parameters: Iterable[Parameter], settings: ServiceSettings) -> Schema:
    """Return the schema of a body, where null stands for the default."""
    listed = tuple(parameters)
    properties = {}
    for one in listed:
        schema = of_parameter(one, settings)
        if not one.required:
            kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            schema["type"] = [*kinds, "null"]
            if "enum" in schema:
                schema["enum"] = [*schema["enum"], None]
        properties[one.name] = schema | {"description": one.description}
    required = [one.name for one in listed if one.required]
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {}) | RULES.get(name, {})
