"""Hurt the service: requests that nobody should send, connections that never end, Schemathesis.

    python -m benchmarks.hostile                      # 100,000 connections
    python -m benchmarks.hostile --requests 2000      # a look
    python -m benchmarks.hostile --schemathesis 500   # and as many cases for each operation

Each connection sends a malformed request and, behind it, a good one for a user of its own with a
request id of its own. It is wrong if the service answers 500, if an answer is none of the request,
if the list of the good one is not that user's, byte for byte, or if a request that was smuggled in
the body of another is answered. After each part of them, memory, threads and descriptors of the
worker are counted, which must not grow from the middle third to the last; its log must be without
errors. Exits with 1 where anything is wrong.
"""

import argparse
import asyncio
import json
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from benchmarks.hostile_requests import HOST, NAME, Attack, attack
from recsys.models.protocol import popularity_of
from recsys.settings import IndexSettings
from recsys.store import ModelSpec, Release, publish
from recsys.vectors import Embeddings, Ids

USERS = [f"secret-{row:04d}" for row in range(64)]
N_ITEMS, FACTORS, CONNECTIONS = 400, 16, 96
_ANSWER_SECONDS, _UNFRAMED_SECONDS = 30.0, 0.2
_USER = re.compile(rb"secret-\d{4}")
_HEADER = re.compile(rb"HTTP/1\.[01] (\d{3})")
_STATUSES = {200, 204, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 421, 422, 431, 503, 505}


@dataclass(frozen=True)
class Answer:
    """One answer of a connection."""

    status: int
    request_id: bytes
    body: bytes


@dataclass
class Found:
    """What came back."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    n_probes: int = 0

    def table(self) -> str:
        """Return a line for each kind: its answers by status."""
        kinds = sorted({kind for kind, _ in self.statuses})
        return "\n".join(
            f"{kind:12} "
            + "  ".join(
                f"{status or 'closed'}: {n:,}"
                for (one, status), n in sorted(self.statuses.items())
                if one == kind
            )
            for kind in kinds
        )


@dataclass(frozen=True)
class Process:
    """What a worker holds."""

    megabytes: float
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Count it now."""
        folder = Path(f"/proc/{pid}")
        pages = int((folder / "statm").read_text().split()[1])
        threads, descriptors = (len(list((folder / name).iterdir())) for name in ("task", "fd"))
        return cls(pages * 4096 / 1e6, threads, descriptors)

    def __str__(self) -> str:
        return f"{self.megabytes:.1f} MB, {self.threads} threads, {self.descriptors} descriptors"


def make_store(folder: Path) -> None:
    """Publish random embeddings of users by whose ids an answer is known for another's."""
    rng = np.random.default_rng(0)
    seen = sp.random_array((len(USERS), N_ITEMS), density=0.05, rng=rng, format="csr")
    items = Ids([f"i{row}" for row in range(N_ITEMS)])
    attributes = {
        "item_id": items.values,
        "title": [f"Title {row}" for row in range(N_ITEMS)],
        "category": [f"c{row % 7}" for row in range(N_ITEMS)],
        "price": rng.random(N_ITEMS) * 40,
    }
    release = Release(
        Embeddings(
            rng.standard_normal((len(USERS), FACTORS), dtype=np.float32),
            rng.standard_normal((N_ITEMS, FACTORS), dtype=np.float32),
        ),
        Ids(USERS),
        items,
        seen,
        popularity_of(seen),
        ModelSpec("als", {"factors": FACTORS}),
        attributes=pa.table(attributes),
    )
    publish(folder, release, IndexSettings(kind="exact"))


def lists_of(host: str, port: int, users: list[str]) -> dict[str, bytes]:
    """Return the right list of each user."""
    found = {}
    with closing(HTTPConnection(host, port, timeout=_ANSWER_SECONDS)) as connection:
        for user in users:
            connection.request("GET", f"/v1/users/{user}/recommendations?k=3")
            found[user] = connection.getresponse().read()
    return found


def answers(received: bytes) -> Iterator[Answer]:
    """Cut what a connection received into whole answers."""
    while received:
        head, separator, rest = received.partition(b"\r\n\r\n")
        match = _HEADER.match(head)
        if not separator or match is None:
            return
        lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        fields = {name.lower(): value.strip() for name, _, value in lines}
        length = int(fields.get(b"content-length", b"0"))
        yield Answer(int(match[1]), fields.get(b"x-request-id", b""), rest[:length])
        received = rest[length:]


