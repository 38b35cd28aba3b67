"""The index compared to its peers: recall of lists of 20 and 100, query and build time, memory.

    python -m benchmarks.index                       # all worlds and peers; hours on two cores
    python -m benchmarks.index --only gowalla --factors 64
    python -m benchmarks.index --only million        # a generated log, and vectors in clusters, of
                                                     # several lengths and of one, each alone as
                                                     # "generated", "flat" and "units"
    python -m benchmarks.index --only flat --peers annoy "faiss hnsw"
    python -m benchmarks.index --only million --items 20000 --users 200   # a look in a minute
    python -m benchmarks.index --only units --targets    # "auto" at four target recalls
    python -m benchmarks.index --conditions --only gowalla --users 200   # lists under conditions
    python -m benchmarks.index --costs               # fit the cost model that ours is chosen by

Queries are users of the log, one at a time, and what they have seen is left out, as in serving.
Peers that cannot do that are asked for as many more items as the user has seen, and those are then
dropped in NumPy; this is what serving with them takes, so it counts as their time.

Every index has a process to itself and answers with one thread. Over Gowalla it is built with one
too (but for implicit's AnnoyModel, which takes all), over a million items with all cores where it
can use them; ours is built with one always, and chooses its settings meanwhile, on other users
than those it is then asked for. Recall is by score: whatever scores as much as the last of the
exact list, but for a millionth of the first, is no miss. Times are of single calls from Python.
"index MB" is all that queries read, as files, the float32 items included, which ours, NumPy and
implicit read where they are; "resident MB" is what the process grew by until after the queries,
again with the items. Peers come with the extra "bench"; one that is not installed is skipped with
a word.
"""

import argparse
import ctypes
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.index_conditions import Condition, conditions_of, row_of
from benchmarks.index_costs import fit
from benchmarks.index_peers import ANNOY, PEERS, Built, Contender, Rows, timed
from benchmarks.index_worlds import Query, World, exact_scores, n_hits, queries_of, worlds
from recsys.errors import GateFailedError
from recsys.index import (
    LONG,
    SHORT,
    Allowed,
    Index,
    Searcher,
    build_index,
    load_index,
)
from recsys.settings import IndexKind, IndexSettings

TARGET = 0.98


@dataclass(frozen=True, eq=False)
class Measured:
    """An index with one setting: recall and seconds of every query, by length of the list."""

    index: str
    setting: str
    recall: dict[int, float]
    seconds: dict[int, NDArray[np.float64]]

    def __str__(self) -> str:
        recalls = [f"{self.recall[k]:.4f}" for k in (SHORT, LONG)]
        times = [f"{self.microseconds(k, q):.0f}" for k in (SHORT, LONG) for q in (50, 99)]
        return " | ".join([self.index, self.setting, *recalls, *times])

    def microseconds(self, k: int = LONG, percentile: float = 50) -> float:
        """Return a percentile of the time per query."""
        return 1e6 * float(np.percentile(self.seconds[k], percentile))

    def brief(self) -> str:
        """Return name, setting and time of a long list."""
        setting = f" ({self.setting})" if self.setting else ""
        return f"{self.index}{setting} {self.microseconds():.0f} us"


def our_version(kind: IndexKind, world: World, folder: Path, target: float = TARGET) -> Built:
    """Build and open an index as a version has it: calibrated, and memory-mapped."""
    settings = IndexSettings(kind=kind, target_recall=target)
    summary = build_index(world.items, world.others, settings, folder)
    note = "" if kind == "exact" else "chose the exact one"
    if summary.clusters is not None:
        search_k = " / ".join(map(str, summary.clusters.search_k.values()))
        note = f"{summary.clusters.n_clusters} clusters, scanned {search_k}"
    if summary.forest is not None:
        search_k = " / ".join(map(str, summary.forest.search_k.values()))
        note = f"head {summary.forest.head_share:.1%}, search_k {search_k}"
    return _ours(load_index(world.items, folder, summary), note)


