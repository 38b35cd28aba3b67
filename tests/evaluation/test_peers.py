"""Our metrics against those of implicit, ranx and RecTools, on the same rankings.

Where definitions differ, the test states the exact relation.
"""

import json
import subprocess
from pathlib import Path

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from recsys.evaluation import evaluate
from recsys.vectors import Embeddings

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
N_USERS, N_ITEMS, K = 60, 90, 5
N_OTHERS = 70  # neither seen nor relevant, for every user: RecTools' AUC needs one number


@pytest.fixture(scope="module")
def world():
    """Users with 1 to 10 relevant items, fewer and more than k; every item is in train."""
    rng = np.random.default_rng(0)
    train, test = np.zeros((2, N_USERS, N_ITEMS), dtype=np.float32)
    for user in range(N_USERS):
        own = rng.permutation(N_ITEMS)[: N_ITEMS - N_OTHERS]
        n_relevant = 1 + user % 10
        test[user, own[:n_relevant]] = 1
        train[user, own[n_relevant:]] = 1
    assert (train.sum(axis=0) > 0).all()
    vectors = [rng.standard_normal((n, 8), dtype=np.float32) for n in (N_USERS, N_ITEMS)]
    vectors[0] += 2 * test @ vectors[1]  # so that lists have hits
    return Embeddings(*vectors), sp.csr_array(train), sp.csr_array(test)


@pytest.fixture(scope="module")
def ours(world):
    found = evaluate(*world, k=K)
    assert 0.2 < found.metrics[f"recall@{K}"] < 0.8
    return found


def means(evaluation, *names: str) -> dict[str, float]:
    return {name: evaluation.metrics[f"{name}@{K}"] for name in names}


def rankings(world) -> np.ndarray:
    """All unseen items of each user by score, best first, -1 behind them."""
    embeddings, train, _ = world
    scores = embeddings.users @ embeddings.items.T
    scores[train.toarray() > 0] = -np.inf
    order = np.argsort(-scores, axis=1)
    return np.where(np.isneginf(np.take_along_axis(scores, order, axis=1)), -1, order)


def test_implicit(world, ours) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.evaluation import ranking_metrics_at_k

    embeddings, train, test = world
    with threadpool_limits(1, "blas"):  # implicit warns of more
        model = AlternatingLeastSquares(factors=8, num_threads=1)
    model.user_factors, model.item_factors = embeddings.users, embeddings.items
    matrices = sp.csr_matrix(train), sp.csr_matrix(test)
    theirs = ranking_metrics_at_k(model, *matrices, K=K, show_progress=False, num_threads=1)
    assert means(ours, "map", "ndcg") == pytest.approx({n: theirs[n] for n in ("map", "ndcg")})

    n_relevant, n_seen = np.diff(test.indptr), np.diff(train.indptr)
    per_user = {name: ours.per_user[f"{name}@{K}"] for name in ("recall_capped", "truncated_auc")}
    reachable = np.minimum(K, n_relevant)
    capped = np.average(per_user["recall_capped"], weights=reachable)
    assert capped == pytest.approx(theirs["precision"])

    # Seen items are others too, which no list holds: a hit is above each, and half of the rest.
    n_hits = per_user["recall_capped"] * reachable
    right = per_user["truncated_auc"] * n_relevant * N_OTHERS + (n_hits + n_relevant) / 2 * n_seen
    areas = right / (n_relevant * (N_OTHERS + n_seen))
    assert areas.mean() == pytest.approx(theirs["auc"])


def test_ranx(world, ours, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its code as Python runs it: to compile it takes forty seconds, and 60 users a twentieth.
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    import ranx

    relevant = {
        f"u{user:03}": {f"i{item}": 1 for item in row.nonzero()[0]}
        for user, row in enumerate(world[2].toarray())
    }
    lists = {
        f"u{user:03}": {f"i{item}": 1 / (place + 1) for place, item in enumerate(row) if item >= 0}
        for user, row in enumerate(rankings(world))
    }
    names = ["recall", "precision", "ndcg", "mrr", "hit_rate", "map"]
    asked = [f"{name}@{K}" for name in names]
    theirs = ranx.evaluate(ranx.Qrels(relevant), ranx.Run(lists), asked, return_mean=False)
    for name in ("recall", "precision", "ndcg", "mrr", "hit_rate"):
        np.testing.assert_allclose(ours.per_user[f"{name}@{K}"], theirs[f"{name}@{K}"], rtol=1e-12)

    # ranx divides by all relevant items, we by those that a list of k can hold.
    n_relevant = np.diff(world[2].indptr)
    averages = ours.per_user[f"map@{K}"] * np.minimum(K, n_relevant) / n_relevant
    np.testing.assert_allclose(averages, theirs[f"map@{K}"], rtol=1e-12)


def rectools(world, folder: Path) -> dict[str, float]:
    """Give RecTools the whole rankings; each of its metrics takes the first k."""
    if not PEERS.exists():
        pytest.skip("no .venv-peers: `make peers` makes it, and `make test` before the tests")
    embeddings, train, test = world
    for name, matrix in (("train", train), ("test", test)):
        user, item = matrix.nonzero()
        pq.write_table(pa.table({"user": user, "item": item}), folder / f"{name}.parquet")
    ranking = rankings(world)
    user, place = np.nonzero(ranking >= 0)
    lists = pa.table({"user": user, "item": ranking[user, place], "rank": place + 1})
    pq.write_table(lists, folder / "lists.parquet")
    vectors = pa.table({"embedding": list(embeddings.items)})
    pq.write_table(vectors, folder / "items.parquet")
    program = [PEERS, "-I", ROOT / "benchmarks" / "rectools_peer.py", folder, str(K)]
    options = ["--n-items", str(N_ITEMS), "--others", str(N_OTHERS)]
    options += ["--diversity", str(N_USERS)]
    subprocess.run([*program, *options], check=True)
    return json.loads((folder / "found.json").read_text())["metrics"]


def test_rectools(world, ours, tmp_path: Path) -> None:
    theirs = rectools(world, tmp_path)
    names = ["recall", "recall_capped", "precision", "ndcg", "mrr", "hit_rate"]
    names += ["coverage", "novelty"]
    assert means(ours, *names) == pytest.approx({name: theirs[name] for name in names}, rel=1e-9)
    assert ours.metrics["auc"] == pytest.approx(theirs["auc"], rel=1e-9)
    assert ours.metrics[f"diversity@{K}"] == pytest.approx(theirs["diversity"], rel=1e-5)

    n_relevant = np.diff(world[2].indptr)
    averages = ours.per_user[f"map@{K}"] * np.minimum(K, n_relevant) / n_relevant
    assert averages.mean() == pytest.approx(theirs["map"], rel=1e-9)