class Hurt:
    """Sends attacks to one service."""

    def __init__(self, host: str, port: int, lists: Mapping[str, bytes], seed: int) -> None:
        self._place, self._lists, self._seed = (host, port), lists, seed
        self._users, self._owners = list(lists), {body: user for user, body in lists.items()}
        self.found = Found()

    async def run(self, first: int, n: int) -> None:
        """Send the attacks of some numbers, many at a time."""
        numbers = iter(range(first, first + n))

        async def some() -> None:
            for number in numbers:
                await self._one(number)

        await asyncio.gather(*(some() for _ in range(CONNECTIONS)))

    async def _one(self, number: int) -> None:
        rng = random.Random(f"{self._seed}-{number}")
        user = rng.choice(self._users)
        sent = attack(rng, user)
        probe_id = b"probe-%d" % number
        target = b"/v1/users/" + user.encode() + b"/recommendations?k=3"
        probe = b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"X-Request-Id: " + probe_id
        data = sent.data if sent.kind == "cut_off" else sent.data + probe + b"\r\n\r\n"
        seconds = _ANSWER_SECONDS if sent.is_framed else _UNFRAMED_SECONDS
        received = await self._exchange(data, probe_id, self._lists[user], seconds)
        listed = list(answers(received))
        self.found.statuses[sent.kind, listed[0].status if listed else 0] += 1
        wrong = self.wrong(sent, listed, probe_id, user)
        if sent.is_framed and not listed:
            wrong.append("no answer")
        if wrong:
            self.found.wrong.append(f"{sent.kind} {number}: {', '.join(wrong)}: {data[:200]!r}")

    def wrong(self, sent: Attack, listed: list[Answer], probe_id: bytes, user: str) -> list[str]:
        """Return what is wrong with the answers of a connection."""
        wrong = []
        for one in listed:
            if one.status not in _STATUSES:
                wrong.append(f"status {one.status}")
            if one.request_id.startswith(b"probe-"):
                if one.request_id != probe_id:
                    wrong.append("the answer of another connection")
                elif one.body == self._lists[user]:
                    self.found.n_probes += 1
                elif sent.is_framed and one.status != 503:
                    wrong.append(f"the good request got {one.body[:80]!r}")
            if one.request_id == b"smuggled" and sent.is_ambiguous:
                wrong.append("a smuggled request was answered")
            if self._owners.get(one.body, user) != user:
                wrong.append("the list of another user")
            others = {match.decode() for match in _USER.findall(one.body)} - {user}
            wrong.extend(f"the id of another user, {other}" for other in others)
        return wrong

    async def _exchange(self, data: bytes, probe_id: bytes, end: bytes, seconds: float) -> bytes:
        """Send all at once, and receive until the probe is answered, the end, or some seconds."""
        received = bytearray()
        reader, writer = await asyncio.open_connection(*self._place)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(seconds):
                writing = asyncio.create_task(_write(writer, data))
                while chunk := await reader.read(1 << 16):
                    received += chunk
                    if probe_id in received and received.endswith(end):
                        break
                await writing
        writer.transport.abort()
        return bytes(received)


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    with suppress(OSError):
        writer.write(data)
        await writer.drain()