def _ours(index: Index, note: str) -> Built:
    prepared: dict[int, Allowed] = {}  # by filter, as serving keeps those of its conditions

    def ask(query: Query, k: int, _value: int) -> Rows:
        wanted = query.filter
        if wanted is not None and id(wanted) not in prepared:
            prepared[id(wanted)] = index.allow(wanted.is_allowed)
        return index.search(query.user, k, query.seen, prepared.get(id(wanted)))[0]

    return Built(ask, None, note, reads_items=True)


OURS: dict[str, Contender] = {
    "recsys exact": Contender("recsys.index", partial(our_version, "exact")),
    "recsys annoy": Contender("recsys.index", partial(our_version, "annoy")),
    "recsys auto": Contender("recsys.index", partial(our_version, "auto")),
}
TARGETS: dict[str, Contender] = {
    f"recsys auto {target}": Contender("recsys.index", partial(our_version, "auto", target=target))
    for target in (0.99, 0.995, 0.999)
}
OURS |= TARGETS


def compare(world: World, names: list[str]) -> None:
    """Print one table for one world, and how we stand."""
    print(f"\n{world.name}: {len(world.asked):,} queries over {len(world.items):,} items\n")
    print(
        "| index | setting | recall@20 | recall@100 | p50 us @20 | p99 us @20 | p50 us @100 "
        "| p99 us @100 | build s | index MB | resident MB |"
    )
    print(f"|---|---|{'---:|' * 9}", flush=True)
    best = exact_scores(world.items, queries_of(world))
    found: list[Measured] = []
    for name in names:
        package = (OURS | PEERS)[name].module.partition(".")[0]
        if find_spec(package) is None:
            print(f"| {name} | not installed |{' |' * 9}", flush=True)
            continue
        print(f"{world.name}: {name}, {world.n_threads} threads to build", file=sys.stderr)
        try:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                found += process.submit(measure, name, world, best).result()
        except BrokenProcessPool:
            print(f"| {name} | its process died, of memory perhaps |{' |' * 9}", flush=True)
    print(f"\n{standing(found)}", flush=True)


def compare_conditions(world: World, names: list[str]) -> None:
    """Print a table of recall and time of one world under conditions."""
    conditions = conditions_of(world)
    print(f"\n{world.name}: {len(world.asked):,} queries, recall / p50 us of lists of 20\n")
    print(f"| index | setting | {' | '.join(one.name for one in conditions)} |")
    print(f"|---|---|{'---:|' * len(conditions)}", flush=True)
    for name in names:
        if find_spec((OURS | PEERS)[name].module.partition(".")[0]) is None:
            print(f"| {name} | not installed |{' |' * len(conditions)}", flush=True)
            continue
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            print(process.submit(measure_conditions, name, world, conditions).result(), flush=True)


def measure_conditions(name: str, world: World, conditions: list[Condition]) -> str:
    """Build an index in this process, and return its row under conditions."""
    contender = (OURS | PEERS)[name]
    with tempfile.TemporaryDirectory() as folder:
        with threadpool_limits(world.n_threads):
            built = contender.build(world, Path(folder))
        return row_of(name, contender, built, world.items, conditions)


def measure(name: str, world: World, best: NDArray[np.float64]) -> list[Measured]:
    """Build an index in this process, and print a row for each of its settings."""
    contender = (OURS | PEERS)[name]
    import_module(contender.module)
    Searcher.of(world.items[:100]).search(world.items[0], 1, world.asked.seen[0][:0])  # compiles
    queries = queries_of(world)
    before = resident_bytes()
    with tempfile.TemporaryDirectory() as folder:
        start = perf_counter()
        try:
            with threadpool_limits(world.n_threads):
                built = contender.build(world, Path(folder))
        except GateFailedError as error:
            print(f"| {name} | refused: {error} |{' |' * 9}", flush=True)
            return []
        seconds = perf_counter() - start
        n_shared = world.items.nbytes if built.reads_items else 0
        n_bytes = n_shared + saved_bytes(built, Path(folder))
        rows = []
        for value in contender.values:
            setting = f"{contender.setting} {value}" if contender.setting else built.note
            rows.append(asked(name, setting, built, value, world, queries, best))
            resident = n_shared + resident_bytes() - before
            sizes = f"{seconds:.1f} | {n_bytes / 1e6:.0f} | {resident / 1e6:.0f}"
            print(f"| {rows[-1]} | {sizes} |", flush=True)
    return rows


