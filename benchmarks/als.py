"""ALS compared to its peers: seconds per epoch and the loss that each epoch reaches.

    python -m benchmarks.als                    # Gowalla and 20 M generated interactions
    python -m benchmarks.als --factors 64 --log gowalla
    python -m benchmarks.als --fit              # all of `fit`, of 4 and of 15 epochs, 5.2 M pairs
    python -m benchmarks.als --growth           # how time grows, 1 M to 100 M, 32 to 1024 factors
    python -m benchmarks.als --rounding         # what columns in bytes do to the loss
    python -m benchmarks.als --warm-start       # epochs that yesterday's embeddings save
    python -m benchmarks.als --machine          # peak flops and bandwidth, start-up, memory

All but Spark minimize the loss of Hu, Koren and Volinsky (alpha 10, regularization 1), printed per
interaction, computed here in float64 for all of them by the same formula. A fit is all that lies
between a matrix and embeddings: the set-up and our last solve of the users as well. Solvers take
turns, and the fastest of a solver's runs counts. Peers come with the extras "bench" and "spark";
one that is not installed is skipped, with the reason.
"""

import argparse
import os
import resource
from collections.abc import Iterable
from importlib.util import find_spec
from math import nan
from pathlib import Path
from statistics import fmean, median
from time import perf_counter

import numpy as np
import pyarrow.parquet as pq
import scipy.sparse as sp

from benchmarks.als_solvers import (
    ALPHA,
    REGULARIZATION,
    Factors,
    Seconds,
    Solver,
    implicit_cg,
    irspack_cg,
    loss_of,
    ours,
    spark,
)
from benchmarks.machine import peak_bandwidth, peak_flops, start_up
from benchmarks.worlds import tasteful_matrix
from recsys.models import ALS
from recsys.models.als import rounding
from recsys.models.protocol import Epoch
from recsys.vectors import Embeddings

N_EPOCHS = 8  # on Gowalla; on the large log fewer, as peers take minutes
FACTORS = (64, 128, 256)
SOLVERS: dict[str, tuple[str, Solver]] = {  # with the package that each needs
    "recsys": ("recsys", ours),
    "implicit": ("implicit", implicit_cg),
    "irspack": ("irspack", irspack_cg),
    "Spark MLlib": ("pyspark", spark),
}
ASKED: dict[str, dict[int, float]] = {
    "implicit": {64: 5, 128: 4.5, 256: 4},
    "irspack": dict.fromkeys(FACTORS, 5),
    "Spark MLlib": dict.fromkeys(FACTORS, 50),
}
ASKED_OF_FITS = {4: dict.fromkeys(FACTORS, 4.0), 15: {64: 5.0, 128: 5.0, 256: 4.5}}  # by epochs


def compare(
    name: str, world: sp.csr_array, all_factors: Iterable[int], *, n_epochs: int, n_runs: int
) -> None:
    """Print one table for one matrix."""
    shape = f"{world.shape[0]:,} users, {world.shape[1]:,} items, {world.nnz:,} interactions"
    print(f"\n{name}: {shape}\n")
    print(
        "| factors | solver | seconds per epoch | times ours | asked "
        f"| fit of {n_epochs} epochs, s | times ours | loss by epoch |"
    )
    print("|---:|---|---:|---:|---:|---:|---:|---|")
    for factors in all_factors:
        solvers = {name: run for name, run in installed().items() if is_worth(name, world, factors)}
        seconds = fastest(solvers, world, factors, n_epochs, n_runs)
        for solver in SOLVERS:
            asked = ASKED.get(solver, {}).get(factors, "")
            if solver in solvers:
                per_epoch, fit = (
                    f"{own:.3f} | {own / of_ours:.1f}"
                    for own, of_ours in zip(seconds[solver], seconds["recsys"], strict=True)
                )
                shown = losses(solvers[solver], world, factors, n_epochs)
                cells = f"{per_epoch} | {asked} | {fit} | {shown}"
            else:
                cells = f"{why_skipped(solver)} | | {asked} | | |"
            print(f"| {factors} | {solver} | {cells} |", flush=True)


def installed() -> dict[str, Solver]:
    """Return the solvers whose packages are here."""
    return {name: run for name, (package, run) in SOLVERS.items() if find_spec(package)}


def is_worth(solver: str, world: sp.csr_array, factors: int) -> bool:
    """Return whether to wait: Spark takes minutes an epoch beyond this."""
    return solver != "Spark MLlib" or (world.nnz < 1_000_000 and factors == FACTORS[0])


