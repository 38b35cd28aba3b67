"""A proxy before a server of objects, which counts requests and cuts connections."""

import socket
import threading
from contextlib import suppress
from urllib.parse import unquote


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
                line = unquote(request.partition(b"\r\n")[0].decode())
                with self._lock:
                    self.lines.append(line)
                    number = len(self.lines)
                what = self.at(number, line)
                if what == "cut before":
                    return
                answer = self.exchanged(server, request)
                if what == "cut after":
                    return
                client.sendall(answer[: len(answer) // 2] if what == "half" else answer)
                if what == "half" or not answer:
                    return

    def exchanged(self, server: socket.socket, request: bytes) -> bytes:
        """Return what the server answers to a request."""
        server.sendall(request)
        return _message_of(server, is_head=request.startswith(b"HEAD"))


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
