"""The service as an ASGI application: who asks, for what, within which limits, and the answer."""

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, cast, get_args

from recsys.base.errors import ConfigError, briefly
from recsys.base.event_settings import EventSettings
from recsys.base.rule_settings import NO_RULES, RuleSettings
from recsys.base.service_settings import ServiceSettings
from recsys.service import handlers, routes, static
from recsys.service.admission import Admission
from recsys.service.counters import Counters
from recsys.service.handlers import Asked, Reply
from recsys.service.live import Live
from recsys.service.load import Held, Threads, Turns
from recsys.service.messages import Headers, Receive, Scope, Send, body_of
from recsys.service.observer import Observer
from recsys.service.openapi import document
from recsys.service.opened import CurrentVersion, Opened
from recsys.service.parameters import Arguments, in_body, in_query, parsed, unescaped
from recsys.service.problems import ProblemError
from recsys.service.routes import OTHER, ROUTES, Found, Route
from recsys.service.state import status
from recsys.service.workers import Workers
from recsys.serving import Source, store_path

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
_LONG_BODY = 1 << 14
_BY_NAME = {route.name: route for route in ROUTES}
_METHODS = b"GET, HEAD, POST, DELETE, OPTIONS"
_MAY_SEND = b"authorization, content-type, x-api-key, x-request-id"  # a page, and then read:
_MAY_READ = b"retry-after, x-recsys-source, x-recsys-unknown, x-recsys-version, x-request-id"


class _Query(NamedTuple):
    """What a query says, and whether it costs no more than a plain list."""

    given: Arguments
    is_plain: bool


