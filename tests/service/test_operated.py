"""A real service with all that operators set: TLS, keys, rates, origins, two workers, a log."""

import json
import os
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from recsys.service import new_key
from recsys.store import versions
from tests.service.certificates import certificate
from tests.service.servers import PATIENCE, Server, serving

pytest.importorskip("granian", reason="make install brings what serves")

LIST = "/v1/users/u42/recommendations?k=3"
PAGE = "https://shop.example"
PER_SECOND = 20
EXPIRES = "recsys_service_certificate_expires_timestamp_seconds"


@dataclass
class Operated:
    server: Server
    file: Path
    log: Path
    keys: dict[str, str] = field(default_factory=dict)

    def status(self, path: str, key: str | None = None) -> int:
        return self.server.get(path, self.keys.get(key or "", key))[0]

    def metrics(self) -> list[str]:
        return self.server.get("/metrics", self.keys["prometheus"])[1].decode().splitlines()

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture(scope="module")
def operated(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    folder = tmp_path_factory.mktemp("operated")
    made, key = certificate(folder)
    file, log = folder / "keys.jsonl", folder / "log"
    keys = {name: new_key(file, name) for name in ("rotated", "shop", "busy", "last")}
    keys["prometheus"] = new_key(file, "prometheus", ("operate",))
    options = ["--store", store, "--workers", 2, "--keys", file]
    for link, file_ in ((folder / "tls.pem", made), (folder / "tls.key", key)):
        link.symlink_to(file_)  # as certbot and Kubernetes have them
    options += ["--tls-certificate", folder / "tls.pem", "--tls-key", folder / "tls.key"]
    for change in (f'origins=["{PAGE}"]', f"max_per_second={PER_SECOND}", "poll_seconds=0.1"):
        options += ["--set", f"service.{change}"]
    with log.open("wb") as err, serving(*options, certificate=made, log=err) as server:
        yield Operated(server, file, log, keys)


def test_it_speaks_tls_alone_and_sends_headers_of_security(operated: Operated) -> None:
    status, headers, body = operated.server.ask(LIST, operated.keys["shop"])
    assert (status, b'"source":"personal"' in body) == (200, True)
    assert headers["strict-transport-security"].startswith("max-age=")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    with closing(HTTPConnection("127.0.0.1", operated.server.port, timeout=PATIENCE)) as plain:
        plain.request("GET", "/health/live")
        with pytest.raises((OSError, HTTPException)):
            plain.getresponse()


def test_pages_that_are_listed_may_read(operated: Operated) -> None:
    def allowed(origin: str, method: str = "GET", **headers: str) -> str | None:
        key = operated.keys["shop"]
        _, found, _ = operated.server.ask(LIST, key, method, origin=origin, **headers)
        return found["access-control-allow-origin"]

    before = {"access_control_request_method": "GET"}
    assert allowed(PAGE) == allowed(PAGE, "OPTIONS", **before) == PAGE
    assert allowed("https://evil.example") is None
    assert allowed("https://evil.example", "OPTIONS", **before) is None


def test_metrics_have_a_scope_of_their_own_and_show_every_worker(
    operated: Operated, store: Path
) -> None:
    assert operated.status("/metrics") == operated.status("/metrics", "recsys_guess") == 401
    assert operated.status("/metrics", "shop") == operated.status(LIST, "prometheus") == 403
    lines = operated.metrics()
    assert "recsys_service_workers 2.0" in lines
    assert f'recsys_service_version_info{{version="{versions(store)[0].name}"}} 2.0' in lines
    assert "recsys_service_ready 1.0" in lines
    assert 'recsys_http_problems_total{code="no_key"} 2.0' in lines


def test_a_key_is_rotated_without_a_restart(operated: Operated) -> None:
    old, new = operated.keys["rotated"], new_key(operated.file, "rotated")

    def answered(key: str) -> set[int]:  # too many at once is no answer
        return {operated.status(LIST, key) for _ in range(4)} - {429}

    operated.server.wait_until(lambda: answered(new) == {200})
    operated.server.wait_until(lambda: answered(old) == {200})
    lines = operated.file.read_text().splitlines()
    operated.file.write_text("".join(f"{line}\n" for line in lines[1:]))
    operated.server.wait_until(lambda: answered(old) == {401})
    operated.server.wait_until(lambda: answered(new) == {200})


def test_a_rate_holds_over_both_workers(operated: Operated) -> None:
    """Connections go to either; what both let through is what one key may ask."""
    begin, n_passed, n_refused = time.monotonic(), 0, 0
    while n_refused < 40:
        status, headers, body = operated.server.ask(LIST, operated.keys["busy"])
        n_passed += status == 200
        if status == 429:
            n_refused += 1
            assert (headers["retry-after"], json.loads(body)["code"]) == ("1", "too_many")
    seconds = time.monotonic() - begin
    assert n_passed <= PER_SECOND * (1 + seconds) + 1
    over = [line["key"] for line in operated.lines() if line["event"] == "over its rate"]
    assert "busy" in over  # by its name, which is no secret
    limited = [line for line in operated.lines() if line.get("status") == 429]
    assert {line["pid"] for line in limited} == set(operated.server.workers)
    assert {line["route"] for line in limited} == {"user_recommendations"}


def test_a_dead_worker_is_replaced_while_the_other_answers(operated: Operated) -> None:
    before, server = operated.server.workers, operated.server
    os.kill(before[0], signal.SIGKILL)
    server.wait_until(lambda: len(set(server.workers) - set(before)) == 1)
    expected = {"recsys_service_workers 2.0", "recsys_service_ready 1.0"}
    server.wait_until(lambda: expected <= set(operated.metrics()))
    lines = operated.metrics()
    assert "recsys_service_worker_starts_total 3.0" in lines
    assert any('problems_total{code="too_many"}' in line for line in lines)  # also of the dead one
    assert operated.status(LIST, "shop") == 200


def test_a_renewed_certificate_is_taken_up_and_a_wrong_one_is_not(operated: Operated) -> None:
    server, folder = operated.server, operated.file.parent

    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", server.port), timeout=PATIENCE)

    def point_to(made: Path, key: Path) -> None:
        for link, file in (("tls.pem", made), ("tls.key", key)):
            (folder / "new").symlink_to(file)
            (folder / "new").replace(folder / link)
        server.process.send_signal(signal.SIGHUP)

    before, workers = shown(), set(server.workers)
    point_to(folder / "own.key", folder / "own.key")
    server.wait_until(lambda: "their certificate stay" in operated.log.read_text())
    assert shown() == before
    assert set(server.workers) == workers
    point_to(*certificate(folder, "renewed"))
    server.context.load_verify_locations(folder / "renewed.pem")
    server.wait_until(lambda: not workers & set(server.workers))
    assert ssl.PEM_cert_to_DER_cert(shown()) == ssl.PEM_cert_to_DER_cert(
        (folder / "renewed.pem").read_text()
    )
    server.wait()
    (expires,) = [line for line in operated.metrics() if line.startswith(EXPIRES)]
    assert 29 < (float(expires.split()[1]) - time.time()) / 86_400 < 30


def test_what_is_running_ends_before_the_service_does(operated: Operated) -> None:
    body, server = b'{"user_id": "u42", "k": 3}', operated.server
    with closing(server.connect()) as connection:
        connection.putrequest("POST", "/v1/recommendations")
        connection.putheader("authorization", f"Bearer {operated.keys['last']}")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body[:5])
        server.wait("/health/live")  # so a worker has begun with the half that is there
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        connection.send(body[5:])
        assert connection.getresponse().status == 200
    assert server.process.wait(PATIENCE) == 0
    lines = operated.lines()
    assert [line["url"] for line in lines if line["event"] == "listening"] == [server.url]
    assert [line["event"] for line in lines].count("opened") == 5
    text = operated.log.read_text()
    assert "u42" not in text
    assert not any(key in text for key in operated.keys.values())