@contextmanager
def served(store: Path, log: Path, *options: str) -> Iterator[tuple[int, int]]:
    """Serve a store by one worker; yields the port and the process of the worker."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "recsys", "serve", "--store", str(store), "--port", str(port)]
    command += ["--set", f'service.hosts=["{NAME}"]', *options]
    with log.open("wb") as lines:
        process = subprocess.Popen(command, stdout=lines, stderr=lines)
    try:
        for _ in range(600):
            with suppress(OSError), closing(HTTPConnection("127.0.0.1", port)) as connection:
                connection.request("GET", "/health/ready")
                if connection.getresponse().status == 200:
                    break
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield port, int(children[-1])
    finally:
        process.terminate()
        process.wait()


def slow(port: int, n: int, seconds: float) -> list[str]:
    """Open connections that send a byte a second, or nothing; return what is wrong meanwhile."""
    starts = (b"", b"GET / HTTP/1.1\r\nX: ", b"POST /v1/recommendations HTTP/1.1\r\n" + HOST)
    bodies = b"Content-Type: application/json\r\nContent-Length: 900\r\n\r\n{"
    held = []
    for number in range(n):
        one = socket.create_connection(("127.0.0.1", port))
        start = starts[number % 3]
        one.sendall(start + bodies if start.startswith(b"POST") else start)
        held.append(one)
    end, worst = time.monotonic() + seconds, 0.0
    open_ = set(held)
    while open_ and time.monotonic() < end:
        began = time.monotonic()
        lists_of("127.0.0.1", port, USERS[:1])
        worst = max(worst, time.monotonic() - began)
        for one in list(open_):
            try:
                one.setblocking(False)
                with suppress(BlockingIOError):
                    if one.recv(1 << 16) == b"":
                        raise ConnectionResetError
                one.send(b"a")
            except OSError:
                open_.discard(one)
                one.close()
        time.sleep(max(began + 1 - time.monotonic(), 0))
    print(f"slow: {n} connections, {len(open_)} open after {seconds:g} s; worst list {worst:.3f} s")
    for one in open_:
        one.close()
    return [f"{len(open_)} connections that send a byte a second stay open"] if open_ else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slow", type=int, default=300, help="connections that never end")
    parser.add_argument("--schemathesis", type=int, default=0, metavar="CASES")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, log = Path(folder, "store"), Path(folder, "log")
        make_store(store)
        with served(store, log) as (port, worker):
            wrong = hurt(port, worker, options.requests, options.seed)
            if options.slow:
                wrong += slow(port, options.slow, 40.0)
                time.sleep(1)
                print("after the slow ones:", Process.of(worker))
        lines = log.read_text().splitlines()
        if options.schemathesis:  # with targets that are not too long for the server itself
            with served(store, log, "--set", "service.max_ids=200") as (port, _):
                wrong += schemathesis(port, options.schemathesis, Path(folder, "checks.toml"))
            lines += log.read_text().splitlines()
        for line in lines:
            entry = json.loads(line)
            if entry["level"] not in ("info", "warning"):
                wrong.append(f"in the log: {line[:500]}")
    print("\n".join(wrong[:20]) or "nothing wrong")
    return 1 if wrong else 0


def hurt(
    port: int, worker: int, n: int, seed: int, *, n_parts: int = 21, most_megabytes: float = 10.0
) -> list[str]:
    """Send so many attacks in parts, and return what is wrong; a multiple of three parts."""
    lists = lists_of("127.0.0.1", port, USERS)
    at_work, held, began = Hurt("127.0.0.1", port, lists, seed), [], time.monotonic()
    for first in range(0, n, -(-n // n_parts)):
        asyncio.run(at_work.run(first, min(-(-n // n_parts), n - first)))
        time.sleep(0.5)
        held.append(Process.of(worker))
    seconds = time.monotonic() - began - 0.5 * len(held)
    print(at_work.found.table())
    print(f"{n:,} connections, {at_work.found.n_probes:,} good requests behind them answered")
    print(f"MB after each part: {' '.join(f'{one.megabytes:.0f}' for one in held)}")
    wrong = at_work.found.wrong + grown(held, most_megabytes)
    print(f"in the end: {held[-1]}  ({n / seconds:,.0f}/s)")
    if lists_of("127.0.0.1", port, list(lists)) != lists:
        wrong.append("lists are others than before")
    return wrong


def grown(held: list[Process], most_megabytes: float) -> list[str]:
    """Return what a worker holds more of in the last third than in the middle one.

    In the first one the caches of Python and of the allocators fill. What large bodies leave free
    there differs by some 15 MB from one part to the next, so medians are compared.
    """
    third = len(held) // 3
    middle, last = held[third : 2 * third], held[2 * third :]
    before, after = (median(one.megabytes for one in part) for part in (middle, last))
    print(f"median of the middle third {before:.1f} MB, of the last {after:.1f} MB")
    wrong = []
    if after > before + most_megabytes:
        wrong.append(f"memory grew from {before:.1f} to {after:.1f} MB")
    if last[-1].threads > middle[0].threads + 2 or last[-1].descriptors > middle[0].descriptors + 2:
        wrong.append(f"left behind: {middle[0]} before, {last[-1]} after")
    return wrong


# Each request of a batch has a list or a problem of its own, so it is none of a batch. And which
# arguments go together, no schema says wholly: that valid ones are accepted is not asked.
_CHECKS = """
[[operations]]
include-path = "/v1/recommendations:batch"

[operations.checks]
negative_data_rejection.enabled = false
"""


def schemathesis(port: int, n: int, config: Path) -> list[str]:
    """Run Schemathesis from its command line; return what it finds."""
    config.write_text(_CHECKS)
    command = [
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run"),
        *(f"http://127.0.0.1:{port}/openapi.json", "--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(n), "--exclude-checks", "positive_data_acceptance"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if "❌" in line or "generated" in line]
    print("Schemathesis:", *found, sep="\n")
    return [] if done.returncode == 0 else [done.stdout[-6000:], "Schemathesis found something"]


if __name__ == "__main__":
    sys.exit(main())
