"""Opening a large store: how long it takes, what memory each process has, what a call costs.

    python -m benchmarks.store                       # 10 M users, 1 M items, 64 factors; minutes
    python -m benchmarks.store --storage int8        # served from a byte a number
    python -m benchmarks.store --small               # 20 k users, 5 k items; seconds
    python -m benchmarks.store --store FOLDER        # measure that one; made if it is not there

The store is made in the folder for temporary files ($TMPDIR) and removed afterwards, unless it is
named. Embeddings are random, ids are strings, every user has seen some ten items, and the index is
the exact one. Everything is measured in fresh processes, with the files in the cache of the
operating system and what Numba compiles in its own. "import recsys" includes looking up
`recsys.open`, because names are imported when they are first used.

Private memory is what Linux counts as such (Private_Dirty and Private_Clean of smaps_rollup), of
processes that run at once and each ask for users of their own. Clean pages are parts of files that
no other process has mapped. The cost of a call is what `recommend` takes beyond a search of
the index with the same user and the same seen items, user by user; the two take turns in going
first.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

import recsys
from benchmarks.make_store import make, require_space, user_id
from recsys.settings import IndexStorage
from recsys.store import Content, find_version

N_PROCESSES, N_ASKED = 3, 2000
N_STARTS, N_OPENINGS, N_CALLS = 5, 15, 2000
K = 10
T = TypeVar("T")

START = """
import sys, time
times = [time.perf_counter()]
import recsys
recsys.open
times.append(time.perf_counter())
recommender = recsys.open(sys.argv[1])
times.append(time.perf_counter())
recommender.recommend(sys.argv[2])
times.append(time.perf_counter())
print(*(later - times[0] for later in times[1:]))
"""

MEMORY = """
import sys
import recsys
recsys.open
if len(sys.argv) > 1:
    recommender = recsys.open(sys.argv[1])
    for user_id in sys.argv[2:]:
        recommender.recommend(user_id)
print("ready", flush=True)
sys.stdin.readline()
with open("/proc/self/smaps_rollup") as file:
    kilobytes = {line.split()[0]: int(line.split()[1]) for line in file if line.endswith("kB\\n")}
print(kilobytes["Private_Dirty:"], kilobytes["Private_Clean:"], flush=True)
sys.stdin.readline()
"""


def read_all(store: Path) -> None:
    """Read every file, so that it is in the cache as far as there is room."""
    for path in store.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 24):
                    pass


def starts(store: Path, n_users: int) -> NDArray[np.float64]:
    """Return seconds until recsys was imported, a store open and a list there, median of some."""
    rows = np.random.default_rng(1).integers(n_users, size=N_STARTS + 1).tolist()
    runs = [
        subprocess.check_output([sys.executable, "-c", START, str(store), user_id(row)]).split()
        for row in rows
    ]
    medians: NDArray[np.float64] = np.median(np.array(runs[1:], dtype=np.float64), axis=0)
    return medians  # without the first, which may have compiled


def opening(store: Path) -> float:
    """Return the median seconds of opening a store once more."""
    opened, seconds = [recsys.open(store)], []
    for _ in range(N_OPENINGS):
        start = perf_counter()
        opened.append(recsys.open(store))  # and kept: closing is not measured
        seconds.append(perf_counter() - start)
    return median(seconds)


def private_memory(n_users: int, store: Path | None) -> NDArray[np.float64]:
    """Return the dirty and clean private MB of processes that run at once, one a row."""
    rng = np.random.default_rng(2)
    with ExitStack() as stack:
        processes = []
        for _ in range(N_PROCESSES):
            asked = map(user_id, rng.integers(n_users, size=N_ASKED).tolist())
            more = [] if store is None else [str(store), *asked]
            command = [sys.executable, "-c", MEMORY, *more]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1)
            processes.append(stack.enter_context(process))
        for process in processes:
            told_by(process)  # ready: all have opened the store before any is measured
        found = []
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            found.append(told_by(process).split())
    return np.array(found, dtype=np.float64) * 1024 / 1e6


def told_by(process: subprocess.Popen[str]) -> str:
    """Return the next line of a process, which has to be there."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        sys.exit("a process that was measured has died: see above")
    return line


