"""What the order of histories is worth: models with recency and a window beside the same without.

    RECSYS_DATA=... python -m benchmarks.order                       # logs with time, a minute each
    RECSYS_DATA=... python -m benchmarks.order --gowalla 64 128      # rows as order, factors
    RECSYS_DATA=... python -m benchmarks.order --next                # the last event of each user

Recency is chosen on the validation part, also whether there is any; the test part is looked at with
the chosen one and without. Gains are of the same users, with half their 95 % interval. Published
figures on Gowalla take train as a set: rows in order are another contest.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from os import getloadavg
from time import process_time

import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.machine import data_folder
from benchmarks.splits import EXAMPLES, SPLITS, Parts, with_validation
from benchmarks.students import Listed
from recsys.config import read_config
from recsys.evaluation import Evaluation, Scorer, evaluate, evaluate_next
from recsys.logs import Interactions, read_log
from recsys.models import ALS, KNN, SVD, Distilled, Model
from recsys.models.distilled.teacher import Given, teacher_for
from recsys.splits import split_by_time, split_last

_METRIC = "ndcg@20"
_RECENCIES = (0.25, 0.5, 1.0, 1.5)  # as powers of the weights that a model sees
_GOWALLA = 1.6  # of a weight exponent of .5, chosen on each user's last fifth of train


def liked() -> Parts:
    """Return the ratings of 4 and more of MovieLens 1M, all of which have a time, split by it."""
    table = pq.read_table(data_folder() / "ml-1m" / "interactions.parquet")
    liked = table.filter(pc.greater_equal(table["rating"], 4)).drop_columns(["rating"])
    log = read_log(liked, columns={"item_id": "movie_id"})
    return with_validation(*split_by_time(log))


def last_of(load: Callable[[], Parts], n: int = 1) -> Parts:
    """Return a log with the last n items of each user as test, and those before as validation."""
    parts = load()
    train, test = split_last(parts.train, n)
    return Parts(train, test, *split_last(train, n))


LOGS: dict[str, Callable[[], Parts]] = {
    **{name: split for name, split in SPLITS.items() if name.endswith("by time")},
    "ml-1m likes by time": liked,
    "movielens, last item": partial(last_of, SPLITS["movielens by time"]),
    "online retail, last item": partial(last_of, SPLITS["online retail by time"]),
    "ml-1m likes, last item": partial(last_of, liked),
}


def models(recency: float) -> dict[str, Model]:
    """Return models whose weights fall to a power, by name; SVD and students see their root."""
    twice = 2 * recency
    return {
        "als 64": ALS(recency=recency),
        "svd 64": SVD(recency=twice),
        "svd 64, window 8": SVD(recency=twice, window=8),
        "distilled 64": Distilled(recency=twice),
    }


def row(log: str, name: str, parts: Parts) -> str:
    """Choose the recency of a model, and return what it reaches beside none."""
    plain = models(0.0)[name]
    plain = replace(plain, window=0) if isinstance(plain, SVD) else plain
    tried = {recency: models(recency)[name] for recency in _RECENCIES}
    began = process_time()
    reached = {
        recency: evaluate(model.fit(parts.fit), parts.fit, parts.validation).metrics[_METRIC]
        for recency, model in {0.0: plain, **tried}.items()
    }
    chosen = max(reached, key=lambda recency: (reached[recency], -recency))
    before, after = (
        evaluate(model.fit(parts.train), parts.train, parts.test)
        for model in (plain, tried.get(chosen, plain))
    )
    seconds = process_time() - began
    cells = [log, name, f"{chosen:g}", f"{before.metrics[_METRIC]:.4f}"]
    cells += [f"{after.metrics[_METRIC]:.4f}", gain(before, after), f"{seconds:.0f}"]
    return f"| {' | '.join(cells)} |"


def gain(before: Evaluation, after: Evaluation) -> str:
    """Write the mean gain of a user, and half its 95 % interval."""
    difference = after.per_user[_METRIC] - before.per_user[_METRIC]
    half = 1.96 * difference.std(ddof=1) / len(difference) ** 0.5
    return f"{difference.mean():+.4f} ± {half:.4f}"


def gowalla(factors: list[int]) -> None:
    """Print students of one teacher that takes the rows of train as the order of histories."""
    parts = SPLITS["gowalla"]()
    train = replace(parts.train, order="rows")
    began = process_time()
    teacher = teacher_for(train.user_items(), _GOWALLA).fit(train)
    listed = Listed.of(teacher, train.user_items())
    seconds = process_time() - began
    print("| model | factors | recall@20 | ndcg@20 | processors, s |\n|---|---:|---|---|---:|")
    print_reached("teacher and lists", teacher.factors, listed, parts, seconds)
    for d in factors:
        began = process_time()
        student = Distilled(
            d,
            Given(listed),
            temperature=0.07 if d <= 64 else 0.06,
            teacher_share=0.6,
            recency=_GOWALLA,
        ).fit(train)
        print_reached("distilled", d, student, parts, process_time() - began)


def print_reached(name: str, factors: int, scorer: Scorer, parts: Parts, seconds: float) -> None:
    """Print what is reached on test."""
    reached = evaluate(scorer, parts.train, parts.test).metrics
    figures = f"{reached['recall@20']:.4f} | {reached['ndcg@20']:.4f}"
    print(f"| {name} | {factors} | {figures} | {seconds:.0f} |", flush=True)


def all_ratings() -> Interactions:
    """Return MovieLens 1M; the ratings of 3 and less whose time is missing come first."""
    table = pq.read_table(
        data_folder() / "ml-1m" / "interactions.parquet",
        columns=["user_id", "movie_id", "timestamp"],
    )
    time = pc.fill_null(table["timestamp"], 1)
    place = table.column_names.index("timestamp")
    known = table.set_column(place, "timestamp", time)
    return read_log(known, columns={"item_id": "movie_id"})


def example_log(name: str) -> Interactions:
    """Return the whole log of one of pipelines/examples."""
    settings = read_config(EXAMPLES / f"{name}.toml")
    return read_log(settings.data.log, settings.log)


NEXT: dict[str, Callable[[], Interactions]] = {
    "ml-1m": all_ratings,
    "online retail": lambda: example_log("online_retail"),
    "deskdrop": lambda: example_log("deskdrop"),
}


def next_items(k: int = 10) -> None:
    """Print what models reach on the last event of each user."""
    print("| log | model | repeats | seen items | hit rate@10 | ndcg@10 | processors, s |")
    print("|---|---|---:|---|---|---|---:|")
    for log, read in NEXT.items():
        events = read()
        for model in (SVD(), SVD(recency=2.0, window=8), ALS(recency=1.0), KNN(recency=1.0)):
            began = process_time()
            found = evaluate_next(model, events, k)
            reached, n = found.evaluation.metrics, len(found.evaluation.user_idx)
            cells = [log, shown(model), f"{found.n_repeats / n:.1%}"]
            cells += ["listed" if found.include_seen else "left out"]
            cells += [f"{reached[name]:.4f}" for name in ("hit_rate@10", "ndcg@10")]
            print(f"| {' | '.join(cells)} | {process_time() - began:.0f} |", flush=True)


def shown(model: SVD | ALS | KNN) -> str:
    """Write a model with what it asks of the order."""
    window = getattr(model, "window", 0)
    return f"{model.name}, recency {model.recency:g}" + (f", window {window}" if window else "")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="What the order of histories is worth.")
    parser.add_argument("--gowalla", type=int, nargs="+", metavar="FACTORS")
    parser.add_argument("--next", action="store_true")
    parser.add_argument("--models", nargs="+", choices=list(models(0)), default=list(models(0)))
    parser.add_argument("--logs", nargs="+", choices=list(LOGS), default=list(LOGS))
    arguments = parser.parse_args()
    print(f"load {getloadavg()[0]:.0f}")
    if arguments.gowalla:
        gowalla(arguments.gowalla)
        return
    if arguments.next:
        next_items()
        return
    print("| log | model | recency | without | with | gain | processors, s |")
    print("|---|---|---:|---|---|---|---:|")
    for log in arguments.logs:
        parts = LOGS[log]()
        for name in arguments.models:
            print(row(log, name, parts), flush=True)


if __name__ == "__main__":
    main()
