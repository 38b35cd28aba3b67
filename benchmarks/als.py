"""ALS beside its peers: seconds per epoch and the loss that each epoch reaches.

    python -m benchmarks.als                    # Gowalla and 20 M generated interactions
    python -m benchmarks.als --growth           # how time grows, 1 M to 100 M, 32 to 1024 factors
    python -m benchmarks.als --machine          # peak flops and bandwidth, start-up, memory

All minimize the loss of Hu, Koren and Volinsky (alpha 10, regularization 1), printed per
interaction, computed here in float64 for everybody from the same formula. Peers come with the
extra "bench"; one that is not installed is skipped with a word.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, median
from time import perf_counter

import numpy as np
import pyarrow.parquet as pq
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.worlds import tasteful_matrix
from recsys.models import ALS
from recsys.models.als import Epoch

ALPHA, REGULARIZATION, N_EPOCHS = 10.0, 1.0, 8
FACTORS = (64, 128, 256)
ASKED = {64: 5.0, 128: 4.0, 256: 3.0}
Factors = NDArray[np.float32]
Run = Iterator[tuple[float, Factors, Factors]]  # seconds, users, items after each epoch


def ours(world: sp.csr_array, factors: int) -> Run:
    """Yield our epochs; scores of the other parametrization are 1 + 1 / alpha times ours."""
    als = ALS.from_alpha(ALPHA, REGULARIZATION, factors=factors, iterations=N_EPOCHS)
    epochs: list[tuple[float, Factors, Factors]] = []
    scale = np.float32(np.sqrt(1 + 1 / ALPHA))
    start = perf_counter()

    def keep(epoch: Epoch) -> None:
        nonlocal start
        seconds = perf_counter() - start
        embeddings = epoch.embeddings()
        epochs.append((seconds, embeddings.users * scale, embeddings.items * scale))
        start = perf_counter()

    als.fit(world, on_epoch=keep)
    yield from epochs


def implicit_cg(world: sp.csr_array, factors: int) -> Run:
    """Yield epochs of implicit, which takes 3 steps of conjugate gradients."""
    from implicit.cpu.als import AlternatingLeastSquares

    epochs: list[tuple[float, Factors, Factors]] = []
    with threadpool_limits(1, user_api="blas"):
        peer = AlternatingLeastSquares(
            factors, REGULARIZATION, iterations=N_EPOCHS, random_state=0, num_threads=0
        )

        def keep(_number: int, seconds: float, _loss: float | None) -> None:
            epochs.append((seconds, peer.user_factors.copy(), peer.item_factors.copy()))

        confidence = sp.csr_matrix(world * np.float32(ALPHA) + world)
        peer.fit(confidence, show_progress=False, callback=keep)
    yield from epochs


def irspack_cg(world: sp.csr_array, factors: int) -> Run:
    """Yield epochs of irspack, in its form of the same loss."""
    from irspack.recommenders.ials import IALSRecommender

    peer = IALSRecommender(
        sp.csr_matrix(world),
        n_components=factors,
        alpha0=1 / ALPHA,
        reg=REGULARIZATION / (ALPHA + 1),
        nu=0.0,
        n_threads=os.cpu_count(),
        loss_type="IALSPP",
    )
    peer.start_learning()
    assert peer.trainer is not None
    fitted = peer.trainer.core_trainer
    scale = np.float32(np.sqrt(1 + 1 / ALPHA))
    for _ in range(N_EPOCHS):
        start = perf_counter()
        peer.run_epoch()
        seconds = perf_counter() - start
        yield seconds, fitted.user * scale, fitted.item * scale


PEERS: dict[str, tuple[str, Callable[[sp.csr_array, int], Run]]] = {
    "implicit": ("implicit", implicit_cg),
    "irspack": ("irspack", irspack_cg),
}


def loss_of(world: sp.csr_array, users: Factors, items: Factors) -> float:
    """Return ``sum c (p - x.y)^2 + regularization (|X|^2 + |Y|^2)`` over the interactions."""
    X, Y = users.astype(np.float64), items.astype(np.float64)
    total = ((X.T @ X) * (Y.T @ Y)).sum()  # all pairs as if not observed: weight 1, wanted 0
    for start in range(0, world.shape[0], 4096):
        part = sp.coo_array(world[start : start + 4096])
        scores = np.einsum("ij,ij->i", users[start + part.row], items[part.col], dtype=np.float64)
        total += ((1 + ALPHA) * (1 - scores) ** 2 - scores**2).sum()
    total += REGULARIZATION * ((X**2).sum() + (Y**2).sum())
    return float(total) / float(world.nnz)


def compare(name: str, world: sp.csr_array) -> None:
    """Print one table for one matrix."""
    shape = f"{world.shape[0]:,} users, {world.shape[1]:,} items, {world.nnz:,} interactions"
    print(f"\n{name}: {shape}\n")
    print("| factors | solver | seconds per epoch | times ours | asked | loss by epoch |")
    print("|---:|---|---:|---:|---:|---|")
    for factors in FACTORS:
        own = measured(world, ours(world, factors))
        print(row(factors, "recsys", own, own[0], ""))
        for peer, (package, run) in PEERS.items():
            if find_spec(package) is None:
                print(f"| {factors} | {peer} | not installed: pip install '.[bench]' | | | |")
                continue
            asked = {"implicit": f"{ASKED[factors]:g}", "irspack": "5"}[peer]
            print(row(factors, peer, measured(world, run(world, factors)), own[0], asked))


def measured(world: sp.csr_array, run: Run) -> tuple[float, list[float]]:
    """Return the mean seconds of an epoch and the loss after each."""
    seconds, losses = [], []
    for taken, users, items in run:
        seconds.append(taken)
        losses.append(loss_of(world, users, items))
    return fmean(seconds), losses


def row(
    factors: int, solver: str, result: tuple[float, list[float]], own: float, asked: str
) -> str:
    """Write one row of the table."""
    seconds, losses = result
    shown = " ".join(f"{loss:.4f}" for loss in losses)
    return f"| {factors} | {solver} | {seconds:.3f} | {seconds / own:.1f} | {asked} | {shown} |"


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


def machine() -> None:
    """Print what this machine can do at most, what a sweep reaches of it, and start-up."""
    flops, bandwidth = peak_flops(), peak_bandwidth()
    print(f"peak: {flops / 1e9:.0f} GFlop/s (sgemm), {bandwidth / 1e9:.1f} GB/s (copy)")
    world = tasteful_matrix(20_000_000)
    data_bytes = world.data.nbytes + world.indices.nbytes + world.indptr.nbytes
    for factors in FACTORS:
        seconds = seconds_per_epoch(world, factors)
        rows = sum(world.shape)
        work = 12.8 * factors * world.nnz + 5 * rows * factors**2  # 6, or 10 in the first epochs
        moved = 2 * world.nnz * (4 * factors + 8)  # each gathered vector once, a column, a weight
        print(
            f"20 M interactions, {factors} factors: {seconds:.3f} s per epoch, "
            f"{100 * work / seconds / flops:.0f} % of peak flops, "
            f"{100 * moved / seconds / bandwidth:.0f} % of peak bandwidth if no vector were cached"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    data = f"{peak / data_bytes:.1f} times the {data_bytes / 1e6:.0f} MB of data"
    print(f"peak memory {peak / 1e6:.0f} MB, {data}")
    print("start-up: " + ", ".join(f"{name} {s:.2f} s" for name, s in start_up().items()))


def peak_flops() -> float:
    """Return the flops of a large float32 product on all cores."""
    square = np.random.default_rng(0).random((4096, 4096), dtype=np.float32)
    seconds = min(timed(lambda: square @ square) for _ in range(4))
    return 2 * 4096**3 / seconds


def peak_bandwidth() -> float:
    """Return the bytes read and written by a copy that no cache holds, on one core."""
    source = np.zeros(64_000_000, dtype=np.float32)
    target = np.ones_like(source)
    return 2 * source.nbytes / min(timed(lambda: np.copyto(target, source)) for _ in range(5))


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = perf_counter()
    work()
    return perf_counter() - start


def start_up() -> dict[str, float]:
    """Return the seconds of a first tiny fit in a fresh process, without and with a cache."""
    program = (
        "import time; start = time.perf_counter(); import numpy as np, scipy.sparse as sp;"
        "from recsys import ALS; ALS(factors=4).fit(sp.csr_array(np.eye(3, dtype=np.float32)));"
        "print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "NUMBA_CACHE_DIR": cache}
        return {
            name: float(subprocess.check_output([sys.executable, "-c", program], env=env))
            for name in ("compiling", "from the cache")
        }


def gowalla() -> sp.csr_array | None:
    """Return the train part of Gowalla, if it is here."""
    root = Path(__file__).parents[1]
    folder = Path(os.environ.get("RECSYS_DATA", root.parent / "shared" / "data"))
    path = folder / "gowalla" / "train.parquet"
    if not path.exists():
        print(f"Gowalla is not at {path}: set RECSYS_DATA")
        return None
    log = pq.read_table(path)
    ones = np.ones(len(log), dtype=np.float32)
    return sp.csr_array((ones, (log["user"].to_numpy(), log["item"].to_numpy())))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="ALS beside its peers.")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--machine", action="store_true")
    arguments = parser.parse_args()
    if arguments.growth:
        growth()
    elif arguments.machine:
        machine()
    else:
        ALS(factors=4).fit(tasteful_matrix(20_000))  # compiles, or loads what was compiled
        if (world := gowalla()) is not None:
            compare("Gowalla", world)
        compare("Generated", tasteful_matrix(20_000_000))
        print("\nSpark MLlib is not compared: pyspark is not part of the extra.")


if __name__ == "__main__":
    main()