class Service:
    """An ASGI application over the current version of a store.

    Parameters
    ----------
    store : path, optional
        Default: $RECSYS_STORE, else ./store.
    settings : ServiceSettings, optional
    counters : path, optional
        The folder that the workers of one service share for their counters and rates.
    events : EventSettings, optional
        Where events are kept.
    on_open : callable, optional
        Called when a version was opened.
    on_start : callable, optional
        Called at the end of the start of its lifespan.
    rules : RuleSettings, optional
        What holds for every list.

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
        events: EventSettings | None = None,
        on_open: Callable[[], None] = lambda: None,
        on_start: Callable[[], None] = lambda: None,
        rules: RuleSettings | None = None,
    ) -> None:
        self.settings = settings or ServiceSettings()
        names = [route.name for route in ROUTES]
        self.counters = Counters([*names, OTHER], ["", *get_args(Source)], counters)
        self._workers = Workers(self.settings, counters)
        self._observer = Observer(self.settings, self.counters)
        folder = store_path(store)
        self.live = Live(folder, events or EventSettings(), counters, self.counters.increase)

        def on_event(name: str) -> None:
            self.counters.increase(name)
            if name == "opened":
                on_open()

        self.current = CurrentVersion(folder, on_event, self.live, rules or NO_RULES)
        self._admission = Admission(self.settings, counters)
        self._threads, self._turns = Threads(self.settings), Turns(self.settings)
        self._held, self._on_start = Held(), on_start
        # A database of events that hangs keeps no thread of those that make lists.
        self._of_events = Threads(replace(self.settings, threads=1))
        self._watcher, self._is_ending = ThreadPoolExecutor(1, "recsys-watch"), False
        self._looked: Callable[[], None] = lambda: None
        self._kept_query = lru_cache(_MOST_QUERIES)(self._query_of)  # short ones come again
        prefix = secrets.token_hex(6)
        self._request_ids = (f"{prefix}-{n:x}" for n in count())
        fixed = (*_SECURITY, _HSTS) if self.settings.tls_certificate else _SECURITY
        self._fixed_headers = list(fixed)
        policy = (b"content-security-policy", static.POLICY)
        self._page_headers = [policy if one[0] == policy[0] else one for one in fixed]

    def open(self) -> "Service":
        """Open the current version now."""
        self.current.refresh()
        opened = self.current.opened
        self._workers.report(opened)
        caches = {"queries": self._kept_query.cache_info()}
        caches |= {} if opened is None else opened.rows.caches
        self._observer.count_caches(caches, None if opened is None else opened.version)
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
        self._on_start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._is_ending = True
        watch.cancel()
        self._watcher.shutdown(wait=False, cancel_futures=True)
        self._threads.stop()
        self._of_events.stop()
        await asyncio.to_thread(self.live.stop)
        self._observer.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _watch(self) -> None:
        """Look for a new current version, and for changed keys, again and again."""
        while True:
            await asyncio.get_running_loop().run_in_executor(self._watcher, self._refresh)
            self._looked()
            await asyncio.sleep(self.settings.poll_seconds)

    def _refresh(self) -> None:
        try:
            self.open()
            self._admission.refresh()
            if self.current.opened is not None:
                self.live.refresh(self.current.opened.fresh.trained)
        except ConfigError as error:
            log.error("%s; the keys of before stay valid", error)
        except Exception:
            if not self._is_ending:  # threads are no longer given to a look that takes long
                log.exception("cannot look for a new version")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        opened = self.current.opened  # one for the whole request
        headers: Headers = dict(scope["headers"])
        request_id = next(self._request_ids)
        given_id = headers.get(b"x-request-id")
        if given_id is not None and _REQUEST_ID.fullmatch(given_id):
            request_id = given_id.decode()
        name, method, is_busy = OTHER, scope["method"], False
        try:
            self._admission.require_sizes(scope)
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
                if route.is_quick:
                    self._turns.require_place()
                elif route.is_of_explorer and not self.settings.explore:
                    raise ProblemError("no_route", "expected service.explore to be true")
                self._admission.require_key(route, headers)
                reply = await self._reply(route, found, scope, headers, receive, opened)
        except ProblemError as problem:
            reply = self._observer.refused(problem, request_id)
            is_busy = problem.code == "overloaded"
        except Exception as error:
            reply = self._observer.failed(error, name, request_id)
        self._observer.answered(name, reply, perf_counter() - began, request_id, scope)
        if is_busy:
            await self._held.wait()
        sent = [
            (b"content-type", reply.media),
            (b"content-length", b"%d" % len(reply.body)),
            (b"x-request-id", request_id.encode()),
            *(self._page_headers if reply.is_page else self._fixed_headers),
            *reply.headers,
        ]
        if opened is not None:
            sent += (reply.opened or opened).headers[reply.source]
        if self.settings.origins:
            sent += self._cors(headers)
        await send({"type": "http.response.start", "status": reply.status, "headers": sent})
        body = b"" if method == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})

    def _options(self, found: Found, headers: Headers) -> Reply:
        allowed: tuple[tuple[bytes, bytes], ...] = ((b"allow", _allowed(found)),)
        if b"access-control-request-method" in headers and self._cors(headers):
            allowed = (
                *allowed,
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", _MAY_SEND),
                (b"access-control-max-age", b"600"),
            )
        return Reply(b"", status=204, headers=allowed)

    def _cors(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Return what lets a listed page read the answer."""
        origin = headers.get(b"origin", b"")
        if origin.decode(errors="replace") not in self.settings.origins:
            return [(b"vary", b"origin")]
        return [
            (b"vary", b"origin"),
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _MAY_READ),
        ]

    async def _reply(
        self,
        route: Route,
        found: Found,
        scope: Scope,
        headers: Headers,
        receive: Receive,
        opened: Opened | None,
    ) -> Reply:
        if route.answer is None and route.wait is None:
            if route.name == "status":
                find = partial(status, self.current.store, opened, self.settings)
                return await self._threads.run(find)
            return self._own(route, found, opened)
        query = scope["query_string"]
        read = self._kept_query if len(query) <= _SHORT_QUERY else self._query_of
        given, is_plain = read(route.name, query)
        if route.method == "POST":
            body = await body_of(headers, receive, self.settings)
            read_body = partial(self._given_in, route, body)
            is_long = len(body) > _LONG_BODY  # to read it takes as long as many plain lists
            given = await self._threads.run(read_body) if is_long else read_body()
        if opened is None:
            raise ProblemError("not_ready", "no version is open yet; see /health/ready")
        path = {name: unescaped(part, name) for name, part in found.path.items()}
        asked = Asked(opened, path, given, self.settings)
        if route.wait is not None:
            return await route.wait(asked)
        answer = cast("Callable[[Asked], Reply]", route.answer)  # what has none is answered above
        if is_plain and not opened.fresh.may_have(path["user_id"]):
            return answer(asked)
        threads = self._of_events if route.scope == "write" else self._threads
        return await threads.run(partial(answer, asked))

    def _given_in(self, route: Route, body: bytes) -> Arguments:
        return in_body(parsed(body), route.by_name, self.settings)

    def _query_of(self, name: str, query: bytes) -> _Query:
        """Read the query of a route."""
        route = _BY_NAME[name]
        given = in_query(query, route.by_name if route.method == "GET" else {}, self.settings)
        return _Query(given, route.is_quick_with(given))

    def _own(self, route: Route, found: Found, opened: Opened | None) -> Reply:
        """Answer what needs no version."""
        if route.name == "live":
            return Reply(b'{"status":"live"}')
        if route.name == "ready":
            if opened is None:
                raise ProblemError("not_ready", "no version is open and warm yet")
            return Reply(b'{"status":"ready","version":"%s"}' % opened.version.encode())
        if route.name == "openapi":
            return Reply(document(self.settings))
        if route.name == "page_file":
            return static.file(unescaped(found.path["name"], "name"))
        if route.media == static.HTML:
            return static.page(route.name)
        text = self.counters.text() + self._workers.text()
        return Reply(text.encode(), media=handlers.PROMETHEUS)


def _route_of(found: Found, method: str) -> Route:
    route = found.routes.get("GET" if method == "HEAD" else method)
    if route is None:
        raise ProblemError(
            "no_method",
            f"expected {_allowed(found).decode()}, got {briefly(method)[1:-1]}",
            ((b"allow", _allowed(found)),),
        )
    return route


def _allowed(found: Found) -> bytes:
    methods: Iterable[str] = sorted(found.routes)
    listed = [one for name in methods for one in ((name, "HEAD") if name == "GET" else (name,))]
    return ", ".join([*listed, "OPTIONS"]).encode()
