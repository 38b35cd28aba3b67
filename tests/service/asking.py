"""Ask the service over the interface of ASGI, in this process."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from recsys.service import Service


@dataclass(frozen=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def escaped(id_: object) -> str:
    return quote(str(id_), safe="")


def target(path: str, **query: Any) -> str:
    return f"{path}?{urlencode(query, doseq=True)}" if query else path


async def asked(
    service: Service,
    method: str,
    target: str | bytes,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    chunks: Iterable[bytes] | None = None,
    stall: bool = False,
) -> Answered:
    raw = target.encode() if isinstance(target, str) else target
    path, _, query = raw.partition(b"?")
    given = {"content-type": "application/json"} | dict(headers or {})
    sent = [(name.lower().encode(), one.encode()) for name, one in given.items()]
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    parts = [data] if chunks is None else list(chunks)
    waiting = [
        {"type": "http.request", "body": part, "more_body": stall or number < len(parts)}
        for number, part in enumerate(parts, 1)
    ]

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        if stall:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    answers: list[Any] = []

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "method": method,
        "raw_path": path,
        "query_string": query,
        "headers": sent,
    }
    await service(scope, receive, send)
    start, end = answers
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    assert int(found["content-length"]) == len(end["body"]) or method == "HEAD"
    return Answered(start["status"], found, end["body"])


def ask(service: Service, method: str, target: str | bytes, *args: Any, **kwargs: Any) -> Answered:
    return asyncio.run(asked(service, method, target, *args, **kwargs))


def get(service: Service, path: str, **query: Any) -> Answered:
    return ask(service, "GET", target(path, **query))


def post(service: Service, path: str, body: object, **kwargs: Any) -> Answered:
    return ask(service, "POST", path, body, **kwargs)
