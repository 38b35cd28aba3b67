"""Lists over HTTP: our service beside frameworks and implicit, under load, and under too much.

    python -m benchmarks.http                        # the table of applications, on made-up data
    python -m benchmarks.http --loads                # ours: 70 % of its load, two workers, memory
    python -m benchmarks.http --overload             # up to ten times the load that it can carry
    python -m benchmarks.http --all                  # all three, and --loads of every store
    python -m benchmarks.http --loads --store gowalla     # $RECSYS_DATA is the folder of logs
    python -m benchmarks.http --loads --store large       # 10 M users, 1 M items; made in minutes
    python -m benchmarks.http --users 2000 --items 2000 --seconds 1 --rounds 1     # a look

One worker on the first core, wrk on the second, lists of 20 with titles of random users, 64
factors. Ours is `recsys serve` as it is deployed: with a key, limits, metrics and headers. Bare is
a constant of the size of its list: what the server costs without us. Rounds go in turn, and the
best of each counts. Beside requests a second stands the processor time of a request, which other
work on the machine moves less; the load of the machine is printed with each round.

With two workers, both cores carry a worker, and wrk shares them. A connection that pauses asks
again after a random time, so that the load does not wait for the answers of others. Under overload
some patient callers measure what is accepted, and wrk asks again at once, whether it was refused or
not. Gorse, another server of recommendations, is no peer here: it is built from Go modules.

Needs wrk, and `pip install '.[bench]'`.
"""

import argparse
import os
import shutil
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path

from benchmarks.http_load import (
    CONNECTIONS,
    Measured,
    Probed,
    children_of,
    private_megabytes,
    probe,
    running,
)
from benchmarks.http_stores import Store, open_store

ASGI = ("ours", "starlette", "litestar", "fastapi")
CASES = (
    ("granian", "recsys serve"),
    ("granian", "bare"),
    ("granian", "bare_rsgi"),
    ("uvicorn", "bare"),
    *((server, app) for app in ASGI for server in ("granian", "uvicorn")),
    *((server, "implicit_fastapi") for server in ("granian", "uvicorn")),
)
PACKAGES = ("starlette", "litestar", "fastapi", "uvicorn")
SHARE, PAUSE = 0.7, 0.008  # of the load; seconds
OVERLOADS, CALLERS = (1, 2, 5, 10), 1000


