"""The reference of HTTP: every route of the service, as its OpenAPI document describes it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.site.commands import in_a_cell
from recsys.base.service_settings import ServiceSettings
from recsys.service.openapi import document


def write_routes(folder: Path) -> str:
    """Write the page of all routes, and return its name."""
    content = json.loads(document(ServiceSettings()))
    routes = [
        _route(method, path, operation)
        for path, operations in content["paths"].items()
        for method, operation in operations.items()
    ]
    shapes = [_shape(name, schema) for name, schema in content["components"]["schemas"].items()]
    parts = [
        "# All routes",
        "Each route with its arguments, as `GET /openapi.json` describes them to programs. Limits "
        "are those of the default settings. Keys, problems and examples are in "
        "[The online service](service.md).",
        *routes,
        "## What is sent and answered",
        *shapes,
    ]
    (folder / "routes.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return "routes.md"


def _route(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "\n".join(map(_row, (*operation.get("parameters", ()), *_in_body(operation))))
    table = f"\n\n| argument | in | type | what it is |\n|---|---|---|---|\n{rows}" if rows else ""
    answers = ", ".join(
        _kind(media["schema"]) if "schema" in media else f"`{kind}`"
        for kind, media in operation["responses"]["200"].get("content", {}).items()
    )
    others = ", ".join(status for status in operation["responses"] if status != "200")
    return (
        f"## {method.upper()} {path}\n\n{operation['summary']} Answers {answers or 'nothing'}; "
        f"or {others or 'nothing else'}.{table}"
    )


def _row(argument: dict[str, Any]) -> str:
    is_required = ", required" if argument.get("required") else ""
    cells = (
        f"`{argument['name']}`{is_required}",
        argument["in"],
        _kind(argument["schema"]),
        in_a_cell(argument.get("description", "")),
    )
    return f"| {' | '.join(cells)} |"


def _in_body(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the arguments of a body as OpenAPI gives those of a query."""
    content = operation.get("requestBody", {}).get("content", {})
    for media in list(content.values())[:1]:
        for schema in media["schema"].get("anyOf", [media["schema"]]):
            if "$ref" in schema:
                yield {"name": "the body", "in": "body", "schema": schema}
            needed = schema.get("required", ())
            for name, one in schema.get("properties", {}).items():
                what = one.get("description", "")
                is_required = name in needed
                yield {
                    "name": name,
                    "in": "body",
                    "schema": one,
                    "description": what,
                    "required": is_required,
                }


def _shape(name: str, schema: dict[str, Any]) -> str:
    needed = schema.get("required", ())
    rows = "\n".join(
        f"| `{key}`{'' if key in needed else ', or none'} | {_kind(one)} | "
        f"{in_a_cell(one.get('description', ''))} |"
        for key, one in schema.get("properties", {}).items()
    )
    table = f"| key | type | what it is |\n|---|---|---|\n{rows}" if rows else _kind(schema)
    return f"### {name}\n\n{table}"


def _kind(schema: dict[str, Any]) -> str:
    """Return what a value may be, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    kinds = schema.get("type", "any")
    kinds = [kinds] if isinstance(kinds, str) else [one for one in kinds if one != "null"]
    kind = " or ".join(kinds)
    if "items" in schema:
        kind += f" of {_kind(schema['items'])}"
    bounds = [
        f"{words} {schema[key]:,}"
        for key, words in (
            ("minimum", "from"),
            ("maximum", "to"),
            ("maxLength", "at most"),
            ("maxItems", "at most"),
        )
        if key in schema
    ]
    if schema.get("default") not in (None, [], "", False):
        bounds.append(f"default {schema['default']}")
    return ", ".join([kind, *bounds])
