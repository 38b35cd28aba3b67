"""Accuracy on real logs, compared to what has been published and to what peers reach here.

    python -m benchmarks.quality                 # every log with the defaults, and popularity
    python -m benchmarks.quality --gowalla       # Gowalla over factors, three seeds, and published
    python -m benchmarks.quality --gowalla --rows FILE    # and keep the rows for benchmarks.curve
    python -m benchmarks.quality --new-users     # those that training did not see, on validation
    python -m benchmarks.quality --tune LOG --models als svd --factors 64   # grids on validation

Settings are found on a validation part cut from train, never on test; then each is fitted once per
seed on all of train and evaluated on test, with full ranking of all items.
"""

import argparse
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from json import dumps
from math import sqrt
from os import getloadavg
from pathlib import Path
from statistics import fmean, stdev
from sys import stderr
from time import perf_counter, process_time
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.published_rows import published_on
from benchmarks.quality_peers import peers
from benchmarks.splits import SPLITS, Parts
from benchmarks.students import Listed
from benchmarks.tuned import GRIDS, TUNED, print_best
from recsys.evaluation import Evaluation, Scorer, evaluate
from recsys.logs import Interactions
from recsys.models import (
    ALS,
    SVD,
    Blend,
    Distilled,
    Item2Vec,
    Model,
    Popularity,
    Softmax,
    popularity_of,
)
from recsys.models.distilled.teacher import Given, teacher_for
from recsys.vectors import Embeddings, Storage
from recsys.vectors.storage import encode

PUBLISHED = ("LightGCN", "SimpleX", "UltraGCN", "GF-CF", "BSPM-EM", "NESCL")
FACTORS = [32, 64, 128, 256, 512, 1024, 1536, 2048]
METRICS = ("recall@20", "ndcg@20")
DEFAULTS: list[Model] = [
    Popularity(),
    ALS(),
    ALS(factors=128),
    SVD(),
    SVD(factors=256),
    Item2Vec(),
    Softmax(),
    Blend(ALS(factors=64), SVD(factors=192)),
]


def gowalla(
    factors: list[int], n_seeds: int, models: list[str], *, with_peers: bool, rows: Path | None
) -> None:
    """Print the table of Gowalla: published, peers, ours over factors."""
    parts = SPLITS["gowalla"]()
    print("| model | factors | recall@20 | ndcg@20 | seconds |")
    print("|---|---:|---|---|---:|")
    published = {row.model: row.values for row in published_on("gowalla")}
    for name in PUBLISHED:
        recall, ndcg = (published[name][metric] for metric in METRICS)
        print(f"| {name} (published) | | {recall} | {ndcg} | |")
    for name, fit in peers(parts.train.user_items()) if with_peers else ():
        print_row(name, "", [timed_evaluation(fit, parts.train, parts.test)])
    user_items = parts.train.user_items()
    listed = lists_of_teacher(user_items) if "distilled" in models else None
    for d in factors:
        for name in models:
            model = TUNED[name](d)
            if isinstance(model, Distilled):
                model = replace(model, teacher=Given(listed))
            print_stored([model.with_seed(seed) for seed in range(n_seeds)], parts, rows)


def lists_of_teacher(user_items: sp.csr_array) -> Listed:
    """Fit the default teacher of `Distilled` once, for students of all sizes and seeds."""
    start, cpu = perf_counter(), process_time()
    listed = Listed.of(teacher_for(user_items).fit(user_items), user_items)
    seconds, cpu = perf_counter() - start, process_time() - cpu
    print(f"teacher and lists: {seconds:.0f} s, {cpu:.0f} s of processors", file=stderr, flush=True)
    return listed


def print_stored(seeded: list[Any], parts: Parts, rows: Path | None) -> None:
    """Print what a model reaches in float32 and in int8, and keep it for `benchmarks.curve`."""
    runs: dict[Storage, list[tuple[float, Evaluation]]] = {"float32": [], "int8": []}
    user_items = parts.train.user_items()
    for model in seeded:
        start, cpu = perf_counter(), process_time()
        embeddings = model.fit(user_items)
        seconds, cpu = perf_counter() - start, process_time() - cpu
        load = getloadavg()[0]
        print(f"seed {model.seed}: {cpu:.0f} s of processors, load {load:.0f}", file=stderr)
        for storage, kept in runs.items():
            tables = (encode(table, storage) for table in (embeddings.users, embeddings.items))
            decoded = Embeddings(*(table.decode() for table in tables))
            kept.append((seconds, evaluate(decoded, parts.train, parts.test)))
    name, d = seeded[0].name, seeded[0].factors
    for storage, kept in runs.items():
        print_row(name if storage == "float32" else f"{name} in {storage}", str(d), kept)
        if rows is not None:
            reached = {metric: fmean(run.metrics[metric] for _, run in kept) for metric in METRICS}
            row = {"model": name, "factors": d, "storage": storage, "seeds": len(kept), **reached}
            with rows.open("a") as file:
                print(dumps(row), file=file)


def evaluated(model: Model, train: Interactions, test: Interactions) -> tuple[float, Evaluation]:
    """Return the seconds of fitting a model to train, and what it reaches on test."""
    user_items = train.user_items()
    return timed_evaluation(lambda: model.fit(user_items), train, test)


def timed_evaluation(
    fit: Callable[[], Scorer], train: Interactions, test: Interactions
) -> tuple[float, Evaluation]:
    """Return the seconds of a fit and what it reaches."""
    start = perf_counter()
    scorer = fit()
    seconds = perf_counter() - start
    return seconds, evaluate(scorer, train, test)