def applications(store: Store, arguments: argparse.Namespace) -> None:
    """Measure every pair of a server and an application, and print a table."""
    with running("granian", "ours", store) as target:
        n_bytes = len(target.answer())
    cases = [one for one in CASES if not arguments.only or one[1] in arguments.only]
    missing = {name for one in cases for name in one if name in PACKAGES and not find_spec(name)}
    for name in sorted(missing):
        print(f"left out: {name} is not installed; pip install '.[bench]'")
    cases = [one for one in cases if not missing & set(one)]
    best: dict[tuple[str, str], Measured] = {}
    for number in range(arguments.rounds):
        for server, app in cases:
            with running(server, app, store, n_bytes=n_bytes) as target:
                target.load(1)  # to warm up
                found = target.load(arguments.seconds)
            if found.refused:
                raise SystemExit(f"{app}: answers that are errors: {found}")
            before = best.get((server, app))
            if before is None or found.per_second > before.per_second:
                best[server, app] = found
            load = os.getloadavg()[0]
            print(f"round {number + 1} {server} {app}: {found}, load {load:.1f}", flush=True)
    least = {server: best[server, "bare"] for server, app in best if app == "bare"}
    print("\n| application | server | lists/s | p50 ms | p99 ms | processor us | x bare |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for (server, app), found in best.items():
        numbers = f"{found.per_second:,.0f} | {found.p50:.2f} | {found.p99:.2f}"
        ratio = found.microseconds / least[server].microseconds if server in least else float("nan")
        print(f"| {app} | {server} | {numbers} | {found.microseconds:.0f} | {ratio:.2f} |")


def loads(store: Store, arguments: argparse.Namespace) -> None:
    """Measure ours with one and two workers, at full load and at a share of it, and its memory."""
    print(f"\n| {store.name} | lists/s | p50 ms | p99 ms | p99.9 ms | processor us |")
    print("|---|---:|---:|---:|---:|---:|")
    for workers, cores, of_wrk in ((1, "0", "1"), (2, "0,1", "0,1")):
        with running("granian", "recsys serve", store, workers=workers, cores=cores) as target:
            target.load(2, cores=of_wrk)
            full = target.load(arguments.seconds, cores=of_wrk)
            _print_load(f"{workers} worker, {CONNECTIONS} connections", full)
            wanted = SHARE * full.per_second
            connections = max(int(wanted * PAUSE), 1)
            pause = connections / wanted - full.p50 / 1000 * (1 - SHARE)
            part = target.load(arguments.seconds, connections, max(pause, 0.002), of_wrk)
            share = part.per_second / full.per_second
            _print_load(f"{workers} worker, {share:.0%} of that load", part)
            sizes = [private_megabytes(pid) for pid in children_of(target.pid)]
            listed = " and ".join(f"{size:.0f}" for size in sizes)
            print(f"| private memory of each worker: {listed} MB | | | | | |", flush=True)
    times = sorted(_cold_start(store) for _ in range(3))
    print(f"| from the start of the command to the first list: {times[1]:.2f} s | | | | | |")
    print(f"\nload of the machine {os.getloadavg()[0]:.1f}, lists of {len(store.users):,} users")


def _print_load(name: str, found: Measured) -> None:
    times = f"{found.p50:.2f} | {found.p99:.2f} | {found.p999:.2f}"
    rest = "" if not found.refused else f", {found.refused:,.0f} refused"
    row = f"{found.per_second:,.0f}{rest} | {times} | {found.microseconds:.0f}"
    print(f"| {name} | {row} |", flush=True)


def _cold_start(store: Store) -> float:
    start = time.perf_counter()
    with running("granian", "recsys serve", store):
        return time.perf_counter() - start


def overload(store: Store, arguments: argparse.Namespace) -> None:
    """Ask for several times the load that one worker can carry."""
    with running("granian", "recsys serve", store) as target:
        target.load(1)
        full = target.load(arguments.seconds)
        print(f"\nit can carry {full.per_second:,.0f} lists/s; callers beside wrk see:\n")
        print("| asked for | connections | accepted/s | refused/s | p50 ms | p99 ms | refused |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for times in OVERLOADS:
            pause = CALLERS / (times * full.per_second)
            seen: list[Probed] = []
            caller = threading.Thread(
                target=lambda: seen.append(probe(target, arguments.seconds - 1))  # noqa: B023
            )
            caller.start()
            found = target.load(arguments.seconds, CALLERS, pause)
            caller.join()
            accepted, patient = found.per_second - found.refused, seen[0]
            share = patient.n_refused / max(patient.n_accepted + patient.n_refused, 1)
            row = f"{accepted:,.0f} | {found.refused:,.0f} | {patient.p50:.1f} | {patient.p99:.1f}"
            print(f"| {times}x | {CALLERS} | {row} | {share:.0%} |", flush=True)
        print(f"\nload of the machine {os.getloadavg()[0]:.1f}")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=("made", "gowalla", "large"), default="made")
    parser.add_argument("--folder", type=Path, help="where stores are kept; default: nowhere")
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--items", type=int, default=40_000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="applications")
    parser.add_argument("--loads", action="store_true", help="ours, at full load and at 70 %%")
    parser.add_argument("--overload", action="store_true", help="ours, at up to ten times its load")
    parser.add_argument("--all", action="store_true", help="everything, of every store")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk: expected it on the path, got none; apt-get install wrk")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)

        def opened(name: str) -> Store:
            return open_store(name, folder / name, arguments.users, arguments.items)

        store = opened(arguments.store)
        if arguments.all or not (arguments.loads or arguments.overload):
            applications(store, arguments)
        for name in ("made", "gowalla", "large") if arguments.all else (arguments.store,):
            if arguments.all or arguments.loads:
                loads(opened(name), arguments)
        if arguments.all or arguments.overload:
            overload(store, arguments)


if __name__ == "__main__":
    main()
