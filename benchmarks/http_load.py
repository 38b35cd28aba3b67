"""Servers that `benchmarks.http` starts, and what wrk and the system measure of them."""

import http.client
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.http_stores import Store
from recsys.service import new_key

PORT, CONNECTIONS, K = 8765, 16, 20
_WRK = """
local users, n = dofile("{users}"), {seed}
local headers = {{ ["Authorization"] = "Bearer {key}" }}
request = function()
  n = (n * 1103515245 + 12345) % 2147483648
  local user = users[n % #users + 1]
  return wrk.format("GET", "/v1/users/" .. user .. "/recommendations?k={k}", headers)
end
{delay}
"""
DONE = """
done = function(summary, latency, requests)
  io.write(string.format("measured %d %d %d", summary.requests, summary.duration,
    summary.errors.status))
  for _, share in pairs({ 50, 99, 99.9 }) do
    io.write(string.format(" %d", latency:percentile(share)))
  end
end
"""
_DELAY = """
delay = function()
  return math.floor(-{milliseconds} * math.log(1 - math.random()) + 0.5)
end
"""


@dataclass(frozen=True)
class Measured:
    """What wrk and the system counted."""

    per_second: float
    refused: float  # of these
    p50: float  # milliseconds
    p99: float
    p999: float
    microseconds: float  # of the processor, a request, in the processes of the server


@dataclass(frozen=True)
class Target:
    """A server that runs: an application, its process, and what it is asked."""

    app: str
    pid: int
    store: Store
    folder: Path  # for scripts
    key: str

    @property
    def is_bare(self) -> bool:
        """Whether it answers a constant."""
        return self.app.startswith("bare")

    @property
    def path(self) -> str:
        """A path of its."""
        return "/bare" if self.is_bare else f"/v1/users/{self.store.users[0]}/recommendations?k={K}"

    def answer(self) -> bytes:
        """Ask for one list."""
        headers = {"Authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(f"http://127.0.0.1:{PORT}{self.path}", headers=headers)
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return bytes(answer.read())

    def load(
        self, seconds: int, connections: int = CONNECTIONS, pause: float = 0.0, cores: str = "1"
    ) -> Measured:
        """Let wrk ask for some seconds; `pause` is the mean time before a connection asks again."""
        users, script = self.folder / "users.lua", self.folder / "ask.lua"
        delay = _DELAY.format(milliseconds=pause * 1000) if pause else ""
        if self.is_bare:
            text = DONE
        else:
            self.store.write_users(users)
            text = _WRK.format(users=users, seed=1, key=self.key, k=K, delay=delay) + DONE
        script.write_text(text)
        wrk = ["taskset", "-c", cores, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
        before = ticks(self.pid)
        asked = [*wrk, "--timeout", "10s", "-s", str(script), f"http://127.0.0.1:{PORT}{self.path}"]
        printed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        used = (ticks(self.pid) - before) / os.sysconf("SC_CLK_TCK")
        found = re.search(r"measured (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", printed)
        if found is None:
            raise SystemExit(f"wrk: expected its counts, got:\n{printed}")
        n, duration, refused, *times = map(int, found.groups())
        p50, p99, p999 = (microseconds / 1000 for microseconds in times)
        per_second, refused_per_second = n / duration * 1e6, refused / duration * 1e6
        return Measured(per_second, refused_per_second, p50, p99, p999, used / max(n, 1) * 1e6)


def command(
    server: str, app: str, workers: int, keys: Path, options: Sequence[str] = ()
) -> list[str]:
    """Return how to start an application on a server."""
    python, port = sys.executable, str(PORT)
    if app == "recsys serve":
        ours = ["--port", port, "--workers", str(workers), "--keys", str(keys)]
        return [python, "-m", "recsys", "serve", *ours, *options]
    factory = [] if app.startswith("bare") else ["--factory"]
    target = f"benchmarks.http_peers:{app}"
    if server == "uvicorn":
        rest = ["--port", port, "--no-access-log", "--log-level", "warning"]
        return [python, "-m", "uvicorn", target, *factory, *rest]
    interface = "rsgi" if app.endswith("rsgi") else "asgi"
    rest = ["--interface", interface, "--port", port, "--no-ws", "--log-level", "warning"]
    return [python, "-m", "granian", target, *factory, *rest]


@contextmanager
def running(
    server: str,
    app: str,
    store: Store,
    *,
    workers: int = 1,
    cores: str = "0",
    n_bytes: int = 1700,
    options: Sequence[str] = (),
) -> Iterator[Target]:
    """Run a server on some cores until it has answered, and for the block."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = new_key(folder / "keys", "benchmark")
        given = {"RECSYS_STORE": str(store.folder), "HTTP_BYTES": str(n_bytes)}
        environment = os.environ | given | {"OPENBLAS_NUM_THREADS": "1"}
        pinned = ["taskset", "-c", cores, *command(server, app, workers, folder / "keys", options)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(pinned, env=environment, **quiet)  # type: ignore[call-overload]
        try:
            target = Target(app, process.pid, store, folder, key)
            _wait_for(target, process)
            yield target
        finally:
            process.terminate()
            process.wait()


def _wait_for(target: Target, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        try:
            target.answer()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise SystemExit(f"{target.app}: expected a server that answers, got none")


def ticks(pid: int) -> int:
    """Return the processor time of a process and its children so far."""
    total = 0
    for one in (pid, *children_of(pid)):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


def children_of(pid: int) -> list[int]:
    """Return the processes that a process started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def private_megabytes(pid: int) -> float:
    """Return the memory that a process shares with no other."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(number) for number in re.findall(r"Private_\w+: +(\d+) kB", text)) / 1024


@dataclass(frozen=True)
class Probed:
    """What some patient callers saw: how long what was accepted took, and what was refused."""

    n_accepted: int
    n_refused: int
    p50: float  # milliseconds
    p99: float


def probe(target: Target, seconds: float, n_callers: int = 8, pause: float = 0.02) -> Probed:
    """Ask now and then while others load the server."""
    seen: list[tuple[int, float]] = []

    def call(seed: int) -> None:
        random, connection = Random(seed), http.client.HTTPConnection("127.0.0.1", PORT)
        headers, end = {"Authorization": f"Bearer {target.key}"}, time.monotonic() + seconds
        while time.monotonic() < end:
            user, start = random.choice(target.store.users), time.perf_counter()
            path = f"/v1/users/{user}/recommendations?k={K}"
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            seen.append((answer.status, time.perf_counter() - start))
            time.sleep(pause)

    callers = [threading.Thread(target=call, args=(seed,)) for seed in range(n_callers)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    accepted = [taken * 1000 for status, taken in seen if status == 200]
    p50, p99 = np.percentile(accepted or [np.nan], (50, 99)).tolist()
    return Probed(len(accepted), len(seen) - len(accepted), p50, p99)
