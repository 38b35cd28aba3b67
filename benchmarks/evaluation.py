"""Seconds of a full-ranking evaluation beside the bare matrix product it cannot do without.

    python -m benchmarks.evaluation

It reads the fixed Gowalla split (29,858 users, 40,981
items) from the folder that ``RECSYS_DATA`` names, ``../shared/data`` without it, and evaluates
random embeddings, popularity, and a constant score, which is the worst case of ties.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow.parquet as pq
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from recsys.evaluation import evaluate
from recsys.models import Popularity
from recsys.vectors import Embeddings

FACTORS = 128
BLOCK_USERS = 512
ROUNDS = 3
N_USERS, N_ITEMS = 29_858, 40_981


def read(part: str) -> sp.csr_array:
    folder = Path(os.environ.get("RECSYS_DATA", "../shared/data"))
    table = pq.read_table(folder / "gowalla" / f"{part}.parquet")
    pairs = (table["user"].to_numpy(), table["item"].to_numpy())
    weight = np.ones(len(table), dtype=np.float32)
    return sp.csr_array((weight, pairs), shape=(N_USERS, N_ITEMS))


def best_seconds(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        start = perf_counter()
        work()
        seconds.append(perf_counter() - start)
    return min(seconds)


def bare_product(embeddings: Embeddings) -> None:
    """Score all pairs in the blocks of `evaluate`, each core its own, and keep nothing."""
    n_threads = os.cpu_count() or 1
    buffers = [np.empty((BLOCK_USERS, N_ITEMS), dtype=np.float32) for _ in range(n_threads)]

    def score(block: int) -> None:
        users = embeddings.users[block * BLOCK_USERS : (block + 1) * BLOCK_USERS]
        np.matmul(users, embeddings.items.T, out=buffers[block % n_threads][: len(users)])

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(score, range(-(-N_USERS // BLOCK_USERS))))


def random_embeddings() -> Embeddings:
    rng = np.random.default_rng(0)
    return Embeddings(
        users=rng.standard_normal((N_USERS, FACTORS), dtype=np.float32),
        items=rng.standard_normal((N_ITEMS, FACTORS), dtype=np.float32),
    )


def main() -> None:
    train, test = read("train"), read("test")
    random, popularity = random_embeddings(), Popularity().fit(train)
    constant = Embeddings(users=popularity.users, items=np.ones_like(popularity.items))
    product = best_seconds(partial(bare_product, random))
    print(f"matrix product alone, {FACTORS} factors   {product:6.2f} s")
    for k in (20, 100):
        seconds = best_seconds(partial(evaluate, random, train, test, k))
        print(f"evaluate, k = {k:<3}                   {seconds:6.2f} s   {seconds / product:.2f}x")
    for name, embeddings in (("popularity", popularity), ("constant", constant)):
        seconds = best_seconds(partial(evaluate, embeddings, train, test))
        print(f"evaluate {name + ', k = 20':<20}      {seconds:6.2f} s")
    print(f"\npopularity on the fixed split:\n{evaluate(popularity, train, test)}")


if __name__ == "__main__":
    main()
