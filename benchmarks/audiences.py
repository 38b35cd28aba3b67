"""Which users should hear of an item: scales by which the scores of different users are compared.

    RECSYS_DATA=folder python -m benchmarks.audiences
    python -m benchmarks.audiences --sample    # a look, on the bundled log

A fifth of the events is held out, drawn at random and once more as the last by time, and a model
with 64 factors is fitted to the rest. For each item with three or more held-out users whom train
knows and who have not had it there, all users of train who have not had it are ranked by each
scale. recall@k is the share of the held-out users among the first k, of k at most; a mean over
items (over 600 that are drawn, where there are more), with a 95 % interval of 2,000 bootstrap
samples of the items.

    score           as it is: user · item
    score / root    by the root of the norm of the user: what is used
    cosine          of user and item
    rank            minus the place of the item among those that the user has not had
    standing        (score - mean) / deviation, both of the user's scores of all items
    standing + log  and the logarithm of 1 and the number of items of the user
    active          the number of items of the user: no model at all
"""

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.config import read_config
from recsys.logs import Interactions, read_log
from recsys.models import ALS, SVD, Model
from recsys.splits import split_by_time, split_random

LEAST, LENGTHS, SAMPLES = 3, (10, 100), 2_000
MODELS = (ALS(64), SVD(64))
MOST_ITEMS, FRACTION = 600, 0.2
Matrix = NDArray[np.float32]  # (n_users, n_items)


def scales(users: Matrix, items: Matrix, had: NDArray[np.bool_]) -> dict[str, Callable[[], Any]]:
    """Return what makes each scale of all pairs."""
    scores, norms = users @ items.T, np.linalg.norm(users, axis=1)[:, None] + 1e-12
    n_items = had.sum(axis=1, dtype=np.float32)[:, None]

    def standing() -> Any:
        return (scores - scores.mean(axis=1)[:, None]) / (scores.std(axis=1)[:, None] + 1e-12)

    def rank() -> Any:
        order = np.argsort(-np.where(had, -np.inf, scores), axis=1, kind="stable")
        places = np.empty_like(order)
        np.put_along_axis(places, order, np.arange(order.shape[1])[None], axis=1)
        return -places.astype(np.float32)

    return {
        "score": lambda: scores,
        "score / root": lambda: scores / np.sqrt(norms),
        "cosine": lambda: scores / norms / (np.linalg.norm(items, axis=1) + 1e-12),
        "rank": rank,
        "standing": standing,
        "standing + log": lambda: standing() + np.log1p(n_items),
        "active": lambda: np.broadcast_to(n_items, scores.shape),
    }


def recalls(
    scale: Matrix, had: NDArray[np.bool_], wanted: NDArray[np.bool_], asked: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the recall at each length of each item that is asked for, (n_asked, n_lengths)."""
    found = np.empty((len(asked), len(LENGTHS)))
    for place, item in enumerate(asked.tolist()):
        own = np.where(had[:, item], -np.inf, scale[:, item])
        best = np.argsort(-own, kind="stable")[: max(LENGTHS)]
        hits = np.cumsum(wanted[best, item])
        n_wanted = wanted[:, item].sum()
        found[place] = [hits[k - 1] / min(k, n_wanted) for k in LENGTHS]
    return found


def measure(name: str, model: Model, train: Interactions, test: Interactions) -> None:
    """Print the row of each scale."""
    embeddings = model.fit(train)
    had = train.user_items().toarray() > 0
    wanted = (test.user_items().toarray() > 0) & ~had
    rng = np.random.default_rng(0)
    asked = rng.permutation(np.flatnonzero(wanted.sum(axis=0) >= LEAST))[:MOST_ITEMS]
    drawn = rng.integers(len(asked), size=(SAMPLES, len(asked)))
    for scale, made in scales(embeddings.users, embeddings.items, had).items():
        found = recalls(made(), had, wanted, asked)
        cells = []
        for values in found.T:
            low, high = np.quantile(values[drawn].mean(axis=1), (0.025, 0.975))
            cells.append(f"{values.mean():.4f} ({low:.4f} - {high:.4f})")
        print(
            f"| {name} | {model.name} | {len(asked):,} | {scale} | {' | '.join(cells)} |",
            flush=True,
        )


def logs(is_sample: bool) -> Iterator[tuple[str, Interactions]]:
    """Yield the logs by their names."""
    if is_sample:
        settings = read_config("pipelines/sample.toml")
        yield "sample", read_log(settings.data.log, settings.log)
        return
    settings = read_config("pipelines/examples/online_retail.toml")
    yield "online-retail", read_log(settings.data.log, settings.log)
    ratings = Path(os.environ["RECSYS_DATA"]) / "ml-1m" / "interactions.parquet"
    columns = {"item_id": "movie_id", "value": "rating"}
    yield "ml-1m", read_log(ratings, columns=columns, min_value=4.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", action="store_true", help="the bundled log")
    headings = " | ".join(f"recall@{k}" for k in LENGTHS)
    print(f"| log, held out | model | items | scale | {headings} |")
    print("|---|---|---:|---|---|---|")
    for name, log in logs(parser.parse_args().sample):
        for how, split in (("random", split_random), ("last", split_by_time)):
            for model in MODELS:
                measure(f"{name}, {how}", model, *split(log, test_fraction=FRACTION))


if __name__ == "__main__":
    main()
