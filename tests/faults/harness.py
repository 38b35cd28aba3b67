"""Nights under faults, in processes of their own; one JSON line per fault on stdout.

    python -m tests.faults.harness kill FOLDER 200 [SEED]

``kill``: nights are killed, half of them at a random moment, half right before a random file
operation; some are killed again while they go on; then one goes through.
``current``: a night is killed between the rename of its version and CURRENT.
``full``: the disk is full from before one operation that changes a file, and then another.
``forbidden``: a folder may not be written any more.

Every night is a fork of this process, which itself starts no threads. FOLDER holds the log and the
store, and this process alone works in it.
"""

import ctypes
import os
import random
import select
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import duckdb  # noqa: F401
import numba  # noqa: F401
import pandas  # noqa: F401
import pyarrow.parquet as pq

import recsys.models.als.sweep  # noqa: F401
import tests.warm  # noqa: F401
from recsys.config import settings_from
from recsys.errors import RecsysError
from recsys.nightly import run_night
from recsys.serving import open as open_store
from recsys.store import current, verify, versions
from tests.forks import (
    GOT_THROUGH,
    before_operations,
    fork,
    in_fork,
    kill_before_operation,
    wait_for,
    write_line,
)
from tests.nightly.nights import as_table, tables_of, write_days
from tests.worlds import tastes

BALLAST = "ballast"
REFUSED = 3  # exit status of a night that ended with an error of ours


def settings_in(folder: Path) -> Any:
    """Settings of nights that only a fault can stop; old versions go, as in real nights."""
    tables = tables_of(folder, keep=3, keep_runs=3, metrics_file=str(folder / "recsys.prom"))
    return settings_from({**tables, "gates": {"refuse_above": 1e9, "off": ["as_good_as_current"]}})


def night(folder: Path) -> None:
    """Run a night in this process; exit with REFUSED where it is refused."""
    try:
        run_night(settings_in(folder))
    except RecsysError as error:
        write_line(error=str(error))
        os._exit(REFUSED)


def another_day(folder: Path, seed: int) -> None:
    """Write the file of one more day."""
    table = as_table(tastes(n_users=20, per_user=2, seed=seed))
    aside = folder / f".day-{seed}"
    pq.write_table(table, aside)
    aside.rename(folder / "log" / f"day-{seed:04}.parquet")


def look(folder: Path, known: set[str], **facts: object) -> None:
    """Write, from a fork, what a reader of the store finds; versions not known yet are verified."""
    store = folder / "store"

    def find() -> None:
        names = [version.name for version in versions(store)] if store.is_dir() else []
        for name in set(names) - known:
            verify(store, name)
        found: dict[str, object] = {"versions": names, "current": None, "answered": None}
        if names and current(store):
            recommender = open_store(store)
            listed = recommender.recommend("u1", 3)
            found |= {"current": current(store), "answered": listed.version, "n": len(listed)}
        write_line(**facts, **found)

    if in_fork(find) != GOT_THROUGH:
        write_line(**facts, unreadable=True)
    if store.is_dir():
        known |= {version.name for version in versions(store)}


def killed_after(seconds: float, work: Callable[[], None]) -> int:
    """Run some work in a fork and kill it after a time; return how it ended."""
    child = fork(work)
    pidfd = os.pidfd_open(child)
    ended, _, _ = select.select([pidfd], [], [], seconds)
    if not ended:
        os.kill(child, signal.SIGKILL)
    os.close(pidfd)
    return wait_for(child)


def kill_at(n: int, folder: Path) -> None:
    """Run a night that is killed before its n-th operation that changes a file."""
    kill_before_operation(n, str(folder))
    night(folder)


def n_operations(folder: Path) -> int:
    """Run a night, and return the number of its operations that change a file."""
    reading, writing = os.pipe()

    def counted() -> None:
        last = [0]

        def act(done: int, _event: str, _arguments: tuple[Any, ...]) -> None:
            last[0] = done

        before_operations(str(folder), act)
        night(folder)
        os.write(writing, str(last[0]).encode())

    assert in_fork(counted) == GOT_THROUGH
    n = int(os.read(reading, 100))
    os.close(reading)
    os.close(writing)
    return n


