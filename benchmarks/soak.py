"""A service under everything at once: requests, events, and a new version every few seconds.

    python -m benchmarks.soak
    python -m benchmarks.soak --seconds 60 --every 5     # a look

Two workers answer 200 requests a second: lists of all kinds, batches, items, explanations. Events
stream in with ids, each sent twice; now and then the list of who just did something is asked for.
Every ten seconds another version becomes current, in turn by a publish of other embeddings, whose
titles name it, and by a refresh that folds in the users and items of the events.

Counted are requests that failed, answers that mix two versions or hold what the user has just
seen, events that were acknowledged and are not there at the end, and the memory, threads and open
files of the workers, in the first and the last quarter. Needs `pip install '.[serve]'`.
"""

import argparse
import itertools
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

from recsys.config import Settings, settings_from
from recsys.events import EventSettings, open_events
from recsys.models.protocol import popularity_of
from recsys.nightly import run_refresh
from recsys.settings import IndexSettings
from recsys.store import ModelSpec, Release, prune, publish
from recsys.vectors import Embeddings, Ids

from .make_store import random_seen, random_vectors

USERS, ITEMS, FACTORS, K = 5_000, 2_000, 32, 10
CLIENTS = 4
PATIENCE = 30.0  # seconds for one answer
_FEW = 10  # failures that are shown


