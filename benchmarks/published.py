"""Every published number that the real logs allow, compared to ours.

    python -m benchmarks.published                        # all splits
    python -m benchmarks.published --split "ml-1m NCF"    # one or some
    python -m benchmarks.published --quick                # popularity alone, seconds
    python -m benchmarks.published --tune "ml-1m NCF"     # grids on a validation part of train

Per split: its protocol, what our models reach (three seeds, mean), and each published number as
`published / ours`. A row with the same method and settings as one of our runs is compared to that;
where nothing is left to chance the two have to agree in every printed digit, or the exit code is 1.
Every other row is compared to the model that was best on validation. Settings are in
`benchmarks.tuned`.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from time import perf_counter
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from benchmarks.graph_filters import bspm_em, gf_cf
from benchmarks.published_protocols import Measured
from benchmarks.published_rows import Published, published_on
from benchmarks.published_splits import PUBLISHED_SPLITS
from benchmarks.quality_peers import peers
from benchmarks.tuned import PUBLISHED_GRIDS, PUBLISHED_SETTINGS, print_best
from recsys.evaluation import Scorer
from recsys.models import ALS, EASE, SVD, Distilled, Popularity
from recsys.vectors import Embeddings

N_SEEDS = 3
MAIN_METRICS = {"ml-1m NCF": ("hr@10", "ndcg@10")}  # of our own table; others have those of 20


class Run(NamedTuple):
    """One of our models: fits, one for each seed."""

    name: str
    fits: Sequence[Callable[[sp.csr_array], Scorer]]


class Reached(NamedTuple):
    """Means over the seeds of a run."""

    metrics: Mapping[str, float]
    seconds: float


def later_of_equals(user_items: sp.csr_array) -> Embeddings:
    """Return popularity that prefers the item of higher index among equals, by exact integers."""
    popularity = Popularity().fit(user_items)
    n_items = len(popularity.items)
    items = popularity.items * n_items + np.arange(n_items, dtype=np.float32)[:, None]
    assert items.max() < 2**24, "float32 holds no larger integers exactly"
    return Embeddings(popularity.users, items)


def popularity_runs(split: str) -> Iterator[Run]:
    """Yield what leaves nothing to chance and takes no time."""
    yield Run("popularity", [Popularity().fit])
    if split == "ml-1m NCF":
        yield Run("popularity, of equals the later", [later_of_equals])


def runs(split: str) -> Iterator[Run]:
    """Yield all runs of a split."""
    yield from popularity_runs(split)
    if split == "gowalla":
        yield Run("EASE", [EASE(regularization=80.0).fit])
        yield Run("GF-CF", [gf_cf])
        yield Run("BSPM-EM", [bspm_em])
        for name in ("item-item BM25", "implicit ALS 128"):
            yield Run(name, [partial(peer, name)])
    if split == "ml-1m NCF":
        yield Run("PureSVD", [SVD.pure(60, oversampling=4.0).fit])
        yield seeded("ALS, settings of google-research/ials", IALS)
    for model in PUBLISHED_SETTINGS[split]:
        yield seeded(name_of(model), model)


IALS = ALS(
    factors=192,
    regularization=0.007,
    regularization_exponent=1.0,
    unobserved_regularization=1.0,
    unobserved_weight=0.3,
    iterations=12,
)


def seeded(name: str, model: ALS | SVD | Distilled) -> Run:
    """Return a run of three seeds."""
    return Run(name, [model.with_seed(seed).fit for seed in range(N_SEEDS)])


def name_of(model: ALS | SVD | Distilled) -> str:
    """Write a model as tables have it."""
    name = model.name.capitalize() if isinstance(model, Distilled) else model.name.upper()
    return f"{name} {model.factors}"


def peer(name: str, user_items: sp.csr_array) -> Scorer:
    """Fit one of `benchmarks.quality_peers`."""
    return dict(peers(user_items))[name]()


def reached(run: Run, measured: Measured) -> Reached:
    """Fit and measure a run."""
    found, seconds = [], []
    for fit in run.fits:
        start = perf_counter()
        scorer = fit(measured.train)
        seconds.append(perf_counter() - start)
        found.append(measured.measure(scorer))
    means = {metric: fmean(one[metric] for one in found) for metric in found[0]}
    return Reached(means, fmean(seconds))


def print_split(split: str, *, quick: bool) -> bool:
    """Print both tables of a split; return whether what has to agree does."""
    print(f"\n{split}: {PUBLISHED_SPLITS[split].protocol}\n")
    measured = PUBLISHED_SPLITS[split].test()
    metrics = MAIN_METRICS.get(split, ("recall@20", "ndcg@20"))
    print(f"| ours | {' | '.join(metrics)} | seconds |\n|---|---:|---:|---:|")
    ours = {}
    for run in popularity_runs(split) if quick else runs(split):
        ours[run.name] = found = reached(run, measured)
        cells = " | ".join(f"{found.metrics[metric]:.4f}" for metric in metrics)
        print(f"| {run.name} | {cells} | {found.seconds:.1f} |", flush=True)
    best = name_of(PUBLISHED_SETTINGS[split][0])
    compared = [(row, row.method or best) for row in published_on(split)]
    if not compared:
        print("\nNo published number was found for these files.")
    return print_published([(row, name) for row, name in compared if name in ours], ours)


def print_published(rows: Sequence[tuple[Published, str]], ours: Mapping[str, Reached]) -> bool:
    """Print published rows next to ours; return whether those that have to agree do."""
    metrics = list(dict.fromkeys(metric for row, _ in rows for metric in row.values))
    if not rows:
        return True
    print(f"\n| published | {' | '.join(metrics)} | ours is | | source |")
    print(f"|---|{'---|' * len(metrics)}---|---|---|")
    agrees = True
    for row, name in rows:
        found = ours[name].metrics
        cells = [cell(row, metric, found) for metric in metrics]
        print(f"| {row.model} | {' | '.join(cells)} | {name} | {verdict(row, found)} ", end="")
        print(f"| {row.source} |", flush=True)
        agrees &= not row.is_exact or is_equal(row, found)
    return agrees


def cell(row: Published, metric: str, found: Mapping[str, float]) -> str:
    """Write a published number and ours, in as many digits."""
    if metric not in row.values:
        return ""
    theirs = row.values[metric]
    return f"{theirs} / {found[metric]:.{max(digits(theirs), 4)}f}"


def verdict(row: Published, found: Mapping[str, float]) -> str:
    """Write "exact", or by how much ours is off in ndcg."""
    if is_equal(row, found):
        return "exact"
    metric = max((name for name in row.values if name.startswith("ndcg")), key=is_main)
    off = f"{found[metric] - float(row.values[metric]):+.4f}"
    return f"**not exact: {off}**" if row.is_exact else off


def is_equal(row: Published, found: Mapping[str, float]) -> bool:
    """Return whether all numbers agree in all digits that are printed."""
    return all(
        f"{found[metric]:.{digits(value)}f}" == value for metric, value in row.values.items()
    )


def digits(number: str) -> int:
    """Return the number of decimals."""
    return len(number.partition(".")[2])


def is_main(metric: str) -> bool:
    """Return whether a metric has the cutoff that a source is mostly cited for."""
    return metric.endswith(("@20", "@10"))


def tune(split: str) -> None:
    """Print the best settings of each grid on the validation part of a split."""
    measured = PUBLISHED_SPLITS[split].validation()
    metrics = MAIN_METRICS.get(split, ("recall@20", "ndcg@20"))
    for model in (ALS(), SVD()):
        print_best(model, PUBLISHED_GRIDS[model.name], measured.train, measured.measure, metrics)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return its exit code."""
    parser = argparse.ArgumentParser(description="Published numbers compared to ours.")
    names = list(PUBLISHED_SPLITS)
    parser.add_argument("--split", choices=names, nargs="+", default=names)
    parser.add_argument("--quick", action="store_true", help="popularity alone")
    parser.add_argument("--tune", choices=names)
    arguments = parser.parse_args(argv)
    if arguments.tune:
        tune(arguments.tune)
        return 0
    agrees = [print_split(split, quick=arguments.quick) for split in arguments.split]
    return 0 if all(agrees) else 1


if __name__ == "__main__":
    sys.exit(main())
