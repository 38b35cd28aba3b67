"""Fuzz ids of any bytes through the service, guided by coverage; needs `pip install atheris`.

    python -m benchmarks.fuzz_ids -max_total_time=600

Each input is an id in a path, in a query and in a body. It is a failure if an answer is neither a
list nor a problem of the caller's, or if an id that is known is not found by each of the ways.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import atheris

from recsys.models.als import row_solver  # noqa: F401  as Numba compiles nothing instrumented

with atheris.instrument_imports(include=["recsys.service", "recsys.vectors", "recsys.serving"]):
    from benchmarks.hostile import USERS, make_store
    from recsys.service import Service

_ALLOWED = {200, 400, 404, 405, 414, 422}


async def _asked(service: Service, method: str, raw: bytes, body: bytes = b"") -> tuple[int, Any]:
    path, _, query = raw.partition(b"?")
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "raw_path": path,
        "query_string": query,
        "headers": [(b"content-type", b"application/json")],
        "http_version": "1.1",
        "path": "",
        "scheme": "http",
    }
    await service(scope, receive, send)
    media = dict(sent[0]["headers"])[b"content-type"]
    is_json = media.endswith(b"json")
    return sent[0]["status"], json.loads(sent[1]["body"]) if is_json else sent[1]["body"]


def main() -> None:
    folder = tempfile.TemporaryDirectory()
    make_store(Path(folder.name) / "store")
    service = Service(Path(folder.name) / "store").open()
    loop = asyncio.new_event_loop()
    known = set(USERS)

    def one(data: bytes) -> None:
        """Ask with one id, by every way."""
        text = data.decode(errors="surrogateescape")
        escaped = quote(data, safe="").encode()
        raw = b"".join(bytes([one]) for one in data if one not in b"?# \r\n")
        ways = (
            ("GET", b"/v1/users/" + escaped + b"/recommendations?k=2&on_unknown=raise", b""),
            ("GET", b"/v1/users/" + raw + b"/recommendations", b""),
            ("GET", b"/v1/items/" + escaped + b"/similar?k=2&exclude=" + escaped, b""),
            ("GET", b"/v1/items/" + escaped, b""),
            ("GET", b"/v1/items?title=" + escaped[:500], b""),
            ("GET", b"/v1/embeddings/users?id=" + escaped, b""),
            ("POST", b"/v1/recommendations", _body({"user_id": text, "k": 2})),
            ("POST", b"/v1/recommendations", _body({"history": [text, "i7"], "exclude": [text]})),
            ("POST", b"/v1/recommendations", b'{"user_id": "' + data + b'"}'),
            ("POST", b"/v1/recommendations", b'{"user_id": ' + data + b"}"),
            ("POST", b"/v1/embeddings/items", _body({"ids": [text], "on_unknown": "ignore"})),
        )
        for method, target, body in ways:
            status, found = loop.run_until_complete(_asked(service, method, target, body))
            if status not in _ALLOWED:
                raise RuntimeError(f"{method} {target!r} {body!r}: {status} {found}")
            if method == "GET" and target.startswith(b"/v1/users/" + escaped + b"/rec"):
                is_found = status == 200 and found.get("source") == "personal"
                if "on_unknown" in target.decode() and is_found != (text in known):
                    raise RuntimeError(f"{text!r}: found is {is_found}, expected {text in known}")

    atheris.Setup([*sys.argv, *(["-max_len=4096"] if len(sys.argv) < 3 else [])], one)
    atheris.Fuzz()


def _body(asked: Any) -> bytes:
    return json.dumps(asked).encode()


if __name__ == "__main__":
    main()
