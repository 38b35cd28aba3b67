"""Live events: how many a second are acknowledged while lists go on, and how long each takes.

    python -m benchmarks.events                              # SQLite, one worker and two
    python -m benchmarks.events --per-second 4000
    python -m benchmarks.events --database postgresql://recsys@/postgres?host=/var/run/postgresql
    python -m benchmarks.events --users 2000 --items 2000 --seconds 2     # a look

wrk sends single events of random users over 64 connections, each after a random pause; 8 patient
callers ask for lists of random users, first alone, then beside the events. Users who have done
something are folded in from then on. In the end the events in the database are counted: each that
was acknowledged is there, and no more than were under way. The load of the machine is printed.

Needs wrk, and `pip install '.[bench]'`.
"""

import argparse
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from threading import Thread

from benchmarks.http_load import (
    DONE,
    PORT,
    Probed,
    Target,
    children_of,
    private_megabytes,
    probe,
    running,
)
from benchmarks.http_stores import open_store
from recsys.events import EventSettings, open_events
from recsys.service import new_key

CONNECTIONS = 64
_WRK = """
local users, n, more = dofile("{users}"), {seed}, 0
local headers = {{ ["Authorization"] = "Bearer {key}", ["Content-Type"] = "application/json" }}
request = function()
  n = (n * 1103515245 + 12345) % 2147483648
  more = more + 1
  local body = string.format('{{"user_id": "%s", "item_id": "i%d", "event_id": "{seed}-%d"}}',
    users[n % #users + 1], n % {n_items}, more)
  return wrk.format("POST", "/v1/events", headers, body)
end
delay = function() return math.floor(-{pause} * math.log(1 - math.random()) + 0.5) end
"""


def send(target: Target, key: str, n_items: int, per_second: float, seconds: int) -> list[int]:
    """Let wrk send events; return requests, microseconds, refusals and three latencies."""
    users, script = target.folder / "users.lua", target.folder / "events.lua"
    target.store.write_users(users)
    pause = max(0.0, CONNECTIONS / per_second - 0.008) * 1000  # milliseconds; 8 are the answer's
    seed = time.time_ns() % 1_000_003
    values = {"users": users, "seed": seed, "key": key, "n_items": n_items, "pause": pause}
    script.write_text(_WRK.format(**values) + DONE)
    words = ["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    words += ["--timeout", "10s", "-s", str(script), f"http://127.0.0.1:{PORT}/v1/events"]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found = re.search(r"measured (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", printed)
    if found is None:
        raise SystemExit(f"wrk: expected its counts, got:\n{printed}")
    return [int(one) for one in found.groups()]


def measure(target: Target, arguments: argparse.Namespace, settings: EventSettings) -> None:
    """Measure lists alone, then beside events; count what is in the database."""
    key = new_key(target.folder / "keys", "shop", ("write",))
    time.sleep(2)  # until the workers have read it
    database = open_events(target.store.folder, settings)
    before, alone = database.n_events(), probe(target, arguments.seconds)
    sent: list[list[int]] = []
    sender = Thread(
        target=lambda: sent.append(
            send(target, key, arguments.items, arguments.per_second, arguments.seconds)
        )
    )
    sender.start()
    beside = probe(target, arguments.seconds)
    sender.join()
    n, duration, refused, *times = sent[0]
    kept = database.n_events() - before
    database.close()
    acknowledged = n - refused
    rate = acknowledged / duration * 1e6
    p50, p99, p999 = (one / 1000 for one in times)
    print(f"lists alone:          {_said(alone)}")
    print(f"events acknowledged:  {rate:,.0f}/s, p50 {p50:.1f}, p99 {p99:.1f}, p99.9 {p999:.1f} ms")
    print(f"lists beside:         {_said(beside)}")
    print(f"kept {kept:,} of {acknowledged:,} acknowledged and {refused:,} refused")
    if not acknowledged <= kept <= acknowledged + CONNECTIONS:
        raise SystemExit("expected each acknowledged event once in the database")
    memory = max(map(private_megabytes, children_of(target.pid)))
    print(f"private memory of a worker: {memory:.0f} MB; load {os.getloadavg()[0]:.1f}", flush=True)


def _said(found: Probed) -> str:
    accepted = f"{found.n_accepted:,} lists, {found.n_refused:,} refused"
    return f"{accepted}, p50 {found.p50:.1f}, p99 {found.p99:.1f} ms"


def main() -> None:
    """Measure one worker and two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--items", type=int, default=40_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--per-second", type=float, default=2_500)
    parser.add_argument("--database", help="of PostgreSQL; default: SQLite in the store")
    arguments = parser.parse_args()
    settings = EventSettings(database=arguments.database)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:  # on a disk, not in memory
        store = open_store("made", Path(folder), arguments.users, arguments.items)
        for workers in (1, 2):
            print(f"\n{workers} worker(s), {arguments.database or 'SQLite'}")
            cores = "0" if workers == 1 else "0,1"
            named = f"events.database={arguments.database}"
            options = ["--set", named] if arguments.database else []
            with running(
                "granian", "recsys serve", store, workers=workers, cores=cores, options=options
            ) as target:
                measure(target, arguments, settings)


if __name__ == "__main__":
    main()
