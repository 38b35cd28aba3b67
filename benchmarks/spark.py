"""ALS and lists for everybody on Spark, ours and MLlib's in one session, and our one machine.

    python -m benchmarks.spark                          # 20 M interactions, 64 factors, 2 cores
    python -m benchmarks.spark --interactions 1000000   # a look in minutes
    python -m benchmarks.spark --without-mllib          # ours alone

All minimize the loss of MLlib (alpha 10, its regularization grows with the interactions of a row),
printed per interaction; of the last step, it is computed here in float64 for all of them by the
same formula. A step is a sweep over users and items. Of MLlib it is what a further iteration takes,
set-up left out, and it solves every row exactly; ours take the median of the epochs, and more of
them to the same loss. What comes before the first step, reading and packing, stands apart.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

from benchmarks.als_solvers import ALPHA, Factors
from benchmarks.batch import served, timed
from benchmarks.worlds import tasteful_matrix
from recsys.logs.row_counts import RowCounts
from recsys.models import ALS
from recsys.models.protocol import Epoch
from recsys.settings import SparkSettings
from recsys.spark.als import fit
from recsys.spark.lists import write_lists
from recsys.spark.log import SparkLog
from recsys.spark.session import spark_session
from recsys.vectors import Embeddings

PER_INTERACTION = 0.01  # regularization, as MLlib counts it
K = 20
N_STEPS = 8
N_STEPS_OF_MLLIB = 3  # of which each takes a minute or more


@dataclass
class Run:
    """What one solver took, and reached."""

    name: str
    step: float
    before: float  # the first step
    after: float  # the last step
    losses: list[float]  # after each step; of MLlib, after the last one alone


def als_of(factors: int, n_steps: int) -> ALS:
    """Return our model of MLlib's loss; its scores are 1 / (1 + 1 / alpha) of MLlib's."""
    hu = ALS.from_alpha(ALPHA, PER_INTERACTION, factors=factors, iterations=n_steps)
    return replace(hu, regularization_exponent=1.0)


def loss_of(world: sp.csr_array, users: Factors, items: Factors) -> float:
    """Return ``sum c (p - x.y)^2 + regularization (n_u |x|^2 + n_i |y|^2)`` an interaction."""
    X, Y = users.astype(np.float64), items.astype(np.float64)
    total = ((X.T @ X) * (Y.T @ Y)).sum()
    for start in range(0, world.shape[0], 4096):
        part = sp.coo_array(world[start : start + 4096])
        scores = np.einsum("ij,ij->i", users[start + part.row], items[part.col], dtype=np.float64)
        total += ((1 + ALPHA) * (1 - scores) ** 2 - scores**2).sum()
    of_users = np.diff(world.indptr) @ (X**2).sum(axis=1)
    of_items = np.bincount(world.indices, minlength=world.shape[1]) @ (Y**2).sum(axis=1)
    return float(total + PER_INTERACTION * (of_users + of_items)) / float(world.nnz)


def loss_of_ours(world: sp.csr_array, found: Embeddings) -> float:
    """Return the loss of our embeddings, in MLlib's scale."""
    scale = np.float32(np.sqrt(1 + 1 / ALPHA))
    return loss_of(world, found.users * scale, found.items * scale)


def measured(
    name: str, run: Callable[[Callable[[Epoch], None]], Embeddings], world: sp.csr_array
) -> tuple[Run, Embeddings]:
    """Run a fit of ours that tells of its epochs."""
    seconds: list[float] = []
    ends: list[float] = []
    losses: list[float] = []
    start = perf_counter()

    def after(epoch: Epoch) -> None:
        seconds.append(epoch.seconds)
        ends.append(perf_counter())
        losses.append((ALPHA + 1) ** 2 / ALPHA * epoch.loss / world.nnz - (ALPHA + 1) / ALPHA)

    found = run(after)
    whole = perf_counter() - start
    last = start + whole - ends[-1]
    before = whole - last - sum(seconds)
    losses[-1] = loss_of_ours(world, found)
    return Run(name, median(seconds), before, last, losses), found


