"""Does the search find what a wide grid finds? On Gowalla's validation part, 64 factors.

    python -m benchmarks.tune                              # ALS and SVD; half an hour
    python -m benchmarks.tune --models als --minutes 20    # as long as it asks for, at most

Both fit the same part of train and are measured by ndcg@20 of the same users of the validation part
(each user's last four items of train); the test part is not used. The grid takes the
same epochs for all; the search has the space, the doubling and the pruning that `recsys tune` has.
"""

import argparse
import itertools
from collections.abc import Mapping
from time import perf_counter

from benchmarks.splits import SPLITS
from recsys.tuning import Budget, Task, Tuned, tune
from recsys.tuning.candidates import Candidate

FACTORS, K = 64, 20
ASKED_MINUTES = 20.0
GRIDS: Mapping[str, Mapping[str, list[float]]] = {
    "als": {
        "regularization": [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0],
        "unobserved_weight": [0.003, 0.01, 0.03, 0.1, 0.3],
        "item_exponent": [0.0, 0.25, 0.5],
        "user_exponent": [0.0, 0.25],
    },
    "svd": {
        "user_exponent": [0.2, 0.35, 0.5, 0.65],
        "item_exponent": [0.15, 0.25, 0.35, 0.45],
        "spectral_power": [0.5, 1.0, 1.5],
        "popularity_exponent": [-0.2, -0.1, 0.0, 0.1, 0.2],
    },
}


def grid_search(candidate: Candidate, task: Task) -> tuple[int, float, Mapping[str, float]]:
    """Return how many settings a grid has, the best value, and its settings."""
    grid = GRIDS[candidate.name]
    found = []
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        scorer = candidate.having(**settings).fit(task.user_items)
        found.append((task.measure(scorer), settings))
    best, settings = max(found, key=lambda one: one[0])
    return len(found), best, settings


def compare(name: str, task: Task, budget: Budget) -> None:
    """Print a row for the grid and one for the search."""
    candidate = Candidate(name)
    start = perf_counter()
    n_settings, best, settings = grid_search(candidate.with_factors(FACTORS), task)
    print_row(name, f"grid of {n_settings}", best, 1.0, perf_counter() - start, settings)
    start = perf_counter()
    tuned = tune(candidate, task, factors=FACTORS, budget=budget)
    seconds = perf_counter() - start
    n_trials = sum(map(len, tuned.trials.values()))
    chosen = {key: tuned.best.candidate.parameters[key] for key in GRIDS[name]}
    value = tuned.best.value
    print_row(name, f"search, {n_trials} trials", value, value / best, seconds, chosen)
    print_row(name, f"of them until within 1 % of the grid: {until(tuned, best)}", None)


def until(tuned: Tuned, best: float) -> str:
    """Say after how many trials, and seconds, the search was within 1 % of a value."""
    seconds = 0.0
    trials = [trial for size in tuned.trials.values() for trial in size]
    for number, trial in enumerate(trials, 1):
        seconds += trial.seconds
        if not trial.is_pruned and trial.value >= 0.99 * best:
            return f"{number}, {seconds:.0f} s"
    return "never"


def print_row(
    name: str,
    what: str,
    value: float | None,
    share: float = 0.0,
    seconds: float = 0.0,
    settings: Mapping[str, float] | None = None,
) -> None:
    """Print a row."""
    if value is None:
        print(f"| {name} | {what} | | | | |", flush=True)
        return
    listed = ", ".join(f"{key} {one:.3g}" for key, one in (settings or {}).items())
    print(f"| {name} | {what} | {value:.4f} | {share:.3f} | {seconds:.0f} | {listed} |", flush=True)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="The search compared to a wide grid.")
    parser.add_argument("--models", choices=list(GRIDS), nargs="+", default=list(GRIDS))
    parser.add_argument("--trials", type=int, default=80)
    parser.add_argument("--minutes", type=float, default=ASKED_MINUTES)
    arguments = parser.parse_args()
    parts = SPLITS["gowalla"]()
    task = Task(parts.fit, parts.validation, k=K)
    print(f"asked for: at least .99 of the grid in under {ASKED_MINUTES:.0f} minutes\n")
    print(f"| model, {FACTORS} factors | what | ndcg@{K} | of the grid | seconds | settings |")
    print("|---|---|---:|---:|---:|---|", flush=True)
    for name in arguments.models:
        compare(name, task, Budget(arguments.trials, arguments.minutes))


if __name__ == "__main__":
    main()