def kill(folder: Path, n_kills: int, seed: int = 0) -> None:
    """Kill nights; after each, look at the store and let the next one get through."""
    rng, known, kills = random.Random(seed), set[str](), 0
    assert in_fork(lambda: night(folder)) == GOT_THROUGH
    begun = perf_counter()
    operations = n_operations(folder)
    seconds = perf_counter() - begun
    look(folder, known, fault="none", operations=operations, seconds=round(seconds, 2))
    while kills < n_kills:
        if rng.random() < 0.3:
            another_day(folder, kills)
        for _ in range(rng.choice([1, 1, 2])):
            if rng.random() < 0.5:
                fault: dict[str, object] = {"before_operation": rng.randint(1, operations)}
                ended = in_fork(lambda n=fault["before_operation"]: kill_at(n, folder))
            else:
                fault = {"after_seconds": round(rng.uniform(0, seconds), 3)}
                ended = killed_after(float(str(fault["after_seconds"])), lambda: night(folder))
            kills += ended == -signal.SIGKILL
            look(folder, known, fault="kill", ended=ended, **fault)
        ended = in_fork(lambda: night(folder))
        look(folder, known, fault="next", ended=ended, left=leftovers(folder))


def leftovers(folder: Path) -> list[str]:
    """Name what no night should leave: half versions, temporary files, outputs of old runs."""
    store = folder / "store"
    found = [path.name for path in (store / "versions").glob(".*")]
    found += [path.name for path in (store / "cache" / "log").glob(".*")]
    found += [path.name for path in (store / "runs").glob("*/*") if path.is_dir()]
    return found


def current_at_last(folder: Path) -> None:
    """Kill a night when its version is there and CURRENT still names the one before."""
    known = set[str]()
    assert in_fork(lambda: night(folder)) == GOT_THROUGH
    look(folder, known, fault="none")

    def die() -> None:
        def act(_done: int, event: str, arguments: tuple[Any, ...]) -> None:
            if event == "os.rename" and Path(str(arguments[1])).name == "CURRENT":
                os.kill(os.getpid(), signal.SIGKILL)

        before_operations(str(folder), act)
        night(folder)

    look(folder, known, fault="killed", ended=in_fork(die))
    look(folder, known, fault="next", ended=in_fork(lambda: night(folder)))


def full(folder: Path, n_times: int) -> None:
    """Fill the disk right before some operations that change a file, evenly spread over a night.

    The disk is the file system of the folder, and small.
    """
    known = set[str]()
    assert in_fork(lambda: night(folder)) == GOT_THROUGH
    operations = n_operations(folder)
    n_times = min(n_times, operations)
    for time in range(n_times):
        n = 1 + time * operations // n_times
        ended = in_fork(lambda n=n: full_at(n, folder))  # type: ignore[misc]
        look(folder, known, fault="full", at=n, ended=ended)
        (folder / BALLAST).unlink()
        ended = in_fork(lambda: night(folder))
        look(folder, known, fault="next", at=n, ended=ended)


def full_at(n: int, folder: Path) -> None:
    """Run a night whose disk is full from before its n-th operation that changes a file."""

    def act(done: int, _event: str, _arguments: tuple[Any, ...]) -> None:
        if done == n:
            with (folder / BALLAST).open("wb") as file:
                left = shutil.disk_usage(folder).free
                os.posix_fallocate(file.fileno(), 0, max(left, 1))

    (folder / BALLAST).touch()
    before_operations(str(folder), act)
    night(folder)


def drop_capabilities() -> None:
    """Make the modes of files hold for this process, also for root."""
    version_3, itself = 0x20080522, 0
    header = (ctypes.c_uint32 * 2)(version_3, itself)
    nothing = (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, nothing) == 0


def forbidden(folder: Path) -> None:
    """Take away the right to write, folder by folder; also from root, who needs no right."""
    known = set[str]()

    def powerless() -> None:
        drop_capabilities()
        night(folder)

    assert in_fork(powerless) == GOT_THROUGH
    for number, name in enumerate((".", "versions", "runs", "cache/log")):
        path = folder / "store" / name
        another_day(folder, number)  # a night that has nothing to write would not notice
        path.chmod(0o555)
        look(folder, known, fault="forbidden", where=name, ended=in_fork(powerless))
        path.chmod(0o755)
        look(folder, known, fault="next", ended=in_fork(powerless))


def main() -> None:
    what, folder = sys.argv[1], Path(sys.argv[2])
    write_days(folder / "log")
    if what == "kill":
        kill(folder, *map(int, sys.argv[3:]))
    elif what == "full":
        full(folder, int(sys.argv[3]))
    else:
        {"current": current_at_last, "forbidden": forbidden}[what](folder)


if __name__ == "__main__":
    main()
