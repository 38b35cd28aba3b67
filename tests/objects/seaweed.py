"""A SeaweedFS with an S3 gateway, started for tests, and a proxy that cuts its connections."""

# ruff: noqa: S310 (the addresses are of this machine)

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

BUCKET = "shop"
KEY, SECRET = "tester", "a-secret-of-tests"
_START_SECONDS = 60
_STARTS = 3


@dataclass(frozen=True)
class Seaweed:
    endpoint: str
    filer: str

    def make_bucket(self, name: str) -> None:
        asked = urllib.request.Request(f"{self.filer}/buckets/{name}/", method="POST")
        try:
            urllib.request.urlopen(asked).read()
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.CONFLICT:  # it is there
                raise

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }


def binary() -> str | None:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def free_ports(n: int) -> list[int]:
    """Return ports that are free, as are those 10,000 above, which SeaweedFS takes for gRPC."""
    found: list[int] = []
    while len(found) < n:  # at random: a server for another worker starts at the same time
        port = 20_000 + secrets.randbelow(20_000)
        if all(_is_free(one) for one in (port, port + 10_000)):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def seaweed(folder: Path) -> Iterator[Seaweed]:
    """Run a server; with other ports again where another process has taken one meanwhile."""
    for attempt in range(_STARTS):
        found, process = _started(folder / str(attempt))
        try:
            if _answers(found, process):
                yield found
                return
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    log = (folder / str(_STARTS - 1) / "log").read_text()
    raise AssertionError(f"SeaweedFS did not start: {log[-2000:]}")


def _started(folder: Path) -> tuple[Seaweed, "subprocess.Popen[bytes]"]:
    master, volume, filer, s3 = free_ports(4)
    program = binary()
    assert program is not None
    (folder / "data").mkdir(parents=True)
    command = [
        *(program, "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-master.port={master}", "-master.volumeSizeLimitMB=64", "-volume.max=30"),
        *(f"-volume.port={volume}", "-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),  # both have fixed ports
    ]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True
        )
    return Seaweed(f"http://127.0.0.1:{s3}", f"http://127.0.0.1:{filer}"), process


def _answers(found: Seaweed, process: "subprocess.Popen[bytes]") -> bool:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            found.make_bucket(BUCKET)
            urllib.request.urlopen(found.endpoint).read()
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.FORBIDDEN:  # it asks for a signature
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


class Proxy:
    """A TCP proxy before a server. It counts requests, and can cut, hang or kill at one of them.

    Parameters
    ----------
    at : callable
        Called with the number of each request, from 1, and its first line; returns "pass",
        "cut before" (the request does not arrive), "cut after" (its answer does not), or
        "half" (half of the answer does).
    """

    def __init__(self, endpoint: str, at: "object") -> None:
        self.at, self.lines = at, list[str]()
        host, _, port = endpoint.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._target) as server:
            while True:
                request = _message_of(client)
                if not request:
                    return
                line = request.partition(b"\r\n")[0].decode()
                with self._lock:
                    self.lines.append(line)
                    number = len(self.lines)
                what = self.at(number, line)
                if what == "cut before":
                    return
                server.sendall(request)
                answer = _message_of(server, is_head=line.startswith("HEAD"))
                if what == "cut after":
                    return
                client.sendall(answer[: len(answer) // 2] if what == "half" else answer)
                if what == "half" or not answer:
                    return


def _message_of(sender: socket.socket, *, is_head: bool = False) -> bytes:
    """Read a whole message of HTTP/1.1: its head, and a body of a known length or in chunks."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sender.recv(1 << 16)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.split(b":", 1) for line in head.lower().split(b"\r\n")[1:] if b":" in line)
    status = head.split(b" ", 2)[1]
    if is_head or status in (b"204", b"304"):
        return data
    if b"expect" in fields and not body:
        sender.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = int(fields.get(b"content-length", b"0"))
    is_chunked = b"chunked" in fields.get(b"transfer-encoding", b"")
    while (not body.endswith(b"0\r\n\r\n")) if is_chunked else len(body) < length:
        part = sender.recv(1 << 16)
        if not part:
            break
        data += part
        body += part
    return data