def asked(
    name: str,
    setting: str,
    built: Built,
    value: int,
    world: World,
    queries: list[Query],
    best: NDArray[np.float64],
) -> Measured:
    """Ask every query for both lengths of list."""
    recall, seconds = {}, {}
    for k in (SHORT, LONG):
        lists, times = timed(built.ask, queries, k, value)
        hits = sum(map(partial(n_hits, world.items), lists, queries, best[:, :k]))
        recall[k], seconds[k] = hits / (k * len(queries)), np.array(times)
    return Measured(name, setting, recall, seconds)


def saved_bytes(built: Built, folder: Path) -> int:
    """Return the bytes of the files of an index."""
    if built.save is not None:
        built.save(str(folder / "index"))
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def resident_bytes() -> int:
    """Return the memory of this process, without what it has freed but not returned."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def standing(found: list[Measured]) -> str:
    """Compare our fastest index that reaches the target with Annoy and the fastest peer."""
    reach = [row for row in found if row.recall[LONG] >= TARGET]
    ours = min((row for row in reach if row.index in OURS), key=Measured.microseconds, default=None)
    if ours is None:
        return f"None of ours reaches recall@{LONG} of {TARGET}."
    clauses = [f"p50@{LONG} at recall@{LONG} of {TARGET}: {ours.brief()}"]
    annoy = [row for row in reach if row.index == ANNOY]
    if annoy:
        clauses.append(f"{annoy[0].brief()}, {annoy[0].microseconds() / ours.microseconds():.1f} x")
    elif any(row.index == ANNOY for row in found):
        clauses.append(f"{ANNOY} never reaches it")
    peers = [row for row in reach if row.index in PEERS]
    if peers:
        peer = min(peers, key=Measured.microseconds)
        ratio = peer.microseconds() / ours.microseconds()
        clauses.append(f"the fastest peer is {peer.brief()}, {ratio:.1f} x")
    return "; ".join(clauses)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="The index compared to its peers.")
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 128], help="of Gowalla")
    parser.add_argument("--only", choices=("gowalla", "million", "generated", "flat", "units"))
    parser.add_argument("--users", type=int, default=1000, help="queries")
    parser.add_argument("--items", type=int, help="of what is generated")
    parser.add_argument("--peers", nargs="+", metavar="NAME", help="those with it in their names")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--targets", action="store_true", help='"auto" also at .99, .995, .999')
    parser.add_argument("--conditions", action="store_true", help="recall and time under each")
    parser.add_argument("--costs", action="store_true", help="fit the cost model, and end")
    arguments = parser.parse_args()
    if arguments.costs:
        n_items = arguments.items or 100_000
        fit(worlds(arguments.only, arguments.factors, n_items, arguments.users))
        return
    wanted = [""] if arguments.peers is None else [name.lower() for name in arguments.peers]
    for part in wanted:
        if not any(part in name.lower() for name in PEERS):
            parser.error(f"--peers: expected parts of {', '.join(PEERS)}, got {part}")
    peers = [name for name in PEERS if any(part in name.lower() for part in wanted)]
    ours = [name for name in OURS if arguments.targets or name not in TARGETS]
    names = [*ours, *([] if arguments.no_peers else peers)]
    n_items = arguments.items or 1_000_000
    for world in worlds(arguments.only, arguments.factors, n_items, arguments.users):
        (compare_conditions if arguments.conditions else compare)(world, names)


if __name__ == "__main__":
    main()
