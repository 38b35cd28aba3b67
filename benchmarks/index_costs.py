"""Fit the constants of the index's cost model to the times of queries.

    python -m benchmarks.index --costs --factors 32 64 128 256    # those in use; minutes
    python -m benchmarks.index --costs --items 1000000            # of what is generated

Every world is searched exactly and with forests of several heads, for lists of 20 and of 100, with
few and with many candidates. The time of a query is its best of five rounds over all queries, so
that what else the machine does is left out, and what a query reads is as cold as in serving.
The constants are those of least relative error, none below zero. For each kind of search, the
median by the model is printed next to that by the stopwatch: most are within a tenth, and a search
of thousands of candidates in a large forest, which no index chooses, takes up to a third longer.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmarks.index_worlds import World
from recsys.index import LONG, SHORT, Searcher
from recsys.index.calibration import COSTS, CostModel, bytes_of
from recsys.index.clusters import cluster_items
from recsys.index.compiled import COUNTED
from recsys.index.forest import FOREST, build_forest, open_forest
from recsys.index.quantized import PER_BLOCK

ROUNDS = 5
TREES = 20
HEAD_SHARES = (0.5, 0.125, 0.0)
SEARCH_K = (32, 256, 2048)
N_CLUSTERS = (2, 8, 32)


class Timed(NamedTuple):
    """Queries of one kind: their work, (n, 10), and the best time of each in nanoseconds."""

    world: World
    search: str
    k: int
    work: NDArray[np.int64]
    nanoseconds: NDArray[np.float64]


def fit(worlds: Iterator[World]) -> None:
    """Time queries of all worlds, and print the constants and how well they fit."""
    timed = [one for world in worlds for one in times_of(world)]
    found = fitted(timed)
    print("\n| world | search | k | stopwatch us | fitted us | in use us |")
    print("|---|---|---:|---:|---:|---:|")
    for one in timed:
        factors = one.world.items.shape[1]
        costs = [model.nanoseconds(one.work, factors) for model in (found, COSTS)]
        medians = [float(np.median(time)) / 1000 for time in (one.nanoseconds, *costs)]
        cells = " | ".join(f"{median:.1f}" for median in medians)
        print(f"| {one.world.name} | {one.search} | {one.k} | {cells} |")
    print("\nfitted (and in use), in nanoseconds:")
    for field in fields(CostModel):
        print(f"  {field.name} = {getattr(found, field.name):.4g} ({getattr(COSTS, field.name):g})")


def times_of(world: World) -> Iterator[Timed]:
    """Time one kind of search after the other."""
    for search, index in searchers(world):
        for k in (SHORT, LONG):
            users, seen = world.others.users, world.others.seen
            work = np.empty((len(users), len(COUNTED)), dtype=np.int64)
            best = np.full(len(users), np.inf)
            for _ in range(ROUNDS):
                for number, (user, excluded) in enumerate(zip(users, seen, strict=True)):
                    start = perf_counter()
                    index.search(user, k, excluded)
                    best[number] = min(best[number], perf_counter() - start)
                    work[number] = index.last_work()
            yield Timed(world, search, k, work, 1e9 * best)


def searchers(world: World) -> Iterator[tuple[str, Searcher]]:
    """Yield an exact search, one of clusters, and those of several forests."""
    exact = Searcher.of(world.items)
    yield "exact", exact
    codes, clusters = cluster_items(world.items, None, 0)
    clustered = Searcher(world.items, codes, clusters=clusters)
    yield "all clusters", clustered
    for n in N_CLUSTERS:
        yield f"{n} clusters", clustered.with_limits(dict.fromkeys((SHORT, LONG), n))
    with tempfile.TemporaryDirectory() as folder:
        for share in HEAD_SHARES:
            n_head = int(share * len(world.items)) // PER_BLOCK * PER_BLOCK
            path = Path(folder) / f"{n_head}-{FOREST}"
            build_forest(world.items, exact.codes, path, n_head=n_head, trees=TREES, seed=0)
            forest = open_forest(path, *world.items.shape)
            for search_k in SEARCH_K:
                candidates = dict.fromkeys((SHORT, LONG), search_k)
                index = Searcher(world.items, exact.codes, forest, candidates)
                yield f"head {share:.1%}, search_k {search_k}", index


def fitted(timed: list[Timed]) -> CostModel:
    """Return the constants of least relative error, none below zero."""
    rows = np.concatenate([columns_of(one) for one in timed])
    times = np.concatenate([one.nanoseconds for one in timed])
    constants, _ = nnls(rows / times[:, None], np.ones(len(times)))
    return CostModel(*constants.tolist())


def columns_of(one: Timed) -> NDArray[np.float64]:
    """Return what each constant is multiplied by, (n, 13)."""
    code_bytes, vector_bytes, lead_bytes = bytes_of(one.world.items.shape[1])
    counts = one.work.T.astype(np.float64)
    masked, excluded, blocks, hits, nodes, vectors, listed, centers, probed, leads = counts
    return np.column_stack(
        (
            *(np.ones(len(blocks)), masked, excluded, blocks, code_bytes * blocks, hits),
            *(nodes, vectors, vector_bytes * (nodes + vectors), listed),
            *(vector_bytes * centers, probed, lead_bytes * leads),
        )
    )
