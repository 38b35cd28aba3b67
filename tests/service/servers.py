"""Real servers: `recsys serve` in a process of its own, on a free port."""

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.message import Message as HTTPMessage
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import IO, Any

PATIENCE = 60  # seconds for a busy machine; nothing is asserted of time


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    port: int
    context: ssl.SSLContext | None = None  # where it speaks TLS

    @property
    def url(self) -> str:
        return f"http{'' if self.context is None else 's'}://127.0.0.1:{self.port}"

    def connect(self) -> HTTPConnection:
        if self.context is None:
            return HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        return HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=self.context)

    def ask(
        self, path: str, key: str | None = None, method: str = "GET", **headers: str
    ) -> tuple[int, HTTPMessage, bytes]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        with closing(self.connect()) as connection:
            connection.request(method, path, headers=sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def get(self, path: str, key: str | None = None) -> tuple[int, bytes]:
        status, _, body = self.ask(path, key)
        return status, body

    def wait(self, path: str = "/health/ready") -> None:
        self.wait_until(lambda: self.get(path)[0] == 200)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except OSError:
                pass
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)
        raise TimeoutError

    @property
    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(one) for one in children.read_text().split()]


@contextmanager
def serving(
    *options: Any, certificate: Path | None = None, log: IO[bytes] | None = None
) -> Iterator[Server]:
    """Serve with some options, ready when the block begins; killed when it ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "recsys", "serve", "--port", port, *options]
    process = subprocess.Popen(
        [str(one) for one in command], stdout=subprocess.PIPE, stderr=log or subprocess.PIPE
    )
    context = None if certificate is None else ssl.create_default_context(cafile=str(certificate))
    started = Server(process, port, context)
    try:
        started.wait()
        yield started
    finally:
        process.kill()  # its workers end by themselves
        process.communicate(timeout=PATIENCE)