def costs(store: Path, n_users: int) -> tuple[float, float, float]:
    """Return the median microseconds of a search, of a call, and of the difference."""
    recommender = recsys.open(store)
    content = Content.of(find_version(store))  # mapped anew: the recommender's pages stay unread
    searches: list[float] = []
    calls: list[float] = []
    for place, row in enumerate(np.random.default_rng(3).integers(n_users, size=N_CALLS).tolist()):
        name, users = user_id(row), content.users
        user, seen = users.embeddings[row].copy(), users.seen[row].copy()
        for is_call in (False, True) if place % 2 else (True, False):
            start = perf_counter()
            if is_call:
                recommender.recommend(name, k=K)
            else:
                content.index.search(user, K, seen)
            (calls if is_call else searches).append(perf_counter() - start)
    found = np.array((searches, calls, np.subtract(calls, searches))) * 1e6
    search, call, more = np.median(found, axis=1).tolist()
    return search, call, more


def report(store: Path) -> None:
    """Measure a store that this module made, and print a table."""
    version = find_version(store)
    manifest = version.manifest
    n_bytes = sum(facts.bytes for facts in manifest.files.values())
    print(
        f"\n{manifest.n_users:,} users, {manifest.n_items:,} items, {manifest.factors} factors, "
        f"{manifest.n_seen:,} seen; {n_bytes / 1e9:.2f} GB\n"
    )
    read_all(version.folder)
    print("| what | measured | asked |\n|---|---:|---:|")
    for part in ("users", "items"):
        names = (f"serving/{part}/embeddings.npy", f"serving/{part}/scale.npy")
        kept = sum(manifest.files[name].bytes for name in names if name in manifest.files)
        print_row(f"embeddings of {part} on disk, to be served", f"{kept / 1e6:.1f} MB")
    import_, open_, all_ = starts(store, manifest.n_users)
    print_row("import recsys", f"{import_:.3f} s")
    print_row("recsys.open, in a fresh process", f"{open_ - import_:.3f} s", "under 0.2 s")
    print_row("first recommend", f"{all_ - open_:.4f} s")
    print_row("import, open and first recommend", f"{all_:.3f} s", "under 1 s")
    seconds = in_fresh_process(opening, store)
    print_row("recsys.open, once more", f"{seconds:.4f} s", "under 0.2 s")
    memory_rows(manifest.n_users, store)
    search, call, more = in_fresh_process(costs, store, manifest.n_users)
    print_row(f"index.search, k={K}", f"{search:.1f} us")
    print_row(f"recommend, k={K}", f"{call:.1f} us")
    print_row("recommend beyond index.search", f"{more:.1f} us", "at most 50 us")


def memory_rows(n_users: int, store: Path) -> None:
    """Print the rows of private memory."""
    importing = private_memory(n_users, None)
    serving = private_memory(n_users, store)
    for number, (dirty, clean) in enumerate(serving, start=1):
        parts = f"{dirty + clean:.1f} MB ({dirty:.1f} dirty, {clean:.1f} clean)"
        print_row(f"private memory, process {number} of {N_PROCESSES}", parts, "under 60 MB")
    total, alone = serving.sum(axis=1), importing.sum(axis=1).mean()
    print_row(f"all {N_PROCESSES} together", f"{total.sum():.1f} MB")
    print_row("a process that only imported recsys", f"{alone:.1f} MB")
    print_row(f"added by open and {N_ASKED} recommendations", f"{total.mean() - alone:.1f} MB")


def print_row(what: str, measured: str, asked: str = "") -> None:
    """Print a row."""
    print(f"| {what} | {measured} | {asked} |", flush=True)


def in_fresh_process(work: Callable[..., T], *arguments: Any) -> T:
    """Call a function of this module in a process that has done nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Opening a large store.")
    parser.add_argument("--users", type=int, default=10_000_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--storage", choices=get_args(IndexStorage), default="float32")
    parser.add_argument("--small", action="store_true", help="20 k users, 5 k items")
    parser.add_argument("--store", type=Path, help="of this module; made if it is not there")
    arguments = parser.parse_args()
    n_users, n_items, factors = arguments.users, arguments.items, arguments.factors
    if arguments.small:
        n_users, n_items = 20_000, 5_000
    with tempfile.TemporaryDirectory() as folder:
        store = arguments.store or Path(folder)
        if not (store / "CURRENT").exists():
            store.mkdir(parents=True, exist_ok=True)
            require_space(store, n_users, n_items, factors)
            start = perf_counter()
            make(store, n_users, n_items, factors, arguments.storage)
            print(f"made in {perf_counter() - start:.0f} s", file=sys.stderr)
        report(store)


if __name__ == "__main__":
    main()
