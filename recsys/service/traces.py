"""Spans of requests for OpenTelemetry, where a collector is configured.

A span is made when its request is over, so an answer never waits for it. Whoever asks with a
`traceparent` (W3C Trace Context) decides whether the request is traced; of all others, a share is.
"""

import re
import time
from collections.abc import Mapping
from random import random
from typing import Any

from recsys.base.environment import extra, installed_version, missing_package
from recsys.base.errors import ConfigError
from recsys.base.service_settings import ServiceSettings
from recsys.service.handlers import Reply
from recsys.service.routes import ROUTES

_PARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_SAMPLED = 1  # of the flags of a traceparent
_PATHS = {route.name: route.path for route in ROUTES}
_END_MILLISECONDS = 2_000  # for the last spans to be sent
_FLUSH_MILLISECONDS = 1_000


def require_telemetry() -> None:
    """Raise a ConfigError where the packages of OpenTelemetry are not installed."""
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ImportError as error:
        raise missing_package(
            "service.telemetry", "opentelemetry", extra("telemetry"), "leave the setting out"
        ) from error


def parent_of(headers: Any) -> str | None:
    """Return the traceparent of a request, None where there is none that can be read."""
    for name, value in headers:
        if name == b"traceparent" and _PARENT.fullmatch(value):
            text: str = value.decode()
            return text
    return None


class Traces:
    """Sends spans to the collector that `service.telemetry` names."""

    def __init__(self, settings: ServiceSettings) -> None:
        require_telemetry()
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        if settings.telemetry is None:
            raise ConfigError("service.telemetry: expected the URL of a collector, got none")
        self._share = settings.telemetry_share
        known = {"service.name": "recsys", "service.version": installed_version() or "unknown"}
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource.create(known))
        exporter = OTLPSpanExporter(endpoint=f"{settings.telemetry.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=_FLUSH_MILLISECONDS)
        )
        self._tracer = self._provider.get_tracer("recsys.service")
        self._extract = TraceContextTextMapPropagator().extract
        self._kind, self._failed = SpanKind.SERVER, Status(StatusCode.ERROR)

    def add(
        self, route: str, reply: Reply, seconds: float, request_id: str, scope: Mapping[str, Any]
    ) -> None:
        """Make the span of a request that is over, if it is traced."""
        parent = parent_of(scope["headers"])
        if parent is None:
            if random() >= self._share:  # noqa: S311
                return
        elif not int(parent[-2:], 16) & _SAMPLED:
            return
        end, path = time.time_ns(), _PATHS.get(route, route)
        span = self._tracer.start_span(
            f"{scope['method']} {path}",
            context=None if parent is None else self._extract({"traceparent": parent}),
            kind=self._kind,
            start_time=end - int(seconds * 1e9),
            attributes={
                "http.request.method": scope["method"],
                "http.route": path,
                "http.response.status_code": reply.status,
                "recsys.source": reply.source,
                "recsys.request_id": request_id,
            },
        )
        if reply.status >= 500:
            span.set_status(self._failed)
        span.end(end)

    def close(self) -> None:
        """Send what is left."""
        self._provider.force_flush(_END_MILLISECONDS)
        self._provider.shutdown()
