"""Spans: a collector gets those of traced requests, with their parents and without users."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from recsys.errors import ConfigError
from recsys.service import Service, ServiceSettings
from tests.service.asking import ask

pytest.importorskip("opentelemetry.sdk", reason="make install brings OpenTelemetry")

LIST = "/v1/users/u42/recommendations"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[bytes] = []
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        import gzip

        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        self.server.bodies.append(body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def spans_of(collector: Collector) -> list:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    found = [ExportTraceServiceRequest.FromString(body) for body in collector.bodies]
    return [
        span
        for request in found
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_a_collector_gets_the_spans_of_traced_requests(store, collector: Collector) -> None:
    settings = ServiceSettings(telemetry=collector.url, telemetry_share=0.0)
    service = Service(store, settings).open()
    for flags in ("01", "00", "zz"):
        parent = {"traceparent": f"00-{TRACE}-{SPAN}-{flags}", "x-request-id": f"id-{flags}"}
        assert ask(service, "GET", LIST, headers=parent).status == 200
    ask(service, "GET", LIST)
    service._observer.close()
    (span,) = spans_of(collector)
    assert span.name == "GET /v1/users/{user_id}/recommendations"
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 60e9
    known = {one.key: one.value.string_value or one.value.int_value for one in span.attributes}
    assert known["http.response.status_code"] == 200
    assert (known["recsys.source"], known["recsys.request_id"]) == ("personal", "id-01")
    assert b"u42" not in b"".join(collector.bodies)


def test_a_share_of_the_others_is_traced(store, collector: Collector) -> None:
    service = Service(store, ServiceSettings(telemetry=collector.url, telemetry_share=1.0)).open()
    assert ask(service, "GET", "/none").status == 404
    service._observer.close()
    (span,) = spans_of(collector)
    assert (span.name, span.parent_span_id) == ("GET other", b"")


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"service\.telemetry: expected an http URL"):
        ServiceSettings(telemetry="localhost:4317")
