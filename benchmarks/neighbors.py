"""The time of all item-item neighbours, ours and implicit's in turn, and what both reach.

python -m benchmarks.neighbors               # Gowalla, 100 neighbours, all usable cores
"""

import argparse
from collections.abc import Callable
from functools import partial
from os import getloadavg
from statistics import median
from time import perf_counter
from typing import Any

import scipy.sparse as sp

from benchmarks.splits import SPLITS
from recsys.base.environment import usable_cores
from recsys.evaluation import Scorer, evaluate
from recsys.models import KNN, ItemToItem
from recsys.models.neighbors import Weighting


def seconds(fit: Callable[[], object]) -> float:
    """Return the seconds of a fit."""
    start = perf_counter()
    fit()
    return perf_counter() - start


def peer(user_items: sp.csr_array, knn: KNN) -> ItemToItem:
    """Return implicit's neighbours with the same hyperparameters."""
    from implicit import nearest_neighbours as theirs

    recommenders: dict[Weighting, Callable[[], Any]] = {
        "bm25": lambda: theirs.BM25Recommender(knn.neighbors, K1=knn.k1, B=knn.b),
        "tfidf": lambda: theirs.TFIDFRecommender(knn.neighbors),
        "cosine": lambda: theirs.CosineRecommender(knn.neighbors),
    }
    recommender = recommenders[knn.weighting]()
    recommender.fit(sp.csr_matrix(user_items), show_progress=False)
    return ItemToItem(user_items, sp.csr_array(recommender.similarity).astype("float32"))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Item-item neighbours.")
    parser.add_argument("--log", choices=list(SPLITS), default="gowalla")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    parts = SPLITS[arguments.log]()
    user_items = parts.fit.user_items()

    def ndcg(scorer: Scorer) -> float:
        return evaluate(scorer, parts.fit, parts.validation).metrics["ndcg@20"]

    KNN().fit(user_items[:100])  # compiles
    print(f"{arguments.log}, {user_items.nnz:,} pairs, {usable_cores()} cores, load {getloadavg()}")
    print("| weighting | ours s | implicit s | ratio | ndcg@20 on validation: ours | implicit |")
    print("|---|---:|---:|---:|---|---|")
    for weighting in ("bm25", "tfidf", "cosine"):
        knn = KNN(weighting=weighting)
        runs = [
            (seconds(partial(knn.fit, user_items)), seconds(partial(peer, user_items, knn)))
            for _ in range(arguments.runs)
        ]
        ours, theirs = (median(times) for times in zip(*runs, strict=True))
        reached = f"{ndcg(knn.fit(user_items)):.4f} | {ndcg(peer(user_items, knn)):.4f}"
        print(f"| {weighting} | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} | {reached} |")


if __name__ == "__main__":
    main()
