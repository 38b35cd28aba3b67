"""Lists for all users of a generated log of 20 M interactions, ours and implicit's.

    python -m benchmarks.batch
    python -m benchmarks.batch --interactions 1000000     # a look in seconds

Both have the same ALS embeddings with 64 factors and leave out what the users have seen; both use
all cores. implicit returns arrays; ours are measured as such, and again as Parquet files with ids,
under a bound on memory.
"""

import argparse
import resource
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from benchmarks.worlds import tasteful_matrix
from recsys.models import ALS, parameters_of
from recsys.models.protocol import popularity_of
from recsys.serving import Recommender, write_batch
from recsys.serving import open as open_store
from recsys.settings import IndexSettings
from recsys.store import ModelSpec, Release, publish
from recsys.vectors import Embeddings, Ids

T = TypeVar("T")
K = 20
MEMORY_BYTES = 256 * 1024**2


def served(user_items: sp.csr_array, embeddings: Embeddings, folder: Path) -> Recommender:
    """Publish the embeddings and open them."""
    als = ALS(factors=embeddings.factors)
    release = Release(
        embeddings=embeddings,
        users=Ids(range(user_items.shape[0])),
        items=Ids(range(user_items.shape[1])),
        seen=user_items,
        popularity=popularity_of(user_items),
        model=ModelSpec(als.name, parameters_of(als)),
    )
    publish(folder, release, IndexSettings(kind="exact", similar_users=False))
    return open_store(folder)


def implicit_scores(user_items: sp.csr_array, embeddings: Embeddings) -> np.ndarray:
    """Return the scores of implicit's lists, (n_users, K)."""
    from implicit.cpu.als import AlternatingLeastSquares

    peer = AlternatingLeastSquares(embeddings.factors)
    peer.user_factors, peer.item_factors = embeddings.users, embeddings.items
    users = np.arange(user_items.shape[0])
    with threadpool_limits(1, user_api="blas"):  # as it asks for; its own threads take users
        scores: np.ndarray = peer.recommend(users, sp.csr_matrix(user_items), N=K)[1]
    return scores


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds of some work, and what it returns."""
    start = perf_counter()
    result = work()
    return perf_counter() - start, result


def peak_bytes() -> int:
    """Return the most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def compare(n_interactions: int) -> None:
    """Print the table."""
    user_items = tasteful_matrix(n_interactions)
    embeddings = ALS().fit(user_items)
    n_users, n_items = user_items.shape
    print(f"{n_users:,} users, {n_items:,} items, 64 factors, lists of {K}\n")
    print("| what | seconds | users a second |\n|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        recommender = served(user_items, embeddings, Path(folder, "store"))
        user_ids = recommender.user_vectors.ids.tolist()
        recommender.recommend_many(user_ids[:1000], K)
        ours, batch = timed(lambda: recommender.recommend_many(user_ids, K))
        print(f"| recommend_many | {ours:.2f} | {n_users / ours:,.0f} |", flush=True)
        before = peak_bytes()
        write, _ = timed(
            lambda: write_batch(recommender, Path(folder, "out"), K, memory_bytes=MEMORY_BYTES)
        )
        grown = (peak_bytes() - before) / 1024**2
        print(f"| write_batch, into Parquet | {write:.2f} | {n_users / write:,.0f} |", flush=True)
    if find_spec("implicit") is None:
        print("implicit is not installed: skipped")
        return
    theirs, scores = timed(lambda: implicit_scores(user_items, embeddings))
    print(f"| implicit.recommend | {theirs:.2f} | {n_users / theirs:,.0f} |")
    found = batch.lists.is_personal
    difference = np.abs(batch.lists.scores[found] - scores[found]).max() if found.any() else 0.0
    print(f"\nimplicit takes {theirs / ours:.1f} times as long; scores differ by {difference:.1e};")
    print(f"write_batch grew the peak by {grown:.0f} MB of the {MEMORY_BYTES >> 20} it may take")


def main() -> None:
    """Compare what the command line asks for."""
    parser = argparse.ArgumentParser(description="Lists for all users, ours and implicit's.")
    parser.add_argument("--interactions", type=int, default=20_000_000)
    compare(parser.parse_args().interactions)


if __name__ == "__main__":
    main()
