"""Our ALS on Spark: the sweeps of `recsys.models.ALS`, half a sweep a job of compiled solves."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from recsys.base.errors import ConfigError, DivergedError
from recsys.base.simd import N_LANES
from recsys.base.threads import Threads, threads
from recsys.models.als.basis import Basis
from recsys.models.als.plan import bases_of, steps_of
from recsys.models.als.sweep import EXACT_OF_ALL, EXACT_STEPS
from recsys.models.protocol import Epoch, OnEpoch, power_of_counts
from recsys.spark.blocks import Cut, make_folder
from recsys.spark.checkpoint import Checkpoint, Progress
from recsys.spark.exchange import Filed, Mapped, Vectors
from recsys.spark.half_sweep import Solve, run
from recsys.spark.packed import Packing, cut_of, pack
from recsys.spark.pairs import Pairs, SideName, cut_parts, write_pairs
from recsys.spark.side import Given, SparkSide, in_files, keep, kept, whole
from recsys.vectors import Embeddings, FloatMatrix

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from recsys.models import ALS
    from recsys.spark.log import SparkLog

BROADCAST_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class SparkFit:
    """What a fit on Spark leaves in its folder.

    Parameters
    ----------
    users, items : SparkSide
        `vectors` reads their embeddings block by block.
    mean_weight : float
        By which weights were divided.
    """

    als: ALS
    users: SparkSide
    items: SparkSide
    mean_weight: float

    def embeddings(self) -> Embeddings:
        """Return all of them; they have to fit into the memory of the driver."""
        found = (whole(side, _final(side)) for side in (self.users, self.items))
        return Embeddings(*found)

    def write(self, side: SideName, path: Path) -> FloatMatrix:
        """Write the embeddings of one side as an array that is mapped, in the memory of a block."""
        of = self.users if side == "users" else self.items
        shape = (of.cut.n_rows, of.factors)
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        vectors = _final(of)
        for block in range(len(of.cut)):
            first, last = of.cut.rows(block)
            array[first:last] = vectors.block(block)[:, : of.factors]
        array.flush()
        return array


def _final(side: SparkSide) -> Mapped | Filed:
    """Return the embeddings; users are solved last, so they lie where tasks wrote them."""
    if side.name == "users":
        return _solved(side, _FINAL_USERS)
    return in_files(side, _FINAL_ITEMS, 1.0)


def _solved(side: SparkSide, name: str) -> Filed:
    return Filed(name, str(side.folder), side.cut, 1.0)


def fit(
    als: ALS,
    log: SparkLog,
    folder: str | Path,
    *,
    spark: SparkSession,
    broadcast_bytes: int = BROADCAST_BYTES,
    on_epoch: OnEpoch | None = None,
    replace: bool = False,
) -> SparkFit:
    """Factorize the pairs of a log as `ALS.fit` does, to float tolerance.

    Pairs are packed once into files of the folder, by blocks of users and of items. A half-sweep
    is one job: each task maps its blocks, solves them by one thread, and writes their vectors.
    After each epoch the folder holds what a fit needs to go on; the same call goes on there.

    Parameters
    ----------
    folder : path
        On storage that the driver and all executors see under this path. It belongs to one fit.
    broadcast_bytes : int
        Vectors of a side that take no more in half precision are broadcast (executors on this
        machine map one file instead); those of a larger side stay in files by block, turned and
        rounded by the executors, and a task reads the rows that it needs.
    on_epoch : callable, optional
        As in `ALS.fit`.
    replace : bool
        Whether what another fit left in the folder is removed; else it is a DataError.

    Raises
    ------
    ConfigError
        If the model asks for the order of histories.
    DataError
        If the folder is of another fit, or the executors do not see it.
    DivergedError
        If the loss is no longer finite.
    """
    if als.recency:
        raise ConfigError(
            f"als.recency: expected 0 on Spark, where the order of histories is not kept, got "
            f'{als.recency:g}; set it to 0, or engine = "local" (--engine local)'
        )
    with threads() as pool:
        started = _Fit(als, log, Path(folder), spark, broadcast_bytes, pool, replace)
        return started.run(on_epoch)


class _Fit:
    """A fit under way; what its steps share."""

    def __init__(
        self,
        als: ALS,
        log: SparkLog,
        folder: Path,
        spark: SparkSession,
        broadcast_bytes: int,
        pool: Threads,
        replace: bool,
    ) -> None:
        self.als, self.folder, self.spark, self.pool = als, folder, spark, pool
        self.width = -(-als.factors // N_LANES) * N_LANES
        self.limit = broadcast_bytes
        self.is_local = str(spark.sparkContext.master).startswith("local")
        self.scale = 1.0  # of the users as they were rounded last
        pairs = write_pairs(log.pairs, folder / "pairs", log.n_users, log.n_items)
        self.mean_weight = pairs.mean_weight
        described = {
            "model": {**asdict(als), "iterations": None},
            "n_users": log.n_users,
            "n_items": log.n_items,
            "n_pairs": pairs.n,
            "mean_weight": round(pairs.mean_weight, 6),
        }
        self.checkpoint = Checkpoint(folder, described, replace=replace)
        make_folder(folder / "vectors")
        cuts = self.checkpoint.cuts
        if cuts is None:
            n_tasks = spark.sparkContext.defaultParallelism
            cuts = {name: cut_of(pairs.counts(name), n_tasks) for name in _SIDES}
            self._pack(pairs, cuts)
            self.checkpoint.packed(cuts)
        shutil.rmtree(folder / "pairs")
        self.users, self.items = (self._side(name, cuts[name]) for name in _SIDES)

    def _is_whole(self, n_rows: int) -> bool:
        return n_rows * self.width * 2 <= self.limit

    def _side(self, name: SideName, cut: Cut) -> SparkSide:
        return SparkSide(
            self.spark, name, cut, self.folder / name, self.folder / "vectors",
            self.als.factors, self.width, self._is_whole(cut.n_rows), self.is_local,
        )  # fmt: skip

    def _pack(self, pairs: Pairs, cuts: dict[SideName, Cut]) -> None:
        als, context = self.als, self.spark.sparkContext
        cut_parts(self.spark, pairs, cuts)
        scales = power_of_counts(pairs.user_counts, -als.unobserved_exponent)
        exponents = {"users": als.item_exponent, "items": als.user_exponent}
        others: dict[SideName, SideName] = {"users": "items", "items": "users"}
        for name, other in others.items():
            counts = pairs.counts(other)
            packing = Packing(
                als, name, self.folder / name, pairs.folder, pairs.parts, cuts[name],
                len(counts), self.mean_weight,
                context.broadcast(counts) if exponents[name] else None,
                float(scales.sum()), not self._is_whole(len(counts)),
            )  # fmt: skip
            pack(self.spark, packing)

    def run(self, on_epoch: OnEpoch | None) -> SparkFit:
        """Run the epochs that are left, and the last solve of the users."""
        done = self.checkpoint.progress
        if done is None:
            self.items.at_random(self.als.seed, self.pool)
            first = 1
        else:
            self._go_on(done)
            first = done.epoch + 1
        for number in range(first, self.als.iterations + 1):
            began = perf_counter()
            loss = self._epoch(number)
            seconds = perf_counter() - began
            if on_epoch is not None and on_epoch(
                Epoch(number, self.als.iterations, loss, seconds, self._embeddings)
            ):
                break
        self._finish()
        return SparkFit(self.als, self.users, self.items, self.mean_weight)

    def _epoch(self, number: int) -> float:
        (of_user, of_item), (first, second) = steps_of(number, None), bases_of(number, None)
        before, pool = self.users.shipped, self.pool
        items = self._given(self.items, self.users, first)
        self._solve(self.users, items, number, steps=of_user, begin=before)
        users = self._given(self.users, self.items, second)
        self._solve(self.items, users, number, steps=of_item, begin=items.vectors)
        of_users, of_items = self.users.known(pool), self.items.known(pool)
        everywhere = self.als.unobserved_weight * float((of_users.gram * of_items.gram).sum())
        loss = of_items.loss + everywhere + of_users.penalty + of_items.penalty
        if not np.isfinite(loss):
            raise DivergedError(
                f"als: the loss became {loss} in epoch {number}; scale weights towards 1 "
                '(log.value_scale = "log"), or raise als.regularization'
            )
        keep(users.vectors, self.users)
        self.scale = users.vectors.scale
        self.checkpoint.reached(Progress(number, loss, users.vectors.scale, of_users, of_items))
        for old in (before, items.vectors):
            if old is not None:
                old.free()
        return loss

    def _given(self, fixed: SparkSide, rows: SparkSide, into: Basis) -> Given:
        name, weight = f"{fixed.solved}-half", self.als.unobserved_weight
        return fixed.given(rows, self.pool, name, weight, into)

    def _solve(
        self,
        rows: SparkSide,
        fixed: Given,
        epoch: int,
        *,
        steps: int,
        tolerance: float = 0.0,
        begin: Vectors | None,
        name: str | None = None,
    ) -> None:
        work = Solve(
            str(rows.packed), rows.cut, str(rows.folder), name or rows.named(epoch),
            fixed.vectors, begin, fixed.basis, fixed.dense, steps, tolerance, not rows.is_whole,
        )  # fmt: skip
        rows.sums = run(self.spark, rows.cut, work)
        rows.solved = work.name

    def _go_on(self, done: Progress) -> None:
        """Begin where the epoch ended of which the folder has the vectors."""
        self.items.solved, self.items.sums = self.items.named(done.epoch), done.items
        self.users.solved, self.users.sums = self.users.named(done.epoch), done.users
        self.users.shipped = kept(self.users, f"{self.users.solved}-half", done.scale)

    def _finish(self) -> None:
        """Solve the users fully, without rounding, from where they are."""
        last = self.users.shipped
        items = self.items.given_exactly(self.pool, _FINAL_ITEMS, self.als.unobserved_weight)
        self._solve(
            self.users, items, 0,
            steps=EXACT_STEPS, tolerance=EXACT_OF_ALL, begin=last, name=_FINAL_USERS,
        )  # fmt: skip
        keep(items.vectors, self.items)
        for old in (last, items.vectors):
            if old is not None:
                old.free()

    def _embeddings(self) -> Embeddings:
        """Return the vectors as they are, for who follows a fit."""
        users = in_files(self.users, f"{self.users.solved}-half", self.scale)
        items = _solved(self.items, self.items.solved)
        return Embeddings(whole(self.users, users), whole(self.items, items))


_FINAL_USERS, _FINAL_ITEMS = "users-final", "items-final"
_SIDES: tuple[SideName, SideName] = ("users", "items")
