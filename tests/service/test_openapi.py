"""The OpenAPI of the service is true: its examples are answered, answers are as it says."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import requests
import schemathesis
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis.checks import CHECKS

from recsys.service import Service, ServiceSettings
from recsys.service.openapi import ANSWERS, document
from recsys.service.routes import ROUTES
from recsys.service.schemas import ANSWERS as SCHEMAS
from tests.service.asking import Answered, ask, escaped, post

N_EXAMPLES = 10
DOCUMENT = json.loads(document(ServiceSettings(explore=True)))
OPERATIONS = [
    (method.upper(), path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
FORMATS = {
    "recsys-condition": ["price < 20", "category in ('a', 'b')", "title is null and price > 3"],
    "recsys-column": ["category", "price"],
    "recsys-limit": ["category:1", "price:3"],
}
for name, texts in FORMATS.items():
    schemathesis.openapi.format(name, st.sampled_from(texts))

# Not that valid requests are accepted: which arguments go together, no schema says wholly. Nor of a
# batch that others are refused, as each of its requests has an answer of its own.
NOT_ASKED = ["positive_data_acceptance"]
NOT_OF_BATCH = [*NOT_ASKED, "negative_data_rejection"]
VALID, INVALID = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE


def problems_of(answer: Answered, operation: dict[str, Any]) -> list[str]:
    """What an answer is not that the document says of it."""
    described = operation["responses"].get(str(answer.status))
    if described is None:
        return [f"status {answer.status}"]
    if "$ref" in described:
        described = DOCUMENT["components"]["responses"][described["$ref"].rpartition("/")[2]]
    media = answer.headers["content-type"].partition(";")[0]
    if media not in described["content"]:
        return [f"media {media}"]
    missing = set(described["headers"]) - set(answer.headers)
    schema = described["content"][media]["schema"] | {"components": DOCUMENT["components"]}
    validator = Draft202012Validator(schema)
    wrong = validator.iter_errors(answer.json()) if media.endswith("json") else ()
    return [*missing, *(error.message for error in wrong)]


def test_the_schemas_are_schemas() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    of_json = {route.name for route in ROUTES if route.media == b"application/json"}
    assert set(ANSWERS) == of_json - {"openapi"}
    assert set(ANSWERS.values()) <= set(SCHEMAS)


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=lambda one: str(one)[:40])
def test_its_examples_are_answered_as_it_says(
    live: Service, method: str, path: str, operation: dict[str, Any]
) -> None:
    query = {}
    for one in operation.get("parameters", ()):
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", escaped(one["example"]))
        elif "example" in one:
            query[one["name"]] = one["example"]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    target = f"{path}?{urlencode(query, doseq=True)}" if query else path
    answer = ask(live, method, target, content.get("example"))
    assert answer.status == 200
    assert problems_of(answer, operation) == []
    if content:
        assert Draft202012Validator(
            content["schema"] | {"components": DOCUMENT["components"]}
        ).is_valid(content["example"])
        body = content["example"] | {"details": True}
        for detailed in (body, {"requests": [body | {"user_id": "u42"}]}, {"kk": 1}):
            assert problems_of(post(live, path, detailed), operation) == []


def test_keys_and_limits_are_those_of_the_settings() -> None:
    found = json.loads(document(ServiceSettings(keys="keys.jsonl", max_k=7, max_per_second=1.0)))
    of_user = found["paths"]["/v1/users/{user_id}/recommendations"]["get"]
    assert of_user["security"] == [{"key": []}]
    assert {"401", "403", "404", "422", "429", "503"} <= set(of_user["responses"])
    (k,) = (one["schema"] for one in of_user["parameters"] if one["name"] == "k")
    assert (k["minimum"], k["maximum"]) == (1, 7)
    assert "security" not in found["paths"]["/health/live"]["get"]
    assert "security" not in DOCUMENT["paths"]["/v1/version"]["get"]


SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


def answer_to(service: Service, case: schemathesis.Case) -> httpx.Response:
    sent = requests.Request(**case.as_transport_kwargs(base_url="http://service")).prepare()
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    answer = ask(service, sent.method or "", sent.path_url, body, sent.headers)
    request = httpx.Request(sent.method or "", "http://service", content=body)
    found = httpx.Response(
        answer.status, headers=answer.headers, content=answer.body, request=request
    )
    found.elapsed = timedelta(0)
    return found


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=lambda one: str(one)[:40])
def test_schemathesis_finds_nothing(
    live: Service, method: str, path: str, operation: dict[str, Any]
) -> None:
    found = SCHEMA[path][method]
    left_out = CHECKS.get_by_names(NOT_OF_BATCH if path.endswith(":batch") else NOT_ASKED)

    @settings(max_examples=N_EXAMPLES, phases=[Phase.generate])
    @given(case=found.as_strategy(VALID) | found.as_strategy(INVALID))
    def asked(case: schemathesis.Case) -> None:
        answer = answer_to(live, case)
        if answer.status_code not in (413, 414):  # refusals that Schemathesis takes for none
            case.validate_response(answer, excluded_checks=left_out)

    asked()