@dataclass
class Soak:
    """What happens, and what came of it."""

    store: Path
    port: int
    seconds: float
    per_second: float
    events_per_second: float
    every: float
    n_users: int = USERS
    n_items: int = ITEMS
    over: threading.Event = field(default_factory=threading.Event)
    n_requests: int = 0
    n_acknowledged: int = 0
    n_lists_after_events: int = 0
    n_published: int = 0
    n_refreshed: int = 0
    failures: list[str] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    numbers: dict[str, str] = field(default_factory=dict)  # of versions, as their titles name it
    metrics: str = ""  # of the service, at the end
    samples: list[dict[str, float]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, sentence: str) -> None:
        """Note what went wrong."""
        with self.lock:
            self.failures.append(sentence)

    def release(self, number: int) -> Release:
        """Return other embeddings than before; the titles say of which number they are."""
        rng = np.random.default_rng(number)
        seen = self._seen()
        items = [f"i{row}" for row in range(self.n_items)]
        return Release(
            embeddings=Embeddings(
                random_vectors(self.n_users, FACTORS, rng),
                random_vectors(self.n_items, FACTORS, rng),
            ),
            users=Ids([f"u{row}" for row in range(self.n_users)]),
            items=Ids(items),
            seen=seen,
            popularity=popularity_of(seen),
            model=ModelSpec("als", {"factors": FACTORS}),
            attributes=pa.table(
                {"item_id": items, "title": [f"{item} of {number}" for item in items]}
            ),
        )

    def publish_another(self, number: int) -> None:
        """Make another version current: every second one is a refresh of the one before."""
        if number % 2:
            report = run_refresh(self._settings(), self.store)
            self.n_refreshed += not report.is_idle
        else:
            publish(self.store, self.release(number), IndexSettings(kind="exact"))
            self.n_published += 1
        prune(self.store, 2)

    def _settings(self) -> Settings:
        return settings_from(
            {
                "data": {"log": str(self.store.parent / "log.parquet")},
                "gates": {"enabled": False},  # of the log: another each time, as far as they know
                "index": {"kind": "exact"},
                "nightly": {"log_file": str(self.store / "night.jsonl"), "keep_runs": 2},
            }
        )

    def write_log(self) -> None:
        """Write the log that the versions would have been trained on."""
        seen = self._seen().tocoo()
        table = {
            "user_id": [f"u{row}" for row in seen.row.tolist()],
            "item_id": [f"i{row}" for row in seen.col.tolist()],
            "timestamp": np.arange(seen.nnz) + int(time.time()) - seen.nnz,
        }
        pq.write_table(pa.table(table), self.store.parent / "log.parquet")

    def _seen(self) -> sp.csr_array:
        rng = np.random.default_rng(0)
        return sp.csr_array(random_seen(self.n_users, self.n_items, rng).astype(np.float32))

    def publisher(self) -> None:
        """Publish every few seconds, while the load goes on."""
        began = time.monotonic()
        for number in itertools.count(1):
            wait = began + number * self.every - time.monotonic()
            if self.over.wait(max(wait, 0.0)) or time.monotonic() - began > self.seconds:
                return
            try:
                self.publish_another(number)
            except Exception as error:  # whatever it is, the soak has failed
                self.fail(f"publish {number}: {type(error).__name__}: {error}")

    def client(self, seed: int) -> None:
        """Ask at the rate of one of several clients."""
        with closing(self._connected()) as connection:
            self._asking(connection, np.random.default_rng(seed))

    def _asking(self, connection: HTTPConnection, rng: np.random.Generator) -> None:
        period, due = CLIENTS / self.per_second, time.monotonic()
        while not self.over.is_set():
            method, path, body = self._request(rng)
            status, headers, answer = self._ask(connection, method, path, body)
            if status != 200:
                self.fail(f"{method} {path}: {status} {answer[:200]!r}")
            elif path != "/v1/version":
                self._check(path, headers, json.loads(answer))
            due = max(due + period, time.monotonic() - 1)
            time.sleep(max(due - time.monotonic(), 0))

    def asked(self, path: str) -> bytes:
        """Return the body of an answer."""
        with closing(self._connected()) as connection:
            return self._ask(connection, "GET", path, None)[2]

    def _connected(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def _request(self, rng: np.random.Generator) -> tuple[str, str, Any]:
        """Return one of the requests that a shop makes."""
        user, item = f"u{rng.integers(self.n_users)}", f"i{rng.integers(self.n_items)}"
        kinds: list[tuple[str, str, Any]] = [
            *[("GET", f"/v1/users/{user}/recommendations?k={K}", None)] * 12,
            ("GET", f"/v1/users/nobody{user}/recommendations?k={K}", None),
            ("GET", f"/v1/items/{item}/similar?k={K}", None),
            ("GET", f"/v1/items/{item}", None),
            ("GET", "/v1/lists/popular?k=5", None),
            ("GET", f"/v1/users/{user}/explanations/{item}", None),
            ("POST", "/v1/recommendations", {"history": [item], "k": K}),
            ("POST", "/v1/recommendations", {"user_id": user, "exclude": [item], "k": K}),
            ("POST", "/v1/recommendations:batch", {"requests": [{"user_id": user}] * 3}),
        ]
        return kinds[int(rng.integers(len(kinds)))]

    def _ask(
        self, connection: HTTPConnection, method: str, path: str, body: Any
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body; 0 where no answer came."""
        began = time.perf_counter()
        given = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, given, {"content-type": "application/json"})
            answer = connection.getresponse()
            found = answer.status, dict(answer.getheaders()), answer.read()
        except (OSError, HTTPException) as error:
            connection.close()
            return 0, {}, f"{type(error).__name__}: {error}".encode()
        with self.lock:
            self.n_requests += 1
            self.milliseconds.append(1000 * (time.perf_counter() - began))
        return found

    def _check(self, path: str, headers: dict[str, str], answer: Any) -> None:
        """Look whether all of an answer is of one version: the header, the body, all titles."""
        version = headers.get("x-recsys-version")
        numbers, versions = set(), {version, answer.get("version", version)}
        for body in answer.get("answers", [answer]):
            versions.add(body.get("version", version))
            titles = [row.get("title") for row in body.get("items", ())]
            numbers |= {title.rpartition(" of ")[2] for title in titles if title}
        with self.lock:
            numbers |= {self.numbers.get(str(version), next(iter(numbers), ""))} - {""}
            if numbers:
                self.numbers[str(version)] = min(numbers)
        if len(versions) > 1 or len(numbers) > 1:
            self.fail(f"{path}: of versions {versions} and numbers {numbers}")

    def sender(self) -> None:
        """Send events, each twice; ask for the list of who has just done something."""
        with closing(self._connected()) as connection:
            self._sending(connection, np.random.default_rng(99))

    def _sending(self, connection: HTTPConnection, rng: np.random.Generator) -> None:
        for number in itertools.count():
            if self.over.wait(1 / self.events_per_second):
                return
            is_new = number % 4 == 0
            user = f"n{number}" if is_new else f"u{rng.integers(self.n_users)}"
            item = f"m{number // 40}" if number % 8 == 0 else f"i{rng.integers(self.n_items)}"
            event = {"user_id": user, "item_id": item, "event_id": f"e{number}"}
            for _ in range(2):
                status, _, answer = self._ask(connection, "POST", "/v1/events", event)
                if status != 200:
                    self.fail(f"event {number}: {status} {answer[:200]!r}")
                    break
            else:
                self.n_acknowledged += 1
            path = f"/v1/users/{user}/recommendations?k={K}"
            status, headers, answer = self._ask(connection, "GET", path, None)
            if status != 200:
                self.fail(f"{path}: {status} {answer[:200]!r}")
                continue
            found = json.loads(answer)
            self._check(path, headers, found)
            self.n_lists_after_events += 1
            if item in {row["item_id"] for row in found["items"]}:
                self.fail(f"{path}: {item} is in the list of who has just seen it")

    def watch(self, pid: int) -> None:
        """Note what the workers hold, again and again."""
        while not self.over.wait(min(5.0, self.seconds / 20)):
            self.samples.append(held_by(pid))

    def n_lost(self) -> int:
        """Return how many acknowledged events are neither in the database nor in files."""
        database = open_events(self.store, EventSettings())
        n, numbers = database.last(), set()
        for batch in database.batches(0, n):
            numbers |= {event.number for event in batch}
        database.close()
        for path in (self.store / "events" / "log").glob("*.parquet"):
            numbers |= set(pq.read_table(path, columns=["number"])["number"].to_pylist())
        return self.n_acknowledged - len(numbers)


def held_by(pid: int) -> dict[str, float]:
    """Return memory that workers share with nobody, in MB, and their threads and open files."""
    found = {"MB": 0.0, "threads": 0.0, "files": 0.0}
    for worker in children_of(pid):
        try:
            status = Path(f"/proc/{worker}/status").read_text().splitlines()
            files = sum(1 for _ in Path(f"/proc/{worker}/fd").iterdir())
        except OSError:
            continue
        fields = dict(line.split(":", 1) for line in status)
        found["MB"] += int(fields["RssAnon"].split()[0]) / 1000
        found["threads"] += int(fields["Threads"])
        found["files"] += files
    return found


def children_of(pid: int) -> list[int]:
    """Return the workers of a server."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def served(store: Path, workers: int) -> Iterator[tuple[int, int]]:
    """Serve a store; yields the process and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "recsys", "serve", "--store", store, "--port", port]
    with (store / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [str(one) for one in (*command, "--workers", workers)],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            _wait(port, process)
            yield process.pid, port
        finally:
            process.terminate()
            process.wait()


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    while True:
        if process.poll() is not None:
            raise SystemExit("recsys serve did not start; the log of the store says why")
        try:
            with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
                connection.request("GET", "/health/ready")
                if connection.getresponse().status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.05)


def run(soak: Soak, pid: int) -> None:
    """Let all of it happen for the seconds of a soak; the publisher has this thread."""
    workers = [threading.Thread(target=soak.client, args=(seed,)) for seed in range(CLIENTS)]
    workers += [threading.Thread(target=soak.sender)]
    workers += [threading.Thread(target=soak.watch, args=(pid,))]
    for one in workers:
        one.start()
    try:
        soak.publisher()
        soak.metrics = soak.asked("/metrics").decode()
    finally:
        soak.over.set()
        for one in workers:
            one.join()


def report(soak: Soak) -> None:
    """Print what came of it."""
    times = np.array(soak.milliseconds)
    quarter = max(len(soak.samples) // 4, 1)
    print(
        f"{soak.n_requests:,} requests in {soak.seconds:.0f} s, "
        f"p50 {np.percentile(times, 50):.1f} ms, p99 {np.percentile(times, 99):.1f} ms, "
        f"most {times.max():.0f} ms"
    )
    print(
        f"versions: {soak.n_published} published, {soak.n_refreshed} refreshed; "
        f"{len(soak.numbers)} seen in answers"
    )
    print(
        f"events: {soak.n_acknowledged:,} acknowledged, each sent twice; {soak.n_lost()} lost; "
        f"{soak.n_lists_after_events:,} lists right after one"
    )
    for name in ("MB", "threads", "files"):
        first = max(one[name] for one in soak.samples[:quarter])
        last = max(one[name] for one in soak.samples[-quarter:])
        print(f"{name} of all workers: {first:.0f} in the first quarter, {last:.0f} in the last")
    for line in soak.metrics.splitlines():
        if line.startswith(("recsys_service_refused", "recsys_service_opened")):
            print(line)
    print(f"failed: {len(soak.failures)}")
    for one in soak.failures[:_FEW]:
        print(f"  {one}")


def main() -> None:
    """Soak a service, and print what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--every", type=float, default=10, help="seconds between two versions")
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    parser.add_argument("--events", type=float, default=20, help="events a second")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        soak = Soak(store, 0, given.seconds, given.rate, given.events, given.every)
        publish(store, soak.release(0), IndexSettings(kind="exact"))
        soak.write_log()
        with served(store, given.workers) as (pid, soak.port):
            run(soak, pid)
        report(soak)
    raise SystemExit(bool(soak.failures))


if __name__ == "__main__":
    main()