def print_row(name: str, factors: str, runs: list[tuple[float, Evaluation]]) -> None:
    """Print means over seeds, with the 95 % interval of the mean where there are several."""
    cells = [with_interval([run.metrics[metric] for _, run in runs]) for metric in METRICS]
    seconds = fmean(seconds for seconds, _ in runs)
    print(f"| {name} | {factors} | {' | '.join(cells)} | {seconds:.1f} |", flush=True)


def with_interval(values: list[float]) -> str:
    """Write a mean, and half its interval by Student's t with n - 1 degrees of freedom."""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    t = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}[len(values)]
    return f"{fmean(values):.4f} ± {t * stdev(values) / sqrt(len(values)):.4f}"


def new_users(n_folds: int) -> None:
    """Print what all users of Gowalla reach, a fold at a time left out of training, and trained."""
    parts = SPLITS["gowalla"]()
    histories, relevant = parts.fit.user_items(), parts.validation.user_items()
    folds = np.array_split(np.random.default_rng(0).permutation(histories.shape[0]), n_folds)
    print("| model | factors | not in training | in training | lost | times ALS |")
    print("|---|---:|---|---|---|---|")
    of_als: NDArray[np.float64] | None = None
    for model in (TUNED["als"](64), Distilled(64)):
        in_training = fitted_reach(model, histories, histories, relevant)[0]
        found = []
        for fold in folds:
            rest, wanted = without_rows(histories, fold), relevant - without_rows(relevant, fold)
            found.append(fitted_reach(model, rest, histories, wanted))
            print(f"{model.name}: {found[-1][0]}", file=stderr, flush=True)
        reached, n_tested = (np.array(values) for values in zip(*found, strict=True))
        new = np.average(reached, axis=0, weights=n_tested)
        of_als = reached if of_als is None else of_als
        als = np.average(of_als, axis=0, weights=n_tested)
        cells = [" / ".join(f"{value:.4f}" for value in values) for values in (new, in_training)]
        cells.append(" / ".join(f"{lost:.1%}" for lost in 1 - new / in_training))
        lowest, highest = (reached / of_als).min(axis=0), (reached / of_als).max(axis=0)
        ratios = zip(new / als, lowest, highest, strict=True)
        cells.append(
            " / ".join(f"{one:.3f} ({low:.3f} to {high:.3f})" for one, low, high in ratios)
        )
        print(f"| {model.name} | 64 | {' | '.join(cells)} |", flush=True)


def without_rows(matrix: sp.csr_array, rows: NDArray[np.integer]) -> sp.csr_array:
    """Return a matrix of the same shape without the entries of some rows."""
    is_kept = np.ones(matrix.shape[0], dtype=np.float32)
    is_kept[rows] = 0
    rest = sp.csr_array(sp.diags_array(is_kept) @ matrix)
    rest.eliminate_zeros()
    return rest


def fitted_reach(
    model: Any, trained: sp.csr_array, histories: sp.csr_array, wanted: sp.csr_array
) -> tuple[NDArray[np.float64], int]:
    """Return the metrics of users folded in from their histories, and the number of tested ones."""
    wanted = sp.csr_array(wanted)
    wanted.eliminate_zeros()
    found = model.fit(trained)
    embed = model.fold_in(found.items, popularity_of(trained), 1.0, found.summands)
    run = evaluate(Embeddings(embed(histories), found.items), histories, wanted)
    return np.array([run.metrics[metric] for metric in METRICS]), run.n_users


def all_logs() -> None:
    """Print every model with its defaults on every log, so that none is tuned to one of them."""
    print("| log | model | factors | recall@20 | ndcg@20 | seconds |")
    print("|---|---|---:|---|---|---:|")
    for name, load in SPLITS.items():
        parts = load()
        for model in DEFAULTS:
            run = evaluated(model, parts.train, parts.test)
            print_row(f"{name} | {model.name}", str(getattr(model, "factors", "")), [run])


def tune(parts: Parts, name: str, factors: int) -> None:
    """Print the best settings of a grid on validation, and how many there were."""

    def measure(scorer: Scorer) -> Mapping[str, float]:
        return evaluate(scorer, parts.fit, parts.validation).metrics

    print_best(TUNED[name](factors), GRIDS[name], parts.fit.user_items(), measure, METRICS)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="Accuracy on real logs.")
    parser.add_argument("--gowalla", action="store_true")
    parser.add_argument("--new-users", action="store_true")
    parser.add_argument("--folds", type=int, default=10, help="of new users")
    parser.add_argument("--tune", choices=list(SPLITS), help="a grid for each of --models")
    parser.add_argument("--factors", type=int, nargs="+", default=FACTORS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", choices=list(TUNED), nargs="+", default=list(TUNED))
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--rows", type=Path, help="a file that Gowalla's rows are added to")
    arguments = parser.parse_args()
    if arguments.tune:
        parts = SPLITS[arguments.tune]()
        for name, d in itertools.product(arguments.models, arguments.factors):
            tune(parts, name, d)
    elif arguments.new_users:
        new_users(arguments.folds)
    elif arguments.gowalla:
        gowalla(
            arguments.factors,
            arguments.seeds,
            arguments.models,
            with_peers=not arguments.no_peers,
            rows=arguments.rows,
        )
    else:
        all_logs()


if __name__ == "__main__":
    main()
