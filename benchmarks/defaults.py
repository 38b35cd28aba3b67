"""What a log gets when no model is named, beside the best of each kind and peers, on the test part.

    RECSYS_DATA=... python -m benchmarks.defaults                      # all logs, some minutes each
    RECSYS_DATA=... python -m benchmarks.defaults "steam purchases"    # one of them
    RECSYS_DATA=... python -m benchmarks.defaults gowalla --work 4     # with more to try

ndcg@20 with half its 95 % interval over users. The model is chosen on the validation part, as
`recsys train` does, then fitted to all of train; so are the best of each kind that the choice has
tried, and implicit's BM25, TF-IDF and ALS with alpha 10 as their users begin with them.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from os import getloadavg
from time import process_time
from typing import Any

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from benchmarks.machine import data_folder
from benchmarks.neighbors import peer
from benchmarks.splits import SPLITS, Parts, with_validation
from recsys.evaluation import Scorer, evaluate
from recsys.logs import read_log
from recsys.models import ALS, KNN
from recsys.settings import AutoSettings
from recsys.splits import split_random
from recsys.training import MOST_USERS_OF_CHOICE
from recsys.tuning import Task, choose
from recsys.vectors import Embeddings

_METRIC = "ndcg@20"
_PEERS = "implicit BM25", "implicit TF-IDF", "implicit ALS 64"


def at_random(path: str, columns: dict[str, str], **reading: Any) -> Parts:
    """Return a log without time: a random fifth of each user's items is the test part."""
    log = read_log(data_folder() / path, columns=columns, **reading)
    return with_validation(*split_random(log, test_fraction=0.2, seed=0))


_STEAM = partial(at_random, "steam-200k/events.parquet", {"event": "event_type"})
LOGS: dict[str, Callable[[], Parts]] = {
    **{name: SPLITS[name] for name in ("gowalla", "ml-1m LCFN", "lastfm LightGCN")},
    **{name: split for name, split in SPLITS.items() if name.endswith("by time")},
    "steam hours": partial(_STEAM, events={"play": 1.0, "purchase": 0.0}),
    "steam purchases": partial(_STEAM, events={"play": 0.0, "purchase": 1.0}, value_scale="none"),
    "retailrocket": partial(
        at_random,
        "retailrocket-dense/events.parquet",
        {"user_id": "visitor_id", "event": "event_type"},
        events={"view": 1.0, "addtocart": 3.0, "transaction": 5.0},
    ),
    "lastfm plays": partial(
        at_random,
        "lastfm-hetrec2011/user_artists.parquet",
        {"item_id": "artist_id", "value": "plays"},
    ),
}


def peers(user_items: sp.csr_array) -> Iterator[tuple[str, Scorer]]:
    """Yield what implicit's users begin with."""
    yield _PEERS[0], peer(user_items, KNN(weighting="bm25", k1=1.2, b=0.75))
    yield _PEERS[1], peer(user_items, KNN(weighting="tfidf"))
    from implicit.cpu.als import AlternatingLeastSquares

    als = AlternatingLeastSquares(64, alpha=10.0, random_state=0)
    with threadpool_limits(1, user_api="blas"):
        als.fit(sp.csr_matrix(user_items), show_progress=False)
    yield _PEERS[2], Embeddings(np.asarray(als.user_factors), np.asarray(als.item_factors))


def row(name: str, work: float) -> str:
    """Choose a model for one log, test it and the others, and return its row."""
    parts = LOGS[name]()
    began = process_time()
    task = Task(parts.fit, parts.validation, most_users=MOST_USERS_OF_CHOICE)
    choice = choose(task, AutoSettings(work=work))
    seconds = process_time() - began
    train = parts.train.user_items()
    found: dict[str, tuple[float, float]] = {}

    def test(label: str, scorer: Scorer) -> None:
        result = evaluate(scorer, parts.train, parts.test, k=20)
        low, high = result.intervals[_METRIC]
        found[label] = result.metrics[_METRIC], (high - low) / 2

    began = process_time()
    fitted = choice.model.fit(parts.train)
    fit_seconds = process_time() - began
    test("chosen", fitted)
    test("ALS 64", ALS().fit(train))
    for kind, tried in choice.best.items():
        if tried.parameters != choice.parameters:
            test(f"{kind} {tried.factors}" if tried.factors else kind, tried.model.fit(parts.train))
    for label, scorer in peers(train):
        test(label, scorer)
    own = found.pop("chosen")
    best = max(found, key=lambda label: found[label][0])
    cells = [
        name,
        f"{choice.name} {choice.model.factors}",
        _shown(own),
        *(_shown(found[label]) for label in ("ALS 64", *_PEERS)),
        f"{best}: {_shown(found[best])}",
        f"{own[0] / found[best][0]:.3f}",
        f"{len(choice.tried)}",
        f"{seconds:.0f} + {fit_seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _shown(value: tuple[float, float]) -> str:
    return f"{value[0]:.4f} ± {value[1]:.4f}"


def main() -> None:
    """Print a row for each log."""
    parser = argparse.ArgumentParser(description="What a log gets when no model is named.")
    parser.add_argument("logs", nargs="*", help=", ".join(LOGS))
    parser.add_argument("--work", type=float, default=AutoSettings.work, help="[auto] work")
    given = parser.parse_args()
    print(f"ndcg@20 on the test part; seconds of processor time; load {getloadavg()[0]:.0f}")
    heading = ["log", "chosen", "reaches", "ALS 64", *_PEERS, "best of the others", "of the best"]
    heading += ["fits", "choice + fit, s"]
    print(f"| {' | '.join(heading)} |")
    print(f"|{'---|' * len(heading)}")
    for name in given.logs or LOGS:
        print(row(name, given.work), flush=True)


if __name__ == "__main__":
    main()
