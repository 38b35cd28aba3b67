"""Lists over HTTP: our service beside frameworks, each on uvicorn and on Granian.

    python -m benchmarks.http
    python -m benchmarks.http --users 2000 --items 2000 --seconds 2      # a look

One worker on one core, wrk with 16 connections on another, lists of 20 with titles of random users
of a generated store with 64 factors, three rounds in turn and the best of them. Bare is a constant
of the size of a list: what the server costs without us. Beside requests per second stands the
processor time of a request, which other work on the machine moves less.

Needs wrk, and `pip install '.[bench]'`.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from recsys.models.protocol import popularity_of
from recsys.settings import IndexSettings
from recsys.store import ModelSpec, Release, publish
from recsys.vectors import Embeddings, Ids

PORT, CONNECTIONS, K, FACTORS, SEEN = 8765, 16, 20, 64, 30
ASGI = ("ours", "starlette", "litestar", "fastapi")
_SCRIPT = """
local n = {seed}
request = function()
  n = (n * 1103515245 + 12345) % 2147483648
  return wrk.format("GET", "/v1/users/u" .. (n % {users}) .. "/recommendations?k={k}")
end
"""


def make_store(folder: Path, n_users: int, n_items: int) -> None:
    """Publish random embeddings, histories and titles."""
    rng = np.random.default_rng(0)
    items = rng.integers(0, n_items, (n_users, SEEN))
    users = np.repeat(np.arange(n_users), SEEN)
    seen = sp.csr_array((np.ones(items.size), (users, items.ravel())), (n_users, n_items))
    seen.data[:] = 1
    item_ids = [f"i{row}" for row in range(n_items)]
    embeddings = Embeddings(
        rng.standard_normal((n_users, FACTORS), dtype=np.float32),
        rng.standard_normal((n_items, FACTORS), dtype=np.float32)
        * rng.gamma(1.0, 1.0, (n_items, 1)).astype(np.float32),
    )
    titles = [f"The title of the item of number {row}" for row in range(n_items)]
    release = Release(
        embeddings,
        Ids([f"u{row}" for row in range(n_users)]),
        Ids(item_ids),
        seen,
        popularity_of(seen),
        ModelSpec("svd", {"factors": FACTORS}),
        attributes=pa.table({"item_id": item_ids, "title": titles}),
    )
    publish(folder, release, IndexSettings(kind="exact"))


@dataclass(frozen=True)
class Measured:
    """What wrk and the system counted."""

    per_second: float
    p50: float  # milliseconds
    p99: float
    microseconds: float  # of the processor, a request, in the processes of the server
    bytes: int  # of an answer


def command(server: str, app: str) -> list[str]:
    """Return how to start an application on a server."""
    python, port = sys.executable, str(PORT)
    if app == "recsys serve":
        return [python, "-m", "recsys", "serve", "--port", port]
    factory = [] if app.startswith("bare") else ["--factory"]
    target = f"benchmarks.http_peers:{app}"
    if server == "uvicorn":
        rest = ["--port", port, "--no-access-log", "--log-level", "warning"]
        return [python, "-m", "uvicorn", target, *factory, *rest]
    interface = "rsgi" if app.endswith("rsgi") else "asgi"
    rest = ["--interface", interface, "--port", port, "--no-ws", "--log-level", "warning"]
    return [python, "-m", "granian", target, *factory, *rest]


@contextmanager
def running(server: str, app: str, path: str, environment: dict[str, str]) -> Iterator[int]:
    """Run a server on the first core until it has answered, and for the block."""
    pinned = ["taskset", "-c", "0", *command(server, app)]
    process = subprocess.Popen(pinned, env=os.environ | environment, stdout=subprocess.DEVNULL)
    try:
        for _ in range(300):
            time.sleep(0.1)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}") as answer:
                    answer.read()
                    break
            except OSError:
                continue
        yield process.pid
    finally:
        process.terminate()
        process.wait()


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


def measure(pid: int, script: Path | None, path: str, seconds: int) -> Measured:
    """Let wrk ask for some seconds, from the second core."""
    rest = ["-s", str(script)] if script else []
    url = f"http://127.0.0.1:{PORT}{path}"
    before = ticks(pid)
    wrk = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"]
    printed = subprocess.run([*wrk, *rest, url], capture_output=True, text=True, check=True).stdout
    used = (ticks(pid) - before) / os.sysconf("SC_CLK_TCK")
    if "Non-2xx" in printed:
        raise SystemExit(f"{url}: answers that are errors:\n{printed}")
    n = int(re.findall(r"(\d+) requests in", printed)[0])
    times = {
        name: float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
        for name, number, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", printed)
    }
    with urllib.request.urlopen(url) as answer:
        n_bytes = len(answer.read())
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", printed)[0])
    return Measured(rate, times["50"], times["99"], used / n * 1e6, n_bytes)


def main() -> None:
    """Measure every pair of a server and an application, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--items", type=int, default=40_000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="applications")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk: expected it on the path, got none; apt-get install wrk")
    with tempfile.TemporaryDirectory() as folder:
        store, script = Path(folder) / "store", Path(folder) / "ask.lua"
        make_store(store, arguments.users, arguments.items)
        script.write_text(_SCRIPT.format(seed=1, users=arguments.users, k=K))
        path = f"/v1/users/u7/recommendations?k={K}"
        cases = [("granian", "recsys serve"), ("granian", "bare"), ("granian", "bare_rsgi")]
        cases += [("uvicorn", "bare")]
        cases += [(server, app) for app in ASGI for server in ("granian", "uvicorn")]
        cases = [one for one in cases if not arguments.only or one[1] in arguments.only]
        best: dict[tuple[str, str], Measured] = {}
        environment = {"RECSYS_STORE": str(store)}
        for number in range(arguments.rounds):
            for server, app in cases:
                is_bare = app.startswith("bare")
                asked = "/bare" if is_bare else path
                with running(server, app, asked, environment) as pid:
                    scripted = None if is_bare else script
                    measure(pid, scripted, asked, 1)  # to warm up
                    found = measure(pid, scripted, asked, arguments.seconds)
                before = best.get((server, app))
                if before is None or found.per_second > before.per_second:
                    best[server, app] = found
                load = os.getloadavg()[0]
                print(f"round {number + 1} {server} {app}: {found}, load {load:.1f}", flush=True)
        print(f"\n| server | application | {K} items a second | p50 ms | p99 ms | processor µs |")
        print("|---|---|---|---|---|---|")
        for (server, app), found in best.items():
            numbers = f"{found.per_second:,.0f} | {found.p50:.2f} | {found.p99:.2f}"
            print(f"| {server} | {app} | {numbers} | {found.microseconds:.0f} |")


if __name__ == "__main__":
    main()