def why_skipped(solver: str) -> str:
    """Say why a solver has no figures."""
    package, _ = SOLVERS[solver]
    return "too slow to wait for" if find_spec(package) else f"{package} is not installed"


def fastest(
    solvers: dict[str, Solver], world: sp.csr_array, factors: int, n_epochs: int, n_runs: int
) -> dict[str, tuple[float, float]]:
    """Return the mean seconds of an epoch, and those of a fit, in each solver's fastest run."""
    runs: dict[str, list[Seconds]] = {solver: [] for solver in solvers}
    for turn in range(n_runs):
        for solver, run in solvers.items():
            if turn == 0 or run is not spark:  # minutes, and far from close
                runs[solver].append(run(world, factors, n_epochs, None))
    return {
        solver: (min(fmean(one.epochs) for one in found), min(one.fit for one in found))
        for solver, found in runs.items()
    }


def fits(all_factors: Iterable[int], n_runs: int) -> None:
    """Print the seconds of whole fits beside implicit's."""
    world = tasteful_matrix(5_200_000)
    solvers = {name: run for name, run in installed().items() if name in ("recsys", "implicit")}
    print(f"{world.shape[0]:,} users, {world.shape[1]:,} items, {world.nnz:,} interactions\n")
    print("| factors | epochs | recsys, s | of them epochs | implicit, s | times ours | asked |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for factors in all_factors:
        for n_epochs, asked in ASKED_OF_FITS.items():
            seconds = fastest(solvers, world, factors, n_epochs, n_runs)
            per_epoch, fit = seconds["recsys"]
            _, of_peer = seconds.get("implicit", (nan, nan))
            print(
                f"| {factors} | {n_epochs} | {fit:.2f} | {per_epoch * n_epochs:.2f} "
                f"| {of_peer:.2f} | {of_peer / fit:.1f} | {asked.get(factors, '')} |",
                flush=True,
            )


def losses(run: Solver, world: sp.csr_array, factors: int, n_epochs: int) -> str:
    """Return the loss after each epoch."""
    found: list[str] = []

    def show(users: Factors, items: Factors) -> None:
        found.append(f"{loss_of(world, users, items):.4f}")

    if run is not spark:  # its loss is another one
        run(world, factors, n_epochs, show)
    return " ".join(found)


def growth() -> None:
    """Print seconds per epoch over interactions and factors."""
    print("| interactions | factors | seconds per epoch | ns per interaction and factor |")
    print("|---:|---:|---:|---:|")
    for n, all_factors in (
        (1_000_000, (64,)),
        (3_000_000, (64,)),
        (10_000_000, (32, 64, 128, 256, 512, 1024)),
        (30_000_000, (64,)),
        (100_000_000, (64,)),
    ):
        world = tasteful_matrix(n)
        for factors in all_factors:
            seconds = seconds_per_epoch(world, factors)
            unit = 1e9 * seconds / world.nnz / factors
            print(f"| {world.nnz:,} | {factors} | {seconds:.3f} | {unit:.2f} |", flush=True)


def seconds_per_epoch(world: sp.csr_array, factors: int) -> float:
    """Return the median seconds of the epochs of a short fit."""
    times = [perf_counter()]

    def tick(_epoch: Epoch) -> bool:
        times.append(perf_counter())
        return len(times) > N_EPOCHS

    ALS(factors=factors).fit(world, on_epoch=tick)
    return float(median(np.diff(times)))


def warm_start(world: sp.csr_array) -> None:
    """Print the epochs that embeddings of most of a log save on all of it.

    Yesterday's log is a random part of today's; users and items that it lacks start at zero.
    """
    enough = 1.001 * losses_of(ALS(iterations=60), world)[-1]
    cold = epochs_until(enough, losses_of(ALS(iterations=60), world))
    print("| interactions new today | start | epochs to within 0.1 % of the loss after 60 |")
    print("|---:|---|---:|")
    print(f"| | at random | {cold} |")
    rng = np.random.default_rng(0)
    for share in (0.01, 0.05, 0.2):
        yesterday = world.copy()
        yesterday.data[rng.random(world.nnz) < share] = 0
        yesterday.eliminate_zeros()
        start = ALS().fit(yesterday)
        warm = epochs_until(enough, losses_of(ALS(iterations=60), world, start))
        print(f"| {share:.0%} | yesterday's | {warm} |")


def rounding_costs(all_factors: Iterable[int]) -> None:
    """Print how far the losses of epochs are from those of a fit that rounds to half precision."""
    print("| log | factors | of half precision | change, of each epoch |")
    print("|---|---:|---:|---|")
    cached, worlds = rounding._CACHED, {"generated": tasteful_matrix(5_200_000)}
    if (world := gowalla()) is not None:
        worlds["Gowalla"] = world
    for name, world in worlds.items():
        for factors in all_factors:
            als = ALS.from_alpha(ALPHA, REGULARIZATION, factors=factors, iterations=N_EPOCHS)
            found = []
            for rounding._CACHED in (world.nnz * factors * 4, 0):  # all in halves, none
                found.append(np.array(losses_of(als, world)))
            rounding._CACHED = cached
            changes = " ".join(f"{change:+.1e}" for change in found[1] / found[0] - 1)
            print(
                f"| {name} | {factors} | {found[0][-1] / world.nnz:.4f} | {changes} |", flush=True
            )


def losses_of(als: ALS, world: sp.csr_array, start: Embeddings | None = None) -> list[float]:
    """Return the loss after each epoch."""
    found: list[float] = []
    als.fit(world, start=start, on_epoch=lambda epoch: found.append(epoch.loss))
    return found


def epochs_until(enough: float, losses: list[float]) -> int:
    """Return the epochs after which the loss is low enough."""
    return 1 + next(number for number, loss in enumerate(losses) if loss <= enough)


def machine() -> None:
    """Print what this machine can do at most, what a sweep reaches of it, and start-up."""
    flops, bandwidth = peak_flops(), peak_bandwidth()
    print(f"peak: {flops / 1e9:.0f} GFlop/s (sgemm), {bandwidth / 1e9:.1f} GB/s (copy)")
    world = tasteful_matrix(20_000_000)
    data_bytes = world.data.nbytes + world.indices.nbytes + world.indptr.nbytes
    for factors in FACTORS:
        seconds = seconds_per_epoch(world, factors)
        rows = sum(world.shape)
        work = 12 * factors * world.nnz + 3 * rows * factors**2  # with one step, and no turn
        moved = 2 * world.nnz * (factors + 8)  # bytes of each vector once, column, weight
        print(
            f"20 M interactions, {factors} factors: {seconds:.3f} s per epoch, "
            f"{100 * work / seconds / flops:.0f} % of peak flops, "
            f"{100 * moved / seconds / bandwidth:.0f} % of peak bandwidth if no vector were cached"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    data = f"{peak / data_bytes:.1f} times the {data_bytes / 1e6:.0f} MB of data"
    print(f"peak memory {peak / 1e6:.0f} MB, {data}")
    print("start-up: " + ", ".join(f"{name} {s:.2f} s" for name, s in start_up().items()))


def gowalla() -> sp.csr_array | None:
    """Return the train part of Gowalla, if it is here."""
    path = Path(os.environ.get("RECSYS_DATA", "")) / "gowalla" / "train.parquet"
    if not path.exists():
        print(f"Gowalla is not at {path}: set RECSYS_DATA")
        return None
    log = pq.read_table(path)
    ones = np.ones(len(log), dtype=np.float32)
    return sp.csr_array((ones, (log["user"].to_numpy(), log["item"].to_numpy())))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="ALS compared to its peers.")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--machine", action="store_true")
    parser.add_argument("--rounding", action="store_true")
    parser.add_argument("--warm-start", action="store_true")
    parser.add_argument("--log", choices=("gowalla", "generated"))
    parser.add_argument("--factors", type=int, nargs="+", default=FACTORS)
    arguments = parser.parse_args()
    ALS(factors=4).fit(tasteful_matrix(20_000))  # compiles, or loads what was compiled
    if arguments.fit:
        fits(arguments.factors, n_runs=3)
    elif arguments.growth:
        growth()
    elif arguments.rounding:
        rounding_costs(arguments.factors)
    elif arguments.warm_start:
        if (world := gowalla()) is not None:
            warm_start(world)
    elif arguments.machine:
        machine()
    else:
        if arguments.log != "generated" and (world := gowalla()) is not None:
            compare("Gowalla", world, arguments.factors, n_epochs=N_EPOCHS, n_runs=3)
        if arguments.log != "gowalla":
            world = tasteful_matrix(20_000_000)
            compare("Generated", world, arguments.factors, n_epochs=N_EPOCHS // 2, n_runs=1)


if __name__ == "__main__":
    main()
