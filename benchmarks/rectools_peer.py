"""RecTools on data in a folder: lists by its ranker and metrics by its `calc_metrics`, with times.

    .venv-peers/bin/python benchmarks/rectools_peer.py FOLDER K --n-items N [options]

Runs in the environment of ``make peers`` and imports nothing of ours. The folder holds
``train.parquet`` and ``test.parquet`` (user, item) and either ``lists.parquet`` (user, item, rank)
or the vectors that make the lists, ``users.parquet`` and ``items.parquet`` (embedding). Diversity
needs ``items.parquet``, and so much time and memory that only some users may get it. Writes
``found.json``: metrics, and seconds by the clock and of processor time, without reading and
writing.
"""

import argparse
import json
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rectools import Columns, metrics
from rectools.models.rank import Distance, ImplicitRanker
from scipy import sparse

Seconds = tuple[float, float]


def now() -> Seconds:
    return perf_counter(), process_time()


def since(start: Seconds) -> Seconds:
    clock, processor = now()
    return clock - start[0], processor - start[1]


class CosineDistances(metrics.PairwiseDistanceCalculator):  # type: ignore[misc]
    """1 less the cosine of two items."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def _get_distances_for_item_pairs(self, items_0: Any, items_1: Any) -> Any:
        first, second = (
            self.directions[np.asarray(part, dtype=int)] for part in (items_0, items_1)
        )
        return 1 - np.einsum("pf,pf->p", first, second)


def read_pairs(path: Path) -> Any:
    names = {"user": Columns.User, "item": Columns.Item, "rank": Columns.Rank}
    return pq.read_table(path).to_pandas().rename(columns=names)


def read_vectors(path: Path) -> NDArray[np.float32]:
    column = pq.read_table(path)["embedding"].combine_chunks()
    vectors: NDArray[np.float32] = column.flatten().to_numpy().reshape(len(column), -1)
    return vectors


def rank(folder: Path, train: pd.DataFrame, test: pd.DataFrame, k: int) -> tuple[Any, Seconds]:
    """Return the lists of the users of test, without what they have in train, and the seconds."""
    users, items = (read_vectors(folder / f"{name}.parquet") for name in ("users", "items"))
    ones = np.ones(len(train), dtype=np.float32)
    pairs = (train[Columns.User], train[Columns.Item])
    seen = sparse.csr_matrix((ones, pairs), shape=(len(users), len(items)))
    start = now()
    asked = np.sort(test[Columns.User].unique())
    ranker = ImplicitRanker(Distance.DOT, users, items)
    user, item, _ = ranker.rank(asked, k, filter_pairs_csr=seen[asked])
    lists = pd.DataFrame({Columns.User: user, Columns.Item: item})
    lists[Columns.Rank] = lists.groupby(Columns.User, sort=False).cumcount() + 1
    return lists, since(start)


def asked_metrics(k: int, others: int | None) -> dict[str, Any]:
    found = {
        "recall": metrics.Recall(k),
        "precision": metrics.Precision(k),
        "recall_capped": metrics.Precision(k, r_precision=True),
        "ndcg": metrics.NDCG(k, divide_by_achievable=True),
        "map": metrics.MAP(k),
        "mrr": metrics.MRR(k),
        "hit_rate": metrics.HitRate(k),
        "novelty": metrics.MeanInvUserFreq(k),
        "serendipity": metrics.Serendipity(k),
        "popularity": metrics.AvgRecPopularity(k),
        "coverage": metrics.CatalogCoverage(k, normalize=True),
    }
    if others is not None:
        found["auc"] = metrics.PartialAUC(others)
    return found


def diversity(folder: Path, k: int, lists: pd.DataFrame, n_users: int) -> tuple[float, Seconds]:
    """Return the mean diversity of the lists of the first users, and the seconds."""
    distances = CosineDistances(read_vectors(folder / "items.parquet"))
    lists = lists[lists[Columns.User].isin(lists[Columns.User].unique()[:n_users])]
    start = now()
    value = float(metrics.IntraListDiversity(k, distances).calc(lists))
    return value, since(start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("k", type=int)
    parser.add_argument("--diversity", type=int, default=0, help="users to compute it for")
    parser.add_argument("--others", type=int, help="items neither seen nor relevant, for the AUC")
    parser.add_argument("--n-items", type=int, required=True)
    given = parser.parse_args()
    train, test = (read_pairs(given.folder / f"{part}.parquet") for part in ("train", "test"))
    path, rank_seconds = given.folder / "lists.parquet", (0.0, 0.0)
    if path.exists():
        lists = read_pairs(path)
    else:
        lists, rank_seconds = rank(given.folder, train, test, given.k)
    asked = asked_metrics(given.k, given.others)
    start = now()
    values = metrics.calc_metrics(asked, lists, test, train, catalog=range(given.n_items))
    seconds = {"rank": rank_seconds, "metrics": since(start)}
    if given.diversity:
        found = diversity(given.folder, given.k, lists, given.diversity)
        values["diversity"], seconds["diversity"] = found
    content = {
        "metrics": {name: float(value) for name, value in values.items()},
        "seconds": seconds,
    }
    (given.folder / "found.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main()
