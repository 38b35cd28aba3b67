"""The service as an ASGI application: who asks, for what, within which limits, and the answer."""

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

from recsys.base.errors import ConfigError
from recsys.base.service_settings import ServiceSettings
from recsys.service import handlers, routes
from recsys.service.counters import Counters
from recsys.service.handlers import Asked, Reply
from recsys.service.keys import Keys
from recsys.service.observer import Observer
from recsys.service.openapi import document
from recsys.service.opened import CurrentVersion
from recsys.service.parameters import Arguments, in_body, in_query, parsed, unescaped
from recsys.service.problems import ProblemError
from recsys.service.rate import Rate
from recsys.service.routes import OTHER, ROUTES, Found, Route
from recsys.serving import Source, store_path
from recsys.serving.open import signature_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = dict[bytes, bytes]

log = logging.getLogger("recsys.service")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_HSTS = (b"strict-transport-security", b"max-age=31536000")
_OPEN_SECONDS = 5.0  # for a version to open before the first request
_SHORT_QUERY, _MOST_QUERIES = 32, 1024  # bytes; kept
_METHODS = b"GET, HEAD, POST, OPTIONS"


class Service:
    """An ASGI application over the current version of a store.

    Parameters
    ----------
    store : path, optional
        Default: $RECSYS_STORE, else ./store.
    settings : ServiceSettings, optional
    counters : path, optional
        The folder that the workers of one service share for their counters.

    Raises
    ------
    ConfigError
        If the keys of the settings cannot be read.

    Notes
    -----
    At the start of its lifespan it opens the version, and answers when that is open and warm, or
    after some seconds, live but not ready. `open` does the same at once, where no server runs.
    """

    def __init__(
        self,
        store: str | Path | None = None,
        settings: ServiceSettings | None = None,
        counters: Path | None = None,
    ) -> None:
        self.settings = settings or ServiceSettings()
        names = [route.name for route in ROUTES]
        self.counters = Counters([*names, OTHER], ["", *get_args(Source)], counters)
        self._observer = Observer(self.settings, self.counters)
        self.current = CurrentVersion(store_path(store), self.counters.increase)
        self._keys_signature: list[int] | None = None
        self._keys: Keys | None = None
        self._read_keys()
        self._pool = ThreadPoolExecutor(self.settings.threads, "recsys-answer")
        self._watcher = ThreadPoolExecutor(1, "recsys-watch")
        self._looked: Callable[[], None] = lambda: None
        self._n_waiting = 0
        per_second = self.settings.max_per_second
        self._rate = None if per_second is None else Rate(per_second / self.settings.workers)
        self._queries: dict[tuple[str, bytes], Arguments] = {}
        prefix = secrets.token_hex(6)
        self._request_ids = (f"{prefix}-{n:x}" for n in count())
        fixed = (*_SECURITY, _HSTS) if self.settings.tls_certificate else _SECURITY
        self._fixed_headers = list(fixed)

    def open(self) -> "Service":
        """Open the current version now."""
        self.current.refresh()
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of ASGI: a request, or the lifespan of the server."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        watch, opened = asyncio.create_task(self._watch()), asyncio.Event()
        self._looked = opened.set
        with suppress(TimeoutError):  # who asks a worker that has just begun waits with it
            async with asyncio.timeout(_OPEN_SECONDS):
                await opened.wait()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watch.cancel()
        for pool in (self._watcher, self._pool):
            pool.shutdown(wait=False, cancel_futures=True)
        await send({"type": "lifespan.shutdown.complete"})

    async def _watch(self) -> None:
        """Look for a new current version, and for changed keys, again and again."""
        while True:
            await asyncio.get_running_loop().run_in_executor(self._watcher, self._refresh)
            self._looked()
            await asyncio.sleep(self.settings.poll_seconds)

    def _refresh(self) -> None:
        try:
            self.current.refresh()
            self._read_keys()
        except ConfigError as error:
            log.error("%s; the keys of before stay valid", error)
        except Exception:
            log.exception("cannot look for a new version")

    def _read_keys(self) -> None:
        if self.settings.keys is None:
            return
        signature = signature_of(Path(self.settings.keys))
        if self._keys is not None and signature == self._keys_signature:
            return
        self._keys_signature = signature
        self._keys = Keys.read(self.settings.keys)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        headers: Headers = dict(scope["headers"])
        given_id = headers.get(b"x-request-id")
        request_id = next(self._request_ids)
        if given_id is not None and _REQUEST_ID.fullmatch(given_id):
            request_id = given_id.decode()
        name, method = OTHER, scope["method"]
        try:
            self._require_sizes(scope)
            found = routes.found(scope["raw_path"])
            if found is None:
                raise ProblemError(
                    "no_route", "expected a path of /openapi.json; write / in ids as %2F"
                )
            if method == "OPTIONS":
                reply = self._options(found, headers)
            else:
                route = _route_of(found, method)
                name = route.name
                self._require_key(route, headers)
                reply = await self._reply(route, found, scope, headers, receive)
        except ProblemError as problem:
            reply = self._observer.refused(problem, request_id)
        except Exception as error:
            reply = self._observer.failed(error, name, request_id)
        seconds = perf_counter() - began
        self._observer.answered(name, reply, seconds, request_id, scope)
        sent: list[tuple[bytes, bytes]] = [
            (b"content-type", reply.media),
            (b"content-length", b"%d" % len(reply.body)),
            (b"x-request-id", request_id.encode()),
            *self._fixed_headers,
            *reply.headers,
        ]
        if self.settings.origins:
            sent += self._cors(headers)
        await send({"type": "http.response.start", "status": reply.status, "headers": sent})
        body = b"" if method == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})

    def _require_sizes(self, scope: Scope) -> None:
        settings = self.settings
        if len(scope["raw_path"]) + len(scope["query_string"]) > settings.max_target_bytes:
            raise ProblemError(
                "too_long_a_target",
                f"expected at most {settings.max_target_bytes:,} bytes of path and query; send "
                "long ids in the body of a POST",
            )
        n_bytes = 0
        for name, value in scope["headers"]:
            n_bytes += len(name) + len(value)
        if n_bytes > settings.max_header_bytes:
            raise ProblemError(
                "too_large_a_header", f"expected at most {settings.max_header_bytes:,} bytes"
            )

    def _require_key(self, route: Route, headers: Headers) -> None:
        if route.scope is None:
            return
        if self._keys is None:
            self._require_rate("")
            return
        kind, _, presented = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer":
            presented = headers.get(b"x-api-key", b"")
        key = self._keys.find(presented.strip())
        if key is None:
            challenge = ((b"www-authenticate", b'Bearer realm="recsys"'),)
            raise ProblemError("no_key", "send a key as Authorization: Bearer KEY", challenge)
        if route.scope not in key.scopes:
            raise ProblemError("no_scope", f"expected a key of scope {route.scope}")
        self._require_rate(key.name)

    def _require_rate(self, name: str) -> None:
        seconds = 0.0 if self._rate is None else self._rate.seconds_to_wait(name)
        if seconds:
            wait = ((b"retry-after", b"%d" % ceil(seconds)),)
            detail = f"expected at most {self.settings.max_per_second:g} requests a second"
            raise ProblemError("too_many", detail, wait)

    def _options(self, found: Found, headers: Headers) -> Reply:
        allowed: tuple[tuple[bytes, bytes], ...] = ((b"allow", _allowed(found)),)
        if b"access-control-request-method" in headers and self._cors(headers):
            allowed = (
                *allowed,
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", b"authorization, content-type, x-request-id"),
                (b"access-control-max-age", b"600"),
            )
        return Reply(b"", status=204, headers=allowed)

    def _cors(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Return what lets a listed page read the answer."""
        origin = headers.get(b"origin", b"")
        if origin.decode(errors="replace") not in self.settings.origins:
            return [(b"vary", b"origin")]
        return [(b"vary", b"origin"), (b"access-control-allow-origin", origin)]

    async def _reply(
        self, route: Route, found: Found, scope: Scope, headers: Headers, receive: Receive
    ) -> Reply:
        opened = self.current.opened
        if route.answer is None:
            return self._own(route)
        given = self._queried(route, scope["query_string"])
        if route.method == "POST":
            body = await self._body(headers, receive)
            given = in_body(parsed(body), route.by_name, self.settings)
        if opened is None:
            raise ProblemError("not_ready", "no version is open yet; see /health/ready")
        path = {name: unescaped(part, name) for name, part in found.path.items()}
        answer, asked = route.answer, Asked(opened, path, given, self.settings)
        if route.is_quick_with(given):
            return answer(asked)
        return await self._in_thread(lambda: answer(asked))

    def _queried(self, route: Route, query: bytes) -> Arguments:
        """Read a query; short ones, which come again and again, are kept."""
        key = route.name, query
        given = self._queries.get(key)
        if given is None:
            allowed = route.by_name if route.method == "GET" else {}
            given = in_query(query, allowed, self.settings)
            if len(query) <= _SHORT_QUERY and len(self._queries) < _MOST_QUERIES:
                self._queries[key] = given
        return given

    def _own(self, route: Route) -> Reply:
        """Answer what needs no version."""
        opened = self.current.opened
        if route.name == "live":
            return Reply(b'{"status":"live"}')
        if route.name == "ready":
            if opened is None:
                raise ProblemError("not_ready", "no version is open and warm yet")
            return Reply(b'{"status":"ready","version":"%s"}' % opened.version.encode())
        if route.name == "openapi":
            return Reply(document())
        return handlers.metrics(opened, self.counters)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        settings = self.settings
        media = headers.get(b"content-type", handlers.JSON).partition(b";")[0].strip().lower()
        if media != handlers.JSON or b"content-encoding" in headers:
            raise ProblemError("no_media_type", "expected application/json, neither compressed")
        too_large = ProblemError(
            "too_large_a_body", f"expected at most {settings.max_body_bytes:,} bytes"
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

    async def _in_thread(self, work: Callable[[], Reply]) -> Reply:
        """Do what takes longer in a thread; what finds too many before it is turned away at once.

        A thread cannot be stopped: what is too slow keeps its place until it is done.
        """
        if self._n_waiting >= self.settings.max_waiting:
            raise ProblemError("overloaded", f"{self._n_waiting} requests are waiting; ask again")
        loop = asyncio.get_running_loop()
        self._n_waiting += 1
        future = self._pool.submit(work)

        def done(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._leave)

        future.add_done_callback(done)
        try:
            async with asyncio.timeout(self.settings.max_seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise ProblemError(
                "too_slow", f"expected an answer within {self.settings.max_seconds:g} seconds"
            ) from error

    def _leave(self) -> None:
        self._n_waiting -= 1


def _route_of(found: Found, method: str) -> Route:
    route = found.routes.get("GET" if method == "HEAD" else method)
    if route is None:
        raise ProblemError(
            "no_method", f"expected {_allowed(found).decode()}", ((b"allow", _allowed(found)),)
        )
    return route


def _allowed(found: Found) -> bytes:
    methods: Iterable[str] = sorted(found.routes)
    listed = [one for name in methods for one in ((name, "HEAD") if name == "GET" else (name,))]
    return ", ".join([*listed, "OPTIONS"]).encode()