def written(world: sp.csr_array, folder: Path, n_files: int) -> None:
    """Write pairs as Parquet files."""
    folder.mkdir()
    entries = sp.coo_array(world)
    columns = {"user_idx": entries.row, "item_idx": entries.col, "weight": entries.data}
    table = pa.table(columns)
    size = -(-len(table) // n_files)
    for number in range(n_files):
        pq.write_table(table.slice(number * size, size), folder / f"{number}.parquet")


def of_mllib(spark: Any, folder: Path, world: sp.csr_array, factors: int) -> tuple[Run, Any]:
    """Fit MLlib's ALS, for one step and for some."""
    from pyspark.ml.recommendation import ALS as SparkALS  # noqa: N811

    cores = spark.sparkContext.defaultParallelism
    log = spark.read.parquet(str(folder)).repartition(cores).cache()
    log.count()

    def fitted(iterations: int) -> tuple[float, Any]:
        peer = SparkALS(
            rank=factors, maxIter=iterations, regParam=PER_INTERACTION, alpha=ALPHA,
            implicitPrefs=True, userCol="user_idx", itemCol="item_idx", ratingCol="weight",
            numUserBlocks=cores, numItemBlocks=cores, seed=0,
        )  # fmt: skip

        def work() -> Any:
            model = peer.fit(log)
            model.itemFactors.count()
            return model

        return timed(work)

    first, _ = fitted(1)
    whole, model = fitted(N_STEPS_OF_MLLIB)
    step = (whole - first) / (N_STEPS_OF_MLLIB - 1)
    users, items = (
        rows_of(frame.toArrow(), n)
        for frame, n in zip((model.userFactors, model.itemFactors), world.shape, strict=True)
    )
    loss = loss_of(world, users, items)
    return Run("Spark MLlib", step, whole - N_STEPS_OF_MLLIB * step, 0.0, [loss]), model


def rows_of(table: pa.Table, n_rows: int) -> Factors:
    """Return the vectors of a table of MLlib by row."""
    features = table["features"].combine_chunks()
    found = np.zeros((n_rows, len(features[0])), dtype=np.float32)
    found[table["id"].to_numpy()] = features.flatten().to_numpy().reshape(table.num_rows, -1)
    return found


def compare(n_interactions: int, factors: int, *, n_asked: int, with_mllib: bool) -> None:
    """Print the tables."""
    world = tasteful_matrix(n_interactions)
    n_users, n_items = world.shape
    print(f"{n_users:,} users, {n_items:,} items, {world.nnz:,} interactions, {factors} factors\n")
    cores = len(os.sched_getaffinity(0))
    conf = {
        "spark.driver.memory": "6g",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": str(cores),
    }
    spark = spark_session(SparkSettings(master=f"local[{cores}]", conf=conf))
    als = als_of(factors, N_STEPS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        written(world, folder / "pairs", 2 * cores)
        pairs = spark.read.parquet(str(folder / "pairs"))
        log = SparkLog(pairs, pairs, pairs, n_users, n_items, RowCounts())
        small = written_small(folder, spark)
        fit(als_of(factors, 1), small, folder / "warm", spark=spark)  # workers import and compile
        als.fit(world[:1000])
        runs = []
        for round_ in range(2):
            at = folder / f"fit-{round_}"

            def on_spark(after: Callable[[Epoch], None], at: Path = at) -> Embeddings:
                return fit(als, log, at, spark=spark, on_epoch=after).embeddings()

            runs.append(measured("recsys on Spark", on_spark, world))
            runs.append(
                measured("recsys, one machine", lambda after: als.fit(world, on_epoch=after), world)
            )
        fastest = [
            min(runs[place::2], key=lambda one: one[0].step) for place in (0, 1)
        ]  # of two runs, as they take turns
        table = [run for run, _ in fastest]
        difference = float(np.abs(fastest[0][1].users - fastest[1][1].users).max())
        mllib = None
        if with_mllib:
            run, mllib = of_mllib(spark, folder / "pairs", world, factors)
            table.append(run)
        print_fits(table)
        print(f"\nusers on Spark and on one machine differ by {difference:.1e} at most\n")
        lists_of(spark, world, fastest[0][1], folder, mllib, n_asked)
    spark.stop()


def written_small(folder: Path, spark: Any) -> SparkLog:
    """Return a small log."""
    world = tasteful_matrix(20_000)
    written(world, folder / "small", 2)
    pairs = spark.read.parquet(str(folder / "small"))
    return SparkLog(pairs, pairs, pairs, world.shape[0], world.shape[1], RowCounts())


def print_fits(table: list[Run]) -> None:
    """Print what fits took, and after how many steps ours have reached the loss of MLlib."""
    print("| solver | seconds a step | times ours on Spark | before, s | after, s | loss by step |")
    print("|---|---:|---:|---:|---:|---|")
    for run in table:
        losses = " ".join(f"{loss:.4f}" for loss in run.losses)
        print(
            f"| {run.name} | {run.step:.2f} | {run.step / table[0].step:.1f} | {run.before:.1f} | "
            f"{run.after:.1f} | {losses} |"
        )
    if len(table) > 2:
        ours, theirs = table[0], table[2]
        steps = next(
            (place for place, loss in enumerate(ours.losses, 1) if loss <= theirs.losses[-1]), None
        )
        print(f"\nMLlib's loss is that of {N_STEPS_OF_MLLIB} steps; ours reach it after {steps}")


def lists_of(
    spark: Any, world: sp.csr_array, found: Embeddings, folder: Path, mllib: Any, n_asked: int
) -> None:
    """Print what lists take."""
    served(world, found, folder / "store").recommend_many(["0"], K)
    write_lists(spark, folder / "store", folder / "warm-lists", K, memory_bytes=1 << 30)
    ours, _ = timed(lambda: write_lists(spark, folder / "store", folder / "lists", K))
    speed = world.shape[0] / ours
    print(f"| lists of {K} | users | seconds | users a second |\n|---|---:|---:|---:|")
    print(f"| recsys on Spark, into Parquet | {world.shape[0]:,} | {ours:.2f} | {speed:,.0f} |")
    if mllib is None:
        return
    rows = np.linspace(0, world.shape[0] - 1, min(n_asked, world.shape[0])).astype(int).tolist()
    users = spark.createDataFrame([(row,) for row in rows], "user_idx int")
    theirs, _ = timed(
        lambda: mllib.recommendForUserSubset(users, K).write.parquet(str(folder / "their-lists"))
    )
    their_speed = len(rows) / theirs
    print(f"| Spark MLlib, into Parquet | {len(rows):,} | {theirs:.2f} | {their_speed:,.0f} |")
    print(f"\nours are {speed / their_speed:.0f} times as fast; seen items are left out of ours")


def main() -> None:
    """Compare what the command line asks for."""
    parser = argparse.ArgumentParser(description="ALS and lists on Spark, ours and MLlib's.")
    parser.add_argument("--interactions", type=int, default=20_000_000)
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--users", type=int, default=20_000, help="that MLlib makes lists for")
    parser.add_argument("--without-mllib", action="store_true")
    asked = parser.parse_args()
    compare(
        asked.interactions, asked.factors, n_asked=asked.users, with_mllib=not asked.without_mllib
    )


if __name__ == "__main__":
    main()
