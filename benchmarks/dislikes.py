"""What dislikes are worth: the share of disliked items in lists of 20, beside recall and ndcg.

    RECSYS_DATA=... python -m benchmarks.dislikes                 # MovieLens 1M and a generated log
    python -m benchmarks.dislikes --logs generated --weights 1 3  # without data, two confidences

Of MovieLens 1M, ratings of 4 and 5 are likes, of 1 and 2 dislikes. In the generated log, users meet
items that are popular or look like their taste, like those of their taste, and dislike those that
are against it. A fifth of each user's likes and of each user's dislikes is held out at random. The
same model with the same settings is fitted without dislikes, where lists may hold what was disliked
in train ("left out") or not ("seen"), and with them, at several confidences. Intervals are of 95 %;
a difference to "seen" is of the same users, with half its interval.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import getloadavg
from time import process_time

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import data_folder
from recsys.evaluation import Evaluation, evaluate
from recsys.logs import Interactions, read_log
from recsys.logs.merging import joined
from recsys.models import Blend, Distilled, Model
from recsys.models.distilled.teacher import als_for
from recsys.splits import split_random
from recsys.vectors import Ids

K = 20
_METRICS = (f"disliked@{K}", f"recall@{K}", f"ndcg@{K}")
_WEIGHTS = (0.3, 1.0, 3.0)
_SHAPE, _TASTES = (6_000, 2_000), 12  # users and items, dimensions of taste
_MET = 80  # items that a user meets


def movielens() -> Interactions:
    """Return MovieLens 1M: 4 and 5 are likes, 1 and 2 dislikes."""
    return read_log(
        data_folder() / "ml-1m" / "interactions.parquet",
        columns={"item_id": "movie_id", "value": "rating", "timestamp": ""},
        min_value=4,
        max_disliked_value=2,
    )


def generated(seed: int = 0) -> Interactions:
    """Return a log of users whose likes and dislikes follow one taste, which is known."""
    rng = np.random.default_rng(seed)
    users, items = (rng.standard_normal((n, _TASTES)) / _TASTES**0.25 for n in _SHAPE)
    affinity = users @ items.T
    popularity = -np.log(np.arange(_SHAPE[1]) + 10.0)[rng.permutation(_SHAPE[1])]
    draw = rng.gumbel(size=_SHAPE) + popularity + 0.5 * affinity  # what one meets, without repeats
    met = np.argpartition(-draw, _MET, axis=1)[:, :_MET]
    felt = np.take_along_axis(affinity, met, axis=1) + 0.5 * rng.standard_normal(met.shape)
    likes, dislikes = (_events(met, chosen) for chosen in (felt > 0.5, felt < -0.5))
    return replace(likes, dislikes=dislikes)


def _events(met: NDArray[np.intp], chosen: NDArray[np.bool_]) -> Interactions:
    rows, places = np.nonzero(chosen)
    item_idx, weight = met[rows, places].astype(np.int32), np.ones(len(rows), np.float32)
    users, items = (Ids(range(n)) for n in _SHAPE)
    return Interactions(rows.astype(np.int32), item_idx, weight, None, users, items)


LOGS: dict[str, Callable[[], Interactions]] = {"ml-1m": movielens, "generated": generated}
MODELS: dict[str, Callable[[Interactions], Model]] = {
    "als": lambda train: als_for(train.user_items(), 64),
    "blend": lambda train: Blend(als=als_for(train.user_items(), 64)),
    "distilled": lambda train: Distilled(64),
}


def weighed(log: Interactions, weight: float) -> Interactions:
    """Return a log whose dislikes all have one confidence."""
    if log.dislikes is None:
        raise ValueError("expected a log with dislikes")
    confidence = np.full_like(log.dislikes.weight, weight)
    return replace(log, dislikes=replace(log.dislikes, weight=confidence))


def compared(name: str, model: str, weights: Sequence[float]) -> None:
    """Print what lists of one model hold without dislikes and with them."""
    train, test = split_random(LOGS[name](), test_fraction=0.2, seed=0)
    chosen, without = MODELS[model](train), replace(train, dislikes=None)
    fitted = chosen.fit(without)
    rows = {
        "left out": evaluate(fitted, without, _unseen(train, test), k=K, allow_unknown=True),
        "seen": evaluate(fitted, train, test, k=K),
    }
    for weight in weights:
        learned = chosen.fit(weighed(train, weight))
        rows[f"learned, confidence {weight:g}"] = evaluate(learned, train, test, k=K)
    for label, found in rows.items():
        cells = [name, model, label]
        for metric in _METRICS:
            low, high = found.intervals[metric]
            cells.append(f"{found.metrics[metric]:.4f} ({low:.4f} - {high:.4f})")
            cells.append("" if label == "left out" else difference(rows["seen"], found, metric))
        print(f"| {' | '.join(cells)} |", flush=True)


def _unseen(train: Interactions, test: Interactions) -> Interactions:
    """Return test with all dislikes: where lists do not know them, those of train count as well."""
    if train.dislikes is None or test.dislikes is None:
        return test
    first, second = train.dislikes, test.dislikes
    dislikes = replace(
        first,
        user_idx=joined(first.user_idx, second.user_idx),
        item_idx=joined(first.item_idx, second.item_idx),
        weight=joined(first.weight, second.weight),
    )
    return replace(test, dislikes=dislikes)


def difference(before: Evaluation, after: Evaluation, metric: str) -> str:
    """Write the mean difference of a user, and half its 95 % interval."""
    changes = after.per_user[metric] - before.per_user[metric]
    half = 1.96 * changes.std(ddof=1) / len(changes) ** 0.5
    return f"{changes.mean():+.4f} ± {half:.4f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logs", nargs="*", choices=LOGS, default=list(LOGS))
    parser.add_argument("--models", nargs="*", choices=MODELS, default=["als"])
    parser.add_argument("--weights", nargs="*", type=float, default=list(_WEIGHTS))
    given = parser.parse_args()
    began = process_time()
    columns = (column for metric in _METRICS for column in (metric, "to seen"))
    print(f"| log | model | dislikes | {' | '.join(columns)} |\n{'|---' * 9}|")
    for name in given.logs:
        for model in given.models:
            compared(name, model, given.weights)
    print(f"{process_time() - began:.0f} s of processors, load {getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
