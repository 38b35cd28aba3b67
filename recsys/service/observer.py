"""What is kept of a request that is over: counters, and a line of the log where it matters."""

import logging
from collections.abc import Mapping
from math import inf
from typing import Any

from recsys.base.errors import RecsysError
from recsys.base.service_settings import ServiceSettings
from recsys.service.counters import Counters
from recsys.service.handlers import Reply
from recsys.service.log_lines import FewASecond
from recsys.service.problems import MEDIA, ProblemError, problem_of
from recsys.service.traces import Traces, parent_of

log = logging.getLogger("recsys.service")


_LOGGED = frozenset((429, 500, 503, 507))


class Observer:
    """Counts answers, and logs those that matter: by the id of the request, without its user."""

    def __init__(self, settings: ServiceSettings, counters: Counters) -> None:
        self._settings, self._counters = settings, counters
        self._traces = None if settings.telemetry is None else Traces(settings)
        self._logs_all = settings.log_requests == "all"
        is_silent = settings.log_requests == "none"
        self._logged = frozenset[int]() if is_silent else _LOGGED
        self._cached: dict[str, tuple[int, int]] = {}
        self._version: str | None = None
        self._few = FewASecond()
        self._slow_seconds = inf if is_silent else settings.slow_seconds

    def refused(self, problem: ProblemError, request_id: str) -> Reply:
        """Count a problem, and return it as an answer."""
        self._counters.increase(f"problem_{problem.code}")
        body = problem.body(request_id)
        return Reply(body, media=MEDIA, status=problem.status, headers=problem.headers)

    def failed(self, error: Exception, route: str, request_id: str) -> Reply:
        """Return an error of the library, or one that nobody expects, as an answer."""
        facts = {"request_id": request_id, "route": route}
        if isinstance(error, RecsysError):
            known = problem_of(error)
            if known.status >= 500:
                log.error("cannot answer: %s", error, extra={"facts": facts})
            return self.refused(known, request_id)
        is_private = not self._settings.log_user_ids
        extra = {"facts": facts, "is_private": is_private}
        log.error("failed", exc_info=error, extra=extra)
        return self.refused(ProblemError("failed", "see the log, by the request id"), request_id)

    def answered(
        self, route: str, reply: Reply, seconds: float, request_id: str, scope: Mapping[str, Any]
    ) -> None:
        """Count an answer, and log it if it is a problem of the service, slow, or all are asked."""
        self._counters.add(route, reply.source, reply.status, seconds)
        if reply.sources:
            self._counters.add_lists(reply.sources)
        if self._traces is not None:
            self._traces.add(route, reply, seconds, request_id, scope)
        is_problem = reply.status in self._logged or seconds >= self._slow_seconds
        if is_problem or self._logs_all:
            # Under overload there are thousands a second: those left out cost no more than a count.
            left_out = 0 if self._logs_all else self._few.take("answered")
            if left_out is not None:
                self._log(is_problem, route, reply, seconds, request_id, scope, left_out)

    def _log(
        self,
        is_problem: bool,
        route: str,
        reply: Reply,
        seconds: float,
        request_id: str,
        scope: Mapping[str, Any],
        left_out: int,
    ) -> None:
        target = None
        if self._settings.log_user_ids:
            target = b"?".join(one for one in (scope["raw_path"], scope["query_string"]) if one)
        facts = {
            "request_id": request_id,
            "method": scope["method"],
            "route": route,
            "status": reply.status,
            "source": reply.source or None,
            "seconds": round(seconds, 6),
            "traceparent": parent_of(scope["headers"]),
            "target": None if target is None else target.decode("ascii", "backslashreplace"),
            "lines_left_out": left_out or None,
        }
        level = logging.WARNING if is_problem else logging.INFO
        log.log(level, "answered", extra={"facts": facts, "is_wanted": self._logs_all})

    def count_caches(self, caches: Mapping[str, Any], version: str | None) -> None:
        """Count what caches found, and did not, since this was last called for a version."""
        if version != self._version:
            self._version = version
            self._cached = {name: n for name, n in self._cached.items() if name == "queries"}
        for name, info in caches.items():
            hits, misses = self._cached.get(name, (0, 0))
            self._counters.increase(f"hits_{name}", info.hits - hits)
            self._counters.increase(f"misses_{name}", info.misses - misses)
            self._cached[name] = info.hits, info.misses

    def close(self) -> None:
        """Send what waits to be sent."""
        if self._traces is not None:
            self._traces.close()
