"""The messages of ASGI: what a request is read from and an answer sent by."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from recsys.base.errors import briefly
from recsys.base.service_settings import ServiceSettings
from recsys.service.handlers import JSON
from recsys.service.problems import ProblemError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = dict[bytes, bytes]


async def body_of(headers: Headers, receive: Receive, settings: ServiceSettings) -> bytes:
    """Return the body of a request, which must be JSON of no more bytes, in time."""
    # None is refused as well: without one, a browser sends the body of any page without asking.
    media = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media != JSON or b"content-encoding" in headers:
        got = "a compressed body" if media == JSON else briefly(media.decode("latin-1"))
        raise ProblemError(
            "no_media_type", f"content-type: expected application/json, uncompressed, got {got}"
        )
    too_large = ProblemError(
        "too_large_a_body",
        f"the body: expected at most {settings.max_body_bytes:,} bytes (service.max_body_bytes), "
        "got more",
    )
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > settings.max_body_bytes:
        raise too_large
    parts, n_bytes = [], 0
    try:
        async with asyncio.timeout(settings.max_seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ProblemError(
                        "malformed", "expected a body, got the end of the connection"
                    )
                parts.append(message.get("body", b""))
                n_bytes += len(parts[-1])
                if n_bytes > settings.max_body_bytes:
                    raise too_large
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError as error:
        raise ProblemError(
            "too_slow_a_body", f"expected the body within {settings.max_seconds:g} seconds"
        ) from error
